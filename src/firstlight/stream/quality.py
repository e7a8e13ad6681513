"""Which measurements of an alert are set aside by the survey's own judgement of their quality."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstlight.errors import SettingsError

#: Flags of a measurement whose flux is not that of the object: the fit failed, or the pixels at its centre
#: hold no light of the sky. Each costs time in packets with a long history.
DEFAULT_FLAGS = (
    "psfFlux_flag",
    "psfFlux_flag_edge",
    "psfFlux_flag_noGoodPixels",
    "pixelFlags_bad",
    "pixelFlags_nodataCenter",
    "pixelFlags_saturatedCenter",
    "pixelFlags_streakCenter",
    "pixelFlags_injectedCenter",
)


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Cuts on the quality of measurements; one without the field in question is kept.

    Attributes
    ----------
    flags : tuple of str
        Names of flags in the packets; a measurement with any of them set is set aside.
    min_reliability : float
        Smallest ``reliability`` of LSST's sources, in [0, 1]; 0 for no cut.
    min_rb, min_drb : float
        Smallest ``rb`` and ``drb`` (real or bogus) of ZTF's candidates, in [0, 1]; 0 for no cut.
    max_nbad : int, optional
        Largest number of bad pixels (``nbad``) of ZTF's candidates; None for no cut.
    negative : bool
        Whether measurements that are negative (``isNegative``) are used.

    Raises
    ------
    SettingsError
        If a value is out of range, or a flag has no plain name.
    """

    flags: tuple[str, ...] = DEFAULT_FLAGS
    min_reliability: float = 0.0
    min_rb: float = 0.0
    min_drb: float = 0.0
    max_nbad: int | None = None
    negative: bool = True

    def __post_init__(self) -> None:
        for name in ("min_reliability", "min_rb", "min_drb"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"quality.{name} = {getattr(self, name)!r}: expected 0 to 1")
        if self.max_nbad is not None and self.max_nbad < 0:
            raise SettingsError(f"quality.max_nbad = {self.max_nbad!r}: expected 0 or more")
        wrong = [name for name in self.flags if not name.isidentifier()]
        if wrong:
            raise SettingsError(f"quality.flags: {wrong[0]!r} is not the name of a field")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a row (`stream.alerts.observe.COLUMNS`) that a cut needs."""
        active = {
            "reliability": self.min_reliability > 0.0,
            "rb": self.min_rb > 0.0,
            "drb": self.min_drb > 0.0,
            "nbad": self.max_nbad is not None,
            "negative": not self.negative,
        }
        return tuple(name for name, is_active in active.items() if is_active)

    @property
    def cuts(self) -> NDArray[np.float64]:
        """Limits of the reliability, rb, drb and nbad, shape (4,)."""
        most = np.inf if self.max_nbad is None else self.max_nbad
        return np.array([self.min_reliability, self.min_rb, self.min_drb, most], np.float64)
