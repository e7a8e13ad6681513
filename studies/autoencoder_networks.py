"""Networks of `studies/autoencoder.py`: their inputs, their training, and their outputs for every object.

``python -m studies.autoencoder_networks --cache FOLDER [--data FOLDER] [VARIANT ...]`` makes the inputs (two
minutes of one core), trains the networks of each variant (20 to 60 seconds per fold) and keeps their
forecasts; those that exist are not made again. ``--data`` is the folder of real objects of `real_sky`.

A network reads the running summary and the Gaussian process of the features, some also the time
bins of `encoder.steps` by a GRU, and draws a Gaussian latent. From it a head must draw the summary,
rest-frame shape, redshift and Gaussian-process values of the whole light curve, and a classifier the class.
Copies are those of preset `default`: cut at random days, thinned and noisier, observed again by other
surveys, without redshift; re-observed copies borrow visits and errors of objects of their own fold alone.
Nothing of a test fold enters its network, not even without a label. The number of epochs is fixed.
"""

from benchmarks._harness import commit

# isort: split
import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri
from studies.real_sky import read_set
from torch import Tensor, nn
from torch.nn import functional

from firstlight import LightCurves, load_plasticc, load_preset
from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray, StrArray
from firstlight.encoder.config import VaeConfig
from firstlight.encoder.running import N_CHANNELS
from firstlight.encoder.shape import rest_frame_shape
from firstlight.encoder.steps import N_CONTEXT, Steps, make_steps, target_weights
from firstlight.encoder.train import _target_scale
from firstlight.features import extract, features
from firstlight.pipeline.training import training_copies
from firstlight.preprocess import preprocess
from firstlight.splits import fold_numbers, stratified_folds

PHASES = (0.0, 2.0, 8.0, 32.0, np.inf)  # days since trigger at which networks are evaluated
N_FOLDS = 5
COPIES = {"truncations": 4, "augmented": 2, "reobserved": 2}
WHOLE = 0.35  # share of whole light curves in an epoch
HIDDEN, WIDTH, HEAD = 64, 512, 256
EPOCHS, BATCH, RATE, DROP = 30, 256, 2e-3, 0.15
KL, ELBO, GP_TARGETS = 0.001, 0.5, 0.5  # weights; that of the Gaussian process beside all other targets
N_KNOTS = 200
STAGES = ("metadata", "gaussian")  # of the features that a network reads


@dataclass(frozen=True)
class Variant:
    """One kind of network."""

    latent: int = 6
    classes: bool = True  # whether the loss has the classes
    elbo: bool = True  # whether it has reconstruction and KL divergence
    gp: bool = True  # whether Gaussian-process values are read
    recurrent: bool = False  # whether the light curve is read by the GRU
    cut: bool = True  # whether copies are cut at random days
    seed: int = 0
    folds: int = N_FOLDS  # how many, from the first on


#: `joint` networks learn the classes too; `recurrent` ones also read the light curve by the GRU.
VARIANTS: dict[str, Variant] = {
    "joint 6": Variant(),
    "recurrent 6, without GP": Variant(recurrent=True, gp=False),
    "joint 64": Variant(latent=64),
    "joint 6, seed 1": Variant(seed=1),
    "joint 6, seed 2": Variant(seed=2),
    "recurrent 6": Variant(recurrent=True, folds=3),
    "joint 16": Variant(latent=16, folds=3),
    "joint 256": Variant(latent=256, folds=3),
    "classes alone 6": Variant(elbo=False, folds=3),
    "joint 6, without cuts": Variant(cut=False, folds=3),
    "unlabelled 6": Variant(classes=False, folds=3),
    "unlabelled 64": Variant(latent=64, classes=False, folds=3),
}


# --- inputs ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs of some light curves."""

    steps: Steps
    context: Float32Array  # (n_rows, N_CONTEXT)
    gp: Float32Array  # (n_rows, n_gp)

    @classmethod
    def of(cls, curves: LightCurves) -> "Rows":
        """From preprocessed light curves."""
        config = load_preset("default")
        steps = make_steps(curves, config.encoder.steps)
        columns = [i for i, one in enumerate(features()) if one.stage in STAGES]
        return cls(steps, steps.context(), extract(curves, config.features).values[:, columns])

    def save(self, path: Path, **more: AnyArray) -> None:
        """Write to a file."""
        own = {name: getattr(self.steps, name) for name in ("values", "offsets", "summary", "redshift")}
        scale = np.array(self.steps.flux_scale)
        np.savez(path, **own, redshift_err=self.steps.redshift_err, scale=scale, gp=self.gp, **more)

    @classmethod
    def load(cls, path: Path) -> tuple["Rows", dict[str, AnyArray]]:
        """Read the files of `save`."""
        with np.load(path) as file:
            found = {name: file[name] for name in file.files}
        names = ("values", "offsets", "summary", "redshift", "redshift_err")
        columns = {name: found.pop(name) for name in names}
        steps = Steps(**columns, flux_scale=float(found.pop("scale")))
        return cls(steps, steps.context(), found.pop("gp")), found


