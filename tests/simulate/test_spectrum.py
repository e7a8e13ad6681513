"""Spectra, dust and band fluxes, against direct integrals and other people's code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from firstlight.bands import BANDS, magnitude
from firstlight.cosmology import luminosity_distance
from firstlight.simulate.spectrum import TEN_PARSEC, Thermal, band_flux, dust_curve, flux_density, planck
from firstlight.simulate.throughput import lsst_throughputs

ALL_BANDS = np.arange(6, dtype=np.int8)


def fluxes(temperature: float, z: float = 0.0, cutoff: float = 0.0, a_v: float = 0.0) -> NDArray[np.float64]:
    distance = luminosity_distance(z) if z > 0.0 else TEN_PARSEC
    ones = np.ones(6)
    return band_flux(1e43 * ones, temperature * ones, ALL_BANDS, z, distance, a_v, spectrum=Thermal(cutoff))


@pytest.mark.parametrize("temperature", [3_000.0, 6_000.0, 20_000.0])
def test_a_blackbody_integrates_to_one(temperature: float) -> None:
    wavelength = np.geomspace(50.0, 5e6, 200_000)
    assert np.trapezoid(planck(wavelength, temperature), wavelength) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("temperature", [4_000.0, 10_000.0, 40_000.0])
def test_the_ultraviolet_cutoff_keeps_the_luminosity(temperature: float) -> None:
    wavelength = np.geomspace(50.0, 5e6, 100_000)
    density = flux_density(1e43, temperature, wavelength, spectrum=Thermal(3_000.0))
    light_speed_angstrom = 2.99792458e18
    total = np.trapezoid(density * 1e-32 * light_speed_angstrom / wavelength**2, wavelength)
    assert total * 4.0 * np.pi * TEN_PARSEC**2 == pytest.approx(1e43, rel=2e-3)


def test_the_cutoff_takes_from_the_ultraviolet_and_gives_to_the_red() -> None:
    plain, cut = fluxes(15_000.0, z=0.8), fluxes(15_000.0, z=0.8, cutoff=3_000.0)
    assert cut[0] < plain[0]
    assert cut[5] > plain[5]


@pytest.mark.parametrize("temperature", [3_500.0, 6_000.0, 12_000.0, 25_000.0])
@pytest.mark.parametrize("z", [0.0, 0.4, 1.5])
def test_band_fluxes_equal_a_direct_integral_over_a_tophat(temperature: float, z: float) -> None:
    # Each rule's nodes are bins, so a fine integral within the bins must agree.
    rule = lsst_throughputs()[2]
    offsets = np.linspace(-25.0, 25.0, 21)
    fine = flux_density(1e43, temperature, rule.wavelength[:, None] + offsets, z, 1e27).mean(axis=1)
    quick = band_flux(np.array([1e43]), np.array([temperature]), np.array([2], np.int8), z, 1e27)
    assert quick[0] == pytest.approx(float(fine @ rule.weight), rel=2e-3)


def test_band_fluxes_and_k_corrections_are_those_of_speclite() -> None:
    filters = pytest.importorskip("speclite.filters")
    import astropy.units as u

    wavelength = np.arange(2800.0, 12000.0, 1.0)
    for z in (0.0, 0.3, 1.2):
        for temperature in (5_000.0, 12_000.0):
            distance = float(luminosity_distance(z)) if z else TEN_PARSEC
            density = planck(wavelength / (1 + z), temperature) * 1e43 / (4 * np.pi * distance**2 * (1 + z))
            for index, band in enumerate(BANDS):
                response = filters.load_filter(f"lsst2023-{band}")
                expected = response.get_ab_magnitude(
                    density * u.erg / (u.s * u.cm**2 * u.Angstrom), wavelength * u.Angstrom
                )
                ours = magnitude(fluxes(temperature, z)[index])
                assert float(ours) == pytest.approx(float(expected), abs=3e-3), (z, temperature, band)


def test_dust_is_fitzpatrick_1999() -> None:
    models = pytest.importorskip("dust_extinction.parameter_averages")
    import astropy.units as u

    wavelength = np.array([1_200.0, 1_500.0, 2_175.0, 2_500.0, 3_500.0, 4_400.0, 5_500.0, 7_000.0, 10_000.0])
    np.testing.assert_allclose(dust_curve(wavelength), models.F99(Rv=3.1)(wavelength * u.Angstrom), rtol=2e-3)


@given(st.floats(0.0, 3.0), st.floats(0.001, 3.0), st.floats(2_500.0, 50_000.0))
def test_flux_is_never_negative_and_dust_only_dims(a_v: float, z: float, temperature: float) -> None:
    bright, dim = fluxes(temperature, z), fluxes(temperature, z, a_v=a_v)
    assert (dim >= 0.0).all()
    assert np.isfinite(bright).all()
    assert (dim <= bright * (1.0 + 1e-12)).all()


@given(st.floats(1.0, 1e4))
def test_flux_falls_with_the_square_of_distance(ratio: float) -> None:
    one = band_flux(np.ones(1) * 1e43, np.ones(1) * 8_000.0, np.array([2], np.int8), 0.1, 1e26)
    far = band_flux(np.ones(1) * 1e43, np.ones(1) * 8_000.0, np.array([2], np.int8), 0.1, 1e26 * ratio)
    assert float(one[0] / far[0]) == pytest.approx(ratio**2, rel=1e-9)


def test_no_light_is_no_flux() -> None:
    assert band_flux(np.zeros(6), np.full(6, 5_000.0), ALL_BANDS).tolist() == [0.0] * 6
