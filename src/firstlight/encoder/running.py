"""Running state of one light curve, which each observation advances in O(1).

Batch (`steps.make_steps`) and stream use the same compiled kernel. The state is one float64 row: scalars, a
block per band, fluxes in windows after the trigger and after the running peak, and sums of the open time bin.
"""

import numpy as np

from firstlight._types import AnyArray
from firstlight.bands import BANDS, N_BANDS
from firstlight.kernels import kernel, n_upto

#: Window edges in days since the trigger; before the first edge counts as "before".
TRIGGER_EDGES = np.array([0.0, 5.0, 12.0, 22.0, 35.0, 55.0, 90.0, 150.0])
#: Window edges in days since the running peak.
PEAK_EDGES = np.array([0.0, 6.0, 14.0, 26.0, 42.0, 70.0, 120.0])
TRIGGER_EDGES.setflags(write=False)
PEAK_EDGES.setflags(write=False)

N_TRIGGER = len(TRIGGER_EDGES) + 1  # one more: before the trigger
N_PEAK = len(PEAK_EDGES)
SEASON_GAP = 60.0  # days without an observation that end a season
PEAK_MARGIN = 2.0  # sigma subtracted before a flux may be called the peak
SHORT_LAG, LONG_LAG = 1.5, 12.0  # days; same night, within a fortnight, beyond
SAME_EPOCH = 4.0  # days; other bands this close belong to the peak's colour

# Scalars of the state.
(
    T_FIRST,
    T_LAST,
    T_TRIGGER,
    N_OBS,
    N_DET,
    T_LAST_DET,
    N_SEASON,
    N_SEASON_DET,
    SEASON_DET,
    PEAK_LOW,
    PEAK,
    T_PEAK,
    PEAK_BAND,
    DIP_LOW,
    T_DIP,
    N_AFTER,
    N_DET_AFTER,
    BIN_START,
    BIN_END,
    BIN_N,
    BIN_DET,
    PREVIOUS_BIN,
    N_BINS,
) = range(23)
N_SCALARS = 23

# Entries of each band's block.
(
    B_N,
    B_W,
    B_WF,
    B_WFF,
    B_Y0,
    B_Y1,
    B_Y2,
    B_Y3,
    B_Y4,
    B_DET,
    B_POS,
    B_NEG,
    B_SNR_MAX,
    B_SNR_MIN,
    B_HIGH,
    B_T_HIGH,
    B_LOW,
    B_LAST_T,
    B_LAST_F,
    B_LAST_E,
    B_LIGHT0,
    B_LIGHT1,
    B_LIGHT2,
    B_LAG,
) = range(24)
BAND_SIZE = 24 + 6  # three lags, each a sum and a count

BAND_BLOCK = N_SCALARS
TRIGGER_BLOCK = BAND_BLOCK + N_BANDS * BAND_SIZE
PEAK_BLOCK = TRIGGER_BLOCK + N_TRIGGER * N_BANDS * 2
BIN_BLOCK = PEAK_BLOCK + N_PEAK * N_BANDS * 2
#: Length of one object's state row.
STATE_SIZE = BIN_BLOCK + N_BANDS * 4

CHANNELS_PER_BAND = 5
ASINH_UNIT = 0.3  # of the flux channel, so that it is of order one
LARGEST_ERROR = 2.0  # of the error channel; a flux with a larger error is uninformative
#: Channels of one time bin: five for each band, then six of the bin.
N_CHANNELS = CHANNELS_PER_BAND * N_BANDS + 6

