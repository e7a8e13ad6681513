"""`TrainingDomain`: whether an object was observed like those of training, and which inputs say so.

The anomaly score says how strange the light is; this says how strange the observations are: bands, depth,
brightness, cadence, share of detections, redshift. Both are ranked among held-out objects of training at that
phase, and the rarer one decides (decision 0185).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from firstlight._types import BoolArray, Float32Array, FloatArray, IntArray, StrArray
from firstlight.bands import AB_ZERO_POINT_NJY, BANDS
from firstlight.classify.protocol import not_fitted
from firstlight.encoder.steps import CONTEXT_NAMES
from firstlight.errors import BundleError, DataError
from firstlight.mix import Brighter
from firstlight.predictions import EDGE, INSIDE, OUTSIDE, UNKNOWN
from firstlight.storage import (
    AGAIN,
    ArraySpec,
    check_arrays,
    read_arrays,
    read_state,
    write_arrays,
    write_state,
)

#: Properties of an object's observations, in the order of a row of `describe`.
DESCRIPTORS = (
    "n_bands",
    "brightness",  # asinh of the brightest flux in units of the encoder's flux scale
    "noise",  # logarithm of the error of the best measurement, in the same unit
    "detected_fraction",
    "before_trigger",
    "n_obs",
    "span",
    "cadence",  # logarithm of the observations per day
    "redshift",
    "absolute_magnitude",  # -(M + 19)
)
#: Words for a value below and above those of training; `n_bands` and `brightness` have their numbers.
_WORDS = (
    ("{n}", "{n}"),
    ("fainter than {mag} mag", "brighter than {mag} mag"),
    ("smaller errors", "larger errors"),
    ("few detections among the observations", "hardly any observation without a detection"),
    ("nothing before the first detection", "observed long before the first detection"),
    ("few observations", "many observations"),
    ("a short light curve", "a long light curve"),
    ("sparse observations", "dense observations"),
    ("a small redshift", "a large redshift"),
    ("intrinsically faint", "intrinsically luminous"),
)
#: Words for an object whose observations are usual and whose light is not.
_STRANGE_LIGHT = "a light curve unlike those of all classes"
_NUMBERS = ("no band", "one band", "two bands", "three bands", "four bands", "five bands", "six bands")

_FORMAT = 1
_PHASE_EDGES = (2.0, 8.0, 32.0, 128.0)  # days since trigger; ranges with quantiles of their own
_N_GROUPS = 3  # extragalactic, galactic, unknown redshift
_N_PHASES = len(_PHASE_EDGES) + 2  # the last: no trigger
_QUANTILES = (0.01, 0.5, 0.99)
_EDGE_SHARE, _OUTSIDE_SHARE = 0.05, 0.02  # of held-out objects that are beyond each level
_MIN_ROWS = 200  # rows that a group and phase need; otherwise those of all groups and phases count
#: Smallest distance from the median to a quantile that counts as spread, for each descriptor.
_LEAST_SPREAD = np.array([0.9, 0.3, 0.2, 0.05, 0.3, 0.3, 0.3, 0.3, 0.1, 0.5])
_N_RANKS = 512
_MOST_WORDS = 3

_AT = {name: k for k, name in enumerate(CONTEXT_NAMES)}
_SHARE, _HIGH, _SNR = (
    np.array([_AT[f"{name}_{band}"] for band in BANDS]) for name in ("share", "high", "snr_max")
)
_N_OBS, _SPAN, _BEFORE, _FRACTION, _KNOWN, _GALACTIC, _LOG_Z, _ABSOLUTE = (
    _AT[name]
    for name in (
        *("n_obs", "span", "before_trigger", "detected_fraction"),
        *("redshift_known", "galactic", "log_redshift", "absolute_peak"),
    )
)
_DETECTABLE = float(np.float32(np.arcsinh(3.0)))  # signal-to-noise that makes an error measurable
_LEVELS = np.array([UNKNOWN, INSIDE, EDGE, OUTSIDE])
_N_DESCRIPTORS = len(DESCRIPTORS)

# Layout of a code: level, group, phase, number of bands, then one bit per descriptor and side.
_GROUP_BIT, _PHASE_BIT, _BANDS_BIT, _SIDES_BIT = 2, 4, 7, 10


@dataclass(frozen=True)
class _Saved:
    """The content of ``domain.json``."""

    descriptors: tuple[str, ...]
    flux_scale: float


_SPECS = {
    "quantiles": ArraySpec("float64", ("n_cells", "n_descriptors", len(_QUANTILES)), order="not_falling"),
    "ranks": ArraySpec("float64", (_N_PHASES, _N_RANKS), order="not_falling"),
    "thresholds": ArraySpec("float64", (_N_PHASES, 2), least=0.0, most=1.0),
}


class TrainingDomain:
    """Compare how an object was observed with the objects of training."""

    def __init__(self, flux_scale: float = 250.0) -> None:
        self.flux_scale = flux_scale
        self._arrays: dict[str, Any] = {}

    def fit(
        self,
        described: Float32Array,
        phase: FloatArray,
        held: Float32Array,
        held_phase: FloatArray,
        held_anomaly: FloatArray,
    ) -> Self:
        """Learn the ranges from training rows and the rates of false alarms from held-out ones.

        Parameters
        ----------
        described : float32 array, shape (n_rows, n_descriptors + 1)
            Training rows of `describe`.
        phase : float64 array, shape (n_rows,)
            Days since trigger; NaN without one.
        held, held_phase : float array
            The same of objects that nothing was trained on.
        held_anomaly : float64 array, shape (n_held,)
            Their anomaly scores.

        Raises
        ------
        DataError
            If there are no rows.
        """
        if not len(described) or not len(held):
            raise DataError("no rows to learn the domain from")
        self._arrays = {"quantiles": _cells(described, _phases(phase))}
        scale = _phases(held_phase)
        strange, _ = _strangest(held, scale, self._arrays["quantiles"])
        ranks, thresholds = np.empty((_N_PHASES, _N_RANKS)), np.empty((_N_PHASES, 2))
        at = np.linspace(0.0, 1.0, _N_RANKS)
        for k in range(_N_PHASES):
            rows = scale == k
            rows = rows if rows.sum() >= _MIN_ROWS else np.ones(len(held), np.bool_)
            ranks[k] = np.quantile(strange[rows], at)
            rarity = _rarity(strange[rows], held_anomaly[rows], np.full(int(rows.sum()), k), ranks)
            thresholds[k] = np.quantile(rarity, [_EDGE_SHARE, _OUTSIDE_SHARE])
        self._arrays |= {"ranks": ranks, "thresholds": thresholds}
        return self

    def codes(self, described: Float32Array, phase: FloatArray, anomaly: FloatArray) -> IntArray:
        """Level and unusual descriptors of each row as one integer, shape (n_rows,); see `words`.

        A row's code does not depend on the batch. NotFittedError if it was neither fitted nor loaded.
        """
        if not self._arrays:
            raise not_fitted("TrainingDomain")
        scale = _phases(phase)
        strange, sides = _strangest(described, scale, self._arrays["quantiles"])
        rarity = _rarity(strange, anomaly, scale, self._arrays["ranks"])
        thresholds = self._arrays["thresholds"][scale]
        level = 1 + (rarity < thresholds[:, 0]) + (rarity < thresholds[:, 1])
        group, n_bands = (described[:, k].astype(np.int64) for k in (-1, 0))
        return level | group << _GROUP_BIT | scale << _PHASE_BIT | n_bands << _BANDS_BIT | sides << _SIDES_BIT

    def words(self, codes: IntArray) -> tuple[StrArray, StrArray]:
        """Domain (``inside``, ``edge``, ``outside``) of each code, and its unusual inputs in words."""
        unique, at = np.unique(np.asarray(codes, np.int64), return_inverse=True)
        texts = np.array([self._sentence(int(code)) for code in unique.tolist()], dtype=np.str_)
        reason = texts[at] if len(unique) else np.empty(0, "U1")
        return _LEVELS[np.asarray(codes) & 3], reason

    def _sentence(self, code: int) -> str:
        """The unusual inputs that a code names, separated by semicolons; empty inside."""
        if code & 3 < 2:
            return ""
        group, phase = (code >> _GROUP_BIT) & 3, (code >> _PHASE_BIT) & 7
        quantiles = self._arrays["quantiles"][group * _N_PHASES + phase]
        found = []
        for k in range(_N_DESCRIPTORS):
            for side in range(2):
                if code >> (_SIDES_BIT + 2 * k + side) & 1:
                    flux = self.flux_scale * np.sinh(quantiles[1][2 * side])
                    mag = f"{AB_ZERO_POINT_NJY - 2.5 * np.log10(flux):.0f}" if flux > 0.0 else "any"
                    found.append(_WORDS[k][side].format(n=_NUMBERS[(code >> _BANDS_BIT) & 7], mag=mag))
        return "; ".join(found[:_MOST_WORDS]) or _STRANGE_LIGHT

    def save(self, folder: Path) -> None:
        """Write ``domain.safetensors`` and ``domain.json`` into a folder; NotFittedError if unfitted."""
        if not self._arrays:
            raise not_fitted("TrainingDomain")
        write_arrays(folder / "domain.safetensors", self._arrays)
        state = {"format": _FORMAT, "descriptors": list(DESCRIPTORS), "flux_scale": self.flux_scale}
        write_state(folder / "domain.json", state)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a domain that `save` wrote; BundleError if a file is missing, damaged or does not fit."""
        path = folder / "domain.json"
        state = read_state(path, _Saved, newest_format=_FORMAT)
        if state.descriptors != DESCRIPTORS or not state.flux_scale > 0.0:
            raise BundleError(f"{path}: other descriptors than this firstlight has; {AGAIN}")
        domain = cls(state.flux_scale)
        path = folder / "domain.safetensors"
        domain._arrays = check_arrays(read_arrays(path), _SPECS, path)
        if domain._arrays["quantiles"].shape[:2] != (_N_GROUPS * _N_PHASES, _N_DESCRIPTORS):
            raise BundleError(f"{path}: quantiles do not fit the descriptors; {AGAIN}")
        return domain


