"""`TrainingRows`: the labelled rows that every classifier and the calibration learn from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray, StrArray
from firstlight.errors import DataError, LeakageError
from firstlight.taxonomy import GALACTIC, in_order


class CodedRows(NamedTuple):
    """Rows of some classes as boosters read them: values, class numbers from 0 and weights."""

    X: Float32Array
    code: IntArray
    weight: FloatArray


@dataclass(frozen=True, slots=True, eq=False, init=False)
class TrainingRows:
    """Labelled rows; several may be copies of one object.

    Parameters
    ----------
    X : float32 array, shape (n_rows, n_features)
        Rows; NaN where a feature is missing.
    labels : str array, shape (n_rows,)
        Class of each row.
    redshift : float array, shape (n_rows,), optional
        Host redshift in use; 0 states a Milky Way object, NaN (the default) unknown.
    weight : float array, shape (n_rows,), optional
        Weight of each row; 1 by default.
    object_id : array, shape (n_rows,), optional
        Object of each row. Without it every row counts as an object, and copies on both
        sides of a split cannot be detected.
    galactic : frozenset of str
        Classes in the Milky Way; by default those of our taxonomy.

    Raises
    ------
    DataError
        If lengths disagree, there are no rows, or a weight is negative or not finite.
    """

    X: Float32Array
    labels: StrArray
    redshift: FloatArray
    weight: FloatArray
    object_id: AnyArray | None
    galactic: frozenset[str]

    def __init__(
        self,
        X: ArrayLike,
        labels: ArrayLike,
        redshift: ArrayLike | None = None,
        weight: ArrayLike | None = None,
        object_id: ArrayLike | None = None,
        galactic: frozenset[str] = GALACTIC,
    ) -> None:
        X = check_rows(X)
        object.__setattr__(self, "galactic", galactic)
        columns: dict[str, AnyArray | None] = {
            "labels": np.asarray(labels, dtype=np.str_),
            "redshift": redshift_of(redshift, len(X)),
            "weight": np.ones(len(X)) if weight is None else np.asarray(weight, dtype=np.float64),
            "object_id": None if object_id is None else np.asarray(object_id),
        }
        for name, column in columns.items():
            if column is not None and column.shape != (len(X),):
                raise DataError(f"{name} of shape {column.shape} for {len(X)} rows; one per row is needed")
            object.__setattr__(self, name, column)
        object.__setattr__(self, "X", X)
        if not len(X):
            raise DataError("no rows to train on")
        if not (np.all(np.isfinite(self.weight) & (self.weight >= 0.0)) and self.weight.sum() > 0.0):
            raise DataError("weights must be finite, not negative and not all zero")

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.X)

    def take(self, index: IntArray | BoolArray) -> Self:
        """Rows at the given positions, or where a mask is true."""
        X, labels, redshift, weight, object_id = (
            None if column is None else column[index] for column in self._columns()
        )
        return type(self)(X, labels, redshift, weight, object_id, self.galactic)  # type: ignore[arg-type]

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Rows of several tables, one after the other."""
        joined = [
            None if any(column is None for column in columns) else np.concatenate(columns)
            for columns in zip(*(part._columns() for part in parts), strict=True)
        ]
        X, labels, redshift, weight, object_id = joined
        return cls(X, labels, redshift, weight, object_id, parts[0].galactic)  # type: ignore[arg-type]

    @property
    def owner(self) -> AnyArray:
        """Object of each row; the row's own number without `object_id`."""
        return np.arange(len(self)) if self.object_id is None else self.object_id

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all columns."""
        state = hashlib.sha256()
        for column in self._columns():
            if column is not None:
                is_text = column.dtype.kind == "U"
                state.update("\n".join(column.tolist()).encode() if is_text else column.tobytes())
        return state.hexdigest()

    def known(self, classes: Sequence[str]) -> Self | None:
        """Rows of the given classes; None if they have no weight."""
        keep = np.isin(self.labels, list(classes))
        return self.take(keep) if self.weight[keep].sum() > 0.0 else None

    def coded(self, classes: Sequence[str]) -> CodedRows:
        """Rows of the given classes with their class numbers."""
        keep = np.isin(self.labels, list(classes))
        number = {name: k for k, name in enumerate(classes)}
        code = np.array([number[name] for name in self.labels[keep].tolist()], dtype=np.int64)
        return CodedRows(self.X[keep], code, self.weight[keep])

    def _columns(self) -> tuple[AnyArray | None, ...]:
        return self.X, self.labels, self.redshift, self.weight, self.object_id


def check_split(rows: TrainingRows, held: TrainingRows | None) -> tuple[str, ...]:
    """Classes of the training rows in taxonomy order; checks that `rows` and `held` fit together.

    Raises DataError for fewer than two classes or rows of two widths, LeakageError if an
    object is in both.
    """
    classes, _ = encode_labels(rows.labels)
    if len(classes) < 2:
        raise DataError(f"training rows are all {classes[0]!r}; a classifier needs two classes or more")
    if held is None:
        return classes
    if held.X.shape[1] != rows.X.shape[1]:
        raise DataError(f"held-out rows have {held.X.shape[1]} features, training rows {rows.X.shape[1]}")
    if rows.object_id is not None and held.object_id is not None:
        both = np.intersect1d(rows.object_id, held.object_id)
        if len(both):
            raise LeakageError(
                f"{len(both)} object(s) are both trained on and held out, such as {both[0]!s}; "
                "split by object before making copies"
            )
    return classes


def coded_split(
    rows: TrainingRows, held: TrainingRows | None
) -> tuple[tuple[str, ...], CodedRows, CodedRows | None]:
    """Classes, coded training rows, and coded held-out rows of these classes; see `check_split`."""
    classes = check_split(rows, held)
    known = None if held is None else held.known(classes)
    return classes, rows.coded(classes), None if known is None else known.coded(classes)


def encode_labels(labels: StrArray) -> tuple[tuple[str, ...], IntArray]:
    """Classes present, in taxonomy order, and each row's position among them."""
    present, code = np.unique(np.asarray(labels), return_inverse=True)
    classes = in_order(present.tolist())
    place = np.array([classes.index(name) for name in present.tolist()], dtype=np.int64)
    return classes, place[code]


def check_rows(X: ArrayLike, n_features: int | None = None) -> Float32Array:
    """Rows as a contiguous float32 matrix; DataError if the width is not `n_features`."""
    matrix: Float32Array = np.ascontiguousarray(X, dtype=np.float32)
    if matrix.ndim != 2:
        raise DataError(f"rows must form a matrix (n_rows, n_features); got shape {matrix.shape}")
    if n_features is not None and matrix.shape[1] != n_features:
        raise DataError(f"rows have {matrix.shape[1]} features; this classifier was trained on {n_features}")
    return matrix


def redshift_of(redshift: ArrayLike | None, n_rows: int) -> FloatArray:
    """Redshift of each row as float64; NaN where none is given."""
    if redshift is None:
        return np.full(n_rows, np.nan)
    values: FloatArray = np.asarray(redshift, dtype=np.float64)
    if values.shape != (n_rows,):
        raise DataError(f"redshift of shape {values.shape} for {n_rows} rows; one per row is needed")
    return values
