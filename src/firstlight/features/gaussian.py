"""A Gaussian process in time and wavelength, compiled; one object, float64 (decision 0020).

Product of two Matern-3/2 kernels with mean zero, after Boone (2019, doi:10.3847/1538-3881/ab5182);
algorithm 2.1 of Rasmussen & Williams (2006). Nights are averaged per band first, so that matrices stay
small. On sorted times exp(-|t_i - t_j| / l) is E_i / E_j, which needs one exponential per point instead of
one per pair.
"""

import math

import numpy as np

from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray
from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.kernels import kernel, n_below

WINDOW = (-100.0, 200.0)  # first and last day since the trigger
BIN_WIDTH = 0.45  # day; longest bin of the observations of one band
GRID_STEP = 2.0  # day; of the grid on which peaks, rises and falls are measured
TIME_SCALES = np.array([5.0, 10.0, 20.0, 40.0, 80.0, 160.0])  # day; grid of the kernel's time scale
AMPLITUDES = np.array([0.4, 1.2])  # grid of its amplitude over the object's flux scale
WAVELENGTH_SCALE = 6000.0  # Angstrom; Boone 2019

SQRT3 = math.sqrt(3.0)
LOG_2PI = math.log(2.0 * math.pi)
RELATIVE_FLOOR = 0.01  # of each flux: calibration, and variations that the kernel cannot follow
SCALE_FLOOR = 0.002  # of the flux scale: keeps the covariance well conditioned

_x = SQRT3 * np.abs(EFFECTIVE_WAVELENGTH[:, None] - EFFECTIVE_WAVELENGTH[None, :]) / WAVELENGTH_SCALE
#: Matern-3/2 correlation between the six bands, shape (6, 6).
BAND_KERNEL = (1.0 + _x) * np.exp(-_x)


@kernel
def matern32(distance: float, length: float) -> float:
    """Matern-3/2 correlation at a distance."""
    x = SQRT3 * abs(distance) / length
    return (1.0 + x) * math.exp(-x)


@kernel
def bin_nights(
    time: FloatArray,
    band: IntArray,
    flux: FloatArray,
    flux_err: FloatArray,
    low: float,
    high: float,
    width: float,
    out: FloatArray,
) -> int:
    """Average each band over nights by inverse variance; return the number of bins.

    Only times from `low` to `high` count; a bin is at most `width` days long. `out`, shape (4, n_obs or
    more), is filled with time, band, flux and variance of the bins, sorted by time.
    """
    open_bin = np.full(6, -1)
    n = 0
    for i in range(len(time)):
        if time[i] < low or time[i] > high:
            continue
        weight = 1.0 / (flux_err[i] * flux_err[i])
        k = open_bin[band[i]]
        if k < 0 or time[i] - out[0, k] > width:
            k = n
            n += 1
            open_bin[band[i]] = k
            out[0, k] = time[i]
            out[1, k] = band[i]
            out[2, k] = weight * flux[i]
            out[3, k] = weight
        else:
            out[2, k] += weight * flux[i]
            out[3, k] += weight
    for k in range(n):
        out[2, k] /= out[3, k]
        out[3, k] = 1.0 / out[3, k]
    return n


@kernel
def bin_object(
    start: int, stop: int, mjd: FloatArray, band: AnyArray, flux: Float32Array,
    flux_err: Float32Array, reference: float, low: float, high: float, width: float,
    max_points: int, out: FloatArray,
) -> int:  # fmt: skip
    """Bin the observations ``start:stop`` of a `LightCurves` with `bin_nights`, to `max_points` at most.

    Phases count from `reference` [MJD]; while there are too many bins, `width` grows.
    """
    n = stop - start
    time, f, e = np.empty(n), np.empty(n), np.empty(n)
    bands = np.empty(n, dtype=np.int64)
    for i in range(n):
        time[i] = mjd[start + i] - reference
        bands[i] = band[start + i]
        f[i] = flux[start + i]
        e[i] = flux_err[start + i]
    n = bin_nights(time, bands, f, e, low, high, width, out)
    while n > max_points:
        width *= 1.5
        n = bin_nights(time, bands, f, e, low, high, width, out)
    return n


