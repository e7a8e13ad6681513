"""Rows of an alert's source tables to observations in internal units, by numba.

`merge` keeps one row per visit and band, so the order of the rows does not matter.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS, short_spellings
from firstlight.constants import MAG_PER_E_FOLD
from firstlight.kernels import kernel
from firstlight.lightcurves.visits import merge

#: Columns that a row may have.
COLUMNS = (
    "source",  # identifier
    "visit",
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
)
SOURCE, VISIT, TIME, BAND, FLUX, FLUX_ERR, MAG, MAG_ERR, POSITIVE, ZERO_POINT, STATUS, WITHDRAWN = range(12)

#: Spellings of the bands in alerts: those of LSST and ZTF in the table of filters, and ANTARES' R.
#: The compiled look-up has them as constants and reads the first ones fastest.
BAND_SPELLINGS: Mapping[str, int] = MappingProxyType(
    {name: index for index, name in enumerate(BANDS)} | {"Y": 5, "R": 2} | short_spellings(("lsst", "ztf"))
)
# as 8-byte words, so that the compiled look-up compares integers
_WORDS = np.array(
    [int.from_bytes(name.encode().ljust(8, b"\0"), "little") for name in BAND_SPELLINGS], np.uint64
)
_WORD_BANDS = np.array(list(BAND_SPELLINGS.values()), np.int8)

_BAD_FLUX = -99998.0  # ZTF writes -99999 where its forced photometry failed
_LARGEST, _SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_normal)
_INT, _FLOAT, _TEXT, _SYMBOL = 3, 4, 5, 7  # kinds of cells, as in `avro.kernels`


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
    if kind[at] == _INT:  # ZTF: 1 g, 2 r, 3 i
        return integer[at] if 1 <= integer[at] <= 3 else -1
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


@kernel
def _sign(kind: Any, integer: Any, number: Any, data: Any, column: int, base: int) -> float:
    """-1 if a cell marks the difference flux as negative (False, 0, "f" or "0"), else 1."""
    at = column + base
    if column < 0 or kind[at] <= 1:
        return 1.0
    if kind[at] == _TEXT:
        first = data[integer[at]] if number[at] > 0 else 0
        return -1.0 if first in (102, 70, 48) else 1.0
    return -1.0 if integer[at] == 0 and kind[at] != _FLOAT else 1.0


@kernel
def _status_ok(kind: Any, integer: Any, number: Any, data: Any, column: int, base: int) -> bool:
    """Whether ZTF's status is absent, "0" (fine) or "57" (no reference source nearby)."""
    at = column + base
    if column < 0 or kind[at] <= 1:
        return True
    if kind[at] != _TEXT:
        return integer[at] == 0 or integer[at] == 57
    place, size = integer[at], np.int64(number[at])
    if size == 1:
        return data[place] == 48
    return size == 2 and data[place] == 53 and data[place + 1] == 55


@kernel
def _flux(
    kind: Any, integer: Any, number: Any, data: Any, columns: Any, base: int, scale: float
) -> tuple[float, float]:
    """Flux and error of a row [nJy]; NaN if it has none."""
    flux = _number(kind, integer, number, columns[FLUX], base)
    flux_err = _number(kind, integer, number, columns[FLUX_ERR], base)
    if columns[ZERO_POINT] >= 0:
        zero_point = _number(kind, integer, number, columns[ZERO_POINT], base)
        scale = 10.0 ** (0.4 * (AB_ZERO_POINT_NJY - zero_point))
        if flux < _BAD_FLUX:
            flux = np.nan
    if np.isnan(flux) and columns[MAG] >= 0:
        magnitude = _number(kind, integer, number, columns[MAG], base)
        size = 10.0 ** (0.4 * (AB_ZERO_POINT_NJY - magnitude))
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
    columns: Any, detections: Any, clocks: Any, shifts: Any, scale: float,
) -> tuple[Any, Any, Any, Any, Any, Any, int]:  # fmt: skip
    """Observations of the tables of one alert, merged, and the number of unusable rows.

    Arrays are those of `Cells` and `Layout` (the first of the tables is the triggering source);
    `symbol_bands` holds a band index per enum symbol, `shifts` the days from each time system to
    MJD TAI, `scale` the nJy per unit of flux.
    """
    total = 1 + rows.sum()
    mjd, flux, flux_err = np.empty(total), np.empty(total), np.empty(total)
    band, detected = np.empty(total, np.int8), np.empty(total, np.bool_)
    source, visit = np.empty(total, np.int64), np.empty(total, np.int64)
    n, rejected = 0, 0
    for table in range(len(columns)):
        place, shift = columns[table], shifts[clocks[table]]
        count, first, width = 1, 0, 0
        if table > 0:
            count, first, width = rows[table - 1], starts[table - 1], widths[table - 1]
        # in a table of magnitudes, rows without one are upper limits, not faulty rows
        limits = place[MAG] >= 0 and place[FLUX] < 0
        for row in range(count):
            base = first + row * width
            time = _number(kind, integer, number, place[TIME], base) + shift
            index = _band(kind, integer, number, data, symbol_bands, place[BAND], base)
            withdrawn, at = False, place[WITHDRAWN] + base
            if place[WITHDRAWN] >= 0:  # `_number` here would slow the loop by a tenth
                withdrawn = kind[at] == _FLOAT and 0.0 < number[at] < np.inf
                withdrawn |= kind[at] == _INT and integer[at] > 0
            good = _status_ok(kind, integer, number, data, place[STATUS], base)
            value, error = _flux(kind, integer, number, data, place, base, scale)
            if np.isnan(value) and (limits or index < 0):
                continue  # an upper limit or an empty row
            if (
                withdrawn
                or not good
                or index < 0
                or not np.isfinite(time)
                or (np.isnan(value) and not detections[table])
            ):
                rejected += 1
                continue
            mjd[n], band[n], flux[n], flux_err[n], detected[n] = time, index, value, error, detections[table]
            source[n], visit[n] = 0, 0
            if place[SOURCE] >= 0 and kind[place[SOURCE] + base] == _INT:
                source[n] = integer[place[SOURCE] + base]
            if place[VISIT] >= 0 and kind[place[VISIT] + base] == _INT:
                visit[n] = max(integer[place[VISIT] + base], 0)
            n += 1
    order = np.zeros(n)
    merged = merge(mjd[:n], band[:n], flux[:n], flux_err[:n], detected[:n], source[:n], visit[:n], order)
    return merged[0], merged[1], merged[2], merged[3], merged[4], merged[5], rejected + merged[7]
