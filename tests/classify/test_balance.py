"""Weights and oversampling, and that neither crosses a split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.classify import class_frequencies, class_weights, object_weights, oversample
from firstlight.errors import DataError, LeakageError
from firstlight.taxonomy import CLASSES

label_lists = st.lists(st.sampled_from(["AGN", "KN", "SNIa"]), min_size=1, max_size=60)


@given(label_lists, st.integers(0, 99))
def test_all_copies_of_an_object_share_one_weight(names, seed):
    weight = np.random.default_rng(seed).uniform(0.1, 3.0, len(names))
    shared = object_weights(names, weight)
    for name in set(names):
        of_object = np.array(names) == name
        assert shared[of_object].sum() == pytest.approx(1.0)
        np.testing.assert_allclose(shared[of_object] / shared[of_object].sum(), shared[of_object])


def test_copies_keep_their_relative_weight():
    np.testing.assert_allclose(object_weights([7, 7, 8], [3.0, 1.0, 0.2]), [0.75, 0.25, 1.0])


def test_an_object_of_weight_zero_stays_at_zero():
    np.testing.assert_array_equal(object_weights(["a", "a", "b"], [0.0, 0.0, 1.0]), [0.0, 0.0, 1.0])


@pytest.mark.parametrize("weight", [[1.0, -1.0], [1.0, np.nan], [1.0, np.inf], [1.0]])
def test_bad_object_weights_are_an_error(weight):
    with pytest.raises(DataError, match="weights"):
        object_weights(["a", "b"], weight)


@given(label_lists)
def test_full_exponent_makes_classes_equal(names):
    weight = class_weights(names)
    totals = [weight[np.array(names) == name].sum() for name in set(names)]
    np.testing.assert_allclose(totals, totals[0])


@given(label_lists, st.floats(0.0, 1.0), st.integers(0, 99))
def test_the_total_weight_stays(names, exponent, seed):
    sample_weight = np.random.default_rng(seed).uniform(0.1, 3.0, len(names))
    weight = class_weights(names, exponent, sample_weight)
    assert weight.sum() == pytest.approx(sample_weight.sum())


def test_no_exponent_changes_nothing():
    np.testing.assert_allclose(class_weights(["AGN", "KN", "KN"], 0.0, [1.0, 2.0, 3.0]), [1.0, 2.0, 3.0])


def test_half_an_exponent_lies_between():
    names = ["AGN"] * 16 + ["KN"]
    ratio = [
        class_weights(names, exponent)[-1] / class_weights(names, exponent)[0] for exponent in (0, 0.5, 1)
    ]
    np.testing.assert_allclose(ratio, [1.0, 4.0, 16.0])


def test_copies_do_not_make_a_class_common():
    # Two objects, one with many copies: with object weights both classes count the same.
    names = np.array(["AGN"] * 9 + ["KN"])
    weight = class_weights(names, 1.0, object_weights(names))
    np.testing.assert_allclose(weight[:9].sum(), weight[9])


def test_class_weights_of_nothing_weigh_nothing():
    np.testing.assert_array_equal(class_weights(["AGN", "KN"], 1.0, [0.0, 0.0]), [0.0, 0.0])
    with pytest.raises(DataError, match="3 weights"):
        class_weights(["AGN", "KN"], 1.0, [1.0, 1.0, 1.0])


def test_oversampling_brings_classes_to_the_largest(rng):
    labels = np.array(["AGN"] * 20 + ["KN"] * 3)
    rows = oversample(labels, rng, object_id=np.arange(23), held_out=[99])
    np.testing.assert_array_equal(rows[:23], np.arange(23))
    assert (labels[rows] == "KN").sum() == 20
    assert (labels[rows] == "AGN").sum() == 20


def test_oversampling_in_part(rng):
    labels = np.array(["AGN"] * 16 + ["KN"])
    assert len(oversample(labels, rng, object_id=np.arange(17), held_out=[], exponent=0.5)) == 16 + 4
    assert len(oversample(labels, rng, object_id=np.arange(17), held_out=[], exponent=0.0)) == 17


def test_oversampling_repeats_with_the_seed():
    labels = np.array(["AGN"] * 20 + ["KN"] * 5)
    drawn = [
        oversample(labels, np.random.default_rng(seed), object_id=np.arange(25), held_out=[])
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_oversampling_a_held_out_object_is_a_leak(rng):
    with pytest.raises(LeakageError, match=r"held out, e\.g\. 2"):
        oversample(["AGN", "KN", "KN"], rng, object_id=[1, 2, 3], held_out=[2, 7])


def test_oversampling_needs_to_know_the_held_out_rows(rng):
    with pytest.raises(TypeError, match="held_out"):
        oversample(["AGN"], rng, object_id=[1])  # type: ignore[call-arg]


def test_oversampling_needs_a_name_a_row(rng):
    with pytest.raises(DataError, match="object names"):
        oversample(["AGN", "KN"], rng, object_id=[1], held_out=[])


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_frequencies_cover_the_taxonomy():
    frequencies = class_frequencies(np.array(["KN", "SNIa", "SNIa", "SNIa"]), ("KN", "SNIa"))
    assert frequencies.sum() == 1.0
    assert frequencies[CLASSES.index("SNIa")] == 0.75
