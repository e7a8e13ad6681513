"""Run the parts of a reproduction, one after the other, and join what is there into one document.

Each part's JSON is written as soon as it is done (``OUT/parts/NAME.json``); ``reproduction.json``
holds all that were made from the same objects, scale, seed and version. A part that fails
leaves the others alone and is named at the end.
"""

import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from firstlight._version import __version__
from firstlight.errors import FirstlightError, PartsFailedError, SettingsError
from firstlight.experiments.fold import code_digest
from firstlight_paper.objects import PAPER_CLASSES, SIMULATED_CLASSES
from firstlight_paper.parts import PARTS
from firstlight_paper.section import Part
from firstlight_paper.shared import encode_folds, our_folds
from firstlight_paper.workshop import Bench, Report, Workshop, plain, read_json, write_json

__all__ = ["DOCUMENT", "choose_parts", "join", "place", "reproduce"]

#: Name of the joined document in the output folder.
DOCUMENT = "reproduction.json"

_STAGES: dict[str, Callable[[Workshop], Any]] = {"encode": encode_folds, "ours": our_folds}


def choose_parts(only: Sequence[str]) -> tuple[Part, ...]:
    """The parts of the given names, in the order of the paper; all of them where none is named.

    A name also stands for all parts whose key begins with it: ``limitations`` is six parts.

    Raises
    ------
    SettingsError
        If a name is unknown.
    """
    chosen: set[str] = set()
    for name in only:
        found = {part.name for part in PARTS if name == part.name or part.key.split(".")[0] == name}
        if not found:
            known = ", ".join([*(part.name for part in PARTS), "limitations"])
            raise SettingsError(f"no part is named {name!r}; parts: {known}")
        chosen |= found
    return tuple(part for part in PARTS if not only or part.name in chosen)


def reproduce(
    bench: Bench, *, only: Sequence[str] = (), jobs: int = 1, progress: Report | None = None
) -> dict[str, Any]:
    """Compute parts of the reproduction and join all that are there.

    Parameters
    ----------
    bench : Bench
        Folder, scale and seed. What its folder holds already is not computed again.
    only : sequence of str
        Names of the parts to compute; all by default.
    jobs : int
        Processes side by side.
    progress : callable, optional
        Told a stage's name and the fraction of it that is done.

    Returns
    -------
    dict
        As from `join`.

    Raises
    ------
    SettingsError
        If a part's name is unknown.
    PartsFailedError
        If parts failed; the others are computed and joined first.
    """
    parts = choose_parts(only)
    workshop = Workshop(bench, jobs, progress)
    failed: dict[str, FirstlightError] = {}
    for part in parts:
        try:
            _run_part(part, workshop)
        except FirstlightError as error:
            failed[part.name] = error
        write_json(bench.folder / DOCUMENT, join(bench))
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise PartsFailedError(f"{len(failed)} of {len(parts)} parts failed, the others are done: {reasons}")
    return join(bench)


def join(bench: Bench) -> dict[str, Any]:
    """All parts that were computed from the bench's objects, scale and seed, as one document.

    Returns
    -------
    dict
        ``about`` (version, scale, seed, objects, seconds and source digest of every part), and
        each part's result under its key; ``limitations`` holds several.
    """
    objects = bench.objects
    counts = {name: int((objects.labels == name).sum()) for name in PAPER_CLASSES}
    document: dict[str, Any] = {
        "about": {
            "version": __version__,
            "scale": bench.scale.name,
            "seed": bench.seed,
            "machine": f"{platform.machine()}, Python {platform.python_version()}",
            "n_real": int((~objects.simulated).sum()),
            "n_simulated": int(objects.simulated.sum()),
            "simulated_classes": list(SIMULATED_CLASSES),
            "n_folds": len(objects.folds),
            "objects_per_class": counts,
            "parts": {},
        }
    }
    for part in PARTS:
        path = _path(bench, part)
        kept = read_json(path) if path.exists() else {}
        if kept.get("identity") != _identity(bench):
            continue
        document["about"]["parts"][part.name] = {name: kept[name] for name in ("seconds", "code")}
        place(document, part.key, kept["result"])
    return document


def place(document: dict[str, Any], key: str, result: Any) -> None:
    """Put a result under a key that may have dots: ``limitations.noise``."""
    *path, last = key.split(".")
    for name in path:
        document = document.setdefault(name, {})
    document[last] = result


# --- private --------------------------------------------------------------------


def _run_part(part: Part, workshop: Workshop) -> None:
    bench = workshop.bench
    for stage in part.needs:
        _STAGES[stage](workshop)
    started = time.perf_counter()
    result = plain(part.measure(workshop))
    seconds = time.perf_counter() - started
    path = _path(bench, part)
    before = read_json(path) if path.exists() else {}
    if before.get("identity") == _identity(bench) and before.get("result") == result:
        seconds = max(seconds, before["seconds"])  # taken up from disk: the first run's time stands
    write_json(
        path,
        {
            "identity": _identity(bench),
            "seconds": round(seconds, 1),
            "code": code_digest()[:12],
            "result": result,
        },
    )


def _path(bench: Bench, part: Part) -> Path:
    return bench.folder / "parts" / f"{part.name}.json"


def _identity(bench: Bench) -> str:
    parts = (__version__, repr(bench.scale), str(bench.seed), bench.objects.fingerprint)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
