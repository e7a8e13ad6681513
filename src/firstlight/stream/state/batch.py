"""What a worker knows of one partition's objects while a micro-batch is in work.

Rows and logs are read from the store when first asked for, changed here, and handed back
as one `Changes` for the transaction that ends the batch. Nothing reaches the store before.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firstlight.errors import DataError
from firstlight.online import read_histories
from firstlight.stream.state.store import Changes, StateStore
from firstlight.stream.worker.metrics import Metrics

__all__ = ["PartitionMemory"]

_MJD = struct.Struct("<d")


@dataclass(slots=True)
class _Known:
    """What is known of one object: its row, its log as far as it was read, what is new."""

    row: bytes | None
    last_mjd: float  # of its observations; -inf where there are none
    log: list[bytes] | None = None  # all of it; None where nobody has asked
    appended: list[bytes] = field(default_factory=list)
    rewrite: bool = False
    changed: bool = False


class PartitionMemory:
    """Objects of one partition during one micro-batch.

    Parameters
    ----------
    store : StateStore
        Where rows and logs come from.
    state_dtype : numpy.dtype
        Layout of a row, as `firstlight.online.state_dtype` says.
    forget_days : float
        An object without an observation for so long before an alert begins anew,
        whether or not its row is still in the store.
    metrics : Metrics, optional
        Where forgotten and damaged objects are counted.
    """

    def __init__(
        self,
        store: StateStore,
        state_dtype: np.dtype[Any],
        *,
        forget_days: float = math.inf,
        metrics: Metrics | None = None,
    ) -> None:
        assert state_dtype.fields is not None
        self._store = store
        self._mjd_at = int(state_dtype.fields["last_mjd"][1])
        self._forget_days = forget_days
        self._metrics = metrics or Metrics()
        self._known: dict[str, _Known] = {}

    def load(self, objects: Iterable[str]) -> None:
        """Read the rows of objects that are not yet known, in one go.

        Of an object without a row the log is read too: it may be older than the row's
        layout, or the row was damaged, and then the state is made anew from it.
        """
        absent = [name for name in dict.fromkeys(objects) if name not in self._known]
        if not absent:
            return
        rowless = []
        for name, row in zip(absent, self._store.states(absent), strict=True):
            if row is None:
                rowless.append(name)
            else:
                self._known[name] = _Known(row, self._last_mjd(row))
        for name, log in zip(rowless, self._store.logs(rowless) if rowless else [], strict=True):
            self._known[name] = self._from_log(log)

    def _from_log(self, log: Sequence[bytes]) -> _Known:
        try:
            mjd = read_histories([log]).mjd if log else np.empty(0)
        except DataError:  # its checksum held, yet it is none of ours: an unreleased layout
            self._metrics.count("damaged")
            return _Known(None, -math.inf, [], rewrite=True)
        return _Known(None, float(mjd.max()) if len(mjd) else -math.inf, list(log))

    def _last_mjd(self, row: bytes) -> float:
        mjd: float = _MJD.unpack_from(row, self._mjd_at)[0]
        return mjd

    def begins_anew(self, name: str, alert_mjd: float) -> bool:
        """Whether an object was quiet for so long before an alert that its past is forgotten."""
        last = self._known[name].last_mjd
        return last > -math.inf and alert_mjd - last > self._forget_days

    def row(self, name: str, alert_mjd: float) -> bytes | None:
        """State row that an alert at that time builds on."""
        return None if self.begins_anew(name, alert_mjd) else self._known[name].row

    def log(self, name: str, alert_mjd: float) -> list[bytes]:
        """Log that an alert at that time builds on, oldest entry first."""
        known = self._known[name]
        if self.begins_anew(name, alert_mjd):
            return []
        if known.log is None:
            (stored,) = self._store.logs([name])
            known.log = [*stored, *known.appended]
        return list(known.log)

    def learn(self, name: str, alert_mjd: float, row: bytes, entry: bytes, rewritten: bool) -> None:
        """Take up what an answered alert changed.

        Parameters
        ----------
        name : str
            The object.
        alert_mjd : float
            Time of the alert [MJD TAI day].
        row : bytes
            State after it.
        entry : bytes
            Entry of the log, or the whole log where `rewritten`.
        rewritten : bool
            Whether `entry` replaces the log.
        """
        known = self._known[name]
        anew = self.begins_anew(name, alert_mjd)
        if anew:
            self._metrics.count("forgotten")
        if rewritten or anew:
            known.log, known.rewrite = [entry], True
            known.appended.clear()
        else:
            if known.log is not None:
                known.log.append(entry)
            known.appended.append(entry)
        known.row, known.last_mjd, known.changed = row, self._last_mjd(row), True

    def changes(self, position: int | None, sink_position: dict[str, int]) -> Changes:
        """All that the batch changed, for one transaction.

        Parameters
        ----------
        position : int or None
            Next offset of the partition.
        sink_position : dict of str to int
            Durable length of each sink.
        """
        changed = {name: known for name, known in self._known.items() if known.changed}
        return Changes(
            states={name: (known.row or b"", known.last_mjd) for name, known in changed.items()},
            appended={
                name: known.appended
                for name, known in changed.items()
                if known.appended and not known.rewrite
            },
            rewritten={name: known.log or [] for name, known in changed.items() if known.rewrite},
            position=position,
            sink_position=sink_position,
        )
