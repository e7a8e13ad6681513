"""Preprocessing: which observations count, and what their fluxes would be without dust.

`preprocess` is the one entry of the pipeline. It is a pure function of each object's
history, so the preprocessed history at any time is what a stream has at that time.
"""

from dataclasses import dataclass, field
from typing import Literal

from firstlight.errors import SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.preprocess.clean import CleanConfig, ClipConfig, PhysicalConfig, clean, keep_mask
from firstlight.preprocess.dust import deredden
from firstlight.preprocess.magnitudes import asinh_magnitude

__all__ = [
    "CleanConfig",
    "ClipConfig",
    "PhysicalConfig",
    "PreprocessConfig",
    "asinh_magnitude",
    "clean",
    "deredden",
    "keep_mask",
    "preprocess",
]


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """What happens to light curves before anything is read from them.

    Attributes
    ----------
    clean : CleanConfig
        Which observations to keep.
    deredden : {"auto", "always", "never"}
        ``auto`` corrects fluxes for Milky Way dust where the source has not; ``always``
        corrects those too that the source has corrected, as the seed paper does to
        PLAsTiCC; ``never`` leaves fluxes as they are.
    """

    clean: CleanConfig = field(default_factory=CleanConfig)
    deredden: Literal["auto", "always", "never"] = "auto"

    def __post_init__(self) -> None:
        """Reject a mode that does not exist."""
        if self.deredden not in ("auto", "always", "never"):
            raise SettingsError(f"preprocess: deredden {self.deredden!r}; choose auto, always or never")


def preprocess(curves: LightCurves, config: PreprocessConfig) -> LightCurves:
    """Clean light curves, then correct them for Milky Way dust.

    Parameters
    ----------
    curves : LightCurves
        Whole histories as read. Preprocess the history anew whenever it grows: preprocessing
        what is already preprocessed would clean twice.
    config : PreprocessConfig
        What to do.

    Returns
    -------
    LightCurves
        The same objects in the same order; some observations may be gone.
    """
    cleaned = clean(curves, config.clean)
    if config.deredden == "never":
        return cleaned
    return deredden(cleaned, again=config.deredden == "always")
