"""Tune a preset's classifier on the learning objects of the hash hold-out, score it on the others."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from firstlight._types import Progress, StrArray, no_progress
from firstlight._version import __version__
from firstlight.classify import (
    CalibrationConfig,
    ClassifierConfig,
    TrainingRows,
    Tunable,
    search_space,
    tunable_values,
)
from firstlight.errors import DataError
from firstlight.experiments.inner import InnerFolds, RowMaker, SplitRows, shared_folds
from firstlight.experiments.study import TuneConfig, Tuning, fitted_proba, fold_loss, need_optuna, tune
from firstlight.files import replacing
from firstlight.lightcurves import LightCurves, RedshiftMode
from firstlight.metrics.compare import N_RESAMPLES, compare
from firstlight.pipeline import PipelineConfig
from firstlight.provenance import provenance
from firstlight.settings import to_table, to_toml
from firstlight.splits import Fold, hash_split
from firstlight.taxonomy import Taxonomy


def run_tuning(
    curves: LightCurves,
    labels: StrArray,
    config: PipelineConfig,
    out: Path,
    *,
    settings: TuneConfig | None = None,
    redshift: RedshiftMode = "photo",
    seed: int = 0,
    taxonomy: Taxonomy | None = None,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Tune the classifier on inner folds, and score it on the hash hold-out.

    The tuned settings are those of the best trial, or the untuned ones if no trial is better than they are.
    Encoder, templates and rows of each inner fold are made from its learning objects, one time for all
    trials. For the paper's classifier on latents alone, one encoder learns from 80 % of the objects (by
    `hash_split`) without labels, the inner test objects among them, as in the paper. Nothing sees the other
    20 % before they are scored, as whole curves.

    Parameters
    ----------
    curves, labels, redshift, seed, taxonomy, progress
        As for `run_holdout`.
    config : PipelineConfig
        Any preset whose classifier has a search space.
    out : Path
        Folder for ``study.sqlite``, ``tuning.json``, ``tuned.toml``, ``history.png``,
        ``importance.png``, ``parallel.png`` and the rows. A killed run resumes.
    settings : TuneConfig, optional
        Number of trials and ranges.
    jobs : int
        Parallel trials, one process each.

    Returns
    -------
    dict
        The content of ``tuning.json``.

    Raises
    ------
    MissingExtraError
        If optuna or torch is not installed.
    SettingsError
        If the preset's classifier states nothing to tune, or a number makes no sense.
    DataError
        If there are too few objects to learn from or to test on.
    """
    settings = settings or TuneConfig()
    settings.check()
    space = check_tunable(config)
    taxonomy = Taxonomy() if taxonomy is None else taxonomy
    classes = taxonomy.classes
    outer = _hold_out(curves, labels, classes)
    maker = RowMaker(
        curves=curves,
        labels=labels,
        config=config,
        redshift=redshift,
        seed=seed,
        jobs=jobs,
        taxonomy=taxonomy,
    )
    rows = _paper_rows if _is_paper(config) else _kept_rows
    found = rows(maker, outer, settings, out, progress)
    base, study = config.classifier, out / "study.sqlite"
    loss = partial(fold_loss, calibration=found.calibration, classes=classes)
    tuned = tune(found.folds, study, settings, base, seed=seed, jobs=jobs, progress=progress, loss=loss)
    split = found.outer()
    fitted = partial(fitted_proba, split, seed=seed, calibration=found.calibration, classes=classes)
    before = fitted(base)
    after = fitted(tuned.best) if tuned.is_better else before
    protocol = _protocol(config, settings, split, found.calibration is not None, seed)
    scores = compare(split.test.labels, before, after, classes=classes, seed=seed)
    result = _result(config.name, protocol, base, tuned, space, scores)
    result["run"] = provenance([curves.fingerprint, *labels.tolist()], seed=seed)
    _write(out, result, config, tuned, space)
    return result


def check_tunable(config: PipelineConfig) -> tuple[Tunable, ...]:
    """The settings to tune; raises unless optuna is installed and the preset's classifier states some."""
    need_optuna()
    tunable_values(config.classifier)
    return search_space(config.classifier)


# --- private --------------------------------------------------------------------


