"""BSON: what ANTARES' messages use, and damage."""

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import DataError
from firstlight.stream.alerts.bson import MAX_DEPTH, dump_bson, load_bson

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.binary(max_size=8)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=4)


@given(DOCUMENTS)
def test_documents_survive(document: dict[str, Any]) -> None:
    assert load_bson(dump_bson(document)) == document


@given(DOCUMENTS, st.data())
def test_damage_is_an_error_or_a_document(document: dict[str, Any], data: st.DataObject) -> None:
    packet = bytearray(dump_bson(document))
    with pytest.raises(DataError):
        load_bson(bytes(packet[: data.draw(st.integers(0, len(packet) - 1))]))
    packet[data.draw(st.integers(0, len(packet) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(DataError):
        assert isinstance(load_bson(bytes(packet)), dict)


@given(st.binary(max_size=60))
def test_noise_is_a_data_error_at_worst(noise: bytes) -> None:
    with contextlib.suppress(DataError):
        load_bson(noise)


def document(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def test_every_type_of_the_specification_is_stepped_over() -> None:
    """Also those that we read as None."""
    packet = document(
        b"\x10a\0" + struct.pack("<i", -7),
        b"\x09b\0" + struct.pack("<q", 1_700_000_000_000),
        b"\x07c\0" + b"o" * 12,
        b"\x0bd\0" + b"pattern\0i\0",
        b"\x11e\0" + b"t" * 8,
        b"\x13f\0" + b"d" * 16,
        b"\xffg\0",
        b"\x7fh\0",
        b"\x06i\0",
        b"\x0ej\0" + b"\x04\0\0\0sym\0",
        b"\x0dk\0" + b"\x02\0\0\0x\0",
        b"\x01z\0" + struct.pack("<d", 1.5),
    )
    assert load_bson(packet) == {
        "a": -7,
        "b": 1_700_000_000_000,
        **dict.fromkeys("cdefghi"),
        "j": "sym",
        "k": "x",
        "z": 1.5,
    }


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (b"", "ends inside a number"),
        (b"\x04\0\0\0", "does not end where it says"),
        (b"\xff\xff\xff\xff\0", "does not end where it says"),
        (b"\x06\0\0\0\0\x01", "does not end where it says"),
        (document() + b"\0", "left over"),
        (document(b"\x01a\0" + b"\0" * 7), "ends inside a number"),
        (document(b"\x01aa"), "has no end"),
        (document(b"\x01\xff\0" + b"\0" * 8), "not UTF-8"),
        (document(b"\x02a\0" + b"\x00\0\0\0"), "does not end where it says"),
        (document(b"\x02a\0" + b"\x09\0\0\0ab\0"), "does not end where it says"),
        (document(b"\x02a\0" + b"\x03\0\0\0abc"), "does not end where it says"),
        (document(b"\x02a\0" + b"\x02\0\0\0\xff\0"), "not UTF-8"),
        (document(b"\x05a\0" + b"\x09\0\0\0\0ab"), "too many"),
        (document(b"\x05a\0" + b"\xff\xff\xff\xff\0"), "too many"),
        (document(b"\x08a\0\x02"), "no boolean"),
        (document(b"\x07a\0" + b"o" * 11), "too many"),
        (document(b"\x0ba\0" + b"no end"), "has no end"),
        (document(b"\x42a\0"), "unknown type 0x42"),
        (document(b"\x03a\0" + b"\x05\0\0\0"), "."),
    ],
)
def test_each_kind_of_damage_has_its_reason(packet: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        load_bson(packet)


def test_nesting_is_bounded() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH + 2):
        value = {"a": value}
    with pytest.raises(DataError, match="nested too deeply"):
        load_bson(dump_bson(value))


@pytest.mark.parametrize("value", [1 << 63, object(), {1, 2}])
def test_what_has_no_place_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match="has no place in BSON"):
        dump_bson({"a": value})
