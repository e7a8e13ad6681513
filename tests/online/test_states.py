import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.online import ObjectStates, state_dtype


def test_states_survive_as_bytes(tiny_nights):
    states = tiny_nights.states(3)
    states.data["n_obs"] = [1, 2, 3]
    states.data["hidden"][1] = 0.25
    rows = states.to_bytes()
    assert {len(row) for row in rows} == {states.data.dtype.itemsize}
    assert tiny_nights.states(rows).to_bytes() == rows


@pytest.mark.parametrize("with_nights", [False, True])
def test_states_hold_nightly_points_only_where_the_bundle_reads_them(tiny_fast, tiny_nights, with_nights):
    states = ObjectStates.initial(tiny_fast.encoder, 2, with_nights=with_nights)
    assert states.data.dtype == state_dtype(tiny_fast.encoder, with_nights=with_nights)
    assert (states.nights() is not None) == with_nights
    own = (tiny_nights if with_nights else tiny_fast).states(2)
    assert own.data.dtype == states.data.dtype


def test_an_unknown_object_starts_from_nothing(tiny_fast):
    encoder = tiny_fast.encoder
    known = tiny_fast.states(1)
    known.data["n_obs"] = 5
    states = tiny_fast.states([None, known.to_bytes()[0], None])
    assert states.data["n_obs"].tolist() == [0, 5, 0]
    empty = encoder.initial_state(1)
    np.testing.assert_array_equal(states.data["running"][0], empty.running[0])
    assert np.isnan(states.data["proba"][0]).all()


def test_a_row_of_another_bundle_is_refused(tiny_fast):
    with pytest.raises(DataError, match="rebuilt from the history"):
        tiny_fast.states([None, b"short"])


def test_the_encoder_part_is_a_copy(tiny_fast):
    states = tiny_fast.states(2)
    state = states.encoder_state()
    state.running[:] = 7.0
    assert not (states.data["running"] == 7.0).any()


def test_the_size_of_a_state_does_not_depend_on_the_observations(tiny_fast):
    assert len(tiny_fast.states(1).to_bytes()[0]) == tiny_fast.states(0).data.dtype.itemsize
