"""E(B-V) of the Milky Way by position, from the map of Schlegel, Finkbeiner & Davis.

Rubin's alerts and many files give a position but no E(B-V). The map that ships with the package has 49,152
pixels of 0.92 degrees (HEALPix, NSIDE 64, galactic coordinates, half precision). ``studies/dust_map.py``
writes it and measures its error: decision 0190.
"""

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors.numpy import load

from firstlight._types import FloatArray, IntArray

NSIDE = 64  # HEALPix resolution: 12 NSIDE^2 pixels
#: The map overestimates E(B-V) by this factor (Schlafly & Finkbeiner 2011, doi:10.1088/0004-637X/737/2/103).
SCALE = 0.86

_NAME = "sfd64.safetensors"
# rows: axes of galactic coordinates in ICRS (the Hipparcos Catalogue, ESA SP-1200, volume 1, section 1.5.3)
_TO_GALACTIC = np.array(
    [
        [-0.0548755604162154, -0.8734370902348850, -0.4838350155487132],
        [0.4941094278755837, -0.4448296299600112, 0.7469822444972189],
        [-0.8676661490190047, -0.1980763734312015, 0.4559837761750669],
    ]
)


def map_ebv(ra: ArrayLike, dec: ArrayLike) -> FloatArray:
    """E(B-V) of the nearest pixel of the map.

    The nearest pixel, not an interpolation: measured positions of one object differ by a fraction of an
    arcsecond, and its E(B-V) must not change with each of them.

    Parameters
    ----------
    ra, dec : float array_like, shape (n,)
        ICRS positions [degree].

    Returns
    -------
    float64 array, shape (n,)
        E(B-V) [mag] on the scale of Schlafly & Finkbeiner (2011); NaN for an unknown position.

    References
    ----------
    Schlegel, Finkbeiner & Davis (1998), doi:10.1086/305772.

    Examples
    --------
    >>> map_ebv([150.1, float("nan")], [2.2, 0.0]).round(3)  # the COSMOS field
    array([0.016,   nan])
    """
    ra, dec = np.radians(np.asarray(ra, np.float64)), np.radians(np.asarray(dec, np.float64))
    known = np.isfinite(ra) & np.isfinite(dec)
    ra, dec = np.where(known, ra, 0.0), np.where(known, dec, 0.0)
    x, y, z = _TO_GALACTIC @ np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    return np.where(known, SCALE * _pixels()[ring_pixel(np.arctan2(y, x), z)], np.nan)


def ring_pixel(longitude: FloatArray, z: FloatArray) -> IntArray:
    """Number of the HEALPix pixel in ring order.

    `longitude` is in radians and `z` is the sine of the latitude. Górski et al. (2005),
    doi:10.1086/427976, section 4.1.
    """
    quarter = np.mod(longitude, 2.0 * np.pi) / (0.5 * np.pi)  # in [0, 4), or 4 by rounding
    quarter = np.where(quarter >= 4.0, 0.0, quarter)
    height = np.abs(z)
    # the equatorial belt: crossings of the ascending and descending edges
    ascending = np.floor(NSIDE * (0.5 + quarter - 0.75 * z)).astype(np.int64)
    descending = np.floor(NSIDE * (0.5 + quarter + 0.75 * z)).astype(np.int64)
    ring = NSIDE + 1 + ascending - descending  # from the first full ring, 1 to 2 NSIDE + 1
    shift = 1 - ring % 2
    column = np.mod((ascending + descending - NSIDE + shift + 1) // 2, 4 * NSIDE)
    belt = 2 * NSIDE * (NSIDE - 1) + (ring - 1) * 4 * NSIDE + column
    # the polar caps
    part = np.mod(quarter, 1.0)
    from_pole = NSIDE * np.sqrt(3.0 * (1.0 - height))
    up, down = (
        np.floor(part * from_pole).astype(np.int64),
        np.floor((1.0 - part) * from_pole).astype(np.int64),
    )
    ring = np.minimum(up + down + 1, NSIDE)
    column = np.mod(np.floor(quarter * ring).astype(np.int64), 4 * ring)
    north = 2 * ring * (ring - 1) + column
    south = 12 * NSIDE**2 - 2 * ring * (ring + 1) + column
    return np.where(height <= 2.0 / 3.0, belt, np.where(z > 0.0, north, south))


@cache
def _pixels() -> NDArray[np.float64]:
    """E(B-V) as published [mag], shape (12 NSIDE^2,)."""
    content = resources.files("firstlight.preprocess").joinpath(_NAME).read_bytes()
    pixels: NDArray[np.float64] = load(content)["ebv"].astype(np.float64)
    pixels.setflags(write=False)
    return pixels
