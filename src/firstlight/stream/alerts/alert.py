"""The internal alert: one object, one trigger, and the observations that its packet carries.

Every codec of `firstlight.stream` turns foreign packets into an `Alert`, or into a `Skip`
with its reason where a packet holds nothing to classify (a solar-system object, a source
without an object). Foreign units end there: times are MJD TAI, fluxes AB nJy.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight.bands import N_BANDS
from firstlight.errors import DataError
from firstlight.lightcurves import OBJECT_COLUMNS, LightCurves
from firstlight.online import Arrivals
from firstlight.online.visits import merge

__all__ = ["Alert", "Observations", "Skip", "SkipReason", "alert_digest", "arrivals", "light_curves"]

_NAN = float("nan")

#: Columns of `Observations` and their storage types.
COLUMN_TYPES: dict[str, Any] = {
    "mjd": np.float64,
    "band": np.int8,
    "flux": np.float32,
    "flux_err": np.float32,
    "detected": np.bool_,
    "source_id": np.int64,
}


class SkipReason(StrEnum):
    """Why an alert is not classified."""

    SOLAR_SYSTEM = "solar-system"  #: the source is a known solar-system object
    NO_OBJECT = "no-object"  #: the source belongs to no object
    WITHDRAWN = "withdrawn"  #: the survey withdrew the source
    NO_MEASUREMENT = "no-measurement"  #: no usable flux in the whole packet


@dataclass(frozen=True, slots=True)
class Skip:
    """An alert with nothing to classify, and why.

    Attributes
    ----------
    reason : SkipReason
        Code of the reason.
    alert_id, object_id : str
        Names as the packet gives them; empty where it gives none.
    mjd : float
        Time of the source [MJD TAI day]; NaN where unknown.
    """

    reason: SkipReason
    alert_id: str = ""
    object_id: str = ""
    mjd: float = _NAN


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """Observations of one object in columns, sorted by time, each visit once.

    Attributes
    ----------
    mjd : float64 array, shape (n_obs,)
        Times, ascending [MJD TAI day].
    band : int8 array, shape (n_obs,)
        Index into `firstlight.bands.BANDS`.
    flux, flux_err : float32 arrays, shape (n_obs,)
        Difference flux and its error [nJy].
    detected : bool array, shape (n_obs,)
        Whether the survey called it a detection.
    source_id : int64 array, shape (n_obs,)
        The survey's number of the measurement; 0 where unknown.
    """

    mjd: NDArray[np.float64]
    band: NDArray[np.int8]
    flux: NDArray[np.float32]
    flux_err: NDArray[np.float32]
    detected: NDArray[np.bool_]
    source_id: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, kind in COLUMN_TYPES.items():
            column = np.asarray(getattr(self, name), dtype=kind).view()
            column.setflags(write=False)
            object.__setattr__(self, name, column)

    @classmethod
    def wrap(cls, columns: Sequence[NDArray[Any]]) -> Self:
        """Observations of arrays that are nobody else's and have the right types: no copy, no check.

        Parameters
        ----------
        columns : sequence of array
            In the order of the attributes; they become read-only.
        """
        new = object.__new__(cls)
        for name, column in zip(COLUMN_TYPES, columns, strict=True):
            column.setflags(write=False)
            object.__setattr__(new, name, column)
        return new

    def __len__(self) -> int:
        """Number of observations."""
        return len(self.mjd)

    def checked(self) -> Self:
        """The same observations, if every value is one that a light curve may hold.

        Raises
        ------
        DataError
            If columns differ in length, times fall, or a value is out of range.
        """
        lengths = {name: getattr(self, name).shape for name in COLUMN_TYPES}
        if len(set(lengths.values())) > 1 or self.mjd.ndim != 1:
            raise DataError(f"columns of observations differ in length: {lengths}")
        if not np.isfinite(self.mjd).all() or (np.diff(self.mjd) < 0).any():
            raise DataError("times of observations are not finite and ascending")
        if ((self.band < 0) | (self.band >= N_BANDS)).any():
            raise DataError("an observation's band is none of u, g, r, i, z, y")
        if not (
            np.isfinite(self.flux).all() and np.isfinite(self.flux_err).all() and (self.flux_err > 0).all()
        ):
            raise DataError("an observation's flux is not finite, or its error not positive")
        return self

    @classmethod
    def joined(cls, parts: Sequence[Self], stated: Sequence[float]) -> Self:
        """Observations of several alerts of one object, each visit once.

        Parameters
        ----------
        parts : sequence of Observations
            In any order.
        stated : sequence of float
            Time of each part's alert: of two statements about one visit, the later alert's
            counts (but a detection before forced photometry, always).

        Returns
        -------
        Observations
            Sorted by time.
        """
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMN_TYPES}
        order = np.repeat(np.array(stated, dtype=np.float64), [len(part) for part in parts])
        *merged, _, _ = merge(
            columns["mjd"],
            columns["band"],
            columns["flux"].astype(np.float64),
            columns["flux_err"].astype(np.float64),
            columns["detected"],
            columns["source_id"],
            np.zeros(len(order), np.int64),
            order,
        )
        return cls.wrap(merged)


@dataclass(frozen=True, slots=True, eq=False)
class Alert:
    """One alert in internal units.

    Attributes
    ----------
    alert_id : str
        The survey's name of the alert.
    object_id : str
        The survey's name of the object.
    mjd : float
        Time of the observation that sent the alert [MJD TAI day].
    observations : Observations
        What the packet carries: the source, previous sources and forced photometry,
        each visit once.
    source_id : int
        Number of the source that sent the alert; 0 where unknown.
    ra, dec : float
        Position, ICRS [degree]; NaN where unknown.
    ebv : float
        Milky Way E(B-V) [mag]; NaN where unknown.
    redshift, redshift_err : float
        Photometric host redshift and its error; 0 states a Milky Way object, NaN unknown.
    redshift_spec : float
        Spectroscopic host redshift; NaN where unknown.
    dereddened : bool
        Whether the fluxes are already corrected for Milky Way dust.
    n_rejected : int
        Rows of the packet without a usable time, band or flux.
    """

    alert_id: str
    object_id: str
    mjd: float
    observations: Observations
    source_id: int = 0
    ra: float = _NAN
    dec: float = _NAN
    ebv: float = _NAN
    redshift: float = _NAN
    redshift_err: float = _NAN
    redshift_spec: float = _NAN
    dereddened: bool = False
    n_rejected: int = 0

    def light_curves(self) -> LightCurves:
        """The alert's observations as the light curve of one object."""
        return light_curves([self])


