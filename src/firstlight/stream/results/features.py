"""Rates, colour and peak of objects, from the running state that the classifier reads.

The state holds the brightest flux so far and mean fluxes in windows of time after the trigger and after that
peak (`firstlight.encoder.running`), corrected for dust where E(B-V) is known. So these values do not depend
on the length of the history that a packet repeats. Each is NaN until its fluxes have a signal-to-noise
ratio of `SEEN_SNR`.
"""

from typing import Any

import numpy as np

from firstlight._types import FloatArray, IntArray
from firstlight.bands import AB_ZERO_POINT_NJY, BANDS, N_BANDS
from firstlight.constants import MAG_PER_E_FOLD
from firstlight.encoder import running
from firstlight.followup.brightness import SEEN_SNR

#: Values and their decimals, in the order of the record.
FEATURE_DIGITS = {
    "rise": 5,
    "rise_err": 5,
    "decline": 5,
    "decline_err": 5,
    "colour": 4,
    "colour_err": 4,
    "colour_rate": 5,
    "colour_rate_err": 5,
    "peak_mag": 4,
    "peak_mag_err": 4,
    "peak_mjd": 9,
}
#: Pairs of bands of the colour, the preferred one first.
PAIRS = tuple((BANDS.index(a), BANDS.index(b)) for a, b in ("gr", "ri", "ug", "iz", "zy"))
#: Name of the pair of each colour; the last one is that of no colour.
PAIR_NAMES = (*(f"{BANDS[a]}-{BANDS[b]}" for a, b in PAIRS), "")
_LEAST_DAYS = 1.0  # between the fluxes of a rate
_SPREAD = 1.0 / np.sqrt(12.0)  # standard deviation of a time in a window of length 1


def transient_features(state: FloatArray) -> tuple[dict[str, FloatArray], IntArray]:
    """Rates, colours and peaks.

    Parameters
    ----------
    state : float64 array, shape (n_objects, running.STATE_SIZE)
        Running states.

    Returns
    -------
    values : dict of float64 arrays, shape (n_objects,)
        By the names of `FEATURE_DIGITS`; magnitudes in AB mag, rates in mag per day (negative while
        brightening), the time in MJD TAI. Rise: from the first window after the trigger that ends before the
        peak, to the peak; decline: from the peak to the last flux, both in the band of the peak. Colour: in
        the six days after the peak; its rate to the last later window with the same bands.
    pair : int array, shape (n_objects,)
        Index into `PAIR_NAMES` of the colour.
    """
    peak, low, at = state[:, running.PEAK], state[:, running.PEAK_LOW], state[:, running.T_PEAK]
    mag, err = _magnitude(peak, (peak - low) / running.PEAK_MARGIN)
    values = {"peak_mag": mag, "peak_mag_err": err, "peak_mjd": np.where(np.isnan(mag), np.nan, at)}
    band = state[:, running.PEAK_BAND].astype(np.int64)
    values["rise"], values["rise_err"] = _rise(state, band, mag, err, at)
    last = running.BAND_BLOCK + band * running.BAND_SIZE
    rows = np.arange(len(state))
    flux, flux_err, time = (
        state[rows, last + column] for column in (running.B_LAST_F, running.B_LAST_E, running.B_LAST_T)
    )
    values["decline"], values["decline_err"] = _rate(
        (mag, err, at), (*_magnitude(flux, flux_err), time), np.zeros(len(state))
    )
    colours, pair = _colours(state)
    return values | colours, pair


