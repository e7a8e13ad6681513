"""Class imbalance: weights, copies, both, neither; and the effect of copies before the split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.classify.balance import class_weights, oversample
from firstlight.classify.gradient import SklearnBoosterConfig
from firstlight.classify.lightgbm import LightGBMConfig
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.leak import leaky_proba, leaky_rows
from firstlight_paper.models import (
    PLAIN,
    boosted,
    fit_fold,
    inputs_of,
    latents_of,
    proba_of,
    rows_of,
    scored_fold,
)
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.page.tables import markdown, pivot
from firstlight_paper.printed import PAPER_FREQUENCIES, PRINTED_F1
from firstlight_paper.scores import ALL, Values, confusion, scored
from firstlight_paper.view import View

#: Name to exponents of the class weights and of the oversampling.
HELPS = {
    "none": (0.0, 0.0),
    "weights": (1.0, 0.0),
    "copies": (0.0, 1.0),
    "both": (1.0, 1.0),
}
HELP_TITLES = {"none": "no help", "weights": "class weights", "copies": "oversampling", "both": "both"}
LEARNERS = {"boosting": "the paper's boosting on six latents", "lightgbm": "LightGBM on our inputs"}
COLUMN = {"boosting": "design", "lightgbm": "ours"}
RARE_SHARE = 0.03  # of all objects; fewer than 250 of 8,346
METRICS = ("accuracy", "macro_f1", "macro_auc")
AT_PRINTED, COPIED_FIRST = "at printed frequencies", "boosting copied first"


_BOOSTING = replace(PLAIN, n_estimators=100, subsample=0.5)
_LIGHTGBM = LightGBMConfig(rounds=100, learning_rate=0.1, leaves=15, feature_fraction=0.1, max_bin=63)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Settings of the two learners, fixed beforehand; folds of the second; rows of the paper's protocol."""

    boosting: SklearnBoosterConfig = _BOOSTING
    lightgbm: LightGBMConfig = _LIGHTGBM
    lightgbm_folds: int = 2
    leaky_rows: int = 16_000


FEW = Amount(
    boosting=replace(_BOOSTING, n_estimators=30), lightgbm=replace(_LIGHTGBM, rounds=20), leaky_rows=2500
)


def rare_classes(counts: Mapping[str, int]) -> list[str]:
    """Classes with fewer than `RARE_SHARE` of all objects; the smallest if there is none."""
    known = {name: n for name, n in counts.items() if n}
    rare = [name for name, n in known.items() if n < RARE_SHARE * sum(known.values())]
    return rare or [min(known, key=lambda name: known[name])]


