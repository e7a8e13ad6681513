"""Magnitudes that exist for negative fluxes."""

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import FloatArray
from firstlight.bands import AB_ZERO_POINT_NJY
from firstlight.constants import MAG_PER_E_FOLD

#: Point-source depth of one LSST visit at 5 sigma [mag] (Ivezić et al. 2019, table 2,
#: doi:10.3847/1538-4357/ab042c).
_DEPTH = np.array([23.78, 24.81, 24.35, 23.92, 23.34, 22.45])

#: Softening flux of the asinh magnitude in each band [nJy]: 1.042 times the noise of one
#: LSST visit, the choice of Lupton, Gunn & Szalay (1999, section 3.1).
SOFTENING = 1.042 * 10.0 ** (0.4 * (AB_ZERO_POINT_NJY - _DEPTH)) / 5.0
SOFTENING.setflags(write=False)


def asinh_magnitude(flux: ArrayLike, band: ArrayLike) -> FloatArray:
    """Magnitude that is finite for every flux, and AB magnitude where the flux is significant.

    Zero flux has ``31.4 - 2.5 log10(softening)``; negative fluxes have larger magnitudes.

    Parameters
    ----------
    flux : array_like, shape (n_obs,)
        Flux [nJy], of any sign.
    band : int array_like, shape (n_obs,)
        Index into `firstlight.bands.BANDS`.

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
    softening = SOFTENING[np.asarray(band, dtype=np.int64)]
    flux = np.asarray(flux, dtype=np.float64)
    return AB_ZERO_POINT_NJY - MAG_PER_E_FOLD * (np.arcsinh(flux / (2.0 * softening)) + np.log(softening))
