"""Records of a file that may still grow, as its readers hand them out."""

import gzip
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from firstlight.errors import BrokerError

__all__ = ["Tail", "Taken", "bad_record", "look_again"]


@dataclass(frozen=True, slots=True)
class Taken:
    """One record of a file.

    Attributes
    ----------
    number : int
        Its number in the file, from 0. A damaged record takes the rest of its block with
        it, whose numbers are left out.
    value : bytes
        The record; empty where it could not be read.
    key : bytes, optional
        JSON of the schema where the record is schemaless Avro, one object for all.
    error : str
        Why it could not be read; empty where it could.
    """

    number: int
    value: bytes
    key: bytes | None = None
    error: str = ""


@dataclass(slots=True)
class Tail:
    """What is known about the end of a file that is being read.

    Attributes
    ----------
    complete : bool
        Whether nothing more will be written to it. Until then a record that is cut short
        at the end is waited for; afterwards it is damage.
    numbers : int
        How many numbers the file has taken so far; all of them, once it was read to its end.
    """

    complete: bool = True
    numbers: int = 0


def look_again(file: IO[bytes], path: Path, unfinished: int) -> None:
    """Go back before an unfinished piece, so that it is read again when there is more.

    Parameters
    ----------
    file : binary file
        Read to its present end.
    path : Path
        Its name.
    unfinished : int
        Bytes at its end that are to be read again.

    Raises
    ------
    BrokerError
        If the file was replaced or cut, so that positions in it mean nothing any more.
    EOFError
        If it is gzip, which cannot go on from its end.
    """
    at = file.tell()
    if not isinstance(file, io.BufferedReader) or not _is_plain(file):
        raise EOFError("the file is not complete")  # gzip cannot go on from its end
    if os.fstat(file.fileno()).st_size < at:
        raise BrokerError(
            f"{path} was cut while it was read; start again without it, or with its new content"
        )
    try:
        replaced = os.stat(path).st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        replaced = True
    if replaced:
        raise BrokerError(
            f"{path} was replaced while it was read, so positions in it mean nothing any more; "
            "write new alerts to the end of it, or to new files of a folder"
        )
    file.seek(at - unfinished)


def _is_plain(file: io.BufferedReader) -> bool:
    return not isinstance(file.raw, gzip.GzipFile)


def bad_record(number: int, tail: Tail, error: str) -> Taken:
    """A record that could not be read, and why."""
    tail.numbers = max(tail.numbers, number + 1)
    return Taken(number, b"", None, error)
