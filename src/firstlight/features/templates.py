"""Supernova templates from the training objects, and their fits to light curves.

A template is the median rest-frame Gaussian-process surface of a class's bright training objects.
`Templates.match` fits each over time of peak, stretch, colour and amplitude at each redshift of a grid; the
host redshift, if known, is a prior on that grid (decision 0020).
"""

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray, StrArray
from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.cosmology import distance_modulus
from firstlight.errors import BundleError, DataError
from firstlight.features.config import LARGEST_REDSHIFT, LEAST_REDSHIFT, FeatureConfig
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
from firstlight.features.registry import template_features
from firstlight.kernels import highest, kernel
from firstlight.lightcurves import LightCurves
from firstlight.storage import AGAIN, ArraySpec, read_arrays, read_state, write_arrays, write_state
from firstlight.taxonomy import CLASSES

# Grid of a template and choice of its objects: as measured for decision 0020.
_PHASES = np.arange(-24.0, 122.0, 4.0)  # rest-frame days from peak
_REST_WAVELENGTHS = np.arange(1800.0, 10_500.0, 600.0)  # Angstrom
_PEAK_SNR = 12.0  # S/N of the Gaussian process at its peak that makes an object bright
_PER_CLASS = 120  # most objects of a class, the brightest first

_WAVELENGTHS = np.array(EFFECTIVE_WAVELENGTH)
_STRETCHES = np.array([1.0, 0.8, 1.25, 0.65, 1.5])  # the middle one first: it finds the peak
_STRETCH_SD = 0.25  # of ln stretch
_COLOUR_SD = 0.3  # of the colour term
_FIRST_PEAK = -20.0  # rest-frame day; earliest trial peak since the trigger
_N_PEAKS = 16  # trial peaks, one phase step apart
_NOTHING_FOUND = 50.0  # chi2 penalty of a template that fits only with negative amplitude
_HOPELESS = (8.0, 0.2)  # chi2 behind the best, absolute and relative, at which stretches are not tried
_MODEL_FLOOR = 0.08  # of each flux: objects of one class differ by more than their errors
_REFERENCE_WAVELENGTH = 5000.0  # Angstrom, rest; where templates and magnitudes are normalised
_TILT_WAVELENGTH = 3000.0  # Angstrom; unit of the colour term
# Of a file: physical ranges, in which the compiled fits stay finite.
_LEAST_STEP = 0.01  # day; least step of the phases
_SPECS = {
    "surface": ArraySpec("float32", ("n_templates", "n_phases", "n_wavelengths"), -1e6, 1e6),
    "phase": ArraySpec("float64", ("n_phases",), -1e4, 1e4, "rising"),
    "wavelength": ArraySpec("float64", ("n_wavelengths",), 1.0, 1e7, "rising"),
    "magnitude": ArraySpec("float64", ("n_templates",), -100.0, 100.0),
    "magnitude_sd": ArraySpec("float64", ("n_templates",), 1e-3, 1e3),
    "redshift": ArraySpec("float64", ("n_redshifts",), LEAST_REDSHIFT, LARGEST_REDSHIFT, "rising"),
}


