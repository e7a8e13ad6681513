"""Limitation: gaps. Observations, stretches of time and whole bands are taken from test objects.

The paper says that gaps distort what its autoencoder redraws and prints no number of it.
Pipelines stay as trained (on copies that lack at most 30 % of their observations and at
times a stretch of 40 days, and from which no band was withheld); test objects lose ever more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight.bands import BANDS
from firstlight.lightcurves import LightCurves
from firstlight.predictions import Predictions
from firstlight.report.style import ACCENT, FOURTH, MAIN, new_figure, styled
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.parts.limits import (
    band,
    brief,
    brief_of,
    change,
    folds_of,
    mean,
    score_columns,
    tidy,
    written_map,
)
from firstlight_paper.scores import scored, spread
from firstlight_paper.section import Part, Picture, Section, Table, plus_minus
from firstlight_paper.shared import OURS, pipeline_of, said_of
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["BLOCKS", "DROPPED", "KEPT_BANDS", "PART", "Gap", "leave_out"]

STAGE = "gaps"

#: Share of the observations dropped at random.
DROPPED = tuple(round(0.1 * k, 1) for k in range(1, 10))

#: Days without any observation, beginning half a day after the trigger.
BLOCKS = (10.0, 20.0, 40.0, 80.0, 160.0)
_AFTER_TRIGGER = 0.5  # so that the night of the trigger stays

_ALL_BANDS = "".join(BANDS)
#: Bands that are left: all but one, those of other surveys, pairs.
KEPT_BANDS = (
    *(_ALL_BANDS.replace(name, "") for name in BANDS),
    "griz",
    "gri",
    "gr",
    "gi",
    "iz",
)


@dataclass(frozen=True)
class Gap:
    """What one fold's test objects lack.

    Attributes
    ----------
    fold : int
        Fold.
    kind : {"dropped", "block", "bands"}
        Observations at random, a stretch of time after the trigger, whole bands.
    amount : float
        Share that is dropped, or length of the stretch [day].
    kept : str
        Bands that stay.
    """

    fold: int
    kind: Literal["dropped", "block", "bands"]
    amount: float = 0.0
    kept: str = _ALL_BANDS


def leave_out(curves: LightCurves, gap: Gap, rng: np.random.Generator) -> LightCurves:
    """The same objects without the observations that a gap takes.

    Parameters
    ----------
    curves : LightCurves
        Objects as observed.
    gap : Gap
        What they lose.
    rng : numpy.random.Generator
        Which observations are dropped, where that is random.

    Returns
    -------
    LightCurves
        Objects in the same order; one may have no observation left.
    """
    if gap.kind == "dropped":
        return curves.keep(rng.random(len(curves.mjd)) >= gap.amount)
    if gap.kind == "bands":
        return curves.keep(np.isin(curves.band, [BANDS.index(name) for name in gap.kept]))
    phase = curves.phase
    return curves.keep(~((phase > _AFTER_TRIGGER) & (phase <= _AFTER_TRIGGER + gap.amount)))


# --- measure --------------------------------------------------------------------


def measure(workshop: Workshop) -> dict[str, Any]:
    """Scores of our pipelines on test objects with ever larger gaps."""
    bench = workshop.bench
    n_folds = bench.scale.n_folds
    kinds = {f"dropped-{share:g}": Gap(0, "dropped", share) for share in DROPPED}
    kinds |= {f"block-{days:g}": Gap(0, "block", days) for days in BLOCKS}
    kinds |= {f"bands-{kept}": Gap(0, "bands", kept=kept) for kept in KEPT_BANDS}
    items = {
        f"fold-{k + 1}-{name}": Gap(k, gap.kind, gap.amount, gap.kept)
        for k in range(n_folds)
        for name, gap in kinds.items()
    }
    results = workshop.map(STAGE, _classify, items)
    whole = _joined(_untouched(bench)) | {"amount": 0.0}
    steps = {name: _joined(folds_of(results, n_folds, name)) for name in kinds}
    objects = bench.objects
    return {
        "protocol": (
            f"preset {bench.scale.preset}, {n_folds} folds of {len(objects):,} objects "
            f"({int(objects.simulated.sum())} of them simulated): observations are taken from whole light "
            "curves of test objects only, pipelines stay as trained; spread over folds"
        ),
        "printed": None,
        "leak": None,
        "honest": {
            "whole": whole,
            "dropped": [whole] + [{"amount": a} | steps[f"dropped-{a:g}"] for a in DROPPED],
            "block": [whole] + [{"amount": a} | steps[f"block-{a:g}"] for a in BLOCKS],
            "bands": {kept: steps[f"bands-{kept}"] for kept in KEPT_BANDS},
        },
    }


def _classify(bench: Bench, item: Gap, report: Report) -> dict[str, Any]:
    """One fold's test objects with one gap, by the pipeline that never saw them."""
    objects = bench.objects
    test = objects.folds[item.fold].test
    rng = bench.rng("gaps", item.fold, f"{item.amount:g}")
    left = leave_out(objects.curves.take(test), item, rng)
    report("", 0.1)
    return _scores(bench, test, pipeline_of(bench, item.fold).predict(left, jobs=1))


