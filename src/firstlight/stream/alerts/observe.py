"""Rows of an alert's source tables to observations in internal units, by numba.

`merge` keeps one row per visit and band, so the order of the rows does not matter.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS, short_spellings
from firstlight.constants import MAG_PER_E_FOLD
from firstlight.kernels import kernel
from firstlight.lightcurves.visits import merge
from firstlight.stream.alerts.values import AFTER_ALERT_DAYS, EARLIEST_MJD, LATEST_MJD, NO_TEXT

#: Columns that a row may have.
COLUMNS = (
    "source",  # identifier
    "time",
    "band",  # name, enum symbol, or ZTF's filter number
    "flux",
    "flux_err",
    "magnitude",
    "magnitude_err",
    "positive",  # sign of a magnitude's flux: bool, 0 or 1, "t" or "f"
    "zero_point",  # AB magnitude of a flux of 1
    "status",  # ZTF's processing status
    "withdrawn",  # time of withdrawal
    "reliability",
    "rb",
    "drb",
    "nbad",
    "negative",
)
SOURCE, TIME, BAND, FLUX, FLUX_ERR, MAG, MAG_ERR, POSITIVE, ZERO_POINT, STATUS, WITHDRAWN = range(11)
#: Columns of quality: those with a smallest value, those with a largest, and whether the flux is negative.
RELIABILITY, RB, DRB, NBAD, NEGATIVE = range(11, 16)

#: Reasons why a row is set aside, in the order in which they are looked for.
REASONS = (
    "time",  # none, or not MJD
    "future",  # after the alert
    "band",
    "withdrawn",
    "status",  # of ZTF's processing
    "flag",
    "reliability",
    "rb",
    "drb",
    "nbad",
    "negative",
    "flux",  # none, or no error
)
_R_TIME, _R_FUTURE, _R_BAND, _R_WITHDRAWN, _R_STATUS, _R_FLAG, _R_CUTS = range(7)
_R_FLUX = len(REASONS) - 1

#: Spellings of the bands in alerts: those of LSST and ZTF in the table of filters, and ANTARES' R.
#: The compiled look-up has them as constants and reads the first ones fastest.
BAND_SPELLINGS: Mapping[str, int] = MappingProxyType(
    {name: index for index, name in enumerate(BANDS)} | {"Y": 5, "R": 2} | short_spellings(("lsst", "ztf"))
)


def _words(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Texts of at most 8 bytes as integers, so that compiled look-ups compare integers."""
    return np.array([int.from_bytes(text.encode().ljust(8, b"\0"), "little") for text in texts], np.uint64)


_WORDS = _words(BAND_SPELLINGS)
_WORD_BANDS = np.array(list(BAND_SPELLINGS.values()), np.int8)
_GOOD_STATUS = _words(["0", "57", *(text for text in sorted(NO_TEXT) if len(text) <= 8)])

_BAD_FLUX = -99998.0  # ZTF writes -99999 where its forced photometry failed
_LARGEST, _SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_normal)
_BOOL, _INT, _FLOAT, _TEXT, _SYMBOL = 2, 3, 4, 5, 7  # kinds of cells, as in `avro.kernels`
_EXACT = float(1 << 53)  # floats hold every integer below it


@kernel
def _number(kind: Any, integer: Any, number: Any, column: int, base: int) -> float:
    """A cell as a float; NaN if it holds no number."""
    at = np.uint64(column + base)  # unsigned: numba then adds no test for negative indices
    if column < 0:
        return np.nan
    if kind[at] == _FLOAT:
        return number[at]
    return float(integer[at]) if kind[at] == _INT else np.nan


@kernel
def _band(kind: Any, integer: Any, number: Any, data: Any, symbol_bands: Any, column: int, base: int) -> int:
    """A cell as a band index; -1 if it names none of ugrizy."""
    at = column + base
    if column < 0:
        return -1
    if kind[at] == _SYMBOL:
        return symbol_bands[integer[at]]
    if kind[at] == _INT or kind[at] == _FLOAT:  # ZTF: 1 g, 2 r, 3 i
        number_of_filter = float(integer[at]) if kind[at] == _INT else number[at]
        for known in (1, 2, 3):
            if number_of_filter == known:
                return known
        return -1
    if kind[at] != _TEXT or number[at] > 8 or number[at] < 1:
        return -1
    word = np.uint64(0)
    first = np.uint64(integer[at])
    for i in range(np.uint64(number[at])):
        word |= np.uint64(data[first + i]) << np.uint64(8 * i)
    for i in range(len(_WORDS)):
        if word == _WORDS[i]:
            return _WORD_BANDS[i]
    return -1


