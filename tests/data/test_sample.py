"""Sampling by class frequency: the frequencies hold, nothing is drawn twice, small classes go."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.data.sample import MIN_OBJECTS, sample_by_frequency
from firstlight.errors import SettingsError

NAMES = ("SNIa", "SNII", "AGN", "EB", "KN")
counts = st.lists(st.integers(0, 200), min_size=5, max_size=5)
weights = st.lists(st.floats(0.001, 10.0), min_size=5, max_size=5)


def draw(count, weight, n=None, seed=0):
    labels = np.random.default_rng(1).permutation(np.repeat(NAMES, count))
    frequencies = dict(zip(NAMES, weight, strict=True))
    return labels, sample_by_frequency(labels, frequencies, np.random.default_rng(seed), n)


@given(counts.filter(lambda count: max(count) >= MIN_OBJECTS), weights, st.integers(0, 9))
def test_no_object_is_drawn_twice_and_classes_differ_from_their_share_by_less_than_one(count, weight, seed):
    labels, drawn = draw(count, weight, seed=seed)
    assert len(np.unique(drawn.position)) == len(drawn.position)
    usable = [k for k in range(5) if count[k] >= MIN_OBJECTS]
    total = sum(weight[k] for k in usable)
    most = int(np.floor(min(count[k] * total / weight[k] for k in usable) * (1 + 1e-12)))
    for k in usable:
        found = int((labels[drawn.position] == NAMES[k]).sum())
        share = most * weight[k] / total
        assert abs(found - share) < 1.0 + 1e-6 or (found == 0 and share < MIN_OBJECTS)


@given(counts.filter(lambda count: max(count) >= MIN_OBJECTS), weights)
def test_a_class_is_drawn_at_least_thrice_or_named_as_dropped(count, weight):
    labels, drawn = draw(count, weight)
    for name in NAMES:
        found = int((labels[drawn.position] == name).sum())
        assert (found == 0) == (name in drawn.dropped)
        assert found == 0 or found >= MIN_OBJECTS


@given(st.integers(0, 100))
def test_the_same_seed_draws_the_same_objects(seed):
    first, second = (draw([50, 40, 30, 20, 10], [1.0] * 5, n=40, seed=seed)[1] for _ in range(2))
    np.testing.assert_array_equal(first.position, second.position)


def test_another_seed_draws_other_objects():
    first, second = (draw([50, 40, 30, 20, 10], [1.0] * 5, n=25, seed=seed)[1] for seed in (0, 1))
    assert not np.array_equal(first.position, second.position)


def test_by_default_the_scarcest_class_is_used_up():
    labels, drawn = draw([100, 100, 100, 10, 100], [1.0] * 5)
    assert (labels[drawn.position] == "EB").sum() == 10
    assert len(drawn.position) == 50


def test_every_requested_object_is_drawn_where_no_class_is_dropped():
    assert len(draw([100] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], n=97)[1].position) == 97


def test_more_objects_than_there_are_is_an_error_that_says_how_many_there_may_be():
    with pytest.raises(SettingsError, match="0 to 50"):
        draw([10] * 5, [1.0] * 5, n=51)


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_a_frequency_that_cannot_be_one_is_an_error(bad):
    with pytest.raises(SettingsError, match="frequency"):
        draw([10] * 5, [1.0, 1.0, bad, 1.0, 1.0])


def test_nothing_to_draw_from_is_an_error():
    with pytest.raises(SettingsError, match="nothing to draw from"):
        draw([2] * 5, [1.0] * 5)
