"""Rates, colour and peak from the running state: values of light curves whose rates are known."""

import numpy as np
import pytest

from firstlight.bands import BANDS
from firstlight.encoder import running
from firstlight.stream.results.features import PAIR_NAMES, transient_features

BINS = np.array([3.0, 1.0])
SLOPES = {"g": (-0.2, 0.05), "r": (-0.2, 0.03)}  # mag per day before and after the peak
PEAK_MJD, PEAK_MAG = 60020.0, {"g": 19.0, "r": 19.3}


def state_of(rows):
    """The running state after (mjd, band, magnitude, error of magnitude)."""
    state = np.empty(running.STATE_SIZE)
    running.clear(state)
    closed = np.empty(running.N_CHANNELS, np.float32)
    for mjd, band, mag, err in rows:
        flux = 10.0 ** (0.4 * (31.4 - mag))
        flux_err = flux * err / 1.0857362
        running.advance(state, mjd, BANDS.index(band), flux, flux_err, mjd >= 60000.0, 300.0, BINS, closed)
    return state[None]


def transient(err=0.02, last=60):
    rows = []
    for day in range(-10, last):
        for k, band in enumerate("gr"):
            before, after = SLOPES[band]
            days = day - 20.0
            mag = PEAK_MAG[band] + (before * days if days < 0 else after * days)
            rows.append((60000.0 + day + 0.01 * k, band, mag, err))
    return rows


@pytest.mark.parametrize("err", [0.01, 0.05])
def test_the_rates_of_a_transient_are_found_within_their_errors(err):
    values, pair = transient_features(state_of(transient(err)))
    found = {name: float(column[0]) for name, column in values.items()}
    assert found["peak_mag"] == pytest.approx(19.0, abs=1e-6)
    assert found["peak_mag_err"] == pytest.approx(err, rel=1e-6)
    assert found["peak_mjd"] == pytest.approx(PEAK_MJD)
    assert found["decline"] == pytest.approx(0.05, abs=1e-3)
    assert found["decline_err"] == pytest.approx(np.hypot(err, err) / 39.0, rel=0.02)
    assert abs(found["rise"] + 0.2) < 2.0 * found["rise_err"]
    assert found["rise_err"] < 0.05
    assert PAIR_NAMES[pair[0]] == "g-r"
    assert found["colour"] == pytest.approx(-0.3 + 0.02 * 2.5, abs=0.03)  # six days after the peak
    assert abs(found["colour_rate"] - 0.02) < 2.0 * found["colour_rate_err"]
    assert found["colour_rate_err"] < 0.01


def test_values_that_fluxes_do_not_determine_are_missing():
    empty, pair = transient_features(state_of([]))
    assert all(np.isnan(column[0]) for column in empty.values())
    assert PAIR_NAMES[pair[0]] == ""
    one, _ = transient_features(state_of([(60000.0, "g", 20.0, 0.1)]))
    assert not np.isnan(one["peak_mag"][0])
    assert np.isnan(one["decline"][0])
    assert np.isnan(one["rise"][0])
    faint, _ = transient_features(state_of([(60000.0 + k, "g", 24.0, 0.5) for k in range(9)]))
    assert np.isnan(faint["peak_mag"][0])  # signal-to-noise ratio of 2
    rising, _ = transient_features(state_of(transient(last=18)))
    assert np.isnan(rising["decline"][0])
    assert rising["rise"][0] < 0.0


def test_each_row_is_that_of_its_object():
    states = np.concatenate([state_of(transient(0.01)), state_of([]), state_of(transient(0.05, 30))])
    together, pairs = transient_features(states)
    for k, state in enumerate(states):
        alone, pair = transient_features(state[None])
        assert pairs[k] == pair[0]
        for name, column in together.items():
            np.testing.assert_array_equal(column[k], alone[name][0], err_msg=name)
