"""Table 1 of the paper: the number of latent features against accuracy.

For every number of latents the autoencoder is trained anew without labels, and the paper's
booster on its latents. Once more the same booster is trained on the same latents by the
paper's protocol, so that this column differs by the oversampling before the split alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.classify import SklearnBoosterConfig
from firstlight.encoder import active_latents
from firstlight_paper.booster import PLAIN, fold_proba, leaky_proba
from firstlight_paper.leak import leaky_rows
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.parts.table_1_plots import draw_curve
from firstlight_paper.parts.table_1_words import what_it_says
from firstlight_paper.printed import PRINTED_TABLE_1
from firstlight_paper.scores import scored, spread, spread_of
from firstlight_paper.section import Block, Part, Picture, Section, Table, number, plus_minus
from firstlight_paper.shared import Autoencoder, latents_of, seed_config, train_autoencoder, with_training
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["PART", "LatentCount"]

STAGE, REFERENCE = "table-1", "table-1-reference"
PAPERS_CHOICE = 6
_SCORES = ("accuracy", "macro_f1", "macro_auc", "macro_recall")


@dataclass(frozen=True, kw_only=True)
class _Amount:
    """How much of this part is computed at a scale."""

    latents: tuple[int, ...]
    folds: int
    epochs: int
    leaky_rows: int
    booster: SklearnBoosterConfig = PLAIN


_FULL = _Amount(latents=(*range(1, 11), 12, 15, 20, 25), folds=2, epochs=12, leaky_rows=12_000)
_QUICK = _Amount(
    latents=(1, 3, 6, 8, 15, 25),
    folds=2,
    epochs=3,
    leaky_rows=2_000,
    booster=replace(PLAIN, n_estimators=60),
)


@dataclass(frozen=True, kw_only=True)
class LatentCount:
    """One autoencoder and its classifiers.

    Attributes
    ----------
    latents : int
        Number of latent features.
    autoencoder : Autoencoder
        What is trained on which fold, with a seed of its own for each fold.
    booster : SklearnBoosterConfig
        The classifier of both columns.
    leaky_rows : int
        Rows of the paper's protocol; 0 leaves that column out.
    """

    latents: int
    autoencoder: Autoencoder
    booster: SklearnBoosterConfig
    leaky_rows: int


def _measure(workshop: Workshop) -> list[dict[str, Any]]:
    """Rows of the table, by number of latents."""
    bench = workshop.bench
    amount = _amount(bench)
    n_folds = min(amount.folds, len(bench.objects.folds))
    # The most expensive first, so that no process is left alone with one at the end.
    items = {
        f"latents-{n:02d}-fold-{k + 1}": _item(bench, amount, n, k)
        for n in sorted(amount.latents, reverse=True)
        for k in range(n_folds)
    }
    done = workshop.map(STAGE, _trained, items)
    rows = []
    for n in amount.latents:
        results = [done[f"latents-{n:02d}-fold-{k + 1}"] for k in range(n_folds)]
        rows.append(_row(bench, amount, n, results))
        if n == PAPERS_CHOICE:
            rows[-1]["reference"] = _reference(workshop, amount)
    return rows


def _amount(bench: Bench) -> _Amount:
    return _FULL if bench.scale.is_full else _QUICK


def _item(bench: Bench, amount: _Amount, n: int, fold: int) -> LatentCount:
    config = with_training(seed_config(bench, latent=n), epochs=amount.epochs)
    # The leak is a demonstration: one fold of it is enough, and costs as much as the rest.
    rows = amount.leaky_rows if fold == 0 else 0
    return LatentCount(
        latents=n,
        autoencoder=Autoencoder(fold, config, bench.seed + fold),
        booster=amount.booster,
        leaky_rows=rows,
    )


def _trained(bench: Bench, item: LatentCount, report: Report) -> dict[str, Any]:
    """Train one autoencoder and its classifiers; scores of unseen objects, and of leaky rows."""
    latent, history = train_autoencoder(
        bench, item.autoencoder, lambda words, done: report(words, 0.6 * done)
    )
    best = min(history, key=lambda row: row["validation_loss"])
    fold = item.autoencoder.fold
    honest = _honest(bench, latent, fold, item.booster, item.autoencoder.seed)
    report("", 0.8)
    return {
        "validation_loss": best["validation_loss"],
        "best_epoch": best["epoch"],
        "epochs": len(history),
        "active": active_latents(history),
        "honest": honest,
        "leak": _leak(bench, item, latent) if item.leaky_rows else None,
    }


def _honest(
    bench: Bench, latent: NDArray[np.float32], fold: int, booster: SklearnBoosterConfig, seed: int
) -> dict[str, Any]:
    objects = bench.objects
    test = objects.folds[fold].test
    proba = fold_proba(objects, latent, fold, booster, seed)
    return _brief(scored(objects.labels[test], proba, objects.simulated[test]))


def _leak(bench: Bench, item: LatentCount, latent: NDArray[np.float32]) -> dict[str, Any]:
    objects = bench.objects
    # The same rows for every number of latents.
    rng = bench.rng(STAGE, "leak", item.autoencoder.fold)
    rows = leaky_rows(objects.labels, rng, most=item.leaky_rows)
    proba = leaky_proba(objects, latent, rows, item.booster, item.autoencoder.seed)
    scores = _brief(scored(objects.labels[rows.test], proba, objects.simulated[rows.test]))
    return {
        "scores": scores,
        "shared": rows.shared,
        "n_train": len(rows.train),
        "n_test": len(rows.test),
    }


def _reference(workshop: Workshop, amount: _Amount) -> dict[str, Any]:
    """The shared stage's autoencoders, trained longer and on every fold, with the same booster."""
    bench = workshop.bench
    items = {f"fold-{k + 1}": (k, amount.booster) for k in range(len(bench.objects.folds))}
    folds = list(workshop.map(REFERENCE, _referred, items).values())
    joined = spread_of(folds)
    return {
        "honest": joined["sixteen"]["accuracy"],
        "scores": _scores_of(joined),
        "epochs": bench.scale.encoder_epochs,
        "n_test": joined["sixteen"]["n_objects"],
        "spread_over": f"{len(folds)} folds",
    }


