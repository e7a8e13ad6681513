"""Table 1 of the paper: the number of latent features against accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.classify.gradient import SklearnBoosterConfig
from firstlight.encoder.train import active_latents
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.leak import leaky_proba, leaky_rows
from firstlight_paper.models import (
    PLAIN,
    fold_proba,
    lowest,
    paper_config,
    scored_fold,
    train_autoencoder,
    with_training,
)
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.page.tables import pivot
from firstlight_paper.printed import PRINTED_TABLE_1
from firstlight_paper.scores import scored
from firstlight_paper.view import View

_SCORES = ("accuracy", "macro_f1", "macro_auc", "macro_recall")


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Numbers of latents, folds and epochs; rows of the paper's protocol; the booster of both columns."""

    latents: tuple[int, ...] = (*range(1, 11), 12, 15, 20, 25)
    folds: int = 2
    epochs: int = 12
    leaky_rows: int = 12_000
    booster: SklearnBoosterConfig = PLAIN


_WEAK = replace(PLAIN, n_estimators=60)
FEW = Amount(latents=(1, 3, 6, 8, 15, 25), epochs=3, leaky_rows=2_000, booster=_WEAK)


def _trained(context: Context, fold: int, progress: Progress, *, latents: int, amount: Amount) -> Outcome:
    """One autoencoder and its booster, on unseen objects and, on the first fold, by the paper's protocol."""
    objects, seed = context.objects, context.seed + fold
    config = with_training(paper_config(context, latent=latents), epochs=amount.epochs)
    latent, history = train_autoencoder(objects, fold, config, seed, progress)
    proba = fold_proba(objects, latent, fold, amount.booster, seed)
    values = scored_fold(context, "design", fold, proba, metrics=_SCORES)
    training = {"validation_loss": lowest(history)["validation_loss"], "active": active_latents(history)}
    values |= more(training, "design")
    if fold == 0:  # the leak is a demonstration: one fold of it is enough, and costs as much as the rest
        rows = leaky_rows(objects.labels, context.rng("table-1", "leak", fold), most=amount.leaky_rows)
        proba = leaky_proba(objects, latent, rows, amount.booster, seed)
        values |= scored("protocol", objects.labels[rows.test], proba, objects.simulated[rows.test], _SCORES)
        values |= more(rows.counts(), "protocol")
    return Outcome(values)


def _largest_class(context: Context, fold: int, progress: Progress) -> Outcome:
    """Accuracy of naming every test object after the largest class."""
    labels = context.objects.labels[context.objects.folds[fold].test]
    return Outcome({("", 16, "accuracy"): max(float(np.mean(labels == name)) for name in PAPER_CLASSES)})


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """One variant per number of latents, the slowest first."""
    folds = range(min(amount.folds, context.scale.n_folds))
    found = [Variant(name="largest class", work=_largest_class, folds=folds)]
    for n in sorted(amount.latents, reverse=True):
        found.append(Variant(name=str(n), work=partial(_trained, latents=n, amount=amount), folds=folds))
    return found


def difference_error(values: NDArray[np.float64]) -> float:
    """Standard error of the difference of two rows' means on the same folds; NaN below two of either."""
    n_rows, n_folds = values.shape
    if min(n_rows, n_folds) < 2:
        return float("nan")
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return float(np.sqrt((rest**2).sum() / ((n_rows - 1) * (n_folds - 1)) * 2.0 / n_folds))


def saturation(latents: Sequence[int], mean: Sequence[float], error: float) -> int:
    """Fewest latents whose mean is within twice the error of the best mean; NaN counts as no error."""
    enough = max(mean) - 2.0 * (error if np.isfinite(error) else 0.0)
    return next(n for n, value in zip(latents, mean, strict=True) if value >= enough)


def facts(view: View) -> Mapping[str, Any]:
    """The best number of latents, the error of differences, and the gain of the leak on the same fold."""
    latents = view.amount.latents
    honest = np.array([view.folds(str(n), "accuracy") for n in latents])
    mean, error = honest.mean(axis=1), difference_error(honest)
    loss = {n: view.mean(str(n), "validation_loss", 0) for n in latents}
    leak = np.array([view.mean(str(n), "accuracy", column="protocol") for n in latents])
    best, most = int(np.argmax(mean)), int(np.argmax(leak))
    upto = [value for n, value in zip(latents, mean, strict=True) if 6 <= n <= 8]
    return {
        "best": latents[best],
        "best_accuracy": mean[best],
        "error": error,
        "enough": saturation(latents, mean.tolist(), error),
        "behind": mean[best] - mean[latents.index(6)],
        "lowest_loss": min(loss, key=lambda n: loss[n]),
        "loss": loss,
        "six_to_eight": float(np.mean(upto)),
        "beyond_eight": [value for n, value in zip(latents, mean, strict=True) if n > 8],
        "leak_best": latents[most],
        "leak_gain": leak - honest[:, 0],
        "blind": 1.0 / len(PAPER_CLASSES),
    }


def table(view: View) -> str:
    """Table 1 in three columns, with further scores of the honest one."""
    rows: dict[str, Mapping[str, Any]] = {}
    for n in view.amount.latents:
        rows[str(n)] = {"variant": str(n)}
        if n == 6:
            title = f"6, {view.about.encoder_epochs} epochs, {view.about.n_folds} folds"
            rows[title] = {"part": "latents", "variant": "six latents"}
    accuracy = {"metric": "accuracy"}
    columns: dict[str, Mapping[str, Any]] = {
        "as published": accuracy | {"column": "printed", "digits": 3},
        "paper's protocol (leaks)": accuracy | {"column": "protocol"},
        "split by object, 16 classes": accuracy,
        "split by object, 13 real": accuracy | {"subset": 13},
        "macro F1, 16": {"metric": "macro_f1"},
        "macro F1, 13 real": {"metric": "macro_f1", "subset": 13},
        "macro AUC, 16": {"metric": "macro_auc"},
        "macro AUC, 13 real": {"metric": "macro_auc", "subset": 13},
        "validation loss": {"metric": "validation_loss", "subset": 0, "digits": 4},
    }
    return pivot(view, rows, columns, "latents")


TABLE_1 = Part(
    name="table-1",
    column="design",
    needs=("latents",),
    full=Amount(),
    quick=FEW,
    variants=variants,
    printed={str(n): {(16, "accuracy"): value} for n, value in PRINTED_TABLE_1.items()},
    tables={"table-1": table},
    facts=facts,
)
