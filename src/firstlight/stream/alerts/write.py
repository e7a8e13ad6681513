"""Avro schemas that firstlight writes, and alerts as their records.

Both are minimal: LSST's and ZTF's field names, ELAsTiCC's host columns and ``fluxIsDereddened``.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS
from firstlight.constants import JD_MINUS_MJD, MAG_PER_E_FOLD, UTC_TO_TAI_DAYS
from firstlight.errors import DataError
from firstlight.stream.alerts.alert import Alert, Observations
from firstlight.stream.alerts.values import integer_name

#: Number under which our LSST-like schema travels in Confluent framing.
LSST_SCHEMA_ID = 900_001

_ZTF_BANDS = {1: 1, 2: 2, 3: 3}  # band index: ZTF filter number


def _record(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "fields": [
            {"name": field, "type": kind} | ({"default": None} if isinstance(kind, list) else {})
            for field, kind in fields.items()
        ],
    }


def _or_null(kind: Any) -> list[Any]:
    return ["null", kind]


_FLOAT, _DOUBLE, _LONG, _STRING = _or_null("float"), _or_null("double"), _or_null("long"), _or_null("string")

_DIA_SOURCE = _record(
    "diaSource",
    diaSourceId="long",
    visit="long",
    detector="int",
    diaObjectId=_LONG,
    ssObjectId=_LONG,
    midpointMjdTai="double",
    ra="double",
    dec="double",
    psfFlux=_FLOAT,
    psfFluxErr=_FLOAT,
    snr=_FLOAT,
    band=_STRING,
    timeWithdrawnMjdTai=_DOUBLE,
)
_FORCED_SOURCE = _record(
    "diaForcedSource",
    diaForcedSourceId="long",
    diaObjectId="long",
    visit="long",
    detector="int",
    midpointMjdTai="double",
    psfFlux=_FLOAT,
    psfFluxErr=_FLOAT,
    band=_STRING,
    timeWithdrawnMjdTai=_DOUBLE,
)
_DIA_OBJECT = _record(
    "diaObject",
    diaObjectId="long",
    ra=_DOUBLE,
    dec=_DOUBLE,
    mwebv=_FLOAT,
    hostgal_zphot=_FLOAT,
    hostgal_zphot_err=_FLOAT,
    hostgal_zspec=_FLOAT,
)
#: LSST-like: nJy, MJD TAI, previous sources and forced photometry, cutouts as bytes.
LSST_SCHEMA: dict[str, Any] = _record(
    "alert",
    diaSourceId="long",
    diaSource=_DIA_SOURCE,
    prvDiaSources=_or_null({"type": "array", "items": "diaSource"}),
    prvDiaForcedSources=_or_null({"type": "array", "items": _FORCED_SOURCE}),
    diaObject=_or_null(_DIA_OBJECT),
    fluxIsDereddened=_or_null("boolean"),
    cutoutDifference=_or_null("bytes"),
    cutoutScience=_or_null("bytes"),
    cutoutTemplate=_or_null("bytes"),
) | {"namespace": "firstlight.lsst", "doc": "LSST's names, as far as a light curve needs them"}

#: ZTF-like: magnitudes, Julian dates in UTC, forced photometry as flux with a zero point.
ZTF_SCHEMA: dict[str, Any] = _record(
    "alert",
    objectId="string",
    candid="long",
    candidate=_record(
        "candidate",
        candid="long",
        jd="double",
        fid="int",
        magpsf="float",
        sigmapsf="float",
        isdiffpos="string",
        ra="double",
        dec="double",
        ssdistnr=_FLOAT,
        ssnamenr=_STRING,
    ),
    prv_candidates=_or_null(
        {
            "type": "array",
            "items": _record(
                "prv_candidate",
                candid=_LONG,
                jd="double",
                fid="int",
                magpsf=_FLOAT,
                sigmapsf=_FLOAT,
                isdiffpos=_STRING,
            ),
        }
    ),
    fp_hists=_or_null(
        {
            "type": "array",
            "items": _record(
                "fp_hist",
                jd="double",
                fid="int",
                forcediffimflux=_FLOAT,
                forcediffimfluxunc=_FLOAT,
                magzpsci=_FLOAT,
                procstatus=_STRING,
            ),
        }
    ),
    fluxIsDereddened=_or_null("boolean"),
) | {"namespace": "firstlight.ztf", "doc": "ZTF's names, as far as a light curve needs them"}


def own_row(alert: Alert) -> int:
    """Row of the detection that triggered the alert, by its number or else its time; -1 if none did."""
    observations = alert.observations
    at_its_time = observations.mjd == alert.mjd
    named = np.flatnonzero(at_its_time & (observations.source_id == alert.source_id))
    if alert.source_id and len(named) and not observations.detected[named].any():
        return -1  # forced photometry triggered it, not the detection at the same time
    rows = np.flatnonzero(at_its_time & observations.detected)
    named = named[observations.detected[named]]
    return int(named[-1] if len(named) else rows[-1] if len(rows) else -1)


def lsst_record(alert: Alert, cutout: bytes = b"") -> dict[str, Any]:
    """A record of `LSST_SCHEMA` for fastavro; DataError if a name is not a 64-bit integer.

    `cutout` goes into the science cutout; the source is that of `lsst_sources`.
    """
    object_number, alert_number = _integer(alert.object_id, "object"), _integer(alert.alert_id, "alert")
    source, previous, forced = lsst_sources(alert)
    shared = {"visit": 0, "detector": 0, "diaObjectId": object_number}
    for entry in (source, *previous):
        entry |= shared | {"ra": alert.ra, "dec": alert.dec}
    for entry in forced:
        entry |= shared
    return {
        "diaSourceId": alert_number,
        "diaSource": source | {"diaSourceId": alert.source_id or alert_number},
        "prvDiaSources": previous,
        "prvDiaForcedSources": forced,
        "diaObject": {"diaObjectId": object_number, **lsst_object(alert)},
        "fluxIsDereddened": alert.dereddened,
        "cutoutScience": cutout or None,
    }


def lsst_object(alert: Alert) -> dict[str, float | None]:
    """Position, reddening and host of an alert under LSST's and ELAsTiCC's names."""
    values = {
        "ra": alert.ra,
        "dec": alert.dec,
        "mwebv": alert.ebv,
        "hostgal_zphot": alert.redshift,
        "hostgal_zphot_err": alert.redshift_err,
        "hostgal_zspec": alert.redshift_spec,
    }
    return {name: None if math.isnan(value) else float(value) for name, value in values.items()}


def lsst_sources(alert: Alert) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """The triggering source, previous detections and forced photometry under LSST's names.

    The source has a time and neither band nor flux if no detection triggered the alert.
    """
    observations, own = alert.observations, own_row(alert)
    source: dict[str, Any] = {"diaSourceId": alert.source_id, "midpointMjdTai": alert.mjd}
    previous, forced = [], []
    for row, (number, entry) in enumerate(_rows(observations)):
        if not observations.detected[row]:
            forced.append({"diaForcedSourceId": number, **entry})
        elif row == own:
            source = {"diaSourceId": number, **entry}
        else:
            previous.append({"diaSourceId": number, **entry})
    return source, previous, forced


def _rows(observations: Observations) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and values of each observation under LSST's names."""
    columns = (
        observations.mjd.tolist(),
        [BANDS[band] for band in observations.band],
        observations.flux.astype(float).tolist(),
        observations.flux_err.astype(float).tolist(),
    )
    names = ("midpointMjdTai", "band", "psfFlux", "psfFluxErr")
    for number, *values in zip(observations.source_id.tolist(), *columns, strict=True):
        yield number, dict(zip(names, values, strict=True))


