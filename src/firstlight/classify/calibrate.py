"""Calibration of class probabilities on held-out objects, by days since trigger.

Log-probabilities are scaled by one inverse temperature for all classes, which may change
with phase. Where the settings allow it, classes are also shifted towards their frequency, by phase:
training with equal class weights makes rare classes too probable where little is known (decision
0182). Cross-validation over objects decides between no change, one scale, a scale by phase, and that
with shifts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np

from firstlight._types import AnyArray, BoolArray, FloatArray, IntArray, StrArray
from firstlight.classify.balance import object_weights
from firstlight.errors import BundleError, DataError, SettingsError
from firstlight.storage import AGAIN, read_state, write_state

FLOOR = 1e-12  # smaller probabilities count as this
_IDENTITY = "identity"
_LARGEST_LOG_SCALE = 20.0  # of a file, shifts included; the penalties keep fitted ones within a few units
_SHIFTED = "class shifts by phase"
_BY_PHASE = {"temperature": False, "temperature by phase": True, _SHIFTED: True}  # from rigid to free

MIN_OBJECTS = 100  # with fewer held-out objects nothing is changed
FOLDS = 5  # of the cross-validation
RIDGE = 2.0  # pull of the log-scale towards 0, in objects
SMOOTHNESS = 20.0  # pull of neighbouring knots towards each other, in objects


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """Settings of `PhaseCalibrator`; surveys of another cadence may want other knots."""

    RETIRED: ClassVar = {
        "min_objects": MIN_OBJECTS,
        "folds": FOLDS,
        "ridge": RIDGE,
        "smoothness": SMOOTHNESS,
        "shift_classes": False,
    }

    # days since trigger between which the scale is interpolated, ascending
    knots: tuple[float, ...] = (0.0, 2.0, 8.0, 32.0, 128.0)
    # whether classes may be shifted, too; without it the order of the classes stays
    class_shifts: bool = False
    # whether shifts reach whole light curves; without it they end at the last knot
    late_shifts: bool = True

    def __post_init__(self) -> None:
        """Check the knots."""
        if not self.knots or self.knots[0] < 0.0 or list(self.knots) != sorted(set(self.knots)):
            raise SettingsError(
                f"calibration.knots = {list(self.knots)}: they must rise from 0 days or later"
            )


class PhaseCalibrator:
    """Calibrate class probabilities on held-out objects, by phase.

    Unfitted, or fitted on too few objects, it changes nothing. A class of probability 0
    keeps it. On the rows that it was fitted on the log-loss never rises.

    References
    ----------
    Guo et al. 2017, ICML 70, 1321, arXiv:1706.04599 (temperature scaling).
    """

    def __init__(self, config: CalibrationConfig | None = None) -> None:
        self.config = CalibrationConfig() if config is None else config
        #: Name of the chosen correction, ``identity`` where nothing is changed.
        self.chosen = _IDENTITY
        #: Cross-validated log-loss of every candidate; empty where there were too few objects.
        self.losses: dict[str, float] = {}
        self._log_scale = np.zeros(len(self.config.knots))
        self._shift = np.zeros((len(self.config.knots), 0))
        self._n_classes = 0

    def fit(
        self,
        proba: FloatArray,
        labels: StrArray,
        classes: Sequence[str],
        phase: FloatArray,
        groups: AnyArray | None = None,
        *,
        seed: int = 0,
    ) -> Self:
        """Learn the correction from held-out objects.

        Parameters
        ----------
        proba : float64 array, shape (n_rows, n_classes)
            Probabilities of objects that the classifier was not trained on.
        labels : str array, shape (n_rows,)
            Class of each row; rows of classes other than those of the columns, `classes`, are left out.
        phase : float64 array, shape (n_rows,)
            Days since trigger of each row; NaN (no trigger yet) counts as 0.
        groups : array, shape (n_rows,), optional
            Object of each row: its rows share one weight and one side of each fold, drawn with `seed`.

        Raises
        ------
        DataError
            If lengths disagree.
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
        code = np.array([list(classes).index(name) for name in labels[known]], dtype=np.int64)
        _, owner = np.unique(groups[known], return_inverse=True)
        n_objects = int(owner.max(initial=-1)) + 1
        self.chosen, self.losses, self._n_classes = _IDENTITY, {}, len(classes)
        self._log_scale = np.zeros(len(self.config.knots))
        self._shift = np.zeros((len(self.config.knots), len(classes)))
        if n_objects < MIN_OBJECTS:
            return self
        rows = _Rows(
            log_proba=np.log(np.maximum(proba[known], FLOOR)),
            code=code,
            hats=_hats(np.asarray(phase, dtype=np.float64)[known], self.config.knots),
            weight=object_weights(owner),
            log_share=_log_share(code, object_weights(owner), len(classes)),
        )
        folds = np.random.default_rng(seed).permutation(n_objects) % FOLDS
        names = [name for name in _BY_PHASE if name != _SHIFTED or self.config.class_shifts]
        n_shifted = len(self.config.knots) - (0 if self.config.late_shifts else 1)
        self.losses = _cross_validate(rows, folds[owner], names, n_shifted)
        self.chosen = min(self.losses, key=lambda name: self.losses[name])
        if self.chosen != _IDENTITY:
            self._log_scale, self._shift = _fit(rows, self.chosen, n_shifted)
        return self

    @classmethod
    def shifted(cls, shift: FloatArray) -> Self:
        """A calibrator that adds one number per class to the log-probabilities, at every phase."""
        made = cls()
        if np.ptp(shift) > 0.0:
            made.chosen, made._n_classes = _SHIFTED, len(shift)
            made._shift = np.tile(shift - shift.mean(), (len(made.config.knots), 1))
        return made

    def transform(self, proba: FloatArray, phase: FloatArray) -> FloatArray:
        """Corrected probabilities, columns as in `fit`; rows sum to one. A NaN `phase` counts as 0.

        Raises DataError if the number of classes or rows does not fit.
        """
        proba = np.asarray(proba, dtype=np.float64)
        if self.chosen == _IDENTITY:
            return proba.copy()
        if proba.shape != (len(phase), self._n_classes):
            raise DataError(
                f"probabilities of shape {proba.shape} for {len(phase)} phases; "
                f"this calibrator was fitted on {self._n_classes} classes"
            )
        hats = _hats(np.asarray(phase, dtype=np.float64), self.config.knots)
        scale = np.exp((hats * self._log_scale).sum(axis=1))
        raw = scale[:, None] * np.log(np.maximum(proba, FLOOR))
        if self._shift.any():
            for knot, shift in enumerate(self._shift):  # a row gives the same bits in any batch
                raw += hats[:, knot, None] * shift
        out = np.where(proba > 0.0, np.exp(raw - raw.max(axis=1, keepdims=True)), 0.0)
        return np.asarray(out / out.sum(axis=1, keepdims=True))

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.chosen == _IDENTITY

    @property
    def tables(self) -> tuple[FloatArray, FloatArray]:
        """Log-scale at each knot, and the shift of each class there, shape (n_knots, n_classes)."""
        return self._log_scale, self._shift

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
        """Read the files of `save`; BundleError if one is missing or damaged."""
        path = folder / "calibrator.json"
        state = read_state(path, _Saved)
        n_knots, widths = len(state.knots), {len(row) for row in state.shift}
        fits = n_knots >= 1 and len(state.shift) == len(state.log_scale) == n_knots and len(widths) == 1
        values = [*state.log_scale, *(value for row in state.shift for value in row)]
        if not (fits and max(map(abs, values)) <= _LARGEST_LOG_SCALE):
            raise BundleError(f"{path}: its arrays do not fit its knots, or have impossible values; {AGAIN}")
        if state.chosen != _IDENTITY and state.chosen not in _BY_PHASE:
            raise BundleError(f"{path}: unknown correction {state.chosen!r}; {AGAIN}")
        try:
            shifted = state.chosen == _SHIFTED
            calibrator = cls(CalibrationConfig(knots=state.knots, class_shifts=shifted))
        except SettingsError as error:
            raise BundleError(f"{path}: {error}; {AGAIN}") from error
        calibrator.chosen, calibrator.losses = state.chosen, dict(state.losses)
        calibrator._log_scale = np.array(state.log_scale, dtype=np.float64)
        calibrator._shift = np.array(state.shift, dtype=np.float64).reshape(n_knots, -1)
        calibrator._n_classes = widths.pop()
        return calibrator

    @property
    def n_classes(self) -> int | None:
        """Number of classes that the correction is for; None if it changes nothing and takes any number."""
        return None if self.chosen == _IDENTITY else self._n_classes