@dataclass(frozen=True, eq=False)
class Copies:
    """Copies to learn from, with the targets of the network."""

    rows: Rows
    owner: IntArray  # (n_rows,); place of the object
    kind: StrArray  # (n_rows,); whole, cut, thinned, reobserved, unseen
    source: IntArray  # (n_rows,); row of the light curve that is drawn
    shape: Float32Array  # (n_rows, N_SHAPE)
    known: Float32Array  # (n_rows, N_TARGETS)


def objects() -> tuple[LightCurves, StrArray, IntArray]:
    """The training set with photometric redshifts, classes, and the fold of each object."""
    curves, truth = load_plasticc()
    labels = truth.labels_of(curves.object_id)
    folds = stratified_folds(curves.object_id, labels, N_FOLDS, rng=np.random.default_rng(0))
    return curves.with_redshift("photo"), labels, fold_numbers(folds)


def make_inputs(cache: Path, real: Path | None) -> None:
    """Write copies of each fold, all objects as they stood at each phase, and the real objects."""
    curves, labels, fold = objects()
    config = load_preset("default")
    config = replace(config, copies=replace(config.copies, **COPIES))
    kinds = ["whole", *["cut"] * 4, *["thinned"] * 2, *["reobserved"] * 2, "unseen"]
    for k in range(N_FOLDS):
        path = cache / f"copies-{k}.npz"
        if path.exists():
            continue
        own = np.flatnonzero(fold == k)
        made = training_copies(curves.take(own), labels[own], config, np.random.default_rng(k)).curves
        kind = np.repeat(kinds, len(own))
        assert len(kind) == len(made)
        whole = np.tile(np.arange(len(own)), len(kinds))
        source = np.where(kind == "reobserved", np.arange(len(made)), whole)
        shape, known = rest_frame_shape(made)
        Rows.of(made).save(
            path, owner=np.tile(own, len(kinds)), kind=kind, source=source, shape=shape, shape_known=known
        )
        say(path)
    for days in PHASES:
        path = cache / f"view-{days:g}.npz"
        if not path.exists():
            Rows.of(preprocess(curves.upto_phase(days), config.preprocess)).save(path)
            say(path)
    path = cache / "real.npz"
    if real is not None and not path.exists():
        found, types, _, _ = read_set(real)
        shown = preprocess(found.with_redshift("photo"), config.preprocess)
        Rows.of(shown).save(path, object_id=found.object_id, types=types)
        say(path)


def read_copies(cache: Path, fold: int) -> Copies:
    """Copies of the objects of one fold."""
    rows, found = Rows.load(cache / f"copies-{fold}.npz")
    known = np.hstack([target_weights(rows.context), found["shape_known"]])
    return Copies(rows, found["owner"], found["kind"], found["source"], found["shape"], known)


class Scale:
    """Columns as normal deviates of their ranks among the rows to learn from; 0 where undefined."""

    def __init__(self, columns: Float32Array) -> None:
        self.level = ndtri(np.linspace(0.001, 0.999, N_KNOTS))
        self.knots = np.nanquantile(columns, np.linspace(0.0, 1.0, N_KNOTS), axis=0)

    def __call__(self, columns: Float32Array) -> Float32Array:
        """Some rows on that scale."""
        out = np.zeros(columns.shape, np.float32)
        for j in range(columns.shape[1]):
            known = np.isfinite(columns[:, j])
            knots = np.nan_to_num(self.knots[:, j])
            if knots[-1] > knots[0]:
                left = np.interp(columns[known, j], knots, self.level)
                right = -np.interp(-columns[known, j], -knots[::-1], -self.level[::-1])
                out[known, j] = 0.5 * (left + right)  # equal values get the middle of their ranks
        return out


# --- network -----------------------------------------------------------------------------


