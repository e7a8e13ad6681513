"""The three classes that are simulated, and two that show how far the simulator can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.bands import BANDS
from firstlight.data.sample import sample_by_frequency
from firstlight.lightcurves import LightCurve, LightCurves
from firstlight.predictions import Predictions
from firstlight.report.style import ACCENT, MAIN, styled
from firstlight.simulate import SimulateConfig, SimulatedSet, simulate
from firstlight.simulate.template import find_template
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.models import pipeline_of, predictions_of
from firstlight_paper.objects import FOLLOW_UP_MAG, PAPER_CLASSES, PAPER_COLUMNS, SIMULATED_CLASSES, Objects
from firstlight_paper.page.plots import light_curve, small_multiples
from firstlight_paper.page.tables import markdown, number, pivot
from firstlight_paper.printed import PAPER_FREQUENCIES
from firstlight_paper.realism import brightest, differences, fit_limit, plain_features, separation
from firstlight_paper.results import Results
from firstlight_paper.scores import HEADLINE, MEAN, REAL, STD, scored
from firstlight_paper.view import View

#: Simulated classes that also have real objects; SNIa also from a spectral template, where there is one.
CHECKED = {"SLSN-I": "SLSN-I", "SNIa": "SNIa, blackbody", "SNIa-template": "SNIa, spectral template"}

#: Magnitudes on which a spectroscopic campaign's limit acts; see `SimulateConfig`.
LIMITED_ON: tuple[Literal["epochs", "peak"], ...] = ("epochs", "peak")
TAGS = {"as_triggered": "as triggered", "epochs": "limit on what was seen", "peak": "limit on the peak"}

#: Columns of a simulated set's truth, with the digits that are shown.
TRUTH = {"redshift": 2, "peak_abs_mag": 2, "peak_app_mag": 2, "peak_day": 2, "a_v": 2, "n_detected": 0}
_SHOWN, _MOST_POINTS = 3, 60  # light curves per class; points of each


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Objects compared, repeats, objects that describe a population, draws at the printed frequencies."""

    most: int = 300
    repeats: int = 5
    n_population: int = 500
    n_draws: int = 30


def _class(kind: str) -> str:
    return kind.removesuffix("-template")


def _template(kind: str) -> Path | None:
    return find_template() if kind.endswith("-template") else None


def _survey(objects: Objects) -> LightCurves:
    """The real objects, which lend their epochs and noise."""
    return objects.curves.take(np.flatnonzero(~objects.simulated))


def _real(objects: Objects, class_name: str, most: int, rng: np.random.Generator) -> LightCurves:
    members = np.flatnonzero((objects.labels == class_name) & ~objects.simulated)
    return objects.curves.take(np.sort(rng.permutation(members)[:most]))


def _check(context: Context, fold: int, progress: Progress, *, kind: str, amount: Amount) -> Outcome:
    """AUC of simulated against real, as triggered and after either limit; shuffled labels as control."""
    objects, name, outcome = context.objects, _class(kind), Outcome()
    survey, real = _survey(objects), _real(objects, name, amount.most, context.rng("real", name))
    seen = plain_features(real)
    configs = {"as_triggered": SimulateConfig(template=_template(kind))}
    for on in LIMITED_ON:
        config = SimulateConfig(template=_template(kind), follow_up_on=on)
        configs[on] = replace(config, follow_up_mag=fit_limit(name, real, survey, config, context.seed))
    simulated = np.repeat([False, True], len(real))
    for step, (tag, config) in enumerate(configs.items()):
        for repeat in range(amount.repeats):
            rng = context.rng("check", name, repeat)
            made = plain_features(simulate(name, len(real), survey, rng, config).curves)
            values = np.vstack([seen.values, made.values])
            auc = separation(values, simulated, repeat)
            shuffled = separation(values, rng.permutation(simulated), repeat)
            outcome.put(f"{kind} {tag}", more({"auc": auc, "auc_shuffled": shuffled}), str(repeat + 1))
            if repeat == 0:
                outcome.extra[f"{kind} {tag}"] = differences(seen, made)
            progress("check", (step + (repeat + 1) / amount.repeats) / len(configs))
        outcome.put(f"{kind} {tag}", more({"n_real": len(real)}))
        if config.follow_up_mag is not None:
            outcome.put(f"{kind} {tag}", more({"follow_up_mag": config.follow_up_mag}))
    return outcome


