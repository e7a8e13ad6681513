"""Typed objects of real surveys, which no training has seen: how well do bundles classify them.

Run ``python -m studies.real_sky --data FOLDER`` from the top of the project (about a minute per bundle);
FOLDER holds ``curves.parquet`` and ``objects.parquet``. It writes ``docs/results/real-sky.json``.

Protocol: objects of the six types SNIa, SNII, SNIbc, SLSN-I, TDE, RRL. The spectroscopic redshift is given
as a photo-z with an error of .02 (0 for Milky Way objects), E(B-V) is given, limits are not used. The
answer is the most probable of all classes. Balanced accuracy is the mean recall of the six, macro F1 the
mean over the six, AUC one class against the rest, ECE that of the top class in ten bins. The hash of the
object's name puts it into one of two halves: `choosing`, on which settings were compared, and `testing`,
which chose nothing. Some objects stand in two catalogues under two names; `once` are the scores of a half
without second names, and without objects whose other name is in the other half. Nothing here is trained on.
Spreads are standard deviations over bootstrap samples of the objects.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from benchmarks._harness import result, write

import firstlight
from firstlight import LightCurves, Pipeline, Predictions, RejectLog
from firstlight.metrics.curves import calibration_error
from firstlight.metrics.scores import headline
from firstlight.splits import hash_fraction, twins
from firstlight.taxonomy import CLASSES, class_index

OUT = Path(__file__).parent.parent / "docs" / "results" / "real-sky.json"
TYPES = ("SNIa", "SNII", "SNIbc", "SLSN-I", "TDE", "RRL")
PHASES = (0.0, 2.0, 8.0, 16.0, 32.0, 64.0, np.inf)  # days since trigger
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "ece")
REDSHIFT_ERR = 0.02
N_BINS = 10
N_RESAMPLES = 200
SALT = "real-sky"  # of the hash that makes the halves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of curves.parquet and objects.parquet"
    )
    parser.add_argument("--bundle", nargs="+", default=["default", "fast"])
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, types, source, read = read_set(args.data)
    protocol = " ".join((__doc__ or "").split("Protocol: ")[1].split())
    scores: dict[str, Any] = {}
    for name in args.bundle:
        found = evaluate(Pipeline.load(name), curves, types, source)
        scores[Path(name).name] = found
        for half, part in found.items():
            line = ", ".join(f"{metric} {part['whole'][metric]['value']:.3f}" for metric in METRICS)
            print(f"{name}, {half} half: {line}")
    what = "typed objects of real surveys, none of them trained on (studies/real_sky.py)"
    table = result(what, "numpy", protocol=protocol, objects=read, bundles=scores)
    write(args.out, table, show=False)


def read_set(folder: Path) -> tuple[LightCurves, np.ndarray, np.ndarray, dict[str, Any]]:
    """Light curves with types, sources and counts; objects of other types are left out."""
    rejects = RejectLog()
    curves = firstlight.read(folder / "curves.parquet", folder / "objects.parquet", rejects=rejects)
    table = pq.read_table(folder / "objects.parquet", columns=["object_id", "type", "source"]).to_pydict()
    place = {name: k for k, name in enumerate(table["object_id"])}
    row = [place[name] for name in curves.object_id.tolist()]
    types, source = (np.array(table[key], dtype=np.str_)[row] for key in ("type", "source"))
    wanted = np.isin(types, TYPES)
    curves, types, source = curves.take(wanted), types[wanted], source[wanted]
    err = np.where(curves.redshift > 0.0, REDSHIFT_ERR, 0.0).astype(np.float32)
    read = {
        "listed": len(place),
        "scored": len(curves),
        "of other types": int((~wanted).sum()),
        "without an observation in ugrizy": len(place) - len(wanted),
    }
    return curves.with_columns(redshift_err=err), types, source, read


def evaluate(
    pipeline: Pipeline, curves: LightCurves, types: np.ndarray, source: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Scores of both halves: whole curves, and by type, source, number of bands and days since trigger."""
    truth = class_index(types.tolist())
    choosing = hash_fraction(curves.object_id, SALT) < 0.5
    pairs = [np.flatnonzero(np.isin(curves.object_id, pair)) for pair in twins(curves)]
    by_phase = {days: pipeline.predict(curves.upto_phase(days), jobs=1) for days in PHASES}
    whole = by_phase[np.inf]
    seen = np.unique(np.stack([curves.object_index, curves.band]), axis=1)
    n_bands = np.bincount(seen[0], minlength=len(curves))
    found = {}
    for half, mask in (("choosing", choosing), ("testing", ~choosing)):
        rows = np.flatnonzero(mask)
        once = rows[~np.isin(rows, [b if mask[b] else a for a, b in pairs])]
        found[half] = {
            "n_objects": len(rows),
            "whole": scores_of(whole, truth, rows),
            "once": {"n_objects": len(once)} | scores_of(whole, truth, once),
            "by_type": dict(_parts(whole, truth, types, rows)),
            "by_source": dict(_parts(whole, truth, source, rows)),
            "by_bands": dict(_parts(whole, truth, n_bands, rows)),
            "by_phase": {
                "whole" if np.isinf(days) else f"{days:g}": scores_of(part, truth, rows)
                for days, part in by_phase.items()
            },
            "answers": _answers(whole, types, rows),
        }
    return found


def scores_of(found: Predictions, truth: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """Scores of some objects, each with its bootstrap standard deviation."""
    rng = np.random.default_rng(0)
    draws = [rng.choice(rows, len(rows)) for _ in range(N_RESAMPLES)]
    best = _scores(found.proba[rows], truth[rows])
    spread = [_scores(found.proba[draw], truth[draw]) for draw in draws]
    return {
        metric: {
            "value": round(best[metric], 4),
            "std": round(float(np.nanstd([one[metric] for one in spread])), 4),
        }
        for metric in METRICS
    }


def _scores(proba: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    scores = headline(truth, proba, np.ones(len(CLASSES)))
    right = proba.argmax(axis=1) == truth
    return scores | {"ece": calibration_error(right, proba.max(axis=1), N_BINS)}


def _parts(
    found: Predictions, truth: np.ndarray, group: np.ndarray, rows: np.ndarray
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Accuracy in each group with its binomial standard deviation, and the number of objects."""
    right = found.proba.argmax(axis=1) == truth
    for name in np.unique(group[rows]).tolist():
        chosen = rows[group[rows] == name]
        share = float(right[chosen].mean())
        std = float(np.sqrt(share * (1.0 - share) / len(chosen)))
        yield str(name), {"accuracy": round(share, 4), "std": round(std, 4), "n_objects": len(chosen)}


def _answers(found: Predictions, types: np.ndarray, rows: np.ndarray) -> dict[str, dict[str, int]]:
    """For each type, how often each class was the answer."""
    answer = np.array(CLASSES)[found.proba.argmax(axis=1)]
    table = {}
    for name in TYPES:
        names, counts = np.unique(answer[rows[types[rows] == name]], return_counts=True)
        table[name] = {str(n): int(c) for n, c in zip(names, counts, strict=True)}
    return table


if __name__ == "__main__":
    main()
