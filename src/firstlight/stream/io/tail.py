"""Reading a file that may still grow."""

import gzip
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from firstlight.errors import BrokerError
from firstlight.stream.io.message import FILE_TOPIC, Message

__all__ = ["Tail", "bad_record", "file_record", "rewind"]


@dataclass(slots=True)
class Tail:
    """State of the end of a file that is being read.

    Attributes
    ----------
    complete : bool
        Whether the file has its final length. Until then the reader waits for the rest of a
        record that is cut short; afterwards such a record is damage.
    n_records : int
        Record numbers used so far; all of them once the file was read to its end.
    """

    complete: bool = True
    n_records: int = 0


def file_record(number: int, value: bytes, key: bytes | None = None, error: str = "") -> Message:
    """A record of a file as a message; `number` counts the file's records from 0."""
    return Message(value, key, FILE_TOPIC, 0, number, None, error)


def bad_record(number: int, tail: Tail, error: str) -> Message:
    """A record that could not be read; its number counts as used."""
    tail.n_records = max(tail.n_records, number + 1)
    return file_record(number, b"", error=error)


def rewind(file: IO[bytes], path: Path, unfinished: int) -> None:
    """Go back by the bytes of an unfinished record at the end, to read it again later.

    Raises
    ------
    BrokerError
        If the file was replaced or cut, so that positions in it are no longer valid.
    EOFError
        If the file is gzip, which cannot be resumed at its end.
    """
    at = file.tell()
    if not isinstance(file, io.BufferedReader) or isinstance(file.raw, gzip.GzipFile):
        raise EOFError("the file is not complete")
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
            f"{path} was replaced while it was read, so positions in it are no longer valid; "
            "write new alerts to the end of it, or to new files of a folder"
        )
    file.seek(at - unfinished)
