"""firstlight: classify astronomical transients from their light curves in real time.

The names below are the stable library; each loads its module when it is first used, so
that ``import firstlight`` costs nothing and touches no network.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firstlight.config import PipelineConfig, load_preset
    from firstlight.crossval import run_crossval, run_holdout
    from firstlight.data import RejectLog, Truth, load_plasticc, write_curves
    from firstlight.data.read import read
    from firstlight.errors import FirstlightError
    from firstlight.evaluate import Predictions, read_predictions, score, write_predictions
    from firstlight.lightcurves import LightCurve, LightCurves
    from firstlight.pipeline import Pipeline
    from firstlight.taxonomy import CLASSES

__version__ = "0.1.0.dev0"

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
    "PipelineConfig": "config",
    "Predictions": "evaluate",
    "RejectLog": "data",
    "Truth": "data",
    "load_plasticc": "data",
    "load_preset": "config",
    "read": "data",
    "read_predictions": "evaluate",
    "run_crossval": "crossval",
    "run_holdout": "crossval",
    "score": "evaluate",
    "write_curves": "data",
    "write_predictions": "evaluate",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name in _HOME:
        return getattr(import_module(f"firstlight.{_HOME[name]}"), name)
    raise AttributeError(f"module 'firstlight' has no attribute {name!r}")
