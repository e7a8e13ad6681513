"""Avro codecs: framing, keys, containers; there and back; damage."""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.errors import DataError, MissingExtraError, SchemaError
from firstlight.stream import (
    Alert,
    AlertCodec,
    AntaresCodec,
    ConfluentCodec,
    ContainerCodec,
    FinkCodec,
    JsonLinesCodec,
    LasairCodec,
    MemorySchemas,
    Message,
    Skip,
    SkipReason,
)
from firstlight.stream.alerts.avro import FRAME_BYTES, MAX_SCHEMAS
from firstlight.stream.alerts.write import LSST_SCHEMA, LSST_SCHEMA_ID
from firstlight.stream.avro.container import write_container

from_extra = pytest.importorskip("fastavro")

LSST_CODECS: dict[str, Callable[[], AlertCodec]] = {
    "confluent": ConfluentCodec,
    "fink": FinkCodec,
    "container": ContainerCodec,
    "lasair": LasairCodec,
    "json": JsonLinesCodec,
}
ZTF_CODECS: dict[str, Callable[[], AlertCodec]] = {
    "container": lambda: ContainerCodec(survey="ztf"),
    "fink": lambda: FinkCodec(survey="ztf"),
}
HOST = ("ebv", "redshift", "redshift_err", "redshift_spec")


def round_trip(codec: AlertCodec, alert: Alert) -> Any:
    """Encode, then decode with whatever the format puts in the key."""
    return codec.decode(Message(codec.encode(alert), getattr(codec, "key", None)))


# --- laws that every codec obeys ----------------------------------------------------


@pytest.mark.parametrize("name", LSST_CODECS)
@pytest.mark.parametrize("n_obs", [1, 2, 40])
def test_an_alert_survives_encoding_whole(name: str, n_obs: int, make_alert: Any, same_alert: Any) -> None:
    alert = make_alert(n_obs, seed=n_obs)
    same_alert(round_trip(LSST_CODECS[name](), alert), alert)


@pytest.mark.parametrize("name", LSST_CODECS)
def test_unknown_values_stay_unknown(name: str, make_alert: Any, same_alert: Any) -> None:
    nothing = dict.fromkeys(HOST, float("nan"))
    alert = make_alert(5, **nothing)
    same_alert(round_trip(LSST_CODECS[name](), alert), alert)


@pytest.mark.parametrize("name", LSST_CODECS)
def test_a_galactic_redshift_and_the_dust_flag_survive(name: str, make_alert: Any, same_alert: Any) -> None:
    alert = make_alert(5, redshift=0.0, redshift_err=0.0, dereddened=True)
    same_alert(round_trip(LSST_CODECS[name](), alert), alert)


@pytest.mark.parametrize("name", LSST_CODECS)
def test_an_alert_that_no_detection_sent_survives(name: str, make_alert: Any, same_alert: Any) -> None:
    """A replay may send an alert for every observation, detected or not."""
    alert = make_alert(9)
    last = alert.observations
    detected = last.detected.copy()
    detected[-1] = False
    observations = type(last)(last.mjd, last.band, last.flux, last.flux_err, detected, last.source_id)
    quiet = Alert(observations=observations, **{field: getattr(alert, field) for field in FIELDS})
    actual = round_trip(LSST_CODECS[name](), quiet)
    same_alert(actual, quiet)
    assert not actual.observations.detected[-1]
    assert actual.n_rejected == 0


FIELDS = ("alert_id", "object_id", "mjd", "source_id", "ra", "dec", *HOST, "dereddened")


@pytest.mark.parametrize("name", ZTF_CODECS)
def test_the_ztf_form_keeps_all_but_the_host(name: str, make_alert: Any, same_alert: Any) -> None:
    alert = make_alert(25, bands="gri", object_id="ZTF19acihgng")
    actual = round_trip(ZTF_CODECS[name](), alert)
    # forced photometry has no number in ZTF's format, magnitudes in float32 cost some 1e-6
    same_alert(actual, alert, rtol=3e-6, without=(*HOST, "source_id"))
    detected = alert.observations.detected
    np.testing.assert_array_equal(
        actual.observations.source_id[detected], alert.observations.source_id[detected]
    )