_SCALAR_NAMES = (
    "n_obs",
    "span",
    "before_trigger",
    "triggered",
    "n_detections",
    "detected_span",
    "n_seasons",
    "n_seasons_detected",
    "peak",
    "dip",
    "dip_ratio",
    "peak_time",
    "since_peak",
    "since_detection",
    "dip_time",
    "detected_fraction",
    *(f"peak_in_{band}" for band in BANDS),
)
_BAND_NAMES = (
    "share",
    "excess",
    "mean",
    "deviation",
    "skew",
    "kurtosis",
    "detected",
    "positive",
    "negative",
    "snr_max",
    "snr_min",
    "high",
    "low",
    "high_time",
    "light_time",
    "light_width",
    "change_night",
    "change_days",
    "change_weeks",
)
_WINDOW_NAMES = tuple(f"trigger{k}" for k in range(N_TRIGGER)) + tuple(f"peak{k}" for k in range(N_PEAK))
#: Name of each entry of the summary: scalars, band by band, window fluxes, their precisions.
SUMMARY_NAMES = (
    _SCALAR_NAMES
    + tuple(f"{name}_{band}" for band in BANDS for name in _BAND_NAMES)
    + tuple(f"{window}_{band}" for window in _WINDOW_NAMES for band in BANDS)
    + tuple(f"{window}_{band}_known" for window in _WINDOW_NAMES for band in BANDS)
)
N_SUMMARY = len(SUMMARY_NAMES)
_N_SCALAR_OUT = len(_SCALAR_NAMES)
#: Entries of the summary that each band has, its share first.
N_BAND_SUMMARY = len(_BAND_NAMES)
_N_WINDOWS = N_TRIGGER + N_PEAK
_WINDOW_OUT = _N_SCALAR_OUT + N_BANDS * N_BAND_SUMMARY


@kernel
def clear(state: AnyArray) -> None:
    """Reset one state row to that of an object without observations."""
    state[:] = 0.0
    state[T_TRIGGER] = np.nan
    state[BIN_END] = -np.inf
    state[T_DIP] = np.nan


@kernel
def bin_width(days: float, triggered: bool, bins: AnyArray) -> float:
    """Width [day] of a bin opened `days` after the trigger; `bins` is as for `advance`."""
    if not triggered:
        return bins[0]
    width = bins[1]
    for k in range(2, len(bins), 2):
        if days >= bins[k]:
            width = bins[k + 1]
    return width


@kernel
def _count(state: AnyArray, mjd: float, detected: bool) -> bool:
    """Advance times, seasons and counts; return whether this observation is the trigger."""
    if state[N_OBS] == 0:
        state[T_FIRST] = mjd
        state[N_SEASON] = 1.0
    elif mjd - state[T_LAST] > SEASON_GAP:
        state[N_SEASON] += 1.0
        state[SEASON_DET] = 0.0
    is_trigger = detected and np.isnan(state[T_TRIGGER])
    state[T_LAST] = mjd
    state[N_OBS] += 1.0
    if is_trigger:
        state[T_TRIGGER] = mjd
    if not np.isnan(state[T_TRIGGER]):
        state[N_AFTER] += 1.0
    if detected:
        state[N_DET] += 1.0
        state[T_LAST_DET] = mjd
        if state[SEASON_DET] == 0.0:
            state[SEASON_DET] = 1.0
            state[N_SEASON_DET] += 1.0
    return is_trigger


@kernel(inner=True)
def _advance_band(
    state: AnyArray, mjd: float, band: int, flux: float, err: float, seen: bool, scale: float
) -> None:
    """Advance the running moments, extremes and changes of one band."""
    block = state[BAND_BLOCK + band * BAND_SIZE : BAND_BLOCK + (band + 1) * BAND_SIZE]
    weight = 1.0 / (err * err)
    snr = flux / err
    if block[B_N] > 0:
        gap = mjd - block[B_LAST_T]
        lag = B_LAG + (0 if gap < SHORT_LAG else (2 if gap < LONG_LAG else 4))
        step = flux - block[B_LAST_F]
        block[lag] += step * step / (err * err + block[B_LAST_E] * block[B_LAST_E])
        block[lag + 1] += 1.0
    block[B_N] += 1.0
    block[B_W] += weight
    block[B_WF] += weight * flux
    block[B_WFF] += weight * flux * flux
    # A huge error must not carry a huge asinh flux into the moments, hence |flux| - 2 err.
    y_err = err / np.hypot(scale, max(abs(flux) - 2.0 * err, 0.0))
    y_weight = 1.0 / (y_err * y_err + 0.01)
    y = np.arcsinh(flux / scale)
    block[B_Y0] += y_weight
    block[B_Y1] += y_weight * y
    block[B_Y2] += y_weight * y * y
    block[B_Y3] += y_weight * y * y * y
    block[B_Y4] += y_weight * y * y * y * y
    block[B_DET] += 1.0 if seen else 0.0
    block[B_SNR_MAX] = max(block[B_SNR_MAX], snr)
    block[B_SNR_MIN] = min(block[B_SNR_MIN], snr)
    if flux - err > block[B_HIGH]:
        block[B_HIGH] = flux - err
        block[B_T_HIGH] = mjd
    block[B_LOW] = max(block[B_LOW], -flux - err)
    if snr > 3.0:
        block[B_POS] += 1.0
        days = mjd - state[T_FIRST]
        block[B_LIGHT0] += flux
        block[B_LIGHT1] += flux * days
        block[B_LIGHT2] += flux * days * days
    elif snr < -3.0:
        block[B_NEG] += 1.0
    block[B_LAST_T] = mjd
    block[B_LAST_F] = flux
    block[B_LAST_E] = err


