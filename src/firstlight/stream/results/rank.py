"""Targets of one night from the stream's earlier records: ranked, scheduled, with reasons in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstlight._types import FloatArray
from firstlight.bands import band_index
from firstlight.errors import DataError, SettingsError
from firstlight.files import replacing, write_csv
from firstlight.followup.brightness import Brightness
from firstlight.followup.night import (
    TWILIGHT,
    Night,
    ObservingConfig,
    Site,
    Visibility,
    plan_night,
    visibility,
)
from firstlight.followup.schedule import Schedule, ScheduleConfig, choose_targets
from firstlight.followup.utility import LEAST_WANTED, FollowupConfig, Utility, followup_utility
from firstlight.predictions import CLASSIFIED
from firstlight.stream.results.read import Results
from firstlight.stream.results.record import BRIGHTNESS_DIGITS
from firstlight.taxonomy import COARSE
from firstlight.text import printable, spreadsheet_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEADY = 0.02  # mag/day; a slower change counts as no trend
OLD = 1.5  # days; the age of an older magnitude is shown
#: Classes that brighten and fade again and again: their brightness is not extrapolated.
VARIABLE = frozenset(name for name, group in COARSE.items() if group in ("AGN", "Periodic"))
_LONGEST = 60  # characters of an object's id in the figure
_MJD_0 = date(1858, 11, 17)
_AHEAD = 1.0  # days; a record that is further ahead of the clock is wrong
_WRONG = 0.01  # largest share of records with a wrong time
_GAP = 30.0  # days; of a simulation of the future, a record that is further ahead of the others is wrong
_TEXTS = ("object", "fate", "start", "class", "band", "reasons")  # columns of text


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The targets of a night, best first.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per target: the chosen ones by worth per hour, then the others by worth. Times
        are UTC, magnitudes those of the object's best band.
    night : Night
        The dark hours and the Moon.
    airmass : float64 array, shape (n_targets, n_steps)
        In the order of `table`; NaN when a target may not be observed.
    hours : float
        Hours of telescope time.
    """

    table: pd.DataFrame
    night: Night
    airmass: FloatArray
    hours: float

    @property
    def chosen(self) -> pd.DataFrame:
        """The rows of the chosen targets."""
        return self.table[self.table["fate"] == "chosen"]

    def plot(self) -> "Figure":
        """Draw airmass, observing times and worth of the best targets; a figure with ``savefig``."""
        from firstlight.followup.plots import MOST_SHOWN, ShownTarget, plot_targets

        night = self.night
        start = night.hours[0] + 24.0 * (self.table["start_mjd"].to_numpy() - night.mjd[0])
        targets = [
            ShownTarget(
                name=printable(row["object"], _LONGEST),
                kind=printable(row["reasons"].partition(";")[0].partition(",")[0], _LONGEST),
                worth=float(row["worth"]),
                airmass=self.airmass[k],
                start=float(start[k]),
                end=float(start[k] + row["hours"]),
            )
            for k, row in enumerate(self.table.head(MOST_SHOWN).to_dict("records"))
        ]
        return plot_targets(targets, night.hours, night.moon_altitude, f"{night.site.name}, {night.date}")


def latest_credible(mjd: FloatArray, now: float) -> float:
    """The latest time that a record may have; later ones are those of a wrong clock or unit.

    One such record would otherwise move the night, and the age of every object.

    Parameters
    ----------
    mjd : float64 array, shape (n_records,)
        Times of records [MJD TAI day].
    now : float
        The time [MJD day].

    Returns
    -------
    float
        A day after now. Where more than one record in a hundred is later, as in a simulation of the future:
        30 days after these.

    Examples
    --------
    >>> latest_credible(np.array([61000.0, 61001.0, 88000.0]), 61002.0)
    61003.0
    """
    if not len(mjd):
        return now + _AHEAD
    n_wrong = min(max(int(_WRONG * len(mjd)), 1), len(mjd) - 1)
    common = float(np.partition(mjd, -1 - n_wrong)[-1 - n_wrong])
    return now + _AHEAD if common <= now + _AHEAD else common + _GAP


