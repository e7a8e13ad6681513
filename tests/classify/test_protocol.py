"""What all classifiers share."""

import numpy as np
import pytest

from firstlight.classify import Validation, to_all_classes
from firstlight.classify.protocol import check_validation, encode_labels
from firstlight.errors import DataError, LeakageError, UnknownClassError
from firstlight.taxonomy import CLASSES


def test_trained_classes_find_their_columns():
    proba = to_all_classes(np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]), ("EB", "SNIa", "KN"))
    assert proba.shape == (2, len(CLASSES))
    assert proba[0, CLASSES.index("SNIa")] == 0.3
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    untrained = [CLASSES.index(name) for name in CLASSES if name not in ("EB", "SNIa", "KN")]
    assert (proba[:, untrained] == 0.0).all()


def test_no_rows_spread_to_no_rows():
    assert to_all_classes(np.zeros((0, 2)), ("EB", "KN")).shape == (0, len(CLASSES))


def test_columns_without_a_class_are_an_error():
    with pytest.raises(DataError, match="2 classes"):
        to_all_classes(np.zeros((4, 3)), ("EB", "KN"))
    with pytest.raises(UnknownClassError, match="Nova"):
        to_all_classes(np.zeros((4, 1)), ("Nova",))


def test_labels_are_numbered_in_taxonomy_order():
    classes, code = encode_labels(np.array(["KN", "AGN", "KN", "Mira"]))
    assert classes == ("AGN", "Mira", "KN")
    np.testing.assert_array_equal(code, [2, 0, 2, 1])


def test_validation_keeps_the_rows_of_trained_classes():
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    held = Validation(X, np.array(["KN", "PISN", "AGN"]), np.array([0.1, 0.2, np.nan]), None, np.arange(3))
    kept = check_validation(held, np.array([7, 8]), ("AGN", "KN"), 2)
    assert kept is not None
    np.testing.assert_array_equal(kept.X, X[[0, 2]])
    np.testing.assert_array_equal(kept.redshift, [0.1, np.nan])
    np.testing.assert_array_equal(kept.groups, [0, 2])
    np.testing.assert_array_equal(kept.sample_weight, [1.0, 1.0])


def test_validation_without_a_trained_class_is_none():
    held = (np.zeros((2, 2), np.float32), np.array(["PISN", "ILOT"]))
    assert check_validation(held, None, ("AGN", "KN"), 2) is None
    assert check_validation(None, None, ("AGN", "KN"), 2) is None


def test_validation_of_another_width_is_an_error():
    held = (np.zeros((2, 3), np.float32), np.array(["AGN", "KN"]))
    with pytest.raises(DataError, match="3 features"):
        check_validation(held, None, ("AGN", "KN"), 2)


def test_a_copy_on_the_other_side_is_a_leak():
    held = Validation(np.zeros((2, 2), np.float32), np.array(["AGN", "KN"]), groups=np.array(["a", "b"]))
    with pytest.raises(LeakageError, match="1 object"):
        check_validation(held, np.array(["b", "c", "b"]), ("AGN", "KN"), 2)
