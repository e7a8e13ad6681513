"""`Predictions`: the answer for each object, in memory and on disk."""

from firstlight.predictions.estimate import ESTIMATED, estimated_mix
from firstlight.predictions.files import check_output, read_predictions, write_predictions
from firstlight.predictions.table import (
    BEYOND,
    CLASSIFIED,
    DOMAINS,
    EDGE,
    INSIDE,
    NOT_CLASSIFIED,
    OUTSIDE,
    SUM_TOLERANCE,
    UNKNOWN,
    Domain,
    Predictions,
    Scores,
    domain_warning,
)

__all__ = [
    "BEYOND",
    "CLASSIFIED",
    "DOMAINS",
    "EDGE",
    "ESTIMATED",
    "INSIDE",
    "NOT_CLASSIFIED",
    "OUTSIDE",
    "SUM_TOLERANCE",
    "UNKNOWN",
    "Domain",
    "Predictions",
    "Scores",
    "check_output",
    "domain_warning",
    "estimated_mix",
    "read_predictions",
    "write_predictions",
]