def describe(context: Float32Array) -> Float32Array:
    """How objects were observed, from the contexts of the encoder, shape (n_objects, n_descriptors + 1).

    The columns are `DESCRIPTORS`, NaN where unknown, and the group: 0 extragalactic, 1 galactic, 2 unknown.
    Stream and batch have equal contexts, hence equal rows.
    """
    known, galactic = context[:, _KNOWN] > 0.0, context[:, _GALACTIC] > 0.0
    used = context[:, _SHARE] > 0.0
    high, snr = context[:, _HIGH], np.where(used, context[:, _SNR], np.float32(0.0))
    rows, best = np.arange(len(context)), snr.argmax(axis=1)
    noise = high[rows, best] - snr[rows, best]
    columns = (
        used.sum(axis=1),
        np.where(used, high, np.float32(-100.0)).max(axis=1),
        np.where(snr[rows, best] > _DETECTABLE, noise, np.float32(np.nan)),
        context[:, _FRACTION],
        context[:, _BEFORE],
        context[:, _N_OBS],
        context[:, _SPAN],
        context[:, _N_OBS] - context[:, _SPAN],
        *(np.where(known & ~galactic, context[:, at], np.float32(np.nan)) for at in (_LOG_Z, _ABSOLUTE)),
        np.where(known, galactic, 2),
    )
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


