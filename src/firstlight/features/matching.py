"""Kernels that fit templates to light curves, over peak time, stretch, colour and amplitude.

`match_all` takes the templates as `in_bands` lays them out. Each fit is repeated at each redshift of a grid,
over which the results are then marginalised.
"""

import math
from typing import Any

import numpy as np

from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray
from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.features.gaussian import bin_object, normalise
from firstlight.features.rest_frame import REFERENCE_WAVELENGTH
from firstlight.kernels import highest, kernel

_STRETCHES = np.array([1.0, 0.8, 1.25, 0.65, 1.5])  # the middle one first: it finds the peak
_STRETCH_SD = 0.25  # of ln stretch
_COLOUR_SD = 0.3  # of the colour term
_FIRST_PEAK = -20.0  # rest-frame day; earliest trial peak since the trigger
_N_PEAKS = 16  # trial peaks, one phase step apart
_TRIALS = np.array([5, 4, 6, 3, 7, 2, 8, 1, 9, 0, 10, 11, 12, 13, 14, 15])  # those next to the trigger first
_SAME_SCORE = 1e-5  # share of chi2 by which a later trial must be better: more than rounding
_NEXT = np.uint64(1)
_NOTHING_FOUND = 50.0  # chi2 penalty of a template that fits only with negative amplitude
_HOPELESS = (8.0, 0.2)  # chi2 behind the best, absolute and relative, at which stretches are not tried
_MODEL_FLOOR = 0.08  # of each flux: objects of one class differ by more than their errors
_TILT_WAVELENGTH = 3000.0  # Angstrom; unit of the colour term


def in_bands(
    surface: Float32Array, wavelength: FloatArray, redshift: FloatArray
) -> tuple[Float32Array, FloatArray]:
    """Templates in each band at each redshift, padded and reversed in time; colour levers of the bands.

    Their shapes are (n_templates, n_redshifts, 6, n_padded) and (n_redshifts, 6).
    """
    rest = np.array(EFFECTIVE_WAVELENGTH)[None, :] / (1.0 + redshift[:, None])  # (redshift, band)
    tilts = np.clip((rest - REFERENCE_WAVELENGTH) / _TILT_WAVELENGTH, -1.0, 1.5)
    position = np.interp(rest, wavelength, np.arange(len(wavelength)))
    low = np.minimum(position.astype(np.int64), len(wavelength) - 2)
    share = (position - low)[None, :, :, None]
    by_wavelength = np.moveaxis(surface.astype(np.float64), 2, 0)  # (wavelength, template, phase)
    first, second = np.moveaxis(by_wavelength[low], 2, 0), np.moveaxis(by_wavelength[low + 1], 2, 0)
    rows = (1.0 - share) * first + share * second  # (template, redshift, band, phase)
    pad = [(0, 0)] * 3 + [(_N_PEAKS + 1, _N_PEAKS + 1)]
    return np.ascontiguousarray(np.pad(rows, pad)[..., ::-1], dtype=np.float32), tilts


@kernel
def match_all(
    offsets: IntArray, mjd: FloatArray, band: AnyArray, flux: Float32Array,
    flux_err: Float32Array, reference: FloatArray, redshift: FloatArray, redshift_err: FloatArray, low: float,
    high: float, max_points: int, bin_width: float, tables: Float32Array, tilts: FloatArray,
    phase: FloatArray,
    grid: FloatArray, modulus: FloatArray, magnitude: FloatArray, magnitude_sd: FloatArray,
    values: Float32Array,
) -> None:  # fmt: skip
    """Fit all templates to all objects, and write their columns into `values`."""
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
        _fit_cells(
            grouped, first, weights, tables, tilts, phase, grid, chi2_zero, starts, placed, cells
        )  # fmt: skip
        _write_matches(
            cells, n, max(chi2_zero, 1e-9), scale, redshift[i], redshift_err[i], grid, modulus, magnitude,
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
def _improve(
    sums: FloatArray, stretch: float, step: float, most: float, fits: FloatArray, best: FloatArray
) -> None:
    """Improve score, amplitude, colour, stretch and peak of one template at one redshift.

    `most` is the chi2 of no flux at all, which no fit can explain more of. Whether a trial is usable is
    decided after its arithmetic, so that trials go through vectors.
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
    same = _SAME_SCORE * most
    for m in _TRIALS:
        if amplitudes[m] > 0.0 and scores[m] > best[0] + same:
            best[0], best[1], best[2], best[3] = scores[m], amplitudes[m], tilts[m] / amplitudes[m], stretch
            top = m
    if top >= 0:
        shift = 0.0
        # The vertex of a parabola through three trials. A neighbour can score higher with a negative
        # amplitude: then there is no maximum between them, and the parabola would lead far beyond them.
        if 0 < top < _N_PEAKS - 1 and scores[top] >= max(scores[top - 1], scores[top + 1]):
            bend = scores[top - 1] - 2.0 * scores[top] + scores[top + 1]
            if bend < -same:
                shift = 0.5 * (scores[top - 1] - scores[top + 1]) / bend
                best[0] -= 0.25 * (scores[top - 1] - scores[top + 1]) * shift
        best[0] = min(best[0], most - penalty)
        best[4] = (_FIRST_PEAK + (top + shift) * step) * stretch


@kernel(inline="always")  # into its one caller, not twice through the compiler
def _fit_cells(
    grouped: FloatArray, first: IntArray, weights: Float32Array, tables: Float32Array, tilts: FloatArray,
    phase: FloatArray, grid: FloatArray, most: float, starts: IntArray, placed: Float32Array,
    cells: FloatArray,
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
                _improve(sums, _STRETCHES[s], step, most, fits, cells[k, j])


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
        out[4 * k + 2] = grid[best[k]] if cells[k, best[k], 1] > 0.0 else np.nan
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
        out[at + 2] = evidence[k]
        if cell[1] > 0.0:  # else nothing was fitted
            out[at + 3], out[at + 4], out[at + 5] = grid[best[k]], cell[3], cell[2]
            out[at + 6], out[at + 7] = absolute[k, best[k]], cell[4]
        at += 8
