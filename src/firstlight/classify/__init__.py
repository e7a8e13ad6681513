"""Classification: boosted trees, the galactic gate, calibration, status."""

from firstlight.classify.balance import class_weights, object_weights, oversample
from firstlight.classify.baselines import LogisticBaseline, LogisticConfig
from firstlight.classify.calibrate import CalibrationConfig, PhaseCalibrator
from firstlight.classify.gate import GateConfig, GatedClassifier
from firstlight.classify.gradient import SeedBooster, SeedBoosterConfig
from firstlight.classify.lightgbm import LightGBMBooster, LightGBMConfig
from firstlight.classify.protocol import Classifier, Validation, to_all_classes
from firstlight.classify.registry import CLASSIFIERS, ClassifierConfig, load_classifier
from firstlight.classify.status import VerdictConfig, verdict, verdict_of

__all__ = [
    "CLASSIFIERS",
    "CalibrationConfig",
    "Classifier",
    "ClassifierConfig",
    "GateConfig",
    "GatedClassifier",
    "LightGBMBooster",
    "LightGBMConfig",
    "LogisticBaseline",
    "LogisticConfig",
    "PhaseCalibrator",
    "SeedBooster",
    "SeedBoosterConfig",
    "Validation",
    "VerdictConfig",
    "class_weights",
    "load_classifier",
    "object_weights",
    "oversample",
    "to_all_classes",
    "verdict",
    "verdict_of",
]
