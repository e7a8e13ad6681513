"""Shared by source and sink of Kafka: the client's library, and its reports about the brokers."""

import json
import logging
import time
from collections.abc import Collection, Iterable
from concurrent.futures import Future
from typing import Any

from firstlight.errors import UnavailableError, missing_extra
from firstlight.stream.io.kafka_config import KafkaConfig
from firstlight.stream.io.message import Partition
from firstlight.text import printable

_log = logging.getLogger(__name__)

STATISTICS_MS = 2000  # between two reports of the client
SILENT_S = 10.0  # a broker that sends nothing for so long is away
_LOG_AGAIN_S = 600.0  # between two logs of the same error
IDENTITY_S = 10.0  # between two questions for the ids of topics

#: Settings of consumers and producers.
COMMON: dict[str, Any] = {
    "message.max.bytes": 16 << 20,  # an alert with cutouts has about 100 kB
    "socket.nagle.disable": True,
    "socket.keepalive.enable": True,
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 2000,
    "log_level": 2,  # the client's own lines repeat every second; `Link` logs each once
    "statistics.interval.ms": STATISTICS_MS,
}


class Link:
    """The state of the brokers behind an address, by the reports of the client."""

    def __init__(self, address: object, config: KafkaConfig) -> None:
        self._address = str(address)
        self._config = config
        self._kafka = kafka_module()
        self._logged: dict[Any, float] = {}
        self._refusal = self._error = ""  # the last ones since a broker responded
        self._started = time.monotonic()
        self._brokers: dict[int, tuple[bool, float]] = {}  # by id: whether it is up, its silence [s]
        self._leaders: dict[tuple[str, int], int] = {}
        self._reported = self._started  # time of the last report

    def settings(self) -> dict[str, Any]:
        """Settings of the client that make it report here."""
        return {"error_cb": self.report_error, "stats_cb": self._report}

    def report_error(self, error: Any) -> None:
        """Take an error that the client handles itself; log its kind once."""
        text = self.text(error)
        if error.code() in self._refusals():
            self._refusal = text
        else:
            self._error = text
        now = time.monotonic()
        if now - self._logged.get(error.code(), -_LOG_AGAIN_S) >= _LOG_AGAIN_S:
            self._logged[error.code()] = now
            _log.warning("%s: %s; waiting for it", self._address, text)

    def report_commit(self, error: Any, partitions: list[Any]) -> None:
        """Log a failed commit."""
        if error is not None:
            self.report_error(error)

    def _report(self, text: str) -> None:
        """Take the client's statistics."""
        report = json.loads(text)
        self._reported = time.monotonic()
        self._brokers, self._leaders = {}, {}
        for broker in report["brokers"].values():
            is_up, silence = broker["state"] == "UP", broker["rxidle"] / 1e6
            number = broker["nodeid"]
            known = self._brokers.get(number, (False, float("inf")))
            self._brokers[number] = max(known, (is_up, silence), key=lambda found: (found[0], -found[1]))
        for name, topic in report["topics"].items():
            for number, partition in topic["partitions"].items():
                self._leaders[name, int(number)] = partition["leader"]
        if any(is_up and 0 <= silence < SILENT_S for is_up, silence in self._brokers.values()):
            self._refusal = self._error = ""
            self._logged.clear()

    def refusal(self) -> str:
        """Why the brokers refuse the login or the access; "" if they do not."""
        return self._refusal

    def silence(self, partitions: Iterable[tuple[str, int]] = ()) -> str:
        """Why nothing can be read from the leaders of partitions, or from any broker; "" if something can."""
        leaders = {self._leaders.get(place, -1) for place in partitions}
        states = [self._brokers[number] for number in leaders if number in self._brokers and number >= 0]
        late = time.monotonic() - self._reported  # of the report itself
        if states:
            is_away = any(not up or silence + late > SILENT_S for up, silence in states)
        else:
            heard = any(up and silence + late <= SILENT_S for up, silence in self._brokers.values())
            is_away = not heard and (bool(self._error) or time.monotonic() - self._started > SILENT_S)
        if not is_away:
            return ""
        return self._error or f"no response for {SILENT_S:.0f} s"

    def unavailable(self, what: str, error: Any = None, *, is_final: bool = False) -> UnavailableError:
        """The error for a broker that cannot be used."""
        reason = f": {self.text(error)}" if error is not None else ""
        return UnavailableError(f"{self._address}: {what}{reason}", is_final=is_final)

    def text(self, error: Any) -> str:
        """The text of an error of the client, in one line without secrets."""
        inner = error.args[0] if isinstance(error, Exception) and error.args else error
        text = inner.str() if callable(getattr(inner, "str", None)) else str(inner)
        return printable(self._config.hide(" ".join(text.split())))

    def is_refusal(self, error: Any) -> bool:
        """Whether an error means that waiting rarely helps: a wrong password, a missing right."""
        return error.code() in self._refusals()

    def _refusals(self) -> tuple[int, ...]:
        codes = self._kafka.KafkaError
        return (
            codes._AUTHENTICATION,
            codes.SASL_AUTHENTICATION_FAILED,
            codes.TOPIC_AUTHORIZATION_FAILED,
            codes.GROUP_AUTHORIZATION_FAILED,
            codes.CLUSTER_AUTHORIZATION_FAILED,
        )