def _referred(bench: Bench, item: tuple[int, SklearnBoosterConfig], report: Report) -> dict[str, Any]:
    fold, booster = item
    return _honest(bench, latents_of(bench, fold), fold, booster, bench.seed)


def _row(bench: Bench, amount: _Amount, n: int, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row of the table from its folds."""
    joined = spread_of([result["honest"] for result in results])
    leak = next((result["leak"] for result in results if result["leak"]), None)
    return {
        "n_latents": n,
        "printed": PRINTED_TABLE_1.get(n),
        "leak": None if leak is None else leak["scores"]["sixteen"]["accuracy"],
        "honest": joined["sixteen"]["accuracy"],
        "scores": _scores_of(joined),
        "leak_scores": None if leak is None else _scores_of(leak["scores"]),
        "leak_shared": None if leak is None else leak["shared"],
        "leak_n_test": None if leak is None else leak["n_test"],
        "validation_loss": spread([result["validation_loss"] for result in results]),
        "best_epoch": [result["best_epoch"] for result in results],
        "active": [result["active"] for result in results],
        "n_test": joined["sixteen"]["n_objects"],
        "most_frequent": _most_frequent(bench, len(results)),
        "spread_over": f"{len(results)} folds, each with a seed of its own",
        "protocol": _protocol(bench, amount, len(results)),
    }


def _brief(result: Mapping[str, Any]) -> dict[str, Any]:
    """Scores without the sixteen classes' own: they belong to another part."""
    return {name: values | {"per_class": {}, "confusion": [[0]]} for name, values in result.items()}


def _scores_of(joined: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {score: joined[name][score] for score in _SCORES} for name in ("sixteen", "real")}


def _most_frequent(bench: Bench, n_folds: int) -> float:
    """Accuracy of naming every test object after the largest class."""
    objects = bench.objects
    shares = []
    for fold in objects.folds[:n_folds]:
        labels = objects.labels[fold.test]
        shares.append(max(np.mean(labels == name) for name in PAPER_CLASSES))
    return float(np.mean(shares))


def _protocol(bench: Bench, amount: _Amount, n_folds: int) -> str:
    objects = bench.objects
    fold = objects.folds[0]
    booster = amount.booster
    return (
        f"For each number of latents the autoencoder of preset seed is trained anew in each of {n_folds} "
        f"folds, without labels and with a seed of its own, for at most {amount.epochs} epochs (of "
        f"{len(objects):,} objects about {len(fold.train):,} are trained on, {len(fold.validation):,} stop "
        f"the training and {len(fold.test):,} are tested on); the paper's booster (at most "
        f"{booster.n_estimators} stages, no class weights) learns from the latents of the "
        f"whole curves of the same objects. The spread is over those {n_folds} folds and seeds. "
        f"Its protocol: the same latents of the first fold and the same booster, on at most "
        f"{amount.leaky_rows:,} rows drawn after every class was copied to the size of the largest, "
        f"a fifth of them tested on; it has no early stopping and no spread."
    )


# --- show -----------------------------------------------------------------------


def _show(rows: Sequence[Mapping[str, Any]]) -> Section:
    """Curve, table and what they say, from the rows alone."""
    picture = Picture(
        name="table-1",
        figure=draw_curve(rows),
        caption="Accuracy by number of latents: as printed, by the paper's protocol and on unseen objects "
        "(band: one standard deviation over folds and seeds); below, the autoencoder's lowest validation "
        "loss.",
    )
    blocks: tuple[Block, ...] = (*what_it_says(rows), picture, _table(rows))
    return Section(title="Table 1: how many latents?", blocks=blocks)


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = (
        "latents",
        "printed",
        "its protocol",
        "honest, 16 classes",
        "honest, 13 real",
        "macro F1, 16",
        "macro F1, 13 real",
        "macro AUC, 16",
        "macro AUC, 13 real",
        "validation loss",
        "latents in use",
    )
    cells: list[tuple[str, ...]] = []
    for row in rows:
        sixteen, real = row["scores"]["sixteen"], row["scores"]["real"]
        cells.append(
            (
                str(row["n_latents"]),
                number(row["printed"]),
                number(row["leak"]),
                plus_minus(row["honest"]),
                plus_minus(real["accuracy"]),
                plus_minus(sixteen["macro_f1"]),
                plus_minus(real["macro_f1"]),
                plus_minus(sixteen["macro_auc"]),
                plus_minus(real["macro_auc"]),
                plus_minus(row["validation_loss"], 4),
                number(float(np.mean(row["active"])), 1),
            )
        )
        if "reference" in row:
            cells.append(_reference_cells(row))
    return Table(caption=f"Accuracy unless named. {rows[0]['protocol']}", columns=columns, rows=tuple(cells))


def _reference_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    reference = row["reference"]
    sixteen, real = reference["scores"]["sixteen"], reference["scores"]["real"]
    return (
        f"{row['n_latents']}, {reference['epochs']} epochs, {reference['spread_over']}",
        "-",
        "-",
        plus_minus(reference["honest"]),
        plus_minus(real["accuracy"]),
        plus_minus(sixteen["macro_f1"]),
        plus_minus(real["macro_f1"]),
        plus_minus(sixteen["macro_auc"]),
        plus_minus(real["macro_auc"]),
        "-",
        "-",
    )


PART = Part(
    name="table-1",
    key="table_1",
    title="number of latents against accuracy",
    needs=("encode",),
    measure=_measure,
    show=_show,
)
