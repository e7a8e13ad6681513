"""Compiled decisions of an update: which observations are new, and whether the history is needed."""

from typing import Any

import numpy as np

from firstlight._types import AnyArray, BoolArray, IntArray
from firstlight.kernels import kernel
from firstlight.lightcurves.visits import SAME_VISIT_DAYS, combine
from firstlight.online.history import MAX_ENTRIES

#: Route of an alert: nothing to do (a repeated alert), append to the state, or read the history.
NOTHING, APPEND, READ = 0, 1, 2
#: How an alert changed earlier observations: not, by earlier ones, by other values, or by their removal.
KEPT, ADDED, CHANGED, REMOVED = 0, 1, 2, 3

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, odd
_FLUX, _ERROR = np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_FLAGS = np.uint64(0x27D4EB2F165667C5)
_SHIFT, _HALF = np.uint64(29), np.uint64(32)


@kernel(inline="always")
def _row(mjd: Any, band: Any, flux: Any, flux_err: Any, detected: Any) -> Any:
    """64-bit hash of one observation, given as bits."""
    row = np.uint64(mjd) + np.uint64(flux) * _FLUX + np.uint64(flux_err) * _ERROR
    row += np.uint64(2 * np.int64(band) + (1 if detected else 0) + 1) * _FLAGS
    row = (row ^ (row >> _SHIFT)) * _MULTIPLIER
    return row ^ (row >> _HALF)


@kernel(inline="always")
def _mix(digest: Any, row: Any) -> Any:
    """Digest of a history with one more observation."""
    mixed = (digest ^ row) * _MULTIPLIER
    return mixed ^ (mixed >> _SHIFT)


@kernel(inline="always")
def _short(row: Any) -> Any:
    """The 32 bits of a hash that the ring of recent observations keeps."""
    return np.uint32(row >> _HALF)


@kernel
def route(
    known: tuple[AnyArray, ...],
    arrived: tuple[AnyArray, ...],
    must_read: BoolArray,
    result: tuple[AnyArray, ...],
) -> None:
    """Choose the route of each object's alert.

    It is APPEND if the alert is the newest and the packet's past observations are none, all known ones
    (equal digests of equally many), or the last known ones: a packet holds twelve months, and the ring of
    recent observations as many. In the last two cases the packet must not list a past that reaches further
    back, for then a known observation is gone. Objects in `must_read` need their history in any case.

    `known` are n_obs, last_mjd, digest, alert_mjd, alert and n_entries of the states; `arrived` are offsets,
    mjd, the columns of `continued`, times and digests of the alerts, and the first time that they list.
    `result` is written: route, first new row, first earlier row that the alert repeats, digest after the new
    rows, and in place the rings, shape (n_objects, RECENT).
    """
    n_obs, last_mjd, digest, alert_mjd, alert, n_entries = known
    offsets, mjd, bits, band, flux, flux_err, detected, new_mjd, new_alert, listed = arrived
    routes, first, repeat, digests, recent = result
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
        first_past = mjd[start] if n_past > 0 else last_mjd[i] + 2 * SAME_VISIT_DAYS
        if n_past < n_obs[i] and listed[i] < first_past - SAME_VISIT_DAYS:
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
        routes[i], first[i], repeat[i] = APPEND, middle, n_obs[i] - n_past
        digests[i] = digest[i]
        for k in range(middle, stop):
            row = _row(bits[k], band[k], flux[k], flux_err[k], detected[k])
            digests[i] = _mix(digests[i], row)
            ring[(n_obs[i] + k - middle) % size] = _short(row)


@kernel
def continued(
    offsets: AnyArray, columns: tuple[AnyArray, ...], n_known: AnyArray, digest: AnyArray
) -> IntArray:
    """First new row of each object's whole history, or -1 if it no longer begins with the known rows.

    `columns` are bits of mjd, band, bits of flux, bits of flux_err and detected, shape (n_total,);
    `n_known` and `digest` describe the known rows.
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


@kernel
def extend_digests(offsets: AnyArray, columns: tuple[AnyArray, ...], digest: AnyArray) -> None:
    """Add observations to each object's digest, in place; columns as for `continued`."""
    bits, band, flux, flux_err, detected = columns
    for i in range(len(digest)):
        for k in range(offsets[i], offsets[i + 1]):
            digest[i] = _mix(digest[i], _row(bits[k], band[k], flux[k], flux_err[k], detected[k]))


