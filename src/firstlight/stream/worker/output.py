"""The output of a worker: results and dead letters, cut back to the committed length."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.errors import DataError
from firstlight.stream.alerts.alert import Alert, Skip
from firstlight.stream.io.message import Message, Partition
from firstlight.stream.io.sinks import FileSink, OversizeError, RefusedError, ResultSink
from firstlight.stream.limits import DEFAULT_LIMITS, Limits
from firstlight.stream.results.read import iter_results
from firstlight.stream.results.record import ResultFormat, result_key
from firstlight.stream.routes.routes import Route
from firstlight.stream.state.batch import PartitionMemory
from firstlight.stream.state.store import Changes, StateStore
from firstlight.stream.worker.answer import ALERT_ERRORS
from firstlight.stream.worker.letters import cut_letter, dead_letter, original_place
from firstlight.stream.worker.logging import log
from firstlight.stream.worker.metrics import Metrics
from firstlight.stream.worker.partitions import Stores

Entry = tuple[bytes, bytes]


def _digest(record: Mapping[str, Any]) -> int:
    """Number of a result, from the values that identify it."""
    names = "\0".join(str(record[key]) for key in ("object", "alert", "bundle"))
    return int.from_bytes(blake2b(names.encode(), digest_size=8).digest(), "little")


@dataclass(slots=True)
class Share:
    """One store's share of a micro-batch: its messages and their results."""

    store: StateStore
    memory: PartitionMemory
    messages: list[Message] = field(default_factory=list)
    positions: dict[Partition, int] = field(default_factory=dict)  # offset after the last of each partition
    results: list[Entry] = field(default_factory=list)
    answered: list[Message] = field(default_factory=list)  # the message of each result
    letters: list[Entry] = field(default_factory=list)
    #: Records for each route, by its number, and their messages.
    routed: dict[int, list[tuple[Entry, Message]]] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """Add a message."""
        self.messages.append(message)
        self.positions[message.origin] = message.offset + 1

    def changes(self, lengths: dict[str, int]) -> Changes:
        """All changes of the batch, with the lengths of the sinks."""
        if self.store.is_shared:
            return self.memory.changes(None, lengths, offsets=self._ends)
        (position,) = self.positions.values()
        return self.memory.changes(position, lengths, self.bookmarks)

    def plan(self) -> Changes | None:
        """Offsets to commit before the share is published; None if a repetition cannot change its order."""
        if not self.store.is_shared:
            return None
        return Changes(planned=self._ends)

    @property
    def _ends(self) -> dict[int, int]:
        """As `positions`, by the store's number of each partition."""
        return {self.store.number(partition): offset for partition, offset in self.positions.items()}

    @property
    def bookmarks(self) -> dict[str, str]:
        """Places in files after the last message."""
        return {name: place for message in self.messages for name, place in message.bookmarks}


