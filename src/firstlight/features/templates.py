"""Supernova templates from the training objects, and their fits to light curves.

A template is the median rest-frame Gaussian-process surface of a class's bright training objects.
`Templates.match` fits each over time of peak, stretch, colour and amplitude at each redshift of a grid; the
host redshift, if known, is a prior on that grid (decision 0020).
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from firstlight._types import Float32Array, FloatArray, IntArray, StrArray
from firstlight.cosmology import distance_modulus
from firstlight.errors import BundleError, DataError
from firstlight.features.config import LARGEST_REDSHIFT, LEAST_REDSHIFT, FeatureConfig
from firstlight.features.gaussian import BIN_WIDTH, WINDOW
from firstlight.features.matching import in_bands, match_all
from firstlight.features.metadata import reference_mjd
from firstlight.features.registry import template_features
from firstlight.features.rest_frame import PHASES, REST_WAVELENGTHS, bright_surfaces, median_surface
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.curves import redshift_error
from firstlight.storage import AGAIN, ArraySpec, read_arrays, read_state, write_arrays, write_state
from firstlight.taxonomy import LONGEST_CLASS

# Of a file: physical ranges, in which the compiled fits stay finite.
_LEAST_STEP = 0.01  # day; least step of the phases
_SPECS = {
    "surface": ArraySpec("float32", ("n_templates", "n_phases", "n_wavelengths"), -1e6, 1e6),
    "phase": ArraySpec("float64", ("n_phases",), -1e4, 1e4, "rising"),
    "wavelength": ArraySpec("float64", ("n_wavelengths",), 1.0, 1e7, "rising"),
    "magnitude": ArraySpec("float64", ("n_templates",), -100.0, 100.0),
    "magnitude_sd": ArraySpec("float64", ("n_templates",), 1e-3, 1e3),
    "redshift": ArraySpec("float64", ("n_redshifts",), LEAST_REDSHIFT, LARGEST_REDSHIFT, "rising"),
}


@dataclass(frozen=True, eq=False)
class Templates:
    """Rest-frame templates and how luminous their classes are.

    Attributes
    ----------
    names : tuple of str
        Class of each template.
    surface : float32 array, shape (n_templates, n_phases, n_wavelengths)
        Flux density per frequency over that at the peak near 5000 A.
    phase : float64 array, shape (n_phases,)
        Rest-frame days from peak.
    wavelength : float64 array, shape (n_wavelengths,)
        Rest wavelength [Angstrom].
    magnitude, magnitude_sd : float64 arrays, shape (n_templates,)
        Absolute AB magnitude at the peak near 5000 A and its scatter.
    redshift : float64 array, shape (n_redshifts,)
        Grid of redshifts for the fits.
    """

    names: tuple[str, ...]
    surface: Float32Array
    phase: FloatArray
    wavelength: FloatArray
    magnitude: FloatArray
    magnitude_sd: FloatArray
    redshift: FloatArray

    @classmethod
    def fit(
        cls,
        curves: LightCurves,
        labels: StrArray,
        config: FeatureConfig | None = None,
    ) -> Self:
        """Make templates from labelled training objects with a known redshift.

        Parameters
        ----------
        curves : LightCurves
            Preprocessed training objects.
        labels : str array, shape (n_objects,)
            Their classes.
        config : FeatureConfig, optional
            Settings of the Gaussian process and the templates.

        Raises
        ------
        DataError
            If lengths disagree.
        """
        config = config or FeatureConfig()
        labels = np.asarray(labels, dtype=np.str_)
        if len(labels) != len(curves):
            raise DataError(f"{len(curves)} light curves but {len(labels)} labels")
        names, surfaces, members = [], [], []
        for name in config.templates.classes:
            where = np.flatnonzero((labels == name) & (curves.redshift > 0.0))
            stack, used = bright_surfaces(curves.take(where), config)
            if len(used) >= 3:
                names.append(name)
                surfaces.append(median_surface(stack, PHASES, REST_WAVELENGTHS))
                members.append(where[used])
        shape = (len(names), len(PHASES), len(REST_WAVELENGTHS))
        templates = cls(
            names=tuple(names),
            surface=np.array(surfaces, dtype=np.float32).reshape(shape),
            phase=PHASES,
            wavelength=REST_WAVELENGTHS,
            magnitude=np.full(len(names), -18.0),
            magnitude_sd=np.full(len(names), 10.0),
            redshift=np.array(config.templates.redshifts),
        )
        return templates._with_magnitudes(curves, members, config)

    def _with_magnitudes(self, curves: LightCurves, members: list[IntArray], config: FeatureConfig) -> Self:
        """The same templates with the luminosities that their own members show."""
        magnitude, scatter = self.magnitude.copy(), self.magnitude_sd.copy()
        columns = [feature.name for feature in template_features(self.names)]
        for k, (name, where) in enumerate(zip(self.names, members, strict=True)):
            fits = self.match(curves.take(where), config)
            values = fits[:, columns.index(f"template_absolute_{name}")].astype(np.float64)
            values = values[np.isfinite(values)]
            if len(values) >= 3:
                magnitude[k] = np.median(values)
                scatter[k] = max(1.4826 * np.median(np.abs(values - magnitude[k])), 0.3)
        return replace(self, magnitude=magnitude, magnitude_sd=scatter)

    def match(self, curves: LightCurves, config: FeatureConfig | None = None) -> Float32Array:
        """Fit every template to every object.

        Parameters
        ----------
        curves : LightCurves
            Preprocessed light curves.
        config : FeatureConfig, optional
            Binning of the observations.

        Returns
        -------
        float32 array, shape (n_objects, n_features)
            Columns as in `firstlight.features.registry.template_features`.
        """
        config = config or FeatureConfig()
        values = np.full((len(curves), len(template_features(self.names))), np.nan, dtype=np.float32)
        if not self.names or not len(curves):
            return values
        tables, tilts = self._tables
        err = redshift_error(curves.redshift, curves.redshift_err)
        match_all(
            curves.offsets, curves.mjd, curves.band, curves.flux, curves.flux_err, reference_mjd(curves),
            curves.redshift.astype(np.float64), err, WINDOW[0], WINDOW[1], config.max_points, BIN_WIDTH,
            tables, tilts, self.phase, self.redshift, distance_modulus(self.redshift), self.magnitude,
            self.magnitude_sd, values,
        )  # fmt: skip
        return values

    @cached_property
    def _tables(self) -> tuple[Float32Array, FloatArray]:
        """Templates and colour levers as the kernels take them."""
        return in_bands(self.surface, self.wavelength, self.redshift)

    def save(self, folder: Path) -> None:
        """Write ``templates.safetensors`` and ``templates.json`` into a folder."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "names"}
        write_arrays(folder / "templates.safetensors", arrays)
        write_state(folder / "templates.json", {"names": list(self.names)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the files of `save`.

        Raises
        ------
        BundleError
            If a file is missing or does not hold templates.
        """
        names = read_state(folder / "templates.json", _Saved).names
        path = folder / "templates.safetensors"
        it = cls(names=names, **read_arrays(path, _SPECS, n_templates=len(names)))
        phase_step = np.diff(it.phase)
        odd = [name for name in names if not name.isprintable() or not 0 < len(name) <= LONGEST_CLASS]
        if odd or len(set(names)) < len(names):
            raise BundleError(f"{folder}: templates {list(names)} are not different classes; {AGAIN}")
        if min(len(it.phase), len(it.wavelength)) < 2 or not len(it.redshift):
            raise BundleError(f"{path}: too few phases, wavelengths or redshifts; {AGAIN}")
        if phase_step.min() < _LEAST_STEP or not np.allclose(phase_step, phase_step[0]):
            raise BundleError(f"{path}: phases in steps that are not equal; {AGAIN}")
        return it


@dataclass(frozen=True)
class _Saved:
    """The content of ``templates.json``."""

    names: tuple[str, ...]
