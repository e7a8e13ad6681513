"""What the worker knows of its objects: state rows, logs and positions, durable together.

A store holds one partition. `MemoryStore` here is the twin for tests and for runs that
need not survive; `firstlight.stream.state.sqlite.SqliteStore` keeps the same in a file.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Changes", "MemoryStore", "StateStore"]


@dataclass(frozen=True)
class Changes:
    """All that one transaction writes.

    Attributes
    ----------
    states : dict of str to tuple of bytes and float
        Each object's new state row, and the time of its last observation [MJD TAI day].
    appended : dict of str to list of bytes
        Entries to add to the objects' logs, in order.
    rewritten : dict of str to list of bytes
        Whole new logs. For an object that is here, `appended` is not used.
    position : int, optional
        Next offset to read from the partition; None leaves it as it was.
    sink_position : dict of str to int
        Durable length of each sink, by its name; sinks that are absent stay as they were.
    """

    states: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    appended: dict[str, list[bytes]] = field(default_factory=dict)
    rewritten: dict[str, list[bytes]] = field(default_factory=dict)
    position: int | None = None
    sink_position: dict[str, int] = field(default_factory=dict)

    def objects(self) -> dict[str, None]:
        """Every object that is written, each once, in order."""
        return dict.fromkeys((*self.states, *self.rewritten, *self.appended))

    def log(self, name: str) -> list[bytes]:
        """Entries to write for an object."""
        return self.rewritten[name] if name in self.rewritten else self.appended.get(name, [])


class StateStore(Protocol):
    """States, logs and positions of one partition.

    Laws: what `commit` wrote is read back, byte for byte, until it is written again or
    evicted; a commit happens whole or not at all, whatever interrupts it. An object that
    was never written, and one that was evicted, has no state and an empty log. A state
    or log entry that does not carry its checksum any more reads as absent and is counted in
    `damaged`.
    """

    @property
    def position(self) -> int | None:
        """Next offset to read; None where nothing was committed."""
        ...

    @property
    def sink_position(self) -> dict[str, int]:
        """Durable length of each sink, by its name."""
        ...

    @property
    def n_objects(self) -> int:
        """Number of objects."""
        ...

    @property
    def size_bytes(self) -> int:
        """Room that the store takes [byte]."""
        ...

    @property
    def damaged(self) -> int:
        """States and log entries found damaged since the store was opened."""
        ...

    @property
    def recovered(self) -> str:
        """Why the store began afresh though there was one; empty where it did not.

        After a StateError that comes with a new text here, the store is empty, and the
        partition is to be read again from its beginning.
        """
        ...

    def states(self, objects: Sequence[str]) -> list[bytes | None]:
        """State row of each object; None where there is none, or a damaged one."""
        ...

    def logs(self, objects: Sequence[str]) -> list[list[bytes]]:
        """Log of each object, oldest entry first, less damaged entries; empty where there is none."""
        ...

    def commit(self, changes: Changes) -> None:
        """Write all the changes in one transaction."""
        ...

    def evict(self, before_mjd: float, limit: int) -> int:
        """Forget objects whose last observation is older than `before_mjd` [MJD TAI day].

        Looks at `limit` objects at most, going on where the last call stopped and round
        again, so that each call is short. An object without a known time stays.

        Returns
        -------
        int
            Number of objects forgotten.
        """
        ...

    def close(self) -> None:
        """Let go of the store; closing twice is harmless."""
        ...


class MemoryStore:
    """A store in memory.

    Examples
    --------
    >>> store = MemoryStore()
    >>> store.commit(Changes(states={"a": (b"state", 60000.0)}, appended={"a": [b"entry"]}, position=7))
    >>> store.states(["a", "b"]), store.logs(["a"]), store.position
    ([b'state', None], [[b'entry']], 7)
    """

    damaged = 0
    recovered = ""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[int, bytes | None, float]] = {}  # number, state, time
        self._logs: dict[str, list[bytes]] = {}
        self._last = self._at = 0  # number of the newest object; of the last one that `evict` looked at
        self.position: int | None = None
        self.sink_position: dict[str, int] = {}

    @property
    def n_objects(self) -> int:
        """Number of objects."""
        return len(self._rows)

    @property
    def size_bytes(self) -> int:
        """Bytes of all states and logs."""
        states = sum(len(state) for _, state, _ in self._rows.values() if state is not None)
        return states + sum(len(entry) for log in self._logs.values() for entry in log)

    def states(self, objects: Sequence[str]) -> list[bytes | None]:
        """State row of each object; None where there is none."""
        return [self._rows[name][1] if name in self._rows else None for name in objects]

    def logs(self, objects: Sequence[str]) -> list[list[bytes]]:
        """Log of each object, oldest entry first."""
        return [list(self._logs.get(name, ())) for name in objects]

    def commit(self, changes: Changes) -> None:
        """Write all the changes."""
        for name in changes.objects():
            if name not in self._rows:
                self._last += 1
                self._rows[name] = (self._last, None, math.nan)
            if name in changes.states:
                self._rows[name] = (self._rows[name][0], *changes.states[name])
            if name in changes.rewritten:
                self._logs[name] = []
            if entries := changes.log(name):
                self._logs.setdefault(name, []).extend(entries)
        if changes.position is not None:
            self.position = changes.position
        self.sink_position |= changes.sink_position

    def evict(self, before_mjd: float, limit: int) -> int:
        """Forget objects whose last observation is older; looks at `limit` objects at most."""
        names = list(self._rows)
        start = next((i for i, name in enumerate(names) if self._rows[name][0] > self._at), len(names))
        looked = (names[start:] + names[:start])[:limit]
        if looked:
            self._at = self._rows[looked[-1]][0]
        quiet = [name for name in looked if self._rows[name][2] < before_mjd]
        for name in quiet:
            del self._rows[name]
            self._logs.pop(name, None)
        return len(quiet)

    def close(self) -> None:
        """Nothing to let go of."""
