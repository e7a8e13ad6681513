"""How unlike the training classes an object is; higher is stranger, everywhere.

Features are made Gaussian one by one, projected on what separates the classes (linear
discriminants) and on what varies most (principal components), and the distance to the
nearest class is taken in units of that class's own scatter. On the real data, with each
class left out in turn, this found the missing class better than isolation forests, one
for all or one a class (arXiv:2408.08888), and than nearest neighbours; see decision
0040. The scale is one of false alarms: of known objects, a fraction ``1 - score`` is
stranger.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from firstlight.classify.protocol import check_rows, check_training, encode_labels, not_fitted
from firstlight.classify.storage import read_arrays, read_state, write_arrays, write_state
from firstlight.errors import BundleError, DataError

__all__ = ["AnomalyConfig", "AnomalyScorer"]

_TAIL = 0.004  # probability beyond the outermost knots of a feature's distribution
_LEAST_SCATTER = 1e-6


@dataclass(frozen=True, kw_only=True)
class AnomalyConfig:
    """Settings of `AnomalyScorer`.

    Attributes
    ----------
    n_components : int
        Principal components beside the linear discriminants.
    n_knots : int
        Quantiles that describe each feature's distribution.
    min_known : float
        Fraction of rows that must know a feature for it to be used.
    class_objects : float
        Rows at which a class's own scatter counts as much as the mean one.
    max_rows : int
        Training rows used at most, drawn at random.
    phase_edges : tuple of float
        Days since trigger between which false alarms are counted apart.
    min_rows : int
        Validation rows that such a range needs; with fewer it shares in the common scale.
    """

    n_components: int = 20
    n_knots: int = 33
    min_known: float = 0.2
    class_objects: float = 30.0
    max_rows: int = 12_000
    phase_edges: tuple[float, ...] = (2.0, 8.0, 32.0, 128.0)
    min_rows: int = 200


class AnomalyScorer:
    """Score how unlike the training classes each row is.

    Parameters
    ----------
    config : AnomalyConfig, optional
        Settings.

    References
    ----------
    Lee et al. 2018, NeurIPS 31, arXiv:1807.03888 (Mahalanobis distance to the nearest class).
    """

    def __init__(self, config: AnomalyConfig | None = None) -> None:
        self.config = AnomalyConfig() if config is None else config
        self._arrays: dict[str, NDArray[Any]] = {}
        self._n_features = 0

    def fit(
        self,
        X: NDArray[np.float32],
        labels: NDArray[np.str_],
        validation_X: NDArray[np.float32],
        *,
        phase: NDArray[np.float64] | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn the classes from training rows and the scale from held-out ones.

        Parameters
        ----------
        X : float32 array, shape (n_rows, n_features)
            Training rows; NaN where a feature is missing.
        labels : str array, shape (n_rows,)
            Class of each training row.
        validation_X : float32 array, shape (n_validation, n_features)
            Rows of known-class objects that were not trained on.
        phase : float64 array, shape (n_validation,), optional
            Days since trigger of the validation rows; with it the scale is set apart for
            early and late rows.
        seed : int
            Seed of the draw of training rows.

        Returns
        -------
        AnomalyScorer
            Itself.

        Raises
        ------
        DataError
            If shapes disagree, or there are no validation rows.
        """
        X, labels, _ = check_training(X, labels, None, None)
        validation_X = check_rows(validation_X, X.shape[1])
        if not len(validation_X):
            raise DataError("no validation rows to set the scale of the anomaly score; hold some objects out")
        if len(X) > self.config.max_rows:
            drawn = np.random.default_rng(seed).choice(len(X), self.config.max_rows, replace=False)
            X, labels = X[np.sort(drawn)], labels[np.sort(drawn)]
        _, code = encode_labels(labels)
        self._n_features = X.shape[1]
        known = np.isfinite(X).mean(axis=0) >= self.config.min_known
        columns = np.flatnonzero(known) if known.any() else np.arange(X.shape[1])
        knots, normal = _knots(X[:, columns], self.config.n_knots)
        self._arrays = {"columns": columns.astype(np.int64), "knots": knots, "normal": normal}
        gauss = self._gaussian(X)
        self._arrays |= _projection(gauss, code, self.config.n_components)
        self._arrays |= _class_scatter(self._projected(gauss), code, self.config.class_objects)
        self._arrays |= self._scale(self._distance(validation_X), phase)
        return self

    def score(self, X: NDArray[np.float32], phase: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Score rows.

        Parameters
        ----------
        X : float32 array, shape (n_rows, n_features)
            Rows; NaN where a feature is missing.
        phase : float64 array, shape (n_rows,), optional
            Days since trigger; without it the scale common to all phases is used.

        Returns
        -------
        float64 array, shape (n_rows,)
            From 0 to 1, higher is stranger: a fraction ``1 - score`` of known-class
            validation objects scored higher.

        Raises
        ------
        NotFittedError
            If the scorer was neither fitted nor loaded.
        DataError
            If the rows have another width than those of training.
        """
        if not self._arrays:
            raise not_fitted("AnomalyScorer")
        distance = self._distance(check_rows(X, self._n_features))
        n_scales = len(self._arrays["scale_first"]) - 1
        scale = np.zeros(len(distance), dtype=np.int64)
        if phase is not None and n_scales > 1:
            scale = 1 + _phase_range(phase, self.config.phase_edges)
        out = np.empty(len(distance))
        for k in np.unique(scale):
            out[scale == k] = _false_alarm_scale(distance[scale == k], self._reference(int(k)))
        return out

    def save(self, folder: Path) -> None:
        """Write ``anomaly.safetensors`` and ``anomaly.json`` into an existing folder.

        Raises
        ------
        NotFittedError
            If there is nothing to save.
        """
        if not self._arrays:
            raise not_fitted("AnomalyScorer")
        write_arrays(folder / "anomaly.safetensors", self._arrays)
        state = {"n_features": self._n_features, "phase_edges": list(self.config.phase_edges)}
        write_state(folder / "anomaly.json", state)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        BundleError
            If a file is missing or damaged.
        """
        state = read_state(folder / "anomaly.json", "n_features", "phase_edges")
        scorer = cls(AnomalyConfig(phase_edges=tuple(state["phase_edges"])))
        scorer._n_features = int(state["n_features"])
        scorer._arrays = read_arrays(
            folder / "anomaly.safetensors",
            *("columns", "knots", "normal", "centre", "axes", "mean", "whiten", "scale", "scale_first"),
        )
        columns = scorer._arrays["columns"]
        if len(columns) and not 0 <= int(columns.min()) <= int(columns.max()) < scorer._n_features:
            raise BundleError(f"{folder}: the anomaly score reads features that do not exist; save it anew")
        return scorer

    def _gaussian(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        a = self._arrays
        out = np.empty((len(X), len(a["columns"])))
        _to_gaussian(X, a["columns"], a["knots"], a["normal"], out)
        return out

    def _projected(self, gauss: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((gauss - self._arrays["centre"]) @ self._arrays["axes"])

    def _distance(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distance to the nearest class, in standard deviations an axis, shape (n_rows,)."""
        place = self._projected(self._gaussian(X))
        nearest = np.full(len(X), np.inf)
        for mean, whiten in zip(self._arrays["mean"], self._arrays["whiten"], strict=True):
            squared = (((place - mean) @ whiten) ** 2).sum(axis=1)
            nearest = np.minimum(nearest, squared)
        return np.sqrt(nearest / place.shape[1])

    def _scale(
        self, distance: NDArray[np.float64], phase: NDArray[np.float64] | None
    ) -> dict[str, NDArray[Any]]:
        """Sorted validation distances: of all rows first, then of each range of phases."""
        parts = [np.sort(distance)]
        if phase is not None:
            within = _phase_range(phase, self.config.phase_edges)
            for k in range(len(self.config.phase_edges) + 1):
                own = np.sort(distance[within == k])
                parts.append(own if len(own) >= self.config.min_rows else parts[0])
        first = np.cumsum([0, *(len(part) for part in parts)])
        return {"scale": np.concatenate(parts), "scale_first": first.astype(np.int64)}

    def _reference(self, k: int) -> NDArray[np.float64]:
        first = self._arrays["scale_first"]
        return np.asarray(self._arrays["scale"][first[k] : first[k + 1]])


def _phase_range(phase: NDArray[np.float64], edges: tuple[float, ...]) -> NDArray[np.int64]:
    days = np.nan_to_num(np.asarray(phase, dtype=np.float64), nan=0.0)
    return np.searchsorted(np.array(edges), days, side="left").astype(np.int64)


def _false_alarm_scale(distance: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fraction of reference distances below; beyond the last it still rises, but never to 1."""
    n = len(reference)
    rank = np.arange(1, n + 1) / (n + 1)
    score = np.interp(distance, reference, rank)
    below = distance < reference[0]
    score[below] = rank[0] * np.clip(distance[below] / max(reference[0], _LEAST_SCATTER), 0.0, 1.0)
    beyond = distance > reference[-1]
    excess = (distance[beyond] - reference[-1]) / max(reference[-1], _LEAST_SCATTER)
    # A slow fall keeps the order of the very strange, which an exponential would lose in rounding.
    score[beyond] = 1.0 - (1.0 - rank[-1]) / (1.0 + excess)
    return score


def _knots(X: NDArray[np.float32], n_knots: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quantiles of each feature, shape (n_features, n_knots), and their normal deviates."""
    from scipy.special import ndtri

    values = np.where(np.isfinite(X), X, np.nan).astype(np.float64)
    values[:, np.isnan(values).all(axis=0)] = 0.0
    levels = np.linspace(0.0, 1.0, n_knots)
    knots = np.nanquantile(values, levels, axis=0).T
    return np.ascontiguousarray(knots), np.asarray(ndtri(np.clip(levels, _TAIL, 1.0 - _TAIL)))


def _projection(
    gauss: NDArray[np.float64], code: NDArray[np.int64], n_components: int
) -> dict[str, NDArray[Any]]:
    """Centre and axes: linear discriminants, then principal components, each of unit scatter."""
    centre = gauss.mean(axis=0)
    values = gauss - centre
    names = np.unique(code)
    means = np.array([values[code == k].mean(axis=0) for k in names])
    residual = values - means[np.searchsorted(names, code)]
    within = residual.T @ residual / len(values)
    # A tenth of the mean variance on the diagonal: correlated features would otherwise rule.
    within += np.eye(len(within)) * max(0.1 * np.trace(within) / len(within), _LEAST_SCATTER)
    root = np.linalg.cholesky(np.linalg.inv(within))
    _, _, directions = np.linalg.svd(means @ root, full_matrices=False)
    discriminants = root @ directions[: max(len(names) - 1, 1)].T
    variance, vectors = np.linalg.eigh(values.T @ values / len(values))
    largest = np.argsort(variance)[::-1][:n_components]
    scatter = np.sqrt(np.maximum(variance[largest], _LEAST_SCATTER))
    return {"centre": centre, "axes": np.column_stack([discriminants, vectors[:, largest] / scatter])}


def _class_scatter(
    place: NDArray[np.float64], code: NDArray[np.int64], class_objects: float
) -> dict[str, NDArray[Any]]:
    """Mean of each class, and what makes its scatter a unit sphere; small classes lean on the mean one."""
    names = np.unique(code)
    means = np.array([place[code == k].mean(axis=0) for k in names])
    residual = place - means[np.searchsorted(names, code)]
    common = residual.T @ residual / len(place) + _LEAST_SCATTER * np.eye(place.shape[1])
    whiten = []
    for k in names:
        own = residual[code == k]
        share = len(own) / (len(own) + class_objects)
        scatter = share * (own.T @ own) / len(own) + (1.0 - share) * common
        whiten.append(np.linalg.cholesky(np.linalg.inv(scatter)))
    return {"mean": means, "whiten": np.array(whiten)}


@njit(cache=True, nogil=True)
def _to_gaussian(X, columns, knots, normal, out):  # type: ignore[no-untyped-def]
    """Map each feature through its own distribution to a normal deviate; missing becomes 0."""
    n_knots = knots.shape[1]
    for row in range(X.shape[0]):
        for j in range(len(columns)):
            x = np.float64(X[row, columns[j]])
            q = knots[j]
            if not np.isfinite(x) or q[n_knots - 1] <= q[0]:
                out[row, j] = 0.0
                continue
            spread = q[3 * n_knots // 4] - q[n_knots // 4]
            if spread <= 0.0:
                spread = q[n_knots - 1] - q[0]
            if x < q[0]:
                out[row, j] = normal[0] - np.log1p((q[0] - x) / spread)
            elif x > q[n_knots - 1]:
                out[row, j] = normal[n_knots - 1] + np.log1p((x - q[n_knots - 1]) / spread)
            else:
                low = np.searchsorted(q, x)
                if q[low] == x:  # on a knot, or a pile of equal ones: the middle of the pile
                    high = low
                    while high + 1 < n_knots and q[high + 1] == x:
                        high += 1
                    out[row, j] = 0.5 * (normal[low] + normal[high])
                else:
                    part = (x - q[low - 1]) / (q[low] - q[low - 1])
                    out[row, j] = normal[low - 1] + part * (normal[low] - normal[low - 1])
