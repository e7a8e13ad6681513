"""Training copies: truncations and mild augmentation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.simulate import AugmentConfig, augment, misstate, spoil, truncate
from firstlight.simulate.augment import LONGEST_PHASE, detection_probability


def test_truncation_keeps_the_trigger_and_the_past(sample: LightCurves) -> None:
    copy = truncate(sample, np.random.default_rng(0))
    np.testing.assert_array_equal(copy.trigger_mjd, sample.trigger_mjd)
    np.testing.assert_array_equal(copy.object_id, sample.object_id)
    for short, whole in zip(copy, sample, strict=True):
        np.testing.assert_array_equal(short.flux, whole.flux[: len(short)])


def test_truncations_spread_over_early_and_late_days(sample: LightCurves) -> None:
    copies = [truncate(sample, np.random.default_rng(seed)) for seed in range(5)]
    phases = np.concatenate([c.mjd[c.offsets[1:] - 1] - c.trigger_mjd for c in copies])
    assert phases.max() <= LONGEST_PHASE
    assert 0.1 < np.mean(phases < 5.0) < 0.6
    assert np.mean(phases > 50.0) > 0.1


def test_truncation_at_a_given_phase(sample: LightCurves) -> None:
    copy = truncate(sample, np.random.default_rng(0), phases=8.0)
    expected = sample.upto_phase(8.0)
    np.testing.assert_array_equal(copy.mjd, expected.mjd)


@given(seed=st.integers(0, 200))
def test_every_augmented_object_is_still_detected(sample: LightCurves, seed: int) -> None:
    part = sample.take(np.arange(0, len(sample), 5))
    copy = augment(part, np.random.default_rng(seed), AugmentConfig(noise=3.0, drop=0.9))
    assert np.isfinite(copy.trigger_mjd).all()
    np.testing.assert_array_equal(copy.object_id, part.object_id)
    assert np.all(copy.n_obs <= part.n_obs)


def test_errors_grow_and_noise_matches_them(sample: LightCurves) -> None:
    config = AugmentConfig(noise=1.0, drop=0.0, stretch_chance=0.0)
    copy = augment(sample, np.random.default_rng(1), config)
    assert np.all(copy.flux_err >= sample.flux_err)
    extra = np.sqrt(copy.flux_err.astype(np.float64) ** 2 - sample.flux_err.astype(np.float64) ** 2)
    grown = copy.flux_err > 1.05 * sample.flux_err
    pulls = (copy.flux - sample.flux)[grown] / extra[grown]
    assert np.std(pulls) == pytest.approx(1.0, abs=0.02)
    assert np.mean(pulls) == pytest.approx(0.0, abs=0.02)


def test_redshifts_scatter_within_their_errors_and_the_milky_way_stays(sample: LightCurves) -> None:
    copy = augment(sample, np.random.default_rng(2), AugmentConfig(redshift_scatter=1.0))
    galactic = sample.redshift == 0.0
    np.testing.assert_array_equal(copy.redshift[galactic], 0.0)
    assert np.all(copy.redshift[~galactic] > 0.0)
    away = (sample.redshift > 0.0) & (sample.redshift > 3.0 * sample.redshift_err)
    pulls = (copy.redshift - sample.redshift)[away] / sample.redshift_err[away]
    assert 0.7 < np.std(pulls) < 1.3


def test_hidden_redshifts_stay_hidden(sample: LightCurves) -> None:
    assert np.isnan(augment(sample.with_redshift("none"), np.random.default_rng(0)).redshift).all()


def test_nothing_changes_without_strength(sample: LightCurves) -> None:
    config = AugmentConfig(drop=0.0, stretch_chance=0.0, noise=0.0, redshift_scatter=0.0)
    copy = augment(sample, np.random.default_rng(0), config)
    for name in ("mjd", "flux", "flux_err", "detected", "redshift"):
        np.testing.assert_array_equal(getattr(copy, name), getattr(sample, name))


def test_same_seed_gives_the_same_copies(sample: LightCurves) -> None:
    a, b = (augment(sample, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(a.flux, b.flux)
    assert not np.array_equal(a.flux[:50], augment(sample, np.random.default_rng(6)).flux[:50])


def test_detection_probability_rises_with_signal(sample: LightCurves) -> None:
    probability = detection_probability(sample)
    assert probability[10] < 0.1
    assert probability[-1] > 0.9
    assert np.all((probability >= 0.0) & (probability <= 1.0))


def test_detection_falls_back_to_the_threshold(sample: LightCurves) -> None:
    short = sample.take(np.arange(1)).upto_phase(-1e6)
    np.testing.assert_array_equal(detection_probability(short), (np.arange(21) >= 15).astype(float))


def test_objects_without_observations_pass_through(sample: LightCurves) -> None:
    none = sample.take(np.arange(3)).upto_phase(-1e6)
    assert augment(none, np.random.default_rng(0)).n_obs.sum() == 0
    assert truncate(none, np.random.default_rng(0)).n_obs.sum() == 0


@pytest.mark.parametrize("bad", [{"drop": 1.0}, {"stretch_chance": 2.0}, {"noise": -1.0}])
def test_impossible_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        AugmentConfig(**bad)


def test_a_wrong_redshift_is_zero_or_that_of_another_host(sample: LightCurves) -> None:
    copy = misstate(sample, np.random.default_rng(0), 0.5)
    changed = copy.redshift != sample.redshift
    assert 0.3 < changed.mean() < 0.6
    galactic = sample.redshift == 0.0
    assert np.all(copy.redshift[changed & galactic] > 0.0)
    assert set(copy.redshift[changed].tolist()) <= {0.0, *sample.redshift[~galactic].tolist()}
    assert (copy.redshift[changed & ~galactic] == 0.0).any()
    np.testing.assert_array_equal(copy.flux, sample.flux)
    np.testing.assert_array_equal(copy.redshift_err[copy.redshift == 0.0], 0.0)


def test_a_spoilt_curve_is_one_detection_among_observations_before_the_trigger(sample: LightCurves) -> None:
    copy = spoil(sample, np.random.default_rng(0), 0.5)
    np.testing.assert_array_equal(copy.object_id, sample.object_id)
    spoilt = copy.n_obs < sample.n_obs
    assert spoilt.sum() > 10
    detections = np.bincount(copy.object_index[copy.detected], minlength=len(copy))
    np.testing.assert_array_equal(detections[spoilt], 1)
    snr = (copy.flux / copy.flux_err)[copy.detected & spoilt[copy.object_index]]
    assert snr.min() > 7.9
    assert snr.max() < 101.0
    for k in np.flatnonzero(~spoilt):
        np.testing.assert_array_equal(copy[int(k)].flux, sample[int(k)].flux)


def test_some_objects_stay_whole_when_copies_are_cut(sample: LightCurves) -> None:
    copy = truncate(sample, np.random.default_rng(0), whole=0.5)
    assert 0.3 < np.mean(copy.n_obs == sample.n_obs) < 0.8
