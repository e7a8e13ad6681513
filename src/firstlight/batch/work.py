"""One partition from its files to its answers on disk: the task of each worker."""

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from firstlight._types import FloatArray, IntArray, Progress, no_progress
from firstlight.batch.frames import FrameClassifier
from firstlight.batch.parts import (
    MOST_OBJECTS,
    Part,
    check_size,
    is_sliced,
    most_observations,
    repeats,
    slices,
)
from firstlight.batch.select import Selection
from firstlight.data import read
from firstlight.data.formats import ColumnNames, is_alert_file
from firstlight.data.formats.metadata import read_metadata
from firstlight.data.read import described
from firstlight.errors import DataError, FirstlightError
from firstlight.files import keep, replacing
from firstlight.lightcurves import LightCurves, MetadataTable, RejectLog
from firstlight.lightcurves.foreign.values import as_arrow, distinct_names, numbers_of
from firstlight.lightcurves.rows import OBJECT_COLUMNS

#: Folder beside the answers: settings of the run, finished partitions, rows set aside.
RECORD = "_firstlight"
LINEAGE = b"firstlight"  # key of the metadata of each file of answers
METADATA = "metadata"  # its rejects stand beside those of partitions under this name
_MOST_NOTES = 20  # of a partition


@dataclass(frozen=True, slots=True)
class Job:
    """The settings that all partitions of a run share."""

    classify: FrameClassifier
    out: Path
    lineage: str  # JSON
    memory: int  # of a worker [bytes]
    selection: Selection = field(default_factory=Selection)
    metadata: Path | None = None
    position: tuple[str, str] | None = None  # columns of a catalog for right ascension and declination
    identity: str = ""  # digest of all settings that the answers depend on


@dataclass(frozen=True, slots=True)
class Outcome:
    """The counts of one partition: read = answered + not selected + set aside."""

    name: str
    answered: int = 0  # objects
    classified: int = 0  # of them
    not_selected: int = 0  # objects outside of the cone or the list
    set_aside: int = 0  # objects
    rows_set_aside: int = 0  # observations and objects, as listed with their reasons
    listed: int = 0  # names of the list that were read
    no_position: int = 0  # objects outside of the cone because their position is unknown
    observations: int = 0  # of the objects answered
    seconds: float = 0.0
    peak_bytes: int = 0  # largest memory of the worker so far
    notes: Sequence[str] = ()  # choices and conversions of a reader
    error: str = ""  # why the partition has no answers; empty if it has


def classify_part(part: Part, job: Job, progress: Progress = no_progress) -> Outcome:
    """Classify one partition, write its answers as a whole, and then record that it is done.

    A partition that cannot be read gives an outcome with the reason, and is tried again by the next run.
    """
    try:
        tables = _answers(part, job, progress)
        return write_part(part.name, tables, job, part.stamp)
    except Exception as error:  # one file of a million must not end the run, whatever a library raises
        return Outcome(part.name, error=reason_of(error))


def reason_of(error: BaseException) -> str:
    """Reason why a partition has no answers, on one line; of foreign errors also their kind."""
    text = next(iter(str(error).splitlines()), "")
    if isinstance(error, MemoryError):
        return "not enough memory: raise --memory, or use fewer --jobs"
    return text if text and isinstance(error, FirstlightError) else f"{type(error).__name__}: {text}"


@dataclass(slots=True)
class Piece:
    """Answers of some objects of a partition, and the objects without one."""

    answers: pa.Table
    log: RejectLog
    classified: int
    observations: int  # of the objects answered
    not_selected: int  # objects
    no_position: int  # objects, of these
    set_aside: int  # objects
    listed: frozenset[str]  # names of the list that were read


