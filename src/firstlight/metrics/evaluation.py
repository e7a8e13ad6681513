"""`Evaluation`: true classes and forecasts, and their scores with a spread.

It serves a cross-validation, where the spread is that between folds, and a single test set,
where it comes from resampling the objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.errors import DataError
from firstlight.metrics.phases import Snapshot, phase_name, skill_by_phase
from firstlight.metrics.scores import score
from firstlight.metrics.sets import set_scores
from firstlight.metrics.summary import summarise_folds
from firstlight.predictions import Predictions
from firstlight.taxonomy import CLASSES

N_RESAMPLES = 100  # a standard deviation good to 7 %
N_RESAMPLES_BY_PHASE = 25  # nine phases and two selections each: good to 14 %
MOST_RESAMPLED = 2_000_000  # objects scored in all; bounds the time on huge test sets
FEWEST_RESAMPLES = 5
WHOLE = phase_name(np.inf)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """True classes and forecasts of the same objects.

    Attributes
    ----------
    object_id, labels : str arrays, shape (n_objects,)
        Names and true classes.
    proba : float64 array, shape (n_objects, n_classes)
        Forecast of the whole light curve; the prior where not classified.
    classified : bool array, shape (n_objects,)
        False for objects that the classifier declined.
    classes : tuple of str
        Columns of `proba`.
    fold : int64 array, shape (n_objects,), optional
        Test fold of each object; None for a single test set.
    by_phase : mapping of str to Snapshot
        Forecasts at earlier phases, by `phase_name`.
    in_set : bool array, shape (n_objects, n_classes), optional
        Classes in the prediction sets of the whole light curves; None without sets.

    Raises
    ------
    DataError
        If shapes disagree or there is no object.
    """

    object_id: StrArray
    labels: StrArray
    proba: FloatArray
    classified: BoolArray
    classes: tuple[str, ...] = CLASSES
    fold: IntArray | None = None
    by_phase: Mapping[str, Snapshot] = field(default_factory=lambda: MappingProxyType({}))
    in_set: BoolArray | None = None

    def __post_init__(self) -> None:
        n = len(self.object_id)
        shapes: dict[str, tuple[int, ...]] = {
            "labels": self.labels.shape,
            "classified": self.classified.shape,
            "proba": self.proba.shape[:1],
        }
        if self.fold is not None:
            shapes["fold"] = self.fold.shape
        wrong = [name for name, shape in shapes.items() if shape != (n,)]
        wrong += [f"by_phase[{name!r}]" for name, part in self.by_phase.items() if len(part.proba) != n]
        if wrong or not n:
            raise DataError(f"{n} object(s) to evaluate, but {', '.join(wrong) or 'nothing'} of that length")

    @property
    def snapshots(self) -> dict[str, Snapshot]:
        """Forecasts at each phase; the whole light curve (``all``) comes last."""
        early = {name: part for name, part in self.by_phase.items() if name != WHOLE}
        return early | {WHOLE: Snapshot(self.proba, self.classified, self.in_set)}

    @classmethod
    def from_predictions(
        cls, predictions: Predictions, object_id: StrArray, labels: StrArray
    ) -> tuple[Self, tuple[str, ...]]:
        """Join predictions and truth by object name.

        Parameters
        ----------
        predictions : Predictions
            Output of the classifier.
        object_id, labels : str arrays, shape (n_true,)
            Names and true classes, in any order.

        Returns
        -------
        Evaluation
            The objects that have both, in the order of `predictions`.
        tuple of str
            Sentences for the report: how many objects were left out, and why.

        Raises
        ------
        DataError
            If no object has both, or the truth names an object twice with two classes.
        """
        truth = _truth_table(object_id, labels)
        found = np.array([truth.get(name, "") for name in predictions.object_id.tolist()], dtype=np.str_)
        known = found != ""
        scorable = np.isin(found, predictions.classes)
        if not scorable.any():
            raise DataError(
                f"none of the {len(predictions)} predicted objects has a known class; check the names"
            )
        kept = predictions.take(scorable)
        evaluation = cls(
            object_id=kept.object_id,
            labels=found[scorable],
            proba=kept.proba,
            classified=kept.is_classified,
            classes=predictions.classes,
            in_set=Snapshot.of(kept).in_set,
        )
        outside = found[known & ~scorable]
        unpredicted = len(truth) - int(known.sum())
        notes = (
            (int((~known).sum()), "predicted object(s) without a true class were left out."),
            (len(outside), left_out_note(outside).partition(" ")[2]),
            (unpredicted, "object(s) of the truth were not predicted and do not count."),
        )
        return evaluation, tuple(f"{n:,} {text}" for n, text in notes if n)


def left_out_note(labels: StrArray) -> str:
    """A sentence for the report on objects of classes that the classifier does not know."""
    names, counts = np.unique(labels, return_counts=True)
    listed = ", ".join(f"{name} {n:,}" for name, n in zip(names, counts, strict=True))
    return f"{len(labels):,} object(s) of classes that cannot be predicted were left out ({listed})."


def fold_scores(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Scores of each fold, as from `metrics.score` with ``by_phase`` as from `skill_by_phase`.

    Without folds, all objects are one fold.
    """
    fold = np.zeros(len(evaluation.labels)) if evaluation.fold is None else evaluation.fold
    return [_scores(evaluation, np.flatnonzero(fold == k), phases=True) for k in np.unique(fold)]


def summarise(evaluation: Evaluation, *, protocol: str, seed: int = 0) -> dict[str, Any]:
    """Every score with its spread, in the layout of `summarise_folds`.

    Parameters
    ----------
    evaluation : Evaluation
        With folds, the spread is the standard deviation between them. Without, it is
        the standard deviation of scores of objects drawn with replacement.
    protocol : str
        A sentence on the training and test objects.
    seed : int
        Seed of the resampling.

    Returns
    -------
    dict
        JSON-ready but for NaN; see `summarise_folds`. With prediction sets also ``prediction_sets``, as from
        `set_scores`, of the objects of all folds.
    """
    sets = set_scores(evaluation.labels, evaluation.snapshots, evaluation.classes)
    extra = {"prediction_sets": sets} if sets else {}
    folds = fold_scores(evaluation)
    if len(folds) > 1:
        return summarise_folds(folds, protocol=protocol) | extra
    rng = np.random.default_rng(seed)
    n = len(evaluation.labels)
    n_resamples = int(np.clip(MOST_RESAMPLED // n, FEWEST_RESAMPLES, N_RESAMPLES))
    resamples = [
        _scores(evaluation, rng.integers(0, n, n), phases=k < min(n_resamples, N_RESAMPLES_BY_PHASE))
        for k in range(n_resamples)
    ]
    return summarise_folds(folds, protocol=protocol, resamples=resamples) | extra


def _scores(evaluation: Evaluation, index: IntArray, *, phases: bool) -> dict[str, Any]:
    labels = evaluation.labels[index]
    scores = score(labels, evaluation.proba[index], evaluation.classes, evaluation.classified[index])
    snapshots = {name: part.take(index) for name, part in evaluation.snapshots.items()} if phases else {}
    return scores | {"by_phase": skill_by_phase(labels, snapshots, evaluation.classes)}


def _truth_table(object_id: StrArray, labels: StrArray) -> dict[str, str]:
    truth: dict[str, str] = {}
    for name, label in zip(object_id.tolist(), labels.tolist(), strict=True):
        if truth.setdefault(name, label) != label:
            raise DataError(
                f"object {name!r} is {truth[name]!r} and {label!r} in the truth; give it one class"
            )
    return truth
