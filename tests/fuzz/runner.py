"""Campaigns: mutated inputs for one target, each in a child process that may crash, hang or take memory.

The parent decides what counts as a failure: an exception that the target does not document, an end by
signal, a case over its time, or a peak of memory over its bound. Case `k` of a target depends on the seed
and on `k` alone, so that each failure can be repeated: ``python -m tests.fuzz TARGET --seed S --case K``.
"""

import importlib
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

ROOT = Path(__file__).parent.parent.parent
TARGETS = ("alerts", "bundles", "containers", "curves", "schemas", "states")
START_S = 900.0  # wall clock for the preparation of a target; a cold cache compiles for minutes
CASE_S = 600.0  # wall clock of one case; its CPU time is bounded far below, whatever else the machine does
ADDRESS_SPACE = 16 << 30  # bytes; protects the machine, the bounds of the targets are far lower


class Target(Protocol):
    """One kind of input, and its failures."""

    documented: tuple[type[Exception], ...]  # errors that an input may raise
    case_s: int  # most CPU time of one case [s]
    case_bytes: int  # most growth of the peak of memory by one case

    def past(self) -> list[Callable[[], None]]:
        """Inputs that once failed."""
        ...

    def case(self, rng: np.random.Generator) -> Callable[[], None]:
        """Make one mutated input; the call that is returned uses it."""
        ...


@dataclass
class Report:
    """Result of one campaign."""

    target: str
    n_cases: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        head = f"{self.target}: {self.n_cases} cases in {self.seconds:.0f} s, {len(self.failures)} failure(s)"
        return "\n".join([head, *(f"  {failure}" for failure in self.failures)])


def load_target(name: str, folder: Path) -> Target:
    """The target of that name, with a folder for its files."""
    target: Target = importlib.import_module(f"tests.fuzz.{name}").make(folder)
    return target


# --- the child ------------------------------------------------------------------


def serve(name: str, folder: Path, seed: int) -> None:
    """Run the cases whose numbers arrive on stdin; one answer each on stdout. Negative: a past finding."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing else writes among the answers
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    target = load_target(name, folder)
    out.write(f"ready {len(target.past())}\n")
    out.flush()
    for line in sys.stdin:
        out.write(f"{judge(target, seed, int(line))}\n")
        out.flush()


def judge(target: Target, seed: int, number: int) -> str:
    """``ok``, or why the case failed, on one line."""
    rng = np.random.default_rng([seed, max(number, 0)])
    run = target.past()[-1 - number] if number < 0 else target.case(rng)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu, before = int(used.ru_utime + used.ru_stime), _start_of_peak()
    resource.setrlimit(resource.RLIMIT_CPU, (cpu + 1 + target.case_s, resource.RLIM_INFINITY))  # then SIGXCPU
    try:
        run()
    except target.documented:
        pass
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]!a} at {Path(place.filename).name}:{place.lineno}"
    grown = _memory("VmHWM") - before
    return "ok" if grown <= target.case_bytes else f"memory grew by {grown >> 20} MiB"


def _start_of_peak() -> int:
    """Memory [byte] in use now, from which the peak is counted from here on (Linux; elsewhere 0, always)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    """A size [byte] of this process; that of getrusage would begin with the parent's."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    return 0


# --- the parent -----------------------------------------------------------------


class Child:
    """A process that runs cases."""

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        words = ["-m", "tests.fuzz", name, "--serve", "--seed", str(seed), "--folder", str(folder)]
        self._log = (folder / f"{name}.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        found = self._answer(START_S)
        if not found.startswith("ready "):
            self.close()
            raise RuntimeError(f"target {name} does not start ({found}); see {folder}/{name}.log")
        self.n_past = int(found.split()[1])

    def run(self, number: int) -> str:
        """Answer for one case; after anything but an exception the process is gone."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n".encode())
        self._process.stdin.flush()
        return self._answer(CASE_S)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                with suppress(BrokenPipeError):  # unread input of a process that is gone
                    pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.decode().rstrip("\n"))
        self._lines.put("")

    def _answer(self, seconds: float) -> str:
        try:
            found = self._lines.get(timeout=seconds)
        except queue.Empty:
            self._process.kill()
            self._process.wait()
            return f"no answer within {seconds:g} s"
        if found:
            return found
        code = self._process.wait()
        return f"the process ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with {code}"


def environment() -> dict[str, str]:
    """Environment of the children: indices checked in compiled code, and a cache of its own for it."""
    cache = Path(os.environ.get("FIRSTLIGHT_FUZZ_CACHE", ROOT / ".pytest_cache" / "fuzz"))
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    bounds = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(cache / "numba")}
    return os.environ | threads | bounds | {"PYTHONPATH": paths, "FIRSTLIGHT_FUZZ_CACHE": str(cache)}


def campaign(
    name: str,
    folder: Path,
    *,
    seed: int = 0,
    seconds: float = np.inf,
    cases: int | None = None,
    first: int = 0,
) -> Report:
    """Run the past findings and then mutated inputs, until the time or the number of cases is used up."""
    folder.mkdir(parents=True, exist_ok=True)
    report = Report(name)
    child = Child(name, folder, seed)
    started = time.monotonic()
    numbers = [*range(-1, -1 - child.n_past, -1)] if first == 0 else []
    try:
        while numbers or (
            time.monotonic() - started < seconds
            and (cases is None or first < cases)
            and len(report.failures) < 20
        ):
            if numbers:
                number = numbers.pop(0)
            else:
                number, first = first, first + 1
            if not child.is_alive:
                child.close()
                child = Child(name, folder, seed)
            answer = child.run(number)
            report.n_cases += 1
            if answer != "ok":
                what = f"past finding {-number}" if number < 0 else f"--seed {seed} --case {number}"
                report.failures.append(f"{name} {what}: {answer}")
    finally:
        child.close()
    report.seconds = time.monotonic() - started
    return report
