"""Alerts from a pipe."""

import os
import threading
from collections.abc import Iterator
from typing import IO

import pytest

from firstlight.stream.io.pipe import PipeSource


@pytest.fixture
def pipe() -> Iterator[tuple[PipeSource, IO[bytes]]]:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reading, os.fdopen(write, "wb", buffering=0) as writing:
        yield PipeSource(reading), writing


def test_lines_come_as_numbered_records(pipe):
    source, end = pipe
    end.write(b'{"a": 1}\n\n{"b": 2}\n{"c"')
    assert [(r.offset, r.value) for r in source.poll(10, 1.0)] == [(0, b'{"a": 1}'), (1, b'{"b": 2}')]
    end.write(b": 3}\n")
    assert [(r.offset, r.value) for r in source.poll(10, 1.0)] == [(2, b'{"c": 3}')]
    assert not source.exhausted


def test_a_poll_takes_no_more_than_it_may(pipe):
    source, end = pipe
    end.write(b"1\n2\n3\n")
    assert [len(source.poll(2, 1.0)), len(source.poll(2, 1.0)), len(source.poll(2, 0.0))] == [2, 1, 0]


def test_the_end_comes_after_a_last_line_without_a_newline(pipe):
    source, end = pipe
    end.write(b"1\n2")
    end.close()
    values = []
    while not source.exhausted:
        values += [record.value for record in source.poll(1, 1.0)]
    assert values == [b"1", b"2"]
    assert source.lag() == 0
    assert source.poll(1, 1.0) == []


def test_nothing_to_read_is_waited_for_and_no_longer(pipe):
    source, end = pipe
    assert source.poll(1, 0.01) == []
    timer = threading.Timer(0.05, end.write, [b"late\n"])
    timer.start()
    assert [record.value for record in source.poll(1, 10.0)] == [b"late"]
    timer.join()


def test_numbers_go_on_from_the_stores_position(pipe):
    source, end = pipe
    source.on_assign = lambda partitions: [source.seek(*partition, 41) for partition in partitions]
    end.write(b"1\n2\n")
    assert [record.offset for record in source.poll(5, 1.0)] == [41, 42]
    source.seek("pipe", 0, 7)  # what is gone cannot come again
    end.write(b"3\n")
    assert [record.offset for record in source.poll(5, 1.0)] == [43]


def test_closed_it_is_exhausted(pipe):
    source, end = pipe
    end.write(b"1\n")
    source.close()
    assert source.exhausted
