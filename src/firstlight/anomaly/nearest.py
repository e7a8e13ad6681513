"""Distance to the nearest class: a component of the anomaly score.

Features are made Gaussian one by one and projected on linear discriminants and principal components; the
distance is in units of the class's own scatter. The compiled distance sums in a fixed order, so that it
does not depend on the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray
from firstlight.errors import BundleError
from firstlight.kernels import kernel, n_below
from firstlight.storage import AGAIN, ArraySpec, check_arrays

# Settings as measured for decision 0091.
_N_COMPONENTS = 20  # principal components beside the linear discriminants
_N_KNOTS = 33  # quantiles per feature
_MIN_KNOWN = 0.2  # fraction of rows that must know a feature for it to be used
_CLASS_OBJECTS = 30.0  # rows at which a class's own scatter counts as much as the mean one
_TAIL = 0.004  # probability beyond the outermost knots of a feature's distribution
_LEAST_SCATTER = 1e-6
_LARGEST_FEATURE = 3.5e38  # of a float32
_SPECS = {
    "columns": ArraySpec("int64", ("n_columns",), least=0),
    "knots": ArraySpec(
        "float64", ("n_columns", "n_knots"), -_LARGEST_FEATURE, _LARGEST_FEATURE, order="not_falling"
    ),
    "normal": ArraySpec("float64", ("n_knots",), order="not_falling"),
    "centre": ArraySpec("float64", ("n_columns",)),
    "axes": ArraySpec("float64", ("n_columns", "n_axes")),
    "mean": ArraySpec("float64", ("n_classes", "n_axes")),
    "whiten": ArraySpec("float64", ("n_classes", "n_axes", "n_axes")),
}


@dataclass(frozen=True, slots=True, eq=False)
class NearestClass:
    """Positions and scatter of the classes among the rows.

    References
    ----------
    Lee et al. 2018, NeurIPS 31, arXiv:1807.03888 (Mahalanobis distance to the nearest class).
    """

    columns: IntArray  # (n_columns,); features in use
    knots: FloatArray  # (n_columns, n_knots); quantiles of each of them
    normal: FloatArray  # (n_knots,); normal deviates of the quantiles
    centre: FloatArray  # (n_columns,); mean of the Gaussian features
    axes: FloatArray  # (n_columns, n_axes); discriminants and components
    mean: FloatArray  # (n_classes, n_axes); centre of each class
    # (n_classes, n_axes, n_axes); lower triangle that makes each class's scatter a unit sphere
    whiten: FloatArray

    @classmethod
    def fit(
        cls,
        X: Float32Array,
        code: IntArray,
        columns: IntArray,
    ) -> Self:
        """Learn from training rows, shape (n_rows, n_features), and their class codes.

        Of `columns`, those are used that enough rows know (are not NaN).
        """
        known = np.isfinite(X[:, columns]).mean(axis=0) >= _MIN_KNOWN
        columns = (columns[known] if known.any() else columns).astype(np.int64)
        knots, normal = feature_knots(X[:, columns])
        gauss = np.empty((len(X), len(columns)))
        to_gaussian(X, columns, knots, normal, gauss)
        centre, axes = _projection(gauss, code)
        mean, whiten = _class_scatter((gauss - centre) @ axes, code)
        return cls(columns, knots, normal, centre, axes, mean, whiten)

    def distance(self, X: Float32Array) -> FloatArray:
        """Distance of each row to its nearest class, in standard deviations per axis, shape (n_rows,)."""
        out = np.empty(len(X))
        _nearest(
            np.ascontiguousarray(X),
            self.columns,
            self.knots,
            self.normal,
            self.centre,
            self.axes,
            self.mean,
            self.whiten,
            out,
        )
        return out

    def places(self, X: Float32Array) -> FloatArray:
        """Coordinates of each row on the axes, shape (n_rows, n_axes)."""
        gauss = np.empty((len(X), len(self.columns)))
        to_gaussian(np.ascontiguousarray(X), self.columns, self.knots, self.normal, gauss)
        return np.asarray((gauss - self.centre) @ self.axes)

    def to_arrays(self) -> dict[str, AnyArray]:
        """Arrays for safetensors; `from_arrays` reads them."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, AnyArray], n_features: int, where: object = "anomaly score"
    ) -> Self:
        """Rebuild from `to_arrays`; BundleError, which begins with `where`, unless all is right.

        Compiled code trusts the shapes, and that each column exists.
        """
        it = cls(**check_arrays(arrays, _SPECS, where))
        if it.columns.max(initial=0) >= n_features:
            raise BundleError(f"{where}: it reads features that do not exist; {AGAIN}")
        if not (it.axes.size and it.mean.size and it.normal.size):
            raise BundleError(f"{where}: it has no column, axis, class or quantile; {AGAIN}")
        return it


