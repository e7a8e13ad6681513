"""`SklearnBooster` against scikit-learn's own predictions."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from firstlight.classify import SklearnBooster, SklearnBoosterConfig, TrainingRows, class_weights
from firstlight.classify.rows import encode_labels
from firstlight.errors import LeakageError

CONFIG = SklearnBoosterConfig(n_estimators=10, max_depth=3, learning_rate=0.3, min_impurity_decrease=1e-4)


def sklearn_model(X, labels, seed, config=CONFIG, weight=None):
    _, code = encode_labels(labels)
    model = GradientBoostingClassifier(
        n_estimators=config.n_estimators,
        learning_rate=config.learning_rate,
        max_depth=config.max_depth,
        min_samples_split=config.min_samples_split,
        min_impurity_decrease=config.min_impurity_decrease,
        subsample=config.subsample,
        max_features=config.max_features,
        random_state=seed,
    )
    return model.fit(X, code, sample_weight=class_weights(code, config.class_weight_exponent, weight))


def filled(X):
    return np.where(np.isnan(X), np.nanmedian(X, axis=0), X).astype(np.float32)


@pytest.mark.parametrize("names", [["AGN", "KN", "EB", "SNIa", "RRL"], ["AGN", "SNIa"]], ids=["five", "two"])
def test_probabilities_equal_scikit_learn(names, toy, other_toy):
    chosen = np.isin(toy.labels, names)
    X, labels = filled(toy.X)[chosen], toy.labels[chosen]
    ours = SklearnBooster(CONFIG).fit(TrainingRows(X, labels), seed=4)
    theirs = sklearn_model(X, labels, 4)
    rows = filled(other_toy.X)
    np.testing.assert_allclose(ours.predict_proba(rows), theirs.predict_proba(rows), rtol=0, atol=1e-12)


def test_weights_reach_scikit_learn(toy):
    X = filled(toy.X)
    weight = np.random.default_rng(0).uniform(0.1, 2.0, len(X))
    ours = SklearnBooster(CONFIG).fit(TrainingRows(X, toy.labels, weight=weight), seed=4)
    theirs = sklearn_model(X, toy.labels, 4, weight=weight)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=0, atol=1e-12)


def test_missing_values_take_the_training_median(toy, other_toy):
    model = SklearnBooster(CONFIG).fit(toy.rows)
    median = np.nanmedian(toy.X, axis=0)
    by_hand = np.where(np.isnan(other_toy.X), median, other_toy.X).astype(np.float32)
    np.testing.assert_array_equal(model.predict_proba(other_toy.X), model.predict_proba(by_hand))


def test_all_stages_are_kept_without_validation(toy):
    assert SklearnBooster(CONFIG).fit(toy.rows).n_rounds == 10


def test_boosting_stops_where_the_validation_deviance_is_lowest(toy, other_toy):
    config = SklearnBoosterConfig(n_estimators=80, max_depth=4, learning_rate=0.6, patience=4)
    X, rows = filled(toy.X), filled(other_toy.X)
    held = TrainingRows(rows, other_toy.labels)
    model = SklearnBooster(config).fit(TrainingRows(X, toy.labels), held, seed=1)
    whole = sklearn_model(X, toy.labels, 1, config)
    _, code = encode_labels(other_toy.labels)
    losses = [
        -np.log(np.maximum(proba[np.arange(len(code)), code], 1e-16)).mean()
        for proba in whole.staged_predict_proba(rows)
    ]
    assert model.n_rounds < 80
    assert model.n_rounds == int(np.argmin(losses[: model.n_rounds + config.patience])) + 1


def test_no_patience_grows_all_stages(toy, other_toy):
    config = SklearnBoosterConfig(n_estimators=12, max_depth=4, learning_rate=1.0, patience=0)
    assert SklearnBooster(config).fit(toy.rows, other_toy.rows).n_rounds == 12


def test_oversampling_raises_rare_classes(toy, other_toy):
    rare = other_toy.labels == "KN"

    def mean_probability(exponent: float) -> float:
        config = SklearnBoosterConfig(
            n_estimators=10, class_weight_exponent=0.0, oversample_exponent=exponent
        )
        model = SklearnBooster(config).fit(toy.rows, seed=0)
        return float(model.predict_proba(other_toy.X)[~rare, model.classes.index("KN")].mean())

    assert mean_probability(1.0) > mean_probability(0.0)


def test_oversampling_repeats_with_the_seed(toy, other_toy):
    config = SklearnBoosterConfig(n_estimators=4, oversample_exponent=0.7)
    tables = [
        SklearnBooster(config).fit(toy.rows, seed=seed).predict_proba(other_toy.X) for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert not np.array_equal(tables[0], tables[2])


def test_oversampling_copies_no_held_out_object(toy, other_toy):
    config = SklearnBoosterConfig(n_estimators=4, oversample_exponent=1.0)
    names = np.append(other_toy.object_id[:-1], toy.object_id[0])
    held = TrainingRows(other_toy.X, other_toy.labels, object_id=names)
    with pytest.raises(LeakageError):
        SklearnBooster(config).fit(toy.rows, held)
