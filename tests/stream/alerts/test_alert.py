"""The internal alert, and the merging of several alerts of one object."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import DataError
from firstlight.lightcurves.visits import SAME_VISIT_DAYS, merge
from firstlight.stream import Alert, Observations, Skip, SkipReason, light_curves
from firstlight.stream.alerts.alert import COLUMN_TYPES


def observations(rows: list[tuple[float, int, float, float, bool, int]]) -> Observations:
    """Observations of (mjd, band, flux, flux_err, detected, source_id) in the given order."""
    columns = list(zip(*rows, strict=True)) or [()] * 6
    return Observations(*(np.array(column) for column in columns))


def merged(
    rows: list[tuple[float, int, float, float, bool, int, int]],
) -> tuple[list[tuple[Any, ...]], int]:
    """Merge rows of (mjd, band, flux, flux_err, detected, source, order)."""
    kinds = (np.float64, np.int8, np.float64, np.float64, np.bool_, np.int64, np.int64)
    columns = [np.array([row[i] for row in rows], kind) for i, kind in enumerate(kinds)]
    *out, _, dropped = merge(*columns)
    return list(zip(*(column.tolist() for column in out), strict=True)), dropped


# --- Observations ---------------------------------------------------------------------


def test_columns_are_stored_read_only_in_their_types() -> None:
    o = observations([(1.0, 2, 3.0, 4.0, True, 5)])
    for name, kind in COLUMN_TYPES.items():
        column = getattr(o, name)
        assert column.dtype == kind
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0
    assert len(o) == 1


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([(2.0, 1, 1.0, 1.0, True, 0), (1.0, 1, 1.0, 1.0, True, 0)], "ascending"),
        ([(math.inf, 1, 1.0, 1.0, True, 0)], "finite"),
        ([(1.0, 6, 1.0, 1.0, True, 0)], "band"),
        ([(1.0, -1, 1.0, 1.0, True, 0)], "band"),
        ([(1.0, 1, math.nan, 1.0, True, 0)], "flux"),
        ([(1.0, 1, 1.0, 0.0, True, 0)], "error not positive"),
        ([(1.0, 1, 1.0, math.inf, True, 0)], "not finite"),
    ],
)
def test_checked_refuses_values_that_no_light_curve_may_hold(rows: Any, why: str) -> None:
    with pytest.raises(DataError, match=why):
        observations(rows).checked()


def test_checked_refuses_columns_of_different_lengths() -> None:
    with pytest.raises(DataError, match="differ in length"):
        Observations(*(np.zeros(2 if i else 1) for i in range(6))).checked()


def test_checked_passes_sound_observations() -> None:
    o = observations([(1.0, 1, -5.0, 1.0, False, 0), (1.0, 2, 1.0, 1.0, True, 0)])
    assert o.checked() is o


# --- one row of each visit ------------------------------------------------------------


def test_a_detection_overrules_forced_photometry_of_any_noise() -> None:
    rows = [(5.0, 1, 10.0, 1.0, False, 7, 0), (5.0, 1, 9.0, 5.0, True, 8, 0)]
    assert merged(rows) == ([(5.0, 1, 9.0, 5.0, True, 8)], 0)


def test_the_other_band_of_the_same_time_is_another_observation() -> None:
    rows = [(5.0, 2, 10.0, 1.0, True, 7, 0), (5.0, 1, 9.0, 5.0, True, 8, 0)]
    kept, _ = merged(rows)
    assert [row[1] for row in kept] == [1, 2]


def test_times_agree_up_to_rounding_but_not_up_to_the_next_visit() -> None:
    near, next_visit = 5.0 + 0.9 * SAME_VISIT_DAYS, 5.0 + 34.0 / 86400
    rows = [(5.0, 1, 10.0, 1.0, True, 7, 0), (near, 1, 9.0, 1.0, False, 8, 0)]
    rows.append((next_visit, 1, 8.0, 1.0, False, 9, 0))
    kept, _ = merged(rows)
    assert [row[5] for row in kept] == [7, 9]


def test_of_two_detections_of_one_visit_the_clearer_counts() -> None:
    rows = [(5.0, 1, -10.0, 1.0, True, 7, 0), (5.0, 1, 9.0, 1.0, True, 8, 0)]
    assert merged(rows)[0][0][5] == 7
    tie = [(5.0, 1, 9.0, 1.0, True, 8, 0), (5.0, 1, -9.0, 1.0, True, 7, 0)]
    assert merged(tie)[0][0][5] == 7


def test_a_later_statement_of_the_same_kind_overrules_an_earlier_one() -> None:
    rows = [(5.0, 1, 10.0, 1.0, True, 7, 1), (5.0, 1, 50.0, 1.0, True, 7, 0)]
    assert merged(rows)[0][0][2] == 10.0
    forced = [(5.0, 1, 10.0, 1.0, True, 7, 0), (5.0, 1, 50.0, 1.0, False, 7, 1)]
    assert merged(forced)[0][0][2] == 10.0


def test_a_flag_without_flux_is_kept_only_where_forced_photometry_fills_it() -> None:
    nan = math.nan
    assert merged([(5.0, 1, nan, nan, True, 7, 0)]) == ([], 1)
    filled = [(5.0, 1, nan, nan, True, 7, 0), (5.0, 1, 3.0, 1.0, False, 8, 0)]
    assert merged(filled) == ([(5.0, 1, 3.0, 1.0, True, 8)], 0)


def test_nothing_merges_to_nothing() -> None:
    assert merged([]) == ([], 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1.0, 1.0 + 5e-6, 2.0, 2.5, 7.0]),
            st.integers(0, 2),
            st.sampled_from([-3.0, 1.0, 2.0, math.nan]),
            st.sampled_from([0.5, 1.0]),
            st.booleans(),
            st.integers(1, 9),
            st.integers(0, 2),
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_merging_does_not_depend_on_the_order_of_rows(rows: Any, random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    kept, dropped = merged(rows)
    again, dropped_again = merged(shuffled)
    # rows that differ in time by rounding may stand for their visit in turn: compare the rest
    assert [(round(row[0], 3), *row[1:]) for row in kept] == [(round(row[0], 3), *row[1:]) for row in again]
    assert dropped == dropped_again
    assert [row[0] for row in kept] == sorted(row[0] for row in kept)
    visits = [(round(row[0], 3), row[1]) for row in kept]
    assert len(set(visits)) == len(visits)


@given(st.permutations(range(4)))
def test_joining_alerts_again_changes_nothing(order: Any) -> None:
    parts = [
        observations([(float(i), 1, i + 1.0, 1.0, True, i), (i + 0.5, 2, 1.0, 1.0, False, 0)]) for i in order
    ]
    once = Observations.joined(parts, [0.0] * 4)
    twice = Observations.joined([once, *parts], [0.0] * 5)
    for name in COLUMN_TYPES:
        np.testing.assert_array_equal(getattr(once, name), getattr(twice, name))
    assert len(once) == 8


# --- light curves ---------------------------------------------------------------------


def test_an_alert_is_a_light_curve_of_one_object(make_alert: Any) -> None:
    alert = make_alert(15)
    curves = alert.light_curves()
    assert curves.object_id.tolist() == [alert.object_id]
    curve = curves[0]
    np.testing.assert_array_equal(curve.flux, alert.observations.flux)
    np.testing.assert_array_equal(curve.detected, alert.observations.detected)
    assert (curve.ra, curve.dec, curve.ebv) == (alert.ra, alert.dec, alert.ebv)
    assert (curve.redshift, curve.redshift_err, curve.redshift_spec) == (
        alert.redshift,
        alert.redshift_err,
        alert.redshift_spec,
    )
    assert not curves.dereddened


def test_the_dust_flag_reaches_the_light_curve(make_alert: Any) -> None:
    assert make_alert(3, dereddened=True).light_curves().dereddened
    with pytest.raises(DataError, match="dereddened"):
        light_curves([make_alert(3, dereddened=True), make_alert(3, object_id="b")])


def test_no_alerts_are_an_error() -> None:
    with pytest.raises(DataError, match="no alerts"):
        light_curves([])


def growing(make_alert: Any, n_obs: int = 12) -> list[Alert]:
    """The alerts that a survey would send of one object, each with its last few observations."""
    whole = make_alert(n_obs)
    alerts = []
    for last in np.flatnonzero(whole.observations.detected):
        window = slice(max(0, last - 4), last + 1)
        part = Observations(*(getattr(whole.observations, name)[window] for name in COLUMN_TYPES))
        number = int(part.source_id[-1])
        alerts.append(Alert(str(number), "a", float(part.mjd[-1]), part, source_id=number, ra=1.0, dec=2.0))
    return alerts


def test_alerts_of_one_object_join_in_any_order_and_twice(make_alert: Any) -> None:
    alerts = growing(make_alert)
    first = light_curves(alerts)
    assert len(first) == 1
    for arrangement in itertools.islice(itertools.permutations([*alerts, alerts[0]]), 0, 200, 37):
        again = light_curves(arrangement)
        for name in ("mjd", "band", "flux", "flux_err", "detected"):
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


def test_the_newest_known_value_of_the_object_counts(make_alert: Any) -> None:
    early = make_alert(4, alert_id="1", mjd=60001.0, redshift=0.1, ebv=float("nan"))
    late = make_alert(4, alert_id="2", mjd=60002.0, redshift=0.2, ebv=0.5)
    unknown = make_alert(4, alert_id="3", mjd=60003.0, redshift=float("nan"), ebv=float("nan"))
    curve = light_curves([unknown, late, early])[0]
    assert curve.redshift == np.float32(0.2)
    assert curve.ebv == np.float32(0.5)


def test_objects_keep_the_order_of_their_first_alerts(make_alert: Any) -> None:
    curves = light_curves([make_alert(3, object_id=name, seed=i) for i, name in enumerate("cabca")])
    assert curves.object_id.tolist() == ["c", "a", "b"]
    assert len(curves.mjd) == sum(curves.n_obs)


# --- skips ----------------------------------------------------------------------------


def test_a_skip_has_a_code_for_its_reason() -> None:
    skip = Skip(SkipReason.SOLAR_SYSTEM, "1")
    assert f"{skip.reason}" == "solar-system"
    assert {str(reason) for reason in SkipReason} == {
        "solar-system",
        "no-object",
        "withdrawn",
        "no-measurement",
    }
    assert math.isnan(skip.mjd)
