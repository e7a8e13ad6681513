"""The protocol of a source of alerts, and a source in memory."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol, runtime_checkable

from firstlight.stream.io.message import Message, Partition

#: Begin a topic with its oldest message, or with the next one.
EARLIEST, LATEST = "earliest", "latest"
POLL_PAUSE_S = 0.02  # between checks for new messages, where the system cannot wait for them

PartitionCall = Callable[[list[Partition]], None]
#: Takes a partition, the offset to continue at, and the one that follows instead: that was not there.
GapCall = Callable[[Partition, int, int], None]


class AlertSource(Protocol):
    """Returns messages in order within each partition.

    Laws: within a partition, offsets ascend; after `seek`, the next message is the first whose offset
    is not smaller, and messages polled again are the same. A bad message never raises: it has an
    `error`, or does not decode. `poll` calls `on_assign` before it returns the first message of a
    partition, and `on_revoke` before another consumer can get the partition.
    """

    on_assign: PartitionCall | None  #: called with the partitions that are gained
    on_revoke: PartitionCall | None  #: called with the partitions that are about to be lost

    @property
    def exhausted(self) -> bool:
        """Whether all messages were returned and no more can come."""
        ...

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """Available messages, waiting up to `timeout_s` [s] for the first; may be empty."""
        ...

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Continue at an offset."""
        ...

    def commit(self, positions: dict[Partition, int]) -> None:
        """Publish the next offsets for monitoring; a restart continues from the state store's."""
        ...

    def lag(self) -> int | None:
        """Number of available messages not yet returned; None if unknown."""
        ...

    def close(self) -> None:
        """Release the source; may be called twice."""
        ...


@runtime_checkable
class BookmarkedSource(Protocol):
    """A source of files, each with its own place; offsets then only count messages."""

    def use_bookmarks(self, bookmarks: Mapping[str, str]) -> None:
        """Continue each file at its bookmark; called before the `seek` that gives the next offset."""
        ...

    def loose_bookmarks(self) -> dict[str, str]:
        """New bookmarks that came with no message, each once; called after a poll that found nothing."""
        ...


@runtime_checkable
class GroupSource(Protocol):
    """A topic that a group of workers shares; its messages may be removed before they are read."""

    on_gap: GapCall | None  #: called when the topic has no message at the next offset

    @property
    def has_starts(self) -> bool:
        """Whether `starts` counts; otherwise each partition is read from its beginning."""
        ...

    def starts(self) -> dict[Partition, int]:
        """Offsets at which to begin the partitions that are there now; UnavailableError if unknown."""
        ...

    def topics(self) -> Collection[str] | None:
        """Topics that are there; None if unknown, or if only one is read."""
        ...

    def identity(self, topic: str) -> str:
        """Text that differs for another topic of the same name, made again or elsewhere; "" if unknown."""
        ...

    def new_identities(self) -> dict[str, str]:
        """Identities of its topics that have come since the last call, some parts unknown; does not wait."""
        ...

    def lags(self) -> dict[Partition, int] | None:
        """Number of available messages not yet returned, by partition; None if any is unknown."""
        ...

    def serve(self) -> None:
        """Answer the group while the worker waits for something else; may call `on_revoke`."""
        ...


class MemorySource:
    """Messages in memory; with `endless` more may be appended later.

    >>> source = MemorySource([Message(b"%d" % i, None, "t", 0, i) for i in range(3)])
    >>> [message.offset for message in source.poll(2, 0.0)], source.exhausted
    ([0, 1], False)
    """

    def __init__(self, messages: Iterable[Message] = (), *, endless: bool = False) -> None:
        self.on_assign: PartitionCall | None = None
        self.on_revoke: PartitionCall | None = None
        self.endless = endless
        self.committed: dict[Partition, int] = {}
        self._messages: dict[Partition, list[Message]] = {}
        self._next: dict[Partition, int] = {}
        self._assigned: set[Partition] = set()
        self.append(messages)

    @property
    def exhausted(self) -> bool:
        """See `AlertSource`."""
        return not self.endless and self.lag() == 0

    def append(self, messages: Iterable[Message]) -> None:
        """Add messages to the ends of their partitions."""
        for message in messages:
            self._messages.setdefault(message.origin, []).append(message)
            self._next.setdefault(message.origin, 0)

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """See `AlertSource`."""
        if new := [partition for partition in self._messages if partition not in self._assigned]:
            self._assigned.update(new)
            if self.on_assign is not None:
                self.on_assign(new)
        found: list[Message] = []
        for partition, messages in self._messages.items():
            at = self._next[partition]
            part = messages[at : at + max_records - len(found)]
            self._next[partition] += len(part)
            found += part
        if not found and self.endless:
            time.sleep(min(timeout_s, POLL_PAUSE_S))
        return found

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """See `AlertSource`."""
        messages = self._messages.get((topic, partition), [])
        self._next[topic, partition] = sum(message.offset < offset for message in messages)

    def commit(self, positions: dict[Partition, int]) -> None:
        """Keep the positions in `committed`."""
        self.committed |= positions

    def lag(self) -> int:
        """See `AlertSource`."""
        return sum(len(messages) - self._next[partition] for partition, messages in self._messages.items())

    def revoke(self) -> None:
        """Lose all partitions, as in a rebalance; the next poll gains them again."""
        if self.on_revoke is not None and self._assigned:
            self.on_revoke(sorted(self._assigned))
        self._assigned.clear()

    def close(self) -> None:
        """Nothing to release."""
