"""Sources: every record once and in order, from any offset on, and one bad one alone is bad."""

import gzip
import io
import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stream.conftest import assert_same_alert, build_alert

from firstlight.errors import BrokerError, DataError
from firstlight.stream import Alert, ContainerCodec, FinkCodec, JsonLinesCodec, Message
from firstlight.stream.alerts.write import LSST_SCHEMA
from firstlight.stream.avro.container import ContainerReader, read_header, write_container
from firstlight.stream.io.files import DirectorySource, FileSource, PipeSource
from firstlight.stream.io.records import Tail, read_records
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.limits import DEFAULT_LIMITS, Limits


def alerts(n: int, first: int = 0) -> list[Alert]:
    return [
        build_alert(3 + i % 4, seed=i, alert_id=str(1000 + i), object_id=str(7 + i % 3), source_id=1000 + i)
        for i in range(first, first + n)
    ]


def container(sizes: tuple[int, ...], first: int = 0) -> bytes:
    """A container with so many alerts in its blocks."""
    codec, out = ContainerCodec(), b""
    for size in sizes:
        whole = codec.encode_all(alerts(size, first))
        first += size
        out += whole if not out else whole[read_header(whole).end :]
    return out or codec.encode_all([])


def lines(n: int, first: int = 0) -> bytes:
    return b"".join(JsonLinesCodec().encode(alert) for alert in alerts(n, first))


def drain(source, size: int = 3) -> list[Message]:
    found = []
    while not source.exhausted:
        found += source.poll(size, 0.0)
    return found


def names(records) -> list[str]:
    """Which alerts the records are, or why they are none."""
    found = []
    for record in records:
        codec = FinkCodec() if record.key else JsonLinesCodec()
        try:
            found.append(codec.decode(Message(record.value, record.key)).alert_id)
        except DataError:
            found.append("bad")
    return found


def numbers(*values: int) -> list[str]:
    return [str(1000 + value) for value in values]


# -- containers --------------------------------------------------------------------------


def test_each_alert_of_a_container_is_one_record_that_the_codecs_read(tmp_path):
    (tmp_path / "a.avro").write_bytes(container((1, 4, 2)))
    records = drain(FileSource(tmp_path / "a.avro"))
    assert [record.offset for record in records] == list(range(7))
    assert {(record.topic, record.partition, record.error) for record in records} == {("file", 0, "")}
    assert json.loads(records[0].key) == LSST_SCHEMA
    assert all(record.key is records[0].key for record in records)  # so that it is hashed and compiled once
    for record, alert in zip(records, alerts(7), strict=True):
        assert_same_alert(
            FinkCodec().decode(Message(record.value, record.key)), alert, rtol=1e-6, without=("source_id",)
        )


def test_a_compressed_container_is_read_the_same(tmp_path):
    fastavro = pytest.importorskip("fastavro")
    plain = io.BytesIO(container((5, 5)))
    with (tmp_path / "a.avro").open("wb") as file:
        fastavro.writer(file, LSST_SCHEMA, fastavro.reader(plain), codec="deflate", sync_interval=400)
    assert names(drain(FileSource(tmp_path / "a.avro"))) == numbers(*range(10))


@pytest.mark.parametrize("start", range(9))
@pytest.mark.parametrize("kind", ["avro", "avro.gz", "jsonl", "jsonl.gz", "json", "array"])
def test_a_source_goes_on_at_any_offset(tmp_path, kind, start):
    data = container((1, 4, 3)) if "avro" in kind else lines(8)
    if kind == "array":
        data = b"[" + b",\n".join(data.split()) + b"]"
    path = tmp_path / f"a.{kind}"
    path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)
    source = FileSource(path)
    source.seek("file", 0, start)
    records = drain(source)
    assert [record.offset for record in records] == list(range(start, 8))
    assert names(records) == numbers(*range(start, 8))


def test_blocks_that_are_passed_over_are_not_split(tmp_path, monkeypatch):
    path = tmp_path / "a.avro"
    path.write_bytes(container((4, 4, 4)))
    split = []
    whole = ContainerReader.records
    monkeypatch.setattr(ContainerReader, "records", lambda *a: split.append(1) or whole(*a))
    with path.open("rb") as raw:
        assert [record.offset for record in read_records(raw, path, 9, Tail(), DEFAULT_LIMITS)] == [9, 10, 11]
    assert len(split) == 1


