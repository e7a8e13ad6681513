"""Stream against batch (parity) on the whole PLAsTiCC training set, observation by observation.

Run ``python studies/parity.py --preset fast [--bundle FOLDER]``; it writes
``studies/results/parity.json``, one entry per preset. All objects advance together: the
k-th step sends the k-th observation of every object that has one. In three runs the
alerts come in order, shuffled within each night, and with a tenth of them late by up to
three places and a tenth repeated. At some steps and at the end, states, latents and
probabilities are compared with `Pipeline.predict` on the observations sent so far.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

import firstlight
from firstlight import LightCurves, Pipeline, load_plasticc
from firstlight.online import Arrivals, ObjectStates

OUT = Path(__file__).parent / "results" / "parity.json"
RUNS = ("in order", "shuffled within nights", "late and repeated")
N_CHECKS = 8


def order_of(curves: LightCurves, run: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of all observations, each object's in the order in which they are sent."""
    owner, n = curves.object_index, len(curves.mjd)
    if run == "in order":
        return np.arange(n)
    if run == "shuffled within nights":
        return np.lexsort((rng.random(n), np.floor(curves.mjd), owner))
    place = np.arange(n) - np.repeat(curves.offsets[:-1], curves.n_obs)
    late = np.where(rng.random(n) < 0.1, rng.integers(1, 4, n), 0)
    return np.lexsort((rng.random(n), place + late, owner))


def send(pipeline: Pipeline, curves: LightCurves, run: str, rng: np.random.Generator) -> dict[str, Any]:
    """Send all observations of all objects, and compare along the way."""
    order, n = order_of(curves, run, rng), len(curves)
    states, logs = pipeline.states(n), [[] for _ in range(n)]
    longest = int(curves.n_obs.max())
    checks = {int(k) for k in np.geomspace(1, longest, N_CHECKS)} | {longest}
    sent = np.zeros(len(curves.mjd), np.bool_)
    worst = {"latents": 0.0, "probabilities": 0.0, "anomaly": 0.0}
    compared = updates = late = 0
    seconds = 0.0

    def feed(alive: NDArray[np.int64], rows: NDArray[np.int64], number: int) -> NDArray[np.bool_]:
        """Send one alert with these rows to each object that is alive, and keep the new states."""
        nonlocal states, updates, late, seconds
        chosen = np.zeros(len(curves.mjd), np.bool_)
        chosen[rows] = True
        arrivals = Arrivals.from_curves(curves.keep(chosen).take(alive), np.full(len(alive), number))
        start = time.process_time()
        done = pipeline.update(
            ObjectStates(states.data[alive]), arrivals, lambda index: [logs[alive[i]] for i in index]
        )
        seconds += time.process_time() - start
        states.data[alive] = done.states.data
        for i in np.flatnonzero(done.answered):
            before = [] if done.rewritten[i] else logs[alive[i]]
            logs[alive[i]] = [*before, done.entries[i]]
        updates, late = updates + int(done.answered.sum()), late + int(done.late.sum())
        last[alive[done.answered]] = done.predictions.proba[done.answered]
        strange[alive[done.answered]] = done.predictions.anomaly[done.answered]
        return done.answered

    last, strange = np.full((n, 17), np.nan), np.full(n, np.nan)
    for k in track(range(longest), description=run):
        alive = np.flatnonzero(curves.n_obs > k)
        rows = order[curves.offsets[:-1][alive] + k]
        if not feed(alive, rows, k).all():
            raise SystemExit(f"{run}: a new alert was taken for a repeated one")
        sent[rows] = True
        if run == "late and repeated" and k:
            again = alive[rng.random(len(alive)) < 0.1]
            old = order[curves.offsets[:-1][again] + k - 1]
            if len(again) and feed(again, old, k - 1).any():
                raise SystemExit(f"{run}: a repeated alert was answered twice")
        if k + 1 in checks:
            known = curves.keep(sent).take(alive)
            batch = pipeline.predict(known, jobs=1)
            state = ObjectStates(states.data[alive]).encoder_state()
            encoder = pipeline.encoder
            latents = encoder.latents_and_context(state, known.redshift, known.redshift_err)[0].mean
            for name, left, right in (
                ("latents", latents, pipeline.latents(known)),
                ("probabilities", last[alive], batch.proba),
                ("anomaly", np.nan_to_num(strange[alive]), np.nan_to_num(batch.anomaly)),
            ):
                worst[name] = max(worst[name], float(np.abs(left - right).max()))
            compared += len(alive)
    return {
        "updates": updates,
        "late": late,
        "objects_compared": compared,
        "largest_difference": worst,
        "cpu_us_an_update": round(seconds / max(updates, 1) * 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="fast", help="name under which the result is kept")
    parser.add_argument("--bundle", type=Path, help="bundle folder; by default the shipped one of the preset")
    parser.add_argument("--every", type=int, default=1, help="take every n-th object alone")
    args = parser.parse_args()
    bundle = args.bundle or Path(firstlight.__file__).parent / "models" / args.preset
    pipeline = Pipeline.load(bundle)
    curves = load_plasticc()[0]
    curves = curves.take(np.arange(0, len(curves), args.every))
    results = json.loads(OUT.read_text()) if OUT.exists() else {}
    results[args.preset] = {
        "version": firstlight.__version__,
        "bundle": pipeline.bundle_version,
        "objects": len(curves),
        "observations": len(curves.mjd),
        "limits": {"latents": 1e-5, "probabilities": 1e-6},
        "runs": {run: send(pipeline, curves, run, np.random.default_rng(0)) for run in RUNS},
    }
    OUT.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results[args.preset], indent=1))


if __name__ == "__main__":
    main()
