"""The leaky protocol leaks, and only it; the honest one never tests training objects."""

import numpy as np
import pytest

from firstlight.classify import SklearnBoosterConfig
from firstlight.errors import LeakageError
from firstlight.splits import check_disjoint
from firstlight_paper.leak import leaky_proba, leaky_rows
from firstlight_paper.models import fit_fold, fold_proba

FEW = SklearnBoosterConfig(n_estimators=8, max_depth=2, class_weight_exponent=0.0)


def test_balancing_before_the_split_puts_rare_objects_on_both_sides(rng):
    labels = np.array(["SNIa"] * 400 + ["TDE"] * 10)
    rows = leaky_rows(labels, rng)
    rare = rows.test[labels[rows.test] == "TDE"]
    assert np.isin(rare, rows.train).all()
    assert not np.isin(rows.test[labels[rows.test] == "SNIa"], rows.train).any()
    assert rows.shared == pytest.approx(0.5, abs=0.1)
    with pytest.raises(LeakageError):
        check_disjoint(rows.train.astype(str), rows.test.astype(str))


def test_the_rows_are_balanced_and_no_more_than_wanted(rng):
    labels = np.array(["SNIa"] * 300 + ["TDE"] * 7 + ["AGN"] * 60)
    rows = leaky_rows(labels, rng)
    everyone = np.concatenate([rows.train, rows.test])
    assert [int((labels[everyone] == name).sum()) for name in ("SNIa", "TDE", "AGN")] == [300, 300, 300]
    assert len(np.concatenate(leaky_rows(labels, rng, most=200)[:2])) == 200


def test_rows_without_any_signal_score_well_by_the_leaky_protocol_alone(tiny_objects, rng):
    noise = rng.normal(size=(len(tiny_objects), 6)).astype(np.float32)
    deep = SklearnBoosterConfig(n_estimators=20, max_depth=6, min_samples_split=2, class_weight_exponent=0.0)
    rows = leaky_rows(tiny_objects.labels, rng)
    leaky = leaky_proba(tiny_objects, noise, rows, deep)
    honest = fold_proba(tiny_objects, noise, 0, deep)
    classes = np.array(_classes())
    in_leak = (classes[leaky.argmax(axis=1)] == tiny_objects.labels[rows.test]).mean()
    in_fold = (classes[honest.argmax(axis=1)] == tiny_objects.labels[tiny_objects.folds[0].test]).mean()
    assert in_leak > 0.5
    assert in_fold < 0.3


def test_a_fold_is_fitted_without_its_test_rows(tiny_objects, rng):
    X = rng.normal(size=(len(tiny_objects), 4)).astype(np.float32)
    spoiled = X.copy()
    spoiled[tiny_objects.folds[0].test] = 1e6
    one, two = (fit_fold(tiny_objects, rows, 0, FEW) for rows in (X, spoiled))
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def _classes():
    from firstlight.taxonomy import CLASSES

    return CLASSES


@pytest.fixture
def rng():
    return np.random.default_rng(0)
