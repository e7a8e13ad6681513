"""Anomaly score: how unlike the training classes an object is; higher is more unusual."""

from firstlight.anomaly.domain import TrainingDomain, brighter, describe
from firstlight.anomaly.scorer import AnomalyConfig, AnomalyInputs, AnomalyScorer

__all__ = ["AnomalyConfig", "AnomalyInputs", "AnomalyScorer", "TrainingDomain", "brighter", "describe"]
