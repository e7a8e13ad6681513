"""LightGBM boosters: grown by LightGBM, stored as its text, evaluated by `Forest`.

LightGBM is imported for training only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from firstlight._types import Float32Array, FloatArray, Progress, no_progress
from firstlight.classify.balance import class_weights
from firstlight.classify.forest import softmax
from firstlight.classify.lightgbm_text import compact, read_covers, read_forest
from firstlight.classify.protocol import Booster, SavedClasses, check_outputs
from firstlight.classify.reasons import Decision, decide
from firstlight.classify.rows import CodedRows, TrainingRows, check_rows, coded_split
from firstlight.classify.space import SearchSpace, Tunable
from firstlight.storage import read_text, write_state, write_text

# LightGBM's defaults, which no measurement has improved on.
_MIN_HESSIAN_IN_LEAF = 0.001
_L1 = 0.0
_MIN_GAIN = 0.0
_L2 = 1.0


@dataclass(frozen=True, kw_only=True)
class LightGBMConfig:
    """Settings of a LightGBM booster.

    Presets differ in `rounds`, `learning_rate`, `leaves`, `feature_fraction`, `max_bin` and
    `class_weight_exponent`; the others are worth trying on one's own data.

    Attributes
    ----------
    rounds : int
        Maximum number of boosting rounds; each grows one tree per class.
    learning_rate : float
        Shrinkage of each round.
    leaves : int
        Maximum number of leaves per tree.
    min_data_in_leaf : int
        Minimum number of rows per leaf; copies of an object count singly.
    feature_fraction : float
        Fraction of features drawn for each tree.
    row_fraction : float
        Fraction of rows drawn in each round.
    extra_trees : bool
        Whether each split tries one random threshold per feature instead of all.
    max_bin : int
        Bins per feature histogram.
    patience : int
        Rounds without a better validation loss before training stops; 0 grows all, which
        scores better where calibration follows (decision 0040).
    class_weight_exponent : float
        0 keeps the classes as they are, 1 gives them equal total weight.
    """

    RETIRED: ClassVar = {"min_hessian_in_leaf": 0.001, "l1": 0.0, "l2": 1.0, "min_gain": 0.0}
    #: Settings that `firstlight tune` searches. The number of rounds is tuned, so none is stopped early.
    SEARCH_SPACE: ClassVar = SearchSpace(
        settings=(
            Tunable(
                name="rounds", words="boosting rounds", low=30, high=300, log=True, integer=True, least=1
            ),
            Tunable(name="learning_rate", words="learning rate", low=0.03, high=0.3, log=True),
            Tunable(name="leaves", words="leaves per tree", low=7, high=127, log=True, integer=True, least=2),
            Tunable(
                name="min_data_in_leaf",
                words="minimum rows per leaf",
                low=3,
                high=100,
                log=True,
                integer=True,
                least=1,
            ),
            Tunable(
                name="feature_fraction", words="fraction of features per tree", low=0.05, high=1.0, log=True
            ),
            Tunable(name="row_fraction", words="fraction of rows per round", low=0.4, high=1.0, least=1e-3),
        ),
        fixed={"patience": 0},
    )

    rounds: int = 250
    learning_rate: float = 0.06
    leaves: int = 15
    min_data_in_leaf: int = 10
    feature_fraction: float = 0.3
    row_fraction: float = 0.8
    extra_trees: bool = False
    max_bin: int = 127
    patience: int = 0
    class_weight_exponent: float = 1.0


class LightGBMBooster(Booster):
    """One LightGBM booster over all classes (Ke et al. 2017, NeurIPS 30, 3146).

    With held-out rows and `LightGBMConfig.patience` above 0, the rounds up to the lowest
    held-out loss are kept.
    """

    def __init__(self, config: LightGBMConfig | None = None) -> None:
        self.config = LightGBMConfig() if config is None else config
        super().__init__()
        self._text = ""

    @property
    def text(self) -> str:
        """The model in LightGBM's text format; ``lightgbm.Booster(model_str=...)`` reads it."""
        self._fitted()
        return self._text

    def fit(
        self,
        rows: TrainingRows,
        held: TrainingRows | None = None,
        *,
        seed: int = 0,
        jobs: int = 1,
        progress: Progress = no_progress,
    ) -> Self:
        """See `Classifier.fit`."""
        classes, coded, held_rows = coded_split(rows, held)
        self._text = grow_lightgbm(coded, held_rows, self.config, seed=seed, jobs=jobs, progress=progress)
        self._forest = read_forest(self._text)
        self._classes = classes
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
        """A booster with these trees and further ones, grown on rows of all of its classes."""
        made = type(self)(config)
        made._text = grow_lightgbm(
            rows.coded(self._classes), None, config, seed=seed, jobs=jobs, start=self.text
        )
        made._forest, made._classes = read_forest(made._text), self._classes
        return made

    def predict_proba(self, X: Float32Array, redshift: FloatArray | Float32Array | None = None) -> FloatArray:
        """See `Classifier.predict_proba`."""
        forest = self._fitted()
        return softmax(forest.raw(check_rows(X, forest.n_features)))

    def decisions(self, x: Float32Array, redshift: float) -> tuple[Decision, ...]:
        """See `reasons.Explains`."""
        return decide("class", self.classes, self._fitted(), read_covers(self._text), x)

    def save(self, folder: Path) -> None:
        """Write ``classifier.json`` and ``booster.txt.gz``; see `Classifier.save`."""
        self._fitted()
        write_text(folder / "booster.txt.gz", self._text)
        write_state(folder / "classifier.json", {"kind": "lightgbm", "classes": list(self._classes)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the files of `save`; see `Classifier.load`."""
        booster = cls()
        booster._classes = SavedClasses.read(folder / "classifier.json")
        path = folder / "booster.txt.gz"
        booster._text = read_text(path)
        booster._forest = read_forest(booster._text, path)
        check_outputs(booster._forest, len(booster._classes), path)
        return booster


def grow_lightgbm(
    rows: CodedRows,
    held: CodedRows | None,
    config: LightGBMConfig,
    *,
    seed: int,
    jobs: int = 1,
    progress: Progress = no_progress,
    start: str = "",
) -> str:
    """Grow a booster; compact model text.

    Every class number of `rows` from 0 up occurs, and there are at least two; with two, one
    tree per round gives the log-odds of class 1. The trees do not depend on `jobs`. Those of the text
    `start`, of the same classes, stay and come first.
    """
    import lightgbm

    params = _parameters(config, int(rows.code.max()) + 1, seed, jobs)
    weight = class_weights(rows.code, config.class_weight_exponent, rows.weight)
    training = lightgbm.Dataset(rows.X, rows.code, weight=weight, params=params)
    callbacks: list[Any] = [
        lambda round_: progress("classifier", (round_.iteration + 1) / round_.end_iteration)
    ]
    validation = []
    if held is not None and config.patience > 0:
        validation = [training.create_valid(held.X, held.code, weight=held.weight)]
        callbacks.append(lightgbm.early_stopping(config.patience, verbose=False))
    booster = lightgbm.train(
        params,
        training,
        config.rounds,
        valid_sets=validation,
        callbacks=callbacks,
        init_model=lightgbm.Booster(model_str=start) if start else None,
    )
    return compact(booster.model_to_string(num_iteration=booster.best_iteration if validation else -1))


def _parameters(config: LightGBMConfig, n_classes: int, seed: int, jobs: int) -> dict[str, Any]:
    objective: dict[str, Any] = {"objective": "binary", "metric": "binary_logloss"}
    if n_classes > 2:
        objective = {"objective": "multiclass", "metric": "multi_logloss", "num_class": n_classes}
    return objective | {
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_data_in_leaf,
        "min_sum_hessian_in_leaf": _MIN_HESSIAN_IN_LEAF,
        "feature_fraction": config.feature_fraction,
        "bagging_fraction": config.row_fraction,
        "bagging_freq": 1 if config.row_fraction < 1.0 else 0,
        "lambda_l1": _L1,
        "lambda_l2": _L2,
        "min_gain_to_split": _MIN_GAIN,
        "extra_trees": config.extra_trees,
        "max_bin": config.max_bin,
        "feature_pre_filter": False,
        "seed": seed,
        "deterministic": True,  # with a fixed histogram layout: same seed, same trees
        "force_row_wise": True,
        "num_threads": jobs,
        "verbosity": -1,
    }
