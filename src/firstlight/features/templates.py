"""Supernova templates from the training objects, and their fits to light curves.

A template is the median rest-frame Gaussian-process surface of a class's bright training objects.
`Templates.match` fits each over time of peak, stretch, colour and amplitude at each redshift of a grid; the
host redshift, if known, is a prior on that grid (decision 0020).
"""

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

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
from firstlight.taxonomy import LONGEST_CLASS

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
_NEXT = np.uint64(1)
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
        odd = [name for name in names if not name.isprintable() or not 0 < len(name) <= LONGEST_CLASS]
        if odd or len(set(names)) < len(names):
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
def _place(
    grouped: FloatArray, first: IntArray, weights: Float32Array, rate: float, origin: float, n_padded: int,
    starts: AnyArray, placed: Float32Array, bounds: IntArray,
) -> None:  # fmt: skip
    """Place the observations in the rows of the templates, at one redshift and stretch.

    `grouped` holds times band after band, from ``first[b]`` on, `weights`, shape (2, n), what each adds to
    power and overlap. Of those within the rows, `starts` gets the first place and `placed`, shape (3, n), the
    share of the phase before and the weights; each band is filled up to a multiple of four without weight.
    """
    m = 0
    for b in range(6):
        bounds[b] = m
        for i in range(first[b], first[b + 1]):
            x = grouped[i] * rate - origin
            j = math.floor(x)
            start = n_padded - _N_PEAKS - 2 - j  # of the value at j for the first trial
            if start < 1 or start + _N_PEAKS > n_padded:
                continue
            starts[m] = start
            placed[0, m] = np.float32(x - j)
            placed[1, m] = weights[0, i]
            placed[2, m] = weights[1, i]
            m += 1
        while m % 4 > 0:
            starts[m] = 1
            placed[0, m] = placed[1, m] = placed[2, m] = np.float32(0.0)
            m += 1
    bounds[6] = m


@kernel(inner=True, fastmath=True)
def _scan(
    starts: AnyArray, placed: Float32Array, bounds: IntArray, table: Float32Array, own: Float32Array
) -> None:
    """Power and overlap of a template with each band's observations, at all trial peak times.

    Trial peaks are one phase step apart, so that they share one interpolation weight and lie side by side
    in the time-reversed, zero-padded `table`, shape (6, n_padded). `own`, shape (12 * _N_PEAKS,), gets the
    power of each band, then the overlaps. The inner loop is most of the cost: it has one constant length,
    indices that cannot be negative, and four observations a pass, so that vectors stay in registers.
    """
    for b in range(6):
        row = table[b]
        p, q = b * _N_PEAKS, (6 + b) * _N_PEAKS
        for m in range(_N_PEAKS):
            own[p + m] = own[q + m] = np.float32(0.0)
        for i in range(bounds[b], bounds[b + 1], 4):
            s0, s1, s2, s3 = starts[i], starts[i + 1], starts[i + 2], starts[i + 3]
            a0, a1, a2, a3 = placed[0, i], placed[0, i + 1], placed[0, i + 2], placed[0, i + 3]
            r0, r1 = np.float32(1.0) - a0, np.float32(1.0) - a1
            r2, r3 = np.float32(1.0) - a2, np.float32(1.0) - a3
            w0, w1, w2, w3 = placed[1, i], placed[1, i + 1], placed[1, i + 2], placed[1, i + 3]
            f0, f1, f2, f3 = placed[2, i], placed[2, i + 1], placed[2, i + 2], placed[2, i + 3]
            for m in range(_N_PEAKS):
                k = np.uint64(m)
                v0 = r0 * row[s0 + k] + a0 * row[s0 + k - _NEXT]
                v1 = r1 * row[s1 + k] + a1 * row[s1 + k - _NEXT]
                v2 = r2 * row[s2 + k] + a2 * row[s2 + k - _NEXT]
                v3 = r3 * row[s3 + k] + a3 * row[s3 + k - _NEXT]
                own[p + m] = (((own[p + m] + w0 * v0 * v0) + w1 * v1 * v1) + w2 * v2 * v2) + w3 * v3 * v3
                own[q + m] = (((own[q + m] + f0 * v0) + f1 * v1) + f2 * v2) + f3 * v3


