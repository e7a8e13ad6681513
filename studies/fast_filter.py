"""A Kalman filter of every light curve, for `fast_process`: levels, slopes, colours and evidence in O(1).

The Matern-3/2 process of the features in state-space form (Hartikainen & Sarkka 2010): four independent
processes, each with level and slope, are common to the bands, whose levels are linear combinations of them
with the features' correlation in wavelength. A small grid of time scales and amplitudes is filtered side by
side; the answer is that of the most likely one at that time. An observation costs the same, whatever came
before.
"""

import math
from itertools import pairwise

import numpy as np
from numba import njit

from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray
from firstlight.bands import BANDS
from firstlight.cosmology import distance_modulus
from firstlight.features.gaussian import BAND_KERNEL
from firstlight.features.statistics import bounded
from firstlight.lightcurves import LightCurves

TIME_SCALES = np.array([8.0, 25.0, 80.0])  # day
AMPLITUDES = np.array([3e2, 3e3, 3e4])  # nJy
RANK = 4  # of the correlation in wavelength
EPOCHS = np.array([7.0, 15.0, 30.0, 60.0])  # days after the running peak
LEVELS = (0.5, 0.2)  # of the peak, at which a decline is timed
N_MEMBERS = len(TIME_SCALES) * len(AMPLITUDES)

_PAIRS = tuple(pairwise(BANDS))
EVIDENCE = (
    *(f"evidence_{scale:g}_{size:g}" for scale in TIME_SCALES for size in AMPLITUDES),
    "evidence_best",
    "evidence_time_scale",
    "evidence_amplitude",
    "evidence_mean_time_scale",
)
NOW = (
    *(f"level_{b}" for b in BANDS),
    *(f"level_error_{b}" for b in BANDS),
    *(f"slope_{b}" for b in BANDS),
    *(f"colour_{a}{b}_now" for a, b in _PAIRS),
    "light_now",
    "light_slope",
)
PEAK = (
    "peak_since_trigger",
    "since_peak",
    "peak_light",
    *(f"peak_snr_{b}" for b in BANDS),
    *(f"colour_{a}{b}_peak" for a, b in _PAIRS),
    *(f"absolute_{b}" for b in BANDS),
    *(f"fall_{level:g}" for level in LEVELS),
    *(f"rest_fall_{level:g}" for level in LEVELS),
    "rest_since_peak",
    "rest_peak_since_trigger",
    "slope_trigger",
    "light_trigger",
    *(f"colour_{a}{b}_trigger" for a, b in _PAIRS),
    *(f"light_{e:g}" for e in EPOCHS),
    *(f"colour_{a}{b}_{e:g}" for e in EPOCHS for a, b in _PAIRS),
    *(f"ratio_{b}_{e:g}" for e in EPOCHS for b in BANDS),
)
GROUPS = {"evidence": len(EVIDENCE), "now": len(NOW), "peak": len(PEAK)}
NAMES = EVIDENCE + NOW + PEAK


def loadings() -> FloatArray:
    """Level of each band per unit of each process, shape (6, RANK); each band's variance is one."""
    value, vector = np.linalg.eigh(BAND_KERNEL)
    own = vector[:, ::-1][:, :RANK] * np.sqrt(value[::-1][:RANK])
    return np.ascontiguousarray(own / np.sqrt((own**2).sum(axis=1, keepdims=True)))


