"""Fluxes without Milky Way dust, magnitudes that survive negative fluxes, distances.

Time since the trigger needs no function of its own: it is `LightCurves.phase`.
"""

import logging
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight.bands import AB_ZERO_POINT_NJY, EXTINCTION_PER_EBV, N_BANDS
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves

__all__ = [
    "MAX_EBV",
    "NEARBY_DISTANCE_MODULUS",
    "NEARBY_REDSHIFT",
    "SOFTENING",
    "absolute_asinh_magnitude",
    "asinh_flux",
    "asinh_magnitude",
    "deredden",
    "distance_modulus",
    "redden",
]

_log = logging.getLogger(__name__)

#: Reddening beyond which no more is corrected [mag]: 5 mag dim the u band ten-thousand-million-fold,
#: so whatever is seen there is in front of most of that dust.
MAX_EBV = 5.0

#: Up to this redshift an object counts as nearby, at a standard distance of 10 Mpc.
NEARBY_REDSHIFT = 1e-3
NEARBY_DISTANCE_MODULUS = 30.0  # mag; 10 Mpc

#: Point-source depth of one LSST visit at 5 sigma [mag] (Ivezić et al. 2019, table 2,
#: doi:10.3847/1538-4357/ab042c).
_DEPTH = np.array([23.78, 24.81, 24.35, 23.92, 23.34, 22.45])

#: Softening flux of the asinh magnitude in each band [nJy]: 1.042 times the noise of one
#: LSST visit, the choice of Lupton, Gunn & Szalay (1999, section 3.1).
SOFTENING = 1.042 * 10.0 ** (0.4 * (AB_ZERO_POINT_NJY - _DEPTH)) / 5.0
SOFTENING.setflags(write=False)

_POGSON = 2.5 / np.log(10.0)  # mag per e-fold of flux

HUBBLE_CONSTANT = 70.0  # km/s/Mpc, with OMEGA_MATTER the cosmology of PLAsTiCC's simulations
OMEGA_MATTER = 0.3
_SPEED_OF_LIGHT = 299_792.458  # km/s
_FARTHEST = 1100.0  # redshift of the last table entry; no light comes from farther


# --- dust -----------------------------------------------------------------------


def deredden(curves: LightCurves, *, again: bool = False) -> LightCurves:
    """Correct fluxes and errors for Milky Way dust.

    Parameters
    ----------
    curves : LightCurves
        Light curves; those that the source has corrected already are returned as they are.
    again : bool
        Correct whatever the source has done: the seed paper's double correction of PLAsTiCC.

    Returns
    -------
    LightCurves
        With ``dereddened`` true. Objects of unknown E(B-V) keep their fluxes, and the
        log says how many there are.

    References
    ----------
    Fitzpatrick (1999), doi:10.1086/316293, with R_V = 3.1.
    """
    if curves.dereddened and not again:
        return curves
    unknown = int(np.isnan(curves.ebv).sum())
    if unknown:
        _log.warning(
            "E(B-V) is unknown for %d of %d objects: their fluxes stay as measured", unknown, len(curves)
        )
    return _scale(curves, +1.0)


def redden(curves: LightCurves) -> LightCurves:
    """Undo `deredden`: fluxes as seen through the Milky Way's dust.

    Parameters
    ----------
    curves : LightCurves
        Light curves; those that are not corrected are returned as they are.

    Returns
    -------
    LightCurves
        With ``dereddened`` false. Objects of unknown E(B-V) keep their fluxes.
    """
    return _scale(curves, -1.0) if curves.dereddened else curves


def _scale(curves: LightCurves, sign: float) -> LightCurves:
    """Fluxes and errors times 10^(sign 0.4 A_band)."""
    ebv = np.clip(np.nan_to_num(curves.ebv.astype(np.float64), nan=0.0), 0.0, MAX_EBV)
    factor = 10.0 ** (sign * 0.4 * ebv[:, None] * EXTINCTION_PER_EBV)  # (n_objects, N_BANDS)
    per_obs = factor.ravel()[np.repeat(N_BANDS * np.arange(len(curves)), curves.n_obs) + curves.band]
    flux = (curves.flux * per_obs).astype(np.float32)
    flux_err = (curves.flux_err * per_obs).astype(np.float32)
    for column in (flux, flux_err):
        column.setflags(write=False)
    # A finite positive factor keeps every rule of LightCurves, so nothing is checked anew.
    return replace(curves, flux=flux, flux_err=flux_err, dereddened=sign > 0.0)


# --- magnitudes -----------------------------------------------------------------


