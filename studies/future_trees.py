"""Future work of the paper: hybrids with other boosters and forests; bagging and stacking.

Run ``python -m studies.future_trees --cache FOLDER`` from the top of the project, in an environment with
xgboost and catboost beside those of firstlight (half an hour of one core); see `future_ground`.

Protocol: hybrids stand in place of LightGBM, or beside it (geometric mean of both probabilities, weights
a half). All classes have equal total weight. Random forest: 400 trees, at least two rows per leaf.
XGBoost: rounds, leaves, learning rate and fractions of LightGBM. CatBoost: 500 symmetric trees of depth
6, learning rate .1, a fifth of the columns per level. Bagging: mean of the probabilities of five
boosters, each trained on as many objects, drawn with replacement, with all copies; beside it the mean of
five boosters that differ in their seed alone, and the difference that one other seed makes. Stacking:
each kind forecasts each half of the training objects from the other half; in each of four ranges of days
since trigger (edges 4, 16 and 64) these log-probabilities enter a weighted sum, one weight per kind, or a
multinomial logistic regression; both are fitted to the training objects, whose classes keep their
frequency.
"""

import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from studies.future_ground import (
    Ground,
    Predict,
    arguments,
    booster,
    differences,
    ground,
    keep,
    kept,
    reference,
    scores,
    settings,
)

from firstlight._types import AnyArray, FloatArray, IntArray
from firstlight.classify import TrainingRows, class_weights
from firstlight.splits import hash_fraction

Fit = Callable[[Ground, TrainingRows, int], tuple[Predict, int]]  # the classifier and its size [byte]
SMALLEST = 1e-4  # probability in a logarithm
EDGES = (4.0, 16.0, 64.0)  # of the ranges of phases [day]
N_BAGS = 5


def lightgbm(found: Ground, rows: TrainingRows, seed: int) -> tuple[Predict, int]:
    """The booster of `default`."""
    model = booster(found, seed, rows)
    return model.predict_proba, len(model.text.encode())


def random_forest(found: Ground, rows: TrainingRows, seed: int) -> tuple[Predict, int]:
    """Random forest of scikit-learn, which takes missing values as they are."""
    from sklearn.ensemble import RandomForestClassifier

    coded = rows.coded(found.classes)
    model = RandomForestClassifier(400, min_samples_leaf=2, max_features="sqrt", random_state=seed, n_jobs=1)
    model.fit(coded.X, coded.code, sample_weight=class_weights(coded.code, 1.0, coded.weight))
    return model.predict_proba, len(pickle.dumps(model))


def xgboost(found: Ground, rows: TrainingRows, seed: int) -> tuple[Predict, int]:
    """XGBoost with the settings of LightGBM."""
    from xgboost import XGBClassifier

    own, coded = settings().classifier.lightgbm, rows.coded(found.classes)
    model = XGBClassifier(
        n_estimators=own.rounds,
        learning_rate=own.learning_rate,
        grow_policy="lossguide",
        max_leaves=own.leaves,
        max_depth=0,
        tree_method="hist",
        max_bin=own.max_bin + 1,
        colsample_bytree=own.feature_fraction,
        subsample=own.row_fraction,
        min_child_weight=1e-3,
        objective="multi:softprob",
        n_jobs=1,
        random_state=seed,
    )
    model.fit(coded.X, coded.code, sample_weight=class_weights(coded.code, 1.0, coded.weight))
    return model.predict_proba, len(model.get_booster().save_raw("ubj"))


