"""Objects a second of `firstlight classify` on whole real light curves, from Parquet to Parquet.

Run ``python benchmarks/classify.py [--bundle FOLDER] [--source FOLDER]``; it writes
``benchmarks/results/classify.json``. The command is timed as its user sees it (start of
the process, reading, writing and all), and the library alone with warm code on one and on
two threads. Beside them, in the same run: how fast the file can be read at all (the
limit), and scikit-learn's gradient boosting on the same number of classes, rounds and
rows, which a straightforward reproduction of the paper would call for the last step alone.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier

import firstlight
from firstlight import Pipeline, load_plasticc, write_curves
from firstlight.data import read_curves

OUT = Path(__file__).parent / "results" / "classify.json"
REPEATS = 3
PEER_ROUNDS, PEER_CLASSES, PEER_TRAIN = 150, 14, 1000


def seconds(function: Callable[[], object]) -> float:
    """Median wall time of repeats."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def command(curves: Path, out: Path, bundle: Path | None) -> None:
    words = [sys.executable, "-m", "firstlight", "classify", str(curves), "--out", str(out)]
    subprocess.run([*words, *(["--bundle", str(bundle)] if bundle else [])], check=True, capture_output=True)


def peer(n_objects: int) -> Callable[[], object]:
    """scikit-learn's boosting on six columns, as the paper uses it; fitted on noise, timed on prediction."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(PEER_TRAIN, 6))
    y = np.arange(PEER_TRAIN) % PEER_CLASSES
    model = GradientBoostingClassifier(n_estimators=PEER_ROUNDS, max_depth=4, random_state=0).fit(X, y)
    rows = rng.normal(size=(n_objects, 6))
    return lambda: model.predict_proba(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="default: the one that ships with firstlight")
    parser.add_argument("--source", type=Path, help="folder with the PLAsTiCC training set; default: cache")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, _ = load_plasticc(args.source)
    pipeline = Pipeline.load(args.bundle)
    pipeline.predict(curves.take(np.arange(64)), jobs=1)  # compile, or load compiled code
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "curves.parquet"
        write_curves(curves, path)
        timed: dict[str, float] = {
            "the command, start to end, two threads": seconds(
                lambda: command(path, Path(folder) / "out.parquet", args.bundle)
            ),
            "the library, two threads": seconds(lambda: pipeline.predict(curves, jobs=2)),
            "the library, one thread": seconds(lambda: pipeline.predict(curves, jobs=1)),
            "limit: reading the Parquet file": seconds(lambda: read_curves(path)),
            "peer: scikit-learn gradient boosting alone, latents given": seconds(peer(len(curves))),
        }
    rows: list[dict[str, Any]] = [
        {"name": name, "seconds": round(value, 3), "objects_per_second": round(len(curves) / value, 1)}
        for name, value in timed.items()
    ]
    result = {
        "what": f"classify {len(curves):,} whole light curves, {curves.offsets[-1]:,} observations; "
        f"medians of {REPEATS}",
        "version": firstlight.__version__,
        "bundle": pipeline.bundle_version,
        "preset": pipeline.config.name,
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}, Python "
        f"{platform.python_version()}, load before {os.getloadavg()[0]:.1f}",
        "rows": rows,
    }
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    for row in rows:
        print(f"{row['objects_per_second']:>12,.0f} objects/s  {row['name']}")


if __name__ == "__main__":
    main()
