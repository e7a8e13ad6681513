"""Whole files or none: what a reader finds is complete, whenever the writer stopped."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firstlight.errors import DataError

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that takes the place of `path` once the block has ended well.

    Parameters
    ----------
    path : path
        The file to write; its folder is made.

    Yields
    ------
    pathlib.Path
        A name in the same folder, to be written and closed within the block.

    Raises
    ------
    DataError
        If the folder cannot be made or written to. An older file is left as it was.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
