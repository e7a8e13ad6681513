"""Probabilities of trained classes among all classes."""

import numpy as np
import pytest

from firstlight.classify import to_all_classes
from firstlight.errors import DataError, UnknownClassError
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
