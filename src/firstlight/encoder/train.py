"""Training of the encoder: epochs, early stopping, checkpoints that resume exactly.

All randomness of an epoch follows from (seed, epoch), so a resumed run gives the same numbers as an
uninterrupted one. Only this module and `vae` import torch, when training starts.
"""

import csv
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from firstlight._types import Float32Array, IntArray, Progress, StrArray, no_progress
from firstlight.bands import N_BANDS
from firstlight.encoder import running
from firstlight.encoder.augment import augment
from firstlight.encoder.config import EncoderConfig, VaeConfig
from firstlight.encoder.encode import Encoder, gru_weights, half_precision
from firstlight.encoder.graph import build_graph
from firstlight.encoder.shape import N_SHAPE, rest_frame_shape
from firstlight.encoder.steps import CONTEXT_NAMES, Steps, make_steps, target_weights
from firstlight.errors import BundleError, DataError, LeakageError, missing_extra
from firstlight.files import replacing
from firstlight.lightcurves import LightCurves
from firstlight.settings import to_table

if TYPE_CHECKING:
    from firstlight.encoder.vae import Batch, RnnVae

HISTORY_FILE = "history.csv"
CHECKPOINT_FILE = "checkpoint.safetensors"
ACTIVE_KL = 0.1  # nat; a latent below this carries nothing
KL_WARMUP = 5  # epochs over which the weight of the KL divergence grows from zero
#: Columns of the history that come before the KL of each latent.
HISTORY_COLUMNS = (
    "epoch",
    "train_loss",
    "validation_loss",
    "validation_curve",
    "validation_chi2",
    "validation_head",
    "kl",
    "learning_rate",
    "seconds",
)


