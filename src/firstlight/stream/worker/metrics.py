"""What a worker counts and times, and the page that shows it: ``/metrics`` and ``/health``.

Counting is plain Python, so a worker needs no metrics library; Prometheus' own client
renders the numbers when they are asked for.
"""

import json
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from firstlight._version import __version__
from firstlight.errors import MissingExtraError, SettingsError

__all__ = ["COUNTERS", "STAGES", "Metrics", "MetricsServer"]

#: Counters, the label that tells their values apart (if any), and what they count.
COUNTERS: dict[str, tuple[str | None, str]] = {
    "alerts": (None, "Alerts read from the source."),
    "results": ("label", "Records put out, by class; empty where not classified."),
    "skipped": ("reason", "Alerts with nothing to classify."),
    "rejected": ("reason", "Messages that went to the dead letters."),
    "redelivered": (None, "Alerts that had been answered before."),
    "late": (None, "Alerts with observations older than known ones."),
    "forgotten": (None, "Objects that began anew after a long silence."),
    "evicted": (None, "Objects removed from the store after a long silence."),
    "damaged": (None, "Logs that are none of ours; their objects begin anew."),
    "compacted": (None, "Logs rewritten as one entry."),
    "retries": ("of", "Attempts repeated because something was away."),
    "batches": (None, "Micro-batches."),
}
#: Gauges and what they say.
GAUGES: dict[str, str] = {
    "partitions": "Partitions that this worker holds.",
    "objects": "Objects in the store.",
    "state_bytes": "Size of the store.",
    "damaged_rows": "Rows whose checksum failed since their partition was gained.",
    "lag": "Messages not yet read, where the source knows.",
    "stream_mjd": "Median time of recent alerts (MJD TAI).",
}
#: Parts of a micro-batch's time.
STAGES = ("decode", "read", "update", "encode", "publish", "commit", "batch")

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class _Times:
    """A histogram of seconds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_BUCKETS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        names = [*(repr(bound) for bound in _BUCKETS), "+Inf"]
        steps, so_far = [], 0
        for name, count in zip(names, self.counts, strict=True):
            so_far += count
            steps.append((name, float(so_far)))
        return steps


class Metrics:
    """Counts and times of one worker. One thread writes, any may read.

    Parameters
    ----------
    bundle : str
        Fingerprint of the bundle.
    stuck_after : float
        Seconds without a sign of life after which the worker counts as stuck.
    clock : callable
        Monotonic seconds; for tests.

    Examples
    --------
    >>> metrics = Metrics("abc")
    >>> metrics.count("skipped", "solar-system", 2)
    >>> metrics.total("skipped")
    2
    """

    def __init__(
        self, bundle: str = "", *, stuck_after: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.bundle = bundle
        self.gauges: dict[str, float] = {}
        self._clock = clock
        self._stuck_after = stuck_after
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in COUNTERS}
        self._times = {name: _Times() for name in STAGES}
        self._started = self._beat = clock()
        self._last_batch: float | None = None
        self._note = "starting"

    def count(self, name: str, label: str = "", n: int = 1) -> None:
        """Add to a counter."""
        self._counts[name][label] += n

    def total(self, name: str) -> int:
        """A counter's sum over its labels."""
        return sum(self._counts[name].values())

    def by_label(self, name: str) -> dict[str, int]:
        """A counter's values, the largest first."""
        return dict(self._counts[name].most_common())

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time a block as one of `STAGES`."""
        start = self._clock()
        try:
            yield
        finally:
            self._times[stage].add(self._clock() - start)

    def seconds(self, stage: str) -> float:
        """Time spent in a stage so far [s]."""
        return self._times[stage].total

    def alive(self, note: str = "ok") -> None:
        """Say that the worker's loop turns, and what it is at."""
        self._beat = self._clock()
        self._note = note

    def waiting(self, note: str) -> None:
        """Say what the worker waits for; no sign of life."""
        self._note = note

    def batch_done(self) -> None:
        """Say that a micro-batch is durable."""
        self.count("batches")
        self._last_batch = self._beat = self._clock()

    @property
    def stuck(self) -> bool:
        """Whether there was no sign of life for too long."""
        return self._clock() - self._beat > self._stuck_after

    def health(self) -> dict[str, Any]:
        """State of the worker, for ``/health``."""
        now = self._clock()
        return {
            "status": "stuck" if self.stuck else self._note,
            "version": __version__,
            "bundle": self.bundle,
            "uptime_s": round(now - self._started, 3),
            "last_batch_age_s": None if self._last_batch is None else round(now - self._last_batch, 3),
            **{
                name: self.total(name)
                for name in ("alerts", "results", "skipped", "rejected", "redelivered", "late")
            },
            **{name: self.gauges.get(name) for name in ("partitions", "lag", "objects", "state_bytes")},
        }

    def collect(self) -> Iterator[Any]:
        """Prometheus' families of all of it (the interface of its collectors).

        Raises
        ------
        MissingExtraError
            If prometheus_client is not installed.
        """
        core = _prometheus()
        for name, (label, text) in COUNTERS.items():
            family = core.CounterMetricFamily(f"firstlight_{name}", text, labels=[label] if label else [])
            counts = dict(self._counts[name])
            if not label:
                counts = {"": sum(counts.values())}
            for value, n in counts.items():
                family.add_metric([value] if label else [], n)
            yield family
        for name, text in GAUGES.items():
            if name in self.gauges:
                yield core.GaugeMetricFamily(f"firstlight_{name}", text, value=self.gauges[name])
        times = core.HistogramMetricFamily(
            "firstlight_seconds", "Time of a micro-batch, by its parts.", labels=["stage"]
        )
        for name, times_of in self._times.items():
            times.add_metric([name], times_of.cumulative(), times_of.total)
        yield times
        yield core.InfoMetricFamily(
            "firstlight", "What runs.", value={"bundle": self.bundle, "version": __version__}
        )


def _prometheus() -> Any:
    try:
        from prometheus_client import core
    except ImportError as error:
        raise MissingExtraError(
            "metrics for Prometheus need prometheus_client: pip install 'firstlight[stream]'"
        ) from error
    return core


class MetricsServer:
    """Serves ``/metrics`` and ``/health`` in a thread of its own.

    Parameters
    ----------
    metrics : Metrics
        What to show.
    port : int
        Port to listen on; 0 takes a free one, see `port`.
    host : str
        Address to listen on.

    Raises
    ------
    MissingExtraError
        If prometheus_client is not installed.
    SettingsError
        If nothing can listen there.
    """

    def __init__(self, metrics: Metrics, port: int, host: str = "127.0.0.1") -> None:
        _prometheus()
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry(auto_describe=False)
        registry.register(metrics)
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(metrics, registry))
        except OSError as error:
            raise SettingsError(
                f"--metrics-port {port}: cannot listen on {host}: {error.strerror}"
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(metrics: Metrics, registry: Any) -> type[BaseHTTPRequestHandler]:
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif path in ("/health", "/"):
                health = metrics.health()
                code = 503 if health["status"] == "stuck" else 200
                self._answer(code, "application/json", json.dumps(health).encode() + b"\n")
            else:
                self._answer(404, "text/plain", b"/metrics or /health\n")

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep scrapes out of the log."""

    return Handler
