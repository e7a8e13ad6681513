"""A bundle as ONNX graphs, for programs in other languages."""

import json
from pathlib import Path

from firstlight._version import __version__
from firstlight.errors import BundleError, DataError, missing_extra
from firstlight.files import replacing
from firstlight.pipeline.graph import build_classifier_graph
from firstlight.pipeline.pipeline import Pipeline

#: Names of the graphs in the folder.
CLASSIFIER, ENCODER = "classifier.onnx", "encoder.onnx"


def export_onnx(pipeline: Pipeline, folder: str | Path) -> list[Path]:
    """Write the graphs of a pipeline.

    Parameters
    ----------
    pipeline : Pipeline
        A trained pipeline, loaded without another class mix.
    folder : path
        Folder to write: ``classifier.onnx`` (trees, gate and calibration: from the columns of
        `Pipeline.inputs` to calibrated probabilities) and ``encoder.onnx`` (the recurrent network: from
        steps to its last state).

    Returns
    -------
    list of Path
        The files. Their metadata hold the bundle's version, and names and order of inputs and classes.

    Raises
    ------
    MissingExtraError
        If onnx is not installed.
    SettingsError
        If the bundle's classifier has no graph.
    BundleError
        If the pipeline is not trained or has no graph of its encoder.
    DataError
        If the folder cannot be written.
    """
    try:
        import onnx
    except ImportError as error:
        raise missing_extra("the export to ONNX", "onnx", "train") from error
    about = {
        "firstlight": __version__,
        "bundle": pipeline.bundle_version,
        "preset": pipeline.config.name,
        "input_names": json.dumps(list(pipeline.input_names)),
        "classes": json.dumps(list(pipeline.taxonomy.classes)),
    }
    graph = build_classifier_graph(pipeline.classifier, pipeline.calibrator, pipeline.taxonomy.classes, about)
    if pipeline.encoder.graph is None:
        raise BundleError("the bundle has no graph of its encoder; train it with onnx installed")
    encoder = onnx.load_from_string(pipeline.encoder.graph)
    onnx.helper.set_model_props(encoder, {name: about[name] for name in ("firstlight", "bundle", "preset")})
    written = []
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, content in ((CLASSIFIER, graph), (ENCODER, encoder.SerializeToString())):
            written.append(Path(folder) / name)
            with replacing(written[-1]) as partial:
                partial.write_bytes(content)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
    return written
