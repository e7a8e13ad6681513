"""Which training choices make a difference, in sentences that follow from the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

__all__ = ["beyond", "limit", "what_it_says"]

#: What is compared: key of a row, what it is called, whether more is better.
MEASURES = (("validation_loss", "validation loss", False), ("honest", "accuracy", True))


def limit(seeds: Sequence[float]) -> float:
    """How far one more seed of the same setting falls from the seeds' mean, 95 times of 100 within.

    Parameters
    ----------
    seeds : sequence of float
        A number for each seed.

    Returns
    -------
    float
        Half the width of Student's prediction interval; NaN for fewer than two seeds.
    """
    n = len(seeds)
    if n < 2:
        return float("nan")
    return float(student.ppf(0.975, n - 1) * np.std(seeds, ddof=1) * np.sqrt(1.0 + 1.0 / n))


def beyond(result: Mapping[str, Any], measure: str) -> list[tuple[Mapping[str, Any], float]]:
    """Changed choices that differ from the printed setting by more than its seeds do.

    Parameters
    ----------
    result : mapping
        The part's JSON.
    measure : {"validation_loss", "honest"}
        Which number of a row.

    Returns
    -------
    list of (row, difference)
        The largest difference first.
    """
    mean, most = baseline(result, measure)
    found = [(row, row[measure] - mean) for row in changed(result)]
    return sorted(
        (pair for pair in found if most is not None and abs(pair[1]) > most), key=lambda pair: -abs(pair[1])
    )


def baseline(result: Mapping[str, Any], measure: str) -> tuple[float, float | None]:
    """Mean of the printed setting's seeds, and `limit` of them."""
    honest = result["honest"]
    if measure == "validation_loss":
        return honest["validation_loss"]["mean"], result["limit"]["validation_loss"]
    return honest["sixteen"]["accuracy"]["mean"], result["limit"]["accuracy"]


def changed(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows of the trials that differ from the printed setting."""
    return [row for row in result["rows"] if row["setting"] != "printed"]


def what_it_says(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Paragraphs: what is beyond the noise of seeds, and what early stopping saves.

    Parameters
    ----------
    result : mapping
        The part's JSON.
    """
    words = [_measure_words(result, *measure) for measure in MEASURES]
    return (" ".join([*words, _caution(result)]), _stopping_words(result))


def _caution(result: Mapping[str, Any]) -> str:
    """How little so few seeds and epochs can tell."""
    n = len(changed(result))
    epochs = len(result["rows"][0]["history"])
    return (
        f"Chance alone puts {0.05 * n:.1f} of {n} choices outside either interval; few seeds make it wide. "
        f"After {epochs} epochs, of {result['early_stopping']['most_epochs']} in a whole training, a small "
        "rate or a large batch has not finished: this compares how fast they learn, not where they end."
    )


def _measure_words(result: Mapping[str, Any], measure: str, called: str, more_is_better: bool) -> str:
    mean, most = baseline(result, measure)
    n_seeds = len(result["honest"]["validation_loss"]["folds"])
    digits = 4 if measure == "validation_loss" else 3
    if most is None:
        return f"With {n_seeds} seed there is no noise to compare the {called} with."
    words = (
        f"The printed setting has a {called} of {mean:.{digits}f}"
        if measure == "validation_loss"
        else f"The {called} of the printed setting is {mean:.{digits}f}"
    )
    words += f", and a further seed would fall within {most:.{digits}f} of that ({n_seeds} seeds). "
    found = beyond(result, measure)
    n = len(changed(result))
    if not found:
        return words + f"None of {n} changed choices differs by more."
    better = [pair for pair in found if (pair[1] > 0.0) == more_is_better]
    worse = [pair for pair in found if (pair[1] > 0.0) != more_is_better]
    parts = [
        f"{kind}: {', '.join(_named(row, gap, digits) for row, gap in group)}"
        for kind, group in (("better", better), ("worse", worse))
        if group
    ]
    return (
        words
        + f"Of {n} changed choices {len(found)} differ{'s' if len(found) == 1 else ''} by more; "
        + ("; ".join(parts) + ".")
    )


def _named(row: Mapping[str, Any], gap: float, digits: int) -> str:
    return f"{row['setting']} {row['value']} ({gap:+.{digits}f})"


def _stopping_words(result: Mapping[str, Any]) -> str:
    stopping = result["early_stopping"]
    rows = stopping["rows"]
    last = rows[-1]
    first = next(row for row in rows if row["patience"] == stopping["tried_patience"])
    words = (
        f"Early stopping saves time and cannot lower the loss, since the best epoch's weights are kept "
        f"anyway: with a patience of {first['patience']} the trainings end after "
        f"{first['epochs']['mean']:.1f} epochs at {first['validation_loss']['mean']:.4f}, with "
        f"{last['patience']} after {last['epochs']['mean']:.1f} at {last['validation_loss']['mean']:.4f} "
        f"({stopping['n_folds']} folds)."
    )
    if stopping["stopped"] is None:
        return words + " On the first fold the shorter patience never ended the training."
    short, long = (stopping[name]["sixteen"]["accuracy"] for name in ("stopped", "long"))
    return words + (
        f" On the first fold the accuracy after {stopping['stopped_epochs']} epochs is {short:.3f}, "
        f"after {stopping['long_epochs']} it is {long:.3f}."
    )
