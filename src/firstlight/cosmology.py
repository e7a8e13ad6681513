"""Distances in a flat universe with H0 = 70 km/s/Mpc and Omega_m = 0.3.

This is the cosmology of PLAsTiCC's simulations (Kessler et al. 2019, arXiv:1903.11756). The
table is our own and not astropy's for two reasons (docs/decisions/0110): shipped bundles depend on
its last bit, and importing ``astropy.cosmology`` takes a second.
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import FloatArray
from firstlight.constants import PARSEC_CM, SPEED_OF_LIGHT

HUBBLE_CONSTANT = 70.0  # km/s/Mpc
OMEGA_MATTER = 0.3
#: Up to this redshift an object counts as nearby, at the paper's standard distance of 10 Mpc.
NEARBY_REDSHIFT = 1e-3
NEARBY_DISTANCE_MODULUS = 30.0  # mag; 10 Mpc
_FARTHEST = 1100.0  # redshift of the last table entry, the cosmic microwave background


def distance_modulus(redshift: ArrayLike) -> FloatArray:
    """Distance modulus at the redshift of a host galaxy.

    Parameters
    ----------
    redshift : array_like
        Host redshift. Values up to `NEARBY_REDSHIFT`, Milky Way objects included, count as
        10 Mpc. NaN means unknown.

    Returns
    -------
    float64 array
        Distance modulus [mag], accurate to 1e-4 mag; NaN where the redshift is.

    Examples
    --------
    >>> distance_modulus([0.0, 0.1, 1.0]).round(3).tolist()
    [30.0, 38.315, 44.1]
    """
    z = np.asarray(redshift, dtype=np.float64)
    log_z, modulus = _modulus_table()
    far = z > NEARBY_REDSHIFT
    value = np.interp(np.log(np.where(far, z, 1.0)), log_z, modulus)
    return np.where(np.isnan(z), np.nan, np.where(far, value, NEARBY_DISTANCE_MODULUS))


def luminosity_distance(redshift: ArrayLike) -> FloatArray:
    """Luminosity distance [cm] at redshifts from 0 to 1100.

    Examples
    --------
    >>> round(float(luminosity_distance(0.1)) / 3.0856775814913673e24, 1)  # Mpc
    460.3
    """
    redshift = np.asarray(redshift, np.float64)
    return (1.0 + redshift) * comoving_distance(redshift) * 1e6 * PARSEC_CM


def comoving_distance(redshift: ArrayLike) -> FloatArray:
    """Comoving distance [Mpc] at redshifts from 0 to 1100, to 1e-6 (2e-4 below redshift 0.001)."""
    return np.interp(np.asarray(redshift, np.float64), *_comoving_table())


def expansion(redshift: ArrayLike) -> FloatArray:
    """Hubble parameter E(z) = H(z) / H0."""
    return np.asarray(np.sqrt(OMEGA_MATTER * (1.0 + np.asarray(redshift)) ** 3 + 1.0 - OMEGA_MATTER))


@cache
def _modulus_table() -> tuple[FloatArray, FloatArray]:
    """Logarithm of redshift, and distance modulus [mag], both shape (4097,)."""
    z, comoving = _comoving_table()
    return _log_redshifts(), 5.0 * np.log10(comoving[1:] * (1.0 + z[1:])) + 25.0


@cache
def _comoving_table() -> tuple[FloatArray, FloatArray]:
    """Redshift, and comoving distance [Mpc], both shape (4098,) from 0.

    The distance is c / H0 times the integral of 1 / E(z), by five-point Gauss-Legendre
    within each step (Hogg 1999, arXiv:astro-ph/9905116, equations 14 to 25).
    """
    edges = np.concatenate([[0.0], np.exp(_log_redshifts())])
    nodes, weights = np.polynomial.legendre.leggauss(5)
    half = np.diff(edges)[:, None] / 2.0
    z = edges[:-1, None] + half * (nodes + 1.0)
    steps = np.sum(half * weights / expansion(z), axis=1)
    comoving = np.cumsum(steps) * SPEED_OF_LIGHT / HUBBLE_CONSTANT
    return edges, np.concatenate([[0.0], comoving])


def _log_redshifts() -> FloatArray:
    """Natural logarithm of the table's redshifts above 0, shape (4097,)."""
    return np.linspace(np.log(NEARBY_REDSHIFT), np.log(_FARTHEST), 4097)
