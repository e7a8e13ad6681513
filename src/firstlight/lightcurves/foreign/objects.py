"""Values stated per object (position, dust, redshift), and objects whose values disagree."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.lightcurves.foreign.angles import degrees
from firstlight.lightcurves.foreign.values import NO_VALUE, as_arrow, decoded, is_text, numbers_of
from firstlight.lightcurves.rows import LARGEST_EBV, OBJECT_COLUMNS

_SENTINELS = (-9.0, -99.0, -999.0, -9999.0)  # values that surveys write for "unknown"
_UNKNOWN = ("na", "-", "--", "unknown", "inf", "-inf")  # as texts
_LIMITS = {"ra": (-180.0, 360.0), "dec": (-90.0, 90.0), "ebv": (0.0, LARGEST_EBV)}  # degree, mag


def known_values(columns: Mapping[str, Any]) -> dict[str, FloatArray]:
    """Numbers of object columns, with NaN for every spelling of unknown; positions may be sexagesimal.

    Unknown are missing values, infinities, and negative numbers of all but positions, such as -9 and -99;
    a position outside of the sphere, or -9 in both coordinates; E(B-V) above `LARGEST_EBV`; an error without
    its redshift.
    """
    values = {
        name: degrees(columns[name], hours=name == "ra")
        if name in ("ra", "dec")
        else numbers_of(columns[name])
        for name in OBJECT_COLUMNS
        if name in columns
    }
    for name, value in values.items():
        low, high = _LIMITS.get(name, (0.0, np.inf))
        value = value.astype(OBJECT_COLUMNS[name]).astype(np.float64)  # as they are stored, to be compared
        values[name] = np.where(np.isfinite(value) & (value >= low) & (value <= high), value, np.nan)
    if "ra" in values and "dec" in values:
        nowhere = np.isin(values["ra"], _SENTINELS) & (values["ra"] == values["dec"])
        for name in ("ra", "dec"):
            values[name] = np.where(nowhere, np.nan, values[name])
    if "redshift_err" in values:
        known = ~np.isnan(values["redshift"]) if "redshift" in values else False
        values["redshift_err"] = np.where(known, values["redshift_err"], np.nan)
    return values


def one_value_each(
    n_objects: int, owner: IntArray, values: Mapping[str, FloatArray]
) -> tuple[dict[str, FloatArray], dict[str, BoolArray]]:
    """The known value of each object, and per column the objects with several that differ.

    Parameters
    ----------
    n_objects : int
        Number of objects.
    owner : int64 array, shape (n_rows,)
        Position of each row's object; -1 where it has none.
    values : mapping of str to float64 array, shape (n_rows,)
        As `known_values` gives them.

    Returns
    -------
    dict of str to float64 array, shape (n_objects,)
        NaN where no row knows the value.
    dict of str to bool array, shape (n_objects,)
        Where values differ.
    """
    owned = owner >= 0
    found: dict[str, FloatArray] = {}
    differ: dict[str, BoolArray] = {}
    for name, value in values.items():
        index = np.flatnonzero(owned & ~np.isnan(value))
        one = np.full(n_objects, np.nan)
        one[owner[index[::-1]]] = value[index[::-1]]  # of equal indices the last assignment stays
        other = owner[index[value[index] != one[owner[index]]]]
        several = np.zeros(n_objects, dtype=bool)
        several[other] = True
        found[name], differ[name] = one, several
    return found, differ


def unusual(columns: Mapping[str, Any], names: Mapping[str, FloatArray]) -> list[str]:
    """Sentences about values that were taken for unknown though no survey's word for it."""
    notes = []
    for name, value in names.items():
        stated = numbers_of(columns[name])
        odd = np.isfinite(stated) & np.isnan(value) & ~np.isin(stated, _SENTINELS)
        if name in ("redshift", "redshift_spec", *_LIMITS) and odd.any():
            example = stated[np.flatnonzero(odd)[0]]
            notes.append(f"{name} {example:g} is taken for unknown ({int(odd.sum())} such value(s))")
        for text, number in _texts_without_number(columns[name], np.isnan(stated) & np.isnan(value)):
            notes.append(f"{name} {text!r} is no number and taken for unknown ({number} such text(s))")
    return notes


def _texts_without_number(column: Any, unknown: BoolArray) -> list[tuple[str, int]]:
    """The first text of a column that is neither a number nor a word for unknown, and how many there are."""
    array = decoded(as_arrow(column))
    if not is_text(array.type):
        return []
    texts = array.filter(pa.array(unknown)).drop_null().to_pylist()
    odd = [text for text in texts if text.strip().lower() not in (*NO_VALUE, *_UNKNOWN)]
    return [(odd[0][:40], len(odd))] if odd else []


def sorted_by_name(
    names: StrArray, values: Mapping[str, FloatArray]
) -> tuple[StrArray, dict[str, FloatArray]]:
    """Names in ascending order, and their values."""
    order = np.argsort(names, kind="stable")
    return names[order], {name: value[order] for name, value in values.items()}