def columns(curves: LightCurves) -> Float32Array:
    """Values of `NAMES`, shape (n_objects, n_names), NaN where undefined."""
    out = np.full((len(curves), len(NAMES)), np.nan, np.float32)
    z = np.where(curves.redshift > 0.0, curves.redshift, np.nan).astype(np.float64)
    _filter_all(
        curves.offsets,
        (curves.mjd, curves.band, curves.flux, curves.flux_err, curves.detected),
        loadings(),
        TIME_SCALES,
        AMPLITUDES,
        (z, distance_modulus(z)),
        EPOCHS,
        out,
    )
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _predict(x: FloatArray, P: FloatArray, dt: float, scale: float, variance: float) -> None:
    """Advance one member's state and covariance by some days."""
    if dt <= 0.0:
        return
    rate = math.sqrt(3.0) / scale
    e = math.exp(-rate * dt)
    a, b, c, d = e * (1.0 + rate * dt), e * dt, -e * rate * rate * dt, e * (1.0 - rate * dt)
    v, w = variance, variance * rate * rate
    for i in range(0, len(x), 2):
        x[i], x[i + 1] = a * x[i] + b * x[i + 1], c * x[i] + d * x[i + 1]
        for j in range(0, len(x), 2):
            p, q, r, s = P[i, j], P[i, j + 1], P[i + 1, j], P[i + 1, j + 1]
            p, q, r, s = a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s
            P[i, j], P[i, j + 1], P[i + 1, j], P[i + 1, j + 1] = (
                a * p + b * q,
                c * p + d * q,
                a * r + b * s,
                c * r + d * s,
            )
        P[i, i] += v - a * a * v - b * b * w
        P[i, i + 1] -= a * c * v + b * d * w
        P[i + 1, i] -= a * c * v + b * d * w
        P[i + 1, i + 1] += w - c * c * v - d * d * w


@njit(nogil=True, cache=True, error_model="numpy")
def _observe(
    x: FloatArray, P: FloatArray, h: FloatArray, flux: float, noise: float, gain: FloatArray
) -> float:
    """Take in one flux; return its log-likelihood without the constant."""
    n = len(x)
    mean, total = 0.0, noise
    for i in range(n):
        gain[i] = 0.0
        for j in range(0, n, 2):
            gain[i] += P[i, j] * h[j >> 1]
    for j in range(0, n, 2):
        mean += h[j >> 1] * x[j]
        total += h[j >> 1] * gain[j]
    off = flux - mean
    for i in range(n):
        x[i] += gain[i] * off / total
        for j in range(n):
            P[i, j] -= gain[i] * gain[j] / total
    return -0.5 * (math.log(total) + off * off / total)


@njit(nogil=True, cache=True, error_model="numpy")
def _read(x: FloatArray, P: FloatArray, L: FloatArray, out: FloatArray) -> float:
    """Write level, error and slope of each band, shape (3, 6); return the summed griz light."""
    for band in range(6):
        level = slope = variance = 0.0
        for i in range(L.shape[1]):
            level += L[band, i] * x[2 * i]
            slope += L[band, i] * x[2 * i + 1]
            for j in range(L.shape[1]):
                variance += L[band, i] * L[band, j] * P[2 * i, 2 * j]
        out[0, band], out[1, band], out[2, band] = level, math.sqrt(max(variance, 0.0)), slope
    return out[0, 1] + out[0, 2] + out[0, 3] + out[0, 4]


@njit(nogil=True, cache=True, error_model="numpy")
def _colours(read: FloatArray, out: AnyArray, k: int) -> int:
    for band in range(5):
        out[k] = bounded(read[0, band], read[0, band + 1], read[1, band] + read[1, band + 1])
        k += 1
    return k


