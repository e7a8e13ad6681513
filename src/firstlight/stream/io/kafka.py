"""Alerts from a Kafka topic and results to one, through confluent-kafka.

The state store holds the position; commits to the broker only serve monitoring of the lag.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from firstlight.errors import BrokerError, SettingsError, missing_extra
from firstlight.stream.io.kafka_config import KafkaAddress, KafkaConfig, read_kafka_config
from firstlight.stream.io.message import Message, Partition
from firstlight.stream.io.sources import PartitionCall

__all__ = ["KafkaAddress", "KafkaConfig", "KafkaSink", "KafkaSource", "read_kafka_config"]

_log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 16 << 20  # an alert with cutouts has about 100 kB
COMMIT_S = 1.0  # between two commits of positions to the broker
WARN_S = 10.0  # between two warnings of the same kind
NO_PARTITIONS_S = 10.0  # without partitions for so long, a consumer that reads to the end is finished
QUEUE_FULL_S = 60.0  # a producer whose queue stays full for so long gives up

_COMMON: dict[str, Any] = {
    "message.max.bytes": MAX_MESSAGE_BYTES,
    "socket.nagle.disable": True,
    "socket.keepalive.enable": True,
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 2000,
}
# 30 to 80 kB per packet, 5,000 per second: prefetch some tenths of a second
_CONSUMER: dict[str, Any] = {
    "fetch.min.bytes": 1,
    "fetch.wait.max.ms": 10,  # some brokers always wait this long, so it adds to the latency
    "fetch.error.backoff.ms": 100,
    "fetch.message.max.bytes": 8 << 20,
    "fetch.max.bytes": 32 << 20,
    "receive.message.max.bytes": 128 << 20,
    "queued.min.messages": 2000,
    "queued.max.messages.kbytes": 96 << 10,
    "session.timeout.ms": 6000,
    "heartbeat.interval.ms": 1500,
    "partition.assignment.strategy": "cooperative-sticky",
    "topic.metadata.refresh.interval.ms": 5000,  # finds topics and partitions that are created later
    "check.crcs": True,
}
_PRODUCER: dict[str, Any] = {
    "enable.idempotence": True,
    "linger.ms": 2,
    "batch.size": 1 << 20,
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 128 << 10,
    "delivery.timeout.ms": 30_000,
}


class KafkaSource:
    """Alerts of a topic, read as a member of a consumer group.

    Starts at the positions that `seek` sets from within `on_assign`, else at the group's committed ones,
    else at the beginning. `config` overrides the stream's own settings; with `until_end` the source ends
    at the end of each partition. BrokerError if librdkafka refuses the settings.
    """

    def __init__(
        self,
        address: str | KafkaAddress,
        *,
        group: str = "firstlight",
        config: KafkaConfig | None = None,
        until_end: bool = False,
    ) -> None:
        self.address = KafkaAddress.parse(address)
        self.on_assign: PartitionCall | None = None
        self.on_revoke: PartitionCall | None = None
        self._config = config or KafkaConfig()
        self._until_end = until_end
        self._kafka = kafka_module()
        self._warn = _Warnings(str(self.address))
        self._next: dict[Partition, int | None] = {}  # our partitions, and their next offsets
        self._ended: set[Partition] = set()
        self._starts: dict[Partition, int] | None = None  # only during `on_assign`
        self._uncommitted: dict[Partition, int] = {}
        self._committed_at = self._idle_since = time.monotonic()
        self._closed = False
        settings: dict[str, Any] = {
            **_COMMON,
            **_CONSUMER,
            "group.id": group,
            **self._config.values,
            "bootstrap.servers": self.address.servers,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": until_end,
            "auto.offset.reset": "earliest",
            "error_cb": self._warn.error,
            "on_commit": self._warn.commit,
        }
        self._cooperative = "cooperative" in str(settings["partition.assignment.strategy"])
        try:
            self._consumer = self._kafka.Consumer(settings, logger=_log)
            self._consumer.subscribe([self.address.topic], on_assign=self._gain, on_revoke=self._lose)
        except self._kafka.KafkaException as error:
            raise self._failed("cannot start", error) from None

    def __repr__(self) -> str:
        return f"KafkaSource('{self.address}')"

    @property
    def exhausted(self) -> bool:
        """See `AlertSource`; without `until_end` true only after `close`."""
        if self._closed:
            return True
        if not self._until_end:
            return False
        if self._next:
            return self._ended.issuperset(self._next)
        return time.monotonic() - self._idle_since > NO_PARTITIONS_S

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """See `AlertSource`; errors of `on_assign` pass through.

        SettingsError if the broker refuses the login or the access, BrokerError if librdkafka gives up.
        """
        try:
            # wait for the first message only; take of the others what is available
            messages = self._consumer.consume(1, max(timeout_s, 0.0))
            if messages and max_records > 1:
                messages += self._consumer.consume(max_records - 1, 0.0)
        except self._kafka.KafkaException as error:
            raise self._failed("cannot read", error) from None
        self._commit_now()
        return [found for message in messages if (found := self._message(message)) is not None]

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """See `AlertSource`; BrokerError if librdkafka refuses."""
        place = (topic, partition)
        if self._starts is not None:
            self._starts[place] = offset
            return
        if place not in self._next or self._next[place] == offset:
            return
        where = self._kafka.TopicPartition(topic, partition, offset)
        try:
            # by a new assignment: `seek` of librdkafka fails before fetching has started
            if self._cooperative:
                self._consumer.incremental_unassign([self._kafka.TopicPartition(topic, partition)])
                self._consumer.incremental_assign([where])
            else:
                others = [self._where(other, at) for other, at in self._next.items() if other != place]
                self._consumer.assign([*others, where])
        except self._kafka.KafkaException as error:
            raise self._failed(f"cannot go to offset {offset} of partition {partition}", error) from None
        self._next[place] = offset
        self._ended.discard(place)

    def commit(self, positions: dict[Partition, int]) -> None:
        """See `AlertSource`; sent to the broker once per second at most."""
        self._uncommitted |= positions

    def lag(self) -> int | None:
        """See `AlertSource`; as of the broker's last report."""
        total = 0
        for place, at in self._next.items():
            if at is None:
                return None
            try:
                _, high = self._consumer.get_watermark_offsets(self._where(place, at), cached=True)
            except self._kafka.KafkaException:
                return None
            if high < 0:
                return None
            total += max(high - at, 0)
        return total

    def close(self) -> None:
        """See `AlertSource`; leaves the consumer group."""
        if self._closed:
            return
        self._closed = True
        self._commit_now(at_once=True)
        self._consumer.close()

    def _message(self, message: Any) -> Message | None:
        """A message of librdkafka as `Message`; None for an event and for a partition that was lost."""
        if (error := message.error()) is not None:
            self._event(message, error)
            return None
        place = (message.topic(), message.partition())
        if place not in self._next:
            return None  # fetched before the partition was lost
        offset = message.offset()
        self._next[place] = offset + 1
        kind, timestamp = message.timestamp()
        key, value = message.key(), message.value()
        return Message(
            value if value is not None else b"",
            key,
            *place,
            offset,
            timestamp if kind != self._kafka.TIMESTAMP_NOT_AVAILABLE else None,
            "" if value is not None else "a message without a value (tombstone)",
        )

    def _event(self, message: Any, error: Any) -> None:
        if error.code() == self._kafka.KafkaError._PARTITION_EOF:
            self._ended.add((message.topic(), message.partition()))
        elif error.code() in _refusals(self._kafka):
            reason = self._config.hide(_text(error))
            raise SettingsError(f"{self.address}: the broker refuses access: {reason}; see --kafka-config")
        elif error.fatal():
            raise self._failed("gave up", error)
        else:
            self._warn.error(error)

    def _gain(self, consumer: Any, partitions: list[Any]) -> None:
        """Called by librdkafka within `consume`, with partitions that are now ours."""
        places = [(partition.topic, partition.partition) for partition in partitions]
        self._starts = {}
        try:
            if self.on_assign is not None and places:
                self.on_assign(places)
            starts = self._starts
        finally:
            self._starts = None
        begin = [
            self._kafka.TopicPartition(*place, starts.get(place, self._kafka.OFFSET_STORED))
            for place in places
        ]
        if self._cooperative:
            consumer.incremental_assign(begin)
        else:
            consumer.assign(begin)
        self._next |= {place: starts.get(place) for place in places}
        self._idle_since = time.monotonic()

    def _lose(self, consumer: Any, partitions: list[Any]) -> None:
        """Called by librdkafka within `consume` or `close`, before others get the partitions."""
        places = [(partition.topic, partition.partition) for partition in partitions]
        self._commit_now(at_once=True)
        for place in places:
            self._next.pop(place, None)
            self._ended.discard(place)
        self._idle_since = time.monotonic()
        if self.on_revoke is not None and places:
            self.on_revoke(places)
        if self._cooperative:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()

    def _commit_now(self, *, at_once: bool = False) -> None:
        """Commit positions to the broker; a failure only affects the lag that it reports."""
        now = time.monotonic()
        if not self._uncommitted or (not at_once and now - self._committed_at < COMMIT_S):
            return
        self._committed_at = now
        offsets = [self._where(place, at) for place, at in self._uncommitted.items() if place in self._next]
        self._uncommitted = {}
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except self._kafka.KafkaException as error:
            self._warn.error(error.args[0])

    def _where(self, place: Partition, offset: int | None) -> Any:
        return self._kafka.TopicPartition(*place, self._kafka.OFFSET_STORED if offset is None else offset)

    def _failed(self, what: str, error: Any) -> BrokerError:
        return BrokerError(f"{self.address}: {what}: {self._config.hide(_text(error))}")


