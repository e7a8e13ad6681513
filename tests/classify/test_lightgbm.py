"""`LightGBMBooster` against LightGBM itself."""

import lightgbm
import numpy as np
import pytest

from firstlight.classify import LightGBMBooster, LightGBMConfig
from firstlight.classify.lightgbm import grow_lightgbm
from firstlight.errors import BundleError
from firstlight.storage import read_json, write_state
from firstlight.taxonomy import CLASSES

QUICK = LightGBMConfig(rounds=15, learning_rate=0.2, leaves=6)


def test_probabilities_equal_lightgbm(toy, other_toy):
    model = LightGBMBooster(QUICK).fit(toy.rows, seed=2)
    theirs = lightgbm.Booster(model_str=model.text).predict(other_toy.X)
    np.testing.assert_allclose(model.predict_proba(other_toy.X), theirs, rtol=1e-13, atol=1e-15)


def test_two_classes_share_one_tree_a_round(toy):
    two = np.isin(toy.labels, ["AGN", "SNIa"])
    model = LightGBMBooster(QUICK).fit(toy.rows.take(two))
    theirs = lightgbm.Booster(model_str=model.text).predict(toy.X[two])
    np.testing.assert_allclose(model.predict_proba(toy.X[two])[:, 1], theirs, rtol=1e-13)
    assert model.n_rounds == 15


def test_all_rounds_are_grown_without_patience(toy, other_toy):
    assert LightGBMBooster(QUICK).fit(toy.rows, other_toy.rows).n_rounds == 15


def test_patience_stops_before_the_loss_rises(toy, other_toy):
    config = LightGBMConfig(rounds=300, learning_rate=0.5, leaves=15, patience=5)
    model = LightGBMBooster(config).fit(toy.rows, other_toy.rows)
    assert 1 <= model.n_rounds < 100

    def loss(n_rounds: int) -> float:
        booster = LightGBMBooster(LightGBMConfig(rounds=n_rounds, learning_rate=0.5, leaves=15))
        proba = booster.fit(toy.rows).predict_proba(other_toy.X)
        column = np.array([booster.classes.index(name) for name in other_toy.labels])
        return -float(np.log(proba[np.arange(len(proba)), column]).mean())

    best = loss(model.n_rounds)
    assert best <= loss(model.n_rounds + 3)
    assert best <= loss(max(model.n_rounds - 3, 1))


def test_the_trees_do_not_depend_on_threads(toy):
    rows = toy.rows.coded(("AGN", "SNIa"))
    texts = [grow_lightgbm(rows, None, QUICK, seed=1, jobs=jobs) for jobs in (1, 2)]
    assert texts[0].replace("[num_threads: 1]", "") == texts[1].replace("[num_threads: 2]", "")


def test_another_seed_gives_other_trees(toy):
    texts = {LightGBMBooster(QUICK).fit(toy.rows, seed=seed).text for seed in (0, 1)}
    assert len(texts) == 2


def test_class_weights_raise_rare_classes(toy, other_toy):
    rare = other_toy.labels == "KN"

    def mean_probability(exponent: float) -> float:
        config = LightGBMConfig(rounds=15, learning_rate=0.2, leaves=6, class_weight_exponent=exponent)
        model = LightGBMBooster(config).fit(toy.rows)
        return float(model.predict_proba(other_toy.X)[~rare, model.classes.index("KN")].mean())

    assert mean_probability(1.0) > mean_probability(0.0)


def test_the_text_lightgbm_reads_needs_no_training_data(toy):
    model = LightGBMBooster(QUICK).fit(toy.rows)
    assert "leaf_weight" not in model.text
    assert lightgbm.Booster(model_str=model.text).num_feature() == toy.X.shape[1]


def test_classes_that_do_not_fit_the_trees_are_a_bundle_error(toy, folder):
    LightGBMBooster(QUICK).fit(toy.rows).save(folder)
    state = read_json(folder / "classifier.json")
    write_state(folder / "classifier.json", state | {"classes": list(CLASSES[:3])})
    with pytest.raises(BundleError, match="3 classes"):
        LightGBMBooster.load(folder)
