"""`AnomalyScorer`: combine up to four components into one anomaly score; higher is more unusual.

The components are the distance to the nearest class (`nearest`), the isolation of the latent (`isolation`),
the classifier's uncertainty and the encoder's reconstruction error. Each becomes a normal deviate among
held-out objects of known classes at that phase; their weighted sum is put on a scale of false alarms
(decision 0091).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray, StrArray
from firstlight.anomaly.isolation import ClassIsolation
from firstlight.anomaly.nearest import NearestClass, normal_deviate
from firstlight.classify.protocol import not_fitted
from firstlight.classify.rows import TrainingRows, check_rows, encode_labels
from firstlight.errors import BundleError, DataError, SettingsError
from firstlight.kernels import kernel, n_upto
from firstlight.storage import (
    AGAIN,
    ArraySpec,
    check_arrays,
    read_arrays,
    read_state,
    write_arrays,
    write_state,
)

#: Components by their names on disk, in the order of their weights; doubt is the classifier's uncertainty.
COMPONENTS = ("distance", "isolation", "doubt", "error")

_ARRAYS = "anomaly.safetensors"
_FORMAT = 2  # 1, the distance alone without a list of components, is still read
_DISTANCE_WEIGHT = 1.0  # of the distance; only the ratios of the weights matter
_MIN_ROWS = 200  # validation rows that a range of phases needs for its own scale
_LEAST_SCATTER = 1e-6
_FURTHEST_DEVIATE = 3.0  # of the outermost knot of a component's scale
_N_COMPONENT_KNOTS = 129
_SCALES = {
    "scale": ArraySpec("float64", ("n_values",)),
    "scale_first": ArraySpec("int64", ("n_firsts",), least=0, most=1 << 40, order="rising"),
}
_COMPONENT_SCALES = {
    "part_knots": ArraySpec("float64", ("n_scales", "n_components", "n_knots"), order="not_falling"),
    "part_normal": ArraySpec("float64", ("n_knots",), order="not_falling"),
    "weight": ArraySpec("float64", ("n_components",), least=0.0),
}


@dataclass(frozen=True, kw_only=True)
class AnomalyConfig:
    """Settings of `AnomalyScorer`.

    Presets differ in `distance_skips`; the study behind decision 0091 compares the weights; the rows
    and phases depend on the training set.

    Attributes
    ----------
    distance_skips : tuple of str
        Names of columns that the distance ignores; ``*``, ``?`` and ``[...]`` as in file names.
        Many uninformative columns hide the informative ones.
    isolation_weight, doubt_weight, error_weight : float
        Weight of the isolation, the classifier's uncertainty and the reconstruction error against
        1 for the distance; not negative. A component of weight 0 or without inputs is left out.
    max_rows : int
        Most training rows, drawn at random.
    phase_edges : tuple of float
        Days since trigger between ranges of phases, each with its own scale of false alarms.
    """

    RETIRED: ClassVar[Mapping[str, object]] = {
        "n_components": 20,
        "n_knots": 33,
        "min_known": 0.2,
        "class_objects": 30.0,
        "n_trees": 100,
        "tree_rows": 128,
        "distance_weight": 1.0,
        "min_rows": 200,
    }

    distance_skips: tuple[str, ...] = ()
    isolation_weight: float = 0.2
    doubt_weight: float = 0.5
    error_weight: float = 0.2
    max_rows: int = 12_000
    phase_edges: tuple[float, ...] = (2.0, 8.0, 32.0, 128.0)

    def __post_init__(self) -> None:
        """Check the edges."""
        if list(self.phase_edges) != sorted(set(self.phase_edges)):
            raise SettingsError(f"anomaly.phase_edges = {list(self.phase_edges)}: they must rise")


@dataclass(frozen=True, slots=True, eq=False)
class AnomalyInputs:
    """Outputs of encoder and classifier for some rows; None for those that are not used."""

    latent: Float32Array | None = None  # (n_rows, n_latents); means and log-variances of the latents
    recon_error: Float32Array | None = None  # (n_rows,); the encoder's reconstruction error
    # (n_rows, n_classes); the classifier's probabilities; the uncertainty is 1 minus the largest
    proba: FloatArray | None = None


@dataclass(frozen=True)
class _Saved:
    """The content of ``anomaly.json``."""

    n_features: int
    phase_edges: tuple[float, ...]
    parts: tuple[str, ...] = ("distance",)  # of format 1


class AnomalyScorer:
    """Score how unlike the training classes each row is."""

    def __init__(self, config: AnomalyConfig | None = None) -> None:
        self.config = AnomalyConfig() if config is None else config
        self._nearest: NearestClass | None = None
        self._isolation: ClassIsolation | None = None
        self._components: tuple[str, ...] = ()
        self._scales: dict[str, AnyArray] = {}
        self._n_features = 0

    @property
    def component_names(self) -> tuple[str, ...]:
        """Components of the score, of `COMPONENTS`."""
        return self._components

    def fit(
        self,
        X: Float32Array,
        labels: StrArray,
        validation_X: Float32Array,
        *,
        inputs: AnomalyInputs | None = None,
        validation_inputs: AnomalyInputs | None = None,
        phase: FloatArray | None = None,
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
        inputs : AnomalyInputs, optional
            Of the training rows; only the latent is used.
        validation_inputs : AnomalyInputs, optional
            Of the validation rows; without it the score is the distance alone.
        phase : float64 array, shape (n_validation,), optional
            Days since trigger of the validation rows; with it each range of phases has its own scale.
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
        inputs, validation_inputs = inputs or AnomalyInputs(), validation_inputs or AnomalyInputs()
        self._components = self._usable(inputs, validation_inputs)
        drawn = np.arange(len(X))
        if len(X) > self.config.max_rows:
            drawn = np.random.default_rng(seed).choice(len(X), self.config.max_rows, replace=False)
            drawn.sort()
        _, code = encode_labels(labels[drawn])
        self._n_features = X.shape[1]
        self._nearest = NearestClass.fit(X[drawn], code, self._columns(X.shape[1], names))
        self._isolation = None
        if "isolation" in self._components:
            latent = _checked(inputs.latent, "latent", len(X), 2)
            self._isolation = ClassIsolation.fit(latent[drawn], code, seed=seed)
        self._set_scales(validation_X, validation_inputs, phase)
        return self

    def score(
        self,
        X: Float32Array,
        phase: FloatArray | None = None,
        inputs: AnomalyInputs | None = None,
    ) -> FloatArray:
        """Score rows; the score of a row does not depend on the batch.

        Parameters
        ----------
        X : float32 array, shape (n_rows, n_features)
            Rows; NaN where a feature is missing.
        phase : float64 array, shape (n_rows,), optional
            Days since trigger; without it the common scale of all phases is used.
        inputs : AnomalyInputs, optional
            Of these rows; inputs that the scorer was not fitted with are ignored.

        Returns
        -------
        float64 array, shape (n_rows,)
            From 0 to 1; a fraction ``1 - score`` of known-class validation objects scored higher.

        Raises
        ------
        NotFittedError
            If the scorer was neither fitted nor loaded.
        DataError
            If the rows have another width than those of training, or an input is missing.
        """
        if self._nearest is None:
            raise not_fitted("AnomalyScorer")
        components = self.components(X, inputs)
        scale = np.zeros(len(components), dtype=np.int64)
        if phase is not None and len(self._scales["scale_first"]) > 2:
            scale = 1 + _phase_range(phase, self.config.phase_edges)
        combined = self._combine(components, scale)
        out = np.empty(len(combined))
        _false_alarms(combined, scale, self._scales["scale"], self._scales["scale_first"], out)
        return out

    def components(self, X: Float32Array, inputs: AnomalyInputs | None = None) -> FloatArray:
        """Each component in its own unit, shape (n_rows, n_components); columns are `component_names`."""
        if self._nearest is None:
            raise not_fitted("AnomalyScorer")
        X = check_rows(X, self._n_features)
        inputs = inputs or AnomalyInputs()
        out = np.empty((len(X), len(self._components)))
        for j, name in enumerate(self._components):
            if name == "distance":
                out[:, j] = self._nearest.distance(X)
            elif name == "isolation":
                assert self._isolation is not None
                out[:, j] = self._isolation.isolation_score(_checked(inputs.latent, "latent", len(X), 2))
            elif name == "doubt":
                out[:, j] = 1.0 - _checked(inputs.proba, "proba", len(X), 2).max(axis=1, initial=0.0)
            else:
                out[:, j] = _checked(inputs.recon_error, "recon_error", len(X), 1)
        return out

    def places(self, X: Float32Array) -> FloatArray:
        """Coordinates of rows in the space of the distance, shape (n_rows, n_axes).

        Raises NotFittedError if the scorer was neither fitted nor loaded, DataError for a wrong width.
        """
        if self._nearest is None:
            raise not_fitted("AnomalyScorer")
        return self._nearest.places(check_rows(X, self._n_features))

    def save(self, folder: Path) -> None:
        """Write ``anomaly.safetensors.gz`` and ``anomaly.json`` into a folder; NotFittedError if unfitted."""
        if self._nearest is None:
            raise not_fitted("AnomalyScorer")
        arrays = self._nearest.to_arrays() | self._scales
        if self._isolation is not None:
            arrays |= {f"isolation.{name}": value for name, value in self._isolation.to_arrays().items()}
        write_arrays(folder / f"{_ARRAYS}.gz", arrays)
        state = {
            "format": _FORMAT,
            "n_features": self._n_features,
            "phase_edges": list(self.config.phase_edges),
            "parts": list(self._components),
        }
        write_state(folder / "anomaly.json", state)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a scorer that `save` wrote; an old bundle has the distance alone.

        Raises BundleError if a file is missing or damaged, BundleVersionError if a newer firstlight wrote it.
        """
        path = folder / "anomaly.json"
        state = read_state(path, _Saved, newest_format=_FORMAT)
        if not state.parts or list(state.parts) != [name for name in COMPONENTS if name in state.parts]:
            raise BundleError(f"{path}: anomaly score of components {state.parts}; {AGAIN}")
        try:
            scorer = cls(AnomalyConfig(phase_edges=state.phase_edges))
        except SettingsError as error:
            raise BundleError(f"{path}: {error}; {AGAIN}") from error
        scorer._n_features, scorer._components = state.n_features, state.parts
        path = folder / _ARRAYS  # of bundles up to 0.1.0.dev0
        path = path if path.exists() else folder / f"{_ARRAYS}.gz"
        arrays = read_arrays(path)
        scorer._nearest = NearestClass.from_arrays(arrays, state.n_features, path)
        if "isolation" in state.parts:
            own = {n.removeprefix("isolation."): a for n, a in arrays.items() if n.startswith("isolation.")}
            scorer._isolation = ClassIsolation.from_arrays(own, path)
        specs = _SCALES if len(state.parts) == 1 else _SCALES | _COMPONENT_SCALES
        scorer._scales = check_arrays(arrays, specs, path, n_components=len(state.parts))
        scorer._check_scales(path)
        return scorer

    @property
    def n_features(self) -> int:
        """Width of the rows that it was fitted on."""
        return self._n_features

    @property
    def n_latents(self) -> int | None:
        """Width of the latents that it was fitted on; None if it does not use them."""
        return None if self._isolation is None else self._isolation.forest.n_features

    def _check_scales(self, where: object) -> None:
        """Raise BundleError if the scales do not fit; compiled code trusts them."""
        first, scale = self._scales["scale_first"], self._scales["scale"]
        n_scales = len(first) - 1
        whole = (
            n_scales in (1, 2 + len(self.config.phase_edges)) and first[0] == 0 and first[-1] == len(scale)
        )
        if whole:
            falls = np.diff(scale) < 0.0
            falls[first[1:-1] - 1] = False  # from one scale to the next
            whole = not falls.any()
        if whole and len(self._components) > 1:
            knots = self._scales["part_knots"]
            whole = len(knots) == n_scales and knots.shape[-1] > 0
        if not whole:
            raise BundleError(f"{where}: scales of the anomaly score do not fit; {AGAIN}")

    def _usable(self, inputs: AnomalyInputs, validation: AnomalyInputs) -> tuple[str, ...]:
        """Components with a weight and with inputs."""
        weight = self._weights()
        if min(weight.values()) < 0.0:
            raise DataError(f"weights of the anomaly score {weight}: none may be negative")
        given = {
            "distance": True,
            "isolation": inputs.latent is not None and validation.latent is not None,
            "doubt": validation.proba is not None,
            "error": validation.recon_error is not None,
        }
        return tuple(name for name in COMPONENTS if given[name] and weight[name] > 0.0)

    def _columns(self, n_features: int, names: Sequence[str] | None) -> IntArray:
        """Columns that the distance uses."""
        if not self.config.distance_skips:
            return np.arange(n_features)
        if names is None or len(names) != n_features:
            raise DataError(f"distance_skips needs the names of all {n_features} columns; pass them to fit")
        kept = [not any(fnmatchcase(name, skip) for skip in self.config.distance_skips) for name in names]
        if not any(kept):
            raise DataError(f"distance_skips {self.config.distance_skips} leave the anomaly score no column")
        return np.flatnonzero(kept)

    def _weights(self) -> Mapping[str, float]:
        config = self.config
        weights = (_DISTANCE_WEIGHT, config.isolation_weight, config.doubt_weight, config.error_weight)
        return dict(zip(COMPONENTS, weights, strict=True))

    def _set_scales(
        self, validation_X: Float32Array, inputs: AnomalyInputs, phase: FloatArray | None
    ) -> None:
        """Set the scales from known objects: first that of all rows, then of each range of phases."""
        components = self.components(validation_X, inputs)
        rows = [np.arange(len(components))]
        if phase is not None:
            within = _phase_range(phase, self.config.phase_edges)
            for k in range(len(self.config.phase_edges) + 1):
                own = np.flatnonzero(within == k)
                rows.append(own if len(own) >= _MIN_ROWS else rows[0])
        self._scales = {}
        if len(self._components) > 1:
            knots, normal = _component_knots([components[own] for own in rows])
            weight = np.array([self._weights()[name] for name in self._components])
            self._scales = {"part_knots": knots, "part_normal": normal, "weight": weight}
        sums = [np.sort(self._combine(components[own], np.full(len(own), k))) for k, own in enumerate(rows)]
        first = np.cumsum([0, *(len(part) for part in sums)])
        self._scales |= {"scale": np.concatenate(sums), "scale_first": first.astype(np.int64)}

    def _combine(self, components: FloatArray, scale: IntArray) -> FloatArray:
        """Weighted sum of each row's components; higher is more unusual."""
        if len(self._components) == 1:
            return np.ascontiguousarray(components[:, 0])
        out = np.empty(len(components))
        a = self._scales
        _weighted(components, scale, a["part_knots"], a["part_normal"], a["weight"], out)
        return out


