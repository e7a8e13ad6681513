"""Scores of prediction sets: how often a set has the true class, and how many classes it has."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from firstlight._types import BoolArray, StrArray
from firstlight.metrics.phases import Snapshot
from firstlight.metrics.scores import present_classes, truth_index
from firstlight.taxonomy import GALACTIC


def set_scores(
    labels: StrArray, snapshots: Mapping[str, Snapshot], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Coverage and size of the sets at each phase.

    Parameters
    ----------
    labels : str array, shape (n_objects,)
        True classes, all among `classes`.
    snapshots : mapping of str to Snapshot
        Predictions by phase; objects without a set do not count.

    Returns
    -------
    dict
        Phase -> ``coverage``, ``size`` (mean number of classes) and ``n`` of all objects; the same as
        ``extragalactic`` and in ``per_class``, by class; phases without sets are left out.
    """
    outside = ~np.isin(labels, list(GALACTIC))
    table = {}
    for phase, snapshot in snapshots.items():
        if snapshot.in_set is None or not snapshot.in_set.any():
            continue
        inside = snapshot.in_set
        hit = inside[np.arange(len(labels)), truth_index(labels, classes)]
        size = inside.sum(axis=1)
        table[phase] = _coverage(hit, size, size > 0) | {
            "extragalactic": _coverage(hit, size, (size > 0) & outside),
            "per_class": {
                name: _coverage(hit, size, (size > 0) & (labels == name))
                for name in present_classes(labels, classes)
            },
        }
    return table


def _coverage(hit: BoolArray, size: Any, chosen: BoolArray) -> dict[str, Any]:
    n = int(chosen.sum())
    if not n:
        return {"coverage": float("nan"), "size": float("nan"), "n": 0}
    return {"coverage": float(hit[chosen].mean()), "size": float(size[chosen].mean()), "n": n}
