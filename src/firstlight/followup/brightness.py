"""How bright an object is, where it is going, and how bright it will be on the next night.

A follow-up telescope needs a magnitude, not a class. All of it comes from the
observations at hand, with a plain model: for some days the flux of every band changes
by the same fraction a day. That is wrong in detail and good enough to say which target
will be too faint tomorrow (decision 0090 has the errors). Nothing here looks ahead, and
an object's numbers depend on its own observations alone.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS, N_BANDS
from firstlight.lightcurves import LightCurves

__all__ = ["Brightness", "measure_brightness"]

MEMORY = 5.0  # days; an observation counts 1/e after so long
RECENT = 20.0  # days; a band's last flux older than this says nothing of now
SEEN_SNR = 3.0  # of a flux that is worth a magnitude
PEAK_MARGIN = 2.0  # sigma subtracted before a flux may be called the peak
ERROR_FLOOR = 0.03  # mag, nearly; no point is known better than the model fits
PRIOR_SLOPE = 0.1  # mag/day; scatter of slopes among transients, to which little data shrinks
SOFTENING = 1.0  # in errors of a band's last flux; below it asinh is no longer a logarithm
LARGEST_SLOPE = 1.5  # mag/day
DAMPING = 15.0  # days; a trend is worn off by 1/e after so long
DRIFT = 0.06  # mag per square root of a day; what an object does beside its trend
MAG_PER_E_FOLD = 2.5 / math.log(10.0)

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Brightness:
    """Brightness of n objects; NaN (band -1) where no light was seen.

    Attributes
    ----------
    band : int8 array, shape (n_objects,)
        Index into `firstlight.bands.BANDS` of the band that saw it best lately.
    mag, mag_err : float64 arrays, shape (n_objects,)
        Latest AB magnitude in that band and its error [mag].
    mag_mjd : float64 array, shape (n_objects,)
        When that was [MJD].
    slope, slope_err : float64 arrays, shape (n_objects,)
        Change of magnitude, common to all bands; positive is fading [mag/day].
    peak_mag : float64 array, shape (n_objects,)
        Brightest magnitude so far, in any band [mag].
    peak_mjd : float64 array, shape (n_objects,)
        When that was [MJD].
    """

    band: NDArray[np.int8]
    mag: Array
    mag_err: Array
    mag_mjd: Array
    slope: Array
    slope_err: Array
    peak_mag: Array
    peak_mjd: Array

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.mag)

    def take(self, index: ArrayLike) -> Self:
        """Objects at the given positions, or those where a mask is true."""
        index = np.asarray(index)
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def expected(self, mjd: ArrayLike) -> tuple[Array, Array]:
        """Magnitude expected at a time, and its error.

        The trend is damped: ``mag + slope * d``, where ``d = D (1 - exp(-days / D))`` and D
        is 15 days, so that no object brightens or fades for ever. The variance is that of
        the magnitude, of the trend, and of a random walk of 0.06 mag in a day.

        Parameters
        ----------
        mjd : float or float array, shape (n_objects,)
            When [MJD]; a time before ``mag_mjd`` counts as that time.

        Returns
        -------
        mag, err : float64 arrays, shape (n_objects,)
            In the object's own band [mag]; NaN where no light was seen.
        """
        when = np.ascontiguousarray(np.broadcast_to(np.asarray(mjd, dtype=np.float64), self.mag.shape))
        out = np.empty((2, len(self)))
        _expect(self.mag, self.mag_err, self.mag_mjd, self.slope, self.slope_err, when, out)
        return out[0], out[1]

    @property
    def band_name(self) -> NDArray[np.str_]:
        """Letter of each object's band; empty where no light was seen, shape (n_objects,)."""
        return np.array([*BANDS, ""])[self.band]


def measure_brightness(curves: LightCurves) -> Brightness:
    """Measure magnitude, trend and peak of every object from the observations given.

    The magnitude is the latest of the band whose last flux (at most 20 days before the
    object's last observation) has the highest significance, at least 3. The slope is that
    of parallel straight lines, one a band, through asinh magnitudes (Lupton et al. 1999,
    doi:10.1086/301004). An observation's weight falls by 1/e in 5 days. A Gaussian prior about no
    change (0.1 mag/day) keeps it near 0 where there is little to go by.

    Parameters
    ----------
    curves : LightCurves
        Objects with what has been observed so far; fluxes as they are to be seen, so not
        dereddened if a telescope's magnitude is wanted.

    Returns
    -------
    Brightness
        One row an object, in order.
    """
    flux, err = curves.flux.astype(np.float64), curves.flux_err.astype(np.float64)
    out = np.full((8, len(curves)), np.nan)
    out[0] = -1.0
    _measure(curves.offsets, curves.mjd, curves.band, flux, err, out)
    return Brightness(
        band=out[0].astype(np.int8),
        mag=out[1],
        mag_err=out[2],
        mag_mjd=out[3],
        slope=out[4],
        slope_err=out[5],
        peak_mag=out[6],
        peak_mjd=out[7],
    )


