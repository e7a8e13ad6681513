"""The three classes that are simulated, and the two that show how far the simulator can be trusted.

Three checks on SLSN-I and SNIa, of which there are real objects: a booster that tells
simulated from real, our own classifiers on both side by side, and the light curves
themselves. Then what our classifiers make of CaRT, ILOT and PISN, and a sample at the
class frequencies that the paper states.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.data.sample import PAPER_FREQUENCIES, sample_by_frequency
from firstlight.lightcurves import LightCurve, LightCurves
from firstlight.predictions import Predictions
from firstlight.simulate import SimulateConfig, SimulatedSet, simulate
from firstlight.simulate.template import find_template
from firstlight_paper.objects import FOLLOW_UP_MAG, PAPER_CLASSES, PAPER_COLUMNS, SIMULATED_CLASSES, Objects
from firstlight_paper.parts.per_class import leaky_scores
from firstlight_paper.parts.simulated_section import CHECKED, LIMITED_ON, METRICS, TEMPLATE_SNIA, TRUTH, show
from firstlight_paper.printed import PRINTED, PRINTED_F1, PRINTED_PRECISION, PRINTED_RECALL
from firstlight_paper.realism import brightest, differences, fit_limit, plain_features, tell_apart
from firstlight_paper.scores import HEADLINE, scored, spread, spread_of
from firstlight_paper.section import Part
from firstlight_paper.shared import pipeline_of, said_of
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["CHECKED", "PART"]

_PRINTED = {"precision": PRINTED_PRECISION, "recall": PRINTED_RECALL, "f1": PRINTED_F1}
_BINS = 15
_SHOWN = 3  # light curves of a class
_MOST_POINTS = 60  # of a light curve that is shown

Json = dict[str, Any]


@dataclass(frozen=True)
class Amounts:
    """How much of everything.

    Attributes
    ----------
    most : int
        Real objects of a class to compare with as many simulated ones.
    repeats : int
        Simulations, each with other folds of the booster.
    n_population : int
        Objects that describe a population.
    n_draws : int
        Samples at the paper's frequencies.
    """

    most: int
    repeats: int
    n_population: int
    n_draws: int


_FULL = Amounts(most=300, repeats=5, n_population=500, n_draws=30)
_QUICK = Amounts(most=60, repeats=2, n_population=60, n_draws=5)


@dataclass(frozen=True)
class Compare:
    """One class, real against simulated; SNIa perhaps from a template."""

    class_name: str
    amounts: Amounts
    template: Path | None = None


@dataclass(frozen=True)
class Recognise:
    """One class, real and simulated, before our classifiers."""

    class_name: str
    n: int
    config: SimulateConfig


@dataclass(frozen=True)
class Describe:
    """One population: what is drawn, and what is seen of it."""

    class_name: str
    n: int
    config: SimulateConfig


@dataclass(frozen=True)
class Draw:
    """Samples at the paper's class frequencies."""

    n_draws: int


def measure(workshop: Workshop) -> Json:
    """Run all checks; see the module."""
    bench = workshop.bench
    amounts = _FULL if bench.scale.is_full else _QUICK
    kinds = {name: Compare(name, amounts) for name in CHECKED}
    template = find_template()
    if template is not None:
        kinds[TEMPLATE_SNIA] = Compare("SNIa", amounts, template)
    checks = workshop.map("simulated-checks", compare, kinds)
    # The limit as PLAsTiCC's own simulation lays it where there are real objects to hold against.
    configs = {
        kind: SimulateConfig(
            template=item.template, follow_up_on="peak", follow_up_mag=checks[kind]["peak"]["follow_up_mag"]
        )
        for kind, item in kinds.items()
    }
    recognised = workshop.map(
        "simulated-recognised",
        recognise,
        {kind: Recognise(kinds[kind].class_name, amounts.most, config) for kind, config in configs.items()},
    )
    described = {
        kind: Describe(kinds[kind].class_name, amounts.n_population, config)
        for kind, config in configs.items()
    }
    described |= {
        name: Describe(name, amounts.n_population, SimulateConfig(follow_up_mag=FOLLOW_UP_MAG))
        for name in SIMULATED_CLASSES
    }
    populations = workshop.map("simulated-populations", describe, described)
    frequencies = workshop.map("simulated-frequencies", draw, {"paper": Draw(amounts.n_draws)})["paper"]
    return {
        "protocol": _protocol(bench),
        **_scores(bench, leaky_scores(workshop)),
        "checks": checks,
        "recognised": recognised,
        "populations": populations,
        "frequencies": frequencies,
    }


