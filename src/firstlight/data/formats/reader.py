"""Recognise a file by its content, and read it as light curves."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from firstlight._types import BoolArray, FloatArray, IntArray, Progress, StrArray, no_progress
from firstlight.bands import find_survey
from firstlight.data.delimited import Kind
from firstlight.data.formats.containers import nested_table_source
from firstlight.data.formats.layouts import (
    LAYOUTS,
    OBJECT_WORDS,
    SNANA,
    SUPERNOVA_CATALOG,
    TEXT_WORDS,
    Layout,
    find_words,
    fits_layout,
    layout_of,
)
from firstlight.data.formats.names import ColumnNames
from firstlight.data.formats.photometry import (
    ONLY_LIMITS,
    REPEATED_VISIT,
    SHARED_BAND,
    Photometry,
    coded,
    photometry_of,
    repeated_visits,
    shared_bands,
    texts,
)
from firstlight.data.formats.recognise import open_source, stated_once
from firstlight.data.formats.source import Source, plain_name
from firstlight.errors import DataError, MissingColumnError, SettingsError
from firstlight.lightcurves import RawTable
from firstlight.lightcurves.foreign.angles import degrees
from firstlight.lightcurves.foreign.units import ANY_DEPTH, days_per_unit, magnitude_unit, unit_scale
from firstlight.lightcurves.foreign.values import LARGEST_MJD, as_arrow, numbers_of, untyped_ids
from firstlight.lightcurves.reject import NO_ROW

_AVRO_MAGIC = b"Obj\x01"
_HDF_MAGIC = b"\x89HDF"
_JULIAN_DATES = ("jd", "hjd", "bjd")
_VAGUE_NAMES = ("id", "name", "object")  # columns that name objects, or rows, or something else
_SAME_STAR_ARCSEC = 1.5  # IRSA gives a star one number per filter and field

#: Names of formats, for --format.
FORMATS = (*(layout.name for layout in LAYOUTS), SNANA.name, SUPERNOVA_CATALOG.name)


@dataclass(slots=True)
class Reading:
    """How a file was read: its format, its columns and its conventions."""

    path: Path
    layout: Layout
    container: str
    names: ColumnNames
    photometry: Photometry
    notes: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """One line for the user."""
        columns = ", ".join(f"{word} = {name}" for word, name in self.names.columns.items())
        parts = [f"{self.path}: {self.layout.title} ({self.container}): {columns}"]
        made = self.photometry
        if made.systems:
            parts.append("magnitudes: " + ", ".join(made.systems))
        if made.n_limits:
            parts.append(f"{made.n_limits:,} upper limit(s) left out, as a limit is no measurement")
        if made.surveys:
            parts.append("filters of " + ", ".join(made.surveys))
        return "; ".join([*parts, *self.notes])


@dataclass(frozen=True, slots=True)
class Foreign:
    """Rows of a foreign file in the package's words, not yet checked, and how they were read."""

    raw: RawTable
    left_out: list[tuple[str, StrArray, IntArray]]  # reason, and object and place of each row
    reading: Reading


def read_foreign(
    path: Path,
    *,
    format: str | None = None,
    names: ColumnNames | None = None,
    damage: list[Any] | None = None,
    described: bool = False,
    progress: Progress = no_progress,
) -> Foreign:
    """The rows of a file or folder in any known format.

    `described` says that a metadata file has the values of objects that `names` name and this one lacks.
    Raises DataError or MissingColumnError if it has none of them, UnknownBandError if no filter is known,
    SettingsError for an unknown `format`.
    """
    _check_format(format)
    names = names or ColumnNames()
    source, layout = open_source(path, damage, progress)
    if described:
        own = {w: n for w, n in names.columns.items() if w not in OBJECT_WORDS or n in source.names}
        names = replace(names, columns=own)
    return _foreign(source, _layout(source, format, layout), names)


def read_foreign_table(
    table: pa.Table, name: str, *, format: str | None = None, names: ColumnNames | None = None
) -> Foreign:
    """The rows of an Arrow table with one row per object, in any known format; errors as `read_foreign`."""
    _check_format(format)
    source = nested_table_source(Path(name), table)
    return _foreign(source, _layout(source, format), names or ColumnNames())


