"""Class imbalance: weights, copies, both, neither; and what copies before the split do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.classify import (
    LightGBMBooster,
    LightGBMConfig,
    SklearnBooster,
    SklearnBoosterConfig,
    TrainingRows,
    class_weights,
    oversample,
    to_all_classes,
)
from firstlight.data.sample import PAPER_FREQUENCIES
from firstlight_paper.booster import PLAIN, leaky_proba
from firstlight_paper.inputs import inputs_of, make_inputs
from firstlight_paper.leak import leaky_rows
from firstlight_paper.objects import PAPER_CLASSES, Objects
from firstlight_paper.parts.imbalance_show import show
from firstlight_paper.printed import PRINTED, PRINTED_F1
from firstlight_paper.scores import scored, spread
from firstlight_paper.section import Part
from firstlight_paper.shared import latents_of
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["HELPS", "PART", "Amounts", "Trial", "leaky_trial", "measure", "rates", "trial"]

STAGE, LEAK_STAGE = "imbalance", "imbalance-leak"

#: Name -> (exponent of the class weights, exponent of the oversampling).
HELPS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"none": (0.0, 0.0), "weights": (1.0, 0.0), "copies": (0.0, 1.0), "both": (1.0, 1.0)}
)
RARE_SHARE = 0.03  # fewer than 250 of all 8,346 objects
METRICS = ("accuracy", "macro_f1", "macro_auc")


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """Settings of the two learners, fixed beforehand.

    Attributes
    ----------
    boosting : SklearnBoosterConfig
        The paper's classifier on six latents; exponents are replaced.
    lightgbm : LightGBMConfig
        A LightGBM booster on our inputs; its exponent is not used.
    lightgbm_folds : int
        Folds on which the latter is measured.
    leaky_rows : int
        Rows of the paper's protocol.
    """

    boosting: SklearnBoosterConfig = field(
        default_factory=lambda: replace(PLAIN, n_estimators=100, subsample=0.5)
    )
    lightgbm: LightGBMConfig = field(
        default_factory=lambda: LightGBMConfig(
            rounds=100, learning_rate=0.1, leaves=15, feature_fraction=0.1, max_bin=63
        )
    )
    lightgbm_folds: int = 2
    leaky_rows: int = 16_000


FULL = Amounts()
QUICK = Amounts(
    boosting=replace(FULL.boosting, n_estimators=30),
    lightgbm=replace(FULL.lightgbm, rounds=20),
    leaky_rows=2500,
)


@dataclass(frozen=True)
class Trial:
    """One way to help rare classes, for one learner on one fold."""

    learner: str
    help: str
    fold: int
    amounts: Amounts


def measure(workshop: Workshop) -> dict[str, Any]:
    """Fit both learners with every kind of help on every fold, and by the paper's protocol."""
    bench = workshop.bench
    amounts = FULL if bench.scale.is_full else QUICK
    folds = {
        "boosting": range(bench.scale.n_folds),
        "lightgbm": range(min(amounts.lightgbm_folds, bench.scale.n_folds)),
    }
    make_inputs(workshop, len(folds["lightgbm"]))
    items = {
        f"{learner}-{name}-{k + 1}": Trial(learner, name, k, amounts)
        for name in reversed(list(HELPS))  # those with copies take longest: first
        for learner in folds
        for k in folds[learner]
    }
    done = workshop.map(STAGE, trial, items)
    leak = workshop.map(LEAK_STAGE, leaky_trial, {"boosting": amounts})["boosting"]
    objects = bench.objects
    names, counts = np.unique(objects.labels, return_counts=True)
    n = dict(zip(names.tolist(), counts.tolist(), strict=True))
    rare = [name for name in PAPER_CLASSES if 0 < n.get(name, 0) < RARE_SHARE * len(objects)]
    rare = rare or [min(n, key=lambda name: n[name])]
    learners = {}
    for learner, its_folds in folds.items():
        learners[learner] = {
            name: _joined([done[f"{learner}-{name}-{k + 1}"] for k in its_folds], rare) for name in HELPS
        }
        for name in HELPS:
            learners[learner][name]["against_none"] = _against(learners[learner], name)
    return _summary(bench, amounts, learners, leak, n, rare)


def trial(bench: Bench, item: Trial, report: Report) -> dict[str, Any]:
    """Fit on one fold's training objects with one kind of help, and score its test objects.

    Copies are drawn from training objects only, weights come from their frequencies, and the
    held-out tenth that stops the boosting is weighted as the training is.

    Parameters
    ----------
    bench : Bench
        Objects and folds.
    item : Trial
        What to fit, on which fold.
    report : callable
        Told the progress.

    Returns
    -------
    dict
        ``sixteen`` and ``real`` (`METRICS`), and the ``confusion`` matrix.
    """
    objects, fold = bench.objects, bench.objects.folds[item.fold]
    weight, copies = HELPS[item.help]
    if item.learner == "boosting":
        X = latents_of(bench, item.fold)
        config = replace(item.amounts.boosting, class_weight_exponent=weight, oversample_exponent=copies)
        proba = _boosting(objects, X, item.fold, config, bench.seed)
    else:
        X = inputs_of(bench, item.fold)
        proba = _lightgbm(objects, X, item, bench.seed)
    result = scored(objects.labels[fold.test], proba, objects.simulated[fold.test])
    return {name: {metric: result[name][metric] for metric in METRICS} for name in ("sixteen", "real")} | {
        "confusion": result["sixteen"]["confusion"]
    }


