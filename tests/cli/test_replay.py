"""`firstlight replay`, as its user types it."""

import csv
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner

from firstlight.cli import app
from firstlight.cli.app import run
from firstlight.data import write_curves
from firstlight.lightcurves import LightCurves
from firstlight.stream import Alert, ContainerCodec, JsonLinesCodec
from firstlight.stream.alerts.write import LSST_SCHEMA_ID


class Done(NamedTuple):
    """Outputs of a command."""

    returncode: int
    stdout: str
    stderr: str


def replay(*arguments: object, code: int = 0) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("COLUMNS", "250")
        done = Done(run(["replay", *map(str, arguments)]), out.getvalue(), err.getvalue())
    assert done.returncode == code, done
    return done


@pytest.fixture(scope="module")
def few(sample: LightCurves) -> LightCurves:
    return sample.take(np.arange(3))


@pytest.fixture(scope="module")
def data(few: LightCurves, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "curves.parquet"
    write_curves(few, path)
    return path


def alerts_of(path: Path) -> list[Alert]:
    found = list(ContainerCodec().decode_all(path.read_bytes()))
    assert all(isinstance(alert, Alert) for alert in found)
    return found  # type: ignore[return-value]


def test_plasticc_s_own_files_become_a_container(sample_paths: Any, tmp_path: Path) -> None:
    done = replay(
        *("--data", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--max-alerts", 40, "--sink", tmp_path / "alerts.avro"),
    )
    alerts = alerts_of(tmp_path / "alerts.avro")
    assert len(alerts) == 40
    assert [alert.mjd for alert in alerts] == sorted(alert.mjd for alert in alerts)
    assert all(np.isfinite(alert.ra) and alert.redshift >= 0 and alert.dereddened for alert in alerts)
    assert "40 alerts of" in done.stderr


def test_every_observation_sends_an_alert(data: Path, few: LightCurves, tmp_path: Path) -> None:
    replay("--data", data, "--sink", tmp_path / "a.avro")
    assert len(alerts_of(tmp_path / "a.avro")) == len(few.mjd)


def test_only_detections_may_send_alerts_of_some_nights(data: Path, few: LightCurves, tmp_path: Path) -> None:
    middle = float(np.median(few.mjd[few.detected]))
    replay(
        *("--data", data, "--detections-only", "--from-mjd", middle, "--to-mjd", middle + 50.0),
        *("--sink", tmp_path / "a.jsonl"),
    )
    alerts = [JsonLinesCodec().decode(line) for line in (tmp_path / "a.jsonl").read_bytes().splitlines()]
    expected = few.mjd[few.detected & (few.mjd >= middle) & (few.mjd <= middle + 50.0)]
    assert [alert.mjd for alert in alerts] == sorted(expected)


def test_a_folder_gets_a_container_a_night(data: Path, few: LightCurves, tmp_path: Path) -> None:
    replay("--data", data, "--sink", tmp_path / "nights", "--shuffle-night", "--packet-kb", 5)
    files = sorted((tmp_path / "nights").iterdir())
    assert len(files) == len(np.unique(np.floor(few.mjd - 0.5)))
    assert sum(len(alerts_of(path)) for path in files) == len(few.mjd)
    done = replay("--data", data, "--sink", tmp_path / "nights", code=1)
    assert "holds alerts already" in done.stderr


def test_objects_of_a_list_alone_are_sent(data: Path, few: LightCurves, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(f"{few.object_id[1]}\n")
    replay("--data", data, "--objects", tmp_path / "one.txt", "--sink", tmp_path / "a.avro")
    assert {alert.object_id for alert in alerts_of(tmp_path / "a.avro")} == {few.object_id[1]}


def test_late_and_repeated_alerts_are_options(data: Path, few: LightCurves, tmp_path: Path) -> None:
    options = ("--data", data, "--late", 0.2, "--repeat", 0.5)
    replay(*options, "--seed", 1, "--sink", tmp_path / "a.avro")
    replay(*options, "--seed", 1, "--sink", tmp_path / "b.avro")
    replay(*options, "--seed", 2, "--sink", tmp_path / "c.avro")
    a, b, c = ((tmp_path / f"{name}.avro").read_bytes() for name in "abc")
    assert a == b != c
    alerts = alerts_of(tmp_path / "a.avro")
    assert len(alerts) > len({alert.alert_id for alert in alerts}) == len(few.mjd)


def test_names_that_are_no_numbers_are_refused_or_written_down(few: LightCurves, tmp_path: Path) -> None:
    from dataclasses import replace

    write_curves(replace(few, object_id=np.array(["SN a", "SN b", "7"])), tmp_path / "named.parquet")
    done = replay("--data", tmp_path / "named.parquet", "--sink", tmp_path / "a.avro", code=1)
    assert "'SN a' (2 such object(s) in all)" in done.stderr
    assert not (tmp_path / "a.avro").exists()
    replay(
        *("--data", tmp_path / "named.parquet", "--sink", tmp_path / "a.avro"),
        *("--names", tmp_path / "names.csv"),
    )
    with (tmp_path / "names.csv").open(newline="") as file:
        numbers = {row["object_id"]: row["number"] for row in csv.DictReader(file)}
    assert numbers["7"] == "7"
    assert {alert.object_id for alert in alerts_of(tmp_path / "a.avro")} == set(numbers.values())


def test_the_schema_can_be_had_without_a_stream(tmp_path: Path) -> None:
    replay("--schema-out", tmp_path / "schemas")
    schema = json.loads((tmp_path / "schemas" / f"{LSST_SCHEMA_ID}.avsc").read_text())
    assert schema["namespace"] == "firstlight.lsst"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a --sink"),
        (("--sink", "a.csv"), "FILE.avro, FILE.jsonl, or a folder"),
        (("--sink", "kafka://nowhere"), "kafka://host:port"),
        (("--sink", "kafka://h:1/t", "--kafka-config", "none.toml"), "none.toml"),
        (("--sink", "a.avro", "--rate", 1, "--speedup", 2), "exclude each other"),
        (("--sink", "a.avro", "--rate", 0), "rate is a positive number"),
        (("--sink", "a.avro", "--from-mjd", 2, "--to-mjd", 1), "is not before"),
        (("--sink", "a.avro", "--from-mjd", 99999), "no alert to send"),
        (("--sink", "a.jsonl", "--packet-kb", 30), "leave --packet-kb and --names out"),
    ],
)
def test_an_impossible_replay_names_the_reason(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[Any, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code = 1 if message == "no alert to send" else 2
    assert message in replay("--data", data, *arguments, code=code).stderr
    assert list(tmp_path.iterdir()) == []


def test_its_help_has_an_example() -> None:
    result = CliRunner().invoke(app, ["replay", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "kafka://127.0.0.1:9092/alerts" in result.output
