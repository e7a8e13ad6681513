"""Limitation: classes that look alike. Which pairs, how early, and what a redshift or a spectrum would give.

The paper names SNIa and SNII, and SNIa and SNIax, and hopes for spectra. Here every pair is
ranked by its share of the errors on unseen objects; the same objects are classified with
their host's spectroscopic redshift, and with none; and spectra are handed out one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.classify import LightGBMBooster, LightGBMConfig, TrainingRows, to_all_classes
from firstlight.lightcurves import RedshiftMode
from firstlight.metrics import PHASES, phase_name
from firstlight.metrics.curves import roc_auc
from firstlight.predictions import Predictions
from firstlight.splits import check_disjoint
from firstlight.taxonomy import CLASSES
from firstlight_paper.objects import PAPER_CLASSES, PAPER_COLUMNS
from firstlight_paper.parts.limits import brief, brief_of, change, folds_of, mean, score_columns
from firstlight_paper.parts.overlap_plots import help_curves, pair_curves
from firstlight_paper.scores import spread
from firstlight_paper.section import Part, Picture, Section, Table, plus_minus
from firstlight_paper.shared import OURS, pipeline_of, said_of
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["NAMED", "PART", "ask_for_spectra"]

ASK, RETRAIN = "overlap-redshift", "overlap-retrained"

#: Pairs whose confusion the paper states, and names again among its limitations.
NAMED = (("SNIa", "SNII"), ("SNIa", "SNIax"))

#: Redshifts beside the photometric one that the pipelines were trained with.
MODES: tuple[RedshiftMode, ...] = ("spec", "none")

#: Share of objects that get a spectrum.
SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ORDERS = ("entropy", "random", "perfect")
_REPEATS = 20  # random orders that are averaged

_N_PAIRS = 8
_RETRAINED = LightGBMConfig(rounds=100, learning_rate=0.1, leaves=15, feature_fraction=0.2, max_bin=63)


@dataclass(frozen=True)
class Ask:
    """One fold's test objects with another redshift, cut at one phase [day since trigger]."""

    fold: int
    mode: RedshiftMode
    days: float


@dataclass(frozen=True)
class Retrained:
    """One fold's classifier on whole curves, trained and tested with one redshift."""

    fold: int
    mode: RedshiftMode
    config: LightGBMConfig = _RETRAINED


# --- measure --------------------------------------------------------------------


def measure(workshop: Workshop) -> dict[str, Any]:
    """Confused pairs by phase, skill by redshift, skill by share of spectra."""
    bench = workshop.bench
    n_folds, full = bench.scale.n_folds, bench.scale.is_full
    phases = (2.0, 8.0, 32.0, np.inf) if full else (8.0, np.inf)
    asked = {
        f"fold-{k + 1}-{mode}-{phase_name(days)}": Ask(k, mode, days)
        for k in range(n_folds)
        for mode in MODES
        for days in phases
    }
    n_retrained = 2 if full else 1
    modes: tuple[RedshiftMode, ...] = ("photo", *MODES)
    retrained = {f"fold-{k + 1}-{mode}": Retrained(k, mode) for k in range(n_retrained) for mode in modes}
    answers = workshop.map(ASK, _ask, asked)
    trained = workshop.map(RETRAIN, _retrain, retrained)
    photo = {days: _photo(bench, days) for days in PHASES}
    redshift = {
        phase_name(days): {"photo": brief_of([fold["scores"] for fold in photo[days]])}
        | {
            mode: brief_of([f["scores"] for f in folds_of(answers, n_folds, f"{mode}-{phase_name(days)}")])
            for mode in MODES
        }
        for days in phases
    }
    objects = bench.objects
    whole = {mode: folds_of(answers, n_folds, f"{mode}-all") for mode in MODES} | {"photo": photo[np.inf]}
    return {
        "protocol": (
            f"preset {bench.scale.preset}, every one of {len(objects):,} objects "
            f"({int(objects.simulated.sum())} of them simulated) by the pipeline of {n_folds} that never saw "
            f"it; spread over folds. Retrained: a booster on whole curves, {n_retrained} fold(s)"
        ),
        "printed": {"named": [list(pair) for pair in NAMED]},
        "leak": None,
        "honest": {
            "pairs": _pairs(photo, whole),
            "error_rate": _error_rates(photo),
            "phases": [phase_name(days) for days in PHASES],
            "redshift": redshift,
            "retrained": {
                mode: brief_of([f["scores"] for f in folds_of(trained, n_retrained, mode)]) for mode in modes
            },
            "redshift_scatter": _scatter(bench),
            "spectra": {phase_name(days): _spectra(bench, days) for days in (8.0, np.inf)},
        },
    }


