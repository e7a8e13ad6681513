"""Export of the encoder's recurrent part to ONNX, for use outside firstlight."""

from collections.abc import Sequence

import numpy as np

from firstlight._types import Float32Array

OPSET = 17


def build_graph(layers: Sequence[Sequence[Float32Array]]) -> bytes:
    """Serialised ONNX model of stacked GRU layers; needs onnx.

    Each layer is (w_input, w_hidden, b_input, b_hidden) in torch's gate order. The model has inputs
    ``steps``, float32 (time, batch, channels), and ``lengths``, int32 (batch,), and output ``last``,
    float32 (batch, hidden): the last layer's state after each object's last step.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, constants = [], [numpy_helper.from_array(np.array([1], dtype=np.int64), "direction")]
    source = "steps"
    for k, (w_input, w_hidden, b_input, b_hidden) in enumerate(layers):
        n_hidden = w_hidden.shape[1]
        tensors = {
            f"W{k}": _reorder(w_input)[None],
            f"R{k}": _reorder(w_hidden)[None],
            f"B{k}": np.concatenate([_reorder(b_input), _reorder(b_hidden)])[None],
        }
        constants += [numpy_helper.from_array(value, name) for name, value in tensors.items()]
        nodes.append(
            helper.make_node(
                "GRU",
                [source, *tensors, "lengths"],
                [f"all{k}", f"last{k}"],
                hidden_size=n_hidden,
                linear_before_reset=1,  # torch resets after the recurrent matrix
            )
        )
        nodes.append(helper.make_node("Squeeze", [f"all{k}", "direction"], [f"out{k}"]))
        source = f"out{k}"
    constants.append(numpy_helper.from_array(np.array([0], dtype=np.int64), "front"))
    nodes.pop()  # the last layer's full output is not needed
    nodes.append(helper.make_node("Squeeze", [f"last{len(layers) - 1}", "front"], ["last"]))
    n_channels, n_hidden = layers[0][0].shape[1], layers[-1][1].shape[1]
    inputs = [
        helper.make_tensor_value_info("steps", TensorProto.FLOAT, ["time", "batch", n_channels]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
    ]
    outputs = [helper.make_tensor_value_info("last", TensorProto.FLOAT, ["batch", n_hidden])]
    graph = helper.make_graph(nodes, "firstlight_encoder", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def _reorder(gates: Float32Array) -> Float32Array:
    """Rows from torch's order (reset, update, candidate) to ONNX's (update, reset, candidate)."""
    reset, update, candidate = np.split(gates, 3)
    return np.ascontiguousarray(np.concatenate([update, reset, candidate]))
