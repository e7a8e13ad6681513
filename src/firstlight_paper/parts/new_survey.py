"""A new survey: our pipeline, trained on PLAsTiCC, classifies the supernovae of SNPCC (DES griz)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.bands import BANDS, magnitude
from firstlight.classify import LightGBMConfig, TrainingRows
from firstlight.classify.balance import class_frequencies
from firstlight.data import RejectLog
from firstlight.data.snpcc import Snpcc, read_snpcc
from firstlight.experiments.fold import predict_phases
from firstlight.lightcurves import LightCurves
from firstlight.metrics.curves import roc_auc
from firstlight.metrics.phases import PHASES, phase_name
from firstlight.metrics.scores import score
from firstlight.pipeline import Pipeline
from firstlight.report.style import ACCENT, INK, new_figure, styled
from firstlight.taxonomy import CLASSES, class_index
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.models import boosted, pipeline_of, predictions_of, proba_of
from firstlight_paper.page import plots
from firstlight_paper.page.plots import Look, curve_with_band, label_axes
from firstlight_paper.page.tables import markdown, number, pivot
from firstlight_paper.view import View

#: The classes of SNPCC.
THREE = ("SNIa", "SNII", "SNIbc")
METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "auc": "AUC SNIa", "figure_of_merit": "SNIa merit"}
HOME, WITH_SPECTRUM, TESTED = "PLAsTiCC", "SNPCC, with spectrum", "SNPCC, tested on"

_GRIZ = np.array([BANDS.index(name) for name in "griz"])
_COLUMNS = class_index(THREE)
_HEAVIEST = 10.0  # weight of a labelled object of the new survey against one of PLAsTiCC, at most

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much of the new survey is used."""

    n_test: int = 2000
    n_random: int = 3000
    labels: tuple[int, ...] = (30, 100, 300, 1000)
    draws: int = 3
    rounds: int = 200


class Split(NamedTuple):
    """Positions of the survey's objects by use: tested on without a spectrum, labelled at random per draw."""

    test: NDArray[np.int64]
    random: tuple[NDArray[np.int64], ...]
    spectroscopic: NDArray[np.int64]


def split_survey(survey: Snpcc, amount: Amount, rng: np.random.Generator) -> Split:
    """Share out the objects that triggered; those with a spectrum are never tested on."""
    usable = np.isfinite(survey.curves.trigger_mjd)
    without = rng.permutation(np.flatnonzero(usable & ~survey.spectroscopic))
    test, pool = without[: amount.n_test], without[amount.n_test :][: amount.n_random]
    parts = tuple(np.array_split(pool, amount.draws))
    return Split(np.sort(test), parts, np.flatnonzero(usable & survey.spectroscopic))


@lru_cache(maxsize=1)
def survey_of(folder: Path) -> tuple[Snpcc, int]:
    """The survey, and how many of its rows were set aside; read once per process."""
    log = RejectLog()
    return read_snpcc(folder, log), len(log)


def to_three(proba: Array) -> Array:
    """Probabilities of SNIa, SNII and SNIbc alone, from those of all classes."""
    three = proba[:, _COLUMNS] + 1e-12
    return np.asarray(three / three.sum(axis=1, keepdims=True))


def remix(proba: Array, old: Array, new: Array) -> Array:
    """Probabilities under another mix of classes than the one they were made for.

    >>> remix(np.array([[0.5, 0.5]]), np.array([0.5, 0.5]), np.array([0.8, 0.2])).round(3).tolist()
    [[0.8, 0.2]]
    """
    changed = proba * (new / np.maximum(old, 1e-12))
    return np.asarray(changed / changed.sum(axis=1, keepdims=True))


def estimate_mix(proba: Array, old: Array, n_steps: int = 200) -> Array:
    """Most likely mix of classes of unlabelled objects, by expectation-maximisation.

    `proba` was made for the mix `old` (Saerens, Latinne & Decaestecker 2002, doi:10.1162/089976602753284446).
    """
    mix = old
    for _ in range(n_steps):
        before, mix = mix, remix(proba, old, mix).mean(axis=0)
        if np.abs(mix - before).max() < 1e-6:
            break
    return mix


