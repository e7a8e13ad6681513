"""What every classifier promises, and the checks that all of them share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.errors import DataError, LeakageError, NotFittedError
from firstlight.taxonomy import CLASSES, class_index

__all__ = ["Classifier", "Validation", "to_all_classes"]


class Validation(NamedTuple):
    """Rows of held-out objects, for early stopping; a plain tuple in this order will do.

    Attributes
    ----------
    X : float32 array, shape (n_rows, n_features)
        Rows.
    labels : str array, shape (n_rows,)
        Class of each row.
    redshift : float array, shape (n_rows,), optional
        Host redshift in use; 0 states a Milky Way object, NaN unknown.
    sample_weight : float array, shape (n_rows,), optional
        Weight of each row; by default 1.
    groups : array, shape (n_rows,), optional
        Object of each row; one that is also trained on is an error.
    """

    X: NDArray[np.float32]
    labels: NDArray[np.str_]
    redshift: NDArray[np.floating] | None = None
    sample_weight: NDArray[np.floating] | None = None
    groups: NDArray[np.generic] | None = None


class Classifier(Protocol):
    """Rows in, class probabilities out.

    Laws, each tested on every entry of `firstlight.classify.CLASSIFIERS`: probabilities
    are not negative and sum to one; columns are `classes`, in the order of the taxonomy;
    the same seed gives the same numbers; a saved and loaded classifier gives the same
    bits; NaN is a value like any other; a row gives the same bits alone and in any
    batch; `predict_proba` may be called from several threads at once.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes trained on, in the order of the taxonomy."""
        ...

    def fit(
        self,
        X: NDArray[np.float32],
        labels: NDArray[np.str_],
        *,
        redshift: NDArray[np.floating] | None = None,
        sample_weight: NDArray[np.floating] | None = None,
        groups: NDArray[np.generic] | None = None,
        validation: Validation | tuple[NDArray[Any] | None, ...] | None = None,
        seed: int = 0,
        jobs: int = 1,
        progress: Progress | None = None,
    ) -> Self:
        """Train on rows.

        Parameters
        ----------
        X : float32 array, shape (n_rows, n_features)
            Rows; NaN where a feature is missing.
        labels : str array, shape (n_rows,)
            Class of each row.
        redshift : float array, shape (n_rows,), optional
            Host redshift in use; 0 states a Milky Way object, NaN unknown. Only
            classifiers that treat the two kinds apart read it.
        sample_weight : float array, shape (n_rows,), optional
            Weight of each row; by default 1.
        groups : array, shape (n_rows,), optional
            Object of each row, to tell copies of one object.
        validation : Validation, optional
            Held-out objects for early stopping.
        seed : int
            Seed of every random choice.
        jobs : int
            Threads of the training.
        progress : callable, optional
            Called with ``"classifier"`` and the fraction that is done.

        Returns
        -------
        Classifier
            Itself.

        Raises
        ------
        DataError
            If lengths disagree or there is nothing to learn from.
        LeakageError
            If a validation object is also trained on.
        """
        ...

    def predict_proba(
        self, X: NDArray[np.float32], redshift: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """Class probabilities of rows.

        Parameters
        ----------
        X : float32 array, shape (n_rows, n_features)
            Rows; NaN where a feature is missing.
        redshift : float array, shape (n_rows,), optional
            As in `fit`; by default unknown.

        Returns
        -------
        float64 array, shape (n_rows, n_classes)
            Columns are `classes`.

        Raises
        ------
        NotFittedError
            If the classifier was neither fitted nor loaded.
        DataError
            If the rows have another width than those of training.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the trained classifier into an existing folder, without pickle.

        Raises
        ------
        NotFittedError
            If there is nothing to save.
        """
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        BundleError
            If a file is missing or damaged.
        """
        ...


