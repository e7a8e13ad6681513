"""A micro-batch that was published, but maybe not committed, before a crash.

Where partitions share a state, a record depends on which of their alerts came first, and so on the
micro-batches. A sink that cannot be cut must get the same bytes again. So the ends of a micro-batch are
committed before it is published, and after a crash the batch is made again from the same messages.
"""

from collections.abc import Iterable

from firstlight.stream.io.message import Message, Partition


class Unfinished:
    """Collects the messages of the micro-batch; empty if there was none."""

    def __init__(self) -> None:
        self._ends: dict[Partition, int] = {}
        self._reached: dict[Partition, int] = {}
        self._messages: list[Message] = []

    @property
    def is_waiting(self) -> bool:
        """Whether there is such a micro-batch."""
        return bool(self._ends)

    @property
    def is_complete(self) -> bool:
        """Whether the messages of all its partitions have come."""
        return all(self._reached.get(partition, -1) + 1 >= end for partition, end in self._ends.items())

    def expect(self, partition: Partition, start: int | None, end: int) -> None:
        """Wait for the messages of a partition from its stored position to the end of the micro-batch."""
        if end > (start or 0):
            self._ends[partition] = end

    def forget(self, partition: Partition) -> None:
        """Another worker has the partition now."""
        self._ends.pop(partition, None)
        self._messages = [message for message in self._messages if message.origin != partition]

    def add(self, messages: Iterable[Message]) -> int:
        """Take messages; the number of those that belong to later micro-batches."""
        n_later = 0
        for message in messages:
            if message.offset < self._ends.get(message.origin, 0):
                self._messages.append(message)
            else:
                n_later += 1
            self._reached[message.origin] = message.offset
        return n_later

    def take(self) -> list[Message]:
        """The messages, in order within each partition; then wait for nothing any more."""
        messages = self._messages
        self._ends, self._reached, self._messages = {}, {}, []
        return messages
