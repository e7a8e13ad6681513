"""Choice of targets within a limit of hours."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from firstlight.errors import SettingsError
from firstlight.followup.schedule import (
    CHOSEN,
    NO_GAP,
    NO_TIME,
    NO_WORTH,
    NOT_UP,
    ScheduleConfig,
    choose_targets,
    exposure_hours,
)

GRID = np.arange(0.0, 6.0, 0.1)


def up(*windows) -> np.ndarray:
    """Airmass 1.2 within each target's window of hours."""
    return np.array([np.where((a <= GRID + 1e-9) & (b > GRID + 1e-9), 1.2, np.nan) for a, b in windows])


def test_fainter_takes_longer_and_bright_takes_the_shortest():
    hours = exposure_hours([15.0, 21.0, 22.0, 23.0, np.nan])
    assert_allclose(hours, [0.1, 10**-0.8, 1.0, 10**0.8, np.inf])


def test_best_worth_per_hour_comes_first():
    plan = choose_targets(np.array([0.5, 0.9, 0.4]), np.array([18.0, 22.0, 18.0]), GRID, up(*[(0, 6)] * 3))
    assert plan.order.tolist() == [0, 2, 1]


def test_the_limit_of_hours_is_kept():
    config = ScheduleConfig(hours=1.0)
    n = 20
    plan = choose_targets(np.linspace(1.0, 0.1, n), np.full(n, 18.0), GRID, up(*[(0, 6)] * n), config)
    assert plan.used == pytest.approx(1.0)
    assert plan.order.tolist() == [0, 1, 2, 3, 4]
    assert set(plan.fate[5:]) == {NO_TIME}


def test_a_target_that_fits_follows_one_that_does_not():
    config = ScheduleConfig(hours=1.0)
    plan = choose_targets(np.array([1.0, 0.01]), np.array([22.0, 18.0]), GRID, up((0, 6), (0, 6)), config)
    assert plan.fate.tolist() == [NO_TIME, CHOSEN]


def test_targets_wait_for_their_window_or_are_left_out():
    airmass = up((0.0, 0.2), (0.0, 0.2), (5.0, 5.3), (3.0, 3.1))
    plan = choose_targets(np.array([1.0, 0.9, 0.5, 1.0]), np.full(4, 18.0), GRID, airmass)
    assert plan.fate.tolist() == [CHOSEN, NO_GAP, CHOSEN, NOT_UP]
    assert plan.start[0] == 0.0
    assert 5.0 <= plan.start[2] <= 5.11


def test_a_target_is_observed_when_it_is_highest():
    airmass = np.abs(GRID - 3.0)[None, :] + 1.0
    plan = choose_targets(np.array([1.0]), np.array([18.0]), GRID, airmass)
    assert plan.start[0] == pytest.approx(2.9, abs=0.11)


def test_worthless_and_unknown_are_never_chosen():
    worth, mag = np.array([0.0, np.nan, 1.0, -1.0]), np.array([18.0, 18.0, np.nan, 18.0])
    plan = choose_targets(worth, mag, GRID, up(*[(0, 6)] * 4))
    assert len(plan.order) == 0
    assert set(plan.fate) == {NO_WORTH}
    assert np.isnan(plan.start).all()


def test_a_target_worth_too_little_is_not_observed_in_spare_hours():
    worth = np.array([0.5, 0.009])
    plan = choose_targets(worth, np.full(2, 18.0), GRID, up((0, 6), (0, 6)))
    assert plan.fate.tolist() == [CHOSEN, NO_WORTH]


def test_without_a_night_or_targets_nothing_is_chosen():
    nothing = np.empty(0)
    plan = choose_targets(np.ones(2), np.full(2, 18.0), nothing, np.empty((2, 0)))
    assert plan.fate.tolist() == [NOT_UP, NOT_UP]
    assert choose_targets(nothing, nothing, GRID, np.empty((0, len(GRID)))).used == 0.0


@given(st.integers(0, 2**32 - 1))
def test_no_two_at_once_and_all_while_up(seed):
    rng = np.random.default_rng(seed)
    n = 30
    start = rng.uniform(0.0, 5.0, n)
    airmass = up(*zip(start, start + rng.uniform(0.0, 4.0, n), strict=True))
    airmass *= rng.uniform(1.0, 1.5, airmass.shape)
    config = ScheduleConfig(hours=rng.uniform(0.3, 6.0))
    plan = choose_targets(rng.random(n), rng.uniform(17.0, 23.0, n), GRID, airmass, config)
    assert plan.used <= config.hours + 1e-9
    times = sorted((plan.start[i], plan.end[i]) for i in plan.order)
    assert all(b <= c + 1e-9 for (_, b), (c, _) in pairwise(times))
    for i in plan.order:
        during = (plan.start[i] - 1e-9 <= GRID) & (plan.end[i] - 1e-9 > GRID)
        assert during.any()
        assert np.isfinite(airmass[i, during]).all()
    assert (np.isfinite(plan.start) == (plan.fate == CHOSEN)).all()


@pytest.mark.parametrize(
    "settings",
    [{"hours": 0.0}, {"hours_at_limit": -1.0}, {"overhead": -0.1}, {"hours": np.nan}],
)
def test_impossible_times_are_refused(settings):
    with pytest.raises(SettingsError, match=next(iter(settings))):
        ScheduleConfig(**settings)


def test_a_lower_priority_is_served_first_whatever_the_worth():
    config = ScheduleConfig(hours=0.5)
    worth, mag = np.array([0.9, 0.1, 0.005, 0.5]), np.full(4, 18.0)
    plan = choose_targets(worth, mag, GRID, up(*[(0, 6)] * 4), config, np.array([2, 0, 0, 1]))
    assert plan.order.tolist() == [1, 3]
    assert plan.fate.tolist() == [NO_TIME, CHOSEN, NO_WORTH, CHOSEN]
