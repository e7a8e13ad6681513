"""`NearestClass`: Gaussian features, and a distance that is checked against plain algebra."""

import numpy as np
import pytest

from firstlight.anomaly.nearest import NearestClass, feature_knots, to_gaussian
from firstlight.errors import BundleError


def rows(n_rows, seed):
    rng = np.random.default_rng(seed)
    code = rng.choice(3, n_rows)
    X = rng.normal(size=(n_rows, 8))
    X[np.arange(n_rows), code] += 5.0
    X[rng.random(X.shape) < 0.05] = np.nan
    return X.astype(np.float32), code


@pytest.fixture(scope="module")
def nearest() -> NearestClass:
    return NearestClass.fit(*rows(900, 0), np.arange(8))


def test_the_compiled_distance_is_the_algebra_of_its_arrays(nearest):
    X, _ = rows(100, 1)
    gauss = np.empty((len(X), len(nearest.columns)))
    to_gaussian(X, nearest.columns, nearest.knots, nearest.normal, gauss)
    place = (gauss - nearest.centre) @ nearest.axes
    squared = [
        (((place - m) @ w) ** 2).sum(axis=1) for m, w in zip(nearest.mean, nearest.whiten, strict=True)
    ]
    expected = np.sqrt(np.min(squared, axis=0) / place.shape[1])
    np.testing.assert_allclose(nearest.distance(X), expected, rtol=1e-12)


def test_a_known_row_is_about_one_standard_deviation_from_its_class(nearest):
    assert np.median(nearest.distance(rows(900, 2)[0])) == pytest.approx(1.0, abs=0.25)


def test_a_distance_has_the_same_bits_alone_and_in_a_batch(nearest):
    X, _ = rows(50, 3)
    alone = np.concatenate([nearest.distance(row[None]) for row in X])
    np.testing.assert_array_equal(alone, nearest.distance(X))
    np.testing.assert_array_equal(nearest.distance(np.asfortranarray(X)), alone)


def test_only_the_given_columns_are_read():
    X, code = rows(600, 5)
    nearest = NearestClass.fit(X, code, np.array([0, 2, 5]))
    changed = X.copy()
    changed[:, [1, 3, 4, 6, 7]] = 1e6
    np.testing.assert_array_equal(nearest.distance(changed), nearest.distance(X))


def test_the_map_to_gaussian_keeps_the_order_and_is_gaussian():
    rng = np.random.default_rng(19)
    X = np.exp(rng.normal(size=(5000, 1))).astype(np.float32)
    knots, normal = feature_knots(X)
    out = np.empty((5000, 1))
    to_gaussian(X, np.array([0]), knots, normal, out)
    np.testing.assert_array_equal(np.argsort(X[:, 0], kind="stable"), np.argsort(out[:, 0], kind="stable"))
    assert out.mean() == pytest.approx(0.0, abs=0.03)
    assert out.std() == pytest.approx(1.0, abs=0.05)


def test_a_pile_of_equal_values_maps_to_its_middle():
    X = np.concatenate([np.zeros(600), np.linspace(1.0, 2.0, 400)]).astype(np.float32)[:, None]
    knots, normal = feature_knots(X)
    out = np.empty((1, 1))
    to_gaussian(np.zeros((1, 1), np.float32), np.array([0]), knots, normal, out)
    assert normal[0] < out[0, 0] < normal[20]


def test_missing_or_constant_features_map_to_zero():
    X = np.full((10, 2), 3.0, dtype=np.float32)
    X[:, 1] = np.nan
    knots, normal = feature_knots(X)
    out = np.ones((10, 2))
    to_gaussian(X, np.array([0, 1]), knots, normal, out)
    np.testing.assert_array_equal(out, 0.0)


def test_arrays_give_the_same_distances(nearest):
    X, _ = rows(30, 4)
    again = NearestClass.from_arrays(nearest.to_arrays(), 8)
    np.testing.assert_array_equal(again.distance(X), nearest.distance(X))


@pytest.mark.parametrize("name", ["knots", "centre", "axes", "mean", "whiten"])
def test_arrays_that_do_not_fit_are_a_bundle_error(nearest, name):
    arrays = nearest.to_arrays()
    with pytest.raises(BundleError, match="has shape"):
        NearestClass.from_arrays(arrays | {name: arrays[name][..., :-1]}, 8)
    del arrays[name]
    with pytest.raises(BundleError, match=name):
        NearestClass.from_arrays(arrays, 8)


def test_columns_that_do_not_exist_are_a_bundle_error(nearest):
    with pytest.raises(BundleError, match="do not exist"):
        NearestClass.from_arrays(nearest.to_arrays(), 3)
