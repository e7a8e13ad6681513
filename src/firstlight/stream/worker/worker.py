"""The worker: alerts in, records out, state and position durable together.

One micro-batch at a time: poll, decode, update, publish, then commit states, offset and the
length of the output in one transaction a partition. A crash before the commit leaves the
store as it was, and the batch is done again with the same bytes; a crash after it has
nothing to repeat. So every alert is answered once, counted as a set.
"""

import base64
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Protocol, TypeVar

from firstlight.errors import BrokerError, DataError, FetchError, SettingsError, StateError
from firstlight.stream.alerts.alert import Alert, Skip
from firstlight.stream.alerts.decoder import AlertDecoder
from firstlight.stream.io.message import Message, Partition
from firstlight.stream.io.sinks import ResultSink
from firstlight.stream.io.sources import AlertSource
from firstlight.stream.results.record import JsonResults, ResultFormat, result_key
from firstlight.stream.state.batch import PartitionMemory
from firstlight.stream.state.store import Changes, StateStore
from firstlight.stream.worker.answer import ALERT_ERRORS, Arrived, LivePipeline, answer
from firstlight.stream.worker.logging import log
from firstlight.stream.worker.metrics import Metrics

__all__ = ["Batch", "Stores", "Worker", "WorkerConfig", "dead_letter"]

#: Alerts may come so much later than their stream and still find their object as it was [day].
LATENESS_DAYS = 30.0

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 15.0
_HOUSEKEEPING_S = 1.0
_LONGEST_KEY = 256

T = TypeVar("T")
U = TypeVar("U")


class Stores(Protocol):
    """The state stores of all partitions; `firstlight.stream.state.stores.StateFolder` is one."""

    def open(self, topic: str, partition: int, wait_s: float) -> StateStore:
        """Open the store of a partition, waiting for an older owner to let go of it."""
        ...

    def sink_position(self, name: str) -> int | None:
        """Largest durable length of a sink that any partition stored; called before any is opened."""
        ...


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Settings of a worker.

    Attributes
    ----------
    batch : int
        Messages of a micro-batch at most.
    linger_ms : float
        Longest wait for alerts when there are none [ms]; those that are there go at once.
    forget_days : float
        An object without an observation for so long begins anew [day].
    keep_skips : bool
        Whether alerts with nothing to classify go to the dead letters.
    patience_s : float
        How long to wait for a broker or registry that is away before giving up [s].
    wait_for_state_s : float
        How long to wait for another worker to let go of a partition's state [s].
    evict_objects : int
        Objects removed from the store at a time.
    clock_alerts : int
        Alerts whose median time is the stream's time; none is evicted before so many came.
    max_alerts : int, optional
        Stop after so many messages.

    Raises
    ------
    SettingsError
        If a value cannot hold.
    """

    batch: int = 512
    linger_ms: float = 50.0
    forget_days: float = 400.0
    keep_skips: bool = False
    patience_s: float = 600.0
    wait_for_state_s: float = 30.0
    evict_objects: int = 500
    clock_alerts: int = 1001
    max_alerts: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch", "forget_days", "evict_objects", "clock_alerts"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"stream: {name} is {getattr(self, name)}, expected more than 0")
        for name in ("linger_ms", "patience_s", "wait_for_state_s"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"stream: {name} is {getattr(self, name)}, expected 0 or more")
        if self.max_alerts is not None and self.max_alerts < 1:
            raise SettingsError(f"stream: max_alerts is {self.max_alerts}, expected 1 or more")


@dataclass(frozen=True, slots=True)
class Batch:
    """A micro-batch that is durable, for whoever watches.

    Attributes
    ----------
    n_alerts : int
        Messages that it held.
    records : list of dict
        What was put out, in order.
    n_rejected, n_skipped : int
        Messages that were bad, and alerts with nothing to classify.
    """

    n_alerts: int
    records: list[dict[str, Any]]
    n_rejected: int
    n_skipped: int


def dead_letter(record: Message, kind: str, reason: str, alert: Alert | Skip | None = None) -> bytes:
    """A message that could not be used, with its reason and place, as JSON.

    Parameters
    ----------
    record : Message
        The message; its bytes are kept, as base64 (but no long key: it is a schema).
    kind : str
        ``decode``, ``pipeline`` or ``skip``.
    reason : str
        Why, in words.
    alert : Alert or Skip, optional
        What could be read of it.
    """
    letter = {
        "kind": kind,
        "reason": reason,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "object": alert.object_id if alert else None,
        "alert": alert.alert_id if alert else None,
        "key": None if not record.key or len(record.key) > _LONGEST_KEY else _base64(record.key),
        "value": _base64(record.value),
    }
    return json.dumps(letter, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass(slots=True)
class _Work:
    """One partition's share of a micro-batch."""

    records: list[Message]
    memory: PartitionMemory
    results: list[tuple[bytes, bytes]]
    letters: list[tuple[bytes, bytes]]

    @property
    def position(self) -> int:
        return self.records[-1].offset + 1