@kernel(inner=True)
def _new_peak(state: AnyArray, mjd: float, band: int) -> None:
    """Restart the windows after the peak, keeping the last fluxes of other bands at the same epoch."""
    state[T_PEAK] = mjd
    state[PEAK_BAND] = band
    state[PEAK_BLOCK:BIN_BLOCK] = 0.0
    for other in range(N_BANDS):
        block = state[BAND_BLOCK + other * BAND_SIZE : BAND_BLOCK + (other + 1) * BAND_SIZE]
        if other != band and block[B_N] > 0 and mjd - block[B_LAST_T] <= SAME_EPOCH:
            weight = 1.0 / (block[B_LAST_E] * block[B_LAST_E])
            state[PEAK_BLOCK + other * 2] = weight
            state[PEAK_BLOCK + other * 2 + 1] = weight * block[B_LAST_F]


@kernel(inner=True)
def _advance_windows(state: AnyArray, mjd: float, band: int, flux: float, err: float) -> None:
    """Advance the window fluxes after the trigger and after the running peak."""
    weight = 1.0 / (err * err)
    window = 0
    if not np.isnan(state[T_TRIGGER]):
        days = mjd - state[T_TRIGGER]
        window = n_upto(TRIGGER_EDGES, days)
    at = TRIGGER_BLOCK + (window * N_BANDS + band) * 2
    state[at] += weight
    state[at + 1] += weight * flux
    if flux - PEAK_MARGIN * err > state[PEAK_LOW]:
        state[PEAK_LOW] = flux - PEAK_MARGIN * err
        state[PEAK] = flux
        _new_peak(state, mjd, band)
    if -flux - PEAK_MARGIN * err > state[DIP_LOW]:
        state[DIP_LOW] = -flux - PEAK_MARGIN * err
        state[T_DIP] = mjd
    if state[PEAK] > 0.0:
        window = n_upto(PEAK_EDGES, mjd - state[T_PEAK]) - 1
        at = PEAK_BLOCK + (window * N_BANDS + band) * 2
        state[at] += weight
        state[at + 1] += weight * flux


@kernel
def advance(
    state: AnyArray,
    mjd: float,
    band: int,
    flux: float,
    err: float,
    detected: bool,
    scale: float,
    bins: AnyArray,
    closed: AnyArray,
) -> bool:
    """Advance one object's state by one observation [MJD, index, nJy, nJy], in place.

    `scale` is the softening flux of the asinh [nJy]; `bins` holds the width before the trigger, the
    width after it, then pairs (phase, width from there on) [day]. Returns whether the observation
    closed a bin; then `closed`, float32 (N_CHANNELS,), holds its channels.
    """
    triggered_before = not np.isnan(state[T_TRIGGER])
    opens = mjd >= state[BIN_END] or (detected and not triggered_before)
    has_closed = opens and state[BIN_N] > 0
    if has_closed:
        bin_channels(state, scale, closed)
    if opens:
        if has_closed:
            state[PREVIOUS_BIN] = state[BIN_START]
            state[N_BINS] += 1.0
        state[BIN_BLOCK:] = 0.0
        state[BIN_N] = 0.0
        state[BIN_DET] = 0.0
        state[BIN_START] = mjd
    _count(state, mjd, detected)
    if opens:
        triggered = not np.isnan(state[T_TRIGGER])
        days = mjd - state[T_TRIGGER] if triggered else 0.0
        state[BIN_END] = mjd + bin_width(days, triggered, bins)
    _advance_band(state, mjd, band, flux, err, detected, scale)
    _advance_windows(state, mjd, band, flux, err)
    weight = 1.0 / (err * err)
    at = BIN_BLOCK + band * 4
    state[at] += 1.0
    state[at + 1] += weight
    state[at + 2] += weight * flux
    state[at + 3] += weight * flux * flux
    state[BIN_N] += 1.0
    state[BIN_DET] += 1.0 if detected else 0.0
    return has_closed


