"""The light curves in a state folder, without a worker."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firstlight.errors import DataError, StateError, StateInUseError
from firstlight.lightcurves import OBJECT_COLUMNS, LightCurves
from firstlight.online import Histories, read_histories
from firstlight.online.states import META
from firstlight.stream.state import seal
from firstlight.stream.state.database import APPLICATION_ID, barrier, cause, error_code, pragma

#: Objects that are read at one time.
CHUNK = 2000


@dataclass(frozen=True, slots=True)
class StoredCurves:
    """Light curves of some objects of one store, and the number of entries that were damaged."""

    curves: LightCurves
    bundle: str  # fingerprint of the bundle that answered last
    damaged: int


def read_folder(folder: Path, chunk: int = CHUNK) -> Iterator[StoredCurves]:
    """Read the observations of all objects of a state folder, store by store.

    Parameters
    ----------
    folder : Path
        The folder of ``--state``; nothing in it is changed.
    chunk : int
        Objects per part at most.

    Yields
    ------
    StoredCurves
        Parts with at least one object; in each all fluxes are dereddened, or none is.

    Raises
    ------
    StateError
        If the folder holds no store, or a store is damaged.
    StateInUseError
        If a worker has a store.
    """
    paths = sorted(Path(folder).glob("*.sqlite"))
    if not paths:
        raise StateError(f"{folder} holds no state of the stream; give the folder of its --state")
    for path in paths:
        try:
            with closing(_connect(path)) as db:
                yield from _read(db, path, chunk)
        except sqlite3.Error as error:
            kind = StateInUseError if error_code(error) == sqlite3.SQLITE_BUSY else StateError
            raise kind(cause(path, error)) from error


def _connect(path: Path) -> sqlite3.Connection:
    """Open a store; one that cannot be written, as in a backup, without locks and files beside it."""
    is_still = barrier(path) and not path.with_name(f"{path.name}-wal").exists()
    mode = "mode=ro&immutable=1" if is_still else "mode=rw"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=0.0)


def _read(db: sqlite3.Connection, path: Path, chunk: int) -> Iterator[StoredCurves]:
    if pragma(db, "application_id") != APPLICATION_ID:
        raise StateError(f"{path} is no state of the stream")
    meta = dict(db.execute("SELECT name, value FROM meta WHERE name IN ('bundle', 'old_sequence')"))
    old = meta.get("old_sequence") or 0
    at = 0
    while rows := db.execute(
        "SELECT number, name FROM object WHERE number > ? ORDER BY number LIMIT ?", (at, chunk)
    ).fetchall():
        at = rows[-1][0]
        names, entries, damaged = [], [], 0
        for number, name in rows:
            found = []
            for sequence, data in db.execute(
                "SELECT seq, data FROM log WHERE object = ? ORDER BY seq", (number,)
            ):
                entry = seal.unseal_entry(data, number, sequence, old)
                damaged += entry is None
                found += [] if entry is None else [entry]
            if found:
                names.append(name)
                entries.append(found)
        for curves in _curves(names, entries, path):
            yield StoredCurves(curves, str(meta.get("bundle") or ""), damaged)
            damaged = 0


def _curves(names: list[str], entries: list[list[bytes]], path: Path) -> Iterator[LightCurves]:
    """Light curves of histories: those that are dereddened, and the others."""
    try:
        histories = read_histories(entries)
    except DataError as error:
        raise StateError(f"{path}: {error}") from error
    object_id = np.array(names, np.str_)
    for dereddened in (False, True):
        chosen = np.flatnonzero(histories.dereddened == dereddened)
        if len(chosen):
            yield _curves_of(histories, object_id, dereddened).take(chosen)


def _curves_of(h: Histories, object_id: Any, dereddened: bool) -> LightCurves:
    values = {name: column.astype(OBJECT_COLUMNS[name]) for name, column in zip(META, h.meta.T, strict=True)}
    return LightCurves(
        object_id, h.offsets, h.mjd, h.band, h.flux, h.flux_err, h.detected, dereddened=dereddened, **values
    )
