"""Scores as every part states them: a mean with its spread, sixteen classes beside the real thirteen."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.metrics import score
from firstlight.taxonomy import CLASSES
from firstlight_paper.objects import PAPER_CLASSES, PAPER_COLUMNS

__all__ = ["HEADLINE", "scored", "spread", "spread_of"]

#: The numbers that the paper prints of a whole set, and the log-loss.
HEADLINE = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc", "log_loss")

_PER_CLASS = ("precision", "recall", "f1", "auc")


def scored(
    labels: NDArray[np.str_], proba: NDArray[np.float64], simulated: NDArray[np.bool_]
) -> dict[str, Any]:
    """Scores over the paper's sixteen classes, and of the same forecasts over real objects alone.

    Parameters
    ----------
    labels : str array, shape (n_objects,)
        True classes.
    proba : float64 array, shape (n_objects, 17) or (n_objects, 16)
        Probabilities, columns `firstlight.taxonomy.CLASSES` or `PAPER_CLASSES`.
    simulated : bool array, shape (n_objects,)
        True for simulated objects.

    Returns
    -------
    dict
        ``sixteen`` and ``real``, each with `HEADLINE`, ``n_objects``, ``per_class`` (precision,
        recall, f1, auc, n) and ``confusion`` (rows the truth, columns `PAPER_CLASSES`).
    """
    proba = proba[:, PAPER_COLUMNS] if proba.shape[1] == len(CLASSES) else proba
    return {"sixteen": _scores(labels, proba), "real": _scores(labels[~simulated], proba[~simulated])}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and sample standard deviation of a number over folds (or seeds), with the values themselves.

    Examples
    --------
    >>> spread([0.8, 0.9])
    {'mean': 0.85, 'std': 0.0707107, 'folds': [0.8, 0.9]}
    """
    known = [float(value) for value in values if value is not None and np.isfinite(value)]
    mean = float(np.mean(known)) if known else float("nan")
    std = float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")
    return {"mean": round(mean, 7), "std": round(std, 7), "folds": [round(value, 7) for value in known]}


def spread_of(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join what `scored` said of several folds: every number with its spread, confusions summed.

    Parameters
    ----------
    results : sequence of mapping
        One a fold, as from `scored`.

    Returns
    -------
    dict
        ``sixteen`` and ``real`` as in `scored`; numbers as from `spread`; ``n_objects`` and
        ``confusion`` summed.
    """
    return {name: _joined([result[name] for result in results]) for name in ("sixteen", "real")}


# --- private --------------------------------------------------------------------


def _scores(labels: NDArray[np.str_], proba: NDArray[np.float64]) -> dict[str, Any]:
    result = score(labels, proba / proba.sum(axis=1, keepdims=True), PAPER_CLASSES)
    per_class = {
        name: {metric: values[metric] for metric in _PER_CLASS} | {"n": values["n"]}
        for name, values in result["per_class"].items()
    }
    return {metric: result[metric] for metric in HEADLINE} | {
        "n_objects": result["n_objects"],
        "per_class": per_class,
        "confusion": result["confusion"]["matrix"],
    }


def _joined(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = [name for name in PAPER_CLASSES if any(name in fold["per_class"] for fold in folds)]
    per_class = {}
    for name in names:
        rows = [fold["per_class"][name] for fold in folds if name in fold["per_class"]]
        per_class[name] = {metric: spread([row[metric] for row in rows]) for metric in _PER_CLASS}
        per_class[name]["n"] = sum(row["n"] for row in rows)
    return {metric: spread([fold[metric] for fold in folds]) for metric in HEADLINE} | {
        "n_objects": sum(fold["n_objects"] for fold in folds),
        "per_class": per_class,
        "confusion": np.sum([fold["confusion"] for fold in folds], axis=0).tolist(),
    }
