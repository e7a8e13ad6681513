"""A live table in the terminal: what the stream said last, how much, how fast.

On a terminal it is drawn in place; elsewhere it is a plain line every few seconds.
"""

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from firstlight.stream.worker.metrics import Metrics
from firstlight.stream.worker.worker import Batch

__all__ = ["LiveTable", "WorkerLine", "WorkerTable"]

_RATE_WINDOW_S = 10.0
_LINE_EVERY_S = 5.0
_REFRESH_S = 0.25
_LATENCIES = 2000


class LiveTable:
    """Shows records as they arrive; a context manager.

    Parameters
    ----------
    rows : int
        Records shown at a time, the newest of each object first.
    truth : mapping of str to str, optional
        True class of objects, where it is known; right answers are then green.
    total : int, optional
        Alerts to come, for the progress.
    console : Console, optional
        Where to draw; stderr by default, so that results may go to stdout.

    Examples
    --------
    ::

        with LiveTable() as table:
            table.add(records, now=time.time(), published=[None] * len(records))
            table.refresh(time.time())
    """

    def __init__(
        self,
        rows: int = 12,
        truth: Mapping[str, str] | None = None,
        total: int | None = None,
        console: Console | None = None,
    ) -> None:
        self._truth = truth or {}
        self._total = total
        self._console = console or Console(stderr=True)
        self._latest: dict[str, Mapping[str, Any]] = {}
        self._rows = rows
        self._labels: dict[str, str] = {}  # last answer of every object
        self._n_records = self._n_sent = 0
        self._marks: deque[tuple[float, int]] = deque()
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._notes: tuple[str, ...] = ()
        self._lined = -float("inf")
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(self.draw(), console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(self.draw(), refresh=True)
            self._live.stop()
            self._live = None
        elif self._n_records:
            self._console.print(self.line(), highlight=False, soft_wrap=True)

    def add(
        self, records: Sequence[Mapping[str, Any]], now: float, published: Sequence[float | None]
    ) -> None:
        """Take up records; the terminal follows at the next `refresh`.

        Parameters
        ----------
        records : sequence of mapping
            As `firstlight.stream.results.read.iter_results` gives them, in order of arrival.
        now : float
            Time of arrival [s], of any clock that goes on.
        published : sequence of float or None
            From alert to record, of each record, where that is known [s].
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

    def sent(self, n: int) -> None:
        """Say how many alerts were sent so far."""
        self._n_sent = n

    def note(self, *notes: str) -> None:
        """Further words for the head of the table."""
        self._notes = notes

    def refresh(self, now: float) -> None:
        """Draw again; call it some four times a second.

        Parameters
        ----------
        now : float
            As in `add`.
        """
        self._mark(now)
        if self._live is not None:
            self._live.update(self.draw(), refresh=True)
        elif now - self._lined >= _LINE_EVERY_S:
            self._lined = now
            self._console.print(self.line(), highlight=False, soft_wrap=True)

    def _mark(self, now: float) -> None:
        self._marks.append((now, self._n_records))
        while len(self._marks) > 2 and now - self._marks[1][0] > _RATE_WINDOW_S:
            self._marks.popleft()

    @property
    def rate(self) -> float:
        """Records a second over the last ten seconds."""
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
        return "   ".join([*parts, *self._notes])

    def draw(self) -> Group:
        """Head, table and counts as they stand, for rich."""
        return Group(Text(self.line(), style="bold"), self._table(), self._counts())

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
            Text(str(record["object"])),
            _number(record["mjd"], ".3f"),
            _number(record["phase"], "+.1f"),
            str(record["n_obs"]),
            f"{record['mag']:.2f} {record['band']}" if record["mag"] is not None else "",
            Text(label or record["reason"], style=style),
            *([Text(true, style="dim")] if self._truth else []),
            _number(record["proba"].get(label), ".2f"),
            *(_number(record[name], ".2f") for name in ("change", "anomaly", "followup")),
        ]

    def _counts(self) -> Text:
        counts = Counter(label or "not classified yet" for label in self._labels.values())
        total = len(self._labels) or 1
        shares = [f"{name} {n:,} ({n / total:.0%})" for name, n in counts.most_common(8)]
        return Text("   ".join(shares), style="dim")


class WorkerTable(LiveTable):
    """The live table of a worker in this process: pass it to `Worker` as ``on_batch``.

    Parameters
    ----------
    metrics : Metrics
        Of the worker; its counts join the head.
    rows, console
        As in `LiveTable`.
    """

    def __init__(self, metrics: Metrics, rows: int = 12, console: Console | None = None) -> None:
        super().__init__(rows, console=console)
        self._metrics = metrics
        self._drawn = -float("inf")

    def __call__(self, batch: Batch) -> None:
        """Take up a batch, and draw if it is time."""
        now = time.monotonic()
        self.add(batch.records, now, ())
        counted = ("alerts", "skipped", "rejected", "redelivered", "late")
        self.note(*(f"{n:,} {name}" for name in counted if (n := self._metrics.total(name))))
        if now - self._drawn >= _REFRESH_S:
            self._drawn = now
            self.refresh(now)


class WorkerLine(WorkerTable):
    """As `WorkerTable`, but one line, and nothing where there is no terminal."""

    def __init__(self, metrics: Metrics, console: Console | None = None) -> None:
        super().__init__(metrics, console=console)
        self._quiet = not self._console.is_terminal

    def __call__(self, batch: Batch) -> None:
        """Take up a batch, if anybody looks."""
        if not self._quiet:
            super().__call__(batch)

    def draw(self) -> Group:
        """The line alone."""
        return Group(Text(self.line(), overflow="ellipsis", no_wrap=True))


def _quantile(values: Sequence[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
