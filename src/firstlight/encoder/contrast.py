"""Contrasts: colours, rises and falls, computed from the windows of a running summary.

Boosted trees split on one number at a time and do not see ratios of two. These ratios separate transients;
they are bounded, near zero where nothing is known, and need no look at the history.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from firstlight._types import Float32Array
from firstlight.bands import BANDS, N_BANDS
from firstlight.encoder import running
from firstlight.kernels import kernel

_FIRST = running.SUMMARY_NAMES.index("trigger0_u")
_N_WINDOWS = running.N_TRIGGER + running.N_PEAK
_WINDOWS = tuple(f"trigger{k}" for k in range(running.N_TRIGGER)) + tuple(
    f"peak{k}" for k in range(running.N_PEAK)
)
#: Pairs of bands whose contrast is taken: neighbours, and one apart.
_PAIRS = np.array(
    [(b, b + 1) for b in range(N_BANDS - 1)] + [(b, b + 2) for b in range(N_BANDS - 2)], dtype=np.int64
)
#: Name of each contrast: colours window by window, then changes from window to window.
CONTRAST_NAMES = tuple(
    f"{window}_{BANDS[a]}_{BANDS[b]}" for window in _WINDOWS for a, b in _PAIRS.tolist()
) + tuple(
    f"{before}_{after}_{band}" for before, after in pairwise(_WINDOWS) if after != "peak0" for band in BANDS
)
N_CONTRAST = len(CONTRAST_NAMES)

_SHRINK = 0.09  # squared prior of a window's flux over the peak, as in running.summarise


def contrasts(summary: Float32Array) -> Float32Array:
    """Colours and changes of window fluxes of `running.summarise`, float32, shape (n_objects, N_CONTRAST).

    Each is ``(a - b) / (|a| + |b| + error)`` of two window fluxes, NaN where one was not observed;
    columns of `summary` after the first N_SUMMARY are ignored.
    """
    out = np.full((len(summary), N_CONTRAST), np.nan, dtype=np.float32)
    _fill(np.ascontiguousarray(summary), out)
    return out


@kernel
def _fill(summary: Any, out: Any) -> None:
    n_known = _N_WINDOWS * N_BANDS
    flux, variance = np.empty(n_known), np.empty(n_known)
    for i in range(len(summary)):
        for k in range(n_known):
            known = np.float64(summary[i, _FIRST + n_known + k])
            # undo the shrinkage of each flux towards zero by its error
            flux[k] = summary[i, _FIRST + k] / known if known > 0.0 else np.nan
            variance[k] = _SHRINK * (1.0 - known) / known if known > 0.0 else np.nan
        at = 0
        for window in range(_N_WINDOWS):
            for p in range(len(_PAIRS)):
                out[i, at] = _contrast(
                    flux, variance, window * N_BANDS + _PAIRS[p, 0], window * N_BANDS + _PAIRS[p, 1]
                )
                at += 1
        for window in range(_N_WINDOWS - 1):
            if window + 1 == running.N_TRIGGER:
                continue
            for band in range(N_BANDS):
                k = window * N_BANDS + band
                out[i, at] = _contrast(flux, variance, k, k + N_BANDS)
                at += 1


@kernel(inner=True)
def _contrast(flux: Any, variance: Any, a: int, b: int) -> float:
    """Bounded difference of two window fluxes; NaN where one is."""
    error = np.sqrt(max(variance[a] + variance[b], 0.0))
    size = abs(flux[a]) + abs(flux[b]) + error
    return (flux[a] - flux[b]) / size if size > 0.0 else np.nan