# Scalar code throughout: a vectorised exp or log may differ in its last bit with the number
# of objects that are measured together, and records must not depend on that.


@njit(cache=True, nogil=True)
def _measure(offsets, mjd, band, flux, err, out):  # type: ignore[no-untyped-def]
    """Fill rows of band, magnitude, error, time, slope, its error, peak magnitude, its time."""
    last = np.empty(N_BANDS, np.int64)
    sums, soft = np.empty((N_BANDS, 5)), np.empty(N_BANDS)
    for i in range(len(offsets) - 1):
        first, end = offsets[i], offsets[i + 1]
        if first == end:
            continue
        _last_of_each_band(mjd, band, first, end, last)
        best = _best_band(flux, err, last)
        if best >= 0:
            at = last[best]
            out[0, i], out[1, i] = best, _magnitude(flux[at])
            out[2, i], out[3, i] = MAG_PER_E_FOLD * err[at] / flux[at], mjd[at]
            out[4, i], out[5, i] = _slope(mjd, band, flux, err, first, end, sums, soft)
        lowest = 0.0
        for k in range(first, end):
            if flux[k] - PEAK_MARGIN * err[k] > lowest:
                lowest = flux[k] - PEAK_MARGIN * err[k]
                out[6, i], out[7, i] = flux[k], mjd[k]
        if lowest > 0.0:
            out[6, i] = _magnitude(out[6, i])


@njit(cache=True, nogil=True)
def _magnitude(flux: float) -> float:
    return AB_ZERO_POINT_NJY - MAG_PER_E_FOLD * math.log(flux)


@njit(cache=True, nogil=True)
def _expect(mag, mag_err, mag_mjd, slope, slope_err, when, out):  # type: ignore[no-untyped-def]
    """Magnitude and error at a time, with a damped trend."""
    for i in range(len(mag)):
        days = max(when[i] - mag_mjd[i], 0.0) if mag_mjd[i] == mag_mjd[i] else np.nan
        worn = DAMPING * (1.0 - math.exp(-days / DAMPING))
        trend = slope_err[i] * worn
        out[0, i] = mag[i] + slope[i] * worn
        out[1, i] = math.sqrt(mag_err[i] * mag_err[i] + trend * trend + DRIFT * DRIFT * days)


@njit(cache=True, nogil=True)
def _last_of_each_band(mjd: Any, band: Any, first: int, end: int, last: Any) -> None:
    """Position of each band's last recent observation, or -1."""
    last[:] = -1
    for k in range(end - 1, first - 1, -1):
        if mjd[end - 1] - mjd[k] > RECENT:
            break
        if last[band[k]] < 0:
            last[band[k]] = k


@njit(cache=True, nogil=True)
def _best_band(flux: Any, err: Any, last: Any) -> int:
    """The band whose last flux is the most significant, or -1 where none is."""
    best, highest = -1, SEEN_SNR
    for b in range(N_BANDS):
        if last[b] >= 0 and flux[last[b]] / err[last[b]] >= highest:
            best, highest = b, flux[last[b]] / err[last[b]]
    return best


@njit(cache=True, nogil=True)
def _slope(
    mjd: Any, band: Any, flux: Any, err: Any, first: int, end: int, sums: Any, soft: Any
) -> tuple[float, float]:
    """Slope common to all bands and its error [mag/day]."""
    sums[:] = 0.0
    soft[:] = 0.0
    for k in range(end - 1, first - 1, -1):
        t = mjd[k] - mjd[end - 1]
        if t < -5.0 * MEMORY:
            break
        b = band[k]
        if soft[b] == 0.0:
            soft[b] = 2.0 * SOFTENING * err[k]
        # asinh is the logarithm of what is bright, and linear where a logarithm fails
        y = math.asinh(flux[k] / soft[b])
        y_err = err[k] / math.hypot(flux[k], soft[b])
        w = math.exp(t / MEMORY) / (y_err * y_err + ERROR_FLOOR * ERROR_FLOOR)
        sums[b, 0] += w
        sums[b, 1] += w * t
        sums[b, 2] += w * t * t
        sums[b, 3] += w * y
        sums[b, 4] += w * t * y
    precision, weighted = (PRIOR_SLOPE / MAG_PER_E_FOLD) ** -2, 0.0
    for b in range(N_BANDS):
        w, t, tt, y, ty = sums[b]
        if w > 0.0:
            precision += max(tt - t * t / w, 0.0)
            weighted += ty - t * y / w
    slope = -MAG_PER_E_FOLD * weighted / precision
    return min(max(slope, -LARGEST_SLOPE), LARGEST_SLOPE), MAG_PER_E_FOLD / math.sqrt(precision)
