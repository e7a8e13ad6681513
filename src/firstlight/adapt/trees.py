"""The trees of an adapted bundle: grown over folds of the labelled objects, which choose weights and mix."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol, cast

import numpy as np

from firstlight._types import BoolArray, FloatArray, IntArray, Progress, StrArray, no_progress
from firstlight.adapt.config import AdaptConfig
from firstlight.adapt.rows import PLAIN, Copies
from firstlight.classify import (
    CalibrationConfig,
    Classifier,
    ClassifierConfig,
    LightGBMConfig,
    PhaseCalibrator,
    TrainingRows,
    make_classifier,
    to_all_classes,
)
from firstlight.classify.calibrate import MIN_OBJECTS
from firstlight.errors import DataError
from firstlight.metrics.scores import SMALLEST_PROBA
from firstlight.taxonomy import in_order

_UNSEEN = 0.5  # objects that a class without a labelled object counts in the mix
NO_LABELS = float("inf")  # weight of the training objects if the labels train nothing
BUNDLE, SURVEY = "bundle", "survey"  # trees that those of the labels are added to


class Choice(NamedTuple):
    """Settings that the folds chose."""

    start: str  # the trees that the labels add to: `BUNDLE` or `SURVEY`
    worth: float  # of the training objects of a class together, in labelled objects; infinite: all
    mix: float  # strength of the labels' class mix
    loss: float  # mean log-loss of unseen labelled objects [nat]

    def no_less_careful_than(self, other: "Choice | None") -> "Choice":
        """Take the choice whose training objects count more; the mix stays."""
        return self if other is None or other.worth <= self.worth else other._replace(mix=self.mix)


class Unseen(NamedTuple):
    """Probabilities of labelled rows by trees that saw neither them nor the fold they are used for."""

    proba: FloatArray
    rows: IntArray
    frequency: FloatArray  # of the classes among the labels that trained


class _Refines(Protocol):
    """A classifier whose trees can be continued."""

    def refine(
        self,
        rows: TrainingRows,
        config: LightGBMConfig,
        touched: frozenset[str],
        *,
        seed: int = 0,
        jobs: int = 1,
    ) -> Classifier: ...


@dataclass(eq=False)
class Grower:
    """Grows trees without some folds of the labelled objects, and keeps the trees it has grown.

    Trees of the labels are added to those of the bundle, or to new ones of the re-observed training set.
    Where the training set lacks a class, or the classifier cannot add trees, all are grown with the labels.

    With several sources a class may be nearly a source. Then every class weighs the same within each
    source's view of the sky, so that the source says nothing about the class. Trees are added to those of
    the bundle, whose calibration and class mix stay: those of the labels are the choice of the catalogues.
    """

    config: AdaptConfig
    settings: ClassifierConfig
    bundle: Classifier | None  # that of the bundle, if its classes are those of here
    training: Copies  # of the training set, without held-out objects
    labels: Copies  # of the labelled objects
    fold: IntArray  # (n_labelled,); fold of each object
    balance: FloatArray  # (n_labelled,); weight of each object, against the number of its source
    source: IntArray | None = None  # (n_labelled,); survey of each object's source, if there are several
    calibrator: PhaseCalibrator | None = None  # that of the bundle
    excluded: Mapping[int, int] = field(default_factory=dict)  # survey that goes with a fold, by fold
    seed: int = 0
    jobs: int = 1
    progress: Progress = no_progress
    _grown: dict[tuple[frozenset[int], str, float], Classifier] = field(default_factory=dict)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """All classes, in order."""
        return in_order([*self.training.made.rows.labels.tolist(), *self.labels.made.rows.labels.tolist()])

    @cached_property
    def own(self) -> StrArray:
        """Class of each labelled object."""
        return self.labels.made.rows.labels[self.labels.whole]

    @cached_property
    def adds(self) -> bool:
        """Whether the labels add trees to others, instead of growing all."""
        kind = self.settings.kind
        return not len(self._new_classes()) and (kind in ("gated", "lightgbm"))

    @cached_property
    def continues(self) -> bool:
        """Whether trees can be added to those of the bundle: it has the classes."""
        return self.adds and self.bundle is not None and self.bundle.classes == self.classes

    @cached_property
    def keeps(self) -> bool:
        """Whether calibration and class mix of the bundle stay: the labels are from several sources."""
        return self.continues and self.source is not None and self.calibrator is not None

    @property
    def starts(self) -> tuple[str, ...]:
        """Where the trees of the labels may begin."""
        if self.keeps:
            return (BUNDLE,)
        return (BUNDLE, SURVEY) if self.continues else (SURVEY,)

    @property
    def mixes(self) -> tuple[float, ...]:
        """Strengths of the labels' class mix that are tried."""
        return (0.0,) if self.keeps else self.config.mixes

    @property
    def worths(self) -> tuple[float, ...]:
        """Counts of the training objects to try; fewer where all trees are grown each time."""
        tried = sorted(self.config.worth, reverse=True)
        return (NO_LABELS, *tried) if self.adds else (tried[len(tried) // 2],)

    def n_expected(self) -> int:
        """Number of trainings, about."""
        n_folds = int(self.fold.max()) + 1
        each = len(self.starts) * (len(self.worths) - 1) if self.adds else 1
        return n_folds * (each + 1) + 2

    def grow(self, without: Iterable[int], start: str, worth: float) -> Classifier:
        """Trees that have seen none of the given folds, nor the surveys that go with them."""
        out = frozenset(without)
        key = (frozenset[int]() if worth == NO_LABELS else out, start, worth)
        if key in self._grown:
            return self._grown[key]
        if worth == NO_LABELS and start == BUNDLE and self.bundle is not None:
            self._grown[key] = self.bundle
        elif worth == NO_LABELS or not self.adds:
            model = make_classifier(self.settings)
            rows = self._all_rows(out, worth)
            self._grown[key] = model.fit(rows, None, seed=self.seed, jobs=self.jobs)
        else:
            first = cast(_Refines, self.grow((), start, NO_LABELS))
            further = replace(
                self.settings.lightgbm,
                rounds=self.config.source_rounds if self.keeps else self.config.further_rounds,
                leaves=self.config.further_leaves,
                learning_rate=self.config.further_rate,
            )
            touched = frozenset(self.own.tolist())
            rows = self._further_rows(out, worth)
            self._grown[key] = first.refine(rows, further, touched, seed=self.seed, jobs=self.jobs)
        self.progress("trees", min(len(self._grown) / self.n_expected(), 1.0))
        return self._grown[key]

    def proba(self, model: Classifier, rows: IntArray) -> FloatArray:
        """Probabilities of labelled rows, columns `classes`."""
        shown = self.labels.made.rows
        found = model.predict_proba(shown.X[rows], redshift=shown.redshift[rows])
        return to_all_classes(found, model.classes, self.classes)

    def frequency(self, without: Iterable[int]) -> FloatArray:
        """Class mix of the labelled objects outside of some folds."""
        kept = self.own[~np.isin(self.fold, list(without))]
        counts = np.array([np.sum(kept == name) for name in self.classes], dtype=np.float64)
        counts = np.maximum(counts, _UNSEEN)
        return counts / counts.sum()

    def unseen(self, fold: int, start: str, worth: float) -> list[Unseen]:
        """Rows of other folds, by trees that did not see their own fold.

        They are of the folds beside the given one, and their trees did not see that one either. Where
        folds are sources, they are of all others: two sources may have one class alone.
        """
        found = []
        for other in self._beside(fold):
            rows = np.flatnonzero(self.fold[self.labels.object] == other)
            out = (other,) if self.excluded else (fold, other)
            proba = self.proba(self.grow(out, start, worth), rows)
            if self.keeps and self.calibrator is not None:
                proba = self.calibrator.transform(proba, self.labels.made.phase[rows])
            found.append(Unseen(proba, rows, self.frequency(out)))
        return found

    def choose(self, folds: Iterable[int]) -> Choice:
        """Weights and mix by the log-loss of objects in the folds beside the given ones."""
        folds = list(folds)
        best = Choice(SURVEY, NO_LABELS, 0.0, np.inf)
        for start in self.starts:
            for worth in self.worths:
                parts = [part for fold in folds for part in self.unseen(fold, start, worth)]
                for mix in self.mixes:
                    loss = self._loss(parts, mix)
                    if loss < best.loss:
                        best = Choice(start, worth, mix, loss)
        return best

    def choose_for_all(self) -> Choice:
        """`choose` for the trees of all labelled objects."""
        return self.choose(range(int(self.fold.max()) + 1))

    def calibrate(self, parts: list[Unseen], choice: Choice) -> PhaseCalibrator:
        """The calibration of unseen rows, or that of the bundle; of few objects, the chosen mix alone."""
        if self.keeps and self.calibrator is not None:
            return self.calibrator
        rows = np.concatenate([part.rows for part in parts])
        shown = self.labels.made
        if len(np.unique(self.labels.object[rows])) >= MIN_OBJECTS:
            return PhaseCalibrator(CalibrationConfig(class_shifts=True)).fit(
                np.concatenate([part.proba for part in parts]),
                shown.rows.labels[rows],
                self.classes,
                shown.phase[rows],
                groups=self.labels.object[rows],
                seed=self.seed,
            )
        frequency = np.mean([part.frequency for part in parts], axis=0)
        return PhaseCalibrator.shifted(choice.mix * np.log(frequency))

    def _loss(self, parts: list[Unseen], mix: float) -> float:
        """Mean log-loss of the objects under a strength of the mix; of sources all count alike."""
        total, n = 0.0, 0.0
        for part in parts:
            raised = part.proba * part.frequency**mix
            code = [self.classes.index(name) for name in self.labels.made.rows.labels[part.rows].tolist()]
            own = raised[np.arange(len(code)), code] / raised.sum(axis=1)
            weight = self.labels.made.rows.weight[part.rows]
            weight = weight / weight.sum() if self.excluded else weight
            total -= float(weight @ np.log(np.maximum(own, SMALLEST_PROBA)))
            n += float(weight.sum())
        return total / n

    def _beside(self, fold: int) -> list[int]:
        """The folds before and after a fold, in a ring; where they are sources, all others."""
        n = int(self.fold.max()) + 1
        if self.excluded:
            return [other for other in range(n) if other != fold]
        return sorted({(fold - 1) % n, (fold + 1) % n} - {fold})

    def _new_classes(self) -> StrArray:
        """Classes of labelled objects that the training set lacks."""
        return np.setdiff1d(self.own, self.training.made.rows.labels)

    def _all_rows(self, without: frozenset[int], worth: float) -> TrainingRows:
        """Rows of the training set, and those of the labels where they grow all trees."""
        gone = list(self.excluded.values()) if self.adds else self._gone(without)
        kept = ~np.isin(self.training.survey, gone)
        part = _weighted(self.training.made.rows, kept, np.ones(len(kept)))
        return part if self.adds else self._with_labels(_worth(part, worth), without)

    def _further_rows(self, without: frozenset[int], worth: float) -> TrainingRows:
        """Rows of some training objects and of the labels."""
        training = self.training
        kept = self._anchors & ~np.isin(training.survey, self._gone(without))
        if not self.keeps or self.source is None:
            part = _weighted(training.made.rows, kept, np.ones(len(kept)))
            return self._with_labels(_worth(part, worth), without)
        seen = kept & np.isin(training.survey, np.unique(self.source))
        part = _weighted(training.made.rows, kept & ~seen, np.ones(len(kept)))
        fill = self._fill(seen, without)
        alike = _weighted(training.made.rows, seen & (fill > 0.0), fill)
        return self._with_labels(TrainingRows.concatenate([_worth(part, worth), alike]), without)

    def _with_labels(self, part: TrainingRows, without: frozenset[int]) -> TrainingRows:
        labels = self.labels
        own = _weighted(labels.made.rows, self._used(without), self.balance[labels.object])
        return TrainingRows.concatenate([part, own])

    def _used(self, without: frozenset[int]) -> BoolArray:
        """Rows of labelled objects that train."""
        labels = self.labels
        use = ~np.isin(self.fold[labels.object], list(without))
        return np.asarray(use & ~np.isin(labels.survey, self._gone(without)))

    def _fill(self, seen: BoolArray, without: frozenset[int]) -> FloatArray:
        """Factors of training rows that give all classes the same weight within each source's view.

        The labelled objects of a source weigh as they do; copies of training objects as that source sees
        the sky fill each class up to the class of its labels that weighs most.
        """
        assert self.source is not None
        training, labels = self.training, self.labels
        names = np.array(self.classes)
        code = np.searchsorted(names[order := np.argsort(names)], training.made.rows.labels)
        code, own = order[code], order[np.searchsorted(names[order], labels.made.rows.labels)]
        weight = labels.made.rows.weight * self.balance[labels.object] * self._used(without)
        factor = np.zeros(len(seen))
        for source in np.unique(self.source).tolist():
            mine = self.source[labels.object] == source
            labelled = np.bincount(own[mine], weights=weight[mine], minlength=len(names))
            rows = seen & (training.survey == source)
            copies = np.bincount(code[rows], weights=training.made.rows.weight[rows], minlength=len(names))
            lacking = labelled.max() - labelled
            factor[rows] = (lacking / np.where(copies > 0.0, copies, 1.0))[code[rows]]
        return factor

    def _gone(self, without: frozenset[int]) -> list[int]:
        """Surveys that trees without some folds must not know."""
        return [self.excluded[k] for k in without if k in self.excluded]

    @cached_property
    def _anchors(self) -> BoolArray:
        """Rows of training objects beside which the labels grow trees: whole, and as surveys see them."""
        rows = self.training
        place: dict[str, list[int]] = {}
        for label, one in dict.fromkeys(
            zip(rows.made.rows.labels.tolist(), rows.object.tolist(), strict=True)
        ):
            place.setdefault(label, []).append(one)
        chosen = [one for members in place.values() for one in members[: self.config.anchors]]
        return np.isin(rows.object, chosen) & (rows.whole | (rows.survey != PLAIN))


def _weighted(rows: TrainingRows, keep: BoolArray, factor: FloatArray) -> TrainingRows:
    """Some rows, with their weights times a factor."""
    chosen = rows.take(keep)
    return TrainingRows(
        chosen.X,
        chosen.labels,
        chosen.redshift,
        chosen.weight * factor[keep],
        chosen.object_id,
        chosen.galactic,
    )


def _worth(rows: TrainingRows, worth: float) -> TrainingRows:
    """Rows whose weights sum to the same in each class."""
    names, code = np.unique(rows.labels, return_inverse=True)
    total = np.bincount(code, weights=rows.weight, minlength=len(names))
    scaled = rows.weight * (worth / np.where(total > 0.0, total, 1.0))[code]
    return TrainingRows(rows.X, rows.labels, rows.redshift, scaled, rows.object_id, rows.galactic)


def balanced(labels: StrArray, sources: StrArray | None) -> FloatArray:
    """Weight of each labelled object: within a class each source weighs the same, shape (n_objects,)."""
    weight = np.ones(len(labels))
    if sources is None:
        return weight
    for name in np.unique(labels).tolist():
        own = labels == name
        found, code, counts = np.unique(sources[own], return_inverse=True, return_counts=True)
        weight[own] = own.sum() / len(found) / counts[code]
    return weight


def tree_settings(settings: ClassifierConfig, config: AdaptConfig) -> ClassifierConfig:
    """Settings of a bundle's classifier with the smaller trees of an adaptation."""
    trees, gate = settings.lightgbm, settings.gate
    smaller = replace(trees, rounds=min(trees.rounds, config.rounds), leaves=min(trees.leaves, config.leaves))
    booster = replace(gate.booster, rounds=min(gate.booster.rounds, config.rounds // 2 or 1))
    return replace(settings, lightgbm=smaller, gate=replace(gate, booster=booster))


def check_folds(fold: IntArray, labels: StrArray) -> None:
    """Raise DataError unless three folds or more have objects."""
    n = len(np.unique(fold))
    if n < 3:
        raise DataError(
            f"{len(labels)} labelled object(s) make {n} fold(s); adapting chooses between three or more"
        )
