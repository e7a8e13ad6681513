"""Throughput, latency and memory of the stream worker.

Run ``python benchmarks/stream.py [--part PART ...] [--bundle NAME=FOLDER ...]``; each part's
figures are added to ``benchmarks/results/stream.json`` when it is done. About half an hour for
all. Everything shares the cores of one machine: a Kafka broker that keeps messages in memory,
worker processes of ``firstlight stream`` (one consumer group, SQLite state on disk, results to
Kafka), producer and consumer. The alerts are PLAsTiCC's light curves from the middle of the
survey, one alert per observation, in LSST's schema with a year of history and cutouts.

Parts:

alert
    microseconds per alert of a worker without a broker, by stage, at batch 1 and 256
store
    reading and writing a state row, in SQLite and in LMDB
throughput
    alerts per second over the broker, from a topic that was filled before
latency
    from sending an alert to receiving its result, at 300 alerts per second
broker alone
    the same without a worker: the broker's own latency grows with the size of its topics
burst
    seconds to process 10,000 alerts that arrive at once
loaded
    alerts per second without a broker, with the histories of up to 200,000 objects in the state
memory
    memory of a worker over a million alerts; also draws ``docs/images/stream-memory.png``
"""

from _harness import commit, machine, parser, versions, write

# isort: split
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import firstlight
from streaming import compute, endtoend, loaded, soak

REPEATS = 3
LSST = {
    "alerts_a_night": 10_000_000,
    "alerts_per_s_mean": 280,
    "alerts_a_visit": 10_000,
    "seconds_between_visits": 37,
}
Bundles = dict[str, Path | None]
PARTS: dict[str, Callable[[Bundles, Path | None, int], dict[str, Any]]] = {
    "alert": compute.alert,
    "store": compute.store,
    "throughput": endtoend.throughput,
    "latency": endtoend.latency,
    "broker alone": endtoend.broker_alone,
    "burst": endtoend.burst,
    "loaded": loaded.loaded,
    "memory": soak.memory,
}


def main() -> None:
    words = parser(__doc__, "stream", data=True, turns=None)
    words.add_argument("--part", action="append", choices=PARTS, help="default: all")
    words.add_argument(
        "--bundle", action="append", metavar="NAME=FOLDER", help="default: those that ship with firstlight"
    )
    words.add_argument("--objects", type=int, default=200_000, help="objects in the state of part loaded")
    words.add_argument("--repeats", type=int, default=REPEATS)
    args = words.parse_args()
    bundles: Bundles = {}
    for pair in args.bundle or ["fast=", "default="]:
        name, _, folder = pair.partition("=")
        bundles[name] = Path(folder) if folder else shipped(name)
    for part in args.part or PARTS:
        load, start = os.getloadavg()[0], time.time()
        run = partial(loaded.loaded, n_objects=args.objects) if part == "loaded" else PARTS[part]
        figures = run(bundles, args.source, args.repeats)
        keep(
            args.out,
            part,
            figures
            | {"load_before": round(load, 2), "took_s": round(time.time() - start), "commit": commit()},
        )


def shipped(name: str) -> Path:
    return Path(firstlight.__file__).parent / "models" / name


def keep(out: Path, part: str, figures: dict[str, Any]) -> None:
    """Add the figures of one part to the result file."""
    result = json.loads(out.read_text()) if out.exists() else {}
    result |= {
        "what": "alerts of PLAsTiCC in LSST's schema through the stream worker; see benchmarks/stream.py",
        "version": firstlight.__version__,
        "machine": machine(),
        "libraries": versions("numpy", "numba", "confluent-kafka", "lmdb"),
        "lsst": LSST,
        part: result.get(part, {}) | figures,  # figures of other bundles stay
    }
    write(out, result)


if __name__ == "__main__":
    main()
