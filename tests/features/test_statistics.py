"""The raw statistics against slow and obvious calculations of the same."""

import numpy as np
import pytest
from numpy.typing import NDArray

from firstlight.features import FeatureTable, extract
from firstlight.lightcurves import LightCurves


@pytest.fixture(scope="module")
def table(sample: LightCurves) -> FeatureTable:
    return extract(sample)


def _each(sample: LightCurves, function: object) -> NDArray[np.float64]:
    return np.array([function(curve) for curve in sample], dtype=np.float64)  # type: ignore[operator]


def test_counts_are_those_of_the_columns(sample: LightCurves, table: FeatureTable) -> None:
    np.testing.assert_array_equal(table.column("n_obs"), sample.n_obs)
    np.testing.assert_array_equal(table.column("n_detected"), _each(sample, lambda c: c.detected.sum()))
    for b, band in enumerate("ugrizy"):
        np.testing.assert_array_equal(
            table.column(f"n_obs_{band}"), _each(sample, lambda c, b=b: (c.band == b).sum())
        )


def test_times_count_from_the_trigger(sample: LightCurves, table: FeatureTable) -> None:
    last = sample.mjd[sample.offsets[1:] - 1]
    np.testing.assert_allclose(table.column("phase"), last - sample.trigger_mjd, rtol=1e-5)
    np.testing.assert_allclose(
        table.column("history"), _each(sample, lambda c: c.trigger_mjd - c.mjd[0]), rtol=1e-5
    )
    span = _each(sample, lambda c: np.ptp(c.mjd[c.detected]))
    np.testing.assert_allclose(table.column("detected_span"), span, rtol=1e-5, atol=1e-4)


def test_moments_agree_with_scipy(sample: LightCurves, table: FeatureTable) -> None:
    from scipy import stats

    for b, band in ((1, "g"), (4, "z")):
        flux = [c.flux[c.band == b].astype(np.float64) for c in sample]
        for name, function in (("skew", stats.skew), ("kurtosis", stats.kurtosis), ("flux_std", np.std)):
            expected = np.array([function(f) if len(f) > 1 else np.nan for f in flux])
            np.testing.assert_allclose(table.column(f"{name}_{band}"), expected, rtol=1e-4, atol=1e-4)


def test_extremes_of_signal_to_noise(sample: LightCurves, table: FeatureTable) -> None:
    snr = [c.flux.astype(np.float64) / c.flux_err for c in sample]
    np.testing.assert_allclose(table.column("snr_max"), [s.max() for s in snr], rtol=1e-6)
    np.testing.assert_allclose(table.column("snr_min"), [s.min() for s in snr], rtol=1e-6)
    np.testing.assert_array_equal(table.column("n_above_10"), [(s > 10).sum() for s in snr])
    np.testing.assert_array_equal(table.column("n_below_3"), [(s < -3).sum() for s in snr])
    power = [(s[s < 0] ** 2).sum() / (s**2).sum() for s in snr]
    np.testing.assert_allclose(table.column("negative_power"), power, rtol=1e-4, atol=1e-9)


def test_excess_and_von_neumann_by_hand(sample: LightCurves, table: FeatureTable) -> None:
    excess, ratio = [], []
    for c in sample:
        f, e = c.flux[c.band == 2].astype(np.float64), c.flux_err[c.band == 2].astype(np.float64)
        mean = np.average(f, weights=e**-2) if len(f) else np.nan
        excess.append(np.mean(((f - mean) / e) ** 2) if len(f) else np.nan)
        ratio.append(np.mean(np.diff(f) ** 2) / np.var(f) if len(f) > 1 else np.nan)
    np.testing.assert_allclose(table.column("excess_r"), excess, rtol=1e-4)
    np.testing.assert_allclose(table.column("von_neumann_r"), ratio, rtol=1e-4)


def test_features_outside_the_outburst(sample: LightCurves, table: FeatureTable) -> None:
    expected = []
    for c in sample:
        snr = (c.flux.astype(np.float64) / c.flux_err)[c.mjd - c.trigger_mjd > 200.0]
        expected.append(np.mean(snr**2) if len(snr) else np.nan)
    np.testing.assert_allclose(table.column("after_chi2"), expected, rtol=1e-4)


def _curve(time: list[float], band: list[int], flux: list[float], err: float = 1.0) -> LightCurves:
    return LightCurves(
        object_id=np.array(["a"]),
        offsets=np.array([0, len(time)]),
        mjd=np.array(time),
        band=np.array(band),
        flux=np.array(flux),
        flux_err=np.full(len(time), err),
    )


def test_structure_function_separates_nights_from_months() -> None:
    """A star that jumps within a night and repeats itself after a month."""
    curves = _curve([0.0, 0.1, 30.0, 30.1], [2, 2, 2, 2], [0.0, 20.0, 0.0, 20.0])
    table = extract(curves)
    assert table.column("structure_1.5")[0] == pytest.approx(200.0)
    assert table.column("structure_60")[0] == pytest.approx(100.0)  # two of the four pairs differ
    assert np.isnan(table.column("structure_20")[0])


