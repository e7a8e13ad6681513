"""Counts, times and health of a worker, and the server of ``/metrics`` and ``/health``."""

import json
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from firstlight._version import __version__
from firstlight.errors import SettingsError, missing_extra
from firstlight.predictions import DOMAINS
from firstlight.stream.alerts.alert import SkipReason
from firstlight.stream.alerts.observe import REASONS
from firstlight.stream.worker.delays import Delays

if TYPE_CHECKING:
    from prometheus_client import Gauge, Metric

#: Counters with their label (if any) and meaning.
COUNTERS: dict[str, tuple[str | None, str]] = {
    "alerts": (None, "Messages read from the source."),
    "results": ("label", "Records written, by class; empty if not classified."),
    "other_results": ("bundle", "Answers of bundles beside the one in charge, by bundle."),
    "other_labels": ("bundle", "Those of them with another class than the bundle in charge."),
    "other_failures": ("bundle", "Alerts that a bundle beside the one in charge could not answer."),
    "context_failures": ("kind", "Alerts whose object could not be looked up in the context, by error."),
    "reloads": ("result", "Times that the bundles were read again: changed, unchanged or refused."),
    "domains": ("domain", "Records written, by domain: inside, edge or outside of the training set."),
    "other_filters": ("survey", "Alerts of a survey whose filters the bundle in charge was not trained on."),
    "skipped": ("reason", "Alerts with nothing to classify."),
    "rejected": ("reason", "Messages sent to the dead letters."),
    "undecoded": ("schema", "Messages that could not be decoded, by their format and number of schema."),
    "redelivered": (None, "Alerts that were answered before."),
    "repeated": (None, "Results that the file held already when a lost state was built again."),
    "lost": (None, "Messages that were removed from the topic before they were read."),
    "recreated": (None, "Partitions of a topic made again, read from their beginning."),
    "oversize": ("of", "Results and dead letters that were larger than the broker takes."),
    "routed": ("route", "Records that passed the filter of a route and were delivered, by its name."),
    "undelivered": ("route", "Records that the sink of a route did not take, by its name."),
    "late": (None, "Alerts with observations older than known ones."),
    "dropped": ("reason", "Measurements of answered alerts that were set aside."),
    "forgotten": (None, "Objects restarted after a long time without observations."),
    "evicted": (None, "Objects removed from the store after a long time without observations."),
    "damaged": (None, "Histories that are unreadable or lack entries."),
    "retries": ("of", "Attempts repeated because something was unreachable."),
    "batches": (None, "Micro-batches."),
}
#: Labels that are there with 0 from the start, so that their first count is a rise (decision 0196).
LABELS: dict[str, tuple[str, ...]] = {
    "reloads": ("changed", "unchanged", "refused"),
    "domains": DOMAINS,
    "skipped": tuple(SkipReason),
    "rejected": ("decode", "pipeline", "encode"),
    "dropped": REASONS,
    "oversize": ("result", "letter", "route"),
    "retries": ("source", "schemas", "sink"),
}
#: Gauges and their meaning.
GAUGES: dict[str, str] = {
    "partitions": "Partitions that this worker holds.",
    "objects": "Objects in the store.",
    "state_bytes": "Size of the store.",
    "damaged_rows": "Rows with a wrong checksum since their partition was gained.",
    "split_objects": "1 if alerts of one object come in partitions that do not share a state.",
    "lag": "Messages not yet read, if the source knows.",
    "stream_mjd": "Median time of recent alerts of the partition that lags most (MJD TAI).",
}
#: Gauge of the lag of each partition, with its topic and number.
PARTITION_LAG = ("partition_lag", "Messages of a partition not yet read.")
#: Parts of a micro-batch's time.
STAGES = ("decode", "read", "update", "encode", "publish", "commit", "batch")

