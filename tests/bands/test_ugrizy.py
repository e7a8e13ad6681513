"""Passbands, zero points and extinction coefficients."""

import numpy as np
import pytest
from astropy import units as u
from dust_extinction.parameter_averages import F99
from hypothesis import given
from hypothesis import strategies as st

from firstlight.bands import (
    BANDS,
    EFFECTIVE_WAVELENGTH,
    EXTINCTION_PER_EBV,
    band_index,
    flux_to_njy,
    magnitude,
    magnitude_to_njy,
    match_bands,
)
from firstlight.errors import DataError, UnknownBandError


def test_extinction_is_fitzpatrick_1999_at_the_effective_wavelengths():
    model = F99(Rv=3.1)
    expected = 3.1 * model(EFFECTIVE_WAVELENGTH * u.AA)
    np.testing.assert_allclose(EXTINCTION_PER_EBV, expected, rtol=0.005)


def test_bands_run_from_blue_to_red():
    assert np.all(np.diff(EFFECTIVE_WAVELENGTH) > 0)
    assert np.all(np.diff(EXTINCTION_PER_EBV) < 0)
    assert len(EFFECTIVE_WAVELENGTH) == len(EXTINCTION_PER_EBV) == len(BANDS)


def test_constants_cannot_be_overwritten():
    with pytest.raises(ValueError, match="read-only"):
        EXTINCTION_PER_EBV[0] = 0.0


@pytest.mark.parametrize("spelling", ["{}", "lsst{}", "lsst_{}", "LSST_{}", " {} "])
def test_every_spelling_of_a_band_is_the_same_band(spelling):
    assert band_index(spelling.format(name) for name in BANDS).tolist() == [0, 1, 2, 3, 4, 5]


def test_an_unknown_band_is_named_with_the_known_ones():
    with pytest.raises(UnknownBandError, match=r"unknown band\(s\) \['J', 'K'\].*u, g, r"):
        band_index(["g", "K", "J"])


def test_lenient_matching_takes_numbers_and_marks_the_rest():
    assert match_bands(["0", "5", "y", "Y", "6", "", "None"]).tolist() == [0, 5, 5, 5, -1, -1, -1]
    assert match_bands([]).shape == (0,)


def test_numbers_are_not_names():
    with pytest.raises(UnknownBandError):
        band_index(["0"])


def test_one_plasticc_unit_is_36_nanojansky():
    assert flux_to_njy(1.0, 27.5) == pytest.approx(36.3078, abs=1e-4)
    assert flux_to_njy(1.0, 23.9) == pytest.approx(1000.0)
    assert flux_to_njy(3.0, 31.4) == 3.0


@pytest.mark.parametrize("zero_point", [-1.0, 40.1, np.nan, np.inf])
def test_an_impossible_zero_point_is_refused(zero_point):
    with pytest.raises(DataError, match="not an AB zero point"):
        flux_to_njy(1.0, zero_point)


def test_zero_points_may_differ_by_row():
    np.testing.assert_allclose(flux_to_njy([1.0, 1.0], [31.4, 28.9]), [1.0, 10.0])


@given(st.floats(0.0, 40.0), st.floats(0.01, 1e6))
def test_a_flux_of_one_unit_has_its_zero_point_as_magnitude(zero_point, flux):
    expected = zero_point - 2.5 * np.log10(flux)
    assert float(magnitude(flux_to_njy(flux, zero_point))) == pytest.approx(expected, abs=1e-9)


def test_magnitudes_of_non_positive_fluxes_are_nan_without_a_warning():
    assert np.isnan(magnitude([0.0, -5.0, np.nan])).all()


@pytest.mark.parametrize("flux", [1.0, 1e-3, 4e5])
def test_a_magnitude_and_its_error_are_a_flux_and_its_error(flux):
    made, error = magnitude_to_njy(magnitude(flux), 0.1)
    assert float(made) == pytest.approx(flux)
    assert float(error) == pytest.approx(flux * 0.1 * np.log(10) / 2.5)
    assert float(magnitude_to_njy(magnitude(flux), 0.1, 0.5)[0]) == pytest.approx(flux * 10**-0.2)
