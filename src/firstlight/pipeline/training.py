"""The training set of a pipeline: the split of its objects, its inputs, and copies of every object.

Copies are truncated, thinned, seen by other surveys, or shown without redshift or with a wrong one.
All copies of an object stay on its side of every split and share its weight. Simulated objects of rare
classes may stand beside them; they never calibrate, stop a training or test.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from firstlight._types import BoolArray, Float32Array, FloatArray, Progress, StrArray, no_progress
from firstlight._version import __version__
from firstlight.classify import (
    ClassifierConfig,
    StatusConfig,
    TrainingRows,
    make_classifier,
    object_weights,
    status_of,
    to_all_classes,
)
from firstlight.data.sample import MIN_OBJECTS
from firstlight.encoder import Latents, train_encoder
from firstlight.errors import DataError
from firstlight.features import Templates
from firstlight.lightcurves import LightCurves, RedshiftMode
from firstlight.pipeline.config import CopiesConfig, PipelineConfig
from firstlight.pipeline.inputs import InputBuilder, in_chunks
from firstlight.predictions import CLASSIFIED
from firstlight.preprocess import deredden, preprocess
from firstlight.reobserve import Surfaces, is_simulated, reobserve, simulate_views
from firstlight.simulate import augment, misstate, spoil, truncate
from firstlight.simulate.survey import can_measure
from firstlight.splits import check_distinct, check_near_duplicates, validation_part
from firstlight.taxonomy import CLASSES, Taxonomy

_log = logging.getLogger(__name__)

#: Fraction of all copies without a position. Trees that never saw one missing would take it for latitude 0.
NO_POSITION = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class TrainingObjects:
    """Raw objects to learn from, with the redshift that is shown and the held-out part."""

    curves: LightCurves
    labels: StrArray  # (n_objects,)
    held_out: BoolArray  # (n_objects,); objects kept for early stopping and calibration
    redshift: RedshiftMode
    left_out: dict[str, int]  # objects left out, by class: unknown or too rare
    taxonomy: Taxonomy = field(default_factory=Taxonomy)

    def part(self, held_out: bool) -> tuple[LightCurves, StrArray]:
        """Objects to train on, or those held out, with their labels."""
        chosen = self.held_out == held_out
        return self.curves.take(chosen), self.labels[chosen]

    def info(self, preset: str, seed: int) -> dict[str, Any]:
        """Description of the training, for the manifest of a bundle."""
        names, counts = np.unique(self.labels, return_counts=True)
        return {
            "preset": preset,
            "firstlight": __version__,
            "redshift": self.redshift,
            "seed": seed,
            "n_objects": len(self.curves),
            "n_validation": int(self.held_out.sum()),
            "n_observations": int(self.curves.offsets[-1]),
            "objects_per_class": {str(n): int(c) for n, c in zip(names, counts, strict=True)},
            "left_out": self.left_out,
        }


class TrainingCopies(NamedTuple):
    """Preprocessed copies of some objects, the whole curves first; names repeat."""

    curves: LightCurves
    labels: StrArray
    weight: FloatArray  # copies of one object share its weight


class CopyRows(NamedTuple):
    """Copies as rows of the classifier, with the encoder's latents and days since trigger."""

    rows: TrainingRows
    latents: Latents
    phase: FloatArray
    described: Float32Array  # how the copies were observed; see `anomaly.describe`


def training_objects(
    curves: LightCurves,
    labels: StrArray,
    config: PipelineConfig,
    redshift: RedshiftMode = "photo",
    held_out: BoolArray | None = None,
    taxonomy: Taxonomy | None = None,
) -> TrainingObjects:
    """Choose the objects to learn from and those held out; see `Pipeline.fit` for the parameters."""
    labels = np.asarray(labels, dtype=np.str_)
    taxonomy = Taxonomy() if taxonomy is None else taxonomy
    usable, left_out = usable_objects(curves, labels, taxonomy.classes)
    if held_out is None:
        check_distinct(curves)
        held_out = validation_part(curves.object_id, labels, config.copies.validation_fraction)
    else:
        held_out = _checked_part(curves, held_out)
    chosen = curves.take(usable).with_redshift(redshift)
    return TrainingObjects(chosen, labels[usable], held_out[usable], redshift, left_out, taxonomy)