def leaky_trial(bench: Bench, amounts: Amounts, report: Report) -> dict[str, Any]:
    """The paper's protocol: classes balanced by copies first, rows split afterwards."""
    objects = bench.objects
    rows = leaky_rows(objects.labels, bench.rng("imbalance"), most=amounts.leaky_rows)
    proba = leaky_proba(objects, latents_of(bench, 0), rows, amounts.boosting, bench.seed)
    result = scored(objects.labels[rows.test], proba, objects.simulated[rows.test])["sixteen"]
    return {metric: result[metric] for metric in METRICS} | {
        "f1": {name: values["f1"] for name, values in result["per_class"].items()},
        "confusion": result["confusion"],
        **rows.counts(),
    }


def rates(confusion: NDArray[np.float64], frequencies: NDArray[np.float64] | None = None) -> dict[str, Any]:
    """What a confusion matrix says of each class.

    Parameters
    ----------
    confusion : float64 array, shape (n_classes, n_classes)
        Objects by true class (rows) and predicted class (columns).
    frequencies : float64 array, shape (n_classes,), optional
        Class frequencies to which the rows are brought; by default those of the matrix.

    Returns
    -------
    dict
        ``recall``, ``precision`` (0 where a class is never forecast), ``f1`` and
        ``false_per_1000`` (objects of other classes so named, in 1,000 objects of all classes),
        each a float64 array of shape (n_classes,), NaN for a class without objects; and the
        ``accuracy``.
    """
    matrix = np.asarray(confusion, dtype=np.float64)
    size = matrix.sum(axis=1)
    present = size > 0.0
    if frequencies is not None:
        weight = np.where(present, frequencies, 0.0)
        matrix = matrix / np.maximum(size, 1.0)[:, None] * (weight / weight.sum())[:, None]
    size, said, right = matrix.sum(axis=1), matrix.sum(axis=0), np.diag(matrix)
    nothing = np.full(len(matrix), np.nan)
    recall = np.divide(right, size, out=nothing.copy(), where=present)
    precision = np.where(present, right / np.where(said > 0.0, said, 1.0), np.nan)
    both = recall + precision
    return {
        "recall": recall,
        "precision": precision,
        "f1": np.where(present, 2.0 * recall * precision / np.where(both > 0.0, both, 1.0), np.nan),
        "false_per_1000": np.where(present, 1000.0 * (said - right) / matrix.sum(), np.nan),
        "accuracy": float(right.sum() / matrix.sum()),
    }


# --- learners -------------------------------------------------------------------


def _boosting(
    objects: Objects, X: NDArray[np.float32], k: int, config: SklearnBoosterConfig, seed: int
) -> NDArray[np.float64]:
    fold, names = objects.folds[k], objects.curves.object_id
    held = fold.validation
    corrected = config.class_weight_exponent + config.oversample_exponent
    model = SklearnBooster(config).fit(
        TrainingRows(X[fold.train], objects.labels[fold.train], object_id=names[fold.train]),
        TrainingRows(
            X[held],
            objects.labels[held],
            weight=class_weights(objects.labels[held], corrected),
            object_id=names[held],
        ),
        seed=seed,
    )
    return to_all_classes(model.predict_proba(X[fold.test]), model.classes)


def _lightgbm(objects: Objects, X: NDArray[np.float32], item: Trial, seed: int) -> NDArray[np.float64]:
    """All rounds: nothing is held out for it, the held-out tenth is left aside as for the other."""
    fold, names = objects.folds[item.fold], objects.curves.object_id
    weight, copies = HELPS[item.help]
    labels = objects.labels[fold.train]
    rows = oversample(
        labels,
        np.random.default_rng(seed),
        object_id=names[fold.train],
        held_out=np.concatenate([names[fold.validation], names[fold.test]]),
        exponent=copies,
    )
    model = LightGBMBooster(replace(item.amounts.lightgbm, class_weight_exponent=0.0)).fit(
        TrainingRows(X[fold.train][rows], labels[rows], weight=class_weights(labels, weight)[rows]), seed=seed
    )
    return to_all_classes(model.predict_proba(X[fold.test]), model.classes)


# --- results --------------------------------------------------------------------