def test_antares_keeps_the_detections(make_alert: Any) -> None:
    alert = make_alert(30, object_id="ANT2025uns34defs98p")
    actual = round_trip(AntaresCodec(), alert)
    assert isinstance(actual, Alert)
    detected = alert.observations.detected
    for name, rtol in (("mjd", 0.0), ("band", 0.0), ("flux", 1e-6), ("flux_err", 1e-6), ("source_id", 0.0)):
        expected = getattr(alert.observations, name)[detected]
        np.testing.assert_allclose(getattr(actual.observations, name), expected, rtol=rtol, err_msg=name)
    assert (actual.object_id, actual.source_id, actual.mjd) == (alert.object_id, alert.source_id, alert.mjd)


@pytest.mark.parametrize("name", [*LSST_CODECS, "antares", "ztf"])
def test_every_single_flipped_bit_is_an_error_or_an_alert(name: str, make_alert: Any) -> None:
    makers = {**LSST_CODECS, "antares": AntaresCodec, "ztf": ZTF_CODECS["container"]}
    codec = makers[name]()
    alert = make_alert(3, bands="gri")
    value, key = codec.encode(alert), getattr(codec, "key", None)
    rng = np.random.default_rng(1)
    for bit in rng.choice(8 * len(value), size=min(300, 8 * len(value)), replace=False):
        damaged = bytearray(value)
        damaged[bit // 8] ^= 1 << (bit % 8)
        try:
            actual = codec.decode(Message(bytes(damaged), key))
        except DataError:
            continue
        except SchemaError:
            assert bit < 8 * FRAME_BYTES
            continue
        assert isinstance(actual, Alert | Skip)
        if isinstance(actual, Alert):
            actual.light_curves()  # which refuses impossible values


@pytest.mark.parametrize("name", [*LSST_CODECS, "antares", "ztf"])
def test_every_truncation_is_an_error(name: str, make_alert: Any) -> None:
    makers = {**LSST_CODECS, "antares": AntaresCodec, "ztf": ZTF_CODECS["container"]}
    codec = makers[name]()
    value, key = codec.encode(make_alert(2, bands="gri")).rstrip(b"\n"), getattr(codec, "key", None)
    step = max(1, len(value) // 400)
    for cut in range(0, len(value), step):
        with pytest.raises(DataError):
            codec.decode(Message(value[:cut], key))


@pytest.mark.parametrize("name", [*LSST_CODECS, "antares"])
@settings(max_examples=25)
@given(noise=st.binary(max_size=200))
def test_noise_is_an_error(name: str, noise: bytes) -> None:
    codec = {**LSST_CODECS, "antares": AntaresCodec}[name]()
    with pytest.raises((DataError, SchemaError)):  # five bytes of noise may number an unknown schema
        codec.decode(Message(noise, json.dumps(LSST_SCHEMA).encode()))


# --- Confluent ------------------------------------------------------------------------


def test_the_frame_is_a_zero_byte_and_a_big_endian_number(make_alert: Any) -> None:
    value = ConfluentCodec(schema_id=1101).encode(make_alert(2))
    assert value[:5] == b"\x00\x00\x00\x04\x4d"
    assert ConfluentCodec().encode(make_alert(2))[1:5] == LSST_SCHEMA_ID.to_bytes(4, "big")


def test_bad_frames_name_the_fault(make_alert: Any) -> None:
    codec = ConfluentCodec()
    with pytest.raises(DataError, match="3 bytes are less than its head of 5"):
        codec.decode(b"\0\0\0")
    with pytest.raises(DataError, match="byte 0 is 0x01"):
        codec.decode(b"\x01" + codec.encode(make_alert(2))[1:])
    with pytest.raises(DataError, match="schema number 0"):
        codec.decode(b"\0\0\0\0\0rest")
    with pytest.raises(SchemaError, match="no Avro schema number 7"):
        codec.decode(b"\0\0\0\0\x07rest")


def test_a_schema_that_is_not_of_alerts_is_not_the_fault_of_a_message() -> None:
    codec = ConfluentCodec(MemorySchemas({7: "long"}))
    with pytest.raises(SchemaError, match="schema number 7") as caught:
        codec.decode(b"\0\0\0\0\x07rest")
    assert not caught.value.is_absent


def test_schemas_are_fetched_once_and_old_ones_forgotten(make_alert: Any) -> None:
    asked: list[int] = []

    class Counting(MemorySchemas):
        def schema(self, schema_id: int) -> Any:
            asked.append(schema_id)
            return LSST_SCHEMA

    codec = ConfluentCodec(Counting({}))
    body = codec.encode(make_alert(2))[5:]
    for number in (1, 1, 2, 2, 1):
        codec.decode(b"\0" + number.to_bytes(4, "big") + body)
    assert asked == [1, 2]
    for number in range(3, MAX_SCHEMAS + 4):
        codec.decode(b"\0" + number.to_bytes(4, "big") + body)
    codec.decode(b"\0\0\0\0\x01" + body)
    assert asked.count(1) == 2


def test_an_absent_registry_is_no_data_error(make_alert: Any) -> None:
    class Away(MemorySchemas):
        def schema(self, schema_id: int) -> Any:
            raise SchemaError("the registry is away")

    with pytest.raises(SchemaError):
        ConfluentCodec(Away({})).decode(ConfluentCodec().encode(make_alert(2)))


def test_packets_are_as_large_as_their_cutouts(make_alert: Any, same_alert: Any) -> None:
    alert = make_alert(10)
    codec = ConfluentCodec(cutout_bytes=30_000)
    value = codec.encode(alert)
    assert 30_000 < len(value) < 32_000
    assert value == ConfluentCodec(cutout_bytes=30_000).encode(alert)
    same_alert(codec.decode(value), alert)


def test_names_that_are_no_integers_are_refused_with_advice(make_alert: Any) -> None:
    for values in (
        {"object_id": "SN2011fe"},
        {"alert_id": "a-1"},
        {"object_id": "9" * 30},
        {"object_id": "-5"},
    ):
        with pytest.raises(DataError, match="JSON lines hold any name"):
            ConfluentCodec().encode(make_alert(2, **values))


# --- Fink -----------------------------------------------------------------------------


def test_fink_reads_the_schema_of_the_key(fink_writer: Any, make_alert: Any, packet: Any) -> None:
    alert = make_alert(8)
    value = packet(fink_writer.schema, fink_writer.record(alert))
    actual = FinkCodec().decode(Message(value, json.dumps(fink_writer.schema).encode()))
    assert isinstance(actual, Alert)
    np.testing.assert_array_equal(actual.observations.flux, alert.observations.flux)


def test_fink_without_a_schema_in_the_key_needs_one(fink_writer: Any, make_alert: Any, packet: Any) -> None:
    value = packet(fink_writer.schema, fink_writer.record(make_alert(4)))
    for message in (value, Message(value), Message(value, b"1.0_4.02")):
        with pytest.raises(DataError, match="pass the message with its key"):
            FinkCodec().decode(message)
        assert isinstance(FinkCodec(fink_writer.schema).decode(message), Alert)


def test_a_broken_key_is_a_data_error(make_alert: Any) -> None:
    with pytest.raises(DataError, match="key of the message: not an Avro schema"):
        FinkCodec().decode(Message(b"x", b'{"type": "record"'))
    with pytest.raises(DataError):
        FinkCodec().decode(Message(b"x", b'{"type": "record"}'))


# --- containers -----------------------------------------------------------------------


def test_a_container_of_many_alerts_is_read_one_by_one(make_alert: Any, same_alert: Any) -> None:
    alerts = [make_alert(5, seed=i, alert_id=str(i + 1)) for i in range(7)]
    codec = ContainerCodec()
    data = codec.encode_all(alerts)
    for actual, expected in zip(codec.decode_all(data), alerts, strict=True):
        same_alert(actual, expected)
    with pytest.raises(DataError, match="holds 7 alerts instead of one"):
        codec.decode(data)
    with pytest.raises(DataError, match="holds 0 alerts"):
        codec.decode(codec.encode_all([]))


@pytest.mark.parametrize("codec_name", ["null", "deflate"])
def test_containers_written_by_fastavro_are_read(codec_name: str, lsst_writer: Any, make_alert: Any) -> None:
    from io import BytesIO

    alerts = [make_alert(12, seed=i) for i in range(4)]
    out = BytesIO()
    records = [lsst_writer.record(alert) for alert in alerts]
    from_extra.writer(out, lsst_writer.schema, records, codec=codec_name, sync_interval=2000)
    found = list(ContainerCodec().decode_all(out.getvalue()))
    for actual, expected in zip(found, alerts, strict=True):
        assert isinstance(actual, Alert)
        np.testing.assert_array_equal(actual.observations.flux, expected.observations.flux)


def test_fastavro_reads_the_containers_that_we_write(make_alert: Any) -> None:
    from io import BytesIO

    alert = make_alert(6)
    records = list(from_extra.reader(BytesIO(ContainerCodec().encode_all([alert, alert]))))
    assert len(records) == 2
    assert records[0]["diaSource"]["midpointMjdTai"] == alert.mjd


def test_a_bad_record_is_set_aside_and_the_other_blocks_go_on(make_alert: Any) -> None:
    codec = ContainerCodec()
    good = [ConfluentCodec().encode(make_alert(3, seed=i))[5:] for i in range(3)]
    head = len(write_container(LSST_SCHEMA, []))
    blocks = [write_container(LSST_SCHEMA, [record])[head:] for record in good]
    poison = write_container(LSST_SCHEMA, [good[0], b"\xff" * 40, good[1]])[head:]
    data = write_container(LSST_SCHEMA, []) + blocks[0] + poison + blocks[2]
    found = list(codec.decode_all(data))
    assert [type(item) for item in found] == [Alert, Alert, DataError, Alert]
    assert "record 3 of the container (2 lost with it)" in str(found[2])


def test_a_container_cut_inside_a_block_gives_the_alerts_before_the_cut(make_alert: Any) -> None:
    data = ContainerCodec().encode(make_alert(3))
    head = len(write_container(LSST_SCHEMA, []))
    found = list(ContainerCodec().decode_all(data + data[head : head + 50]))
    assert [type(item) for item in found] == [Alert, DataError]


def test_a_container_goes_on_after_a_block_without_its_marker(make_alert: Any) -> None:
    head = len(write_container(LSST_SCHEMA, []))
    one = ContainerCodec().encode(make_alert(3))
    spoilt = one[:-16] + b"\0" * 16 + one[-16:]  # the marker, but later than the block ends
    found = list(ContainerCodec().decode_all(spoilt + one[head:]))
    assert [type(item) for item in found] == [DataError, Alert]


def test_skips_come_out_of_containers_too(lsst_latest: Any, make_alert: Any, packet: Any) -> None:
    record = lsst_latest.record(make_alert(3))
    record["diaSource"] |= {"ssObjectId": 5, "diaObjectId": 0}
    record["diaObject"] = None
    data = write_container(lsst_latest.schema, [packet(lsst_latest.schema, record)])
    assert ContainerCodec().decode(data).reason is SkipReason.SOLAR_SYSTEM


# --- without the extra ----------------------------------------------------------------


def test_reading_needs_no_fastavro_and_writing_names_the_extra(
    make_alert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = make_alert(4)
    values = {name: make().encode(alert) for name, make in LSST_CODECS.items()}
    key = FinkCodec().key
    monkeypatch.setitem(sys.modules, "fastavro", None)
    for name, make in LSST_CODECS.items():
        assert isinstance(make().decode(Message(values[name], key)), Alert)
    for codec in (ConfluentCodec(), FinkCodec(), ContainerCodec()):
        with pytest.raises(MissingExtraError, match=r'pip install "firstlight\[stream\]"'):
            codec.encode(alert)


def test_an_unknown_survey_is_refused() -> None:
    with pytest.raises(DataError, match="survey 'atlas'"):
        ContainerCodec(survey="atlas")  # type: ignore[arg-type]
