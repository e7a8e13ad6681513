"""The log of rows and objects that were set aside."""

import json

import numpy as np
import pytest

from firstlight.data import Reject, RejectLog
from firstlight.errors import DataError


@pytest.fixture
def log():
    log = RejectLog()
    log.add_rows(["a", "b", "a"], "flux is bad", "x.csv", [4, 9, 12])
    log.add("c", "no observations", "x.csv")
    log.add("", "too few fields", "y.csv", 7)
    return log


def test_rejects_come_back_in_order_with_their_places(log):
    assert len(log) == 5
    assert list(log)[1] == Reject("b", "flux is bad", "x.csv", 9)
    assert list(log)[3] == Reject("c", "no observations", "x.csv", None)


def test_reasons_are_counted_the_most_frequent_first(log):
    assert log.summary() == {"flux is bad": 3, "no observations": 1, "too few fields": 1}
    assert next(iter(log.summary())) == "flux is bad"


def test_a_log_is_one_json_object_a_line(log, tmp_path):
    log.write(tmp_path / "r.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert lines[0] == {"object_id": "a", "reason": "flux is bad", "file": "x.csv", "row": 4, "value": ""}
    assert lines[3]["row"] is None


def test_a_written_log_can_be_read(log, tmp_path):
    log.add("ö", "naïve", "ü.csv", 1)
    log.write(tmp_path / "r.jsonl")
    assert list(RejectLog.read(tmp_path / "r.jsonl")) == list(log)


@pytest.mark.parametrize("text", ["no json", '{"object": 1}', "[1]"])
def test_another_file_is_not_a_log(text, tmp_path):
    (tmp_path / "r.jsonl").write_text(text + "\n")
    with pytest.raises(DataError, match="not a reject file"):
        RejectLog.read(tmp_path / "r.jsonl")


def test_a_missing_log_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="not a reject file"):
        RejectLog.read(tmp_path / "none.jsonl")


def test_adding_nothing_adds_nothing():
    log = RejectLog()
    log.add_rows([], "x", "y", [])
    assert len(log) == 0
    assert list(log) == []
    assert log.summary() == {}


def test_a_million_rejects_are_kept_without_a_loop():
    log = RejectLog()
    log.add_rows(np.full(1_000_000, "a"), "x", "y", np.arange(1_000_000))
    assert len(log) == 1_000_000
    assert log.summary() == {"x": 1_000_000}
