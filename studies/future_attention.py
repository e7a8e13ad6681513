"""Future work of the paper: attention over the encoder's states.

Run ``python -m studies.future_attention --cache FOLDER`` from the top of the project (a quarter of an
hour of one core); see `future_ground`.

Protocol: the recurrent layers start from the trained encoder and are trained on, with the cross-entropy
of the classes (equal total weight of each), together with one of three readers: of the last state; of the
last state and an attention pool over the last 32 states; of a transformer block (four heads) whose state
sees the 32 before it. Each reads the running summary and the redshift, too, through a layer of 128 units.
25 epochs, batches of 128 objects, augmented in each epoch as the encoder's are, AdamW with a cosine from
1e-3; the last epoch counts, and two seeds are averaged. `beside` mixes the log-probabilities of network
and trees with one weight, which has the least log-loss on the objects to calibrate on, and calibrates the
mixture.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from studies.future_ground import (
    Ground,
    arguments,
    builder,
    differences,
    extragalactic,
    ground,
    keep,
    kept,
    reference,
    reference_booster,
    scores,
    settings,
    sides,
    step_sets,
)
from torch import Tensor, nn
from torch.nn import functional

from firstlight._types import FloatArray, IntArray
from firstlight.encoder import Encoder
from firstlight.encoder.augment import augment
from firstlight.encoder.running import N_CHANNELS
from firstlight.encoder.steps import N_CONTEXT, Steps, make_steps
from firstlight.preprocess import preprocess

WINDOW = 32  # states
HEADS, WIDTH, EPOCHS, BATCH, SEEDS = 4, 128, 25, 128, (0, 1)
READERS = ("last state", "attention pool", "transformer block")
LEAST = 1e-6


class Net(nn.Module):
    """Recurrent layers and a reader of their states."""

    context_mean: Tensor
    context_std: Tensor

    def __init__(self, encoder: Encoder, reader: str, n_classes: int) -> None:
        super().__init__()
        vae = encoder.config.vae
        self.reader, size = reader, vae.hidden
        self.gru = nn.GRU(N_CHANNELS, size, vae.layers, batch_first=True)
        own = {n.removeprefix("encoder."): v for n, v in encoder.weights.items() if n.startswith("encoder.")}
        self.gru.load_state_dict({name: torch.from_numpy(value) for name, value in own.items()})
        self.register_buffer("context_mean", torch.from_numpy(encoder.weights["context_mean"]))
        self.register_buffer("context_std", torch.from_numpy(encoder.weights["context_std"]))
        n_in = size
        if reader == "attention pool":
            self.key, self.query, self.score = (
                nn.Linear(size, size),
                nn.Linear(size, size),
                nn.Linear(size, 1),
            )
            n_in = 2 * size
        if reader == "transformer block":
            self.block = nn.TransformerEncoderLayer(
                size, HEADS, 2 * size, dropout=0.1, batch_first=True, norm_first=True
            )
        self.first = nn.Linear(n_in + N_CONTEXT, WIDTH)
        self.second = nn.Linear(WIDTH, n_classes)
        self.drop = nn.Dropout(0.2)

    def forward(self, steps: Tensor, lengths: Tensor, context: Tensor) -> Tensor:
        """Class scores, (batch, classes)."""
        states, _ = self.gru(steps)
        rows = torch.arange(len(lengths))
        if self.reader == "transformer block":
            place = torch.arange(states.shape[1])
            behind = place[:, None] - place[None, :]  # of the state that looks, before the one seen
            states = self.block(states, src_mask=(behind < 0) | (behind >= WINDOW))
        last = states[rows, lengths - 1]
        if self.reader == "attention pool":
            place = torch.arange(states.shape[1])[None, :]
            seen = (place < lengths[:, None]) & (place >= lengths[:, None] - WINDOW)
            match = self.score(torch.tanh(self.key(states) + self.query(last)[:, None])).squeeze(-1)
            share = torch.softmax(match.masked_fill(~seen, -1e9), dim=1)
            last = torch.cat([last, (share[:, :, None] * states).sum(dim=1)], dim=1)
        scaled = ((context - self.context_mean) / self.context_std).clamp(-5.0, 5.0)
        hidden = functional.relu(self.first(torch.cat([last, scaled], dim=1)))
        return self.second(self.drop(hidden))


def batches(
    steps: Steps, rng: np.random.Generator | None = None
) -> Iterator[tuple[IntArray, tuple[Tensor, ...]]]:
    """Objects of similar length together; in random order with a generator."""
    jitter = 0.0 if rng is None else rng.uniform(0.0, 4.0, len(steps))
    order = np.argsort(steps.n_steps + jitter, kind="stable")
    groups = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    for k in range(len(groups)) if rng is None else rng.permutation(len(groups)):
        part = steps.take(groups[k])
        arrays = (part.padded(), np.maximum(part.n_steps, 1), part.context())
        yield groups[k], tuple(torch.from_numpy(array) for array in arrays)


def forecast(net: Net, steps: Steps) -> FloatArray:
    """Probabilities of the classes."""
    net.eval()
    out = np.empty((len(steps), net.second.out_features))
    with torch.no_grad():
        for rows, arrays in batches(steps):
            out[rows] = torch.softmax(net(*arrays), dim=1).numpy()
    return out


def trained(found: Ground, encoder: Encoder, reader: str, seed: int) -> Net:
    """A network after its last epoch."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    own = extragalactic(sides()[0])
    curves, labels = own.part(held_out=False)
    clean = preprocess(curves, settings().preprocess)
    code = np.array([found.classes.index(name) for name in labels.tolist()])
    counts = np.bincount(code, minlength=len(found.classes))
    weight = torch.from_numpy((len(code) / len(counts) / counts).astype(np.float32))
    net, train = Net(encoder, reader, len(found.classes)), encoder.config.train
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    for epoch in range(EPOCHS):
        rng = np.random.default_rng([seed, epoch])
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (0.01 + 0.99 * 0.5 * (1.0 + np.cos(np.pi * epoch / EPOCHS)))
        net.train()
        total = 0.0
        for rows, arrays in batches(make_steps(augment(clean, train, rng), encoder.config.steps), rng):
            target = torch.from_numpy(code[rows])
            loss = functional.cross_entropy(net(*arrays), target, weight=weight)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            total += loss.item() * len(rows) / len(code)
        print(f"{reader}, seed {seed}, epoch {epoch + 1}: {total:.3f}", flush=True)
    return net