@dataclass(frozen=True)
class _Saved:
    """The content of ``calibrator.json``."""

    chosen: str
    losses: Mapping[str, float]
    knots: tuple[float, ...]
    log_scale: tuple[float, ...]
    shift: tuple[tuple[float, ...], ...]


class _Rows(NamedTuple):
    """Held-out rows as the fit reads them."""

    log_proba: FloatArray  # (n_rows, n_classes)
    code: IntArray  # (n_rows,), class numbers
    hats: FloatArray  # (n_rows, n_knots)
    weight: FloatArray  # (n_rows,); sums to 1 for each object
    log_share: FloatArray  # (n_classes,); logarithm of each class's frequency, with mean 0

    def take(self, keep: BoolArray) -> "_Rows":
        return _Rows(
            self.log_proba[keep], self.code[keep], self.hats[keep], self.weight[keep], self.log_share
        )

    def scores(self, log_scale: FloatArray, shift: FloatArray) -> FloatArray:
        """Log-probabilities after the correction, shape (n_rows, n_classes)."""
        raw = np.exp(self.hats @ log_scale)[:, None] * self.log_proba + self.hats @ shift
        raw -= raw.max(axis=1, keepdims=True)
        raw -= np.log(np.exp(raw).sum(axis=1, keepdims=True))
        return np.asarray(raw)

    def loss(self, scores: FloatArray) -> float:
        """Sum over objects of the negative log-likelihood."""
        return -float((self.weight * scores[np.arange(len(scores)), self.code]).sum())


