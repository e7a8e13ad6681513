"""ANTARES' loci: light curves in CSV, signs in properties."""

import contextlib
import math
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import DataError, MissingExtraError
from firstlight.stream import Alert, AntaresCodec, Skip, SkipReason
from firstlight.stream.limits import Limits

bson = pytest.importorskip("bson")

COLUMNS = "time,alert_id,ant_mjd,ant_survey,ant_ra,ant_dec,ant_passband,ant_mag,ant_magerr,ant_maglim"


def message(rows: list[str], included: Any = (), **changes: Any) -> bytes:
    attributes = {"ra": 57.03, "dec": -49.74, "lightcurve": "\n".join([COLUMNS, *rows]), "properties": {}}
    locus = {"type": "locus", "id": "ANT2025uns34defs98p", "attributes": attributes | changes}
    return zlib.compress(bson.encode({"data": locus, "included": list(included)}))


def row(
    name: str, mjd: float, survey: int | str, band: str, mag: float | str, error: float | str = 0.1
) -> str:
    return f"2025-11-24 07:18:09,{name},{mjd!r},{survey},57.03,-49.74,{band},{mag},{error},"


def about(name: str, **properties: Any) -> dict[str, Any]:
    return {"type": "alert", "id": name, "attributes": {"mjd": 1.0, "properties": properties}}


def decode(*arguments: Any, **changes: Any) -> Any:
    return AntaresCodec().decode(message(*arguments, **changes))


