"""The compiled arithmetic against numpy; an object's result does not depend on the batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.encoder._reference import gru_cell

from firstlight.encoder.kernels import dense, gru_step, run_steps, tanh


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, scale, shape).astype(np.float32)


def layers(n_in: int, n_hidden: int, n_layers: int):
    """Weights as torch stores them, and as the kernels read them."""
    stored = []
    for k in range(n_layers):
        width = n_in if k == 0 else n_hidden
        shapes = ((3 * n_hidden, width), (3 * n_hidden, n_hidden), (3 * n_hidden,), (3 * n_hidden,))
        stored.append(tuple(draw(*shape, seed=10 * k + j, scale=0.4) for j, shape in enumerate(shapes)))
    return stored, tuple(tuple(np.ascontiguousarray(part.T) for part in layer) for layer in stored)


def test_the_hyperbolic_tangent_is_good_to_float32():
    x = np.concatenate([np.linspace(-30, 30, 4001), np.geomspace(1e-12, 1, 200)]).astype(np.float32)
    ours = np.array([tanh(value) for value in x])
    np.testing.assert_allclose(ours, np.tanh(x.astype(np.float64)), rtol=0, atol=4e-7)
    assert np.abs(ours).max() <= 1.0 + 1e-6


def test_the_hyperbolic_tangent_is_odd_and_hardly_ever_falls():
    x = np.linspace(0, 9, 2000).astype(np.float32)
    y = np.array([tanh(value) for value in x])
    np.testing.assert_array_equal(y, -np.array([tanh(-value) for value in x]))
    assert np.diff(y).min() > -4e-7


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_a_layer_is_a_matrix_product(n_in, n_out, seed):
    x, weight, bias = draw(n_in, seed=seed), draw(n_in, n_out, seed=seed + 1), draw(n_out, seed=seed + 2)
    out = np.empty(n_out, np.float32)
    dense(x, weight, bias, out)
    expected = x.astype(np.float64) @ weight.astype(np.float64) + bias
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_a_step_obeys_the_equations_of_the_cell(n_layers):
    stored, packed = layers(7, 16, n_layers)
    x, hidden = draw(1, 7, seed=3), draw(n_layers, 16, seed=4, scale=0.5)
    expected, below = hidden.copy(), x
    for k in range(n_layers):
        below = gru_cell(below, hidden[None, k], *stored[k])
        expected[k] = below[0]
    gru_step(x[0], hidden, packed, np.empty((2, 48), np.float32))
    np.testing.assert_allclose(hidden, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("n_objects", "n_hidden"), [(4, 16), (11, 21), (5, 400)])
def test_an_object_has_the_same_state_in_any_batch(n_objects, n_hidden):
    _, packed = layers(7, n_hidden, 2)
    n_steps = np.random.default_rng(n_objects).integers(0, 12, n_objects)
    offsets = np.concatenate([[0], np.cumsum(n_steps)])
    values, together = draw(offsets[-1], 7), np.zeros((n_objects, 2, n_hidden), np.float32)
    run_steps(values, offsets, np.argsort(np.diff(offsets)), packed, together)
    for i in range(n_objects):
        alone = np.zeros((1, 2, n_hidden), np.float32)
        part = values[offsets[i] : offsets[i + 1]]
        run_steps(part, np.array([0, len(part)]), np.array([0]), packed, alone)
        np.testing.assert_array_equal(alone[0], together[i])


def test_no_steps_count_as_one_of_zeros():
    _, packed = layers(7, 16, 1)
    none, zeros = np.zeros((1, 1, 16), np.float32), np.zeros((1, 1, 16), np.float32)
    run_steps(np.empty((0, 7), np.float32), np.array([0, 0]), np.array([0]), packed, none)
    run_steps(np.zeros((1, 7), np.float32), np.array([0, 1]), np.array([0]), packed, zeros)
    np.testing.assert_array_equal(none, zeros)
