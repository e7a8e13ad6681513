"""LSST throughputs as short quadrature rules for the flux of a smooth spectrum.

The rules ship as ``throughputs.csv``: bins of 50 Angstrom of the LSST 2023 total
throughputs (lsst/throughputs tag 1.9, airmass 1.2, mirrors to detector), as carried by
speclite 1.0.0 (BSD-3-Clause, https://github.com/desihub/speclite). `bin_throughput`
made the file, and a test makes it again where speclite is installed.
"""

from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight.bands import BANDS
from firstlight.errors import DataError

__all__ = ["BIN_WIDTH", "LEAST_SHARE", "Quadrature", "bin_throughput", "lsst_throughputs"]

BIN_WIDTH = 50.0  # Angstrom; a 3,000 to 30,000 K blackbody is then good to 2 mmag
LEAST_SHARE = 1e-4  # of the response; below it lie the ends and the leaks far out of band


class Quadrature(NamedTuple):
    """Nodes and weights with which a band's mean flux density is ``sum(weight * f_nu)``.

    Attributes
    ----------
    wavelength : float64 array, shape (n_nodes,)
        Observed wavelengths [Angstrom].
    weight : float64 array, shape (n_nodes,)
        Share of the band's photon-counting response; they sum to 1.
    """

    wavelength: NDArray[np.float64]
    weight: NDArray[np.float64]


def bin_throughput(wavelength: ArrayLike, response: ArrayLike, width: float = BIN_WIDTH) -> Quadrature:
    """Condense a throughput to one node a bin.

    A photon-counting detector that sees an AB flux density f_nu reports the mean
    ``int f_nu T dlambda / lambda / int T dlambda / lambda`` (Fukugita et al. 1996,
    doi:10.1086/117915). Each bin keeps its share of the lower integral and the mean
    wavelength under it, so that spectra linear within a bin are integrated exactly.

    Parameters
    ----------
    wavelength : array_like, shape (n,)
        Ascending wavelengths [Angstrom].
    response : array_like, shape (n,)
        Throughput at each wavelength.
    width : float
        Width of a bin [Angstrom].

    Returns
    -------
    Quadrature
        One node a bin, ascending; bins of less than `LEAST_SHARE` are ten times wider.

    Raises
    ------
    DataError
        If wavelengths do not rise or the response is nowhere positive.
    """
    wavelength, response = np.asarray(wavelength, np.float64), np.asarray(response, np.float64)
    if wavelength.ndim != 1 or wavelength.shape != response.shape or np.any(np.diff(wavelength) <= 0):
        raise DataError("a throughput needs one response for each of its ascending wavelengths")
    share = np.clip(response, 0.0, None) / wavelength * np.gradient(wavelength)
    if share.sum() <= 0.0:
        raise DataError("a throughput must be positive somewhere")
    share /= share.sum()
    fine = np.floor(wavelength / width).astype(np.int64)
    minor = np.bincount(fine, share)[fine] < LEAST_SHARE
    # The faint wings and leaks matter for very red sources alone: wide bins will do.
    coarse = np.floor(wavelength / (10.0 * width)).astype(np.int64) + fine.max() + 1
    bins = np.where(minor, coarse, fine)
    weight = np.bincount(bins, share)
    mean = np.bincount(bins, share * wavelength) / np.where(weight > 0.0, weight, 1.0)
    kept = weight > 1e-9
    order = np.argsort(mean[kept])
    return Quadrature(mean[kept][order], weight[kept][order] / weight[kept].sum())


@lru_cache(maxsize=1)
def lsst_throughputs() -> tuple[Quadrature, ...]:
    """Quadrature rules of the six LSST bands, in the order of `firstlight.bands.BANDS`.

    Returns
    -------
    tuple of Quadrature
        One rule a band.

    Examples
    --------
    >>> u = lsst_throughputs()[0]
    >>> round(float(u.weight.sum()), 6), bool(3000 < u.wavelength.min())
    (1.0, True)
    """
    path = resources.files("firstlight.simulate") / "throughputs.csv"
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines() if line[0] in "ugrizy"]
    bands = np.array([row[0] for row in rows])
    values = np.array([[float(cell) for cell in row[1:]] for row in rows])
    return tuple(Quadrature(values[bands == band, 0], values[bands == band, 1]) for band in BANDS)
