"""Foreign field names: LSST 4.1 to 11.1, Fink, Babamul, ZTF; and skipped alerts."""

import copy
import math
from typing import Any

import numpy as np
import pytest

from firstlight.constants import JD_MINUS_MJD, UTC_TO_TAI_DAYS
from firstlight.errors import DataError
from firstlight.stream import Alert, Skip, SkipReason
from firstlight.stream.alerts.alert import arrivals
from firstlight.stream.alerts.layouts import (
    PacketReader,
    read_record,
    resolve_layout,
)
from firstlight.stream.avro.schema import field_paths

NO_HOST = ("ebv", "redshift", "redshift_err", "redshift_spec")

# --- LSST -----------------------------------------------------------------------------


def test_every_version_of_lsst_reads_the_same(
    lsst_writer: Any, make_alert: Any, packet: Any, same_alert: Any
) -> None:
    alert = make_alert(30)
    reader = PacketReader(lsst_writer.schema)
    data = packet(lsst_writer.schema, lsst_writer.record(alert))
    actual, end = reader.read(data)
    assert end == len(data)
    same_alert(actual, alert, without=() if lsst_writer.names["host"] else NO_HOST)
    assert actual.n_rejected == 0
    if not lsst_writer.names["host"]:
        assert all(math.isnan(getattr(actual, name)) for name in NO_HOST)


def test_a_record_of_dicts_reads_as_its_packet_does(lsst_writer: Any, make_alert: Any, packet: Any) -> None:
    record = lsst_writer.record(make_alert(20, seed=3))
    from_bytes, _ = PacketReader(lsst_writer.schema).read(packet(lsst_writer.schema, record))
    from_dicts = read_record(record)
    assert isinstance(from_bytes, Alert)
    assert isinstance(from_dicts, Alert)
    for name in ("mjd", "band", "flux", "flux_err", "detected", "source_id"):
        left, right = getattr(from_bytes.observations, name), getattr(from_dicts.observations, name)
        np.testing.assert_array_equal(left, right)
    assert from_bytes.alert_id == from_dicts.alert_id


def test_fluxes_of_another_zero_point_become_njy(lsst_latest: Any, make_alert: Any, packet: Any) -> None:
    alert = make_alert(5)
    data = packet(lsst_latest.schema, lsst_latest.record(alert))
    actual, _ = PacketReader(lsst_latest.schema, zero_point=27.5).read(data)
    np.testing.assert_allclose(actual.observations.flux, alert.observations.flux * 36.307805, rtol=1e-6)


def test_detections_and_forced_photometry_of_one_visit_count_once(lsst_latest: Any, make_alert: Any) -> None:
    alert = make_alert(6)
    record = lsst_latest.record(alert)
    doubled = copy.deepcopy(record)
    for source in [record["diaSource"], *record["prvDiaSources"]]:
        row = {key: value for key, value in source.items() if not key.startswith("dia")}
        forced = {**row, "psfFlux": source["psfFlux"] * 0.97, "diaForcedSourceId": 5}
        doubled["prvDiaForcedSources"].append(forced)
    doubled["prvDiaSources"].append(dict(record["diaSource"]))  # ELAsTiCC lists the source itself as well
    actual = read_record(doubled)
    assert isinstance(actual, Alert)
    np.testing.assert_array_equal(actual.observations.flux, alert.observations.flux)
    np.testing.assert_array_equal(actual.observations.detected, alert.observations.detected)


def test_a_source_listed_under_another_visit_of_its_time_counts_once(
    lsst_latest: Any, make_alert: Any
) -> None:
    alert = make_alert(6)
    record = lsst_latest.record(alert)
    source = record["diaSource"]
    record["prvDiaSources"].append({**source, "visit": source["visit"] + 1, "psfFlux": 1.0})
    actual = read_record(record)
    assert isinstance(actual, Alert)
    assert len(arrivals([actual]).curves.mjd) == len(alert.observations)


def test_a_detection_without_flux_takes_the_forced_one_and_keeps_its_flag(
    lsst_latest: Any, make_alert: Any
) -> None:
    record = lsst_latest.record(make_alert(6))
    source = record["diaSource"]
    row = {key: value for key, value in source.items() if not key.startswith("dia")}
    record["prvDiaForcedSources"].append({**row, "psfFlux": 77.0, "diaForcedSourceId": 5})
    source["psfFlux"] = None
    actual = read_record(record)
    assert isinstance(actual, Alert)
    assert actual.observations.flux[-1] == 77.0
    assert actual.observations.detected[-1]


