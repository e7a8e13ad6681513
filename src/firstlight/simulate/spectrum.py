"""Flux in LSST bands of a source of given luminosity and temperature: spectrum, dust, redshift.

The spectrum is a blackbody (`Thermal`), whose ultraviolet may be suppressed below a cutoff
(Nicholl et al. 2017, doi:10.3847/1538-4357/aa9334); the light taken there is given
back at all wavelengths, so that the bolometric luminosity is kept. Any other `Spectrum` will do,
such as a template at a phase. It is dimmed by the host's dust in its own frame, redshifted, and
integrated through each band, so K-corrections are exact. Absorption by intergalactic hydrogen
is left out: it enters the u band only beyond redshift 2.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight._types import FloatArray
from firstlight.bands import AB_ZERO_POINT_NJY, N_BANDS
from firstlight.constants import PARSEC_CM, SPEED_OF_LIGHT
from firstlight.errors import missing_extra
from firstlight.simulate.throughput import lsst_throughputs

PLANCK = 6.62607015e-27  # erg s
BOLTZMANN = 1.380649e-16  # erg/K
LIGHT_SPEED = SPEED_OF_LIGHT * 1e5  # cm/s
SIGMA_SB = 5.670374419e-5  # erg/s/cm^2/K^4
ANGSTROM = 1e-8  # cm
NANOJANSKY = 1e-32  # erg/s/cm^2/Hz
TEN_PARSEC = 10.0 * PARSEC_CM  # cm
HC_OVER_K = PLANCK * LIGHT_SPEED / BOLTZMANN / ANGSTROM  # Angstrom K

_MAX_EXPONENT = 600.0  # exp(600) is finite and its inverse is nothing


def planck(wavelength: ArrayLike, temperature: ArrayLike) -> FloatArray:
    """Blackbody ``pi B_lambda / (sigma T^4)`` [1/Angstrom]; its integral over wavelength is 1."""
    wavelength, temperature = np.asarray(wavelength, np.float64), np.asarray(temperature, np.float64)
    exponent = np.minimum(HC_OVER_K / (wavelength * temperature), _MAX_EXPONENT)
    # 15 / pi^4 x^4 / (e^x - 1) is the blackbody per logarithm of wavelength.
    squared = exponent * exponent  # numpy's power to 4 costs more than the exponential
    return np.asarray(15.0 / np.pi**4 * (squared * squared) / np.expm1(exponent) / wavelength)


class Spectrum(Protocol):
    """How a source's luminosity is spread over rest wavelengths."""

    def __call__(self, rest: FloatArray, state: FloatArray) -> FloatArray:
        """Share of the luminosity per wavelength [1/Angstrom] at rest wavelengths [Angstrom].

        `state` broadcasts against `rest`: the temperature of a thermal source [K], or the phase of a
        template [day].
        """


@dataclass(frozen=True, slots=True)
class Thermal:
    """A blackbody, whose state is its temperature [K].

    Below `uv_cutoff` [Angstrom] the spectrum is suppressed in proportion to wavelength.
    """

    uv_cutoff: float = 0.0

    def __call__(self, rest: FloatArray, state: FloatArray) -> FloatArray:
        """See `Spectrum`."""
        spectrum = planck(rest, state)
        if self.uv_cutoff > 0.0:
            spectrum = spectrum * np.minimum(rest / self.uv_cutoff, 1.0) / _kept_share(state, self.uv_cutoff)
        return spectrum


BLACKBODY = Thermal()


@lru_cache(maxsize=1)
def _cutoff_table() -> tuple[FloatArray, FloatArray]:
    """Share of a blackbody that survives suppression below a cutoff, against log hc / (cutoff k T)."""
    log_x = np.linspace(np.log(0.02), np.log(100.0), 600)
    x = np.linspace(1e-4, 120.0, 60_001)
    energy = 15.0 / np.pi**4 * x**3 / np.expm1(x)  # per unit of hc / (lambda k T)
    step = x[1] - x[0]
    # Below the cutoff (x above x_c) the share 1 - x_c / x of the light is lost.
    above = np.cumsum(energy[::-1])[::-1] * step
    above_over_x = np.cumsum((energy / x)[::-1])[::-1] * step
    x_c = np.exp(log_x)
    lost = np.interp(x_c, x, above) - x_c * np.interp(x_c, x, above_over_x)
    return log_x, 1.0 - np.clip(lost, 0.0, 1.0)


def _kept_share(temperature: FloatArray, cutoff: float) -> FloatArray:
    log_x, share = _cutoff_table()
    return np.interp(np.log(HC_OVER_K / (cutoff * temperature)), log_x, share)


def scipy_part(name: str) -> Any:
    """A sub-package of scipy, which nothing but simulating and training needs; else MissingExtraError."""
    try:
        return import_module(f"scipy.{name}")
    except ImportError as error:
        raise missing_extra("simulating transients", "scipy", "train") from error


