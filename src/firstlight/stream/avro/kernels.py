"""The compiled interpreter of Avro programs: bytes in, cells out; numba, without the GIL.

It checks every length, count, branch and text, bounds nesting and repetition, and so never reads
outside the packet.
"""

from typing import Any

import numpy as np
from numba import types
from numba.core.cgutils import ir
from numba.extending import intrinsic

from firstlight.kernels import kernel
from firstlight.stream.avro.schema import (
    CALL,
    CELL,
    END,
    ENUM,
    FIXED,
    JUMP,
    NEXT,
    OPTIONAL,
    OPTIONAL_CELL,
    OPTIONAL_NUMBERS,
    RETURN,
    ROW,
    T_BOOL,
    T_BYTES,
    T_DOUBLE,
    T_ENUM,
    T_FIXED,
    T_FLOAT,
    T_LONG,
    T_NULL,
    TEXT,
    UNION,
    VARINT,
)

# Content of a cell.
ABSENT, NULL, BOOL, INT, FLOAT, TEXT_CELL, BYTES_CELL, SYMBOL = 0, 1, 2, 3, 4, 5, 6, 7

MAX_DEPTH = 128  # open arrays, maps and called records; alerts nest five deep
MAX_EMPTY = 1 << 16  # items that take no bytes, over the whole packet
FIRST_ROWS = 64

_TRUNCATED, _LONG_VARINT, _NEGATIVE, _BRANCH, _SYMBOL, _UTF8, _BOOLEAN, _BLOCK_SIZE, _COUNT, _DEPTH, _FULL = (
    -1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11,
)  # fmt: skip
REASONS = {
    _TRUNCATED: "the packet ends inside a value",
    _LONG_VARINT: "an integer of more than 64 bits",
    _NEGATIVE: "a negative length",
    _BRANCH: "a union branch that the schema does not have",
    _SYMBOL: "an enum symbol that the schema does not have",
    _UTF8: "a string that is not UTF-8",
    _BOOLEAN: "a boolean that is neither 0 nor 1",
    _BLOCK_SIZE: "a block whose size disagrees with its items",
    _COUNT: "more items than the packet can hold",
    _DEPTH: "values nested too deeply",
    _FULL: "more rows in its tables than the limit table_rows",
}


@kernel
def _varint(data: Any, position: int, end: int) -> tuple[Any, Any]:
    """A zigzag integer and the offset after it; a negative offset is an error code."""
    bits, shift = np.uint64(0), np.uint64(0)
    place = np.uint64(position)  # unsigned: numba then adds no test for negative indices
    last = np.uint64(min(end - position, 10)) + place
    while place < last:
        byte = data[place]
        place += np.uint64(1)
        bits |= np.uint64(byte & 0x7F) << shift
        if byte < 0x80:
            if shift == 63 and byte > 1:
                return _LONG_VARINT, 0
            return np.int64(place), np.int64(bits >> np.uint64(1)) ^ -np.int64(bits & np.uint64(1))
        shift += np.uint64(7)
    return _TRUNCATED if end - position < 10 else _LONG_VARINT, 0


@kernel
def _skip_varint(data: Any, position: int, end: int) -> Any:
    """The offset after an integer, or an error code."""
    first = place = np.uint64(position)
    last = np.uint64(min(end - position, 10)) + place
    while place < last:
        byte = data[place]
        place += np.uint64(1)
        if byte < 0x80:
            return _LONG_VARINT if byte > 1 and place - first == 10 else np.int64(place)
    return _TRUNCATED if end - position < 10 else _LONG_VARINT


@kernel
def _length(data: Any, position: int, end: int) -> tuple[Any, Any]:
    """Offset after a length and the length, or an error code."""
    position, size = _varint(data, position, end)
    if position < 0:
        return position, 0
    if size < 0:
        return _NEGATIVE, 0
    if size > end - position:
        return _TRUNCATED, 0
    return position, size


@kernel
def _is_utf8(data: Any, position: int, stop: int) -> bool:
    """Whether bytes are UTF-8 (Unicode 15, table 3-7): no surrogates, no overlong forms."""
    while position < stop:
        lead = data[position]
        if lead < 0x80:
            position += 1
            continue
        if 0xC2 <= lead <= 0xDF:
            more = 1
        elif 0xE0 <= lead <= 0xEF:
            more = 2
        elif 0xF0 <= lead <= 0xF4:
            more = 3
        else:
            return False
        if position + more >= stop:
            return False
        second = data[position + 1]
        low = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
        high = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
        if second < low or second > high:
            return False
        for i in range(2, more + 1):
            if data[position + i] & 0xC0 != 0x80:
                return False
        position += more + 1
    return True


@kernel(inner=True)
def _skip_counted(data: Any, position: int, end: int, text: bool) -> int:
    position, size = _length(data, position, end)
    if position < 0:
        return position
    if text and not _is_utf8(data, position, position + size):
        return _UTF8
    return position + size


