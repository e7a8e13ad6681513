"""The partitions that a worker owns, each with its state store."""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from firstlight.errors import StateError
from firstlight.stream.io.kafka_client import is_other_topic, merged_identity
from firstlight.stream.io.message import Message, Partition
from firstlight.stream.io.sources import AlertSource, BookmarkedSource, GroupSource
from firstlight.stream.state.rows import Owner
from firstlight.stream.state.store import Changes, StateStore
from firstlight.stream.worker.clocks import CLOCK_ALERTS, Clock
from firstlight.stream.worker.keys import KeyWatch
from firstlight.stream.worker.logging import log
from firstlight.stream.worker.metrics import Metrics
from firstlight.stream.worker.unfinished import Unfinished

_TOPIC = "topic of partition {}"  # the bookmark that holds the identity of the topic
_PLACE = (
    "name of topic of partition {}"  # the bookmark that holds its name, where several topics share a store
)
_TOPICS_S = 600.0  # between two looks at which topics are there
#: Objects that an eviction looks at, so that it stays short.
EVICT_OBJECTS = 500


class Stores(Protocol):
    """The state stores of all partitions; `firstlight.stream.state.folder.StateFolder` implements it."""

    def open(self, topic: str, partition: int, wait_s: float) -> StateStore:
        """Open the store of a partition, waiting up to `wait_s` [s] for its owner to release it."""
        ...

    def is_shared(self, topic: str) -> bool | None:
        """Whether all partitions of a topic share a store; None before `choose`."""
        ...

    def choose(self, topic: str, *, shared: bool) -> bool:
        """Choose whether all partitions share a store; an earlier choice counts and is returned."""
        ...

    def starts(self, find: Callable[[], Mapping[Partition, int]]) -> Mapping[Partition, int]:
        """Offsets of `find` at the first start ever, of partitions that were there."""
        ...

    def use(self, bundles: Sequence[Owner]) -> None:
        """Change the bundles of stores that are opened from now on."""
        ...

    def sink_position(self, name: str) -> int | None:
        """Largest stored length of a sink over all partitions; called before any is opened."""
        ...


