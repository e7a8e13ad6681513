"""Real alerts of Rubin, ZTF and ELAsTiCC, where a folder with them is named.

Set FIRSTLIGHT_REAL_ALERTS to a folder of Avro containers (searched with its subfolders).
None of them is part of this repository.
"""

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstlight.stream import Alert, ContainerCodec, FinkCodec, Skip
from firstlight.stream.alerts.layouts import read_record, resolve_layout
from firstlight.stream.avro.container import read_header
from firstlight.stream.avro.decode import FastavroDecoder, SelectiveDecoder
from firstlight.stream.avro.schema import field_paths

FOLDER = os.environ.get("FIRSTLIGHT_REAL_ALERTS", "")
FILES = sorted(Path(FOLDER).rglob("*.avro")) if FOLDER else []
pytestmark = pytest.mark.skipif(not FILES, reason="FIRSTLIGHT_REAL_ALERTS names no folder with alerts")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_alerts_read_as_fastavro_reads_them(path: Path) -> None:
    fastavro = pytest.importorskip("fastavro")
    data = path.read_bytes()
    records = list(fastavro.reader(BytesIO(data)))
    found = list(ContainerCodec().decode_all(data))
    assert len(found) == len(records)
    for actual, record in zip(found, records, strict=True):
        expected = read_record(record)
        assert type(actual) is type(expected)
        if isinstance(actual, Skip):
            assert actual == expected
            continue
        assert isinstance(actual, Alert)
        assert isinstance(expected, Alert)
        assert (actual.alert_id, actual.object_id, actual.mjd) == (
            expected.alert_id,
            expected.object_id,
            expected.mjd,
        )
        for name in ("mjd", "band", "flux", "flux_err", "detected", "source_id"):
            left, right = getattr(actual.observations, name), getattr(expected.observations, name)
            np.testing.assert_array_equal(left, right)
        assert actual.light_curves().n_obs[0] == len(actual.observations)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_field_of_real_alerts_reads_the_same_in_both_decoders(path: Path, packet: Any) -> None:
    fastavro = pytest.importorskip("fastavro")
    data = path.read_bytes()
    schema = read_header(data).schema
    layout = resolve_layout(field_paths(schema))
    fast, slow = SelectiveDecoder(schema, layout.selection), FastavroDecoder(schema, layout.selection)
    for record in list(fastavro.reader(BytesIO(data)))[:5]:
        value = packet(schema, record)
        left, right = fast.decode(value), slow.decode(value)
        assert left.scalars() == right.scalars()
        for number in range(len(layout.selection.tables)):
            assert left.table(number) == right.table(number)
        assert FinkCodec(schema).decode(value) is not None
