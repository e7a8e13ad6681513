"""Foreign tables to `LightCurves`: one rule for ids, units, flags, times, order and missing values.

Every reader and every ``from_*`` ends here. Rows that cannot be read right are refused: with a `RejectLog`
the row or object is set aside with its reason and value and the rest goes on; without one the first
raises. Outliers are the business of ``firstlight.preprocess``.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from firstlight._types import AnyArray, BoolArray, FloatArray, IntArray, StrArray
from firstlight.bands import BANDS, OUTSIDE, UNKNOWN, case_note
from firstlight.errors import DataError, UnknownBandError
from firstlight.lightcurves.curves import DETECTION_SNR, LightCurves
from firstlight.lightcurves.foreign.objects import known_values, one_value_each, unusual
from firstlight.lightcurves.foreign.raw import RawTable
from firstlight.lightcurves.foreign.surveys import with_surveys
from firstlight.lightcurves.foreign.units import (
    ANY_DEPTH,
    PLASTICC_DEPTH,
    check_depth,
    flux_scale,
    unit_doubt,
    unit_scale,
)
from firstlight.lightcurves.foreign.values import (
    as_arrow,
    as_column,
    bands_count_from_one,
    bands_of,
    distinct_names,
    filter_names,
    flags_of,
    numbers_of,
    shown,
    times_of,
)
from firstlight.lightcurves.names import DEREDDENED
from firstlight.lightcurves.reject import NO_ROW, RejectLog
from firstlight.lightcurves.rows import OBJECT_COLUMNS, ObservationRows

NO_OBSERVATIONS = "the object has no observations"
_UNKNOWN_BAND = f"the band is none of {', '.join(BANDS)}"
_OUTSIDE = f"the filter is outside the wavelengths of {''.join(BANDS)}"
_log = logging.getLogger(__name__)

_Fault = tuple[str, str, BoolArray, type[DataError]]  # reason, our column, bad rows, error


@dataclass(frozen=True, slots=True)
class Intake:
    """One foreign source and the log for its bad rows; without a log, the first bad row raises."""

    file: str
    rejects: RejectLog | None = None

    def note(self, text: str) -> None:
        """Report a choice or conversion: to the log of rejects, or else to Python's."""
        if not text:
            return
        if self.rejects is not None:
            self.rejects.note(text)
        else:
            _log.warning("%s: %s", self.file, text)

    def refuse(
        self,
        reason: str,
        object_ids: StrArray,
        rows: IntArray,
        *,
        values: StrArray | None = None,
        column: str = "",
        hint: str = "correct the file",
        kind: type[DataError] = DataError,
    ) -> None:
        """Log bad rows, or raise `kind` for the first of them if there is no log.

        `reason` is a clause, `rows` the line of each (-1 for a whole object), `values` the bad values
        in `column`, and `hint` the way to mend them.
        """
        if not len(object_ids):
            return
        if self.rejects is not None:
            self.rejects.add_rows(object_ids, reason, self.file, rows, values)
            return
        place = self.file + (f", row {rows[0]}" if rows[0] != NO_ROW else "")
        place += f", object {str(object_ids[0])!r}" if object_ids[0] else ""
        where = f" in column {column!r}" if column else ""
        value = f" ({str(values[0])!r}{where})" if values is not None and values[0] else ""
        count = f" ({len(object_ids):,} in total)" if len(object_ids) > 1 else ""
        raise kind(f"{place}: {reason}{value}{count}; {hint}, or set it aside with a RejectLog (rejects=)")

    def refuse_nothing(self, n_rows: int) -> None:
        """Refuse a file without any row."""
        if not n_rows:
            hint = "check that it was written whole"
            self.refuse("the file has no observations", np.array([""]), np.array([NO_ROW]), hint=hint)

    def refuse_objects(self, reason: str, names: StrArray, *, hint: str = "correct the file") -> None:
        """Refuse whole objects; nameless ones are refused row by row instead."""
        names = names[names != ""]
        self.refuse(reason, names, np.full(len(names), NO_ROW), hint=hint)

    def leave_out(self, reason: str, object_ids: StrArray, rows: IntArray, values: StrArray) -> None:
        """Log rows that are right, but of no use here; without a log, only their number is logged."""
        if self.rejects is not None:
            self.rejects.add_rows(object_ids, reason, self.file, rows, values)
        elif len(rows):
            _log.warning("%s: %d row(s) left out: %s", self.file, len(rows), reason)

    # --- from a table to light curves ---------------------------------------------

    def read(
        self, raw: RawTable, metadata: "MetadataTable | None" = None, *, keep_empty: bool = False
    ) -> LightCurves:
        """Light curves of a foreign table, in the order of its objects.

        Parameters
        ----------
        raw : RawTable
            The table. Its `objects`, where given, set the order of the objects and must name all of them.
        metadata : MetadataTable, optional
            A survey's metadata, which go before values of the table. Objects that it lacks are
            refused, and those found are marked as met.
        keep_empty : bool
            Whether objects without an observation are kept instead of refused.

        Returns
        -------
        LightCurves
            Of the usable rows.

        Raises
        ------
        MissingColumnError, UnknownBandError, DataError
            If the table as a whole cannot be read right; without a log, for the first bad row or object.
        """
        raw = replace(
            raw,
            columns=self._columns(raw.columns, ""),
            objects=None if raw.objects is None else self._columns(raw.objects, ", table of objects"),
        )
        if raw.depth == PLASTICC_DEPTH and self.rejects is not None:
            self.note(
                "columns have PLAsTiCC's names: zero point 27.5 by default, corrected for Milky Way dust"
            )
        rows = self.rows(raw)
        own = self.own_values(raw, rows.names)
        order = None if raw.objects is None else own.listed
        curves = self.light_curves(
            rows, metadata, own, dereddened=self.dereddened(raw), order=order, keep_empty=keep_empty
        )
        return with_surveys(curves, raw)

    def _columns(self, columns: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The columns as Arrow arrays of the same length; an error names the file and the column."""
        made = {}
        for name, column in columns.items():
            try:
                made[name] = as_column(column)
            except DataError as error:
                raise DataError(f"{self.file}{where}, column {name!r}: {error}") from error
        lengths = {name: len(column) for name, column in made.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{self.file}{where}: the columns differ in length ({lengths})")
        return made

    def rows(self, raw: RawTable) -> ObservationRows:
        """The usable observations of a table in nJy and MJD (TAI), with all names that own one in it.

        Refuses bad rows, each for its first fault.
        """
        names, owner = self._within("object_id", distinct_names, raw)
        times = self._within("mjd", lambda values: times_of(values, raw.time_scale), raw)
        try:
            scale = flux_scale(raw.columns, raw.zero_point, implied=raw.implied)
        except DataError as error:
            raise type(error)(f"{self.file}: {error}") from error
        flux = self._within("flux", numbers_of, raw) * scale.factor
        flux_err = self._within("flux_err", numbers_of, raw) * scale.factor
        if not scale.stated or raw.depth != ANY_DEPTH:
            check_depth(flux_err, len(names), self.file, raw.depth, raw.zero_point)
        if not (scale.stated or raw.implied):
            self._check_unit(raw, flux)
        band = self._within("band", bands_of, raw)
        if raw.depth == ANY_DEPTH and bands_count_from_one(raw.columns["band"]):
            raise UnknownBandError(
                f"{self.file}, column 'band': numbers from 1 to 6; firstlight and PLAsTiCC count from 0 (u) "
                "to 5 (y): write names"
            )
        detected, unflagged = self._flags(raw)
        for note in (times.note, scale.note, case_note(filter_names(raw.columns["band"])[0])):
            self.note(note)
        with np.errstate(over="ignore"):  # beyond the range of float32 is as good as infinite
            small, small_err = flux.astype(np.float32), flux_err.astype(np.float32)
        faults: list[_Fault] = [
            ("the row names no object", "object_id", owner < 0, DataError),
            ("the time is in another unit than most of the table's", "mjd", times.foreign, DataError),
            ("the time is none of MJD, JD and Unix time", "mjd", times.impossible, DataError),
            ("the time is not a finite number", "mjd", np.isnan(times.mjd), DataError),
            (_UNKNOWN_BAND, "band", band == UNKNOWN, UnknownBandError),
            *((reason, column, bad, DataError) for reason, (column, bad) in scale.unknown.items()),
            ("the flux is not a finite number", "flux", ~np.isfinite(small), DataError),
            (
                "the flux error is not a positive finite number",
                "flux_err",
                ~(np.isfinite(small_err) & (small_err > 0)),
                DataError,
            ),
            ("the detection flag is neither true nor false", "detected", unflagged, DataError),
        ]
        good = self._refuse_faults(faults, names, owner, band, raw)
        rows = ObservationRows(names, owner, times.mjd, band, flux, flux_err, detected, raw.places)
        return rows if good.all() else rows.select(good)

    def _check_unit(self, raw: RawTable, flux: FloatArray) -> None:
        """Raise DataError if magnitudes beside the fluxes, or a row of units, give another unit than nJy."""
        if "mag" in raw.columns and (doubt := unit_doubt(flux, self._within("mag", numbers_of, raw))):
            raise DataError(f"{self.file}: {doubt}")
        if not len(flux) or not np.isnan(flux[0]):
            return
        text = str(shown(raw.columns["flux"], np.zeros(1, np.int64), raw.words.get("flux"))[0])
        if "jy" in text.lower() and unit_scale(text.strip("[]() ")) != 1.0:
            raise DataError(
                f"{self.file}: its first row states the unit {text!r} of the fluxes; remove the row and "
                "state their zero point (--zero-point: 23.9 for microjansky, 16.4 for mJy, 8.9 for Jy)"
            )

    def _within(self, column: str, rule: Any, raw: RawTable) -> Any:
        """Apply a rule to a column; its error gets the file and the column."""
        try:
            return rule(raw.columns[column])
        except DataError as error:
            raise type(error)(f"{self.file}, column {column!r}: {error}") from error

    def _flags(self, raw: RawTable) -> tuple[BoolArray | None, BoolArray]:
        """Detection flags, and where there is none; a column without any value counts as absent."""
        none = np.zeros(len(raw), dtype=bool)
        column = as_arrow(raw.columns["detected"]) if "detected" in raw.columns else None
        if column is None or (len(column) and column.null_count == len(column)):
            self.note(f"no detection flags: a detection is |flux| > {DETECTION_SNR:g} flux_err")
            return None, none
        return flags_of(column)

    def _refuse_faults(
        self, faults: Sequence[_Fault], names: StrArray, owner: IntArray, band: AnyArray, raw: RawTable
    ) -> BoolArray:
        """Refuse bad rows, each for its first fault; returns which rows are left."""
        outside = np.flatnonzero(band == OUTSIDE)
        if len(outside):
            values = shown(raw.columns["band"], outside)
            self.leave_out(_OUTSIDE, np.append(names, "")[owner[outside]], raw.places[outside], values)
        good = band != OUTSIDE
        for reason, column, bad, kind in faults:
            now = np.flatnonzero(bad & good)
            if len(now):
                values = shown(raw.columns[column], now, raw.words.get(column))
                owners = np.append(names, "")[owner[now]]
                self.refuse(reason, owners, raw.places[now], values=values, column=column, kind=kind)
                good[now] = False
        return good

    def dereddened(self, raw: RawTable) -> bool:
        """Whether a table's fluxes are corrected for dust: as given, else as all of its columns state."""
        stated: set[bool] = set()
        for columns in (raw.columns, raw.objects or {}):
            if DEREDDENED in columns:
                flags, unknown = flags_of(columns[DEREDDENED])
                stated |= set(flags[~unknown].tolist())
        if len(stated) > 1:
            raise DataError(f"{self.file}: column {DEREDDENED!r} differs between objects; read them apart")
        if raw.dereddened is not None and stated and stated != {raw.dereddened}:
            raise DataError(
                f"{self.file}: it states {DEREDDENED} = {stated.pop()}, but {raw.dereddened} was given; "
                "leave it out"
            )
        return bool(raw.dereddened) if raw.dereddened is not None else stated == {True}

    def own_values(self, raw: RawTable, names: StrArray) -> "MetadataTable":
        """Values that a table states per object; objects whose values disagree are refused.

        `names` are those of the rows, in order of appearance.
        """
        parts: list[tuple[IntArray, dict[str, FloatArray]]] = []
        listed = names
        if raw.objects is not None:
            try:
                listed, owner = distinct_names(raw.objects["object_id"])
            except DataError as error:
                raise type(error)(f"{self.file}, table of objects, column 'object_id': {error}") from error
            if nameless := int((owner < 0).sum()):
                self.note(f"{nameless:,} row(s) of the table of objects have no name: they are left out")
            parts.append((owner, self._known(raw.objects)))
        if any(name in raw.columns for name in OBJECT_COLUMNS):
            _, owner = distinct_names(raw.columns["object_id"])
            if raw.objects is not None:
                place = _positions(listed, names)
                owner = np.append(place, -1)[owner]
            parts.append((owner, self._known(raw.columns)))
        return object_table(listed, parts, self, raw.object_place)

    def _known(self, columns: Any) -> dict[str, FloatArray]:
        values = known_values(columns)
        for note in unusual(columns, values):
            self.note(note)
        return values

    def light_curves(
        self,
        rows: ObservationRows,
        metadata: "MetadataTable | None" = None,
        own: "MetadataTable | None" = None,
        *,
        dereddened: bool,
        order: StrArray | None = None,
        keep_empty: bool = False,
    ) -> LightCurves:
        """Light curves of checked rows; arguments as for `read`, `own` being the table's own values."""
        names = rows.names if order is None else order
        place = _positions(names, rows.names)
        self.refuse_objects("the object is not in the table of objects", rows.names[place < 0])
        stated = np.zeros(len(names), dtype=bool)  # whether the source has rows of it
        stated[place[place >= 0]] = True
        keep = np.ones(len(names), dtype=bool)
        values: dict[str, FloatArray] = {}
        if own is not None:
            keep &= ~np.isin(names, own.refused)
            where = own.find(names)
            values = {name: np.append(column, np.nan)[where] for name, column in own.columns.items()}
        if metadata is not None:
            where = metadata.find(names)
            refused = np.isin(names, metadata.refused)
            self.refuse_objects(
                "the object is not in the metadata file", names[(where < 0) & ~refused & keep]
            )
            keep &= where >= 0
            metadata.met[where[where >= 0]] = True
            for name, column in metadata.columns.items():
                value = np.append(column, np.nan)[where]
                values[name] = np.where(np.isnan(value), values.get(name, np.nan), value)
        owner = place[rows.owner]
        rows = ObservationRows(
            names, owner, rows.mjd, rows.band, rows.flux, rows.flux_err, rows.detected, rows.place
        )
        rows = self._one_per_visit(rows.select((owner >= 0) & np.append(keep, False)[owner]).ordered())
        filled = rows.has_rows()
        self.refuse_objects("none of the object's observations can be used", names[stated & keep & ~filled])
        if not keep_empty:
            self.refuse_objects(NO_OBSERVATIONS, names[~stated & keep])
        kept = filled | (keep & ~stated & keep_empty)
        index = np.cumsum(kept) - 1
        rows = ObservationRows(
            names[kept], index[rows.owner], rows.mjd, rows.band, rows.flux, rows.flux_err,
            rows.detected, rows.place,
        )  # fmt: skip
        columns = rows.columns() | {name: value[kept] for name, value in values.items()}
        return LightCurves(**columns, dereddened=dereddened)

    def _one_per_visit(self, rows: ObservationRows) -> ObservationRows:
        """Refuse all but the best row of an object, band and visit, by the rule of the stream."""
        from firstlight.lightcurves.visits import SAME_VISIT_DAYS, merge

        close = (np.diff(rows.owner) == 0) & (np.diff(rows.mjd) <= SAME_VISIT_DAYS)
        if not close.any():
            return rows
        run = np.concatenate([[0], np.cumsum(~close)])  # number of each row's group of close rows
        code = run * len(BANDS) + rows.band
        _, index, counts = np.unique(code, return_inverse=True, return_counts=True)
        runs = np.unique(run[counts[index] > 1])
        if not len(runs):
            return rows
        starts, stops = np.searchsorted(run, runs), np.searchsorted(run, runs, side="right")
        detected = rows.detected
        if detected is None:
            detected = np.abs(rows.flux) > DETECTION_SNR * rows.flux_err
        lost: list[IntArray] = []
        same: list[BoolArray] = []
        for start, stop in zip(starts, stops, strict=True):
            part = np.arange(start, stop)
            # an order that does not depend on that of the source
            part = part[np.lexsort((rows.flux_err[part], -rows.flux[part], rows.band[part], rows.mjd[part]))]
            kept = merge(
                rows.mjd[part], rows.band[part].astype(np.int64), rows.flux[part], rows.flux_err[part],
                detected[part], np.arange(len(part)), np.zeros(len(part)),
            )[5]  # fmt: skip
            gone = np.setdiff1d(np.arange(len(part)), kept)
            lost.append(part[gone])
            same.append(np.array([_repeats(rows, part[k], part[kept]) for k in gone], dtype=bool))
        gone, equal = np.concatenate(lost), np.concatenate(same)
        for reason, chosen in (
            ("the row repeats another one exactly", gone[equal]),
            ("another row of the same object, time and band measures it better", gone[~equal]),
        ):
            chosen = np.sort(chosen)
            values = np.array([f"{value:g}" for value in rows.flux[chosen]], dtype=np.str_)
            self.refuse(reason, rows.names[rows.owner[chosen]], rows.place[chosen], values=values)
        left = np.ones(len(rows), dtype=bool)
        left[gone] = False
        return rows.select(left)


@dataclass(slots=True, eq=False)
class MetadataTable:
    """A survey's metadata by object: the allowed columns, and which objects were met so far."""

    names: StrArray  # (n,); names, unique, ascending
    # (n,); columns of `firstlight.lightcurves.OBJECT_COLUMNS`; nothing else (no leak)
    columns: dict[str, FloatArray]
    lines: IntArray  # (n,); line of each in its file
    intake: Intake  # the file, and where bad objects go
    refused: StrArray = field(default_factory=lambda: np.empty(0, "U1"))  # names whose values disagree
    listed: StrArray = field(default_factory=lambda: np.empty(0, "U1"))  # all names in the source's order
    met: BoolArray = field(init=False)

    def __post_init__(self) -> None:
        forbidden = sorted(set(self.columns) - set(OBJECT_COLUMNS))
        if forbidden:
            raise DataError(f"{self.intake.file}: {forbidden} may not be read")
        self.met = np.zeros(len(self.names), dtype=bool)

    def find(self, names: StrArray) -> IntArray:
        """Position of each name; -1 where it is absent."""
        return _positions(self.names, names, ascending=True)

    def refuse_unmet(self) -> None:
        """Refuse the objects without an observation."""
        unmet = np.flatnonzero(~self.met)
        hint = "give the light-curve file that belongs to this metadata"
        self.intake.refuse(NO_OBSERVATIONS, self.names[unmet], self.lines[unmet], hint=hint)


def object_table(
    names: StrArray,
    parts: Sequence[tuple[IntArray, dict[str, FloatArray]]],
    intake: Intake,
    lines: IntArray | None = None,
) -> MetadataTable:
    """One row per object of values stated several times; objects whose values disagree are refused.

    Parameters
    ----------
    names : str array, shape (n_objects,)
        Distinct names.
    parts : sequence of (owner, values)
        Sources of values: the position in `names` of each row's object (-1 where it has none), and columns
        of `OBJECT_COLUMNS` as `firstlight.lightcurves.foreign.objects.known_values` gives them.
    intake : Intake
        The source, and where objects go whose values disagree.
    lines : int64 array, optional
        Line of each row of the first part in its source.
    """
    found: dict[str, FloatArray] = {}
    several: dict[str, BoolArray] = {}
    for owner, values in parts:
        one, differ = one_value_each(len(names), owner, values)
        for name, value in one.items():
            older = found.get(name, value)
            differ[name] |= ~np.isnan(older) & ~np.isnan(value) & (older != value)
            several[name] = several.get(name, False) | differ[name]
            found[name] = np.where(np.isnan(older), value, older)
    bad = np.zeros(len(names), dtype=bool)
    for name, differing in several.items():  # an object is refused once, for its first column
        intake.refuse_objects(f"the object has several values of {name}", names[differing & ~bad])
        bad |= differing
    place = np.full(len(names), NO_ROW, dtype=np.int64)
    if lines is not None and parts:
        owner = parts[0][0][::-1]
        place[owner[owner >= 0]] = lines[::-1][owner >= 0]
    order = np.argsort(names, kind="stable")
    order = order[~bad[order]]
    columns = {name: value[order] for name, value in found.items()}
    return MetadataTable(names[order], columns, place[order], intake, names[bad], names)


def join_rows(parts: Sequence[ObservationRows]) -> ObservationRows:
    """Join parts; objects of the same name become one, in order of appearance."""
    import pandas as pd

    if len(parts) == 1:
        return parts[0]
    code, names = pd.factorize(np.concatenate([part.names for part in parts]))
    shifts = np.cumsum([0, *(len(part.names) for part in parts[:-1])])
    owners = [code[part.owner + shift] for part, shift in zip(parts, shifts, strict=True)]
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


def _positions(names: StrArray, wanted: StrArray, *, ascending: bool = False) -> IntArray:
    """Position in `names` of each wanted name; -1 where it is absent."""
    if not len(names):
        return np.full(len(wanted), -1, dtype=np.int64)
    if len(names) == len(wanted) and np.array_equal(names, wanted):
        return np.arange(len(names))
    order = np.arange(len(names)) if ascending else np.argsort(names)
    where = order[np.minimum(np.searchsorted(names, wanted, sorter=order), len(names) - 1)]
    return np.where(names[where] == wanted, where, -1)


def _repeats(rows: ObservationRows, index: int, kept: IntArray) -> bool:
    """Whether the row has the same values as one of those kept."""
    return bool(
        np.any(
            (rows.mjd[kept] == rows.mjd[index])
            & (rows.band[kept] == rows.band[index])
            & (rows.flux[kept] == rows.flux[index])
            & (rows.flux_err[kept] == rows.flux_err[index])
        )
    )
