"""Trees for many rows at once: every test strikes out leaves, and the first leaf that remains is the row's.

The leaves of a tree, from left to right, are bits. A test that sends a row to the right strikes out the
leaves to its left (QuickScorer, Lucchese et al. 2015). The tests of a tree need no order, so that several
rows go through them in the lanes of a vector.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numba import types
from numba.core.cgutils import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

from firstlight._types import FloatArray, IntArray
from firstlight.kernels import kernel

#: Trees with more leaves are faster to walk.
MOST_LEAVES = 256
_WORD = 64  # leaves per word of bits
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ROWS = 64  # rows that go through the trees together: their columns fit the second cache
_LANES = 8  # rows are padded to a multiple of this, so that loops over them need no tail


@dataclass(frozen=True, slots=True, eq=False)
class Strikes:
    """Tests and leaves of trees, in words of `_WORD` leaves; a larger tree has several words in a row."""

    # (n_tests,); a row whose column is above the threshold keeps only the leaves in the mask
    column: NDArray[np.int32]
    threshold: NDArray[np.int32]
    mask: NDArray[np.uint64]
    tests: IntArray  # (n_words + 1,); word ``w`` has the tests ``tests[w]:tests[w + 1]``
    leaves: IntArray  # (n_words,); first leaf of each word
    goes_on: NDArray[np.bool_]  # (n_words,); whether the word before belongs to the same tree
    output: IntArray  # (n_words,); output that the tree adds to
    value: FloatArray  # (n_leaves,)

    @classmethod
    def of(cls, nodes: IntArray, value: FloatArray, root: IntArray, output: IntArray) -> Self:
        """The trees of `Forest` with these arrays."""
        n_nodes = np.diff(np.append(root, len(nodes)))
        tree = np.repeat(np.arange(len(root)), n_nodes)
        left = root[tree] + (nodes & 0xFFFF)
        is_leaf = left == np.arange(len(nodes))
        first, count = _leaves(root, left, is_leaf)
        n_leaves = count[root]
        n_words = -(-n_leaves // _WORD)
        word_of = np.concatenate([[0], np.cumsum(n_words)])  # first word of each tree
        # a test once per word in which it strikes leaves
        inner = np.flatnonzero(~is_leaf)
        low, high = first[inner], first[inner] + count[left[inner]]
        first_word, n_touched = low // _WORD, (high - 1) // _WORD - low // _WORD + 1
        test = np.repeat(np.arange(len(inner)), n_touched)
        nth = np.arange(len(test)) - np.repeat(np.cumsum(n_touched) - n_touched, n_touched)
        within = first_word[test] + nth
        node, word = inner[test], word_of[tree[inner[test]]] + within
        mask = ~(_bits(high[test] - _WORD * within) & ~_bits(low[test] - _WORD * within))
        order = np.argsort(word, kind="stable")
        place = np.repeat(np.cumsum(n_leaves) - n_leaves, n_nodes) + first
        values = np.empty(int(n_leaves.sum()))
        values[place[is_leaf]] = value[is_leaf]
        owner = np.repeat(np.arange(len(root)), n_words)
        nth_word = np.arange(len(owner)) - word_of[owner]
        return cls(
            column=((nodes[node] >> 16) & 0xFFFF).astype(np.int32)[order],
            threshold=(nodes[node] >> 32).astype(np.int32)[order],
            mask=mask[order],
            tests=np.concatenate([[0], np.cumsum(np.bincount(word, minlength=len(owner)))]),
            leaves=(np.cumsum(n_leaves) - n_leaves)[owner] + _WORD * nth_word,
            goes_on=nth_word > 0,
            output=output[owner],
            value=values,
        )

    def add(self, bits: NDArray[np.int32], feature: IntArray, missing: IntArray, total: FloatArray) -> None:
        """Add every tree to every row of `total`, tree after tree; other arguments as in `fill_columns`."""
        _strike(
            bits,
            feature,
            missing,
            (self.column, self.threshold, self.mask),
            (self.tests, self.leaves, self.goes_on, self.output),
            self.value,
            total,
        )


def _leaves(root: IntArray, left: IntArray, is_leaf: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """First leaf below each node, counted within its tree from left to right, and their number."""
    levels, level = [], root
    while len(level):
        inner = level[~is_leaf[level]]
        levels.append(inner)
        level = np.concatenate([left[inner], left[inner] + 1])
    count, first = is_leaf.astype(np.int64), np.zeros(len(left), np.int64)
    for inner in reversed(levels):
        count[inner] = count[left[inner]] + count[left[inner] + 1]
    for inner in levels:
        first[left[inner]] = first[inner]
        first[left[inner] + 1] = first[inner] + count[left[inner]]
    return first, count


def _bits(number: IntArray) -> NDArray[np.uint64]:
    """Words whose lowest bits are set; a number below 0 sets none, one above `_WORD` all."""
    some = np.clip(number, 0, _WORD - 1).astype(np.uint64)
    return np.where(number >= _WORD, _ALL, (np.uint64(1) << some) - np.uint64(1))


@intrinsic
def _lowest(_context: Any, word: Any) -> Any:
    """Place of the lowest bit that is set; 64 if none is."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@kernel(inner=True)
