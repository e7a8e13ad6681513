import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.metrics.reliability import N_BINS, calibration_error, reliability


def test_a_kept_promise_has_no_error() -> None:
    came_true = np.repeat([True, False], [80, 20])
    assert calibration_error(came_true, np.full(100, 0.8)) == pytest.approx(0.0)


def test_error_is_the_gap_weighted_by_numbers() -> None:
    # 3 forecasts of 0.9 of which 1 came true, 1 forecast of 0.2 that did not.
    came_true = np.array([True, False, False, False])
    probability = np.array([0.9, 0.9, 0.9, 0.2])
    expected = 3 / 4 * (0.9 - 1 / 3) + 1 / 4 * 0.2
    assert calibration_error(came_true, probability) == pytest.approx(expected)


def test_gaps_of_different_bins_do_not_cancel() -> None:
    came_true = np.array([True, False])
    assert calibration_error(came_true, np.array([0.3, 0.7])) == pytest.approx(0.7)
    assert calibration_error(came_true, np.array([0.5, 0.5])) == pytest.approx(0.0)


def test_bins_are_closed_on_the_right_and_take_zero_and_one() -> None:
    bins = reliability(np.ones(4, bool), np.array([0.0, 0.2, 0.2000001, 1.0]), n_bins=5)
    assert bins.n.tolist() == [2, 1, 0, 0, 1]
    assert np.isnan(bins.promised[2])
    assert np.isnan(bins.observed[3])
    np.testing.assert_allclose(bins.edge, [0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_no_forecast_has_no_error() -> None:
    assert calibration_error(np.zeros(0, bool), np.zeros(0)) == 0.0


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=50), st.integers(1, 20))
def test_error_is_bounded_and_every_forecast_is_counted(rows: list[tuple[bool, float]], n_bins: int) -> None:
    came_true, probability = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    bins = reliability(came_true, probability, n_bins)
    assert bins.n.sum() == len(rows)
    assert 0.0 <= bins.error <= 1.0


def test_calibrated_forecasts_have_a_small_error() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(50_000)
    came_true = rng.random(50_000) < probability
    assert calibration_error(came_true, probability, N_BINS) < 0.01
    assert calibration_error(came_true, probability**2, N_BINS) > 0.1
