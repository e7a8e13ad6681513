"""A topic of Kafka as the sink of a replay: keyed by object, in order, memory bounded."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from firstlight.errors import BrokerError
from firstlight.stream.io.kafka import KafkaAddress, KafkaConfig, KafkaSink, kafka_module
from firstlight.stream.replay.replay import Replay, ReplayPacket

__all__ = ["KafkaTopic"]

_ANSWER_S = 10.0  # how long a broker may take to answer at all

#: Order by one request at a time instead of the producer's own numbering, which a replay,
#: alone with its topic, does not need and which costs more than the packets do.
_PRODUCER: dict[str, Any] = {
    "client.id": "firstlight-replay",
    "enable.idempotence": False,
    "max.in.flight.requests.per.connection": 1,
    "linger.ms": 5,
    "queue.buffering.max.kbytes": 64 << 10,
}


class KafkaTopic:
    """Sends packets to a topic, keyed by object: one object's alerts stay in one partition.

    Parameters
    ----------
    address : str or KafkaAddress
        ``kafka://HOST:PORT/TOPIC``.
    config : KafkaConfig, optional
        More settings of librdkafka; they come before the replay's own.

    Raises
    ------
    SettingsError
        If the address is none.
    MissingExtraError
        If confluent-kafka is not installed.
    """

    def __init__(self, address: str | KafkaAddress, config: KafkaConfig | None = None) -> None:
        self.address = KafkaAddress.parse(address)
        self._kafka = kafka_module()
        config = config or KafkaConfig()
        self._config = KafkaConfig({**_PRODUCER, **config.values}, config.source)
        self._sink: KafkaSink

    def packets(self, replay: Replay) -> Iterator[ReplayPacket]:
        """Packets in Confluent's framing, as Rubin sends them."""
        return replay.packets()

    def __enter__(self) -> Self:
        self._sink = KafkaSink(self.address, config=self._config)
        settings = {**self._config.values, "bootstrap.servers": self.address.servers, "log_level": 0}
        try:  # a broker that is away is known now, and not when the queue is full
            self._kafka.Producer(settings).list_topics(timeout=_ANSWER_S)
        except self._kafka.KafkaException as error:
            raise BrokerError(
                f"{self.address}: no answer within {_ANSWER_S:.0f} s: "
                f"{self._config.hide(error.args[0].str())}; is the broker running?"
            ) from error
        return self

    def write(self, packet: ReplayPacket) -> None:
        """Take one packet; waits while as many as fit into memory are on their way.

        Raises
        ------
        BrokerError
            If the broker takes no packet of this size, or none for a long time.
        """
        self._sink.write([(packet.key, packet.value)])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, KeyboardInterrupt):  # what was taken is sent
            self._sink.close()
