"""The folder of state stores: a file a partition, and how long the results are."""

import pytest

from firstlight.errors import StateError
from firstlight.stream.state.store import Changes
from firstlight.stream.state.stores import StateFolder


@pytest.fixture
def folder(tmp_path) -> StateFolder:
    return StateFolder(tmp_path / "state", bundle="b", state_size=3)


def test_every_partition_has_a_file_of_its_own(folder, tmp_path):
    for partition in (0, 11):
        store = folder.open("alerts", partition, 0.0)
        store.commit(Changes(states={"o": (b"abc", 1.0)}, position=partition))
        store.close()
    assert sorted(path.name for path in (tmp_path / "state").glob("*.sqlite")) == [
        "alerts-0.sqlite",
        "alerts-11.sqlite",
    ]
    again = folder.open("alerts", 11, 0.0)
    assert (again.position, again.states(["o"])) == (11, [b"abc"])
    again.close()


def test_names_of_topics_cannot_leave_the_folder(folder, tmp_path):
    assert folder.path("../../etc/x y", 0).parent == tmp_path / "state"


def test_the_length_of_a_sink_is_the_largest_that_any_partition_knows(folder):
    assert folder.sink_position("out") is None
    for partition, length in enumerate((70, 500, 90)):
        store = folder.open("alerts", partition, 0.0)
        store.commit(Changes(sink_position={"out": length}))
        store.close()
    assert folder.sink_position("out") == 500
    assert folder.sink_position("other") is None


def test_partitions_that_others_hold_are_passed_over(folder, tmp_path):
    store = folder.open("alerts", 0, 0.0)
    store.commit(Changes(sink_position={"out": 5}))
    assert StateFolder(tmp_path / "state", bundle="b", state_size=3).sink_position("out") is None
    store.close()
    assert folder.sink_position("out") == 5


def test_a_place_that_is_no_folder_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="cannot make"):
        StateFolder(tmp_path / "file", bundle="b", state_size=3)
