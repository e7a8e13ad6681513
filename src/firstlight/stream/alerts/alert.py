"""The internal alert: one object, the observation that triggered the alert, and its history.

Times are MJD TAI, fluxes AB nJy; a packet with nothing to classify becomes a `Skip`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight.bands import N_BANDS
from firstlight.errors import DataError
from firstlight.lightcurves import OBJECT_COLUMNS, LightCurves
from firstlight.lightcurves.visits import combine, merge
from firstlight.online import Arrivals

_NAN, _INF = float("nan"), float("inf")

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
    """Reason why an alert is not classified."""

    SOLAR_SYSTEM = "solar-system"  #: the source is a known solar-system object
    NO_OBJECT = "no-object"  #: the source belongs to no object
    WITHDRAWN = "withdrawn"  #: the survey withdrew the source
    NO_MEASUREMENT = "no-measurement"  #: no usable flux in the whole packet


@dataclass(frozen=True, slots=True)
class Skip:
    """An alert that is not classified, and the reason.

    Attributes
    ----------
    reason : SkipReason
        Code of the reason.
    alert_id, object_id : str
        Names as in the packet; empty if it has none.
    mjd : float
        Time of the source [MJD TAI day]; NaN if unknown.
    """

    reason: SkipReason
    alert_id: str = ""
    object_id: str = ""
    mjd: float = _NAN


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """Observations of one object in columns, sorted by time, one row per visit and band.

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
        The survey's number of the measurement; 0 if unknown.
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
        """Observations of unshared arrays of the right types, one per attribute, without copy or check."""
        new = object.__new__(cls)
        for name, column in zip(COLUMN_TYPES, columns, strict=True):
            column.setflags(write=False)
            object.__setattr__(new, name, column)
        return new

    def __len__(self) -> int:
        """Number of observations."""
        return len(self.mjd)

    def checked(self) -> Self:
        """The same observations; DataError if lengths differ, times fall or a value is out of range."""
        lengths = {name: getattr(self, name).shape for name in COLUMN_TYPES}
        if len(set(lengths.values())) > 1 or self.mjd.ndim != 1:
            raise DataError(f"columns of observations differ in length: {lengths}")
        if not np.isfinite(self.mjd).all() or (np.diff(self.mjd) < 0).any():
            raise DataError("times of observations are not all finite and ascending")
        if ((self.band < 0) | (self.band >= N_BANDS)).any():
            raise DataError("an observation's band is not one of u, g, r, i, z, y")
        if not (
            np.isfinite(self.flux).all() and np.isfinite(self.flux_err).all() and (self.flux_err > 0).all()
        ):
            raise DataError("an observation's flux is not finite, or its error not positive")
        return self

    @classmethod
    def joined(
        cls, parts: Sequence[Self], times: Sequence[float], listed_from: Sequence[tuple[float, float]] = ()
    ) -> Self:
        """Observations of several alerts of one object, one row per visit and band.

        Of two measurements of one visit, that of the later alert counts (by `times` [MJD]), but a
        detection always before forced photometry. A measurement that a later alert no longer lists
        (`listed_from`, as in `Alert`) is left out; where that occurs, alerts come in their order of arrival.
        """
        if all(since == (_INF, _INF) for since in listed_from):
            return cls._merged(parts, times)
        known: tuple[Any, ...] = (*(np.empty(0, kind) for kind in COLUMN_TYPES.values()), np.empty(0))
        newest, newest_listed = -_INF, np.array([_INF, _INF])
        for part, time, since in zip(parts, times, listed_from, strict=True):
            arrived, listed = tuple(getattr(part, name) for name in COLUMN_TYPES), np.array(since)
            *known_rows, _ = combine(known, arrived, time, listed, newest, newest_listed)
            known = tuple(known_rows)
            if min(since) < _INF and time >= newest:
                newest, newest_listed = time, listed
        return cls.wrap(known[:-1])

    @classmethod
    def _merged(cls, parts: Sequence[Self], times: Sequence[float]) -> Self:
        """Observations of several alerts that list no past; see `joined`."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMN_TYPES}
        order = np.repeat(np.array(times, dtype=np.float64), [len(part) for part in parts])
        *merged, _, _ = merge(
            columns["mjd"],
            columns["band"],
            columns["flux"].astype(np.float64),
            columns["flux_err"].astype(np.float64),
            columns["detected"],
            columns["source_id"],
            order,
        )
        return cls.wrap(merged)


@dataclass(frozen=True, slots=True, eq=False)
class Alert:
    """One alert in internal units.

    Attributes
    ----------
    alert_id, object_id : str
        The survey's names of the alert and of the object.
    mjd : float
        Time of the observation that triggered the alert [MJD TAI day].
    observations : Observations
        The triggering source, previous sources and forced photometry.
    source_id : int
        Number of the triggering source; 0 if unknown.
    ra, dec : float
        Position, ICRS [degree]; NaN if unknown.
    ebv : float
        Milky Way E(B-V) [mag]; NaN if unknown.
    redshift, redshift_err : float
        Photometric host redshift and its error; 0 means a Milky Way object, NaN unknown.
    redshift_spec : float
        Spectroscopic host redshift; NaN if unknown.
    dereddened : bool
        Whether the fluxes are corrected for Milky Way dust.
    n_dropped : mapping of str to int
        Rows of the packet that were set aside, by reason (`observe.REASONS`).
    listed_from : tuple of two floats
        Times from which the packet lists all detections, and all forced photometry, of the object
        [MJD TAI day]; infinite if it lists none.
    survey : str
        ``lsst`` or ``ztf``; empty if the format does not decide it.
    reliability : float
        The survey's score that the triggering source is real, in [0, 1]; NaN if unknown.
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
    n_dropped: Mapping[str, int] = field(default_factory=dict)
    listed_from: tuple[float, float] = (_INF, _INF)
    survey: str = ""
    reliability: float = _NAN

    @property
    def n_rejected(self) -> int:
        """Number of rows of the packet that were set aside."""
        return sum(self.n_dropped.values())

    def light_curves(self) -> LightCurves:
        """The alert's observations as the light curve of one object."""
        return light_curves([self])


