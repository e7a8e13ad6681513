"""Scores of folds or of one test set as one JSON document, every number with its spread.

The layout is stable; ``metrics.json`` beside every report has it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import firstlight
from firstlight.errors import DataError
from firstlight.files import replacing
from firstlight.metrics.phases import SELECTIONS
from firstlight.metrics.scores import CLASS_METRICS, METRICS

Scores = Mapping[str, Any]


def summarise_folds(
    folds: Sequence[Scores], *, protocol: str, resamples: Sequence[Scores] | None = None
) -> dict[str, Any]:
    """Mean and spread of the scores of several folds.

    Parameters
    ----------
    folds : sequence of mapping
        As from `metrics.score`, each with an optional ``by_phase`` as from `skill_by_phase`.
    protocol : str
        A sentence on the training and test objects.
    resamples : sequence of mapping, optional
        The same for objects drawn with replacement; the source of the spread of a single fold.

    Returns
    -------
    dict
        - each of `METRICS`: ``{"mean", "std", "folds"}``; ``std`` is the sample standard
          deviation between folds (or resamples), NaN if there are fewer than two;
        - ``n_objects``, ``n_not_classified``, ``n_folds``, ``protocol``, ``spread``, ``version``;
        - ``per_class``: class -> each of `CLASS_METRICS`: ``{"mean", "std"}``, and ``n``. A fold
          without the class does not count;
        - ``by_phase``: phase -> selection -> each of `METRICS`, ``n``, ``n_not_classified`` and
          ``mix``: class -> mean probability over frequency, ``{"mean", "std"}``;
        - ``confusion``: ``classes`` and ``matrix`` (rows the truth), summed over folds.

    Raises
    ------
    DataError
        If there is no fold, or they disagree about the classes.
    """
    if not folds:
        raise DataError("no fold to summarise")
    spread_of = folds if resamples is None else resamples
    summary: dict[str, Any] = {
        "version": firstlight.__version__,
        "protocol": protocol,
        "spread": _spread_in_words(len(folds), resamples),
        "n_objects": sum(fold["n_objects"] for fold in folds),
        "n_not_classified": sum(fold["n_not_classified"] for fold in folds),
        "n_folds": len(folds),
    }
    summary |= {name: _with_folds(folds, spread_of, (name,)) for name in METRICS}
    summary["per_class"] = _per_class(folds, spread_of)
    summary["by_phase"] = _by_phase(folds, spread_of)
    summary["confusion"] = _confusion(folds)
    return summary


def plain_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary in JSON types: NaN becomes None, floats are rounded to six decimals."""
    return {str(key): _plain(value) for key, value in summary.items()}


def write_summary(summary: Mapping[str, Any], path: str | Path) -> None:
    """Write a summary as JSON, atomically; NaN becomes null, floats are rounded to six decimals.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    with replacing(path) as partial:
        text = json.dumps(plain_summary(summary), indent=1, allow_nan=False, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")


def _spread_in_words(n_folds: int, resamples: Sequence[Scores] | None) -> str:
    if resamples is not None:
        return f"standard deviation of {len(resamples)} resamplings of the objects (bootstrap)"
    if n_folds == 1:
        return "none: one set of objects, scored once"
    return f"standard deviation between {n_folds} folds (n - 1 in the denominator)"


def _with_folds(
    folds: Sequence[Scores], spread_of: Sequence[Scores], place: tuple[str, ...]
) -> dict[str, Any]:
    """Mean, spread and values per fold of the number at `place` in each fold's table."""
    values = _at(folds, place)
    return {"mean": _mean(values), "std": _std(_at(spread_of, place)), "folds": values}


def _at(tables: Sequence[Scores], place: tuple[str, ...]) -> list[float]:
    values = []
    for table in tables:
        found: Any = table
        for key in place:
            found = found.get(key) if found is not None else None
        if found is not None:
            values.append(float(found))
    return values


def _per_class(folds: Sequence[Scores], spread_of: Sequence[Scores]) -> dict[str, Any]:
    classes = [
        name for name in folds[0]["confusion"]["classes"] if any(name in f["per_class"] for f in folds)
    ]
    table: dict[str, Any] = {}
    for label in classes:
        table[label] = {"n": sum(fold["per_class"].get(label, {}).get("n", 0) for fold in folds)}
        for name in CLASS_METRICS:
            place = ("per_class", label, name)
            table[label][name] = {"mean": _mean(_at(folds, place)), "std": _std(_at(spread_of, place))}
    return table


def _by_phase(folds: Sequence[Scores], spread_of: Sequence[Scores]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for phase in folds[0].get("by_phase", {}):
        table[phase] = {}
        for selection in SELECTIONS:
            own = [fold.get("by_phase", {}).get(phase, {}).get(selection) for fold in folds]
            if not any(own):
                continue
            counts = {key: sum(part[key] for part in own if part) for key in ("n", "n_not_classified")}
            place = ("by_phase", phase, selection)
            table[phase][selection] = counts | {
                name: _with_folds(folds, spread_of, (*place, name)) for name in METRICS
            }
            classes = {name: None for part in own if part for name in part.get("mix", {})}
            table[phase][selection]["mix"] = {
                name: {
                    "mean": _mean(_at(folds, (*place, "mix", name))),
                    "std": _std(_at(spread_of, (*place, "mix", name))),
                }
                for name in classes
            }
    return table


def _confusion(folds: Sequence[Scores]) -> dict[str, Any]:
    classes = [tuple(fold["confusion"]["classes"]) for fold in folds]
    if len(set(classes)) > 1:
        raise DataError("folds to summarise have different classes")
    matrix = np.sum([fold["confusion"]["matrix"] for fold in folds], axis=0)
    return {"classes": list(classes[0]), "matrix": matrix.tolist()}


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _std(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.std(finite, ddof=1)) if len(finite) > 1 else float("nan")


def _plain(value: Any) -> Any:
    """The value in JSON types: no numpy, NaN as None, six decimals."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