def fill_columns(
    bits: NDArray[np.int32],
    feature: IntArray,
    missing: IntArray,
    lane: int,
    n_lanes: int,
    columns: NDArray[np.int32],
) -> None:
    """Write one row, as ordered integers, into its lane of the columns."""
    for c in range(len(feature)):
        b = bits[feature[c]]
        magnitude = b & 0x7FFFFFFF
        if magnitude > 0x7F800000:  # NaN
            ordered = 0
            if missing[c] == 1:
                ordered = -2147483648
            elif missing[c] == 2:
                ordered = 2147483647
        elif magnitude == 0:  # -0.0 equals 0.0
            ordered = 0
        else:
            ordered = b ^ ((b >> 31) & 0x7FFFFFFF)
        columns[c * n_lanes + lane] = ordered


@kernel
def _strike(
    bits: NDArray[np.int32],
    feature: IntArray,
    missing: IntArray,
    strikes: Any,
    words: Any,
    value: FloatArray,
    total: FloatArray,
) -> None:
    """Add the leaf that remains in every tree to every row."""
    column, threshold, mask = strikes
    tests, leaves, goes_on, output = words
    columns = np.zeros(len(feature) * _ROWS, np.int32)
    alive = np.empty(_ROWS, np.uint64)
    open_ = np.empty(_ROWS, np.bool_)  # rows without a leaf yet in the words of a large tree
    for block in range(0, len(bits), _ROWS):
        n_rows = min(_ROWS, len(bits) - block)
        padded = np.uint64((n_rows + _LANES - 1) // _LANES * _LANES)
        for r in range(n_rows):  # spare lanes keep older rows: harmless, not added
            fill_columns(bits[block + r], feature, missing, r, _ROWS, columns)
        for w in range(len(output)):
            for r in range(padded):
                alive[r] = _ALL
            for i in range(tests[w], tests[w + 1]):
                first, least, kept = np.uint64(column[i]) * np.uint64(_ROWS), threshold[i], mask[i]
                for r in range(padded):
                    alive[r] &= kept if columns[first + r] > least else _ALL
            k, leaf = output[w], np.uint64(leaves[w])
            is_split = goes_on[w] or (w + 1 < len(output) and goes_on[w + 1])
            if not is_split:
                for r in range(n_rows):
                    total[block + r, k] += value[leaf + _lowest(alive[r])]
                continue
            for r in range(n_rows):
                open_[r] = open_[r] if goes_on[w] else True
                if open_[r] and alive[r] != 0:
                    total[block + r, k] += value[leaf + _lowest(alive[r])]
                    open_[r] = False
