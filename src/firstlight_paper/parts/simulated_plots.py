"""Pictures of the part on simulated classes, from its JSON alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from firstlight.bands import BANDS
from firstlight.report.lightcurves import BAND_COLOUR, BAND_MARKER
from firstlight.report.plots import confusion_matrix
from firstlight.report.style import ACCENT, FAINT, INK, MAIN, new_figure, panel_grid, styled
from firstlight_paper.objects import PAPER_CLASSES, SIMULATED_CLASSES

__all__ = ["beside_real", "confusion", "distributions", "light_curves", "recognised"]

_COLOUR = {"real": MAIN, "simulated": ACCENT}
_LABEL = {
    "photo_z": "host photometric redshift",
    "brightest_mag": "brightest magnitude in r, i, z [AB]",
    "log10_n_detected": "detections",
}
_LEAST_SHARE = 0.02  # of either set, for a class to have bars of its own

Json = Mapping[str, Any]


def beside_real(populations: Json, classes: Sequence[str]) -> Figure:
    """Columns of real and simulated light curves, class by class."""
    return _curve_grid(
        [
            (populations[name]["class"], which, populations[name]["curves"][which])
            for name in classes
            for which in _COLOUR
        ]
    )


def light_curves(populations: Json, classes: Sequence[str]) -> Figure:
    """A column of simulated light curves for every class."""
    return _curve_grid([(name, "simulated", populations[name]["curves"]["simulated"]) for name in classes])


@styled
def _curve_grid(columns: Sequence[tuple[str, str, Sequence[Json]]]) -> Figure:
    n_rows = max(len(curves) for _, _, curves in columns)
    figure, panels = panel_grid(n_rows * len(columns), len(columns), 1.45, sharex=False, sharey=False)
    for column, (name, which, curves) in enumerate(columns):
        for row in range(n_rows):
            panel = panels[row * len(columns) + column]
            if row < len(curves):
                _curve_panel(panel, curves[row])
            else:
                panel.set_axis_off()
        panels[column].set_title(f"{name}, {which}", color=_COLOUR[which], fontweight="bold")
    handles = [
        Line2D([], [], color=BAND_COLOUR[band], marker=BAND_MARKER[band], ls="", label=band) for band in BANDS
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(BANDS))
    figure.supxlabel("days since trigger", fontsize=9)
    figure.supylabel("flux [µJy]", fontsize=9)
    return figure


def _curve_panel(panel: Axes, curve: Json) -> None:
    day, band, flux, error = (np.asarray(curve[name]) for name in ("day", "band", "flux", "flux_err"))
    panel.axhline(0.0, color=FAINT, lw=0.6)
    for index, name in enumerate(BANDS):
        own = band == index
        panel.errorbar(
            day[own],
            flux[own],
            error[own],
            fmt=BAND_MARKER[name],
            color=BAND_COLOUR[name],
            ms=2.8,
            lw=0.7,
            ls="",
        )
    panel.text(
        0.97,
        0.95,
        f"photo-z {curve['photo_z']:.2f}",
        transform=panel.transAxes,
        ha="right",
        va="top",
        fontsize=7.5,
    )
    panel.tick_params(labelsize=7)
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.18 * (high - low))  # room for the redshift


@styled
def distributions(populations: Json) -> Figure:
    """Histograms on common bins: a row for each class with real objects, one for those without."""
    checked = [name for name in populations if "real" in populations[name]["curves"]]
    rows = [[name] for name in checked] + [[name for name in populations if name not in checked]]
    figure, panels = panel_grid(len(rows) * len(_LABEL), len(_LABEL), 1.6, sharex=False, sharey=False)
    styles = ("-", "--", ":")
    for row, names in enumerate(rows):
        for column, feature in enumerate(_LABEL):
            panel = panels[row * len(_LABEL) + column]
            for style, name in zip(styles, names, strict=False):
                found = populations[name]["distributions"][feature]
                colour = ACCENT if len(names) == 1 else (ACCENT, INK, MAIN)[styles.index(style)]
                if "real" in found:
                    panel.stairs(
                        found["real"], found["edges"], fill=True, color=MAIN, alpha=0.35, label="real"
                    )
                label = f"{name}, simulated" if len(names) > 1 else "simulated"
                panel.stairs(found["simulated"], found["edges"], color=colour, ls=style, lw=1.5, label=label)
            if feature == "log10_n_detected":
                _log_ticks(panel)
            if row == len(rows) - 1:
                panel.set_xlabel(_LABEL[feature])
            if column == 0:
                panel.set_ylabel(f"share of\n{_named(names[0]) if len(names) == 1 else 'simulated class'}")
        panels[row * len(_LABEL)].legend(fontsize=7.5)
    return figure


def _named(kind: str) -> str:
    return kind.replace("-template", " (template)")


def _log_ticks(panel: Axes) -> None:
    low, high = panel.get_xlim()
    ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200) if low <= np.log10(n) <= high]
    panel.set_xticks(np.log10(ticks), [str(n) for n in ticks])


@styled
def recognised(results: Json) -> Figure:
    """Shares of the classes that real and simulated objects are called, bars side by side."""
    figure = new_figure(2.5 * len(results) + 0.3)
    panels = figure.subplots(len(results), 1, squeeze=False)[:, 0]
    for panel, (name, both) in zip(panels, results.items(), strict=True):
        shares = {
            which: np.array([both[which]["said"][label] for label in PAPER_CLASSES]) / both[which]["n"]
            for which in _COLOUR
        }
        most = np.maximum(*shares.values())
        kept = np.flatnonzero(most >= min(_LEAST_SHARE, float(most.max())))
        for offset, (which, share) in zip((-0.2, 0.2), shares.items(), strict=True):
            error = np.sqrt(share * (1.0 - share) / both[which]["n"])
            panel.bar(
                np.arange(len(kept)) + offset,
                share[kept],
                0.38,
                yerr=error[kept],
                color=_COLOUR[which],
                hatch="" if which == "real" else "///",
                edgecolor="white",
                ecolor=INK,
                error_kw={"lw": 0.9},
                label=f"{which} ({both[which]['n']:,})",
            )
        panel.set_xticks(np.arange(len(kept)), [PAPER_CLASSES[k] for k in kept])
        panel.set_ylabel(f"share of {_named(name)}")
        panel.set_xlabel("called")
        panel.grid(axis="y")
        panel.legend(title=f"{_named(name)}: objects")
    return figure


def confusion(matrix: Sequence[Sequence[int]]) -> Figure:
    """The rows of the simulated classes of a confusion matrix over the paper's sixteen."""
    cells = np.array(matrix)
    cells[[k for k, name in enumerate(PAPER_CLASSES) if name not in SIMULATED_CLASSES]] = 0
    return confusion_matrix(cells, PAPER_CLASSES)
