"""The running summary in an astronomer's words: meaning, unit and natural value of each column."""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from firstlight.encoder.contrast import CONTRAST_NAMES
from firstlight.encoder.running import LONG_LAG, PEAK_EDGES, SEASON_GAP, SHORT_LAG, TRIGGER_EDGES
from firstlight.encoder.steps import (
    CONTEXT_NAMES,
    MAGNITUDE_ORIGIN,
    REDSHIFT_ERR_SOFTENING,
    REDSHIFT_SOFTENING,
)


def _same(value: float) -> float:
    return value


class Meaning(NamedTuple):
    """A column that the classifier reads, in words."""

    name: str
    text: str
    unit: str = "1"  # "1" for a pure number
    natural: Callable[[float], float] = _same  # from the scale of the column to `unit`
    known_by: str = ""  # column that is 0 where the observations do not determine this one


def _days(value: float) -> float:
    """Undo the logarithm of a time that may be negative."""
    return math.copysign(math.expm1(abs(value)), value)


def _absolute(value: float) -> float:
    return MAGNITUDE_ORIGIN - value


# Unit and inverse of each scale of `running.summarise` and `steps`, but for "flux": asinh fluxes in nJy.
_SCALES: dict[str, tuple[str, Callable[[float], float]]] = {
    "1": ("1", _same),
    "log": ("1", math.expm1),
    "asinh": ("1", math.sinh),
    "day": ("day", _days),
    "mag": ("mag", _absolute),
    "redshift": ("1", lambda value: REDSHIFT_SOFTENING * math.expm1(value)),
    "redshift error": ("1", lambda value: REDSHIFT_ERR_SOFTENING * math.expm1(value)),
}
_OF_OBJECT = {
    "n_obs": ("log", "observations", ""),
    "span": ("day", "last observation minus first", ""),
    "before_trigger": ("day", "trigger minus first observation", "triggered"),
    "triggered": ("1", "1 from the first detection on, else 0", ""),
    "n_detections": ("log", "detections", ""),
    "detected_span": ("day", "last detection minus first", "triggered"),
    "n_seasons": ("1", f"groups of observations apart by more than {SEASON_GAP:g} days", ""),
    "n_seasons_detected": ("1", "groups of observations with a detection", ""),
    "peak": ("flux", "highest flux less two errors", "peak"),
    "dip": ("flux", "depth of the most negative flux less two errors", "dip"),
    "dip_ratio": ("1", "bounded ratio of the highest flux to the depth of the most negative one", ""),
    "peak_time": ("day", "time of the highest flux since the trigger", "peak"),
    "since_peak": ("day", "last observation minus time of the highest flux", "peak"),
    "since_detection": ("day", "last observation minus last detection", "triggered"),
    "dip_time": ("day", "time of the most negative flux since the trigger", "dip"),
    "detected_fraction": ("1", "detections over observations since the trigger", "triggered"),
    "redshift_known": ("1", "1 where the host redshift is known, else 0", ""),
    "galactic": (
        "1",
        "1 where the source states a Milky Way object (redshift exactly 0), else 0",
        "redshift_known",
    ),
    "log_redshift": ("redshift", "host redshift in use", "redshift_known"),
    "log_redshift_err": ("redshift error", "error of the host redshift", "redshift_known"),
    "absolute_peak": ("mag", "absolute AB magnitude of the highest flux, no K correction", "absolute_peak"),
}
_STEPS = "mean squared difference over error of successive fluxes in {b}"
_OF_BAND = {
    "peak_in": ("1", "1 where the highest flux is in {b}, else 0", ""),
    "share": ("1", "share of the observations that are in {b}", ""),
    "excess": ("log", "chi2 per degree of freedom about the mean flux in {b}", "share_{b}"),
    "mean": ("flux", "mean flux in {b}, averaged as asinh magnitude", "share_{b}"),
    "deviation": ("1", "standard deviation of the asinh flux in {b}", "share_{b}"),
    "skew": ("asinh", "skewness of the asinh flux in {b}", "share_{b}"),
    "kurtosis": ("log", "kurtosis of the asinh flux in {b}", "share_{b}"),
    "detected": ("1", "detections over observations in {b}", "share_{b}"),
    "positive": ("1", "share of observations with S/N above 3 in {b}", "share_{b}"),
    "negative": ("1", "share of observations with S/N below -3 in {b}", "share_{b}"),
    "snr_max": ("asinh", "highest S/N in {b}, at least 0", "share_{b}"),
    "snr_min": ("asinh", "lowest S/N in {b}, at most 0", "share_{b}"),
    "high": ("flux", "highest flux less its error in {b}", "high_{b}"),
    "low": ("flux", "depth of the most negative flux less its error in {b}", "low_{b}"),
    "high_time": ("day", "time of the highest flux in {b} since the trigger", "high_{b}"),
    "light_time": ("day", "mean time of the light in {b} since the trigger", "positive_{b}"),
    "light_width": ("day", "duration (standard deviation in time) of the light in {b}", "positive_{b}"),
    "change_night": ("log", f"{_STEPS}, within {SHORT_LAG:g} days", "change_night_{b}"),
    "change_days": ("log", f"{_STEPS}, {SHORT_LAG:g} to {LONG_LAG:g} days apart", "change_days_{b}"),
    "change_weeks": ("log", f"{_STEPS}, more than {LONG_LAG:g} days apart", "change_weeks_{b}"),
    "absolute": (
        "mag",
        "absolute AB magnitude of the highest flux in {b}, no K correction",
        "absolute_{b}",
    ),
}
_WINDOW = r"(?:trigger|peak)\d"


