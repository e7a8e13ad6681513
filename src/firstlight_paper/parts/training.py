"""The paper's choices in training its autoencoder, each changed alone.

Layers, hidden units, learning rate and its decay, batch size and early stopping, on one
fold, against several seeds of the printed setting: only what differs by more than the
seeds do is a difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from firstlight.encoder import TrainConfig
from firstlight_paper.booster import fold_proba
from firstlight_paper.parts.training_plots import draw_losses, draw_settings
from firstlight_paper.parts.training_words import limit, what_it_says
from firstlight_paper.scores import scored, spread, spread_of
from firstlight_paper.section import Block, Part, Picture, Section, Table, number, plus_minus
from firstlight_paper.shared import (
    Autoencoder,
    encode_folds,
    latents_of,
    seed_config,
    train_autoencoder,
    with_training,
)
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["PART", "SteadyRate", "Trial", "stop"]

STAGE, STOPPED, LONG = "training", "training-stopped", "training-long"

#: What the paper says of its training (section 4); it prints no number of these trials.
PRINTED = {"layers": 2, "hidden units": 64, "learning rate": 0.001, "decay": "yes", "batch": 128}
PATIENCES = (1, 2, 3, 5)
TRIED_PATIENCE = 2  # epochs; the one that is trained for its accuracy
_SCORES = ("accuracy", "macro_f1", "macro_auc", "macro_recall")
_HISTORY = ("epoch", "train_loss", "validation_loss", "kl", "learning_rate")


@dataclass(frozen=True, kw_only=True)
class SteadyRate(TrainConfig):
    """Training whose learning rate does not decay."""

    def rate_at(self, epoch: int) -> float:
        """The first learning rate, in every epoch."""
        return self.learning_rate


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training that differs from the printed setting in at most one choice.

    Attributes
    ----------
    setting : str
        Name of the choice, a key of `PRINTED`.
    value : int, float or str
        What was chosen.
    autoencoder : Autoencoder
        What is trained.
    """

    setting: str
    value: int | float | str
    autoencoder: Autoencoder


@dataclass(frozen=True, kw_only=True)
class _Amount:
    """How much of this part is computed at a scale."""

    epochs: int
    seeds: int
    values: Mapping[str, tuple[int | float | str, ...]]


_FULL = _Amount(
    epochs=8,
    seeds=3,
    values={
        "layers": (1, 3),
        "hidden units": (16, 32, 128),
        "learning rate": (3e-4, 3e-3),
        "decay": ("no",),
        "batch": (32, 512),
    },
)
_QUICK = _Amount(
    epochs=3,
    seeds=2,
    values={
        "layers": (1,),
        "hidden units": (16,),
        "learning rate": (3e-3,),
        "decay": ("no",),
        "batch": (512,),
    },
)
_FOLD = 0


def _measure(workshop: Workshop) -> dict[str, Any]:
    """Every trial, the seeds of the printed setting, and early stopping on the long trainings."""
    bench = workshop.bench
    amount = _FULL if bench.scale.is_full else _QUICK
    trials = _trials(bench, amount)
    done = workshop.map(STAGE, _trained, trials)
    seeds = [done[f"printed-seed-{number + 1}"] for number in range(amount.seeds)]
    joined = spread_of([seed["scores"] for seed in seeds])
    loss = spread([seed["validation_loss"] for seed in seeds])
    honest = _brief(joined) | {"validation_loss": loss}
    rows = [_row(trial, done[name]) for name, trial in trials.items() if trial.autoencoder.seed == bench.seed]
    return {
        "printed": PRINTED,
        "leak": None,
        "honest": honest,
        "protocol": _protocol(bench, amount),
        "limit": {
            "validation_loss": limit(loss["folds"]),
            "accuracy": limit(joined["sixteen"]["accuracy"]["folds"]),
        },
        "rows": rows,
        "early_stopping": _early_stopping(workshop),
    }


def _trials(bench: Bench, amount: _Amount) -> dict[str, Trial]:
    """Name -> trial; the printed setting first, once a seed."""
    config = seed_config(bench)
    printed = replace(config.encoder.train, epochs=amount.epochs, patience=amount.epochs)

    def trial(setting: str, value: int | float | str, seed: int) -> Trial:
        vae, train = config.encoder.vae, printed
        if setting == "layers":
            vae = replace(vae, layers=int(value))
        elif setting == "hidden units":
            vae = replace(vae, hidden=int(value))
        elif setting == "learning rate":
            train = replace(train, learning_rate=float(value))
        elif setting == "batch":
            train = replace(train, batch=int(value))
        elif setting == "decay":
            train = SteadyRate(**{field.name: getattr(train, field.name) for field in fields(train)})
        encoder = replace(config.encoder, vae=vae, train=train)
        return Trial(
            setting=setting,
            value=value,
            autoencoder=Autoencoder(_FOLD, replace(config, encoder=encoder), seed),
        )

    trials = {
        f"printed-seed-{number + 1}": trial("printed", "", bench.seed + number)
        for number in range(amount.seeds)
    }
    for setting, values in amount.values.items():
        for value in values:
            name = f"{setting.replace(' ', '-')}-{value}"
            trials[name] = trial(setting, value, bench.seed)
    return trials


