"""The results as texts, tables, figures and claims of a part see them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight_paper.results import Results
from firstlight_paper.scores import ALL, MEAN, STD, Spread, spread


class MissingError(Exception):
    """A number that was not computed in this run."""


class View:
    """Numbers of one part, by variant and metric."""

    def __init__(self, results: Results, part: str, column: str = "ours") -> None:
        self.results = results
        self.part = part
        self.column = column
        self.about = SimpleNamespace(**results.about)
        self.amount = SimpleNamespace(**results.about.get("amounts", {}).get(part, {}))
        self.facts: Any = {}

    def spread(
        self,
        variant: str,
        metric: str,
        subset: int = ALL,
        column: str | None = None,
        part: str | None = None,
        against: str | None = None,
    ) -> Spread:
        """Mean and spread over folds; with `against`, of the difference from that variant fold by fold."""
        where = (self.column if column is None else column, subset, metric)
        scores, part = self.results.scores, part or self.part
        if against is None:
            return scores.spread(part, variant, *where)
        ours = scores.folds(part, variant, *where)
        other_part, _, name = against.rpartition("::")
        theirs = scores.folds(other_part or part, name, *where)
        return spread([ours[fold] - theirs[fold] for fold in ours if fold in theirs])

    def mean(self, variant: str, metric: str, subset: int = ALL, **where: Any) -> float:
        """Mean over folds."""
        found = self.spread(variant, metric, subset, **where).mean
        if not np.isfinite(found):
            raise MissingError(f"{self.part}: {variant}, {metric}")
        return found

    def folds(self, variant: str, metric: str, subset: int = ALL, **where: Any) -> tuple[float, ...]:
        """Values of the single folds."""
        found = self.spread(variant, metric, subset, **where).folds
        if not found:
            raise MissingError(f"{self.part}: {variant}, {metric}")
        return found

    def number(self, variant: str, metric: str, column: str = "", part: str | None = None) -> float:
        """Mean of a number that is no score of a classifier on a subset: a count, a limit, a time."""
        return self.mean(variant, metric, 0, column=column, part=part)

    def has(self, variant: str, metric: str, subset: int = ALL, **where: Any) -> bool:
        """Whether a number was computed."""
        return bool(np.isfinite(self.spread(variant, metric, subset, **where).mean))

    def extra(self, variant: str, part: str | None = None) -> dict[str, Any]:
        """Files kept of a variant beside its scores, by fold."""
        found = self.results.extra(part or self.part).get(variant)
        if not found:
            raise MissingError(f"{part or self.part}: {variant}")
        return found

    def only(self, variant: str, part: str | None = None) -> Any:
        """The same where there is one value for all folds."""
        return next(iter(self.extra(variant, part).values()))

    def confusion(self, variant: str, part: str | None = None) -> NDArray[np.int64]:
        """Confusion matrix, summed over folds."""
        found = [fold["confusion"] for fold in self.extra(variant, part).values() if "confusion" in fold]
        return np.sum(found, axis=0)

    def band(
        self, variant: str, key: str, part: str | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and spread over folds of a curve."""
        found = self.extra(variant, part)
        if MEAN in found:
            mean = np.array(found[MEAN][key], dtype=np.float64)
            return mean, np.array(found[STD][key] if STD in found else np.zeros(len(mean)), dtype=np.float64)
        curves = np.array([fold[key] for fold in found.values() if key in fold], dtype=np.float64)
        return curves.mean(axis=0), curves.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(
            curves.shape[1]
        )
