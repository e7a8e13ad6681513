"""Positions as surveys write them: degrees, or sexagesimal texts."""

import re
from typing import Any

import numpy as np
import pyarrow as pa

from firstlight._types import FloatArray
from firstlight.lightcurves.foreign.values import as_arrow, decoded, is_text, numbers_of
from firstlight.text import number_in

_SEPARATORS = re.compile(r"(?<=\d)\s*[hdms\u00b0'\u2032\"\u2033:]+\s*|(?<=\d)\s+(?=\d)")


def degrees(values: Any, *, hours: bool) -> FloatArray:
    """Angles in degrees; sexagesimal texts, such as 10:12:30.5, are hours or degrees. NaN where none."""
    angles = numbers_of(values)
    rest = np.flatnonzero(np.isnan(angles))
    if not len(rest) or not is_text(decoded(as_arrow(values)).type):
        return angles
    code = decoded(as_arrow(values)).take(pa.array(rest)).dictionary_encode()
    found = np.full(len(code.dictionary) + 1, np.nan)  # the last stands for a missing text
    for i, name in enumerate(code.dictionary.to_pylist()):
        text = _SEPARATORS.sub(":", name.strip()).rstrip(":")
        if ":" in text:
            found[i] = _sexagesimal(text) * (15.0 if hours else 1.0)
    angles = angles.copy()
    angles[rest] = found[np.asarray(code.indices.fill_null(len(code.dictionary)))]
    return angles


def _sexagesimal(text: str) -> float:
    parts = text.replace("\u2212", "-").split(":")
    try:
        size = [abs(number_in(part)) for part in parts]
    except ValueError:
        return float("nan")
    if len(size) > 3 or any(not part < 60.0 for part in size[1:]):
        return float("nan")
    sign = -1.0 if parts[0].strip().startswith("-") else 1.0
    return sign * float(sum(part / 60.0**k for k, part in enumerate(size)))
