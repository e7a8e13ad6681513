"""Columns of tonight's table: their names in an address, their titles, units, and how a value is shown."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Show = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes
    ----------
    name : str
        Name in the address, the exports and the API.
    title : str
        Head of the column.
    meaning : str
        One sentence; also the description in a VOTable.
    show : callable
        A value as text.
    unit : str
        Unit as in VOTables; empty for none.
    is_number : bool
        Whether it is aligned as a number and sorted from the largest.
    """

    name: str
    title: str
    meaning: str
    show: Show
    unit: str = ""
    is_number: bool = True


def _fixed(digits: int, *, sign: bool = False) -> Show:
    form = f"{'+' if sign else ''}.{digits}f"

    def show(value: Any) -> str:
        if value is None or math.isnan(value):
            return ""
        return format(round(value, digits) + 0.0, form)  # no -0.0

    return show


def _text(value: Any) -> str:
    return "" if value is None else str(value)


_COLUMNS = (
    Column("rank", "rank", "Place in the ranking of tonight's targets.", _fixed(0)),
    Column("object", "object", "Name of the object.", _text, is_number=False),
    Column("class", "class", "Most probable class; empty if not classified.", _text, is_number=False),
    Column("probability", "prob.", "Calibrated probability of that class.", _fixed(2)),
    Column(
        "set", "set", "Prediction set; of older bundles the classes that hold 90 %.", _text, is_number=False
    ),
    Column("phase", "phase", "Days since the first detection.", _fixed(1), "d"),
    Column("mag", "mag", "Latest magnitude in the band of the most significant flux.", _fixed(2), "mag"),
    Column("mag_err", "± mag", "Error of the magnitude.", _fixed(2), "mag"),
    Column("band", "band", "Band of the magnitude.", _text, is_number=False),
    Column("slope", "mag/d", "Change of magnitude; positive is fading.", _fixed(2, sign=True), "mag/d"),
    Column("anomaly", "anomaly", "Share of known objects at this phase that are less unusual.", _fixed(3)),
    Column("change", "change", "Total variation distance from the previous probabilities.", _fixed(2)),
    Column("worth", "worth", "Value of a spectrum tonight, from 0 to 1.", _fixed(3)),
    Column("hours_up", "up", "Hours tonight within the limits of airmass and Moon.", _fixed(1), "h"),
    Column("airmass", "airmass", "Lowest airmass tonight.", _fixed(2)),
    Column("moon_distance", "Moon", "Distance from the Moon at that time.", _fixed(0), "deg"),
    Column("start", "start UTC", "Start of the observation that the plan chose.", _text, is_number=False),
    Column("n_obs", "obs.", "Observations known.", _fixed(0)),
    Column("age", "age", "Days from the newest alert to the newest of all objects.", _fixed(1), "d"),
    Column("ra", "RA", "Right ascension, ICRS.", _fixed(4), "deg"),
    Column("dec", "Dec", "Declination, ICRS.", _fixed(4, sign=True), "deg"),
    Column("mjd", "MJD", "Time of the newest alert (TAI).", _fixed(3), "d"),
    Column("followup", "follow-up", "Value of a spectrum one day after the alert.", _fixed(3)),
    Column("late", "late", "Whether the newest alert changed earlier observations.", _text, is_number=False),
    Column(
        "domain",
        "domain",
        "Whether the object lies within the bundle's training set.",
        _text,
        is_number=False,
    ),
    Column("verdict", "verdict", "Your verdict, with --feedback.", _text, is_number=False),
)
#: Every column by its name, in the order of the table.
COLUMNS: Mapping[str, Column] = MappingProxyType({column.name: column for column in _COLUMNS})
#: Columns that are shown unless others are chosen.
USUAL = (
    "rank", "object", "class", "probability", "set", "phase", "mag", "band", "slope", "anomaly", "change",
    "worth", "hours_up", "airmass",
)  # fmt: skip
