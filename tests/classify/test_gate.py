"""`GatedClassifier`: the bounds of the gate's answers."""

from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from firstlight.classify import GateConfig, GatedClassifier, LightGBMConfig, TrainingRows
from firstlight.errors import BundleError, DataError
from firstlight.storage import read_json, read_text, write_state
from firstlight.taxonomy import GALACTIC

BOOSTER = LightGBMConfig(rounds=15, learning_rate=0.2, leaves=6)
GATE = GateConfig(booster=BOOSTER)


@pytest.fixture(scope="module")
def gated(toy) -> GatedClassifier:
    return GatedClassifier(BOOSTER, GATE).fit(toy.rows, seed=1)


def galactic_columns(model):
    return np.isin(model.classes, list(GALACTIC))


def probability_galactic(model, X, redshift=None):
    return model.predict_proba(X, redshift)[:, galactic_columns(model)].sum(axis=1)


def test_a_stated_milky_way_object_is_galactic(gated, other_toy):
    proba = gated.predict_proba(other_toy.X, redshift=np.zeros(len(other_toy.X)))
    np.testing.assert_allclose(proba[:, galactic_columns(gated)].sum(axis=1), 1.0 - 1e-3)


def test_a_stated_redshift_is_extragalactic(gated, other_toy):
    proba = gated.predict_proba(other_toy.X, redshift=np.full(len(other_toy.X), 0.3))
    np.testing.assert_allclose(proba[:, galactic_columns(gated)].sum(axis=1), 1e-3)


def test_no_trained_class_is_ever_impossible(gated, other_toy):
    for redshift in (0.0, 0.5, np.nan):
        proba = gated.predict_proba(other_toy.X, redshift=np.full(len(other_toy.X), redshift))
        assert (proba > 0.0).all()


def test_an_unknown_redshift_asks_the_booster(gated, other_toy):
    p_galactic = probability_galactic(gated, other_toy.X)
    truth = np.isin(other_toy.labels, list(GALACTIC))
    assert ((p_galactic > 0.5) == truth).mean() > 0.7
    assert len(np.unique(p_galactic)) > 20


@pytest.mark.parametrize("redshift", [-9.0, -1.0, np.nan])
def test_a_negative_redshift_is_no_statement(redshift, gated, other_toy):
    stated = np.full(len(other_toy.X), redshift)
    np.testing.assert_array_equal(
        gated.predict_proba(other_toy.X, redshift=stated), gated.predict_proba(other_toy.X)
    )


def test_the_mixture_follows_its_docstring(gated, other_toy, folder):
    gated.save(folder)
    X = other_toy.X
    share = lightgbm.Booster(model_str=read_text(folder / "gate.txt.gz")).predict(X)
    galactic = lightgbm.Booster(model_str=read_text(folder / "galactic.txt.gz")).predict(X)
    extragalactic = lightgbm.Booster(model_str=read_text(folder / "extragalactic.txt.gz")).predict(X)
    expected = np.zeros((len(X), 5))
    expected[:, [1, 2]] = share[:, None] * np.column_stack([1 - galactic, galactic])
    expected[:, [0, 3, 4]] = (1 - share)[:, None] * extragalactic
    assert gated.classes == ("AGN", "EB", "RRL", "SNIa", "KN")
    np.testing.assert_allclose(gated.predict_proba(X), expected, rtol=1e-12)


def test_the_unlikely_side_is_shared_by_training_frequency(gated, toy, other_toy):
    proba = gated.predict_proba(other_toy.X[:1], redshift=np.array([0.4]))
    n_eb, n_rrl = np.sum(toy.labels == "EB"), np.sum(toy.labels == "RRL")
    ratio = proba[0, gated.classes.index("EB")] / proba[0, gated.classes.index("RRL")]
    assert ratio == pytest.approx(n_eb / n_rrl)


def test_a_stated_row_costs_one_expert_only(gated, other_toy, monkeypatch):
    asked = []
    expert = type(gated._experts["galactic"])
    original = expert.proba

    def counted(self, X):
        asked.append((self.classes, len(X)))
        return original(self, X)

    monkeypatch.setattr(expert, "proba", counted)
    gated.predict_proba(other_toy.X[:10], redshift=np.array([0.0] * 4 + [0.5] * 5 + [np.nan]))
    assert dict(asked) == {("EB", "RRL"): 5, ("AGN", "SNIa", "KN"): 6}


