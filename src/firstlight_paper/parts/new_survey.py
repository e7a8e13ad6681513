"""A new survey: our model, trained on PLAsTiCC, meets the supernovae of SNPCC (DES griz).

First as it is; then told what a user of the new survey knows (only three classes occur, and
how often); then with a classifier trained anew, on the inputs that the same pipeline makes,
from a few labelled objects of the new survey. The encoder and the templates stay those of
PLAsTiCC throughout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.bands import BANDS
from firstlight.classify import (
    LightGBMBooster,
    LightGBMConfig,
    TrainingRows,
    class_frequencies,
    to_all_classes,
)
from firstlight.data import Snpcc
from firstlight.experiments.fold import predict_phases
from firstlight.lightcurves import LightCurves
from firstlight.metrics import PHASES, phase_name, score
from firstlight.metrics.curves import roc_auc
from firstlight.pipeline import Pipeline
from firstlight.taxonomy import CLASSES, class_index
from firstlight_paper.objects import Objects
from firstlight_paper.parts.new_survey_data import (
    FULL,
    QUICK,
    Amounts,
    Split,
    digest,
    look,
    split_survey,
    survey_of,
)
from firstlight_paper.parts.new_survey_show import THREE, show
from firstlight_paper.scores import spread
from firstlight_paper.section import Part
from firstlight_paper.shared import pipeline_of, said_of
from firstlight_paper.workshop import Bench, Report, Workshop, plain

__all__ = ["PART", "Draw", "estimate_mix", "figure_of_merit", "remix", "to_three"]

STAGE, LOOK = "new-survey", "new-survey-look"
NUMBERS = ("accuracy", "macro_f1", "auc", "figure_of_merit")
SOURCES = ("spectroscopic", "random")

_GRIZ = np.array([BANDS.index(name) for name in "griz"])
_COLUMNS = class_index(THREE)
_HEAVIEST = 10.0  # weight of a labelled object of the new survey against one of PLAsTiCC, at most

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Draw:
    """One repetition.

    Attributes
    ----------
    number : int
        Which, from 0; chooses the labelled objects.
    fold : int
        Whose pipeline is applied.
    amounts : Amounts
        How much is used.
    files : str
        Names and sizes of the survey's files, digested.
    """

    number: int
    fold: int
    amounts: Amounts
    files: str


def measure(workshop: Workshop) -> dict[str, Any]:
    """Apply the model with and without adaptation; see the module."""
    bench = workshop.bench
    nothing: dict[str, Any] = {"printed": None, "leak": None, "honest": None}
    if bench.snpcc is None:
        reason = (
            "not measured: give the folder of the SNPCC light curves with --snpcc FOLDER (unpack "
            "SIMGEN_PUBLIC_DES.tar.gz of doi:10.5281/zenodo.13883296, public since 2010; also in "
            "https://github.com/COINtoolbox/ActSNClass)"
        )
        return nothing | {"skipped": reason, "protocol": "nothing was computed"}
    amounts = FULL if bench.scale.is_full else QUICK
    files, n_folds = digest(bench.snpcc), bench.scale.n_folds
    draws = {f"draw-{k + 1}": Draw(k, k % n_folds, amounts, files) for k in range(amounts.draws)}
    shown = workshop.map(LOOK, look, {"look": (amounts, files)})["look"]
    result = _joined(list(workshop.map(STAGE, _draw, draws).values()), shown, amounts)
    return nothing | {name: plain(value) for name, value in result.items()}


PART = Part(
    name="new-survey",
    key="limitations.new_survey",
    title="A new survey: SNPCC, with and without adaptation",
    needs=("ours",),
    measure=measure,
    show=show,
)


# --- pieces ---------------------------------------------------------------------


def to_three(proba: FloatArray) -> FloatArray:
    """Probabilities of SNIa, SNII and SNIbc alone, from those of all classes."""
    three = proba[:, _COLUMNS] + 1e-12
    return np.asarray(three / three.sum(axis=1, keepdims=True))


def remix(proba: FloatArray, old: FloatArray, new: FloatArray) -> FloatArray:
    """Probabilities under another mix of classes than the one they were made for.

    Examples
    --------
    >>> remix(np.array([[0.5, 0.5]]), np.array([0.5, 0.5]), np.array([0.8, 0.2])).round(3).tolist()
    [[0.8, 0.2]]
    """
    changed = proba * (new / np.maximum(old, 1e-12))
    return np.asarray(changed / changed.sum(axis=1, keepdims=True))


def estimate_mix(proba: FloatArray, old: FloatArray, n_steps: int = 200) -> FloatArray:
    """The mix of classes of unlabelled objects, by expectation-maximisation.

    Parameters
    ----------
    proba : float64 array, shape (n_objects, n_classes)
        Probabilities made for the mix `old`.
    old : float64 array, shape (n_classes,)
        That mix.
    n_steps : int
        Steps at most.

    Returns
    -------
    float64 array, shape (n_classes,)
        The most likely mix (Saerens, Latinne & Decaestecker 2002, doi:10.1162/089976602753284446).
    """
    mix = old
    for _ in range(n_steps):
        before, mix = mix, remix(proba, old, mix).mean(axis=0)
        if np.abs(mix - before).max() < 1e-6:
            break
    return mix


def figure_of_merit(matrix: Sequence[Sequence[int]]) -> float:
    """The challenge's figure of merit for SNIa: efficiency times purity, false ones counted three times.

    Parameters
    ----------
    matrix : sequence of sequence of int
        Confusion matrix, rows the truth; the first row and column are SNIa.

    Returns
    -------
    float
        Between 0 and 1 (Kessler et al. 2010, arXiv:1008.1024, equation 3).

    Examples
    --------
    >>> round(figure_of_merit([[8, 2], [1, 9]]), 4)
    0.5818
    """
    cells = np.asarray(matrix)
    true, total = float(cells[0, 0]), float(cells[0].sum())
    false = float(cells[1:, 0].sum())
    return true / total * true / (true + 3.0 * false) if true else 0.0


def _scores(labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str] = THREE) -> dict[str, Any]:
    """The four numbers, and the confusion with SNIa, SNII, SNIbc (and all others) as columns."""
    result = score(labels, proba / proba.sum(axis=1, keepdims=True), classes)
    cells = np.asarray(result["confusion"]["matrix"])
    order = [list(classes).index(name) for name in THREE]
    three = cells[np.ix_(order, order)]
    other = cells[order].sum(axis=1) - three.sum(axis=1)
    matrix = np.column_stack([three, other])
    return {
        "accuracy": result["accuracy"],
        "macro_f1": result["macro_f1"],
        "auc": result["per_class"]["SNIa"]["auc"],
        "figure_of_merit": figure_of_merit(matrix.tolist()),
        "confusion": matrix.tolist(),
    }


# --- one draw -------------------------------------------------------------------


def _draw(bench: Bench, item: Draw, report: Report) -> dict[str, Any]:
    assert bench.snpcc is not None
    survey, _ = survey_of(bench.snpcc)
    parts = split_survey(survey, item.amounts, bench.rng("new-survey"))
    pipeline = pipeline_of(bench, item.fold)
    old = _three_mix(bench.objects.labels[bench.objects.learn(item.fold)])
    mix = _three_mix(survey.labels[np.concatenate(parts.random)])
    result = _before(pipeline, survey, parts.test, old, mix)
    report("", 0.25)
    result["plasticc"], strange = _at_home(bench, pipeline, item.fold, old)
    result["anomaly"] = _anomaly(result.pop("strange"), strange)
    result["n_random"] = [len(part) for part in parts.random]
    result["mix"] = {"plasticc": old, "survey": mix, "estimated": result.pop("estimated")}
    report("", 0.35)
    return result | _after(bench, item, survey, parts, mix, report)


def _before(
    pipeline: Pipeline, survey: Snpcc, test: NDArray[np.int64], old: FloatArray, mix: FloatArray
) -> dict[str, Any]:
    """The pipeline as it is, over all phases; with what a user of the survey knows."""
    labels = survey.labels[test]
    said = predict_phases(pipeline, survey.curves.take(test), jobs=1)
    whole = said[phase_name(np.inf)]
    three = to_three(whole.proba)
    estimated = estimate_mix(three, old)
    phases = {}
    for name, one in said.items():
        scores = _scores(labels, remix(to_three(one.proba), old, mix))
        phases[name] = {number: scores[number] for number in NUMBERS}
    return {
        "as_is": _scores(labels, whole.proba, CLASSES) | {"other": _taken_for(whole.proba)},
        "three": _scores(labels, three),
        "three_estimated_mix": _scores(labels, remix(three, old, estimated)),
        "three_survey_mix": _scores(labels, remix(three, old, mix)),
        "not_classified": int(np.sum(whole.status != "classified")),
        "phases": phases,
        "strange": whole.anomaly,
        "estimated": estimated,
    }


def _taken_for(proba: FloatArray) -> dict[str, float]:
    """Share of the objects taken for each class that SNPCC does not have."""
    said = np.array(CLASSES)[proba.argmax(axis=1)]
    names, counts = np.unique(said[~np.isin(said, THREE)], return_counts=True)
    return {str(name): float(n / len(said)) for name, n in zip(names, counts, strict=True)}


def _at_home(
    bench: Bench, pipeline: Pipeline, k: int, old: FloatArray
) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """The same pipeline on PLAsTiCC's own supernovae that it never saw, in all bands and in griz."""
    objects, test = bench.objects, bench.objects.folds[k].test
    supernova = test[np.isin(objects.labels[test], THREE)]
    labels = objects.labels[supernova]
    all_bands = said_of(bench).take(supernova)
    four = pipeline.predict(_in_griz(objects.curves.take(supernova)), jobs=1)
    phases = {}
    for days in PHASES:
        scores = _scores(labels, to_three(said_of(bench, days).proba[supernova]))
        phases[phase_name(days)] = {number: scores[number] for number in NUMBERS}
    result = {
        "all_bands": _scores(labels, to_three(all_bands.proba)),
        "griz": _scores(labels, to_three(four.proba)),
        "phases": phases,
        "n_objects": len(supernova),
    }
    strange = {"PLAsTiCC": all_bands.anomaly, "PLAsTiCC, griz only": four.anomaly}
    return result, strange


