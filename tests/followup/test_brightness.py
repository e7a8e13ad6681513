"""Magnitude, trend and peak from the observations so far."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from firstlight.bands import BANDS, magnitude
from firstlight.followup.brightness import DAMPING, PRIOR_SLOPE, Brightness, measure_brightness
from firstlight.lightcurves import LightCurves

COLUMNS = ("band", "mag", "mag_err", "mag_mjd", "slope", "slope_err", "peak_mag", "peak_mjd")


def one(mjd, band, flux, err=10.0) -> LightCurves:
    n = len(mjd)
    err = np.broadcast_to(np.asarray(err, float), (n,))
    band = np.broadcast_to(np.asarray(band), (n,))
    return LightCurves(np.array(["a"]), np.array([0, n]), np.array(mjd, float), band, np.array(flux), err)


def exponential(slope, days, bands=(2,), err=0.01, m0=21.0) -> LightCurves:
    """Fluxes that change by `slope` mag/day, at the given days, in the given bands by turns."""
    days = np.asarray(days, dtype=float)
    flux = 10.0 ** (-0.4 * (m0 + slope * days - 31.4))
    return one(60_000.0 + days, np.resize(bands, len(days)), flux, err * flux)


def test_magnitude_is_that_of_the_latest_flux():
    b = measure_brightness(one([1.0, 2.0], 1, [1000.0, 2000.0], 20.0))
    assert b.mag[0] == pytest.approx(magnitude(2000.0))
    assert b.mag_err[0] == pytest.approx(1.0857 * 0.01, rel=1e-3)
    assert (b.mag_mjd[0], BANDS[b.band[0]], b.band_name[0]) == (2.0, "g", "g")


def test_band_is_the_one_with_the_most_significant_last_flux():
    b = measure_brightness(one([1.0, 2.0, 3.0], [1, 2, 3], [900.0, 800.0, 500.0], [20.0, 10.0, 10.0]))
    assert BANDS[b.band[0]] == "r"


def test_a_band_whose_last_flux_is_not_significant_is_not_chosen():
    b = measure_brightness(one([1.0, 2.0, 3.0], [1, 1, 2], [9000.0, 5.0, 400.0], 10.0))
    assert BANDS[b.band[0]] == "r"


def test_an_old_flux_gives_no_current_magnitude():
    b = measure_brightness(one([1.0, 60.0], [1, 2], [9000.0, 5.0]))
    assert b.band[0] == -1
    assert np.isnan([b.mag[0], b.slope[0], b.mag_mjd[0]]).all()
    assert b.peak_mjd[0] == 1.0


def test_without_a_significant_flux_or_observation_all_is_unknown():
    dark = measure_brightness(one([1.0, 2.0], 1, [1.0, -30.0]))
    nothing = measure_brightness(one([], 1, []))
    for b in (dark, nothing):
        assert b.band[0] == -1
        assert b.band_name[0] == ""
        assert all(np.isnan(getattr(b, name)[0]) for name in COLUMNS[1:])


@pytest.mark.parametrize("slope", [-0.3, -0.05, 0.05, 0.3])
@pytest.mark.parametrize("bands", [(2,), (1, 2), (1, 2, 3)])
def test_slope_is_found_in_one_band_or_several(slope, bands):
    b = measure_brightness(exponential(slope, np.arange(0.0, 12.0, 1.0), bands))
    assert b.slope[0] == pytest.approx(slope, abs=0.05 * abs(slope) + 0.002)
    assert b.slope_err[0] < 0.02


def test_a_colour_is_not_a_trend():
    flux = np.where(np.arange(10) % 2, 3000.0, 500.0)
    b = measure_brightness(one(np.arange(10.0), np.arange(10) % 2 + 1, flux, 0.01 * flux))
    assert abs(b.slope[0]) < 1e-3


def test_one_observation_has_the_slope_of_the_prior():
    b = measure_brightness(one([1.0], 1, [1000.0]))
    assert b.slope[0] == 0.0
    assert b.slope_err[0] == pytest.approx(PRIOR_SLOPE)


def test_faint_fluxes_keep_the_slope_near_the_prior():
    b = measure_brightness(one([1.0, 2.0], 1, [30.0, 50.0], 10.0))
    assert abs(b.slope[0]) < 0.05
    assert b.slope_err[0] > 0.8 * PRIOR_SLOPE


def test_slope_is_of_the_last_nights():
    days = np.arange(0.0, 40.0, 1.0)
    mag = 21.0 - 0.1 * np.minimum(days, 25.0) + 0.2 * np.maximum(days - 25.0, 0.0)
    flux = 10.0 ** (-0.4 * (mag - 31.4))
    assert measure_brightness(one(days, 2, flux, 0.01 * flux)).slope[0] == pytest.approx(0.2, abs=0.05)


def test_peak_is_the_brightest_flux_so_far():
    b = measure_brightness(one([1.0, 2.0, 3.0, 4.0], [1, 2, 1, 2], [100.0, 900.0, 400.0, 300.0]))
    assert b.peak_mjd[0] == 2.0
    assert b.peak_mag[0] == pytest.approx(magnitude(900.0))


def test_a_noisy_flux_is_no_peak():
    b = measure_brightness(one([1.0, 2.0, 3.0], 1, [300.0, 900.0, 200.0], [10.0, 400.0, 10.0]))
    assert b.peak_mjd[0] == 1.0


def test_later_observations_change_nothing(sample):
    cut = sample.trigger_mjd + 10.0
    early = sample.upto_mjd(cut)
    whole_then_cut = sample.keep(sample.mjd <= np.repeat(cut, sample.n_obs))
    known = np.isfinite(cut)
    a, b = measure_brightness(early.take(known)), measure_brightness(whole_then_cut.take(known))
    for name in COLUMNS:
        assert_array_equal(getattr(a, name), getattr(b, name))


def test_the_brightness_of_an_object_does_not_depend_on_other_objects(sample):
    together = measure_brightness(sample)
    for i in range(0, len(sample), 9):
        alone = measure_brightness(sample.take([i]))
        for name in COLUMNS:
            assert getattr(alone, name).tobytes() == getattr(together, name)[i : i + 1].tobytes()
        whens = np.array([61_000.0])
        for a, b in zip(alone.expected(whens), together.expected(61_000.0), strict=True):
            assert a.tobytes() == b[i : i + 1].tobytes()


def test_the_expected_magnitude_follows_a_damped_trend():
    b = measure_brightness(exponential(0.1, np.arange(0.0, 12.0, 0.5)))
    now, slope = b.mag[0], b.slope[0]
    assert b.expected(b.mag_mjd)[0][0] == pytest.approx(now)
    assert b.expected(b.mag_mjd + 1.0)[0][0] == pytest.approx(now + slope, abs=0.01)
    assert b.expected(b.mag_mjd + 1000.0)[0][0] == pytest.approx(now + DAMPING * slope)


def test_the_error_grows_with_time_and_the_past_is_not_expected():
    b = measure_brightness(exponential(0.1, np.arange(0.0, 12.0, 0.5)))
    errors = [b.expected(b.mag_mjd + days)[1][0] for days in (0.0, 1.0, 5.0, 30.0)]
    assert errors == sorted(errors)
    assert errors[0] == pytest.approx(b.mag_err[0])
    assert b.expected(b.mag_mjd - 5.0)[0][0] == b.mag[0]


def test_an_undetected_object_has_no_expected_magnitude():
    b = measure_brightness(one([1.0], 1, [1.0]))
    assert np.isnan(b.expected(5.0)).all()


def test_objects_can_be_taken(sample):
    b = measure_brightness(sample)
    assert isinstance(b.take([0, 2]), Brightness)
    assert_array_equal(b.take([0, 2]).mag, b.mag[[0, 2]])
    assert len(b.take(b.band >= 0)) == int((b.band >= 0).sum())
