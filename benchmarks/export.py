"""The ONNX graph of a bundle beside the pipeline: equal probabilities, and processor time per object.

``python benchmarks/export.py`` writes ``benchmarks/results/export.json``. Both begin at the columns of
`Pipeline.inputs` and end at calibrated probabilities, in one thread.
"""

from _harness import parser, result, take_turns, write

# isort: split
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from firstlight import Pipeline, load_plasticc
from firstlight.pipeline.export import CLASSIFIER, export_onnx
from firstlight.preprocess import preprocess

BUNDLES = ("fast", "default")
HOLES = 0.3  # fraction of the columns without a value in the second comparison
SINGLE = 200  # objects that are classified one by one


def main() -> None:
    words = parser(__doc__, "export", data=True)
    words.add_argument("--objects", type=int, default=2000)
    args = words.parse_args()
    curves, _ = load_plasticc(args.source)
    rng = np.random.default_rng(0)
    curves = curves.take(np.sort(rng.choice(len(curves), args.objects, replace=False)))
    found = {name: compare(Pipeline.load(name), curves, rng, args.turns) for name in BUNDLES}
    what = "the classifier's ONNX graph beside firstlight: equality, and processor time per object [us]"
    about = result(what, "onnx", "onnxruntime", "numba", "numpy")
    write(args.out, about | {"objects": args.objects, "bundles": found})


def compare(pipeline: Pipeline, curves: Any, rng: np.random.Generator, turns: int) -> dict[str, Any]:
    """Largest difference of a probability, and times of both, of one bundle."""
    ready = preprocess(curves, pipeline.config.preprocess)
    X, redshift = pipeline.inputs(curves), ready.redshift.astype(np.float64)
    phase = ready.last_phase.astype(np.float64)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        size = {path.name: path.stat().st_size for path in export_onnx(pipeline, folder)}
        session = onnxruntime.InferenceSession(Path(folder) / CLASSIFIER, options)

    def graph(columns: Any, rows: slice) -> Any:
        given = {"inputs": columns[rows], "redshift": redshift[rows], "phase": phase[rows]}
        return session.run(["probabilities"], given)[0]

    def own(columns: Any, rows: slice) -> Any:
        return pipeline.calibrated(columns[rows], redshift[rows], phase[rows])

    every = slice(None)
    holes = np.where(rng.random(X.shape) < HOLES, np.nan, X).astype(np.float32)
    differences = {
        name: float(np.abs(graph(columns, every) - own(columns, every)).max())
        for name, columns in (("as they are", X), ("with missing columns", holes))
    }
    calls: dict[str, Callable[[], object]] = {}
    for name, call in (("firstlight", own), ("onnxruntime", graph)):
        calls[f"{name}, together"] = partial(call, X, every)
        calls[f"{name}, one by one"] = partial(one_by_one, partial(call, X))
    times = take_turns(calls, turns)
    us = {
        name: round(1e6 * spent.median_cpu / (SINGLE if "one by one" in name else len(X)), 1)
        for name, spent in times.items()
    }
    return {"largest_difference": differences, "us_per_object": us, "bytes": size}


def one_by_one(call: Callable[[slice], object]) -> None:
    """Call it for one object after another."""
    for k in range(SINGLE):
        call(slice(k, k + 1))


if __name__ == "__main__":
    main()