def forecasts(found: Ground, encoder: Encoder, reader: str, sets: dict[str, Steps]) -> dict[str, FloatArray]:
    """Mean probabilities of the seeds, of the rows to calibrate on and of those to score."""
    start = time.process_time()
    nets = [trained(found, encoder, reader, seed) for seed in SEEDS]
    seconds = (time.process_time() - start) / len(SEEDS)
    views = ("held", *found.tests)
    table = {view: np.mean([forecast(net, sets[view]) for net in nets], axis=0) for view in views}
    return table | {"cost": np.array([seconds, sum(p.numel() for p in nets[0].parameters())])}


def mixed(trees: FloatArray, net: FloatArray, weight: float) -> FloatArray:
    """Weighted mean of log-probabilities, normalised."""
    logs = (1.0 - weight) * np.log(np.maximum(trees, LEAST)) + weight * np.log(np.maximum(net, LEAST))
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def best_weight(found: Ground, trees: FloatArray, net: FloatArray) -> float:
    """Weight of the network with the least log-loss on the rows to calibrate on."""
    coded = found.held.coded(found.classes)

    def loss(weight: float) -> float:
        own = mixed(trees, net, weight)[np.arange(len(coded.code)), coded.code]
        return float(np.average(-np.log(np.maximum(own, LEAST)), weights=coded.weight))

    return min(np.linspace(0.0, 1.0, 21).tolist(), key=loss)


def main() -> None:
    args = arguments(__doc__)
    found = ground(args.cache)
    base, encoder = reference(found, args.cache), builder(args.cache).encoder
    sets = step_sets(encoder)
    trees = reference_booster(found, args.cache).predict_proba
    own = {"held": trees(found.held.X)} | {view: trees(X) for view, X in found.tests.items()}
    n = encoder.config.vae.hidden
    table: dict[str, Any] = {
        "objects": found.describe(),
        "reference": scores(found.labels, base),
        "alone": {},
        "beside": {},
        "cost": {},
    }
    alone = {}
    for reader in READERS:
        net = kept(args.cache, f"net-{reader}", lambda r=reader: forecasts(found, encoder, r, sets))
        views = {view: net[view] for view in found.tests}
        alone[reader] = found.calibrated(found.calibrator(net["held"]), views)
        table["alone"][reader] = scores(found.labels, alone[reader])
        weight = best_weight(found, own["held"], net["held"])
        both = {view: mixed(own[view], net[view], weight) for view in found.tests}
        after = found.calibrated(found.calibrator(mixed(own["held"], net["held"], weight)), both)
        table["beside"][reader] = {"weight": weight} | differences(found.labels, base, after)
        state = 4 * n * (WINDOW if reader != READERS[0] else encoder.config.vae.layers)
        table["cost"][reader] = {
            "train_cpu_s": round(float(net["cost"][0]), 1),
            "parameters": int(net["cost"][1]),
            "state_bytes": state,
        }
    table["alone, against the last state"] = {
        reader: differences(found.labels, alone[READERS[0]], alone[reader]) for reader in READERS[1:]
    }
    keep("attention", __doc__, ("torch", "lightgbm"), table, args.out)


if __name__ == "__main__":
    main()
