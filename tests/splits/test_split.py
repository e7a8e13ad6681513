import hashlib
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves
from firstlight.splits import (
    check_disjoint,
    check_near_duplicates,
    hash_fraction,
    hash_split,
    stratified_folds,
    validation_part,
)
from firstlight.splits.split import SALT

NAMES = np.array([str(k) for k in range(5000)])
LABELS = np.repeat(["SNIa", "SNII", "EB", "Mira"], [3000, 1500, 470, 30])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- hash ---------------------------------------------------------------------------


def test_hash_is_sha256_of_salt_and_name() -> None:
    digest = hashlib.sha256(f"{SALT}\0ZTF18abc".encode()).digest()
    expected = (int.from_bytes(digest[:8], "big") >> 11) / 2**53
    assert hash_fraction(["ZTF18abc"])[0] == expected


def test_hash_is_pinned_for_good() -> None:
    # Whoever changes these numbers moves objects between the training and the test set.
    assert hash_fraction(["615", "713", "Ångström"]).round(12).tolist() == PINNED


PINNED = [0.130565994827, 0.249499219524, 0.269709912749]


def test_hash_is_uniform_and_differs_between_salts() -> None:
    place, other = hash_fraction(NAMES), hash_fraction(NAMES, "another")
    assert place.min() >= 0.0
    assert place.max() < 1.0
    counts = np.histogram(place, bins=10, range=(0, 1))[0]
    assert np.all(np.abs(counts - 500) < 5 * np.sqrt(500))
    assert abs(np.corrcoef(place, other)[0, 1]) < 0.05


def test_no_name_has_no_place() -> None:
    assert hash_fraction([]).shape == (0,)


def test_hundred_thousand_names_take_less_than_a_second() -> None:
    names = np.array([str(k) for k in range(100_000)])
    start = time.process_time()
    hash_fraction(names)
    assert time.process_time() - start < 1.0


def test_hash_split_has_the_wanted_shares_and_loses_nobody() -> None:
    fold = hash_split(NAMES)
    sizes = np.array([len(part) for part in fold]) / len(NAMES)
    np.testing.assert_allclose(sizes, [0.6, 0.2, 0.2], atol=0.03)
    np.testing.assert_array_equal(np.sort(np.concatenate(fold)), np.arange(len(NAMES)))


def test_hash_split_does_not_move_when_objects_are_added() -> None:
    before = set(NAMES[:1000][hash_split(NAMES[:1000]).test])
    after = set(NAMES[hash_split(NAMES).test])
    assert before == after & set(NAMES[:1000])


def test_hash_split_keeps_copies_of_an_object_together() -> None:
    names = np.repeat(NAMES[:100], 7)
    fold = hash_split(rng().permutation(names))
    shuffled = rng().permutation(names)
    check_disjoint(shuffled[fold.train], shuffled[fold.test])
    check_disjoint(shuffled[fold.train], shuffled[fold.validation])


@pytest.mark.parametrize(("train", "validation"), [(0.9, 0.1), (-0.1, 0.5), (1.2, 0.0)])
def test_hash_split_refuses_shares_that_leave_no_test(train: float, validation: float) -> None:
    with pytest.raises(DataError, match="nothing to test on"):
        hash_split(NAMES, train=train, validation=validation)


# --- folds --------------------------------------------------------------------------


def test_every_object_is_tested_once() -> None:
    folds = stratified_folds(NAMES, LABELS, 5, rng=rng())
    tested = np.sort(np.concatenate([fold.test for fold in folds]))
    np.testing.assert_array_equal(tested, np.arange(len(NAMES)))


def test_the_three_parts_of_a_fold_share_no_object() -> None:
    for fold in stratified_folds(NAMES, LABELS, 5, rng=rng()):
        np.testing.assert_array_equal(np.sort(np.concatenate(fold)), np.arange(len(NAMES)))


def test_rare_classes_are_spread_evenly() -> None:
    folds = stratified_folds(NAMES, LABELS, 5, rng=rng())
    for name in np.unique(LABELS):
        counts = [int(np.sum(LABELS[fold.test] == name)) for fold in folds]
        assert max(counts) - min(counts) <= 1, name
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_many_tiny_classes_do_not_pile_up_in_the_first_fold() -> None:
    labels = np.repeat([f"class-{k}" for k in range(50)], 1)
    folds = stratified_folds(NAMES[:50], labels, 5, rng=rng())
    assert [len(fold.test) for fold in folds] == [10] * 5


def test_the_same_seed_gives_the_same_folds_and_another_one_others() -> None:
    first, again, other = (stratified_folds(NAMES, LABELS, 5, rng=rng(seed)) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    assert not np.array_equal(first[0].test, other[0].test)


def test_folds_do_not_depend_on_the_order_of_rows() -> None:
    order = rng(9).permutation(len(NAMES))
    plain = stratified_folds(NAMES, LABELS, 5, rng=rng())
    mixed = stratified_folds(NAMES[order], LABELS[order], 5, rng=rng())
    for a, b in zip(plain, mixed, strict=True):
        for x, y in zip(a, b, strict=True):
            assert set(NAMES[x]) == set(NAMES[order][y])


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(0, 1000))
def test_copies_of_an_object_never_straddle_a_fold(n_folds: int, seed: int) -> None:
    copies = rng(seed).integers(1, 5, 60)
    names, labels = np.repeat(NAMES[:60], copies), np.repeat(np.tile(["SNIa", "KN", "EB"], 20), copies)
    for fold in stratified_folds(names, labels, n_folds, rng=rng(seed)):
        check_disjoint(names[fold.train], names[fold.test])
        check_disjoint(names[fold.validation], names[fold.test])
        check_disjoint(names[fold.train], names[fold.validation])


