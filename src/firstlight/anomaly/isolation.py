"""Isolation of a latent from every class: a component of the anomaly score.

One isolation forest per class (arXiv:2408.08888); the class that isolates a row least counts. scikit-learn
grows the trees; they become a `Forest` whose leaves hold path lengths, so that inference does not need
scikit-learn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray
from firstlight.classify.forest import Forest
from firstlight.errors import BundleError, DataError
from firstlight.storage import AGAIN, ArraySpec, check_arrays

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

N_TREES = 100  # per class: decision 0091; tests grow fewer
_TREE_ROWS = 128  # rows that each tree is grown on
_LEAST_UNIT = 1e-3  # of a file; fitted units are at least the number of trees
_SPECS = {
    "unit": ArraySpec("float64", ("n_classes",), least=_LEAST_UNIT),
    "value": ArraySpec("float32", ("n_nodes",), least=0.0),  # path lengths
}
_EULER = 0.5772156649015329
_LARGEST_LATENT = 1e6  # a latent is of order one; beyond this all are equally far


@dataclass(frozen=True, slots=True, eq=False)
class ClassIsolation:
    """An isolation forest per class.

    `forest` holds all trees, with one output per class and the path length in each leaf; `unit`, shape
    (n_classes,), is the sum of path lengths of a typical member of each class.
    """

    forest: Forest
    unit: FloatArray

    @classmethod
    def fit(
        cls,
        latent: Float32Array,
        code: IntArray,
        *,
        seed: int,
        n_trees: int | None = None,
        n_samples: int = _TREE_ROWS,
    ) -> Self:
        """Grow the forests from training latents, shape (n_rows, n_latents); needs scikit-learn.

        `n_trees` is `N_TREES` by default.
        """
        from sklearn.ensemble import IsolationForest

        forests = []
        for k in np.unique(code):
            own = _bounded(latent[code == k])
            grown = IsolationForest(
                n_estimators=n_trees or N_TREES, max_samples=min(n_samples, len(own)), random_state=seed
            )
            forests.append(grown.fit(own))
        return cls.from_sklearn(forests)

    @classmethod
    def from_sklearn(cls, forests: "list[IsolationForest]") -> Self:
        """Convert scikit-learn's isolation forests, one per class."""
        trees = [(k, grown.tree_) for k, forest in enumerate(forests) for grown in forest.estimators_]
        joined = {
            name: np.concatenate([getattr(tree, of) for _, tree in trees])
            for name, of in {
                "feature": "feature",
                "threshold": "threshold",
                "left": "children_left",
                "right": "children_right",
            }.items()
        }
        path = [_depth(tree) + mean_path_length(tree.n_node_samples) for _, tree in trees]
        # float32 on disk, so float32 from the start: a loaded score has the same bits
        value = np.concatenate(path).astype(np.float32).astype(np.float64)
        forest = Forest.lay_out(
            n_nodes=np.array([tree.node_count for _, tree in trees]),
            **joined,
            value=value,
            output=np.array([k for k, _ in trees]),
            start=np.zeros(len(forests)),
            n_features=int(forests[0].n_features_in_),
        )
        samples = np.array([forest.max_samples_ for forest in forests])
        counts = np.array([len(forest.estimators_) for forest in forests])
        # A single row cannot be isolated any further; the unit must not be 0.
        return cls(forest, np.maximum(mean_path_length(samples), 1.0) * counts)

    def isolation_score(self, latent: Float32Array) -> FloatArray:
        """Minus the mean path length in the class that isolates a row least, in that class's unit.

        It is negative, shape (n_rows,), and higher is more unusual; ``2 ** score`` is the anomaly score of
        Liu, Ting and Zhou 2008.
        """
        return np.asarray(-(self.forest.raw(_bounded(latent)) / self.unit).max(axis=1, initial=0.0))

    def to_arrays(self) -> dict[str, AnyArray]:
        """Arrays for safetensors; `from_arrays` reads them."""
        arrays = self.forest.to_arrays() | {"unit": self.unit}
        return arrays | {"value": self.forest.value.astype(np.float32)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray], where: object = "isolation forests") -> Self:
        """Rebuild from `to_arrays`; BundleError, which begins with `where`, unless all is right."""
        own = check_arrays(arrays, _SPECS, where)
        forest = Forest.from_arrays({**arrays, "value": own["value"].astype(np.float64)}, where)
        if own["unit"].shape != (forest.n_outputs,):
            raise BundleError(f"{where}: {len(own['unit'])} units for {forest.n_outputs} classes; {AGAIN}")
        return cls(forest, own["unit"])


def mean_path_length(n_samples: AnyArray) -> FloatArray:
    """Expected path length to one of `n_samples` rows in a random binary tree.

    Examples
    --------
    >>> mean_path_length(np.array([1, 2, 256])).round(3).tolist()
    [0.0, 1.0, 10.245]
    """
    n = np.maximum(np.asarray(n_samples, dtype=np.float64), 1.0)
    long = 2.0 * (np.log(np.maximum(n - 1.0, 1.0)) + _EULER) - 2.0 * (n - 1.0) / n
    return np.where(n <= 1.0, 0.0, np.where(n == 2.0, 1.0, long))


def _depth(tree: Any) -> FloatArray:
    """Steps from the root to each node of a scikit-learn tree; children come after their parent."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1.0
    return depth


def _bounded(latent: Float32Array) -> Float32Array:
    """Finite latents, which scikit-learn needs."""
    latent = np.asarray(latent, dtype=np.float32)
    if latent.ndim != 2:
        raise DataError(f"latents of shape {latent.shape}; need one row per object")
    return np.clip(np.where(np.isnan(latent), np.float32(0.0), latent), -_LARGEST_LATENT, _LARGEST_LATENT)
