"""`Board`: the records of each object: the newest one, and a bounded history of the earlier ones.

An object has one place per bundle, since two bundles give two answers. Each place takes a few kilobytes:
the newest record as it was read, and at most `MOST_POINTS` earlier ones as numbers. Beyond that every other
one of the older half is dropped, and counted. Beyond `most_places` the places with the oldest records go.
"""

import threading
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.dtypes import StringDType
from numpy.typing import NDArray

from firstlight.bands import BANDS
from firstlight.errors import DataError
from firstlight.stream.results.read import NUMBERS, TEXTS, Results
from firstlight.taxonomy import CLASSES

MOST_POINTS = 64  # earlier records kept per place
MOST_PLACES = 200_000
_KNOWN_ALERTS = 512  # newest alerts per place by which a repeated record is known
_FIRST_ROWS = 1024
_FORGET = 0.1  # share of the places that go at once, so that it is rare

MOST_CLASSES = 64  # of all bundles together; a record that names more is none
_NUMBERS_OF_POINT = ("mjd", "anomaly", "change", "mag", "mag_err", "mag_mjd", "phase")


#: Texts that older records lack: the domain, and the classes of the prediction set.
NOTES = ("domain", "set")


def in_set(members: Any) -> list[str]:
    """Classes of a record's prediction set; none where it has no set, or something else."""
    return (
        [name for name in members if isinstance(name, str)][:MOST_CLASSES]
        if isinstance(members, list)
        else []
    )


@cache  # one object for all places: it is larger than a point
def point_type(n_classes: int) -> np.dtype[Any]:
    """Layout of one point of an object's history."""
    fields: list[Any] = [
        ("mjd", "f8"),
        ("proba", "f4", (n_classes,)),
        ("anomaly", "f4"),
        ("change", "f4"),
        ("mag", "f4"),
        ("mag_err", "f4"),
        ("mag_mjd", "f8"),
        ("phase", "f4"),
        ("n_obs", "i4"),
        ("band", "i1"),
        ("label", "i1"),  # index of the class; -1 if not classified
        ("late", "?"),
    ]
    return np.dtype(fields)