def _protocol(bench: Bench) -> str:
    objects = bench.objects
    return (
        f"Preset {bench.scale.preset!r}, {len(objects.folds)} folds over {len(objects):,} objects, "
        f"{int(objects.simulated.sum())} of them simulated; every object is classified by a pipeline that "
        "never saw it, nor, if it is simulated, another object of the same model; mean and standard "
        "deviation over folds unless said otherwise."
    )


# --- the three classes ------------------------------------------------------------


def _scores(bench: Bench, leak: Json) -> Json:
    """CaRT, ILOT and PISN before our classifiers, as printed, and by the leaking protocol."""
    objects, said = bench.objects, said_of(bench)
    folds = [
        scored(objects.labels[fold.test], said.proba[fold.test], objects.simulated[fold.test])
        for fold in objects.folds
    ]
    joined = spread_of(folds)
    honest, leaky = (which["sixteen"]["per_class"] for which in (joined, leak))
    per_class = {
        name: {
            metric: {
                "printed": _PRINTED.get(metric, {}).get(name),
                "leak": leaky.get(name, {}).get(metric),
                "honest": honest[name][metric],
            }
            for metric in METRICS
        }
        | {"n": honest[name]["n"]}
        for name in SIMULATED_CLASSES
        if name in honest
    }
    scores = {
        which: {
            metric: {
                "printed": PRINTED.get(metric),
                "leak": leak[which][metric],
                "honest": joined[which][metric],
            }
            for metric in HEADLINE
        }
        | {"n_objects": joined[which]["n_objects"]}
        for which in ("sixteen", "real")
    }
    columns = {
        column: {name: {metric: row[metric][column] for metric in METRICS} for name, row in per_class.items()}
        for column in ("printed", "leak", "honest")
    }
    return columns | {
        "per_class": per_class,
        "scores": scores,
        "confusion": joined["sixteen"]["confusion"],
    }


# --- real against simulated -------------------------------------------------------


def compare(bench: Bench, item: Compare, report: Report) -> Json:
    """AUC of simulated against real, as triggered and after either limit; shuffled labels as control."""
    objects, amounts, name = bench.objects, item.amounts, item.class_name
    survey, real = _survey(objects), _real(objects, name, amounts.most, bench.rng("real", name))
    seen = plain_features(real)
    out: Json = {"class": name, "n_real": len(real), "n_simulated": len(real)}
    configs = {"as_triggered": SimulateConfig(template=item.template)}
    for on in LIMITED_ON:
        config = SimulateConfig(template=item.template, follow_up_on=on)
        limit = fit_limit(name, real, survey, config, bench.seed)
        configs[on] = replace(config, follow_up_mag=limit)
    simulated = np.repeat([False, True], len(real))
    for step, (tag, config) in enumerate(configs.items()):
        told: list[float] = []
        shuffled: list[float] = []
        furthest: dict[str, float] = {}
        for repeat in range(amounts.repeats):
            rng = bench.rng("check", name, repeat)
            made = plain_features(simulate(name, len(real), survey, rng, config).curves)
            values = np.vstack([seen.values, made.values])
            told.append(tell_apart(values, simulated, repeat))
            shuffled.append(tell_apart(values, rng.permutation(simulated), repeat))
            furthest = furthest or differences(seen, made)
            report("", (step + (repeat + 1) / amounts.repeats) / len(configs))
        out[tag] = {
            "follow_up_mag": config.follow_up_mag,
            "auc": spread(told),
            "auc_shuffled": spread(shuffled),
            "most_different": furthest,
        }
    return out


def _survey(objects: Objects) -> LightCurves:
    """The real objects, which lend their epochs and noise."""
    return objects.curves.take(np.flatnonzero(~objects.simulated))


def _real(objects: Objects, class_name: str, most: int, rng: np.random.Generator) -> LightCurves:
    members = np.flatnonzero((objects.labels == class_name) & ~objects.simulated)
    return objects.curves.take(np.sort(rng.permutation(members)[:most]))


# --- our classifiers on both ------------------------------------------------------