def object_column(
    table: pa.Table, name: str, *, format: str | None = None, names: ColumnNames | None = None
) -> str:
    """The column that names the objects of a table for `read_foreign_table`; DataError if there is none."""
    source = nested_table_source(Path(name), table.slice(0, 0))
    found = _found(source, _layout(source, format), names or ColumnNames()).get("object_id", "")
    if found not in table.column_names:
        raise MissingColumnError(f"{name}: no column of names of objects; it has {', '.join(source.names)}")
    return found


def _check_format(format: str | None) -> None:
    if format is not None and format not in FORMATS:
        raise SettingsError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")


def _layout(source: Source, format: str | None, layout: Layout | None = None) -> Layout:
    """The layout that the user named, or else the given one, or else that of the column names."""
    if format is None:
        return layout or layout_of(source.names)
    layout = next(one for one in (*LAYOUTS, SNANA, SUPERNOVA_CATALOG) if one.name == format)
    if not fits_layout(layout, source.names):
        wanted = "; ".join(" or ".join(options) for options in layout.marks)
        raise MissingColumnError(
            f"{source.path}: not {layout.title}, which has the columns {wanted}; its columns are "
            f"{', '.join(source.names)}"
        )
    return layout


# --- meaning --------------------------------------------------------------------


def _foreign(source: Source, layout: Layout, names: ColumnNames) -> Foreign:
    found = _found(source, layout, names)
    kinds = {name: _kind(word) for word, name in found.items()}
    values, place = source.read(kinds)
    words = {word: values[name] for word, name in found.items()}
    notes: list[str] = []
    if "object_id" in words and source.container in ("CSV", "text"):
        words["object_id"] = untyped_ids(words["object_id"])
    words |= {w: degrees(words[w], hours=w == "ra") for w in ("ra", "dec") if w in words}
    if "object_id" not in words:
        words["object_id"] = np.full(len(place), source.one_object)
        words = {word: np.full(len(place), v) for word, v in stated_once(source.meta).items()} | words
        notes.append(f"all rows are of one object, {source.one_object!r}")
    if "object_id" not in names.columns and plain_name(found.get("object_id", "")) in _VAGUE_NAMES:
        _refuse_names_of_rows(source, found["object_id"], words["object_id"])
    _use_units(words, found, source)
    _use_unit_of_magnitudes(words, found, source)
    _use_unit_of_time(words, found, source)
    if "mjd" not in names.columns:
        _refuse_shortened_dates(source, found["mjd"], words["mjd"])
    if layout.name == "irsa":
        words["object_id"] = _same_stars(words)
    survey = find_survey(str(source.meta.get("survey", "")))
    made = photometry_of(words, layout, names if survey is None else names.with_survey(survey))
    if layout.total_light:
        notes.append("the median flux of each object and filter is subtracted, as a reference image would be")
    notes += [note for note in (made.problem, made.by_case) if note]
    if ignored := source.meta.get("ignored"):
        notes.append(f"not read: {ignored}")
    _, owner = coded(words["object_id"])
    time, measured = numbers_of(words["mjd"]), np.flatnonzero(~made.limits)
    shared, repeated = np.zeros((2, len(place)), dtype=bool)
    shared[measured] = shared_bands(owner[measured], time[measured], made.filters[measured])
    made.left_out.append((SHARED_BAND, shared))
    if "source" in words and layout.detections:
        forced = texts(words["source"])[measured] == ""
        repeated[measured] = repeated_visits(owner[measured], time[measured], made.filters[measured], forced)
        made.left_out.append((REPEATED_VISIT, repeated))
    reading = Reading(source.path, layout, source.container, replace(names, columns=found), made, notes)
    columns: dict[str, Any] = {
        "object_id": words["object_id"],
        "mjd": words["mjd"],
        "band": made.filters,
        "flux": made.flux,
        "flux_err": made.flux_err,
        "survey": made.survey,
    }
    if made.detected is not None:
        columns["detected"] = made.detected
    columns |= {} if made.converted else {w: words[w] for w in ("zero_point", "unit", "system") if w in words}
    columns |= {word: words[word] for word in OBJECT_WORDS if word in words}
    if layout.positions_scatter and "ra" in words and "dec" in words:
        columns["ra"], columns["dec"] = _newest_positions(words)
    stated = source.meta.get("dereddened")
    raw = RawTable(
        columns={name: as_arrow(column) for name, column in columns.items()},
        objects=dict(source.objects) or None,
        place=place,
        zero_point=layout.zero_point if layout.implied and not made.converted else None,
        implied=layout.implied,
        dereddened=stated if isinstance(stated, bool) else None,
        time_scale="utc" if layout.utc else "tai",
        depth=(-np.inf, np.inf) if made.converted or layout.implied else ANY_DEPTH,
    )
    return _without(raw, made.left_out, reading)


