"""The protocol of every classifier."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from firstlight._types import Float32Array, FloatArray, Progress, no_progress
from firstlight.classify.forest import Forest
from firstlight.classify.rows import TrainingRows
from firstlight.errors import BundleError, DataError, NotFittedError, UnknownClassError
from firstlight.storage import AGAIN, read_state
from firstlight.taxonomy import CLASSES, LONGEST_CLASS, in_order


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

    @property
    def n_features(self) -> int:
        """Width of the rows trained on."""
        ...

    def fit(
        self,
        rows: TrainingRows,
        held: TrainingRows | None = None,
        *,
        seed: int = 0,
        jobs: int = 1,
        progress: Progress = no_progress,
    ) -> Self:
        """Train on labelled rows; the classifier itself.

        Parameters
        ----------
        rows : TrainingRows
            Rows to train on.
        held : TrainingRows, optional
            Rows of held-out objects, for early stopping.
        seed : int
            Seed of every random choice.
        jobs : int
            Threads of the training.
        progress : callable
            Called with ``"classifier"`` and the fraction that is done.

        Raises
        ------
        DataError
            If there are fewer than two classes, or widths disagree.
        LeakageError
            If a held-out object is also trained on.
        """
        ...

    def predict_proba(self, X: Float32Array, redshift: FloatArray | Float32Array | None = None) -> FloatArray:
        """Class probabilities of rows.

        Parameters
        ----------
        X : float32 array, shape (n_rows, n_features)
            Rows; NaN where a feature is missing.
        redshift : float array, shape (n_rows,), optional
            As in `TrainingRows`; by default unknown.

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
        """Write the classifier into an existing folder, without pickle; NotFittedError if it is untrained."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the files of `save`; BundleError if one is missing or damaged."""
        ...


@dataclass(frozen=True)
class SavedClasses:
    """The classes in a saved classifier's ``classifier.json``."""

    classes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> tuple[str, ...]:
        """Read and check the classes of a classifier with at least two."""
        classes = read_state(path, cls).classes
        check_classes(classes, path)
        if len(classes) < 2:
            raise BundleError(f"{path}: {len(classes)} classes, but a classifier has at least two; {AGAIN}")
        return classes


def check_classes(classes: tuple[str, ...], where: object) -> None:
    """Raise BundleError unless classes of a file are in the order of a taxonomy, each once."""
    if tuple(classes) != in_order(classes) or any(
        not name.isprintable() or not 0 < len(name) <= LONGEST_CLASS for name in classes
    ):
        raise BundleError(f"{where}: classes {list(classes)} are not in the order of a taxonomy; {AGAIN}")


def check_frequencies(values: tuple[float, ...], n_classes: int, where: object) -> FloatArray:
    """Class frequencies of a file; BundleError unless there is one per class and they sum to 1."""
    frequencies = np.array(values, dtype=np.float64)
    if len(frequencies) != n_classes or np.any(frequencies < 0.0) or abs(frequencies.sum() - 1.0) > 1e-6:
        raise BundleError(
            f"{where}: {n_classes} class frequencies must not be negative and sum to 1; {AGAIN}"
        )
    return frequencies


def check_outputs(forest: Forest, n_classes: int, where: object) -> None:
    """Raise BundleError unless trees of a file have an output per class, or one for two classes."""
    if forest.n_outputs != (1 if n_classes == 2 else n_classes):
        raise BundleError(f"{where}: {n_classes} classes, but trees for {forest.n_outputs} outputs; {AGAIN}")


class Booster:
    """Common part of the classifiers that hold one forest."""

    def __init__(self) -> None:
        self._classes: tuple[str, ...] = ()
        self._forest: Forest | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Classifier.classes`."""
        return self._classes

    @property
    def n_features(self) -> int:
        """See `Classifier.n_features`."""
        return self._fitted().n_features

    @property
    def forest(self) -> Forest:
        """The trees."""
        return self._fitted()

    @property
    def n_rounds(self) -> int:
        """Boosting rounds kept; each has one tree per output."""
        forest = self._fitted()
        return len(forest.root) // forest.n_outputs

    def _fitted(self) -> Forest:
        if self._forest is None:
            raise not_fitted(type(self).__name__)
        return self._forest


def to_all_classes(
    proba: FloatArray, classes: Iterable[str], all_classes: tuple[str, ...] = CLASSES
) -> FloatArray:
    """Spread trained classes over all classes of the taxonomy; the others get 0.

    Parameters
    ----------
    proba : float64 array, shape (n_rows, n_trained)
        Probabilities.
    classes : iterable of str
        Class of each column.
    all_classes : tuple of str
        All classes of the taxonomy.

    Returns
    -------
    float64 array, shape (n_rows, n_classes)
        Columns are `all_classes`.

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
    place = {name: k for k, name in enumerate(all_classes)}
    classes = list(classes)
    unknown = [name for name in classes if name not in place]
    if unknown:
        raise UnknownClassError(f"unknown class(es) {unknown}; known: {', '.join(all_classes)}")
    columns = [place[name] for name in classes]
    proba = np.asarray(proba, dtype=np.float64)
    if proba.ndim != 2 or proba.shape[1] != len(columns):
        raise DataError(f"{len(columns)} classes for a probability table of shape {proba.shape}")
    out = np.zeros((len(proba), len(all_classes)))
    out[:, columns] = proba
    return out


def not_fitted(name: str) -> NotFittedError:
    """The error of a prediction before training."""
    return NotFittedError(f"this {name} is not trained; call fit, or load a saved one")
