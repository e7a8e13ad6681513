"""Nightly points of one light curve in a row of fixed size, which each observation advances in O(1).

The Gaussian process reads at most `MOST_POINTS` points, so that its cost has a bound and the past is not read
again. Batch and stream advance rows with the same compiled kernel. A full row joins its points: the longest
duration of a point grows until there is room (decision 0224).
"""

import math

import numpy as np

from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray
from firstlight.features.gaussian import BIN_WIDTH, WINDOW
from firstlight.kernels import kernel
from firstlight.lightcurves import LightCurves

MOST_POINTS = 48
_GROWTH = 1.5  # of the longest duration of a point, where a row is full

# Scalars of a row: longest duration of a point [day], number of points, times [MJD] of the trigger, the last
# detection and the highest S/N, and that S/N.
WIDTH, N_POINTS, T_TRIGGER, T_DETECTED, T_HIGHEST, HIGHEST_SNR = range(6)
_POINTS = 6  # first place of the points, which ascend in time
# Entries of a point: time of its first observation [MJD], band, sums of weight and of weight * flux.
_TIME, _BAND, _WEIGHT, _LIGHT = range(4)
_POINT_SIZE = 4
#: Length of one object's row.
ROW_SIZE = _POINTS + MOST_POINTS * _POINT_SIZE


@kernel
def clear(row: FloatArray) -> None:
    """Reset a row to that of an object without observations."""
    row[:] = 0.0
    row[WIDTH] = BIN_WIDTH
    row[T_TRIGGER] = row[T_DETECTED] = row[T_HIGHEST] = np.nan
    row[HIGHEST_SNR] = -np.inf


@kernel(inner=True)
def _forget(row: FloatArray, before: float) -> None:
    """Drop the points before a time."""
    n = int(row[N_POINTS])
    first = 0
    while first < n and row[_POINTS + first * _POINT_SIZE + _TIME] < before:
        first += 1
    if first == 0:
        return
    for j in range((n - first) * _POINT_SIZE):
        row[_POINTS + j] = row[_POINTS + first * _POINT_SIZE + j]
    for j in range((n - first) * _POINT_SIZE, n * _POINT_SIZE):
        row[_POINTS + j] = 0.0
    row[N_POINTS] = n - first


@kernel(inner=True)
def _place(row: FloatArray, n: int, mjd: float, band: float) -> int:
    """Place of the point that an observation belongs to, among the first n; -1 if it begins one."""
    for k in range(n - 1, -1, -1):
        at = _POINTS + k * _POINT_SIZE
        if mjd - row[at + _TIME] > row[WIDTH]:
            return -1
        if row[at + _BAND] == band:
            return at
    return -1


@kernel(inner=True)
def _join(row: FloatArray) -> None:
    """Join the points of each band that lie within a longer duration."""
    row[WIDTH] *= _GROWTH
    n = int(row[N_POINTS])
    kept = 0
    for k in range(n):
        at = _POINTS + k * _POINT_SIZE
        into = _place(row, kept, row[at + _TIME], row[at + _BAND])
        if into < 0:
            into = _POINTS + kept * _POINT_SIZE
            kept += 1
            for j in range(_POINT_SIZE):
                row[into + j] = row[at + j]
        else:
            row[into + _WEIGHT] += row[at + _WEIGHT]
            row[into + _LIGHT] += row[at + _LIGHT]
    for j in range(_POINTS + kept * _POINT_SIZE, _POINTS + n * _POINT_SIZE):
        row[j] = 0.0
    row[N_POINTS] = kept


@kernel(inner=True)
def _add(row: FloatArray, mjd: float, band: float, weight: float, flux: float) -> None:
    """Add an observation to its point, or begin one."""
    n = int(row[N_POINTS])
    at = _place(row, n, mjd, band)
    while at < 0 and n == MOST_POINTS:
        _join(row)
        n = int(row[N_POINTS])
        at = _place(row, n, mjd, band)
    if at < 0:
        at = _POINTS + n * _POINT_SIZE
        row[at + _TIME], row[at + _BAND] = mjd, band
        row[N_POINTS] = n + 1
    row[at + _WEIGHT] += weight
    row[at + _LIGHT] += weight * flux


@kernel
def advance(row: FloatArray, mjd: float, band: int, flux: float, err: float, detected: bool) -> None:
    """Advance one object's row by one observation [MJD, index, nJy, nJy], in place."""
    snr = flux / err
    if snr > row[HIGHEST_SNR]:
        row[HIGHEST_SNR] = snr
        row[T_HIGHEST] = mjd
    triggered = not np.isnan(row[T_TRIGGER])
    if detected:
        row[T_DETECTED] = mjd
        if not triggered:
            row[T_TRIGGER] = mjd
    if not triggered:
        _forget(row, mjd + WINDOW[0])
    elif mjd > row[T_TRIGGER] + WINDOW[1]:
        return
    _add(row, mjd, band, 1.0 / (err * err), flux)


@kernel
def _advance_rows(rows: FloatArray, offsets: IntArray, columns: tuple[AnyArray, ...]) -> None:
    mjd, band, flux, err, detected = columns
    for i in range(len(rows)):
        for k in range(offsets[i], offsets[i + 1]):
            advance(rows[i], mjd[k], band[k], np.float64(flux[k]), np.float64(err[k]), detected[k])


def initial_rows(n_objects: int) -> FloatArray:
    """Rows of objects without observations, shape (n_objects, ROW_SIZE)."""
    row = np.empty(ROW_SIZE)
    clear(row)
    return np.tile(row, (n_objects, 1))


def advance_rows(rows: FloatArray, curves: LightCurves) -> None:
    """Advance each object's row by the observations of its preprocessed light curve, in place.

    Parameters
    ----------
    rows : float64 array, shape (n_objects, ROW_SIZE)
        From `initial_rows` or earlier observations of the same objects.
    curves : LightCurves
        Their new observations, none earlier than those in the row.
    """
    columns = (curves.mjd, curves.band, curves.flux, curves.flux_err, curves.detected)
    _advance_rows(rows, curves.offsets, columns)


@kernel
def write_points(
    rows: FloatArray,
    offsets: IntArray,
    mjd: FloatArray,
    band: AnyArray,
    flux: Float32Array,
    err: Float32Array,
) -> None:
    """Write the points of each row as observations from ``offsets[i]`` on [MJD, index, nJy, nJy]."""
    for i in range(len(rows)):
        for k in range(offsets[i + 1] - offsets[i]):
            at, m = _POINTS + k * _POINT_SIZE, offsets[i] + k
            mjd[m], band[m] = rows[i, at + _TIME], rows[i, at + _BAND]
            flux[m] = rows[i, at + _LIGHT] / rows[i, at + _WEIGHT]
            err[m] = math.sqrt(1.0 / rows[i, at + _WEIGHT])
