"""`firstlight stream` as its user types it: files in, files out, stop and go on."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from firstlight.cli import app
from firstlight.cli.app import run
from firstlight.pipeline import Pipeline
from firstlight.stream import ConfluentCodec, ContainerCodec, JsonLinesCodec
from firstlight.stream.alerts.write import LSST_SCHEMA
from firstlight.stream.results.read import by_bundle, read_results


@pytest.fixture(scope="module")
def bundle(tiny_fast, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stream") / "bundle"
    tiny_fast.save(folder)
    return folder


@pytest.fixture(scope="module")
def alerts(sample):
    """Alerts of six objects, an alert for every tenth observation."""
    from firstlight.stream import Alert, Observations

    names = ("mjd", "band", "flux", "flux_err", "detected")
    found = []
    for i in range(6):
        curve = sample[20 * i]
        for k in range(10, len(curve.mjd), 10):
            columns = [getattr(curve, name)[:k] for name in names]
            observations = Observations(*columns, source_id=list(range(1, k + 1)))
            mjd = float(curve.mjd[k - 1])
            found.append(
                Alert(
                    str(1000 * i + k), str(curve.object_id), mjd, observations, source_id=k, dereddened=True
                )
            )
    return sorted(found, key=lambda alert: (alert.mjd, alert.object_id))


@pytest.fixture(scope="module")
def lines(alerts, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("alerts") / "alerts.jsonl"
    path.write_bytes(b"".join(JsonLinesCodec().encode(alert) for alert in alerts))
    return path


def stream(*arguments: object, code: int = 0, capsys=None) -> str:
    assert run(["stream", *map(str, arguments)]) == code
    return capsys.readouterr().err if capsys else ""


@pytest.mark.parametrize("more", [(), ("--check",)])
def test_light_curves_as_alerts_are_refused_before_anything_is_written(bundle, tmp_path, capsys, more):
    curves = tmp_path / "curves.csv"
    curves.write_text("object_id,mjd,band,flux,flux_err\na,60000.5,r,100,5\n")
    out, state = tmp_path / "out.jsonl", tmp_path / "state"
    places = ("--source", curves, "--sink", out, "--state", state, "--bundle", bundle)
    said = stream(*places, *more, code=1, capsys=capsys)
    assert f"firstlight replay --data {curves}" in " ".join(said.split())
    assert sorted(tmp_path.iterdir()) == [curves]


@pytest.fixture(scope="module")
def expected(lines, bundle, tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("expected")
    out = folder / "out.jsonl"
    stream("--source", lines, "--sink", out, "--bundle", bundle, "--state", folder / "state")
    return out.read_bytes()


def test_a_file_of_alerts_becomes_a_file_of_records(expected, alerts, tmp_path):
    said = [json.loads(line) for line in expected.splitlines()]
    assert [(r["object"], r["alert"]) for r in said] == [(a.object_id, a.alert_id) for a in alerts]


def test_run_again_it_goes_on_and_adds_nothing(expected, lines, bundle, tmp_path, capsys):
    options = (
        "--source",
        lines,
        "--sink",
        tmp_path / "o.jsonl",
        "--bundle",
        bundle,
        "--state",
        tmp_path / "s",
    )
    stream(*options, "--max-alerts", 20, "--batch", 7)
    assert (tmp_path / "o.jsonl").read_bytes() == b"".join(expected.splitlines(keepends=True)[:20])
    stream(*options)
    capsys.readouterr()
    assert "0 alerts, 0 answered" in stream(*options, capsys=capsys)
    assert (tmp_path / "o.jsonl").read_bytes() == expected


def test_a_container_gives_the_same_answers_in_elasticcs_form(expected, alerts, bundle, tmp_path):
    path, out = tmp_path / "alerts.avro", tmp_path / "out.avro"
    path.write_bytes(ContainerCodec().encode_all(alerts))
    options = ("--source", path, "--sink", out, "--bundle", bundle, "--state", tmp_path / "s")
    stream(*options, "--output-format", "elasticc", "--max-alerts", 9)
    stream(*options, "--output-format", "elasticc")
    said, wanted = read_results(out), [json.loads(line) for line in expected.splitlines()]
    assert said.alert_id.tolist() == [record["alert"] for record in wanted]
    assert said.status.tolist() == [record["status"] for record in wanted]


def test_bad_lines_go_beside_the_results(lines, bundle, tmp_path, expected, capsys):
    source, out = tmp_path / "a.jsonl", tmp_path / "o.jsonl"
    first, rest = lines.read_bytes().split(b"\n", 1)
    source.write_bytes(first + b"\n{nonsense}\n" + rest)
    err = stream(
        "--source", source, "--sink", out, "--bundle", bundle, "--state", tmp_path / "s", capsys=capsys
    )
    assert "1 rejected" in err
    assert out.read_bytes() == expected
    (letter,) = [json.loads(line) for line in (tmp_path / "o.jsonl.rejects.jsonl").read_bytes().splitlines()]
    assert letter["kind"] == "decode"


def test_dead_letters_are_answered_once_their_cause_is_mended(alerts, bundle, tmp_path, capsys):
    night, schemas, out = tmp_path / "night", tmp_path / "schemas", tmp_path / "o.jsonl"
    night.mkdir()
    schemas.mkdir()
    for i, alert in enumerate(alerts[:4]):
        codec = ConfluentCodec(schema_id=77) if i == 2 else ConfluentCodec()
        (night / f"{i}.bin").write_bytes(codec.encode(alert))
    about = ("--sink", out, "--bundle", bundle, "--state", tmp_path / "s")
    assert "3 answered, 1 rejected" in stream("--source", night, *about, capsys=capsys)
    letters = tmp_path / "o.jsonl.rejects.jsonl"
    cut = json.loads(letters.read_text()) | {"value": None, "cut": {"size": 7, "sha256": "f"}}
    with letters.open("a") as file:
        file.write(json.dumps(cut) + "\n")
    (schemas / "77.avsc").write_text(json.dumps(LSST_SCHEMA))
    again = ("--redrive", letters, "--schemas", schemas)
    assert "2 alerts, 1 answered, 1 rejected" in stream(*again, *about, capsys=capsys)
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert {r["alert"] for r in records} == {a.alert_id for a in alerts[:4]}
    (left,) = [
        json.loads(line) for line in (tmp_path / f"{letters.name}.left.jsonl").read_text().splitlines()
    ]
    assert "7 bytes" in left["reason"]
    assert "0 alerts, 0 answered" in stream(*again, *about, capsys=capsys)


def test_standard_output_carries_records_alone(expected, lines, bundle, tmp_path):
    done = CliRunner().invoke(
        app,
        ["stream", "--source", str(lines), "--sink", "-", "--bundle", str(bundle), "--state", str(tmp_path)],
    )
    assert done.exit_code == 0
    assert done.stdout_bytes == expected


def test_alerts_come_through_a_pipe_and_twice_is_once(expected, lines, bundle, tmp_path):
    command = _command("-", tmp_path / "o.jsonl", bundle, tmp_path / "s")
    for _ in range(2):
        done = subprocess.run(command, input=lines.read_bytes(), capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.jsonl").read_bytes() == expected


def test_the_live_table_shows_the_last_lines(lines, bundle, tmp_path, capsys):
    options = ("--source", lines, "--sink", tmp_path / "o", "--bundle", bundle, "--state", tmp_path / "s")
    assert "objects" in stream(*options, "--live", capsys=capsys)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--sink", "o.jsonl", "--state", "s"), 2, "--source"),
        (("--source", "nothing.avro", "--sink", "o.jsonl", "--state", "s"), 1, "nothing.avro"),
        (("--source", "LINES", "--redrive", "LINES", "--sink", "o", "--state", "s"), 2, "--redrive"),
        (
            ("--redrive", "LINES", "--sink", "o", "--state", "s", "--dead-letters", "LINES"),
            2,
            "another place",
        ),
        (("--source", "LINES", "--sink", "http://x/y", "--state", "s"), 2, "http"),
        (("--source", "LINES", "--sink", "o", "--state", "s", "--dead-letters", "o"), 2, "another place"),
        (("--source", "LINES", "--sink", "o", "--state", "s", "--schemas", "nowhere"), 2, "nowhere"),
        (("--source", "LINES", "--sink", "o", "--state", "s", "--format", "xml"), 2, "xml"),
        (("--source", "LINES", "--sink", "o", "--state", "s", "--forget-days", "0"), 2, "forget_days"),
    ],
)
def test_misuse_and_failure_have_different_exit_codes(
    options, code, words, lines, bundle, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    options = [str(lines) if option == "LINES" else option for option in options]
    assert words in stream(*options, "--bundle", bundle, code=code, capsys=capsys)


def test_two_workers_on_one_state_are_refused(lines, bundle, tmp_path, capsys):
    from firstlight.pipeline import Pipeline
    from firstlight.stream.state.folder import StateFolder

    pipeline = Pipeline.load(bundle)
    size = pipeline.states([]).data.dtype.itemsize
    held = StateFolder(tmp_path, bundle=pipeline.bundle_version, state_size=size).open("file", 0, 0.0)
    try:
        done = subprocess.run(
            _command(lines, tmp_path / "o.jsonl", bundle, tmp_path, "--wait-for-state", "0"),
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        held.close()
    assert done.returncode == 1, done.stderr
    assert "in use" in done.stderr


def _command(source, sink, bundle, state, *more) -> list[str]:
    options = {"--source": source, "--sink": sink, "--bundle": bundle, "--state": state}
    words = [str(word) for pair in options.items() for word in pair]
    return [sys.executable, "-m", "firstlight", "stream", *words, *map(str, more)]


def _health(port: int, n_alerts: int, seconds: float = 20.0) -> dict[str, Any]:
    """The health page once it counts some alerts: results are written before they are counted."""
    end = time.monotonic() + seconds
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            health = json.load(answer)
        if health["alerts"] >= n_alerts or time.monotonic() > end:
            return health
        time.sleep(0.1)


def test_a_followed_file_is_answered_as_it_grows_until_sigterm(lines, bundle, tmp_path, expected):
    source, out = tmp_path / "growing.jsonl", tmp_path / "o.jsonl"
    text = lines.read_bytes().splitlines(keepends=True)
    source.write_bytes(b"".join(text[:10]))
    command = _command(
        source, out, bundle, tmp_path / "s", "--follow", "--metrics-port", 0, "--log-format", "json"
    )
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"})
    try:
        assert worker.stderr is not None
        head = worker.stderr.readline()
        port = int(head.rsplit(":", 1)[1])
        _wait_for(out, 10)
        with open(source, "ab") as file:
            file.write(b"".join(text[10:]))
        _wait_for(out, len(text))
        health = _health(port, len(text))
        assert (health["status"], health["alerts"], health["partitions"]) == ("ok", len(text), 1)
        worker.send_signal(signal.SIGTERM)
        rest = worker.communicate(timeout=20)[1]
    finally:
        worker.kill()
        worker.wait()
    assert worker.returncode == 0
    assert out.read_bytes() == expected
    assert json.loads(rest.splitlines()[0])["event"].startswith("partition")


def _wait_for(path: Path, n_lines: int) -> None:
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= n_lines:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {n_lines} lines in {path}")


def test_help_shows_an_example(capsys):
    assert run(["stream", "--help"]) == 0
    assert "firstlight stream --source" in " ".join(capsys.readouterr().out.split())


def test_without_the_extra_all_missing_packages_are_named_at_once(lines, tmp_path, monkeypatch, capsys):
    for name in ("orjson", "prometheus_client", "confluent_kafka"):
        monkeypatch.setitem(sys.modules, name, None)
    words = ("--source", lines, "--sink", tmp_path / "out.jsonl", "--state", tmp_path / "state")
    shown = stream(*words, code=1, capsys=capsys)
    assert "the stream needs prometheus-client, orjson, confluent-kafka; install with" in shown
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_files_needs_no_kafka_client(lines, bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    words = ("--source", lines, "--sink", tmp_path / "out.jsonl", "--state", tmp_path / "state")
    stream(*words, "--bundle", bundle, "--max-alerts", 1)
    assert (tmp_path / "out.jsonl").exists()


@pytest.fixture
def configuration(lines, bundle, tmp_path) -> Path:
    path = tmp_path / "stream.toml"
    path.write_text(
        f'source = "{lines}"\nsink = "{tmp_path / "file.jsonl"}"\nstate = "{tmp_path / "state"}"\n'
        f'bundle = "{bundle}"\nmax-alerts = 4\n[quality]\nmin_reliability = 0.5\n'
    )
    return path


def test_a_file_has_the_options_and_the_command_line_counts_before_it(configuration, tmp_path, expected):
    own = tmp_path / "own.jsonl"
    stream("--config", configuration)
    stream("--config", configuration, "--max-alerts", 3, "--sink", own, "--state", tmp_path / "other")
    for path, n in ((tmp_path / "file.jsonl", 4), (own, 3)):
        assert path.read_bytes().splitlines() == expected.splitlines()[:n]


def test_check_shows_the_planned_run_and_runs_nothing(configuration, tmp_path, capsys):
    shown = stream("--config", configuration, "--batch", 64, "--check", capsys=capsys)
    assert "batch            64  (command line)" in shown
    assert "max-alerts       4  (file)" in shown
    assert not (tmp_path / "file.jsonl").exists()
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("metrcs-port = 1\n", "metrcs-port is no option"),
        ("batch = [1]\n", "batch is a list"),
        ('source = "kafka://nowhere"\n', "no address of a topic"),
        ('source = "none.avro"\n', "no such file"),
        ('bundle = "none"\n', "none"),
        ('[kafka]\n"sasl.password" = "${FIRSTLIGHT_NO_SUCH}"\n', "FIRSTLIGHT_NO_SUCH, which is not set"),
    ],
)
def test_check_refuses_a_run_that_cannot_start(configuration, line, why, capsys):
    name = line.split(" = ")[0]
    kept = [
        old for old in configuration.read_text().splitlines(keepends=True) if not old.startswith(f"{name} =")
    ]
    configuration.write_text("".join([*kept, line] if line[0] == "[" else [line, *kept]))
    assert run(["stream", "--config", str(configuration), "--check"]) != 0
    assert why in " ".join(capsys.readouterr().err.split())


def test_routes_of_the_configuration_get_their_records(expected, lines, bundle, tmp_path, capsys):
    config, sink = tmp_path / "stream.toml", tmp_path / "many.jsonl"
    config.write_text(f'[[route]]\nname = "many"\nfilter = "n_obs > 40"\nsink = "{sink}"\n')
    options = (
        "--source",
        lines,
        "--sink",
        tmp_path / "o.jsonl",
        "--bundle",
        bundle,
        "--state",
        tmp_path / "s",
    )
    shown = stream(*options, "--config", config, "--check", capsys=capsys)
    assert f"route            many: n_obs > 40 -> {sink}" in shown
    assert not sink.exists()
    stream(*options, "--config", config)
    assert (tmp_path / "o.jsonl").read_bytes() == expected
    wanted = [line for line in expected.splitlines(keepends=True) if json.loads(line)["n_obs"] > 40]
    assert 0 < len(wanted) < len(expected.splitlines())
    assert sink.read_bytes() == b"".join(wanted)


def test_a_fault_in_a_filter_is_marked_before_anything_is_read(lines, bundle, tmp_path, capsys):
    config = tmp_path / "stream.toml"
    config.write_text('[[route]]\nname = "r"\nfilter = "n_obs > 4 and phse < 3"\nsink = "r.jsonl"\n')
    options = (
        "--source",
        lines,
        "--sink",
        tmp_path / "o.jsonl",
        "--bundle",
        bundle,
        "--state",
        tmp_path / "s",
    )
    shown = stream(*options, "--config", config, code=2, capsys=capsys).splitlines()
    at = next(k for k, line in enumerate(shown) if "route r: phse is no value" in line)
    assert shown[at + 1].index("phse") == shown[at + 2].index("^^^^")
    assert (tmp_path / "o.jsonl").read_bytes() == b""


# --- several bundles ------------------------------------------------------------------


@pytest.fixture(scope="module")
def other(tiny_default, tmp_path_factory) -> Path:
    """A bundle beside the first one."""
    folder = tmp_path_factory.mktemp("stream") / "other"
    tiny_default.save(folder)
    return folder


def test_a_second_bundle_answers_beside_the_first_by_option_or_configuration(
    expected, lines, bundle, other, tmp_path, capsys
):
    config = tmp_path / "stream.toml"
    config.write_text(f'bundle = ["{bundle}", "{other}"]\n')
    for name, words in (("a", ("--bundle", bundle, "--bundle", other)), ("b", ("--config", config))):
        out = tmp_path / f"{name}.jsonl"
        about = ("--source", lines, "--sink", out, "--state", tmp_path / name, *words)
        shown = stream(*about, "--check", capsys=capsys)
        assert f"bundle {bundle}, {other}" in " ".join(shown.split())
        assert "beside it        " in shown
        stream(*about)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    records = [by_bundle(json.loads(line)) for line in (tmp_path / "a.jsonl").read_bytes().splitlines()]
    assert [first for first, _ in records] == [json.loads(line) for line in expected.splitlines()]
    assert {beside["bundle"] for _, beside in records} == {Pipeline.load(other).bundle_version}


@pytest.mark.parametrize(
    ("second", "code", "words"), [("SAME", 2, "two of the bundles are the same"), ("nowhere", 1, "nowhere")]
)
def test_a_second_bundle_that_cannot_be_is_refused_before_anything_is_written(
    second, code, words, lines, bundle, tmp_path, capsys
):
    about = ("--source", lines, "--sink", tmp_path / "o", "--state", tmp_path / "s", "--bundle", bundle)
    for check in ((), ("--check",)):
        name = bundle if second == "SAME" else second
        assert words in stream(*about, "--bundle", name, *check, code=code, capsys=capsys)
    assert not (tmp_path / "s").exists()


def test_sighup_changes_to_the_bundles_that_the_configuration_names_now(
    lines, bundle, other, tmp_path, expected
):
    source, out, config = (tmp_path / name for name in ("growing.jsonl", "o.jsonl", "stream.toml"))
    text = lines.read_bytes().splitlines(keepends=True)
    source.write_bytes(b"".join(text[:10]))
    config.write_text(f'bundle = "{bundle}"\nmetrics-port = 0\n')
    command = _command(source, out, bundle, tmp_path / "s", "--follow", "--config", config)
    at = command.index("--bundle")
    del command[at : at + 2]
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"})
    try:
        assert worker.stderr is not None
        port = int(worker.stderr.readline().rsplit(":", 1)[1])
        before = _health(port, 10)["bundle"]
        config.write_text(f'bundle = ["{other}", "{bundle}"]\n')
        worker.send_signal(signal.SIGHUP)
        _until(lambda: _health(port, 10)["bundle"] != before)
        assert _health(port, 10)["others"] == [before]
        config.write_text('bundle = "nowhere"\n')
        worker.send_signal(signal.SIGHUP)
        _until(lambda: 'firstlight_reloads_total{result="refused"} 1.0' in _metrics(port))
        with open(source, "ab") as file:
            file.write(b"".join(text[10:]))
        _wait_for(out, len(text))
        assert _health(port, len(text))["status"] == "ok"
        worker.send_signal(signal.SIGTERM)
        rest = worker.communicate(timeout=20)[1]
    finally:
        worker.kill()
        worker.wait()
    assert worker.returncode == 0
    assert "nowhere" in rest
    records = [json.loads(line) for line in out.read_bytes().splitlines()]
    wanted = [json.loads(line) for line in expected.splitlines()]
    assert [r["alert"] for r in records] == [r["alert"] for r in wanted]
    assert records[:10] == wanted[:10]
    assert [by_bundle(record)[1] for record in records[10:]] == wanted[10:]


def _until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return answer.read().decode()
