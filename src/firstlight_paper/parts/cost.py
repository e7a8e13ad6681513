"""Limitation: cost. Scores of pruned boosters and rounded encoders; ``benchmarks/cost.py`` has the times.

The paper calls its model computationally intensive, prints no number, and proposes pruning and
quantisation: both are tried here.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.classify.forest import Forest, softmax
from firstlight.classify.lightgbm import LightGBMConfig
from firstlight.classify.lightgbm_text import read_forest
from firstlight.classify.protocol import to_all_classes
from firstlight.encoder import Encoder
from firstlight.preprocess import preprocess
from firstlight.splits import check_disjoint
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.models import boosted, inputs_of, pipeline_of, rows_of, scored_fold
from firstlight_paper.page.tables import markdown, pivot
from firstlight_paper.scores import REAL, Values
from firstlight_paper.view import MissingError, View

_METRICS = ("accuracy", "macro_f1", "log_loss")
BENCHMARK = "cost-benchmark"  # file of `benchmarks/cost.py` beside the companions


_BOOSTER = LightGBMConfig(learning_rate=0.1, leaves=15, feature_fraction=0.2, max_bin=63)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Boosting rounds that are kept, bits of the encoder's weights, folds, and the booster."""

    rounds: tuple[int, ...] = (1, 2, 5, 10, 20, 40, 80, 160)
    bits: tuple[int, ...] = (32, 8, 6, 5, 4, 3)
    folds: int = 2
    booster: LightGBMConfig = _BOOSTER


def pruned(forest: Forest, rounds: int) -> Forest:
    """The trees of the first boosting rounds alone (LightGBM grows one per output and round)."""
    kept = slice(rounds * forest.n_outputs)
    return replace(forest, root=forest.root[kept], depth=forest.depth[kept], output=forest.output[kept])