def _trained(bench: Bench, item: Trial, report: Report) -> dict[str, Any]:
    """Train, classify the fold's test objects, keep the course of the losses."""
    latent, history = train_autoencoder(
        bench, item.autoencoder, lambda words, done: report(words, 0.8 * done)
    )
    return _outcome(history) | {
        "scores": _scores(bench, latent, item.autoencoder),
        "history": [{name: row[name] for name in _HISTORY} for row in history],
    }


def _outcome(history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    best = min(history, key=lambda row: row["validation_loss"])
    return {
        "validation_loss": best["validation_loss"],
        "best_epoch": best["epoch"],
        "epochs": len(history),
    }


def _scores(bench: Bench, latent: Any, autoencoder: Autoencoder) -> dict[str, Any]:
    objects = bench.objects
    test = objects.folds[autoencoder.fold].test
    proba = fold_proba(objects, latent, autoencoder.fold, seed=autoencoder.seed)
    result = scored(objects.labels[test], proba, objects.simulated[test])
    # The classes' own scores belong to another part.
    return {name: values | {"per_class": {}, "confusion": [[0]]} for name, values in result.items()}


def _row(trial: Trial, done: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "setting": trial.setting,
        "value": trial.value,
        "printed": None,
        "leak": None,
        "honest": done["scores"]["sixteen"]["accuracy"],
        "scores": _brief(done["scores"]),
        "validation_loss": done["validation_loss"],
        "best_epoch": done["best_epoch"],
        "history": done["history"],
    }


def _brief(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {score: scores[name][score] for score in _SCORES} for name in ("sixteen", "real")}


# --- early stopping ---------------------------------------------------------------


def stop(history: Sequence[Mapping[str, float]], patience: int) -> int:
    """Epochs after which a training would have stopped.

    A training with early stopping is the beginning of the same training without it, since
    every epoch's randomness and learning rate are its own.

    Parameters
    ----------
    history : sequence of mapping
        One row an epoch, with ``validation_loss``.
    patience : int
        Epochs without a better validation loss.

    Returns
    -------
    int
        At most the length of the history.
    """
    best, best_epoch = float("inf"), 0
    for epoch, row in enumerate(history, start=1):
        if row["validation_loss"] < best:
            best, best_epoch = row["validation_loss"], epoch
        if epoch - best_epoch >= patience:
            return epoch
    return len(history)


def _early_stopping(workshop: Workshop) -> dict[str, Any]:
    """What stopping early would have cost the shared stage's trainings, and what it costs in accuracy."""
    bench = workshop.bench
    histories = [fold["history"] for fold in encode_folds(workshop).values()]
    rows = []
    for patience in PATIENCES:
        kept = [history[: stop(history, patience)] for history in histories]
        rows.append(_patience_row(patience, kept))
    train = seed_config(bench).encoder.train
    rows.append(_patience_row(train.patience, histories))
    long = workshop.map(LONG, _long, {f"fold-{_FOLD + 1}": _FOLD})[f"fold-{_FOLD + 1}"]
    stopped = None
    if stop(histories[_FOLD], TRIED_PATIENCE) < len(histories[_FOLD]):
        item = _stopped_trial(bench)
        name = f"patience-{TRIED_PATIENCE}"
        stopped = workshop.map(STOPPED, _trained, {name: item})[name]
    return {
        "rows": rows,
        "most_epochs": train.epochs,
        "n_folds": len(histories),
        "patience": train.patience,
        "tried_patience": TRIED_PATIENCE,
        "long": _brief(long),
        "stopped": None if stopped is None else _brief(stopped["scores"]),
        "stopped_epochs": None if stopped is None else stopped["epochs"],
        "long_epochs": len(histories[_FOLD]),
        "histories": [[{name: row[name] for name in _HISTORY} for row in history] for history in histories],
    }


def _patience_row(patience: int, kept: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    return {
        "patience": patience,
        "epochs": spread([len(history) for history in kept]),
        "validation_loss": spread([_outcome(history)["validation_loss"] for history in kept]),
    }


def _stopped_trial(bench: Bench) -> Trial:
    config = with_training(seed_config(bench), patience=TRIED_PATIENCE)
    return Trial(setting="patience", value=TRIED_PATIENCE, autoencoder=Autoencoder(_FOLD, config, bench.seed))


def _long(bench: Bench, fold: int, report: Report) -> dict[str, Any]:
    """Scores of the shared stage's latents of one fold, with this part's booster."""
    return _scores(bench, latents_of(bench, fold), Autoencoder(fold, seed_config(bench), bench.seed))


def _protocol(bench: Bench, amount: _Amount) -> str:
    objects, fold = bench.objects, bench.objects.folds[_FOLD]
    return (
        f"Every autoencoder of preset seed is trained without labels for {amount.epochs} epochs on one fold "
        f"(of {len(objects):,} objects {len(fold.train):,} are trained on, {len(fold.validation):,} choose "
        f"the epoch, {len(fold.test):,} are tested on), and the paper's booster on its six latents of the "
        f"whole curves; one choice is changed at a time, the epochs stay, so that larger batches mean fewer "
        f"steps. The spread is over {amount.seeds} seeds of the "
        f"printed setting on the same fold; a change counts if it leaves the interval in which a further "
        f"seed of that setting would fall with 95 % (Student's t)."
    )


# --- show -----------------------------------------------------------------------


def _show(result: Mapping[str, Any]) -> Section:
    """Settings against the noise of seeds, courses of the losses, early stopping."""
    stopping = result["early_stopping"]
    blocks: tuple[Block, ...] = (
        *what_it_says(result),
        Picture(
            name="training-settings",
            figure=draw_settings(result),
            caption="Lowest validation loss and accuracy of every changed choice; the band holds a further "
            "seed of the printed setting with 95 %, and circles are its seeds.",
        ),
        _table(result),
        Picture(
            name="training-losses",
            figure=draw_losses(result),
            caption=f"Training and validation loss of the printed setting on {stopping['n_folds']} folds "
            f"(dots: the epoch that is kept), and validation loss of every changed choice.",
        ),
        _stopping_table(stopping),
    )
    return Section(title="Training choices", blocks=blocks)


def _table(result: Mapping[str, Any]) -> Table:
    honest = result["honest"]
    cells = [
        (
            "as printed",
            _printed_words(result["printed"]),
            plus_minus(honest["validation_loss"], 4),
            plus_minus(honest["sixteen"]["accuracy"]),
            plus_minus(honest["real"]["accuracy"]),
            plus_minus(honest["sixteen"]["macro_auc"]),
            plus_minus(honest["real"]["macro_auc"]),
        )
    ]
    for row in result["rows"]:
        if row["setting"] == "printed":
            continue
        sixteen, real = row["scores"]["sixteen"], row["scores"]["real"]
        cells.append(
            (
                row["setting"],
                f"{row['value']}",
                number(row["validation_loss"], 4),
                number(sixteen["accuracy"]),
                number(real["accuracy"]),
                number(sixteen["macro_auc"]),
                number(real["macro_auc"]),
            )
        )
    columns = (
        "choice",
        "value",
        "validation loss",
        "honest accuracy, 16",
        "honest accuracy, 13 real",
        "macro AUC, 16",
        "macro AUC, 13 real",
    )
    note = "The paper prints its choices and no number of these trials. "
    return Table(caption=note + result["protocol"], columns=columns, rows=tuple(cells))


def _printed_words(printed: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in printed.items())


def _stopping_table(stopping: Mapping[str, Any]) -> Table:
    n_tried = stopping["tried_patience"]
    accuracy = {stopping["patience"]: stopping["long"], n_tried: stopping["stopped"]}
    cells = []
    for row in stopping["rows"]:
        scores = accuracy.get(row["patience"])
        cells.append(
            (
                str(row["patience"]),
                plus_minus(row["epochs"], 1),
                plus_minus(row["validation_loss"], 4),
                number(None if scores is None else scores["sixteen"]["accuracy"]),
                number(None if scores is None else scores["real"]["accuracy"]),
            )
        )
    return Table(
        caption=f"Early stopping of the printed setting with at most {stopping['most_epochs']} epochs, whose "
        f"rate decays over all of them: epochs and lowest validation loss over {stopping['n_folds']} folds; "
        f"accuracy of the first fold, where it was measured.",
        columns=("patience", "epochs", "validation loss", "honest accuracy, 16", "honest accuracy, 13 real"),
        rows=tuple(cells),
    )


PART = Part(
    name="training",
    key="training",
    title="layers, units, rate, batch and early stopping",
    needs=("encode",),
    measure=_measure,
    show=_show,
)
