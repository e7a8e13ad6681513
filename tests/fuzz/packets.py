"""Alerts of every format, and checks of decoded ones: for the targets that decode."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tests.stream.conftest import build_alert

from firstlight.errors import DataError
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

REAL = Path(__file__).parent.parent / "stream" / "alerts" / "packets"
LONGEST_NAME = 1 << 20  # characters of a name or message that a decoder may give

Seed = tuple[bytes, bytes | None]  # value and key of a message


def seeds() -> dict[str, Seed]:
    """A message of each format, of our own alerts and of surveys."""
    alert = build_alert()
    fink = FinkCodec()
    found: dict[str, Seed] = {
        "confluent": (ConfluentCodec().encode(alert), None),
        "container": (ContainerCodec().encode_all([alert, build_alert(seed=1)]), None),
        "fink": (fink.encode(alert), fink.key),
        "json": (JsonLinesCodec().encode(alert), None),
        "lasair": (LasairCodec().encode(alert), None),
        "antares": (AntaresCodec().encode(alert), None),
    }
    return found | {path.name: (path.read_bytes(), None) for path in sorted(REAL.glob("*.avro"))}


def check_decoded(items: list[Alert | Skip | DataError]) -> None:
    """Assert that everything decoded is an alert that the worker can use, or says why not."""
    assert isinstance(items, list), "not a list"
    for item in items:
        if isinstance(item, DataError):
            assert len(str(item)) <= LONGEST_NAME, "an error of a megabyte"
            continue
        assert isinstance(item.alert_id, str), "an alert_id that is no text"
        assert isinstance(item.object_id, str), "an object_id that is no text"
        (item.alert_id + item.object_id).encode()
        if isinstance(item, Alert):
            observations = item.observations
            assert np.isfinite(observations.mjd).all(), "a time that is not finite"
            assert (np.diff(observations.mjd) >= 0.0).all(), "times that do not ascend"
            assert np.isfinite(observations.flux).all(), "a flux that is not finite"
            assert (observations.flux_err > 0.0).all(), "a flux error that is not positive"
            assert ((observations.band >= 0) & (observations.band < 6)).all(), "a band that does not exist"


def varint(value: int) -> bytes:
    """An integer as Avro writes it."""
    bits = (value << 1) ^ (value >> 63)
    out = bytearray()
    while bits > 0x7F:
        out.append(bits & 0x7F | 0x80)
        bits >>= 7
    return bytes([*out, bits])


def container(schema: Any, count: int, body: bytes, codec: bytes = b"null") -> bytes:
    """An Avro container of one block, whose parts need not fit each other."""
    text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    pieces = (b"avro.codec", codec, b"avro.schema", text)
    head = b"Obj\x01" + varint(2) + b"".join(varint(len(piece)) + piece for piece in pieces) + varint(0)
    sync = b"S" * 16
    return head + sync + varint(count) + varint(len(body)) + body + sync


def nested_schemas() -> Iterator[Any]:
    """Schemas that double with each field, and that go deep."""
    pair = [{"name": "a", "type": "long"}, {"name": "b", "type": "long"}]
    fields: list[Any] = [{"name": "f0", "type": {"type": "record", "name": "r0", "fields": pair}}]
    for i in range(1, 40):
        twice = [{"name": name, "type": f"r{i - 1}"} for name in "ab"]
        fields.append({"name": f"f{i}", "type": {"type": "record", "name": f"r{i}", "fields": twice}})
    yield {"type": "record", "name": "alert", "fields": fields}
    deep: Any = "long"
    for _ in range(900):
        deep = {"type": "array", "items": deep}
    yield {"type": "record", "name": "alert", "fields": [{"name": "a", "type": deep}]}
