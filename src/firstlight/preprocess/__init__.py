"""Preprocessing: which observations count, and their fluxes without Milky Way dust.

`preprocess` is the pipeline's only entry. It is a pure function of each object's history, so
that batch and stream agree at any time.
"""

from dataclasses import dataclass, field
from typing import Literal

from firstlight.errors import SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.preprocess.clean import CleanConfig, ClipConfig, clean, keep_mask
from firstlight.preprocess.dust import deredden, with_map_ebv
from firstlight.preprocess.magnitudes import asinh_magnitude

__all__ = [
    "CleanConfig",
    "ClipConfig",
    "PreprocessConfig",
    "asinh_magnitude",
    "clean",
    "deredden",
    "keep_mask",
    "preprocess",
    "with_ebv",
]


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """Cleaning and dust correction; presets differ in both.

    Attributes
    ----------
    clean : CleanConfig
        Which observations to keep.
    deredden : {"auto", "always", "never"}
        ``auto`` corrects fluxes for Milky Way dust where the source has not; ``always``
        also corrects those that the source has corrected, as the paper does to PLAsTiCC;
        ``never`` leaves fluxes as they are.
    dust_map : {"sfd", "none"}
        E(B-V) of objects with a position and without a value: from the map that ships with the
        package, or unknown.
    """

    clean: CleanConfig = field(default_factory=CleanConfig)
    deredden: Literal["auto", "always", "never"] = "auto"
    dust_map: Literal["sfd", "none"] = "sfd"

    def __post_init__(self) -> None:
        """Reject unknown choices."""
        if self.dust_map not in ("sfd", "none"):
            raise SettingsError(f"preprocess: dust_map {self.dust_map!r}; choose sfd or none")
        if self.deredden not in ("auto", "always", "never"):
            raise SettingsError(f"preprocess: deredden {self.deredden!r}; choose auto, always or never")


def preprocess(curves: LightCurves, config: PreprocessConfig) -> LightCurves:
    """Clean light curves, then correct them for Milky Way dust.

    Parameters
    ----------
    curves : LightCurves
        Whole histories as read. When a history grows, preprocess all of it: a second pass over
        preprocessed light curves would clean twice.
    config : PreprocessConfig
        Cleaning and dust correction.

    Returns
    -------
    LightCurves
        The same objects in the same order; some observations may be gone.
    """
    cleaned = with_ebv(clean(curves, config.clean), config)
    if config.deredden == "never":
        return cleaned
    return deredden(cleaned, again=config.deredden == "always")


def with_ebv(curves: LightCurves, config: PreprocessConfig) -> LightCurves:
    """Light curves with the E(B-V) that `preprocess` uses: given, else that of the map at the position."""
    return with_map_ebv(curves) if config.dust_map == "sfd" else curves
