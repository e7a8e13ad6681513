"""Answers do not depend on the order of statements; merging of packets: tests/stream/alerts/test_alert.py."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firstlight.lightcurves.visits import SAME_VISIT_DAYS, merge

ROW = st.tuples(
    st.integers(0, 6),
    st.integers(0, 1),
    st.integers(-3, 3),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 2),
)


def merged(rows):
    mjd, band, flux, detected, source, order = (np.array(column) for column in zip(*rows, strict=True))
    return merge(
        mjd.astype(np.float64),
        band.astype(np.int8),
        flux.astype(np.float64),
        np.ones(len(rows)),
        detected.astype(np.bool_),
        source.astype(np.int64),
        order.astype(np.float64),
    )


@given(st.lists(ROW, min_size=1, max_size=12), st.randoms())
def test_the_order_of_statements_makes_no_difference(rows, random):
    shuffled = rows.copy()
    random.shuffle(shuffled)
    for left, right in zip(merged(rows)[:5], merged(shuffled)[:5], strict=True):
        np.testing.assert_array_equal(left, right)


@given(st.lists(ROW, min_size=1, max_size=12), st.integers(0, 11))
def test_merging_in_two_parts_is_merging_at_once(rows, cut):
    at_once = merged(rows)
    if not 0 < cut < len(rows):
        return
    first = merged(rows[:cut])
    known = list(zip(first[0], first[1], first[2], first[4], first[5], first[6], strict=True))
    for left, right in zip(merged([*known, *rows[cut:]])[:5], at_once[:5], strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_kept_statement_tells_when_it_was_made():
    out = merged([(1, 0, 5, True, 1, 0), (1, 0, 6, True, 1, 2)])
    assert out[2].tolist() == [6.0]
    assert out[6].tolist() == [2.0]


def test_neighbouring_visits_stay_apart():
    out = merged([(1, 0, 5, True, 1, 0), (1 + 2 * SAME_VISIT_DAYS, 0, 6, True, 1, 0)])
    assert len(out[0]) == 2