class Partitions:
    """Opens a store when a partition is gained, closes it when the partition is lost.

    `lengths` holds the current length of each output file; a new store starts with them. `on_damage` is
    called when a partition is read again because its state was lost.
    """

    def __init__(
        self,
        source: AlertSource,
        stores: Stores,
        metrics: Metrics,
        *,
        wait_s: float,
        lengths: Mapping[str, int],
        on_damage: Callable[[], None],
        clock_alerts: int = CLOCK_ALERTS,
    ) -> None:
        self._source = source
        self._stores = stores
        self._metrics = metrics
        self._wait_s = wait_s
        self._lengths = lengths
        self._on_damage = on_damage
        self._open: dict[Partition, StateStore] = {}
        self._recovered: dict[Partition, str] = {}
        self._clocks: dict[Partition, Clock] = {}
        self._clock_alerts = clock_alerts
        self.unfinished = Unfinished()
        self.undecided: set[Partition] = set()  # gained before it is known whether their topic is keyed
        self._watch = KeyWatch(metrics)
        self._topics: Collection[str] | None = None  # those that are there; None if unknown or a single one
        self._topics_at = -math.inf
        self._warned: set[Partition] = set()  # partitions with messages before the stored position
        source.on_assign, source.on_revoke = self.gain, self.lose
        if isinstance(source, GroupSource):
            source.on_gap = self.skip_gap

    def gain(self, partitions: Iterable[Partition]) -> None:
        """Open the stores of new partitions and continue at their positions."""
        for partition in partitions:
            if self._stores.is_shared(partition[0]) is None:
                self.undecided.add(partition)
                self._source.seek(*partition, 0)
            else:
                self.store(partition)
        self._count()

    def choose(self, topic: str, *, shared: bool) -> None:
        """Choose whether the partitions of a topic share a state, then open it."""
        shared = self._stores.choose(topic, shared=shared)
        if shared:
            log(logging.INFO, "the keys are not the objects: all partitions share one state", topic=topic)
        chosen = {partition for partition in self.undecided if partition[0] == topic}
        self.undecided -= chosen
        self.gain(sorted(chosen))

    def lose(self, partitions: Iterable[Partition]) -> None:
        """Close the stores of partitions that another worker takes over; everything is committed."""
        for partition in partitions:
            self.undecided.discard(partition)
            self.unfinished.forget(partition)
            store = self._open.pop(partition, None)
            if store is not None:
                store.disown(partition)
                if store not in self._open.values():
                    store.close()
                self._clocks.pop(partition, None)
                self._topics_at = -math.inf
                log(logging.INFO, "partition lost", topic=partition[0], partition=partition[1])
        self._count()

    def _count(self) -> None:
        self._metrics.set("partitions", len(self._open) + len(self.undecided))

    def close(self) -> None:
        """Close all stores."""
        self.lose(list(self._open))

    def store(self, partition: Partition) -> StateStore:
        """The store of a partition, opened if it is not open yet."""
        store = self._open.get(partition)
        if store is not None:
            return store
        topic, number = partition
        store = self._stores.open(topic, number, self._wait_s)
        known_as = store.number(partition)
        self._open[partition] = store
        self._recovered[partition] = store.recovered
        if store.recovered:
            log(logging.ERROR, "state damaged, reading its partition again", error=store.recovered)
            self._on_damage()
        if unknown := {n: at for n, at in self._lengths.items() if n not in store.sink_position}:
            store.commit(Changes(sink_position=unknown))
        if isinstance(self._source, GroupSource):
            self._compare(partition, store, self._source.identity(topic))
        position = self._first_position(partition, store)
        if store.is_shared:
            if known_as not in store.offsets:  # so that its clock is waited for
                store.commit(Changes(offsets={known_as: position}))
            if known_as != number and (place := _PLACE.format(known_as)) not in store.bookmarks:
                store.commit(Changes(bookmarks={place: topic}))
            self.unfinished.expect(partition, position, store.planned.get(known_as, 0))
        log(logging.INFO, "partition gained", topic=topic, partition=number, position=position)
        # from the beginning without a position: the store counts, not the broker's committed offset
        self._seek(partition, store)
        self._count()
        return store

    def _first_position(self, partition: Partition, store: StateStore) -> int:
        """Stored next offset of a partition; without one that of `GroupSource.starts`, which is stored."""
        stored = store.offsets.get(store.number(partition)) if store.is_shared else store.position
        if stored is None and isinstance(self._source, GroupSource) and self._source.has_starts:
            stored = self._stores.starts(self._source.starts).get(partition)
            if stored is not None:  # at once: after a crash the end of a topic is elsewhere
                store.commit(_next(partition, store, stored))
        return stored or 0

    def compare_topics(self) -> None:
        """Begin topics again that were made again while we held them."""
        if not isinstance(self._source, GroupSource):
            return
        for topic, identity in self._source.new_identities().items():
            for partition, store in self._open.items():
                if partition[0] == topic:
                    known = store.bookmarks.get(_TOPIC.format(store.number(partition)), "")
                    is_other = is_other_topic(known, identity)  # then its cluster may be another one, too
                    self._compare(partition, store, self._source.identity(topic) if is_other else identity)

    def _compare(self, partition: Partition, store: StateStore, identity: str) -> None:
        """Begin a partition again if the identity of its topic is not the one that was read."""
        name = _TOPIC.format(store.number(partition))
        known = store.bookmarks.get(name, "")
        identity = merged_identity(known, identity)
        if is_other_topic(known, identity) and _position(store, partition):
            self._source.seek(*partition, 0)  # first: without it nothing is committed
            self._begin_again(partition, store, 0, identity)
        elif identity != known:
            store.commit(Changes(bookmarks={name: identity}))

    def _begin_again(self, partition: Partition, store: StateStore, offset: int, identity: str) -> None:
        """Begin a topic that was made again, or is of another cluster, at its beginning."""
        self._metrics.count("recreated")
        log(
            logging.ERROR,
            "the topic was made again or is of another cluster: reading it from its beginning",
            topic=partition[0],
            partition=partition[1],
            position=_position(store, partition),
        )
        self.unfinished.forget(partition)
        self._clocks.pop(partition, None)  # its alerts may be older than those before
        number = store.number(partition)
        # an unknown identity, too, replaces the old one, which would begin the partition a second time
        changes = replace(_next(partition, store, offset), bookmarks={_TOPIC.format(number): identity})
        if store.is_shared:
            changes = replace(changes, planned={number: offset}, clocks={number: -math.inf})
        store.commit(changes)

    def skip_gap(self, partition: Partition, wanted: int, found: int) -> None:
        """Count messages that were removed before they were read; `found` follows instead of `wanted`."""
        store = self._open[partition]
        if found < wanted:
            assert isinstance(self._source, GroupSource)
            self._begin_again(partition, store, found, self._source.identity(partition[0]))
            return
        if self.unfinished.is_waiting and wanted != _position(store, partition):
            return  # messages before the gap are not committed yet: then they are read again up to it
        store.commit(_next(partition, store, found))  # so that it is counted once
        self._metrics.count("lost", n=found - wanted)
        log(
            logging.ERROR,
            "messages were removed from the topic before they were read (see its retention)",
            topic=partition[0],
            partition=partition[1],
            lost=found - wanted,
            position=wanted,
            found=found,
        )

    def is_open(self, partition: Partition) -> bool:
        """Whether this worker has the partition."""
        return partition in self._open

    def reset_after_damage(self, error: StateError) -> bool:
        """Whether a damaged store was replaced by an empty one; then rewind all partitions."""
        fresh = [p for p, store in self._open.items() if store.recovered != self._recovered[p]]
        if not fresh:
            return False
        log(logging.ERROR, "state damaged, reading its partition again", error=str(error))
        self._on_damage()
        for partition, store in self._open.items():
            if partition in fresh:
                self._recovered[partition] = store.recovered
                store.commit(Changes(sink_position=dict(self._lengths)))
        self.rewind()  # the whole batch is repeated
        return True

    def position(self, partition: Partition) -> int:
        """Stored next offset of a partition."""
        return _position(self.store(partition), partition)

    def use(self, bundles: Sequence[Owner]) -> None:
        """Change the bundles whose states all stores hold."""
        self._stores.use(bundles)
        for store in set(self._open.values()):
            store.use(bundles)

    def rewind(self) -> None:
        """Read all partitions again from their stored positions."""
        for partition, store in self._open.items():
            self._seek(partition, store)

    def release(self) -> None:
        """Give the objects of the micro-batch back to other workers."""
        for store in set(self._open.values()):
            store.release()

    def watch(self, message: Message, object_id: str) -> None:
        """Take note of an alert whose partition does not share its state."""
        if len(self._open) > 1 or message.partition:
            self._watch.see(message, object_id)

    def _seek(self, partition: Partition, store: StateStore) -> None:
        if isinstance(self._source, BookmarkedSource):
            self._source.use_bookmarks(store.bookmarks)
        self._source.seek(*partition, _position(store, partition))

    def keep_bookmarks(self) -> None:
        """Commit places in files that came with no message, such as the end of the last file."""
        if isinstance(self._source, BookmarkedSource) and (loose := self._source.loose_bookmarks()):
            for store in self._open.values():
                store.commit(Changes(bookmarks=loose))

    def skip_duplicate(self, message: Message, position: int) -> None:
        """Warn once per partition that the source returns messages before the stored position."""
        if message.origin in self._warned:
            return
        self._warned.add(message.origin)
        log(
            logging.WARNING,
            "messages before the stored position are skipped; if the topic was created again, "
            "move its state away to start at its beginning",
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            position=position,
        )

    def clock(self, partition: Partition) -> Clock:
        """The clock of a partition."""
        if partition not in self._clocks:
            self._clocks[partition] = Clock(self._clock_alerts)
        return self._clocks[partition]

    def evict(self, forget_days: float) -> None:
        """Remove some objects that no alert of their partition needs any more.

        An alert finds its object if that had an observation within `forget_days` before it, and may itself
        be as much older than the partition's clock.
        """
        for store in set(self._open.values()):
            oldest = self._oldest(store)
            if oldest > -math.inf:
                self._metrics.count("evicted", n=store.evict(oldest - 2.0 * forget_days, EVICT_OBJECTS))

    def _oldest(self, store: StateStore) -> float:
        """Time of the oldest recent alert of all partitions of a store, also of other workers' ones."""
        own = {store.number(p): self.clock(p).oldest for p, other in self._open.items() if other is store}
        if not store.is_shared:
            return min(own.values())
        known = store.clocks
        changed = {n: mjd for n, mjd in own.items() if mjd > -math.inf and mjd != known.get(n)}
        if changed:
            store.commit(Changes(clocks=changed))
            known = store.clocks
        gone = self._gone(store)
        times = (known.get(number, -math.inf) for number in store.offsets if number not in gone)
        return min(times, default=-math.inf)

    def _gone(self, store: StateStore) -> set[int]:
        """Partitions of topics that were deleted, as those of past nights: they bring no more alerts."""
        if isinstance(self._source, GroupSource) and time.monotonic() - self._topics_at > _TOPICS_S:
            self._topics, self._topics_at = self._source.topics(), time.monotonic()
        if self._topics is None:
            return set()
        names = ((number, store.bookmarks.get(_PLACE.format(number))) for number in store.offsets)
        return {number for number, name in names if name is not None and name not in self._topics}

    def measure(self) -> None:
        """Update the gauges of the stores and of the source's lag."""
        stores = set(self._open.values())
        self._metrics.set("objects", sum(store.n_objects for store in stores))
        self._metrics.set("state_bytes", sum(store.size_bytes for store in stores))
        self._metrics.set("damaged_rows", sum(store.damaged for store in stores))
        times = [clock.median for clock in self._clocks.values() if clock.is_set]
        if times:
            self._metrics.set("stream_mjd", min(times))
        self._metrics.set("lag", self._source.lag())
        if isinstance(self._source, GroupSource):
            self._metrics.set_partition_lags(self._source.lags())


def _position(store: StateStore, partition: Partition) -> int:
    """Stored next offset of a partition; 0 if there is none."""
    return (store.offsets.get(store.number(partition)) if store.is_shared else store.position) or 0


def _next(partition: Partition, store: StateStore, offset: int) -> Changes:
    """Another next offset of a partition."""
    return Changes(offsets={store.number(partition): offset}) if store.is_shared else Changes(position=offset)
