"""Figures of light curves; they show nothing and change no global state."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from firstlight._types import BoolArray, FloatArray
from firstlight.bands import BANDS, N_BANDS
from firstlight.cosmology import distance_modulus
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurve
from firstlight.predictions import Predictions
from firstlight.preprocess import asinh_magnitude
from firstlight.report.style import FAINT, INK, MAIN, new_figure, styled
from firstlight.report.timeline import draw_timeline
from firstlight.text import printable
from firstlight.timeline import Timeline

TimeAxis = Literal["phase", "mjd"]
FluxAxis = Literal["flux", "magnitude", "absolute"]
Window = tuple[float, float] | Literal["detected"]

#: Colour per band, from blue to red: Okabe and Ito's set with a violet and a black, which differ
#: for any colour vision. Markers distinguish the bands in print.
BAND_COLOUR: Mapping[str, str] = MappingProxyType(
    dict(zip(BANDS, ("#7B4FA3", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#222222"), strict=True))
)
BAND_MARKER: Mapping[str, str] = MappingProxyType(
    dict(zip(BANDS, ("o", "^", "s", "D", "v", "P"), strict=True))
)

_LONGEST_ID = 60  # characters of an object's id in a title
_N_BARS = 6  # class probabilities drawn
_LEAST_MARGIN = 15.0  # days before the first and after the last detection
_Y_LABEL: Mapping[FluxAxis, str] = MappingProxyType(
    {"flux": "flux [µJy]", "magnitude": "AB magnitude (asinh)", "absolute": "absolute AB magnitude"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A smooth curve in one band, drawn with the observations.

    Attributes
    ----------
    mjd : float64 array, shape (n_times,)
        Times, ascending [MJD].
    flux : float array, shape (n_times,)
        Model flux, or mean of a Gaussian process [nJy].
    flux_err : float array, shape (n_times,), optional
        Half width of the shaded band [nJy].
    """

    mjd: FloatArray
    flux: NDArray[np.floating]
    flux_err: NDArray[np.floating] | None = None


@styled
def plot_light_curve(
    curve: LightCurve,
    *,
    x: TimeAxis = "phase",
    y: FluxAxis = "flux",
    models: Mapping[int, Curve] | None = None,
    probabilities: Mapping[str, float] | Predictions | Timeline | None = None,
    label: str | None = None,
    title: str | None = None,
    redshift: float | None = None,
    window: Window | None = None,
    period: float | None = None,
) -> Figure:
    """Draw the observations of one object.

    Parameters
    ----------
    curve : LightCurve
        The object; preprocessed or not.
    x : {"phase", "mjd"}
        Days since the trigger, or MJD. An object without a detection is drawn in MJD.
    y : {"flux", "magnitude", "absolute"}
        Flux [uJy], asinh magnitude, or absolute asinh magnitude; magnitudes rise downwards.
    models : mapping of int to Curve, optional
        Smooth curves by band index, such as a Gaussian process or a reconstruction.
    probabilities : mapping of str to float, Predictions, or Timeline, optional
        Class probabilities, or predictions of objects that include this one: the six largest are drawn
        as bars beside the light curve. A timeline is drawn below the light curve, on the same time axis.
    label : str, optional
        True class, where it is known.
    title : str, optional
        Title; by default the object's name, `label` and redshift, or why predictions do not classify it.
    redshift : float, optional
        For absolute magnitudes; by default the curve's own.
    window : (float, float) or "detected", optional
        First and last time to draw, in units of `x` [day], or the detections with a margin; by default all.
        The number of observations outside is written above the panel.
    period : float, optional
        Fold the light curve with this period [day]; two cycles are drawn, from the trigger on.

    Returns
    -------
    Figure
        Detections are filled, other observations open; error bars are one sigma. Asinh
        magnitudes are finite for negative fluxes too.

    Raises
    ------
    DataError
        If there is no observation (in the window), an axis, the window or the period is impossible, `y` is
        ``absolute`` and there is no redshift, or a folded light curve has a timeline or models;
        or if the predictions lack the object.
    """
    members: tuple[str, ...] = ()
    if isinstance(probabilities, Predictions):
        one = probabilities[curve.object_id]
        members = one.sets[0]
        if title is None and not one.is_classified[0]:
            title = f"not classified: {one.reason[0]}; the prior is shown"
        probabilities = probabilities_of(one)
    scale = _Scale.of(curve, x, y, redshift, period)
    if period is not None and (models or isinstance(probabilities, Timeline)):
        raise DataError("a folded light curve has no models and no timeline: leave out `period`")
    shown, span = _in_window(curve, scale, window)
    if isinstance(probabilities, Timeline):
        figure = new_figure(4.9)
        panel, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.45, 1.0))
        draw_timeline(below, probabilities, scale.time(probabilities.mjd), span, label)
    elif probabilities:
        figure = new_figure(3.4)
        panel, bars = figure.subplots(1, 2, width_ratios=(3.6, 1.0))
        draw_probabilities(bars, probabilities, members)
    else:
        figure = new_figure(3.4)
        panel = figure.subplots()
    handles = _draw(panel, shown, scale, models or {})
    panel.set_title(title_of(curve, label) if title is None else title, loc="left", parse_math=False)
    if len(shown) < len(curve):
        outside = f"{len(curve) - len(shown):,} observations outside"
        panel.set_title(outside, loc="right", fontsize=7.5, color="#777777")
    if not shown.detected.all():
        handles.append(_marker("o", "#777777", "no detection", filled=False))
    if isinstance(probabilities, Timeline):
        figure.align_ylabels([panel, below])
        panel.set_xlabel("")
        below.set_xlabel(scale.x_label)
        panel.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.1)
    else:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.1)
    if span is not None:
        panel.set_xlim(span)
    return figure


