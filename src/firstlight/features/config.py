"""Settings of the features."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from firstlight.errors import SettingsError
from firstlight.features.own import check_own

LEAST_REDSHIFT, LARGEST_REDSHIFT = 1e-4, 100.0  # of the templates' grid
_MOST_POINTS = 1000  # a square matrix of that size takes 8 MB per thread


@dataclass(frozen=True, kw_only=True)
class TemplateConfig:
    """Settings of `Templates.fit`; they depend on a survey's classes and depth.

    Attributes
    ----------
    classes : tuple of str
        Classes with a template; those without bright training objects are left out.
    redshifts : tuple of float
        Grid of redshifts at which every template is fitted.
    """

    RETIRED: ClassVar[Mapping[str, object]] = {
        "phase_range": (-24.0, 120.0),
        "phase_step": 4.0,
        "wavelength_range": (1800.0, 10_200.0),
        "wavelength_step": 600.0,
        "peak_snr": 12.0,
        "per_class": 120,
    }

    classes: tuple[str, ...] = ("SNIa", "SNII", "SNIbc", "SNIax", "SNIa-91bg", "SLSN-I", "TDE")
    redshifts: tuple[float, ...] = (
        0.02, 0.05, 0.09, 0.14, 0.2, 0.26, 0.33, 0.41, 0.5, 0.6, 0.72, 0.86, 1.05, 1.35, 1.8, 2.6,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check the grid of redshifts."""
        inside = all(LEAST_REDSHIFT <= z <= LARGEST_REDSHIFT for z in self.redshifts)
        if not (self.redshifts and inside and list(self.redshifts) == sorted(set(self.redshifts))):
            raise SettingsError(
                f"templates.redshifts = {list(self.redshifts)}: they must rise and lie between "
                f"{LEAST_REDSHIFT:g} and {LARGEST_REDSHIFT:g}"
            )


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Settings of `extract`.

    Attributes
    ----------
    max_points : int
        Most nightly points in the Gaussian process; nights are joined above it. Fewer are faster:
        the cost grows with its cube.
    templates : TemplateConfig
        Templates and their fits.
    own : tuple of str
        Further columns, by features of other packages: ``package.module:Class``, an entry point of the group
        ``firstlight.features``. They are computed whatever the inputs are.
    """

    RETIRED: ClassVar[Mapping[str, object]] = {
        "window": (-100.0, 200.0),
        "bin_width": 0.45,
        "time_scales": (5.0, 10.0, 20.0, 40.0, 80.0, 160.0),
        "amplitudes": (0.4, 1.2),
        "wavelength_scale": 6000.0,
        "grid_step": 2.0,
    }

    max_points: int = 100
    templates: TemplateConfig = field(default_factory=TemplateConfig)
    own: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the number of points, and that the features of other packages are installed."""
        check_own(self.own)
        if not 1 <= self.max_points <= _MOST_POINTS:
            raise SettingsError(f"features.max_points = {self.max_points}: choose 1 to {_MOST_POINTS}")
