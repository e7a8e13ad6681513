"""Microseconds a row of boosted classifiers' predictions: ours, and the libraries' own.

Run ``python benchmarks/classifiers.py``; it writes ``benchmarks/results/classifiers.json``.
About a minute of one core; CatBoost and XGBoost are measured where they are installed
(extra ``bench``). Synthetic rows; what counts is the shape: 16 classes, 300 rounds, 80
features of which a tenth of the values are missing. One thread, best of repeats by
processor time, because other work on the machine lengthens the clock's. The same trees are
walked by LightGBM and by us, and by scikit-learn and by us; the largest difference of their
probabilities stands beside the times.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

import firstlight
from firstlight.classify.forest import Forest, softmax
from firstlight.classify.gradient import _forest_of
from firstlight.classify.lightgbm_text import compact, read_forest

OUT = Path(__file__).parent / "results" / "classifiers.json"
N_CLASSES, N_ROUNDS, N_FEATURES, N_ROWS = 16, 300, 80, 4096
LEAVES, DEPTH, SKLEARN_DEPTH = 31, 6, 4
SKLEARN_ROWS = 700  # its training time grows fast, the cost of its predictions does not
BATCHES = (1, 256, 4096)
SECONDS = 0.4  # of repeats a measurement

Rows = NDArray[np.float32]
Predict = Callable[[Rows], NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--rounds", type=int, default=N_ROUNDS)
    args = parser.parse_args()
    X, code = rows()
    result: dict[str, Any] = {
        "version": firstlight.__version__,
        "protocol": {
            "classes": N_CLASSES,
            "rounds": args.rounds,
            "features": N_FEATURES,
            "unit": "microseconds a row, one thread, best of repeats by processor time",
        },
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "load": [round(x, 1) for x in os.getloadavg()],  # above the cores: caches are shared, times long
            "python": platform.python_version(),
        },
        "libraries": {name: version_of(name) for name in LIBRARIES},
        "microseconds_a_row": {},
        "largest_difference": {},
    }
    for name, model in models(X, code, args.rounds):
        start = time.process_time()
        predictors, difference = model()
        print(f"{name}: ready after {time.process_time() - start:.1f} s of training")
        if difference is not None:
            result["largest_difference"][name] = difference
        for label, predict in predictors.items():
            result["microseconds_a_row"][label] = {
                str(batch): measure(predict, X[:batch]) for batch in BATCHES
            }
            print(f"  {label}: {result['microseconds_a_row'][label]}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(args.out)


LIBRARIES = ("lightgbm", "scikit-learn", "catboost", "xgboost-cpu", "numba", "numpy")
Built = tuple[dict[str, Predict], float | None]


def models(X: Rows, code: NDArray[np.int64], rounds: int) -> list[tuple[str, Callable[[], Built]]]:
    """What is measured, cheapest training first."""
    found: list[tuple[str, Callable[[], Built]]] = [
        ("lightgbm", lambda: lightgbm_model(X, code, rounds)),
        ("scikit-learn", lambda: sklearn_model(X, code, rounds)),
    ]
    if version_of("catboost"):
        found.append(("catboost", lambda: (catboost_model(X, code, rounds), None)))
    if version_of("xgboost-cpu") or version_of("xgboost"):
        found.append(("xgboost", lambda: (xgboost_model(X, code, rounds), None)))
    return found


def rows() -> tuple[Rows, NDArray[np.int64]]:
    """Classes that overlap, so that trees have to be deep; heavy tails and gaps as in features."""
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
    ours = walker(_forest_of(model, None))

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


def measure(predict: Predict, batch: Rows) -> float:
    """Microseconds a row of the fastest repeat."""
    predict(batch)
    best, spent = np.inf, 0.0
    repeats = max(1, 200 // len(batch))
    while spent < SECONDS:
        start = time.process_time()
        for _ in range(repeats):
            predict(batch)
        took = time.process_time() - start
        best, spent = min(best, took / repeats), spent + took
    return round(1e6 * best / len(batch), 2)


def version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
