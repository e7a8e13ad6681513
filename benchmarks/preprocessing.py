"""Objects a second of the cheap preprocessing steps, beside what one would write without them.

Run ``python benchmarks/preprocessing.py [--source FOLDER]``; it writes
``benchmarks/results/preprocessing.json``. About a minute. Every step runs over the real
PLAsTiCC training set repeated four times (31,392 objects) on one thread; `all_steps` runs
all of them one after the other, on one thread and on two. Peers run in the same process,
on as many objects as they manage in a second or two. Processor time is given beside the
clock's, and ratios use it, because other work on the machine lengthens the latter.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from astropy.cosmology import FlatLambdaCDM
from astropy.stats import SigmaClip

import firstlight
from firstlight.data import load_plasticc
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import (
    CleanConfig,
    PreprocessConfig,
    asinh_magnitude,
    deredden,
    distance_modulus,
    keep_mask,
    preprocess,
    redden,
)

OUT = Path(__file__).parent / "results" / "preprocessing.json"
COPIES = 4
REPEATS = 5
CHUNK = 1000  # objects
TARGET = 20_000  # objects/s of all steps together on two cores
Step = Callable[[LightCurves], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--source", type=Path, help="folder with the PLAsTiCC training set; default: the cache"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, _ = load_plasticc(args.source)
    raw = redden(curves.take(np.tile(np.arange(len(curves)), COPIES)))  # as an alert stream delivers it
    result = {
        "what": "objects a second, medians of repeats; objects_per_cpu_s by processor time, not the clock",
        "version": firstlight.__version__,
        "machine": machine(),
        "n_objects": len(raw),
        "n_observations": int(raw.offsets[-1]),
        "steps": {name: measure(step, raw) for name, step in STEPS.items()},
        "peers": {name: measure(peer, raw.take(np.arange(n)), 3) for name, (peer, n) in PEERS.items()},
        "all_steps": {
            "one_thread": measure(in_chunks(1), raw),
            "two_threads": measure(in_chunks(2), raw),
            "target": TARGET,
        },
    }
    result["times_faster"] = {
        peer: round(
            result["steps"][STEP_OF[peer]]["objects_per_s"] / result["peers"][peer]["objects_per_s"], 1
        )
        for peer in PEERS
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def measure(step: Step, curves: LightCurves, repeats: int = REPEATS) -> dict[str, float]:
    """Median time of a step after one run to compile and warm up."""
    step(curves.take(np.arange(min(50, len(curves)))))
    wall, cpu = [], []
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        step(curves)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    median, median_cpu = statistics.median(wall), statistics.median(cpu)
    return {
        "n_objects": len(curves),
        "median_s": round(median, 4),
        "fastest_s": round(min(wall), 4),
        "slowest_s": round(max(wall), 4),
        "median_cpu_s": round(median_cpu, 4),
        "objects_per_s": round(len(curves) / median),
        "objects_per_cpu_s": round(len(curves) / median_cpu),
    }


def machine() -> dict[str, Any]:
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
    } | {name: version(name) for name in ("numpy", "numba", "pandas", "astropy")}


# --- ours -----------------------------------------------------------------------


def clean_seed(curves: LightCurves) -> Any:
    return keep_mask(curves, CleanConfig(method="seed"))


def clean_physical(curves: LightCurves) -> Any:
    return keep_mask(curves, CleanConfig(method="physical"))


def modulus(curves: LightCurves) -> Any:
    return distance_modulus(curves.redshift)


def magnitudes(curves: LightCurves) -> Any:
    return asinh_magnitude(curves.flux, curves.band)


def phases(curves: LightCurves) -> Any:
    return curves.phase


def all_steps(curves: LightCurves) -> Any:
    """What is done before a light curve is looked at, and the seed's clip beside it."""
    clean_seed(curves)
    ready = preprocess(curves, PreprocessConfig())
    absolute = magnitudes(ready) - np.repeat(distance_modulus(ready.redshift), ready.n_obs)
    return absolute, ready.phase


def in_chunks(n_threads: int) -> Step:
    """All steps as the pipeline does them: some objects at a time, in threads."""

    def run(curves: LightCurves) -> Any:
        n_chunks = -(-len(curves) // CHUNK)
        chunks = np.array_split(np.arange(len(curves)), n_chunks)
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(lambda chunk: all_steps(curves.take(chunk)), chunks))

    return run


STEPS: dict[str, Step] = {
    "clean_seed": clean_seed,
    "clean_physical": clean_physical,
    "deredden": deredden,
    "distance_modulus": modulus,
    "asinh_magnitude": magnitudes,
    "trigger_and_phase": phases,
}


# --- peers ----------------------------------------------------------------------


def astropy_clip(curves: LightCurves) -> Any:
    """A SigmaClip for each object and band, after the cut at seven sigma."""
    clip = SigmaClip(sigma=3.0, maxiters=5, cenfunc="mean", stdfunc="std")
    keep = np.ones(len(curves.mjd), dtype=bool)
    for first, last in zip(curves.offsets[:-1], curves.offsets[1:], strict=True):
        band = curves.band[first:last]
        for name in np.unique(band):
            rows = first + np.flatnonzero(band == name)
            flux = curves.flux[rows]
            inside = np.abs(flux - flux.mean()) <= 7.0 * flux.std()
            keep[rows[~inside]] = False
            keep[rows[inside]] = ~clip(flux[inside], masked=True).mask
    return keep


def pandas_clip(curves: LightCurves) -> Any:
    """The same with groupby and transform, a round at a time."""
    frame = pd.DataFrame(
        {"flux": curves.flux.astype(np.float64), "band": curves.band, "object": curves.object_index}
    )
    for n_sigma in (7.0, 3.0, 3.0, 3.0, 3.0, 3.0):
        by = frame.groupby(["object", "band"], sort=False)["flux"]
        mean, spread = by.transform("mean"), by.transform("std", ddof=0)
        frame = frame[(frame["flux"] - mean).abs() <= n_sigma * spread]
    return frame


def astropy_modulus(curves: LightCurves) -> Any:
    far = curves.redshift > 1e-3
    cosmology = FlatLambdaCDM(H0=70.0, Om0=0.3)
    return np.where(
        far, cosmology.distmod(np.where(far, curves.redshift, 1.0).astype(np.float64)).value, 30.0
    )


def pandas_phase(curves: LightCurves) -> Any:
    frame = pd.DataFrame({"object": curves.object_index, "mjd": curves.mjd, "detected": curves.detected})
    trigger = frame[frame["detected"]].groupby("object")["mjd"].min()
    return frame["mjd"] - frame["object"].map(trigger)


PEERS: dict[str, tuple[Step, int]] = {
    "astropy SigmaClip, a loop": (astropy_clip, 1000),
    "pandas groupby clip": (pandas_clip, 7848),
    "astropy distmod": (astropy_modulus, 7848),
    "pandas groupby phase": (pandas_phase, 7848),
}
STEP_OF = {
    "astropy SigmaClip, a loop": "clean_seed",
    "pandas groupby clip": "clean_seed",
    "astropy distmod": "distance_modulus",
    "pandas groupby phase": "trigger_and_phase",
}


if __name__ == "__main__":
    main()
