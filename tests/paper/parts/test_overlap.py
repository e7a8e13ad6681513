"""Confused pairs are counted right, spectra help those that get one, nothing of a fold's test is learnt."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.classify import LightGBMConfig
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.parts import overlap
from firstlight_paper.parts.overlap import NAMED, ask_for_spectra, share_needed
from firstlight_paper.section import Picture, Table
from firstlight_paper.shared import said_of
from firstlight_paper.workshop import Workshop, plain


def _forecasts(seed, n=60, n_classes=4):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.ones(n_classes), n)
    return rng.integers(0, n_classes, n), proba, rng.permutation(n)


@given(seed=st.integers(0, 200), share=st.floats(0.0, 0.9), more=st.floats(0.0, 0.1))
def test_more_spectra_never_lower_the_accuracy(seed, share, more):
    truth, proba, order = _forecasts(seed)
    assert (
        ask_for_spectra(truth, proba, order, share + more)[0]
        >= ask_for_spectra(truth, proba, order, share)[0]
    )


@given(seed=st.integers(0, 200))
def test_no_spectrum_leaves_the_forecast_and_one_for_each_ends_all_errors(seed):
    truth, proba, order = _forecasts(seed)
    accuracy, _ = ask_for_spectra(truth, proba, order, 0.0)
    assert accuracy == pytest.approx(np.mean(proba.argmax(axis=1) == truth))
    assert ask_for_spectra(truth, proba, order, 1.0) == (1.0, 1.0)


def test_serving_the_wrong_ones_first_needs_as_many_spectra_as_there_are_errors():
    truth, proba, _ = _forecasts(0)
    right = proba.argmax(axis=1) == truth
    wrong_first = np.argsort(right, kind="stable")
    assert ask_for_spectra(truth, proba, wrong_first, np.mean(~right))[0] == 1.0


def test_the_share_that_reaches_a_score_lies_between_the_steps():
    values = [{"mean": value} for value in (0.8, 0.9, 1.0)]
    assert share_needed((0.0, 0.2, 0.4), values, 0.85) == pytest.approx(0.1)
    assert np.isnan(share_needed((0.0, 0.2), values[:2], 0.95))


def test_a_pair_is_told_apart_whatever_the_other_classes_get():
    names = ("SNIa", "SNIax")
    a, b = (PAPER_CLASSES.index(name) for name in names)
    proba = np.full((4, len(PAPER_CLASSES)), 1e-3)
    proba[:, a], proba[:, b] = (0.4, 0.1, 0.02, 0.3), (0.2, 0.2, 0.04, 0.1)
    labels = np.array(["SNIa", "SNIax", "SNIax", "SNIa"])
    assert overlap._pair_auc(labels, proba)["/".join(names)] == 1.0


@pytest.fixture(scope="module")
def result(own_bench):
    small = LightGBMConfig(rounds=5, learning_rate=0.2, max_bin=15)
    patch = pytest.MonkeyPatch()
    patch.setattr(overlap.Retrained, "__init__", _with_config(overlap.Retrained.__init__, small))
    yield json.loads(json.dumps(plain(overlap.measure(Workshop(own_bench))), allow_nan=False))
    patch.undo()


def _with_config(init, config):
    def short(self, fold, mode, given=config):
        init(self, fold, mode, given)

    return short


def test_the_pairs_shares_are_counted_from_the_predictions_of_unseen_objects(result, own_bench):
    objects, said = own_bench.objects, said_of(own_bench)
    columns = [said.classes.index(name) for name in PAPER_CLASSES]
    called = np.array(PAPER_CLASSES)[said.proba[:, columns].argmax(axis=1)]
    first = result["honest"]["pairs"][0]
    a, b = first["pair"]
    assert first["first_as_second"]["n"] == np.sum((objects.labels == a) & (called == b))
    assert first["second_as_first"]["n"] == np.sum((objects.labels == b) & (called == a))
    assert first["first_as_second"]["of"] == np.sum(objects.labels == a)


def test_pairs_are_ranked_by_their_errors_and_those_of_the_paper_are_among_them(result):
    pairs = result["honest"]["pairs"]
    errors = [row["first_as_second"]["n"] + row["second_as_first"]["n"] for row in pairs]
    assert errors == sorted(errors, reverse=True)
    assert {tuple(row["pair"]) for row in pairs} >= set(NAMED)


def test_hidden_redshifts_are_hidden_and_spectroscopic_ones_shown(own_bench, monkeypatch):
    seen = {}

    class Listening:
        def predict(self, curves, jobs):
            seen["redshift"] = curves.redshift
            return said_of(own_bench).take(own_bench.objects.folds[0].test)

    monkeypatch.setattr(overlap, "pipeline_of", lambda *_: Listening())
    test = own_bench.objects.curves.take(own_bench.objects.folds[0].test)
    overlap._ask(own_bench, overlap.Ask(0, "none", 8.0), lambda *_: None)
    assert np.isnan(seen["redshift"]).all()
    overlap._ask(own_bench, overlap.Ask(0, "spec", 8.0), lambda *_: None)
    np.testing.assert_array_equal(seen["redshift"], test.redshift_spec)


def test_the_retrained_booster_sees_learning_objects_alone(own_bench, monkeypatch):
    rows = {}

    class Booster(overlap.LightGBMBooster):
        def fit(self, X, labels, *, groups, **settings):
            rows["names"] = groups
            return super().fit(X, labels, groups=groups, **settings)

    monkeypatch.setattr(overlap, "LightGBMBooster", Booster)
    small = LightGBMConfig(rounds=2, max_bin=15)
    overlap._retrain(own_bench, overlap.Retrained(1, "spec", small), lambda *_: None)
    objects = own_bench.objects
    assert not np.isin(rows["names"], objects.curves.object_id[objects.folds[1].test]).any()
    assert len(rows["names"]) == len(objects) - len(objects.folds[1].test)


def test_the_section_is_drawn_from_json_alone(result):
    section = overlap.show(result)
    names = [block.name for block in section.blocks if isinstance(block, Picture)]
    assert names == ["overlap-pairs", "overlap-help"]
    for table in (block for block in section.blocks if isinstance(block, Table)):
        assert {len(row) for row in table.rows} == {len(table.columns)}
    assert not any("nan" in block for block in section.blocks if isinstance(block, str))
