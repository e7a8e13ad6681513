"""Section 6 of the paper: precision, recall and F1 of every class, Figures 4, 5 and 6, the headline.

Three columns: what the paper prints; its protocol (classes balanced by copies, rows split
afterwards); and objects split first, for the paper's design and for ours. `Trial` says which
rows one training sees, `measure` runs all of them, and two questions are put to the result:
where the gap between the columns comes from (the anatomy), and which of them the printed
figures resemble (the pattern).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.classify import SklearnBooster, SklearnBoosterConfig, TrainingRows, oversample, to_all_classes
from firstlight.metrics.curves import roc_auc, roc_curve
from firstlight.metrics.scores import present_classes, truth_index
from firstlight.taxonomy import CLASSES
from firstlight_paper.booster import PLAIN, fold_proba
from firstlight_paper.leak import leaky_rows
from firstlight_paper.objects import PAPER_CLASSES, PAPER_COLUMNS, SIMULATED_CLASSES, Objects
from firstlight_paper.parts.per_class_pattern import find_pattern
from firstlight_paper.parts.per_class_show import leakage_sentences, show
from firstlight_paper.printed import PRINTED, PRINTED_PER_CLASS
from firstlight_paper.scores import scored, spread, spread_of
from firstlight_paper.section import Part
from firstlight_paper.shared import latents_of, said_of
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = [
    "ARMS",
    "PART",
    "Amount",
    "Rows",
    "Trial",
    "leakage_sentences",
    "leaky_scores",
    "make_rows",
    "measure",
    "stopping_rows",
]

#: Ways to deal rows, from the honest to the leaking; see `make_rows`.
ARMS: Mapping[str, str] = MappingProxyType(
    {
        "objects": "objects split, no copies",
        "rows": "rows split at random, no copies",
        "training": "objects split, copies among training rows",
        "either": "objects split, copies on each side apart",
        "leak": "copies first, rows split after (its protocol)",
    }
)
STAGE = "per-class"
_HEADLINE = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc")

#: False positive rates at which ROC curves are kept: dense where the curve is read.
RATES = np.unique(np.concatenate([[0.0], np.logspace(-3.5, 0.0, 52), np.linspace(0.04, 1.0, 25)]).round(5))


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much of this part is computed.

    Attributes
    ----------
    leaky, arms : int
        Repeats of the leaking protocol, and of the other ways to deal rows; each on
        another fold's latents, with another seed.
    stages : int
        Boosting stages at most.
    most : int or None
        Rows of the leaking protocol at most; None keeps all.
    """

    leaky: int = 3
    arms: int = 2
    stages: int = 150
    most: int | None = None


AMOUNT_FULL = Amount()
AMOUNT_QUICK = Amount(leaky=2, stages=30, most=4000)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training and its test.

    Attributes
    ----------
    arm : str
        One of `ARMS` (``"either"`` comes with ``"training"``: the same model), or
        ``"design"``, the preset ``seed``'s booster with its class weights.
    fold : int
        Fold whose latents are used, and whose objects are tested on where objects are split.
    seed : int
        Seed of copies, split and trees.
    stages : int
        Boosting stages at most.
    most : int or None
        Rows of the leaking protocol at most.
    held : float
        Share of the training rows that only stop the boosting; see `stopping_rows`.
    """

    arm: str
    fold: int
    seed: int
    stages: int
    most: int | None = None
    held: float = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Positions of the objects that a trial's rows are of.

    Attributes
    ----------
    train : int64 array
        Rows to train on.
    tests : mapping of str to int64 array
        Rows to test on, by arm.
    """

    train: NDArray[np.int64]
    tests: Mapping[str, NDArray[np.int64]]


