"""Shared by all peers: read the light curves, measure the times, write them.

It needs numpy alone, because each peer runs it in its own environment.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import numpy as np

BANDS = "ugrizy"
N_SINGLE = 200  # objects classified one at a time, each once
N_BATCH = 256  # objects classified together
N_WARM_UP = 20  # single calls that are not timed
REPEATS = 3  # of the batch


@dataclass(frozen=True)
class Curve:
    """A light curve of PLAsTiCC: fluxes in nJy, corrected for dust; redshift from the host's colours."""

    object_id: str
    label: str
    mjd: Any
    band: Any  # 0 to 5: u, g, r, i, z, y
    flux: Any
    flux_err: Any
    detected: Any
    ra: float
    dec: float
    ebv: float
    redshift: float
    redshift_err: float


def write_curves(path: Path, curves: Any, labels: Any) -> None:
    """Write light curves in a file that needs numpy alone."""
    names = ("object_id", "offsets", "mjd", "band", "flux", "flux_err", "detected")
    about = ("ra", "dec", "ebv", "redshift", "redshift_err")
    np.savez(path, label=labels, **{name: getattr(curves, name) for name in (*names, *about)})


def read_curves(path: Path) -> list[Curve]:
    """All light curves of the file; the first `N_BATCH` are timed."""
    with np.load(path) as file:
        columns = {name: file[name] for name in file.files}
    offsets = columns.pop("offsets")
    curves = []
    for i, (start, end) in enumerate(pairwise(offsets)):
        row = {
            name: values[start:end]
            if name in ("mjd", "band", "flux", "flux_err", "detected")
            else values[i].item()
            for name, values in columns.items()
        }
        curves.append(Curve(**row))
    return curves


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("curves", type=Path, help="file of light curves")
    parser.add_argument("out", type=Path, help="result, JSON")
    return parser.parse_args()


def compete(single: Callable[[int], object], batch: Callable[[], Callable[[], object]]) -> dict[str, Any]:
    """Time one peer.

    Parameters
    ----------
    single : callable
        Classifies the object at a position; called once per object.
    batch : callable
        Prepares a batch of all objects and returns the function that is timed.
    """
    for i in range(N_BATCH - N_WARM_UP, N_BATCH):
        single(i)
    calls, start_cpu, start_all = [], time.process_time(), time.perf_counter()
    for i in range(N_SINGLE):
        start = time.perf_counter()
        single(i)
        calls.append((time.perf_counter() - start) * 1e3)
    cpu = time.process_time() - start_cpu
    cores = cpu / (time.perf_counter() - start_all)
    batches, batches_cpu = [], []
    for _ in range(REPEATS):
        classify = batch()
        start, start_cpu = time.perf_counter(), time.process_time()
        classify()
        batches.append((time.perf_counter() - start) * 1e3 / N_BATCH)
        batches_cpu.append((time.process_time() - start_cpu) * 1e3 / N_BATCH)
    return {
        "single_ms": {
            "median": significant(statistics.median(calls)),
            "p99": significant(float(np.quantile(calls, 0.99))),
            "fastest": significant(min(calls)),
            "cpu": significant(cpu * 1e3 / len(calls)),
            "calls": len(calls),
            "cores_busy": round(cores, 2),
        },
        "batch_ms_an_object": {
            "median": significant(statistics.median(batches)),
            "fastest": significant(min(batches)),
            "cpu": significant(statistics.median(batches_cpu)),
            "objects": N_BATCH,
            "repeats": REPEATS,
        },
    }


def write(out: Path, packages: Sequence[str], contestants: dict[str, dict[str, Any]]) -> None:
    """Write the times for the benchmark."""
    result = {"versions": {name: version(name) for name in packages}, "contestants": contestants}
    out.write_text(json.dumps(result, indent=1) + "\n")


def significant(value: float) -> float:
    """The value to three digits."""
    return float(f"{value:.3g}")