@dataclass(frozen=True, eq=False)
class Templates:
    """Rest-frame templates and how luminous their classes are.

    Attributes
    ----------
    names : tuple of str
        Class of each template.
    surface : float32 array, shape (n_templates, n_phases, n_wavelengths)
        Flux density per frequency over that at the peak near 5000 A.
    phase : float64 array, shape (n_phases,)
        Rest-frame days from peak.
    wavelength : float64 array, shape (n_wavelengths,)
        Rest wavelength [Angstrom].
    magnitude, magnitude_sd : float64 arrays, shape (n_templates,)
        Absolute AB magnitude at the peak near 5000 A and its scatter.
    redshift : float64 array, shape (n_redshifts,)
        Grid of redshifts for the fits.
    """

    names: tuple[str, ...]
    surface: Float32Array
    phase: FloatArray
    wavelength: FloatArray
    magnitude: FloatArray
    magnitude_sd: FloatArray
    redshift: FloatArray

    @classmethod
    def fit(
        cls,
        curves: LightCurves,
        labels: StrArray,
        config: FeatureConfig | None = None,
    ) -> Self:
        """Make templates from labelled training objects with a known redshift.

        Parameters
        ----------
        curves : LightCurves
            Preprocessed training objects.
        labels : str array, shape (n_objects,)
            Their classes.
        config : FeatureConfig, optional
            Settings of the Gaussian process and the templates.

        Raises
        ------
        DataError
            If lengths disagree.
        """
        config = config or FeatureConfig()
        labels = np.asarray(labels, dtype=np.str_)
        if len(labels) != len(curves):
            raise DataError(f"{len(curves)} light curves but {len(labels)} labels")
        names, surfaces, members = [], [], []
        for name in config.templates.classes:
            where = np.flatnonzero((labels == name) & (curves.redshift > 0.0))
            stack, used = _surfaces(curves.take(where), config)
            if len(used) >= 3:
                names.append(name)
                surfaces.append(_median_surface(stack, _PHASES, _REST_WAVELENGTHS))
                members.append(where[used])
        shape = (len(names), len(_PHASES), len(_REST_WAVELENGTHS))
        templates = cls(
            names=tuple(names),
            surface=np.array(surfaces, dtype=np.float32).reshape(shape),
            phase=_PHASES,
            wavelength=_REST_WAVELENGTHS,
            magnitude=np.full(len(names), -18.0),
            magnitude_sd=np.full(len(names), 10.0),
            redshift=np.array(config.templates.redshifts),
        )
        return templates._with_magnitudes(curves, members, config)

    def _with_magnitudes(self, curves: LightCurves, members: list[IntArray], config: FeatureConfig) -> Self:
        """The same templates with the luminosities that their own members show."""
        magnitude, scatter = self.magnitude.copy(), self.magnitude_sd.copy()
        columns = [feature.name for feature in template_features(self.names)]
        for k, (name, where) in enumerate(zip(self.names, members, strict=True)):
            fits = self.match(curves.take(where), config)
            values = fits[:, columns.index(f"template_absolute_{name}")].astype(np.float64)
            values = values[np.isfinite(values)]
            if len(values) >= 3:
                magnitude[k] = np.median(values)
                scatter[k] = max(1.4826 * np.median(np.abs(values - magnitude[k])), 0.3)
        return replace(self, magnitude=magnitude, magnitude_sd=scatter)

    def match(self, curves: LightCurves, config: FeatureConfig | None = None) -> Float32Array:
        """Fit every template to every object.

        Parameters
        ----------
        curves : LightCurves
            Preprocessed light curves.
        config : FeatureConfig, optional
            Binning of the observations.

        Returns
        -------
        float32 array, shape (n_objects, n_features)
            Columns as in `firstlight.features.registry.template_features`.
        """
        config = config or FeatureConfig()
        values = np.full((len(curves), len(template_features(self.names))), np.nan, dtype=np.float32)
        if not self.names or not len(curves):
            return values
        tables, tilts = self._tables
        _match_all(
            curves.offsets, curves.mjd, curves.band, curves.flux, curves.flux_err, reference_mjd(curves),
            curves.redshift.astype(np.float64), curves.redshift_err.astype(np.float64), WINDOW[0],
            WINDOW[1], config.max_points, BIN_WIDTH, tables, tilts, self.phase, self.redshift,
            distance_modulus(self.redshift), self.magnitude, self.magnitude_sd, values,
        )  # fmt: skip
        return values

    @cached_property
    def _tables(self) -> tuple[Float32Array, FloatArray]:
        """Templates in each band and redshift, padded and reversed in time; bands' colour levers."""
        rest = _WAVELENGTHS[None, :] / (1.0 + self.redshift[:, None])  # (redshift, band)
        tilts = np.clip((rest - _REFERENCE_WAVELENGTH) / _TILT_WAVELENGTH, -1.0, 1.5)
        position = np.interp(rest, self.wavelength, np.arange(len(self.wavelength)))
        low = np.minimum(position.astype(np.int64), len(self.wavelength) - 2)
        share = (position - low)[None, :, :, None]
        by_wavelength = np.moveaxis(self.surface.astype(np.float64), 2, 0)  # (wavelength, template, phase)
        first, second = np.moveaxis(by_wavelength[low], 2, 0), np.moveaxis(by_wavelength[low + 1], 2, 0)
        rows = (1.0 - share) * first + share * second  # (template, redshift, band, phase)
        pad = [(0, 0)] * 3 + [(_N_PEAKS + 1, _N_PEAKS + 1)]
        return np.ascontiguousarray(np.pad(rows, pad)[..., ::-1], dtype=np.float32), tilts

    def save(self, folder: Path) -> None:
        """Write ``templates.safetensors`` and ``templates.json`` into a folder."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "names"}
        write_arrays(folder / "templates.safetensors", arrays)
        write_state(folder / "templates.json", {"names": list(self.names)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        BundleError
            If a file is missing or does not hold templates.
        """
        names = read_state(folder / "templates.json", _Saved).names
        path = folder / "templates.safetensors"
        it = cls(names=names, **read_arrays(path, _SPECS, n_templates=len(names)))
        phase_step = np.diff(it.phase)
        if not set(names) <= set(CLASSES) or len(set(names)) < len(names):
            raise BundleError(f"{folder}: templates {list(names)} are not different classes; {AGAIN}")
        if min(len(it.phase), len(it.wavelength)) < 2 or not len(it.redshift):
            raise BundleError(f"{path}: too few phases, wavelengths or redshifts; {AGAIN}")
        if phase_step.min() < _LEAST_STEP or not np.allclose(phase_step, phase_step[0]):
            raise BundleError(f"{path}: phases in steps that are not equal; {AGAIN}")
        return it