#: Columns of `LightCurves` that an alert may fill, besides the observations.
OBJECT_VALUES = tuple(OBJECT_COLUMNS)


def light_curves(alerts: Iterable[Alert]) -> LightCurves:
    """Light curves of the objects of some alerts.

    Alerts of one object are joined: every visit once, whatever the order in which the
    alerts are given, and the newest known value of position, redshift and reddening.

    Parameters
    ----------
    alerts : iterable of Alert
        Alerts of any number of objects.

    Returns
    -------
    LightCurves
        One object each, in the order of their first appearance.

    Raises
    ------
    DataError
        If there is no alert, or corrected fluxes meet uncorrected ones.
    """
    by_object: dict[str, list[Alert]] = {}
    for alert in alerts:
        by_object.setdefault(alert.object_id, []).append(alert)
    if not by_object:
        raise DataError("no alerts, no light curves")
    if len({alert.dereddened for group in by_object.values() for alert in group}) > 1:
        raise DataError("cannot join dereddened fluxes with raw ones; correct them first")
    histories, values = [], []
    for group in by_object.values():
        parts, stated = [alert.observations for alert in group], [alert.mjd for alert in group]
        histories.append(parts[0] if len(parts) == 1 else Observations.joined(parts, stated))
        values.append([_newest(group, name) for name in OBJECT_VALUES])
    table = np.array(values, dtype=np.float64)
    columns: dict[str, Any] = {
        f.name: np.concatenate([getattr(history, f.name) for history in histories])
        for f in fields(Observations)
        if f.name != "source_id"
    }
    return LightCurves(
        object_id=np.array(list(by_object), dtype=np.str_),
        offsets=np.concatenate([[0], np.cumsum([len(history) for history in histories])]),
        dereddened=group[0].dereddened,
        **columns,
        **dict(zip(OBJECT_VALUES, table.T, strict=True)),
    )


def _newest(alerts: Sequence[Alert], name: str) -> float:
    """The value that the latest alert knows; the larger of two of one time, whatever came first."""
    known = [(alert.mjd, value) for alert in alerts if not np.isnan(value := getattr(alert, name))]
    return float(max(known)[1]) if known else _NAN


def arrivals(alerts: Sequence[Alert]) -> Arrivals:
    """What alerts of different objects carry, as `Pipeline.update` takes it.

    Parameters
    ----------
    alerts : sequence of Alert
        At most one of each object.

    Raises
    ------
    DataError
        If an object occurs twice, or dereddened fluxes are mixed with raw ones.
    """
    if len({alert.dereddened for alert in alerts}) > 1:
        raise DataError("cannot take dereddened fluxes together with raw ones; update them apart")
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(alert.observations, name) for alert in alerts])
        if alerts
        else np.empty(0, kind)
        for name, kind in COLUMN_TYPES.items()
    }
    source_id = columns.pop("source_id")
    values = np.array([[getattr(alert, name) for name in OBJECT_VALUES] for alert in alerts])
    objects: dict[str, Any] = dict(zip(OBJECT_VALUES, values.reshape(-1, len(OBJECT_VALUES)).T, strict=True))
    curves = LightCurves(
        object_id=np.array([alert.object_id for alert in alerts], dtype=np.str_),
        offsets=np.concatenate(
            [[0], np.cumsum([len(alert.observations) for alert in alerts], dtype=np.int64)]
        ),
        dereddened=bool(alerts) and alerts[0].dereddened,
        **columns,
        **objects,
    )
    return Arrivals(
        curves,
        source_id,
        np.array([alert.mjd for alert in alerts], dtype=np.float64),
        np.array([alert_digest(alert.alert_id) for alert in alerts], dtype=np.uint64),
    )


def alert_digest(alert_id: str) -> int:
    """64-bit digest of an alert's name, by which an object's state remembers that it was answered."""
    return int.from_bytes(hashlib.blake2b(alert_id.encode(), digest_size=8).digest(), "little")
