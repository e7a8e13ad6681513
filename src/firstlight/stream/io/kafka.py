"""Alerts from a Kafka topic and results to one, through confluent-kafka.

The state store holds the position; commits to the broker only serve monitoring of the lag.
"""

import logging
import time
from collections.abc import Collection, Sequence
from typing import Any

from firstlight.errors import BrokerError, UnavailableError
from firstlight.stream.io.kafka_client import (
    COMMON,
    Link,
    TopicWatch,
    first_offsets,
    is_other_topic,
    kafka_module,
    topic_identity,
)
from firstlight.stream.io.kafka_config import KafkaAddress, KafkaConfig, read_kafka_config, start_time
from firstlight.stream.io.message import Message, Partition
from firstlight.stream.io.sinks import OversizeError
from firstlight.stream.io.sources import EARLIEST, GapCall, PartitionCall

__all__ = ["KafkaAddress", "KafkaConfig", "KafkaSink", "KafkaSource", "read_kafka_config"]

_log = logging.getLogger(__name__)

COMMIT_S = 1.0  # between two commits of positions to the broker
#: A member that the group gave no partition is finished after this time: a group may divide in two steps.
NO_PARTITIONS_S = 10.0
QUEUE_FULL_S = 60.0  # a producer whose queue stays full for so long gives up
_HANGS_S = 15.0  # beyond the delivery's own time limit, a producer that does not end is replaced
_WATERMARKS_S = 5.0  # longest wait for the topics, or for the range of offsets of a partition