@kernel(inner=True)
def _sign(kind: Any, integer: Any, number: Any, data: Any, column: int, base: int) -> float:
    """-1 if a cell marks the difference flux as negative (False, 0, "f" or "0"), else 1."""
    at = column + base
    if column < 0 or kind[at] <= 1:
        return 1.0
    if kind[at] == _TEXT:
        first = data[integer[at]] if number[at] > 0 else 0
        return -1.0 if first in (102, 70, 48) else 1.0
    if kind[at] == _FLOAT:
        return -1.0 if number[at] <= 0.0 else 1.0
    return -1.0 if integer[at] <= 0 else 1.0


@kernel(inner=True)
def _is_set(kind: Any, integer: Any, number: Any, data: Any, column: int, base: int) -> bool:
    """Whether a cell is a flag that is set: true, 1, "t", "T" or "1"."""
    at = column + base
    if column < 0 or kind[at] <= 1:
        return False
    if kind[at] == _TEXT:
        return number[at] > 0 and data[integer[at]] in (116, 84, 49)
    if kind[at] == _FLOAT:
        return number[at] == 1.0
    return integer[at] == 1


@kernel(inner=True)
def _id(kind: Any, integer: Any, number: Any, data: Any, column: int, base: int) -> Any:
    """A cell as a positive integer; 0 if it holds none, -1 if it is a float that cannot hold it."""
    at = column + base
    if column < 0:
        return 0
    if kind[at] == _INT:
        return max(integer[at], 0)
    if kind[at] == _FLOAT:
        if not number[at] > 0.0:
            return 0
        whole = number[at] < _EXACT and number[at] == np.floor(number[at])
        return np.int64(number[at]) if whole else -1
    if kind[at] != _TEXT or number[at] > 18:
        return 0
    value: Any = 0
    for i in range(np.int64(number[at])):
        digit = np.int64(data[integer[at] + i]) - 48
        if not 0 <= digit <= 9:
            return 0
        value = 10 * value + digit
    return value


@kernel
def _bad_quality(
    kind: Any,
    integer: Any,
    number: Any,
    data: Any,
    place: Any,
    flags: Any,
    cuts: Any,
    has_cuts: bool,
    base: int,
) -> int:
    """Reason why the survey's own quality sets a row aside; -1 if it does not."""
    for flag in flags:
        at = np.uint64(flag + base)  # unsigned: numba then adds no test for negative indices
        if flag < 0 or kind[at] < _BOOL or (kind[at] == _BOOL and integer[at] == 0):
            continue
        if _is_set(kind, integer, number, data, flag, base):
            return _R_FLAG
    if not has_cuts:
        return -1
    for k in range(3):  # a negative score is a missing one
        score = _number(kind, integer, number, place[RELIABILITY + k], base)
        if 0.0 <= score < cuts[k]:
            return _R_CUTS + k
    if place[NBAD] >= 0 and _number(kind, integer, number, place[NBAD], base) > cuts[3]:
        return _R_CUTS + 3
    if place[NEGATIVE] >= 0 and _is_set(kind, integer, number, data, place[NEGATIVE], base):
        return _R_CUTS + 4
    return -1


@kernel(inner=True)
def _status_ok(kind: Any, integer: Any, number: Any, data: Any, column: int, base: int) -> bool:
    """Whether ZTF's status is missing, or has no code but "0" (fine) and "57" (no reference source)."""
    at = column + base
    if column < 0 or kind[at] <= 1:
        return True
    if kind[at] == _FLOAT:
        return np.isnan(number[at]) or number[at] == 0.0 or number[at] == 57.0
    if kind[at] != _TEXT:
        return integer[at] == 0 or integer[at] == 57
    first, size = np.int64(integer[at]), np.int64(number[at])
    word, length = np.uint64(0), 0
    for i in range(size + 1):
        byte = np.int64(data[first + i]) if i < size else 44  # a comma ends a code
        if byte > 34 and byte != 44:  # neither blank nor quote
            byte |= 32 * (65 <= byte <= 90)
            if length < 8:
                word |= np.uint64(byte) << np.uint64(8 * length)
            length += 1
        elif byte == 44:
            is_good = False
            for good in _GOOD_STATUS:
                is_good |= good == word
            if length > 8 or not is_good:
                return False
            word, length = np.uint64(0), 0
    return True