def test_rows_without_band_flux_or_error_are_counted_and_dropped(lsst_latest: Any, make_alert: Any) -> None:
    alert = make_alert(20)
    record = lsst_latest.record(alert)
    forced = record["prvDiaForcedSources"]
    forced[0]["band"] = "x"
    forced[1]["psfFlux"] = None
    forced[2]["psfFluxErr"] = 0.0
    forced[3]["psfFluxErr"] = float("nan")
    forced[4]["midpointMjdTai"] = float("nan")
    actual = read_record(record)
    assert isinstance(actual, Alert)
    assert actual.n_rejected == 5
    assert len(actual.observations) == len(alert.observations) - 5


def test_fluxes_that_float32_cannot_hold_are_dropped(lsst_latest: Any, make_alert: Any) -> None:
    alert = make_alert(20)
    record = lsst_latest.record(alert)
    record["prvDiaForcedSources"][0]["psfFlux"] = 1e39
    record["prvDiaForcedSources"][1]["psfFluxErr"] = 1e-42
    actual = read_record(record)
    assert isinstance(actual, Alert)
    assert actual.n_rejected == 2
    actual.light_curves()  # which checks every value


def test_withdrawn_rows_are_dropped_and_withdrawn_alerts_skipped(lsst_latest: Any, make_alert: Any) -> None:
    record = lsst_latest.record(make_alert(10))
    record["prvDiaSources"][0]["timeWithdrawnMjdTai"] = 60200.0
    actual = read_record(record)
    assert isinstance(actual, Alert)
    assert len(actual.observations) == 9
    record["diaSource"]["timeWithdrawnMjdTai"] = 60200.0
    assert read_record(record).reason is SkipReason.WITHDRAWN


@pytest.mark.parametrize("spelling", [None, math.nan, math.inf, -1.0, -1, 0, 0.0, False, "", "60200", 60200])
def test_only_a_finite_positive_number_withdraws(lsst_latest: Any, make_alert: Any, spelling: Any) -> None:
    record = lsst_latest.record(make_alert(10))
    record["prvDiaSources"][0]["timeWithdrawnMjdTai"] = spelling
    actual = read_record(record)
    assert isinstance(actual, Alert)
    assert len(actual.observations) == (9 if spelling == 60200 else 10)
    record["diaSource"]["timeWithdrawnMjdTai"] = spelling
    assert isinstance(read_record(record), Skip if spelling == 60200 else Alert)


def test_solar_system_alerts_are_skipped_with_their_reason(
    lsst_writer: Any, make_alert: Any, packet: Any
) -> None:
    alert = make_alert(4)
    record = lsst_writer.record(alert)
    record["diaSource"]["ssObjectId"] = 21163624394469969
    record["diaSource"]["diaObjectId"] = 0
    record["diaObject"] = None
    actual, _ = PacketReader(lsst_writer.schema).read(packet(lsst_writer.schema, record))
    assert actual == Skip(SkipReason.SOLAR_SYSTEM, alert.alert_id, "", alert.mjd)


def test_alerts_without_an_object_are_skipped_with_their_reason(
    lsst_writer: Any, make_alert: Any, packet: Any
) -> None:
    record = lsst_writer.record(make_alert(4))
    record["diaSource"]["diaObjectId"] = 0
    record["diaObject"] = None
    actual, _ = PacketReader(lsst_writer.schema).read(packet(lsst_writer.schema, record))
    assert isinstance(actual, Skip)
    assert actual.reason is SkipReason.NO_OBJECT


def test_an_alert_without_any_flux_is_skipped(lsst_latest: Any, make_alert: Any) -> None:
    record = lsst_latest.record(make_alert(1))
    record["diaSource"]["psfFlux"] = None
    assert read_record(record).reason is SkipReason.NO_MEASUREMENT


def test_an_alert_without_a_time_is_an_error(lsst_latest: Any, make_alert: Any) -> None:
    record = lsst_latest.record(make_alert(2))
    record["diaSource"]["midpointMjdTai"] = float("nan")
    with pytest.raises(DataError, match="the source has no time"):
        read_record(record)


def test_missing_histories_are_no_error(lsst_writer: Any, make_alert: Any, packet: Any) -> None:
    record = lsst_writer.record(make_alert(3)) | {"prvDiaSources": None, "prvDiaForcedSources": None}
    actual, _ = PacketReader(lsst_writer.schema).read(packet(lsst_writer.schema, record))
    assert len(actual.observations) == 1


