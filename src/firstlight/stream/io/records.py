"""The records of one file of alerts, one by one and without decoding them.

The first bytes show the format: Avro container, JSON lines, JSON array, tar archive of such files, or
one message. Each may be gzipped. Memory is bounded by `Limits`, whatever the file holds.
"""

import codecs
import gzip
import io
import json
import os
import tarfile
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from firstlight.errors import BrokerError, DataError
from firstlight.files import GZIP_MAGIC
from firstlight.stream.avro.container import MAGIC, ContainerReader, IncompleteError
from firstlight.stream.io.message import FILE_TOPIC, Message
from firstlight.stream.limits import Limits, size_text

_START_BYTES = 4096
_CHUNK_BYTES = 1 << 18
_PACKED_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)
_TAR_MAGIC, _TAR_MAGIC_AT, _TAR_BLOCK = b"ustar", 257, 512
#: What begins so is a table; Avro without a frame begins with a short number or text.
_TABLES = {b"PAR1": "a Parquet file", b"SIMPLE  =": "a FITS file", b"\x89HDF": "an HDF5 file"}
_CONTROL = set(range(32)) - set(b"\t\n\r\f")  # bytes that no text has, and every packet
_JSON_SPACE = " \t\r\n"
#: The state after each mark of a JSON array, in each state.
_MARKS = {
    "start": {"[": "first"},
    "first": {"]": "end"},
    "value": {},
    "next": {",": "value", "]": "end"},
    "end": {},
}


class ChangedError(Exception):
    """The file was replaced or cut while it was read; its content is that of another file now."""


class _PackedError(Exception):
    """A compressed file or an archive is damaged, cut short, or still being written."""

    def __init__(self, stream: Any, reason: str) -> None:
        super().__init__(reason)
        self.stream = stream  # the `_Replay` that failed


@dataclass(slots=True)
class Tail:
    """State of the end of a file that is being read."""

    complete: bool = True  # whether a record that is cut short is damage, not still being written
    n_records: int = 0  # record numbers used so far
    torn: bool = False  # whether the last record must be read again if the file grows


@dataclass(frozen=True, slots=True)
class _Place:
    """Where records come from: the name for messages, the number of the first record to return, limits."""

    name: str
    skip: int
    tail: Tail
    limits: Limits
    in_archive: bool = False

    def record(
        self, number: int, value: bytes, key: bytes | None = None, error: str = "", *, torn: bool = False
    ) -> Message:
        self.tail.torn = torn
        return Message(value, key, FILE_TOPIC, 0, number, None, error, self.name, number)

    def bad(self, number: int, error: str, *, torn: bool = False) -> Message:
        """A record that could not be read; its number counts as used."""
        self.tail.n_records = max(self.tail.n_records, number + 1)
        return self.record(number, b"", error=f"{self.name}: {error}", torn=torn)


def read_records(
    raw: IO[bytes], path: Path, skip: int, tail: Tail, limits: Limits
) -> Iterator[Message | None]:
    """Read the records of an open file from number `skip` on; the offset is the record's number.

    None means that the file may still grow (see `Tail`). ChangedError if it was replaced or cut meanwhile,
    BrokerError if it cannot be read.
    """
    try:
        while True:
            size = os.fstat(raw.fileno()).st_size
            raw.seek(0)
            try:
                for message in _records(_opened(raw, limits), raw, _Place(str(path), skip, tail, limits)):
                    if message is not None:
                        skip = message.offset + 1
                    yield message
                return
            except _PackedError as error:
                if tail.complete:
                    number = max(skip, tail.n_records)
                    place = _Place(str(path), number, tail, limits)
                    yield place.bad(number, f"damaged or cut short: {error}", torn=True)
                    return
                while os.fstat(raw.fileno()).st_size == size and not tail.complete:
                    _check_unchanged(raw, path, size)
                    yield None  # perhaps still being written: then read it from the beginning again
    except OSError as error:
        raise BrokerError(f"cannot read {path}: {error.strerror or error}") from error


