"""Codec of ANTARES' messages: a locus with its light curve, as BSON compressed by zlib.

The light curve is a CSV table with one row per alert, in MJD UTC for ZTF and MJD TAI for LSST. The
sign of a difference flux is a property of the included alert.
"""

import csv
import io
import math
import zlib
from collections import Counter
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS
from firstlight.constants import MAG_PER_E_FOLD, UTC_TO_TAI_DAYS
from firstlight.errors import DataError, missing_extra
from firstlight.lightcurves.visits import merge
from firstlight.stream.alerts.alert import Alert, Observations, Skip, SkipReason
from firstlight.stream.alerts.avro import value_of
from firstlight.stream.alerts.json import dict_or_empty
from firstlight.stream.alerts.layouts import SOLAR_SYSTEM_ARCSEC
from firstlight.stream.alerts.observe import BAND_SPELLINGS
from firstlight.stream.alerts.values import (
    EARLIEST_MJD,
    LATEST_MJD,
    checked_time,
    integer_name,
    is_missing,
    is_true,
    name_of,
    object_values,
)
from firstlight.stream.io.message import Message
from firstlight.stream.limits import DEFAULT_LIMITS, Limits, size_text
from firstlight.stream.quality import QualityConfig
from firstlight.text import number_in

ZTF_SURVEY, LIMIT_SURVEY, LSST_SURVEY = "1", "2", "4"
_COLUMNS = ("time", "alert_id", "ant_mjd", "ant_survey", "ant_ra", "ant_dec", "ant_passband", "ant_mag",
            "ant_magerr", "ant_maglim")  # fmt: skip


