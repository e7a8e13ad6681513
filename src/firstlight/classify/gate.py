"""`GatedClassifier`: a galactic and an extragalactic expert, and a gate between them.

Splitting the two halves the trees and helps both. PLAsTiCC states the split (photo-z 0 means Milky
Way), and the gate follows a stated redshift up to a small error rate; where a stream gives none, a
booster on the other features decides.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from firstlight._types import BoolArray, Float32Array, FloatArray, Progress, no_progress
from firstlight.classify.balance import object_weights
from firstlight.classify.forest import Forest, softmax
from firstlight.classify.lightgbm import LightGBMConfig, grow_lightgbm
from firstlight.classify.lightgbm_text import read_covers, read_forest
from firstlight.classify.protocol import check_classes, check_frequencies, check_outputs, not_fitted
from firstlight.classify.reasons import Decision, decide
from firstlight.classify.rows import CodedRows, TrainingRows, check_rows, check_split, redshift_of
from firstlight.classify.space import SearchSpace, Tunable
from firstlight.errors import BundleError, DataError
from firstlight.storage import AGAIN, read_state, read_text, write_state, write_text

_GALACTIC, _EXTRAGALACTIC = "galactic", "extragalactic"
_GATE_NUMBERS = ("fraction", "galactic_error", "extragalactic_error")

_Grow = Callable[[CodedRows, CodedRows | None], str]  # training and held-out rows to model text

#: Least probability that a stated redshift (zero or not) puts an object on the wrong side;
#: training rows that contradict their redshift more often raise it.
STATEMENT_ERROR = 1e-3


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """Settings of the gate of a `GatedClassifier`.

    Presets differ in the booster; `galactic_rounds` is worth trying on other samples.
    """

    RETIRED: ClassVar = {"statement_error": STATEMENT_ERROR}
    #: Settings that `firstlight tune` searches, beside the experts' `LightGBMConfig.SEARCH_SPACE`.
    SEARCH_SPACE: ClassVar = SearchSpace(
        settings=(
            Tunable(
                name="galactic_rounds",
                words="rounds of the galactic expert",
                low=20,
                high=150,
                log=True,
                integer=True,
                least=1,
            ),
        )
    )

    # maximum number of rounds of the galactic expert; its classes are easier to separate
    galactic_rounds: int = 120
    # whether the booster weighs stated redshifts, too, instead of following them; it needs training rows
    # with wrong statements (`CopiesConfig.wrong_redshift`)
    doubts: bool = False
    # share of an expert up to which a gate that doubts takes the expert's training frequencies instead
    negligible: float = 1e-3
    # the booster that decides where no redshift is known
    booster: LightGBMConfig = field(
        default_factory=lambda: LightGBMConfig(rounds=80, learning_rate=0.1, class_weight_exponent=0.0)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Expert:
    """Classes of one group, their training frequencies, and trees where there are several."""

    classes: tuple[str, ...]
    prior: FloatArray
    text: str = ""
    forest: Forest | None = None

    def proba(self, X: Float32Array) -> FloatArray:
        if self.forest is None:
            return np.ones((len(X), len(self.classes)))
        return softmax(self.forest.raw(X))


class GatedClassifier:
    """Two LightGBM experts of settings `config`, galactic and extragalactic, weighed by a gate.

    ``proba = P(galactic) * galactic expert + (1 - P(galactic)) * extragalactic expert``.
    Where a stated redshift decides, the unlikely side is given by its training
    frequencies instead of its expert: its share is one in a thousand, and the row costs
    half. Rows whose redshift is unknown must have their redshift features missing, in
    training as in use; the gate learns from those rows alone.
    """

    def __init__(self, config: LightGBMConfig | None = None, gate: GateConfig | None = None) -> None:
        self.config = LightGBMConfig() if config is None else config
        self.gate = GateConfig() if gate is None else gate
        self._classes: tuple[str, ...] = ()
        self._experts: dict[str, _Expert] = {}
        self._gate = _Gate()
        self._n_features = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Classifier.classes`."""
        return self._classes

    @property
    def n_features(self) -> int:
        """See `Classifier.n_features`."""
        return self._n_features

    @property
    def experts(self) -> Mapping[str, "_Expert"]:
        """The experts, ``galactic`` and ``extragalactic``, as far as there are classes."""
        return self._experts

    @property
    def gate_parts(self) -> "_Gate":
        """The trained gate."""
        return self._gate

    def fit(
        self,
        rows: TrainingRows,
        held: TrainingRows | None = None,
        *,
        seed: int = 0,
        jobs: int = 1,
        progress: Progress = no_progress,
    ) -> Self:
        """Train on rows with the redshift shown and hidden; see `Classifier.fit`."""

        def grow(config: LightGBMConfig, start: float, end: float) -> _Grow:
            """A booster's training, from a start to an end of the whole progress."""
            return partial(
                grow_lightgbm,
                config=config,
                seed=seed,
                jobs=jobs,
                progress=lambda stage, done: progress(stage, start + (end - start) * done),
            )

        classes = check_split(rows, held)
        held = None if held is None else held.known(classes)
        galactic_config = replace(self.config, rounds=min(self.config.rounds, self.gate.galactic_rounds))
        sides = {_GALACTIC: (galactic_config, 0.0, 0.3), _EXTRAGALACTIC: (self.config, 0.3, 0.8)}
        self._experts = {}
        for side, part in sides.items():
            own = tuple(name for name in classes if (name in rows.galactic) == (side == _GALACTIC))
            if own:
                self._experts[side] = _grow_expert(rows, held, own, grow(*part))
        self._gate = _grow_gate(rows, held, grow(self.gate.booster, 0.8, 1.0), self.gate)
        self._classes, self._n_features = classes, rows.X.shape[1]
        return self

    def refine(
        self,
        rows: TrainingRows,
        config: LightGBMConfig,
        touched: frozenset[str],
        *,
        seed: int = 0,
        jobs: int = 1,
    ) -> Self:
        """A classifier with these trees and further ones, grown on rows of all of its classes.

        An expert without a class of `touched` stays; so does the gate, unless both experts have one.
        """
        made = type(self)(self.config, self.gate)
        made._classes, made._n_features = self._classes, self._n_features
        made._experts, made._gate = dict(self._experts), self._gate
        for name, expert in self._experts.items():
            if expert.text and touched & set(expert.classes):
                text = grow_lightgbm(
                    rows.coded(expert.classes), None, config, seed=seed, jobs=jobs, start=expert.text
                )
                made._experts[name] = replace(expert, text=text, forest=read_forest(text))
        both = len(self._experts) == 2 and all(touched & set(e.classes) for e in self._experts.values())
        if both and self._gate.text:
            coded = _all_rows(rows) if self._gate.doubts else _without_redshift(rows)
            settings = replace(config, class_weight_exponent=self.gate.booster.class_weight_exponent)
            text = grow_lightgbm(coded, None, settings, seed=seed, jobs=jobs, start=self._gate.text)
            made._gate = replace(self._gate, text=text, forest=read_forest(text))
        return made

    def predict_proba(self, X: Float32Array, redshift: FloatArray | Float32Array | None = None) -> FloatArray:
        """See `Classifier.predict_proba`."""
        if not self._classes:
            raise not_fitted("GatedClassifier")
        X = check_rows(X, self._n_features)
        galactic, stated = self._gate.probability(X, redshift_of(redshift, len(X)))
        out = np.zeros((len(X), len(self._classes)))
        for name, expert in self._experts.items():
            share = galactic if name == _GALACTIC else 1.0 - galactic
            needed = share > self._gate.negligible if self._gate.doubts else ~stated | (share > 0.5)
            within = np.tile(expert.prior, (len(X), 1))
            within[needed] = expert.proba(X[needed])
            columns = [self._classes.index(c) for c in expert.classes]
            out[:, columns] = share[:, None] * within
        return out

    def decisions(self, x: Float32Array, redshift: float) -> tuple[Decision, ...]:
        """See `reasons.Explains`: the side where trees decide it, then the class within the likelier side."""
        X, stated = np.asarray(x, np.float32)[None], np.array([redshift])
        galactic, known = self._gate.probability(X, redshift_of(stated, 1))
        found: tuple[Decision, ...] = ()
        if self._gate.forest is not None and (self._gate.doubts or not known[0]):
            sides = (_EXTRAGALACTIC, _GALACTIC)
            found += decide("side", sides, self._gate.forest, read_covers(self._gate.text), X[0])
        side = _GALACTIC if galactic[0] > 0.5 else _EXTRAGALACTIC
        expert = self._experts.get(side)
        if expert is not None and expert.forest is not None:
            cover = read_covers(expert.text)
            found += decide(f"{side} class", expert.classes, expert.forest, cover, X[0])
        return found

    def save(self, folder: Path) -> None:
        """Write ``classifier.json`` and a gzipped text for each booster; see `Classifier.save`."""
        if not self._classes:
            raise not_fitted("GatedClassifier")
        experts = {
            name: {"classes": list(expert.classes), "prior": expert.prior.tolist()}
            for name, expert in self._experts.items()
        }
        state = {
            "kind": "gated",
            "classes": list(self._classes),
            "n_features": self._n_features,
            "experts": experts,
            "gate": self._gate.state(),
        }
        write_state(folder / "classifier.json", state)
        texts = {name: expert.text for name, expert in self._experts.items()} | {"gate": self._gate.text}
        for name, text in texts.items():
            if text:
                write_text(folder / f"{name}.txt.gz", text)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the files of `save`; see `Classifier.load`."""
        path = folder / "classifier.json"
        state = read_state(path, _Saved)
        model = cls()
        model._classes, model._n_features = state.classes, state.n_features
        check_classes(state.classes, path)
        for name in _GALACTIC, _EXTRAGALACTIC:  # no name of a file comes from a file
            if name in state.experts:
                model._experts[name] = state.experts[name].load(folder / f"{name}.txt.gz", state.n_features)
        model._gate = state.gate.load(folder / "gate.txt.gz", state.n_features)
        classes = sorted(c for expert in model._experts.values() for c in expert.classes)
        if classes != sorted(model._classes) or set(state.experts) != set(model._experts) or not classes:
            raise BundleError(f"{path}: the experts' classes are not those of the classifier; {AGAIN}")
        return model


@dataclass(frozen=True)
class _SavedExpert:
    """An expert in ``classifier.json``."""

    classes: tuple[str, ...]
    prior: tuple[float, ...]

    def load(self, path: Path, n_features: int) -> _Expert:
        """The expert with the trees of a file, which it has where there are several classes."""
        check_classes(self.classes, path)
        prior = check_frequencies(self.prior, len(self.classes), path)
        if len(prior) == 1:
            return _Expert(self.classes, prior)
        return _Expert(self.classes, prior, *_trees(path, len(prior), n_features))


@dataclass(frozen=True)
class _SavedGate:
    """The gate in ``classifier.json``."""

    fraction: float
    galactic_error: float
    extragalactic_error: float
    booster: bool
    doubts: bool = False
    negligible: float = 1e-3

    def load(self, path: Path, n_features: int) -> "_Gate":
        """The gate, with the trees of a file where it has some."""
        numbers = (self.fraction, self.galactic_error, self.extragalactic_error)
        if not 0.0 <= min(*numbers, self.negligible) <= max(*numbers, self.negligible) <= 1.0:
            raise BundleError(f"{path.parent}: fractions of the gate {numbers} outside 0 to 1; {AGAIN}")
        if self.doubts and not self.booster:
            raise BundleError(f"{path.parent}: a gate that doubts, but has no trees; {AGAIN}")
        text, forest = _trees(path, 2, n_features) if self.booster else ("", None)
        return _Gate(*numbers, text, forest, self.doubts, self.negligible)


@dataclass(frozen=True)
class _Saved:
    """The content of ``classifier.json``."""

    classes: tuple[str, ...]
    n_features: int
    experts: Mapping[str, _SavedExpert]
    gate: _SavedGate


def _trees(path: Path, n_classes: int, n_features: int) -> tuple[str, Forest]:
    """Text and forest of a file, which must fit the classes and features."""
    text = read_text(path)
    forest = read_forest(text, path)
    check_outputs(forest, n_classes, path)
    if forest.n_features != n_features:
        raise BundleError(f"{path}: trees for {forest.n_features} features, not {n_features}; {AGAIN}")
    return text, forest


@dataclass(frozen=True, slots=True, eq=False)
class _Gate:
    """P(galactic): from the stated redshift, else from a booster, else the training fraction."""

    fraction: float = 0.5  # of training objects that are galactic
    galactic_error: float = 0.0  # P(extragalactic | redshift 0)
    extragalactic_error: float = 0.0  # P(galactic | redshift > 0)
    text: str = ""
    forest: Forest | None = None
    doubts: bool = False  # whether the forest decides where a redshift is stated, too
    negligible: float = 1e-3  # share of an expert up to which a gate that doubts does not ask it

    def probability(self, X: Float32Array, redshift: FloatArray) -> tuple[FloatArray, BoolArray]:
        """P(galactic) of each row, and whether the redshift states it."""
        is_zero, is_positive = redshift == 0.0, redshift > 0.0
        stated = is_zero | is_positive
        if self.doubts and self.forest is not None:
            return softmax(self.forest.raw(X))[:, 1], stated
        proba = np.full(len(X), self.fraction)
        proba[is_zero] = 1.0 - self.galactic_error
        proba[is_positive] = self.extragalactic_error
        if self.forest is not None and not stated.all():
            proba[~stated] = softmax(self.forest.raw(X[~stated]))[:, 1]
        return proba, stated

    def state(self) -> dict[str, Any]:
        state = {key: getattr(self, key) for key in _GATE_NUMBERS} | {"booster": bool(self.text)}
        return state | ({"doubts": True, "negligible": self.negligible} if self.doubts else {})


def _grow_expert(
    rows: TrainingRows, held: TrainingRows | None, classes: tuple[str, ...], grow: _Grow
) -> _Expert:
    """The expert of some of the classes."""
    coded = rows.coded(classes)
    total = np.bincount(coded.code, weights=coded.weight, minlength=len(classes)).astype(np.float64)
    if total.sum() <= 0.0:
        raise DataError(f"all rows of {', '.join(classes)} weigh 0; give them weight or leave them out")
    prior = total / total.sum()
    if len(classes) == 1:
        return _Expert(classes, prior)
    known = None if held is None else held.known(classes)
    held_rows = None if known is None else known.coded(classes)
    text = grow(coded, held_rows)
    return _Expert(classes, prior, text, read_forest(text))


def _grow_gate(rows: TrainingRows, held: TrainingRows | None, grow: _Grow, config: GateConfig) -> _Gate:
    """The gate of all rows; it doubts only where both groups occur."""
    galactic, weight = _galactic(rows), rows.weight
    fraction = float(weight[galactic].sum() / weight.sum())
    if fraction in (0.0, 1.0):  # one group only: nothing to decide
        return _Gate(fraction, 1.0 - fraction, fraction)
    zero, positive = rows.redshift == 0.0, rows.redshift > 0.0
    wrong_zero = _contradicted(weight[zero], ~galactic[zero])
    stated = _Gate(fraction, wrong_zero, _contradicted(weight[positive], galactic[positive]))
    choose = _all_rows if config.doubts else _without_redshift
    hidden = choose(rows)
    if np.bincount(hidden.code, weights=hidden.weight, minlength=2).min() <= 0.0:
        return stated
    held_rows = None if held is None else choose(held)
    if held_rows is not None and held_rows.weight.sum() <= 0.0:
        held_rows = None
    text = grow(hidden, held_rows)
    return replace(
        stated,
        text=text,
        forest=read_forest(text),
        doubts=config.doubts,
        negligible=config.negligible,
    )


def _galactic(rows: TrainingRows) -> BoolArray:
    return np.isin(rows.labels, list(rows.galactic))


def _all_rows(rows: TrainingRows) -> CodedRows:
    """All rows, coded 1 where galactic."""
    return CodedRows(rows.X, _galactic(rows).astype(np.int64), rows.weight)


def _without_redshift(rows: TrainingRows) -> CodedRows:
    """Rows without a stated redshift, coded 1 where galactic; each object counts once."""
    keep = ~(rows.redshift >= 0.0)
    weight = rows.weight[keep]
    if rows.object_id is not None:
        weight = object_weights(rows.object_id[keep], weight)
    return CodedRows(rows.X[keep], _galactic(rows)[keep].astype(np.int64), weight)


def _contradicted(weight: FloatArray, wrong: BoolArray) -> float:
    """Weighted fraction of rows whose class contradicts their redshift, at least `STATEMENT_ERROR`."""
    total = weight.sum()
    return max(STATEMENT_ERROR, float(weight[wrong].sum() / total)) if total > 0.0 else STATEMENT_ERROR