@lru_cache(maxsize=1)
def _dust_spline() -> Any:
    """Spline of Fitzpatrick (1999) for R_V = 3.1 from the infrared to 2700 Angstrom, A / E(B-V)."""
    spline = scipy_part("interpolate").CubicSpline
    r_v = 3.1
    x = 1e4 / np.array([26_500.0, 12_200.0, 6_000.0, 5_470.0, 4_670.0, 4_110.0, 2_700.0, 2_600.0])
    optical = [
        -0.426 + 1.0044 * r_v,
        -0.050 + 1.0016 * r_v,
        0.701 + 1.0016 * r_v,
        1.208 + 1.0032 * r_v - 0.00033 * r_v**2,
    ]
    infrared = [0.265 * r_v / 3.1, 0.829 * r_v / 3.1]
    ends = _ultraviolet(x[-2:]) + r_v
    return spline(np.concatenate([[0.0], x]), np.concatenate([[0.0], infrared, optical, ends]))


def _ultraviolet(x: FloatArray) -> FloatArray:
    """Ultraviolet part k(x) = E(lambda - V) / E(B - V) of Fitzpatrick (1999), R_V = 3.1."""
    c2 = -0.824 + 4.717 / 3.1
    c1 = 2.030 - 3.007 * c2
    drude = x**2 / ((x**2 - 4.596**2) ** 2 + (0.99 * x) ** 2)
    rise = np.clip(x - 5.9, 0.0, None)
    return c1 + c2 * x + 3.23 * drude + 0.41 * (0.5392 * rise**2 + 0.05644 * rise**3)


_WAVENUMBERS = 20_000  # steps of the look-up table, 0 to 10 per micron


@lru_cache(maxsize=1)
def _dust_table() -> FloatArray:
    """A(lambda) / A(V) on a grid of wavenumbers so fine that the nearest point will do."""
    x = np.linspace(0.0, 10.0, _WAVENUMBERS + 1)
    blue = _ultraviolet(np.maximum(x, 1e4 / 2700.0)) + 3.1
    return np.where(x > 1e4 / 2700.0, blue, _dust_spline()(x)) / 3.1


def dust_curve(wavelength: ArrayLike) -> FloatArray:
    """A(wavelength) / A(V) by Fitzpatrick (1999, PASP 111, 63, doi:10.1086/316293) with R_V = 3.1.

    Rest wavelengths below 1000 Angstrom have the value at 1000.

    Examples
    --------
    >>> round(float(dust_curve(5470.0)), 2)
    0.99
    """
    place = 0.1 * _WAVENUMBERS * 1e4 / np.maximum(np.asarray(wavelength, np.float64), 1000.0)
    return np.asarray(_dust_table()[(place + 0.5).astype(np.int64)])


def flux_density(
    luminosity: ArrayLike,
    state: ArrayLike,
    wavelength: ArrayLike,
    redshift: ArrayLike = 0.0,
    distance: ArrayLike = TEN_PARSEC,
    a_v: ArrayLike = 0.0,
    *,
    spectrum: Spectrum = BLACKBODY,
) -> FloatArray:
    """Flux density f_nu [nJy] at observed wavelengths [Angstrom]; all arguments broadcast.

    Arguments are the bolometric luminosity [erg/s], the state that `spectrum` depends on,
    redshift, luminosity distance [cm], and V-band extinction in the host [mag].
    """
    wavelength, one_z = np.asarray(wavelength, np.float64), 1.0 + np.asarray(redshift, np.float64)
    a_v = np.asarray(a_v, np.float64)
    rest = wavelength / one_z
    share = spectrum(rest, np.asarray(state, np.float64))
    if np.any(a_v != 0.0):
        share = share * np.exp(-0.4 * np.log(10.0) * a_v * dust_curve(rest))
    # f_lambda to f_nu: times lambda^2 / c, with lambda and d lambda in Angstrom.
    to_nu = wavelength**2 * (ANGSTROM / LIGHT_SPEED / NANOJANSKY)
    sphere = 4.0 * np.pi * np.asarray(distance, np.float64) ** 2 * one_z
    return np.asarray(np.asarray(luminosity, np.float64) / sphere * share * to_nu)


def band_flux(
    luminosity: FloatArray,
    state: FloatArray,
    band: NDArray[np.int8],
    redshift: ArrayLike = 0.0,
    distance: ArrayLike = TEN_PARSEC,
    a_v: ArrayLike = 0.0,
    *,
    spectrum: Spectrum = BLACKBODY,
) -> FloatArray:
    """Mean flux density [nJy] through the band of each source, shape (n,); see `flux_density`."""
    flux = np.zeros(len(luminosity))
    columns = [luminosity, state, redshift, distance, a_v]
    lit = luminosity > 0.0
    for index in range(N_BANDS):
        where = np.flatnonzero((band == index) & lit)
        if not len(where):
            continue
        nodes = lsst_throughputs()[index]
        light, at, z, far, dust = (
            np.broadcast_to(np.asarray(value, np.float64), flux.shape)[where, None] for value in columns
        )
        density = flux_density(light, at, nodes.wavelength, z, far, dust, spectrum=spectrum)
        flux[where] = density @ nodes.weight  # (n_in_band, n_nodes) @ (n_nodes,)
    return flux


def magnitude_of(flux: FloatArray) -> FloatArray:
    """AB magnitude of model fluxes [nJy], finite where there is no light."""
    return np.asarray(AB_ZERO_POINT_NJY - 2.5 * np.log10(np.maximum(flux, 1e-30)))
