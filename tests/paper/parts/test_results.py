"""Rows are dealt as named, rates and correlations are right, figures 2 and 3 show the real network."""

import re
from collections import Counter
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from firstlight.pipeline import load_preset
from firstlight_paper import pattern
from firstlight_paper.parts.architecture import gru_differences, layer_sizes, network
from firstlight_paper.parts.imbalance import rare_classes, rates
from firstlight_paper.parts.new_survey import Amount, estimate_mix, remix, split_survey, survey_of, to_three
from firstlight_paper.parts.per_class import deal, stopping_rows
from firstlight_paper.parts.simulated import distance, nearest
from firstlight_paper.parts.table_1 import difference_error, saturation
from firstlight_paper.parts.training import SteadyRate, limit, stop
from firstlight_paper.pattern import correlation_difference, implied, rank_correlation
from firstlight_paper.printed import PRINTED, PRINTED_F1

# --- ways to deal rows ------------------------------------------------------------


@given(st.sampled_from(["objects", "training"]), st.integers(0, 1), st.integers(0, 2**32 - 1))
def test_rows_split_by_object_share_none(tiny_objects, arm, fold, seed):
    train, tests = deal(tiny_objects, arm, fold, np.random.default_rng(seed))
    held = set(tiny_objects.folds[fold].test.tolist())
    assert not held & set(train.tolist())
    assert all(set(test.tolist()) == held for test in tests.values())


def test_without_copies_every_object_is_one_row_and_with_them_both_sides_are_balanced(tiny_objects):
    train, tests = deal(tiny_objects, "rows", 0, np.random.default_rng(0))
    assert sorted([*train.tolist(), *tests["rows"].tolist()]) == list(range(len(tiny_objects)))
    train, tests = deal(tiny_objects, "training", 0, np.random.default_rng(0))
    for rows in (train, tests["either"]):
        assert len(set(Counter(tiny_objects.labels[rows].tolist()).values())) == 1


def test_copies_before_the_split_put_objects_on_both_sides(tiny_objects):
    train, tests = deal(tiny_objects, "leak", 0, np.random.default_rng(0), most=300)
    assert np.isin(tests["leak"], train).mean() > 0.3
    assert len(train) + len(tests["leak"]) == 300


@pytest.mark.parametrize("arm", ["objects", "training", "rows"])
def test_rows_that_stop_the_boosting_are_neither_trained_nor_tested_on(tiny_objects, arm):
    rng = np.random.default_rng(1)
    train, tests = deal(tiny_objects, arm, 0, rng)
    stopping = stopping_rows(tiny_objects, arm, 0, train, rng)
    assert 0.0 < stopping.mean() < 0.5
    for others in (train[~stopping], *tests.values()):
        assert not np.isin(train[stopping], others).any()


# --- imbalance --------------------------------------------------------------------


def test_rates_of_a_matrix_worked_by_hand():
    found = rates([[6, 2], [1, 1]])
    np.testing.assert_allclose(found["recall"], [0.75, 0.5])
    np.testing.assert_allclose(found["precision"], [6 / 7, 1 / 3])
    np.testing.assert_allclose(found["false"], [100.0, 200.0])
    assert found["accuracy"] == pytest.approx(0.7)


def test_other_frequencies_move_precision_and_leave_recall():
    moved = rates([[6, 2], [1, 1]], np.array([0.99, 0.01]))
    np.testing.assert_allclose(moved["recall"], [0.75, 0.5])
    np.testing.assert_allclose(moved["precision"][1], 0.005 / (0.005 + 0.99 * 0.25))


def test_rare_classes_are_those_below_the_share_or_the_smallest():
    assert rare_classes({"SNIa": 980, "TDE": 20, "KN": 0}) == ["TDE"]
    assert rare_classes({"SNIa": 50, "TDE": 40}) == ["TDE"]


# --- the printed pattern ----------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def few_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pattern, "N_PERMUTATIONS", 500)
        patch.setattr(pattern, "N_RESAMPLINGS", 200)
        yield


@given(st.lists(st.integers(0, 20), min_size=4, max_size=16, unique=True), st.integers(0, 1000))
def test_correlation_is_that_of_scipy(values, seed):
    x, y = np.array(values, float), np.random.default_rng(seed).integers(0, 5, len(values)).astype(float)
    found = rank_correlation(x, y, np.random.default_rng(0))
    if np.ptp(y) == 0.0:
        assert np.isnan(found.rho)
    else:
        assert found.rho == pytest.approx(spearmanr(x, y).statistic)
        assert found.low <= found.high
        assert 0.0 < found.p <= 1.0


def test_a_closer_order_exceeds_the_other():
    printed = np.array(list(PRINTED_F1.values()))
    found = correlation_difference(printed, printed, -printed, np.random.default_rng(0))
    assert found["difference"] == pytest.approx(2.0)
    assert found["low"] > 0.0


