import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from firstlight.metrics.curves import (
    N_BINS,
    OperatingCurve,
    average_precision,
    calibration_error,
    completeness_at_purity,
    precision_recall_curve,
    reliability,
    roc_auc,
    roc_curve,
    thin,
)

MEMBERS = np.array([True, True, False, True, False, False])
SCORES = np.array([0.9, 0.7, 0.7, 0.4, 0.2, 0.1])

problems = st.integers(2, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.lists(st.integers(0, 8), min_size=n, max_size=n),  # few values: many ties
    )
)


def test_auc_counts_pairs_and_half_of_the_ties() -> None:
    # Members 0.9, 0.7, 0.4 against others 0.7, 0.2, 0.1: wins 3 + 2 + 2, one tie.
    assert roc_auc(MEMBERS, SCORES) == pytest.approx((3 + 2.5 + 2) / 9)


def test_auc_of_constant_scores_is_one_half() -> None:
    assert roc_auc(MEMBERS, np.zeros(6)) == 0.5


@pytest.mark.parametrize("members", [np.zeros(3, bool), np.ones(3, bool), np.zeros(0, bool)])
def test_auc_needs_members_and_others(members: np.ndarray) -> None:
    assert np.isnan(roc_auc(members, np.arange(float(len(members)))))


@given(problems)
def test_auc_agrees_with_scikit_learn(problem: tuple[list[bool], list[int]]) -> None:
    members, scores = np.array(problem[0]), np.array(problem[1], dtype=float)
    if members.all() or not members.any():
        assert np.isnan(roc_auc(members, scores))
    else:
        assert roc_auc(members, scores) == pytest.approx(reference.roc_auc_score(members, scores))


@given(problems)
def test_auc_of_reversed_scores_is_the_complement(problem: tuple[list[bool], list[int]]) -> None:
    members, scores = np.array(problem[0]), np.array(problem[1], dtype=float)
    if members.any() and not members.all():
        assert roc_auc(members, scores) + roc_auc(members, -scores) == pytest.approx(1.0)


@given(problems)
def test_the_area_under_the_roc_curve_is_the_auc(problem: tuple[list[bool], list[int]]) -> None:
    members, scores = np.array(problem[0]), np.array(problem[1], dtype=float)
    if members.all() or not members.any():
        return
    curve = roc_curve(members, scores)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(roc_auc(members, scores))


def test_roc_curve_runs_from_corner_to_corner() -> None:
    curve = roc_curve(MEMBERS, SCORES)
    assert (curve.x[0], curve.y[0], curve.threshold[0]) == (0.0, 0.0, np.inf)
    assert (curve.x[-1], curve.y[-1]) == (1.0, 1.0)
    assert len(curve.x) == 6  # five distinct scores and the start


def test_roc_curve_without_members_has_no_rate() -> None:
    assert np.isnan(roc_curve(np.zeros(3, bool), np.arange(3.0)).y).all()


def test_precision_recall_curve_by_hand() -> None:
    curve = precision_recall_curve(MEMBERS, SCORES)
    np.testing.assert_allclose(curve.x, [0, 1 / 3, 2 / 3, 1, 1, 1])
    np.testing.assert_allclose(curve.y, [1, 1, 2 / 3, 3 / 4, 3 / 5, 3 / 6])


@given(problems)
def test_average_precision_agrees_with_scikit_learn(problem: tuple[list[bool], list[int]]) -> None:
    members, scores = np.array(problem[0]), np.array(problem[1], dtype=float)
    if members.any():
        assert average_precision(precision_recall_curve(members, scores)) == pytest.approx(
            reference.average_precision_score(members, scores)
        )


def test_completeness_at_purity_takes_the_loosest_threshold_that_is_pure_enough() -> None:
    curve = precision_recall_curve(MEMBERS, SCORES)
    assert completeness_at_purity(curve, 0.75) == 1.0
    assert completeness_at_purity(curve, 0.9) == pytest.approx(1 / 3)


def test_completeness_is_zero_where_no_threshold_is_pure_enough() -> None:
    curve = precision_recall_curve(np.array([False, True]), np.array([1.0, 0.0]))
    assert completeness_at_purity(curve, 0.9) == 0.0


def test_thin_keeps_short_curves_as_they_are() -> None:
    curve = roc_curve(MEMBERS, SCORES)
    assert thin(curve, 10) is curve


def test_thin_keeps_ends_and_shape() -> None:
    rng = np.random.default_rng(0)
    members = rng.random(20_000) < 0.1
    scores = rng.normal(size=20_000) + 2.0 * members
    curve = roc_curve(members, scores)
    drawn = thin(curve, 300)
    assert len(drawn.x) <= 302
    assert (drawn.x[0], drawn.x[-1], drawn.y[-1]) == (0.0, 1.0, 1.0)
    assert np.trapezoid(drawn.y, drawn.x) == pytest.approx(roc_auc(members, scores), abs=2e-3)
    np.testing.assert_allclose(
        np.interp(1e-3, drawn.x, drawn.y), np.interp(1e-3, curve.x, curve.y), atol=0.02
    )


def test_thin_survives_a_curve_that_does_not_move() -> None:
    flat = OperatingCurve(np.zeros(50), np.zeros(50), np.zeros(50))
    assert len(thin(flat, 5).x) >= 2


# --- reliability ---------------------------------------------------------------------


def test_calibrated_forecasts_have_no_error() -> None:
    happened = np.repeat([True, False], [80, 20])
    assert calibration_error(happened, np.full(100, 0.8)) == pytest.approx(0.0)


def test_error_is_the_gap_weighted_by_numbers() -> None:
    # 3 forecasts of 0.9 of which 1 happened, 1 forecast of 0.2 that did not.
    happened = np.array([True, False, False, False])
    probability = np.array([0.9, 0.9, 0.9, 0.2])
    expected = 3 / 4 * (0.9 - 1 / 3) + 1 / 4 * 0.2
    assert calibration_error(happened, probability) == pytest.approx(expected)


def test_gaps_of_different_bins_do_not_cancel() -> None:
    happened = np.array([True, False])
    assert calibration_error(happened, np.array([0.3, 0.7])) == pytest.approx(0.7)
    assert calibration_error(happened, np.array([0.5, 0.5])) == pytest.approx(0.0)


def test_bins_are_closed_on_the_right_and_take_zero_and_one() -> None:
    bins = reliability(np.ones(4, bool), np.array([0.0, 0.2, 0.2000001, 1.0]), n_bins=5)
    assert bins.n.tolist() == [2, 1, 0, 0, 1]
    assert np.isnan(bins.forecast[2])
    assert np.isnan(bins.observed[3])
    np.testing.assert_allclose(bins.edge, [0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_no_forecast_has_no_error() -> None:
    assert calibration_error(np.zeros(0, bool), np.zeros(0)) == 0.0


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=50), st.integers(1, 20))
def test_error_is_bounded_and_every_forecast_is_counted(rows: list[tuple[bool, float]], n_bins: int) -> None:
    happened, probability = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    bins = reliability(happened, probability, n_bins)
    assert bins.n.sum() == len(rows)
    assert 0.0 <= bins.error <= 1.0


def test_calibrated_forecasts_have_a_small_error() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(50_000)
    happened = rng.random(50_000) < probability
    assert calibration_error(happened, probability, N_BINS) < 0.01
    assert calibration_error(happened, probability**2, N_BINS) > 0.1
