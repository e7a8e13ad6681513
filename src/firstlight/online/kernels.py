"""Compiled decisions of an update: what of a packet is new, and whether the past must be read."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from firstlight.online.history import MAX_ENTRIES
from firstlight.online.visits import SAME_VISIT_DAYS, merge

__all__ = [
    "APPEND",
    "NOTHING",
    "READ",
    "answered_before",
    "continued",
    "extend_digests",
    "merge_histories",
    "remember_recent",
    "route",
]

#: What an alert asks for: nothing (it was the last one), to step on, or to read the log.
NOTHING, APPEND, READ = 0, 1, 2

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, odd
_FLUX, _ERROR = np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_FLAGS = np.uint64(0x27D4EB2F165667C5)
_SHIFT, _HALF = np.uint64(29), np.uint64(32)

Column = NDArray[Any]


@njit(cache=True, nogil=True, inline="always")
def _row(mjd: Any, band: Any, flux: Any, flux_err: Any, detected: Any) -> Any:
    """64-bit hash of one observation, given as bits."""
    row = np.uint64(mjd) + np.uint64(flux) * _FLUX + np.uint64(flux_err) * _ERROR
    row += np.uint64(2 * np.int64(band) + (1 if detected else 0) + 1) * _FLAGS
    row = (row ^ (row >> _SHIFT)) * _MULTIPLIER
    return row ^ (row >> _HALF)


@njit(cache=True, nogil=True, inline="always")
def _mix(digest: Any, row: Any) -> Any:
    """Digest of a history with one more observation."""
    mixed = (digest ^ row) * _MULTIPLIER
    return mixed ^ (mixed >> _SHIFT)


@njit(cache=True, nogil=True, inline="always")
def _short(row: Any) -> Any:
    """What the ring of recent observations keeps of a hash."""
    return np.uint32(row >> _HALF)


@njit(cache=True, nogil=True)
def route(
    known: tuple[Column, ...],
    arrived: tuple[Column, ...],
    must_read: NDArray[np.bool_],
    result: tuple[Column, ...],
) -> None:
    """Say of each object what its alert asks for.

    An alert steps on if it is the newest, and what its packet tells of the past is nothing,
    exactly what is known (equal digests of equally many observations), or exactly the last
    of it: a packet carries twelve months, and the ring remembers that many.

    Parameters
    ----------
    known : tuple of arrays, shape (n_objects,)
        n_obs, last_mjd, digest, alert_mjd, alert, n_entries of the states.
    arrived : tuple of arrays
        offsets, mjd, bits of mjd, band, bits of flux, bits of flux_err, detected; time and
        digest of the alerts.
    must_read : bool array, shape (n_objects,)
        Objects whose log is needed in any case.
    result : tuple of arrays, shape (n_objects,)
        Written: the route, the first new row, the first earlier row that was stated again
        (all after it too), the digest after the new rows; and in place the rings of recent
        observations, shape (n_objects, RECENT).
    """
    n_obs, last_mjd, digest, alert_mjd, alert, n_entries = known
    offsets, mjd, bits, band, flux, flux_err, detected, new_mjd, new_alert = arrived
    routes, first, again, digests, recent = result
    for i in range(len(n_obs)):
        routes[i] = READ
        if n_obs[i] > 0 and alert[i] == new_alert[i] and alert_mjd[i] == new_mjd[i]:
            routes[i] = NOTHING
            continue
        if n_obs[i] == 0 or must_read[i] or n_entries[i] >= MAX_ENTRIES or new_mjd[i] <= alert_mjd[i]:
            continue
        ring, size = recent[i], recent.shape[1]
        start, stop = offsets[i], offsets[i + 1]
        middle = start
        while middle < stop and mjd[middle] <= last_mjd[i] + SAME_VISIT_DAYS:
            middle += 1
        n_past = middle - start
        if n_past > n_obs[i] or (size < n_past < n_obs[i]):
            continue
        past, same = np.uint64(0), True
        for k in range(start, middle):
            row = _row(bits[k], band[k], flux[k], flux_err[k], detected[k])
            past = _mix(past, row)
            if n_past < n_obs[i]:
                same = same and ring[(n_obs[i] - n_past + k - start) % size] == _short(row)
        if n_past == n_obs[i]:
            same = past == digest[i]
        if not same:
            continue
        routes[i], first[i], again[i] = APPEND, middle, n_obs[i] - n_past
        digests[i] = digest[i]
        for k in range(middle, stop):
            row = _row(bits[k], band[k], flux[k], flux_err[k], detected[k])
            digests[i] = _mix(digests[i], row)
            ring[(n_obs[i] + k - middle) % size] = _short(row)


@njit(cache=True, nogil=True)
def continued(
    offsets: Column, columns: tuple[Column, ...], n_known: Column, digest: Column
) -> NDArray[np.int64]:
    """Find from where on each object's observations are new.

    Parameters
    ----------
    offsets : int64 array, shape (n_objects + 1,)
    columns : tuple of arrays, shape (n_total,)
        bits of mjd, band, bits of flux, bits of flux_err, detected; whole histories.
    n_known, digest : arrays, shape (n_objects,)
        How many observations were known, and their digest.

    Returns
    -------
    int64 array, shape (n_objects,)
        The first new row, or -1 where the known observations are no longer the beginning
        of the history.
    """
    bits, band, flux, flux_err, detected = columns
    first = np.empty(len(n_known), np.int64)
    for i in range(len(n_known)):
        low = offsets[i]
        now, end = np.uint64(0), min(low + n_known[i], offsets[i + 1])
        for k in range(low, end):
            now = _mix(now, _row(bits[k], band[k], flux[k], flux_err[k], detected[k]))
        first[i] = end if end - low == n_known[i] and now == digest[i] else -1
    return first


@njit(cache=True, nogil=True)
def extend_digests(offsets: Column, columns: tuple[Column, ...], digest: Column) -> None:
    """Take further observations into each object's digest, in place; columns as for `continued`."""
    bits, band, flux, flux_err, detected = columns
    for i in range(len(digest)):
        for k in range(offsets[i], offsets[i + 1]):
            digest[i] = _mix(digest[i], _row(bits[k], band[k], flux[k], flux_err[k], detected[k]))


