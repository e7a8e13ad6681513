"""A missing value gives the same alert in all of its spellings, in every layout; ids are never rounded."""

import copy
import json
import math
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import DataError
from firstlight.stream import Alert, AntaresCodec, JsonLinesCodec, LasairCodec, Skip, SkipReason
from firstlight.stream.alerts.layouts import PacketReader, read_record
from firstlight.stream.alerts.write import LSST_SCHEMA

ABSENT = object()
NAN, INF = math.nan, math.inf
#: Spellings of "none" by the kind of a value.
SPELLINGS: dict[str, list[Any]] = {
    "id": [None, 0, -1, NAN, 0.0, "", "0", "null", "-1", "-999.0", "<NA>", "N/A", "NaT", r"\N", " ", ABSENT],
    "positive": [None, NAN, 0.0, 0, -1.0, -999, ABSENT],  # 0 cannot be
    "number": [None, NAN, -9.0, -999, INF, -INF, 1e39, ABSENT],  # 0 can be
    "degree": [None, NAN, -999.0, -999, INF, ABSENT],
    "withdrawn": [None, NAN, 0.0, 0, -1.0, INF, ABSENT],
    "flux": [None, NAN, INF, ABSENT],
    "text": [None, "", ABSENT],
    "flag": [None, False, 0, 0.0, NAN, "f", ABSENT],
}


def source(mjd: float, number: int, **more: Any) -> dict[str, Any]:
    return {"diaSourceId": number, "visit": number, "midpointMjdTai": mjd, "band": "r", "psfFlux": 900.0,
            "psfFluxErr": 50.0, "ra": 60.0, "dec": -45.0, "diaObjectId": 7, **more}  # fmt: skip


def lsst() -> dict[str, Any]:
    previous = [source(60001.0 + i, 11 + i) for i in range(4)]
    forced = [
        {"diaForcedSourceId": 31 + i, "visit": 31 + i, "midpointMjdTai": 60000.1 + i, "band": "g",
         "psfFlux": 12.0, "psfFluxErr": 20.0}
        for i in range(4)
    ]  # fmt: skip
    return {"diaSourceId": 20, "diaSource": source(60010.0, 20), "prvDiaSources": previous,
            "prvDiaForcedSources": forced, "diaObject": {"diaObjectId": 7}}  # fmt: skip


LSST_VALUES = {
    "diaSource.ssObjectId": "id",
    "diaSource.diaObjectId": "id",
    "diaSource.timeWithdrawnMjdTai": "withdrawn",
    "diaSource.psfFlux_flag": "flag",
    "diaObject.ra": "degree",
    "diaObject.dec": "degree",
    "diaObject.mwebv": "number",
    "diaObject.hostgal_zphot": "number",
    "diaObject.hostgal_zphot_err": "number",
    "diaObject.hostgal_zspec": "number",
    "xm.tns_redshift": "number",
    "xm.legacydr8_zphot": "number",
    "fluxIsDereddened": "flag",
    "prvDiaSources.0.midpointMjdTai": "positive",
    "prvDiaSources.0.timeWithdrawnMjdTai": "withdrawn",
    "prvDiaSources.1.band": "text",
    "prvDiaSources.2.psfFlux": "flux",
    "prvDiaSources.2.psfFluxErr": "positive",
    "prvDiaSources.3.diaSourceId": "id",
    "prvDiaSources.3.pixelFlags_bad": "flag",
    "prvDiaForcedSources.0.psfFluxErr": "positive",
    "prvDiaForcedSources.1.midpointMjdTai": "positive",
    "prvDiaForcedSources.2.psfFlux": "flux",
    "prvDiaForcedSources.3.diaForcedSourceId": "id",
    "prvDiaForcedSources.3.timeWithdrawnMjdTai": "withdrawn",
}


def candidate(jd: float, number: int, **more: Any) -> dict[str, Any]:
    return {"candid": number, "jd": jd, "fid": 2, "magpsf": 19.0, "sigmapsf": 0.1, "isdiffpos": "t", **more}


def ztf() -> dict[str, Any]:
    forced = [
        {"jd": 2459990.5 + i, "fid": 1, "forcediffimflux": 30.0, "forcediffimfluxunc": 4.0, "magzpsci": 26.0}
        for i in range(4)
    ]
    newest = candidate(2460010.5, 20, ra=60.0, dec=-45.0)
    previous = [candidate(2460001.5 + i, 11 + i) for i in range(4)]
    packet = {"objectId": "ZTF20abc", "candid": 20, "candidate": newest}
    return packet | {"prv_candidates": previous, "fp_hists": forced}


