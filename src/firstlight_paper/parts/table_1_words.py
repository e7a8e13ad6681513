"""What table 1 says about six latents, in sentences that follow from its numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight_paper.objects import PAPER_CLASSES

__all__ = ["difference_error", "saturation", "what_it_says"]

Rows = Sequence[Mapping[str, Any]]

PAPERS_CHOICE = 6
FEW, MANY = (1, 2, 3), 8  # where the paper prints a collapse: up to three, and beyond eight


def what_it_says(rows: Rows) -> tuple[str, ...]:
    """Paragraphs on the best number of latents and on the collapses that the paper prints.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of ``table_1``.

    Returns
    -------
    tuple of str
        Plain text.
    """
    return (_about_six(rows), _about_few(rows), _about_many(rows), _about_leak(rows))


def difference_error(values: NDArray[np.float64]) -> float:
    """Standard error of the difference between two rows' means, from rows measured on the same folds.

    What a fold has in common with itself in all rows (easy or hard test objects) cancels in
    a difference and is taken out first.

    Parameters
    ----------
    values : float64 array, shape (n_rows, n_folds)
        A number in each row and fold.

    Returns
    -------
    float
        NaN for fewer than two rows or folds.
    """
    n_rows, n_folds = values.shape
    if min(n_rows, n_folds) < 2:
        return float("nan")
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return float(np.sqrt((rest**2).sum() / ((n_rows - 1) * (n_folds - 1)) * 2.0 / n_folds))


def saturation(n_latents: Sequence[int], mean: Sequence[float], error: float) -> int:
    """Fewest latents whose mean is within twice the error of the best mean.

    Parameters
    ----------
    n_latents : sequence of int
        Ascending.
    mean : sequence of float
        Accuracy of each.
    error : float
        Standard error of a difference; NaN counts as none.
    """
    enough = max(mean) - 2.0 * (error if np.isfinite(error) else 0.0)
    return next(n for n, value in zip(n_latents, mean, strict=True) if value >= enough)


def _about_six(rows: Rows) -> str:
    n, mean, error = _honest(rows)
    best = int(np.argmax(mean))
    start = saturation(n, mean, error)
    loss = [row["validation_loss"]["mean"] for row in rows]
    lowest = n[int(np.argmin(loss))]
    words = (
        f"On unseen objects the best number of latents is {n[best]} (of {len(n)} tried), with an accuracy "
        f"of {mean[best]:.3f}. "
        f"{_error_words(error)} The fewest latents within twice that of the best: {start}. "
    )
    if PAPERS_CHOICE in n:
        words += _six_words(mean[best] - mean[n.index(PAPERS_CHOICE)], error)
    return words + (
        f"The autoencoder's validation loss is lowest at {lowest} "
        f"({min(loss):.4f}; at {n[0]}: {loss[0]:.4f})."
    )


def _six_words(gap: float, error: float) -> str:
    if gap == 0.0:
        return "The paper's six are the best themselves. "
    words = f"The paper's six are {gap:.3f} below the best"
    if not np.isfinite(error):
        return words + ". "
    return words + (
        ", less than twice the error: not told apart from it, and no peak. "
        if gap <= 2.0 * error
        else ", more than twice the error. "
    )


def _error_words(error: float) -> str:
    if not np.isfinite(error):
        return "There is one fold, and so no measure of noise."
    return f"The difference between two numbers of latents has a standard error of {error:.3f}."


def _about_few(rows: Rows) -> str:
    few = [row for row in rows if row["n_latents"] in FEW]
    if not few:
        return "No row has one to three latents."
    chance = rows[0]["most_frequent"]
    known = [row["printed"] for row in few if row["printed"] is not None]
    printed = ", ".join(f"{value:g}" for value in known)
    ours = ", ".join(f"{row['honest']['mean']:.3f}" for row in few)
    which = ", ".join(str(row["n_latents"]) for row in few)
    collapse = any(row["honest"]["mean"] < chance for row in few)
    blind = 1.0 / len(PAPER_CLASSES)
    below = ", ".join(f"{value:g}" for value in known if value < min(blind, chance))
    none = f"; what is below both ({below}) has no explanation in too few latents" if below else ""
    return (
        f"With {which} {_latents(few[-1]['n_latents'])} the paper prints accuracies of {printed}. "
        f"Blind guessing among sixteen classes gives {blind:.4f}, and naming every object after the largest "
        f"class {chance:.3f}{none}. We measure {ours}: the printed collapse is "
        f"{'seen in part' if collapse else 'not seen'}."
    )


def _about_many(rows: Rows) -> str:
    n, mean, error = _honest(rows)
    many = [k for k, value in enumerate(n) if value > MANY]
    upto = [k for k, value in enumerate(n) if PAPERS_CHOICE <= value <= MANY]
    if not many or not upto:
        return f"There are no rows to compare {PAPERS_CHOICE} to {MANY} latents with more."
    before = float(np.mean([mean[k] for k in upto]))
    limit = 2.0 * error if np.isfinite(error) else 0.0
    worse = [str(n[k]) for k in many if mean[k] < before - limit]
    fell = (
        f"fall below that by more than twice the error at {', '.join(worse)} latents"
        if worse
        else "never fall below that by more than twice the error"
    )
    last, printed = many[-1], rows[many[-1]]["printed"]
    beside = "" if printed is None else f", where the paper prints {printed:g}"
    return (
        f"Beyond {MANY} latents the paper's accuracy declines. Ours is {before:.3f} on average over "
        f"{PAPERS_CHOICE} to {MANY} latents, and more latents {fell}; with {n[last]} it is {mean[last]:.3f}"
        f"{beside}. Of {n[last]} latents {np.mean(rows[last]['active']):.1f} carry more than 0.1 nat."
    )


def _about_leak(rows: Rows) -> str:
    both = [row for row in rows if row["leak"] is not None]
    if not both:
        return "The paper's protocol was not measured."
    first = [row["honest"]["folds"][0] for row in both]
    gain = np.array([row["leak"] for row in both]) - np.array(first)
    top = max(both, key=lambda row: row["leak"])
    recall = top["scores"]["sixteen"]["macro_recall"]["mean"]
    return (
        f"By the paper's protocol the same latents and the same booster reach up to {top['leak']:.3f} "
        f"({top['n_latents']} {_latents(top['n_latents'])}), {gain.min():+.3f} to {gain.max():+.3f} against "
        f"the unseen objects of the same fold; {100 * top['leak_shared']:.0f} % of its test rows are copies "
        f"of objects that it was trained on. Its rows are balanced, so that the nearest honest number is the "
        f"macro recall of unseen objects, {recall:.3f} there."
    )


def _honest(rows: Rows) -> tuple[list[int], list[float], float]:
    values = np.array([row["honest"]["folds"] for row in rows], dtype=np.float64)
    return [row["n_latents"] for row in rows], values.mean(axis=1).tolist(), difference_error(values)


def _latents(n: int) -> str:
    return "latent" if n == 1 else "latents"
