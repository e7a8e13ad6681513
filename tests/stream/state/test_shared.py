"""One store for all partitions: several processes, claims, and refusals while others use it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from firstlight.errors import StateError
from firstlight.stream.state.shared import SharedStore
from firstlight.stream.state.store import Changes

SIZE = 8
N_OBJECTS = 12

#: Counts objects up, a few at a time, and its own rounds as the offset of its partition.
COUNTER = """
import random, sys
from pathlib import Path
from firstlight.stream.state.shared import SharedStore
from firstlight.stream.state.store import Changes

path, partition, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store = SharedStore(path, bundle="b", state_size=8, wait_s=20.0)
store.own(("alerts", partition), 0.0)
rng = random.Random(partition)
at = store.offsets.get(partition, 0)
print("ready", flush=True)
while at < rounds:
    names = [f"o{i}" for i in rng.sample(range(12), 4)]
    assert store.claim(names, lambda: False)
    known = [int.from_bytes(row or b"", "big") for row in store.states(names)]
    lengths = [len(history) for history in store.histories(names)]
    assert lengths == known, (lengths, known)
    at += 1
    store.commit(Changes(
        states={n: ((k + 1).to_bytes(8, "big"), float(at)) for n, k in zip(names, known)},
        appended={n: [b"x"] for n in names}, offsets={partition: at}))
    store.release()
store.close()
"""

#: Has partition 0 and an object until its standard input ends.
HOLDER = """
import sys
from pathlib import Path
from firstlight.stream.state.shared import SharedStore
from firstlight.stream.state.store import Changes

store = SharedStore(Path(sys.argv[1]), bundle="b", state_size=8)
store.own(("alerts", 0), 0.0)
store.commit(Changes(states={"held": (bytes(8), 1.0), "free": (bytes(8), 1.0)}))
assert store.claim(["held"], lambda: False)
print("ready", flush=True)
sys.stdin.read()
store.close()
"""


@pytest.fixture
def start():
    """Start a script as its own process, which ends with the test."""
    with ExitStack() as stack:

        def begin(script, *words):
            process = subprocess.Popen(
                [sys.executable, "-c", script, *map(str, words)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "alerts.shared.sqlite"


@pytest.fixture
def store(path):
    with closing(SharedStore(path, bundle="b", state_size=SIZE)) as opened:
        yield opened


@pytest.fixture
def holder(start, path):
    process = start(HOLDER, path)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def store_beside(holder, path):
    with closing(SharedStore(path, bundle="b", state_size=SIZE)) as opened:
        yield opened


def total(path: Path) -> tuple[int, int]:
    """Sum over the objects, and over the offsets."""
    with closing(SharedStore(path, bundle="b", state_size=SIZE)) as store:
        names = [f"o{i}" for i in range(N_OBJECTS)]
        counts = [int.from_bytes(row or b"", "big") for row in store.states(names)]
        assert [len(history) for history in store.histories(names)] == counts
        assert (store.damaged, store.recovered) == (0, "")
        return sum(counts), sum(store.offsets.values())


def test_workers_that_count_the_same_objects_lose_no_count(start, path):
    rounds = 60
    workers = [start(COUNTER, path, partition, rounds) for partition in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert total(path) == (2 * rounds * 4, 2 * rounds)


def test_a_killed_worker_leaves_whole_commits_and_lets_the_others_go_on(start, path):
    rounds = 200
    steady = start(COUNTER, path, 0, rounds)
    for _ in range(4):
        victim = start(COUNTER, path, 1, 10**6)
        assert victim.stdout.readline() == "ready\n"
        time.sleep(0.03)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
    assert steady.wait(60) == 0
    counted, offsets = total(path)
    assert counted == 4 * offsets
    assert offsets > rounds


def test_an_object_in_hand_is_waited_for_and_not_evicted(store_beside, holder):
    tries = iter([False, False, True])
    assert not store_beside.claim(["held"], lambda: next(tries))
    assert store_beside.claim(["free"], lambda: True)
    store_beside.release()
    assert store_beside.evict(9.0, 10) == 1
    assert store_beside.states(["held", "free"]) == [bytes(SIZE), None]
    holder.kill()
    holder.wait()
    assert store_beside.claim(["held"], lambda: True)


def test_a_partition_has_one_owner(store_beside, holder):
    with pytest.raises(StateError, match="partition 0 is in use by another worker"):
        store_beside.own(("alerts", 0), 0.1)
    store_beside.own(("alerts", 1), 0.0)
    store_beside.disown(("alerts", 1))
    holder.kill()
    store_beside.own(("alerts", 0), 5.0)


def test_another_bundle_is_refused_while_others_use_the_store(holder, path):
    with pytest.raises(StateError, match="other workers use it with bundle b, this one has c"):
        SharedStore(path, bundle="c", state_size=SIZE)
    holder.kill()
    holder.wait()
    with closing(SharedStore(path, bundle="c", state_size=SIZE)) as store:
        assert store.states(["held"]) == [None]


def test_damage_is_set_aside_only_by_a_worker_that_is_alone(store_beside, holder, path):
    store_beside.commit(Changes(offsets={3: 4}))
    store_beside._db.execute("UPDATE meta SET value = 5 WHERE name = 'next 3'")
    with pytest.raises(StateError, match="stop all workers that use it"):
        store_beside.commit(Changes(offsets={3: 6}))
    store_beside.close()
    assert not list(path.parent.glob("*.damaged-1"))
    holder.kill()
    holder.wait()
    with closing(SharedStore(path, bundle="b", state_size=SIZE)) as store:
        assert "was damaged" in store.recovered
        assert store.offsets == {}
    assert list(path.parent.glob("*.damaged-1"))


def test_counts_of_other_workers_are_seen(store, path):
    """A second connection of this process stands for another worker."""
    with closing(SharedStore(path, bundle="b", state_size=SIZE)) as other:
        other.commit(Changes(states={"a": (bytes(SIZE), 1.0)}, offsets={0: 1}))
        store.commit(Changes(states={"b": (bytes(SIZE), 1.0)}, offsets={1: 2}))
        assert (store.n_objects, store.offsets) == (2, {0: 1, 1: 2})
        assert store.evict(9.0, 10) == 2
        assert store.states(["a"]) == [None]
        other.commit(Changes(states={"a": (bytes([1] * SIZE), 1.0)}))
        assert store.states(["a"]) == [bytes([1] * SIZE)]


def test_a_partition_goes_on_where_its_last_owner_stopped(store, path):
    with closing(SharedStore(path, bundle="b", state_size=SIZE)) as other:
        other.own(("alerts", 0), 0.0)
        other.commit(Changes(offsets={0: 10}, planned={0: 12}, bookmarks={"topic": "c/1"}))
        other.disown(("alerts", 0))
        store.own(("alerts", 0), 0.0)
        assert (store.offsets, store.planned, store.bookmarks) == ({0: 10}, {0: 12}, {"topic": "c/1"})
