"""Positions as surveys write them: degrees, or sexagesimal texts."""

import re
from typing import Any

import numpy as np

from firstlight._types import FloatArray
from firstlight.data.formats.photometry import coded
from firstlight.lightcurves.values import numbers_of

_SEPARATORS = re.compile(r"(?<=\d)\s*[hdms\u00b0'\u2032\"\u2033:]+\s*|(?<=\d)\s+(?=\d)")


def degrees(values: Any, *, hours: bool) -> FloatArray:
    """Angles in degrees; sexagesimal texts, such as 10:12:30.5, are hours or degrees. NaN where none."""
    distinct, code = coded(values)
    angles = numbers_of(distinct)
    for i in np.flatnonzero(np.isnan(angles)).tolist():
        text = _SEPARATORS.sub(":", str(distinct[i])).rstrip(":")
        if ":" in text:
            angles[i] = _sexagesimal(text) * (15.0 if hours else 1.0)
    return angles[code]


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
