"""Figure of a night's targets: airmass, observing times and worth."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from firstlight._types import FloatArray
from firstlight.report.style import ACCENT, FAINT, INK, MAIN, THIRD, new_figure, styled

MOST_SHOWN = 15
TRACKS = (MAIN, ACCENT, THIRD, "#56B4E9", "#E69F00", "#CC79A7", "#332288", "#882255", "#117733", "#44AA99")


@dataclass(frozen=True, slots=True, eq=False)
class ShownTarget:
    """One target of the figure."""

    # object name, and its most probable class
    name: str
    kind: str
    worth: float  # worth tonight, 0 to 1
    airmass: FloatArray  # (n_steps,); NaN where it is not observable
    # time of the observation, on the clock of the hours; NaN without one
    start: float
    end: float

    @property
    def is_chosen(self) -> bool:
        """Whether the target is observed."""
        return bool(np.isfinite(self.start))


@styled
def plot_targets(
    targets: list[ShownTarget], hours: FloatArray, moon_altitude: FloatArray, title: str
) -> Figure:
    """Draw airmass, times of the spectra and worth of a night's targets.

    Parameters
    ----------
    targets : list of ShownTarget
        Best first; at most 15 are drawn.
    hours : float64 array, shape (n_steps,)
        Dark hours since 0 h UTC [hour].
    moon_altitude : float64 array, shape (n_steps,)
        Altitude of the Moon [degree]; hours with the Moon up are shaded.
    title : str
        Site and date.

    Returns
    -------
    Figure
        Two panels.
    """
    shown = targets[:MOST_SHOWN]
    figure = new_figure(max(2.6, 0.24 * len(shown) + 1.2))
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1.0))
    colours = iter(TRACKS * 2)
    colour = {id(target): next(colours) if target.is_chosen else FAINT for target in shown}
    _draw_tracks(left, shown, colour, hours, moon_altitude)
    left.set_title(title, loc="left")
    _draw_worth(right, shown, colour)
    return figure


def _draw_tracks(
    axes: Axes, shown: list[ShownTarget], colour: dict[int, str], hours: FloatArray, moon_altitude: FloatArray
) -> None:
    for target in reversed(shown):  # the best on top
        own = colour[id(target)]
        axes.plot(hours, target.airmass, color=own, linewidth=0.8)
        if target.is_chosen:
            during = (hours >= target.start - 1e-6) & (hours <= target.end + 1e-6)
            axes.plot(hours[during], target.airmass[during], color=own, linewidth=4.5, solid_capstyle="butt")
            middle = 0.5 * (target.start + target.end)
            height = np.interp(middle, hours[during], target.airmass[during])
            rank = str(shown.index(target) + 1)
            axes.annotate(
                *(rank, (middle, height), (0, 5)), textcoords="offset points", ha="center", fontsize=7.5
            )
    axes.fill_between(
        *(hours, 0.0, 1.0), where=(moon_altitude > 0.0).tolist(),
        transform=axes.get_xaxis_transform(), color="#F3EFD9", linewidth=0.0, zorder=0,
    )  # fmt: skip
    if (moon_altitude > 0.0).any():
        axes.text(0.99, 0.02, "shaded: Moon up", transform=axes.transAxes, ha="right", fontsize=7.0)
    axes.set(xlabel="UTC [hour]", ylabel="airmass", xlim=(hours[0], hours[-1]))
    axes.xaxis.set_major_formatter(lambda hour, _: f"{hour % 24:g}")
    axes.set_ylim(axes.get_ylim()[1], 0.95)


def _draw_worth(axes: Axes, shown: list[ShownTarget], colour: dict[int, str]) -> None:
    place = np.arange(len(shown))
    axes.barh(place, [target.worth for target in shown], 0.62, color=[colour[id(t)] for t in shown])
    names = [f"{t.name}  {k}" if t.is_chosen else t.name for k, t in enumerate(shown, start=1)]
    axes.set_yticks(place, names, parse_math=False)
    axes.invert_yaxis()
    largest = max([target.worth for target in shown], default=0.0)
    for k, target in enumerate(shown):
        axes.annotate(
            *(target.kind, (target.worth, k), (3, 0)),
            textcoords="offset points", va="center", fontsize=7.0, color=INK, parse_math=False,
        )  # fmt: skip
    axes.set(xlabel="worth tonight", xlim=(0.0, 1.45 * largest if largest > 0.0 else 1.0))
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    if any(not target.is_chosen for target in shown):
        axes.text(0.99, 0.02, "grey: left out", transform=axes.transAxes, ha="right", fontsize=7.0)
