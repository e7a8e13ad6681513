"""Foreign files to `LightCurves`: readers, our own store, labels, rejects and the data sets.

Foreign units and spellings end here.
"""

from firstlight.data.fetch import cache_folder, fetch_plasticc, fetch_plasticc_test, load_plasticc
from firstlight.data.plasticc import iter_plasticc, read_plasticc
from firstlight.data.read import read, read_table
from firstlight.data.snpcc import Snpcc, read_snpcc
from firstlight.data.store import iter_curves, read_curves, write_curves
from firstlight.data.truth import Truth
from firstlight.lightcurves import Reject, RejectLog

__all__ = [
    "Reject",
    "RejectLog",
    "Snpcc",
    "Truth",
    "cache_folder",
    "fetch_plasticc",
    "fetch_plasticc_test",
    "iter_curves",
    "iter_plasticc",
    "load_plasticc",
    "read",
    "read_curves",
    "read_plasticc",
    "read_snpcc",
    "read_table",
    "write_curves",
]