def to_all_classes(proba: NDArray[np.float64], classes: Iterable[str]) -> NDArray[np.float64]:
    """Spread trained classes over all classes of the taxonomy; the others get 0.

    Parameters
    ----------
    proba : float64 array, shape (n_rows, n_trained)
        Probabilities.
    classes : iterable of str
        Class of each column.

    Returns
    -------
    float64 array, shape (n_rows, 17)
        Columns are `firstlight.taxonomy.CLASSES`.

    Raises
    ------
    UnknownClassError
        If a class is not in the taxonomy.
    DataError
        If there are more or fewer classes than columns.

    Examples
    --------
    >>> to_all_classes(np.array([[0.25, 0.75]]), ["AGN", "KN"])[0, [0, 1, 16]].tolist()
    [0.25, 0.0, 0.75]
    """
    columns = class_index(classes)
    proba = np.asarray(proba, dtype=np.float64)
    if proba.ndim != 2 or proba.shape[1] != len(columns):
        raise DataError(f"{len(columns)} classes for a probability table of shape {proba.shape}")
    out = np.zeros((len(proba), len(CLASSES)))
    out[:, columns] = proba
    return out


def encode_labels(labels: NDArray[np.str_]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Classes present, in taxonomy order, and each row's position among them."""
    index = class_index(np.asarray(labels).tolist())
    present, code = np.unique(index, return_inverse=True)
    return tuple(CLASSES[i] for i in present), code.astype(np.int64)


def two_classes(classes: tuple[str, ...]) -> None:
    """Raise DataError unless there is something to tell apart."""
    if len(classes) < 2:
        raise DataError(f"training rows are all {classes[0]!r}; a classifier needs two classes or more")


def check_rows(X: NDArray[np.float32], n_features: int | None = None) -> NDArray[np.float32]:
    """Rows as a contiguous float32 matrix of the right width; DataError otherwise."""
    X = np.ascontiguousarray(X, dtype=np.float32)
    if X.ndim != 2:
        raise DataError(f"rows must form a matrix (n_rows, n_features); got shape {X.shape}")
    if n_features is not None and X.shape[1] != n_features:
        raise DataError(f"rows have {X.shape[1]} features; this classifier was trained on {n_features}")
    return X


def check_training(
    X: NDArray[np.float32],
    labels: NDArray[np.str_],
    sample_weight: NDArray[np.floating] | None,
    groups: NDArray[np.generic] | None,
) -> tuple[NDArray[np.float32], NDArray[np.str_], NDArray[np.float64]]:
    """Rows, labels and weights of one length; DataError otherwise."""
    X = check_rows(X)
    labels = np.asarray(labels, dtype=np.str_)
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    lengths = {"labels": len(labels), "sample_weight": len(weight)}
    if groups is not None:
        lengths["groups"] = len(groups)
    for name, length in lengths.items():
        if length != len(X):
            raise DataError(f"{length} {name} for {len(X)} rows; give one a row")
    if not len(X):
        raise DataError("no rows to train on")
    if not (np.all(np.isfinite(weight) & (weight >= 0.0)) and weight.sum() > 0.0):
        raise DataError("sample weights must be finite, not negative and not all zero")
    return X, labels, weight


def check_validation(
    validation: Validation | tuple[NDArray[Any] | None, ...] | None,
    groups: NDArray[np.generic] | None,
    classes: tuple[str, ...],
    n_features: int,
) -> Validation | None:
    """Held-out rows of trained classes; None where there are none of them.

    Raises LeakageError where an object is both trained on and held out.
    """
    if validation is None:
        return None
    held = Validation(*validation)
    X, labels, weight = check_training(held.X, held.labels, held.sample_weight, held.groups)
    if X.shape[1] != n_features:
        raise DataError(f"validation rows have {X.shape[1]} features, training rows {n_features}")
    if groups is not None and held.groups is not None:
        both = np.intersect1d(np.asarray(groups), np.asarray(held.groups))
        if len(both):
            raise LeakageError(
                f"{len(both)} object(s) are both trained on and held out, e.g. {both[0]!s}; "
                "split by object before making copies"
            )
    known = np.isin(labels, classes)
    if not known.any() or weight[known].sum() <= 0.0:
        return None
    redshift = None if held.redshift is None else np.asarray(held.redshift)[known]
    held_groups = None if held.groups is None else np.asarray(held.groups)[known]
    return Validation(X[known], labels[known], redshift, weight[known], held_groups)


def not_fitted(name: str) -> NotFittedError:
    """The error of a prediction asked too early."""
    return NotFittedError(f"this {name} is not trained; call fit, or load a saved one")