@kernel
def remember_recent(offsets: AnyArray, columns: tuple[AnyArray, ...], recent: AnyArray) -> None:
    """Rewrite the rings from whole histories; columns as for `continued`."""
    bits, band, flux, flux_err, detected = columns
    size = recent.shape[1]
    for i in range(len(recent)):
        for k in range(max(offsets[i], offsets[i + 1] - size), offsets[i + 1]):
            row = _row(bits[k], band[k], flux[k], flux_err[k], detected[k])
            recent[i, (k - offsets[i]) % size] = _short(row)


@kernel
def answered_before(alert_offsets: AnyArray, alerts: AnyArray, alert: AnyArray) -> BoolArray:
    """Whether each object's alert is among those in its history."""
    answered = np.zeros(len(alert), np.bool_)
    for i in range(len(alert)):
        for k in range(alert_offsets[i], alert_offsets[i + 1]):
            answered[i] = answered[i] or alerts[k] == alert[i]
    return answered


@kernel
def merge_histories(
    known_offsets: AnyArray,
    known: tuple[AnyArray, ...],
    offsets: AnyArray,
    arrived: tuple[AnyArray, ...],
    new_mjd: AnyArray,
    listed: tuple[AnyArray, ...],
    out: tuple[AnyArray, ...],
    out_offsets: AnyArray,
    change: AnyArray,
    repeat: AnyArray,
    follows: BoolArray,
) -> None:
    """Merge arrived with known observations, per object, each visit once.

    `known` are mjd, band, flux, flux_err, detected, source_id and stated; `arrived` the same without the
    last, which is the alert's time `new_mjd`. `listed` are `listed_mjd` and `listed_from` of the histories
    and `listed_from` of the alerts: the later statement on which measurements there are counts. Written:
    `out` like `known`, with `out_offsets`; `change`, one of `KEPT`, `ADDED`, `CHANGED` and `REMOVED`;
    `repeat`, the first known row that the alert repeats; and `follows`, whether one more entry can hold the
    alert: no known row has changed, and the alert repeats all of them from `repeat` on.
    """
    mjd, band, flux, flux_err, detected, source, stated = known
    known_listed_mjd, known_listed, new_listed = listed
    for i in range(len(new_mjd)):
        low, high = known_offsets[i], known_offsets[i + 1]
        first, stop = offsets[i], offsets[i + 1]
        n_old = high - low
        merged = combine(
            (
                mjd[low:high],
                band[low:high],
                flux[low:high],
                flux_err[low:high],
                detected[low:high],
                source[low:high],
                stated[low:high],
            ),
            (
                arrived[0][first:stop],
                arrived[1][first:stop],
                arrived[2][first:stop],
                arrived[3][first:stop],
                arrived[4][first:stop],
                arrived[5][first:stop],
            ),
            new_mjd[i],
            new_listed[i],
            known_listed_mjd[i],
            known_listed[i],
        )
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
        repeat[i] = n_old
        for k in range(min(n_old, size)):
            same = (
                same
                and merged[0][k] == mjd[low + k]
                and merged[1][k] == band[low + k]
                and merged[2][k] == flux[low + k]
                and merged[3][k] == flux_err[low + k]
                and merged[4][k] == detected[low + k]
            )
            if merged[6][k] != stated[low + k] and repeat[i] == n_old:
                repeat[i] = k
            suffix = suffix and (repeat[i] == n_old or merged[6][k] == new_mjd[i])
        follows[i] = same and suffix
        change[i] = KEPT if same else _change(mjd, band, flux, flux_err, detected, low, high, merged)


@kernel
def _change(
    mjd: Any, band: Any, flux: Any, flux_err: Any, detected: Any, low: int, high: int, merged: tuple[Any, ...]
) -> int:
    """Kind of change of the known rows from `low` to `high` by a merge."""
    change, first = ADDED, 0
    for k in range(low, high):
        while first < len(merged[0]) and merged[0][first] < mjd[k] - SAME_VISIT_DAYS:
            first += 1
        found, same, c = False, False, first
        while c < len(merged[0]) and merged[0][c] <= mjd[k] + SAME_VISIT_DAYS:
            if merged[1][c] == band[k]:
                found = True
                same = same or (
                    merged[2][c] == flux[k] and merged[3][c] == flux_err[k] and merged[4][c] == detected[k]
                )
            c += 1
        if not found:
            return REMOVED
        if not same:
            change = CHANGED
    return change
