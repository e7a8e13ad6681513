"""`Predictions`: status, class, probabilities and anomaly score of many objects, in memory and on disk.

The columns on disk are ``object_id``, ``status``, ``reason``, ``class``, one
``proba_<Class>`` for every class, ``anomaly``, ``n_obs`` and ``phase``. CSV and JSON
lines have six significant digits, Parquet is exact.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from firstlight._types import AnyArray, FloatArray, StrArray
from firstlight.errors import DataError, MissingColumnError, SettingsError, UnknownClassError
from firstlight.files import replacing, write_csv
from firstlight.notebook import (
    LONGEST,
    MOST_COMPLETIONS,
    N_ROWS,
    Html,
    drawing,
    html_bar,
    html_line,
    html_panel,
    html_table,
    number,
    text_table,
)
from firstlight.taxonomy import CLASSES, COARSE, COARSE_GROUPS
from firstlight.text import printable, some_of

CLASSIFIED = "classified"
NOT_CLASSIFIED = "not_classified"

SUM_TOLERANCE = 1e-3  # six digits are good to 1e-5; a missing column is not
_PROBA = "proba_"

_COLUMNS: dict[str, Any] = {
    "object_id": np.str_,
    "status": np.str_,
    "reason": np.str_,
    "label": np.str_,
    "proba": np.float64,
    "anomaly": np.float64,
    "n_obs": np.int64,
    "phase": np.float64,
}

T = TypeVar("T")


class Scores(NamedTuple):
    """Calibrated probabilities of all classes, shape (n_objects, 17), and anomaly scores in [0, 1]."""

    proba: FloatArray
    anomaly: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """One row per object. Arrays are stored as read-only views.

    Parameters
    ----------
    object_id : str array, shape (n_objects,)
        Unique names.
    status : str array, shape (n_objects,)
        ``classified`` or ``not_classified``.
    reason : str array, shape (n_objects,)
        Why an object was not classified; empty for those that were.
    label : str array, shape (n_objects,)
        The most probable class; empty where not classified.
    proba : float64 array, shape (n_objects, n_classes)
        Calibrated probabilities; the prior where not classified.
    anomaly : float64 array, shape (n_objects,)
        0 to 1, higher is more unusual; NaN where it was not computed.
    n_obs : int64 array, shape (n_objects,)
        Number of observations used.
    phase : float64 array, shape (n_objects,)
        Days from the trigger to the last observation used; NaN without a trigger.
    classes : tuple of str
        Names of the columns of `proba`.

    Raises
    ------
    DataError
        If shapes disagree, a name repeats, a status is unknown, a label is not among
        `classes`, or a row of `proba` is not a probability distribution.
    """

    object_id: NDArray[np.str_]
    status: NDArray[np.str_]
    reason: NDArray[np.str_]
    label: NDArray[np.str_]
    proba: NDArray[np.float64]
    anomaly: NDArray[np.float64]
    n_obs: NDArray[np.int64]
    phase: NDArray[np.float64]
    classes: tuple[str, ...] = CLASSES

    def __post_init__(self) -> None:
        for name, dtype in _COLUMNS.items():
            view = np.asarray(getattr(self, name), dtype).view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)
        _check(self)

    @classmethod
    def of(
        cls,
        scores: Scores,
        status: StrArray,
        reason: StrArray,
        prior: FloatArray,
        *,
        object_id: StrArray,
        n_obs: AnyArray,
        phase: FloatArray,
        check: bool = True,
    ) -> Self:
        """Predictions of scored objects; one that is not classified gets the prior, no label and no score.

        Parameters
        ----------
        scores : Scores
            Probabilities and anomaly score of every object; not read where not classified.
        status, reason : str array, shape (n_objects,)
            As in `Predictions`.
        prior : float64 array, shape (n_classes,)
            Class frequencies of training.
        object_id, n_obs, phase : array, shape (n_objects,)
            As in `Predictions`.
        check : bool
            Whether to check the result. Checking a row costs more than classifying it does
            in a stream.
        """
        unsure = status != CLASSIFIED
        proba = np.where(unsure[:, None], prior, scores.proba)
        made = cls if check else cls.trusted
        return made(
            object_id=object_id,
            status=status,
            reason=reason,
            label=np.where(unsure, "", np.array(CLASSES)[proba.argmax(axis=1)]),
            proba=proba,
            anomaly=np.where(unsure, np.nan, scores.anomaly),
            n_obs=n_obs,
            phase=phase,
        )

    @classmethod
    def trusted(cls, **columns: NDArray[Any]) -> Self:
        """Predictions of arrays of the right types, without any check."""
        new = object.__new__(cls)
        for name in _COLUMNS:
            view = columns[name].view()
            view.setflags(write=False)
            object.__setattr__(new, name, view)
        object.__setattr__(new, "classes", CLASSES)
        return new

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.object_id)

    def __repr__(self) -> str:
        """Numbers of objects per status and class, and the first rows."""
        title, counts = _title(self)
        return "\n".join([title, f"  {counts}", text_table(_SHOWN, _first_rows(self), len(self) - N_ROWS)])

    def _repr_html_(self) -> str:
        """`repr` for notebooks, with bars of the largest probabilities."""
        title, counts = _title(self)
        bars = [Html("".join(_bars(self, i))) for i in range(min(N_ROWS, len(self)))]
        rows = [[*row, bar] for row, bar in zip(_first_rows(self), bars, strict=True)]
        table = html_table((*_SHOWN, "probabilities"), rows, len(self) - N_ROWS)
        return html_panel(title, html_line(counts), table)

    def __getitem__(self, index: int | str | slice) -> Self:
        """Predictions of one object by name or position, or of several by a slice of positions.

        Raises DataError if no object has the name.
        """
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        if not isinstance(index, str):
            return self.take([range(len(self))[index]])
        where = np.flatnonzero(self.object_id == index)
        if not len(where):
            raise DataError(
                f"no object {index!r} among {len(self)} predictions: {some_of(self.object_id.tolist())}"
            )
        return self.take(where)

    def __contains__(self, object_id: object) -> bool:
        """Whether there is an object of that name."""
        return isinstance(object_id, str) and bool((self.object_id == object_id).any())

    def _ipython_key_completions_(self) -> list[str]:
        return self.object_id[:MOST_COMPLETIONS].tolist()

    @property
    def is_classified(self) -> NDArray[np.bool_]:
        """Whether each object was classified, shape (n_objects,)."""
        return np.asarray(self.status == CLASSIFIED)

    @property
    def coarse(self) -> FloatArray:
        """Probabilities of the groups `taxonomy.COARSE_GROUPS`, shape (n_objects, n_groups).

        That of a group is the sum over its classes.
        """
        group_of = np.array([COARSE[name] for name in self.classes])
        return np.stack([self.proba[:, group_of == group].sum(axis=1) for group in COARSE_GROUPS], axis=1)

    @property
    def coarse_label(self) -> StrArray:
        """The most probable group of each object; empty where not classified, shape (n_objects,)."""
        best = np.array(COARSE_GROUPS)[self.coarse.argmax(axis=1)]
        return np.where(self.is_classified, best, "")

    def take(self, index: ArrayLike) -> Self:
        """Objects at the given positions, in that order, or those where a mask is true."""
        index = np.asarray(index)
        index = index if index.dtype == np.bool_ else index.astype(np.int64)
        values = {name: getattr(self, name)[index] for name in _COLUMNS}
        return type(self)(**values, classes=self.classes)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join predictions of different objects.

        Raises
        ------
        DataError
            If there are no parts, their classes differ, or an object is in two of them.
        """
        if len({part.classes for part in parts}) != 1:
            raise DataError("predictions to join must be at least one and have the same classes")
        values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
        return cls(**values, classes=parts[0].classes)

    def to_pandas(self) -> pd.DataFrame:
        """The table as it is on disk, at full precision.

        Examples
        --------
        >>> from firstlight import LightCurves, Pipeline
        >>> nothing = Pipeline.load("fast").predict(LightCurves.empty())
        >>> list(nothing.to_pandas().columns[:5])
        ['object_id', 'status', 'reason', 'class', 'proba_AGN']
        """
        columns = self._columns()
        texts = {name: values.astype(object) for name, values in columns.items() if values.dtype.kind == "U"}
        return pd.DataFrame(columns | texts)

    def to_astropy(self) -> Any:
        """The table of `to_pandas` as an astropy ``Table``, with phases in days."""
        from astropy.table import Table

        return Table(self._columns(), units={"phase": "d"})

    def plot(self) -> Any:
        """Draw the probabilities of one object, or the number of objects per class of several.

        Returns
        -------
        matplotlib.figure.Figure
            It has ``savefig``; a notebook shows it.
        """
        return drawing("predictions", "plot_predictions")(self)

    def _columns(self) -> dict[str, AnyArray]:
        """Columns of the table as it is on disk."""
        columns: dict[str, AnyArray] = {
            "object_id": self.object_id,
            "status": self.status,
            "reason": self.reason,
            "class": self.label,
        }
        columns |= {f"{_PROBA}{name}": self.proba[:, k] for k, name in enumerate(self.classes)}
        return columns | {"anomaly": self.anomaly, "n_obs": self.n_obs, "phase": self.phase}