@pytest.mark.parametrize("value", [-9.0, -999.0, None, float("nan")])
def test_the_surveys_codes_for_unknown_become_nan(
    lsst_latest: Any, make_alert: Any, value: float | None
) -> None:
    record = lsst_latest.record(make_alert(3))
    for name in ("mwebv", "hostgal_zphot", "hostgal_zphot_err", "hostgal_zspec"):
        record["diaObject"][name] = value
    actual = read_record(record)
    assert isinstance(actual, Alert)
    assert all(math.isnan(getattr(actual, name)) for name in NO_HOST)


def test_a_redshift_of_zero_stays_zero(lsst_latest: Any, make_alert: Any) -> None:
    record = lsst_latest.record(make_alert(3, redshift=0.0))
    actual = read_record(record)
    assert isinstance(actual, Alert)
    assert actual.redshift == 0.0


def test_finks_host_is_used_unless_it_is_a_star(fink_writer: Any, make_alert: Any, packet: Any) -> None:
    reader = PacketReader(fink_writer.schema)
    record = fink_writer.record(make_alert(5))
    for star, expected in ((0.01, 0.35), (None, 0.35), (0.99, math.nan)):
        record["xm"] = {"legacydr8_zphot": 0.35, "legacydr8_e_zphot": 0.1, "legacydr8_pstar": star}
        actual, _ = reader.read(packet(fink_writer.schema, record))
        np.testing.assert_equal(actual.redshift, expected)
    record["xm"]["tns_redshift"] = 0.21
    actual, _ = reader.read(packet(fink_writer.schema, record))
    assert actual.redshift_spec == 0.21


def test_null_rows_in_finks_arrays_are_passed_over(fink_writer: Any, make_alert: Any, packet: Any) -> None:
    alert = make_alert(6)
    record = fink_writer.record(alert)
    record["prvDiaForcedSources"].append(None)
    actual, _ = PacketReader(fink_writer.schema).read(packet(fink_writer.schema, record))
    assert len(actual.observations) == len(alert.observations)


def test_truth_columns_have_no_way_in(lsst_latest: Any, make_alert: Any) -> None:
    record = lsst_latest.record(make_alert(4))
    plain = read_record(record)
    truth = {"SIM_TEMPLATE_INDEX": 10, "ZCMB": 0.7, "true_z": 0.7, "target": 90, "PEAKMJD": 60050.0}
    loaded = read_record(record | truth | {"diaObject": record["diaObject"] | truth})
    assert isinstance(plain, Alert)
    assert isinstance(loaded, Alert)
    assert repr(plain) == repr(loaded)


def test_a_packet_of_no_survey_is_refused_by_its_fields() -> None:
    with pytest.raises(DataError, match=r"neither LSST's .* its fields are price, ticker"):
        resolve_layout(["ticker", "price"])
    with pytest.raises(DataError, match="none"):
        read_record({})
    with pytest.raises(DataError, match="has no time"):
        resolve_layout(["diaSource", "diaSource.psfFlux"])


# --- ZTF ------------------------------------------------------------------------------


def ztf_record() -> dict[str, Any]:
    """A ZTF alert with one earlier detection, one upper limit and forced photometry."""
    main = {
        "candid": 1060135832015015002,
        "jd": 2458814.6358333,
        "fid": 2,
        "magpsf": 18.632339477539062,
        "sigmapsf": 0.13490362465381622,
        "isdiffpos": "t",
        "ra": 289.8937586,
        "dec": 61.8469285,
        "ssdistnr": -999.0,
        "ssnamenr": "null",
        "magzpsci": 26.1,
    }
    before = {"candid": 5, "jd": 2458810.5, "fid": 1, "magpsf": 19.0, "sigmapsf": 0.1, "isdiffpos": "f"}
    limit = {"candid": None, "jd": 2458809.5, "fid": 1, "magpsf": None, "sigmapsf": None, "isdiffpos": None}
    forced = {"fid": 1, "magzpsci": 26.0, "procstatus": "0", "forcediffimfluxunc": 20.0}
    return {
        "objectId": "ZTF19acihgng",
        "candid": main["candid"],
        "candidate": main,
        "prv_candidates": [before, limit],
        "fp_hists": [
            {**forced, "jd": 2458800.5, "forcediffimflux": 100.0},
            {**forced, "jd": 2458801.5, "forcediffimflux": -99999.0},
            {**forced, "jd": 2458802.5, "forcediffimflux": 50.0, "procstatus": "56,63"},
            {**forced, "jd": 2458803.5, "forcediffimflux": 50.0, "procstatus": "57"},
            {**forced, "jd": 2458810.5, "forcediffimflux": 999.0},
        ],
    }


