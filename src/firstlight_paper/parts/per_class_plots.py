"""Figures of the results by class. Each draws from the part's JSON and shows nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from firstlight.report.style import ACCENT, FAINT, FOURTH, INK, MAIN, new_figure, styled

__all__ = ["anatomy_figure", "auc_figure", "class_figure", "pattern_figure", "roc_figure"]

Result = Mapping[str, Any]
FloatArray = NDArray[np.float64]

LEAK, DESIGN, OURS = "its protocol (leaks)", "honest, the paper's design", "honest, ours"
_BAND = "#F1EDE3"  # behind simulated classes


@styled
def class_figure(result: Result) -> Figure:
    """Precision, recall and F1 of each class (Figure 4), from the most to the least frequent."""
    names = _by_frequency(result)
    where = np.arange(len(names))
    figure = new_figure(7.2)
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    for panel, (metric, title) in zip(
        panels, {"precision": "precision", "recall": "recall", "f1": "F1"}.items(), strict=True
    ):
        for shift, key, colour, label in ((-0.19, "design", FOURTH, DESIGN), (0.19, "ours", MAIN, OURS)):
            mean, std = _column(result["honest"][key], names, metric)
            panel.bar(where + shift, mean, 0.36, color=colour, label=label)
            panel.errorbar(where + shift, mean, std, fmt="none", ecolor=INK, elinewidth=0.9)
        mean, std = _column(result["leak"], names, metric)
        panel.errorbar(where - 0.05, mean, std, fmt="x", color=ACCENT, ms=5.5, mew=1.6, lw=1.0, label=LEAK)
        printed = [result["printed"]["per_class"].get(name, {}).get(metric, np.nan) for name in names]
        panel.plot(
            where + 0.08, printed, "D", mfc="white", mec=INK, ms=4.6, mew=1.1, ls="none", label="printed"
        )
        _mark_simulated(panel.axvspan, result, names)
        panel.set_ylabel(title)
        panel.set_ylim(0.0, 1.04)
        panel.grid(axis="y")
    panels[0].legend(
        ncols=4, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, columnspacing=1.2
    )
    labels = [f"{_named(result, name)}\nn {result['n'][name]:,}" for name in names]
    panels[-1].set_xticks(where, labels, rotation=50, ha="right", rotation_mode="anchor", fontsize=7.5)
    panels[-1].set_xlim(-0.6, len(names) - 0.4)
    return figure


@styled
def roc_figure(result: Result) -> Figure:
    """Averaged ROC curves of the three columns (Figure 6), beside the same on a logarithmic axis."""
    roc = result["roc"]
    rate = np.array(roc["rate"])
    figure = new_figure(3.9)
    panels = figure.subplots(1, 2, sharey=True)
    looks = (("leak", ACCENT, LEAK), ("design", FOURTH, DESIGN), ("ours", MAIN, OURS))
    scores = {"leak": result["leak"], **result["honest"]}
    for panel, logarithmic in zip(panels, (False, True), strict=True):
        for key, colour, title in looks:
            micro, macro = roc[key]["micro_auc"]["mean"], scores[key]["sixteen"]["macro_auc"]["mean"]
            for kind, style, area in (("micro", "-", micro), ("macro", ":", macro)):
                mean, std = (np.array(roc[key][kind][part]) for part in ("mean", "std"))
                label = f"{title}\n{kind}, AUC {area:.3f}" if kind == "micro" else f"{kind}, AUC {area:.3f}"
                panel.plot(rate, mean, color=colour, ls=style, lw=1.7, label=label)
                panel.fill_between(rate, mean - std, mean + std, color=colour, alpha=0.18, lw=0)
        diagonal = np.logspace(-4, 0, 60)
        panel.plot(diagonal, diagonal, color=FAINT, lw=0.9, ls="--", label="chance")
        panel.set_xlabel("false positive rate")
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1.01)
        panel.grid()
        if logarithmic:
            panel.set_xscale("log")
            panel.set_xlim(10**-3.5, 1)
    panels[0].set_ylabel("true positive rate")
    panels[0].legend(loc="lower right", fontsize=7.2)
    return figure


@styled
def auc_figure(result: Result) -> Figure:
    """AUC of each class, with the printed average."""
    names = _by_frequency(result)[::-1]
    where = np.arange(len(names))
    figure = new_figure(4.6)
    panel = figure.subplots()
    tables = {"leak": result["leak"], **result["honest"]}
    looks = (
        ("leak", ACCENT, "x", LEAK, 0.22),
        ("design", FOURTH, "s", DESIGN, 0.0),
        ("ours", MAIN, "o", OURS, -0.22),
    )
    lowest = 0.9
    for key, colour, marker, label, shift in looks:
        mean, std = _column(tables[key], names, "auc")
        panel.errorbar(
            mean, where + shift, xerr=std, fmt=marker, color=colour, ms=5, mew=1.5, lw=1.0, label=label
        )
        lowest = min(lowest, float(np.nanmin(mean - std)))
    printed = result["printed"]["macro_auc"]
    panel.axvline(printed, color=INK, lw=1.1, ls=":", label=f"printed average, {printed:.2f}")
    _mark_simulated(panel.axhspan, result, names)
    panel.set_yticks(where, [f"{_named(result, name)}, n {result['n'][name]:,}" for name in names])
    panel.set_ylim(-0.6, len(names) - 0.4)
    panel.set_xlim(lowest - 0.01, 1.002)
    panel.set_xlabel("AUC, one class against the rest")
    panel.grid(axis="x")
    panel.legend(ncols=4, loc="lower left", bbox_to_anchor=(-0.2, 1.0), borderaxespad=0.2, columnspacing=1.2)
    return figure


@styled
def pattern_figure(result: Result) -> Figure:
    """Printed F1 of each class against what might explain it, one panel each."""
    pattern = result["pattern"]
    names = [name for name in pattern["copies"] if name in result["printed"]["per_class"]]
    printed = np.array([result["printed"]["per_class"][name]["f1"] for name in names])
    tables = {"leak": result["leak"], **result["honest"]}
    figure = new_figure(7.4)
    panels = figure.subplots(2, 2, sharey=True)
    looks = (
        ("leak", ACCENT, f"F1, {LEAK}"),
        ("design", FOURTH, f"F1, {DESIGN}"),
        ("ours", MAIN, f"F1, {OURS}"),
        ("copies", INK, "rows per object in the balanced set"),
    )
    for panel, (key, colour, title) in zip(panels.ravel(), looks, strict=True):
        if key == "copies":
            x = np.array([pattern["copies"][name] for name in names])
            panel.set_xscale("log")
            panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            x, _ = _column(tables[key], names, "f1")
            panel.plot([0.0, 1.0], [0.0, 1.0], color=FAINT, lw=0.9, ls="--", zorder=1)
        found = pattern["correlation"][key]["all"]
        _scatter(panel, result, names, x, printed, colour)
        panel.set_xlabel(title)
        if found["rho"] is not None:
            panel.set_title(f"rank correlation {found['rho']:.2f}, p {found['p']:.2g}", loc="left")
    for panel in panels[:, 0]:
        panel.set_ylabel("F1, printed")
    return figure


@styled
def anatomy_figure(result: Result) -> Figure:
    """Accuracy and macro F1 for each way to deal rows, by the booster and by the nearest neighbour."""
    rows = result["anatomy"][::-1]
    where = np.arange(len(rows))
    figure = new_figure(2.9)
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (metric, title) in zip(
        panels, {"accuracy": "accuracy", "macro_f1": "macro F1"}.items(), strict=True
    ):
        for who, marker, shift, label in (
            ("booster", "o", 0.13, "boosted trees"),
            ("nearest", "s", -0.13, "nearest neighbour"),
        ):
            for y, row in zip(where, rows, strict=True):
                values = row[who]["sixteen"][metric]["folds"]
                colour = ACCENT if row["arm"] == "leak" else MAIN
                face = colour if who == "booster" else "white"
                panel.plot(
                    values, np.full(len(values), y + shift), marker, mfc=face, mec=colour, ms=5, ls="none"
                )
            panel.plot(
                [], [], marker, mfc=INK if who == "booster" else "white", mec=INK, ls="none", label=label
            )
        panel.set_xlabel(f"{title}, sixteen classes")
        panel.set_xlim(0, 1.02)
        panel.grid()
    panels[0].set_yticks(where, [_wrapped(row["title"]) for row in rows])
    panels[0].set_ylim(-0.5, len(rows) - 0.5)
    panels[0].legend(ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
    return figure


# --- private --------------------------------------------------------------------


def _by_frequency(result: Result) -> list[str]:
    return sorted(result["n"], key=lambda name: (-result["n"][name], name))


def _named(result: Result, name: str) -> str:
    return f"{name} (simulated)" if name in result["simulated"] else name


def _wrapped(title: str) -> str:
    head, _, tail = title.partition(", ")
    return f"{head},\n{tail}"


def _column(table: Result, names: Sequence[str], metric: str) -> tuple[FloatArray, FloatArray]:
    """Means and spreads by class; an unknown mean is NaN, an unknown spread 0."""
    rows = [table["sixteen"]["per_class"].get(name, {}).get(metric) or {} for name in names]
    mean = np.array([np.nan if row.get("mean") is None else row["mean"] for row in rows])
    std = np.array([0.0 if row.get("std") is None else row["std"] for row in rows])
    return mean, std


def _mark_simulated(span: Any, result: Result, names: Sequence[str]) -> None:
    for k, name in enumerate(names):
        if name in result["simulated"]:
            span(k - 0.5, k + 0.5, color=_BAND, zorder=0, lw=0)


def _scatter(
    panel: Axes, result: Result, names: Sequence[str], x: FloatArray, y: FloatArray, colour: str
) -> None:
    """Points, simulated classes open, and their names in a column beside them, joined by lines."""
    open_ = np.array([name in result["simulated"] for name in names])
    panel.plot(x[~open_], y[~open_], "o", color=colour, ls="none", ms=5, zorder=3)
    panel.plot(x[open_], y[open_], "o", mfc="white", mec=colour, ls="none", ms=5, mew=1.3, zorder=3)
    panel.set_ylim(0.57, 1.03)
    left, right = _x_limits(panel, x)
    order = np.lexsort((x, y))[::-1]
    for k, text_y in zip(order, _spread_down(y[order], 0.0285, highest=1.022), strict=True):
        panel.plot([x[k], right], [y[k], text_y], color="#CCCCCC", lw=0.5, zorder=1)
        shown = f"{names[k]} (simulated)" if open_[k] else names[k]
        panel.text(right, text_y, f" {shown}", fontsize=6.8, va="center", ha="left")
    panel.set_xlim(left, right)
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.grid()


def _x_limits(panel: Axes, x: FloatArray) -> tuple[float, float]:
    if panel.get_xscale() == "log":
        return 0.8 * float(x.min()), 1.6 * float(x.max())
    return max(-0.02, float(np.nanmin(x)) - 0.05), 1.04


def _spread_down(y: FloatArray, step: float, highest: float) -> list[float]:
    """Heights of labels for falling `y`: a little above the point, yet a step below the label before."""
    places: list[float] = []
    for value in y.tolist():
        free = places[-1] - step if places else highest
        places.append(min(free, value + 1.5 * step))
    return places