def kafka_module() -> Any:
    """Import confluent-kafka; MissingExtraError if it is not installed."""
    try:
        import confluent_kafka
    except ImportError as error:
        raise missing_extra("Kafka", "confluent-kafka", "stream") from error
    return confluent_kafka


def topic_identity(settings: dict[str, Any], topic: str, timeout_s: float = 5.0) -> str:
    """Ids of cluster and topic, ``CLUSTER/TOPIC``; empty parts are unknown.

    A topic that is deleted and created again, and one of the same name elsewhere, have other ids.
    """
    kafka = kafka_module()
    from confluent_kafka.admin import AdminClient

    try:
        admin = AdminClient(settings)
        cluster = admin.list_topics(topic, timeout=timeout_s)
        number = ""
        if cluster.controller_id in cluster.brokers:  # else the description would wait for one
            topics = kafka.TopicCollection([topic])
            found = admin.describe_topics(topics, request_timeout=timeout_s)[topic].result(timeout_s)
            number = _number(found)
    except (kafka.KafkaException, TimeoutError):
        return ""
    return f"{cluster.cluster_id or ''}/{number}"


def _number(description: Any) -> str:
    """Id of a described topic; "" if the broker is too old to give topics one, which it spells as zeros."""
    return str(description.topic_id or "").strip("A")


class TopicWatch:
    """Asks from time to time which topics stand behind names, and does not wait for the answer.

    It alone shows a topic that was made again within moments and has more messages than the old one had:
    librdkafka, and the range of offsets, show no change then.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings | {"statistics.interval.ms": 0}
        self._admin: Any = None
        self._asked: dict[str, Future[Any]] = {}
        self._asked_at = time.monotonic()

    def poll(self, topics: Collection[str]) -> dict[str, str]:
        """Identities that have come since the last call, as of `topic_identity` but without the cluster."""
        if self._asked:
            if not all(future.done() for future in self._asked.values()):
                return {}
            asked, self._asked = self._asked, {}
            numbers = {topic: self._result(future) for topic, future in asked.items()}
            return {topic: f"/{number}" for topic, number in numbers.items() if number}
        if topics and time.monotonic() - self._asked_at >= IDENTITY_S:
            self._asked_at = time.monotonic()
            self._asked = self._ask(sorted(topics))
        return {}

    def forget(self) -> None:
        """Drop a pending answer, which may be out of date by now."""
        self._asked = {}

    def close(self) -> None:
        """Release the client."""
        self._admin, self._asked = None, {}

    def _ask(self, topics: list[str]) -> dict[str, Future[Any]]:
        kafka = kafka_module()
        from confluent_kafka.admin import AdminClient

        try:
            self._admin = self._admin or AdminClient(self._settings)
            wanted = kafka.TopicCollection(topics)
            asked: dict[str, Future[Any]] = self._admin.describe_topics(wanted, request_timeout=IDENTITY_S)
        except kafka.KafkaException:
            return {}
        return asked

    def _result(self, future: Future[Any]) -> str:
        """Id of a topic; "" if it is not known, as while the topic is gone."""
        try:
            return _number(future.result(0.0))
        except (kafka_module().KafkaException, TimeoutError):
            return ""


def merged_identity(before: str, now: str) -> str:
    """An identity with the known parts of an earlier one in place of unknown parts.

    >>> merged_identity("c1/t1", "/t2"), merged_identity("", "c1/t1")
    ('c1/t2', 'c1/t1')
    """
    old, new = (text.partition("/") for text in (before, now))
    cluster, topic = new[0] or old[0], new[2] or old[2]
    return f"{cluster}/{topic}" if cluster or topic else ""


def first_offsets(
    consumer: Any, link: Link, places: list[Partition], since_ms: int | None, timeout_s: float = 10.0
) -> dict[Partition, int]:
    """Offset of the first message of each partition at or after a time [ms since 1970]; -1 for the end.

    UnavailableError if the broker does not respond.
    """
    kafka = kafka_module()
    at = kafka.OFFSET_END if since_ms == -1 else since_ms
    wanted = [kafka.TopicPartition(*place, at) for place in places]
    try:
        found = consumer.offsets_for_times(wanted, timeout=timeout_s) if since_ms != -1 else wanted
        offsets = {}
        for item in found:
            if item.error is not None:
                raise kafka.KafkaException(item.error)
            offset = item.offset
            if offset < 0:  # nothing so late
                _, offset = consumer.get_watermark_offsets(item, timeout=timeout_s, cached=False)
            offsets[item.topic, item.partition] = offset
    except kafka.KafkaException as error:
        raise link.unavailable("where to start is unknown", error) from None
    return offsets


def is_other_topic(before: str, now: str) -> bool:
    """Whether two values of `topic_identity` are known to differ.

    >>> is_other_topic("c1/t1", "c1/t2"), is_other_topic("c1/t1", "c1/"), is_other_topic("", "c1/t1")
    (True, False, False)
    """
    pairs = zip(before.split("/", 1), now.split("/", 1), strict=False)
    return any(old and new and old != new for old, new in pairs)
