"""The whole chain on one machine: a broker, a replay, a worker, and its answers in the terminal.

Broker and worker are processes of their own, which always end with the demonstration.
"""

import json
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from firstlight.errors import BrokerError, DataError, FirstlightError
from firstlight.stream.replay.broker import end_process
from firstlight.stream.replay.replay import Replay, ReplayPacket, paced
from firstlight.stream.replay.sinks import KafkaTopic

ALERTS, RESULTS = "alerts", "results"
_START_S = 180.0  # longest wait for the first answer: the worker compiles its code
_REST_S = 60.0  # longest wait for the last answers
_STOP_S = 10.0  # longest wait for a worker to end by itself
_POLL_S = 0.05
_REFRESH_S = 0.25


class Broker(Protocol):
    """A running broker, such as `LocalBroker`."""

    address: str

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Create a topic."""
        ...


class Display(Protocol):
    """Shows the answers, such as `firstlight.stream.worker.terminal.LiveTable`."""

    def add(
        self, records: Sequence[Mapping[str, Any]], now: float, published: Sequence[float | None]
    ) -> None:
        """Add records, with the time from alert to answer of each [s]."""
        ...

    def sent(self, n: int) -> None:
        """Set the number of alerts sent."""
        ...

    def refresh(self, now: float) -> None:
        """Redraw."""
        ...


class KeptAnswers:
    """A display that also writes the answers to a file, one JSON line each, as the stream does.

    DataError if the file cannot be written.
    """

    def __init__(self, display: Display, path: Path) -> None:
        self._display = display
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}") from error

    def add(
        self, records: Sequence[Mapping[str, Any]], now: float, published: Sequence[float | None]
    ) -> None:
        """See `Display`."""
        self._file.write("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records))
        self._file.flush()
        self._display.add(records, now, published)

    def sent(self, n: int) -> None:
        """See `Display`."""
        self._display.sent(n)

    def refresh(self, now: float) -> None:
        """See `Display`."""
        self._display.refresh(now)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass
class Tally:
    """Counts of a demonstration."""

    truth: Mapping[str, str] = field(default_factory=dict)  # class of each object, if known
    n_sent: int = 0
    n_answers: int = 0
    seconds: float = 0.0  # from the first alert at full rate to the last answer
    latencies: list[float] = field(default_factory=list)  # of all but the first alert [s]
    last: dict[str, str] = field(default_factory=dict)  # last class of each object, or ""

    def add(self, records: Sequence[Mapping[str, Any]], latencies: Sequence[float | None]) -> None:
        """Count records, with the latency of each if it is known [s]."""
        self.n_answers += len(records)
        self.latencies += [seconds for seconds in latencies if seconds is not None]
        self.last |= {str(record["object"]): str(record["label"]) for record in records}

    @property
    def n_classified(self) -> int:
        """Objects with a class in their last record and a known truth."""
        return sum(1 for name, label in self.last.items() if label and name in self.truth)

    @property
    def n_right(self) -> int:
        """Objects whose last class is the true one."""
        return sum(1 for name, label in self.last.items() if label and self.truth.get(name) == label)

    def summary(self) -> str:
        """The counts in words, one per line."""
        lines = [
            f"{self.n_sent:,} alerts of {len(self.last):,} objects sent, {self.n_answers:,} answers"
            + (f", {self.n_answers / self.seconds:,.0f} per second" if self.seconds > 0.0 else "")
        ]
        if self.latencies:
            p50, p99 = np.percentile(self.latencies, [50.0, 99.0])
            lines.append(f"from alert to answer: median {1e3 * p50:,.0f} ms, 99 % within {1e3 * p99:,.0f} ms")
        if self.n_classified:
            share = self.n_right / self.n_classified
            lines.append(
                f"last answer right for {self.n_right:,} of {self.n_classified:,} classified objects "
                f"({share:.0%})"
            )
        return "\n".join(lines)


def choose_objects(
    n_obs: NDArray[np.int64], labels: NDArray[np.str_], n_alerts: int, seed: int = 0
) -> NDArray[np.int64]:
    """Indices of objects of all classes in turn, until they send enough alerts, ascending.

    `n_obs` holds the alerts of each object, `labels` its class, both of shape (n_objects,); the last
    object may exceed `n_alerts`; `seed` is that of the choice within a class.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for name in np.unique(labels):
        members = order[labels[order] == name]
        turn[members] = np.arange(len(members))
    order = order[np.argsort(turn[order], kind="stable")]
    order = order[n_obs[order] > 0]
    enough = int(np.searchsorted(np.cumsum(n_obs[order]), n_alerts)) + 1
    return np.sort(order[:enough])