# --- repr -----------------------------------------------------------------------

_SHOWN = ("object_id", "class", "probability", "status", "phase")
_N_BARS = 3  # of an object


def _title(table: Predictions) -> tuple[str, str]:
    """Numbers of objects per status, and per class."""
    n_classified = int(table.is_classified.sum())
    title = f"Predictions: {len(table):,} object{'' if len(table) == 1 else 's'}"
    title += f", {n_classified:,} classified, {len(table) - n_classified:,} not classified"
    names, counts = np.unique(table.label[table.label != ""], return_counts=True)
    shown = [f"{names[k]} {counts[k]:,}" for k in np.argsort(-counts, kind="stable")]
    return title, f"classes: {', '.join(shown) or 'none'}"


def _first_rows(table: Predictions) -> list[list[str]]:
    """Cells of the first objects; the probability is that of the class."""
    rows = []
    for i in range(min(N_ROWS, len(table))):
        label = str(table.label[i])
        proba = table.proba[i, table.classes.index(label)] if label else np.nan
        cells = [
            printable(str(table.object_id[i]), LONGEST),
            label or "-",
            number(proba, ".3f"),
            str(table.status[i]),
        ]
        rows.append([*cells, number(table.phase[i], ".1f")])
    return rows


def _bars(table: Predictions, index: int) -> list[Html]:
    """Bars of the largest probabilities of one object."""
    proba = table.proba[index]
    largest = np.argsort(-proba, kind="stable")[:_N_BARS]
    return [html_bar(table.classes[k], float(proba[k])) for k in largest if proba[k] > 0]