@kernel(inner=True, fastmath=True)
def _add_bands(own: Float32Array, tilt: FloatArray, sums: FloatArray) -> None:
    """Sums of the linear fit in amplitude and colour, shape (5 * _N_PEAKS,), over the bands of `_scan`."""
    n = _N_PEAKS
    u0, u1, u2, u3, u4, u5 = tilt[0], tilt[1], tilt[2], tilt[3], tilt[4], tilt[5]
    for m in range(_N_PEAKS):
        a0, a1, a2 = np.float64(own[m]), np.float64(own[n + m]), np.float64(own[2 * n + m])
        a3, a4, a5 = np.float64(own[3 * n + m]), np.float64(own[4 * n + m]), np.float64(own[5 * n + m])
        b0, b1, b2 = np.float64(own[6 * n + m]), np.float64(own[7 * n + m]), np.float64(own[8 * n + m])
        b3, b4, b5 = np.float64(own[9 * n + m]), np.float64(own[10 * n + m]), np.float64(own[11 * n + m])
        sums[m] = ((((a0 + a1) + a2) + a3) + a4) + a5
        sums[n + m] = ((((b0 + b1) + b2) + b3) + b4) + b5
        sums[2 * n + m] = ((((u0 * a0 + u1 * a1) + u2 * a2) + u3 * a3) + u4 * a4) + u5 * a5
        sums[3 * n + m] = (
            (((u0 * u0 * a0 + u1 * u1 * a1) + u2 * u2 * a2) + u3 * u3 * a3) + u4 * u4 * a4
        ) + u5 * u5 * a5
        sums[4 * n + m] = ((((u0 * b0 + u1 * b1) + u2 * b2) + u3 * b3) + u4 * b4) + u5 * b5


@kernel(inner=True)
def _improve(sums: FloatArray, stretch: float, step: float, fits: FloatArray, best: FloatArray) -> None:
    """Improve score, amplitude, colour, stretch and peak of one template at one redshift.

    Whether a trial is usable is decided after its arithmetic, so that trials go through vectors.
    """
    penalty = (math.log(stretch) / _STRETCH_SD) ** 2
    n = _N_PEAKS
    for m in range(_N_PEAKS):
        power, overlap, tilted = sums[m], sums[n + m], sums[2 * n + m]
        amplitude = overlap / power
        ridge = 1.0 / (_COLOUR_SD * amplitude) ** 2
        det = power * (sums[3 * n + m] + ridge) - tilted**2
        a = ((sums[3 * n + m] + ridge) * overlap - tilted * sums[4 * n + m]) / det
        c = (power * sums[4 * n + m] - tilted * overlap) / det
        usable = power > 0.0 and overlap > 0.0
        fits[m] = a * overlap + c * sums[4 * n + m] - penalty if usable else -penalty
        fits[n + m] = a if usable else 0.0
        fits[2 * n + m] = c
    scores, amplitudes, tilts = fits[:n], fits[n : 2 * n], fits[2 * n :]
    top = -1
    for m in range(_N_PEAKS):
        if amplitudes[m] > 0.0 and scores[m] > best[0]:
            best[0], best[1], best[2], best[3] = scores[m], amplitudes[m], tilts[m] / amplitudes[m], stretch
            top = m
    if top >= 0:
        shift = 0.0
        if 0 < top < _N_PEAKS - 1:  # the vertex of a parabola through three trials
            bend = scores[top - 1] - 2.0 * scores[top] + scores[top + 1]
            if bend < 0.0:
                shift = 0.5 * (scores[top - 1] - scores[top + 1]) / bend
                best[0] -= 0.25 * (scores[top - 1] - scores[top + 1]) * shift
        best[4] = (_FIRST_PEAK + (top + shift) * step) * stretch