@kernel
def bin_channels(state: AnyArray, scale: float, out: AnyArray) -> None:
    """Write the channels of the open bin, shape (N_CHANNELS,), float32.

    Per band: asinh flux, flux over the running peak, error in asinh units, whether observed, scatter.
    Then time since the previous bin, whether triggered, time since the trigger, time since the first
    observation, number of observations, and the fraction of detections.
    """
    out[:] = 0.0
    peak = max(state[PEAK], scale)
    for band in range(N_BANDS):
        at = BIN_BLOCK + band * 4
        n, w, wf, wff = state[at], state[at + 1], state[at + 2], state[at + 3]
        if n == 0.0:
            continue
        mean = wf / w
        err = 1.0 / np.sqrt(w)
        spread = np.sqrt(max(wff / w - mean * mean, 0.0))
        soft = np.hypot(scale, mean)
        at = band * CHANNELS_PER_BAND
        out[at] = ASINH_UNIT * np.arcsinh(mean / scale)
        out[at + 1] = min(max(mean / peak, -2.0), 2.0)
        out[at + 2] = min(err / soft, LARGEST_ERROR)
        out[at + 3] = 1.0
        out[at + 4] = min(np.arcsinh(spread / soft), 2.0)
    at = CHANNELS_PER_BAND * N_BANDS
    since = state[BIN_START] - state[PREVIOUS_BIN] if state[N_BINS] > 0 else 0.0
    out[at] = 0.25 * np.log1p(since)
    if not np.isnan(state[T_TRIGGER]):
        out[at + 1] = 1.0
        out[at + 2] = 0.25 * np.log1p(max(state[BIN_START] - state[T_TRIGGER], 0.0))
    out[at + 3] = 0.25 * np.log1p(state[BIN_START] - state[T_FIRST])
    out[at + 4] = 0.3 * np.log1p(state[BIN_N])
    out[at + 5] = state[BIN_DET] / max(state[BIN_N], 1.0)


@kernel(inner=True)
def _signed_log(days: float) -> float:
    return np.sign(days) * np.log1p(abs(days))


@kernel(inner=True)
def _summarise_scalars(state: AnyArray, scale: float, out: AnyArray) -> None:
    """Counts, spans and the extremes over all bands."""
    last, triggered = state[T_LAST], not np.isnan(state[T_TRIGGER])
    out[0] = np.log1p(state[N_OBS])
    out[1] = np.log1p(last - state[T_FIRST])
    if triggered:
        trigger = state[T_TRIGGER]
        out[2] = np.log1p(trigger - state[T_FIRST])
        out[3] = 1.0
        out[5] = np.log1p(state[T_LAST_DET] - trigger)
        out[13] = np.log1p(last - state[T_LAST_DET])
        out[15] = state[N_DET] / state[N_AFTER]
    start = state[T_TRIGGER] if triggered else state[T_FIRST]
    out[4] = np.log1p(state[N_DET])
    out[6] = state[N_SEASON]
    out[7] = state[N_SEASON_DET]
    out[8] = np.arcsinh(state[PEAK_LOW] / scale)
    out[9] = np.arcsinh(state[DIP_LOW] / scale)
    total = state[PEAK_LOW] + state[DIP_LOW]
    out[10] = (state[PEAK_LOW] - state[DIP_LOW]) / total if total > 0.0 else 0.0
    if state[PEAK] > 0.0:
        out[11] = _signed_log(state[T_PEAK] - start)
        out[12] = np.log1p(last - state[T_PEAK])
        out[16 + int(state[PEAK_BAND])] = 1.0
    if not np.isnan(state[T_DIP]):
        out[14] = _signed_log(state[T_DIP] - start)


