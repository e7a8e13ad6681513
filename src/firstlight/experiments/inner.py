"""Rows of the classifier on both sides of a fold, made one time and read by every trial of a study."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from firstlight._types import AnyArray, FloatArray, Progress, StrArray, no_progress
from firstlight.classify import CalibrationConfig, ClassifierConfig, TrainingRows
from firstlight.errors import DataError
from firstlight.experiments.fold import FoldTask, fold_sides
from firstlight.files import keep, kept, replacing
from firstlight.lightcurves import LightCurves, RedshiftMode
from firstlight.pipeline import PipelineConfig
from firstlight.pipeline.training import TrainingObjects, train_inputs, training_objects, training_rows
from firstlight.preprocess import preprocess
from firstlight.settings import to_table
from firstlight.splits import Fold, check_disjoint, stratified_folds
from firstlight.taxonomy import GALACTIC, Taxonomy

_HELD_SHARE = 0.1  # of each inner training part, for early stopping of the untuned settings


class SplitRows(NamedTuple):
    """Rows to train on, held out for early stopping and calibration, and to test on.

    Phases are days since trigger, None where nothing is calibrated.
    """

    train: TrainingRows
    held: TrainingRows
    test: TrainingRows
    held_phase: FloatArray | None = None
    test_phase: FloatArray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class InnerFolds:
    """The inner folds of a study."""

    fingerprint: str  # SHA-256 of all rows
    folds: tuple[Callable[[], SplitRows], ...]  # each gives the rows of a fold, and can be pickled


def shared_folds(rows: TrainingRows, n_folds: int, seed: int) -> InnerFolds:
    """Folds over the objects of rows whose inputs were learnt from all of them, without labels."""
    folds = tuple(partial(_taken, rows, fold) for fold in object_folds(rows, n_folds, seed))
    return InnerFolds(fingerprint=rows.fingerprint, folds=folds)


def object_folds(rows: TrainingRows, n_folds: int, seed: int) -> tuple[Fold, ...]:
    """Folds over the objects of the rows; all copies of an object are on one side."""
    rng = np.random.default_rng(seed)
    folds = stratified_folds(rows.owner, rows.labels, n_folds, rng=rng, validation=_HELD_SHARE)
    for fold in folds:
        check_disjoint(rows.owner[np.concatenate(fold[:2])], rows.owner[fold.test])
    return tuple(folds)


@dataclass(frozen=True, kw_only=True, eq=False)
class RowMaker:
    """Encoder, templates and rows of folds over the same objects."""

    curves: LightCurves  # raw objects
    labels: StrArray  # (n_objects,)
    config: PipelineConfig
    redshift: RedshiftMode = "photo"
    seed: int = 0
    jobs: int = 1
    taxonomy: Taxonomy = field(default_factory=Taxonomy)

    def split(self, fold: Fold, folder: Path, *, whole: bool, progress: Progress = no_progress) -> SplitRows:
        """Rows of a fold by an encoder and templates that never saw its test objects.

        Parameters
        ----------
        fold : Fold
            Objects to learn from (its first two parts; as in `Pipeline.fit` a part of them is held out) and
            to test on.
        folder : Path
            For checkpoints of the encoder.
        whole : bool
            Whether test objects are shown as whole curves, all of them; else as the copies of training, and
            those of classes that were not learnt are left out.
        progress : callable
            As for `Pipeline.fit`.
        """
        sides = fold_sides(self.curves, self.labels, fold)
        objects = training_objects(
            sides.training, sides.labels, self.config, self.redshift, taxonomy=self.taxonomy
        )
        rng = np.random.default_rng(self.seed)
        inputs = train_inputs(objects, self.config, seed=self.seed, folder=folder, progress=progress)
        train, held = (
            training_rows(objects, inputs, rng, held_out=side, jobs=self.jobs, progress=progress)
            for side in (False, True)
        )
        if whole:
            test = preprocess(sides.test.with_redshift(self.redshift), self.config.preprocess)
            X = inputs.rows(test).X
            rows = TrainingRows(
                X,
                sides.test_labels,
                test.redshift,
                object_id=test.object_id,
                galactic=self.taxonomy.galactic,
            )
            phase: FloatArray = np.asarray(test.last_phase)
        else:
            learnt = np.isin(sides.test_labels, objects.labels)
            tested = TrainingObjects(
                sides.test.take(learnt).with_redshift(self.redshift),
                sides.test_labels[learnt],
                np.ones(int(learnt.sum()), np.bool_),
                self.redshift,
                {},
                self.taxonomy,
            )
            rows, _, phase, _ = training_rows(tested, inputs, rng, held_out=True, jobs=self.jobs)
        return SplitRows(train.rows, held.rows, rows, held.phase, phase)

    def kept_split(
        self, name: str, fold: Fold, folder: Path, *, whole: bool, progress: Progress = no_progress
    ) -> tuple[Callable[[], SplitRows], str]:
        """As `split`, kept in a file of the folder; a function that reads it, and its SHA-256."""
        # neither classifier nor calibration changes a row
        config = replace(self.config, name="", classifier=ClassifierConfig(), calibration=CalibrationConfig())
        task = FoldTask(
            name=name,
            curves=self.curves,
            labels=self.labels,
            fold=fold,
            config=config,
            folder=folder,
            redshift=self.redshift,
            seed=self.seed,
            taxonomy=self.taxonomy,
        )
        identity, path = task.identity, folder / f"{name}.safetensors"
        found = kept(folder / f"{name}.json", identity)
        if found is None or not path.is_file():

            def named(stage: str, fraction: float) -> None:
                progress(f"{name}: {stage}", fraction)

            checkpoints = folder / f"{name}-{identity[:12]}"
            _write(path, self.split(fold, checkpoints, whole=whole, progress=named))
            found = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            keep(folder / f"{name}.json", identity, found)
        return partial(_read, path, self.taxonomy.galactic), str(found["sha256"])

    def inner_folds(self, learn: Fold, n_folds: int, folder: Path, progress: Progress) -> InnerFolds:
        """Folds over the objects to learn from, each with an encoder and templates of its own."""
        chosen = np.sort(np.concatenate(learn[:2]))
        inner = replace(self, curves=self.curves.take(chosen), labels=self.labels[chosen])
        rng = np.random.default_rng(self.seed)
        splits = [
            inner.kept_split(f"inner-{k}", fold, folder, whole=False, progress=progress)
            for k, fold in enumerate(
                stratified_folds(inner.curves.object_id, inner.labels, n_folds, rng=rng), 1
            )
        ]
        calibration = json.dumps(to_table(self.config.calibration), sort_keys=True)
        own = [] if self.taxonomy.is_ours else [json.dumps(self.taxonomy.table())]
        parts = [calibration, *own, *(digest for _, digest in splits)]
        return InnerFolds(
            fingerprint=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
            folds=tuple(read for read, _ in splits),
        )


# --- private --------------------------------------------------------------------


def _taken(rows: TrainingRows, fold: Fold) -> SplitRows:
    train, held, test = (rows.take(part) for part in fold)
    return SplitRows(train, held, test)


_SIDES = ("train", "held", "test")
_COLUMNS = ("X", "labels", "redshift", "weight", "object_id")
_PHASES = ("held_phase", "test_phase")


def _write(path: Path, rows: SplitRows) -> None:
    """Write rows as safetensors, text as the numbers of its characters."""
    arrays = {name: np.asarray(getattr(rows, name), np.float64) for name in _PHASES}
    for side in _SIDES:
        for name in _COLUMNS:
            column = np.ascontiguousarray(getattr(getattr(rows, side), name))
            if column.dtype.kind == "U":
                column = column.view(np.uint32).reshape(len(column), -1)
            arrays[f"{side}_{name}"] = column
    with replacing(path) as part:
        save_file(arrays, part)


def _read(path: Path, galactic: frozenset[str] = GALACTIC) -> SplitRows:
    """Read the files of `_write`."""
    try:
        arrays = load_file(path)
        train, held, test = (
            _rows({name: arrays[f"{side}_{name}"] for name in _COLUMNS}, galactic) for side in _SIDES
        )
        return SplitRows(train, held, test, *(arrays[name] for name in _PHASES))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete it, and run the command again") from error


def _rows(columns: dict[str, AnyArray], galactic: frozenset[str]) -> TrainingRows:
    labels, object_id = (
        columns[name].view(f"<U{columns[name].shape[1]}")[:, 0] for name in ("labels", "object_id")
    )
    return TrainingRows(columns["X"], labels, columns["redshift"], columns["weight"], object_id, galactic)
