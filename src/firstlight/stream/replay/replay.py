"""Light curves as the alert stream that a survey would have sent, in order of time.

A packet holds its source, the earlier observations within the history window, and position,
reddening and host redshifts, but no label.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight.errors import DataError, SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.stream.alerts.alert import OBJECT_VALUES, Alert, Observations
from firstlight.stream.alerts.write import LSST_SCHEMA_ID
from firstlight.stream.replay.packets import PacketColumns, PacketRows, window_starts, write_packets

#: Head of a message in Confluent framing with the number of our LSST-like schema.
CONFLUENT_FRAME = b"\0" + LSST_SCHEMA_ID.to_bytes(4, "big")
HISTORY_DAYS = 365.0  # LSST's packets carry twelve months (LDM-612)
LATE_DAYS = 10.0  # greatest delay of a late alert [day]
REPEAT_WITHIN = 1000  # greatest number of alerts between an alert and its copy
PACKETS_AT_ONCE = 64  # 2 MB of packets of 30 kB

_MAX_NUMBER = 1 << 63
_NAMED = 1 << 62  # hashes of names begin here; integer names end here
_ROWS_PER_OBJECT = 1_000_000  # a readable number of an observation is the object's and six digits


@dataclass(frozen=True)
class ReplayConfig:
    """How light curves become alerts.

    Attributes
    ----------
    detections_only : bool
        Whether only detections trigger alerts, instead of every observation.
    history_days : float
        Length of the history in a packet [day].
    from_mjd, to_mjd : float
        First and last time of the observations that trigger alerts, inclusive [MJD]; histories
        reach further back.
    max_alerts : int, optional
        Maximum number of alerts, repeated ones included.
    packet_bytes : int
        Size that packets are filled up to with a random cutout; 0 adds none.
    shuffle_night : bool
        Whether the alerts of a night come in random order.
    late : float
        Fraction of the alerts that come up to `LATE_DAYS` late; packets sent before such an alert
        lack its observation.
    repeat : float
        Fraction of the alerts that are sent twice, the copy byte for byte.
    renumber : bool
        Whether objects with non-integer names get numbers, which packets need.
    seed : int
        Random seed.

    Raises
    ------
    SettingsError
        If a value is out of range.
    """

    detections_only: bool = False
    history_days: float = HISTORY_DAYS
    from_mjd: float = -np.inf
    to_mjd: float = np.inf
    max_alerts: int | None = None
    packet_bytes: int = 0
    shuffle_night: bool = False
    late: float = 0.0
    repeat: float = 0.0
    renumber: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("late", "repeat"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} is a fraction from 0 to 1, not {getattr(self, name)!r}")
        if not self.history_days >= 0.0:
            raise SettingsError(f"history_days is a number of days, not {self.history_days!r}")
        if not self.from_mjd <= self.to_mjd:
            raise SettingsError(
                f"from_mjd {self.from_mjd!r} is not before to_mjd {self.to_mjd!r}; both are MJD"
            )
        if self.max_alerts is not None and self.max_alerts < 1:
            raise SettingsError(f"max_alerts is at least 1, not {self.max_alerts}")
        if not 0 <= self.packet_bytes <= 10_000_000:
            raise SettingsError(f"packet_bytes is from 0 to 10 million, not {self.packet_bytes}")


class ReplayPacket(NamedTuple):
    """One packet of the stream."""

    key: bytes  # name of the object as in the packet: its alerts stay in one partition
    value: bytes
    mjd: float  # time at which it is sent, never falling


class Replay:
    """The alert stream of some light curves.

    Order, names and bytes depend only on the light curves and the configuration.

    Parameters
    ----------
    curves : LightCurves
        The light curves.
    config : ReplayConfig
        How they become alerts.

    Attributes
    ----------
    numbers : int64 array, shape (n_objects,)
        Number of each object in packets.
    rows : int64 array, shape (n_alerts,)
        The observation that triggers each alert, in order of sending.
    mjd : float64 array, shape (n_alerts,)
        Time at which each alert is sent [MJD].

    Raises
    ------
    DataError
        If no observation triggers an alert, or two objects get the same number.

    Examples
    --------
    >>> curves = LightCurves(["7", "8"], [0, 2, 3], [1.0, 3.0, 2.0], [1, 2, 1], [9, 9, 9], [1, 1, 1])
    >>> [(alert.object_id, alert.mjd, len(alert.observations)) for alert in Replay(curves).alerts()]
    [('7', 1.0, 1), ('8', 2.0, 1), ('7', 3.0, 2)]
    """

    def __init__(self, curves: LightCurves, config: ReplayConfig | None = None) -> None:
        self.curves, self.config = curves, config or ReplayConfig()
        self.numbers = object_numbers(curves.object_id, renumber=True)
        self._source_id = source_numbers(curves, self.numbers)
        self._first = window_starts(curves.mjd, curves.offsets, self.config.history_days)
        self.rows, self.mjd, self._place, self._known_from = _schedule(curves, self.config)
        self._owner = np.searchsorted(curves.offsets, self.rows, side="right") - 1

    def __len__(self) -> int:
        """Number of alerts, repeated ones included."""
        return len(self.rows)

    @property
    def object_index(self) -> NDArray[np.int64]:
        """Index of the object of each alert, shape (n_alerts,)."""
        return self._owner

    @property
    def alert_numbers(self) -> NDArray[np.int64]:
        """Name of each alert, a repeated one's twice, shape (n_alerts,)."""
        return self._source_id[self.rows]

    def packets(self, frame: bytes = CONFLUENT_FRAME) -> Iterator[ReplayPacket]:
        """The packets of our LSST-like schema in order of sending, made as they are taken.

        `frame` precedes each packet. DataError if an object has no integer name and `renumber` is off.
        """
        numbers = object_numbers(self.curves.object_id, renumber=self.config.renumber)
        return self._packets(PacketColumns.of(self.curves, numbers, self._source_id, self._known_from), frame)

    def _packets(self, columns: PacketColumns, frame: bytes) -> Iterator[ReplayPacket]:
        size = self.config.packet_bytes
        cutout = np.frombuffer(np.random.default_rng(0).bytes(size), np.uint8)
        for start in range(0, len(self), PACKETS_AT_ONCE):
            window = slice(start, start + PACKETS_AT_ONCE)
            trigger, owner = self.rows[window], self._owner[window]
            rows = PacketRows(trigger, self._first[trigger], owner, self._place[window])
            values = write_packets(columns, rows, cutout, size, frame)
            numbers, times = columns.number[owner].tolist(), self.mjd[window].tolist()
            for number, value, mjd in zip(numbers, values, times, strict=True):
                yield ReplayPacket(b"%d" % number, value, mjd)

    def alerts(self) -> Iterator[Alert]:
        """The stream as internal alerts under the objects' own names, in order of sending."""
        for i in range(len(self)):
            yield self.alert(i)

    def alert(self, place: int) -> Alert:
        """One alert by its index in the stream."""
        curves, row, owner = self.curves, int(self.rows[place]), int(self._owner[place])
        history = np.arange(self._first[row], row + 1)
        known = (self._known_from[history] <= self._place[place]) | (history == row)
        history = history[known]
        columns = (curves.mjd, curves.band, curves.flux, curves.flux_err, curves.detected, self._source_id)
        number = int(self._source_id[row])
        about: dict[str, Any] = {name: float(getattr(curves, name)[owner]) for name in OBJECT_VALUES}
        return Alert(
            alert_id=str(number),
            object_id=str(curves.object_id[owner]),
            mjd=float(curves.mjd[row]),
            observations=Observations.wrap([column[history] for column in columns]),
            source_id=number,
            dereddened=curves.dereddened,
            listed_from=self._listed_from(history, row),
            **about,
        )

    def _listed_from(self, history: NDArray[np.int64], row: int) -> tuple[float, float]:
        """Times of the first listed earlier detection and of the first listed forced photometry."""
        detected = self.curves.detected[history]
        listed = (history[detected & (history != row)], history[~detected])
        detections, forced = (float(self.curves.mjd[rows].min(initial=np.inf)) for rows in listed)
        return detections, forced