_HEALTHY = ("starting", "ok")
_STARTING_S = 120.0  # longest time to the end of the first batch, for which code is compiled
_LOSSES = ("lost", "recreated")
_LOSS_SHOWN_S = 600.0  # for so long after a loss the worker does not count as healthy
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts and times of one worker. One thread writes, any may read.

    `bundle` is the fingerprint of the bundle in charge, `others` are those beside it; without a heartbeat
    for `stuck_after` [s] the worker counts as stuck; `clock` is monotonic time [s], for tests.
    MissingExtraError without prometheus_client.
    """

    def __init__(
        self,
        bundle: str = "",
        *others: str,
        stuck_after: float = 25.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        prometheus = _prometheus()
        self._clock = clock
        self._stuck_after = stuck_after
        self._registry = prometheus.CollectorRegistry()
        self._counters = {
            name: prometheus.Counter(
                f"firstlight_{name}", text, [label] if label else [], registry=self._registry
            )
            for name, (label, text) in COUNTERS.items()
        }
        for name, labels in LABELS.items():
            self.expect(name, labels)
        self._gauges: dict[str, Gauge] = {}  # only those that were set: a missing value is not 0
        seconds = prometheus.Histogram(
            "firstlight_seconds",
            "Time of a micro-batch, by its parts.",
            ["stage"],
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self._seconds = {stage: seconds.labels(stage) for stage in STAGES}
        self.delays = Delays()
        self._registry.register(self.delays)
        name, text = PARTITION_LAG
        self._partition_lag = prometheus.Gauge(
            f"firstlight_{name}", text, ["topic", "partition"], registry=self._registry
        )
        if platform.system() == "Linux":  # memory, CPU time and open files, under Prometheus' usual names
            prometheus.ProcessCollector(registry=self._registry)
        self._info = prometheus.Info("firstlight", "Version and bundle.", registry=self._registry)
        self.use(bundle, *others)
        self._started = self._last_beat = clock()
        self._last_batch: float | None = None
        self._last_loss: float | None = None
        self._activity = "starting"

    def use(self, bundle: str, *others: str) -> None:
        """Set the fingerprints of the bundles."""
        self.bundle, self.others = bundle, others
        for name in ("other_results", "other_labels", "other_failures"):
            self.expect(name, others)
        beside = {"others": " ".join(others)} if others else {}
        self._info.info({"bundle": bundle, "version": __version__, **beside})

    def count(self, name: str, label: str = "", n: int = 1) -> None:
        """Add `n` to a counter of `COUNTERS`."""
        if name in _LOSSES:
            self._last_loss = self._clock()
        counter = self._counters[name]
        (counter.labels(label) if COUNTERS[name][0] else counter).inc(n)

    def expect(self, name: str, labels: Iterable[str]) -> None:
        """Show labels of a counter with 0 before their first count."""
        for label in labels:
            self._counters[name].labels(label)

    def by_label(self, name: str) -> dict[str, int]:
        """A counter's values above 0, the largest first."""
        samples = [s for metric in self._counters[name].collect() for s in metric.samples]
        counts = [s for s in samples if s.name.endswith("_total") and s.value]
        values = {"".join(s.labels.values()): int(s.value) for s in counts}
        return dict(sorted(values.items(), key=lambda item: -item[1]))

    def total(self, name: str) -> int:
        """A counter's sum over its labels."""
        return sum(self.by_label(name).values())

    def set(self, name: str, value: float | None) -> None:
        """Set a gauge of `GAUGES`; None removes it."""
        if value is None:
            if (gone := self._gauges.pop(name, None)) is not None:
                self._registry.unregister(gone)
            return
        if name not in self._gauges:
            gauge = _prometheus().Gauge(f"firstlight_{name}", GAUGES[name], registry=self._registry)
            self._gauges[name] = gauge
        self._gauges[name].set(value)

    def set_partition_lags(self, lags: Mapping[tuple[str, int], int] | None) -> None:
        """Set the lag of each partition that the worker holds; None if unknown."""
        self._partition_lag.clear()
        for (topic, partition), lag in (lags or {}).items():
            self._partition_lag.labels(topic, partition).set(lag)

    def gauge(self, name: str) -> float | None:
        """Value of a gauge; None if it is not set."""
        return self._registry.get_sample_value(f"firstlight_{name}")

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time a block as one of `STAGES`."""
        start = self._clock()
        try:
            yield
        finally:
            self._seconds[stage].observe(self._clock() - start)

    def seconds(self, stage: str) -> float:
        """Time spent in a stage so far [s]."""
        return self._registry.get_sample_value("firstlight_seconds_sum", {"stage": stage}) or 0.0

    def beat(self, activity: str = "ok") -> None:
        """Record a heartbeat and the current activity."""
        self._last_beat = self._clock()
        self._activity = activity

    def waiting(self, activity: str) -> None:
        """Record the reason for waiting, without a heartbeat; the lag is unknown then."""
        self._activity = activity
        self.set("lag", None)
        self.set_partition_lags(None)

    def batch_done(self) -> None:
        """Count a committed micro-batch."""
        self.count("batches")
        self._last_batch = self._last_beat = self._clock()

    def health(self) -> dict[str, Any]:
        """State of the worker, for ``/health``."""
        now = self._clock()
        limit = {"ok": self._stuck_after, "starting": _STARTING_S}.get(self._activity, float("inf"))
        if now - self._last_beat > limit:
            status = "stuck"
        elif self._last_loss is not None and now - self._last_loss < _LOSS_SHOWN_S:
            status = "messages lost"
        else:
            status = self._activity
        return {
            "status": status,
            "version": __version__,
            "bundle": self.bundle,
            **({"others": list(self.others)} if self.others else {}),
            "uptime_s": round(now - self._started, 3),
            "last_batch_age_s": None if self._last_batch is None else round(now - self._last_batch, 3),
            **{
                name: self.total(name)
                for name in (
                    "alerts",
                    "results",
                    "skipped",
                    "rejected",
                    "redelivered",
                    "late",
                    "context_failures",
                    *_LOSSES,
                )
            },
            **{
                name: None if (value := self.gauge(name)) is None else int(value)
                for name in ("partitions", "lag", "objects", "state_bytes", "split_objects")
            },
        }

    def collect(self) -> "Iterator[Metric]":
        """Prometheus' metrics, without the time at which each was created."""
        for metric in self._registry.collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


def _prometheus() -> Any:
    try:
        import prometheus_client
    except ImportError as error:
        raise missing_extra("the stream", "prometheus-client", "stream") from error
    return prometheus_client


class MetricsServer:
    """Serves ``/metrics`` and ``/health`` from its own thread; `port` is the actual port.

    Port 0 takes a free one. SettingsError if the port cannot be used.
    """

    def __init__(self, metrics: Metrics, port: int, host: str = "127.0.0.1") -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(metrics))
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


def _handler(metrics: Metrics) -> type[BaseHTTPRequestHandler]:
    prometheus = _prometheus()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Serve `/metrics` and `/health`."""
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._reply(200, prometheus.CONTENT_TYPE_LATEST, prometheus.generate_latest(metrics))
            elif path in ("/health", "/"):
                health = metrics.health()
                code = 200 if health["status"] in _HEALTHY else 503
                self._reply(code, "application/json", json.dumps(health).encode() + b"\n")
            else:
                self._reply(404, "text/plain", b"/metrics or /health\n")

        def _reply(self, code: int, kind: str, body: bytes) -> None:
            """Send a whole response."""
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep requests out of the log."""

    return Handler