def _magnitude(flux: FloatArray, err: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Magnitudes and errors; NaN below `SEEN_SNR`."""
    seen = (flux > 0.0) & (err > 0.0) & (flux >= SEEN_SNR * err)
    flux, err = np.where(seen, flux, np.nan), np.where(seen, err, np.nan)
    return AB_ZERO_POINT_NJY - 2.5 * np.log10(flux), MAG_PER_E_FOLD * err / flux


def _rate(
    first: tuple[FloatArray, FloatArray, FloatArray],
    second: tuple[FloatArray, FloatArray, FloatArray],
    time_err: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Change per day between two values with errors and times, whose difference has an error."""
    days = second[2] - first[2]
    days = np.where(days >= _LEAST_DAYS, days, np.nan)
    rate = (second[0] - first[0]) / days
    return rate, np.sqrt(first[1] ** 2 + second[1] ** 2 + (rate * time_err) ** 2) / days


def _windows(state: FloatArray, block: int, n_windows: int) -> tuple[FloatArray, FloatArray]:
    """Mean flux of each window and band, and its error, shape (n_objects, n_windows, n_bands)."""
    sums = state[:, block : block + 2 * n_windows * N_BANDS].reshape(-1, n_windows, N_BANDS, 2)
    weight = np.where(sums[..., 0] > 0.0, sums[..., 0], np.nan)
    return sums[..., 1] / weight, 1.0 / np.sqrt(weight)


def _rise(
    state: FloatArray, band: IntArray, mag: FloatArray, err: FloatArray, at: FloatArray
) -> tuple[FloatArray, FloatArray]:
    flux, flux_err = _windows(state, running.TRIGGER_BLOCK, running.N_TRIGGER)
    rows, edges = np.arange(len(state)), running.TRIGGER_EDGES
    rise, rise_err = np.full(len(state), np.nan), np.full(len(state), np.nan)
    for k in reversed(range(1, len(edges))):  # the earliest counts
        width = edges[k] - edges[k - 1]
        one, one_err = _magnitude(flux[rows, k, band], flux_err[rows, k, band])
        trigger = state[:, running.T_TRIGGER]
        time = trigger + 0.5 * (edges[k] + edges[k - 1])
        rate, rate_err = _rate((one, one_err, time), (mag, err, at), np.full(len(state), width * _SPREAD))
        found = (at - trigger >= edges[k]) & ~np.isnan(rate)
        rise, rise_err = np.where(found, rate, rise), np.where(found, rate_err, rise_err)
    return rise, rise_err


def _colours(state: FloatArray) -> tuple[dict[str, FloatArray], IntArray]:
    mags, errs = _magnitude(*_windows(state, running.PEAK_BLOCK, running.N_PEAK))
    n, edges = len(state), running.PEAK_EDGES
    pair = np.full(n, len(PAIRS))
    for k, (a, b) in reversed(list(enumerate(PAIRS))):
        pair[~np.isnan(mags[:, 0, a] - mags[:, 0, b])] = k
    bands = np.array([*PAIRS, (0, 0)])[pair]
    rows = np.arange(n)[:, None]
    windows = np.arange(running.N_PEAK)[None]
    a, b = bands[:, :1], bands[:, 1:]
    colour = mags[rows, windows, a] - mags[rows, windows, b]
    colour_err = np.hypot(errs[rows, windows, a], errs[rows, windows, b])
    colour[pair == len(PAIRS)] = np.nan
    rate, rate_err = np.full(n, np.nan), np.full(n, np.nan)
    first = (colour[:, 0], colour_err[:, 0], np.full(n, 0.5 * edges[1]))
    for k in range(1, running.N_PEAK - 1):  # the last window has no end; the latest counts
        width = edges[k + 1] - edges[k]
        later = (colour[:, k], colour_err[:, k], np.full(n, 0.5 * (edges[k] + edges[k + 1])))
        one, one_err = _rate(first, later, np.full(n, np.hypot(width, edges[1]) * _SPREAD))
        found = ~np.isnan(one)
        rate, rate_err = np.where(found, one, rate), np.where(found, one_err, rate_err)
    found = np.where(pair == len(PAIRS), np.nan, 0.0)
    return {
        "colour": colour[:, 0],
        "colour_err": colour_err[:, 0] + found,
        "colour_rate": rate,
        "colour_rate_err": rate_err,
    }, pair


def features_schema() -> dict[str, Any]:
    """JSON Schema of the field ``features`` of a record."""
    texts = {
        "rise": "Change of magnitude from after the trigger to the peak [mag per day]; negative.",
        "rise_err": "Error of rise [mag per day].",
        "decline": "Change of magnitude from the peak to the last flux in its band [mag per day]; positive.",
        "decline_err": "Error of decline [mag per day].",
        "colour": "Colour in the six days after the peak [mag].",
        "colour_err": "Error of colour [mag].",
        "colour_rate": "Change of the colour since then [mag per day]; positive while it reddens.",
        "colour_rate_err": "Error of colour_rate [mag per day].",
        "peak_mag": "Brightest magnitude so far, in any band [AB mag].",
        "peak_mag_err": "Error of peak_mag [mag].",
        "peak_mjd": "Time of the observation with peak_mag [MJD TAI day].",
    }
    properties: dict[str, Any] = {
        name: {"type": ["number", "null"], "description": text} for name, text in texts.items()
    }
    properties["colour_bands"] = {"enum": [*PAIR_NAMES[:-1], None], "description": "Bands of the colour."}
    properties["reliability"] = {
        "type": ["number", "null"],
        "minimum": 0.0,
        "maximum": 1.0,
        "description": "The survey's score that the source is real (reliability of LSST, drb or rb of ZTF).",
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "description": "Rates, colour and peak, corrected for dust as the classifier's inputs are; only with "
        "--features. Null where the fluxes do not determine a value.",
    }