def ztf_record(alert: Alert) -> dict[str, Any]:
    """A record of `ZTF_SCHEMA` for fastavro: detections as magnitudes, the rest as forced photometry.

    DataError if a band is none of g, r, i, a detection has no flux, or no detection triggered the alert.
    """
    own = own_row(alert)
    if own < 0:
        raise DataError(
            f"alert {alert.alert_id}: no detection triggered it, and ZTF's format has no other alerts"
        )
    observations = alert.observations
    candidates, forced = [], []
    for row in range(len(observations)):
        band, flux = int(observations.band[row]), float(observations.flux[row])
        if band not in _ZTF_BANDS:
            raise DataError(f"alert {alert.alert_id}: ZTF has no band {BANDS[band]}; it has g, r and i")
        jd = float(observations.mjd[row]) + JD_MINUS_MJD - UTC_TO_TAI_DAYS
        entry: dict[str, Any] = {"jd": jd, "fid": _ZTF_BANDS[band]}
        if observations.detected[row]:
            if flux == 0.0:
                raise DataError(f"alert {alert.alert_id}: a detection of flux 0 has no magnitude")
            entry |= _magnitude(flux, float(observations.flux_err[row]))
            entry["candid"] = int(observations.source_id[row])
            candidates.append(entry)
        else:
            error = float(observations.flux_err[row])
            entry |= {"forcediffimflux": flux, "forcediffimfluxunc": error}
            forced.append(entry | {"magzpsci": AB_ZERO_POINT_NJY, "procstatus": "0"})
    number = _integer(alert.alert_id, "alert")
    main = candidates.pop(int(np.count_nonzero(observations.detected[:own])))
    position = {"ra": alert.ra, "dec": alert.dec, "ssdistnr": -999.0, "ssnamenr": None}
    return {
        "objectId": alert.object_id,
        "candid": number,
        "candidate": main | position | {"candid": alert.source_id or number},
        "prv_candidates": candidates,
        "fp_hists": forced,
        "fluxIsDereddened": alert.dereddened,
    }


def _magnitude(flux: float, flux_err: float) -> Mapping[str, Any]:
    return {
        "magpsf": AB_ZERO_POINT_NJY - 2.5 * math.log10(abs(flux)),
        "sigmapsf": MAG_PER_E_FOLD * flux_err / abs(flux),
        "isdiffpos": "t" if flux > 0 else "f",
    }


def _integer(name: str, what: str) -> int:
    """The name as the 64-bit integer that LSST's and ZTF's formats need."""
    if (number := integer_name(name)) is not None:
        return number
    raise DataError(
        f"the {what} {name!r} has no integer name, which this format needs; JSON lines hold any name"
    )
