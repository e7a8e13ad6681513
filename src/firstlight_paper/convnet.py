"""A convolutional network on light curves, one of the baselines that the paper compares with.

Pasquet et al. (2019, doi:10.1051/0004-6361/201834473) classify light curves in this way. Torch is imported
when training starts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight.encoder.running import N_CHANNELS
from firstlight.encoder.steps import N_CONTEXT, Steps
from firstlight.errors import LeakageError, NotFittedError, missing_extra

_REACH = 5.0  # standard deviations to which the context is clipped


@dataclass(frozen=True, kw_only=True)
class ConvnetConfig:
    """Settings of `Convnet`, fixed beforehand."""

    channels: int = 64
    layers: int = 3
    kernel: int = 5
    hidden: int = 128
    dropout: float = 0.3
    epochs: int = 25
    patience: int = 5
    batch: int = 128
    learning_rate: float = 2e-3


class Convnet:
    """Masked one-dimensional convolutions, maximum and mean over time, two full layers."""

    def __init__(self, config: ConvnetConfig | None = None) -> None:
        self.config = ConvnetConfig() if config is None else config
        self.classes: tuple[str, ...] = ()
        self.history: list[dict[str, float]] = []
        self._net: Any = None
        self._centre = np.zeros(N_CONTEXT, dtype=np.float32)
        self._scale = np.ones(N_CONTEXT, dtype=np.float32)

    def fit(
        self,
        steps: Steps,
        labels: NDArray[np.str_],
        validation: tuple[Steps, NDArray[np.str_]],
        *,
        groups: tuple[NDArray[np.str_], NDArray[np.str_]] | None = None,
        seed: int = 0,
    ) -> Self:
        """Train, and keep the weights of the lowest validation log-loss."""
        if groups is not None and len(np.intersect1d(*groups)):
            raise LeakageError("objects are in training and validation; split by object first")
        torch = _torch()
        self.classes = tuple(np.unique(labels).tolist())
        context = steps.context()
        spread = context.std(axis=0)
        self._centre = context.mean(axis=0)
        self._scale = np.where(spread > 1e-3, spread, np.float32(1.0))
        code = np.searchsorted(self.classes, labels)
        known = np.isin(validation[1], self.classes)
        held = validation[0].take(np.flatnonzero(known))
        held_code = np.searchsorted(self.classes, validation[1][known])
        with _one_thread(torch):
            torch.manual_seed(seed)
            self._net = _network(torch, self.config, len(self.classes))
            self._train(torch, steps, code, held, held_code, np.random.default_rng(seed))
        return self

    def predict_proba(self, steps: Steps) -> NDArray[np.float64]:
        """Class probabilities, shape (n_objects, n_classes), columns `classes`."""
        if self._net is None:
            raise NotFittedError("this network is not trained; call fit")
        torch = _torch()
        out = np.zeros((len(steps), len(self.classes)))
        order = np.argsort(steps.n_steps, kind="stable")
        self._net.eval()
        with _one_thread(torch), torch.no_grad():
            for i in range(0, len(order), 256):
                chosen = order[i : i + 256]
                scores = self._scores(torch, steps.take(chosen)).double()
                out[chosen] = torch.softmax(scores, dim=1).numpy()
        return out

    def _train(
        self,
        torch: Any,
        steps: Steps,
        code: NDArray[np.int64],
        held: Steps,
        held_code: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> None:
        config = self.config
        optimizer = torch.optim.AdamW(self._net.parameters(), lr=config.learning_rate)
        best_loss, best_epoch, best = np.inf, 0, self._net.state_dict()
        for epoch in range(config.epochs):
            fall = 0.5 * (1.0 + np.cos(np.pi * epoch / config.epochs))
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * fall
            self._net.train()
            for chosen in _batches(steps.n_steps, config.batch, rng):
                scores = self._scores(torch, steps.take(chosen))
                loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(code[chosen]))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            chance = self.predict_proba(held)[np.arange(len(held)), held_code]
            held_loss = -float(np.log(np.maximum(chance, 1e-12)).mean()) if len(held) else 0.0
            self.history.append({"epoch": epoch + 1, "validation_loss": held_loss})
            if held_loss < best_loss:
                best_loss, best_epoch = held_loss, epoch
                best = {name: value.clone() for name, value in self._net.state_dict().items()}
            elif epoch - best_epoch >= config.patience:
                break
        self._net.load_state_dict(best)

    def _scores(self, torch: Any, steps: Steps) -> Any:
        """Unnormalised scores of a batch, (batch, n_classes)."""
        context = np.clip((steps.context() - self._centre) / self._scale, -_REACH, _REACH)
        lengths = torch.from_numpy(np.maximum(steps.n_steps, 1))
        x = torch.from_numpy(steps.padded()).transpose(1, 2)
        mask = (torch.arange(x.shape[2]) < lengths[:, None]).unsqueeze(1)
        for layer in self._net["convolutions"]:
            x = torch.relu(layer(x)) * mask  # bins that are not there stay zero for the next layer
        pooled = [x.amax(dim=2), x.sum(dim=2) / lengths[:, None], torch.from_numpy(context)]
        return self._net["head"](torch.cat(pooled, dim=1))


def _torch() -> Any:
    """The module torch; MissingExtraError if it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise missing_extra("the convolutional network", error.name or "torch", "train") from error
    return torch


def _network(torch: Any, config: ConvnetConfig, n_classes: int) -> Any:
    nn = torch.nn
    widths = [N_CHANNELS] + [config.channels] * config.layers
    layers = [nn.Conv1d(a, b, config.kernel, padding=config.kernel // 2) for a, b in pairwise(widths)]
    full = nn.Linear(2 * config.channels + N_CONTEXT, config.hidden)
    last = nn.Linear(config.hidden, n_classes)
    head = nn.Sequential(full, nn.ReLU(), nn.Dropout(config.dropout), last)
    return nn.ModuleDict({"convolutions": nn.ModuleList(layers), "head": head})


def _batches(n_steps: NDArray[np.int64], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Objects in random batches of similar length, so that little is padded."""
    order = np.argsort(n_steps + rng.uniform(0.0, 6.0, len(n_steps)), kind="stable")
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    for k in rng.permutation(len(groups)):
        yield groups[k]


@contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    """One thread, whose sums do not depend on the machine; restored afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