def figure_of_merit(matrix: Sequence[Sequence[int]]) -> float:
    """The challenge's figure of merit for SNIa: efficiency times purity, false ones counted three times.

    The first row (truth) and column of the confusion matrix are SNIa (Kessler et al. 2010, arXiv:1008.1024,
    equation 3).

    >>> round(figure_of_merit([[8, 2], [1, 9]]), 4)
    0.5818
    """
    cells = np.asarray(matrix)
    true, total = float(cells[0, 0]), float(cells[0].sum())
    false = float(cells[1:, 0].sum())
    return true / total * true / (true + 3.0 * false) if true else 0.0


def _scores(
    labels: NDArray[np.str_], proba: Array, classes: Sequence[str] = THREE
) -> tuple[Any, list[list[int]]]:
    """The four scores, and the confusion with SNIa, SNII, SNIbc and all others as columns."""
    result = score(labels, proba / proba.sum(axis=1, keepdims=True), classes)
    cells = np.asarray(result["confusion"]["matrix"])
    order = [list(classes).index(name) for name in THREE]
    three = cells[np.ix_(order, order)]
    matrix = np.column_stack([three, cells[order].sum(axis=1) - three.sum(axis=1)]).tolist()
    values = {"accuracy": result["accuracy"], "macro_f1": result["macro_f1"]}
    values |= {"auc": result["per_class"]["SNIa"]["auc"], "figure_of_merit": figure_of_merit(matrix)}
    return more({name: np.nan if value is None else value for name, value in values.items()}, "ours"), matrix


def _draw(context: Context, fold: int, progress: Progress, *, amount: Amount, folder: Path) -> Outcome:
    """One draw: the pipeline of a fold without and with adaptation."""
    survey, _ = survey_of(folder)
    parts = split_survey(survey, amount, context.rng("new-survey"))
    objects, k = context.objects, fold % context.scale.n_folds
    pipeline, outcome = pipeline_of(context, k), Outcome()
    old = _three_mix(objects.labels[objects.learn(k)])
    mix = _three_mix(survey.labels[np.concatenate(parts.random)])
    outcome.put("survey's mix", more({f"mix:{c}": share for c, share in zip(THREE, mix, strict=True)}), "")
    strange = _before(outcome, pipeline, survey, parts.test, old, mix)
    progress("classify", 0.25)
    _anomaly(outcome, {"SNPCC": strange} | _at_home(outcome, context, pipeline, k))
    progress("classify", 0.45)
    _after(outcome, context, k, fold, (survey, parts, mix, amount))
    return outcome


def _put(
    outcome: Outcome,
    name: str,
    labels: NDArray[np.str_],
    proba: Array,
    classes: Sequence[str] = THREE,
    keep: bool = False,
) -> None:
    values, matrix = _scores(labels, proba, classes)
    outcome.put(name, values)
    if keep:
        outcome.extra[name] = {"confusion": matrix}


def _before(
    outcome: Outcome, pipeline: Pipeline, survey: Snpcc, test: NDArray[np.int64], old: Array, mix: Array
) -> Array:
    """The pipeline as it is, and with the knowledge of a user of the survey; anomaly scores."""
    labels = survey.labels[test]
    found = predict_phases(pipeline, survey.curves.take(test), jobs=1)
    whole = found[phase_name(np.inf)]
    three = to_three(whole.proba)
    _put(outcome, "as it is", labels, whole.proba, CLASSES, keep=True)
    _put(outcome, "three classes", labels, three)
    _put(outcome, "estimated mix", labels, remix(three, old, estimate_mix(three, old)))
    _put(outcome, "survey's mix", labels, remix(three, old, mix), keep=True)
    for name, one in found.items():
        _put(outcome, f"SNPCC {_phase(name)}", labels, remix(to_three(one.proba), old, mix))
    called = np.array(CLASSES)[whole.proba.argmax(axis=1)]
    others = {f"called:{c}": float(np.mean(called == c)) for c in CLASSES if c not in THREE}
    silent = float(np.sum(~whole.is_classified))
    outcome.put("as it is", more(others | {"not_classified": silent}, "ours"))
    return whole.anomaly


