"""The score table: one row per part, variant, fold, column, subset and metric."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstlight.errors import DataError
from firstlight.files import replacing
from firstlight.metrics.curves import roc_auc, roc_curve
from firstlight.metrics.scores import present_classes, score, truth_index
from firstlight.taxonomy import CLASSES
from firstlight_paper.objects import PAPER_CLASSES, PAPER_COLUMNS

#: The paper prints the first five for its whole test set.
HEADLINE = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc", "log_loss")
SHORT = ("accuracy", "macro_f1", "macro_auc", "log_loss")
PER_CLASS = ("precision", "recall", "f1", "auc")

#: Subsets of the test objects: all sixteen classes, the thirteen with real objects, or neither.
ALL, REAL, NONE = 16, 13, 0

#: Values of `Row.fold` that are no single fold.
MEAN, STD, WHOLE = "mean", "std", ""

Values = dict[tuple[str, int, str], float]


class Row(NamedTuple):
    """One number of the table."""

    part: str
    variant: str
    fold: str  # from 1, or `MEAN`, `STD`, `WHOLE`
    column: str  # printed, protocol (leaks), design or ours; empty for rows that are no classifier's score
    subset: int
    metric: str  # ``recall:TDE`` for one class
    value: float  # finite


class Spread(NamedTuple):
    """Mean and sample standard deviation over folds; NaN where unknown."""

    mean: float
    std: float
    folds: tuple[float, ...] = ()

    def text(self, digits: int = 3, sign: str = "", scale: float = 1.0) -> str:
        """The mean with its spread, such as ``0.916 ± 0.006``; a dash if there is none."""
        if not math.isfinite(self.mean):
            return "-"
        mean = f"{scale * self.mean:{sign}.{digits}f}"
        return mean if not math.isfinite(self.std) else f"{mean} ± {scale * self.std:.{digits}f}"


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of the finite values.

    >>> spread([0.8, 0.9]).text()
    '0.850 ± 0.071'
    """
    known = tuple(float(value) for value in values if math.isfinite(value))
    mean = float(np.mean(known)) if known else math.nan
    return Spread(mean, float(np.std(known, ddof=1)) if len(known) > 1 else math.nan, known)


def scored(
    column: str,
    labels: NDArray[np.str_],
    proba: NDArray[np.float64],
    simulated: NDArray[np.bool_],
    metrics: Sequence[str] = HEADLINE,
    per_class: Sequence[str] = (),
) -> Values:
    """Defined scores over all sixteen classes (there also `per_class`) and over real objects alone."""
    proba = proba[:, PAPER_COLUMNS] if proba.shape[1] == len(CLASSES) else proba
    found: Values = {}
    for subset, kept in ((ALL, slice(None)), (REAL, ~simulated)):
        some = proba[kept]
        result = score(labels[kept], some / some.sum(axis=1, keepdims=True), PAPER_CLASSES)
        found |= {(column, subset, name): result[name] for name in (*metrics, "n_objects")}
        if subset == ALL:
            for name, row in result["per_class"].items():
                found |= {(column, ALL, f"{metric}:{name}"): row[metric] for metric in per_class}
    return {key: float(value) for key, value in found.items() if value is not None and math.isfinite(value)}


def confusion(labels: NDArray[np.str_], proba: NDArray[np.float64]) -> list[list[int]]:
    """Objects by true (rows) and most probable class, both `PAPER_CLASSES`."""
    proba = proba[:, PAPER_COLUMNS] if proba.shape[1] == len(CLASSES) else proba
    n = len(PAPER_CLASSES)
    truth = np.array([PAPER_CLASSES.index(name) for name in labels.tolist()], dtype=np.int64)
    counts = np.bincount(truth * n + proba.argmax(axis=1), minlength=n * n).reshape(n, n)
    return [[int(cell) for cell in row] for row in counts]


class Scores:
    """All rows of a table, found by their measure."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._values: dict[tuple[str, str, str, int, str], dict[str, float]] = {}
        self.add(rows)

    def __iter__(self) -> Iterator[Row]:
        """Rows, those of one score together."""
        for (part, variant, column, subset, metric), folds in self._values.items():
            for fold, value in folds.items():
                yield Row(part, variant, fold, column, subset, metric, value)

    def __len__(self) -> int:
        """Number of rows."""
        return sum(map(len, self._values.values()))

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows; a row with the same keys is replaced."""
        for row in rows:
            if not math.isfinite(row.value):
                continue
            key = (row.part, row.variant, row.column, row.subset, row.metric)
            self._values.setdefault(key, {})[row.fold] = row.value

    def drop(self, part: str) -> None:
        """Remove all rows of a part."""
        self._values = {key: folds for key, folds in self._values.items() if key[0] != part}

    def folds(self, part: str, variant: str, column: str, subset: int, metric: str) -> Mapping[str, float]:
        """Fold to value; empty if there is no such row."""
        return self._values.get((part, variant, column, subset, metric), {})

    def spread(self, part: str, variant: str, column: str, subset: int, metric: str) -> Spread:
        """Mean and spread over folds."""
        folds = self.folds(part, variant, column, subset, metric)
        if MEAN in folds:
            return Spread(folds[MEAN], folds.get(STD, math.nan))
        return spread(list(folds.values()))

    def parts(self) -> set[str]:
        """Names of the parts that have rows."""
        return {key[0] for key in self._values}

    def write(self, path: Path) -> None:
        """Write the table as CSV, as a whole or not at all."""
        with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(Row._fields)
            for row in self:
                writer.writerow([*row[:4], row.subset or "", row.metric, f"{row.value:.6g}"])

    @classmethod
    def read(cls, path: Path) -> "Scores":
        """Read a table."""
        try:
            with path.open(encoding="utf-8", newline="") as file:
                lines = list(csv.reader(file))
            if not lines or tuple(lines[0]) != Row._fields:
                raise ValueError(f"its first line must be {','.join(Row._fields)}")
            return cls(
                Row(part, variant, fold, column, int(subset or 0), metric, float(value))
                for part, variant, fold, column, subset, metric, value in lines[1:]
            )
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read the scores of {path}: {error}") from error


#: False positive rates at which ROC curves are kept: dense where the curve is read.
RATES = np.unique(np.concatenate([[0.0], np.logspace(-3.5, 0.0, 52), np.linspace(0.04, 1.0, 25)]).round(5))


def averaged_roc(
    labels: NDArray[np.str_], proba: NDArray[np.float64]
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """True positive rates at `RATES`, pooled over classes (micro) and averaged (macro); AUC of the first."""
    proba = proba[:, PAPER_COLUMNS] if proba.shape[1] == len(CLASSES) else proba
    truth, present = truth_index(labels, PAPER_CLASSES), present_classes(labels, PAPER_CLASSES)
    columns = truth_index(np.array(present), PAPER_CLASSES)
    pooled = (truth[:, None] == columns).ravel(), proba[:, columns].ravel()
    curves = [roc_curve(truth == k, proba[:, k]) for k in columns] + [roc_curve(*pooled)]
    rates = [np.interp(RATES, curve.x, curve.y) for curve in curves]
    return {"micro": rates[-1].round(4), "macro": np.mean(rates[:-1], axis=0).round(4)}, roc_auc(*pooled)