def test_ztf_magnitudes_become_njy_and_its_julian_dates_tai() -> None:
    alert = read_record(ztf_record())
    assert isinstance(alert, Alert)
    o = alert.observations
    assert (alert.alert_id, alert.object_id, alert.source_id) == (
        "1060135832015015002",
        "ZTF19acihgng",
        1060135832015015002,
    )
    np.testing.assert_allclose(alert.mjd, 2458814.6358333 - JD_MINUS_MJD + 37 / 86400, rtol=0, atol=1e-9)
    # by hand: 10 ** (0.4 * (31.4 - 18.63234)), times 0.13490 * ln(10) / 2.5
    np.testing.assert_allclose(o.flux[-1], 127957.05, rtol=1e-6)
    np.testing.assert_allclose(o.flux_err[-1], 127957.05 * 0.13490362 * 0.92103404, rtol=1e-6)
    assert o.band.tolist() == [1, 1, 1, 2]
    assert o.detected.tolist() == [False, False, True, True]


def test_ztf_forced_photometry_has_the_zero_point_of_its_image() -> None:
    alert = read_record(ztf_record())
    assert isinstance(alert, Alert)
    np.testing.assert_allclose(
        alert.observations.flux[:2], np.array([100.0, 50.0]) * 10 ** (0.4 * 5.4), rtol=1e-6
    )
    assert alert.n_rejected == 2  # the failed one and the one with bad pixels; a limit is no error


@pytest.mark.parametrize(
    ("status", "is_good"),
    [
        *(
            (text, True)
            for text in ("0", "57", "", "null", "NULL", " none ", "nan", "N/A", "<na>", "0,57", "57, 0")
        ),
        *((text, False) for text in ("56", "56,63", "0,61", "570", "00", "nul", "nothing at all")),
        *((None, True), (0, True), (57, True), (61, False), (float("nan"), True), (61.0, False)),
    ],
)
def test_a_status_is_bad_only_if_it_has_a_bad_code(status: Any, is_good: bool) -> None:
    record = ztf_record()
    record["fp_hists"][0]["procstatus"] = status
    alert = read_record(record)
    assert isinstance(alert, Alert)
    assert alert.n_dropped["status"] == (1 if is_good else 2)


def test_a_negative_difference_is_a_negative_flux() -> None:
    alert = read_record(ztf_record())
    assert isinstance(alert, Alert)
    np.testing.assert_allclose(alert.observations.flux[2], -(10 ** (0.4 * 12.4)), rtol=1e-6)
    assert alert.observations.source_id[2] == 5  # the detection's, not forced photometry's


@pytest.mark.parametrize(
    ("value", "sign"), [("t", 1), ("1", 1), ("f", -1), ("0", -1), (True, 1), (False, -1), (1, 1), (0, -1)]
)
def test_every_spelling_of_the_sign_is_known(value: Any, sign: int) -> None:
    record = ztf_record()
    record["candidate"]["isdiffpos"] = value
    alert = read_record(record)
    assert isinstance(alert, Alert)
    assert np.sign(alert.observations.flux[-1]) == sign


def test_an_asteroid_next_to_a_ztf_candidate_is_skipped() -> None:
    record = ztf_record()
    record["candidate"] |= {"ssdistnr": 1.2, "ssnamenr": "433"}
    assert read_record(record).reason is SkipReason.SOLAR_SYSTEM
    record["candidate"] |= {"ssdistnr": 21.0}
    assert isinstance(read_record(record), Alert)


def test_ztf_filters_are_g_r_and_i() -> None:
    for fid, band in ((1, 1), (2, 2), (3, 3)):
        record = ztf_record()
        record["candidate"]["fid"] = fid
        alert = read_record(record)
        assert isinstance(alert, Alert)
        assert alert.observations.band[-1] == band
    record["candidate"]["fid"] = 4
    alert = read_record(record)
    assert isinstance(alert, Alert)
    assert alert.observations.mjd[-1] < alert.mjd  # the source is dropped, the history stays


# --- Babamul --------------------------------------------------------------------------


