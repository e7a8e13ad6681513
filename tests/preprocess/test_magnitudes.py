import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firstlight.bands import BANDS, magnitude
from firstlight.preprocess import asinh_magnitude
from firstlight.preprocess.magnitudes import SOFTENING

BAND = st.integers(0, 5)


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


def test_zero_flux_has_the_magnitude_of_the_softening_flux():
    np.testing.assert_allclose(asinh_magnitude(np.zeros(6), np.arange(6)), 31.4 - 2.5 * np.log10(SOFTENING))


def test_softening_is_the_noise_of_one_visit():
    assert SOFTENING.shape == (len(BANDS),)
    five_sigma = 5 * SOFTENING / 1.042
    np.testing.assert_allclose(magnitude(five_sigma), [23.78, 24.81, 24.35, 23.92, 23.34, 22.45], atol=1e-6)
