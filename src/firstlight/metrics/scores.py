"""Scores of probabilities: pure functions of true classes and forecasts.

Arguments are ``labels`` (true classes), ``proba`` (one row per object, one column per class)
and ``classes`` (names of the columns). Conventions, which the report repeats:

- The predicted class is the most probable one; a tie goes to the first column.
- Macro averages run over the classes that occur in the truth, no others. A class that
  is never predicted has precision 0.
- AUC is one class against the rest, ties counted one half; the micro average pools all
  (object, class) pairs of the classes in the truth.
- Log-losses clip probabilities at 1e-15, after rows are scaled to sum to one.
- An object that was not classified stays in every score with the prior as its row, and
  is counted in ``n_not_classified``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.errors import DataError, UnknownClassError
from firstlight.metrics.curves import (
    average_precision,
    calibration_error,
    completeness_at_purity,
    precision_recall_curve,
    roc_auc,
)
from firstlight.taxonomy import PLASTICC_WEIGHT

SMALLEST_PROBA = 1e-15  # as in the PLAsTiCC challenge, so that one confident error is finite
SUM_TOLERANCE = 1e-3  # rows written with six digits sum to one within 1e-5
WANTED_PURITY = 0.95  # of `completeness_at_95_purity`

#: Scores of a whole set, in the order of every table.
METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "macro_auc",
    "micro_auc",
    "log_loss",
    "flat_log_loss",
    "weighted_log_loss",
    "brier",
    "ece",
    "classwise_ece",
)
#: Scores of one class against the rest.
CLASS_METRICS = (
    "precision",
    "recall",
    "f1",
    "auc",
    "average_precision",
    "completeness_at_95_purity",
    "log_loss",
)


def score(
    labels: StrArray,
    proba: FloatArray,
    classes: Sequence[str],
    classified: BoolArray | None = None,
) -> dict[str, Any]:
    """Every metric of one set of forecasts.

    Parameters
    ----------
    labels : str array, shape (n_objects,)
        True classes.
    proba : float64 array, shape (n_objects, n_classes)
        Forecast probabilities, rows summing to one.
    classes : sequence of str
        Names of the columns.
    classified : bool array, shape (n_objects,), optional
        False for objects that the classifier declined; all true by default.

    Returns
    -------
    dict
        Each of `METRICS` as a float (NaN where it has no meaning), ``n_objects``,
        ``n_not_classified``, ``per_class`` (class in the truth -> `CLASS_METRICS` and ``n``)
        and ``confusion`` (``classes`` and ``matrix``, rows the truth).

    Raises
    ------
    UnknownClassError
        If a label is none of `classes`.
    DataError
        If shapes disagree, there is no object, or a row is no probability distribution.

    Examples
    --------
    >>> result = score(np.array(["SNIa", "KN"]), np.array([[0.9, 0.1], [0.6, 0.4]]), ("SNIa", "KN"))
    >>> result["accuracy"], result["per_class"]["KN"]["recall"]
    (0.5, 0.0)
    """
    truth, proba = align(labels, proba, classes)
    if classified is None:
        classified = np.ones(len(truth), dtype=bool)
    if classified.shape != truth.shape:
        raise DataError(f"classified has shape {classified.shape}, expected {truth.shape}")
    result: dict[str, Any] = {"n_objects": len(truth), "n_not_classified": int(np.sum(~classified))}
    result |= headline(truth, proba, class_weights(classes))
    result["per_class"] = _per_class(truth, proba, classes)
    confusion = confusion_matrix(truth, proba.argmax(axis=1), len(classes))
    result["confusion"] = {"classes": list(classes), "matrix": confusion.tolist()}
    return result


def headline(truth: IntArray, proba: FloatArray, weights: FloatArray) -> dict[str, float]:
    """All of `METRICS` from the output of `align` and `class_weights`; fast enough for resampling.

    Macro and flat averages run over the classes in the truth. ``flat_log_loss`` is the
    "flat-weighted" metric of Boone 2019 (doi:10.3847/1538-3881/ab5182), ``weighted_log_loss`` that of
    the PLAsTiCC challenge (Malz et al. 2019, doi:10.3847/1538-3881/ab3a2f; TDE and KN count twice;
    its 15th class, "none of these", does not occur), both in nat. ``brier`` (0 to 2) sums over
    classes; ``classwise_ece`` is from Kull et al. 2019 (arXiv:1910.12656).
    """
    present = np.unique(truth)
    predicted = proba.argmax(axis=1)
    precision, recall, f1 = precision_recall_f1(confusion_matrix(truth, predicted, proba.shape[1]))
    loss = _losses(truth, proba)
    own = _class_means(loss, truth, proba.shape[1])[present]
    return {
        "accuracy": float(np.mean(predicted == truth)),
        "balanced_accuracy": float(recall[present].mean()),
        "macro_precision": float(precision[present].mean()),
        "macro_recall": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
        "macro_auc": _mean([roc_auc(truth == k, proba[:, k]) for k in present]),
        "micro_auc": roc_auc((truth[:, None] == present).ravel(), proba[:, present].ravel()),
        "log_loss": float(loss.mean()),
        "flat_log_loss": float(own.mean()),
        "weighted_log_loss": float(np.average(own, weights=weights[present])),
        "brier": _brier(truth, proba),
        "ece": calibration_error(predicted == truth, proba.max(axis=1)),
        "classwise_ece": _mean([calibration_error(truth == k, proba[:, k]) for k in present]),
    }


def present_classes(labels: StrArray, classes: Sequence[str]) -> tuple[str, ...]:
    """Those of `classes` that occur among `labels`, in the order of `classes`."""
    found = set(np.unique(labels).tolist())
    return tuple(name for name in classes if name in found)


def class_weights(classes: Sequence[str]) -> FloatArray:
    """PLAsTiCC's weight of each class; 1 for classes it does not know, shape (n_classes,)."""
    return np.array([PLASTICC_WEIGHT.get(name, 1.0) for name in classes])


