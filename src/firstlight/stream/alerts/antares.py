"""Codec of ANTARES' messages: a locus with its light curve, as BSON compressed by zlib.

The light curve is a CSV table with one row per alert, in MJD UTC for ZTF and MJD TAI for LSST. The
sign of a difference flux is a property of the included alert.
"""

import csv
import io
import math
import zlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS
from firstlight.constants import MAG_PER_E_FOLD
from firstlight.errors import DataError, missing_extra
from firstlight.lightcurves.visits import merge
from firstlight.stream.alerts.alert import Alert, Observations, Skip, SkipReason, integer_name
from firstlight.stream.alerts.avro import value_of
from firstlight.stream.alerts.json import dict_or_empty
from firstlight.stream.alerts.layouts import SOLAR_SYSTEM_ARCSEC, UTC_TO_TAI_DAYS
from firstlight.stream.alerts.observe import BAND_SPELLINGS
from firstlight.stream.io.message import Message

MAX_BYTES = 64 << 20  # of an inflated message; a locus has some 100 kB
ZTF_SURVEY, LIMIT_SURVEY, LSST_SURVEY = "1", "2", "4"
_COLUMNS = ("time", "alert_id", "ant_mjd", "ant_survey", "ant_ra", "ant_dec", "ant_passband", "ant_mag",
            "ant_magerr", "ant_maglim")  # fmt: skip


class AntaresCodec:
    """ANTARES' loci, in magnitudes; needs the extra ``antares``.

    Upper limits are not read; `encode` writes non-detections as upper limits.
    """

    def decode(self, message: bytes | Message) -> Alert | Skip:
        """See `AlertCodec.decode`."""
        document = _load(_inflate(value_of(message)))
        locus = dict_or_empty(document.get("data")) or document
        attributes = dict_or_empty(locus.get("attributes")) or locus
        object_id = str(locus.get("id") or attributes.get("locus_id") or "")
        table = attributes.get("lightcurve")
        if not isinstance(table, str):
            raise DataError(f"locus {object_id or '?'} of ANTARES: it has no light curve")
        alerts = _properties(document.get("included"))
        rows = _read_rows(table, object_id)
        detections = [row for row in rows if row["ant_survey"] in (ZTF_SURVEY, LSST_SURVEY)]
        if not detections:
            return Skip(SkipReason.NO_MEASUREMENT, "", object_id)
        newest = max(detections, key=lambda row: (row["mjd"], row["alert_id"]))
        about = alerts.get(newest["alert_id"], {})
        reason = _skip_reason(about, object_id)
        observations, rejected = _observe(detections, alerts)
        if reason is None and not len(observations):
            reason = SkipReason.NO_MEASUREMENT
        if reason is not None:
            return Skip(reason, newest["alert_id"], object_id, newest["mjd"])
        return Alert(
            newest["alert_id"],
            object_id,
            newest["mjd"],
            observations,
            source_id=_number_of(newest["alert_id"]),
            ra=_float(attributes.get("ra")),
            dec=_float(attributes.get("dec")),
            n_rejected=rejected,
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
    return dict(document)


def _inflate(data: bytes) -> bytes:
    engine = zlib.decompressobj()
    try:
        out = engine.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise DataError(f"damaged message of ANTARES: {error}") from error
    if not engine.eof or engine.unused_data:
        raise DataError(
            "damaged message of ANTARES: it is cut short, larger than 64 MiB, or longer than its content"
        )
    return out


def _read_rows(table: str, object_id: str) -> list[dict[str, Any]]:
    """Rows of the light curve with their time in MJD TAI, without the rows that have none."""
    reader = csv.DictReader(io.StringIO(table))
    missing = {"alert_id", "ant_mjd", "ant_survey", "ant_passband", "ant_mag", "ant_magerr"} - set(
        reader.fieldnames or ()
    )
    if missing:
        raise DataError(
            f"locus {object_id or '?'} of ANTARES: its light curve lacks the columns {sorted(missing)}"
        )
    rows = []
    try:
        for row in reader:
            mjd = _float(row["ant_mjd"])
            survey = (row["ant_survey"] or "").removesuffix(".0")
            shift = UTC_TO_TAI_DAYS if survey == ZTF_SURVEY else 0.0
            if math.isfinite(mjd):
                rows.append(
                    {**row, "alert_id": row["alert_id"] or "", "ant_survey": survey, "mjd": mjd + shift}
                )
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


def _observe(rows: list[dict[str, Any]], alerts: Mapping[str, Mapping[str, Any]]) -> tuple[Observations, int]:
    """Observations of the detections, and the number of rows that were not usable."""
    columns: list[tuple[float, int, float, float, int]] = []
    for row in rows:
        band = BAND_SPELLINGS.get(row["ant_passband"] or "", -1)
        about = alerts.get(row["alert_id"], {})
        flux = 10.0 ** (0.4 * (AB_ZERO_POINT_NJY - _float(row["ant_mag"])))
        flux_err = flux * _float(row["ant_magerr"]) / MAG_PER_E_FOLD
        if _is_negative(about):
            flux = -flux
        exact = _float(about.get("lsst_diaSource_psfFlux")), _float(about.get("lsst_diaSource_psfFluxErr"))
        if math.isfinite(exact[0]) and exact[1] > 0:
            flux, flux_err = exact
        with np.errstate(over="ignore", under="ignore"):
            small = np.float32(flux), np.float32(flux_err)
        if band >= 0 and np.isfinite(small).all() and small[1] > 0:
            columns.append((row["mjd"], band, flux, flux_err, _number_of(row["alert_id"])))
    table = np.array(columns, np.float64).reshape(-1, 5)
    numbers = np.array([entry[4] for entry in columns], np.int64)
    nothing = np.zeros(len(columns), np.int64)
    *merged, _, dropped = merge(
        table[:, 0].copy(),
        table[:, 1].astype(np.int8),
        table[:, 2].copy(),
        table[:, 3].copy(),
        np.ones(len(columns), np.bool_),
        numbers,
        nothing,
        np.zeros(len(columns)),
    )
    return Observations.wrap(merged), len(rows) - len(columns) + int(dropped)


def _is_negative(about: Mapping[str, Any]) -> bool:
    """Whether an alert's properties give it a negative difference flux."""
    negative = str(about.get("lsst_diaSource_isNegative", "")).lower() in ("true", "1", "t")
    return negative or str(about.get("ztf_isdiffpos", about.get("isdiffpos", ""))).lower() in (
        "f",
        "0",
        "false",
    )


def _skip_reason(about: Mapping[str, Any], object_id: str) -> SkipReason | None:
    name = about.get("ztf_ssnamenr")
    near = 0.0 <= _float(about.get("ztf_ssdistnr")) <= SOLAR_SYSTEM_ARCSEC
    if (name not in (None, "", "null") and near) or about.get("lsst_diaSource_ssObjectId") not in (
        None,
        0,
        "",
        "0",
    ):
        return SkipReason.SOLAR_SYSTEM
    return None if object_id else SkipReason.NO_OBJECT


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _number_of(name: str) -> int:
    """The number in a name such as ``ztf_candidate:1234``; 0 where there is none."""
    return integer_name(name.rpartition(":")[2]) or 0
