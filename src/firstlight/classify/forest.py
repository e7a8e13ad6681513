"""Decision trees as flat arrays, and their compiled evaluation.

Trees grown by scikit-learn and by LightGBM become one array of 64-bit nodes. Inference then
needs neither library, holds no lock and runs several times faster than LightGBM's own
predictor (``benchmarks/classifiers.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight._types import FloatArray, IntArray
from firstlight.classify.strikes import MOST_LEAVES, Strikes, fill_columns
from firstlight.errors import BundleError, DataError
from firstlight.kernels import kernel
from firstlight.storage import AGAIN, ArraySpec, check_arrays

#: Missing values at a node: read as 0, sent left, sent right.
MISSING_IS_ZERO, MISSING_LOW, MISSING_HIGH = 0, 1, 2

_LANES = 8  # trees evaluated together: enough independent loads to hide their latency
_FEW_ROWS = 4  # up to here a walk through each tree is faster than all tests of a tree for a block of rows
_FIELD_BITS = 16  # a node holds: threshold (32 bits), column (16), left child (16)
_MAX_FIELD = 1 << _FIELD_BITS
_BEYOND = int(np.iinfo(np.int32).max)  # threshold of a leaf: no value is above it
_MAX_FEATURES = 1 << 20
_MAX_NODES = 1 << 40
_SPECS = {
    "nodes": ArraySpec("int64", ("n_nodes",)),
    "value": ArraySpec("float64", ("n_nodes",)),
    "root": ArraySpec("int64", ("n_trees",), least=0, most=_MAX_NODES, order="rising"),
    "depth": ArraySpec("int64", ("n_trees",), least=0, most=_MAX_FIELD),
    "output": ArraySpec("int64", ("n_trees",), least=0, most=_MAX_FIELD),
    "column_feature": ArraySpec("int64", ("n_columns",), least=0, most=_MAX_FEATURES),
    "column_missing": ArraySpec("int64", ("n_columns",), least=0, most=2),
    "start": ArraySpec("float64", ("n_outputs",)),
    "n_features": ArraySpec("int64", (1,), least=1, most=_MAX_FEATURES),
}


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees in flat arrays; each adds the value of the leaf that a row falls into."""

    # (n_nodes,); threshold (float32 bits in an order-preserving int32), column and left child within the
    # tree, packed. The right child follows the left; a leaf is its own left child.
    nodes: NDArray[np.int64]
    value: NDArray[np.float64]  # (n_nodes,); contribution of a leaf to its output; 0 for inner nodes
    root: NDArray[np.int64]  # (n_trees,); first node of each tree
    depth: NDArray[np.int64]  # (n_trees,); levels below the root
    output: NDArray[np.int64]  # (n_trees,); output that each tree adds to
    # (n_columns,); feature of each column, and its treatment of missing values
    column_feature: NDArray[np.int64]
    column_missing: NDArray[np.int64]
    start: NDArray[np.float64]  # (n_outputs,); value of each output before the first tree
    n_features: int  # width of the rows

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return len(self.start)

    @classmethod
    def lay_out(
        cls,
        *,
        n_nodes: NDArray[Any],
        feature: NDArray[Any],
        threshold: NDArray[np.float64],
        left: NDArray[Any],
        right: NDArray[Any],
        value: NDArray[np.float64],
        output: NDArray[Any],
        start: NDArray[np.float64],
        n_features: int,
        missing: NDArray[Any] | None = None,
    ) -> Self:
        """Lay out trees for compiled evaluation.

        `n_nodes` and `output` have one entry per tree, `start` one per output, the other arrays
        one per node, tree after tree. A row goes left where its feature is at most the
        threshold; children are counted within the tree, and -1 marks a leaf. Raises DataError
        if a tree has too many nodes, or the forest too many columns, for the 16-bit fields, and
        BundleError if the children do not form a tree or a feature does not exist.
        """
        n_nodes = np.asarray(n_nodes, dtype=np.int64)
        _check_fit(n_nodes.max(initial=0), "nodes in a tree")
        left, right = np.asarray(left, np.int64), np.asarray(right, np.int64)
        root = np.concatenate([[0], np.cumsum(n_nodes)[:-1]]).astype(np.int64)[: len(n_nodes)]
        _check_trees(root, n_nodes, left, right)
        missing = np.zeros(len(feature), np.int64) if missing is None else np.asarray(missing, np.int64)
        inner = left >= 0
        feature = np.where(inner, np.asarray(feature, np.int64), 0)
        if np.any((feature < 0) | (feature >= n_features)):
            raise BundleError(f"a tree splits on a feature outside its {n_features}; {AGAIN}")
        key = np.where(inner, feature * 3 + missing, 0)
        used = np.zeros(3 * n_features, dtype=bool)
        used[key] = True
        columns, column = np.flatnonzero(used), (np.cumsum(used) - 1)[key]
        _check_fit(len(columns), "columns")
        bits = np.where(inner, _ordered(floor_float32(threshold)), _BEYOND)
        nodes, values, depth = _breadth_first(
            root,
            n_nodes,
            column.astype(np.int64),
            bits.astype(np.int64),
            left,
            right,
            np.asarray(value, np.float64),
        )
        return cls(
            nodes=nodes,
            value=values,
            root=root,
            depth=depth,
            output=np.asarray(output, dtype=np.int64),
            column_feature=columns // 3,
            column_missing=columns % 3,
            start=np.asarray(start, dtype=np.float64),
            n_features=n_features,
        )

    def raw(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Start values plus one leaf of every tree, before any link function, shape (n_rows, n_outputs).

        The sum runs over the trees in order: a row gives the same bits alone and in any
        batch. Safe in several threads. Raises DataError for rows of another width.
        """
        X = np.ascontiguousarray(X, dtype=np.float32)
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise DataError(f"rows of shape {X.shape}; this forest needs {self.n_features} features per row")
        total = np.empty((len(X), self.n_outputs))
        total[:] = self.start
        rows = (X.view(np.int32), self.column_feature, self.column_missing)
        if len(X) > _FEW_ROWS and self._strikes is not None:
            self._strikes.add(*rows, total)
        else:
            _walk_trees(*rows, self.nodes, self.value, self.root, self.depth, self.output, total)
        return total

    @cached_property
    def _strikes(self) -> Strikes | None:
        """The trees in another layout, for many rows; None if they are too large for it."""
        if np.diff(np.append(self.root, len(self.nodes))).max(initial=0) >= 2 * MOST_LEAVES:
            return None
        return Strikes.of(self.nodes, self.value, self.root, self.output)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays for safetensors; see `from_arrays`."""
        names = [field.name for field in fields(self) if field.name != "n_features"]
        return {name: getattr(self, name) for name in names} | {
            "n_features": np.array([self.n_features], dtype=np.int64)
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], where: object = "forest") -> Self:
        """A forest from `to_arrays`; BundleError, which begins with `where`, unless all is right.

        Every array has its dtype and shape, every number is finite, every tree is a tree, and every index
        lies within its bounds: the compiled code would follow a damaged one outside its arrays.
        """
        values: dict[str, Any] = check_arrays(arrays, _SPECS, where)
        values["n_features"] = int(values["n_features"][0])
        forest = cls(**values)
        try:
            forest._check()
        except BundleError as error:
            raise BundleError(f"{where}: {error}") from error
        return forest

    def _check(self) -> None:
        """Raise BundleError unless the nodes form trees and every index stays within its bounds."""
        n_total, n_trees = len(self.nodes), len(self.root)
        n_nodes = np.diff(np.append(self.root, n_total))
        if not (self.root[0] == 0 and n_nodes[-1] > 0 if n_trees else n_total == 0):
            raise BundleError(f"forest whose trees do not cover its nodes; {AGAIN}")
        own = np.arange(n_total) - np.repeat(self.root, n_nodes)
        child = self.nodes & (_MAX_FIELD - 1)
        column = (self.nodes >> _FIELD_BITS) & (_MAX_FIELD - 1)
        leaf = child == own
        whole = (
            bool(np.all(self.output < self.n_outputs))
            and bool(np.all(self.column_feature < self.n_features))
            and bool(np.all(column < len(self.column_feature)))
            and bool(np.all((self.nodes >> 32)[leaf] == _BEYOND))  # else a row walks on from a leaf
        )
        if not whole:
            raise BundleError(f"forest with an index outside its bounds; {AGAIN}")
        left, right = np.where(leaf, -1, child), np.where(leaf, -1, child + 1)
        _check_trees(self.root, n_nodes, left, right)
        if not np.array_equal(self.depth, _depths(self.root, left, right)):
            raise BundleError(f"forest whose depths are not those of its trees; {AGAIN}")


