"""Claims of the texts: every comparative sentence cites one, an inequality over the score table.

A text states it where it is used: ``{{ holds("r is missed most", lost("bands ugizy") > ...) }}``. A rerun
that contradicts a claim marks its sentence on the page and, at full scale, ends with an error.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jinja2
import numpy as np

from firstlight_paper.scores import REAL, Spread
from firstlight_paper.view import View

_CONTRADICTED = " **(This run contradicts this sentence.)**"
_UNKNOWN = " (Not measured in this run.)"


class Unknown(jinja2.Undefined):
    """A number that a run lacks: all that is computed from it is unknown too, and it shows as a dash."""

    def _self(self, *args: object, **kwargs: object) -> "Unknown":
        return self

    def __getattr__(self, name: str) -> "Unknown":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __str__(self) -> str:
        return "-"

    def __hash__(self) -> int:
        return 0

    __getitem__ = __call__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _self  # type: ignore[assignment]
    __truediv__ = __rtruediv__ = __lt__ = __gt__ = __le__ = __ge__ = __eq__ = __ne__ = __abs__ = _self  # type: ignore[assignment]


class Claims:
    """Comparisons that a text may make, and the verdict on each claim."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.verdicts: dict[str, bool | None] = {}

    def holds(self, claim: str, verdict: Any) -> str:
        """Nothing if the claim holds; else a note after the sentence that rests on it."""
        known = None if isinstance(verdict, Unknown) else bool(verdict)
        self.verdicts[claim] = known
        if self.view.about.scale != "full":  # the text describes the full run
            return ""
        return {True: "", False: _CONTRADICTED, None: _UNKNOWN}[known]

    def beyond(
        self, sign: int, variant: str, against: str, metric: str, subset: int = 16, column: str | None = None
    ) -> Any:
        """Whether a difference, fold by fold, is more than twice its spread in the direction of `sign`."""
        change = self._change(variant, metric, subset, column, against)
        return sign * change.mean > 2.0 * _std(change) if _known(change) else Unknown()

    def within(self, variant: str, against: str, metric: str, subset: int = 16) -> Any:
        """Whether a difference, fold by fold, is at most twice its spread."""
        change = self._change(variant, metric, subset, None, against)
        return abs(change.mean) <= 2.0 * _std(change) if _known(change) else Unknown()

    def every(self, sign: int, variant: str, against: str, metric: str, subset: int = 16) -> Any:
        """Whether a difference has the same sign in every fold."""
        change = self._change(variant, metric, subset, None, against)
        return all(sign * value > 0.0 for value in change.folds) if _known(change) else Unknown()

    def falls(self, variants: Sequence[str]) -> Any:
        """Whether accuracy on real objects falls from each variant to the next (``part::variant``)."""
        found = [self._accuracy(name) for name in variants]
        return all(a > b for a, b in pairwise(found)) if all(map(np.isfinite, found)) else Unknown()

    def lost(self, variant: str) -> Any:
        """Accuracy on real objects that a change costs our pipeline."""
        lost = self._accuracy("ours::whole") - self._accuracy(variant)
        return lost if np.isfinite(lost) else Unknown()

    def near(self, first: Any, second: Any, most: Any) -> Any:
        """Whether two numbers differ by `most` or less."""
        return abs(first - second) <= most

    def _change(self, variant: str, metric: str, subset: int, column: str | None, against: str) -> Spread:
        return self.view.spread(variant, metric, subset, column, against=against)

    def _accuracy(self, name: str) -> float:
        part, _, variant = name.rpartition("::")
        return self.view.spread(variant, "accuracy", REAL, part=part or None).mean


def _known(change: Spread) -> bool:
    return bool(np.isfinite(change.mean))


def _std(change: Spread) -> float:
    return float(np.nan_to_num(change.std))