def truth_index(labels: StrArray, classes: Sequence[str]) -> IntArray:
    """Column of each label.

    Parameters
    ----------
    labels : str array, shape (n_objects,)
        True classes.
    classes : sequence of str
        Names of the columns.

    Returns
    -------
    int64 array, shape (n_objects,)
        Position of each label in `classes`.

    Raises
    ------
    UnknownClassError
        If a label is none of `classes`.
    """
    names, inverse = np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)
    column = {name: position for position, name in enumerate(classes)}
    unknown = [str(name) for name in names if str(name) not in column]
    if unknown:
        raise UnknownClassError(
            f"no probability column for the true class(es) {unknown}; columns: {', '.join(classes)}. "
            "Leave those objects out, and say how many"
        )
    lookup = np.array([column[str(name)] for name in names], dtype=np.int64)
    return lookup[inverse] if len(names) else np.empty(0, dtype=np.int64)


def align(labels: StrArray, proba: FloatArray, classes: Sequence[str]) -> tuple[IntArray, FloatArray]:
    """Column of each true class, and the probabilities scaled to sum to one per row.

    Raises `UnknownClassError` and `DataError` as `score` does.
    """
    labels = np.asarray(labels, dtype=np.str_)
    proba = np.asarray(proba, dtype=np.float64)
    if proba.shape != (len(labels), len(classes)):
        raise DataError(
            f"probabilities have shape {proba.shape}; {len(labels)} labels and {len(classes)} classes "
            f"need ({len(labels)}, {len(classes)})"
        )
    if not len(labels):
        raise DataError("no object to score")
    total = proba.sum(axis=1)
    bad = ~(np.abs(total - 1.0) <= SUM_TOLERANCE) | (proba < 0.0).any(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"row {row} is no probability distribution (sum {total[row]:.6g}, "
            f"smallest {proba[row].min():.6g}); {int(bad.sum())} such row(s)"
        )
    return truth_index(labels, classes), proba / total[:, None]


def _per_class(truth: IntArray, proba: FloatArray, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """`CLASS_METRICS` and ``n`` of each class in the truth."""
    confusion = confusion_matrix(truth, proba.argmax(axis=1), len(classes))
    precision, recall, f1 = precision_recall_f1(confusion)
    loss = _class_means(_losses(truth, proba), truth, len(classes))
    table: dict[str, dict[str, float]] = {}
    for k in np.unique(truth):
        is_member, own = truth == k, proba[:, k]
        curve = precision_recall_curve(is_member, own)
        table[classes[k]] = {
            "n": int(is_member.sum()),
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "f1": float(f1[k]),
            "auc": roc_auc(is_member, own),
            "average_precision": average_precision(curve),
            "completeness_at_95_purity": completeness_at_purity(curve, WANTED_PURITY),
            "log_loss": float(loss[k]),
        }
    return table


def confusion_matrix(truth: IntArray, predicted: IntArray, n_classes: int) -> IntArray:
    """Objects per true class (row) and predicted class (column).

    scikit-learn's takes 50 times as long, which resampling would feel.
    """
    cells = np.bincount(truth * n_classes + predicted, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def precision_recall_f1(confusion: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Precision, recall and F1 of every class; 0 where the denominator is 0."""
    hit = np.diagonal(confusion).astype(np.float64)
    called, true = confusion.sum(axis=0), confusion.sum(axis=1)
    return (
        np.divide(hit, called, out=np.zeros_like(hit), where=called > 0),
        np.divide(hit, true, out=np.zeros_like(hit), where=true > 0),
        np.divide(2.0 * hit, called + true, out=np.zeros_like(hit), where=called + true > 0),
    )


def _losses(truth: IntArray, proba: FloatArray) -> FloatArray:
    own = proba[np.arange(len(truth)), truth]
    return 0.0 - np.log(np.clip(own, SMALLEST_PROBA, 1.0))  # certainty costs 0, not -0


def _class_means(values: FloatArray, truth: IntArray, n_classes: int) -> FloatArray:
    """Mean of `values` within each class; NaN for classes without objects."""
    n = np.bincount(truth, minlength=n_classes)
    with np.errstate(invalid="ignore"):
        return np.bincount(truth, weights=values, minlength=n_classes) / n


def _brier(truth: IntArray, proba: FloatArray) -> float:
    own = proba[np.arange(len(truth)), truth]
    # sum_k (p_k - y_k)^2 = sum_k p_k^2 - 2 p_true + 1; rounding must not make it negative.
    return float(np.mean(np.maximum((proba**2).sum(axis=1) - 2.0 * own + 1.0, 0.0)))


def _mean(values: list[float]) -> float:
    """Mean of the finite values; NaN if there is none."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
