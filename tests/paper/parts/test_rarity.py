"""Classes are thinned in training alone; only the column that says so is trained on what it is tested on."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.classify import LightGBMConfig
from firstlight_paper import shared
from firstlight_paper.inputs import make_inputs
from firstlight_paper.parts import rarity
from firstlight_paper.parts.rarity import THINNED, Thin, thinned
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, plain

SMALL = LightGBMConfig(rounds=3, learning_rate=0.3, max_bin=15)


def _labels(seed):
    return np.random.default_rng(seed).choice(["SNIa", "AGN", *THINNED], 200)


@given(seed=st.integers(0, 100), size=st.integers(1, 60))
def test_thinned_classes_keep_what_is_wanted_and_others_everything(seed, size):
    labels = _labels(seed)
    rows = np.arange(0, 200, 2)
    kept = thinned(labels, rows, size, np.random.default_rng(seed))
    assert np.isin(kept, rows).all()
    for name in np.unique(labels):
        there = np.sum(labels[rows] == name)
        assert np.sum(labels[kept] == name) == (min(there, size) if name in THINNED else there)


@given(seed=st.integers(0, 100), size=st.integers(1, 20))
def test_a_smaller_set_is_part_of_a_larger_one(seed, size):
    labels, rows = _labels(seed), np.arange(200)
    small, large = (thinned(labels, rows, n, np.random.default_rng(seed)) for n in (size, size + 5))
    assert np.isin(small, large).all()


@pytest.fixture(scope="module")
def result(own_bench):
    patch = pytest.MonkeyPatch()
    patch.setattr(rarity, "SIZES", (5, 10, None))
    patch.setattr(rarity, "LEAKY_SIZES", (5, None))
    patch.setattr(rarity, "_LEAKY_ROWS", 300)
    patch.setattr(rarity.Thin, "__init__", _with_config(rarity.Thin.__init__))
    yield json.loads(json.dumps(plain(rarity.measure(Workshop(own_bench))), allow_nan=False))
    patch.undo()


def _with_config(init):
    def short(self, fold, size, weights, leaky=False, config=SMALL, **others):
        init(self, fold, size, weights, leaky, config, **others)

    return short


def test_all_test_objects_of_a_class_are_kept_however_few_it_is_learnt_from(result, own_bench):
    labels = own_bench.objects.labels
    for steps in result["honest"].values():
        for step in steps:
            for name in THINNED:
                assert step["classes"][name]["n_test"] == np.sum(labels == name)
        assert steps[0]["classes"]["TDE"]["n_train"] == min(5, np.sum(labels == "TDE") / 2)


@pytest.mark.parametrize("leaky", [False, True])
def test_test_objects_are_trained_on_by_the_leaky_protocol_alone(own_bench, monkeypatch, leaky):
    make_inputs(Workshop(own_bench))
    monkeypatch.setattr(rarity, "_LEAKY_ROWS", 300)
    seen = {}

    def listen(objects, X, train, test, item, seed):
        seen.update(train=train, test=test)
        return {}

    monkeypatch.setattr(rarity, "_scores", listen)
    found = rarity._learn(own_bench, Thin(0, 5, False, leaky, SMALL), lambda *_: None)
    assert np.isin(seen["test"], seen["train"]).any() == leaky
    assert found["shared"] == pytest.approx(np.isin(seen["test"], seen["train"]).mean())


def test_no_input_is_read_that_labels_of_a_whole_class_went_into(own_bench):
    make_inputs(Workshop(own_bench))
    names = shared.pipeline_of(own_bench, 0).input_names
    read = rarity.label_free_inputs(own_bench, Thin(0, 5, False))
    assert 0 < read.shape[1] == sum(not name.startswith("template_") for name in names) < len(names)
    without_latents = rarity.label_free_inputs(own_bench, Thin(0, 5, False, without="latent_"))
    assert without_latents.shape[1] == sum(not name.startswith("latent_") for name in names) < len(names)


def test_false_positives_are_counted_among_real_objects_of_other_classes(tiny_objects):
    from firstlight.taxonomy import CLASSES

    test = np.arange(len(tiny_objects))
    proba = np.zeros((len(test), len(CLASSES)))
    proba[:, CLASSES.index("TDE")] = 1.0
    real = ~tiny_objects.simulated
    others = np.mean(tiny_objects.labels[real] != "TDE")
    assert rarity._false_positives(tiny_objects, proba, test, "TDE") == pytest.approx(1000.0 * others)


def test_what_is_at_hand_is_not_computed_again(result, own_bench, monkeypatch):
    def never(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(rarity, "_learn", never)
    assert plain(rarity.measure(Workshop(own_bench))) == result


def test_the_section_is_drawn_from_json_alone(result):
    section = rarity.show(result)
    assert [block.name for block in section.blocks if isinstance(block, Picture)] == ["rarity"]
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert {row[0] for row in table.rows} == set(THINNED)
    assert {len(row) for row in table.rows} == {len(table.columns)}
