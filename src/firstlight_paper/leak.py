"""The paper's protocol, as a demonstration of what leaks: classes balanced before the split.

Oversampling first and splitting rows afterwards puts copies of the same object on both
sides, so that a classifier is tested on what it has learnt by heart. Everything else, the
latents included, is the same as in the honest columns: the difference is the leak alone.

**Nothing outside the columns named "its protocol" may use this module.**
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstlight.classify import oversample

__all__ = ["LeakyRows", "leaky_rows"]


class LeakyRows(NamedTuple):
    """Objects by position, many of them on both sides.

    Attributes
    ----------
    train, test : int64 array
        Position of each row's object.
    shared : float
        Fraction of the test rows whose object is trained on too.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    shared: float

    def counts(self) -> dict[str, float]:
        """How many rows were trained and tested on, and the fraction `shared`, for the JSON."""
        return {"n_train": len(self.train), "n_test": len(self.test), "shared": self.shared}


def leaky_rows(
    labels: NDArray[np.str_],
    rng: np.random.Generator,
    *,
    test_share: float = 0.2,
    most: int | None = None,
) -> LeakyRows:
    """Bring every class to the size of the largest by copying objects, then split rows at random.

    Parameters
    ----------
    labels : str array, shape (n_objects,)
        Class of each object.
    rng : numpy.random.Generator
        Source of copies and split.
    test_share : float
        Part of the rows that is tested on.
    most : int, optional
        Keep no more rows than this (at random), to bound the cost; by default all.

    Returns
    -------
    LeakyRows
        Rows to train and to test on.
    """
    rows = oversample(labels, rng, object_id=np.arange(len(labels)), held_out=[])
    rows = rng.permutation(rows)[:most]
    n_test = round(test_share * len(rows))
    test, train = rows[:n_test], rows[n_test:]
    return LeakyRows(train, test, float(np.isin(test, train).mean()))
