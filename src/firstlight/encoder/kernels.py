"""The encoder's arithmetic at inference, compiled, with sums in one fixed order per row.

A library's matrix product groups its sums by the size of the batch. Here whole curves, micro-batches and
single observations give the same latents to the last bit, so that the trees take the same branches.
"""

from typing import Any

import numpy as np

from firstlight._types import Float32Array, IntArray
from firstlight.kernels import kernel

Layers = tuple[tuple[Float32Array, Float32Array, Float32Array, Float32Array], ...]

# Fused multiply-add is allowed everywhere, so a vector's body and its tail round alike;
# nothing is reordered.
_MATH = {"contract"}

# tanh(x) = x P(x^2) / Q(x^2) on [-7.9, 7.9], fitted by us for the smallest relative error
# (1.7e-8 in exact arithmetic, 3.4e-7 in float32); beyond, float32 has only +-1 left.
_REACH = np.float32(7.9)
_P = tuple(
    np.float32(c)
    for c in (
        1.0,
        0.12984903156757355,
        0.002992089604958892,
        9.939094525179826e-06,
        -1.4905845446833155e-08,
        2.410377800132757e-11,
    )
)
_Q = tuple(np.float32(c) for c in (1.0, 0.4631822109222412, 0.024053066968917847, 0.00023808566038496792))
BLOCK = 16  #: rows that go through a layer together, so that each weight is read once for all of them
_STRIDE = 1040  # places between rows that go through a recurrent layer together; a wider one goes alone
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)


@kernel(fastmath=_MATH, inline="always")
def tanh(x: Any) -> Any:
    """Hyperbolic tangent of a float32, to 4e-7; a polynomial, so that loops of it use vectors."""
    y = min(max(x, -_REACH), _REACH)
    v = y * y
    p = ((((_P[5] * v + _P[4]) * v + _P[3]) * v + _P[2]) * v + _P[1]) * v + _P[0]
    q = ((_Q[3] * v + _Q[2]) * v + _Q[1]) * v + _Q[0]
    return y * p / q


@kernel(fastmath=_MATH)
def dense(x: Float32Array, weight: Float32Array, bias: Float32Array, out: Float32Array) -> None:
    """One row through a linear layer: ``out = x @ weight + bias``, adding the inputs from first to last.

    `weight`, shape (n_in, n_out), is C-contiguous: the transpose of torch's.
    """
    n_in, n_out = weight.shape
    for j in range(n_out):
        out[j] = bias[j]
    k = 0
    while k + 4 <= n_in:  # four inputs a pass: a quarter of the traffic on `out`
        a, b, c, d = x[k], x[k + 1], x[k + 2], x[k + 3]
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        for j in range(n_out):
            out[j] = (((out[j] + a * w0[j]) + b * w1[j]) + c * w2[j]) + d * w3[j]
        k += 4
    while k < n_in:
        a, w0 = x[k], weight[k]
        for j in range(n_out):
            out[j] += a * w0[j]
        k += 1


@kernel(inner=True, fastmath=False)  # else numba gives it the caller's
def _product(x: Any, y: Any) -> Any:
    """Rounded product; without it, the compiler may fuse either product of a sum of two."""
    return x * y


@kernel(fastmath=_MATH)
def _cell(from_input: Float32Array, from_hidden: Float32Array, hidden: Float32Array) -> None:
    """Gates of one layer; `hidden` is advanced in place."""
    n = len(hidden)
    for j in range(n):
        reset = _HALF * (tanh(_HALF * (from_input[j] + from_hidden[j])) + _ONE)
        update = _HALF * (tanh(_HALF * (from_input[n + j] + from_hidden[n + j])) + _ONE)
        candidate = tanh(from_input[2 * n + j] + reset * from_hidden[2 * n + j])
        hidden[j] = (_ONE - update) * candidate + _product(update, hidden[j])


