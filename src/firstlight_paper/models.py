"""Models of a fold, fitted on its learning objects: the paper's autoencoder and booster, our pipeline."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from firstlight._types import Float32Array, FloatArray, IntArray, Progress, no_progress
from firstlight.classify import (
    LightGBMBooster,
    LightGBMConfig,
    SklearnBooster,
    SklearnBoosterConfig,
    TrainingRows,
    class_weights,
    to_all_classes,
)
from firstlight.encoder import train_encoder
from firstlight.errors import DataError
from firstlight.experiments.fold import load_fold, read_fold
from firstlight.lightcurves import LightCurves
from firstlight.pipeline import Pipeline, PipelineConfig, load_preset
from firstlight.predictions import Predictions
from firstlight.preprocess import preprocess
from firstlight.splits import check_disjoint
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome
from firstlight_paper.objects import Objects
from firstlight_paper.scores import SHORT, Values, scored

#: The paper's booster as the preset ``seed`` has it, without help for rare classes.
PLAIN = SklearnBoosterConfig(class_weight_exponent=0.0)


def paper_config(context: Context, **changes: Any) -> PipelineConfig:
    """The preset ``seed`` with the epochs of this run; `changes` go to its network."""
    config = with_training(load_preset("seed"), epochs=context.scale.encoder_epochs)
    return replace(config, encoder=replace(config.encoder, vae=replace(config.encoder.vae, **changes)))


def with_training(config: PipelineConfig, **changes: Any) -> PipelineConfig:
    """The same settings with other choices of the encoder's training, such as its epochs."""
    encoder = config.encoder
    return replace(config, encoder=replace(encoder, train=replace(encoder.train, **changes)))


def train_autoencoder(
    objects: Objects,
    k: int,
    config: PipelineConfig,
    seed: int,
    progress: Progress,
    folder: Path | None = None,
) -> tuple[Float32Array, tuple[dict[str, float], ...]]:
    """Train on the learning objects of fold `k`, without labels."""
    fold = objects.folds[k]
    ready = preprocess(objects.curves, config.preprocess)
    check_disjoint(objects.curves.object_id[objects.learn(k)], objects.curves.object_id[fold.test])
    encoder = train_encoder(
        ready.take(fold.train), ready.take(fold.validation), config.encoder, seed, folder, progress
    )
    return encoder.encode(ready).mean, encoder.history


def lowest(history: Sequence[dict[str, float]]) -> dict[str, float]:
    """The epoch that is kept: the one with the lowest validation loss."""
    return min(history, key=lambda row: row["validation_loss"])


def latents_of(context: Context, k: int) -> Float32Array:
    """Six latents of every object, by the autoencoder that never saw fold `k`'s test objects."""
    return _stored(context, "latents", k, "latent")


def keep_array(context: Context, stage: str, k: int, name: str, value: Float32Array) -> None:
    """Store an array of a fold for the parts that need it."""
    save_file({name: np.ascontiguousarray(value)}, context.keep(stage) / f"fold-{k + 1}.safetensors")


