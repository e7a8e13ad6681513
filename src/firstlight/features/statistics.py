"""Statistics of the raw fluxes, compiled: no model, no smoothing, no redshift.

Each kernel writes its features of one object to ``out[k:]``, in the order of
`registry.statistics_features`, and returns the next position. Times are days since the trigger.
"""

import math

import numpy as np

from firstlight._types import BoolArray, FloatArray, IntArray
from firstlight.kernels import highest, kernel, lowest, ranked

NIGHT_GAP = 0.45  # day; a longer gap between observations lies over a daytime
SEASON_GAP = 60.0  # day; a longer gap lies over conjunction with the Sun
SAME_SNR = 1e-3  # relative difference up to which S/N counts as equal
BEFORE, AFTER = -40.0, 200.0  # day; outside, a transient of one outburst is quiet


@kernel
def bounded(a: float, b: float, noise: float) -> float:
    """Contrast (a - b) / (|a| + |b| + noise): a ratio that is defined for zero and negative fluxes."""
    total = abs(a) + abs(b) + noise
    return (a - b) / total if total > 0.0 else np.nan


@kernel(inner=True)
def _detections(time: FloatArray, band: IntArray, detected: BoolArray, out: FloatArray, k: int) -> int:
    n = len(time)
    n_detected = n_since = nights = seasons = 0
    first = last = np.nan
    bands_detected = bands_observed = 0
    for i in range(n):
        bands_observed |= 1 << band[i]
        if n_detected > 0 or detected[i]:
            n_since += 1
        if not detected[i]:
            continue
        bands_detected |= 1 << band[i]
        if n_detected == 0:
            first = time[i]
            nights = seasons = 1
            j = i - 1
            while j >= 0 and time[j] == first:  # simultaneous observations count in any order
                n_since += 1
                j -= 1
        else:
            nights += time[i] - last > NIGHT_GAP
            seasons += time[i] - last > SEASON_GAP
        n_detected += 1
        last = time[i]
    out[k] = n
    out[k + 1] = n_detected
    out[k + 2] = n_detected / n
    out[k + 3] = n_detected / n_since if n_since > 0 else np.nan
    out[k + 4] = last - first
    out[k + 5] = nights
    out[k + 6] = seasons
    count_detected = count_observed = 0
    for b in range(6):
        count_detected += (bands_detected >> b) & 1
        count_observed += (bands_observed >> b) & 1
    out[k + 7] = count_detected
    out[k + 8] = count_observed
    out[k + 9] = time[n - 1]
    out[k + 10] = time[n - 1] - last
    out[k + 11] = -time[0]
    return k + 12


@kernel(inner=True)
def _highest_snr(time: FloatArray, flux: FloatArray, snr: FloatArray, night: float) -> int:
    """Place of the highest S/N outside of the night of a time [day], NaN for none; -1 if there is no other.

    Where errors are a fixed share of the flux, S/N is equal but for rounding: the brightest of equals counts.
    """
    best = -1
    for i in range(len(snr)):
        if not abs(time[i] - night) <= NIGHT_GAP and (best < 0 or snr[i] > snr[best]):
            best = i
    if best < 0:
        return -1
    least = snr[best] - SAME_SNR * abs(snr[best])
    for i in range(len(snr)):
        if not abs(time[i] - night) <= NIGHT_GAP and snr[i] >= least and flux[i] > flux[best]:
            best = i
    return best


