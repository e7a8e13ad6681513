"""Splits by object, made before anything else (no leak).

All copies of an object fall on one side. The split by a hash of the name does not change
when objects are added; cross-validation spreads the objects of each class over the folds.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstlight.errors import DataError

#: Salt of this project's split; another salt gives another, unrelated split.
SALT = "firstlight"


class Fold(NamedTuple):
    """Positions of the rows of three disjoint sets of objects.

    Attributes
    ----------
    train : int64 array
        Rows to fit models on: encoder, scaling, classifier, resampling.
    validation : int64 array
        Rows for early stopping, calibration and choices of settings.
    test : int64 array
        Rows that nothing is fitted on or chosen by.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def hash_fraction(object_id: Sequence[str] | NDArray[np.str_], salt: str = SALT) -> NDArray[np.float64]:
    """Map each name to a number in [0, 1): the first 53 bits of its SHA-256, on every platform.

    Parameters
    ----------
    object_id : sequence of str, shape (n_objects,)
        Names of the objects.
    salt : str
        Another salt gives another split.

    Returns
    -------
    float64 array, shape (n_objects,)
        Uniform in [0, 1); equal names have equal values.

    Examples
    --------
    >>> hash_fraction(["615", "713"]).round(6).tolist()
    [0.130566, 0.249499]
    """
    prefix = hashlib.sha256(f"{salt}\0".encode())

    def digest(name: str) -> bytes:
        state = prefix.copy()
        state.update(name.encode())
        return state.digest()[:8]

    heads = b"".join([digest(name) for name in np.asarray(object_id, dtype=np.str_).tolist()])
    return np.asarray((np.frombuffer(heads, dtype=">u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def hash_split(
    object_id: Sequence[str] | NDArray[np.str_],
    *,
    train: float = 0.6,
    validation: float = 0.2,
    salt: str = SALT,
) -> Fold:
    """Fixed split of objects by the hash of their names: 60 % / 20 % / 20 %.

    Parameters
    ----------
    object_id : sequence of str, shape (n_rows,)
        Names; rows of equal names stay together.
    train, validation : float
        Fractions; the rest is the test set.
    salt : str
        Another salt gives another split.

    Returns
    -------
    Fold
        Positions of the rows, ascending.

    Raises
    ------
    DataError
        If the fractions are negative or leave nothing for the test.
    """
    if min(train, validation) < 0.0 or train + validation >= 1.0:
        raise DataError(
            f"fractions {train:g} + {validation:g} leave nothing to test on; their sum must be below 1"
        )
    place = hash_fraction(object_id, salt)
    return Fold(
        np.flatnonzero(place < train),
        np.flatnonzero((place >= train) & (place < train + validation)),
        np.flatnonzero(place >= train + validation),
    )


def stratified_folds(
    object_id: Sequence[str] | NDArray[np.str_],
    labels: Sequence[str] | NDArray[np.str_],
    n_folds: int = 5,
    *,
    rng: np.random.Generator,
    validation: float = 0.2,
    salt: str = SALT,
) -> list[Fold]:
    """Cross-validate over objects, with every class spread evenly over the folds.

    The shuffled objects of each class go to the folds in turn, each class continuing where
    the last one stopped: counts per class, and sizes of folds, differ by at most one. The
    result depends on names and labels, not on the order of rows. Within each training part,
    `validation_part` sets objects aside.

    Parameters
    ----------
    object_id : sequence of str, shape (n_rows,)
        Names; a name may repeat (copies of an object).
    labels : sequence of str, shape (n_rows,)
        Class of each row, the same for all rows of an object.
    n_folds : int
        Number of folds.
    rng : numpy.random.Generator
        Shuffles the objects of each class.
    validation : float
        Fraction of each training part kept for early stopping and calibration.
    salt : str
        Another salt gives other validation objects.

    Returns
    -------
    list of Fold
        Every row is in exactly one test part.

    Raises
    ------
    DataError
        If an object has two labels, or there are fewer objects than folds.
    """
    object_id, labels = np.asarray(object_id, dtype=np.str_), np.asarray(labels, dtype=np.str_)
    names, own_label, row_name = _one_label_each(object_id, labels)
    if n_folds < 2 or len(names) < n_folds:
        raise DataError(
            f"{n_folds} folds of {len(names)} object(s): need 2 folds or more, and an object in each"
        )
    fold_of_name = np.empty(len(names), dtype=np.int64)
    dealt = 0
    for label in np.unique(own_label):
        members = rng.permutation(np.flatnonzero(own_label == label))
        fold_of_name[members] = (dealt + np.arange(len(members))) % n_folds
        dealt += len(members)
    fold_of_row = fold_of_name[row_name]
    folds = []
    for k in range(n_folds):
        learn = np.flatnonzero(fold_of_row != k)
        held = validation_part(object_id[learn], labels[learn], validation, salt)
        folds.append(Fold(learn[~held], learn[held], np.flatnonzero(fold_of_row == k)))
    return folds


def fold_numbers(folds: Sequence[Fold]) -> NDArray[np.int64]:
    """Number of the fold that tests each row, shape (n_rows,)."""
    number = np.empty(sum(len(fold.test) for fold in folds), dtype=np.int64)
    for k, fold in enumerate(folds):
        number[fold.test] = k
    return number


def validation_part(
    object_id: Sequence[str] | NDArray[np.str_],
    labels: Sequence[str] | NDArray[np.str_],
    share: float = 0.2,
    salt: str = SALT,
) -> NDArray[np.bool_]:
    """Set aside the objects of each class that come first in the order of the hash.

    The same objects give the same result. A class of two objects or more has at least one
    on either side.

    Parameters
    ----------
    object_id : sequence of str, shape (n_rows,)
        Names; rows of equal names stay together.
    labels : sequence of str, shape (n_rows,)
        Class of each row, the same for all rows of an object.
    share : float
        Fraction of each class to set aside, at least 0 and below 1.
    salt : str
        Another salt gives another order.

    Returns
    -------
    bool array, shape (n_rows,)
        True for rows to validate on.

    Raises
    ------
    DataError
        If an object has two labels or the fraction is not between 0 and 1.
    """
    if not 0.0 <= share < 1.0:
        raise DataError(f"validation fraction {share:g} is not between 0 and 1")
    names, own_label, row_name = _one_label_each(
        np.asarray(object_id, dtype=np.str_), np.asarray(labels, dtype=np.str_)
    )
    place = hash_fraction(names, f"{salt}\0validation")
    held = np.zeros(len(names), dtype=bool)
    for label in np.unique(own_label) if share > 0.0 else ():
        members = np.flatnonzero(own_label == label)
        n_held = int(np.clip(round(share * len(members)), 1, max(len(members) - 1, 0)))
        held[members[np.argsort(place[members], kind="stable")[:n_held]]] = True
    return held[row_name]


def _one_label_each(
    object_id: NDArray[np.str_], labels: NDArray[np.str_]
) -> tuple[NDArray[np.str_], NDArray[np.str_], NDArray[np.int64]]:
    """Distinct names, their labels, and the position of each row's name."""
    if object_id.shape != labels.shape or object_id.ndim != 1:
        raise DataError(f"{object_id.shape} names and {labels.shape} labels; one label per row is needed")
    names, first, row_name = np.unique(object_id, return_index=True, return_inverse=True)
    own_label = labels[first]
    torn = own_label[row_name] != labels
    if torn.any():
        row = int(np.flatnonzero(torn)[0])
        raise DataError(
            f"object {str(object_id[row])!r} is labelled {str(own_label[row_name[row]])!r} "
            f"and {str(labels[row])!r}; an object has one class"
        )
    return names, own_label, row_name
