"""History of an object: the content of its alerts, as entries of bytes, from which its state can be rebuilt.

An alert in order appends one entry and reads nothing. A late or contradicting alert reads the history and
replaces it by a single entry. An entry consists of 8-byte words: format, number of alerts, number of rows,
first earlier row that the alert repeats, time of the newest alert, and the values of `META` with their
times; then time of the newest alert that lists the past, the times from which it does, and digests of the
alerts; then five words per observation. Entries of format 1 lack the three words on the listed past.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray
from firstlight.errors import DataError
from firstlight.kernels import kernel
from firstlight.online.states import META

#: Entries after which a history is rewritten as one.
MAX_ENTRIES = 64

_OLD_FORMAT, _FORMAT = 1, 2
_DEREDDENED = 256  # added to the format where fluxes are corrected for dust
_N_META = len(META)
_FORMAT_AT, _ALERTS_AT, _ROWS_AT, _REPEAT_AT, _MJD_AT, _META_AT = range(6)
_META_MJD_AT = _META_AT + _N_META
_LISTED_AT = _OLD_HEAD = _META_MJD_AT + _N_META
HEAD = _OLD_HEAD + 3  #: words before the digests
ROW = 5  #: words per observation: time, source, fluxes, flags, time of the alert that last stated it


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """Histories of n objects, decoded.

    Attributes
    ----------
    offsets : int64 array, shape (n_objects + 1,)
        Object ``i`` owns the observations ``offsets[i]:offsets[i + 1]``, sorted by time.
    mjd, band, flux, flux_err, detected, source_id : arrays, shape (n_total,)
        Raw observations [MJD TAI, index, nJy, nJy].
    stated : float64 array, shape (n_total,)
        Time of the newest alert that states each observation.
    alert_offsets, alerts : int64 and uint64 arrays
        Digests of the answered alerts; object ``i`` owns ``alert_offsets[i]:alert_offsets[i + 1]``.
    alert_mjd : float64 array, shape (n_objects,)
        Time of the newest alert; -inf without any.
    meta, meta_mjd : float64 arrays, shape (n_objects, 6)
        Values of `META`, and the times of the alerts that state them.
    listed_mjd : float64 array, shape (n_objects,)
        Time of the newest alert that lists past measurements; -inf without any.
    listed_from : float64 array, shape (n_objects, 2)
        Times from which that alert lists all detections, and all forced photometry; inf if it lists none.
    dereddened : bool array, shape (n_objects,)
        Whether fluxes are corrected for dust.
    n_entries : int64 array, shape (n_objects,)
        Number of entries.
    """

    offsets: IntArray
    mjd: FloatArray
    band: AnyArray
    flux: Float32Array
    flux_err: Float32Array
    detected: BoolArray
    source_id: IntArray
    stated: FloatArray
    alert_offsets: IntArray
    alerts: NDArray[np.uint64]
    alert_mjd: FloatArray
    meta: FloatArray
    meta_mjd: FloatArray
    listed_mjd: FloatArray
    listed_from: FloatArray
    dereddened: BoolArray
    n_entries: IntArray

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.offsets) - 1


def read_histories(entries: Sequence[Sequence[bytes]]) -> Histories:
    """Decode the histories of some objects.

    Parameters
    ----------
    entries : sequence of sequences of bytes
        The entries of each object, oldest first.

    Raises
    ------
    DataError
        If an entry is damaged or cut short; the message names the object.
    """
    joined = [b"".join(own) for own in entries]
    short = [i for i, part in enumerate(joined) if len(part) % 8]
    if short:
        raise DataError(f"the history of object {short[0]} of the batch is cut short")
    bounds = np.concatenate([[0], np.cumsum([len(part) // 8 for part in joined], dtype=np.int64)])
    words = np.frombuffer(b"".join(joined), np.int64)
    counts = np.zeros((len(joined), 3), np.int64)
    if (bad := _count(words, bounds, counts)) >= 0:
        raise DataError(f"the history of object {bad} of the batch is damaged, or of a newer firstlight")
    offsets = np.concatenate([[0], np.cumsum(counts[:, 0])])
    alert_offsets = np.concatenate([[0], np.cumsum(counts[:, 1])])
    n, n_total = len(joined), int(offsets[-1])
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
        listed_mjd=np.full(n, -np.inf),
        listed_from=np.full((n, 2), np.inf),
        dereddened=np.zeros(n, np.bool_),
        n_entries=counts[:, 2].copy(),
    )
    h = histories
    columns = (h.mjd, h.band, h.flux, h.flux_err, h.detected, h.source_id, h.stated)
    heads = (h.alerts, h.alert_mjd, h.meta, h.meta_mjd, h.listed_mjd, h.listed_from, h.dereddened)
    _fill(
        words, words.view(np.float64), words.view(np.float32), bounds, offsets, alert_offsets, columns, heads
    )
    return histories


@kernel(inline="always")
def _head(words: IntArray, at: int) -> int:
    """Words before the digests of the entry that begins at a word; 0 if its format is unknown."""
    form = words[at + _FORMAT_AT] % _DEREDDENED
    return HEAD if form == _FORMAT else _OLD_HEAD if form == _OLD_FORMAT else 0


@kernel
def _count(words: IntArray, bounds: IntArray, counts: IntArray) -> int:
    """Count rows, alerts and entries of each history; return the first damaged one, or -1."""
    for i in range(len(counts)):
        at, stop = bounds[i], bounds[i + 1]
        while at < stop:
            head = _head(words, at)
            if head == 0 or stop - at < head:
                return i
            n_alerts, n_rows, repeat = words[at + _ALERTS_AT], words[at + _ROWS_AT], words[at + _REPEAT_AT]
            room = stop - at - head
            # `repeat` lies beyond the rows so far if an earlier entry was lost: it then renews none
            if not (0 <= n_alerts <= room and 0 <= n_rows <= room and repeat >= 0):
                return i
            if n_alerts + ROW * n_rows > room:
                return i
            counts[i, 0] += n_rows
            counts[i, 1] += n_alerts
            counts[i, 2] += 1
            at += head + n_alerts + ROW * n_rows
    return -1


@kernel
def _fill(
    words: IntArray,
    reals: FloatArray,
    singles: Float32Array,
    bounds: IntArray,
    offsets: IntArray,
    alert_offsets: IntArray,
    columns: tuple[Any, ...],
    heads: tuple[Any, ...],
) -> None:
    mjd, band, flux, flux_err, detected, source, stated = columns
    alerts, alert_mjd, meta, meta_mjd, listed_mjd, listed_from, dereddened = heads
    for i in range(len(bounds) - 1):
        at, row, alert = bounds[i], offsets[i], alert_offsets[i]
        while at < bounds[i + 1]:
            n_alerts, n_rows = words[at + _ALERTS_AT], words[at + _ROWS_AT]
            time = reals[at + _MJD_AT]
            for k in range(offsets[i] + words[at + _REPEAT_AT], row):
                stated[k] = max(stated[k], time)
            alert_mjd[i] = max(alert_mjd[i], time)
            dereddened[i] = words[at + _FORMAT_AT] >= _DEREDDENED
            for m in range(_N_META):
                value, since = reals[at + _META_AT + m], reals[at + _META_MJD_AT + m]
                if newer(value, since, meta[i, m], meta_mjd[i, m]):
                    meta[i, m], meta_mjd[i, m] = value, since
            head = _head(words, at)
            if head == HEAD and reals[at + _LISTED_AT] >= listed_mjd[i]:
                listed_mjd[i] = reals[at + _LISTED_AT]
                listed_from[i, 0], listed_from[i, 1] = reals[at + _LISTED_AT + 1], reals[at + _LISTED_AT + 2]
            for k in range(n_alerts):
                alerts[alert + k] = np.uint64(words[at + head + k])
            alert += n_alerts
            at += head + n_alerts
            for _ in range(n_rows):
                mjd[row], source[row], stated[row] = reals[at], words[at + 1], reals[at + 4]
                flux[row], flux_err[row] = singles[2 * at + 4], singles[2 * at + 5]
                band[row], detected[row] = words[at + 3] & 15, (words[at + 3] & 16) != 0
                row += 1
                at += ROW


@kernel(inner=True, inline="always")
def newer(value: float, mjd: float, known: float, known_mjd: float) -> bool:
    """Whether a value replaces the known one: it is of a later alert, or larger and of the same time."""
    if np.isnan(value):
        return False
    return bool(mjd > known_mjd or (mjd == known_mjd and value > known))


def write_entries(
    columns: tuple[AnyArray, ...],
    bounds: IntArray,
    repeat: IntArray,
    alerts: tuple[NDArray[np.uint64], IntArray],
    alert_mjd: FloatArray,
    meta: tuple[FloatArray, FloatArray],
    listed: tuple[FloatArray, FloatArray],
    dereddened: BoolArray,
) -> list[bytes]:
    """Encode one entry per object.

    `columns` are mjd, band, flux, flux_err, detected, source_id and stated, as in `Histories`; `bounds`,
    shape (n_objects, 2), is the first and one past the last row of each entry. `repeat` is the index of the
    first earlier observation that the alert repeats (it repeats all later ones too), or their number if it
    repeats none. `alerts` are digests and their offsets, `meta` the values of `META` and their times, and
    `listed` is `listed_mjd` and `listed_from` as in `Histories`.
    """
    digests, alert_offsets = alerts
    sizes = HEAD + np.diff(alert_offsets) + ROW * (bounds[:, 1] - bounds[:, 0])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    words = np.zeros(int(starts[-1]), np.int64)
    views = (words, words.view(np.float64), words.view(np.float32))
    _write(
        *views, starts, columns, bounds, repeat, digests, alert_offsets, alert_mjd, *meta, *listed, dereddened
    )
    raw = words.tobytes()
    edges = (8 * starts).tolist()
    return [raw[a:b] for a, b in pairwise(edges)]


@kernel
def _write(
    words: IntArray,
    reals: FloatArray,
    singles: Float32Array,
    starts: IntArray,
    columns: tuple[Any, ...],
    bounds: IntArray,
    repeat: IntArray,
    digests: NDArray[np.uint64],
    alert_offsets: IntArray,
    alert_mjd: FloatArray,
    meta: FloatArray,
    meta_mjd: FloatArray,
    listed_mjd: FloatArray,
    listed_from: FloatArray,
    dereddened: BoolArray,
) -> None:
    mjd, band, flux, flux_err, detected, source, stated = columns
    for i in range(len(bounds)):
        at = starts[i]
        n_alerts = alert_offsets[i + 1] - alert_offsets[i]
        words[at + _FORMAT_AT] = _FORMAT + (_DEREDDENED if dereddened[i] else 0)
        words[at + _ALERTS_AT] = n_alerts
        words[at + _ROWS_AT] = bounds[i, 1] - bounds[i, 0]
        words[at + _REPEAT_AT] = repeat[i]
        reals[at + _MJD_AT] = alert_mjd[i]
        for m in range(_N_META):
            reals[at + _META_AT + m] = meta[i, m]
            reals[at + _META_MJD_AT + m] = meta_mjd[i, m]
        reals[at + _LISTED_AT] = listed_mjd[i]
        reals[at + _LISTED_AT + 1], reals[at + _LISTED_AT + 2] = listed_from[i, 0], listed_from[i, 1]
        for k in range(n_alerts):
            words[at + HEAD + k] = np.int64(digests[alert_offsets[i] + k])
        at += HEAD + n_alerts
        for k in range(bounds[i, 0], bounds[i, 1]):
            reals[at], words[at + 1], reals[at + 4] = mjd[k], source[k], stated[k]
            singles[2 * at + 4], singles[2 * at + 5] = flux[k], flux_err[k]
            words[at + 3] = band[k] + (16 if detected[k] else 0)
            at += ROW
