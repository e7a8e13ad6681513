"""The chain on one machine: broker, worker processes, producer and consumer."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from firstlight.stream.replay.broker import LocalBroker
from firstlight.stream.replay.replay import ReplayPacket

PARTITIONS = 4
PATIENCE_S = 240.0

_PRODUCER = {
    "linger.ms": 0,
    "queue.buffering.max.kbytes": 400_000,
    "queue.buffering.max.messages": 200_000,
    "message.max.bytes": 4_000_000,
}


def send(broker: LocalBroker, topic: str, packets: Iterable[ReplayPacket]) -> None:
    """Send packets as fast as possible."""
    from confluent_kafka import Producer

    producer = Producer(_PRODUCER | {"bootstrap.servers": broker.address})
    failed: list[str] = []

    def delivered(error: Any, message: Any) -> None:
        if error is not None:
            failed.append(str(error))

    for packet in packets:
        while True:
            try:
                producer.produce(topic, key=packet.key, value=packet.value, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    left = producer.flush(60)
    if failed or left:
        raise SystemExit(f"{left} packets not sent; first failure: {failed[:1]}")


class Results:
    """Reader of a topic of results, from its beginning."""

    def __init__(self, broker: LocalBroker, topic: str, partitions: int = PARTITIONS) -> None:
        from confluent_kafka import Consumer, TopicPartition

        self._consumer = Consumer(
            {
                "bootstrap.servers": broker.address,
                "group.id": "reader",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
                "fetch.queue.backoff.ms": 1,
                "queued.max.messages.kbytes": 200_000,
            }
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])

    def read(self, n: int, timeout_s: float) -> Iterator[tuple[float, bytes]]:
        """Next `n` results with their times of arrival [s], fewer after the timeout."""
        count, end = 0, time.monotonic() + timeout_s
        while count < n and time.monotonic() < end:
            for message in self._consumer.consume(min(500, n - count), 0.002):
                now = time.time()
                if message.error() is None:
                    count += 1
                    yield now, message.value()

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()


@dataclass
class Process:
    """A worker process and the port of its health page."""

    popen: subprocess.Popen[bytes]
    port: int

    def health(self) -> dict[str, Any] | None:
        """Its health page; None before it listens."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as answer:
                return dict(json.load(answer))
        except OSError:
            if self.popen.poll() is not None:
                raise SystemExit(f"a worker ended with {self.popen.returncode}") from None
            return None

    def stage(self, name: str) -> tuple[float, int]:
        """Time in a stage of a micro-batch so far [s], and how often."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        values = dict(line.rpartition(" ")[::2] for line in lines if not line.startswith("#"))
        total, count = (values[f'firstlight_seconds_{part}{{stage="{name}"}}'] for part in ("sum", "count"))
        return float(total), round(float(count))

    def memory_mb(self, name: str = "VmRSS") -> float:
        """Resident memory [MB]; ``RssAnon`` is the part that no file backs."""
        for line in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
        return float("nan")

    def cpu_s(self) -> float:
        """Processor time so far [s]."""
        return cpu_seconds(self.popen.pid)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, user's and system's [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Workers:
    """Worker processes of one consumer group."""

    def __init__(
        self,
        broker: LocalBroker,
        bundle: Path | None,
        n_workers: int,
        *,
        source: str = "alerts",
        sink: str = "results",
        group: str = "benchmark",
        more: tuple[str, ...] = (),
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        assert broker._process is not None
        self._broker_pid = broker._process.pid
        self.state = Path(self._folder.name) / "state"
        address = f"kafka://{broker.address}"
        words = [sys.executable, "-m", "firstlight", "stream", "--state", str(self.state)]
        words += ["--source", f"{address}/{source}", "--sink", f"{address}/{sink}", "--group", group]
        words += ["--dead-letters", "none", *more]
        if bundle is not None:
            words += ["--bundle", str(bundle)]
        self._log = (Path(self._folder.name) / "log").open("wb")
        self.processes = []
        for port in free_ports(n_workers):
            popen = subprocess.Popen(
                [*words, "--metrics-port", str(port)], stdout=self._log, stderr=subprocess.STDOUT
            )
            self.processes.append(Process(popen, port))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.popen.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.popen.wait(20)
            except subprocess.TimeoutExpired:
                process.popen.kill()
        self._log.close()
        self.log = (Path(self._folder.name) / "log").read_text(errors="replace")
        self._folder.cleanup()

    def count(self, name: str = "alerts") -> int:
        """Sum of a counter over the workers."""
        found = [process.health() for process in self.processes]
        return sum(int(health[name] or 0) for health in found if health)

    def wait_ready(self) -> None:
        """Wait until every worker holds partitions."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            found = [process.health() for process in self.processes]
            if all(health and (health["partitions"] or 0) > 0 for health in found):
                return
            time.sleep(0.2)
        raise SystemExit("the workers got no partitions")

    def wait_for(self, n: int) -> list[tuple[float, int, float, float]]:
        """Wait until n alerts are done.

        Returns
        -------
        list of tuple
            Time [s], alerts done, processor time of the workers and of the broker [s].
        """
        series, end, last = [], time.monotonic() + PATIENCE_S, 0
        while last < n:
            now = time.monotonic()
            count = self.count()
            if count > last:
                end = now + PATIENCE_S
            last = count
            series.append((now, count, self.cpu_s(), self.broker_cpu_s()))
            if now > end:
                raise SystemExit(f"no progress after {last} of {n} alerts")
            time.sleep(0.2)
        return series

    def cpu_s(self) -> float:
        """Processor time of all so far [s]."""
        return sum(process.cpu_s() for process in self.processes)

    def broker_cpu_s(self) -> float:
        """Processor time of the broker so far [s]."""
        return cpu_seconds(self._broker_pid)

    def stage(self, name: str) -> tuple[float, int]:
        """Time that all spent in a stage of a micro-batch so far [s], and how often."""
        found = [process.stage(name) for process in self.processes]
        return sum(seconds for seconds, _ in found), sum(n for _, n in found)


def free_ports(n: int) -> list[int]:
    """Ports that are free."""
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def broker_with(*topics: str, partitions: int = PARTITIONS) -> Iterator[LocalBroker]:
    """A broker with empty topics."""
    with LocalBroker() as broker:
        for topic in topics:
            broker.create_topic(topic, partitions)
        yield broker