def _window(name: str) -> str:
    """When a window is, such as ``trigger3``."""
    after_trigger = name.startswith("trigger")
    edges = TRIGGER_EDGES if after_trigger else PEAK_EDGES
    start = "the trigger" if after_trigger else "the highest flux"
    k = int(name[-1]) - (1 if after_trigger else 0)
    if k < 0:
        return f"before {start}"
    if k + 1 == len(edges):
        return f"more than {edges[k]:g} days after {start}"
    return f"{edges[k]:g} to {edges[k + 1]:g} days after {start}"


def _of_window(name: str) -> Meaning | None:
    """Flux of a window, how well it is known, and contrasts of windows."""
    if found := re.fullmatch(rf"({_WINDOW})_(\w)", name):
        when, band = _window(found[1]), found[2]
        return Meaning(
            name,
            f"flux in {band} over the highest flux, {when}, shrunk by its error",
            "1",
            _same,
            f"{name}_known",
        )
    if found := re.fullmatch(rf"({_WINDOW})_(\w)_known", name):
        return Meaning(name, f"certainty, 0 to 1, of the flux in {found[2]} {_window(found[1])}")
    if found := re.fullmatch(rf"({_WINDOW})_(\w)_(\w)", name):
        return Meaning(name, f"bounded colour {found[2]}-{found[3]} {_window(found[1])}")
    if found := re.fullmatch(rf"({_WINDOW})_({_WINDOW})_(\w)", name):
        first, second = _window(found[1]), _window(found[2])
        return Meaning(name, f"bounded ratio of the flux in {found[3]} {first} to that {second}")
    return None


def _meaning(name: str, flux_scale: float) -> Meaning:
    if (window := _of_window(name)) is not None:
        return window
    base, _, band = name.rpartition("_")
    scale, text, known_by = _OF_OBJECT.get(name) or _OF_BAND[base]
    if scale == "flux":
        unit, natural = "nJy", lambda value: flux_scale * math.sinh(value)
    else:
        unit, natural = _SCALES[scale]
    return Meaning(name, text.format(b=band), unit, natural, known_by.format(b=band))


def summary_meanings(flux_scale: float) -> tuple[Meaning, ...]:
    """Meaning of each column of the input ``summary``, in order.

    `flux_scale` is the softening flux of the asinh [nJy].
    """
    return tuple(_meaning(name, flux_scale) for name in CONTEXT_NAMES + CONTRAST_NAMES)