def _ask(bench: Bench, item: Ask, report: Report) -> dict[str, Any]:
    """Classify one fold's test objects with another redshift, by the pipeline that never saw them."""
    test = bench.objects.folds[item.fold].test
    curves = bench.objects.curves.take(test).with_redshift(item.mode).upto_phase(item.days)
    report("", 0.1)
    return _tell(bench, test, pipeline_of(bench, item.fold).predict(curves, jobs=1))


def _photo(bench: Bench, days: float) -> list[dict[str, Any]]:
    said = said_of(bench, days)
    return [_tell(bench, fold.test, said.take(fold.test)) for fold in bench.objects.folds]


def _tell(bench: Bench, test: NDArray[np.int64], said: Predictions) -> dict[str, Any]:
    labels, simulated = bench.objects.labels[test], bench.objects.simulated[test]
    proba = said.proba[:, PAPER_COLUMNS]
    return {
        "scores": brief(labels, said, simulated),
        "confusion": _confusion(labels, proba).tolist(),
        "confusion_real": _confusion(labels[~simulated], proba[~simulated]).tolist(),
        "pair_auc": _pair_auc(labels, proba),
    }


def _confusion(labels: NDArray[np.str_], proba: NDArray[np.float64]) -> NDArray[np.int64]:
    n = len(PAPER_CLASSES)
    truth = np.array([PAPER_CLASSES.index(name) for name in labels.tolist()], dtype=np.int64)
    return np.bincount(truth * n + proba.argmax(axis=1), minlength=n * n).reshape(n, n)


def _pair_auc(labels: NDArray[np.str_], proba: NDArray[np.float64]) -> dict[str, float]:
    """Two-class AUC of every pair: objects of the two classes, ranked by the ratio of their probabilities."""
    found = {}
    for a, b in combinations(range(len(PAPER_CLASSES)), 2):
        member = np.isin(labels, (PAPER_CLASSES[a], PAPER_CLASSES[b]))
        is_first = labels[member] == PAPER_CLASSES[a]
        if 0 < is_first.sum() < len(is_first):
            both = proba[member][:, [a, b]] + 1e-12
            found[f"{PAPER_CLASSES[a]}/{PAPER_CLASSES[b]}"] = roc_auc(is_first, both[:, 0] / both.sum(axis=1))
    return found


