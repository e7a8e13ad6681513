"""How unlike the training classes an object is; higher is stranger, everywhere.

Up to four signs are taken together: the distance to the nearest class among the rows
(`nearest`), how easily the latent is isolated from every class (`isolation`), how badly
the encoder reconstructs the object, and how much the classifier doubts. Each becomes a
normal deviate of what held-out objects of known classes show at that phase, and their
weighted sum is put on a scale of false alarms: of known objects, a fraction
``1 - score`` is stranger. Which weights find a class that was left out is measured in
``benchmarks/anomaly.py``; see decision 0091.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from firstlight.anomaly.isolation import ClassIsolation
from firstlight.anomaly.nearest import NearestClass, normal_deviate
from firstlight.classify.protocol import not_fitted
from firstlight.classify.rows import TrainingRows, check_rows, encode_labels
from firstlight.classify.storage import read_arrays, read_state, write_arrays, write_state
from firstlight.errors import BundleError, BundleVersionError, DataError

__all__ = ["PARTS", "AnomalyConfig", "AnomalyScorer", "Evidence"]

#: Signs of strangeness, in the order of their weights.
PARTS = ("distance", "isolation", "doubt", "error")

_FORMAT = 2  # 1 was the distance alone, without the word; it is still read
_LEAST_SCATTER = 1e-6
_FURTHEST_DEVIATE = 3.0  # of the outermost knot of a part's scale
_N_PART_KNOTS = 129


@dataclass(frozen=True, kw_only=True)
class AnomalyConfig:
    """Settings of `AnomalyScorer`.

    Attributes
    ----------
    n_components : int
        Principal components beside the linear discriminants.
    n_knots : int
        Quantiles that describe each feature's distribution.
    min_known : float
        Fraction of rows that must know a feature for it to be used.
    class_objects : float
        Rows at which a class's own scatter counts as much as the mean one.
    distance_skips : tuple of str
        Columns that the distance does not read, by name; ``*``, ``?`` and ``[...]`` as in
        file names. Many columns that say little hide the few that tell.
    n_trees, tree_rows : int
        Isolation trees of each class, and the rows that each is grown on.
    distance_weight, isolation_weight, doubt_weight, error_weight : float
        Weight of each sign, not negative; only their ratios matter. A sign of weight 0,
        or one of which `AnomalyScorer.fit` is told nothing, is left out.
    max_rows : int
        Training rows used at most, drawn at random.
    phase_edges : tuple of float
        Days since trigger between which false alarms are counted apart.
    min_rows : int
        Validation rows that such a range needs; with fewer it shares in the common scale.
    """

    n_components: int = 20
    n_knots: int = 33
    min_known: float = 0.2
    class_objects: float = 30.0
    distance_skips: tuple[str, ...] = ()
    n_trees: int = 100
    tree_rows: int = 128
    distance_weight: float = 1.0
    isolation_weight: float = 0.2
    doubt_weight: float = 0.5
    error_weight: float = 0.2
    max_rows: int = 12_000
    phase_edges: tuple[float, ...] = (2.0, 8.0, 32.0, 128.0)
    min_rows: int = 200


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What encoder and classifier say of some rows; None where they are not asked.

    Attributes
    ----------
    latent : float32 array, shape (n_rows, n_latents), optional
        Where the rows lie in latent space: means, and log-variances beside them.
    recon_error : float32 array, shape (n_rows,), optional
        The encoder's reconstruction error.
    proba : float64 array, shape (n_rows, n_classes), optional
        The classifier's probabilities; the doubt is what the largest leaves to 1.
    """

    latent: NDArray[np.float32] | None = None
    recon_error: NDArray[np.float32] | None = None
    proba: NDArray[np.float64] | None = None