def test_seasons_and_nights_of_detections() -> None:
    curves = _curve([0.0, 0.1, 1.0, 100.0], [1, 2, 1, 1], [10.0, 10.0, 10.0, 10.0])
    table = extract(curves)
    assert table.column("detected_nights")[0] == 3
    assert table.column("detected_seasons")[0] == 2
    assert table.column("detected_bands")[0] == 2


def test_observed_colours_are_bounded_contrasts() -> None:
    curves = _curve([0.0, 0.1], [1, 2], [10.0, 30.0])
    table = extract(curves)
    assert table.column("observed_gr_3")[0] == pytest.approx(-20.0 / (40.0 + np.sqrt(2.0)))
    assert np.isnan(table.column("observed_ri_3")[0])
    assert table.column("max_ratio_gr")[0] == pytest.approx(-20.0 / 42.0)


def test_second_brightest_lies_in_another_night() -> None:
    table = extract(_curve([0.0, 0.2, 5.0], [1, 2, 1], [30.0, 25.0, 8.0]))
    assert table.column("snr_second")[0] == pytest.approx(8.0)
    assert table.column("second_gap")[0] == pytest.approx(5.0)


def test_scatter_between_seasons_shows_slow_variability() -> None:
    steady = extract(_curve([0.0, 1.0, 200.0, 201.0], [2] * 4, [10.0, 11.0, 11.0, 10.0]))
    slow = extract(_curve([0.0, 1.0, 200.0, 201.0], [2] * 4, [10.0, 11.0, 40.0, 41.0]))
    assert slow.column("season_chi2")[0] > 100.0 * max(float(steady.column("season_chi2")[0]), 0.1)


def test_per_band_extremes_and_medians(sample: LightCurves, table: FeatureTable) -> None:
    for b, band in ((0, "u"), (3, "i")):
        highest, lowest, error, share = [], [], [], []
        for c in sample:
            flux, err = c.flux[c.band == b], c.flux_err[c.band == b]
            some = len(flux) > 0
            highest.append(flux.max() if some else np.nan)
            lowest.append(flux.min() if some else np.nan)
            error.append(np.median(err) if some else np.nan)
            share.append(np.mean(flux / err < -3.0) if some else np.nan)
        np.testing.assert_allclose(table.column(f"flux_max_{band}"), highest, rtol=1e-6)
        np.testing.assert_allclose(table.column(f"flux_min_{band}"), lowest, rtol=1e-6)
        np.testing.assert_allclose(table.column(f"flux_err_{band}"), error, rtol=1e-6)
        np.testing.assert_allclose(table.column(f"negative_{band}"), share, rtol=1e-5, atol=1e-7)


