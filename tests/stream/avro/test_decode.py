"""The compiled decoder against fastavro: random schemas and packets, damaged ones too."""

import contextlib
import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstlight.errors import DataError
from firstlight.stream.avro.decode import Cells, FastavroDecoder, SelectiveDecoder, cells_of, decoder_for
from firstlight.stream.avro.kernels import MAX_DEPTH, MAX_EMPTY
from firstlight.stream.avro.schema import Selection, UnsupportedSchemaError, without_logical_types
from firstlight.stream.limits import Limits

fastavro = pytest.importorskip("fastavro")

SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))

# --- random schemas -------------------------------------------------------------

LOGICAL = st.sampled_from(
    [
        {"type": "long", "logicalType": "timestamp-micros"},
        {"type": "int", "logicalType": "date"},
        {"type": "string", "logicalType": "uuid"},
        {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    ]
)
PRIMITIVE = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "string", "bytes"])


@dataclass
class Names:
    """Names given out so far, and the records that may be named again."""

    count: int = 0
    records: tuple[str, ...] = ()

    def new(self) -> str:
        self.count += 1
        return f"T{self.count}"


@st.composite
def types(draw: st.DrawFn, names: Names, depth: int = 0) -> Any:
    """Any Avro type; deeper ones are simpler."""
    shape = draw(st.integers(0, 5 if depth >= 3 else 10))
    if shape <= 2:
        return draw(PRIMITIVE)
    if shape == 3:
        return draw(LOGICAL)
    if shape == 4:
        size = draw(st.integers(0, 9))
        return {"type": "fixed", "name": names.new(), "size": size}
    if shape == 5:
        count = draw(st.integers(1, 3))
        return {"type": "enum", "name": names.new(), "symbols": [f"S{i}" for i in range(count)]}
    if shape == 6:
        return {"type": "array", "items": draw(types(names, depth + 1))}
    if shape == 7:
        return {"type": "map", "values": draw(types(names, depth + 1))}
    if shape == 8 and names.records:
        return draw(st.sampled_from(names.records))
    if shape == 9:
        return draw(unions(names, depth + 1))
    return draw(records(names, depth + 1))


@st.composite
def unions(draw: st.DrawFn, names: Names, depth: int) -> Any:
    simple = draw(st.booleans())  # the commonest: one type or null
    kept: list[Any] = []
    seen = {"null"} if simple else set()
    for _ in range(1 if simple else draw(st.integers(1, 4))):
        known = names.records
        branch = draw(types(names, depth))
        kind = branch["type"] if isinstance(branch, dict) else str(branch)
        key = branch["name"] if isinstance(branch, dict) and "name" in branch else kind
        if isinstance(branch, list) or key in seen:
            names.records = known  # a branch that is dropped defines nothing
        else:
            seen.add(key)
            kept.append(branch)
    if simple:
        return ["null", *(kept or ["long"])] if draw(st.booleans()) else [*(kept or ["long"]), "null"]
    return kept or ["null"]


@st.composite
def records(draw: st.DrawFn, names: Names, depth: int = 0) -> Any:
    name = names.new()
    count = draw(st.integers(0 if depth else 1, 5))
    fields = [{"name": f"f{i}", "type": draw(types(names, depth))} for i in range(count)]
    names.records += (name,)
    return {"type": "record", "name": name, "fields": fields}


# --- random packets of a schema, by an encoder of our own -------------------------

SPECIAL = [0.0, -0.0, 1.5, float("nan"), float("inf"), -float("inf"), 3e38, 5e-324]


def zigzag(value: int) -> bytes:
    bits, out = ((value << 1) ^ (value >> 63)) & (1 << 64) - 1, bytearray()
    while bits > 0x7F:
        out.append(bits & 0x7F | 0x80)
        bits >>= 7
    out.append(bits)
    return bytes(out)


def counted(piece: bytes) -> bytes:
    return zigzag(len(piece)) + piece


