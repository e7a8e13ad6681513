"""The file of a state store: its marks, tables and checks, and the meaning of SQLite's errors."""

import os
import sqlite3
from pathlib import Path
from typing import Any

from firstlight.errors import StateError

APPLICATION_ID = 0x46_4C_53_54  # "FLST", in the file header
FORMAT = 2  # layout 1 is read too: its checksums do not cover the place of a row
CHECK_BYTES = 64 << 20  # files up to this size are checked fully when opened, in about 0.1 s

READ_FORMATS = (1, FORMAT)
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

#: SQL of the tables; every file holds exactly this text.
TABLES = [
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE object (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_mjd REAL, state BLOB)",
    """CREATE TABLE log (object INTEGER NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL,
                  PRIMARY KEY (object, seq)) WITHOUT ROWID""",
]


#: Cause and remedy of an error, by SQLite's code.
REASONS = {
    sqlite3.SQLITE_BUSY: " is in use by another worker; stop that one, or give this one another path "
    "for its state",
    sqlite3.SQLITE_FULL: ": no space left for the state; free some, then start the worker again",
    sqlite3.SQLITE_IOERR: ": the disk failed or has no space left ({}); repair it, then start the worker "
    "again",
    sqlite3.SQLITE_CANTOPEN: ": cannot open the state ({}); check that the folder can be written",
    sqlite3.SQLITE_READONLY: ": the state cannot be written ({}); check who owns the file",
}


#: Errors that a place which cannot be written causes, too: SQLite's words for them do not say so.
_BARRED = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


class DamagedError(Exception):
    """The content of the file is damaged; never leaves this room."""


class CorruptError(sqlite3.DatabaseError):
    """Damage that SQLite itself does not notice."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def error_code(error: Exception) -> int:
    """Primary result code of SQLite; -1 for an error of the Python module."""
    if str(error).startswith("Could not decode to UTF-8"):
        return sqlite3.SQLITE_CORRUPT  # all text was written as UTF-8
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code & 0xFF if code >= 0 else code


def cause(path: Path, error: Exception) -> str:
    """What failed with the file of a state, and what to do."""
    code = error_code(error)
    if code in _BARRED and (found := barrier(path)):
        return f"{path}: the state cannot be written: {found}"
    return f"{path}{REASONS.get(code, ': {}').format(error)}"


def barrier(path: Path) -> str:
    """Why this user cannot write to a file and beside it; empty if nothing bars it."""
    folder = path.parent
    if not folder.is_dir():
        return ""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{folder} is on a read-only file system; mount it for writing, or give another folder"
    effective = os.access in os.supports_effective_ids
    for place, needed in ((folder, os.W_OK | os.X_OK), (path, os.R_OK | os.W_OK)):
        if place.exists() and not os.access(place, needed, effective_ids=effective):
            return f"this user has no right to write to {place}; change its owner or its mode"
    return ""


def check_owner(db: sqlite3.Connection, path: Path) -> None:
    """Check that the file is ours, or new, before anything is written to it."""
    owner, layout = pragma(db, "application_id"), pragma(db, "user_version")
    if owner != APPLICATION_ID and _statements(db) == TABLES:
        raise DamagedError(f"its application id is {owner:#x}")
    if owner != APPLICATION_ID and (owner or _tables(db)):
        raise StateError(
            f"{path} belongs to another program, with the tables {_tables(db)}; "
            "choose another path for the state"
        )
    if owner == APPLICATION_ID and layout not in READ_FORMATS:
        raise StateError(
            f"{path}: layout {layout}, this firstlight reads 1 to {FORMAT}; "
            "run the firstlight that wrote it, or move the file away to start again"
        )


def check_content(db: sqlite3.Connection, path: Path) -> None:
    """Create the tables of a new file; check an old one, as far as that is fast."""
    if not pragma(db, "application_id"):
        db.executescript(
            f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
            f"{';'.join(TABLES)}; COMMIT;"
        )
        return
    if (found := _statements(db)) != TABLES:
        raise DamagedError(f"its tables are {found}")
    # a write-ahead log may hold pages beyond the end of the file; without one the size must fit
    size, pages = path.stat().st_size, pragma(db, "page_count")
    wal = path.with_name(f"{path.name}-wal")
    if not (wal.exists() and wal.stat().st_size) and size < pages * pragma(db, "page_size"):
        raise DamagedError(f"it has {size} bytes instead of {pages} pages: it was cut short")
    if size <= CHECK_BYTES and (found := pragma(db, "integrity_check(1)")) != "ok":
        raise DamagedError(str(found).replace("\n", " "))
    db.execute(f"PRAGMA user_version = {pragma(db, 'user_version')}")  # tests that it can be written


def pragma(db: sqlite3.Connection, name: str) -> Any:
    """Value of a pragma; 0 without one."""
    row = db.execute(f"PRAGMA {name}").fetchone()
    return row[0] if row else 0


def _statements(db: sqlite3.Connection) -> list[str]:
    """The SQL of its tables."""
    return [
        row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE type = 'table' ORDER BY rootpage")
    ]


def _tables(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
