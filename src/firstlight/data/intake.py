"""Rows of a file to `LightCurves`: refuse what cannot be used, and sort the rest.

Only unusable rows are refused here. Outliers are the business of ``firstlight.preprocess``.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.bands import BANDS, OUTSIDE
from firstlight.data.reject import NO_ROW, RejectLog
from firstlight.errors import DataError, UnknownBandError
from firstlight.lightcurves import OBJECT_COLUMNS, LightCurves
from firstlight.lightcurves.rows import ObservationRows

_log = logging.getLogger(__name__)
_NO_OBSERVATIONS = "the object has no observations"
_UNKNOWN_BAND = f"the band is none of {', '.join(BANDS)}"
_OUTSIDE = f"the filter is outside the wavelengths of {''.join(BANDS)}"


@dataclass(frozen=True, slots=True)
class Intake:
    """One foreign file and the log for its bad rows; without a log, the first bad row raises."""

    file: str
    rejects: RejectLog | None = None

    def refuse(
        self,
        reason: str,
        object_ids: StrArray,
        rows: IntArray,
        *,
        hint: str = "correct the file",
        kind: type[DataError] = DataError,
    ) -> None:
        """Log bad rows, or raise `kind` for the first of them if there is no log.

        `reason` is a clause, `rows` the line of each (-1 for a whole object), `hint` what the
        user can do about it.
        """
        if not len(object_ids):
            return
        if self.rejects is not None:
            self.rejects.add_rows(object_ids, reason, self.file, rows)
            return
        place = self.file + (f", row {rows[0]}" if rows[0] != NO_ROW else "")
        place += f", object {str(object_ids[0])!r}" if object_ids[0] else ""
        count = f" ({len(object_ids)} such in all)" if len(object_ids) > 1 else ""
        raise kind(f"{place}: {reason}{count}; {hint}, or set it aside with a RejectLog (rejects=)")

    def refuse_objects(self, reason: str, names: StrArray, *, hint: str = "correct the file") -> None:
        """Refuse whole objects; nameless ones are refused row by row instead."""
        names = names[names != ""]
        self.refuse(reason, names, np.full(len(names), NO_ROW), hint=hint)

    def leave_out(self, reason: str, object_ids: StrArray, rows: IntArray) -> None:
        """Log rows that are right, but of no use here; without a log, only their number is logged."""
        if self.rejects is not None:
            self.rejects.add_rows(object_ids, reason, self.file, rows)
        elif len(rows):
            _log.warning("%s: %d row(s) left out: %s", self.file, len(rows), reason)

    def light_curves(
        self, rows: ObservationRows, metadata: "MetadataTable | None", *, dereddened: bool
    ) -> LightCurves:
        """Light curves of the usable rows, in the order of their names.

        `rows` are in nJy and in any order. Without `metadata`, positions and redshifts are NaN;
        with it, objects that it lacks are refused, and those found are marked as met.
        """
        position = None if metadata is None else metadata.find(rows.names)
        present = rows.has_rows()
        self.refuse_objects(_NO_OBSERVATIONS, rows.names[~present])
        keep = self._usable(rows, position)
        kept = self._without_repeats((rows if keep.all() else rows.select(keep)).ordered())
        left = kept.has_rows()
        lost = present & ~left if position is None else present & ~left & (position >= 0)
        self.refuse_objects("none of the object's observations can be used", rows.names[lost])
        values: dict[str, Any] = kept.pruned().columns()
        if metadata is not None and position is not None:
            metadata.met[position[position >= 0]] = True
            values |= {name: column[position[left]] for name, column in metadata.columns.items()}
        return LightCurves(**values, dereddened=dereddened)

    def _usable(self, rows: ObservationRows, position: IntArray | None) -> BoolArray:
        """Refuse bad rows, each for its first fault; returns which rows are left."""
        with np.errstate(over="ignore"):  # what overflows float32 is as good as infinite
            flux, flux_err = rows.flux.astype(np.float32), rows.flux_err.astype(np.float32)
        nameless = np.append(rows.names == "", True)[rows.owner]
        bad_error = ~(np.isfinite(flux_err) & (flux_err > 0))
        faults: list[tuple[str, BoolArray, type[DataError]]] = [
            ("the row names no object", nameless, DataError),
            ("the time is not a finite number", ~np.isfinite(rows.mjd), DataError),
            (_UNKNOWN_BAND, rows.band < 0, UnknownBandError),
            ("the flux is not a finite number", ~np.isfinite(flux), DataError),
            ("the flux error is not a positive finite number", bad_error, DataError),
        ]
        outside = np.flatnonzero(rows.band == OUTSIDE)
        self.leave_out(_OUTSIDE, _owners(rows, outside), rows.place[outside])
        good = rows.band != OUTSIDE
        for reason, bad, kind in faults:
            now = np.flatnonzero(bad & good)
            self.refuse(reason, _owners(rows, now), rows.place[now], kind=kind)
            good &= ~bad
        if position is not None:
            self.refuse_objects("the object is not in the metadata file", rows.names[position < 0])
            good &= (np.append(position, -1) >= 0)[rows.owner]
        return good

    def _without_repeats(self, rows: ObservationRows) -> ObservationRows:
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
            self.refuse(reason, _owners(rows, chosen), rows.place[chosen])
        keep = np.ones(len(rows), dtype=bool)
        keep[after[repeat]] = False
        return rows.select(keep)


@dataclass(slots=True, eq=False)
class MetadataTable:
    """A survey's metadata by object: the allowed columns, and which objects were met so far."""

    names: StrArray  # (n,); names, unique, ascending
    # (n,); columns of `firstlight.lightcurves.OBJECT_COLUMNS`; nothing else (law 2)
    columns: dict[str, FloatArray]
    lines: IntArray  # (n,); line of each in its file
    intake: Intake  # the file, and where bad objects go
    met: BoolArray = field(init=False)

    def __post_init__(self) -> None:
        forbidden = sorted(set(self.columns) - set(OBJECT_COLUMNS))
        if forbidden:
            raise DataError(f"{self.intake.file}: {forbidden} may not be read")
        self.met = np.zeros(len(self.names), dtype=bool)

    def find(self, names: StrArray) -> IntArray:
        """Position of each name; -1 where it is absent."""
        if not len(self.names):
            return np.full(len(names), -1, dtype=np.int64)
        where = np.minimum(np.searchsorted(self.names, names), len(self.names) - 1)
        return np.where(self.names[where] == names, where, -1)

    def refuse_unmet(self) -> None:
        """Refuse the objects without an observation."""
        unmet = np.flatnonzero(~self.met)
        hint = "give the light-curve file that belongs to this metadata"
        self.intake.refuse(_NO_OBSERVATIONS, self.names[unmet], self.lines[unmet], hint=hint)


def join_rows(parts: Sequence[ObservationRows]) -> ObservationRows:
    """Join parts; objects of the same name become one, in order of appearance."""
    import pandas as pd

    if len(parts) == 1 and len(np.unique(parts[0].names)) == len(parts[0].names):
        return parts[0]
    code, names = pd.factorize(np.concatenate([part.names for part in parts]))
    shifts = np.cumsum([0, *(len(part.names) for part in parts[:-1])])
    owners = [
        np.where(part.owner >= 0, code[part.owner + shift], -1)
        for part, shift in zip(parts, shifts, strict=True)
    ]
    flags = [part.detected for part in parts if part.detected is not None]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("mjd", "band", "flux", "flux_err", "place")
    }
    return ObservationRows(
        names=np.asarray(names, dtype=np.str_),
        owner=np.concatenate(owners).astype(np.int64),
        detected=np.concatenate(flags) if flags else None,
        **columns,
    )


def _owners(rows: ObservationRows, index: IntArray) -> StrArray:
    return np.append(rows.names, "")[rows.owner[index]]
