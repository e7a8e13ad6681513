"""Two forecasts of the same objects, and the spread of their difference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import DataError
from firstlight.metrics import score
from firstlight.metrics.compare import COMPARED, compare, object_losses
from firstlight.taxonomy import CLASSES


def forecasts(n: int, seed: int, skill: float = 1.0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, n)
    raw = rng.exponential(size=(n, len(CLASSES)))
    raw[np.arange(n), truth] += skill
    return np.array(CLASSES)[truth], raw / raw.sum(axis=1, keepdims=True)


@given(n=st.integers(1, 60), seed=st.integers(0, 1000))
def test_scores_equal_those_of_score(n, seed):
    labels, proba = forecasts(n, seed)
    found = compare(labels, proba, proba, n_resamples=2)
    expected = score(labels, proba, CLASSES)
    for name in COMPARED:
        assert found[name]["before"] == pytest.approx(expected[name])
        assert found[name]["difference"] == found[name]["std"] == 0.0


def test_a_better_forecast_differs_by_more_than_chance_and_the_reverse_by_as_much():
    labels, good = forecasts(300, 0, skill=8.0)
    _, poor = forecasts(300, 0, skill=1.0)
    up, down = compare(labels, poor, good), compare(labels, good, poor)
    assert up["accuracy"]["low"] > 0.0
    assert up["log_loss"]["high"] < 0.0
    for name in COMPARED:
        assert up[name]["difference"] == pytest.approx(-down[name]["difference"])
        assert up[name]["low"] <= up[name]["difference"] <= up[name]["high"]


def test_shared_errors_do_not_widen_the_spread():
    labels, proba = forecasts(200, 1)
    other = proba.copy()
    other[0] = np.eye(len(CLASSES))[CLASSES.index(labels[0])]
    assert compare(labels, proba, other)["accuracy"]["std"] <= 1.5 / 200


def test_the_spread_is_that_of_the_binomial():
    labels = np.full(400, "SNIa")
    right, wrong = np.zeros((2, 400, len(CLASSES)))
    right[:, CLASSES.index("SNIa")] = 1.0
    wrong[:, 0] = 1.0
    wrong[:200] = right[:200]
    found = compare(labels, wrong, right, n_resamples=4000)["accuracy"]
    assert found["difference"] == 0.5
    assert found["std"] == pytest.approx(np.sqrt(0.25 / 400), rel=0.1)


def test_the_same_seed_gives_the_same_numbers():
    labels, proba = forecasts(50, 2)
    _, other = forecasts(50, 3)
    assert compare(labels, proba, other, seed=4) == compare(labels, proba, other, seed=4)
    assert compare(labels, proba, other, seed=4) != compare(labels, proba, other, seed=5)


def test_a_certain_error_is_finite():
    loss = object_losses(np.array(["AGN"]), np.eye(17)[[3]])
    assert loss == pytest.approx(-np.log(1e-15))


def test_forecasts_of_other_shapes_are_refused():
    labels, proba = forecasts(5, 0)
    for before, after in ((proba[:4], proba), (proba, proba[:, :16])):
        with pytest.raises(DataError, match="shapes"):
            compare(labels, before, after)
    with pytest.raises(DataError):
        compare(labels[:0], proba[:0], proba[:0])
