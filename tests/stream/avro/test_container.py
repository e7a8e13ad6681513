"""Avro containers: heads, blocks, compression, damage."""

import json
import zlib

import pytest

from firstlight.errors import DataError
from firstlight.stream.avro import container as avro_container
from firstlight.stream.avro.container import MAGIC, blocks, read_header, write_container

SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}


def test_a_container_gives_back_its_schema_and_records() -> None:
    data = write_container(SCHEMA, [b"\x02", b"\x04"])
    header = read_header(data)
    assert header.schema == SCHEMA
    assert header.codec == "null"
    assert list(blocks(data, header)) == [(2, b"\x02\x04")]


def test_an_empty_container_has_no_blocks() -> None:
    data = write_container(SCHEMA, [])
    assert list(blocks(data, read_header(data))) == []


def test_the_same_records_give_the_same_bytes() -> None:
    assert write_container(SCHEMA, [b"\x02"]) == write_container(SCHEMA, [b"\x02"])


def test_the_schema_need_not_be_parsed() -> None:
    header = read_header(write_container(SCHEMA, []), parse=False)
    assert header.schema is None
    assert json.loads(header.schema_text) == SCHEMA


def test_fastavro_and_we_read_each_other() -> None:
    fastavro = pytest.importorskip("fastavro")
    from io import BytesIO

    ours = write_container(SCHEMA, [b"\x02", b"\x04"])
    assert list(fastavro.reader(BytesIO(ours))) == [{"x": 1}, {"x": 2}]
    out = BytesIO()
    fastavro.writer(out, SCHEMA, [{"x": 1}, {"x": 2}])
    theirs = out.getvalue()
    assert list(blocks(theirs, read_header(theirs))) == [(2, b"\x02\x04")]


def head(codec: bytes = b"null", schema: bytes = b'"long"', sync: bytes = b"s" * 16) -> bytes:
    def counted(piece: bytes) -> bytes:
        return bytes([2 * len(piece)]) + piece

    entries = counted(b"avro.codec") + counted(codec) + counted(b"avro.schema") + counted(schema)
    return MAGIC + b"\x04" + entries + b"\x00" + sync


def test_heads_may_state_the_size_of_their_entries() -> None:
    plain = head()
    body = plain[5:-17]
    sized = MAGIC + b"\x03" + bytes([2 * len(body)]) + body + b"\x00" + b"s" * 16  # sizes here are under 64
    assert read_header(sized).schema == "long"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not an Avro container"),
        (b"Obj\x02", "not an Avro container"),
        (MAGIC, "ends inside an integer"),
        (MAGIC + b"\x80", "ends inside an integer"),
        (MAGIC + b"\xff" * 12, "more than 64 bits"),
        (MAGIC + b"\x7e" + b"\x00" * 5, "more entries than bytes"),
        (MAGIC + b"\x02\x05", "bytes announced"),
        (MAGIC + b"\x02\x7e", "bytes announced"),
        (head()[:-1], "ends inside its head"),
        (head(codec=b"snappy"), "codec 'snappy'"),
        (head(schema=b"{"), "no JSON"),
    ],
)
def test_damaged_heads_say_what_is_wrong(data: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why):
        read_header(data)


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"\x02\x02\x02" + b"t" * 16, "no sync marker"),
        (b"\x02\x02\x02" + b"s" * 15, "no sync marker"),
        (b"\x02\x04\x02", "bytes announced"),
        (b"\x01\x02\x02" + b"s" * 16, "claims -1 records"),
        (b"\x7e\x02\x02" + b"s" * 16, "claims 63 records"),
        (b"\x02", "ends inside an integer"),
    ],
)
def test_damaged_blocks_say_what_is_wrong(block: bytes, why: str) -> None:
    data = head() + block
    with pytest.raises(DataError, match=why):
        list(blocks(data, read_header(data)))


def deflated(body: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return engine.compress(body) + engine.flush()


def test_deflated_blocks_are_inflated_and_checked() -> None:
    piece = deflated(b"\x02\x04")
    good = head(b"deflate") + b"\x04" + bytes([2 * len(piece)]) + piece + b"s" * 16
    assert list(blocks(good, read_header(good))) == [(2, b"\x02\x04")]
    for bad in (piece[:-1], b"\xff" * len(piece)):
        data = head(b"deflate") + b"\x04" + bytes([2 * len(bad)]) + bad + b"s" * 16
        with pytest.raises(DataError, match="damaged Avro container"):
            list(blocks(data, read_header(data)))


def test_a_block_that_inflates_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avro_container, "MAX_BLOCK_BYTES", 1000)
    piece = deflated(b"\0" * 5000)
    data = head(b"deflate") + b"\x02" + bytes([2 * len(piece)]) + piece + b"s" * 16
    with pytest.raises(DataError, match="cut short or larger"):
        list(blocks(data, read_header(data)))
