"""Parquet files, whose faults become DataError."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from firstlight.errors import DataError

PARQUET_MAGIC = b"PAR1"
#: Errors of a file that is damaged or cannot be opened; names of columns are decoded in Python.
PARQUET_FAULTS = (pa.ArrowException, OSError, UnicodeDecodeError)


@contextmanager
def parquet_errors(path: Path, hint: str = "fetch or write it again") -> Iterator[None]:
    """Turn errors of Arrow and of the file system into DataError with the file and a hint."""
    try:
        yield
    except PARQUET_FAULTS as error:
        detail = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as Parquet ({detail}); {hint}") from error