def test_the_gate_learns_from_hidden_rows_alone(toy):
    # A feature that gives the side away, but only where the redshift is stated.
    X = np.column_stack([toy.X, np.isin(toy.labels, list(GALACTIC))]).astype(np.float32)
    X[np.isnan(toy.redshift), -1] = np.nan
    every = LightGBMConfig(rounds=10, leaves=6, feature_fraction=1.0)  # no draw that the new column moves
    gate = GateConfig(booster=every)
    model = GatedClassifier(every, gate).fit(TrainingRows(X, toy.labels, toy.redshift))
    plain = GatedClassifier(every, gate).fit(toy.rows)
    np.testing.assert_allclose(probability_galactic(model, X), probability_galactic(plain, toy.X), atol=1e-6)


def test_without_hidden_rows_an_unknown_object_gets_the_training_fraction(toy, folder):
    redshift = np.where(np.isin(toy.labels, list(GALACTIC)), 0.0, 0.4)
    model = GatedClassifier(BOOSTER, GATE).fit(TrainingRows(toy.X, toy.labels, redshift))
    fraction = np.isin(toy.labels, list(GALACTIC)).mean()
    np.testing.assert_allclose(probability_galactic(model, toy.X), fraction)
    model.save(folder)
    assert not (folder / "gate.txt.gz").exists()
    np.testing.assert_allclose(probability_galactic(GatedClassifier.load(folder), toy.X), fraction)


def test_contradicted_statements_loosen_the_gate(toy):
    redshift = np.where(np.isin(toy.labels, list(GALACTIC)), 0.0, 0.4)
    wrong = np.flatnonzero(redshift == 0.0)[:10]
    redshift[wrong] = 0.4
    model = GatedClassifier(BOOSTER, GATE).fit(TrainingRows(toy.X, toy.labels, redshift))
    stated = probability_galactic(model, toy.X, np.full(len(toy.X), 0.4))
    np.testing.assert_allclose(stated, 10 / (redshift == 0.4).sum())
    np.testing.assert_allclose(probability_galactic(model, toy.X, np.zeros(len(toy.X))), 1.0 - 1e-3)


@pytest.mark.parametrize("names", [["EB", "RRL"], ["AGN", "SNIa", "KN"]], ids=["galactic", "extragalactic"])
def test_one_group_alone_needs_no_gate(names, toy, folder):
    chosen = np.isin(toy.labels, names)
    model = GatedClassifier(BOOSTER, GATE).fit(toy.rows.take(chosen))
    for redshift in (0.0, 0.5, np.nan):
        proba = model.predict_proba(toy.X, redshift=np.full(len(toy.X), redshift))
        np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    model.save(folder)
    loaded = GatedClassifier.load(folder)
    np.testing.assert_array_equal(loaded.predict_proba(toy.X), model.predict_proba(toy.X))


def test_a_group_of_one_class_needs_no_trees(toy, folder):
    chosen = toy.labels != "RRL"
    model = GatedClassifier(BOOSTER, GATE).fit(toy.rows.take(chosen))
    proba = model.predict_proba(toy.X, redshift=np.zeros(len(toy.X)))
    np.testing.assert_allclose(proba[:, model.classes.index("EB")], 1.0 - 1e-3)
    model.save(folder)
    assert not (folder / "galactic.txt.gz").exists()
    np.testing.assert_array_equal(
        GatedClassifier.load(folder).predict_proba(toy.X), model.predict_proba(toy.X)
    )


def test_copies_of_one_object_do_not_rule_the_gate(toy):
    # One galactic object copied a thousand times, all copies sharing one weight.
    first = np.flatnonzero(toy.labels == "EB")[0]
    X = np.vstack([toy.X, np.repeat(toy.X[first : first + 1], 1000, axis=0)])
    labels = np.concatenate([toy.labels, np.repeat("EB", 1000)])
    groups = np.concatenate([toy.object_id, np.repeat(toy.object_id[first], 1000)])
    weight = np.concatenate([np.ones(len(toy.X)), np.zeros(1000)])
    weight[[first]] = 0.5
    weight[len(toy.X) :] = 0.5 / 1000
    config = LightGBMConfig(rounds=15, learning_rate=0.2, leaves=6, min_data_in_leaf=1, row_fraction=1.0)
    gate = GateConfig(booster=config)
    many = GatedClassifier(config, gate).fit(TrainingRows(X, labels, weight=weight, object_id=groups))
    once = GatedClassifier(config, gate).fit(TrainingRows(toy.X, toy.labels, object_id=toy.object_id))
    difference = probability_galactic(many, toy.X) - probability_galactic(once, toy.X)
    assert abs(difference.mean()) < 0.02