ZTF_VALUES = {
    "candidate.ssdistnr": "number",
    "candidate.ssnamenr": "text",
    "prv_candidates.0.jd": "positive",
    "prv_candidates.1.magpsf": "positive",
    "prv_candidates.2.sigmapsf": "positive",
    "prv_candidates.3.candid": "id",
    "fp_hists.0.forcediffimflux": "flux",
    "fp_hists.1.forcediffimfluxunc": "positive",
    "fp_hists.2.magzpsci": "positive",
    "fp_hists.3.procstatus": "text",
}


def lasair() -> dict[str, Any]:
    record = lsst()
    return {"diaObjectId": 7, "alert": {"diaObject": {"ra": 60.0, "decl": -45.0},
            "diaSourcesList": [*record["prvDiaSources"], record["diaSource"]],
            "diaForcedSourcesList": record["prvDiaForcedSources"]}}  # fmt: skip


LASAIR_VALUES = {
    "alert.diaObject.diaObjectId": "id",
    "alert.diaObject.ebv": "number",
    "alert.diaSourcesList.0.midpointMjdTai": "positive",
    "alert.diaSourcesList.1.psfFluxErr": "positive",
    "alert.diaSourcesList.2.diaSourceId": "id",
    "alert.diaSourcesList.4.ssObjectId": "id",
    "alert.diaSourcesList.4.timeWithdrawnMjdTai": "withdrawn",
    "alert.diaForcedSourcesList.0.psfFlux": "flux",
}


def own() -> dict[str, Any]:
    columns = {"mjd": [60001.0, 60002.0, 60003.0], "band": ["g", "r", "i"], "flux": [5.0, 6.5, 7.0],
               "flux_err": [1.0] * 3, "detected": [False, True, True], "source_id": [1, 2, 3]}  # fmt: skip
    return {"alert_id": "1", "object_id": "a", "mjd": 60003.0, "observations": columns}


OWN_VALUES = {
    "source_id": "id",
    "ebv": "number",
    "redshift": "number",
    "redshift_err": "number",
    "redshift_spec": "number",
    "dereddened": "flag",
    "observations.mjd.0": "positive",
    "observations.flux_err.1": "positive",
    "observations.flux.1": "flux",
    "observations.band.0": "text",
    "observations.source_id.2": "id",
}


def antares() -> dict[str, Any]:
    rows = [{"mag": 19.0, "magerr": 0.1, "mjd": 60001.0 + i} for i in range(4)]
    return {"ra": 57.0, "dec": -49.0, "rows": rows, "properties": {}}


ANTARES_VALUES = {
    "rows.0.mjd": "positive",
    "rows.1.mag": "positive",
    "rows.2.magerr": "positive",
    "properties.lsst_diaSource_ssObjectId": "id",
    "properties.lsst_diaSource_psfFlux_flag": "flag",
    "properties.lsst_diaSource_timeWithdrawnMjdTai": "withdrawn",
    "properties.ztf_ssdistnr": "number",
    "ra": "degree",
}


def read_antares(record: dict[str, Any]) -> Alert | Skip:
    bson = pytest.importorskip("bson")
    lines = ["alert_id,ant_mjd,ant_survey,ant_passband,ant_mag,ant_magerr"]
    for i, row in enumerate(record["rows"]):
        values = ["" if (value := row.get(name)) is None else value for name in ("mjd", "mag", "magerr")]
        lines.append(f"lsst:{i + 1},{values[0]},4,r,{values[1]},{values[2]}")
    attributes = {name: record[name] for name in ("ra", "dec") if name in record}
    locus = {"id": "ANT1", "attributes": attributes | {"lightcurve": "\n".join(lines)}}
    included = [{"id": "lsst:4", "attributes": {"properties": record["properties"]}}]
    return AntaresCodec().decode(zlib.compress(bson.encode({"data": locus, "included": included})))


def read_lines(codec: JsonLinesCodec | LasairCodec) -> Callable[[dict[str, Any]], Alert | Skip]:
    return lambda record: codec.decode(json.dumps(record).encode())


