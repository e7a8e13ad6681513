"""The gain from a class mix that is stated, or estimated from the objects: whole curves and day 2.

Run ``python -m studies.mix --run runs/crossval-default`` from the top of the project after
``make crossval-default`` (seconds per preset); it writes ``docs/results/mix-default.json``.

Protocol: the test objects of each fold of a cross-validation, weighted so that their classes have the
frequencies of a mix (classes without test objects are left out of it), answered at some days since trigger
under the frequencies of training, under the mix as stated, and under a mix that expectation maximisation
estimates from the weighted probabilities of the same objects at the same phase, or of their whole curves;
it reads no label. All numbers are weighted: accuracy, log-loss [nat], and how far the estimated mix is from
the true one (half the sum of the absolute differences of the frequencies). An object that is not classified
has the frequencies that are assumed as its probabilities. Spreads are standard deviations between folds.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks._harness import result, write

from firstlight import load_plasticc
from firstlight.data import Truth
from firstlight.experiments.fold import load_fold, read_fold
from firstlight.metrics.scores import SMALLEST_PROBA
from firstlight.mix import ClassMix, estimate_mix, mix_names, under_mix
from firstlight.predictions import Predictions

OUT = Path(__file__).parent.parent / "docs" / "results"
PHASES = (2.0, 8.0, 32.0, 64.0, np.inf)  # days since trigger
TRAINED = "as in training"
KINDS = ("training frequencies", "stated", "estimated", "estimated from whole curves")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/crossval-default"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    truth = load_plasticc()[1]
    folds = [of_fold(folder, truth) for folder in sorted(args.run.glob("fold-*"))]
    mixes = {
        mix: {
            phase: {kind: _over_folds([fold[mix][phase][kind] for fold in folds]) for kind in KINDS}
            for phase in folds[0][mix]
        }
        for mix in folds[0]
    }
    name = args.run.name.removeprefix("crossval-")
    what = f"class mixes, stated and estimated, fold predictions of {args.run.name} (studies/mix.py)"
    protocol = " ".join((__doc__ or "").split("Protocol: ")[1].split())
    table = result(what, "numpy", protocol=protocol, n_folds=len(folds), mixes=mixes)
    write(args.out or OUT / f"mix-{name}.json", table)


def of_fold(folder: Path, truth: Truth) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Scores by mix, phase and kind of answer."""
    trained = load_fold(folder).frequencies
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    by_phase = {days: read_fold(folder, days) for days in PHASES}
    whole = by_phase[np.inf]
    code = _codes(whole, truth)
    share = np.bincount(code, minlength=len(whole.classes)) / len(code)
    for name in (TRAINED, *mix_names()):
        mix = share
        if name != TRAINED:
            mix = ClassMix.read(name).frequencies(whole.classes, trained)[0] * (share > 0.0)
            mix = mix / mix.sum()
        weight = (mix / np.where(share > 0.0, share, 1.0))[code]
        found[name] = {}
        late = estimate_mix(whole.proba, trained, weight)
        for days, answers in by_phase.items():
            own = answers.is_classified
            assumed = {
                "training frequencies": trained,
                "stated": mix,
                "estimated": estimate_mix(answers.proba[own], trained, weight[own]),
                "estimated from whole curves": late,
            }
            phase = "whole" if np.isinf(days) else f"{days:g}"
            found[name][phase] = {
                kind: _scores(answers, trained, after, mix, code, weight) for kind, after in assumed.items()
            }
    return found


def _codes(answers: Predictions, truth: Truth) -> np.ndarray:
    place = {name: k for k, name in enumerate(answers.classes)}
    return np.array([place[name] for name in truth.labels_of(answers.object_id).tolist()])


def _scores(
    answers: Predictions,
    trained: np.ndarray,
    assumed: np.ndarray,
    mix: np.ndarray,
    code: np.ndarray,
    weight: np.ndarray,
) -> dict[str, float]:
    proba = under_mix(answers.proba, trained, assumed)
    proba = np.where(answers.is_classified[:, None], proba, assumed)
    own = np.maximum(proba[np.arange(len(code)), code], SMALLEST_PROBA)
    return {
        "accuracy": float(np.average(proba.argmax(axis=1) == code, weights=weight)),
        "log_loss": float(-np.average(np.log(own), weights=weight)),
        "distance": float(0.5 * np.abs(assumed - mix).sum()),
    }


def _over_folds(folds: list[dict[str, float]]) -> dict[str, Any]:
    return {
        key: {
            "mean": round(float(np.mean([fold[key] for fold in folds])), 4),
            "std": round(float(np.std([fold[key] for fold in folds], ddof=1)), 4),
        }
        for key in folds[0]
    }


if __name__ == "__main__":
    main()
