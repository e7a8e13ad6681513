"""Splits by object, and guards against leaks between their sides."""

from firstlight.splits.leakage import (
    check_columns,
    check_disjoint,
    check_distinct,
    check_near_duplicates,
    twins,
    twins_note,
)
from firstlight.splits.split import (
    Fold,
    fold_numbers,
    hash_fraction,
    hash_split,
    stratified_folds,
    validation_part,
)

__all__ = [
    "Fold",
    "check_columns",
    "check_disjoint",
    "check_distinct",
    "check_near_duplicates",
    "fold_numbers",
    "hash_fraction",
    "hash_split",
    "stratified_folds",
    "twins",
    "twins_note",
    "validation_part",
]
