"""Alerts from files, folders and standard input, record by record and without decoding them."""

import gzip
import io
import json
import os
import select
import sys
import time
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from firstlight.errors import BrokerError, DataError
from firstlight.files import GZIP_MAGIC
from firstlight.stream.avro.container import MAGIC, ContainerReader, IncompleteError
from firstlight.stream.io.message import FILE_TOPIC, Message, Partition
from firstlight.stream.io.sources import POLL_PAUSE_S, PartitionCall

PIPE_TOPIC = "pipe"
MAX_LINE_BYTES = 64 << 20
MAX_DOCUMENT_BYTES = 256 << 20
_START_BYTES = 4096
_PIPE_READ_BYTES = 1 << 20
_GZIP_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(slots=True)
class Tail:
    """State of the end of a file that is being read."""

    complete: bool = True  # whether a record that is cut short is damage, not still being written
    n_records: int = 0  # record numbers used so far


class FileSource:
    """Alerts of one file: Avro container, JSON lines or a JSON array, each optionally gzipped.

    Offsets are record numbers from 0. A record of a container has the JSON of its schema as the key.
    With `follow` the source waits for more at the end. DataError if there is no such file.
    """

    def __init__(self, path: Path, *, follow: bool = False) -> None:
        self.path = Path(path)
        self.follow = follow
        self.on_assign: PartitionCall | None = None
        self.on_revoke: PartitionCall | None = None
        self._assigned = self._ended = False
        self._files = self._list()
        self._bases = [0]  # number of records before each file, as far as it is known
        self._next = 0  # next offset to return
        self._tail = Tail()
        self._reader: Iterator[Message | None] | None = None

    @property
    def exhausted(self) -> bool:
        """See `AlertSource`."""
        return self._ended

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """See `AlertSource`; BrokerError if a file cannot be read or was replaced or cut."""
        if not self._assigned:
            self._assigned = True
            if self.on_assign is not None:
                self.on_assign([(FILE_TOPIC, 0)])
        deadline = time.monotonic() + timeout_s
        found: list[Message] = []
        while len(found) < max_records and not self._ended:
            message = self._read_next()
            if message is not None:
                base = self._bases[-1]
                self._next = base + message.offset + 1
                found.append(replace(message, offset=base + message.offset) if base else message)
            elif found or self._ended or time.monotonic() >= deadline:
                break
            else:
                time.sleep(min(POLL_PAUSE_S, max(deadline - time.monotonic(), 0.0)))
        return found

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """See `AlertSource`; records before the offset are skipped without decoding."""
        if offset == self._next:
            return
        self._next = offset
        self._ended = False
        self._reader = None
        while len(self._bases) > 1 and self._bases[-1] > offset:
            self._bases.pop()

    def commit(self, positions: dict[Partition, int]) -> None:
        """Nothing to do: a file keeps no positions."""

    def lag(self) -> int | None:
        """See `AlertSource`; unknown except at the end."""
        return 0 if self._ended else None

    def close(self) -> None:
        """See `AlertSource`."""
        self._reader = None
        self._ended = True

    def _read_next(self) -> Message | None:
        """The next record; None if there is none, now or for good."""
        while True:
            if self._reader is None and not self._start_file():
                return None
            assert self._reader is not None
            try:
                message = next(self._reader)
            except StopIteration:
                self._reader = None
                self._bases.append(self._bases[-1] + self._tail.n_records)
                continue
            except BrokerError:
                self._reader = None  # the next poll opens the file again, at the same place
                raise
            if message is not None:
                return message
            if not self._has_next_file():
                return None
            self._tail.complete = True  # a later file exists, so nobody writes to this one any more

    def _start_file(self) -> bool:
        index = len(self._bases) - 1
        if index >= len(self._files) and not self._has_next_file():
            self._ended = not self.follow
            return False
        self._tail = Tail(complete=not (self.follow and index == len(self._files) - 1))
        self._reader = read_records(self._files[index], max(self._next - self._bases[-1], 0), self._tail)
        return True

    def _has_next_file(self) -> bool:
        index = len(self._bases) - (0 if self._reader is not None else 1)
        if index >= len(self._files) and self.follow:
            self._find_new_files()
        return index < len(self._files)

    def _find_new_files(self) -> None:
        """Nothing to do for one file."""

    def _list(self) -> list[Path]:
        if not self.path.is_file():
            raise DataError(f"{self.path}: no such file of alerts")
        return [self.path]


