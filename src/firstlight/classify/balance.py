"""Class frequencies, and class balance of training rows: class weights, oversampling, object weights."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight.errors import DataError, LeakageError
from firstlight.taxonomy import CLASSES


def class_frequencies(
    labels: NDArray[np.str_], classes: tuple[str, ...], all_classes: tuple[str, ...] = CLASSES
) -> NDArray[np.float64]:
    """Frequency of each class of a taxonomy among the labels, shape (n_classes,); 0 outside `classes`."""
    counts = np.array([np.sum(labels == name) if name in classes else 0 for name in all_classes], dtype=float)
    return counts / counts.sum()


def object_weights(object_id: ArrayLike, weight: ArrayLike | None = None) -> NDArray[np.float64]:
    """Share one unit of weight among all copies of each object.

    Parameters
    ----------
    object_id : array_like, shape (n_rows,)
        Object of each row.
    weight : float array_like, shape (n_rows,), optional
        Weights of the copies relative to each other; by default equal.

    Returns
    -------
    float64 array, shape (n_rows,)
        Weights that sum to 1 for each object (to 0 where all of its copies weigh 0).

    Raises
    ------
    DataError
        If lengths disagree or a weight is negative or not finite.

    Examples
    --------
    >>> object_weights(["a", "b", "a", "a"], [2, 5, 1, 1]).tolist()
    [0.5, 1.0, 0.25, 0.25]
    """
    object_id = np.asarray(object_id)
    relative = np.ones(len(object_id)) if weight is None else np.asarray(weight, dtype=np.float64)
    if relative.shape != object_id.shape:
        raise DataError(f"{len(relative)} weights for {len(object_id)} rows; one per row is needed")
    if not np.all(np.isfinite(relative) & (relative >= 0.0)):
        raise DataError("weights must be finite and not negative")
    _, owner = np.unique(object_id, return_inverse=True)
    total = np.bincount(owner, weights=relative)
    return relative / np.where(total > 0.0, total, 1.0)[owner]


def class_weights(
    labels: ArrayLike, exponent: float = 1.0, sample_weight: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Weights that raise rare classes.

    Parameters
    ----------
    labels : array_like, shape (n_rows,)
        Class of each row.
    exponent : float
        0 keeps the classes as they are, 1 gives each the same total weight.
    sample_weight : float array_like, shape (n_rows,), optional
        Weights to start from.

    Returns
    -------
    float64 array, shape (n_rows,)
        `sample_weight` times a factor per class; the total is unchanged.

    Raises
    ------
    DataError
        If lengths disagree.

    Examples
    --------
    >>> class_weights(["AGN", "AGN", "AGN", "KN"]).round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
    """
    labels = np.asarray(labels)
    weight = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != labels.shape:
        raise DataError(f"{len(weight)} weights for {len(labels)} labels; one per row is needed")
    _, code = np.unique(labels, return_inverse=True)
    total = np.bincount(code, weights=weight)
    factor = np.where(total > 0.0, total, 1.0) ** -exponent
    raised = weight * factor[code]
    return raised * (weight.sum() / raised.sum()) if raised.sum() > 0.0 else raised


def oversample(
    labels: ArrayLike,
    rng: np.random.Generator,
    *,
    object_id: ArrayLike,
    held_out: ArrayLike,
    exponent: float = 1.0,
) -> NDArray[np.int64]:
    """Draw rows of rare classes several times, from training objects only.

    Parameters
    ----------
    labels : array_like, shape (n_rows,)
        Class of each training row.
    rng : numpy.random.Generator
        Source of the draws.
    object_id : array_like, shape (n_rows,)
        Object of each training row.
    held_out : array_like
        Objects kept for validation or test, which must not be among the copies.
    exponent : float
        0 draws nothing, 1 brings each class to the size of the largest.

    Returns
    -------
    int64 array
        Every row once, in order, then the repeated rows.

    Raises
    ------
    LeakageError
        If a row belongs to a held-out object.
    DataError
        If lengths disagree.
    """
    labels, object_id = np.asarray(labels), np.asarray(object_id)
    if labels.shape != object_id.shape:
        raise DataError(f"{len(object_id)} object names for {len(labels)} labels; one per row is needed")
    both = np.intersect1d(object_id, np.asarray(held_out))
    if len(both):
        raise LeakageError(
            f"{len(both)} object(s) to oversample are held out, e.g. {both[0]!s}; split by object first"
        )
    names, counts = np.unique(labels, return_counts=True)
    drawn = [np.arange(len(labels))]
    for name, count in zip(names, counts, strict=True):
        wanted = round(count * (counts.max() / count) ** exponent)
        drawn.append(rng.choice(np.flatnonzero(labels == name), size=wanted - count, replace=True))
    return np.concatenate(drawn).astype(np.int64)
