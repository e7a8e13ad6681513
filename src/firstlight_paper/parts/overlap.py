"""Limitation: classes that look alike: which pairs, how early, and the gain by a redshift or spectrum."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.classify.lightgbm import LightGBMConfig
from firstlight.lightcurves import RedshiftMode
from firstlight.metrics.curves import roc_auc
from firstlight.metrics.phases import PHASES, phase_name
from firstlight.predictions import read_predictions, write_predictions
from firstlight.report.style import ACCENT, INK, MAIN, THIRD, new_figure, styled
from firstlight.splits import check_disjoint
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.models import (
    boosted,
    judged,
    pipeline_of,
    predictions_of,
    proba_of,
    rows_of,
    scored_fold,
)
from firstlight_paper.objects import PAPER_CLASSES, PAPER_COLUMNS
from firstlight_paper.page.plots import Look, curve_with_band, label_axes
from firstlight_paper.page.tables import SIX_SCORES, markdown, pivot
from firstlight_paper.scores import ALL, REAL, SHORT, Values, confusion
from firstlight_paper.view import View

#: Pairs whose confusion the paper states, and names again among its limitations.
NAMED = ("SNIa/SNII", "SNIa/SNIax")
ORDERS = ("entropy", "random", "perfect")
_N_PAIRS, _REPEATS = 8, 20  # pairs that are kept; random orders that are averaged
_PHASES = [f"day {phase_name(days)}" if np.isfinite(days) else "whole" for days in PHASES]
Array = NDArray[np.float64]


_BOOSTER = LightGBMConfig(rounds=100, learning_rate=0.1, leaves=15, feature_fraction=0.2, max_bin=63)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Phases of the redshift experiment [day since trigger], folds retrained, shares with a spectrum."""

    days: tuple[float, ...] = (2.0, 8.0, 32.0)
    retrained: int = 2
    shares: tuple[float, ...] = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, *(k / 10 for k in range(3, 11)))
    config: LightGBMConfig = _BOOSTER


def _phase(days: float) -> str:
    return f"day {days:g}" if np.isfinite(days) else "whole"


def _other_redshift(
    context: Context, fold: int, progress: Progress, *, mode: RedshiftMode, days: float
) -> Outcome:
    """Classify one fold's test objects with another redshift, by the pipeline that never saw them."""
    test = context.objects.folds[fold].test
    curves = context.objects.curves.take(test).with_redshift(mode).upto_phase(days)
    predictions = pipeline_of(context, fold).predict(curves, jobs=1)
    if not np.isfinite(days):
        write_predictions(predictions, context.keep("overlap") / f"{mode}-{fold + 1}.parquet")
    return Outcome(judged(context, test, predictions))


def _retrained(
    context: Context, fold: int, progress: Progress, *, mode: RedshiftMode, config: LightGBMConfig
) -> Outcome:
    """Train a booster on whole curves with one redshift, and test it with the same."""
    objects, names = context.objects, context.objects.curves.object_id
    test, learn = objects.folds[fold].test, objects.learn(fold)
    check_disjoint(names[learn], names[test])
    X = pipeline_of(context, fold).inputs(objects.curves.with_redshift(mode))
    progress("train", 0.3)
    model = boosted(rows_of(objects, X, learn), config, seed=context.seed)
    return Outcome(scored_fold(context, "ours", fold, proba_of(model, X[test]), metrics=SHORT))


def _pairs(context: Context, fold: int, progress: Progress) -> Outcome:
    """Errors of the most confused pairs by phase, and their two-class AUC by redshift."""
    objects, outcome = context.objects, Outcome()
    tests = [fold.test for fold in objects.folds]
    real = [~objects.simulated[test] for test in tests]
    labels = [objects.labels[test] for test in tests]
    proba = {
        p: [predictions_of(context, d).proba[t] for t in tests] for p, d in zip(_PHASES, PHASES, strict=True)
    }
    for mode in ("spec", "none"):
        files = [context.keep("overlap") / f"{mode}-{k + 1}.parquet" for k in range(len(tests))]
        proba[mode] = [read_predictions(file).proba for file in files]
    whole = [np.array(confusion(*one)) for one in zip(labels, proba["whole"], strict=True)]
    total = np.sum(whole, axis=0)
    ranked = sorted(combinations(range(len(PAPER_CLASSES)), 2), key=lambda pair: -(total + total.T)[pair])
    of_real = {
        p: [np.array(confusion(y[r], q[r])) for y, q, r in zip(labels, proba[p], real, strict=True)]
        for p in _PHASES
    }
    for rank, (a, b) in enumerate(ranked, start=1):
        name = f"{PAPER_CLASSES[a]}/{PAPER_CLASSES[b]}"
        if rank > _N_PAIRS and name not in NAMED:
            continue
        counts = {"rank": rank, "first_as_second": total[a, b], "second_as_first": total[b, a]}
        counts |= {"first_as_second of": total[a].sum(), "second_as_first of": total[b].sum()}
        outcome.put(name, more(counts))
        for k in range(len(tests)):
            values: Values = {("ours", ALL, "share"): _share(whole[k], a, b)}
            values["ours", REAL, "share"] = _share(of_real["whole"][k], a, b)
            for p in _PHASES:
                table = of_real[p][k]
                both = float((table[a, b] + table[b, a]) / table.sum())
                values["ours", REAL, f"per_100 {p}"] = 100.0 * both
            for mode, source in (("photo", "whole"), ("spec", "spec"), ("none", "none")):
                some = proba[source][k][:, PAPER_COLUMNS]
                values["ours", ALL, f"auc {mode}"] = _pair_auc(labels[k], some, a, b)
            outcome.put(name, values, str(k + 1))
    return outcome


