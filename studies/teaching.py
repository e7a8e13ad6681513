"""Which spectra teach a classifier most: those of uncertain objects, of high utility, bright ones, or any.

Run ``python -m studies.teaching`` from the top of the project (ten minutes of one core); it writes
``studies/results/teaching.json`` and ``docs/images/teaching.png``.

Protocol: PLAsTiCC training set. A fifth of the objects, by hash, is the test set. Of the others, 300 bright
ones (brighter than 21 mag at peak) are labelled at the start, as a spectroscopic sample is. The rest is
replayed in order of the first detection, in five seasons; in each, 100 objects that are brighter than 22.5
mag eight days after their first detection get a spectrum, chosen by the answers of that season's
classifier at that time. Then it is trained again on all labels, with rows of day 8 and of the whole light
curve, on the inputs of preset `fast` that need no training. `utility` is the score of `firstlight rank`
without novelty, `utility, --learn 1` the same with the entropy of the class probabilities added to the worth,
`entropy` that entropy alone, `least sure` one minus the largest probability, `two classes alike` the
difference of the two largest. Scores are those of the test set after the last season. Differences to the
choice by chance are paired by start sample, with their standard error over the start samples.
"""

from benchmarks._harness import result, write

# isort: split
import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firstlight import LightCurves, load_plasticc
from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.bands import AB_ZERO_POINT_NJY
from firstlight.classify import LightGBMBooster, LightGBMConfig, TrainingRows, to_all_classes
from firstlight.encoder.contrast import contrasts
from firstlight.encoder.steps import StepsConfig, make_steps
from firstlight.followup.brightness import Brightness, measure_brightness
from firstlight.followup.utility import FollowupConfig, followup_utility, uncertainty
from firstlight.metrics import score
from firstlight.preprocess import PreprocessConfig, preprocess
from firstlight.report.style import (
    ACCENT,
    INK,
    MAIN,
    label_panels,
    legend_above,
    panel_grid,
    save_figure,
    styled,
)
from firstlight.splits import hash_split
from firstlight.taxonomy import CLASSES, GALACTIC

OUT = Path(__file__).parent / "results" / "teaching.json"
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "teaching.png"
DAYS = 8.0
N_START, N_SEASONS, N_SPECTRA = 300, 5, 100
START_MAG, LIMIT_MAG = 21.0, 22.5
METRICS = ("accuracy", "macro_f1", "macro_auc", "log_loss")
BOOSTER = LightGBMConfig(rounds=60, learning_rate=0.12, min_data_in_leaf=5, feature_fraction=0.2, max_bin=63)
CHANCE = "by chance"


@dataclass(frozen=True)
class Season:
    """Candidates for a spectrum, as they stand eight days after their first detection."""

    proba: FloatArray  # (n_objects, n_classes)
    mag: FloatArray  # (n_objects,); brightest magnitude
    brightness: Brightness
    mjd: FloatArray  # (n_objects,); time of day 8
    dice: FloatArray  # (n_objects,); random numbers

    def utility(self, learn: float) -> FloatArray:
        """Utility of a spectrum on the next night."""
        n = len(self.proba)
        config = FollowupConfig(limit_mag=LIMIT_MAG, learn=learn)
        nothing, all_known = np.full(n, np.nan), np.ones(n, np.bool_)
        return followup_utility(self.proba, nothing, all_known, self.brightness, self.mjd + 1.0, config).total


