"""Compilation of the kernels that a task needs, before it, in several processes (decision 0152).

numba compiles one function at a time per process, mostly in Python. Here short-lived processes compile
independent functions side by side and leave the machine code in numba's cache, where this process finds it.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numba
from numba import types
from numba.core import sigutils
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target

from firstlight._types import Progress, no_progress
from firstlight._version import __version__
from firstlight.kernels.decorator import LOGGER

try:
    import fcntl
except ImportError:  # Windows: two first uses at once both compile
    fcntl = None  # type: ignore[assignment]

_TABLE = Path(__file__).with_name("signatures.json")
_SMALL = 600  # bytes of bytecode; a smaller kernel is compiled along with its caller
_MOST = 8  # processes; more find nothing to do
_ready: set[str] = set()  # groups that this process need not look at again
_CHILD = "from firstlight.kernels.compile import serve; serve()"


def compile_kernels(*groups: str, progress: Progress | None = None) -> None:
    """Compile the kernels of some tasks, unless their machine code is on disk already.

    It works in processes of its own, one per core, and returns when they are done. A kernel that cannot
    be compiled here is compiled at its first call. Nothing happens where ``NUMBA_DISABLE_JIT`` is set
    or nothing can be kept.

    Parameters
    ----------
    *groups : {"base", "nights", "features", "stream"}
        Kernels of every bundle, of bundles that read a Gaussian process of nightly points, of bundles that
        read features, of the stream.
    progress : callable, optional
        Called with the name of this stage and the fraction of it that is done.
    """
    if numba.config.DISABLE_JIT or not sys.executable or _ready.issuperset(groups):
        return
    table = _signatures(groups)
    kernels = {name: _find(name) for name in table}
    folders = {kernel.stats.cache_path for kernel in kernels.values()}
    if None in folders:
        return
    folder = Path(min(folders))
    marker = folder / f"firstlight-{'-'.join(groups)}-{_fingerprint(kernels)}.compiled"
    if not marker.exists():
        try:
            with _locked(folder / "firstlight.lock"):
                if not marker.exists():
                    _remove_stale(kernels)
                    _compile(_jobs(kernels, table), groups, progress or no_progress)
                    marker.touch()
        except OSError as error:
            LOGGER.warning("kernels are not compiled ahead of their use: %s", error)
    _ready.update(groups)


def folder_of_code() -> Path | None:
    """Folder above all compiled code, or None where none can be kept."""
    if numba.config.DISABLE_JIT:
        return None
    found = _find("firstlight.kernels.search:n_below").stats.cache_path
    return Path(numba.config.CACHE_DIR or found) if found else None


# --- which kernels ---------------------------------------------------------------


@dataclass
class _Job:
    """A kernel with all its signatures, and the kernels that must be compiled before it."""

    name: str
    signatures: list[str]
    size: int  # of the bytecode, its callees' included: cost follows it
    needs: set[str] = field(default_factory=set)
    rank: int = 0  # size of the longest chain of callers that waits for it, its own included


@cache
def _read_table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(_TABLE.read_text())
    return table


def _signatures(groups: tuple[str, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group in groups:
        for name, signatures in _read_table()[group]["kernels"].items():
            known = found.setdefault(name, [])
            known += [signature for signature in signatures if signature not in known]
    return found


def _find(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def callees(function: Any) -> list[Any]:
    """Kernels that a kernel names in its code."""
    code, names = function.py_func.__code__, function.py_func.__globals__
    found = []
    for name in code.co_names:
        value = names.get(name)
        if isinstance(value, ModuleType):
            found += [getattr(value, other, None) for other in code.co_names]
        found.append(value)
    return [value for value in dict.fromkeys(map(_or_none, found)) if value is not None]


def _or_none(value: Any) -> Any:
    return value if isinstance(value, Dispatcher) else None


def _jobs(kernels: Mapping[str, Any], table: Mapping[str, list[str]]) -> dict[str, _Job]:
    """Kernels worth a job of their own.

    One with several signatures always is, since two processes must not write one function's index at once.
    """
    names = {kernel: name for name, kernel in kernels.items()}
    called: set[Any] = set()
    callers = list(kernels.values())
    while callers:
        for other in set(callees(callers.pop())) - called:
            called.add(other)
            if other not in names:  # numba writes it into its caller; it has no code of its own
                callers.append(other)

    def size(kernel: Any) -> int:
        return len(kernel.py_func.__code__.co_code)

    chosen = {
        name: _Job(name, table[name], size(kernel))
        for name, kernel in kernels.items()
        if kernel not in called or size(kernel) > _SMALL or len(table[name]) > 1
    }
    for name, job in chosen.items():
        open_ends, seen = [kernels[name]], set()
        while open_ends:
            for other in callees(open_ends.pop()):
                if other in seen:
                    continue
                seen.add(other)
                if names.get(other) in chosen:
                    job.needs.add(names[other])
                else:
                    job.size += size(other)
                    open_ends.append(other)

    def rank(name: str) -> int:
        """Size of a kernel and of the longest chain of kernels that wait for it."""
        job = chosen[name]
        if not job.rank:
            waiting = [rank(other) for other in chosen if name in chosen[other].needs]
            job.rank = job.size + max(waiting, default=0)
        return job.rank

    for name in chosen:
        rank(name)
    return chosen


# --- the cache -------------------------------------------------------------------


def _fingerprint(kernels: Mapping[str, Any]) -> str:
    """A digest of the source, the compiler's version and the processor."""
    files = sorted({kernel.py_func.__code__.co_filename for kernel in kernels.values()})
    stamps = [(path, os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in files]
    tools = (__version__, numba.__version__, sys.version)
    target = cpu_target.target_context.codegen().magic_tuple()
    return hashlib.sha256(repr((stamps, tools, target, _read_table())).encode()).hexdigest()[:16]


def _remove_stale(kernels: Mapping[str, Any]) -> None:
    """Remove machine code that is older than its source: numba overwrites it, but not at one stroke."""
    for kernel in kernels.values():
        source = Path(kernel.py_func.__code__.co_filename)
        changed = source.stat().st_mtime
        for old in Path(kernel.stats.cache_path).glob(f"{source.stem}.*.nb[ci]"):
            with contextlib.suppress(FileNotFoundError):
                if old.stat().st_mtime < changed:
                    old.unlink()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; it ends with the process."""
    with open(path, "w", encoding="ascii") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                LOGGER.warning("waiting for another process that compiles the same kernels")
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- the processes ---------------------------------------------------------------


def _compile(jobs: dict[str, _Job], groups: tuple[str, ...], progress: Progress) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    n_processes = min(cores, _MOST, len(jobs))
    seconds = sum(_read_table()[group]["seconds"] for group in groups)
    LOGGER.warning(
        "compiling kernels for the first use, once per installation: about %d s in %d process(es)",
        5 * round(seconds / min(n_processes, 3) / 5) or 5,
        n_processes,
    )
    board = _Board(jobs, progress)
    threads = [threading.Thread(target=_attend, args=(board,), daemon=True) for _ in range(n_processes)]
    for thread in threads:
        thread.start()
    try:
        # Load numba's own parts now: later, another core may be idle.
        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()
        for thread in threads:
            thread.join()
    finally:
        board.close()
    if board.failed:
        LOGGER.warning("%d kernel(s) will be compiled at their first call", len(board.failed))


class _Board:
    """Jobs to do, shared by the threads that attend one process each."""

    def __init__(self, jobs: dict[str, _Job], progress: Progress) -> None:
        self.jobs = jobs
        self.waiting = sorted(jobs, key=lambda name: -jobs[name].rank)
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self.processes: list[subprocess.Popen[str]] = []
        self.closed = False
        self._progress = progress
        self._change = threading.Condition()

    def take(self) -> _Job | None:
        """Next job whose callees are done; None when there is none left."""
        with self._change:
            while not self.closed:
                for name in self.waiting:
                    if self.jobs[name].needs <= self.done:
                        self.waiting.remove(name)
                        return self.jobs[name]
                if not self.waiting:
                    return None
                self._change.wait()
            return None

    def finish(self, job: _Job, succeeded: bool) -> None:
        """Note a job as over; its callers compile it themselves if it failed."""
        with self._change:
            self.done.add(job.name)
            if not succeeded:
                self.failed.add(job.name)
            total = sum(other.size for other in self.jobs.values())
            self._progress("compile kernels", sum(self.jobs[name].size for name in self.done) / total)
            self._change.notify_all()

    def start(self) -> subprocess.Popen[str]:
        """Start a process of this Python with the same import path."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with self._change:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            self.processes.append(process)
        return process

    def close(self) -> None:
        """End the processes; a job under way is lost."""
        with self._change:
            self.closed = True
            self._change.notify_all()
        for process in self.processes:
            process.kill()
            process.communicate()


def _attend(board: _Board) -> None:
    """Hand jobs to one process, one at a time."""
    process: subprocess.Popen[str] | None = None
    while (job := board.take()) is not None:
        answer = ""
        try:
            process = process or board.start()
            assert process.stdin is not None
            assert process.stdout is not None
            print(json.dumps([job.name, job.signatures]), file=process.stdin, flush=True)
            answer = process.stdout.readline()
        except OSError as error:
            LOGGER.debug("%s", error)
        finally:
            board.finish(job, answer.strip() == "done")
        if not answer:  # the process has ended
            process = None


def serve() -> None:
    """Compile the kernels that stdin names, one per line, until it ends; the work of each process."""
    import gc

    answers = sys.stdout
    sys.stdout = sys.stderr
    _compare_flags_quickly()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)  # a compiler makes many objects and few cycles
    for line in sys.stdin:
        _serve_one(line, answers)


