"""Nightly points in a row of fixed size, and the Gaussian process that is read from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.features import FeatureConfig, extract
from firstlight.features.extract import read_nights
from firstlight.features.gaussian import BIN_WIDTH, WINDOW
from firstlight.features.nights import MOST_POINTS, N_POINTS, WIDTH, advance_rows, initial_rows
from firstlight.features.registry import gaussian_features
from firstlight.lightcurves import LightCurves


def rows_of(curves: LightCurves) -> np.ndarray:
    """Rows that all observations advanced at once."""
    rows = initial_rows(len(curves))
    advance_rows(rows, curves)
    return rows


def points_of(row: np.ndarray) -> np.ndarray:
    """Time, band, weight and weighted flux of each point, shape (n_points, 4)."""
    return row[6:].reshape(-1, 4)[: int(row[N_POINTS])]


def one_curve(mjd: list[float], band: list[int], detected: list[bool]) -> LightCurves:
    order = np.lexsort((band, mjd))
    times, bands = np.array(mjd)[order], np.array(band, np.int8)[order]
    once = np.append(True, (np.diff(times) > 0.0) | (np.diff(bands) > 0))
    n = int(once.sum())
    rng = np.random.default_rng(n)
    return LightCurves(
        object_id=np.array(["a"]),
        offsets=np.array([0, n]),
        mjd=times[once],
        band=bands[once],
        flux=rng.normal(300.0, 200.0, n).astype(np.float32),
        flux_err=rng.uniform(10.0, 90.0, n).astype(np.float32),
        detected=np.array(detected)[order][once],
    )


@st.composite
def light_curves(draw: st.DrawFn) -> LightCurves:
    """One object with up to 300 observations of a few years."""
    n = draw(st.integers(1, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    span = draw(st.sampled_from([3.0, 60.0, 900.0]))
    share = draw(st.sampled_from([0.0, 0.05, 0.9]))
    mjd = 60000.0 + np.round(rng.uniform(0.0, span, n), draw(st.sampled_from([0, 4])))
    return one_curve(mjd.tolist(), rng.integers(0, 6, n).tolist(), (rng.random(n) < share).tolist())


@settings(max_examples=60)
@given(light_curves(), st.data())
def test_a_row_depends_on_the_observations_and_not_on_how_they_arrive(curve, data):
    n = len(curve.mjd)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=6)))
    rows = initial_rows(1)
    for low, high in zip([0, *cuts], [*cuts, n], strict=True):
        at = np.arange(n)
        advance_rows(rows, curve.keep((at >= low) & (at < high)))
        rows = np.frombuffer(rows.tobytes()).reshape(rows.shape).copy()  # as a state that was put away
    assert rows.tobytes() == rows_of(curve).tobytes()


@settings(max_examples=60)
@given(light_curves())
def test_points_ascend_and_hold_every_observation_of_the_window(curve):
    row = rows_of(curve)[0]
    points = points_of(row)
    assert len(points) <= MOST_POINTS
    assert (np.diff(points[:, 0]) >= 0.0).all()
    for band in range(6):
        own = points[points[:, 1] == band, 0]
        assert (np.diff(own) > row[WIDTH]).all()
    trigger = curve.trigger_mjd[0]
    low = (curve.mjd[-1] if np.isnan(trigger) else trigger) + WINDOW[0]
    inside = (curve.mjd >= low) & ~(curve.mjd > trigger + WINDOW[1])
    weight = 1.0 / curve.flux_err.astype(np.float64) ** 2
    # a point that began before the window leaves it with all of its observations
    whole = inside & (curve.mjd > low + row[WIDTH])
    for total, value in ((points[:, 2], weight), (points[:, 3], weight * curve.flux)):
        assert abs(total).sum() > 0.0
        rounding = 1e-9 * abs(value).sum()
        spread = abs(value[inside & ~whole]).sum() + rounding
        assert abs(total.sum() - value[inside].sum()) <= spread


def test_a_full_row_joins_nights_until_there_is_room():
    n = 400
    curve = one_curve((60000.0 + 0.5 * np.arange(n)).tolist(), [2] * n, [True] * n)
    row = rows_of(curve)[0]
    assert row[WIDTH] > 4.0 * BIN_WIDTH
    assert MOST_POINTS // 2 < row[N_POINTS] <= MOST_POINTS


def test_few_nights_give_the_features_of_the_whole_light_curve(sample):
    few = sample.take((sample.n_obs < 140) & np.isfinite(sample.trigger_mjd))
    rows = rows_of(few)
    not_joined = rows[:, WIDTH] == BIN_WIDTH
    assert not_joined.sum() > 20
    few = few.take(not_joined)
    names = [feature.name for feature in gaussian_features()]
    table = extract(few, FeatureConfig())
    expected = np.column_stack([table.column(name) for name in names])
    found = read_nights(rows[not_joined], few.redshift)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    near = np.isclose(found, expected, rtol=1e-3, atol=1e-3, equal_nan=True)
    assert near.mean() > 0.995  # a peak may move by a grid step where two values agree to seven digits


def test_without_a_redshift_exactly_the_features_that_need_it_are_missing(sample):
    rows = rows_of(sample)
    redshift = np.where(sample.redshift > 0.0, sample.redshift, np.float32(0.3))
    shown, hidden = (read_nights(rows, z) for z in (redshift, np.full_like(redshift, np.nan)))
    needs = np.array([feature.needs_redshift for feature in gaussian_features()])
    assert np.isnan(hidden[:, needs]).all()
    np.testing.assert_array_equal(shown[:, ~needs], hidden[:, ~needs])


@pytest.mark.parametrize("detected", [False, True])
def test_an_object_without_observations_has_no_features_and_one_observation_some(detected):
    assert np.isnan(read_nights(initial_rows(1), np.array([0.1], np.float32))).all()
    row = rows_of(one_curve([60000.0], [3], [detected]))
    assert np.isfinite(read_nights(row, np.array([0.1], np.float32))).any()