@dataclass(slots=True)
class _Place:
    """The history of one object by one bundle."""

    row: int  # of the columns
    raw: bytes  # the newest record
    points: NDArray[Any]  # (capacity,), of `point_type`
    alerts: list[str]  # names of the alerts of the points
    n_points: int
    n_records: int
    known: "array[int]"  # hashes of the newest alerts


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Records of one object by one bundle, in the order of arrival."""

    points: NDArray[Any]  # (n_points,), of `point_type`
    classes: tuple[str, ...]  # of the columns of `proba`
    alerts: tuple[str, ...]  # name of each point's alert
    n_records: int  # of all records; more than the points if some were dropped
    raw: bytes  # the newest record, as it was read


class Board:
    """Newest records as columns, and histories. One thread adds, any may read."""

    def __init__(self, most_places: int = MOST_PLACES) -> None:
        self._most = max(most_places, 2)
        self._lock = threading.RLock()
        self._places: dict[tuple[str, str], _Place] = {}
        self._numbers = {name: np.full(_FIRST_ROWS, np.nan) for name in NUMBERS}
        self._proba = np.zeros((_FIRST_ROWS, len(CLASSES)))
        self._n_obs = np.zeros(_FIRST_ROWS, np.int64)
        self._late = np.zeros(_FIRST_ROWS, np.bool_)
        self._texts: dict[str, list[str]] = {name: [] for name in (*TEXTS, *NOTES)}
        self.classes: tuple[str, ...] = CLASSES  #: of all bundles; ours, then others as they come
        self._bundles: dict[str, int] = {}  # of each bundle, the number of its newest record
        self.version = 0  # rises with each change
        self.n_unusable, self.last_unusable = 0, ""
        self.n_records = self.n_repeated = self.n_thinned = self.n_forgotten = 0

    def __len__(self) -> int:
        """Number of places."""
        return len(self._places)

    @property
    def bundles(self) -> list[str]:
        """Names of the bundles, the one whose record came last first."""
        with self._lock:
            return sorted(self._bundles, key=lambda name: -self._bundles[name])

    def add(self, records: Sequence[tuple[Mapping[str, Any], bytes]]) -> list[Mapping[str, Any]]:
        """Add records, each with its bytes; returns those that were not there yet.

        The newest record of an object is the one with the latest alert; of two of one time the one that came
        later; and one of a late alert, which knows all that came before it.
        """
        with self._lock:
            new = []
            for record, raw in records:
                try:
                    new += [record] if self._take(record, raw) else []
                except DataError as error:
                    self.n_unusable += 1
                    self.last_unusable = str(error)
            self.version += bool(new)
            if len(self._places) > self._most:
                self._forget()
        return new

    def results(self, bundle: str) -> tuple[Results, dict[str, list[str]]]:
        """Newest record of each object by a bundle, as columns, and the `NOTES` of each record."""
        with self._lock:
            rows = np.array([p.row for (name, _), p in self._places.items() if name == bundle], np.int64)
            texts = {
                name: np.array([values[row] for row in rows.tolist()], StringDType())
                for name, values in self._texts.items()
            }
            notes = {name: texts.pop(name).tolist() for name in NOTES}
            numbers = {name: values[rows] for name, values in self._numbers.items()}
            columns: dict[str, Any] = texts | numbers
            results = Results(
                **columns,
                proba=self._proba[rows],
                classes=self.classes,
                n_obs=self._n_obs[rows],
                late=self._late[rows],
            )
        return results, notes

    def times(self) -> NDArray[np.float64]:
        """Time of the newest record of each place [MJD TAI day]."""
        with self._lock:
            return self._numbers["mjd"][: len(self._places)].copy()

    def history(self, object_id: str, bundle: str) -> History | None:
        """History of an object by a bundle; None if there is none."""
        with self._lock:
            place = self._places.get((bundle, object_id))
            if place is None:
                return None
            points = place.points[: place.n_points].copy()
            return History(points, self.classes, tuple(place.alerts), place.n_records, place.raw)

    def bundles_of(self, object_id: str) -> list[str]:
        """Bundles that have a record of an object, the newest first."""
        return [name for name in self.bundles if (name, object_id) in self._places]

    def trends(self, objects: Sequence[str], bundle: str) -> list[NDArray[Any]]:
        """Points of some objects, without their alerts; empty for an unknown one."""
        with self._lock:
            places = [self._places.get((bundle, name)) for name in objects]
            none = np.empty(0, point_type(len(self.classes)))
            return [none if p is None else p.points[: p.n_points].copy() for p in places]

    # -- private ---------------------------------------------------------------------

    def _take(self, record: Mapping[str, Any], raw: bytes) -> bool:
        """Add one record; False if it was there."""
        key = (str(record["bundle"] or ""), record["object"])
        if not record["proba"].keys() <= set(self.classes):
            self._widen(record["proba"])
        mark = hash(record["alert"]) & 0xFFFF_FFFF_FFFF_FFFF
        place = self._places.get(key)
        if place is None:
            place = _Place(
                self._new_row(key), raw, np.zeros(4, point_type(len(self.classes))), [], 0, 0, array("Q")
            )
            self._places[key] = place
        elif mark in place.known:
            self.n_repeated += 1
            return False
        place.known.append(mark)
        if len(place.known) > _KNOWN_ALERTS:
            del place.known[: _KNOWN_ALERTS // 2]
        self.n_records += 1
        self._bundles[key[0]] = self.n_records
        is_newest = place.n_records == 0 or record["late"] or record["mjd"] >= self._numbers["mjd"][place.row]
        place.n_records += 1
        self._append(place, record)
        if is_newest:
            place.raw = raw
            self._write(place.row, record)
        return True

    def _new_row(self, key: tuple[str, str]) -> int:
        row = len(self._places)
        if row == len(self._n_obs):
            self._numbers = {
                name: np.concatenate([v, np.full(row, np.nan)]) for name, v in self._numbers.items()
            }
            self._proba = np.concatenate([self._proba, np.zeros_like(self._proba)])
            self._n_obs = np.concatenate([self._n_obs, np.zeros_like(self._n_obs)])
            self._late = np.concatenate([self._late, np.zeros_like(self._late)])
        for values in self._texts.values():
            values.append("")
        return row

    def _widen(self, table: Mapping[str, Any]) -> None:
        """Add classes, which a bundle of a user's own may have; DataError if they are too many."""
        new = [name for name in table if name not in self.classes]
        n_old, n = len(self.classes), len(self.classes) + len(new)
        if n > MOST_CLASSES:
            raise DataError(f"more than {MOST_CLASSES} classes in the records, such as {new[0][:40]!r}")
        self.classes = (*self.classes, *new)
        self._proba = np.hstack([self._proba, np.zeros((len(self._proba), len(new)))])
        for place in self._places.values():
            points = np.zeros(len(place.points), point_type(n))
            for name in place.points.dtype.names or ():
                if name == "proba":
                    points["proba"][:, :n_old] = place.points["proba"]
                else:
                    points[name] = place.points[name]
            place.points = points

    def _write(self, row: int, record: Mapping[str, Any]) -> None:
        """Set the columns of a place."""
        for name, key in TEXTS.items():
            self._texts[name][row] = record[key] or ""
        domain, members = record.get("domain"), record.get("set")
        self._texts["domain"][row] = domain if isinstance(domain, str) else ""
        self._texts["set"][row] = ", ".join(in_set(members))
        for name, values in self._numbers.items():
            values[row] = np.nan if record[name] is None else record[name]
        self._proba[row] = self._table(record)
        self._n_obs[row] = record["n_obs"] or 0
        self._late[row] = bool(record["late"])

    def _append(self, place: _Place, record: Mapping[str, Any]) -> None:
        """Add a point to a history, after making room for it."""
        if place.n_points == MOST_POINTS:
            half = MOST_POINTS // 2
            keep = [*range(0, half, 2), *range(half, MOST_POINTS)]
            place.points[: len(keep)] = place.points[keep]
            place.alerts = [place.alerts[k] for k in keep]
            self.n_thinned += MOST_POINTS - len(keep)
            place.n_points = len(keep)
        elif place.n_points == len(place.points):
            place.points = np.concatenate([place.points, np.zeros_like(place.points)])
        point = place.points[place.n_points]
        for name in _NUMBERS_OF_POINT:
            point[name] = np.nan if record[name] is None else record[name]
        point["proba"] = self._table(record)
        point["n_obs"] = min(record["n_obs"] or 0, 2**31 - 1)
        point["band"] = BANDS.index(record["band"]) if record["band"] else -1
        point["label"] = self.classes.index(record["label"]) if record["label"] in self.classes else -1
        point["late"] = bool(record["late"])
        place.alerts.append(record["alert"])
        place.n_points += 1

    def _table(self, record: Mapping[str, Any]) -> list[float]:
        """Probabilities in the order of the classes."""
        return [record["proba"].get(name) or 0.0 for name in self.classes]

    def _forget(self) -> None:
        """Remove the places whose newest records are the oldest, and close the gaps in the columns."""
        n_gone = max(int(len(self._places) * _FORGET), len(self._places) - self._most)
        age = self._numbers["mjd"][: len(self._places)]
        gone = set(np.argsort(age, kind="stable")[:n_gone].tolist())
        kept = {key: place for key, place in self._places.items() if place.row not in gone}
        rows = np.array([place.row for place in kept.values()], np.int64)
        n = len(rows)
        for values in (*self._numbers.values(), self._proba, self._n_obs, self._late):
            values[:n] = values[rows]
        self._texts = {name: [values[row] for row in rows.tolist()] for name, values in self._texts.items()}
        for row, place in enumerate(kept.values()):
            place.row = row
        self._places = kept
        self._bundles = {name: self._bundles[name] for name in dict.fromkeys(key[0] for key in kept)}
        self.n_forgotten += n_gone
