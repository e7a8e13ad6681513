"""JSON lines of our own, and Lasair's messages."""

import json
import math
from typing import Any

import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.stream import Alert, JsonLinesCodec, LasairCodec, Skip, SkipReason
from firstlight.stream.alerts.alert import COLUMN_TYPES, arrivals

# --- JSON lines -----------------------------------------------------------------------


def test_a_line_holds_the_alert_to_the_last_bit(make_alert: Any, same_alert: Any) -> None:
    alert = make_alert(200, object_id="SN 2011fe/µ", alert_id="x:1", n_dropped={"flag": 2, "time": 1})
    line = JsonLinesCodec().encode(alert)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    same_alert(JsonLinesCodec().decode(line), alert)
    assert JsonLinesCodec().decode(line.rstrip()).n_dropped == {"flag": 2, "time": 1}


def line(**changes: Any) -> bytes:
    columns = {
        "mjd": [60001.0, 60002.0],
        "band": "gr",
        "flux": [5, 6.5],
        "flux_err": [1, 1],
        "detected": [False, True],
    }
    record = {
        "alert_id": "1",
        "object_id": "a",
        "mjd": 60002.0,
        "observations": columns | {"source_id": [0, 9]},
    }
    for name, value in changes.items():
        target = record["observations"] if name in columns or name == "source_id" else record
        if value is None:
            del target[name]  # type: ignore[attr-defined]
        else:
            target[name] = value  # type: ignore[index]
    return json.dumps(record).encode()


def test_a_row_that_is_listed_twice_counts_once() -> None:
    alert = JsonLinesCodec().decode(line(mjd=[60001.0, 60001.0], band="rr"))
    assert isinstance(alert, Alert)
    assert arrivals([alert]).curves.flux.tolist() == [6.5]


def test_missing_values_are_unknown() -> None:
    alert = JsonLinesCodec().decode(line())
    assert isinstance(alert, Alert)
    assert all(math.isnan(getattr(alert, name)) for name in ("ra", "dec", "ebv", "redshift", "redshift_spec"))
    assert (alert.source_id, alert.dereddened, alert.n_rejected) == (0, False, 0)
    assert alert.observations.band.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"observations": None}, "'observations' is missing"),
        ({"observations": []}, "."),
        ({"flux": None}, "'flux' is missing"),
        ({"mjd": [60002.0, 60001.0]}, "ascending"),
        ({"flux": [1.0]}, "differ in length"),
        ({"flux": ["a", "b"]}, "could not convert"),
        ({"flux": [None, None]}, "none of its observations is usable, for want of flux"),
        ({"band": "xx"}, "none of its observations is usable, for want of band"),
        ({"flux": [[1.0], [2.0]]}, "differ in length"),
        ({"flux": [[1.0], 2.0]}, "."),
        ({"band": 5}, "."),
        ({"source_id": [0, 1 << 70]}, "."),
        ({"redshift": "high"}, "'high' is not a number"),
        ({"redshift": True}, "not a number"),
        ({"source_id ": 3}, "unknown key"),
        ({"observed": {}}, r"unknown key\(s\) \['observed'\]"),
        ({"n_rejected": "many"}, "invalid literal"),
    ],
)
def test_bad_lines_name_the_fault_and_its_place(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(DataError, match=f"alert 1 of object a: .*{why}"):
        JsonLinesCodec().decode(line(**changes))


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"{", b"\xff\xfe", b"[" * 100_000, b'{"alert_id": NaN'])
def test_anything_but_a_json_object_is_a_data_error(data: bytes) -> None:
    with pytest.raises(DataError):
        JsonLinesCodec().decode(data)


def test_times_of_alerts_must_be_finite() -> None:
    text = line().replace(b'"mjd": 60002.0', b'"mjd": 1e999')
    with pytest.raises(DataError, match="has no time"):
        JsonLinesCodec().decode(text)


def test_lines_without_object_or_observations_are_skipped() -> None:
    assert JsonLinesCodec().decode(line(object_id=None)) == Skip(SkipReason.NO_OBJECT, "1", "", 60002.0)
    empty = {name: "" if name == "band" else [] for name in COLUMN_TYPES}
    skip = JsonLinesCodec().decode(
        json.dumps({"object_id": "a", "mjd": 60002.0, "observations": empty}).encode()
    )
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.NO_MEASUREMENT


# --- Lasair ---------------------------------------------------------------------------


def lasair_lsst() -> dict[str, Any]:
    def source(mjd: float, band: str, flux: float | None) -> dict[str, Any]:
        return {
            "midpointMjdTai": mjd,
            "band": band,
            "psfFlux": flux,
            "psfFluxErr": 50.0,
            "ra": 60.0,
            "decl": -45.0,
        }

    return {
        "diaObjectId": 169650292749500483,
        "diaObject": {"ra": 60.01, "decl": -45.01, "ebv": 0.04},
        "diaSourcesList": [source(61004.3, "z", 900.0), source(61001.2, "r", 700.0)],
        "diaForcedSourcesList": [
            {key: value for key, value in source(60990.1, "g", 12.0).items() if key not in ("ra", "decl")}
        ],
    }


