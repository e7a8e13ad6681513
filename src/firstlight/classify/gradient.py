"""`SklearnBooster`: scikit-learn's gradient boosting, the classifier of the paper.

scikit-learn grows the trees; they are stored as arrays and evaluated by `Forest`, so
that classifying needs neither pickle nor scikit-learn.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from firstlight._types import AnyArray, Float32Array, FloatArray, Progress, no_progress
from firstlight.classify.balance import class_weights, oversample
from firstlight.classify.forest import Forest, softmax
from firstlight.classify.protocol import Booster, SavedClasses, check_outputs
from firstlight.classify.reasons import Decision, decide
from firstlight.classify.rows import CodedRows, TrainingRows, check_rows, coded_split
from firstlight.classify.space import SearchSpace, Tunable
from firstlight.storage import ArraySpec, check_arrays, read_arrays, write_arrays, write_state

_LARGEST = 1e30  # scikit-learn takes no infinity, nor a float32 sum of all values that overflows
_RANGE = (-3.5e38, 3.5e38)  # of a finite float32
_FLOOR = float(np.finfo(np.float64).eps)  # scikit-learn clips the prior here


@dataclass(frozen=True, kw_only=True)
class SklearnBoosterConfig:
    """Settings of `SklearnBooster`, named as in scikit-learn. `firstlight tune` searches four of them."""

    #: Settings that `firstlight tune` searches, as the paper did; the lowest impurity decrease refuses no
    #: split. The number of estimators is tuned, so none is stopped early.
    SEARCH_SPACE: ClassVar = SearchSpace(
        settings=(
            Tunable(
                name="n_estimators", words="number of estimators", low=20, high=150, integer=True, least=1
            ),
            Tunable(name="max_depth", words="maximum depth", low=1, high=6, integer=True, least=1),
            Tunable(
                name="min_samples_split",
                words="minimum samples to split",
                low=2,
                high=200,
                log=True,
                integer=True,
                least=2,
            ),
            Tunable(
                name="min_impurity_decrease", words="minimum impurity decrease", low=1e-7, high=1e-3, log=True
            ),
        ),
        fixed={"patience": 0},
    )

    n_estimators: int = 150  # maximum number of boosting stages; each grows one tree per class
    learning_rate: float = 0.1  # shrinkage of each stage
    max_depth: int = 4  # maximum depth per tree
    min_samples_split: int = 20  # minimum number of rows to split a node
    min_impurity_decrease: float = 0.0  # minimum gain of a split
    subsample: float = 0.7  # fraction of rows drawn in each stage
    max_features: float = 0.5  # fraction of features tried at each split
    patience: int = 15  # stages without a better validation loss before training stops; 0 grows all
    class_weight_exponent: float = 0.5  # 0 keeps the classes as they are, 1 gives them equal total weight
    oversample_exponent: float = 0.0  # 0 repeats no row, 1 brings every class to the size of the largest


class SklearnBooster(Booster):
    """Gradient boosting with multinomial deviance (Friedman 2001, doi:10.1214/aos/1013203451).

    Missing values are replaced by the medians of the training rows. With held-out rows,
    boosting stops at the stage with the lowest deviance on them.
    """

    def __init__(self, config: SklearnBoosterConfig | None = None) -> None:
        self.config = SklearnBoosterConfig() if config is None else config
        super().__init__()
        self._median = np.zeros(0, dtype=np.float32)
        self._cover: FloatArray | None = None  # training rows in each leaf, (n_nodes,)

    def fit(
        self,
        rows: TrainingRows,
        held: TrainingRows | None = None,
        *,
        seed: int = 0,
        jobs: int = 1,
        progress: Progress = no_progress,
    ) -> Self:
        """See `Classifier.fit`. scikit-learn grows its trees on one thread."""
        classes, coded, held_rows = coded_split(rows, held)
        self._median = _medians(coded.X)
        if held_rows is not None:
            held_rows = held_rows._replace(X=self._filled(held_rows.X))
        watch = _StageWatch(self.config.patience, self.config.n_estimators, held_rows, progress)
        X, code = self._filled(coded.X), coded.code
        weight = class_weights(code, self.config.class_weight_exponent, coded.weight)
        if self.config.oversample_exponent > 0.0:
            chosen = oversample(
                rows.labels,
                np.random.default_rng(seed),
                object_id=rows.owner,
                held_out=[] if held is None or held.object_id is None else held.object_id,
                exponent=self.config.oversample_exponent,
            )
            X, code, weight = X[chosen], code[chosen], weight[chosen]
        model = _grow(CodedRows(X, code, weight), self.config, seed, watch)
        self._forest, self._cover = _forest_of(model, watch.best_stage)
        self._classes = classes
        return self

    def predict_proba(self, X: Float32Array, redshift: FloatArray | Float32Array | None = None) -> FloatArray:
        """See `Classifier.predict_proba`."""
        forest = self._fitted()
        return softmax(forest.raw(self._filled(check_rows(X, forest.n_features))))

    def decisions(self, x: Float32Array, redshift: float) -> tuple[Decision, ...]:
        """See `reasons.Explains`."""
        return decide("class", self.classes, self._fitted(), self._cover, self._filled(x[None])[0])

    def save(self, folder: Path) -> None:
        """Write ``classifier.json`` and ``forest.safetensors``; see `Classifier.save`."""
        forest = self._fitted()
        arrays = forest.to_arrays() | {"median": self._median}
        if self._cover is not None:
            arrays["cover"] = self._cover
        write_arrays(folder / "forest.safetensors", arrays)
        write_state(folder / "classifier.json", {"kind": "seed", "classes": list(self._classes)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the files of `save`; see `Classifier.load`."""
        path = folder / "forest.safetensors"
        arrays = read_arrays(path)
        booster = cls()
        booster._classes = SavedClasses.read(folder / "classifier.json")
        booster._forest = Forest.from_arrays(arrays, path)
        check_outputs(booster._forest, len(booster._classes), path)
        median = ArraySpec("float32", ("n_features",), *_RANGE)
        checked = check_arrays(arrays, {"median": median}, path, n_features=booster._forest.n_features)
        booster._median = checked["median"]
        if "cover" in arrays:  # older bundles have none
            cover = {"cover": ArraySpec("float64", ("n_nodes",), least=0.0)}
            checked = check_arrays(arrays, cover, path, n_nodes=len(booster._forest.nodes))
            booster._cover = checked["cover"]
        return booster

    def _filled(self, X: Float32Array) -> Float32Array:
        """Rows without NaN or infinity."""
        return np.clip(np.where(np.isnan(X), self._median, X), -_LARGEST, _LARGEST).astype(np.float32)


