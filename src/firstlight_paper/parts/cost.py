"""Limitation: cost. Time and memory of training and classifying, by number of objects.

The paper calls its model computationally intensive, prints no number, and proposes pruning
and quantisation: both are tried here. Processor time is what counts, since it hardly
depends on what else the machine does.
"""

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.classify import LightGBMBooster, LightGBMConfig, TrainingRows, to_all_classes
from firstlight.classify.forest import Forest, softmax
from firstlight.classify.lightgbm_text import read_forest
from firstlight.data import write_curves
from firstlight.encoder import Encoder
from firstlight.preprocess import preprocess
from firstlight.splits import check_disjoint
from firstlight_paper.inputs import inputs_of, make_inputs
from firstlight_paper.parts.cost_child import measured
from firstlight_paper.parts.cost_show import show
from firstlight_paper.scores import scored, spread
from firstlight_paper.section import Part
from firstlight_paper.shared import OURS, pipeline_of
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["PART", "Amounts", "growth", "pruned", "quantised"]

TRAIN, CLASSIFY, SMALLER = "cost-training", "cost-classifying", "cost-smaller"


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much of it is measured.

    Attributes
    ----------
    train : tuple of int
        Objects to train on.
    preset : str
        What is trained.
    classify : tuple of int
        Objects to classify, ascending.
    rounds : tuple of int
        Boosting rounds that are kept of a forest, ascending; the last is what is trained.
    bits : tuple of int
        Bits of a weight of the encoder.
    folds : int
        Folds for pruning and quantising.
    """

    train: tuple[int, ...]
    preset: str
    classify: tuple[int, ...]
    rounds: tuple[int, ...]
    bits: tuple[int, ...]
    folds: int


FULL_AMOUNTS = Amounts(
    train=(500, 1000, 2000, 4000),
    preset="quick",
    classify=(1, 10, 100, 1000, 8000),
    rounds=(1, 2, 5, 10, 20, 40, 80, 160),
    bits=(8, 6, 5, 4, 3),
    folds=2,
)
QUICK_AMOUNTS = replace(
    FULL_AMOUNTS, train=(150, 300, 600), classify=(1, 10, 100, 1000), rounds=(1, 2, 5, 10, 20, 40), folds=2
)

#: Bundles that ship with firstlight.
BUNDLES = ("default", "fast")
_BOOSTER = LightGBMConfig(learning_rate=0.1, leaves=15, feature_fraction=0.2, max_bin=63)


def amounts_of(bench: Bench) -> Amounts:
    """Amounts at the scale of a bench."""
    return FULL_AMOUNTS if bench.scale.is_full else QUICK_AMOUNTS


@dataclass(frozen=True)
class Training:
    """One training to measure: `n` objects drawn at random, and the preset."""

    n: int
    preset: str


@dataclass(frozen=True)
class Classifying:
    """One bundle to measure, on ever more objects."""

    bundle: str
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Smaller:
    """One fold's booster to prune and encoder to quantise."""

    fold: int
    rounds: tuple[int, ...]
    bits: tuple[int, ...]


# --- measure --------------------------------------------------------------------


def measure(workshop: Workshop) -> dict[str, Any]:
    """Training and classification by number of objects; skill of pruned and quantised models."""
    bench = workshop.bench
    amounts = amounts_of(bench)
    trained = workshop.map(
        TRAIN, _train, {f"{n}": Training(n, amounts.preset) for n in amounts.train if n <= len(bench.objects)}
    )
    sizes = tuple(n for n in amounts.classify if n <= len(bench.objects))
    classified = workshop.map(CLASSIFY, _classify, {name: Classifying(name, sizes) for name in BUNDLES})
    make_inputs(workshop, amounts.folds)
    smaller = workshop.map(
        SMALLER,
        _make_smaller,
        {f"fold-{k + 1}": Smaller(k, amounts.rounds, amounts.bits) for k in range(amounts.folds)},
    )
    steps = list(trained.values())
    n = [step["n_objects"] for step in steps]
    return {
        "protocol": (
            f"preset {amounts.preset} trained on objects drawn at random, shipped bundles classifying whole "
            f"light curves; every measurement in a fresh process with one thread on {steps[0]['machine']}; "
            "processor time, so that what else runs hardly matters; peak of the resident set. Pruned and "
            f"quantised: {amounts.folds} folds, scored on unseen objects; spread over folds"
        ),
        "printed": None,
        "leak": None,
        "honest": {
            "machine": steps[0]["machine"],
            "preset": amounts.preset,
            "training": steps,
            "exponent": {
                "cpu": growth(n, [step["cpu"] for step in steps]),
                **{
                    stage: growth(n, [step["stages"].get(stage, 0.0) for step in steps])
                    for stage in ("encoder", "features", "classifier")
                },
            },
            "memory_per_1000": 1000.0 * _slope(n, [step["memory"] - step["memory_before"] for step in steps]),
            "classifying": classified,
            "pruned": _smaller_of([fold["pruned"] for fold in smaller.values()], "rounds"),
            "quantised": _smaller_of([fold["quantised"] for fold in smaller.values()], "bits"),
        },
    }