class Encoder:
    """Writes random values of a schema, with every form of blocks that Avro allows."""

    def __init__(self, draw: st.DrawFn, schema: Any) -> None:
        self.draw = draw
        self.named: dict[str, Any] = {}
        self.collect(schema)

    def collect(self, schema: Any) -> None:
        if isinstance(schema, list):
            for branch in schema:
                self.collect(branch)
        elif isinstance(schema, dict):
            if "name" in schema:
                self.named[schema["name"]] = schema
            for entry in schema.get("fields", []):
                self.collect(entry["type"])
            self.collect(schema.get("items"))
            self.collect(schema.get("values"))

    def write(self, schema: Any) -> bytes:
        draw = self.draw
        if isinstance(schema, list):
            branch = draw(st.integers(0, len(schema) - 1))
            return zigzag(branch) + self.write(schema[branch])
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind in self.named:
            return self.write(self.named[kind])
        if kind == "null":
            return b""
        if kind == "boolean":
            return bytes([draw(st.integers(0, 1))])
        if kind in ("int", "long"):
            edge = 31 if kind == "int" else 63
            return zigzag(draw(st.integers(-5, 5) | st.integers(-(1 << edge), (1 << edge) - 1)))
        if kind == "float":
            return struct.pack("<f", draw(st.sampled_from(SPECIAL) | st.floats(width=32)))
        if kind == "double":
            return struct.pack("<d", draw(st.sampled_from(SPECIAL) | st.floats()))
        if kind == "string":
            return counted(draw(st.text(max_size=6)).encode())
        if kind == "bytes":
            return counted(draw(st.binary(max_size=6)))
        if kind == "fixed":
            return draw(st.binary(min_size=schema["size"], max_size=schema["size"]))
        if kind == "enum":
            return zigzag(draw(st.integers(0, len(schema["symbols"]) - 1)))
        if kind == "record":
            return b"".join(self.write(entry["type"]) for entry in schema["fields"])
        return self.blocks(schema)

    def blocks(self, schema: Any) -> bytes:
        out = b""
        for _ in range(self.draw(st.integers(0, 2))):
            items = []
            for _ in range(self.draw(st.integers(1, 3))):
                key = counted(self.draw(st.text(max_size=3)).encode()) if schema["type"] == "map" else b""
                items.append(key + self.write(schema.get("items", schema.get("values"))))
            body = b"".join(items)
            sized = self.draw(st.booleans())
            out += zigzag(-len(items)) + zigzag(len(body)) + body if sized else zigzag(len(items)) + body
        return out + zigzag(0)


# --- selection --------------------------------------------------------------------


def reachable(
    schema: Any, named: dict[str, Any], above: str = "", depth: int = 0
) -> tuple[list[str], dict[str, Any]]:
    """Paths of scalars through records and unions, and of arrays with their item types."""
    scalars: list[str] = []
    arrays: dict[str, Any] = {}
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(schema, list):
        for branch in schema:
            more, tables = reachable(branch, named, above, depth)
            scalars += more
            arrays |= tables
    elif isinstance(kind, str) and kind in named:
        return reachable(named[kind], named, above, depth)
    elif kind == "record" and depth < 5:
        for entry in schema["fields"]:
            path = f"{above}.{entry['name']}" if above else entry["name"]
            more, tables = reachable(entry["type"], named, path, depth + 1)
            scalars += more
            arrays |= tables
    elif kind == "array":
        arrays[above] = schema["items"]
    elif kind != "map":
        scalars.append(above)
    return scalars, arrays


@st.composite
def selections(draw: st.DrawFn, schema: Any, named: dict[str, Any]) -> Selection:
    scalars, arrays = reachable(schema, named)
    scalars = sorted(
        {path for path in scalars if not any(path == a or path.startswith(a + ".") for a in arrays)}
    )
    chosen = draw(st.lists(st.sampled_from(scalars), unique=True, max_size=4)) if scalars else []
    tables = []
    for path, items in sorted(arrays.items()):
        inside, inner = reachable(items, named)
        names = sorted({name for name in inside if name and not any(name.startswith(i) for i in inner)})
        nested = any(other != path and path.startswith(other + ".") for other in arrays)
        if names and not nested and draw(st.booleans()):
            tables.append((path, tuple(draw(st.lists(st.sampled_from(names), unique=True, min_size=1)))))
    return Selection((*chosen, "absent.field"), tuple(tables))


