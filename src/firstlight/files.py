"""Whole files or none: what a reader finds is complete, whenever the writer stopped."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from firstlight.errors import DataError, FirstlightError

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that takes the place of `path` when the block ends well.

    Parameters
    ----------
    path : path
        The file to write; its folder is made if need be.

    Yields
    ------
    pathlib.Path
        A name in the same folder, to be written and closed inside the block.

    Raises
    ------
    DataError
        If the folder or the file cannot be written. An older file stays as it was.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # the name must not reach the disk before the bytes do
        finally:
            os.close(descriptor)
        os.replace(partial, path)
    except FirstlightError:  # some of ours are OSErrors too, and say more
        raise
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # most often it has become the file
            partial.unlink()