def _phase(name: str) -> str:
    return "whole" if name == phase_name(np.inf) else f"day {name}"


def _at_home(outcome: Outcome, context: Context, pipeline: Pipeline, k: int) -> dict[str, Array]:
    """The same pipeline on PLAsTiCC's own unseen supernovae, in all bands and in griz; anomaly scores."""
    objects, test = context.objects, context.objects.folds[k].test
    supernova = test[np.isin(objects.labels[test], THREE)]
    labels = objects.labels[supernova]
    all_bands = predictions_of(context).take(supernova)
    four = pipeline.predict(_in_griz(objects.curves.take(supernova)), jobs=1)
    _put(outcome, "PLAsTiCC ugrizy", labels, to_three(all_bands.proba))
    _put(outcome, "PLAsTiCC griz", labels, to_three(four.proba))
    for days in PHASES:
        proba = to_three(predictions_of(context, days).proba[supernova])
        _put(outcome, f"PLAsTiCC {_phase(phase_name(days))}", labels, proba)
    return {HOME: all_bands.anomaly, f"{HOME}, griz only": four.anomaly}


def _anomaly(outcome: Outcome, groups: Mapping[str, Array]) -> None:
    """How far the anomaly scores part from those of PLAsTiCC's."""
    known = {name: values[np.isfinite(values)] for name, values in groups.items()}
    home = known[HOME]
    limit = float(np.quantile(home, 0.95))
    for name, values in known.items():
        found = {"limit": limit} if name == HOME else {}
        found["beyond"] = float(np.mean(values > limit)) if len(values) else np.nan
        if name != HOME:
            is_new = np.repeat([True, False], [len(values), len(home)])
            found["auc"] = roc_auc(is_new, np.concatenate([values, home]))
        outcome.put(f"anomaly {name}", more(found))


def _after(
    outcome: Outcome, context: Context, k: int, draw: int, given: tuple[Snpcc, Split, Array, Amount]
) -> None:
    """Classifiers trained on the pipeline's inputs, from few labels of the new survey."""
    survey, parts, mix, amount = given
    pipeline, objects = pipeline_of(context, k), context.objects
    learn = objects.learn(k)
    learn = learn[np.isin(objects.labels[learn], THREE)]
    known, home = objects.labels[learn], objects.curves.take(learn)
    X_old, X_griz = pipeline.inputs(home), pipeline.inputs(_in_griz(home))
    X_test, truth = pipeline.inputs(survey.curves.take(parts.test)), survey.labels[parts.test]

    def fit(name: str, *blocks: tuple[Any, NDArray[np.str_], float], keep: bool = False) -> None:
        """Train on blocks of rows, each with its labels and the weight of one row; score under the mix."""
        X, labels = (np.concatenate([block[i] for block in blocks]) for i in (0, 1))
        weight = np.concatenate([np.full(len(names), value) for _, names, value in blocks])
        config = LightGBMConfig(
            rounds=amount.rounds,
            learning_rate=0.06,
            feature_fraction=0.2,
            max_bin=63,
            min_data_in_leaf=3 if len(X) < 300 else 10,
        )
        model = boosted(TrainingRows(X, labels, weight=weight), config, seed=draw)
        proba = to_three(proba_of(model, X_test))
        _put(outcome, name, truth, remix(proba, np.full(len(THREE), 1.0 / len(THREE)), mix), keep=keep)

    fit("retrained ugrizy", (X_old, known, 1.0))
    fit("retrained griz", (X_griz, known, 1.0))
    rng = context.rng("new-survey", "labels", draw)
    candidates = {"spectroscopic": rng.permutation(parts.spectroscopic), "random": parts.random[draw]}
    for source, names in candidates.items():
        most = names[: max(amount.labels)]
        X, labels = pipeline.inputs(survey.curves.take(most)), survey.labels[most]
        for n in (n for n in amount.labels if n <= len(most)):
            fit(f"alone {source} {n}", (X[:n], labels[:n], 1.0))
            weight, last = min(_HEAVIEST, len(learn) / n), n == max(amount.labels)
            fit(f"joint {source} {n}", (X_griz, known, 1.0), (X[:n], labels[:n], weight), keep=last)


