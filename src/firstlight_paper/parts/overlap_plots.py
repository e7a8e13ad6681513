"""Figures of the classes that look alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from firstlight.report.style import ACCENT, FOURTH, INK, MAIN, THIRD, new_figure, styled
from firstlight_paper.parts.limits import band, mean, tidy

__all__ = ["help_curves", "pair_curves"]

_COLOURS = (MAIN, ACCENT, THIRD, "#E69F00", "#AA4499")
_MARKERS = "osD^v"
_REDSHIFT = {
    "photo": ("photometric redshift", MAIN, "o", "-"),
    "spec": ("spectroscopic", THIRD, "D", "-"),
    "none": ("none", ACCENT, "s", "--"),
}
_ORDER = {
    "perfect": ("wrong ones first (a bound)", INK, "^", ":"),
    "entropy": ("most uncertain first", MAIN, "o", "-"),
    "random": ("at random", ACCENT, "s", "--"),
}


@styled
def pair_curves(honest: Mapping[str, Any], named: Sequence[Sequence[str]]) -> Figure:
    """Share of the errors by pair, and the errors of the first five by phase.

    Parameters
    ----------
    honest : mapping
        ``pairs``, ``phases``, ``error_rate``, as `overlap.measure` gives them.
    named : sequence of pairs of str
        Pairs to mark as named by the paper.
    """
    pairs = honest["pairs"]
    figure = new_figure(3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.15))
    names = [f"{a} / {b}" for a, b in (row["pair"] for row in pairs)]
    place = np.arange(len(pairs))
    for key, label, colour, marker, shift in (
        ("share_real", "real objects", MAIN, "o", -0.14),
        ("share", "16 classes", FOURTH, "s", 0.14),
    ):
        middle = [100.0 * mean(row[key]) for row in pairs]
        error = [100.0 * (row[key]["std"] or 0.0) for row in pairs]
        left.errorbar(
            middle, place + shift, xerr=error, color=colour, marker=marker, ls="none", capsize=2, label=label
        )
    for row, y in zip(pairs, place, strict=True):
        if row["pair"] in named:
            share = 100.0 * mean(row["share_real"])
            left.plot([share], [y - 0.14], marker="o", mfc="none", mec=ACCENT, ms=10, ls="none")
    left.plot([], [], marker="o", mfc="none", mec=ACCENT, ms=10, ls="none", label="named by the paper")
    left.set_yticks(place, names)
    left.invert_yaxis()
    left.set_xlim(left=0.0)
    tidy(left, "share of all errors [%]", "")
    left.legend(loc="lower right")
    x = range(len(honest["phases"]))
    for row, colour, marker in zip(pairs, _COLOURS, _MARKERS, strict=False):
        band(right, x, row["per_100"], colour, " / ".join(row["pair"]), marker)
    right.set_xticks(list(x), ["whole" if name == "all" else name for name in honest["phases"]])
    tidy(right, "days since trigger", "errors of the pair among 100 real objects")
    right.set_ylim(bottom=0.0)
    right.legend()
    return figure


@styled
def help_curves(honest: Mapping[str, Any]) -> Figure:
    """Skill by redshift and phase, and by share of spectra.

    Parameters
    ----------
    honest : mapping
        ``redshift`` and ``spectra``, as `overlap.measure` gives them.
    """
    figure = new_figure(5.4)
    panels = figure.subplots(2, 2)
    phases = list(honest["redshift"])
    x = range(len(phases))
    scores = (("accuracy", "accuracy, 13 real classes"), ("macro_f1", "macro F1, 13 real classes"))
    for panel, (score, text) in zip(panels[0], scores, strict=True):
        for mode, (label, colour, marker, line) in _REDSHIFT.items():
            values = [honest["redshift"][phase][mode]["real"][score] for phase in phases]
            band(panel, x, values, colour, label, marker, line)
        panel.set_xticks(list(x), ["whole" if name == "all" else name for name in phases])
        tidy(panel, "days since trigger", text)
    panels[0, 0].legend(loc="lower right")
    early, whole = honest["spectra"]["8"], honest["spectra"]["all"]
    shares = [100.0 * share for share in whole["shares"]]
    for panel, (score, text) in zip(panels[1], scores, strict=True):
        for order, (label, colour, marker, line) in _ORDER.items():
            band(panel, shares, whole[order][score], colour, label, marker, line)
            panel.plot(shares, [mean(value) for value in early[order][score]], color=colour, ls=line, lw=0.7)
        tidy(panel, "objects with a spectrum [%]", text)
    panels[1, 0].legend(loc="lower right")
    return figure
