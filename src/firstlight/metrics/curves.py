"""ROC, precision-recall and reliability of a score for one class against the rest.

Functions take one boolean and one score per object; tied scores are one threshold.
"""

from typing import NamedTuple

import numpy as np

from firstlight._types import BoolArray, FloatArray, IntArray

#: Bins of Guo et al. (2017), the number that most published ECEs use.
N_BINS = 15


class OperatingCurve(NamedTuple):
    """Points of a curve, one per threshold, from the strictest to the loosest.

    Attributes
    ----------
    x : float64 array, shape (n_points,)
        False positive rate (ROC), or recall (precision-recall).
    y : float64 array, shape (n_points,)
        True positive rate (ROC), or precision (precision-recall).
    threshold : float64 array, shape (n_points,)
        Lowest score that counts as the class; starts at infinity.
    """

    x: FloatArray
    y: FloatArray
    threshold: FloatArray


def roc_auc(is_member: BoolArray, member_score: FloatArray) -> float:
    """Area under the ROC curve (Mann-Whitney statistic): chance that a member outscores a non-member.

    Parameters
    ----------
    is_member : bool array, shape (n_objects,)
        Whether the object belongs to the class.
    member_score : float64 array, shape (n_objects,)
        Higher means more like the class; a tie counts one half.

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
    # Resampling needs thousands of areas. Sorting the non-members alone is several times
    # faster than scikit-learn's curve, and needs no trapezium.
    others = np.sort(member_score[~is_member])
    members = member_score[is_member]
    below = np.searchsorted(others, members, side="left")
    upto = np.searchsorted(others, members, side="right")
    return float((below + upto).sum(dtype=np.float64) / (2.0 * n_member * n_other))


def roc_curve(is_member: BoolArray, member_score: FloatArray) -> OperatingCurve:
    """True against false positive rate at every threshold, from (0, 0) to (1, 1).

    Parameters are those of `roc_auc`; without a member or a non-member, that rate is NaN.
    """
    threshold, members, others = _counts_above(is_member, member_score)
    others, members = np.append(0.0, others), np.append(0.0, members)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: the rate of nothing is unknown
        return OperatingCurve(others / others[-1], members / members[-1], np.append(np.inf, threshold))


def precision_recall_curve(is_member: BoolArray, member_score: FloatArray) -> OperatingCurve:
    """Precision (purity, ``y``) against recall (completeness, ``x``) at every threshold.

    Parameters are those of `roc_auc`; there must be a member. The first point is recall 0,
    precision 1.
    """
    threshold, members, others = _counts_above(is_member, member_score)
    return OperatingCurve(
        np.append(0.0, members / members[-1]),
        np.append(1.0, members / (members + others)),
        np.append(np.inf, threshold),
    )


def _counts_above(
    is_member: BoolArray, member_score: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Each threshold, falling, and the numbers of members and of others with this score or a higher one."""
    order = np.argsort(member_score, kind="stable")[::-1]
    score = np.asarray(member_score)[order]
    last = np.flatnonzero(np.append(np.diff(score) != 0.0, True))
    members = np.cumsum(np.asarray(is_member)[order], dtype=np.float64)[last]
    return score[last], members, last + 1.0 - members


def average_precision(curve: OperatingCurve) -> float:
    """Area under a precision-recall curve as a step function, without interpolation."""
    return float(np.sum(np.diff(curve.x) * curve.y[1:]))


def completeness_at_purity(curve: OperatingCurve, purity: float) -> float:
    """Highest recall of a precision-recall curve at this precision or more; 0 if it is never reached."""
    return float(np.max(curve.x[curve.y >= purity], initial=0.0))


def thin(curve: OperatingCurve, n_points: int) -> OperatingCurve:
    """Keep at most about `n_points` of a curve, evenly along its length, with both ends."""
    if len(curve.x) <= n_points:
        return curve
    # The logarithm keeps the corner at low rates, where the curve is read.
    path = np.abs(np.diff(np.log10(curve.x + 1e-4))) + np.abs(np.diff(curve.y))
    length = np.concatenate([[0.0], np.cumsum(path)])
    keep = np.searchsorted(length, np.linspace(0.0, length[-1], n_points))
    keep = np.unique(np.concatenate([[0], keep, [len(length) - 1]]))
    return OperatingCurve(curve.x[keep], curve.y[keep], curve.threshold[keep])


class Reliability(NamedTuple):
    """Forecast probability and observed frequency per bin of probability.

    Attributes
    ----------
    edge : float64 array, shape (n_bins + 1,)
        Edges of the bins.
    n : int64 array, shape (n_bins,)
        Forecasts per bin.
    forecast : float64 array, shape (n_bins,)
        Mean forecast probability; NaN in an empty bin.
    observed : float64 array, shape (n_bins,)
        Share of events that happened; NaN in an empty bin.
    """

    edge: FloatArray
    n: IntArray
    forecast: FloatArray
    observed: FloatArray

    @property
    def error(self) -> float:
        """Expected calibration error: mean of |forecast - observed|, weighted by `n`."""
        filled = self.n > 0
        gap = np.abs(self.forecast[filled] - self.observed[filled])
        return float(np.sum(gap * self.n[filled]) / max(int(self.n.sum()), 1))


def reliability(happened: BoolArray, probability: FloatArray, n_bins: int = N_BINS) -> Reliability:
    """Bin forecasts by probability and compare them with the observed frequency.

    Parameters
    ----------
    happened : bool array, shape (n_forecasts,)
        Whether the event happened.
    probability : float64 array, shape (n_forecasts,)
        Forecast probability.
    n_bins : int
        Bins of equal width between 0 and 1, closed on the right.

    Returns
    -------
    Reliability
        One entry per bin.

    References
    ----------
    Guo et al. 2017, ICML, arXiv:1706.04599
    """
    which = np.clip(np.ceil(probability * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    n = np.bincount(which, minlength=n_bins)
    forecast = np.bincount(which, weights=probability, minlength=n_bins)
    observed = np.bincount(which, weights=happened.astype(np.float64), minlength=n_bins)
    with np.errstate(invalid="ignore"):  # an empty bin has no mean
        return Reliability(np.linspace(0.0, 1.0, n_bins + 1), n, forecast / n, observed / n)


def calibration_error(happened: BoolArray, probability: FloatArray, n_bins: int = N_BINS) -> float:
    """Expected calibration error of forecasts of one event, 0 to 1; parameters as for `reliability`.

    Examples
    --------
    >>> calibration_error(np.array([True, True, True, False]), np.full(4, 0.75))
    0.0
    """
    return reliability(happened, probability, n_bins).error