@njit(cache=True, nogil=True)
def remember_recent(offsets: Column, columns: tuple[Column, ...], recent: Column) -> None:
    """Write the rings of whole histories anew; columns as for `continued`."""
    bits, band, flux, flux_err, detected = columns
    size = recent.shape[1]
    for i in range(len(recent)):
        for k in range(max(offsets[i], offsets[i + 1] - size), offsets[i + 1]):
            row = _row(bits[k], band[k], flux[k], flux_err[k], detected[k])
            recent[i, (k - offsets[i]) % size] = _short(row)


@njit(cache=True, nogil=True)
def answered_before(alert_offsets: Column, alerts: Column, alert: Column) -> NDArray[np.bool_]:
    """Whether each object's alert is among those in its log."""
    answered = np.zeros(len(alert), np.bool_)
    for i in range(len(alert)):
        for k in range(alert_offsets[i], alert_offsets[i + 1]):
            answered[i] = answered[i] or alerts[k] == alert[i]
    return answered


@njit(cache=True, nogil=True)
def merge_histories(
    known_offsets: Column,
    known: tuple[Column, ...],
    offsets: Column,
    arrived: tuple[Column, ...],
    new_mjd: Column,
    out: tuple[Column, ...],
    out_offsets: Column,
    unchanged: NDArray[np.bool_],
    again: Column,
    follows: NDArray[np.bool_],
) -> None:
    """Merge what alerts say with what was known, an object at a time, each visit once.

    Parameters
    ----------
    known_offsets, offsets : int64 arrays, shape (n_objects + 1,)
        Where each object's known and arrived rows begin.
    known : tuple of arrays
        mjd, band, flux, flux_err, detected, source_id, stated.
    arrived : tuple of arrays
        The same without the last, which is the alert's time.
    new_mjd : float64 array, shape (n_objects,)
        Times of the alerts.
    out : tuple of arrays, long enough for all rows
        Written as `known`.
    out_offsets : int64 array, shape (n_objects + 1,)
        Written.
    unchanged : bool array, shape (n_objects,)
        Written: whether the known rows still stand first, as they were.
    again : int64 array, shape (n_objects,)
        Written: the first of the known rows that the alert stated again.
    follows : bool array, shape (n_objects,)
        Written: whether one more entry of the log can say it all: nothing known has
        changed, and all known rows from the first that was stated again were.
    """
    mjd, band, flux, flux_err, detected, source, stated = known
    for i in range(len(new_mjd)):
        low, high = known_offsets[i], known_offsets[i + 1]
        first, stop = offsets[i], offsets[i + 1]
        n_old, n = high - low, high - low + stop - first
        t, f, e, order = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
        b, d, s = np.empty(n, np.int8), np.empty(n, np.bool_), np.empty(n, np.int64)
        t[:n_old], b[:n_old], f[:n_old] = mjd[low:high], band[low:high], flux[low:high]
        e[:n_old], d[:n_old], s[:n_old] = flux_err[low:high], detected[low:high], source[low:high]
        t[n_old:], b[n_old:] = arrived[0][first:stop], arrived[1][first:stop]
        f[n_old:], e[n_old:] = arrived[2][first:stop], arrived[3][first:stop]
        d[n_old:], s[n_old:] = arrived[4][first:stop], arrived[5][first:stop]
        order[:n_old] = stated[low:high]
        order[n_old:] = new_mjd[i]
        merged = merge(t, b, f, e, d, s, np.zeros(n, np.int64), order)
        at, size = out_offsets[i], len(merged[0])
        out_offsets[i + 1] = at + size
        for c in range(size):
            out[0][at + c], out[1][at + c], out[2][at + c], out[3][at + c] = (
                merged[0][c],
                merged[1][c],
                merged[2][c],
                merged[3][c],
            )
            out[4][at + c], out[5][at + c], out[6][at + c] = merged[4][c], merged[5][c], merged[6][c]
        same, suffix = size >= n_old, True
        again[i] = n_old
        for k in range(min(n_old, size)):
            same = (
                same
                and merged[0][k] == mjd[low + k]
                and merged[1][k] == band[low + k]
                and merged[2][k] == flux[low + k]
                and merged[3][k] == flux_err[low + k]
                and merged[4][k] == detected[low + k]
            )
            if merged[6][k] != stated[low + k] and again[i] == n_old:
                again[i] = k
            suffix = suffix and (again[i] == n_old or merged[6][k] == new_mjd[i])
        unchanged[i], follows[i] = same, same and suffix
