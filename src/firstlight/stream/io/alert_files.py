"""Files of alerts, record by record: Avro containers and JSON lines, without decoding them.

Readers hand out each record's bytes as they lie in the file and number them, so that a
reader can go on at any number. A container is split with the compiled decoder (nothing but
a walk over the bytes tells where a record of Avro ends) and a block at a time is in memory.
"""

import gzip
import io
import json
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any

from firstlight.errors import BrokerError, DataError
from firstlight.stream.avro.container import MAGIC, ContainerReader, IncompleteError
from firstlight.stream.io.message import Message
from firstlight.stream.io.tail import Tail, bad_record, file_record, rewind

__all__ = ["read_alerts"]

MAX_LINE_BYTES = 64 << 20
MAX_DOCUMENT_BYTES = 256 << 20
_START_BYTES = 4096
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)


def read_alerts(path: Path, skip: int = 0, tail: Tail | None = None) -> Iterator[Message | None]:
    """Read the records of one file from a number on.

    What the file is shows in its first bytes: an Avro container, a JSON array, JSON (an
    object a line, or one over many lines), each perhaps under gzip; anything else is taken
    as one message.

    Parameters
    ----------
    path : Path
        The file.
    skip : int
        Numbers to pass over; blocks of a container are passed over unread.
    tail : Tail, optional
        Whether the file may still grow; by default not.

    Yields
    ------
    Message or None
        A record; None where there is nothing more for now and the file is not complete.

    Raises
    ------
    BrokerError
        If the file cannot be read, or was replaced or cut while it was read.
    """
    tail = tail if tail is not None else Tail()
    while True:
        try:
            with path.open("rb") as raw:
                packed = raw.peek(2)[:2] == _GZIP_MAGIC
                file: Any = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if packed else raw
                for message in _records(file, path, skip, tail):
                    if message is not None:
                        skip = message.offset + 1
                    yield message
            return
        except _GZIP_ERRORS as error:
            if tail.complete:
                yield bad_record(max(skip, tail.n_records), tail, f"{path}: damaged gzip: {error}")
                return
            yield None  # still being written, perhaps: from the beginning of the stream again
        except BrokerError:
            raise
        except OSError as error:
            raise BrokerError(f"cannot read {path}: {error.strerror or error}") from error


def _records(file: Any, path: Path, skip: int, tail: Tail) -> Iterator[Message | None]:
    """Choose the reader by the first bytes, as soon as there are any."""
    while True:
        start = file.read(_START_BYTES)
        file.seek(0)
        if len(start) >= len(MAGIC) or tail.complete:
            break
        yield None
    first = start.lstrip()[:1]
    if start[:4] == MAGIC:
        yield from _container(file, path, skip, tail)
    elif first == b"[":
        yield from _array(file, path, skip, tail)
    elif first == b"{" and not _begins_document(start):
        yield from _lines(file, path, skip, tail)
    elif start.strip():
        yield from _whole(file, path, skip, tail)
    elif start:  # blank lines, then perhaps JSON
        yield from _lines(file, path, skip, tail)


def _container(file: IO[bytes], path: Path, skip: int, tail: Tail) -> Iterator[Message | None]:
    """Records of an Avro container.

    A block takes as many numbers as it claims records, also where it is damaged inside; a
    block whose frame is damaged takes one.
    """
    container, number = None, 0
    while True:
        try:
            container = container or ContainerReader(file)
            block = container.read_block(skip=skip - number, complete=tail.complete)
            if block is not None and number + block.count > skip:
                for i, record in enumerate(container.records(block)):
                    if number + i < skip:
                        continue
                    if isinstance(record, DataError):
                        yield file_record(number + i, b"", None, f"{path}: {record}")
                    else:
                        yield file_record(number + i, record, container.header.schema_text)
        except DataError as error:
            if tail.complete or not isinstance(error, IncompleteError):
                yield bad_record(number, tail, f"{path}: {error}")
                return
            block = None
        if block is not None:
            number += block.count
            tail.n_records = max(tail.n_records, number)
        elif tail.complete:
            return
        else:
            rewind(file, path, 0)
            yield None


def _begins_document(start: bytes) -> bool:
    """Whether a JSON object goes on beyond its first line."""
    line, newline, _ = start.lstrip().partition(b"\n")
    if not newline:
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        # an object over many lines has next to nothing on its first
        return len(line.strip()) < 2 or line.rstrip().endswith((b"{", b",", b"["))
    return False


def _lines(file: IO[bytes], path: Path, skip: int, tail: Tail) -> Iterator[Message | None]:
    number = 0
    while True:
        line = file.readline(MAX_LINE_BYTES)
        if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES and not tail.complete:
            rewind(file, path, len(line))
            yield None
            continue
        if not line:
            break
        too_long = len(line) == MAX_LINE_BYTES and not line.endswith(b"\n")
        if too_long:
            while (more := file.readline(MAX_LINE_BYTES)) and not more.endswith(b"\n"):
                pass
        if line.isspace():
            continue
        tail.n_records = number + 1
        if number >= skip:
            if too_long:
                yield bad_record(number, tail, f"{path}: line of more than {MAX_LINE_BYTES >> 20} MiB")
            else:
                yield file_record(number, line.rstrip(b"\r\n"))
        number += 1


def _array(file: IO[bytes], path: Path, skip: int, tail: Tail) -> Iterator[Message | None]:
    """Elements of a JSON array."""
    text = yield from _document(file, tail)
    if text is None:
        yield bad_record(
            0, tail, f"{path}: JSON array of more than {MAX_DOCUMENT_BYTES >> 20} MiB; write it as lines"
        )
        return
    try:
        elements = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield bad_record(0, tail, f"{path}: no JSON: {error}")
        return
    tail.n_records = len(elements)
    for number, element in enumerate(elements[skip:], skip):
        yield file_record(number, json.dumps(element, separators=(",", ":")).encode())


def _whole(file: IO[bytes], path: Path, skip: int, tail: Tail) -> Iterator[Message | None]:
    """The whole file as one message."""
    text = yield from _document(file, tail)
    tail.n_records = 1
    if skip:
        return
    if text is None:
        yield bad_record(0, tail, f"{path}: neither Avro nor JSON lines, and too large for one message")
    else:
        yield file_record(0, text)


def _document(file: IO[bytes], tail: Tail) -> Generator[None, None, bytes | None]:
    """Everything in the file, once it is complete; None if that is too much."""
    while not tail.complete:
        yield None
    text = file.read(MAX_DOCUMENT_BYTES + 1)
    return text if len(text) <= MAX_DOCUMENT_BYTES else None