def _limited(context: Context, kind: str) -> SimulateConfig:
    """The limit where PLAsTiCC's own simulation has it, fitted to real objects if there are any."""
    if kind in SIMULATED_CLASSES:
        return SimulateConfig(follow_up_mag=FOLLOW_UP_MAG)
    scores = Results(context.results).scores
    limit = scores.spread("simulated", f"{kind} peak", "", 0, "follow_up_mag").mean
    return SimulateConfig(template=_template(kind), follow_up_on="peak", follow_up_mag=limit)


def _recognised(context: Context, fold: int, progress: Progress, *, kind: str, amount: Amount) -> Outcome:
    """How the pipelines that never saw an object, nor its carrier, classify simulated and real ones."""
    objects, name, outcome = context.objects, _class(kind), Outcome()
    made = simulate(
        name, amount.most, _survey(objects), context.rng("recognise", name), _limited(context, kind)
    )
    fold_of, parts = fold_of_carriers(objects, made), []
    for k in range(len(objects.folds)):
        rows = np.flatnonzero(fold_of == k)
        parts.append(pipeline_of(context, k).predict(made.curves.take(rows), jobs=1))
        progress("classify", (k + 1) / len(objects.folds))
    real = predictions_of(context).take(np.flatnonzero((objects.labels == name) & ~objects.simulated))
    counts = []
    for which, predictions in (("real", real), ("simulated", Predictions.concatenate(parts))):
        proba = predictions.proba[:, PAPER_COLUMNS]
        proba = proba / proba.sum(axis=1, keepdims=True)
        label, n, k = proba.argmax(axis=1), len(proba), PAPER_CLASSES.index(name)
        counts.append(np.bincount(label, minlength=len(PAPER_CLASSES)))
        recall = float((label == k).mean())
        values = {"n": n, "recall": recall, "recall_err": np.sqrt(recall * (1.0 - recall) / n)}
        values["mean_probability"] = proba[:, k].mean()
        values["called_simulated"] = np.isin(label, [*map(PAPER_CLASSES.index, SIMULATED_CLASSES)]).mean()
        values |= {f"called:{c}": count for c, count in zip(PAPER_CLASSES, counts[-1], strict=True)}
        outcome.put(f"{kind} {which}", more(values, "ours"))
    chance = _by_chance(counts[0], counts[1], context.rng("chance", name))
    outcome.put(f"{kind} simulated", more({"distance": distance(*counts)}, "ours"))
    for fold_name, value in ((MEAN, chance.mean()), (STD, chance.std(ddof=1))):
        outcome.put(f"{kind} simulated", more({"distance_by_chance": value}, "ours"), fold_name)
    return outcome


def fold_of_carriers(objects: Objects, made: SimulatedSet) -> NDArray[np.int64]:
    """The fold in which each simulated object's carrier is tested, shape (n_made,)."""
    fold = np.zeros(len(objects), dtype=np.int64)
    for k, one in enumerate(objects.folds):
        fold[one.test] = k
    order = np.argsort(objects.curves.object_id)
    carriers = np.asarray(made.truth.column("carrier").to_pylist(), dtype=np.str_)
    return fold[order[np.searchsorted(objects.curves.object_id, carriers, sorter=order)]]


