"""Avro containers: heads, blocks, compression, damage."""

import zlib
from io import BytesIO

import pytest

from firstlight.errors import DataError
from firstlight.stream.avro.container import (
    MAGIC,
    Block,
    ContainerReader,
    IncompleteError,
    read_header,
    write_container,
)
from firstlight.stream.limits import DEFAULT_LIMITS, Limits

SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}


def blocks(data: bytes, limits: Limits = DEFAULT_LIMITS) -> list[Block]:
    reader, found = ContainerReader(BytesIO(data), limits), []
    while (block := reader.read_block()) is not None:
        found.append(block)
    return found


def bodies(data: bytes) -> list[tuple[int, bytes]]:
    found = blocks(data)
    assert not [block.error for block in found if block.error]
    return [(block.count, block.body) for block in found]


def test_a_container_gives_back_its_schema_and_records() -> None:
    data = write_container(SCHEMA, [b"\x02", b"\x04"])
    header = read_header(data)
    assert header.schema == SCHEMA
    assert header.codec == "null"
    assert bodies(data) == [(2, b"\x02\x04")]
    reader = ContainerReader(BytesIO(data))
    block = reader.read_block()
    assert block is not None
    assert list(reader.records(block)) == [b"\x02", b"\x04"]


def test_an_empty_container_has_no_blocks() -> None:
    data = write_container(SCHEMA, [])
    assert blocks(data) == []


def test_the_same_records_give_the_same_bytes() -> None:
    assert write_container(SCHEMA, [b"\x02"]) == write_container(SCHEMA, [b"\x02"])


def test_fastavro_and_we_read_each_other() -> None:
    fastavro = pytest.importorskip("fastavro")
    ours = write_container(SCHEMA, [b"\x02", b"\x04"])
    assert list(fastavro.reader(BytesIO(ours))) == [{"x": 1}, {"x": 2}]
    out = BytesIO()
    fastavro.writer(out, SCHEMA, [{"x": 1}, {"x": 2}])
    theirs = out.getvalue()
    assert bodies(theirs) == [(2, b"\x02\x04")]


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
        (MAGIC[:3], "cut short"),
        (MAGIC, "cut short"),
        (MAGIC + b"\x80", "cut short"),
        (MAGIC + b"\xff" * 12, "more than 64 bits"),
        (MAGIC + b"\x7e" + b"\x00" * 5, "cut short"),
        (MAGIC + b"\x02\x05", "bytes announced"),
        (MAGIC + b"\x02" + b"\xfe" * 5 + b"\x01", "bytes announced"),
        (MAGIC + b"\x02\x7e", "cut short"),
        (head()[:-1], "cut short"),
        (head(codec=b"lz9"), "codec 'lz9'"),
        (head(schema=b"{"), "not JSON"),
    ],
)
def test_damaged_heads_name_the_damage(data: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why) as caught:
        _ = read_header(data).schema
    assert isinstance(caught.value, IncompleteError) == (why == "cut short")


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"\x02\x02\x02" + b"t" * 16, "no sync marker"),
        (b"\x02\x02\x02" + b"t" * 15, "cut short"),
        (b"\x02\x04\x02", "cut short"),
        (b"\x02", "cut short"),
        (b"\x01\x02\x02" + b"s" * 16, "claims -1 records"),
        (b"\xff" * 12, "more than 64 bits"),
        (b"\x7e\x02\x02" + b"s" * 16, "claim to be 63 records"),
    ],
)
def test_damaged_blocks_name_the_damage_and_the_next_block_is_read(block: bytes, why: str) -> None:
    bad, *_ = blocks(head() + block)
    assert why in bad.error
    assert bad.position == len(head())
    sound = b"s" * 16 + b"\x02\x02\x08" + b"s" * 16  # a marker, from which reading goes on
    *damaged, last = blocks(head() + block + sound)
    assert [b.error != "" for b in damaged] == [True] * len(damaged)
    assert (last.count, last.body, last.error) == (1, b"\x08", "")


def test_a_block_of_a_growing_file_is_waited_for() -> None:
    file = BytesIO(head() + b"\x02\x02\x08" + b"s" * 15)
    reader = ContainerReader(file)
    for _ in range(2):
        with pytest.raises(IncompleteError):
            reader.read_block(complete=False)
    file.seek(0, 2)
    file.write(b"s")
    block = reader.read_block(complete=False)
    assert block is not None
    assert block.body == b"\x08"
    assert reader.read_block(complete=False) is None


def test_skipped_blocks_are_not_read() -> None:
    data = head() + b"\x04\x04\x02\x04" + b"s" * 16 + b"\x02\x02\x08" + b"s" * 16
    reader = ContainerReader(BytesIO(data))
    first, second = reader.read_block(skip=2), reader.read_block(skip=0)
    assert first is not None
    assert second is not None
    assert (first.count, first.body) == (2, b"")
    assert second.body == b"\x08"


def deflated(body: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return engine.compress(body) + engine.flush()


def test_deflated_blocks_are_inflated_and_checked() -> None:
    piece = deflated(b"\x02\x04")
    good = head(b"deflate") + b"\x04" + bytes([2 * len(piece)]) + piece + b"s" * 16
    assert bodies(good) == [(2, b"\x02\x04")]
    for bad in (piece[:-1], b"\xff" * len(piece)):
        data = head(b"deflate") + b"\x04" + bytes([2 * len(bad)]) + bad + b"s" * 16
        (block,) = blocks(data)
        assert "damaged Avro block" in block.error


def test_a_block_that_inflates_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    piece = deflated(b"\0" * 5000)
    data = head(b"deflate") + b"\x02" + bytes([2 * len(piece)]) + piece + b"s" * 16
    (block,) = blocks(data, limits=Limits(block_bytes=1000))
    assert "more than 1,000 bytes, the limit block_bytes" in block.error


def test_a_block_of_too_many_bytes_or_records_is_one_error_and_the_next_is_read() -> None:
    sound = b"\x02\x02\x08" + b"s" * 16
    large = b"\x02\x7e" + b"\x08" * 63 + b"s" * 16
    many = b"\x7e\x7e" + b"\x08" * 63 + b"s" * 16
    for bad, name, limits in (
        (large, "block_bytes", Limits(block_bytes=62)),
        (many, "block_records", Limits(block_records=50)),
    ):
        damaged, last = blocks(head() + bad + sound, limits)
        assert f"the limit {name}" in damaged.error
        assert (last.body, last.error) == (b"\x08", "")


def test_a_head_that_announces_more_than_the_limit_is_refused() -> None:
    for spoilt in (MAGIC + b"\xfe\xff\xff\x7f", MAGIC + b"\x02\xfe\xff\xff\x7f" + b"x" * 100):
        with pytest.raises(DataError, match="a head has at most"):
            read_header(spoilt)
