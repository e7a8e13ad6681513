"""Features of light curves: raw statistics, a Gaussian process, template fits; NaN where undefined."""

from firstlight.features.config import FeatureConfig, TemplateConfig
from firstlight.features.extract import FeatureTable, extract, features
from firstlight.features.registry import Feature
from firstlight.features.templates import Templates

__all__ = ["Feature", "FeatureConfig", "FeatureTable", "TemplateConfig", "Templates", "extract", "features"]