def _kind(word: str) -> Kind:
    if word == "mag" or word in OBJECT_WORDS:  # <14.2 is a limit, 10:12:30 a position
        return "mixed"
    return "text" if word in TEXT_WORDS else "number"


def _refuse_names_of_rows(source: Source, column: str, values: Any) -> None:
    """Raise DataError if a column such as ``id`` names every row, so that it cannot name objects."""
    if len(values) > 1 and len(coded(values)[0]) == len(values):
        raise DataError(
            f"{source.path}: column {column!r} differs in every row, so it does not name objects; state "
            "the column that does (--columns object_id=NAME, or object_id=@file if the file holds one object)"
        )


def _without(raw: RawTable, left_out: list[tuple[str, BoolArray]], reading: Reading) -> Foreign:
    """The rows that are of use, and those that are not with the first reason of each.

    Limits are only counted, but an object that has nothing else is listed.
    """
    limits = reading.photometry.limits
    keep = ~limits
    listed = []
    if not keep.all():
        names, owner = coded(raw.columns["object_id"])
        nothing = np.ones(len(names), dtype=bool)
        nothing[owner[keep]] = False
        if nothing.any():
            listed.append((ONLY_LIMITS, names[nothing], np.full(int(nothing.sum()), NO_ROW)))
    for reason, mask in left_out:
        now = np.flatnonzero(mask & keep)
        if len(now):
            ids = texts(raw.columns["object_id"].take(pa.array(now)))
            listed.append((reason, ids, raw.places[now]))
            keep[now] = False
    if not keep.all():
        chosen = pa.array(keep)
        columns = {name: column.filter(chosen) for name, column in raw.columns.items()}
        raw = replace(raw, columns=columns, place=raw.places[keep])
    return Foreign(raw, listed, reading)


def _found(source: Source, layout: Layout, names: ColumnNames) -> dict[str, str]:
    """Column of each word, the user's names first; MissingColumnError where one is missing."""
    absent = [name for name in names.columns.values() if name not in source.names]
    if absent:
        raise MissingColumnError(f"{source.path}: no column(s) {absent}; it has {', '.join(source.names)}")
    found = find_words(layout, source.folded)
    taken = set(names.columns.values())
    found = {word: name for word, name in found.items() if name not in taken} | dict(names.columns)
    for word in names.fixed:
        found.pop(word, None)
    found = _without_unused(found, layout)
    missing = [word for word in ("mjd", "filter") if word not in found]
    if not {"flux", "flux_err"} <= set(found) and not {"mag", "mag_err"} <= set(found):
        missing.append("flux and flux_err, or mag and mag_err")
    nameless = "object_id" not in found and not layout.one_object and names.fixed.get("object_id") is None
    if nameless and not (layout.name == "sncosmo" and source.one_object):
        missing.append("object_id (or --columns object_id=@file if the file holds one object)")
    if missing:
        several = source.meta.get("several")
        why = f" ({', '.join(several)} have several values per row: write one per row)" if several else ""
        raise MissingColumnError(
            f"{source.path}: not a light-curve file that firstlight knows: nothing like "
            f"{', '.join(missing)} among its columns {', '.join(source.names)[:600]}{why}; name them: "
            "--columns mjd=NAME,filter=NAME,flux=NAME,flux_err=NAME"
        )
    return found


def _without_unused(found: dict[str, str], layout: Layout) -> dict[str, str]:
    """The columns without those of magnitudes where fluxes are read, and the reverse."""
    fluxes, magnitudes = {"flux", "flux_err"} <= set(found), {"mag", "mag_err"} <= set(found)
    unused: tuple[str, ...] = ()
    if fluxes and not (magnitudes and layout.prefers == "mag"):
        unused = ("mag_err", "limit", "upper", "positive")
    elif magnitudes:
        unused = ("flux", "flux_err", "zero_point", "unit")
    return {word: name for word, name in found.items() if word not in unused}


def _use_units(words: dict[str, Any], found: Mapping[str, str], source: Source) -> None:
    """Add the unit of the flux column, if the container states one, and convert the errors to it."""
    units = source.meta.get("units", {})
    unit, error_unit = (units.get(found.get(word, "")) for word in ("flux", "flux_err"))
    if not unit or "unit" in words:
        return
    words["unit"] = np.full(len(words["flux"]), unit)
    if error_unit and error_unit != unit:
        words["flux_err"] = numbers_of(words["flux_err"]) * (unit_scale(error_unit) / unit_scale(unit))


