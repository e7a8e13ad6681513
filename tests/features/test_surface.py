"""Values of a known surface: times, colours and magnitudes by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from firstlight.features.gaussian import bin_object, normalise, predict_grid, select
from firstlight.features.registry import COLOURS, EPOCHS, REST_COLOURS, REST_EPOCHS, gaussian_features
from firstlight.features.surface import read_epochs, write_fit, write_observer_frame, write_rest_frame

FEATURES = gaussian_features()
NAMES = [feature.name for feature in FEATURES]
FREE = [feature.name for feature in FEATURES if not feature.needs_redshift]
REST = [feature.name for feature in FEATURES if feature.needs_redshift]
GRID = np.arange(-100.0, 201.0, 2.0)
PAIRS = np.array(COLOURS, dtype=np.int64)
REST_PAIRS = np.array(REST_COLOURS, dtype=np.int64)
N_FIT = FREE.index("gp_peak_phase")


def _triangle(peak: float, rise: float, fall: float) -> NDArray[np.float64]:
    """Straight rise and fall between zero and one."""
    up = 1.0 - (peak - GRID) / rise
    down = 1.0 - (GRID - peak) / fall
    return np.clip(np.where(peak > GRID, up, down), 0.0, None)


def _observer(
    mean: NDArray[np.float64],
    at: NDArray[np.float64] | None = None,
    sd: NDArray[np.float64] | None = None,
    span: tuple[int, int] = (0, 151),
    last: float = 200.0,
    scale: float = 10.0,
) -> dict[str, float]:
    """Features of the observer frame by name."""
    shape = (len(EPOCHS) + 1, 6)
    at = np.ones(shape) if at is None else at
    sd = np.zeros(shape) if sd is None else sd
    out = np.full(len(FREE), np.nan)
    light = mean[1] + mean[2] + mean[3] + mean[4]
    epochs = np.array(EPOCHS)
    end = write_observer_frame(GRID, mean, light, span, last, at, sd, epochs, PAIRS, scale, out, N_FIT)
    assert end == len(FREE)
    return dict(zip(FREE, out, strict=True))


def _rest(
    rest: NDArray[np.float64],
    at: NDArray[np.float64],
    sd: NDArray[np.float64],
    redshift: float = 1.0,
    modulus: float = 40.0,
    scale: float = 100.0,
) -> dict[str, float]:
    """Features of the rest frame by name."""
    out = np.full(len(REST), np.nan)
    light = _triangle(20.0, 20.0, 40.0)
    peak = int(np.argmax(light))
    end = write_rest_frame(
        GRID, rest, light, (0, 151), peak, np.full(6, 50.0), at, sd, np.array(REST_EPOCHS), REST_PAIRS,
        scale, redshift, modulus, out, 0,
    )  # fmt: skip
    assert end == REST.index("rest_since_peak")  # the rest needs no surface
    return dict(zip(REST, out, strict=True))


@pytest.mark.parametrize(
    ("peak", "rise", "fall"), [(20.0, 20.0, 40.0), (0.0, 8.0, 100.0), (-40.0, 30.0, 30.0)]
)
def test_straight_flanks_cross_the_levels_where_they_must(peak: float, rise: float, fall: float) -> None:
    read = _observer(np.tile(_triangle(peak, rise, fall), (6, 1)))
    assert read["gp_peak_phase"] == pytest.approx(peak)
    for name in ("all", "u", "y"):
        assert read[f"rise_half_{name}"] == pytest.approx(0.5 * rise)
        assert read[f"rise_fifth_{name}"] == pytest.approx(0.8 * rise)
        assert read[f"fall_half_{name}"] == pytest.approx(0.5 * fall)
        assert read[f"fall_fifth_{name}"] == pytest.approx(0.8 * fall)


def test_bands_have_their_own_peaks() -> None:
    mean = np.stack([_triangle(10.0 + 4.0 * b, 20.0, 40.0) for b in range(6)])
    read = _observer(mean)
    delays = [read[f"gp_peak_delay_{band}"] for band in "ugrizy"]
    np.testing.assert_allclose(np.diff(delays), 4.0)
    assert read["gp_peak_flux_i"] == pytest.approx(10.0)


def test_a_fall_that_was_not_seen_is_unknown() -> None:
    mean = np.tile(_triangle(20.0, 20.0, 40.0), (6, 1))
    end = int(np.searchsorted(GRID, 26.0))
    read = _observer(mean, span=(0, end), last=24.0)
    assert np.isnan(read["fall_half_all"])
    assert np.isnan(read["fall_fifth_r"])
    assert read["rise_half_all"] == pytest.approx(10.0)
    assert read["gp_since_peak"] == pytest.approx(4.0)


def test_a_rise_that_was_not_seen_is_unknown() -> None:
    mean = np.tile(_triangle(20.0, 20.0, 40.0), (6, 1))
    start = int(np.searchsorted(GRID, 16.0))
    read = _observer(mean, span=(start, 151))
    assert np.isnan(read["rise_half_all"])
    assert read["fall_half_all"] == pytest.approx(20.0)


def test_light_that_only_dims_has_no_rise_or_fall() -> None:
    """An eclipsing star's difference flux may never be positive."""
    read = _observer(np.tile(-1.0 - _triangle(20.0, 20.0, 40.0), (6, 1)))
    for name in ("rise_half_all", "fall_fifth_g"):
        assert np.isnan(read[name])
    assert read["gp_minimum"] < -1.0
    assert read["gp_minimum_r"] == pytest.approx(-2.0)


