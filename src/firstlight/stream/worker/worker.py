"""The worker: alerts in, records out; state and position are committed together.

After a crash before the commit of a micro-batch it is repeated with the same bytes, so every alert
is answered exactly once, counted as a set.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from firstlight.errors import (
    BrokerError,
    FirstlightError,
    SchemaError,
    SettingsError,
    StateError,
    StateInUseError,
)
from firstlight.stream.alerts.alert import Alert, Skip
from firstlight.stream.alerts.decoder import AlertDecoder
from firstlight.stream.io.message import Message, Partition
from firstlight.stream.io.sinks import ResultSink
from firstlight.stream.io.sources import AlertSource, GroupSource
from firstlight.stream.limits import DEFAULT_LIMITS, Limits
from firstlight.stream.results.record import JsonResults, ResultFormat
from firstlight.stream.routes.routes import Route
from firstlight.stream.state.batch import PartitionMemory
from firstlight.stream.state.rows import Rows
from firstlight.stream.state.store import StateStore
from firstlight.stream.worker.answer import LivePipeline, answer, in_order
from firstlight.stream.worker.bundles import Answering
from firstlight.stream.worker.clocks import CLOCK_ALERTS
from firstlight.stream.worker.decoding import Decoding
from firstlight.stream.worker.delays import unix_seconds
from firstlight.stream.worker.keys import is_key_of, may_be_keyed
from firstlight.stream.worker.logging import log
from firstlight.stream.worker.metrics import Metrics
from firstlight.stream.worker.output import Output, Share
from firstlight.stream.worker.partitions import Partitions, Stores

#: Messages by whose keys the kind of state is chosen.
FIRST_MESSAGES = 32
#: How long to wait for the messages of a micro-batch that a crash interrupted [s].
RESUME_S = 30.0

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0
_LOG_AGAIN_S = 60.0  # between two logs of the same wait
_HOUSEKEEPING_S = 1.0

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Settings of a worker, as the operator sets them.

    Attributes
    ----------
    batch : int
        Maximum number of messages per micro-batch.
    linger_ms : float
        Maximum time to wait for messages when there are none [ms].
    forget_days : float
        Forget an object after this time without observations [day].
    keep_skips : bool
        Whether alerts with nothing to classify go to the dead letters.
    patience_s : float
        How long to wait while a broker, a registry or a schema cannot be had [s].
    wait_for_state_s : float
        How long to wait for another worker to release a partition's state [s].
    max_alerts : int, optional
        Stop after so many messages.
    features : bool
        Whether records have rates, colour and peak.

    Raises
    ------
    SettingsError
        If a value is out of range.
    """

    batch: int = 512
    linger_ms: float = 50.0
    forget_days: float = 400.0
    keep_skips: bool = False
    patience_s: float = 600.0
    wait_for_state_s: float = 30.0
    max_alerts: int | None = None
    features: bool = False

    def __post_init__(self) -> None:
        for name in ("batch", "forget_days"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"stream: {name} is {getattr(self, name)}, expected more than 0")
        for name in ("linger_ms", "patience_s", "wait_for_state_s"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"stream: {name} is {getattr(self, name)}, expected 0 or more")
        if self.max_alerts is not None and self.max_alerts < 1:
            raise SettingsError(f"stream: max_alerts is {self.max_alerts}, expected 1 or more")


@dataclass(frozen=True, slots=True)
class Batch:
    """A committed micro-batch: its number of messages, its records in order, and those not answered."""

    n_alerts: int
    records: list[dict[str, Any]]
    n_rejected: int
    n_skipped: int