def recognise(bench: Bench, item: Recognise, report: Report) -> Json:
    """How our pipelines classify simulated objects of a class, and how they classify real ones.

    A simulated object is given to the pipeline that never saw its carrier, the real object
    whose epochs and noise it has.
    """
    objects, name = bench.objects, item.class_name
    made = simulate(name, item.n, _survey(objects), bench.rng("recognise", name), item.config)
    fold_of = fold_of_carriers(objects, made)
    parts, rows = [], []
    for k in range(len(objects.folds)):
        rows.append(np.flatnonzero(fold_of == k))
        parts.append(pipeline_of(bench, k).predict(made.curves.take(rows[-1]), jobs=1))
        report("", (k + 1) / len(objects.folds))
    real = said_of(bench).take(np.flatnonzero((objects.labels == name) & ~objects.simulated))
    said = {"real": real, "simulated": Predictions.concatenate(parts)}
    shares = {which: _said(predictions, name) for which, predictions in said.items()}
    first, second = (np.array(list(shares[which]["said"].values())) for which in ("real", "simulated"))
    return shares | {
        "class": name,
        "follow_up_mag": item.config.follow_up_mag,
        "distance": distance(first, second),
        "distance_by_chance": _by_chance(first, second, bench.rng("chance", name)),
    }


def fold_of_carriers(objects: Objects, made: SimulatedSet) -> NDArray[np.int64]:
    """The fold in which each simulated object's carrier is tested, shape (n_made,)."""
    fold = np.zeros(len(objects), dtype=np.int64)
    for k, one in enumerate(objects.folds):
        fold[one.test] = k
    order = np.argsort(objects.curves.object_id)
    carriers = np.asarray(made.truth.column("carrier").to_pylist(), dtype=np.str_)
    return fold[order[np.searchsorted(objects.curves.object_id, carriers, sorter=order)]]


def _said(predictions: Predictions, class_name: str) -> Json:
    proba = predictions.proba[:, PAPER_COLUMNS]
    proba = proba / proba.sum(axis=1, keepdims=True)
    label = proba.argmax(axis=1)
    n, k = len(proba), PAPER_CLASSES.index(class_name)
    recall = float((label == k).mean())
    return {
        "n": n,
        "recall": recall,
        "recall_err": float(np.sqrt(recall * (1.0 - recall) / n)),
        "mean_probability": float(proba[:, k].mean()),
        "said": dict(zip(PAPER_CLASSES, np.bincount(label, minlength=len(PAPER_CLASSES)), strict=True)),
        "said_a_simulated_class": float(
            np.isin(label, [PAPER_CLASSES.index(s) for s in SIMULATED_CLASSES]).mean()
        ),
    }


