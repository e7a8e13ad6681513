"""Classifier and calibration as an ONNX graph, for use outside firstlight."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from firstlight._types import AnyArray, FloatArray
from firstlight.classify.calibrate import FLOOR, PhaseCalibrator
from firstlight.classify.forest import MISSING_HIGH, MISSING_IS_ZERO, Forest
from firstlight.classify.gate import GatedClassifier
from firstlight.classify.lightgbm import LightGBMBooster
from firstlight.classify.protocol import Classifier
from firstlight.errors import SettingsError

OPSET, ML_OPSET = 17, 3
INPUTS, REDSHIFT, PHASE, OUTPUT = "inputs", "redshift", "phase", "probabilities"


def build_classifier_graph(
    classifier: Classifier, calibrator: PhaseCalibrator, classes: Sequence[str], metadata: dict[str, str]
) -> bytes:
    """Serialised ONNX model of a classifier and its calibration; needs onnx.

    The model has inputs ``inputs``, float32 (n, n_features), ``redshift`` and ``phase``, float64 (n,), both
    NaN where unknown, and output ``probabilities``, float64 (n, n_classes), columns as `classes`. Trees and
    probabilities are of 64 bits, but a tree's sum is rounded to 32. SettingsError for a classifier that has
    no graph.
    """
    graph = _Graph()
    proba = graph.classify(classifier)
    proba = graph.calibrate(proba, calibrator, len(classifier.classes))
    own = list(classifier.classes)
    zeros = graph.node("Mul", graph.node("Slice", proba, *graph.whole([0], [1], [1])), graph.real(0.0))
    wide = graph.node("Concat", proba, zeros, axis=1)
    columns = [own.index(name) if name in own else len(own) for name in classes]
    graph.node("Gather", wide, graph.constant(np.array(columns, np.int64)), axis=1, name=OUTPUT)
    return graph.model(classifier.n_features, len(classes), metadata)


class _Graph:
    """Nodes and constants of a graph, each by a number."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.X = self.node("Cast", INPUTS, to=11)  # to float64
        self.stated = self.node("Unsqueeze", REDSHIFT, self.constant(np.array([1], np.int64)))
        self.phase = self.node("Unsqueeze", PHASE, self.constant(np.array([1], np.int64)))

    def node(self, kind: str, *inputs: str, name: str = "", domain: str = "", **values: Any) -> str:
        """Add a node; the name of its output."""
        from onnx import helper

        name = name or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **values))
        return name

    def constant(self, value: AnyArray) -> str:
        """Add a constant; its name."""
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def real(self, value: object) -> str:
        """A constant of float64."""
        return self.constant(np.array(value, np.float64))

    def whole(self, *values: list[int]) -> list[str]:
        """Constants of int64."""
        return [self.constant(np.array(value, np.int64)) for value in values]

    def classify(self, classifier: Classifier) -> str:
        """Probabilities of a classifier's classes."""
        if isinstance(classifier, GatedClassifier):
            return self._gated(classifier)
        if isinstance(classifier, LightGBMBooster):
            return self._forest(classifier.forest)
        raise SettingsError(
            f"a classifier of kind {type(classifier).__name__} has no ONNX graph; those of the presets "
            "default and fast have one"
        )

    def _forest(self, forest: Forest) -> str:
        """Softmax of the sums of a forest."""
        raw = self.node("TreeEnsembleRegressor", self.X, domain="ai.onnx.ml", **_tree_values(forest))
        raw = self.node("Cast", raw, to=11)
        if forest.n_outputs == 1:
            raw = self.node("Concat", self.node("Mul", raw, self.real(0.0)), raw, axis=1)
        return self.node("Softmax", raw, axis=1)

    def _gated(self, classifier: GatedClassifier) -> str:
        gate = classifier.gate_parts
        is_zero = self.node("Equal", self.stated, self.real(0.0))
        is_positive = self.node("Greater", self.stated, self.real(0.0))
        galactic = self.node("Mul", self.node("Cast", is_zero, to=11), self.real(0.0))
        galactic = self.node("Add", galactic, self.real(gate.fraction))
        if gate.forest is not None:
            galactic = self.node("Slice", self._forest(gate.forest), *self.whole([1], [2], [1]))
        if not (gate.doubts and gate.forest is not None):
            galactic = self.node("Where", is_zero, self.real(1.0 - gate.galactic_error), galactic)
            galactic = self.node("Where", is_positive, self.real(gate.extragalactic_error), galactic)
        parts: list[str] = []
        order: list[str] = []
        for side, expert in classifier.experts.items():
            share = galactic
            if side != "galactic":
                share = self.node("Sub", self.real(1.0), galactic)
            prior = self.real(expert.prior[None])
            within = prior
            if expert.forest is not None:
                if gate.doubts:
                    needed = self.node("Greater", share, self.real(gate.negligible))
                else:
                    unstated = self.node("Not", self.node("Or", is_zero, is_positive))
                    needed = self.node("Or", unstated, self.node("Greater", share, self.real(0.5)))
                within = self.node("Where", needed, self._forest(expert.forest), prior)
            parts.append(self.node("Mul", share, within))
            order += expert.classes
        joined = self.node("Concat", *parts, axis=1)
        columns = np.array([order.index(name) for name in classifier.classes], np.int64)
        return self.node("Gather", joined, self.constant(columns), axis=1)

    def calibrate(self, proba: str, calibrator: PhaseCalibrator, n_classes: int) -> str:
        """The probabilities after `PhaseCalibrator.transform`."""
        if calibrator.is_identity:
            return proba
        log_scale, shift = calibrator.tables
        unknown = self.node("IsNaN", self.phase)
        days = self.node("Where", unknown, self.real(0.0), self.phase)
        place = np.log1p(np.array(calibrator.config.knots))
        at = self.node("Log", self.node("Add", self.node("Max", days, self.real(0.0)), self.real(1.0)))
        at = self.node("Min", self.node("Max", at, self.real(place[0])), self.real(place[-1]))
        rising, falling = _hat_lines(place)
        up, down = (
            self.node("Add", self.node("Mul", at, self.real(line[0][None])), self.real(line[1][None]))
            for line in (rising, falling)
        )
        hats = self.node("Max", self.node("Min", up, down), self.real(0.0))
        scale = self.node("Exp", self.node("MatMul", hats, self.real(log_scale[:, None])))
        raw = self.node("Mul", scale, self.node("Log", self.node("Max", proba, self.real(FLOOR))))
        if shift.any():
            raw = self.node("Add", raw, self.node("MatMul", hats, self.real(shift)))
        highest = self.node("ReduceMax", raw, axes=[1], keepdims=1)
        powers = self.node("Exp", self.node("Sub", raw, highest))
        out = self.node("Where", self.node("Greater", proba, self.real(0.0)), powers, self.real(0.0))
        total = self.node("MatMul", out, self.real(np.ones((n_classes, 1))))
        return self.node("Div", out, total)

    def model(self, n_features: int, n_classes: int, metadata: dict[str, str]) -> bytes:
        """The serialised model."""
        from onnx import TensorProto, checker, helper

        inputs = [
            helper.make_tensor_value_info(INPUTS, TensorProto.FLOAT, ["n", n_features]),
            helper.make_tensor_value_info(REDSHIFT, TensorProto.DOUBLE, ["n"]),
            helper.make_tensor_value_info(PHASE, TensorProto.DOUBLE, ["n"]),
        ]
        outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, ["n", n_classes])]
        graph = helper.make_graph(self.nodes, "firstlight_classifier", inputs, outputs, self.constants)
        versions = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=versions, ir_version=8)
        helper.set_model_props(model, metadata)
        checker.check_model(model)
        serialised: bytes = model.SerializeToString()
        return serialised


