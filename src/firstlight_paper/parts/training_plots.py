"""Figures of the training choices: settings against the noise of seeds, and courses of the losses."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from firstlight.report.style import ACCENT, FOURTH, INK, MAIN, THIRD, new_figure, panel_grid, styled
from firstlight_paper.parts.training_words import baseline, changed

__all__ = ["draw_losses", "draw_settings"]

LOOKS = ((MAIN, "-"), (ACCENT, "--"), (THIRD, "-."))  # of the changed choices of a panel


@styled
def draw_settings(result: Mapping[str, Any]) -> Figure:
    """Draw every changed choice beside the seeds of the printed setting.

    Parameters
    ----------
    result : mapping
        The part's JSON.

    Returns
    -------
    Figure
        Validation loss on the left, accuracy on the right.
    """
    rows = changed(result)
    figure = new_figure(0.9 + 0.24 * (len(rows) + 1))
    panels = figure.subplots(1, 2, sharey=True)
    seeds = {
        "validation_loss": result["honest"]["validation_loss"]["folds"],
        "honest": result["honest"]["sixteen"]["accuracy"]["folds"],
    }
    titles = {"validation_loss": "lowest validation loss", "honest": "accuracy on unseen objects, 16 classes"}
    for panel, (measure, values) in zip(panels, seeds.items(), strict=True):
        mean, most = baseline(result, measure)
        if most is not None:
            panel.axvspan(mean - most, mean + most, color=FOURTH, alpha=0.25, lw=0)
        panel.axvline(mean, color=INK, lw=0.8, ls=":")
        panel.plot(values, [0] * len(values), ls="", marker="o", mfc="white", color=INK)
        for place, row in enumerate(rows, start=1):
            outside = most is not None and abs(row[measure] - mean) > most
            panel.plot(row[measure], place, marker="D" if outside else "o", color=ACCENT if outside else MAIN)
        panel.set_xlabel(titles[measure])
        panel.xaxis.set_major_locator(MaxNLocator(nbins=6))
        panel.grid(axis="x")
    names = ["as printed", *(f"{row['setting']} {row['value']}" for row in rows)]
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    return figure


@styled
def draw_losses(result: Mapping[str, Any]) -> Figure:
    """Draw the long trainings of the printed setting, and the validation loss of every choice.

    Parameters
    ----------
    result : mapping
        The part's JSON.

    Returns
    -------
    Figure
        A panel for the printed setting, and one for each choice.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in changed(result):
        groups.setdefault(row["setting"], []).append(row)
    printed = next(row["history"] for row in result["rows"] if row["setting"] == "printed")
    figure, panels = panel_grid(1 + len(groups), 3, 2.1, sharex=False, sharey=False)
    _long(panels[0], result["early_stopping"]["histories"])
    for panel, (setting, rows) in zip(panels[1:], groups.items(), strict=True):
        value = result["printed"][setting]
        _course(panel, printed, INK, "-", f"{value} (printed)")
        for row, (colour, line) in zip(rows, LOOKS, strict=False):
            _course(panel, row["history"], colour, line, f"{row['value']}")
        panel.set_title(setting, loc="left")
        panel.legend(fontsize=7)
    for panel in panels:
        panel.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        panel.grid()
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("loss", fontsize=9)
    return figure


def _long(panel: Axes, histories: Sequence[Sequence[Mapping[str, float]]]) -> None:
    for k, history in enumerate(histories):
        epochs = [row["epoch"] for row in history]
        for name, colour, line in (("train", MAIN, "-"), ("validation", ACCENT, "--")):
            losses = [row[f"{name}_loss"] for row in history]
            panel.plot(epochs, losses, color=colour, ls=line, lw=1.0, label=name if k == 0 else None)
        best = min(history, key=lambda row: row["validation_loss"])
        panel.plot(best["epoch"], best["validation_loss"], marker="o", ms=3.5, color=ACCENT)
    panel.set_title(f"as printed, {len(histories)} folds", loc="left")
    panel.legend(fontsize=7)


def _course(panel: Axes, history: Sequence[Mapping[str, float]], colour: str, line: str, label: str) -> None:
    panel.plot(
        [row["epoch"] for row in history],
        [row["validation_loss"] for row in history],
        color=colour,
        ls=line,
        lw=1.2,
        label=label,
    )