def make_rows(objects: Objects, trial: Trial, rng: np.random.Generator) -> Rows:
    """Deal the rows of one trial.

    Parameters
    ----------
    objects : Objects
        Labels and folds.
    trial : Trial
        Which way.
    rng : numpy.random.Generator
        Source of copies and split.

    Returns
    -------
    Rows
        ``objects``: the fold's own parts. ``rows``: a fifth of the objects at random, one row
        each, so that nothing can leak. ``training``: the fold's parts, the classes of the
        training rows balanced by copies; with it ``either``, the test rows balanced too, by
        copies of test objects. ``leak``: balanced by copies, then a fifth of the rows at random.

    Raises
    ------
    ValueError
        If the arm is unknown.
    LeakageError
        If a fold's learning and test objects overlap.
    """
    labels, names = objects.labels, objects.curves.object_id
    learn, test = objects.learn(trial.fold), objects.folds[trial.fold].test
    if trial.arm == "objects":
        return Rows(train=learn, tests={"objects": test})
    if trial.arm == "rows":
        order = rng.permutation(len(labels))
        n_test = round(0.2 * len(labels))
        return Rows(train=order[n_test:], tests={"rows": order[:n_test]})
    if trial.arm == "training":
        copied = oversample(labels[learn], rng, object_id=names[learn], held_out=names[test])
        balanced = oversample(labels[test], rng, object_id=names[test], held_out=names[learn])
        return Rows(train=learn[copied], tests={"training": test, "either": test[balanced]})
    if trial.arm == "leak":
        leaky = leaky_rows(labels, rng, most=trial.most)
        return Rows(train=leaky.train, tests={"leak": leaky.test})
    raise ValueError(f"no rows for {trial.arm!r}; give one of {', '.join(ARMS)}")


def leaky_scores(workshop: Workshop) -> dict[str, Any]:
    """Scores of the leaking protocol over its repeats, as from `firstlight_paper.scores.spread_of`.

    Kept with this part's other trainings, so that whichever part asks first computes them.
    """
    items = {name: trial for name, trial in _trials(workshop.bench).items() if trial.arm == "leak"}
    results = workshop.map(STAGE, _tried, items)
    return spread_of([result["tests"]["leak"]["scores"] for result in results.values()])


