"""An explanation as tables, as a figure, and as one HTML page without script or network."""

import base64
import io
from importlib import resources

import jinja2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from firstlight._version import __version__
from firstlight.bands import BANDS
from firstlight.pipeline.explanation import Explanation, Nearest, Why, factor_text
from firstlight.report.explanation_tables import N_GROUPS, tables_of
from firstlight.report.lightcurves import (
    BAND_COLOUR,
    Curve,
    around,
    draw_light_curve,
    draw_probabilities,
    probabilities_of,
    select_observations,
    title_of,
)
from firstlight.report.style import ACCENT, FAINT, INK, MAIN, new_figure, save_figure, styled

_NEAR_WINDOW = (-40.0, 120.0)  # days since trigger in the panels of training objects
_LEAST_SHARE = 0.01  # of the largest weight; a smaller bar is not drawn


# --- figures ----------------------------------------------------------------------


@styled
def plot_explanation(made: Explanation) -> Figure:
    """Light curve with its reconstruction and probabilities, reasons as bars, nearest training objects."""
    n_why, n_near = len(made.why), len(made.nearest)
    heights = [3.3, *[2.1] * n_why, *([1.5] if n_near else [])]
    figure = new_figure(sum(heights) + 0.3)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    panel, bars = parts[0].subplots(1, 2, width_ratios=(3.6, 1.0))
    curve, models = made.curve, models_of(made)
    if (window := around(curve.mjd[curve.detected])) is not None:
        curve = select_observations(curve, (curve.mjd >= window[0]) & (curve.mjd <= window[1]))
        models = {b: _within(model, window) for b, model in models.items() if b in curve.band}
    handles = draw_light_curve(panel, curve, models=models)
    panel.set_title(title_of(made.curve), loc="left", parse_math=False)
    if models:
        handles.append(Line2D([], [], color=FAINT, label="autoencoder"))
    parts[0].legend(handles=handles, ncols=len(handles), loc="outside lower center", handletextpad=0.4)
    draw_probabilities(bars, probabilities_of(made.predictions), made.predictions.sets[0])
    for part, why in zip(parts[1 : 1 + n_why], made.why, strict=True):
        draw_reasons(part.subplots(), why)
    if n_near:
        for small, near in zip(parts[-1].subplots(1, n_near, squeeze=False)[0], made.nearest, strict=True):
            draw_neighbour(small, near)
    return figure


def models_of(made: Explanation) -> dict[int, Curve]:
    """The reconstruction as curves by band, as it compares with the observations."""
    recon, decoded = made.reconstruction, made.decoded()
    if recon is None or decoded is None:
        return {}
    return {b: Curve(recon.mjd, decoded[:, b]) for b in np.unique(made.curve.band).tolist()}


def _within(model: Curve, window: tuple[float, float]) -> Curve:
    """The part of a curve in a window of times."""
    inside = (model.mjd >= window[0]) & (model.mjd <= window[1])
    return Curve(model.mjd[inside], model.flux[inside])


def draw_reasons(panel: Axes, why: Why) -> None:
    """Weights of the groups as bars to the right for the favoured class, to the left for the other."""
    largest = max((abs(one.weight) for one in why.reasons), default=1.0)
    shown = [one for one in why.reasons[:N_GROUPS] if abs(one.weight) > _LEAST_SHARE * largest][::-1]
    weight = [one.weight for one in shown]
    colours = [MAIN if w > 0 else ACCENT for w in weight]
    panel.barh(range(len(shown)), weight, color=colours, height=0.62)
    for k, w in enumerate(weight):
        panel.annotate(
            factor_text(w), (w, k), xytext=(4 if w > 0 else -4, 0), textcoords="offset points",
            ha="left" if w > 0 else "right", va="center", fontsize=7.5, color=INK,
        )  # fmt: skip
    panel.set_yticks(range(len(shown)), [one.group for one in shown])
    panel.tick_params(axis="y", length=0)
    panel.axvline(0.0, color=FAINT, linewidth=0.8)
    panel.margins(x=0.16)
    panel.set_xlabel(f"natural logarithm of the factor for {why.favoured} against {why.against}")
    panel.grid(visible=True, axis="x")


def draw_neighbour(panel: Axes, near: Nearest) -> None:
    """The light curve of a training object in a small panel, around its first detection."""
    curve = near.curve
    time = curve.mjd - curve.trigger_mjd
    for band in np.unique(curve.band).tolist():
        own = (curve.band == band) & (time >= _NEAR_WINDOW[0]) & (time <= _NEAR_WINDOW[1])
        panel.plot(time[own], curve.flux[own] / 1000.0, ".", markersize=2.6, color=BAND_COLOUR[BANDS[band]])
    panel.set_title(f"{near.label}, {near.distance:.1f}", fontsize=8.0, parse_math=False)
    panel.tick_params(labelsize=6.5)
    panel.set_xlim(_NEAR_WINDOW)


# --- page -------------------------------------------------------------------------


def explanation_page(made: Explanation) -> str:
    """One HTML page: the sentences, the figure and the tables."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("firstlight.report").joinpath("explanation.html.j2").read_text(encoding="utf-8")
    stream = io.BytesIO()
    save_figure(plot_explanation(made), stream, "svg")
    return environment.from_string(source).render(
        name=made.curve.object_id,
        version=__version__,
        sentences=made.sentences(),
        tables=tables_of(made),
        image=f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}",
    )
