"""Future work of the paper: pruning and 8-bit integers for the encoder.

Run ``python -m studies.future_encoder --cache FOLDER`` from the top of the project (three minutes); see
`future_ground`.

Protocol: the weights of the trained encoder are changed, nothing is trained again, and the answers are
those of the trees and the calibration as they were: of the booster of `default` (latents and features),
of a booster that sees the latents with their uncertainty alone, and of one that sees them with the
running summary, the inputs of preset `fast`. Pruned: the smallest weights of each matrix of the encoder
are set to 0. Integers: each row of a matrix is rounded to 255 steps; `dynamic` also rounds the inputs of
the matrices, as PyTorch's dynamic quantisation does. Sizes are those of the matrices that encode: half
precision as in a bundle, sparse with one bit per weight for its place, integers with one half-precision
scale per row. Times are medians of turns, one thread: one step of the recurrent layers for one object and
for 16, the kernel of firstlight beside PyTorch.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from studies.future_ground import (
    Answers,
    Ground,
    arguments,
    builder,
    differences,
    ground,
    keep,
    reference_booster,
    scores,
    settings,
    step_sets,
)

from firstlight._types import Float32Array, FloatArray
from firstlight.classify import LightGBMBooster, TrainingRows
from firstlight.encoder import Encoder, Latents
from firstlight.encoder.contrast import contrasts
from firstlight.encoder.kernels import BLOCK, gru_block, gru_workspace
from firstlight.encoder.steps import Steps

PRUNED = (0.5, 0.7, 0.9)
LEVELS = 127
TURNS, CALLS = 9, 400
LAYERS = ("fc1", "fc2", "mean", "log_var")


def matrices(encoder: Encoder) -> list[str]:
    """Names of the matrices that encode."""
    recurrent = [f"encoder.weight_{s}_l{k}" for k in range(encoder.config.vae.layers) for s in ("ih", "hh")]
    return [*recurrent, *(f"{name}.weight" for name in LAYERS)]


def pruned(weight: Float32Array, share: float) -> Float32Array:
    """The matrix with its smallest weights set to 0."""
    limit = np.quantile(np.abs(weight), share)
    return np.where(np.abs(weight) <= limit, np.float32(0.0), weight)


def rounded(weight: Float32Array) -> Float32Array:
    """The matrix in 255 steps per row."""
    step = np.maximum(np.abs(weight).max(axis=1, keepdims=True), 1e-12) / LEVELS
    return (np.round(weight / step) * step).astype(np.float32)


def changed(encoder: Encoder, change: Callable[[Float32Array], Float32Array]) -> Encoder:
    """The encoder with changed matrices."""
    own = {name: change(encoder.weights[name]) for name in matrices(encoder)}
    return Encoder(encoder.config, dict(encoder.weights) | own)


def sizes(encoder: Encoder) -> dict[str, int]:
    """Bytes of the matrices, by how they are stored."""
    shapes = [encoder.weights[name].shape for name in matrices(encoder)]
    n, n_rows = sum(int(np.prod(s)) for s in shapes), sum(s[0] for s in shapes)
    table = {"half precision": 2 * n, "integers": n + 2 * n_rows}
    return table | {f"pruned {share:g}": round(2 * n * (1 - share)) + n // 8 for share in PRUNED}


class Torch:
    """The encoder in PyTorch, with floats or with dynamic integers."""

    def __init__(self, encoder: Encoder, *, dynamic: bool) -> None:
        import torch
        from torch import nn

        from firstlight.encoder.vae import RnnVae

        torch.set_num_threads(1)
        model = RnnVae(encoder.config.vae)
        model.load_state_dict({name: torch.from_numpy(value) for name, value in encoder.weights.items()})
        self.model = model.eval()
        if dynamic:
            from torch.ao.quantization import quantize_dynamic

            self.model = quantize_dynamic(self.model, {nn.GRU, nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]

    def latents(self, steps: Steps, batch: int = 128) -> tuple[Float32Array, Float32Array]:
        """Means and log-variances of the latent."""
        import torch

        order = np.argsort(steps.n_steps, kind="stable")
        mean = np.empty((len(steps), self.model.config.latent), np.float32)
        log_var = np.empty_like(mean)
        with torch.no_grad():
            for start in range(0, len(steps), batch):
                rows = order[start : start + batch]
                part = steps.take(rows)
                found = self.model.encode(
                    torch.from_numpy(part.padded()),
                    torch.from_numpy(np.maximum(part.n_steps, 1)),
                    torch.from_numpy(part.context()),
                )
                mean[rows], log_var[rows] = (value.numpy() for value in found)
        return mean, log_var

    def step(self, n: int) -> Callable[[], Any]:
        """One step of the recurrent layers for n objects."""
        import torch

        vae, n_inputs = self.model.config, self.model.encoder.input_size
        x, h = torch.randn(n, 1, n_inputs), torch.randn(vae.layers, n, vae.hidden)

        def call() -> Any:
            with torch.inference_mode():
                return self.model.encoder(x, h)

        return call


def kernel_step(encoder: Encoder, n: int) -> Callable[[], Any]:
    """One step of the recurrent layers for n objects, by the kernel of firstlight."""
    vae = encoder.config.vae
    hidden = np.random.default_rng(0).normal(size=(n, vae.layers, vae.hidden)).astype(np.float32)
    x = np.ones((n, encoder.weights["encoder.weight_ih_l0"].shape[1]), np.float32)
    places, work = np.arange(n), gru_workspace(hidden)
    return lambda: gru_block(x, places, hidden, encoder._layers, work)


def times(contestants: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Median time of a call [us], contestants in turns."""
    spent: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(TURNS + 1):
        for name, call in contestants.items():
            start = time.process_time()
            for _ in range(CALLS):
                call()
            if turn:
                spent[name].append(1e6 * (time.process_time() - start) / CALLS)
    return {name: round(float(np.median(values)), 1) for name, values in spent.items()}


