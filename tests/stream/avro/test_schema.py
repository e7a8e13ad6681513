"""Schemas to programs: names, paths, shapes, and texts that are no schemas."""

from typing import Any

import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.stream.avro import schema as avro_schema
from firstlight.stream.avro.decode import SelectiveDecoder
from firstlight.stream.avro.schema import (
    CALL,
    CELL,
    END,
    FIXED,
    OPTIONAL_NUMBERS,
    Selection,
    UnsupportedSchemaError,
    compile_schema,
    field_paths,
    without_logical_types,
)
from firstlight.stream.limits import Limits


def record(name: str = "R", **fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": key, "type": kind} for key, kind in fields.items()],
    }


def instructions(schema: Any, selection: Selection | None = None) -> list[int]:
    return compile_schema(schema, selection or Selection()).code[:, 0].tolist()


# --- programs -------------------------------------------------------------------------


def test_neighbouring_fixed_fields_are_skipped_in_one_step() -> None:
    schema = record(a="double", b="float", c="boolean", d="null", x="double", e="float")
    program = compile_schema(schema, Selection(("x",)))
    assert program.code.tolist() == [[FIXED, 13, 0, 0], [CELL, 0, 4, 0], [FIXED, 4, 0, 0], [END, 0, 0, 0]]


def test_neighbouring_optional_numbers_are_skipped_in_one_step() -> None:
    schema = record(a=["null", "double"], b=["float", "null"], c=["null", "long"], d=["null", "boolean"])
    program = compile_schema(schema, Selection(("nothing",)))
    # each has its byte for the branch and at most 8, 4, 10 and 1 bytes
    assert program.code.tolist() == [[OPTIONAL_NUMBERS, 0, 4, 4 + 23], [END, 0, 0, 0]]
    assert program.optionals.tolist() == [256 * 8, 256 * 4 + 2, 0, 256]


def test_a_skipped_record_is_written_once_and_called() -> None:
    inner = record("I", p="long", q="string")
    program = compile_schema(record(a=inner, b="I", c=["null", "I"]), Selection())
    # the record itself is skipped whole, and its three inner ones share one subroutine
    assert program.code[:, 0].tolist().count(CALL) == 4
    assert program.code[:, 0].tolist().count(avro_schema.TEXT) == 1


def test_programs_are_small() -> None:
    """A schema that names one wide record in many places must not grow with every place."""
    wide = record("W", **{f"f{i}": ["null", "string"] for i in range(100)})
    schema = record(a=wide, **{f"b{i}": ["null", "W"] for i in range(50)})
    assert len(instructions(schema)) < 500


# --- names ----------------------------------------------------------------------------


def test_names_resolve_within_their_namespace_first() -> None:
    schema = {
        "type": "record",
        "name": "top",
        "namespace": "one",
        "fields": [
            {"name": "a", "type": {"type": "fixed", "name": "F", "size": 2}},
            {"name": "b", "type": {"type": "fixed", "name": "F", "namespace": "two", "size": 3}},
            {"name": "c", "type": "F"},
            {"name": "d", "type": "two.F"},
            {"name": "e", "type": "one.F"},
            {
                "name": "g",
                "type": {
                    "type": "record",
                    "name": "two.inner",
                    "fields": [{"name": "h", "type": "F"}, {"name": "x", "type": "long"}],
                },
            },
        ],
    }
    decoder = SelectiveDecoder(schema, Selection(("c", "d", "e", "g.h", "g.x")))
    values = decoder.decode(b"aabbbccdddeehhh\x06").scalars()
    assert values == [b"cc", b"ddd", b"ee", b"hhh", 3]


def test_a_type_may_be_wrapped_in_types() -> None:
    schema = record(x={"type": {"type": "long"}}, y={"type": ["null", {"type": "double"}]})
    assert SelectiveDecoder(schema, Selection(("x", "y"))).decode(b"\x04\x00").scalars() == [2, None]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (record(x="unheard_of"), "does not define"),
        (record(x="array"), "does not define"),
        (42, "not an Avro schema"),
        ({"name": "R"}, "not an Avro schema"),
        (record(x=None), "not an Avro schema"),
        (record(x={"type": "array"}), "not an Avro schema"),
        (record(x={"type": "map"}), "not an Avro schema"),
        ({"type": "record", "fields": []}, "without a name"),
        ({"type": "record", "name": "R"}, "no list of fields"),
        ({"type": "record", "name": "R", "fields": [{"type": "long"}]}, "without name or type"),
        ({"type": "record", "name": "R", "fields": ["long"]}, "no list of fields"),
        (record(x={"type": "enum", "name": "E"}), "no list of symbols"),
        (record(x={"type": "enum", "name": "E", "symbols": [1]}), "no list of symbols"),
        (record(x={"type": "fixed", "name": "F"}), "has size None"),
        (record(x={"type": "fixed", "name": "F", "size": -1}), "has size -1"),
        (record(x={"type": "fixed", "name": "F", "size": 1 << 40}), "has size"),
    ],
)
def test_json_that_is_not_a_schema_is_a_data_error(schema: Any, why: str) -> None:
    with pytest.raises(DataError, match=why):
        compile_schema(schema, Selection(("x",)))


