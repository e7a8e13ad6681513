"""Classification: boosted trees, the galactic gate, calibration, prediction sets, status."""

from firstlight.classify.balance import class_frequencies, class_weights, object_weights, oversample
from firstlight.classify.calibrate import CalibrationConfig, PhaseCalibrator
from firstlight.classify.gate import GateConfig, GatedClassifier
from firstlight.classify.gradient import SklearnBooster, SklearnBoosterConfig
from firstlight.classify.lightgbm import LightGBMBooster, LightGBMConfig
from firstlight.classify.protocol import Classifier, check_frequencies, to_all_classes
from firstlight.classify.registry import (
    CLASSIFIERS,
    ClassifierConfig,
    load_classifier,
    make_classifier,
    search_space,
    settings_in_use,
    tunable_values,
    with_values,
)
from firstlight.classify.rows import TrainingRows
from firstlight.classify.sets import COVERAGE, PredictionSets, SetsConfig
from firstlight.classify.space import SearchSpace, Tunable
from firstlight.classify.status import StatusConfig, status_from_counts, status_of

__all__ = [
    "CLASSIFIERS",
    "COVERAGE",
    "CalibrationConfig",
    "Classifier",
    "ClassifierConfig",
    "GateConfig",
    "GatedClassifier",
    "LightGBMBooster",
    "LightGBMConfig",
    "PhaseCalibrator",
    "PredictionSets",
    "SearchSpace",
    "SetsConfig",
    "SklearnBooster",
    "SklearnBoosterConfig",
    "StatusConfig",
    "TrainingRows",
    "Tunable",
    "check_frequencies",
    "class_frequencies",
    "class_weights",
    "load_classifier",
    "make_classifier",
    "object_weights",
    "oversample",
    "search_space",
    "settings_in_use",
    "status_from_counts",
    "status_of",
    "to_all_classes",
    "tunable_values",
    "with_values",
]