def night_of(mjd: ArrayLike) -> NDArray[np.int64]:
    """Number of the night as Rubin counts, from noon to noon in UTC-12: the MJD of its first day."""
    return np.floor(np.asarray(mjd, dtype=np.float64) - 0.5).astype(np.int64)


class _Schedule(NamedTuple):
    """The order of the alerts."""

    rows: NDArray[np.int64]  # the observation that triggers each
    mjd: NDArray[np.float64]  # time of sending
    place: NDArray[np.int64]  # index in the stream, which decides the content of its packet
    known_from: NDArray[np.int64]  # for every observation: the index from which on packets contain it


def _schedule(curves: LightCurves, config: ReplayConfig) -> _Schedule:
    """The order of the alerts: late ones later, a night's shuffled, copies after their originals."""
    sends = (curves.mjd >= config.from_mjd) & (curves.mjd <= config.to_mjd)
    if config.detections_only:
        sends &= curves.detected
    rows = np.flatnonzero(sends)
    if not len(rows):
        what = "detection" if config.detections_only else "observation"
        raise DataError(f"no {what} from MJD {config.from_mjd:g} to {config.to_mjd:g}: no alert to send")
    rng = np.random.default_rng(config.seed)
    late = rng.random(len(rows)) < config.late
    sent = curves.mjd[rows] + np.where(late, rng.uniform(0.0, LATE_DAYS, len(rows)), 0.0)
    lottery = rng.random(len(rows))
    order = np.lexsort((lottery, night_of(sent))) if config.shuffle_night else np.argsort(sent, kind="stable")
    rows, sent, late = rows[order], np.maximum.accumulate(sent[order]), late[order]
    place = np.arange(len(rows))
    known_from = np.zeros(len(curves.mjd), np.int64)
    known_from[rows[late]] = place[late]
    twice = np.flatnonzero(rng.random(len(rows)) < config.repeat)
    if len(twice):
        copies = twice + rng.uniform(0.5, REPEAT_WITHIN, len(twice))
        order = np.argsort(np.concatenate([place, copies]), kind="stable")
        place = np.concatenate([place, twice])[order]
        rows, sent = rows[place], np.maximum.accumulate(sent[place])
    n = config.max_alerts
    return _Schedule(rows[:n], sent[:n], place[:n], known_from)