def _opened(raw: IO[bytes], limits: Limits) -> IO[bytes]:
    """The file itself, or the content of a gzip file."""
    start = raw.read(2)
    raw.seek(0)
    if start != GZIP_MAGIC:
        return raw
    # a reader of blocks goes back by one block at most
    return io.BufferedReader(
        _Replay(gzip.GzipFile(fileobj=raw), limits.block_bytes + (2 << 20)), _CHUNK_BYTES
    )


class _Replay(io.RawIOBase):
    """A stream that goes back by at least `window` bytes without reading its source again."""

    def __init__(self, source: Any, window: int) -> None:
        self._source = source
        self._most = window // _CHUNK_BYTES + 2
        self._chunks: deque[bytes] = deque()  # all of `_CHUNK_BYTES`, except the last of the stream
        self._first = 0  # position of the first chunk
        self._at = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, position: int, whence: int = 0) -> int:
        self._at = position + (self._at if whence == 1 else 0)
        if whence == 2 or self._at < self._first:
            raise OSError("cannot go back so far in a compressed file")
        while self._at > self._end and self._fill():
            pass
        return self._at

    def readinto(self, buffer: Any) -> int:
        while self._at >= self._end and self._fill():
            pass
        index, within = divmod(self._at - self._first, _CHUNK_BYTES)
        if index >= len(self._chunks):
            return 0
        piece = memoryview(self._chunks[index])[within : within + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    @property
    def _end(self) -> int:
        before = max(len(self._chunks) - 1, 0) * _CHUNK_BYTES
        return self._first + before + (len(self._chunks[-1]) if self._chunks else 0)

    def _fill(self) -> bool:
        """Read one more chunk; False at the end."""
        if self._ended:
            return False
        chunk = b""
        try:
            while len(chunk) < _CHUNK_BYTES and (more := self._source.read(_CHUNK_BYTES - len(chunk))):
                chunk += more
        except _PACKED_ERRORS as error:
            raise _PackedError(self, str(error)) from error
        self._ended = len(chunk) < _CHUNK_BYTES
        if chunk:
            self._chunks.append(chunk)
        while len(self._chunks) > self._most:
            self._chunks.popleft()
            self._first += _CHUNK_BYTES
        return bool(chunk)


def _records(file: IO[bytes], raw: IO[bytes], place: _Place) -> Iterator[Message | None]:
    """Choose the reader by the first bytes, as soon as there are any."""
    while True:
        start = file.read(_START_BYTES)
        file.seek(0)
        if len(start) >= len(MAGIC) or place.tail.complete:
            break
        yield from _wait(file, raw, place, 0)
    first = start.lstrip()[:1]
    if start[:4] == MAGIC:
        yield from _container(file, raw, place)
    elif start[_TAR_MAGIC_AT:][: len(_TAR_MAGIC)] == _TAR_MAGIC:
        yield from _archive(file, raw, place)
    elif first == b"[":
        yield from _array(file, place)
    elif first == b"{" and not _is_multiline(start):
        yield from _lines(file, raw, place)
    elif start.strip():
        yield from _whole(file, place, table_kind(start))
    elif start:  # blank lines, then perhaps JSON
        yield from _lines(file, raw, place)


def _container(file: IO[bytes], raw: IO[bytes], place: _Place) -> Iterator[Message | None]:
    """Records of an Avro container; a block with a damaged frame uses one number."""
    container, number, skip, tail = None, 0, place.skip, place.tail
    while True:
        try:
            container = container or ContainerReader(file, place.limits)
            block = container.read_block(skip=skip - number, complete=tail.complete)
            if block is not None and number + block.count > skip:
                for i, record in enumerate(container.records(block)):
                    if number + i < skip:
                        continue
                    if isinstance(record, DataError):
                        yield place.bad(number + i, str(record), torn=block.cut_short)
                    else:
                        yield place.record(number + i, record, container.header.schema_text)
        except DataError as error:
            if tail.complete or not isinstance(error, IncompleteError):
                yield place.bad(number, str(error), torn=isinstance(error, IncompleteError))
                return
            block = None
        if block is not None:
            number += block.count
            tail.n_records = max(tail.n_records, number)
        elif tail.complete:
            return
        else:
            yield from _wait(file, raw, place, 0)


def table_kind(start: bytes) -> str:
    """What a file is that holds no alerts by its first bytes: a table of some kind; else empty."""
    for magic, kind in _TABLES.items():
        if start.startswith(magic):
            return kind
    lines = start.strip().splitlines()
    if len(lines) < 2 or _CONTROL & set(start) or any(line.lstrip()[:1] in (b"{", b"[") for line in lines):
        return ""  # too little to tell, binary, or perhaps JSON with damage
    return "text that is not JSON"


def _is_multiline(start: bytes) -> bool:
    """Whether a JSON object continues after its first line."""
    line, newline, _ = start.lstrip().partition(b"\n")
    if not newline:
        return False
    if _is_json(line):
        return False
    # the first line of an object over many lines holds little more than a brace
    return len(line.strip()) < 2 or line.rstrip().endswith((b"{", b",", b"["))


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(file: IO[bytes], raw: IO[bytes], place: _Place) -> Iterator[Message | None]:
    number, limit, tail = 0, place.limits.message_bytes, place.tail
    while True:
        line = file.readline(limit + 1)
        if not line.endswith(b"\n") and len(line) <= limit and not tail.complete:
            yield from _wait(file, raw, place, len(line))
            continue
        if not line:
            break
        too_long = len(line) > limit and not line.endswith(b"\n")
        while too_long and (more := file.readline(limit)) and not more.endswith(b"\n"):
            pass
        if line.isspace():
            continue
        tail.n_records = number + 1
        if number >= place.skip:
            if too_long:
                yield place.bad(number, f"line of more than {size_text(limit)}, the limit message_bytes")
            else:
                torn = not line.endswith(b"\n") and not _is_json(line)  # it may still be being written
                yield place.record(number, line.rstrip(b"\r\n"), torn=torn)
        number += 1


def _array(file: IO[bytes], place: _Place) -> Iterator[Message | None]:
    """Elements of a JSON array, each as its own text; damage ends them."""
    while not place.tail.complete:
        yield None
    number = 0
    try:
        for text in _elements(file, place.limits.message_bytes):
            place.tail.n_records = number + 1
            if number >= place.skip:
                yield place.record(number, text.encode(errors="surrogateescape"))
            number += 1
    except (ValueError, RecursionError) as error:
        if number >= place.skip:
            yield place.bad(number, f"no JSON from element {number} of the array on: {error}", torn=True)


def _elements(file: IO[bytes], limit: int) -> Iterator[str]:
    """The text of each element of a JSON array of at most `limit` characters; ValueError if there is none."""
    # only where an element ends matters here: numbers of any length are left to the decoder of alerts
    scan = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len).raw_decode
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    text, at, wanted, state = "", 0, _CHUNK_BYTES, "start"
    while True:
        while at < len(text) and text[at] in _JSON_SPACE:
            at += 1
        if at < len(text) and text[at] in _MARKS[state]:
            state, at = _MARKS[state][text[at]], at + 1
            continue
        failure = ValueError("the array is cut short")
        if at < len(text):
            if state not in ("first", "value"):
                raise ValueError(f"{text[at]!r} is unexpected")
            end = len(text)
            try:
                end = scan(text, at)[1]
            except ValueError as error:
                failure = error
            if end < len(text) and end - at <= limit:  # at the end of the text it may continue
                yield text[at:end]
                at, wanted, state = end, _CHUNK_BYTES, "next"
                continue
            if end - at > limit:
                raise ValueError(f"it has more than {size_text(limit)}, the limit message_bytes")
            wanted = max(2 * (len(text) - at), _CHUNK_BYTES)  # so that a long element is not scanned often
        piece = file.read(wanted)
        if not piece:
            if state == "end" and at == len(text):
                return
            raise failure
        text, at = text[at:] + decode(piece), 0


