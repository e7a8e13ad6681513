"""The compiled Gaussian process against scikit-learn and dense algebra."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from sklearn.gaussian_process.kernels import Matern

from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.features.gaussian import (
    BAND_KERNEL,
    bin_nights,
    bin_object,
    factorise,
    matern32,
    normalise,
    predict_grid,
    predict_points,
    select,
)

SCALES, AMPLITUDES = np.array([5.0, 20.0, 80.0]), np.array([0.4, 1.2])


def _points(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    points = np.empty((4, n))
    points[0] = np.sort(rng.uniform(-50.0, 100.0, n))
    points[1] = rng.integers(0, 6, n)
    points[2] = np.exp(-0.5 * (points[0] / 20.0) ** 2) + rng.normal(0.0, 0.05, n)
    points[3] = 0.05**2
    return points


def _kernel(
    a: NDArray[np.float64], b: NDArray[np.float64], scale: float, amplitude: float
) -> NDArray[np.float64]:
    time = Matern(length_scale=scale, nu=1.5)(a[0][:, None], b[0][:, None])
    return amplitude**2 * time * BAND_KERNEL[np.ix_(a[1].astype(int), b[1].astype(int))]


def _fit(
    points: NDArray[np.float64],
) -> tuple[tuple[float, float, float], NDArray[np.float64], NDArray[np.float64]]:
    n = points.shape[1]
    U, alpha, weights = np.empty((n, n)), np.empty(n), np.empty((n, n))
    choice = select(points, n, BAND_KERNEL, SCALES, AMPLITUDES, U, alpha, weights)
    return choice, U, alpha


def test_matern_agrees_with_scikit_learn() -> None:
    expected = Matern(length_scale=7.0, nu=1.5)(np.array([[0.0]]), np.array([[3.0]]))[0, 0]
    assert matern32(-3.0, 7.0) == pytest.approx(expected)


def test_bands_are_tied_by_the_same_correlation_in_wavelength() -> None:
    expected = Matern(length_scale=6000.0, nu=1.5)(np.array(EFFECTIVE_WAVELENGTH)[:, None])
    np.testing.assert_allclose(BAND_KERNEL, expected)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 17, 64])
def test_factor_times_itself_is_the_matrix(n: int) -> None:
    rng = np.random.default_rng(n)
    square = rng.normal(size=(n, n + 3))
    matrix = square @ square.T
    U = matrix.copy()
    assert factorise(U, n)
    np.testing.assert_allclose(np.triu(U).T @ np.triu(U), matrix, rtol=1e-10, atol=1e-10)


def test_factor_refuses_an_indefinite_matrix() -> None:
    assert not factorise(np.array([[1.0, 2.0], [2.0, 1.0]]), 2)


@pytest.mark.parametrize("n", [1, 2, 9, 60])
def test_likelihood_and_weights_agree_with_dense_algebra(n: int) -> None:
    points = _points(np.random.default_rng(n), n)
    (scale, amplitude, score), _, alpha = _fit(points)
    covariance = _kernel(points, points, scale, amplitude) + np.diag(points[3])
    lower = cholesky(covariance, lower=True)
    expected_alpha = cho_solve((lower, True), points[2])
    expected = -0.5 * points[2] @ expected_alpha - np.log(np.diag(lower)).sum() - 0.5 * n * np.log(2 * np.pi)
    np.testing.assert_allclose(alpha, expected_alpha, rtol=1e-7, atol=1e-9)
    assert score == pytest.approx(expected)


def test_the_most_likely_time_scale_is_chosen() -> None:
    rng = np.random.default_rng(4)
    points = _points(rng, 80)
    chosen = _fit(points)[0]
    scores = []
    for scale in SCALES:
        covariance = _kernel(points, points, scale, np.sqrt(0.4 * 1.2)) + np.diag(points[3])
        scores.append(
            -0.5 * points[2] @ np.linalg.solve(covariance, points[2]) - 0.5 * np.linalg.slogdet(covariance)[1]
        )
    assert chosen[0] == SCALES[int(np.argmax(scores))]


def test_prediction_agrees_with_dense_algebra() -> None:
    points = _points(np.random.default_rng(1), 40)
    (scale, amplitude, _), U, alpha = _fit(points)
    grid = np.arange(-60.0, 110.0, 3.0)
    sums = np.empty((6, len(grid)))
    predict_grid(points, 40, alpha, scale, amplitude**2, grid, sums)
    mean = BAND_KERNEL @ sums
    work, at_mean, at_sd = np.empty((40, len(grid))), np.empty(len(grid)), np.empty(len(grid))
    covariance = _kernel(points, points, scale, amplitude) + np.diag(points[3])
    for band in range(6):
        at = np.vstack([grid, np.full(len(grid), band)])
        cross = _kernel(at, points, scale, amplitude)
        variance = amplitude**2 - np.einsum("ij,ji->i", cross, np.linalg.solve(covariance, cross.T))
        correlation = np.repeat(BAND_KERNEL[band][None], len(grid), axis=0)
        predict_points(points, 40, U, alpha, scale, amplitude**2, grid, correlation, work, at_mean, at_sd)
        np.testing.assert_allclose(mean[band], cross @ np.linalg.solve(covariance, points[2]), atol=1e-8)
        np.testing.assert_allclose(at_mean, mean[band], atol=1e-8)
        np.testing.assert_allclose(at_sd, np.sqrt(variance), atol=1e-7)


def test_nights_are_averaged_by_inverse_variance() -> None:
    time = np.array([0.0, 0.1, 0.1, 5.0, 900.0])
    band = np.array([1, 1, 2, 1, 1])
    flux, err = np.array([10.0, 20.0, 7.0, 3.0, 1.0]), np.array([1.0, 2.0, 1.0, 1.0, 1.0])
    out = np.empty((4, 5))
    assert bin_nights(time, band, flux, err, -100.0, 200.0, 0.45, out) == 3
    np.testing.assert_allclose(out[:, 0], [0.0, 1.0, (10.0 + 20.0 / 4) / 1.25, 1 / 1.25])
    np.testing.assert_allclose(out[:, 1], [0.1, 2.0, 7.0, 1.0])
    assert np.all(np.diff(out[0, :3]) >= 0.0)


def test_one_noisy_point_does_not_set_the_scale() -> None:
    points = np.array([[0.0, 1.0], [0.0, 2.0], [500.0, 100.0], [400.0**2, 1.0]])
    assert normalise(points, 2) == 100.0
    np.testing.assert_allclose(points[2], [5.0, 1.0])
    assert np.all(points[3] > 0.0)


def test_too_many_nights_are_joined_and_none_is_lost() -> None:
    rng = np.random.default_rng(5)
    mjd = np.sort(rng.uniform(-90.0, 190.0, 300))
    band = rng.integers(0, 6, 300).astype(np.int8)
    flux, err = rng.normal(10.0, 1.0, 300).astype(np.float32), np.full(300, 2.0, dtype=np.float32)
    for most in (300, 100, 40, 6):
        points = np.empty((4, 300))
        n = bin_object(0, 300, mjd, band, flux, err, 0.0, -100.0, 200.0, 0.45, most, points)
        assert n <= most
        assert np.sum(1.0 / points[3, :n]) == pytest.approx(300 / 4.0)  # all of the information
        total = np.sum(points[2, :n] / points[3, :n])
        assert total == pytest.approx(np.sum(flux.astype(np.float64)) / 4.0)


def test_only_the_window_is_used() -> None:
    mjd = np.array([0.0, 50.0, 500.0, 900.0]) + 59_000.0
    band, flux = np.zeros(4, dtype=np.int8), np.ones(4, dtype=np.float32)
    points = np.empty((4, 4))
    n = bin_object(0, 4, mjd, band, flux, flux, 59_050.0, -100.0, 200.0, 0.45, 100, points)
    np.testing.assert_allclose(points[0, :n], [-50.0, 0.0])


def test_observations_of_other_objects_are_not_read() -> None:
    mjd = np.array([0.0, 10.0, 0.0, 10.0])
    band, flux = np.zeros(4, dtype=np.int8), np.array([1.0, 2.0, 30.0, 40.0], dtype=np.float32)
    err = np.ones(4, dtype=np.float32)
    points = np.empty((4, 2))
    assert bin_object(2, 4, mjd, band, flux, err, 0.0, -100.0, 200.0, 0.45, 100, points) == 2
    np.testing.assert_allclose(points[2], [30.0, 40.0])


def test_scale_of_noise_alone_is_its_highest_point() -> None:
    points = np.array([[0.0, 1.0], [0.0, 2.0], [2.0, -3.0], [100.0, 100.0]])
    assert normalise(points, 2) == 3.0


def test_scale_of_exact_zeros_is_their_error() -> None:
    points = np.array([[0.0], [0.0], [0.0], [9.0]])
    assert normalise(points, 1) == 3.0
    assert points[3, 0] == pytest.approx(1.0, rel=1e-3)


def test_errors_have_a_floor_that_grows_with_flux() -> None:
    points = np.array([[0.0, 1.0], [0.0, 0.0], [1000.0, 10.0], [1e-6, 1e-6]])
    normalise(points, 2)
    assert np.sqrt(points[3, 0]) == pytest.approx(np.hypot(0.01, 0.002), rel=1e-3)
    assert np.sqrt(points[3, 1]) == pytest.approx(np.hypot(0.0001, 0.002), rel=1e-3)


@pytest.mark.parametrize("n", [1, 12, 50])
def test_far_from_the_data_the_prior_returns(n: int) -> None:
    points = _points(np.random.default_rng(n), n)
    (scale, amplitude, _), U, alpha = _fit(points)
    time, correlation = np.array([5000.0]), BAND_KERNEL[[2]]
    mean, sd = np.empty(1), np.empty(1)
    predict_points(points, n, U, alpha, scale, amplitude**2, time, correlation, np.empty((n, 1)), mean, sd)
    assert mean[0] == pytest.approx(0.0, abs=1e-9)
    assert sd[0] == pytest.approx(amplitude)


def test_posterior_is_surer_at_the_data_than_between() -> None:
    points = np.array([[0.0, 40.0], [2.0, 2.0], [1.0, 0.5], [1e-3, 1e-3]])
    (scale, amplitude, _), U, alpha = _fit(points)
    time, correlation = np.array([0.0, 20.0]), BAND_KERNEL[[2, 2]]
    mean, sd = np.empty(2), np.empty(2)
    predict_points(points, 2, U, alpha, scale, amplitude**2, time, correlation, np.empty((2, 2)), mean, sd)
    assert sd[0] < 0.1 < sd[1]
    assert mean[0] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("length", [8.0, 60.0])
def test_slow_light_gets_a_longer_time_scale_than_fast(length: float) -> None:
    rng = np.random.default_rng(7)
    points = np.empty((4, 90))
    points[0] = np.linspace(-60.0, 120.0, 90)
    points[1] = np.tile(np.arange(6), 15)
    points[2] = np.sin(points[0] / length) + rng.normal(0.0, 0.02, 90)
    points[3] = 0.02**2
    scale = _fit(points)[0][0]
    assert (scale <= 20.0) == (length < 20.0)