@kernel(fastmath=_MATH)
def gru_step(x: Float32Array, hidden: Float32Array, layers: Layers, scratch: Float32Array) -> None:
    """Advance `hidden`, shape (n_layers, n_hidden), by one input, in place, with torch's GRU equations.

    Each layer is (input weight, hidden weight, input bias, hidden bias) as for `dense`, with columns
    reset, update, candidate; `scratch`, shape (2, 3 n_hidden), is workspace.
    """
    for layer in range(len(layers)):
        w_input, w_hidden, b_input, b_hidden = layers[layer]
        dense(x if layer == 0 else hidden[layer - 1], w_input, b_input, scratch[0])
        dense(hidden[layer], w_hidden, b_hidden, scratch[1])
        _cell(scratch[0], scratch[1], hidden[layer])


@kernel(fastmath=_MATH)
def gru_block(x: Float32Array, places: IntArray, hidden: Float32Array, layers: Layers, work: Any) -> None:
    """Advance the rows of `hidden` at some places by one input each, with the sums of `gru_step`.

    `x` has one row per place, `BLOCK` at most; `work`, from `gru_workspace`, is workspace.
    """
    states, from_input, from_hidden = work
    n, n_layers = len(places), len(layers)
    for i in range(n):
        for layer in range(n_layers):
            states[layer, i] = hidden[places[i], layer]
    for layer in range(n_layers):
        w_input, w_hidden, b_input, b_hidden = layers[layer]
        _layer(x if layer == 0 else states[layer - 1, :n], (w_input, b_input), from_input[:n])
        _layer(states[layer, :n], (w_hidden, b_hidden), from_hidden[:n])
        for i in range(n):
            _cell(from_input[i], from_hidden[i], states[layer, i])
    for i in range(n):
        for layer in range(n_layers):
            hidden[places[i], layer] = states[layer, i]


@kernel
def gru_workspace(hidden: Float32Array) -> Any:
    """Workspace of `gru_block`."""
    n_layers, n_hidden = hidden.shape[1:]
    return (
        np.empty((n_layers, BLOCK, n_hidden), np.float32),
        np.empty((BLOCK, 3 * n_hidden), np.float32),
        np.empty((BLOCK, 3 * n_hidden), np.float32),
    )


@kernel(fastmath=_MATH)
def run_steps(
    values: Float32Array, offsets: IntArray, order: IntArray, layers: Layers, hidden: Float32Array
) -> None:
    """Advance `hidden`, shape (n_objects, n_layers, n_hidden), by each object's steps, in place.

    Object ``i`` owns the rows ``offsets[i]:offsets[i + 1]`` of `values`; without any it gets one of zeros.
    `order` names the objects by their number of steps: four neighbours share each weight that is loaded.
    """
    n_objects, n_wide = len(offsets) - 1, 3 * hidden.shape[2]
    scratch = np.empty((2, max(n_wide, 4 * _STRIDE)), np.float32)
    nothing = np.zeros(values.shape[1], np.float32)
    for group in range(0, n_objects, 4):
        n_common = 0
        if group + 4 <= n_objects and n_wide <= _STRIDE:
            i = order[group]
            n_common = offsets[i + 1] - offsets[i]  # the fewest of the four
            for t in range(n_common):
                _four_steps(values, offsets, order[group : group + 4], t, hidden, layers, scratch)
        for g in range(group, min(group + 4, n_objects)):
            i = order[g]
            if offsets[i + 1] == offsets[i]:
                gru_step(nothing, hidden[i], layers, scratch)
            for k in range(offsets[i] + n_common, offsets[i + 1]):
                gru_step(values[k], hidden[i], layers, scratch)