LAYOUTS: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, str], Callable[[Any], Alert | Skip]]] = {
    "lsst": (lsst, LSST_VALUES, read_record),
    "ztf": (ztf, ZTF_VALUES, read_record),
    "lasair": (lasair, LASAIR_VALUES, read_lines(LasairCodec())),
    "own": (own, OWN_VALUES, read_lines(JsonLinesCodec())),
    "antares": (antares, ANTARES_VALUES, read_antares),
}


def spelt(record: dict[str, Any], path: str, value: Any) -> None:
    """Write a value at a dotted path; an absent one in a list becomes null."""
    *parents, name = path.split(".")
    place: Any = record
    for parent in parents:
        place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
    if isinstance(place, list):
        place[int(name)] = None if value is ABSENT else value
    elif value is ABSENT:
        place.pop(name, None)
    else:
        place[name] = value


def content(alert: Alert | Skip) -> bytes | Skip:
    return alert if isinstance(alert, Skip) else JsonLinesCodec().encode(alert)


@pytest.mark.parametrize("name", LAYOUTS)
@given(data=st.data())
def test_a_missing_value_gives_the_same_alert_in_every_spelling(name: str, data: st.DataObject) -> None:
    make, values, read = LAYOUTS[name]
    plain, other = make(), make()
    for path, kind in values.items():
        spelt(plain, path, None)
        spelt(other, path, data.draw(st.sampled_from(SPELLINGS[kind]), label=path))
    assert content(read(other)) == content(read(plain))


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_spelling_alone_gives_the_alert_without_the_value(name: str) -> None:
    make, values, read = LAYOUTS[name]
    for path, kind in values.items():
        expected = make()
        spelt(expected, path, None)
        for spelling in SPELLINGS[kind]:
            record = make()
            spelt(record, path, spelling)
            assert content(read(record)) == content(read(expected)), (path, spelling)


@pytest.mark.parametrize(
    ("name", "path"), [("ztf", "objectId"), ("lasair", "diaObjectId"), ("lsst", "diaObject.diaObjectId")]
)
@pytest.mark.parametrize("spelling", SPELLINGS["id"])
def test_no_object_is_named_like_a_missing_id(name: str, path: str, spelling: Any) -> None:
    make, _, read = LAYOUTS[name]
    record, plain = make(), make()
    for one in (record, plain):
        if name == "lsst":
            del one["diaSource"]["diaObjectId"]
    spelt(record, path, spelling)
    spelt(plain, path, None)

    def outcome(of: dict[str, Any]) -> Any:
        try:
            return content(read(of))
        except DataError as error:
            return str(error)

    assert outcome(record) == outcome(plain)


def test_packets_read_as_their_records_do_in_every_spelling(packet: Any) -> None:
    values = {
        "diaSource.ssObjectId": [None, 0, -1],
        "diaSource.timeWithdrawnMjdTai": [None, NAN, 0.0, -1.0],
        "diaObject.mwebv": [None, NAN, -9.0],
        "diaObject.hostgal_zphot": [None, NAN, -999.0],
        "prvDiaSources.0.psfFlux": [None, NAN],
        "prvDiaSources.1.timeWithdrawnMjdTai": [None, NAN, 0.0],
        "prvDiaForcedSources.0.psfFluxErr": [None, NAN, 0.0, -1.0],
    }
    reader, found = PacketReader(LSST_SCHEMA), set()
    for i in range(4):
        record = lsst()
        for row in (record["diaSource"], *record["prvDiaSources"], *record["prvDiaForcedSources"]):
            row |= {"detector": 1, "diaObjectId": 7}
        record["diaObject"] |= {"ra": 60.0, "dec": -45.0}
        for path, spellings in values.items():
            spelt(record, path, spellings[i % len(spellings)])
        alert, _ = reader.read(packet(LSST_SCHEMA, record))
        found.add(content(alert))
        assert content(alert) == content(read_record(record))
    assert len(found) == 1


# --- ids ------------------------------------------------------------------------------

