"""An Avro container read from a file, block by block, split into the bytes of its records."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO

from firstlight.errors import DataError
from firstlight.stream.avro.container import MAX_BLOCK_BYTES, SYNC_BYTES, Header, inflate, read_header
from firstlight.stream.avro.decode import SelectiveDecoder
from firstlight.stream.avro.schema import Selection, without_logical_types
from firstlight.stream.io.growing import Tail, Taken, bad_record, look_again

__all__ = ["read_container"]

_MAX_HEAD_BYTES = 64 << 20
_SCAN_BYTES = 1 << 20


def read_container(file: IO[bytes], path: Path, skip: int, tail: Tail) -> Iterator[Taken | None]:
    """Read the records of a container from a number on.

    A block takes as many numbers as it says it has records, also where it is damaged
    inside; one whose frame is damaged takes one number, and reading goes on after the next
    sync marker.

    Parameters
    ----------
    file : binary file
        At its beginning.
    path : Path
        Its name.
    skip : int
        Numbers to pass over; a block of none but such is not even read.
    tail : Tail
        Whether it may still grow.

    Yields
    ------
    Taken or None
        A record; None where there is nothing more for now.
    """
    try:
        header = yield from _read_head(file, path, tail)
        # nothing but a walk over the bytes tells where a record ends
        walk = SelectiveDecoder(without_logical_types(header.schema), Selection())
    except DataError as error:
        yield bad_record(0, tail, f"{path}: {error}")
        return
    position, number = header.end, 0
    while True:
        file.seek(position)
        try:
            block = _next_block(file, header, may_pass=number < skip)
        except EOFError as error:
            if not tail.complete:
                look_again(file, path, 0)
                yield None
                continue
            if file.tell() == position:
                return
            block = DataError(str(error))
        if isinstance(block, DataError):
            yield bad_record(number, tail, f"{path}: damaged Avro block at byte {position}: {block}")
            number += 1
            position = _after_marker(file, header.sync, position)
            if position < 0:
                return
            continue
        count, start, size, body = block
        if number + count > skip:
            if body is None:  # only its end is wanted
                file.seek(start)
                body = file.read(size)
            for taken in _split(body, count, header, walk, f"{path}: block at byte {position}"):
                if taken.number + number >= skip:
                    yield Taken(taken.number + number, taken.value, taken.key, taken.error)
        number += count
        tail.numbers = max(tail.numbers, number)
        position = start + size + SYNC_BYTES


def _read_head(file: IO[bytes], path: Path, tail: Tail) -> Generator[None, None, Header]:
    """The head, as soon as it is all there; DataError if it is damaged."""
    size = 1 << 16
    while True:
        file.seek(0)
        data = file.read(size)
        try:
            return read_header(data)
        except DataError:
            if len(data) == size and size < _MAX_HEAD_BYTES:
                size *= 4
                continue
            if tail.complete:
                raise
        look_again(file, path, 0)
        yield None


def _next_block(
    file: IO[bytes], header: Header, *, may_pass: bool
) -> tuple[int, int, int, bytes | None] | DataError:
    """Records that the next block claims, where its bytes begin, their number, and they themselves.

    EOFError if it is cut short, a DataError as the answer if it is damaged. With
    `may_pass` the bytes are passed over and None, as the caller may not want them.
    """
    count, size = _varint(file), _varint(file)
    if not (0 <= count <= MAX_BLOCK_BYTES and 0 <= size <= MAX_BLOCK_BYTES):
        return DataError(f"it claims {count} records in {size} bytes")
    start, body = file.tell(), None
    if may_pass:
        file.seek(start + size)
    else:
        body = file.read(size)
        if len(body) < size:
            raise EOFError("it is cut short")
    mark = file.read(SYNC_BYTES)
    if len(mark) < SYNC_BYTES:
        raise EOFError("it is cut short")
    if mark != header.sync:
        return DataError("no sync marker after it")
    return count, start, size, body


def _varint(file: IO[bytes]) -> int:
    bits = shift = 0
    while shift < 70:
        byte = file.read(1)
        if not byte:
            raise EOFError("it is cut short")
        bits |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return (bits >> 1) ^ -(bits & 1)
        shift += 7
    return -1


def _after_marker(file: IO[bytes], sync: bytes, start: int) -> int:
    """Where the next sync marker ends; -1 if there is none."""
    file.seek(start)
    window = b""
    while chunk := file.read(_SCAN_BYTES):
        window = window[-SYNC_BYTES + 1 :] + chunk
        if (at := window.find(sync)) >= 0:
            return file.tell() - len(window) + at + SYNC_BYTES
    return -1


def _split(body: bytes, count: int, header: Header, walk: SelectiveDecoder, where: str) -> Iterator[Taken]:
    """Records of a block, numbered from 0; after a damaged one, no more."""
    try:
        if header.codec == "deflate":
            body = inflate(body)
        if count > max(len(body), 1):
            raise DataError(f"{len(body)} bytes claim to be {count} records")
    except DataError as error:
        yield Taken(0, b"", None, f"{where}: {error}")
        return
    at = 0
    for i in range(count):
        end = len(body)
        if i < count - 1:  # the last one's end is its decoder's affair
            try:
                end = walk.decode(body, at, whole=False).end
            except DataError as error:
                yield Taken(i, b"", None, f"{where}: record {i} ({count - i} lost with it): {error}")
                return
        yield Taken(i, body[at:end], header.schema_text)
        at = end
