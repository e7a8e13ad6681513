"""How good probabilities are: pure functions of truth and forecast.

Every function takes ``labels`` (true classes), ``proba`` (one row an object, one column
a class) and ``classes`` (the names of the columns). Conventions, which the report
repeats in words:

- The predicted class is the most probable one; a tie goes to the first column.
- Macro averages run over the classes that occur in the truth, no others. A class that
  is never predicted has precision 0.
- AUC is one class against the rest, ties counted one half; the micro average pools all
  (object, class) pairs of the classes in the truth.
- Logarithms see probabilities clipped at 1e-15, after rows are scaled to sum to one.
- An object that was not classified counts with the row it has, which by protocol is
  the prior: silence earns what the prior earns, and is counted in ``n_not_classified``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.errors import DataError, UnknownClassError
from firstlight.metrics.operating import average_precision, completeness_at_purity, roc_auc
from firstlight.metrics.reliability import N_BINS, calibration_error
from firstlight.taxonomy import PLASTICC_WEIGHT

__all__ = [
    "CLASS_METRICS",
    "METRICS",
    "accuracy",
    "brier",
    "classwise_ece",
    "confusion_matrix",
    "ece",
    "flat_log_loss",
    "headline",
    "log_loss",
    "macro_auc",
    "micro_auc",
    "per_class",
    "present_classes",
    "score",
    "truth_index",
    "weighted_log_loss",
]

SMALLEST_PROBA = 1e-15  # as in the PLAsTiCC challenge, so that one confident error is finite
SUM_TOLERANCE = 1e-3  # rows written with six digits sum to one within 1e-5
WANTED_PURITY = 0.95  # of the sample that `completeness_at_95_purity` asks for

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

FloatArray = NDArray[np.float64]


def score(
    labels: NDArray[np.str_],
    proba: FloatArray,
    classes: Sequence[str],
    classified: NDArray[np.bool_] | None = None,
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
    truth, proba = _aligned(labels, proba, classes)
    if classified is None:
        classified = np.ones(len(truth), dtype=bool)
    if classified.shape != truth.shape:
        raise DataError(f"classified has shape {classified.shape}, expected {truth.shape}")
    result: dict[str, Any] = {"n_objects": len(truth), "n_not_classified": int(np.sum(~classified))}
    result |= headline(truth, proba, class_weights(classes))
    result["per_class"] = _per_class(truth, proba, classes)
    result["confusion"] = {
        "classes": list(classes),
        "matrix": _confusion(truth, proba.argmax(axis=1), len(classes)).tolist(),
    }
    return result


def headline(truth: NDArray[np.int64], proba: FloatArray, weights: FloatArray) -> dict[str, float]:
    """All of `METRICS`, from checked input: for resampling, where checking each time would cost.

    Parameters
    ----------
    truth : int64 array, shape (n_objects,)
        Column of each object's true class, as from `truth_index`.
    proba : float64 array, shape (n_objects, n_classes)
        Forecast probabilities, rows summing to one.
    weights : float64 array, shape (n_classes,)
        Weight of each class in the weighted log-loss.

    Returns
    -------
    dict of str to float
        Keys and order of `METRICS`.
    """
    present = np.unique(truth)
    predicted = proba.argmax(axis=1)
    precision, recall, f1 = _rates(_confusion(truth, predicted, proba.shape[1]))
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


# --- the single metrics ---------------------------------------------------------


def accuracy(labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str]) -> float:
    """Share of objects whose most probable class is the true one; arguments as for `score`.

    Examples
    --------
    >>> accuracy(np.array(["KN", "KN"]), np.array([[0.2, 0.8], [0.7, 0.3]]), ("SNIa", "KN"))
    0.5
    """
    truth, proba = _aligned(labels, proba, classes)
    return float(np.mean(proba.argmax(axis=1) == truth))


def macro_auc(labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str]) -> float:
    """Mean one-vs-rest AUC of the classes in the truth; NaN if there is only one.

    Arguments as for `score`.
    """
    truth, proba = _aligned(labels, proba, classes)
    return _mean([roc_auc(truth == k, proba[:, k]) for k in np.unique(truth)])


def micro_auc(labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str]) -> float:
    """AUC of all (object, class) pairs together, over the classes in the truth.

    Arguments as for `score`. Absent classes are left out because their columns of
    near-zero probabilities would flatter the score.
    """
    truth, proba = _aligned(labels, proba, classes)
    present = np.unique(truth)
    return roc_auc((truth[:, None] == present).ravel(), proba[:, present].ravel())


def log_loss(labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str]) -> float:
    """Mean over objects of minus the logarithm of the true class's probability [nat].

    Arguments as for `score`.

    Examples
    --------
    >>> round(log_loss(np.array(["KN"]), np.array([[0.5, 0.5]]), ("SNIa", "KN")), 4)
    0.6931
    """
    truth, proba = _aligned(labels, proba, classes)
    return float(_losses(truth, proba).mean())


def flat_log_loss(labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str]) -> float:
    """Mean over the classes in the truth of each class's mean log-loss [nat].

    Arguments as for `score`.

    References
    ----------
    Boone 2019, AJ 158, 257, doi:10.3847/1538-3881/ab5182 (its "flat-weighted" metric)
    """
    truth, proba = _aligned(labels, proba, classes)
    own = _class_means(_losses(truth, proba), truth, proba.shape[1])
    return float(own[np.unique(truth)].mean())


def weighted_log_loss(labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str]) -> float:
    """The PLAsTiCC challenge's metric: class-mean log-losses, TDE and KN counted twice [nat].

    Arguments as for `score`. The challenge's 15th class, "none of these", is not asked for.

    References
    ----------
    Malz et al. 2019, AJ 158, 171, doi:10.3847/1538-3881/ab3a2f
    """
    truth, proba = _aligned(labels, proba, classes)
    present = np.unique(truth)
    own = _class_means(_losses(truth, proba), truth, proba.shape[1])
    return float(np.average(own[present], weights=class_weights(classes)[present]))


def brier(labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str]) -> float:
    """Mean squared distance between forecast and truth, summed over classes: 0 to 2.

    Arguments as for `score`.

    References
    ----------
    Brier 1950, MWR 78, 1, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    """
    return _brier(*_aligned(labels, proba, classes))


def ece(labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str], n_bins: int = N_BINS) -> float:
    """Expected calibration error of the most probable class; other arguments as for `score`."""
    truth, proba = _aligned(labels, proba, classes)
    return calibration_error(proba.argmax(axis=1) == truth, proba.max(axis=1), n_bins)


def classwise_ece(
    labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str], n_bins: int = N_BINS
) -> float:
    """Expected calibration error of each class's column, averaged over the classes in the truth.

    Other arguments as for `score`.

    References
    ----------
    Kull et al. 2019, NeurIPS, arXiv:1910.12656
    """
    truth, proba = _aligned(labels, proba, classes)
    return _mean([calibration_error(truth == k, proba[:, k], n_bins) for k in np.unique(truth)])


def confusion_matrix(
    labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str]
) -> NDArray[np.int64]:
    """Count objects by true class (rows) and most probable class (columns).

    Arguments as for `score`.

    Returns
    -------
    int64 array, shape (n_classes, n_classes)
        Sums to the number of objects.
    """
    truth, proba = _aligned(labels, proba, classes)
    return _confusion(truth, proba.argmax(axis=1), len(classes))


def per_class(
    labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Score each class in the truth against the rest.

    Precision is also known as purity, recall as completeness. Arguments as for `score`.

    Returns
    -------
    dict
        Class -> each of `CLASS_METRICS`, and ``n``, the number of its objects.
    """
    truth, proba = _aligned(labels, proba, classes)
    return _per_class(truth, proba, classes)


