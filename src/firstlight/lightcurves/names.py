"""Column names of light-curve tables: ours, and the spellings that firstlight also knows.

One table for every container, so that a column has the same meaning in CSV, Parquet, pandas,
nested-pandas and astropy.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from firstlight.errors import DataError, MissingColumnError

#: Spellings of each column with one value per observation, the preferred one first.
OBSERVATION_SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "object_id": ("object_id",),
        "mjd": ("mjd",),
        "band": ("band", "passband"),
        "flux": ("flux",),
        "flux_err": ("flux_err",),
        "detected": ("detected", "detected_bool"),
        "zero_point": ("zero_point", "zeropoint", "zp", "zpt"),
        "unit": ("unit", "units", "flux_unit"),
        "system": ("zpsys", "zpmagsys", "magsys"),
        "mag": ("mag", "magnitude"),  # read only to check the unit of the fluxes
    }
)
#: Spellings of each column with one value per object. Nothing else of a survey's metadata is read,
#: and no spelling of a true value may stand here.
OBJECT_SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ra": ("ra",),
        "dec": ("dec", "decl"),
        "ebv": ("ebv", "mwebv"),
        "redshift": ("redshift", "z", "hostgal_photoz"),
        "redshift_err": ("redshift_err", "z_err", "hostgal_photoz_err"),
        "redshift_spec": ("redshift_spec", "hostgal_specz"),
    }
)
SURVEY = "survey"  # column with one text per object: whose observations these are
DEREDDENED = "dereddened"  # column or attribute: whether the fluxes are corrected for Milky Way dust
#: All that a table may state once per object.
PER_OBJECT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    dict(OBJECT_SPELLINGS) | {DEREDDENED: (DEREDDENED,), SURVEY: (SURVEY,)}
)
#: The names of sncosmo's tables, which lack ours.
SNCOSMO_SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    dict(OBSERVATION_SPELLINGS)
    | {
        "mjd": ("time", "date", "jd", "mjd", "mjdobs", "mjd_obs"),
        "band": ("band", "bandpass", "filter", "flt", "passband"),
        "flux": ("flux", "f"),
        "flux_err": ("fluxerr", "flux_error", "fluxerror", "fe", "flux_err"),
    }
)
#: Column names that only PLAsTiCC uses: its fluxes have zero point 27.5 and are corrected for dust.
PLASTICC_MARKS = ("passband", "detected_bool")


def find_columns(header: Iterable[object], spellings: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Our names to the table's, for those that it has in any spelling and in any case.

    The exact spelling goes before another case, and the preferred spelling before the others.
    """
    names = [str(name) for name in header]
    folded = {name.strip().lower(): name for name in reversed(names)}
    found: dict[str, str] = {}
    for name, known in spellings.items():
        for spelling in known:
            match = spelling if spelling in names else folded.get(spelling)
            if match is not None:
                found[name] = match
                break
    return found


def refuse_twice(header: Iterable[object], where: str) -> None:
    """Raise DataError if a name of a column occurs more than once."""
    names = [str(name) for name in header]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: column(s) {', '.join(twice)} occur more than once; keep one of each")


def require_columns(present: Iterable[object], needed: Iterable[str], where: str) -> None:
    """Raise MissingColumnError unless all needed columns are present."""
    names = [str(name) for name in present]
    missing = [name for name in needed if name not in names]
    if missing:
        raise MissingColumnError(f"{where} has no column(s) {missing}; it has {names}")