@kernel
def normalise(points: FloatArray, n: int) -> float:
    """Divide fluxes by the object's scale, add the error floors; return the scale.

    The scale is the highest |flux| of the significant points, or of all points if none is significant.
    """
    significant = 0.0
    highest = 0.0
    for i in range(n):
        size = abs(points[2, i])
        highest = max(highest, size)
        if size * size > 25.0 * points[3, i]:
            significant = max(significant, size)
    scale = significant if significant > 0.0 else highest
    if not scale > 0.0:
        scale = math.sqrt(points[3, 0]) if n > 0 else 1.0
    for i in range(n):
        points[2, i] /= scale
        floor = RELATIVE_FLOOR * points[2, i]
        points[3, i] = points[3, i] / (scale * scale) + floor * floor + SCALE_FLOOR * SCALE_FLOOR
    return scale


@kernel(inner=True, fastmath=True)
def _covariance(
    points: FloatArray, n: int, weights: FloatArray, rate: float, variance: float, U: FloatArray
) -> None:
    """Fill the upper triangle of U with the covariance of the points, noise included."""
    up = np.empty(n)
    down = np.empty(n)
    for i in range(n):
        x = rate * (points[0, i] - points[0, 0])
        up[i] = math.exp(x)
        down[i] = math.exp(-x)
    for i in range(n):
        rise = variance * up[i]
        t = points[0, i]
        for j in range(i, n):
            U[i, j] = weights[i, j] * (1.0 + rate * (points[0, j] - t)) * (rise * down[j])
        U[i, i] += points[3, i]


@kernel(fastmath=True)
def factorise(U: FloatArray, n: int) -> bool:
    """Replace the upper triangle of a positive definite matrix by its factor: A = U^T U.

    Returns whether it is positive definite. Four earlier rows are taken at a time, so that every inner
    loop is a contiguous multiply-add without a reduction.
    """
    for i in range(n):
        k = 0
        while k + 3 < i:
            a, b, c, d = U[k, i], U[k + 1, i], U[k + 2, i], U[k + 3, i]
            for j in range(i, n):
                U[i, j] -= a * U[k, j] + b * U[k + 1, j] + c * U[k + 2, j] + d * U[k + 3, j]
            k += 4
        while k < i:
            a = U[k, i]
            for j in range(i, n):
                U[i, j] -= a * U[k, j]
            k += 1
        if not U[i, i] > 0.0:
            return False
        inverse = 1.0 / math.sqrt(U[i, i])
        for j in range(i, n):
            U[i, j] *= inverse
    return True


@kernel(inner=True, fastmath=True)
def _solve(U: FloatArray, n: int, flux: FloatArray, alpha: FloatArray) -> float:
    """Solve U^T U alpha = flux; return the log-likelihood of `flux`."""
    log_det = 0.0
    power = 0.0
    for i in range(n):
        alpha[i] = flux[i]
    for i in range(n):  # forward, by columns of U^T so that rows of U are contiguous
        alpha[i] /= U[i, i]
        log_det += math.log(U[i, i])
        power += alpha[i] * alpha[i]
        x = alpha[i]
        for j in range(i + 1, n):
            alpha[j] -= x * U[i, j]
    for i in range(n - 1, -1, -1):  # backward
        total = alpha[i]
        for j in range(i + 1, n):
            total -= U[i, j] * alpha[j]
        alpha[i] = total / U[i, i]
    return -0.5 * power - log_det - 0.5 * n * LOG_2PI


