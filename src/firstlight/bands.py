"""Passbands, zero points and Milky Way extinction of the LSST filters.

Fluxes inside firstlight are AB nanojansky; wavelengths are Angstrom. The
effective wavelengths are those of the LSST 2023 throughputs, and the extinction
coefficients follow Fitzpatrick (1999, PASP 111, 63, doi:10.1086/316293) with
R_V = 3.1 at those wavelengths; a test checks them against ``dust_extinction``.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight._types import FloatArray
from firstlight.errors import DataError, UnknownBandError

BANDS = ("u", "g", "r", "i", "z", "y")
N_BANDS = len(BANDS)

#: Effective wavelength of each band [Angstrom].
EFFECTIVE_WAVELENGTH = np.array([3709.0, 4767.0, 6194.0, 7539.0, 8668.0, 9739.0])
EFFECTIVE_WAVELENGTH.setflags(write=False)

#: A(band) / E(B-V) of Fitzpatrick (1999), R_V = 3.1, at the effective wavelengths [mag/mag].
EXTINCTION_PER_EBV = np.array([4.681, 3.710, 2.569, 1.893, 1.496, 1.223])
EXTINCTION_PER_EBV.setflags(write=False)

AB_ZERO_POINT_NJY = 31.4  # mag; AB magnitude of 1 nJy (8.90 mag for 1 Jy, plus 2.5 * 9)
SNANA_ZERO_POINT = 27.5  # mag; PLAsTiCC, SNPCC and SNANA FLUXCAL

#: Spellings of the LSST bands met in files, all resolved to an index into BANDS.
_ALIASES: Mapping[str, int] = MappingProxyType(
    {
        alias: index
        for index, name in enumerate(BANDS)
        for alias in (name, f"lsst{name}", f"lsst_{name}", f"LSST_{name}", f"lsst-{name}")
    }
    | {"Y": 5, "lsstY": 5, "lsst_Y": 5, "LSST_Y": 5}
)

_NUMBERED: Mapping[str, int] = MappingProxyType(dict(_ALIASES) | {str(i): i for i in range(N_BANDS)})


def band_index(names: Iterable[str]) -> NDArray[np.int8]:
    """Indices into `BANDS` of names such as ``g``, ``lsstg`` or ``LSST_g``, shape (n_names,).

    Raises UnknownBandError if a name is none of the six bands.

    Examples
    --------
    >>> band_index(["u", "lsstr", "Y"]).tolist()
    [0, 2, 5]
    """
    names = [str(name).strip() for name in names]
    unknown = sorted({name for name in names if name not in _ALIASES})
    if unknown:
        raise UnknownBandError(
            f"unknown band(s) {unknown}; known: {', '.join(BANDS)} (also as lsstg, LSST_g)"
        )
    return np.array([_ALIASES[name] for name in names], dtype=np.int8)


def match_bands(names: Iterable[str]) -> NDArray[np.int8]:
    """Indices of names as for `band_index`, or of PLAsTiCC's numbers ``0`` to ``5``; -1 where unknown.

    Examples
    --------
    >>> match_bands(["g", "5", "lsstr", "J"]).tolist()
    [1, 5, 2, -1]
    """
    return np.array([_NUMBERED.get(str(name).strip(), -1) for name in names], dtype=np.int8)


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
