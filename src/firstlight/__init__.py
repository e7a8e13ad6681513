"""firstlight: classify astronomical transients from their light curves in real time.

The names below are the stable library; each loads its module when it is first used, so
that ``import firstlight`` costs nothing and touches no network.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from firstlight._version import __version__ as __version__

if TYPE_CHECKING:
    from firstlight.data import RejectLog, Truth, load_plasticc, read, write_curves
    from firstlight.errors import FirstlightError
    from firstlight.experiments.crossval import run_crossval, run_holdout
    from firstlight.lightcurves import LightCurve, LightCurves
    from firstlight.metrics import score
    from firstlight.pipeline import Pipeline, PipelineConfig, load_preset
    from firstlight.predictions import Predictions, read_predictions, write_predictions
    from firstlight.taxonomy import CLASSES

__all__ = [
    "CLASSES",
    "FirstlightError",
    "LightCurve",
    "LightCurves",
    "Pipeline",
    "PipelineConfig",
    "Predictions",
    "RejectLog",
    "Truth",
    "load_plasticc",
    "load_preset",
    "read",
    "read_predictions",
    "run_crossval",
    "run_holdout",
    "score",
    "write_curves",
    "write_predictions",
]

_HOME = {
    "CLASSES": "taxonomy",
    "FirstlightError": "errors",
    "LightCurve": "lightcurves",
    "LightCurves": "lightcurves",
    "Pipeline": "pipeline",
    "PipelineConfig": "pipeline.config",
    "Predictions": "predictions",
    "RejectLog": "data",
    "Truth": "data",
    "load_plasticc": "data",
    "load_preset": "pipeline.config",
    "read": "data",
    "read_predictions": "predictions",
    "run_crossval": "experiments.crossval",
    "run_holdout": "experiments.crossval",
    "score": "metrics",
    "write_curves": "data",
    "write_predictions": "predictions",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name in _HOME:
        return getattr(import_module(f"firstlight.{_HOME[name]}"), name)
    raise AttributeError(f"module 'firstlight' has no attribute {name!r}")
