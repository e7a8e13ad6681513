"""Whether probabilities mean what they say: reliability bins and calibration errors.

A forecast is calibrated if, of all objects given a probability of 0.8, eight in ten
are what they were called. Bins are of equal width, closed on the right.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["N_BINS", "Reliability", "calibration_error", "reliability"]

#: Bins of Guo et al. (2017), the number that most published ECEs use.
N_BINS = 15


class Reliability(NamedTuple):
    """What was promised and what came true, bin by bin.

    Attributes
    ----------
    edge : float64 array, shape (n_bins + 1,)
        Limits of the bins of probability.
    n : int64 array, shape (n_bins,)
        Forecasts in each bin.
    promised : float64 array, shape (n_bins,)
        Mean probability in each bin; NaN where empty.
    observed : float64 array, shape (n_bins,)
        Share that came true; NaN where empty.
    """

    edge: NDArray[np.float64]
    n: NDArray[np.int64]
    promised: NDArray[np.float64]
    observed: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error: mean gap between promised and observed, weighted by `n`."""
        filled = self.n > 0
        gap = np.abs(self.promised[filled] - self.observed[filled])
        return float(np.sum(gap * self.n[filled]) / max(int(self.n.sum()), 1))


def reliability(
    came_true: NDArray[np.bool_], probability: NDArray[np.float64], n_bins: int = N_BINS
) -> Reliability:
    """Bin forecasts by probability and compare the promise with what happened.

    Parameters
    ----------
    came_true : bool array, shape (n_forecasts,)
        Whether the event happened.
    probability : float64 array, shape (n_forecasts,)
        Probability given to it.
    n_bins : int
        Bins of equal width between 0 and 1.

    Returns
    -------
    Reliability
        One entry a bin.

    References
    ----------
    Guo et al. 2017, ICML, arXiv:1706.04599
    """
    which = np.clip(np.ceil(probability * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    n = np.bincount(which, minlength=n_bins)
    promised = np.bincount(which, weights=probability, minlength=n_bins)
    observed = np.bincount(which, weights=came_true.astype(np.float64), minlength=n_bins)
    with np.errstate(invalid="ignore"):  # an empty bin has no mean
        return Reliability(np.linspace(0.0, 1.0, n_bins + 1), n, promised / n, observed / n)


def calibration_error(
    came_true: NDArray[np.bool_], probability: NDArray[np.float64], n_bins: int = N_BINS
) -> float:
    """Expected calibration error of forecasts of one event.

    Parameters
    ----------
    came_true : bool array, shape (n_forecasts,)
        Whether the event happened.
    probability : float64 array, shape (n_forecasts,)
        Probability given to it.
    n_bins : int
        Bins of equal width between 0 and 1.

    Returns
    -------
    float
        0 for perfect calibration, at most 1.

    Examples
    --------
    >>> calibration_error(np.array([True, True, True, False]), np.full(4, 0.75))
    0.0
    """
    return reliability(came_true, probability, n_bins).error
