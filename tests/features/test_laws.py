"""Laws of the features: symmetries, bounds, and other people's Gaussian process."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from firstlight.cosmology import distance_modulus
from firstlight.errors import DataError
from firstlight.features import FeatureTable, extract
from firstlight.features.gaussian import bin_nights, normalise, predict_grid, predict_points, select
from firstlight.features.metadata import distance, galactic_latitude, metadata, reference_mjd
from firstlight.features.statistics import bounded
from firstlight.lightcurves import LightCurves

Array = NDArray[np.float64]
FLUX = st.floats(-1e8, 1e8)


def outburst(n: int = 40, seed: int = 0, band: int | None = None) -> LightCurves:
    """A smooth outburst with noise, one object."""
    rng = np.random.default_rng(seed)
    mjd = np.sort(rng.uniform(-40.0, 80.0, n))
    flux = 900.0 * np.exp(-0.5 * (mjd / 12.0) ** 2) + rng.normal(0.0, 15.0, n)
    return LightCurves(
        object_id=np.array(["a"]),
        offsets=np.array([0, n]),
        mjd=60_000.0 + mjd,
        band=np.full(n, band) if band is not None else rng.integers(0, 6, n),
        flux=flux,
        flux_err=np.full(n, 15.0),
        redshift=np.array([0.1]),
        redshift_err=np.array([0.01]),
    )


# --- the Gaussian process against scikit-learn ----------------------------------------------


@pytest.mark.parametrize("scale", [5.0, 20.0, 80.0])
@pytest.mark.parametrize("amplitude", [0.4, 1.2])
def test_one_band_is_scikit_learns_regressor(scale: float, amplitude: float) -> None:
    rng = np.random.default_rng(1)
    n, grid = 15, np.arange(-50.0, 61.0, 5.0)
    points = np.array(
        [np.sort(rng.uniform(-40.0, 50.0, n)), np.full(n, 2.0), rng.normal(size=n), np.full(n, 0.02)]
    )
    regressor = GaussianProcessRegressor(
        amplitude**2 * Matern(scale, nu=1.5), alpha=points[3], optimizer=None
    ).fit(points[0][:, None], points[2])
    mean, sd = regressor.predict(grid[:, None], return_std=True)
    U, alpha, weights = np.empty((n, n)), np.empty(n), np.empty((n, n))
    ones = np.ones((6, 6))
    choice = select(points, n, ones, np.array([scale]), np.array([amplitude]), U, alpha, weights)
    assert choice[2] == pytest.approx(regressor.log_marginal_likelihood_value_)
    sums = np.empty((6, len(grid)))
    predict_grid(points, n, alpha, scale, amplitude**2, grid, sums)
    np.testing.assert_allclose(sums[2], mean, atol=1e-8)
    got_mean, got_sd, work = np.empty(len(grid)), np.empty(len(grid)), np.empty((n, len(grid)))
    rows = np.ones((len(grid), 6))
    predict_points(points, n, U, alpha, scale, amplitude**2, grid, rows, work, got_mean, got_sd)
    np.testing.assert_allclose(got_mean, mean, atol=1e-8)
    np.testing.assert_allclose(got_sd, sd, atol=1e-6)


def test_the_process_is_linear_in_the_fluxes() -> None:
    n = 12
    points = np.array([np.arange(n) * 4.0, np.arange(n) % 6, np.sin(np.arange(n)), np.full(n, 0.01)])
    sums = []
    for sign in (1.0, -1.0):
        signed = points * np.array([1.0, 1.0, sign, 1.0])[:, None]
        U, alpha, weights = np.empty((n, n)), np.empty(n), np.empty((n, n))
        select(signed, n, np.eye(6), np.array([20.0]), np.array([1.0]), U, alpha, weights)
        sums.append(np.empty((6, 9)))
        predict_grid(signed, n, alpha, 20.0, 1.0, np.linspace(0.0, 40.0, 9), sums[-1])
    np.testing.assert_allclose(sums[0], -sums[1], atol=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 30), st.floats(0.01, 30.0))
def test_nights_keep_the_weight_of_all_observations(seed: int, n: int, width: float) -> None:
    rng = np.random.default_rng(seed)
    time, band = np.sort(rng.uniform(0.0, 50.0, n)), rng.integers(0, 6, n)
    flux, err = rng.normal(0.0, 100.0, n), rng.uniform(1.0, 50.0, n)
    out = np.empty((4, n))
    used = bin_nights(time, band, flux, err, 0.0, 50.0, width, out)
    assert 1 <= used <= n
    assert (np.diff(out[0, :used]) >= 0.0).all()
    for b in range(6):
        here, binned = band == b, out[1, :used] == b
        np.testing.assert_allclose((1.0 / out[3, :used][binned]).sum(), (err[here] ** -2.0).sum())
        weighted = (out[2, :used] / out[3, :used])[binned].sum()
        np.testing.assert_allclose(weighted, (flux[here] * err[here] ** -2.0).sum(), atol=1e-9)


@settings(max_examples=25)
@given(st.floats(1e-3, 1e6), st.integers(0, 2**32))
def test_normalised_fluxes_do_not_know_their_unit(unit: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.array([np.arange(8.0), np.zeros(8), rng.normal(0, 50, 8), np.full(8, 25.0)])
    scaled = points * np.array([1.0, 1.0, unit, unit**2])[:, None]
    ratio = normalise(scaled, 8) / normalise(points, 8)
    assert ratio == pytest.approx(unit)
    np.testing.assert_allclose(scaled, points, rtol=1e-9)


# --- contrasts --------------------------------------------------------------------------------


@given(FLUX, FLUX, st.floats(0.0, 1e6))
def test_contrasts_are_bounded_and_change_sign_when_swapped(a: float, b: float, noise: float) -> None:
    if abs(a) + abs(b) + noise > 0.0:
        assert -1.0 <= bounded(a, b, noise) <= 1.0
        assert bounded(a, b, noise) == -bounded(b, a, noise)
    else:
        assert np.isnan(bounded(a, b, noise))


@given(st.floats(1.0, 1e6), st.floats(1.0, 1e6), st.floats(0.0, 1e6))
def test_noise_pulls_a_contrast_towards_zero(a: float, b: float, noise: float) -> None:
    assert abs(bounded(a, b, noise)) <= abs(bounded(a, b, 0.0))
    assert bounded(a, b, 0.0) == pytest.approx((a - b) / (a + b))


# --- metadata -----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.floats(0.0, 360.0), st.floats(-90.0, 90.0))
def test_opposite_points_of_the_sky_have_opposite_latitudes(ra: float, dec: float) -> None:
    here, there = galactic_latitude(np.array([ra, ra + 180.0]), np.array([dec, -dec]))
    assert here == pytest.approx(-there, abs=1e-5)
    assert -90.0 <= here <= 90.0


def test_the_galactic_centre_lies_in_the_plane() -> None:
    assert galactic_latitude(np.array([266.405]), np.array([-28.936]))[0] == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("redshift", [np.nan, 0.0])
def test_without_a_distance_its_error_is_unknown_too(redshift: float) -> None:
    curves = outburst().with_columns(redshift=np.array([redshift]), redshift_err=np.array([0.1]))
    modulus, err = distance(curves)
    assert np.isnan(modulus).all()
    assert np.isnan(err).all()


def test_distance_error_is_half_the_range_within_one_sigma() -> None:
    curves = outburst().with_columns(redshift=np.array([0.3]), redshift_err=np.array([0.1]))
    expected = 0.5 * (distance_modulus(0.4) - distance_modulus(0.2))
    assert distance(curves)[1][0] == pytest.approx(float(expected), rel=1e-5)


def test_an_error_larger_than_the_redshift_stops_at_the_neighbourhood() -> None:
    curves = outburst().with_columns(redshift=np.array([0.05]), redshift_err=np.array([2.0]))
    assert np.isfinite(distance(curves)[1]).all()


def test_an_unknown_error_of_a_known_redshift_is_a_spectroscopic_one() -> None:
    unknown, small = (outburst().with_columns(redshift_err=np.array([err])) for err in (np.nan, 1e-3))
    np.testing.assert_allclose(distance(unknown), distance(small), rtol=1e-6)
    assert metadata(unknown, *distance(unknown))[0, 1] == pytest.approx(1e-3)


def test_an_object_without_observations_has_no_reference() -> None:
    empty = LightCurves(np.array(["a"]), np.zeros(2, int), *(np.empty(0) for _ in range(4)))
    assert np.isnan(reference_mjd(empty)).all()


# --- extraction -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    return extract(outburst())


def test_fluxes_in_another_unit_change_only_features_in_njy(table: FeatureTable) -> None:
    curves = outburst()
    scaled = extract(curves.with_columns(flux=8.0 * curves.flux, flux_err=8.0 * curves.flux_err))
    for feature, before, after in zip(table.features, table.values[0], scaled.values[0], strict=True):
        if feature.unit == "nJy":
            np.testing.assert_allclose(after, 8.0 * before, rtol=1e-4, err_msg=feature.name)
        elif feature.unit == "mag" and feature.name.startswith("absolute"):
            np.testing.assert_allclose(after, before - 2.5 * np.log10(8.0), atol=1e-3, err_msg=feature.name)
        else:
            np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5, err_msg=feature.name)


def test_objects_may_come_in_any_order(sample: LightCurves) -> None:
    order = np.array([40, 3, 111, 3])
    forward = extract(sample.take(order)).values
    np.testing.assert_array_equal(forward[::-1], extract(sample.take(order[::-1])).values)


def test_one_band_alone_says_nothing_of_the_others() -> None:
    read = extract(outburst(band=3))
    for name in ("flux_mean", "snr_max", "excess"):
        assert np.isfinite(read.column(f"{name}_i")).all()
        assert all(np.isnan(read.column(f"{name}_{band}")).all() for band in "ugrzy")
    assert read.column("observed_bands")[0] == 1.0
    assert np.isnan(read.column("max_ratio_ri")).all()


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from([1e-2, 1.0, 1e4, 1e8]))
def test_any_small_curve_gives_finite_numbers_or_none(seed: int, n: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    time, band = np.divmod(np.sort(rng.choice(36, n, replace=False)), 6)  # a band has one row per time
    curves = LightCurves(
        object_id=np.array(["a"]),
        offsets=np.array([0, n]),
        mjd=np.array([0.0, 0.01, 1.0, 30.0, 400.0, 1e4])[time],
        band=band,
        flux=size * rng.normal(size=n),
        flux_err=10.0 ** rng.uniform(-3.0, 4.0, n),
        detected=rng.random(n) < 0.3,
        redshift=rng.choice([np.nan, 0.0, 1e-4, 0.2, 6.0], 1),
    )
    values = extract(curves).values
    assert not np.isinf(values).any()
    assert values[0, [f.name for f in extract(curves).features].index("n_obs")] == n


def test_a_coarser_grid_gives_nearly_the_same_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []
    for step in (1.0, 4.0):
        monkeypatch.setattr(sys.modules["firstlight.features.extract"], "GRID_STEP", step)
        tables.append(extract(outburst(120)))
    fine, coarse = tables
    for name, margin in (("gp_peak_phase", 4.0), ("fall_half_all", 2.0)):
        assert abs(fine.column(name)[0] - coarse.column(name)[0]) <= margin


def test_an_unknown_column_is_refused(table: FeatureTable) -> None:
    with pytest.raises(DataError, match="no feature 'brightness' among"):
        table.column("brightness")