def test_a_seek_back_gives_the_same_records_again(tmp_path):
    (tmp_path / "a.avro").write_bytes(container((3, 3)))
    source = FileSource(tmp_path / "a.avro")
    first = drain(source)
    source.seek("file", 0, 2)
    assert not source.exhausted
    assert drain(source) == first[2:]


def corrupted(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def test_a_damaged_record_loses_the_rest_of_its_block_alone(tmp_path):
    first = container((1,))
    block = container((4,), first=1)[read_header(first).end :]
    rest = container((2,), first=5)[read_header(first).end :]
    data = bytearray(first + block + rest)
    record = FinkCodec()._writer.write(alerts(1, 2)[0])
    at = data.index(record)
    data[at : at + 12] = b"\xff" * 12
    (tmp_path / "a.avro").write_bytes(data)
    records = drain(FileSource(tmp_path / "a.avro"))
    assert names(records) == [*numbers(0, 1), "bad", *numbers(5, 6)]
    assert [record.offset for record in records] == [0, 1, 2, 5, 6]
    assert "record 1 (3 lost with it)" in records[2].error
    source = FileSource(tmp_path / "a.avro")
    source.seek("file", 0, 3)
    assert [record.offset for record in drain(source)] == [5, 6]


def test_after_a_damaged_frame_reading_goes_on_at_the_next_marker(tmp_path):
    whole = container((2, 2, 2))
    at = read_header(whole).end
    (tmp_path / "a.avro").write_bytes(corrupted(whole, at, b"\xfd\xff\xff\xff\xff\xff"))
    records = drain(FileSource(tmp_path / "a.avro"))
    assert names(records) == ["bad", *numbers(2, 3, 4, 5)]
    assert f"damaged Avro block at byte {at}" in records[0].error
    assert [record.offset for record in records] == [0, 1, 2, 3, 4]


def test_a_container_that_is_cut_short_ends_with_one_bad_record(tmp_path):
    (tmp_path / "a.avro").write_bytes(container((2, 2))[:-30])
    records = drain(FileSource(tmp_path / "a.avro"))
    assert names(records) == [*numbers(0, 1), "bad"]
    assert "cut short" in records[2].error


@pytest.mark.parametrize(
    "data",
    [b"Obj\x01", b"Obj\x01\xff\xff", container((1,))[:300], write_container({"type": "nonsense"}, [b"a"])],
    ids=["stub", "garbage", "cut", "schema"],
)
def test_a_container_without_a_sound_head_is_one_bad_record(tmp_path, data):
    (tmp_path / "a.avro").write_bytes(data)
    (record,) = drain(FileSource(tmp_path / "a.avro"))
    assert "a.avro" in record.error
    assert names([record]) == ["bad"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_stops_a_source(tmp_path_factory, data):
    base = data.draw(st.sampled_from([container((1, 3, 2)), gzip.compress(lines(4)), lines(4)]))
    kept = data.draw(st.integers(0, len(base)))
    spoilt = bytearray(base[:kept])
    for at in data.draw(st.lists(st.integers(0, max(kept - 1, 0)), max_size=4)) if kept else []:
        spoilt[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("fuzz") / "a"
    path.write_bytes(spoilt)
    records = drain(FileSource(path))
    offsets = [record.offset for record in records]
    assert offsets == sorted(set(offsets))
    for start in (0, 1, 3):  # numbers are the same wherever one begins
        source = FileSource(path)
        source.seek("file", 0, start)
        assert [r.value for r in drain(source) if not r.error] == [
            r.value for r in records if r.offset >= start and not r.error
        ]


# -- JSON and others ---------------------------------------------------------------------


def test_blank_lines_are_no_records_and_a_last_line_needs_no_newline(tmp_path):
    text = lines(3).split(b"\n")
    (tmp_path / "a.jsonl").write_bytes(b"\n" + text[0] + b"\r\n\n  \n" + text[1] + b"\n" + text[2])
    records = drain(FileSource(tmp_path / "a.jsonl"))
    assert names(records) == numbers(0, 1, 2)
    assert [record.offset for record in records] == [0, 1, 2]


def test_a_bad_line_is_a_record_that_does_not_decode(tmp_path):
    text = lines(2).split(b"\n")
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([text[0], b"{no json", text[1], b""]))
    assert names(drain(FileSource(tmp_path / "a.jsonl"))) == [*numbers(0), "bad", *numbers(1)]


def test_a_line_without_end_is_one_bad_record(tmp_path):
    text = lines(2).split(b"\n")
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([text[0], b"{" + b"x" * 9000, text[1], b""]))
    records = drain(FileSource(tmp_path / "a.jsonl", limits=Limits(message_bytes=4000)))
    assert names(records) == [*numbers(0), "bad", *numbers(1)]
    assert "line of more than 4,000 bytes, the limit message_bytes" in records[1].error


def test_an_object_over_many_lines_and_a_packet_alone_are_one_message_each(tmp_path):
    document = json.dumps(json.loads(lines(1)), indent=2).encode()
    (tmp_path / "a.json").write_bytes(document)
    (tmp_path / "b.bin").write_bytes(b"\0\0\0\0\1packet")
    assert [r.value for r in drain(DirectorySource(tmp_path))] == [document, b"\0\0\0\0\1packet"]


@pytest.mark.parametrize(
    ("text", "elements", "why"),
    [
        (b"[{}, ", [b"{}"], "cut short"),
        (b"[", [], "cut short"),
        (b'["a", 12', [b'"a"'], "cut short"),
        (b"[1 2]", [b"1"], "'2' is unexpected"),
        (b"[1,]", [b"1"], "Expecting value"),
        (b"[{}] {}", [b"{}"], "'{' is unexpected"),
        (b"[{}, \xff]", [b"{}"], "Expecting value"),
        (b"[" * 100_000, [], "recursion"),
    ],
)
def test_a_broken_array_ends_with_one_bad_record(tmp_path, text, elements, why):
    (tmp_path / "a.json").write_bytes(text)
    *sound, bad = drain(FileSource(tmp_path / "a.json"))
    assert [record.value for record in sound] == elements
    assert f"no JSON from element {len(elements)} of the array on" in bad.error
    assert why in bad.error


@given(
    elements=st.lists(
        st.recursive(st.none() | st.integers() | st.text() | st.floats(), st.lists), max_size=9
    ),
    indent=st.none() | st.integers(0, 2),
)
def test_each_element_of_an_array_is_its_own_text(tmp_path_factory, elements, indent):
    path = tmp_path_factory.mktemp("array") / "a.json"
    path.write_text(json.dumps(elements, indent=indent))
    found = drain(FileSource(path))
    assert [record.error for record in found] == [""] * len(elements)
    assert repr([json.loads(record.value) for record in found]) == repr(elements)


def test_an_array_of_any_length_is_read_but_a_long_element_is_not(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(["x" * 400_000, "y" * 500_000, "z"]))
    assert [len(r.value) for r in drain(FileSource(path))] == [400_002, 500_002, 3]
    *sound, bad = drain(FileSource(path, limits=Limits(message_bytes=450_000)))
    assert len(sound) == 1
    assert "element 1 of the array on: it has more than 450,000 bytes, the limit message_bytes" in bad.error


def test_an_empty_file_has_no_records(tmp_path):
    (tmp_path / "a.jsonl").touch()
    assert drain(FileSource(tmp_path / "a.jsonl")) == []


# -- folders -----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "2.avro").write_bytes(container((2, 1), first=2))
    (tmp_path / "1.jsonl").write_bytes(lines(2))
    (tmp_path / "3.jsonl.gz").write_bytes(gzip.compress(lines(3, first=5)))
    (tmp_path / ".hidden").write_bytes(lines(1))
    (tmp_path / "0.avro.tmp").write_bytes(lines(1))
    return tmp_path


def test_files_of_a_folder_are_read_in_the_order_of_their_names(folder):
    records = drain(DirectorySource(folder))
    assert names(records) == numbers(*range(8))
    assert [record.offset for record in records] == list(range(8))


@pytest.mark.parametrize("start", range(9))
def test_a_folder_goes_on_at_any_offset(folder, start):
    source = DirectorySource(folder)
    source.poll(6, 0.0)
    source.seek("file", 0, start)
    assert names(drain(source)) == numbers(*range(start, 8))
    fresh = DirectorySource(folder)
    fresh.seek("file", 0, start)
    assert names(drain(fresh)) == numbers(*range(start, 8))


# -- following ---------------------------------------------------------------------------


def test_a_followed_file_waits_for_the_rest_of_a_line_or_block(tmp_path):
    for name, data in (("a.jsonl", lines(2)), ("a.avro", container((1, 1)))):
        path = tmp_path / name
        path.write_bytes(b"")
        source = FileSource(path, follow=True)
        assert source.poll(10, 0.0) == []
        with path.open("ab") as file:
            found = []
            for piece in (data[:3], data[3 : len(data) - 10], data[len(data) - 10 :]):
                file.write(piece)
                file.flush()
                found.append(names(source.poll(10, 0.0)))
            assert found == [[], numbers(0), numbers(1)], name
        assert not source.exhausted
        source.close()


def test_a_followed_folder_takes_up_new_files_and_finishes_old_ones(tmp_path):
    (tmp_path / "1.jsonl").write_bytes(lines(2)[:-1])
    with closing(DirectorySource(tmp_path, follow=True)) as source:
        assert names(source.poll(10, 0.0)) == numbers(0)  # the second line has no end yet
        (tmp_path / "2.jsonl").write_bytes(lines(1, first=2))
        assert names(source.poll(10, 5.0)) == numbers(1, 2)
        (tmp_path / "3.avro").write_bytes(container((2,), first=3))
        assert names(source.poll(10, 5.0)) == numbers(3, 4)
        (tmp_path / "0").mkdir()
        (tmp_path / "0" / "1.jsonl").write_bytes(lines(1, first=5))
        assert names(source.poll(10, 5.0)) == numbers(5)
        with (tmp_path / "1.jsonl").open("ab") as file:
            file.write(b"\n" + lines(1, first=6))
        assert names(source.poll(10, 5.0)) == numbers(6)
        assert source.poll(10, 0.01) == []


def test_a_followed_file_that_is_replaced_or_cut_is_read_as_a_new_one(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(2))
    with closing(FileSource(path, follow=True)) as source:
        assert names(source.poll(10, 0.0)) == numbers(0, 1)
        path.write_bytes(lines(1, first=2))
        assert names(source.poll(10, 5.0)) == numbers(2)
        path.rename(tmp_path / "old")
        path.write_bytes(lines(3, first=3))
        found = source.poll(10, 5.0)
    assert names(found) == numbers(3, 4, 5)
    assert [message.offset for message in found] == [3, 4, 5]
    assert [record.getMessage().split(" while")[0] for record in caplog.records] == [
        f"{path} was cut",
        f"{path} was replaced",
    ]


def test_a_followed_file_that_is_away_for_a_moment_is_waited_for(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(1))
    with closing(FileSource(path, follow=True)) as source:
        source.poll(10, 0.0)
        path.rename(tmp_path / "old")
        with pytest.raises(BrokerError, match="no such file of alerts"):
            source.poll(10, 5.0)
        path.write_bytes(lines(1, first=1))
        assert names(source.poll(10, 5.0)) == numbers(1)


def test_a_gzip_file_that_grows_is_waited_for(tmp_path):
    path, data = tmp_path / "a.jsonl.gz", gzip.compress(lines(40))
    path.write_bytes(data[: len(data) // 2])
    with closing(FileSource(path, follow=True)) as source:
        some = source.poll(100, 0.0)
        path.write_bytes(data)
        while len(some) < 40:
            some += source.poll(100, 0.0)
    assert names(some) == numbers(*range(40))


# -- the rest of the laws ----------------------------------------------------------------


def test_a_partition_is_announced_before_its_first_record(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(3))
    for source in (FileSource(path), MemorySource(Message(b"x", None, "file", 0, i) for i in range(3))):
        gained = []

        def gain(partitions, source=source, gained=gained):
            gained.extend(partitions)
            source.seek(*partitions[0], 1)

        source.on_assign = gain
        assert [record.offset for record in source.poll(5, 0.0)] == [1, 2]
        assert gained == [("file", 0)]
        source.poll(5, 0.0)
        assert gained == [("file", 0)]
        assert source.lag() == 0
        source.commit({("file", 0): 3})
        source.close()


def test_a_file_that_cannot_be_read_is_tried_again_and_loses_nothing_read_before_it(tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.jsonl").write_bytes(lines(1, first=i))
    source = DirectorySource(tmp_path)
    (tmp_path / "1.jsonl").unlink()
    assert names(source.poll(10, 0.0)) == numbers(0)
    for _ in range(2):
        with pytest.raises(BrokerError, match="cannot read"):
            source.poll(10, 0.0)
    (tmp_path / "1.jsonl").write_bytes(lines(1, first=1))
    assert names(drain(source)) == numbers(1)


def test_a_missing_file_or_folder_is_an_error(tmp_path):
    for make in (FileSource, DirectorySource):
        with pytest.raises(DataError, match="no such"):
            make(tmp_path / "none")


def test_the_tail_counts_the_records_of_a_file(tmp_path):
    (tmp_path / "a.avro").write_bytes(container((2, 3)))
    tail = Tail()
    with (tmp_path / "a.avro").open("rb") as raw:
        assert len(list(read_records(raw, tmp_path / "a.avro", 4, tail, DEFAULT_LIMITS))) == 1
    assert tail.n_records == 5


# -- standard input ------------------------------------------------------------------------


@pytest.fixture
def pipe() -> Iterator[tuple[PipeSource, IO[bytes]]]:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reading, os.fdopen(write, "wb", buffering=0) as writing:
        yield PipeSource(reading), writing


def test_lines_are_numbered_messages(pipe):
    source, end = pipe
    end.write(b'{"a": 1}\n\n{"b": 2}\n{"c"')
    assert [(r.offset, r.value) for r in source.poll(10, 1.0)] == [(0, b'{"a": 1}'), (1, b'{"b": 2}')]
    end.write(b": 3}\n")
    assert [(r.offset, r.value) for r in source.poll(10, 1.0)] == [(2, b'{"c": 3}')]
    assert not source.exhausted


def test_a_poll_returns_no_more_than_its_limit(pipe):
    source, end = pipe
    end.write(b"1\n2\n3\n")
    assert [len(source.poll(2, 1.0)), len(source.poll(2, 1.0)), len(source.poll(2, 0.0))] == [2, 1, 0]


def test_the_end_comes_after_a_last_line_without_a_newline(pipe):
    source, end = pipe
    end.write(b"1\n2")
    end.close()
    values = []
    while not source.exhausted:
        values += [message.value for message in source.poll(1, 1.0)]
    assert values == [b"1", b"2"]
    assert source.lag() == 0
    assert source.poll(1, 1.0) == []


def test_a_poll_waits_for_the_first_line_up_to_its_timeout(pipe):
    source, end = pipe
    assert source.poll(1, 0.01) == []
    timer = threading.Timer(0.05, end.write, [b"late\n"])
    timer.start()
    assert [message.value for message in source.poll(1, 10.0)] == [b"late"]
    timer.join()


def test_line_numbers_continue_from_the_stored_position(pipe):
    source, end = pipe
    source.on_assign = lambda partitions: [source.seek(*partition, 41) for partition in partitions]
    end.write(b"1\n2\n")
    assert [message.offset for message in source.poll(5, 1.0)] == [41, 42]
    source.seek("pipe", 0, 7)  # earlier lines cannot be read again
    end.write(b"3\n")
    assert [message.offset for message in source.poll(5, 1.0)] == [43]


def test_a_line_of_a_pipe_above_the_limit_is_one_bad_record(pipe):
    source, end = pipe
    source.limits = Limits(message_bytes=100)
    end.write(b"1\n" + b"x" * 101 + b"\n2\n" + b"y" * 300)
    values = [(m.value, m.error[:14]) for m in source.poll(9, 1.0)]
    end.write(b"y" * 300 + b"\n3\n" + b"z" * 101)
    end.close()
    while not source.exhausted:
        values += [(m.value, m.error[:14]) for m in source.poll(9, 1.0)]
    bad = (b"", "standard input")
    assert values == [(b"1", ""), bad, (b"2", ""), bad, (b"3", ""), bad]


def test_a_closed_pipe_is_exhausted(pipe):
    source, end = pipe
    end.write(b"1\n")
    source.close()
    assert source.exhausted