@kernel(inner=True)
def _skip_optionals(
    data: Any, position: int, end: int, entries: Any, first: int, count: int, most: int
) -> Any:
    """Skip a run of unions of null and a number, at most `most` bytes in all."""
    if most <= end - position:  # the whole run fits: no check per item
        place, bad = np.uint64(position), np.uint8(0)
        for k in range(first, first + count):
            byte = data[place]
            bad |= byte & np.uint8(0xFD)
            place += np.uint64(1)
            if byte != np.uint8(entries[k] & 0xFF):
                if entries[k] < 256:
                    position = _skip_varint(data, np.int64(place), end)
                    if position < 0:
                        return position
                    place = np.uint64(position)
                else:
                    place += np.uint64(entries[k] >> 8)
        if bad == 0:
            return np.int64(place)
        return _BRANCH
    for k in range(first, first + count):
        if position >= end:
            return _TRUNCATED
        branch, size = data[position], entries[k] >> 8
        position += 1
        if branch & 0xFD:
            return _BRANCH
        if branch != entries[k] & 0xFF:
            if size == 0:
                position = _skip_varint(data, position, end)
                if position < 0:
                    return position
            elif size > end - position:
                return _TRUNCATED
            else:
                position += size
    return position


@kernel(inner=True)
def _skip(instruction: int, argument: int, data: Any, position: int, end: int) -> int:
    """Skip one plain value."""
    if instruction == FIXED:
        return position + argument if argument <= end - position else _TRUNCATED
    if instruction == VARINT:
        return _skip_varint(data, position, end)
    if instruction == ENUM:
        position, index = _varint(data, position, end)
        if position >= 0 and not 0 <= index < argument:
            return _SYMBOL
        return position
    return _skip_counted(data, position, end, instruction == TEXT)


@intrinsic
def _single(_context: Any, bits: Any) -> Any:
    """The float32 with these 32 bits."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def _double(_context: Any, bits: Any) -> Any:
    """The float64 with these 64 bits."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


@kernel(inner=True)
def _word(data: Any, place: Any) -> Any:
    """Four bytes, little-endian; the caller has checked that they exist."""
    return (
        np.uint32(data[place])
        | np.uint32(data[place + np.uint64(1)]) << np.uint32(8)
        | np.uint32(data[place + np.uint64(2)]) << np.uint32(16)
        | np.uint32(data[place + np.uint64(3)]) << np.uint32(24)
    )


@kernel
def _read(
    type_code: int,
    extra: int,
    data: Any,
    position: int,
    end: int,
    at: int,
    kind: Any,
    integer: Any,
    number: Any,
) -> int:
    """Read one value into cell `at`; the offset after it, or an error code."""
    cell = np.uint64(at)
    if type_code == T_NULL:
        kind[cell] = NULL
    elif type_code == T_FLOAT:
        if end - position < 4:
            return _TRUNCATED
        kind[cell] = FLOAT
        number[cell] = np.float64(_single(_word(data, np.uint64(position))))
        position += 4
    elif type_code == T_DOUBLE:
        if end - position < 8:
            return _TRUNCATED
        low, high = _word(data, np.uint64(position)), _word(data, np.uint64(position + 4))
        kind[cell] = FLOAT
        number[cell] = _double(np.uint64(low) | np.uint64(high) << np.uint64(32))
        position += 8
    elif type_code == T_LONG:
        position, value = _varint(data, position, end)
        kind[cell] = INT
        integer[cell] = value
    elif type_code == T_BOOL:
        if position >= end:
            return _TRUNCATED
        if data[position] > 1:
            return _BOOLEAN
        kind[cell] = BOOL
        integer[cell] = data[position]
        position += 1
    elif type_code == T_ENUM:
        position, value = _varint(data, position, end)
        if position >= 0 and not 0 <= value < extra & 0xFFFFF:
            return _SYMBOL
        kind[cell] = SYMBOL
        integer[cell] = (extra >> 20) + value
    else:
        size = extra
        if type_code != T_FIXED:
            position, size = _length(data, position, end)
            if position < 0:
                return position
        if size > end - position:
            return _TRUNCATED
        kind[cell] = BYTES_CELL if type_code >= T_BYTES else TEXT_CELL
        integer[cell] = position
        number[cell] = size
        if type_code < T_BYTES and not _is_utf8(data, position, position + size):
            return _UTF8
        position += size
    return position


@kernel(inner=True)
def _branch(data: Any, position: int, end: int, n_branches: int) -> tuple[Any, Any]:
    """Offset after the branch of a union and the branch, or an error code."""
    if position < end and data[np.uint64(position)] < 0x80 and data[np.uint64(position)] & 1 == 0:
        branch = np.int64(data[np.uint64(position)] >> 1)
        if branch < n_branches:
            return position + 1, branch
    position, branch = _varint(data, position, end)
    if position < 0:
        return position, 0
    if not 0 <= branch < n_branches:
        return _BRANCH, 0
    return position, branch