@kernel
def select(
    points: FloatArray,
    n: int,
    band_kernel: FloatArray,
    time_scales: FloatArray,
    amplitudes: FloatArray,
    U: FloatArray,
    alpha: FloatArray,
    weights: FloatArray,
) -> tuple[float, float, float]:
    """Choose (time scale, amplitude, log-likelihood) by likelihood and condition on `n` points.

    The time scale is chosen first at the geometric-middle amplitude, then the amplitude. `points` has
    shape (4, n or more), as from `bin_nights` and `normalise`. U, alpha and weights are workspace; U and
    alpha hold the factor and K^-1 f of the choice on return.
    """
    for i in range(n):
        for j in range(i, n):
            weights[i, j] = band_kernel[int(points[1, i]), int(points[1, j])]
    middle = math.sqrt(amplitudes[0] * amplitudes[-1])
    best = -np.inf
    time_scale = time_scales[-1]
    for trial in time_scales:
        _covariance(points, n, weights, SQRT3 / trial, middle * middle, U)
        if factorise(U, n):
            score = _solve(U, n, points[2], alpha)
            if score > best:
                best, time_scale = score, trial
    best = -np.inf
    amplitude = middle
    for trial in amplitudes:
        _covariance(points, n, weights, SQRT3 / time_scale, trial * trial, U)
        if factorise(U, n):
            score = _solve(U, n, points[2], alpha)
            if score > best:
                best, amplitude = score, trial
    if amplitude != amplitudes[-1]:  # else U and alpha already hold it
        _covariance(points, n, weights, SQRT3 / time_scale, amplitude * amplitude, U)
        factorise(U, n)
        best = _solve(U, n, points[2], alpha)
    return time_scale, amplitude, best


@kernel(fastmath=True)
def predict_grid(
    points: FloatArray,
    n: int,
    alpha: FloatArray,
    time_scale: float,
    variance: float,
    grid: FloatArray,
    sums: FloatArray,
) -> None:
    """Fill `sums`, shape (6, n_grid), with ``variance * sum over the band's points of alpha k(t, t_i)``.

    The posterior mean at grid time t [day, ascending] and wavelength w is ``sum_b k(w, b) sums[b, t]``,
    since the kernel is a product.
    """
    rate = SQRT3 / time_scale
    n_grid = len(grid)
    up = np.empty(n_grid)
    down = np.empty(n_grid)
    for m in range(n_grid):
        up[m] = math.exp(rate * (grid[m] - grid[0]))
        down[m] = 1.0 / up[m]
    sums[:] = 0.0
    for i in range(n):
        b = int(points[1, i])
        t = points[0, i]
        x = math.exp(rate * (t - grid[0]))
        first_after = n_below(grid, t)
        before = variance * alpha[i] / x
        after = variance * alpha[i] * x
        for m in range(first_after):
            sums[b, m] += before * (1.0 + rate * (t - grid[m])) * up[m]
        for m in range(first_after, n_grid):
            sums[b, m] += after * (1.0 + rate * (grid[m] - t)) * down[m]


@kernel(fastmath=True)
def predict_points(
    points: FloatArray,
    n: int,
    U: FloatArray,
    alpha: FloatArray,
    time_scale: float,
    variance: float,
    time: FloatArray,
    correlation: FloatArray,
    work: FloatArray,
    mean: FloatArray,
    sd: FloatArray,
) -> None:
    """Posterior mean and standard deviation over the flux scale, shape (n_at,), at `time` [day].

    `correlation`, shape (n_at, 6), is the wavelength correlation of each place with the six bands;
    `work`, shape (n or more, n_at or more), is workspace.
    """
    n_at = len(time)
    rate = SQRT3 / time_scale
    for m in range(n_at):
        mean[m] = 0.0
        sd[m] = variance
    for i in range(n):
        b = int(points[1, i])
        for m in range(n_at):
            x = rate * abs(time[m] - points[0, i])
            work[i, m] = variance * correlation[m, b] * (1.0 + x) * math.exp(-x)
            mean[m] += alpha[i] * work[i, m]
    for i in range(n):
        for k in range(i):
            a = U[k, i]
            for m in range(n_at):
                work[i, m] -= a * work[k, m]
        inverse = 1.0 / U[i, i]
        for m in range(n_at):
            work[i, m] *= inverse
            sd[m] -= work[i, m] * work[i, m]
    for m in range(n_at):
        sd[m] = math.sqrt(max(sd[m], 0.0))
