"""Sinks: flushed records are there, cut ones are gone, and a full disk is named."""

import errno
import io
import os
import subprocess
import sys
import threading

import pytest

from firstlight.errors import BrokerError
from firstlight.stream.io.open import open_sink
from firstlight.stream.io.sinks import FileSink, MemorySink, StdoutSink

FIRST, SECOND = [(b"a", b"one"), (b"b", b"two")], [(b"a", b"three")]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "out.jsonl"


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_sink_can_be_cut_back_to_a_flushed_length(kind, path):
    sink = MemorySink() if kind == "memory" else FileSink(path)
    assert sink.truncates
    assert sink.flush() == 0
    sink.write(FIRST)
    length = sink.flush()
    sink.write(SECOND)
    assert sink.flush() > length
    sink.truncate(length)
    assert sink.flush() == length
    sink.write(SECOND)
    sink.flush()
    sink.close()
    sink.close()
    if kind == "memory":
        assert sink.records == FIRST + SECOND
    else:
        assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_a_file_is_continued(path):
    for records in (FIRST, SECOND):
        sink = FileSink(path)
        sink.write(records)
        sink.close()
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert FileSink(path).flush() == len(b"one\ntwo\nthree\n")


def test_a_second_writer_is_refused_until_the_first_closes(path):
    first = FileSink(path)
    first.write(FIRST)
    with pytest.raises(BrokerError, match="another worker writes to it"):
        FileSink(path, wait_s=0.05)
    timer = threading.Timer(0.1, first.close)
    timer.start()
    second = open_sink(str(path), wait_s=20.0)
    timer.join()
    second.write(SECOND)
    second.close()
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_values_can_be_written_without_newlines(path):
    sink = FileSink(path, newline=False)
    sink.write(FIRST)
    sink.close()
    assert path.read_bytes() == b"onetwo"


def test_a_cut_drops_pending_results(path):
    sink = FileSink(path)
    sink.write(FIRST)
    sink.truncate(0)
    assert sink.flush() == 0


def test_a_file_shorter_than_its_recorded_length_is_refused(path):
    sink = FileSink(path)
    sink.write(FIRST)
    sink.flush()
    with pytest.raises(BrokerError, match="8 bytes, but 100 were written"):
        sink.truncate(100)


def test_a_file_has_one_name_in_all_spellings(path, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    FileSink(path).close()
    (tmp_path / "link").symlink_to(path.parent, target_is_directory=True)
    for spelling in (
        "deep/out.jsonl",
        "./deep/../deep/out.jsonl",
        "link/out.jsonl",
        "~/deep/out.jsonl",
        str(path),
    ):
        sink = open_sink(spelling)
        assert sink.name == str(path), spelling
        sink.close()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (b'{"a":1}\n', b'{"a":1}\n'),
        (b'{"a":1}', b'{"a":1}\n'),
        (b'{"a":1}\n{"a":', b'{"a":1}\n'),
        (b'{"a', b""),
        (b"{" + b"x" * 5000, b""),
        (b"notes of mine", b"notes of mine\n"),
    ],
)
def test_a_last_line_without_its_end_does_not_swallow_the_next_result(path, before, after):
    path.parent.mkdir()
    path.write_bytes(before)
    sink = FileSink(path)
    assert sink.flush() == len(after)
    sink.write(FIRST)
    sink.close()
    assert path.read_bytes() == after + b"one\ntwo\n"


def test_results_go_to_a_named_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    sink = FileSink(tmp_path / "pipe")
    assert not sink.truncates
    sink.write(FIRST)
    sink.close()
    assert os.read(reader, 100) == b"one\ntwo\n"
    os.close(reader)


def test_a_full_disk_is_named_with_a_remedy():
    sink = open_sink("/dev/full")
    assert not sink.truncates
    sink.write(FIRST)
    with pytest.raises(BrokerError, match="/dev/full: cannot be written: No space left on device; free"):
        sink.flush()
    sink.truncate(0)
    sink.close()


CRAMPED = """
import resource, sys
from pathlib import Path
from firstlight.errors import BrokerError
from firstlight.stream.io.sinks import FileSink
sink = FileSink(Path(sys.argv[1]))
sink.write([(b"", b"x" * 999)])
assert sink.flush() == 1000
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
sink.write([(b"", b"y" * 999)])
try:
    sink.flush()
except BrokerError as error:
    print(error)
assert Path(sys.argv[1]).stat().st_size == 1000
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sink.write([(b"", b"z" * 999)])
assert sink.flush() == 2000
"""


def test_a_write_that_failed_halfway_leaves_nothing(path):
    done = subprocess.run(
        [sys.executable, "-c", CRAMPED, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "File too large; free some space" in done.stdout
    assert path.read_bytes() == b"x" * 999 + b"\n" + b"z" * 999 + b"\n"


def test_a_line_that_could_not_be_ended_is_ended_by_the_next_flush(path, monkeypatch):
    path.parent.mkdir()
    path.write_bytes(b"notes of mine")
    sink = FileSink(path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        sink.write(FIRST)
        with pytest.raises(BrokerError, match="No space left"):
            sink.flush()
    sink.truncate(len(b"notes of mine"))
    sink.write(FIRST)
    sink.close()
    assert path.read_bytes() == b"notes of mine\none\ntwo\n"


def test_a_path_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(BrokerError, match="cannot be opened: Is a directory"):
        FileSink(tmp_path)


def test_standard_output_takes_values_and_cannot_be_cut():
    stream = io.BytesIO()
    sink = StdoutSink(stream)
    sink.write(FIRST)
    assert sink.flush() == 8
    assert not sink.truncates
    sink.truncate(0)
    sink.close()
    assert stream.getvalue() == b"one\ntwo\n"


def test_a_reader_that_left_is_a_broker_error():
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "wb", buffering=0)
    sink = StdoutSink(stream)
    with pytest.raises(BrokerError, match="standard output: Broken pipe"):
        sink.write(FIRST)
    stream.close()