def brighter(described: Float32Array, flux_scale: float) -> Brighter:
    """Which of the described objects are brighter than a magnitude (AB)."""

    def of_magnitude(magnitude: float) -> float:
        return float(np.arcsinh(10.0 ** (0.4 * (AB_ZERO_POINT_NJY - magnitude)) / flux_scale))

    return Brighter(described[:, 1].astype(np.float64), of_magnitude)


# --- private --------------------------------------------------------------------


def _phases(phase: FloatArray) -> IntArray:
    """Range of phases of each row; the last is that without a trigger."""
    phase = np.asarray(phase, np.float64)
    found = np.searchsorted(_PHASE_EDGES, phase, side="right").astype(np.int64)
    return np.where(np.isnan(phase), _N_PHASES - 1, found)


def _cells(described: Float32Array, scale: IntArray) -> FloatArray:
    """Quantiles of each descriptor by group and phase; with few rows those of the phase, or of all."""
    out = np.empty((_N_GROUPS * _N_PHASES, _N_DESCRIPTORS, len(_QUANTILES)))
    group = described[:, -1]
    for cell in range(len(out)):
        own = (group == cell // _N_PHASES) & (scale == cell % _N_PHASES)
        for k in range(_N_DESCRIPTORS):
            out[cell, k] = _quantiles(described[:, k], (own, scale == cell % _N_PHASES))
    return out


def _quantiles(values: Float32Array, choices: tuple[BoolArray, ...]) -> FloatArray:
    """Quantiles of the first choice with enough finite values, else of all; of none they never warn."""
    known = np.isfinite(values)
    for chosen in (*choices, np.ones(len(values), np.bool_)):
        found = values[chosen & known].astype(np.float64)
        if len(found) >= _MIN_ROWS or (chosen.all() and len(found)):
            return np.asarray(np.quantile(found, _QUANTILES))
    return np.array([-1e6, 0.0, 1e6])


def _strangest(
    described: Float32Array, scale: IntArray, quantiles: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Largest distance from the median in units of that of the 1 % or 99 % quantile; bits of those beyond 1.

    Elementwise sums and quotients only, so that a row does not depend on the batch.
    """
    cell = quantiles[described[:, -1].astype(np.int64) * _N_PHASES + scale]
    low, middle, high = cell[..., 0], cell[..., 1], cell[..., 2]
    value = described[:, :-1].astype(np.float64)
    above = value > middle
    spread = np.maximum(np.where(above, high - middle, middle - low), _LEAST_SPREAD)
    far = np.where(np.isnan(value), 0.0, np.abs(value - middle) / spread)
    side = 2 * np.arange(_N_DESCRIPTORS) + above
    sides = np.where(far > 1.0, 1 << side, 0).sum(axis=1)
    return far.max(axis=1), sides


def _rarity(strange: FloatArray, anomaly: FloatArray, scale: IntArray, ranks: FloatArray) -> FloatArray:
    """Share of held-out rows that are as strange or stranger, by observations or by light; the smaller."""
    below = np.zeros(len(strange), np.int64)
    for k in np.unique(scale).tolist():
        rows = scale == k
        below[rows] = np.searchsorted(ranks[k], strange[rows])
    return np.minimum(1.0 - below / _N_RANKS, 1.0 - anomaly)
