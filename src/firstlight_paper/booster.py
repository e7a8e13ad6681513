"""The paper's classifier on rows of one fold: fit on its learning objects, probabilities of the others."""

import numpy as np
from numpy.typing import NDArray

from firstlight.classify import SklearnBooster, SklearnBoosterConfig, TrainingRows, to_all_classes
from firstlight_paper.leak import LeakyRows
from firstlight_paper.objects import Objects

__all__ = ["PLAIN", "fit_fold", "fit_leaky", "fold_proba", "leaky_proba"]

#: The paper's booster as the preset ``seed`` has it, without help for rare classes.
PLAIN = SklearnBoosterConfig(class_weight_exponent=0.0)


def fit_fold(
    objects: Objects, X: NDArray[np.float32], k: int, config: SklearnBoosterConfig, seed: int = 0
) -> SklearnBooster:
    """Train on the objects that fold `k` may learn from; its held-out tenth stops the boosting.

    Parameters
    ----------
    objects : Objects
        Labels and folds.
    X : float32 array, shape (n_objects, n_features)
        One row an object, such as its latents, made without the fold's test objects.
    k : int
        Fold.
    config : SklearnBoosterConfig
        Settings; class weights and oversampling act on training rows only.
    seed : int
        Seed of rows and features drawn.
    """
    fold, names = objects.folds[k], objects.curves.object_id
    held = fold.validation
    return SklearnBooster(config).fit(
        TrainingRows(X[fold.train], objects.labels[fold.train], object_id=names[fold.train]),
        TrainingRows(X[held], objects.labels[held], object_id=names[held]),
        seed=seed,
    )


def fold_proba(
    objects: Objects, X: NDArray[np.float32], k: int, config: SklearnBoosterConfig = PLAIN, seed: int = 0
) -> NDArray[np.float64]:
    """Probabilities of fold `k`'s test objects, shape (n_test, 17); see `fit_fold`."""
    model = fit_fold(objects, X, k, config, seed)
    return to_all_classes(model.predict_proba(X[objects.folds[k].test]), model.classes)


def fit_leaky(
    objects: Objects,
    X: NDArray[np.float32],
    rows: LeakyRows,
    config: SklearnBoosterConfig = PLAIN,
    seed: int = 0,
) -> SklearnBooster:
    """Train by the paper's protocol: on rows whose objects are tested on too."""
    return SklearnBooster(config).fit(TrainingRows(X[rows.train], objects.labels[rows.train]), seed=seed)


def leaky_proba(
    objects: Objects,
    X: NDArray[np.float32],
    rows: LeakyRows,
    config: SklearnBoosterConfig = PLAIN,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Probabilities of the test rows by the paper's protocol, shape (n_rows, 17)."""
    model = fit_leaky(objects, X, rows, config, seed)
    return to_all_classes(model.predict_proba(X[rows.test]), model.classes)