def _whole(file: IO[bytes], place: _Place, table: str) -> Iterator[Message | None]:
    """The whole file as one message, once it is complete; a `table` is none."""
    while not place.tail.complete:
        yield None
    limit = place.limits.message_bytes
    text = file.read(limit + 1)
    place.tail.n_records = 1
    if place.skip:
        return
    if table:
        yield place.bad(
            0, f"{table}, not alerts; `firstlight classify` and `replay` read light curves", torn=True
        )
    elif len(text) > limit:
        reason = f"neither Avro nor JSON lines, and more than {size_text(limit)}, the limit message_bytes"
        yield place.bad(0, reason)
    else:
        yield place.record(0, text, torn=True)  # with more bytes it is another message


def _archive(file: IO[bytes], raw: IO[bytes], place: _Place) -> Iterator[Message | None]:
    """Records of all files in a tar archive, numbered together; nothing is written to the disk."""
    if place.in_archive:
        yield place.bad(0, "an archive inside an archive; extract it first")
        return
    number, tail = 0, place.tail
    try:
        bounded: Any = _Bounded(file, place.limits.message_bytes)
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it keeps them all otherwise
                content = archive.extractfile(member) if _is_wanted(member) else None
                if content is None:
                    continue
                inner = _Place(f"{place.name}!{member.name}", place.skip - number, Tail(), place.limits, True)
                for message in _member(content, raw, inner):
                    tail.n_records = max(tail.n_records, number + message.offset + 1)
                    yield replace(message, offset=number + message.offset)
                number += inner.tail.n_records
                tail.n_records = max(tail.n_records, number)
            _check_end(file, archive.offset)
    except (tarfile.TarError, DataError) as error:
        if isinstance(error, tarfile.ReadError) and not tail.complete:
            raise _PackedError(None, str(error)) from error  # perhaps still being written
        number = max(number, tail.n_records)
        if number >= place.skip:
            yield place.bad(number, f"damaged tar archive: {error}; its later files are lost", torn=True)


