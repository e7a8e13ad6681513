"""Work is done once: what is on disk and of the same making is taken up, anything else is not."""

import json
import os
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import DataError
from firstlight_paper.workshop import Workshop, plain, read_json, write_json


@dataclass(frozen=True)
class Doubling:
    number: int


calls: list[int] = []


def double(bench, item, report):
    report("", 0.5)
    calls.append(item.number)
    return {"twice": np.int64(2 * item.number), "nothing": float("nan")}


def double_or_die(bench, item, report):
    if item.number == 2:
        raise DataError("two is not to be doubled")
    return double(bench, item, report)


def process_and_threads(bench, item, report):
    report("", 0.5)
    return [os.getpid(), os.environ["OMP_NUM_THREADS"]]


@pytest.fixture
def workshop(tiny_bench, tmp_path):
    calls.clear()
    return Workshop(replace(tiny_bench, folder=tmp_path))


def test_results_are_json_and_in_the_order_of_the_items(workshop):
    found = workshop.map("doubling", double, {"b": Doubling(2), "a": Doubling(1)})
    assert list(found.items()) == [("b", {"twice": 4, "nothing": None}), ("a", {"twice": 2, "nothing": None})]


def test_a_finished_item_is_not_computed_again(workshop):
    items = {"one": Doubling(1), "three": Doubling(3)}
    first = workshop.map("doubling", double, items)
    assert workshop.map("doubling", double, items) == first
    assert calls == [1, 3]


def test_what_was_done_before_a_failure_is_kept(workshop):
    items = {"one": Doubling(1), "two": Doubling(2), "three": Doubling(3)}
    with pytest.raises(DataError, match="two"):
        workshop.map("doubling", double_or_die, items)
    workshop.map("doubling", double, items)
    assert calls == [1, 2, 3]


@pytest.mark.parametrize(
    "other",
    [
        lambda w: (w.bench, {"one": Doubling(7)}),
        lambda w: (replace(w.bench, seed=5), {"one": Doubling(1)}),
        lambda w: (replace(w.bench, scale=replace(w.bench.scale, name="other")), {"one": Doubling(1)}),
    ],
    ids=["settings", "seed", "scale"],
)
def test_other_settings_are_computed_anew(workshop, other):
    workshop.map("doubling", double, {"one": Doubling(1)})
    bench, items = other(workshop)
    Workshop(bench).map("doubling", double, items)
    assert len(calls) == 2


def test_a_torn_result_is_computed_anew(workshop):
    workshop.map("doubling", double, {"one": Doubling(1)})
    path = workshop.bench.folder / "work" / "doubling" / "one.json"
    path.write_text(path.read_text()[:20])
    assert workshop.map("doubling", double, {"one": Doubling(1)})["one"]["twice"] == 2


def test_progress_rises_to_one_and_starts_at_what_is_there(workshop):
    said = []
    workshop.report = lambda stage, fraction: said.append((stage, fraction))
    workshop.map("doubling", double, {"one": Doubling(1)})
    assert said == [("doubling", 0.0), ("doubling", 0.5), ("doubling", 1.0)]
    said.clear()
    workshop.map("doubling", double, {"one": Doubling(1), "two": Doubling(2)})
    assert said[0] == ("doubling", 0.5)


def test_processes_have_one_thread_each_and_leave_our_own_settings_alone(workshop, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    workshop.jobs = 2
    found = workshop.map("processes", process_and_threads, {"a": 1, "b": 2})
    assert all(pid != os.getpid() and threads == "1" for pid, threads in found.values())
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_random_streams_differ_by_key_and_repeat(workshop):
    draw = [workshop.bench.rng(*key).random() for key in (("a", 1), ("a", 1), ("a", 2), ("b", 1))]
    assert draw[0] == draw[1]
    assert len(set(draw)) == 3


@given(
    st.recursive(
        st.one_of(st.floats(), st.integers(-(2**53), 2**53), st.text(), st.booleans(), st.none()),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_is_made_plain_is_json_and_stays_as_it_is(value):
    first = plain(value)
    assert plain(json.loads(json.dumps(first, allow_nan=False))) == first


def test_a_damaged_document_says_where_and_what_to_do(tmp_path):
    path = tmp_path / "part.json"
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    path.write_text("{")
    with pytest.raises(DataError, match=r"part\.json.*delete it"):
        read_json(path)
