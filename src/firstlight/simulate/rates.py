"""Volumetric rates: where in redshift transients occur."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import FloatArray
from firstlight.cosmology import comoving_distance, expansion
from firstlight.errors import SettingsError

Rate = Literal["star_formation", "core_collapse", "thermonuclear"]

HIGHEST_REDSHIFT = 6.0


def relative_rate(rate: Rate, redshift: ArrayLike) -> FloatArray:
    """Events per comoving volume and rest-frame time, relative to redshift 0.

    ``star_formation`` is the cosmic star formation history (CaRT, PISN and SLSN-I of PLAsTiCC):
    Madau & Dickinson 2014, equation 15, doi:10.1146/annurev-astro-081811-125615. The PISN rate of
    Pan, Kasen & Loeb 2012, arXiv:1111.3648, follows it. ``core_collapse`` (ILOT) is that of Strolger
    et al. 2015, doi:10.1088/0004-637X/813/2/93; ``thermonuclear`` that of Dilday et al. 2008,
    doi:10.1086/587733. Raises SettingsError for any other name.
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


def draw_redshifts(n: int, rate: Rate, limits: tuple[float, float], rng: np.random.Generator) -> FloatArray:
    """Redshifts of n events within `limits` in a survey of the whole volume and fixed duration.

    The density is ``rate(z) dV/dz / (1 + z)``; the last factor is time dilation. Raises
    SettingsError unless the limits rise within 0 to 6.
    """
    low, high = limits
    if not 0.0 <= low < high <= HIGHEST_REDSHIFT:
        raise SettingsError(f"redshift limits {limits}: they must rise within 0 to {HIGHEST_REDSHIFT:g}")
    z = np.linspace(low, high, 2001)
    density = relative_rate(rate, z) * comoving_distance(z) ** 2 / expansion(z) / (1.0 + z)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    return np.interp(rng.random(n) * total[-1], total, z)
