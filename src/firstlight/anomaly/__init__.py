"""Anomaly score: how unlike the training classes an object is."""

from firstlight.anomaly.scorer import AnomalyConfig, AnomalyScorer, Evidence

__all__ = ["AnomalyConfig", "AnomalyScorer", "Evidence"]