class Net(nn.Module):
    """Encoder, reconstruction head and classifier."""

    context_mean: Tensor
    context_std: Tensor

    def __init__(self, variant: Variant, n_gp: int, n_targets: int, n_classes: int) -> None:
        super().__init__()
        self.variant = variant
        self.register_buffer("context_mean", torch.zeros(N_CONTEXT))
        self.register_buffer("context_std", torch.ones(N_CONTEXT))
        self.gru = nn.GRU(N_CHANNELS, HIDDEN, 2, batch_first=True) if variant.recurrent else None
        n_in = N_CONTEXT + HIDDEN * variant.recurrent + n_gp * variant.gp
        self.fc = nn.ModuleList([nn.Linear(n_in, WIDTH), nn.Linear(WIDTH, WIDTH)])
        self.mean, self.log_var = nn.Linear(WIDTH, variant.latent), nn.Linear(WIDTH, variant.latent)
        self.head = mlp(variant.latent, HEAD, HEAD, n_targets)
        self.classifier = mlp(variant.latent, 128, n_classes)
        self.drop = nn.Dropout(DROP)

    def scaled(self, context: Tensor) -> Tensor:
        """Context in standard deviations, clipped."""
        return ((context - self.context_mean) / self.context_std).clamp(-5.0, 5.0)

    def encode(self, steps: Tensor, lengths: Tensor, context: Tensor, gp: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent, each (batch, latent)."""
        parts = [self.scaled(context)]
        if self.gru is not None:
            states, _ = self.gru(steps)
            parts.append(states[torch.arange(len(lengths)), lengths - 1])
        if self.variant.gp:
            parts.append(gp)
        x = self.drop(torch.cat(parts, dim=1))
        for layer in self.fc:
            x = self.drop(functional.relu(layer(x)))
        return self.mean(x), self.log_var(x).clamp(-12.0, 4.0)


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def padded(rows: Rows, gp: Float32Array, index: IntArray) -> tuple[Tensor, ...]:
    """Arguments of `Net.encode` for some rows."""
    part = rows.steps.take(index)
    arrays = (part.padded(), np.maximum(part.n_steps, 1), rows.context[index], gp[index])
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)


class Training:
    """Everything that the networks of one fold learn from, and the views on which they are evaluated."""

    def __init__(self, cache: Path, fold: int) -> None:
        _, labels, folds = objects()
        self.cache, self.fold, self.folds = cache, fold, folds
        self.classes, self.label = np.unique(labels, return_inverse=True)
        self.parts = [read_copies(cache, k) for k in range(N_FOLDS) if k != fold]
        self.scale = Scale(np.concatenate([p.rows.gp[p.kind != "reobserved"] for p in self.parts])[::4])
        self.gp = [self.scale(p.rows.gp) for p in self.parts]

    def train(self, variant: Variant) -> Net:
        """A network after its last epoch, as the running mean of its weights."""
        torch.manual_seed(variant.seed)
        rng = np.random.default_rng([variant.seed, self.fold])
        n_gp = self.gp[0].shape[1]
        n_targets = self.parts[0].known.shape[1] + n_gp
        net = Net(variant, n_gp, n_targets, len(self.classes))
        whole = np.concatenate([p.rows.context[p.kind == "whole"] for p in self.parts])
        std = whole.std(axis=0)
        net.context_mean.copy_(torch.from_numpy(whole.mean(axis=0)))
        net.context_std.copy_(torch.from_numpy(np.where(std > 1e-3, std, 1.0).astype(np.float32)))
        weights = torch.from_numpy(_target_scale(whole, VaeConfig()))
        learnt = self.folds != self.fold
        counts = np.maximum(np.bincount(self.label[learnt], minlength=len(self.classes)), 1)
        rarity = torch.from_numpy(
            (counts**-0.5 / (counts**-0.5 * counts).sum() * counts.sum()).astype(np.float32)
        )
        optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.01)
        smooth = {name: value.detach().clone() for name, value in net.named_parameters()}
        net.train()
        steps = 0
        for epoch in range(EPOCHS):
            rate = (
                RATE * min(1.0, (epoch + 1) / 2) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS)))
            )
            for group in optimiser.param_groups:
                group["lr"] = rate
            for k, index in self.batches(variant, rng):
                loss = self.loss(net, k, index, weights, rarity, min(1.0, (epoch + 1) / 5))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                optimiser.step()
                steps += 1
                for name, value in net.named_parameters():
                    smooth[name].lerp_(value.detach(), 1.0 - min(0.995, steps / (steps + 10)))
        net.load_state_dict(dict(net.state_dict()) | smooth)
        return net.eval()

    def batches(self, variant: Variant, rng: np.random.Generator) -> Iterator[tuple[int, IntArray]]:
        """One copy of every object, in random batches of similar length; (part, rows)."""
        groups = []
        for k, part in enumerate(self.parts):
            n = int((part.kind == "whole").sum())
            kinds = part.kind[::n]
            share = np.where(kinds == "whole", WHOLE, (1.0 - WHOLE) / (len(kinds) - 1))
            if not variant.cut:
                share = np.where(kinds == "cut", 0.0, share)
            drawn = rng.choice(len(kinds), n, p=share / share.sum()) * n + np.arange(n)
            order = drawn[
                np.argsort(part.rows.steps.n_steps[drawn] + rng.uniform(0.0, 4.0, n), kind="stable")
            ]
            groups += [(k, order[i : i + BATCH]) for i in range(0, n, BATCH)]
        for g in rng.permutation(len(groups)):
            yield groups[g]

    def loss(self, net: Net, k: int, index: IntArray, weights: Tensor, rarity: Tensor, warm: float) -> Tensor:
        """Negative ELBO and cross-entropy of some rows of a part."""
        part, v = self.parts[k], net.variant
        mean, log_var = net.encode(*padded(part.rows, self.gp[k], index))
        latent = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
        total = torch.zeros(())
        if v.elbo:
            at = part.source[index]
            drawn = net.head(latent)
            n = part.known.shape[1]
            goal = torch.cat(
                [net.scaled(torch.from_numpy(part.rows.context[at])), torch.from_numpy(part.shape[at])], dim=1
            )
            known = torch.from_numpy(part.known[at])
            error = (known * weights * (drawn[:, :n] - goal) ** 2).sum(dim=1).mean()
            error = error + GP_TARGETS * ((drawn[:, n:] - torch.from_numpy(self.gp[k][at])) ** 2).mean()
            kl = 0.5 * (mean**2 + log_var.exp() - 1.0 - log_var).sum(dim=1).mean()
            total = total + (ELBO if v.classes else 1.0) * (error + KL * warm * kl)
        if v.classes:
            label = torch.from_numpy(self.label[part.owner[index]])
            each = functional.cross_entropy(
                net.classifier(latent), label, reduction="none", label_smoothing=0.02
            )
            total = total + (each * rarity[label]).mean()
        return total

    def answers(self, net: Net, rows: Rows) -> tuple[Float32Array, Float32Array]:
        """Latent means and class scores of some rows."""
        gp = self.scale(rows.gp)
        order = np.argsort(rows.steps.n_steps, kind="stable")
        mean = np.empty((len(order), net.variant.latent), np.float32)
        logits = np.empty((len(order), len(self.classes)), np.float32)
        with torch.no_grad():
            for i in range(0, len(order), 512):
                index = order[i : i + 512]
                mean[index] = found = net.encode(*padded(rows, gp, index))[0]
                logits[index] = net.classifier(torch.as_tensor(found))
        return mean, logits


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("variants", nargs="*", default=list(VARIANTS))
    parser.add_argument("--cache", type=Path, default=Path("runs/autoencoder"))
    parser.add_argument("--data", type=Path, help="folder of real objects, as for real_sky")
    parser.add_argument("--folds", type=int, default=N_FOLDS, help="most folds per variant")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.cache.mkdir(parents=True, exist_ok=True)
    make_inputs(args.cache, args.data)
    for fold in range(args.folds):
        todo = [
            n for n in args.variants if fold < VARIANTS[n].folds and not file_of(args.cache, n, fold).exists()
        ]
        if not todo:
            continue
        training = Training(args.cache, fold)
        say(f"fold {fold}")
        for name in todo:
            run(training, name)


def run(training: Training, name: str) -> None:
    """Train a network and keep its latents of all objects and its class scores of the test fold."""
    begun, load = time.process_time(), time.perf_counter()
    net = training.train(VARIANTS[name])
    spent = time.process_time() - begun
    test = training.folds == training.fold
    found = [training.answers(net, Rows.load(training.cache / f"view-{days:g}.npz")[0]) for days in PHASES]
    arrays: dict[str, Any] = {
        "logits": np.stack([logits[test] for _, logits in found], axis=1),  # (n_test, phases, classes)
        "cpu_seconds": np.array(round(spent, 1)),
        "commit": np.array(commit()),
    }
    if not VARIANTS[name].classes:
        arrays["latents"] = np.stack([mean for mean, _ in found], axis=1).astype(np.float16)
    if (training.cache / "real.npz").exists():
        arrays["real"] = training.answers(net, Rows.load(training.cache / "real.npz")[0])[1]
    np.savez(file_of(training.cache, name, training.fold), **arrays)
    right = (arrays["logits"].argmax(axis=2) == training.label[test][:, None]).mean(axis=0).round(3)
    say(f"fold {training.fold}, {name}: {right}, {spent:.0f} s of CPU, {time.perf_counter() - load:.0f} s")


def file_of(cache: Path, name: str, fold: int) -> Path:
    """Where the forecasts of a variant and fold are kept."""
    return cache / f"{name.replace(', ', '-').replace(' ', '-')}-{fold}.npz"


def frequencies(label: IntArray) -> FloatArray:
    """Logarithm of the frequency of each class."""
    counts = np.bincount(label)
    return np.log(counts / counts.sum())


BEGUN = time.perf_counter()


def say(what: object) -> None:
    """Print a line with the time since the start."""
    print(f"[{time.perf_counter() - BEGUN:5.0f} s] {what}", flush=True)


if __name__ == "__main__":
    main()
