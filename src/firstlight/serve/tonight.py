"""`Tonight`: the newest records of all objects with the night's ranking, computed again as records come."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from firstlight._types import FloatArray
from firstlight.constants import MJD_OF_1970
from firstlight.errors import DataError, SettingsError
from firstlight.followup.night import Night, ObservingConfig, Site
from firstlight.followup.schedule import ScheduleConfig
from firstlight.followup.utility import FollowupConfig
from firstlight.serve.board import Board
from firstlight.serve.query import AbsentError
from firstlight.stream.results.rank import Ranking, latest_credible, rank_targets
from firstlight.stream.results.read import Results
from firstlight.taxonomy import CLASSES
from firstlight.text import printable

_log = logging.getLogger(__name__)

LEVEL = 0.9  # probability that a prediction set holds
_SHARE = 0.15  # of the time, at most, in which the ranking is computed
_LEAST_S = 1.0  # between two computations
_MOST_S = 10.0  # the first one takes longer, since code is compiled
_LOOK_S = 0.2  # between two looks for new records
_SHOWN_S = 60.0  # a bundle that was not shown for longer is not ranked
_LIVE_DAYS = 1.0  # a newest record that is at most so old belongs to the night of the clock
_MJD_0 = date(1858, 11, 17)
_RANKED = ("worth", "hours_up", "airmass", "moon_distance", "start", "reasons", "rank", "fate")
_TEXT_COLUMNS = ("start", "reasons", "fate")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The observatory and the choice of objects; the options of ``firstlight rank``."""

    site: Site
    evening: str | None = None  # date of the evening; None for the night of the newest record
    followup: FollowupConfig
    observing: ObservingConfig
    telescope: ScheduleConfig
    max_age: float = 15.0  # greatest age of a record that is ranked [day]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The table of one bundle at one moment.

    Attributes
    ----------
    bundle : str
        Its bundle.
    table : pandas.DataFrame
        One row per object, with `firstlight.serve.columns.COLUMNS` and ``reasons``.
    results : Results
        Newest records, in the order of the table.
    ranking : Ranking, optional
        None if nothing could be ranked.
    note : str
        Why nothing could be ranked; usually empty.
    version : int
        Version of the board.
    """

    bundle: str
    table: pd.DataFrame
    results: Results
    ranking: Ranking | None
    note: str
    version: int

    @property
    def night(self) -> Night | None:
        """The night of the ranking."""
        return None if self.ranking is None else self.ranking.night

    def row(self, object_id: str) -> dict[str, Any] | None:
        """Values of an object; None if it is unknown."""
        found = self.table[self.table["object"] == object_id]
        return None if found.empty else dict(found.iloc[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """The newest ranking of a bundle."""

    ranking: Ranking | None
    note: str
    version: int
    ahead: str = ""  # warning about records whose times are in the future


_NOT_YET = _Ranked(None, "the ranking is being computed", -1)


class Tonight:
    """Snapshots of a board.

    The newest records are there at once. Their ranking takes longer: a thread computes it again as records
    come, in at most a sixth of the time, and a snapshot has the newest ranking that is ready.
    """

    def __init__(self, board: Board, plan: Plan, clock: Callable[[], float] = time.time) -> None:
        self.board, self.plan = board, plan
        self._clock = clock
        self._lock = threading.Lock()
        self._rankings: dict[str, _Ranked] = {}
        self._kept: dict[str, tuple[Snapshot, tuple[int, int]]] = {}
        self._wanted: dict[str, float] = {}  # bundles, and when each was last shown
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ranking", daemon=True)

    def start(self) -> None:
        """Start to rank."""
        self._thread.start()

    def close(self) -> None:
        """Stop to rank."""
        self._stop.set()
        self._thread.join(5.0)

    def snapshot(self, bundle: str = "") -> Snapshot:
        """The table of a bundle, by default of the one whose record came last.

        AbsentError if the bundle is unknown.
        """
        known = self.board.bundles
        if bundle and bundle not in known:
            raise AbsentError(f"no record of bundle {bundle[:40]!r}; known: {', '.join(known) or 'none'}")
        bundle = bundle or (known[0] if known else "")
        with self._lock:
            self._wanted[bundle] = time.monotonic()
            ranked = self._rankings.get(bundle, _NOT_YET)
            versions = (self.board.version, ranked.version)
            kept = self._kept.get(bundle)
            if kept is not None and kept[1] == versions:
                return kept[0]
            results, notes = self.board.results(bundle)
            table = _joined(_newest(results, notes, self._until(results)), ranked.ranking)
            note = ranked.note if len(results) else ""
            snapshot = Snapshot(bundle, table, results, ranked.ranking, note, versions[0])
            self._kept = {name: one for name, one in self._kept.items() if name in known}
            self._kept[bundle] = snapshot, versions
            return snapshot

    @property
    def is_behind(self) -> bool:
        """Whether records have come that are not ranked yet."""
        return bool(self._due())

    def rank(self, bundle: str) -> float:
        """Compute the ranking of a bundle again; returns the seconds that it took."""
        begun = time.perf_counter()
        version = self.board.version
        results, _ = self.board.results(bundle)
        try:
            ranking, note = rank_results(results, self.plan, self._clock())
        except Exception as error:  # a thread that ended would leave old ranks on the page, in silence
            _log.exception("the ranking of bundle %s failed", bundle)
            ranking, note = None, printable(f"the ranking failed: {type(error).__name__}: {error}", 300)
        with self._lock:
            self._rankings[bundle] = _Ranked(ranking, note, version, _ahead(results, self._until(results)))
        return time.perf_counter() - begun

    def problems(self) -> list[str]:
        """Records whose times are in the future, one sentence per bundle."""
        with self._lock:
            return [ranked.ahead for ranked in self._rankings.values() if ranked.ahead]

    def _until(self, results: Results) -> float:
        return latest_credible(results.mjd, _mjd(self._clock()))

    def _run(self) -> None:
        while not self._stop.is_set():
            spent = 0.0
            for bundle in self._due():
                spent += self.rank(bundle)
            self._stop.wait(min(max(_LEAST_S, spent / _SHARE), _MOST_S) if spent else _LOOK_S)

    def _due(self) -> list[str]:
        """Bundles that are shown, or will be first, and have new records."""
        now, known = time.monotonic(), self.board.bundles
        with self._lock:
            shown = [name for name, when in self._wanted.items() if now - when < _SHOWN_S]
            wanted = [name for name in known if name in shown or name == known[0]]
            return [
                name for name in wanted if self._rankings.get(name, _NOT_YET).version != self.board.version
            ]


def rank_results(results: Results, plan: Plan, now: float) -> tuple[Ranking | None, str]:
    """The ranking of newest records, or the reason for its absence; `now` is the time [s since 1970]."""
    if not len(results):
        return None, ""
    until = latest_credible(results.mjd, _mjd(now))
    try:
        ranking = rank_targets(
            results,
            plan.site,
            plan.evening or evening_of(results, plan.site, now, until),
            followup=plan.followup,
            observing=plan.observing,
            telescope=plan.telescope,
            max_age=plan.max_age,
            until=until,
        )
    except (DataError, SettingsError) as error:
        return None, str(error)
    return ranking, ""


def evening_of(results: Results, site: Site, now: float, until: float) -> str:
    """Evening of the night that holds or follows the newest record up to `until` [MJD].

    If that agrees with the time of the clock `now` [s since 1970], the night of the clock.
    """
    clock = _mjd(now)
    newest = float(results.mjd.max(initial=-np.inf, where=results.mjd <= until))
    moment = clock if abs(clock - newest) <= _LIVE_DAYS else newest
    day = math.floor(moment + site.longitude / 360.0 - 0.5)  # changes at noon
    return (_MJD_0 + timedelta(days=day)).isoformat()


def prediction_set(proba: FloatArray, classes: Sequence[str] = CLASSES, level: float = LEVEL) -> list[str]:
    """Fewest classes whose probabilities sum to `level`, most probable first.

    Examples
    --------
    >>> import numpy as np
    >>> proba = np.zeros(17)
    >>> proba[[9, 13, 14]] = 0.7, 0.25, 0.05
    >>> prediction_set(proba)
    ['SNIa', 'SNIbc']
    """
    order = np.argsort(-proba, kind="stable")
    n = int(np.searchsorted(np.cumsum(proba[order]), level - 1e-9)) + 1
    return [classes[k] for k in order[:n]]


def _mjd(seconds: float) -> float:
    return seconds / 86400.0 + MJD_OF_1970


def _ahead(results: Results, until: float) -> str:
    """Warning about records that are later than `until` [MJD]; empty if there are none."""
    later = np.flatnonzero(results.mjd > until)
    if not len(later):
        return ""
    name, mjd = printable(str(results.object_id[later[0]]), 60), results.mjd[later[0]]
    return (
        f"{len(later):,} object(s) not ranked: their newest records are from the future, such as that of "
        f"{name} at MJD {mjd:.2f}; records after MJD {until:.2f} are not used"
    )


def _newest(results: Results, notes: Mapping[str, list[str]], until: float) -> pd.DataFrame:
    """Columns of the newest records; without a prediction set the fewest classes that hold `LEVEL`."""
    classified = results.label != ""
    order = np.argsort(-results.proba, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(results.proba, order, axis=1), axis=1)
    sizes = np.minimum((sums < LEVEL - 1e-9).sum(axis=1) + 1, len(results.classes))
    sets = [
        given or (", ".join(results.classes[k] for k in own[:size]) if known else "")
        for given, own, size, known in zip(
            notes["set"], order.tolist(), sizes.tolist(), classified.tolist(), strict=True
        )
    ]
    credible = results.mjd <= until
    newest = results.mjd.max(initial=-np.inf, where=credible)
    columns: dict[str, Any] = {
        "object": results.object_id.astype(object),
        "class": results.label.astype(object),
        "probability": np.where(classified, results.proba.max(axis=1, initial=0.0), np.nan),
        "set": sets,
        "phase": results.phase,
        "mag": results.mag,
        "mag_err": results.mag_err,
        "band": results.band.astype(object),
        "slope": results.slope,
        "anomaly": results.anomaly,
        "change": results.change,
        "n_obs": results.n_obs,
        "age": np.where(credible, newest - results.mjd, np.nan),
        "ra": results.ra,
        "dec": results.dec,
        "mjd": results.mjd,
        "followup": results.followup,
        "late": np.where(results.late, "late", ""),
        "domain": np.array(notes["domain"], dtype=object),
        "status": results.status.astype(object),
        "reason": results.reason.astype(object),
    }
    return pd.DataFrame(columns)


def _joined(newest: pd.DataFrame, ranking: Ranking | None) -> pd.DataFrame:
    """The newest records with the columns of the ranking; empty where an object is not ranked."""
    if ranking is None:
        columns: Mapping[str, Any] = {
            name: "" if name in _TEXT_COLUMNS else np.nan for name in (*_RANKED, "ranked_mjd")
        }
        return newest.assign(**columns).astype({name: object for name in _TEXT_COLUMNS})
    ranked = ranking.table.set_index("object")[[*_RANKED, "mjd"]].rename(columns={"mjd": "ranked_mjd"})
    found = newest.join(ranked, on="object")
    for name in _TEXT_COLUMNS:
        found[name] = found[name].astype(object).where(found[name].notna(), "")
    return found


def file_or_topic(url: str) -> str:
    """Name of a source of results, for a page: without the folders before a file."""
    return url if "://" in url else Path(url).name
