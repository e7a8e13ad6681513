"""An Avro schema compiled to a program that reads a few fields and skips the rest.

A program is a flat table of integers, which `avro.kernels` runs over the bytes. Reference: Apache
Avro 1.11, section "Binary encoding".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.errors import DataError
from firstlight.stream.limits import DEFAULT_LIMITS, Limits, size_text

# Instructions. Each row of a program is (instruction, a, b, c).
END, FIXED, VARINT, ENUM, BYTES, TEXT = 0, 1, 2, 3, 4, 5
UNION, JUMP, BLOCK, NEXT, ROW, CALL, RETURN = 6, 7, 8, 9, 10, 11, 12
CELL, OPTIONAL_CELL, OPTIONAL_NUMBERS, OPTIONAL = 13, 14, 15, 16

# The value that a CELL reads (its argument b).
T_NULL, T_BOOL, T_LONG, T_FLOAT, T_DOUBLE, T_TEXT, T_BYTES, T_FIXED, T_ENUM = 0, 1, 2, 3, 4, 5, 6, 7, 8

NULL_FIRST, NULL_SECOND = 0, 2  # the byte that stands for null in a union of two: zigzag of 0 and 1

MAX_INSTRUCTIONS = 200_000
MAX_VARINT = 10  # bytes of the longest integer
MAX_SMALLEST = 1 << 40  # a value of which no packet can hold one
MAX_FIXED = 1 << 20  # larger fixed values go through a plain union

_PRIMITIVES: Mapping[str, int] = {
    "null": T_NULL,
    "boolean": T_BOOL,
    "int": T_LONG,
    "long": T_LONG,
    "float": T_FLOAT,
    "double": T_DOUBLE,
    "string": T_TEXT,
    "bytes": T_BYTES,
}
_FIXED_SIZE = {"null": 0, "boolean": 1, "float": 4, "double": 8}
_RECORDS = ("record", "error")


class UnsupportedSchemaError(DataError):
    """A valid schema with a wanted field that a program cannot reach."""


@dataclass(frozen=True)
class Selection:
    """Fields of a packet to read, as dotted paths such as ``diaSource.psfFlux``."""

    scalars: tuple[str, ...] = ()  # single values
    tables: tuple[tuple[str, tuple[str, ...]], ...] = ()  # arrays of records, and their fields


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled schema."""

    code: NDArray[np.int64]  # (n_instructions, 4), the instructions with their three arguments
    jumps: NDArray[np.int64]  # instruction at which each branch of each union begins
    # unions of null and a number: 256 times its size (0 for integers), plus the byte for null
    optionals: NDArray[np.int64]
    widths: NDArray[np.int64]  # (n_tables,), fields read of each table
    symbols: tuple[str, ...]  # of all enums that are read
    n_scalars: int  # number of single values


@dataclass
class _Wanted:
    """The cells to read below one place of the schema."""

    column: int = -1
    table: int = -1
    children: "dict[str, _Wanted]" = field(default_factory=dict)

    def at(self, path: str) -> "_Wanted":
        place = self
        for name in path.split("."):
            place = place.children.setdefault(name, _Wanted())
        return place


def compile_schema(schema: Any, selection: Selection, limits: Limits = DEFAULT_LIMITS) -> Program:
    """Compile the program that reads some fields of packets of one schema.

    Raises `UnsupportedSchemaError` if a wanted field is inside a map, or a wanted table is not an
    array of records; DataError if the JSON is not an Avro schema or exceeds the limits.
    """
    check_bounds(schema, limits)
    root = _Wanted()
    for column, path in enumerate(selection.scalars):
        root.at(path).column = column
    for number, (path, names) in enumerate(selection.tables):
        place = root.at(path)
        place.table = number
        for column, name in enumerate(names):
            place.at(name).column = column
    compiler = _Compiler(limits)
    try:
        compiler.collect(schema, "")
        compiler.emit(schema, root, "")
        compiler.add(END)
        compiler.finish_subroutines()
    except RecursionError:
        raise DataError("the Avro schema is nested too deeply for an alert") from None
    return Program(
        code=np.array(compiler.code, dtype=np.int64),
        jumps=np.array(compiler.jumps or [0], dtype=np.int64),
        optionals=np.array(compiler.optionals or [0], dtype=np.int64),
        widths=np.array([len(names) for _, names in selection.tables] or [0], dtype=np.int64),
        symbols=tuple(compiler.symbols),
        n_scalars=len(selection.scalars),
    )


