"""Predictions on disk: CSV, JSON lines and Parquet."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstlight._types import AnyArray
from firstlight.errors import DataError, MissingColumnError, SettingsError
from firstlight.files import replacing, write_csv
from firstlight.predictions.table import CLASSIFIED, PROBA, SEPARATOR, UNKNOWN, Predictions
from firstlight.taxonomy import CLASSES

T = TypeVar("T")


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


def write_predictions(
    predictions: Predictions, path: str | Path, more: Mapping[str, AnyArray] | None = None
) -> None:
    """Write predictions in the format of the suffix, as a whole or not at all.

    Parameters
    ----------
    predictions : Predictions
        The table.
    path : path
        ``.csv`` and ``.jsonl`` have six significant digits, ``.parquet`` all.
    more : mapping of str to array, shape (n_objects,), optional
        Columns to add at the end.

    Raises
    ------
    DataError
        If the suffix is unknown, or the file cannot be written.
    """
    path = Path(path)
    write = _choose(path, _WRITERS)
    with replacing(path) as partial:
        write(predictions.to_pandas().assign(**(more or {})), partial)


def read_predictions(path: str | Path) -> Predictions:
    """Read predictions, also of another classifier.

    Required are ``object_id`` and ``proba_<Class>`` columns whose rows sum to one. If all are of
    `taxonomy.CLASSES`, classes without a column get 0. Without ``status`` and ``class``
    every object counts as classified as its most probable class; other absent columns are
    NaN, 0 or empty.

    Parameters
    ----------
    path : path
        ``.csv``, ``.parquet`` or ``.jsonl``.

    Returns
    -------
    Predictions
        With the classes of the file, or `taxonomy.CLASSES` if these are all of them.

    Raises
    ------
    MissingColumnError
        If there is no ``object_id`` or no ``proba_`` column.
    DataError
        If the file is absent, damaged or of another suffix, or its values are not valid
        `Predictions`; the message names file and object.
    """
    path = Path(path)
    read = _choose(path, _READERS)
    if not path.exists():  # pyarrow's error only repeats the name
        raise DataError(f"cannot read predictions {path}: no such file")
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
    numbers = {name: ["", "nan", "NaN"] for name in ("anomaly", "n_obs", "phase", "set_size")}
    names = ("object_id", "status", "reason", "class", "label", "domain", "domain_reason", "set")
    texts = dict.fromkeys(names, str)
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
    given = [name.removeprefix(PROBA) for name in columns if name.startswith(PROBA)]
    if "object_id" not in columns or not given:
        missing = "object_id" if "object_id" not in columns else f"{PROBA}<Class>"
        raise MissingColumnError(f"column {missing} missing; predictions have object_id and {PROBA}<Class>")
    classes = CLASSES if set(given) <= set(CLASSES) else tuple(given)
    proba = np.zeros((len(table), len(classes)))
    for k, name in enumerate(classes):
        if name in given:
            proba[:, k] = _numbers(table, f"{PROBA}{name}", 0.0)
    if "class" not in columns and "label" in columns:
        table, columns = table.rename(columns={"label": "class"}), [*columns, "class"]
    status = _texts(table, "status", CLASSIFIED)
    best = np.array(classes)[proba.argmax(axis=1)] if len(table) else np.empty(0, "U1")
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
        domain=_texts(table, "domain", UNKNOWN),
        domain_reason=_texts(table, "domain_reason", ""),
        in_set=_read_sets(_texts(table, "set", ""), classes),
        classes=classes,
    )


def _read_sets(texts: NDArray[np.str_], classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Members of prediction sets, shape (n_objects, n_classes)."""
    place = {name: k for k, name in enumerate(classes)}
    in_set = np.zeros((len(texts), len(classes)), np.bool_)
    for i, text in enumerate(texts.tolist()):
        for name in text.split(SEPARATOR) if text else ():
            if name not in place:
                raise DataError(f"column 'set', row {i + 1}: {name!r} is none of the classes")
            in_set[i, place[name]] = True
    return in_set


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