def test_the_galactic_expert_has_its_own_rounds(toy, folder):
    gate = GateConfig(booster=BOOSTER, galactic_rounds=4)
    GatedClassifier(BOOSTER, gate).fit(toy.rows).save(folder)
    rounds = {
        name: lightgbm.Booster(model_str=read_text(folder / f"{name}.txt.gz")).current_iteration()
        for name in ("galactic", "extragalactic")
    }
    assert rounds == {"galactic": 4, "extragalactic": 15}


def test_early_stopping_reaches_every_booster(toy, other_toy, folder):
    booster = LightGBMConfig(rounds=200, learning_rate=0.5, leaves=8, patience=3)
    GatedClassifier(booster, GateConfig(booster=booster, galactic_rounds=200)).fit(
        toy.rows, other_toy.rows
    ).save(folder)
    for name in ("galactic", "extragalactic", "gate"):
        text = read_text(folder / f"{name}.txt.gz")
        assert lightgbm.Booster(model_str=text).current_iteration() < 150


def test_validation_without_one_group_is_survived(toy, other_toy):
    booster = LightGBMConfig(rounds=10, leaves=6, patience=3)
    stated = other_toy.redshift > 0.0
    held = other_toy.rows.take(stated)
    model = GatedClassifier(booster, GateConfig(booster=booster)).fit(toy.rows, held)
    assert np.isfinite(model.predict_proba(toy.X)).all()


def test_redshifts_of_another_length_are_an_error(gated, toy):
    with pytest.raises(DataError, match="redshift"):
        gated.predict_proba(toy.X, redshift=np.zeros(3))


def test_a_group_without_weight_is_an_error(toy):
    weight = np.where(np.isin(toy.labels, list(GALACTIC)), 0.0, 1.0)
    with pytest.raises(DataError, match="weigh 0"):
        GatedClassifier(BOOSTER, GATE).fit(TrainingRows(toy.X, toy.labels, toy.redshift, weight))


def test_experts_of_other_classes_are_a_bundle_error(gated, folder):
    gated.save(folder)
    state = read_json(folder / "classifier.json")
    write_state(folder / "classifier.json", state | {"classes": ["AGN", "EB"]})
    with pytest.raises(BundleError, match="experts"):
        GatedClassifier.load(folder)


@pytest.fixture(scope="module")
def doubting(toy) -> GatedClassifier:
    rng = np.random.default_rng(3)
    stated = np.where(np.isin(toy.rows.labels, list(GALACTIC)), 0.0, 0.4)
    wrong = rng.random(len(stated)) < 0.1
    redshift = np.where(wrong, 0.4 - stated, stated)
    rows = TrainingRows(toy.rows.X, toy.rows.labels, redshift, toy.rows.weight, toy.rows.object_id)
    return GatedClassifier(BOOSTER, replace(GATE, doubts=True)).fit(rows, seed=1)


@pytest.mark.parametrize("redshift", [0.0, 0.4])
def test_a_doubting_gate_weighs_a_statement_against_the_rest(redshift, doubting, gated, other_toy):
    stated = np.full(len(other_toy.X), redshift)
    against = np.isin(other_toy.labels, list(GALACTIC)) != (redshift == 0.0)
    doubt, belief = (probability_galactic(model, other_toy.X, stated) for model in (doubting, gated))
    right = 1.0 - redshift / 0.4  # the stated side
    assert np.all(abs(belief - right) < 2e-3)
    assert np.mean(abs(doubt[against] - right) > 0.5) > 0.6


def test_a_doubting_gate_is_saved_and_a_row_has_the_same_bits_alone(doubting, other_toy, folder):
    doubting.save(folder)
    loaded = GatedClassifier.load(folder)
    X, stated = other_toy.X[:20], np.zeros(20)
    whole = loaded.predict_proba(X, stated)
    np.testing.assert_array_equal(whole, doubting.predict_proba(X, stated))
    alone = [loaded.predict_proba(X[i : i + 1], stated[:1])[0] for i in range(20)]
    np.testing.assert_array_equal(whole, alone)


def test_a_gate_that_doubts_without_trees_is_refused(doubting, folder):
    doubting.save(folder)
    state = read_json(folder / "classifier.json")
    state["gate"]["booster"] = False
    write_state(folder / "classifier.json", state)
    with pytest.raises(BundleError, match="no trees"):
        GatedClassifier.load(folder)