def _in_griz(curves: LightCurves) -> LightCurves:
    """The same objects as a camera without u and y would have observed them."""
    return curves.keep(np.isin(curves.band, _GRIZ))


def _three_mix(labels: NDArray[np.str_]) -> Array:
    return class_frequencies(labels[np.isin(labels, THREE)], THREE)[_COLUMNS]


def _look(context: Context, fold: int, progress: Progress, *, amount: Amount, folder: Path) -> Outcome:
    """Medians of the two surveys' supernovae."""
    survey, n_rejected = survey_of(folder)
    parts, objects = split_survey(survey, amount, context.rng("new-survey")), context.objects
    home = np.flatnonzero(np.isin(objects.labels, THREE) & ~objects.simulated)
    groups = {HOME: (objects.curves.take(home), objects.labels[home])}
    for name, rows in ((WITH_SPECTRUM, parts.spectroscopic), (TESTED, parts.test)):
        groups[name] = (survey.curves.take(rows), survey.labels[rows])
    surveys = {name: _medians(*group) for name, group in groups.items()}
    counts = {"n_rejected": n_rejected, "n_survey": len(survey), "n_random": sum(map(len, parts.random))}
    return Outcome(extra={"": {"surveys": surveys, **counts}})


def _medians(curves: LightCurves, labels: NDArray[np.str_]) -> dict[str, Any]:
    flux_err, owner = curves.flux_err.astype(np.float64), curves.object_index
    snr, brightest = np.full(len(curves), -np.inf), np.full(len(curves), -np.inf)
    np.maximum.at(snr, owner, curves.flux / flux_err)
    np.maximum.at(brightest, owner, np.where(curves.detected, curves.flux, -np.inf))
    return {
        "n_objects": len(curves),
        "mix": {name: float(np.mean(labels == name)) for name in THREE},
        "n_obs": float(np.median(curves.n_obs)),
        "n_detected": float(np.median(np.bincount(owner[curves.detected], minlength=len(curves)))),
        "snr": float(np.median(snr)),
        "magnitude": float(np.median(magnitude(brightest[np.isfinite(brightest)]))),
        "depth": float(np.median(magnitude(5.0 * flux_err))),
        "redshift": float(np.nanmedian(curves.redshift)),
    }


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """All draws; nothing without the survey's folder."""
    if context.snpcc is None:
        return []
    given: dict[str, Any] = {"amount": amount, "folder": context.snpcc}
    draw = Variant(
        name=f"draw of {_digest(context.snpcc)}", work=partial(_draw, **given), folds=range(amount.draws)
    )
    return [Variant(name="look", work=partial(_look, **given)), draw]


def _digest(folder: Path) -> str:
    """Changes with the name or size of any file of the survey."""
    files = sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []
    sizes = repr([(path.name, path.stat().st_size) for path in files])
    return hashlib.sha256(sizes.encode()).hexdigest()[:12]


_BEFORE = {
    "as it is": "no labels: as it is, all classes",
    "three classes": "no labels: only three classes occur",
    "estimated mix": "no labels: and their mix, estimated from unlabelled objects",
    "survey's mix": "no labels: and their mix in the survey",
    "retrained ugrizy": "trained on PLAsTiCC's three classes, ugrizy",
    "retrained griz": "trained on PLAsTiCC's three classes, griz",
}
_LINES = {
    "alone spectroscopic": "SNPCC alone, spectroscopic labels",
    "alone random": "SNPCC alone, random labels",
    "joint spectroscopic": "PLAsTiCC + spectroscopic labels",
    "joint random": "PLAsTiCC + random labels",
}
_HOME = {
    "PLAsTiCC ugrizy": "for comparison: PLAsTiCC's own, ugrizy",
    "PLAsTiCC griz": "for comparison: PLAsTiCC's own, griz",
}


