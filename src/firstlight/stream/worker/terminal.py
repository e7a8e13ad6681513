"""The latest records, counts and rates in the terminal; elsewhere a plain line every few seconds."""

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from firstlight.stream.worker.metrics import Metrics
from firstlight.stream.worker.worker import Batch
from firstlight.text import printable

_RATE_WINDOW_S = 10.0
_LINE_EVERY_S = 5.0
_REFRESH_S = 0.25
_LATENCIES = 2000
_LONGEST_NAME = 40
_COUNTED = ("alerts", "skipped", "rejected", "redelivered", "late")


class LiveTable:
    """Shows records as they arrive; a context manager.

    For a worker in this process, pass `show_batch` as its ``on_batch``; otherwise call `add`
    and `refresh`.

    Parameters
    ----------
    rows : int
        Number of records shown, the newest of each object first.
    truth : mapping of str to str, optional
        True classes of objects, if known; correct answers are then green.
    total : int, optional
        Expected number of alerts.
    console : Console, optional
        Where to draw; stderr by default, so that results may go to stdout.
    metrics : Metrics, optional
        Metrics of a worker, whose counts are added to the line.
    line_only : bool
        Show only the line of counts, and only on a terminal.
    """

    def __init__(
        self,
        rows: int = 12,
        truth: Mapping[str, str] | None = None,
        total: int | None = None,
        console: Console | None = None,
        *,
        metrics: Metrics | None = None,
        line_only: bool = False,
    ) -> None:
        self._rows = rows
        self._truth = truth or {}
        self._total = total
        self._console = console or Console(stderr=True)
        self._metrics = metrics
        self._line_only = line_only
        self._is_shown = self._console.is_terminal or not line_only
        self._latest: dict[str, Mapping[str, Any]] = {}
        self._labels: dict[str, str] = {}  # latest label of every object
        self._n_records = self._n_sent = 0
        self._marks: deque[tuple[float, int]] = deque()
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._last_line = self._last_refresh = -float("inf")
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(self.draw(), console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.update(self.draw(), refresh=True)
            self._live.stop()
            self._live = None
        elif self._n_records:
            self._console.print(self.line(), highlight=False, soft_wrap=True)

    def add(
        self, records: Sequence[Mapping[str, Any]], now: float, published: Sequence[float | None]
    ) -> None:
        """Take records in order of arrival; they are shown at the next `refresh`.

        `now` is the time of arrival by a monotonic clock [s], `published` the time from alert to record [s].
        """
        for record in records:
            name = record["object"]
            self._latest.pop(name, None)
            self._latest[name] = record
            self._labels[name] = record["label"]
        while len(self._latest) > self._rows:
            del self._latest[next(iter(self._latest))]
        self._latencies.extend(seconds for seconds in published if seconds is not None)
        self._n_records += len(records)
        self._mark(now)

    def show_batch(self, batch: Batch) -> None:
        """Take a worker's batch, and draw if it is time."""
        if not self._is_shown:
            return
        now = time.monotonic()
        self.add(batch.records, now, ())
        if now - self._last_refresh >= _REFRESH_S:
            self._last_refresh = now
            self.refresh(now)

    def sent(self, n: int) -> None:
        """Set the number of alerts sent so far."""
        self._n_sent = n

    def refresh(self, now: float) -> None:
        """Draw again, about four times per second; `now` as in `add`."""
        self._mark(now)
        if self._live is not None:
            self._live.update(self.draw(), refresh=True)
        elif now - self._last_line >= _LINE_EVERY_S:
            self._last_line = now
            self._console.print(self.line(), highlight=False, soft_wrap=True)

    def _mark(self, now: float) -> None:
        self._marks.append((now, self._n_records))
        while len(self._marks) > 2 and now - self._marks[1][0] > _RATE_WINDOW_S:
            self._marks.popleft()

    @property
    def rate(self) -> float:
        """Records per second over the last ten seconds."""
        if len(self._marks) < 2:
            return 0.0
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def line(self) -> str:
        """All counts in one line."""
        parts = [f"{self._n_records:,} answers, {self.rate:,.0f}/s, {len(self._labels):,} objects"]
        if self._n_sent or self._total:
            parts.append(f"{self._n_sent:,}{f' of {self._total:,}' if self._total else ''} alerts sent")
        if self._latencies:
            p50, p99 = (_quantile(self._latencies, q) for q in (0.5, 0.99))
            parts.append(f"latency {1000 * p50:,.0f} ms (99 %: {1000 * p99:,.0f} ms)")
        right = [self._labels[name] == true for name, true in self._truth.items() if self._labels.get(name)]
        if right:
            parts.append(f"{sum(right) / len(right):.0%} of {len(right):,} classified objects right")
        if self._metrics is not None:
            parts += [f"{n:,} {name}" for name in _COUNTED if (n := self._metrics.total(name))]
        return "   ".join(parts)

    def draw(self) -> Group:
        """The current view, for rich."""
        if self._line_only:
            return Group(Text(self.line(), overflow="ellipsis", no_wrap=True))
        return Group(Text(self.line(), style="bold"), self._table(), self._shares())

    def _table(self) -> Table:
        table = Table(expand=False, pad_edge=False)
        table.add_column("object", no_wrap=True)
        for name in ("MJD", "phase", "n", "mag"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("class", no_wrap=True)
        if self._truth:
            table.add_column("truth", no_wrap=True)
        for name in ("p", "change", "anomaly", "follow-up"):
            table.add_column(name, justify="right", no_wrap=True)
        for record in reversed(self._latest.values()):
            table.add_row(*self._row(record))
        return table

    def _row(self, record: Mapping[str, Any]) -> list[Text | str]:
        label, true = record["label"], self._truth.get(record["object"], "")
        style = "bold green" if label and label == true else "bold" if label else "dim"
        return [
            Text(_name(record["object"])),
            _number(record["mjd"], ".3f"),
            _number(record["phase"], "+.1f"),
            str(record["n_obs"]),
            Text(f"{record['mag']:.2f} {_name(record['band'])}" if record["mag"] is not None else ""),
            Text(_name(label or record["reason"]), style=style),
            *([Text(_name(true), style="dim")] if self._truth else []),
            _number(record["proba"].get(label), ".2f"),
            *(_number(record[name], ".2f") for name in ("change", "anomaly", "followup")),
        ]

    def _shares(self) -> Text:
        """Counts and shares of the latest labels."""
        counts = Counter(label or "not classified yet" for label in self._labels.values())
        total = len(self._labels) or 1
        shares = [f"{_name(name)} {n:,} ({n / total:.0%})" for name, n in counts.most_common(8)]
        return Text("   ".join(shares), style="dim")


def _name(foreign: object) -> str:
    """A name from outside, as a terminal shows it without obeying it."""
    return printable(str(foreign), longest=_LONGEST_NAME)


def _quantile(values: Sequence[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
