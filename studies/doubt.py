"""How far stated redshifts and lone bright points mislead bundles.

Run ``python -m studies.doubt --run runs/crossval-default`` from the top of the project after
``make crossval-default`` (about two minutes per preset); it writes ``docs/results/doubt-default.json``.

Protocol: every object of a cross-validation is answered by the bundle of its own fold, which has never seen
it, once as it is and once with a false statement: an extragalactic object stated at redshift 0, a Milky Way
object stated at 0.5 +- 0.03, an extragalactic redshift off by +0.3 or -0.3 with its stated error
unchanged. A lone point is an object cut to its observations before the trigger, with one of these
made a detection of 8 to 100 sigma. A confident error is a wrong answer of probability above .9. Spreads are
standard deviations between folds.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks._harness import result, write

from firstlight import LightCurves, Pipeline, load_plasticc
from firstlight.experiments.fold import load_fold, read_fold, those_of
from firstlight.simulate.augment import spoil

OUT = Path(__file__).parent.parent / "docs" / "results"
CONFIDENT = 0.9
SMALLEST = 0.01  # of a redshift that is made smaller
SHIFTS = (0.3, -0.3)
STATED = (0.5, 0.03)  # redshift and error given to Milky Way objects


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/crossval-default"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    curves, truth = load_plasticc()
    folds = []
    for folder in sorted(args.run.glob("fold-*")):
        test = those_of(curves, read_fold(folder).object_id)
        labels = truth.labels_of(test.object_id)
        folds.append(dict(doubts(load_fold(folder), test.with_redshift("photo"), labels, args.jobs)))
        print(folder.name, {key: tuple(value.values()) for key, value in folds[-1].items()}, flush=True)
    cases = {case: _over_folds([fold[case] for fold in folds]) for case in folds[0]}
    what = f"answers to false statements, fold bundles of {args.run.name} (studies/doubt.py)"
    protocol = " ".join((__doc__ or "").split("Protocol: ")[1].split())
    table = result(what, "numpy", protocol=protocol, n_folds=len(folds), cases=cases)
    write(args.out or OUT / f"doubt-{args.run.name.removeprefix('crossval-')}.json", table)


def doubts(
    pipeline: Pipeline, test: LightCurves, labels: np.ndarray, jobs: int
) -> Iterator[tuple[str, dict[str, float]]]:
    """Scores of each false statement."""
    z, err = test.redshift.astype(np.float64), test.redshift_err.astype(np.float64)
    extragalactic = z > 0.0

    def answers(of: LightCurves) -> tuple[np.ndarray, np.ndarray]:
        found = pipeline.predict(of, jobs=jobs)
        return np.array(found.classes)[found.proba.argmax(axis=1)], found.proba.max(axis=1)

    def stated(redshift: np.ndarray, error: np.ndarray, mask: np.ndarray) -> dict[str, float]:
        """Accuracy and confident errors of the masked objects, with these redshifts stated for all."""
        columns = {"redshift": redshift, "redshift_err": error}
        best, most = answers(test.with_columns(**{k: v.astype(np.float32) for k, v in columns.items()}))
        wrong = best != labels
        return {
            "n_objects": int(mask.sum()),
            "accuracy": float(np.mean(~wrong[mask])),
            "confident_errors": float(np.mean((wrong & (most > CONFIDENT))[mask])),
        }

    yield "extragalactic, as stated", stated(z, err, extragalactic)
    yield "Milky Way, as stated", stated(z, err, ~extragalactic)
    zero = np.zeros(len(z))
    yield "extragalactic, redshift 0", stated(zero, zero, extragalactic)
    far, far_err = (np.where(extragalactic, given, own) for given, own in ((z, STATED[0]), (err, STATED[1])))
    yield f"Milky Way, redshift {STATED[0]:g}", stated(far, far_err, ~extragalactic)
    for shift in SHIFTS:
        moved = np.where(extragalactic, np.maximum(z + shift, SMALLEST), z)
        yield f"extragalactic, redshift {shift:+g}", stated(moved, err, extragalactic)
    lone = spoil(test, np.random.default_rng(0), 1.0)
    lone = lone.take(lone.n_obs < test.n_obs)
    best, most = answers(lone)
    yield (
        "a lone bright point",
        {
            "n_objects": len(lone),
            "above_0.9": float(np.mean(most > CONFIDENT)),
            "called_KN": float(np.mean(best == "KN")),
        },
    )


def _over_folds(folds: list[dict[str, float]]) -> Mapping[str, Any]:
    table: dict[str, Any] = {"n_objects": sum(int(fold["n_objects"]) for fold in folds)}
    for key in folds[0]:
        if key != "n_objects":
            values = [fold[key] for fold in folds]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            table[key] = {
                "mean": round(float(np.mean(values)), 4),
                "std": None if spread is None else round(spread, 4),
            }
    return table


if __name__ == "__main__":
    main()