def feature_knots(X: Float32Array) -> tuple[FloatArray, FloatArray]:
    """Quantiles of each feature, shape (n_features, _N_KNOTS), and their normal deviates."""
    from scipy.special import ndtri

    values = np.where(np.isfinite(X), X, np.nan).astype(np.float64)
    values[:, np.isnan(values).all(axis=0)] = 0.0
    levels = np.linspace(0.0, 1.0, _N_KNOTS)
    knots = np.nanquantile(values, levels, axis=0).T
    return np.ascontiguousarray(knots), np.asarray(ndtri(np.clip(levels, _TAIL, 1.0 - _TAIL)))


def _projection(gauss: FloatArray, code: IntArray) -> tuple[FloatArray, FloatArray]:
    """Centre and axes: linear discriminants, then principal components, each of unit scatter."""
    centre = gauss.mean(axis=0)
    values = gauss - centre
    names = np.unique(code)
    means = np.array([values[code == k].mean(axis=0) for k in names])
    residual = values - means[np.searchsorted(names, code)]
    within = residual.T @ residual / len(values)
    # A tenth of the mean variance on the diagonal: correlated features would otherwise dominate.
    within += np.eye(len(within)) * max(0.1 * np.trace(within) / len(within), _LEAST_SCATTER)
    root = np.linalg.cholesky(np.linalg.inv(within))
    _, _, directions = np.linalg.svd(means @ root, full_matrices=False)
    discriminants = root @ directions[: max(len(names) - 1, 1)].T
    variance, vectors = np.linalg.eigh(values.T @ values / len(values))
    largest = np.argsort(variance)[::-1][:_N_COMPONENTS]
    scatter = np.sqrt(np.maximum(variance[largest], _LEAST_SCATTER))
    return centre, np.column_stack([discriminants, vectors[:, largest] / scatter])


def _class_scatter(place: FloatArray, code: IntArray) -> tuple[FloatArray, FloatArray]:
    """Mean and whitening matrix of each class; small classes use more of the mean scatter."""
    names = np.unique(code)
    means = np.array([place[code == k].mean(axis=0) for k in names])
    residual = place - means[np.searchsorted(names, code)]
    common = residual.T @ residual / len(place) + _LEAST_SCATTER * np.eye(place.shape[1])
    whiten = []
    for k in names:
        own = residual[code == k]
        share = len(own) / (len(own) + _CLASS_OBJECTS)
        scatter = share * (own.T @ own) / len(own) + (1.0 - share) * common
        whiten.append(np.linalg.cholesky(np.linalg.inv(scatter)))
    return means, np.array(whiten)


@kernel(inner=True)
def normal_deviate(x: Any, q: Any, normal: Any) -> Any:
    """Map a value through quantiles ``q`` to a normal deviate; 0 if it is not finite or they are all equal.

    The map is linear between knots and logarithmic beyond them.
    """
    n_knots = len(q)
    if not np.isfinite(x) or q[n_knots - 1] <= q[0]:
        return 0.0
    spread = q[3 * n_knots // 4] - q[n_knots // 4]
    if spread <= 0.0:
        spread = q[n_knots - 1] - q[0]
    if x < q[0]:
        return normal[0] - np.log1p((q[0] - x) / spread)
    if x > q[n_knots - 1]:
        return normal[n_knots - 1] + np.log1p((x - q[n_knots - 1]) / spread)
    low = n_below(q, x)
    if q[low] == x:  # on a knot, or a pile of equal ones: the middle of the pile
        high = low
        while high + 1 < n_knots and q[high + 1] == x:
            high += 1
        return 0.5 * (normal[low] + normal[high])
    part = (x - q[low - 1]) / (q[low] - q[low - 1])
    return normal[low - 1] + part * (normal[low] - normal[low - 1])


@kernel
def to_gaussian(X: Any, columns: Any, knots: Any, normal: Any, out: Any) -> None:
    """Map each feature through its own distribution to a normal deviate; missing becomes 0."""
    for row in range(X.shape[0]):
        for j in range(len(columns)):
            out[row, j] = normal_deviate(np.float64(X[row, columns[j]]), knots[j], normal)


@kernel
def _nearest(
    X: Float32Array,
    columns: IntArray,
    knots: FloatArray,
    normal: FloatArray,
    centre: FloatArray,
    axes: FloatArray,
    mean: FloatArray,
    whiten: FloatArray,
    out: FloatArray,
) -> None:
    """Distance of each row to its nearest class, with sums in one order for any batch."""
    n_axes = axes.shape[1]
    place = np.empty(n_axes)
    white = np.empty(n_axes)
    for row in range(X.shape[0]):
        place[:] = 0.0
        for j in range(len(columns)):
            value = normal_deviate(np.float64(X[row, columns[j]]), knots[j], normal) - centre[j]
            for a in range(n_axes):  # independent sums: the compiler may take several at once
                place[a] += value * axes[j, a]
        nearest = np.inf
        for k in range(len(mean)):
            white[:] = 0.0
            for i in range(n_axes):
                offset = place[i] - mean[k, i]
                for a in range(i + 1):  # nothing above the diagonal
                    white[a] += offset * whiten[k, i, a]
            squared = 0.0
            for a in range(n_axes):
                squared += white[a] * white[a]
            nearest = min(nearest, squared)
        out[row] = np.sqrt(nearest / n_axes)