def write_part(name: str, pieces: Iterator[Piece], job: Job, stamp: str) -> Outcome:
    """Write the answers of a partition piece by piece, whole or not at all, and record that it is done."""
    start = time.perf_counter()
    done = Outcome(name)
    path = job.out / name
    log = RejectLog()
    listed: set[str] = set()
    with ExitStack() as files:
        writer: Any = None
        for piece in pieces:
            log.extend(piece.log)
            listed |= piece.listed
            done = _counted(done, piece)
            if not len(piece.answers):
                continue
            table = piece.answers.replace_schema_metadata({LINEAGE: job.lineage.encode()})
            if writer is None:
                partial = files.enter_context(replacing(path))
                writer = files.enter_context(pq.ParquetWriter(partial, table.schema, compression="zstd"))
            writer.write_table(table.cast(writer.schema))
    if writer is None:
        path.unlink(missing_ok=True)
    done = replace(
        done,
        rows_set_aside=len(log),
        listed=len(listed),
        notes=log.notes[:_MOST_NOTES],
        seconds=time.perf_counter() - start,
        peak_bytes=_peak(),
    )
    rejects = rejects_of(job.out, name)
    if len(log):
        log.write(rejects)
    else:
        rejects.unlink(missing_ok=True)
    keep(marker(job.out, name), f"{job.identity} {stamp}", asdict(done))
    return done


def marker(out: Path, name: str) -> Path:
    """File that records that a partition is done."""
    return out / RECORD / "parts" / f"{name}.json"


def rejects_of(out: Path, name: str) -> Path:
    """File of the rows set aside of a partition."""
    return out / RECORD / "rejects" / f"{name}.jsonl"


# --- private --------------------------------------------------------------------


def _answers(part: Part, job: Job, progress: Progress) -> Iterator[Piece]:
    """Answers of the files of a partition, in pieces that fit into the memory."""
    done = 0
    for path in part.paths:
        if is_sliced(path) and job.metadata is None:
            for piece, read in _of_slices(path, job):
                progress("classify", (done + read) / part.n_bytes)
                yield piece
        else:
            check_size(path, job.memory)
            yield from _of_curves(path, job)
        done += path.stat().st_size
        progress("classify", done / max(1, part.n_bytes))
    if not part.paths:
        raise DataError(f"{part.name}: no file")


def _of_slices(path: Path, job: Job) -> Iterator[tuple[Piece, float]]:
    """Pieces of a Parquet file with one row per object, each with the bytes read so far."""
    classify = job.classify
    size, n_rows = path.stat().st_size, pq.read_metadata(path).num_rows
    schema = pq.read_schema(path)
    carry = classify.carried(schema.names)
    whole = repeats(path, classify.name_column(schema.empty_table(), str(path)))
    if whole:  # rows of one object must come together
        check_size(path, job.memory, "an object has several rows")
    for table, first in slices(path, carry, most_observations(job.memory), whole=whole):
        piece = table_piece(table, job, f"{path}, from row {first}" if first else str(path))
        yield piece, size * (first + len(table)) / max(1, n_rows)


def table_piece(table: pa.Table, job: Job, name: str) -> Piece:
    """Answers for a table with one row per object, with the columns to carry along."""
    log = RejectLog()
    found = job.classify.objects(table, log, name)
    curves, names = found.curves, distinct_names(found.named)[0]
    position = None
    if job.selection.cone is not None and job.position is not None:
        row = pa.array(_first_rows(found.positions(curves.object_id)))
        position = [numbers_of(as_arrow(table[column]).take(row)) for column in job.position]
    piece = curves_piece(curves, job, log, (), np.setdiff1d(names, curves.object_id).tolist(), position)
    row = _first_rows(found.positions(np.array(piece.answers["object_id"].to_pylist(), dtype=np.str_)))
    kept = [found.column, *job.classify.carried(table.column_names)]
    for column in dict.fromkeys(kept):
        values = as_arrow(table[column]).take(pa.array(row))
        if column in piece.answers.column_names:
            place = piece.answers.column_names.index(column)
            piece.answers = piece.answers.set_column(place, column, values)
        else:
            piece.answers = piece.answers.append_column(column, values)
    return piece


def _first_rows(position: IntArray) -> IntArray:
    """The first row of each object, by the position of each row's object; -1 rows have none."""
    rows = np.flatnonzero(position >= 0)
    first = np.empty(len(np.unique(position[rows])), dtype=np.int64)
    first[position[rows[::-1]]] = rows[::-1]  # of equal positions the last assignment stays
    return first


