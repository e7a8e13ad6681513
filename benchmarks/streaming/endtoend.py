"""Throughput, latency and bursts over a broker."""

import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from firstlight.stream.alerts.decoder import AlertDecoder
from firstlight.stream.io.kafka import KafkaSource
from streaming.chain import Results, Workers, broker_with, send
from streaming.night import Night

#: Preset, bytes of a packet: alerts sent, and the aim [alerts/s].
RUNS = {
    ("fast", 30_000): (60_000, 6900),
    ("fast", 80_000): (30_000, 5100),
    ("default", 30_000): (10_000, 2200),
    ("default", 80_000): (10_000, 2200),
}
#: The same for latency and bursts.
CASES = (("fast", 30_000), ("fast", 80_000), ("default", 30_000))
N_WORKERS = (1, 4)  # of four partitions; while one waits for the broker or the disk, another decodes
#: Part of the alerts over which the rate is taken: workers have begun, none has ended.
WINDOW = (0.3, 0.95)
RATE, LATENCY_S, WARM_UP = 300, 40, 6000
LATENCY_AIM_MS = {"p50": 20, "p99": 100}
BURST, BURST_AIM_S = 10_000, 5.0


def throughput(bundles: dict[str, Path | None], source: Path | None, repeats: int) -> dict[str, Any]:
    """Alerts per second from a topic that was filled before, with one and several workers."""
    result: dict[str, Any] = {"window": WINDOW}
    for (name, size), (n_alerts, aim) in RUNS.items():
        if name not in bundles:
            continue
        night = Night(n_alerts, size, source)
        with broker_with("alerts") as broker:
            send(broker, "alerts", night.packets())
            figures: dict[str, Any] = {"packets": night.describe(), "aim_alerts_per_s": aim}
            for n_workers in N_WORKERS:
                runs = []
                for i in range(repeats):
                    sink = f"results-{n_workers}-{i}"
                    broker.create_topic(sink, 4)
                    with Workers(broker, bundles[name], n_workers, sink=sink, group=sink) as workers:
                        runs.append(rate(workers.wait_for(n_alerts), n_alerts))
                    check(broker, sink, n_alerts)
                runs.sort(key=lambda run: run["alerts_per_s"])
                figures[f"{n_workers} worker{'s' * (n_workers > 1)}"] = runs[len(runs) // 2] | {
                    "all_runs": [run["alerts_per_s"] for run in runs]
                }
        result[f"{name}, {size // 1000} kB"] = figures
        print(name, size, figures, flush=True)
    return result


def rate(series: list[tuple[float, int, float, float]], n_alerts: int) -> dict[str, int]:
    """Alerts per second in the window, from the workers' counters, and processor time per alert."""
    t, n, workers, broker = np.array(series).T
    place = [n_alerts * part for part in WINDOW]
    start, end = np.interp(place, n, t)
    used = [1e6 * np.diff(np.interp(place, n, cpu))[0] / (place[1] - place[0]) for cpu in (workers, broker)]
    return {
        "alerts_per_s": round((place[1] - place[0]) / (end - start)),
        "workers_cpu_us_an_alert": round(used[0]),
        "broker_cpu_us_an_alert": round(used[1]),
    }


def check(broker: Any, topic: str, n_alerts: int) -> None:
    """Check that every alert has one result."""
    results = Results(broker, topic)
    keys = {
        tuple(json.loads(value)[k] for k in ("object", "alert")) for _, value in results.read(n_alerts, 60)
    }
    results.close()
    if len(keys) != n_alerts:
        raise SystemExit(f"{topic}: {len(keys)} results for {n_alerts} alerts")


def latency(bundles: dict[str, Path | None], source: Path | None, repeats: int) -> dict[str, Any]:
    """Milliseconds from sending an alert to receiving its result, at a constant rate."""
    result: dict[str, Any] = {"alerts_per_s": RATE, "seconds": LATENCY_S, "aim_ms": LATENCY_AIM_MS}
    n = RATE * LATENCY_S
    for name, size in (case for case in CASES if case[0] in bundles):
        runs = []
        for _ in range(repeats):
            runs.append(one_latency(bundles[name], Night(WARM_UP + n, size, source), n))
            print(name, size, runs[-1], flush=True)
        runs.sort(key=lambda run: run["p99"])
        result[f"{name}, {size // 1000} kB"] = runs[len(runs) // 2] | {
            "p99_of_all_runs": [run["p99"] for run in runs]
        }
    return result


def one_latency(bundle: Path | None, night: Night, n: int) -> dict[str, Any]:
    with broker_with("alerts", "results") as broker, Workers(broker, bundle, 1) as workers:
        packets = night.packets()
        workers.wait_ready()
        send(broker, "alerts", islice(packets, WARM_UP))
        workers.wait_for(WARM_UP)
        results = Results(broker, "results")
        held = dict(read_alerts(results, WARM_UP))
        sender = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "streaming.sender",
                broker.address,
                *night.words(),
                str(WARM_UP),
                str(RATE),
            ],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
        )
        with Use(workers) as use:
            held = dict(read_alerts(results, n, 60 + LATENCY_S))
        out, _ = sender.communicate(timeout=30)
        results.close()
    sent = json.loads(out)
    if set(sent) != set(held):
        raise SystemExit(f"{len(held)} results for {len(sent)} alerts")
    late_ms = np.array([(held[alert] - t) * 1e3 for alert, t in sent.items()])
    late_ms = late_ms[RATE * 2 :]  # the first seconds: clients find their partitions
    return {name: round(float(np.quantile(late_ms, q)), 2) for name, q in QUANTILES.items()} | use.result(n)


