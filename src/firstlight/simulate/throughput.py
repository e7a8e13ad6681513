"""LSST throughputs as short quadrature rules for the flux of a smooth spectrum.

The rules ship as ``throughputs.csv``: bins of 50 Angstrom of the LSST 2023 total
throughputs (lsst/throughputs tag 1.9, airmass 1.2, mirrors to detector), as carried by
speclite 1.0.0 (BSD-3-Clause, https://github.com/desihub/speclite). A 3,000 to 30,000 K blackbody is
then good to 2 mmag. A test makes the file again where speclite is installed.
"""

from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import numpy as np

from firstlight._types import FloatArray
from firstlight.bands import BANDS


class Quadrature(NamedTuple):
    """Nodes and weights with which a band's mean flux density is ``sum(weight * f_nu)``.

    `wavelength` [Angstrom] and `weight`, the share of the photon-counting response, have shape
    (n_nodes,); the weights sum to 1.
    """

    wavelength: FloatArray
    weight: FloatArray


@lru_cache(maxsize=1)
def lsst_throughputs() -> tuple[Quadrature, ...]:
    """Quadrature rules of the six LSST bands, in the order of `firstlight.bands.BANDS`."""
    path = resources.files("firstlight.simulate") / "throughputs.csv"
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines() if line[0] in "ugrizy"]
    bands = np.array([row[0] for row in rows])
    values = np.array([[float(cell) for cell in row[1:]] for row in rows])
    return tuple(Quadrature(values[bands == band, 0], values[bands == band, 1]) for band in BANDS)
