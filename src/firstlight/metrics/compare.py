"""Paired bootstrap of two forecasts of the same objects.

Objects are resampled with replacement and both forecasts are scored on each resample, so
errors that they share do not widen the spread of the difference.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from firstlight._types import FloatArray, IntArray, StrArray
from firstlight.errors import DataError
from firstlight.metrics.scores import SMALLEST_PROBA, confusion_matrix, precision_recall_f1
from firstlight.taxonomy import CLASSES, class_index

#: Scores that `compare` compares.
COMPARED = ("accuracy", "macro_f1", "log_loss")

N_RESAMPLES = 1000


class _Forecast(NamedTuple):
    """The most probable class of each object, and its log-loss [nat]."""

    predicted: IntArray
    loss: FloatArray


def object_losses(labels: StrArray, proba: FloatArray, classes: Sequence[str] = CLASSES) -> FloatArray:
    """Log-loss of each object.

    Parameters
    ----------
    labels : str array, shape (n_objects,)
        True classes.
    proba : float64 array, shape (n_objects, n_classes)
        Probabilities, clipped at 1e-15.
    classes : sequence of str
        Their columns.

    Returns
    -------
    float64 array, shape (n_objects,)
        In nat.

    Examples
    --------
    >>> object_losses(np.array(["AGN"]), np.full((1, 17), 1.0 / 17.0)).round(3).tolist()
    [2.833]
    """
    own = proba[np.arange(len(labels)), class_index(labels.tolist(), classes)]
    return np.asarray(-np.log(np.maximum(own, SMALLEST_PROBA)))


def compare(
    labels: StrArray,
    before: FloatArray,
    after: FloatArray,
    *,
    classes: Sequence[str] = CLASSES,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Difference between the scores of two forecasts, with its spread.

    Parameters
    ----------
    labels : str array, shape (n_objects,)
        True classes.
    before, after : float64 array, shape (n_objects, n_classes)
        Probabilities.
    classes : sequence of str
        Their columns.
    n_resamples : int
        Number of resamples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    dict of str to dict
        For each of `COMPARED`: ``before``, ``after``, ``difference`` (after - before),
        ``std``, ``low`` and ``high`` (2.5 and 97.5 % quantiles).

    Raises
    ------
    DataError
        If shapes disagree or there is no object.

    Examples
    --------
    >>> proba = np.eye(17)[[0, 0]]
    >>> compare(np.array(CLASSES[:2]), proba, proba, n_resamples=10)["accuracy"]["difference"]
    0.0
    """
    shape = (len(labels), len(classes))
    if not len(labels) or before.shape != shape or after.shape != shape:
        raise DataError(f"forecasts of shapes {before.shape} and {after.shape} for {len(labels)} objects")
    truth = class_index(labels.tolist(), classes)
    forecasts = [
        _Forecast(proba.argmax(axis=1), object_losses(labels, proba, classes)) for proba in (before, after)
    ]
    whole = [_scores(truth, *forecast, len(classes)) for forecast in forecasts]
    rng = np.random.default_rng(seed)
    draws = np.empty((n_resamples, len(COMPARED)))
    for row in draws:
        drawn = rng.integers(0, len(truth), len(truth))
        first, second = (
            _scores(truth[drawn], f.predicted[drawn], f.loss[drawn], len(classes)) for f in forecasts
        )
        row[:] = second - first
    low, high = np.quantile(draws, (0.025, 0.975), axis=0)
    return {
        name: {
            "before": float(whole[0][k]),
            "after": float(whole[1][k]),
            "difference": float(whole[1][k] - whole[0][k]),
            "std": float(draws[:, k].std(ddof=1)),
            "low": float(low[k]),
            "high": float(high[k]),
        }
        for k, name in enumerate(COMPARED)
    }


def _scores(truth: IntArray, predicted: IntArray, loss: FloatArray, n_classes: int) -> FloatArray:
    """`COMPARED`; macro F1 over the classes in the truth."""
    confusion = confusion_matrix(truth, predicted, n_classes)
    _, _, f1 = precision_recall_f1(confusion)
    return np.array([np.mean(truth == predicted), f1[confusion.sum(axis=1) > 0].mean(), loss.mean()])
