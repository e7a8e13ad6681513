import numpy as np

from firstlight.encoder import TrainConfig
from firstlight.encoder.augment import augment

ALL = TrainConfig(whole=0.0, cut=1.0, drop=0.5, noise=0.5, hide_redshift=1.0)


def test_the_same_generator_gives_the_same_copies(sample):
    a = augment(sample, ALL, np.random.default_rng(5))
    b = augment(sample, ALL, np.random.default_rng(5))
    np.testing.assert_array_equal(a.flux, b.flux)


def test_whole_objects_stay_as_they_are(sample):
    out = augment(sample, TrainConfig(whole=1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(out.flux, sample.flux)
    np.testing.assert_array_equal(out.redshift, sample.redshift)


def test_an_object_never_loses_its_trigger(sample):
    out = augment(sample, ALL, np.random.default_rng(0))
    np.testing.assert_array_equal(out.trigger_mjd, sample.trigger_mjd)
    assert out.object_id.tolist() == sample.object_id.tolist()


def test_augmented_objects_are_shorter_noisier_and_without_redshift(sample):
    out = augment(sample, ALL, np.random.default_rng(0))
    assert np.all(out.n_obs <= sample.n_obs)
    assert out.n_obs.sum() < 0.8 * sample.n_obs.sum()
    assert np.isnan(out.redshift).all()
    first = sample.flux_err[sample.offsets[:-1]].mean()
    assert np.median(out.flux_err) > 0.0
    assert out.flux_err.max() >= first


def test_no_objects_are_no_problem(sample):
    assert len(augment(sample.take([]), ALL, np.random.default_rng(0))) == 0