def _compare_flags_quickly() -> None:
    """Compare numba's compiler flags by those that were set, before all eighty by their defaults.

    numba looks up every operator of every function by its types and flags, which takes a tenth of the time.
    """
    from numba.core.targetconfig import TargetConfig

    slow_equal = TargetConfig.__eq__

    def quick_hash(flags: Any) -> int:  # numba's own is that of the flags' names
        return hash((type(flags), getattr(flags, "no_cpython_wrapper", None)))

    def quick_equal(flags: Any, other: Any) -> Any:
        """Compare flags of equal keys as dicts; leave other cases to numba."""
        if type(flags) is type(other):
            own, others = flags._values, other._values
            if own.keys() == others.keys():
                return own == others
        return slow_equal(flags, other)

    TargetConfig.__hash__, TargetConfig.__eq__ = quick_hash, quick_equal


def _serve_one(line: str, answers: IO[str]) -> None:
    name, signatures = json.loads(line)
    try:
        for signature in signatures:
            _find(name).compile(parse(signature))
        answer = "done"
    except Exception as error:  # whatever numba raises; the parent compiles it at its first call
        LOGGER.debug("%s: %s", name, error)
        answer = "failed"
    print(answer, file=answers, flush=True)


def loaded() -> dict[str, list[str]]:
    """Signatures of the package's kernels that this process has compiled or loaded, by kernel."""
    found = {}
    for module, content in sorted(sys.modules.items()):
        if module.partition(".")[0] == "firstlight":
            for name, value in sorted(vars(content).items()):
                if isinstance(value, Dispatcher) and value.py_func.__module__ == module and value.overloads:
                    found[f"{module}:{name}"] = sorted(spell(types.Tuple(kinds)) for kinds in value.overloads)
    return found


# --- signatures as text ----------------------------------------------------------


def spell(kind: Any) -> str:
    """A numba type as text that `parse` reads."""
    if isinstance(kind, types.Array):
        flags = ("" if kind.mutable else ", readonly=True") + ("" if kind.aligned else ", aligned=False")
        return f"Array({spell(kind.dtype)}, {kind.ndim}, {kind.layout!r}{flags})"
    if isinstance(kind, types.BaseTuple) and not isinstance(kind, types.BaseNamedTuple):
        return f"Tuple(({', '.join(map(spell, kind))},))"
    if isinstance(kind, types.Literal):  # a constant of the caller
        return f"literal({kind.literal_value!r})"
    return "boolean" if kind == types.boolean else str(kind.name)


def parse(signature: str) -> tuple[Any, ...]:
    """Argument types of a signature, such as ``Tuple((Array(float64, 1, 'C'), int64,))``."""
    arguments, _ = sigutils.normalize_signature(f"({signature},)")
    return tuple(arguments[0])
