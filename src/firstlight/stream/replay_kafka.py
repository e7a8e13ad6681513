"""A topic of Kafka as the sink of a replay: keyed by object, in order, memory bounded."""

import re
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from firstlight.errors import BrokerError, MissingExtraError, SettingsError
from firstlight.stream.replay import Replay, ReplayPacket

__all__ = ["KafkaTopic", "kafka_address"]

_ADDRESS = re.compile(r"kafka://(?P<brokers>[^/\s]+:\d+)/(?P<topic>[A-Za-z0-9._-]{1,249})")
_ANSWER_S = 10.0  # how long a broker may take to answer at all
_DELIVERY_S = 60.0  # how long it may be away before the replay gives up
_FULL_S = 0.1

#: One request at a time: alerts of one object stay in order when a request is sent again.
_PRODUCER = {
    "client.id": "firstlight-replay",
    "log_level": 0,  # what goes wrong is raised, not printed
    "linger.ms": 5,
    "batch.size": 1_000_000,
    "message.max.bytes": 16_000_000,
    "queue.buffering.max.kbytes": 64 * 1024,
    "max.in.flight.requests.per.connection": 1,
    "message.timeout.ms": int(_DELIVERY_S * 1e3),
}


def kafka_address(address: str) -> tuple[str, str]:
    """Brokers and topic of an address.

    Parameters
    ----------
    address : str
        ``kafka://HOST:PORT/TOPIC``; several brokers are set apart by commas.

    Returns
    -------
    tuple of str
        Brokers, topic.

    Raises
    ------
    SettingsError
        If it is no such address.

    Examples
    --------
    >>> kafka_address("kafka://127.0.0.1:9092/alerts")
    ('127.0.0.1:9092', 'alerts')
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise SettingsError(f"{address!r} is no address of a topic: expected kafka://HOST:PORT/TOPIC")
    return found["brokers"], found["topic"]


class KafkaTopic:
    """Sends packets to a topic, keyed by object: one object's alerts stay in one partition.

    Parameters
    ----------
    address : str
        ``kafka://HOST:PORT/TOPIC``.
    settings : mapping, optional
        Settings of librdkafka, such as those of SASL and TLS. They are never shown.
    producer : callable, optional
        What makes a producer of settings; for tests.

    Raises
    ------
    SettingsError
        If the address is none.
    MissingExtraError
        If confluent-kafka is not installed.
    """

    def __init__(
        self,
        address: str,
        settings: Mapping[str, Any] | None = None,
        *,
        producer: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.brokers, self.topic = kafka_address(address)
        self._kafka = _kafka_module()
        self._settings = {**_PRODUCER, **(settings or {}), "bootstrap.servers": self.brokers}
        self._make = producer or self._kafka.Producer
        self._producer: Any = None
        self._lost: str | None = None

    def packets(self, replay: Replay) -> Iterator[ReplayPacket]:
        """Packets in Confluent's framing, as Rubin sends them."""
        return replay.packets()

    def __enter__(self) -> Self:
        try:
            self._producer = self._make(self._settings)
            self._producer.list_topics(timeout=_ANSWER_S)
        except self._kafka.KafkaException as error:
            raise BrokerError(f"no answer from the broker at {self.brokers}: {_reason(error)}") from error
        return self

    def write(self, packet: ReplayPacket) -> None:
        """Take one packet; waits while as many as fit into memory are on their way.

        Raises
        ------
        BrokerError
            If the broker refused a packet, or was away for a minute.
        """
        while True:
            self._check()
            try:
                self._producer.produce(
                    self.topic, value=packet.value, key=packet.key, on_delivery=self._delivered
                )
            except BufferError:
                self._producer.poll(_FULL_S)
                continue
            except self._kafka.KafkaException as error:
                raise BrokerError(
                    f"the topic {self.topic} at {self.brokers} took no packet of {len(packet.value)} "
                    f"bytes: {_reason(error)}"
                ) from error
            self._producer.poll(0)
            return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self._producer.flush(_ANSWER_S if error else _DELIVERY_S + _ANSWER_S)
        if error is None:
            self._check()
            if left:
                raise BrokerError(f"{left:,} packets never reached {self.topic} at {self.brokers}")

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None and self._lost is None:
            self._lost = str(error.str())

    def _check(self) -> None:
        if self._lost is not None:
            raise BrokerError(f"a packet never reached {self.topic} at {self.brokers}: {self._lost}")


def _reason(error: Exception) -> str:
    """What librdkafka says, without its settings."""
    inner = error.args[0] if error.args else error
    return str(inner.str()) if hasattr(inner, "str") else str(inner)


def _kafka_module() -> Any:
    try:
        import confluent_kafka
    except ImportError as error:
        raise MissingExtraError(
            "confluent-kafka is not installed; `pip install firstlight[stream]` brings it"
        ) from error
    return confluent_kafka