@kernel(inner=True)
def _summarise_band(state: AnyArray, block: AnyArray, scale: float, out: AnyArray) -> None:
    """Moments, extremes and changes of one band; zeros where it was never observed."""
    n = block[B_N]
    if n == 0.0:
        return
    start = state[T_FIRST] if np.isnan(state[T_TRIGGER]) else state[T_TRIGGER]
    out[0] = n / state[N_OBS]
    chi2 = max(block[B_WFF] - block[B_WF] * block[B_WF] / block[B_W], 0.0)
    out[1] = np.log1p(chi2 / (n - 1.0)) if n > 1.0 else 0.0
    mean = block[B_Y1] / block[B_Y0]
    square = block[B_Y2] / block[B_Y0]
    variance = max(square - mean * mean, 1e-6)
    cube = block[B_Y3] / block[B_Y0]
    fourth = block[B_Y4] / block[B_Y0]
    third = cube - 3.0 * mean * square + 2.0 * mean**3
    central = fourth - 4.0 * mean * cube + 6.0 * mean * mean * square - 3.0 * mean**4
    out[2] = mean
    out[3] = np.sqrt(variance)
    out[4] = np.arcsinh(third / variance**1.5) if n > 2.0 else 0.0
    out[5] = np.log1p(max(central / (variance * variance), 0.0)) if n > 2.0 else 0.0
    out[6] = block[B_DET] / n
    out[7] = block[B_POS] / n
    out[8] = block[B_NEG] / n
    out[9] = np.arcsinh(block[B_SNR_MAX])
    out[10] = np.arcsinh(block[B_SNR_MIN])
    out[11] = np.arcsinh(block[B_HIGH] / scale)
    out[12] = np.arcsinh(block[B_LOW] / scale)
    if block[B_HIGH] > 0.0:
        out[13] = _signed_log(block[B_T_HIGH] - start)
    if block[B_LIGHT0] > 0.0:
        days = block[B_LIGHT1] / block[B_LIGHT0]
        out[14] = _signed_log(days + state[T_FIRST] - start)
        out[15] = np.log1p(np.sqrt(max(block[B_LIGHT2] / block[B_LIGHT0] - days * days, 0.0)))
    for lag in range(3):
        count = block[B_LAG + 2 * lag + 1]
        if count > 0.0:
            out[16 + lag] = np.log1p(block[B_LAG + 2 * lag] / count)


@kernel
def summarise(state: AnyArray, scale: float, out: AnyArray) -> None:
    """Write the running summary of one state, float32 (N_SUMMARY,), in the order of SUMMARY_NAMES.

    Window fluxes are relative to the running peak and shrunk towards zero by their error; the matching
    ``_known`` entry is 0 for no information and 1 for certainty.
    """
    out[:] = 0.0
    if state[N_OBS] == 0.0:
        return
    _summarise_scalars(state, scale, out[:_N_SCALAR_OUT])
    for band in range(N_BANDS):
        block = state[BAND_BLOCK + band * BAND_SIZE : BAND_BLOCK + (band + 1) * BAND_SIZE]
        at = _N_SCALAR_OUT + band * N_BAND_SUMMARY
        _summarise_band(state, block, scale, out[at : at + N_BAND_SUMMARY])
    peak = max(state[PEAK], scale)
    prior = 1.0 / (0.3 * peak) ** 2
    for k in range(_N_WINDOWS * N_BANDS):
        weight, weighted = state[TRIGGER_BLOCK + 2 * k], state[TRIGGER_BLOCK + 2 * k + 1]
        relative = weighted / (weight + prior) / peak
        out[_WINDOW_OUT + k] = min(max(relative, -2.0), 2.0)
        out[_WINDOW_OUT + _N_WINDOWS * N_BANDS + k] = weight / (weight + prior)
