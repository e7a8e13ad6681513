"""What several parts build on: the paper's latents of every fold, and our pipeline of every fold.

Each is trained on the objects that its fold may learn from, and kept on disk; parts read it
through `latents_of`, `pipeline_of` and `said_of`.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from firstlight.encoder import train_encoder
from firstlight.errors import DataError
from firstlight.experiments.fold import predict_phases
from firstlight.metrics import phase_name
from firstlight.pipeline import Pipeline, PipelineConfig, load_preset
from firstlight.predictions import Predictions, read_predictions, write_predictions
from firstlight.preprocess import preprocess
from firstlight.splits import check_disjoint, check_near_duplicates
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = [
    "Autoencoder",
    "encode_folds",
    "latents_of",
    "our_folds",
    "pipeline_of",
    "said_of",
    "seed_config",
    "train_autoencoder",
    "with_training",
]

ENCODE, OURS = "encode", "ours"


@dataclass(frozen=True)
class Autoencoder:
    """One autoencoder to train without labels, and where its latents are kept.

    Attributes
    ----------
    fold : int
        Fold whose test objects it must not see.
    config : PipelineConfig
        Preprocessing and encoder.
    seed : int
        Seed of weights and batches.
    """

    fold: int
    config: PipelineConfig
    seed: int = 0


def train_autoencoder(
    bench: Bench, item: Autoencoder, report: Report, folder: Path | None = None
) -> tuple[NDArray[np.float32], tuple[dict[str, float], ...]]:
    """Train on the fold's learning objects; latents of all objects and the training's history.

    Parameters
    ----------
    bench : Bench
        Objects and folds.
    item : Autoencoder
        What to train.
    report : callable
        Told the progress.
    folder : Path, optional
        Where a checkpoint is kept, so that a killed run resumes within this training.

    Returns
    -------
    latent : float32 array, shape (n_objects, n_latents)
        Latent means of every object's whole curve.
    history : tuple of dict
        One row an epoch, with ``train_loss`` and ``validation_loss``.
    """
    objects = bench.objects
    fold = objects.folds[item.fold]
    ready = preprocess(objects.curves, item.config.preprocess)
    check_disjoint(objects.curves.object_id[objects.learn(item.fold)], objects.curves.object_id[fold.test])
    encoder = train_encoder(
        ready.take(fold.train), ready.take(fold.validation), item.config.encoder, item.seed, folder, report
    )
    return encoder.encode(ready).mean, encoder.history


def seed_config(bench: Bench, **changes: Any) -> PipelineConfig:
    """The preset ``seed`` with the epochs of this reproduction; `changes` go to its network."""
    config = with_training(load_preset("seed"), epochs=bench.scale.encoder_epochs)
    return replace(config, encoder=replace(config.encoder, vae=replace(config.encoder.vae, **changes)))


def with_training(config: PipelineConfig, **changes: Any) -> PipelineConfig:
    """The same settings with other choices of the encoder's training, such as its epochs."""
    encoder = config.encoder
    return replace(config, encoder=replace(encoder, train=replace(encoder.train, **changes)))


def encode_folds(workshop: Workshop) -> dict[str, Any]:
    """Train the paper's autoencoder (six latents) once a fold; the histories by fold."""
    bench = workshop.bench
    items = {
        f"fold-{k + 1}": Autoencoder(k, seed_config(bench), bench.seed) for k in range(bench.scale.n_folds)
    }
    return workshop.map(ENCODE, _encode, items)


def latents_of(bench: Bench, fold: int) -> NDArray[np.float32]:
    """Six latents of every object, by the autoencoder that never saw the fold's test objects.

    Raises
    ------
    DataError
        If `encode_folds` did not run.
    """
    return np.asarray(load_file(_needed(bench, ENCODE, f"fold-{fold + 1}.safetensors"))["latent"])


def our_folds(workshop: Workshop) -> dict[str, Any]:
    """Train our pipeline once a fold and classify its test objects; seconds by fold."""
    items = {f"fold-{k + 1}": k for k in range(workshop.bench.scale.n_folds)}
    return workshop.map(OURS, _ours, items)


def pipeline_of(bench: Bench, fold: int) -> Pipeline:
    """Our pipeline, trained on the objects that the fold may learn from."""
    return Pipeline.load(_needed(bench, OURS, f"fold-{fold + 1}"))


def said_of(bench: Bench, days: float = np.inf) -> Predictions:
    """What our pipelines say of every object, each by the one that never saw it, in order of the objects.

    Parameters
    ----------
    bench : Bench
        Objects and folds.
    days : float
        One of `firstlight.metrics.PHASES`: days since trigger at which the curves are cut.
    """
    objects = bench.objects
    parts = [
        read_predictions(_needed(bench, OURS, f"fold-{k + 1}-phase-{phase_name(days)}.parquet"))
        for k in range(len(objects.folds))
    ]
    rows = np.concatenate([fold.test for fold in objects.folds])
    return Predictions.concatenate(parts).take(np.argsort(rows, kind="stable"))


# --- private --------------------------------------------------------------------


def _encode(bench: Bench, item: Autoencoder, report: Report) -> dict[str, Any]:
    folder = bench.keep(ENCODE)
    checkpoint = folder / f"training-{item.fold + 1}"
    latent, history = train_autoencoder(bench, item, report, checkpoint)
    save_file({"latent": np.ascontiguousarray(latent)}, folder / f"fold-{item.fold + 1}.safetensors")
    return {"history": history}


def _ours(bench: Bench, k: int, report: Report) -> dict[str, Any]:
    objects, folder = bench.objects, bench.keep(OURS)
    fold, learn = objects.folds[k], objects.learn(k)
    training, test = objects.curves.take(learn), objects.curves.take(fold.test)
    check_disjoint(training.object_id, test.object_id)
    check_near_duplicates(training, test)
    pipeline = Pipeline(load_preset(bench.scale.preset)).fit(
        training,
        objects.labels[learn],
        seed=bench.seed,
        held_out=np.isin(learn, fold.validation),
        jobs=1,
        workdir=folder / f"training-{k + 1}",
        progress=_stages(report),
    )
    pipeline.save(folder / f"fold-{k + 1}")
    for name, said in predict_phases(pipeline, test, jobs=1).items():
        write_predictions(said, folder / f"fold-{k + 1}-phase-{name}.parquet")
    return {
        "n_train": len(training),
        "n_test": len(test),
        "history": json.loads(json.dumps(pipeline.history)),
    }


def _stages(report: Report) -> Report:
    """One fraction of several stages, by the share of time that each takes."""
    shares = {"encoder": (0.0, 0.3), "training rows": (0.35, 0.35), "classifier": (0.75, 0.25)}

    def one(stage: str, fraction: float) -> None:
        for name, (start, share) in shares.items():
            if stage.startswith(name):
                report(stage, start + share * fraction)

    return one


def _needed(bench: Bench, stage: str, name: str) -> Path:
    path = bench.folder / "work" / stage / name
    if not path.exists():
        raise DataError(f"{path} is not there: the stage {stage!r} of this reproduction must run first")
    return path
