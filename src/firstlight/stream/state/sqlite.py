"""State stores in a folder, one SQLite file per partition.

A power failure can lose the last whole transactions (``synchronous=NORMAL``); their alerts are
then read again.
"""

import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from firstlight.errors import StateError, StateInUseError
from firstlight.stream.state import seal
from firstlight.stream.state.database import (
    DAMAGED,
    FORMAT,
    CorruptError,
    DamagedError,
    barrier,
    cause,
    check_content,
    check_owner,
    error_code,
    pragma,
)
from firstlight.stream.state.meta import Meta, split_mark
from firstlight.stream.state.rows import MARK, Owner, Rows
from firstlight.stream.state.store import Changes, OneOwner

_log = logging.getLogger(__name__)

PAGE_BYTES = 4096  # a 4.2 kB state takes one overflow page; 8192 and 16384 were larger and no faster
CACHE_KB = 32 * 1024

# Checkpoints copy pages from the write-ahead log to the database and wait for the disk. Rare,
# large ones give throughput; small ones keep each wait short when there are few alerts.
BUSY_WAL_PAGES = (64 << 20) // PAGE_BYTES
CALM_WAL_PAGES = (2 << 20) // PAGE_BYTES
CALM_OBJECTS = 64  # a commit of fewer objects means that there are few alerts

_KNOWN_NUMBERS = 1 << 16  # maximum number of cached row numbers


