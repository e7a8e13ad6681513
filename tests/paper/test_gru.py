import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.encoder._reference import gru_cell

from firstlight_paper.gru import PaperGates, paper_gru_step


def random_weights(seed, n_inputs, n_hidden):
    rng = np.random.default_rng(seed)
    shapes = ((3 * n_hidden, n_inputs), (3 * n_hidden, n_hidden), (3 * n_hidden,), (3 * n_hidden,))
    weights = [rng.normal(size=shape) for shape in shapes]
    return rng.normal(size=(4, n_inputs)), np.tanh(rng.normal(size=(4, n_hidden))), weights


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_our_step_is_the_paper_s_but_for_the_name_of_z_and_the_place_of_r(seed, n_inputs, n_hidden):
    x, h, weights = random_weights(seed, n_inputs, n_hidden)
    step = paper_gru_step(x, h, PaperGates.from_torch(*weights), reset="after")
    np.testing.assert_allclose(step, gru_cell(x, h, *weights), rtol=1e-12, atol=1e-14)


def test_the_printed_reset_is_another_unit_unless_it_is_open():
    x, h, (w_i, w_h, b_i, b_h) = random_weights(0, 5, 3)
    gates = PaperGates.from_torch(w_i, w_h, b_i, b_h)
    printed = paper_gru_step(x, h, gates)
    assert np.abs(printed - gru_cell(x, h, w_i, w_h, b_i, b_h)).max() > 0.01
    b_i[:3] += 100.0  # r = 1: nothing is forgotten, and the place of r does not matter
    open_gates = PaperGates.from_torch(w_i, w_h, b_i, b_h)
    np.testing.assert_allclose(
        paper_gru_step(x, h, open_gates), gru_cell(x, h, w_i, w_h, b_i, b_h), rtol=1e-12
    )


def test_an_update_gate_at_zero_keeps_the_state_as_the_paper_says():
    x, h, weights = random_weights(1, 5, 3)
    gates = PaperGates.from_torch(*weights)
    shut = gates._replace(b_z=gates.b_z - 1000.0)
    np.testing.assert_array_equal(paper_gru_step(x, h, shut), h)


def test_a_step_by_hand():
    one = np.ones((1, 1))
    gates = PaperGates(
        w_z=np.array([[0.5, -0.25]]),
        w_r=np.array([[0.1, 0.2]]),
        w_h=np.array([[0.3]]),
        w_x=np.array([[0.7]]),
        b_z=np.zeros(1),
        b_r=np.zeros(1),
        b_h=np.zeros(1),
        b_x=np.zeros(1),
    )
    z, r = 1.0 / (1.0 + np.exp(-0.25)), 1.0 / (1.0 + np.exp(-0.3))
    expected = (1.0 - z) + z * np.tanh(0.3 * r + 0.7)
    assert paper_gru_step(one, one, gates).item() == pytest.approx(expected, rel=1e-14)