def _member(content: IO[bytes], raw: IO[bytes], place: _Place) -> Iterator[Message]:
    """Records of one file of an archive; its own damage ends it alone."""
    file: Any = _opened(content, place.limits)
    try:
        for message in _records(file, raw, place):
            if message is not None:  # it never waits
                yield message
    except _PackedError as error:
        if file is content or error.stream is not file.raw:
            raise  # the archive itself
        number = max(place.skip, place.tail.n_records, 0)
        yield place.bad(number, f"damaged or cut short: {error}")


def is_hidden(name: str) -> bool:
    """Whether files of this name are ignored: hidden files, and those that are being written."""
    return name.startswith(".") or name.endswith((".tmp", ".part"))


def _is_wanted(member: tarfile.TarInfo) -> bool:
    parts = [part for part in member.name.split("/") if part not in (".", "..")]  # `tar cf X .` writes ./NAME
    return member.isreg() and not member.issparse() and not any(map(is_hidden, parts))


def _check_end(file: IO[bytes], at: int) -> None:
    """DataError if the archive does not end where tarfile stopped: it stops at a damaged header."""
    file.seek(at)
    block = file.read(_TAR_BLOCK)
    if block.strip(b"\0"):
        raise DataError(f"no header of a file at byte {at}")
    if len(block) < _TAR_BLOCK:
        raise tarfile.ReadError("it is cut short")


class _Bounded:
    """A file for tarfile, which reads names and attributes of any length into memory."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file = file
        self._limit = limit
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._limit:
            raise DataError(f"a header of {size} bytes, more than {size_text(self._limit)}")
        return self._file.read(size)


def _wait(file: IO[bytes], raw: IO[bytes], place: _Place, unfinished: int) -> Iterator[None]:
    """Wait for more, after going back by the bytes of an unfinished record."""
    if file is not raw:
        raise _PackedError(file, "it is not complete")
    at = file.tell()
    _check_unchanged(raw, Path(place.name), at)
    file.seek(at - unfinished)
    yield None


def _check_unchanged(raw: IO[bytes], path: Path, least: int) -> None:
    """ChangedError if the file was cut to less than `least` bytes, or another has its name."""
    if os.fstat(raw.fileno()).st_size < least:
        raise ChangedError(f"{path} was cut while it was read")
    try:
        replaced = os.stat(path).st_ino != os.fstat(raw.fileno()).st_ino
    except FileNotFoundError:
        replaced = True
    if replaced:
        raise ChangedError(f"{path} was replaced while it was read")