def test_detections_of_both_surveys_become_one_light_curve() -> None:
    alert = decode(
        [
            row("ztf_candidate:1", 60974.3, 1, "g", 19.0),
            row("ztf_upper_limit:2", 60975.3, 2, "R", "", ""),
            row("lsst:31", 61004.3, 4, "z", 22.5),
            row("lsst:32", 61004.3, "4.0", "y", 22.4),
        ]
    )
    assert isinstance(alert, Alert)
    assert (alert.object_id, alert.alert_id, alert.source_id) == ("ANT2025uns34defs98p", "lsst:32", 32)
    assert alert.observations.band.tolist() == [1, 4, 5]
    assert alert.observations.detected.all()
    # ZTF's time is UTC at ANTARES, LSST's is TAI
    np.testing.assert_allclose(
        alert.observations.mjd, [60974.3 + 37 / 86400, 61004.3, 61004.3], rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(
        alert.observations.flux, 10 ** (0.4 * (31.4 - np.array([19.0, 22.5, 22.4]))), rtol=1e-6
    )
    assert (alert.ra, alert.dec) == (57.03, -49.74)


def test_signs_and_exact_fluxes_come_from_the_properties() -> None:
    rows = [
        row("ztf_candidate:1", 60001.0, 1, "R", 19.0),
        row("lsst:2", 60002.0, 4, "r", 19.0),
        row("lsst:3", 60003.0, 4, "r", 19.0),
    ]
    exact = about("lsst:3", lsst_diaSource_psfFlux=-123.5, lsst_diaSource_psfFluxErr=4.5)
    alert = decode(
        rows,
        [
            about("ztf_candidate:1", ztf_isdiffpos="f"),
            about("lsst:2", lsst_diaSource_isNegative="true"),
            exact,
        ],
    )
    assert isinstance(alert, Alert)
    size = 10 ** (0.4 * 12.4)
    np.testing.assert_allclose(alert.observations.flux, [-size, -size, -123.5], rtol=1e-6)
    assert alert.observations.flux_err[2] == 4.5


def test_rows_without_a_measurement_are_counted() -> None:
    rows = [
        row("lsst:1", 60001.0, 4, "x", 20.0),
        row("lsst:2", 60002.0, 4, "r", "nan"),
        row("lsst:3", 60003.0, 4, "r", 20.0, 0.0),
    ]
    alert = decode([*rows, row("lsst:4", 60004.0, 4, "r", -80.0), row("lsst:5", 60005.0, 4, "r", 20.0)])
    assert isinstance(alert, Alert)
    assert len(alert.observations) == 1
    assert alert.n_rejected == 4


def test_solar_system_alerts_are_skipped() -> None:
    rows = [row("lsst:1", 60001.0, 4, "r", 20.0)]
    skip = decode(rows, [about("lsst:1", ztf_ssnamenr="433", ztf_ssdistnr=2.0)])
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.SOLAR_SYSTEM
    assert isinstance(decode(rows, [about("lsst:1", ztf_ssnamenr="433", ztf_ssdistnr=20.0)]), Alert)
    # a source with an object and an asteroid counts as its object
    assert isinstance(decode(rows, [about("lsst:1", lsst_diaSource_ssObjectId=7)]), Alert)


def test_loci_without_detections_or_measurements_are_skipped() -> None:
    for rows in ([], [row("u:1", 60001.0, 2, "R", "", "")], [row("lsst:1", 60001.0, 4, "x", 20.0)]):
        skip = decode(rows)
        assert isinstance(skip, Skip)
        assert skip.reason is SkipReason.NO_MEASUREMENT


def test_a_locus_without_position_or_name_is_read() -> None:
    alert = decode([row("lsst:1", 60001.0, 4, "r", 20.0)], ra=None, dec="?")
    assert isinstance(alert, Alert)
    assert math.isnan(alert.ra)
    assert math.isnan(alert.dec)
    flat = {"locus_id": "ANT1", "lightcurve": f"{COLUMNS}\n{row('lsst:1', 60001.0, 4, 'r', 20.0)}"}
    assert AntaresCodec().decode(zlib.compress(bson.encode(flat))).object_id == "ANT1"
    del flat["locus_id"]
    assert AntaresCodec().decode(zlib.compress(bson.encode(flat))).reason is SkipReason.NO_OBJECT


def test_each_damage_has_its_message() -> None:
    codec, good = AntaresCodec(), message([row("lsst:1", 60001.0, 4, "r", 20.0)])
    with pytest.raises(DataError, match="has no light curve"):
        decode([], lightcurve=None)
    with pytest.raises(DataError, match="lacks the columns"):
        decode([], lightcurve="time,mag\n1,2")
    with pytest.raises(DataError, match="damaged message of ANTARES"):
        codec.decode(b"no zlib")
    with pytest.raises(DataError, match="cut short"):
        codec.decode(good[:-5])
    with pytest.raises(DataError, match="longer than its content"):
        codec.decode(good + b"x")
    with pytest.raises(DataError, match="damaged BSON"):
        codec.decode(zlib.compress(b"no bson"))
    with pytest.raises(DataError, match="larger than 100 bytes"):
        AntaresCodec(limits=Limits(message_bytes=100)).decode(good)


@given(st.data())
def test_flipped_bits_are_a_data_error_or_an_alert(data: st.DataObject) -> None:
    packet = bytearray(
        zlib.decompress(message([row("lsst:1", 60001.0, 4, "r", 20.0)], [about("lsst:1", x=1)]))
    )
    for at in data.draw(st.lists(st.integers(0, len(packet) - 1), min_size=1, max_size=4)):
        packet[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(DataError):
        assert isinstance(AntaresCodec().decode(zlib.compress(bytes(packet))), Alert | Skip)


def test_dates_and_numbers_of_any_size_are_read() -> None:
    dates = [about("lsst:1", when=bson.DatetimeMS(1 << 62), number=bson.Decimal128("1e400"))]
    assert decode([row("lsst:1", 60001.0, 4, "r", 20.0)], dates).alert_id == "lsst:1"


def test_without_pymongo_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    packet = message([row("lsst:1", 60001.0, 4, "r", 20.0)])
    monkeypatch.setitem(sys.modules, "bson", None)
    with pytest.raises(MissingExtraError, match=r'pip install "firstlight\[antares\]"'):
        AntaresCodec().decode(packet)


def test_included_entries_of_any_shape_leave_the_locus_as_it_is() -> None:
    rows = [row("lsst:1", 60001.0, 4, "r", 20.0)]
    expected = decode(rows)
    for included in (
        [None],
        [3],
        ["x"],
        [{"id": "lsst:1"}],
        [{"id": "lsst:1", "attributes": {"properties": 5}}],
    ):
        found = decode(rows, included)
        assert (found.alert_id, found.mjd) == (expected.alert_id, expected.mjd) == ("lsst:1", 60001.0)
        assert found.observations.flux.tolist() == expected.observations.flux.tolist()


def test_writing_a_detection_of_no_flux_is_refused(make_alert: Any) -> None:
    alert = make_alert(3)
    o = alert.observations
    zero = type(o)(o.mjd, o.band, np.zeros(3), o.flux_err, np.ones(3, bool), o.source_id)
    with pytest.raises(DataError, match="flux 0 has no magnitude"):
        AntaresCodec().encode(Alert("1", "a", 1.0, zero))