@dataclass
class _Run:
    """State of the training that a checkpoint keeps."""

    model: "RnnVae"
    optimizer: Any
    epoch: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    best: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let PyTorch use one thread: on layers this small several threads wait for each other, without end."""
    if find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@_one_thread()
def train_encoder(
    curves: LightCurves,
    validation: LightCurves,
    config: EncoderConfig,
    seed: int,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> Encoder:
    """Train an encoder without labels; see `Pipeline.fit` for `seed` and `progress`.

    Parameters
    ----------
    curves, validation : LightCurves
        Training objects, and others for early stopping.
    config : EncoderConfig
        Input, network and training.
    folder : Path, optional
        Where checkpoint and history are written after every epoch. Training resumes from a
        checkpoint of the same configuration, seed and objects.

    Returns
    -------
    Encoder
        With the weights of the best validation loss, and with an ONNX export if onnx is installed.

    Raises
    ------
    DataError
        If there are no training or no validation objects.
    LeakageError
        If an object is in both sets.
    MissingExtraError
        If torch is not installed.
    BundleError
        If the checkpoint in `folder` belongs to another run.
    """
    try:
        import torch
    except ImportError as error:
        raise missing_extra("training", error.name or "torch", "train") from error
    _check_sets(curves, validation)
    torch.manual_seed(seed)
    targets = _make_targets(curves, config)
    run = _start(targets, config)
    checkpoint = None if folder is None else Path(folder) / CHECKPOINT_FILE
    identity = _identity(curves, validation, config, seed)
    if checkpoint is not None and checkpoint.exists():
        _resume(run, checkpoint, identity)
    held_out = list(_validation_batches(validation, config, seed))
    while run.epoch < config.train.epochs and run.epoch - run.best_epoch < config.train.patience:
        row = _epoch(run, curves, targets, config, seed, held_out)
        if checkpoint is not None:
            _save_checkpoint(run, checkpoint, identity)
            _write_history(run.history, checkpoint.with_name(HISTORY_FILE))
        progress(
            f"encoder epoch {run.epoch}/{config.train.epochs}: "
            f"loss {row['train_loss']:.4f}, validation {row['validation_loss']:.4f}",
            run.epoch / config.train.epochs,
        )
    weights = half_precision({name: value.numpy() for name, value in run.best.items()})
    # Wall times stay with the checkpoint: the same seed must give the same bundle, byte for byte.
    history = tuple({key: value for key, value in row.items() if key != "seconds"} for row in run.history)
    graph = None
    if find_spec("onnx") is not None:
        graph = build_graph([gru_weights(weights, layer) for layer in range(config.vae.layers)])
    return Encoder(config, weights, history, graph)


def active_latents(history: tuple[dict[str, float], ...]) -> int:
    """Count the latents that carry more than 0.1 nat at the best epoch of an `Encoder.history`."""
    best = min(history, key=lambda row: row["validation_loss"])
    return sum(value > ACTIVE_KL for name, value in best.items() if name.startswith("kl_"))


def _check_sets(curves: LightCurves, validation: LightCurves) -> None:
    if len(curves) == 0 or len(validation) == 0:
        raise DataError(
            f"an encoder needs training and validation objects; got {len(curves)} and {len(validation)}"
        )
    shared = np.intersect1d(curves.object_id, validation.object_id)
    if len(shared):
        raise LeakageError(
            f"{len(shared)} object(s), such as {shared[0]!r}, are in training and validation; "
            "split by object first"
        )


def _start(targets: "_Targets", config: EncoderConfig) -> _Run:
    """New network and optimiser, scaled to the training set."""
    import torch

    from firstlight.encoder.vae import RnnVae

    model = RnnVae(config.vae)
    context = targets.context
    std = context.std(axis=0)
    model.context_mean.copy_(torch.from_numpy(context.mean(axis=0)))
    # An entry that is constant in training (every redshift known) must not explode when it varies.
    model.context_std.copy_(torch.from_numpy(np.where(std > 1e-3, std, 1.0).astype(np.float32)))
    model.target_scale.copy_(torch.from_numpy(_target_scale(context, config.vae)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.train.learning_rate, weight_decay=0.0)
    return _Run(model, optimizer)


def _target_scale(context: Float32Array, config: VaeConfig) -> Float32Array:
    """Weight of every target, so that each group's weights sum to the group's own."""
    groups = _target_groups()
    weight = {
        "scalar": config.scalar_weight,
        "band": config.band_weight,
        "window": config.window_weight,
        "shape": config.shape_weight,
        "redshift": config.redshift_weight,
        "absolute": config.absolute_weight,
        "none": 0.0,
    }
    varies = np.concatenate([context.std(axis=0) > 1e-3, np.ones(N_SHAPE, dtype=bool)])
    scale = np.zeros(len(groups), dtype=np.float32)
    for name, value in weight.items():
        members = (groups == name) & varies
        scale[members] = value / max(members.sum(), 1)
    total = sum(weight.values())
    return scale / np.float32(total if total > 0 else 1.0)


def _target_groups() -> StrArray:
    """Group of every target: the entries of the context, then those of the shape."""
    n_scalars = running.SUMMARY_NAMES.index("share_u")
    n_bands = running.SUMMARY_NAMES.index("trigger0_u")
    groups = np.full(len(CONTEXT_NAMES), "absolute", dtype="U8")
    groups[:n_scalars] = "scalar"
    groups[n_scalars:n_bands] = "band"
    groups[n_bands : running.N_SUMMARY] = "window"
    for i, name in enumerate(CONTEXT_NAMES):
        if name.endswith("_known") or name == "log_redshift_err":
            groups[i] = "none"
        elif name in ("galactic", "log_redshift"):
            groups[i] = "redshift"
    return np.concatenate([groups, np.full(N_SHAPE, "shape", dtype="U8")])


def _epoch(
    run: _Run,
    curves: LightCurves,
    targets: "_Targets",
    config: EncoderConfig,
    seed: int,
    held_out: "list[Batch]",
) -> dict[str, float]:
    """Train one epoch, validate and keep the best weights; return the row of the history."""
    import torch

    start = time.perf_counter()
    train = config.train
    rng = np.random.default_rng([seed, run.epoch])
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    rate = train.rate_at(run.epoch)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    kl_scale = min(1.0, (run.epoch + 1) / KL_WARMUP)
    run.model.train()
    loss_sum, n_seen = 0.0, 0
    for batch in _training_batches(curves, targets, config, rng):
        noise = torch.randn(len(batch.lengths), config.vae.latent, generator=generator)
        loss = run.model.losses(batch, kl_scale, noise).total
        run.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), 5.0)
        run.optimizer.step()
        loss_sum += loss.item() * len(batch.lengths)
        n_seen += len(batch.lengths)
    run.epoch += 1
    row = {"epoch": float(run.epoch), "train_loss": loss_sum / n_seen}
    row |= _validate(run.model, held_out)
    row |= {"learning_rate": rate, "seconds": time.perf_counter() - start}
    row = {name: row[name] for name in (*HISTORY_COLUMNS, *(n for n in row if n.startswith("kl_")))}
    run.history.append(row)
    if row["validation_loss"] < run.best_loss:
        run.best_loss, run.best_epoch = row["validation_loss"], run.epoch
        run.best = {name: value.clone() for name, value in run.model.state_dict().items()}
    return row


def _validate(model: "RnnVae", held_out: "list[Batch]") -> dict[str, float]:
    import torch

    model.eval()
    sums = np.zeros(4 + model.config.latent)
    n_seen = 0
    with torch.no_grad():
        for batch in held_out:
            losses = model.losses(batch)
            values = [losses.total, losses.curve, losses.chi2, losses.head, *losses.kl]
            sums += len(batch.lengths) * np.array([float(value) for value in values])
            n_seen += len(batch.lengths)
    means = sums / n_seen
    names = ("validation_loss", "validation_curve", "validation_chi2", "validation_head")
    row = dict(zip(names, means[:4].tolist(), strict=True))
    row |= {f"kl_{k + 1}": float(value) for k, value in enumerate(means[4:])}
    return row | {"kl": float(means[4:].sum())}


class _Targets(NamedTuple):
    """Targets of the head: they describe the whole curve, even if the encoder sees a part of it."""

    context: Float32Array  # (n_objects, N_CONTEXT)
    shape: Float32Array  # (n_objects, N_SHAPE)
    known: Float32Array  # (n_objects, N_CONTEXT + N_SHAPE)

    def take(self, index: IntArray) -> "_Targets":
        """Targets of the objects at the given positions."""
        return _Targets(self.context[index], self.shape[index], self.known[index])


def _make_targets(curves: LightCurves, config: EncoderConfig) -> _Targets:
    context = make_steps(curves, config.steps).context()
    shape, known = rest_frame_shape(curves)
    return _Targets(context, shape, np.concatenate([target_weights(context), known], axis=1))


def _training_batches(
    curves: LightCurves, targets: _Targets, config: EncoderConfig, rng: np.random.Generator
) -> "Iterator[Batch]":
    """Augmented objects in random batches of similar length."""
    steps = make_steps(augment(curves, config.train, rng), config.steps)
    order = np.argsort(steps.n_steps + rng.uniform(0.0, 4.0, len(steps)), kind="stable")
    groups = [order[i : i + config.train.batch] for i in range(0, len(order), config.train.batch)]
    for k in rng.permutation(len(groups)):
        yield _batch(steps.take(groups[k]), targets.take(groups[k]))


def _validation_batches(validation: LightCurves, config: EncoderConfig, seed: int) -> "Iterator[Batch]":
    """Each validation object twice: whole, and augmented with the seed."""
    rng = np.random.default_rng([seed, 2**31])
    targets = _make_targets(validation, config)
    for shown in (validation, augment(validation, config.train, rng)):
        steps = make_steps(shown, config.steps)
        order = np.argsort(steps.n_steps, kind="stable")
        for i in range(0, len(order), 256):
            chosen = order[i : i + 256]
            yield _batch(steps.take(chosen), targets.take(chosen))


def _batch(steps: Steps, targets: _Targets) -> "Batch":
    """Pad, and recover the flux of every bin from its channels."""
    import torch

    from firstlight.encoder.vae import Batch

    padded = steps.padded()
    bands = padded[:, :, : running.CHANNELS_PER_BAND * N_BANDS]
    bands = bands.reshape(*padded.shape[:2], N_BANDS, running.CHANNELS_PER_BAND)
    scale = steps.flux_scale
    flux = scale * np.sinh(bands[..., 0] / running.ASINH_UNIT)
    error = bands[..., 2] * np.hypot(scale, flux)
    low = scale * np.sinh(steps.summary[:, running.SUMMARY_NAMES.index("peak")])
    peak = np.maximum(low, scale)[:, None, None]
    observed = bands[..., 3] * (bands[..., 2] < running.LARGEST_ERROR)
    relative = np.clip(flux / peak, -5.0, 5.0) * observed
    arrays = (
        padded,
        np.maximum(steps.n_steps, 1),
        steps.context(),
        *targets,
        relative,
        np.where(observed > 0.0, error / peak, 1.0),
        observed,
    )
    # Order of the fields: steps, lengths, context, target, shape, known, flux, flux_err, observed.
    return Batch(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


def _identity(curves: LightCurves, validation: LightCurves, config: EncoderConfig, seed: int) -> str:
    """Config, seed and data, which must be equal for a checkpoint to be resumed."""
    sets = [curves.fingerprint, validation.fingerprint]
    return json.dumps({"config": to_table(config), "seed": seed, "sets": sets}, sort_keys=True)


def _save_checkpoint(run: _Run, path: Path, identity: str) -> None:
    """Write the checkpoint as one file, which is replaced atomically."""
    from safetensors.torch import save_file

    tensors = {f"model.{name}": value for name, value in run.model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in run.best.items()}
    for i, state in run.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{name}": value for name, value in state.items()}
    note = {
        "epoch": run.epoch,
        "best_loss": run.best_loss,
        "best_epoch": run.best_epoch,
        "history": run.history,
    }
    clones = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    with replacing(path) as partial:
        save_file(clones, partial, metadata={"identity": identity, "run": json.dumps(note)})


def _resume(run: _Run, path: Path, identity: str) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            note = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise BundleError(f"{path}: not a checkpoint ({error}); delete it to start over") from error
    if note.get("identity") != identity:
        raise BundleError(
            f"{path}: a checkpoint of another configuration, seed, data set or version of firstlight; "
            "choose another folder or delete it to start over"
        )

    def part(prefix: str) -> dict[str, Any]:
        return {n[len(prefix) :]: value for n, value in tensors.items() if n.startswith(prefix)}

    run.model.load_state_dict(part("model."))
    run.best = part("best.")
    packed = run.optimizer.state_dict()
    indices = {int(name.split(".")[0]) for name in part("adam.")}
    packed["state"] = {i: part(f"adam.{i}.") for i in sorted(indices)}
    run.optimizer.load_state_dict(packed)
    state = json.loads(note["run"])
    run.epoch, run.history = state["epoch"], state["history"]
    run.best_loss, run.best_epoch = state["best_loss"], state["best_epoch"]


def _write_history(history: list[dict[str, float]], path: Path) -> None:
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
