"""The state store in one SQLite file a partition.

Chosen because states, logs and source offsets are in one transaction, and because a full
disk or a damaged page is an error that can be handled, not a crash. What losing power may
cost (``synchronous=NORMAL``) is the last transactions, whole; the source is then read
again from the older offset. LMDB is measured beside it in ``benchmarks/``.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from firstlight.errors import StateError
from firstlight.stream.state.store import Changes

__all__ = ["SqliteStore"]

_log = logging.getLogger(__name__)

APPLICATION_ID = 0x46_4C_53_54  # "FLST", in the head of the file
FORMAT = 1
PAGE_BYTES = 4096  # a 4.2 kB state is one page beyond its row; 8192 and 16384 were no faster, and larger
CACHE_KB = 32 * 1024
QUICK_CHECK_BYTES = 32 << 20  # files up to this size are checked whole when opened, in some 0.1 s

# Checkpoints copy pages from the log file to the database, and wait for the disk. Rare,
# large ones serve throughput; small ones keep each wait short when few alerts come.
BUSY_WAL_PAGES = (64 << 20) // PAGE_BYTES
CALM_WAL_PAGES = (2 << 20) // PAGE_BYTES
CALM_OBJECTS = 64  # a commit of fewer objects is taken as a sign of few alerts

_KNOWN_NUMBERS = 1 << 16  # names whose row number is remembered
_HEAD = 8  # bytes before a state: checksum, generation
_CRC = 4  # bytes before a log entry: checksum
_CHECK = "check"  # in the table meta: checksum of all its other rows
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE object (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_mjd REAL, state BLOB);
CREATE TABLE log (object INTEGER NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL,
                  PRIMARY KEY (object, seq)) WITHOUT ROWID;
"""