def _check_fit(number: int, what: str) -> None:
    """Raise DataError for a number that the 16-bit fields of the nodes cannot hold."""
    if number > _MAX_FIELD:
        raise DataError(f"{number} {what} do not fit; at most {_MAX_FIELD}: grow smaller trees")


def _check_trees(
    root: NDArray[np.int64], n_nodes: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> None:
    """Raise BundleError unless each tree reaches each of its nodes once, and each child follows its parent.

    The arguments are as in `Forest.lay_out`; `root` is the first node of each tree.
    """
    first, size = np.repeat(root, n_nodes), np.repeat(n_nodes, n_nodes)
    own = np.arange(len(left)) - first
    inner = left >= 0
    low, high = np.minimum(left, right), np.maximum(left, right)
    whole = len(first) == len(left) and bool(np.all(np.where(inner, (low > own) & (high < size), right < 0)))
    if whole:
        children = np.concatenate([(first + left)[inner], (first + right)[inner]])
        reached = np.bincount(children, minlength=len(left))
        reached[root] += 1
        whole = bool(np.all(reached == 1))
    if not whole:
        raise BundleError(f"the nodes of a tree do not form a tree; {AGAIN}")


def _depths(root: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Levels below the root of each tree, for trees that `_check_trees` accepts."""
    depth = np.zeros(len(root), np.int64)
    node, tree, level = root, np.arange(len(root)), 0
    while True:
        inner = left[node] >= 0
        node, tree = node[inner], tree[inner]
        if not len(node):
            return depth
        level += 1
        depth[tree] = level
        node = np.concatenate([root[tree] + left[node], root[tree] + right[node]])
        tree = np.concatenate([tree, tree])


def softmax(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of raw scores, shape (n_rows, n_classes); one column is the log-odds of class 1 of two.

    A row gives the same bits alone and in any batch.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    if raw.shape[1] == 1:
        raw = np.concatenate([np.zeros_like(raw), raw], axis=1)
    out = np.empty(raw.shape, dtype=np.float64)
    _softmax(np.ascontiguousarray(raw), out)
    return out


def floor_float32(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Largest float32 not above each threshold: float32 rows compare with it as with the original."""
    threshold = np.asarray(threshold, dtype=np.float64)
    with np.errstate(over="ignore"):
        nearest = threshold.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > threshold, below, nearest)


def _ordered(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Integers in the order of the floats; both zeros become 0."""
    bits = (np.asarray(values, np.float32) + np.float32(0.0)).view(np.int32).astype(np.int64)
    return np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


def _breadth_first(
    root: IntArray, n_nodes: IntArray, column: IntArray, bits: IntArray, left: IntArray, right: IntArray,
    value: FloatArray,
) -> tuple[IntArray, FloatArray, IntArray]:  # fmt: skip
    """Number each tree level by level, so that siblings are neighbours; pack the nodes.

    All trees go down a level at once. Compiled code would be faster, but its compilation would take longer
    than the first use of firstlight spends here.
    """
    nodes, values = np.zeros(len(left), np.int64), np.zeros(len(left), np.float64)
    depth = np.zeros(len(root), np.int64)
    tree = np.flatnonzero(n_nodes > 0)  # of each node of the level
    place, source = np.zeros(len(tree), np.int64), root[tree]  # its number in the tree; where it stands
    n_seen = np.ones(len(root), np.int64)
    level = 0
    while len(tree):
        depth[tree] = level
        inner = left[source] >= 0
        child = place.copy()
        parents = tree[inner]
        earlier = np.arange(len(parents)) - np.searchsorted(parents, parents)  # in its tree and level
        child[inner] = n_seen[parents] + 2 * earlier
        nodes[root[tree] + place] = (bits[source] << 32) | (column[source] << 16) | child
        values[(root[tree] + place)[~inner]] = value[source[~inner]]
        n_seen += 2 * np.bincount(parents, minlength=len(root))
        first = root[parents]
        below = np.stack([first + left[source[inner]], first + right[source[inner]]], axis=1)
        place = (child[inner][:, None] + np.arange(2)).ravel()
        tree, source = np.repeat(parents, 2), below.ravel()
        level += 1
    return nodes, values, depth


@kernel
def _walk_trees(  # type: ignore[no-untyped-def]
    X_bits, feature, missing, nodes, value, root, depth, output, total
):
    """Add every tree to every row, eight trees at a time: for the few rows of a stream."""
    columns = np.zeros(len(feature), np.int32)
    at = np.zeros(_LANES, np.int64)
    first = np.zeros(_LANES, np.int64)
    n_trees = len(root)
    for row in range(len(X_bits)):
        fill_columns(X_bits[row], feature, missing, 0, 1, columns)
        for t in range(0, n_trees, _LANES):
            n_live = min(_LANES, n_trees - t)
            deepest = 0
            for q in range(_LANES):
                live = t + min(q, n_live - 1)
                first[q] = root[live]
                deepest = max(deepest, depth[live])
                at[q] = 0
            for _ in range(deepest):
                moved = np.int64(0)
                for q in range(_LANES):
                    node = nodes[first[q] + at[q]]
                    column = (node >> 16) & 0xFFFF
                    place = (node & 0xFFFF) + np.int64(columns[column] > (node >> 32))
                    moved |= place ^ at[q]
                    at[q] = place
                if moved == 0:  # a leaf leads to itself
                    break
            for q in range(n_live):
                total[row, output[t + q]] += value[first[q] + at[q]]


@kernel
def _softmax(raw, out):  # type: ignore[no-untyped-def]
    # Scalar on purpose: numpy's vectorised exp may differ in the last bit between a
    # row in the middle of a batch and the same row alone.
    for row in range(raw.shape[0]):
        highest = raw[row, 0]
        for k in range(1, raw.shape[1]):
            highest = max(highest, raw[row, k])
        total = 0.0
        for k in range(raw.shape[1]):
            out[row, k] = np.exp(raw[row, k] - highest)
            total += out[row, k]
        for k in range(raw.shape[1]):
            out[row, k] /= total