# --- files ----------------------------------------------------------------------


def check_output(path: str | Path) -> None:
    """Refuse a file name that `write_predictions` would refuse, before any work is done.

    Raises
    ------
    SettingsError
        If the suffix is not ``.csv``, ``.parquet`` or ``.jsonl``.
    DataError
        If a folder or a file is in the way.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise SettingsError(f"{path}: predictions are {', '.join(_WRITERS)}; choose one of these suffixes")
    if path.is_dir() or (path.parent.exists() and not path.parent.is_dir()):
        raise DataError(f"cannot write {path}: a folder or a file is in the way; choose another name")


def write_predictions(predictions: Predictions, path: str | Path) -> None:
    """Write predictions in the format of the suffix, as a whole or not at all.

    Parameters
    ----------
    predictions : Predictions
        The table.
    path : path
        ``.csv`` and ``.jsonl`` have six significant digits, ``.parquet`` all.

    Raises
    ------
    DataError
        If the suffix is unknown, or the file cannot be written.
    """
    path = Path(path)
    write = _choose(path, _WRITERS)
    with replacing(path) as partial:
        write(predictions.to_pandas(), partial)


def read_predictions(path: str | Path) -> Predictions:
    """Read predictions, also of another classifier.

    Required are ``object_id`` and ``proba_<Class>`` columns for some of `taxonomy.CLASSES`
    whose rows sum to one; classes without a column get 0. Without ``status`` and ``class``
    every object counts as classified as its most probable class; other absent columns are
    NaN, 0 or empty.

    Parameters
    ----------
    path : path
        ``.csv``, ``.parquet`` or ``.jsonl``.

    Returns
    -------
    Predictions
        With `taxonomy.CLASSES` as columns.

    Raises
    ------
    MissingColumnError
        If there is no ``object_id`` or no ``proba_`` column.
    UnknownClassError
        If a ``proba_`` column is not of a class of the taxonomy.
    DataError
        If the file is absent, damaged or of another suffix, or its values are not valid
        `Predictions`; the message names file and object.
    """
    path = Path(path)
    read = _choose(path, _READERS)
    try:
        table = read(path)
    except (OSError, ValueError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"cannot read predictions {path}: {reason}") from error
    try:
        return _from_pandas(table)
    except DataError as error:
        raise type(error)(f"{path}: {error}") from error


# --- formats --------------------------------------------------------------------


def _write_jsonl(table: pd.DataFrame, path: Path) -> None:
    names = list(table.columns)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for row in zip(*(table[name].tolist() for name in names), strict=True):
            values = {name: _six_digits(value) for name, value in zip(names, row, strict=True)}
            file.write(json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n")


def _six_digits(value: Any) -> Any:
    """Floats with six digits; NaN, which JSON lacks, as null."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _read_csv(path: Path) -> pd.DataFrame:
    # A class, a reason or a name may be "NA" or "007"; only numbers may be missing.
    numbers = {name: ["", "nan", "NaN"] for name in ("anomaly", "n_obs", "phase")}
    texts = dict.fromkeys(("object_id", "status", "reason", "class"), str)
    return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=numbers)