def distance(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Half the sum of absolute differences of shares: the part of one set that would have to move."""
    return float(0.5 * np.abs(first / first.sum() - second / second.sum()).sum())


def _by_chance(first: NDArray[np.int64], second: NDArray[np.int64], rng: np.random.Generator) -> Json:
    """The same distance where who is simulated is shuffled: what two sets of these sizes differ by."""
    mixed = np.repeat(np.arange(len(first)), first + second)
    found = []
    for _ in range(200):
        mixed = rng.permutation(mixed)
        halves = (mixed[: first.sum()], mixed[first.sum() :])
        found.append(distance(*(np.bincount(half, minlength=len(first)) for half in halves)))
    return {"mean": float(np.mean(found)), "std": float(np.std(found, ddof=1))}


# --- populations and light curves ---------------------------------------------------


def describe(bench: Bench, item: Describe, report: Report) -> Json:
    """Percentiles of what was drawn, distributions of what is seen, and a few light curves."""
    objects, name = bench.objects, item.class_name
    survey, rng = _survey(objects), bench.rng("population", name)
    triggered = simulate(name, item.n, survey, rng, replace(item.config, follow_up_mag=None))
    made = simulate(name, item.n, survey, rng, item.config)
    report("", 0.6)
    shown = {"simulated": made.curves}
    examples = {"simulated": _well_seen(made.curves, _SHOWN)}
    if name in objects.labels[~objects.simulated]:
        real = _real(objects, name, item.n, rng)
        shown = {"real": real} | shown
        some = _well_seen(real, _SHOWN)
        examples = {"real": some, "simulated": made.curves.take(nearest(some, made.curves))}
    return {
        "class": name,
        "n": item.n,
        "follow_up_mag": item.config.follow_up_mag,
        "percentiles_5_50_95": _percentiles(triggered),
        "distinct_models": len(np.unique(triggered.truth.column("model").to_numpy())),
        "distributions": _distributions(shown),
        "curves": {which: [_points(curve) for curve in curves] for which, curves in examples.items()},
    }


def _percentiles(made: SimulatedSet) -> dict[str, list[float]]:
    columns = {column: made.truth.column(column).to_numpy() for column in TRUTH}
    columns["n_detected"] = _n_detected(made.curves)
    return {column: np.percentile(value, [5, 50, 95]).tolist() for column, value in columns.items()}


def _n_detected(curves: LightCurves) -> NDArray[np.int64]:
    return np.bincount(curves.object_index[curves.detected], minlength=len(curves))


def _distributions(shown: Mapping[str, LightCurves]) -> Json:
    """Shares in common bins of redshift, brightest magnitude and number of detections."""
    measured = {which: plain_features(curves) for which, curves in shown.items()}
    columns = {
        "photo_z": {
            which: found.values[:, found.names.index("photo_z")] for which, found in measured.items()
        },
        "brightest_mag": {which: brightest(found) for which, found in measured.items()},
        "log10_n_detected": {
            which: np.log10(found.values[:, found.names.index("n_detected")])
            for which, found in measured.items()
        },
    }
    out: Json = {}
    for column, values in columns.items():
        known = {which: value[np.isfinite(value)] for which, value in values.items()}
        edges = np.histogram_bin_edges(np.concatenate(list(known.values())), _BINS)
        shares = {which: np.histogram(v, edges)[0] / max(len(v), 1) for which, v in known.items()}
        out[column] = {"edges": edges, **shares}
    return out


def _well_seen(curves: LightCurves, n: int) -> LightCurves:
    """Objects at the 60th to 95th percentile of the number of detections."""
    order = np.argsort(_n_detected(curves), kind="stable")
    return curves.take(order[(np.linspace(0.6, 0.95, n) * (len(order) - 1)).astype(np.int64)])


def nearest(wanted: LightCurves, among: LightCurves) -> NDArray[np.int64]:
    """Objects alike in redshift, brightness and detections, one for each wanted, none twice."""
    columns = []
    for curves in (wanted, among):
        found = plain_features(curves)
        z = np.log1p(np.nan_to_num(found.values[:, found.names.index("photo_z")]))
        bright = np.nan_to_num(brightest(found), nan=99.0)
        columns.append(np.column_stack([z / 0.1, bright / 0.5, np.log(_n_detected(curves)) / 0.3]))
    far = ((columns[0][:, None] - columns[1]) ** 2).sum(axis=2)  # (n_wanted, n_among)
    taken: list[int] = []
    for row in far:
        row[taken] = np.inf
        taken.append(int(np.argmin(row)))
    return np.array(taken, dtype=np.int64)


def _points(curve: LightCurve) -> Json:
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


# --- the paper's frequencies --------------------------------------------------------


def draw(bench: Bench, item: Draw, report: Report) -> Json:
    """Scores of our honest forecasts on samples at the paper's class frequencies."""
    objects, proba = bench.objects, said_of(bench).proba
    results, drawn = [], None
    for k in range(item.n_draws):
        drawn = sample_by_frequency(objects.labels, PAPER_FREQUENCIES, bench.rng("frequencies", k))
        rows = drawn.position
        results.append(scored(objects.labels[rows], proba[rows], objects.simulated[rows]))
        report("", (k + 1) / item.n_draws)
    assert drawn is not None
    names, counts = np.unique(objects.labels[drawn.position], return_counts=True)
    return {
        "n_draws": item.n_draws,
        "n_objects": len(drawn.position),
        "counts": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "dropped": [name for name in drawn.dropped if name in PAPER_CLASSES],
        **{
            which: {metric: _brief(spread([one[which][metric] for one in results])) for metric in HEADLINE}
            | {"n_classes": len(results[-1][which]["per_class"])}
            for which in ("sixteen", "real")
        },
    }


def _brief(value: Json) -> Json:
    """Mean and deviation over draws, which are no folds."""
    return {"mean": value["mean"], "std": value["std"]}


PART = Part(
    name="simulated",
    key="simulated",
    title="Three simulated classes",
    needs=("encode", "ours"),
    measure=measure,
    show=show,
)