def stopping_rows(objects: Objects, trial: Trial, rows: Rows, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which training rows are not trained on but stop the boosting.

    Without them a boosting of so rare classes can diverge: a leaf of few rows whose
    probabilities are all but certain takes a step without bound.

    Parameters
    ----------
    objects : Objects
        Folds.
    trial : Trial
        Which way the rows were dealt, and which share is held out.
    rows : Rows
        From `make_rows`.
    rng : numpy.random.Generator
        Source of the choice, where it is random.

    Returns
    -------
    bool array, shape (n_train,)
        Where objects are split, the rows of the fold's held-out objects, all copies of
        each; elsewhere rows at random, as whoever splits rows would draw them.
    """
    if trial.arm in ("objects", "training"):
        return np.isin(rows.train, objects.folds[trial.fold].validation)
    return rng.random(len(rows.train)) < trial.held


def measure(workshop: Workshop) -> dict[str, Any]:
    """Compute the part; see the module's docstring. `firstlight_paper.shared` must have run."""
    bench = workshop.bench
    results = workshop.map(STAGE, _tried, _trials(bench))
    leak = [item["tests"]["leak"] for name, item in results.items() if name.startswith("leak-")]
    design = [item["tests"]["design"] for name, item in results.items() if name.startswith("design-")]
    ours = _ours(bench)
    columns = {"leak": leak, "design": design, "ours": ours}
    scores = {name: spread_of([test["scores"] for test in tests]) for name, tests in columns.items()}
    counts = dict(zip(*np.unique(bench.objects.labels, return_counts=True), strict=True))
    counts = {name: int(counts[name]) for name in PAPER_CLASSES if name in counts}
    return {
        "protocol": _protocol(bench, len(leak)),
        "printed": dict(PRINTED) | {"per_class": _printed_per_class()},
        "leak": scores["leak"],
        "honest": {"design": scores["design"], "ours": scores["ours"]},
        "n": counts,
        "simulated": [name for name in SIMULATED_CLASSES if name in counts],
        "roc": {"rate": RATES} | {name: _curves(tests) for name, tests in columns.items()},
        "pattern": find_pattern(
            counts,
            {name: _f1(table) for name, table in scores.items()},
            bench.rng(STAGE, "pattern"),
        )
        | {"shared": _shared_by_class(leak)},
        "anatomy": _anatomy(results),
        "gap": {
            metric: scores["leak"]["sixteen"][metric]["mean"] - scores["design"]["sixteen"][metric]["mean"]
            for metric in _HEADLINE
        },
    }


# --- private: one trial ---------------------------------------------------------


def _trials(bench: Bench) -> dict[str, Trial]:
    """All trainings, the slow ones first."""
    amount = AMOUNT_FULL if bench.scale.is_full else AMOUNT_QUICK
    n_folds = bench.scale.n_folds
    items = {}
    for arm, n in (("leak", amount.leaky), ("training", amount.arms), ("objects", amount.arms)):
        for k in range(n):
            most = amount.most if arm == "leak" else None
            items[f"{arm}-{k + 1}"] = Trial(
                arm=arm, fold=k % n_folds, seed=k, stages=amount.stages, most=most
            )
    for k in range(amount.arms):
        items[f"rows-{k + 1}"] = Trial(arm="rows", fold=k % n_folds, seed=k, stages=amount.stages)
    for k in range(n_folds):
        items[f"design-{k + 1}"] = Trial(arm="design", fold=k, seed=bench.seed, stages=amount.stages)
    return items


def _tried(bench: Bench, trial: Trial, report: Report) -> dict[str, Any]:
    """Train and test once: scores and ROC curves by test, and those of the nearest neighbour."""
    objects, X = bench.objects, latents_of(bench, trial.fold)
    if trial.arm == "design":
        config = replace(SklearnBoosterConfig(), n_estimators=trial.stages)
        proba = fold_proba(objects, X, trial.fold, config, trial.seed)
        return {"tests": {"design": _tested(objects, objects.folds[trial.fold].test, proba)}}
    rng = bench.rng(STAGE, trial.arm, trial.seed)
    rows = make_rows(objects, trial, rng)
    stop = stopping_rows(objects, trial, rows, rng)
    train, held = rows.train[~stop], rows.train[stop]
    booster = SklearnBooster(replace(PLAIN, n_estimators=trial.stages))
    booster.fit(
        TrainingRows(X[train], objects.labels[train]),
        TrainingRows(X[held], objects.labels[held]),
        seed=trial.seed,
        progress=report,
    )
    proba = to_all_classes(booster.predict_proba(X), booster.classes)
    nearest = _nearest(X, objects.labels, train)
    tests = {}
    for name, test in rows.tests.items():
        tests[name] = _tested(objects, test, proba[test])
        tests[name]["nearest"] = _tested(objects, test, nearest[test])["scores"]
        seen = np.isin(test, train)
        tests[name]["seen"] = _seen(objects.labels[test], seen, proba[test])
    return {"tests": tests, "n_train": len(train)}


def _tested(objects: Objects, test: NDArray[np.int64], proba: NDArray[np.float64]) -> dict[str, Any]:
    labels, proba = objects.labels[test], proba[:, PAPER_COLUMNS]
    return {"scores": scored(labels, proba, objects.simulated[test]), "roc": _roc(labels, proba)}


def _roc(labels: NDArray[np.str_], proba: NDArray[np.float64]) -> dict[str, Any]:
    """True positive rates at `RATES`, pooled over classes (micro) and averaged (macro)."""
    truth, present = truth_index(labels, PAPER_CLASSES), present_classes(labels, PAPER_CLASSES)
    columns = truth_index(np.array(present), PAPER_CLASSES)
    pooled = (truth[:, None] == columns).ravel(), proba[:, columns].ravel()
    curves = [roc_curve(truth == k, proba[:, k]) for k in columns] + [roc_curve(*pooled)]
    rates = [np.interp(RATES, curve.x, curve.y) for curve in curves]
    return {"micro": rates[-1], "macro": np.mean(rates[:-1], axis=0), "micro_auc": roc_auc(*pooled)}


def _nearest(
    X: NDArray[np.float32], labels: NDArray[np.str_], train: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Certainty for the class of the nearest training row; what is learnt by heart is met again."""
    from scipy.spatial import cKDTree  # here: most commands need none of it

    X = (X - X[train].mean(axis=0)) / np.maximum(X[train].std(axis=0), 1e-9)
    found = train[cKDTree(X[train]).query(X)[1]]
    said = np.asarray(labels[found][:, None] == np.array(CLASSES), dtype=np.float64)
    return said


def _seen(labels: NDArray[np.str_], seen: NDArray[np.bool_], proba: NDArray[np.float64]) -> dict[str, Any]:
    """Share of the test rows whose object was trained on, in all and by class; accuracy of either kind."""
    right = np.array(CLASSES)[proba.argmax(axis=1)] == labels
    return {
        "share": float(seen.mean()),
        "per_class": {str(name): float(seen[labels == name].mean()) for name in np.unique(labels)},
        "accuracy_seen": float(right[seen].mean()) if seen.any() else None,
        "accuracy_unseen": float(right[~seen].mean()) if not seen.all() else None,
    }


# --- private: all of them together ----------------------------------------------


def _ours(bench: Bench) -> list[dict[str, Any]]:
    """Scores of our pipelines, each on its own fold."""
    said, objects = said_of(bench), bench.objects
    return [_tested(objects, fold.test, said.proba[fold.test]) for fold in objects.folds]


def _printed_per_class() -> dict[str, dict[str, float]]:
    names = ("precision", "recall", "f1")
    return {name: dict(zip(names, row, strict=True)) for name, row in PRINTED_PER_CLASS.items()}


def _f1(table: Mapping[str, Any]) -> dict[str, float]:
    return {name: row["f1"]["mean"] for name, row in table["sixteen"]["per_class"].items()}


def _shared_by_class(leak: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Share of each class's test rows, by the paper's protocol, whose object was trained on."""
    names = {name for test in leak for name in test["seen"]["per_class"]}
    tables = [test["seen"]["per_class"] for test in leak]
    return {
        name: float(np.mean([table[name] for table in tables if name in table]))
        for name in PAPER_CLASSES
        if name in names
    }


def _curves(tests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean ROC curves over folds or repeats, with their spread."""
    out: dict[str, Any] = {"micro_auc": spread([test["roc"]["micro_auc"] for test in tests])}
    for kind in ("micro", "macro"):
        rates = np.array([test["roc"][kind] for test in tests])
        std = rates.std(axis=0, ddof=1) if len(rates) > 1 else np.zeros(rates.shape[1])
        out[kind] = {"mean": rates.mean(axis=0).round(4), "std": std.round(4)}
    return out


def _anatomy(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a way to deal rows: the booster's and the nearest neighbour's scores."""
    table = []
    for arm, title in ARMS.items():
        trained_as = "training" if arm == "either" else arm
        items = [item for name, item in results.items() if name.startswith(f"{trained_as}-")]
        tests = [item["tests"][arm] for item in items]
        row: dict[str, Any] = {
            "arm": arm,
            "title": title,
            "n_repeats": len(tests),
            "n_train": round(float(np.mean([item["n_train"] for item in items]))),
            "n_test": round(float(np.mean([t["scores"]["sixteen"]["n_objects"] for t in tests]))),
            "shared": spread([test["seen"]["share"] for test in tests]),
            "accuracy_seen": spread([test["seen"]["accuracy_seen"] for test in tests]),
            "accuracy_unseen": spread([test["seen"]["accuracy_unseen"] for test in tests]),
        }
        for who, scores in (
            ("booster", [test["scores"] for test in tests]),
            ("nearest", [test["nearest"] for test in tests]),
        ):
            row[who] = {
                which: {m: spread([s[which][m] for s in scores]) for m in ("accuracy", "macro_f1")}
                for which in ("sixteen", "real")
            }
            row[who]["recall"] = _recalls(scores)
        table.append(row)
    return table


def _recalls(scores: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean recall of each class over repeats."""
    found: dict[str, list[float]] = {}
    for score in scores:
        for name, row in score["sixteen"]["per_class"].items():
            found.setdefault(name, []).append(row["recall"])
    return {name: float(np.mean(found[name])) for name in PAPER_CLASSES if name in found}


def _protocol(bench: Bench, n_leak: int) -> str:
    objects = bench.objects
    n_simulated, n_folds = int(objects.simulated.sum()), bench.scale.n_folds
    return (
        f"{len(objects) - n_simulated:,} real objects of thirteen classes and {n_simulated:,} simulated ones "
        f"(CaRT, ILOT, PISN), whole light curves. Honest: objects split into {n_folds} folds before anything "
        f"else, the autoencoder, the classifier and all balancing on a fold's learning objects only; the "
        f"spread is the sample standard deviation over the {n_folds} folds. The paper's design is six "
        f"latents and gradient boosting with class weights; ours is the preset {bench.scale.preset}. Its "
        f"protocol: the same latents and booster, every class brought to the size of the largest by copies, "
        f"no weights, then a fifth of the rows at random to test on; the spread is over {n_leak} such "
        "splits, each with another fold's latents. A tenth of the learning rows only stops the boosting."
    )


PART = Part(
    name="per-class",
    key="per_class",
    title="Results by class (section 6, Figures 4 to 6)",
    needs=("encode", "ours"),
    measure=measure,
    show=show,
)
