"""Noise is added as stated, to test objects alone, and what was computed is not computed again."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.simulate.augment import detection_probability
from firstlight_paper.parts import noise
from firstlight_paper.parts.noise import RATIOS, degrade, peak_snr
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, plain


def _alike(curves, flux, flux_err):
    n = len(curves.mjd)
    return curves.with_columns(
        flux=np.full(n, flux, np.float32),
        flux_err=np.full(n, flux_err, np.float32),
        detected=np.ones(n, bool),
    )


def test_noise_has_the_variance_that_is_missing(sample):
    rng = np.random.default_rng(0)
    steady = _alike(sample, 100.0, 2.0)
    noisy = degrade(steady, 0.25, rng, detection_probability(sample))
    # the light curve had no scatter, so that what it has now is the noise that was added
    assert noisy.flux.std() == pytest.approx(np.sqrt(8.0**2 - 2.0**2), rel=0.02)
    assert noisy.flux_err == pytest.approx(8.0)


@given(ratio=st.floats(0.05, 0.99), seed=st.integers(0, 100))
def test_times_and_objects_stay_and_errors_grow_as_the_ratio_falls(sample, ratio, seed):
    noisy = degrade(sample, ratio, np.random.default_rng(seed), detection_probability(sample))
    assert np.array_equal(noisy.mjd, sample.mjd)
    assert noisy.object_id.tolist() == sample.object_id.tolist()
    np.testing.assert_allclose(noisy.flux_err * ratio, sample.flux_err, rtol=1e-5)


def test_a_ratio_of_one_leaves_everything_as_it_was(sample):
    same = degrade(sample, 1.0, np.random.default_rng(0), detection_probability(sample))
    assert same.fingerprint == sample.fingerprint


def test_errors_that_are_not_enlarged_go_with_the_same_fluxes_and_detections(sample):
    chance = detection_probability(sample)
    stated = degrade(sample, 0.4, np.random.default_rng(3), chance)
    unstated = degrade(sample, 0.4, np.random.default_rng(3), chance, stated=False)
    assert np.array_equal(stated.flux, unstated.flux)
    assert np.array_equal(stated.detected, unstated.detected)
    assert np.array_equal(unstated.flux_err, sample.flux_err)


def test_faint_observations_lose_their_detection_and_bright_ones_keep_it(sample):
    chance = detection_probability(sample)
    faint = degrade(_alike(sample, 6.0, 1.0), 0.2, np.random.default_rng(0), chance)
    bright = degrade(_alike(sample, 600.0, 1.0), 0.2, np.random.default_rng(0), chance)
    assert faint.detected.mean() < 0.2
    assert bright.detected.all()


def test_the_largest_ratio_is_that_of_detections_and_zero_without_any(sample):
    assert (peak_snr(sample) > 0.0).any()
    silent = sample.with_columns(detected=np.zeros(len(sample.mjd), bool))
    assert not peak_snr(silent).any()


@pytest.fixture(scope="module")
def result(own_bench):
    return json.loads(json.dumps(plain(noise.measure(Workshop(own_bench))), allow_nan=False))


def test_every_test_object_is_scored_once_at_every_ratio(result, own_bench):
    for curve in ("stated", "unstated"):
        steps = result["honest"][curve]
        assert [step["ratio"] for step in steps] == list(RATIOS)
        assert {step["sixteen"]["n_objects"] for step in steps} == {len(own_bench.objects)}
        assert {step["real"]["n_objects"] for step in steps} == {int((~own_bench.objects.simulated).sum())}


def test_the_first_step_is_what_the_untouched_light_curves_give(result, own_bench):
    from firstlight_paper.shared import said_of

    said = said_of(own_bench)
    right = np.array(said.classes)[said.proba.argmax(axis=1)] == own_bench.objects.labels
    by_fold = [right[fold.test].mean() for fold in own_bench.objects.folds]
    assert result["honest"]["stated"][0]["sixteen"]["accuracy"]["folds"] == pytest.approx(by_fold, abs=1e-5)


def test_what_is_at_hand_is_not_computed_again(result, own_bench, monkeypatch):
    def never(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(noise, "_classify", never)
    assert plain(noise.measure(Workshop(own_bench))) == result


def test_the_section_is_drawn_from_json_alone(result):
    section = noise.show(result)
    assert [block.name for block in section.blocks if isinstance(block, Picture)] == [
        "noise",
        "noise-classes",
    ]
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert len(table.rows) == 2 * len(RATIOS) - 1
    assert {len(row) for row in table.rows} == {len(table.columns)}
