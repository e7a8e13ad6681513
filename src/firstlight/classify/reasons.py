"""Contribution of each input to a decision of boosted trees: exact Shapley values (TreeSHAP, path-dependent).

The game of a tree: a coalition of inputs is known, and where a split reads another one, both branches are
taken, weighed by the training rows that took them (Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9).
Within one leaf the game is a product over the inputs on its path, and the Shapley value of a product is an
integral of a polynomial (Owen 1972, doi:10.1287/mnsc.18.5.64), which Gauss-Legendre nodes give exactly.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from firstlight._types import Float32Array, FloatArray, IntArray
from firstlight.classify.forest import Forest
from firstlight.classify.strikes import fill_columns
from firstlight.kernels import kernel


class Decision(NamedTuple):
    """A choice between classes, as sums over the inputs of one row.

    ``softmax(base + parts.sum(axis=1))`` are the probabilities before calibration.
    """

    name: str  # "class", "galactic class", "extragalactic class", or "side" for galactic or not
    classes: tuple[str, ...]
    base: FloatArray  # (n_classes,); raw score of each class when no input is known [natural logarithm]
    parts: FloatArray  # (n_classes, n_features); contribution of each input


@runtime_checkable
class Explains(Protocol):
    """A classifier whose answers can be taken apart."""

    def decisions(self, x: Float32Array, redshift: float) -> tuple[Decision, ...]:
        """Decisions behind the answer to one row, shape (n_features,); empty without counts of rows.

        Trees of bundles of an older firstlight have no counts.
        """
        ...


def decide(
    name: str, classes: tuple[str, ...], forest: Forest, cover: FloatArray | None, x: Float32Array
) -> tuple[Decision, ...]:
    """The decision of a forest about one row; none without `cover`, the training rows in each leaf."""
    if cover is None:
        return ()
    base, parts = contributions(forest, cover, x)
    if len(base) == 1:  # the log-odds of the second class
        base, parts = np.array([0.0, base[0]]), np.stack([np.zeros(parts.shape[1]), parts[0]])
    return (Decision(name, classes, base, parts),)


def contributions(forest: Forest, cover: FloatArray, x: Float32Array) -> tuple[FloatArray, FloatArray]:
    """Expected raw scores of a forest, and the contribution of each input of one row.

    Parameters
    ----------
    forest : Forest
        The trees.
    cover : float64 array, shape (n_nodes,)
        Training rows in each leaf, above 0; other nodes are not read.
    x : float32 array, shape (n_features,)
        The row.

    Returns
    -------
    base : float64 array, shape (n_outputs,)
    parts : float64 array, shape (n_outputs, n_features)
        ``base + parts.sum(axis=1)`` are the raw scores.
    """
    deepest = int(forest.depth.max(initial=1))
    node, weight = np.polynomial.legendre.leggauss(max(1, (deepest + 1) // 2))
    base = forest.start.copy()
    parts = np.zeros((forest.n_outputs, forest.n_features))
    _take_apart(
        np.ascontiguousarray(x, dtype=np.float32).view(np.int32), forest.column_feature,
        forest.column_missing, forest.nodes, forest.value, forest.root, forest.output, deepest,
        np.asarray(cover, np.float64), 0.5 * (1.0 + node), 0.5 * weight, base, parts,
    )  # fmt: skip
    return base, parts


@kernel
def _take_apart(
    bits: IntArray, feature: IntArray, missing: IntArray, nodes: IntArray, value: FloatArray, root: IntArray,
    output: IntArray, deepest: int, leaf_cover: FloatArray, at: FloatArray, weight: FloatArray,
    base: FloatArray, parts: FloatArray,
) -> None:  # fmt: skip
    """Add every leaf to the expected scores and to the parts of the inputs on its path."""
    columns = np.zeros(len(feature), np.int32)
    fill_columns(bits, feature, missing, 0, 1, columns)
    name = np.zeros(deepest + 1, np.int64)  # inputs on the path of a leaf, each once
    share = np.zeros(deepest + 1)  # of the training rows that its splits would let pass
    passes = np.zeros(deepest + 1)  # 1 where the row passes all of its splits, else 0
    for t in range(len(root)):
        first = root[t]
        end = root[t + 1] if t + 1 < len(root) else len(nodes)
        n_nodes = end - first
        cover = np.zeros(n_nodes)
        parent = np.zeros(n_nodes, np.int64)
        for n in range(n_nodes - 1, -1, -1):  # children follow their parent
            child = nodes[first + n] & 0xFFFF
            if child == n:
                cover[n] = leaf_cover[first + n]
            else:
                cover[n] = cover[child] + cover[child + 1]
                parent[child] = parent[child + 1] = n
        for leaf in range(n_nodes):
            if nodes[first + leaf] & 0xFFFF != leaf:
                continue
            n_inputs = 0
            here = leaf
            while here != 0:
                above = parent[here]
                packed = nodes[first + above]
                column = (packed >> 16) & 0xFFFF
                right = (packed & 0xFFFF) + 1 == here
                passed = 1.0 if (columns[column] > (packed >> 32)) == right else 0.0
                k = 0
                while k < n_inputs and name[k] != feature[column]:
                    k += 1
                if k == n_inputs:
                    name[k], share[k], passes[k] = feature[column], 1.0, 1.0
                    n_inputs += 1
                share[k] *= cover[here] / cover[above]
                passes[k] *= passed
                here = above
            gain = value[first + leaf]
            expected = gain
            for k in range(n_inputs):
                expected *= share[k]
            base[output[t]] += expected
            for q in range(len(at)):
                product = gain * weight[q]
                for k in range(n_inputs):
                    product *= at[q] * passes[k] + (1.0 - at[q]) * share[k]
                for k in range(n_inputs):
                    own = at[q] * passes[k] + (1.0 - at[q]) * share[k]
                    parts[output[t], name[k]] += (passes[k] - share[k]) * product / own
