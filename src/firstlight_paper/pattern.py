"""Which protocol the printed figures resemble: tested on copies, or on unseen objects."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstlight_paper.printed import PRINTED, PRINTED_F1, PRINTED_PRECISION, PRINTED_RECALL

Array = NDArray[np.float64]

N_PERMUTATIONS, N_RESAMPLINGS = 20_000, 4_000

#: Section 2 of the paper: over half of its objects are SNIa, about a fourth SNII.
PRINTED_SHARE = {"SNIa": 0.5, "SNII": 0.25}
ROUNDING = 0.005  # of figures printed with two digits


class Correlation(NamedTuple):
    """Spearman's `rho`, two-sided `p` by permutation, 95 % interval over resamplings; NaN if constant."""

    rho: float
    p: float
    low: float
    high: float


def rank_correlation(x: Array, y: Array, rng: np.random.Generator) -> Correlation:
    """Rank correlation of paired values (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585, for p)."""
    rho = float(_spearman(x[None], y[None])[0])
    if not np.isfinite(rho):
        return Correlation(np.nan, np.nan, np.nan, np.nan)
    shuffled = rng.permuted(np.tile(y, (N_PERMUTATIONS, 1)), axis=1)
    chance = np.abs(_spearman(x[None], shuffled))
    drawn = rng.integers(0, len(x), (N_RESAMPLINGS, len(x)))
    low, high = np.nanpercentile(_spearman(x[drawn], y[drawn]), [2.5, 97.5])
    p = (1 + np.sum(chance >= abs(rho) - 1e-12)) / (1 + N_PERMUTATIONS)
    return Correlation(rho, float(p), float(low), float(high))


def correlation_difference(
    printed: Array, leak: Array, design: Array, rng: np.random.Generator
) -> dict[str, float]:
    """How much better the leak's F1 follows the printed order than the honest one, over resamplings."""
    drawn = rng.integers(0, len(printed), (N_RESAMPLINGS, len(printed)))
    found = _spearman(printed[drawn], leak[drawn]) - _spearman(printed[drawn], design[drawn])
    found = found[np.isfinite(found)]
    rho = _spearman(printed[None], leak[None])[0] - _spearman(printed[None], design[None])[0]
    low, high = np.percentile(found, [2.5, 97.5])
    return {"difference": float(rho), "low": float(low), "high": float(high)}


def implied(n: Mapping[str, int]) -> dict[str, Any]:
    """Accuracy and sum of predicted shares (which must be one) by the printed recalls and precisions.

    >>> implied({name: 1 for name in PRINTED_F1})["balanced"][0]
    0.891875
    """
    total = sum(n.get(name, 0) for name in PRINTED_F1)
    rest = 1.0 - sum(PRINTED_SHARE.values())
    other = rest / (len(PRINTED_F1) - len(PRINTED_SHARE))
    frequencies = {
        "balanced": dict.fromkeys(PRINTED_F1, 1.0 / len(PRINTED_F1)),
        "objects": {name: n.get(name, 0) / total for name in PRINTED_F1},
        "section_2": {name: PRINTED_SHARE.get(name, other) for name in PRINTED_F1},
    }
    found: dict[str, Any] = {
        key: (
            round(sum(share * PRINTED_RECALL[name] for name, share in table.items()), 7),
            sum(share * PRINTED_RECALL[name] / PRINTED_PRECISION[name] for name, share in table.items()),
        )
        for key, table in frequencies.items()
    }
    best = max(PRINTED_RECALL.values())
    most = sum(share * PRINTED_RECALL[name] for name, share in PRINTED_SHARE.items())
    highest, common = best + ROUNDING, max(PRINTED_RECALL[name] for name in PRINTED_SHARE) + ROUNDING
    ratio = {
        name: (PRINTED_RECALL[name] + ROUNDING) / (PRINTED_PRECISION[name] - ROUNDING) for name in PRINTED_F1
    }
    known = sum(share * ratio[name] for name, share in PRINTED_SHARE.items())
    return found | {
        "section_2_most": most + rest * best,
        "common_most": (highest - PRINTED["accuracy"] + ROUNDING) / (highest - common),
        "predicted_most": known + rest * max(v for name, v in ratio.items() if name not in PRINTED_SHARE),
    }


def _spearman(x: Array, y: Array) -> Array:
    """Rank correlation of every row; NaN where a row is constant."""
    from scipy.stats import rankdata  # here: most commands need none of it

    a, b = (rankdata(values, axis=1) - (values.shape[1] + 1) / 2.0 for values in (x, y))
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((a * b).sum(axis=1) / norm)
