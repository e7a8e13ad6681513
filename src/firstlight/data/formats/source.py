"""`Source`: the columns of one file, whatever its container, read by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from firstlight._types import IntArray
from firstlight.data.delimited import Kind

#: Values of the named columns, and the line or row of each.
Read = Callable[[Mapping[str, Kind]], tuple[dict[str, Any], IntArray]]


@dataclass(frozen=True, slots=True)
class Source:
    """One file as a table of observations."""

    path: Path
    container: str  # for the user: "CSV"
    names: tuple[str, ...]  # of its columns
    read: Read
    objects: Mapping[str, Any] = field(default_factory=dict)  # object_id and values by object
    meta: Mapping[str, Any] = field(default_factory=dict)  # values stated once for the file
    one_object: str = ""  # name of the object if the file holds one and names it nowhere else

    @property
    def folded(self) -> dict[str, str]:
        """The file's names by their spelling in lower case, without a broker's prefix such as ``i:``."""
        return {plain_name(name): name for name in reversed(self.names)}


def plain_name(name: str) -> str:
    """A column name in lower case, without blanks, and without Fink's ``i:``, ``d:``, ``r:`` or ``f:``."""
    name = name.strip().lower()
    return name[2:] if name[:2] in ("i:", "d:", "r:", "f:") else name


def source_of_columns(
    path: Path, container: str, columns: Mapping[str, Any], place: IntArray | None = None, **more: Any
) -> Source:
    """A source whose columns are in memory."""
    length = len(next(iter(columns.values()))) if columns else 0
    rows = np.arange(length, dtype=np.int64) if place is None else place

    def read(wanted: Mapping[str, Kind]) -> tuple[dict[str, Any], IntArray]:
        return {name: columns[name] for name in wanted}, rows

    return Source(path, container, tuple(columns), read, **more)


def columns_of_records(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of a list of dicts; a key that a record lacks is missing there."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: column_of([record.get(name) for record in records]) for name in names}


def column_of(values: Sequence[Any]) -> Any:
    """An Arrow array of Python values; texts where their types are mixed, null where they are containers."""
    flat = [None if isinstance(value, list | dict) else value for value in values]
    try:
        return pa.array(flat, from_pandas=True)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in flat], pa.string())
