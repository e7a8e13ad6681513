"""Panel of class probabilities against time."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from firstlight._types import BoolArray, FloatArray, IntArray
from firstlight.report.style import CLASS_COLOUR, CLASS_MARKER, FAINT, INK
from firstlight.timeline import Timeline

_MOST_CLASSES = 6
_SMALLEST_SHOWN = 0.05  # a class that never reaches this probability joins "other"
_MOST_MARKERS = 25  # per line


def draw_timeline(
    panel: Axes, timeline: Timeline, time: FloatArray, span: tuple[float, float] | None = None
) -> None:
    """Draw the probabilities of the most probable classes as steps, with a legend beside the panel.

    `time` is that of each answer in units of the axis, shape (n_answers,), and `span` the part of the axis
    that is shown: the legend gives the probabilities of the last answer in it. Grey stands for nights
    without a classification.
    """
    classified = timeline.predictions.is_classified
    inside = np.full(len(time), True) if span is None else (time >= span[0]) & (time <= span[1])
    proba = np.where(classified[:, None], timeline.predictions.proba, np.nan)
    chosen = _most_probable(proba[inside & classified])
    last = np.flatnonzero(inside & classified)[-1:]
    handles = []
    for k in chosen.tolist():
        name = timeline.predictions.classes[k]
        handles.append(_line(panel, time, proba[:, k], name, last))
    other = proba.sum(axis=1) - proba[:, chosen].sum(axis=1)
    if len(chosen) and np.nanmax(other[inside], initial=0.0) >= _SMALLEST_SHOWN:
        handles.append(_line(panel, time, other, "other", last))
    title = f"after {_observations(timeline, last)}" if len(last) else None
    legend: list[Line2D | Patch] = list(handles)
    if not classified[inside].all():
        _shade(panel, time, classified)
        legend.append(Patch(color="#EEEEEE", label="not classified"))
    panel.legend(
        handles=legend, title=title, title_fontsize=8.0, alignment="left",
        loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.5,
    )  # fmt: skip
    panel.axvline(0.0, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    panel.set_ylim(-0.02, 1.02)
    panel.set_ylabel("probability")
    panel.grid(visible=True, axis="y")


def _most_probable(proba: FloatArray) -> IntArray:
    """Columns of the classes to draw, the most probable in the last answer first."""
    if not len(proba):
        return np.empty(0, np.int64)
    highest = proba.max(axis=0)
    chosen = np.argsort(-highest, kind="stable")[:_MOST_CLASSES]
    chosen = chosen[highest[chosen] >= _SMALLEST_SHOWN]
    return chosen[np.argsort(-proba[-1, chosen], kind="stable")]


def _line(panel: Axes, time: FloatArray, proba: FloatArray, name: str, last: IntArray) -> Line2D:
    """Draw one class; an answer holds until the next one."""
    colour = CLASS_COLOUR.get(name, FAINT if name == "other" else INK)
    marker = CLASS_MARKER.get(name, "")
    every = max(1, -(-len(time) // _MOST_MARKERS))
    look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 3.4, "linewidth": 1.3}
    panel.plot(time, proba, drawstyle="steps-post", markevery=every, **look)
    value = f"  {proba[last[0]]:.2f}" if len(last) else ""
    return Line2D([], [], label=f"{name}{value}", **look)


def _observations(timeline: Timeline, last: IntArray) -> str:
    count = int(timeline.predictions.n_obs[last[0]])
    return f"{count:,} observation{'' if count == 1 else 's'}"


def _shade(panel: Axes, time: FloatArray, classified: BoolArray) -> None:
    """Shade the time from each answer without a classification to the next answer."""
    ends = np.append(time[1:], time[-1:])
    for k in np.flatnonzero(~classified).tolist():
        panel.axvspan(time[k], ends[k], color="#EEEEEE", linewidth=0.0, zorder=0)
