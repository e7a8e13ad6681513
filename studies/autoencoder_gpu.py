"""Autoencoders of light curves on a GPU, several variants, each for every fold at once.

``python studies/autoencoder_gpu.py INPUT.npz --out FOLDER --seconds 290`` needs torch, numpy and
scikit-learn only; `autoencoder_input.py` makes the input and `autoencoder.py` judges what comes out.

Every variant trains one network per fold (five, each without its test fold) side by side: all layers carry
a leading axis of networks. Variants with `pairs` train ten more, each without two folds, so that every object
has class logits of networks that never saw it: what stacking needs. Nothing of a test fold enters its
network, not even without a label. Curves are generated without end: thinned, noisier, cut at a random phase,
without redshift, or observed again at another redshift with the visits and errors of another object.
Training lasts a share of the time, not a number of epochs; steps are recorded.
"""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from autoencoder_curves import PHASES, QUERIES, Reader, Sky


@dataclass(frozen=True)
class Variant:
    """One network and how it is trained."""

    name: str
    latent: int
    share: float  # of the worker's time
    class_weight: float = 0.0  # of the cross-entropy
    elbo_weight: float = 1.0  # of reconstruction and KL divergence
    backbone: str = "attention"  # or "recurrent": a gated linear recurrence, O(1) per observation
    pairs: bool = False
    gp: bool = True  # Gaussian-process values among the inputs
    summary: bool = True  # running summary among the inputs
    reobserved: float = 0.5  # fraction of transients that are observed again
    cut: float = 0.5  # fraction of the curves that end at a random phase
    batch: int = 160  # curves per network and step
    keep: str = "latents"  # what comes back beside the logits: "latents", "whole" curves of one fold, ""


WORKERS: tuple[tuple[Variant, ...], ...] = (
    (Variant("joint32", 32, 1.0, class_weight=1.0, elbo_weight=0.5, pairs=True, batch=96),),
    (
        Variant("vae6", 6, 1.2),
        Variant("joint6", 6, 1.6, class_weight=1.0, elbo_weight=0.5),
        Variant("vae16", 16, 0.8),
        Variant("class6", 6, 0.8, class_weight=1.0, elbo_weight=0.0),
    ),
    (
        Variant("vae64", 64, 1.0),
        Variant("vae256", 256, 1.0, keep="whole"),
        Variant("vae64 curve alone", 64, 0.7, gp=False, summary=False, keep=""),
        Variant("joint256", 256, 1.0, class_weight=1.0, elbo_weight=0.5, keep=""),
    ),
    (
        Variant("base", 32, 1.0, class_weight=1.0, elbo_weight=0.5, keep=""),
        Variant("recurrent", 32, 1.0, class_weight=1.0, elbo_weight=0.5, backbone="recurrent", keep=""),
        Variant("class32", 32, 1.0, class_weight=1.0, elbo_weight=0.0, keep=""),
        Variant("without GP", 32, 1.0, class_weight=1.0, elbo_weight=0.5, gp=False, keep=""),
        Variant("without copies", 32, 1.0, class_weight=1.0, elbo_weight=0.5, reobserved=0.0, keep=""),
        Variant("without cuts", 32, 1.0, class_weight=1.0, elbo_weight=0.5, cut=0.0, keep=""),
    ),
)

#: Variants whose weights come back, and of how many networks: that without fold 0 and the next.
WEIGHTS = {"joint32": 3, "joint6": 1}


