import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.constants import PARSEC_CM, SPEED_OF_LIGHT
from firstlight.cosmology import (
    NEARBY_DISTANCE_MODULUS,
    comoving_distance,
    distance_modulus,
    expansion,
    luminosity_distance,
)


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


@given(st.lists(st.floats(0.0, 1e6), min_size=2, max_size=10))
def test_farther_never_means_closer(redshift):
    redshift = np.sort([z for z in redshift if not 0.001 < z < 0.0024] or [0.0])
    # Between 0.001 and 0.0023 the convention of 10 Mpc puts nearby objects behind others.
    assert np.all(np.diff(distance_modulus(redshift)) >= 0)
    assert np.all(np.isfinite(distance_modulus(redshift)))


def test_distance_keeps_the_shape_of_its_argument():
    assert distance_modulus(0.1).shape == ()
    assert distance_modulus(np.zeros((2, 3), np.float32)).shape == (2, 3)


def test_luminosity_distance_is_that_of_astropy():
    from astropy.cosmology import FlatLambdaCDM

    z = np.array([0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 3.5, 6.0])
    expected = FlatLambdaCDM(H0=70.0, Om0=0.3).luminosity_distance(z).to_value("cm")
    np.testing.assert_allclose(luminosity_distance(z), expected, rtol=2e-6)
    assert luminosity_distance(0.0) == 0.0


def test_luminosity_distance_and_distance_modulus_agree():
    z = np.geomspace(0.0011, 6.0, 1000)
    modulus = 5.0 * np.log10(luminosity_distance(z) / PARSEC_CM / 10.0)
    np.testing.assert_allclose(distance_modulus(z), modulus, atol=1e-5)


def test_expansion_is_the_slope_of_the_comoving_distance():
    z = np.array([0.01, 0.5, 3.0])
    slope = (comoving_distance(1.05 * z) - comoving_distance(z)) / (0.05 * z)
    np.testing.assert_allclose(slope, SPEED_OF_LIGHT / 70.0 / expansion(1.025 * z), rtol=1e-3)