def field_paths(schema: Any, limits: Limits = DEFAULT_LIMITS) -> frozenset[str]:
    """Every dotted path of a schema through records, unions and arrays, such as ``diaSource.psfFlux``.

    Recursive records are followed once. DataError if the JSON is not an Avro schema or exceeds the limits.
    """
    check_bounds(schema, limits)
    compiler = _Compiler(limits)
    try:
        compiler.collect(schema, "")
        return frozenset(compiler.paths(schema, "", "", frozenset()))
    except RecursionError:
        raise DataError("the Avro schema is nested too deeply for an alert") from None


def check_bounds(schema: Any, limits: Limits = DEFAULT_LIMITS) -> None:
    """DataError if the JSON of a schema is nested more deeply, or has more parts, than `limits` allow.

    It runs before anything that calls itself, and needs no recursion.
    """
    n_nodes, open_nodes = 0, [(schema, 1)]
    while open_nodes:
        node, depth = open_nodes.pop()
        n_nodes += 1
        if n_nodes > limits.schema_nodes:
            raise DataError(
                f"the Avro schema has more than {limits.schema_nodes} parts, the limit schema_nodes; "
                "those of alerts have some 10,000"
            )
        if depth > limits.schema_depth:
            raise DataError(
                f"the Avro schema has more than {limits.schema_depth} levels, the limit schema_depth: "
                "it is nested too deeply for an alert"
            )
        if isinstance(node, dict):
            open_nodes += [(item, depth + 1) for item in node.values()]
        elif isinstance(node, list):
            open_nodes += [(item, depth + 1) for item in node]


def without_logical_types(schema: Any, limits: Limits = DEFAULT_LIMITS) -> Any:
    """A copy of a schema that reads values as they are in the bytes; DataError if it exceeds the limits."""
    check_bounds(schema, limits)
    return _without_logical_types(schema)


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical_types(item) for item in schema]
    if isinstance(schema, dict):
        return {key: _without_logical_types(item) for key, item in schema.items() if key != "logicalType"}
    return schema


