"""`GatedClassifier`: a galactic and an extragalactic expert, and a gate between them.

Splitting the two halves the trees and helps both. PLAsTiCC states the split exactly
(photo-z 0 means Milky Way); a real alert stream often does not. So where a redshift is
stated the gate follows it, up to a small chance that the statement is wrong, and where
it is unknown a booster on what else is known gives the probability of being galactic.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.classify.balance import object_weights
from firstlight.classify.forest import Forest, softmax
from firstlight.classify.lightgbm import LightGBMConfig, grow_lightgbm
from firstlight.classify.lightgbm_text import read_forest
from firstlight.classify.protocol import (
    Validation,
    check_rows,
    check_training,
    check_validation,
    encode_labels,
    not_fitted,
    two_classes,
)
from firstlight.classify.storage import read_state, read_text, write_state, write_text
from firstlight.errors import BundleError, DataError
from firstlight.taxonomy import GALACTIC

__all__ = ["GateConfig", "GatedClassifier"]

_GALACTIC, _EXTRAGALACTIC = "galactic", "extragalactic"


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """Settings of the gate of a `GatedClassifier`.

    Attributes
    ----------
    statement_error : float
        Least probability that a stated redshift (zero or not) puts an object on the wrong
        side; training rows that contradict their statement more often raise it.
    galactic_rounds : int
        Boosting rounds of the galactic expert at most; its classes part more easily.
    booster : LightGBMConfig
        The booster that decides where no redshift is stated.
    """

    statement_error: float = 1e-3
    galactic_rounds: int = 120
    booster: LightGBMConfig = field(
        default_factory=lambda: LightGBMConfig(rounds=80, learning_rate=0.1, class_weight_exponent=0.0)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Expert:
    """Classes of one group, their training frequencies, and trees where there are several."""

    classes: tuple[str, ...]
    prior: NDArray[np.float64]
    text: str = ""
    forest: Forest | None = None

    def proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        if self.forest is None:
            return np.ones((len(X), len(self.classes)))
        return softmax(self.forest.raw(X))


class GatedClassifier:
    """Two LightGBM experts, galactic and extragalactic, weighed by a gate.

    ``proba = P(galactic) * galactic expert + (1 - P(galactic)) * extragalactic expert``.
    Where a stated redshift decides, the unlikely side is given by its training
    frequencies instead of its expert: its share is one in a thousand, and the row costs
    half. Rows whose redshift is unknown must have their redshift features missing, in
    training as in use; the gate learns from those rows alone.

    Parameters
    ----------
    config : LightGBMConfig, optional
        Settings of both experts.
    gate : GateConfig, optional
        Settings of the gate.
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
        """Classes trained on, in the order of the taxonomy."""
        return self._classes

    def fit(
        self,
        X: NDArray[np.float32],
        labels: NDArray[np.str_],
        *,
        redshift: NDArray[np.floating] | None = None,
        sample_weight: NDArray[np.floating] | None = None,
        groups: NDArray[np.generic] | None = None,
        validation: Validation | tuple[NDArray[Any] | None, ...] | None = None,
        seed: int = 0,
        jobs: int = 1,
        progress: Progress | None = None,
    ) -> Self:
        """Train on rows with the redshift shown and hidden; see `Classifier.fit`."""
        X, labels, weight = check_training(X, labels, sample_weight, groups)
        classes, _ = encode_labels(labels)
        two_classes(classes)
        redshift = _redshift_of(redshift, len(X))
        held = check_validation(validation, groups, classes, X.shape[1])
        rows = _Side(X, labels, redshift, weight, groups)
        held_rows = None
        if held is not None:
            held_redshift = _redshift_of(held.redshift, len(held.X))
            held_weight = np.asarray(held.sample_weight, dtype=np.float64)
            held_rows = _Side(held.X, held.labels, held_redshift, held_weight, held.groups)
        grow = _Grower(seed=seed, jobs=jobs, progress=progress)
        galactic_config = replace(self.config, rounds=min(self.config.rounds, self.gate.galactic_rounds))
        experts = {
            _GALACTIC: grow.expert(rows, held_rows, rows.galactic, galactic_config),
            _EXTRAGALACTIC: grow.expert(rows, held_rows, ~rows.galactic, self.config),
        }
        self._experts = {name: expert for name, expert in experts.items() if expert is not None}
        self._gate = grow.gate(rows, held_rows, self.gate)
        self._classes, self._n_features = classes, X.shape[1]
        return self

    def predict_proba(
        self, X: NDArray[np.float32], redshift: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """Class probabilities of rows; see `Classifier.predict_proba`."""
        if not self._classes:
            raise not_fitted("GatedClassifier")
        X = check_rows(X, self._n_features)
        galactic, stated = self._gate.probability(X, _redshift_of(redshift, len(X)))
        out = np.zeros((len(X), len(self._classes)))
        for name, expert in self._experts.items():
            share = galactic if name == _GALACTIC else 1.0 - galactic
            ask = ~stated | (share > 0.5)
            within = np.tile(expert.prior, (len(X), 1))
            within[ask] = expert.proba(X[ask])
            columns = [self._classes.index(c) for c in expert.classes]
            out[:, columns] = share[:, None] * within
        return out

    def probability_galactic(
        self, X: NDArray[np.float32], redshift: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """Probability that each row's object lies in the Milky Way.

        Parameters
        ----------
        X : float32 array, shape (n_rows, n_features)
            Rows.
        redshift : float array, shape (n_rows,), optional
            Host redshift in use; by default unknown.

        Returns
        -------
        float64 array, shape (n_rows,)
            Sum of `predict_proba` over the galactic classes.

        Raises
        ------
        NotFittedError
            If the classifier was neither fitted nor loaded.
        """
        if not self._classes:
            raise not_fitted("GatedClassifier")
        X = check_rows(X, self._n_features)
        return self._gate.probability(X, _redshift_of(redshift, len(X)))[0]

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
        """Read what `save` wrote; see `Classifier.load`."""
        state = read_state(folder / "classifier.json", "classes", "n_features", "experts", "gate")
        model = cls()
        model._n_features = int(state["n_features"])
        for name, entry in state["experts"].items():
            prior = np.array(entry["prior"], dtype=np.float64)
            text = read_text(folder / f"{name}.txt.gz") if len(prior) > 1 else ""
            model._experts[name] = _Expert(
                tuple(entry["classes"]), prior, text, read_forest(text) if text else None
            )
        model._gate = _Gate.of(state["gate"], folder / "gate.txt.gz")
        model._classes = tuple(state["classes"])
        if {c for e in model._experts.values() for c in e.classes} != set(model._classes):
            raise BundleError(f"{folder}: the experts' classes are not those of the classifier")
        return model


@dataclass(frozen=True, slots=True, eq=False)
class _Gate:
    """P(galactic): from the stated redshift, else from a booster, else the training fraction."""

    fraction: float = 0.5  # of training objects that are galactic
    galactic_error: float = 0.0  # P(extragalactic | redshift 0)
    extragalactic_error: float = 0.0  # P(galactic | redshift > 0)
    text: str = ""
    forest: Forest | None = None

    def probability(
        self, X: NDArray[np.float32], redshift: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """P(galactic) of each row, and whether the redshift states it."""
        says_galactic, says_extragalactic = redshift == 0.0, redshift > 0.0
        stated = says_galactic | says_extragalactic
        proba = np.full(len(X), self.fraction)
        proba[says_galactic] = 1.0 - self.galactic_error
        proba[says_extragalactic] = self.extragalactic_error
        if self.forest is not None and not stated.all():
            proba[~stated] = softmax(self.forest.raw(X[~stated]))[:, 1]
        return proba, stated

    def state(self) -> dict[str, Any]:
        return {
            "fraction": self.fraction,
            "galactic_error": self.galactic_error,
            "extragalactic_error": self.extragalactic_error,
            "booster": bool(self.text),
        }

    @classmethod
    def of(cls, state: dict[str, Any], path: Path) -> Self:
        text = read_text(path) if state["booster"] else ""
        return cls(
            state["fraction"],
            state["galactic_error"],
            state["extragalactic_error"],
            text,
            read_forest(text) if text else None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """Rows of one side of the split: training or validation."""

    X: NDArray[np.float32]
    labels: NDArray[np.str_]
    redshift: NDArray[np.float64]
    weight: NDArray[np.float64]
    groups: NDArray[np.generic] | None

    @property
    def galactic(self) -> NDArray[np.bool_]:
        return np.isin(self.labels, list(GALACTIC))

    def gate_rows(self) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
        """Rows without a stated redshift; each object counts once."""
        keep = ~(self.redshift >= 0.0)
        weight = self.weight[keep]
        if self.groups is not None:
            weight = object_weights(np.asarray(self.groups)[keep], weight)
        return self.X[keep], self.galactic[keep].astype(np.int64), weight


@dataclass(frozen=True, slots=True)
class _Grower:
    """Grows the three boosters of a gated classifier with one seed and one progress bar."""

    seed: int
    jobs: int
    progress: Progress | None

    def expert(
        self, rows: _Side, held: _Side | None, within: NDArray[np.bool_], config: LightGBMConfig
    ) -> _Expert | None:
        """The expert of the rows `within`; None where there are none."""
        if not within.any():
            return None
        classes, code = encode_labels(rows.labels[within])
        weight = rows.weight[within]
        total = np.bincount(code, weights=weight, minlength=len(classes)).astype(np.float64)
        if total.sum() <= 0.0:
            raise DataError(f"all rows of {', '.join(classes)} weigh 0; give them weight or leave them out")
        prior = total / total.sum()
        if len(classes) == 1:
            return _Expert(classes, prior)
        held_rows = None
        if held is not None:
            known = np.isin(held.labels, classes)
            if held.weight[known].sum() > 0.0:
                held_code = np.array([classes.index(name) for name in held.labels[known]])
                held_rows = (held.X[known], held_code, held.weight[known])
        part = self._part(0.0, 0.3) if classes[0] in GALACTIC else self._part(0.3, 0.8)
        text = grow_lightgbm(
            rows.X[within], code, weight, held_rows, config, seed=self.seed, jobs=self.jobs, progress=part
        )
        return _Expert(classes, prior, text, read_forest(text))

    def gate(self, rows: _Side, held: _Side | None, config: GateConfig) -> _Gate:
        """The gate of all rows."""
        galactic, weight = rows.galactic, rows.weight
        fraction = float(weight[galactic].sum() / weight.sum())
        if fraction in (0.0, 1.0):  # one group only: nothing to decide
            return _Gate(fraction, 1.0 - fraction, fraction)
        zero, positive = rows.redshift == 0.0, rows.redshift > 0.0
        stated = _Gate(
            fraction,
            _contradicted(weight[zero], ~galactic[zero], config.statement_error),
            _contradicted(weight[positive], galactic[positive], config.statement_error),
        )
        X, code, gate_weight = rows.gate_rows()
        by_class = np.bincount(code, weights=gate_weight, minlength=2)
        if by_class.min() <= 0.0:
            return stated
        held_rows = None if held is None else held.gate_rows()
        if held_rows is not None and held_rows[2].sum() <= 0.0:
            held_rows = None
        text = grow_lightgbm(
            X,
            code,
            gate_weight,
            held_rows,
            config.booster,
            seed=self.seed,
            jobs=self.jobs,
            progress=self._part(0.8, 1.0),
        )
        return replace(stated, text=text, forest=read_forest(text))

    def _part(self, start: float, end: float) -> Progress | None:
        """Progress of one booster as a part of the whole."""
        progress = self.progress
        if progress is None:
            return None

        def report(stage: str, done: float) -> None:
            progress(stage, start + (end - start) * done)

        return report


def _contradicted(weight: NDArray[np.float64], wrong: NDArray[np.bool_], least: float) -> float:
    """Fraction of rows whose class contradicts their stated redshift, at least `least`."""
    total = weight.sum()
    return max(least, float(weight[wrong].sum() / total)) if total > 0.0 else least


def _redshift_of(redshift: NDArray[np.floating] | None, n_rows: int) -> NDArray[np.float64]:
    if redshift is None:
        return np.full(n_rows, np.nan)
    values: NDArray[np.float64] = np.asarray(redshift, dtype=np.float64)
    if values.shape != (n_rows,):
        raise DataError(f"redshift of shape {values.shape} for {n_rows} rows; give one a row")
    return values
