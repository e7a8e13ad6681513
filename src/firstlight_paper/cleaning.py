"""Losses of clean light curves by a cleaning: observations, signal, peaks, triggers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.lightcurves import LightCurves

#: A peak worth keeping has at least this signal to noise; see `peak_kept`.
BRIGHT_SNR = 10.0

#: Observations above this signal to noise carry the positive signal.
SIGNAL_SNR = 5.0

#: Name of the row over all objects in the table of `removed`.
EVERY_CLASS = "all"

Mask = NDArray[np.bool_]


def removed(
    curves: LightCurves, labels: NDArray[np.str_], keep: NDArray[np.bool_]
) -> dict[str, dict[str, Any]]:
    """Losses by class if only the observations of a mask stay."""
    snr = curves.flux.astype(np.float64) / curves.flux_err
    before, after = curves.trigger_mjd, curves.keep(keep).trigger_mjd
    per_object = {"peak_lost": ~peak_kept(curves, keep), "trigger_moved": ~(before == after)}
    bright = np.bincount(curves.object_index[snr > BRIGHT_SNR], minlength=len(curves)) > 0
    has = {"peak_lost": bright, "trigger_moved": np.isfinite(before)}
    signal = snr * (snr > SIGNAL_SNR)
    groups: dict[str, Mask] = {EVERY_CLASS: np.ones(len(curves), dtype=bool)}
    groups |= {str(name): labels == name for name in np.unique(labels)}
    table: dict[str, dict[str, Any]] = {}
    for name, members in groups.items():
        rows = np.repeat(members, curves.n_obs)
        whole = float(signal[rows].sum())
        table[name] = {
            "n_objects": int(members.sum()),
            "observations": share(~keep, rows),
            "positive_signal": float(signal[rows & ~keep].sum()) / whole if whole else float("nan"),
        }
        for what, flag in per_object.items():
            table[name][what] = share(flag, members & has[what])
    return table


def peak_kept(curves: LightCurves, keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each object's brightest point above `BRIGHT_SNR` is kept, (n_objects,); true without one."""
    snr = curves.flux.astype(np.float64) / curves.flux_err
    bright = np.flatnonzero(snr > BRIGHT_SNR)
    owner = curves.object_index[bright]
    order = np.lexsort((curves.flux[bright], owner))
    last = np.append(np.diff(owner[order]) > 0, True)[: len(order)]
    kept = np.ones(len(curves), dtype=bool)
    kept[owner[order][last]] = keep[bright[order][last]]
    return kept


def share(flag: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    """How often a flag is set among some; NaN among none."""
    return float(flag[among].mean()) if among.any() else float("nan")
