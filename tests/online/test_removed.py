"""Measurements that a later packet no longer lists leave the history, and do not come back."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.online import Arrivals

from .conftest import Stream

N = 24  # observations of the object


@pytest.fixture(scope="module")
def curve(sample):
    """One object with at least `N` observations."""
    index = int(np.flatnonzero(sample.n_obs >= N)[0])
    return sample.take(np.array([index]))


def packet(curve, rows: Sequence[int], number: int, *, listed: float | None = None) -> Arrivals:
    """An alert by the last of some observations, which lists the others from a time on."""
    keep = np.isin(np.arange(len(curve.mjd)), rows)
    part, last = curve.keep(keep), max(rows)
    since = np.inf if listed is None else listed
    return Arrivals(
        part,
        np.flatnonzero(keep) + 1,
        np.array([curve.mjd[last]]),
        np.array([number], np.uint64),
        np.array([[since, since]]),
    )


def answer_of(pipeline, arrivals: Sequence[Arrivals]) -> tuple[int, str, np.ndarray, list[str]]:
    """Number of observations, status, probabilities and reasons after some alerts."""
    stream, reasons = Stream(pipeline), []
    for arrival in arrivals:
        done = stream.feed(arrival)
        reasons += done.late_reason
    status, proba, *_ = next(iter(stream.answers.values()))
    return int(done.predictions.n_obs[0]), status, proba, reasons


def assert_same(left, right) -> None:
    assert left[:2] == right[:2]
    np.testing.assert_array_equal(left[2], right[2])


@pytest.fixture(params=["fast", "default"])
def pipeline(request):
    return request.getfixturevalue(f"tiny_{request.param}")


def test_measurements_that_the_last_packet_no_longer_lists_are_gone(pipeline, curve):
    start = float(curve.mjd[0])
    first = packet(curve, range(5), 1, listed=start)
    for gone in (0, 2, 3):
        rows = [k for k in range(6) if k != gone]
        last = packet(curve, rows, 2, listed=start)
        both, alone = answer_of(pipeline, [first, last]), answer_of(pipeline, [last])
        assert both[0] == 5
        assert both[3] == ["", "removed"]
        assert_same(both, alone)


def test_measurements_before_the_listed_past_stay(pipeline, curve):
    first = packet(curve, range(10), 1, listed=float(curve.mjd[0]))
    last = packet(curve, [6, 8, 9, 10], 2, listed=float(curve.mjd[6]))
    assert_same(
        answer_of(pipeline, [first, last]),
        answer_of(pipeline, [packet(curve, [0, 1, 2, 3, 4, 5, 6, 8, 9, 10], 3)]),
    )


def test_a_packet_that_lists_no_past_removes_nothing(pipeline, curve):
    first = packet(curve, range(5), 1, listed=float(curve.mjd[0]))
    found = answer_of(pipeline, [first, packet(curve, [6], 2)])
    assert_same(found, answer_of(pipeline, [packet(curve, [0, 1, 2, 3, 4, 6], 3)]))
    assert found[3] == ["", ""]


def test_a_removed_measurement_does_not_come_back_with_an_older_packet(pipeline, curve):
    start = float(curve.mjd[0])
    newest = packet(curve, [0, 1, 3, 4, 5, 7], 3, listed=start)
    older = packet(curve, [0, 1, 2, 3, 4, 5], 2, listed=start)
    expected = answer_of(pipeline, [newest])
    assert_same(answer_of(pipeline, [newest, older]), expected)
    assert_same(answer_of(pipeline, [older, newest]), expected)
    assert_same(
        answer_of(pipeline, [older, newest, packet(curve, [0, 1, 2, 3, 4], 1, listed=start)]), expected
    )


def test_the_source_of_a_late_alert_is_news_and_a_newer_packet_decides(pipeline, curve):
    start = float(curve.mjd[0])
    ahead = packet(curve, [0, 1, 3], 2, listed=start)  # processed before the visit of row 2
    late = packet(curve, [0, 1, 2], 1, listed=start)
    both = answer_of(pipeline, [ahead, late])
    assert_same(both, answer_of(pipeline, [packet(curve, [0, 1, 2, 3], 3)]))
    assert both[3] == ["", "added"]
    listing = packet(curve, [0, 1, 2, 3, 4], 4, listed=start)
    assert answer_of(pipeline, [ahead, late, listing])[0] == 5
    omitting = packet(curve, [0, 1, 3, 4], 4, listed=start)
    assert answer_of(pipeline, [ahead, late, omitting])[0] == 4


def test_a_measurement_that_is_listed_again_comes_back(pipeline, curve):
    start = float(curve.mjd[0])
    rows = [range(4), [0, 2, 3, 4], range(6)]
    alerts = [packet(curve, list(part), k, listed=start) for k, part in enumerate(rows)]
    assert_same(answer_of(pipeline, alerts), answer_of(pipeline, [alerts[-1]]))


def test_a_changed_measurement_is_marked_as_such(pipeline, curve):
    start = float(curve.mjd[0])
    brighter = curve._derive(flux=np.where(np.arange(len(curve.mjd)) == 1, curve.flux + 50, curve.flux))
    alerts = [packet(curve, range(4), 1, listed=start), packet(brighter, range(5), 2, listed=start)]
    assert answer_of(pipeline, alerts)[3] == ["", "changed"]


def test_measurements_without_a_number_stay(pipeline, curve):
    start = float(curve.mjd[0])
    first, last = packet(curve, range(4), 1, listed=start), packet(curve, [0, 1, 3, 4], 2, listed=start)
    first.source_id[:] = 0
    assert answer_of(pipeline, [first, last])[0] == 5


@given(data=st.data())
def test_the_stream_ends_where_the_last_full_packet_alone_does(tiny_fast, curve, data):
    start, alerts, gone = float(curve.mjd[0]), [], set()
    lasts = data.draw(st.lists(st.integers(2, N - 1), min_size=1, max_size=6, unique=True).map(sorted))
    for number, last in enumerate(lasts):
        gone ^= data.draw(st.sets(st.integers(0, last - 1), max_size=3))
        rows = [k for k in range(last + 1) if k not in gone or k == last]
        alerts.append(packet(curve, rows, number, listed=start))
    assert_same(answer_of(tiny_fast, alerts), answer_of(tiny_fast, alerts[-1:]))
    older = data.draw(st.permutations(alerts[:-1]))
    sources = set(lasts[:-1])
    if not sources & gone:  # the own source of a late alert is news
        assert_same(answer_of(tiny_fast, [alerts[-1], *older]), answer_of(tiny_fast, alerts[-1:]))
