"""Light curves in the formats of surveys, brokers, archives and other packages.

A file becomes a `Source` of named columns (`containers`, `snana`, `catalog`); a layout gives each column its
meaning (`layouts`); `photometry` turns magnitudes, limits and filters into fluxes; `read_foreign` hands the
rows to the package's rule for rows of any source.
"""

from firstlight.data.formats.layouts import LAYOUTS
from firstlight.data.formats.names import ColumnNames
from firstlight.data.formats.reader import FORMATS, Reading, object_column, read_foreign, read_foreign_table
from firstlight.data.formats.recognise import is_alert_file

__all__ = [
    "FORMATS",
    "LAYOUTS",
    "ColumnNames",
    "Reading",
    "is_alert_file",
    "object_column",
    "read_foreign",
    "read_foreign_table",
]
