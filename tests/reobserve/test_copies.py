"""Re-observed copies: the same objects, as another survey would have seen them."""

import numpy as np
import pytest

from firstlight.bands import find_filter
from firstlight.cosmology import distance_modulus
from firstlight.lightcurves import LightCurves
from firstlight.reobserve import ReobserveConfig, Surfaces, reobserve
from firstlight.reobserve.copies import Channels, _gain, measure, visits
from firstlight.surveys import load_survey

SURVEYS = {"ztf": 1.0, "des": 1.0, "lsst-wfd": 1.0}


@pytest.fixture(scope="module")
def surfaces(sample) -> Surfaces:
    return Surfaces.of(sample)


@pytest.fixture(scope="module")
def copies(sample, surfaces) -> LightCurves:
    return reobserve(sample, np.random.default_rng(0), ReobserveConfig(surveys=SURVEYS), surfaces)


def moved(copies: LightCurves, surfaces: Surfaces) -> np.ndarray:
    """Objects that were read off their surfaces: their times are new."""
    old = {(i, t) for i, t in zip(surfaces.curves.object_index, surfaces.curves.mjd, strict=True)}
    new = [(i, t) not in old for i, t in zip(copies.object_index, copies.mjd, strict=True)]
    return np.bincount(copies.object_index, new, len(copies)) == copies.n_obs


def test_copies_keep_names_places_and_order(copies, sample):
    np.testing.assert_array_equal(copies.object_id, sample.object_id)
    np.testing.assert_array_equal(copies.ra, sample.ra)
    assert copies.dereddened == sample.dereddened
    assert np.all(copies.n_obs >= 1)


def test_the_same_seed_makes_the_same_copies(copies, sample):
    again = reobserve(sample, np.random.default_rng(0), ReobserveConfig(surveys=SURVEYS))
    assert again.fingerprint == copies.fingerprint


def test_the_milky_way_stays_at_redshift_zero_and_the_rest_beyond(copies, sample):
    np.testing.assert_array_equal(copies.redshift == 0.0, sample.redshift == 0.0)
    assert np.all(copies.redshift_err[copies.redshift == 0.0] == 0.0)


def test_variables_keep_their_own_times(copies, sample, surfaces):
    galactic = np.flatnonzero(sample.redshift == 0.0)
    assert not moved(copies, surfaces)[galactic].any()
    for i in galactic[:20].tolist():
        assert set(copies[i].mjd) <= set(sample[i].mjd)


def test_a_survey_of_detections_shows_detections_in_its_own_filters(sample, surfaces):
    found = reobserve(sample, np.random.default_rng(1), ReobserveConfig(surveys={"ztf": 1.0}), surfaces)
    new = moved(found, surfaces)
    assert new.sum() > 10
    rows = new[found.object_index]
    assert set(found.band[rows]) <= {find_filter(name).band for name in load_survey("ztf").filters}
    assert (found.flux[rows] / found.flux_err[rows]).min() >= load_survey("ztf").min_snr * 0.999
    bright, faint = load_survey("ztf").peak
    peak = np.full(len(found), -np.inf)
    np.maximum.at(peak, found.object_index, found.flux)
    mag = 31.4 - 2.5 * np.log10(peak[new])
    assert np.median(mag) > bright - 0.5
    assert np.median(mag) < faint + 1.0


def test_nearer_is_brighter_by_the_distance():
    nearer = _gain(0.3, np.array([0.3, 0.03]))
    np.testing.assert_allclose(nearer[0], 1.0, rtol=1e-9)
    magnitudes = distance_modulus(0.3) - distance_modulus(0.03) + 2.5 * np.log10(1.03 / 1.3)
    np.testing.assert_allclose(2.5 * np.log10(nearer[1]), magnitudes, rtol=1e-6)