class Use:
    """Cores that workers and broker use meanwhile, and the micro-batches of the workers."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def __enter__(self) -> "Use":
        self._start = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self._end = self._now()

    def _now(self) -> tuple[float, ...]:
        batches = self._workers.stage("batch")
        return (time.monotonic(), self._workers.cpu_s(), self._workers.broker_cpu_s(), *batches)

    def result(self, n_alerts: int) -> dict[str, float]:
        """Means over that time."""
        wall, worker, broker, busy, batches = np.subtract(self._end, self._start).tolist()
        return {
            "worker_cores": round(worker / wall, 2),
            "broker_cores": round(broker / wall, 2),
            "alerts_per_batch": round(n_alerts / batches, 1),
            "worker_ms_per_batch": round(1e3 * busy / batches, 2),
        }


QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}


def broker_alone(bundles: dict[str, Path | None], source: Path | None, repeats: int) -> dict[str, Any]:
    """Latency of the broker alone: milliseconds from sending an alert to receiving it."""
    result: dict[str, Any] = {"alerts_per_s": RATE, "seconds": LATENCY_S}
    n = RATE * LATENCY_S
    for size in (30_000, 80_000):
        night, decoder, held = Night(WARM_UP + n, size, source), AlertDecoder(), {}
        with broker_with("alerts") as broker:
            send(broker, "alerts", islice(night.packets(), WARM_UP))
            alerts = KafkaSource(broker.url("alerts"), group="alone")
            seen = 0
            while seen < WARM_UP:
                seen += len(alerts.poll(512, 0.05))
            words = [broker.address, *night.words(), str(WARM_UP), str(RATE)]
            sender = subprocess.Popen(
                [sys.executable, "-m", "streaming.sender", *words],
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parents[1],
            )
            while len(held) < n:
                records = alerts.poll(512, 0.05)
                now = time.time()
                for record in records:
                    (alert,) = decoder.decode_all(record.value, record.key)
                    held[alert.alert_id] = now
            out, _ = sender.communicate(timeout=30)
            alerts.close()
        sent = json.loads(out)
        late_ms = np.array([(held[alert] - t) * 1e3 for alert, t in sent.items()])
        parts = {"first half": late_ms[RATE * 2 : n // 2], "second half": late_ms[n // 2 :]}
        result[f"{size // 1000} kB"] = {
            part: {name: round(float(np.quantile(late, q)), 2) for name, q in QUANTILES.items()}
            for part, late in (parts | {"all": late_ms[RATE * 2 :]}).items()
        }
    return result


def read_alerts(results: Results, n: int, timeout_s: float = 60.0) -> Any:
    """Ids of alerts and times at which their results arrived."""
    for now, value in results.read(n, timeout_s):
        yield json.loads(value)["alert"], now


def burst(bundles: dict[str, Path | None], source: Path | None, repeats: int) -> dict[str, Any]:
    """Seconds from the first of many simultaneous alerts to the last result."""
    result: dict[str, Any] = {"alerts": BURST, "aim_s": BURST_AIM_S}
    for name, size in (case for case in CASES if case[0] in bundles):
        night = Night(WARM_UP + BURST, size, source)
        runs: dict[int, list[float]] = {}
        for n_workers in N_WORKERS:
            for _ in range(repeats):
                runs.setdefault(n_workers, []).append(one_burst(bundles[name], night, n_workers))
                print(name, size, n_workers, runs[n_workers], flush=True)
        result[f"{name}, {size // 1000} kB"] = {
            f"{n} worker{'s' * (n > 1)}": {
                "seconds": round(float(np.median(times)), 2),
                "all_runs": [round(t, 2) for t in sorted(times)],
            }
            for n, times in runs.items()
        }
    return result


def one_burst(bundle: Path | None, night: Night, n_workers: int) -> float:
    with broker_with("alerts", "results") as broker, Workers(broker, bundle, n_workers) as workers:
        packets = list(night.packets())
        workers.wait_ready()
        send(broker, "alerts", packets[:WARM_UP])
        workers.wait_for(WARM_UP)
        results = Results(broker, "results")
        for _ in results.read(WARM_UP, 60):
            pass
        time.sleep(1.0)
        start = time.time()
        send(broker, "alerts", packets[WARM_UP:])
        ends = [now for now, _ in results.read(BURST, 120)]
        results.close()
    if len(ends) != BURST:
        raise SystemExit(f"{len(ends)} results for {BURST} alerts")
    return ends[-1] - start
