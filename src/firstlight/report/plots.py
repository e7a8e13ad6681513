"""Figures of a classifier's performance; each function returns a page-wide `Figure`.

Arguments are true classes and forecasts, or tables of `summarise_folds`. Labels, markers and
panels make the figures readable without colour.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from firstlight._types import FloatArray, IntArray, StrArray
from firstlight.metrics.curves import (
    N_BINS,
    OperatingCurve,
    Reliability,
    average_precision,
    precision_recall_curve,
    reliability,
    roc_auc,
    roc_curve,
    thin,
)
from firstlight.metrics.scores import present_classes, truth_index
from firstlight.report.style import (
    ACCENT,
    CLASS_COLOUR,
    FAINT,
    INK,
    MAIN,
    THIRD,
    label_panels,
    new_figure,
    panel_grid,
    styled,
)

N_CURVE_POINTS = 400  # per curve
N_BACKGROUND_POINTS = 60
LOWEST_RATE = 1e-3  # lower end of the logarithmic axis


@styled
def class_histogram(per_class: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Number of objects, precision, recall and F1 of each class, the most frequent class first.

    `per_class` maps a class to ``n`` and scores, as numbers or as ``{"mean", "std"}``: from
    `metrics.score` or `summarise_folds`.
    """
    names = sorted(per_class, key=lambda name: (-per_class[name]["n"], name))
    where = np.arange(len(names))
    figure = new_figure(5.2)
    counts, skill = figure.subplots(2, 1, sharex=True, height_ratios=(1.0, 1.25))
    n = np.array([per_class[name]["n"] for name in names])
    bars = counts.bar(where, n, color=FAINT, width=0.72)
    counts.bar_label(bars, [f"{value:,}" for value in n], padding=2, fontsize=7.5)
    counts.set_yscale("log")
    counts.set_ylim(max(0.7, 0.4 * n.min()), 2.6 * n.max())
    counts.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    counts.set_ylabel("objects")
    looks = (("precision", MAIN, "^"), ("recall", ACCENT, "v"), ("f1", INK, "o"))
    for shift, (metric, colour, marker) in zip((-0.22, 0.0, 0.22), looks, strict=True):
        pairs = [_mean_std(per_class[name][metric]) for name in names]
        mean, std = (np.array(column) for column in zip(*pairs, strict=True))
        label = "F1" if metric == "f1" else metric
        skill.errorbar(where + shift, mean, std, fmt=marker, color=colour, label=label, elinewidth=1.0)
    for edge in where[:-1] + 0.5:
        skill.axvline(edge, color="#EEEEEE", lw=0.7, zorder=0)
    skill.set_ylim(min(0.5, skill.get_ylim()[0]), 1.03)
    skill.set_ylabel("score")
    skill.grid(axis="y")
    skill.legend(ncols=3, loc="lower left", bbox_to_anchor=(0.0, 0.98), borderaxespad=0.0)
    skill.set_xticks(where, names, rotation=40, ha="right", rotation_mode="anchor")
    skill.set_xlim(-0.6, len(names) - 0.4)
    return figure


@styled
def confusion_matrix(matrix: IntArray, classes: Sequence[str]) -> Figure:
    """Confusion matrix: share of the true class in colour, number of objects as text.

    Parameters
    ----------
    matrix : int64 array, shape (n_classes, n_classes)
        Objects by true class (rows) and predicted class (columns).
    classes : sequence of str
        Names of rows and columns. Classes without true or predicted objects are omitted.

    Returns
    -------
    Figure
        The matrix; its diagonal is recall.
    """
    matrix, names = np.asarray(matrix), np.array(classes)
    rows, columns = (
        np.flatnonzero(matrix.sum(axis=1)),
        np.flatnonzero(matrix.sum(axis=1) + matrix.sum(axis=0)),
    )
    cells = matrix[np.ix_(rows, columns)]
    share = cells / cells.sum(axis=1, keepdims=True)
    figure = new_figure(1.5 + 0.385 * len(rows))
    panel = figure.subplots()
    image = panel.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    size = 6.6 if len(columns) > 12 else 7.5
    for i, j in zip(*np.nonzero(cells), strict=True):
        colour = "white" if share[i, j] > 0.55 else INK
        text = f"{100 * share[i, j]:.0f}%\n" if share[i, j] >= 0.005 else "<1%\n"
        panel.text(j, i, f"{text}{cells[i, j]:,}", ha="center", va="center", color=colour, fontsize=size)
    named = [f"{name} ({n:,})" for name, n in zip(names[rows], cells.sum(axis=1), strict=True)]
    panel.set_yticks(range(len(rows)), named)
    panel.set_xticks(
        range(len(columns)), names[columns].tolist(), rotation=40, ha="right", rotation_mode="anchor"
    )
    panel.set_xlabel("predicted class")
    panel.set_ylabel("true class (objects)")
    panel.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    panel.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    panel.grid(which="minor", color="white", lw=0.8)
    panel.tick_params(which="both", length=0)
    panel.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=panel, fraction=0.03, pad=0.015, format=PercentFormatter(1.0))
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return figure