def _anomaly(new: FloatArray, home: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Distributions of the anomaly score, and how far they part."""
    bins = np.linspace(0.0, 1.0, 21)
    groups = {"SNPCC": new} | dict(home)
    known = {name: values[np.isfinite(values)] for name, values in groups.items()}
    reference = known["PLAsTiCC"]
    limit = float(np.quantile(reference, 0.95))
    result: dict[str, Any] = {"bins": bins, "limit": limit}
    for name, values in known.items():
        is_new = np.concatenate([np.ones(len(values), dtype=bool), np.zeros(len(reference), dtype=bool)])
        result[name] = {
            "share": np.histogram(values, bins)[0] / max(len(values), 1),
            "beyond": float(np.mean(values > limit)) if len(values) else None,
            "auc": roc_auc(is_new, np.concatenate([values, reference])) if name != "PLAsTiCC" else None,
        }
    return result


def _after(
    bench: Bench, item: Draw, survey: Snpcc, parts: Split, mix: FloatArray, report: Report
) -> dict[str, Any]:
    """Classifiers trained anew on the pipeline's inputs, from few labels of the new survey."""
    pipeline, objects = pipeline_of(bench, item.fold), bench.objects
    learn = _supernovae(objects, item.fold)
    X_old = pipeline.inputs(objects.curves.take(learn))
    X_griz = pipeline.inputs(_in_griz(objects.curves.take(learn)))
    X_test = pipeline.inputs(survey.curves.take(parts.test))
    known, truth = objects.labels[learn], survey.labels[parts.test]
    report("", 0.45)
    trainer = _Trainer(X_test, truth, mix, item.amounts.rounds, item.number)
    retrained = {
        "all_bands": trainer.scores([(X_old, known, 1.0)]),
        "griz": trainer.scores([(X_griz, known, 1.0)]),
    }
    rng = bench.rng("new-survey", "labels", item.number)
    candidates = {
        "spectroscopic": rng.permutation(parts.spectroscopic),
        "random": parts.random[item.number],
    }
    adapted: dict[str, Any] = {}
    for position, (source, names) in enumerate(candidates.items()):
        most = names[: max(item.amounts.labels)]
        X, labels = pipeline.inputs(survey.curves.take(most)), survey.labels[most]
        adapted[source] = {"alone": {}, "joint": {}}
        for n in (n for n in item.amounts.labels if n <= len(most)):
            new = (X[:n], labels[:n])
            weight = min(_HEAVIEST, len(learn) / n)
            adapted[source]["alone"][str(n)] = trainer.scores([(*new, 1.0)])
            adapted[source]["joint"][str(n)] = trainer.scores([(X_griz, known, 1.0), (*new, weight)])
            report("", 0.45 + 0.55 * (position + n / max(item.amounts.labels)) / len(candidates))
    return {"retrained": retrained, "adapted": adapted, "n_plasticc": len(learn)}


@dataclass(frozen=True, eq=False)
class _Trainer:
    """Trains a classifier of three classes, balanced, and scores it under the survey's mix."""

    X_test: NDArray[np.float32]
    labels: NDArray[np.str_]
    mix: FloatArray
    rounds: int
    seed: int

    def scores(self, rows: Sequence[tuple[NDArray[np.float32], NDArray[np.str_], float]]) -> dict[str, Any]:
        """Train on blocks of rows, each with its labels and the weight of one row."""
        X = np.concatenate([block for block, _, _ in rows])
        labels = np.concatenate([names for _, names, _ in rows])
        weight = np.concatenate([np.full(len(names), value) for _, names, value in rows])
        config = LightGBMConfig(
            rounds=self.rounds,
            learning_rate=0.06,
            feature_fraction=0.2,
            max_bin=63,
            min_data_in_leaf=3 if len(X) < 300 else 10,
        )
        model = LightGBMBooster(config).fit(TrainingRows(X, labels, weight=weight), seed=self.seed)
        proba = to_three(to_all_classes(model.predict_proba(self.X_test), model.classes))
        return _scores(self.labels, remix(proba, np.full(len(THREE), 1.0 / len(THREE)), self.mix))


def _supernovae(objects: Objects, k: int) -> NDArray[np.int64]:
    """Objects of the three classes that fold `k` may learn from."""
    learn = objects.learn(k)
    return learn[np.isin(objects.labels[learn], THREE)]


def _in_griz(curves: LightCurves) -> LightCurves:
    """The same objects as a camera without u and y would have seen them."""
    return curves.keep(np.isin(curves.band, _GRIZ))


def _three_mix(labels: NDArray[np.str_]) -> FloatArray:
    return class_frequencies(labels[np.isin(labels, THREE)], THREE)[_COLUMNS]


# --- joining the draws ------------------------------------------------------------


def _joined(draws: Sequence[Mapping[str, Any]], look: Mapping[str, Any], amounts: Amounts) -> dict[str, Any]:
    before = ("as_is", "three", "three_estimated_mix", "three_survey_mix")
    rows = []
    for source in SOURCES:
        for training in ("alone", "joint"):
            for n in draws[0]["adapted"][source][training]:
                scores = [draw["adapted"][source][training][n] for draw in draws]
                rows.append({"source": source, "training": training, "labels": int(n)} | _spreads(scores))
    honest = {
        "before": {name: _spreads([draw[name] for draw in draws]) for name in before},
        "plasticc": {
            name: _spreads([draw["plasticc"][name] for draw in draws]) for name in ("all_bands", "griz")
        },
        "retrained": {
            name: _spreads([draw["retrained"][name] for draw in draws]) for name in ("all_bands", "griz")
        },
        "adapted": rows,
        "phases": {
            survey: {
                name: {number: spread([phases[name][number] for phases in one]) for number in NUMBERS}
                for name in one[0]
            }
            for survey, one in (
                ("SNPCC", [draw["phases"] for draw in draws]),
                ("PLAsTiCC", [draw["plasticc"]["phases"] for draw in draws]),
            )
        },
    }
    n_test = look["surveys"]["SNPCC, tested on"]["n_objects"]
    protocol = (
        f"Preset trained on PLAsTiCC, applied to {n_test:,} SNPCC objects without a spectrum that nothing "
        f"was trained on; labelled objects of the new survey from its {look['n_survey'] - n_test:,} others, "
        f"its mix of classes from {sum(draws[0]['n_random']):,} of them; spread over {amounts.draws} "
        "draws, each with other labelled objects and the pipeline of another fold "
        "(the spectroscopic sample is small: its largest draws overlap)."
    )
    return {
        "honest": honest,
        "protocol": protocol,
        "surveys": look["surveys"],
        "examples": look["examples"],
        "n_rejected": look["n_rejected"],
        "n_plasticc": [draw["n_plasticc"] for draw in draws],
        "mix": draws[0]["mix"],
        "estimated_mix": [draw["mix"]["estimated"] for draw in draws],
        "taken_for": _mean_shares([draw["as_is"]["other"] for draw in draws]),
        "not_classified": [draw["not_classified"] for draw in draws],
        "confusion": _confusions(draws),
        "anomaly": _joined_anomaly([draw["anomaly"] for draw in draws]),
    }


def _spreads(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {number: spread([one[number] for one in scores]) for number in NUMBERS}


def _mean_shares(shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = sorted({name for one in shares for name in one})
    return {name: float(np.mean([one.get(name, 0.0) for one in shares])) for name in names}


def _confusions(draws: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summed over draws, before and after; columns SNIa, SNII, SNIbc, any other."""
    most = {source: max(draws[0]["adapted"][source]["joint"], key=int) for source in SOURCES}
    chosen = {
        "as it is": [draw["as_is"] for draw in draws],
        "told classes and mix": [draw["three_survey_mix"] for draw in draws],
    } | {
        f"+ {n} {source}": [draw["adapted"][source]["joint"][n] for draw in draws]
        for source, n in most.items()
    }
    return {
        name: np.sum([one["confusion"] for one in scores], axis=0).tolist() for name, scores in chosen.items()
    }


def _joined_anomaly(draws: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    groups = [name for name in draws[0] if name not in ("bins", "limit")]
    return {"bins": draws[0]["bins"], "limit": spread([draw["limit"] for draw in draws])} | {
        name: {
            "share": np.mean([draw[name]["share"] for draw in draws], axis=0),
            "beyond": spread([draw[name]["beyond"] for draw in draws]),
            "auc": None if name == "PLAsTiCC" else spread([draw[name]["auc"] for draw in draws]),
        }
        for name in groups
    }
