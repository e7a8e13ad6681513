"""ObservationRows of a file to `LightCurves`: judge each row and object, set the bad aside, sort the rest.

What is judged here is whether an observation can be used at all. Whether it is an
outlier is a question for ``firstlight.preprocess``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.bands import BANDS
from firstlight.data.reject import RejectLog
from firstlight.errors import DataError, UnknownBandError
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.rows import OBJECT_COLUMNS, ObservationRows

__all__ = ["Objects", "assemble", "join_rows", "refuse"]

_WHOLE = -1  # the row of something that concerns a whole object
_NO_OBSERVATIONS = "the object has no observations"
_UNKNOWN_BAND = f"the band is none of {', '.join(BANDS)}"


@dataclass(slots=True, eq=False)
class Objects:
    """What a metadata file says of each object: the allow-list, and which were met so far.

    Parameters
    ----------
    names : str array, shape (n,)
        Names, unique, ascending.
    columns : dict of str to float array, shape (n,)
        Columns of `firstlight.lightcurves.convert.OBJECT_COLUMNS`; nothing else (law 2).
    lines : int64 array, shape (n,)
        Line of each in its file.
    file : str
        The file, for messages.
    """

    names: NDArray[np.str_]
    columns: dict[str, NDArray[np.float64]]
    lines: NDArray[np.int64]
    file: str
    met: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        if set(self.columns) - set(OBJECT_COLUMNS):
            raise DataError(f"{self.file}: {sorted(set(self.columns) - set(OBJECT_COLUMNS))} may not be read")
        self.met = np.zeros(len(self.names), dtype=bool)

    def find(self, names: NDArray[np.str_]) -> NDArray[np.int64]:
        """Position of each name; -1 where it is absent."""
        if not len(self.names):
            return np.full(len(names), -1, dtype=np.int64)
        where = np.minimum(np.searchsorted(self.names, names), len(self.names) - 1)
        return np.where(self.names[where] == names, where, -1)

    def report_unmet(self, rejects: RejectLog | None) -> None:
        """Refuse the objects of which no observation was met."""
        unmet = np.flatnonzero(~self.met)
        hint = "give the light-curve file that belongs to this metadata"
        refuse(_NO_OBSERVATIONS, self.names[unmet], self.lines[unmet], self.file, rejects, hint=hint)


def refuse(
    reason: str,
    object_ids: NDArray[np.str_],
    rows: NDArray[np.int64],
    file: str,
    rejects: RejectLog | None,
    *,
    hint: str = "correct the file",
    kind: type[DataError] = DataError,
) -> None:
    """Set bad rows aside, or raise for the first of them where there is no place for rejects.

    Parameters
    ----------
    reason : str
        What is wrong, as a clause.
    object_ids : str array, shape (n,)
        The object of each; nothing happens if there is none.
    rows : int64 array, shape (n,)
        Line or row of each; -1 where the whole object is meant.
    file : str
        Where they come from.
    rejects : RejectLog or None
        Where they go.
    hint : str
        What the user can do about it.
    kind : type
        The error to raise.

    Raises
    ------
    DataError
        Naming file, row and object of the first, if `rejects` is None.
    """
    if not len(object_ids):
        return
    if rejects is not None:
        rejects.add_rows(object_ids, reason, file, rows)
        return
    place = file + (f", row {rows[0]}" if rows[0] != _WHOLE else "")
    place += f", object {str(object_ids[0])!r}" if object_ids[0] else ""
    count = f" ({len(object_ids)} such in all)" if len(object_ids) > 1 else ""
    raise kind(f"{place}: {reason}{count}; {hint}, or set it aside with a RejectLog (rejects=)")


def assemble(
    rows: ObservationRows, objects: Objects | None, *, file: str, rejects: RejectLog | None, dereddened: bool
) -> LightCurves:
    """Light curves of what is usable in `rows`, in the order of their names.

    Parameters
    ----------
    rows : ObservationRows
        Observations in nJy, in any order.
    objects : Objects or None
        Metadata; without it positions and redshifts are NaN. Objects met are marked.
    file : str
        Where the rows come from.
    rejects : RejectLog or None
        Where bad rows and objects go; None raises at the first.
    dereddened : bool
        Whether the fluxes are already corrected for Milky Way dust.

    Returns
    -------
    LightCurves
        Every object has at least one observation.

    Raises
    ------
    UnknownBandError, DataError
        For the first bad row or object, if `rejects` is None.
    """
    position = None if objects is None else objects.find(rows.names)
    present = _owning(rows)
    _refuse_objects(_NO_OBSERVATIONS, rows, ~present, file, rejects)
    keep = _usable(rows, position, file, rejects)
    kept = (rows if keep.all() else rows.select(keep)).ordered()
    kept = _without_repeats(kept, file, rejects)
    left = _owning(kept)
    lost = present & ~left if position is None else present & ~left & (position >= 0)
    _refuse_objects("none of the object's observations can be used", rows, lost, file, rejects)
    values: dict[str, Any] = kept.pruned().columns()
    if objects is not None and position is not None:
        objects.met[position[position >= 0]] = True
        values |= {name: column[position[left]] for name, column in objects.columns.items()}
    return LightCurves(**values, dereddened=dereddened)


def join_rows(parts: Sequence[ObservationRows]) -> ObservationRows:
    """One `ObservationRows` of several; objects of the same name become one, in order of appearance."""
    import pandas as pd

    if len(parts) == 1 and len(np.unique(parts[0].names)) == len(parts[0].names):
        return parts[0]
    code, names = pd.factorize(np.concatenate([part.names for part in parts]))
    shifts = np.cumsum([0, *(len(part.names) for part in parts[:-1])])
    owners = [
        np.where(part.owner >= 0, code[part.owner + shift], -1)
        for part, shift in zip(parts, shifts, strict=True)
    ]
    detected = [part.detected for part in parts]
    return ObservationRows(
        names=np.asarray(names, dtype=np.str_),
        owner=np.concatenate(owners).astype(np.int64),
        mjd=np.concatenate([part.mjd for part in parts]),
        band=np.concatenate([part.band for part in parts]),
        flux=np.concatenate([part.flux for part in parts]),
        flux_err=np.concatenate([part.flux_err for part in parts]),
        detected=np.concatenate([d for d in detected if d is not None]) if detected[0] is not None else None,
        place=np.concatenate([part.place for part in parts]),
    )


def _usable(
    rows: ObservationRows, position: NDArray[np.int64] | None, file: str, rejects: RejectLog | None
) -> NDArray[np.bool_]:
    """Refuse bad rows, each for its first fault; returns which rows are left."""
    with np.errstate(over="ignore"):  # what overflows float32 is as good as infinite
        flux, flux_err = rows.flux.astype(np.float32), rows.flux_err.astype(np.float32)
    nameless = np.append(rows.names == "", True)[rows.owner]
    faults: list[tuple[str, NDArray[np.bool_], type[DataError]]] = [
        ("the row names no object", nameless, DataError),
        ("the time is not a finite number", ~np.isfinite(rows.mjd), DataError),
        (_UNKNOWN_BAND, rows.band < 0, UnknownBandError),
        ("the flux is not a finite number", ~np.isfinite(flux), DataError),
        (
            "the flux error is not a positive finite number",
            ~(np.isfinite(flux_err) & (flux_err > 0)),
            DataError,
        ),
    ]
    good = np.ones(len(rows), dtype=bool)
    for reason, bad, kind in faults:
        now = np.flatnonzero(bad & good)
        refuse(reason, _owners(rows, now), rows.place[now], file, rejects, kind=kind)
        good &= ~bad
    if position is not None:
        _refuse_objects("the object is not in the metadata file", rows, position < 0, file, rejects)
        good &= (np.append(position, -1) >= 0)[rows.owner]
    return good


def _without_repeats(rows: ObservationRows, file: str, rejects: RejectLog | None) -> ObservationRows:
    """Refuse every further observation of an object in the same band at the same time."""
    tied = np.zeros(len(rows), dtype=bool)
    same = (np.diff(rows.owner) == 0) & (np.diff(rows.mjd) == 0)
    tied[1:] |= same
    tied[:-1] |= same
    index = np.flatnonzero(tied)
    if not len(index):
        return rows
    index = index[np.lexsort((rows.place[index], rows.band[index], rows.mjd[index], rows.owner[index]))]
    before, after = index[:-1], index[1:]
    repeat = (rows.owner[before] == rows.owner[after]) & (rows.mjd[before] == rows.mjd[after])
    repeat &= rows.band[before] == rows.band[after]
    equal = (rows.flux[before] == rows.flux[after]) & (rows.flux_err[before] == rows.flux_err[after])
    for reason, chosen in (
        ("the row repeats another one exactly", after[repeat & equal]),
        ("another value of the same object, time and band stands before it", after[repeat & ~equal]),
    ):
        refuse(reason, _owners(rows, chosen), rows.place[chosen], file, rejects)
    keep = np.ones(len(rows), dtype=bool)
    keep[after[repeat]] = False
    return rows.select(keep)


def _owning(rows: ObservationRows) -> NDArray[np.bool_]:
    """Which names own a row."""
    owning = np.zeros(len(rows.names), dtype=bool)
    owning[rows.owner[rows.owner >= 0]] = True
    return owning


def _refuse_objects(
    reason: str, rows: ObservationRows, bad: NDArray[np.bool_], file: str, rejects: RejectLog | None
) -> None:
    names = rows.names[bad & (rows.names != "")]
    refuse(reason, names, np.full(len(names), _WHOLE), file, rejects)


def _owners(rows: ObservationRows, index: NDArray[np.int64]) -> NDArray[np.str_]:
    return np.append(rows.names, "")[rows.owner[index]]