@dataclass
class Case:
    schema: Any
    packet: bytes
    selection: Selection


@st.composite
def cases(draw: st.DrawFn) -> Case:
    schema = draw(records(Names()))
    encoder = Encoder(draw, schema)
    return Case(schema, encoder.write(schema), draw(selections(schema, encoder.named)))


def content(cells: Cells) -> str:
    """All values; repr tells -0.0 from 0.0 and keeps NaN equal to itself."""
    return repr((cells.scalars(), [cells.table(i) for i in range(len(cells.rows))]))


def by_fastavro(case: Case, packet: bytes) -> Cells:
    plain = fastavro.parse_schema(without_logical_types(case.schema))
    return cells_of(fastavro.schemaless_reader(io.BytesIO(packet), plain, None), case.selection)


# --- the tests ----------------------------------------------------------------------


@SLOW
@given(cases())
def test_random_packets_read_as_fastavro_reads_them(case: Case) -> None:
    try:
        decoder: SelectiveDecoder | FastavroDecoder = SelectiveDecoder(case.schema, case.selection)
    except UnsupportedSchemaError:  # a wanted field that may also lie in a map: fastavro reads it
        decoder = decoder_for(case.schema, case.selection)
        assert isinstance(decoder, FastavroDecoder)
    cells = decoder.decode(case.packet)
    assert content(cells) == content(by_fastavro(case, case.packet))
    assert content(cells) == content(FastavroDecoder(case.schema, case.selection).decode(case.packet))
    assert cells.end == len(case.packet)


@SLOW
@given(cases(), st.data())
def test_truncated_packets_are_errors(case: Case, data: st.DataObject) -> None:
    decoder = decoder_for(case.schema, case.selection)
    if case.packet:
        cut = data.draw(st.integers(0, len(case.packet) - 1))
        with pytest.raises(DataError, match="damaged Avro packet"):
            decoder.decode(case.packet[:cut])