def present_classes(labels: NDArray[np.str_], classes: Sequence[str]) -> tuple[str, ...]:
    """Those of `classes` that occur among `labels`, in the order of `classes`."""
    found = set(np.unique(labels).tolist())
    return tuple(name for name in classes if name in found)


def class_weights(classes: Sequence[str]) -> FloatArray:
    """PLAsTiCC's weight of each class; 1 for classes it does not know, shape (n_classes,)."""
    return np.array([PLASTICC_WEIGHT.get(name, 1.0) for name in classes])


def truth_index(labels: NDArray[np.str_], classes: Sequence[str]) -> NDArray[np.int64]:
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


# --- from indices ---------------------------------------------------------------


def _aligned(
    labels: NDArray[np.str_], proba: FloatArray, classes: Sequence[str]
) -> tuple[NDArray[np.int64], FloatArray]:
    """Truth as columns, probabilities scaled to sum to one; DataError if that cannot be."""
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


def _per_class(
    truth: NDArray[np.int64], proba: FloatArray, classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    precision, recall, f1 = _rates(_confusion(truth, proba.argmax(axis=1), len(classes)))
    loss = _class_means(_losses(truth, proba), truth, len(classes))
    table: dict[str, dict[str, float]] = {}
    for k in np.unique(truth):
        is_member, own = truth == k, proba[:, k]
        table[classes[k]] = {
            "n": int(is_member.sum()),
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "f1": float(f1[k]),
            "auc": roc_auc(is_member, own),
            "average_precision": average_precision(is_member, own),
            "completeness_at_95_purity": completeness_at_purity(is_member, own, WANTED_PURITY),
            "log_loss": float(loss[k]),
        }
    return table


def _confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    cells = np.bincount(truth * n_classes + predicted, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def _rates(confusion: NDArray[np.int64]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Precision, recall and F1 of every class; 0 where the denominator is."""
    hit = np.diagonal(confusion).astype(np.float64)
    called, true = confusion.sum(axis=0), confusion.sum(axis=1)
    return (
        np.divide(hit, called, out=np.zeros_like(hit), where=called > 0),
        np.divide(hit, true, out=np.zeros_like(hit), where=true > 0),
        np.divide(2.0 * hit, called + true, out=np.zeros_like(hit), where=called + true > 0),
    )


def _losses(truth: NDArray[np.int64], proba: FloatArray) -> FloatArray:
    own = proba[np.arange(len(truth)), truth]
    return 0.0 - np.log(np.clip(own, SMALLEST_PROBA, 1.0))  # so that certainty costs 0, not -0


def _class_means(values: FloatArray, truth: NDArray[np.int64], n_classes: int) -> FloatArray:
    """Mean of `values` within each class; NaN for classes without objects."""
    n = np.bincount(truth, minlength=n_classes)
    with np.errstate(invalid="ignore"):
        return np.bincount(truth, weights=values, minlength=n_classes) / n


def _brier(truth: NDArray[np.int64], proba: FloatArray) -> float:
    own = proba[np.arange(len(truth)), truth]
    # sum_k (p_k - y_k)^2 = sum_k p_k^2 - 2 p_true + 1; rounding must not make it negative.
    return float(np.mean(np.maximum((proba**2).sum(axis=1) - 2.0 * own + 1.0, 0.0)))


def _mean(values: list[float]) -> float:
    """Mean of the finite values; NaN if there is none."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
