"""The filters of other surveys: one table, and one function that knows their usual spellings.

``filters.csv`` has a row per filter. `wavelength` is its effective wavelength [Angstrom];
`ab_offset` turns a magnitude of its `system` into AB; `extinction` is A(filter) / E(B-V) of
Fitzpatrick (1999) with R_V = 3.1 at that wavelength, empty beyond 3.3 micrometres, where the
law ends; `source` says where wavelength and offset are from.
"""

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from firstlight.bands.ugrizy import BANDS, EFFECTIVE_WAVELENGTH
from firstlight.errors import UnknownBandError

#: Effective wavelengths that the six bands cover [Angstrom]: half of the peak throughput of u and y is
#: at 3490 and 10,110; a filter beyond these limits is none of theirs.
COVERAGE = (3400.0, 10_200.0)

UNKNOWN, OUTSIDE = -1, -2  # stand for the band of a filter that is unknown, or not covered by ugrizy

#: Names of each survey, instrument or system, in lower case and without separators; the first is ours.
SURVEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "lsst": ("lsst", "rubin", "lsstcam", "lsstcomcam", "comcam"),
        "ztf": ("ztf", "p48"),
        "ps1": ("ps1", "panstarrs", "panstarrs1", "gpc1"),
        "sdss": ("sdss", "sloan"),
        "des": ("des",),
        "decam": ("decam",),
        "skymapper": ("skymapper", "smss"),
        "atlas": ("atlas",),
        "gaia": ("gaia", "gaia3", "gaiadr3"),
        "uvot": ("uvot", "swift", "swiftuvot"),
        "johnson": ("johnson", "cousins", "johnsoncousins", "bessell", "bessel", "landolt", "standard"),
        "2mass": ("2mass", "twomass"),
        "wise": ("wise", "neowise", "allwise"),
        "blackgem": ("blackgem", "meerlicht"),
        "goto": ("goto",),
        "ls4": ("ls4",),
        "roman": ("roman", "wfirst"),
        "galex": ("galex",),
        "hsc": ("hsc",),
        "euclid": ("euclid",),
        "asassn": ("asassn",),
    }
)
#: The customary meaning of a name without a survey; bare u g r i z y are LSST's.
_BARE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "lsst": ("u", "g", "r", "i", "z", "y", "Y"),
        "sdss": ("u'", "g'", "r'", "i'", "z'", "up", "gp", "rp", "ip", "zp"),
        "johnson": ("U", "B", "V", "R", "I"),
        "2mass": ("J", "H", "K", "Ks"),
        "atlas": ("c", "o", "cyan", "orange"),
        "ztf": ("zg", "zr", "zi"),
        "wise": ("W1", "W2", "W3", "W4"),
        "uvot": ("UVW1", "UVM2", "UVW2", "uvw1", "uvm2", "uvw2"),
        "galex": ("FUV", "NUV"),
        "ps1": ("w",),
        "blackgem": ("q",),
        "goto": ("L",),
        "gaia": ("BP", "RP", "G_BP", "G_RP"),
        "roman": ("F062", "F087", "F106", "F129", "F146", "F158", "F184", "F213"),
    }
)
_CASE_DECIDES = ("U", "R", "I")  # u r i are LSST's
#: Names without a survey that have several meanings, and spellings that have one.
_AMBIGUOUS: Mapping[str, str] = MappingProxyType(
    {
        "G": "write gaia_G or g",
        "b": "write uvot_b or johnson_B",
        "v": "write uvot_v, johnson_V or skymapper_v",
        "w1": "write wise_W1 or uvot_uvw1",
        "w2": "write wise_W2 or uvot_uvw2",
        "bp": "write gaia_BP",
    }
)


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a survey."""

    survey: str  # a key of `SURVEYS`
    name: str  # as the survey writes it
    wavelength: float  # effective wavelength [Angstrom]
    system: str  # of its magnitudes by custom: AB or Vega
    ab_offset: float  # AB magnitude minus magnitude of the system [mag]
    extinction: float  # A(filter) / E(B-V) [mag/mag]; NaN where unknown
    source: str  # of wavelength and offset

    @property
    def label(self) -> str:
        """Survey and name, a spelling that has one meaning."""
        return f"{self.survey}_{self.name}"

    @property
    def band(self) -> int:
        """Index into `BANDS` of the nearest band in ln(wavelength), or `OUTSIDE` of their coverage."""
        if not COVERAGE[0] <= self.wavelength <= COVERAGE[1]:
            return OUTSIDE
        return int(np.argmin(np.abs(np.log(EFFECTIVE_WAVELENGTH / self.wavelength))))


@cache
def read_filters() -> tuple[Filter, ...]:
    """All filters of the table."""
    return tuple(one for one, _ in _table())


def find_survey(name: str) -> str | None:
    """The survey, instrument or photometric system of a name; None where it is unknown.

    Examples
    --------
    >>> find_survey("Pan-STARRS1"), find_survey("Hubble")
    ('ps1', None)
    """
    return _survey_names().get(_plain(name))


def find_filter(name: str, survey: str | None = None) -> Filter:
    """The filter of a name in any usual spelling.

    Parameters
    ----------
    name : str
        With its survey, in either order (``ztfg``, ``g.ztf``, ``ZTF:g``, ``ps1__g``, ``uvot::u``), or
        alone. Alone, u g r i z y are LSST's, U B V R I those of Johnson and Cousins, J H K 2MASS's.
    survey : str, optional
        Survey, instrument or system of a name that does not state one, in any spelling. It
        also decides the meaning of a number: 1 of ``ztf`` is g.

    Returns
    -------
    Filter
        Its row of the table.

    Raises
    ------
    UnknownBandError
        If the name is unknown, or has several meanings; the message gives spellings with one.

    Examples
    --------
    >>> find_filter("g.ztf").label, find_filter("2", "ZTF").label, find_filter("V").ab_offset
    ('ztf_g', 'ztf_r', 0.02)
    """
    name = name.strip()
    known = None if survey is None else find_survey(survey)
    if known is None:
        found = _bare().get(name) or _by_key().get(_plain(name))
    else:
        found = _by_key().get(known + _plain(name)) or _by_key().get(_plain(name))
    if found is not None:
        return found
    if known is not None:
        names = ", ".join(one.name for one in read_filters() if one.survey == known)
        raise UnknownBandError(f"{known} has no filter {name!r}; its filters are {names}")
    if name in _AMBIGUOUS:
        raise UnknownBandError(f"filter {name!r} has several meanings; {_AMBIGUOUS[name]}")
    if name.isdecimal():
        raise UnknownBandError(f"filter {name!r} is a number; state its survey or write names such as ztf_g")
    raise UnknownBandError(
        f"unknown filter {name!r}; write it as survey_name, such as lsst_g, ztf_r, johnson_V or atlas_o "
        f"(surveys: {', '.join(SURVEYS)})"
    )


def stated_survey(name: str) -> str:
    """The survey that the name of a filter states; empty for bare u g r i z y, numbers and unknown names.

    Examples
    --------
    >>> stated_survey("ztfg"), stated_survey("g"), stated_survey("cyan")
    ('ztf', '', 'atlas')
    """
    if name in _BARE["lsst"]:
        return ""
    try:
        return find_filter(name).survey
    except UnknownBandError:
        return ""


def match_bands(names: Iterable[str]) -> NDArray[np.int8]:
    """Band indices of filter names, or of PLAsTiCC's numbers ``0`` to ``5``.

    `UNKNOWN` (-1) where a name is unknown or has several meanings, `OUTSIDE` (-2) where ugrizy do not
    cover the filter.

    Examples
    --------
    >>> match_bands(["g", "5", "lsstr", "ztfi", "J", "?"]).tolist()
    [1, 5, 2, 3, -2, -1]
    """
    return np.array([_band(str(name).strip()) for name in names], dtype=np.int8)


def case_note(names: Iterable[str]) -> str:
    """A sentence on names without a survey that their case alone gives to Johnson; empty without any.

    Examples
    --------
    >>> case_note(["g", "R"])
    "filter R is read as johnson_R; a lower-case r is LSST's"
    """
    found = sorted({name for name in names if name in _CASE_DECIDES})
    if not found:
        return ""
    theirs, ours = (" and ".join(words) for words in ([f"johnson_{n}" for n in found], map(str.lower, found)))
    one = len(found) == 1
    return (
        f"filter{'' if one else 's'} {' and '.join(found)} {'is' if one else 'are'} read as {theirs}; "
        f"{'a ' if one else ''}lower-case {ours} {'is' if one else 'are'} LSST's"
    )


def short_spellings(surveys: Iterable[str], longest: int = 8) -> dict[str, int]:
    """Band index of the spellings of the surveys' filters up to a length, the shortest first."""
    found: dict[str, int] = {}
    for survey in surveys:
        for one in (one for one in read_filters() if one.survey == survey and one.band >= 0):
            for name in dict.fromkeys((one.name, one.name.upper())):
                names = [
                    f"{s}{between}{name}" for between in ("", "_", "-", ":", ".") for s in _cases(survey)
                ]
                names += [f"{name}{between}{s}" for between in (".", "-") for s in _cases(survey)]
                found |= {spelling: one.band for spelling in names if len(spelling) <= longest}
    return dict(sorted(found.items(), key=lambda item: len(item[0])))