@styled
def roc_average(labels: StrArray, proba: FloatArray, classes: Sequence[str]) -> Figure:
    """ROC averaged over classes and over objects, single classes in grey; linear and logarithmic axis.

    Parameters are true classes, shape (n_objects,), probabilities, shape (n_objects, n_classes), and
    the names of the columns.
    """
    truth, present = truth_index(labels, classes), present_classes(labels, classes)
    columns = truth_index(np.array(present), classes)
    curves = [thin(roc_curve(truth == k, proba[:, k]), N_CURVE_POINTS) for k in columns]
    pooled = (truth[:, None] == columns).ravel(), proba[:, columns].ravel()
    rate = np.concatenate([[0.0], np.logspace(-4, 0, N_CURVE_POINTS)])
    macro = np.mean([np.interp(rate, curve.x, curve.y) for curve in curves], axis=0)
    micro = thin(roc_curve(*pooled), N_CURVE_POINTS)
    area = np.mean([roc_auc(truth == k, proba[:, k]) for k in columns])
    figure = new_figure(3.6)
    for panel, logarithmic in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
        for curve in curves:
            panel.plot(curve.x, curve.y, color=FAINT, lw=0.8, zorder=1)
        panel.plot(rate, macro, color=MAIN, lw=2.0, label=f"macro average, AUC {area:.4f}")
        panel.plot(
            micro.x,
            micro.y,
            color=ACCENT,
            lw=2.0,
            ls="--",
            label=f"micro average, AUC {roc_auc(*pooled):.4f}",
        )
        diagonal = np.logspace(-4, 0, 50)
        panel.plot(diagonal, diagonal, color=INK, lw=0.8, ls=":", label="chance")
        panel.plot([], [], color=FAINT, lw=0.8, label=f"the {len(present)} classes")
        panel.set_xlabel("false positive rate")
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1.01)
        panel.grid()
        if logarithmic:
            panel.set_xscale("log")
            panel.set_xlim(LOWEST_RATE, 1)
        else:
            panel.set_ylabel("true positive rate")
            panel.legend(loc="lower right")
    return figure


@styled
def roc_per_class(labels: StrArray, proba: FloatArray, classes: Sequence[str]) -> Figure:
    """ROC of each class against the rest, false positive rate logarithmic; arguments as for `roc_average`."""
    truth, present = truth_index(labels, classes), present_classes(labels, classes)
    columns = truth_index(np.array(present), classes)
    curves = [thin(roc_curve(truth == k, proba[:, k]), N_CURVE_POINTS) for k in columns]
    background = [thin(curve, N_BACKGROUND_POINTS) for curve in curves]
    figure, panels = panel_grid(len(present), 5, 1.5)
    for name, k, own, panel in zip(present, columns, curves, panels, strict=True):
        for other in background:
            panel.plot(other.x, other.y, color="#DDDDDD", lw=0.6, zorder=1)
        panel.plot(own.x, own.y, color=CLASS_COLOUR.get(name, MAIN), lw=1.8, zorder=3)
        panel.set_title(name, loc="left", pad=3)
        auc = roc_auc(truth == k, proba[:, k])
        panel.text(0.96, 0.06, f"AUC {auc:.4f}\nn {int((truth == k).sum()):,}", **_corner(panel))
        panel.set_xscale("log")
        panel.set_xlim(LOWEST_RATE, 1)
        panel.set_ylim(0, 1.02)
        panel.xaxis.set_major_locator(LogLocator(numticks=4))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.grid()
    label_panels(figure, "false positive rate", "true positive rate")
    return figure