def object_numbers(object_id: NDArray[np.str_], *, renumber: bool = False) -> NDArray[np.int64]:
    """Numbers of objects in LSST's packets, shape (n_objects,).

    An integer name keeps its value; with `renumber`, another name gets a hash from 2^62 up. DataError if
    a name is not an integer and `renumber` is off, or two names get the same number.

    >>> object_numbers(np.array(["615", "SN 1987A"]), renumber=True).tolist()
    [615, 8611374383458920439]
    """
    names = object_id.tolist()
    numbers = np.fromiter((_number(name) for name in names), np.int64, len(names))
    foreign = np.flatnonzero(numbers == 0)
    if len(foreign) and not renumber:
        raise DataError(
            f"object {names[foreign[0]]!r} ({len(foreign)} such object(s) in all): LSST's packets name "
            "objects by positive integers; number them (--names FILE, which then holds the names of the "
            "numbers), or write JSON lines, which hold any name"
        )
    for i in foreign:
        digest = hashlib.blake2b(names[i].encode(), digest_size=8).digest()
        numbers[i] = _NAMED | int.from_bytes(digest, "big") >> 2
    unique, counts = np.unique(numbers, return_counts=True)
    if len(unique) < len(numbers):
        same = [names[i] for i in np.flatnonzero(numbers == unique[counts > 1][0])]
        raise DataError(f"objects {same} would get the same number; rename one of them")
    return numbers


def _number(name: str) -> int:
    """The value of an integer name that reads back as the name; 0 for all others."""
    if name.isascii() and name.isdigit() and name[0] != "0" and int(name) < _NAMED:
        return int(name)
    return 0


def source_numbers(curves: LightCurves, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of every observation, which is also that of its alert, shape (n_total,).

    It is the object's number and six digits, or a hash if that exceeds 63 bits, so it does not depend on
    the other objects. DataError if two observations get the same number.
    """
    owner = np.repeat(numbers, curves.n_obs)
    place = np.arange(len(owner)) - np.repeat(curves.offsets[:-1], curves.n_obs) + 1
    readable = (owner < _MAX_NUMBER // _ROWS_PER_OBJECT) & (place < _ROWS_PER_OBJECT)
    found = np.where(readable, owner * _ROWS_PER_OBJECT + place, 0)
    if not readable.all():
        hashed = _mix(_mix(owner[~readable].astype(np.uint64)) + place[~readable].astype(np.uint64))
        found[~readable] = (hashed >> np.uint64(1)).astype(np.int64) | 1
        if len(np.unique(found)) < len(found):
            raise DataError("two observations would get the same number; replay fewer objects at once")
    return found


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele et al. 2014, doi:10.1145/2714064.2660195): one bit in changes half of those out."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def paced(
    packets: Iterable[ReplayPacket],
    *,
    rate: float | None = None,
    speedup: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[ReplayPacket]:
    """The same packets, none earlier than it is due; overdue packets pass at once.

    Parameters
    ----------
    packets : iterable of ReplayPacket
        The stream.
    rate : float, optional
        Packets per second.
    speedup : float, optional
        Factor by which the stream is faster than the sky; without it and `rate` nothing waits.
    clock, sleep : callable
        Current time [s], and waiting.

    Raises
    ------
    SettingsError
        If both are given, or one is not positive.
    """
    if rate is not None and speedup is not None:
        raise SettingsError("rate and speedup exclude each other; give one")
    for name, value in (("rate", rate), ("speedup", speedup)):
        if value is not None and not 0.0 < value < np.inf:
            raise SettingsError(f"{name} is a positive number, not {value!r}")
    if rate is None and speedup is None:
        return iter(packets)
    return _wait(packets, rate, speedup, clock, sleep)


def _wait(
    packets: Iterable[ReplayPacket],
    rate: float | None,
    speedup: float | None,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
) -> Iterator[ReplayPacket]:
    begun, first_mjd = clock(), None
    for i, packet in enumerate(packets):
        if first_mjd is None:
            first_mjd = packet.mjd
        due = i / rate if rate else (packet.mjd - first_mjd) * 86_400.0 / (speedup or 1.0)
        wait = begun + due - clock()
        if wait > 0.0:
            sleep(wait)
        yield packet