def draw_light_curve(
    panel: Axes,
    curve: LightCurve,
    *,
    x: TimeAxis = "phase",
    y: FluxAxis = "flux",
    models: Mapping[int, Curve] | None = None,
    redshift: float | None = None,
) -> list[Line2D]:
    """Draw the observations of one object into a panel; one legend handle per band.

    Parameters are those of `plot_light_curve`.
    """
    return _draw(panel, curve, _Scale.of(curve, x, y, redshift), models or {})


def probabilities_of(one: Predictions) -> dict[str, float]:
    """Class probabilities of predictions of one object."""
    return {name: float(value) for name, value in zip(one.classes, one.proba[0], strict=True)}


def select_observations(curve: LightCurve, keep: BoolArray) -> LightCurve:
    """The light curve with the observations where `keep` is true."""
    names = ("mjd", "band", "flux", "flux_err", "detected")
    return replace(curve, **{name: getattr(curve, name)[keep] for name in names})


# --- axes -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scale:
    """Conversion of times and fluxes to coordinates of the panel."""

    zero_mjd: float
    x_label: str
    y: FluxAxis
    shift: float  # mag; the distance modulus for absolute magnitudes
    since_trigger: bool = False
    period: float | None = None

    @classmethod
    def of(
        cls, curve: LightCurve, x: TimeAxis, y: FluxAxis, redshift: float | None, period: float | None = None
    ) -> "_Scale":
        if x not in ("phase", "mjd") or y not in ("flux", "magnitude", "absolute"):
            raise DataError(f"x={x!r}, y={y!r}: choose phase or mjd, and flux, magnitude or absolute")
        shift = 0.0
        if y == "absolute":
            shift = float(distance_modulus(curve.redshift if redshift is None else redshift))
            if not np.isfinite(shift):
                raise DataError(
                    f"object {curve.object_id!r} has no redshift, hence no absolute magnitude; "
                    "pass redshift=, or draw y='magnitude'"
                )
        trigger = curve.trigger_mjd
        triggered = bool(np.isfinite(trigger))
        if period is not None:
            if not (np.isfinite(period) and period > 0.0):
                raise DataError(f"period {period:g} d: a light curve is folded with a positive period [day]")
            zero = trigger if triggered else float(curve.mjd[:1].sum())
            return cls(zero, f"cycle of {period:.6g} d", y, shift, period=period)
        if x == "phase" and triggered:
            return cls(trigger, "days since first detection", y, shift, since_trigger=True)
        return cls(0.0, "MJD [day]", y, shift)

    def time(self, mjd: FloatArray) -> FloatArray:
        days = mjd - self.zero_mjd
        return days if self.period is None else days / self.period % 1.0

    def height(self, flux: NDArray[np.floating], band: int) -> FloatArray:
        if self.y == "flux":
            return np.asarray(flux, dtype=np.float64) / 1000.0
        return asinh_magnitude(flux, np.full(np.shape(flux), band)) - self.shift


def _in_window(
    curve: LightCurve, scale: _Scale, window: Window | None
) -> tuple[LightCurve, tuple[float, float] | None]:
    """The observations to draw, and the limits of the axis where there is a window."""
    time = scale.time(curve.mjd)
    if window == "detected":
        window = None if scale.period is not None else around(time[curve.detected])
    if window is not None:
        if isinstance(window, str) or not window[0] < window[1]:
            raise DataError(f"window {window}: give the first and the last time, or 'detected'")
        curve = select_observations(curve, (time >= window[0]) & (time <= window[1]))
    if not len(curve):
        raise DataError(f"object {curve.object_id!r} has no observation to draw")
    return curve, (0.0, 2.0) if scale.period is not None else window


def around(detected: FloatArray) -> tuple[float, float] | None:
    """Times of the detections with a margin, which shows that nothing was there before and after."""
    if not len(detected):
        return None
    first, last = float(detected.min()), float(detected.max())
    margin = max(_LEAST_MARGIN, 0.2 * (last - first))
    return first - margin, last + margin


def _finish(panel: Axes, scale: _Scale) -> None:
    panel.set_xlabel(scale.x_label)
    panel.set_ylabel(_Y_LABEL[scale.y])
    panel.grid(visible=True, axis="y")
    if scale.y == "flux":
        panel.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
    else:
        panel.invert_yaxis()
    if scale.since_trigger:
        panel.axvline(0.0, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)