class Worker:
    """Answers the alerts of a source until it ends or is told to stop.

    Parameters
    ----------
    pipeline : LivePipeline
        A trained pipeline.
    source : AlertSource
        Where alerts come from.
    sink : ResultSink
        Where records go.
    stores : Stores
        State stores of the partitions.
    dead_letters : ResultSink, optional
        Where messages go that could not be used; without it they are counted and logged.
    decoder : AlertDecoder, optional
        Reads messages; by default it tells their format itself.
    form : ResultFormat, optional
        Bytes of records; JSON by default.
    config : WorkerConfig, optional
        Settings.
    metrics : Metrics, optional
        Counts and times.
    on_batch : callable, optional
        Called with each `Batch` when it is durable.
    clock : callable
        Monotonic seconds; for tests.

    Notes
    -----
    Single-threaded but for `stop`, which any thread or signal handler may call.
    """

    def __init__(
        self,
        pipeline: LivePipeline,
        source: AlertSource,
        sink: ResultSink,
        stores: Stores,
        *,
        dead_letters: ResultSink | None = None,
        decoder: AlertDecoder | None = None,
        form: ResultFormat | None = None,
        config: WorkerConfig | None = None,
        metrics: Metrics | None = None,
        on_batch: Callable[[Batch], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config or WorkerConfig()
        self.metrics = metrics or Metrics(pipeline.bundle_version)
        self._pipeline = pipeline
        self._state_dtype = pipeline.states([]).data.dtype
        self._source = source
        self._sink = sink
        self._dead_letters = dead_letters
        self._all_stores = stores
        self._decoder = decoder or AlertDecoder()
        self._form = form or JsonResults()
        self._on_batch = on_batch
        self._clock = clock
        self._stop = threading.Event()
        self._stores: dict[Partition, StateStore] = {}
        self._times: deque[float] = deque(maxlen=self.config.clock_alerts)
        self._housekept = -float("inf")
        self._lengths: dict[str, int] = {}  # of the files we write to, as far as they are durable
        self._undone = False  # whether more than that was written
        self._recovered: dict[Partition, str] = {}
        self._odd: set[Partition] = set()  # partitions whose messages begin before our position
        self._n_read = 0

    # --- life -------------------------------------------------------------------

    def stop(self) -> None:
        """Finish the micro-batch in work, commit it, and return from `run`."""
        self._stop.set()

    def run(self) -> None:
        """Work until the source is exhausted, `max_alerts` were read, or `stop` is called.

        Raises
        ------
        StateError
            If the state cannot be opened or written; nothing uncommitted is lost.
        BrokerError
            If the broker stays away for longer than `WorkerConfig.patience_s`.
        FetchError
            If the registry of schemas does.
        """
        self._source.on_assign = self._gained
        self._source.on_revoke = self._lost
        self._cut_sinks()
        try:
            while not self._stop.is_set():
                records = self._poll()
                if records:
                    self._work(records)
                elif self._source.exhausted or self._enough():
                    break
                self._housekeep()
                self.metrics.alive()
            self._housekeep(at_once=True)
        finally:
            self._lost(list(self._stores))

    def _enough(self) -> bool:
        limit = self.config.max_alerts
        return limit is not None and self._n_read >= limit

    def _poll(self) -> list[Message]:
        limit = self.config.batch
        if self.config.max_alerts is not None:
            limit = min(limit, self.config.max_alerts - self._n_read)
        if limit <= 0:
            return []
        nothing: list[Message] = []
        poll = partial(self._source.poll, limit, self.config.linger_ms / 1000.0)
        records = self._patiently("source", poll, nothing)
        self._n_read += len(records)
        return records

    def _patiently(self, what: str, attempt: Callable[[], T], otherwise: U) -> T | U:
        """Repeat what fails because something is away, until it works, patience ends, or `stop`.

        A caller that gets `otherwise` must leave everything undone: the batch comes again.
        """
        pause, since = _FIRST_PAUSE_S, self._clock()
        while True:
            try:
                return attempt()
            except (BrokerError, FetchError) as error:
                if self._clock() - since > self.config.patience_s:
                    raise
                self.metrics.count("retries", what)
                self.metrics.waiting(f"waiting for the {what}")
                log(logging.WARNING, f"{what} away, trying again", error=str(error), pause_s=pause)
            if self._stop.wait(pause):
                return otherwise
            pause = min(2.0 * pause, _LONGEST_PAUSE_S)

    # --- partitions -------------------------------------------------------------

    def _gained(self, partitions: Iterable[Partition]) -> None:
        """Open the stores of new partitions and go on where they ended."""
        for partition in partitions:
            self._store(partition)

    def _store(self, partition: Partition) -> StateStore:
        store = self._stores.get(partition)
        if store is not None:
            return store
        topic, number = partition
        store = self._all_stores.open(topic, number, self.config.wait_for_state_s)
        self._stores[partition] = store
        self._recovered[partition] = store.recovered
        if store.recovered:
            log(logging.ERROR, "state damaged, reading its partition again", error=store.recovered)
        if unknown := {n: at for n, at in self._lengths.items() if n not in store.sink_position}:
            store.commit(Changes(sink_position=unknown))
        position = store.position or 0
        log(logging.INFO, "partition gained", topic=topic, partition=number, position=position)
        # from the beginning where nothing is known: the store is the truth, not the broker's memory
        self._source.seek(topic, number, position)
        self.metrics.gauges["partitions"] = len(self._stores)
        return store

    def _lost(self, partitions: Iterable[Partition]) -> None:
        """Close the stores of partitions that another worker takes over; all is committed."""
        for partition in list(partitions):
            store = self._stores.pop(partition, None)
            if store is not None:
                store.close()
                log(logging.INFO, "partition lost", topic=partition[0], partition=partition[1])
        self.metrics.gauges["partitions"] = len(self._stores)

    # --- a micro-batch -----------------------------------------------------------

    def _work(self, records: Sequence[Message]) -> None:
        try:
            with self.metrics.timed("batch"):
                shares = self._shares(records)
                batch = self._answered(shares) if shares else None
                if batch is None or not self._published(shares):
                    return  # told to stop while something was away: nothing was committed
        except StateError as error:
            if not self._begun_afresh(error):
                raise
            return
        self._tell(shares)
        self.metrics.count("alerts", n=batch.n_alerts)
        self.metrics.batch_done()
        if self._on_batch is not None:
            self._on_batch(batch)

    def _tell(self, shares: Mapping[Partition, "_Work"]) -> None:
        """Tell the source how far we are; only those who watch its lag need to know."""
        try:
            self._source.commit({partition: work.position for partition, work in shares.items()})
        except BrokerError as error:
            log(logging.WARNING, "cannot tell the source our position", error=str(error))

    def _begun_afresh(self, error: StateError) -> bool:
        """Whether a store was found damaged and began anew: then its partition is read again."""
        fresh = [p for p, store in self._stores.items() if store.recovered != self._recovered[p]]
        if not fresh:
            return False
        log(logging.ERROR, "state damaged, reading its partition again", error=str(error))
        for partition, store in self._stores.items():
            if partition in fresh:
                self._recovered[partition] = store.recovered
                store.commit(Changes(sink_position=dict(self._lengths)))
            self._source.seek(*partition, store.position or 0)  # the others' share is undone, too
        return True

    def _shares(self, records: Sequence[Message]) -> dict[Partition, _Work]:
        """Each partition's messages, but for those that its store says are done."""
        shares: dict[Partition, _Work] = {}
        for record in records:
            partition = (record.topic, record.partition)
            store = self._store(partition)
            if record.offset < (store.position or 0):
                self._passed_over(record, store.position or 0)
                continue
            if partition not in shares:
                memory = PartitionMemory(
                    store,
                    self._state_dtype,
                    forget_days=self.config.forget_days,
                    metrics=self.metrics,
                )
                shares[partition] = _Work([], memory, [], [])
            shares[partition].records.append(record)
        return shares

    def _passed_over(self, record: Message, position: int) -> None:
        """Say once that a partition has messages again at places that are done."""
        partition = (record.topic, record.partition)
        if partition not in self._odd:
            self._odd.add(partition)
            log(
                logging.WARNING,
                "messages before the stored position are passed over; if the topic was made anew, "
                "move its state away to begin at its beginning",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                position=position,
            )

    def _answered(self, shares: Mapping[Partition, _Work]) -> Batch | None:
        """Decode and answer all messages; None if told to stop meanwhile."""
        origins: list[tuple[Partition, Message, Alert]] = []
        n_rejected = n_skipped = 0
        with self.metrics.timed("decode"):
            for partition, work in shares.items():
                for record in work.records:
                    found = self._patiently("registry of schemas", partial(self._decoded, record), None)
                    if found is None:
                        return None
                    for item in found:
                        if isinstance(item, Alert):
                            origins.append((partition, record, item))
                        elif isinstance(item, Skip):
                            n_skipped += 1
                            self._skip(work, record, item)
                        else:
                            n_rejected += 1
                            self._reject(work, record, "decode", str(item))
        arrived = [Arrived(partition, place, alert) for place, (partition, _, alert) in enumerate(origins)]
        memories = {partition: work.memory for partition, work in shares.items()}
        said, failed = answer(self._pipeline, arrived, memories, self.metrics)
        with self.metrics.timed("encode"):
            for place, (partition, record, alert) in enumerate(origins):
                if place in said:
                    value = self._form.encode(said[place], record.timestamp_ms)
                    shares[partition].results.append((result_key(said[place]), value))
                elif place in failed:
                    self._reject(shares[partition], record, "pipeline", repr(failed[place]), alert)
        self._times.extend(item.alert.mjd for item in arrived)
        n_alerts = sum(len(work.records) for work in shares.values())
        return Batch(n_alerts, [said[place] for place in sorted(said)], n_rejected + len(failed), n_skipped)

    def _decoded(self, record: Message) -> Sequence[Alert | Skip | Exception]:
        if record.error:
            return [DataError(record.error)]
        try:
            return self._decoder.decode_all(record.value, record.key)
        except ALERT_ERRORS as error:  # no codec lets one through; if one did, the rest still goes on
            return [error]

    def _skip(self, work: _Work, record: Message, skip: Skip) -> None:
        self.metrics.count("skipped", skip.reason.value)
        if self.config.keep_skips and self._dead_letters is not None:
            letter = dead_letter(record, "skip", skip.reason.value, skip)
            work.letters.append((b"", letter))

    def _reject(
        self, work: _Work, record: Message, kind: str, reason: str, alert: Alert | None = None
    ) -> None:
        self.metrics.count("rejected", kind)
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log(logging.WARNING, "message rejected", kind=kind, reason=reason, **place)
        if self._dead_letters is not None:
            work.letters.append((b"", dead_letter(record, kind, reason, alert)))

    # --- out --------------------------------------------------------------------

    def _published(self, shares: Mapping[Partition, _Work]) -> bool:
        """Put results out and make them durable, then states and positions; False if told to stop."""
        # what goes to a file goes one partition after the other, so that a file cut at the largest
        # stored length holds exactly what was committed; everything else goes at once
        alone = {p: work for p, work in shares.items() if self._writes_to_file(work)}
        together = {p: work for p, work in shares.items() if p not in alone}
        groups = [{partition: work} for partition, work in alone.items()]
        groups += [together] if together else []
        for group in groups:
            with self.metrics.timed("publish"):
                lengths = self._patiently("sink", partial(self._put, list(group.values())), None)
            if lengths is None:
                return False
            with self.metrics.timed("commit"):
                for partition, work in group.items():
                    self._stores[partition].commit(work.memory.changes(work.position, lengths))
        return True

    def _put(self, works: Sequence[_Work]) -> dict[str, int]:
        """Write one group's entries; what an attempt before this one left is cut off first."""
        if self._undone:
            for sink in self._files():
                sink.truncate(self._lengths[sink.name])
        self._undone = True
        out = [(self._sink, [entry for work in works for entry in work.results])]
        if self._dead_letters is not None:
            out.append((self._dead_letters, [entry for work in works for entry in work.letters]))
        lengths = {}
        for sink, entries in out:
            if entries:
                sink.write(entries)
            lengths[sink.name] = sink.flush()
        self._lengths |= {sink.name: lengths[sink.name] for sink in self._files()}
        self._undone = False
        return lengths

    def _writes_to_file(self, work: _Work) -> bool:
        letters = self._dead_letters
        return bool(
            (work.results and self._sink.truncates)
            or (work.letters and letters is not None and letters.truncates)
        )

    def _files(self) -> list[ResultSink]:
        """The sinks that can be cut."""
        return [sink for sink in (self._sink, self._dead_letters) if sink is not None and sink.truncates]

    def _cut_sinks(self) -> None:
        """Before anything: cut from files what a crash left uncommitted."""
        for sink in self._files():
            stored = self._all_stores.sink_position(sink.name)
            if stored is not None:
                sink.truncate(stored)
            # without a stored length, what is there belongs to somebody else: keep it
            self._lengths[sink.name] = sink.flush()
        if self._form.preamble and self._lengths.get(self._sink.name, 0) == 0:
            self._sink.write([(b"", self._form.preamble)])
            length = self._sink.flush()
            if self._sink.truncates:
                self._lengths[self._sink.name] = length

    # --- housekeeping -----------------------------------------------------------

    @property
    def stream_mjd(self) -> float | None:
        """Median time of recent alerts [MJD TAI]; None before enough of them came."""
        return median(self._times) if len(self._times) == self._times.maxlen else None

    def _housekeep(self, *, at_once: bool = False) -> None:
        """Now and then: evict objects long quiet, and look at sizes."""
        now = self._clock()
        if not at_once and now - self._housekept < _HOUSEKEEPING_S:
            return
        self._housekept = now
        mjd = self.stream_mjd
        if mjd is not None:
            self.metrics.gauges["stream_mjd"] = mjd
            before = mjd - self.config.forget_days - LATENESS_DAYS
            for store in self._stores.values():
                self.metrics.count("evicted", n=store.evict(before, self.config.evict_objects))
        self.metrics.gauges["objects"] = sum(store.n_objects for store in self._stores.values())
        self.metrics.gauges["state_bytes"] = sum(store.size_bytes for store in self._stores.values())
        self.metrics.gauges["damaged_rows"] = sum(store.damaged for store in self._stores.values())
        lag = self._source.lag()
        if lag is not None:
            self.metrics.gauges["lag"] = lag