@kernel(inline="always")  # into its one caller, not twice through the compiler
def _fit_cells(
    grouped: FloatArray, first: IntArray, weights: Float32Array, tables: Float32Array, tilts: FloatArray,
    phase: FloatArray, grid: FloatArray, starts: IntArray, placed: Float32Array, cells: FloatArray,
) -> None:  # fmt: skip
    """Fit all templates at all redshifts: unstretched, then stretched where that is not hopeless."""
    n_templates, n_redshifts = tables.shape[0], tables.shape[1]
    bounds = np.empty(7, dtype=np.int64)
    own = np.empty(12 * _N_PEAKS, np.float32)
    sums, fits = np.empty(5 * _N_PEAKS), np.empty(3 * _N_PEAKS)
    step = phase[1] - phase[0]
    origin = (_FIRST_PEAK + phase[0]) / step
    least = -np.inf
    for s in range(len(_STRETCHES)):
        if s == 1:
            gain = _best_score(cells)
            least = gain - _HOPELESS[0] - _HOPELESS[1] * gain
        for j in range(n_redshifts):
            ready = False
            for k in range(n_templates):
                if cells[k, j, 0] < least:
                    continue
                if not ready:
                    rate = 1.0 / ((1.0 + grid[j]) * _STRETCHES[s] * step)
                    _place(grouped, first, weights, rate, origin, tables.shape[3], starts, placed, bounds)
                    ready = True
                _scan(starts, placed, bounds, tables[k, j], own)
                _add_bands(own, tilts[j], sums)
                _improve(sums, _STRETCHES[s], step, fits, cells[k, j])


@kernel(inner=True)
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


@kernel(inner=True)
def _best_score(cells: FloatArray) -> float:
    best = cells[0, 0, 0]
    for k in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            best = max(best, cells[k, j, 0])
    return best


@kernel(inline="always")  # into its one caller, not twice through the compiler
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
    longest = 1
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    points, grouped = np.empty((4, longest)), np.empty(longest)
    weights, placed = np.empty((2, longest), np.float32), np.empty((3, longest + 18), np.float32)
    starts, first = np.empty(longest + 18, dtype=np.uint64), np.empty(7, dtype=np.int64)
    for i in range(len(offsets) - 1):
        if offsets[i + 1] == offsets[i]:
            continue
        n = bin_object(
            offsets[i], offsets[i + 1], mjd, band, flux, flux_err, reference[i], low, high, bin_width,
            max_points, points,
        )  # fmt: skip
        if n == 0:
            continue
        scale = normalise(points, n)
        chi2_zero = _group(points, n, grouped, first, weights)
        for k in range(n_templates):
            for j in range(n_redshifts):
                cells[k, j, 0] = cells[k, j, 1] = cells[k, j, 2] = 0.0
                cells[k, j, 3] = 1.0
                cells[k, j, 4] = np.nan
        _fit_cells(grouped, first, weights, tables, tilts, phase, grid, starts, placed, cells)
        sigma = redshift_err[i] if redshift_err[i] > 0.0 else 0.0
        _write_matches(
            cells, n, max(chi2_zero, 1e-9), scale, redshift[i], sigma, grid, modulus, magnitude,
            magnitude_sd, values[i],
        )  # fmt: skip


@kernel
def _group(points: FloatArray, n: int, grouped: FloatArray, first: IntArray, weights: Float32Array) -> float:
    """Times and weights of the points, band after band; return chi2 of no flux at all."""
    m = 0
    for b in range(6):
        first[b] = m
        for i in range(n):
            if int(points[1, i]) == b:
                weight = _weight(points, i)
                grouped[m] = points[0, i]
                weights[0, m] = weight
                weights[1, m] = weight * points[2, i]
                m += 1
    first[6] = m
    chi2_zero = 0.0
    for i in range(n):
        chi2_zero += points[2, i] ** 2 * _weight(points, i)
    return chi2_zero


@kernel(inner=True)
def _weight(points: FloatArray, i: int) -> Any:
    """Inverse variance of a point, with that of the template, float32."""
    return np.float32(1.0 / (points[3, i] + (_MODEL_FLOOR * points[2, i]) ** 2))