class Frozen:
    """Boosters and calibrations that stay as they are while the encoder changes."""

    def __init__(self, found: Ground, cache: Path) -> None:
        self.found, inputs = found, builder(cache)
        self.encoder = inputs.encoder
        self.sets = step_sets(self.encoder)
        self.rest = {side: self._rows(side)[:, 2 * self.encoder.n_latent :] for side in self.sets}
        self.summary = {side: _summary(steps) for side, steps in self.sets.items()}
        before = {side: latent_columns(self.encoder.encode_steps(steps)) for side, steps in self.sets.items()}
        rows = {side: self._rows(side)[:, : 2 * self.encoder.n_latent] for side in self.sets}
        assert all(np.allclose(before[side], rows[side], atol=1e-4) for side in before), "other copies"
        self.boosters = {
            "latents and features": reference_booster(found, cache),
            "latents and running summary": self._fit(np.hstack([before["train"], self.summary["train"]])),
            "latents alone": self._fit(before["train"]),
        }
        held = {name: self._predict(name, "held", before["held"]) for name in self.boosters}
        self.calibrators = {name: found.calibrator(own_held) for name, own_held in held.items()}

    def _rows(self, side: str) -> Float32Array:
        found = self.found
        return {"train": found.train.X, "held": found.held.X}.get(side, found.tests.get(side))  # type: ignore[return-value]

    def _fit(self, X: Float32Array) -> LightGBMBooster:
        own = self.found.train
        rows = TrainingRows(X, own.labels, own.redshift, own.weight, own.object_id)
        return LightGBMBooster(settings().classifier.lightgbm).fit(rows, seed=0)

    def _predict(self, name: str, side: str, latents: Float32Array) -> FloatArray:
        added = {"latents and features": self.rest, "latents and running summary": self.summary}
        X = np.hstack([latents, added[name][side]]) if name in added else latents
        return self.boosters[name].predict_proba(X)

    def answers(self, latents: Callable[[Steps], Float32Array]) -> dict[str, dict[str, FloatArray]]:
        """Answers by booster and view, with other latents."""
        columns = {view: latents(self.sets[view]) for view in self.found.tests}
        return {
            name: self.found.calibrated(
                self.calibrators[name], {view: self._predict(name, view, X) for view, X in columns.items()}
            )
            for name in self.boosters
        }


def latent_columns(found: Latents | tuple[Float32Array, Float32Array]) -> Float32Array:
    """Means and log-variances side by side."""
    return np.hstack(found[:2]).astype(np.float32)


def _summary(steps: Steps) -> Float32Array:
    context = steps.context()
    return np.hstack([context, contrasts(context)]).astype(np.float32)


def main() -> None:
    args = arguments(__doc__)
    found = ground(args.cache)
    frozen = Frozen(found, args.cache)
    encoder = frozen.encoder
    before = frozen.answers(lambda steps: latent_columns(encoder.encode_steps(steps)))
    variants: dict[str, Callable[[Steps], Float32Array]] = {}
    for share in PRUNED:
        own = changed(encoder, lambda weight, share=share: pruned(weight, share))
        variants[f"pruned {share:g}"] = lambda steps, own=own: latent_columns(own.encode_steps(steps))
    small = changed(encoder, rounded)
    variants["integers"] = lambda steps: latent_columns(small.encode_steps(steps))
    both = changed(encoder, lambda weight: rounded(pruned(weight, 0.5)))
    variants["integers, pruned 0.5"] = lambda steps: latent_columns(both.encode_steps(steps))
    dynamic = Torch(encoder, dynamic=True)
    variants["dynamic integers"] = lambda steps: latent_columns(dynamic.latents(steps))
    table: dict[str, Any] = {
        "objects": found.describe(),
        "reference": {name: scores(found.labels, own) for name, own in before.items()},
        "bytes": sizes(encoder),
        "us_per_step": {},
        "difference": {},
    }
    floats = Torch(encoder, dynamic=False)
    for n in (1, BLOCK):
        table["us_per_step"][f"{n} objects"] = times(
            {
                "firstlight, floats": kernel_step(encoder, n),
                "PyTorch, floats": floats.step(n),
                "PyTorch, dynamic integers": dynamic.step(n),
            }
        )
    for name, latents in variants.items():
        after: Mapping[str, Answers] = frozen.answers(latents)
        table["difference"][name] = {
            kind: differences(found.labels, before[kind], own) for kind, own in after.items()
        }
    keep("compression", __doc__, ("torch", "lightgbm", "numba"), table, args.out)


if __name__ == "__main__":
    main()
