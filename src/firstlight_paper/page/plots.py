"""Plots that all parts share: curves with a band, heat maps, bars, confusion matrices, small multiples."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from firstlight.bands import BANDS
from firstlight.report.lightcurves import BAND_COLOUR, BAND_MARKER
from firstlight.report.style import (
    ACCENT,
    FAINT,
    FOURTH,
    INK,
    MAIN,
    PAGE_WIDTH,
    label_panels,
    new_figure,
    panel_grid,
    styled,
)
from firstlight_paper.scores import Spread


class Look(NamedTuple):
    """Name, colour, marker and line of a series."""

    label: str
    colour: str = MAIN
    marker: str = "o"
    line: str = "-"
    filled: bool = True


#: The four columns of the page look alike in every figure.
PRINTED = Look("as published", INK, "D", "none", filled=False)
LEAK = Look("paper's protocol (leaks)", ACCENT, "x", "--")
DESIGN = Look("paper's design, split by object", FOURTH, "s")
OURS = Look("ours, split by object", MAIN, "o")


def curve_with_band(panel: Axes, x: Sequence[float], values: Sequence[Spread], look: Look) -> None:
    """Draw means with a band of one standard deviation; unknown values are left out."""
    known = [k for k, value in enumerate(values) if np.isfinite(value.mean)]
    at = np.array([x[k] for k in known], dtype=np.float64)
    mean = np.array([values[k].mean for k in known])
    half = np.nan_to_num([values[k].std for k in known])
    panel.fill_between(at, mean - half, mean + half, color=look.colour, alpha=0.18, lw=0)
    face = look.colour if look.filled else "white"
    panel.plot(at, mean, color=look.colour, marker=look.marker, ls=look.line, mfc=face, label=look.label)


def label_axes(panel: Axes, x_label: str, y_label: str) -> None:
    """Name the axes and draw a grid."""
    panel.set_xlabel(x_label)
    panel.set_ylabel(y_label)
    panel.grid(visible=True)


def plain_ticks(axis: Axis) -> None:
    """Powers of ten as numbers, and no labels between them."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def bars(
    panel: Axes,
    names: Sequence[str],
    series: Mapping[Look, Sequence[Spread]],
    gap: float = 0.16,
    folds: bool = False,
) -> None:
    """Draw a row of points with error bars per name, the series beside one another."""
    where = np.arange(len(names), dtype=np.float64)
    for k, (look, values) in enumerate(series.items()):
        shift = gap * (k - (len(series) - 1) / 2.0)
        mean = np.array([value.mean for value in values])
        error = np.nan_to_num([value.std for value in values])
        face = look.colour if look.filled else "white"
        panel.errorbar(
            mean, where + shift, xerr=error, fmt=look.marker, color=look.colour, mfc=face, mew=1.3,
            elinewidth=1.0, capsize=2, label=look.label, zorder=3,
        )  # fmt: skip
        for y, value in zip(where + shift, values, strict=True):
            if folds:
                panel.plot(value.folds, [y + 0.2] * len(value.folds), ".", color=look.colour, alpha=0.5)
    panel.set_yticks(where, names)
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x")


@styled
def heat_map(
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str,
    x_label: str,
    form: str = ".2f",
    centred: bool = False,
    width: float = PAGE_WIDTH,
) -> Figure:
    """A matrix in colour with its numbers, from 0 to 1 or `centred` on 0."""
    figure = new_figure(0.26 * len(rows) + 0.95, width)
    panel = figure.subplots()
    limit = max(0.05, float(np.nanmax(np.abs(values))))
    colours: dict[str, Any] = {"cmap": "PuOr", "vmin": -limit, "vmax": limit}
    if not centred:
        colours = {"cmap": "cividis", "vmin": 0.0, "vmax": 1.0}
    image = panel.imshow(values, aspect="auto", **colours)
    dark = np.abs(values) > 0.65 * limit if centred else values <= 0.55
    for row, column in np.ndindex(values.shape):
        ink = "white" if dark[row, column] else INK
        text = format(values[row, column], form)
        panel.text(column, row, text, ha="center", va="center", fontsize=7.5, color=ink)
    panel.set_xticks(range(len(columns)), columns)
    panel.set_yticks(range(len(rows)), rows)
    panel.set_xlabel(x_label)
    figure.colorbar(image, ax=panel, label=label)
    return figure


@styled
def confusion(matrices: Mapping[str, NDArray[np.int64]], rows: Sequence[str], n_columns: int) -> Figure:
    """Confusion matrices as shares of the true class, with percentages on the diagonal."""
    shown = np.flatnonzero(next(iter(matrices.values())).sum(axis=1))
    names = [rows[int(i)] for i in shown]
    few = len(names) <= 4
    n_rows = -(-len(matrices) // n_columns)
    side = (PAGE_WIDTH - (0.6 if few else 1.5)) / n_columns
    figure = new_figure(n_rows * (0.93 * side + 0.25) + (0.7 if n_columns <= 2 or few else 1.1))
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    size = 8.5 if few else 6.5 if n_columns <= 2 else 4.8
    for panel in grid.ravel()[len(matrices) :]:
        panel.set_axis_off()
    for panel, (title, matrix) in zip(grid.ravel(), matrices.items(), strict=False):
        extra = [matrix.shape[1] - 1] if matrix.shape[1] > len(rows) and matrix[:, -1].any() else []
        cells = matrix[np.ix_(shown, [*shown, *extra])]
        share = cells / np.maximum(matrix[shown].sum(axis=1, keepdims=True), 1)
        image = panel.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
        for i, j in np.ndindex(share.shape):
            if few or i == j:
                ink = "white" if share[i, j] > 0.55 else INK
                panel.text(
                    j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", color=ink, fontsize=size
                )
        panel.set_title(title, loc="left", pad=4, fontsize=8.5)
        panel.set_xticks(
            range(share.shape[1]), [*names, "other"][: share.shape[1]], rotation=90, fontsize=6.5
        )
        panel.set_yticks(range(len(names)), names, fontsize=6.5)
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    label_panels(figure, "predicted class", "true class")
    if not few:
        edge = figure.colorbar(
            image, ax=grid.ravel().tolist(), fraction=0.02, pad=0.01, format=PercentFormatter(1.0)
        )
        edge.set_label("share of the true class")
        edge.outline.set_visible(False)
    return figure


def small_multiples(
    n_panels: int, n_columns: int, height: float, x_label: str = "", y_label: str = ""
) -> tuple[Figure, list[Axes]]:
    """A grid of panels with their own scales and common axis labels; call it in a `styled` function."""
    figure, panels = panel_grid(n_panels, n_columns, height, sharex=False, sharey=False)
    label_panels(figure, x_label, y_label)
    return figure, panels


def light_curve(panel: Axes, curve: Mapping[str, Any], time: str) -> list[Line2D]:
    """Draw fluxes with error bars by band; legend handles of the bands present."""
    columns = (time, "band", "flux", "flux_err")
    day, band, flux, error = (np.asarray(curve[name], dtype=np.float64) for name in columns)
    panel.axhline(0.0, color=FAINT, lw=0.6, zorder=0)
    handles = []
    for k, name in enumerate(BANDS):
        own = band == k
        look: dict[str, Any] = {"marker": BAND_MARKER[name], "color": BAND_COLOUR[name], "ls": ""}
        if own.any():
            panel.errorbar(day[own], flux[own], error[own], ms=3.2, lw=0.7, **look)
            handles.append(Line2D([], [], label=name, **look))
    return handles
