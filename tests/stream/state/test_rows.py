"""Rows of several bundles: each finds its own last state, or none, whichever bundles ran in between."""

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.errors import StateError
from firstlight.stream.state.rows import Owner, Rows
from firstlight.stream.state.shared import SharedStore
from firstlight.stream.state.sqlite import SqliteStore
from firstlight.stream.state.store import Changes

BUNDLES = tuple(Owner(name, size) for name, size in (("a", 5), ("b", 8), ("c", 5), ("a", 9)))
OBJECTS = ("x", "y")


def state(owner: Owner, number: int) -> bytes:
    return bytes([number, 0]).ljust(owner.size, b"\0")


@st.composite
def histories(draw):
    """Workers one after another: their bundles, whether they start or change, and the objects they write."""
    chosen = st.lists(st.sampled_from(BUNDLES), min_size=1, max_size=3, unique=True)
    return draw(st.lists(st.tuples(chosen, st.booleans(), st.sets(st.sampled_from(OBJECTS))), max_size=8))


@pytest.mark.parametrize("kind", [SqliteStore, SharedStore])
@given(steps=histories())
@settings(max_examples=30, deadline=None)
def test_a_bundle_reads_its_last_states_and_no_older_or_foreign_ones(kind, steps):
    with TemporaryDirectory() as folder:
        path, store = Path(folder) / "alerts.sqlite", None
        written: dict[tuple[str, Owner], bytes] = {}  # by the last worker that wrote the object
        steady: set[tuple[str, Owner]] = set()  # of those, whose bundles have all run without a break since
        before: set[Owner] = set()
        for number, (bundles, starts, objects) in enumerate(steps, start=1):
            first, *others = bundles
            if store is not None and starts:
                store.close()
                store = None
            if store is None:
                store = kind(path, bundle=first.bundle, state_size=first.size, others=others)
            else:
                store.use(bundles)
            rows = Rows(bundles)
            if not before <= set(bundles):
                steady = set()
            for name in OBJECTS:
                row = store.states([name])[0]
                found = [None] * len(bundles) if row is None else rows.split(row)
                for owner, value in zip(bundles, found, strict=True):
                    assert value in (None, written.get((name, owner)))
                    if (name, owner) in steady:
                        assert value == written[name, owner]
            new = {name: rows.join(state(owner, number) for owner in bundles) for name in objects}
            store.commit(Changes(states={name: (row, 60000.0) for name, row in new.items()}))
            for name in objects:
                written = {place: value for place, value in written.items() if place[0] != name}
                written |= {(name, owner): state(owner, number) for owner in bundles}
                steady |= {(name, owner) for owner in bundles}
            before = set(bundles)
            assert store.states(sorted(objects)) == [new[name] for name in sorted(objects)]
            assert store.damaged == 0
        if store is not None:
            store.close()


def open_store(path: Path, *bundles: Owner) -> SqliteStore:
    (bundle, size), *others = bundles
    return SqliteStore(path, bundle=bundle, state_size=size, others=others)


def test_a_bundle_that_joins_leaves_and_takes_over_keeps_its_states(tmp_path):
    a, b = BUNDLES[:2]
    path = tmp_path / "alerts.sqlite"
    with closing(open_store(path, a)) as store:
        store.commit(Changes(states={"x": (state(a, 1), 1.0), "y": (state(a, 1), 1.0)}))
    with closing(open_store(path, a, b)) as store:
        assert store.states(["x"]) == [state(a, 1) + bytes(b.size)]
        store.commit(Changes(states={"x": (state(a, 2) + state(b, 2), 1.0)}))
    with closing(open_store(path, b, a)) as store:
        assert store.states(["x", "y"]) == [state(b, 2) + state(a, 2), bytes(b.size) + state(a, 1)]
    with closing(open_store(path, b)) as store:  # takes over
        assert store.states(["x", "y"]) == [state(b, 2), None]
        store.commit(Changes(states={"x": (state(b, 3), 1.0)}))
    with closing(open_store(path, a)) as store:  # x went on without it
        assert store.states(["x"]) == [None]


def test_a_row_of_another_size_is_refused(tmp_path):
    a, b = BUNDLES[:2]
    with closing(open_store(tmp_path / "alerts.sqlite", a, b)) as store:
        with pytest.raises(StateError, match="5 bytes instead of 13"):
            store.commit(Changes(states={"x": (state(a, 1), 1.0)}))
        assert store.states(["x"]) == [None]


def test_workers_of_one_store_change_their_bundles_one_after_another(tmp_path):
    """A second connection of this process stands for another worker."""
    a, b = BUNDLES[:2]
    path = tmp_path / "alerts.shared.sqlite"
    one = SharedStore(path, bundle=a.bundle, state_size=a.size)
    with closing(one), closing(SharedStore(path, bundle=a.bundle, state_size=a.size)) as other:
        one.commit(Changes(states={"x": (state(a, 1), 1.0)}))
        one.use([b])
        assert one.states(["x"]) == [None]
        one.commit(Changes(states={"x": (state(b, 2), 1.0)}))
        assert other.states(["x"]) == [None]  # still with the old bundle
        other.commit(Changes(states={"x": (state(a, 3), 1.0)}))
        assert one.states(["x"]) == [None]
        one.commit(Changes(states={"x": (state(b, 4), 1.0)}))
        other.use([b])
        assert other.states(["x"]) == [state(b, 4)]