def _hats(phase: FloatArray, knots: tuple[float, ...]) -> FloatArray:
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


def _fit(rows: _Rows, name: str, n_shifted: int) -> tuple[FloatArray, FloatArray]:
    """Log-scale and class shifts that minimise the penalised log-loss of a candidate.

    Classes are shifted at the first `n_shifted` knots.
    """
    from scipy.optimize import minimize

    n_knots = rows.hats.shape[1]
    n_scales = n_knots if _BY_PHASE[name] else 1
    start = np.zeros(n_scales + (n_shifted if name == _SHIFTED else 0))
    found = minimize(
        lambda flat: _penalised_loss(rows, flat, n_scales),
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 200},
    )
    return _unpack(rows, np.asarray(found.x), n_scales)


def _unpack(rows: _Rows, flat: FloatArray, n_scales: int) -> tuple[FloatArray, FloatArray]:
    """Log-scale at every knot, and the classes' shifts, which are zero where `flat` has none."""
    n_knots = rows.hats.shape[1]
    scale = np.broadcast_to(flat[:n_scales], (n_knots,)).copy()
    strength = np.zeros(n_knots)
    strength[: len(flat) - n_scales] = flat[n_scales:]
    return scale, strength[:, None] * rows.log_share


def _penalised_loss(rows: _Rows, flat: FloatArray, n_scales: int) -> tuple[float, FloatArray]:
    """Loss of one log-scale or one per knot, and of shifts where `flat` has some; and its gradient.

    The shift of a class is the logarithm of its frequency times a strength per knot.
    """
    log_scale, shift = _unpack(rows, flat, n_scales)
    target = np.zeros_like(rows.log_proba)
    target[np.arange(len(target)), rows.code] = 1.0
    scores = rows.scores(log_scale, shift)
    slope = rows.weight[:, None] * (np.exp(scores) - target)  # with respect to the raw score
    gradient = rows.hats.T @ ((slope * rows.log_proba).sum(axis=1) * np.exp(rows.hats @ log_scale))
    gradient = gradient.sum(keepdims=True) if n_scales == 1 else gradient
    penalty, pull = _pull(flat[:n_scales])
    gradient = gradient + pull
    if len(flat) > n_scales:
        more, pull = _pull(flat[n_scales:])
        penalty += more
        gradient = np.append(gradient, (rows.hats.T @ (slope @ rows.log_share))[: len(pull)] + pull)
    return rows.loss(scores) + penalty, gradient


def _pull(values: FloatArray) -> tuple[float, FloatArray]:
    """Penalty of values at the knots, and its gradient."""
    step = np.diff(values)
    penalty = 0.5 * RIDGE * (values**2).sum() / len(values) + 0.5 * SMOOTHNESS * (step**2).sum()
    pull = RIDGE * values / len(values)
    pull[1:] += SMOOTHNESS * step
    pull[:-1] -= SMOOTHNESS * step
    return float(penalty), pull


def _log_share(code: IntArray, weight: FloatArray, n_classes: int) -> FloatArray:
    """Logarithm of each class's frequency, with mean 0; a class without an object counts as half of one."""
    share = np.log(np.maximum(np.bincount(code, weights=weight, minlength=n_classes), 0.5))
    return np.asarray(share - share.mean())


def _cross_validate(rows: _Rows, fold: IntArray, names: Sequence[str], n_shifted: int) -> dict[str, float]:
    """Mean log-loss per object of no change and of the candidates on folds that they were not fitted on."""
    n_objects = rows.weight.sum()
    unchanged = np.zeros(rows.hats.shape[1]), np.zeros((rows.hats.shape[1], rows.log_proba.shape[1]))
    losses = {_IDENTITY: float(rows.loss(rows.scores(*unchanged)) / n_objects)}
    for name in names:
        total = 0.0
        for k in range(FOLDS):
            held = rows.take(fold == k)
            total += held.loss(held.scores(*_fit(rows.take(fold != k), name, n_shifted)))
        losses[name] = float(total / n_objects)
    return losses
