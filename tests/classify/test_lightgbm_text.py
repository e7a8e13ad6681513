"""LightGBM's text read by us, against LightGBM's own predictions."""

import lightgbm
import numpy as np
import pytest

from firstlight.classify.lightgbm_text import compact, read_forest
from firstlight.errors import BundleError


def grow(objective="multiclass", seed=0, n_rows=500, nan=0.15, rounds=12, **more):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 7)).astype(np.float32)
    code = rng.integers(0, 4 if objective == "multiclass" else 2, n_rows)
    X[:, 0] += code
    X[:, 1] *= code
    X[:, 2] = np.round(X[:, 2])  # zeros among the values
    X[:, 3:][rng.random((n_rows, 4)) < nan] = np.nan
    params = {"objective": objective, "num_leaves": 12, "verbosity": -1, "num_threads": 1, "seed": seed}
    params |= {"num_class": 4} if objective == "multiclass" else {}
    booster = lightgbm.train(params | more, lightgbm.Dataset(X, code), rounds)
    return booster, X


def rows_to_try(X, rng):
    """Training rows and hostile ones."""
    wild = rng.normal(size=(60, X.shape[1])).astype(np.float32) * 3
    special = np.array([np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-36], dtype=np.float32)
    chosen = rng.random(wild.shape) < 0.4
    wild[chosen] = rng.choice(special, chosen.sum())
    return np.vstack([X, wild])


@pytest.mark.parametrize("objective", ["multiclass", "binary"])
@pytest.mark.parametrize("seed", [0, 1])
def test_raw_scores_equal_lightgbm_bit_for_bit(objective, seed):
    booster, X = grow(objective, seed)
    rows = rows_to_try(X, np.random.default_rng(9))
    expected = booster.predict(rows, raw_score=True).reshape(len(rows), -1)
    np.testing.assert_array_equal(read_forest(booster.model_to_string()).raw(rows), expected)


@pytest.mark.parametrize(
    "more",
    [
        {"use_missing": False},
        {"extra_trees": True},
        {"max_bin": 15},
        {"linear_lambda": 0.0, "boosting": "dart"},
        {"num_leaves": 2},
        {"min_data_in_leaf": 400},  # nothing to split: constant trees
    ],
    ids=lambda more: next(iter(more)) if len(more) == 1 else "dart",
)
def test_variants_of_trees_equal_lightgbm(more):
    booster, X = grow(**more)
    rows = rows_to_try(X, np.random.default_rng(9))
    expected = booster.predict(rows, raw_score=True)
    np.testing.assert_array_equal(read_forest(booster.model_to_string()).raw(rows), expected)


def test_compact_text_is_shorter_and_nearly_the_same():
    booster, X = grow()
    text = booster.model_to_string()
    short = compact(text)
    assert len(short) < 0.5 * len(text)
    np.testing.assert_allclose(read_forest(short).raw(X), read_forest(text).raw(X), atol=2e-3)


def test_lightgbm_reads_the_compact_text_and_agrees():
    booster, X = grow()
    short = compact(booster.model_to_string())
    rows = rows_to_try(X, np.random.default_rng(9))
    theirs = lightgbm.Booster(model_str=short).predict(rows, raw_score=True)
    np.testing.assert_array_equal(read_forest(short).raw(rows), theirs)


def test_compact_constant_trees_are_read_by_both():
    booster, X = grow(min_data_in_leaf=400)
    short = compact(booster.model_to_string())
    theirs = lightgbm.Booster(model_str=short).predict(X, raw_score=True)
    np.testing.assert_array_equal(read_forest(short).raw(X), theirs)


def test_rows_on_a_threshold_fall_as_before():
    booster, X = grow(nan=0.0)
    text = booster.model_to_string()
    lines = [line for line in text.split("\n") if line.startswith("threshold=")]
    thresholds = np.array(" ".join(line[10:] for line in lines).split(), dtype=np.float64)
    near = thresholds.astype(np.float32)
    near = np.concatenate([near, np.nextafter(near, np.float32(9)), np.nextafter(near, np.float32(-9))])
    rows = np.random.default_rng(0).choice(near, size=(400, X.shape[1]))
    leaves = lightgbm.Booster(model_str=text).predict(rows, pred_leaf=True)
    np.testing.assert_array_equal(
        lightgbm.Booster(model_str=compact(text)).predict(rows, pred_leaf=True), leaves
    )


def test_compacting_twice_changes_nothing():
    booster, _ = grow()
    short = compact(booster.model_to_string())
    assert compact(short) == short


def test_other_text_is_refused():
    with pytest.raises(BundleError, match="LightGBM"):
        read_forest("version=v4\n")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("max_feature_idx=6", "max_feature_idx=", "max_feature_idx"),
        ("num_tree_per_iteration=4", "", "num_tree_per_iteration"),
        ("leaf_value=", "leaf_value=x ", "leaf_value"),
        ("threshold=", "threshold=0.5 ", "fewer values of threshold"),
        ("threshold=", "threshold=nan ", "threshold"),
        ("leaf_value=", "leaf_value=inf ", "leaf_value"),
        ("num_tree_per_iteration=4", "num_tree_per_iteration=0", "per iteration"),
        ("num_tree_per_iteration=4", "num_tree_per_iteration=5", "per iteration"),
        ("num_tree_per_iteration=4", "num_tree_per_iteration=²", "num_tree_per_iteration"),
        ("max_feature_idx=6", "max_feature_idx=0", "feature"),
        ("num_leaves=", "num_leaves=1e9", "num_leaves"),
        ("num_leaves=", "num_leaves=-", "num_leaves"),
        ("split_feature=", "split_feature=0.5 ", "split_feature"),
        ("decision_type=", "decision_type=9223372036854775807 ", "decision_type"),
        ("left_child=1", "left_child=99", "left_child"),
        ("right_child=", "right_child=-99 ", "fewer values of right_child"),
        ("num_cat=0", "num_cat=1", "categorical"),
        ("is_linear=0", "is_linear=1", "linear"),
    ],
)
def test_damaged_text_is_refused(old, new, match):
    booster, _ = grow(rounds=3)
    text = compact(booster.model_to_string())
    if old == "left_child=1":
        line = next(line for line in text.split("\n") if line.startswith("left_child="))
        old, new = line, "left_child=99 " + line.split(" ", 1)[1]
    assert old in text
    with pytest.raises(BundleError, match=match):
        read_forest(text.replace(old, new, 1))


def test_zero_as_missing_is_refused():
    booster, _ = grow(zero_as_missing=True)
    with pytest.raises(BundleError, match="zero"):
        read_forest(booster.model_to_string())


def test_averaged_trees_are_refused():
    booster, _ = grow(boosting="rf", bagging_freq=1, bagging_fraction=0.5)
    with pytest.raises(BundleError, match="averaged"):
        read_forest(booster.model_to_string())
