"""What the experiments on limitations share: a few scores of a set, their spread, curves with bands."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from firstlight.predictions import Predictions
from firstlight.report.style import INK
from firstlight_paper.scores import scored, spread
from firstlight_paper.section import plus_minus
from firstlight_paper.workshop import plain

__all__ = [
    "SHORT",
    "band",
    "brief",
    "brief_of",
    "change",
    "folds_of",
    "mean",
    "score_columns",
    "tidy",
    "written_map",
]

#: The scores that every curve of a limitation shows.
SHORT = ("accuracy", "macro_f1", "macro_auc", "log_loss")
_ROWS = ("sixteen", "real")


def brief(labels: NDArray[np.str_], said: Predictions, simulated: NDArray[np.bool_]) -> dict[str, Any]:
    """A few scores over sixteen classes and over the real objects, and how many were not classified.

    Parameters
    ----------
    labels : str array, shape (n_objects,)
        True classes.
    said : Predictions
        Of the same objects; one that was not classified counts with the prior that it has.
    simulated : bool array, shape (n_objects,)
        True for simulated objects.

    Returns
    -------
    dict
        ``sixteen`` and ``real``, each with `SHORT`, ``n_objects`` and ``not_classified`` (a share).
    """
    full = scored(labels, said.proba, simulated)
    silent = {"sixteen": ~said.is_classified, "real": ~said.is_classified[~simulated]}
    return {
        row: {name: full[row][name] for name in (*SHORT, "n_objects")}
        | {"not_classified": float(silent[row].mean())}
        for row in _ROWS
    }


def brief_of(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join what `brief` said of several folds: every number with its spread, objects summed."""
    return {
        row: {name: spread([fold[row][name] for fold in folds]) for name in (*SHORT, "not_classified")}
        | {"n_objects": sum(fold[row]["n_objects"] for fold in folds)}
        for row in _ROWS
    }


def folds_of(results: Mapping[str, Any], n_folds: int, name: str) -> list[Any]:
    """Results of one setting in order of the folds, by names such as ``fold-1-NAME``."""
    return [results[f"fold-{k + 1}-{name}"] for k in range(n_folds)]


def mean(value: Mapping[str, Any]) -> float:
    """Mean of a `spread`; NaN where there is none."""
    return float("nan") if value["mean"] is None else float(value["mean"])


def change(value: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """Difference of two numbers fold by fold, with its spread: folds differ more than settings do."""
    differences = [a - b for a, b in zip(value["folds"], reference["folds"], strict=True)]
    found: dict[str, Any] = plain(spread(differences))  # as in a file: no NaN
    return found


def score_columns(scores: Mapping[str, Any]) -> tuple[str, ...]:
    """Cells of a table: accuracy, macro F1 and AUC over 16 classes and over the real 13, then the silent."""
    shown = ("accuracy", "macro_f1", "macro_auc")
    cells = [plus_minus(scores[row][name]) for row in _ROWS for name in shown]
    return (*cells, f"{100 * mean(scores['real']['not_classified']):.1f} %")


def band(
    panel: Axes,
    x: Sequence[float],
    values: Sequence[Mapping[str, Any]],
    colour: str,
    label: str,
    marker: str = "o",
    line: str = "-",
) -> None:
    """A curve of means with a band of one standard deviation over folds.

    Parameters
    ----------
    panel : Axes
        Where to.
    x : sequence of float
        Position of each value.
    values : sequence of mapping
        As from `firstlight_paper.scores.spread`.
    colour, label, marker, line : str
        How the curve looks and what it is called.
    """
    middle = np.array([mean(value) for value in values])
    half = np.nan_to_num([np.nan if value["std"] is None else value["std"] for value in values])
    panel.fill_between(x, middle - half, middle + half, color=colour, alpha=0.18, lw=0)
    panel.plot(x, middle, color=colour, marker=marker, ls=line, label=label)


def tidy(panel: Axes, x_label: str, y_label: str) -> None:
    """Name the axes and lay a grid."""
    panel.set_xlabel(x_label)
    panel.set_ylabel(y_label)
    panel.grid()
    panel.tick_params(colors=INK)


def written_map(
    panel: Axes, values: NDArray[np.float64], dark: NDArray[np.bool_], form: str, **colours: Any
) -> AxesImage:
    """A matrix in colour with its numbers written into it.

    Parameters
    ----------
    panel : Axes
        Where to.
    values : float64 array, shape (n_rows, n_columns)
        What to show.
    dark : bool array, of the same shape
        Where the colour is dark, so that the number is written in white.
    form : str
        Format of the numbers, such as ``"+.2f"``.
    **colours
        Colour map and its limits, as for ``imshow``.
    """
    image = panel.imshow(values, aspect="auto", **colours)
    for row, column in np.ndindex(values.shape):
        ink = "white" if dark[row, column] else INK
        words = format(values[row, column], form)
        panel.text(column, row, words, ha="center", va="center", fontsize=7.5, color=ink)
    return image