def test_an_object_with_two_labels_is_named() -> None:
    with pytest.raises(DataError, match=r"'7' is labelled 'SNIa' and 'KN'"):
        stratified_folds(["7", "8", "7"], ["SNIa", "SNIa", "KN"], 2, rng=rng())


@pytest.mark.parametrize("n_folds", [0, 1, 4])
def test_folds_need_an_object_each(n_folds: int) -> None:
    with pytest.raises(DataError, match="folds of 3 object"):
        stratified_folds(["a", "b", "c"], ["SNIa"] * 3, n_folds, rng=rng())


def test_names_and_labels_must_be_as_many() -> None:
    with pytest.raises(DataError, match="one label per row"):
        stratified_folds(["a", "b"], ["SNIa"], 2, rng=rng())


# --- validation -----------------------------------------------------------------------


def test_validation_takes_its_share_of_every_class() -> None:
    held = validation_part(NAMES, LABELS, 0.2)
    for name, n in zip(*np.unique(LABELS, return_counts=True), strict=True):
        assert held[name == LABELS].sum() == round(0.2 * n)


def test_validation_is_the_same_every_time_and_for_every_order() -> None:
    order = rng().permutation(len(NAMES))
    held = validation_part(NAMES, LABELS)
    np.testing.assert_array_equal(held, validation_part(NAMES, LABELS))
    np.testing.assert_array_equal(held[order], validation_part(NAMES[order], LABELS[order]))


def test_validation_leaves_one_object_of_each_class_on_either_side() -> None:
    held = validation_part(["a", "b", "c"], ["KN", "KN", "TDE"], 0.01)
    assert held[:2].sum() == 1
    assert not held[2]  # a lone object is better learnt from


def test_no_share_holds_nobody() -> None:
    assert not validation_part(NAMES, LABELS, 0.0).any()


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(DataError, match="fraction"):
        validation_part(NAMES, LABELS, share)


def test_validation_is_unrelated_to_the_fixed_split() -> None:
    held, fold = validation_part(NAMES, LABELS), hash_split(NAMES)
    assert abs(held[fold.test].mean() - 0.2) < 0.05


# --- the real classes -------------------------------------------------------------------


def test_the_training_set_of_plasticc_is_dealt_evenly() -> None:
    """Class counts of the real data, where Mira has 30 objects and SNIa 2,313."""
    counts = {"SNIa": 2313, "SNII": 1193, "M-dwarf": 981, "EB": 924, "TDE": 495, "SNIbc": 484, "AGN": 370}
    counts |= {"RRL": 239, "SNIa-91bg": 208, "SNIax": 183, "SLSN-I": 175, "muLens-Single": 151, "KN": 102}
    counts |= {"Mira": 30}
    labels = np.repeat(list(counts), list(counts.values()))
    names = np.array([f"{k}" for k in rng().permutation(len(labels))])
    assert len(labels) == 7848
    for fold in stratified_folds(names, labels, 5, rng=rng()):
        assert len(fold.test) in (1569, 1570)
        assert (labels[fold.test] == "Mira").sum() == 6
        assert (labels[fold.validation] == "Mira").sum() == 5
        assert (labels[fold.train] == "Mira").sum() == 19
        assert set(labels[fold.train]) == set(counts)


def test_real_objects_keep_their_part_in_any_subset(sample: LightCurves) -> None:
    everyone = hash_split(sample.object_id)
    half = np.arange(0, len(sample), 2)
    part = hash_split(sample.object_id[half])
    assert set(sample.object_id[half][part.test]) == set(sample.object_id[half]) & set(
        sample.object_id[everyone.test]
    )


def test_folds_of_real_objects_hold_every_class_where_there_are_enough(
    sample: LightCurves, sample_labels: NDArray[np.str_]
) -> None:
    names, counts = np.unique(sample_labels, return_counts=True)
    common = set(names[counts >= 5].tolist())
    for fold in stratified_folds(sample.object_id, sample_labels, 5, rng=rng()):
        assert common <= set(sample_labels[fold.test].tolist())
        check_near_duplicates(sample.take(fold.train), sample.take(fold.test))


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(["SNIa", "KN", "EB", "Mira"]), min_size=6, max_size=80),
    st.integers(2, 6),
    st.floats(0.0, 0.6),
)
def test_folds_always_partition_and_balance(labels: list[str], n_folds: int, share: float) -> None:
    names = [f"object-{k}" for k in range(len(labels))]
    folds = stratified_folds(names, labels, n_folds, rng=rng(), validation=share)
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested.tolist()) == list(range(len(labels)))
    for fold in folds:
        assert sorted(np.concatenate(fold).tolist()) == list(range(len(labels)))
    for label in set(labels):
        counts = [sum(labels[k] == label for k in fold.test) for fold in folds]
        assert max(counts) - min(counts) <= 1


def test_another_salt_holds_other_objects_for_validation() -> None:
    ours, theirs = validation_part(NAMES, LABELS), validation_part(NAMES, LABELS, salt="another")
    assert ours.sum() == theirs.sum()
    assert 0.1 < np.mean(ours[theirs]) < 0.3
