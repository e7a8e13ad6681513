import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.bands import BANDS, EFFECTIVE_WAVELENGTH, EXTINCTION_PER_EBV, magnitude
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import (
    PreprocessConfig,
    absolute_asinh_magnitude,
    asinh_flux,
    asinh_magnitude,
    deredden,
    distance_modulus,
    preprocess,
    redden,
)
from firstlight.preprocess.dust import NEARBY_DISTANCE_MODULUS, SOFTENING

BAND = st.integers(0, 5)
FLUX = st.floats(-1e9, 1e9, allow_nan=False)


def make_curves(ebv=(0.1, 0.0, np.nan), dereddened=False, redshift=(0.2, 0.0, np.nan)) -> LightCurves:
    n = len(ebv)
    return LightCurves(
        object_id=np.array([f"o{i}" for i in range(n)]),
        offsets=6 * np.arange(n + 1),
        mjd=np.tile(np.arange(6.0), n),
        band=np.tile(np.arange(6), n),
        flux=np.tile([100.0, -50.0, 0.0, 1e6, 3.0, -1e6], n),
        flux_err=np.full(6 * n, 10.0),
        ebv=np.array(ebv),
        redshift=np.array(redshift, dtype=float)[:n],
        dereddened=dereddened,
    )


# --- dust -----------------------------------------------------------------------


def test_extinction_coefficients_are_those_of_fitzpatrick_1999():
    from astropy import units
    from dust_extinction.parameter_averages import F99

    expected = 3.1 * F99(Rv=3.1)(EFFECTIVE_WAVELENGTH * units.AA)
    np.testing.assert_allclose(EXTINCTION_PER_EBV, expected, rtol=0.005)


def test_dereddening_brightens_by_the_extinction_of_the_band():
    curves = make_curves()
    ready = deredden(curves)
    assert ready.dereddened
    brighter = -2.5 * np.log10(ready.flux_err[:6] / curves.flux_err[:6])
    np.testing.assert_allclose(brighter, -0.1 * EXTINCTION_PER_EBV, atol=1e-6)
    np.testing.assert_allclose(ready.flux / ready.flux_err, curves.flux / curves.flux_err, rtol=1e-5)


def test_objects_without_reddening_or_without_knowing_it_keep_their_fluxes(caplog):
    curves = make_curves()
    with caplog.at_level(logging.WARNING):
        ready = deredden(curves)
    np.testing.assert_array_equal(ready.flux[6:], curves.flux[6:])
    np.testing.assert_array_equal(ready.flux_err[6:], curves.flux_err[6:])
    assert "unknown for 1 of 3 objects" in caplog.text


def test_dereddening_twice_is_dereddening_once():
    ready = deredden(make_curves())
    assert deredden(ready) is ready
    assert redden(make_curves()).dereddened is False


def test_the_double_correction_of_the_seed_must_be_asked_for():
    ready = deredden(make_curves())
    double = deredden(ready, again=True)
    np.testing.assert_allclose(double.flux[0] / ready.flux[0], 10 ** (0.4 * 0.1 * 4.681), rtol=1e-5)


@given(ebv=st.lists(st.floats(0.0, 20.0), min_size=1, max_size=5))
def test_reddening_undoes_dereddening(ebv):
    curves = make_curves(ebv, redshift=np.zeros(len(ebv)))
    there_and_back = redden(deredden(curves))
    assert not there_and_back.dereddened
    np.testing.assert_allclose(there_and_back.flux, curves.flux, rtol=1e-6)
    np.testing.assert_allclose(there_and_back.flux_err, curves.flux_err, rtol=1e-6)


@pytest.mark.parametrize("ebv", [-0.01, 1e4, np.inf])
def test_absurd_reddening_still_gives_valid_fluxes(ebv):
    ready = deredden(make_curves([ebv]))
    again = ready.with_columns(flux=np.array(ready.flux))  # checks every value
    assert again.dereddened
    assert np.all(ready.flux_err >= 10.0 - 1e-6)


def test_the_result_is_read_only_and_the_input_untouched():
    curves = make_curves()
    before = curves.flux.copy()
    ready = deredden(curves)
    np.testing.assert_array_equal(curves.flux, before)
    with pytest.raises(ValueError, match="read-only"):
        ready.flux[0] = 1.0


@pytest.mark.parametrize(
    ("mode", "source_corrected", "factor"),
    [("auto", False, 1), ("auto", True, 0), ("always", True, 1), ("never", False, 0)],
)
def test_preprocess_corrects_as_the_mode_says(mode, source_corrected, factor):
    curves = make_curves(dereddened=source_corrected)
    ready = preprocess(curves, PreprocessConfig(deredden=mode))
    np.testing.assert_allclose(ready.flux[0] / curves.flux[0], 10 ** (0.4 * 0.1 * 4.681 * factor), rtol=1e-5)
    assert ready.dereddened == (source_corrected or mode != "never")


