"""`SurveyConfig`: how a survey sees an object; one TOML file per survey, each with its sources."""

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

from firstlight.bands import find_filter
from firstlight.errors import SettingsError, UnknownBandError
from firstlight.settings import from_table

Photometry = Literal["forced", "detections"]

_NUMBERS = (float, tuple[float, ...])  # types of settings


@dataclass(frozen=True, kw_only=True)
class SurveyConfig:
    """How a survey observes: typical values, from which each re-observed object scatters.

    Attributes
    ----------
    name : str
        Name of the survey.
    sources : tuple of str
        Where the numbers are from.
    filters : tuple of str
        Its filters, in any spelling that `firstlight.bands.find_filter` knows.
    depth : tuple of float
        5-sigma depth of a visit in each filter [AB mag].
    chance : tuple of float
        Probability that a night with observations has one in that filter.
    gap : float
        Typical time between such nights [day].
    season : float
        Longest time for which an object is followed without a break [day].
    lead : float
        Longest time before the first light at which a season begins [day]; 0 where others find the objects.
    peak : tuple of float
        Brightest and faintest peak of the objects that get a spectrum [AB mag].
    error_floor : float
        Least error, as a fraction of the flux.
    underestimate : float
        Scatter of the fluxes over the stated errors lies between 1 and this.
    photometry : {"forced", "detections"}
        Whether all visits have a flux, or those where the object was detected.
    min_snr : float
        Least signal-to-noise ratio of a published flux where only detections are.
    history, future : float
        Days of forced photometry before the season in which the object is seen, and after it.
    missing : float
        Probability that an object lacks a filter altogether.
    """

    name: str
    sources: tuple[str, ...]
    filters: tuple[str, ...]
    depth: tuple[float, ...]
    chance: tuple[float, ...]
    gap: float
    season: float
    peak: tuple[float, ...]
    error_floor: float = 0.01
    underestimate: float = 1.0
    photometry: Photometry = "forced"
    min_snr: float = 5.0
    history: float = 0.0
    future: float = 0.0
    missing: float = 0.0
    lead: float = 60.0

    def __post_init__(self) -> None:
        """Check lengths, ranges and names of filters."""
        numbers = (getattr(self, one.name) for one in fields(self) if one.type in _NUMBERS)
        if not np.isfinite(np.hstack(list(numbers))).all():
            raise SettingsError(f"survey {self.name}: a number is not finite")
        n = len(self.filters)
        if not n or len(self.depth) != n or len(self.chance) != n or not self.sources:
            raise SettingsError(
                f"survey {self.name}: give filters, as many depths and chances, and at least one source"
            )
        shares = (*self.chance, self.missing, self.error_floor)
        if min(shares) < 0.0 or max(shares) > 1.0 or max(self.chance) == 0.0:
            raise SettingsError(
                f"survey {self.name}: chances, missing and error_floor lie between 0 and 1, "
                "and one chance is above 0"
            )
        if min(self.gap, self.season) <= 0.0 or min(self.min_snr, self.history, self.future, self.lead) < 0.0:
            raise SettingsError(
                f"survey {self.name}: gap and season are positive, other times and min_snr not negative"
            )
        if len(self.peak) != 2 or self.peak[0] >= self.peak[1] or self.underestimate < 1.0:
            raise SettingsError(
                f"survey {self.name}: peak is a brighter and a fainter magnitude; underestimate is 1 or more"
            )
        try:
            bands = [find_filter(name).band for name in self.filters]
        except UnknownBandError as error:
            raise SettingsError(f"survey {self.name}: {error}") from error
        if min(bands) < 0:
            raise SettingsError(f"survey {self.name}: a filter lies outside of the range of ugrizy")


def survey_names() -> list[str]:
    """Names of the surveys that ship with firstlight."""
    folder = files("firstlight.surveys")
    return sorted(one.name.removesuffix(".toml") for one in folder.iterdir() if one.name.endswith(".toml"))


@cache
def load_survey(name: str) -> SurveyConfig:
    """A survey by name, or from a TOML file.

    Parameters
    ----------
    name : str
        One of `survey_names`, or the path of a TOML file.

    Raises
    ------
    SettingsError
        If there is no such survey or file, the TOML is malformed, or a key is unknown, missing or impossible.
    """
    if name in survey_names():
        content = files("firstlight.surveys").joinpath(f"{name}.toml").read_bytes()
    elif Path(name).is_file():
        content = Path(name).read_bytes()
    else:
        raise SettingsError(f"no survey or file {name!r}; surveys: {', '.join(survey_names())}")
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: not valid TOML: {error}") from error
    return from_table(SurveyConfig, {"name": Path(name).stem} | table, Path(name).stem)
