"""`View`: filters, order, columns and page of the table, read from an address and written back to one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from firstlight.errors import SettingsError
from firstlight.serve.columns import COLUMNS, USUAL
from firstlight.text import number_in

LEAST_ROWS, ROWS, MOST_ROWS = 10, 100, 500
RADIUS = 60.0  # arcsecond; of a search by position without a radius
_LONGEST = 200  # characters of a search
_MOST_RADIUS = 648_000.0  # arcsecond; half a turn
_MOST_PAGE = 100_000
_DEGREES = re.compile(r"\s*([-+]?\d+\.?\d*)[\s,]+([-+]?\d+\.?\d*)(?:[\s,]+(\d+\.?\d*))?\s*", re.ASCII)
_SEXAGESIMAL = re.compile(
    r"\s*(\d{1,2})[:h\s]+(\d{1,2})[:m\s]+(\d{1,2}(?:\.\d*)?)s?[\s,]+"
    r"([-+]?)(\d{1,2})[:d°\s]+(\d{1,2})[:m'\s]+(\d{1,2}(?:\.\d*)?)[s\"]?(?:[\s,]+(\d+\.?\d*))?\s*",
    re.ASCII,
)
#: Two numbers or more with signs and marks of angles; a name has letters, or is one number.
_LIKE_A_POSITION = re.compile(r"(?=.*\d\D*[:\s,]\D*\d)[-+.\d\s:,°'\"]+", re.ASCII)


class Limit(NamedTuple):
    """A least or greatest value that an address may name, and its range."""

    column: str
    is_least: bool
    low: float
    high: float


#: Least and greatest values that an address may name.
LIMITS = {
    "min_probability": Limit("probability", True, 0.0, 1.0),
    "min_anomaly": Limit("anomaly", True, 0.0, 1.0),
    "min_change": Limit("change", True, 0.0, 1.0),
    "max_mag": Limit("mag", False, -30.0, 60.0),
    "max_phase": Limit("phase", False, 0.0, 1e6),
    "max_age": Limit("age", False, 0.0, 1e6),
    "min_hours_up": Limit("hours_up", True, 0.0, 24.0),
}


class AbsentError(SettingsError):
    """A class or a bundle that no record names."""


@dataclass(frozen=True, slots=True)
class Cone:
    """A circle on the sky [degree, degree, arcsecond]."""

    ra: float
    dec: float
    radius: float

    def contains(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which positions lie within; one that is unknown does not."""
        one, two = np.radians(self.dec), np.radians(dec)
        turn = np.radians(ra - self.ra)
        with np.errstate(invalid="ignore"):
            half = np.sin((two - one) / 2.0) ** 2 + np.cos(one) * np.cos(two) * np.sin(turn / 2.0) ** 2
            return np.asarray(
                np.degrees(2.0 * np.arcsin(np.sqrt(np.minimum(half, 1.0)))) * 3600.0 <= self.radius
            )


