"""The six LSST bands, the filters of other surveys, and units of flux.

Fluxes inside firstlight are AB nanojansky; wavelengths are Angstrom.
"""

from firstlight.bands.filters import (
    OUTSIDE,
    SURVEYS,
    UNKNOWN,
    Filter,
    case_note,
    find_filter,
    find_survey,
    match_bands,
    read_filters,
    short_spellings,
    stated_survey,
)
from firstlight.bands.ugrizy import (
    BANDS,
    EFFECTIVE_WAVELENGTH,
    EXTINCTION_PER_EBV,
    N_BANDS,
    band_index,
)
from firstlight.bands.units import (
    AB_ZERO_POINT_NJY,
    SNANA_ZERO_POINT,
    flux_to_njy,
    magnitude,
    magnitude_to_njy,
)

__all__ = [
    "AB_ZERO_POINT_NJY",
    "BANDS",
    "EFFECTIVE_WAVELENGTH",
    "EXTINCTION_PER_EBV",
    "N_BANDS",
    "OUTSIDE",
    "SNANA_ZERO_POINT",
    "SURVEYS",
    "UNKNOWN",
    "Filter",
    "band_index",
    "case_note",
    "find_filter",
    "find_survey",
    "flux_to_njy",
    "magnitude",
    "magnitude_to_njy",
    "match_bands",
    "read_filters",
    "short_spellings",
    "stated_survey",
]
