"""Splits by object, and guards against leaks between their sides."""

from firstlight.splits.leakage import check_columns, check_disjoint, check_near_duplicates
from firstlight.splits.split import Fold, hash_fraction, hash_split, stratified_folds, validation_part

__all__ = [
    "Fold",
    "check_columns",
    "check_disjoint",
    "check_near_duplicates",
    "hash_fraction",
    "hash_split",
    "stratified_folds",
    "validation_part",
]
