"""Archives and compressed files: read as a stream, damage stays where it is, nothing is unbounded."""

import gzip
import io
import tarfile
import tracemalloc
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stream.io.test_places import container, lines, numbers, tar, value_of

from firstlight.stream.io.files import FileSource
from firstlight.stream.io.message import Message
from firstlight.stream.io.records import _Replay
from firstlight.stream.limits import DEFAULT_LIMITS, Limits


def read(path, limits: Limits = DEFAULT_LIMITS) -> list[Message]:
    found = []
    with closing(FileSource(path, limits=limits)) as source:
        while not source.exhausted:
            found += source.poll(100, 0.0)
    return found


def values(messages: list[Message]) -> list[str]:
    return [message.error or value_of(message.value) for message in messages]


@pytest.fixture(params=["tar", "tar.gz"])
def write(request, tmp_path):
    def put(data: bytes):
        path = tmp_path / f"night.{request.param}"
        path.write_bytes(gzip.compress(data) if request.param == "tar.gz" else data)
        return path

    return put


FILES = {
    "a/1.avro": container(numbers(0, 4)),
    "a/2.jsonl": lines(numbers(4, 2)),
    "a/.hidden": b"x",
    "3.avro.tmp": b"x",
    "3.jsonl.gz": gzip.compress(lines(numbers(6, 3))),
}


def test_a_message_names_its_archive_file_and_record(write):
    path = write(tar(FILES))
    found = read(path)
    assert values(found) == numbers(0, 9)
    assert [message.offset for message in found] == list(range(9))
    places = [("a/1.avro", 3), ("a/2.jsonl", 0), ("a/2.jsonl", 1), ("3.jsonl.gz", 0)]
    assert [(m.file, m.record) for m in found[3:7]] == [(f"{path}!{name}", i) for name, i in places]


def test_damage_in_a_file_of_an_archive_ends_that_file_alone(write):
    spoilt = FILES["3.jsonl.gz"][:-12]
    path = write(tar({"1.jsonl.gz": spoilt, "2.avro": b"Obj\x01\xff", "3.jsonl": lines(["r0"])}))
    *bad, good = read(path)
    assert [message.file.rpartition("!")[2] for message in bad if message.error] == ["1.jsonl.gz", "2.avro"]
    assert good.error == ""
    assert value_of(good.value) == "r0"


def test_an_archive_that_is_cut_short_or_damaged_says_so(write):
    whole = tar({"1.jsonl": lines(numbers(0, 2)), "2.jsonl": lines(numbers(2, 2))})
    spoilt = bytearray(whole)
    spoilt[1024 + 150] ^= 1  # in the second header, so that its checksum is wrong
    for data in (bytes(spoilt), whole[:1500], whole[:1024], whole[: 1024 + 512 + 20]):
        *found, last = read(write(data))
        assert values(found)[:2] == numbers(0, 2)
        assert "damaged tar archive" in last.error


def test_an_archive_inside_an_archive_is_one_bad_record(write):
    *found, bad = read(write(tar({"1.jsonl": lines(["r0"]), "2.tar": tar({"x.jsonl": lines(["r1"])})})))
    assert values(found) == ["r0"]
    assert "an archive inside an archive" in bad.error


def test_files_of_an_archived_folder_are_read_and_hidden_ones_are_not(write):
    names = ("./1.jsonl", "./sub/2.jsonl", "../3.jsonl", "./.x/4.jsonl", "./5.jsonl.part")
    archive = tar({name: lines([f"r{number}"]) for number, name in enumerate(names)})
    assert values(read(write(archive))) == ["r0", "r1", "r2"]


def test_attributes_of_an_archive_are_bounded_and_holes_are_not_read(write, tmp_path):
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 20
    data = header.tobuf() + b"\0" * header.size + tar({"1.jsonl": lines(["r0"])})
    (bad,) = read(write(data), Limits(message_bytes=1 << 16))
    assert "a header of 1048576 bytes, more than 64 KiB" in bad.error
    hole = tarfile.TarInfo("hole.avro")
    hole.type = tarfile.GNUTYPE_SPARSE
    assert read(write(hole.tobuf() + tar({}))) == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_of_an_archive_stops_a_source(tmp_path_factory, data):
    base = tar(FILES)
    kept = data.draw(st.integers(0, len(base)))
    spoilt = bytearray(base[:kept])
    for at in data.draw(st.lists(st.integers(0, max(kept - 1, 0)), max_size=4)) if kept else []:
        spoilt[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("fuzz") / "a"
    path.write_bytes(gzip.compress(spoilt) if data.draw(st.booleans()) else spoilt)
    offsets = [message.offset for message in read(path)]
    assert offsets == sorted(set(offsets))


# -- large records ---------------------------------------------------------------------------


def test_a_gzip_file_that_inflates_without_end_is_a_few_bad_records_in_little_memory(tmp_path):
    limits = Limits(message_bytes=1 << 16, block_bytes=1 << 16)
    zeros = b"\0" * (32 << 20)
    for start in (b"", b'{"a": "', b"[", b'["', container(["r0"])):
        path = tmp_path / "bomb.gz"
        path.write_bytes(gzip.compress(start + zeros))
        tracemalloc.start()
        bad = [message for message in read(path, limits) if message.error]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(bad) == 1
        assert peak < 12 << 20


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=50), times=st.integers(1, 40_000), steps=st.lists(st.integers(-1000, 300_000)))
def test_a_compressed_file_goes_back_and_forth_within_its_window(data, times, steps):
    whole = data * times
    plain = io.BytesIO(whole)
    packed = io.BufferedReader(_Replay(io.BytesIO(whole), 400_000), 1 << 16)
    for step in steps:
        size = abs(step)
        if step < 0 and plain.tell() >= size:
            plain.seek(-size, 1)
            packed.seek(plain.tell())
        assert packed.read(size) == plain.read(size)
        assert packed.tell() == plain.tell()