@kernel(inner=True)
def _extremes(
    time: FloatArray, flux: FloatArray, snr: FloatArray, detected: BoolArray, out: FloatArray, k: int
) -> int:
    n = len(time)
    at = _highest_snr(time, flux, snr, np.nan)
    second = _highest_snr(time, flux, snr, time[at])
    above_3 = above_10 = above_20 = below_3 = below_5 = 0
    power = negative = 0.0
    n_detected = near = around = 0
    for i in range(n):
        s = snr[i]
        above_3 += s > 3.0
        above_10 += s > 10.0
        above_20 += s > 20.0
        below_3 += s < -3.0
        below_5 += s < -5.0
        power += s * s
        if s < 0.0:
            negative += s * s
        if detected[i]:
            n_detected += 1
            near += abs(time[i] - time[at]) <= 50.0
            around += abs(time[i] - time[at]) <= 150.0
    out[k] = snr[highest(snr, 0, n)]
    out[k + 1] = snr[second] if second >= 0 else np.nan
    out[k + 2] = snr[lowest(snr, 0, n)]
    out[k + 3] = time[at]
    out[k + 4] = time[n - 1] - time[at]
    out[k + 5] = abs(time[second] - time[at]) if second >= 0 else np.nan
    out[k + 6] = above_3
    out[k + 7] = above_10
    out[k + 8] = above_20
    out[k + 9] = below_3
    out[k + 10] = below_5
    out[k + 11] = negative / power if power > 0.0 else np.nan
    out[k + 12] = near / n_detected if n_detected > 0 else np.nan
    out[k + 13] = around / n_detected if n_detected > 0 else np.nan
    return k + 14


@kernel(inner=True)
def _outside(time: FloatArray, flux: FloatArray, snr: FloatArray, out: FloatArray, k: int) -> int:
    """Flux before and after the outburst: none, for a supernova."""
    brightest = 0.0
    for i in range(len(flux)):
        brightest = max(brightest, abs(flux[i]))
    for side in range(2):
        n = 0
        total = squares = power = 0.0
        for i in range(len(time)):
            if (side == 0 and time[i] < BEFORE) or (side == 1 and time[i] > AFTER):
                n += 1
                total += snr[i]
                squares += snr[i] * snr[i]
                power += flux[i] * flux[i]
        out[k] = n
        out[k + 1] = squares / n if n > 0 else np.nan
        out[k + 2] = total / n if n > 0 else np.nan
        out[k + 3] = math.sqrt(power / n) / brightest if n > 0 and brightest > 0.0 else np.nan
        k += 4
    return k


@kernel
def _trend(time: FloatArray, snr: FloatArray, out: FloatArray, k: int) -> int:
    n = len(time)
    if time[n - 1] - time[0] <= NIGHT_GAP:  # seconds between filters: a slope of colours, not of light
        return k + 2
    mean_time = mean_snr = 0.0
    for i in range(n):
        mean_time += time[i]
        mean_snr += snr[i]
    mean_time /= n
    mean_snr /= n
    covariance = variance = 0.0
    for i in range(n):
        covariance += (time[i] - mean_time) * (snr[i] - mean_snr)
        variance += (time[i] - mean_time) ** 2
    out[k] = covariance / variance
    out[k + 1] = covariance / math.sqrt(variance)
    return k + 2


@kernel(inner=True)
def _seasons(
    time: FloatArray,
    band: IntArray,
    flux: FloatArray,
    flux_err: FloatArray,
    means: FloatArray,
    out: FloatArray,
    k: int,
) -> int:
    """Squared deviation of the seasons' mean fluxes from the band's mean, over its error."""
    sums = np.zeros((6, 2))
    total = 0.0
    count = 0
    for i in range(len(time) + 1):
        if i == len(time) or (i > 0 and time[i] - time[i - 1] > SEASON_GAP):
            for b in range(6):
                if sums[b, 1] > 0.0:
                    total += (sums[b, 0] / sums[b, 1] - means[b]) ** 2 * sums[b, 1]
                    count += 1
            sums[:] = 0.0
        if i < len(time):
            weight = 1.0 / flux_err[i] ** 2
            sums[band[i], 0] += weight * flux[i]
            sums[band[i], 1] += weight
    out[k] = total / count if count > 0 else np.nan
    return k + 1