BIG = 170_028_485_706_776_685


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("lsst", "diaObject.diaObjectId"),
        ("lsst", "prvDiaSources.1.diaSourceId"),
        ("lsst", "prvDiaForcedSources.1.diaForcedSourceId"),
        ("lsst", "diaSource.diaSourceId"),
        ("ztf", "candidate.candid"),
        ("ztf", "prv_candidates.0.candid"),
        ("lasair", "diaObjectId"),
        ("lasair", "alert.diaSourcesList.1.diaSourceId"),
        ("own", "object_id"),
        ("own", "alert_id"),
        ("own", "source_id"),
        ("own", "observations.source_id.1"),
    ],
)
def test_a_float_id_is_taken_if_whole_and_exact_and_refused_if_not(name: str, path: str) -> None:
    make, _, read = LAYOUTS[name]

    def with_id(value: Any) -> dict[str, Any]:
        record = make()
        if path == "diaObject.diaObjectId":
            del record["diaSource"]["diaObjectId"]
        spelt(record, path, value)
        return record

    assert content(read(with_id(12345.0))) == content(read(with_id(12345)))
    assert content(read(with_id(2.0**53 - 1))) == content(read(with_id(2**53 - 1)))
    for inexact in (2.0**53, float(BIG), 1e300, 1.5):
        with pytest.raises(DataError, match=r"float|whole number"):
            read(with_id(inexact))
    with pytest.raises(DataError, match="64"):
        read(with_id(1 << 64))


def test_an_exact_spelling_of_an_id_counts_before_a_float() -> None:
    record = lsst()
    record["diaObject"]["diaObjectId"], record["diaSource"]["diaObjectId"] = float(BIG), BIG
    alert = read_record(record)
    assert isinstance(alert, Alert)
    assert alert.object_id == str(BIG)


@pytest.mark.parametrize("digits", [30, 4_000, 5_000])
def test_an_integer_of_any_length_is_a_data_error(digits: int) -> None:
    for path in ("source_id", "object_id", "mjd", "redshift"):
        record = own()
        record[path] = "@"
        line = json.dumps(record).replace('"@"', "9" * digits).encode()
        with pytest.raises(DataError):
            JsonLinesCodec().decode(line)


@pytest.mark.parametrize("name", ["lsst", "ztf", "lasair", "own"])
def test_a_name_above_a_kilobyte_is_refused_and_not_quoted_whole(name: str) -> None:
    make, _, read = LAYOUTS[name]
    path = {"lsst": "diaObject.diaObjectId", "ztf": "objectId", "lasair": "diaObjectId", "own": "object_id"}[
        name
    ]
    record = make()
    if name == "lsst":
        del record["diaSource"]["diaObjectId"]
    spelt(record, path, "x" * 1_000_000)
    with pytest.raises(DataError, match="more than 1024 bytes") as caught:
        read(record)
    assert len(str(caught.value)) < 200
    spelt(record, path, "é" * 513)
    with pytest.raises(DataError, match="more than 1024 bytes"):
        read(record)
    spelt(record, path, "x" * 1024)
    assert read(record).object_id == "x" * 1024


# --- objects and times ----------------------------------------------------------------


def test_a_source_with_an_object_and_an_asteroid_counts_as_its_object() -> None:
    record = lsst()
    record["diaSource"]["ssObjectId"] = 42
    assert isinstance(read_record(record), Alert)
    del record["diaObject"], record["diaSource"]["diaObjectId"]
    skip = read_record(record)
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.SOLAR_SYSTEM


@pytest.mark.parametrize("mjd", [0.0, 5.0, 2460000.5, 1e9, -60000.0])
def test_times_that_are_not_mjd_are_set_aside_in_rows_and_refused_in_alerts(mjd: float) -> None:
    record = lsst()
    record["prvDiaSources"][1]["midpointMjdTai"] = mjd
    alert = read_record(record)
    assert isinstance(alert, Alert)
    assert alert.n_dropped == {"time": 1}
    record["diaSource"]["midpointMjdTai"] = mjd
    with pytest.raises(DataError, match="is not MJD"):
        read_record(record)
    columns = copy.deepcopy(own())
    columns["mjd"] = mjd
    with pytest.raises(DataError, match="is not MJD"):
        LAYOUTS["own"][2](columns)


def test_observations_after_their_alert_are_set_aside() -> None:
    record = lsst()
    record["prvDiaForcedSources"][3]["midpointMjdTai"] = 60010.01
    alert = read_record(record)
    assert isinstance(alert, Alert)
    assert alert.n_dropped == {"future": 1}
    later = own() | {"mjd": 60002.5}
    assert LAYOUTS["own"][2](later).n_dropped == {"future": 1}  # type: ignore[union-attr]