@kernel(inner=True)
def _flux(
    kind: Any, integer: Any, number: Any, data: Any, columns: Any, base: int, scale: float
) -> tuple[float, float]:
    """Flux and error of a row [nJy]; NaN if it has none."""
    flux = _number(kind, integer, number, columns[FLUX], base)
    flux_err = _number(kind, integer, number, columns[FLUX_ERR], base)
    if columns[ZERO_POINT] >= 0:
        zero_point = _number(kind, integer, number, columns[ZERO_POINT], base)
        scale = 10.0 ** (0.4 * (AB_ZERO_POINT_NJY - zero_point)) if zero_point > 0.0 else np.nan
        if flux < _BAD_FLUX:
            flux = np.nan
    if np.isnan(flux) and columns[MAG] >= 0:
        magnitude = _number(kind, integer, number, columns[MAG], base)
        size = 10.0 ** (0.4 * (AB_ZERO_POINT_NJY - magnitude)) if magnitude > 0.0 else np.nan
        flux_err = size * _number(kind, integer, number, columns[MAG_ERR], base) / MAG_PER_E_FOLD
        flux = size * _sign(kind, integer, number, data, columns[POSITIVE], base)
        scale = 1.0
    flux, flux_err = flux * scale, flux_err * scale
    # float32 must hold both: LightCurves does
    if not (abs(flux) <= _LARGEST and _SMALLEST <= flux_err <= _LARGEST):
        return np.nan, np.nan
    return flux, flux_err


@kernel
def observe(
    kind: Any, integer: Any, number: Any, data: Any, symbol_bands: Any, starts: Any, rows: Any, widths: Any,
    columns: Any, flags: Any, detections: Any, clocks: Any, shifts: Any, cuts: Any, scale: float,
    alert_mjd: float,
) -> tuple[Any, Any, Any, Any, Any, Any, Any, int, float, float, int]:  # fmt: skip
    """Observations of the tables of one alert, merged, and those that were set aside.

    Arrays are those of `Cells` and `Layout` (the first of the tables is the triggering source);
    `symbol_bands` holds a band index per enum symbol, `shifts` the days from each time system to
    MJD TAI, `cuts` the limits of the columns of quality, `scale` the nJy per unit of flux, and `alert_mjd`
    the time of the alert. Behind the six columns come the rows set aside by reason, their number, the times
    of the first listed rows of previous detections and of forced photometry (infinite without any), and the
    number of identifiers that a float could not hold.
    """
    total = 1 + rows.sum()
    mjd, flux, flux_err = np.empty(total), np.empty(total), np.empty(total)
    band, detected = np.empty(total, np.int8), np.empty(total, np.bool_)
    source = np.empty(total, np.int64)
    dropped, listed = np.zeros(len(REASONS), np.int64), np.full(2, np.inf)
    n, inexact = 0, 0
    for table in range(len(columns)):
        place, shift = columns[table], shifts[clocks[table]]
        count, first, width = 1, 0, 0
        if table > 0:
            count, first, width = rows[table - 1], starts[table - 1], widths[table - 1]
        # in a table of magnitudes, rows without one are upper limits, not faulty rows
        limits = place[MAG] >= 0 and place[FLUX] < 0
        own_flags, has_cuts = flags[table], place[RELIABILITY:].max() >= 0
        has_quality = own_flags.max() >= 0 or has_cuts
        for row in range(count):
            base = first + row * width
            time = _number(kind, integer, number, place[TIME], base) + shift
            index = _band(kind, integer, number, data, symbol_bands, place[BAND], base)
            withdrawn, at = False, place[WITHDRAWN] + base
            if place[WITHDRAWN] >= 0:  # `_number` here would slow the loop by a tenth
                withdrawn = kind[at] == _FLOAT and 0.0 < number[at] < np.inf
                withdrawn |= kind[at] == _INT and integer[at] > 0
            value, error = _flux(kind, integer, number, data, place, base, scale)
            if np.isnan(value) and (limits or index < 0):
                continue  # an upper limit or an empty row
            reason = -1
            if not EARLIEST_MJD < time < LATEST_MJD:
                reason = _R_TIME
            elif time > alert_mjd + AFTER_ALERT_DAYS:
                reason = _R_FUTURE
            elif index < 0:
                reason = _R_BAND
            elif withdrawn:
                reason = _R_WITHDRAWN
            elif not _status_ok(kind, integer, number, data, place[STATUS], base):
                reason = _R_STATUS
            elif has_quality:
                reason = _bad_quality(kind, integer, number, data, place, own_flags, cuts, has_cuts, base)
            if reason < 0 and np.isnan(value) and not detections[table]:
                reason = _R_FLUX
            if table > 0 and reason != _R_TIME and reason != _R_FUTURE:
                kept = 0 if detections[table] else 1
                listed[kept] = min(listed[kept], time)
            if reason >= 0:
                dropped[reason] += 1
                continue
            mjd[n], band[n], flux[n], flux_err[n], detected[n] = time, index, value, error, detections[table]
            source[n] = _id(kind, integer, number, data, place[SOURCE], base)
            inexact += source[n] < 0
            n += 1
    order = np.zeros(n)  # one alert states all of its rows at one time
    merged = merge(mjd[:n], band[:n], flux[:n], flux_err[:n], detected[:n], source[:n], order)
    dropped[_R_FLUX] += merged[7]
    columns_out = merged[0], merged[1], merged[2], merged[3], merged[4], merged[5]
    return (*columns_out, dropped, dropped.sum(), listed[0], listed[1], inexact)