class Output:
    """Writes the shares of a micro-batch to the sinks.

    `lengths` holds the length of each output file, as far as it is committed or about to be.
    """

    def __init__(
        self,
        sink: ResultSink,
        dead_letters: ResultSink | None,
        form: ResultFormat,
        metrics: Metrics,
        *,
        keep_skips: bool,
        limits: Limits = DEFAULT_LIMITS,
        routes: Sequence[Route] = (),
    ) -> None:
        self.lengths: dict[str, int] = {}
        self._sink = sink
        self._dead_letters = dead_letters
        self._form = form
        self._routes = tuple(routes)
        self._metrics = metrics
        self._keep_skips = keep_skips
        self._limits = limits
        self._dirty: set[str] = set()  # files that may be longer than in `lengths`
        self._written: NDArray[np.uint64] | None = None  # results that need not be written again, sorted

    def start(self, stores: Stores) -> None:
        """Cut uncommitted records of a crash from the files; write the format's preamble."""
        for sink in self._files():
            stored = stores.sink_position(sink.name)
            if stored is not None:
                sink.truncate(stored)
            # a file without a stored length has content of others, which is kept
            self.lengths[sink.name] = sink.flush()
        forms = [(self._sink, self._form), *((route.sink, route.form) for route in self._routes)]
        for sink, form in forms:
            if form is not None and form.preamble and self.lengths.get(sink.name, 0) == 0:
                sink.write([(b"", form.preamble)])
                length = sink.flush()
                if sink.truncates:
                    self.lengths[sink.name] = length

    def use(self, form: ResultFormat, routes: Sequence[Route]) -> None:
        """Change the encoding and the filters, for other classes; the sinks of the routes stay the same."""
        self._form, self._routes = form, tuple(routes)

    def expect_repeats(self) -> None:
        """Note the results that the file holds: the alerts of a lost state are answered again."""
        sink = self._sink
        if not isinstance(sink, FileSink) or not sink.truncates:
            return
        sink.truncate(self.lengths[sink.name])
        try:
            self._written = np.unique(np.fromiter(map(_digest, iter_results(sink.path)), np.uint64))
        except DataError as error:
            log(logging.WARNING, "results may be there twice, as the file cannot be read", error=str(error))

    def _is_written(self, record: Mapping[str, Any]) -> bool:
        if self._written is None or not len(self._written):
            return False
        at = np.searchsorted(self._written, digest := np.uint64(_digest(record)))
        return bool(at < len(self._written) and self._written[at] == digest)

    def add(self, share: Share, message: Message, record: dict[str, Any], alert: Alert) -> bool:
        """Take a record for the next write; False, and a dead letter, if the output's form cannot hold it."""
        if self._is_written(record):
            self._metrics.count("repeated")
            return True
        try:
            entry = (result_key(record), self._form.encode(record, message.timestamp_ms))
        except (*ALERT_ERRORS, TypeError) as error:
            self.reject(share, message, "encode", repr(error), alert)
            return False
        share.results.append(entry)
        share.answered.append(message)
        for number, route in enumerate(self._routes):
            if route.accepts(record):
                share.routed.setdefault(number, []).append((route.entry(record, *entry), message))
        return True

    def skip(self, share: Share, message: Message, skip: Skip) -> None:
        """Count an alert with nothing to classify; keep it if the settings say so."""
        self._metrics.count("skipped", skip.reason.value)
        if self._keep_skips and self._dead_letters is not None:
            share.letters.append((b"", dead_letter(message, "skip", skip.reason.value, skip, self._limits)))

    def reject(
        self, share: Share, message: Message, kind: str, reason: str, alert: Alert | None = None
    ) -> None:
        """Count and log a message that cannot be used; send it to the dead letters."""
        self._metrics.count("rejected", kind)
        topic, partition, offset = original_place(message)
        place: dict[str, Any] = {"topic": topic, "partition": partition, "offset": offset}
        if message.file:
            place = {"file": message.file, "record": message.record}
        log(logging.WARNING, "message rejected", kind=kind, reason=reason, **place)
        if self._dead_letters is not None:
            share.letters.append((b"", dead_letter(message, kind, reason, alert, self._limits)))

    def groups(self, shares: Mapping[Partition, Share]) -> list[dict[Partition, Share]]:
        """Shares that are written and committed together.

        Those that go to a file are separate, so that a file cut at the largest stored length holds exactly
        the committed records.
        """
        alone = {p: share for p, share in shares.items() if self._writes_to_file(share)}
        together = {p: share for p, share in shares.items() if p not in alone}
        groups = [{partition: share} for partition, share in alone.items()]
        return [*groups, together] if together else groups

    def delivery(self, shares: Iterable[Share]) -> Callable[[], dict[str, int]]:
        """An attempt to write one group and flush: the length of each sink. Call it again if it fails.

        A sink that delivered everything is left alone then; a file is first cut to its last length.
        """
        shares = list(shares)
        lengths: dict[str, int] = {}
        results = [entry for share in shares for entry in share.results]
        letters = [entry for share in shares for entry in share.letters]
        routed = {
            number: [pair for share in shares for pair in share.routed.get(number, ())]
            for number in range(len(self._routes))
        }
        late: list[Entry] = []  # dead letters of results

        def attempt() -> dict[str, int]:
            """Deliver to each sink that has not delivered yet; the lengths of all."""
            if self._sink.name not in lengths:
                lengths[self._sink.name], refused = self._deliver(self._sink, results)
                late.extend(self._letters_of(refused, shares))
            for number, route in enumerate(self._routes):
                if number in routed:
                    length, letters_of_route = self._deliver_route(route, routed[number])
                    del routed[number]
                    late.extend(letters_of_route)
                    if route.sink.truncates:
                        lengths[route.sink.name] = length
            if self._dead_letters is not None and self._dead_letters.name not in lengths:
                length, refused = self._deliver(self._dead_letters, letters + late)
                if refused:
                    length, refused = self._deliver(
                        self._dead_letters, [(key, cut_letter(value, self._limits)) for key, value in refused]
                    )
                if refused:
                    log(logging.ERROR, "dead letters are too large even without bytes", n=len(refused))
                lengths[self._dead_letters.name] = length
            self.lengths |= {sink.name: lengths[sink.name] for sink in self._files()}
            self._dirty.clear()
            return lengths

        return attempt

    def _deliver(self, sink: ResultSink, entries: list[Entry]) -> tuple[int, list[Entry]]:
        """Write and flush; the sink's length, and the entries that are too large for it."""
        if sink.truncates and sink.name in self._dirty:
            sink.truncate(self.lengths[sink.name])
        self._dirty.add(sink.name)
        if entries:
            sink.write(entries)
        try:
            return sink.flush(), []
        except OversizeError as error:
            refused = list(error.records)
        what = {id(self._dead_letters): "letter", id(self._sink): "result"}.get(id(sink), "route")
        self._metrics.count("oversize", what, len(refused))
        log(logging.WARNING, "larger than the broker takes", sink=sink.name, of=what, n=len(refused))
        return sink.flush(), refused

    def _deliver_route(self, route: Route, pairs: list[tuple[Entry, Message]]) -> tuple[int, list[Entry]]:
        """As `_deliver`, for the sink of a route; with the dead letters of records that it did not take."""
        if not pairs and not route.sink.truncates:
            return 0, []
        reason = "larger than it takes"
        try:
            length, refused = self._deliver(route.sink, [entry for entry, _ in pairs])
        except RefusedError as error:
            length, refused, reason = 0, list(error.records), error.reason
        if pairs:
            self._metrics.count("routed", route.name, len(pairs) - len(refused))
        if not refused:
            return length, []
        self._metrics.count("undelivered", route.name, len(refused))
        log(logging.WARNING, "records of a route not delivered", route=route.name, n=len(refused), why=reason)
        messages = dict(pairs)
        reason = f"route {route.name}: {reason}"
        return length, [
            (b"", dead_letter(messages[entry], "route", reason, None, self._limits)) for entry in refused
        ]

    def _letters_of(self, refused: list[Entry], shares: Iterable[Share]) -> list[Entry]:
        """Dead letters for the messages whose results are too large."""
        if not refused:
            return []
        messages = {
            entry: message
            for share in shares
            for entry, message in zip(share.results, share.answered, strict=True)
        }
        reason = "its result of {} bytes is too large"
        return [
            (b"", dead_letter(messages[entry], "result", reason.format(len(entry[1])), None, self._limits))
            for entry in refused
        ]

    @property
    def can_be_cut(self) -> bool:
        """Whether all that a crash left uncommitted can be cut off."""
        return all(sink.truncates for sink in self._sinks())

    def _writes_to_file(self, share: Share) -> bool:
        letters = self._dead_letters
        return bool(
            (share.results and self._sink.truncates)
            or (share.letters and letters is not None and letters.truncates)
            or any(self._routes[number].sink.truncates for number in share.routed)
        )

    def _sinks(self) -> list[ResultSink]:
        """All sinks."""
        letters = [] if self._dead_letters is None else [self._dead_letters]
        return [self._sink, *letters, *(route.sink for route in self._routes)]

    def _files(self) -> list[ResultSink]:
        """The sinks that can be cut."""
        return [sink for sink in self._sinks() if sink.truncates]
