"""Candidates for strange objects, in the order that a person's verdicts give."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from firstlight._types import Progress
from firstlight.anomaly.feedback import FeedbackRanker, verdict_values
from firstlight.anomaly.verdicts import Verdict
from firstlight.lightcurves import LightCurves
from firstlight.pipeline.pipeline import Pipeline
from firstlight.predictions import CLASSIFIED


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Objects without a verdict, the most interesting first, and the counts of those left out.

    Attributes
    ----------
    table : pandas.DataFrame
        ``rank``, ``object``, ``interest`` (about -1 to 1), ``anomaly``, ``class``, ``probability``,
        ``n_obs``, ``phase`` [day].
    n_interesting, n_dull : int
        Verdicts that count.
    n_absent : int
        Verdicts on objects that are not among the light curves.
    n_skipped : int
        Objects that were not classified, and so have no anomaly score.
    """

    table: pd.DataFrame
    n_interesting: int
    n_dull: int
    n_absent: int
    n_skipped: int


def list_candidates(
    pipeline: Pipeline,
    curves: LightCurves,
    verdicts: Mapping[str, Verdict],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Candidates:
    """Order objects by their interest.

    Parameters
    ----------
    pipeline : Pipeline
        A bundle with an anomaly score.
    curves : LightCurves
        The objects.
    verdicts : mapping of str to Verdict
        Verdicts by the name of the object (`read_verdicts`).
    jobs, progress : optional
        As for `Pipeline.predict`.

    Returns
    -------
    Candidates
        Those without a verdict, of equal interest in the order of the light curves.
    """
    predictions = pipeline.predict(curves, jobs=jobs, progress=progress)
    scored = np.flatnonzero(predictions.status == CLASSIFIED)
    some, shown = curves.take(scored), predictions.take(scored)
    place = pipeline.places(some, jobs=jobs, progress=progress)
    known, values = verdict_values(some.object_id, verdicts)
    interest = FeedbackRanker(place, shown.proba, shown.anomaly).interest(known, values)
    left = np.flatnonzero(~np.isin(some.object_id, np.array(list(verdicts), np.str_)))
    order = left[np.argsort(-interest[left], kind="stable")]
    table = pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1),
            "object": some.object_id[order].astype(object),
            "interest": interest[order].round(6),
            "anomaly": shown.anomaly[order],
            "class": shown.label[order].astype(object),
            "probability": shown.proba[order].max(axis=1, initial=0.0),
            "n_obs": shown.n_obs[order],
            "phase": shown.phase[order],
        }
    )
    return Candidates(
        table,
        n_interesting=int((values[known] > 0.0).sum()),
        n_dull=int((values[known] < 0.0).sum()),
        n_absent=int((~np.isin(np.array(list(verdicts), np.str_), curves.object_id)).sum()),
        n_skipped=len(curves) - len(scored),
    )
