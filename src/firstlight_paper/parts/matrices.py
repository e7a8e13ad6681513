"""Confusion matrices side by side, as shares of the true class."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from firstlight.report.style import INK, PAGE_WIDTH, new_figure, styled

__all__ = ["normalised_matrices"]


@styled
def normalised_matrices(
    matrices: Sequence[Sequence[Sequence[int]]], titles: Sequence[str], classes: Sequence[str], n_columns: int
) -> Figure:
    """Draw confusion matrices with their rows normalised; the diagonal carries its percentage.

    Parameters
    ----------
    matrices : sequence of int matrices, shape (n_classes, n_classes)
        Objects by true class (rows) and predicted class (columns).
    titles : sequence of str
        Above each.
    classes : sequence of str
        Names of rows and columns; classes without objects are left out.
    n_columns : int
        Matrices side by side.

    Returns
    -------
    Figure
        Page-wide; one scale of colour for all.
    """
    counts = np.asarray(matrices, dtype=np.float64)
    shown = np.flatnonzero(counts[0].sum(axis=1))
    names = [classes[int(i)] for i in shown]
    n_rows = -(-len(counts) // n_columns)
    side = (PAGE_WIDTH - 1.5) / n_columns
    figure = new_figure(n_rows * (0.93 * side + 0.25) + (0.95 if n_columns <= 2 else 1.1))
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    size = 6.5 if n_columns <= 2 else 4.8
    image = None
    for panel in grid.ravel()[len(counts) :]:
        panel.set_axis_off()
    for panel, matrix, title in zip(grid.ravel(), counts, titles, strict=False):
        cells = matrix[np.ix_(shown, shown)]
        share = cells / np.maximum(matrix[shown].sum(axis=1, keepdims=True), 1.0)
        image = panel.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
        for i in range(len(shown)):
            colour = "white" if share[i, i] > 0.55 else INK
            panel.text(
                i, i, f"{100 * share[i, i]:.0f}", ha="center", va="center", color=colour, fontsize=size
            )
        panel.set_title(title, loc="left", pad=4, fontsize=8.5)
        panel.set_xticks(range(len(names)), names, rotation=90, fontsize=6.5)
        panel.set_yticks(range(len(names)), names, fontsize=6.5)
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    figure.supxlabel("predicted class", fontsize=9)
    figure.supylabel("true class", fontsize=9)
    if image is not None:
        bar = figure.colorbar(
            image, ax=grid.ravel().tolist(), fraction=0.02, pad=0.01, format=PercentFormatter(1.0)
        )
        bar.set_label("share of the true class")
        bar.outline.set_visible(False)
    return figure
