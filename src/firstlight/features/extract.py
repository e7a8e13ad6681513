"""`extract`: all features of many light curves, one pass per object."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from firstlight._types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray
from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.cosmology import distance_modulus
from firstlight.errors import DataError
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
from firstlight.features.metadata import distance, metadata, reference_mjd
from firstlight.features.nights import MOST_POINTS, N_POINTS, T_DETECTED, T_HIGHEST, T_TRIGGER, write_points
from firstlight.features.registry import (
    COLOUR_WINDOWS,
    COLOURS,
    EPOCHS,
    LAGS,
    REST_COLOURS,
    REST_EPOCHS,
    REST_WAVELENGTHS,
    Feature,
    gaussian_features,
    metadata_features,
    statistics_features,
    template_features,
)
from firstlight.features.statistics import write_statistics
from firstlight.features.surface import (
    MARGIN,
    REST_RANGE,
    read_epochs,
    write_fit,
    write_observer_frame,
    write_rest_frame,
)
from firstlight.features.templates import Templates
from firstlight.kernels import highest, kernel, n_below
from firstlight.lightcurves import LightCurves

_LAGS = np.array(LAGS)
_WINDOWS = np.array(COLOUR_WINDOWS)
_PAIRS = np.array(COLOURS, dtype=np.int64)
_REST_PAIRS = np.array(REST_COLOURS, dtype=np.int64)
_EPOCHS = np.array(EPOCHS)
_REST_EPOCHS = np.array(REST_EPOCHS)
_REST_WAVELENGTHS = np.array(REST_WAVELENGTHS)
_WAVELENGTHS = np.array(EFFECTIVE_WAVELENGTH)


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of n objects.

    Attributes
    ----------
    features : tuple of Feature
        Name and meaning of each column.
    values : float32 array, shape (n_objects, n_features)
        NaN where undefined.
    """

    features: tuple[Feature, ...]
    values: Float32Array

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(feature.name for feature in self.features)

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.values)

    def column(self, name: str) -> Float32Array:
        """Values of one feature, shape (n_objects,).

        Raises
        ------
        DataError
            If there is no such feature.
        """
        if name not in self.names:
            raise DataError(f"no feature {name!r} among {len(self.names)}")
        return self.values[:, self.names.index(name)]


def features(templates: Templates | None = None) -> tuple[Feature, ...]:
    """Columns of the table that `extract` returns."""
    columns = metadata_features() + statistics_features() + gaussian_features()
    return columns if templates is None else columns + template_features(templates.names)


def extract(
    curves: LightCurves, config: FeatureConfig | None = None, templates: Templates | None = None
) -> FeatureTable:
    """Compute all features of some light curves.

    A truncated light curve gives the features that a stream has at that time.

    Parameters
    ----------
    curves : LightCurves
        Preprocessed light curves, of any length.
    config : FeatureConfig, optional
        Settings of the Gaussian process.
    templates : Templates, optional
        Templates to fit as well; their features follow the others.

    Returns
    -------
    FeatureTable
        One row per object, NaN where a feature is undefined.
    """
    config = config or FeatureConfig()
    columns = features()
    values = np.full((len(curves), len(columns)), np.nan, dtype=np.float32)
    modulus, modulus_err = distance(curves)
    values[:, : len(metadata_features())] = metadata(curves, modulus, modulus_err)
    reference = reference_mjd(curves)
    grid = _grid()
    detected_span = np.empty(len(curves))
    first = len(metadata_features())
    end = first + len(statistics_features())
    _statistics_all(
        curves.offsets, curves.mjd, curves.band, curves.flux, curves.flux_err, curves.detected,
        reference, _LAGS, _WINDOWS, _PAIRS, first, end, values, detected_span,
    )  # fmt: skip
    _gaussian_all(
        curves.offsets, curves.mjd, curves.band, curves.flux, curves.flux_err, reference,
        np.asarray(curves.redshift, dtype=np.float64), modulus, detected_span, grid, BAND_KERNEL, TIME_SCALES,
        AMPLITUDES, WAVELENGTH_SCALE, config.max_points, BIN_WIDTH, end, values,
    )  # fmt: skip
    if templates is None:
        return FeatureTable(columns, values)
    return FeatureTable(features(templates), np.hstack([values, templates.match(curves, config)]))