class KafkaSink:
    """Results to a topic, keyed by object; BrokerError if librdkafka refuses the settings.

    The producer is idempotent unless `config`, which overrides the stream's own settings, turns that
    off. Results that the worker writes again are the same bytes under the same key.
    """

    truncates = False

    def __init__(self, address: str | KafkaAddress, *, config: KafkaConfig | None = None) -> None:
        self.address = KafkaAddress.parse(address)
        self.name = str(self.address)
        self._config = config or KafkaConfig()
        self._kafka = kafka_module()
        self._warn = _Warnings(self.name)
        self._settings: dict[str, Any] = {
            **_COMMON,
            **_PRODUCER,
            **self._config.values,
            "bootstrap.servers": self.address.servers,
            "acks": "all",
            "error_cb": self._warn.error,
        }
        self._delivered = 0
        self._errors: list[Any] = []
        self._producer: Any = self._new_producer()

    def __repr__(self) -> str:
        return f"KafkaSink('{self.address}')"

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """See `ResultSink`; BrokerError if the queue stays full or a result is too large."""
        topic, produce, on_delivery = self.address.topic, self._producer.produce, self._count
        for key, value in records:
            since = 0.0
            while True:
                try:
                    produce(topic, value, key, on_delivery=on_delivery)
                    break
                except BufferError:
                    since = since or time.monotonic()
                    self._producer.poll(0.05)
                    if time.monotonic() - since > QUEUE_FULL_S:
                        raise self._failed(f"nothing could be sent for {QUEUE_FULL_S:.0f} s") from None
                except self._kafka.KafkaException as error:
                    raise self._failed(f"cannot send a result of {len(value)} bytes", error) from None
        self._producer.poll(0)

    def flush(self) -> int:
        """See `ResultSink`; the number of results delivered since the sink was opened.

        BrokerError if some were not delivered: write all since the last flush again.
        """
        while self._producer.flush(1.0):
            pass  # ends at the latest with delivery.timeout.ms, as errors
        if self._errors:
            errors, self._errors = self._errors, []
            # an idempotent producer that has failed may be fenced, or never send again
            self._producer = self._new_producer()
            raise self._failed(f"{len(errors)} result(s) not delivered", errors[0])
        return self._delivered

    def truncate(self, position: int) -> None:
        """A topic cannot be cut."""

    def close(self) -> None:
        """See `ResultSink`."""
        self.flush()

    def _new_producer(self) -> Any:
        try:
            return self._kafka.Producer(self._settings, logger=_log)
        except self._kafka.KafkaException as error:
            raise self._failed("cannot start", error) from None

    def _count(self, error: Any, message: Any) -> None:
        if error is None:
            self._delivered += 1
        else:
            self._errors.append(error)

    def _failed(self, what: str, error: Any = None) -> BrokerError:
        reason = f": {self._config.hide(_text(error))}" if error is not None else ""
        return BrokerError(f"{self.address}: {what}{reason}; check that the broker is running")