class SqliteStore(OneOwner):
    """States, histories and positions of one partition, in one file, used by one thread.

    Opening checks header, size, tables and positions, and every page of files up to 64 MiB; in larger ones
    `evict` finds a damaged index. Each state, entry and position carries a checksum of its content and place
    that every read checks. A damaged file is moved aside as ``<name>.damaged-N`` and replaced by an empty
    one; `recovered`, and later a StateError, gives the reason.

    The file is locked while it is open; `wait_s` [s] is the time to wait for another process to release
    it. States of another `bundle` or `state_size` [byte] are dropped; their histories rebuild them. With
    `others` beside the bundle a row has the states of all of them.
    StateError if another process or program owns the file, or it cannot be opened or written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = SqliteStore(Path(folder) / "file-0.sqlite", bundle="fast-1", state_size=5)
    ...     store.commit(Changes(states={"a": (b"state", 60000.0)}, position=7))
    ...     print(store.states(["a", "b"]), store.position)
    ...     store.close()
    [b'state', None] 7
    """

    _locking = "EXCLUSIVE"
    _busy_s = 0.0  # how long SQLite waits for a lock [s]

    def __init__(
        self,
        path: Path,
        *,
        bundle: str,
        state_size: int,
        others: Sequence[Owner] = (),
        wait_s: float = 0.0,
    ) -> None:
        self.path = Path(path)
        self.damaged = 0
        self.recovered = ""
        self._rows = Rows([Owner(bundle, state_size), *others])
        self._db: sqlite3.Connection | None = None
        self._meta = Meta()
        self._evicted_to = 0
        self._numbers: dict[str, int] = {}  # cached row numbers of objects
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"{self.path.parent}: cannot make the folder of the state: {error}") from error
        try:
            if self.path.exists() and self.path.stat().st_size == 0:
                raise DamagedError("the file is empty")
            self._open(wait_s)
        except DamagedError as error:
            self._replace(str(error))

    @property
    def position(self) -> int | None:
        """See `StateStore`."""
        return self._meta.position

    @property
    def sink_position(self) -> dict[str, int]:
        """See `StateStore`."""
        return self._meta.sink_position

    @property
    def bookmarks(self) -> dict[str, str]:
        """See `StateStore`."""
        return dict(self._meta.bookmarks)

    @property
    def offsets(self) -> dict[int, int]:
        """See `StateStore`."""
        return self._meta.offsets

    @property
    def planned(self) -> dict[int, int]:
        """See `StateStore`."""
        return self._meta.planned

    @property
    def clocks(self) -> dict[int, float]:
        """See `StateStore`."""
        return self._meta.clocks

    @property
    def n_objects(self) -> int:
        """See `StateStore`."""
        return self._meta.n_objects

    @property
    def size_bytes(self) -> int:
        """See `StateStore`; the file and its write-ahead log."""
        total = 0
        for path in (self.path, self._beside("-wal")):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def states(self, objects: Sequence[str]) -> list[bytes | None]:
        """See `StateStore`; StateError if the file cannot be read."""
        found: list[bytes | None] = []
        if len(self._numbers) > _KNOWN_NUMBERS:
            self._numbers.clear()
        try:
            self._begin_reading()
            execute = self._connection.execute
            for name in objects:
                row = execute("SELECT number, last_mjd, state FROM object WHERE name = ?", (name,)).fetchone()
                if row is None:
                    self._numbers.pop(name, None)
                    found.append(None)
                else:
                    self._numbers[name] = row[0]
                    found.append(self._state(name, *row))
            self._end_reading()
        except sqlite3.Error as error:
            raise self._failed("cannot read states", error) from error
        return found

    def histories(self, objects: Sequence[str]) -> list[list[bytes]]:
        """See `StateStore`; StateError if the file cannot be read."""
        found: list[list[bytes]] = []
        try:
            self._begin_reading()
            self._find_numbers(objects)
            execute = self._connection.execute
            for name in objects:
                number = self._numbers.get(name)
                rows: Iterable[tuple[int, Any]] = ()
                if number is not None:
                    rows = execute("SELECT seq, data FROM log WHERE object = ? ORDER BY seq", (number,))
                found.append(self._entries(number or 0, rows))
            self._end_reading()
        except sqlite3.Error as error:
            raise self._failed("cannot read histories", error) from error
        return found

    def commit(self, changes: Changes) -> None:
        """See `StateStore`; after a StateError nothing was written and the store can be used."""
        objects = changes.objects()
        for name, (state, _) in changes.states.items():
            if len(state) != self._rows.size:
                raise StateError(
                    f"{self.path}: the state of object {name} has {len(state)} bytes instead of "
                    f"{self._rows.size}; open the store with the bundle's state size"
                )
        try:
            db = self._connection
            self._pace(len(objects))
            self._begin(db)
            self._find_numbers(objects)
            new = [name for name in objects if name not in self._numbers]
            self._write_objects(db, changes, new)
            meta = self._meta.write_changes(
                db,
                changes,
                objects=self._meta.n_objects + len(new),
                last=self._meta.last + len(new),
                sequence=self._write_histories(db, changes),
            )
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failed("nothing of this transaction was written", error) from error
        self._meta = meta

    def use(self, bundles: Sequence[Owner]) -> None:
        """See `StateStore`; StateError if the file cannot be written."""
        self._rows = Rows(bundles)
        try:
            self._begin(self._connection)  # reads states that other workers left
            self._connection.execute("COMMIT")
            self._adopt()
        except sqlite3.Error as error:
            raise self._failed("the bundle was not changed", error) from error

    def evict(self, before_mjd: float, limit: int) -> int:
        """See `StateStore`.

        Scans the rows by number: an index on the time would be written at every update. Checks that the
        index of names finds each of them, and that the time of a quiet one is sound.
        """
        slice_of = "SELECT number, name, last_mjd FROM object WHERE {} ORDER BY number LIMIT ?"
        try:
            db = self._connection
            self._begin(db)
            rows = db.execute(slice_of.format("number > ?"), (self._evicted_to, limit)).fetchall()
            if len(rows) < limit:  # continue at the first row, up to where this scan started
                again = (self._evicted_to, limit - len(rows))
                rows += db.execute(slice_of.format("number <= ?"), again).fetchall()
            self._check_index(db, rows)
            quiet = [
                (number, name)
                for number, name, mjd in rows
                if isinstance(mjd, float)
                and mjd < before_mjd
                and self._is_sound(db, number, name, mjd)
                and self._may_evict(name)
            ]
            meta = self._meta
            if quiet:
                numbers = [(number,) for number, _ in quiet]
                db.executemany("DELETE FROM object WHERE number = ?", numbers)
                db.executemany("DELETE FROM log WHERE object = ?", numbers)
                meta = meta.write(db, objects=meta.n_objects - len(quiet))
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failed("cannot evict", error) from error
        self._meta = meta
        if rows:
            self._evicted_to = rows[-1][0]
        for _, name in quiet:
            self._numbers.pop(name, None)
        return len(quiet)

    def _may_evict(self, name: str) -> bool:
        """Whether no other worker has the object in hand."""
        return True

    def _check_index(self, db: sqlite3.Connection, rows: Sequence[Any]) -> None:
        """Check that objects are found by their names; sqlite3.DatabaseError otherwise."""
        for number, name, *_ in rows:
            found = db.execute("SELECT number FROM object WHERE name = ?", (name,)).fetchone()
            if found != (number,):
                raise CorruptError(f"its index of names does not find object {number}")

    def _is_sound(self, db: sqlite3.Connection, number: int, name: str, last_mjd: float) -> bool:
        """Whether a row's checksum is right, and so the time in it."""
        (blob,) = db.execute("SELECT state FROM object WHERE number = ?", (number,)).fetchone()
        return blob is None or self._unsealed(name, number, last_mjd, blob) is not None

    def close(self) -> None:
        """See `StateStore`; moves everything into the one file."""
        self._close_file()

    def _close_file(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    # -- opening -------------------------------------------------------------------------

    def _open(self, wait_s: float) -> None:
        """Lock, check and read the file; DamagedError if it is damaged."""
        deadline = time.monotonic() + wait_s
        while True:
            try:
                self._db = self._connect()
                break
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if error_code(error) == sqlite3.SQLITE_BUSY and time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                raise self._open_error(error) from error
        try:
            self._check()
            self._load()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._close_file()
            raise self._open_error(error) from error
        except (DamagedError, StateError):
            self._close_file()
            raise

    def _open_error(self, error: sqlite3.Error | UnicodeDecodeError) -> "DamagedError | StateError":
        """The error for a failure to open the file: DamagedError if its content is the cause."""
        if isinstance(error, UnicodeDecodeError):  # SQLite's message quotes the damaged text
            return DamagedError("its schema is not text")
        code = error_code(error)
        # read-only by its header although the place is writable
        barred = code == sqlite3.SQLITE_READONLY and not barrier(self.path)
        if code in DAMAGED or barred or str(error) == "unsupported file format":
            return DamagedError(str(error))
        kind = StateInUseError if code == sqlite3.SQLITE_BUSY else StateError
        return kind(cause(self.path, error))

    def _connect(self) -> sqlite3.Connection:
        is_new = not self.path.exists()
        db = sqlite3.connect(self.path, timeout=self._busy_s, isolation_level=None, cached_statements=32)
        try:
            if is_new:
                self.path.chmod(0o600)  # its write-ahead log gets the same
            # lock first: then the write-ahead log needs no shared-memory file
            db.execute(f"PRAGMA locking_mode = {self._locking}")
            check_owner(db, self.path)
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA cache_size = -{CACHE_KB}")
            db.execute(f"PRAGMA wal_autocheckpoint = {BUSY_WAL_PAGES}")
            db.execute("PRAGMA trusted_schema = OFF")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("COMMIT")
        except (sqlite3.Error, UnicodeDecodeError, StateError, DamagedError):
            db.close()
            raise
        return db

    def _check(self) -> None:
        check_content(self._connection, self.path)

    def _load(self) -> None:
        """Read positions and counts; mark rows of layout 1; drop the states of another bundle."""
        db = self._connection
        self._meta = Meta.read(db)
        self._evicted_to = 0
        self._numbers = {}
        self._wal_pages = BUSY_WAL_PAGES
        if pragma(db, "user_version") != FORMAT:
            self._begin(db)
            self._meta = self._meta.mark_old_layout(db)
            db.execute(f"PRAGMA user_version = {FORMAT}")
            db.execute("COMMIT")
        self._old_sequence = self._meta.old_sequence
        self._adopt()

    def _adopt(self) -> None:
        """Take over the rows with one state, unless they are of one of our bundles."""
        if self._meta.owner not in self._rows.owners:
            self._take_over()
        self._generation = self._meta.mark

    def _take_over(self) -> None:
        """Drop the states of another bundle: rows of an older generation read as absent."""
        db, before, new = self._connection, self._meta.owner, self._rows.owners[0]
        self._begin(db)
        if self._meta.owner not in self._rows.owners:  # else another worker has just done it
            generation = self._meta.generation + 1
            self._meta = self._meta.write(db, generation=generation, bundle=new.bundle, state_size=new.size)
        db.execute("COMMIT")
        if before.bundle:
            _log.warning(
                "%s: the states of bundle %s (%s bytes each) are dropped; those that bundle %s (%d bytes) "
                "lacks are rebuilt from the histories, which are kept",
                self.path, *before, *new,
            )  # fmt: skip

    def _replace(self, reason: str) -> None:
        """Move a damaged file aside and open an empty one."""
        self._close_file()
        number = 1
        while (aside := self._beside(f".damaged-{number}")).exists():
            number += 1
        try:
            self.path.rename(aside)
            for suffix in ("-wal", "-shm", "-journal"):
                with suppress(FileNotFoundError):
                    self._beside(suffix).rename(f"{aside}{suffix}")
            self._open(0.0)
        except (OSError, DamagedError) as error:
            raise StateError(
                f"{self.path} is damaged ({reason}) and cannot be replaced: {error}; move it away"
            ) from error
        self.recovered = (
            f"{self.path} was damaged ({reason}); it was moved to {aside.name} and replaced by an empty "
            "store: the partition is read from its beginning"
        )
        _log.error("%s", self.recovered)

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise StateError(f"{self.path}: the store is closed")
        return self._db

    # -- reading and writing -------------------------------------------------------------

    def _begin(self, db: sqlite3.Connection) -> None:
        """Begin a transaction that writes."""
        db.execute("BEGIN")

    def _begin_reading(self) -> None:
        """Begin some reads; without other users they need no transaction."""

    def _end_reading(self) -> None:
        """End some reads."""

    def _state(self, name: str, number: int, last_mjd: float | None, blob: bytes | None) -> bytes | None:
        """The state in a row, unless it is damaged or of another generation."""
        if blob is None:
            return None
        body = self._unsealed(name, number, last_mjd, blob)
        if body is None:
            self._count_damaged(f"state of object {name}")
            return None
        mark, state = split_mark(body)
        if mark == self._generation:
            return state if self._rows.is_single else self._rows.place(self._meta.owner, state)
        return self._rows.load(body) if mark == MARK else None

    def _unsealed(self, name: str, number: int, last_mjd: float | None, blob: bytes) -> bytes | None:
        body = seal.unseal(blob, seal.state_salt(name, number, last_mjd))
        if body is None and self._old_sequence is not None:
            body = seal.unseal(blob, seal.old_state_salt(name))
        return body

    def _state_blob(self, name: str, number: int, last_mjd: float, state: bytes) -> bytes:
        body = self._generation + state if self._rows.is_single else self._rows.store(state)
        return seal.seal(body, seal.state_salt(name, number, last_mjd))

    def _entries(self, number: int, rows: Iterable[tuple[int, Any]]) -> list[bytes]:
        """The entries in rows of an object, without damaged ones."""
        entries: list[bytes] = []
        for sequence, data in rows:
            entry = seal.unseal_entry(data, number, sequence, self._old_sequence or 0)
            if entry is None:
                self._count_damaged(f"entry of object number {number}")
            else:
                entries.append(entry)
        return entries

    def _count_damaged(self, what: str) -> None:
        self.damaged += 1
        _log.warning("%s: the %s has a wrong checksum and is ignored", self.path, what)

    def _find_numbers(self, objects: Iterable[str]) -> None:
        """Look up the row numbers of objects that are not cached."""
        execute = self._connection.execute
        for name in objects:
            if name not in self._numbers:
                row = execute("SELECT number FROM object WHERE name = ?", (name,)).fetchone()
                if row is not None:
                    self._numbers[name] = row[0]

    def _write_objects(self, db: sqlite3.Connection, changes: Changes, new: list[str]) -> None:
        # update existing rows first: they keep their size, so SQLite overwrites them in place
        db.executemany(
            "UPDATE object SET last_mjd = ?, state = ? WHERE number = ?",
            [
                (mjd, self._state_blob(name, number, mjd, state), number)
                for name, (state, mjd) in changes.states.items()
                if (number := self._numbers.get(name)) is not None
            ],
        )
        rows: list[tuple[Any, ...]] = []
        for number, name in enumerate(new, self._meta.last + 1):
            self._numbers[name] = number
            if name in changes.states:
                state, mjd = changes.states[name]
                rows.append((number, name, mjd, self._state_blob(name, number, mjd, state)))
            else:
                rows.append((number, name, None, None))
        db.executemany("INSERT INTO object (number, name, last_mjd, state) VALUES (?, ?, ?, ?)", rows)

    def _write_histories(self, db: sqlite3.Connection, changes: Changes) -> int:
        """Write histories; returns the sequence number of the last entry."""
        if changes.rewritten:
            replaced = [(self._numbers[name],) for name in changes.rewritten]
            db.executemany("DELETE FROM log WHERE object = ?", replaced)
        rows, sequence = [], self._meta.sequence
        for name in dict.fromkeys((*changes.rewritten, *changes.appended)):
            number = self._numbers[name]
            for entry in changes.history(name):
                sequence += 1
                rows.append((number, sequence, seal.seal(entry, seal.entry_salt(number, sequence))))
        db.executemany("INSERT INTO log (object, seq, data) VALUES (?, ?, ?)", rows)
        return sequence

    def _pace(self, n_objects: int) -> None:
        """Choose the checkpoint interval by the size of the commits."""
        pages = CALM_WAL_PAGES if n_objects < CALM_OBJECTS else BUSY_WAL_PAGES
        if pages != self._wal_pages:
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
            self._wal_pages = pages

    # -- failures ------------------------------------------------------------------------

    def _failed(self, what: str, error: sqlite3.Error) -> StateError:
        """Roll back, and replace the file if it is damaged; returns the error to raise."""
        self._numbers.clear()  # some may belong to rows that were rolled back
        if self._db is not None and self._db.in_transaction:
            with suppress(sqlite3.Error):  # after some errors SQLite has already rolled back
                self._db.execute("ROLLBACK")
        if error_code(error) in DAMAGED:
            self._replace(str(error))
            return StateError(self.recovered)
        return StateError(f"{cause(self.path, error)} ({what})")