def train_inputs(
    objects: TrainingObjects,
    config: PipelineConfig,
    *,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> InputBuilder:
    """Train the encoder and fit the templates; see `Pipeline.fit` for `seed` and `progress`.

    Checkpoints go to `folder`; a killed training resumes from them.
    """
    training, labels = objects.part(held_out=False)
    validation, _ = objects.part(held_out=True)
    clean = preprocess(training, config.preprocess)
    encoder = train_encoder(
        clean, preprocess(validation, config.preprocess), config.encoder, seed, folder, progress
    )
    templates = None
    if config.templates and "features" in config.inputs:
        progress("templates", 0.0)
        templates = Templates.fit(clean, labels, config.features)
        progress("templates", 1.0)
    return InputBuilder(config, encoder, templates)


def training_rows(
    objects: TrainingObjects,
    inputs: InputBuilder,
    rng: np.random.Generator,
    *,
    held_out: bool,
    jobs: int | None = None,
    progress: Progress = no_progress,
) -> CopyRows:
    """Copies of the held-out objects, or of the others, as rows of the classifier; see `training_copies`.

    Copies with too little data to be classified are left out: they would calibrate answers that nobody gets.
    """
    copies = training_copies(*objects.part(held_out), inputs.config, rng)
    if inputs.config.simulated.classes and not held_out:
        # a stream of its own, so that all other copies are those of a training without simulated objects
        copies = with_simulated(copies, *objects.part(held_out), inputs.config, rng.spawn(1)[0])
    copies = _answered(copies, len(objects.part(held_out)[1]), inputs.config.verdict)
    stage = "validation rows" if held_out else "training rows"
    made = in_chunks(inputs.rows, copies.curves, jobs, lambda done: progress(stage, done))
    rows = TrainingRows(
        made.X,
        copies.labels,
        copies.curves.redshift,
        copies.weight,
        copies.curves.object_id,
        objects.taxonomy.galactic,
    )
    return CopyRows(rows, made.latents, copies.curves.last_phase, made.described)


def training_copies(
    curves: LightCurves, labels: StrArray, config: PipelineConfig, rng: np.random.Generator
) -> TrainingCopies:
    """Copies of every raw object as the classifier sees them: cut first, then preprocessed (parity)."""
    copies = config.copies
    parts = [curves]
    parts += [truncate(curves, rng) for _ in range(copies.truncations)]
    parts += [augment(curves, rng, config.augment) for _ in range(copies.augmented)]
    parts += _reobserved(curves, config, rng)
    parts[1:] = [_mistaken(part, copies, rng) for part in parts[1:]]
    weights = np.ones(len(parts))
    weights[0] = copies.whole_weight
    parts = [preprocess(part, config.preprocess) for part in parts]
    joined = LightCurves.concatenate(parts, check=False)
    hidden = rng.random(len(joined)) < copies.hidden_redshift
    unplaced = rng.random(len(joined)) < NO_POSITION
    hidden[: len(curves)] = unplaced[: len(curves)] = False  # the whole curve keeps redshift and position
    joined = _hide(joined, unplaced, ("ra", "dec"))
    if copies.hidden_redshift > 0.0:
        unseen = parts[0].with_redshift("none")
        joined = LightCurves.concatenate([_hide_redshift(joined, hidden), unseen], check=False)
        weights = np.append(weights, 1.0)
    return TrainingCopies(
        joined,
        np.tile(labels, len(weights)),
        object_weights(joined.object_id, np.repeat(weights, len(curves))),
    )


def with_simulated(
    copies: TrainingCopies,
    curves: LightCurves,
    labels: StrArray,
    config: PipelineConfig,
    rng: np.random.Generator,
) -> TrainingCopies:
    """Copies of raw objects, and after them views of simulated objects; no class gains weight.

    Simulated objects of a class take their share of the weight of its re-observed copies, or of all of its
    copies where none is re-observed; shares are as the numbers of objects. They need the scatter of host
    redshifts: without an object that has a photometric and a spectroscopic one, there are none.
    """
    if not can_measure(curves):
        _log.warning(
            "trained without simulated objects of %s: no training object has both a photometric and a "
            "spectroscopic host redshift",
            ", ".join(config.simulated.classes),
        )
        return copies
    weight, part = copies.weight.copy(), config.copies
    copy = np.arange(len(weight)) // len(curves)
    first = 1 + part.truncations + part.augmented
    gives = (copy >= first) & (copy < first + part.reobserved) if part.reobserved else copy >= 0
    joined, names, weights = [copies.curves], [copies.labels], [weight]
    for name, ratio in config.simulated.classes.items():
        n_real = int((labels == name).sum())
        n = round(ratio * n_real)
        if not n:
            continue
        settings = config.reobserve
        made, owner = simulate_views(
            name, n, curves, settings.surveys, rng, config.simulated, settings.spectroscopic
        )
        made = _mistaken(truncate(made, rng, whole=0.5), part, rng)
        made = preprocess(
            _hide_redshift(made, rng.random(len(made)) < part.hidden_redshift), config.preprocess
        )
        own = gives & (copies.labels == name)
        share = n / (n + n_real)
        weights.append(np.full(len(made), share * weight[own].sum() / len(made)))
        weight[own] *= 1.0 - share
        joined.append(made._derive(object_id=owner))
        names.append(np.full(len(made), name))
    return TrainingCopies(
        LightCurves.concatenate(joined, check=False), np.concatenate(names), np.concatenate(weights)
    )


def simulated_info(rows: TrainingRows) -> dict[str, dict[str, int]]:
    """Number of simulated objects of each class among training rows, for the manifest; empty without any."""
    chosen = is_simulated(rows.owner)
    names, first = np.unique(rows.owner[chosen], return_index=True)
    labels, counts = np.unique(rows.labels[chosen][first], return_counts=True)
    found = {str(label): int(n) for label, n in zip(labels, counts, strict=True)}
    return {"simulated": found} if len(names) else {}


def out_of_fold(
    rows: TrainingRows,
    held: TrainingRows,
    config: ClassifierConfig,
    classes: tuple[str, ...],
    n_folds: int,
    *,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> FloatArray:
    """Probabilities of rows from classifiers that learnt from the other objects, shape (n_rows, n_classes).

    Each class is spread over `n_folds` parts of the objects. `held` is for early stopping, as in training.
    """
    names, first, owner = np.unique(rows.owner, return_index=True, return_inverse=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(names))
    fold = np.empty(len(names), np.int64)
    fold[order[np.argsort(rows.labels[first][order], kind="stable")]] = np.arange(len(names)) % n_folds
    proba = np.zeros((len(rows), len(classes)))
    for k in range(n_folds):
        own = fold[owner] == k
        model = make_classifier(config).fit(rows.take(~own), held, seed=seed, jobs=jobs)
        found = model.predict_proba(rows.X[own], redshift=rows.redshift[own])
        proba[own] = to_all_classes(found, model.classes, classes)
        progress("prediction sets", (k + 1) / n_folds)
    return proba


def usable_objects(
    curves: LightCurves, labels: StrArray, classes: tuple[str, ...] = CLASSES
) -> tuple[BoolArray, dict[str, int]]:
    """Mask of the objects of known classes with at least `MIN_OBJECTS` objects, and counts of the others.

    Raises DataError if lengths disagree or fewer than two classes remain.
    """
    if len(curves) != len(labels):
        raise DataError(f"{len(curves)} light curves but {len(labels)} labels")
    names, counts = np.unique(labels, return_counts=True)
    left_out = {
        str(name): int(n)
        for name, n in zip(names, counts, strict=True)
        if name not in classes or n < MIN_OBJECTS
    }
    if len(names) - len(left_out) < 2:
        found = ", ".join(f"{name!s} {n:,}" for name, n in zip(names, counts, strict=True)) or "none"
        raise DataError(
            f"training needs two classes or more of at least {MIN_OBJECTS} objects; the labels are {found}"
        )
    return ~np.isin(labels, list(left_out)), left_out


def _checked_part(curves: LightCurves, held_out: BoolArray) -> BoolArray:
    """The held-out objects; LeakageError if one of them is among the others under another name.

    Raises DataError for a mask of another shape or type, or one that leaves a side empty.
    """
    held_out = np.asarray(held_out)
    if held_out.shape != (len(curves),) or held_out.dtype != np.bool_:
        raise DataError(
            f"held_out is {held_out.dtype} of shape {held_out.shape}; give a bool for each of the "
            f"{len(curves)} objects"
        )
    if held_out.all() or not held_out.any():
        raise DataError(
            f"{int(held_out.sum())} of {len(curves)} objects are held out; some must learn, others calibrate"
        )
    training, held = curves.take(~held_out), curves.take(held_out)
    check_near_duplicates(training, held)
    return held_out


def _reobserved(curves: LightCurves, config: PipelineConfig, rng: np.random.Generator) -> list[LightCurves]:
    """Copies as other surveys see the objects, half of them cut at a random time."""
    if not config.copies.reobserved:
        return []
    curves = deredden(curves)  # what moves to another redshift is light without dust
    surfaces = Surfaces.of(curves)
    return [
        truncate(reobserve(curves, rng, config.reobserve, surfaces), rng, whole=0.5)
        for _ in range(config.copies.reobserved)
    ]


def _answered(copies: TrainingCopies, n_objects: int, verdict: StatusConfig) -> TrainingCopies:
    """The whole curves, which come first, and the copies with enough data to be classified."""
    keep = status_of(copies.curves, verdict)[0] == CLASSIFIED
    keep[:n_objects] = True
    return TrainingCopies(copies.curves.take(keep), copies.labels[keep], copies.weight[keep])


def _mistaken(curves: LightCurves, copies: CopiesConfig, rng: np.random.Generator) -> LightCurves:
    """Some of the copies with a wrong redshift, and some with a lone artefact."""
    if copies.artefacts > 0.0:
        curves = spoil(curves, rng, copies.artefacts)
    if copies.wrong_redshift > 0.0:
        curves = misstate(curves, rng, copies.wrong_redshift)
    return curves


def _hide_redshift(curves: LightCurves, hidden: BoolArray) -> LightCurves:
    return _hide(curves, hidden, ("redshift", "redshift_err", "redshift_spec"))


def _hide(curves: LightCurves, hidden: BoolArray, names: Sequence[str]) -> LightCurves:
    """Light curves without some columns where `hidden`, shape (n_objects,)."""
    columns = {name: getattr(curves, name).copy() for name in names}
    for column in columns.values():
        column[hidden] = np.nan
    return curves._derive(**columns)
