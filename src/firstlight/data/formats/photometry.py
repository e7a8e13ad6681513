"""Magnitudes, limits, signs and filters of a source to fluxes in nJy (decision 0147)."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.bands import (
    BANDS,
    EFFECTIVE_WAVELENGTH,
    Filter,
    case_note,
    find_filter,
    find_survey,
    magnitude_to_njy,
    stated_survey,
)
from firstlight.data.formats.layouts import Layout
from firstlight.data.formats.names import ColumnNames
from firstlight.errors import DataError, UnknownBandError
from firstlight.lightcurves.foreign.units import unit_doubt
from firstlight.lightcurves.foreign.values import NO_VALUE, as_arrow, is_text, numbers_of

#: Magnitudes beyond these stand for "none": surveys write 99, 999, -99 or -999.
_BRIGHTEST, _FAINTEST = -30.0, 50.0
_FAILED_FLUX = -99_998.0  # ZTF writes -99999 where its forced photometry failed
_BAD_CATFLAG = 32_768  # bit of ZTF's catflags: the measurement is unusable
_GOOD_STATUS = ("0", "57", *NO_VALUE)  # ZTF's procstatus: fine; no reference source nearby; none
_POSITIVE = ("t", "true", "1", "1.0", "+", "y", "yes")
_NEGATIVE = ("f", "false", "0", "0.0", "-1", "-1.0", "-", "n", "no")
_TRUE = ("t", "true", "1", "1.0", "yes", "y")
_FALSE = ("f", "false", "0", "0.0", "no", "n", "", "nan", "none", "null")
_SNANA_DETECTION = 4096  # bit of SNANA's PHOTFLAG

#: Meaning of a layout's quality column, for the user.
QUALITY: Mapping[str, str] = MappingProxyType(
    {
        "procstatus": "ZTF's procstatus marks the photometry as failed",
        "catflags": "ZTF's catflags mark the measurement as unusable",
        "tag": "Fink tags the measurement as of bad quality",
        "err": "ATLAS marks the measurement as wrong",
    }
)
_SAME_VISIT_DAYS = 1e-5  # as `firstlight.lightcurves.visits`: the same visit in two tables
REPEATED_VISIT = "a detection of the same visit is used instead of its forced photometry"
_NO_ERROR = "the magnitude has no error"
_NO_MEASUREMENT = "the row has neither a flux nor a magnitude nor a limit"
ONLY_LIMITS = "the object has upper limits only"
SHARED_BAND = "a filter nearer to the band was used at the same time"


@dataclass(slots=True)
class Photometry:
    """Measurements in nJy, one per row of the source."""

    flux: FloatArray
    flux_err: FloatArray
    limits: BoolArray  # rows that state a limit, which is no measurement
    filters: StrArray  # survey_name, or the file's own text where the filter is unknown
    detected: Any = None  # flags in any form, None where |flux| > 5 flux_err decides
    converted: bool = True  # whether the fluxes are in nJy; else in the unit that the source states
    systems: tuple[str, ...] = ()  # of the magnitudes that were converted
    surveys: tuple[str, ...] = ()
    doubt: str = ""  # why the unit of the fluxes cannot be nJy, unless the user states it
    survey: Any = None  # of each row, an Arrow array
    problem: str = ""  # the first filter that could not be read, and what to do
    by_case: str = ""  # which filters are Johnson's by their case alone
    left_out: list[tuple[str, BoolArray]] = field(default_factory=list)

    @property
    def n_limits(self) -> int:
        """Number of rows that state a limit."""
        return int(self.limits.sum())


def photometry_of(words: Mapping[str, Any], layout: Layout, names: ColumnNames) -> Photometry:
    """Fluxes of the columns `words`; `names` has the survey, system and filters that the user stated."""
    fixed = names.fixed
    read = _filters(words, layout, names)
    filters = read.labels
    uses_mag = "mag" in words and (layout.prefers == "mag" or "flux" not in words)
    if uses_mag:
        made = _of_magnitudes(words, layout, filters, read.found, fixed.get("system", ""))
    else:
        flux, flux_err = numbers_of(words["flux"]), numbers_of(words["flux_err"])
        no_limits = np.zeros(len(flux), dtype=bool)
        made = Photometry(flux, flux_err, no_limits, filters, words.get("detected"), converted=False)
        if layout.detections and made.detected is None:
            made.detected = texts(words["source"]) != "" if "source" in words else np.ones(len(flux), bool)
    made.survey, made.problem, made.by_case = read.surveys, read.problem, read.by_case
    if not uses_mag and not layout.implied:
        made.doubt = _doubt_of_unit(words)
    made.surveys = tuple(sorted({one.survey for one in read.found.values() if one is not None}))
    _apply_quality(made, words, layout)
    return made


def _doubt_of_unit(words: Mapping[str, Any]) -> str:
    """The fault of a table whose fluxes state no unit while its magnitudes show that it is not nJy."""
    if "mag" not in words or {"zero_point", "unit"} & set(words):
        return ""
    return unit_doubt(numbers_of(words["flux"]), numbers_of(words["mag"]))


# --- filters --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Filters:
    """The filters of a source."""

    labels: StrArray  # of each row
    found: Mapping[str, Filter | None]  # by label
    surveys: Any  # Arrow array; the survey that each row or its filter states
    problem: str  # the first that is unknown, and what to do
    by_case: str  # which are Johnson's by their case alone


def _filters(words: Mapping[str, Any], layout: Layout, names: ColumnNames) -> _Filters:
    """The filters of a source; UnknownBandError if none is known."""
    survey = names.fixed.get("survey") or layout.survey
    distinct, code = coded(words["filter"])
    if not survey and "survey" in words:  # a filter may be of another survey in each row
        surveys, own = coded(words["survey"])
        pairs, code = np.unique(code * len(surveys) + own, return_inverse=True)
        distinct = np.char.add(
            np.char.add(distinct[pairs // len(surveys)], "\t"), surveys[pairs % len(surveys)]
        )
    labels, surveys_of, found, problem, upper = [], [], {}, "", []
    for text in distinct.tolist():
        name, _, stated = text.partition("\t")
        label, one, of = name, None, survey or find_survey(stated) or ""
        try:
            mapped = names.filters.get(name)
            one = find_filter(name, survey or stated or None) if mapped is None else find_filter(mapped)
            label, of = one.label, of or stated_survey(mapped or name)
            upper += [name] if label == f"johnson_{name}" and not (mapped or survey or stated) else []
        except UnknownBandError as error:
            remedy = "map it (docs/reference/files.md, Columns)"
            problem = problem or f"{str(error).partition(' (surveys')[0]}, or {remedy}"
        labels.append(label)
        surveys_of.append(of)
        found[label] = one
    if distinct.size and not any(found.values()):
        raise UnknownBandError(problem)
    code = code.ravel()
    of_rows = pa.DictionaryArray.from_arrays(pa.array(code), pa.array(surveys_of, pa.string()))
    return _Filters(np.array(labels, dtype=np.str_)[code], found, of_rows, problem, case_note(upper))


def shared_bands(owner: IntArray, time: FloatArray, filters: StrArray) -> BoolArray:
    """Rows whose band a nearer filter observed for the same object at the same time.

    Several filters may enter as one band, and an object has one flux per band and time.
    """
    distinct, code = coded(filters)
    band, distance = np.full(len(distinct), -1), np.zeros(len(distinct))
    for i, name in enumerate(distinct.tolist()):
        try:
            one = find_filter(name)
        except UnknownBandError:
            continue
        band[i] = one.band
        if one.band >= 0:
            distance[i] = abs(math.log(one.wavelength / EFFECTIVE_WAVELENGTH[one.band]))
    lost = np.zeros(len(filters), dtype=bool)
    several = [b for b in range(len(BANDS)) if np.sum(band == b) > 1]
    rows = np.flatnonzero(np.isin(band[code], several))
    if len(rows):
        order = rows[np.lexsort((distance[code][rows], time[rows], band[code][rows], owner[rows]))]
        before, after = order[:-1], order[1:]
        same = (owner[before] == owner[after]) & (time[before] == time[after])
        same &= band[code][before] == band[code][after]
        first = np.concatenate([[True], ~same])
        nearest = code[order[first]][np.cumsum(first) - 1]
        lost[order[code[order] != nearest]] = True
    return lost


def repeated_visits(owner: IntArray, time: FloatArray, filters: StrArray, forced: BoolArray) -> BoolArray:
    """Forced measurements of a visit of which there is a detection, which counts (as in the stream)."""
    order = np.lexsort((time, filters, owner))
    same = (np.diff(owner[order]) == 0) & (filters[order][1:] == filters[order][:-1])
    same &= np.diff(time[order]) <= _SAME_VISIT_DAYS
    lost = np.zeros(len(owner), dtype=bool)
    for one, other in ((order[1:], order[:-1]), (order[:-1], order[1:])):
        lost[one[same & forced[one] & ~forced[other]]] = True
    return lost


# --- magnitudes -----------------------------------------------------------------


def _of_magnitudes(
    words: Mapping[str, Any],
    layout: Layout,
    filters: StrArray,
    chosen: Mapping[str, Filter | None],
    system: str,
) -> Photometry:
    mag = _magnitudes(words["mag"])
    mag_err = numbers_of(words["mag_err"]) if "mag_err" in words else np.full(len(mag), np.nan)
    offset, systems = _offsets(words, filters, chosen, system, np.isfinite(mag))
    upper = flags(words["upper"], "upper") if "upper" in words else np.zeros(len(mag), dtype=bool)
    sign = _signs(words["positive"], np.isfinite(mag)) if "positive" in words else 1.0
    flux, flux_err = magnitude_to_njy(mag, mag_err, offset)
    flux = flux * sign
    is_limit = upper | _limit_texts(words["mag"])
    if "limit" in words:
        is_limit |= np.isnan(mag) & np.isfinite(_magnitudes(words["limit"]))
    flux = np.where(is_limit, np.nan, flux)
    detected = words.get("detected")
    if detected is None and layout.detections:
        detected = ~is_limit
    made = Photometry(flux, flux_err, is_limit, filters, detected, systems=systems)
    made.left_out.append((_NO_MEASUREMENT, np.isnan(mag) & ~is_limit))
    if layout.errors_lacking:
        made.left_out.append((_NO_ERROR, np.isfinite(mag) & ~is_limit & ~(mag_err > 0)))
    if layout.total_light:
        made.flux = made.flux - _medians(words["object_id"], filters, made.flux)
    return made


def _magnitudes(values: Any) -> FloatArray:
    mag = numbers_of(values)
    return np.where((mag > _BRIGHTEST) & (mag < _FAINTEST), mag, np.nan)


def _limit_texts(values: Any) -> BoolArray:
    """Mask of texts such as ``<14.2`` or ``>20.5``, as AAVSO writes limits."""
    array = as_arrow(values)
    if not is_text(array.type):
        return np.zeros(len(array), dtype=bool)
    found = pc.match_substring_regex(array, r"^\s*[<>]\s*[+-]?\d")
    return np.asarray(found.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)


def _offsets(
    words: Mapping[str, Any],
    filters: StrArray,
    chosen: Mapping[str, Filter | None],
    system: str,
    measured: BoolArray,
) -> tuple[FloatArray, tuple[str, ...]]:
    """AB minus the system of each row's magnitude, and the systems in use by filter, for the user."""
    labels, code = coded(filters)
    distinct = np.char.add(np.char.add(labels, "\t"), system.lower())
    if "system" in words and not system:
        stated, own = coded(words["system"])
        pairs, code = np.unique(code * len(stated) + own, return_inverse=True)
        named = np.char.lower(stated[pairs % len(stated)])
        distinct = np.char.add(np.char.add(labels[pairs // len(stated)], "\t"), named)
    offsets, used = [], set()
    for text in distinct.tolist():
        label, _, name = text.partition("\t")
        one = chosen.get(label)
        if one is None:
            offsets.append(np.nan)
            continue
        if name in ("", "none", "nan", "natural"):
            name = one.system.lower()
        if name not in ("ab", "vega"):
            raise DataError(
                f"magnitudes of {label} are in the system {name!r}; firstlight knows AB and Vega: "
                "convert them, or state the system (--columns system=ab)"
            )
        if name == "vega" and one.system != "Vega":
            raise DataError(
                f"magnitudes of {label} are stated as Vega, but the table of filters has no Vega zero "
                "point of this filter; convert them to AB"
            )
        offsets.append(one.ab_offset if name == "vega" else 0.0)
        used.add("AB" if name == "ab" else f"Vega ({label} {one.ab_offset:+.2f} to AB)")
    return np.array(offsets)[code.ravel()], tuple(sorted(used))


def _signs(values: Any, measured: BoolArray) -> FloatArray:
    """+1 or -1 by a flag such as ZTF's isdiffpos; 1 where there is no measurement."""
    flags = np.char.lower(texts(values))
    negative, positive = np.isin(flags, _NEGATIVE), np.isin(flags, _POSITIVE)
    unknown = np.flatnonzero(measured & ~negative & ~positive)
    if len(unknown):
        raise DataError(
            f"row {unknown[0]}: the sign of the difference flux is {str(flags[unknown[0]])!r}, which is "
            "neither true nor false (t, 1, f, 0, -1)"
        )
    return np.where(negative, -1.0, 1.0)


def flags(values: Any, name: str) -> BoolArray:
    """A column of flags; DataError, with the row, for a value that is neither true nor false."""
    given = np.char.lower(texts(values))
    unknown = np.flatnonzero(~np.isin(given, _TRUE + _FALSE))
    if len(unknown):
        raise DataError(f"row {unknown[0]}: {name!r} is {str(given[unknown[0]])!r}, neither true nor false")
    return np.isin(given, _TRUE)


def _medians(names: Any, filters: StrArray, flux: FloatArray) -> FloatArray:
    """Median flux of each row's object and filter: the flux in a reference image."""
    import pandas as pd

    table = pd.DataFrame({"name": texts(names), "filter": filters, "flux": flux})
    return np.asarray(table.groupby(["name", "filter"])["flux"].transform("median"), dtype=np.float64)


# --- quality --------------------------------------------------------------------


def _apply_quality(made: Photometry, words: Mapping[str, Any], layout: Layout) -> None:
    """Mark the rows that their survey calls wrong, and SNANA's detections."""
    if "quality" not in words or not layout.quality:
        return
    values = words["quality"]
    if layout.quality == "procstatus":
        codes = [set(text.replace('"', "").lower().split(",")) for text in texts(values).tolist()]
        bad = np.array([bool(code.difference(_GOOD_STATUS)) for code in codes], dtype=bool)
        bad |= ~(made.flux > _FAILED_FLUX)
    elif layout.quality == "catflags":
        flags = numbers_of(values)
        bad = (np.where(np.isfinite(flags), flags, 0).astype(np.int64) & _BAD_CATFLAG) > 0
    elif layout.quality == "tag":
        bad = np.char.lower(texts(values)) == "badquality"
    elif layout.quality == "err":
        bad = numbers_of(values) != 0
    else:
        flags = numbers_of(values)
        detected = (np.where(flags > 0, flags, 0).astype(np.int64) & _SNANA_DETECTION) > 0
        if detected.any():  # a simulation without a search has none
            made.detected = detected
        return
    made.left_out.insert(0, (QUALITY[layout.quality], bad))


# --- small parts ----------------------------------------------------------------


def texts(values: Any) -> StrArray:
    """A column of any kind as stripped texts; empty where missing, whole numbers without a point."""
    distinct, code = coded(values)
    return distinct[code]


def coded(values: Any) -> tuple[StrArray, IntArray]:
    """Distinct texts of a column of any kind, and the position of each row's text among them."""
    array = as_arrow(values)
    if pa.types.is_null(array.type):
        array = array.cast(pa.string())
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    kept = array.dictionary
    if pa.types.is_floating(kept.type):
        with suppress(pa.ArrowInvalid):  # fractions stay
            kept = kept.cast(pa.int64())
    if pa.types.is_binary(kept.type) or pa.types.is_large_binary(kept.type):
        kept = kept.cast(pa.binary()).cast(pa.string())
    kept = kept.cast(pa.string()).fill_null("")
    names = pc.utf8_trim(kept, characters=" \t\r\n\0").to_pylist()
    stripped = np.array([*names, ""] if array.indices.null_count else names, dtype=np.str_)
    distinct, place = np.unique(stripped, return_inverse=True)
    return distinct, place.ravel()[np.asarray(array.indices.fill_null(len(kept)))].astype(np.int64)