@pytest.mark.parametrize("top", [1e-12, 0.0, -1e-12])
def test_light_without_a_peak_is_not_divided_by_almost_nothing(top: float) -> None:
    read = _observer(np.tile(top - _triangle(20.0, 40.0, 40.0), (6, 1)), last=40.0)
    assert read["gp_minimum"] == pytest.approx(-20.0)
    assert read["gp_last"] == pytest.approx(-10.0)
    assert read["gp_slope"] == pytest.approx(20.0 / 40.0)
    assert read["gp_slope_first"] == pytest.approx(-20.0 / 40.0)


def test_slopes_are_those_at_the_last_observation_and_the_trigger() -> None:
    mean = np.tile(_triangle(20.0, 40.0, 40.0), (6, 1))
    read = _observer(mean, last=40.0)
    assert read["gp_last"] == pytest.approx(0.5)
    assert read["gp_slope"] == pytest.approx(-1.0 / 40.0)
    assert read["gp_slope_first"] == pytest.approx(1.0 / 40.0)


def test_colours_compare_bands_at_one_epoch() -> None:
    at = np.ones((7, 6))
    at[:, 1] = 3.0
    read = _observer(np.tile(_triangle(20.0, 20.0, 40.0), (6, 1)), at)
    for epoch in ("trigger", "-10", "+0", "+60"):
        assert read[f"colour_gr_{epoch}"] == pytest.approx(0.5)
        assert read[f"colour_ug_{epoch}"] == pytest.approx(-0.5)
        assert read[f"colour_ri_{epoch}"] == pytest.approx(0.0)


def test_ratios_compare_epochs_of_one_band() -> None:
    at = np.ones((7, 6))
    at[5] = 1.0 / 3.0  # the trigger comes first, so this is +30 days
    read = _observer(np.tile(_triangle(20.0, 20.0, 40.0), (6, 1)), at)
    assert read["ratio_z_+30"] == pytest.approx(-0.5)
    assert read["ratio_z_+20"] == pytest.approx(0.0)
    assert "ratio_z_+0" not in read


def test_uncertain_fluxes_give_colours_near_zero() -> None:
    at, sd = np.ones((7, 6)), np.zeros((7, 6))
    at[:, 1] = 3.0
    sure = _observer(np.tile(_triangle(20.0, 20.0, 40.0), (6, 1)), at, sd)
    unsure = _observer(np.tile(_triangle(20.0, 20.0, 40.0), (6, 1)), at, sd + 8.0)
    assert 0.0 < unsure["colour_gr_+0"] < 0.25 * sure["colour_gr_+0"]
    assert unsure["gp_peak_snr_g"] == pytest.approx(3.0 / 8.0)
    assert unsure["gp_peak_sd_g"] == pytest.approx(8.0)


def test_epochs_that_were_not_read_stay_unknown() -> None:
    at = np.ones((7, 6))
    at[6] = np.nan
    read = _observer(np.tile(_triangle(20.0, 20.0, 40.0), (6, 1)), at)
    assert np.isnan(read["colour_gr_+60"])
    assert np.isnan(read["ratio_u_+60"])
    assert np.isfinite(read["colour_gr_+30"])


def test_rest_frame_times_are_shorter_by_one_plus_redshift() -> None:
    flat = np.tile(_triangle(20.0, 20.0, 40.0), (4, 1))
    read = _rest(flat, np.ones((5, 4)), np.zeros((5, 4)), redshift=1.0)
    assert read["fall_half_rest_all"] == pytest.approx(10.0)
    assert read["rise_half_rest_4400"] == pytest.approx(5.0)
    assert read["fall_fifth_rest_5500"] == pytest.approx(16.0)


def test_rest_magnitudes_follow_from_flux_and_distance() -> None:
    at = np.ones((5, 4))
    flat = np.tile(_triangle(20.0, 20.0, 40.0), (4, 1))
    read = _rest(flat, at, np.zeros((5, 4)), redshift=1.0, modulus=40.0, scale=100.0)
    apparent = 31.4 - 2.5 * np.log10(100.0)
    # flux per frequency gathers 1 + z from the narrower interval: M = m - mu + 2.5 log10(1 + z)
    assert read["absolute_4400"] == pytest.approx(apparent - 40.0 + 2.5 * np.log10(2.0))
    assert read["absolute_r"] == pytest.approx(31.4 - 2.5 * np.log10(50.0) - 40.0)


