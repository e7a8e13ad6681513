"""What the classifier is trained on: copies of each object, as a stream may see it.

Truncated, thinned, without redshift; all copies of an object stay on its side of every
split and share its weight (law 2).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._version import __version__
from firstlight.classify import object_weights
from firstlight.data.sample import MIN_OBJECTS
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves, RedshiftMode
from firstlight.pipeline.config import PipelineConfig
from firstlight.preprocess import preprocess
from firstlight.simulate import augment, truncate
from firstlight.taxonomy import CLASSES

__all__ = ["Copies", "class_frequencies", "last_phase", "make_copies", "training_info", "usable_objects"]


@dataclass(frozen=True, slots=True)
class Copies:
    """Preprocessed copies of some objects, the whole curves first.

    Attributes
    ----------
    curves : LightCurves
        The copies; names repeat.
    labels : str array, shape (n_copies,)
    weight : float64 array, shape (n_copies,)
        Copies of one object share its weight.
    """

    curves: LightCurves
    labels: NDArray[np.str_]
    weight: NDArray[np.float64]


def make_copies(
    curves: LightCurves, labels: NDArray[np.str_], config: PipelineConfig, rng: np.random.Generator
) -> Copies:
    """Copies of every object, as the classifier sees them: cut first, then preprocessed (law 1).

    Parameters
    ----------
    curves : LightCurves
        Raw objects of one side of a split.
    labels : str array, shape (n_objects,)
        Their classes.
    config : PipelineConfig
        How many copies of which kind.
    rng : numpy.random.Generator
        Source of every random choice.
    """
    copies = config.copies
    parts = [curves]
    parts += [truncate(curves, rng, config.augment) for _ in range(copies.truncations)]
    parts += [augment(curves, rng, config.augment) for _ in range(copies.augmented)]
    weights = np.ones(len(parts))
    weights[0] = copies.whole_weight
    parts = [preprocess(part, config.preprocess) for part in parts]
    joined = LightCurves.concatenate(parts, check=False)
    hidden = rng.random(len(joined)) < copies.hidden_redshift
    hidden[: len(curves)] = False  # the whole curve is always shown with what is known
    if copies.hidden_redshift > 0.0:
        unseen = parts[0].with_redshift("none")
        joined = LightCurves.concatenate([_hide_redshift(joined, hidden), unseen], check=False)
        weights = np.append(weights, 1.0)
    return Copies(
        joined,
        np.tile(labels, len(weights)),
        object_weights(joined.object_id, np.repeat(weights, len(curves))),
    )


def usable_objects(curves: LightCurves, labels: NDArray[np.str_]) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Leave out classes that are unknown or too rare to learn, and say which."""
    if len(curves) != len(labels):
        raise DataError(f"{len(curves)} light curves but {len(labels)} labels")
    names, counts = np.unique(labels, return_counts=True)
    left_out = {
        str(name): int(n)
        for name, n in zip(names, counts, strict=True)
        if name not in CLASSES or n < MIN_OBJECTS
    }
    if len(names) - len(left_out) < 2:
        raise DataError(
            f"training needs two classes or more of at least {MIN_OBJECTS} objects; left out: {left_out}"
        )
    return ~np.isin(labels, list(left_out)), left_out


def last_phase(curves: LightCurves) -> NDArray[np.float64]:
    """Days from trigger to the last observation; NaN without trigger or observations."""
    last = np.full(len(curves), np.nan)
    some = curves.n_obs > 0
    last[some] = curves.mjd[curves.offsets[1:][some] - 1]
    return last - curves.trigger_mjd


def class_frequencies(labels: NDArray[np.str_], classes: tuple[str, ...]) -> NDArray[np.float64]:
    """Training frequency of every class of the taxonomy."""
    counts = np.array([np.sum(labels == name) if name in classes else 0 for name in CLASSES], dtype=float)
    return counts / counts.sum()


def training_info(
    config: PipelineConfig,
    curves: LightCurves,
    labels: NDArray[np.str_],
    held_out: NDArray[np.bool_],
    dropped: dict[str, int],
    redshift: RedshiftMode,
    seed: int,
) -> dict[str, Any]:
    """What a bundle says of its training."""
    names, counts = np.unique(labels, return_counts=True)
    return {
        "preset": config.name,
        "firstlight": __version__,
        "redshift": redshift,
        "seed": seed,
        "n_objects": len(curves),
        "n_validation": int(held_out.sum()),
        "n_observations": int(curves.offsets[-1]),
        "objects_per_class": {str(n): int(c) for n, c in zip(names, counts, strict=True)},
        "left_out": dropped,
    }


def _hide_redshift(curves: LightCurves, hidden: NDArray[np.bool_]) -> LightCurves:
    columns = {
        name: np.where(hidden, np.float32(np.nan), getattr(curves, name))
        for name in ("redshift", "redshift_err", "redshift_spec")
    }
    return curves._derive(**columns)
