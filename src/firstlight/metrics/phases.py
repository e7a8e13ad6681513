"""Scores as a function of days since the trigger.

Scores of whole light curves flatter a classifier for tonight's alerts, and so does the easy
split between galactic and extragalactic. So every score is taken at fixed phases, for all
objects and for the extragalactic ones alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.errors import DataError
from firstlight.metrics.scores import align, class_weights, headline
from firstlight.predictions import Predictions
from firstlight.taxonomy import GALACTIC

#: Days since the trigger at which skill is reported; infinity is the whole light curve.
PHASES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, np.inf)

#: Which objects count: all, or those whose true class lies outside the Milky Way.
SELECTIONS = ("all", "extragalactic")


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Predictions from light curves cut at one phase.

    Attributes
    ----------
    proba : float64 array, shape (n_objects, n_classes)
        Probabilities; the prior where not classified.
    classified : bool array, shape (n_objects,)
        False where there was too little data.
    in_set : bool array, shape (n_objects, n_classes), optional
        Classes in the prediction sets; None without sets.
    """

    proba: FloatArray
    classified: BoolArray
    in_set: BoolArray | None = None

    def take(self, index: IntArray) -> "Snapshot":
        """The snapshot of the objects at these positions."""
        in_set = None if self.in_set is None else self.in_set[index]
        return Snapshot(self.proba[index], self.classified[index], in_set)

    @classmethod
    def of(cls, predictions: Predictions) -> Self:
        """The snapshot of predictions."""
        in_set = predictions.in_set if predictions.in_set.any() else None
        return cls(predictions.proba, predictions.is_classified, in_set)


def phase_name(days: float) -> str:
    """Key of a phase in tables and JSON: ``"0"``, ``"0.5"``, ``"64"``, or ``"all"`` for infinity.

    Examples
    --------
    >>> [phase_name(days) for days in (0.0, 0.5, 64.0, np.inf)]
    ['0', '0.5', '64', 'all']
    """
    return "all" if np.isposinf(days) else f"{days:g}"


def skill_by_phase(
    labels: StrArray, snapshots: Mapping[str, Snapshot], classes: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Score every phase, for all objects and for the extragalactic ones.

    A supernova classified as a star is an error in both: probabilities are not renormalised. The
    result maps a phase to a selection of `SELECTIONS` (omitted without objects) to each of
    `firstlight.metrics.METRICS`, ``n``, ``n_not_classified`` and ``mix``: the mean probability of each class
    that occurs over its frequency, 1 where the probabilities have the mix of the objects. Raises
    `DataError` if a snapshot has another number of objects than there are labels, or as `score` does.
    """
    chosen = {
        "all": np.arange(len(labels)),
        "extragalactic": np.flatnonzero(~np.isin(labels, list(GALACTIC))),
    }
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for phase, snapshot in snapshots.items():
        if len(snapshot.proba) != len(labels) or len(snapshot.classified) != len(labels):
            raise DataError(f"phase {phase}: {len(snapshot.proba)} forecasts for {len(labels)} labels")
        table[phase] = {}
        for selection, index in chosen.items():
            if not len(index):
                continue
            truth, proba = align(labels[index], snapshot.proba[index], classes)
            table[phase][selection] = headline(truth, proba, class_weights(classes)) | {
                "n": len(index),
                "n_not_classified": int(np.sum(~snapshot.classified[index])),
                "mix": _mix(truth, proba, classes),
            }
    return table


def _mix(truth: IntArray, proba: FloatArray, classes: Sequence[str]) -> dict[str, float]:
    """Mean probability of each class that occurs over its frequency."""
    frequency = np.bincount(truth, minlength=len(classes)) / len(truth)
    mean = proba.mean(axis=0)
    return {classes[k]: float(mean[k] / frequency[k]) for k in np.flatnonzero(frequency).tolist()}