@SLOW
@given(cases(), st.data())
def test_flipped_bits_are_an_error_or_read_as_fastavro_reads_them(case: Case, data: st.DataObject) -> None:
    if not case.packet:
        return
    packet = bytearray(case.packet)
    for _ in range(data.draw(st.integers(1, 3))):
        packet[data.draw(st.integers(0, len(packet) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        cells = decoder_for(case.schema, case.selection).decode(bytes(packet))
    except DataError:
        return
    # not only no other number: fastavro must find no fault that we have missed
    assert content(cells) == content(by_fastavro(case, bytes(packet)))


@SLOW
@given(cases(), st.binary(max_size=40))
def test_noise_never_raises_anything_but_data_errors(case: Case, noise: bytes) -> None:
    for decoder in (decoder_for(case.schema, case.selection), FastavroDecoder(case.schema, case.selection)):
        with contextlib.suppress(DataError):
            decoder.decode(noise)


@SLOW
@given(cases(), st.binary(max_size=5), st.binary(max_size=5))
def test_a_packet_reads_the_same_inside_a_buffer(case: Case, before: bytes, after: bytes) -> None:
    decoder = decoder_for(case.schema, case.selection)
    cells = decoder.decode(before + case.packet + after, len(before), whole=False)
    assert content(cells) == content(decoder.decode(case.packet))
    assert cells.end == len(before) + len(case.packet)
    if after:
        with pytest.raises(DataError, match="left over"):
            decoder.decode(case.packet + after)


# --- damage of every kind, by hand -----------------------------------------------


def one(kind: Any, packet: bytes) -> Any:
    """Decode a record of one field, reading it and skipping it."""
    schema = {"type": "record", "name": "R", "fields": [{"name": "x", "type": kind}]}
    SelectiveDecoder(schema, Selection()).decode(packet)
    return SelectiveDecoder(schema, Selection(("x",))).decode(packet).scalars()[0]


ENUM = {"type": "enum", "name": "E", "symbols": ["a", "b"]}
FIXED = {"type": "fixed", "name": "F", "size": 3}


@pytest.mark.parametrize(
    ("kind", "packet", "why"),
    [
        ("long", b"", "ends inside a value"),
        ("long", b"\x80", "ends inside a value"),
        ("long", b"\xff" * 11, "more than 64 bits"),
        ("long", b"\xff" * 9 + b"\x02", "more than 64 bits"),
        ("double", b"\0" * 7, "ends inside a value"),
        ("float", b"\0" * 3, "ends inside a value"),
        ("boolean", b"", "ends inside a value"),
        ("string", b"\x04a", "ends inside a value"),
        ("string", b"\x01", "negative length"),
        ("bytes", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "ends inside a value"),
        ("string", b"\x04\xc0\x80", "not UTF-8"),
        ("string", b"\x06\xed\xa0\x80", "not UTF-8"),
        ("string", b"\x08\xf4\x90\x80\x80", "not UTF-8"),
        ("string", b"\x02\xe2", "not UTF-8"),
        (FIXED, b"ab", "ends inside a value"),
        (ENUM, b"\x04", "enum symbol"),
        (ENUM, b"\x01", "enum symbol"),
        (["null", "long"], b"\x04", "union branch"),
        (["null", "long"], b"\x01", "union branch"),
        (["null", "double"], b"\x02\0", "ends inside a value"),
        (["null", "string"], b"\x02\x03", "negative length"),
        (["null", "string", "long"], b"\x06", "union branch"),
        (["long", "null"], b"\x00\x80", "ends inside a value"),
    ],
)
def test_each_kind_of_damage_has_its_reason(kind: Any, packet: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        one(kind, packet)


def array(items: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "R",
        "fields": [{"name": "a", "type": {"type": "array", "items": items}}],
    }


def test_a_block_must_end_at_its_stated_end() -> None:
    decoder = SelectiveDecoder(array("long"), Selection())
    assert decoder.decode(b"\x03\x04\x02\x04\x00").end == 5  # two items in two bytes
    with pytest.raises(DataError, match="size disagrees"):
        decoder.decode(b"\x03\x06\x02\x04\x00")
    with pytest.raises(DataError, match="negative length"):
        decoder.decode(b"\x03\x01\x02\x04\x00")


def test_a_count_larger_than_the_packet_is_refused_at_once() -> None:
    with pytest.raises(DataError, match="more items"):
        SelectiveDecoder(array("double"), Selection()).decode(zigzag(1 << 60) + b"\0" * 64)
    with pytest.raises(DataError, match="more items"):
        SelectiveDecoder(array("double"), Selection()).decode(zigzag(-(1 << 63)) + zigzag(0) + b"\0" * 64)


def test_items_without_bytes_cannot_go_on_for_ever() -> None:
    decoder = SelectiveDecoder(array("null"), Selection())
    assert decoder.decode(zigzag(MAX_EMPTY) + b"\0").end == 4
    with pytest.raises(DataError, match="more items"):
        decoder.decode(zigzag(MAX_EMPTY) + zigzag(1) + b"\0")
    with pytest.raises(DataError, match="more items"):
        decoder.decode(zigzag(1 << 62) + b"\0")


LINKED = {
    "type": "record",
    "name": "Node",
    "namespace": "tree",
    "fields": [{"name": "v", "type": "long"}, {"name": "next", "type": ["null", "tree.Node"]}],
}


def test_a_record_that_holds_itself_is_read_and_its_depth_bounded() -> None:
    decoder = SelectiveDecoder(LINKED, Selection(("v", "next.v", "next.next.v")))
    chain = b"".join(zigzag(i) + b"\x02" for i in range(50)) + zigzag(50) + b"\0"
    assert decoder.decode(chain).scalars() == [0, 1, 2]
    with pytest.raises(DataError, match="nested too deeply"):
        decoder.decode(b"\x00\x02" * (MAX_DEPTH + 10) + b"\0\0")


def test_many_rows_outgrow_the_first_room_and_stay_right() -> None:
    schema = array({"type": "record", "name": "I", "fields": [{"name": "x", "type": "long"}]})
    decoder = SelectiveDecoder(schema, Selection(tables=(("a", ("x",)),)))
    for count in (1, 1000, 5):
        packet = zigzag(count) + b"".join(zigzag(i) for i in range(count)) + b"\0"
        assert decoder.decode(packet).table(0) == [[i] for i in range(count)]


def test_rows_beyond_the_limit_are_refused() -> None:
    schema = array({"type": "record", "name": "I", "fields": [{"name": "x", "type": "long"}]})
    packet, selection = zigzag(1000) + b"\0" * 1000 + b"\0", Selection(tables=(("a", ("x", "y")),))
    assert SelectiveDecoder(schema, selection, Limits(table_rows=1000)).decode(packet).rows[0] == 1000
    with pytest.raises(DataError, match="the limit table_rows"):
        SelectiveDecoder(schema, selection, Limits(table_rows=999)).decode(packet)


def test_bytes_text_and_symbols_come_back_as_such() -> None:
    assert one("bytes", b"\x04\x00\xff") == b"\x00\xff"
    assert one("string", counted("nJy µ 星 🌟".encode())) == "nJy µ 星 🌟"
    assert one(ENUM, b"\x02") == "b"
    assert one(FIXED, b"abc") == b"abc"
    assert one("boolean", b"\x01") is True
    assert one("null", b"") is None


def test_integers_keep_all_64_bits() -> None:
    for value in (0, -1, 1 << 62, (1 << 63) - 1, -(1 << 63), 170094456272322680):
        assert one("long", zigzag(value)) == value
        assert one(["null", "long"], b"\x02" + zigzag(value)) == value


def test_a_wanted_field_in_a_map_goes_through_fastavro() -> None:
    schema = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "m", "type": {"type": "map", "values": "double"}}],
    }
    selection = Selection(("m.z",))
    decoder = decoder_for(schema, selection)
    assert isinstance(decoder, FastavroDecoder)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), {"m": {"a": 1.0, "z": 0.5}})
    assert decoder.decode(out.getvalue()).scalars() == [0.5]
    with pytest.raises(DataError, match="damaged"):
        decoder.decode(out.getvalue()[:-1])


def test_cells_of_ignores_values_that_no_cell_can_hold() -> None:
    record = {"list": [1], "dict": {"x": 1}, "none": None, "lone": "\ud800"}
    cells = cells_of(record, Selection(("list", "dict", "none", "dict.x", "lone", "dict.y")))
    assert cells.scalars() == [None, None, None, 1, "?", None]
    assert cells_of({"t": "no list"}, Selection(tables=(("t", ("x",)),))).table(0) == []


def test_an_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(DataError, match="71 bits, more than 64"):
        cells_of({"big": 1 << 70}, Selection(("big",)))


def test_decoding_twice_and_in_threads_gives_the_same() -> None:
    from concurrent.futures import ThreadPoolExecutor

    schema = array({"type": "record", "name": "I", "fields": [{"name": "x", "type": "double"}]})
    decoder = SelectiveDecoder(schema, Selection(tables=(("a", ("x",)),)))
    packets = [zigzag(n) + np.arange(n, dtype="<f8").tobytes() + b"\0" for n in range(1, 200)]
    expected = [content(decoder.decode(packet)) for packet in packets]
    with ThreadPoolExecutor(4) as pool:
        assert [content(cells) for cells in pool.map(decoder.decode, packets)] == expected