#: Columns of `LightCurves` that an alert may fill, besides the observations.
OBJECT_VALUES = tuple(OBJECT_COLUMNS)


def light_curves(alerts: Iterable[Alert]) -> LightCurves:
    """Light curves of the objects of some alerts.

    Alerts of one object are joined, in any order: one row per visit and band, and the newest
    known position, redshift and reddening.

    Parameters
    ----------
    alerts : iterable of Alert
        Alerts of any number of objects.

    Returns
    -------
    LightCurves
        One per object, in the order of first appearance.

    Raises
    ------
    DataError
        If there is no alert, or dereddened fluxes are mixed with raw ones.
    """
    by_object: dict[str, list[Alert]] = {}
    once: dict[tuple[str, str], Alert] = {}
    for alert in alerts:  # a repeated alert changes nothing
        if alert is once.setdefault((alert.object_id, alert.alert_id), alert):
            by_object.setdefault(alert.object_id, []).append(alert)
    if not by_object:
        raise DataError("no alerts: light curves need at least one")
    if len({alert.dereddened for group in by_object.values() for alert in group}) > 1:
        raise DataError("cannot mix dereddened and raw fluxes; correct the raw ones first")
    histories, values = [], []
    for group in by_object.values():
        parts, times = [alert.observations for alert in group], [alert.mjd for alert in group]
        listed = [alert.listed_from for alert in group]
        histories.append(parts[0] if len(parts) == 1 else Observations.joined(parts, times, listed))
        values.append([_newest(group, name) for name in OBJECT_VALUES])
    curves, _ = _curves(list(by_object), histories, values, group[0].dereddened)
    surveys = [group[0].survey for group in by_object.values()]
    return curves.with_columns(survey=np.array(surveys, dtype=np.str_)) if any(surveys) else curves


def _curves(
    names: Sequence[str], parts: Sequence[Observations], values: Sequence[Sequence[float]], dereddened: bool
) -> tuple[LightCurves, NDArray[np.int64]]:
    """Light curves of objects with these observations and `OBJECT_VALUES`, and the sources' numbers."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) if parts else np.empty(0, kind)
        for name, kind in COLUMN_TYPES.items()
    }
    source_id = columns.pop("source_id")
    table = np.array(values, dtype=np.float64).reshape(-1, len(OBJECT_VALUES))
    columns |= zip(OBJECT_VALUES, table.T, strict=True)
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts], dtype=np.int64)])
    object_id = np.array(names, dtype=np.str_)
    return LightCurves(object_id=object_id, offsets=offsets, dereddened=dereddened, **columns), source_id


def _newest(alerts: Sequence[Alert], name: str) -> float:
    """The value in the latest alert that has one; of two alerts of one time, the larger value."""
    known = [(alert.mjd, value) for alert in alerts if not np.isnan(value := getattr(alert, name))]
    return float(max(known)[1]) if known else _NAN


def arrivals(alerts: Sequence[Alert]) -> Arrivals:
    """Alerts of different objects as `Pipeline.update` takes them.

    Raises DataError if an object occurs twice, or dereddened fluxes are mixed with raw ones.
    """
    if len({alert.dereddened for alert in alerts}) > 1:
        raise DataError("cannot mix dereddened and raw fluxes in one update; update them separately")
    curves, source_id = _curves(
        [alert.object_id for alert in alerts],
        [alert.observations for alert in alerts],
        [[getattr(alert, name) for name in OBJECT_VALUES] for alert in alerts],
        bool(alerts) and alerts[0].dereddened,
    )
    return Arrivals(
        curves,
        source_id,
        np.array([alert.mjd for alert in alerts], dtype=np.float64),
        np.array([alert_digest(alert.alert_id) for alert in alerts], dtype=np.uint64),
        np.array([alert.listed_from for alert in alerts], dtype=np.float64).reshape(-1, 2),
    )


def alert_digest(alert_id: str) -> int:
    """64-bit digest of an alert's name, by which an object's state recognises a repeated alert."""
    return int.from_bytes(hashlib.blake2b(alert_id.encode(), digest_size=8).digest(), "little")