def _share(table: NDArray[np.int64], a: int, b: int) -> float:
    """Errors of a pair as a share of all errors."""
    errors = table.sum() - np.trace(table)
    return float((table[a, b] + table[b, a]) / errors) if errors else float("nan")


def _pair_auc(labels: NDArray[np.str_], proba: Array, a: int, b: int) -> float:
    """AUC of objects of two classes, ranked by the ratio of their probabilities; NaN if one has none."""
    member = np.isin(labels, (PAPER_CLASSES[a], PAPER_CLASSES[b]))
    is_first = labels[member] == PAPER_CLASSES[a]
    if not 0 < is_first.sum() < len(is_first):
        return float("nan")
    both = proba[member][:, [a, b]] + 1e-12
    return roc_auc(is_first, both[:, 0] / both.sum(axis=1))


def _scatter(context: Context, fold: int, progress: Progress) -> Outcome:
    """How far photometric redshifts lie from spectroscopic ones, real extragalactic objects."""
    objects = context.objects
    true, photo = objects.curves.redshift_spec, objects.curves.redshift
    known = ~objects.simulated & (true > 0.0) & np.isfinite(photo)
    off = np.abs(photo - true)[known] / (1.0 + true[known])
    return Outcome(more({"n": known.sum(), "median": np.median(off), "beyond_0.1": np.mean(off > 0.1)}))


def with_spectra(
    truth: NDArray[np.int64], proba: Array, order: NDArray[np.int64], share: float
) -> tuple[float, float]:
    """Accuracy and macro F1 if the first objects of an order have their class from a spectrum."""
    called = proba.argmax(axis=1)
    served = order[: round(share * len(order))]
    called[served] = truth[served]
    n = proba.shape[1]
    table = np.bincount(truth * n + called, minlength=n * n).reshape(n, n)
    hits, both = np.diagonal(table), table.sum(axis=0) + table.sum(axis=1)
    present = table.sum(axis=1) > 0
    return float(np.mean(called == truth)), float(np.mean(2.0 * hits[present] / both[present]))


def _spectra(
    context: Context, fold: int, progress: Progress, *, days: float, shares: Sequence[float]
) -> Outcome:
    """Scores on real objects against the share with spectra, by who is served first."""
    objects = context.objects
    test = objects.folds[fold].test[~objects.simulated[objects.folds[fold].test]]
    truth = np.array([PAPER_CLASSES.index(name) for name in objects.labels[test].tolist()])
    proba = predictions_of(context, days).proba[test][:, PAPER_COLUMNS]
    entropy = -(proba * np.log(np.clip(proba, 1e-15, 1.0))).sum(axis=1)
    rng = context.rng("spectra", fold)
    orders = {
        "entropy": [np.argsort(-entropy, kind="stable")],
        "random": [rng.permutation(len(truth)) for _ in range(_REPEATS)],
        "perfect": [np.argsort(proba.argmax(axis=1) == truth, kind="stable")],
    }
    outcome = Outcome()
    for name, some in orders.items():
        for share in shares:
            accuracy, f1 = np.mean([with_spectra(truth, proba, order, share) for order in some], axis=0)
            values = {("ours", REAL, "accuracy"): float(accuracy), ("ours", REAL, "macro_f1"): float(f1)}
            outcome.put(f"spectra {name} {share:g} {_phase(days)}", values)
    return outcome


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """Redshifts, retrained boosters and spectra; then the pairs."""
    folds = range(context.scale.n_folds)
    modes: tuple[RedshiftMode, ...] = ("spec", "none")
    found = [
        Variant(
            name=f"{mode} {_phase(days)}", work=partial(_other_redshift, mode=mode, days=days), folds=folds
        )
        for mode in modes
        for days in (*amount.days, np.inf)
    ]
    found += [
        Variant(
            name=f"{mode} retrained",
            work=partial(_retrained, mode=mode, config=amount.config),
            folds=range(min(amount.retrained, context.scale.n_folds)),
        )
        for mode in ("photo", *modes)
    ]
    found += [
        Variant(
            name=f"spectra {_phase(days)}",
            work=partial(_spectra, days=days, shares=amount.shares),
            folds=folds,
        )
        for days in (8.0, np.inf)
    ]
    found.append(Variant(name="photometric redshifts", work=_scatter))
    return [*found, Variant(name="pairs", work=_pairs, step=1)]


