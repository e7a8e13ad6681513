"""Checks of the columns of `LightCurves`, which hold for every object of that class."""

from typing import TYPE_CHECKING

import numpy as np

from firstlight._types import BoolArray, IntArray
from firstlight.bands import BANDS, N_BANDS
from firstlight.errors import DataError
from firstlight.lightcurves.names import SURVEY
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS

if TYPE_CHECKING:
    from firstlight.lightcurves.curves import LightCurves


def check(curves: "LightCurves") -> None:
    """Raise DataError, naming the object, unless all columns are consistent."""
    offsets, n_total = curves.offsets, len(curves.mjd)
    n_objects = len(curves.object_id)
    if (
        offsets.shape != (n_objects + 1,)
        or offsets[0] != 0
        or offsets[-1] != n_total
        or np.any(offsets[1:] < offsets[:-1])
    ):
        raise DataError(
            f"offsets must rise from 0 to {n_total} with one entry more than the "
            f"{n_objects} objects; got {offsets.shape[0]} entries"
        )
    for names, length in ((OBSERVATION_COLUMNS, n_total), (OBJECT_COLUMNS, n_objects)):
        for name in names:
            if getattr(curves, name).shape != (length,):
                raise DataError(f"column {name!r}: {getattr(curves, name).shape}, expected ({length},)")
    if curves.survey.shape != (n_objects,):
        raise DataError(f"column {SURVEY!r}: {curves.survey.shape}, expected ({n_objects},)")
    if len(set(curves.object_id.tolist())) != n_objects:
        unique, counts = np.unique(curves.object_id, return_counts=True)
        name, times = str(unique[counts > 1][0]), int(counts[counts > 1][0])
        raise DataError(f"object {name!r} occurs {times} times; names are unique")
    _check_redshifts(curves)
    problems = (
        ("time is not finite", ~np.isfinite(curves.mjd)),
        ("flux is not finite", ~np.isfinite(curves.flux)),
        ("flux error is not positive and finite", ~(np.isfinite(curves.flux_err) & (curves.flux_err > 0))),
        ("band index is not 0 to 5", (curves.band < 0) | (curves.band >= N_BANDS)),
        ("time goes backwards; sort each object by mjd", _goes_back(curves)),
    )
    for text, bad in problems:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            owner = int(np.searchsorted(offsets, row, side="right")) - 1
            raise DataError(
                f"object {str(curves.object_id[owner])!r}, observation {row - offsets[owner]}: {text} "
                f"({int(bad.sum())} such observation(s) in all)"
            )


def order_of_ties(curves: "LightCurves") -> IntArray | None:
    """Order of the observations in which those at one time are in order of band; None if they are already.

    Raises DataError if a band is there twice.
    """
    tied = curves.mjd[1:] == curves.mjd[:-1]
    starts = curves.offsets[1:-1]
    tied[starts[(starts > 0) & (starts < len(curves.mjd))] - 1] = False
    if not np.any(tied & (curves.band[1:] <= curves.band[:-1])):
        return None
    order = np.lexsort((curves.band, curves.mjd, curves.object_index))
    band, mjd, owner = curves.band[order], curves.mjd[order], curves.object_index[order]
    twice = np.flatnonzero((np.diff(owner) == 0) & (np.diff(mjd) == 0) & (np.diff(band) == 0))
    if len(twice):
        first = twice[0]
        name = str(curves.object_id[owner[first]])
        raise DataError(
            f"object {name!r}: two observations in band {BANDS[band[first]]} at MJD {mjd[first]}; keep one "
            f"({len(twice)} repetition(s) in total), or let from_pandas keep the best of each (rejects=)"
        )
    return order


def _check_redshifts(curves: "LightCurves") -> None:
    """Raise DataError for a redshift such as -9 that stands for unknown elsewhere."""
    for name in ("redshift", "redshift_spec"):
        value = getattr(curves, name)
        wrong = np.flatnonzero((value < 0) | np.isinf(value))
        if len(wrong):
            first = wrong[0]
            raise DataError(
                f"object {str(curves.object_id[first])!r}: {name} {value[first]:g} is negative or infinite "
                f"({len(wrong)} such object(s) in all); NaN means unknown, 0 a Milky Way object"
            )


def _goes_back(curves: "LightCurves") -> BoolArray:
    back = np.zeros(len(curves.mjd), dtype=bool)
    back[1:] = curves.mjd[1:] < curves.mjd[:-1]
    starts = curves.offsets[1:-1]
    back[starts[starts < len(back)]] = False
    return back