@pytest.mark.parametrize("nested", [False, True])
def test_lasairs_objects_are_read_at_the_top_or_under_alert(nested: bool) -> None:
    record = lasair_lsst()
    if nested:
        record = {"diaObjectId": record.pop("diaObjectId"), "UTC": "2026-03-06 02:14:50", "alert": record}
    alert = LasairCodec().decode(json.dumps(record).encode())
    assert isinstance(alert, Alert)
    assert alert.object_id == "169650292749500483"
    assert alert.mjd == 61004.3
    assert alert.observations.flux.tolist() == [12.0, 700.0, 900.0]
    assert alert.observations.detected.tolist() == [False, True, True]
    assert (alert.ra, alert.dec, alert.ebv) == (60.01, -45.01, 0.04)


def test_a_source_without_a_number_names_its_alert_by_object_and_time() -> None:
    alert = LasairCodec().decode(json.dumps(lasair_lsst()).encode())
    assert isinstance(alert, Alert)
    assert alert.alert_id == "169650292749500483@61004.300000"
    numbered = lasair_lsst()
    numbered["diaSourcesList"][0]["diaSourceId"] = 170094456272322680
    alert = LasairCodec().decode(json.dumps(numbered).encode())
    assert isinstance(alert, Alert)
    assert alert.alert_id == "170094456272322680"


def test_bare_nan_is_read_as_unknown() -> None:
    record = lasair_lsst()
    record["diaSourcesList"][0]["dipoleAngle"] = float("nan")
    record["diaSourcesList"][1]["psfFlux"] = float("nan")
    text = json.dumps(record)
    assert "NaN" in text
    alert = LasairCodec().decode(text.encode())
    assert isinstance(alert, Alert)
    assert alert.observations.flux.tolist() == [12.0, 900.0]


@pytest.mark.parametrize(("kind", "expected"), [("SN", 0.3), ("NT", 0.3), ("VS", math.nan), ("CV", math.nan)])
def test_sherlocks_redshift_counts_only_where_it_sees_a_galaxy(kind: str, expected: float) -> None:
    record = lasair_lsst()
    record["lasairData"] = {"sherlock": {"classification": kind, "photoZ": 0.3, "photoZErr": 0.02, "z": None}}
    alert = LasairCodec().decode(json.dumps(record).encode())
    assert isinstance(alert, Alert)
    np.testing.assert_equal(alert.redshift, expected)
    assert math.isnan(alert.redshift_spec)


def test_solar_system_sources_of_lasair_are_skipped() -> None:
    record = lasair_lsst()
    record["diaSourcesList"][0]["ssObjectId"] = 42
    assert isinstance(LasairCodec().decode(json.dumps(record).encode()), Alert)  # it has an object too
    del record["diaObjectId"]
    skip = LasairCodec().decode(json.dumps(record).encode())
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.SOLAR_SYSTEM


def test_lasairs_ztf_candidates_are_read() -> None:
    newest = {"candid": 7, "jd": 2459000.5, "fid": 1, "magpsf": 19.0, "sigmapsf": 0.1, "isdiffpos": "t"}
    older = {"candid": 6, "jd": 2458999.5, "fid": 2, "magpsf": 20.0, "sigmapsf": 0.1, "isdiffpos": "f"}
    limit = {"jd": 2458998.5, "fid": 2, "diffmaglim": 20.5}
    forced = {"jd": 2458990.5, "fid": 3, "forcediffimflux": 3.0, "forcediffimfluxunc": 1.0, "magzpsci": 31.4}
    record = {"objectId": "ZTF20abc", "candidates": [limit, newest, older], "forcedphot": [forced]}
    alert = LasairCodec().decode(json.dumps(record).encode())
    assert isinstance(alert, Alert)
    assert (alert.alert_id, alert.object_id, alert.source_id) == ("7", "ZTF20abc", 7)
    np.testing.assert_allclose(alert.observations.flux, [3.0, -36307.805, 91201.08], rtol=1e-6)
    assert alert.observations.band.tolist() == [3, 2, 1]
    np.testing.assert_allclose(alert.mjd, 59000.0 + 37 / 86400, rtol=0, atol=1e-8)


def test_candidates_with_modified_julian_dates_are_in_utc_too() -> None:
    newest = {"candid": 7, "mjd": 59000.0, "fid": 1, "magpsf": 19.0, "sigmapsf": 0.1, "isdiffpos": "t"}
    alert = LasairCodec().decode(json.dumps({"objectId": "Z", "candidates": [newest]}).encode())
    assert isinstance(alert, Alert)
    np.testing.assert_allclose(alert.mjd, 59000.0 + 37 / 86400, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "record",
    [
        {"diaObjectId": 5, "gmag": 20.1},
        {"objectId": "ZTF20abc", "rmag": 19.0},
        {"diaObjectId": 5, "alert": {"diaSourcesList": []}},
        {"objectId": "a", "candidates": "none"},
        {"diaObjectId": 5, "diaSourcesList": [None, 3, {"midpointMjdTai": "late"}]},
    ],
)
def test_messages_without_a_light_curve_are_skipped(record: dict[str, Any]) -> None:
    skip = LasairCodec().decode(json.dumps(record).encode())
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.NO_MEASUREMENT
    assert skip.object_id


def test_a_foreign_message_is_a_data_error() -> None:
    for text in (b'{"price": 3}', b"[]", b"nothing"):
        with pytest.raises(DataError):
            LasairCodec().decode(text)
