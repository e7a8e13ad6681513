"""A runner on Quix Streams: state in RocksDB with a changelog topic, moved between machines by the engine.

Alerts are first keyed by object, then each goes through the worker's update with the state of its object. A
machine that takes over a partition reads that partition's states from the changelog topic.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from firstlight.errors import BrokerError, SettingsError, missing_extra
from firstlight.stream.alerts.alert import Alert, Skip
from firstlight.stream.engines.keyed import Envelope, ObjectClassifier
from firstlight.stream.io.message import Message
from firstlight.stream.results.record import JsonResults, result_key
from firstlight.stream.worker.keys import is_key_of
from firstlight.stream.worker.letters import dead_letter

_log = logging.getLogger(__name__)

#: The output of a step: for the next step or the results, or for the dead letters.
_ON, _LETTER = "on", "letter"
Item = tuple[str, bytes, bytes]  # one of these, the key, the value

Rekey = Literal["group_by", "topic", "none"]


@dataclass(frozen=True)
class QuixConfig:
    """Where a runner reads and writes.

    Attributes
    ----------
    broker : str
        Address of the broker, ``host:port``.
    source, sink : str
        Topic of alerts, and of results.
    state : path
        Folder of RocksDB; a lost folder comes back from the changelog topic.
    dead_letters : str
        Topic of messages that cannot be used; by default the sink with ``.rejects``.
    group : str
        Consumer group; also the prefix of the changelog topic's name.
    rekey : {"group_by", "topic", "none"}
        How alerts reach the place of their object: through the engine's own internal topic, through the topic
        ``<group>.<source>.by-object``, or not at all, for a topic whose keys are the objects.
    partitions : int
        Partitions of the topics that the runner creates.
    exactly_once : bool
        Whether results, states and positions are one transaction of the broker. Else a killed
        runner repeats some results.
    topic : mapping of str to str
        Settings of the topics that the runner creates.
    application : mapping
        More arguments of ``quixstreams.Application``, such as ``commit_interval``.
    """

    broker: str
    source: str
    sink: str
    state: Path
    dead_letters: str = ""
    group: str = "firstlight"
    rekey: Rekey = "group_by"
    partitions: int = 1
    exactly_once: bool = False
    topic: Mapping[str, str] = field(default_factory=dict)
    application: Mapping[str, Any] = field(default_factory=dict)


class QuixRunner:
    """Classify a topic of alerts with Quix Streams.

    Parameters
    ----------
    classifier : ObjectClassifier
        The classifier.
    config : QuixConfig
        Where it reads and writes.

    Attributes
    ----------
    application : quixstreams.Application
        The application, for its metrics or to stop it.
    counts : Counter
        Alerts, results, repeated and skipped alerts, and rejected messages.

    Raises
    ------
    MissingExtraError
        If Quix Streams is not installed.
    """

    def __init__(self, classifier: ObjectClassifier, config: QuixConfig) -> None:
        self._classifier, self._config = classifier, config
        self._form = JsonResults()
        self.counts: Counter[str] = Counter()
        self.application = self._application()
        self._build()

    def run(self, **until: Any) -> None:
        """Work until SIGTERM, or until the limits in `until`, those of ``quixstreams.Application.run``.

        BrokerError if the broker cannot be used.
        """
        try:
            self.application.run(**until)
        except Exception as error:
            if type(error).__module__.startswith(("confluent_kafka", "quixstreams", "cimpl")):
                raise BrokerError(f"Quix Streams at {self._config.broker}: {error!r}") from error
            raise
        _log.info("quix runner ended: %s", dict(self.counts))

    def _application(self) -> Any:
        try:
            from quixstreams import Application
        except ImportError as error:
            raise missing_extra("the runner on Quix Streams", "quixstreams", "quix") from error
        config = self._config
        return Application(
            broker_address=config.broker,
            consumer_group=config.group,
            state_dir=config.state,
            processing_guarantee="exactly-once" if config.exactly_once else "at-least-once",
            **{"auto_offset_reset": "earliest", "loglevel": "WARNING"} | dict(config.application),
        )

    def _topic(self, name: str) -> Any:
        from quixstreams.models import TopicConfig

        made = TopicConfig(self._config.partitions, 1, extra_config=dict(self._config.topic))
        kinds = {f"{of}_{way}": "bytes" for of in ("key", "value") for way in ("serializer", "deserializer")}
        return self.application.topic(name, config=made, **kinds)

    def _build(self) -> None:
        """The steps: alerts by object, then records."""
        config, letters = (
            self._config,
            self._topic(self._config.dead_letters or f"{self._config.sink}.rejects"),
        )
        frame = self.application.dataframe(self._topic(config.source))
        if config.rekey != "none":
            opened = frame.apply(self._open, expand=True, metadata=True)
            _branch(opened, _LETTER).to_topic(letters, key=lambda _: b"")
            by_object = _branch(opened, _ON)
            if config.rekey == "group_by":
                kinds = {
                    f"{of}_{way}": "bytes"
                    for of in ("key", "value")
                    for way in ("serializer", "deserializer")
                }
                frame = by_object.group_by(_object, name="object", **kinds)
            else:
                between = self._topic(f"{config.group}.{config.source}.by-object")
                by_object.to_topic(between, key=_object)
                frame = self.application.dataframe(between)
        answered = frame.apply(self._update, stateful=True, expand=True, metadata=True)
        _branch(answered, _LETTER).to_topic(letters, key=lambda _: b"")
        _branch(answered, _ON).to_topic(self._topic(config.sink))

    def _open(self, value: bytes, key: Any, timestamp: int, headers: Any) -> Iterator[Item]:
        """The alerts of a message, each with the message, and dead letters for those that cannot be read."""
        message = _message(value, key, timestamp)
        for number, item in enumerate(self._classifier.decode(value, _key(key))):
            if isinstance(item, Alert):
                yield _ON, b"", Envelope(item.object_id, _key(key), value, number).pack()
            elif isinstance(item, Skip):
                self.counts["skipped"] += 1
            else:
                yield self._reject(message, "decode", str(item))

    def _update(self, value: bytes, key: Any, timestamp: int, headers: Any, state: Any) -> Iterator[Item]:
        """Records of the alerts of a message; all are of the object that is the key."""
        alerts = []
        if self._config.rekey == "none":
            message = _message(value, key, timestamp)
            for item in self._classifier.decode(value, _key(key)):
                if isinstance(item, Alert):
                    self._check_key(key, item.object_id)
                    alerts.append(item)
                elif isinstance(item, Skip):
                    self.counts["skipped"] += 1
                else:
                    yield self._reject(message, "decode", str(item))
        else:
            envelope = Envelope.unpack(value)
            message = _message(envelope.value, envelope.key, timestamp)
            items = self._classifier.decode(envelope.value, envelope.key)
            alerts += [
                item for item in items[envelope.number : envelope.number + 1] if isinstance(item, Alert)
            ]
        found = self._classifier.update(alerts, _RocksState(state))
        self.counts["alerts"] += len(found)
        for record in found:
            if record is None:
                self.counts["repeated"] += 1
            elif isinstance(record, Exception):
                yield self._reject(message, "pipeline", repr(record))
            else:
                self.counts["results"] += 1
                yield _ON, result_key(record), self._form.encode(record, None)

    def _check_key(self, key: Any, object_id: str) -> None:
        if not is_key_of(_key(key), object_id):
            raise SettingsError(
                f"topic {self._config.source}: an alert of object {object_id} has another key, so its state "
                "would be elsewhere; choose rekey='group_by' or 'topic'"
            )

    def _reject(self, message: Message, kind: str, reason: str) -> Item:
        self.counts["rejected"] += 1
        _log.warning("message rejected (%s): %s", kind, reason)
        return _LETTER, b"", dead_letter(message, kind, reason)


class _RocksState:
    """A `KeyedState` over Quix Streams' state of one key."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def get(self, name: str) -> bytes | None:
        found: bytes | None = self._state.get_bytes(name)
        return found

    def set(self, name: str, value: bytes) -> None:
        self._state.set_bytes(name, value)

    def delete(self, name: str) -> None:
        self._state.delete(name)


def _branch(frame: Any, kind: str) -> Any:
    """The values of one kind that leave a step."""
    return frame.filter(lambda item: item[0] == kind).apply(lambda item: item[2])


def _object(value: bytes) -> bytes:
    """The object of an envelope, as the key of its topic."""
    return Envelope.unpack(value).object_id.encode()


def _key(key: Any) -> bytes | None:
    return None if key is None else key if isinstance(key, bytes) else json.dumps(key).encode()


def _message(value: bytes, key: Any, timestamp: int) -> Message:
    """The message in hand with its place, for a dead letter."""
    from quixstreams import message_context

    place = message_context()
    return Message(value, _key(key), place.topic, place.partition, place.offset, timestamp)