def _untouched(bench: Bench) -> list[dict[str, Any]]:
    said = said_of(bench)
    return [_scores(bench, fold.test, said.take(fold.test)) for fold in bench.objects.folds]


def _scores(bench: Bench, test: NDArray[np.int64], said: Predictions) -> dict[str, Any]:
    labels, simulated = bench.objects.labels[test], bench.objects.simulated[test]
    per_class = scored(labels, said.proba, simulated)["sixteen"]["per_class"]
    return {
        "scores": brief(labels, said, simulated),
        "n_obs": float(np.median(said.n_obs)),
        "f1": {name: row["f1"] for name, row in per_class.items()},
    }


def _joined(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = [name for name in PAPER_CLASSES if any(name in fold["f1"] for fold in folds)]
    return brief_of([fold["scores"] for fold in folds]) | {
        "n_obs": float(np.mean([fold["n_obs"] for fold in folds])),
        "f1": {name: spread([fold["f1"].get(name) for fold in folds])["mean"] for name in names},
    }


# --- show -----------------------------------------------------------------------


def show(result: Mapping[str, Any]) -> Section:
    """Curves of skill against gaps; what each band is worth, by class."""
    honest = result["honest"]
    columns = (
        "left out",
        "observations (median)",
        *(f"{name}, {n}" for n in ("16 classes", "13 real") for name in ("accuracy", "macro F1", "AUC")),
        "not classified (real)",
    )
    rows = tuple((name, f"{step['n_obs']:.0f}", *score_columns(step)) for name, step in _named(honest))
    return Section(
        title="Limitation: gaps and missing bands",
        blocks=(
            _words(honest),
            Picture(
                name="gaps",
                figure=_curves(honest),
                caption=(
                    "Accuracy and macro F1 against the share of observations dropped at random, against the "
                    "length of a gap after the trigger, and by the bands that are left; bands and bars: one "
                    "standard deviation over folds."
                ),
            ),
            Picture(
                name="gaps-bands",
                figure=_classes(honest),
                caption="Change of every class's F1 when bands are missing, mean over folds.",
            ),
            Table(
                caption=f"Gaps in test objects. {result['protocol'][0].upper()}{result['protocol'][1:]}.",
                columns=columns,
                rows=rows,
            ),
        ),
    )


def _named(honest: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Every setting in words, with its scores."""
    rows = [("nothing", honest["whole"])]
    rows += [(f"{100 * step['amount']:.0f} % at random", step) for step in honest["dropped"][1:]]
    rows += [(f"{step['amount']:g} days after the trigger", step) for step in honest["block"][1:]]
    rows += [(_band_words(kept), step) for kept, step in honest["bands"].items()]
    return rows


def _band_words(kept: str) -> str:
    missing = [name for name in _ALL_BANDS if name not in kept]
    return f"band {missing[0]}" if len(missing) == 1 else f"all but {kept}"


def _words(honest: Mapping[str, Any]) -> str:
    whole = honest["whole"]["real"]["accuracy"]

    def lost(step: Mapping[str, Any]) -> str:
        return plus_minus(change(step["real"]["accuracy"], whole))

    half, most = min(honest["dropped"], key=lambda s: abs(s["amount"] - 0.5)), honest["dropped"][-1]
    block = min(honest["block"], key=lambda s: abs(s["amount"] - 40.0))
    single = {kept: step for kept, step in honest["bands"].items() if len(kept) == len(_ALL_BANDS) - 1}
    worst = min(single, key=lambda kept: mean(change(single[kept]["real"]["accuracy"], whole)))
    return (
        f"On the real test objects, accuracy is {plus_minus(whole)} with everything that was observed. "
        f"Without half of the observations, taken at random, it changes by {lost(half)} (fold by fold), "
        f"without {100 * most['amount']:.0f} % by {lost(most)}, where "
        f"{100 * mean(most['real']['not_classified']):.1f} % are not classified for want of data and count "
        "as the most frequent class. "
        f"A gap of {block['amount']:g} days that begins right after the trigger changes it by {lost(block)}. "
        f"Of the single bands, {_band_words(worst).removeprefix('band ')} is missed most "
        f"({lost(single[worst])}); with gri alone the change is {lost(honest['bands']['gri'])}, with gr "
        f"alone {lost(honest['bands']['gr'])}. The pipelines were trained on copies that lack up to 30 % of "
        "their observations and at times a stretch of up to 40 days; no band was withheld from any."
    )


@styled
def _curves(honest: Mapping[str, Any]) -> Figure:
    figure = new_figure(5.4)
    halves: Any = figure.subfigures(2, 1)
    top, bottom = halves
    left, right = top.subplots(1, 2, sharey=True)
    dropped = [100.0 * step["amount"] for step in honest["dropped"]]
    _pair(left, dropped, honest["dropped"])
    tidy(left, "observations dropped at random [%]", "score")
    left.legend(loc="lower left")
    _pair(right, [step["amount"] for step in honest["block"]], honest["block"])
    tidy(right, "gap right after the trigger [day]", "")
    panel = bottom.subplots()
    names = ["all", *honest["bands"]]
    steps = [honest["whole"], *honest["bands"].values()]
    looks = (("accuracy", "accuracy", MAIN, "o"), ("macro_f1", "macro F1", ACCENT, "s"))
    for shift, (score, label, colour, marker) in enumerate(looks):
        values = [step["real"][score] for step in steps]
        error = np.nan_to_num([np.nan if v["std"] is None else v["std"] for v in values])
        x = np.arange(len(names)) + 0.16 * (shift - 0.5)
        middle = [mean(v) for v in values]
        panel.errorbar(x, middle, error, color=colour, marker=marker, ls="none", capsize=2, label=label)
    panel.legend(loc="lower left")
    panel.set_xticks(range(len(names)), [_tick(name) for name in names])
    tidy(panel, "bands", "score, 13 real classes")
    return figure


def _gone(kept: str) -> str:
    return "".join(name for name in _ALL_BANDS if name not in kept)


def _tick(kept: str) -> str:
    if kept == "all":
        return kept
    return f"no {_gone(kept)}" if len(_gone(kept)) == 1 else f"only\n{kept}"


def _pair(panel: Axes, x: Sequence[float], steps: Sequence[Mapping[str, Any]]) -> None:
    band(panel, x, [s["real"]["accuracy"] for s in steps], MAIN, "accuracy, 13 real classes")
    band(panel, x, [s["sixteen"]["accuracy"] for s in steps], FOURTH, "accuracy, 16 classes", "D", "--")
    band(panel, x, [s["real"]["macro_f1"] for s in steps], ACCENT, "macro F1, 13 real classes", "s")


@styled
def _classes(honest: Mapping[str, Any]) -> Figure:
    whole = {name: value for name, value in honest["whole"]["f1"].items() if value is not None}
    kept = list(honest["bands"])
    values = np.array([[(honest["bands"][k]["f1"][c] or 0.0) - whole[c] for k in kept] for c in whole])
    figure = new_figure(0.26 * len(whole) + 1.0)
    panel = figure.subplots()
    limit = max(0.05, float(np.abs(values).max()))
    dark = np.abs(values) > 0.65 * limit
    image = written_map(panel, values, dark, "+.2f", cmap="PuOr", vmin=-limit, vmax=limit)
    panel.set_xticks(range(len(kept)), [_tick(name) for name in kept])
    panel.set_yticks(range(len(whole)), list(whole))
    panel.set_xlabel("bands")
    figure.colorbar(image, ax=panel, label="change of F1")
    return figure


PART = Part(
    name="gaps",
    key="limitations.gaps",
    title="Limitation: gaps and missing bands",
    needs=(OURS,),
    measure=measure,
    show=show,
)
