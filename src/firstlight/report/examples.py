"""Choice of example objects: the most confident right and wrong predictions, by a fixed rule."""

from typing import NamedTuple

import numpy as np

from firstlight._types import IntArray
from firstlight.metrics import Evaluation
from firstlight.metrics.scores import truth_index


class Chosen(NamedTuple):
    """An example object and its prediction.

    Attributes
    ----------
    position : int
        Row in the evaluation.
    object_id, true, predicted : str
        Name, true class and most probable class.
    proba : float
        Probability given to `predicted`.
    proba_true : float
        Probability given to `true`.
    """

    position: int
    object_id: str
    true: str
    predicted: str
    proba: float
    proba_true: float

    @property
    def is_right(self) -> bool:
        """Whether the most probable class is the true one."""
        return self.true == self.predicted


def choose_examples(evaluation: Evaluation, n_each: int = 4) -> tuple[list[Chosen], list[Chosen]]:
    """Choose the most confident right and wrong predictions, at most one of each kind.

    Parameters
    ----------
    evaluation : Evaluation
        True classes and forecasts; objects that were not classified are skipped.
    n_each : int
        Largest number of right, and of wrong predictions.

    Returns
    -------
    list of Chosen
        Right: the most confident of each class, for the most frequent classes.
    list of Chosen
        Wrong: the most confident of each pair of true and predicted class, in order of confidence.
    """
    truth = truth_index(evaluation.labels, evaluation.classes)
    predicted = evaluation.proba.argmax(axis=1)
    confidence = evaluation.proba.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    order = order[evaluation.classified[order]]
    right, wrong = order[predicted[order] == truth[order]], order[predicted[order] != truth[order]]
    frequency = np.bincount(truth, minlength=len(evaluation.classes))
    firsts = _first_of_each(right, truth[right])
    firsts = firsts[np.argsort(-frequency[truth[firsts]], kind="stable")]
    errors = _first_of_each(wrong, truth[wrong] * len(evaluation.classes) + predicted[wrong])
    return (
        [_chosen(evaluation, int(row), int(predicted[row])) for row in firsts[:n_each]],
        [_chosen(evaluation, int(row), int(predicted[row])) for row in errors[:n_each]],
    )


def _first_of_each(rows: IntArray, kind: IntArray) -> IntArray:
    """The first row of each kind, in the order of `rows`."""
    _, first = np.unique(kind, return_index=True)
    return rows[np.sort(first)]


def _chosen(evaluation: Evaluation, row: int, predicted: int) -> Chosen:
    true = str(evaluation.labels[row])
    return Chosen(
        position=row,
        object_id=str(evaluation.object_id[row]),
        true=true,
        predicted=evaluation.classes[predicted],
        proba=float(evaluation.proba[row, predicted]),
        proba_true=float(evaluation.proba[row, evaluation.classes.index(true)]),
    )
