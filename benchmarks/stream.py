"""How many alerts a second the worker takes, how late its answers are, and what it needs for that.

Run ``python benchmarks/stream.py [--part PART ...] [--bundle NAME=FOLDER ...]``; each part's
figures go to ``benchmarks/results/stream.json`` as soon as it is done, beside what is there.
About half an hour for all. Everything runs on one machine and shares its cores: a real
Kafka-protocol broker that keeps messages in memory, worker processes as ``firstlight
stream`` starts them (one consumer group, SQLite state on disk, results to Kafka), and who
sends and reads. The alerts are PLAsTiCC's light curves from the middle of their survey, one
alert an observation, in LSST's schema with a year of history, filled up with cutouts.

Parts:

alert
    microseconds an alert of a worker without a broker, by its parts, at batch 1 and 256
store
    reading and writing a state row, in SQLite and in LMDB
throughput
    alerts a second over the broker, from a topic that was filled before
latency
    from appending an alert to holding its result, at 300 alerts a second
broker alone
    the same without a worker between: the broker's own latency grows with what its topics hold
burst
    seconds until 10,000 alerts that come at once are answered
memory
    memory of a worker over a million alerts; also draws ``docs/images/stream-memory.png``
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import firstlight
from streaming import compute, endtoend, soak

OUT = Path(__file__).parent / "results" / "stream.json"
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
    "memory": soak.memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", choices=PARTS, help="default: all")
    parser.add_argument(
        "--bundle", action="append", metavar="NAME=FOLDER", help="default: those that ship with firstlight"
    )
    parser.add_argument("--source", type=Path, help="folder with the PLAsTiCC training set; default: cache")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    bundles: Bundles = {}
    for pair in args.bundle or ["fast=", "default="]:
        name, _, folder = pair.partition("=")
        bundles[name] = Path(folder) if folder else shipped(name)
    for part in args.part or PARTS:
        load, start = os.getloadavg()[0], time.time()
        figures = PARTS[part](bundles, args.source, args.repeats)
        keep(args.out, part, figures | {"load_before": round(load, 2), "took_s": round(time.time() - start)})


def shipped(name: str) -> Path:
    return Path(firstlight.__file__).parent / "models" / name


def keep(out: Path, part: str, figures: dict[str, Any]) -> None:
    """Add one part's figures to what is there."""
    result = json.loads(out.read_text()) if out.exists() else {}
    result |= {
        "what": "alerts of PLAsTiCC in LSST's schema through the stream worker; see benchmarks/stream.py",
        "version": firstlight.__version__,
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}, Python "
        f"{platform.python_version()}",
        "libraries": {name: version(name) for name in ("numpy", "numba", "confluent-kafka", "lmdb")},
        "lsst": LSST,
        part: result.get(part, {}) | figures,  # what another bundle's run has measured stays
    }
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({part: figures}, indent=1), flush=True)


if __name__ == "__main__":
    main()