def quantised(weights: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Weights rounded to multiples of one step, so that each fits into `bits` signed bits (2 or more)."""
    steps = 2 ** (bits - 1) - 1
    largest = float(np.abs(weights).max()) if weights.size else 0.0
    if largest == 0.0:
        return weights
    return (np.rint(weights / largest * steps) * (largest / steps)).astype(np.float32)


def _made_smaller(context: Context, fold: int, progress: Progress, *, amount: Amount) -> Outcome:
    """A booster of ever fewer rounds, and one whose latents come from an ever coarser encoder."""
    objects, part = context.objects, context.objects.folds[fold]
    learn, names_of = objects.learn(fold), objects.curves.object_id
    check_disjoint(names_of[learn], names_of[part.test])
    X = inputs_of(context, fold)
    config = replace(amount.booster, rounds=amount.rounds[-1])
    booster = boosted(rows_of(objects, X, learn), config, seed=context.seed)
    progress("train", 0.6)
    forest, outcome = read_forest(booster.text), Outcome()

    def scores(some: Forest, rows: NDArray[np.float32], column: str = "ours") -> Values:
        proba = to_all_classes(softmax(some.raw(rows)), booster.classes)
        return scored_fold(context, column, fold, proba, metrics=_METRICS)

    for rounds in amount.rounds:
        some = pruned(forest, rounds)
        outcome.put(f"rounds {rounds}", scores(some, X[part.test]))
        outcome.put(f"rounds {rounds}", more({"microseconds": 1e6 * _tree_time(some, X[part.test])}))
    latent = [
        k for k, name in enumerate(pipeline_of(context, fold).input_names) if name.startswith("latent_")
    ]
    alone = boosted(rows_of(objects, X[:, latent], learn), config, seed=context.seed)
    for bits in amount.bits:
        rows, n_weights = _coarse_inputs(context, fold, X[part.test], bits)
        outcome.put(f"bits {bits}", scores(forest, rows))
        outcome.put(f"bits {bits}", scores(read_forest(alone.text), rows[:, latent], "design"))
        outcome.put(f"bits {bits}", more({"kilobytes": n_weights * bits / 8.0 / 1024.0}))
    return outcome


def _tree_time(forest: Forest, X: NDArray[np.float32]) -> float:
    """Processor time of the trees per object [s], the least of five runs."""
    times = []
    for _ in range(5):
        start = time.process_time()
        forest.raw(X)
        times.append(time.process_time() - start)
    return min(times) / len(X)


def _coarse_inputs(
    context: Context, fold: int, X: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.float32], int]:
    """Inputs of a fold's test objects with latents from rounded weights; number of weights."""
    encoder = Encoder.load(context.keep("ours") / f"fold-{fold + 1}" / "bundle" / "encoder")
    n_weights = sum(value.size for value in encoder.weights.values())
    if bits >= 32:
        return X, n_weights
    pipeline = pipeline_of(context, fold)
    weights = {  # the scales of the inputs are no learnt weights
        name: value if name.startswith("context_") else quantised(value, bits)
        for name, value in encoder.weights.items()
    }
    test = context.objects.curves.take(context.objects.folds[fold].test)
    latents = Encoder(encoder.config, weights).encode(preprocess(test, pipeline.config.preprocess))
    X, names = X.copy(), list(pipeline.input_names)
    for prefix, values in (("latent_log_var_", latents.log_var), ("latent_", latents.mean)):
        for k in range(values.shape[1]):
            if f"{prefix}{k + 1}" in names:
                X[:, names.index(f"{prefix}{k + 1}")] = values[:, k]
    return X, n_weights


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """One booster and one encoder per fold, made ever smaller."""
    folds = range(min(amount.folds, context.scale.n_folds))
    return [Variant(name="smaller", work=partial(_made_smaller, amount=amount), folds=folds)]


def growth(n: Sequence[float], cost: Sequence[float]) -> float:
    """Exponent of the power law that fits best; costs of zero are left out, NaN below two points.

    >>> round(growth([10, 100, 1000], [3.0, 30.0, 300.0]), 6)
    1.0
    """
    known = [(a, b) for a, b in zip(n, cost, strict=True) if b > 0.0]
    if len(known) < 2:
        return float("nan")
    x, y = np.log(np.array(known)).T
    return float(np.polyfit(x, y, 1)[0])


def facts(view: View) -> Mapping[str, Any]:
    """Fewest rounds and bits within 0.01 of the macro F1; measurements of the benchmark."""
    rounds, bits = view.amount.rounds, view.amount.bits
    whole = view.mean(f"rounds {rounds[-1]}", "macro_f1", REAL)
    enough = next(r for r in rounds if view.mean(f"rounds {r}", "macro_f1", REAL) >= whole - 0.01)
    exact = view.mean(f"bits {bits[0]}", "macro_f1", REAL, column="design")
    fine = takewhile(
        lambda b: view.mean(f"bits {b}", "macro_f1", REAL, column="design") >= exact - 0.01, bits
    )
    found: dict[str, Any] = {"enough": enough, "bits": list(fine)[-1], "benchmark": None}
    measured: Any = view.results.extra(BENCHMARK)
    if not measured:
        return found
    steps = measured["training"]
    n = [step["n_objects"] for step in steps]
    found["power"] = growth(n, [step["cpu"] for step in steps])
    memory = [step["memory"] - step["memory_before"] for step in steps]
    found["memory_per_1000"] = 1000.0 * float(np.polyfit(n, memory, 1)[0]) if len(n) > 1 else float("nan")
    per_object = {
        b: one["steps"][-1]["cpu"] / one["steps"][-1]["n_objects"]
        for b, one in measured["classifying"].items()
    }
    return found | {
        "benchmark": measured,
        "most": measured["classifying"]["default"]["steps"][-1]["n_objects"],
        "ms": {bundle: 1000.0 * seconds for bundle, seconds in per_object.items()},
        "one_ms": 1000.0 * measured["classifying"]["default"]["steps"][0]["cpu"],
        "last": steps[-1],
    }


def _benchmark(view: View) -> Any:
    if view.facts.get("benchmark") is None:
        raise MissingError("benchmarks/cost.py")
    return view.facts["benchmark"]


_TRAINING = {
    "objects": ("n_objects", ",.0f"),
    "observations": ("n_observations", ",.0f"),
    "processor time [s]": ("cpu", ".1f"),
    "of it encoder [s]": ("encoder", ".1f"),
    "of it features and copies [s]": ("features", ".1f"),
    "of it booster [s]": ("classifier", ".1f"),
    "wall clock [s]": ("wall", ".1f"),
    "peak memory [MB]": ("memory", ",.0f"),
    "before training [MB]": ("memory_before", ",.0f"),
}


def training_table(view: View) -> str:
    """Time and memory of a training by number of objects."""
    steps = [{**step, **step["stages"]} for step in _benchmark(view)["training"]]
    body = [[format(step.get(name, 0.0), form) for name, form in _TRAINING.values()] for step in steps]
    return markdown(list(_TRAINING), body)


def classifying_table(view: View) -> str:
    """Time and memory of classifying by number of objects."""
    body = []
    for bundle, found in _benchmark(view)["classifying"].items():
        for step in found["steps"]:
            n = step["n_objects"]
            times = [f"{1000.0 * step[kind] / n:.2f}" for kind in ("cpu", "wall")]
            body.append([f"{bundle}, {n:,}", *times, f"{step['memory']:.0f}"])
    times = ["processor time [ms per object]", "wall clock [ms per object]"]
    return markdown(["bundle, objects", *times, "peak memory [MB]"], body)


def smaller_table(view: View) -> str:
    """Scores of pruned boosters and rounded encoders."""
    rows = {f"{r} boosting rounds": {"variant": f"rounds {r}"} for r in view.amount.rounds}
    rows |= {f"autoencoder of {b} bits": {"variant": f"bits {b}"} for b in view.amount.bits}
    columns: dict[str, Mapping[str, Any]] = {
        "macro F1, 16 classes": {"metric": "macro_f1"},
        "accuracy, 13 real": {"metric": "accuracy", "subset": 13},
        "macro F1, 13 real": {"metric": "macro_f1", "subset": 13},
        "log-loss, 13 real": {"metric": "log_loss", "subset": 13},
        "macro F1 from latents alone, 13 real": {"metric": "macro_f1", "subset": 13, "column": "design"},
        "trees [µs per object]": {"metric": "microseconds", "subset": 0, "column": "", "digits": 1},
        "autoencoder [kB]": {"metric": "kilobytes", "subset": 0, "column": "", "digits": 0},
    }
    return pivot(view, rows, columns, "kept")


COST = Part(
    name="cost",
    group="limitations",
    needs=("inputs",),
    full=Amount(),
    quick=Amount(rounds=(1, 2, 5, 10, 20, 40)),
    variants=variants,
    tables={"training": training_table, "classifying": classifying_table, "smaller": smaller_table},
    facts=facts,
)
