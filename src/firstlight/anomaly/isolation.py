"""How easily a row's latent is set apart from every class: a part of the anomaly score.

One isolation forest a class, as in arXiv:2408.08888: a row is as
strange as the class that isolates it least says. scikit-learn grows the trees; here they
become a `Forest` whose leaves hold path lengths, so that inference needs neither
scikit-learn nor a batch, and a row has the same bits alone and in any batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight.classify.forest import Forest
from firstlight.errors import BundleError, DataError

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

__all__ = ["ClassIsolation", "mean_path_length"]

_EULER = 0.5772156649015329
_LARGEST_LATENT = 1e6  # a latent is of order one; beyond this all are equally far


@dataclass(frozen=True, slots=True, eq=False)
class ClassIsolation:
    """An isolation forest for each class.

    Attributes
    ----------
    forest : Forest
        All trees, an output a class; a leaf holds the path length that it stands for.
    unit : float64 array, shape (n_classes,)
        Sum of path lengths that a typical member of each class has.
    """

    forest: Forest
    unit: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        latent: NDArray[np.float32],
        code: NDArray[np.int64],
        *,
        n_trees: int,
        n_samples: int,
        seed: int,
    ) -> Self:
        """Grow the forests; needs scikit-learn.

        Parameters
        ----------
        latent : float32 array, shape (n_rows, n_latents)
            Latents of training rows.
        code : int64 array, shape (n_rows,)
            Class of each.
        n_trees, n_samples : int
            Trees a class, and the rows that each is grown on.
        seed : int
            Seed of the trees.
        """
        from sklearn.ensemble import IsolationForest

        forests = []
        for k in np.unique(code):
            own = _bounded(latent[code == k])
            grown = IsolationForest(
                n_estimators=n_trees, max_samples=min(n_samples, len(own)), random_state=seed
            )
            forests.append(grown.fit(own))
        return cls.from_sklearn(forests)

    @classmethod
    def from_sklearn(cls, forests: "list[IsolationForest]") -> Self:
        """Lay scikit-learn's isolation forests out, one for each class."""
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
        # One row alone cannot be isolated any further: the unit must still divide.
        return cls(forest, np.maximum(mean_path_length(samples), 1.0) * counts)

    def strangeness(self, latent: NDArray[np.float32]) -> NDArray[np.float64]:
        """Minus the mean path length in the class that isolates a row least, in that class's unit.

        Parameters
        ----------
        latent : float32 array, shape (n_rows, n_latents)
            Latents as wide as those of training.

        Returns
        -------
        float64 array, shape (n_rows,)
            Negative; higher is stranger. With ``s`` this value, ``2 ** s`` is the anomaly
            score of Liu, Ting and Zhou 2008.

        Raises
        ------
        DataError
            If the latents have another width than those of training.
        """
        return np.asarray(-(self.forest.raw(_bounded(latent)) / self.unit).max(axis=1, initial=0.0))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays fit for safetensors; `from_arrays` is the way back."""
        arrays = self.forest.to_arrays() | {"unit": self.unit}
        return arrays | {"value": self.forest.value.astype(np.float32)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild from `to_arrays`.

        Raises
        ------
        BundleError
            If an array is missing or an index points outside its bounds.
        """
        try:
            unit = np.asarray(arrays["unit"], dtype=np.float64)
            value = np.asarray(arrays["value"], dtype=np.float64)
        except KeyError as error:
            raise BundleError(f"isolation forests without array {error}; save the bundle anew") from error
        forest = Forest.from_arrays({**arrays, "value": value})
        if unit.shape != (forest.n_outputs,) or not (unit > 0.0).all():
            raise BundleError("isolation forests whose units do not fit; save the bundle anew")
        return cls(forest, unit)


def mean_path_length(n_samples: NDArray[Any]) -> NDArray[np.float64]:
    """Expected path length to one of `n_samples` rows in a random binary tree.

    Parameters
    ----------
    n_samples : int array

    Returns
    -------
    float64 array of the same shape

    Examples
    --------
    >>> mean_path_length(np.array([1, 2, 256])).round(3).tolist()
    [0.0, 1.0, 10.245]
    """
    n = np.maximum(np.asarray(n_samples, dtype=np.float64), 1.0)
    long = 2.0 * (np.log(np.maximum(n - 1.0, 1.0)) + _EULER) - 2.0 * (n - 1.0) / n
    return np.where(n <= 1.0, 0.0, np.where(n == 2.0, 1.0, long))


def _depth(tree: Any) -> NDArray[np.float64]:
    """Steps from the root to each node of a scikit-learn tree; children come after their parent."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1.0
    return depth


def _bounded(latent: NDArray[np.float32]) -> NDArray[np.float32]:
    """Finite latents: scikit-learn takes no infinity, and neither is one a place."""
    latent = np.asarray(latent, dtype=np.float32)
    if latent.ndim != 2:
        raise DataError(f"latents of shape {latent.shape}; need one row an object")
    return np.clip(np.where(np.isnan(latent), np.float32(0.0), latent), -_LARGEST_LATENT, _LARGEST_LATENT)
