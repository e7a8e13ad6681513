"""The store on disk: surviving states, refusals, and damaged files."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests._rights import ordinary_user

from firstlight.errors import StateError
from firstlight.stream.state import database, seal
from firstlight.stream.state import sqlite as sqlite_store
from firstlight.stream.state.sqlite import PAGE_BYTES, SqliteStore
from firstlight.stream.state.store import Changes, MemoryStore

SIZE = 600


def open_store(path: Path, **values) -> SqliteStore:
    return SqliteStore(path, **({"bundle": "fast-1", "state_size": SIZE} | values))


def state(value: int) -> bytes:
    return value.to_bytes(4, "big") * (SIZE // 4)


def fill(path: Path, n_objects: int = 300) -> list[str]:
    names = [f"o{i}" for i in range(n_objects)]
    store = open_store(path)
    store.commit(
        Changes(
            states={name: (state(i), 60000.0 + i) for i, name in enumerate(names)},
            appended={name: [f"entry {i}".encode()] for i, name in enumerate(names)},
            position=n_objects,
            sink_position={"out": 12},
        )
    )
    store.close()
    return names


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "alerts-0.sqlite"


# -- survival ----------------------------------------------------------------------------

NAMES = st.sampled_from([f"object {i}" for i in range(8)])
ENTRIES = st.lists(st.binary(max_size=40), max_size=3)
COMMITS = st.builds(
    Changes,
    states=st.dictionaries(
        NAMES, st.tuples(st.binary(min_size=SIZE, max_size=SIZE), st.floats(0, 10)), max_size=5
    ),
    appended=st.dictionaries(NAMES, ENTRIES, max_size=5),
    rewritten=st.dictionaries(NAMES, ENTRIES, max_size=2),
    position=st.none() | st.integers(0, 1 << 62),
    sink_position=st.dictionaries(st.sampled_from(["out", "dead letters"]), st.integers(0, 1 << 62)),
    bookmarks=st.dictionaries(NAMES, st.text(st.characters(codec="ascii"), max_size=5), max_size=3),
)
STEPS = st.lists(COMMITS | st.tuples(st.just("evict"), st.floats(0, 10)) | st.just("reopen"), max_size=12)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_it_behaves_like_the_store_in_memory(steps):
    names = [f"object {i}" for i in range(8)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        disk, twin = open_store(path), MemoryStore()
        for step in steps:
            if isinstance(step, Changes):
                disk.commit(step)
                twin.commit(step)
            elif step == "reopen":
                disk.close()
                disk = open_store(path)
            else:
                assert disk.evict(step[1], 100) == twin.evict(step[1], 100)
            assert disk.states(names) == twin.states(names)
            assert disk.histories(names) == twin.histories(names)
            assert (disk.position, disk.n_objects) == (twin.position, twin.n_objects)
            assert (disk.sink_position, disk.bookmarks) == (twin.sink_position, twin.bookmarks)
        assert disk.damaged == 0
        assert disk.recovered == ""
        disk.close()


KILLER = """
import os, random, signal, sys, time
from pathlib import Path
from firstlight.stream.state.sqlite import SqliteStore
from firstlight.stream.state.store import Changes

def touched(at):
    return range(at % 7, 40, 7)

def write(at, report):
    store = SqliteStore(Path(sys.argv[1]), bundle="b", state_size=600)
    while True:
        at += 1
        row = (at.to_bytes(4, "big") * 150, float(at))
        store.commit(Changes(
            states={f"o{i}": row for i in touched(at)},
            appended={f"o{i}": [at.to_bytes(4, "big")] for i in touched(at)},
            position=at, sink_position={"out": 10 * at}))
        os.write(report, at.to_bytes(4, "big"))

