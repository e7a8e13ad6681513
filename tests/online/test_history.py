"""Histories are written and read back whole; damage is an error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import DataError
from firstlight.online import Histories, read_histories
from firstlight.online.history import HEAD, ROW, write_entries
from firstlight.online.states import META

N_META = len(META)


def entry(
    mjd, *, alert=1, alert_mjd=None, repeat=0, seed=0, meta=None, listed=None, dereddened=False
) -> bytes:
    """An entry of one alert with observations at the given times."""
    rng = np.random.default_rng(seed)
    mjd = np.asarray(mjd, np.float64)
    n = len(mjd)
    time = float(mjd[-1] if alert_mjd is None else alert_mjd)
    columns = (
        mjd,
        rng.integers(0, 6, n).astype(np.int8),
        rng.normal(0, 1e4, n).astype(np.float32),
        rng.uniform(1, 50, n).astype(np.float32),
        rng.random(n) < 0.5,
        rng.integers(-(2**62), 2**62, n),
        np.full(n, time),
    )
    values = np.full((1, N_META), np.nan) if meta is None else np.array([meta], np.float64)
    return write_entries(
        columns,
        np.array([[0, n]]),
        np.array([repeat]),
        (np.array([alert], np.uint64), np.array([0, 1])),
        np.array([time]),
        (values, np.full((1, N_META), time)),
        (np.array([-np.inf if listed is None else time]), np.array([listed or (np.inf, np.inf)])),
        np.array([dereddened]),
    )[0]


def rewritten(history: list[bytes]) -> bytes:
    """The whole history as one entry."""
    h: Histories = read_histories([history])
    return write_entries(
        (h.mjd, h.band, h.flux, h.flux_err, h.detected, h.source_id, h.stated),
        np.array([[0, len(h.mjd)]]),
        np.zeros(1, np.int64),
        (h.alerts, h.alert_offsets),
        h.alert_mjd,
        (h.meta, h.meta_mjd),
        (h.listed_mjd, h.listed_from),
        h.dereddened,
    )[0]


def assert_same(left, right) -> None:
    for name in left.__dataclass_fields__:
        if name != "n_entries":
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


@given(
    times=st.lists(st.lists(st.floats(50_000, 70_000), max_size=5), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_a_history_rewritten_as_one_entry_reads_the_same(times, seed):
    flat = iter(sorted(t for part in times for t in part))
    history, n = [], 0
    for k, part in enumerate(times):
        mjd = [next(flat) for _ in part]
        repeat = int(np.random.default_rng(seed + k).integers(0, n + 1))
        listed = (59_000.0 + k, np.inf) if (seed + k) % 3 else None
        history.append(
            entry(mjd, alert=k + 2**63, alert_mjd=60_000.0 + k, repeat=repeat, seed=seed + k, listed=listed)
        )
        n += len(mjd)
    whole = rewritten(history)
    assert_same(read_histories([history]), read_histories([[whole]]))
    assert rewritten([whole]) == whole


def test_observations_come_back_to_the_last_bit():
    read = read_histories([[entry([1.5, 2.5], seed=3), entry([3.5], alert=2, seed=4)]])
    np.testing.assert_array_equal(read.mjd, [1.5, 2.5, 3.5])
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(read.band[:2], rng.integers(0, 6, 2))
    np.testing.assert_array_equal(read.flux[:2], rng.normal(0, 1e4, 2).astype(np.float32))
    assert read.alerts.tolist() == [1, 2]
    assert read.n_entries.tolist() == [2]


def test_an_object_without_entries_has_no_observations():
    read = read_histories([[], [entry([1.0])], []])
    assert read.offsets.tolist() == [0, 0, 1, 1]
    assert np.isneginf(read.alert_mjd[[0, 2]]).all()
    assert np.isnan(read.meta).all()


def test_a_history_that_lost_its_first_entry_keeps_the_others():
    first, second, third = (
        entry([1.0, 2.0]),
        entry([9.0], alert=2, repeat=2),
        entry([10.0], alert=3, repeat=3),
    )
    assert len(first) == 8 * (HEAD + 1 + 2 * ROW)
    histories = read_histories([[second, third]])
    assert histories.mjd.tolist() == [9.0, 10.0]
    assert histories.alerts.tolist() == [2, 3]


def test_a_repeated_observation_has_the_time_of_the_later_alert():
    first, second = entry([1.0, 2.0, 3.0], alert_mjd=3.0), entry([9.0], alert=2, repeat=1)
    assert read_histories([[first, second]]).stated.tolist() == [3.0, 9.0, 9.0, 9.0]


def test_the_newest_known_value_counts_in_any_order():
    nan = np.nan
    early = entry([1.0], alert_mjd=1.0, meta=[10.0, 20.0, nan, 0.5, 0.1, nan])
    late = entry([2.0], alert=2, alert_mjd=2.0, meta=[11.0, nan, 0.3, nan, nan, nan])
    for history in ([early, late], [late, early]):
        meta = read_histories([history]).meta[0]
        np.testing.assert_array_equal(meta, [11.0, 20.0, 0.3, 0.5, 0.1, nan])


def test_of_two_values_of_one_time_the_larger_counts():
    nan = np.nan
    a = entry([1.0], alert_mjd=1.0, meta=[10.0, nan, nan, nan, nan, nan])
    b = entry([2.0], alert=2, alert_mjd=1.0, meta=[11.0, nan, nan, nan, nan, nan])
    assert read_histories([[a, b]]).meta[0, 0] == read_histories([[b, a]]).meta[0, 0] == 11.0


def test_the_newest_statement_on_the_listed_past_counts_in_any_order():
    early = entry([1.0], alert_mjd=1.0, listed=(0.5, np.inf))
    late = entry([2.0], alert=2, alert_mjd=2.0, listed=(0.7, 0.1))
    silent = entry([3.0], alert=3, alert_mjd=3.0)
    for history in ([early, late, silent], [silent, late, early]):
        read = read_histories([history])
        assert read.listed_mjd.tolist() == [2.0]
        assert read.listed_from.tolist() == [[0.7, 0.1]]


def test_an_entry_of_the_first_format_lists_no_past():
    words = np.frombuffer(entry([1.0, 2.0], seed=5, listed=(0.5, 0.5)), np.int64)
    old = np.concatenate([[1], words[1 : HEAD - 3], words[HEAD:]]).tobytes()
    read, now = read_histories([[old, entry([3.0], alert=2)]]), read_histories([[entry([1.0, 2.0], seed=5)]])
    np.testing.assert_array_equal(read.flux[:2], now.flux)
    assert read.alerts.tolist() == [1, 2]
    assert np.isneginf(read.listed_mjd).all()
    assert np.isinf(read.listed_from).all()


def test_the_history_knows_whether_fluxes_are_dereddened():
    read = read_histories([[entry([1.0], dereddened=True)], [entry([1.0])]])
    assert read.dereddened.tolist() == [True, False]


def test_an_entry_has_five_words_per_observation():
    assert len(entry([1.0])) == 8 * (HEAD + 1 + ROW)


@pytest.mark.parametrize("cut", [1, 8, 40, 100])
def test_an_entry_cut_short_is_refused(cut):
    whole = entry([1.0, 2.0])
    with pytest.raises(DataError, match=r"object 1 .* (damaged|cut short)"):
        read_histories([[whole], [whole[:-cut]]])


@given(st.integers(0, 8 * (HEAD + 1 + 2 * ROW) - 1), st.integers(0, 7))
def test_a_flipped_bit_never_crashes_the_reader(at, bit):
    raw = bytearray(entry([1.0, 2.0]))
    raw[at] ^= 1 << bit
    try:
        read = read_histories([[bytes(raw)]])
    except DataError:
        return
    assert len(read.mjd) <= 3


def test_a_newer_format_is_refused():
    raw = np.frombuffer(entry([1.0]), np.int64).copy()
    raw[0] = 7
    with pytest.raises(DataError, match="newer firstlight"):
        read_histories([[raw.tobytes()]])
