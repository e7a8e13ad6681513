"""Honest evaluation: splits, guards against leaks, metrics with their spread, tables of predictions.

Figures and the report live in `firstlight.evaluate.plots` and `firstlight.evaluate.report`,
which are imported by name: they load matplotlib.
"""

from firstlight.evaluate.crossval_result import check_summary, read_summary, summarise_folds, write_summary
from firstlight.evaluate.evaluation import Evaluation, fold_scores, summarise
from firstlight.evaluate.leakage import check_columns, check_disjoint, check_near_duplicates
from firstlight.evaluate.metrics import METRICS, score
from firstlight.evaluate.phases import PHASES, Snapshot, phase_name, skill_by_phase
from firstlight.evaluate.predictions import Predictions, check_output, read_predictions, write_predictions
from firstlight.evaluate.split import Fold, hash_fraction, hash_split, stratified_folds, validation_part

__all__ = [
    "METRICS",
    "PHASES",
    "Evaluation",
    "Fold",
    "Predictions",
    "Snapshot",
    "check_columns",
    "check_disjoint",
    "check_near_duplicates",
    "check_output",
    "check_summary",
    "fold_scores",
    "hash_fraction",
    "hash_split",
    "phase_name",
    "read_predictions",
    "read_summary",
    "score",
    "skill_by_phase",
    "stratified_folds",
    "summarise",
    "summarise_folds",
    "validation_part",
    "write_predictions",
    "write_summary",
]