def _hat_lines(place: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slope and intercept of the rising and the falling side of each hat function, shape (2, n_knots)."""
    rising, falling = (np.stack([np.zeros(len(place)), np.ones(len(place))]) for _ in range(2))
    if len(place) > 1:
        step = np.diff(place)
        rising[:, 1:] = 1.0 / step, -place[:-1] / step
        falling[:, :-1] = -1.0 / step, place[1:] / step
    return rising, falling


def _tree_values(forest: Forest) -> dict[str, Any]:
    """Attributes of the operator TreeEnsembleRegressor."""
    from onnx import numpy_helper

    bounds = np.append(forest.root, len(forest.nodes))
    tree = np.repeat(np.arange(len(forest.root)), np.diff(bounds))
    node = np.arange(len(forest.nodes)) - forest.root[tree]
    left = forest.nodes & 0xFFFF
    bits = (forest.nodes >> 32).astype(np.int64)
    inner = left != node
    words = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int32)
    threshold = np.where(inner, words.view(np.float32), 0.0).astype(np.float64)
    column = np.where(inner, (forest.nodes >> 16) & 0xFFFF, 0)
    missing = forest.column_missing[column]
    goes_left = np.where(missing == MISSING_IS_ZERO, threshold >= 0.0, missing != MISSING_HIGH)
    leaf = ~inner
    return {
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": node.tolist(),
        "nodes_featureids": np.where(inner, forest.column_feature[column], 0).tolist(),
        "nodes_modes": np.where(inner, "BRANCH_LEQ", "LEAF").tolist(),
        "nodes_values_as_tensor": numpy_helper.from_array(threshold, "thresholds"),
        "nodes_truenodeids": np.where(inner, left, 0).tolist(),
        "nodes_falsenodeids": np.where(inner, left + 1, 0).tolist(),
        "nodes_missing_value_tracks_true": (goes_left & inner).astype(int).tolist(),
        "target_treeids": tree[leaf].tolist(),
        "target_nodeids": node[leaf].tolist(),
        "target_ids": forest.output[tree[leaf]].tolist(),
        "target_weights_as_tensor": numpy_helper.from_array(forest.value[leaf], "leaves"),
        "base_values_as_tensor": numpy_helper.from_array(forest.start, "start"),
        "n_targets": forest.n_outputs,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
    }
