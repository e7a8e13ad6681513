"""Codecs of alerts as JSON: our own lines, and Lasair's messages."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from firstlight.bands import BANDS
from firstlight.constants import JD_MINUS_MJD
from firstlight.errors import DataError
from firstlight.lightcurves.visits import SAME_VISIT_DAYS
from firstlight.stream.alerts.alert import COLUMN_TYPES, OBJECT_VALUES, Alert, Observations, Skip, SkipReason
from firstlight.stream.alerts.avro import value_of
from firstlight.stream.alerts.layouts import read_record
from firstlight.stream.alerts.observe import BAND_SPELLINGS
from firstlight.stream.alerts.values import (
    AFTER_ALERT_DAYS,
    EARLIEST_MJD,
    LATEST_MJD,
    checked_name,
    checked_time,
    is_missing,
    is_true,
    name_of,
    number_of,
    object_values,
)
from firstlight.stream.alerts.write import lsst_object, lsst_sources
from firstlight.stream.io.message import Message
from firstlight.stream.limits import DEFAULT_LIMITS, Limits, size_text
from firstlight.stream.quality import QualityConfig

_KEYS = {
    "alert_id",
    "object_id",
    "mjd",
    "source_id",
    "observations",
    "dereddened",
    "n_rejected",  # the sum of `n_dropped`
    "n_dropped",
    "listed_from",
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

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits

    def decode(self, message: bytes | Message) -> Alert | Skip:
        """See `AlertCodec.decode`."""
        record = _parse(value_of(message), self._limits)
        alert_id, object_id = (
            _own_name(record.get(f"{what}_id"), f"{what} id") for what in ("alert", "object")
        )
        where = f"alert {alert_id or '?'} of object {object_id or '?'}"
        if unknown := sorted(record.keys() - _KEYS):
            # a misspelt key would otherwise pass as a missing value
            raise DataError(f"{where}: unknown key(s) {unknown}")
        mjd = checked_time(_number(record.get("mjd")), alert_id, object_id)
        try:
            observations, dropped = _observations(record["observations"], mjd)
            values = object_values(**{name: _number(record.get(name)) for name in OBJECT_VALUES})
            source_id = number_of(record.get("source_id"), "source id")
            n_dropped = _counts(record, dropped)
            listed = record.get("listed_from") or (None, None)
            detections, forced = (math.inf if since is None else float(since) for since in listed)
        except KeyError as error:
            raise DataError(f"{where}: {error} is missing") from error
        except (DataError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{where}: {error}") from error
        if not object_id:
            return Skip(SkipReason.NO_OBJECT, alert_id, "", mjd)
        if not len(observations) and dropped:
            raise DataError(f"{where}: none of its observations is usable, for want of {', '.join(dropped)}")
        if not len(observations):
            return Skip(SkipReason.NO_MEASUREMENT, alert_id, object_id, mjd)
        return Alert(
            alert_id,
            object_id,
            mjd,
            observations,
            source_id=source_id,
            dereddened=is_true(record.get("dereddened")),
            n_dropped=n_dropped,
            listed_from=(detections, forced),
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
        if alert.n_dropped:
            record["n_dropped"] = dict(alert.n_dropped)
        if min(alert.listed_from) < math.inf:
            record["listed_from"] = [None if since == math.inf else since for since in alert.listed_from]
        return json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"


class LasairCodec:
    """Lasair's messages, of LSST (sources and forced sources) and of ZTF (candidates).

    Topics without light curves give a `Skip` (no-measurement). `encode` writes the LSST form; `quality`
    sets measurements aside.
    """

    def __init__(self, quality: QualityConfig | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._quality = quality
        self._limits = limits

    def decode(self, message: bytes | Message) -> Alert | Skip:
        """See `AlertCodec.decode`."""
        record = _parse(value_of(message), self._limits)
        inner = record.get("alert")
        inner = {**record, **inner} if isinstance(inner, dict) else record
        if "candidates" in inner or "objectId" in inner:
            return _ztf_alert(inner, self._quality)
        if "diaSourcesList" in inner or "diaObjectId" in inner or "diaObject" in inner:
            return _lsst_alert(inner, self._quality)
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


def _lsst_alert(record: dict[str, Any], quality: QualityConfig | None) -> Alert | Skip:
    sources = _dicts(record.get("diaSourcesList"))
    about = dict_or_empty(record.get("diaObject"))
    object_id = _first_name((record.get("diaObjectId"), about.get("diaObjectId")), "object id")
    newest = _newest(sources, {"midpointMjdTai": 0.0, "midPointTai": 0.0})
    if newest is None:
        return Skip(SkipReason.NO_MEASUREMENT, _first_name((record.get("alertId"),), "alert id"), object_id)
    packet = {
        "alertId": record.get("alertId"),
        "diaSource": {"ssObjectId": None, **newest},
        "prvDiaSources": [source for source in sources if source is not newest],
        "prvDiaForcedSources": _dicts(record.get("diaForcedSourcesList")),
        "diaObject": {**_host(record), **about, "diaObjectId": object_id},
        "fluxIsDereddened": record.get("fluxIsDereddened"),
    }
    return _named(read_record(packet, quality=quality))


def _ztf_alert(record: dict[str, Any], quality: QualityConfig | None) -> Alert | Skip:
    candidates = _dicts(record.get("candidates"))
    object_id = _first_name((record.get("objectId"),), "object id")
    detections = [entry for entry in candidates if not is_missing(entry.get("magpsf"))]
    newest = _newest(detections, {"jd": JD_MINUS_MJD, "mjd": 0.0})
    if newest is None:
        return Skip(SkipReason.NO_MEASUREMENT, "", object_id)
    packet = {
        "objectId": object_id,
        "candidate": newest,
        "prv_candidates": [entry for entry in candidates if entry is not newest],
        "fp_hists": _dicts(record.get("forcedphot")),
    }
    return _named(read_record(packet, quality=quality))


def _first_name(values: Iterable[Any], what: str) -> str:
    """The first of some foreign names that is there; empty if none is."""
    return next((name for value in values if (name := name_of(value, what))), "")


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


def _newest(entries: list[dict[str, Any]], clocks: Mapping[str, float]) -> dict[str, Any] | None:
    """The entry with the latest time, the last of several; of its fields of time, the first that has one.

    `clocks` are the days by which each field exceeds MJD.
    """
    best, latest = None, EARLIEST_MJD
    for entry in entries:
        times = (_float(entry.get(name)) - behind for name, behind in clocks.items())
        time = next((mjd for mjd in times if EARLIEST_MJD < mjd < LATEST_MJD), math.nan)
        if time >= latest:
            best, latest = entry, time
    return best


def _float(value: Any) -> float:
    return float(value) if type(value) in (int, float) and abs(value) < 1e300 else math.nan


def dict_or_empty(value: Any) -> dict[str, Any]:
    """The value if it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _parse(data: bytes, limits: Limits) -> dict[str, Any]:
    """A JSON object; NaN and infinities, which Lasair writes bare, read as null."""
    if len(data) > limits.message_bytes:
        raise DataError(f"a JSON message of {len(data):,} bytes, more than {size_text(limits.message_bytes)}")
    try:
        record = json.loads(data, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"the JSON is a {type(record).__name__}, not an object")
    return record


