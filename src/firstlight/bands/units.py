"""Fluxes and magnitudes. Fluxes inside firstlight are AB nanojansky."""

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import FloatArray
from firstlight.constants import MAG_PER_E_FOLD
from firstlight.errors import DataError

AB_ZERO_POINT_NJY = 31.4  # mag; AB magnitude of 1 nJy (8.90 mag for 1 Jy, plus 2.5 * 9)
SNANA_ZERO_POINT = 27.5  # mag; PLAsTiCC, SNPCC and SNANA FLUXCAL


def flux_to_njy(flux: ArrayLike, zero_point: ArrayLike) -> FloatArray:
    """Convert fluxes of an AB zero point to nJy.

    Parameters
    ----------
    flux : array_like
        Flux in units whose AB zero point is `zero_point`.
    zero_point : array_like
        AB magnitude of one flux unit [mag]: 27.5 for PLAsTiCC and SNANA, 23.9 for microjansky.

    Returns
    -------
    float64 array
        Flux [nJy].

    Raises
    ------
    DataError
        If a zero point is not finite or lies outside 0 to 40 mag, where no survey is.

    Examples
    --------
    >>> round(float(flux_to_njy(1.0, 27.5)), 4)
    36.3078
    """
    zero_point = np.asarray(zero_point, dtype=np.float64)
    if not np.all(np.isfinite(zero_point) & (zero_point >= 0.0) & (zero_point <= 40.0)):
        raise DataError(
            f"zero point {zero_point!r} is not an AB zero point between 0 and 40 mag; "
            "PLAsTiCC and SNANA use 27.5, microjansky 23.9, nJy 31.4"
        )
    scale = 10.0 ** (0.4 * (AB_ZERO_POINT_NJY - zero_point))
    return np.asarray(np.asarray(flux, dtype=np.float64) * scale)


def magnitude(flux: ArrayLike) -> FloatArray:
    """AB magnitude of fluxes [nJy]; NaN where the flux is not positive.

    Examples
    --------
    >>> float(magnitude(1.0))
    31.4
    """
    flux = np.asarray(flux, dtype=np.float64)
    positive = flux > 0.0
    return np.where(positive, AB_ZERO_POINT_NJY - 2.5 * np.log10(np.where(positive, flux, 1.0)), np.nan)


def magnitude_to_njy(
    mag: ArrayLike, mag_err: ArrayLike, ab_offset: ArrayLike = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Flux and error [nJy] of magnitudes and their errors.

    `ab_offset` is AB minus the system of the magnitudes [mag]: 0 for AB, that of the filter for Vega.

    Examples
    --------
    >>> flux, flux_err = magnitude_to_njy(23.9, 0.1)
    >>> round(float(flux), 6), round(float(flux_err), 3)
    (1000.0, 92.103)
    """
    size = 10.0 ** (0.4 * (AB_ZERO_POINT_NJY - np.asarray(mag, np.float64) - np.asarray(ab_offset)))
    return np.asarray(size), np.asarray(size * np.asarray(mag_err, np.float64) / MAG_PER_E_FOLD)
