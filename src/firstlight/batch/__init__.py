"""Archives: the answer for each object of a catalog of any size, partition by partition.

`FrameClassifier` is the function of one partition, for LSDB, Dask and Spark. `classify_archive` applies it to
all partitions of a HATS catalog or a folder, in local processes or on a Dask cluster, and goes on where an
interrupted run ended.
"""

from firstlight.batch.archive import Summary, classify_archive
from firstlight.batch.frames import SET_ASIDE, FrameClassifier
from firstlight.batch.select import Cone, Selection
from firstlight.batch.spark import pandas_udf

__all__ = [
    "SET_ASIDE",
    "Cone",
    "FrameClassifier",
    "Selection",
    "Summary",
    "classify_archive",
    "pandas_udf",
]
