"""Common style of all figures: type, lines, and one colour and marker per class.

Figures are made without pyplot, so that they show no window, are freed, and can be drawn in
threads. Colours are Tol's muted and Okabe and Ito's sets, which differ for any colour vision;
markers, labels or separate panels distinguish classes too, never colour alone.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

P = ParamSpec("P")

MAIN = "#0072B2"  # Okabe & Ito's blue, vermillion, green and sky blue
ACCENT = "#D55E00"
THIRD = "#009E73"
FOURTH = "#56B4E9"
INK = "#222222"
FAINT = "#BBBBBB"

#: One colour per class; classes of the Milky Way are green to grey.
CLASS_COLOUR: Mapping[str, str] = MappingProxyType(
    {
        "SNIa": "#0072B2",
        "SNIa-91bg": "#56B4E9",
        "SNIax": "#332288",
        "SNIbc": "#AA4499",
        "SNII": "#882255",
        "SLSN-I": "#D55E00",
        "TDE": "#E69F00",
        "KN": "#CC3311",
        "AGN": "#000000",
        "CaRT": "#EE8866",
        "ILOT": "#CC6677",
        "PISN": "#DDCC77",
        "EB": "#117733",
        "RRL": "#44AA99",
        "Mira": "#999933",
        "M-dwarf": "#777777",
        "muLens-Single": "#A5C400",
    }
)
#: One marker per class; classes of similar colour differ in shape.
CLASS_MARKER: Mapping[str, str] = MappingProxyType(
    dict(
        zip(
            CLASS_COLOUR,
            ("o", "s", "D", "^", "v", "P", "X", "*", "o", "D", "s", "^", "o", "s", "D", "^", "v"),
            strict=True,
        )
    )
)

STYLE: Mapping[str, Any] = MappingProxyType(
    {
        "font.size": 9.0,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9.0,
        "xtick.labelsize": 8.0,
        "ytick.labelsize": 8.0,
        "legend.fontsize": 8.0,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#555555",
        "axes.linewidth": 0.7,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": "#444444",
        "ytick.color": "#444444",
        "lines.linewidth": 1.5,
        "lines.markersize": 4.5,
        "grid.color": "#E2E2E2",
        "axes.axisbelow": True,
        "grid.linewidth": 0.6,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "figure.dpi": 120.0,
        "savefig.dpi": 150.0,
        "pdf.fonttype": 42,  # text stays text
        "svg.hashsalt": "firstlight",  # same figure, same bytes
    }
)
PAGE_WIDTH = 7.2  # inch; two columns of a journal


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw with the common style; matplotlib's global settings stay unchanged."""

    @wraps(draw)
    def with_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(dict(STYLE)):
            return draw(*args, **kwargs)

    return with_style


class Picture(Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        save_figure(self, file, "png")
        return file.getvalue()


def new_figure(height: float, width: float = PAGE_WIDTH) -> Figure:
    """A figure of this size [inch] with constrained layout, without a display."""
    figure = Picture(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panel_grid(
    n_panels: int, n_columns: int, panel_height: float, *, sharex: bool = True, sharey: bool = True
) -> tuple[Figure, list[Axes]]:
    """A page-wide grid of equal panels; surplus places stay empty.

    Parameters
    ----------
    n_panels, n_columns : int
        Number of panels, and of columns.
    panel_height : float
        Height per row [inch].
    sharex, sharey : bool
        Whether panels share limits; then only the outer ones have tick labels.

    Returns
    -------
    Figure
        The figure.
    list of Axes
        The `n_panels` panels, row by row.
    """
    n_rows = -(-n_panels // n_columns)
    figure = new_figure(panel_height * n_rows + 0.4)
    grid = figure.subplots(n_rows, n_columns, sharex=sharex, sharey=sharey, squeeze=False)
    panels = list(grid.ravel())
    for position, panel in enumerate(panels):
        if position >= n_panels:
            panel.set_axis_off()
        elif position + n_columns >= n_panels:  # the lowest of its column
            panel.xaxis.set_tick_params(labelbottom=True)
    return figure, panels[:n_panels]


def label_panels(figure: Figure, x: str, y: str) -> None:
    """Label the axes of all panels together."""
    figure.supxlabel(x, fontsize=9)
    figure.supylabel(y, fontsize=9)


def legend_above(figure: Figure, panel: Axes, n_columns: int) -> None:
    """Put the legend of one panel above all of them."""
    handles, words = panel.get_legend_handles_labels()
    figure.legend(handles, words, loc="outside upper center", ncols=n_columns)


def save_figure(figure: Figure, target: str | Path | BinaryIO, kind: str | None = None) -> None:
    """Write a figure; the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
        Any figure.
    target : path or binary stream
        Where to write it.
    kind : {"png", "svg", "pdf"}, optional
        Format; by default the suffix of `target`.
    """
    if kind is None:
        kind = Path(str(target)).suffix.lower().removeprefix(".")
    stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with mpl.rc_context(dict(STYLE)):
        figure.savefig(target, format=kind, metadata=stamp.get(kind))