@styled
def precision_recall(labels: StrArray, proba: FloatArray, classes: Sequence[str]) -> Figure:
    """Precision (purity) against recall (completeness) of each class; arguments as for `roc_average`.

    The dotted line is the share of the class, the precision of random guesses.
    """
    truth, present = truth_index(labels, classes), present_classes(labels, classes)
    figure, panels = panel_grid(len(present), 5, 1.5)
    for name, panel in zip(present, panels, strict=True):
        k = list(classes).index(name)
        whole = precision_recall_curve(truth == k, proba[:, k])
        curve = _from_first_threshold(whole)
        panel.plot(curve.x, curve.y, color=CLASS_COLOUR.get(name, MAIN), lw=1.8)
        panel.axhline(float(np.mean(truth == k)), color=INK, lw=0.8, ls=":")
        panel.set_title(name, loc="left", pad=3)
        panel.text(
            0.04,
            0.08,
            f"AP {average_precision(whole):.3f}\nn {int((truth == k).sum()):,}",
            **_corner(panel, "left"),
        )
        panel.set_xlim(0, 1.02)
        panel.set_ylim(0, 1.03)
        panel.grid()
    label_panels(figure, "recall (completeness)", "precision (purity)")
    return figure


@styled
def reliability_diagram(
    labels: StrArray, proba: FloatArray, classes: Sequence[str], n_bins: int = N_BINS
) -> Figure:
    """Observed frequency against forecast probability, for the most probable class and for all classes.

    Arguments as for `roc_average`. Below each diagram is the number of forecasts per bin.
    """
    truth = truth_index(labels, classes)
    columns = np.unique(truth)
    top = reliability(proba.argmax(axis=1) == truth, proba.max(axis=1), n_bins)
    pooled = reliability((truth[:, None] == columns).ravel(), proba[:, columns].ravel(), n_bins)
    figure = new_figure(4.4)
    grid = figure.subplots(2, 2, sharex="col", sharey="row", height_ratios=(3.0, 1.0))
    classwise = np.mean([reliability(truth == k, proba[:, k], n_bins).error for k in columns])
    drawn = (
        ("most probable class", top, MAIN, f"ECE {top.error:.4f}"),
        ("every class of every object", pooled, THIRD, f"class-wise ECE {classwise:.4f}"),
    )
    for column, (title, bins, colour, text) in enumerate(drawn):
        _reliability_panel(grid[0, column], bins, colour, text)
        grid[0, column].set_title(title, loc="left")
        width = np.diff(bins.edge)
        filled = np.maximum(bins.n, 0.5)
        grid[1, column].bar(bins.edge[:-1], filled, width, align="edge", color=colour, alpha=0.5)
        grid[1, column].set_yscale("log")
        grid[1, column].set_ylim(0.7, 2.0 * pooled.n.max())
        grid[1, column].set_xlabel("forecast probability")
    grid[0, 0].set_ylabel("observed frequency")
    grid[1, 0].set_ylabel("forecasts")
    return figure


# --- private --------------------------------------------------------------------


def _reliability_panel(panel: Axes, bins: Reliability, colour: str, text: str) -> None:
    filled = bins.n > 0
    forecast, observed, n = bins.forecast[filled], bins.observed[filled], bins.n[filled]
    low, high = wilson_interval(observed, n)
    panel.plot([0, 1], [0, 1], color=INK, lw=0.8, ls=":")
    panel.vlines(forecast, low, high, color=colour, lw=1.0)
    panel.plot(forecast, observed, color=colour, marker="o", lw=1.0)
    text += f"\n{int(bins.n.sum()):,} forecasts"
    panel.text(0.04, 0.96, text, transform=panel.transAxes, va="top")
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)
    panel.grid()


def wilson_interval(share: FloatArray, n: IntArray) -> tuple[FloatArray, FloatArray]:
    """68 % confidence interval of a share (Wilson 1927, doi:10.2307/2276774)."""
    centre = (share + 0.5 / n) / (1.0 + 1.0 / n)
    half = np.sqrt(share * (1.0 - share) / n + 0.25 / n**2) / (1.0 + 1.0 / n)
    return centre - half, centre + half


def _corner(panel: Axes, side: str = "right") -> dict[str, Any]:
    box = {"facecolor": "white", "alpha": 0.9, "edgecolor": "none", "pad": 1.0}
    return {
        "transform": panel.transAxes,
        "ha": side,
        "va": "bottom",
        "fontsize": 7.5,
        "bbox": box,
        "zorder": 4,
    }


def _from_first_threshold(curve: OperatingCurve) -> OperatingCurve:
    """The curve without its conventional start at precision 1."""
    y = np.concatenate([curve.y[1:2], curve.y[1:]])
    return thin(OperatingCurve(curve.x, y, curve.threshold), N_CURVE_POINTS)


def _mean_std(value: Any) -> tuple[float, float]:
    """Mean and spread of a number or of a table with both; an unknown spread is 0."""
    if not isinstance(value, Mapping):
        return float(value), 0.0
    mean, std = (float("nan") if value[key] is None else float(value[key]) for key in ("mean", "std"))
    return mean, std if np.isfinite(std) else 0.0