class Lin(nn.Module):
    """A linear layer of each of several networks; input (networks, ..., n_in)."""

    def __init__(self, networks: int, n_in: int, n_out: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(networks, n_in, n_out) * gain / math.sqrt(n_in))
        self.bias = nn.Parameter(torch.zeros(networks, 1, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """One matrix product per network."""
        flat = x.reshape(x.shape[0], -1, x.shape[-1])
        y = torch.bmm(flat, self.weight)
        return (y + self.bias.to(y.dtype)).reshape(*x.shape[:-1], -1)


class Norm(nn.Module):
    """Layer normalisation with a gain of each network; input (networks, batch, time, width)."""

    def __init__(self, networks: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(networks, 1, 1, width))
        self.shift = nn.Parameter(torch.zeros(networks, 1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        return functional.layer_norm(x, x.shape[-1:]) * self.gain + self.shift


class Attention(nn.Module):
    """Causal self-attention: a state sees the states before it."""

    def __init__(self, networks: int, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.inside = Lin(networks, width, 3 * width)
        self.outside = Lin(networks, width, width, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Mix each state with those before it."""
        k, n, t, d = x.shape
        split = self.inside(x).reshape(k * n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(split[0], split[1], split[2], is_causal=True)
        return self.outside(seen.transpose(1, 2).reshape(k, n, t, d))


class Recurrence(nn.Module):
    """A gated recurrence, linear in its state: h = (1 - g) h + g v; by doubling steps, parallel in time."""

    def __init__(self, networks: int, width: int) -> None:
        super().__init__()
        self.inside = Lin(networks, width, 3 * width)
        self.outside = Lin(networks, width, width, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Mix each state with those before it."""
        gate, value, out = self.inside(x).float().chunk(3, dim=-1)
        gate = torch.sigmoid(gate - 1.0)
        decay, state, step = 1 - gate, gate * value, 1
        while step < x.shape[2]:
            state = torch.cat(
                [state[:, :, :step], state[:, :, step:] + decay[:, :, step:] * state[:, :, :-step]], dim=2
            )
            decay = torch.cat([decay[:, :, :step], decay[:, :, step:] * decay[:, :, :-step]], dim=2)
            step *= 2
        return self.outside(state * functional.silu(out))


class Net(nn.Module):
    """Encoders, decoders, heads and classifiers of all folds of one variant."""

    def __init__(self, v: Variant, networks: int, sizes: dict[str, int], n_classes: int) -> None:
        super().__init__()
        self.v = v
        d, wide = 96, 512
        mixer = Attention if v.backbone == "attention" else Recurrence
        self.embed = Lin(networks, sizes["tokens"], d)
        self.mixers = nn.ModuleList([mixer(networks, d) for _ in range(3)])
        self.feeds = nn.ModuleList(
            [nn.ModuleList([Lin(networks, d, 2 * d), Lin(networks, 2 * d, d, 0.5)]) for _ in range(3)]
        )
        self.norms = nn.ModuleList([Norm(networks, d) for _ in range(7)])
        self.score = Lin(networks, d, 1)
        static = sizes["summary"] + sizes["gp"]
        self.fc0 = Lin(networks, static, wide)
        self.fc1 = Lin(networks, 2 * d + wide, wide)
        self.fc2 = Lin(networks, wide, wide)
        self.mean = Lin(networks, wide, v.latent, 0.5)
        self.log_var = Lin(networks, wide, v.latent, 0.1)
        self.head = nn.ModuleList(
            [Lin(networks, v.latent, 256), Lin(networks, 256, 256), Lin(networks, 256, sizes["target"], 0.5)]
        )
        self.draw = nn.ModuleList(
            [
                Lin(networks, v.latent + sizes["query"], 128),
                Lin(networks, 128, 128),
                Lin(networks, 128, 1, 0.5),
            ]
        )
        self.classify = nn.ModuleList([Lin(networks, v.latent, 128), Lin(networks, 128, n_classes, 0.5)])
        for name, size in (("static", static), ("target", sizes["target"])):
            self.register_buffer(f"{name}_mean", torch.zeros(networks, 1, size))
            self.register_buffer(f"{name}_std", torch.ones(networks, 1, size))

    def encode(self, tokens: Tensor, length: Tensor, summary: Tensor, gp: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent; inputs have leading axes (networks, batch)."""
        drop = 0.1 if self.training else 0.0
        x = self.embed(tokens)
        for i, (mix, feed) in enumerate(zip(self.mixers, self.feeds, strict=True)):
            x = x + functional.dropout(mix(self.norms[2 * i](x)), drop)
            x = x + functional.dropout(feed[1](functional.gelu(feed[0](self.norms[2 * i + 1](x)))), drop)
        x = self.norms[6](x)
        last = x.gather(2, (length - 1)[:, :, None, None].expand(-1, -1, 1, x.shape[-1]))[:, :, 0]
        valid = torch.arange(x.shape[2], device=x.device) < length[:, :, None]
        score = self.score(x)[..., 0].float().masked_fill(~valid, -1e4).softmax(dim=2)
        pooled = (score[..., None].to(x.dtype) * x).sum(dim=2)
        if not self.v.summary:
            summary = torch.zeros_like(summary)
        if not self.v.gp:
            gp = torch.zeros_like(gp)
        static = torch.cat([summary, gp], dim=2)
        static = ((static - self.static_mean) / self.static_std).clamp(-5, 5)
        if not self.v.summary and not self.v.gp:
            static = torch.zeros_like(static)
        static = functional.gelu(self.fc0(functional.dropout(static, drop)))
        y = functional.gelu(
            self.fc1(functional.dropout(torch.cat([last, pooled, static.to(x.dtype)], dim=2), 2 * drop))
        )
        y = functional.gelu(self.fc2(functional.dropout(y, 2 * drop)))
        return self.mean(y).float(), self.log_var(y).float().clamp(-12, 4)

    def losses(
        self, batch: dict[str, Tensor], label: Tensor, weight: Tensor, warm: float
    ) -> tuple[Tensor, Tensor]:
        """Loss and its parts (head, curve, KL, class), each summed over networks."""
        mean, log_var = self.encode(batch["tokens"], batch["length"], batch["summary"], batch["gp"])
        latent = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        zero = torch.zeros((), device=mean.device)
        head = curve = kl = cross = zero
        if self.v.elbo_weight > 0.0:
            goal = ((batch["target"] - self.target_mean) / self.target_std).clamp(-5, 5)
            drawn = self.head[2](functional.gelu(self.head[1](functional.gelu(self.head[0](latent))))).float()
            error = batch["target_weight"] * (drawn - goal) ** 2
            head = (error.sum(dim=2) / batch["target_weight"].sum(dim=2).clamp(min=1)).mean(dim=1).sum()
            query = torch.cat([latent[:, :, None].expand(-1, -1, QUERIES, -1), batch["query"].float()], dim=3)
            model = self.draw[2](functional.gelu(self.draw[1](functional.gelu(self.draw[0](query))))).float()[
                ..., 0
            ]
            w = batch["query_weight"]
            amplitude = ((w * batch["query_flux"] * model).sum(dim=2) + 1) / ((w * model**2).sum(dim=2) + 1)
            off = w * (batch["query_flux"] - amplitude[..., None] * model) ** 2
            curve = (off.sum(dim=2) / QUERIES).mean(dim=1).sum()
            kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(dim=2).mean(dim=1).sum()
        if self.v.class_weight > 0.0:
            logits = self.classes(latent)
            each = functional.cross_entropy(
                logits.flatten(0, 1), label.flatten(), reduction="none", label_smoothing=0.02
            )
            each = each.reshape(label.shape) * weight
            cross = (each.sum(dim=1) / weight.sum(dim=1)).sum()
        total = self.v.elbo_weight * (head + 0.05 * curve + 0.001 * warm * kl) + self.v.class_weight * cross
        return total, torch.stack([head, curve, kl, cross]).detach()

    def classes(self, latent: Tensor) -> Tensor:
        """Logits of the classes."""
        return self.classify[1](functional.gelu(self.classify[0](latent))).float()


class Study:
    """One worker: trains its variants one after another and writes what came out."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        torch.manual_seed(100 + args.worker)
        torch.backends.cuda.matmul.allow_tf32 = False  # the Gaussian process needs all of float32
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device.type == "cpu":
            torch.set_num_threads(1)
        self.sky = Sky(args.input, self.device, args.objects)
        self.reader = Reader(self.sky)
        self.arrays: dict[str, Any] = {}
        self.say(f"{self.sky.n} objects, {len(self.sky.surface)} surfaces on {self.device}")
        self.checks = [self._pool_at(phase) for phase in PHASES]
        self.sync()
        self.say("read all phases")

    def say(self, text: str) -> None:
        """Print a line with the time since the start."""
        print(f"[{time.time() - self.args.begun:6.1f} s] worker {self.args.worker}: {text}", flush=True)

    def sync(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def half(self) -> torch.autocast:
        """Arithmetic in bfloat16 on a GPU."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def left(self) -> float:
        """Seconds that are left."""
        return float(self.args.begun + self.args.seconds - time.time())

    def _pool_at(self, phase: float) -> dict[str, Tensor]:
        limit = torch.full((self.sky.n,), phase, device=self.device)
        return self.reader.pool(self.sky.curves, limit, targets=False)

    def run(self) -> None:
        """Train and measure every variant of this worker."""
        variants = WORKERS[self.args.worker]
        for i, v in enumerate(variants):
            rest = variants[i:]
            seconds = (self.left() - self.args.reserve * len(rest)) * v.share / sum(r.share for r in rest)
            if seconds < 2.0:
                self.say(f"no time left for {v.name}")
                continue
            try:
                self.variant(v, seconds)
            except Exception:  # a variant that fails must not take the others along
                self.say(f"{v.name} failed\n{traceback.format_exc()}")
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()

    def variant(self, v: Variant, seconds: float) -> None:
        """Train and measure one variant."""
        hidden = [(k,) for k in range(5)]
        if v.pairs:
            hidden += list(itertools.combinations(range(5), 2))
        seen = torch.stack(
            [~torch.isin(self.sky.fold, torch.tensor(h, device=self.device)) for h in hidden]
        )  # (networks, objects)
        pool = self._augmented(v)
        sizes = {name: pool[name].shape[-1] for name in ("tokens", "summary", "gp", "target", "query")}
        torch.manual_seed(7)
        net = Net(v, len(hidden), sizes, self.sky.n_classes).to(self.device)
        self._scale(net, pool, seen)
        smooth = [p.detach().clone() for p in net.parameters()]
        row: dict[str, Any] = {"variant": asdict(v), "networks": len(hidden), "worker": self.args.worker}
        row |= self._train(v, net, smooth, pool, seen, seconds)
        with torch.no_grad():
            for p, s in zip(net.parameters(), smooth, strict=True):
                p.copy_(s)
        start = time.time()
        row |= self._measure(v, net, hidden)
        row["measure_seconds"] = round(time.time() - start, 1)
        with (self.args.out / "results.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        whole = row["probe"][-1]
        self.say(
            f"{v.name}: {row['steps']} steps, probe {whole}, classifier {row.get('classifier', [None])[-1]}"
        )

    def _augmented(self, v: Variant) -> dict[str, Tensor]:
        with torch.no_grad():
            return self.reader.pool(*self.sky.augment(v.reobserved, v.cut))

    def _scale(self, net: Net, pool: dict[str, Tensor], seen: Tensor) -> None:
        """Mean and scatter of inputs and targets over the objects that each network may see."""
        for name, values in (
            ("static", torch.cat([pool["summary"], pool["gp"]], 1)),
            ("target", pool["target"]),
        ):
            for k in range(len(seen)):
                own = values[seen[k]]
                std = own.std(dim=0)
                getattr(net, f"{name}_mean")[k, 0] = own.mean(dim=0)
                getattr(net, f"{name}_std")[k, 0] = torch.where(std > 1e-3, std, 1.0)

    def _train(
        self,
        v: Variant,
        net: Net,
        smooth: list[Tensor],
        pool: dict[str, Tensor],
        seen: Tensor,
        seconds: float,
    ) -> dict[str, Any]:
        count = seen.sum(dim=1, keepdim=True)  # (networks, 1)
        index = seen.int().argsort(dim=1, descending=True, stable=True)  # the first `count` are seen
        rarity = (
            torch.stack([torch.bincount(self.sky.label[s], minlength=self.sky.n_classes) for s in seen])
            .clamp(min=1)
            .float()
            ** -0.5
        )
        optimiser = torch.optim.AdamW(
            net.parameters(), lr=1e-3, weight_decay=0.02, fused=self.device.type == "cuda"
        )
        parameters = list(net.parameters())
        start, steps, log, sums = time.time(), 0, [], torch.zeros(4, device=self.device)
        net.train()
        while True:
            part = (time.time() - start) / seconds
            if part >= 1.0 or steps >= self.args.steps:
                break
            if steps and steps % 64 == 0:
                pool = self._augmented(v)
            rate = 1e-3 * min(1.0, (steps + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))
            for group in optimiser.param_groups:
                group["lr"] = rate
            place = (torch.rand(len(seen), v.batch, device=self.device) * count).long()
            chosen = index.gather(1, place)
            batch = {name: value[chosen] for name, value in pool.items()}
            label = self.sky.label[chosen]
            with self.half():
                loss, parts = net.losses(batch, label, rarity.gather(1, label), min(1.0, steps / 300))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            clip(parameters)
            optimiser.step()
            decay = min(0.995, (steps + 1) / (steps + 10))
            with torch.no_grad():
                torch._foreach_lerp_(smooth, parameters, 1 - decay)
            sums += parts
            steps += 1
            if steps % 256 == 0:
                log.append([steps, *(sums / 256 / len(seen)).tolist()])
                sums.zero_()
                if steps % 1024 == 0:
                    self.say(
                        f"{v.name}: step {steps}, head curve KL class {[round(x, 3) for x in log[-1][1:]]}"
                    )
        return {
            "steps": steps,
            "train_seconds": round(time.time() - start, 1),
            "curves_per_network": steps * v.batch,
            "losses": "step, head, curve, KL, class",
            "history": [[round(float(x), 4) for x in one] for one in log],
        }

    def _measure(self, v: Variant, net: Net, hidden: list[tuple[int, ...]]) -> dict[str, Any]:
        """Latents and logits at all phases; keep them, and score each fold on what it never saw."""
        net.eval()
        latents, logits = zip(*(self._read(net, check) for check in self.checks), strict=True)
        latent, logit = torch.stack(latents, 1), torch.stack(logits, 1)  # (networks, phases, objects, ...)
        everyone = torch.arange(self.sky.n, device=self.device)
        result: dict[str, Any] = {"probe": [], "active": int((latent[0, -1].std(dim=0) > 0.1).sum())}
        probed = probe(latent[:5], self.sky)
        for p in range(len(PHASES)):
            result["probe"].append(scores(probed[:, p], self.sky))
        if v.class_weight > 0.0:
            own = logit[
                self.sky.fold, :, everyone
            ]  # (objects, phases, classes) by the network of the own fold
            result["classifier"] = [scores(own[:, p], self.sky) for p in range(len(PHASES))]
            self.arrays[f"{v.name}|logits"] = own.half().cpu().numpy()
            if v.pairs:
                honest = []
                for other in range(1, 5):
                    two = (self.sky.fold + other) % 5
                    key = {h: i for i, h in enumerate(hidden)}
                    which = torch.tensor(
                        [
                            key[tuple(sorted((a, b)))]
                            for a, b in zip(self.sky.fold.tolist(), two.tolist(), strict=True)
                        ],
                        device=self.device,
                    )
                    honest.append(logit[which, :, everyone])
                pairs = torch.stack(honest)
                result["pairs"] = [
                    scores(pairs[:, :, p].softmax(-1).mean(0).log(), self.sky) for p in range(5)
                ]
                # entry k - 1 of an object in fold f: the network that saw neither f nor (f + k) modulo 5
                self.arrays[f"{v.name}|pairs"] = pairs.half().cpu().numpy()
        if v.keep == "latents":
            self._keep(v.name, latent[:5])
        elif v.keep == "whole":
            self._keep(v.name, latent[:1, -1:])
        np.savez_compressed(self.args.out / f"worker{self.args.worker}.npz", **self.arrays)
        some = WEIGHTS.get(v.name, 0)
        if some:
            weights = {n: p[:some].half().cpu().numpy() for n, p in net.state_dict().items() if is_encoder(n)}
            np.savez_compressed(self.args.out / f"weights-{v.name}.npz", **weights)
        return result

    def _keep(self, name: str, latent: Tensor) -> None:
        if latent.shape[-1] <= 6:
            self.arrays[f"{name}|latents"] = latent.half().cpu().numpy()
            return
        width = latent.std(dim=(1, 2), keepdim=True) / 24.0  # 127 steps are 5.3 standard deviations
        self.arrays[f"{name}|latents"] = (
            (latent / width).round().clamp(-127, 127).to(torch.int8).cpu().numpy()
        )
        self.arrays[f"{name}|unit"] = width.float().cpu().numpy()

    def _read(self, net: Net, check: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        found = []
        networks = len(net.embed.weight)
        for i in range(0, self.sky.n, 512):
            part = {n: x[i : i + 512].expand(networks, *x[i : i + 512].shape) for n, x in check.items()}
            with torch.no_grad(), self.half():
                mean, _ = net.encode(part["tokens"], part["length"], part["summary"], part["gp"])
                found.append((mean, net.classes(mean)))
        return torch.cat([f[0] for f in found], dim=1), torch.cat([f[1] for f in found], dim=1)


def is_encoder(name: str) -> bool:
    return not name.startswith(("head", "draw", "target"))


def clip(parameters: list[nn.Parameter], most: float = 1.0) -> None:
    """Limit the norm of each network's gradient by itself."""
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([g.flatten(1).square().sum(dim=1) for g in grads]).sum(dim=0).sqrt()
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    for g in grads:
        g.mul_(factor.reshape(-1, *[1] * (g.dim() - 1)))


def probe(latent: Tensor, sky: Sky) -> Tensor:
    """Logits of a linear classifier on standardised latents of all phases, (objects, phases, classes).

    Each fold's classifier learns from the other folds.
    """
    networks, n_phases, n, d = latent.shape
    out = torch.zeros(n, n_phases, sky.n_classes, device=latent.device)
    for k in range(networks):
        learn, test = sky.fold != k, sky.fold == k
        x = latent[k].float()
        mean, std = x[:, learn].mean(dim=(0, 1)), x[:, learn].std(dim=(0, 1)).clamp(min=1e-4)
        x = ((x - mean) / std).clamp(-8, 8)
        inputs, label = x[:, learn].flatten(0, 1), sky.label[learn].repeat(n_phases)
        weight = torch.bincount(label, minlength=sky.n_classes).clamp(min=1).float() ** -0.5
        w = torch.zeros(d + 1, sky.n_classes, device=latent.device, requires_grad=True)
        optimiser = torch.optim.Adam([w], lr=0.1)
        for step in range(150):
            optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 150) + 1e-3
            loss = (
                functional.cross_entropy(inputs @ w[:-1] + w[-1], label, weight) + 1e-4 * (w[:-1] ** 2).sum()
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        out[test] = (x[:, test] @ w[:-1] + w[-1]).transpose(0, 1).detach()
    return out


def scores(logits: Tensor, sky: Sky) -> dict[str, Any]:
    """Accuracy, macro F1, macro AUC and log-loss, means over the folds, and accuracy fold by fold."""
    from sklearn.metrics import f1_score, roc_auc_score

    proba = logits.double().softmax(dim=-1).cpu().numpy()
    label, fold = sky.label.cpu().numpy(), sky.fold.cpu().numpy()
    rows = []
    for k in range(5):
        p, y = proba[fold == k], label[fold == k]
        auc = [roc_auc_score(y == c, p[:, c]) for c in range(sky.n_classes) if 0 < (y == c).sum() < len(y)]
        rows.append(
            [
                float((p.argmax(1) == y).mean()),
                float(f1_score(y, p.argmax(1), average="macro")),
                float(np.mean(auc)),
                float(-np.log(p[np.arange(len(y)), y].clip(1e-7)).mean()),
            ]
        )
    mean = np.mean(rows, axis=0)
    names = ("accuracy", "macro_f1", "macro_auc", "log_loss")
    result: dict[str, Any] = {name: round(float(x), 4) for name, x in zip(names, mean, strict=True)}
    return result | {"folds": [round(r[0], 4) for r in rows]}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=290.0, help="stop by itself after this many")
    parser.add_argument("--reserve", type=float, default=9.0, help="seconds to measure one variant")
    parser.add_argument("--steps", type=int, default=10**9, help="most steps per variant")
    parser.add_argument("--objects", type=int, default=10**9, help="first objects only, for a trial")
    parser.add_argument("--worker", type=int, default=-1)
    parser.add_argument("--begun", type=float, default=time.time())
    return parser.parse_args()


def main() -> None:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.worker >= 0:
        Study(args).run()
        return
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    jobs = [
        subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--worker", str(k), "--begun", str(args.begun)]
        )
        for k in range(len(WORKERS))
    ]
    deadline = args.begun + args.seconds + 40.0
    for job in jobs:
        try:
            job.wait(timeout=max(1.0, deadline - time.time()))
        except subprocess.TimeoutExpired:
            print("a worker ran over its time and was stopped", flush=True)
            job.kill()
    print(f"[{time.time() - args.begun:6.1f} s] done", sorted(os.listdir(args.out)), flush=True)


if __name__ == "__main__":
    main()
