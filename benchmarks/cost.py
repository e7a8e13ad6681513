"""Time and memory of training and classifying by number of objects, each in a process with one thread.

Run ``python benchmarks/cost.py [--source FOLDER] [--quick]``; it writes ``cost-benchmark.json`` among the
results of the reproduction (``--out``), whose section on cost quotes it. Processor time is what counts,
since it hardly depends on what else the machine does; memory is the peak of the process's resident set.
"""

from _harness import machine, parser, write

# isort: split
import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from firstlight import Pipeline, load_plasticc, load_preset, write_curves
from firstlight.data import read_curves

OUT = Path(__file__).parent.parent / "docs" / "results" / "reproduction" / "data" / "cost-benchmark.json"
PRESET, BUNDLES, SEED = "quick", ("default", "fast"), 0
TRAIN, CLASSIFY = (500, 1000, 2000, 4000), (1, 10, 100, 1000, 7800)

#: Stage of a training by the beginning of its name in the progress.
STAGES = {
    "encoder": "encoder",
    "templates": "features",
    "training rows": "features",
    "validation rows": "features",
    "classifier": "classifier",
    "calibration": "calibration",
}


def peak_memory() -> float:
    """Largest resident set of this process so far [MB], without that of its parent."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024.0


def train(curves_file: Path, labels_file: Path) -> dict[str, Any]:
    """Train the preset on the objects of a file."""
    curves, labels = read_curves(curves_file), np.array(json.loads(labels_file.read_text(encoding="utf-8")))
    before, wall = peak_memory(), time.perf_counter()
    begin = last = time.process_time()
    spent: dict[str, float] = {}

    def progress(stage: str, _: float) -> None:
        nonlocal last
        name = next((kind for start, kind in STAGES.items() if stage.startswith(start)), "other")
        now = time.process_time()
        spent[name] = spent.get(name, 0.0) + now - last
        last = now

    Pipeline(load_preset(PRESET)).fit(curves, labels, seed=SEED, jobs=1, progress=progress)
    times = {"cpu": time.process_time() - begin, "wall": time.perf_counter() - wall, "stages": spent}
    counts = {"n_objects": len(curves), "n_observations": len(curves.mjd)}
    return counts | times | {"memory_before": before, "memory": peak_memory()}


def classify(curves_file: Path, bundle: str) -> dict[str, Any]:
    """Classify ever more objects of a file with a bundle."""
    curves = read_curves(curves_file)
    before, start = peak_memory(), time.process_time()
    pipeline = Pipeline.load(bundle)
    load = time.process_time() - start
    pipeline.predict(curves.take([0]), jobs=1)  # compiled code is read from its cache here
    steps = []
    for n in (n for n in CLASSIFY if n <= len(curves)):
        part = curves.take(np.arange(n))
        cpu, wall = fastest(lambda part=part: pipeline.predict(part, jobs=1), 5 if n <= 100 else 1)  # type: ignore[misc]
        steps.append({"n_objects": n, "cpu": cpu, "wall": wall, "memory": peak_memory()})
    return {"load": load, "memory_before": before, "steps": steps}


def fastest(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least processor and wall-clock time of several runs [s]: other programs only add to it."""
    times = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(t[0] for t in times), min(t[1] for t in times)


def measured(*arguments: object) -> Any:
    """Run one task of this file in a new process."""
    command = [sys.executable, __file__, "--task", *map(str, arguments)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    words = parser(__doc__, "cost", data=True, turns=None)
    words.set_defaults(out=OUT)
    words.add_argument("--quick", action="store_true", help="few objects")
    words.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    options = words.parse_args()
    if options.task:
        task, curves, argument = options.task
        result = train(Path(curves), Path(argument)) if task == "train" else classify(Path(curves), argument)
        print(json.dumps(result))
        return
    survey, truth = load_plasticc(options.source)
    labels = truth.labels_of(survey.object_id)
    order = np.random.default_rng(SEED).permutation(len(survey))
    found: dict[str, Any] = {
        "machine": "{cores} cores, {cpu}, Python {python}".format(**machine()),
        "preset": PRESET,
        "training": [],
        "classifying": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        curves, names = Path(folder) / "curves.parquet", Path(folder) / "labels.json"
        for n in TRAIN[:2] if options.quick else TRAIN:
            write_curves(survey.take(order[:n]), curves)
            names.write_text(json.dumps(labels[order[:n]].tolist()), encoding="utf-8")
            found["training"].append(measured("train", curves, names))
        write_curves(survey.take(order[: CLASSIFY[-2 if options.quick else -1]]), curves)
        for bundle in BUNDLES:
            found["classifying"][bundle] = measured("classify", curves, bundle)
    write(options.out, found)


if __name__ == "__main__":
    main()
