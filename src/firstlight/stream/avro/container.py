"""Avro container files: a schema, then blocks of records between sync markers.

The reader checks every length, goes on after the next sync marker where a block is damaged, and
reads files that still grow. Reference: Apache Avro 1.11, section "Object Container Files".
"""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from firstlight.errors import DataError
from firstlight.stream.avro.codecs import CODECS, inflate
from firstlight.stream.avro.decode import SelectiveDecoder
from firstlight.stream.avro.schema import Selection, without_logical_types
from firstlight.stream.limits import DEFAULT_LIMITS, Limits, size_text

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
_HEAD_ENTRIES = 1000  # most have two
_SCAN_BYTES = 1 << 20


class IncompleteError(DataError):
    """The container ends inside its head or a block: it is damaged, or still being written."""


@dataclass(frozen=True, slots=True)
class Header:
    """Head of a container: JSON of the schema, codec, sync marker, byte at which the first block begins."""

    schema_text: bytes
    codec: str
    sync: bytes
    end: int

    @property
    def schema(self) -> Any:
        """The schema as parsed JSON; DataError if it is not JSON."""
        try:
            return json.loads(self.schema_text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"damaged Avro container: its schema is not JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a container."""

    position: int  # byte at which it begins
    count: int  # of its records; 1 for a block whose frame is damaged
    body: bytes = b""  # the records, inflated; empty if they were skipped or `error` is set
    error: str = ""  # why the records cannot be read
    cut_short: bool = False  # whether the file ends inside the block


class ContainerReader:
    """Blocks of a container in a seekable binary file.

    IncompleteError if the file ends inside the head; DataError if the head is damaged, is larger than
    `limits` allow, or names a codec that Avro does not have. A block beyond the limits is one error.
    """

    def __init__(self, file: IO[bytes], limits: Limits = DEFAULT_LIMITS) -> None:
        file.seek(0)
        self._file = file
        self._limits = limits
        self.header = _read_head(file, limits)
        self._position = self.header.end
        self._walk: SelectiveDecoder | None = None

    def read_block(self, *, skip: int = 0, complete: bool = True) -> Block | None:
        """The next block, or None at the end of the file.

        A block of at most `skip` records is passed over, with an empty `body`. A block that is cut short is
        damage in a `complete` file, otherwise an IncompleteError: call again when the file has grown.
        """
        start = self._position
        self._file.seek(start)
        try:
            return self._frame(start, skip)
        except IncompleteError as error:
            if self._file.tell() == start:
                return None
            if not complete:
                self._file.seek(start)
                raise
            reason, cut_short = str(error), True
        except DataError as error:
            reason, cut_short = str(error), False
        self._position = self._next_marker(start)
        return Block(start, 1, error=f"damaged Avro block at byte {start}: {reason}", cut_short=cut_short)

    def _frame(self, start: int, skip: int) -> Block:
        """Read one block; DataError if its frame is damaged, so that nothing shows where it ends."""
        file = self._file
        count, size = _read_varint(file), _read_varint(file)
        if count < 0 or not 0 <= size <= self._limits.block_bytes:
            raise DataError(f"it claims {count} records in {size} bytes{self._bound(size)}")
        body_at, body = file.tell(), b""
        if count <= skip:
            file.seek(body_at + size)
        else:
            body = _read_exactly(file, size)
        if _read_exactly(file, SYNC_BYTES) != self.header.sync:
            raise DataError("no sync marker after it")
        self._position = body_at + size + SYNC_BYTES
        if count <= skip:
            return Block(start, count)
        try:
            if count > self._limits.block_records:
                bound = f"more than {self._limits.block_records}, the limit block_records"
                raise DataError(f"it claims {count} records, {bound}")
            body = inflate(self.header.codec, body, self._limits.block_bytes)
            if count > max(len(body), 1):
                raise DataError(f"{len(body)} bytes claim to be {count} records")
        except DataError as error:
            return Block(start, count, error=f"damaged Avro block at byte {start}: {error}")
        return Block(start, count, body)

    def _bound(self, size: int) -> str:
        bound = self._limits.block_bytes
        return f", more than {size_text(bound)}, the limit block_bytes" if size > bound else ""

    def _next_marker(self, start: int) -> int:
        """Byte after the next sync marker; the end of the file if there is none."""
        self._file.seek(start)
        window = b""
        while chunk := self._file.read(_SCAN_BYTES):
            window = window[-SYNC_BYTES + 1 :] + chunk
            if (at := window.find(self.header.sync)) >= 0:
                return self._file.tell() - len(window) + at + SYNC_BYTES
        return self._file.tell()

    def records(self, block: Block) -> Iterator[bytes | DataError]:
        """Bytes of each record of a block; at a damaged record, an error ends them."""
        if block.error:
            yield DataError(block.error)
            return
        if self._walk is None:  # only a walk over the bytes finds where a record ends
            schema = without_logical_types(self.header.schema, self._limits)
            self._walk = SelectiveDecoder(schema, Selection(), self._limits)
        body, start = block.body, 0
        for i in range(block.count):
            end = len(body)
            if i < block.count - 1:  # the decoder of the last record checks where it ends
                try:
                    end = self._walk.decode(body, start, whole=False).end
                except DataError as error:
                    lost = f"record {i} ({block.count - i} lost with it)"
                    yield DataError(f"block at byte {block.position}: {lost}: {error}")
                    return
            yield body[start:end]
            start = end


def read_header(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Header:
    """Head of a container that begins with these bytes; raises as `ContainerReader`."""
    return _read_head(io.BytesIO(data), limits)


def write_container(schema: Any, records: list[bytes]) -> bytes:
    """A container with one uncompressed block of schemaless records; equal records give equal bytes."""
    text = json.dumps(schema, separators=(",", ":")).encode()
    sync = hashlib.sha256(text).digest()[:SYNC_BYTES]
    entries = ((b"avro.codec", b"null"), (b"avro.schema", text))
    meta = _zigzag(len(entries)) + b"".join(_counted(key) + _counted(value) for key, value in entries)
    head = MAGIC + meta + _zigzag(0) + sync
    if not records:
        return head
    return head + _zigzag(len(records)) + _counted(b"".join(records)) + sync


def _read_head(file: IO[bytes], limits: Limits) -> Header:
    magic = file.read(len(MAGIC))
    if magic != MAGIC:
        if magic and MAGIC.startswith(magic):
            raise IncompleteError("damaged Avro container: it is cut short")
        raise DataError(f"not an Avro container: it begins with {magic!r}, not {MAGIC!r}")
    meta: dict[bytes, bytes] = {}
    n_entries = 0
    try:
        while count := _read_varint(file):
            if count < 0:  # then the size of the entries follows
                _read_varint(file)
            n_entries += abs(count)
            if n_entries > _HEAD_ENTRIES:
                raise DataError(f"{n_entries} entries; a head has at most {_HEAD_ENTRIES}")
            for _ in range(abs(count)):
                key = _read_piece(file, limits)
                meta[key] = _read_piece(file, limits)
        sync = _read_exactly(file, SYNC_BYTES)
    except DataError as error:
        raise type(error)(f"damaged Avro container: in its head, {error}") from error
    codec = meta.get(b"avro.codec", b"null").decode(errors="replace")
    if codec not in CODECS:
        raise DataError(f"Avro container with codec {codec[:20]!r}; write it with one of {', '.join(CODECS)}")
    return Header(meta.get(b"avro.schema", b""), codec, sync, file.tell())


def _read_exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise IncompleteError("it is cut short")
    return data


def _read_piece(file: IO[bytes], limits: Limits) -> bytes:
    size = _read_varint(file)
    if not 0 <= size <= limits.schema_bytes - file.tell():
        bound = f"{size_text(limits.schema_bytes)}, the limit schema_bytes"
        raise DataError(f"{size} bytes announced; a head has at most {bound}")
    return _read_exactly(file, size)


def _read_varint(file: IO[bytes]) -> int:
    bits = shift = 0
    while shift < 70:
        byte = _read_exactly(file, 1)[0]
        bits |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (bits >> 1) ^ -(bits & 1)
        shift += 7
    raise DataError("an integer of more than 64 bits")


def _zigzag(value: int) -> bytes:
    bits, out = (value << 1) ^ (value >> 63), bytearray()
    while bits > 0x7F:
        out.append(bits & 0x7F | 0x80)
        bits >>= 7
    out.append(bits)
    return bytes(out)


def _counted(piece: bytes) -> bytes:
    return _zigzag(len(piece)) + piece
