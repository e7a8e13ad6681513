"""Shared by the fault tests: real processes to harm, and an undisturbed run to compare with."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstlight.lightcurves import LightCurve
from firstlight.stream import Alert, JsonLinesCodec, Observations
from firstlight.stream.io.message import Message
from firstlight.stream.io.sinks import MemorySink
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.state.sqlite import SqliteStore
from firstlight.stream.state.store import MemoryStore
from firstlight.stream.worker.worker import CLOCK_ALERTS, Worker, WorkerConfig

SEED_VARIABLE = "FIRSTLIGHT_TEST_SEED"
LAUNCHER = Path(__file__).parent / "launcher.py"
COLUMNS = ("mjd", "band", "flux", "flux_err", "detected")

#: Lines of a file that are not alerts.
POISON = (
    b"no alert at all",
    b"{}",
    b'{"alert_id": "1", "object_id": "cut", "mjd": 60000.0, "observations": {"mjd": [600',
    b"\xff\xfe" * 30,
    b'{"alert_id": "1", "object_id": "x", "mjd": 60000.0, "observations": {"mjd": [60000.0], "band": "X",'
    b' "flux": [1.0], "flux_err": [1.0], "detected": [true], "source_id": [1]}}',
)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a new seed in each run, printed on failure; the variable repeats a run."""
    seed = int(os.environ.get(SEED_VARIABLE) or np.random.SeedSequence().generate_state(1)[0])
    sys.stdout.write(f"{SEED_VARIABLE}={seed}\n")
    return np.random.default_rng(seed)


# --- alerts -----------------------------------------------------------------------------


def one_by_one(curve: LightCurve) -> list[Alert]:
    """One alert per observation of an object."""
    about = {name: getattr(curve, name) for name in ("ra", "dec", "ebv", "redshift", "redshift_err")}
    return [
        Alert(
            f"{curve.object_id}s-{k}",
            f"{curve.object_id}s",
            float(curve.mjd[k]),
            Observations(*(getattr(curve, name)[k : k + 1] for name in COLUMNS), source_id=np.array([k + 1])),
            source_id=k + 1,
            dereddened=True,
            **about,
        )
        for k in range(len(curve.mjd))
    ]


@pytest.fixture(scope="session")
def long_stream(sample, alert_stream) -> list[Alert]:
    """About 1,700 alerts in order of time, with one observation or with the whole history."""
    alerts = list(alert_stream)
    for i in range(10):
        alerts += one_by_one(sample[19 * i + 3])
    return sorted(alerts, key=lambda alert: (alert.mjd, alert.alert_id))


@pytest.fixture(scope="session")
def hard_lines(long_stream) -> list[bytes]:
    """The stream as JSON lines, some of them late, repeated or not alerts."""
    rng = np.random.default_rng(8)
    alerts: list[Alert | bytes] = list(long_stream)
    for i in sorted(rng.choice(np.arange(5, len(alerts) - 200), 50, replace=False), reverse=True):
        alerts.insert(int(i) + int(rng.integers(2, 150)), alerts.pop(int(i)))  # late
    for i in rng.choice(len(alerts) - 200, 50, replace=False):
        alerts.insert(int(i) + int(rng.integers(1, 150)), alerts[int(i)])  # repeated
    for k, i in enumerate(np.linspace(3, len(alerts) - 1, 25).astype(int)):
        alerts.insert(int(i), POISON[k % len(POISON)])
    codec = JsonLinesCodec()
    return [alert + b"\n" if isinstance(alert, bytes) else codec.encode(alert) for alert in alerts]


