"""Names, numbers and times of foreign packets: which are missing, refused or kept.

One rule for all layouts: a value is missing in every spelling of "none", and an id is never rounded.
"""

import math
import re
from typing import Any

from firstlight.errors import DataError
from firstlight.lightcurves.rows import LARGEST_EBV
from firstlight.stream.limits import DEFAULT_LIMITS

#: Bytes that the name of an object, alert or source may have.
LONGEST_NAME = DEFAULT_LIMITS.name_bytes
#: Times outside of this range are not MJD: from 1886 to 2132.
EARLIEST_MJD, LATEST_MJD = 10_000.0, 100_000.0
#: An observation may be so much later than its alert [day]: more than TAI differs from UTC.
AFTER_ALERT_DAYS = 1e-3
#: The largest number of single precision, as which the values of objects are kept.
LARGEST = 3.4028234663852886e38

_SMALLEST, _LARGEST = {"dec": -90.0}, {"ra": 360.0, "dec": 90.0, "ebv": LARGEST_EBV}
_EXACT = 1 << 53  # floats hold every integer below it
#: Texts that stand for "none", in lower case.
NO_TEXT = frozenset(
    {"", "null", "none", "nan", "<na>", "na", "n/a", "nat", "nil", "undefined", r"\n", "-", "--"}
)
_NO_NUMBER = re.compile(r"-\d+(\.\d*)?|\+?0+(\.0*)?")  # negative or zero
_FLOAT_TEXT = re.compile(r"[0-9]+\.[0-9]*([eE]\+?[0-9]+)?|[0-9]+[eE]\+[0-9]+")


def is_missing(value: Any) -> bool:
    """Whether a foreign name or number is one of the spellings of "none": null, NaN, 0, negative, "<NA>"."""
    if isinstance(value, str):
        text = value.strip()
        return text.lower() in NO_TEXT or _NO_NUMBER.fullmatch(text) is not None
    if isinstance(value, int | float):
        return not value > 0
    return value is None


def is_true(value: Any) -> bool:
    """Whether a foreign flag is set: true, 1, "t", "true" or "1"."""
    if value is None:
        return False
    if isinstance(value, str):
        return value.lower() in ("t", "true", "1")
    return isinstance(value, bool | int | float) and value == 1


def name_of(value: Any, what: str) -> str:
    """The name of an object, alert or source in a foreign value; empty if it is missing.

    DataError if a float cannot hold it, or it is too long or of another type; `what` goes into the message.
    """
    if is_missing(value):
        return ""
    if isinstance(value, str):
        checked_name(value, what)
        return name_of(float(value), what) if _FLOAT_TEXT.fullmatch(value) else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"the {what} is a {type(value).__name__}, neither an integer nor text")
    return str(_exact(value, what))


def number_of(value: Any, what: str) -> int:
    """The survey's number of a measurement in a foreign value; 0 if it is missing or a text without a number.

    DataError if a float cannot hold it, or it has more than 64 bits.
    """
    if type(value) is int and 0 < value < 1 << 63:  # nearly always
        return value
    if is_missing(value):
        return 0
    if isinstance(value, str):
        return integer_name(checked_name(value, what)) or 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"the {what} is a {type(value).__name__}, not an integer")
    return _exact(value, what)


def _exact(value: int | float, what: str) -> int:
    if isinstance(value, int):
        if value >= 1 << 63:
            raise DataError(f"the {what} has more than 64 bits")
        return value
    if not value < _EXACT:
        raise DataError(
            f"the {what} {value!r} is a float of 2^53 or more, which may stand for several integers; "
            "write it as an integer or as text"
        )
    if value != int(value):
        raise DataError(f"the {what} {value!r} is not a whole number")
    return int(value)


def checked_name(name: str, what: str, longest: int = LONGEST_NAME) -> str:
    """The name; DataError if it has more than `longest` bytes or is not valid Unicode."""
    if len(name) > longest or (not name.isascii() and len(_encoded(name, what)) > longest):
        raise DataError(
            f"the {what} {name[:40]!a}... has {len(name):,} characters, more than {longest} bytes"
        )
    return name


def _encoded(name: str, what: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the {what} {name[:40]!a} is not valid Unicode") from error


def checked_time(mjd: float, alert_id: str, object_id: str) -> float:
    """The time of an alert [MJD TAI day]; DataError if there is none, or it is not MJD."""
    if EARLIEST_MJD < mjd < LATEST_MJD:
        return mjd
    problem = "the source has no time" if not math.isfinite(mjd) else f"its time {mjd:.9g} is not MJD"
    raise DataError(f"alert {alert_id or '?'} of object {object_id or '?'}: {problem}")


def object_values(**values: float) -> dict[str, Any]:
    """Position, dust and redshift of an object, NaN for each that is missing in any spelling.

    The surveys write null, NaN, -9 or -999 for unknown; 0 is a redshift.
    """
    return {
        name: value if _SMALLEST.get(name, 0.0) <= value <= _LARGEST.get(name, LARGEST) else math.nan
        for name, value in values.items()
    }


def integer_name(name: str) -> int | None:
    """The value of a name that is a non-negative integer below 2^63; None for any other name."""
    if not (name.isascii() and name.isdigit() and len(name) <= LONGEST_NAME):
        return None
    return number if (number := int(name)) < 1 << 63 else None