def test_the_magnitude_of_an_unseen_object_is_a_limit() -> None:
    at, sd = np.full((5, 4), -1.0), np.full((5, 4), 0.5)
    flat = np.tile(_triangle(20.0, 20.0, 40.0), (4, 1))
    read = _rest(flat, at, sd, redshift=0.0, modulus=0.0, scale=100.0)
    assert read["absolute_5500"] == pytest.approx(31.4 - 2.5 * np.log10(50.0))


def test_wavelengths_out_of_the_filters_are_unknown() -> None:
    at, sd = np.ones((5, 4)), np.zeros((5, 4))
    at[:, 3] = sd[:, 3] = np.nan
    rest = np.tile(_triangle(20.0, 20.0, 40.0), (4, 1))
    rest[2] = np.nan
    read = _rest(rest, at, sd)
    assert np.isnan(read["absolute_7000"])
    assert np.isnan(read["rest_colour_5500_7000_+0"])
    assert np.isnan(read["fall_half_rest_5500"])
    assert np.isfinite(read["fall_half_rest_4400"])
    assert np.isfinite(read["rest_colour_3600_4400_+10"])


def _conditioned(
    n: int = 30,
) -> tuple[NDArray[np.float64], int, NDArray[np.float64], NDArray[np.float64], object]:
    """A process conditioned on a noisy outburst."""
    rng = np.random.default_rng(3)
    mjd = np.sort(rng.uniform(-20.0, 60.0, n))
    flux = (100.0 * np.exp(-0.5 * ((mjd - 10.0) / 12.0) ** 2) + rng.normal(0.0, 2.0, n)).astype(np.float32)
    points = np.empty((4, n))
    used = bin_object(
        0, n, mjd, rng.integers(0, 6, n).astype(np.int8), flux, np.full(n, 2.0, dtype=np.float32), 0.0,
        -100.0, 200.0, 0.45, 100, points,
    )  # fmt: skip
    normalise(points, used)
    U, alpha, weights = np.empty((used, used)), np.empty(used), np.empty((used, used))
    kernel = np.exp(-np.abs(np.subtract.outer(np.arange(6), np.arange(6))) / 8.0)
    choice = select(
        points, used, kernel, np.array([5.0, 20.0, 80.0]), np.array([0.4, 1.2]), U, alpha, weights
    )
    return points, used, U, alpha, (choice, kernel)


def test_epochs_are_read_where_the_grid_is() -> None:
    points, n, U, alpha, (choice, kernel) = _conditioned()  # type: ignore[misc]
    sums = np.empty((6, len(GRID)))
    predict_grid(points, n, alpha, choice[0], choice[1] ** 2, GRID, sums)
    times, work = np.array([0.0, 10.0, 300.0]), np.empty((n, 18))
    mean, sd = np.empty((3, 6)), np.empty((3, 6))
    read_epochs(points, n, U, alpha, choice, times, kernel, (-30.0, 70.0), work, mean, sd)
    for row, time in enumerate(times[:2]):
        np.testing.assert_allclose(mean[row], (kernel @ sums)[:, np.searchsorted(GRID, time)], atol=1e-9)
    assert np.isnan(mean[2]).all()
    assert np.isnan(sd[2]).all()
    assert np.all((sd[:2] >= 0.0) & (sd[:2] <= choice[1]))


def test_wavelengths_that_are_not_believed_are_not_read() -> None:
    points, n, U, alpha, (choice, kernel) = _conditioned()  # type: ignore[misc]
    correlation = kernel[:4].copy()
    correlation[2] = np.nan
    mean, sd = np.empty((1, 4)), np.empty((1, 4))
    read_epochs(
        points, n, U, alpha, choice, np.array([10.0]), correlation, (-30.0, 70.0), np.empty((n, 4)), mean, sd
    )
    assert np.isnan(mean[0, 2])
    assert np.isfinite(mean[0, [0, 1, 3]]).all()


def test_quality_of_the_fit_is_reported() -> None:
    points, n, _, alpha, (choice, kernel) = _conditioned()  # type: ignore[misc]
    out = np.full(8, np.nan)
    assert write_fit(points, n, 7.0, choice, alpha, out, 0) == 8
    read = dict(zip(FREE[:8], out, strict=True))
    assert read["gp_n"] == n
    assert read["gp_scale"] == 7.0
    assert read["gp_chi2"] < 2.0 < read["gp_chi2_constant"] <= read["gp_chi2_zero"]
    # residuals are N alpha: compare with the prediction itself
    sums = np.empty((6, n))
    predict_grid(points, n, alpha, choice[0], choice[1] ** 2, points[0, :n].copy(), sums)
    mean = np.array([(kernel @ sums)[int(points[1, i]), i] for i in range(n)])
    assert read["gp_chi2"] == pytest.approx(np.mean((points[2, :n] - mean) ** 2 / points[3, :n]), rel=1e-6)