# --- the dictionaries -----------------------------------------------------------


def _cases(survey: str) -> tuple[str, str]:
    return survey, survey.upper()


def _plain(name: str) -> str:
    """Lower case without separators: the form in which spellings are compared within a survey."""
    return re.sub(r"[-_.:/\s]+", "", name).lower()


@cache
def _table() -> tuple[tuple[Filter, tuple[str, ...]], ...]:
    """All filters with their further spellings."""
    text = files("firstlight.bands").joinpath("filters.csv").read_text("utf-8")
    rows = []
    for row in csv.DictReader(text.splitlines()):
        one = Filter(
            survey=row["survey"],
            name=row["name"],
            wavelength=float(row["wavelength"]),
            system=row["system"],
            ab_offset=float(row["ab_offset"]),
            extinction=float(row["extinction"] or math.nan),
            source=row["source"],
        )
        rows.append((one, (row["name"], *row["spellings"].split())))
    return tuple(rows)


@cache
def _survey_names() -> dict[str, str]:
    return {alias: survey for survey, aliases in SURVEYS.items() for alias in aliases}


@cache
def _by_key() -> dict[str, Filter]:
    """Filters by survey and name, in either order, without case and separators."""
    found: dict[str, Filter] = {}
    for one, names in _table():
        for survey in SURVEYS[one.survey]:
            for name in map(_plain, names):
                found[survey + name] = one
                found[name + survey] = one
    return found


@cache
def _bare() -> dict[str, Filter]:
    return {name: _by_key()[survey + _plain(name)] for survey, names in _BARE.items() for name in names}


@cache
def _band(name: str) -> int:
    if name.isdecimal() and len(name) == 1:
        return int(name) if int(name) < len(BANDS) else UNKNOWN
    try:
        return find_filter(name).band
    except UnknownBandError:
        return UNKNOWN