def distance(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Half the sum of absolute differences of shares: the part of one set that would have to move."""
    return float(0.5 * np.abs(first / first.sum() - second / second.sum()).sum())


def _by_chance(
    first: NDArray[np.int64], second: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The same distance with real and simulated shuffled, 200 times."""
    mixed, found = np.repeat(np.arange(len(first)), first + second), []
    for _ in range(200):
        mixed = rng.permutation(mixed)
        halves = (mixed[: first.sum()], mixed[first.sum() :])
        found.append(distance(*(np.bincount(half, minlength=len(first)) for half in halves)))
    return np.array(found)


def _described(context: Context, fold: int, progress: Progress, *, kind: str, amount: Amount) -> Outcome:
    """Percentiles of a population, and a few light curves."""
    objects, name, n = context.objects, _class(kind), amount.n_population
    survey, rng, config = _survey(objects), context.rng("population", name), _limited(context, kind)
    triggered = simulate(name, n, survey, rng, replace(config, follow_up_mag=None))
    made = simulate(name, n, survey, rng, config)
    progress("simulate", 0.6)
    examples = {"simulated": _well_seen(made.curves, _SHOWN)}
    if name in objects.labels[~objects.simulated]:
        some = _well_seen(_real(objects, name, n, rng), _SHOWN)
        examples = {"real": some, "simulated": made.curves.take(nearest(some, made.curves))}
    columns = {c: triggered.truth.column(c).to_numpy() for c in TRUTH if c != "n_detected"}
    columns["n_detected"] = _n_detected(triggered.curves)
    values = {"n": n, "models": len(np.unique(triggered.truth.column("model").to_numpy()))}
    values |= {f"{c} p{q}": np.percentile(value, q) for c, value in columns.items() for q in (5, 50, 95)}
    curves = {which: [_points(curve) for curve in some] for which, some in examples.items()}
    return Outcome(more(values), extra={"": {"class": name, "curves": curves}})


def _n_detected(curves: LightCurves) -> NDArray[np.int64]:
    return np.bincount(curves.object_index[curves.detected], minlength=len(curves))


def _well_seen(curves: LightCurves, n: int) -> LightCurves:
    """Objects at the 60th to 95th percentile of the number of detections."""
    order = np.argsort(_n_detected(curves), kind="stable")
    return curves.take(order[(np.linspace(0.6, 0.95, n) * (len(order) - 1)).astype(np.int64)])


def nearest(wanted: LightCurves, among: LightCurves) -> NDArray[np.int64]:
    """Objects alike in redshift, brightness and detections, one for each wanted, none twice."""
    columns = []
    for curves in (wanted, among):
        found = plain_features(curves)
        z, bright = found.column("photo_z"), np.nan_to_num(brightest(found), nan=99.0)
        z = np.log1p(np.nan_to_num(z))
        columns.append(np.column_stack([z / 0.1, bright / 0.5, np.log(_n_detected(curves)) / 0.3]))
    far = ((columns[0][:, None] - columns[1]) ** 2).sum(axis=2)  # (n_wanted, n_among)
    taken: list[int] = []
    for row in far:
        row[taken] = np.inf
        taken.append(int(np.argmin(row)))
    return np.array(taken, dtype=np.int64)


def _points(curve: LightCurve) -> dict[str, Any]:
    """Observations about the detections, few enough to be kept; flux in microjansky."""
    phase = curve.mjd - curve.trigger_mjd
    near = (phase > -40.0) & (phase < phase[curve.detected].max() + 40.0)
    near &= curve.flux_err < 0.5 * curve.flux[curve.detected].max()
    rows = np.flatnonzero(near | curve.detected)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, _MOST_POINTS).astype(np.int64))]
    return {
        "photo_z": round(float(curve.redshift), 3),
        "day": np.round(phase[rows], 1),
        "band": curve.band[rows],
        "flux": [float(f"{value / 1e3:.3g}") for value in curve.flux[rows]],
        "flux_err": [float(f"{value / 1e3:.2g}") for value in curve.flux_err[rows]],
    }


