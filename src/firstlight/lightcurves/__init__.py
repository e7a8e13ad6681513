"""Light curves of many objects, and of one; tables of other libraries to them and back."""

from firstlight.lightcurves.curves import LightCurve, LightCurves, RedshiftMode

__all__ = ["LightCurve", "LightCurves", "RedshiftMode"]
