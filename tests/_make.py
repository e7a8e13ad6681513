"""Comparisons that several rooms' tests share."""

import numpy as np

from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS


def assert_same_curves(one: LightCurves, other: LightCurves) -> None:
    """Equal columns, NaN equal to NaN, and the same correction for dust."""
    for name in ("object_id", "offsets", *OBSERVATION_COLUMNS, *OBJECT_COLUMNS):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.dereddened == other.dereddened
