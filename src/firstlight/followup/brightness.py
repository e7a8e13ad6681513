"""Magnitude, trend and peak of an object, and its expected magnitude on the next night.

The model is simple: for some days the flux of every band changes by the same fraction per
day. That is accurate enough to find targets that will be too faint tomorrow (decision 0090 has
the errors). An object's numbers depend only on its own observations so far.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight._types import BoolArray, FloatArray, StrArray
from firstlight.bands import AB_ZERO_POINT_NJY, BANDS, N_BANDS
from firstlight.constants import MAG_PER_E_FOLD
from firstlight.kernels import kernel
from firstlight.lightcurves import LightCurves

MEMORY = 5.0  # days in which the weight of an observation falls by 1/e
RECENT = 20.0  # days; older fluxes do not give the current magnitude
SEEN_SNR = 3.0  # signal-to-noise ratio of a flux that gives a magnitude
PEAK_MARGIN = 2.0  # sigma subtracted from a flux before it is compared with the peak
ERROR_FLOOR = 0.03  # about mag; error of the model
PRIOR_SLOPE = 0.1  # mag/day; prior scatter of slopes among transients
SOFTENING = 1.0  # asinh softening, in errors of a band's last flux
LARGEST_SLOPE = 1.5  # mag/day
DAMPING = 15.0  # days in which a trend decays by 1/e
VARIATION = 0.3  # mag; scatter of a variable object about its latest magnitude
DRIFT = 0.06  # mag per square root of a day; random walk beside the trend


@dataclass(frozen=True, slots=True, eq=False)
class Brightness:
    """Brightness of n objects; NaN (band -1) without a significant flux."""

    # (n_objects,); band with the most significant recent flux, index into `firstlight.bands.BANDS`
    band: NDArray[np.int8]
    # (n_objects,); latest AB magnitude in that band and its error [mag]
    mag: FloatArray
    mag_err: FloatArray
    mag_mjd: FloatArray  # (n_objects,); time of that magnitude [MJD]
    # (n_objects,); change of magnitude, common to all bands; positive is fading [mag/day]
    slope: FloatArray
    slope_err: FloatArray
    peak_mag: FloatArray  # (n_objects,); brightest magnitude so far, in any band [mag]
    peak_mjd: FloatArray  # (n_objects,); time of the peak [MJD]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.mag)

    def take(self, index: ArrayLike) -> Self:
        """Objects at the given positions, or those where a mask is true."""
        index = np.asarray(index)
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def expected(self, mjd: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Expected magnitude at a time, and its error.

        The trend is damped: ``mag + slope * d``, where ``d = D (1 - exp(-days / D))`` and D
        is 15 days. The variance is the sum of those of the magnitude, of the trend, and of a
        random walk of 0.06 mag per square root of a day.

        Parameters
        ----------
        mjd : float or float array, shape (n_objects,)
            Time [MJD]; before ``mag_mjd`` it counts as ``mag_mjd``.

        Returns
        -------
        mag, err : float64 arrays, shape (n_objects,)
            In the band of `band` [mag]; NaN without a significant flux.
        """
        when = np.ascontiguousarray(np.broadcast_to(np.asarray(mjd, dtype=np.float64), self.mag.shape))
        out = np.empty((2, len(self)))
        _expect(self.mag, self.mag_err, self.mag_mjd, self.slope, self.slope_err, when, out)
        return out[0], out[1]

    def without_trend(self, variable: BoolArray) -> Self:
        """The same, but variable objects keep their brightness: a straight line says nothing about them.

        Parameters
        ----------
        variable : bool array, shape (n_objects,)
            Objects that brighten and fade again and again; their magnitude gets an error of 0.3 mag more.
        """
        return replace(
            self,
            slope=np.where(variable, 0.0, self.slope),
            slope_err=np.where(variable, 0.0, self.slope_err),
            mag_err=np.where(variable, np.hypot(self.mag_err, VARIATION), self.mag_err),
        )

    @property
    def band_name(self) -> StrArray:
        """Letter of each object's band; empty without a significant flux, shape (n_objects,)."""
        return np.array([*BANDS, ""])[self.band]


def measure_brightness(curves: LightCurves) -> Brightness:
    """Measure magnitude, trend and peak of every object.

    The magnitude is that of the most significant last flux of a band, at least 3 sigma and at
    most 20 days before the object's last observation. The slope is fitted to asinh magnitudes
    (Lupton et al. 1999, doi:10.1086/301004) as parallel lines, one per band. The weight of an
    observation falls by 1/e in 5 days; a Gaussian prior (0 +- 0.1 mag/day) keeps the slope near 0
    where there is little data.

    Parameters
    ----------
    curves : LightCurves
        Observations so far; not dereddened, if observed magnitudes are wanted.

    Returns
    -------
    Brightness
        One row per object, in order.
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


# Scalar code: the last bit of a vectorised exp or log depends on the number of objects, and
# records must not.


@kernel
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


@kernel
def _magnitude(flux: float) -> float:
    return AB_ZERO_POINT_NJY - MAG_PER_E_FOLD * math.log(flux)


@kernel
def _expect(mag, mag_err, mag_mjd, slope, slope_err, when, out):  # type: ignore[no-untyped-def]
    """Magnitude and error at a time, with a damped trend."""
    for i in range(len(mag)):
        days = max(when[i] - mag_mjd[i], 0.0) if mag_mjd[i] == mag_mjd[i] else np.nan
        worn = DAMPING * (1.0 - math.exp(-days / DAMPING))
        trend = slope_err[i] * worn
        out[0, i] = mag[i] + slope[i] * worn
        out[1, i] = math.sqrt(mag_err[i] * mag_err[i] + trend * trend + DRIFT * DRIFT * days)


@kernel(inner=True)
def _last_of_each_band(mjd: Any, band: Any, first: int, end: int, last: Any) -> None:
    """Position of each band's last recent observation, or -1."""
    last[:] = -1
    for k in range(end - 1, first - 1, -1):
        if mjd[end - 1] - mjd[k] > RECENT:
            break
        if last[band[k]] < 0:
            last[band[k]] = k


@kernel(inner=True)
def _best_band(flux: Any, err: Any, last: Any) -> int:
    """Band with the most significant last flux, or -1."""
    best, highest = -1, SEEN_SNR
    for b in range(N_BANDS):
        if last[b] >= 0 and flux[last[b]] / err[last[b]] >= highest:
            best, highest = b, flux[last[b]] / err[last[b]]
    return best


@kernel(inner=True)
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
        # asinh is logarithmic for bright and linear for faint or negative fluxes
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
