"""Future work of the paper: a spectroscopic class, with its confidence, beside the light curve.

Run ``python -m studies.future_spectra --cache FOLDER`` from the top of the project (four minutes); see
`future_ground`.

Protocol: no public set of spectra can ship, and of the nine classes only SN Ia has a template of spectra,
so the spectrum is that of a simulated classifier of one spectrum near peak. It names the true class in a
share of the spectra (.70, .85 or .95 on average, scattered by .1 from object to object: its quality,
which it states), and otherwise another class in proportion to how often the two are confused; these
proportions and shares are assumptions, in the result file, not measurements. Its statement enters in two
ways. `product`: the probabilities of the light curve are multiplied by the likelihood of the statement
under each class; an object without a spectrum keeps its answer bit for bit. `columns`: the trees read the
log-likelihoods as nine more columns, which are missing for a random half of the training rows; they are
tested with a spectrum for each object, and with none.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from studies.future_ground import (
    Ground,
    arguments,
    booster,
    class_differences,
    differences,
    ground,
    keep,
    reference,
    scores,
)

from firstlight._types import Float32Array, FloatArray, IntArray, StrArray
from firstlight.classify import LightGBMBooster, TrainingRows
from firstlight.metrics.scores import truth_index
from firstlight.taxonomy import CLASSES

SHARES = (0.70, 0.85, 0.95)
SCATTER = 0.1
COLUMNS_AT = 0.85
RARELY = 0.25  # weight of a confusion that is not listed
#: How often two classes are confused, relative to each other.
CONFUSED: Mapping[tuple[str, str], float] = {
    ("SNIa", "SNIa-91bg"): 3.0,
    ("SNIa", "SNIax"): 3.0,
    ("SNIa", "SNIbc"): 3.0,
    ("SNIa-91bg", "SNIbc"): 2.0,
    ("SNIa-91bg", "SNIax"): 1.0,
    ("SNIax", "SNIbc"): 2.0,
    ("SNII", "SNIbc"): 3.0,
    ("SNIa", "SNII"): 1.0,
    ("SLSN-I", "SNIbc"): 2.0,
    ("SLSN-I", "SNII"): 1.0,
    ("SLSN-I", "TDE"): 2.0,
    ("AGN", "TDE"): 3.0,
    ("AGN", "SNII"): 1.0,
}


def errors(classes: tuple[str, ...]) -> FloatArray:
    """Share of the errors of each true class (row) that go to each other class (column)."""
    table = np.full((len(classes), len(classes)), RARELY)
    for (a, b), weight in CONFUSED.items():
        table[classes.index(a), classes.index(b)] = table[classes.index(b), classes.index(a)] = weight
    np.fill_diagonal(table, 0.0)
    return table / table.sum(axis=1, keepdims=True)


def statements(
    truth: IntArray, classes: tuple[str, ...], share: float, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """The class that each spectrum is given, and its likelihood under each class, (n, classes)."""
    quality = np.clip(rng.normal(share, SCATTER, len(truth)), 0.34, 0.99)
    wrong = errors(classes)
    row = wrong[truth] * (1.0 - quality[:, None])
    row[np.arange(len(truth)), truth] = quality
    stated = (row.cumsum(axis=1) < rng.random(len(truth))[:, None]).sum(axis=1).clip(max=len(classes) - 1)
    likelihood = wrong[:, stated].T * (1.0 - quality[:, None])
    likelihood[np.arange(len(truth)), stated] = quality
    return stated, likelihood


def product(proba: FloatArray, likelihood: FloatArray, classes: tuple[str, ...]) -> FloatArray:
    """Probabilities of all classes, multiplied by the likelihood of a statement."""
    factor = np.full(proba.shape, likelihood.min(axis=1, keepdims=True))
    factor[:, [CLASSES.index(name) for name in classes]] = likelihood
    raised = proba * factor
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def codes(labels: StrArray, classes: tuple[str, ...]) -> IntArray:
    """Column of each label."""
    return truth_index(labels, classes)


def with_columns(rows: TrainingRows, classes: tuple[str, ...], rng: np.random.Generator) -> TrainingRows:
    """Rows with the log-likelihoods of one statement per object, missing in a random half."""
    _, first, owner = np.unique(rows.owner, return_index=True, return_inverse=True)
    _, likelihood = statements(codes(rows.labels[first], classes), classes, COLUMNS_AT, rng)
    added = np.log(likelihood)[owner].astype(np.float32)
    added[rng.random(len(rows)) < 0.5] = np.nan
    X = np.hstack([rows.X, added])
    return TrainingRows(X, rows.labels, rows.redshift, rows.weight, rows.object_id)


def main() -> None:
    args = arguments(__doc__)
    found = ground(args.cache)
    base = reference(found, args.cache)
    classes, truth = found.classes, codes(found.labels, found.classes)
    table: dict[str, Any] = {
        "objects": found.describe(),
        "reference": scores(found.labels, base),
        "errors": {
            c: dict(zip(classes, row.round(3).tolist(), strict=True))
            for c, row in zip(classes, errors(classes), strict=True)
        },
        "spectrum alone": {},
        "product": {},
        "f1": {},
    }
    given: dict[float, FloatArray] = {}
    for share in SHARES:
        stated, likelihood = statements(truth, classes, share, np.random.default_rng(2))
        given[share] = likelihood
        table["spectrum alone"][f"{share:.2f}"] = round(float(np.mean(stated == truth)), 4)
        after = {view: product(base[view], likelihood, classes) for view in base}
        table["product"][f"{share:.2f}"] = differences(found.labels, base, after)
        table["f1"][f"{share:.2f}"] = {v: class_differences(found.labels, base[v], after[v]) for v in base}
    model, held = trained(found, np.random.default_rng(1))
    views: dict[str, dict[str, Float32Array]] = {"with": {}, "without": {}}
    for view, X in found.tests.items():
        own = np.log(given[COLUMNS_AT]).astype(np.float32)
        views["with"][view] = np.hstack([X, own])
        views["without"][view] = np.hstack([X, np.full_like(own, np.nan)])
    calibrator = found.calibrator(model.predict_proba(held.X))
    multiplied = {view: product(base[view], given[COLUMNS_AT], classes) for view in base}
    answers = {
        name: found.calibrated(calibrator, {v: model.predict_proba(X) for v, X in own.items()})
        for name, own in views.items()
    }
    table["columns"] = {
        "with a spectrum, against the light curve alone": differences(found.labels, base, answers["with"]),
        "with a spectrum, against the product": differences(found.labels, multiplied, answers["with"]),
        "without one, against the light curve alone": differences(found.labels, base, answers["without"]),
    }
    keep("spectra", __doc__, ("lightgbm",), table, args.out)


def trained(found: Ground, rng: np.random.Generator) -> tuple[LightGBMBooster, TrainingRows]:
    """A booster that reads the columns, and the rows to calibrate it on."""
    rows = with_columns(found.train, found.classes, rng)
    return booster(found, rows=rows), with_columns(found.held, found.classes, rng)


if __name__ == "__main__":
    main()