@kernel(inner=True)
def _structure(
    time: FloatArray,
    band: IntArray,
    flux: FloatArray,
    flux_err: FloatArray,
    variances: FloatArray,
    lags: FloatArray,
    out: FloatArray,
    k: int,
) -> int:
    """Pooled structure function from each observation to the earlier ones of its band.

    At most four pairs per observation and lag count, so that the cost grows with n, not n^2.
    """
    n_lags = len(lags)
    pairs = np.zeros(n_lags)
    by_error = np.zeros(n_lags)
    by_variance = np.zeros(n_lags)
    previous = np.full(6, -1)
    link = np.empty(len(time), dtype=np.int64)
    for i in range(len(time)):
        b = band[i]
        link[i] = previous[b]
        previous[b] = i
        j = link[i]
        lag = taken = 0
        while j >= 0:
            gap = time[i] - time[j]
            while lag < n_lags and gap > lags[lag]:
                lag += 1
                taken = 0
            if lag == n_lags:
                break
            if taken < 4:
                square = (flux[i] - flux[j]) ** 2
                pairs[lag] += 1.0
                by_error[lag] += square / (flux_err[i] ** 2 + flux_err[j] ** 2)
                by_variance[lag] += square / (2.0 * variances[b]) if variances[b] > 0.0 else 0.0
                taken += 1
            j = link[j]
    for lag in range(n_lags):
        if pairs[lag] > 0.0:
            out[k + 2 * lag] = by_error[lag] / pairs[lag]
            out[k + 2 * lag + 1] = by_variance[lag] / pairs[lag]
    return k + 2 * n_lags


