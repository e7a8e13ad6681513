"""Written alerts: our own two schemas and their records."""

from typing import Any

import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.stream import Alert, Observations
from firstlight.stream.alerts.write import (
    LSST_SCHEMA,
    ZTF_SCHEMA,
    lsst_record,
    lsst_sources,
    own_row,
    ztf_record,
)
from firstlight.stream.avro.schema import field_paths


def alert_of(mjd: float, *rows: tuple[float, int, float, bool, int], source_id: int = 0) -> Alert:
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    o = Observations(columns[0], columns[1], columns[2], np.ones(len(rows)), columns[3], columns[4])
    return Alert("12", "34", mjd, o, source_id=source_id)


def test_our_schemas_are_valid_avro() -> None:
    fastavro = pytest.importorskip("fastavro")
    for schema in (LSST_SCHEMA, ZTF_SCHEMA):
        fastavro.parse_schema(schema)


def test_our_schemas_have_the_surveys_names() -> None:
    lsst = field_paths(LSST_SCHEMA)
    for name in ("midpointMjdTai", "band", "psfFlux", "psfFluxErr"):
        assert {f"diaSource.{name}", f"prvDiaSources.{name}", f"prvDiaForcedSources.{name}"} <= lsst
    ztf = field_paths(ZTF_SCHEMA)
    assert {"candidate.magpsf", "prv_candidates.isdiffpos", "fp_hists.forcediffimflux"} <= ztf


def test_the_source_that_sent_an_alert_is_found_by_number_then_by_time() -> None:
    rows = [(1.0, 1, 5.0, True, 7), (2.0, 1, 5.0, True, 8), (2.0, 2, 5.0, True, 9), (2.0, 3, 5.0, False, 0)]
    assert own_row(alert_of(2.0, *rows, source_id=8)) == 1
    assert own_row(alert_of(2.0, *rows, source_id=99)) == 2
    assert own_row(alert_of(1.5, *rows)) == -1
    assert own_row(alert_of(2.0, rows[3])) == -1


def test_a_detection_of_the_same_instant_did_not_send_an_alert_of_forced_photometry() -> None:
    rows = [(2.0, 1, 5.0, True, 7), (2.0, 3, 5.0, False, 8)]
    assert own_row(alert_of(2.0, *rows, source_id=8)) == -1
    assert own_row(alert_of(2.0, *rows, source_id=7)) == 0


def test_every_observation_is_written_once(make_alert: Any) -> None:
    alert = make_alert(40)
    source, previous, forced = lsst_sources(alert)
    assert source["midpointMjdTai"] == alert.mjd
    assert 1 + len(previous) == alert.observations.detected.sum()
    assert len(forced) == (~alert.observations.detected).sum()
    assert all("diaForcedSourceId" in entry for entry in forced)


def test_an_alert_that_no_detection_sent_has_a_source_without_band_and_flux() -> None:
    source, previous, forced = lsst_sources(
        alert_of(3.0, (2.0, 1, 5.0, True, 7), (3.0, 1, 4.0, False, 8), source_id=8)
    )
    assert source == {"diaSourceId": 8, "midpointMjdTai": 3.0}
    assert [entry["diaSourceId"] for entry in previous] == [7]
    assert [entry["psfFlux"] for entry in forced] == [4.0]


def test_the_cutout_travels_as_bytes(make_alert: Any) -> None:
    assert lsst_record(make_alert(2), b"fits")["cutoutScience"] == b"fits"
    assert lsst_record(make_alert(2))["cutoutScience"] is None


def test_ztf_has_three_bands_and_no_alert_without_a_detection() -> None:
    with pytest.raises(DataError, match="ZTF has no band z"):
        ztf_record(alert_of(1.0, (1.0, 4, 5.0, True, 7)))
    with pytest.raises(DataError, match="no detection triggered it"):
        ztf_record(alert_of(1.0, (1.0, 1, 5.0, False, 7)))
    with pytest.raises(DataError, match="flux 0 has no magnitude"):
        ztf_record(alert_of(1.0, (1.0, 1, 0.0, True, 7)))


def test_ztf_magnitudes_are_ab() -> None:
    record = ztf_record(alert_of(1.0, (0.5, 2, -1.0, True, 6), (1.0, 1, 100.0, True, 7), source_id=7))
    main, (before,) = record["candidate"], record["prv_candidates"]
    assert main["magpsf"] == pytest.approx(26.4)
    assert main["sigmapsf"] == pytest.approx(0.010857362)
    assert (main["isdiffpos"], before["isdiffpos"]) == ("t", "f")
    assert (main["candid"], before["candid"], before["magpsf"]) == (7, 6, pytest.approx(31.4))
