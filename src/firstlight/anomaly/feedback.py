"""Order candidates by a person's verdicts: strange ones first, those near interesting ones before all.

A Gaussian process over the space in which the anomaly score measures distances, joined by the class
probabilities. Its prior mean rises with the anomaly score, so that without verdicts the order is that of the
score; each verdict moves the objects around it. Decision 0170 has the measurements.
"""

from collections.abc import Mapping

import numpy as np

from firstlight._types import BoolArray, FloatArray, StrArray
from firstlight.anomaly.verdicts import Verdict
from firstlight.errors import DataError

# Settings as measured for decision 0170, on classes that were hidden from training.
_PROBA_WEIGHT = 3.0  # of the square roots of the probabilities, against standard deviations of the places
_FURTHEST = 5.0  # standard deviations; further places count as so far
_LENGTH = 0.35  # correlation length, in median distances of two candidates
_TREND = 0.2  # of the prior mean, per standard deviation of the anomaly score among the candidates
_PRIOR = -1.0  # mean of the prior: an unknown candidate is dull
_NOISE = 0.3  # scatter of a verdict; 1 is interesting, -1 is not
_N_PAIRS = 2000  # of candidates, whose median distance is the unit


def verdict_values(object_id: StrArray, verdicts: Mapping[str, Verdict]) -> tuple[BoolArray, FloatArray]:
    """Mask of the candidates with a verdict on their interest, and 1 or -1 for each of them.

    ``wrong_class`` says nothing about that, and does not count. Shapes (n_objects,).
    """
    meaning = {"interesting": 1.0, "not_interesting": -1.0}
    found = [verdicts.get(str(name)) for name in object_id.tolist()]
    values = np.array([meaning.get(one.verdict, np.nan) if one else np.nan for one in found])
    return np.isfinite(values), values


class FeedbackRanker:
    """Interest of candidates after some verdicts.

    Parameters
    ----------
    place : float array, shape (n_objects, n_axes)
        Places of the candidates (`AnomalyScorer.places`).
    proba : float array, shape (n_objects, n_classes)
        Class probabilities.
    anomaly : float array, shape (n_objects,)
        Anomaly scores; NaN counts as the least.

    Raises
    ------
    DataError
        If the shapes disagree.
    """

    def __init__(self, place: FloatArray, proba: FloatArray, anomaly: FloatArray) -> None:
        if not len(place) == len(proba) == len(anomaly):
            raise DataError(f"{len(place)} places, {len(proba)} rows of probabilities, {len(anomaly)} scores")
        scatter = place.std(axis=0) if len(place) else np.ones(place.shape[1])
        scaled = np.clip(place / np.where(scatter > 0.0, scatter, 1.0), -_FURTHEST, _FURTHEST)
        self._points = np.hstack([scaled, _PROBA_WEIGHT * np.sqrt(np.clip(proba, 0.0, 1.0))])
        self._unit = _median_distance(self._points)
        self._prior = _PRIOR + _TREND * _deviates(anomaly)

    def interest(self, known: BoolArray, values: FloatArray) -> FloatArray:
        """Expected interest of every candidate, about -1 to 1.

        Parameters
        ----------
        known : bool array, shape (n_objects,)
            Candidates with a verdict.
        values : float array, shape (n_objects,)
            1 for interesting and -1 for not, where `known`.

        Returns
        -------
        float64 array, shape (n_objects,)
            Higher is more interesting; with the same verdicts always the same.
        """
        at = np.flatnonzero(known)
        if not len(at):
            return self._prior.copy()
        own = self._similarity(at)
        weights = np.linalg.solve(own[at] + _NOISE**2 * np.eye(len(at)), values[at] - self._prior[at])
        return np.asarray(self._prior + own @ weights)

    def _similarity(self, at: np.ndarray) -> FloatArray:
        """Similarity of every candidate to some of them, 0 to 1, shape (n_objects, n_chosen).

        It falls with the inverse square of the distance: a mixture of many correlation lengths.
        """
        points, some = self._points, self._points[at]
        squared = (points**2).sum(axis=1)[:, None] + (some**2).sum(axis=1) - 2.0 * points @ some.T
        return np.asarray(1.0 / (1.0 + 0.5 * np.maximum(squared, 0.0) / (_LENGTH * self._unit) ** 2))


def _median_distance(points: FloatArray) -> float:
    """Median distance of two candidates; 1 if all are at one place."""
    if len(points) < 2:
        return 1.0
    one, two = np.random.default_rng(0).integers(0, len(points), (2, _N_PAIRS))
    distance = np.sqrt(((points[one] - points[two]) ** 2).sum(axis=1))[one != two]
    return float(np.median(distance)) or 1.0


def _deviates(anomaly: FloatArray) -> FloatArray:
    """Anomaly scores as normal deviates of their ranks among the candidates; equal scores are equal."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    if not len(anomaly):
        return np.empty(0)
    rank = rankdata(np.nan_to_num(anomaly, nan=-1.0), method="average")
    return np.asarray(ndtri((rank - 0.5) / len(anomaly)))
