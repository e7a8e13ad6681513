"""The laws of a state store, for the twin in memory and the one on disk alike."""

from collections.abc import Callable
from pathlib import Path

import pytest

from firstlight.stream.state.shared import SharedStore
from firstlight.stream.state.sqlite import SqliteStore
from firstlight.stream.state.store import Changes, MemoryStore, StateStore


def on_disk(folder: Path) -> StateStore:
    return SqliteStore(folder / "state.sqlite", bundle="b", state_size=4)


def shared(folder: Path) -> StateStore:
    return SharedStore(folder / "shared.sqlite", bundle="b", state_size=4)


@pytest.fixture(params=[lambda folder: MemoryStore(), on_disk, shared], ids=["memory", "sqlite", "shared"])
def store(request, tmp_path):
    made: Callable[[Path], StateStore] = request.param
    opened = made(tmp_path)
    yield opened
    opened.close()


def row(value: int, mjd: float = 60000.0) -> tuple[bytes, float]:
    return bytes([value]) * 4, mjd


def test_a_new_store_knows_nothing(store):
    assert store.position is None
    assert store.sink_position == {}
    assert store.n_objects == store.damaged == 0
    assert store.recovered == ""
    assert store.states(["a"]) == [None]
    assert store.histories(["a", "b"]) == [[], []]
    assert store.states([]) == store.histories([]) == []


def test_committed_states_are_read_back_in_the_order_of_the_names(store):
    store.commit(Changes(states={"a": row(1), "b": row(2)}, position=5, sink_position={"out": 100}))
    store.commit(Changes(states={"b": row(3)}, sink_position={"dead": 7}))
    assert store.states(["b", "none", "a", "b"]) == [row(3)[0], None, row(1)[0], row(3)[0]]
    assert store.position == 5
    assert store.sink_position == {"out": 100, "dead": 7}
    assert store.n_objects == 2
    assert store.size_bytes >= 8


def test_bookmarks_are_kept_by_name(store):
    assert store.bookmarks == {}
    store.commit(Changes(bookmarks={"a": "1", "b": "2"}))
    store.commit(Changes(bookmarks={"b": "3", "c": "4"}, position=5))
    store.commit(Changes(states={"a": row(1)}))
    assert store.bookmarks == {"a": "1", "b": "3", "c": "4"}


def test_a_log_grows_in_order_and_may_hold_an_empty_entry(store):
    store.commit(Changes(appended={"a": [b"1", b""], "b": [b"x"]}))
    store.commit(Changes(appended={"a": [b"2"]}))
    assert store.histories(["a", "b"]) == [[b"1", b"", b"2"], [b"x"]]
    assert store.states(["a"]) == [None]
    assert store.n_objects == 2


def test_a_rewritten_log_replaces_the_old_one_and_pending_entries(store):
    store.commit(Changes(appended={"a": [b"1", b"2"]}))
    store.commit(Changes(rewritten={"a": [b"all"]}, appended={"a": [b"not used"]}))
    assert store.histories(["a"]) == [[b"all"]]
    store.commit(Changes(rewritten={"a": []}, appended={"b": [b"other"]}))
    assert store.histories(["a", "b"]) == [[], [b"other"]]


def test_changing_a_returned_value_does_not_change_the_store(store):
    store.commit(Changes(appended={"a": [b"1"]}, sink_position={"out": 1}))
    store.histories(["a"])[0].append(b"mine")
    assert store.histories(["a"]) == [[b"1"]]


def test_quiet_objects_are_forgotten_with_their_logs(store):
    store.commit(
        Changes(
            states={"old": row(1, 59000.0), "new": row(2, 60000.0)},
            appended={"old": [b"1"], "new": [b"2"], "timeless": [b"3"]},
        )
    )
    assert store.evict(59500.0, 100) == 1
    assert store.n_objects == 2
    assert store.states(["old", "new"]) == [None, row(2)[0]]
    assert store.histories(["old", "new", "timeless"]) == [[], [b"2"], [b"3"]]
    assert store.evict(59500.0, 100) == 0


def test_a_forgotten_object_that_returns_starts_again(store):
    store.commit(Changes(states={"a": row(1, 1.0)}, appended={"a": [b"1"]}))
    store.evict(2.0, 10)
    store.commit(Changes(states={"a": row(2, 3.0)}, appended={"a": [b"2"]}))
    assert store.states(["a"]) == [row(2)[0]]
    assert store.histories(["a"]) == [[b"2"]]
    assert store.n_objects == 1


def test_eviction_goes_on_where_it_stopped_and_round_again(store):
    names = [f"o{i}" for i in range(10)]
    store.commit(Changes(states={name: row(1, float(i)) for i, name in enumerate(names)}))
    assert [store.evict(8.0, 3) for _ in range(4)] == [3, 3, 2, 0]  # the last slice: o9, and round to o8
    assert store.n_objects == 2
    store.commit(Changes(states={"o8": row(1, 1.0)}))
    assert sum(store.evict(8.0, 1) for _ in range(2)) == 1


def test_a_name_may_be_any_text(store):
    names = ["", "170028485706776685", "ZTF18abc", 'it\'s "quoted"', "naïve ☄"]
    store.commit(Changes(states={name: row(i) for i, name in enumerate(names)}))
    assert store.states(names) == [row(i)[0] for i in range(len(names))]


def test_closing_twice_is_harmless(store):
    store.close()
    store.close()


def test_changes_name_each_object_once():
    changes = Changes(states={"a": row(1)}, appended={"b": [b"1"], "a": [b"2"]}, rewritten={"a": [b"3"]})
    assert list(changes.objects()) == ["a", "b"]
    assert changes.history("a") == [b"3"]
    assert changes.history("b") == [b"1"]
    assert changes.history("c") == []


def test_values_of_partitions_are_kept_by_their_numbers(store):
    store.commit(Changes(offsets={0: 5, 11: 7}, planned={0: 9}, clocks={11: 60000.5}))
    store.commit(Changes(offsets={0: 9}))
    assert (store.offsets, store.planned, store.clocks) == ({0: 9, 11: 7}, {0: 9}, {11: 60000.5})


def test_objects_are_claimed_and_given_back(store):
    assert store.claim(["a", "b", "a"], lambda: False)
    assert store.claim(["b"], lambda: True)  # one's own
    store.release()
    store.release()