class Worker:
    """Answers the alerts of a source until it ends or `stop`, from any thread or signal handler.

    Parameters
    ----------
    pipeline : LivePipeline
        A trained pipeline, whose answers are the records.
    source, sink : AlertSource, ResultSink
        Where alerts come from, and where records go.
    stores : Stores
        State stores of the partitions.
    dead_letters : ResultSink, optional
        Where unusable messages go; without it they are only counted and logged.
    decoder : AlertDecoder, optional
        Decodes messages; by default it detects their format.
    form : ResultFormat, optional
        Encoding of records; JSON by default.
    config, metrics : WorkerConfig, Metrics, optional
        Settings; counts and times.
    unwrap : callable, optional
        Gives the message to use for each message of the source; for dead letters.
    limits : Limits
        How many bytes of a message a dead letter keeps.
    routes : sequence of Route
        Where records that pass a filter go besides the sink.
    before_batch : callable, optional
        Called before each micro-batch.
    others : sequence of LivePipeline
        Pipelines that answer beside it, in the field ``others`` of the records.
    reload : callable, optional
        Gives the bundles that answer from now on, after `change_bundles`.
    on_batch : callable, optional
        Called with each `Batch` once it is committed.
    clock, clock_alerts : callable, int
        Monotonic time [s] and a smaller `CLOCK_ALERTS`; for tests.
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
        unwrap: Callable[[Message], Message] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        routes: Sequence[Route] = (),
        before_batch: Callable[[], None] | None = None,
        others: Sequence[LivePipeline] = (),
        reload: Callable[[], Answering] | None = None,
        on_batch: Callable[[Batch], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        clock_alerts: int = CLOCK_ALERTS,
    ) -> None:
        self.config = config or WorkerConfig()
        answering = Answering((pipeline, *others), form or JsonResults(), tuple(routes))
        self.metrics = metrics or Metrics(*answering.versions)
        self._reload = reload
        self._is_reload_wanted = threading.Event()
        self._source = source
        self._stores = stores
        self._output = Output(
            sink,
            dead_letters,
            answering.form,
            self.metrics,
            keep_skips=self.config.keep_skips,
            limits=limits,
            routes=answering.routes,
        )
        self._set(answering)
        self._partitions = Partitions(
            source,
            stores,
            self.metrics,
            wait_s=self.config.wait_for_state_s,
            lengths=self._output.lengths,
            on_damage=self._output.expect_repeats,
            clock_alerts=clock_alerts,
        )
        self._decoding = Decoding(decoder or AlertDecoder(), patience_s=self.config.patience_s, clock=clock)
        self._unwrap = unwrap
        self._before_batch = before_batch
        self._on_batch = on_batch
        self._clock = clock
        self._stop = threading.Event()
        self._resuming_since: float | None = None
        self._last_housekeeping = -float("inf")
        self._n_read = 0

    def stop(self) -> None:
        """Finish and commit the current micro-batch, then return from `run`."""
        self._stop.set()

    def change_bundles(self) -> None:
        """Load the bundles again and change to them after the current micro-batch; bad ones are refused."""
        self._is_reload_wanted.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` ended the work before the source was exhausted."""
        return self._stop.is_set() and not self._source.exhausted

    def run(self) -> None:
        """Work until the source is exhausted, `max_alerts` were read, or `stop` is called.

        StateError if the state cannot be opened or written (committed work is kept), BrokerError or
        SchemaError if a broker or a schema cannot be had for longer than `WorkerConfig.patience_s`.
        """
        self._output.start(self._stores)
        try:
            while not self._stop.is_set():
                if self._is_reload_wanted.is_set() and not self._partitions.unfinished.is_waiting:
                    self._change_bundles()
                messages = self._poll()
                if self._partitions.unfinished.is_waiting:
                    self._resume(messages)
                elif messages and self._partitions.undecided:
                    self._choose(messages)
                elif messages:
                    self._process(messages)
                else:
                    self._partitions.keep_bookmarks()
                    if self._source.exhausted or self._n_left() <= 0:
                        break
                self._housekeep()
                self.metrics.beat()
            self._housekeep(force=True)
        finally:
            self._partitions.close()

    def _set(self, answering: Answering) -> None:
        """Let these bundles answer."""
        self._answering, self._rows = answering, Rows(answering.owners)
        self._state_dtype = answering.pipelines[0].states([]).data.dtype
        self._surveys, self._noted = answering.pipelines[0].surveys, set[str]()

    def _change_bundles(self) -> None:
        """Change to the bundles that `reload` gives, between two micro-batches."""
        self._is_reload_wanted.clear()
        if self._reload is None:
            return
        before = self._answering.versions
        try:
            answering = self._reload()
        except FirstlightError as error:
            self.metrics.count("reloads", "refused")
            log(logging.ERROR, "bundle refused, the one before goes on", bundle=before[0], error=str(error))
            return
        bundle, *others = answering.versions
        if (bundle, *others) == before:
            self.metrics.count("reloads", "unchanged")
            log(logging.INFO, "bundle read again: it is the same", bundle=bundle, others=others)
            return
        self._partitions.use(answering.owners)
        self._output.use(answering.form, answering.routes)
        self._set(answering)
        self.metrics.use(bundle, *others)
        self.metrics.count("reloads", "changed")
        log(logging.INFO, "bundle changed", before=before[0], bundle=bundle, others=others)

    def _n_left(self) -> float:
        limit = self.config.max_alerts
        return float("inf") if limit is None else limit - self._n_read

    def _poll(self) -> list[Message]:
        limit = int(min(self.config.batch, self._n_left()))
        if limit <= 0:
            return []
        nothing: list[Message] = []
        poll = partial(self._source.poll, limit, self.config.linger_ms / 1000.0)
        messages = self._retry("source", poll, nothing)
        self._n_read += len(messages)
        return messages if self._unwrap is None else [self._unwrap(message) for message in messages]

    def _retry(
        self,
        what: str,
        attempt: Callable[[], T],
        stopped: U,
        go_on: Callable[[], bool] = lambda: True,
    ) -> T | U:
        """Repeat an attempt while something is unavailable and `go_on` is true.

        Gives `stopped` otherwise or after `stop`; then nothing must be committed.
        """
        pause, since = _FIRST_PAUSE_S, self._clock()
        logged, logged_at = "", since
        while True:
            try:
                return attempt()
            except (BrokerError, SchemaError, StateInUseError) as error:
                now = self._clock()
                left = self.config.patience_s - (now - since)
                if left <= 0.0 or getattr(error, "is_final", False):
                    raise
                self.metrics.count("retries", what)
                self.metrics.waiting(f"waiting for the {what}")
                if str(error) != logged or now - logged_at >= _LOG_AGAIN_S:
                    logged, logged_at = str(error), now
                    log(logging.WARNING, f"waiting for the {what}", error=logged, give_up_s=round(left))
            if self._stop.wait(min(pause, left)) or not go_on():
                return stopped
            pause = min(2.0 * pause, _LONGEST_PAUSE_S)

    def _choose(self, messages: Sequence[Message]) -> None:
        """Choose by the first messages whether partitions share a state; then they are read again."""
        self._n_read -= len(messages)
        for topic in {topic for topic, _ in self._partitions.undecided}:
            first = [message for message in messages if message.topic == topic][:FIRST_MESSAGES]
            shared = not may_be_keyed(first)
            if not shared:
                decoded = self._retry("schemas", self._decoding.batch(first), None)
                if decoded is None:
                    return
                pairs = [
                    (message.key, item.object_id)
                    for message, found in zip(first, decoded, strict=True)
                    for item in found
                    if isinstance(item, Alert)
                ]
                shared = not pairs or not all(is_key_of(*pair) for pair in pairs)
            if first:
                self._partitions.choose(topic, shared=shared)

    def _resume(self, messages: Sequence[Message]) -> None:
        """Put the micro-batch before a crash together again, and repeat it when it is complete."""
        unfinished = self._partitions.unfinished
        self._n_read -= unfinished.add(messages)
        self._resuming_since = self._resuming_since or self._clock()
        is_over = not messages and (
            self._source.exhausted or self._n_left() <= 0 or self._clock() - self._resuming_since > RESUME_S
        )
        if unfinished.is_complete or is_over:
            self._resuming_since = None
            if again := unfinished.take():
                self._process(again)
            self._partitions.rewind()

    # --- a micro-batch -----------------------------------------------------------

    def _process(self, messages: Sequence[Message]) -> None:
        if self._before_batch is not None:
            self._before_batch()
        try:
            with self.metrics.timed("batch"):
                shares = self._share(messages)
                if not shares:
                    return
                batch = self._answer(shares)
                if batch is None or not self._publish(shares):
                    # stopped, or lost a partition, while something was unavailable: nothing was committed
                    if not self._stop.is_set():
                        self._n_read -= len(messages)
                        self._partitions.rewind()
                    return
        except StateError as error:
            if not self._partitions.reset_after_damage(error):
                raise
            self._n_read -= len(messages)
            return
        finally:
            self._partitions.release()
        try:
            self._source.commit({p: at for share in shares.values() for p, at in share.positions.items()})
        except BrokerError as error:  # only monitoring needs it
            log(logging.WARNING, "cannot report the position to the source", error=str(error))
        self._measure_delays(shares, batch)
        self.metrics.count("alerts", n=batch.n_alerts)
        self.metrics.batch_done()
        if self._on_batch is not None:
            self._on_batch(batch)

    def _measure_delays(self, shares: Mapping[Partition, Share], batch: Batch) -> None:
        """Add the delays of delivered results to the histograms."""
        now = time.time()
        appended = [
            message.timestamp_ms
            for share in shares.values()
            for message in share.answered
            if message.timestamp_ms is not None
        ]
        self.metrics.delays.add("append", now - 0.001 * np.array(appended, np.float64))
        self.metrics.delays.add("alert", now - unix_seconds([record["mjd"] for record in batch.records]))

    def _share(self, messages: Sequence[Message]) -> dict[Partition, Share]:
        """Group messages by the store of their partition; drop those before the stored position."""
        shares: dict[Partition, Share] = {}
        positions: dict[Partition, int] = {}
        first: dict[StateStore, Partition] = {}  # stands for all partitions of a store that they share
        for message in messages:
            partition = message.origin
            store = self._partitions.store(partition)
            if partition not in positions:
                positions[partition] = self._partitions.position(partition)
            if message.offset < positions[partition]:
                self._partitions.skip_duplicate(message, positions[partition])
                continue
            if store.is_shared:
                partition = first.setdefault(store, partition)
            if partition not in shares:
                memory = PartitionMemory(
                    store,
                    self._state_dtype,
                    rows=self._rows,
                    forget_days=self.config.forget_days,
                    count=self.metrics.count,
                )
                shares[partition] = Share(store, memory)
            shares[partition].take(message)
        return shares

    def _answer(self, shares: Mapping[Partition, Share]) -> Batch | None:
        """Decode and answer all messages; None if stopped meanwhile."""
        origins: list[tuple[Share, Message, Alert]] = []
        n_rejected = n_skipped = 0
        sent = [(share, message) for share in shares.values() for message in share.messages]
        with self.metrics.timed("decode"):
            attempt = self._decoding.batch([message for _, message in sent])
            decoded = self._retry("schemas", attempt, None, partial(self._keep, shares))
            if decoded is None:
                return None
        for (share, message), found in zip(sent, decoded, strict=True):
            for item in found:
                if isinstance(item, Alert):
                    origins.append((share, message, item))
                elif isinstance(item, Skip):
                    n_skipped += 1
                    self._output.skip(share, message, item)
                else:
                    n_rejected += 1
                    self.metrics.count("undecoded", self._decoding.schema_of(message))
                    self._output.reject(share, message, "decode", str(item))
        if any(share.store.is_shared for share in shares.values()):
            places = in_order([(message.origin, alert.mjd) for _, message, alert in origins])
            origins = [origins[place] for place in places]
            if not self._claim(origins):
                return None
        items = [(share.memory, alert) for share, _, alert in origins]
        pipelines = self._answering.pipelines
        self._note_filters(alert for _, alert in items)
        answers = answer(pipelines, items, self.metrics, with_features=self.config.features)
        records = []
        with self.metrics.timed("encode"):
            for (share, message, alert), record in zip(origins, answers, strict=True):
                if isinstance(record, Exception):
                    n_rejected += 1
                    self._output.reject(share, message, "pipeline", repr(record), alert)
                elif record is not None:
                    if self._output.add(share, message, record, alert):
                        records.append(record)
                    else:
                        n_rejected += 1
        for share, message, alert in origins:
            self._partitions.clock(message.origin).add(alert.mjd)
            if not share.store.is_shared:
                self._partitions.watch(message, alert.object_id)
        return Batch(sum(len(share.messages) for share in shares.values()), records, n_rejected, n_skipped)

    def _note_filters(self, alerts: Iterable[Alert]) -> None:
        """Count alerts of surveys whose filters the bundle was not trained on; log each survey once."""
        for survey, n in Counter(alert.survey for alert in alerts).items():
            if not survey or survey in self._surveys:
                continue
            self.metrics.count("other_filters", survey, n)
            if survey not in self._noted:
                self._noted.add(survey)
                event = "alerts through filters that the bundle was not trained on"
                log(logging.WARNING, event, survey=survey, trained=sorted(self._surveys))

    def _keep(self, shares: Mapping[Partition, Share]) -> bool:
        """Answer the group during a wait; whether this worker still has the partitions.

        A worker whose session ended, as by a pause of its process, gives its partitions to the others here.
        """
        if isinstance(self._source, GroupSource):
            self._source.serve()
        mine = self._partitions.is_open
        return all(mine(partition) for share in shares.values() for partition in share.positions)

    def _claim(self, origins: Sequence[tuple[Share, Message, Alert]]) -> bool:
        """Keep other workers from the objects of the batch until it is committed; False if stopped."""
        objects: dict[StateStore, list[str]] = {}
        for share, _, alert in origins:
            objects.setdefault(share.store, []).append(alert.object_id)
        with self.metrics.timed("read"):
            return all(store.claim(names, self._stop.is_set) for store, names in objects.items())

    def _publish(self, shares: Mapping[Partition, Share]) -> bool:
        """Write results, then commit states and positions; False if stopped meanwhile."""
        for group in self._output.groups(shares):
            if not self._output.can_be_cut:
                for share in group.values():
                    if (plan := share.plan()) is not None:
                        share.store.commit(plan)
            with self.metrics.timed("publish"):
                attempt = self._output.delivery(group.values())
                lengths = self._retry("sink", attempt, None, partial(self._keep, shares))
            if lengths is None:
                return False
            with self.metrics.timed("commit"):
                for share in group.values():
                    share.store.commit(share.changes(lengths))
        return True

    # --- housekeeping -----------------------------------------------------------

    def _housekeep(self, *, force: bool = False) -> None:
        """Once per second: evict objects without recent observations, and update the gauges."""
        now = self._clock()
        if not force and now - self._last_housekeeping < _HOUSEKEEPING_S:
            return
        self._last_housekeeping = now
        self._retry("source", self._partitions.compare_topics, None)
        self._partitions.evict(self.config.forget_days)
        self._partitions.measure()