def machine() -> str:
    """The machine in a few words."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # another system than Linux: its short name has to do
    return f"{os.cpu_count()} cores, {name}, Python {platform.python_version()}"


def growth(n: Sequence[float], cost: Sequence[float]) -> float:
    """Exponent of the power law that fits best: 1 where cost grows like the number of objects.

    Parameters
    ----------
    n, cost : sequence of float
        Numbers of objects and what they cost; costs of zero are left out.

    Returns
    -------
    float
        Slope of log cost over log n; NaN with fewer than two points.

    Examples
    --------
    >>> round(growth([10, 100, 1000], [3.0, 30.0, 300.0]), 6)
    1.0
    """
    known = [(a, b) for a, b in zip(n, cost, strict=True) if b > 0.0]
    if len(known) < 2:
        return float("nan")
    x, y = np.log(np.array(known)).T
    return float(np.polyfit(x, y, 1)[0])


def _slope(n: Sequence[float], values: Sequence[float]) -> float:
    return float(np.polyfit(n, values, 1)[0]) if len(n) > 1 else float("nan")


def _train(bench: Bench, item: Training, report: Report) -> dict[str, Any]:
    """Train on some objects in a fresh process."""
    objects, folder = bench.objects, bench.keep(TRAIN) / f"objects-{item.n}"
    folder.mkdir(exist_ok=True)
    rows = bench.rng("cost").permutation(len(objects))[: item.n]
    write_curves(objects.curves.take(rows), folder / "curves.parquet")
    (folder / "labels.json").write_text(json.dumps(objects.labels[rows].tolist()), encoding="utf-8")
    report("", 0.05)
    return measured(
        "train",
        folder,
        curves=str(folder / "curves.parquet"),
        labels=str(folder / "labels.json"),
        preset=item.preset,
        seed=bench.seed,
    ) | {"machine": machine()}


def _classify(bench: Bench, item: Classifying, report: Report) -> dict[str, Any]:
    """Classify ever more objects in a fresh process; that the bundle knows them does not change the time."""
    objects, folder = bench.objects, bench.keep(CLASSIFY) / item.bundle
    folder.mkdir(exist_ok=True)
    rows = bench.rng("cost").permutation(len(objects))[: max(item.sizes)]
    write_curves(objects.curves.take(rows), folder / "curves.parquet")
    report("", 0.05)
    return measured(
        "classify",
        folder,
        curves=str(folder / "curves.parquet"),
        bundle=item.bundle,
        sizes=list(item.sizes),
    )


# --- pruning and quantisation -----------------------------------------------------


def pruned(forest: Forest, rounds: int) -> Forest:
    """The trees of the first boosting rounds alone.

    Parameters
    ----------
    forest : Forest
        As LightGBM grows it: a tree an output in every round.
    rounds : int
        How many to keep.
    """
    kept = slice(rounds * forest.n_outputs)
    return replace(forest, root=forest.root[kept], depth=forest.depth[kept], output=forest.output[kept])


def quantised(weights: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Weights rounded to whole multiples of one step, so that each fits into `bits` bits.

    Parameters
    ----------
    weights : float32 array
        One tensor; its largest magnitude is kept.
    bits : int
        Of a signed whole number; at least 2.

    Returns
    -------
    float32 array
        Of the same shape, off by at most half a step.
    """
    steps = 2 ** (bits - 1) - 1
    largest = float(np.abs(weights).max()) if weights.size else 0.0
    if largest == 0.0:
        return weights
    return (np.rint(weights / largest * steps) * (largest / steps)).astype(np.float32)


