"""Gains of the shipped bundles on real sky without training: mixtures, class mix; and missed objects.

Run ``python -m studies.sky_answers --data FOLDER --run FOLDER`` from the top of the project (five
minutes); it writes ``docs/results/sky-answers.json``. FOLDER of ``--data`` is that of `studies.real_sky`;
that of ``--run`` holds the folds of cross-validations of both presets, as ``default/fold-1`` and
``fast/fold-1``.

Protocol: real objects as in `real_sky`, its choosing half alone; PLAsTiCC: fold predictions of 7,848
objects which the folds' bundles have not seen. `mixtures`: the answers of `default` and `fast` are
multiplied, each to the power of its share, and scaled to sum to one. `prior`: answers of `default`
under the class mix `bts`, by source. `missed`: superluminous supernovae and tidal disruptions of the
choosing half, whole curves, by their properties: bands, redshift, bluest and reddest rest-frame
wavelength, peak, first and last observation from the peak; recall below and above the median of each,
and the p-value of a rank test between right and wrong.  Spreads are standard deviations over bootstrap
samples, of PLAsTiCC between folds.
"""

from benchmarks._harness import result

# isort: split
import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu
from studies.real_sky import N_BINS, SALT, read_set

from firstlight import CLASSES, LightCurves, Pipeline, Predictions, load_plasticc
from firstlight._types import BoolArray, FloatArray, StrArray
from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.cosmology import distance_modulus
from firstlight.experiments.fold import read_fold
from firstlight.metrics import phase_name
from firstlight.metrics.curves import calibration_error
from firstlight.metrics.scores import headline
from firstlight.splits import hash_fraction
from firstlight.taxonomy import class_index

OUT = Path(__file__).parent.parent / "docs" / "results" / "sky-answers.json"
PHASES = (2.0, 8.0, 32.0, np.inf)  # days since trigger
SHARES = {"default": 1.0, "default .67, fast .33": 0.67, "default .5, fast .5": 0.5, "fast": 0.0}
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss", "ece")
N_RESAMPLES = 200
MISSED = ("SLSN-I", "TDE")
SIGNIFICANT = 3.0


def mixed(first: FloatArray, second: FloatArray, share: float) -> FloatArray:
    """Both answers multiplied, each to the power of its share, and scaled to sum to one."""
    if share in (0.0, 1.0):
        return first if share == 1.0 else second
    raw = share * np.log(np.maximum(first, 1e-12)) + (1.0 - share) * np.log(np.maximum(second, 1e-12))
    raw = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(raw / raw.sum(axis=1, keepdims=True))


def scores(labels: StrArray, proba: FloatArray) -> dict[str, float]:
    """Scores of some objects."""
    truth = class_index(labels.tolist())
    found = headline(truth, proba, np.ones(len(CLASSES)))
    found["ece"] = calibration_error(proba.argmax(axis=1) == truth, proba.max(axis=1), N_BINS)
    return {key: found[key] for key in SCORES} | _recalls(truth, proba)


def _recalls(truth: Any, proba: FloatArray) -> dict[str, float]:
    right = proba.argmax(axis=1) == truth
    names = ("SLSN-I", "TDE", "SNII", "SNIa")
    return {
        f"recall {name}": float(right[truth == CLASSES.index(name)].mean())
        for name in names
        if (truth == CLASSES.index(name)).any()
    }


def with_spread(labels: StrArray, proba: FloatArray) -> dict[str, dict[str, float]]:
    """Scores with their bootstrap standard deviations."""
    rng = np.random.default_rng(0)
    draws = [rng.choice(len(labels), len(labels)) for _ in range(N_RESAMPLES)]
    best, spread = scores(labels, proba), [scores(labels[rows], proba[rows]) for rows in draws]
    return {
        key: {
            "value": round(value, 4),
            "std": round(float(np.nanstd([one.get(key, np.nan) for one in spread])), 4),
        }
        for key, value in best.items()
    }


def mixtures_on_real(
    found: dict[str, dict[float, Predictions]], labels: StrArray, choosing: BoolArray
) -> dict[str, Any]:
    """Scores of the choosing half by share and phase."""
    return {
        name: {
            phase_name(days): with_spread(
                labels[choosing],
                mixed(found["default"][days].proba, found["fast"][days].proba, share)[choosing],
            )
            for days in PHASES
        }
        for name, share in SHARES.items()
    }


def mixtures_on_folds(run: Path) -> dict[str, Any]:
    """Scores of the fold predictions by share and phase, mean and spread between folds."""
    truth = load_plasticc()[1]
    table: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in SHARES}
    for folder in sorted((run / "default").glob("fold-*")):
        for days in PHASES:
            first, second = read_fold(folder, days), read_fold(run / "fast" / folder.name, days)
            assert first.object_id.tolist() == second.object_id.tolist()
            labels = truth.labels_of(first.object_id)
            for name, share in SHARES.items():
                proba = mixed(first.proba, second.proba, share)
                table[name].setdefault(phase_name(days), []).append(scores(labels, proba))
    return {
        name: {
            phase: {
                key: {
                    "value": round(float(np.mean([fold[key] for fold in folds])), 4),
                    "std": round(float(np.std([fold[key] for fold in folds], ddof=1)), 4),
                }
                for key in folds[0]
            }
            for phase, folds in phases.items()
        }
        for name, phases in table.items()
    }