def test_schemas_of_absurd_depth_or_size_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    deep: Any = "long"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(DataError, match="nested too deeply"):
        compile_schema(deep, Selection())
    with pytest.raises(DataError, match="nested too deeply"):
        field_paths(deep)
    monkeypatch.setattr(avro_schema, "MAX_INSTRUCTIONS", 10)
    with pytest.raises(DataError, match="more than 10 steps"):
        compile_schema(record(**{f"f{i}": ["null", "string"] for i in range(20)}), Selection())


# --- read fields ----------------------------------------------------------------------


def doubled(levels: int, first: Any) -> dict[str, Any]:
    """A schema in which each record holds the one before twice."""
    fields = [
        {"name": "f0", "type": {"type": "record", "name": "r0", "fields": [{"name": "a", "type": first}]}}
    ]
    for i in range(1, levels):
        parts = [{"name": name, "type": f"r{i - 1}"} for name in "ab"]
        fields.append({"name": f"f{i}", "type": {"type": "record", "name": f"r{i}", "fields": parts}})
    return {"type": "record", "name": "alert", "fields": fields}


def test_records_that_double_at_each_level_are_refused_and_cost_little() -> None:
    with pytest.raises(DataError, match="expands to more than 100000 fields"):
        field_paths(doubled(40, "long"))
    huge = doubled(40, {"type": "fixed", "name": "big", "size": (1 << 31) - 1})
    huge["fields"].append({"name": "list", "type": {"type": "array", "items": "r39"}})
    compile_schema(huge, Selection())
    with pytest.raises(DataError, match="the limits schema_nodes and schema_bytes"):
        field_paths(doubled(9, "long"), Limits(schema_bytes=1000))


def test_a_schema_of_many_parts_is_refused() -> None:
    many = record(**{f"x{i}": "long" for i in range(100)})
    for read in (
        lambda: compile_schema(many, Selection(), Limits(schema_nodes=300)),
        lambda: without_logical_types(many, Limits(schema_nodes=300)),
    ):
        with pytest.raises(DataError, match="more than 300 parts"):
            read()


def test_paths_lead_through_records_unions_and_arrays() -> None:
    inner = record("I", p="long", q=["null", record("J", r="float")])
    schema = record(a=inner, b={"type": "array", "items": ["null", "I"]}, c={"type": "map", "values": "I"})
    assert field_paths(schema) == {"a", "a.p", "a.q", "a.q.r", "b", "b.p", "b.q", "b.q.r", "c"}


def test_paths_follow_a_record_that_holds_itself_once() -> None:
    assert field_paths(record("N", v="long", next=["null", "N"])) == {"v", "next"}


def test_a_wanted_path_that_ends_too_early_or_too_late_is_absent() -> None:
    schema = record(a=record("I", p="long"), b={"type": "array", "items": "long"}, c="long")
    decoder = SelectiveDecoder(schema, Selection(("a", "a.p.q", "b", "c.d", "c")))
    assert decoder.decode(b"\x02\x00\x06").scalars() == [None, None, None, None, 3]


def test_a_table_where_the_schema_has_none_is_empty() -> None:
    for kind in ("long", record("I", p="long")):
        decoder = SelectiveDecoder(record(a=kind, c="long"), Selection(("c",), (("a", ("p",)),)))
        cells = decoder.decode(b"\x02\x06")
        assert (cells.scalars(), cells.table(0)) == ([3], [])


def test_rows_may_reach_into_nested_records() -> None:
    item = record("I", p=["null", record("J", r="long")], s="string")
    decoder = SelectiveDecoder(
        record(a={"type": "array", "items": item}), Selection(tables=(("a", ("s", "p.r")),))
    )
    assert decoder.decode(b"\x04\x02\x06\x02x\x00\x02y\x00").table(0) == [["x", 3], ["y", None]]


def test_two_tables_of_one_record_type_keep_apart() -> None:
    item = record("I", p="long", q="double")
    schema = record(a={"type": "array", "items": item}, b={"type": "array", "items": "I"}, c="long")
    decoder = SelectiveDecoder(schema, Selection(("c",), (("a", ("q",)), ("b", ("p", "q")))))
    one = b"\x02" + np.float64(1.5).tobytes()
    cells = decoder.decode(b"\x02" + one + b"\x00" + b"\x04" + one + one + b"\x00" + b"\x08")
    assert (cells.scalars(), cells.table(0), cells.table(1)) == ([4], [[1.5]], [[1, 1.5], [1, 1.5]])


def test_a_wanted_table_of_no_records_is_unsupported() -> None:
    for items in ("long", {"type": "map", "values": "long"}, ["null", "long"]):
        with pytest.raises(UnsupportedSchemaError, match="not an array of records"):
            compile_schema(record(a={"type": "array", "items": items}), Selection(tables=(("a", ("p",)),)))
    with pytest.raises(UnsupportedSchemaError, match="inside a map"):
        compile_schema(record(a={"type": "map", "values": "long"}), Selection(("a.p",)))


def test_logical_types_are_taken_off_everywhere() -> None:
    schema = record(a=["null", {"type": "long", "logicalType": "timestamp-micros"}])
    assert without_logical_types(schema) == record(a=["null", {"type": "long"}])


@pytest.mark.parametrize("union", [[], [["null", "long"], "double"], ["null", {"type": ["null", "long"]}]])
@pytest.mark.parametrize("selection", [Selection(), Selection(scalars=("x",))])
def test_a_union_without_branches_or_inside_a_union_is_no_schema(union, selection):
    with pytest.raises(DataError, match="union"):
        compile_schema(record(x=union), selection)
