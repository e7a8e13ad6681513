"""Light curves of many objects, and of one; `foreign` reads the tables of others into them."""

from firstlight.lightcurves.curve import LightCurve
from firstlight.lightcurves.curves import DETECTION_SNR, LightCurves, RedshiftMode
from firstlight.lightcurves.foreign.intake import Intake, MetadataTable
from firstlight.lightcurves.foreign.raw import RawTable
from firstlight.lightcurves.given import as_light_curves
from firstlight.lightcurves.reject import Reject, RejectLog
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS

__all__ = [
    "DETECTION_SNR",
    "OBJECT_COLUMNS",
    "OBSERVATION_COLUMNS",
    "Intake",
    "LightCurve",
    "LightCurves",
    "MetadataTable",
    "RawTable",
    "RedshiftMode",
    "Reject",
    "RejectLog",
    "as_light_curves",
]
