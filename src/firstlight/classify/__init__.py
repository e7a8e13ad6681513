"""Classification: boosted trees, the galactic gate, calibration, anomaly score, verdict."""

from firstlight.classify.anomaly import AnomalyConfig, AnomalyScorer, Evidence
from firstlight.classify.balance import class_weights, object_weights, oversample
from firstlight.classify.baselines import LogisticBaseline, LogisticConfig
from firstlight.classify.boosting import LightGBMBooster, LightGBMConfig
from firstlight.classify.calibrate import CalibrationConfig, PhaseCalibrator
from firstlight.classify.gate import GateConfig, GatedClassifier
from firstlight.classify.protocol import Classifier, Validation, to_all_classes
from firstlight.classify.registry import CLASSIFIERS, ClassifierConfig, load_classifier
from firstlight.classify.seed_booster import SeedBooster, SeedBoosterConfig
from firstlight.classify.verdict import VerdictConfig, verdict, verdict_of

__all__ = [
    "CLASSIFIERS",
    "AnomalyConfig",
    "AnomalyScorer",
    "CalibrationConfig",
    "Classifier",
    "ClassifierConfig",
    "Evidence",
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
