"""The paper's choices in training its autoencoder, each changed alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import t as student

from firstlight._types import Progress
from firstlight.encoder import TrainConfig
from firstlight.pipeline import PipelineConfig
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.models import (
    fold_proba,
    lowest,
    paper_config,
    scored_fold,
    train_autoencoder,
    with_training,
)
from firstlight_paper.page.tables import pivot
from firstlight_paper.scores import NONE, Spread, spread
from firstlight_paper.view import View

#: Statements of the paper on its training (section 4); it prints no number of these trials.
PRINTED: Mapping[str, int | float | str] = {
    "layers": 2, "hidden units": 64, "learning rate": 0.001, "decay": "yes", "batch": 128
}  # fmt: skip
_SCORES = ("accuracy", "macro_f1", "macro_auc", "macro_recall")
TRIED = "patience 2"


@dataclass(frozen=True, kw_only=True)
class SteadyRate(TrainConfig):
    """Training whose learning rate does not decay."""

    def rate_at(self, epoch: int) -> float:
        """The first learning rate, in every epoch."""
        return self.learning_rate


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Epochs, seeds of the printed setting, and the values tried of each choice."""

    epochs: int = 8
    seeds: int = 3
    values: Mapping[str, tuple[int | float | str, ...]] = field(
        default_factory=lambda: {
            "layers": (1, 3),
            "hidden units": (16, 32, 128),
            "learning rate": (3e-4, 3e-3),
            "decay": ("no",),
            "batch": (32, 512),
        }
    )


_FEW: Mapping[str, tuple[int | float | str, ...]] = {
    "layers": (1,), "hidden units": (16,), "learning rate": (3e-3,), "decay": ("no",), "batch": (512,)
}  # fmt: skip


def changed(config: PipelineConfig, setting: str, value: int | float | str) -> PipelineConfig:
    """The printed setting with one choice changed."""
    vae, train = config.encoder.vae, config.encoder.train
    if setting == "layers":
        vae = replace(vae, layers=int(value))
    elif setting == "hidden units":
        vae = replace(vae, hidden=int(value))
    elif setting == "learning rate":
        train = replace(train, learning_rate=float(value))
    elif setting == "batch":
        train = replace(train, batch=int(value))
    elif setting == "decay":
        train = SteadyRate(**{one.name: getattr(train, one.name) for one in fields(train)})
    return replace(config, encoder=replace(config.encoder, vae=vae, train=train))


def _trained(
    context: Context, fold: int, progress: Progress, *, config: PipelineConfig, is_seed: bool = False
) -> Outcome:
    """Train on the first fold; of the printed setting the table's folds are seeds."""
    seed = context.seed + (fold if is_seed else 0)
    latent, history = train_autoencoder(context.objects, 0, config, seed, progress)
    proba = fold_proba(context.objects, latent, 0, seed=seed)
    values = scored_fold(context, "design", 0, proba, metrics=_SCORES)
    values |= more({"validation_loss": lowest(history)["validation_loss"], "epochs": len(history)}, "design")
    return Outcome(values)


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """The printed setting with several seeds, every changed choice, and a shorter patience."""
    config = paper_config(context)
    printed = with_training(config, epochs=amount.epochs, patience=amount.epochs)
    found = [
        Variant(
            name="as printed", work=partial(_trained, config=printed, is_seed=True), folds=range(amount.seeds)
        )
    ]
    for setting, values in amount.values.items():
        for value in values:
            work = partial(_trained, config=changed(printed, setting, value))
            found.append(Variant(name=f"{setting} {value}", work=work, folds=(0,)))
    shorter = partial(_trained, config=with_training(config, patience=2))
    return [*found, Variant(name=TRIED, work=shorter, folds=(0,))]


def limit(seeds: Sequence[float]) -> float:
    """Half the width of the interval in which one more seed falls with 95 % (Student's t); NaN below two."""
    n = len(seeds)
    if n < 2:
        return float("nan")
    return float(student.ppf(0.975, n - 1) * np.std(seeds, ddof=1) * np.sqrt(1.0 + 1.0 / n))


def stop(history: Sequence[Mapping[str, float]], patience: int) -> int:
    """Epochs after which a training with this patience would have stopped."""
    best, best_epoch = float("inf"), 0
    for epoch, row in enumerate(history, start=1):
        if row["validation_loss"] < best:
            best, best_epoch = row["validation_loss"], epoch
        if epoch - best_epoch >= patience:
            return epoch
    return len(history)


def _choices(view: View) -> list[str]:
    return [f"{setting} {value}" for setting, values in view.amount.values.items() for value in values]


def _histories(view: View) -> list[Sequence[Mapping[str, float]]]:
    """Long trainings of the printed setting, one per fold."""
    return [fold["history"] for fold in view.extra("six latents", "latents").values()]


def _patience(view: View, patience: int | None) -> tuple[Spread, Spread]:
    """Epochs and lowest validation loss over folds; None is the patience of the long trainings."""
    kept = [h if patience is None else h[: stop(h, patience)] for h in _histories(view)]
    return spread([len(h) for h in kept]), spread([min(row["validation_loss"] for row in h) for h in kept])


def facts(view: View) -> Mapping[str, Any]:
    """How far seeds scatter, which choices lie beyond, and the savings by early stopping."""
    measures = {"loss": ("validation_loss", NONE), "accuracy": ("accuracy", 16)}
    found: dict[str, Any] = {"n": len(_choices(view))}
    for name, where in measures.items():
        seeds = view.folds("as printed", *where)
        most = limit(seeds)
        change = {c: view.mean(c, *where) - float(np.mean(seeds)) for c in _choices(view)}
        found[name] = {
            "limit": most,
            "change": change,
            "beyond": sorted(c for c, gap in change.items() if abs(gap) > most),
        }
    short, long = _patience(view, 2), _patience(view, None)
    return found | {"short": short, "long": long}


def choices(view: View) -> str:
    """Validation loss and scores of every choice."""
    columns: dict[str, Mapping[str, Any]] = {
        "validation loss": {"metric": "validation_loss", "subset": 0, "digits": 4},
        "accuracy, 16": {"metric": "accuracy"},
        "accuracy, 13 real": {"metric": "accuracy", "subset": 13},
        "macro AUC, 16": {"metric": "macro_auc"},
        "macro AUC, 13 real": {"metric": "macro_auc", "subset": 13},
    }
    printed = ", ".join(f"{name} {value}" for name, value in PRINTED.items())
    rows = {f"as printed: {printed}": {"variant": "as printed"}}
    return pivot(view, rows | {name: {"variant": name} for name in _choices(view)}, columns, "choice")


TRAINING = Part(
    name="training",
    column="design",
    needs=("latents",),
    full=Amount(),
    quick=Amount(epochs=3, seeds=2, values=_FEW),
    variants=variants,
    tables={"choices": choices},
    facts=facts,
)
