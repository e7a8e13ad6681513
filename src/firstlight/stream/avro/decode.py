"""Decoders of Avro packets that read only the wanted fields.

`SelectiveDecoder` runs a schema's program in compiled code; `decoder_for` falls back to fastavro
where a program cannot reach a wanted field.
"""

from dataclasses import dataclass
from io import BytesIO
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from firstlight.errors import DataError, missing_extra
from firstlight.stream.avro.kernels import (
    ABSENT,
    BOOL,
    BYTES_CELL,
    FIRST_ROWS,
    FLOAT,
    INT,
    NULL,
    REASONS,
    SYMBOL,
    TEXT_CELL,
    run_program,
)
from firstlight.stream.avro.schema import (
    Program,
    Selection,
    UnsupportedSchemaError,
    compile_schema,
    without_logical_types,
)
from firstlight.stream.limits import DEFAULT_LIMITS, Limits


@dataclass(slots=True, eq=False)  # not frozen: one is made per packet, in half the time
class Cells:
    """The fields read from one packet: single values, then the rows of each table."""

    kind: NDArray[np.uint8]  # (n_cells,), kind of each cell, as in `avro.kernels`
    integer: NDArray[np.int64]  # bools and ints, offset in `data` of text and bytes, index of a symbol
    number: NDArray[np.float64]  # floats, length of text and bytes
    starts: NDArray[np.int64]  # (n_tables,), first cell
    rows: NDArray[np.int64]  # (n_tables,), number of rows
    widths: NDArray[np.int64]  # (n_tables,), cells per row
    data: bytes  # buffer that holds text and bytes
    symbols: tuple[str, ...]  # of all enums
    n_scalars: int  # number of single values
    end: int  # byte of the buffer at which the packet ends

    def scalars(self) -> list[Any]:
        """The single values as Python objects; None if absent or null."""
        return self.values(0, self.n_scalars)

    def table(self, number: int) -> list[list[Any]]:
        """The rows of one table as Python objects."""
        start, width = int(self.starts[number]), int(self.widths[number])
        return [self.values(start + i * width, width) for i in range(int(self.rows[number]))]

    def values(self, start: int, count: int) -> list[Any]:
        """Some cells as Python objects; None if absent or null."""
        window = slice(start, start + count)
        columns = self.kind[window].tolist(), self.integer[window].tolist(), self.number[window].tolist()
        return [
            None
            if kind <= NULL
            else integer
            if kind == INT
            else number
            if kind == FLOAT
            else self._value(kind, integer, number)
            for kind, integer, number in zip(*columns, strict=True)
        ]

    def _value(self, kind: int, integer: int, number: float) -> Any:
        """Value of a cell that holds neither an int nor a float."""
        if kind == BOOL:
            return bool(integer)
        if kind == SYMBOL:
            return self.symbols[integer]
        piece = self.data[integer : integer + int(number)]
        return piece.decode() if kind == TEXT_CELL else piece


class PacketDecoder(Protocol):
    """Reads the selected fields of packets of one schema; DataError for a damaged packet."""

    def decode(self, data: bytes, start: int = 0, *, whole: bool = True) -> Cells:
        """Read the packet that begins at byte `start`; with `whole`, it must end with the buffer."""
        ...


class SelectiveDecoder:
    r"""The compiled decoder of one schema and one selection; safe in threads.

    `UnsupportedSchemaError` if a program cannot reach a wanted field, DataError if the JSON is not an
    Avro schema or exceeds the limits.

    >>> schema = {"type": "record", "name": "a", "fields": [{"name": "x", "type": "long"}]}
    >>> SelectiveDecoder(schema, Selection(scalars=("x",))).decode(b"\x06").scalars()
    [3]
    """

    def __init__(self, schema: Any, selection: Selection, limits: Limits = DEFAULT_LIMITS) -> None:
        self.program: Program = compile_schema(schema, selection, limits)
        width = int(self.program.widths.max())
        self._most = self.program.n_scalars + limits.table_rows * width + 1
        self._room = min(self.program.n_scalars + FIRST_ROWS * width + 1, self._most)

    def decode(self, data: bytes, start: int = 0, *, whole: bool = True) -> Cells:
        """See `PacketDecoder.decode`; the error names the damage and the byte."""
        program = self.program
        end, last, kind, integer, number, starts, rows = run_program(
            program.code,
            program.jumps,
            program.optionals,
            program.widths,
            program.n_scalars,
            np.frombuffer(data, np.uint8),
            start,
            self._room,
            self._most,
        )
        if end < 0:
            raise DataError(f"damaged Avro packet of {len(data)} bytes: {REASONS[end]}, after byte {last}")
        if whole and end != len(data):
            raise DataError(f"damaged Avro packet: {len(data) - end} of its {len(data)} bytes are left over")
        self._room = max(self._room, len(kind))  # as a guess for the next packet
        return Cells(
            kind,
            integer,
            number,
            starts,
            rows,
            program.widths,
            data,
            program.symbols,
            program.n_scalars,
            end,
        )