# --- distance -------------------------------------------------------------------


def test_distance_modulus_is_that_of_astropy():
    from astropy.cosmology import FlatLambdaCDM

    redshift = np.concatenate([np.geomspace(0.00101, 10.0, 4001), [0.0010001, 50.0, 1000.0]])
    expected = FlatLambdaCDM(H0=70.0, Om0=0.3).distmod(redshift).value
    np.testing.assert_allclose(distance_modulus(redshift), expected, atol=1e-4)


@pytest.mark.parametrize("redshift", [0.0, 0.001, 0.0005, -0.01])
def test_nearby_objects_stand_at_ten_megaparsec(redshift):
    assert distance_modulus(redshift) == NEARBY_DISTANCE_MODULUS == 5 * np.log10(10e6 / 10)


def test_an_unknown_redshift_has_no_distance():
    assert np.isnan(distance_modulus(np.nan))
    assert np.isnan(absolute_asinh_magnitude(1e3, 2, np.nan))


@given(st.lists(st.floats(0.0, 1e6), min_size=2, max_size=10))
def test_farther_never_means_closer(redshift):
    redshift = np.sort([z for z in redshift if not 0.001 < z < 0.0024] or [0.0])
    # Between 0.001 and 0.0023 the convention of 10 Mpc puts nearby objects behind others.
    assert np.all(np.diff(distance_modulus(redshift)) >= 0)
    assert np.all(np.isfinite(distance_modulus(redshift)))


def test_distance_keeps_the_shape_of_its_argument():
    assert distance_modulus(0.1).shape == ()
    assert distance_modulus(np.zeros((2, 3), np.float32)).shape == (2, 3)


# --- magnitudes -----------------------------------------------------------------


@given(flux=FLUX, band=BAND)
def test_asinh_flux_undoes_asinh_magnitude(flux, band):
    back = float(asinh_flux(asinh_magnitude(flux, band), band))
    assert back == pytest.approx(flux, rel=1e-9, abs=1e-6)


@given(st.floats(-30, 60), BAND)
def test_asinh_magnitude_undoes_asinh_flux(mag, band):
    assert float(asinh_magnitude(asinh_flux(mag, band), band)) == pytest.approx(mag, abs=1e-9)


@given(band=BAND, snr=st.floats(5.0, 1e6))
def test_significant_fluxes_have_their_ab_magnitude(band, snr):
    flux = snr * SOFTENING[band] / 1.042
    # asinh(x) = ln 2x + 1/(4x^2) - ..., hence 1.0857 / snr^2 mag, 0.047 mag at 5 sigma
    assert abs(float(asinh_magnitude(flux, band) - magnitude(flux))) < 1.2 / snr**2 + 1e-9


@given(st.lists(st.floats(-1e30, 1e30), min_size=2, max_size=20), BAND)
def test_brighter_is_never_a_larger_magnitude(flux, band):
    mags = asinh_magnitude(np.sort(flux), np.full(len(flux), band))
    assert np.all(np.isfinite(mags))
    assert np.all(np.diff(mags) <= 0)


def test_no_flux_has_the_same_magnitude_in_flux_units_of_any_softening():
    np.testing.assert_allclose(asinh_magnitude(np.zeros(6), np.arange(6)), 31.4 - 2.5 * np.log10(SOFTENING))


def test_softening_is_the_noise_of_one_visit():
    assert SOFTENING.shape == (len(BANDS),)
    five_sigma = 5 * SOFTENING / 1.042
    np.testing.assert_allclose(magnitude(five_sigma), [23.78, 24.81, 24.35, 23.92, 23.34, 22.45], atol=1e-6)


@pytest.mark.parametrize("softening", [1.0, [1.0] * 5, [0.0] + [1.0] * 5, [np.nan] + [1.0] * 5])
def test_a_softening_that_is_none_is_refused(softening):
    with pytest.raises(DataError, match="softening"):
        asinh_magnitude(1.0, 0, softening)


def test_absolute_magnitude_is_less_by_the_distance_modulus():
    flux = np.array([1e4, -5.0])
    expected = asinh_magnitude(flux, [2, 3]) - distance_modulus(0.5)
    np.testing.assert_allclose(absolute_asinh_magnitude(flux, [2, 3], 0.5), expected)


def test_a_type_ia_supernova_is_as_bright_as_it_should_be():
    # Apparent 24.0 mag at z = 0.65 is about -19 without a K correction.
    flux = 10 ** (0.4 * (31.4 - 24.0))
    assert float(absolute_asinh_magnitude(flux, 3, 0.65)) == pytest.approx(-18.96, abs=0.05)
