"""Tune the paper's classifier: an Optuna study on disk, on inner folds of the learning objects only."""

from firstlight.tune.holdout import check_tunable, run_tuning
from firstlight.tune.study import (
    LOGARITHMIC,
    PARAMETERS,
    TuneConfig,
    TuneRows,
    Tuning,
    fit_rows,
    need_optuna,
    tune,
)

__all__ = [
    "LOGARITHMIC",
    "PARAMETERS",
    "TuneConfig",
    "TuneRows",
    "Tuning",
    "check_tunable",
    "fit_rows",
    "need_optuna",
    "run_tuning",
    "tune",
]
