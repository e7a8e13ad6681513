"""State files with damaged bytes: values are read as written or are absent; else a `StateError`."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from tests.fuzz.mutate import change_bytes

from firstlight.errors import StateError
from firstlight.stream.state.sqlite import SqliteStore
from firstlight.stream.state.store import Changes

_SIZE = 64
_NAMES = [f"object {k}" for k in range(40)]


def make(folder: Path) -> "States":
    """The target, with a sound state file."""
    return States(folder)


class States:
    documented = (StateError,)
    case_s = 10
    case_bytes = 256 << 20

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "state"
        with closing(self._open()) as store:
            store.commit(self._changes(0))
            store.commit(self._changes(1))
        self._good = {
            path.name: path.read_bytes() for path in self._folder.iterdir() if path.suffix == ".sqlite"
        }

    def past(self) -> list[Callable[[], None]]:
        """A page over another one, an empty file, a foreign file."""
        (content,) = self._good.values()
        size = 4096
        page = content[-size:]
        swapped = [
            content[: k * size] + page + content[(k + 1) * size :] for k in range(len(content) // size)
        ]
        return [
            lambda made=made: self._use(made) for made in (*swapped, b"", b"SQLite format 3\0", b"\0" * 8192)
        ]

    def case(self, rng: np.random.Generator) -> Callable[[], None]:
        """A few changed bytes, or pages that changed places."""
        (content,) = self._good.values()
        if rng.random() < 0.2:
            size = 512 << int(rng.integers(0, 5))
            one, other = (size * int(k) for k in rng.integers(0, len(content) // size, 2))
            made = bytearray(content)
            made[one : one + size], made[other : other + size] = content[other:][:size], content[one:][:size]
            return lambda: self._use(bytes(made))
        changed = change_bytes(rng, content)
        return lambda: self._use(changed)

    def _use(self, content: bytes) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        (self._folder / next(iter(self._good))).write_bytes(content)
        wanted = self._changes(1)
        with closing(self._open()) as store:
            states, histories = store.states(_NAMES), store.histories(_NAMES)
            for name, state, history in zip(_NAMES, states, histories, strict=True):
                written = (self._changes(0).states[name][0], wanted.states[name][0])
                assert state is None or state in written, "a state that nobody wrote"
                entries = [*self._changes(0).appended[name], *wanted.appended[name]]
                assert all(entry in entries for entry in history), "an entry of another object"
            store.commit(
                Changes(states={"new": (b"n" * _SIZE, 60001.0)}, appended={"new": [b"e"]}, position=9)
            )
            assert store.states(["new"]) == [b"n" * _SIZE], "a commit that is not there"
            store.evict(60000.5, 10)

    def _open(self) -> SqliteStore:
        return SqliteStore(self._folder / "file-0.sqlite", bundle="fuzz", state_size=_SIZE)

    def _changes(self, step: int) -> Changes:
        return Changes(
            states={
                name: (bytes([k, step]) * (_SIZE // 2), 60000.0 + k / 40) for k, name in enumerate(_NAMES)
            },
            appended={name: [f"{name} entry {step}".encode()] for name in _NAMES},
            position=step + 1,
            sink_position={"out": 12},
        )