def _drawn(context: Context, fold: int, progress: Progress, *, amount: Amount) -> Outcome:
    """Scores of our out-of-fold predictions on samples at the paper's class frequencies."""
    objects, proba, outcome = context.objects, predictions_of(context).proba, Outcome()
    for k in range(amount.n_draws):
        drawn = sample_by_frequency(objects.labels, PAPER_FREQUENCIES, context.rng("frequencies", k))
        rows = drawn.position
        found = scored("ours", objects.labels[rows], proba[rows], objects.simulated[rows])
        outcome.put("frequencies", {key: v for key, v in found.items() if key[2] != "n_objects"}, str(k + 1))
        progress("draw", (k + 1) / amount.n_draws)
    for subset, kept in ((16, rows >= 0), (REAL, ~objects.simulated[rows])):
        names = objects.labels[rows][kept]
        counts = {"n_objects": float(len(names)), "n_classes": float(len(np.unique(names)))}
        outcome.put("frequencies", {("ours", subset, metric): value for metric, value in counts.items()}, "")
    outcome.extra["frequencies"] = {"dropped": [name for name in drawn.dropped if name in PAPER_CLASSES]}
    return outcome


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """The checks, then the parts that build on their limits."""
    kinds = [kind for kind in CHECKED if not kind.endswith("-template") or find_template() is not None]
    found = [Variant(name=kind, work=partial(_check, kind=kind, amount=amount)) for kind in kinds]
    found += [
        Variant(name=f"{kind} recognised", work=partial(_recognised, kind=kind, amount=amount), step=1)
        for kind in kinds
    ]
    found += [
        Variant(name=f"population {kind}", work=partial(_described, kind=kind, amount=amount), step=1)
        for kind in (*kinds, *SIMULATED_CLASSES)
    ]
    return [*found, Variant(name="drawn", work=partial(_drawn, amount=amount), step=1)]


def _kinds(view: View) -> dict[str, str]:
    return {kind: title for kind, title in CHECKED.items() if view.has(f"{kind} peak", "auc", 0, column="")}


def facts(view: View) -> Mapping[str, Any]:
    """Whether the calls of simulated objects differ from those of real ones by more than chance."""
    chance = {k: view.spread(f"{k} simulated", "distance_by_chance", 0) for k in _kinds(view)}
    far = {k: view.mean(f"{k} simulated", "distance", 0) for k in chance}
    dropped = view.results.extra(view.part).get("frequencies", {}).get("", {}).get("dropped", [])
    return {
        "dropped": ", ".join(dropped) or "none",
        "far": {k: far[k] > c.mean + 2.0 * c.std for k, c in chance.items()},
        "distance": far,
        "chance": chance,
    }


def checks_table(view: View) -> str:
    """AUC of simulated against real for each limit."""
    body = []
    for kind, title in _kinds(view).items():
        for tag, words in TAGS.items():
            name = f"{kind} {tag}"
            limit = view.spread(name, "follow_up_mag", 0, "").mean
            far = ", ".join(f"{feature} {value:.2f}" for feature, value in view.only(name).items())
            aucs = [view.spread(name, metric, 0, "").text() for metric in ("auc", "auc_shuffled")]
            words = words if np.isnan(limit) else f"{words}, {limit:g} mag"
            body.append([f"{title}: {words}", f"{view.number(name, 'n_real'):.0f}", *aucs, far])
    return markdown(["simulated objects", "n of each", "AUC", "AUC, labels shuffled", "furthest apart"], body)


def recognised_table(view: View) -> str:
    """How our classifiers call real and simulated objects."""
    body = []
    for kind, title in _kinds(view).items():
        for which in ("real", "simulated"):
            name = f"{kind} {which}"
            n = view.mean(name, "n", 0)
            called = {c: view.mean(name, f"called:{c}", 0) for c in PAPER_CLASSES}
            most = sorted(called.items(), key=lambda pair: -pair[1])[:4]
            shares = [
                number(view.mean(name, metric, 0)) for metric in ("mean_probability", "called_simulated")
            ]
            recall = f"{view.mean(name, 'recall', 0):.3f} ± {view.mean(name, 'recall_err', 0):.3f}"
            words = ", ".join(f"{label} {100 * count / n:.0f} %" for label, count in most if count)
            what = title if which == "simulated" else _class(kind)
            body.append([f"{what}, {which}", f"{n:,.0f}", recall, *shares, words])
        chance = view.facts["chance"][kind]
        far = f"{view.facts['distance'][kind]:.3f} (by chance {chance.text()})"
        body.append([f"{title}: share called otherwise", "", far, "", "", ""])
    head = ["objects", "n", "recall", "mean probability", "called CaRT, ILOT or PISN", "called most often"]
    return markdown(head, body)