def _use_unit_of_magnitudes(words: dict[str, Any], found: Mapping[str, str], source: Source) -> None:
    """Take scale and system of magnitudes from the unit of their column; DataError for another unit."""
    units = source.meta.get("units", {})
    for word in ("mag", "mag_err", "limit"):
        unit = str(units.get(found.get(word, "")) or "")
        if unit.strip("-").lower() in ("", "none"):
            continue
        known = magnitude_unit(unit)
        if known is None:
            raise DataError(
                f"{source.path}: column {found[word]!r} of magnitudes has the unit {unit!r}; expected mag, "
                "mmag, AB mag or Vega mag"
            )
        scale, system = known
        if scale != 1.0:
            words[word] = scale * numbers_of(words[word])
        if word == "mag" and system and "system" not in words:
            words["system"] = np.full(len(words["mag"]), system)


def _use_unit_of_time(words: dict[str, Any], found: Mapping[str, str], source: Source) -> None:
    """Convert times to days, if the container states another unit of time."""
    unit = source.meta.get("units", {}).get(found["mjd"])
    if unit and (scale := days_per_unit(unit)) not in (None, 1.0):
        words["mjd"] = numbers_of(words["mjd"]) * scale


def _refuse_shortened_dates(source: Source, column: str, values: Any) -> None:
    """Raise DataError if a column that is named for Julian dates has none: they lack 2,400,000 or so."""
    if plain_name(column) not in _JULIAN_DATES:
        return
    numbers = numbers_of(values)
    known = numbers[np.isfinite(numbers)]
    if len(known) and known.max() < LARGEST_MJD:
        span = f"{known.min():g} to {known.max():g}"
        raise DataError(
            f"{source.path}: column {column!r} has no Julian dates ({span}): state that these are MJD "
            f"(--columns mjd={column}), or add the 2,400,000 or 2,450,000 days that they lack"
        )


def _newest_positions(words: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
    """Newest known position of each row's object [degree], as in the stream; NaN where it has none."""
    names, code = coded(words["object_id"])
    ra, dec, time = (numbers_of(words[name]) for name in ("ra", "dec", "mjd"))
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    known = known[np.argsort(np.nan_to_num(time[known], nan=-np.inf), kind="stable")]
    newest = np.full(len(names), -1)
    newest[code[known]] = known  # of equal indices the last assignment stays
    place = newest[code]
    return np.where(place >= 0, ra[place], np.nan), np.where(place >= 0, dec[place], np.nan)


def _same_stars(words: Mapping[str, Any]) -> Any:
    """One name per star: IRSA numbers its light curves by filter and field, so the position decides."""
    names, code = coded(words["object_id"])
    if "ra" not in words or "dec" not in words:
        return names[code]
    ra, dec = _newest_positions(words)
    _, first = np.unique(code, return_index=True)
    placed = np.flatnonzero(np.isfinite(ra[first]) & np.isfinite(dec[first]))
    ra, dec = np.radians(ra[first][placed]), np.radians(dec[first][placed])
    one, other = (placed[rows] for rows in _neighbours(ra, dec, np.radians(_SAME_STAR_ARCSEC / 3600.0)))
    rank = np.argsort(np.argsort(names, kind="stable"), kind="stable")
    least = rank.copy()
    while (least[one] != least[other]).any():  # each star takes the first name that a chain of pairs leads to
        np.minimum.at(least, one, least[other])
        np.minimum.at(least, other, least[one])
    return names[np.argsort(rank)[least]][code]


def _neighbours(ra: FloatArray, dec: FloatArray, radius: float) -> tuple[IntArray, IntArray]:
    """Pairs of positions [radian] at most `radius` apart."""
    order = np.argsort(dec, kind="stable")
    points = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)[order]
    pairs = [np.empty((2, 0), dtype=np.int64)]
    for step in range(1, len(order)):
        first = np.flatnonzero(dec[order[step:]] - dec[order[:-step]] <= radius)
        if not len(first):  # nor are positions further along in declination
            break
        apart = np.linalg.norm(points[first + step] - points[first], axis=1)
        pairs.append(np.stack([first, first + step])[:, apart <= radius])
    one, other = np.concatenate(pairs, axis=1)
    return order[one], order[other]
