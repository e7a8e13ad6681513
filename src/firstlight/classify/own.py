"""`OwnClassifier`: a classifier of another package, with its name in errors, and its answers checked."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import numpy as np

from firstlight._types import Float32Array, FloatArray, Progress, no_progress
from firstlight.classify.rows import TrainingRows
from firstlight.errors import DataError
from firstlight.plugins import errors_of
from firstlight.taxonomy import in_order

_TOLERANCE = 1e-3  # of the sum of an object's probabilities


class OwnClassifier:
    """Call a classifier of another package by the rules of `Classifier`; DataError where it breaks them."""

    def __init__(self, kind: str, inner: Any) -> None:
        self.kind, self.inner = kind, inner

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Classifier.classes`."""
        with self._errors():
            return tuple(str(name) for name in self.inner.classes)

    @property
    def n_features(self) -> int:
        """See `Classifier.n_features`."""
        with self._errors():
            return int(self.inner.n_features)

    def fit(
        self,
        rows: TrainingRows,
        held: TrainingRows | None = None,
        *,
        seed: int = 0,
        jobs: int = 1,
        progress: Progress = no_progress,
    ) -> Self:
        """See `Classifier.fit`."""
        with self._errors():
            self.inner = self.inner.fit(rows, held, seed=seed, jobs=jobs, progress=progress)
        expected = in_order(rows.labels.tolist())
        if self.classes != expected:
            raise DataError(
                f"classifier {self.kind!r} has the classes {list(self.classes)} after fit; it must have "
                f"{list(expected)}, those of the rows in this order"
            )
        return self

    def predict_proba(self, X: Float32Array, redshift: FloatArray | Float32Array | None = None) -> FloatArray:
        """See `Classifier.predict_proba`."""
        with self._errors():
            proba = np.asarray(self.inner.predict_proba(X, redshift=redshift), dtype=np.float64)
        shape = (len(X), len(self.classes))
        if proba.shape != shape:
            raise DataError(
                f"classifier {self.kind!r} gave probabilities of shape {proba.shape}; expected {shape}"
            )
        if not ((proba >= 0.0).all() and (np.abs(proba.sum(axis=1) - 1.0) <= _TOLERANCE).all()):
            fault = "negative, not finite, or do not sum to 1"
            raise DataError(f"classifier {self.kind!r} gave probabilities that are {fault}")
        return proba

    def save(self, folder: Path) -> None:
        """See `Classifier.save`."""
        with self._errors():
            self.inner.save(folder)

    def _errors(self) -> AbstractContextManager[None]:
        return errors_of(f"classifier {self.kind!r} fails")
