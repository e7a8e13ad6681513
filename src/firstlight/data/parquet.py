"""Parquet files: whole tables, bounded before they are read; faults become DataError."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from firstlight.data.delimited import GROWTH_FROM, MOST_GROWTH
from firstlight.errors import DataError

PARQUET_MAGIC = b"PAR1"
#: Errors of a file that is damaged or cannot be opened; names of columns are decoded in Python.
PARQUET_FAULTS = (pa.ArrowException, OSError, UnicodeDecodeError)
#: Bytes of a value in memory, by Parquet's type; the others have 8.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4}


@contextmanager
def parquet_errors(path: Path, hint: str = "fetch or write it again") -> Iterator[None]:
    """Turn errors of Arrow and of the file system into DataError with the file and a hint."""
    try:
        yield
    except PARQUET_FAULTS as error:
        detail = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as Parquet ({detail}); {hint}") from error


@contextmanager
def open_parquet(path: Path, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """The Parquet file, memory-mapped; DataError if it is damaged, or `columns` would fill the memory."""
    with parquet_errors(path), pq.ParquetFile(path, memory_map=True) as file:
        _bound(file, path, columns)
        yield file


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The named columns of a Parquet file, by default all; DataError as for `open_parquet`."""
    with open_parquet(path, columns) as file:
        return file.read(columns=None if columns is None else list(columns))


def parse_parquet(data: bytes, path: Path, choose: Callable[[list[str]], list[str]]) -> pa.Table:
    """The chosen columns of a Parquet file whose bytes were read already; DataError as for `open_parquet`."""
    with parquet_errors(path, "write it again"), pq.ParquetFile(pa.BufferReader(data)) as file:
        columns = choose(file.schema_arrow.names)
        _bound(file, path, columns)
        return file.read(columns=columns)


def _bound(file: Any, path: Path, columns: Sequence[str] | None) -> None:
    """Raise DataError if the columns grow as no table does, by the sizes that the file states."""
    total = 0
    for group in (file.metadata.row_group(k) for k in range(file.metadata.num_row_groups)):
        for column in (group.column(k) for k in range(group.num_columns)):
            name = column.path_in_schema
            if columns is None or any(name == one or name.startswith(f"{one}.") for one in columns):
                total += max(
                    column.total_uncompressed_size, column.num_values * _WIDTHS.get(column.physical_type, 8)
                )
    if total > GROWTH_FROM and total > MOST_GROWTH * path.stat().st_size:
        raise DataError(
            f"{path}: its columns grow more than {MOST_GROWTH}-fold, to {total / 1e9:,.1f} GB, as no table "
            "does; write the rows of use to another file if you trust it"
        )
