"""Objects of one partition during a micro-batch, read when they are needed, changed in memory."""

import logging
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firstlight.errors import DataError
from firstlight.online import read_histories
from firstlight.stream.state.rows import Rows
from firstlight.stream.state.store import Changes, ObjectReader

_log = logging.getLogger(__name__)

_MJD, _INT = struct.Struct("<d"), struct.Struct("<i")


def _ignore(counter: str) -> None:
    """Count nothing."""


@dataclass(slots=True)
class _Known:
    """State and history of one object."""

    row: bytes | None
    last_mjd: float  # of its observations; -inf if there are none
    history: list[bytes] | None = None  # all entries; None until they are needed
    appended: list[bytes] = field(default_factory=list)
    rewrite: bool = False
    changed: bool = False


class PartitionMemory:
    """Objects of one partition during one micro-batch.

    `state_dtype` is the layout of a state. With several bundles `rows` is that of their states in a row, all
    of which begin with the same fields. An alert `forget_days` after its object's last observation starts the
    object again; `count` is called with ``"forgotten"`` or ``"damaged"`` for each such object.
    """

    def __init__(
        self,
        store: ObjectReader,
        state_dtype: np.dtype[Any],
        *,
        rows: Rows | None = None,
        forget_days: float = math.inf,
        count: Callable[[str], None] = _ignore,
    ) -> None:
        assert state_dtype.fields is not None
        self._store = store
        self._mjd_at = int(state_dtype.fields["last_mjd"][1])
        self._entries_at = int(state_dtype.fields["n_entries"][1])
        self._rows = None if rows is None or rows.is_single else rows
        self._forget_days = forget_days
        self._count = count
        self._known: dict[str, _Known] = {}

    def load(self, objects: Iterable[str]) -> None:
        """Read the rows of objects not yet known; of an object without a row its history."""
        absent = [name for name in dict.fromkeys(objects) if name not in self._known]
        if not absent:
            return
        rowless = []
        for name, row in zip(absent, self._store.states(absent), strict=True):
            if row is None:
                rowless.append(name)
            else:
                self._known[name] = _Known(row, self._last_mjd(row))
        for name, history in zip(rowless, self._store.histories(rowless) if rowless else [], strict=True):
            self._known[name] = self._from_history(history)

    def _from_history(self, history: Sequence[bytes]) -> _Known:
        try:
            mjd = read_histories([history]).mjd if history else np.empty(0)
        except DataError:  # the checksum is right, but the layout is unknown
            self._count("damaged")
            return _Known(None, -math.inf, [], rewrite=True)
        return _Known(None, float(mjd.max()) if len(mjd) else -math.inf, list(history))

    def _last_mjd(self, row: bytes) -> float:
        mjd: float = _MJD.unpack_from(row, self._start(row) + self._mjd_at)[0]
        return mjd

    def _n_entries(self, row: bytes) -> int:
        n: int = _INT.unpack_from(row, self._start(row) + self._entries_at)[0]
        return n

    def _start(self, row: bytes) -> int:
        return 0 if self._rows is None else self._rows.start(row)

    def is_forgotten(self, name: str, alert_mjd: float) -> bool:
        """Whether an object had no observation for so long before an alert that it starts again."""
        last = self._known[name].last_mjd
        return last > -math.inf and alert_mjd - last > self._forget_days

    def row(self, name: str, alert_mjd: float, bundle: int = 0) -> bytes | None:
        """State of a bundle, by its number, that an alert at that time [MJD TAI day] builds on."""
        row = None if self.is_forgotten(name, alert_mjd) else self._known[name].row
        return row if row is None or self._rows is None else self._rows.state(row, bundle)

    def history(self, name: str, alert_mjd: float) -> list[bytes]:
        """History that an alert at that time [MJD TAI day] builds on, oldest entry first."""
        known = self._known[name]
        if self.is_forgotten(name, alert_mjd):
            return []
        if known.history is None:
            (stored,) = self._store.histories([name])
            known.history = [*stored, *known.appended]
            if known.row is not None and len(known.history) < self._n_entries(known.row):
                self._count("damaged")
                _log.warning("the history of object %s lacks entries: a page of its store is damaged", name)
        return list(known.history)

    def learn(
        self,
        name: str,
        alert_mjd: float,
        row: bytes,
        entry: bytes,
        rewritten: bool,
        others: Sequence[bytes | None] = (),
    ) -> None:
        """Record the new state and entry after an alert; if `rewritten`, the entry replaces the history.

        `others` are the states of the bundles beside the first one.
        """
        if self._rows is not None:
            row = self._rows.join([row, *others])
        known = self._known[name]
        forgotten = self.is_forgotten(name, alert_mjd)
        if forgotten:
            self._count("forgotten")
        if rewritten or forgotten:
            known.history, known.rewrite = [entry], True
            known.appended.clear()
        else:
            if known.history is not None:
                known.history.append(entry)
            known.appended.append(entry)
        known.row, known.last_mjd, known.changed = row, self._last_mjd(row), True

    def changes(
        self,
        position: int | None,
        sink_position: dict[str, int],
        bookmarks: dict[str, str] | None = None,
        offsets: dict[int, int] | None = None,
    ) -> Changes:
        """All changes of the batch, with next offsets, the length of each sink and places in files."""
        changed = {name: known for name, known in self._known.items() if known.changed}
        return Changes(
            states={name: (known.row or b"", known.last_mjd) for name, known in changed.items()},
            appended={
                name: known.appended
                for name, known in changed.items()
                if known.appended and not known.rewrite
            },
            rewritten={name: known.history or [] for name, known in changed.items() if known.rewrite},
            position=position,
            sink_position=sink_position,
            bookmarks=bookmarks or {},
            offsets=offsets or {},
        )
