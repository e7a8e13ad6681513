"""Features of the Gaussian process: peaks, rises and falls, colours, absolute magnitudes.

Each kernel writes its features of one object to ``out[k:]``, in the order of `registry.gaussian_features`,
and returns the next position. Further than `MARGIN` days from the observations the process falls back to
its prior, and features are NaN.
"""

import math

import numpy as np

from firstlight._types import FloatArray, IntArray
from firstlight.features.gaussian import predict_points
from firstlight.features.statistics import bounded
from firstlight.kernels import highest, kernel, lowest, n_below

MARGIN = 10.0  # day; how far beyond the observations the process is used
REST_RANGE = (3000.0, 11000.0)  # Angstrom; observed wavelengths at which it is used
_LEAST_PEAK = 0.05  # of the depth of the lowest light; the least height of a peak that others are divided by


@kernel(inner=True)
def _crossing(
    curve: FloatArray, grid: FloatArray, peak: int, level: float, step: int, low: int, high: int
) -> float:
    """Days from the peak to the first time below `level` of it; NaN if the curve never falls so far."""
    limit = level * curve[peak]
    if not curve[peak] > 0.0:
        return np.nan
    m = peak
    while low <= m + step < high:
        if curve[m + step] < limit:
            share = (curve[m] - limit) / (curve[m] - curve[m + step])
            return abs(grid[m] + share * (grid[m + step] - grid[m]) - grid[peak])
        m += step
    return np.nan


@kernel(inner=True)
def _rise_fall(
    curve: FloatArray, grid: FloatArray, peak: int, low: int, high: int, scale: float, out: FloatArray, k: int
) -> int:
    for side in range(2):
        step = -1 if side == 0 else 1
        out[k] = _crossing(curve, grid, peak, 0.5, step, low, high) * scale
        out[k + 1] = _crossing(curve, grid, peak, 0.2, step, low, high) * scale
        k += 2
    return k


@kernel
def write_fit(
    points: FloatArray,
    n: int,
    scale: float,
    choice: tuple[float, float, float],
    alpha: FloatArray,
    out: FloatArray,
    k: int,
) -> int:
    """Write the fit and its quality: the first eight Gaussian-process features."""
    sums = np.zeros((6, 2))
    chi2 = chi2_zero = chi2_constant = 0.0
    for i in range(n):
        b = int(points[1, i])
        sums[b, 0] += points[2, i] / points[3, i]
        sums[b, 1] += 1.0 / points[3, i]
    for i in range(n):
        b = int(points[1, i])
        # f - mean = N K^-1 f, so that residuals need no prediction
        chi2 += alpha[i] * alpha[i] * points[3, i]
        chi2_zero += points[2, i] ** 2 / points[3, i]
        chi2_constant += (points[2, i] - sums[b, 0] / sums[b, 1]) ** 2 / points[3, i]
    out[k], out[k + 1] = n, scale
    out[k + 2], out[k + 3], out[k + 4] = choice[0], choice[1], choice[2] / n
    out[k + 5], out[k + 6], out[k + 7] = chi2 / n, chi2_zero / n, chi2_constant / n
    return k + 8


@kernel
def write_observer_frame(
    grid: FloatArray,
    mean: FloatArray,
    light: FloatArray,
    span: tuple[int, int],
    last: float,
    at_epoch: FloatArray,
    sd_epoch: FloatArray,
    epochs: FloatArray,
    pairs: IntArray,
    scale: float,
    out: FloatArray,
    k: int,
) -> int:
    """Write the features of the surface in observed bands and days.

    `grid` holds days since the trigger, `mean`, shape (6, n_grid), the posterior mean over the flux
    `scale` [nJy], `light` its sum over griz. `span` is the first grid point in use, and one past the
    last; `last` is the day of the last observation. `at_epoch` and `sd_epoch`, shape (n_epochs + 1, 6),
    are mean and error at the trigger and at `epochs` days from the peak, NaN outside the margin.
    """
    low, high = span
    peak = highest(light, low, high)
    top = light[peak]
    here = min(max(n_below(grid, last), low + 1), high - 1)
    trigger = min(max(n_below(grid, 0.0), low + 1), high - 1)
    # Where the light is nowhere clearly positive, a division by its peak would be one by almost nothing.
    size = max(top, _LEAST_PEAK * abs(light[lowest(light, low, high)]), 1e-9)
    step = grid[1] - grid[0]
    out[k], out[k + 1], out[k + 2] = grid[peak], last - grid[peak], top * scale
    out[k + 3] = light[lowest(light, low, high)] / size
    out[k + 4] = light[here] / size
    out[k + 5] = (light[here] - light[here - 1]) / step / size
    out[k + 6] = (light[trigger] - light[trigger - 1]) / step / size
    k = _rise_fall(light, grid, peak, low, high, 1.0, out, k + 7)
    reference = 1 + n_below(epochs, 0.0)
    for b in range(6):
        own = highest(mean[b], low, high)
        out[k], out[k + 1] = mean[b, own] * scale, grid[own] - grid[peak]
        out[k + 2] = at_epoch[reference, b] / (sd_epoch[reference, b] + 1e-9)
        out[k + 3] = sd_epoch[reference, b]
        out[k + 4] = mean[b, lowest(mean[b], low, high)]
        k = _rise_fall(mean[b], grid, own, low, high, 1.0, out, k + 5)
    for e in range(len(at_epoch)):
        for p in range(len(pairs)):
            a, b = pairs[p, 0], pairs[p, 1]
            out[k] = bounded(at_epoch[e, a], at_epoch[e, b], sd_epoch[e, a] + sd_epoch[e, b])
            k += 1
    for e in range(1, len(at_epoch)):
        if e != reference:
            for b in range(6):
                noise = sd_epoch[e, b] + sd_epoch[reference, b]
                out[k] = bounded(at_epoch[e, b], at_epoch[reference, b], noise)
                k += 1
    return k


