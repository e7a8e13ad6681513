"""Light curves and metadata in delimited text, whoever wrote it.

Columns have the spellings of `firstlight.lightcurves.names`. PLAsTiCC's own names (``passband``) imply its
zero point and that its fluxes are corrected for dust; otherwise fluxes are in nJy, as in Parquet.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from firstlight._types import IntArray, Progress, no_progress
from firstlight.data.delimited import Delimited, joined, read_dialect, read_header
from firstlight.errors import DataError, MissingColumnError
from firstlight.lightcurves import Intake, LightCurves, MetadataTable, RawTable
from firstlight.lightcurves.foreign.intake import join_rows, object_table
from firstlight.lightcurves.foreign.objects import known_values, unusual
from firstlight.lightcurves.foreign.raw import NEEDED, plasticc_defaults, require
from firstlight.lightcurves.foreign.values import distinct_names, names_of, untyped_ids
from firstlight.lightcurves.names import (
    DEREDDENED,
    OBJECT_SPELLINGS,
    OBSERVATION_SPELLINGS,
    PER_OBJECT,
    SURVEY,
    find_columns,
)
from firstlight.lightcurves.reject import NO_ROW, RejectLog
from firstlight.lightcurves.rows import ObservationRows

#: Columns that are read as texts; the others are numbers.
_TEXTS = ("object_id", "band", "detected", "unit", "system", DEREDDENED, SURVEY)


def is_light_curves(header: Iterable[str]) -> bool:
    """Whether a header is that of light curves, or nearly."""
    found = find_columns(header, {name: OBSERVATION_SPELLINGS[name] for name in NEEDED})
    return len(found) >= len(NEEDED) - 1


def read_text(
    light_curves: str | Path,
    metadata: str | Path | MetadataTable | None = None,
    *,
    zero_point: float | None = None,
    dereddened: bool | None = None,
    rejects: RejectLog | None = None,
    partial: bool = False,
    progress: Progress = no_progress,
) -> LightCurves:
    """Read a file of light curves whole; see `firstlight.data.read`.

    `partial` allows the metadata objects that this file does not have.
    """
    intake = Intake(str(light_curves), rejects)
    table = _metadata_table(metadata, rejects)
    source = _Source(intake, zero_point, dereddened, progress)
    raw = source.whole()
    curves = intake.read(raw, table)
    if table is not None and not partial:
        table.refuse_unmet()
    return curves


def iter_text(
    light_curves: str | Path,
    metadata: str | Path | MetadataTable | None = None,
    *,
    chunk_objects: int = 20_000,
    zero_point: float | None = None,
    rejects: RejectLog | None = None,
    partial: bool = False,
) -> Iterator[LightCurves]:
    """Read a file of light curves of any size in chunks of whole objects, as `read_text`.

    The rows of an object must stand together in the file. Memory is that of one chunk of `chunk_objects`,
    plus the metadata and the names met. Raises DataError also, without `rejects`, if an object appears
    again after others.
    """
    if chunk_objects < 1:
        raise DataError(f"chunk_objects = {chunk_objects}: a chunk holds at least one object")
    intake = Intake(str(light_curves), rejects)
    table = _metadata_table(metadata, rejects)
    source = _Source(intake, zero_point, None)
    met: set[str] = set()
    for rows in _chunks(source.parts(), chunk_objects):
        chosen = _refuse_scattered(rows, met, intake)
        curves = intake.light_curves(chosen, table, dereddened=bool(source.implied["dereddened"]))
        if len(curves):
            yield curves
    if table is not None and not partial:
        table.refuse_unmet()


def read_metadata(path: str | Path, rejects: RejectLog | None = None) -> MetadataTable:
    """Position, E(B-V) and host redshifts by name from a CSV with ``object_id`` and any of these.

    Raises MissingColumnError or DataError if the file cannot be read; without `rejects`, also for
    the first object with different values or damaged line.
    """
    path = Path(path)
    intake = Intake(str(path), rejects)
    header = read_header(path)
    found = find_columns(header, {"object_id": ("object_id",)} | dict(OBJECT_SPELLINGS))
    if "object_id" not in found or len(found) == 1:
        wanted = (
            ["object_id"] if "object_id" not in found else [s for n in OBJECT_SPELLINGS.values() for s in n]
        )
        raise MissingColumnError(
            f"{path}: column(s) {' or '.join(wanted)} missing; its columns are {', '.join(header)}"
        )
    source = Delimited(path, {theirs: _kind(our) for our, theirs in found.items()})
    columns, lines = _joined(source, found)
    _refuse_damage(source, intake, "")
    names, owner = distinct_names(columns["object_id"])
    nameless = np.flatnonzero(owner < 0)
    intake.refuse("the row names no object", np.full(len(nameless), ""), lines[nameless])
    values = known_values(columns)
    for note in unusual(columns, values):
        intake.note(note)
    return object_table(names, [(owner, values)], intake, lines)


def _metadata_table(
    metadata: str | Path | MetadataTable | None, rejects: RejectLog | None
) -> MetadataTable | None:
    return metadata if isinstance(metadata, MetadataTable | None) else read_metadata(metadata, rejects)


def _kind(name: str) -> Any:
    if name in _TEXTS:
        return "text"
    return "mixed" if name in OBJECT_SPELLINGS else "number"


class _Source:
    """The light-curve columns of one file."""

    def __init__(
        self,
        intake: Intake,
        zero_point: float | None,
        dereddened: bool | None,
        progress: Progress = no_progress,
    ) -> None:
        path = Path(intake.file)
        dialect = read_dialect(path)
        header = dialect.header
        self.found = find_columns(header, dict(OBSERVATION_SPELLINGS) | dict(PER_OBJECT))
        require(self.found, header, OBSERVATION_SPELLINGS, str(path))
        self.implied = plasticc_defaults(header, zero_point, dereddened, str(path))
        self.intake = intake
        kinds = {theirs: _kind(our) for our, theirs in self.found.items()}
        if dialect.has_date(self.found["mjd"]):
            kinds[self.found["mjd"]] = "text"
        self.source = Delimited(path, kinds, progress=progress)

    def whole(self) -> RawTable:
        """All rows of the file."""
        columns, lines = _joined(self.source, self.found)
        last = str(names_of(columns["object_id"].slice(len(lines) - 1))[0]) if len(lines) else ""
        _refuse_damage(self.source, self.intake, last)
        self.intake.refuse_nothing(len(lines))
        words = {our: self.source.words.get(theirs, {}) for our, theirs in self.found.items()}
        return RawTable(columns, place=lines, words=words, **self.implied)

    def parts(self) -> Iterator[ObservationRows]:
        """The usable rows of the file, batch by batch; the depth of the first is checked."""
        last, checks, n_rows = "", self.implied, 0
        for batch, lines in self.source.batches():
            raw = RawTable({our: batch[theirs] for our, theirs in self.found.items()}, place=lines, **checks)
            rows = self.intake.rows(raw)
            n_rows += len(lines)
            last = str(rows.names[-1]) if len(rows.names) else last
            yield rows
            checks = self.implied | {"depth": (-np.inf, np.inf)}
        _refuse_damage(self.source, self.intake, last)
        self.intake.refuse_nothing(n_rows)


def _joined(source: Delimited, found: Mapping[str, str]) -> tuple[dict[str, Any], IntArray]:
    """All batches of a file in one: columns under our names, and the line of each row."""
    parts: dict[str, list[Any]] = {our: [] for our in found}
    lines = [np.empty(0, np.int64)]
    for batch, numbers in source.batches():
        lines.append(numbers)
        for our, theirs in found.items():
            parts[our].append(batch[theirs])
    whole = {our: joined(columns, _kind(our)) for our, columns in parts.items()}
    try:
        whole["object_id"] = untyped_ids(whole["object_id"])
    except DataError as error:
        raise type(error)(f"{source.path}, column {found['object_id']!r}: {error}") from error
    return whole, np.concatenate(lines)


def _refuse_damage(source: Delimited, intake: Intake, last: str) -> None:
    """Refuse the lines of a file that held no row, and its missing end."""
    for damage in source.damage:
        if damage.line is None:
            reason = f"{damage.reason}: observations of this object and the following may be lost"
            object_id, hint = last, "fetch the file again"
        else:
            reason, hint = damage.reason, "correct the line"
            object_id = damage.text.split(",")[0].strip()
        line = NO_ROW if damage.line is None else damage.line
        intake.refuse(reason, np.array([object_id]), np.array([line]), hint=hint)


def _chunks(parts: Iterable[ObservationRows], chunk_objects: int) -> Iterator[ObservationRows]:
    """Regroup batches into chunks of whole objects; the object of the last row may go on."""
    pending: list[ObservationRows] = []
    for part in parts:
        pending.append(part)
        if sum(len(rows.names) for rows in pending) <= chunk_objects:
            continue
        rows = join_rows(pending).ordered()
        n_complete = len(rows.names) - 1
        start = 0
        for stop in range(chunk_objects, n_complete + 1, chunk_objects):
            yield _of_objects(rows, start, stop)
            start = stop
        pending = [_of_objects(rows, start, len(rows.names))]
    if pending:
        yield join_rows(pending)


def _of_objects(rows: ObservationRows, start: int, stop: int) -> ObservationRows:
    """The ordered rows of the objects from `start` to `stop`."""
    first, last = np.searchsorted(rows.owner, (start, stop))
    part = rows.select(slice(int(first), int(last)))
    return replace(part, names=rows.names[start:stop], owner=part.owner - start)


def _refuse_scattered(rows: ObservationRows, met: set[str], intake: Intake) -> ObservationRows:
    """Refuse objects that an earlier chunk already had, and remember the new ones."""
    names = rows.names.tolist()
    again = np.array([name in met for name in names], dtype=bool)
    met.update(names)
    hint = "sort the file by object_id or read it whole"
    intake.refuse_objects("the object appears again after others", rows.names[again], hint=hint)
    if not again.any():
        return rows
    index = np.cumsum(~again) - 1
    rows = rows.select(~again[rows.owner])
    return replace(rows, names=rows.names[~again], owner=index[rows.owner])