class DirectorySource(FileSource):
    """Alerts of all files in a folder, in the order of their names; DataError if there is no folder.

    Offsets number the records of all files together. Hidden, ``.tmp`` and ``.part`` files are ignored.
    With `follow` the source waits for files whose names sort after the others; a JSON array or a single
    message is read once a later file exists.
    """

    def _find_new_files(self) -> None:
        found = self._list()
        if found[: len(self._files)] != self._files:
            changed = next((a for a, b in zip(found, self._files, strict=False) if a != b), self._files[-1])
            raise BrokerError(
                f"{self.path}: {changed.name} was added or removed before {self._files[-1].name}, so record "
                "numbers are no longer valid; give new files names that sort last, and keep old ones"
            )
        self._files = found

    def _list(self) -> list[Path]:
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such folder of alerts")
        return sorted(
            (
                path
                for path in self.path.iterdir()
                if path.is_file() and not path.name.startswith(".") and path.suffix not in (".tmp", ".part")
            ),
            key=lambda path: path.name,
        )


class PipeSource:
    """Alerts as JSON lines on standard input, or on another file with a descriptor.

    A pipe cannot be read twice: line numbers continue from the stored position.
    """

    def __init__(self, stream: IO[bytes] | None = None) -> None:
        self.on_assign: PartitionCall | None = None
        self.on_revoke: PartitionCall | None = None
        self._file = (stream if stream is not None else sys.stdin.buffer).fileno()
        self._next = 0
        self._rest = b""  # start of a line without its end
        self._lines: list[bytes] = []
        self._assigned = self._ended = False

    @property
    def exhausted(self) -> bool:
        """See `AlertSource`."""
        return self._ended and not self._lines

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """See `AlertSource`; BrokerError if the pipe cannot be read."""
        if not self._assigned:
            self._assigned = True
            if self.on_assign is not None:
                self.on_assign([(PIPE_TOPIC, 0)])
        deadline = time.monotonic() + timeout_s
        while not self._lines and not self._ended:
            wait = max(deadline - time.monotonic(), 0.0)
            if not select.select([self._file], [], [], wait)[0]:
                break
            self._read()
        lines, self._lines = self._lines[:max_records], self._lines[max_records:]
        first, self._next = self._next, self._next + len(lines)
        return [Message(line, None, PIPE_TOPIC, 0, first + i) for i, line in enumerate(lines)]

    def _read(self) -> None:
        try:
            data = os.read(self._file, _PIPE_READ_BYTES)
        except OSError as error:
            raise BrokerError(f"standard input: {error.strerror}") from error
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data or len(self._rest) > MAX_LINE_BYTES:  # the last line, or one that is too long
            lines.append(self._rest)
            self._rest = b""
        self._ended = not data
        self._lines += [line for line in lines if line.strip()]

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Number the next line `offset`; earlier lines cannot be read again."""
        self._next = max(self._next, offset)

    def commit(self, positions: dict[Partition, int]) -> None:
        """Nothing to do: a pipe keeps no positions."""

    def lag(self) -> int | None:
        """See `AlertSource`; unknown except at the end."""
        return 0 if self.exhausted else None

    def close(self) -> None:
        """See `AlertSource`; standard input stays open."""
        self._ended, self._lines = True, []


def read_records(path: Path, skip: int = 0, tail: Tail | None = None) -> Iterator[Message | None]:
    """Read the records of one file, from number `skip` on; the offset is the record's number.

    The first bytes show the format; unknown bytes are one message. None means that the file may still
    grow (see `Tail`). BrokerError if it cannot be read, or was replaced or cut meanwhile.
    """
    tail = tail if tail is not None else Tail()
    while True:
        try:
            with path.open("rb") as raw:
                packed = raw.peek(2)[:2] == GZIP_MAGIC
                file: Any = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if packed else raw
                for message in _records(file, path, skip, tail):
                    if message is not None:
                        skip = message.offset + 1
                    yield message
            return
        except _GZIP_ERRORS as error:
            if tail.complete:
                yield _bad_record(max(skip, tail.n_records), tail, f"{path}: damaged gzip: {error}")
                return
            yield None  # perhaps still being written: read it from the beginning again
        except BrokerError:
            raise
        except OSError as error:
            raise BrokerError(f"cannot read {path}: {error.strerror or error}") from error


def _record(number: int, value: bytes, key: bytes | None = None, error: str = "") -> Message:
    return Message(value, key, FILE_TOPIC, 0, number, None, error)


def _bad_record(number: int, tail: Tail, error: str) -> Message:
    """A record that could not be read; its number counts as used."""
    tail.n_records = max(tail.n_records, number + 1)
    return _record(number, b"", error=error)


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
    elif first == b"{" and not _is_multiline(start):
        yield from _lines(file, path, skip, tail)
    elif start.strip():
        yield from _whole(file, path, skip, tail)
    elif start:  # blank lines, then perhaps JSON
        yield from _lines(file, path, skip, tail)


def _container(file: IO[bytes], path: Path, skip: int, tail: Tail) -> Iterator[Message | None]:
    """Records of an Avro container; a block with a damaged frame uses one number."""
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
                        yield _record(number + i, b"", error=f"{path}: {record}")
                    else:
                        yield _record(number + i, record, container.header.schema_text)
        except DataError as error:
            if tail.complete or not isinstance(error, IncompleteError):
                yield _bad_record(number, tail, f"{path}: {error}")
                return
            block = None
        if block is not None:
            number += block.count
            tail.n_records = max(tail.n_records, number)
        elif tail.complete:
            return
        else:
            _rewind(file, path, 0)
            yield None


def _is_multiline(start: bytes) -> bool:
    """Whether a JSON object continues after its first line."""
    line, newline, _ = start.lstrip().partition(b"\n")
    if not newline:
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        # the first line of an object over many lines holds little more than a brace
        return len(line.strip()) < 2 or line.rstrip().endswith((b"{", b",", b"["))
    return False


def _lines(file: IO[bytes], path: Path, skip: int, tail: Tail) -> Iterator[Message | None]:
    number = 0
    while True:
        line = file.readline(MAX_LINE_BYTES)
        if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES and not tail.complete:
            _rewind(file, path, len(line))
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
                yield _bad_record(number, tail, f"{path}: line of more than {MAX_LINE_BYTES >> 20} MiB")
            else:
                yield _record(number, line.rstrip(b"\r\n"))
        number += 1


def _array(file: IO[bytes], path: Path, skip: int, tail: Tail) -> Iterator[Message | None]:
    text = yield from _document(file, tail)
    if text is None:
        limit = MAX_DOCUMENT_BYTES >> 20
        yield _bad_record(0, tail, f"{path}: JSON array of more than {limit} MiB; write it as lines")
        return
    try:
        elements = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield _bad_record(0, tail, f"{path}: no JSON: {error}")
        return
    tail.n_records = len(elements)
    for number, element in enumerate(elements[skip:], skip):
        yield _record(number, json.dumps(element, separators=(",", ":")).encode())


def _whole(file: IO[bytes], path: Path, skip: int, tail: Tail) -> Iterator[Message | None]:
    """The whole file as one message."""
    text = yield from _document(file, tail)
    tail.n_records = 1
    if skip:
        return
    if text is None:
        yield _bad_record(0, tail, f"{path}: neither Avro nor JSON lines, and too large for one message")
    else:
        yield _record(0, text)


def _document(file: IO[bytes], tail: Tail) -> Generator[None, None, bytes | None]:
    """The content of the file once it is complete; None if it is too large."""
    while not tail.complete:
        yield None
    text = file.read(MAX_DOCUMENT_BYTES + 1)
    return text if len(text) <= MAX_DOCUMENT_BYTES else None


def _rewind(file: IO[bytes], path: Path, unfinished: int) -> None:
    """Go back by the bytes of an unfinished record; BrokerError if the file was replaced or cut."""
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
            "append new alerts to the file, or write them to new files of a folder"
        )
    file.seek(at - unfinished)
