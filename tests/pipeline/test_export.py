"""The ONNX graphs of a bundle give the probabilities of the pipeline."""

import json

import numpy as np
import pytest

from firstlight.cli.app import run
from firstlight.errors import SettingsError
from firstlight.pipeline import Pipeline
from firstlight.pipeline.export import export_onnx
from firstlight.preprocess import preprocess

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A pipeline and the folder of its graphs."""
    pipeline = Pipeline.load("fast")
    folder = tmp_path_factory.mktemp("onnx") / "graphs"
    assert [path.name for path in export_onnx(pipeline, folder)] == ["classifier.onnx", "encoder.onnx"]
    return pipeline, folder


@pytest.mark.parametrize("redshift", ["photo", "none"])
def test_the_classifier_gives_the_calibrated_probabilities(exported, sample, redshift):
    pipeline, folder = exported
    curves = sample.with_redshift(redshift)
    session = onnxruntime.InferenceSession(folder / "classifier.onnx")
    ready = preprocess(curves, pipeline.config.preprocess)
    X = pipeline.inputs(curves)
    given = {
        "inputs": X,
        "redshift": ready.redshift.astype(np.float64),
        "phase": ready.last_phase.astype(np.float64),
    }
    (proba,) = session.run(["probabilities"], given)
    found = pipeline.predict(curves, jobs=1)
    known = found.is_classified
    assert known.sum() > 100
    np.testing.assert_allclose(proba[known], found.proba[known], rtol=0.0, atol=1e-5)
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.3, np.nan, X).astype(np.float32)
    for phase in (0.0, 3.0, 1e4, np.nan):  # missing inputs, and the ends of the knots
        days = np.full(len(X), phase)
        (proba,) = session.run(None, given | {"inputs": holes, "phase": days})
        expected = pipeline.calibrated(holes, ready.redshift, days)
        np.testing.assert_allclose(proba, expected, rtol=0.0, atol=1e-5)


def test_the_metadata_name_version_inputs_and_classes(exported):
    pipeline, folder = exported
    model = onnx.load(folder / "classifier.onnx")
    about = {item.key: item.value for item in model.metadata_props}
    assert about["bundle"] == pipeline.bundle_version
    assert json.loads(about["input_names"]) == list(pipeline.input_names)
    assert json.loads(about["classes"]) == list(pipeline.taxonomy.classes)
    assert [item.name for item in model.graph.input] == ["inputs", "redshift", "phase"]
    encoder = onnx.load(folder / "encoder.onnx")
    assert {item.key for item in encoder.metadata_props} == {"firstlight", "bundle", "preset"}
    onnx.checker.check_model(encoder)


def test_the_command_writes_the_folder(tmp_path, capsys):
    assert run(["export", "fast", "--onnx", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "out" / name) for name in ("classifier.onnx", "encoder.onnx")
    ]


def test_a_classifier_without_a_graph_is_refused(exported, tmp_path, monkeypatch):
    pipeline, _ = exported

    class Other:
        classes, n_features = pipeline.classes, 3

    monkeypatch.setattr(pipeline, "_classifier", Other())
    with pytest.raises(SettingsError, match="Other has no ONNX graph"):
        export_onnx(pipeline, tmp_path)
