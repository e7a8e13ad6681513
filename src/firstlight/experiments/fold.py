"""One honest fold: train on some objects, predict others that the pipeline has never seen.

`fold_sides` is the split with its leak guards; `run_fold` trains, saves and predicts, and
keeps the result, so that a killed run resumes; `read_fold` reads the predictions.
Cross-validation, the hold-out, tuning and the paper's reproduction all use these.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from firstlight._types import BoolArray, Progress, StrArray, no_progress
from firstlight._version import __version__
from firstlight.errors import DataError
from firstlight.files import keep, kept, source_digest
from firstlight.lightcurves import LightCurves, RedshiftMode
from firstlight.metrics import PHASES, phase_name
from firstlight.parallel import one_core
from firstlight.pipeline import Pipeline, PipelineConfig
from firstlight.predictions import Predictions, read_predictions, write_predictions
from firstlight.settings import to_table
from firstlight.splits import Fold, check_disjoint, check_near_duplicates
from firstlight.taxonomy import Taxonomy

#: Modules and sub-packages that the result of a fold depends on.
ROOMS = (
    "_types",
    "anomaly",
    "bands",
    "classify",
    "constants",
    "cosmology",
    "data",
    "encoder",
    "features",
    "hosts",
    "kernels",
    "lightcurves",
    "metrics",
    "mix",
    "online",
    "pipeline",
    "plugins",
    "predictions",
    "preprocess",
    "provenance",
    "reobserve",
    "settings",
    "simulate",
    "splits",
    "storage",
    "surveys",
    "taxonomy",
    "timeline",
)


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """The two sides of a fold."""

    training: LightCurves  # raw objects to learn from
    labels: StrArray  # (n_training,); their classes
    held_out: BoolArray  # (n_training,); objects of `training` kept for early stopping and calibration
    test: LightCurves  # raw objects to test on
    test_labels: StrArray  # (n_test,); their classes


def fold_sides(curves: LightCurves, labels: StrArray, fold: Fold) -> Sides:
    """Split raw objects by a fold; LeakageError if an object or light curve is on both sides."""
    learn = np.sort(np.concatenate([fold.train, fold.validation]))
    training, test = curves.take(learn), curves.take(fold.test)
    check_disjoint(training.object_id, test.object_id)
    check_near_duplicates(training, test)
    held_out = np.isin(learn, fold.validation)
    return Sides(training, labels[learn], held_out, test, labels[fold.test])


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldTask:
    """One pipeline to train and to test."""

    name: str  # name in the progress, such as ``fold 1``
    curves: LightCurves  # all objects, raw
    labels: StrArray  # (n_objects,); their classes
    fold: Fold  # who learns and who is tested
    config: PipelineConfig  # pipeline to train
    folder: Path  # where ``bundle``, ``phase-<days>.parquet`` and ``done.json`` are written
    redshift: RedshiftMode = "photo"  # which host redshift models see, in training and in test
    seed: int = 0  # seed of every random choice
    taxonomy: Taxonomy = field(default_factory=Taxonomy)  # the classes
    jobs: int | None = None  # threads; by default one per core

    @property
    def identity(self) -> str:
        """SHA-256 of everything that the result depends on: data, labels, settings, seed and code."""
        parts = [
            __version__,
            json.dumps(to_table(self.config), sort_keys=True),
            self.redshift,
            str(self.seed),
        ]
        if not self.taxonomy.is_ours:
            parts.append(json.dumps(self.taxonomy.table()))
        parts += [",".join(self.curves.object_id[index]) for index in self.fold]
        parts += [self.curves.fingerprint, ",".join(self.labels), code_digest()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def run_fold(task: FoldTask, progress: Progress = no_progress) -> Mapping[str, Any]:
    """Train on one side of a fold, predict the other at every phase, and keep both.

    A result that the task's folder holds already is returned at once: ``train`` and ``score``,
    durations [s], and ``n_train`` and ``n_test``, objects. `progress` is called with the task's name and
    stage. Raises LeakageError as `fold_sides`.
    """
    done, identity = task.folder / "done.json", task.identity
    result = kept(done, identity)
    if result is not None:
        return result

    def named(stage: str, fraction: float) -> None:
        progress(f"{task.name}: {stage}", fraction)

    task.folder.mkdir(parents=True, exist_ok=True)
    sides = fold_sides(task.curves, task.labels, task.fold)
    started = time.perf_counter()
    with one_core(task.jobs):
        pipeline = Pipeline(task.config).fit(
            sides.training,
            sides.labels,
            redshift=task.redshift,
            seed=task.seed,
            held_out=sides.held_out,
            taxonomy=task.taxonomy,
            jobs=task.jobs,
            workdir=task.folder / f"training-{identity[:12]}",
            progress=named,
        )
        trained = time.perf_counter()
        pipeline.save(task.folder / "bundle")
        test = sides.test.with_redshift(task.redshift)
        for name, predictions in predict_phases(pipeline, test, jobs=task.jobs, progress=named).items():
            write_predictions(predictions, task.folder / f"phase-{name}.parquet")
    result = {
        "train": round(trained - started, 1),
        "score": round(time.perf_counter() - trained, 1),
        "n_train": len(sides.training),
        "n_test": len(test),
    }
    keep(done, identity, result)
    return result


def read_fold(folder: Path, days: float = np.inf) -> Predictions:
    """Predictions of a finished fold's test objects, in order, at one of `PHASES` [day since trigger]."""
    return read_predictions(folder / f"phase-{phase_name(days)}.parquet")


def load_fold(folder: Path) -> Pipeline:
    """The pipeline of a finished fold."""
    return Pipeline.load(folder / "bundle")


def those_of(curves: LightCurves, object_id: StrArray) -> LightCurves:
    """The named objects, in that order; DataError if one is absent."""
    position = {name: i for i, name in enumerate(curves.object_id.tolist())}
    absent = [name for name in object_id.tolist() if name not in position]
    if absent:
        raise DataError(
            f"{len(absent)} predicted object(s) have no light curve in the data, the first {absent[0]!r}"
        )
    return curves.take([position[name] for name in object_id.tolist()])


def predict_phases(
    pipeline: Pipeline,
    curves: LightCurves,
    *,
    phases: tuple[float, ...] = PHASES,
    jobs: int | None = None,
    progress: Progress = no_progress,
) -> dict[str, Predictions]:
    """Classify every object as it stood at several days since its trigger, by `phase_name`.

    `curves` are whole, and infinity in `phases` is the whole curve; `progress` is called with ``"score"``.
    """
    predictions = {}
    for k, days in enumerate(phases):
        predictions[phase_name(days)] = pipeline.predict(curves.upto_phase(days), jobs=jobs)
        progress("score", (k + 1) / len(phases))
    return predictions


def code_digest() -> str:
    """SHA-256 of the source that a fold's result depends on; results of other code are computed again."""
    return source_digest(ROOMS)
