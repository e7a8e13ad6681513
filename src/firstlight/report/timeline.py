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
_THICK, _THIN = 1.5, 0.6  # line inside and outside the prediction set [point]


def draw_timeline(
    panel: Axes,
    timeline: Timeline,
    time: FloatArray,
    span: tuple[float, float] | None = None,
    truth: str | None = None,
) -> None:
    """Draw the probabilities of the most probable classes as steps, with a legend beside the panel.

    `time` is that of each answer in units of the axis, shape (n_answers,), and `span` the part of the axis
    that is shown: the legend gives the probabilities of the last answer in it. Grey stands for nights
    without a classification. Lines are thin while their class is outside the prediction set; the true class
    is always drawn where it is given.
    """
    classified = timeline.predictions.is_classified
    inside = np.full(len(time), True) if span is None else (time >= span[0]) & (time <= span[1])
    proba = np.where(classified[:, None], timeline.predictions.proba, np.nan)
    chosen = _most_probable(proba[inside & classified], timeline.predictions.classes, truth)
    in_set = timeline.predictions.in_set
    last = np.flatnonzero(inside & classified)[-1:]
    handles = []
    for k in chosen.tolist():
        name = timeline.predictions.classes[k]
        members = in_set[:, k] if in_set.any() else np.ones(len(time), np.bool_)
        handles.append(_line(panel, time, proba[:, k], name, last, members, is_true=name == truth))
    other = proba.sum(axis=1) - proba[:, chosen].sum(axis=1)
    if len(chosen) and np.nanmax(other[inside], initial=0.0) >= _SMALLEST_SHOWN:
        handles.append(_line(panel, time, other, "other", last))
    legend: list[Line2D | Patch] = list(handles)
    if in_set.any() and not in_set[inside & classified][:, chosen].all():
        legend.append(Line2D([], [], color=INK, linewidth=_THIN, label="outside the set"))
    title = f"after {_observations(timeline, last)}" if len(last) else None
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


def _most_probable(proba: FloatArray, classes: tuple[str, ...], truth: str | None) -> IntArray:
    """Columns of the classes to draw, the most probable in the last answer first; the true one among them."""
    if not len(proba):
        return np.empty(0, np.int64)
    highest = proba.max(axis=0)
    chosen = np.argsort(-highest, kind="stable")[:_MOST_CLASSES]
    chosen = chosen[highest[chosen] >= _SMALLEST_SHOWN]
    if truth in classes and classes.index(truth) not in chosen:
        chosen = np.append(chosen[: _MOST_CLASSES - 1], classes.index(truth))
    return chosen[np.argsort(-proba[-1, chosen], kind="stable")]


def _line(
    panel: Axes,
    time: FloatArray,
    proba: FloatArray,
    name: str,
    last: IntArray,
    members: BoolArray | None = None,
    *,
    is_true: bool = False,
) -> Line2D:
    """Draw one class; an answer holds until the next one. The line is thick where `members` is true."""
    colour = CLASS_COLOUR.get(name, FAINT if name == "other" else INK)
    marker = CLASS_MARKER.get(name, "")
    every = max(1, -(-len(time) // _MOST_MARKERS))
    look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 3.4, "linewidth": _THICK}
    if members is not None and not members.all():
        inside = np.where(members, proba, np.nan)
        panel.plot(time, inside, drawstyle="steps-post", color=colour, linewidth=_THICK)
        thin = look | {"linewidth": _THIN}
        panel.plot(time, proba, drawstyle="steps-post", markevery=every, **thin)
    else:
        panel.plot(time, proba, drawstyle="steps-post", markevery=every, **look)
    value = f"  {proba[last[0]]:.2f}" if len(last) else ""
    return Line2D([], [], label=f"{name}{value}{' (true)' if is_true else ''}", **look)


def _observations(timeline: Timeline, last: IntArray) -> str:
    count = int(timeline.predictions.n_obs[last[0]])
    return f"{count:,} observation{'' if count == 1 else 's'}"


def _shade(panel: Axes, time: FloatArray, classified: BoolArray) -> None:
    """Shade the time from each answer without a classification to the next answer."""
    ends = np.append(time[1:], time[-1:])
    for k in np.flatnonzero(~classified).tolist():
        panel.axvspan(time[k], ends[k], color="#EEEEEE", linewidth=0.0, zorder=0)
