"""Alerts per second of one process over one broker: `firstlight stream`, and the runner on Quix Streams.

Run ``python benchmarks/engines.py [--alerts N]``. All read the same topic of alerts in LSST's schema, which
was filled before, and write to topics of their own. The rate is that at which results arrive, between 30 and
95 % of them.
"""

from _harness import parser, result, write

# isort: split
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from firstlight.stream.replay.broker import LocalBroker, end_process
from streaming.chain import Results, Workers, broker_with, cpu_seconds, send
from streaming.night import Night

BUNDLE, PARTITIONS, PACKET_BYTES = "fast", 4, 30_000
WINDOW = (0.3, 0.95)
#: The trial broker states the retention of a topic only if it was given, and Quix Streams needs it.
TOPIC = {"retention.ms": "604800000", "cleanup.policy": "delete"}
RUNNER = """
import sys
from firstlight.stream.engines.keyed import ObjectClassifier
from firstlight.stream.engines.quix import QuixConfig, QuixRunner
broker, sink, state, rekey = sys.argv[1:]
config = QuixConfig(
    broker, "alerts", sink, state, group=sink, rekey=rekey, partitions=4,
    topic={"retention.ms": "604800000", "cleanup.policy": "delete"},
    application={"consumer_extra_config": {"session.timeout.ms": 6000}},
)
QuixRunner(ObjectClassifier("fast"), config).run()
"""


@contextmanager
def worker(broker: LocalBroker, sink: str) -> Any:
    """One process of ``firstlight stream``; its number."""
    with Workers(broker, Path(BUNDLE), 1, sink=sink, group=sink) as workers:
        yield workers.processes[0].popen.pid


def quix(rekey: str) -> Callable[[LocalBroker, str], AbstractContextManager[int]]:
    """One process of the runner on Quix Streams."""

    @contextmanager
    def running(broker: LocalBroker, sink: str) -> Any:
        with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w") as log:
            words = [sys.executable, "-c", RUNNER, broker.address, sink, f"{folder}/state", rekey]
            process = subprocess.Popen(words, stderr=log)
            yield process.pid
            end_process(process, 20.0)

    return running


ENGINES = {
    "firstlight stream": worker,
    "Quix Streams, topic keyed by object": quix("none"),
    "Quix Streams, keyed by the runner (`group_by`)": quix("group_by"),
}


def rate(broker: LocalBroker, sink: str, pid: int, n_alerts: int) -> dict[str, Any]:
    """Results per second in the window, and the process's time per alert over all."""
    reader = Results(broker, sink, PARTITIONS)
    times, names = [], set()
    for now, value in reader.read(n_alerts, 600.0):
        record = json.loads(value)
        names.add((record["object"], record["alert"]))
        times.append(now)
    reader.close()
    if len(names) != n_alerts:
        raise SystemExit(f"{sink}: {len(names)} results for {n_alerts} alerts")
    start, end = (int(part * n_alerts) for part in WINDOW)
    return {
        "alerts_per_s": round((end - start) / (times[end] - times[start])),
        "cpu_us_per_alert": round(1e6 * cpu_seconds(pid) / n_alerts),  # with start and compilation
    }


def main() -> None:
    words = parser(__doc__, "engines", data=True, turns=None)
    words.add_argument("--alerts", type=int, default=10_000)
    words.add_argument("--repeats", type=int, default=3)
    args = words.parse_args()
    night = Night(args.alerts, PACKET_BYTES, args.source)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ENGINES}
    with broker_with() as broker:
        broker.create_topic("alerts", PARTITIONS, TOPIC)
        send(broker, "alerts", night.packets())
        for turn in range(args.repeats):
            for number, (name, engine) in enumerate(ENGINES.items()):
                sink = f"results-{number}-{turn}"
                broker.create_topic(sink, PARTITIONS)
                broker.create_topic(f"{sink}.rejects", 1)
                with engine(broker, sink) as pid:
                    runs[name].append(rate(broker, sink, pid, args.alerts))
                print(name, runs[name][-1], flush=True)
    figures = {
        name: {"alerts_per_s": round(float(np.median([run["alerts_per_s"] for run in own]))), "runs": own}
        for name, own in runs.items()
    }
    about = result(
        "alerts per second of one process over the trial broker, by engine; see benchmarks/engines.py",
        *("quixstreams", "rocksdict", "confluent-kafka", "numba"),
    )
    write(args.out, about | {"bundle": BUNDLE, "alerts": args.alerts, "engines": figures})


if __name__ == "__main__":
    main()
