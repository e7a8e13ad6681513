"""Work whose time and memory are measured: each in a process of its own, with one thread.

Memory is the peak of the process's resident set; a process that did other things before
would tell of those.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from firstlight.data import read_curves
from firstlight.errors import DataError
from firstlight.pipeline import Pipeline, load_preset

__all__ = ["measured", "peak_memory"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_CALL = "import sys; from firstlight_paper.parts.cost_child import main; main(*sys.argv[1:])"

#: What each stage of a training is counted as, by the beginning of its name.
_STAGES = {
    "encoder": "encoder",
    "templates": "features",
    "training rows": "features",
    "validation rows": "features",
    "classifier": "classifier",
    "calibration": "calibration",
}


def measured(task: str, folder: Path, **settings: Any) -> dict[str, Any]:
    """Run one task in a fresh process.

    Parameters
    ----------
    task : {"train", "classify"}
        What to do.
    folder : Path
        Where question and answer are kept.
    **settings
        What the task is told; JSON must be able to hold it.

    Returns
    -------
    dict
        What the task tells.

    Raises
    ------
    DataError
        If the process fails; the message ends with what it said last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    question, answer = folder / "question.json", folder / "answer.json"
    question.write_text(json.dumps({"task": task} | settings), encoding="utf-8")
    environment = os.environ | dict.fromkeys(_THREADS, "1")
    command = [sys.executable, "-c", _CALL, str(question), str(answer)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DataError(f"measuring {task} failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def peak_memory() -> float:
    """Largest resident set of this process so far [MB]; of its own, not of the process it came from."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        # getrusage would count what the parent held when it made this process
        return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024.0
    except (OSError, StopIteration):
        import resource

        unit = 1024.0**2 if sys.platform == "darwin" else 1024.0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main(question: str, answer: str) -> None:
    """Do what the file `question` asks, and write the file `answer`."""
    settings = json.loads(Path(question).read_text(encoding="utf-8"))
    task = {"train": _train, "classify": _classify}[settings.pop("task")]
    Path(answer).write_text(json.dumps(task(settings)), encoding="utf-8")


# --- tasks ----------------------------------------------------------------------


def _train(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train a preset on the objects of a file."""
    curves = read_curves(settings["curves"])
    labels = np.array(json.loads(Path(settings["labels"]).read_text(encoding="utf-8")))
    before, stages = peak_memory(), _Stages()
    wall = time.perf_counter()
    Pipeline(load_preset(settings["preset"])).fit(
        curves, labels, seed=settings["seed"], jobs=1, progress=stages.report
    )
    return {
        "n_objects": len(curves),
        "n_observations": len(curves.mjd),
        "cpu": stages.total(),
        "wall": time.perf_counter() - wall,
        "stages": stages.spent,
        "memory_before": before,
        "memory": peak_memory(),
    }


class _Stages:
    """Processor time of each stage: what passed since the report before is the reporter's."""

    def __init__(self) -> None:
        self.begin = self.last = time.process_time()
        self.spent: dict[str, float] = {}

    def report(self, stage: str, _: float) -> None:
        name = next((kind for start, kind in _STAGES.items() if stage.startswith(start)), "other")
        now = time.process_time()
        self.spent[name] = self.spent.get(name, 0.0) + now - self.last
        self.last = now

    def total(self) -> float:
        return time.process_time() - self.begin


def _classify(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Classify ever more objects of a file with a bundle."""
    curves = read_curves(settings["curves"])
    before = peak_memory()
    start = time.process_time()
    pipeline = Pipeline.load(settings["bundle"])
    load = time.process_time() - start
    start = time.process_time()
    pipeline.predict(curves.take([0]), jobs=1)  # compiled code is read from its cache here
    first = time.process_time() - start
    steps = []
    for n in settings["sizes"]:
        part = curves.take(np.arange(n))
        seconds, wall = _fastest(lambda part=part: pipeline.predict(part, jobs=1), 5 if n <= 100 else 1)  # type: ignore[misc]
        steps.append({"n_objects": n, "cpu": seconds, "wall": wall, "memory": peak_memory()})
    return {"load": load, "first": first, "memory_before": before, "steps": steps}


def _fastest(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least processor and wall-clock time of several runs [s]: other programs only add to it."""
    times = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(t[0] for t in times), min(t[1] for t in times)