def _checked(values: AnyArray | None, name: str, n_rows: int, n_dims: int) -> AnyArray:
    """The input of that name, checked for its shape."""
    if values is None:
        raise DataError(f"the anomaly score was fitted with {name}; pass it in the inputs")
    if np.ndim(values) != n_dims or len(values) != n_rows:
        raise DataError(f"{name} of shape {np.shape(values)} for {n_rows} rows")
    return values


def _phase_range(phase: FloatArray, edges: tuple[float, ...]) -> IntArray:
    days = np.asarray(phase, dtype=np.float64)
    days = np.where(np.isnan(days), 0.0, days)
    return np.searchsorted(np.array(edges), days, side="left").astype(np.int64)


def _component_knots(groups: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Quantiles of each component in each group of rows, dense in both tails, and their deviates."""
    from scipy.special import ndtr

    normal = np.linspace(-_FURTHEST_DEVIATE, _FURTHEST_DEVIATE, _N_COMPONENT_KNOTS)
    knots = [np.quantile(group, ndtr(normal), axis=0).T for group in groups]
    return np.ascontiguousarray(knots), normal


@kernel
def _weighted(
    components: FloatArray,
    scale: IntArray,
    knots: FloatArray,
    normal: FloatArray,
    weight: FloatArray,
    out: FloatArray,
) -> None:
    """Weighted sum of the components as normal deviates among known objects."""
    for row in range(components.shape[0]):
        total = 0.0
        for j in range(components.shape[1]):
            total += weight[j] * normal_deviate(components[row, j], knots[scale[row], j], normal)
        out[row] = total


@kernel
def _false_alarms(
    values: FloatArray, scale: IntArray, reference: FloatArray, first: IntArray, out: FloatArray
) -> None:
    """Fraction of reference values below; beyond the last it still rises, but never to 1."""
    for row in range(len(values)):
        own = reference[first[scale[row]] : first[scale[row] + 1]]
        n = len(own)
        x = values[row]
        if np.isnan(x):  # more than float64 holds: stranger than all
            x = np.inf
        spread = max(own[3 * n // 4] - own[n // 4], _LEAST_SCATTER)
        if x < own[0]:
            out[row] = 1.0 / (n + 1) / (1.0 + (own[0] - x) / spread)
        elif x > own[n - 1]:
            # A slow fall keeps the order of extreme values, which an exponential would lose in rounding.
            out[row] = 1.0 - 1.0 / (n + 1) / (1.0 + (x - own[n - 1]) / spread)
        elif x == own[n - 1]:
            out[row] = n / (n + 1)
        else:
            low = n_upto(own, x)  # own[low - 1] <= x < own[low]
            part = (x - own[low - 1]) / (own[low] - own[low - 1])
            out[row] = (low + part) / (n + 1)