class FastavroDecoder:
    """Decoder by fastavro, for schemas with a wanted field inside a map; logical types are ignored.

    The compiled decoder first checks the packet, so that fastavro sees only sound bytes.
    """

    def __init__(self, schema: Any, selection: Selection, limits: Limits = DEFAULT_LIMITS) -> None:
        fastavro = fastavro_module()
        plain = without_logical_types(schema, limits)
        self._check = SelectiveDecoder(plain, Selection(), limits)
        self._read = fastavro.schemaless_reader
        try:
            self._schema = fastavro.parse_schema(plain)
        except (
            *(fastavro.schema.SchemaParseException, fastavro.schema.UnknownType),
            *(TypeError, ValueError, KeyError, AttributeError),  # values of wrong types in the schema
        ) as error:
            raise DataError(f"not an Avro schema: {error}") from error
        self._selection = selection

    def decode(self, data: bytes, start: int = 0, *, whole: bool = True) -> Cells:
        """See `PacketDecoder.decode`."""
        end = self._check.decode(data, start, whole=whole).end
        record = self._read(BytesIO(data[start:end]), self._schema, None)
        return cells_of(record, self._selection, end)


def cells_of(record: Any, selection: Selection, end: int = 0) -> Cells:
    """Cells of a packet that is already dicts, lists and plain values (JSON, BSON or fastavro)."""
    values = [_follow(record, path.split(".")) for path in selection.scalars]
    starts, rows, widths = [], [], []
    for path, names in selection.tables:
        items = _follow(record, path.split("."))
        items = items if isinstance(items, list) else []
        starts.append(len(values) if items else 0)
        rows.append(len(items))
        widths.append(len(names))
        paths = [name.split(".") for name in names]
        for item in items:
            values.extend([_follow(item, path) for path in paths])
    kind, integer, number = (
        np.zeros(len(values), np.uint8),
        np.zeros(len(values), np.int64),
        np.zeros(len(values)),
    )
    data = bytearray()
    for i, value in enumerate(values):
        kind[i], integer[i], number[i] = _cell(value, data)
    return Cells(
        kind,
        integer,
        number,
        np.array(starts or [0], np.int64),
        np.array(rows or [0], np.int64),
        np.array(widths or [0], np.int64),
        bytes(data),
        (),
        len(selection.scalars),
        end,
    )


_MISSING: Any = object()


def _follow(value: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _cell(value: Any, data: bytearray) -> tuple[int, int, float]:
    """Kind, integer and number of one value; text is appended to `data`."""
    if value is None:
        return NULL, 0, 0.0
    if isinstance(value, bool):
        return BOOL, int(value), 0.0
    if isinstance(value, float):
        return FLOAT, 0, value
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise DataError(f"an integer of {value.bit_length():,} bits, more than 64")
        return INT, value, 0.0
    if isinstance(value, str | bytes):
        # JSON may hold lone surrogates, which UTF-8 lacks
        piece = value.encode(errors="replace") if isinstance(value, str) else value
        place = len(data)
        data.extend(piece)
        return (TEXT_CELL if isinstance(value, str) else BYTES_CELL), place, float(len(piece))
    return ABSENT, 0, 0.0


def decoder_for(schema: Any, selection: Selection, limits: Limits = DEFAULT_LIMITS) -> PacketDecoder:
    """The compiled decoder of a schema, or fastavro's for fields inside a map.

    MissingExtraError if fastavro is needed and not installed, DataError if the JSON is not an Avro schema.
    """
    try:
        return SelectiveDecoder(schema, selection, limits)
    except UnsupportedSchemaError:
        return FastavroDecoder(schema, selection, limits)


def fastavro_module() -> ModuleType:
    """Import fastavro; MissingExtraError if it is not installed."""
    try:
        import fastavro
        import fastavro.schema
    except ImportError as error:
        raise missing_extra("reading and writing Avro", "fastavro", "stream") from error
    module: ModuleType = fastavro
    return module
