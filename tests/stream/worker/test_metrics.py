"""Counts, times and health of a worker, and the page that shows them."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from firstlight.errors import MissingExtraError, SettingsError
from firstlight.stream.worker.metrics import COUNTERS, LABELS, STAGES, Metrics, MetricsServer


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock) -> Metrics:
    return Metrics("abc123", stuck_after=10.0, clock=clock)


@pytest.fixture
def server(metrics) -> Iterator[MetricsServer]:
    pytest.importorskip("prometheus_client")
    server = MetricsServer(metrics, 0)
    yield server
    server.close()


def get(server: MetricsServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_counters_add_up_over_their_labels(metrics):
    metrics.count("skipped", "no-object")
    metrics.count("skipped", "solar-system", 3)
    assert metrics.total("skipped") == 4
    assert list(metrics.by_label("skipped")) == ["solar-system", "no-object"]
    with pytest.raises(KeyError):
        metrics.count("misspelt")


def test_labels_that_are_known_show_0_from_the_start_so_that_their_first_count_is_a_rise(server, metrics):
    metrics.expect("results", ["KN"])
    metrics.use("abc123", "def456")
    text = get(server, "/metrics")[1]
    for sample in (
        'firstlight_results_total{label="KN"}',
        'firstlight_rejected_total{reason="decode"}',
        'firstlight_reloads_total{result="refused"}',
        'firstlight_other_failures_total{bundle="def456"}',
    ):
        assert f"{sample} 0.0" in text
    assert metrics.by_label("results") == {}
    assert {name for name, (label, _) in COUNTERS.items() if label} >= set(LABELS)


def test_stages_are_timed_by_the_given_clock(metrics, clock):
    with metrics.timed("decode"):
        clock.now += 2.0
    assert metrics.seconds("decode") == 2.0
    assert metrics.seconds("commit") == 0.0


def test_health_tells_the_age_of_the_last_batch(metrics, clock):
    assert metrics.health()["last_batch_age_s"] is None
    assert metrics.health()["status"] == "starting"
    metrics.beat()
    metrics.batch_done()
    clock.now += 4.0
    health = metrics.health()
    assert (health["status"], health["last_batch_age_s"], health["bundle"]) == ("ok", 4.0, "abc123")


def test_a_worker_without_a_sign_of_life_is_stuck_and_recovers(metrics, clock):
    metrics.beat()
    clock.now += 11.0
    assert metrics.health()["status"] == "stuck"
    metrics.beat()
    assert metrics.health()["status"] == "ok"


def test_a_worker_that_waits_is_not_healthy_and_does_not_know_its_lag(server, metrics):
    metrics.beat()
    metrics.set("lag", 17)
    metrics.waiting("waiting for the source")
    code, body = get(server, "/health")
    assert (code, json.loads(body)["status"], json.loads(body)["lag"]) == (
        503,
        "waiting for the source",
        None,
    )
    assert "firstlight_lag" not in get(server, "/metrics")[1]
    metrics.beat()
    assert get(server, "/health")[0] == 200


@pytest.mark.parametrize("name", ["lost", "recreated"])
def test_lost_messages_show_in_the_health_for_a_while(server, metrics, clock, name):
    metrics.beat()
    metrics.count(name, n=3)
    code, body = get(server, "/health")
    assert (code, json.loads(body)["status"], json.loads(body)[name]) == (503, "messages lost", 3)
    clock.now += 1000.0
    metrics.beat()
    code, body = get(server, "/health")
    assert (code, json.loads(body)["status"], json.loads(body)[name]) == (200, "ok", 3)


def test_the_health_page_is_json_and_turns_503_when_stuck(server, metrics, clock):
    metrics.beat()
    metrics.set("partitions", 3)
    metrics.set("lag", 17)
    code, body = get(server, "/health")
    assert code == 200
    assert {"partitions": 3, "lag": 17}.items() <= json.loads(body).items()
    clock.now += 11.0
    code, body = get(server, "/health")
    assert (code, json.loads(body)["status"]) == (503, "stuck")


def test_the_metrics_page_reads_back_in_prometheus_own_parser(server, metrics):
    parser = pytest.importorskip("prometheus_client.parser")
    metrics.count("alerts", n=7)
    metrics.count("results", "SNIa", 5)
    metrics.set("objects", 12)
    with metrics.timed("update"):
        pass
    code, body = get(server, "/metrics")
    assert code == 200
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(body)
        for sample in family.samples
    }
    assert samples[("firstlight_alerts_total",)] == 7
    assert samples[("firstlight_results_total", ("label", "SNIa"))] == 5
    assert samples[("firstlight_objects",)] == 12
    assert samples[("firstlight_seconds_count", ("stage", "update"))] == 1
    assert {f"firstlight_{name}_total" for name in COUNTERS if COUNTERS[name][0] is None} <= {
        key[0] for key in samples
    }
    assert {dict(key[1:]).get("stage") for key in samples} >= set(STAGES)


def test_other_pages_do_not_exist(server):
    assert get(server, "/elsewhere")[0] == 404


def test_a_port_in_use_is_a_setting_to_change(server, metrics):
    with pytest.raises(SettingsError, match="cannot listen"):
        MetricsServer(metrics, server.port)


def test_without_the_client_the_message_names_the_extra(metrics, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match="stream"):
        MetricsServer(metrics, 0)


def test_the_lag_of_each_partition_is_shown_until_it_is_unknown(metrics, server):
    metrics.set_partition_lags({("alerts", 0): 3, ("alerts", 1): 0})
    assert 'firstlight_partition_lag{partition="0",topic="alerts"} 3.0' in get(server, "/metrics")[1]
    metrics.waiting("waiting for the source")
    assert "firstlight_partition_lag{" not in get(server, "/metrics")[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Prometheus reads /proc")
def test_the_memory_of_the_process_is_shown(server):
    (line,) = [
        line for line in get(server, "/metrics")[1].splitlines() if line.startswith("process_resident")
    ]
    assert float(line.split()[1]) > 10_000_000