@dataclass(frozen=True)
class _Saved:
    """The content of ``templates.json``."""

    names: tuple[str, ...]


def _median_surface(stack: FloatArray, phase: FloatArray, wavelength: FloatArray) -> FloatArray:
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


def _surfaces(curves: LightCurves, config: FeatureConfig) -> tuple[FloatArray, IntArray]:
    """Normalised rest-frame surfaces of the bright objects, and their positions."""
    stack = np.full((len(curves), len(_PHASES), len(_REST_WAVELENGTHS)), np.nan)
    snr = np.zeros(len(curves))
    _surfaces_all(
        curves.offsets, curves.mjd, curves.band, curves.flux, curves.flux_err, reference_mjd(curves),
        curves.redshift.astype(np.float64), WINDOW[0], WINDOW[1], config.max_points, BIN_WIDTH, GRID_STEP,
        BAND_KERNEL, TIME_SCALES, AMPLITUDES, WAVELENGTH_SCALE, _PHASES, _REST_WAVELENGTHS, snr, stack,
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
        if offsets[i + 1] - offsets[i] < 8 or _REFERENCE_WAVELENGTH * stretch > 10_500.0:
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
            light += matern32(_REFERENCE_WAVELENGTH * stretch - _WAVELENGTHS[b], wavelength_scale) * sums[b]
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


@kernel(fastmath=True)
def _scan(
    points: FloatArray,
    n: int,
    weight: Float32Array,
    table: Float32Array,
    tilt: FloatArray,
    rate: float,
    origin: float,
    power: Float32Array,
    overlap: Float32Array,
    sums: FloatArray,
) -> None:
    """Sums of the linear fit at all trial peak times.

    Trial peaks are one phase step apart, so that they share one interpolation weight and lie side by side
    in the time-reversed, zero-padded `table`, shape (6, n_padded). The inner loop is all of the cost.
    """
    n_trials = sums.shape[1]
    n_padded = table.shape[1]
    power[:] = np.float32(0.0)
    overlap[:] = np.float32(0.0)
    for i in range(n):
        x = points[0, i] * rate - origin
        j = math.floor(x)
        start = n_padded - n_trials - 2 - j  # of the value at j for the first trial
        if start < 1 or start + n_trials > n_padded:
            continue
        share = np.float32(x - j)
        rest = np.float32(1.0) - share
        b = int(points[1, i])
        w = weight[i]
        wf = np.float32(w * points[2, i])
        row, p, q = table[b], power[b], overlap[b]
        for m in range(n_trials):
            value = rest * row[start + m] + share * row[start + m - 1]
            p[m] += w * value * value
            q[m] += wf * value
    sums[:] = 0.0
    for b in range(6):
        u = tilt[b]
        for m in range(n_trials):
            sums[0, m] += power[b, m]
            sums[1, m] += overlap[b, m]
            sums[2, m] += u * power[b, m]
            sums[3, m] += u * u * power[b, m]
            sums[4, m] += u * overlap[b, m]


@kernel
def _fit_cell(
    points: FloatArray, n: int, weight: Float32Array, table: Float32Array, tilt: FloatArray, dilation: float,
    first_phase: float, step: float, sums: FloatArray, stretches: FloatArray,
    best: FloatArray,
) -> None:  # fmt: skip
    """Improve score, amplitude, colour, stretch and peak of one template at one redshift."""
    n_trials = sums.shape[1]
    power, overlap = np.empty((6, n_trials), np.float32), np.empty((6, n_trials), np.float32)
    scores = np.empty(n_trials)
    for stretch in stretches:
        penalty = (math.log(stretch) / _STRETCH_SD) ** 2
        rate = 1.0 / (dilation * stretch * step)
        origin = (_FIRST_PEAK + first_phase) / step
        _scan(points, n, weight, table, tilt, rate, origin, power, overlap, sums)
        top = -1
        for m in range(n_trials):
            scores[m] = -penalty
            if sums[0, m] > 0.0 and sums[1, m] > 0.0:
                amplitude = sums[1, m] / sums[0, m]
                ridge = 1.0 / (_COLOUR_SD * amplitude) ** 2
                det = sums[0, m] * (sums[3, m] + ridge) - sums[2, m] ** 2
                a = ((sums[3, m] + ridge) * sums[1, m] - sums[2, m] * sums[4, m]) / det
                c = (sums[0, m] * sums[4, m] - sums[2, m] * sums[1, m]) / det
                scores[m] = a * sums[1, m] + c * sums[4, m] - penalty
                if a > 0.0 and scores[m] > best[0]:
                    best[0], best[1], best[2], best[3] = scores[m], a, c / a, stretch
                    top = m
        if top >= 0:
            shift = 0.0
            if 0 < top < n_trials - 1:  # the vertex of a parabola through three trials
                bend = scores[top - 1] - 2.0 * scores[top] + scores[top + 1]
                if bend < 0.0:
                    shift = 0.5 * (scores[top - 1] - scores[top + 1]) / bend
                    best[0] -= 0.25 * (scores[top - 1] - scores[top + 1]) * shift
            best[4] = (_FIRST_PEAK + (top + shift) * step) * stretch


@kernel
def _marginalise(
    cells: FloatArray, temper: float, absolute: FloatArray, prior: FloatArray, magnitude: FloatArray,
    magnitude_sd: FloatArray, best: IntArray, evidence: FloatArray,
) -> None:  # fmt: skip
    """Best redshift of every template, and its evidence over the whole grid below the strongest."""
    n_templates, n_redshifts, _ = cells.shape
    scores = np.empty(n_redshifts)
    for k in range(n_templates):
        for j in range(n_redshifts):
            scores[j] = cells[k, j, 0] / temper - prior[j]
            if np.isfinite(absolute[k, j]):
                scores[j] -= ((absolute[k, j] - magnitude[k]) / magnitude_sd[k]) ** 2
            else:
                scores[j] -= _NOTHING_FOUND
        best[k] = highest(scores, 0, n_redshifts)
        top = scores[best[k]]
        total = 0.0
        for j in range(n_redshifts):
            total += math.exp(0.5 * (scores[j] - top))
        evidence[k] = 0.5 * top + math.log(total / n_redshifts)
    strongest = evidence[highest(evidence, 0, n_templates)]
    for k in range(n_templates):
        evidence[k] -= strongest


@kernel
def _best_score(cells: FloatArray) -> float:
    best = cells[0, 0, 0]
    for k in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            best = max(best, cells[k, j, 0])
    return best


@kernel
def _write_matches(
    cells: FloatArray, n: int, chi2_zero: float, scale: float, redshift: float, redshift_err: float,
    grid: FloatArray, modulus: FloatArray, magnitude: FloatArray, magnitude_sd: FloatArray, out: Float32Array,
) -> None:  # fmt: skip
    """Write the fits, marginalised over redshift, without and with the host's as a prior."""
    n_templates, n_redshifts, _ = cells.shape
    absolute = np.full((n_templates, n_redshifts), np.nan)
    for k in range(n_templates):
        for j in range(n_redshifts):
            flux = cells[k, j, 1] * scale
            if flux > 0.0:
                absolute[k, j] = 31.4 - 2.5 * math.log10(flux / (1.0 + grid[j])) - modulus[j]
    # no template is exact: errors count as large as the best fit needs them to be
    temper = max(1.0, (chi2_zero - _best_score(cells)) / n)
    prior = np.zeros(n_redshifts)
    evidence = np.empty(n_templates)
    best = np.empty(n_templates, dtype=np.int64)
    _marginalise(cells, temper, absolute, prior, magnitude, magnitude_sd, best, evidence)
    for k in range(n_templates):
        out[4 * k] = cells[k, best[k], 0] / chi2_zero
        out[4 * k + 1] = evidence[k]
        out[4 * k + 2] = grid[best[k]]
        out[4 * k + 3] = absolute[k, best[k]]
    if not redshift > 0.0:
        return
    for j in range(n_redshifts):
        spacing = 0.5 * (grid[min(j + 1, n_redshifts - 1)] - grid[max(j - 1, 0)])
        prior[j] = (grid[j] - redshift) ** 2 / (redshift_err**2 + (0.25 * spacing) ** 2)
    _marginalise(cells, temper, absolute, prior, magnitude, magnitude_sd, best, evidence)
    gain = 0.0
    for k in range(n_templates):
        gain = max(gain, cells[k, best[k], 0])
    at = 4 * n_templates
    for k in range(n_templates):
        cell = cells[k, best[k]]
        out[at], out[at + 1] = cell[0] / chi2_zero, (gain - cell[0]) / n
        out[at + 2], out[at + 3] = evidence[k], grid[best[k]]
        out[at + 4], out[at + 5] = cell[3], cell[2]
        out[at + 6], out[at + 7] = absolute[k, best[k]], cell[4]
        at += 8


@kernel
def _match_all(
    offsets: IntArray, mjd: FloatArray, band: AnyArray, flux: Float32Array,
    flux_err: Float32Array, reference: FloatArray, redshift: FloatArray, redshift_err: FloatArray, low: float,
    high: float, max_points: int, bin_width: float, tables: Float32Array, tilts: FloatArray,
    phase: FloatArray,
    grid: FloatArray, modulus: FloatArray, magnitude: FloatArray, magnitude_sd: FloatArray,
    values: Float32Array,
) -> None:  # fmt: skip
    n_templates, n_redshifts = tables.shape[0], tables.shape[1]
    cells = np.empty((n_templates, n_redshifts, 5))
    sums = np.empty((5, _N_PEAKS))
    step = phase[1] - phase[0]
    for i in range(len(offsets) - 1):
        if offsets[i + 1] == offsets[i]:
            continue
        points = np.empty((4, offsets[i + 1] - offsets[i]))
        n = bin_object(
            offsets[i], offsets[i + 1], mjd, band, flux, flux_err, reference[i], low, high, bin_width,
            max_points, points,
        )  # fmt: skip
        if n == 0:
            continue
        scale = normalise(points, n)
        weight = np.empty(n, np.float32)
        chi2_zero = 0.0
        for j in range(n):
            weight[j] = 1.0 / (points[3, j] + (_MODEL_FLOOR * points[2, j]) ** 2)
            chi2_zero += points[2, j] ** 2 * weight[j]
        cells[:] = 0.0
        cells[:, :, 3] = 1.0
        cells[:, :, 4] = np.nan
        for part in range(2):
            # first unstretched; the stretches only where that is not hopeless
            stretches = _STRETCHES[:1] if part == 0 else _STRETCHES[1:]
            gain = _best_score(cells)
            least = gain - _HOPELESS[0] - _HOPELESS[1] * gain
            for k in range(n_templates):
                for j in range(n_redshifts):
                    if cells[k, j, 0] >= least:
                        _fit_cell(
                            points, n, weight, tables[k, j], tilts[j], 1.0 + grid[j], phase[0], step, sums,
                            stretches, cells[k, j],
                        )  # fmt: skip
        sigma = redshift_err[i] if redshift_err[i] > 0.0 else 0.0
        _write_matches(
            cells, n, max(chi2_zero, 1e-9), scale, redshift[i], sigma, grid, modulus, magnitude,
            magnitude_sd, values[i],
        )  # fmt: skip
