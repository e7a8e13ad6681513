"""Objects per second of `firstlight classify` on whole real light curves, from Parquet to Parquet.

Run ``python benchmarks/classify.py [--bundle FOLDER] [--source FOLDER]``; it writes
``benchmarks/results/classify.json``. Timed are the command (with the start of the process,
reading and writing) and the library alone on one and on two threads. In the same run: reading
the file (the limit), and scikit-learn's gradient boosting with as many classes, rounds and
rows, which a plain reproduction of the paper would need for the last step alone.
"""

from _harness import parser, result, take_turns, write

# isort: split
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier

from firstlight import Pipeline, load_plasticc, write_curves
from firstlight.data import read_curves

PEER_ROUNDS, PEER_CLASSES, PEER_TRAIN = 150, 14, 1000


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
    words = parser(__doc__, "classify", data=True)
    words.add_argument("--bundle", type=Path, help="default: the one that ships with firstlight")
    args = words.parse_args()
    curves, _ = load_plasticc(args.source)
    pipeline = Pipeline.load(args.bundle)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "curves.parquet"
        write_curves(curves, path)
        contestants: dict[str, Callable[[], object]] = {
            "the command, start to end, two threads": lambda: command(
                path, Path(folder) / "out.parquet", args.bundle
            ),
            "the library, two threads": lambda: pipeline.predict(curves, jobs=2),
            "the library, one thread": lambda: pipeline.predict(curves, jobs=1),
            "limit: reading the Parquet file": lambda: read_curves(path),
            "peer: scikit-learn gradient boosting alone, latents given": peer(len(curves)),
        }
        times = take_turns(contestants, args.turns)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "seconds": round(one.median, 3),
            "objects_per_second": round(len(curves) / one.median, 1),
        }
        for name, one in times.items()
    ]
    what = f"classify {len(curves):,} whole light curves, {curves.offsets[-1]:,} observations"
    table = result(
        f"{what}; medians of {args.turns}",
        *("numpy", "numba", "scikit-learn"),
        bundle=pipeline.bundle_version,
        preset=pipeline.config.name,
        rows=rows,
    )
    write(args.out, table)


if __name__ == "__main__":
    main()
