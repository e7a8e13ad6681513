"""The protocol of a state store, and a store in memory."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from firstlight.stream.io.message import Partition
from firstlight.stream.state.rows import Owner


@dataclass(frozen=True)
class Changes:
    """All changes of one transaction."""

    #: New state row of each object, and the time of its last observation [MJD TAI day].
    states: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    appended: dict[str, list[bytes]] = field(default_factory=dict)  #: entries to append to histories
    rewritten: dict[str, list[bytes]] = field(default_factory=dict)  #: new histories, not `appended`
    position: int | None = None  #: next offset to read from the partition; None keeps the old one
    sink_position: dict[str, int] = field(default_factory=dict)  #: new lengths of sinks, by name
    bookmarks: dict[str, str] = field(default_factory=dict)  #: new places in files of the input, by name
    #: Of a store that partitions share, by `StateStore.number`: next offsets, next offsets as they will be
    #: after the micro-batch that is about to be published, and clocks [MJD TAI day].
    offsets: dict[int, int] = field(default_factory=dict)
    planned: dict[int, int] = field(default_factory=dict)
    clocks: dict[int, float] = field(default_factory=dict)

    def objects(self) -> dict[str, None]:
        """All changed objects, each once, in order."""
        return dict.fromkeys((*self.states, *self.rewritten, *self.appended))

    def history(self, name: str) -> list[bytes]:
        """Entries to write for an object."""
        return self.rewritten[name] if name in self.rewritten else self.appended.get(name, [])


class ObjectReader(Protocol):
    """Part of a store that reads objects; the laws are those of `StateStore`."""

    def states(self, objects: Sequence[str]) -> list[bytes | None]:
        """State row of each object (of several bundles: `Rows`); None if it has none, or a damaged one."""
        ...

    def histories(self, objects: Sequence[str]) -> list[list[bytes]]:
        """History of each object, oldest entry first, without damaged entries; may be empty."""
        ...


class StateStore(ObjectReader, Protocol):
    """States, histories and positions of one partition, or of all partitions of a topic (`is_shared`).

    Laws: committed data is read back byte for byte until it is changed or evicted; a commit is
    complete or has no effect. An object that was never written, or was evicted, has no state and an
    empty history. A state or entry with a wrong checksum reads as absent and is counted in `damaged`.
    """

    @property
    def position(self) -> int | None:
        """Next offset to read; None before the first commit."""
        ...

    @property
    def sink_position(self) -> dict[str, int]:
        """Committed length of each sink, by name."""
        ...

    @property
    def bookmarks(self) -> dict[str, str]:
        """Committed place in each file of the input, by name; only the source knows their meaning."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether several partitions, and the workers of one machine, share the store."""
        ...

    @property
    def offsets(self) -> dict[int, int]:
        """Next offset to read from each partition that shares the store."""
        ...

    @property
    def planned(self) -> dict[int, int]:
        """Next offset of each partition after its last micro-batch, committed before that is published."""
        ...

    @property
    def clocks(self) -> dict[int, float]:
        """Clock of each partition that shares the store [MJD TAI day]."""
        ...

    @property
    def n_objects(self) -> int:
        """Number of objects."""
        ...

    @property
    def size_bytes(self) -> int:
        """Size of the store [byte]."""
        ...

    @property
    def damaged(self) -> int:
        """States and entries found damaged since the store was opened."""
        ...

    @property
    def recovered(self) -> str:
        """Why an existing store was replaced by an empty one; "" if it was not.

        If a StateError changes it, the partition must be read again from its beginning.
        """
        ...

    def use(self, bundles: Sequence[Owner]) -> None:
        """Change the bundles whose states the rows hold; states of others read as absent from now on."""
        ...

    def commit(self, changes: Changes) -> None:
        """Write all the changes in one transaction."""
        ...

    def evict(self, before_mjd: float, limit: int) -> int:
        """Remove objects whose last observation is before `before_mjd` [MJD TAI day]; their number.

        Each call looks at `limit` objects at most and continues where the last one stopped, after the last
        object at the first.
        """
        ...

    def number(self, partition: Partition) -> int:
        """Number by which the store knows a partition."""
        ...

    def own(self, partition: Partition, wait_s: float) -> None:
        """Become the owner of a partition that shares the store; StateError if it has another one."""
        ...

    def disown(self, partition: Partition) -> None:
        """Give a partition back; everything is committed."""
        ...

    def claim(self, objects: Iterable[str], give_up: Callable[[], bool]) -> bool:
        """Keep other workers from objects until `release`; False if `give_up` ended the wait for them."""
        ...

    def release(self) -> None:
        """Give all claimed objects back."""
        ...

    def close(self) -> None:
        """Release the store; may be called twice."""
        ...