def facts(view: View) -> Mapping[str, Any]:
    """Shares called other classes, and the fewest labels that beat no labels in every draw."""
    bar = view.folds("survey's mix", "auc", 0)

    def enough(line: str) -> int | None:
        for n in view.amount.labels:
            found = view.spread(f"{line} {n}", "auc", 0).folds
            if len(found) == len(bar) and all(np.greater(found, bar)):
                return n
        return None

    others = [view.spread("as it is", f"called:{c}", 0).mean for c in CLASSES if c not in THREE]
    look = view.only("look")
    return {
        "look": look,
        "tested": look["surveys"][TESTED],
        "home": look["surveys"][HOME],
        "others": float(np.nansum(others)),
        "enough": {line: enough(line) for line in _LINES},
        "most": max(view.amount.labels),
    }


def scores_table(view: View) -> str:
    """Scores without labels, by number of labels, and at home."""
    rows = {title: {"variant": name} for name, title in _BEFORE.items()}
    for line, title in _LINES.items():
        for n in view.amount.labels:
            if view.has(f"{line} {n}", "auc", 0):
                rows[f"{title}: {n:,}"] = {"variant": f"{line} {n}"}
    rows |= {title: {"variant": name} for name, title in _HOME.items()}
    return pivot(view, rows, {title: {"metric": m, "subset": 0} for m, title in METRICS.items()}, "model")


def surveys_table(view: View) -> str:
    """Medians of the surveys' supernovae."""
    surveys = view.facts["look"]["surveys"]
    body = [["supernovae", *(f"{one['n_objects']:,}" for one in surveys.values())]]
    mixes = [" / ".join(f"{100 * one['mix'][c]:.0f}" for c in THREE) for one in surveys.values()]
    body.append([" / ".join(THREE) + " [%]", *mixes])
    for title, name, digits in (
        ("observations", "n_obs", 0),
        ("detections (S/N > 5 in SNPCC)", "n_detected", 0),
        ("highest S/N", "snr", 1),
        ("brightest detection [mag]", "magnitude", 1),
        ("5-sigma depth of a visit [mag]", "depth", 1),
        ("host photometric redshift", "redshift", 2),
    ):
        body.append([title, *(number(one[name], digits) for one in surveys.values())])
    return markdown(["median of", *surveys], body)


def confusions(view: View) -> Figure:
    """Where SNPCC's supernovae go, before and after adaptation."""
    most = view.facts["most"]
    names = {"as it is": "as it is", "survey's mix": "with classes and mix"}
    names |= {f"joint {source} {most}": f"+ {most:,} {source}" for source in ("spectroscopic", "random")}
    kept = view.results.extra(view.part)
    known = {title: view.confusion(name) for name, title in names.items() if kept.get(name)}
    return plots.confusion(known, THREE, len(known))


@styled
def phases(view: View) -> Figure:
    """Scores against days since trigger, beside PLAsTiCC's own supernovae."""
    figure = new_figure(2.7)
    panels = figure.subplots(1, 2)
    names = [_phase(phase_name(days)) for days in PHASES]
    for panel, metric in zip(panels, ("auc", "accuracy"), strict=True):
        for survey, look in (("PLAsTiCC", Look("PLAsTiCC", INK, "s")), ("SNPCC", Look("SNPCC", ACCENT))):
            values = [view.spread(f"{survey} {name}", metric, 0) for name in names]
            curve_with_band(panel, range(len(names)), values, look)
        panel.set_xticks(range(len(names)), [name.removeprefix("day ") for name in names])
        label_axes(panel, "days since trigger", METRICS[metric])
    panels[0].legend(loc="lower right")
    return figure


NEW_SURVEY = Part(
    name="new-survey",
    group="limitations",
    needs=("ours",),
    full=Amount(),
    quick=Amount(n_test=300, n_random=300, labels=(30, 100), draws=2, rounds=60),
    variants=variants,
    tables={"scores": scores_table, "surveys": surveys_table},
    figures={"new-survey-confusion": confusions, "new-survey-phase": phases},
    facts=facts,
)