# 30 to 80 kB per packet, 5,000 per second: prefetch some tenths of a second
_CONSUMER: dict[str, Any] = {
    "fetch.min.bytes": 1,
    # Some brokers always wait this long, which adds to the latency, and all have work with each empty fetch.
    "fetch.wait.max.ms": 30,
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

    `address` may name several topics and patterns. Starts at the positions that `seek` sets from within
    `on_assign`, else at the group's committed ones, else at the beginning; `start` (``earliest``,
    ``latest`` or a date) only changes the offsets that `starts` returns. A position that the topic
    no longer or not yet has goes to `on_gap`, and the oldest message follows. `config` overrides the stream's
    own settings; with `until_end` the source ends at the end of each partition. BrokerError if librdkafka
    refuses the settings, SettingsError if `start` is no date.
    """

    def __init__(
        self,
        address: str | KafkaAddress,
        *,
        group: str = "firstlight",
        config: KafkaConfig | None = None,
        until_end: bool = False,
        start: str = EARLIEST,
    ) -> None:
        self.address = KafkaAddress.parse(address, several=True)
        self._start = start_time(start)
        self.on_assign: PartitionCall | None = None
        self.on_revoke: PartitionCall | None = None
        self.on_gap: GapCall | None = None
        self._config = config or KafkaConfig()
        self._until_end = until_end
        self._kafka = kafka_module()
        self._link = Link(self.address, self._config)
        self._refused = ""  # why the topic cannot be read, by the last event about it
        self._is_barred = False  # whether that was a missing right
        self._next: dict[Partition, int | None] = {}  # our partitions, and their next offsets
        self._new: set[Partition] = set()  # given by the group, but not yet taken by `on_assign`
        self._beyond: set[Partition] = set()  # partitions without a message at the next offset
        self._ended: set[Partition] = set()
        self._ahead: list[Any] = []  # messages of librdkafka that `serve` found
        self._starts: dict[Partition, int] | None = None  # only during `on_assign`
        self._uncommitted: dict[Partition, int] = {}
        self._committed_at = time.monotonic()
        self._divided_at: float | None = None  # when the group last gave or took partitions
        self._identities: dict[str, str] = {}  # by topic
        self._watch = TopicWatch(self._admin_settings)
        self._closed = False
        settings: dict[str, Any] = {
            **COMMON,
            **_CONSUMER,
            "group.id": group,
            **self._config.values,
            "bootstrap.servers": self.address.servers,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": until_end,
            "auto.offset.reset": "error",
            "on_commit": self._link.report_commit,
            **self._link.settings(),
        }
        self._cooperative = "cooperative" in str(settings["partition.assignment.strategy"])
        try:
            self._consumer = self._kafka.Consumer(settings, logger=_log)
            self._consumer.subscribe(list(self.address.topics), on_assign=self._gain, on_revoke=self._lose)
        except self._kafka.KafkaException as error:
            raise BrokerError(f"{self.address}: cannot start: {self._link.text(error)}") from None

    def __repr__(self) -> str:
        return f"KafkaSource('{self.address}')"

    @property
    def exhausted(self) -> bool:
        """See `AlertSource`; without `until_end` true only after `close`."""
        if self._closed:
            return True
        if not self._until_end:
            return False
        if self._next or self._new:
            return not self._new and self._ended.issuperset(self._next)
        return self._divided_at is not None and time.monotonic() - self._divided_at > NO_PARTITIONS_S

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """See `AlertSource`; errors of `on_assign` pass through.

        UnavailableError if nothing comes and the broker is away, refuses access or lacks the topic.
        """
        self._take_new()
        self._continue_beyond()
        # wait for the first message only; take the others that have arrived
        messages, self._ahead = self._ahead[:max_records], self._ahead[max_records:]
        if not messages:
            messages = self._consume(1, max(timeout_s, 0.0))
        if messages and len(messages) < max_records and not self._ahead:
            messages += self._consume(max_records - len(messages), 0.0)
        self._commit_now()
        found = [record for message in messages if (record := self._message(message)) is not None]
        if not found:
            self._check()
        return found

    def serve(self) -> None:
        """See `GroupSource`."""
        self._ahead += self._consume(1, 0.0)

    def identity(self, topic: str) -> str:
        """See `GroupSource`."""
        if topic not in self._identities:
            self._identities[topic] = topic_identity(self._admin_settings, topic)
        return self._identities[topic]

    def new_identities(self) -> dict[str, str]:
        """See `GroupSource`."""
        found = self._watch.poll({topic for topic, _ in self._next})
        for topic, identity in found.items():
            if is_other_topic(self._identities.get(topic, ""), identity):
                del self._identities[topic]
        return found

    @property
    def _admin_settings(self) -> dict[str, Any]:
        return {**COMMON, **self._config.values, "bootstrap.servers": self.address.servers}

    @property
    def has_starts(self) -> bool:
        """See `GroupSource`."""
        return self._start is not None

    def starts(self) -> dict[Partition, int]:
        """See `GroupSource`."""
        return first_offsets(self._consumer, self._link, self._places(), self._start)

    def topics(self) -> Collection[str] | None:
        """See `GroupSource`."""
        if not self.address.is_several:
            return None
        try:
            return {topic for topic, _ in self._places()}
        except UnavailableError:
            return None

    def _places(self) -> list[Partition]:
        """All partitions of its topics that are there; UnavailableError if unknown."""
        try:
            found = self._consumer.list_topics(timeout=_WATERMARKS_S).topics
        except self._kafka.KafkaException as error:
            raise self._link.unavailable("its topics are unknown", error) from None
        return [
            (name, number)
            for name, topic in found.items()
            if self.address.has(name)
            for number in topic.partitions
        ]

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """See `AlertSource`; BrokerError if librdkafka refuses."""
        place = (topic, partition)
        if self._starts is not None:
            self._starts[place] = offset
            return
        if place not in self._next or self._next[place] == offset:
            return
        self._begin(place, offset)

    def _begin(self, place: Partition, offset: int) -> None:
        """Read one of our partitions from an offset on."""
        topic, partition = place
        self._ahead = [m for m in self._ahead if (m.topic(), m.partition()) != place]
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
            what = f"cannot go to offset {offset} of partition {partition}"
            raise self._link.unavailable(what, error) from None
        self._next[place] = offset
        self._ended.discard(place)

    def commit(self, positions: dict[Partition, int]) -> None:
        """See `AlertSource`; sent to the broker once per second at most."""
        self._uncommitted |= positions

    def lag(self) -> int | None:
        """See `AlertSource`; as of the broker's last report."""
        lags = self.lags()
        return None if lags is None else sum(lags.values())

    def lags(self) -> dict[Partition, int] | None:
        """See `GroupSource`; as of the broker's last report."""
        if self._divided_at is None or self._new or self._beyond:
            return None
        lags: dict[Partition, int] = {}
        for place, at in self._next.items():
            if at is None:
                return None
            try:
                _, high = self._consumer.get_watermark_offsets(self._where(place, at), cached=True)
            except self._kafka.KafkaException:
                return None
            if high < 0:
                return None
            lags[place] = max(high - at, 0)
        return lags

    def close(self) -> None:
        """See `AlertSource`; leaves the consumer group."""
        if self._closed:
            return
        self._closed = True
        self._commit_now(at_once=True)
        self._consumer.close()
        self._watch.close()

    def _consume(self, most: int, timeout_s: float) -> list[Any]:
        """Messages and events of librdkafka; calls `_gain` and `_lose`."""
        try:
            messages: list[Any] = self._consumer.consume(most, timeout_s)
        except self._kafka.KafkaException as error:
            raise self._link.unavailable("cannot read", error) from None
        return messages

    def _message(self, message: Any) -> Message | None:
        """A message of librdkafka as `Message`; None for an event and for a partition that was lost."""
        place = (message.topic(), message.partition())
        if (error := message.error()) is not None:
            self._event(place, error)
            return None
        if place not in self._next:
            return None  # fetched before the partition was lost
        offset = message.offset()
        self._next[place] = offset + 1
        self._refused = ""
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

    def _event(self, place: Partition, error: Any) -> None:
        codes = self._kafka.KafkaError
        if error.code() == codes._PARTITION_EOF:
            self._ended.add(place)
        elif error.code() == codes._AUTO_OFFSET_RESET:
            self._beyond |= {place} & self._next.keys()
        elif error.code() in (codes.UNKNOWN_TOPIC_OR_PART, codes._UNKNOWN_TOPIC):
            if not (self.address.is_several and self._next):
                self._refused = f"the broker has no such topic: {self._link.text(error)}"
        elif self._link.is_refusal(error):
            self._refused = f"the broker refuses access: {self._link.text(error)}; see --kafka-config"
            self._is_barred = True
        elif error.fatal():
            raise self._link.unavailable("gave up", error)
        else:
            self._link.report_error(error)

    def _check(self) -> None:
        """Raise UnavailableError if nothing can be read."""
        never = self._divided_at is None
        if refusal := self._link.refusal():
            what = f"the broker refuses the login: {refusal}; see --kafka-config"
            raise self._link.unavailable(what, is_final=never)
        if self._refused:
            raise self._link.unavailable(self._refused, is_final=never and self._is_barred)
        if silence := self._link.silence(self._next):
            raise self._link.unavailable(f"the broker is away: {silence}")

    def _continue_beyond(self) -> None:
        """Continue partitions whose next offset the topic does not have, at their oldest message."""
        for place in sorted(self._beyond):
            wanted = self._next[place]
            try:
                low, high = self._consumer.get_watermark_offsets(
                    self._where(place, wanted), timeout=_WATERMARKS_S, cached=False
                )
            except self._kafka.KafkaException as error:
                raise self._link.unavailable("its range of offsets is unknown", error) from None
            if wanted is not None and low <= wanted <= high:
                self._begin(place, wanted)  # the fault has passed
            else:
                self._begin(place, low)
                self._identities.pop(place[0], None)
                self._watch.forget()
                if wanted and self.on_gap is not None:  # not at the beginning
                    self.on_gap(place, wanted, low)
            self._beyond.discard(place)

    def _gain(self, consumer: Any, partitions: list[Any]) -> None:
        """Called by librdkafka within `consume`, with partitions for us; `_take_new` reads them."""
        self._divided_at = time.monotonic()
        self._identities.clear()
        self._watch.forget()
        self._new |= {(partition.topic, partition.partition) for partition in partitions}
        # librdkafka needs an answer within this call
        if self._cooperative:
            consumer.incremental_assign([])
        else:
            consumer.assign([self._where(place, at) for place, at in self._next.items()])

    def _take_new(self) -> None:
        """Let `on_assign` take new partitions one by one, and read them; one that it refuses stays new."""
        for place in sorted(self._new):
            self._starts = {}
            try:
                if self.on_assign is not None:
                    self.on_assign([place])
                start = self._starts.get(place)
            finally:
                self._starts = None
            others = [self._where(other, at) for other, at in self._next.items()]
            where = self._where(place, start)
            try:
                if self._cooperative:
                    self._consumer.incremental_assign([where])
                else:
                    self._consumer.assign([*others, where])
            except self._kafka.KafkaException as error:
                raise self._link.unavailable(f"cannot read partition {place[1]}", error) from None
            self._next[place] = start
            self._new.discard(place)
            self._refused = ""

    def _lose(self, consumer: Any, partitions: list[Any]) -> None:
        """Called by librdkafka within `consume` or `close`, before others get the partitions.

        After a pause that ended this member's session, others may have them already.
        """
        self._divided_at = time.monotonic()
        self._commit_now(at_once=True)
        places = [(partition.topic, partition.partition) for partition in partitions]
        ours = [place for place in places if place in self._next]
        for place in places:
            self._new.discard(place)
            self._next.pop(place, None)
            self._ended.discard(place)
            self._beyond.discard(place)
        self._ahead = [m for m in self._ahead if (m.topic(), m.partition()) in self._next]
        if self.on_revoke is not None and ours:
            self.on_revoke(ours)
        if self._cooperative:
            consumer.incremental_unassign([self._kafka.TopicPartition(*place) for place in ours])
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
            self._link.report_error(error.args[0])

    def _where(self, place: Partition, offset: int | None) -> Any:
        return self._kafka.TopicPartition(*place, self._kafka.OFFSET_STORED if offset is None else offset)


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
        self._link = Link(self.name, self._config)
        self._settings: dict[str, Any] = {
            **COMMON,
            **_PRODUCER,
            **self._config.values,
            "bootstrap.servers": self.address.servers,
            "acks": "all",
            **self._link.settings(),
        }
        self._give_up_s = float(self._settings["delivery.timeout.ms"]) / 1000.0 + _HANGS_S
        self._delivered = 0
        self._errors: list[Any] = []
        self._too_large: list[tuple[bytes, bytes]] = []
        self._producer: Any = self._new_producer()

    def __repr__(self) -> str:
        return f"KafkaSink('{self.address}')"

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """See `ResultSink`; UnavailableError if the queue stays full."""
        for key, value in records:
            if not self._produce(key, value):
                self._too_large.append((key, value))
        self._producer.poll(0)

    def flush(self) -> int:
        """See `ResultSink`; the number of results delivered since the sink was opened.

        UnavailableError if some were not delivered: write all since the last flush again. OversizeError if
        all but some that are larger than the broker takes were delivered.
        """
        self._drain()
        # the broker refuses a whole batch for one record, so each is sent alone
        suspects, self._too_large = self._too_large, []
        oversize = []
        for key, value in suspects:
            if self._produce(key, value):
                self._drain()
            else:
                self._too_large.append((key, value))
            oversize += self._too_large
            self._too_large = []
        if oversize:
            raise OversizeError(self.name, oversize)
        return self._delivered

    @property
    def n_suspects(self) -> int:
        """Records refused for their size, alone or with others of their batch, until `flush` sends them."""
        return len(self._too_large)

    def truncate(self, position: int) -> None:
        """A topic cannot be cut."""

    def close(self) -> None:
        """See `ResultSink`."""
        self.flush()

    def _produce(self, key: bytes, value: bytes) -> bool:
        """Queue a record; False if it is larger than `message.max.bytes`."""
        since = 0.0
        while True:
            try:
                self._producer.produce(self.address.topic, value, key, on_delivery=self._count)
                return True
            except BufferError:
                since = since or time.monotonic()
                self._producer.poll(0.05)
                self._check_login()
                if time.monotonic() - since > QUEUE_FULL_S:
                    raise self._failed(f"nothing could be sent for {QUEUE_FULL_S:.0f} s") from None
            except self._kafka.KafkaException as error:
                if error.args[0].code() == self._kafka.KafkaError.MSG_SIZE_TOO_LARGE:
                    return False
                raise self._failed(f"cannot send a result of {len(value)} bytes", error) from None

    def _drain(self) -> None:
        """Wait until everything queued is delivered, or has failed by ``delivery.timeout.ms``."""
        deadline = time.monotonic() + self._give_up_s
        while self._producer.flush(1.0):
            self._check_login()
            if time.monotonic() > deadline:  # as after a pause of the process
                raise self._failed(f"nothing was delivered for {self._give_up_s:.0f} s")
        if self._errors:
            raise self._failed(f"{len(self._errors)} result(s) not delivered", self._errors[0])

    def _check_login(self) -> None:
        if refusal := self._link.refusal():
            never = not self._delivered
            what = f"the broker refuses the login: {refusal}; see --kafka-config"
            raise self._failed(what, is_final=never)

    def _new_producer(self) -> Any:
        try:
            return self._kafka.Producer(self._settings, logger=_log)
        except self._kafka.KafkaException as error:
            raise BrokerError(f"{self.name}: cannot start: {self._link.text(error)}") from None

    def _count(self, error: Any, message: Any) -> None:
        if error is None:
            self._delivered += 1
        elif error.code() == self._kafka.KafkaError.MSG_SIZE_TOO_LARGE:
            self._too_large.append((message.key() or b"", message.value()))
        else:
            self._errors.append(error)

    def _failed(self, what: str, error: Any = None, *, is_final: bool = False) -> UnavailableError:
        """The error of a failed delivery, with a new producer: the old one may be fenced or never end."""
        self._producer.purge()
        self._producer.poll(0)
        self._producer = self._new_producer()
        self._errors, self._too_large = [], []
        if error is not None:
            what = f"{what}: {self._link.text(error)}"
        return self._link.unavailable(f"{what}; check that the broker is running", is_final=is_final)
