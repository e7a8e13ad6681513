"""Time of each stage of a worker without a broker, and of the state store alone."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from firstlight import Pipeline
from firstlight.stream.io.message import Message
from firstlight.stream.io.sinks import MemorySink
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.state.folder import StateFolder
from firstlight.stream.state.sqlite import SqliteStore
from firstlight.stream.state.store import Changes
from firstlight.stream.worker.worker import Batch, Worker, WorkerConfig
from streaming.night import Night

#: Stages of a worker: name in its metrics, and in words.
PARTS = {
    "decode": "decode",
    "read": "state read",
    "update": "update",
    "encode": "record",
    "commit": "state write",
}
STORE_ROWS, STORE_BATCH, STORE_ROUNDS = 50_000, 256, 150


class Watch:
    """Times of a worker after a warm-up."""

    def __init__(self, warm_up: int) -> None:
        self.warm_up = warm_up
        self.worker: Worker | None = None
        self.done = 0
        self.ends: list[float] = []
        self.before: dict[str, float] = {}
        self.cpu = 0.0

    def __call__(self, batch: Batch) -> None:
        """Record the end of a micro-batch."""
        self.done += batch.n_alerts
        if self.done < self.warm_up:
            return
        if not self.before:
            self.before = self.seconds()
            self.cpu = time.process_time()
        self.ends.append(time.perf_counter())

    def seconds(self) -> dict[str, float]:
        """Time of each stage so far [s]."""
        assert self.worker is not None
        return {name: self.worker.metrics.seconds(name) for name in (*PARTS, "batch")}

    def result(self, n_alerts: int, batch: int) -> dict[str, Any]:
        """Microseconds per alert, by stage."""
        after, cpu = self.seconds(), time.process_time() - self.cpu
        us = {name: 1e6 * (after[name] - self.before[name]) / n_alerts for name in after}
        steps = np.diff(self.ends) * 1e6 / batch
        return {
            "us_an_alert": {words: round(us[name], 1) for name, words in PARTS.items()}
            | {"all": round(us["batch"], 1)},
            "median_us": round(float(np.median(steps)), 1),
            "p99_us": round(float(np.quantile(steps, 0.99)), 1),
            "cpu_us": round(1e6 * cpu / n_alerts, 1),
            "alerts_per_s": round(1e6 / us["batch"]),
        }


def one_run(pipeline: Pipeline, values: Sequence[bytes], batch: int, warm_up: int) -> dict[str, Any]:
    """One worker over messages in memory; SQLite state on disk; records are dropped."""
    watch = Watch(warm_up)
    with tempfile.TemporaryDirectory() as folder:
        stores = StateFolder(
            Path(folder), bundle=pipeline.bundle_version, state_size=pipeline.states(0).data.dtype.itemsize
        )
        worker = Worker(
            pipeline,
            MemorySource(Message(value, None, "alerts", 0, i) for i, value in enumerate(values)),
            MemorySink(),
            stores,
            config=WorkerConfig(batch=batch, linger_ms=0.0),
            on_batch=watch,
        )
        watch.worker = worker
        worker.run()
    return watch.result(len(values) - _ceil(warm_up, batch), batch)


def _ceil(n: int, batch: int) -> int:
    return -(-n // batch) * batch


def alert(bundles: dict[str, Path | None], source: Path | None, repeats: int) -> dict[str, Any]:
    """Per-alert compute of each preset at batch 1 and 256, for both sizes of packets."""
    result: dict[str, Any] = {}
    for size in (30_000, 80_000):
        for name, bundle in bundles.items():
            pipeline = Pipeline.load(bundle)
            slow = pipeline.needs_history
            for batch in (1, 256):
                warm_up, n = (2048, 1000) if batch == 1 else (4096, 4096 if slow else 16_384)
                night = Night(warm_up + n, size, source)
                values = [packet.value for packet in night.packets()]
                runs = [one_run(pipeline, values, batch, warm_up) for _ in range(repeats)]
                result[f"{name}, {size // 1000} kB, batch {batch}"] = middle(runs) | {
                    "packets": night.describe(),
                    "state_bytes": pipeline.states(0).data.dtype.itemsize,
                }
                print(name, size, batch, result[f"{name}, {size // 1000} kB, batch {batch}"], flush=True)
    return result


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run with the median time per alert."""
    ordered = sorted(runs, key=lambda run: run["us_an_alert"]["all"])
    return ordered[(len(ordered) - 1) // 2] | {"repeats": len(runs)}


# --- the state store ------------------------------------------------------------------


def store(bundles: dict[str, Path | None], source: Path | None, repeats: int) -> dict[str, Any]:
    """Reading and writing state rows, many and one per transaction, in SQLite (as the worker) and LMDB."""
    size = Pipeline.load(next(iter(bundles.values()))).states(0).data.dtype.itemsize
    contestants: dict[str, Callable[[Path], Any]] = {
        "SQLite, WAL, synchronous=NORMAL (the worker's)": lambda folder: _Sqlite(folder, size),
        "LMDB, synced at every commit": lambda folder: _Lmdb(folder, sync=True),
        "LMDB, not synced": lambda folder: _Lmdb(folder, sync=False),
    }
    figures: dict[str, dict[str, list[float]]] = {name: {"batch": [], "single": []} for name in contestants}
    sizes: dict[str, int] = {}
    for _ in range(repeats):
        for name, make in contestants.items():
            with tempfile.TemporaryDirectory() as folder:
                contestant = make(Path(folder))
                for kind, times in race(contestant, size).items():
                    figures[name][kind].append(times)
                contestant.close()
                sizes[name] = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
                shutil.rmtree(folder, ignore_errors=True)
                Path(folder).mkdir(exist_ok=True)
    return {
        "state_bytes": size,
        "rows": STORE_ROWS,
        "repeats": repeats,
        "contestants": {
            name: {
                f"us_a_row_read_and_written_{STORE_BATCH}_a_transaction": round(
                    statistics.median(kinds["batch"]), 1
                ),
                "us_a_row_read_and_written_1_a_transaction": round(statistics.median(kinds["single"]), 1),
                "file_bytes_a_row": round(sizes[name] / STORE_ROWS),
            }
            for name, kinds in figures.items()
        },
    }


def race(contestant: Any, size: int) -> dict[str, float]:
    """Microseconds per row to read it and write it back."""
    rng = np.random.default_rng(0)
    names = [str(i) for i in 10**9 + 7919 * rng.permutation(STORE_ROWS)]
    raw = rng.bytes(size * 512)
    rows = [raw[i * size : (i + 1) * size] for i in range(512)]
    for start in range(0, STORE_ROWS, 5000):
        contestant.write(names[start : start + 5000], [rows[i % 512] for i in range(5000)])
    result = {}
    for kind, batch in (("batch", STORE_BATCH), ("single", 1)):
        n_rounds = STORE_ROUNDS if batch > 1 else 2000
        some = [[names[i] for i in rng.choice(STORE_ROWS, batch, replace=False)] for _ in range(n_rounds)]
        start = time.perf_counter()
        for i, chosen in enumerate(some):
            found = contestant.read(chosen)
            if None in found:
                raise SystemExit("a row was not found")
            contestant.write(chosen, [rows[(i + j) % 512] for j in range(batch)])
        result[kind] = (time.perf_counter() - start) * 1e6 / (n_rounds * batch)
    return result


class _Sqlite:
    """The worker's store."""

    def __init__(self, folder: Path, size: int) -> None:
        self._store = SqliteStore(folder / "store.sqlite", bundle="benchmark", state_size=size)
        self._position = 0

    def read(self, names: list[str]) -> list[bytes | None]:
        return self._store.states(names)

    def write(self, names: list[str], rows: list[bytes]) -> None:
        self._position += 1
        states = {name: (row, 60_000.0) for name, row in zip(names, rows, strict=True)}
        self._store.commit(Changes(states=states, position=self._position))

    def close(self) -> None:
        self._store.close()


class _Lmdb:
    """The same rows in LMDB, with the position in the same transaction; no checksums."""

    def __init__(self, folder: Path, *, sync: bool) -> None:
        import lmdb

        self._lmdb = lmdb.open(str(folder), map_size=2 << 30, sync=sync, metasync=sync)
        self._position = 0

    def read(self, names: list[str]) -> list[bytes | None]:
        with self._lmdb.begin() as transaction:
            return [transaction.get(name.encode()) for name in names]

    def write(self, names: list[str], rows: list[bytes]) -> None:
        self._position += 1
        with self._lmdb.begin(write=True) as transaction:
            for name, row in zip(names, rows, strict=True):
                transaction.put(name.encode(), row)
            transaction.put(b"position", str(self._position).encode())

    def close(self) -> None:
        self._lmdb.close()