class AntaresCodec:
    """ANTARES' loci, in magnitudes; needs the extra ``antares``.

    Upper limits are not read; `encode` writes non-detections as upper limits; `quality` sets measurements
    aside.
    """

    def __init__(self, quality: QualityConfig | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._quality = quality or QualityConfig()
        self._limits = limits

    def decode(self, message: bytes | Message) -> Alert | Skip:
        """See `AlertCodec.decode`."""
        document = _load(_inflate(value_of(message), self._limits.message_bytes))
        locus = dict_or_empty(document.get("data")) or document
        attributes = dict_or_empty(locus.get("attributes")) or locus
        object_id = name_of(locus.get("id"), "locus id") or name_of(attributes.get("locus_id"), "locus id")
        table = attributes.get("lightcurve")
        if not isinstance(table, str):
            raise DataError(f"locus {object_id or '?'} of ANTARES: it has no light curve")
        alerts = _properties(document.get("included"))
        rows = _read_rows(table, object_id, self._limits.table_rows)
        listed = [row for row in rows if row["ant_survey"] in (ZTF_SURVEY, LSST_SURVEY)]
        detections = [row for row in listed if EARLIEST_MJD < row["mjd"] < LATEST_MJD]
        if not detections:
            return Skip(SkipReason.NO_MEASUREMENT, "", object_id)
        newest = max(detections, key=lambda row: (row["mjd"], row["alert_id"]))
        alert_id = name_of(newest["alert_id"], "alert id")
        mjd = checked_time(newest["mjd"], alert_id, object_id)
        reason = _skip_reason(alerts.get(alert_id, {}), object_id)
        observations, dropped = _observe(detections, alerts, self._quality)
        if reason is None and not len(observations):
            reason = SkipReason.NO_MEASUREMENT
        if reason is not None:
            return Skip(reason, alert_id, object_id, mjd)
        return Alert(
            alert_id,
            object_id,
            mjd,
            observations,
            source_id=_number_of(alert_id),
            dereddened=False,
            n_dropped=dropped | ({"time": untimed} if (untimed := len(listed) - len(detections)) else {}),
            listed_from=(min(row["mjd"] for row in detections), math.inf),
            **object_values(
                ra=_float(attributes.get("ra")),
                dec=_float(attributes.get("dec")),
            ),
        )

    def encode(self, alert: Alert) -> bytes:
        """See `AlertCodec.encode`; DataError for a detection of flux 0, which has no magnitude."""
        out = io.StringIO()
        writer = csv.DictWriter(out, _COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        included = []
        o = alert.observations
        for mjd, band, flux, flux_err, detected, number in zip(
            o.mjd.tolist(),
            o.band,
            o.flux.astype(float),
            o.flux_err.astype(float),
            o.detected,
            o.source_id,
            strict=True,
        ):
            name = f"lsst:{number}"
            row: dict[str, Any] = {"alert_id": name, "ant_mjd": repr(mjd), "ant_passband": BANDS[band]}
            limit = AB_ZERO_POINT_NJY - 2.5 * math.log10(5.0 * flux_err)
            if not detected:
                writer.writerow(row | {"ant_survey": LIMIT_SURVEY, "ant_maglim": repr(float(limit))})
                continue
            if flux == 0.0:
                raise DataError(f"alert {alert.alert_id}: a detection of flux 0 has no magnitude")
            row["ant_mag"] = repr(float(AB_ZERO_POINT_NJY - 2.5 * math.log10(abs(flux))))
            row["ant_magerr"] = repr(float(MAG_PER_E_FOLD * flux_err / abs(flux)))
            writer.writerow(row | {"ant_survey": LSST_SURVEY, "ant_maglim": repr(float(limit))})
            properties = {"lsst_diaSource_isNegative": bool(flux < 0)}
            included.append(
                {"type": "alert", "id": name, "attributes": {"mjd": mjd, "properties": properties}}
            )
        position = {
            key: value for key, value in (("ra", alert.ra), ("dec", alert.dec)) if not math.isnan(value)
        }
        locus = {
            "type": "locus",
            "id": alert.object_id,
            "attributes": {**position, "lightcurve": out.getvalue()},
        }
        return zlib.compress(bson_module().encode({"data": locus, "included": included}))


def bson_module() -> ModuleType:
    """Import pymongo's bson; MissingExtraError if it is not installed."""
    try:
        import bson
        from bson.codec_options import CodecOptions  # noqa: F401  # another package of this name lacks it
    except ImportError as error:
        raise missing_extra("ANTARES' format (BSON)", "pymongo", "antares") from error
    module: ModuleType = bson
    return module


def _load(data: bytes) -> dict[str, Any]:
    bson = bson_module()
    milliseconds = bson.codec_options.DatetimeConversion.DATETIME_MS  # holds any date
    try:
        document = bson.decode(data, bson.codec_options.CodecOptions(datetime_conversion=milliseconds))
    except bson.errors.BSONError as error:
        raise DataError(f"damaged BSON in a message of ANTARES: {error}") from error
    except RecursionError as error:
        raise DataError("damaged BSON in a message of ANTARES: nested too deep") from error
    return dict(document)


def _inflate(data: bytes, limit: int) -> bytes:
    engine = zlib.decompressobj()
    try:
        out = engine.decompress(data, limit)
    except zlib.error as error:
        raise DataError(f"damaged message of ANTARES: {error}") from error
    if not engine.eof or engine.unused_data:
        raise DataError(
            f"damaged message of ANTARES: it is cut short, larger than {size_text(limit)}, or longer than "
            "its content"
        )
    return out


def _read_rows(table: str, object_id: str, limit: int) -> list[dict[str, Any]]:
    """Rows of the light curve with their time in MJD TAI, NaN for none."""
    reader = csv.DictReader(io.StringIO(table))
    missing = {"alert_id", "ant_mjd", "ant_survey", "ant_passband", "ant_mag", "ant_magerr"} - set(
        reader.fieldnames or ()
    )
    if missing:
        raise DataError(
            f"locus {object_id or '?'} of ANTARES: its light curve lacks the columns {sorted(missing)}"
        )
    rows: list[dict[str, Any]] = []
    try:
        for row in reader:
            mjd = _float(row["ant_mjd"])
            survey = (row["ant_survey"] or "").removesuffix(".0")
            shift = UTC_TO_TAI_DAYS if survey == ZTF_SURVEY else 0.0
            if len(rows) >= limit:
                raise DataError(f"locus {object_id or '?'} of ANTARES: more than {limit:,} rows")
            rows.append({**row, "alert_id": row["alert_id"] or "", "ant_survey": survey, "mjd": mjd + shift})
    except csv.Error as error:
        raise DataError(
            f"locus {object_id or '?'} of ANTARES: its light curve is not CSV: {error}"
        ) from error
    return rows


def _properties(included: Any) -> dict[str, Mapping[str, Any]]:
    """Properties of the included alerts, by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for item in included if isinstance(included, list) else ():
        entry = dict_or_empty(item)
        found[str(entry.get("id"))] = dict_or_empty(dict_or_empty(entry.get("attributes")).get("properties"))
    return found


def _observe(
    rows: list[dict[str, Any]], alerts: Mapping[str, Mapping[str, Any]], quality: QualityConfig
) -> tuple[Observations, dict[str, int]]:
    """Observations of the detections, and the number of rows set aside by reason."""
    columns: list[tuple[float, int, float, float, int]] = []
    dropped: Counter[str] = Counter()
    for row in rows:
        band = BAND_SPELLINGS.get((row["ant_passband"] or "").strip(), -1)
        about = alerts.get(row["alert_id"], {})
        magnitude = _float(row["ant_mag"])
        flux = 10.0 ** (0.4 * (AB_ZERO_POINT_NJY - magnitude)) if 0.0 < magnitude < 99.0 else math.nan
        flux_err = flux * _float(row["ant_magerr"]) / MAG_PER_E_FOLD
        if _is_negative(about):
            flux = -flux
        exact = _float(about.get("lsst_diaSource_psfFlux")), _float(about.get("lsst_diaSource_psfFluxErr"))
        if math.isfinite(exact[0]) and exact[1] > 0:
            flux, flux_err = exact
        with np.errstate(over="ignore", under="ignore"):
            small = np.float32(flux), np.float32(flux_err)
        reason = "band" if band < 0 else _bad_quality(about, quality)
        if not reason and not (np.isfinite(small).all() and small[1] > 0):
            reason = "flux"
        if reason:
            dropped[reason] += 1
        else:
            columns.append((row["mjd"], band, flux, flux_err, _number_of(row["alert_id"])))
    table = np.array(columns, np.float64).reshape(-1, 5)
    numbers = np.array([entry[4] for entry in columns], np.int64)
    *merged, _, no_flux = merge(
        table[:, 0].copy(),
        table[:, 1].astype(np.int8),
        table[:, 2].copy(),
        table[:, 3].copy(),
        np.ones(len(columns), np.bool_),
        numbers,
        np.zeros(len(columns)),
    )
    dropped["flux"] += int(no_flux)
    return Observations.wrap(merged), dict(+dropped)


def _bad_quality(about: Mapping[str, Any], quality: QualityConfig) -> str:
    """Why the survey's own quality sets a row aside; empty if it does not."""
    if 0.0 < _float(about.get("lsst_diaSource_timeWithdrawnMjdTai")) < math.inf:
        return "withdrawn"
    if any(is_true(about.get(f"lsst_diaSource_{flag}")) for flag in quality.flags):
        return "flag"
    names = ("lsst_diaSource_reliability", "ztf_rb", "ztf_drb")
    for name, least in zip(names, quality.cuts[:3].tolist(), strict=True):
        if 0.0 <= _float(about.get(name)) < least:
            return name.rpartition("_")[2]
    if _float(about.get("ztf_nbad")) > quality.cuts[3]:
        return "nbad"
    return "negative" if not quality.negative and is_true(about.get("lsst_diaSource_isNegative")) else ""


def _is_negative(about: Mapping[str, Any]) -> bool:
    """Whether an alert's properties give it a negative difference flux."""
    negative = str(about.get("lsst_diaSource_isNegative", "")).lower() in ("true", "1", "t")
    return negative or str(about.get("ztf_isdiffpos", about.get("isdiffpos", ""))).lower() in (
        "f",
        "0",
        "false",
    )


def _skip_reason(about: Mapping[str, Any], object_id: str) -> SkipReason | None:
    near = 0.0 <= _float(about.get("ztf_ssdistnr")) <= SOLAR_SYSTEM_ARCSEC
    if not is_missing(about.get("ztf_ssnamenr")) and near:
        return SkipReason.SOLAR_SYSTEM
    if not object_id:
        solar_system = not is_missing(about.get("lsst_diaSource_ssObjectId"))
        return SkipReason.SOLAR_SYSTEM if solar_system else SkipReason.NO_OBJECT
    return None


def _float(value: Any) -> float:
    try:
        return number_in(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _number_of(name: str) -> int:
    """The number in a name such as ``ztf_candidate:1234``; 0 where there is none."""
    return integer_name(name.rpartition(":")[2]) or 0
