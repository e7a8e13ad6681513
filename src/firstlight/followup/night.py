"""Night planning: airmass, Moon and twilight of thousands of targets.

Sun and Moon come from astropy's built-in ephemeris and Earth's rotation from the tables that
astropy ships, so nothing is downloaded. Targets get the night's apparent places once; their
altitudes are then within 0.01 degree of astropy's full transformation (without refraction).
"""

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any

import numpy as np

from firstlight._types import FloatArray
from firstlight.errors import SettingsError
from firstlight.text import number_in

TWILIGHT = -18.0  # degree; altitude of the Sun below which it is dark (astronomical twilight)
STEP = 5.0  # minute
EXTINCTION = 0.2  # mag per airmass; r band of a good site
MOONLIGHT = 0.5  # share of a target's worth that a full Moon right beside it takes


@dataclass(frozen=True, slots=True)
class Site:
    """Position of a telescope: geodetic WGS84, east and north positive [degree], height [m]."""

    name: str
    longitude: float
    latitude: float
    height: float


#: Observatories by name, from the site registry of astropy-data (IRAF observatory database or the
#: observatories); Rubin's from its own planning code.
SITES: Mapping[str, Site] = MappingProxyType(
    {
        "rubin": Site("Rubin, Cerro Pachón", -70.7494, -30.2446, 2663.0),
        "gemini-south": Site("Gemini South, Cerro Pachón", -70.736683, -30.240742, 2750.0),
        "ctio": Site("Cerro Tololo", -70.815, -30.165278, 2215.0),
        "las-campanas": Site("Las Campanas", -70.701667, -29.003333, 2282.0),
        "la-silla": Site("La Silla", -70.73, -29.256667, 2347.0),
        "paranal": Site("Paranal", -70.404987, -24.627439, 2669.0),
        "mauna-kea": Site("Gemini North, Mauna Kea", -155.469047, 19.823801, 4213.0),
        "palomar": Site("Palomar", -116.863, 33.356, 1706.0),
        "kitt-peak": Site("Kitt Peak", -111.6, 31.963333, 2120.0),
        "mount-graham": Site("Large Binocular Telescope, Mount Graham", -109.8719, 32.7016, 2902.0),
        "mcdonald": Site("McDonald", -104.021667, 30.671667, 2075.0),
        "la-palma": Site("Roque de los Muchachos, La Palma", -17.88, 28.758333, 2327.0),
        "calar-alto": Site("Calar Alto", -2.546111, 37.223611, 2168.0),
        "saao": Site("SALT, Sutherland", 20.810808, -32.375823, 1798.0),
        "siding-spring": Site("Siding Spring", 149.061194, -31.273361, 1149.0),
    }
)


