"""The six LSST bands: wavelengths and Milky Way extinction.

The effective wavelengths are those of the LSST 2023 throughputs, and the extinction
coefficients follow Fitzpatrick (1999, PASP 111, 63, doi:10.1086/316293) with
R_V = 3.1 at those wavelengths; a test checks them against ``dust_extinction``.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from firstlight.errors import UnknownBandError

BANDS = ("u", "g", "r", "i", "z", "y")
N_BANDS = len(BANDS)

#: Effective wavelength of each band [Angstrom].
EFFECTIVE_WAVELENGTH = np.array([3709.0, 4767.0, 6194.0, 7539.0, 8668.0, 9739.0])
EFFECTIVE_WAVELENGTH.setflags(write=False)

#: A(band) / E(B-V) of Fitzpatrick (1999), R_V = 3.1, at the effective wavelengths [mag/mag].
EXTINCTION_PER_EBV = np.array([4.681, 3.710, 2.569, 1.893, 1.496, 1.223])
EXTINCTION_PER_EBV.setflags(write=False)

#: Spellings of the LSST bands, all resolved to an index into BANDS.
_ALIASES = {
    alias: index
    for index, name in enumerate(BANDS)
    for alias in (name, f"lsst{name}", f"lsst_{name}", f"LSST_{name}", f"lsst-{name}")
} | {"Y": 5, "lsstY": 5, "lsst_Y": 5, "LSST_Y": 5}


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
