"""Calibration of class probabilities on held-out objects, by days since trigger.

Each log-probability is scaled (one inverse temperature for all classes) and, if asked
for, shifted class by class ("vector scaling" with one scale). Both may drift smoothly
with the phase, between knots in log time, so that early probabilities, which come from
little data, are corrected apart from late ones. How much freedom the data bear is chosen
by cross-validation over objects; with too few of them nothing is changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from firstlight.classify.balance import object_weights
from firstlight.classify.storage import read_state, write_state
from firstlight.errors import BundleError, DataError
from firstlight.taxonomy import class_index

__all__ = ["CalibrationConfig", "PhaseCalibrator"]

_FLOOR = 1e-12  # probability below which a log-probability says nothing more

#: Candidates from rigid to free: (scale by phase, shift classes, shift by phase).
_CANDIDATES: dict[str, tuple[bool, bool, bool]] = {
    "temperature": (False, False, False),
    "temperature by phase": (True, False, False),
    "vector": (False, True, False),
    "vector, temperature by phase": (True, True, False),
    "vector by phase": (True, True, True),
}
_IDENTITY = "identity"


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """Settings of `PhaseCalibrator`.

    Attributes
    ----------
    knots : tuple of float
        Days since trigger between which the correction is interpolated, ascending.
    min_objects : int
        Objects below which nothing is changed.
    folds : int
        Folds of the cross-validation that chooses.
    ridge : float
        Pull of scale and shifts towards no change, in objects.
    smoothness : float
        Pull of neighbouring knots towards each other, in objects.
    shift_classes : bool
        Whether classes may be shifted. Shifts undo the class weights of training: they
        serve common classes and cost rare ones (decision 0040). Without them the most
        probable class stays what it was.
    """

    knots: tuple[float, ...] = (0.0, 2.0, 8.0, 32.0, 128.0)
    min_objects: int = 100
    folds: int = 5
    ridge: float = 2.0
    smoothness: float = 20.0
    shift_classes: bool = False


class PhaseCalibrator:
    """Calibrate class probabilities on held-out objects, by phase.

    Unfitted, or fitted on too few objects, it changes nothing. A class of probability 0
    keeps it. On the rows that it was fitted on the log-loss never rises.

    Parameters
    ----------
    config : CalibrationConfig, optional
        Settings.

    References
    ----------
    Guo et al. 2017, ICML 70, 1321, arXiv:1706.04599 (temperature and vector scaling).
    """

    def __init__(self, config: CalibrationConfig | None = None) -> None:
        self.config = CalibrationConfig() if config is None else config
        #: Name of the chosen correction, ``identity`` where nothing is changed.
        self.chosen = _IDENTITY
        #: Cross-validated log-loss of every candidate; empty where there were too few objects.
        self.losses: dict[str, float] = {}
        self._log_scale = np.zeros(len(self.config.knots))  # (n_knots,)
        self._shift = np.zeros((len(self.config.knots), 0))  # (n_knots, n_classes)

    def fit(
        self,
        proba: NDArray[np.float64],
        labels: NDArray[np.str_],
        classes: Sequence[str],
        phase: NDArray[np.float64],
        groups: NDArray[np.generic] | None = None,
        *,
        seed: int = 0,
    ) -> Self:
        """Learn the correction from held-out objects.

        Parameters
        ----------
        proba : float64 array, shape (n_rows, n_classes)
            Probabilities of objects that the classifier was not trained on.
        labels : str array, shape (n_rows,)
            Class of each row; rows of classes that are not among `classes` are left out.
        classes : sequence of str
            Class of each column.
        phase : float64 array, shape (n_rows,)
            Days since trigger of each row; NaN (no trigger yet) counts as 0.
        groups : array, shape (n_rows,), optional
            Object of each row: its rows share one weight and one side of each fold.
        seed : int
            Seed of the draw of folds.

        Returns
        -------
        PhaseCalibrator
            Itself.

        Raises
        ------
        DataError
            If lengths disagree.
        UnknownClassError
            If a class is not in the taxonomy.
        """
        proba = np.asarray(proba, dtype=np.float64)
        labels = np.asarray(labels, dtype=np.str_)
        groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
        lengths = {len(proba), len(labels), len(phase), len(groups)}
        if len(lengths) > 1 or proba.ndim != 2 or proba.shape[1] != len(classes):
            raise DataError(
                f"probabilities {proba.shape}, {len(classes)} classes, {len(labels)} labels, "
                f"{len(phase)} phases and {len(groups)} groups do not fit together"
            )
        known = np.isin(labels, list(classes))
        class_index(classes)  # a name that is no class is an error
        code = np.array([list(classes).index(name) for name in labels[known]], dtype=np.int64)
        _, owner = np.unique(groups[known], return_inverse=True)
        n_knots, n_objects = len(self.config.knots), int(owner.max(initial=-1)) + 1
        self.chosen, self.losses = _IDENTITY, {}
        self._log_scale, self._shift = np.zeros(n_knots), np.zeros((n_knots, len(classes)))
        if n_objects < self.config.min_objects:
            return self
        rows = _Rows(
            log_proba=np.log(np.maximum(proba[known], _FLOOR)),
            code=code,
            hats=_hats(np.asarray(phase, dtype=np.float64)[known], self.config.knots),
            weight=object_weights(owner),
        )
        folds = np.random.default_rng(seed).permutation(n_objects) % self.config.folds
        self.losses = _cross_validate(rows, folds[owner], self.config)
        self.chosen = min(self.losses, key=lambda name: self.losses[name])
        if self.chosen != _IDENTITY:
            self._log_scale, self._shift = _fit(rows, _CANDIDATES[self.chosen], self.config)
        return self

    def transform(self, proba: NDArray[np.float64], phase: NDArray[np.float64]) -> NDArray[np.float64]:
        """Correct probabilities.

        Parameters
        ----------
        proba : float64 array, shape (n_rows, n_classes)
            Probabilities, columns as in `fit`.
        phase : float64 array, shape (n_rows,)
            Days since trigger; NaN (no trigger yet) counts as 0.

        Returns
        -------
        float64 array, shape (n_rows, n_classes)
            Rows sum to one.

        Raises
        ------
        DataError
            If the number of classes or rows does not fit.
        """
        proba = np.asarray(proba, dtype=np.float64)
        if self.chosen == _IDENTITY:
            return proba.copy()
        if proba.shape != (len(phase), self._shift.shape[1]):
            raise DataError(
                f"probabilities of shape {proba.shape} for {len(phase)} phases; "
                f"this calibrator was fitted on {self._shift.shape[1]} classes"
            )
        hats = _hats(np.asarray(phase, dtype=np.float64), self.config.knots)
        scale = np.exp((hats * self._log_scale).sum(axis=1))
        shift = (hats[:, :, None] * self._shift).sum(axis=1)
        raw = scale[:, None] * np.log(np.maximum(proba, _FLOOR)) + shift
        out = np.where(proba > 0.0, np.exp(raw - raw.max(axis=1, keepdims=True)), 0.0)
        return np.asarray(out / out.sum(axis=1, keepdims=True))

    def save(self, folder: Path) -> None:
        """Write ``calibrator.json`` into an existing folder."""
        state = {
            "chosen": self.chosen,
            "losses": self.losses,
            "knots": list(self.config.knots),
            "log_scale": self._log_scale.tolist(),
            "shift": self._shift.tolist(),
        }
        write_state(folder / "calibrator.json", state)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        BundleError
            If the file is missing or damaged.
        """
        path = folder / "calibrator.json"
        state = read_state(path, "chosen", "losses", "knots", "log_scale", "shift")
        calibrator = cls(CalibrationConfig(knots=tuple(state["knots"])))
        calibrator.chosen, calibrator.losses = state["chosen"], state["losses"]
        calibrator._log_scale = np.array(state["log_scale"], dtype=np.float64)
        shift = np.array(state["shift"], dtype=np.float64)
        if len(shift) != len(state["knots"]) or len(calibrator._log_scale) != len(shift):
            raise BundleError(f"{path}: its arrays do not fit its knots; save the bundle anew")
        calibrator._shift = shift.reshape(len(shift), -1)
        return calibrator


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Held-out rows as the fit reads them."""

    log_proba: NDArray[np.float64]  # (n_rows, n_classes)
    code: NDArray[np.int64]  # (n_rows,)
    hats: NDArray[np.float64]  # (n_rows, n_knots)
    weight: NDArray[np.float64]  # (n_rows,); sums to 1 for each object

    def take(self, keep: NDArray[np.bool_]) -> "_Rows":
        return _Rows(self.log_proba[keep], self.code[keep], self.hats[keep], self.weight[keep])

    def scores(self, log_scale: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-probabilities after the correction, shape (n_rows, n_classes)."""
        raw = np.exp(self.hats @ log_scale)[:, None] * self.log_proba + self.hats @ shift
        raw -= raw.max(axis=1, keepdims=True)
        raw -= np.log(np.exp(raw).sum(axis=1, keepdims=True))
        return np.asarray(raw)

    def loss(self, scores: NDArray[np.float64]) -> float:
        """Sum over objects of the negative log-likelihood."""
        return -float((self.weight * scores[np.arange(len(scores)), self.code]).sum())


