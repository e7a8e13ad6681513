"""One partition from its files to its answers on disk: what each worker does."""

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
import pyarrow.compute as pc
import pyarrow.parquet as pq

from firstlight._types import IntArray, Progress, no_progress
from firstlight.batch.frames import FrameClassifier
from firstlight.batch.parts import MOST_OBJECTS, Part, check_size, is_sliced, most_observations, slices
from firstlight.batch.select import Selection
from firstlight.data import read
from firstlight.data.formats import ColumnNames, is_alert_file
from firstlight.data.formats.metadata import read_metadata
from firstlight.data.read import described
from firstlight.errors import DataError, FirstlightError
from firstlight.files import keep, replacing
from firstlight.lightcurves import LightCurves, MetadataTable, RejectLog
from firstlight.lightcurves.rows import OBJECT_COLUMNS
from firstlight.lightcurves.values import as_arrow

#: Folder beside the answers: what the run was, what is done, what was set aside.
RECORD = "_firstlight"
LINEAGE = b"firstlight"  # key of the metadata of each file of answers


@dataclass(frozen=True, slots=True)
class Job:
    """What all partitions of a run have in common."""

    classify: FrameClassifier
    out: Path
    lineage: str  # JSON
    memory: int  # of a worker [bytes]
    selection: Selection = field(default_factory=Selection)
    metadata: Path | None = None
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
    observations: int = 0  # of the objects answered
    seconds: float = 0.0
    peak_bytes: int = 0  # largest memory of the worker so far
    error: str = ""  # why the partition has no answers; empty if it has


def classify_part(part: Part, job: Job, progress: Progress = no_progress) -> Outcome:
    """Classify one partition, write its answers as a whole, and then record that it is done.

    A partition that cannot be read gives an outcome with the reason, and is tried again by the next run.
    """
    try:
        tables = _answers(part, job, progress)
        return write_part(part.name, tables, job, part.stamp)
    except (FirstlightError, pa.ArrowException, OSError, MemoryError) as error:
        reason = f"not enough memory ({job.memory / 1e9:.1f} GB)" if isinstance(error, MemoryError) else error
        return Outcome(part.name, error=str(reason).splitlines()[0])


@dataclass(slots=True)
class Piece:
    """Answers of some objects of a partition, and what has none."""

    answers: pa.Table
    log: RejectLog
    classified: int
    observations: int  # of the objects answered
    not_selected: int  # objects
    set_aside: int  # objects


def write_part(name: str, pieces: Iterator[Piece], job: Job, stamp: str) -> Outcome:
    """Write the answers of a partition piece by piece, whole or not at all, and record that it is done."""
    start = time.perf_counter()
    done = Outcome(name)
    path = job.out / name
    log = RejectLog()
    with ExitStack() as files:
        writer: Any = None
        for piece in pieces:
            log.extend(piece.log)
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
    done = replace(done, rows_set_aside=len(log), seconds=time.perf_counter() - start, peak_bytes=_peak())
    rejects = job.out / RECORD / "rejects" / f"{name}.jsonl"
    if len(log):
        log.write(rejects)
    else:
        rejects.unlink(missing_ok=True)
    keep(marker(job.out, name), f"{job.identity} {stamp}", asdict(done))
    return done


def marker(out: Path, name: str) -> Path:
    """File that records that a partition is done."""
    return out / RECORD / "parts" / f"{name}.json"


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
    carry = classify.carried(pq.read_schema(path).names)
    for table, first in slices(path, carry, most_observations(job.memory)):
        piece = table_piece(table, job, f"{path}, from row {first}" if first else str(path))
        yield piece, size * (first + len(table)) / max(1, n_rows)


def table_piece(table: pa.Table, job: Job, name: str) -> Piece:
    """Answers for a table with one row per object, with the columns to carry along."""
    log = RejectLog()
    found = job.classify.objects(table, log, name)
    lost = pc.count_distinct(found.named).as_py() - len(found.curves)
    piece = curves_piece(found.curves, job, log, ())
    row = _first_rows(found.positions(np.array(piece.answers["object_id"].to_pylist(), dtype=np.str_)))
    kept = [found.column, *job.classify.carried(table.column_names)]
    for column in dict.fromkeys(kept):
        values = as_arrow(table[column]).take(pa.array(row))
        if column in piece.answers.column_names:
            place = piece.answers.column_names.index(column)
            piece.answers = piece.answers.set_column(place, column, values)
        else:
            piece.answers = piece.answers.append_column(column, values)
    piece.set_aside = max(0, lost)
    return piece


def _first_rows(position: IntArray) -> IntArray:
    """The first row of each object, by the position of each row's object; -1 rows have none."""
    rows = np.flatnonzero(position >= 0)
    first = np.empty(len(np.unique(position[rows])), dtype=np.int64)
    first[position[rows[::-1]]] = rows[::-1]  # of equal positions the last assignment stays
    return first


def curves_piece(curves: LightCurves, job: Job, log: RejectLog, carry: Sequence[str]) -> Piece:
    """Answers for light curves, with columns of theirs to carry along."""
    chosen = curves.take(job.selection.mask(curves)) if job.selection.is_some else curves
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
        set_aside=len({reject.object_id for reject in log} - {"", *curves.object_id.tolist()}) if log else 0,
    )


def _of_curves(path: Path, job: Job) -> Iterator[Piece]:
    """Pieces of a file that is read whole; position and other values of objects can be carried along."""
    classify = job.classify
    absent = sorted(set(classify.carry or ()) - set(OBJECT_COLUMNS))
    if absent:
        raise DataError(
            f"{path}: only {', '.join(OBJECT_COLUMNS)} can be carried along from a file of this format, not "
            f"{', '.join(absent)}"
        )
    log = RejectLog()
    curves = _read(path, job, log)
    carry = ("ra", "dec") if classify.carry is None else tuple(classify.carry)
    for part in _pieces(curves, most_observations(job.memory)):
        yield curves_piece(part, job, log, carry)
        log = RejectLog()


def _read(path: Path, job: Job, log: RejectLog) -> LightCurves:
    """The light curves of a file of any format, with the values of the metadata file."""
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
    if job.metadata is None:
        return curves
    return described(curves, _metadata(job.metadata, classify.columns), str(job.metadata), log)


@lru_cache(maxsize=1)
def _metadata(path: Path, columns: str | None) -> MetadataTable:
    """The metadata of all partitions, read once in each worker; its faults are those of the first look."""
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
        set_aside=done.set_aside + piece.set_aside,
        observations=done.observations + piece.observations,
    )


def _peak() -> int:
    """Largest memory of this process so far [bytes]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