@kernel(inner=True)
def _open_block(data: Any, position: int, end: int, smallest: int, empty_left: int) -> tuple[int, int, int]:
    """Offset after the head of a block, its count and its stated end (-1 if not stated), or an error code."""
    position, count = _varint(data, position, end)
    stated_end = -1
    if position < 0:
        return position, 0, 0
    if count < 0:
        position, size = _length(data, position, end)
        if position < 0:
            return position, 0, 0
        count = -count
        stated_end = position + size
    room = (end - position) // smallest if smallest > 0 else empty_left
    if count < 0 or count > room:  # the least integer has no opposite
        return _COUNT, 0, 0
    return position, count, stated_end


@kernel(inner=True)
def _next_item(data: Any, position: int, end: int, smallest: int, frames: Any, top: int) -> tuple[int, bool]:
    """Offset of the next item of a block, and whether there is one."""
    if frames[top, 0] > 1:
        frames[top, 0] -= 1
        return position, True
    if frames[top, 1] >= 0 and position != frames[top, 1]:
        return _BLOCK_SIZE, False
    position, count, stated_end = _open_block(data, position, end, smallest, frames[MAX_DEPTH, 0])
    frames[top, 0], frames[top, 1] = count, stated_end
    if smallest == 0:
        frames[MAX_DEPTH, 0] -= count
    return position, count > 0


@kernel(inner=True)
def _interpret(
    code: Any, jumps: Any, optionals: Any, widths: Any, data: Any, position: int, end: int, used: int,
    kind: Any, integer: Any, number: Any, starts: Any, rows: Any, frames: Any,
) -> tuple[int, int, int]:  # fmt: skip
    """Run a program: final offset (or an error code), offset of the last step, number of cells used."""
    depth, base, pc, last = 0, 0, 0, position
    while position >= 0:
        op, a, b, c = code[pc, 0], code[pc, 1], code[pc, 2], code[pc, 3]
        last = position
        pc += 1
        if op == OPTIONAL_NUMBERS:
            position = _skip_optionals(data, position, end, optionals, a, b, c)
        elif op <= TEXT:
            if op == END:
                break
            position = _skip(op, a, data, position, end)
        elif op == CELL:
            position = _read(b, c, data, position, end, base + a, kind, integer, number)
        elif op == OPTIONAL_CELL:
            position, branch = _branch(data, position, end, 2)
            if position >= 0:
                type_code = T_NULL if branch == b & 1 else b >> 1
                position = _read(type_code, c, data, position, end, base + a, kind, integer, number)
        elif op == OPTIONAL:
            position, branch = _branch(data, position, end, 2)
            if position >= 0 and 2 * branch != a:
                position = _skip(b, 0, data, position, end)
        elif op == UNION:
            position, branch = _branch(data, position, end, a)
            pc = jumps[b + branch]
        elif op == JUMP:
            pc = a
        elif op == ROW:
            base = used
            used += widths[a]
            if used > len(kind):
                position = _FULL
                break
            kind[base:used] = ABSENT
            if rows[a] == 0:
                starts[a] = base
            rows[a] += 1
        elif op == RETURN:
            depth -= 1
            pc = frames[depth, 3]
        else:  # BLOCK, NEXT or CALL
            block = a if op == NEXT else pc - 1
            if op != NEXT:
                if depth == MAX_DEPTH:
                    position = _DEPTH
                    break
                frames[depth, 0], frames[depth, 1], frames[depth, 2], frames[depth, 3] = 0, -1, base, pc
                depth += 1
            if op == CALL:
                pc = a
            else:
                position, more = _next_item(data, position, end, code[block, 2], frames, depth - 1)
                pc = block + 1
                if not more:
                    depth -= 1
                    base, pc = frames[depth, 2], code[block, 1]
    return position, last, used


@kernel
def run_program(
    code: Any, jumps: Any, optionals: Any, widths: Any, n_scalars: int, data: Any, position: int,
    room: int, most: int,
) -> tuple[int, int, Any, Any, Any, Any, Any]:  # fmt: skip
    """Read one packet: its end (or an error code), offset of the last step, and at most `most` cells."""
    starts, rows = np.empty(len(widths), np.int64), np.empty(len(widths), np.int64)
    # open blocks and calls: items left, stated end, cells of the enclosing row, return address;
    # the last row counts the items without bytes that may still come
    frames = np.empty((MAX_DEPTH + 1, 4), np.int64)
    while True:
        kind, integer, number = np.empty(room, np.uint8), np.empty(room, np.int64), np.empty(room)
        kind[:n_scalars] = ABSENT
        starts[:], rows[:], frames[MAX_DEPTH, 0] = 0, 0, MAX_EMPTY
        stop, last, used = _interpret(
            code, jumps, optionals, widths, data, position, len(data), n_scalars,
            kind, integer, number, starts, rows, frames,
        )  # fmt: skip
        if stop != _FULL or room >= most:
            return stop, last, kind[:used], integer[:used], number[:used], starts, rows
        room = min(2 * room, most)
