"""Common stages of several parts: the paper's latents, our pipelines and their inputs, one per fold."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from firstlight._types import Progress
from firstlight.experiments.fold import FoldTask, read_fold, run_fold
from firstlight.metrics import PHASES, phase_name
from firstlight.pipeline import load_preset
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.models import (
    fold_proba,
    judged,
    keep_array,
    lowest,
    paper_config,
    pipeline_of,
    scored_fold,
    train_autoencoder,
)
from firstlight_paper.scores import HEADLINE, PER_CLASS, averaged_roc, confusion

#: Values kept of every epoch.
HISTORY = ("epoch", "train_loss", "validation_loss", "kl", "learning_rate")


def _latents(context: Context, fold: int, progress: Progress) -> Outcome:
    """The paper's autoencoder of six latents, and its booster on them."""
    checkpoint = context.keep("latents") / f"training-{fold + 1}"
    latent, history = train_autoencoder(
        context.objects, fold, paper_config(context), context.seed, progress, checkpoint
    )
    keep_array(context, "latents", fold, "latent", latent)
    proba = fold_proba(context.objects, latent, fold, seed=context.seed)
    values = scored_fold(context, "design", fold, proba)
    training = {"validation_loss": lowest(history)["validation_loss"], "epochs": len(history)}
    rows = [{name: row[name] for name in HISTORY} for row in history]
    return Outcome(values | more(training, "design"), extra={"": {"history": rows}})


def _ours(context: Context, fold: int, progress: Progress) -> Outcome:
    """Our pipeline, and its predictions for test light curves cut at every phase."""
    objects, folder = context.objects, context.keep("ours") / f"fold-{fold + 1}"
    part, config = objects.folds[fold], load_preset(context.scale.preset)
    task = FoldTask(
        name="ours", curves=objects.curves, labels=objects.labels, fold=part, config=config, folder=folder,
        seed=context.seed, jobs=1,
    )  # fmt: skip
    run_fold(task, _stages(progress))
    outcome, labels = Outcome(), objects.labels[part.test]
    for days in PHASES[:-1]:
        outcome.put(f"day {phase_name(days)}", judged(context, part.test, read_fold(folder, days)))
    whole = read_fold(folder)
    roc, micro = averaged_roc(labels, whole.proba)
    outcome.values = judged(context, part.test, whole, HEADLINE, PER_CLASS)
    outcome.values |= {("ours", 16, "micro_auc"): micro, ("", 0, "n_obs"): float(np.median(whole.n_obs))}
    outcome.extra = {"": roc | {"confusion": confusion(labels, whole.proba)}}
    return outcome


def _stages(progress: Progress) -> Progress:
    """One fraction of several stages, by the share of time that each takes."""
    shares = {"encoder": (0.0, 0.3), "training rows": (0.35, 0.35), "classifier": (0.75, 0.25)}

    def one(stage: str, fraction: float) -> None:
        for name, (start, share) in shares.items():
            if name in stage:
                progress(stage, start + share * fraction)

    return one


def _inputs(context: Context, fold: int, progress: Progress) -> Outcome:
    X = pipeline_of(context, fold).inputs(context.objects.curves)
    keep_array(context, "inputs", fold, "X", np.where(np.isfinite(X), X, np.float32(np.nan)))
    return Outcome(more({"n_inputs": X.shape[1]}))


def _each_fold(name: str, work: Any) -> Any:
    def variants(context: Context, amount: None) -> Sequence[Variant]:
        return [Variant(name=name, work=work, folds=range(context.scale.n_folds))]

    return variants


#: The paper's autoencoder of six latents and its booster; parts read the latents by `latents_of`.
LATENTS = Part(name="latents", column="design", variants=_each_fold("six latents", _latents), shown=False)

#: Our pipeline; parts read it by `pipeline_of`, its predictions by `predictions_of`.
OURS = Part(name="ours", variants=_each_fold("whole", _ours), shown=False)

#: Inputs of our classifier, by object; see `inputs_of`.
INPUTS = Part(name="inputs", variants=_each_fold("inputs", _inputs), needs=("ours",), shown=False)
