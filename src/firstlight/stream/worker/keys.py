"""Whether the alerts of an object come in one partition, as the keys of a topic say."""

import logging
from collections.abc import Iterable

from firstlight.stream.io.message import LOCAL_TOPICS, Message
from firstlight.stream.worker.logging import log
from firstlight.stream.worker.metrics import Metrics

#: Objects whose partitions are remembered.
WATCHED_OBJECTS = 1 << 16
_LONGEST_KEY = 256  # a longer one is a schema


def may_be_keyed(messages: Iterable[Message]) -> bool:
    """Whether all messages have a key that is not a schema."""
    return all(
        message.key and len(message.key) <= _LONGEST_KEY and not message.key.startswith(b"{")
        for message in messages
    )


def is_key_of(key: bytes | None, object_id: str) -> bool:
    """Whether a key is the object: its text, or its number in 8 bytes."""
    if not key:
        return False
    text = object_id.encode()
    return key.strip(b'"') == text or (
        len(key) == 8 and object_id.isdecimal() and int.from_bytes(key, "big") == int(object_id)
    )


class KeyWatch:
    """Notices objects whose alerts come in several partitions, each with a state of its own."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._partitions: dict[int, int] = {}  # by the hash of the object
        self._is_split = False

    def see(self, message: Message, object_id: str) -> None:
        """Take an alert of a topic with several partitions; warn once if they split objects."""
        if self._is_split or message.topic in LOCAL_TOPICS:
            return
        if len(self._partitions) >= WATCHED_OBJECTS:
            self._partitions.clear()
        first = self._partitions.setdefault(hash(object_id), message.partition)
        if message.key and len(message.key) <= _LONGEST_KEY and first == message.partition:
            return
        self._is_split = True
        self._metrics.set("split_objects", 1)
        log(
            logging.WARNING,
            "alerts of one object come in several partitions, but each has a state of its own: records may "
            "lack observations of another partition; start with another --state folder to share one state",
            topic=message.topic,
            object=object_id,
            key="none" if not message.key else "not the object",
        )
