"""Shared by all benchmarks: one math thread, timing in turns, machine and versions, the result file.

Import it before numpy: math libraries read the number of threads when they load.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
#: Pathspecs of git: changes outside of the results.
CHANGES = (".", ":!benchmarks/results", ":!docs/results")
TURNS = 5
LINE = 200  # characters of a list or table in a result file that is written on one line


def parser(doc: str, name: str, *, data: bool = False, turns: int | None = TURNS) -> argparse.ArgumentParser:
    """Options of every benchmark: ``--out``, ``--source`` if it reads PLAsTiCC, ``--turns`` unless None."""
    words = argparse.ArgumentParser(description=doc.splitlines()[0])
    words.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", help="result, JSON")
    if turns is not None:
        words.add_argument("--turns", type=int, default=turns, help="timed repeats of every contestant")
    if data:
        words.add_argument(
            "--source", type=Path, help="folder with the PLAsTiCC training set; default: cache"
        )
    return words


@dataclass
class Times:
    """Times of one contestant, one per turn [s]."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median wall time [s]."""
        return statistics.median(self.wall)

    @property
    def median_cpu(self) -> float:
        """Median processor time [s]: other work on the machine lengthens it less than the wall time."""
        return statistics.median(self.cpu)


def take_turns(contestants: Mapping[str, Callable[[], object]], turns: int = TURNS) -> dict[str, Times]:
    """Time all contestants alternately, so that they share the machine's slow moments.

    One turn before the first compiles and warms up; it is not counted.
    """
    times = {name: Times() for name in contestants}
    for turn in range(turns + 1):
        for name, call in contestants.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            call()
            if turn:
                times[name].wall.append(time.perf_counter() - start)
                times[name].cpu.append(time.process_time() - start_cpu)
    return times


def machine() -> dict[str, Any]:
    """Processor, cores, load before the run, system and Python."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def versions(*libraries: str) -> dict[str, str | None]:
    """Version of each library; None if it is not installed."""
    found: dict[str, str | None] = {}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def commit() -> str:
    """Commit of the checkout, with ``-dirty`` after local changes; see `provenance.commit` outside of one.

    New results are no change: one command may write several of them.
    """
    if not (ROOT / ".git").exists():
        from firstlight import provenance

        return provenance.commit()
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *CHANGES)
    return f"{head}-dirty" if changed else head


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def result(what: str, *libraries: str, **figures: Any) -> dict[str, Any]:
    """Head of a result file (its subject, version, commit, machine, libraries) and its figures."""
    import firstlight

    return {
        "what": what,
        "version": firstlight.__version__,
        "commit": commit(),
        "machine": machine(),
        "libraries": versions(*libraries),
        **figures,
    }


def write(path: Path, table: Mapping[str, Any], *, show: bool = True) -> None:
    """Write a result file and print it."""
    text = as_text(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    if show:
        print(text)


def as_text(value: Any, depth: int = 0) -> str:
    """JSON with one line per list or table that is short or has no other inside, so that changes are seen."""
    flat = json.dumps(value)
    if not isinstance(value, Mapping | list | tuple):
        return flat
    items = value.values() if isinstance(value, Mapping) else value
    has_inner = any(isinstance(item, Mapping | list | tuple) for item in items)
    if not value or (depth and (len(flat) <= LINE or not has_inner)):
        return flat
    inner = [as_text(item, depth + 1) for item in items]
    if isinstance(value, Mapping):
        inner = [f"{json.dumps(str(key))}: {text}" for key, text in zip(value, inner, strict=True)]
    step = "\n" + " " * (depth + 1)
    return flat[0] + step + f",{step}".join(inner) + "\n" + " " * depth + flat[-1]
