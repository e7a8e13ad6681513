"""Distances and volumetric rates: where in redshift transients are.

Flat LCDM with H0 = 70 km/s/Mpc and Omega_m = 0.3, the cosmology of PLAsTiCC
(Kessler et al. 2019, arXiv:1903.11756, doi:10.1088/1538-3873/ab26f1).
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight.errors import SettingsError

__all__ = ["Rate", "draw_redshifts", "luminosity_distance", "relative_rate"]

HUBBLE = 70.0  # km/s/Mpc
OMEGA_M = 0.3
LIGHT_SPEED_KMS = 299_792.458
PARSEC_CM = 3.0856775814913673e18

Rate = Literal["star_formation", "core_collapse", "thermonuclear"]

_GRID = np.linspace(0.0, 6.0, 6001)  # steps of 0.001: distances good to 1e-6


def _comoving_grid() -> NDArray[np.float64]:
    inverse = 1.0 / np.sqrt(OMEGA_M * (1.0 + _GRID) ** 3 + 1.0 - OMEGA_M)
    steps = 0.5 * (inverse[1:] + inverse[:-1]) * np.diff(_GRID)
    return LIGHT_SPEED_KMS / HUBBLE * np.concatenate([[0.0], np.cumsum(steps)])


_COMOVING = _comoving_grid()  # Mpc


def luminosity_distance(redshift: ArrayLike) -> NDArray[np.float64]:
    """Luminosity distance.

    Parameters
    ----------
    redshift : array_like
        Redshifts, 0 to 6.

    Returns
    -------
    float64 array
        Distance [cm].

    Examples
    --------
    >>> round(float(luminosity_distance(0.1)) / 3.0856775814913673e24, 1)  # Mpc
    460.3
    """
    redshift = np.asarray(redshift, np.float64)
    return (1.0 + redshift) * np.interp(redshift, _GRID, _COMOVING) * 1e6 * PARSEC_CM


def relative_rate(rate: Rate, redshift: ArrayLike) -> NDArray[np.float64]:
    """Volumetric rate against redshift, in units of its own at redshift 0.

    Parameters
    ----------
    rate : {"star_formation", "core_collapse", "thermonuclear"}
        Cosmic star formation history (CaRT, PISN and SLSN-I of PLAsTiCC), measured
        core-collapse rate (ILOT), or the delayed rate of thermonuclear supernovae.
    redshift : array_like
        Redshifts.

    Returns
    -------
    float64 array
        Events per comoving volume and rest-frame time, 1 at redshift 0.

    Raises
    ------
    SettingsError
        If there is no rate of that name.

    References
    ----------
    Madau & Dickinson 2014, equation 15, doi:10.1146/annurev-astro-081811-125615; Strolger et
    al. 2015, doi:10.1088/0004-637X/813/2/93; Dilday et al. 2008, doi:10.1086/587733. The PISN
    rate of Pan, Kasen & Loeb 2012, arXiv:1111.3648, follows star formation.
    """
    one_z = 1.0 + np.asarray(redshift, np.float64)
    if rate == "star_formation":
        value, local = one_z**2.7 / (1.0 + (one_z / 2.9) ** 5.6), 1.0 / (1.0 + 2.9**-5.6)
    elif rate == "core_collapse":
        value, local = one_z**5.0 / (1.0 + (one_z / 1.5) ** 6.1), 1.0 / (1.0 + 1.5**-6.1)
    elif rate == "thermonuclear":
        value, local = one_z**1.5, 1.0
    else:
        raise SettingsError(f"rate {rate!r}: choose star_formation, core_collapse or thermonuclear")
    return np.asarray(value / local)


def draw_redshifts(
    n: int, rate: Rate, limits: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Redshifts of events in a survey of the whole volume and fixed duration.

    The density is ``rate(z) dV/dz / (1 + z)``; the last factor is time dilation.

    Parameters
    ----------
    n : int
        Number of events.
    rate : {"star_formation", "core_collapse", "thermonuclear"}
        See `relative_rate`.
    limits : tuple of float
        Lowest and highest redshift, within 0 to 6.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    float64 array, shape (n,)
        Redshifts.

    Raises
    ------
    SettingsError
        If the limits do not rise within 0 to 6, or there is no such rate.
    """
    low, high = limits
    if not 0.0 <= low < high <= _GRID[-1]:
        raise SettingsError(f"redshift limits {limits}: they must rise within 0 to {_GRID[-1]:g}")
    z = np.linspace(low, high, 2001)
    comoving = np.interp(z, _GRID, _COMOVING)
    slope = 1.0 / np.sqrt(OMEGA_M * (1.0 + z) ** 3 + 1.0 - OMEGA_M)
    density = relative_rate(rate, z) * comoving**2 * slope / (1.0 + z)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    return np.interp(rng.random(n) * total[-1], total, z)