@kernel(inner=True)
def _median(work: FloatArray, n: int) -> float:
    """Median of the first n values; `work` is reordered."""
    upper = ranked(work, n, n // 2)
    if n % 2 == 1:
        return upper
    lower = work[0]  # what `ranked` leaves before a rank is no larger than its value
    for i in range(1, n // 2):
        lower = max(lower, work[i])
    return 0.5 * (lower + upper)


@kernel
def _band(flux: FloatArray, flux_err: FloatArray, out: FloatArray, k: int) -> tuple[float, float, float]:
    """Write one band's statistics but its detections; return weighted mean, variance and intrinsic variance.

    The last is NaN for one observation, which shows no scatter.
    """
    n = len(flux)
    weight = weighted = mean = noise = 0.0
    snr_max, snr_min = -np.inf, np.inf
    negative = 0
    for i in range(n):
        w = 1.0 / flux_err[i] ** 2
        s = flux[i] / flux_err[i]
        weight += w
        weighted += w * flux[i]
        mean += flux[i]
        noise += flux_err[i] ** 2
        snr_max, snr_min = max(snr_max, s), min(snr_min, s)
        negative += s < -3.0
    mean /= n
    weighted /= weight
    m2 = m3 = m4 = chi2 = steps = 0.0
    for i in range(n):
        d = flux[i] - mean
        m2 += d * d
        m3 += d * d * d
        m4 += d * d * d * d
        chi2 += ((flux[i] - weighted) / flux_err[i]) ** 2
        if i > 0:
            steps += (flux[i] - flux[i - 1]) ** 2
    m2, m3, m4 = m2 / n, m3 / n, m4 / n
    work = np.empty(n)
    low = high = flux[0]
    for i in range(n):
        work[i] = flux[i]
        low, high = min(low, flux[i]), max(high, flux[i])
    median = _median(work, n)
    sd = math.sqrt(m2)
    out[k] = n
    out[k + 2], out[k + 3] = high, low
    out[k + 4], out[k + 5] = snr_max, snr_min
    out[k + 6], out[k + 7] = weighted, weighted * math.sqrt(weight)
    for i in range(n):
        work[i] = flux_err[i]
    out[k + 9] = _median(work, n)
    out[k + 14] = chi2 / n
    out[k + 16] = negative / n
    if n > 1 and m2 > 0.0:
        out[k + 8] = sd
        out[k + 10], out[k + 11] = m3 / (m2 * sd), m4 / (m2 * m2) - 3.0
        for i in range(n):
            work[i] = abs(flux[i] - median)
        out[k + 12] = _median(work, n) / sd
        out[k + 13] = (high - median) / (high - low)
        out[k + 15] = steps / ((n - 1) * m2)
    return weighted, m2, max(m2 - noise / n, 0.0) if n > 1 else np.nan


@kernel(inner=True)
def _observed_colours(
    time: FloatArray,
    band: IntArray,
    flux: FloatArray,
    flux_err: FloatArray,
    windows: FloatArray,
    at: float,
    out: FloatArray,
    k: int,
) -> int:
    sums = np.zeros((len(windows), 6, 2))
    for i in range(len(time)):
        for w in range(len(windows)):
            if windows[w, 0] <= time[i] - at <= windows[w, 1]:
                weight = 1.0 / flux_err[i] ** 2
                sums[w, band[i], 0] += weight * flux[i]
                sums[w, band[i], 1] += weight
    for w in range(len(windows)):
        for b in range(5):
            first, second = sums[w, b, 1], sums[w, b + 1, 1]
            if first > 0.0 and second > 0.0:
                noise = math.sqrt(1.0 / first + 1.0 / second)
                out[k] = bounded(sums[w, b, 0] / first, sums[w, b + 1, 0] / second, noise)
            k += 1
    return k


@kernel(inline="always")  # into its one caller, not twice through the compiler
def write_statistics(
    time: FloatArray,
    band: IntArray,
    flux: FloatArray,
    flux_err: FloatArray,
    detected: BoolArray,
    lags: FloatArray,
    windows: FloatArray,
    pairs: IntArray,
    out: FloatArray,
    k: int,
) -> int:
    """Write all raw statistics of one object; `out` must be NaN before.

    Fluxes are in nJy; lags, windows and pairs are `LAGS`, `COLOUR_WINDOWS` and `COLOURS` of the registry.
    """
    n = len(time)
    snr, own_flux, own_err = np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        snr[i] = flux[i] / flux_err[i]
    k = _detections(time, band, detected, out, k)
    max_phase_at = k + 3
    k = _extremes(time, flux, snr, detected, out, k)
    k = _outside(time, flux, snr, out, k)
    k = _trend(time, snr, out, k)
    bands_at = k + 1 + 2 * len(lags)  # season_chi2 and the structure function need the bands' moments
    moments = np.full((6, 3), np.nan)
    for b in range(6):
        at = bands_at + 17 * b
        n_own = n_detected = 0
        for i in range(n):
            if band[i] == b:
                own_flux[n_own], own_err[n_own] = flux[i], flux_err[i]
                n_own += 1
                n_detected += detected[i]
        if n_own > 0:
            mean, variance, intrinsic = _band(own_flux[:n_own], own_err[:n_own], out, at)
            out[at + 1] = n_detected
            moments[b, 0], moments[b, 1], moments[b, 2] = mean, variance, intrinsic
        else:
            out[at] = out[at + 1] = 0.0
    k = _seasons(time, band, flux, flux_err, moments[:, 0], out, k)
    k = _structure(time, band, flux, flux_err, moments[:, 1], lags, out, k)
    for p in range(len(pairs)):
        a, b = pairs[p, 0], pairs[p, 1]
        first, second = bands_at + 17 * a, bands_at + 17 * b
        if out[first] > 0.0 and out[second] > 0.0:
            position = bands_at + 17 * 6 + 2 * p
            out[position] = bounded(math.sqrt(moments[a, 2]), math.sqrt(moments[b, 2]), 0.0)
            out[position + 1] = bounded(out[first + 2], out[second + 2], out[first + 9] + out[second + 9])
    k = bands_at + 17 * 6 + 2 * len(pairs)
    return _observed_colours(time, band, flux, flux_err, windows, out[max_phase_at], out, k)
