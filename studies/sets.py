"""Prediction sets: how often they have the true class, and how many classes they name.

Run ``make crossval-default``, then ``python -m studies.sets --run runs/crossval-default --data FOLDER`` from
the top of the project (a minute); FOLDER holds ``curves.parquet`` and ``objects.parquet`` of real objects. It
writes ``docs/results/prediction-sets.json``.

Protocol: PLAsTiCC, predictions of the test objects of five folds at nine phases. Sets of the objects of a
fold are calibrated on the objects of the other four, which were predicted by classifiers that had not seen
them either. `aps` takes classes by falling probability until their sum reaches a threshold that is common to
all classes, chosen for 90 % of all objects. Real objects: those of `studies.real_sky`, both halves, with the
bundle's own sets. Classes and surveys with fewer than 20 real objects at a phase are left out. Magnitudes are
those of the brightest detection of the whole light curve.
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks._harness import result, write
from studies.real_sky import read_set

from firstlight import LightCurves, Pipeline, Predictions, load_plasticc
from firstlight._types import BoolArray, FloatArray, StrArray
from firstlight.bands import AB_ZERO_POINT_NJY
from firstlight.classify import COVERAGE, PredictionSets
from firstlight.experiments.fold import read_fold, those_of
from firstlight.metrics import PHASES, Snapshot, phase_name, set_scores
from firstlight.taxonomy import GALACTIC

OUT = Path(__file__).parent.parent / "docs" / "results" / "prediction-sets.json"
N_FOLDS = 5
MAGNITUDES = (0.0, 20.0, 21.0, 22.0, 23.0, 99.0)
REAL_PHASES = (2.0, 8.0, 32.0, np.inf)
LEAST_OBJECTS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the cross-validation")
    parser.add_argument("--data", type=Path, required=True, help="folder of the real objects")
    parser.add_argument("--bundle", nargs="+", default=["default", "fast"])
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, truth = load_plasticc()
    folds = {days: [read_fold(args.run / f"fold-{k + 1}", days) for k in range(N_FOLDS)] for days in PHASES}
    table = {
        "predictions": json.loads((args.run / "metrics.json").read_text())["run"],
        "coverage": COVERAGE,
        "plasticc": simulated(folds, curves, truth.labels_of),
        "real": {Path(name).name: real(Pipeline.load(name), args.data) for name in args.bundle},
    }
    protocol = " ".join((__doc__ or "").split("Protocol: ")[1].split())
    found = result("prediction sets (studies/sets.py)", "numpy", protocol=protocol, **table)
    write(args.out, found, show=False)


def simulated(folds: dict[float, list[Predictions]], curves: LightCurves, labels_of: Any) -> dict[str, Any]:
    """Coverage and size over the test objects of all folds by phase, class and magnitude; usual sets."""
    whole = Predictions.concatenate(folds[PHASES[-1]])
    labels: StrArray = labels_of(whole.object_id)
    shown = those_of(curves, whole.object_id)
    redshift = shown.redshift.astype(np.float64)
    fold = np.repeat(np.arange(N_FOLDS), [len(part) for part in folds[PHASES[-1]]])
    trained = np.flatnonzero(np.isin(whole.classes, labels))
    classes = tuple(whole.classes[k] for k in trained)
    parts = {days: Predictions.concatenate(folds[days]) for days in PHASES}
    in_set = {days: np.zeros(part.proba.shape, np.bool_) for days, part in parts.items()}
    for k in range(N_FOLDS):
        known = [(part, part.is_classified & (fold != k)) for part in parts.values()]
        sets = PredictionSets().fit(
            np.concatenate([part.proba[rows][:, trained] for part, rows in known]),
            np.concatenate([labels[rows] for _, rows in known]),
            classes,
            np.concatenate([part.phase[rows] for part, rows in known]),
            np.concatenate([redshift[rows] for _, rows in known]),
            np.concatenate([whole.object_id[rows] for _, rows in known]),
            GALACTIC,
        )
        for days, part in parts.items():
            own = np.flatnonzero(part.is_classified & (fold == k))
            found = sets.members(part.proba[own][:, trained], part.phase[own], redshift[own])
            in_set[days][np.ix_(own, trained)] = found
    snapshots = {
        phase_name(days): Snapshot(part.proba, part.is_classified, in_set[days])
        for days, part in parts.items()
    }
    table: dict[str, Any] = {"by_phase": _rounded(set_scores(labels, snapshots, whole.classes))}
    table["aps"] = {
        phase_name(days): usual_sets(part.proba[:, trained], labels, classes, fold, part.is_classified)
        for days, part in parts.items()
    }
    peak = brightest(shown)
    table["by_magnitude"] = {
        f"{low:g} to {high:g}": _rounded(set_scores(labels[chosen], _taken(snapshots, chosen), whole.classes))
        for low, high in pairwise(MAGNITUDES)
        if (chosen := np.flatnonzero((peak >= low) & (peak < high))).size
    }
    for part in table["by_magnitude"].values():
        for phase in part.values():
            del phase["per_class"]
    return table


def usual_sets(
    proba: FloatArray, labels: StrArray, classes: tuple[str, ...], fold: Any, classified: BoolArray
) -> dict[str, Any]:
    """Size and coverage of extragalactic objects, and least covered class, of one threshold for all."""
    order = np.argsort(-proba, axis=1)
    above = np.cumsum(np.take_along_axis(proba, order, 1), axis=1)
    score = np.empty_like(proba)
    np.put_along_axis(score, order, above, 1)
    own = score[np.arange(len(labels)), [classes.index(name) for name in labels]]
    inside = np.zeros(proba.shape, np.bool_)
    for k in np.unique(fold):
        known = own[classified & (fold != k)]
        rank = min(int(np.ceil((len(known) + 1) * COVERAGE)), len(known)) - 1
        inside[fold == k] = score[fold == k] <= np.sort(known)[rank]
    inside[np.arange(len(labels)), order[:, 0]] = True
    inside &= classified[:, None]
    table = set_scores(labels, {"": Snapshot(proba, classified, inside)}, classes)[""]
    worst = min(table["per_class"].items(), key=lambda item: item[1]["coverage"])
    return _rounded(table["extragalactic"] | {"worst": worst[0], "worst_coverage": worst[1]["coverage"]})


def real(pipeline: Pipeline, folder: Path) -> dict[str, Any]:
    """Coverage and size of real objects by phase, class and survey."""
    curves, types, source, _ = read_set(folder)
    table = {}
    for days in REAL_PHASES:
        found = pipeline.predict(curves.upto_phase(days))
        part = {phase_name(days): Snapshot.of(found)}
        scores = set_scores(types, part, found.classes)[phase_name(days)]
        scores["per_class"] = {
            name: row for name, row in scores["per_class"].items() if row["n"] >= LEAST_OBJECTS
        }
        scores["by_survey"] = {}
        for name in np.unique(source).tolist():
            own = np.flatnonzero(source == name)
            row = set_scores(types[own], _taken(part, own), found.classes)[phase_name(days)]
            if row["n"] >= LEAST_OBJECTS:
                scores["by_survey"][name] = {key: row[key] for key in ("coverage", "size", "n")}
        table[phase_name(days)] = _rounded(scores)
    return table


def brightest(curves: LightCurves) -> FloatArray:
    """AB magnitude of the brightest detection of each object; 98 without one."""
    flux = np.where(curves.detected, curves.flux, 0.0)
    filled = np.append(flux, 0.0)  # an object without observations reads the end
    peak = np.maximum.reduceat(filled, np.minimum(curves.offsets[:-1], len(flux)))
    known = peak > 0.0
    return np.where(known, AB_ZERO_POINT_NJY - 2.5 * np.log10(np.where(known, peak, 1.0)), 98.0)


def _taken(snapshots: dict[str, Snapshot], index: Any) -> dict[str, Snapshot]:
    return {name: part.take(index) for name, part in snapshots.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
