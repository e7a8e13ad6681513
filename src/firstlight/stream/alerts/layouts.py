"""Field names of LSST, ZTF and their brokers, and the alert that a packet's fields give.

A layout depends on the fields of a packet's schema, not on a version number. The names are an
allow-list: truth columns and foreign classifications have none here.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.bands import AB_ZERO_POINT_NJY
from firstlight.constants import JD_MINUS_MJD, UTC_TO_TAI_DAYS
from firstlight.errors import DataError
from firstlight.lightcurves.rows import LARGEST_EBV
from firstlight.stream.alerts.alert import Alert, Observations, Skip, SkipReason
from firstlight.stream.alerts.observe import BAND_SPELLINGS, COLUMNS, REASONS, RELIABILITY, observe
from firstlight.stream.alerts.values import (
    LARGEST,
    checked_time,
    is_missing,
    is_true,
    name_of,
    number_of,
)
from firstlight.stream.avro.decode import Cells, cells_of, decoder_for
from firstlight.stream.avro.schema import Selection, field_paths
from firstlight.stream.limits import DEFAULT_LIMITS, Limits
from firstlight.stream.quality import QualityConfig

SOLAR_SYSTEM_ARCSEC = 5.0  # a ZTF candidate this near to a known asteroid is that asteroid

Names = Mapping[str, tuple[str, ...]]

#: Fields of LSST's sources, newest spelling first.
_LSST_ROW: Names = {
    "source": ("diaSourceId", "diaForcedSourceId"),
    "time": ("midpointMjdTai", "midPointTai"),
    "band": ("band", "filterName"),
    "flux": ("psfFlux", "psFlux"),
    "flux_err": ("psfFluxErr", "psFluxErr"),
    "withdrawn": ("timeWithdrawnMjdTai",),
    "reliability": ("reliability",),
    "negative": ("isNegative",),
}
#: Fields of ZTF's and Babamul's candidates.
_CANDIDATE_ROW: Names = {
    "source": ("candid", "diaSourceId"),
    "time": ("midpointMjdTai", "jd", "mjd"),
    "band": ("band", "fid"),
    "flux": ("psfFlux", "forcediffimflux"),
    "flux_err": ("psfFluxErr", "forcediffimfluxunc"),
    "magnitude": ("magpsf",),
    "magnitude_err": ("sigmapsf",),
    "positive": ("isdiffpos",),
    "zero_point": ("magzpsci",),
    "status": ("procstatus",),
    "reliability": ("reliability",),
    "rb": ("rb",),
    "drb": ("drb",),
    "nbad": ("nbad",),
    "negative": ("isNegative",),
}
_LSST_VALUES: Names = {
    "alert_id": ("alertId", "diaSourceId", "diaSource.diaSourceId"),
    "object_id": ("diaObject.diaObjectId", "diaSource.diaObjectId", "diaObjectId"),
    "solar_system": ("diaSource.ssObjectId",),
    "ra": ("diaObject.ra", "diaSource.ra"),
    "dec": ("diaObject.dec", "diaObject.decl", "diaSource.dec", "diaSource.decl"),
    "ebv": ("diaObject.mwebv", "diaSource.mwebv"),
    "redshift": ("diaObject.hostgal_zphot", "xm.legacydr8_zphot"),
    "redshift_err": ("diaObject.hostgal_zphot_err", "xm.legacydr8_e_zphot"),
    "star": ("", "xm.legacydr8_pstar"),
    "redshift_spec": ("diaObject.hostgal_zspec", "xm.tns_redshift"),
    "dereddened": ("fluxIsDereddened",),
    "score": ("diaSource.reliability",),
}
_CANDIDATE_VALUES: Names = {
    "alert_id": ("candid", "candidate.candid", "candidate.diaSourceId"),
    "object_id": ("objectId",),
    "solar_system": ("candidate.ssObjectId",),
    "asteroid_name": ("candidate.ssnamenr",),
    "asteroid_arcsec": ("candidate.ssdistnr",),
    "rock": ("properties.rock",),
    "ra": ("candidate.ra",),
    "dec": ("candidate.dec",),
    "jd": ("candidate.jd",),
    "mag": ("candidate.magpsf",),
    "flux": ("candidate.psfFlux",),
    "dereddened": ("fluxIsDereddened",),
    "score": ("candidate.reliability", "candidate.drb", "candidate.rb"),
}
_HOST = ("redshift", "redshift_err", "star")  # belong together by place; -1 where the packet lacks one
#: Arrays of previous sources, and whether their rows are detections.
_LSST_TABLES = {"prvDiaSources": True, "prvDiaForcedSources": False}
_ZTF_TABLES = {"prv_candidates": True, "fp_hists": False}

TAI, JULIAN_UTC, MJD_UTC = 0, 1, 2  # time systems
_CLOCKS = {"jd": JULIAN_UTC, "mjd": MJD_UTC}


@dataclass(frozen=True, eq=False)
class Layout:
    """Where a packet holds the fields of an alert.

    `family` is ``lsst`` (nJy, MJD TAI) or ``candidate`` (ZTF: magnitudes, Julian dates in UTC; Babamul:
    fluxes with their own zero point). The first table is the triggering source.
    """

    family: str
    selection: Selection  # fields to decode
    places: Mapping[str, tuple[int, ...]]  # cells per field, in order of preference
    columns: NDArray[np.int64]  # (n_tables, 16), offset in a row of each of `COLUMNS`; -1 if absent
    flags: NDArray[np.int64]  # (n_tables, n), offset in a row of each flag of quality; -1 if absent
    detections: NDArray[np.bool_]  # (n_tables,), whether its rows are detections
    clocks: NDArray[np.int64]  # (n_tables,), time system: TAI, JULIAN_UTC or MJD_UTC
    own_clock: int  # time system of the triggering source
    cuts: NDArray[np.float64]  # (4,), limits of the columns of quality


def resolve_layout(paths: Iterable[str], quality: QualityConfig | None = None) -> Layout:
    """The layout of a packet with these dotted paths (see `field_paths`); DataError if unknown.

    It reads the fields that `quality` needs, by default those of its defaults.
    """
    paths, quality = frozenset(paths), quality or QualityConfig()
    if "diaSource" in paths:
        parts = _LSST_TABLES, _with_quality(_LSST_ROW, quality), _LSST_VALUES
        return _build_layout("lsst", "diaSource", *parts, paths, quality)
    if "candidate" in paths:
        parts = _ZTF_TABLES, _with_quality(_CANDIDATE_ROW, quality), _CANDIDATE_VALUES
        return _build_layout("candidate", "candidate", *parts, paths, quality)
    top = sorted(path for path in paths if "." not in path)
    raise DataError(
        "the packet is neither LSST's (diaSource) nor ZTF's (candidate); its fields are "
        f"{', '.join(top[:12]) or 'none'}"
    )


def _with_quality(row: Names, quality: QualityConfig) -> Names:
    """The fields of a row without cuts that are not active, and with the flags of quality."""
    unused = frozenset(COLUMNS[RELIABILITY:]).difference(quality.columns)
    fields = {name: options for name, options in row.items() if name not in unused}
    return fields | {f"flag {name}": (name,) for name in quality.flags}


def _build_layout(
    family: str,
    main: str,
    tables: Mapping[str, bool],
    row: Names,
    values: Names,
    paths: frozenset[str],
    quality: QualityConfig,
) -> Layout:
    scalars: list[str] = []
    places: dict[str, tuple[int, ...]] = {}
    for name, options in values.items():
        if name == "solar_system" and not paths.intersection(options):
            options = ("ssSource.ssObjectId", "ssObject.ssObjectId")
        cells = tuple(_place(scalars, path) if path in paths else -1 for path in options)
        places[name] = cells if name in _HOST else tuple(cell for cell in cells if cell >= 0)
    own = _row_fields(row, main, paths)
    for name, field in own.items():
        places[f"own_{name}"] = (_place(scalars, f"{main}.{field}"),)
    wanted = (*COLUMNS, *(f"flag {name}" for name in quality.flags))
    columns = [[places[f"own_{name}"][0] if name in own else -1 for name in wanted]]
    fields, selected = [own], []
    for table in tables:
        found = _row_fields(row, table, paths)
        order = list(found)
        columns.append([order.index(name) if name in order else -1 for name in wanted])
        selected.append((table, tuple(found.values())))
        fields.append(found)
    if "time" not in own:
        raise DataError(f"the packet's {main} has no time ({' or '.join(row['time'])})")
    clocks = [_CLOCKS.get(found.get("time", ""), TAI) for found in fields]
    places_of = np.array(columns, np.int64)
    return Layout(
        family=family,
        selection=Selection(tuple(scalars), tuple(selected)),
        places=places,
        columns=np.ascontiguousarray(places_of[:, : len(COLUMNS)]),
        flags=_present(places_of[:, len(COLUMNS) :]),
        detections=np.array([True, *tables.values()]),
        clocks=np.array(clocks, np.int64),
        own_clock=clocks[0],
        cuts=quality.cuts,
    )


def _present(flags: NDArray[np.int64]) -> NDArray[np.int64]:
    """The flags that any table has, at least one column."""
    found = flags[:, (flags >= 0).any(axis=0)]
    return found if found.shape[1] else np.full((len(flags), 1), -1, np.int64)


def _place(scalars: list[str], path: str) -> int:
    if path not in scalars:
        scalars.append(path)
    return scalars.index(path)


def _row_fields(row: Names, record: str, paths: frozenset[str]) -> dict[str, str]:
    """The field name for each column of a record."""
    found = {}
    for column, options in row.items():
        for name in options:
            if f"{record}.{name}" in paths:
                found[column] = name
                break
    if found.get("flux") == "psfFlux":
        found.pop("zero_point", None)  # belongs to the image, not to a calibrated flux
    if record == "candidate" and "magnitude" in found and found.get("time") == "jd":
        # ZTF's own magnitude is calibrated, the flux that a broker adds may not be
        found = {key: name for key, name in found.items() if key not in ("flux", "flux_err", "zero_point")}
    return found


class PacketReader:
    """Reads alerts of one Avro schema; DataError if it is not that of a known alert.

    `zero_point` is the AB magnitude of a flux of 1 in the packet [mag], 31.4 for nJy; `quality` sets
    measurements aside; `limits` bound the schema and the packet.
    """

    def __init__(
        self,
        schema: Any,
        zero_point: float = AB_ZERO_POINT_NJY,
        quality: QualityConfig | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.layout = resolve_layout(field_paths(schema, limits), quality)
        self._decoder = decoder_for(schema, self.layout.selection, limits)
        self._zero_point = zero_point

    def read(self, data: bytes, start: int = 0, *, whole: bool = True) -> tuple[Alert | Skip, int]:
        """The alert in the packet that begins at byte `start`, and the byte at which the packet ends.

        With `whole`, it must end with the buffer. DataError if it is damaged or has no time.
        """
        cells = self._decoder.decode(data, start, whole=whole)
        return alert_of(cells, self.layout, self._zero_point), cells.end


def read_record(
    record: Mapping[str, Any],
    zero_point: float = AB_ZERO_POINT_NJY,
    quality: QualityConfig | None = None,
) -> Alert | Skip:
    """An alert from dicts and lists with the names of LSST or ZTF; DataError if they are not known.

    `zero_point` is the AB magnitude of a flux of 1 in the record [mag]; `quality` sets measurements aside.
    """
    quality = quality or QualityConfig()
    known = (*KNOWN_PATHS, *_flag_paths(quality.flags))
    layout = resolve_layout((path for path in known if _has(record, path.split("."))), quality)
    return alert_of(cells_of(record, layout.selection), layout, zero_point)


def _known_paths() -> tuple[str, ...]:
    """Every path that a layout may look for."""
    paths = ["diaSource", "candidate", "ssSource.ssObjectId", "ssObject.ssObjectId"]
    paths += [
        path
        for values in (_LSST_VALUES, _CANDIDATE_VALUES)
        for options in values.values()
        for path in options
    ]
    for row, records in (
        (_LSST_ROW, ("diaSource", *_LSST_TABLES)),
        (_CANDIDATE_ROW, ("candidate", *_ZTF_TABLES)),
    ):
        names = [name for options in row.values() for name in options]
        paths += [f"{record}.{name}" for record in records for name in names]
    return tuple(dict.fromkeys(path for path in paths if path))


KNOWN_PATHS = _known_paths()


@lru_cache(maxsize=8)
def _flag_paths(flags: tuple[str, ...]) -> tuple[str, ...]:
    """Every path at which a layout may look for a flag of quality."""
    records = ("diaSource", *_LSST_TABLES, "candidate", *_ZTF_TABLES)
    return tuple(f"{record}.{name}" for record in records for name in flags)


def _has(value: Any, path: list[str]) -> bool:
    """Whether a record has a path, through dicts and any item of a list."""
    for depth, name in enumerate(path):
        if isinstance(value, list):
            return any(_has(item, path[depth:]) for item in value)
        if not isinstance(value, Mapping) or name not in value:
            return False
        value = value[name]
    return True


def alert_of(cells: Cells, layout: Layout, zero_point: float = AB_ZERO_POINT_NJY) -> Alert | Skip:
    """The alert of decoded cells in internal units.

    `zero_point` is the AB magnitude of a flux of 1 [mag]. DataError if the triggering source has
    no time, an id cannot be read exactly, or the zero point of a broker's fluxes is unclear.
    """
    values = _Values(cells, layout)
    alert_id, object_id = values.name("alert_id"), values.name("object_id")
    shifts, scale = _units(values, layout, zero_point)
    mjd = checked_time(values.number("own_time") + shifts[layout.own_clock], alert_id, object_id)
    reason = _skip_reason(values, layout.family, object_id)
    if reason is not None:
        return Skip(reason, alert_id, object_id, mjd)
    *columns, dropped, n_dropped, listed, listed_forced, inexact = observe(
        cells.kind,
        cells.integer,
        cells.number,
        np.frombuffer(cells.data or b"\0", np.uint8),
        _symbol_bands(cells.symbols),
        cells.starts,
        cells.rows,
        cells.widths,
        layout.columns,
        layout.flags,
        layout.detections,
        layout.clocks,
        shifts,
        layout.cuts,
        scale,
        mjd,
    )
    if inexact:
        raise DataError(
            f"alert {alert_id or '?'} of object {object_id or '?'}: {inexact} id(s) of its sources are "
            "floats that hold no exact integer; write them as integers or as text"
        )
    if not len(columns[0]):
        return Skip(SkipReason.NO_MEASUREMENT, alert_id, object_id, mjd)
    redshift, redshift_err = values.redshift()
    return Alert(
        alert_id=alert_id,
        object_id=object_id,
        mjd=mjd,
        observations=Observations.wrap(columns),
        source_id=number_of(values.first("own_source"), "source id"),
        dereddened=is_true(values.first("dereddened")),
        ra=values.within("ra", 0.0, 360.0),
        dec=values.within("dec", -90.0, 90.0),
        ebv=values.within("ebv", 0.0, LARGEST_EBV),
        redshift=redshift,
        redshift_err=redshift_err,
        redshift_spec=values.within("redshift_spec", 0.0, LARGEST),
        n_dropped={REASONS[k]: int(dropped[k]) for k in np.flatnonzero(dropped)} if n_dropped else {},
        listed_from=(listed, listed_forced),
        survey="lsst" if layout.family == "lsst" or layout.own_clock == TAI else "ztf",
        reliability=values.within("score", 0.0, 1.0),
    )


class _Values:
    """Single values of an alert by name: of several candidates, the first that has a value."""

    def __init__(self, cells: Cells, layout: Layout) -> None:
        self._values = cells.scalars()
        self._places = layout.places

    def first(self, name: str) -> Any:
        for place in self._places.get(name, ()):
            if (value := self._values[place]) is not None:
                return value
        return None

    def name(self, name: str) -> str:
        """An identifier; empty if the survey wrote none. DataError if no place has it exactly."""
        refused: DataError | None = None
        for place in self._places.get(name, ()):
            value = self._values[place]
            if type(value) is int and value > 0:
                return str(value)
            try:
                if found := name_of(value, name.replace("_", " ")):
                    return found
            except DataError as error:
                refused = refused or error
        if refused is not None:
            raise refused
        return ""

    def has(self, name: str) -> bool:
        """Whether any place has an identifier or text."""
        for place in self._places.get(name, ()):
            value = self._values[place]
            if value is not None and not is_missing(value):
                return True
        return False

    def number(self, name: str) -> float:
        """The first finite number; NaN if there is none."""
        for place in self._places.get(name, ()):
            value = self._values[place]
            if type(value) is float or type(value) is int:
                value = float(value)
                if math.isfinite(value):
                    return value
        return math.nan

    def within(self, name: str, least: float, most: float) -> float:
        """The first number in a range, else NaN: the surveys write -9 or -999 for unknown."""
        for place in self._places.get(name, ()):
            value = self._values[place]
            if (type(value) is float or type(value) is int) and least <= value <= most:
                return float(value)
        return math.nan

    def redshift(self) -> tuple[float, float]:
        """Photometric redshift and error of the best host; a star beside the source is no host."""
        lines = (self._places.get(name, ()) for name in ("redshift", "redshift_err", "star"))
        for place, place_of_error, place_of_star in zip(*lines, strict=True):
            value = self._number(place)
            if 0.0 <= value <= LARGEST and not self._number(place_of_star) >= 0.5:
                error = self._number(place_of_error)
                return value, error if 0.0 <= error <= LARGEST else math.nan
        return math.nan, math.nan

    def _number(self, place: int) -> float:
        value = self._values[place] if place >= 0 else None
        if type(value) is float:
            return value
        return float(value) if type(value) is int else math.nan


def _skip_reason(values: _Values, family: str, object_id: str) -> SkipReason | None:
    if values.has("asteroid_name") and 0.0 <= values.number("asteroid_arcsec") <= SOLAR_SYSTEM_ARCSEC:
        return SkipReason.SOLAR_SYSTEM
    if is_true(values.first("rock")):
        return SkipReason.SOLAR_SYSTEM
    # a source of LSST may belong to an object and to an asteroid; every one of ZTF has an object
    if values.has("solar_system") and not (family == "lsst" and object_id):
        return SkipReason.SOLAR_SYSTEM
    if not object_id:
        return SkipReason.NO_OBJECT
    if 0.0 < values.number("own_withdrawn") < math.inf:  # Rubin writes null, NaN or 0 for "never"
        return SkipReason.WITHDRAWN
    return None


def _units(values: _Values, layout: Layout, zero_point: float) -> tuple[tuple[float, float, float], float]:
    """Days to add to times of each time system, and nJy per unit of flux."""
    julian = UTC_TO_TAI_DAYS - JD_MINUS_MJD
    if layout.family == "candidate":
        if layout.own_clock == TAI:
            # a source in TAI with a history in Julian dates: its own two times give the difference
            offset = values.number("own_time") - values.number("jd")
            julian = offset if abs(offset + JD_MINUS_MJD) < 1.0 else -JD_MINUS_MJD
        elif math.isfinite(values.number("flux")):
            zero_point = _own_zero_point(values, zero_point)
    scale = 10.0 ** (0.4 * (AB_ZERO_POINT_NJY - zero_point))
    return (0.0, julian, UTC_TO_TAI_DAYS), scale


@lru_cache(maxsize=64)
def _symbol_bands(symbols: tuple[str, ...]) -> NDArray[np.int8]:
    """Band index per enum symbol, -1 for none."""
    return np.array([BAND_SPELLINGS.get(symbol, -1) for symbol in symbols] or [-1], np.int8)


def _own_zero_point(values: _Values, zero_point: float) -> float:
    """Zero point of a broker's fluxes, from a source with both a flux and a magnitude [mag]."""
    flux, magnitude = values.number("flux"), values.number("mag")
    if flux == 0.0 or not magnitude > 0.0:
        return zero_point
    measured = magnitude + 2.5 * math.log10(abs(flux))
    if abs(measured - round(measured, 1)) > 0.02:
        raise DataError(
            f"alert {values.name('alert_id')}: its flux {flux:g} and magnitude {magnitude:g} give a zero "
            f"point of {measured:.3f} mag, which no survey uses"
        )
    return round(measured, 1)
