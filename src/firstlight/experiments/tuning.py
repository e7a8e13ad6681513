"""Tune a preset's classifier on the learning objects of the hash hold-out, score it once on the others."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from firstlight._types import FloatArray, Progress, StrArray, no_progress
from firstlight._version import __version__
from firstlight.classify import SklearnBooster, SklearnBoosterConfig, TrainingRows, to_all_classes
from firstlight.errors import DataError, SettingsError
from firstlight.experiments.fold import fold_sides
from firstlight.experiments.study import (
    LOGARITHMIC,
    PARAMETERS,
    TuneConfig,
    Tuning,
    need_optuna,
    tune,
)
from firstlight.files import replacing
from firstlight.lightcurves import LightCurves, RedshiftMode
from firstlight.metrics.compare import N_RESAMPLES, compare
from firstlight.pipeline import PipelineConfig
from firstlight.pipeline.training import train_inputs, training_objects, training_rows
from firstlight.preprocess import preprocess
from firstlight.settings import to_table, to_toml
from firstlight.splits import hash_split
from firstlight.taxonomy import CLASSES


def run_tuning(
    curves: LightCurves,
    labels: StrArray,
    config: PipelineConfig,
    out: Path,
    *,
    settings: TuneConfig | None = None,
    redshift: RedshiftMode = "photo",
    seed: int = 0,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Train the encoder, tune the classifier on inner folds, score it once on the hash hold-out.

    The encoder learns from 80 % of the objects (by `hash_split`) without labels, the inner test
    objects among them. Nothing sees the other 20 % before they are scored, as whole curves.

    Parameters
    ----------
    curves, labels, redshift, seed, progress
        As for `run_holdout`.
    config : PipelineConfig
        A preset whose classifier is ``seed``, on latents alone.
    out : Path
        Folder for ``study.sqlite``, ``tuning.json``, ``tuned.toml``, ``history.png``,
        ``importance.png``, ``parallel.png``. A killed run resumes.
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
        If the preset has another classifier, or a number makes no sense.
    DataError
        If there are too few objects to learn from or to test on.
    """
    settings = settings or TuneConfig()
    settings.check()
    check_tunable(config)
    train, held, test = _learn(curves, labels, config, out, redshift, seed, progress)
    base = config.classifier.seed_booster
    learn = TrainingRows.concatenate([train, held])
    found = tune(learn, out / "study.sqlite", settings, base, seed=seed, jobs=jobs, progress=progress)
    proba = [_test_proba(train, held, test, booster, seed) for booster in (base, found.best)]
    protocol = _protocol(config, settings, learn, test, seed)
    result = _result(config.name, protocol, base, found, compare(test.labels, *proba, seed=seed))
    _write(out, result, config, found)
    return result


def check_tunable(config: PipelineConfig) -> None:
    """Raise unless optuna is installed and the preset has the paper's classifier, on latents alone."""
    need_optuna()
    if config.classifier.kind != "seed":
        raise SettingsError(
            f"preset {config.name!r} classifies with {config.classifier.kind!r}; tuning is for 'seed', "
            "the paper's gradient boosting, as in the presets seed and seed-printed"
        )
    if config.inputs != ("latent",):
        raise SettingsError(
            f"preset {config.name!r} reads {', '.join(config.inputs)}; tuning is for latents alone"
        )


# --- private --------------------------------------------------------------------


def _test_proba(
    train: TrainingRows, held: TrainingRows, test: TrainingRows, settings: SklearnBoosterConfig, seed: int
) -> FloatArray:
    """Probabilities of the test objects by a booster of these settings, shape (n_test, 17)."""
    model = SklearnBooster(settings).fit(train, held, seed=seed)
    return to_all_classes(model.predict_proba(test.X), model.classes)


def _protocol(
    config: PipelineConfig, settings: TuneConfig, learn: TrainingRows, test: TrainingRows, seed: int
) -> str:
    return (
        f"preset {config.name}; {len(np.unique(learn.owner)):,} objects to learn from "
        f"({len(learn.labels):,} rows), {settings.inner_folds} inner folds over them chose the settings by "
        f"log-loss; {len(test.labels):,} objects to test on, whole curves, scored once, not calibrated; "
        f"spread: {N_RESAMPLES} paired resamplings of the test objects; seed {seed}"
    )


def _result(
    preset: str, protocol: str, base: SklearnBoosterConfig, found: Tuning, test: dict[str, Any]
) -> dict[str, Any]:
    """The content of ``tuning.json``."""
    return {
        "version": __version__,
        "preset": preset,
        "protocol": protocol,
        "n_trials": len(found.trials),
        "study": found.study,
        "settings": {
            "untuned": {name: getattr(base, name) for name in PARAMETERS},
            "tuned": {name: getattr(found.best, name) for name in PARAMETERS},
        },
        "inner": {"untuned": found.untuned, "tuned": found.trials[-1]["best"]},
        "test": test,
        "importances": found.importances,
        "trials": list(found.trials),
    }


def _learn(
    curves: LightCurves,
    labels: StrArray,
    config: PipelineConfig,
    out: Path,
    redshift: RedshiftMode,
    seed: int,
    progress: Progress,
) -> tuple[TrainingRows, TrainingRows, TrainingRows]:
    """Rows to train on, for early stopping and to test on, by an encoder that never saw the last."""
    fold = hash_split(curves.object_id)
    fold = fold._replace(test=fold.test[np.isin(labels[fold.test], CLASSES)])
    if not len(fold.train) + len(fold.validation) or not len(fold.test):
        raise DataError(f"{len(curves)} object(s): too few to learn from some and test on others")
    sides = fold_sides(curves, labels, fold)
    objects = training_objects(sides.training, sides.labels, config, redshift)
    rng = np.random.default_rng(seed)
    inputs = train_inputs(objects, config, seed=seed, folder=out / "training", progress=progress)
    train, held = (training_rows(objects, inputs, rng, held_out=side, jobs=1).rows for side in (False, True))
    test = preprocess(sides.test.with_redshift(redshift), config.preprocess)
    return train, held, TrainingRows(inputs.rows(test).X, sides.test_labels, object_id=test.object_id)


def _write(out: Path, result: dict[str, Any], config: PipelineConfig, found: Tuning) -> None:
    """Write the results, the tuned preset and the figures."""
    from firstlight.experiments.plots import parallel_coordinates, parameter_importance, tuning_history
    from firstlight.report.style import save_figure

    with replacing(out / "tuning.json") as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    tuned = replace(
        config,
        name=f"{config.name}-tuned",
        classifier=replace(config.classifier, seed_booster=found.best),
    )
    heading = (
        f"# Preset {config.name} after {len(found.trials)} trials of `firstlight tune`; see tuning.json."
    )
    with replacing(out / "tuned.toml") as part:
        part.write_text(f"{heading}\n{to_toml(to_table(tuned))}", encoding="utf-8")
    figures = {
        "history.png": tuning_history(found.trials, found.untuned),
        "parallel.png": parallel_coordinates(found.trials, PARAMETERS, LOGARITHMIC),
    }
    if found.importances is not None:
        figures["importance.png"] = parameter_importance(found.importances, PARAMETERS)
    for name, figure in figures.items():
        with replacing(out / name) as part:
            save_figure(figure, part, "png")
