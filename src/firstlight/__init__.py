"""firstlight: classify astronomical transients from their light curves in real time.

The names in ``__all__`` are the stable library. Each loads its module on first use, so
that ``import firstlight`` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from firstlight._version import __version__ as __version__

if TYPE_CHECKING:
    from firstlight.data import Truth, load_plasticc, read, write_curves
    from firstlight.errors import FirstlightError
    from firstlight.experiments.crossval import run_crossval, run_holdout
    from firstlight.lightcurves import LightCurve, LightCurves, RejectLog
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
    "RejectLog": "lightcurves",
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


def __dir__() -> list[str]:
    """Public names, for completion."""
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name in _HOME:
        return getattr(import_module(f"firstlight.{_HOME[name]}"), name)
    raise AttributeError(f"module 'firstlight' has no attribute {name!r}")
