"""The format of a message is told from its bytes."""

import json

import pytest

from firstlight.errors import DataError, FetchError, SettingsError
from firstlight.stream import (
    Alert,
    AntaresCodec,
    ConfluentCodec,
    ContainerCodec,
    FinkCodec,
    JsonLinesCodec,
    LasairCodec,
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
def test_every_format_is_told_from_its_bytes(kind, make_alert):
    assert detect_format(*message(kind, make_alert())) == kind


@pytest.mark.parametrize("kind", CODECS)
def test_an_alert_comes_out_of_every_format_undetected_or_named(kind, make_alert):
    alert = make_alert()
    for decoder in (AlertDecoder(), AlertDecoder(kind)):
        (found,) = decoder.decode_all(*message(kind, alert))
        assert isinstance(found, Alert), found
        assert found.object_id == alert.object_id


def test_a_container_of_several_alerts_gives_them_all(make_alert):
    alerts = [make_alert(seed=seed) for seed in range(3)]
    found = AlertDecoder().decode_all(ContainerCodec().encode_all(alerts))
    assert [item.mjd for item in found] == [alert.mjd for alert in alerts]


def test_a_container_of_none_is_an_error():
    (found,) = AlertDecoder().decode_all(ContainerCodec().encode_all([]))
    assert isinstance(found, DataError)


def test_skipped_alerts_are_handed_on_with_their_reason():
    line = b'{"alert_id": "1", "object_id": "", "mjd": 60000.0, "observations": {"mjd": [], "band": "",' + (
        b'"flux": [], "flux_err": [], "detected": [], "source_id": []}}'
    )
    (found,) = AlertDecoder().decode_all(line)
    assert isinstance(found, Skip)
    assert found.reason == "no-object"


@pytest.mark.parametrize(
    "value", [b"", b"\x01\x02", b"hello", b"\0\0\0\0\x07rest", b"Obj\x01", b"{", b"\x78\x9cgarbage", b"[]"]
)
def test_what_is_no_alert_comes_back_as_an_error(value):
    (found,) = AlertDecoder().decode_all(value)
    assert isinstance(found, DataError)
    assert str(found)


def test_a_key_that_is_json_but_no_schema_does_not_make_it_finks(make_alert):
    value, _ = message("confluent", make_alert())
    assert detect_format(value, b'{"object": 7}') == "confluent"
    (found,) = AlertDecoder().decode_all(value, b'{"object": 7}')
    assert isinstance(found, Alert)


def test_blanks_before_json_do_not_hide_it(make_alert):
    assert detect_format(b" \n" + CODECS["json"].encode(make_alert())) == "json"


def test_plain_avro_needs_its_schema_and_ignores_keys(make_alert, tmp_path):
    value = FinkCodec().encode(make_alert())
    with pytest.raises(SettingsError, match="schema"):
        AlertDecoder("plain")
    path = tmp_path / "alert.avsc"
    path.write_text(json.dumps(LSST_SCHEMA))
    (found,) = alert_decoder("plain", str(path)).decode_all(value, b'{"fields": 1}')
    assert isinstance(found, Alert)


def test_schemas_come_from_a_folder(make_alert, tmp_path):
    (tmp_path / "77.avsc").write_text(json.dumps(LSST_SCHEMA))
    value = ConfluentCodec(schema_id=77).encode(make_alert())
    assert isinstance(alert_decoder("auto", str(tmp_path)).decode_all(value)[0], Alert)
    assert isinstance(alert_decoder("auto").decode_all(value)[0], DataError)


def test_a_registry_that_is_away_is_not_the_messages_fault(make_alert):
    class Away:
        def schema(self, schema_id):
            raise FetchError("no answer")

    decoder = AlertDecoder(schemas=Away())
    with pytest.raises(FetchError):
        decoder.decode_all(CODECS["confluent"].encode(make_alert()))


def test_unknown_formats_and_places_are_refused(tmp_path):
    assert "auto" in FORMATS
    with pytest.raises(SettingsError, match="choose one of auto"):
        AlertDecoder("avro2")
    with pytest.raises(SettingsError, match="neither a folder"):
        alert_decoder("auto", str(tmp_path / "nothing"))
    assert alert_decoder("auto", "http://127.0.0.1:9/registry").format == "auto"


def test_records_of_a_container_taken_apart_come_with_the_schema_as_their_key(make_alert):
    value, key = message("fink", make_alert())
    for form in ("auto", "container"):
        assert isinstance(AlertDecoder(form).decode_all(value, key)[0], Alert)


def test_names_that_are_no_text_are_refused_and_others_are_not(make_alert):
    line = JsonLinesCodec().encode(make_alert(object_id="\u00e9toile"))
    assert isinstance(AlertDecoder().decode_all(line)[0], Alert)
    (found,) = AlertDecoder().decode_all(line.replace(b"\\u00e9", b"\\ud800"))
    assert isinstance(found, DataError)
    assert "no Unicode" in str(found)
