"""Small pictures as SVG, whose colours are in the CSS: a trend in a row, and altitudes in a night."""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from firstlight.bands import BANDS
from firstlight.lightcurves import LightCurve

_WIDTH, _HEIGHT, _EDGE = 72.0, 18.0, 2.0
_CHART_WIDTH, _CHART_HEIGHT = 640.0, 220.0
_LEFT, _BOTTOM, _TOP = 38.0, 26.0, 10.0
_SMALL_WIDTH, _SMALL_HEIGHT = 180.0, 96.0
NEAR_WINDOW = (-40.0, 120.0)  # days since trigger in the pictures of training objects
_AIRMASS_2 = 30.0  # degree; altitude of airmass 2


def sparkline(values: Sequence[float]) -> Markup:
    """A line of probabilities from 0 to 1, with its last point.

    >>> str(sparkline([0.0, 1.0]))[:45]
    '<svg class="trend" viewBox="0 0 72 18" width='
    """
    step = (_WIDTH - 2 * _EDGE) / max(len(values) - 1, 1)
    places = [(_EDGE + k * step, _HEIGHT - _EDGE - v * (_HEIGHT - 2 * _EDGE)) for k, v in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    about = f"from {100 * values[0]:.0f} to {100 * values[-1]:.0f} %"
    size = f'viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" width="{_WIDTH:g}" height="{_HEIGHT:g}"'
    return Markup(
        f'<svg class="trend" {size} role="img" aria-label="{about}">'
        f'<polyline points="{line}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="1.8"/></svg>'
    )


def small_curve(curve: LightCurve, window: tuple[float, float]) -> Markup:
    """Fluxes of a light curve as dots in the colours of the bands, in a window of days since its trigger."""
    days = curve.mjd - curve.trigger_mjd
    shown = np.flatnonzero((days >= window[0]) & (days <= window[1]))
    flux = curve.flux[shown].astype(np.float64)
    low, high = min(float(flux.min(initial=0.0)), 0.0), max(float(flux.max(initial=0.0)), 1e-9)
    x = _EDGE + (_SMALL_WIDTH - 2 * _EDGE) * (days[shown] - window[0]) / (window[1] - window[0])
    y = _EDGE + (_SMALL_HEIGHT - 2 * _EDGE) * (high - flux) / (high - low)
    zero = _EDGE + (_SMALL_HEIGHT - 2 * _EDGE) * high / (high - low)
    dots = []
    for band in np.unique(curve.band[shown]).tolist():
        own = curve.band[shown] == band
        places = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x[own], y[own], strict=True))
        dots.append(f'<path class="b-{BANDS[band]}" d="{places}"/>')
    size = f'viewBox="0 0 {_SMALL_WIDTH:g} {_SMALL_HEIGHT:g}"'
    about = f"Light curve of {len(shown)} observations, up to {high / 1000.0:.2g} microjansky"
    return Markup(
        f'<svg class="small" {size} role="img" aria-label="{about}">'
        f'<path class="grid" d="M0 {zero:.1f}H{_SMALL_WIDTH:g}"/>{"".join(dots)}</svg>'
    )


def lines_svg(chart: Mapping[str, Sequence[float]]) -> Markup:
    """Altitudes of an object and of the Moon against UTC in a night."""
    hours = chart["hours"]
    first, last = hours[0], hours[-1]
    width = _CHART_WIDTH - _LEFT - 8.0

    def x(hour: float) -> float:
        return _LEFT + width * (hour - first) / max(last - first, 1e-6)

    def y(degrees: float) -> float:
        return _TOP + (_CHART_HEIGHT - _TOP - _BOTTOM) * (1.0 - degrees / 90.0)

    parts = []
    for degrees in (0, 30, 60, 90):
        style = "limit" if degrees == _AIRMASS_2 else "grid"
        parts.append(f'<path class="{style}" d="M{_LEFT:g} {y(degrees):.1f}H{_CHART_WIDTH - 8:g}"/>')
        where = f'x="{_LEFT - 6:g}" y="{y(degrees) + 4:.1f}" text-anchor="end"'
        parts.append(f'<text class="tick" {where}>{degrees}°</text>')
    for hour in range(int(first) - 1, int(last) + 2):
        if first <= hour <= last and hour % 2 == 0:
            parts.append(
                f'<text class="tick" x="{x(hour):.1f}" y="{_CHART_HEIGHT - 8:g}" text-anchor="middle">'
                f"{hour % 24:02d} h</text>"
            )
    for name in ("moon", "altitude"):
        for piece in _above(hours, chart[name]):
            line = " ".join(f"{x(hour):.1f},{y(value):.1f}" for hour, value in piece)
            parts.append(f'<polyline class="{name}" points="{line}"/>')
    highest = max(chart["altitude"])
    about = f"Altitude from {first % 24:.0f} to {last % 24:.0f} h UTC, at most {highest:.0f} degrees"
    size = f'viewBox="0 0 {_CHART_WIDTH:g} {_CHART_HEIGHT:g}"'
    return Markup(f'<svg class="chart" {size} role="img" aria-label="{about}">{"".join(parts)}</svg>')


def _above(hours: Sequence[float], values: Sequence[float]) -> list[list[tuple[float, float]]]:
    """Pieces of a line that lie above the horizon."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for hour, value in zip(hours, values, strict=True):
        if value >= 0.0:
            pieces[-1].append((hour, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if len(piece) > 1]
