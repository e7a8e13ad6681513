"""Where alerts come from: the protocol of a source, its twin in memory, files and folders.

`firstlight.stream.io.kafka` has the source that a broker feeds.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from firstlight.errors import BrokerError, DataError
from firstlight.stream.io.alert_files import read_alerts
from firstlight.stream.io.message import FILE_TOPIC, Message, Partition
from firstlight.stream.io.tail import Tail

__all__ = [
    "AlertSource",
    "DirectorySource",
    "FileSource",
    "MemorySource",
    "PartitionCall",
]

_LOOK_S = 0.02  # between looks for more in a file that is followed

PartitionCall = Callable[[list[Partition]], None]


class AlertSource(Protocol):
    """Hands out messages in order, partition by partition.

    Laws: within a partition, offsets ascend; after `seek`, the next record of that
    partition is the first whose offset is not smaller. What was polled may be polled again
    after a seek, and is then the same. One bad message never raises: it comes as a record
    that does not decode. `on_assign` is called from within `poll` before the first record
    of a partition is handed out, `on_revoke` before another consumer may get it.

    Attributes
    ----------
    on_assign, on_revoke : callable, optional
        Told the partitions that are gained, and those that are about to be lost.
    """

    on_assign: PartitionCall | None
    on_revoke: PartitionCall | None

    @property
    def exhausted(self) -> bool:
        """Whether no more will come, and all was handed out."""
        ...

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """Records that are there, waiting up to `timeout_s` [s] for the first; [] when none came."""
        ...

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Go on at an offset."""
        ...

    def commit(self, positions: dict[Partition, int]) -> None:
        """Tell whoever watches how far we are; the state store is the truth."""
        ...

    def lag(self) -> int | None:
        """Records that are there and were not handed out; None where unknown."""
        ...

    def close(self) -> None:
        """Let go; closing twice is harmless."""
        ...