@dataclass(frozen=True, kw_only=True)
class ObservingConfig:
    """Limits of observable targets; options of ``firstlight rank``.

    Raises
    ------
    SettingsError
        If a value is out of its range.
    """

    airmass_limit: float = 2.0  # highest airmass, sec z
    # smallest distance from a full Moon above the horizon; scales with its lit fraction [degree]
    moon_limit: float = 30.0

    def __post_init__(self) -> None:
        if not (1.0 < self.airmass_limit <= 10.0 and 0.0 <= self.moon_limit <= 180.0):
            raise SettingsError(
                f"airmass_limit {self.airmass_limit:g} must be above 1 and at most 10, "
                f"moon_limit {self.moon_limit:g} from 0 to 180 degrees"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Night:
    """The dark hours of a site, and its Moon."""

    site: Site  # position of the telescope
    date: str  # date of the evening at the site
    mjd: FloatArray  # (n_steps,); time steps while it is dark, UTC [MJD]; empty if the Sun stays too high
    rotation: FloatArray  # (n_steps,); local Earth rotation angle [radian]
    moon_altitude: FloatArray  # (n_steps,); altitude of the Moon's centre [degree]
    moon_vector: FloatArray  # (n_steps, 3); unit vector to the Moon
    moon_lit: float  # lit fraction of the Moon's disc in the middle of the night

    @property
    def hours(self) -> FloatArray:
        """Hours since 0 h UTC of the day after the evening, shape (n_steps,)."""
        return (self.mjd - _mjd_of(self.date) - 1.0) * 24.0

    @property
    def step(self) -> float:
        """Length of a step [hour]; 0 if it is never dark."""
        return float(24.0 * (self.mjd[1] - self.mjd[0])) if len(self.mjd) > 1 else 0.0

    @property
    def dark_hours(self) -> float:
        """Duration of darkness [hour]."""
        return self.step * len(self.mjd)


@dataclass(frozen=True, slots=True, eq=False)
class Visibility:
    """Observable hours of targets in a night."""

    airmass: FloatArray  # (n_targets, n_steps); sec z at each step; NaN where the target is not observable
    hours: FloatArray  # (n_targets,); observable time [hour]
    best_airmass: FloatArray  # (n_targets,); lowest airmass while observable; NaN if never
    # (n_targets,); distance from the Moon at that time, or in the middle of the night [degree]
    moon_distance: FloatArray
    # (n_targets,); share of a target's worth left by airmass and moonlight, 0 to 1; 0 if never observable
    factor: FloatArray


def find_site(text: str) -> Site:
    """Find a site by name (a key of `SITES`) or by ``longitude,latitude[,height]`` [degree, degree, m].

    Raises `SettingsError` if it is neither.

    Examples
    --------
    >>> find_site("La Silla").latitude
    -29.256667
    >>> find_site("10.5,-45,300").height
    300.0
    """
    name = re.sub(r"[\s_]+", "-", text.strip().lower())
    if name in SITES:
        return SITES[name]
    parts = text.split(",")
    try:
        numbers = [number_in(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3):
        raise SettingsError(f"no site {text!r}: give LON,LAT[,HEIGHT] or one of {', '.join(SITES)}")
    longitude, latitude, height = [*numbers, 0.0][:3]
    if not (abs(longitude) <= 360.0 and abs(latitude) <= 90.0 and -500.0 <= height <= 9000.0):
        raise SettingsError(
            f"site {text!r}: longitude is within 360 and latitude within 90 degrees, height -500 to 9000 m"
        )
    return Site(f"{longitude:g}, {latitude:g}", (longitude + 180.0) % 360.0 - 180.0, latitude, height)


def plan_night(site: Site, evening: str, twilight: float = TWILIGHT) -> Night:
    """Find the dark hours of a night (date of the evening, ``YYYY-MM-DD``) and the Moon's position in them.

    It is dark where the Sun is below `twilight` [degree]. The night has no steps if the Sun stays too high.
    Raises `SettingsError` if `evening` is no date, or not within 1900 to 2100, or `twilight` is not within
    -18 and 0.
    """
    if not -18.0 <= twilight <= 0.0:
        raise SettingsError(
            f"twilight {twilight:g}: the altitude of the Sun, from -18 (night) to 0 degrees (horizon)"
        )
    from astropy import units as u
    from astropy.coordinates import AltAz, EarthLocation, get_body
    from astropy.time import Time

    local_midnight = _mjd_of(evening) + 1.0 - site.longitude / 360.0
    n_steps = int(24.0 * 60.0 / STEP)
    steps = np.arange(n_steps, dtype=np.float64) - n_steps // 2
    mjd = np.asarray(local_midnight + steps * (STEP / 1440.0), dtype=np.float64)
    with _offline():
        place = EarthLocation.from_geodetic(site.longitude * u.deg, site.latitude * u.deg, site.height * u.m)
        times = Time(mjd, format="mjd", scale="utc", location=place)
        dark = _altitude(get_body("sun", times, place), AltAz(obstime=times, location=place)) < twilight
        if not dark.any():
            nothing = np.empty(0)
            return Night(site, evening, nothing, nothing, nothing, np.empty((0, 3)), math.nan)
        times = times[dark]
        moon = get_body("moon", times, place)
        altitude = _altitude(moon, AltAz(obstime=times, location=place))
        rotation = times.earth_rotation_angle().rad
        middle = Time(mjd[dark][len(times) // 2], format="mjd", scale="utc")  # seen from Earth's centre
        lit = _lit_fraction(get_body("sun", middle), get_body("moon", middle))
        vector = _unit(moon.ra.rad, moon.dec.rad)
    return Night(site, evening, mjd[dark], np.asarray(rotation), altitude, vector, lit)


def visibility(
    night: Night, ra: FloatArray, dec: FloatArray, config: ObservingConfig | None = None
) -> Visibility:
    """Compute when targets are observable in a night.

    The factor is ``10^(-0.4 k (X - 1)) * (1 - 0.5 f u (1 + cos d) / 2)``: extinction of
    k = 0.2 mag per airmass at the lowest airmass X, and moonlight of lit fraction f, above the
    horizon for a share u of the target's hours, at distance d.

    Parameters
    ----------
    night : Night
        From `plan_night`.
    ra, dec : float64 arrays, shape (n_targets,)
        Positions, ICRS [degree]; a target with NaN is never observable.
    config : ObservingConfig, optional
        Limits of airmass and Moon.

    Returns
    -------
    Visibility
        One row per target.
    """
    config = ObservingConfig() if config is None else config
    ra, dec = (np.asarray(x, dtype=np.float64) for x in (ra, dec))
    n_targets, n_steps = len(ra), len(night.mjd)
    if n_targets == 0 or n_steps == 0:
        nothing = np.full(n_targets, np.nan)
        none = np.zeros(n_targets)
        return Visibility(np.full((n_targets, n_steps), np.nan), none, nothing, nothing, none)
    sin_altitude = _sin_altitude(night, ra, dec)
    cos_moon = _unit(np.radians(ra), np.radians(dec)) @ night.moon_vector.T
    moonlit = night.moon_altitude > 0.0
    clear = (cos_moon < math.cos(math.radians(config.moon_limit * night.moon_lit))) | ~moonlit
    up = (sin_altitude >= 1.0 / config.airmass_limit) & clear
    airmass = np.where(up, 1.0 / np.maximum(sin_altitude, 1e-3), np.nan)
    n_up = up.sum(axis=1)
    best = np.where(n_up > 0, np.argmin(np.where(up, airmass, np.inf), axis=1), n_steps // 2)
    at = np.arange(n_targets)
    best_airmass = np.where(n_up > 0, airmass[at, best], np.nan)
    cos_distance = np.clip(cos_moon[at, best], -1.0, 1.0)
    moon_up = (up & moonlit).sum(axis=1) / np.maximum(n_up, 1)
    return Visibility(
        airmass=airmass,
        hours=n_up * night.step,
        best_airmass=best_airmass,
        moon_distance=np.degrees(np.arccos(cos_distance)),
        factor=_factor(best_airmass, moon_up, cos_distance, night.moon_lit),
    )


def altitude(night: Night, ra: FloatArray, dec: FloatArray) -> FloatArray:
    """Altitudes of targets in the dark hours.

    Parameters
    ----------
    night : Night
        From `plan_night`.
    ra, dec : float64 arrays, shape (n_targets,)
        Positions, ICRS [degree].

    Returns
    -------
    float64 array, shape (n_targets, n_steps)
        Without refraction [degree]; NaN where the position is unknown.
    """
    ra, dec = (np.asarray(x, dtype=np.float64) for x in (ra, dec))
    return np.degrees(np.arcsin(np.clip(_sin_altitude(night, ra, dec), -1.0, 1.0)))


def _factor(
    best_airmass: FloatArray, moon_up: FloatArray, cos_distance: FloatArray, moon_lit: float
) -> FloatArray:
    """`Visibility.factor`: extinction at the best airmass times moonlight; 0 where the airmass is NaN."""
    seen = np.isfinite(best_airmass)
    moonlight = MOONLIGHT * moon_lit * moon_up * (1.0 + cos_distance) / 2.0
    extinction = 10.0 ** (-0.4 * EXTINCTION * (np.where(seen, best_airmass, 1.0) - 1.0))
    return np.where(seen, extinction * (1.0 - moonlight), 0.0)


def _sin_altitude(night: Night, ra: FloatArray, dec: FloatArray) -> FloatArray:
    """Sine of the altitude, shape (n_targets, n_steps); NaN where the position is unknown."""
    from astropy import units as u
    from astropy.coordinates import CIRS, SkyCoord
    from astropy.time import Time

    known = np.isfinite(ra) & np.isfinite(dec)
    with _offline():
        middle = Time(night.mjd[len(night.mjd) // 2], format="mjd", scale="utc")
        place = SkyCoord(np.where(known, ra, 0.0) * u.deg, np.where(known, dec, 0.0) * u.deg)
        apparent = place.transform_to(CIRS(obstime=middle))
        right_ascension, declination = apparent.ra.rad, apparent.dec.rad
    latitude = math.radians(night.site.latitude)
    height = np.sin(declination) * math.sin(latitude)
    reach = np.cos(declination) * math.cos(latitude)
    hour_angle = night.rotation[None, :] - right_ascension[:, None]
    out = height[:, None] + reach[:, None] * np.cos(hour_angle)
    out[~known] = np.nan
    return np.asarray(out)


def _lit_fraction(sun: Any, moon: Any) -> float:
    """Lit fraction of the Moon's disc (Meeus 1998, Astronomical Algorithms, chapter 48)."""
    elongation = sun.separation(moon).rad
    near, far = moon.distance.to_value("au"), sun.distance.to_value("au")
    phase = math.atan2(far * math.sin(elongation), near - far * math.cos(elongation))
    return 0.5 * (1.0 + math.cos(phase))


def _altitude(body: Any, frame: Any) -> FloatArray:
    return np.asarray(body.transform_to(frame).alt.deg)


def _unit(ra: FloatArray, dec: FloatArray) -> FloatArray:
    """Unit vectors of directions [radian], shape (n, 3)."""
    return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def _mjd_of(evening: str) -> float:
    """MJD of 0 h UTC of a date."""
    try:
        day = date.fromisoformat(evening)
    except ValueError:
        raise SettingsError(f"night {evening!r}: give the date of its evening as YYYY-MM-DD") from None
    if not 1900 <= day.year <= 2100:
        raise SettingsError(f"night {evening}: the built-in positions of Sun and Moon hold for 1900 to 2100")
    return float((day - date(1858, 11, 17)) / timedelta(days=1))


@contextmanager
def _offline() -> Iterator[None]:
    """Turn off downloads; outside astropy's own tables, Earth's rotation is accurate to seconds."""
    from astropy.utils import iers

    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