def _hats(phase: NDArray[np.float64], knots: tuple[float, ...]) -> NDArray[np.float64]:
    """Weights of linear interpolation between knots in log(1 + days), shape (n_rows, n_knots)."""
    days = np.maximum(np.where(np.isnan(phase), 0.0, phase), 0.0)
    place = np.log1p(np.array(knots))
    at = np.clip(np.log1p(days), place[0], place[-1])
    right = np.clip(np.searchsorted(place, at, side="right"), 1, max(len(place) - 1, 1))
    hats = np.zeros((len(at), len(place)))
    if len(place) == 1:
        hats[:] = 1.0
        return hats
    part = (at - place[right - 1]) / (place[right] - place[right - 1])
    rows = np.arange(len(at))
    hats[rows, right - 1] = 1.0 - part
    hats[rows, right] += part
    return hats


def _fit(
    rows: _Rows, freedom: tuple[bool, bool, bool], config: CalibrationConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and shifts at the knots that minimise the penalised log-loss."""
    from scipy.optimize import minimize

    n_knots, n_classes = rows.hats.shape[1], rows.log_proba.shape[1]
    scale_by_phase, shifts, shift_by_phase = freedom
    n_scale = n_knots if scale_by_phase else 1
    n_shift = (n_knots if shift_by_phase else 1) if shifts else 0
    target = np.zeros_like(rows.log_proba)
    target[np.arange(len(target)), rows.code] = 1.0

    def unfold(flat: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        log_scale = np.broadcast_to(flat[:n_scale], (n_knots,))
        if not n_shift:
            return log_scale, np.zeros((n_knots, n_classes))
        shift = flat[n_scale:].reshape(n_shift, n_classes)
        return log_scale, np.broadcast_to(shift, (n_knots, n_classes))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_scale, shift = unfold(flat)
        scores = rows.scores(log_scale, shift)
        slope = rows.weight[:, None] * (np.exp(scores) - target)  # by raw score
        scale = np.exp(rows.hats @ log_scale)
        by_scale = rows.hats.T @ ((slope * rows.log_proba).sum(axis=1) * scale)
        by_shift = rows.hats.T @ slope
        parts = [by_scale if scale_by_phase else by_scale.sum(keepdims=True)]
        if n_shift:
            parts.append((by_shift if shift_by_phase else by_shift.sum(axis=0)).ravel())
        gradient = np.concatenate(parts)
        penalty, by_flat = _penalty(flat, n_scale, n_shift, config)
        return rows.loss(scores) + penalty, gradient + by_flat

    start = np.zeros(n_scale + n_shift * n_classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    log_scale, shift = unfold(np.asarray(found.x))
    return log_scale.copy(), shift.copy()


def _penalty(
    flat: NDArray[np.float64], n_scale: int, n_shift: int, config: CalibrationConfig
) -> tuple[float, NDArray[np.float64]]:
    """Ridge towards no change and towards neighbouring knots, and its gradient."""
    value, gradient = 0.0, np.zeros_like(flat)
    n_classes = (len(flat) - n_scale) // n_shift if n_shift else 0
    blocks = [(slice(0, n_scale), (n_scale, 1)), (slice(n_scale, None), (n_shift, n_classes))]
    for where, shape in blocks:
        if not shape[0]:
            continue
        part = flat[where].reshape(shape)
        step = np.diff(part, axis=0)
        value += 0.5 * config.ridge * (part**2).sum() / shape[0]
        value += 0.5 * config.smoothness * (step**2).sum()
        slope = config.ridge * part / shape[0]
        slope[1:] += config.smoothness * step
        slope[:-1] -= config.smoothness * step
        gradient[where] = slope.ravel()
    return float(value), gradient


def _cross_validate(rows: _Rows, fold: NDArray[np.int64], config: CalibrationConfig) -> dict[str, float]:
    """Mean log-loss an object of every candidate on folds that it was not fitted on."""
    n_objects = rows.weight.sum()
    n_knots, n_classes = rows.hats.shape[1], rows.log_proba.shape[1]
    nothing = rows.scores(np.zeros(n_knots), np.zeros((n_knots, n_classes)))
    losses = {_IDENTITY: float(rows.loss(nothing) / n_objects)}
    for name, freedom in _CANDIDATES.items():
        if freedom[1] and not config.shift_classes:
            continue
        total = 0.0
        for k in range(config.folds):
            inside = fold == k
            held = rows.take(inside)
            total += held.loss(held.scores(*_fit(rows.take(~inside), freedom, config)))
        losses[name] = float(total / n_objects)
    return losses