def boosted(
    rows: TrainingRows,
    config: SklearnBoosterConfig | LightGBMConfig,
    held: TrainingRows | None = None,
    *,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Any:
    """Fit the paper's booster or LightGBM; `held` stops it early."""
    kind = LightGBMBooster if isinstance(config, LightGBMConfig) else SklearnBooster
    return kind(config).fit(rows, held, seed=seed, progress=progress)  # type: ignore[arg-type]


def rows_of(
    objects: Objects, X: Float32Array, index: IntArray, weight: FloatArray | None = None
) -> TrainingRows:
    """Labelled rows of some objects, copies among them known by name."""
    return TrainingRows(
        X[index], objects.labels[index], weight=weight, object_id=objects.curves.object_id[index]
    )


def proba_of(model: Any, X: Float32Array) -> FloatArray:
    """Probabilities over all 17 classes."""
    return to_all_classes(model.predict_proba(X), model.classes)


def fit_fold(
    objects: Objects,
    X: Float32Array,
    k: int,
    config: SklearnBoosterConfig,
    seed: int = 0,
    held_exponent: float = 0.0,
) -> Any:
    """The paper's booster, trained on fold `k`'s training objects and stopped by its held-out tenth."""
    fold = objects.folds[k]
    weight = class_weights(objects.labels[fold.validation], held_exponent)
    held = rows_of(objects, X, fold.validation, weight)
    return boosted(rows_of(objects, X, fold.train), config, held, seed=seed)


def fold_proba(
    objects: Objects, X: Float32Array, k: int, config: SklearnBoosterConfig = PLAIN, seed: int = 0
) -> FloatArray:
    """Probabilities of fold `k`'s test objects by the paper's booster, shape (n_test, 17)."""
    return proba_of(fit_fold(objects, X, k, config, seed), X[objects.folds[k].test])


def scored_fold(context: Context, column: str, k: int, proba: FloatArray, **kinds: Any) -> Values:
    """`scored` for fold `k`'s test objects."""
    objects = context.objects
    test = objects.folds[k].test
    return scored(column, objects.labels[test], proba, objects.simulated[test], **kinds)


def pipeline_of(context: Context, k: int) -> Pipeline:
    """Our pipeline, trained on the objects that fold `k` may learn from."""
    return load_fold(_needed(context, "ours", f"fold-{k + 1}"))


def inputs_of(context: Context, k: int) -> Float32Array:
    """Our classifier's inputs of every whole light curve, by the pipeline of fold `k`; NaN for no value."""
    return _stored(context, "inputs", k, "X")


def predictions_of(context: Context, days: float = np.inf) -> Predictions:
    """Out-of-fold predictions of our pipeline in object order, for curves cut `days` after the trigger."""
    folds = context.objects.folds
    parts = [read_fold(_needed(context, "ours", f"fold-{k + 1}"), days) for k in range(len(folds))]
    rows = np.concatenate([fold.test for fold in folds])
    return Predictions.concatenate(parts).take(np.argsort(rows, kind="stable"))


def judged(
    context: Context,
    test: IntArray,
    predictions: Predictions,
    metrics: Sequence[str] = SHORT,
    per_class: Sequence[str] = (),
) -> Values:
    """Scores of our predictions, and the share that was not classified (it counts with its prior)."""
    labels, simulated = context.objects.labels[test], context.objects.simulated[test]
    silent = ~predictions.is_classified
    return scored("ours", labels, predictions.proba, simulated, metrics, per_class) | {
        ("ours", 16, "not_classified"): float(silent.mean()),
        ("ours", 13, "not_classified"): float(silent[~simulated].mean()),
    }


def perturbed(
    context: Context,
    fold: int,
    progress: Progress,
    *,
    change: Callable[[LightCurves, np.random.Generator], LightCurves],
    key: tuple[str, str],
) -> Outcome:
    """Change one fold's test light curves and classify them with the pipeline that never saw them."""
    test = context.objects.folds[fold].test
    curves = change(context.objects.curves.take(test), context.rng(key[0], fold, key[1]))
    progress("classify", 0.1)
    predictions = pipeline_of(context, fold).predict(curves, jobs=1)
    values = judged(context, test, predictions, per_class=("f1",))
    return Outcome(values | {("", 0, "n_obs"): float(np.median(predictions.n_obs))})


def _needed(context: Context, stage: str, name: str) -> Path:
    path = context.folder / "work" / stage / name
    if not path.exists():
        raise DataError(f"{path} is missing: compute the stage {stage!r} of this reproduction first")
    return path


def _stored(context: Context, stage: str, k: int, name: str) -> Float32Array:
    return np.asarray(load_file(_needed(context, stage, f"fold-{k + 1}.safetensors"))[name])
