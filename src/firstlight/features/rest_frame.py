"""Rest-frame surfaces of bright training objects, from which templates are made.

A surface is an object's Gaussian process at rest-frame phases and wavelengths, over its value at the peak.
"""

import math

import numpy as np

from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray
from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.features.config import FeatureConfig
from firstlight.features.gaussian import (
    AMPLITUDES,
    BAND_KERNEL,
    BIN_WIDTH,
    GRID_STEP,
    TIME_SCALES,
    WAVELENGTH_SCALE,
    WINDOW,
    bin_object,
    matern32,
    normalise,
    predict_grid,
    select,
)
from firstlight.features.metadata import reference_mjd
from firstlight.kernels import kernel
from firstlight.lightcurves import LightCurves

# Grid of a surface and choice of its objects: as measured for decision 0020.
PHASES = np.arange(-24.0, 122.0, 4.0)  # rest-frame days from peak
REST_WAVELENGTHS = np.arange(1800.0, 10_500.0, 600.0)  # Angstrom
REFERENCE_WAVELENGTH = 5000.0  # Angstrom, rest; where surfaces and magnitudes are normalised
_PEAK_SNR = 12.0  # S/N of the Gaussian process at its peak that makes an object bright
_PER_CLASS = 120  # most objects of a class, the brightest first
_WAVELENGTHS = np.array(EFFECTIVE_WAVELENGTH)


def bright_surfaces(curves: LightCurves, config: FeatureConfig) -> tuple[FloatArray, IntArray]:
    """Normalised rest-frame surfaces of the bright objects, and their positions."""
    stack = np.full((len(curves), len(PHASES), len(REST_WAVELENGTHS)), np.nan)
    snr = np.zeros(len(curves))
    _surfaces_all(
        curves.offsets, curves.mjd, curves.band, curves.flux, curves.flux_err, reference_mjd(curves),
        curves.redshift.astype(np.float64), WINDOW[0], WINDOW[1], config.max_points, BIN_WIDTH, GRID_STEP,
        BAND_KERNEL, TIME_SCALES, AMPLITUDES, WAVELENGTH_SCALE, PHASES, REST_WAVELENGTHS, snr, stack,
    )  # fmt: skip
    spread = np.nan_to_num(curves.redshift_err / (1.0 + curves.redshift), nan=1.0)
    usable = np.isfinite(stack).any(axis=(1, 2)) & (snr > _PEAK_SNR) & (spread < 0.05)
    if usable.sum() < 8:  # rare classes: accept fainter objects
        usable = np.isfinite(stack).any(axis=(1, 2)) & (snr > 0.5 * _PEAK_SNR) & (spread < 0.15)
    order = np.argsort(-snr * usable, kind="stable")[: min(_PER_CLASS, int(usable.sum()))]
    return stack[order], order.astype(np.int64)


@kernel
def _surfaces_all(
    offsets: IntArray, mjd: FloatArray, band: AnyArray, flux: Float32Array,
    flux_err: Float32Array, reference: FloatArray, redshift: FloatArray, low: float, high: float,
    max_points: int, bin_width: float, step: float, band_kernel: FloatArray, time_scales: FloatArray,
    amplitudes: FloatArray, wavelength_scale: float, phase: FloatArray, wavelength: FloatArray,
    snr: FloatArray, stack: FloatArray,
) -> None:  # fmt: skip
    """Evaluate each object's process at rest phases and wavelengths, over its peak near 5000 A."""
    U = np.empty((max_points, max_points))
    weights = np.empty((max_points, max_points))
    alpha = np.empty(max_points)
    grid = np.arange(low, high + 0.5 * step, step)
    sums = np.empty((6, len(grid)))
    rest_sums = np.empty((6, len(phase)))
    for i in range(len(offsets) - 1):
        stretch = 1.0 + redshift[i]
        if offsets[i + 1] - offsets[i] < 8 or REFERENCE_WAVELENGTH * stretch > 10_500.0:
            continue
        points = np.empty((4, offsets[i + 1] - offsets[i]))
        n = bin_object(
            offsets[i], offsets[i + 1], mjd, band, flux, flux_err, reference[i], low, high, bin_width,
            max_points, points,
        )  # fmt: skip
        if n < 8:
            continue
        normalise(points, n)
        choice = select(points, n, band_kernel, time_scales, amplitudes, U, alpha, weights)
        variance = choice[1] * choice[1]
        predict_grid(points, n, alpha, choice[0], variance, grid, sums)
        light = np.zeros(len(grid))
        for b in range(6):
            light += matern32(REFERENCE_WAVELENGTH * stretch - _WAVELENGTHS[b], wavelength_scale) * sums[b]
        first = int(np.searchsorted(grid, points[0, 0]))
        last = int(np.searchsorted(grid, points[0, n - 1]))
        if last - first < 3:
            continue
        peak = first + int(np.argmax(light[first:last]))
        if peak <= first + 1 or peak >= last - 2 or light[peak] <= 0.0:
            continue  # the rise or the fall was not seen
        noise = 0.0
        for j in range(n):
            noise += 1.0 / points[3, j]
        snr[i] = light[peak] * math.sqrt(noise / n)
        times = grid[peak] + stretch * phase
        predict_grid(points, n, alpha, choice[0], variance, times, rest_sums)
        for p in range(len(phase)):
            if times[p] < points[0, 0] - 5.0 or times[p] > points[0, n - 1] + 5.0:
                continue
            for w in range(len(wavelength)):
                observed = wavelength[w] * stretch
                if 3300.0 <= observed <= 10_300.0:
                    value = 0.0
                    for b in range(6):
                        value += matern32(observed - _WAVELENGTHS[b], wavelength_scale) * rest_sums[b, p]
                    stack[i, p, w] = value / light[peak]


def median_surface(stack: FloatArray, phase: FloatArray, wavelength: FloatArray) -> FloatArray:
    """Median over objects, NaN cells filled from the nearest wavelength, then phase.

    Cells that fewer than three objects cover count as not covered.
    """
    covered = np.isfinite(stack).sum(axis=0) >= 3
    filled = np.where(covered[None], stack, 0.0)
    surface = np.where(covered, np.nanmedian(np.where(np.isnan(filled), np.nan, filled), axis=0), np.nan)
    for p in range(len(phase)):
        good = np.isfinite(surface[p])
        if good.any():
            surface[p] = np.interp(wavelength, wavelength[good], surface[p, good])
    known = np.isfinite(surface[:, 0])
    if not known.any():
        return np.zeros_like(surface)
    for w in range(len(wavelength)):
        # nothing before the first covered phase: a template must not emit before explosion
        surface[:, w] = np.interp(phase, phase[known], surface[known, w], left=0.0)
    return np.maximum(surface, 0.0)
