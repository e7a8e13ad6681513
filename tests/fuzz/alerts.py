"""Messages of every format: each gives alerts that the worker can use, or an error in place of an alert."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.fuzz.mutate import change_bytes, change_json, to_json
from tests.fuzz.packets import check_decoded, seeds

from firstlight.errors import DataError, SchemaError
from firstlight.stream.alerts.decoder import FORMATS, AlertDecoder


def make(folder: Path) -> "Alerts":
    """The target; it needs no folder."""
    return Alerts()


class Alerts:
    documented = (SchemaError,)  # the schema cannot be had: the worker tries again or stops
    case_s = 5
    case_bytes = 256 << 20

    def __init__(self) -> None:
        self._seeds = seeds()
        self._decoder = AlertDecoder()
        for value, key in self._seeds.values():
            check_decoded(self._decoder.decode_all(value, key))

    def past(self) -> list[Callable[[], None]]:
        """Lines that once ended the worker, or took gigabytes."""
        line = self._seeds["json"][0]
        changes = [
            {"source_id": 10**30},
            {"source_id": -(10**4000)},
            {"object_id": "9" * 5000},
            {"object_id": "\ud800"},
            {"object_id": "x" * (1 << 20)},
            {"mjd": 1e999},
            {"junk": "x" * (13 << 20)},
        ]
        return [lambda change=change: self._reads(to_json(json.loads(line) | change)) for change in changes]

    def case(self, rng: np.random.Generator) -> Callable[[], None]:
        """A message with changed bytes, or with changed values where its format is JSON."""
        name = list(self._seeds)[rng.integers(len(self._seeds))]
        value, key = self._seeds[name]
        if name in ("json", "lasair") and rng.random() < 0.8:
            value = to_json(change_json(rng, json.loads(value)))
        elif name == "antares" and rng.random() < 0.8:
            value = zlib.compress(change_bytes(rng, zlib.decompress(value)))
        else:
            value = change_bytes(rng, value)
        if key is not None and rng.random() < 0.2:
            key = change_bytes(rng, key)
        form = FORMATS[rng.integers(len(FORMATS))] if rng.random() < 0.1 else "auto"
        if form in ("auto", "plain"):
            return lambda: self._reads(value, key)
        return lambda: check_decoded(AlertDecoder(form).decode_all(value, key))

    def _reads(self, value: bytes, key: bytes | None = None) -> None:
        found = self._decoder.decode_all(value, key)
        check_decoded(found)
        assert found, "neither an alert nor an error"
        assert all(isinstance(item, DataError) or len(item.object_id) < 1 << 16 for item in found), (
            "a long name"
        )
