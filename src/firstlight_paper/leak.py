"""The paper's protocol, to demonstrate its leak: classes are balanced by copies before the split.

Latents and booster are those of the honest columns: the difference is the leak alone. Only columns named
"its protocol" may use this module; an import contract holds that.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstlight.classify import SklearnBoosterConfig, TrainingRows
from firstlight.classify.balance import oversample
from firstlight_paper.models import PLAIN, boosted, proba_of
from firstlight_paper.objects import Objects


class LeakyRows(NamedTuple):
    """Objects by position, many of them on both sides; `shared` is the share of test rows trained on too."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    shared: float

    def counts(self) -> dict[str, float]:
        """Numbers of rows, and the share `shared`."""
        return {"n_train": len(self.train), "n_test": len(self.test), "shared": self.shared}


def leaky_rows(
    labels: NDArray[np.str_], rng: np.random.Generator, *, test_share: float = 0.2, most: int | None = None
) -> LeakyRows:
    """Bring every class to the size of the largest by copying objects, then split rows at random."""
    rows = oversample(labels, rng, object_id=np.arange(len(labels)), held_out=[])
    rows = rng.permutation(rows)[:most]
    n_test = round(test_share * len(rows))
    test, train = rows[:n_test], rows[n_test:]
    return LeakyRows(train, test, float(np.isin(test, train).mean()))


def fit_leaky(
    objects: Objects,
    X: NDArray[np.float32],
    rows: LeakyRows,
    config: SklearnBoosterConfig = PLAIN,
    seed: int = 0,
) -> Any:
    """The paper's booster, trained on rows whose objects are tested on too."""
    return boosted(TrainingRows(X[rows.train], objects.labels[rows.train]), config, seed=seed)


def leaky_proba(
    objects: Objects, X: NDArray[np.float32], rows: LeakyRows, *settings: Any
) -> NDArray[np.float64]:
    """Its probabilities of the test rows, shape (n_rows, 17); `settings` as in `fit_leaky`."""
    return proba_of(fit_leaky(objects, X, rows, *settings), X[rows.test])
