"""LightGBM boosters: grown by LightGBM, stored as its text, walked by our own code.

LightGBM is imported to train only. Predictions come from
`firstlight.classify.forest.Forest`, which gives LightGBM's numbers several times faster
and lets threads run side by side.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.classify.balance import class_weights
from firstlight.classify.forest import Forest, softmax
from firstlight.classify.lightgbm_text import compact, read_forest
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
from firstlight.errors import BundleError

__all__ = ["LightGBMBooster", "LightGBMConfig", "grow_lightgbm"]


@dataclass(frozen=True, kw_only=True)
class LightGBMConfig:
    """Settings of a LightGBM booster.

    Attributes
    ----------
    rounds : int
        Boosting rounds at most; each grows one tree a class.
    learning_rate : float
        Shrinkage of each round.
    leaves : int
        Leaves of a tree at most.
    min_data_in_leaf : int
        Rows that a leaf needs; copies of an object count singly.
    min_hessian_in_leaf : float
        Sum of the loss's weighted second derivatives that a leaf needs.
    feature_fraction : float
        Fraction of features that each tree looks at.
    row_fraction : float
        Fraction of rows that each round sees.
    l1, l2 : float
        Penalties of the leaf values.
    min_gain : float
        Gain that a split needs.
    extra_trees : bool
        Whether each split tries one random threshold a feature instead of all.
    max_bin : int
        Bins of a feature's histogram.
    patience : int
        Rounds without a better validation loss before training stops; 0 grows all, which
        measures better where calibration follows (decision 0040).
    class_weight_exponent : float
        0 leaves the classes as they are, 1 weighs them alike.
    """

    rounds: int = 250
    learning_rate: float = 0.06
    leaves: int = 15
    min_data_in_leaf: int = 10
    min_hessian_in_leaf: float = 0.001
    feature_fraction: float = 0.3
    row_fraction: float = 0.8
    l1: float = 0.0
    l2: float = 1.0
    min_gain: float = 0.0
    extra_trees: bool = False
    max_bin: int = 127
    patience: int = 0
    class_weight_exponent: float = 1.0


class LightGBMBooster:
    """One LightGBM booster over all classes.

    Where validation rows are given and `LightGBMConfig.patience` is not 0, the rounds up
    to the lowest loss on them are kept.

    Parameters
    ----------
    config : LightGBMConfig, optional
        Settings.

    References
    ----------
    Ke et al. 2017, Advances in Neural Information Processing Systems 30, 3146.
    """

    def __init__(self, config: LightGBMConfig | None = None) -> None:
        self.config = LightGBMConfig() if config is None else config
        self._classes: tuple[str, ...] = ()
        self._text = ""
        self._forest: Forest | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes trained on, in the order of the taxonomy."""
        return self._classes

    @property
    def text(self) -> str:
        """The model in LightGBM's text format; ``lightgbm.Booster(model_str=...)`` reads it."""
        self._fitted()
        return self._text

    @property
    def n_rounds(self) -> int:
        """Boosting rounds kept."""
        forest = self._fitted()
        return len(forest.root) // forest.n_outputs

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
        """Train on rows; see `Classifier.fit`."""
        X, labels, weight = check_training(X, labels, sample_weight, groups)
        classes, code = encode_labels(labels)
        two_classes(classes)
        held = check_validation(validation, groups, classes, X.shape[1])
        held_rows = None
        if held is not None and held.sample_weight is not None:
            held_code = np.array([classes.index(name) for name in held.labels])
            held_rows = (held.X, held_code, np.asarray(held.sample_weight, dtype=np.float64))
        self._text = grow_lightgbm(
            X, code, weight, held_rows, self.config, seed=seed, jobs=jobs, progress=progress
        )
        self._forest = read_forest(self._text)
        self._classes = classes
        return self

    def predict_proba(
        self, X: NDArray[np.float32], redshift: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """Class probabilities of rows; see `Classifier.predict_proba`."""
        forest = self._fitted()
        return softmax(forest.raw(check_rows(X, forest.n_features)))

    def save(self, folder: Path) -> None:
        """Write ``classifier.json`` and ``booster.txt.gz``; see `Classifier.save`."""
        self._fitted()
        write_text(folder / "booster.txt.gz", self._text)
        write_state(folder / "classifier.json", {"kind": "lightgbm", "classes": list(self._classes)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; see `Classifier.load`."""
        state = read_state(folder / "classifier.json", "classes")
        booster = cls()
        booster._classes = tuple(state["classes"])
        booster._text = read_text(folder / "booster.txt.gz")
        booster._forest = read_forest(booster._text)
        n_classes, n_outputs = len(booster._classes), booster._forest.n_outputs
        if n_outputs != (1 if n_classes == 2 else n_classes):
            raise BundleError(f"{folder}: {n_classes} classes, but trees for {n_outputs} outputs")
        return booster

    def _fitted(self) -> Forest:
        if self._forest is None:
            raise not_fitted("LightGBMBooster")
        return self._forest


def grow_lightgbm(
    X: NDArray[np.float32],
    code: NDArray[np.int64],
    weight: NDArray[np.float64],
    held: tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]] | None,
    config: LightGBMConfig,
    *,
    seed: int,
    jobs: int = 1,
    progress: Progress | None = None,
) -> str:
    """Grow a booster.

    Parameters
    ----------
    X : float32 array, shape (n_rows, n_features)
        Rows.
    code : int64 array, shape (n_rows,)
        Class number of each row; every number from 0 up occurs, at least two.
    weight : float64 array, shape (n_rows,)
        Weight of each row, before class weights.
    held : tuple of arrays, optional
        Validation rows, their class numbers and weights, for early stopping.
    config : LightGBMConfig
        Settings.
    seed : int
        Seed of the draws of rows and features.
    jobs : int
        Threads; the trees do not depend on it.
    progress : callable, optional
        Called with ``"classifier"`` and the fraction of rounds done.

    Returns
    -------
    str
        Compact model text; two classes share one tree a round, whose score is the log-odds
        of class 1.
    """
    import lightgbm

    params = _parameters(config, int(code.max()) + 1, seed, jobs)
    training = lightgbm.Dataset(
        X, code, weight=class_weights(code, config.class_weight_exponent, weight), params=params
    )
    callbacks: list[Any] = [] if progress is None else [_round_reporter(progress)]
    validation = []
    if held is not None and config.patience > 0:
        held_X, held_code, held_weight = held
        validation = [training.create_valid(held_X, held_code, weight=held_weight)]
        callbacks.append(lightgbm.early_stopping(config.patience, verbose=False))
    booster = lightgbm.train(params, training, config.rounds, valid_sets=validation, callbacks=callbacks)
    return compact(booster.model_to_string(num_iteration=booster.best_iteration if validation else -1))


def _parameters(config: LightGBMConfig, n_classes: int, seed: int, jobs: int) -> dict[str, Any]:
    objective: dict[str, Any] = {"objective": "binary", "metric": "binary_logloss"}
    if n_classes > 2:
        objective = {"objective": "multiclass", "metric": "multi_logloss", "num_class": n_classes}
    return objective | {
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_data_in_leaf,
        "min_sum_hessian_in_leaf": config.min_hessian_in_leaf,
        "feature_fraction": config.feature_fraction,
        "bagging_fraction": config.row_fraction,
        "bagging_freq": 1 if config.row_fraction < 1.0 else 0,
        "lambda_l1": config.l1,
        "lambda_l2": config.l2,
        "min_gain_to_split": config.min_gain,
        "extra_trees": config.extra_trees,
        "max_bin": config.max_bin,
        "feature_pre_filter": False,
        "seed": seed,
        "deterministic": True,  # with a fixed histogram layout: same seed, same trees
        "force_row_wise": True,
        "num_threads": jobs,
        "verbosity": -1,
    }


def _round_reporter(progress: Progress) -> Any:
    def report(env: Any) -> None:
        progress("classifier", (env.iteration + 1) / env.end_iteration)

    return report
