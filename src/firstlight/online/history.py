"""An object's log: what its alerts said, entry after entry, and which of them were answered.

An alert in order appends one small entry and reads nothing. A late or contradicting one
reads the log, and what comes of it is written as a single entry in place of all. The log
alone is enough to make the state anew.

An entry is a row of 8-byte words: format, number of alerts, number of rows, the first
earlier row that the alert said again, time of the newest alert, six values and the times
at which they were said, digests of the alerts, then five words an observation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from firstlight.errors import DataError
from firstlight.online.states import META

__all__ = ["HEAD", "MAX_ENTRIES", "ROW", "Histories", "compact", "read_logs", "write_entries"]

#: Entries after which a log is written as one again.
MAX_ENTRIES = 64

_FORMAT = 1
_DEREDDENED = 256  # added to the format where fluxes are corrected for dust
_N_META = len(META)
_FORMAT_AT, _ALERTS_AT, _ROWS_AT, _AGAIN_AT, _MJD_AT, _META_AT = range(6)
_META_MJD_AT = _META_AT + _N_META
HEAD = _META_MJD_AT + _N_META  #: words before the digests
ROW = 5  #: words an observation: time, source, fluxes, flags, time of the statement

Words = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """What the logs of n objects say.

    Attributes
    ----------
    offsets : int64 array, shape (n_objects + 1,)
        Object ``i`` owns the observations ``offsets[i]:offsets[i + 1]``, sorted by time.
    mjd, band, flux, flux_err, detected, source_id : arrays, shape (n_total,)
        Raw observations [MJD TAI, index, nJy, nJy].
    stated : float64 array, shape (n_total,)
        Time of the newest alert that stated each.
    alert_offsets, alerts : int64 and uint64 arrays
        Digests of the alerts answered; object ``i`` owns ``alert_offsets[i]:alert_offsets[i + 1]``.
    alert_mjd : float64 array, shape (n_objects,)
        Time of the newest alert; -inf without any.
    meta, meta_mjd : float64 arrays, shape (n_objects, 6)
        Values of `META`, and when they were said.
    dereddened : bool array, shape (n_objects,)
        Whether fluxes come corrected for dust.
    n_entries : int64 array, shape (n_objects,)
        Entries that were read.
    """

    offsets: NDArray[np.int64]
    mjd: NDArray[np.float64]
    band: NDArray[np.int8]
    flux: NDArray[np.float32]
    flux_err: NDArray[np.float32]
    detected: NDArray[np.bool_]
    source_id: NDArray[np.int64]
    stated: NDArray[np.float64]
    alert_offsets: NDArray[np.int64]
    alerts: NDArray[np.uint64]
    alert_mjd: NDArray[np.float64]
    meta: NDArray[np.float64]
    meta_mjd: NDArray[np.float64]
    dereddened: NDArray[np.bool_]
    n_entries: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.offsets) - 1


def read_logs(logs: Sequence[Sequence[bytes]]) -> Histories:
    """Read the logs of some objects.

    Parameters
    ----------
    logs : sequence of sequences of bytes
        The entries of each object, oldest first.

    Raises
    ------
    DataError
        If an entry is none of ours, or cut short; the message says whose.
    """
    joined = [b"".join(entries) for entries in logs]
    odd = [i for i, part in enumerate(joined) if len(part) % 8]
    if odd:
        raise DataError(f"the log of object {odd[0]} of the batch is cut short")
    bounds = np.concatenate([[0], np.cumsum([len(part) // 8 for part in joined], dtype=np.int64)])
    words = np.frombuffer(b"".join(joined), np.int64)
    counts = np.zeros((len(logs), 3), np.int64)
    if (bad := _count(words, bounds, counts)) >= 0:
        raise DataError(f"the log of object {bad} of the batch is damaged, or of a newer firstlight")
    offsets = np.concatenate([[0], np.cumsum(counts[:, 0])])
    alert_offsets = np.concatenate([[0], np.cumsum(counts[:, 1])])
    n, n_total = len(logs), int(offsets[-1])
    histories = Histories(
        offsets=offsets,
        mjd=np.empty(n_total),
        band=np.empty(n_total, np.int8),
        flux=np.empty(n_total, np.float32),
        flux_err=np.empty(n_total, np.float32),
        detected=np.empty(n_total, np.bool_),
        source_id=np.empty(n_total, np.int64),
        stated=np.empty(n_total),
        alert_offsets=alert_offsets,
        alerts=np.empty(int(alert_offsets[-1]), np.uint64),
        alert_mjd=np.full(n, -np.inf),
        meta=np.full((n, _N_META), np.nan),
        meta_mjd=np.full((n, _N_META), -np.inf),
        dereddened=np.zeros(n, np.bool_),
        n_entries=counts[:, 2].copy(),
    )
    h = histories
    columns = (h.mjd, h.band, h.flux, h.flux_err, h.detected, h.source_id, h.stated)
    heads = (h.alerts, h.alert_mjd, h.meta, h.meta_mjd, h.dereddened)
    _fill(
        words, words.view(np.float64), words.view(np.float32), bounds, offsets, alert_offsets, columns, heads
    )
    return histories


@njit(cache=True, nogil=True)
def _count(words: Words, bounds: NDArray[np.int64], counts: NDArray[np.int64]) -> int:
    """Count rows, alerts and entries of each log; return the first damaged one, or -1."""
    for i in range(len(counts)):
        at, stop = bounds[i], bounds[i + 1]
        while at < stop:
            if stop - at < HEAD or words[at + _FORMAT_AT] % _DEREDDENED != _FORMAT:
                return i
            n_alerts, n_rows, again = words[at + _ALERTS_AT], words[at + _ROWS_AT], words[at + _AGAIN_AT]
            room = stop - at - HEAD
            # `again` may lie beyond the rows so far where an entry before it was lost: it renews none then
            if not (0 <= n_alerts <= room and 0 <= n_rows <= room and again >= 0):
                return i
            if n_alerts + ROW * n_rows > room:
                return i
            counts[i, 0] += n_rows
            counts[i, 1] += n_alerts
            counts[i, 2] += 1
            at += HEAD + n_alerts + ROW * n_rows
    return -1


@njit(cache=True, nogil=True)
def _fill(
    words: Words,
    reals: NDArray[np.float64],
    singles: NDArray[np.float32],
    bounds: NDArray[np.int64],
    offsets: NDArray[np.int64],
    alert_offsets: NDArray[np.int64],
    columns: tuple[Any, ...],
    heads: tuple[Any, ...],
) -> None:
    mjd, band, flux, flux_err, detected, source, stated = columns
    alerts, alert_mjd, meta, meta_mjd, dereddened = heads
    for i in range(len(bounds) - 1):
        at, row, alert = bounds[i], offsets[i], alert_offsets[i]
        while at < bounds[i + 1]:
            n_alerts, n_rows = words[at + _ALERTS_AT], words[at + _ROWS_AT]
            time = reals[at + _MJD_AT]
            for k in range(offsets[i] + words[at + _AGAIN_AT], row):
                stated[k] = max(stated[k], time)
            alert_mjd[i] = max(alert_mjd[i], time)
            dereddened[i] = words[at + _FORMAT_AT] >= _DEREDDENED
            for m in range(_N_META):
                value, said = reals[at + _META_AT + m], reals[at + _META_MJD_AT + m]
                if newer(value, said, meta[i, m], meta_mjd[i, m]):
                    meta[i, m], meta_mjd[i, m] = value, said
            for k in range(n_alerts):
                alerts[alert + k] = np.uint64(words[at + HEAD + k])
            alert += n_alerts
            at += HEAD + n_alerts
            for _ in range(n_rows):
                mjd[row], source[row], stated[row] = reals[at], words[at + 1], reals[at + 4]
                flux[row], flux_err[row] = singles[2 * at + 4], singles[2 * at + 5]
                band[row], detected[row] = words[at + 3] & 15, (words[at + 3] & 16) != 0
                row += 1
                at += ROW


@njit(cache=True, nogil=True, inline="always")
def newer(value: float, said: float, known: float, known_said: float) -> bool:
    """Whether a value counts instead of the known one: said later, or larger and said at once."""
    if np.isnan(value):
        return False
    return bool(said > known_said or (said == known_said and value > known))


def write_entries(
    columns: tuple[NDArray[Any], ...],
    bounds: NDArray[np.int64],
    again: NDArray[np.int64],
    alerts: tuple[NDArray[np.uint64], NDArray[np.int64]],
    alert_mjd: NDArray[np.float64],
    meta: tuple[NDArray[np.float64], NDArray[np.float64]],
    dereddened: NDArray[np.bool_],
) -> list[bytes]:
    """Write one entry an object.

    Parameters
    ----------
    columns : tuple of arrays, shape (n_total,)
        mjd, band, flux, flux_err, detected, source_id, stated, as in `Histories`.
    bounds : int64 array, shape (n_objects, 2)
        First and one past the last row of each entry.
    again : int64 array, shape (n_objects,)
        First of the object's earlier rows that the alert stated again, all after it too;
        their number where it did none.
    alerts : tuple of uint64 and int64 array
        Digests, and where each object's begin, shape (n_objects + 1,).
    alert_mjd : float64 array, shape (n_objects,)
        Time of each entry's newest alert.
    meta : tuple of float64 arrays, shape (n_objects, 6)
        Values of `META`, and when they were said.
    dereddened : bool array, shape (n_objects,)
        Whether fluxes come corrected for dust.
    """
    digests, alert_offsets = alerts
    sizes = HEAD + np.diff(alert_offsets) + ROW * (bounds[:, 1] - bounds[:, 0])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    words = np.zeros(int(starts[-1]), np.int64)
    views = (words, words.view(np.float64), words.view(np.float32))
    _write(*views, starts, columns, bounds, again, digests, alert_offsets, alert_mjd, *meta, dereddened)
    raw = words.tobytes()
    edges = (8 * starts).tolist()
    return [raw[a:b] for a, b in pairwise(edges)]


@njit(cache=True, nogil=True)
def _write(
    words: Words,
    reals: NDArray[np.float64],
    singles: NDArray[np.float32],
    starts: NDArray[np.int64],
    columns: tuple[Any, ...],
    bounds: NDArray[np.int64],
    again: NDArray[np.int64],
    digests: NDArray[np.uint64],
    alert_offsets: NDArray[np.int64],
    alert_mjd: NDArray[np.float64],
    meta: NDArray[np.float64],
    meta_mjd: NDArray[np.float64],
    dereddened: NDArray[np.bool_],
) -> None:
    mjd, band, flux, flux_err, detected, source, stated = columns
    for i in range(len(bounds)):
        at = starts[i]
        n_alerts = alert_offsets[i + 1] - alert_offsets[i]
        words[at + _FORMAT_AT] = _FORMAT + (_DEREDDENED if dereddened[i] else 0)
        words[at + _ALERTS_AT] = n_alerts
        words[at + _ROWS_AT] = bounds[i, 1] - bounds[i, 0]
        words[at + _AGAIN_AT] = again[i]
        reals[at + _MJD_AT] = alert_mjd[i]
        for m in range(_N_META):
            reals[at + _META_AT + m] = meta[i, m]
            reals[at + _META_MJD_AT + m] = meta_mjd[i, m]
        for k in range(n_alerts):
            words[at + HEAD + k] = np.int64(digests[alert_offsets[i] + k])
        at += HEAD + n_alerts
        for k in range(bounds[i, 0], bounds[i, 1]):
            reals[at], words[at + 1], reals[at + 4] = mjd[k], source[k], stated[k]
            singles[2 * at + 4], singles[2 * at + 5] = flux[k], flux_err[k]
            words[at + 3] = band[k] + (16 if detected[k] else 0)
            at += ROW


def compact(entries: Sequence[bytes]) -> bytes:
    """One entry that says what a whole log says.

    Raises
    ------
    DataError
        If an entry is none of ours.
    """
    h = read_logs([entries])
    return write_entries(
        (h.mjd, h.band, h.flux, h.flux_err, h.detected, h.source_id, h.stated),
        np.array([[0, len(h.mjd)]]),
        np.zeros(1, np.int64),
        (h.alerts, h.alert_offsets),
        h.alert_mjd,
        (h.meta, h.meta_mjd),
        h.dereddened,
    )[0]
