"""Positions as surveys write them: degrees, or sexagesimal texts."""

from typing import Any

import numpy as np

from firstlight._types import FloatArray
from firstlight.data.formats.photometry import texts
from firstlight.lightcurves.values import numbers_of


def degrees(values: Any, *, hours: bool) -> FloatArray:
    """Angles in degrees; sexagesimal texts such as 10:12:30.5 are hours or degrees. NaN where none."""
    given = texts(values)
    sexagesimal = np.char.find(given, ":") > 0
    angles = np.full(len(given), np.nan)
    plain = np.flatnonzero(~sexagesimal)
    angles[plain] = numbers_of(given[plain])
    for i in np.flatnonzero(sexagesimal).tolist():
        angles[i] = _sexagesimal(str(given[i])) * (15.0 if hours else 1.0)
    return angles


def _sexagesimal(text: str) -> float:
    parts = text.replace("\u2212", "-").split(":")
    try:
        size = [abs(float(part)) for part in parts]
    except ValueError:
        return float("nan")
    if len(size) > 3 or any(not part < 60.0 for part in size[1:]):
        return float("nan")
    sign = -1.0 if parts[0].strip().startswith("-") else 1.0
    return sign * float(sum(part / 60.0**k for k, part in enumerate(size)))
