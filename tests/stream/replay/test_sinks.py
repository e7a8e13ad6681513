"""Files of a replay: whole, readable by anyone, and none after an error."""

import errno
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstlight.errors import DataError, SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.stream import Alert, ConfluentCodec, ContainerCodec, FolderSchemas, JsonLinesCodec
from firstlight.stream.alerts.write import LSST_SCHEMA, LSST_SCHEMA_ID
from firstlight.stream.replay.replay import Replay, ReplayConfig, night_of
from firstlight.stream.replay.sinks import (
    AvroFile,
    JsonLinesFile,
    NightlyFolder,
    PacketSink,
    open_packet_sink,
    write_schema,
)


@pytest.fixture(scope="module")
def few(sample: LightCurves) -> LightCurves:
    return sample.take(np.arange(4))


def write_all(sink: PacketSink, replay: Replay) -> None:
    with sink:
        for packet in sink.packets(replay):
            sink.write(packet)


def assert_same(actual: Iterable[Any], replay: Replay) -> None:
    """The alerts are those of the replay."""
    codec = JsonLinesCodec()
    assert [codec.encode(alert) for alert in actual] == [codec.encode(alert) for alert in replay.alerts()]


@pytest.mark.parametrize("size", [0, 30_000])
def test_a_container_holds_every_packet_in_order(few: LightCurves, tmp_path: Path, size: int) -> None:
    replay = Replay(few, ReplayConfig(packet_bytes=size))
    write_all(AvroFile(tmp_path / "new" / "a.avro"), replay)
    data = (tmp_path / "new" / "a.avro").read_bytes()
    assert_same(ContainerCodec().decode_all(data), replay)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.avro"]


def test_a_container_is_one_that_fastavro_reads(few: LightCurves, tmp_path: Path) -> None:
    fastavro = pytest.importorskip("fastavro")
    replay = Replay(few, ReplayConfig(packet_bytes=30_000))
    write_all(AvroFile(tmp_path / "a.avro"), replay)
    with (tmp_path / "a.avro").open("rb") as file:
        records = list(fastavro.reader(file))
    assert [r["diaSourceId"] for r in records] == [int(alert.alert_id) for alert in replay.alerts()]


def test_json_lines_hold_every_alert_under_its_own_name(few: LightCurves, tmp_path: Path) -> None:
    named = replace(few, object_id=np.array(["SN a", "SN b", "c", "4"]))
    replay = Replay(named)
    write_all(JsonLinesFile(tmp_path / "a.jsonl"), replay)
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines(keepends=True)
    assert_same([JsonLinesCodec().decode(line) for line in lines], replay)


@pytest.mark.parametrize("config", [ReplayConfig(packet_bytes=100), ReplayConfig(renumber=True)])
def test_json_lines_have_no_size_and_no_numbers(
    few: LightCurves, tmp_path: Path, config: ReplayConfig
) -> None:
    with pytest.raises(SettingsError, match="hold any name"):
        JsonLinesFile(tmp_path / "a.jsonl").packets(Replay(few, config))


def test_a_folder_holds_a_container_a_night(few: LightCurves, tmp_path: Path) -> None:
    replay = Replay(few, ReplayConfig(late=0.1, shuffle_night=True))
    write_all(NightlyFolder(tmp_path / "nights"), replay)
    files = sorted((tmp_path / "nights").iterdir())
    assert [path.name for path in files] == [f"{n}.avro" for n in np.unique(night_of(replay.mjd))]
    alerts = [alert for path in files for alert in ContainerCodec().decode_all(path.read_bytes())]
    assert_same(alerts, replay)


def test_a_folder_with_alerts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "59580.avro").touch()
    with pytest.raises(DataError, match="holds alerts already"):
        NightlyFolder(tmp_path)
    with pytest.raises(DataError, match="is a file"):
        NightlyFolder(tmp_path / "59580.avro")


def stop_in_the_middle(sink: PacketSink, replay: Replay) -> None:
    with sink:
        sink.write(next(sink.packets(replay)))
        raise RuntimeError("stop")


@pytest.mark.parametrize("name", ["a.avro", "a.jsonl", "nights"])
def test_an_error_leaves_no_half_file(few: LightCurves, tmp_path: Path, name: str) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        stop_in_the_middle(open_packet_sink(tmp_path / name), Replay(few))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class FullDisk:
    """A file on a disk that is full."""

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def write_to_full_disk(sink: Any, replay: Replay) -> None:
    with sink:
        sink._file = FullDisk()
        for packet in sink.packets(replay):
            sink.write(packet)


@pytest.mark.parametrize("kind", [AvroFile, JsonLinesFile])
def test_a_full_disk_is_a_message(few: LightCurves, tmp_path: Path, kind: Any) -> None:
    replay = Replay(few, ReplayConfig(max_alerts=3))
    with pytest.raises(DataError, match=r"cannot write .*No space left"):
        write_to_full_disk(kind(tmp_path / "a"), replay)


def test_a_path_gives_the_kind_of_sink(tmp_path: Path) -> None:
    assert isinstance(open_packet_sink(tmp_path / "a.AVRO"), AvroFile)
    assert isinstance(open_packet_sink(tmp_path / "a.jsonl"), JsonLinesFile)
    assert isinstance(open_packet_sink(tmp_path / "nights"), NightlyFolder)
    (tmp_path / "v1.2").mkdir()
    assert isinstance(open_packet_sink(tmp_path / "v1.2"), NightlyFolder)
    with pytest.raises(SettingsError, match=r"FILE\.avro, FILE\.jsonl, or a folder"):
        open_packet_sink(tmp_path / "a.csv")


def test_the_schema_lets_others_read_the_frames(few: LightCurves, tmp_path: Path) -> None:
    path = write_schema(tmp_path / "schemas")
    assert path.name == f"{LSST_SCHEMA_ID}.avsc"
    assert json.loads(path.read_text()) == LSST_SCHEMA
    codec = ConfluentCodec(FolderSchemas(tmp_path / "schemas"))
    replay = Replay(few)
    packet = next(replay.packets())
    alert = codec.decode(packet.value)
    assert isinstance(alert, Alert)
    assert alert.object_id == packet.key.decode()
