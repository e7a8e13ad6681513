"""Labelled objects predicted by trees that have not seen them: in random folds, and with sources left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from firstlight._types import FloatArray, IntArray, Progress, StrArray
from firstlight.adapt.config import AdaptConfig
from firstlight.adapt.rows import Copies
from firstlight.adapt.scores import ADAPTED, MIXED, UNADAPTED
from firstlight.adapt.trees import Choice, Grower, balanced, check_folds, tree_settings
from firstlight.lightcurves import LightCurves
from firstlight.mix import under_mix
from firstlight.pipeline import Pipeline
from firstlight.splits import fold_numbers, stratified_folds
from firstlight.taxonomy import Taxonomy

_SMALLEST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Labelled objects as they are used."""

    curves: LightCurves
    labels: StrArray
    sources: StrArray | None
    taxonomy: Taxonomy
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Rows of all objects."""

    training: Copies  # of the training set, without the held-out part
    held: Copies  # of the held-out part, for the scales of anomaly score and domain
    labels: Copies


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Labelled objects predicted by trees that have not seen their fold."""

    grower: Grower
    choices: list[Choice]  # of each fold
    proba: dict[str, FloatArray]  # (n_labelled, n_classes of the taxonomy), by classifier
    raw: FloatArray  # (n_rows, n_classes); of all copies, before calibration


@dataclass(eq=False)
class Views:
    """The labelled objects in random folds, and with sources left out."""

    base: Pipeline
    mine: Labelled
    config: AdaptConfig
    made: Made
    seed: int
    jobs: int
    progress: Progress

    def random(self, careful: Choice | None = None) -> View:
        """Stratified folds; their choices are at least as careful as `careful`."""
        rng = np.random.default_rng(self.seed)
        n_folds = min(self.config.folds, len(self.mine.labels))
        folds = stratified_folds(
            self.mine.curves.object_id, self.mine.labels, n_folds, rng=rng, validation=0.0
        )
        return self._view(fold_numbers(folds), {}, "trees", careful)

    def by_source(self) -> View | None:
        """Each source a fold, whose survey is not seen either; None with fewer than three sources."""
        if self.mine.sources is None or len(np.unique(self.mine.sources)) < 3:
            return None
        _, fold = np.unique(self.mine.sources, return_inverse=True)
        return self._view(fold.astype(np.int64), {k: k for k in range(int(fold.max()) + 1)}, "sources")

    def _view(
        self, fold: IntArray, excluded: Mapping[int, int], stage: str, careful: Choice | None = None
    ) -> View:
        check_folds(fold, self.mine.labels)
        n_folds = int(fold.max()) + 1
        grower = Grower(
            self.config,
            tree_settings(self.base.config.classifier, self.config),
            self.base.classifier if self.base.taxonomy.classes == self.mine.taxonomy.classes else None,
            self.made.training,
            self.made.labels,
            fold,
            balanced(self.mine.labels, self.mine.sources),
            None if self.mine.sources is None else np.unique(self.mine.sources, return_inverse=True)[1],
            self.base.calibrator,
            excluded,
            self.seed,
            self.jobs,
            lambda _, done: self.progress(stage, done),
        )
        copies, taxonomy = self.made.labels, self.mine.taxonomy
        raw = np.zeros((len(copies.object), len(grower.classes)))
        found = np.zeros((len(self.mine.labels), len(taxonomy.classes)))
        mixes = np.zeros_like(found)
        choices = []
        columns = np.array([taxonomy.classes.index(name) for name in grower.classes])
        for k in range(n_folds):
            choice = grower.choose([k]).no_less_careful_than(careful)
            choices.append(choice)
            calibrator = grower.calibrate(grower.unseen(k, choice.start, choice.worth), choice)
            rows = np.flatnonzero(fold[copies.object] == k)
            raw[rows] = grower.proba(grower.grow((k,), choice.start, choice.worth), rows)
            whole = rows[copies.whole[rows]]
            calibrated = calibrator.transform(raw[whole], copies.made.phase[whole])
            found[np.ix_(copies.object[whole], columns)] = calibrated
            mixes[np.ix_(np.flatnonzero(fold == k), columns)] = grower.frequency((k,))
        self.progress(stage, 1.0)
        before = _unadapted(self.base, self.mine, self.jobs)
        mixed = under_mix(before, _mapped(self.base, self.base.frequencies[None], taxonomy)[0], mixes)
        return View(grower, choices, {UNADAPTED: before, MIXED: mixed, ADAPTED: found}, raw)


def _unadapted(base: Pipeline, mine: Labelled, jobs: int) -> FloatArray:
    """Probabilities of the bundle as it is, in the classes of the taxonomy."""
    return _mapped(base, base.predict(mine.curves, jobs=jobs).proba, mine.taxonomy)


def _mapped(base: Pipeline, proba: FloatArray, taxonomy: Taxonomy) -> FloatArray:
    """Probabilities of a bundle's classes as those of a taxonomy; of no known class, all alike."""
    found = taxonomy.match(base.taxonomy.classes)
    out = np.zeros((len(proba), len(taxonomy.classes)))
    for k, name in enumerate(base.taxonomy.classes):
        target = found[name]
        if target is not None:
            out[:, taxonomy.classes.index(target)] += proba[:, k]
    total = out.sum(axis=1, keepdims=True)
    return np.where(total > _SMALLEST, out / np.maximum(total, _SMALLEST), 1.0 / out.shape[1])


def right_by_source(mine: Labelled, proba: Mapping[str, FloatArray]) -> dict[str, dict[str, Any]]:
    """Accuracy by source and classifier, and number of objects."""
    assert mine.sources is not None
    truth = np.array([mine.taxonomy.classes.index(name) for name in mine.labels.tolist()])
    table: dict[str, dict[str, Any]] = {}
    for name in np.unique(mine.sources).tolist():
        own = mine.sources == name
        right = {kind: float((p[own].argmax(axis=1) == truth[own]).mean()) for kind, p in proba.items()}
        table[name] = {"n_objects": int(own.sum())} | {kind: round(r, 4) for kind, r in right.items()}
    return table