def read_nights(rows: FloatArray, redshift: Float32Array) -> Float32Array:
    """Features of the Gaussian process from the nightly points of some objects.

    Parameters
    ----------
    rows : float64 array, shape (n_objects, ROW_SIZE)
        From `nights.advance_rows`.
    redshift : float32 array, shape (n_objects,)
        Host redshift; 0 for a Milky Way object, NaN for unknown.

    Returns
    -------
    float32 array, shape (n_objects, n_features)
        NaN where a feature is undefined; columns are those of `registry.nights_features`.
    """
    offsets = np.concatenate([[0], np.cumsum(rows[:, N_POINTS].astype(np.int64))])
    n, trigger = offsets[-1], rows[:, T_TRIGGER]
    mjd, band, flux, err = np.empty(n), np.empty(n, np.int8), np.empty(n, np.float32), np.empty(n, np.float32)
    write_points(rows, offsets, mjd, band, flux, err)
    z = np.where(redshift > 0.0, redshift, np.nan).astype(np.float64)
    values = np.full((len(rows), len(gaussian_features())), np.nan, dtype=np.float32)
    _gaussian_all(
        offsets, mjd, band, flux, err, np.where(np.isnan(trigger), rows[:, T_HIGHEST], trigger), z,
        distance_modulus(z), rows[:, T_DETECTED] - trigger, _grid(), BAND_KERNEL, TIME_SCALES, AMPLITUDES,
        WAVELENGTH_SCALE, MOST_POINTS, BIN_WIDTH, 0, values,
    )  # fmt: skip
    return values


def _grid() -> FloatArray:
    """Days since the trigger on which the process is measured."""
    return np.arange(WINDOW[0], WINDOW[1] + 0.5 * GRID_STEP, GRID_STEP)


@kernel(inner=True)
def _span(grid: FloatArray, first: float, last: float) -> tuple[int, int]:
    """Grid points within the margin of the observations: the first and one past the last."""
    low = n_below(grid, first - MARGIN)
    high = n_below(grid, last + MARGIN)
    return min(low, len(grid) - 2), max(high, 2)


@kernel
def _combine(correlation: FloatArray, sums: FloatArray, out: FloatArray) -> None:
    for w in range(len(correlation)):
        for m in range(sums.shape[1]):
            out[w, m] = correlation[w, 0] * sums[0, m]
        for b in range(1, 6):
            for m in range(sums.shape[1]):
                out[w, m] += correlation[w, b] * sums[b, m]


@kernel(inline="always")  # into its one caller, not twice through the compiler
def _gaussian_object(
    points: FloatArray, n: int, scale: float, redshift: float, modulus: float, grid: FloatArray,
    band_kernel: FloatArray, time_scales: FloatArray, amplitudes: FloatArray, wavelength_scale: float,
    U: FloatArray, work: FloatArray, weights: FloatArray, out: FloatArray, k: int, detected_span: float,
) -> int:  # fmt: skip
    """Fit one object's process and write its features."""
    alpha = np.empty(n)
    choice = select(points, n, band_kernel, time_scales, amplitudes, U, alpha, weights)
    k = write_fit(points, n, scale, choice, alpha, out, k)
    sums = np.empty((6, len(grid)))
    predict_grid(points, n, alpha, choice[0], choice[1] * choice[1], grid, sums)
    mean = np.empty((6, len(grid)))
    _combine(band_kernel, sums, mean)
    light = np.empty(len(grid))
    for m in range(len(grid)):
        light[m] = mean[1, m] + mean[2, m] + mean[3, m] + mean[4, m]
    last = points[0, n - 1]
    span = _span(grid, points[0, 0], last)
    peak = highest(light, span[0], span[1])
    within = (points[0, 0] - MARGIN, last + MARGIN)
    times = np.empty(1 + len(_EPOCHS))
    times[0] = 0.0
    for j in range(len(_EPOCHS)):
        times[1 + j] = grid[peak] + _EPOCHS[j]
    at = np.empty((len(times), 6))
    sd = np.empty((len(times), 6))
    read_epochs(points, n, U, alpha, choice, times, band_kernel, within, work, at, sd)
    first_band = k + 11
    k = write_observer_frame(grid, mean, light, span, last, at, sd, _EPOCHS, _PAIRS, scale, out, k)
    if not redshift > 0.0:
        return k
    correlation = np.empty((4, 6))
    for w in range(4):
        wavelength = _REST_WAVELENGTHS[w] * (1.0 + redshift)
        for b in range(6):
            correlation[w, b] = matern32(wavelength - _WAVELENGTHS[b], wavelength_scale)
        if wavelength < REST_RANGE[0] or wavelength > REST_RANGE[1]:
            for b in range(6):
                correlation[w, b] = np.nan
    rest = np.empty((4, len(grid)))
    _combine(correlation, sums, rest)
    times = np.empty(len(_REST_EPOCHS))
    for j in range(len(_REST_EPOCHS)):
        times[j] = grid[peak] + (1.0 + redshift) * _REST_EPOCHS[j]
    at = np.empty((len(times), 4))
    sd = np.empty((len(times), 4))
    read_epochs(points, n, U, alpha, choice, times, correlation, within, work, at, sd)
    band_peaks = np.empty(6)
    for b in range(6):  # peak of a band, or its error at the peak of the summed light
        band_peaks[b] = max(out[first_band + 9 * b], out[first_band + 9 * b + 3] * scale)
    k = write_rest_frame(
        grid, rest, light, span, peak, band_peaks, at, sd, _REST_EPOCHS, _REST_PAIRS, scale,
        redshift, modulus, out, k,
    )  # fmt: skip
    out[k] = (last - grid[peak]) / (1.0 + redshift)
    out[k + 1] = detected_span / (1.0 + redshift)
    return k + 2