def curves_piece(
    curves: LightCurves,
    job: Job,
    log: RejectLog,
    carry: Sequence[str],
    lost: Sequence[str] = (),
    position: Sequence[FloatArray] | None = None,
) -> Piece:
    """Answers for light curves, with columns of the light curves to carry along.

    `lost` are objects that were read with them and cannot be used; `position` is right ascension and
    declination [degree] for the cone, by default those of the light curves.
    """
    ra, dec = (curves.ra, curves.dec) if position is None else position
    listed, inside = job.selection.listed(curves.object_id), job.selection.inside(ra, dec)
    chosen = curves.take(listed & inside) if job.selection.is_some else curves
    predictions = job.classify.classify(chosen)
    answers = pa.Table.from_pandas(predictions.to_pandas(), preserve_index=False)
    for name in carry:
        answers = answers.append_column(name, pa.array(getattr(chosen, name)))
    return Piece(
        answers=answers,
        log=log,
        classified=int(predictions.is_classified.sum()),
        observations=int(predictions.n_obs.sum()),
        not_selected=len(curves) - len(chosen),
        no_position=int((listed & ~inside & (np.isnan(ra) | np.isnan(dec))).sum()),
        set_aside=len(lost),
        listed=job.selection.names_among([*curves.object_id.tolist(), *lost]),
    )


def _of_curves(path: Path, job: Job) -> Iterator[Piece]:
    """Pieces of a file that is read whole; position and other values of objects can be carried along."""
    classify = job.classify
    wanted = ("ra", "dec") if classify.carry is None else classify.carry
    carry = [name for name in dict.fromkeys(wanted) if name != "object_id"]  # which every answer has
    absent = sorted(set(carry) - set(OBJECT_COLUMNS))
    if absent:
        raise DataError(
            f"{path}: only {', '.join(OBJECT_COLUMNS)} can be carried along from a file of this format, not "
            f"{', '.join(absent)}"
        )
    log = RejectLog()
    curves, lost = _read(path, job, log)
    for part in _pieces(curves, most_observations(job.memory)):
        yield curves_piece(part, job, log, carry, lost)
        log, lost = RejectLog(), []


def _read(path: Path, job: Job, log: RejectLog) -> tuple[LightCurves, list[str]]:
    """The light curves of a file of any format, and its objects that cannot be used.

    The light curves have the values of the metadata file.
    """
    classify = job.classify
    if is_alert_file(path):
        from firstlight.stream.alerts.files import read_alerts

        curves = read_alerts(path, log)
    else:
        curves = read(
            path,
            rejects=log,
            zero_point=classify.zero_point,
            dereddened=classify.dereddened,
            format=classify.format,
            columns=classify.columns,
        )
    named = {*curves.object_id.tolist(), *(reject.object_id for reject in log)} - {""}
    if job.metadata is not None:
        curves = described(curves, _metadata(job.metadata, classify.columns), str(job.metadata), log)
    return curves, sorted(named - set(curves.object_id.tolist()))


@lru_cache(maxsize=1)
def _metadata(path: Path, columns: str | None) -> MetadataTable:
    """The metadata of all partitions, read once in each worker; `classify_archive` has shown its faults."""
    return read_metadata(path, RejectLog(), None if columns is None else ColumnNames.parse(columns))


def _pieces(curves: LightCurves, most: int) -> Iterator[LightCurves]:
    """Light curves in pieces of at most `most` observations, or of one object."""
    start = 0
    while True:
        stop = int(np.searchsorted(curves.offsets, curves.offsets[start] + most, side="right")) - 1
        stop = min(max(stop, start + 1), start + MOST_OBJECTS, len(curves))
        yield curves[start:stop]
        if stop >= len(curves):
            return
        start = stop


def _counted(done: Outcome, piece: Piece) -> Outcome:
    return replace(
        done,
        answered=done.answered + len(piece.answers),
        classified=done.classified + piece.classified,
        not_selected=done.not_selected + piece.not_selected,
        no_position=done.no_position + piece.no_position,
        set_aside=done.set_aside + piece.set_aside,
        observations=done.observations + piece.observations,
    )


def _peak() -> int:
    """Largest memory of this process so far [bytes]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