def test_printed_recalls_give_the_printed_accuracy_only_if_classes_are_alike():
    found = implied({name: 10 * (k + 1) for k, name in enumerate(PRINTED_F1)})
    assert found["balanced"][0] == pytest.approx(PRINTED["accuracy"], abs=0.005)
    assert found["section_2"][0] <= found["section_2_most"] < 0.71
    assert found["predicted_most"] < 1.0
    assert 2 / 16 < found["common_most"] < 0.3
    alike = implied(dict.fromkeys(PRINTED_F1, 7))
    assert alike["objects"] == pytest.approx(alike["balanced"])


# --- latents and training ---------------------------------------------------------


def test_the_error_of_a_difference_is_that_of_independent_noise():
    noise = np.random.default_rng(0).normal(0.0, 0.01, size=(4000, 2))
    assert difference_error(noise + np.array([0.0, 0.3])) == pytest.approx(0.01, rel=0.05)
    assert np.isnan(difference_error(noise[:, :1]))


def test_saturation_is_the_fewest_latents_near_the_best():
    assert saturation([1, 4, 6, 9], [0.3, 0.59, 0.6, 0.605], 0.01) == 4
    assert saturation([1, 4, 6, 9], [0.3, 0.59, 0.6, 0.605], float("nan")) == 9


@given(losses=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30), patience=st.integers(1, 10))
def test_more_patience_never_stops_sooner_nor_keeps_a_worse_loss(losses, patience):
    history = [{"validation_loss": loss} for loss in losses]
    soon, late = stop(history, patience), stop(history, patience + 1)
    assert soon <= late <= len(losses)
    assert min(losses[:late]) <= min(losses[:soon])


def test_the_limit_holds_a_further_seed_19_times_of_20():
    values = np.random.default_rng(0).normal(size=(4000, 4))
    inside = [abs(row[3] - row[:3].mean()) < limit(row[:3]) for row in values]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
    assert SteadyRate(epochs=9).rate_at(0) == SteadyRate(epochs=9).rate_at(8)


# --- architecture -----------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("torch")
    return network(load_preset("seed").encoder.vae)


def test_the_drawn_network_has_the_layer_sizes_of_the_real_one(model):
    drawn = (resources.files("firstlight_paper") / "figures" / "figure-2.svg").read_text(encoding="utf-8")
    sizes = {int(text.replace(",", "")) for text in re.findall(r"([\d,]+) parameters", drawn)}
    assert sizes == set(layer_sizes(model).values())
    cell = (resources.files("firstlight_paper") / "figures" / "figure-3.svg").read_text(encoding="utf-8")
    hidden, inputs = model.encoder.hidden_size, model.encoder.input_size
    assert f"{hidden} \N{MULTIPLICATION SIGN} {inputs}" in cell


def test_a_step_of_the_gru_is_the_papers_once_conventions_are_translated(model):
    found = gru_differences(model.decoder, np.random.default_rng(0))
    assert max(found["same_convention"]) < 1e-12
    assert min(found["reset_before"]) > 1e-3
    assert min(found["z_not_swapped"]) > 1e-1


# --- simulated classes and a new survey -------------------------------------------


def test_equal_calls_have_no_distance_and_no_object_is_chosen_twice(sample):
    assert distance(np.array([3, 1]), np.array([6, 2])) == 0.0
    assert distance(np.array([4, 0]), np.array([0, 4])) == 1.0
    some = sample.take(np.arange(6))
    assert sorted(nearest(some, some).tolist()) == list(range(6))


@given(st.integers(0, 500))
def test_the_mix_of_unlabelled_objects_is_found(seed):
    rng = np.random.default_rng(seed)
    mix = rng.dirichlet(np.full(3, 5.0))
    truth = rng.choice(3, 4000, p=mix)
    likelihood = np.exp(rng.normal(0.0, 1.0, (4000, 3)) + 4.0 * np.eye(3)[truth])
    even = np.full(3, 1 / 3)
    found = estimate_mix(likelihood / likelihood.sum(axis=1, keepdims=True), even)
    assert found == pytest.approx(mix, abs=0.12)
    assert remix(np.full((1, 3), 1 / 3), even, mix)[0] == pytest.approx(mix)


def test_nothing_that_is_tested_on_is_learnt_from(snpcc_folder):
    survey, n_rejected = survey_of(snpcc_folder)
    parts = split_survey(survey, Amount(n_test=24, n_random=40, draws=2), np.random.default_rng(0))
    assert n_rejected == 0
    assert not survey.spectroscopic[parts.test].any()
    used = np.concatenate([parts.test, *parts.random, parts.spectroscopic])
    assert len(np.unique(used)) == len(used)
    assert to_three(np.full((2, 17), 1 / 17)) == pytest.approx(1 / 3)