def _shown_pairs(view: View) -> list[str]:
    names = {row.variant for row in view.results.scores if row.part == view.part and row.metric == "rank"}
    return sorted(names, key=lambda name: view.number(name, "rank"))


def _share_needed(view: View, order: str, wanted: float) -> float:
    """Least share of spectra that reaches an accuracy, between the steps of a curve; NaN if none does."""
    shares = view.amount.shares
    reached = np.maximum.accumulate(
        [view.mean(f"spectra {order} {s:g} whole", "accuracy", REAL) for s in shares]
    )
    return float(np.interp(wanted, reached, shares)) if reached[-1] >= wanted else float("nan")


def facts(view: View) -> Mapping[str, Any]:
    """Pairs by rank, and shares of spectra that halve the errors."""
    pairs = _shown_pairs(view)
    wanted = 0.5 * (1.0 + view.mean("whole", "accuracy", REAL, part="ours"))
    return {
        "pairs": pairs,
        "first_three": sum(view.mean(name, "share", REAL) for name in pairs[:3]),
        "needed": {order: _share_needed(view, order, wanted) for order in ORDERS},
    }


def pairs_table(view: View) -> str:
    """The most confused pairs."""
    body = []
    for name in view.facts["pairs"]:
        counts = [
            f"{view.number(name, kind):.0f} of {view.number(name, f'{kind} of'):.0f}"
            for kind in ("first_as_second", "second_as_first")
        ]
        shares = [view.spread(name, "share", subset).text() for subset in (ALL, REAL)]
        aucs = [view.spread(name, f"auc {mode}").text() for mode in ("photo", "spec", "none")]
        title = name.replace("/", " and ") + (" (named by the paper)" if name in NAMED else "")
        body.append([title, f"{view.number(name, 'rank'):.0f}", *shares, *counts, *aucs])
    head = ["pair", "rank", "share of errors, 16 classes", "share of errors, 13 real", "first called second"]
    head += ["second called first", "AUC, photometric redshift", "AUC, spectroscopic", "AUC, none"]
    return markdown(head, body)


_MODES = {"photo": "photometric", "spec": "spectroscopic", "none": "none"}


def _redshift(mode: str, phase: str) -> dict[str, Any]:
    return {"part": "ours", "variant": phase} if mode == "photo" else {"variant": f"{mode} {phase}"}


def redshift_table(view: View) -> str:
    """Scores by redshift and phase."""
    phases = [_phase(days) for days in (*view.amount.days, np.inf)]
    rows = {
        f"{'whole curve' if p == 'whole' else p}, {title}": _redshift(mode, p)
        for p in phases
        for mode, title in _MODES.items()
    }
    rows |= {f"whole curve, retrained, {title}": {"variant": f"{m} retrained"} for m, title in _MODES.items()}
    return pivot(view, rows, SIX_SCORES, "light curve, redshift")


@styled
def pair_curves(view: View) -> Figure:
    """Errors of the first five pairs by phase."""
    figure = new_figure(3.2)
    panel = figure.subplots()
    colours = (MAIN, ACCENT, THIRD, "#E69F00", "#AA4499")
    for name, colour, marker in zip(view.facts["pairs"], colours, "osD^v", strict=False):
        values = [view.spread(name, f"per_100 {p}", REAL) for p in _PHASES]
        curve_with_band(panel, range(len(_PHASES)), values, Look(name, colour, marker))
    panel.set_xticks(range(len(_PHASES)), [p.removeprefix("day ") for p in _PHASES])
    label_axes(panel, "days since trigger", "errors of the pair per 100 real objects")
    panel.set_ylim(bottom=0.0)
    panel.legend()
    return figure


@styled
def help_curves(view: View) -> Figure:
    """Scores by share of spectra."""
    figure = new_figure(2.9)
    panels = figure.subplots(1, 2)
    shares = [100.0 * share for share in view.amount.shares]
    orders = {
        "perfect": Look("wrong ones first (a bound)", INK, "^", ":"),
        "entropy": Look("most uncertain first", MAIN, "o"),
        "random": Look("at random", ACCENT, "s", "--"),
    }
    for panel, metric, title in zip(panels, ("accuracy", "macro_f1"), ("accuracy", "macro F1"), strict=True):
        for order, look in orders.items():
            found = {
                p: [view.spread(f"spectra {order} {s:g} {p}", metric, REAL) for s in view.amount.shares]
                for p in ("whole", "day 8")
            }
            curve_with_band(panel, shares, found["whole"], look)
            panel.plot(shares, [v.mean for v in found["day 8"]], color=look.colour, ls=look.line, lw=0.7)
        label_axes(panel, "objects with a spectrum [%]", f"{title}, 13 real classes")
    panels[0].legend(loc="lower right")
    return figure


OVERLAP = Part(
    name="overlap",
    group="limitations",
    needs=("ours",),
    full=Amount(),
    quick=Amount(days=(8.0,), retrained=1),
    variants=variants,
    tables={"pairs": pairs_table, "redshift": redshift_table},
    figures={"overlap-pairs": pair_curves, "overlap-help": help_curves},
    facts=facts,
)
