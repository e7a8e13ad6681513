"""The curve of table 1."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight.report.style import ACCENT, INK, MAIN, THIRD, new_figure, styled

__all__ = ["draw_curve"]

Rows = Sequence[Mapping[str, Any]]


@styled
def draw_curve(rows: Rows) -> Figure:
    """Draw accuracy by number of latents, and the validation loss beneath.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of ``table_1``.

    Returns
    -------
    Figure
        Two panels.
    """
    figure = new_figure(5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.3, 1.0))
    _accuracy(upper, rows)
    _with_spread(lower, rows, [row["validation_loss"] for row in rows], THIRD, "s", None)
    lower.set_ylabel("lowest validation\nloss")
    lower.set_xlabel("number of latents")
    lower.set_xticks([row["n_latents"] for row in rows])
    for panel in (upper, lower):
        panel.grid()
    return figure


def _accuracy(panel: Axes, rows: Rows) -> None:
    _with_spread(panel, rows, [row["honest"] for row in rows], MAIN, "o", "honest, 16 classes")
    real = [row["scores"]["real"]["accuracy"] for row in rows]
    mean = _numbers(value["mean"] for value in real)
    n = _latents(rows)
    panel.plot(n, mean, color=MAIN, ls=":", lw=1.2, marker=".", label="honest, 13 real classes")
    panel.plot(
        n,
        _numbers(row["leak"] for row in rows),
        color=ACCENT,
        ls="--",
        marker="D",
        label="its protocol (leaks)",
    )
    printed = [row for row in rows if row["printed"] is not None]
    values = [row["printed"] for row in printed]
    panel.plot(_latents(printed), values, color=INK, ls="-", lw=0.8, marker="o", mfc="white", label="printed")
    chance = rows[0]["most_frequent"]
    panel.axhline(chance, color=INK, lw=0.8, ls=(0, (1, 3)), label="always the largest class")
    for row in rows:
        if "reference" in row:
            value, note = row["reference"]["honest"], row["reference"]
            label = f"honest, {note['epochs']} epochs, {note['spread_over']}"
            error = None if value["std"] is None else [value["std"]]
            panel.errorbar(
                [row["n_latents"] + 0.22], [value["mean"]], yerr=error, color=THIRD, fmt="^", label=label
            )  # fmt: skip
    panel.set_ylim(0.0, 1.0)
    panel.set_ylabel("accuracy")
    panel.legend(loc="lower right", ncols=2)


def _with_spread(
    panel: Axes, rows: Rows, values: Sequence[Mapping[str, Any]], colour: str, marker: str, label: str | None
) -> None:
    mean = _numbers(value["mean"] for value in values)
    std = np.nan_to_num(_numbers(value["std"] for value in values))
    n = _latents(rows)
    panel.fill_between(n, mean - std, mean + std, color=colour, alpha=0.2, lw=0)
    panel.plot(n, mean, color=colour, marker=marker, label=label)


def _latents(rows: Rows) -> NDArray[np.float64]:
    return np.array([row["n_latents"] for row in rows], dtype=np.float64)


def _numbers(values: Any) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