class OneOwner:
    """Part of a store that no other worker uses: nothing has to be claimed."""

    is_shared = False

    def number(self, partition: Partition) -> int:
        """See `StateStore`; the number in its topic."""
        return partition[1]

    def own(self, partition: Partition, wait_s: float) -> None:
        """See `StateStore`."""

    def disown(self, partition: Partition) -> None:
        """See `StateStore`."""

    def claim(self, objects: Iterable[str], give_up: Callable[[], bool]) -> bool:
        """See `StateStore`."""
        return True

    def release(self) -> None:
        """See `StateStore`."""


class MemoryStore(OneOwner):
    """A store in memory; `rows` and `entries` hold its objects and their histories.

    With `is_shared` it serves several partitions of one worker.

    Examples
    --------
    >>> store = MemoryStore()
    >>> store.commit(Changes(states={"a": (b"state", 60000.0)}, appended={"a": [b"entry"]}, position=7))
    >>> store.states(["a", "b"]), store.histories(["a"]), store.position
    ([b'state', None], [[b'entry']], 7)
    """

    damaged = 0
    recovered = ""

    def __init__(self, *, is_shared: bool = False) -> None:
        self.is_shared = is_shared
        self.offsets: dict[int, int] = {}
        self.planned: dict[int, int] = {}
        self.clocks: dict[int, float] = {}
        self.rows: dict[str, tuple[int, bytes | None, float]] = {}  # number, state, last MJD
        self.entries: dict[str, list[bytes]] = {}
        self._last = self._at = 0  # numbers of the newest object and of the last one that `evict` saw
        self.position: int | None = None
        self.sink_position: dict[str, int] = {}
        self.bookmarks: dict[str, str] = {}

    @property
    def n_objects(self) -> int:
        """See `StateStore`."""
        return len(self.rows)

    @property
    def size_bytes(self) -> int:
        """See `StateStore`."""
        states = sum(len(state) for _, state, _ in self.rows.values() if state is not None)
        return states + sum(len(entry) for history in self.entries.values() for entry in history)

    def states(self, objects: Sequence[str]) -> list[bytes | None]:
        """See `StateStore`."""
        return [self.rows[name][1] if name in self.rows else None for name in objects]

    def histories(self, objects: Sequence[str]) -> list[list[bytes]]:
        """See `StateStore`."""
        return [list(self.entries.get(name, ())) for name in objects]

    def commit(self, changes: Changes) -> None:
        """See `StateStore`."""
        for name in changes.objects():
            if name not in self.rows:
                self._last += 1
                self.rows[name] = (self._last, None, math.nan)
            if name in changes.states:
                self.rows[name] = (self.rows[name][0], *changes.states[name])
            if name in changes.rewritten:
                self.entries[name] = []
            if entries := changes.history(name):
                self.entries.setdefault(name, []).extend(entries)
        if changes.position is not None:
            self.position = changes.position
        self.sink_position |= changes.sink_position
        self.bookmarks |= changes.bookmarks
        self.offsets |= changes.offsets
        self.planned |= changes.planned
        self.clocks |= changes.clocks

    def use(self, bundles: Sequence[Owner]) -> None:
        """See `StateStore`; it does not know whose its states are, so all are dropped."""
        self.rows = {name: (number, None, mjd) for name, (number, _, mjd) in self.rows.items()}

    def evict(self, before_mjd: float, limit: int) -> int:
        """See `StateStore`."""
        names = list(self.rows)
        start = next((i for i, name in enumerate(names) if self.rows[name][0] > self._at), len(names))
        looked = (names[start:] + names[:start])[:limit]
        if looked:
            self._at = self.rows[looked[-1]][0]
        quiet = [name for name in looked if self.rows[name][2] < before_mjd]
        for name in quiet:
            del self.rows[name]
            self.entries.pop(name, None)
        return len(quiet)

    def close(self) -> None:
        """Nothing to release."""
