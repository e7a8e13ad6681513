"""Simulated objects beside the training objects, as surveys see them."""

import numpy as np
import pytest

from firstlight.bands import find_filter
from firstlight.errors import SettingsError
from firstlight.reobserve import SimulatedConfig, is_simulated, simulate_views
from firstlight.simulate.transients import SIMULATED_PREFIX
from firstlight.surveys import load_survey

VIEWS = 3


def made(sample, class_name, surveys, *, seed=0, cadence=0.0, n=12):
    config = SimulatedConfig(classes={class_name: 1.0}, views=VIEWS, cadence=cadence)
    return simulate_views(class_name, n, sample, surveys, np.random.default_rng(seed), config, 1.0)


@pytest.fixture(scope="module", params=["SLSN-I", "TDE"])
def seen(request, sample):
    return made(sample, request.param, {"ztf": 1.0})


def test_each_object_has_its_views_and_a_telling_name(seen):
    curves, owner = seen
    assert len(curves) == 12 * VIEWS
    assert len(np.unique(owner)) == 12
    assert is_simulated(owner).all()
    assert is_simulated(curves.object_id).all()
    assert all(name.startswith(SIMULATED_PREFIX) for name in owner.tolist())


def test_a_survey_of_detections_shows_these_alone_in_its_own_filters(seen):
    curves, _ = seen
    survey = load_survey("ztf")
    assert set(np.unique(curves.band).tolist()) <= {int(find_filter(name).band) for name in survey.filters}
    assert (curves.flux > survey.min_snr * curves.flux_err).all()


def test_objects_are_as_bright_as_those_that_the_survey_follows(seen):
    curves, _ = seen
    brightest = np.zeros(len(curves))
    np.maximum.at(brightest, curves.object_index, curves.flux)
    magnitude = 31.4 - 2.5 * np.log10(brightest)
    first, last = load_survey("ztf").peak
    assert first - 0.3 < magnitude.min()
    # an object that is seen late has lost its peak, and noise scatters the faintest
    assert np.median(magnitude) < last + 0.5


def test_the_same_seed_gives_the_same_views_and_another_seed_others(sample):
    first, again, other = (made(sample, "TDE", {"des": 1.0}, seed=seed, n=4)[0] for seed in (1, 1, 2))
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_a_nearby_sky_has_nearer_objects_than_a_deep_one(sample):
    near, deep = (made(sample, "SLSN-I", {name: 1.0})[0].redshift_spec for name in ("foundation", "lsst-ddf"))
    assert np.median(near) < np.median(deep)


def test_views_at_the_epochs_of_training_objects_have_their_times_and_two_detections(sample):
    curves, _ = made(sample, "TDE", {}, cadence=1.0, n=4)
    assert np.isin(curves.mjd, sample.mjd).all()
    assert (np.bincount(curves.object_index, curves.detected, len(curves)) >= 2).all()


def test_an_exact_redshift_is_stated_with_a_small_error(seen):
    curves, _ = seen
    np.testing.assert_array_equal(curves.redshift, curves.redshift_spec)
    assert (curves.redshift_err <= 0.03).all()


@pytest.mark.parametrize(
    "settings", [{"classes": {"KN": 1.0}}, {"classes": {"TDE": 0.0}}, {"views": 0}, {"cadence": -1.0}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(SettingsError, match="simulated"):
        SimulatedConfig(**settings)
