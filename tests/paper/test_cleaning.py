import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firstlight_paper.cleaning import EVERY_CLASS, peak_kept, removed, share

SHARES = ("observations", "positive_signal", "peak_lost", "trigger_moved")


def test_nothing_removed_is_nothing_lost(sample, sample_labels):
    table = removed(sample, sample_labels, np.ones(len(sample.mjd), dtype=bool))
    assert set(table) == {EVERY_CLASS, *sample_labels.tolist()}
    assert table[EVERY_CLASS]["n_objects"] == len(sample)
    for row in table.values():
        assert all(row[name] == 0.0 for name in SHARES if not np.isnan(row[name]))


def test_everything_removed_is_everything_lost(sample, sample_labels):
    row = removed(sample, sample_labels, np.zeros(len(sample.mjd), dtype=bool))[EVERY_CLASS]
    assert [row[name] for name in SHARES] == [1.0] * 4


@given(seed=st.integers(0, 2**32 - 1), first=st.floats(0.0, 1.0), second=st.floats(0.0, 1.0))
def test_removing_more_never_loses_less(sample, sample_labels, seed, first, second):
    rng = np.random.default_rng(seed)
    keep = rng.random(len(sample.mjd)) >= first
    fewer = keep & (rng.random(len(sample.mjd)) >= second)
    some, more = (removed(sample, sample_labels, mask)[EVERY_CLASS] for mask in (keep, fewer))
    assert all(more[name] >= some[name] - 1e-12 for name in SHARES)


def test_a_peak_is_lost_with_the_brightest_observation_and_with_no_other(sample):
    snr = sample.flux.astype(np.float64) / sample.flux_err
    i = int(sample.object_index[np.argmax(snr)])
    rows = np.arange(sample.offsets[i], sample.offsets[i + 1])
    brightest = rows[np.argmax(np.where(snr[rows] > 10.0, sample.flux[rows], -np.inf))]
    keep = np.ones(len(sample.mjd), dtype=bool)
    keep[rows[rows != brightest]] = False
    assert peak_kept(sample, keep).all()
    keep[brightest] = False
    assert np.flatnonzero(~peak_kept(sample, keep)).tolist() == [i]


def test_a_share_among_none_is_unknown():
    assert np.isnan(share(np.array([True]), np.array([False])))