class _Compiler:
    """Writes the instructions for one schema, whose named types it knows."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.n_paths = self.path_bytes = 0  # so far
        self.code: list[tuple[int, int, int, int]] = []
        self.jumps: list[int] = []
        self.optionals: list[int] = []
        self.symbols: list[str] = []
        self.named: dict[str, tuple[dict[str, Any], str]] = {}  # full name -> type, its namespace
        self.smallest: dict[str, int] = {}
        self.subroutines: dict[str, list[int]] = {}  # full name -> CALLs to patch
        self.fusable = 0  # instructions before this one may be targets of jumps and are not merged

    # --- the schema ------------------------------------------------------------

    def collect(self, schema: Any, namespace: str) -> None:
        """Note every named type; DataError if this is not a schema."""
        if isinstance(schema, str):
            return
        if isinstance(schema, list):
            for branch in schema:
                self.collect(branch, namespace)
            return
        if not isinstance(schema, dict) or "type" not in schema:
            raise DataError(f"not an Avro schema: {str(schema)[:60]!r}; expected a name, a list or a type")
        kind = schema["type"]
        if kind in (*_RECORDS, "enum", "fixed"):
            name, inner = _full_name(schema, namespace)
            self.named[name] = (schema, inner)
            if kind == "enum":
                _check_list(schema, "symbols", str)
            elif kind == "fixed":
                _check_size(schema)
            else:
                for entry in _check_list(schema, "fields", dict):
                    self.collect(_field_type(entry), inner)
        elif kind == "array":
            self.collect(schema.get("items"), namespace)
        elif kind == "map":
            self.collect(schema.get("values"), namespace)
        elif not isinstance(kind, str):
            self.collect(kind, namespace)

    def resolve(self, schema: Any, namespace: str) -> tuple[Any, str, str]:
        """Definition, kind and namespace of a type, through names and wrappings."""
        while True:
            if isinstance(schema, list):
                return schema, "union", namespace
            kind = schema["type"] if isinstance(schema, dict) else schema
            if not isinstance(kind, str):
                schema = kind
            elif kind in _PRIMITIVES or (isinstance(schema, dict) and kind in ("array", "map")):
                return schema, kind, namespace
            elif isinstance(schema, dict) and kind in (*_RECORDS, "enum", "fixed"):
                return schema, "record" if kind in _RECORDS else kind, _full_name(schema, namespace)[1]
            else:
                schema, namespace = self.lookup(kind, namespace)

    def lookup(self, name: str, namespace: str) -> tuple[dict[str, Any], str]:
        for full in (f"{namespace}.{name}", name):
            if full in self.named:
                definition, inner = self.named[full]
                # the namespace is that of the definition, not of the reference
                return {**definition, "name": full, "namespace": full.rpartition(".")[0]}, inner
        raise DataError(f"the Avro schema uses the type {name!r}, which it does not define")

    def paths(self, schema: Any, namespace: str, above: str, open_names: frozenset[str]) -> Iterator[str]:
        schema, kind, namespace = self.resolve(schema, namespace)
        if kind == "union":
            for branch in schema:
                yield from self.paths(branch, namespace, above, open_names)
        elif kind == "array":
            yield from self.paths(schema["items"], namespace, above, open_names)
        elif kind == "record":
            name, inner = _full_name(schema, namespace)
            if name in open_names:
                return
            for entry in schema["fields"]:
                path = f"{above}.{entry['name']}" if above else entry["name"]
                self.count_path(path)
                yield path
                yield from self.paths(_field_type(entry), inner, path, open_names | {name})

    def count_path(self, path: str) -> None:
        """DataError if records inside records expand to more fields than the limits allow."""
        self.n_paths += 1
        self.path_bytes += len(path)
        limits = self.limits
        if self.n_paths > limits.schema_nodes or self.path_bytes > limits.schema_bytes:
            raise DataError(
                f"the Avro schema expands to more than {limits.schema_nodes} fields or "
                f"{size_text(limits.schema_bytes)}, the limits schema_nodes and schema_bytes"
            )

    def min_size(self, schema: Any, namespace: str) -> int:
        """Fewest bytes of a value; a lower bound for a recursive type."""
        schema, kind, namespace = self.resolve(schema, namespace)
        if kind == "union":
            return 1 + min((self.min_size(branch, namespace) for branch in schema), default=0)
        if kind == "fixed":
            return int(schema["size"])
        if kind != "record":
            return _FIXED_SIZE.get(kind, 1)
        name, inner = _full_name(schema, namespace)
        if name not in self.smallest:
            self.smallest[name] = 0
            size = sum(self.min_size(_field_type(f), inner) for f in schema["fields"])
            self.smallest[name] = min(size, MAX_SMALLEST)
        return self.smallest[name]

    # --- instructions ------------------------------------------------------------

    def add(self, instruction: int, a: int = 0, b: int = 0, c: int = 0) -> int:
        """Append one instruction, merged with the last if both only skip."""
        if len(self.code) >= MAX_INSTRUCTIONS:
            raise DataError(
                f"the Avro schema needs more than {MAX_INSTRUCTIONS} steps; those of alerts need fewer"
            )
        if len(self.code) > self.fusable:
            last, last_a, last_b, last_c = self.code[-1]
            if instruction == FIXED and last == FIXED:
                self.code[-1] = (FIXED, last_a + a, 0, 0)
                return len(self.code) - 1
            if instruction == OPTIONAL_NUMBERS and last == OPTIONAL_NUMBERS:
                self.code[-1] = (OPTIONAL_NUMBERS, last_a, last_b + b, last_c + c)
                return len(self.code) - 1
        self.code.append((instruction, a, b, c))
        return len(self.code) - 1

    def mark(self) -> int:
        """Index of the next instruction, as a target of jumps; it is not merged with the last."""
        self.fusable = len(self.code)
        return len(self.code)

    def patch(self, at: int, **arguments: int) -> None:
        row = dict(zip("iabc", self.code[at], strict=True)) | arguments
        self.code[at] = (row["i"], row["a"], row["b"], row["c"])

    def emit(self, schema: Any, wanted: _Wanted | None, namespace: str) -> None:
        """Instructions for one value: read the wanted fields, skip the rest."""
        schema, kind, namespace = self.resolve(schema, namespace)
        if wanted is not None and wanted.table >= 0 and kind not in ("union", "array", "map"):
            wanted = None  # not a table, so it has no columns
        if kind == "union":
            self.emit_union(schema, wanted, namespace)
        elif kind == "record":
            self.emit_record(schema, wanted, namespace)
        elif kind in ("array", "map"):
            self.emit_block(schema, kind, wanted, namespace)
        elif wanted is not None and wanted.column >= 0:
            type_code, extra = self.cell_type(schema, kind)
            self.add(CELL, wanted.column, type_code, extra)
        elif kind == "enum":
            self.add(ENUM, len(schema["symbols"]))
        elif kind == "fixed":
            self.add(FIXED, int(schema["size"]))
        elif kind in _FIXED_SIZE:
            if _FIXED_SIZE[kind]:
                self.add(FIXED, _FIXED_SIZE[kind])
        else:
            self.add({"string": TEXT, "bytes": BYTES}.get(kind, VARINT))

    def cell_type(self, schema: Any, kind: str) -> tuple[int, int]:
        """Type code of a cell, with the size of a fixed or the offset and number of symbols."""
        if kind == "enum":
            first = len(self.symbols)
            self.symbols.extend(schema["symbols"])
            return T_ENUM, (first << 20) | len(schema["symbols"])
        if kind == "fixed":
            return T_FIXED, int(schema["size"])
        return _PRIMITIVES[kind], 0

    def emit_record(self, schema: dict[str, Any], wanted: _Wanted | None, namespace: str) -> None:
        name, inner = _full_name(schema, namespace)
        if wanted is None or not wanted.children:
            # skipped records are written once and called, since a record may hold itself
            self.subroutines.setdefault(name, []).append(self.add(CALL))
            return
        for entry in schema["fields"]:
            self.emit(_field_type(entry), wanted.children.get(entry["name"]), inner)

    def emit_union(self, branches: list[Any], wanted: _Wanted | None, namespace: str) -> None:
        if not branches or any(self.resolve(branch, namespace)[1] == "union" for branch in branches):
            raise DataError("not an Avro schema: a union without branches, or directly inside a union")
        if self.emit_optional(branches, wanted, namespace):
            return
        first = len(self.jumps)
        self.jumps.extend([0] * len(branches))
        self.add(UNION, len(branches), first)
        exits = []
        for number, branch in enumerate(branches):
            self.jumps[first + number] = self.mark()
            self.emit(branch, wanted, namespace)
            exits.append(self.add(JUMP))
        after = self.mark()
        for at in exits:
            self.patch(at, a=after)

    def emit_optional(self, branches: list[Any], wanted: _Wanted | None, namespace: str) -> bool:
        """One instruction for the commonest union, a scalar or null; False for any other union."""
        kinds = [self.resolve(branch, namespace)[1] for branch in branches]
        if len(branches) != 2 or "null" not in kinds or kinds == ["null", "null"]:
            return False
        null_index = kinds.index("null")
        schema, kind, _ = self.resolve(branches[1 - null_index], namespace)
        if kind in ("record", "array", "map"):
            return False
        if wanted is not None and wanted.column >= 0:
            type_code, extra = self.cell_type(schema, kind)
            self.add(OPTIONAL_CELL, wanted.column, 2 * type_code + null_index, extra)
            return True
        null_byte = NULL_SECOND if null_index else NULL_FIRST
        size = int(schema["size"]) if kind == "fixed" else _FIXED_SIZE.get(kind, 0)
        if kind in ("string", "bytes"):
            self.add(OPTIONAL, null_byte, TEXT if kind == "string" else BYTES)
        elif kind in ("int", "long") or 0 < size < MAX_FIXED:
            self.optionals.append(256 * size + null_byte)
            self.add(OPTIONAL_NUMBERS, len(self.optionals) - 1, 1, 1 + (size or MAX_VARINT))
        else:
            return False
        return True

    def emit_block(self, schema: dict[str, Any], kind: str, wanted: _Wanted | None, namespace: str) -> None:
        items = schema["items" if kind == "array" else "values"]
        inner: _Wanted | None = None
        table = -1
        if wanted is not None and (wanted.children or wanted.table >= 0):
            if kind == "map" or wanted.table < 0 or not self.is_record(items, namespace):
                raise UnsupportedSchemaError(
                    f"wanted fields {sorted(wanted.children)} are inside a {kind}, "
                    "which is not an array of records"
                )
            inner, table = wanted, wanted.table
        smallest = self.min_size(items, namespace) + (1 if kind == "map" else 0)
        start = self.add(BLOCK, 0, smallest, table)
        self.mark()
        if table >= 0:
            self.add(ROW, table)
        if kind == "map":
            self.add(TEXT)
        if inner is not None and inner.children:
            self.emit(items, _Wanted(children=inner.children), namespace)
        else:
            self.emit(items, None, namespace)
        self.add(NEXT, start)
        self.patch(start, a=self.mark())

    def is_record(self, schema: Any, namespace: str) -> bool:
        schema, kind, namespace = self.resolve(schema, namespace)
        if kind == "union":
            return any(self.is_record(branch, namespace) for branch in schema)
        return kind == "record"

    def finish_subroutines(self) -> None:
        """Write each skipped record once, with the records inside it."""
        written: dict[str, int] = {}
        while pending := [name for name in self.subroutines if name not in written]:
            for name in pending:
                written[name] = self.mark()
                schema, inner = self.named[name]
                for entry in schema["fields"]:
                    self.emit(_field_type(entry), None, inner)
                self.add(RETURN)
        for name, calls in self.subroutines.items():
            for at in calls:
                self.patch(at, a=written[name])


def _full_name(schema: dict[str, Any], namespace: str) -> tuple[str, str]:
    """Full name of a named type, and the namespace inside it."""
    name = schema.get("name")
    if not isinstance(name, str) or not name:
        raise DataError(f"an Avro {schema.get('type')} without a name")
    if "." in name:
        return name, name.rpartition(".")[0]
    inner = schema.get("namespace", namespace) or ""
    return (f"{inner}.{name}" if inner else name), inner


def _field_type(entry: Any) -> Any:
    if not isinstance(entry, dict) or "type" not in entry or not isinstance(entry.get("name"), str):
        raise DataError(f"an Avro record has a field without name or type: {str(entry)[:60]!r}")
    return entry["type"]


def _check_list(schema: dict[str, Any], key: str, kind: type) -> list[Any]:
    values = schema.get(key)
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise DataError(f"the Avro {schema['type']} {schema.get('name')!r} has no list of {key}")
    return values


def _check_size(schema: dict[str, Any]) -> None:
    size = schema.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 31:
        raise DataError(f"the Avro fixed {schema.get('name')!r} has size {size!r}")
