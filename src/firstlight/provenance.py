"""Where a result comes from: version and commit, machine, libraries, data and seed."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from firstlight._version import __version__

#: Libraries that numbers depend on.
PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "lightgbm",
    "catboost",
    "torch",
    "numba",
    "pyarrow",
)
#: Variable of the environment that states the commit of a copy of the source.
COMMIT_VARIABLE = "FIRSTLIGHT_COMMIT"
_TIMEOUT_S = 5.0


def provenance(data: Iterable[str], *, seed: int | None = None) -> dict[str, Any]:
    """Description of a run, as plain JSON.

    Parameters
    ----------
    data : iterable of str
        Texts that identify the data: fingerprints of light curves, labels.
    seed : int, optional
        Seed of the run's random choices.

    Returns
    -------
    dict
        ``firstlight``, ``commit`` (see `commit`), ``processor``, ``cores``, ``python``,
        ``libraries`` by name, ``data`` (SHA-256), ``seed``.
    """
    digest = hashlib.sha256()
    for text in data:
        digest.update(text.encode() + b"\n")
    return {
        "firstlight": __version__,
        "commit": commit(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "libraries": libraries(),
        "data": digest.hexdigest(),
        "seed": seed,
    }


@cache
def commit() -> str:
    """Commit of the checkout of the package, with a ``+`` if its source was changed.

    Outside of a checkout, such as in a job on a cluster, it is that of `COMMIT_VARIABLE`, else ``unknown``.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return os.environ.get(COMMIT_VARIABLE, "unknown")
    found = [_git(root, "rev-parse", "--short=12", "HEAD"), _git(root, "status", "--porcelain", "src")]
    if found[0] is None or found[1] is None:
        return "unknown"
    return found[0] + ("+" if found[1] else "")


@cache
def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or 'unknown'} ({platform.machine()})"


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def libraries() -> dict[str, str]:
    """Versions of the installed libraries of `PACKAGES`."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