@dataclass(frozen=True, slots=True)
class View:
    """The view of the table that an address states.

    Attributes
    ----------
    q : str
        Part of a name, or a position: degrees or sexagesimal, with a radius in arcseconds if wanted.
    classes : tuple of str
        Most probable classes to show; empty for all. ``none`` is "not classified".
    limits : dict of str to float
        Values of `LIMITS`.
    up : bool
        Only objects that can be observed tonight.
    sort, descending : str, bool
        Column, and its direction.
    columns : tuple of str
        Columns to show.
    page, rows : int
        Page from 1, and rows per page.
    bundle : str
        Bundle; empty for the one whose record came last.
    """

    q: str = ""
    classes: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    up: bool = False
    sort: str = "rank"
    descending: bool = False
    columns: tuple[str, ...] = USUAL
    page: int = 1
    rows: int = ROWS
    bundle: str = ""

    @classmethod
    def parse(cls, pairs: Sequence[tuple[str, str]]) -> "View":
        """Read the parameters of an address; SettingsError names a wrong one, and its allowed values.

        Unknown parameters are wrong too: a filter with a slip in its name must not show everything.
        """
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        allowed = {*LIMITS, "q", "class", "up", "sort", "order", "cols", "page", "rows", "bundle", "format"}
        if unknown := sorted(values.keys() - allowed):
            raise SettingsError(f"unknown parameter {unknown[0][:40]!r}; known: {', '.join(sorted(allowed))}")
        one = {name: found[-1].strip() for name, found in values.items()}
        classes = tuple(dict.fromkeys(c for c in values.get("class", []) if c))
        columns = tuple(dict.fromkeys(c for text in values.get("cols", []) for c in text.split(",") if c))
        if wrong := [c for c in (*columns, one.get("sort") or "rank") if c not in COLUMNS]:
            raise SettingsError(f"column {wrong[0][:40]!r}: choose of {', '.join(COLUMNS)}")
        sort = one.get("sort") or "rank"
        order = one.get("order") or ("desc" if COLUMNS[sort].is_number and sort not in _UPWARD else "asc")
        if order not in ("asc", "desc"):
            raise SettingsError("order: asc or desc")
        if len(one.get("q", "")) > _LONGEST:
            raise SettingsError(f"q: at most {_LONGEST} characters")
        find_position(one.get("q", ""))  # a position that cannot be is no name to look for
        return cls(
            q=one.get("q", ""),
            classes=classes,
            limits={name: _number(name, one[name]) for name in LIMITS if one.get(name)},
            up=_flag(one.get("up", "")),
            sort=sort,
            descending=order == "desc",
            columns=tuple(c for c in COLUMNS if c in columns) or USUAL,
            page=_whole("page", one.get("page", ""), 1, _MOST_PAGE, 1),
            rows=_whole("rows", one.get("rows", ""), LEAST_ROWS, MOST_ROWS, ROWS),
            bundle=one.get("bundle", ""),
        )

    def with_values(self, **values: Any) -> "View":
        """A copy with some attributes changed."""
        return replace(self, **values)

    def address(self, **values: Any) -> str:
        """Query string of this view, with some attributes changed; empty for the usual view."""
        view = replace(self, **values)
        usual = View()
        pairs: list[tuple[str, str]] = [("q", view.q)] if view.q else []
        pairs += [("class", name) for name in view.classes]
        pairs += [(name, f"{view.limits[name]:g}") for name in LIMITS if name in view.limits]
        pairs += [("up", "1")] if view.up else []
        if (view.sort, view.descending) != (usual.sort, usual.descending):
            pairs += [("sort", view.sort), ("order", "desc" if view.descending else "asc")]
        pairs += [("cols", name) for name in view.columns] if view.columns != usual.columns else []
        pairs += [("page", str(view.page))] if view.page != 1 else []
        pairs += [("rows", str(view.rows))] if view.rows != usual.rows else []
        pairs += [("bundle", view.bundle)] if view.bundle else []
        return urlencode(pairs)

    @property
    def cone(self) -> Cone | None:
        """The position that `q` names; None if it is part of a name."""
        return find_position(self.q)

    def check_classes(self, known: Sequence[str]) -> None:
        """Raise AbsentError for a class that is not known: a slip must not look like an empty sky."""
        if wrong := [name for name in self.classes if name not in (*known, "none")]:
            raise AbsentError(f"class {wrong[0][:40]!r}: choose none or of {', '.join(known)}")

    def chosen(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows that pass the filters, in the wanted order; those without a value come last."""
        keep = np.ones(len(table), np.bool_)
        cone = self.cone
        if cone is not None:
            keep &= cone.contains(table["ra"].to_numpy(), table["dec"].to_numpy())
        elif self.q:
            keep &= table["object"].str.contains(self.q, case=False, regex=False).to_numpy(bool)
        if self.classes:
            names = ["" if name == "none" else name for name in self.classes]
            keep &= table["class"].isin(names).to_numpy()
        for name, value in self.limits.items():
            limit = LIMITS[name]
            values = table[limit.column].to_numpy(np.float64)
            keep &= (values >= value) if limit.is_least else (values <= value)
        if self.up:
            keep &= table["hours_up"].to_numpy(np.float64) > 0.0
        found = table[keep]
        return found.sort_values(
            self.sort, ascending=not self.descending, kind="stable", na_position="last", key=_sortable
        )

    @property
    def is_filtered(self) -> bool:
        """Whether some objects may be left out."""
        return bool(self.q or self.classes or self.limits or self.up)


_UPWARD = ("rank", "mag", "airmass", "age")  # numbers whose small values matter


def _sortable(column: pd.Series) -> pd.Series:
    return column.replace("", None) if column.dtype == object else column


def find_position(text: str) -> Cone | None:
    """A position and a radius [arcsecond] in a text; None if it is something else, such as a name.

    Two numbers are degrees. Six are hours, minutes and seconds, then degrees, minutes and seconds. Raises
    SettingsError for a text that looks like a position and is none.

    Examples
    --------
    >>> find_position("150.1 -2.2 10")
    Cone(ra=150.1, dec=-2.2, radius=10.0)
    >>> find_position("10:00:00 +02:30:00")
    Cone(ra=150.0, dec=2.5, radius=60.0)
    >>> find_position("ZTF18abc") is None
    True
    """
    if match := _DEGREES.fullmatch(text):
        ra, dec, radius = float(match[1]), float(match[2]), match[3]
    elif match := _SEXAGESIMAL.fullmatch(text):
        parts = [float(match[k]) for k in (1, 2, 3, 5, 6, 7)]
        if parts[0] >= 24.0 or max(parts[1], parts[2], parts[4], parts[5]) >= 60.0:
            raise SettingsError(f"position {text!r}: hours are below 24, minutes and seconds below 60")
        ra = 15.0 * (parts[0] + parts[1] / 60.0 + parts[2] / 3600.0)
        dec = parts[3] + parts[4] / 60.0 + parts[5] / 3600.0
        dec, radius = -dec if match[4] == "-" else dec, match[8]
    elif _LIKE_A_POSITION.fullmatch(text):
        raise SettingsError(
            f"position {text!r}: write right ascension and declination in degrees, as 150.1 -2.2, or as "
            "10:00:24 -02:12:00; a radius in arcseconds may follow"
        )
    else:
        return None
    found = Cone(ra, dec, float(radius) if radius else RADIUS)
    if not (0.0 <= found.ra <= 360.0 and abs(found.dec) <= 90.0 and 0.0 < found.radius <= _MOST_RADIUS):
        raise SettingsError(
            f"position {text!r}: right ascension is within 0 and 360, declination within -90 and 90 degrees, "
            f"the radius above 0 and at most {_MOST_RADIUS:g} arcseconds"
        )
    return found


def _number(name: str, text: str) -> float:
    limit = LIMITS[name]
    try:
        value = number_in(text)
    except ValueError:
        raise SettingsError(f"{name}: give a number, not {text[:40]!r}") from None
    if not limit.low <= value <= limit.high:
        raise SettingsError(f"{name}: give a number from {limit.low:g} to {limit.high:g}, not {text[:40]!r}")
    return value


def _whole(name: str, text: str, least: int, most: int, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise SettingsError(f"{name}: give a whole number from {least} to {most}")
    return int(text)


def _flag(text: str) -> bool:
    if text not in ("", "0", "1"):
        raise SettingsError("up: 0 or 1")
    return text == "1"
