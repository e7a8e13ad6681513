"""A folder of stores, one per partition."""

import stat
from contextlib import closing

import pytest

from firstlight.errors import SettingsError, StateError
from firstlight.stream.state.folder import StateFolder
from firstlight.stream.state.sqlite import SqliteStore
from firstlight.stream.state.store import Changes


@pytest.fixture
def folder(tmp_path) -> StateFolder:
    return StateFolder(tmp_path / "state", bundle="b", state_size=3)


def test_every_partition_has_its_own_file(folder, tmp_path):
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


def test_the_length_of_a_sink_is_the_largest_over_all_partitions(folder):
    assert folder.sink_position("out") is None
    for partition, length in enumerate((70, 500, 90)):
        store = folder.open("alerts", partition, 0.0)
        store.commit(Changes(sink_position={"out": length}))
        store.close()
    assert folder.sink_position("out") == 500
    assert folder.sink_position("other") is None


def test_a_file_that_was_named_as_it_was_typed_is_found(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.jsonl").symlink_to("out.jsonl")
    (tmp_path / "out.jsonl").touch()
    with closing(folder.open("t", 0, 0.0)) as store:
        store.commit(Changes(sink_position={"link.jsonl": 50, "other.jsonl": 90}))
    assert folder.sink_position(str(tmp_path / "out.jsonl")) == 50
    with closing(folder.open("t", 0, 0.0)) as store:
        store.commit(Changes(sink_position={str(tmp_path / "out.jsonl"): 40}))
    assert folder.sink_position(str(tmp_path / "out.jsonl")) == 40


def test_damage_that_shows_before_a_worker_has_the_store_is_passed_on(folder):
    folder.open("t", 0, 0.0).close()
    folder.path("t", 0).write_bytes(b"damage")
    assert folder.sink_position("out") is None
    with closing(folder.open("t", 0, 0.0)) as store:
        assert "it was moved to" in store.recovered
    with closing(folder.open("t", 0, 0.0)) as store:
        assert store.recovered == ""


def test_partitions_of_other_workers_are_ignored(folder, tmp_path):
    store = folder.open("alerts", 0, 0.0)
    store.commit(Changes(sink_position={"out": 5}))
    assert StateFolder(tmp_path / "state", bundle="b", state_size=3).sink_position("out") is None
    store.close()
    assert folder.sink_position("out") == 5


def test_a_state_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, why in (
        ("file", "there is a file"),
        ("file/in", "Not a directory"),
        ("link", "link to .*nowhere, which"),
    ):
        with pytest.raises(StateError, match=f"cannot make .*{why}"):
            StateFolder(tmp_path / name, bundle="b", state_size=3)


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_its_owner_can_read_a_new_state_folder(folder, tmp_path):
    store = folder.open("alerts", 0, 0.0)
    store.commit(Changes(position=1))
    assert mode(tmp_path / "state") == 0o700
    assert {path.name: mode(path) for path in (tmp_path / "state").iterdir()} == {
        "alerts-0.sqlite": 0o600,
        "alerts-0.sqlite-wal": 0o600,
    }
    store.close()


@pytest.mark.parametrize(("wide", "is_warned"), [(0o755, False), (0o775, True), (0o707, True)])
def test_the_permissions_of_an_existing_folder_stay(tmp_path, caplog, wide, is_warned):
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(wide)
    StateFolder(tmp_path / "state", bundle="b", state_size=3)
    assert mode(tmp_path / "state") == wide
    assert ("other users can change the state" in caplog.text) == is_warned


def test_the_kind_of_stores_is_chosen_once(folder, tmp_path):
    assert [folder.is_shared(topic) for topic in ("file", "pipe")] == [False, False]
    assert folder.is_shared("alerts") is None
    assert folder.choose("alerts", shared=True)
    assert folder.choose("alerts", shared=False)  # another worker was first
    with closing(folder.open("alerts", 0, 0.0)) as store:
        assert folder.open("alerts", 2, 0.0) is store
        store.commit(Changes(offsets={2: 9}, sink_position={"out": 7}))
    assert folder.sink_position("out") == 7
    again = StateFolder(tmp_path / "state", bundle="b", state_size=3)
    assert again.is_shared("alerts")
    with closing(again.open("alerts", 0, 0.0)) as store:
        assert store.offsets == {2: 9}
    assert folder.is_shared("other") is None
    assert {path.name: mode(path) & 0o077 for path in (tmp_path / "state").glob("*sqlite*")} == {
        "alerts.shared.sqlite": 0,
        "alerts.shared.sqlite.lock": 0,
    }


def test_a_folder_with_a_store_per_partition_goes_on_with_them(folder, tmp_path):
    SqliteStore(folder.path("alerts", 1), bundle="b", state_size=3).close()
    assert folder.is_shared("alerts") is False
    assert folder.is_shared("alert") is None
    with closing(folder.open("alerts", 0, 0.0)) as store:
        assert not store.is_shared


@pytest.mark.parametrize("keyed", ["yes", "no"])
def test_a_setting_that_contradicts_the_folder_is_refused(tmp_path, keyed):
    chosen = StateFolder(tmp_path, bundle="b", state_size=3, keyed=keyed)
    assert chosen.is_shared("alerts") is (keyed == "no")
    other = StateFolder(tmp_path, bundle="b", state_size=3, keyed="no" if keyed == "yes" else "yes")
    with pytest.raises(SettingsError, match="give another folder, or --keyed auto"):
        other.is_shared("alerts")
    assert StateFolder(tmp_path, bundle="b", state_size=3).is_shared("alerts") is (keyed == "no")
