"""`Follower`: reads records as they come, from a topic, a file or a folder, in a thread of its own.

A record that cannot be read is counted with its place and reason. A last line that is still being written is
read again when it is whole, and then no longer counts. A source that is away is tried again.
"""

import logging
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firstlight.errors import DataError, FirstlightError, SettingsError
from firstlight.stream.io.message import Message, Partition
from firstlight.stream.io.open import open_source
from firstlight.stream.io.sources import AlertSource, GroupSource
from firstlight.stream.results.read import parse_result
from firstlight.text import printable

_log = logging.getLogger(__name__)

_POLL_RECORDS, _POLL_S = 500, 0.25
_AGAIN_S = 2.0  # before a source that is away is tried again
_SHOWN = 50  # last records that could not be read, which are shown
_OPEN_LINES = 1000  # places of lines that may still be completed

#: Takes messages.
Take = Callable[[Sequence[Message]], None]


class Reader:
    """Polls a source of messages in a thread, and opens it again after an error.

    Parameters
    ----------
    url : str
        ``kafka://host:port/topic``, a file or a folder.
    take : callable
        Called with new messages, in the reader's thread; DataError is logged.
    kafka_config : Path, optional
        File with settings of the Kafka client.
    """

    def __init__(self, url: str, take: Take, kafka_config: Path | None = None) -> None:
        self.url = url
        self.problem = ""  # why nothing can be read now
        self.failure = ""  # why some messages were not taken
        self.n_gaps = 0  # places in a topic whose messages were removed before they were read
        self._take = take
        self._kafka_config = kafka_config
        # A group of its own: the page must see every partition, and must not move the workers' places.
        self._group = f"firstlight-page-{uuid.uuid4().hex[:12]}"
        self._stop = threading.Event()
        self._source: AlertSource | None = None
        self._thread = threading.Thread(target=self._run, name=f"read {url}", daemon=True)
        self._is_at_end = False

    def start(self) -> None:
        """Start the thread; SettingsError if the address or the Kafka settings are wrong."""
        if "://" in self.url:
            self._source = self._opened()
        elif not Path(self.url).expanduser().parent.is_dir():
            raise DataError(f"{self.url}: its folder does not exist")
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self._thread.join(5.0)

    @property
    def is_at_end(self) -> bool:
        """Whether the last poll found nothing more to read."""
        return self._is_at_end

    @property
    def lag(self) -> int | None:
        """Messages not yet read; None if unknown."""
        source = self._source
        if source is None:
            return None
        try:
            return source.lag()
        except FirstlightError:
            return None

    def _opened(self) -> AlertSource:
        source = open_source(self.url, group=self._group, kafka_config=self._kafka_config, follow=True)
        if isinstance(source, GroupSource):
            source.on_gap = self._gap
        return source

    def _gap(self, partition: Partition, wanted: int, found: int) -> None:
        self.n_gaps += 1
        _log.warning("%s, partition %d: continues at %d, not %d", self.url, partition[1], found, wanted)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._source is None:
                    self._source = self._opened()
                messages = self._source.poll(_POLL_RECORDS, _POLL_S)
                self.problem = ""
                self._is_at_end = len(messages) < _POLL_RECORDS
                if messages:
                    self._take(messages)
                else:
                    self._stop.wait(_POLL_S)
            except FirstlightError as error:
                self.problem = printable(str(error))
                if isinstance(error, SettingsError) or self._source is None:
                    self._source = None
                self._stop.wait(_AGAIN_S)
            except Exception as error:  # a thread that ended would stop the page in silence
                _log.exception("%s", self.url)
                self.failure = printable(f"{self.url}: {type(error).__name__}: {error}", 300)
                self._stop.wait(_AGAIN_S)
        if self._source is not None:
            self._source.close()


@dataclass
class Refusals:
    """Records that could not be read: their number by reason, and the last of them."""

    n: int = 0
    last: "deque[tuple[str, str]]" = field(default_factory=lambda: deque(maxlen=_SHOWN))  # place, reason

    def add(self, place: str, reason: str) -> None:
        """Count one."""
        self.n += 1
        self.last.append((place, reason))

    def withdraw(self, place: str) -> None:
        """Count one less: the record was read after all."""
        self.n -= 1
        self.last = deque((one for one in self.last if one[0] != place), maxlen=_SHOWN)