class AnomalyScorer:
    """Score how unlike the training classes each row is.

    Parameters
    ----------
    config : AnomalyConfig, optional
        Settings.
    """

    def __init__(self, config: AnomalyConfig | None = None) -> None:
        self.config = AnomalyConfig() if config is None else config
        self._nearest: NearestClass | None = None
        self._isolation: ClassIsolation | None = None
        self._parts: tuple[str, ...] = ()
        self._scales: dict[str, NDArray[Any]] = {}
        self._n_features = 0

    @property
    def parts(self) -> tuple[str, ...]:
        """Signs that the score is made of, of `PARTS`."""
        return self._parts

    def fit(
        self,
        X: NDArray[np.float32],
        labels: NDArray[np.str_],
        validation_X: NDArray[np.float32],
        *,
        evidence: Evidence | None = None,
        validation: Evidence | None = None,
        phase: NDArray[np.float64] | None = None,
        names: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn the classes from training rows and the scale from held-out ones.

        Parameters
        ----------
        X : float32 array, shape (n_rows, n_features)
            Training rows; NaN where a feature is missing.
        labels : str array, shape (n_rows,)
            Class of each training row.
        validation_X : float32 array, shape (n_validation, n_features)
            Rows of known-class objects that were not trained on.
        evidence : Evidence, optional
            Of the training rows; the latent alone is read.
        validation : Evidence, optional
            Of the validation rows; with nothing but rows the score is the distance alone.
        phase : float64 array, shape (n_validation,), optional
            Days since trigger of the validation rows; with it the scale is set apart for
            early and late rows.
        names : sequence of str, shape (n_features,), optional
            Names of the columns, for `AnomalyConfig.distance_skips`.
        seed : int
            Seed of the draw of training rows and of the isolation trees.

        Returns
        -------
        AnomalyScorer
            Itself.

        Raises
        ------
        DataError
            If shapes disagree, a weight is negative, no column is left, or there are no
            validation rows.
        """
        rows = TrainingRows(X, labels)
        X, labels = rows.X, rows.labels
        validation_X = check_rows(validation_X, X.shape[1])
        if not len(validation_X):
            raise DataError("no validation rows to set the scale of the anomaly score; hold some objects out")
        shown, told = evidence or Evidence(), validation or Evidence()
        self._parts = self._usable(shown, told)
        drawn = np.arange(len(X))
        if len(X) > self.config.max_rows:
            drawn = np.random.default_rng(seed).choice(len(X), self.config.max_rows, replace=False)
            drawn.sort()
        _, code = encode_labels(labels[drawn])
        self._n_features = X.shape[1]
        self._nearest = NearestClass.fit(
            X[drawn],
            code,
            columns=self._columns(X.shape[1], names),
            n_components=self.config.n_components,
            n_knots=self.config.n_knots,
            min_known=self.config.min_known,
            class_objects=self.config.class_objects,
        )
        self._isolation = None
        if "isolation" in self._parts:
            latent = _checked(shown.latent, "latent", len(X), 2)
            self._isolation = ClassIsolation.fit(
                latent[drawn], code, n_trees=self.config.n_trees, n_samples=self.config.tree_rows, seed=seed
            )
        self._set_scales(validation_X, told, phase)
        return self

    def score(
        self,
        X: NDArray[np.float32],
        phase: NDArray[np.float64] | None = None,
        evidence: Evidence | None = None,
    ) -> NDArray[np.float64]:
        """Score rows; a row has the same bits alone and in any batch.

        Parameters
        ----------
        X : float32 array, shape (n_rows, n_features)
            Rows; NaN where a feature is missing.
        phase : float64 array, shape (n_rows,), optional
            Days since trigger; without it the scale common to all phases is used.
        evidence : Evidence, optional
            Of these rows; what the scorer was not fitted with is not read.

        Returns
        -------
        float64 array, shape (n_rows,)
            From 0 to 1, higher is stranger: a fraction ``1 - score`` of known-class
            validation objects scored higher.

        Raises
        ------
        NotFittedError
            If the scorer was neither fitted nor loaded.
        DataError
            If the rows have another width than those of training, or evidence is missing.
        """
        if self._nearest is None:
            raise not_fitted("AnomalyScorer")
        signs = self.signs(X, evidence)
        scale = np.zeros(len(signs), dtype=np.int64)
        if phase is not None and len(self._scales["scale_first"]) > 2:
            scale = 1 + _phase_range(phase, self.config.phase_edges)
        together = self._together(signs, scale)
        out = np.empty(len(together))
        _false_alarms(together, scale, self._scales["scale"], self._scales["scale_first"], out)
        return out

    def signs(self, X: NDArray[np.float32], evidence: Evidence | None = None) -> NDArray[np.float64]:
        """Each part by itself, in its own unit, shape (n_rows, n_parts), columns `parts`.

        Raises
        ------
        NotFittedError, DataError
            As for `score`.
        """
        if self._nearest is None:
            raise not_fitted("AnomalyScorer")
        X = check_rows(X, self._n_features)
        evidence = evidence or Evidence()
        out = np.empty((len(X), len(self._parts)))
        for j, part in enumerate(self._parts):
            if part == "distance":
                out[:, j] = self._nearest.distance(X)
            elif part == "isolation":
                assert self._isolation is not None
                out[:, j] = self._isolation.strangeness(_checked(evidence.latent, "latent", len(X), 2))
            elif part == "doubt":
                out[:, j] = 1.0 - _checked(evidence.proba, "proba", len(X), 2).max(axis=1, initial=0.0)
            else:
                out[:, j] = _checked(evidence.recon_error, "recon_error", len(X), 1)
        return out

    # --- save and load -----------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write ``anomaly.safetensors`` and ``anomaly.json`` into an existing folder.

        Raises
        ------
        NotFittedError
            If there is nothing to save.
        """
        if self._nearest is None:
            raise not_fitted("AnomalyScorer")
        arrays = self._nearest.to_arrays() | self._scales
        if self._isolation is not None:
            arrays |= {f"isolation.{name}": value for name, value in self._isolation.to_arrays().items()}
        write_arrays(folder / "anomaly.safetensors", arrays)
        state = {
            "format": _FORMAT,
            "n_features": self._n_features,
            "phase_edges": list(self.config.phase_edges),
            "parts": list(self._parts),
        }
        write_state(folder / "anomaly.json", state)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote, or the distance alone of a bundle older than the other parts.

        Raises
        ------
        BundleError
            If a file is missing or damaged.
        BundleVersionError
            If it was written by a newer firstlight.
        """
        state = read_state(folder / "anomaly.json", "n_features", "phase_edges")
        if state.get("format", 1) > _FORMAT:
            raise BundleVersionError(
                f"{folder}: anomaly score of format {state['format']}, this firstlight reads up to "
                f"{_FORMAT}; upgrade it"
            )
        scorer = cls(AnomalyConfig(phase_edges=tuple(state["phase_edges"])))
        scorer._n_features = int(state["n_features"])
        scorer._parts = tuple(state.get("parts", ("distance",)))
        if not scorer._parts or not set(scorer._parts) <= set(PARTS):
            raise BundleError(f"{folder}: anomaly score of parts {scorer._parts}; save the bundle anew")
        needed = [*NearestClass.__slots__, "scale", "scale_first"]
        if len(scorer._parts) > 1:
            needed += ["part_knots", "part_normal", "weight"]
        arrays = read_arrays(folder / "anomaly.safetensors", *needed)
        try:
            scorer._nearest = NearestClass.from_arrays(arrays, scorer._n_features)
            if "isolation" in scorer._parts:
                own = {
                    n.removeprefix("isolation."): a for n, a in arrays.items() if n.startswith("isolation.")
                }
                scorer._isolation = ClassIsolation.from_arrays(own)
            names = {"scale", "scale_first", "part_knots", "part_normal", "weight"}
            scorer._scales = {name: array for name, array in arrays.items() if name in names}
            scorer._check_scales()
        except BundleError as error:
            raise BundleError(f"{folder}: {error}") from error
        return scorer

    def _check_scales(self) -> None:
        """Raise BundleError unless the compiled code can trust the scales."""
        scales, n_parts = self._scales, len(self._parts)
        first = scales["scale_first"]
        whole = len(first) in (2, 2 + len(self.config.phase_edges) + 1)
        whole = whole and first[0] == 0 and bool(np.all(np.diff(first) > 0))
        whole = whole and int(first[-1]) == len(scales["scale"])
        if n_parts > 1:
            shape = (len(first) - 1, n_parts, len(scales["part_normal"]))
            whole = whole and scales["part_knots"].shape == shape and scales["weight"].shape == (n_parts,)
        if not whole:
            raise BundleError("scales of the anomaly score do not fit; save the bundle anew")

    # --- private -------------------------------------------------------------------

    def _usable(self, shown: Evidence, told: Evidence) -> tuple[str, ...]:
        """Parts with a weight and with evidence."""
        weight = self._weights()
        if min(weight.values()) < 0.0 or weight["distance"] <= 0.0:
            raise DataError(f"weights of the anomaly score {weight}: none negative, and a distance is needed")
        given = {
            "distance": True,
            "isolation": shown.latent is not None and told.latent is not None,
            "doubt": told.proba is not None,
            "error": told.recon_error is not None,
        }
        return tuple(part for part in PARTS if given[part] and weight[part] > 0.0)

    def _columns(self, n_features: int, names: Sequence[str] | None) -> NDArray[np.int64]:
        """Columns that the distance may read."""
        if not self.config.distance_skips:
            return np.arange(n_features)
        if names is None or len(names) != n_features:
            raise DataError(f"distance_skips needs the names of all {n_features} columns; pass them to fit")
        kept = [not any(fnmatchcase(name, skip) for skip in self.config.distance_skips) for name in names]
        if not any(kept):
            raise DataError(f"distance_skips {self.config.distance_skips} leave the anomaly score no column")
        return np.flatnonzero(kept)

    def _weights(self) -> Mapping[str, float]:
        return {part: float(getattr(self.config, f"{part}_weight")) for part in PARTS}

    def _set_scales(
        self, validation_X: NDArray[np.float32], told: Evidence, phase: NDArray[np.float64] | None
    ) -> None:
        """What known objects show: of all rows first, then of each range of phases."""
        signs = self.signs(validation_X, told)
        rows = [np.arange(len(signs))]
        if phase is not None:
            within = _phase_range(phase, self.config.phase_edges)
            for k in range(len(self.config.phase_edges) + 1):
                own = np.flatnonzero(within == k)
                rows.append(own if len(own) >= self.config.min_rows else rows[0])
        self._scales = {}
        if len(self._parts) > 1:
            knots, normal = _part_knots([signs[own] for own in rows])
            weight = np.array([self._weights()[part] for part in self._parts])
            self._scales = {"part_knots": knots, "part_normal": normal, "weight": weight}
        parts = [np.sort(self._together(signs[own], np.full(len(own), k))) for k, own in enumerate(rows)]
        first = np.cumsum([0, *(len(part) for part in parts)])
        self._scales |= {"scale": np.concatenate(parts), "scale_first": first.astype(np.int64)}

    def _together(self, signs: NDArray[np.float64], scale: NDArray[np.int64]) -> NDArray[np.float64]:
        """All signs of each row in one number, of no unit; higher is stranger."""
        if len(self._parts) == 1:
            return np.ascontiguousarray(signs[:, 0])
        out = np.empty(len(signs))
        a = self._scales
        _weighted(signs, scale, a["part_knots"], a["part_normal"], a["weight"], out)
        return out


def _checked(values: NDArray[Any] | None, name: str, n_rows: int, n_dims: int) -> NDArray[Any]:
    """The evidence of that name, with one row a row."""
    if values is None:
        raise DataError(f"the anomaly score was fitted with {name}; pass it in the evidence")
    if np.ndim(values) != n_dims or len(values) != n_rows:
        raise DataError(f"{name} of shape {np.shape(values)} for {n_rows} rows")
    return values


def _phase_range(phase: NDArray[np.float64], edges: tuple[float, ...]) -> NDArray[np.int64]:
    days = np.asarray(phase, dtype=np.float64)
    days = np.where(np.isnan(days), 0.0, days)
    return np.searchsorted(np.array(edges), days, side="left").astype(np.int64)


def _part_knots(groups: list[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quantiles of each part in each group of rows, dense in both tails, and their deviates."""
    from scipy.special import ndtr

    normal = np.linspace(-_FURTHEST_DEVIATE, _FURTHEST_DEVIATE, _N_PART_KNOTS)
    knots = [np.quantile(signs, ndtr(normal), axis=0).T for signs in groups]
    return np.ascontiguousarray(knots), normal


@njit(cache=True, nogil=True)
def _weighted(signs, scale, knots, normal, weight, out):  # type: ignore[no-untyped-def]
    """Weighted sum of the signs as normal deviates of what known objects show."""
    for row in range(signs.shape[0]):
        total = 0.0
        for j in range(signs.shape[1]):
            total += weight[j] * normal_deviate(signs[row, j], knots[scale[row], j], normal)
        out[row] = total


@njit(cache=True, nogil=True)
def _false_alarms(values, scale, reference, first, out):  # type: ignore[no-untyped-def]
    """Fraction of reference values below; beyond the last it still rises, but never to 1."""
    for row in range(len(values)):
        own = reference[first[scale[row]] : first[scale[row] + 1]]
        n = len(own)
        x = values[row]
        spread = max(own[3 * n // 4] - own[n // 4], _LEAST_SCATTER)
        if x < own[0]:
            out[row] = 1.0 / (n + 1) / (1.0 + (own[0] - x) / spread)
        elif x > own[n - 1]:
            # A slow fall keeps the order of the very strange, which an exponential would lose in rounding.
            out[row] = 1.0 - 1.0 / (n + 1) / (1.0 + (x - own[n - 1]) / spread)
        elif x == own[n - 1]:
            out[row] = n / (n + 1)
        else:
            low = np.searchsorted(own, x, side="right")  # own[low - 1] <= x < own[low]
            part = (x - own[low - 1]) / (own[low] - own[low - 1])
            out[row] = (low + part) / (n + 1)
