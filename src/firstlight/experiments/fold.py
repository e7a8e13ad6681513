"""One honest fold: train on some objects, predict others that the pipeline has never seen.

`fold_sides` is the split with its leak guards; `run_fold` trains, saves and predicts, and
keeps the result, so that a killed run resumes; `read_fold` reads the predictions.
Cross-validation, the hold-out, tuning and the paper's reproduction all use these.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firstlight._types import BoolArray, Progress, StrArray, no_progress
from firstlight._version import __version__
from firstlight.files import keep, kept, source_digest
from firstlight.lightcurves import LightCurves, RedshiftMode
from firstlight.metrics import PHASES, phase_name
from firstlight.pipeline import Pipeline, PipelineConfig
from firstlight.predictions import Predictions, read_predictions, write_predictions
from firstlight.settings import to_table
from firstlight.splits import Fold, check_disjoint, check_near_duplicates

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
    "lightcurves",
    "metrics",
    "online",
    "pipeline",
    "predictions",
    "preprocess",
    "settings",
    "simulate",
    "splits",
    "taxonomy",
)


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """The two sides of a fold.

    Attributes
    ----------
    training, test : LightCurves
        Raw objects to learn from and to test on.
    labels, test_labels : str array
        Their classes.
    held_out : bool array, shape (n_training,)
        Objects of `training` kept for early stopping and calibration.
    """

    training: LightCurves
    labels: StrArray
    held_out: BoolArray
    test: LightCurves
    test_labels: StrArray


def fold_sides(curves: LightCurves, labels: StrArray, fold: Fold) -> Sides:
    """Split objects by a fold; refuse an object or a light curve that is on both sides.

    Parameters
    ----------
    curves : LightCurves
        All objects, raw.
    labels : str array, shape (n_objects,)
        Their classes.
    fold : Fold
        Positions of the objects of each side.

    Raises
    ------
    LeakageError
        If an object is on both sides, under one name or two.
    """
    learn = np.sort(np.concatenate([fold.train, fold.validation]))
    training, test = curves.take(learn), curves.take(fold.test)
    check_disjoint(training.object_id, test.object_id)
    check_near_duplicates(training, test)
    held_out = np.isin(learn, fold.validation)
    return Sides(training, labels[learn], held_out, test, labels[fold.test])


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldTask:
    """One pipeline to train and to test.

    Attributes
    ----------
    name : str
        Name in the progress, such as ``fold 1``.
    curves : LightCurves
        All objects, raw.
    labels : str array, shape (n_objects,)
        Their classes.
    fold : Fold
        Who learns and who is tested.
    config : PipelineConfig
        What to train.
    redshift : {"photo", "spec", "none"}
        Which host redshift models see, in training and in test.
    seed : int
        Seed of every random choice.
    folder : Path
        Where ``bundle``, ``phase-<days>.parquet`` and ``done.json`` are written.
    jobs : int, optional
        Threads; by default one per core.
    """

    name: str
    curves: LightCurves
    labels: StrArray
    fold: Fold
    config: PipelineConfig
    folder: Path
    redshift: RedshiftMode = "photo"
    seed: int = 0
    jobs: int | None = None

    @property
    def identity(self) -> str:
        """SHA-256 of everything that the result depends on: data, labels, settings, seed and code."""
        parts = [
            __version__,
            json.dumps(to_table(self.config), sort_keys=True),
            self.redshift,
            str(self.seed),
        ]
        parts += [",".join(self.curves.object_id[index]) for index in self.fold]
        parts += [self.curves.fingerprint, ",".join(self.labels), code_digest()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def run_fold(task: FoldTask, progress: Progress = no_progress) -> Mapping[str, Any]:
    """Train on one side of a fold, predict the other at every phase, and keep both.

    Parameters
    ----------
    task : FoldTask
        What to do; a result that its folder holds already is returned at once.
    progress : callable
        Called with the task's name and stage, and the fraction of the stage that is done.

    Returns
    -------
    mapping
        ``train`` and ``score``: duration [s]; ``n_train`` and ``n_test``: objects.

    Raises
    ------
    LeakageError
        If an object is on both sides, under one name or two.
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
    pipeline = Pipeline(task.config).fit(
        sides.training,
        sides.labels,
        redshift=task.redshift,
        seed=task.seed,
        held_out=sides.held_out,
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
    """Predictions of a finished fold's test objects, in the order of ``fold.test``.

    Parameters
    ----------
    folder : Path
        Folder of the fold's `FoldTask`.
    days : float
        One of `firstlight.metrics.PHASES`: days since trigger; infinity is the whole curve.
    """
    return read_predictions(folder / f"phase-{phase_name(days)}.parquet")


def load_fold(folder: Path) -> Pipeline:
    """The pipeline of a finished fold."""
    return Pipeline.load(folder / "bundle")


def predict_phases(
    pipeline: Pipeline,
    curves: LightCurves,
    *,
    phases: tuple[float, ...] = PHASES,
    jobs: int | None = None,
    progress: Progress = no_progress,
) -> dict[str, Predictions]:
    """Classify every object as it stood at several days since its trigger.

    Parameters
    ----------
    pipeline : Pipeline
        Trained.
    curves : LightCurves
        Whole light curves.
    phases : tuple of float
        Days since trigger; infinity is the whole curve.
    jobs : int, optional
        Threads; by default one per core.
    progress : callable
        Called with ``"score"`` and the fraction that is done.

    Returns
    -------
    dict of str to Predictions
        By `phase_name`, in the order of `phases`.
    """
    predictions = {}
    for k, days in enumerate(phases):
        predictions[phase_name(days)] = pipeline.predict(curves.upto_phase(days), jobs=jobs)
        progress("score", (k + 1) / len(phases))
    return predictions


def code_digest() -> str:
    """SHA-256 of the source that a fold's result depends on; results of other code are computed again."""
    return source_digest(ROOMS)
