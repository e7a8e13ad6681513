"""The logistic baseline against scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from firstlight.classify import LogisticBaseline, LogisticConfig
from firstlight.classify.protocol import encode_labels


def test_it_finds_the_optimum_that_scikit_learn_finds(toy, other_toy):
    config = LogisticConfig(ridge=1.0, iterations=2000, class_weight_exponent=0.0)
    ours = LogisticBaseline(config).fit(toy.X, toy.labels)
    Z = ours._standardised(toy.X)
    _, code = encode_labels(toy.labels)
    theirs = LogisticRegression(C=1.0, max_iter=2000, tol=1e-8).fit(Z, code)
    expected = theirs.predict_proba(ours._standardised(other_toy.X))
    np.testing.assert_allclose(ours.predict_proba(other_toy.X), expected, atol=2e-3)


def test_a_single_outlier_does_not_rule(toy):
    X = toy.X.copy()
    X[0, 0] = 1e20
    wild = LogisticBaseline().fit(X, toy.labels).predict_proba(toy.X[1:])
    calm = LogisticBaseline().fit(toy.X, toy.labels).predict_proba(toy.X[1:])
    assert np.abs(wild - calm).mean() < 0.02


def test_a_constant_feature_is_ignored(toy):
    X = np.column_stack([toy.X, np.full(len(toy.X), 7.0, dtype=np.float32)])
    constant = LogisticBaseline().fit(X, toy.labels).predict_proba(X)
    np.testing.assert_allclose(
        constant, LogisticBaseline().fit(toy.X, toy.labels).predict_proba(toy.X), atol=1e-3
    )


@pytest.mark.parametrize("ridge", [0.1, 1000.0])
def test_the_ridge_pulls_towards_the_prior(ridge, toy):
    model = LogisticBaseline(LogisticConfig(ridge=ridge)).fit(toy.X, toy.labels)
    spread = model.predict_proba(toy.X).std(axis=0).max()
    assert (spread > 0.3) == (ridge < 1.0)
