"""Forecast of an object's next observation, by the Gaussian process of the features."""

import numpy as np

from firstlight._types import FloatArray
from firstlight.bands import N_BANDS
from firstlight.features.gaussian import (
    AMPLITUDES,
    BAND_KERNEL,
    BIN_WIDTH,
    TIME_SCALES,
    bin_object,
    normalise,
    predict_points,
    select,
)
from firstlight.lightcurves import LightCurves

_MAX_POINTS = 100
_REACH = (-200.0, 0.0)  # days before the last observation that the process reads
_LEAST_POINTS = 3


def forecast(curves: LightCurves, mjd: float) -> tuple[FloatArray, FloatArray] | None:
    """Flux of the bands and its uncertainty at a time, from the nights before it.

    Parameters
    ----------
    curves : LightCurves
        One object, raw or preprocessed.
    mjd : float
        Time, after the last observation [MJD].

    Returns
    -------
    flux, flux_err : float64 arrays, shape (6,)
        Mean and standard deviation of the process, without noise of a measurement [nJy]; None with fewer
        than three nightly points in the 200 days before the last observation.
    """
    last = float(curves.mjd[-1])
    points = np.empty((4, len(curves.mjd)))
    n = bin_object(
        0, len(curves.mjd), curves.mjd, curves.band, curves.flux, curves.flux_err, last, *_REACH, BIN_WIDTH,
        _MAX_POINTS, points,
    )  # fmt: skip
    if n < _LEAST_POINTS:
        return None
    scale = normalise(points, n)
    U, weights, alpha = np.empty((n, n)), np.empty((n, n)), np.empty(n)
    choice = select(points, n, BAND_KERNEL, TIME_SCALES, AMPLITUDES, U, alpha, weights)
    mean, sd = np.empty(N_BANDS), np.empty(N_BANDS)
    days = np.full(N_BANDS, mjd - last)
    work = np.empty((n, N_BANDS))
    predict_points(
        points,
        n,
        U,
        alpha,
        choice[0],
        choice[1] ** 2,
        days,
        np.ascontiguousarray(BAND_KERNEL),
        work,
        mean,
        sd,
    )
    return mean * scale, sd * scale
