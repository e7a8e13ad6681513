"""The pipeline: light curves to calibrated class probabilities; its configuration and bundles."""

from firstlight.pipeline.config import PipelineConfig, load_preset
from firstlight.pipeline.pipeline import Pipeline

__all__ = ["Pipeline", "PipelineConfig", "load_preset"]
