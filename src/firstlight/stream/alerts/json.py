"""Codecs of alerts as JSON: our own lines, and Lasair's messages."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from firstlight.bands import BANDS, band_index
from firstlight.errors import DataError
from firstlight.stream.alerts.alert import OBJECT_VALUES, Alert, Observations, Skip, SkipReason
from firstlight.stream.alerts.avro import value_of
from firstlight.stream.alerts.layouts import read_record
from firstlight.stream.alerts.write import lsst_object, lsst_sources
from firstlight.stream.io.message import Message

_KEYS = {
    "alert_id",
    "object_id",
    "mjd",
    "source_id",
    "observations",
    "dereddened",
    "n_rejected",
    *OBJECT_VALUES,
}


class JsonLinesCodec:
    r"""Our own format: one JSON object per line, with the observations as columns.

    It holds an alert without loss: any names, redshifts, fluxes to the last bit.

    Examples
    --------
    >>> line = b'{"alert_id": "1", "object_id": "a", "mjd": 60000.0, "observations": {"mjd": [60000.0],' + \
    ...        b' "band": "r", "flux": [100.0], "flux_err": [5.0], "detected": [true], "source_id": [1]}}'
    >>> JsonLinesCodec().decode(line).observations.flux.tolist()
    [100.0]
    """

    def decode(self, message: bytes | Message) -> Alert | Skip:
        """See `AlertCodec.decode`."""
        record = _parse(value_of(message))
        alert_id, object_id = str(record.get("alert_id") or ""), str(record.get("object_id") or "")
        where = f"alert {alert_id or '?'} of object {object_id or '?'}"
        if unknown := sorted(record.keys() - _KEYS):
            # a misspelt key would otherwise pass as a missing value
            raise DataError(f"{where}: unknown key(s) {unknown}")
        try:
            columns = record["observations"]
            with np.errstate(over="ignore"):  # a flux beyond float32 becomes infinite, and is refused below
                observations = Observations(
                    mjd=np.array(columns["mjd"], np.float64),
                    band=band_index(columns["band"]),
                    flux=np.array(columns["flux"], np.float32),
                    flux_err=np.array(columns["flux_err"], np.float32),
                    detected=np.array(columns["detected"], np.bool_),
                    source_id=np.array(columns["source_id"], np.int64),
                ).checked()
            mjd = float(record["mjd"])
            values = {name: _number(record.get(name)) for name in OBJECT_VALUES}
            source_id, n_rejected = int(record.get("source_id") or 0), int(record.get("n_rejected") or 0)
        except KeyError as error:
            raise DataError(f"{where}: {error} is missing") from error
        except (DataError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{where}: {error}") from error
        if not math.isfinite(mjd):
            raise DataError(f"{where}: its time is not finite")
        if not object_id:
            return Skip(SkipReason.NO_OBJECT, alert_id, "", mjd)
        if not len(observations):
            return Skip(SkipReason.NO_MEASUREMENT, alert_id, object_id, mjd)
        return Alert(
            alert_id,
            object_id,
            mjd,
            observations,
            source_id=source_id,
            dereddened=record.get("dereddened") is True,
            n_rejected=n_rejected,
            **values,
        )

    def encode(self, alert: Alert) -> bytes:
        """See `AlertCodec.encode`; the line ends with a newline."""
        observations = alert.observations
        record: dict[str, Any] = {
            "alert_id": alert.alert_id,
            "object_id": alert.object_id,
            "mjd": alert.mjd,
            "source_id": alert.source_id,
            **{name: _or_none(getattr(alert, name)) for name in OBJECT_VALUES},
            "dereddened": alert.dereddened,
            "n_rejected": alert.n_rejected,
            "observations": {
                "mjd": observations.mjd.tolist(),
                "band": "".join(BANDS[band] for band in observations.band),
                "flux": observations.flux.astype(float).tolist(),
                "flux_err": observations.flux_err.astype(float).tolist(),
                "detected": observations.detected.tolist(),
                "source_id": observations.source_id.tolist(),
            },
        }
        return json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"


class LasairCodec:
    """Lasair's messages, of LSST (sources and forced sources) and of ZTF (candidates).

    Topics without light curves give a `Skip` (no-measurement). `encode` writes the LSST form.
    """

    def decode(self, message: bytes | Message) -> Alert | Skip:
        """See `AlertCodec.decode`."""
        record = _parse(value_of(message))
        inner = record.get("alert")
        inner = {**record, **inner} if isinstance(inner, dict) else record
        if "candidates" in inner or "objectId" in inner:
            return _ztf_alert(inner)
        if "diaSourcesList" in inner or "diaObjectId" in inner or "diaObject" in inner:
            return _lsst_alert(inner)
        raise DataError(
            f"not a message of Lasair: its fields are {sorted(record)[:12]}, none of diaObjectId and objectId"
        )

    def encode(self, alert: Alert) -> bytes:
        """See `AlertCodec.encode`."""
        source, previous, forced = lsst_sources(alert)
        record = {
            "diaObjectId": alert.object_id,
            "alertId": alert.alert_id,
            "fluxIsDereddened": alert.dereddened,
            "alert": {
                "diaObject": {"diaObjectId": alert.object_id, **lsst_object(alert)},
                "diaSourcesList": [*previous, source],
                "diaForcedSourcesList": forced,
            },
        }
        return json.dumps(record, allow_nan=False, separators=(",", ":")).encode()


def _lsst_alert(record: dict[str, Any]) -> Alert | Skip:
    sources = _dicts(record.get("diaSourcesList"))
    about = dict_or_empty(record.get("diaObject"))
    object_id = str(record.get("diaObjectId") or about.get("diaObjectId") or "")
    newest = _newest(sources, ("midpointMjdTai", "midPointTai"))
    if newest is None:
        return Skip(SkipReason.NO_MEASUREMENT, str(record.get("alertId") or ""), object_id)
    packet = {
        "alertId": record.get("alertId"),
        "diaSource": {"ssObjectId": None, **newest},
        "prvDiaSources": [source for source in sources if source is not newest],
        "prvDiaForcedSources": _dicts(record.get("diaForcedSourcesList")),
        "diaObject": {**_host(record), **about, "diaObjectId": object_id},
        "fluxIsDereddened": record.get("fluxIsDereddened"),
    }
    return _named(read_record(packet))


def _ztf_alert(record: dict[str, Any]) -> Alert | Skip:
    candidates = _dicts(record.get("candidates"))
    object_id = str(record.get("objectId") or "")
    newest = _newest([entry for entry in candidates if entry.get("magpsf") is not None], ("jd", "mjd"))
    if newest is None:
        return Skip(SkipReason.NO_MEASUREMENT, "", object_id)
    packet = {
        "objectId": object_id,
        "candidate": newest,
        "prv_candidates": [entry for entry in candidates if entry is not newest],
        "fp_hists": _dicts(record.get("forcedphot")),
    }
    return _named(read_record(packet))


def _named(alert: Alert | Skip) -> Alert | Skip:
    """The alert; one whose source has no number is named after its object and time."""
    if alert.alert_id:
        return alert
    return replace(alert, alert_id=f"{alert.object_id}@{alert.mjd:.6f}")


def _host(record: Mapping[str, Any]) -> dict[str, Any]:
    """Redshift and reddening that Lasair adds; Sherlock's redshift only if it finds a galaxy."""
    about, sherlock = (
        dict_or_empty(record.get("diaObject")),
        dict_or_empty(dict_or_empty(record.get("lasairData")).get("sherlock")),
    )
    host = {"mwebv": about["ebv"]} if "ebv" in about else {}
    if sherlock.get("classification") in ("SN", "NT", "AGN"):
        host["hostgal_zphot"] = sherlock.get("photoZ")
        host["hostgal_zphot_err"] = sherlock.get("photoZErr")
        host["hostgal_zspec"] = sherlock.get("z")
    return host


def _newest(entries: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, Any] | None:
    """The entry with the latest time; the last of several."""
    best, latest = None, -math.inf
    for entry in entries:
        time = next((entry[name] for name in names if entry.get(name) is not None), None)
        if isinstance(time, int | float) and time >= latest:
            best, latest = entry, time
    return best


def dict_or_empty(value: Any) -> dict[str, Any]:
    """The value if it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _parse(data: bytes) -> dict[str, Any]:
    """A JSON object; NaN and infinities, which Lasair writes bare, read as null."""
    try:
        record = json.loads(data, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"the JSON is a {type(record).__name__}, not an object")
    return record


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{value!r} is not a number")
    return float(value)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
