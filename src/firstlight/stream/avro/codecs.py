"""Inflation of the blocks of Avro containers, never beyond a limit."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from firstlight.errors import DataError
from firstlight.stream.limits import size_text

_XZ_MEMORY_BYTES = 128 << 20  # of the decompressor; xz -9 needs 65 MiB
_CRC_BYTES = 4  # after a snappy block
_VARINT_BYTES = 5  # of the length before a snappy block, below 4 GiB


def inflate(codec: str, body: bytes, limit: int) -> bytes:
    """The records in the body of a block; DataError if it is damaged, or larger than `limit` [byte]."""
    if len(body) > limit and codec == "null":
        raise _TooLargeError(limit)
    try:
        return CODECS[codec](body, limit)
    except (zlib.error, lzma.LZMAError, EOFError, ValueError, OSError) as error:
        raise DataError(f"its {codec} bytes are damaged: {error}") from error


class _TooLargeError(DataError):
    """A block inflates beyond the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it holds more than {size_text(limit)}, the limit block_bytes")


def _stored(body: bytes, limit: int) -> bytes:
    return body


def _deflate(body: bytes, limit: int) -> bytes:
    return _run(zlib.decompressobj(-zlib.MAX_WBITS), body, limit)


def _bzip2(body: bytes, limit: int) -> bytes:
    return _run(bz2.BZ2Decompressor(), body, limit)


def _xz(body: bytes, limit: int) -> bytes:
    return _run(lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES), body, limit)


def _run(engine: Any, body: bytes, limit: int) -> bytes:
    out: bytes = engine.decompress(body, limit + 1)
    if len(out) > limit:
        raise _TooLargeError(limit)
    if not engine.eof:
        raise DataError("its compressed bytes are cut short")
    return out


def _snappy(body: bytes, limit: int) -> bytes:
    """Snappy states the length first; Avro adds a checksum of the inflated bytes."""
    import pyarrow as pa

    packed, crc = body[:-_CRC_BYTES], body[-_CRC_BYTES:]
    size = shift = 0
    for byte in packed[:_VARINT_BYTES]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        raise DataError("its snappy bytes state no length")
    if size > limit:
        raise _TooLargeError(limit)
    out: bytes = pa.Codec("snappy").decompress(packed, size, asbytes=True) if size else b""
    if zlib.crc32(out) != int.from_bytes(crc, "big"):
        raise DataError("its snappy bytes have a wrong checksum")
    return out


def _zstandard(body: bytes, limit: int) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
        out: bytes = stream.read(limit + 1)
    if len(out) > limit:
        raise _TooLargeError(limit)
    return out


#: Codecs of the Avro specification, by name.
CODECS: Mapping[str, Callable[[bytes, int], bytes]] = {
    "null": _stored,
    "deflate": _deflate,
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": _bzip2,
    "xz": _xz,
}