def _joined(results: Sequence[Mapping[str, Any]], rare: Sequence[str]) -> dict[str, Any]:
    """One learner with one help over the folds."""
    members = [PAPER_CLASSES.index(name) for name in rare]
    wanted = np.array([PAPER_FREQUENCIES[name] for name in PAPER_CLASSES])
    found = [rates(result["confusion"]) for result in results]
    moved = [rates(result["confusion"], wanted) for result in results]

    def of_rare(these: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "recall": spread([float(np.nanmean(one["recall"][members])) for one in these]),
            "precision": spread([float(np.nanmean(one["precision"][members])) for one in these]),
            "false_per_1000": spread([float(np.nansum(one["false_per_1000"][members])) for one in these]),
        }

    return {
        "sixteen": {m: spread([result["sixteen"][m] for result in results]) for m in METRICS},
        "real": {m: spread([result["real"][m] for result in results]) for m in METRICS},
        "rare": of_rare(found),
        "at_paper_frequencies": of_rare(moved) | {"accuracy": spread([one["accuracy"] for one in moved])},
        "per_class": {
            name: {m: _brief([float(one[m][i]) for one in found]) for m in ("recall", "false_per_1000", "f1")}
            for i, name in enumerate(PAPER_CLASSES)
        },
        "confusion": np.sum([result["confusion"] for result in results], axis=0).tolist(),
    }


def _brief(values: Sequence[float]) -> dict[str, float]:
    """A spread without its folds, of which there are many here."""
    full = spread(values)
    return {"mean": full["mean"], "std": full["std"]}


def _against(helps: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Paired differences over folds to no help at all."""

    def difference(pick: str, metric: str) -> dict[str, Any]:
        ours, theirs = helps[name][pick][metric]["folds"], helps["none"][pick][metric]["folds"]
        return spread([a - b for a, b in zip(ours, theirs, strict=True)])

    return {
        "recall": difference("rare", "recall"),
        "precision": difference("rare", "precision"),
        "false_per_1000": difference("rare", "false_per_1000"),
        "accuracy": difference("sixteen", "accuracy"),
        "macro_f1": difference("sixteen", "macro_f1"),
    }


def _summary(
    bench: Bench,
    amounts: Amounts,
    learners: Mapping[str, Mapping[str, Any]],
    leak: Mapping[str, Any],
    n: Mapping[str, int],
    rare: Sequence[str],
) -> dict[str, Any]:
    objects = bench.objects
    largest = max(n.values())
    names = [name for name in PAPER_CLASSES if name in n and name in leak["f1"]]
    classes = {
        name: {
            "n": n[name],
            "copies": largest / n[name],
            "f1": {
                "printed": PRINTED_F1[name],
                "leak": leak["f1"][name],
                "honest": learners["boosting"]["copies"]["per_class"][name]["f1"],
            },
        }
        for name in names
    }
    return {
        "printed": {metric: PRINTED[metric] for metric in METRICS} | {"f1": dict(PRINTED_F1)},
        "leak": {key: value for key, value in leak.items() if key != "confusion"},
        "honest": {name: one["sixteen"] for name, one in learners["boosting"].items()},
        "n_objects": len(objects),
        "n_real": int((~objects.simulated).sum()),
        "n_folds": {"boosting": bench.scale.n_folds, "lightgbm": _n_folds(learners["lightgbm"])},
        "rare": list(rare),
        "classes": classes,
        "rank_correlation": _correlations(classes),
        "learners": learners,
        "protocol": (
            f"{len(objects):,} objects ({int((~objects.simulated).sum()):,} real, the rest simulated), "
            f"whole light curves; the paper's boosting on six latents over {bench.scale.n_folds} folds, and "
            f"LightGBM on our inputs over {_n_folds(learners['lightgbm'])}. Weights and copies are made from "
            "training objects only; with both, a rare class is corrected twice, as weights come from the "
            "frequencies before copying. Rare: fewer than "
            f"{RARE_SHARE * len(objects):.0f} objects. Spread: sample standard deviation over folds. Its "
            f"protocol: copies before the split, {leak['n_train'] + leak['n_test']:,} rows, one run."
        ),
    }


def _n_folds(learner: Mapping[str, Any]) -> int:
    return len(learner["none"]["sixteen"]["accuracy"]["folds"])


def _correlations(classes: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Spearman's rank correlations over the classes."""
    from scipy.stats import spearmanr

    copies = [one["copies"] for one in classes.values()]
    printed = [one["f1"]["printed"] for one in classes.values()]
    leak = [one["f1"]["leak"] for one in classes.values()]
    honest = [one["f1"]["honest"]["mean"] for one in classes.values()]
    pairs = {
        "printed_leak": (printed, leak),
        "printed_honest": (printed, honest),
        "printed_copies": (printed, copies),
        "leak_copies": (leak, copies),
        "honest_copies": (honest, copies),
    }
    return {name: float(spearmanr(a, b).statistic) for name, (a, b) in pairs.items()}


PART = Part(
    name="imbalance",
    key="imbalance",
    title="Class imbalance: weights, copies, both",
    needs=("encode", "ours"),
    measure=measure,
    show=show,
)
