"""Light curves of many objects, and of one; tables of other libraries to them and back."""

from firstlight.lightcurves.curves import DETECTION_SNR, LightCurve, LightCurves, RedshiftMode
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS

__all__ = [
    "DETECTION_SNR",
    "OBJECT_COLUMNS",
    "OBSERVATION_COLUMNS",
    "LightCurve",
    "LightCurves",
    "RedshiftMode",
]