class Parser:
    """Messages to records; counts messages that are no records."""

    def __init__(self) -> None:
        self.refusals = Refusals()
        self._open: dict[str, None] = {}  # places of refused records that may be read again

    def parse(self, messages: Sequence[Message]) -> list[tuple[dict[str, Any], bytes]]:
        """Records of messages, each with its bytes."""
        found = []
        for message in messages:
            place = _place(message)
            try:
                if message.error:
                    raise DataError(message.error)
                found.append((parse_result(message.value, place), message.value))
            except DataError as error:
                self._refuse(place, str(error))
                continue
            if place in self._open:
                del self._open[place]
                self.refusals.withdraw(place)
        return found

    def _refuse(self, place: str, reason: str) -> None:
        if place in self._open:
            return
        self.refusals.add(place, printable(reason.removeprefix(f"{place}: "), 300))
        self._open[place] = None
        while len(self._open) > _OPEN_LINES:
            del self._open[next(iter(self._open))]


def _place(message: Message) -> str:
    """The place of a record, for a person."""
    if message.file:
        number = 0 if message.record is None else message.record
        return printable(f"{message.file}, record {number + 1}")
    return printable(f"{message.topic}, partition {message.partition}, offset {message.offset}")


class Letters:
    """Dead letters by kind and reason."""

    MOST = 200  # reasons; the others count as one

    def __init__(self) -> None:
        self.n = 0
        self.by_reason: Counter[tuple[str, str]] = Counter()

    def take(self, messages: Sequence[Message]) -> None:
        """Count letters; see `Take`."""
        import json

        for message in messages:
            try:
                letter = json.loads(message.value)
                key = (str(letter["kind"])[:40], _without_numbers(str(letter["reason"])))
            except (ValueError, TypeError, KeyError, RecursionError):
                key = ("letter", "not a dead letter of firstlight")
            if key not in self.by_reason and len(self.by_reason) >= self.MOST:
                key = ("other", "other reasons")
            self.by_reason[key] += 1
            self.n += 1


def _without_numbers(reason: str) -> str:
    """A reason with its numbers left out, so that the same fault counts as one."""
    return "".join("#" if c.isdigit() else c for c in printable(reason, 160)).replace("##", "#")


class Clock:
    """Numbers of records over time: per second, and per hour and class."""

    HOURS = 24
    WINDOW_S = 60.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: deque[tuple[float, int]] = deque()
        self.hours: deque[tuple[int, Counter[str]]] = deque(maxlen=self.HOURS)
        self.delays: deque[float] = deque(maxlen=2000)  # from the time of a message to its reading [s]
        self.last: float | None = None  # time of the last record [s since 1970]

    def count(self, records: Sequence[Mapping[str, Any]], now: float) -> None:
        """Count new records; `now` is the time [s since 1970]."""
        if not records:
            return
        with self._lock:
            self.last = now
            self._seconds.append((now, len(records)))
            while now - self._seconds[0][0] > self.WINDOW_S:
                self._seconds.popleft()
            hour = int(now // 3600)
            if not self.hours or self.hours[-1][0] != hour:
                self.hours.append((hour, Counter()))
            self.hours[-1][1].update(record["label"] or "not classified" for record in records)

    def rate(self, now: float | None = None) -> float:
        """Records per second over the last minute."""
        now = time.time() if now is None else now
        with self._lock:
            return sum(n for when, n in self._seconds if now - when <= self.WINDOW_S) / self.WINDOW_S

    def by_hour(self) -> list[tuple[int, dict[str, int]]]:
        """Hours since 1970 and the records of each class in them, the oldest first."""
        with self._lock:
            return [(hour, dict(counts)) for hour, counts in self.hours]

    def delay(self) -> tuple[float, float] | None:
        """Median and 99 % of the time from a message to its reading [s]; None if unknown."""
        with self._lock:
            values = sorted(self.delays)
        if not values:
            return None
        return values[len(values) // 2], values[min(int(0.99 * len(values)), len(values) - 1)]