def babamul_ztf(zero_point: float) -> dict[str, Any]:
    def row(jd: float, flux: float, band: str) -> dict[str, Any]:
        scale = 10 ** (0.4 * (zero_point - 31.4))
        return {"jd": jd, "psfFlux": flux * scale, "psfFluxErr": 50.0 * scale, "band": band}

    main = row(2461200.5, 1000.0, "g") | {"magpsf": 31.4 - 7.5, "sigmapsf": 0.05, "isdiffpos": True, "fid": 1}
    return {
        "objectId": "ZTF26aabb",
        "candid": 77,
        "candidate": main | {"candid": 77, "ra": 1.0, "dec": 2.0, "magzpsci": 26.2},
        "prv_candidates": [row(2461190.5, 800.0, "r")],
        "prv_nondetections": [{"jd": 2461180.5, "psfFluxErr": 50.0, "band": "r"}],
        "fp_hists": [row(2461170.5, -20.0, "i")],
    }


@pytest.mark.parametrize("zero_point", [31.4, 23.9, 46.4])
def test_babamul_fluxes_are_scaled_by_the_packets_own_magnitude(zero_point: float) -> None:
    alert = read_record(babamul_ztf(zero_point))
    assert isinstance(alert, Alert)
    np.testing.assert_allclose(alert.observations.flux, [-20.0, 800.0, 1000.0], rtol=1e-5)
    assert alert.observations.band.tolist() == [3, 2, 1]
    assert alert.observations.detected.tolist() == [False, True, True]


def test_a_flux_that_contradicts_its_magnitude_is_an_error() -> None:
    record = babamul_ztf(31.4)
    record["candidate"]["psfFlux"] *= 1.05
    with pytest.raises(DataError, match=r"zero point of 31\.453 mag, which no survey uses"):
        read_record(record)


def test_babamul_lsst_history_shares_the_clock_of_its_source() -> None:
    for shift in (0.0, -UTC_TO_TAI_DAYS):
        main = {"diaSourceId": 9, "midpointMjdTai": 61000.25, "jd": 61000.25 + JD_MINUS_MJD + shift}
        main |= {"psfFlux": 500.0, "psfFluxErr": 10.0, "band": "z", "magpsf": 24.65, "sigmapsf": 0.02}
        before = {"jd": 60990.0 + JD_MINUS_MJD + shift, "psfFlux": 200.0, "psfFluxErr": 10.0, "band": "y"}
        record = {
            "objectId": "31",
            "candid": 9,
            "candidate": main | {"isdiffpos": True},
            "prv_candidates": [before],
        }
        alert = read_record(record)
        assert isinstance(alert, Alert)
        np.testing.assert_allclose(alert.observations.mjd, [60990.0, 61000.25], rtol=0, atol=1e-8)
        np.testing.assert_array_equal(alert.observations.flux, np.float32([200.0, 500.0]))
        assert alert.observations.source_id.tolist() == [0, 9]


def test_babamuls_rocks_are_skipped() -> None:
    record = babamul_ztf(31.4) | {"properties": {"rock": True, "star": False}}
    assert read_record(record).reason is SkipReason.SOLAR_SYSTEM


def test_bands_may_be_an_enum(packet: Any) -> None:
    """Babamul's schema has the bands as an enum, in an order of its own."""
    band = {"type": "enum", "name": "Band", "symbols": ["g", "r", "i", "z", "y", "u", "clear"]}
    row = [{"name": "jd", "type": "double"}, {"name": "psfFlux", "type": ["null", "float"]}]
    row += [{"name": "psfFluxErr", "type": "float"}, {"name": "band", "type": "Band"}]
    main = [*row[:3], {"name": "band", "type": band}, {"name": "candid", "type": "long"}]
    schema = {
        "type": "record",
        "name": "alert",
        "fields": [
            {"name": "objectId", "type": "string"},
            {"name": "candidate", "type": {"type": "record", "name": "candidate", "fields": main}},
            {
                "name": "prv_candidates",
                "type": {"type": "array", "items": {"type": "record", "name": "prv", "fields": row}},
            },
        ],
    }
    rows = [
        {"jd": 2461000.5 + i, "psfFlux": 10.0 + i, "psfFluxErr": 1.0, "band": name}
        for i, name in enumerate(["u", "y", "clear", "g"])
    ]
    record = {"objectId": "a", "candidate": rows[-1] | {"candid": 3}, "prv_candidates": rows[:-1]}
    alert, _ = PacketReader(schema).read(packet(schema, record))
    assert alert.observations.band.tolist() == [0, 5, 1]
    assert alert.n_rejected == 1
    assert "candidate.band" in field_paths(schema)
