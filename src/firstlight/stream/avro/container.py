"""Avro container files: a schema, then blocks of records between sync markers.

Own code rather than fastavro's, so that the records go to the compiled decoder and every
length is checked before it is believed. References: Apache Avro 1.11 specification,
section "Object Container Files".
"""

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from firstlight.errors import DataError

__all__ = ["Header", "blocks", "inflate", "read_header", "write_container"]

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
MAX_BLOCK_BYTES = 1 << 30  # of one block when inflated; an alert has some 100 kB


@dataclass(frozen=True)
class Header:
    """Head of a container.

    Attributes
    ----------
    schema : Any
        Parsed JSON of the schema.
    schema_text : bytes
        The JSON itself.
    codec : str
        ``null`` or ``deflate``.
    sync : bytes
        Marker after every block.
    end : int
        Where the first block begins.
    """

    schema: Any
    schema_text: bytes
    codec: str
    sync: bytes
    end: int


def read_header(data: bytes, *, parse: bool = True) -> Header:
    """Read the head of a container.

    Parameters
    ----------
    data : bytes
        The container, from its beginning.
    parse : bool
        Whether to parse the schema's JSON; otherwise it is None.

    Returns
    -------
    Header
        Schema, codec and marker.

    Raises
    ------
    DataError
        If this is no container, is cut short, or its codec is not one of ours.
    """
    if data[:4] != MAGIC:
        raise DataError(f"not an Avro container: it begins with {data[:4]!r}, not {MAGIC!r}")
    position, meta = 4, {}
    while True:
        position, count = _varint(data, position)
        if count == 0:
            break
        if count < 0:
            position, _ = _varint(data, position)
            count = -count
        if count > len(data) - position:
            raise DataError("damaged Avro container: its head has more entries than bytes")
        for _ in range(count):
            position, key = _bytes(data, position)
            position, meta[key] = _bytes(data, position)
    sync = data[position : position + SYNC_BYTES]
    if len(sync) < SYNC_BYTES:
        raise DataError("damaged Avro container: it ends inside its head")
    codec = meta.get(b"avro.codec", b"null").decode(errors="replace")
    if codec not in ("null", "deflate"):
        raise DataError(
            f"Avro container with codec {codec!r}; firstlight reads null and deflate: write it with one"
        )
    text = meta.get(b"avro.schema", b"")
    try:
        schema = json.loads(text) if parse else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"damaged Avro container: its schema is no JSON: {error}") from error
    return Header(schema, text, codec, sync, position + SYNC_BYTES)


def blocks(data: bytes, header: Header) -> Iterator[tuple[int, bytes]]:
    """The blocks of a container: how many records, and their bytes.

    Parameters
    ----------
    data : bytes
        The whole container.
    header : Header
        Its head.

    Yields
    ------
    tuple of int and bytes
        Number of records and the bytes, inflated.

    Raises
    ------
    DataError
        At the first block that is damaged; those before it have been yielded.
    """
    position = header.end
    while position < len(data):
        position, count = _varint(data, position)
        position, body = _bytes(data, position)
        if data[position : position + SYNC_BYTES] != header.sync:
            raise DataError(f"damaged Avro container: no sync marker at byte {position}")
        position += SYNC_BYTES
        if header.codec == "deflate":
            body = inflate(body)
        if count < 0 or count > max(len(body), 1):
            raise DataError(f"damaged Avro container: a block of {len(body)} bytes claims {count} records")
        yield count, body


def write_container(schema: Any, records: list[bytes]) -> bytes:
    """A container of records that are already encoded, in one block, not compressed.

    Parameters
    ----------
    schema : Any
        Parsed JSON of the schema.
    records : list of bytes
        Schemaless Avro, one each.

    Returns
    -------
    bytes
        The container. The same records give the same bytes.
    """
    text = json.dumps(schema, separators=(",", ":")).encode()
    sync = hashlib.sha256(text).digest()[:SYNC_BYTES]
    entries = ((b"avro.codec", b"null"), (b"avro.schema", text))
    meta = _zigzag(len(entries)) + b"".join(_counted(key) + _counted(value) for key, value in entries)
    head = MAGIC + meta + _zigzag(0) + sync
    if not records:
        return head
    return head + _zigzag(len(records)) + _counted(b"".join(records)) + sync


def _varint(data: bytes, position: int) -> tuple[int, int]:
    bits = shift = 0
    while True:
        if position >= len(data):
            raise DataError("damaged Avro container: it ends inside an integer")
        byte = data[position]
        position += 1
        bits |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return position, (bits >> 1) ^ -(bits & 1)
        if shift >= 70:
            raise DataError("damaged Avro container: an integer of more than 64 bits")


def _bytes(data: bytes, position: int) -> tuple[int, bytes]:
    position, size = _varint(data, position)
    if size < 0 or size > len(data) - position:
        raise DataError(f"damaged Avro container: {size} bytes announced, {len(data) - position} there")
    return position + size, data[position : position + size]


def inflate(body: bytes) -> bytes:
    """Inflate a block.

    Raises
    ------
    DataError
        If it is damaged, cut short, or larger than 1 GiB.
    """
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        out = engine.decompress(body, MAX_BLOCK_BYTES)
    except zlib.error as error:
        raise DataError(f"damaged Avro container: {error}") from error
    if not engine.eof:
        raise DataError("damaged Avro container: a block is cut short or larger than 1 GiB")
    return out


def _zigzag(value: int) -> bytes:
    bits, out = (value << 1) ^ (value >> 63), bytearray()
    while bits > 0x7F:
        out.append(bits & 0x7F | 0x80)
        bits >>= 7
    out.append(bits)
    return bytes(out)


def _counted(piece: bytes) -> bytes:
    return _zigzag(len(piece)) + piece
