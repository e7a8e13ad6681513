"""Values of foreign columns: ids, numbers, times, bands and flags, one rule for every container.

Each function takes one column of any kind (NumPy, masked, pandas, Arrow, a list) and gives NumPy
arrays. Missing is missing however it is written: null, NaN, masked, an empty text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.bands import match_bands
from firstlight.constants import JD_MINUS_MJD, LAST_LEAP_SECOND_MJD, MJD_OF_1970, UTC_TO_TAI_DAYS
from firstlight.errors import DataError

TimeScale = Literal["tai", "utc"]

#: Floats cannot represent every integer from here on, so the digits of an id may be lost.
LARGEST_EXACT_FLOAT = 2**53
#: Times in days below this are MJD, or days since any moment; the stream has the same limit.
LARGEST_MJD = 1e6
SECONDS_PER_DAY = 86_400.0

#: Spans of time, none of which meets another: name, first and last value, units per day.
_SPANS = (
    ("MJD", -LARGEST_MJD, LARGEST_MJD, 1.0),
    ("JD", 2.3e6, 2.6e6, 1.0),
    ("Unix seconds", 3e8, 5e9, SECONDS_PER_DAY),
    ("Unix milliseconds", 3e11, 5e12, 1e3 * SECONDS_PER_DAY),
    ("Unix microseconds", 3e14, 5e15, 1e6 * SECONDS_PER_DAY),
    ("Unix nanoseconds", 3e17, 5e18, 1e9 * SECONDS_PER_DAY),
)
_YEARS = (1900.0, 2100.0)  # a table with nothing outside of this span has decimal years
_FLAGS = {
    "0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True, "f": False, "t": True,
    "no": False, "yes": True, "n": False, "y": True,
}  # fmt: skip
_WHOLE_FLOAT = re.compile(r"^[+-]?\d+\.0*$")
_FLOAT = re.compile(r"^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$")
_KINDS = (
    pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal,
    pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_timestamp,
    pa.types.is_date,
)  # fmt: skip
#: Texts that stand for a missing value.
NO_VALUE = ("", "nan", "none", "null", "<na>", "n/a")


def as_column(values: Any) -> Any:
    """A column as `as_arrow` gives it; DataError if its values are no numbers, texts, times or flags."""
    try:
        array = as_arrow(values)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"its values cannot be read ({detail})") from error
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if not any(known(kind) for known in _KINDS) and not is_text(kind):
        raise DataError(f"its values are of type {kind}; a column has numbers, texts, times or flags")
    return array


def as_arrow(values: Any) -> Any:
    """A column of any kind as one Arrow array, with nulls for masked and missing values."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
        values = values.chunk(0) if isinstance(values, pa.ChunkedArray) else values
    if isinstance(values, pa.Array):
        return values
    mask = None
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        values = np.ma.getdata(values)
    if isinstance(values, np.ndarray) or not hasattr(values, "dtype"):
        values = np.asarray(values)
        if values.ndim != 1:
            raise DataError(f"a column has shape {values.shape}; it must have one value per row")
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
    try:
        array = pa.array(values, mask=mask, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        array = pa.array(_as_texts(values, mask), pa.string())
    if isinstance(array, pa.ChunkedArray):
        return as_arrow(array)
    return array


def _as_texts(values: Any, mask: BoolArray | None) -> list[str | None]:
    """Texts of a column that mixes types, such as integers and texts."""
    hidden = np.zeros(len(values), dtype=bool) if mask is None else mask
    return [None if gone else _as_text(value) for value, gone in zip(values, hidden, strict=True)]


def _as_text(value: Any) -> str | None:
    if value is None or value is np.ma.masked:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    if isinstance(value, (str, int)):  # bool is one, too
        return str(value).encode("utf-8", errors="backslashreplace").decode()
    if not isinstance(value, (float, Decimal, np.generic)):
        raise TypeError(f"values of type {type(value).__name__}")
    return None if value != value else str(value)


def decoded(values: Any) -> Any:
    """The Arrow array without dictionary, and with bytes as text."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_null(values.type):
        return values.cast(pa.float64())
    return _text_of_bytes(values)


def _text_of_bytes(values: Any) -> Any:
    kind = values.type
    if not (
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    ):
        return values
    try:
        texts = values.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid as error:
        raise DataError(f"bytes that are no UTF-8 text ({str(error).splitlines()[0]})") from error
    return pc.utf8_rtrim(texts, characters="\0")


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


# --- values shown in a reject ---------------------------------------------------------


def shown(values: Any, index: IntArray, words: Mapping[int, str] | None = None) -> StrArray:
    """The values at some rows as short texts, for messages; `words` are the texts of the source instead."""
    chosen = as_arrow(values).take(pa.array(index, pa.int64()))
    if pa.types.is_dictionary(chosen.type):
        chosen = chosen.dictionary_decode()
    texts = [_short(value) for value in chosen.to_pylist()]
    if words:
        texts = [
            _short(words[row]) if row in words else text
            for row, text in zip(index.tolist(), texts, strict=True)
        ]
    return np.array(texts, dtype=np.str_)


def _short(value: Any) -> str:
    if value is None:
        return "missing"
    text = value.decode("utf-8", errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return (text if len(text) <= 40 else text[:37] + "...") or "empty"


# --- ids ----------------------------------------------------------------------------


def names_of(values: Any) -> StrArray:
    """Ids as texts, one per value: exact, without blanks around them; empty where missing.

    Whole numbers have no decimal point, whether integers or floats. Raises DataError for floats of 2^53
    or more, whose last digits are lost, and for fractions.
    """
    names, owner = distinct_names(values)
    return np.append(names, "")[owner].astype(np.str_)


def distinct_names(values: Any) -> tuple[StrArray, IntArray]:
    """Distinct ids in order of appearance, and the position of each value among them; -1 where missing.

    Raises DataError as `names_of`.
    """
    import pandas as pd

    array = as_arrow(values)
    code = array if pa.types.is_dictionary(array.type) else decoded(array).dictionary_encode()
    texts = _id_texts(decoded(code.dictionary))
    index = np.asarray(code.indices.fill_null(len(texts))).astype(np.int64)
    missing = np.append(texts == "", True)
    # categories have an order of their own, some have no row, and two may be one id in two spellings
    unused = not np.bincount(index, minlength=len(texts))[: len(texts)].all()
    if missing[:-1].any() or unused or not _is_first_come(index) or len(set(texts.tolist())) < len(texts):
        texts = np.append(texts, "")
        owner, distinct = pd.factorize(texts[index])
        empty = np.flatnonzero(distinct == "")
        if len(empty):
            owner = np.where(owner == empty[0], -1, owner - (owner > empty[0]))
            distinct = np.delete(distinct, empty[0])
        return np.asarray(distinct, dtype=np.str_), owner.astype(np.int64)
    return texts, np.where(index == len(texts), -1, index)


def _is_first_come(index: IntArray) -> bool:
    """Whether each code appears first after all smaller ones."""
    if not len(index):
        return True
    highest = np.maximum.accumulate(index)
    return bool(index[0] == 0 and np.all(np.diff(highest) <= 1))


def _id_texts(values: Any) -> StrArray:
    kind = values.type
    if pa.types.is_floating(kind):
        return _id_texts_of_floats(values)
    if pa.types.is_decimal(kind):
        return _whole_numbers(_to_numpy_texts(values.cast(pa.string())))
    if is_text(kind):
        return _to_numpy_texts(pc.utf8_trim_whitespace(values))
    if pa.types.is_integer(kind) or (pa.types.is_boolean(kind) and not len(values)):
        return _to_numpy_texts(values.cast(pa.string()))
    raise DataError(f"object_id holds values of type {kind}; ids are integers or texts")


def _id_texts_of_floats(values: Any) -> StrArray:
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    known = numbers[~np.isnan(numbers)]
    fraction = known[~(np.floor(known) == known)]
    if len(fraction):
        raise DataError(f"object_id {fraction[0]:g} is no whole number; give ids as integers or texts")
    inexact = known[np.abs(known) >= LARGEST_EXACT_FLOAT]
    if len(inexact):
        raise DataError(
            f"object_id {inexact[0]:.0f} is a float of 2^53 or more, so its last digits are lost and objects "
            "may have merged; read the ids as 64-bit integers or texts"
        )
    texts = np.full(len(numbers), "", dtype="U24")
    texts[~np.isnan(numbers)] = known.astype(np.int64).astype("U24")
    return texts.astype(np.str_)


def untyped_ids(values: Any) -> Any:
    """Ids of a file without types, such as CSV: where all are written as floats (``615.0``), whole numbers.

    Raises DataError as `names_of`, and for ids in exponential notation, which lacks digits.
    """
    array = as_arrow(values)
    code = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    texts = _whole_numbers(_to_numpy_texts(pc.utf8_trim_whitespace(code.dictionary)))
    return pa.DictionaryArray.from_arrays(code.indices, pa.array(texts.tolist(), pa.string()))


def _whole_numbers(texts: StrArray) -> StrArray:
    """The texts; without the decimal point where all of them are whole floats."""
    named = [text for text in texts.tolist() if text.lower() not in NO_VALUE]
    floats = [text for text in named if _FLOAT.match(text)]
    if not named or len(floats) < len(named) or all(text.lstrip("+-").isdecimal() for text in named):
        return texts
    short = next((text for text in named if "e" in text.lower()), None)
    if short is not None:
        raise DataError(f"object_id {short!r} has lost digits; write the ids as integers or texts")
    _id_texts_of_floats(pa.array([float(text) for text in named]))
    return np.array([text.partition(".")[0] for text in texts.tolist()], dtype=np.str_)


def _to_numpy_texts(values: Any) -> StrArray:
    return np.array([value or "" for value in values.to_pylist()], dtype=np.str_)


# --- numbers --------------------------------------------------------------------------


def numbers_of(values: Any) -> FloatArray:
    """Numbers as float64; NaN where missing, and where a text is no number."""
    array = decoded(as_arrow(values))
    if is_text(array.type):
        return _parsed(array)
    if pa.types.is_temporal(array.type):
        return np.full(len(array), np.nan)
    try:
        return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    except pa.ArrowException as error:
        raise DataError(f"values of type {array.type} are no numbers") from error


def _parsed(values: Any) -> FloatArray:
    """Numbers of an Arrow array of texts; NaN where a text is no number."""
    code = values.dictionary_encode()
    trimmed = pc.utf8_trim_whitespace(code.dictionary)
    trimmed = pc.replace_substring(trimmed, "\u2212", "-")  # the minus sign of Unicode
    number = pc.match_substring_regex(trimmed, r"^[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$")
    plain = pc.replace_substring_regex(trimmed, r"^\+", "")
    numeric = pc.if_else(number, pc.replace_substring_regex(plain, "[dD]", "e"), None)  # Fortran's 1.5D+02
    distinct = np.append(numeric.cast(pa.float64()).to_numpy(zero_copy_only=False), np.nan)
    parsed: FloatArray = distinct[np.asarray(code.indices.fill_null(len(distinct) - 1))]
    return parsed


# --- times ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Times of a table in MJD (TAI), the rows without one, and notes of conversions."""

    mjd: FloatArray  # (n_rows,); NaN where there is none
    foreign: BoolArray  # (n_rows,); the value belongs to another kind of time than most of the table
    impossible: BoolArray  # (n_rows,); the value is no time of any known kind
    note: str = ""  # the conversion, for the user; empty where there was none


def times_of(values: Any, scale: TimeScale = "tai") -> Times:
    """Times in MJD (TAI) of MJD, JD or Unix numbers, datetimes, or texts of numbers.

    Numbers are recognised by their span, which is that of most of the table. Datetimes without a
    time zone and numbers of days are of the given scale; those with a time zone, and Unix time, are UTC.
    Raises DataError for a table of decimal years.
    """
    array = decoded(as_arrow(values))
    if is_text(array.type):
        dates = _dates_of_texts(array)
        array = array if dates is None else dates
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(array.type):
        return _times_of_datetimes(array, scale)
    numbers = numbers_of(array)
    none = np.zeros(len(numbers), dtype=bool)
    finite = np.isfinite(numbers)
    known = numbers[finite]
    rounded = "times are stored as 32-bit floats, so they are rounded to minutes"
    note = rounded if pa.types.is_float32(array.type) and np.any(known > 1e4) else ""
    if not len(known) or (known.min() > -LARGEST_MJD and known.max() < LARGEST_MJD):
        _refuse_years(known)
        mjd, moved = _to_tai(numbers, scale)
        return Times(np.where(finite, mjd, np.nan), none, none, "; ".join(filter(None, (moved, note))))
    member = [finite & (numbers > low) & (numbers < high) for _, low, high, _ in _SPANS]
    main = int(np.argmax([span.sum() for span in member]))
    name, _, _, per_day = _SPANS[main]
    impossible = finite & ~np.any(member, axis=0)
    foreign = finite & ~impossible & ~member[main]
    good = np.where(member[main], numbers, np.nan)
    if main == 0:
        mjd, moved = _to_tai(good, scale)
    elif name == "JD":
        mjd, moved = _to_tai(good, scale, JD_MINUS_MJD)
        moved = f"times are converted from JD to MJD{', UTC to TAI' if moved else ''}"
    else:
        mjd, _ = _to_tai(MJD_OF_1970 + good / per_day, "utc")
        moved = f"times are converted from {name} (UTC) to MJD (TAI)"
    return Times(mjd, foreign, impossible, "; ".join(filter(None, (moved, note))))


def _times_of_datetimes(array: Any, scale: TimeScale) -> Times:
    zoned = array.type.tz is not None
    per_day = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[array.type.unit] * int(SECONDS_PER_DAY)
    missing = np.asarray(array.is_null())
    ticks = np.asarray(array.cast(pa.int64()).fill_null(0))
    mjd = MJD_OF_1970 + ticks // per_day + (ticks % per_day) / per_day
    mjd, _ = _to_tai(np.where(missing, np.nan, mjd), "utc" if zoned else scale)
    none = np.zeros(len(mjd), dtype=bool)
    stated = "UTC" if zoned or scale == "utc" else "taken as TAI, since they have no time zone"
    return Times(mjd, none, none, f"times are converted from dates ({stated}) to MJD (TAI)")


def _dates_of_texts(texts: Any) -> Any:
    """Timestamps of a column of ISO dates such as ``2026-11-27T17:00:00``; None without a date."""
    known = texts.drop_null()
    first = next((text.as_py() for text in known.slice(0, 20) if text.as_py().strip()), "")
    if not re.match(r"^\s*\d{4}-\d\d-\d\d", first):
        return None
    import pandas as pd

    dates = pd.to_datetime(texts.to_pandas(), errors="coerce", format="ISO8601", utc=True)
    zoned = bool(re.search(r"(Z|[+-]\d\d:?\d\d)\s*$", first))
    return as_arrow(dates if zoned else dates.dt.tz_localize(None))


def _to_tai(days: FloatArray, scale: TimeScale, ahead: float = 0.0) -> tuple[FloatArray, str]:
    """Times that are `ahead` days larger than MJD as MJD (TAI), and the conversion in words."""
    mjd = days - ahead
    if scale == "tai":
        return mjd, ""
    late = mjd >= LAST_LEAP_SECOND_MJD
    mjd[late] = days[late] + (UTC_TO_TAI_DAYS - ahead)  # one sum, as in the stream: equal to the last bit
    early = np.flatnonzero(np.isfinite(mjd) & ~late)
    if len(early):
        from astropy.time import Time

        mjd[early] = Time(mjd[early], format="mjd", scale="utc").tai.mjd
    return mjd, "times are converted from UTC to TAI"


def _refuse_years(mjd: FloatArray) -> None:
    if len(mjd) > 1 and _YEARS[0] < mjd.min() and mjd.max() < _YEARS[1] and np.any(mjd % 1 != 0):
        raise DataError(
            f"times from {mjd.min():.2f} to {mjd.max():.2f} look like decimal years; convert them to MJD"
        )


# --- bands and flags ----------------------------------------------------------------------


def bands_of(values: Any) -> NDArray[np.int8]:
    """Band indices of names, or of the numbers 0 to 5 as integers, floats or texts; -1 where unknown."""
    names, code = filter_names(values)
    index: NDArray[np.int8] = match_bands(names)[code]
    return index


def bands_count_from_one(values: Any) -> bool:
    """Whether numbers of bands are 1 to 6, so that they are not PLAsTiCC's 0 to 5."""
    names, _ = filter_names(values)
    return "6" in names and "0" not in names


def filter_names(values: Any) -> tuple[list[str], IntArray]:
    """Names of filters without repetition, the last empty, and the position of each value among them."""
    array = as_arrow(values)
    code = array if pa.types.is_dictionary(array.type) else decoded(array).dictionary_encode()
    names = [_band_name(value) for value in decoded(code.dictionary).to_pylist()]
    return [*names, ""], np.asarray(code.indices.fill_null(len(names))).astype(np.int64)


def _band_name(value: Any) -> str:
    text = str(value).strip()
    return text.partition(".")[0] if _WHOLE_FLOAT.match(text) else text


def flags_of(values: Any) -> tuple[BoolArray, BoolArray]:
    """Flags, and where a value is no flag: true and false as booleans, 0 and 1, or texts of these."""
    array = as_arrow(values)
    code = array if pa.types.is_dictionary(array.type) else decoded(array).dictionary_encode()
    texts = [str(value).strip().lower() for value in decoded(code.dictionary).to_pylist()]
    flag = np.array([_FLAGS.get(text, False) for text in texts] + [False], dtype=bool)
    unknown = np.array([text not in _FLAGS for text in texts] + [True], dtype=bool)
    index = np.asarray(code.indices.fill_null(len(texts)))
    return flag[index], unknown[index]
