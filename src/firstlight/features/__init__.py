"""Features of light curves: raw statistics, a Gaussian process, template fits.

Compiled, one pass an object, every feature named (`Feature`) and NaN where undefined.
"""

from firstlight.features.extract import FeatureConfig, FeatureTable, extract, features
from firstlight.features.registry import Feature

__all__ = ["Feature", "FeatureConfig", "FeatureTable", "extract", "features"]