def prior_by_source(
    answers: Predictions, labels: StrArray, source: StrArray, choosing: BoolArray
) -> dict[str, dict[str, float]]:
    """Accuracy and log-loss of each source under the frequencies of training and under `bts`."""
    truth = class_index(labels.tolist())
    table = {}
    under = {"training": answers, "bts": answers.with_prior("bts")}
    for name in (*np.unique(source).tolist(), "all"):
        rows = np.flatnonzero(choosing & ((source == name) | (name == "all")))
        own: dict[str, float] = {"n_objects": len(rows)}
        for mix, found in under.items():
            proba = found.proba[rows]
            chance = np.maximum(proba[np.arange(len(rows)), truth[rows]], 1e-15)
            own[f"accuracy, {mix}"] = round(float((proba.argmax(axis=1) == truth[rows]).mean()), 4)
            own[f"log_loss, {mix}"] = round(float(-np.log(chance).mean()), 4)
        table[name] = own
    return table


def described(curves: LightCurves) -> dict[str, FloatArray]:
    """Properties of each object."""
    owner, n = curves.object_index, len(curves)
    good = curves.flux > SIGNIFICANT * curves.flux_err
    z = curves.redshift.astype(np.float64)
    rest = EFFECTIVE_WAVELENGTH[curves.band] / (1.0 + z[owner])
    blue, red = np.full(n, np.inf), np.zeros(n)
    np.minimum.at(blue, owner, rest)
    np.maximum.at(red, owner, rest)
    peak, at, first, last = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    for i in range(n):
        rows = np.flatnonzero((owner == i) & good)
        if not len(rows):
            rows = np.flatnonzero(owner == i)
        peak[i], at[i] = curves.flux[rows].max(), curves.mjd[rows[np.argmax(curves.flux[rows])]]
        first[i], last[i] = curves.mjd[rows[0]], curves.mjd[rows[-1]]
    pairs = np.unique(np.stack([owner, curves.band]), axis=1)
    share = np.bincount(owner, good, minlength=n) / np.maximum(curves.n_obs, 1)
    return {
        "bands": np.bincount(pairs[0], minlength=n).astype(np.float64),
        "observations": curves.n_obs.astype(np.float64),
        "share of significant observations": share,
        "redshift": z,
        "bluest rest-frame wavelength [Angstrom]": blue,
        "reddest rest-frame wavelength [Angstrom]": red,
        "absolute peak magnitude": 31.4 - 2.5 * np.log10(np.maximum(peak, 1e-3)) - distance_modulus(z),
        "apparent peak magnitude": 31.4 - 2.5 * np.log10(np.maximum(peak, 1e-3)),
        "rest-frame days before the peak": (at - first) / (1.0 + z),
        "rest-frame days after the peak": (last - at) / (1.0 + z),
    }


def missed(
    curves: LightCurves, labels: StrArray, answers: Predictions, choosing: BoolArray
) -> dict[str, dict[str, Any]]:
    """Recall of each class below and above the median of each property."""
    right = answers.proba.argmax(axis=1) == class_index(labels.tolist())
    known, table = described(curves), {}
    for name in MISSED:
        own = choosing & (labels == name)
        hit = right[own]
        best = np.array(CLASSES)[answers.proba[own].argmax(axis=1)]
        names, counts = np.unique(best, return_counts=True)
        table[name] = {
            "n_objects": int(own.sum()),
            "answers": {str(a): int(c) for a, c in zip(names, counts, strict=True)},
        }
        for key, values in known.items():
            x = values[own]
            middle = float(np.median(x))
            low = x <= middle
            table[name][key] = {
                "median": round(middle, 3),
                "recall to the median": round(float(hit[low].mean()), 3),
                "recall above": round(float(hit[~low].mean()), 3) if (~low).any() else None,
                "median of the right": round(float(np.median(x[hit])), 3),
                "median of the wrong": round(float(np.median(x[~hit])), 3),
                "p": round(float(mannwhitneyu(x[hit], x[~hit]).pvalue), 4),
            }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, labels, source, _ = read_set(args.data)
    choosing = hash_fraction(curves.object_id, SALT) < 0.5
    found = {
        name: {days: Pipeline.load(name).predict(curves.upto_phase(days), jobs=1) for days in PHASES}
        for name in ("default", "fast")
    }
    whole = found["default"][np.inf]
    table = result(
        "answers of the shipped bundles to real objects (studies/sky_answers.py)",
        "numpy",
        protocol=" ".join((__doc__ or "").split("Protocol: ")[1].split()),
        n_objects=int(choosing.sum()),
        mixtures={"real": mixtures_on_real(found, labels, choosing), "plasticc": mixtures_on_folds(args.run)},
        prior=prior_by_source(whole, labels, source, choosing),
        missed=missed(curves, labels, whole, choosing),
    )
    args.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
