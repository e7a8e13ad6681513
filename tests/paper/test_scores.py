"""Scores over sixteen classes always come with those over the real thirteen."""

import numpy as np
import pytest

from firstlight.taxonomy import CLASSES
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.scores import scored, spread, spread_of


@pytest.fixture
def forecasts():
    rng = np.random.default_rng(0)
    labels = np.repeat(PAPER_CLASSES, 5)
    proba = rng.dirichlet(np.full(17, 0.3), len(labels))
    proba[np.arange(len(labels)), [CLASSES.index(name) for name in labels]] += 0.5
    proba /= proba.sum(axis=1, keepdims=True)
    return labels, proba, np.isin(labels, ("CaRT", "ILOT", "PISN"))


def test_real_scores_are_those_of_the_real_objects_with_all_columns(forecasts):
    labels, proba, simulated = forecasts
    result = scored(labels, proba, simulated)
    columns = [CLASSES.index(name) for name in PAPER_CLASSES]
    right = np.array(PAPER_CLASSES)[proba[:, columns].argmax(axis=1)] == labels
    assert result["sixteen"]["accuracy"] == pytest.approx(right.mean())
    assert result["real"]["accuracy"] == pytest.approx(right[~simulated].mean())
    assert len(result["sixteen"]["per_class"]) == 16
    assert len(result["real"]["per_class"]) == 13
    assert (result["sixteen"]["n_objects"], result["real"]["n_objects"]) == (80, 65)


def test_a_real_object_taken_for_a_simulated_class_counts_as_an_error(forecasts):
    labels, proba, simulated = forecasts
    wrong = np.zeros_like(proba)
    wrong[:, CLASSES.index("PISN")] = 1.0
    result = scored(labels, wrong, simulated)
    assert result["real"]["accuracy"] == 0.0
    assert result["sixteen"]["accuracy"] == pytest.approx(1 / 16)


def test_probability_given_to_the_kilonova_is_shared_among_the_others(forecasts):
    labels, proba, simulated = forecasts
    without = np.delete(proba, CLASSES.index("KN"), axis=1)
    without /= without.sum(axis=1, keepdims=True)
    assert scored(labels, proba, simulated) == scored(labels, without, simulated)


def test_folds_join_into_means_with_their_spread_and_summed_confusions(forecasts):
    labels, proba, simulated = forecasts
    one, two = scored(labels, proba, simulated), scored(labels, np.roll(proba, 1, axis=1), simulated)
    joined = spread_of([one, two])["sixteen"]
    assert joined["accuracy"]["mean"] == pytest.approx(
        (one["sixteen"]["accuracy"] + two["sixteen"]["accuracy"]) / 2
    )
    assert joined["accuracy"]["std"] > 0
    assert np.sum(joined["confusion"]) == 160
    assert joined["per_class"]["AGN"]["n"] == 10


def test_a_spread_of_one_number_has_no_width_and_nan_does_not_count():
    assert np.isnan(spread([0.5])["std"])
    assert spread([0.5, float("nan"), 0.7])["folds"] == [0.5, 0.7]