def next_evening(results: Results, site: Site, until: float = np.inf) -> str:
    """Date of the first evening at the site after the last record until `until`; DataError without any."""
    times = results.mjd[results.mjd <= until]
    if not len(times):
        raise DataError("no records, so no date for the night; give --night")
    local = float(times.max()) + site.longitude / 360.0
    return (_MJD_0 + timedelta(days=int(np.floor(local + 0.5)))).isoformat()


def rank_targets(
    results: Results,
    site: Site,
    evening: str,
    *,
    followup: FollowupConfig | None = None,
    observing: ObservingConfig | None = None,
    telescope: ScheduleConfig | None = None,
    max_age: float = 15.0,
    until: float | None = None,
    twilight: float = TWILIGHT,
) -> Ranking:
    """Rank the objects of the stream's records for one night and choose among them.

    The last record of each object before the night counts. Its worth is its utility in the middle
    of the night (`followup_utility`) times the factor for airmass and Moon (`Visibility.factor`);
    targets are chosen by worth per hour (`choose_targets`); where the user named classes, likely ones come
    first (`FollowupConfig.priority`). Brightness of variable objects is not extrapolated. Exposures are for
    one sigma fainter than expected, since a trend may fail.

    Parameters
    ----------
    results : Results
        Records of the stream.
    site : Site
        The observatory.
    evening : str
        Local date on which the night begins, ``YYYY-MM-DD``.
    followup, observing, telescope : optional
        Wanted classes, limits of observability, telescope time.
    max_age : float
        Greatest age of an object's last record at the beginning of the night [day].
    until : float, optional
        Records before this time count [MJD TAI day]; by default those before the night begins.
    twilight : float
        Altitude of the Sun below which it is dark [degree].

    Returns
    -------
    Ranking
        Every object with a recent enough record.

    Raises
    ------
    DataError
        If no record before the night is recent enough, or none has a position.
    SettingsError
        If that night is never dark.
    """
    followup = FollowupConfig() if followup is None else followup
    observing = ObservingConfig() if observing is None else observing
    telescope = ScheduleConfig(limit_mag=followup.limit_mag) if telescope is None else telescope
    night = plan_night(site, evening, twilight)
    if not len(night.mjd):
        raise SettingsError(
            f"it is never dark at {site.name} in the night of {evening} (the Sun stays above "
            f"{twilight:g} degrees)"
        )
    rows = _last_records(results, night, max_age, night.mjd[0] if until is None else until)
    middle = float(night.mjd[len(night.mjd) // 2])
    brightness = _brightness_of(results, rows).without_trend(np.isin(results.label[rows], list(VARIABLE)))
    proba, anomaly = results.proba[rows], results.anomaly[rows]
    classified = results.status[rows] == CLASSIFIED
    utility = followup_utility(proba, anomaly, classified, brightness, middle, followup, results.classes)
    seen = visibility(night, results.ra[rows], results.dec[rows], observing)
    expected, error = brightness.expected(middle)
    worth = np.nan_to_num(utility.total) * seen.factor
    priority = followup.priority(proba, results.classes)
    plan = choose_targets(worth, expected + error, night.hours, seen.airmass, telescope, priority)
    order = _order(worth, utility, plan, priority)
    table = _table(results, rows, night, brightness, utility, seen, plan, (expected, error), worth)
    table["reasons"] = _reasons(table, results, rows, followup, night)
    table = table.iloc[order].reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return Ranking(table, night, seen.airmass[order], telescope.hours)


def check_ranking_output(path: Path) -> None:
    """Check before any work that `write_ranking` can write this file; SettingsError if not."""
    if _writer(path) is None:
        raise SettingsError(f"{path}: targets are written as {' or '.join(_WRITERS)}")


def write_ranking(ranking: Ranking, path: Path) -> None:
    """Write the table as ``.csv`` or ``.json``, or the chosen targets as ``.tom.csv``, whole or not at all.

    The last is the list that TOM Toolkit imports. In CSV, which people open in spreadsheets, an apostrophe
    comes before text that a spreadsheet would run as a formula. JSON has every text as it is. Raises
    SettingsError for another suffix, DataError if the file cannot be written.
    """
    check_ranking_output(path)
    write = _writer(path)
    assert write is not None
    with replacing(path) as partial:
        write(ranking.table, partial)


def ranking_json(table: pd.DataFrame) -> str:
    """The table as JSON: one object per target, null where unknown, in ASCII."""
    return str(table.to_json(orient="records", indent=1, double_precision=6))


# --- private --------------------------------------------------------------------


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    texts = {name: table[name].map(spreadsheet_cell) for name in _TEXTS}
    write_csv(table.assign(**texts), path, "%.10g")


def _write_json(table: pd.DataFrame, path: Path) -> None:
    path.write_text(ranking_json(table) + "\n", encoding="utf-8")


def _write_tom(table: pd.DataFrame, path: Path) -> None:
    """Chosen targets in the columns of TOM Toolkit's import; other columns become extras of a target."""
    chosen = table[table["fate"] == "chosen"]
    texts = {name: chosen[name].map(spreadsheet_cell) for name in ("object", "class", "reasons")}
    columns = {
        "name": texts["object"],
        "type": "SIDEREAL",
        "ra": chosen["ra"],
        "dec": chosen["dec"],
        "firstlight_rank": chosen["rank"],
        "firstlight_class": texts["class"],
        "firstlight_worth": chosen["worth"],
        "firstlight_mag": chosen["mag_expected"],
        "firstlight_start": chosen["start"],
        "firstlight_reasons": texts["reasons"],
    }
    write_csv(pd.DataFrame(columns), path, "%.10g")


_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".tom.csv": _write_tom,
    ".csv": _write_csv,
    ".json": _write_json,
}


def _writer(path: Path) -> Callable[[pd.DataFrame, Path], None] | None:
    return next((write for end, write in _WRITERS.items() if path.name.lower().endswith(end)), None)


def _last_records(results: Results, night: Night, max_age: float, until: float) -> NDArray[np.int64]:
    """Row of each object's last record before `until` [MJD], of those at most `max_age` days old."""
    before = np.flatnonzero(results.mjd < until)
    order = before[np.argsort(results.mjd[before], kind="stable")]  # of equal times, the later record
    last = {name: row for name, row in zip(results.object_id[order].tolist(), order.tolist(), strict=True)}
    rows = np.array(sorted(last.values()), dtype=np.int64)
    rows = rows[night.mjd[0] - results.mjd[rows] <= max_age]
    if not len(rows):
        span = (
            f"from MJD {results.mjd.min():.1f} to {results.mjd.max():.1f}" if len(results) else "none at all"
        )
        raise DataError(
            f"no record from the {max_age:g} days before the night of {night.date} (MJD {night.mjd[0]:.1f}); "
            f"there are {len(results):,} record(s), {span}: choose another --night or a larger --max-age"
        )
    if not np.isfinite(results.ra[rows]).any():
        raise DataError(
            f"none of the {len(rows):,} object(s) has a position; use the stream's JSON lines, whose "
            "alerts have ra and dec"
        )
    return rows


def _brightness_of(results: Results, rows: NDArray[np.int64]) -> Brightness:
    band = np.full(len(rows), -1, dtype=np.int8)
    known = results.band[rows] != ""
    band[known] = band_index(results.band[rows][known])
    return Brightness(band=band, **{name: getattr(results, name)[rows] for name in BRIGHTNESS_DIGITS})


def _order(
    worth: FloatArray, utility: Utility, plan: Schedule, priority: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The chosen in their order, then the others by priority, worth tonight, and utility."""
    others = np.flatnonzero(plan.fate != "chosen")
    keys = (-np.nan_to_num(utility.total)[others], -worth[others], priority[others])
    return np.concatenate([plan.order, others[np.lexsort(keys)]])


def _table(
    results: Results,
    rows: NDArray[np.int64],
    night: Night,
    brightness: Brightness,
    utility: Utility,
    seen: Visibility,
    plan: Schedule,
    expected: tuple[FloatArray, FloatArray],
    worth: FloatArray,
) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "object": results.object_id[rows].astype(object),
        "fate": plan.fate.astype(object),
        "worth": worth,
        "start": _utc(night, plan.start),
        "start_mjd": night.mjd[0] + (plan.start - night.hours[0]) / 24.0,
        "hours": np.where(np.isfinite(plan.hours), plan.hours, np.nan),
        "ra": results.ra[rows],
        "dec": results.dec[rows],
        "class": results.label[rows].astype(object),
        "utility": utility.total,
        **{name: getattr(utility, name) for name in ("wanted", "novelty", "bright", "peak", "rising")},
        "anomaly": results.anomaly[rows],
        "observable": seen.factor,
        "mag": brightness.mag,
        "band": results.band[rows].astype(object),
        "mag_age": night.mjd[0] - brightness.mag_mjd,
        "mag_expected": expected[0],
        "mag_expected_err": expected[1],
        "slope": brightness.slope,
        "slope_err": brightness.slope_err,
        "days_since_peak": brightness.mag_mjd - brightness.peak_mjd,
        "hours_up": seen.hours,
        "airmass": seen.best_airmass,
        "moon_distance": seen.moon_distance,
        "mjd": results.mjd[rows],
    }
    return pd.DataFrame(columns).round(6)


def _utc(night: Night, start: FloatArray) -> list[str]:
    """Times in ISO format; empty for targets that are not observed."""
    midnight = datetime.fromisoformat(night.date) + timedelta(days=1)
    return [
        (midnight + timedelta(minutes=round(60.0 * hour))).isoformat(timespec="minutes")
        if hour == hour
        else ""
        for hour in start.tolist()
    ]


def _reasons(
    table: pd.DataFrame,
    results: Results,
    rows: NDArray[np.int64],
    followup: FollowupConfig,
    night: Night,
) -> list[str]:
    classes = results.classes
    wanted = [classes.index(name) for name in followup.wanted if name in classes]
    reasons = []
    for k, row in enumerate(table.to_dict("records")):
        parts = [_kind(results.proba[rows[k]], classes, wanted, row, results.reason[rows[k]])]
        if row["novelty"] > 0.0:
            parts.append(f"stranger than {100.0 * row['anomaly']:.1f} % of known objects")
        parts += [_light(row, followup.limit_mag), _sky(row, night)]
        if row["fate"] not in ("chosen", "not up long enough"):
            parts.append(str(row["fate"]))
        reasons.append("; ".join(part for part in parts if part))
    return reasons


def _kind(
    proba: FloatArray, classes: Sequence[str], wanted: Sequence[int], row: dict[str, Any], reason: str
) -> str:
    """Most likely classes."""
    if np.isnan(row["utility"]):
        return f"not classified ({reason.replace('_', ' ')})" if reason else "not classified"
    best = sorted((k for k in wanted if proba[k] >= LEAST_WANTED), key=lambda k: -proba[k])[:2]
    if best:
        return ", ".join(f"{classes[k]} {100.0 * proba[k]:.0f} %" for k in best)
    return f"most likely {row['class']}, no wanted class above {100.0 * LEAST_WANTED:.0f} %"


def _light(row: dict[str, Any], limit_mag: float) -> str:
    """Brightness, trend, and time since the peak."""
    if np.isnan(row["mag"]):
        return "no recent detection"
    words = f"{row['band']} {row['mag']:.1f}"
    if row["mag_age"] >= OLD:
        words += f", {_days(row['mag_age'])} ago"
    if row["class"] in VARIABLE:
        words += ", variable"
    elif abs(row["slope"]) >= max(STEADY, row["slope_err"]):
        way = "fading" if row["slope"] > 0.0 else "brightening"
        words += f", {way} {abs(row['slope']):.2f} mag/day"
    else:
        words += ", no clear trend"
    words += f", {row['mag_expected']:.1f} expected"
    if row["mag_expected"] > limit_mag:
        words += f" (fainter than the limit {limit_mag:g})"
    days = row["days_since_peak"]
    return words + ("; at its brightest so far" if days < 0.5 else f"; {_days(days)} past its brightest")


def _days(days: float) -> str:
    """Whole days in words.

    Examples
    --------
    >>> _days(0.8), _days(3.4)
    ('1 day', '3 days')
    """
    return f"{days:.0f} day{'' if round(days) == 1 else 's'}"


def _sky(row: dict[str, Any], night: Night) -> str:
    """Hours of visibility, and the Moon."""
    if row["hours_up"] <= 0.0:
        return "never up while it is dark, within the limits of airmass and Moon"
    words = f"up {row['hours_up']:.1f} h, airmass {row['airmass']:.2f} at best"
    words += " (too short)" if row["fate"] == "not up long enough" else ""
    if night.moon_lit > 0.1:
        words += f", Moon {100.0 * night.moon_lit:.0f} % lit at {row['moon_distance']:.0f} degrees"
    return words
