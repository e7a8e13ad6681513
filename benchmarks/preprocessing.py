"""Objects per second of the preprocessing steps, and of the same steps in astropy and pandas.

Run ``python benchmarks/preprocessing.py [--source FOLDER]``; it writes
``benchmarks/results/preprocessing.json``. About a minute. Every step runs over the real
PLAsTiCC training set repeated four times (31,392 objects) on one thread; `all_steps` runs
all of them one after the other, on one thread and on two. Peers run in the same process,
on as many objects as they process in a second or two.
"""

from _harness import Times, parser, result, take_turns, write

# isort: split
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from astropy.cosmology import FlatLambdaCDM
from astropy.stats import SigmaClip

from firstlight.cosmology import distance_modulus
from firstlight.data import load_plasticc
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import (
    CleanConfig,
    PreprocessConfig,
    asinh_magnitude,
    deredden,
    keep_mask,
    preprocess,
)

COPIES = 4
CHUNK = 1000  # objects
TARGET = 20_000  # objects/s of all steps together on two cores
Step = Callable[[LightCurves], Any]


def main() -> None:
    args = parser(__doc__, "preprocessing", data=True).parse_args()
    curves, _ = load_plasticc(args.source)
    raw = curves.take(np.tile(np.arange(len(curves)), COPIES))
    some = {name: raw.take(np.arange(n)) for name, (_, n) in PEERS.items()}
    contestants: dict[str, Callable[[], Any]] = {name: partial(step, raw) for name, step in STEPS.items()}
    contestants |= {name: partial(peer, some[name]) for name, (peer, _) in PEERS.items()}
    contestants |= {"one_thread": partial(in_chunks(1), raw), "two_threads": partial(in_chunks(2), raw)}
    times = take_turns(contestants, args.turns)
    steps = {name: rates(times[name], len(raw)) for name in STEPS}
    peers = {name: rates(times[name], len(some[name])) for name in PEERS}
    table = result(
        "objects per second, medians of turns; objects_per_cpu_s is per second of processor time",
        *("numpy", "numba", "pandas", "astropy"),
        n_objects=len(raw),
        n_observations=int(raw.offsets[-1]),
        steps=steps,
        peers=peers,
        all_steps={name: rates(times[name], len(raw)) for name in ("one_thread", "two_threads")}
        | {"target": TARGET},
        times_faster={
            peer: round(steps[STEP_OF[peer]]["objects_per_s"] / peers[peer]["objects_per_s"], 1)
            for peer in PEERS
        },
    )
    write(args.out, table)


def rates(times: Times, n_objects: int) -> dict[str, float]:
    """Times of a step and its objects per second."""
    return {
        "n_objects": n_objects,
        "median_s": round(times.median, 4),
        "fastest_s": round(min(times.wall), 4),
        "slowest_s": round(max(times.wall), 4),
        "median_cpu_s": round(times.median_cpu, 4),
        "objects_per_s": round(n_objects / times.median),
        "objects_per_cpu_s": round(n_objects / times.median_cpu),
    }


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
    """Preprocessing of preset `default`, and the clipping of preset `seed`."""
    clean_seed(curves)
    ready = preprocess(curves, PreprocessConfig(deredden="always"))
    absolute = magnitudes(ready) - np.repeat(distance_modulus(ready.redshift), ready.n_obs)
    return absolute, ready.phase


def in_chunks(n_threads: int) -> Step:
    """All steps on chunks of objects in threads, as in the pipeline."""

    def run(curves: LightCurves) -> Any:
        n_chunks = -(-len(curves) // CHUNK)
        chunks = np.array_split(np.arange(len(curves)), n_chunks)
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(lambda chunk: all_steps(curves.take(chunk)), chunks))

    return run


STEPS: dict[str, Step] = {
    "clean_seed": clean_seed,
    "clean_physical": clean_physical,
    "deredden": partial(deredden, again=True),
    "distance_modulus": modulus,
    "asinh_magnitude": magnitudes,
    "trigger_and_phase": phases,
}


# --- peers ----------------------------------------------------------------------


def astropy_clip(curves: LightCurves) -> Any:
    """A SigmaClip per object and band, after the cut at seven sigma."""
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
    """The same clipping with groupby and transform, one round at a time."""
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