@pytest.fixture(scope="session")
def hard_file(hard_lines, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("alerts") / "hard.jsonl"
    path.write_bytes(b"".join(hard_lines))
    return path


@pytest.fixture(scope="session")
def easy_file(alert_stream, tmp_path_factory) -> Path:
    """About 200 alerts in order."""
    path = tmp_path_factory.mktemp("alerts") / "easy.jsonl"
    path.write_bytes(b"".join(map(JsonLinesCodec().encode, alert_stream)))
    return path


# --- processes ---------------------------------------------------------------------------


@dataclass
class Child:
    """A `firstlight` in its own process."""

    pid: int
    log_path: Path
    trace: Path
    ask: Callable[..., Any]
    code: int | None = None

    def running(self) -> bool:
        if self.code is None:
            self.code = self.ask(wait=self.pid)["code"]
        return self.code is None

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit code, or minus the signal that ended it."""
        deadline = time.monotonic() + seconds
        while self.running():
            assert time.monotonic() < deadline, f"still running:\n{self.log()}"
            time.sleep(0.003)
        assert self.code is not None
        return self.code

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)  # the id is not reused before it was waited for

    def stage(self) -> str:
        """Its current stage; empty before its first micro-batch."""
        return self.trace.read_text().strip() if self.trace.exists() else ""

    def log(self) -> str:
        return self.log_path.read_text()


@dataclass
class Place:
    """Files of a worker."""

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out.jsonl"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def store(self) -> Path:
        return self.state / "file-0.sqlite"

    def records(self) -> list[bytes]:
        return self.out.read_bytes().splitlines()

    def rejects(self) -> bytes:
        return Path(f"{self.out}.rejects.jsonl").read_bytes()

    def argv(self, source: Path | str, *options: str) -> list[str]:
        return [
            "stream",
            "--source",
            str(source),
            "--sink",
            str(self.out),
            "--state",
            str(self.state),
            *options,
        ]


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="session")
def launch(fast_bundle, easy_file, tmp_path_factory) -> Iterator[Callable[..., Child]]:
    """Start `firstlight` with arguments, within milliseconds."""
    folder = tmp_path_factory.mktemp("launcher")
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    with (folder / "launcher.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(LAUNCHER), str(fast_bundle), str(easy_file), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | one_thread,
        )
    assert process.stdin
    assert process.stdout
    numbers = iter(range(10**6))
    children: list[Child] = []

    def ask(**command: Any) -> Any:
        process.stdin.write(json.dumps(command).encode() + b"\n")
        process.stdin.flush()
        return answer()

    def answer() -> Any:
        line = process.stdout.readline()
        assert line, (folder / "launcher.log").read_text()
        return json.loads(line)

    def start(argv: list[str], *, room: int | None = None) -> Child:
        name = folder / str(next(numbers))
        trace = name.with_suffix(".trace")
        Path(f"{name}.log").touch()
        command = {"argv": argv, "log": f"{name}.log", "trace": str(trace)}
        pid = ask(**command, room=room)["pid"]
        children.append(Child(pid, Path(f"{name}.log"), trace, ask))
        return children[-1]

    with process:  # ends with its standard input
        assert answer() == {"ready": True}
        yield start
        for child in children:
            if child.running():
                child.send(signal.SIGKILL)
                child.wait()


# --- their outputs ------------------------------------------------------------------------


@dataclass(frozen=True)
class Content:
    """Content of a store."""

    rows: dict[str, bytes | None]
    logs: dict[str, list[bytes]]
    position: int | None
    lengths: list[int]

    def objects(self) -> tuple[Any, ...]:
        """Everything except the sinks' lengths."""
        return self.rows, self.logs, self.position


@pytest.fixture(scope="session")
def contents(fast_pipeline) -> Callable[[Path], Content]:
    """Read a store, object by object."""
    size = fast_pipeline.states([]).data.dtype.itemsize

    def read(path: Path) -> Content:
        with closing(sqlite3.connect(path)) as db:
            names = [name for (name,) in db.execute("SELECT name FROM object ORDER BY name")]
        store = SqliteStore(path, bundle=fast_pipeline.bundle_version, state_size=size)
        rows = dict(zip(names, store.states(names), strict=True))
        histories = dict(zip(names, store.histories(names), strict=True))
        assert (store.n_objects, store.damaged, store.recovered) == (len(names), 0, "")
        left = Content(rows, histories, store.position, sorted(store.sink_position.values()))
        store.close()
        return left

    return read


@pytest.fixture(scope="session")
def hard_run(launch, hard_file, tmp_path_factory) -> Place:
    """The hard stream, undisturbed."""
    place = Place(tmp_path_factory.mktemp("hard"))
    child = launch(place.argv(hard_file))
    assert child.wait() == 0, child.log()
    return place


@pytest.fixture(scope="session")
def easy_run(launch, easy_file, tmp_path_factory) -> Place:
    """The easy stream, undisturbed."""
    place = Place(tmp_path_factory.mktemp("easy"))
    child = launch(place.argv(easy_file))
    assert child.wait() == 0, child.log()
    return place


# --- a worker in this process ---------------------------------------------------------------


class OneStore:
    """One store that outlives workers."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def open(self, topic: str, partition: int, wait_s: float) -> MemoryStore:
        return self.store

    def sink_position(self, name: str) -> int | None:
        return self.store.sink_position.get(name)

    def is_shared(self, topic: str) -> bool:
        return False

    def choose(self, topic: str, *, shared: bool) -> bool:
        return False


@dataclass
class Done:
    """Output of a worker in this process."""

    records: list[bytes]
    letters: list[dict[str, Any]]
    store: MemoryStore
    worker: Worker

    def without(self, name: str) -> list[bytes]:
        return [value for value in self.records if json.loads(value)["object"] != name]


@pytest.fixture
def run(fast_pipeline) -> Callable[..., Done]:
    """Run a worker over alerts, values, or pairs of key and value."""

    def message(place: int, item: Any) -> Message:
        if isinstance(item, Alert):
            item = JsonLinesCodec().encode(item)
        key, value = item if isinstance(item, tuple) else (None, item)
        return Message(value, key, "t", 0, place)

    def start(messages: Any, *, decoder: Any = None, pipeline: Any = fast_pipeline, **settings: Any) -> Done:
        sink, letters, stores = MemorySink("out"), MemorySink("letters"), OneStore()
        clock_alerts = settings.pop("clock_alerts", CLOCK_ALERTS)
        config = WorkerConfig(**{"linger_ms": 0.0, "batch": 64} | settings)
        source = MemorySource([message(place, item) for place, item in enumerate(messages)])
        worker = Worker(
            pipeline,
            source,
            sink,
            stores,
            dead_letters=letters,
            decoder=decoder,
            config=config,
            clock_alerts=clock_alerts,
        )
        worker.run()
        records = [value for _, value in sink.records]
        return Done(records, [json.loads(value) for _, value in letters.records], stores.store, worker)

    return start