def catboost(found: Ground, rows: TrainingRows, seed: int) -> tuple[Predict, int]:
    """CatBoost: one tree per round for all classes."""
    from catboost import CatBoostClassifier, Pool

    coded = rows.coded(found.classes)
    weight = class_weights(coded.code, 1.0, coded.weight)
    model = CatBoostClassifier(
        iterations=500,
        depth=6,
        learning_rate=0.1,
        rsm=0.2,
        border_count=64,
        loss_function="MultiClass",
        thread_count=1,
        random_seed=seed,
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(Pool(coded.X, coded.code, weight=weight))
    return model.predict_proba, len(model._serialize_model())


KINDS: Mapping[str, Fit] = {
    "LightGBM": lightgbm,
    "random forest": random_forest,
    "XGBoost": xgboost,
    "CatBoost": catboost,
}


def probabilities(found: Ground, predict: Predict) -> dict[str, AnyArray]:
    """Probabilities of the rows to calibrate on, and of those to score by view."""
    return {"held": predict(found.held.X)} | {view: predict(X) for view, X in found.tests.items()}


def trained(found: Ground, kind: str, rows: TrainingRows, seed: int) -> dict[str, AnyArray]:
    """Probabilities of a classifier, and its cost."""
    start = time.process_time()
    predict, size = KINDS[kind](found, rows, seed)
    seconds = time.process_time() - start
    X = np.ascontiguousarray(found.tests["all"][:1000])
    predict(X)
    start = time.process_time()
    predict(X)
    cost = [seconds, 1e6 * (time.process_time() - start) / len(X), size]
    print(kind, seed, [round(value, 1) for value in cost], flush=True)
    return probabilities(found, predict) | {"cost": np.array(cost)}


def halves(found: Ground, kind: str, side: int) -> dict[str, AnyArray]:
    """Forecasts of one half of the training objects, by a classifier of the other half."""
    own = (hash_fraction(found.train.owner.astype(str), "halves") < 0.5) == bool(side)
    predict, _ = KINDS[kind](found, found.train.take(~own), 0)
    return {"rows": np.flatnonzero(own), "proba": predict(found.train.X[own])}


def drawn(rows: TrainingRows, seed: int) -> TrainingRows:
    """All copies of as many objects, drawn with replacement: an object drawn twice weighs twice."""
    names, owner = np.unique(rows.owner, return_inverse=True)
    times = np.bincount(np.random.default_rng(seed).integers(0, len(names), len(names)), minlength=len(names))
    keep_row = times[owner] > 0
    weight = (rows.weight * times[owner])[keep_row]
    own = rows.take(keep_row)
    return TrainingRows(own.X, own.labels, own.redshift, weight, own.object_id)


def answers(found: Ground, proba: Mapping[str, AnyArray]) -> dict[str, FloatArray]:
    """Calibrated probabilities of the scored objects."""
    return found.calibrated(found.calibrator(proba["held"]), {view: proba[view] for view in found.tests})


def mixed(parts: list[Mapping[str, AnyArray]], found: Ground, *, geometric: bool) -> dict[str, AnyArray]:
    """Mean of several probabilities, or of their logarithms."""
    table = {}
    for view in ("held", *found.tests):
        stack = np.stack([np.asarray(part[view], np.float64) for part in parts])
        if geometric:
            stack = np.exp(np.log(np.maximum(stack, SMALLEST)).mean(axis=0))[None]
        mean = stack.mean(axis=0)
        table[view] = mean / mean.sum(axis=1, keepdims=True)
    return table


def logs(parts: Sequence[AnyArray]) -> FloatArray:
    """Log-probabilities, (kinds, rows, classes)."""
    return np.log(np.maximum(np.stack([np.asarray(part, np.float64) for part in parts]), SMALLEST))


def pool(parts: FloatArray, code: IntArray, weight: FloatArray) -> Predict:
    """Weighted sum of the log-probabilities of the kinds, with the least log-loss."""
    rows = np.arange(len(code))

    def loss(w: FloatArray) -> float:
        return float(np.average(-log_softmax(np.tensordot(w, parts, 1), axis=1)[rows, code], weights=weight))

    start = np.full(len(parts), 1.0 / len(parts))
    w = minimize(loss, start, method="L-BFGS-B", bounds=[(0.0, 3.0)] * len(parts)).x
    return lambda own: np.asarray(softmax(np.tensordot(w, own, 1), axis=1))


def logistic(parts: FloatArray, code: IntArray, weight: FloatArray) -> Predict:
    """Multinomial logistic regression of the log-probabilities of the kinds."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=0.1, max_iter=1000)
    model.fit(np.hstack(list(parts)), code, sample_weight=weight)

    def predict(own: FloatArray) -> FloatArray:
        proba = np.full(own.shape[1:], SMALLEST)
        proba[:, model.classes_] = model.predict_proba(np.hstack(list(own)))
        return proba

    return predict


def stacked(
    found: Ground,
    whole: Mapping[str, Mapping[str, AnyArray]],
    oof: Sequence[AnyArray],
    fit: Callable[[FloatArray, IntArray, FloatArray], Predict],
) -> dict[str, AnyArray]:
    """Probabilities of a second step that learns from forecasts out of fold, in each range of phases."""
    coded = found.train.coded(found.classes)
    parts, phase = logs(oof), {"held": found.held_phase} | dict(found.test_phase)
    table = {view: np.zeros((len(own), len(found.classes))) for view, own in phase.items()}
    for k in range(len(EDGES) + 1):
        learn = np.searchsorted(EDGES, found.train_phase) == k
        predict = fit(parts[:, learn], coded.code[learn], coded.weight[learn])
        for view, days in phase.items():
            here = np.searchsorted(EDGES, days) == k
            if here.any():
                own = logs([proba[view] for proba in whole.values()])
                table[view][here] = predict(own[:, here])  # type: ignore[arg-type]
    return table


def main() -> None:
    args = arguments(__doc__)
    found = ground(args.cache)
    base = reference(found, args.cache)
    whole: dict[str, dict[str, AnyArray]] = {}
    table: dict[str, Any] = {"objects": found.describe(), "reference": scores(found.labels, base)}
    for kind in KINDS:
        whole[kind] = kept(args.cache, f"kind-{kind}", lambda kind=kind: trained(found, kind, found.train, 0))
    table["cost"] = {
        kind: dict(zip(("train_cpu_s", "us_per_object", "bytes"), own["cost"].round(1).tolist(), strict=True))
        for kind, own in whole.items()
    }
    table["in place of LightGBM"], table["beside LightGBM"] = {}, {}
    for kind in list(KINDS)[1:]:
        table["in place of LightGBM"][kind] = differences(found.labels, base, answers(found, whole[kind]))
        both = mixed([whole["LightGBM"], whole[kind]], found, geometric=True)
        table["beside LightGBM"][kind] = differences(found.labels, base, answers(found, both))
    four = answers(found, mixed(list(whole.values()), found, geometric=True))
    table["beside LightGBM"]["all four"] = differences(found.labels, base, four)
    keep("hybrids", __doc__, ("lightgbm", "scikit-learn", "xgboost-cpu", "catboost"), table, args.out)

    seeds = [whole["LightGBM"]] + [
        kept(args.cache, f"seed-{k}", lambda k=k: trained(found, "LightGBM", found.train, k))
        for k in range(1, N_BAGS)
    ]
    bags = [
        kept(args.cache, f"bag-{k}", lambda k=k: trained(found, "LightGBM", drawn(found.train, k), k))
        for k in range(N_BAGS)
    ]
    table = {"objects": found.describe(), "reference": scores(found.labels, base), "cost": table["cost"]}
    table["another seed"] = differences(found.labels, base, answers(found, seeds[1]))
    table["mean of five seeds"] = differences(
        found.labels, base, answers(found, mixed(seeds, found, geometric=False))
    )
    table["bagging, five boosters"] = differences(
        found.labels, base, answers(found, mixed(bags, found, geometric=False))
    )
    oof = []
    for kind in KINDS:
        proba = np.zeros((len(found.train), len(found.classes)))
        for side in (0, 1):
            half = kept(args.cache, f"half-{side}-{kind}", lambda k=kind, s=side: halves(found, k, s))
            proba[half["rows"]] = half["proba"]
        oof.append(proba)
    for name, fit in (("weights per kind", pool), ("logistic regression", logistic)):
        stack = answers(found, stacked(found, whole, oof, fit))
        table[f"stacking, {name}"] = differences(found.labels, base, stack)
    keep("ensembles", __doc__, ("lightgbm", "scikit-learn", "xgboost-cpu", "catboost"), table, args.out)


if __name__ == "__main__":
    main()