@kernel(fastmath=_MATH, inner=True)
def _four_steps(
    values: Float32Array, offsets: IntArray, objects: IntArray, t: int, hidden: Float32Array, layers: Layers,
    scratch: Float32Array,
) -> None:  # fmt: skip
    """Advance four objects by step `t` of each, with the sums of `gru_step`."""
    n_wide = 3 * hidden.shape[2]
    h0, h1, h2, h3 = hidden[objects[0]], hidden[objects[1]], hidden[objects[2]], hidden[objects[3]]
    x0, x1 = values[offsets[objects[0]] + t], values[offsets[objects[1]] + t]
    x2, x3 = values[offsets[objects[2]] + t], values[offsets[objects[3]] + t]
    for layer in range(len(layers)):
        w_input, w_hidden, b_input, b_hidden = layers[layer]
        _dense_four(x0, x1, x2, x3, w_input, b_input, scratch[0])
        _dense_four(h0[layer], h1[layer], h2[layer], h3[layer], w_hidden, b_hidden, scratch[1])
        for r in range(4):
            start = r * _STRIDE
            _cell(
                scratch[0, start : start + n_wide],
                scratch[1, start : start + n_wide],
                hidden[objects[r], layer],
            )
        x0, x1, x2, x3 = h0[layer], h1[layer], h2[layer], h3[layer]


@kernel(inner=True, fastmath=_MATH)
def _dense_four(
    x0: Float32Array, x1: Float32Array, x2: Float32Array, x3: Float32Array, weight: Float32Array,
    bias: Float32Array, out: Float32Array,
) -> None:  # fmt: skip
    """Four rows through a linear layer, each with the sums of `dense`, into places `_STRIDE` apart.

    The distance is a constant, so that the compiler sees that rows do not overlap.
    """
    n_in, n_out = weight.shape
    for j in range(n_out):
        out[j] = out[_STRIDE + j] = out[2 * _STRIDE + j] = out[3 * _STRIDE + j] = bias[j]
    k = 0
    while k + 4 <= n_in:
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        a0, a1, a2, a3 = x0[k], x0[k + 1], x0[k + 2], x0[k + 3]
        b0, b1, b2, b3 = x1[k], x1[k + 1], x1[k + 2], x1[k + 3]
        c0, c1, c2, c3 = x2[k], x2[k + 1], x2[k + 2], x2[k + 3]
        d0, d1, d2, d3 = x3[k], x3[k + 1], x3[k + 2], x3[k + 3]
        for j in range(n_out):
            p, q, r, s = w0[j], w1[j], w2[j], w3[j]
            out[j] = (((out[j] + a0 * p) + a1 * q) + a2 * r) + a3 * s
            out[_STRIDE + j] = (((out[_STRIDE + j] + b0 * p) + b1 * q) + b2 * r) + b3 * s
            out[2 * _STRIDE + j] = (((out[2 * _STRIDE + j] + c0 * p) + c1 * q) + c2 * r) + c3 * s
            out[3 * _STRIDE + j] = (((out[3 * _STRIDE + j] + d0 * p) + d1 * q) + d2 * r) + d3 * s
        k += 4
    while k < n_in:
        w0 = weight[k]
        for j in range(n_out):
            out[j] += x0[k] * w0[j]
            out[_STRIDE + j] += x1[k] * w0[j]
            out[2 * _STRIDE + j] += x2[k] * w0[j]
            out[3 * _STRIDE + j] += x3[k] * w0[j]
        k += 1


