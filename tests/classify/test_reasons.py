"""Contribution of each input to a decision: exact Shapley values."""

import itertools
import math

import numpy as np
import pytest

from firstlight.classify import CLASSIFIERS, load_classifier
from firstlight.classify.forest import Forest, softmax
from firstlight.classify.lightgbm_text import compact, read_covers, read_forest
from firstlight.classify.reasons import Explains, contributions

lightgbm = pytest.importorskip("lightgbm")


@pytest.fixture(scope="module")
def boosted():
    """A LightGBM booster of three classes, its rows with missing values, and its text."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 8)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int) + (X[:, 3] > 1)
    X[rng.random(X.shape) < 0.1] = np.nan
    settings = {
        "objective": "multiclass",
        "num_class": 3,
        "num_leaves": 31,
        "verbosity": -1,
        "num_threads": 1,
    }
    model = lightgbm.train(settings, lightgbm.Dataset(X, y), 15)
    return model, X, model.model_to_string()


def test_it_agrees_with_lightgbm(boosted):
    model, X, text = boosted
    forest, cover = read_forest(text), read_covers(text)
    expected = model.predict(X[:20].astype(np.float64), pred_contrib=True).reshape(20, 3, 9)
    for row, wanted in zip(X[:20], expected, strict=True):
        base, parts = contributions(forest, cover, row)
        np.testing.assert_allclose(parts, wanted[:, :-1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(base, wanted[:, -1], rtol=0, atol=1e-12)


def test_the_parts_add_up_to_the_answer_of_a_compact_text(boosted):
    _, X, text = boosted
    short = compact(text)
    forest, cover = read_forest(short), read_covers(short)
    for row in X[:20]:
        base, parts = contributions(forest, cover, row)
        np.testing.assert_allclose(base + parts.sum(axis=1), forest.raw(row[None])[0], rtol=0, atol=1e-12)


def test_a_small_tree_gives_the_values_of_the_definition():
    # x0 <= 0 ? (x1 <= 0 ? 1 : 2) : (x1 <= 1 ? (x0 <= 2 ? 4 : 8) : 16)
    forest = Forest.lay_out(
        n_nodes=np.array([9]),
        feature=np.array([0, 1, 1, 0, 0, 0, 0, 0, 0]),
        threshold=np.array([0.0, 0.0, 1.0, 0, 0, 2.0, 0, 0, 0]),
        left=np.array([1, 3, 5, -1, -1, 7, -1, -1, -1]),
        right=np.array([2, 4, 6, -1, -1, 8, -1, -1, -1]),
        value=np.array([0.0, 0, 0, 1, 2, 0, 16, 4, 8]),
        output=np.array([0]),
        start=np.array([0.5]),
        n_features=3,
    )
    n_rows = {1.0: 10.0, 2.0: 30.0, 4.0: 5.0, 8.0: 15.0, 16.0: 40.0}
    cover = np.array([n_rows.get(value, 0.0) for value in forest.value])

    def value(x: tuple[float, float, float], known: set[int]) -> float:
        low0, high0 = (1.0, 0.0) if x[0] <= 0 else (0.0, 1.0)
        if 0 not in known:
            low0, high0 = 0.4, 0.6
        inner = (1.0 if x[1] <= 0 else 0.0) if 1 in known else 0.25
        outer = (1.0 if x[1] <= 1 else 0.0) if 1 in known else 20 / 60
        deep = (1.0 if x[0] <= 2 else 0.0) if 0 in known else 0.25
        low = inner * 1 + (1 - inner) * 2
        return 0.5 + low0 * low + high0 * (outer * (deep * 4 + (1 - deep) * 8) + (1 - outer) * 16)

    for x in itertools.product((-1.0, 1.0, 3.0), (-1.0, 0.5, 2.0), (0.0,)):
        base, parts = contributions(forest, cover, np.array(x, np.float32))
        assert base[0] == pytest.approx(value(x, set()))
        for i in range(3):
            others = [k for k in range(3) if k != i]
            wanted = 0.0
            for size in range(3):
                weight = math.factorial(size) * math.factorial(2 - size) / math.factorial(3)
                for known in itertools.combinations(others, size):
                    wanted += weight * (value(x, {*known, i}) - value(x, set(known)))
            assert parts[0, i] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("kind", list(CLASSIFIERS))
def test_the_decisions_of_a_classifier_give_its_answer(kind, toy, quick, other_toy, tmp_path):
    CLASSIFIERS[kind](quick).fit(toy.rows, seed=3).save(tmp_path)
    model = load_classifier(kind, tmp_path)
    assert isinstance(model, Explains)
    shown = np.where(np.arange(len(other_toy.X)) % 2, other_toy.redshift, np.nan)
    for i in range(10):
        x, z = other_toy.X[i], float(shown[i])
        proba = model.predict_proba(x[None], redshift=np.array([z]))[0]
        decisions = model.decisions(x, z)
        assert decisions
        for decision in decisions:
            chances = softmax((decision.base + decision.parts.sum(axis=1))[None])[0]
            if decision.name == "side":
                continue
            own = proba[[model.classes.index(name) for name in decision.classes]]
            np.testing.assert_allclose(chances, own / own.sum(), atol=1e-9)


def test_a_text_without_counts_explains_nothing(boosted):
    _, _, text = boosted
    assert (
        read_covers("\n".join(line for line in text.split("\n") if not line.startswith("leaf_count"))) is None
    )