def _own_name(value: Any, what: str) -> str:
    """A name of our own format, where any text is one."""
    return checked_name(value, what) if isinstance(value, str) else name_of(value, what)


def _observations(columns: Mapping[str, Any], alert_mjd: float) -> tuple[Observations, dict[str, int]]:
    """The usable rows of our own columns, and the others by reason."""
    bands = np.array([_band(name) for name in columns["band"]], np.int8)
    with np.errstate(over="ignore"):  # a flux beyond float32 becomes infinite, and its row is set aside
        observations = Observations(
            mjd=np.array(columns["mjd"], np.float64),
            band=bands,
            flux=np.array(columns["flux"], np.float32),
            flux_err=np.array(columns["flux_err"], np.float32),
            detected=np.array([is_true(value) for value in columns["detected"]], np.bool_),
            source_id=np.array([number_of(value, "source id") for value in columns["source_id"]], np.int64),
        )
    lengths = {name: getattr(observations, name).shape for name in COLUMN_TYPES}
    if len(set(lengths.values())) > 1:
        raise DataError(f"columns of observations differ in length: {lengths}")
    mjd, flux, flux_err = observations.mjd, observations.flux, observations.flux_err
    bad = {
        "time": ~((mjd > EARLIEST_MJD) & (mjd < LATEST_MJD)),
        "future": mjd > alert_mjd + AFTER_ALERT_DAYS,
        "band": bands < 0,
        "flux": ~(np.isfinite(flux) & np.isfinite(flux_err) & (flux_err > 0)),
    }
    keep, dropped = np.ones(len(mjd), np.bool_), {}
    for reason, is_bad in bad.items():
        if n := int(np.count_nonzero(keep & is_bad)):
            dropped[reason] = n
        keep &= ~is_bad
    kept = (getattr(observations, name)[keep] for name in COLUMN_TYPES)
    usable = Observations(*kept).checked()
    if (np.diff(usable.mjd) <= SAME_VISIT_DAYS).any():  # other writers may list a visit twice
        usable = Observations.joined([usable], [alert_mjd])
    return usable, dropped


def _band(name: Any) -> int:
    return BAND_SPELLINGS.get(name.strip(), -1) if isinstance(name, str) else -1


def _counts(record: Mapping[str, Any], dropped: Mapping[str, int]) -> dict[str, int]:
    """Rows set aside before the alert was written, and now."""
    stated = record.get("n_dropped")
    if stated is None:
        stated = {"unknown": record.get("n_rejected")}
    counts = Counter({str(reason): int(n or 0) for reason, n in stated.items()})
    return dict(+(counts + Counter(dropped)))


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{str(value)[:40]!r} is not a number")
    if isinstance(value, int) and value.bit_length() > 64:
        raise DataError(f"an integer of {value.bit_length():,} bits, more than 64")
    return float(value)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
