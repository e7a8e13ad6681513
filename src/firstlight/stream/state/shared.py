"""The state store that all partitions of a topic share, and all workers of one machine.

An object whose alerts come in any partition has one state here. A worker claims the objects of its
micro-batch until the batch is committed, so that another worker waits only if it has an alert of the
same object. Claims are locks on bytes of a file beside the database: byte 0 for all users of the
store, then one per partition, then one per object. The system drops them when a process ends.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

from firstlight.errors import StateError, StateInUseError
from firstlight.stream.io.message import Partition
from firstlight.stream.state.database import CorruptError, DamagedError
from firstlight.stream.state.meta import Meta
from firstlight.stream.state.rows import Owner
from firstlight.stream.state.sqlite import SqliteStore

_USERS, _PARTITIONS, _OBJECTS = 0, 1, 1 << 32  # places of locks in the file
_N_OBJECTS = 1 << 32
_OF_TOPICS = 1 << 61  # numbers of partitions of several topics begin here, after the places of objects
_PAUSE_S = 0.001
_OPEN_PAUSE_S = 0.02


class SharedStore(SqliteStore):
    """States, histories and positions of all partitions of a topic, as in `SqliteStore`.

    With `several` they are those of several topics, and a digest of topic and number stands for a partition.
    The first worker that opens it checks it, moves a damaged file aside and drops the states of another
    bundle. While others use it, damage is a StateError, and so is a start with another bundle; but each of
    them may change its bundle with `use`, since rows carry the bundle that wrote them.
    """

    is_shared = True
    _locking = "NORMAL"
    _busy_s = 60.0

    def __init__(
        self,
        path: Path,
        *,
        bundle: str,
        state_size: int,
        others: Sequence[Owner] = (),
        wait_s: float = 0.0,
        several: bool = False,
    ) -> None:
        self._several = several
        self._locks = -1
        self._is_first = self._is_ready = False
        self._owned: set[Partition] = set()
        self._n_evicted = 0
        self._lock_path = Path(f"{path}.lock")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._locks = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"{self._lock_path}: cannot open the locks of the state: {error}") from error
        try:
            self._enter(wait_s)
            super().__init__(path, bundle=bundle, state_size=state_size, others=others, wait_s=wait_s)
            self._is_first, self._is_ready = False, True
            fcntl.lockf(self._locks, fcntl.LOCK_SH, 1, _USERS)
        except BaseException:
            self.close()
            raise

    @property
    def is_owner(self) -> bool:
        """Whether it owns any partition."""
        return bool(self._owned)

    @property
    def is_open(self) -> bool:
        """Whether it was not closed."""
        return self._db is not None

    def number(self, partition: Partition) -> int:
        """See `StateStore`."""
        topic, number = partition
        if not self._several:
            return number
        digest = blake2b(f"{topic}/{number}".encode(), digest_size=8).digest()
        return _OF_TOPICS + (int.from_bytes(digest, "big") >> 3)

    def own(self, partition: Partition, wait_s: float) -> None:
        """See `StateStore`."""
        deadline = time.monotonic() + wait_s
        while not self._lock(_PARTITIONS + self.number(partition)):
            if time.monotonic() >= deadline:
                raise StateInUseError(
                    f"{self.path}: partition {partition[1]} is in use by another worker; stop that one, or "
                    "give this one another path for its state"
                )
            time.sleep(_OPEN_PAUSE_S)
        try:
            self._refresh()
        except StateError:
            self.disown(partition)
            raise
        self._owned.add(partition)

    def disown(self, partition: Partition) -> None:
        """See `StateStore`."""
        self._owned.discard(partition)
        fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, _PARTITIONS + self.number(partition))

    def claim(self, objects: Iterable[str], give_up: Callable[[], bool]) -> bool:
        """See `StateStore`; in a fixed order, so that two workers never wait for each other."""
        for place in sorted({_place(name) for name in objects}):
            while not self._lock(place):
                if give_up():
                    self.release()
                    return False
                time.sleep(_PAUSE_S)
        return True

    def release(self) -> None:
        """See `StateStore`."""
        if self._locks >= 0:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, _N_OBJECTS, _OBJECTS)

    def evict(self, before_mjd: float, limit: int) -> int:
        """See `StateStore`; objects that another worker has in hand stay."""
        try:
            return super().evict(before_mjd, limit)
        finally:
            self.release()

    def close(self) -> None:
        """See `StateStore`."""
        if hasattr(self, "_db"):
            self._close_file()
        if self._locks >= 0:
            os.close(self._locks)
            self._locks = -1

    def _enter(self, wait_s: float) -> None:
        """Become a user of the store: the first one, or one of several."""
        deadline = time.monotonic() + max(wait_s, 1.0)  # another one may be opening it
        while True:
            if self._lock(_USERS):
                self._is_first = True
                return
            if self._lock(_USERS, fcntl.LOCK_SH):
                return
            if time.monotonic() >= deadline:
                raise StateError(f"{self._lock_path}: another worker is opening the state; try again")
            time.sleep(_OPEN_PAUSE_S)

    def _lock(self, place: int, kind: int = fcntl.LOCK_EX) -> bool:
        """Whether a lock was free."""
        try:
            fcntl.lockf(self._locks, kind | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            raise StateError(
                f"{self._lock_path}: cannot be locked ({error.strerror}); keep the state on a disk of this "
                "machine"
            ) from error
        return True

    def _may_evict(self, name: str) -> bool:
        return self._lock(_place(name))

    def _check(self) -> None:
        if self._is_first:
            super()._check()

    def _begin(self, db: sqlite3.Connection) -> None:
        """Begin a transaction that writes, with the positions and counts that other workers left."""
        db.execute("BEGIN IMMEDIATE")
        try:
            self._meta = Meta.read(db)
        except DamagedError as error:
            raise CorruptError(str(error)) from None
        evicted = self._meta.last - self._meta.n_objects
        if evicted != self._n_evicted:  # by another worker: row numbers may have gone
            self._numbers.clear()
            self._n_evicted = evicted

    def _refresh(self) -> None:
        """Read the positions and counts that other workers left, such as the last owner of a partition."""
        try:
            self._begin(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failed("cannot read positions", error) from error

    def _begin_reading(self) -> None:
        self._connection.execute("BEGIN")

    def _end_reading(self) -> None:
        self._connection.execute("COMMIT")

    def _take_over(self) -> None:
        if not (self._is_first or self._is_ready):
            raise StateError(
                f"{self.path}: other workers use it with bundle {self._meta.owner.bundle}, this one has "
                f"{self._rows.owners[0].bundle}; stop them first, or give this one another path for its state"
            )
        super()._take_over()

    def _replace(self, reason: str) -> None:
        if not self._is_first:
            raise StateError(
                f"{self.path} is damaged ({reason}); stop all workers that use it: the first one that starts "
                "again moves it aside and reads the topic from its beginning"
            )
        super()._replace(reason)


def _place(name: str) -> int:
    """Place of an object's lock; two objects may have the same."""
    return _OBJECTS + crc32(name.encode())