def _read_jsonl(path: Path) -> pd.DataFrame:
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not a JSON object")
            rows.append(row)
    return pd.DataFrame(rows)


_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".csv": lambda table, path: write_csv(table, path, "%.6g"),
    ".parquet": lambda table, path: table.to_parquet(path, index=False, compression="zstd"),
    ".jsonl": _write_jsonl,
}
_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".parquet": pd.read_parquet,
    ".jsonl": _read_jsonl,
}


def _choose(path: Path, by_suffix: dict[str, T]) -> T:
    try:
        return by_suffix[path.suffix.lower()]
    except KeyError:
        raise DataError(
            f"{path}: predictions are {', '.join(by_suffix)}; choose one of these suffixes"
        ) from None


def _from_pandas(table: pd.DataFrame) -> Predictions:
    columns = [str(name) for name in table.columns]
    given = [name.removeprefix(_PROBA) for name in columns if name.startswith(_PROBA)]
    if "object_id" not in columns or not given:
        missing = "object_id" if "object_id" not in columns else f"{_PROBA}<Class>"
        raise MissingColumnError(f"column {missing} missing; predictions have object_id and {_PROBA}<Class>")
    unknown = sorted(set(given) - set(CLASSES))
    if unknown:
        raise UnknownClassError(f"column(s) for unknown class(es) {unknown}; known: {', '.join(CLASSES)}")
    proba = np.zeros((len(table), len(CLASSES)))
    for k, name in enumerate(CLASSES):
        if name in given:
            proba[:, k] = _numbers(table, f"{_PROBA}{name}", 0.0)
    status = _texts(table, "status", CLASSIFIED)
    best = np.array(CLASSES)[proba.argmax(axis=1)] if len(table) else np.empty(0, "U1")
    label = _texts(table, "class", "") if "class" in columns else np.where(status == CLASSIFIED, best, "")
    return Predictions(
        object_id=_texts(table, "object_id", ""),
        status=status,
        reason=_texts(table, "reason", ""),
        label=label,
        proba=proba,
        anomaly=_numbers(table, "anomaly", np.nan),
        n_obs=np.nan_to_num(_numbers(table, "n_obs", 0.0)).astype(np.int64),
        phase=_numbers(table, "phase", np.nan),
    )


def _texts(table: pd.DataFrame, name: str, default: str) -> NDArray[np.str_]:
    if name not in table.columns:
        return np.full(len(table), default)
    return np.array(["" if pd.isna(value) else str(value) for value in table[name].tolist()], dtype=np.str_)


def _numbers(table: pd.DataFrame, name: str, default: float) -> NDArray[np.float64]:
    if name not in table.columns:
        return np.full(len(table), default)
    try:
        return np.asarray(table[name].astype(np.float64).to_numpy())
    except (TypeError, ValueError) as error:
        raise DataError(f"column {name!r} has a value that is not a number: {error}") from error


def _check(table: Predictions) -> None:
    n_objects = len(table.object_id)
    for name in _COLUMNS:
        shape = (n_objects, len(table.classes)) if name == "proba" else (n_objects,)
        found = getattr(table, name).shape
        if found != shape:
            raise DataError(f"column {name!r} has shape {found}, expected {shape}")
    names, counts = np.unique(table.object_id, return_counts=True)
    if len(names) != n_objects:
        raise DataError(
            f"object {str(names[counts > 1][0])!r} is predicted {counts.max()} times; it must be once"
        )
    with np.errstate(invalid="ignore"):
        uneven = ~(np.abs(table.proba.sum(axis=1) - 1.0) <= SUM_TOLERANCE) | ~(table.proba >= 0.0).all(axis=1)
    problems = (
        (
            "status is neither classified nor not_classified",
            ~np.isin(table.status, (CLASSIFIED, NOT_CLASSIFIED)),
        ),
        ("probabilities are negative, not finite, or do not sum to 1", uneven),
        ("class is not one of the columns", (table.label != "") & ~np.isin(table.label, table.classes)),
    )
    for text, bad in problems:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"object {str(table.object_id[row])!r}: {text} ({int(bad.sum())} such object(s) in all)"
            )