# --- marks ------------------------------------------------------------------------


def _draw(panel: Axes, curve: LightCurve, scale: _Scale, models: Mapping[int, Curve]) -> list[Line2D]:
    """Draw observations and models; one legend handle per band."""
    handles = _draw_bands(panel, curve, scale)
    _draw_models(panel, models, scale)
    _finish(panel, scale)
    return handles


def _draw_bands(panel: Axes, curve: LightCurve, scale: _Scale) -> list[Line2D]:
    """Draw the observations of each band; one legend handle per band that has any."""
    handles = []
    for band in range(N_BANDS):
        in_band = curve.band == band
        if not in_band.any():
            continue
        for flag in (False, True):  # detections on top
            chosen = in_band & (curve.detected == flag)
            if chosen.any():
                _draw_points(panel, curve, chosen, scale, band, filled=flag)
        name = BANDS[band]
        handles.append(_marker(BAND_MARKER[name], BAND_COLOUR[name], name, filled=True))
    return handles


def _draw_points(
    panel: Axes, curve: LightCurve, chosen: BoolArray, scale: _Scale, band: int, *, filled: bool
) -> None:
    colour, marker = BAND_COLOUR[BANDS[band]], BAND_MARKER[BANDS[band]]
    flux = curve.flux[chosen].astype(np.float64)
    flux_err = curve.flux_err[chosen].astype(np.float64)
    time = scale.time(curve.mjd[chosen])
    if scale.period is not None:  # a second cycle
        time = np.concatenate([time, time + 1.0])
        flux, flux_err = np.tile(flux, 2), np.tile(flux_err, 2)
    height = scale.height(flux, band)
    fainter = np.abs(scale.height(flux - flux_err, band) - height)
    brighter = np.abs(scale.height(flux + flux_err, band) - height)
    panel.errorbar(
        time,
        height,
        yerr=(fainter, brighter) if scale.y == "flux" else (brighter, fainter),  # below, above
        fmt=marker,
        color=colour,
        markerfacecolor=colour if filled else "white",
        markersize=4.4 if filled else 3.2,
        markeredgewidth=0.3 if filled else 0.7,
        markeredgecolor="white" if filled else colour,
        elinewidth=0.7,
        alpha=1.0 if filled else 0.45,
        zorder=3 if filled else 2,
    )


def _marker(marker: str, colour: str, label: str, *, filled: bool) -> Line2D:
    face = colour if filled else "white"
    return Line2D(
        [], [], linestyle="none", marker=marker, markersize=5.0, label=label,
        markerfacecolor=face, markeredgecolor=colour, markeredgewidth=0.7,
    )  # fmt: skip


def _draw_models(panel: Axes, models: Mapping[int, Curve], scale: _Scale) -> None:
    for band, model in models.items():
        time, colour = scale.time(np.asarray(model.mjd, dtype=np.float64)), BAND_COLOUR[BANDS[band]]
        panel.plot(time, scale.height(model.flux, band), color=colour, linewidth=1.2, zorder=1)
        if model.flux_err is not None:
            below = scale.height(model.flux - model.flux_err, band)
            above = scale.height(model.flux + model.flux_err, band)
            panel.fill_between(time, below, above, color=colour, alpha=0.15, linewidth=0.0, zorder=0)


def draw_probabilities(
    panel: Axes, probabilities: Mapping[str, float], members: tuple[str, ...] = ()
) -> None:
    """Bars of the most probable classes, each below its name.

    Highlighted are the first, and those of the prediction set.
    """
    top = sorted(probabilities.items(), key=lambda item: -item[1])[:_N_BARS]
    shown = {*members, *(name for name, _ in top[:1])}
    colours = [MAIN if name in shown else FAINT for name, _ in top]
    panel.barh(range(len(top)), [value for _, value in top], color=colours, height=0.34)
    for position, (name, value) in enumerate(top):
        weight = "bold" if name in members else "normal"
        panel.text(0.0, position - 0.24, name, fontsize=8.0, color=INK, va="bottom", weight=weight)
        panel.text(1.0, position - 0.24, f"{value:.2f}", fontsize=8.0, color=INK, va="bottom", ha="right")
    panel.set_ylim(_N_BARS - 0.5, -0.75)  # constant number of places, so that bars stay thin
    panel.set_xlim(0.0, 1.0)
    panel.set_xticks([0.0, 0.5, 1.0])
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)
    n_more = len(set(members) - {name for name, _ in top})
    more = f",\nand {n_more} more" if n_more else ""
    panel.set_xlabel(f"probability\n(bold: prediction set{more})" if members else "probability")


def title_of(curve: LightCurve, label: str | None = None) -> str:
    """Object, class and host redshift, as the title of a figure."""
    parts = [f"object {printable(curve.object_id, _LONGEST_ID)}"]
    if label:
        parts.append(label)
    if curve.redshift > 0:
        parts.append(f"host z = {curve.redshift:.2f}")
    elif curve.redshift == 0:
        parts.append("Milky Way")
    return ", ".join(parts)
