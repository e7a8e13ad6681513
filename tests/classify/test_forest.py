"""`Forest` against a plain walk in Python, and against damaged files."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firstlight.classify.forest import MISSING_HIGH, MISSING_IS_ZERO, MISSING_LOW, Forest, softmax
from firstlight.errors import BundleError, DataError


def random_trees(rng, n_trees=21, n_outputs=3, n_features=5, depth=5):
    """Node lists of random trees, numbered depth first (so not as `Forest` numbers them)."""
    parts: dict[str, list[float]] = {
        k: [] for k in ("feature", "threshold", "left", "right", "value", "missing")
    }
    n_nodes = []
    for _ in range(n_trees):
        nodes: list[dict[str, float]] = []

        def grow(level: int, nodes=nodes) -> int:
            me = len(nodes)
            nodes.append(
                {"left": -1, "right": -1, "feature": -2, "threshold": 0.0, "value": 0.0, "missing": 0}
            )
            if level == 0 or rng.random() < 0.25:
                nodes[me]["value"] = rng.normal()
                return me
            nodes[me]["feature"] = rng.integers(n_features)
            nodes[me]["threshold"] = float(
                rng.choice([rng.normal(), 0.0, 1e-35, -0.5, 1e300, -1e300, np.inf])
            )
            nodes[me]["missing"] = rng.integers(3)
            nodes[me]["left"] = grow(level - 1)
            nodes[me]["right"] = grow(level - 1)
            return me

        grow(int(rng.integers(depth + 1)))
        n_nodes.append(len(nodes))
        for key, column in parts.items():
            column.extend(node[key] for node in nodes)
    arrays = {key: np.array(column) for key, column in parts.items()}
    for key in ("feature", "left", "right", "missing"):
        arrays[key] = arrays[key].astype(np.int64)
    return {
        "n_nodes": np.array(n_nodes),
        "output": np.arange(n_trees) % n_outputs,
        "start": rng.normal(size=n_outputs),
        "n_features": n_features,
    } | arrays


def walk(trees, X):
    """Expected outputs of the forest, one node at a time."""
    total = np.tile(trees["start"], (len(X), 1))
    first = np.cumsum(trees["n_nodes"]) - trees["n_nodes"]
    for t, begin in enumerate(first):
        for r, row in enumerate(X):
            node = begin
            while trees["left"][node] >= 0:
                x = float(row[trees["feature"][node]])
                if np.isnan(x):
                    x = 0.0
                    go_left = {
                        MISSING_IS_ZERO: x <= trees["threshold"][node],
                        MISSING_LOW: True,
                        MISSING_HIGH: False,
                    }[int(trees["missing"][node])]
                else:
                    go_left = x <= trees["threshold"][node]
                node = begin + trees["left" if go_left else "right"][node]
            total[r, trees["output"][t]] += trees["value"][node]
    return total


def random_rows(rng, n_rows, n_features=5):
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    special = np.array([np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-36, -1e-40, 3.4e38], dtype=np.float32)
    chosen = rng.random(X.shape) < 0.4
    X[chosen] = rng.choice(special, chosen.sum())
    return X


@pytest.mark.parametrize("n_rows", [1, 3, 4, 5, 8, 9, 40])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_compiled_walk_equals_the_plain_one(n_rows, seed):
    rng = np.random.default_rng(seed)
    trees = random_trees(rng)
    X = random_rows(rng, n_rows)
    np.testing.assert_array_equal(Forest.lay_out(**trees).raw(X), walk(trees, X))


@given(seed=st.integers(0, 2**32 - 1), n_trees=st.integers(1, 20), n_rows=st.integers(1, 12))
def test_any_forest_walks_like_the_plain_one(seed, n_trees, n_rows):
    rng = np.random.default_rng(seed)
    trees = random_trees(rng, n_trees=n_trees, n_outputs=1 + n_trees % 3, depth=3)
    X = random_rows(rng, n_rows)
    np.testing.assert_array_equal(Forest.lay_out(**trees).raw(X), walk(trees, X))


@pytest.mark.parametrize(("depth", "seed", "least", "most"), [(12, 0, 65, 256), (16, 2, 257, 4096)])
def test_trees_of_more_leaves_than_a_word_has_bits_walk_like_the_plain_one(depth, seed, least, most):
    rng = np.random.default_rng(seed)
    trees = random_trees(rng, n_trees=8, depth=depth)
    n_leaves = (trees["n_nodes"] + 1) // 2
    assert least <= n_leaves.max() <= most
    X = random_rows(rng, 70)
    np.testing.assert_array_equal(Forest.lay_out(**trees).raw(X), walk(trees, X))


@example(threshold=-3.402823364973241e38, seed=0)  # its neighbour below is minus infinity
@given(threshold=st.floats(allow_nan=False), seed=st.integers(0, 1000))
def test_float64_thresholds_split_float32_rows_exactly(threshold, seed):
    with np.errstate(over="ignore"):  # next to the largest float32 is infinity, a row like any other
        near = np.float32(threshold)
        above, below = np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))
    around = np.array([near, above, below, 0.0, seed], dtype=np.float32)
    forest = Forest.lay_out(
        n_nodes=np.array([3]),
        feature=np.array([0, -2, -2]),
        threshold=np.array([threshold, 0.0, 0.0]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        value=np.array([0.0, 1.0, 2.0]),
        output=np.array([0]),
        start=np.zeros(1),
        n_features=1,
    )
    went_left = forest.raw(around[:, None])[:, 0] == 1.0
    np.testing.assert_array_equal(went_left, around.astype(np.float64) <= threshold)


def test_a_forest_without_trees_gives_its_start():
    empty = np.zeros(0, dtype=np.int64)
    forest = Forest.lay_out(
        n_nodes=empty,
        feature=empty,
        threshold=np.zeros(0),
        left=empty,
        right=empty,
        value=np.zeros(0),
        output=empty,
        start=np.array([0.5, -0.5]),
        n_features=4,
    )
    np.testing.assert_array_equal(forest.raw(np.zeros((6, 4), np.float32)), np.tile([0.5, -0.5], (6, 1)))


def test_arrays_bring_the_forest_back():
    rng = np.random.default_rng(5)
    forest = Forest.lay_out(**random_trees(rng))
    again = Forest.from_arrays(forest.to_arrays())
    X = random_rows(rng, 30)
    np.testing.assert_array_equal(again.raw(X), forest.raw(X))


def test_rows_of_another_width_are_an_error():
    forest = Forest.lay_out(**random_trees(np.random.default_rng(5)))
    with pytest.raises(DataError, match="5 features"):
        forest.raw(np.zeros((2, 4), np.float32))
    with pytest.raises(DataError, match="shape"):
        forest.raw(np.zeros(5, np.float32))


def test_a_missing_array_is_a_bundle_error():
    arrays = Forest.lay_out(**random_trees(np.random.default_rng(5))).to_arrays()
    del arrays["root"]
    with pytest.raises(BundleError, match="root"):
        Forest.from_arrays(arrays)


@pytest.mark.parametrize("name", ["nodes", "root", "output", "column_feature", "value", "depth"])
def test_an_index_out_of_bounds_is_found_before_the_walk(name):
    arrays = Forest.lay_out(**random_trees(np.random.default_rng(5))).to_arrays()
    damaged = arrays[name].copy()
    if name in ("value", "depth"):
        damaged = damaged[:-1]
    elif name == "nodes":
        damaged[0] |= 0xFFFF  # a child far outside the tree
    else:
        damaged[-1] = 10_000
    with pytest.raises(BundleError, match="fetch or train"):
        Forest.from_arrays(arrays | {name: damaged})


def cyclic(arrays):
    """Two inner nodes of a tree whose first children are the same pair."""
    nodes = arrays["nodes"].copy()
    first = arrays["root"][np.argmax(arrays["depth"])]
    own = np.arange(len(nodes)) - np.repeat(arrays["root"], np.diff(np.append(arrays["root"], len(nodes))))
    inner = [i for i in range(first, len(nodes)) if nodes[i] & 0xFFFF != own[i]][:2]
    nodes[inner[1]] = nodes[inner[1]] & ~0xFFFF | nodes[inner[0]] & 0xFFFF
    return {"nodes": nodes}


def open_leaf(arrays):
    """A leaf, the last node, whose threshold lets rows walk on to the node behind the last."""
    nodes = arrays["nodes"].copy()
    nodes[-1] &= 0xFFFFFFFF
    return {"nodes": nodes}


@pytest.mark.parametrize(
    "change",
    [
        cyclic,
        open_leaf,
        lambda arrays: {"depth": arrays["depth"] + 1},
        lambda arrays: {"depth": np.where(arrays["depth"] > 0, 1 << 62, 0)},
        lambda arrays: {"depth": np.maximum(arrays["depth"] - 1, 0)},
        lambda arrays: {"value": np.where(arrays["value"] != 0.0, np.inf, 0.0)},
        lambda arrays: {"value": arrays["value"] * np.nan},
        lambda arrays: {"value": arrays["value"].astype(np.float32)},
        lambda arrays: {"nodes": arrays["nodes"].astype(np.int32)},
        lambda arrays: {"nodes": arrays["nodes"][:, None]},
        lambda arrays: {"start": np.zeros(0)},
        lambda arrays: {"output": arrays["output"] - 1},
        lambda arrays: {"column_missing": arrays["column_missing"] + 3},
        lambda arrays: {"n_features": np.array([-1])},
        lambda arrays: {"n_features": np.zeros(0, np.int64)},
        lambda arrays: {"root": arrays["root"][::-1]},
    ],
)
def test_arrays_that_compiled_code_must_not_see_are_refused(change):
    arrays = Forest.lay_out(**random_trees(np.random.default_rng(5))).to_arrays()
    with pytest.raises(BundleError, match="fetch or train"):
        Forest.from_arrays(arrays | change(arrays))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([0, -1, -1], [0, -1, -1]),  # a cycle
        ([1, -1, -1], [1, -1, -1]),  # one child twice
        ([1, -1, -1], [3, -1, -1]),  # outside
        ([1, 2, -1], [2, 1, -1]),  # a node that is its own child
        ([1, -1, -1], [-1, -1, -1]),  # half a split
        ([-1, -1, -1], [-1, -1, -1]),  # nodes that nothing reaches
    ],
)
def test_children_that_do_not_form_a_tree_are_refused(left, right):
    with pytest.raises(BundleError, match="do not form a tree"):
        Forest.lay_out(
            n_nodes=np.array([3]),
            feature=np.zeros(3, np.int64),
            threshold=np.zeros(3),
            left=np.array(left),
            right=np.array(right),
            value=np.zeros(3),
            output=np.zeros(1, np.int64),
            start=np.zeros(1),
            n_features=1,
        )


def test_a_forest_too_wide_for_its_fields_is_an_error():
    n = 70_000
    with pytest.raises(DataError, match="smaller trees"):
        Forest.lay_out(
            n_nodes=np.array([n]),
            feature=np.zeros(n, np.int64),
            threshold=np.zeros(n),
            left=np.full(n, -1),
            right=np.full(n, -1),
            value=np.zeros(n),
            output=np.array([0]),
            start=np.zeros(1),
            n_features=1,
        )


def test_softmax_survives_large_scores():
    proba = softmax(np.array([[1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(proba, [[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])


def test_one_score_is_the_log_odds_of_the_second_class():
    raw = np.array([[-2.0], [0.0], [3.0], [800.0], [-800.0]])
    proba = softmax(raw)
    assert proba.shape == (5, 2)
    np.testing.assert_allclose(proba[:3, 1], 1.0 / (1.0 + np.exp(-raw[:3, 0])), rtol=1e-14)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
