"""Light curves are degraded as stated, classes are thinned in training only, growth is measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.bands import BANDS
from firstlight.classify import LightGBMBooster, LightGBMConfig, TrainingRows
from firstlight.classify.forest import softmax
from firstlight.classify.lightgbm_text import read_forest
from firstlight.simulate.augment import detection_probability
from firstlight_paper.parts.cost import growth, pruned, quantised
from firstlight_paper.parts.gaps import bands, block, dropped
from firstlight_paper.parts.noise import degrade, peak_snr
from firstlight_paper.parts.overlap import with_spectra
from firstlight_paper.parts.rarity import THINNED, label_free_inputs, thinned

# --- noise ------------------------------------------------------------------------


def _alike(curves, flux, flux_err):
    n = len(curves.mjd)
    values = {"flux": np.full(n, flux, np.float32), "flux_err": np.full(n, flux_err, np.float32)}
    return curves.with_columns(**values, detected=np.ones(n, bool))


def test_noise_has_the_variance_that_is_missing(sample):
    noisy = degrade(_alike(sample, 100.0, 2.0), 0.25, np.random.default_rng(0), detection_probability(sample))
    # the light curve had no scatter, so that its present scatter is the noise that was added
    assert noisy.flux.std() == pytest.approx(np.sqrt(8.0**2 - 2.0**2), rel=0.02)
    assert noisy.flux_err == pytest.approx(8.0)


@given(ratio=st.floats(0.05, 0.99), seed=st.integers(0, 100))
def test_times_and_objects_stay_and_errors_grow_as_the_ratio_falls(sample, ratio, seed):
    noisy = degrade(sample, ratio, np.random.default_rng(seed), detection_probability(sample))
    assert np.array_equal(noisy.mjd, sample.mjd)
    np.testing.assert_allclose(noisy.flux_err * ratio, sample.flux_err, rtol=1e-5)


def test_errors_that_are_not_enlarged_go_with_the_same_fluxes_and_detections(sample):
    chance = detection_probability(sample)
    stated = degrade(sample, 0.4, np.random.default_rng(3), chance)
    unstated = degrade(sample, 0.4, np.random.default_rng(3), chance, stated=False)
    assert np.array_equal(stated.flux, unstated.flux)
    assert np.array_equal(stated.detected, unstated.detected)
    assert np.array_equal(unstated.flux_err, sample.flux_err)


def test_faint_observations_lose_their_detection_and_bright_ones_keep_it(sample):
    chance = detection_probability(sample)
    assert degrade(_alike(sample, 6.0, 1.0), 0.2, np.random.default_rng(0), chance).detected.mean() < 0.2
    assert degrade(_alike(sample, 600.0, 1.0), 0.2, np.random.default_rng(0), chance).detected.all()
    assert not peak_snr(sample.with_columns(detected=np.zeros(len(sample.mjd), bool))).any()


# --- gaps -------------------------------------------------------------------------


def test_a_gap_removes_only_the_observations_that_it_names(sample):
    rng = np.random.default_rng(0)
    assert len(dropped(sample, rng, share=0.3).mjd) == pytest.approx(0.7 * len(sample.mjd), rel=0.05)
    phase = block(sample, rng, days=40.0).phase
    assert not ((phase > 0.5) & (phase <= 40.5)).any()
    kept = bands(sample, rng, kept="gri")
    assert set(np.unique(kept.band)) == {BANDS.index(name) for name in "gri"}
    assert len(kept) == len(sample)


# --- rare classes -----------------------------------------------------------------


def _labels(seed):
    return np.random.default_rng(seed).choice(["SNIa", "AGN", *THINNED], 200)


@given(seed=st.integers(0, 100), size=st.integers(1, 60))
def test_thinned_classes_keep_the_wanted_number_and_others_everything(seed, size):
    labels, rows = _labels(seed), np.arange(0, 200, 2)
    kept = thinned(labels, rows, size, np.random.default_rng(seed))
    larger = thinned(labels, rows, size + 5, np.random.default_rng(seed))
    assert np.isin(kept, rows).all()
    assert np.isin(kept, larger).all()
    for name in np.unique(labels):
        there = np.sum(labels[rows] == name)
        assert np.sum(labels[kept] == name) == (min(there, size) if name in THINNED else there)


def test_inputs_made_with_labels_are_not_read(tiny_run, tiny_context):
    from firstlight_paper.models import inputs_of, pipeline_of

    names = pipeline_of(tiny_context, 0).input_names
    n_templates = sum(name.startswith("template_") for name in names)
    assert n_templates > 0
    assert label_free_inputs(tiny_context, 0).shape[1] == inputs_of(tiny_context, 0).shape[1] - n_templates


# --- spectra ----------------------------------------------------------------------


def _predictions(seed, n=60, n_classes=4):
    rng = np.random.default_rng(seed)
    return rng.integers(0, n_classes, n), rng.dirichlet(np.ones(n_classes), n), rng.permutation(n)


@given(seed=st.integers(0, 200), share=st.floats(0.0, 0.9), extra=st.floats(0.0, 0.1))
def test_more_spectra_never_lower_the_accuracy(seed, share, extra):
    truth, proba, order = _predictions(seed)
    none, some, more = (with_spectra(truth, proba, order, s)[0] for s in (0.0, share, share + extra))
    assert none == pytest.approx(np.mean(proba.argmax(axis=1) == truth))
    assert none <= some <= more
    assert with_spectra(truth, proba, order, 1.0) == (1.0, 1.0)


# --- cost -------------------------------------------------------------------------


@given(power=st.floats(0.2, 2.5), factor=st.floats(0.01, 100.0))
def test_the_exponent_of_a_power_law_is_found(power, factor):
    n = np.array([100, 300, 1000, 5000])
    assert growth(n, factor * n**power) == pytest.approx(power, abs=1e-6)
    assert np.isnan(growth([100], [1.0]))


@given(
    weights=st.lists(st.floats(-10.0, 10.0, width=32), min_size=1, max_size=40).map(
        lambda values: np.array(values, dtype=np.float32)
    ),
    bits=st.integers(2, 10),
)
def test_rounded_weights_fit_their_bits_and_are_off_by_half_a_step_at_most(weights, bits):
    coarse = quantised(weights, bits)
    assert len(np.unique(coarse)) <= 2**bits - 1
    step = np.abs(weights).max() / (2 ** (bits - 1) - 1)
    assert np.abs(coarse - weights).max() <= 0.5 * step * (1.0 + 1e-4) + 1e-30


def test_pruning_equals_a_training_with_fewer_rounds():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    labels = np.array(["SNIa", "TDE", "AGN"])[rng.integers(0, 3, 300)]

    def grown(rounds):
        config = LightGBMConfig(rounds=rounds, row_fraction=1.0, feature_fraction=1.0)
        return LightGBMBooster(config).fit(TrainingRows(X, labels))

    few = pruned(read_forest(grown(12).text), 5)
    np.testing.assert_allclose(softmax(few.raw(X)), grown(5).predict_proba(X), atol=1e-6)