def rates(
    matrix: Sequence[Sequence[int]], frequencies: NDArray[np.float64] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Recall, precision, F1 and false positives of each class from a confusion matrix."""
    cells = np.asarray(matrix, dtype=np.float64)
    size = cells.sum(axis=1)
    present = size > 0.0
    if frequencies is not None:
        weight = np.where(present, frequencies, 0.0)
        cells = cells / np.maximum(size, 1.0)[:, None] * (weight / weight.sum())[:, None]
    size, called, right = cells.sum(axis=1), cells.sum(axis=0), np.diag(cells)
    recall = np.divide(right, size, out=np.full(len(cells), np.nan), where=present)
    precision = np.where(present, right / np.where(called > 0.0, called, 1.0), np.nan)
    both = recall + precision
    return {
        "recall": recall,
        "precision": precision,
        "f1": np.where(present, 2.0 * recall * precision / np.where(both > 0.0, both, 1.0), np.nan),
        "false": np.where(present, 1000.0 * (called - right) / cells.sum(), np.nan),
        "accuracy": np.array(right.sum() / cells.sum()),
    }


def _of_rare(found: Mapping[str, NDArray[np.float64]], rare: Sequence[str], column: str) -> Values:
    members = [PAPER_CLASSES.index(name) for name in rare]
    values = {
        (column, ALL, f"{m}:rare"): float(np.nanmean(found[m][members])) for m in ("recall", "precision")
    }
    return values | {(column, ALL, "false:rare"): float(np.nansum(found["false"][members]))}


def _helped(
    context: Context, fold: int, progress: Progress, *, learner: str, how: str, amount: Amount
) -> Outcome:
    """One learner with one kind of help; copies and weights come from training objects only."""
    objects, part, column = context.objects, context.objects.folds[fold], COLUMN[learner]
    weight, copies = HELPS[how]
    if learner == "boosting":
        config = replace(amount.boosting, class_weight_exponent=weight, oversample_exponent=copies)
        X = latents_of(context, fold)
        # the held-out tenth that stops the boosting is weighted as the training is
        model: Any = fit_fold(objects, X, fold, config, context.seed, held_exponent=weight + copies)
    else:
        X, names, labels = inputs_of(context, fold), objects.curves.object_id, objects.labels[part.train]
        rows = oversample(
            labels,
            np.random.default_rng(context.seed),
            object_id=names[part.train],
            held_out=np.concatenate([names[part.validation], names[part.test]]),
            exponent=copies,
        )
        plain = replace(amount.lightgbm, class_weight_exponent=0.0)
        weights = class_weights(labels, weight)[rows]
        model = boosted(rows_of(objects, X, part.train[rows], weights), plain, seed=context.seed)
    proba = proba_of(model, X[part.test])
    matrix = confusion(objects.labels[part.test], proba)
    found = rates(matrix)
    counts = {name: int((objects.labels == name).sum()) for name in PAPER_CLASSES}
    rare = rare_classes(counts)
    values = scored_fold(context, column, fold, proba, metrics=METRICS) | _of_rare(found, rare, column)
    for metric in ("recall", "false", "f1"):
        values |= {
            (column, ALL, f"{metric}:{c}"): float(found[metric][i]) for i, c in enumerate(PAPER_CLASSES)
        }
    values = {key: value for key, value in values.items() if np.isfinite(value)}
    outcome = Outcome(values)
    if learner == "boosting":
        moved = rates(matrix, np.array([PAPER_FREQUENCIES[name] for name in PAPER_CLASSES]))
        accuracy = {(column, ALL, "accuracy"): float(moved["accuracy"])}
        outcome.put(f"{learner} {how} {AT_PRINTED}", _of_rare(moved, rare, column) | accuracy)
    return outcome


def _leaked(context: Context, fold: int, progress: Progress, *, amount: Amount) -> Outcome:
    """The paper's protocol: classes balanced by copies first, rows split afterwards."""
    objects = context.objects
    rows = leaky_rows(objects.labels, context.rng("imbalance"), most=amount.leaky_rows)
    proba = leaky_proba(objects, latents_of(context, fold), rows, amount.boosting, context.seed)
    labels, simulated = objects.labels[rows.test], objects.simulated[rows.test]
    values = scored("protocol", labels, proba, simulated, METRICS, per_class=("f1",))
    return Outcome(values | more(rows.counts(), "protocol"))


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """Both learners with every kind of help, those with copies first (they take longest), and the leak."""
    n_folds = context.scale.n_folds
    folds = {"boosting": range(n_folds), "lightgbm": range(min(amount.lightgbm_folds, n_folds))}
    found = []
    for how, learner in product(reversed(HELPS), LEARNERS):
        work = partial(_helped, learner=learner, how=how, amount=amount)
        found.append(Variant(name=f"{learner} {how}", work=work, folds=folds[learner]))
    return [*found, Variant(name=COPIED_FIRST, work=partial(_leaked, amount=amount), folds=(0,))]


def facts(view: View) -> Mapping[str, Any]:
    """Rare classes, copies of each object in the balanced set, and rank correlations of the printed F1."""
    from scipy.stats import spearmanr

    n = {name: count for name, count in view.about.objects_per_class.items() if count}
    names = [c for c in n if view.has(COPIED_FIRST, f"f1:{c}", column="protocol")]
    copies = {name: max(n.values()) / n[name] for name in names}
    printed = [PRINTED_F1[name] for name in names]
    columns = {
        "copies": list(copies.values()),
        "leak": [view.mean(COPIED_FIRST, f"f1:{c}", column="protocol") for c in names],
        "honest": [view.spread("boosting copies", f"f1:{c}").mean for c in names],
    }
    return {
        "rare": rare_classes(n),
        "copies": copies,
        "least": sorted(names, key=lambda name: copies[name])[:4],
        "lowest_printed": sorted(names, key=lambda name: PRINTED_F1[name])[:2],
        "rank": {name: float(spearmanr(printed, values).statistic) for name, values in columns.items()},
        "folds": {
            name: len(view.folds(f"{name} none", "accuracy", column=COLUMN[name])) for name in LEARNERS
        },
    }


RARE: dict[str, Mapping[str, Any]] = {
    "rare: recall": {"metric": "recall:rare"},
    "rare: precision": {"metric": "precision:rare"},
    "rare: false positives per 1,000": {"metric": "false:rare", "digits": 1},
}


def summary(view: View) -> str:
    """Scores of both learners with every kind of help."""
    rows: dict[str, Mapping[str, Any]] = {
        f"{title}: {HELP_TITLES[how]}": {"variant": f"{learner} {how}", "column": COLUMN[learner]}
        for learner, title in LEARNERS.items()
        for how in HELPS
    }
    rows["the paper's boosting: paper's protocol (leaks)"] = {"variant": COPIED_FIRST, "column": "protocol"}
    rows["as published"] = {"part": "per-class", "variant": "paper", "column": "printed"}
    columns = RARE | {
        "accuracy": {"metric": "accuracy"},
        "macro F1": {"metric": "macro_f1"},
        "macro F1, 13 real": {"metric": "macro_f1", "subset": 13},
        "macro AUC": {"metric": "macro_auc"},
    }
    return pivot(view, rows, columns, "learner: help")


def at_printed(view: View) -> str:
    """The same predictions at the class frequencies of the paper's section 2."""
    rows: dict[str, Mapping[str, Any]] = {
        HELP_TITLES[how]: {"variant": f"boosting {how} {AT_PRINTED}"} for how in HELPS
    }
    return pivot(view, rows, {"accuracy": {"metric": "accuracy"}, **RARE}, "help")


def by_class(view: View, learner: str) -> str:
    """Recall and false positives of every class, from the smallest; means over folds."""
    n = view.about.objects_per_class
    kinds = (("recall", "recall", 2), ("false per 1,000", "false", 1))

    def mean(how: str, metric: str, digits: int) -> str:
        found = view.spread(f"{learner} {how}", metric, column=COLUMN[learner])
        return found._replace(std=np.nan).text(digits)

    body = []
    for name in sorted((c for c in n if n[c]), key=lambda c: (n[c], PAPER_CLASSES.index(c))):
        cells = [mean(how, f"{metric}:{name}", digits) for _, metric, digits in kinds for how in HELPS]
        body.append([f"{name} (rare)" if name in view.facts["rare"] else name, f"{n[name]:,}", *cells])
    heads = [f"{title}, {HELP_TITLES[how]}" for title, _, _ in kinds for how in HELPS]
    return markdown(["class", "objects", *heads], body)


IMBALANCE = Part(
    name="imbalance",
    column="design",
    needs=("latents", "inputs"),
    full=Amount(),
    quick=FEW,
    variants=variants,
    tables={
        "summary": summary,
        "at-printed": at_printed,
        "boosting": partial(by_class, learner="boosting"),
        "lightgbm": partial(by_class, learner="lightgbm"),
    },
    facts=facts,
)