@kernel
def write_rest_frame(
    grid: FloatArray,
    rest: FloatArray,
    light: FloatArray,
    span: tuple[int, int],
    peak: int,
    band_peaks: FloatArray,
    at_epoch: FloatArray,
    sd_epoch: FloatArray,
    epochs: FloatArray,
    pairs: IntArray,
    scale: float,
    redshift: float,
    distance_modulus: float,
    out: FloatArray,
    k: int,
) -> int:
    """Write the features at rest wavelengths and in rest-frame days.

    `rest`, shape (4, n_grid), is the posterior mean at the rest wavelengths, NaN outside REST_RANGE;
    `band_peaks` the peak of each band or its error, the larger [nJy]; `at_epoch` and `sd_epoch`, shape
    (n_epochs, 4), mean and error at rest-frame `epochs`. Absolute magnitudes are those of
    max(flux, its error).
    """
    reference = n_below(epochs, 0.0)
    for e in range(len(epochs)):
        for p in range(len(pairs)):
            a, b = pairs[p, 0], pairs[p, 1]
            out[k] = bounded(at_epoch[e, a], at_epoch[e, b], sd_epoch[e, a] + sd_epoch[e, b])
            k += 1
    for e in range(len(epochs)):
        if e != reference:
            for w in range(4):
                noise = sd_epoch[e, w] + sd_epoch[reference, w]
                out[k] = bounded(at_epoch[e, w], at_epoch[reference, w], noise)
                k += 1
    # a source's flux density per frequency falls with 1 + z beside the distance
    offset = 31.4 - distance_modulus + 2.5 * math.log10(1.0 + redshift)
    for w in range(4):
        flux = max(at_epoch[reference, w], sd_epoch[reference, w]) * scale
        out[k] = offset - 2.5 * math.log10(flux) if flux > 0.0 else np.nan
        k += 1
    for b in range(6):
        out[k] = 31.4 - distance_modulus - 2.5 * math.log10(band_peaks[b])
        k += 1
    shrink = 1.0 / (1.0 + redshift)
    low, high = span
    k = _rise_fall(light, grid, peak, low, high, shrink, out, k)
    for w in range(1, 3):
        if np.isfinite(rest[w, low]):
            own = highest(rest[w], low, high)
            _rise_fall(rest[w], grid, own, low, high, shrink, out, k)
        k += 4
    return k


@kernel
def read_epochs(
    points: FloatArray,
    n: int,
    U: FloatArray,
    alpha: FloatArray,
    choice: tuple[float, float, float],
    times: FloatArray,
    correlation: FloatArray,
    within: tuple[float, float],
    work: FloatArray,
    mean: FloatArray,
    sd: FloatArray,
) -> None:
    """Posterior mean and error, shape (n_times, n_wavelengths), NaN where not in use.

    `times` are days since the trigger, used in the range `within`; `correlation`, shape (n_wavelengths, 6),
    is that with the six bands, NaN for a wavelength not in use.
    """
    n_times, n_wavelengths = mean.shape
    n_at = 0
    at = np.empty(n_times * n_wavelengths)
    rows = np.empty((n_times * n_wavelengths, 6))
    where = np.empty(n_times * n_wavelengths, dtype=np.int64)
    for e in range(n_times):
        for w in range(n_wavelengths):
            mean[e, w] = sd[e, w] = np.nan
            if within[0] <= times[e] <= within[1] and np.isfinite(correlation[w, 0]):
                at[n_at] = times[e]
                for b in range(6):
                    rows[n_at, b] = correlation[w, b]
                where[n_at] = e * n_wavelengths + w
                n_at += 1
    flat_mean = np.empty(n_at)
    flat_sd = np.empty(n_at)
    variance = choice[1] * choice[1]
    predict_points(points, n, U, alpha, choice[0], variance, at[:n_at], rows[:n_at], work, flat_mean, flat_sd)
    for m in range(n_at):
        mean[where[m] // n_wavelengths, where[m] % n_wavelengths] = flat_mean[m]
        sd[where[m] // n_wavelengths, where[m] % n_wavelengths] = flat_sd[m]