@kernel
def _statistics_all(
    offsets: IntArray, mjd: FloatArray, band: AnyArray, flux: Float32Array, flux_err: Float32Array,
    detected: BoolArray, reference: FloatArray, lags: FloatArray, windows: FloatArray, pairs: IntArray,
    start: int, end: int, values: Float32Array, detected_span: FloatArray,
) -> None:  # fmt: skip
    """Write each object's statistics in columns from start to end, and its days with detections."""
    n_features = end - start
    longest = 1
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    time, f, e = np.empty(longest), np.empty(longest), np.empty(longest)
    bands = np.empty(longest, dtype=np.int64)
    out = np.empty(n_features)
    for i in range(len(offsets) - 1):
        low = offsets[i]
        n = offsets[i + 1] - low
        if n == 0:
            values[i, start] = 0.0
            continue
        for j in range(n):
            time[j] = mjd[low + j] - reference[i]
            bands[j] = band[low + j]
            f[j] = flux[low + j]
            e[j] = flux_err[low + j]
        for j in range(n_features):
            out[j] = np.nan
        write_statistics(
            time[:n], bands[:n], f[:n], e[:n], detected[low : low + n], lags, windows, pairs, out, 0
        )
        for j in range(n_features):
            values[i, start + j] = out[j]
        detected_span[i] = out[4]


@kernel
def _gaussian_all(
    offsets: IntArray, mjd: FloatArray, band: AnyArray, flux: Float32Array, flux_err: Float32Array,
    reference: FloatArray, redshift: FloatArray, modulus: FloatArray, detected_span: FloatArray,
    grid: FloatArray, band_kernel: FloatArray, time_scales: FloatArray, amplitudes: FloatArray,
    wavelength_scale: float, max_points: int, bin_width: float, start: int,
    values: Float32Array,
) -> None:  # fmt: skip
    """Write each object's features of the Gaussian process in the columns from start on."""
    n_features = values.shape[1] - start
    longest = 1
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    points = np.empty((4, longest))
    U, weights = np.empty((max_points, max_points)), np.empty((max_points, max_points))
    work = np.empty((max_points, 64))
    out = np.empty(n_features)
    for i in range(len(offsets) - 1):
        if offsets[i + 1] == offsets[i]:
            continue
        n = bin_object(
            offsets[i], offsets[i + 1], mjd, band, flux, flux_err, reference[i], grid[0], grid[-1], bin_width,
            max_points, points,
        )  # fmt: skip
        if n == 0:
            continue
        for j in range(n_features):
            out[j] = np.nan
        scale = normalise(points, n)
        _gaussian_object(
            points, n, scale, redshift[i], modulus[i], grid, band_kernel, time_scales, amplitudes,
            wavelength_scale, U, work, weights, out, 0, detected_span[i],
        )  # fmt: skip
        for j in range(n_features):
            values[i, start + j] = out[j]
