"""A map of the whole sky as SVG in equal areas (Mollweide): objects, Milky Way, Moon, the part that is up."""

import math
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from firstlight._types import FloatArray
from firstlight.constants import MJD_OF_1970
from firstlight.errors import SettingsError
from firstlight.followup.night import Night, Site
from firstlight.taxonomy import COARSE, COARSE_GROUPS
from firstlight.text import number_in

FRAMES = ("equatorial", "galactic")
GROUPS = (*COARSE_GROUPS, "not classified")
_HALF_WIDTH, _HALF_HEIGHT = 480.0, 240.0
_BAND = 10.0  # degree; galactic latitude within which the Milky Way is drawn
_UP = 30.0  # degree; altitude of airmass 2
_LONG = 200.0  # a longer stroke crosses the edge of the map
_NAMED = 12  # targets with a number and a link
_ROOM = 70.0  # between a mark and the right edge, for a label on its right
_MARGIN = 12.0  # around the map, for marks at its edge


@dataclass(frozen=True, slots=True)
class _Sky:
    """Where things are on the map at one time."""

    frame: str

    def place(self, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coordinates on the map of positions, ICRS [degree]; east is left."""
        longitude, latitude = ra, dec
        if self.frame == "galactic":
            from astropy import units as u
            from astropy.coordinates import SkyCoord

            there = SkyCoord(ra * u.deg, dec * u.deg).galactic
            longitude, latitude = there.l.deg, there.b.deg
        return mollweide(longitude, latitude)

    def galactic(self, longitude: FloatArray, latitude: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coordinates on the map of galactic positions [degree]."""
        if self.frame == "galactic":
            return mollweide(longitude, latitude)
        from astropy import units as u
        from astropy.coordinates import SkyCoord

        there = SkyCoord(l=longitude * u.deg, b=latitude * u.deg, frame="galactic").icrs
        return mollweide(there.ra.deg, there.dec.deg)


def mollweide(longitude: FloatArray, latitude: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coordinates on the map [pixel], 0 in the middle, longitudes increasing to the left.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = mollweide(np.array([0.0, 90.0, 0.0]), np.array([0.0, 0.0, 90.0]))
    >>> abs(x).round().tolist(), abs(y).round().tolist()
    ([0.0, 240.0, 0.0], [0.0, 0.0, 240.0])
    """
    phi = np.radians(np.asarray(latitude, np.float64))
    turn = np.radians((np.asarray(longitude, np.float64) + 180.0) % 360.0 - 180.0)
    theta = phi.copy()
    goal = math.pi * np.sin(phi)
    for _ in range(30):  # Newton; slow only at the poles, where it does not matter
        slope = np.maximum(2.0 + 2.0 * np.cos(2.0 * theta), 1e-6)
        theta = np.clip(theta - (2.0 * theta + np.sin(2.0 * theta) - goal) / slope, -math.pi / 2, math.pi / 2)
    return -_HALF_WIDTH * turn / math.pi * np.cos(theta), -_HALF_HEIGHT * np.sin(theta)


def moment_of(night: Night | None, at: str, now: float) -> int | None:
    """Step of the night to draw: hour `at` [UTC], else now, else the middle; None without a night."""
    if night is None:
        return None
    if at:
        try:
            hour = number_in(at)
        except ValueError:
            raise SettingsError("at: give an hour of UTC from 0 to 24") from None
        if not 0.0 <= hour <= 24.0:
            raise SettingsError("at: give an hour of UTC from 0 to 24")
        away = np.abs((night.hours - hour + 12.0) % 24.0 - 12.0)
        return int(np.argmin(away))
    mjd = now / 86400.0 + MJD_OF_1970
    if night.mjd[0] <= mjd <= night.mjd[-1]:
        return int(np.argmin(np.abs(night.mjd - mjd)))
    return len(night.mjd) // 2


def sky_map(
    table: pd.DataFrame, night: Night | None, site: Site, frame: str, at: str = "", now: float | None = None
) -> dict[str, Any]:
    """The map and its content.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of tonight's table.
    night, site : Night, Site
        The night, and the observatory.
    frame : str
        Of `FRAMES`.
    at : str
        Hour of UTC; empty for now.
    now : float, optional
        Time [s since 1970].

    Returns
    -------
    dict
        ``svg``, ``time`` (text), ``named`` (number, name, address), ``n_drawn``, ``n_up``, ``groups``.
    """
    sky = _Sky(frame)
    step = moment_of(night, at, time.time() if now is None else now)
    known = table[
        np.isfinite(table["ra"].to_numpy(np.float64)) & np.isfinite(table["dec"].to_numpy(np.float64))
    ]
    ra, dec = known["ra"].to_numpy(np.float64), known["dec"].to_numpy(np.float64)
    parts = [_background(sky)]
    up = np.zeros(len(known), np.bool_)
    if night is not None and step is not None:
        zenith = (math.degrees(night.rotation[step]) % 360.0, site.latitude)
        up = _altitude(ra, dec, zenith) >= _UP
        parts += [_circle(sky, zenith, 90.0, "horizon"), _circle(sky, zenith, 90.0 - _UP, "up")]
    x, y = sky.place(ra, dec) if len(known) else (np.empty(0), np.empty(0))
    group = np.array([GROUPS.index(COARSE.get(name, "not classified")) for name in known["class"]], np.int64)
    for k in range(len(GROUPS)):
        for is_up in (False, True):
            own = (group == k) & (up == is_up)
            parts.append(_dots(x[own], y[own], f"dot g{k}" + ("" if is_up else " down")))
    named = _named(known, x, y)
    parts += [mark for _, _, _, mark in named]
    if night is not None and step is not None:
        parts.append(_moon(sky, night, step))
    left, top = -_HALF_WIDTH - _MARGIN, -_HALF_HEIGHT - _MARGIN
    size = f"{left:g} {top:g} {-2 * left:g} {-2 * top:g}"
    about = f"Map of the sky in {frame} coordinates with {len(known)} objects"
    return {
        "svg": Markup(
            f'<svg class="sky" viewBox="{size}" role="group" aria-label="{about}">{"".join(parts)}</svg>'
        ),
        "time": "" if night is None or step is None else f"{_clock(night.hours[step])} UTC",
        "hours": []
        if night is None
        else sorted({int(h) % 24 for h in night.hours}, key=lambda h: (h + 12) % 24),
        "named": [(number, name, address) for number, name, address, _ in named],
        "n_drawn": len(known),
        "n_up": int(up.sum()),
        "groups": [(k, name, int((group == k).sum())) for k, name in enumerate(GROUPS)],
    }


def _clock(hour: float) -> str:
    minutes = round(60.0 * hour) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _background(sky: _Sky) -> str:
    """The edge, the Milky Way and the grid."""
    ellipse = f'<ellipse class="edge" rx="{_HALF_WIDTH:g}" ry="{_HALF_HEIGHT:g}"/>'
    step = np.arange(0.0, 360.0, 3.0)
    low = [sky.galactic(step + turn, np.full(len(step), -_BAND)) for turn in (0.0, 3.0)]
    high = [sky.galactic(step + turn, np.full(len(step), _BAND)) for turn in (0.0, 3.0)]
    corners = np.array([low[0], low[1], high[1], high[0]])  # (4, 2, n)
    narrow = np.ptp(corners[:, 0, :], axis=0) < _LONG
    tiles = [
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners[:, :, k]) + "Z" for k in np.flatnonzero(narrow)
    ]
    grid = []
    turn, tilt = np.linspace(-179.99, 179.99, 181), np.linspace(-90.0, 90.0, 91)
    for latitude in (-60.0, -30.0, 0.0, 30.0, 60.0):
        grid.append(_stroke(*mollweide(turn, np.full(len(turn), latitude))))
    for longitude in np.arange(-150.0, 180.0, 30.0):
        grid.append(_stroke(*mollweide(np.full(len(tilt), longitude), tilt)))
    labels = []
    for longitude in range(0, 360, 60):
        x, y = mollweide(np.array([float(longitude)]), np.array([0.0]))
        text = f"{longitude // 15} h" if sky.frame == "equatorial" else f"{longitude}°"
        labels.append(_label(float(x[0]), float(y[0]) - 3.0, 3.0, text, "tick"))
    lines = f'<path class="grid" d="{"".join(grid)}"/>'
    return f'{ellipse}<path class="milky-way" d="{"".join(tiles)}"/>{lines}{"".join(labels)}'


def _stroke(x: FloatArray, y: FloatArray) -> str:
    """A line, broken where it crosses the edge of the map."""
    parts = []
    last = None
    for one, two in zip(x.tolist(), y.tolist(), strict=True):
        pen = "M" if last is None or abs(one - last) > _LONG else "L"
        parts.append(f"{pen}{one:.1f} {two:.1f}")
        last = one
    return "".join(parts)


def _circle(sky: _Sky, zenith: tuple[float, float], radius: float, name: str) -> str:
    """Points at a distance from the zenith."""
    turn = np.radians(np.linspace(0.0, 360.0, 181))
    latitude, far = math.radians(zenith[1]), math.radians(radius)
    sin_dec = math.sin(latitude) * math.cos(far) + math.cos(latitude) * math.sin(far) * np.cos(turn)
    dec = np.arcsin(np.clip(sin_dec, -1.0, 1.0))
    right = np.arctan2(
        np.sin(turn) * math.sin(far) * math.cos(latitude), math.cos(far) - math.sin(latitude) * np.sin(dec)
    )
    return f'<path class="{name}" d="{_stroke(*sky.place(zenith[0] + np.degrees(right), np.degrees(dec)))}"/>'


def _altitude(ra: FloatArray, dec: FloatArray, zenith: tuple[float, float]) -> FloatArray:
    one, two = math.radians(zenith[1]), np.radians(dec)
    sine = math.sin(one) * np.sin(two) + math.cos(one) * np.cos(two) * np.cos(np.radians(ra - zenith[0]))
    return np.asarray(np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0))))


def _dots(x: FloatArray, y: FloatArray, style: str) -> str:
    """Many points in one element: thousands of elements would be slow."""
    if not len(x):
        return ""
    path = "".join(f"M{one:.1f} {two:.1f}h0" for one, two in zip(x.tolist(), y.tolist(), strict=True))
    return f'<path class="{style}" d="{path}"/>'


def _named(table: pd.DataFrame, x: FloatArray, y: FloatArray) -> list[tuple[int, str, str, str]]:
    """The best targets of the night: rank, name, address, and mark on the map."""
    rank = table["rank"].to_numpy(np.float64)
    found = []
    for k in np.argsort(rank, kind="stable")[:_NAMED].tolist():
        if not math.isfinite(rank[k]):
            break
        name, number = str(table["object"].iloc[k]), int(rank[k])
        address = f"/object?{urlencode({'id': name})}"
        mark = (
            f'<a href="{escape(address)}" class="target"><title>{number}: {escape(name)}</title>'
            f'<circle cx="{x[k]:.1f}" cy="{y[k]:.1f}" r="7"/>'
            f"{_label(float(x[k]), float(y[k]) + 4.0, 9.0, str(number))}</a>"
        )
        found.append((number, name, address, mark))
    return found


def _label(x: float, y: float, gap: float, text: str, style: str = "label") -> str:
    """A text beside a mark, on the side that has room for it."""
    side, away = ("end", -gap) if x > _HALF_WIDTH - _ROOM else ("start", gap)
    return f'<text class="{style}" x="{x + away:.1f}" y="{y:.1f}" text-anchor="{side}">{text}</text>'


def _moon(sky: _Sky, night: Night, step: int) -> str:
    """The Moon, and its lit fraction."""
    vector = night.moon_vector[step]
    ra = math.degrees(math.atan2(vector[1], vector[0])) % 360.0
    dec = math.degrees(math.asin(max(-1.0, min(1.0, float(vector[2])))))
    x, y = sky.place(np.array([ra]), np.array([dec]))
    where = "up" if night.moon_altitude[step] > 0.0 else "set"
    about = f"Moon, {100.0 * night.moon_lit:.0f} % lit, {where}"
    return (
        f'<g class="moon"><title>{about}</title><circle cx="{x[0]:.1f}" cy="{y[0]:.1f}" r="9"/>'
        f"{_label(float(x[0]), float(y[0]) + 4.0, 12.0, 'Moon')}</g>"
    )
