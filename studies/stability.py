"""How steady answers are from night to night, and how soon the right one stays.

Run ``python -m studies.stability --run runs/crossval-default`` from the top of the project after ``make
crossval-default`` (two minutes per fold); it writes ``docs/results/stability.json``.

Protocol: every object of a cross-validation is answered by the bundle of its own fold, which has never
seen it, after each night with an observation from its trigger on (`Pipeline.timeline`). A flip is a
change of the most probable class from one answer to the next; answers before the object is classified
count as no class and start none. The Wasserstein distance between successive answers (as in
arXiv:2604.23792) takes two classes to be half a unit apart within a group of the taxonomy, and one unit
otherwise; the sum over an object's answers is the length of its path, which is one for an object that
goes straight from one group to another. The right answer stays from the first night after which the most
probable class is the true one in every answer. Spreads are standard deviations of a bootstrap over
objects.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks._harness import result, write

from firstlight import LightCurves, Pipeline, load_plasticc
from firstlight._types import FloatArray, StrArray
from firstlight.experiments.fold import load_fold, read_fold, those_of
from firstlight.taxonomy import CLASSES, COARSE, COARSE_GROUPS, GALACTIC

OUT = Path(__file__).parent.parent / "docs" / "results" / "stability.json"
DAYS = (0.0, 2.0, 8.0, 16.0, 32.0, 64.0, 128.0)
NEVER = np.inf
N_DRAWS = 500
COLUMNS = ("answers", "flips", "path", "first_right", "right_stays", "flips_after_32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the cross-validation")
    parser.add_argument("--folds", type=int, default=5, help="folds to use, from the first on")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, truth = load_plasticc()
    rows, labels = [], []
    folders = sorted(args.run.glob("fold-*"))[: args.folds]
    for folder in folders:
        test = those_of(curves, read_fold(folder).object_id)
        labels.append(truth.labels_of(test.object_id))
        rows.append(histories(load_fold(folder), test, labels[-1]))
        print(folder.name, flush=True)
    found, names = np.concatenate(rows), np.concatenate(labels)
    chosen = {"all": names == names, "extragalactic": ~np.isin(names, list(GALACTIC))}
    cases = {name: summary(found[mask]) for name, mask in chosen.items()}
    classes = {c: summary(found[names == c], draws=0) for c in CLASSES if (names == c).any()}
    protocol = " ".join((__doc__ or "").split("Protocol: ")[1].split())
    what = f"answers night by night, fold bundles of {args.run.name} (studies/stability.py)"
    table = {"n_folds": len(folders), "cases": cases, "per_class": classes}
    write(args.out, result(what, "numpy", protocol=protocol, **table))


def histories(pipeline: Pipeline, test: LightCurves, labels: StrArray) -> FloatArray:
    """`COLUMNS` of each object."""
    out = np.full((len(test), len(COLUMNS)), np.nan)
    for k in range(len(test)):
        answers = pipeline.timeline(test.take([k]), jobs=1).predictions
        known = answers.is_classified
        if known.any():
            out[k] = steadiness(answers.proba[known], answers.phase[known], CLASSES.index(str(labels[k])))
    return out


def steadiness(proba: FloatArray, phase: FloatArray, truth: int) -> FloatArray:
    """`COLUMNS` of one object from its answers, in order of time."""
    best = proba.argmax(axis=1)
    right = best == truth
    flip = best[1:] != best[:-1]
    wrong = np.flatnonzero(~right)
    stays = NEVER if not right[-1] else float(phase[wrong[-1] + 1 if len(wrong) else 0])
    first = float(phase[np.argmax(right)]) if right.any() else NEVER
    late = flip & (phase[1:] > 32.0)
    return np.array([len(best), flip.sum(), distances(proba).sum(), first, stays, late.sum()], np.float64)


def distances(proba: FloatArray) -> FloatArray:
    """Wasserstein distance between successive answers: in a tree, a sum over its edges."""
    change = np.diff(proba, axis=0)
    group = np.array([[COARSE[c] == g for g in COARSE_GROUPS] for c in CLASSES], np.float64)
    return np.asarray(0.25 * np.abs(change).sum(axis=1) + 0.25 * np.abs(change @ group).sum(axis=1))


def summary(rows: FloatArray, draws: int = N_DRAWS) -> dict[str, Any]:
    """Means over objects that were classified at all, with their spread."""
    rows = rows[~np.isnan(rows[:, 0])]
    answers, flips, path, first, stays, late = rows.T
    measures: dict[str, Callable[[Any], float]] = {
        "flips_per_object": lambda i: float(flips[i].mean()),
        "without_a_flip": lambda i: float(np.mean(flips[i] == 0)),
        "flips_after_32_days": lambda i: float(late[i].mean()),
        "path": lambda i: float(path[i].mean()),
        "distance_per_answer": lambda i: float(path[i].sum() / np.maximum(answers[i] - 1, 0).sum()),
        "ever_right": lambda i: float(np.mean(first[i] < NEVER)),
        "right_stays": lambda i: float(np.mean(stays[i] < NEVER)),
        "median_days_until_first_right": lambda i: float(np.median(first[i])),
        "median_days_until_right_stays": lambda i: float(np.median(stays[i])),
    }
    for days in DAYS:
        measures[f"right_stays_by_{days:g}"] = lambda i, d=days: float(np.mean(stays[i] <= d))  # type: ignore[misc]
    rng = np.random.default_rng(0)
    table: dict[str, Any] = {"n_objects": len(rows), "answers_per_object": round(float(answers.mean()), 1)}
    for name, measure in measures.items():
        value: float | None = measure(slice(None))
        resampled = [measure(rng.integers(0, len(rows), len(rows))) for _ in range(draws)]
        finite = bool(np.isfinite(resampled).all()) and value != NEVER
        std = round(float(np.std(resampled, ddof=1)), 4) if draws and finite else None
        value = None if value == NEVER else round(float(value or 0.0), 4)
        table[name] = [value, std]
    return table


if __name__ == "__main__":
    main()