class _StageWatch:
    """scikit-learn's monitor: reports progress and stops when the validation loss rises."""

    def __init__(
        self, patience: int, n_stages: int, held: CodedRows | None, progress: Progress = no_progress
    ) -> None:
        self.patience = patience
        self.n_stages = n_stages
        self.progress = progress
        self.best_stage: int | None = None  # None keeps all
        self._best_loss = np.inf
        self._held = held
        self._raw = np.zeros((0, 0))

    def __call__(self, stage: int, model: Any, _: dict[str, Any]) -> bool:
        """Whether to stop after this stage."""
        self.progress("classifier", (stage + 1) / self.n_stages)
        if self._held is None or self.patience <= 0:
            return False
        X, code, weight = self._held
        if stage == 0:
            self._raw = np.tile(_prior_scores(model), (len(X), 1))
        for k, tree in enumerate(model.estimators_[stage]):
            self._raw[:, k] += model.learning_rate * tree.predict(X)
        chosen = softmax(self._raw)[np.arange(len(X)), code]
        loss = -float(np.average(np.log(np.maximum(chosen, _FLOOR)), weights=weight))
        if loss < self._best_loss:
            self._best_loss, self.best_stage = loss, stage + 1
        return stage + 1 - (self.best_stage or 0) >= self.patience


def _medians(X: Float32Array) -> Float32Array:
    """Median of each feature over its finite values; 0 where there is none."""
    finite = np.where(np.isfinite(X), X, np.nan)
    empty = np.isnan(finite).all(axis=0)
    finite[:, empty] = 0.0
    return np.asarray(np.nanmedian(finite, axis=0), dtype=np.float32)


def _grow(rows: CodedRows, config: SklearnBoosterConfig, seed: int, watch: _StageWatch) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(
        loss="log_loss",
        n_estimators=config.n_estimators,
        learning_rate=config.learning_rate,
        max_depth=config.max_depth,
        min_samples_split=config.min_samples_split,
        min_impurity_decrease=config.min_impurity_decrease,
        subsample=config.subsample,
        max_features=config.max_features,
        random_state=seed,
    )
    return model.fit(rows.X, rows.code, sample_weight=rows.weight, monitor=watch)


def _prior_scores(model: Any) -> FloatArray:
    """Raw scores before the first tree: the weighted class frequencies through the link."""
    prior = np.clip(np.asarray(model.init_.class_prior_, dtype=np.float64), _FLOOR, 1.0 - _FLOOR)
    if len(prior) == 2:
        return np.array([np.log(prior[1] / (1.0 - prior[1]))])
    logs = np.log(prior)
    return np.asarray(logs - logs.mean())


def _forest_of(model: Any, n_stages: int | None) -> tuple[Forest, FloatArray]:
    """The fitted trees of the first stages as arrays, and the training rows in each leaf."""
    trees = [tree.tree_ for tree in model.estimators_[:n_stages].ravel()]
    n_outputs = model.estimators_.shape[1]

    def joined(name: str) -> AnyArray:
        return np.concatenate([getattr(tree, name) for tree in trees])

    def laid_out(value: FloatArray) -> Forest:
        """The trees with these values at their leaves."""
        return Forest.lay_out(
            n_nodes=np.array([tree.node_count for tree in trees]),
            feature=joined("feature"),
            threshold=joined("threshold"),
            left=joined("children_left"),
            right=joined("children_right"),
            value=value,
            output=np.arange(len(trees)) % n_outputs,
            start=_prior_scores(model),
            n_features=model.n_features_in_,
        )

    forest = laid_out(model.learning_rate * joined("value")[:, 0, 0])
    return forest, laid_out(joined("n_node_samples").astype(np.float64)).value
