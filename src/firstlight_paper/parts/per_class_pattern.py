"""Whom the printed figures resemble: a classifier tested on copies, or one tested on unseen objects.

Two independent looks. The first asks which measured F1 puts the classes into the printed
order. The second needs no measurement: accuracy is the recalls' average weighted by class
frequency, so the printed accuracy and recalls tell what the tested rows were made of.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.taxonomy import GALACTIC
from firstlight_paper.printed import PRINTED, PRINTED_F1, PRINTED_PRECISION, PRINTED_RECALL

__all__ = ["find_pattern", "implied", "rank_correlation"]

FloatArray = NDArray[np.float64]

N_PERMUTATIONS = 20_000
N_RESAMPLINGS = 4_000

#: Section 2 of the paper: over half of its objects are SNIa, about a fourth SNII.
PRINTED_SHARE = {"SNIa": 0.5, "SNII": 0.25}
ROUNDING = 0.005  # of figures printed with two digits


def find_pattern(
    n: Mapping[str, int], f1: Mapping[str, Mapping[str, float]], rng: np.random.Generator
) -> dict[str, Any]:
    """Compare the printed F1 of the classes with measured ones and with the copies of each.

    Parameters
    ----------
    n : mapping of str to int
        Objects of each class.
    f1 : mapping
        ``leak``, ``design`` and ``ours``, each class -> F1.
    rng : numpy.random.Generator
        Source of permutations and resamplings.

    Returns
    -------
    dict
        ``copies`` (class -> rows a balanced set has of each object), ``correlation`` (column ->
        `rank_correlation` over all classes and over the extragalactic ones), ``leak_minus_design``
        (difference of the two correlations and the share of resamplings in which it is not
        positive), ``lowest`` (column -> its two lowest classes), ``chance_of_lowest`` and
        ``implied``.
    """
    names = [name for name in PRINTED_F1 if name in n]
    largest = max(n.values())
    copies = {name: largest / n[name] for name in names}
    printed = np.array([PRINTED_F1[name] for name in names])
    columns = {who: np.array([table[name] for name in names]) for who, table in f1.items()}
    columns["copies"] = np.log10([copies[name] for name in names])
    outside = np.array([name not in GALACTIC for name in names])
    correlation = {
        who: {
            "all": rank_correlation(printed, values, rng),
            "extragalactic": rank_correlation(printed[outside], values[outside], rng),
        }
        for who, values in columns.items()
    }
    lowest = {who: _lowest_two(names, columns[who]) for who in f1}
    return {
        "copies": copies,
        "correlation": correlation,
        "leak_minus_design": _difference(printed, columns["leak"], columns["design"], rng),
        "lowest": {"printed": _lowest_two(names, printed)} | lowest,
        "chance_of_lowest": 2.0 / (len(names) * (len(names) - 1)),
        "implied": implied(n),
    }


def rank_correlation(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> dict[str, Any]:
    """Spearman's rank correlation with a p-value by permutation and an interval by resampling.

    Parameters
    ----------
    x, y : float64 array, shape (n,)
        Paired values.
    rng : numpy.random.Generator
        Source of permutations and resamplings.

    Returns
    -------
    dict
        ``rho``; ``p``, the two-sided share of permutations at least as far from zero; ``low`` and
        ``high``, where 95 % of resamplings of the pairs lie; ``n``. All None where a column is
        constant.

    References
    ----------
    Phipson & Smyth 2010, doi:10.2202/1544-6115.1585 (never a p-value of zero)
    """
    rho = float(_spearman(x[None], y[None])[0])
    if not np.isfinite(rho):
        return {"rho": None, "p": None, "low": None, "high": None, "n": len(x)}
    shuffled = rng.permuted(np.tile(y, (N_PERMUTATIONS, 1)), axis=1)
    chance = np.abs(_spearman(x[None], shuffled))
    drawn = rng.integers(0, len(x), (N_RESAMPLINGS, len(x)))
    again = _spearman(x[drawn], y[drawn])
    low, high = np.nanpercentile(again, [2.5, 97.5])
    p = (1 + np.sum(chance >= abs(rho) - 1e-12)) / (1 + N_PERMUTATIONS)
    return {"rho": rho, "p": float(p), "low": float(low), "high": float(high), "n": len(x)}


def implied(n: Mapping[str, int]) -> dict[str, Any]:
    """Accuracy that the printed recalls imply, for several frequencies of the tested classes.

    Accuracy is the sum of frequency times recall. Of the predicted shares, frequency times
    recall over precision, the sum must be one whatever the classifier does.

    Parameters
    ----------
    n : mapping of str to int
        Objects of each class in the real set and among the simulated.

    Returns
    -------
    dict
        ``balanced``, ``objects`` (frequencies of `n`) and ``section_2`` (half SNIa, a fourth SNII,
        the rest shared alike), each with ``accuracy`` and ``predicted``; ``printed``, the
        accuracy that the paper states; ``section_2_most``, the highest accuracy of any set with
        the shares of section 2; ``common_most``, the largest share of SNIa and SNII together that
        leaves room for the printed accuracy, with every figure rounded in its favour.

    Examples
    --------
    >>> implied({name: 1 for name in PRINTED_F1})["balanced"]["accuracy"]
    0.891875
    """
    names = [name for name in PRINTED_F1 if name in n]
    rest = (1.0 - sum(PRINTED_SHARE.values())) / (len(PRINTED_F1) - len(PRINTED_SHARE))
    frequencies = {
        "balanced": dict.fromkeys(PRINTED_F1, 1.0 / len(PRINTED_F1)),
        "objects": {name: n[name] / sum(n[other] for other in names) for name in names},
        "section_2": {name: PRINTED_SHARE.get(name, rest) for name in PRINTED_F1},
    }
    best = max(PRINTED_RECALL.values())
    most = sum(share * PRINTED_RECALL[name] for name, share in PRINTED_SHARE.items())
    highest, common = best + ROUNDING, max(PRINTED_RECALL[name] for name in PRINTED_SHARE) + ROUNDING
    return {
        key: {
            "accuracy": round(sum(share * PRINTED_RECALL[name] for name, share in table.items()), 7),
            "predicted": round(
                sum(share * PRINTED_RECALL[name] / PRINTED_PRECISION[name] for name, share in table.items()),
                7,
            ),
        }
        for key, table in frequencies.items()
    } | {
        "printed": PRINTED["accuracy"],
        "section_2_most": round(most + (1.0 - sum(PRINTED_SHARE.values())) * best, 7),
        "common_most": round((highest - PRINTED["accuracy"] + ROUNDING) / (highest - common), 7),
    }


# --- private --------------------------------------------------------------------


def _spearman(x: FloatArray, y: FloatArray) -> FloatArray:
    """Rank correlation of every row; NaN where a row is constant."""
    from scipy.stats import rankdata  # here: most commands need none of it

    a, b = (rankdata(values, axis=1) - (values.shape[1] + 1) / 2.0 for values in (x, y))
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((a * b).sum(axis=1) / norm)


def _difference(
    printed: FloatArray, leak: FloatArray, design: FloatArray, rng: np.random.Generator
) -> dict[str, Any]:
    """How much nearer the printed order is to the leak's, over resamplings of the classes."""
    drawn = rng.integers(0, len(printed), (N_RESAMPLINGS, len(printed)))
    again = _spearman(printed[drawn], leak[drawn]) - _spearman(printed[drawn], design[drawn])
    again = again[np.isfinite(again)]
    rho = _spearman(printed[None], leak[None])[0] - _spearman(printed[None], design[None])[0]
    low, high = np.percentile(again, [2.5, 97.5]) if len(again) else (np.nan, np.nan)
    return {
        "difference": float(rho),
        "low": float(low),
        "high": float(high),
        "share_not_positive": float(np.mean(again <= 0.0)) if len(again) else None,
    }


def _lowest_two(names: list[str], values: FloatArray) -> list[str]:
    return sorted(names[k] for k in np.argsort(values, kind="stable")[:2])