def scores_table(view: View) -> str:
    """Scores on all objects and at the printed class frequencies."""
    ours = {"part": "ours", "variant": "whole"}
    rows: dict[str, Mapping[str, Any]] = {
        "split by object, all objects, sixteen classes": ours,
        "split by object, all objects, thirteen real classes": ours | {"subset": 13},
        "split by object, at the printed frequencies, sixteen classes": {"variant": "frequencies"},
        "split by object, at the printed frequencies, thirteen real classes": {
            "variant": "frequencies",
            "subset": 13,
        },
    }
    columns: dict[str, Mapping[str, Any]] = {"objects": {"metric": "n_objects", "count": True}}
    columns |= {name.replace("_", " "): {"metric": name} for name in HEADLINE}
    return pivot(view, rows, columns, "predictions")


def population_table(view: View) -> str:
    """Percentiles of each simulated population."""
    body = []
    for kind in (*_kinds(view), *SIMULATED_CLASSES):
        name = f"population {kind}"
        cells = [f"{view.number(name, 'n'):.0f}", f"{view.number(name, 'models'):.0f}"]
        for column, digits in TRUTH.items():
            cells.append(" / ".join(f"{view.number(name, f'{column} p{q}'):.{digits}f}" for q in (5, 50, 95)))
        body.append([CHECKED.get(kind, kind), *cells])
    head = ["class", "n", "models", "redshift", "peak, absolute [mag]", "peak, apparent [mag]", "peak [day]"]
    return markdown([*head, "host A_V [mag]", "detections"], body)


_COLOUR = {"real": MAIN, "simulated": ACCENT}


@styled
def gallery(view: View, kinds: Sequence[str], sides: Sequence[str]) -> Figure:
    """Columns of light curves, class by class; real ones beside the simulated ones most like them."""
    columns = []
    for kind in kinds:
        found = view.only(f"population {kind}")
        columns += [(found["class"], side, found["curves"][side]) for side in sides]
    n_rows = max(len(curves) for _, _, curves in columns)
    figure, panels = small_multiples(
        n_rows * len(columns), len(columns), 1.45, "days since trigger", "flux [µJy]"
    )
    handles: dict[str, Any] = {}
    for k, (name, side, curves) in enumerate(columns):
        for row in range(n_rows):
            panel = panels[row * len(columns) + k]
            if row >= len(curves):
                panel.set_axis_off()
                continue
            handles |= {str(h.get_label()): h for h in light_curve(panel, curves[row], "day")}
            low, high = panel.get_ylim()
            panel.set_ylim(low, high + 0.18 * (high - low))  # room for the redshift
            where: Any = {"transform": panel.transAxes, "ha": "right", "va": "top", "fontsize": 7.5}
            panel.text(0.97, 0.95, f"photo-z {curves[row]['photo_z']:.2f}", **where)
            panel.tick_params(labelsize=7)
        panels[k].set_title(f"{name}, {side}", color=_COLOUR[side], fontweight="bold")
    shown = [handles[band] for band in BANDS if band in handles]
    figure.legend(handles=shown, loc="outside upper center", ncols=len(shown))
    return figure


def beside_real(view: View) -> Figure:
    """Real and simulated light curves of the two checked classes."""
    best = "SNIa-template" if "SNIa-template" in _kinds(view) else "SNIa"
    return gallery(view, ("SLSN-I", best), ("real", "simulated"))


SIMULATED = Part(
    name="simulated",
    needs=("ours",),
    full=Amount(),
    quick=Amount(most=60, repeats=2, n_population=60, n_draws=5),
    variants=variants,
    tables={
        "checks": checks_table,
        "recognised": recognised_table,
        "scores": scores_table,
        "populations": population_table,
    },
    figures={
        "simulated-beside-real": beside_real,
        "simulated-classes": partial(gallery, kinds=SIMULATED_CLASSES, sides=("simulated",)),
    },
    facts=facts,
)
