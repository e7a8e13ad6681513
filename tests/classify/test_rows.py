"""Labelled rows: one length, sensible weights, and no object on both sides."""

import numpy as np
import pytest

from firstlight.classify import TrainingRows
from firstlight.classify.rows import check_split, coded_split, encode_labels
from firstlight.errors import DataError, LeakageError

X = np.arange(6, dtype=np.float32).reshape(3, 2)
LABELS = np.array(["KN", "PISN", "AGN"])


def test_labels_are_numbered_in_taxonomy_order():
    classes, code = encode_labels(np.array(["KN", "AGN", "KN", "Mira"]))
    assert classes == ("AGN", "Mira", "KN")
    np.testing.assert_array_equal(code, [2, 0, 2, 1])


def test_rows_weigh_1_and_have_no_redshift_unless_given():
    rows = TrainingRows(X, LABELS)
    np.testing.assert_array_equal(rows.weight, [1.0, 1.0, 1.0])
    assert np.isnan(rows.redshift).all()
    np.testing.assert_array_equal(rows.owner, [0, 1, 2])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"labels": LABELS[:-1]}, "labels of shape"),
        ({"redshift": np.zeros(4)}, "redshift of shape"),
        ({"weight": np.ones(2)}, "weight of shape"),
        ({"object_id": LABELS[:-1]}, "object_id of shape"),
        ({"weight": np.array([1.0, -1.0, 1.0])}, "not negative"),
        ({"weight": np.array([1.0, np.nan, 1.0])}, "finite"),
        ({"weight": np.zeros(3)}, "not all zero"),
        ({"X": X[:0], "labels": LABELS[:0]}, "no rows"),
        ({"X": X[0]}, "matrix"),
    ],
)
def test_rows_that_cannot_be_learnt_from_are_refused(columns, message):
    with pytest.raises(DataError, match=message):
        TrainingRows(**{"X": X, "labels": LABELS} | columns)


def test_joined_rows_are_the_parts_in_order():
    rows = TrainingRows(X, LABELS, [0.1, 0.2, np.nan], [1.0, 2.0, 3.0], ["a", "b", "c"])
    again = TrainingRows.concatenate([rows.take(np.array([0])), rows.take(np.array([1, 2]))])
    assert again.fingerprint == rows.fingerprint
    assert again.object_id.tolist() == ["a", "b", "c"]


def test_the_fingerprint_changes_with_every_column():
    base = {"X": X, "labels": LABELS, "redshift": np.zeros(3), "weight": np.ones(3), "object_id": LABELS}
    changed = [
        base | {"X": X + 1},
        base | {"labels": LABELS[::-1]},
        base | {"redshift": np.ones(3)},
        base | {"weight": np.array([1.0, 1.0, 2.0])},
        base | {"object_id": LABELS[::-1]},
    ]
    assert len({TrainingRows(**columns).fingerprint for columns in (base, *changed)}) == 6


def test_held_out_rows_of_trained_classes_are_kept_with_their_numbers():
    rows = TrainingRows(X[:2], ["AGN", "KN"])
    classes, coded, held = coded_split(rows, TrainingRows(X, LABELS, weight=[1.0, 2.0, 3.0]))
    assert classes == ("AGN", "KN")
    np.testing.assert_array_equal(coded.code, [0, 1])
    assert held is not None
    np.testing.assert_array_equal(held.X, X[[0, 2]])
    np.testing.assert_array_equal(held.code, [1, 0])
    np.testing.assert_array_equal(held.weight, [1.0, 3.0])


def test_held_out_rows_without_weight_in_a_trained_class_are_none():
    rows = TrainingRows(X[:2], ["AGN", "KN"])
    assert coded_split(rows, TrainingRows(X[:2], ["PISN", "ILOT"]))[2] is None
    assert coded_split(rows, TrainingRows(X[:2], ["PISN", "KN"], weight=[1.0, 0.0]))[2] is None
    assert coded_split(rows, None)[2] is None


def test_a_copy_on_the_other_side_is_a_leak():
    rows = TrainingRows(X, ["AGN", "KN", "KN"], object_id=["b", "c", "b"])
    held = TrainingRows(X[:2], ["AGN", "KN"], object_id=["a", "b"])
    with pytest.raises(LeakageError, match="1 object"):
        check_split(rows, held)
