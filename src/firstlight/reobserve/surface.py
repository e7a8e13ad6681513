"""`Surfaces`: the flux of observed transients at any time and wavelength, by a Gaussian process.

The process is that of the features (decision 0020). Where it knows too little, it gives NaN; up to the last
observation before the trigger, a flux that it cannot tell from zero is zero. An object that was bright when
observing began has no known past.
"""

from dataclasses import dataclass

import numpy as np

from firstlight._types import BoolArray, FloatArray, IntArray
from firstlight.bands import EFFECTIVE_WAVELENGTH, N_BANDS
from firstlight.features.gaussian import (
    AMPLITUDES,
    BAND_KERNEL,
    BIN_WIDTH,
    SQRT3,
    TIME_SCALES,
    WAVELENGTH_SCALE,
    WINDOW,
    bin_object,
    normalise,
    predict_points,
    select,
)
from firstlight.features.metadata import reference_mjd
from firstlight.kernels import kernel
from firstlight.lightcurves import LightCurves

MAX_POINTS = 100
WAVELENGTHS = (3200.0, 10_600.0)  # where the six bands constrain the process [Angstrom]
QUIET_AFTER = 60.0  # days beyond the window after which a quiet object is taken to be zero
LARGEST_REST = 0.1  # of the peak that a quiet object may have left by then
LONGEST_REACH = 12.0  # days beyond the data for which it is believed
LARGEST_ERROR = 0.15  # of a value, over the larger of the peak's fifth and itself
QUIET_ERROR = 0.2  # of the band's peak; largest error of an observation that would have seen the object


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """Light curves, and the quantities that decide how each may be observed again."""

    curves: LightCurves
    reference: FloatArray  # (n_objects,); time from which phases count [MJD]
    # (n_objects,); peak flux of the brightest band with a detection [nJy]; 0 where there is no good surface
    peak: FloatArray
    # (n_objects,); whether it is quiet outside of the window of the process, so that it is zero there
    quiet: BoolArray

    @classmethod
    def of(cls, curves: LightCurves, min_detections: int = 8, min_snr: float = 12.0) -> "Surfaces":
        """Surfaces of extragalactic objects with enough good detections in the window of the process."""
        reference = reference_mjd(curves)
        phase = curves.mjd - np.repeat(reference, curves.n_obs)
        snr = curves.flux.astype(np.float64) / curves.flux_err
        inside = (phase >= WINDOW[0]) & (phase <= WINDOW[1])
        owner, n = curves.object_index, len(curves)
        detections = np.bincount(owner[inside & (snr > 5.0)], minlength=n)
        best = np.zeros(n)
        np.maximum.at(best, owner[inside], snr[inside])
        peak, left = np.zeros(n), np.zeros(n)
        bright = inside & (snr > 5.0)
        np.maximum.at(peak, owner[bright], curves.flux[bright])
        before, after = phase < WINDOW[0], phase > WINDOW[1] + QUIET_AFTER
        late = after & (snr > 3.0)
        np.maximum.at(left, owner[late], curves.flux[late])
        quiet = _no_excess(snr, owner, before, n)
        quiet &= _no_excess(snr, owner, after, n) | (left < LARGEST_REST * peak)
        good = (detections >= min_detections) & (best >= min_snr) & quiet & (curves.redshift != 0.0)
        return cls(curves, reference, np.where(good, peak, 0.0), quiet)

    def flux(self, index: int, days: FloatArray, wavelength: FloatArray) -> FloatArray:
        """Flux of an object at days since its reference and wavelengths [Angstrom]; NaN where unknown."""
        low, high = int(self.curves.offsets[index]), int(self.curves.offsets[index + 1])
        out = np.full(len(days), np.nan)
        _read(
            low, high, self.curves.mjd, self.curves.band, self.curves.flux, self.curves.flux_err,
            self.reference[index], np.asarray(days, np.float64), np.asarray(wavelength, np.float64), out,
        )  # fmt: skip
        return out


def _no_excess(snr: FloatArray, owner: IntArray, chosen: BoolArray, n: int) -> BoolArray:
    """Whether the chosen observations of each object scatter about zero as their errors say."""
    excess = np.bincount(owner[chosen], snr[chosen] ** 2, minlength=n)
    return np.asarray(excess <= 2.0 * np.bincount(owner[chosen], minlength=n) + 8.0)


@kernel
def _last_dark_day(points: FloatArray, n: int) -> float:
    """Day of the last observation before the trigger that would have seen it; the window's first without."""
    brightest = np.zeros(N_BANDS)
    for k in range(n):
        b = int(points[1, k])
        brightest[b] = max(brightest[b], points[2, k])
    dark = WINDOW[0]
    for k in range(n):
        error = np.sqrt(points[3, k])
        seen = points[2, k] > 2.0 * error
        if points[0, k] < 0.0 and not seen and error < QUIET_ERROR * brightest[int(points[1, k])]:
            dark = points[0, k]
    return dark


@kernel
def _read(
    low: int, high: int, mjd: FloatArray, band: IntArray, flux: FloatArray, flux_err: FloatArray,
    reference: float, days: FloatArray, wavelength: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    points = np.empty((4, high - low))
    n = bin_object(
        low, high, mjd, band, flux, flux_err, reference, WINDOW[0], WINDOW[1], BIN_WIDTH, MAX_POINTS, points
    )
    if n < 3 or len(days) == 0:
        return
    scale = normalise(points, n)
    U = np.empty((n, n))
    weights = np.empty((n, n))
    alpha = np.empty(n)
    choice = select(points, n, BAND_KERNEL, TIME_SCALES, AMPLITUDES, U, alpha, weights)
    n_at = len(days)
    correlation = np.empty((n_at, N_BANDS))
    for m in range(n_at):
        for b in range(N_BANDS):
            x = SQRT3 * abs(wavelength[m] - EFFECTIVE_WAVELENGTH[b]) / WAVELENGTH_SCALE
            correlation[m, b] = (1.0 + x) * np.exp(-x)
    work = np.empty((n, n_at))
    mean = np.empty(n_at)
    sd = np.empty(n_at)
    predict_points(points, n, U, alpha, choice[0], choice[1] * choice[1], days, correlation, work, mean, sd)
    last = points[0, n - 1] + LONGEST_REACH
    dark = _last_dark_day(points, n)
    never = min(dark, points[0, 0] - LONGEST_REACH)
    for m in range(n_at):
        if wavelength[m] < WAVELENGTHS[0] or wavelength[m] > WAVELENGTHS[1]:
            continue
        gone = days[m] > max(last, WINDOW[1] + QUIET_AFTER)  # objects with a surface are quiet by then
        if gone or days[m] <= never or (days[m] <= dark and abs(mean[m]) < 2.0 * sd[m]):
            out[m] = 0.0
        elif days[m] <= last and sd[m] <= LARGEST_ERROR * max(0.2, abs(mean[m])) + 0.02:
            out[m] = mean[m] * scale