class _Warnings:
    """Logs errors of librdkafka, each kind once per `WARN_S` at most."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: dict[Any, float] = {}

    def error(self, error: Any) -> None:
        """Log an error that librdkafka handles itself: an unreachable broker, a missing topic."""
        now = time.monotonic()
        if now - self._last.get(error.code(), -WARN_S) >= WARN_S:
            self._last[error.code()] = now
            _log.warning("%s: %s; waiting for it", self._name, _text(error))

    def commit(self, error: Any, partitions: list[Any]) -> None:
        """Log a failed commit."""
        if error is not None:
            self.error(error)


def kafka_module() -> Any:
    """Import confluent-kafka; MissingExtraError if it is not installed."""
    try:
        import confluent_kafka
    except ImportError as error:
        raise missing_extra("Kafka", "confluent-kafka", "stream") from error
    return confluent_kafka


def _refusals(kafka: Any) -> tuple[int, ...]:
    """Error codes for which waiting does not help."""
    codes = kafka.KafkaError
    return (
        codes._AUTHENTICATION,
        codes.SASL_AUTHENTICATION_FAILED,
        codes.TOPIC_AUTHORIZATION_FAILED,
        codes.GROUP_AUTHORIZATION_FAILED,
    )


def _text(error: Any) -> str:
    """The text of an error of librdkafka, in one line."""
    inner = error.args[0] if isinstance(error, Exception) and error.args else error
    text = inner.str() if callable(getattr(inner, "str", None)) else str(inner)
    return " ".join(text.split())