#: Worth of a spectrum of each candidate.
CHOICES: dict[str, Callable[[Season], FloatArray]] = {
    CHANCE: lambda season: season.dice,
    "brightest": lambda season: -season.mag,
    "utility": lambda season: season.utility(0.0),
    "utility, --learn 1": lambda season: season.utility(1.0),
    "entropy": lambda season: uncertainty(season.proba),
    "least sure": lambda season: -season.proba.max(axis=1),
    "two classes alike": lambda season: -np.diff(np.sort(season.proba, axis=1)[:, -2:])[:, 0],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    args = parser.parse_args()
    sky = Sky()
    found: dict[str, list[Any]] = {}
    protocol = " ".join((__doc__ or "").split("Protocol: ")[1].split())
    head = result("which spectra teach most (studies/teaching.py)", "lightgbm")
    for seed in range(args.starts):
        for name, scores in sky.replay(seed).items():
            found.setdefault(name, []).append(scores)
        chosen = {name: tables(runs, found[CHANCE]) for name, runs in found.items()}
        table = head | {"protocol": protocol, "starts": seed + 1, "choices": chosen}
        write(args.out, table, show=False)
        print(seed, {name: own["difference"] for name, own in chosen.items()}, flush=True)
    save_figure(learning(chosen), args.picture)


class Sky:
    """The training set: inputs on day 8 and whole, magnitudes, and who is tested."""

    def __init__(self) -> None:
        curves, truth = load_plasticc()
        self.labels: StrArray = truth.labels_of(curves.object_id)
        self.trigger = curves.trigger_mjd
        young = curves.upto_phase(DAYS)
        self.rows = {"day 8": inputs(young), "whole": inputs(curves)}
        self.peak, self.mag = magnitude(curves), magnitude(young)
        self.brightness = measure_brightness(young)
        self.test = np.zeros(len(curves), np.bool_)
        self.test[hash_split(curves.object_id).test] = True

    def replay(self, seed: int) -> dict[str, list[Any]]:
        """Scores at the start and after each season, by choice."""
        rng = np.random.default_rng(seed)
        pool = np.flatnonzero(~self.test & np.isfinite(self.trigger))
        start = rng.permutation(pool[self.peak[pool] < START_MAG])[:N_START]
        later = np.setdiff1d(pool, start)
        later = later[np.argsort(self.trigger[later], kind="stable")]
        seasons = np.array_split(later[self.mag[later] < LIMIT_MAG], N_SEASONS)
        first = self.train(start)
        begun = self.evaluate(first)
        found = {}
        for name, choice in CHOICES.items():
            model, known, scores = first, start, [begun]
            for season in seasons:
                worth = choice(self.season(model, season, rng))
                known = np.append(known, season[np.argsort(-worth, kind="stable")[:N_SPECTRA]])
                model = self.train(known)
                scores.append(self.evaluate(model))
            found[name] = [*scores, self.taken(known[N_START:])]
        return found

    def season(self, model: LightGBMBooster, who: IntArray, rng: np.random.Generator) -> Season:
        """The candidates of a season, with a classifier's answers."""
        proba = to_all_classes(model.predict_proba(self.rows["day 8"][who]), model.classes)
        bright, mjd = self.brightness.take(who), self.trigger[who] + DAYS
        return Season(proba, self.mag[who], bright, mjd, rng.random(len(who)))

    def train(self, known: IntArray) -> LightGBMBooster:
        """A booster on both rows of each labelled object."""
        X = np.concatenate([part[known] for part in self.rows.values()])
        labels, owner = np.tile(self.labels[known], len(self.rows)), np.tile(known, len(self.rows))
        return LightGBMBooster(BOOSTER).fit(TrainingRows(X, labels, object_id=owner))

    def evaluate(self, model: LightGBMBooster) -> dict[str, dict[str, float]]:
        """Scores of the test set on day 8 and of whole light curves."""
        scores = {}
        for view, part in self.rows.items():
            proba = to_all_classes(model.predict_proba(part[self.test]), model.classes)
            made = score(self.labels[self.test], proba, CLASSES)
            scores[view] = {metric: float(made[metric]) for metric in METRICS}
        return scores

    def taken(self, known: IntArray) -> dict[str, float]:
        """Objects of the spectra: median magnitude, share of the Milky Way, classes with ten or more."""
        counts = np.unique(self.labels[known], return_counts=True)[1]
        return {
            "median magnitude": float(np.median(self.mag[known])),
            "share in the Milky Way": float(np.isin(self.labels[known], list(GALACTIC)).mean()),
            "classes with ten or more": float((counts >= 10).sum()),
        }


def inputs(curves: LightCurves) -> FloatArray:
    """Summaries of the light curves, which need no training."""
    context = make_steps(preprocess(curves, PreprocessConfig()), StepsConfig()).context()
    return np.hstack([context, contrasts(context)])


def magnitude(curves: LightCurves) -> FloatArray:
    """AB magnitude of the brightest observation of each object; 99 without a positive flux."""
    filled = np.append(curves.flux.astype(np.float64), 0.0)
    peak = np.maximum.reduceat(filled, np.minimum(curves.offsets[:-1], len(curves.flux)))
    known: BoolArray = (peak > 0.0) & (curves.n_obs > 0)
    return np.where(known, AB_ZERO_POINT_NJY - 2.5 * np.log10(np.where(known, peak, 1.0)), 99.0)


def tables(runs: list[Any], chance: list[Any]) -> dict[str, Any]:
    """Scores after the last season, their differences to the choice by chance, and growth by season."""

    def last(which: list[Any], view: str, metric: str) -> FloatArray:
        return np.array([one[N_SEASONS][view][metric] for one in which])

    out: dict[str, Any] = {"scores": {}, "difference": {}, "growth": {}}
    for view in ("day 8", "whole"):
        gains = {metric: last(runs, view, metric) - last(chance, view, metric) for metric in METRICS}
        out["scores"][view] = {metric: spread(last(runs, view, metric)) for metric in METRICS}
        out["difference"][view] = {metric: spread(gain, error=True) for metric, gain in gains.items()}
        growth = np.array([[season[view]["accuracy"] for season in one[: N_SEASONS + 1]] for one in runs])
        out["growth"][view] = growth.mean(axis=0).round(4).tolist()
    out["spectra"] = {key: round(float(np.mean([one[-1][key] for one in runs])), 3) for key in runs[0][-1]}
    return out


def spread(values: FloatArray, *, error: bool = False) -> dict[str, float]:
    """Mean, and standard deviation or standard error over the start samples."""
    std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {
        "mean": round(float(values.mean()), 4),
        "error" if error else "std": round(std / np.sqrt(len(values)) if error else std, 4),
    }


#: Colour and dashes of each choice in the picture.
DRAWN: dict[str, tuple[str, Any]] = {
    CHANCE: ("#888888", "-"),
    "brightest": ("#999933", ":"),
    "utility": (MAIN, (0, (5, 1))),
    "utility, --learn 1": ("#AA4499", "-."),
    "entropy": ("#009E73", "--"),
    "least sure": ("#56B4E9", "-"),
    "two classes alike": (ACCENT, "-"),
}


@styled
def learning(chosen: dict[str, Any]) -> Any:
    """Accuracy on the test set against the number of labels, a panel per view."""
    figure, panels = panel_grid(2, 2, 2.4)
    labels = N_START + N_SPECTRA * np.arange(N_SEASONS + 1)
    for panel, view in zip(panels, ("day 8", "whole"), strict=True):
        for name, own in chosen.items():
            colour, dash = DRAWN[name]
            panel.plot(labels, own["growth"][view], color=colour, ls=dash, label=name)
        panel.set_title({"day 8": "after eight days", "whole": "whole light curves"}[view], color=INK)
        panel.grid(True)
    label_panels(figure, "labelled objects", "accuracy on the test set")
    legend_above(figure, panels[0], 4)
    return figure


if __name__ == "__main__":
    main()
