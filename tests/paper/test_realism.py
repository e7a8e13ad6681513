"""The test that simulated objects take: it finds differences, and none where there are none."""

import numpy as np
import pytest

from firstlight_paper import realism
from firstlight_paper.realism import brightest, differences, fit_limit, plain_features, separation


@pytest.fixture(scope="module")
def features(sample):
    return plain_features(sample)


def test_every_object_has_a_row_and_every_column_a_name(features, sample):
    assert features.values.shape == (len(sample), len(features.names))
    assert len(set(features.names)) == len(features.names)


def test_colours_are_differences_of_magnitudes(features):
    column = dict(zip(features.names, features.values.T, strict=True))
    np.testing.assert_allclose(column["g-r"], column["mag_g"] - column["mag_r"])


def test_magnitudes_are_those_of_the_brightest_observation_above_three_sigma(features, sample):
    curve = sample[3]
    seen = (curve.band == 2) & (curve.flux > 3.0 * curve.flux_err)
    expected = 31.4 - 2.5 * np.log10(curve.flux[seen].max())
    assert features.values[3, features.names.index("mag_r")] == pytest.approx(expected, abs=1e-4)


def test_the_brightest_magnitude_is_that_of_r_i_or_z(features):
    red = features.values[:, [features.names.index(f"mag_{band}") for band in "riz"]]
    found = brightest(features)
    assert np.isnan(found[np.isnan(red).all(axis=1)]).all()
    known = np.isfinite(found)
    np.testing.assert_array_equal(found[known], np.nanmin(red[known], axis=1))


def test_sets_of_one_distribution_are_not_separable():
    values = np.random.default_rng(0).normal(size=(400, 4))
    assert separation(values, np.repeat([False, True], 200), 0) == pytest.approx(0.5, abs=0.1)


def test_a_shifted_feature_is_found():
    values = np.random.default_rng(0).normal(size=(400, 4))
    values[200:, 2] += 3.0
    assert separation(values, np.repeat([False, True], 200), 0) > 0.95


def test_the_feature_that_differs_most_is_named_first(features):
    moved = features.values.copy()
    moved[:, features.names.index("mag_z")] += 5.0
    found = differences(features, features._replace(values=moved))
    assert next(iter(found)) == "mag_z"
    assert list(found.values())[1:] == [0.0] * 4


def test_a_bright_class_gets_a_brighter_limit_than_a_faint_one(sample, sample_labels, monkeypatch):
    monkeypatch.setattr(realism, "LIMITS", (21.5, 23.5))
    real = sample.take(np.flatnonzero(np.isin(sample_labels, ["SNIa", "SNII", "SLSN-I"])))
    order = np.argsort(np.nan_to_num(brightest(plain_features(real)), nan=99.0))
    bright, faint = real.take(order[:12]), real.take(order[-12:])
    limits = [fit_limit("SNIa", some, sample) for some in (bright, faint)]
    assert limits == [21.5, 23.5]
