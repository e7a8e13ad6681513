"""Microseconds per object of the encoder: whole curves in a batch, and one observation at a time.

Run ``python benchmarks/encoder.py``; it writes ``benchmarks/results/encoder.json``. One core,
the network of preset `seed` (two GRU layers of 64, six latents) with random weights, synthetic
curves of PLAsTiCC's mean length. The limit is 0.3 ms per object in a batch. Times are
processor times: with one thread they equal the wall time of an idle machine. Peers are torch,
and onnxruntime on the exported recurrent part (without the layers that read the latents).
"""

from _harness import TURNS, parser, result, take_turns, write

# isort: split
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import torch

from firstlight.encoder import Encoder, EncoderConfig
from firstlight.encoder.encode import gru_weights
from firstlight.encoder.graph import build_graph
from firstlight.encoder.steps import make_steps
from firstlight.encoder.vae import RnnVae
from firstlight.lightcurves import LightCurves

N_OBJECTS, N_OBS, N_DAYS = 2000, 181, 950.0  # PLAsTiCC's training set: 181 observations per object
LIMIT_BATCH_US = 300.0
BATCH = 64


def main() -> None:
    args = parser(__doc__, "encoder").parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = EncoderConfig()
    model = RnnVae(config.vae).eval()
    encoder = Encoder(config, {name: value.numpy() for name, value in model.state_dict().items()})
    curves = synthetic(np.random.default_rng(0))
    steps = make_steps(curves, config.steps)
    contestants: dict[str, Callable[[], object]] = {
        "steps": lambda: make_steps(curves, config.steps),
        "compiled_with_steps": lambda: encoder.encode(curves),
        "onnx_with_steps": onnx_peer(encoder, curves, config),
        "torch_with_steps": lambda: _encode_torch(model, curves, config),
    }
    batch = take_turns(contestants, args.turns)
    table = result(
        "processor time of the encoder, one thread, medians of turns",
        *("numpy", "numba", "torch", "onnxruntime"),
        objects=N_OBJECTS,
        observations_per_object=N_OBS,
        steps_per_object=round(float(steps.n_steps.mean()), 1),
        limit_batch_us_per_object=LIMIT_BATCH_US,
        batch_cpu_us_per_object={
            name: round(1e6 * one.median_cpu / N_OBJECTS, 1) for name, one in batch.items()
        },
        step_cpu_us_per_observation=step_times(encoder, curves),
    )
    write(args.out, table)


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


def onnx_peer(encoder: Encoder, curves: LightCurves, config: EncoderConfig) -> Callable[[], object]:
    """The exported GRU in onnxruntime, on batches of objects of similar length."""
    layers = [gru_weights(encoder.weights, layer) for layer in range(config.vae.layers)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(build_graph(layers), options, providers=["CPUExecutionProvider"])

    def run() -> None:
        steps = make_steps(curves, config.steps)
        for index in np.array_split(np.argsort(steps.n_steps, kind="stable"), len(steps) // BATCH):
            part = steps.take(index)
            feed = {
                "steps": np.ascontiguousarray(part.padded().swapaxes(0, 1)),
                "lengths": np.maximum(part.n_steps, 1).astype(np.int32),
            }
            session.run(["last"], feed)

    return run


def _encode_torch(model: RnnVae, curves: LightCurves, config: EncoderConfig) -> None:
    steps = make_steps(curves, config.steps)
    with torch.no_grad():
        for index in np.array_split(np.argsort(steps.n_steps, kind="stable"), len(steps) // BATCH):
            part = steps.take(index)
            model.encode(
                torch.from_numpy(part.padded()),
                torch.from_numpy(part.n_steps),
                torch.from_numpy(part.context()),
            )


def step_times(encoder: Encoder, curves: LightCurves) -> dict[str, float]:
    """Microseconds to advance by one observation and to read the latents, for one object and a batch."""
    out = {}
    for n in (1, BATCH):
        some = curves.take(range(n))
        columns = [some.keep(one_per_object(some, k)) for k in range(100)]

        def advance(n: int = n, columns: list[LightCurves] = columns) -> Any:
            state = encoder.initial_state(n)
            for column in columns:
                state = encoder.advance(state, column)
            return state

        state = advance()
        times = take_turns(
            {
                "step": advance,
                "latents": lambda state=state, some=some: encoder.latents_and_context(
                    state, some.redshift, some.redshift_err
                ),
            },
            TURNS,
        )
        out[f"step_{n}"] = round(1e6 * times["step"].median_cpu / 100 / n, 1)
        out[f"latents_{n}"] = round(1e6 * times["latents"].median_cpu / n, 1)
    return out


def one_per_object(curves: LightCurves, number: int) -> Any:
    """Mask of each object's observation of this number."""
    mask = np.zeros(len(curves.mjd), dtype=bool)
    mask[curves.offsets[:-1] + number] = True
    return mask


if __name__ == "__main__":
    main()