@kernel(fastmath=_MATH)
def read_latents(
    last: Float32Array,
    context: Float32Array,
    scale: tuple[Float32Array, Float32Array, float],
    network: Layers,
    windows: tuple[int, int, int],
    out: tuple[Float32Array, Float32Array, Float32Array],
) -> None:
    """Fill the fields of `Latents` from the last layer's GRU states, shape (n_objects, n_hidden).

    `scale` is mean, standard deviation and clipping limit of the context; `network` is (weight, bias) of
    fc1, fc2, mean, log_var, head1, head2 and the window columns of head3; `windows` is the first and one
    past the last context column of the window fluxes, and the first column of their weights.
    """
    mean, log_var, error = out
    n_hidden, n_context = last.shape[1], context.shape[1]
    width = n_hidden + n_context
    for layer in range(len(network)):
        width = max(width, len(network[layer][1]))
    one, two = np.empty((BLOCK, width), np.float32), np.empty((BLOCK, width), np.float32)
    scaled = np.empty((BLOCK, n_context), np.float32)
    limit = np.float32(scale[2])
    for start in range(0, len(last), BLOCK):
        n = min(BLOCK, len(last) - start)
        for i in range(n):
            for j in range(n_context):
                value = (context[start + i, j] - scale[0][j]) / scale[1][j]
                scaled[i, j] = min(max(value, -limit), limit)
                one[i, n_hidden + j] = scaled[i, j]
            for j in range(n_hidden):
                one[i, j] = last[start + i, j]
        _layer(one[:n], network[0], two[:n])
        _rectify(two[:n])
        _layer(two[:n], network[1], one[:n])
        _rectify(one[:n])
        _layer(one[:n], network[3], log_var[start : start + n])
        _layer(one[:n], network[2], mean[start : start + n])
        _layer(mean[start : start + n], network[4], one[:n])
        _rectify(one[:n])
        _layer(one[:n], network[5], two[:n])
        _rectify(two[:n])
        _layer(two[:n], network[6], one[:n])
        for i in range(n):
            for j in range(log_var.shape[1]):
                value = log_var[start + i, j]
                log_var[start + i, j] = min(max(value, np.float32(-12.0)), np.float32(4.0))
            error[start + i] = _missed(one[i], scaled[i], context[start + i], windows)


@kernel(inner=True, fastmath=_MATH)
def _missed(
    drawn: Float32Array, scaled: Float32Array, context: Float32Array, windows: tuple[int, int, int]
) -> Any:
    """Weighted mean squared error of the window fluxes that the head reconstructs."""
    first, stop, weights = windows
    total, missed = np.float32(1e-6), np.float32(0.0)
    for j in range(stop - first):
        weight = context[weights + j]
        total += weight
        miss = drawn[j] - scaled[first + j]
        missed += weight * miss * miss
    return missed / total


@kernel(inner=True, fastmath=_MATH)
def _layer(x: Float32Array, layer: tuple[Float32Array, Float32Array], out: Float32Array) -> None:
    """A few rows through one layer, with the sums of `dense`; they share each weight in the first cache."""
    weight, bias = layer
    n_in, n_out = weight.shape
    for i in range(len(x)):
        for j in range(n_out):
            out[i, j] = bias[j]
    k = 0
    while k + 4 <= n_in:
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        for i in range(0, len(x) - 1, 2):  # two rows a pass: each weight is loaded once for both
            y, z = out[i], out[i + 1]
            a, b, c, d = x[i, k], x[i, k + 1], x[i, k + 2], x[i, k + 3]
            e, f, g, h = x[i + 1, k], x[i + 1, k + 1], x[i + 1, k + 2], x[i + 1, k + 3]
            for j in range(n_out):
                p, q, r, s = w0[j], w1[j], w2[j], w3[j]
                y[j] = (((y[j] + a * p) + b * q) + c * r) + d * s
                z[j] = (((z[j] + e * p) + f * q) + g * r) + h * s
        for i in range(len(x) - len(x) % 2, len(x)):
            y = out[i]
            a, b, c, d = x[i, k], x[i, k + 1], x[i, k + 2], x[i, k + 3]
            for j in range(n_out):
                y[j] = (((y[j] + a * w0[j]) + b * w1[j]) + c * w2[j]) + d * w3[j]
        k += 4
    while k < n_in:
        w0 = weight[k]
        for i in range(len(x)):
            y, a = out[i], x[i, k]
            for j in range(n_out):
                y[j] += a * w0[j]
        k += 1


@kernel(inner=True)
def _rectify(out: Float32Array) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = max(out[i, j], np.float32(0.0))
