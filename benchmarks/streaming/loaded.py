"""Alerts per second of a worker whose state holds the histories of many objects.

The store is filled with copies of the states and histories of a few hundred real objects, under names of
their own, through the store's own interface. Each alert then goes to another object, so that the worker reads
what it has not read before, as a survey's alerts do.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight import LightCurves, Pipeline, load_plasticc
from firstlight.stream.alerts.alert import Alert, arrivals
from firstlight.stream.alerts.decoder import AlertDecoder
from firstlight.stream.io.message import Message
from firstlight.stream.io.sinks import MemorySink
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.replay.packets import PacketColumns, PacketRows, window_starts, write_packets
from firstlight.stream.replay.replay import CONFLUENT_FRAME, source_numbers
from firstlight.stream.state.folder import StateFolder
from firstlight.stream.state.store import Changes
from firstlight.stream.worker.worker import Worker, WorkerConfig
from streaming.compute import Watch, middle

#: Observations of each object in the state; templates have so many more that each object can have new alerts.
LOADED_OBS, SPARE_OBS = 300, 24
N_TEMPLATES, HISTORY_DAYS, PACKET_BYTES = 256, 365.0, 30_000
#: Objects of the smallest state, and alerts of the warm-up and of the timed part.
LEAST = 1000
BATCH = 256
ALERTS = {"fast": (4096, 16_384), "default": (1024, 4096)}
_FIRST_NUMBER = 10**9
_COMMIT = 2000  # objects per transaction while filling


@dataclass(frozen=True)
class Templates:
    """Real light curves that the loaded objects copy."""

    curves: LightCurves
    source_id: NDArray[np.int64]
    first: NDArray[np.int64]  # first observation of the history in a packet, for every observation

    @classmethod
    def of(cls, source: Path | None) -> "Templates":
        """Objects of PLAsTiCC with enough observations; the first ones, so that runs are the same."""
        curves, _ = load_plasticc(source)
        chosen = np.flatnonzero(curves.n_obs >= LOADED_OBS + SPARE_OBS)[:N_TEMPLATES]
        if not len(chosen):
            raise SystemExit(f"no object has {LOADED_OBS + SPARE_OBS} observations")
        part = curves.take(chosen)
        numbers = np.arange(1, len(part) + 1)
        first = window_starts(part.mjd, part.offsets, HISTORY_DAYS)
        return cls(part, source_numbers(part, numbers), first)

    def packets(
        self, objects: NDArray[np.int64], row: NDArray[np.int64], *, whole: bool = False
    ) -> list[bytes]:
        """Packets of objects whose alerts are triggered by these observations of their templates."""
        template = objects % len(self.curves)
        one = np.ones(len(self.curves), np.int64)
        known = np.zeros(len(self.source_id), np.int64)
        columns = PacketColumns.of(self.curves, one, self.source_id, known)
        columns = replace(
            columns,
            number=_FIRST_NUMBER + objects,
            **{name: getattr(columns, name)[template] for name in ("position", "host", "unknown")},
        )
        first = self.curves.offsets[:-1][template] if whole else self.first[row]
        place = np.arange(len(objects))
        rows = PacketRows(row, first, place, place)
        size = 0 if whole else PACKET_BYTES
        cutout = np.frombuffer(np.random.default_rng(0).bytes(size), np.uint8)
        return write_packets(columns, rows, cutout, size, CONFLUENT_FRAME)

    def loaded(self, pipeline: Pipeline) -> tuple[list[bytes], list[bytes], list[float]]:
        """State row, history and last time of each template after its first observations."""
        objects = np.arange(len(self.curves))
        rows = self.curves.offsets[:-1] + LOADED_OBS - 1
        alerts = []
        for value in self.packets(objects, rows, whole=True):
            (alert,) = AlertDecoder().decode_all(value, None)
            assert isinstance(alert, Alert)
            alerts.append(alert)
        done = pipeline.update(
            pipeline.states(len(alerts)), arrivals(alerts), lambda index: [[] for _ in index]
        )
        return done.states.to_bytes(), done.entries, self.curves.mjd[rows].tolist()


def fill(folder: Path, pipeline: Pipeline, templates: Templates, n_objects: int) -> dict[str, Any]:
    """Write the states and histories of the objects; seconds and size."""
    start = time.perf_counter()
    states, entries, mjd = templates.loaded(pipeline)
    store = _stores(folder, pipeline).open("alerts", 0, 0.0)
    for begin in range(0, n_objects, _COMMIT):
        some = range(begin, min(begin + _COMMIT, n_objects))
        names = {i: str(_FIRST_NUMBER + i) for i in some}
        copied = {i: i % len(states) for i in some}
        store.commit(
            Changes(
                states={names[i]: (states[copied[i]], mjd[copied[i]]) for i in some},
                appended={names[i]: [entries[copied[i]]] for i in some},
            )
        )
    size = store.size_bytes
    store.close()
    return {"filled_in_s": round(time.perf_counter() - start, 1), "state_gb": round(size / 1e9, 3)}


def _stores(folder: Path, pipeline: Pipeline) -> StateFolder:
    size = pipeline.states(0).data.dtype.itemsize
    return StateFolder(folder, bundle=pipeline.bundle_version, state_size=size, keyed="yes")


def messages(templates: Templates, n_objects: int, n_alerts: int) -> Iterator[Message]:
    """Alerts of the objects in random order, each object's next one when all have had one."""
    order = np.random.default_rng(1)
    turns = [order.permutation(n_objects) for _ in range(-(-n_alerts // n_objects))]
    if len(turns) > SPARE_OBS:
        raise SystemExit(f"{n_objects} objects are too few for {n_alerts} alerts")
    objects = np.concatenate(turns)[:n_alerts]
    turn = np.arange(n_alerts) // n_objects
    rows = templates.curves.offsets[:-1][objects % len(templates.curves)] + LOADED_OBS + turn
    for begin in range(0, n_alerts, 1024):
        part = slice(begin, begin + 1024)
        values = templates.packets(objects[part], rows[part])
        for offset, (number, value) in enumerate(zip(objects[part].tolist(), values, strict=True), begin):
            yield Message(value, b"%d" % (_FIRST_NUMBER + number), "alerts", 0, offset)


def one_run(folder: Path, pipeline: Pipeline, alerts: list[Message], warm_up: int) -> dict[str, Any]:
    """One worker over these alerts with the state in a folder, which it changes."""
    watch = Watch(warm_up)
    worker = Worker(
        pipeline,
        MemorySource(alerts),
        MemorySink(),
        _stores(folder, pipeline),
        config=WorkerConfig(batch=BATCH, linger_ms=0.0, forget_days=np.inf),
        on_batch=watch,
    )
    watch.worker = worker
    worker.run()
    counts = {name: worker.metrics.total(name) for name in ("results", "rejected", "damaged")}
    if counts != {"results": len(alerts), "rejected": 0, "damaged": 0}:
        raise SystemExit(f"{len(alerts)} alerts gave {counts}")
    return watch.result(len(alerts) - warm_up, BATCH)


def loaded(
    bundles: dict[str, Path | None], source: Path | None, repeats: int, n_objects: int = 200_000
) -> dict[str, Any]:
    """Alerts per second without a broker, by the number of objects in the state, in turns."""
    templates = Templates.of(source)
    result: dict[str, Any] = {"observations_per_object": LOADED_OBS, "batch": BATCH}
    for name, bundle in bundles.items():
        pipeline = Pipeline.load(bundle)
        warm_up, n = ALERTS["default" if pipeline.needs_history else "fast"]
        least = min(LEAST, n_objects)
        sizes = sorted({0, least, max(least, n_objects // 4), n_objects})
        if warm_up + n > least * SPARE_OBS:  # a small trial
            warm_up, n = 2 * BATCH, least * SPARE_OBS - 2 * BATCH
        runs: dict[int, list[dict[str, Any]]] = {size: [] for size in sizes}
        about: dict[int, dict[str, Any]] = {}
        with tempfile.TemporaryDirectory() as place:
            for size in sizes:
                about[size] = fill(Path(place) / str(size), pipeline, templates, size) if size else {}
            for _ in range(repeats):
                for size in sizes:
                    alerts = list(messages(templates, size or least, warm_up + n))
                    copied = Path(place) / "run"
                    if size:
                        shutil.copytree(Path(place) / str(size), copied)
                    runs[size].append(one_run(copied, pipeline, alerts, warm_up))
                    shutil.rmtree(copied)
                    print(name, size, runs[size][-1], flush=True)
        figures = {str(size): about[size] | middle(runs[size]) for size in sizes}
        for own in figures.values():
            own["speed_of_empty"] = round(own["alerts_per_s"] / figures["0"]["alerts_per_s"], 3)
        result[name] = {"objects": figures, "alerts": n}
    return result
