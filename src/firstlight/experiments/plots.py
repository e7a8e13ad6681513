"""Figures of a tuning: the loss per trial, the importance of each setting, all trials together.

Each function reads ``Tuning.trials`` of `firstlight.experiments.study`.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from firstlight.errors import DataError
from firstlight.report.style import ACCENT, FAINT, INK, MAIN, new_figure, styled

Trials = Sequence[Mapping[str, Any]]

LOSS = "inner log-loss [nat]"
COLOURS = "cividis"  # for any kind of colour vision; dark is good


@styled
def tuning_history(trials: Trials, untuned: float | None = None) -> Figure:
    """The loss of every trial, and the lowest so far; losses far above the others lie at the upper edge.

    `untuned` is the loss of the untuned settings on the same inner folds.
    """
    number, value = _column(trials, "number"), _column(trials, "value")
    complete = np.array([row["state"] == "complete" for row in trials])
    top = _upper_edge(value, untuned)
    figure = new_figure(3.0)
    panel = figure.subplots()
    looks: dict[str, Any] = {"ls": "", "clip_on": False, "zorder": 3}
    for chosen, marker, colour, name in (
        (complete, "o", MAIN, "all inner folds"),
        (~complete, "x", "#888888", "stopped early: the inner folds that ran"),
    ):
        inside = chosen & (value <= top)
        label = f"{name} ({chosen.sum()})"
        panel.plot(number[inside], value[inside], marker=marker, color=colour, label=label, **looks)
        n_above = int((chosen & ~inside).sum())
        if n_above:
            panel.plot(number[chosen & ~inside], np.full(n_above, top), marker="^", color=colour, **looks)
    best = np.array([np.nan if row["best"] is None else row["best"] for row in trials])
    panel.step(number, best, where="post", color=ACCENT, label=f"lowest so far: {np.nanmin(best):.3f}")
    if untuned is not None:
        panel.axhline(untuned, color=INK, ls="--", lw=1.0, label=f"untuned settings: {untuned:.3f}")
    panel.set_xlabel("trial" + (" (triangles: above the panel)" if (value > top).any() else ""))
    panel.set_ylabel(LOSS)
    panel.set_ylim(None, top)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.grid(axis="y")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@styled
def parameter_importance(importances: Mapping[str, float], names: Mapping[str, str]) -> Figure:
    """Share of the variance of the loss, 0 to 1, that each setting explains, labelled by `names`."""
    keys = sorted(importances, key=lambda key: importances[key])
    shares = [importances[key] for key in keys]
    figure = new_figure(0.8 + 0.3 * len(keys))
    panel = figure.subplots()
    bars = panel.barh([names.get(key, key) for key in keys], shares, color=MAIN, height=0.65)
    panel.bar_label(bars, fmt="{:.2f}", padding=3, fontsize=8)
    panel.set_xlim(0.0, max(1.12 * max(shares), 0.1))
    panel.set_xlabel("share of the variance of the inner log-loss (fANOVA)")
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x")
    return figure


@styled
def parallel_coordinates(trials: Trials, names: Mapping[str, str], log: Sequence[str] = ()) -> Figure:
    """Every trial as a line through its settings to its loss; trials that were stopped are grey.

    `names` gives the settings in order with their labels, `log` those on a logarithmic axis.
    """
    value = _column(trials, "value")
    complete = np.array([row["state"] == "complete" for row in trials])
    top = _upper_edge(value, None)
    axes = [_Scale(name, _column(trials, name), name in log) for name in names]
    axes.append(_Scale("value", np.minimum(value, top), False))
    heights = np.array([axis.place(axis.values) for axis in axes])
    figure = new_figure(3.4)
    panel = figure.subplots()
    shade = Normalize(value[complete].min(), max(top, value[complete].min() + 1e-9), clip=True)
    mapping = ScalarMappable(shade, COLOURS)
    where = np.arange(len(axes))
    panel.plot(where, heights[:, ~complete], color=FAINT, lw=0.5, alpha=0.6, zorder=1)
    order = np.flatnonzero(complete)[np.argsort(-value[complete], kind="stable")]  # the best is drawn last
    for k in order[:-1]:
        panel.plot(where, heights[:, k], color=mapping.to_rgba(value[k]), lw=0.9, alpha=0.85, zorder=2)
    best = order[-1]
    panel.plot(where, heights[:, best], color=ACCENT, lw=2.4, marker="o", zorder=4, clip_on=False)
    for x, axis in enumerate(axes):
        axis.draw(panel, x)
    words = [fill(text, 14) for text in names.values()]
    panel.set_xticks(where, [*words, LOSS.replace(" [", "\n[")])
    panel.tick_params(axis="x", length=0)
    panel.set_yticks([])
    panel.spines[:].set_visible(False)
    panel.set_xlim(-0.35, len(axes) - 0.7)
    panel.set_title(
        f"best: trial {trials[int(best)]['number']}, {value[best]:.3f} nat", loc="left", color=ACCENT
    )
    figure.colorbar(mapping, ax=panel, label=LOSS, pad=0.02, aspect=30, shrink=0.9)
    return figure


class _Scale:
    """One upright axis of the parallel coordinates."""

    def __init__(self, name: str, values: NDArray[np.float64], log: bool) -> None:
        self.name, self.values, self.log = name, values, log
        self.low, self.high = float(values.min()), float(values.max())

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of values, 0 to 1."""
        low, high = self._seen(np.array([self.low, self.high]))
        if high <= low:
            return np.full(len(values), 0.5)
        return np.asarray((self._seen(values) - low) / (high - low))

    def draw(self, panel: Axes, x: float) -> None:
        """Draw the axis with its ticks at a position of the panel."""
        panel.plot([x, x], [0.0, 1.0], color=INK, lw=0.8, zorder=3)
        for tick in self._ticks():
            height = float(self.place(np.array([tick]))[0])
            panel.plot([x - 0.02, x], [height, height], color=INK, lw=0.8, zorder=3)
            panel.annotate(
                f"$10^{{{np.log10(tick):.0f}}}$" if self.log and not 0.01 <= tick <= 1000.0 else f"{tick:g}",
                (x - 0.035, height),
                ha="right",
                va="center",
                fontsize=7.5,
                zorder=5,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
            )

    def _seen(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.log10(values)) if self.log else values

    def _ticks(self) -> NDArray[np.float64]:
        if self.log:
            step = np.arange(np.floor(np.log10(self.low)), np.ceil(np.log10(self.high)) + 1.0)
            ticks = 10.0**step
        else:
            whole = bool((self.values == np.round(self.values)).all())
            ticks = np.asarray(MaxNLocator(5, integer=whole).tick_values(self.low, self.high))
        inside = ticks[(ticks >= self.low * (1.0 - 1e-9)) & (ticks <= self.high * (1.0 + 1e-9))]
        return np.asarray(inside if len(inside) else np.array([self.low]))


def _column(trials: Trials, name: str) -> NDArray[np.float64]:
    if not any(row["state"] == "complete" for row in trials):
        raise DataError("no trial of this tuning is complete; there is nothing to draw")
    return np.array([row[name] for row in trials], dtype=np.float64)


def _upper_edge(value: NDArray[np.float64], untuned: float | None) -> float:
    """Upper limit of the loss axis, so that a few poor trials do not compress the others."""
    low, most = float(value.min()), float(np.quantile(value, 0.85))
    edge = max(low + 1.25 * (most - low), low if untuned is None else untuned + 0.05 * abs(untuned - low))
    return float(min(edge, value.max())) if value.max() > low else low + 0.1
