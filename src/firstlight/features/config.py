"""Settings of the features."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.errors import SettingsError

__all__ = ["FeatureConfig", "TemplateConfig"]


@dataclass(frozen=True, kw_only=True)
class TemplateConfig:
    """Settings of `Templates.fit`.

    Attributes
    ----------
    classes : tuple of str
        Classes to make a template of; those without bright training objects are left out.
    redshifts : tuple of float
        Grid of redshifts at which every template is fitted.
    phase_range : tuple of float
        First and last rest-frame day from peak.
    phase_step : float
        [rest-frame day]
    wavelength_range : tuple of float
        Shortest and longest rest wavelength [Angstrom].
    wavelength_step : float
        [Angstrom]
    peak_snr : float
        S/N of the Gaussian process at its peak that makes an object bright.
    per_class : int
        Most objects to make a template from, the brightest first.
    """

    classes: tuple[str, ...] = ("SNIa", "SNII", "SNIbc", "SNIax", "SNIa-91bg", "SLSN-I", "TDE")
    redshifts: tuple[float, ...] = (
        0.02, 0.05, 0.09, 0.14, 0.2, 0.26, 0.33, 0.41, 0.5, 0.6, 0.72, 0.86, 1.05, 1.35, 1.8, 2.6,
    )  # fmt: skip
    phase_range: tuple[float, ...] = (-24.0, 120.0)
    phase_step: float = 4.0
    wavelength_range: tuple[float, ...] = (1800.0, 10_200.0)
    wavelength_step: float = 600.0
    peak_snr: float = 12.0
    per_class: int = 120


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Settings of `extract`.

    Attributes
    ----------
    window : tuple of float
        First and last day, since the trigger, that the Gaussian process sees.
    max_points : int
        Most nightly points in the Gaussian process; nights are joined above it.
    bin_width : float
        Longest bin of the observations of one band [day].
    time_scales : tuple of float
        Grid of the kernel's time scale [day].
    amplitudes : tuple of float
        Grid of its amplitude over the object's flux scale.
    wavelength_scale : float
        Its length in wavelength [Angstrom].
    grid_step : float
        Spacing of the grid on which peaks, rises and falls are read [day].
    templates : TemplateConfig
        How templates are made of training objects.
    """

    window: tuple[float, ...] = (-100.0, 200.0)
    max_points: int = 100
    bin_width: float = 0.45
    time_scales: tuple[float, ...] = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
    amplitudes: tuple[float, ...] = (0.4, 1.2)
    wavelength_scale: float = 6000.0
    grid_step: float = 2.0
    templates: TemplateConfig = field(default_factory=TemplateConfig)

    def __post_init__(self) -> None:
        if len(self.window) != 2 or not self.window[0] < 0.0 < self.window[1]:
            raise SettingsError(f"feature window {self.window}: give a time before and one after the trigger")
        positive = (
            *self.time_scales,
            *self.amplitudes,
            self.wavelength_scale,
            self.grid_step,
            self.bin_width,
        )
        if not self.time_scales or not self.amplitudes or min(positive) <= 0.0 or self.max_points < 1:
            raise SettingsError(f"{self}: scales, amplitudes, widths and counts must be positive")

    def band_kernel(self) -> NDArray[np.float64]:
        """Matern-3/2 correlation between the six bands, shape (6, 6)."""
        distance = np.abs(EFFECTIVE_WAVELENGTH[:, None] - EFFECTIVE_WAVELENGTH[None, :])
        x = math.sqrt(3.0) * distance / self.wavelength_scale
        return np.asarray((1.0 + x) * np.exp(-x))