def _make_smaller(bench: Bench, item: Smaller, report: Report) -> dict[str, Any]:
    """Score a booster of ever fewer rounds, and one that reads an ever coarser encoder."""
    objects, fold = bench.objects, bench.objects.folds[item.fold]
    learn, names_of = objects.learn(item.fold), objects.curves.object_id
    check_disjoint(names_of[learn], names_of[fold.test])
    X = inputs_of(bench, item.fold)
    config = replace(_BOOSTER, rounds=item.rounds[-1])
    booster = LightGBMBooster(config).fit(
        TrainingRows(X[learn], objects.labels[learn], object_id=names_of[learn]), seed=bench.seed
    )
    report("", 0.6)
    labels, simulated, test = objects.labels[fold.test], objects.simulated[fold.test], X[fold.test]
    forest = read_forest(booster.text)

    def scores(some: Forest, rows: NDArray[np.float32]) -> dict[str, Any]:
        full = scored(labels, to_all_classes(softmax(some.raw(rows)), booster.classes), simulated)
        return {row: {m: full[row][m] for m in ("accuracy", "macro_f1", "log_loss")} for row in full}

    smaller = []
    for rounds in item.rounds:
        some = pruned(forest, rounds)
        smaller.append(scores(some, test) | {"rounds": rounds, "microseconds": 1e6 * _tree_time(some, test)})
    names = pipeline_of(bench, item.fold).input_names
    latent = [k for k, name in enumerate(names) if name.startswith("latent_")]
    alone = LightGBMBooster(config).fit(
        TrainingRows(X[learn][:, latent], objects.labels[learn], object_id=names_of[learn]), seed=bench.seed
    )
    latent_forest = read_forest(alone.text)
    coarse = []
    for bits in (32, *item.bits):
        rows, n_weights = _with_coarse_encoder(bench, item.fold, test, bits)
        coarse.append(
            scores(forest, rows)
            | {"latents": scores(latent_forest, rows[:, latent])["real"]}
            | {"bits": bits, "kilobytes": n_weights * bits / 8.0 / 1024.0}
        )
    return {"pruned": smaller, "quantised": coarse}


def _tree_time(forest: Forest, X: NDArray[np.float32]) -> float:
    """Processor time of the trees for one object [s], the least of five runs."""
    times = []
    for _ in range(5):
        start = time.process_time()
        forest.raw(X)
        times.append(time.process_time() - start)
    return min(times) / len(X)


def _with_coarse_encoder(
    bench: Bench, fold: int, X: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.float32], int]:
    """Inputs of a fold's test objects whose latents come from rounded weights; number of weights."""
    encoder = Encoder.load(bench.keep(OURS) / f"fold-{fold + 1}" / "encoder")
    pipeline = pipeline_of(bench, fold)
    n_weights = sum(value.size for value in encoder.weights.values())
    if bits >= 32:
        return X, n_weights
    weights = {
        # what the inputs are scaled with is no weight that was learnt
        name: value if name.startswith("context_") else quantised(value, bits)
        for name, value in encoder.weights.items()
    }
    curves = preprocess(bench.objects.curves.take(bench.objects.folds[fold].test), pipeline.config.preprocess)
    latents = Encoder(encoder.config, weights).encode(curves)
    X = X.copy()
    names = pipeline.input_names
    for prefix, values in (("latent_log_var_", latents.log_var), ("latent_", latents.mean)):
        columns = [
            names.index(f"{prefix}{k + 1}") for k in range(values.shape[1]) if f"{prefix}{k + 1}" in names
        ]
        X[:, columns] = values[:, : len(columns)]
    return X, n_weights


def _smaller_of(folds: Sequence[Sequence[Mapping[str, Any]]], key: str) -> list[dict[str, Any]]:
    rows = []
    for steps in zip(*folds, strict=True):
        row: dict[str, Any] = {key: steps[0][key]}
        for name in ("microseconds", "kilobytes"):
            if name in steps[0]:
                row[name] = float(np.mean([step[name] for step in steps]))
        for part in (name for name in ("sixteen", "real", "latents") if name in steps[0]):
            row[part] = {metric: spread([step[part][metric] for step in steps]) for metric in steps[0][part]}
        rows.append(row)
    return rows


PART = Part(
    name="cost",
    key="limitations.cost",
    title="Limitation: cost",
    needs=(OURS,),
    measure=measure,
    show=show,
)
