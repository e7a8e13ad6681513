import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firstlight.kernels import highest, lowest, n_below, n_upto, ranked

numbers = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30).map(np.array)


@given(numbers, st.integers(-6, 6).map(float))
def test_places_in_sorted_values_are_those_of_numpy(values, value):
    values.sort()
    assert n_below(values, value) == np.searchsorted(values, value)
    assert n_upto(values, value) == np.searchsorted(values, value, side="right")


@given(numbers, st.data())
def test_extremes_and_ranks_are_those_of_numpy(values, data):
    start = data.draw(st.integers(0, len(values) - 1))
    stop = data.draw(st.integers(start + 1, len(values)))
    if data.draw(st.booleans()):
        values[data.draw(st.integers(0, len(values) - 1))] = np.nan
    assert highest(values, start, stop) == start + np.argmax(values[start:stop])
    assert lowest(values, start, stop) == start + np.argmin(values[start:stop])
    known = values[~np.isnan(values)]
    for rank in range(len(known)):
        assert ranked(known.copy(), len(known), rank) == np.sort(known)[rank]
