"""Scores with their spread over folds and phases: pure functions of labels and probabilities."""

from firstlight.metrics.evaluation import Evaluation, fold_scores, summarise
from firstlight.metrics.phases import PHASES, Snapshot, phase_name, skill_by_phase
from firstlight.metrics.scores import METRICS, score
from firstlight.metrics.sets import set_scores
from firstlight.metrics.summary import summarise_folds, write_summary

__all__ = [
    "METRICS",
    "PHASES",
    "Evaluation",
    "Snapshot",
    "fold_scores",
    "phase_name",
    "score",
    "set_scores",
    "skill_by_phase",
    "summarise",
    "summarise_folds",
    "write_summary",
]