class SqliteStore:
    """States, logs and positions of one partition, in one file.

    What is checked when: the file's head, size, tables and positions at opening, and every
    page of a file of up to 32 MiB; the pages of a larger one as they are read, since
    reading it all would delay the worker by its size. Each state and log entry carries a
    checksum of its own (with its object's name or number), checked at every read, and so do
    the positions. A
    damaged index page that SQLite cannot tell is the one thing that may pass: its object
    then begins anew.

    A file that turns out damaged is moved aside as ``<name>.damaged-N`` and a fresh one
    begins: at opening `recovered` says so, later a StateError as well.

    The database is locked as long as it is open, against any other process. One thread
    uses it.

    Parameters
    ----------
    path : Path
        The file; made, with its folder, where there is none.
    bundle : str
        Name of the bundle whose states these are. Another bundle, or another
        `state_size`, drops the states and keeps the logs to rebuild them from.
    state_size : int
        Length of a state row [byte].
    wait_s : float
        How long to wait for another process to let go of the file [s].

    Raises
    ------
    StateError
        If another process has the file, it belongs to something else, or it cannot be
        opened or written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = SqliteStore(Path(folder) / "file-0.sqlite", bundle="fast-1", state_size=5)
    ...     store.commit(Changes(states={"a": (b"state", 60000.0)}, position=7))
    ...     print(store.states(["a", "b"]), store.position)
    ...     store.close()
    [b'state', None] 7
    """

    def __init__(self, path: Path, *, bundle: str, state_size: int, wait_s: float = 0.0) -> None:
        self.path = Path(path)
        self.damaged = 0
        self.recovered = ""
        self._bundle, self._state_size = bundle, state_size
        self._db: sqlite3.Connection | None = None
        self._position: int | None = None
        self._sink_position: dict[str, int] = {}
        self._n_objects = self._last = self._sequence = self._evicted_to = 0
        self._numbers: dict[str, int] = {}  # row numbers of objects met lately
        self._meta: dict[str, Any] = {}  # the table of that name
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"{self.path.parent}: cannot make the folder of the state: {error}") from error
        if self.path.exists() and self.path.stat().st_size == 0:
            self._begin_afresh("the file is empty")
        else:
            try:
                self._open(wait_s)
            except _Damaged as error:
                self._begin_afresh(str(error))

    @property
    def position(self) -> int | None:
        """Next offset to read; None where nothing was committed."""
        return self._position

    @property
    def sink_position(self) -> dict[str, int]:
        """Durable length of each sink."""
        return dict(self._sink_position)

    @property
    def n_objects(self) -> int:
        """Number of objects."""
        return self._n_objects

    @property
    def size_bytes(self) -> int:
        """Bytes on disk: the database and its write-ahead log."""
        total = 0
        for path in (self.path, self._beside("-wal")):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def states(self, objects: Sequence[str]) -> list[bytes | None]:
        """State row of each object; None where there is none, or a damaged one (counted).

        Raises
        ------
        StateError
            If the file cannot be read; if it is damaged, a fresh one has begun.
        """
        found: list[bytes | None] = []
        if len(self._numbers) > _KNOWN_NUMBERS:
            self._numbers.clear()
        try:
            execute = self._connection.execute
            for name in objects:
                row = execute("SELECT number, state FROM object WHERE name = ?", (name,)).fetchone()
                if row is None:
                    found.append(None)
                else:
                    self._numbers[name] = row[0]
                    found.append(self._unsealed(name, row[1]))
        except sqlite3.Error as error:
            raise self._failed("cannot read states", error) from error
        return found

    def logs(self, objects: Sequence[str]) -> list[list[bytes]]:
        """Log of each object, oldest entry first, less damaged entries (counted); empty where there is none.

        Raises
        ------
        StateError
            If the file cannot be read; if it is damaged, a fresh one has begun.
        """
        found: list[list[bytes]] = []
        try:
            self._find_numbers(objects)
            execute = self._connection.execute
            for name in objects:
                number = self._numbers.get(name)
                rows: Iterable[tuple[Any]] = ()
                if number is not None:
                    rows = execute("SELECT data FROM log WHERE object = ? ORDER BY seq", (number,))
                found.append(self._entries(number or 0, rows))
        except sqlite3.Error as error:
            raise self._failed("cannot read logs", error) from error
        return found

    def commit(self, changes: Changes) -> None:
        """Write all the changes in one transaction.

        Raises
        ------
        StateError
            If it could not be written (no space, a disk that fails): then nothing of it
            is, and the store goes on as it was.
        """
        position = self._position if changes.position is None else changes.position
        sinks = self._sink_position | changes.sink_position
        objects = changes.objects()
        for name, (state, _) in changes.states.items():
            if len(state) != self._state_size:
                raise StateError(
                    f"{self.path}: the state of object {name} has {len(state)} bytes instead of "
                    f"{self._state_size}; open the store with the bundle's state size"
                )
        try:
            db = self._connection
            self._pace(len(objects))
            self._find_numbers(objects)
            db.execute("BEGIN")
            new = [name for name in objects if name not in self._numbers]
            self._write_objects(db, changes, new)
            sequence = self._write_logs(db, changes)
            meta = self._write_meta(
                db,
                position=position,
                objects=self._n_objects + len(new),
                last=self._last + len(new),
                sequence=sequence,
                **{f"sink {name}": length for name, length in changes.sink_position.items()},
            )
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failed("nothing of this transaction was written", error) from error
        self._meta, self._position, self._sink_position = meta, position, sinks
        self._n_objects += len(new)
        self._last += len(new)
        self._sequence = sequence

    def evict(self, before_mjd: float, limit: int) -> int:
        """Forget objects whose last observation is older than `before_mjd`; look at `limit` at most.

        Walks through the rows by number instead of keeping an index on the time, which
        every update of every object would have to write.

        Returns
        -------
        int
            Number of objects forgotten.

        Raises
        ------
        StateError
            As for `commit`.
        """
        slice_of = "SELECT number, name, last_mjd FROM object WHERE {} ORDER BY number LIMIT ?"
        try:
            db = self._connection
            rows = db.execute(slice_of.format("number > ?"), (self._evicted_to, limit)).fetchall()
            if len(rows) < limit:  # round again, but look at none twice
                again = (self._evicted_to, limit - len(rows))
                rows += db.execute(slice_of.format("number <= ?"), again).fetchall()
            quiet = [(number, name) for number, name, mjd in rows if mjd is not None and mjd < before_mjd]
            if quiet:
                db.execute("BEGIN")
                numbers = [(number,) for number, _ in quiet]
                db.executemany("DELETE FROM object WHERE number = ?", numbers)
                db.executemany("DELETE FROM log WHERE object = ?", numbers)
                meta = self._write_meta(db, objects=self._n_objects - len(quiet))
                db.execute("COMMIT")
                self._meta = meta
        except sqlite3.Error as error:
            raise self._failed("cannot evict", error) from error
        if rows:
            self._evicted_to = rows[-1][0]
        for _, name in quiet:
            self._numbers.pop(name, None)
        self._n_objects -= len(quiet)
        return len(quiet)

    def close(self) -> None:
        """Bring everything into the one file and let go of it; closing twice is harmless."""
        if self._db is not None:
            self._db.close()
            self._db = None

    # -- opening -------------------------------------------------------------------------

    def _open(self, wait_s: float) -> None:
        """Lock, check and read the file; raise _Damaged if it is no sound database."""
        deadline = time.monotonic() + wait_s
        while True:
            try:
                self._db = self._connect()
                break
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if _code(error) == sqlite3.SQLITE_BUSY and time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                raise self._judged(error) from error
        try:
            self._check()
            self._load()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self.close()
            raise self._judged(error) from error
        except (_Damaged, StateError):
            self.close()
            raise

    def _judged(self, error: sqlite3.Error | UnicodeDecodeError) -> "_Damaged | StateError":
        """Whether a failure to open the file is its own fault."""
        if isinstance(error, UnicodeDecodeError):  # what SQLite had to say quotes the damaged text
            return _Damaged("its tables are described in no text")
        code = _code(error)
        # the head of the file says so, though nothing else forbids to write
        barred = code == sqlite3.SQLITE_READONLY and os.access(self.path, os.W_OK)
        if code in _DAMAGED or barred or str(error) == "unsupported file format":
            return _Damaged(str(error))
        return StateError(self._reason(error))

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=0.0, isolation_level=None, cached_statements=32)
        try:
            # the lock first: with it, the write-ahead log needs no shared memory beside the file
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._check_owner(db)
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA cache_size = -{CACHE_KB}")
            db.execute(f"PRAGMA wal_autocheckpoint = {BUSY_WAL_PAGES}")
            db.execute("PRAGMA trusted_schema = OFF")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("COMMIT")
        except (sqlite3.Error, UnicodeDecodeError, StateError, _Damaged):
            db.close()
            raise
        return db

    def _check_owner(self, db: sqlite3.Connection) -> None:
        """See that the file is ours, or new, before anything is written to it."""
        owner, layout = _pragma(db, "application_id"), _pragma(db, "user_version")
        if owner != APPLICATION_ID and _statements(db) == _split(_SCHEMA):
            raise _Damaged(f"its mark is {owner:#x}")
        if owner != APPLICATION_ID and (owner or _tables(db)):
            raise StateError(
                f"{self.path} is a database of something else, with the tables {_tables(db)}; "
                "choose another path for the state"
            )
        if owner == APPLICATION_ID and layout != FORMAT:
            raise StateError(
                f"{self.path}: layout {layout}, this firstlight reads {FORMAT}; "
                "run the firstlight that wrote it, or move the file away to begin afresh"
            )

    def _check(self) -> None:
        """Make the tables of a new file; see that an old one is whole, as far as that is cheap."""
        db = self._connection
        if not _pragma(db, "application_id"):
            db.executescript(
                f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
                f"{_SCHEMA} COMMIT;"
            )
            return
        if (found := _statements(db)) != _split(_SCHEMA):
            raise _Damaged(f"its tables are {found}")
        # a log file may hold pages beyond the end of the database; without one the size must fit
        size, pages = self.path.stat().st_size, _pragma(db, "page_count")
        wal = self._beside("-wal")
        if not (wal.exists() and wal.stat().st_size) and size < pages * _pragma(db, "page_size"):
            raise _Damaged(f"it has {size} bytes instead of {pages} pages: it was cut short")
        if size <= QUICK_CHECK_BYTES and (found := _pragma(db, "quick_check(1)")) != "ok":
            raise _Damaged(str(found).replace("\n", " "))
        db.execute(f"PRAGMA user_version = {FORMAT}")  # as it is: to see that it can be written

    def _load(self) -> None:
        """Read positions and counts, and see whose states these are."""
        db = self._connection
        meta: dict[str, Any] = dict(db.execute("SELECT name, value FROM meta").fetchall())
        check = meta.pop(_CHECK, None)
        if meta and check != _checksum(meta):
            raise _Damaged("its positions do not carry their checksum any more")
        self._meta = meta
        self._position = meta.get("position")
        self._sink_position = {
            name.removeprefix("sink "): value for name, value in meta.items() if name.startswith("sink ")
        }
        self._n_objects = meta.get("objects", 0)
        self._sequence = meta.get("sequence", 0)
        self._last = meta.get("last", 0)
        self._evicted_to = 0
        self._numbers = {}
        self._wal_pages = BUSY_WAL_PAGES
        generation, owner = meta.get("generation", 0), (meta.get("bundle"), meta.get("state_size"))
        if owner != (self._bundle, self._state_size):
            # a new generation instead of new rows: the old ones read as absent from now on
            generation += 1
            db.execute("BEGIN")
            self._meta = self._write_meta(
                db, generation=generation, bundle=self._bundle, state_size=self._state_size
            )
            db.execute("COMMIT")
            if owner != (None, None):
                _log.warning(
                    "%s: its states are of bundle %s (%s bytes each), the worker has %s (%d bytes): they are "
                    "dropped, and rebuilt from the logs, which are kept", self.path, *owner, self._bundle,
                    self._state_size,
                )  # fmt: skip
        self._generation = generation.to_bytes(_HEAD - _CRC, "little")

    def _begin_afresh(self, reason: str) -> None:
        """Move a damaged file aside and open a fresh one."""
        self.close()
        number = 1
        while (aside := self._beside(f".damaged-{number}")).exists():
            number += 1
        try:
            self.path.rename(aside)
            for suffix in ("-wal", "-shm", "-journal"):
                with suppress(FileNotFoundError):
                    self._beside(suffix).rename(f"{aside}{suffix}")
            self._open(0.0)
        except (OSError, _Damaged) as error:
            raise StateError(
                f"{self.path} is damaged ({reason}) and no fresh one can begin: {error}; move it away"
            ) from error
        self.recovered = (
            f"{self.path} was damaged ({reason}); it was moved to {aside.name} and a fresh store began: "
            "the partition is read from its beginning"
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

    def _unsealed(self, name: str, blob: bytes | None) -> bytes | None:
        """The state in a blob, if it is of this generation and whole."""
        if blob is None:
            return None
        if int.from_bytes(blob[:_CRC], "little") != crc32(memoryview(blob)[_CRC:], crc32(name.encode())):
            self._count_damaged(f"state of object {name}")
            return None
        if blob[_CRC:_HEAD] != self._generation:
            return None
        return blob[_HEAD:]

    def _sealed(self, name: str, state: bytes) -> bytes:
        body = self._generation + state
        return crc32(body, crc32(name.encode())).to_bytes(_CRC, "little") + body

    def _entries(self, number: int, rows: Iterable[tuple[Any]]) -> list[bytes]:
        entries: list[bytes] = []
        for (data,) in rows:
            if int.from_bytes(data[:_CRC], "little") != crc32(memoryview(data)[_CRC:], number):
                self._count_damaged(f"entry of the log of object number {number}")
                continue  # its alert's observations are gone, unless later packets repeat them
            entries.append(data[_CRC:])
        return entries

    def _count_damaged(self, what: str) -> None:
        self.damaged += 1
        _log.warning("%s: the %s does not carry its checksum any more; taken as absent", self.path, what)

    def _find_numbers(self, objects: Iterable[str]) -> None:
        """Learn the row numbers of objects that `states` was not asked for just before."""
        execute = self._connection.execute
        for name in objects:
            if name not in self._numbers:
                row = execute("SELECT number FROM object WHERE name = ?", (name,)).fetchone()
                if row is not None:
                    self._numbers[name] = row[0]

    def _write_objects(self, db: sqlite3.Connection, changes: Changes, new: list[str]) -> None:
        # an update in place first: rows keep their size, so SQLite overwrites them where they are
        db.executemany(
            "UPDATE object SET last_mjd = ?, state = ? WHERE number = ?",
            [
                (mjd, self._sealed(name, state), self._numbers[name])
                for name, (state, mjd) in changes.states.items()
                if name in self._numbers
            ],
        )
        rows = []
        for number, name in enumerate(new, self._last + 1):
            self._numbers[name] = number
            state, mjd = changes.states.get(name, (None, None))
            rows.append((number, name, mjd, None if state is None else self._sealed(name, state)))
        db.executemany("INSERT INTO object (number, name, last_mjd, state) VALUES (?, ?, ?, ?)", rows)

    def _write_logs(self, db: sqlite3.Connection, changes: Changes) -> int:
        """Write logs; return the sequence number after the last entry."""
        if changes.rewritten:
            replaced = [(self._numbers[name],) for name in changes.rewritten]
            db.executemany("DELETE FROM log WHERE object = ?", replaced)
        rows, sequence = [], self._sequence
        for name in dict.fromkeys((*changes.rewritten, *changes.appended)):
            number = self._numbers[name]
            for entry in changes.log(name):
                sequence += 1
                rows.append((number, sequence, crc32(entry, number).to_bytes(_CRC, "little") + entry))
        db.executemany("INSERT INTO log (object, seq, data) VALUES (?, ?, ?)", rows)
        return sequence

    def _write_meta(self, db: sqlite3.Connection, **values: Any) -> dict[str, Any]:
        """Write positions and counts, sealed by a checksum over all of them; how they are then."""
        meta = self._meta | values
        rows = [*values.items(), (_CHECK, _checksum(meta))]
        db.executemany("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", rows)
        return meta

    def _pace(self, n_objects: int) -> None:
        """Choose how often to checkpoint by how much comes at a time."""
        pages = CALM_WAL_PAGES if n_objects < CALM_OBJECTS else BUSY_WAL_PAGES
        if pages != self._wal_pages:
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
            self._wal_pages = pages

    # -- failures ------------------------------------------------------------------------

    def _failed(self, what: str, error: sqlite3.Error) -> StateError:
        """Roll back; begin afresh if the file is damaged; the error to raise."""
        self._numbers.clear()  # some of them may be of rows that were rolled back
        if self._db is not None and self._db.in_transaction:
            with suppress(sqlite3.Error):  # SQLite has rolled back by itself after some errors
                self._db.execute("ROLLBACK")
        if _code(error) in _DAMAGED:
            self._begin_afresh(str(error))
            return StateError(self.recovered)
        return StateError(f"{self._reason(error)} ({what})")

    def _reason(self, error: sqlite3.Error) -> str:
        """What is wrong, and what to do."""
        code = _code(error)
        if code == sqlite3.SQLITE_BUSY:
            return (
                f"{self.path} is in use by another worker; stop that one, or give this one another path "
                "for its state"
            )
        if code == sqlite3.SQLITE_FULL:
            return f"{self.path}: no space left for the state; free some, then start the worker again"
        if code == sqlite3.SQLITE_IOERR:
            return (
                f"{self.path}: the disk failed or has no space left ({error}); see to it, then start the "
                "worker again"
            )
        if code == sqlite3.SQLITE_CANTOPEN:
            return f"{self.path}: cannot open the state ({error}); check that the folder can be written"
        if code == sqlite3.SQLITE_READONLY:
            return f"{self.path}: the state cannot be written ({error}); check who owns the file"
        return f"{self.path}: {error}"


class _Damaged(Exception):  # noqa: N818
    """The file is not what was written; it never leaves this module."""


def _code(error: Exception) -> int:
    """Primary result code of SQLite; -1 where the error is the Python module's own."""
    if str(error).startswith("Could not decode to UTF-8"):
        return sqlite3.SQLITE_CORRUPT  # all text was written as UTF-8
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code & 0xFF if code >= 0 else code


def _checksum(meta: dict[str, Any]) -> int:
    return crc32(repr(sorted(meta.items())).encode())


def _pragma(db: sqlite3.Connection, name: str) -> Any:
    row = db.execute(f"PRAGMA {name}").fetchone()
    return row[0] if row else 0


def _statements(db: sqlite3.Connection) -> list[str]:
    """How its tables were made."""
    return [
        row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE type = 'table' ORDER BY rootpage")
    ]


def _split(schema: str) -> list[str]:
    return [statement.strip() for statement in schema.split(";") if statement.strip()]


def _tables(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
