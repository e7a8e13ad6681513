"""The files in ``deploy`` are well formed and name existing options, metrics, paths and ports."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from firstlight.cli import app as application  # noqa: F401
from firstlight.cli.app import app
from firstlight.stream.config import read_config, read_options
from firstlight.stream.worker.delays import DELAYS
from firstlight.stream.worker.metrics import COUNTERS, GAUGES, PARTITION_LAG

yaml = pytest.importorskip("yaml")
FOLDER = Path(__file__).parents[1] / "deploy"
METRICS = (
    {f"firstlight_{name}_total" for name in COUNTERS}
    | {f"firstlight_{name}" for name in (*GAUGES, PARTITION_LAG[0])}
    | {f"firstlight_delay_{kind}_seconds_{part}" for kind in DELAYS for part in ("bucket", "sum", "count")}
    | {f"firstlight_seconds_{part}" for part in ("bucket", "sum", "count")}
    | {"process_resident_memory_bytes"}
)
LABELS = {f"firstlight_{name}_total": {label} for name, (label, _) in COUNTERS.items() if label}


def options():
    import firstlight.cli.stream  # noqa: F401

    command = typer.main.get_command(app).commands["stream"]
    return {str(option.name) for option in command.params}


def documents(name):
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def expressions():
    rules = [rule for group in documents("alerts.yml")[0]["groups"] for rule in group["rules"]]
    panels = json.loads((FOLDER / "grafana" / "dashboard.json").read_text())["panels"]
    found = [(rule["alert"], rule["expr"]) for rule in rules]
    return found + [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def test_the_configuration_has_known_options_and_tables_also_where_they_are_comments(tmp_path):
    text = (FOLDER / "stream.toml").read_text()
    shown = tmp_path / "stream.toml"
    shown.write_text(re.sub(r"^# (?=\[|\"|min_|name|filter|sink)", "", text, flags=re.M))
    for path in (FOLDER / "stream.toml", shown):
        assert {"source", "sink", "state", "bundle"} <= set(read_options(path, options()))
        read_config(path)
    assert read_config(shown).quality.min_reliability == 0.3
    assert [route.name for route in read_config(shown).route] == ["kilonovae"]


@pytest.mark.parametrize(("name", "expression"), expressions())
def test_every_query_uses_metrics_and_labels_that_the_worker_has(name, expression):
    used = set(re.findall(r"\b(?:firstlight|process)_[a-z_]+", expression))
    assert used or "up{" in expression or "ALERTS{" in expression, name
    assert used <= METRICS, name
    for metric in used & set(LABELS):
        by = set(re.findall(r"sum by \((\w+)\)", expression)) - {"le"}
        assert by <= LABELS[metric], name


def test_every_rule_of_an_alert_is_described_and_tested_to_fire_and_not_to_fire():
    rules = {rule["alert"] for group in documents("alerts.yml")[0]["groups"] for rule in group["rules"]}
    quiet, loud = (
        {one["alertname"]: one["exp_alerts"] for one in test["alert_rule_test"]}
        for test in documents("alerts_test.yml")[0]["tests"]
    )
    assert set(quiet) == set(loud) == rules
    assert not any(quiet.values())
    assert all(loud.values())
    page = (FOLDER.parent / "docs" / "how-to" / "deploy.md").read_text()
    assert set(re.findall(r"^\| `(Firstlight\w+)` \|", page, flags=re.M)) == rules


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is Prometheus' own")
def test_prometheus_own_tool_finds_the_alerts_as_they_must_be():
    words = ["promtool", "test", "rules", str(FOLDER / "alerts_test.yml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_panel_of_the_dashboard_has_its_own_place():
    panels = json.loads((FOLDER / "grafana" / "dashboard.json").read_text())["panels"]
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


def test_the_image_runs_as_an_ordinary_user_and_its_check_asks_for_the_health():
    text = (FOLDER / "Dockerfile").read_text().replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0].isalpha()]
    last = {word: value for word, value in steps}
    assert last["USER"] == "10001"
    assert json.loads(last["ENTRYPOINT"]) == ["firstlight"]
    assert json.loads(last["CMD"])[:2] == ["stream", "--config"]
    settings = read_options(FOLDER / "stream.toml", options())
    assert f":{settings['metrics_port']}/health" in last["HEALTHCHECK"]
    assert last["VOLUME"] == settings["state"]
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, flags=re.M):
        for name in source.split():
            assert (FOLDER.parent / name).exists(), name


def test_compose_starts_a_worker_that_cannot_write_outside_of_its_state():
    compose = documents("compose.yaml")[0]
    worker = compose["services"]["worker"]
    assert worker["read_only"]
    assert worker["cap_drop"] == ["ALL"]
    for service in compose["services"].values():
        assert all(other in compose["services"] for other in service.get("depends_on", {}))
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in compose["volumes"] or (FOLDER / source).exists(), mount
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    target = documents("prometheus.yml")[0]["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == ["worker:9108"]
    topics = " ".join(compose["services"]["topics"]["command"])
    settings = read_options(FOLDER / "stream.toml", options())
    for key in ("source", "sink", "dead_letters"):
        assert settings[key].rsplit("/", 1)[1] in topics


def test_the_pods_mount_the_paths_of_the_configuration():
    service, workers = documents("kubernetes.yaml")
    pod = workers["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = read_options(FOLDER / "stream.toml", options())
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["state"] == settings["state"]
    assert container["args"][-1] == f"{mounts['config']}/stream.toml"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/health"
    assert service["spec"]["ports"][0]["port"] == settings["metrics_port"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    claims = {claim["metadata"]["name"] for claim in workers["spec"]["volumeClaimTemplates"]}
    assert set(mounts) == volumes | claims


def test_the_unit_checks_the_settings_and_does_not_restart_on_a_wrong_one():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(FOLDER / "firstlight-stream.service")
    service = unit["Service"]
    assert service["RestartPreventExitStatus"] == "2"
    assert service["ExecStartPre"] == f"{service['ExecStart']} --check"
    words = service["ExecStart"].split()
    assert words[1] == "stream"
    assert {word[2:] for word in words if word.startswith("--")} <= options()
