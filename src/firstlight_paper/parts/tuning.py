"""105 cycles of tuning of the paper's booster: on inner folds only, scored once on the outer fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from firstlight._types import Progress
from firstlight.classify import ClassifierConfig, SklearnBoosterConfig, TrainingRows, Tunable, tunable_values
from firstlight.experiments.inner import shared_folds
from firstlight.experiments.plots import parallel_coordinates, tuning_history
from firstlight.experiments.study import TuneConfig, tune
from firstlight.metrics.compare import compare
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.leak import leaky_proba, leaky_rows
from firstlight_paper.models import PLAIN, fold_proba, latents_of, scored_fold
from firstlight_paper.page.tables import SCORE_TITLES, markdown, pivot
from firstlight_paper.results import Results
from firstlight_paper.scores import MEAN, STD, scored
from firstlight_paper.view import View

_EDGE = 0.03  # of a range, near its ends


_STUDY = TuneConfig(n_trials=105, inner_folds=2)
_BASE = ClassifierConfig(kind="seed", seed_booster=PLAIN)
_SPACE = _STUDY.space(_BASE)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Settings of the study (two inner folds cost half of four), and rows of the paper's protocol."""

    study: TuneConfig = _STUDY
    leaky_rows: int = 20_000


FEW = Amount(
    study=TuneConfig(
        n_trials=10, inner_folds=2, startup=5, ranges={"n_estimators": (10, 40), "max_depth": (1, 4)}
    ),
    leaky_rows=2_000,
)


def _study(context: Context, fold: int, progress: Progress, *, amount: Amount) -> Outcome:
    """Tune on the learning objects of the first fold; the study resumes by itself."""
    objects = context.objects
    learn = objects.learn(0)
    X, names = latents_of(context, 0)[learn], objects.curves.object_id[learn]
    rows = TrainingRows(X, objects.labels[learn], object_id=names)
    database = context.keep("tuning") / "study.sqlite"
    inner = shared_folds(rows, amount.study.inner_folds, context.seed)
    found = tune(
        inner, database, amount.study, _BASE, seed=context.seed, jobs=context.jobs, progress=progress
    )
    settings = {
        "untuned": tunable_values(_BASE),
        "tuned": tunable_values(found.best),
        "range": {setting.name: [setting.low, setting.high] for setting in amount.study.space(_BASE)},
    }
    outcome = Outcome(
        extra={"": {"settings": settings, "importances": found.importances, "trials": list(found.trials)}}
    )
    outcome.put("untuned", more({"inner_log_loss": found.untuned}))
    outcome.put("tuned", more({"inner_log_loss": found.trials[-1]["best"]}))
    return outcome


def _tuned(context: Context) -> SklearnBoosterConfig:
    settings = Results(context.results).extra("tuning")["study"][""]["settings"]["tuned"]
    whole = {"n_estimators", "max_depth", "min_samples_split"}
    return SklearnBoosterConfig(
        **{name: int(value) if name in whole else value for name, value in settings.items()},
        class_weight_exponent=PLAIN.class_weight_exponent,
    )


def _unseen(context: Context, fold: int, progress: Progress) -> Outcome:
    """Both settings on the outer fold's test objects, and the resampled spread of their difference."""
    objects, X = context.objects, latents_of(context, fold)
    test = objects.folds[fold].test
    proba = [fold_proba(objects, X, fold, config, context.seed) for config in (PLAIN, _tuned(context))]
    outcome = Outcome()
    outcome.put("untuned", scored_fold(context, "design", fold, proba[0]))
    outcome.put("untuned", more({"n_simulated": float(objects.simulated[test].sum())}, "design"))
    outcome.put("tuned", scored_fold(context, "design", fold, proba[1]))
    for subset, kept in ((16, test >= 0), (13, ~objects.simulated[test])):
        change = compare(objects.labels[test][kept], proba[0][kept], proba[1][kept], seed=context.seed)
        for metric, value in change.items():
            outcome.put("difference", {("design", subset, metric): value["difference"]}, MEAN)
            outcome.put("difference", {("design", subset, metric): value["std"]}, STD)
            for end in ("low", "high"):
                outcome.put("difference", {("design", subset, f"{metric} {end}"): value[end]}, "")
    return outcome