@njit(nogil=True, cache=True, error_model="numpy")
def _filter_all(
    offsets: IntArray,
    observations: tuple[AnyArray, ...],
    L: FloatArray,
    scales: FloatArray,
    sizes: FloatArray,
    host: tuple[FloatArray, FloatArray],
    epochs: FloatArray,
    out: Float32Array,
) -> None:
    mjd, band, flux, flux_err, detected = observations
    redshift, modulus = host
    n_members, n = len(scales) * len(sizes), 2 * L.shape[1]
    x, P = np.empty((n_members, n)), np.empty((n_members, n, n))
    evidence, gain = np.empty(n_members), np.empty(n)
    read, before, top, first = np.zeros((3, 6)), np.zeros((3, 6)), np.zeros((3, 6)), np.zeros((3, 6))
    later, falls = np.empty((len(epochs), 3, 6)), np.empty(2)
    for i in range(len(offsets) - 1):
        if offsets[i + 1] == offsets[i]:
            continue
        x[:] = 0.0
        P[:] = 0.0
        evidence[:] = 0.0
        for m in range(n_members):
            scale, size = scales[m // len(sizes)], sizes[m % len(sizes)]
            for j in range(0, n, 2):
                P[m, j, j] = size * size
                P[m, j + 1, j + 1] = 3.0 * size * size / (scale * scale)
        null, trigger, t_before, light_before = 0.0, np.nan, np.nan, 0.0
        peak, t_peak, light, best = 0.0, np.nan, 0.0, 0
        light_first = slope_first = np.nan
        later[:] = np.nan
        falls[:] = np.nan
        for k in range(offsets[i], offsets[i + 1]):
            t, f, e = mjd[k], np.float64(flux[k]), np.float64(flux_err[k])
            noise = e * e + (0.01 * f) ** 2
            null -= 0.5 * (math.log(noise) + f * f / noise)
            for m in range(n_members):
                size = sizes[m % len(sizes)]
                if k > offsets[i]:
                    _predict(x[m], P[m], t - t_before, scales[m // len(sizes)], size * size)
                evidence[m] += _observe(x[m], P[m], L[band[k]], f, noise, gain)
            best = 0
            for m in range(n_members):
                if evidence[m] > evidence[best]:
                    best = m
            before[:] = read
            light_before = light
            light = _read(x[best], P[best], L, read)
            if detected[k] and np.isnan(trigger):
                trigger = t
                first[:] = read
                light_first = light
                slope_first = read[2, 1] + read[2, 2] + read[2, 3] + read[2, 4]
            if not np.isnan(trigger) and light > peak:
                peak, t_peak = light, t
                top[:] = read
                later[:] = np.nan
                falls[:] = np.nan
            elif peak > 0.0:
                for j in range(len(falls)):
                    limit = peak * (0.5 if j == 0 else 0.2)
                    if np.isnan(falls[j]) and light < limit:
                        share = (light_before - limit) / max(light_before - light, 1e-9)
                        falls[j] = t_before + share * (t - t_before) - t_peak
                for j in range(len(epochs)):
                    at = t_peak + epochs[j]
                    if t_before < at <= t:
                        share = (at - t_before) / (t - t_before)
                        for a in range(3):
                            for b in range(6):
                                later[j, a, b] = (1.0 - share) * before[a, b] + share * read[a, b]
            t_before = t
        row, n_obs = out[i], offsets[i + 1] - offsets[i]
        q = 0
        total = scale_sum = 0.0
        for m in range(n_members):
            row[q] = (evidence[m] - null) / n_obs
            q += 1
            weight = math.exp(evidence[m] - evidence[best])
            total += weight
            scale_sum += weight * math.log(scales[m // len(sizes)])
        row[q] = np.arcsinh(evidence[best] - null)
        row[q + 1], row[q + 2] = scales[best // len(sizes)], math.log(sizes[best % len(sizes)])
        row[q + 3] = scale_sum / total
        q += 4
        unit = max(peak, 1.0)
        for a in range(3):
            for b in range(6):
                row[q] = read[a, b] / unit
                q += 1
        q = _colours(read, row, q)
        row[q] = light / unit
        row[q + 1] = (read[2, 1] + read[2, 2] + read[2, 3] + read[2, 4]) / unit
        q += 2
        if not peak > 0.0:
            continue
        z = 1.0 + redshift[i]
        row[q], row[q + 1], row[q + 2] = t_peak - trigger, t_before - t_peak, np.arcsinh(peak / 100.0)
        q += 3
        for b in range(6):
            row[q] = top[0, b] / (top[1, b] + 1e-9)
            q += 1
        q = _colours(top, row, q)
        for b in range(6):
            row[q] = 31.4 - modulus[i] - 2.5 * math.log10(max(top[0, b], top[1, b]))
            q += 1
        row[q], row[q + 1], row[q + 2], row[q + 3] = falls[0], falls[1], falls[0] / z, falls[1] / z
        row[q + 4], row[q + 5] = (t_before - t_peak) / z, (t_peak - trigger) / z
        row[q + 6], row[q + 7] = slope_first / unit, light_first / unit
        q = _colours(first, row, q + 8)
        for j in range(len(epochs)):
            own = later[j]
            row[q] = (own[0, 1] + own[0, 2] + own[0, 3] + own[0, 4]) / unit
            q += 1
        for j in range(len(epochs)):
            q = _colours(later[j], row, q)
        for j in range(len(epochs)):
            for b in range(6):
                row[q] = bounded(later[j, 0, b], top[0, b], later[j, 1, b] + top[1, b])
                q += 1