def test_the_surface_passes_through_good_observations(surfaces):
    from firstlight.bands import EFFECTIVE_WAVELENGTH

    pulls = []
    for i in np.flatnonzero(surfaces.peak > 0.0)[:10].tolist():
        curve = surfaces.curves[i]
        days = curve.mjd - surfaces.reference[i]
        read = surfaces.flux(i, days, EFFECTIVE_WAVELENGTH[curve.band])
        close = np.isfinite(read) & (abs(days) < 60.0)
        pulls += ((curve.flux - read) / np.hypot(curve.flux_err, 0.03 * abs(read)))[close].tolist()
    assert len(pulls) > 100
    assert abs(np.median(pulls)) < 0.5
    assert np.mean(np.abs(pulls) < 3.0) > 0.9


def test_an_object_without_redshift_gets_none(sample):
    blind = sample.with_redshift("none")
    found = reobserve(blind, np.random.default_rng(0), ReobserveConfig(surveys=SURVEYS))
    assert np.isnan(found.redshift).all()


def test_an_object_that_was_bright_when_observing_began_has_no_dark_past(sample, surfaces):
    late = sample.keep(sample.phase >= 5.0)
    cut = Surfaces.of(late)
    good = np.flatnonzero((surfaces.peak > 0.0) & (cut.peak > 0.0))
    assert len(good) > 10
    red = np.full(20, 6200.0)
    for i in good.tolist():
        assert not (cut.flux(i, np.linspace(-80.0, -0.5, 20), red) == 0.0).any()
        assert np.all(cut.flux(i, np.linspace(-400.0, -101.0, 20), red) == 0.0)


def test_before_its_last_quiet_observation_an_object_is_dark(sample, surfaces):
    recent = (sample.phase > -40.0) & (sample.phase < -5.0)
    quiet = np.bincount(sample.object_index[recent], minlength=len(sample))
    good = np.flatnonzero((surfaces.peak > 0.0) & (quiet >= 6))
    assert len(good) > 5
    read = [surfaces.flux(i, np.linspace(-90.0, -45.0, 10), np.full(10, 6200.0)) for i in good.tolist()]
    assert np.mean(np.array(read) == 0.0) > 0.9


def test_a_transient_that_keeps_its_observations_keeps_its_redshift(sample, surfaces):
    spec = sample.with_redshift("spec")
    settings = ReobserveConfig(surveys={"lsst-wfd": 1.0}, spectroscopic=1.0)
    found = reobserve(spec, np.random.default_rng(2), settings, surfaces)
    own = ~moved(found, surfaces) & (spec.redshift > 0.0)
    assert (own & surfaces.quiet).sum() > 10
    np.testing.assert_allclose(found.redshift[own & surfaces.quiet], spec.redshift[own & surfaces.quiet])
    varies = own & ~surfaces.quiet
    assert np.any(found.redshift[varies] < 0.95 * spec.redshift[varies])


def test_a_survey_that_follows_what_others_found_begins_about_the_first_light():
    rng = np.random.default_rng(3)
    first = {
        name: [visits(Channels.of(load_survey(name)), 1.0, rng)[0].min() for _ in range(40)]
        for name in ("foundation", "ps1", "sdss")
    }
    assert min(first["foundation"]) > -10.0
    assert min(first["ps1"]) > -55.0
    assert min(first["sdss"]) < -60.0


@pytest.mark.parametrize("name", ["nuclear", "ztf-forced"])
def test_empty_epochs_of_forced_photometry_scatter_as_their_errors_say(name):
    channels, rng = Channels.of(load_survey(name)), np.random.default_rng(4)
    days, channel = np.arange(500.0), np.zeros(500, dtype=np.int64)
    true = np.where(days < 480.0, 0.0, 50.0 * channels.sky[0])
    scatter = []
    for _ in range(40):
        made = measure(days, channel, true, channels, rng)
        assert made is not None
        scatter.append(np.mean((made["flux"] / made["flux_err"])[:480] ** 2))
    assert 1.0 < np.mean(scatter) < 1.4