rng, reached = random.Random(7), 0
for _ in range(10):
    reports, report = os.pipe()
    if (child := os.fork()) == 0:
        write(reached, report)
    os.close(report)
    os.read(reports, 4)
    time.sleep(rng.uniform(0.0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    rest = os.read(reports, 1 << 20)
    promised = int.from_bytes(rest[-4:], "big") if rest else reached + 1
    os.close(reports)
    store = SqliteStore(Path(sys.argv[1]), bundle="b", state_size=600)
    at = store.position
    assert at >= promised, (at, promised)
    assert store.sink_position == {"out": 10 * at}
    for i in range(40):
        commits = [k for k in range(1, at + 1) if i in touched(k)]
        state = commits[-1].to_bytes(4, "big") * 150 if commits else None
        assert store.states([f"o{i}"]) == [state], (i, at)
        assert store.histories([f"o{i}"]) == [[k.to_bytes(4, "big") for k in commits]], (i, at)
    assert (store.damaged, store.recovered) == (0, "")
    store.close()
    reached = at
print("sound", reached)
"""


def test_a_killed_writer_leaves_states_logs_and_positions_of_one_commit(path):
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sound")


def test_an_old_copy_of_the_write_ahead_log_is_read_after_a_crash(path, tmp_path):
    store = open_store(path)
    store.commit(Changes(states={"a": (state(1), 1.0)}, position=1))
    copy = tmp_path / "copy.sqlite"
    shutil.copy(path, copy)
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    store.close()
    again = open_store(copy)
    assert again.states(["a"]) == [state(1)]
    again.close()


def test_a_batch_of_any_size_keeps_the_write_ahead_log_bounded(path, monkeypatch):
    monkeypatch.setattr(sqlite_store, "CALM_WAL_PAGES", 8)
    store = open_store(path)
    for i in range(200):
        store.commit(Changes(states={f"o{i % 5}": (state(i), 1.0)}, position=i))
    assert path.with_name(path.name + "-wal").stat().st_size < 40 * (PAGE_BYTES + 24)
    store.close()


# -- bundles -----------------------------------------------------------------------------


@pytest.mark.parametrize("other", [{"bundle": "fast-2"}, {"state_size": 8}])
def test_another_bundle_keeps_the_logs_and_drops_the_states(path, caplog, other):
    fill(path, 3)
    store = open_store(path, **other)
    assert store.states(["o0", "o1"]) == [None, None]
    assert store.histories(["o1"]) == [[b"entry 1"]]
    assert (store.position, store.n_objects, store.damaged) == (3, 3, 0)
    assert "rebuilt from the histories" in caplog.text
    store.commit(Changes(states={"o1": (bytes(other.get("state_size", SIZE)), 1.0)}))
    store.close()
    caplog.clear()
    again = open_store(path, **other)
    assert [s is None for s in again.states(["o0", "o1"])] == [True, False]
    assert caplog.text == ""
    again.close()


def test_states_of_a_bundle_stay_dropped_when_the_bundle_returns(path):
    fill(path, 1)
    open_store(path, bundle="fast-2").close()
    store = open_store(path)
    assert store.states(["o0"]) == [None]
    store.close()


def test_a_state_of_another_length_is_refused_before_anything_is_written(path):
    store = open_store(path)
    with pytest.raises(StateError, match="object a has 3 bytes instead of 600"):
        store.commit(Changes(states={"a": (b"abc", 1.0)}, position=1))
    store.commit(Changes(position=2))
    assert (store.position, store.n_objects) == (2, 0)
    store.close()


# -- refused -----------------------------------------------------------------------------


def test_a_second_worker_is_refused(path):
    store = open_store(path)
    with pytest.raises(StateError, match=r"alerts-0\.sqlite is in use by another worker; stop that one"):
        open_store(path)
    store.commit(Changes(position=1))
    store.close()
    open_store(path).close()


OPENER = """
import sys
from pathlib import Path
from firstlight.stream.state.sqlite import SqliteStore
SqliteStore(Path(sys.argv[1]), bundle="fast-1", state_size=600)
"""


def test_a_second_process_is_refused(path):
    store = open_store(path)
    other = subprocess.run(
        [sys.executable, "-c", OPENER, str(path)], capture_output=True, text=True, check=False
    )
    assert "StateInUseError" in other.stderr
    assert "in use by another worker" in other.stderr
    store.close()


def test_a_new_owner_waits_for_the_old_one_to_close(path):
    store = SqliteStore(path, bundle="b", state_size=SIZE)
    store.commit(Changes(position=41))
    got = []

    def wait():
        waiting = SqliteStore(path, bundle="b", state_size=SIZE, wait_s=20.0)
        got.append(waiting.position)
        waiting.close()

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    store.close()
    thread.join()
    assert got == [41]


def test_a_database_of_another_program_is_left_alone(path):
    path.parent.mkdir()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE photographs (x)")
    db.commit()
    db.close()
    before = path.read_bytes()
    with pytest.raises(StateError, match=r"another program, with the tables \['photographs'\]"):
        open_store(path)
    assert path.read_bytes() == before


def test_a_newer_layout_is_refused(path):
    fill(path, 1)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(StateError, match="layout 9, this firstlight reads 1 to 2"):
        open_store(path)


def test_an_impossible_path_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="cannot make the folder"):
        open_store(tmp_path / "file" / "s.sqlite")
    (tmp_path / "folder.sqlite").mkdir()
    with pytest.raises(StateError, match="cannot open the state"):
        open_store(tmp_path / "folder.sqlite")


@pytest.mark.parametrize("barred", ["folder", "file"])
def test_a_place_that_cannot_be_written_is_named_and_is_no_damage(barred):
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        path = Path(name) / "state" / "alerts-0.sqlite"
        fill(path, 3)
        path.chmod(0o444 if barred == "file" else 0o666)
        path.parent.chmod(0o555 if barred == "folder" else 0o777)
        place = path.parent if barred == "folder" else path
        words = f"the state cannot be written: this user has no right to write to {place}; change its owner"
        with ordinary_user(), pytest.raises(StateError, match=words):
            open_store(path)
        assert list(path.parent.iterdir()) == [path]
        path.parent.chmod(0o777)


def test_a_closed_store_raises(path):
    store = open_store(path)
    store.close()
    with pytest.raises(StateError, match="closed"):
        store.states(["a"])


# -- no space ----------------------------------------------------------------------------

CRAMPED = """
import resource, sys
from pathlib import Path
from firstlight.errors import StateError
from firstlight.stream.state.sqlite import SqliteStore
from firstlight.stream.state.store import Changes
store = SqliteStore(Path(sys.argv[1]), bundle="fast-1", state_size=600)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
at = 0
try:
    while at < 1000:
        names = [f"o{at}-{i}" for i in range(50)]
        row = ((at + 1).to_bytes(4, "big") * 150, 1.0)
        store.commit(Changes(states=dict.fromkeys(names, row), position=at + 1))
        at += 1
except StateError as error:
    print(error)
assert store.position == at, (store.position, at)
assert store.n_objects == 50 * at
assert store.states([f"o{at}-0"]) == [None]  # and it can still be read
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.commit(Changes(states={"after": (bytes(600), 1.0)}))  # with room again, it continues
store.close()
print(at)
"""


def test_a_full_disk_is_reported_and_leaves_the_file_good(path):
    done = subprocess.run(
        [sys.executable, "-c", CRAMPED, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    message, at = done.stdout.split("\n")[:2]
    assert "no space left" in message
    assert "nothing of this transaction was written" in message
    store = open_store(path)
    assert store.position == int(at) > 0
    assert store.states([f"o{i}-49" for i in range(int(at) + 1)]) == [
        *(state(i + 1) for i in range(int(at))),
        None,
    ]
    assert store.states(["after"]) == [bytes(600)]
    assert store.recovered == ""
    store.close()


def test_a_database_that_reached_its_limit_rolls_back_whole(path):
    store = open_store(path)
    store.commit(Changes(states={"a": (state(1), 1.0)}, appended={"a": [b"1"]}, position=1))
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    many = {f"n{i}": (state(i), 1.0) for i in range(100)}
    with pytest.raises(StateError, match="no space left for the state; free some"):
        store.commit(Changes(states={"a": (state(2), 2.0)} | many, appended={"a": [b"2"]}, position=2))
    assert (store.position, store.n_objects) == (1, 1)
    assert store.states(["a", "n0"]) == [state(1), None]
    assert store.histories(["a"]) == [[b"1"]]
    store._db.execute("PRAGMA max_page_count = 1000000")
    store.commit(Changes(states=many, position=2))
    assert store.states(["n99"]) == [state(99)]
    store.close()


# -- damage ------------------------------------------------------------------------------


def damage_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"not a database any more")


def damage_pages(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(2, path.stat().st_size // PAGE_BYTES):
            file.seek(page * PAGE_BYTES)
            file.write(b"\xff" * 64)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut_to_a_stub(path: Path) -> None:
    os.truncate(path, 50)


@pytest.mark.parametrize("harm", [damage_head, damage_pages, cut_short, empty, cut_to_a_stub])
def test_a_damaged_file_is_moved_aside_at_opening_and_replaced(path, caplog, harm):
    fill(path)
    harm(path)
    broken = path.read_bytes()
    store = open_store(path)
    assert "was damaged" in store.recovered
    assert "alerts-0.sqlite.damaged-1" in store.recovered
    assert store.recovered in caplog.text
    assert path.with_name("alerts-0.sqlite.damaged-1").read_bytes() == broken
    assert (store.position, store.n_objects) == (None, 0)
    store.commit(Changes(states={"a": (state(1), 1.0)}, position=1))
    store.close()
    again = open_store(path)
    assert (again.position, again.recovered) == (1, "")
    again.close()


def test_every_damaged_file_is_kept(path):
    for _ in range(3):
        fill(path, 2)
        damage_head(path)
    open_store(path).close()
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "alerts-0.sqlite",
        *(f"alerts-0.sqlite.damaged-{n}" for n in (1, 2, 3)),
    ]


@pytest.mark.parametrize("touch", ["states", "histories", "commit", "evict"])
def test_damage_found_later_replaces_the_file_and_raises(path, monkeypatch, touch):
    monkeypatch.setattr(database, "CHECK_BYTES", 0)  # as for a large file
    names = fill(path)
    damage_pages(path)
    store = open_store(path)
    assert (store.position, store.recovered) == (300, "")
    act = {
        "states": lambda: store.states(names),
        "histories": lambda: store.histories(names),
        "commit": lambda: store.commit(Changes(states={n: (state(0), 1.0) for n in names}, position=301)),
        "evict": lambda: store.evict(1e9, 1000),
    }[touch]
    with pytest.raises(StateError, match="read from its beginning"):
        act()
    assert "damaged-1" in store.recovered
    assert (store.position, store.n_objects) == (None, 0)
    assert store.states(["o0"]) == [None]
    store.commit(Changes(states={"o0": (state(5), 1.0)}, position=1))
    assert store.states(["o0"]) == [state(5)]
    store.close()


@pytest.mark.parametrize(
    ("place", "bits"),
    [(18, 0x40), (47, 0x10), (68, 0x01), ("CREATE TABLE log", 0x80), ("last_mjd REAL", 0x01)],
    ids=["may not be written", "of another format", "without our mark", "no text", "another column"],
)
def test_a_damaged_header_that_sqlite_accepts_is_noticed(path, place, bits):
    fill(path, 3)
    data = bytearray(path.read_bytes())
    at = place if isinstance(place, int) else data.index(place.encode()) + 3
    data[at] ^= bits
    path.write_bytes(data)
    store = open_store(path)
    assert "was damaged" in store.recovered
    assert path.with_name("alerts-0.sqlite.damaged-1").exists()
    store.close()


@pytest.mark.parametrize(
    "change",
    ["value = value + 16 WHERE name = 'position'", "name = 'sink oux' WHERE name = 'sink out'",
     "name = CAST(x'ff00' AS TEXT) WHERE name = 'objects'"],
)  # fmt: skip
def test_damaged_positions_replace_the_file(path, change):
    store = open_store(path)
    store.commit(Changes(states={"a": (state(1), 1.0)}, position=7, sink_position={"out": 9}))
    store.close()
    db = sqlite3.connect(path)
    db.execute(f"UPDATE meta SET {change}")
    db.commit()
    db.close()
    store = open_store(path)
    assert "was damaged" in store.recovered
    assert (store.position, store.n_objects) == (None, 0)
    store.close()


def test_a_damaged_state_reads_as_absent_and_is_counted(path, caplog):
    fill(path, 3)
    db = sqlite3.connect(path)
    blob = bytearray(db.execute("SELECT state FROM object WHERE name = 'o1'").fetchone()[0])
    blob[100] ^= 1
    db.execute("UPDATE object SET state = ? WHERE name = 'o1'", (bytes(blob),))
    db.execute("UPDATE object SET state = x'01' WHERE name = 'o2'")
    db.commit()
    db.close()
    store = open_store(path)
    assert store.states(["o0", "o1", "o2"]) == [state(0), None, None]
    assert store.damaged == 2
    assert "state of object o1 has a wrong checksum" in caplog.text
    store.commit(Changes(states={"o1": (state(9), 1.0)}))
    assert store.states(["o1"]) == [state(9)]
    store.close()


def test_a_state_under_another_name_is_damage(path):
    fill(path, 2)
    db = sqlite3.connect(path)
    db.execute("UPDATE object SET state = (SELECT state FROM object WHERE name = 'o0') WHERE name = 'o1'")
    db.commit()
    db.close()
    store = open_store(path)
    assert store.states(["o1"]) == [None]
    assert store.damaged == 1
    store.close()


def test_a_damaged_log_entry_is_left_out_and_counted(path):
    fill(path, 2)
    store = open_store(path)
    store.commit(Changes(appended={"o0": [b"more"], "o1": [b"more"]}))
    store.close()
    db = sqlite3.connect(path)
    db.execute("UPDATE log SET data = x'00000000ff' WHERE object = 1 AND seq = 1")
    db.commit()
    db.close()
    store = open_store(path)
    assert store.histories(["o0", "o1"]) == [[b"more"], [b"entry 1", b"more"]]
    assert store.damaged == 1
    store.commit(Changes(rewritten={"o0": [b"new"]}))
    assert store.histories(["o0"]) == [[b"new"]]
    store.close()


# -- places of rows, and layout 1 ------------------------------------------------------------


def test_one_page_over_another_never_passes_unnoticed(path):
    fill(path, 120)
    whole = path.read_bytes()
    n_pages = len(whole) // PAGE_BYTES
    rng = random.Random(4)
    for _ in range(60):
        source, target = rng.sample(range(n_pages), 2)
        pages = [whole[i * PAGE_BYTES :][:PAGE_BYTES] for i in (source, target)]
        path.write_bytes(whole[: target * PAGE_BYTES] + pages[0] + whole[(target + 1) * PAGE_BYTES :])
        store = open_store(path)
        assert bool(store.recovered) == (pages[0] != pages[1]), (source, target)
        store.close()


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("object", "state = (SELECT state FROM object WHERE number = 1) WHERE number = 2"),
        ("object", "last_mjd = last_mjd + 1 WHERE number = 2"),
        ("object", "last_mjd = 'x' WHERE number = 2"),
        ("log", "data = (SELECT data FROM log WHERE seq = 1) WHERE seq = 2"),
        ("log", "seq = 9 WHERE seq = 2"),
        ("log", "seq = 'x' WHERE seq = 2"),
    ],
)
def test_a_row_in_another_place_is_damage(path, table, change):
    fill(path, 3)
    db = sqlite3.connect(path)
    db.execute(f"UPDATE {table} SET {change}")
    db.commit()
    db.close()
    store = open_store(path)
    assert store.states(["o0", "o1", "o2"]) == [state(0), None if table == "object" else state(1), state(2)]
    assert store.histories(["o1"]) == [[] if table == "log" else [b"entry 1"]]
    assert store.damaged == 1
    store.close()


@pytest.mark.parametrize(
    "damage", ["UPDATE meta SET value = '3' WHERE name = 'at a'", "DELETE FROM meta WHERE name = 'at b'"]
)
def test_a_damaged_or_lost_bookmark_is_noticed(tmp_path, damage):
    path = tmp_path / "s.sqlite"
    with closing(open_store(path)) as store:
        store.commit(Changes(bookmarks={"a": "1", "b": "2"}, position=1))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(damage)
    with closing(open_store(path)) as store:
        assert "positions" in store.recovered
        assert store.bookmarks == {}


def test_an_index_that_does_not_find_an_object_is_damage_in_a_large_file_too(path, monkeypatch):
    monkeypatch.setattr(database, "CHECK_BYTES", 0)  # as for a large file
    fill(path, 3)
    data = path.read_bytes()
    db = sqlite3.connect(path)
    (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE type = 'index'").fetchone()
    db.close()
    page = bytearray(data[(root - 1) * PAGE_BYTES :][:PAGE_BYTES])
    page[page.index(b"o1") + 1] = ord("7")
    path.write_bytes(data[: (root - 1) * PAGE_BYTES] + page + data[root * PAGE_BYTES :])
    store = open_store(path)
    assert store.recovered == ""
    with pytest.raises(StateError, match="its index of names does not find object 2"):
        store.evict(0.0, 10)
    store.close()


def test_an_object_whose_time_is_damaged_is_not_evicted(path):
    fill(path, 2)
    db = sqlite3.connect(path)
    db.execute("UPDATE object SET last_mjd = 0 WHERE name = 'o1'")
    db.commit()
    db.close()
    store = open_store(path)
    assert store.evict(60000.5, 10) == 1
    assert store.histories(["o0", "o1"]) == [[], [b"entry 1"]]
    store.close()


def as_layout_1(path: Path) -> None:
    """Rewrite a file as an earlier version wrote it."""
    db = sqlite3.connect(path)
    for number, name, blob in db.execute("SELECT number, name, state FROM object").fetchall():
        old = seal.seal(blob[4:], seal.old_state_salt(name))
        db.execute("UPDATE object SET state = ? WHERE number = ?", (old, number))
    for number, sequence, blob in db.execute("SELECT object, seq, data FROM log").fetchall():
        old = seal.seal(blob[4:], seal.old_entry_salt(number))
        db.execute("UPDATE log SET data = ? WHERE seq = ?", (old, sequence))
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()


def test_a_file_of_layout_1_goes_on(path):
    names = fill(path, 5)
    as_layout_1(path)
    for again in (False, True):  # marked as layout 2 the first time
        store = open_store(path)
        assert store.states(names[again:]) == [state(i) for i in range(again, 5)]
        assert store.histories(names[again:]) == [[f"entry {i}".encode()] for i in range(again, 5)]
        assert (store.position, store.damaged, store.recovered) == (5, 0, "")
        store.commit(Changes(states={"o0": (state(9), 1.0)}, appended={"o0": [b"new"]}))
        store.close()
    store = open_store(path)
    assert store.states(["o0"]) == [state(9)]
    assert store.histories(["o0"]) == [[b"entry 0", b"new", b"new"]]
    db = store._db
    db.execute("UPDATE log SET seq = 99 WHERE data = (SELECT max(data) FROM log WHERE seq > 5)")
    assert len(store.histories(["o0"])[0]) == 2
    store.close()