def run_demo(
    replay: Replay,
    truth: Mapping[str, str],
    broker: Broker,
    worker: Callable[[str, str], Sequence[str]],
    display: Display,
    *,
    rate: float,
    seconds: float,
    log: Path,
) -> Tally:
    """Send a replay through a broker and a worker, and show the answers.

    Parameters
    ----------
    replay, truth : Replay, mapping of str to str
        The stream, and the class of each object for the score.
    broker, display : Broker, Display
        A running broker, and where the answers are shown.
    worker : callable
        Takes the addresses of source and sink; returns the command that starts a worker.
    rate : float
        Alerts per second.
    seconds : float
        Longest time to send [s].
    log : Path
        File for the worker's output.

    Raises
    ------
    BrokerError
        If the worker ends, or leaves alerts without an answer.
    """
    for name in (ALERTS, RESULTS):
        broker.create_topic(name, 1)
    addresses = [f"kafka://{broker.address}/{topic}" for topic in (ALERTS, RESULTS)]
    tally, names = Tally(truth), [str(number) for number in replay.alert_numbers]
    with (
        _process(worker(*addresses), log) as process,
        KafkaTopic(addresses[0]) as topic,
        closing(_Answers(broker.address)) as answers,
    ):
        sender = _Sender(topic, names)
        chain = _Chain(process, log, sender, answers, display, tally)
        packets = replay.packets()
        sender.send(next(packets))  # its answer shows that the worker runs
        chain.follow(until=lambda: tally.n_answers >= 1, limit_s=_START_S)
        begun = time.time()
        with sender.sending(paced(packets, rate=rate), until=begun + seconds):
            chain.follow(until=lambda: sender.finished, limit_s=seconds + _REST_S)
            chain.follow(until=lambda: tally.n_answers >= sender.n_sent, limit_s=_REST_S)
        tally.seconds = time.time() - begun
    return tally


class _Sender:
    """Sends packets from its own thread, and notes the time of each."""

    def __init__(self, topic: KafkaTopic, names: Sequence[str]) -> None:
        self._topic = topic
        self._names = names
        self._stop = threading.Event()
        self.error: FirstlightError | None = None
        self.finished = False
        self.n_sent = 0
        self.sent_at: dict[str, float] = {}

    def send(self, packet: ReplayPacket) -> None:
        self.sent_at[self._names[self.n_sent]] = time.time()
        self._topic.write(packet)
        self.n_sent += 1

    @contextmanager
    def sending(self, packets: Iterator[ReplayPacket], until: float) -> Iterator[None]:
        """Send while the block runs."""
        thread = threading.Thread(target=self._run, args=(packets, until), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(_STOP_S)

    def _run(self, packets: Iterator[ReplayPacket], until: float) -> None:
        try:
            for packet in packets:
                if self._stop.is_set() or time.time() >= until:
                    break
                self.send(packet)
        except FirstlightError as error:
            self.error = error
        self.finished = True


class _Answers:
    """Reads the topic of results from its beginning."""

    def __init__(self, address: str) -> None:
        import confluent_kafka as kafka

        self._consumer = kafka.Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "demo",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,  # the local broker always waits that long
                "log_level": 0,
            }
        )
        self._consumer.assign([kafka.TopicPartition(RESULTS, 0, kafka.OFFSET_BEGINNING)])

    def poll(self) -> list[dict[str, Any]]:
        """New records; empty after a short wait without any."""
        # waits only for the first: waiting for more would count as latency
        found = self._consumer.consume(1, _POLL_S)
        found += self._consumer.consume(499, 0.0) if found else []
        return [json.loads(message.value() or b"") for message in found if message.error() is None]

    def close(self) -> None:
        self._consumer.close()


@dataclass
class _Chain:
    """The running parts, supervised while the answers are read."""

    process: subprocess.Popen[bytes]
    log: Path
    sender: _Sender
    answers: _Answers
    display: Display
    tally: Tally
    _drawn: float = 0.0

    def follow(self, until: Callable[[], bool], limit_s: float) -> None:
        """Read and show answers until `until` holds; BrokerError if a part fails or time is up."""
        limit = time.time() + limit_s
        while not until():
            records, now = self.answers.poll(), time.time()
            self._take(records, now)
            if self.sender.error is not None:
                raise self.sender.error
            if self.process.poll() is not None:
                code = self.process.returncode
                raise BrokerError(f"the worker ended with code {code}; {_last_lines(self.log)}")
            if now > limit and not records:
                missing = self.sender.n_sent - self.tally.n_answers
                raise BrokerError(f"{missing:,} alert(s) without an answer; {_last_lines(self.log)}")

    def _take(self, records: Sequence[dict[str, Any]], now: float) -> None:
        times: list[float | None] = []
        for i, record in enumerate(records):
            sent = self.sender.sent_at.pop(str(record["alert"]), None)
            first = self.tally.n_answers == 0 and i == 0
            times.append(None if sent is None or first else now - sent)
        self.tally.add(records, times)
        self.tally.n_sent = self.sender.n_sent
        self.display.add(records, now, times)
        self.display.sent(self.sender.n_sent)
        if now - self._drawn >= _REFRESH_S:
            self._drawn = now
            self.display.refresh(now)


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block: first by SIGTERM, then by SIGKILL."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            yield process
        finally:
            end_process(process, _STOP_S)


def _last_lines(log: Path) -> str:
    """The last lines of the worker's log."""
    with log.open(errors="replace") as file:
        lines = [line.strip() for line in deque(file, maxlen=5) if line.strip()]
    return f"end of its log: {' | '.join(lines)}" if lines else "its log is empty"
