"""Value of an adaptation: scores of held-out objects beside those of other classifiers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from firstlight._types import FloatArray, IntArray, StrArray
from firstlight.metrics.scores import headline, truth_index

#: Scores in the table of an adaptation, and their words.
SCORE_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "macro_f1": "macro F1",
    "macro_auc": "macro AUC",
    "log_loss": "log-loss",
    "ece": "ECE",
}
ADAPTED, UNADAPTED, MIXED, SCRATCH = (
    "adapted",
    "unadapted",
    "unadapted, with the labels' class mix",
    "from scratch",
)
_N_RESAMPLES = 200


def score_table(
    labels: StrArray, classes: tuple[str, ...], proba: Mapping[str, FloatArray]
) -> dict[str, dict[str, Any]]:
    """Scores of several classifiers on the same objects, each with a bootstrap standard deviation.

    ``difference`` is the score less that of the unadapted bundle on the same resamples, with its own.
    """
    truth = truth_index(labels, classes)
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(truth), len(truth)) for _ in range(_N_RESAMPLES)]
    whole = {name: _scores(truth, table) for name, table in proba.items()}
    drawn = {
        name: np.array([_scores(truth[draw], table[draw]) for draw in draws]) for name, table in proba.items()
    }
    return {
        name: {
            metric: {
                "value": _rounded(whole[name][k]),
                "std": _rounded(float(np.nanstd(drawn[name][:, k]))),
                "difference": _rounded(whole[name][k] - whole[UNADAPTED][k]),
                "difference_std": _rounded(float(np.nanstd(drawn[name][:, k] - drawn[UNADAPTED][:, k]))),
            }
            for k, metric in enumerate(SCORE_WORDS)
        }
        for name in proba
    }


def _scores(truth: IntArray, proba: FloatArray) -> FloatArray:
    found = headline(truth, proba, np.ones(proba.shape[1]))
    return np.array([found[name] for name in SCORE_WORDS])


def _rounded(value: float) -> float:
    return round(float(value), 4)
