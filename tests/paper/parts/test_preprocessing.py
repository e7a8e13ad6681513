import json
from dataclasses import replace

import numpy as np
import pytest

from firstlight.preprocess import keep_mask, preprocess
from firstlight_paper.figure_1 import FIGURE_1_CLASSES
from firstlight_paper.parts import preprocessing
from firstlight_paper.parts.preprocessing import CLEANINGS, PART, REFERENCE, VARIANTS
from firstlight_paper.parts.preprocessing_plots import SHOWN
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, plain


@pytest.fixture
def trained(monkeypatch):
    """Training without an encoder: latents that are a few moments; what was trained on is noted."""
    seen = []

    def train(bench, item, report, folder=None):
        curves = preprocess(bench.objects.curves, item.config.preprocess)
        seen.append((item, curves))
        latent = np.zeros((len(curves), 6), dtype=np.float32)
        np.maximum.at(latent[:, 0], curves.object_index, np.arcsinh(curves.flux / 100.0))
        latent[:, 1] = np.nan_to_num(curves.redshift)
        return latent, ()

    def proba(objects, latent, k, seed=0):
        score = latent[objects.folds[k].test, :1] / 10.0 + np.arange(17) / 17.0
        return np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)

    monkeypatch.setattr(preprocessing, "train_autoencoder", train)
    monkeypatch.setattr(preprocessing, "fold_proba", proba)
    return seen


@pytest.fixture
def workshop(tiny_bench, tmp_path):
    return Workshop(replace(tiny_bench, folder=tmp_path))


def test_each_cut_is_switched_on_alone(sample):
    kept = {name: keep_mask(sample, config) for name, config in CLEANINGS.items()}
    assert kept["none"].all()
    assert not kept["cut"].all()  # a 7-sigma outlier exists in the sample
    assert not (kept["both"] & ~kept["cut"]).any()
    assert (kept["clip"] != kept["cut"]).any()
    untouched = np.ones(len(sample), dtype=bool)
    untouched[sample.object_index[~kept["cut"]]] = False
    rows = untouched[sample.object_index]
    np.testing.assert_array_equal(kept["clip"][rows], kept["both"][rows])


def test_clipping_alone_spares_a_band_observed_once(sample):
    one = sample.keep(np.r_[True, np.diff(sample.object_index) > 0])
    assert one.n_obs.tolist() == [1] * len(sample)
    assert keep_mask(one, CLEANINGS["clip"]).all()


def test_the_page_is_drawn_from_json_alone(workshop, trained):
    result = json.loads(json.dumps(plain(PART.measure(workshop)), allow_nan=False))
    assert len(json.dumps(result)) < 150_000
    assert result["printed"] is None
    assert result["leak"] is None
    assert set(result["honest"]) == set(VARIANTS)
    section = PART.show(result)
    names = [block.name for block in section.blocks if isinstance(block, Picture)]
    assert len(names) == len(set(names)) >= 4
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    assert {row[0] for row in tables[1].rows} == {SHOWN[name] for name in VARIANTS}
    share = result["removed"]["both"]["all"]["positive_signal"]
    assert f"{100 * share:.0f} % of the signal" in section.blocks[-1]
    assert section.blocks[0] == result["protocol"]


def test_a_finished_measurement_trains_nothing_again(workshop, trained):
    first = PART.measure(workshop)
    n_trained = len(trained)
    assert n_trained == 2 * len(VARIANTS)
    assert PART.measure(workshop) == first
    assert len(trained) == n_trained


def test_variants_differ_in_preprocessing_and_in_what_is_told_of_distance(workshop, trained):
    PART.measure(workshop)
    items = {}
    for item, curves in trained:
        items.setdefault((item.config.preprocess, bool(np.isnan(curves.redshift).all())), item)
    assert len(items) == len(VARIANTS)
    assert len({item.config.encoder for item in items.values()}) == 1
    assert sum(hidden for _, hidden in items) == 1


def test_the_reference_differs_from_itself_by_nothing(workshop, trained):
    row = PART.measure(workshop)["skill"][REFERENCE]
    assert row["difference"]["accuracy"]["folds"] == [0.0, 0.0]
    assert row["sixteen"]["n_objects"] > row["real"]["n_objects"]


def test_hiding_redshifts_leaves_objects_and_folds_as_they_are(tiny_bench):
    hidden = preprocessing._NoDistance(**vars(tiny_bench)).objects
    seen = tiny_bench.objects
    assert np.isnan(hidden.curves.redshift).all()
    assert hidden.folds is seen.folds
    np.testing.assert_array_equal(hidden.curves.flux, seen.curves.flux)


def test_a_real_trial_scores_the_objects_of_its_fold(tiny_bench):
    config = preprocessing.seed_config(tiny_bench)
    trial = preprocessing.Trial(fold=1, config=config, distance=False, seed=0)
    result = preprocessing._trial(tiny_bench, trial, lambda *_: None)
    assert result["sixteen"]["n_objects"] == len(tiny_bench.objects.folds[1].test)
    assert 0.0 < result["sixteen"]["macro_auc"] < 1.0


def test_examples_are_typical_of_those_that_lose_their_peak(workshop, trained):
    result = plain(PART.measure(workshop))
    assert [row["class"] for row in result["figure_1"]] == list(FIGURE_1_CLASSES)
    for example in result["examples"]:
        flux, flux_err = np.array(example["flux"]), np.array(example["flux_err"])
        significant = flux > 10.0 * flux_err
        brightest = int(np.argmax(np.where(significant, flux, -np.inf)))
        assert significant[brightest]
        assert example["days"][brightest] == 0.0
        assert not example["kept"]["both"][brightest]
        assert len(example["days"]) <= 200
