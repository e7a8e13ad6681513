"""Prediction sets: the classes that an object may have, chosen such that few true classes are missed.

Split conformal prediction, separately for each class, range of days since trigger, and known or unknown
redshift: of the objects of a class, a set holds the true class for at least the chosen fraction (decision
0205). Because that holds for each class, it does not depend on how frequent the classes are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from firstlight._types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray, StrArray
from firstlight.classify.protocol import check_classes, not_fitted
from firstlight.errors import BundleError, DataError, SettingsError
from firstlight.storage import (
    AGAIN,
    ArraySpec,
    check_arrays,
    read_arrays,
    read_state,
    write_arrays,
    write_state,
)

COVERAGE = 0.9  # fraction of the objects of each class whose set holds it, unless another is chosen
PHASE_EDGES = (1.0, 4.0, 16.0, 64.0)  # days since trigger; ranges with thresholds of their own
DOUBT = 0.01  # least probability of a side of the galactic gate for its classes to enter a set

_LEVELS = np.arange(50, 100) / 100.0  # coverages that may be chosen
_N_PHASES = len(PHASE_EDGES) + 1
_N_CELLS = 2 * _N_PHASES  # with the redshift known, and unknown
_OWN, _NEVER = 2.0, -1.0  # scores of the most probable class, and of a class behind the gate
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class SetsConfig:
    """Settings of the prediction sets."""

    # parts of the training objects; each is classified by trees that grew on the others, and the answers
    # calibrate the sets. With 0 only the held-out objects do, which gives rare classes larger sets.
    folds: int = 0

    def __post_init__(self) -> None:
        if self.folds < 0 or self.folds == 1:
            raise SettingsError(f"sets.folds = {self.folds}: 0, or 2 or more")


class PredictionSets:
    """The sets of classes of objects, calibrated on objects that the classifier has not seen.

    A class enters a set if its probability reaches a threshold of this class. The most probable class
    always enters; classes of the Milky Way, or those outside it, enter only where the gate gives them 1 %
    together.

    References
    ----------
    Sadinle, Lei & Wasserman 2019, JASA 114, 223 (smallest sets under coverage of each class).
    Lee, Barber & Willett 2023, arXiv:2306.06342 (several copies of an object).
    """

    def __init__(self) -> None:
        self.classes: tuple[str, ...] = ()
        self._galactic = np.zeros(0, np.bool_)
        self._levels: dict[str, Any] = {}
        self._threshold = np.zeros((0, 0))  # (n_cells, n_classes), of the chosen coverage

    def fit(
        self,
        proba: FloatArray,
        labels: StrArray,
        classes: Sequence[str],
        phase: FloatArray,
        redshift: FloatArray,
        groups: AnyArray,
        galactic: frozenset[str],
    ) -> Self:
        """Learn the thresholds of every coverage.

        Parameters
        ----------
        proba : float64 array, shape (n_rows, n_classes)
            Calibrated probabilities of rows that the classifier was not trained on.
        labels : str array, shape (n_rows,)
            Class of each row; rows of classes other than `classes`, those of the columns, are left out.
        phase : float64 array, shape (n_rows,)
            Days since trigger; NaN (no trigger yet) counts as 0.
        redshift : float array, shape (n_rows,)
            Host redshift in use; NaN where unknown.
        groups : array, shape (n_rows,)
            Object of each row; all rows of an object together count as one object.
        galactic : frozenset of str
            Classes in the Milky Way.

        Raises
        ------
        DataError
            If lengths disagree.
        """
        lengths = {len(proba), len(labels), len(phase), len(redshift), len(groups)}
        if len(lengths) > 1 or proba.shape[1] != len(classes):
            raise DataError(f"{lengths} rows and {len(classes)} classes do not fit together")
        self.classes = tuple(classes)
        self._galactic = np.array([name in galactic for name in classes], np.bool_)
        scores, cells = self._scores(proba), _cells(phase, redshift)
        _, owner = np.unique(groups, return_inverse=True)
        table = np.zeros((_N_CELLS, len(classes), len(_LEVELS)))
        for k, name in enumerate(classes):
            own = np.flatnonzero(labels == name)
            for cell in range(_N_CELLS):
                here = own[cells[own] == cell]
                if not len(here):  # no copy with a hidden redshift, say: that of the other kind
                    here = own[cells[own] % _N_PHASES == cell % _N_PHASES]
                table[cell, k] = _thresholds(scores[here, k], owner[here])
        self._levels = {"threshold": table}
        return self.choose(COVERAGE)

    def choose(self, coverage: float) -> Self:
        """Set the fraction of objects of each class whose set holds it; SettingsError for no such level."""
        if not self._levels:
            raise not_fitted("PredictionSets")
        found = np.flatnonzero(np.abs(_LEVELS - coverage) < 1e-9)
        if not len(found):
            raise SettingsError(
                f"coverage = {coverage:g}: sets are known for {_LEVELS[0]:g}, "
                f"{_LEVELS[1]:g}, ... {_LEVELS[-1]:g}"
            )
        self._threshold = np.ascontiguousarray(self._levels["threshold"][..., found[0]])
        return self

    def members(self, proba: FloatArray, phase: FloatArray, redshift: FloatArray | Float32Array) -> BoolArray:
        """Whether each class is in the set of each row, shape (n_rows, n_classes); see `fit`.

        A row's set does not depend on the batch. NotFittedError if it was neither fitted nor loaded.
        """
        if not self._levels:
            raise not_fitted("PredictionSets")
        return np.asarray(self._scores(proba) >= self._threshold[_cells(phase, redshift)])

    def _scores(self, proba: FloatArray) -> FloatArray:
        """How much speaks for each class: its probability, with the rules for the top class and the gate."""
        sides = np.zeros((2, len(proba)))
        for column, galactic in zip(proba.T, self._galactic, strict=True):  # in one order for any batch
            sides[int(galactic)] += column
        doubted = sides[self._galactic.astype(np.int64)].T >= DOUBT
        scores = np.where(doubted, proba, _NEVER)
        scores[np.arange(len(proba)), proba.argmax(axis=1)] = _OWN
        return scores

    def save(self, folder: Path) -> None:
        """Write ``sets.json`` and ``sets.safetensors`` into a folder; NotFittedError if unfitted."""
        if not self._levels:
            raise not_fitted("PredictionSets")
        write_arrays(folder / "sets.safetensors", self._levels)
        galactic = [name for name, flag in zip(self.classes, self._galactic, strict=True) if flag]
        state = {"format": _FORMAT, "classes": list(self.classes), "galactic": galactic}
        write_state(folder / "sets.json", state)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the files of `save`; BundleError if one is missing, damaged or does not fit."""
        path = folder / "sets.json"
        state = read_state(path, _Saved, newest_format=_FORMAT)
        check_classes(state.classes, path)
        if not state.classes or not set(state.galactic) <= set(state.classes):
            raise BundleError(f"{path}: classes that do not fit each other; {AGAIN}")
        sets = cls()
        sets.classes = state.classes
        sets._galactic = np.array([name in state.galactic for name in state.classes], np.bool_)
        path = folder / "sets.safetensors"
        shape = (_N_CELLS, len(state.classes), len(_LEVELS))
        spec = ArraySpec("float64", shape, least=0.0, most=_OWN)
        sets._levels = check_arrays(read_arrays(path), {"threshold": spec}, path)
        return sets.choose(COVERAGE)


@dataclass(frozen=True)
class _Saved:
    """The content of ``sets.json``."""

    classes: tuple[str, ...]
    galactic: tuple[str, ...]


def _cells(phase: FloatArray, redshift: FloatArray | Float32Array) -> IntArray:
    """Range of phases of each row, after those of known redshift the same of unknown redshift."""
    phase = np.asarray(phase, np.float64)
    days = np.searchsorted(PHASE_EDGES, np.where(np.isnan(phase), 0.0, phase), side="right")
    return days + _N_PHASES * np.isnan(redshift)


def _thresholds(scores: FloatArray, owner: IntArray) -> FloatArray:
    """Score that the wanted fraction of objects reaches, for each level; 0 with too few objects.

    The rows of an object share its weight, and one more object, of the lowest score, stands for the new one.
    """
    if not len(scores):
        return np.zeros(len(_LEVELS))
    _, own, count = np.unique(owner, return_inverse=True, return_counts=True)
    order = np.argsort(-scores, kind="stable")
    reached = np.cumsum(1.0 / count[own[order]])
    place = np.searchsorted(reached, _LEVELS * (len(count) + 1) - 1e-9)
    found = np.append(scores[order], 0.0)[np.minimum(place, len(scores))]
    return np.maximum(found, 0.0)