def _hold_out(curves: LightCurves, labels: StrArray, classes: tuple[str, ...]) -> Fold:
    """The hash hold-out with test objects of known classes; DataError if one of its sides is empty."""
    outer = hash_split(curves.object_id)
    outer = outer._replace(test=outer.test[np.isin(labels[outer.test], classes)])
    if not len(outer.train) + len(outer.validation) or not len(outer.test):
        raise DataError(f"{len(curves)} object(s): too few to learn from some and test on others")
    return outer


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """The rows that a study reads, and those of the hold-out, which are scored after it."""

    folds: InnerFolds
    outer: Callable[[], SplitRows]
    calibration: CalibrationConfig | None  # how probabilities are calibrated before they are judged


def _is_paper(config: PipelineConfig) -> bool:
    """Whether this is the paper's classifier on latents alone, whose studies keep their protocol."""
    return config.classifier.kind == "seed" and config.inputs == ("latent",)


def _paper_rows(maker: RowMaker, outer: Fold, settings: TuneConfig, out: Path, progress: Progress) -> _Rows:
    """Rows of one encoder for all inner folds, and nothing calibrated."""
    split = maker.split(outer, out / "training", whole=True, progress=progress)
    learn = TrainingRows.concatenate([split.train, split.held])
    folds = shared_folds(learn, settings.inner_folds, maker.seed)
    return _Rows(folds=folds, outer=lambda: split, calibration=None)


def _kept_rows(maker: RowMaker, outer: Fold, settings: TuneConfig, out: Path, progress: Progress) -> _Rows:
    """Rows of an encoder and templates per inner fold, kept on disk and calibrated as in training."""
    folds = maker.inner_folds(outer, settings.inner_folds, out / "rows", progress)
    split, _ = maker.kept_split("outer", outer, out / "rows", whole=True, progress=progress)
    return _Rows(folds=folds, outer=split, calibration=maker.config.calibration)


def _protocol(
    config: PipelineConfig, settings: TuneConfig, rows: SplitRows, calibrated: bool, seed: int
) -> str:
    learn = TrainingRows.concatenate([rows.train, rows.held])
    how = "calibrated as in training" if calibrated else "not calibrated"
    return (
        f"preset {config.name}; {len(np.unique(learn.owner)):,} objects to learn from "
        f"({len(learn.labels):,} rows), {settings.inner_folds} inner folds over them chose the settings by "
        f"log-loss; {len(rows.test.labels):,} objects to test on, whole curves, scored once, {how}; "
        f"spread: {N_RESAMPLES} paired resamplings of the test objects; seed {seed}"
    )


def _result(
    preset: str,
    protocol: str,
    base: ClassifierConfig,
    found: Tuning,
    space: tuple[Tunable, ...],
    test: dict[str, Any],
) -> dict[str, Any]:
    """The content of ``tuning.json``."""
    return {
        "version": __version__,
        "preset": preset,
        "protocol": protocol,
        "n_trials": len(found.trials),
        "study": found.study,
        "words": {setting.name: setting.words for setting in space},
        "better": found.is_better,
        "settings": {
            "untuned": tunable_values(base),
            "tuned": tunable_values(found.best if found.is_better else base),
        },
        "inner": {"untuned": found.untuned, "tuned": min(found.lowest, found.untuned)},
        "test": test,
        "importances": found.importances,
        "trials": list(found.trials),
    }


def _write(
    out: Path, result: dict[str, Any], config: PipelineConfig, found: Tuning, space: tuple[Tunable, ...]
) -> None:
    """Write the results, the tuned preset and the figures."""
    from firstlight.experiments.plots import parallel_coordinates, parameter_importance, tuning_history
    from firstlight.report.style import save_figure

    with replacing(out / "tuning.json") as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    n_trials = len(found.trials)
    heading = f"# Preset {config.name} after {n_trials} trials of `firstlight tune`; see tuning.json."
    tuned = replace(config, name=f"{config.name}-tuned", classifier=found.best)
    if not found.is_better:
        heading = (
            f"# Preset {config.name}, unchanged: no trial of {n_trials} of `firstlight tune` was better; "
            "see tuning.json."
        )
        tuned = config
    with replacing(out / "tuned.toml") as part:
        part.write_text(f"{heading}\n{to_toml(to_table(tuned))}", encoding="utf-8")
    words = {setting.name: setting.words for setting in space}
    logarithmic = [setting.name for setting in space if setting.log]
    figures = {
        "history.png": tuning_history(found.trials, found.untuned),
        "parallel.png": parallel_coordinates(found.trials, words, logarithmic),
    }
    if found.importances is not None:
        figures["importance.png"] = parameter_importance(found.importances, words)
    for name, figure in figures.items():
        with replacing(out / name) as part:
            save_figure(figure, part, "png")
