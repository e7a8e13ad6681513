"""Microseconds per row of boosted classifiers' predictions: ours, and the libraries' own.

Run ``python benchmarks/classifiers.py``; it writes ``benchmarks/results/classifiers.json``.
About a minute of one core; CatBoost and XGBoost are measured where they are installed
(extra ``bench``). Synthetic rows of the usual shape: 16 classes, 300 rounds, 80 features of
which a tenth of the values are missing. One thread, median processor time of turns. The same
trees are evaluated by LightGBM and by us, and by scikit-learn and by us; the result holds the
largest difference of their probabilities.
"""

from _harness import parser, result, take_turns, versions, write

# isort: split
import time
from collections.abc import Callable
from functools import partial

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

from firstlight.classify.forest import Forest, softmax
from firstlight.classify.gradient import _forest_of
from firstlight.classify.lightgbm_text import compact, read_forest

N_CLASSES, N_ROUNDS, N_FEATURES, N_ROWS = 16, 300, 80, 4096
LEAVES, DEPTH, SKLEARN_DEPTH = 31, 6, 4
SKLEARN_ROWS = 700  # its training time grows fast, the cost of its predictions does not
BATCHES = (1, 256, 4096)

Rows = NDArray[np.float32]
Predict = Callable[[Rows], NDArray[np.float64]]


def main() -> None:
    words = parser(__doc__, "classifiers")
    words.add_argument("--rounds", type=int, default=N_ROUNDS)
    args = words.parse_args()
    X, code = rows()
    differences: dict[str, float] = {}
    predictors: dict[str, Predict] = {}
    for name, model in models(X, code, args.rounds):
        start = time.process_time()
        found, difference = model()
        print(f"{name}: ready after {time.process_time() - start:.1f} s of training")
        predictors |= found
        if difference is not None:
            differences[name] = difference
    table = result(
        "microseconds per row, one thread, medians of turns by processor time",
        *LIBRARIES,
        protocol={"classes": N_CLASSES, "rounds": args.rounds, "features": N_FEATURES},
        microseconds_a_row=measure(predictors, X, args.turns),
        largest_difference=differences,
    )
    write(args.out, table)


LIBRARIES = ("lightgbm", "scikit-learn", "catboost", "xgboost-cpu", "numba", "numpy")
Built = tuple[dict[str, Predict], float | None]


def models(X: Rows, code: NDArray[np.int64], rounds: int) -> list[tuple[str, Callable[[], Built]]]:
    """Libraries that are installed, cheapest training first."""
    found: list[tuple[str, Callable[[], Built]]] = [
        ("lightgbm", lambda: lightgbm_model(X, code, rounds)),
        ("scikit-learn", lambda: sklearn_model(X, code, rounds)),
    ]
    installed = versions("catboost", "xgboost-cpu", "xgboost")
    if installed["catboost"]:
        found.append(("catboost", lambda: (catboost_model(X, code, rounds), None)))
    if installed["xgboost-cpu"] or installed["xgboost"]:
        found.append(("xgboost", lambda: (xgboost_model(X, code, rounds), None)))
    return found


def rows() -> tuple[Rows, NDArray[np.int64]]:
    """Rows of overlapping classes, so that trees are deep; heavy tails and missing values as in features."""
    rng = np.random.default_rng(0)
    code = rng.integers(0, N_CLASSES, N_ROWS)
    centres = 0.5 * rng.normal(size=(N_CLASSES, N_FEATURES))
    X = centres[code] + rng.normal(size=(N_ROWS, N_FEATURES))
    X[:, N_FEATURES // 2 :] **= 3
    X[rng.random(X.shape) < 0.1] = np.nan
    return X.astype(np.float32), code


def lightgbm_model(X: Rows, code: NDArray[np.int64], rounds: int) -> Built:
    params = {
        "objective": "multiclass",
        "num_class": N_CLASSES,
        "num_leaves": LEAVES,
        "feature_fraction": 0.3,
        "max_bin": 127,
        "min_data_in_leaf": 10,
        "learning_rate": 0.05,
        "num_threads": 1,
        "verbosity": -1,
        "seed": 0,
    }
    text = compact(lightgbm.train(params, lightgbm.Dataset(X, code), rounds).model_to_string())
    booster, forest = lightgbm.Booster(model_str=text), read_forest(text)

    def theirs(batch: Rows) -> NDArray[np.float64]:
        return np.asarray(booster.predict(batch, num_threads=1))

    ours = walker(forest)
    difference = float(np.abs(theirs(X) - ours(X)).max())
    return {"LightGBM": theirs, "ours, LightGBM's trees": ours}, difference


def sklearn_model(X: Rows, code: NDArray[np.int64], rounds: int) -> Built:
    filled = np.nan_to_num(X)
    model = GradientBoostingClassifier(
        n_estimators=rounds, max_depth=SKLEARN_DEPTH, max_features=0.05, subsample=0.7, random_state=0
    ).fit(filled[:SKLEARN_ROWS], code[:SKLEARN_ROWS])
    forest, _ = _forest_of(model, None)
    ours = walker(forest)

    def theirs(batch: Rows) -> NDArray[np.float64]:
        return np.asarray(model.predict_proba(np.nan_to_num(batch)))

    def own(batch: Rows) -> NDArray[np.float64]:
        return ours(np.nan_to_num(batch))

    difference = float(np.abs(theirs(X) - own(X)).max())
    return {"scikit-learn": theirs, "ours, scikit-learn's trees": own}, difference


def catboost_model(X: Rows, code: NDArray[np.int64], rounds: int) -> dict[str, Predict]:
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(
        iterations=rounds,
        depth=DEPTH,
        rsm=0.1,
        thread_count=1,
        verbose=False,
        random_seed=0,
        allow_writing_files=False,
    ).fit(X[:SKLEARN_ROWS], code[:SKLEARN_ROWS])
    return {"CatBoost": lambda batch: np.asarray(model.predict_proba(batch, thread_count=1))}


def xgboost_model(X: Rows, code: NDArray[np.int64], rounds: int) -> dict[str, Predict]:
    import xgboost

    params = {
        "objective": "multi:softprob",
        "num_class": N_CLASSES,
        "max_depth": DEPTH,
        "tree_method": "hist",
        "max_bin": 64,
        "colsample_bytree": 0.1,
        "nthread": 1,
        "seed": 0,
    }
    booster = xgboost.train(params, xgboost.DMatrix(X[:SKLEARN_ROWS], code[:SKLEARN_ROWS]), rounds)
    return {"XGBoost": lambda batch: np.asarray(booster.inplace_predict(batch))}


def walker(forest: Forest) -> Predict:
    return lambda batch: softmax(forest.raw(batch))


def measure(predictors: dict[str, Predict], X: Rows, turns: int) -> dict[str, dict[str, float]]:
    """Microseconds per row of each predictor at each batch size."""
    table: dict[str, dict[str, float]] = {name: {} for name in predictors}
    for batch in BATCHES:
        repeats = max(1, 200 // batch)

        def run(predict: Predict, part: Rows = X[:batch], repeats: int = repeats) -> None:
            for _ in range(repeats):
                predict(part)

        times = take_turns({name: partial(run, predict) for name, predict in predictors.items()}, turns)
        for name, one in times.items():
            table[name][str(batch)] = round(1e6 * one.median_cpu / repeats / batch, 2)
    return table


if __name__ == "__main__":
    main()
