"""Laws of cleaning and dust correction."""

from dataclasses import replace

import numpy as np
import pytest

from firstlight.errors import SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import (
    CleanConfig,
    ClipConfig,
    PreprocessConfig,
    clean,
    deredden,
    keep_mask,
    preprocess,
)

METHODS = [CleanConfig(method=name) for name in ("physical", "seed", "none")]


@pytest.mark.parametrize("config", METHODS, ids=lambda c: c.method)
def test_cleaning_knows_neither_units_nor_dates(sample, config):
    rounded = sample.with_columns(mjd=np.round(sample.mjd * 1024.0) / 1024.0)
    other = rounded.with_columns(
        mjd=rounded.mjd - 40_000.0, flux=4.0 * sample.flux, flux_err=4.0 * sample.flux_err
    )
    np.testing.assert_array_equal(keep_mask(other, config), keep_mask(rounded, config))


@pytest.mark.parametrize("config", METHODS, ids=lambda c: c.method)
def test_cleaning_drops_rows_and_changes_none(sample, config):
    kept = keep_mask(sample, config)
    cleaned = clean(sample, config)
    for name in ("mjd", "band", "flux", "flux_err", "detected"):
        np.testing.assert_array_equal(getattr(cleaned, name), getattr(sample, name)[kept])
    for name in ("object_id", "redshift", "ebv"):
        np.testing.assert_array_equal(getattr(cleaned, name), getattr(sample, name))


def test_physical_cleaning_does_not_care_which_sign_is_up_for_quiet_noise():
    rng = np.random.default_rng(8)
    mjd = np.sort(rng.uniform(0.0, 500.0, 150))
    curves = LightCurves(
        np.array(["a"]),
        np.array([0, 150]),
        mjd,
        rng.integers(0, 6, 150),
        rng.normal(0, 20, 150),
        np.full(150, 20.0),
    )
    assert keep_mask(curves, METHODS[0]).all()
    assert keep_mask(curves.with_columns(flux=-curves.flux), METHODS[0]).all()


def test_wider_clips_keep_more(sample):
    counts = [
        keep_mask(sample, CleanConfig(method="seed", clip=ClipConfig(clip_sigma=sigma))).sum()
        for sigma in (1.0, 2.0, 3.0, 5.0, 50.0)
    ]
    assert counts == sorted(counts)
    assert counts[-1] <= len(sample.mjd)


@pytest.mark.parametrize("method", ["physical", "seed", "none"])
def test_a_single_observation_survives_every_method(method):
    curves = LightCurves(
        np.array(list("abc")),
        np.arange(4),
        np.full(3, 6e4),
        np.full(3, 2),
        np.array([1e9, -1e9, 0.0]),
        np.full(3, 20.0),
    )
    assert keep_mask(curves, CleanConfig(method=method)).all()


def test_preprocessing_cleans_measured_fluxes_then_corrects_them(sample):
    raw = replace(sample.take(np.arange(60)), dereddened=False)
    config = PreprocessConfig(clean=CleanConfig(method="seed"))
    expected = deredden(clean(raw, config.clean))
    ready = preprocess(raw, config)
    np.testing.assert_array_equal(ready.flux, expected.flux)
    np.testing.assert_array_equal(ready.detected, expected.detected)
    assert ready.dereddened
    assert len(ready.mjd) < len(raw.mjd)


def test_an_unknown_way_to_deredden_names_the_known_ones():
    with pytest.raises(SettingsError, match="choose auto, always or never"):
        PreprocessConfig(deredden="sometimes")


def test_preprocessing_nothing_gives_nothing(sample):
    assert len(preprocess(sample.take([]), PreprocessConfig())) == 0
