"""Column names of surveys, brokers and archives, and their units and flags.

A layout is recognised by names that only it has. The first of `LAYOUTS` that fits counts; the last, plain
``table``, fits whatever has a time, a filter and a flux or magnitude under usual names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from firstlight.bands import AB_ZERO_POINT_NJY, SNANA_ZERO_POINT
from firstlight.data.formats.source import plain_name
from firstlight.lightcurves.names import OBJECT_SPELLINGS

MICROJANSKY = 23.9  # mag; AB zero point of fluxes in microjansky

Words = Mapping[str, tuple[str, ...]]

#: Spellings of a row's values, in lower case; the preferred one first. A true value has none here.
WORDS: Words = MappingProxyType(
    {
        "object_id": (
            "object_id", "objectid", "diaobjectid", "objid", "obj_id", "oid", "snid", "object", "name",
            "star name", "id",
        ),
        "mjd": (
            "mjd", "midpointmjdtai", "midpointtai", "expmidptmjd", "mjdobs", "mjd_obs", "mjd-obs",
            "obsmjd", "hmjd", "time", "jd", "hjd", "bjd", "date",
        ),
        "filter": (
            "filter", "band", "passband", "bandpass", "flt", "filt", "filtername", "filtercode", "fid",
            "filterid",
        ),
        "flux": ("flux", "fluxcal", "ujy", "f"),
        "flux_err": (
            "flux_err", "fluxerr", "flux_error", "fluxerror", "fluxcalerr", "dujy",
            "flux_unc", "e_flux", "fe",
        ),
        "mag": ("mag", "magnitude", "magpsf", "psfmag", "psf_mag", "m"),
        "mag_err": (
            "mag_err", "magerr", "magnitude_error", "e_magnitude", "emag", "e_mag", "mag_error", "sigmapsf",
            "dm", "magnitude_err", "psfmagerr", "merr", "uncertainty",
        ),
        "limit": ("limit", "limmag", "limiting_mag", "maglim", "diffmaglim", "upperlimit_mag"),
        "upper": ("upperlimit", "upper_limit", "islimit", "is_limit"),
        "positive": ("isdiffpos",),
        "zero_point": ("zero_point", "zeropoint", "zp", "zpt", "zpdiff"),
        "system": ("zpsys", "zpmagsys", "magsys", "mag_system", "system"),
        "unit": ("unit", "units", "flux_unit"),
        "detected": ("detected", "detected_bool"),
        "survey": ("survey", "telescope", "instrument"),
        "ra": (*OBJECT_SPELLINGS["ra"], "meanra"),
        "dec": (*OBJECT_SPELLINGS["dec"], "meandec"),
        **{name: OBJECT_SPELLINGS[name] for name in ("ebv", "redshift", "redshift_err", "redshift_spec")},
        "quality": (),
        "source": ("diasourceid",),
    }
)  # fmt: skip
TEXT_WORDS = (
    "object_id",
    "filter",
    "positive",
    "system",
    "unit",
    "detected",
    "survey",
    "upper",
    "quality",
    "source",
)
OBJECT_WORDS = ("ra", "dec", "ebv", "redshift", "redshift_err", "redshift_spec")


@dataclass(frozen=True, slots=True)
class Layout:
    """Column names of one origin, and their units and meaning."""

    name: str  # as --format spells it
    title: str  # for the user
    marks: tuple[tuple[str, ...], ...] = ()  # the layout fits a file that has one name of each
    words: Words = field(default_factory=dict)  # spellings instead of those of `WORDS`
    survey: str | None = None  # of its filters
    zero_point: float = AB_ZERO_POINT_NJY  # of its fluxes [mag], unless a column states one
    implied: bool = True  # whether the format defines that zero point
    utc: bool = False  # whether its times are UTC instead of TAI
    detections: bool = False  # whether every row with a measurement is a detection of the survey
    positions_scatter: bool = False  # whether each row has the position of its own measurement
    total_light: bool = False  # whether magnitudes hold all light of the object, no reference subtracted
    prefers: Literal["flux", "mag"] = "flux"  # if a file has both
    errors_lacking: bool = False  # whether measurements without an error are usual, and left out
    quality: str = ""  # a rule of `firstlight.data.formats.photometry.QUALITY`
    one_object: bool = False  # whether a file holds one object and does not name it


_LSST_FLUX: Words = {
    # a forced source's psfFlux is that of the science image; psfDiffFlux is that of the difference
    "flux": ("psfdiffflux", "psfflux", "psflux"),
    "flux_err": ("psfdifffluxerr", "psffluxerr", "psfluxerr"),
    "zero_point": (), "unit": (), "system": (), "survey": (), "mag": (), "limit": (),
}  # fmt: skip
_ZTF_MAG: Words = {"zero_point": (), "system": (), "unit": (), "survey": (), "flux": ()}

_LSST_MARKS = (
    ("diaobjectid",),
    ("midpointmjdtai", "midpointtai", "expmidptmjd"),
    ("psfdiffflux", "psfflux", "psflux"),
)

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "rubin", "Rubin source table",
        (*_LSST_MARKS, ("diasourceid", "parentdiasourceid")),
        _LSST_FLUX, survey="lsst", detections=True, positions_scatter=True,
    ),
    Layout(
        "rubin-forced", "Rubin forced sources",
        _LSST_MARKS,
        _LSST_FLUX, survey="lsst", positions_scatter=True,
    ),
    Layout(
        # psfFlux of these is all light of the object, psfDiffFlux the change against the template
        "rubin-object", "Rubin forced sources of objects",
        (("objectid",), *_LSST_MARKS[1:2], ("psfdiffflux",), ("psfdifffluxerr",)),
        dict(_LSST_FLUX) | {"flux": ("psfdiffflux",), "flux_err": ("psfdifffluxerr",)},
        survey="lsst", positions_scatter=True,
    ),
    Layout(
        "ztf-forced", "ZTF forced photometry service",
        (("forcediffimflux",), ("forcediffimfluxunc",), ("zpdiff",), ("jd",)),
        {"flux": ("forcediffimflux",), "flux_err": ("forcediffimfluxunc",), "zero_point": ("zpdiff",),
         "limit": (), "quality": ("procstatus",), "survey": ()},
        survey="ztf", utc=True, quality="procstatus", one_object=True,
    ),
    Layout(
        "atlas-forced", "ATLAS forced photometry",
        (("mjd", "###mjd", "#mjd"), ("ujy",), ("dujy",), ("f",)),
        {"mjd": ("###mjd", "#mjd", "mjd"), "filter": ("f",), "flux": ("ujy",), "flux_err": ("dujy",),
         "limit": (), "quality": ("err",), "survey": (), "mag": ()},
        survey="atlas", zero_point=MICROJANSKY, utc=True, quality="err", one_object=True,
        positions_scatter=True,
    ),
    Layout(
        "ztf-alerts", "ZTF alerts by a broker (ALeRCE, Fink, Lasair)",
        (("magpsf",), ("sigmapsf",), ("fid",), ("isdiffpos",), ("mjd", "jd")),
        dict(_ZTF_MAG) | {"quality": ("tag",)},
        survey="ztf", utc=True, detections=True, positions_scatter=True, quality="tag",
    ),
    Layout(
        "irsa", "IRSA ZTF light curves",
        (("oid",), ("filtercode",), ("mag",), ("magerr",), ("catflags",)),
        dict(_ZTF_MAG) | {"limit": (), "quality": ("catflags",), "mjd": ("mjd", "hmjd", "hjd")},
        survey="ztf", utc=True, total_light=True, quality="catflags", positions_scatter=True,
    ),
    Layout(
        "aavso", "AAVSO photometry",
        (("jd", "date"), ("magnitude", "mag"), ("uncertainty", "merr"), ("band", "filt"),
         ("star name", "name"), ("observer code", "mtype")),
        utc=True, errors_lacking=True,
    ),
    Layout("sncosmo", "sncosmo table", (("time", "date", "mjd", "jd", "mjdobs"), ("zp", "zpt", "zeropoint"),
                                        ("zpsys", "zpmagsys", "magsys")), {"mag": (), "limit": ()}),
    Layout("table", "table", implied=False),
)  # fmt: skip
SNANA = Layout(
    "snana", "SNANA",
    words={"filter": ("band", "flt"), "zero_point": (), "quality": ("photflag",), "mag": ()},
    zero_point=SNANA_ZERO_POINT, quality="photflag",
)  # fmt: skip
SUPERNOVA_CATALOG = Layout(
    "osc", "Open Supernova Catalog", words={"filter": ("band",)}, prefers="mag", implied=False,
    detections=True, errors_lacking=True,
)  # fmt: skip


def fits_layout(layout: Layout, names: Iterable[str]) -> bool:
    """Whether a file with these column names has the layout."""
    folded = {plain_name(name) for name in names}
    return all(folded.intersection(options) for options in layout.marks)


def layout_of(names: Iterable[str]) -> Layout:
    """The layout of column names."""
    names = list(names)
    return next(layout for layout in LAYOUTS if fits_layout(layout, names))


def find_words(layout: Layout, folded: Mapping[str, str]) -> dict[str, str]:
    """Map the values that a row can state to the file's column names."""
    found = {}
    for word, usual in WORDS.items():
        match = next((name for name in layout.words.get(word, usual) if name in folded), None)
        if match is not None:
            found[word] = folded[match]
    return found
