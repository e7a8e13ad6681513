"""Operating curves of a score that separates one class from the rest: ROC and precision-recall.

All functions take one boolean and one score an object, sort once, and treat tied
scores as one threshold. Nothing here knows about classes or probabilities.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "OperatingCurve",
    "average_precision",
    "completeness_at_purity",
    "precision_recall_curve",
    "roc_auc",
    "roc_curve",
    "thin",
]


class OperatingCurve(NamedTuple):
    """Points of a curve, one a threshold, from the strictest to the loosest.

    Attributes
    ----------
    x : float64 array, shape (n_points,)
        False positive rate (ROC), or recall (precision-recall).
    y : float64 array, shape (n_points,)
        True positive rate (ROC), or precision (precision-recall).
    threshold : float64 array, shape (n_points,)
        Objects scoring at least this much are called members; starts at infinity.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    threshold: NDArray[np.float64]


def roc_auc(is_member: NDArray[np.bool_], member_score: NDArray[np.float64]) -> float:
    """Area under the ROC curve: the chance that a member outscores a non-member.

    Ties count one half, which is the Mann-Whitney statistic.

    Parameters
    ----------
    is_member : bool array, shape (n_objects,)
        Whether the object belongs to the class.
    member_score : float64 array, shape (n_objects,)
        Higher means more like the class.

    Returns
    -------
    float
        Between 0 and 1; NaN unless there are members and non-members.

    References
    ----------
    Hanley & McNeil 1982, Radiology 143, 29, doi:10.1148/radiology.143.1.7063747

    Examples
    --------
    >>> roc_auc(np.array([True, False, True]), np.array([0.9, 0.2, 0.2]))
    0.75
    """
    n_member = int(np.count_nonzero(is_member))
    n_other = len(is_member) - n_member
    if not n_member or not n_other:
        return float("nan")
    # Counting the non-members below each member needs a sort of the non-members alone.
    others = np.sort(member_score[~is_member])
    members = member_score[is_member]
    below = np.searchsorted(others, members, side="left")
    upto = np.searchsorted(others, members, side="right")
    return float((below + upto).sum(dtype=np.float64) / (2.0 * n_member * n_other))


def roc_curve(is_member: NDArray[np.bool_], member_score: NDArray[np.float64]) -> OperatingCurve:
    """True against false positive rate at every threshold.

    Parameters
    ----------
    is_member : bool array, shape (n_objects,)
        Whether the object belongs to the class.
    member_score : float64 array, shape (n_objects,)
        Higher means more like the class.

    Returns
    -------
    OperatingCurve
        From (0, 0) to (1, 1); NaN rates where there is no member, or no other.
    """
    true_positive, false_positive, threshold = _counts(is_member, member_score)
    with np.errstate(invalid="ignore"):  # 0 / 0 says rightly that there is no rate
        return OperatingCurve(
            false_positive / false_positive[-1], true_positive / true_positive[-1], threshold
        )


def precision_recall_curve(is_member: NDArray[np.bool_], member_score: NDArray[np.float64]) -> OperatingCurve:
    """Precision (purity) against recall (completeness) at every threshold.

    Parameters
    ----------
    is_member : bool array, shape (n_objects,)
        Whether the object belongs to the class.
    member_score : float64 array, shape (n_objects,)
        Higher means more like the class.

    Returns
    -------
    OperatingCurve
        ``x`` is recall, ``y`` precision; the first point is recall 0, precision 1.
    """
    true_positive, false_positive, threshold = _counts(is_member, member_score)
    called = true_positive + false_positive
    precision = np.divide(true_positive, called, out=np.ones_like(called), where=called > 0)
    with np.errstate(invalid="ignore"):
        return OperatingCurve(true_positive / true_positive[-1], precision, threshold)


def average_precision(is_member: NDArray[np.bool_], member_score: NDArray[np.float64]) -> float:
    """Area under the precision-recall curve, as a step function (no interpolation).

    Parameters
    ----------
    is_member : bool array, shape (n_objects,)
        Whether the object belongs to the class.
    member_score : float64 array, shape (n_objects,)
        Higher means more like the class.

    Returns
    -------
    float
        Between 0 and 1; NaN without a member.
    """
    curve = precision_recall_curve(is_member, member_score)
    return float(np.sum(np.diff(curve.x) * curve.y[1:]))


def completeness_at_purity(
    is_member: NDArray[np.bool_], member_score: NDArray[np.float64], purity: float
) -> float:
    """Largest share of the class that a sample of at least this purity can hold.

    Parameters
    ----------
    is_member : bool array, shape (n_objects,)
        Whether the object belongs to the class.
    member_score : float64 array, shape (n_objects,)
        Higher means more like the class.
    purity : float
        Wanted precision, between 0 and 1.

    Returns
    -------
    float
        Recall at the loosest threshold that is pure enough; 0 if none is, NaN without a member.
    """
    curve = precision_recall_curve(is_member, member_score)
    return float(np.max(curve.x[curve.y >= purity], initial=0.0)) if is_member.any() else float("nan")


def thin(curve: OperatingCurve, n_points: int) -> OperatingCurve:
    """Fewer points that draw the same line, for figures of millions of objects.

    Parameters
    ----------
    curve : OperatingCurve
        Any curve with finite rates.
    n_points : int
        Points to keep at most, evenly along the curve's length; both ends are kept.

    Returns
    -------
    OperatingCurve
        The curve itself if it is short enough.
    """
    if len(curve.x) <= n_points:
        return curve
    # The logarithm keeps the corner at low rates, where the curve is read.
    path = np.abs(np.diff(np.log10(curve.x + 1e-4))) + np.abs(np.diff(curve.y))
    length = np.concatenate([[0.0], np.cumsum(path)])
    keep = np.searchsorted(length, np.linspace(0.0, length[-1], n_points))
    keep = np.unique(np.concatenate([[0], keep, [len(length) - 1]]))
    return OperatingCurve(curve.x[keep], curve.y[keep], curve.threshold[keep])


def _counts(
    is_member: NDArray[np.bool_], member_score: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """True and false positives at each distinct threshold, strictest (nothing called) first."""
    order = np.argsort(-member_score, kind="stable")
    member_score, is_member = member_score[order], is_member[order]
    last_of_tie = np.flatnonzero(np.diff(member_score, append=-np.inf) != 0)
    true_positive = np.cumsum(is_member, dtype=np.float64)[last_of_tie]
    false_positive = last_of_tie + 1.0 - true_positive
    start = np.zeros(1)
    return (
        np.concatenate([start, true_positive]),
        np.concatenate([start, false_positive]),
        np.concatenate([start + np.inf, member_score[last_of_tie]]),
    )