def test_weighted_means_and_their_significance(sample: LightCurves, table: FeatureTable) -> None:
    means, significances = [], []
    for c in sample:
        f, e = c.flux[c.band == 1].astype(np.float64), c.flux_err[c.band == 1].astype(np.float64)
        weight = e**-2
        means.append(np.sum(weight * f) / np.sum(weight) if len(f) else np.nan)
        significances.append(np.sum(weight * f) / np.sqrt(np.sum(weight)) if len(f) else np.nan)
    np.testing.assert_allclose(table.column("flux_mean_g"), means, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(table.column("mean_snr_g"), significances, rtol=1e-4, atol=1e-4)


def test_robust_shape_of_the_fluxes(sample: LightCurves, table: FeatureTable) -> None:
    spread, asymmetry = [], []
    for c in sample:
        f = np.sort(c.flux[c.band == 2].astype(np.float64))
        if len(f) < 2:
            spread.append(np.nan)
            asymmetry.append(np.nan)
            continue
        median = np.median(f)
        spread.append(np.median(np.abs(f - median)) / np.std(f))
        asymmetry.append((f[-1] - median) / (f[-1] - f[0]))
    np.testing.assert_allclose(table.column("spread_r"), spread, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(table.column("asymmetry_r"), asymmetry, rtol=1e-4, atol=1e-5)


def test_the_median_of_two_fluxes_lies_between_them() -> None:
    table = extract(_curve([0.0, 1.0], [2, 2], [10.0, 30.0]))
    assert table.column("asymmetry_r")[0] == pytest.approx(0.5)
    assert table.column("spread_r")[0] == pytest.approx(1.0)


def test_dips_and_bursts_differ() -> None:
    """Flux that only dims has all of its power below zero, and its asymmetry is small."""
    time = [float(i) for i in range(10)]
    burst = extract(_curve(time, [2] * 10, [0.0] * 8 + [30.0, 20.0]))
    dip = extract(_curve(time, [2] * 10, [0.0] * 8 + [-30.0, -20.0]))
    assert burst.column("negative_power")[0] == 0.0
    assert dip.column("negative_power")[0] == 1.0
    assert burst.column("asymmetry_r")[0] == pytest.approx(1.0)
    assert dip.column("asymmetry_r")[0] == pytest.approx(0.0)
    assert burst.column("skew_r")[0] == pytest.approx(-dip.column("skew_r")[0])


def test_of_equal_signal_to_noise_the_brightest_counts() -> None:
    """Where errors are a fixed share of the flux, rounding would choose the time of the highest S/N."""
    time, flux = [0.0, 5.0, 10.0, 15.0, 20.0], np.array([20.0, 60.0, 90.0, 70.0, 30.0])
    curves = _curve(time, [2] * 5, flux.tolist())
    for change in (1.0, 1.0001):
        err = 0.01 * flux * np.array([1.0, 1.0, change, 1.0, 1.0])
        table = extract(curves.with_columns(flux_err=err))
        assert table.column("max_phase")[0] == 10.0
        assert table.column("second_gap")[0] == 5.0


def test_trend_of_a_straight_line() -> None:
    time = [0.0, 10.0, 20.0, 30.0]
    table = extract(_curve(time, [2] * 4, [10.0, 12.0, 14.0, 16.0]))
    assert table.column("trend")[0] == pytest.approx(0.2)
    expected = 0.2 * np.sqrt(np.sum((np.array(time) - 15.0) ** 2))
    assert table.column("trend_snr")[0] == pytest.approx(expected)


@pytest.mark.parametrize("time", [[5.0], [5.0, 5.0], [5.0, 5.00001], [5.0, 5.1, 5.3]])
def test_trend_needs_two_nights(time: list[float]) -> None:
    table = extract(_curve(time, [1, 2, 3][: len(time)], [10.0, 30.0, 40.0][: len(time)]))
    assert np.isnan(table.column("trend")[0])
    assert np.isnan(table.column("trend_snr")[0])


def test_detections_near_and_far_from_the_brightest() -> None:
    table = extract(_curve([0.0, 30.0, 100.0, 400.0], [2] * 4, [50.0, 10.0, 10.0, 10.0]))
    assert table.column("detected_near_max")[0] == pytest.approx(0.5)
    assert table.column("detected_around_max")[0] == pytest.approx(0.75)


def test_shares_of_detections_before_and_since_the_trigger() -> None:
    table = extract(_curve([0.0, 1.0, 2.0, 3.0], [2] * 4, [0.0, 0.0, 10.0, 1.0]))
    assert table.column("detected_fraction")[0] == pytest.approx(0.25)
    assert table.column("detected_since_trigger")[0] == pytest.approx(0.5)
    assert table.column("since_detection")[0] == pytest.approx(1.0)


def test_simultaneous_observations_count_since_the_trigger_in_any_order() -> None:
    for flux in ([1.0, 10.0, 1.0], [10.0, 1.0, 1.0]):
        table = extract(_curve([0.0, 0.0, 1.0], [1, 2, 2], flux))
        assert table.column("detected_since_trigger")[0] == pytest.approx(1.0 / 3.0)


def test_flux_outside_the_outburst_is_relative_to_the_peak() -> None:
    table = extract(_curve([0.0, 1.0, 300.0, 301.0], [2] * 4, [100.0, 80.0, 10.0, -10.0]))
    assert table.column("n_after")[0] == 2
    assert table.column("after_flux")[0] == pytest.approx(0.1)
    assert table.column("after_snr")[0] == pytest.approx(0.0, abs=1e-6)
    assert table.column("after_chi2")[0] == pytest.approx(100.0)
    assert table.column("n_before")[0] == 0
    assert np.isnan(table.column("before_flux")[0])


def test_intrinsic_scatter_is_compared_between_bands() -> None:
    time = [float(i) for i in range(8)]
    flux = [100.0, 20.0, -100.0, -20.0] * 2
    table = extract(_curve(time, [1, 2] * 4, flux))
    assert table.column("std_ratio_gr")[0] == pytest.approx(0.67, abs=0.02)
    assert np.isnan(table.column("std_ratio_ri")[0])


def test_one_observation_of_a_band_shows_no_scatter() -> None:
    table = extract(_curve([0.0, 1.0, 2.0], [1, 1, 2], [100.0, 20.0, 50.0]))
    assert np.isnan(table.column("std_ratio_gr")[0])


def test_colour_windows_count_from_the_brightest_observation() -> None:
    time, band = [0.0, 10.0, 10.0, 45.0, 45.0], [1, 1, 2, 1, 2]
    table = extract(_curve(time, band, [90.0, 20.0, 60.0, 5.0, 5.0]))
    assert table.column("observed_gr_15")[0] == pytest.approx(-40.0 / (80.0 + np.sqrt(2.0)))
    assert table.column("observed_gr_60")[0] == pytest.approx(0.0)
    assert np.isnan(table.column("observed_gr_30")[0])
