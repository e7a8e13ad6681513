"""`Desk`: everything that the page shows: board, ranking, observations, verdicts, health."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pandas as pd

from firstlight._types import Progress
from firstlight.anomaly.verdicts import Choice, Verdict, append_verdict, read_verdicts
from firstlight.errors import DataError, SettingsError
from firstlight.pipeline.explanation import Explanation
from firstlight.serve.board import MOST_PLACES, Board
from firstlight.serve.explain import Explainer
from firstlight.serve.follow import Clock, Letters, Parser, Reader
from firstlight.serve.observations import NoObservations, Observations
from firstlight.serve.query import AbsentError, View
from firstlight.serve.tonight import Plan, Snapshot, Tonight
from firstlight.serve.worker import WorkerHealth
from firstlight.stream.io.message import Message

__all__ = ["Desk", "DeskConfig", "Progress"]

_RECENT = 500  # newest records kept for `Desk.latest`


@dataclass(frozen=True, kw_only=True)
class DeskConfig:
    """Where the page reads and writes.

    Attributes
    ----------
    results : str
        Records of the stream: ``kafka://host:port/topic``, a file or a folder.
    plan : Plan
        Observatory and wanted classes.
    kafka_config : Path, optional
        File with settings of the Kafka client.
    feedback : Path, optional
        File for verdicts; without it the page is read-only.
    dead_letters : str
        Dead letters: a topic or a file; empty for those beside the results.
    worker : str
        Address of the worker's ``/health`` and ``/metrics``; empty for none.
    most_objects : int
        Objects to keep; beyond, those with the oldest records are forgotten.
    bundles : tuple of Path
        Bundles that explain the objects of their records, beside the shipped ones.
    """

    results: str
    plan: Plan
    kafka_config: Path | None = None
    feedback: Path | None = None
    dead_letters: str = ""
    worker: str = ""
    most_objects: int = MOST_PLACES
    bundles: tuple[Path, ...] = ()


@dataclass(slots=True)
class _Verdicts:
    """Verdicts of a file, read again when it changes."""

    path: Path
    found: dict[str, Verdict] = field(default_factory=dict)
    problem: str = ""
    signature: tuple[int, int] = (0, 0)

    def read(self) -> Mapping[str, Verdict]:
        try:
            about = self.path.stat()
        except OSError:
            self.found, self.signature = {}, (0, 0)
            return self.found
        if (about.st_mtime_ns, about.st_size) != self.signature:
            self.signature = (about.st_mtime_ns, about.st_size)
            try:
                self.found, self.problem = read_verdicts(self.path), ""
            except DataError as error:
                self.problem = str(error)
        return self.found


class Desk:
    """All that the page shows; a context manager, which runs the readers.

    Parameters
    ----------
    config : DeskConfig
        Where it reads and writes.
    observations : Observations, optional
        Light curves; by default none.
    clock : callable
        Time [s since 1970], for tests.
    """

    def __init__(
        self,
        config: DeskConfig,
        observations: Observations | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.board = Board(config.most_objects)
        self.tonight = Tonight(self.board, config.plan, clock)
        self.observations: Observations = NoObservations() if observations is None else observations
        self.explainer = Explainer(config.bundles)
        self.parser, self.clock, self.letters = Parser(), Clock(), Letters()
        self.worker = WorkerHealth(config.worker)
        self.reader = Reader(config.results, self._take, config.kafka_config)
        self.letter_reader: Reader | None = None
        self.more_readers: list[Reader] = []
        self._now = clock
        self._recent: list[dict[str, Any]] = []
        self._recent_lock = threading.Lock()
        self.n_seen = 0  # records in `latest` so far
        self._verdicts = None if config.feedback is None else _Verdicts(config.feedback)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start reading; SettingsError or DataError if an address is wrong."""
        self._check_feedback()
        with ExitStack() as stack:
            self.reader.start()
            stack.enter_context(closing(self.reader))
            self.tonight.start()
            stack.enter_context(closing(self.tonight))
            if letters := self._letters_address():
                self.letter_reader = Reader(letters, self.letters.take, self.config.kafka_config)
                self.letter_reader.start()
                stack.enter_context(closing(self.letter_reader))
            for reader in self.more_readers:
                reader.start()
                stack.enter_context(closing(reader))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _letters_address(self) -> str:
        """Dead letters: those that were named, or the file beside the results if it is there."""
        if self.config.dead_letters or "://" in self.config.results:
            return self.config.dead_letters
        beside = Path(f"{self.config.results}.rejects.jsonl").expanduser()
        return str(beside) if beside.is_file() else ""

    def _check_feedback(self) -> None:
        if self._verdicts is None:
            return
        path = self._verdicts.path
        if not path.parent.is_dir():
            raise SettingsError(f"--feedback {path}: its folder does not exist")
        if path.exists():
            self._verdicts.found = read_verdicts(path)  # a file of something else is refused at the start

    def _take(self, messages: Sequence[Message]) -> None:
        """Take messages of the results, in the reader's thread."""
        records = self.parser.parse(messages)
        new = self.board.add(records)
        now = self._now()
        self.clock.count(new, now)
        if self.reader.url.startswith("kafka://"):
            stamps = [m.timestamp_ms for m in messages if m.timestamp_ms]
            self.clock.delays.extend(max(now - stamp / 1000.0, 0.0) for stamp in stamps)
        with self._recent_lock:
            self._recent += [dict(record) for record in new[-_RECENT:]]
            del self._recent[:-_RECENT]
            self.n_seen += len(new)

    def snapshot(self, bundle: str = "") -> Snapshot:
        """The table, with the verdicts; SettingsError if the bundle is unknown."""
        snapshot = self.tonight.snapshot(bundle)
        given = self.verdicts()
        names = snapshot.table["object"]
        words = [given[name].verdict.replace("_", " ") if name in given else "" for name in names.tolist()]
        table = snapshot.table.assign(verdict=words).astype({"verdict": object})
        return replace(snapshot, table=table)

    def chosen(self, view: View) -> tuple[Snapshot, pd.DataFrame]:
        """The table of a view's bundle, and the rows that pass its filters in its order.

        SettingsError if its bundle or one of its classes is unknown.
        """
        view.check_classes(self.board.classes)
        snapshot = self.snapshot(view.bundle)
        return snapshot, view.chosen(snapshot.table)

    def explain(self, object_id: str, bundle: str = "") -> Explanation:
        """Explain an object by the bundle of its record, by default the one whose record came last.

        AbsentError without a record, observations or the bundle.
        """
        bundles = self.board.bundles_of(object_id)
        bundle = bundle or next(iter(bundles), "")
        if bundle not in bundles:
            raise AbsentError("no record of this object by this bundle")
        return self.explainer.explain(bundle, self.observations.find(object_id))

    def latest(self, n: int) -> list[dict[str, Any]]:
        """The newest records in the order of arrival."""
        with self._recent_lock:
            return self._recent[-n:] if n else []

    def since(self, seen: int) -> tuple[list[dict[str, Any]], int, int]:
        """Records after the first `seen`, how many are no longer kept, and the new number."""
        with self._recent_lock:
            new = self.n_seen - seen
            kept = self._recent[-new:] if 0 < new <= len(self._recent) else self._recent[: max(new, 0)]
            return list(kept), max(new - len(kept), 0), self.n_seen

    def verdicts(self) -> Mapping[str, Verdict]:
        """The newest verdict of each object."""
        return {} if self._verdicts is None else self._verdicts.read()

    @property
    def takes_verdicts(self) -> bool:
        """Whether the page may write verdicts."""
        return self._verdicts is not None

    def give_verdict(self, object_id: str, choice: Choice, true_class: str = "") -> Verdict:
        """Write a verdict on an object.

        SettingsError without ``--feedback``; DataError if the object or the choice is unknown, or the file
        cannot be written.
        """
        if self._verdicts is None:
            raise SettingsError("the page is read-only: start it with --feedback FILE to give verdicts")
        bundles = self.board.bundles_of(object_id)
        history = self.board.history(object_id, bundles[0]) if bundles else None
        if history is None:
            raise DataError("no such object")
        try:
            seen = json.loads(history.raw)
        except ValueError:
            seen = {}
        verdict = Verdict(
            object=object_id,
            verdict=choice,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            alert=str(seen.get("alert") or ""),
            bundle=bundles[0],
            label=str(seen.get("label") or ""),
            true_class=true_class,
        )
        append_verdict(self._verdicts.path, verdict)
        return verdict

    def problems(self) -> list[str]:
        """Warnings for an observer: why data may be missing or old, one sentence each."""
        found = []
        if self.reader.problem:
            found.append(f"No new records: {self.reader.problem}")
        if self.parser.refusals.n:
            place, reason = self.parser.refusals.last[-1] if self.parser.refusals.last else ("", "")
            found.append(f"{self.parser.refusals.n:,} records could not be read; the last: {place}: {reason}")
        if self.board.n_unusable:
            found.append(f"{self.board.n_unusable:,} records could not be used: {self.board.last_unusable}")
        found += self.tonight.problems()
        if self.reader.n_gaps:
            found.append(
                f"{self.reader.n_gaps:,} gaps in the topic: records were removed before they were read"
            )
        if self.board.n_forgotten:
            found.append(f"{self.board.n_forgotten:,} objects with the oldest records were forgotten")
        if self._verdicts is not None and self._verdicts.problem:
            found.append(f"Verdicts: {self._verdicts.problem}")
        for reader in (self.letter_reader, *self.more_readers):
            if reader is not None and reader.problem:
                found.append(reader.problem)
        for reader in (self.reader, self.letter_reader, *self.more_readers):
            if reader is not None and reader.failure:
                found.append(f"Some messages may be missing: {reader.failure}")
        return found
