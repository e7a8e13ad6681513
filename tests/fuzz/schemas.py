"""Avro schemas of strangers, in the heads of containers: each is compiled in bounded time, or is an error."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.fuzz.mutate import change_bytes, change_json, to_json
from tests.fuzz.packets import check_decoded, container, nested_schemas
from tests.stream.conftest import build_alert

from firstlight.errors import SchemaError
from firstlight.stream import FinkCodec
from firstlight.stream.alerts.decoder import AlertDecoder
from firstlight.stream.alerts.write import LSST_SCHEMA, ZTF_SCHEMA

_TYPES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string", "alert", "nothing", {}, [])


def make(folder: Path) -> "Schemas":
    """The target; it needs no folder."""
    return Schemas()


class Schemas:
    documented = (SchemaError,)
    case_s = 5
    case_bytes = 256 << 20

    def __init__(self) -> None:
        self._schemas = [LSST_SCHEMA, ZTF_SCHEMA]
        self._record = FinkCodec().encode(build_alert())
        self._reads(json.dumps(LSST_SCHEMA).encode(), self._record)

    def past(self) -> list[Callable[[], None]]:
        """Schemas that never ended or went too deep."""
        return [
            lambda: [self._reads(to_json(schema), b"\0" * 100) for schema in nested_schemas()],
            lambda: self._reads(b'{"type":' * 50_000, b"\0"),
            lambda: self._reads(b"[" * 200_000, b"\0"),
            lambda: self._reads(_with_type([]), self._record),
            lambda: self._reads(_with_type([["null", "double"], "null"]), self._record),
            lambda: self._reads(_with_type([{"type": "map", "values": ["null", []]}]), self._record),
        ]

    def case(self, rng: np.random.Generator) -> Callable[[], None]:
        """A schema with changed values, types or bytes, over records that fit, or do not."""
        schema = self._schemas[rng.integers(len(self._schemas))]
        for _ in range(rng.integers(1, 4)):
            schema = _change_type(rng, schema) if rng.random() < 0.5 else change_json(rng, schema)
        text = to_json(schema)
        if rng.random() < 0.1:
            text = change_bytes(rng, text)
        body = self._record if rng.random() < 0.7 else rng.bytes(int(rng.integers(0, 400)))
        return lambda: self._reads(text, body)

    def _reads(self, schema: bytes, body: bytes) -> None:
        decoder = AlertDecoder()  # none knows a schema of before
        check_decoded(decoder.decode_all(container(schema, 1, body)))
        check_decoded(decoder.decode_all(body, schema))


def _with_type(kind: object) -> bytes:
    """The LSST-like schema with another type for each declination."""

    def changed(value: object) -> object:
        if isinstance(value, dict):
            replaced = {"type": kind} if value.get("name") == "dec" else {}
            return {key: changed(part) for key, part in value.items()} | replaced
        return [changed(part) for part in value] if isinstance(value, list) else value

    return to_json(changed(LSST_SCHEMA))


def _change_type(rng: np.random.Generator, schema: object) -> object:
    """Another type, array, map or union for one field."""
    schema = copy.deepcopy(schema)
    places: list[dict[str, object]] = []

    def collect(value: object) -> None:
        if isinstance(value, dict):
            if "type" in value:
                places.append(value)
            for part in value.values():
                collect(part)
        elif isinstance(value, list):
            for part in value:
                collect(part)

    collect(schema)
    if places:
        place = places[rng.integers(len(places))]
        simple = _TYPES[rng.integers(len(_TYPES))]
        old = place["type"]
        ways = (
            simple,
            [old, simple],
            {"type": "array", "items": old},
            {"type": "map", "values": old},
            [old] * 300,
        )
        place["type"] = ways[rng.integers(len(ways))]
    return schema