def _pairs(
    photo: Mapping[float, Sequence[Mapping[str, Any]]], whole: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """The most confused pairs at whole curves, and those that the paper names."""
    total = np.sum([fold["confusion"] for fold in photo[np.inf]], axis=0)
    both = total + total.T
    ranked = sorted(combinations(range(len(PAPER_CLASSES)), 2), key=lambda pair: -both[pair])
    rows = []
    for rank, (a, b) in enumerate(ranked, start=1):
        names = (PAPER_CLASSES[a], PAPER_CLASSES[b])
        if rank > _N_PAIRS and names not in NAMED:
            continue
        key = "/".join(names)
        rows.append(
            {
                "pair": list(names),
                "rank": rank,
                "first_as_second": {"n": int(total[a, b]), "of": int(total[a].sum())},
                "second_as_first": {"n": int(total[b, a]), "of": int(total[b].sum())},
                "share": spread([_share(fold["confusion"], a, b) for fold in photo[np.inf]]),
                "share_real": spread([_share(fold["confusion_real"], a, b) for fold in photo[np.inf]]),
                "per_100": [
                    spread([_rate(fold["confusion_real"], a, b) for fold in folds])
                    for folds in photo.values()
                ],
                "auc": {mode: spread([fold["pair_auc"].get(key) for fold in whole[mode]]) for mode in whole},
            }
        )
    return rows


def _share(confusion: Any, a: int, b: int) -> float:
    """Errors of a pair, of all errors."""
    table = np.array(confusion)
    errors = table.sum() - np.trace(table)
    return float((table[a, b] + table[b, a]) / errors) if errors else float("nan")


def _rate(confusion: Any, a: int, b: int) -> float:
    """Errors of a pair among 100 objects."""
    table = np.array(confusion)
    return 100.0 * float(table[a, b] + table[b, a]) / float(table.sum())


def _error_rates(photo: Mapping[float, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """All errors among 100 real objects at every phase."""
    return [
        spread([100.0 * (1.0 - fold["scores"]["real"]["accuracy"]) for fold in folds])
        for folds in photo.values()
    ]


def _scatter(bench: Bench) -> dict[str, float]:
    """How far photometric redshifts lie from spectroscopic ones, real extragalactic objects."""
    objects = bench.objects
    true, photo = objects.curves.redshift_spec, objects.curves.redshift
    known = ~objects.simulated & (true > 0.0) & np.isfinite(photo)
    off = np.abs(photo - true)[known] / (1.0 + true[known])
    return {"n": int(known.sum()), "median": float(np.median(off)), "beyond_0.1": float(np.mean(off > 0.1))}


def _retrain(bench: Bench, item: Retrained, report: Report) -> dict[str, Any]:
    """Train a booster on whole curves with one redshift, and test it with the same."""
    objects = bench.objects
    fold, learn = objects.folds[item.fold], objects.learn(item.fold)
    names = objects.curves.object_id
    check_disjoint(names[learn], names[fold.test])
    X = pipeline_of(bench, item.fold).inputs(objects.curves.with_redshift(item.mode))
    report("", 0.3)
    model = LightGBMBooster(item.config).fit(
        TrainingRows(X[learn], objects.labels[learn], object_id=names[learn]), seed=bench.seed, jobs=1
    )
    proba = to_all_classes(model.predict_proba(X[fold.test]), model.classes)
    n = len(fold.test)
    said = Predictions(
        object_id=names[fold.test],
        status=np.full(n, "classified"),
        reason=np.full(n, ""),
        label=np.array(CLASSES)[proba.argmax(axis=1)],
        proba=proba,
        anomaly=np.full(n, np.nan),
        n_obs=objects.curves.n_obs[fold.test],
        phase=np.full(n, np.nan),
    )
    return _tell(bench, fold.test, said)


# --- spectra --------------------------------------------------------------------


def ask_for_spectra(
    truth: NDArray[np.int64], proba: NDArray[np.float64], order: NDArray[np.int64], share: float
) -> tuple[float, float]:
    """Accuracy and macro F1 when the first objects of an order have their class from a spectrum.

    Parameters
    ----------
    truth : int64 array, shape (n_objects,)
        Column of each object's class.
    proba : float64 array, shape (n_objects, n_classes)
        Forecasts.
    order : int64 array, shape (n_objects,)
        Positions, first served first.
    share : float
        Of the objects that get a spectrum.

    Returns
    -------
    tuple of float
        Accuracy, and F1 averaged over the classes in the truth.
    """
    said = proba.argmax(axis=1)
    served = order[: round(share * len(order))]
    said[served] = truth[served]
    n = proba.shape[1]
    table = np.bincount(truth * n + said, minlength=n * n).reshape(n, n)
    hits, both = np.diagonal(table), table.sum(axis=0) + table.sum(axis=1)
    present = table.sum(axis=1) > 0
    return float(np.mean(said == truth)), float(np.mean(2.0 * hits[present] / both[present]))


def _spectra(bench: Bench, days: float) -> dict[str, Any]:
    """Skill on real objects against the share with spectra, by who is served first."""
    objects, said = bench.objects, said_of(bench, days)
    curves: dict[str, Any] = {order: {"accuracy": [], "macro_f1": []} for order in ORDERS}
    by_fold = []
    for k, fold in enumerate(objects.folds):
        test = fold.test[~objects.simulated[fold.test]]
        truth = np.array([PAPER_CLASSES.index(name) for name in objects.labels[test].tolist()])
        proba = said.proba[test][:, PAPER_COLUMNS]
        by_fold.append(_served(truth, proba, bench.rng("spectra", k)))
    for order in ORDERS:
        for column, score in enumerate(("accuracy", "macro_f1")):
            curves[order][score] = [
                spread([fold[order][step][column] for fold in by_fold]) for step in range(len(SHARES))
            ]
    return {"shares": list(SHARES)} | curves


def _served(
    truth: NDArray[np.int64], proba: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Accuracy and macro F1 by share of spectra, shape (n_shares, 2), for each order."""
    entropy = -(proba * np.log(np.clip(proba, 1e-15, 1.0))).sum(axis=1)
    right = proba.argmax(axis=1) == truth
    orders = {
        "entropy": [np.argsort(-entropy, kind="stable")],
        "random": [rng.permutation(len(truth)) for _ in range(_REPEATS)],
        "perfect": [np.argsort(right, kind="stable")],
    }
    return {
        name: np.mean(
            [[ask_for_spectra(truth, proba, order, share) for share in SHARES] for order in some], axis=0
        )
        for name, some in orders.items()
    }


def share_needed(shares: Sequence[float], values: Sequence[Mapping[str, Any]], wanted: float) -> float:
    """Least share of spectra that reaches a score, between the steps of a curve; NaN if none does."""
    reached = np.maximum.accumulate([mean(value) for value in values])
    return float(np.interp(wanted, reached, shares)) if reached[-1] >= wanted else float("nan")


# --- show -----------------------------------------------------------------------


def show(result: Mapping[str, Any]) -> Section:
    """Pairs by share of the errors; what redshifts and spectra would give."""
    honest = result["honest"]
    protocol = f"{result['protocol'][0].upper()}{result['protocol'][1:]}."
    return Section(
        title="Limitation: classes that look alike",
        blocks=(
            _pair_words(honest),
            Picture(
                name="overlap-pairs",
                figure=pair_curves(honest, result["printed"]["named"]),
                caption=(
                    "The most confused pairs: their share of all errors at whole light curves, and errors "
                    "among 100 real objects against the days since the trigger; bars and bands: one standard "
                    "deviation over folds. Ringed: pairs that the paper names."
                ),
            ),
            _pair_table(honest, protocol),
            _help_words(honest),
            Picture(
                name="overlap-help",
                figure=help_curves(honest),
                caption=(
                    "Above: skill on the 13 real classes by the host redshift that is known. Below: skill "
                    "when a share of the objects has its class from a spectrum, by who is served first "
                    "(whole light curves; thin: at 8 days). Bands: one standard deviation over folds."
                ),
            ),
            _redshift_table(honest, protocol),
        ),
    )


def _pair_words(honest: Mapping[str, Any]) -> str:
    pairs = honest["pairs"]
    first = pairs[0]
    named = {tuple(row["pair"]): row for row in pairs}
    ranks = " and ".join(
        f"{a} and {b} (rank {named[a, b]['rank']} among the pairs of sixteen classes, "
        f"{100 * mean(named[a, b]['share_real']):.0f} % of the errors on real objects, two-class AUC "
        f"{plus_minus(named[a, b]['auc']['photo'])})"
        for a, b in NAMED
    )
    three = sum(mean(row["share_real"]) for row in pairs[:3])
    early = honest["phases"].index("2")
    return (
        f"Of all pairs, {first['pair'][0]} and {first['pair'][1]} are confused most: they make "
        f"{100 * mean(first['share']):.0f} % of all errors ({100 * mean(first['share_real']):.0f} % on real "
        f"objects); the first three pairs of the table make {100 * three:.0f} % of the errors on real "
        f"objects. The paper names {ranks}. Two days after the trigger "
        f"{plus_minus(honest['error_rate'][early], 1)} of 100 real objects are misnamed, at whole light "
        f"curves {plus_minus(honest['error_rate'][-1], 1)}."
    )


def _help_words(honest: Mapping[str, Any]) -> str:
    whole, scatter = honest["redshift"]["all"], honest["redshift_scatter"]
    photo = whole["photo"]["real"]
    change_of = {
        mode: change(whole[mode]["real"]["macro_f1"], photo["macro_f1"]) for mode in ("spec", "none")
    }
    trained = {mode: row["real"] for mode, row in honest["retrained"].items()}
    again = {
        mode: change(trained[mode]["macro_f1"], trained["photo"]["macro_f1"]) for mode in ("spec", "none")
    }
    spectra = honest["spectra"]["all"]
    wanted = 0.5 * (1.0 + mean(photo["accuracy"]))
    needed = {order: share_needed(spectra["shares"], spectra[order]["accuracy"], wanted) for order in ORDERS}
    return (
        f"Photometric redshifts of the {scatter['n']:,} real extragalactic hosts are off by "
        f"{scatter['median']:.3f} (1 + z) in the median, {100 * scatter['beyond_0.1']:.0f} % by more than "
        f"0.1. With spectroscopic ones instead, macro F1 on real objects changes by "
        f"{plus_minus(change_of['spec'])} at whole curves for the pipelines as trained, and by "
        f"{plus_minus(again['spec'])} for a booster retrained with them; without any redshift, "
        "which also hides what lies in the Galaxy, by "
        f"{plus_minus(change_of['none'])}, retrained {plus_minus(again['none'])}. A spectrum gives the class "
        f"itself: to halve the errors, {100 * needed['entropy']:.0f} % of the objects need one if the most "
        f"uncertain are served first, {100 * needed['random']:.0f} % if they are drawn at random, and "
        f"{100 * needed['perfect']:.0f} % if one knew which are wrong. All objects count as bright enough "
        "for a spectrum, which they are not."
    )


def _pair_table(honest: Mapping[str, Any], protocol: str) -> Table:
    def part(row: Mapping[str, Any], key: str) -> str:
        cell = row[key]
        return f"{cell['n']} of {cell['of']}"

    rows = tuple(
        (
            f"{row['pair'][0]} and {row['pair'][1]}" + (" (named)" if tuple(row["pair"]) in NAMED else ""),
            str(row["rank"]),
            plus_minus(row["share"]),
            plus_minus(row["share_real"]),
            part(row, "first_as_second"),
            part(row, "second_as_first"),
            *(plus_minus(row["auc"][mode]) for mode in ("photo", "spec", "none")),
        )
        for row in honest["pairs"]
    )
    return Table(
        caption=f"Most confused pairs at whole light curves; named: by the paper. {protocol}",
        columns=(
            "pair",
            "rank",
            "share of errors, 16 classes",
            "share of errors, 13 real",
            "first called second",
            "second called first",
            "AUC, photometric redshift",
            "AUC, spectroscopic",
            "AUC, none",
        ),
        rows=rows,
    )


def _redshift_table(honest: Mapping[str, Any], protocol: str) -> Table:
    words = {"photo": "photometric", "spec": "spectroscopic", "none": "none"}
    rows = [
        ("whole curve" if phase == "all" else f"{phase} days", words[mode], *score_columns(scores)[:-1])
        for phase, modes in honest["redshift"].items()
        for mode, scores in modes.items()
    ]
    rows += [
        ("whole curve, retrained", words[mode], *score_columns(scores)[:-1])
        for mode, scores in honest["retrained"].items()
    ]
    shown = ("accuracy", "macro F1", "AUC")
    return Table(
        caption=f"Redshift of the host. {protocol}",
        columns=(
            "light curve",
            "redshift",
            *(f"{name}, {n}" for n in ("16 classes", "13 real") for name in shown),
        ),
        rows=tuple(rows),
    )


PART = Part(
    name="overlap",
    key="limitations.overlap",
    title="Limitation: classes that look alike",
    needs=(OURS,),
    measure=measure,
    show=show,
)
