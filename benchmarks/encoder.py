"""How fast the encoder answers: whole curves in a batch, and one observation at a time.

Run ``python benchmarks/encoder.py``; it writes ``benchmarks/results/encoder.json``. One core,
the seed's network (two GRU layers of 64, six latents) with random weights, synthetic curves of
PLAsTiCC's mean length. The limits beside the figures are the project's: 0.3 ms an object in
batch. Times are the process's own (CPU) time, best of five, because other work on a machine
lengthens the clock's; with one thread and nothing to wait for, the two agree on an idle machine.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
import torch

import firstlight
from firstlight.encoder import Encoder, EncoderConfig
from firstlight.encoder.steps import make_steps
from firstlight.encoder.vae import RnnVae
from firstlight.lightcurves import LightCurves

OUT = Path(__file__).parent / "results" / "encoder.json"
N_OBJECTS, N_OBS, N_DAYS = 2000, 181, 950.0  # PLAsTiCC's training set: 181 observations an object
REPEATS = 5
LIMIT_BATCH_US = 300.0
MICRO_BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = EncoderConfig()
    model = RnnVae(config.vae).eval()
    encoder = Encoder(config, {name: value.numpy() for name, value in model.state_dict().items()})
    curves = synthetic(np.random.default_rng(0))
    encoder.encode(curves.take(range(10)))  # compile
    steps = make_steps(curves, config.steps)
    batch = {
        "steps": _best(lambda: make_steps(curves, config.steps)) / N_OBJECTS,
        "compiled_with_steps": _best(lambda: encoder.encode(curves)) / N_OBJECTS,
        "torch_with_steps": _best(lambda: _encode_torch(model, curves, config)) / N_OBJECTS,
    }
    result: dict[str, Any] = {
        "version": firstlight.__version__,
        "machine": f"{platform.machine()}, one thread",
        "objects": N_OBJECTS,
        "observations_per_object": N_OBS,
        "steps_per_object": round(float(steps.n_steps.mean()), 1),
        "limit_batch_us_per_object": LIMIT_BATCH_US,
        "batch_cpu_us_per_object": {name: round(1e6 * value, 1) for name, value in batch.items()},
        "step_cpu_us_per_observation": _step_times(encoder, curves),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def synthetic(rng: np.random.Generator) -> LightCurves:
    """Noise around a slow bump, in PLAsTiCC's cadence."""
    mjd = np.sort(59600.0 + rng.uniform(0.0, N_DAYS, (N_OBJECTS, N_OBS)), axis=1)
    rise = np.exp(-0.5 * ((mjd - 60000.0) / 30.0) ** 2) * rng.lognormal(7.0, 1.0, (N_OBJECTS, 1))
    flux_err = rng.lognormal(5.0, 0.5, mjd.shape)
    return LightCurves(
        object_id=np.arange(N_OBJECTS).astype(str),
        offsets=np.arange(N_OBJECTS + 1) * N_OBS,
        mjd=mjd.ravel(),
        band=rng.integers(0, 6, mjd.size),
        flux=(rise + flux_err * rng.standard_normal(mjd.shape)).ravel(),
        flux_err=flux_err.ravel(),
        redshift=rng.uniform(0.0, 1.0, N_OBJECTS),
        redshift_err=np.full(N_OBJECTS, 0.05),
    )


def _best(call: Callable[[], Any]) -> float:
    """CPU seconds of the cheapest of a few calls."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def _encode_torch(model: RnnVae, curves: LightCurves, config: EncoderConfig) -> None:
    steps = make_steps(curves, config.steps)
    with torch.no_grad():
        for index in np.array_split(np.argsort(steps.n_steps, kind="stable"), len(steps) // 64):
            part = steps.take(index)
            model.encode(
                torch.from_numpy(part.padded()),
                torch.from_numpy(part.n_steps),
                torch.from_numpy(part.context()),
            )


def _step_times(encoder: Encoder, curves: LightCurves) -> dict[str, float]:
    """Advance by one observation, and read the latents, for one object and for a micro-batch."""
    out = {}
    for n in (1, MICRO_BATCH):
        part = curves.take(range(n))
        rank = np.arange(len(part.mjd)) - np.repeat(part.offsets[:-1], part.n_obs)
        visits = [part.keep(rank == k) for k in range(100)]

        def advance(n: int = n, visits: list[LightCurves] = visits) -> Any:
            state = encoder.initial_state(n)
            for visit in visits:
                state = encoder.advance(state, visit)
            return state

        state = advance()
        step = _best(advance) / 100 / n
        read = _best(
            lambda state=state, part=part: encoder.latents_and_context(
                state, part.redshift, part.redshift_err
            )
        )
        out[f"step_{n}"] = round(1e6 * step, 1)
        out[f"latents_{n}"] = round(1e6 * read / n, 1)
    return out


if __name__ == "__main__":
    main()
