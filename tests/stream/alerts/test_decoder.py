"""The format of a message is detected from its bytes, and the alert read is the alert written."""

import json

import pytest
from tests.stream.conftest import assert_same_alert

from firstlight.errors import DataError, SchemaError, SettingsError
from firstlight.stream import (
    AntaresCodec,
    ConfluentCodec,
    ContainerCodec,
    FinkCodec,
    JsonLinesCodec,
    LasairCodec,
    Message,
    Skip,
)
from firstlight.stream.alerts.decoder import FORMATS, AlertDecoder, alert_decoder, detect_format
from firstlight.stream.alerts.write import LSST_SCHEMA

CODECS = {
    "confluent": ConfluentCodec(),
    "container": ContainerCodec(),
    "fink": FinkCodec(),
    "json": JsonLinesCodec(),
    "lasair": LasairCodec(),
    "antares": AntaresCodec(),
}


def message(kind, alert) -> tuple[bytes, bytes | None]:
    codec = CODECS[kind]
    return codec.encode(alert), codec.key if kind == "fink" else None


@pytest.mark.parametrize("kind", CODECS)
def test_every_format_is_detected_from_its_bytes(kind, make_alert):
    assert detect_format(*message(kind, make_alert())) == kind


@pytest.mark.parametrize("kind", CODECS)
def test_an_alert_survives_every_format_detected_or_named(kind, make_alert):
    alert = make_alert()
    value, key = message(kind, alert)
    expected = CODECS[kind].decode(Message(value, key))
    assert (expected.object_id, expected.mjd) == (alert.object_id, pytest.approx(alert.mjd, abs=1e-9))
    for decoder in (AlertDecoder(), AlertDecoder(kind)):
        (found,) = decoder.decode_all(value, key)
        assert_same_alert(found, expected, rtol=0)


def test_a_container_of_several_alerts_gives_them_all(make_alert):
    alerts = [make_alert(seed=seed) for seed in range(3)]
    found = AlertDecoder().decode_all(ContainerCodec().encode_all(alerts))
    assert [item.mjd for item in found] == [alert.mjd for alert in alerts]


def test_a_container_of_none_is_an_error():
    (found,) = AlertDecoder().decode_all(ContainerCodec().encode_all([]))
    assert isinstance(found, DataError)
    assert str(found) == "the Avro container holds no alert"


def test_skipped_alerts_are_handed_on_with_their_reason():
    line = b'{"alert_id": "1", "object_id": "", "mjd": 60000.0, "observations": {"mjd": [], "band": "",' + (
        b'"flux": [], "flux_err": [], "detected": [], "source_id": []}}'
    )
    (found,) = AlertDecoder().decode_all(line)
    assert isinstance(found, Skip)
    assert found.reason == "no-object"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "an empty message"),
        (b"\x01\x02", "unknown format"),
        (b"hello", "unknown format"),
        (b"[]", "unknown format"),
        (b"Obj\x01", "damaged Avro container"),
        (b"{", "not JSON"),
        (b"\x78\x9cgarbage", "damaged message of ANTARES"),
    ],
)
def test_a_message_that_is_no_alert_comes_back_as_an_error(value, why):
    (found,) = AlertDecoder().decode_all(value)
    assert isinstance(found, DataError)
    assert why in str(found)


def test_a_json_key_without_a_schema_does_not_make_it_finks(make_alert):
    alert = make_alert()
    value, _ = message("confluent", alert)
    assert detect_format(value, b'{"object": 7}') == "confluent"
    (found,) = AlertDecoder().decode_all(value, b'{"object": 7}')
    assert_same_alert(found, alert, rtol=1e-6)


def test_blanks_before_json_do_not_hide_it(make_alert):
    assert detect_format(b" \n" + CODECS["json"].encode(make_alert())) == "json"


def test_plain_avro_needs_its_schema_and_ignores_keys(make_alert, tmp_path):
    alert = make_alert()
    value = FinkCodec().encode(alert)
    with pytest.raises(SettingsError, match="schema"):
        AlertDecoder("plain")
    path = tmp_path / "alert.avsc"
    path.write_text(json.dumps(LSST_SCHEMA))
    (found,) = alert_decoder("plain", str(path)).decode_all(value, b'{"fields": 1}')
    assert_same_alert(found, alert, rtol=1e-6)


def test_schemas_come_from_a_folder(make_alert, tmp_path):
    (tmp_path / "77.avsc").write_text(json.dumps(LSST_SCHEMA))
    alert = make_alert()
    value = ConfluentCodec(schema_id=77).encode(alert)
    assert_same_alert(alert_decoder("auto", str(tmp_path)).decode_all(value)[0], alert, rtol=1e-6)
    with pytest.raises(SchemaError, match="no Avro schema number 77"):
        alert_decoder("auto").decode_all(value)


def test_a_registry_that_does_not_answer_is_no_fault_of_the_message(make_alert):
    class Away:
        def schema(self, schema_id):
            raise SchemaError("no answer")

    decoder = AlertDecoder(schemas=Away())
    with pytest.raises(SchemaError):
        decoder.decode_all(CODECS["confluent"].encode(make_alert()))


def test_unknown_formats_and_places_are_refused(tmp_path):
    assert "auto" in FORMATS
    with pytest.raises(SettingsError, match="choose one of auto"):
        AlertDecoder("avro2")
    with pytest.raises(SettingsError, match="not a folder"):
        alert_decoder("auto", str(tmp_path / "nothing"))
    with pytest.raises(SettingsError, match="not a folder") as caught:
        alert_decoder("auto", "htp://me:swordfish@registry")
    assert "swordfish" not in str(caught.value)
    assert alert_decoder("auto", "http://127.0.0.1:9/registry").format == "auto"


def test_records_from_a_container_have_the_schema_as_their_key(make_alert):
    alert = make_alert()
    value, key = message("fink", alert)
    for form in ("auto", "container"):
        assert_same_alert(AlertDecoder(form).decode_all(value, key)[0], alert, rtol=1e-6)


def test_names_that_are_not_unicode_are_refused_and_others_are_not(make_alert):
    line = JsonLinesCodec().encode(make_alert(object_id="\u00e9toile"))
    assert AlertDecoder().decode_all(line)[0].object_id == "\u00e9toile"
    (found,) = AlertDecoder().decode_all(line.replace(b"\\u00e9", b"\\ud800"))
    assert isinstance(found, DataError)
    assert "not valid Unicode" in str(found)