def _leaked(context: Context, fold: int, progress: Progress, *, amount: Amount) -> Outcome:
    """Both settings by the paper's protocol; the study itself is the honest one."""
    objects, X = context.objects, latents_of(context, fold)
    rows = leaky_rows(objects.labels, context.rng("tuning-leak"), most=amount.leaky_rows)
    outcome = Outcome()
    for name, config in (("untuned", PLAIN), ("tuned", _tuned(context))):
        proba = leaky_proba(objects, X, rows, config, context.seed)
        outcome.put(name, scored("protocol", objects.labels[rows.test], proba, objects.simulated[rows.test]))
    outcome.put("untuned", more(rows.counts(), "protocol"))
    return outcome


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """The study, then its choice on unseen objects and by the paper's protocol."""
    return [
        Variant(name="study", work=partial(_study, amount=amount), alone=True),
        Variant(name="unseen", work=_unseen, folds=(0,), step=1),
        Variant(name="copied first", work=partial(_leaked, amount=amount), folds=(0,), step=1),
    ]


def facts(view: View) -> Mapping[str, Any]:
    """Number of trials, settings at an end of their range, and the change against the folds' spread."""
    study = view.only("study")
    ends = [setting.name for setting in _SPACE if _at_end(setting, study["settings"])]
    change = view.mean("difference", "accuracy")
    folds = view.spread("six latents", "accuracy", part="latents")
    return {
        "n": len(study["trials"]),
        "complete": sum(trial["state"] == "complete" for trial in study["trials"]),
        "ends": ends,
        "folds": folds,
        "ratio": abs(change) / folds.std,
        "tuned": study["settings"]["tuned"],
    }


def _at_end(setting: Tunable, settings: Mapping[str, Any]) -> bool:
    low, high = settings["range"][setting.name]
    ends = np.array([low, settings["tuned"][setting.name], high], dtype=np.float64)
    low, tuned, high = np.log(ends) if setting.log else ends
    return not _EDGE < (tuned - low) / (high - low) < 1.0 - _EDGE


def table(view: View) -> str:
    """Scores before and after tuning, by either protocol."""
    titles = SCORE_TITLES | {"log_loss": "log-loss [nat]"}
    rows = {
        f"{title}, {words}": {"metric": metric, "subset": subset}
        for subset, words in ((16, "16 classes"), (13, "13 real classes"))
        for metric, title in titles.items()
    }
    columns: dict[str, Mapping[str, Any]] = {
        "as published, after tuning": {"part": "per-class", "variant": "paper", "column": "printed"},
        "paper's protocol (leaks), untuned": {"variant": "untuned", "column": "protocol"},
        "paper's protocol (leaks), tuned": {"variant": "tuned", "column": "protocol"},
        "split by object, untuned": {"variant": "untuned"},
        "split by object, tuned": {"variant": "tuned"},
        "difference, split by object": {"variant": "difference", "sign": "+"},
    }
    return pivot(view, rows, columns, "score")


def settings(view: View) -> str:
    """The tuned settings, with the importance of each."""
    study = view.only("study")
    found = study["settings"]
    rows = [
        [
            setting.words,
            *(f"{end:g}" for end in found["range"][setting.name]),
            f"{found['untuned'][setting.name]:g}" + (" at most" if setting.name == "n_estimators" else ""),
            f"{found['tuned'][setting.name]:.3g}",
            f"{study['importances'][setting.name]:.2f}" if study["importances"] else "-",
        ]
        for setting in _SPACE
    ]
    return markdown(["setting", "lowest tried", "highest tried", "untuned", "tuned", "importance"], rows)


def history(view: View) -> Figure:
    """Inner log-loss, trial by trial."""
    return tuning_history(view.only("study")["trials"], view.number("untuned", "inner_log_loss"))


def parallel(view: View) -> Figure:
    """Settings of every trial."""
    words = {setting.name: setting.words for setting in _SPACE}
    logarithmic = [setting.name for setting in _SPACE if setting.log]
    return parallel_coordinates(view.only("study")["trials"], words, logarithmic)


TUNING = Part(
    name="tuning",
    column="design",
    needs=("latents",),
    full=Amount(),
    quick=FEW,
    variants=variants,
    tables={"scores": table, "settings": settings},
    figures={"tuning-history": history, "tuning-parallel": parallel},
    facts=facts,
)
