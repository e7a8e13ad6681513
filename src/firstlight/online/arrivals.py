"""`Arrivals`: the content of a batch of alerts, one per object."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight._types import FloatArray, IntArray
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Observations of a batch of alerts, one alert per object; known observations may be among them.

    Parameters
    ----------
    curves : LightCurves
        Raw observations of each packet, with position, dust and redshift (NaN if the packet
        has none).
    source_id : int64 array, shape (n_total,)
        The survey's number of each measurement; 0 for unknown.
    alert_mjd : float64 array, shape (n_objects,)
        Time of each alert [MJD TAI day].
    alert : uint64 array, shape (n_objects,)
        Digest of each alert's name; an alert whose digest the object already has is a repeated
        alert and changes nothing.
    listed_from : float64 array, shape (n_objects, 2), optional
        Times from which each packet lists all detections, and all forced photometry, of its object
        [MJD TAI day]; infinite if it lists none, as by default. A known measurement in that time which an
        older alert stated, and this packet does not, is removed.

    Raises
    ------
    DataError
        If lengths disagree or an alert's time is not finite.
    """

    curves: LightCurves
    source_id: IntArray
    alert_mjd: FloatArray
    alert: NDArray[np.uint64]
    listed_from: FloatArray = field(default_factory=lambda: np.empty((0, 2)))

    def __post_init__(self) -> None:
        n, n_total = len(self.curves), len(self.curves.mjd)
        if not len(self.listed_from):
            object.__setattr__(self, "listed_from", np.full((n, 2), np.inf))
        shapes: dict[str, tuple[Any, int]] = {
            "source_id": (np.int64, n_total),
            "alert_mjd": (np.float64, n),
            "alert": (np.uint64, n),
        }
        for name, (kind, length) in shapes.items():
            value = np.asarray(getattr(self, name), dtype=kind)
            if value.shape != (length,):
                raise DataError(f"arrivals: {name} has shape {value.shape}, expected ({length},)")
            object.__setattr__(self, name, value)
        if self.listed_from.shape != (n, 2):
            raise DataError(f"arrivals: listed_from has shape {self.listed_from.shape}, expected ({n}, 2)")
        wrong = np.flatnonzero(~np.isfinite(self.alert_mjd))
        if len(wrong):
            raise DataError(f"object {str(self.curves.object_id[wrong[0]])!r}: its alert has no time")

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.curves)

    @classmethod
    def from_curves(cls, curves: LightCurves, alert: ArrayLike, alert_mjd: ArrayLike | None = None) -> Self:
        """Arrivals of new observations that did not come as alerts.

        Parameters
        ----------
        curves : LightCurves
            New observations of each object, at least one.
        alert : uint64 array_like, shape (n_objects,)
            Number of each update, unique within its object.
        alert_mjd : float64 array_like, shape (n_objects,), optional
            Time of each update [MJD]; by default that of its last observation.

        Raises
        ------
        DataError
            If an object without observations has no `alert_mjd`.
        """
        if alert_mjd is None:
            if (curves.n_obs == 0).any():
                raise DataError("an object without new observations has no time; give alert_mjd")
            alert_mjd = curves.mjd[curves.offsets[1:] - 1]
        return cls(
            curves,
            np.zeros(len(curves.mjd), np.int64),
            np.asarray(alert_mjd, np.float64),
            np.asarray(alert, np.uint64),
        )