def asinh_magnitude(
    flux: ArrayLike, band: ArrayLike, softening: ArrayLike = SOFTENING
) -> NDArray[np.float64]:
    """Magnitude that is finite for every flux, and AB magnitude where the flux is significant.

    Brighter is smaller. Zero flux has ``31.4 - 2.5 log10(softening)``, negative fluxes more.

    Parameters
    ----------
    flux : array_like, shape (n_obs,)
        Flux [nJy], of any sign.
    band : int array_like, shape (n_obs,)
        Index into `firstlight.bands.BANDS`.
    softening : float array_like, shape (N_BANDS,)
        Flux at which each band passes from linear to logarithmic [nJy].

    Returns
    -------
    float64 array, shape (n_obs,)
        Asinh magnitude [mag]; within 0.001 mag of AB from 33 softening fluxes on.

    References
    ----------
    Lupton, Gunn & Szalay (1999), doi:10.1086/301004.

    Examples
    --------
    >>> asinh_magnitude([1e6, 0.0, -1e3], [2, 2, 2]).round(2).tolist()
    [16.4, 26.05, 28.23]
    """
    b = _softening_of(band, softening)
    flux = np.asarray(flux, dtype=np.float64)
    return AB_ZERO_POINT_NJY - _POGSON * (np.arcsinh(flux / (2.0 * b)) + np.log(b))


def asinh_flux(
    magnitude: ArrayLike, band: ArrayLike, softening: ArrayLike = SOFTENING
) -> NDArray[np.float64]:
    """Flux of an asinh magnitude: the inverse of `asinh_magnitude`.

    Parameters
    ----------
    magnitude : array_like, shape (n_obs,)
        Asinh magnitude [mag].
    band : int array_like, shape (n_obs,)
        Index into `firstlight.bands.BANDS`.
    softening : float array_like, shape (N_BANDS,)
        As used for the magnitude [nJy].

    Returns
    -------
    float64 array, shape (n_obs,)
        Flux [nJy].
    """
    b = _softening_of(band, softening)
    exponent = (AB_ZERO_POINT_NJY - np.asarray(magnitude, dtype=np.float64)) / _POGSON - np.log(b)
    return np.asarray(2.0 * b * np.sinh(exponent))


def absolute_asinh_magnitude(
    flux: ArrayLike, band: ArrayLike, redshift: ArrayLike, softening: ArrayLike = SOFTENING
) -> NDArray[np.float64]:
    """Asinh magnitude less the distance modulus; no K correction.

    Parameters
    ----------
    flux : array_like, shape (n_obs,)
        Flux, corrected for Milky Way dust [nJy].
    band : int array_like, shape (n_obs,)
        Index into `firstlight.bands.BANDS`.
    redshift : array_like, shape (n_obs,) or ()
        Host redshift of each observation's object; see `distance_modulus`.
    softening : float array_like, shape (N_BANDS,)
        As for `asinh_magnitude` [nJy].

    Returns
    -------
    float64 array, shape (n_obs,)
        Absolute magnitude [mag]; NaN where the redshift is unknown.
    """
    return asinh_magnitude(flux, band, softening) - distance_modulus(redshift)


def _softening_of(band: ArrayLike, softening: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(softening, dtype=np.float64)
    if table.shape != (N_BANDS,) or not np.all(table > 0.0):
        raise DataError(f"softening must be {N_BANDS} positive fluxes [nJy], one a band; got {table!r}")
    return np.asarray(table[np.asarray(band, dtype=np.int64)])


# --- distance -------------------------------------------------------------------


def distance_modulus(redshift: ArrayLike) -> NDArray[np.float64]:
    """Distance modulus in a flat universe with H0 = 70 km/s/Mpc and Omega_m = 0.3.

    Parameters
    ----------
    redshift : array_like
        Host redshift. At most 0.001, Milky Way objects included, it counts as 10 Mpc, the
        seed paper's standard distance. NaN means unknown.

    Returns
    -------
    float64 array
        Distance modulus [mag], to 1e-4 mag; NaN where the redshift is.

    Examples
    --------
    >>> distance_modulus([0.0, 0.1, 1.0]).round(3).tolist()
    [30.0, 38.315, 44.1]
    """
    z = np.asarray(redshift, dtype=np.float64)
    log_z, modulus = _distance_table()
    far = z > NEARBY_REDSHIFT
    value = np.interp(np.log(np.where(far, z, 1.0)), log_z, modulus)
    return np.where(np.isnan(z), np.nan, np.where(far, value, NEARBY_DISTANCE_MODULUS))


@cache
def _distance_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithm of redshift, and distance modulus there [mag], in 4096 steps.

    The comoving distance is c / H0 times the integral of 1 / E(z), here by five-point
    Gauss-Legendre within each step (Hogg 1999, arXiv:astro-ph/9905116, equations 14 to 25).
    """
    log_z = np.linspace(np.log(NEARBY_REDSHIFT), np.log(_FARTHEST), 4097)
    edges = np.concatenate([[0.0], np.exp(log_z)])
    nodes, weights = np.polynomial.legendre.leggauss(5)
    half = np.diff(edges)[:, None] / 2.0
    z = edges[:-1, None] + half * (nodes + 1.0)
    expansion = np.sqrt(OMEGA_MATTER * (1.0 + z) ** 3 + 1.0 - OMEGA_MATTER)
    comoving = (
        np.cumsum(np.sum(half * weights / expansion, axis=1)) * _SPEED_OF_LIGHT / HUBBLE_CONSTANT
    )  # Mpc
    return log_z, 5.0 * np.log10(comoving * (1.0 + edges[1:])) + 25.0
