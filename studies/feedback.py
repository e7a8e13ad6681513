"""Rare objects among the first candidates that a person looks at, with and without verdicts.

First ``python studies/anomaly_rows.py``, which trains without each class; then
``python studies/feedback.py``, which writes ``studies/results/feedback.json`` (ten minutes of one core).

A class is hidden from everything that trains. The candidates are known objects that nothing was trained
on, and 50 objects of the hidden class, drawn at random. A person looks at one candidate after another,
always the first of the list, and calls it interesting if it is of the hidden class; the list is ordered
again after each answer. Counted are the interesting ones among the first 50. Settings of the ranker were
chosen on draws 0 to 3; the figures are of draws 100 and later, with other objects of the same classes.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

import anomaly
import firstlight
from anomaly_rows import LEFT_OUT
from firstlight.anomaly import AnomalyConfig, AnomalyInputs, AnomalyScorer
from firstlight.anomaly.feedback import FeedbackRanker

OUT = Path(__file__).parent / "results" / "feedback.json"
N_RARE, BUDGET, FIRST_DRAW = 50, 50, 100
MIN_OBS = 2  # as for a verdict of the classifier
PRESET = "default"

Columns = dict[str, NDArray[Any]]
#: Takes the candidates, those that have an answer and the answers; returns an order, best first.
Order = Callable[[Columns, NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classes", nargs="*", default=LEFT_OUT)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    result: dict[str, Any] = {
        "protocol": " ".join(__doc__.split("\n\n")[2].split()),
        "version": firstlight.__version__,
        "machine": f"{platform.machine()}, one thread, load {os.getloadavg()[0]:.1f}",
        "preset": PRESET,
        "n_rare": N_RARE,
        "budget": BUDGET,
        "draws": args.draws,
        "found": {},
    }
    for name in args.classes:
        pool = candidates(name)
        table: dict[str, Any] = {}
        for method, order in METHODS.items():
            begun = time.perf_counter()
            counts = [run(pool, name, FIRST_DRAW + k, order) for k in range(args.draws)]
            spent = (time.perf_counter() - begun) / args.draws
            table[method] = {
                "mean": round(float(np.mean(counts)), 2),
                "sd": round(float(np.std(counts, ddof=1)), 2),
                "counts": counts,
                "seconds": round(spent, 2),
            }
            print(name, method, table[method], flush=True)
        n = len(pool["label"])
        result["found"][name] = {"n_known": n - int((pool["label"] == name).sum()), "methods": table}
        args.out.write_text(json.dumps(result, indent=1) + "\n")


def candidates(name: str) -> Columns:
    """Whole curves of the objects that nothing was trained on, with their scores."""
    parts = anomaly.load(name)
    anomaly.add_proba(parts, name, PRESET)

    def inputs(rows: anomaly.Rows) -> AnomalyInputs:
        return AnomalyInputs(anomaly.latents(rows), rows["error"], rows.get("proba"))

    train, scale = parts["train"], parts["scale"]
    scorer = AnomalyScorer(AnomalyConfig()).fit(
        anomaly.matrix(train, PRESET),
        train["label"],
        anomaly.matrix(scale, PRESET),
        inputs=inputs(train),
        validation_inputs=inputs(scale),
        phase=scale["phase"],
        names=anomaly.names(PRESET),
    )
    columns: dict[str, list[NDArray[Any]]] = {}
    for split in ("dev", "test"):
        rows = parts[f"{split}|whole"]
        X = anomaly.matrix(rows, PRESET)
        own = {
            "X": X,
            "label": rows["label"],
            "proba": rows["proba"],
            "anomaly": scorer.score(X, rows["phase"], inputs(rows)),
            "place": scorer.places(X),
        }
        for key, value in own.items():
            columns.setdefault(key, []).append(value[rows["n_obs"] >= MIN_OBS])
    return {key: np.concatenate(values) for key, values in columns.items()}


def run(pool: Columns, name: str, draw: int, order: Order) -> int:
    """Interesting objects among the first `BUDGET` candidates of one draw."""
    rng = np.random.default_rng(draw)
    rare = rng.choice(np.flatnonzero(pool["label"] == name), N_RARE, replace=False)
    index = rng.permutation(np.concatenate([np.flatnonzero(pool["label"] != name), rare]))
    some = {key: value[index] for key, value in pool.items()}
    truth = np.where(some["label"] == name, 1.0, -1.0)
    seen = np.empty(0, np.int64)
    for _ in range(BUDGET):
        interest = order(some, seen, truth[seen])
        interest[seen] = -np.inf
        seen = np.append(seen, int(np.argmax(interest)))
    return int((truth[seen] > 0.0).sum())


def by_score(some: Columns, seen: NDArray[np.int64], answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """No feedback."""
    return some["anomaly"].copy()


def by_ranker(some: Columns, seen: NDArray[np.int64], answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Our ranker."""
    if "ranker" not in _KEPT or _KEPT["of"] is not some["X"]:
        _KEPT.update(ranker=FeedbackRanker(some["place"], some["proba"], some["anomaly"]), of=some["X"])
    known, values = np.zeros(len(some["X"]), bool), np.zeros(len(some["X"]))
    known[seen], values[seen] = True, answers
    return np.asarray(_KEPT["ranker"].interest(known, values))


_KEPT: dict[str, Any] = {}


def by_forest(kind: str) -> Order:
    """Coniferest's forests on the places and probabilities that our ranker reads."""

    def order(some: Columns, seen: NDArray[np.int64], answers: NDArray[np.float64]) -> NDArray[np.float64]:
        from coniferest.aadforest import AADForest
        from coniferest.pineforest import PineForest

        rows = np.ascontiguousarray(np.hstack([some["place"], some["proba"]]))
        made = {
            "AAD": lambda: AADForest(n_trees=128, n_subsamples=256, random_seed=0, n_jobs=1),
            "Pine": lambda: PineForest(
                n_trees=128, n_subsamples=256, n_spare_trees=256, random_seed=0, n_jobs=1
            ),
            "isolation": lambda: AADForest(n_trees=128, n_subsamples=256, random_seed=0, n_jobs=1),
        }[kind]()
        if kind == "isolation" or not len(seen):
            made.fit(rows)
        else:
            made.fit_known(rows, rows[seen], np.where(answers > 0.0, -1, 1))
        return -np.asarray(made.score_samples(rows))

    return order


METHODS: dict[str, Order] = {
    "no feedback": by_score,
    "feedback": by_ranker,
    "AAD forest (coniferest)": by_forest("AAD"),
    "Pine forest (coniferest)": by_forest("Pine"),
}


if __name__ == "__main__":
    main()
