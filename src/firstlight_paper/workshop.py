"""Where a reproduction is computed: items of work, side by side, each kept once it is done.

A part asks `Workshop.map` for the results of several items. Each runs in a process of its
own with one thread, and its result is written to ``OUT/work`` as soon as it is known: a run
that was killed takes up what is there. A result is taken up only if it was made from the
same objects, settings, seed and version.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from firstlight._types import Progress, no_progress
from firstlight._version import __version__
from firstlight.errors import DataError
from firstlight.files import replacing
from firstlight.parallel import side_by_side
from firstlight_paper.objects import Objects, make_objects
from firstlight_paper.scale import Scale

__all__ = ["Bench", "Report", "Workshop", "plain", "read_json", "write_json"]

Report = Progress
Item = TypeVar("Item")
Work = Callable[["Bench", Item, Report], Any]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """All that an item of work needs to know; travels to another process as it is.

    Attributes
    ----------
    folder : Path
        Where the reproduction is written.
    scale : Scale
        How much is computed.
    seed : int
        Seed of every random choice.
    source : Path or None
        Folder with the PLAsTiCC training set; None is the cache.
    snpcc : Path or None
        Folder with the SNPCC light curves, for the new-survey experiment.
    """

    folder: Path
    scale: Scale
    seed: int = 0
    source: Path | None = None
    snpcc: Path | None = None

    @property
    def objects(self) -> Objects:
        """Real and simulated objects; made once a process."""
        return _objects(self.scale, self.seed, self.source)

    def keep(self, stage: str) -> Path:
        """Folder for files of a stage that are too large for JSON."""
        folder = self.folder / "work" / stage
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def rng(self, *key: int | str) -> np.random.Generator:
        """A random stream of its own for each key."""
        words = [part if isinstance(part, int) else int.from_bytes(part.encode()) % 2**63 for part in key]
        return np.random.default_rng([self.seed, *words])


class Workshop:
    """Runs items of work in processes and keeps their results.

    Parameters
    ----------
    bench : Bench
        What every item sees.
    jobs : int
        Processes; 1 works in this one.
    report : callable, optional
        Told a stage's name and the fraction of it that is done.
    """

    def __init__(self, bench: Bench, jobs: int = 1, report: Report | None = None) -> None:
        self.bench = bench
        self.jobs = jobs
        self.report: Report = report or no_progress

    def map(self, stage: str, work: Work[Item], items: Mapping[str, Item]) -> dict[str, Any]:
        """Results of ``work(bench, item, report)`` for every item, computed where not at hand.

        Parameters
        ----------
        stage : str
            Names the folder of the results and the bar of the progress.
        work : callable
            A function of a module (it travels by name). Returns what JSON can hold; NaN
            and infinity become null.
        items : mapping of str to anything
            Name of each item (a file name) to what distinguishes it; its repr is part of
            the result's identity, so that changed settings are computed anew.

        Returns
        -------
        dict of str to JSON
            In the order of `items`.
        """
        identity = {name: self._identity(stage, item) for name, item in items.items()}
        places = {name: self.bench.keep(stage) / f"{name}.json" for name in items}
        results = {name: _stored(places[name], identity[name]) for name in items}
        missing = {name: item for name, item in items.items() if results[name] is None}
        done = {name: float(name not in missing) for name in items}

        def report(name: str, fraction: float) -> None:
            done[name] = fraction
            self.report(stage, sum(done.values()) / max(len(done), 1))

        self.report(stage, sum(done.values()) / max(len(done), 1))
        for name, result in self._compute(work, missing, report):
            results[name] = {"identity": identity[name], "result": plain(result)}
            write_json(places[name], results[name])
            report(name, 1.0)
        return {name: results[name]["result"] for name in items}  # type: ignore[index]

    def _identity(self, stage: str, item: object) -> str:
        parts = (
            __version__,
            stage,
            repr(item),
            repr(self.bench.scale),
            str(self.bench.seed),
            self.bench.objects.fingerprint,
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _compute(
        self, work: Work[Item], items: Mapping[str, Item], report: Report
    ) -> Iterator[tuple[str, Any]]:
        if self.jobs == 1 or len(items) < 2:
            for name, item in items.items():
                yield name, work(self.bench, item, lambda _, done, name=name: report(name, done))  # type: ignore[misc]
            return
        todo = {name: (work, self.bench, item) for name, item in items.items()}
        yield from side_by_side(_run, todo, self.jobs, progress=lambda name, _, done: report(name, done))


# --- JSON -----------------------------------------------------------------------


def plain(value: Any) -> Any:
    """The same, as JSON can hold it: arrays as lists, six digits, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def read_json(path: Path) -> Any:
    """One JSON document.

    Raises
    ------
    DataError
        If the file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; delete it, and it is made anew") from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document as a whole or not at all."""
    with replacing(path) as part:
        part.write_text(json.dumps(plain(value), indent=1, allow_nan=False) + "\n", encoding="utf-8")


# --- private --------------------------------------------------------------------


@lru_cache(maxsize=1)
def _objects(scale: Scale, seed: int, source: Path | None) -> Objects:
    return make_objects(scale, seed, source)


def _stored(path: Path, identity: str) -> dict[str, Any] | None:
    """A result that is at hand and of the same identity."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent, or torn by hand: computed anew
        return None
    return found if isinstance(found, dict) and found.get("identity") == identity else None


def _run(todo: tuple[Work[Item], Bench, Item], report: Report) -> Any:
    work, bench, item = todo
    return work(bench, item, report)