class MemorySource:
    """Records held in memory.

    Parameters
    ----------
    records : iterable of Message
        Of any number of partitions; offsets ascend in each.
    endless : bool
        Whether more may be appended; otherwise the source ends with its last record.

    Examples
    --------
    >>> source = MemorySource([Message(b"%d" % i, None, "t", 0, i) for i in range(3)])
    >>> [record.offset for record in source.poll(2, 0.0)], source.exhausted
    ([0, 1], False)
    """

    def __init__(self, records: Iterable[Message] = (), *, endless: bool = False) -> None:
        self.on_assign: PartitionCall | None = None
        self.on_revoke: PartitionCall | None = None
        self.endless = endless
        self.committed: dict[Partition, int] = {}
        self._records: dict[Partition, list[Message]] = {}
        self._at: dict[Partition, int] = {}
        self._told: set[Partition] = set()
        self.append(records)

    @property
    def exhausted(self) -> bool:
        """Whether all was handed out and no more may come."""
        return not self.endless and self.lag() == 0

    def append(self, records: Iterable[Message]) -> None:
        """Add records to the ends of their partitions."""
        for record in records:
            partition = (record.topic, record.partition)
            self._records.setdefault(partition, []).append(record)
            self._at.setdefault(partition, 0)

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """Next records, partition after partition."""
        if new := [partition for partition in self._records if partition not in self._told]:
            self._told.update(new)
            if self.on_assign is not None:
                self.on_assign(new)
        found: list[Message] = []
        for partition, records in self._records.items():
            at = self._at[partition]
            part = records[at : at + max_records - len(found)]
            self._at[partition] += len(part)
            found += part
        if not found and self.endless:
            time.sleep(min(timeout_s, _LOOK_S))
        return found

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Go on at an offset."""
        records = self._records.get((topic, partition), [])
        self._at[topic, partition] = sum(record.offset < offset for record in records)

    def commit(self, positions: dict[Partition, int]) -> None:
        """Keep the positions in `committed`."""
        self.committed |= positions

    def lag(self) -> int:
        """Records not handed out yet."""
        return sum(len(records) - self._at[partition] for partition, records in self._records.items())

    def revoke(self) -> None:
        """Lose all partitions, as in a rebalance; the next poll gains them again."""
        if self.on_revoke is not None and self._told:
            self.on_revoke(sorted(self._told))
        self._told.clear()

    def close(self) -> None:
        """Nothing to let go of."""


class FileSource:
    """Alerts of one file: Avro container, JSON lines, a JSON array, each perhaps under gzip.

    Offsets are record numbers. Each record of a container comes as schemaless Avro with
    the JSON of its schema as the key, so that a codec compiles the schema once.

    Parameters
    ----------
    path : Path
        The file.
    follow : bool
        Wait for more to be written to its end (as ``tail -f``) instead of ending there.

    Raises
    ------
    DataError
        If there is no such file.
    """

    def __init__(self, path: Path, *, follow: bool = False) -> None:
        self.path = Path(path)
        self.follow = follow
        self.on_assign: PartitionCall | None = None
        self.on_revoke: PartitionCall | None = None
        self._assigned = self._ended = False
        self._files = self._list()
        self._bases = [0]  # records before each file, as far as it is known
        self._goal = 0  # next offset to hand out
        self._tail = Tail()
        self._reader: Iterator[Message | None] | None = None

    @property
    def exhausted(self) -> bool:
        """Whether the last record was handed out."""
        return self._ended

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """Next records.

        Raises
        ------
        BrokerError
            If a file cannot be read, or changed in a way that leaves offsets without meaning.
        """
        if not self._assigned:
            self._assigned = True
            if self.on_assign is not None:
                self.on_assign([(FILE_TOPIC, 0)])
        deadline = time.monotonic() + timeout_s
        found: list[Message] = []
        while len(found) < max_records and not self._ended:
            message = self._take()
            if message is not None:
                base = self._bases[-1]
                self._goal = base + message.offset + 1
                found.append(replace(message, offset=base + message.offset) if base else message)
            elif found or self._ended or time.monotonic() >= deadline:
                break
            else:
                time.sleep(min(_LOOK_S, max(deadline - time.monotonic(), 0.0)))
        return found

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Go on at an offset; what lies before it is passed over, not decoded."""
        if offset == self._goal:
            return
        self._goal = offset
        self._ended = False
        self._reader = None
        while len(self._bases) > 1 and self._bases[-1] > offset:
            self._bases.pop()

    def commit(self, positions: dict[Partition, int]) -> None:
        """Nobody to tell."""

    def lag(self) -> int | None:
        """Unknown, but at the end."""
        return 0 if self._ended else None

    def close(self) -> None:
        """Close the open file."""
        self._reader = None
        self._ended = True

    def _take(self) -> Message | None:
        """Next record; None where there is none for now, or none any more."""
        while True:
            if self._reader is None and not self._begin_file():
                return None
            assert self._reader is not None
            try:
                message = next(self._reader)
            except StopIteration:
                self._reader = None
                self._bases.append(self._bases[-1] + self._tail.n_records)
                continue
            except BrokerError:
                self._reader = None  # to be opened again, at the same place, by the next poll
                raise
            if message is not None:
                return message
            if not self._has_next():
                return None
            self._tail.complete = True  # a file after it has begun: nobody writes to this one any more

    def _begin_file(self) -> bool:
        index = len(self._bases) - 1
        if index >= len(self._files) and not self._has_next():
            self._ended = not self.follow
            return False
        self._tail = Tail(complete=not (self.follow and index == len(self._files) - 1))
        self._reader = read_alerts(self._files[index], max(self._goal - self._bases[-1], 0), self._tail)
        return True

    def _has_next(self) -> bool:
        """Whether there is a file after the current one."""
        index = len(self._bases) - (0 if self._reader is not None else 1)
        if index >= len(self._files) and self.follow:
            self._look_for_files()
        return index < len(self._files)

    def _look_for_files(self) -> None:
        """Nothing to look for: one file it is."""

    def _list(self) -> list[Path]:
        if not self.path.is_file():
            raise DataError(f"{self.path}: no such file of alerts")
        return [self.path]


class DirectorySource(FileSource):
    """Alerts of all files of a folder, in the order of their names.

    Offsets number the records through all files. Hidden files and those whose names end in
    ``.tmp`` or ``.part`` are left out. A folder that is followed takes up new files, whose
    names must come after those that are there (dates do); a JSON array or a single message
    is read once a file after it has begun.

    Parameters
    ----------
    path : Path
        The folder.
    follow : bool
        Wait for more, in the last file and in new ones.

    Raises
    ------
    DataError
        If there is no such folder.
    """

    def _look_for_files(self) -> None:
        found = self._list()
        if found[: len(self._files)] != self._files:
            changed = next((a for a, b in zip(found, self._files, strict=False) if a != b), self._files[-1])
            raise BrokerError(
                f"{self.path}: {changed.name} came or went before {self._files[-1].name}, so record numbers "
                "mean nothing any more; give new files names that come last, and leave old ones alone"
            )
        self._files = found

    def _list(self) -> list[Path]:
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such folder of alerts")
        return sorted(
            (
                path
                for path in self.path.iterdir()
                if path.is_file() and not path.name.startswith(".") and path.suffix not in (".tmp", ".part")
            ),
            key=lambda path: path.name,
        )
