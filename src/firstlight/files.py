"""Files that are whole or absent, results kept with the identity that made them, and source digests."""

import csv
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstlight.errors import DataError, FirstlightError

if TYPE_CHECKING:
    import pandas as pd

GZIP_MAGIC = b"\x1f\x8b"  # first bytes of a gzip file (RFC 1952)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block ends without an error.

    Parameters
    ----------
    path : path
        The file to write; its folder is made if it does not exist.

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
    except FirstlightError:  # some of ours are OSErrors too, with a better message
        raise
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # usually it has become the file
            partial.unlink()


def write_csv(table: "pd.DataFrame", path: Path, float_format: str) -> None:
    """Write a table as CSV, lines ending in a newline, so that each text is read back as it was.

    A text with a carriage return would end its line for some readers: then all texts are quoted.
    """
    texts = (table[name] for name in table.columns if table[name].dtype.kind not in "biuf")
    odd = any(isinstance(value, str) and "\r" in value for column in texts for value in column)
    quoting = csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL
    table.to_csv(path, index=False, float_format=float_format, lineterminator="\n", quoting=quoting)


def kept(path: str | Path, identity: str) -> Mapping[str, Any] | None:
    """Result that `keep` wrote to a file, or None if there is none of this identity.

    Parameters
    ----------
    path : path
        A JSON file.
    identity : str
        Digest of everything that the result depends on.

    Returns
    -------
    mapping or None
        The result; None also for a damaged file, whose result is then computed again.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("identity") != identity:
        return None
    result = content.get("result")
    return result if isinstance(result, dict) else None


def keep(path: str | Path, identity: str, result: Mapping[str, Any]) -> None:
    """Write a JSON result with the identity that made it, whole or not at all; see `kept`.

    Files that belong to the result must be complete before this call.
    """
    with replacing(path) as partial:
        text = json.dumps({"identity": identity, "result": result}, indent=1)
        partial.write_text(text + "\n", encoding="utf-8")


def source_digest(rooms: Iterable[str]) -> str:
    """SHA-256 of the source of some modules and sub-packages of firstlight, such as ``"encoder"``.

    Raises DataError if a room is neither.
    """
    return _digest(tuple(sorted(rooms)))


@cache
def _digest(rooms: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for room in rooms:
        paths = sorted((package / room).rglob("*.py")) or [package / f"{room}.py"]
        for path in paths:
            if not path.is_file():
                raise DataError(f"{room}: no module and no sub-package of firstlight")
            digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
