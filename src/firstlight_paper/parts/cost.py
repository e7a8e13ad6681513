"""Limitation: cost. Times and memory that ``benchmarks/cost.py`` has measured; nothing is computed here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from firstlight_paper.experiment import Part
from firstlight_paper.tables import markdown
from firstlight_paper.view import MissingError, View

BENCHMARK = "cost-benchmark"  # file of the benchmark beside the companions


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
    """Growth with the number of objects, and times per object [ms]; without a benchmark, only that."""
    measured: Any = view.results.extra(BENCHMARK)
    if not measured:
        return {"benchmark": None}
    steps, classifying = measured["training"], measured["classifying"]
    n = [step["n_objects"] for step in steps]
    memory = [step["memory"] - step["memory_before"] for step in steps]
    last = {bundle: one["steps"][-1] for bundle, one in classifying.items()}
    return {
        "benchmark": measured,
        "power": growth(n, [step["cpu"] for step in steps]),
        "memory_per_1000": 1000.0 * float(np.polyfit(n, memory, 1)[0]) if len(n) > 1 else float("nan"),
        "most": last["default"]["n_objects"],
        "ms": {bundle: 1000.0 * step["cpu"] / step["n_objects"] for bundle, step in last.items()},
        "one_ms": 1000.0 * classifying["default"]["steps"][0]["cpu"],
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


COST = Part(
    name="cost",
    group="limitations",
    variants=lambda context, amount: (),
    tables={"training": training_table, "classifying": classifying_table},
    facts=facts,
)
