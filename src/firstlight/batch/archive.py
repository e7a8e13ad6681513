"""All partitions of an archive: those left to do, the processes that do them, and the counts."""

import fcntl
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from firstlight._types import Progress, no_progress
from firstlight._version import __version__
from firstlight.batch import hats
from firstlight.batch.cluster import on_cluster
from firstlight.batch.frames import FrameClassifier
from firstlight.batch.parts import Part, most_observations, parts_of
from firstlight.batch.select import Selection
from firstlight.batch.work import METADATA, RECORD, Job, Outcome, classify_part, marker, rejects_of
from firstlight.data.formats import ColumnNames
from firstlight.data.formats.metadata import read_metadata
from firstlight.errors import DataError, SettingsError
from firstlight.files import kept, replacing
from firstlight.lightcurves import RejectLog
from firstlight.parallel import side_by_side
from firstlight.provenance import commit

DEFAULT_MEMORY = 2_000_000_000  # of a worker [bytes]
_RUN = "run.json"
_CONTENT = "_sha256"  # ends the name of a setting that is the digest of a file
_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{12}")  # names of `files.replacing`


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts of a run; those of partitions that were done before are included."""

    outcomes: tuple[Outcome, ...]  # of the partitions with answers
    failed: tuple[Outcome, ...]  # of those without
    n_before: int  # partitions that were done before
    passed_over: tuple[Path, ...]  # files of the folder that hold no light curves
    seconds: float
    metadata: RejectLog = field(default_factory=RejectLog)  # rows and objects of the metadata set aside

    @property
    def rows_set_aside(self) -> int:
        """Rows and objects set aside, those of the metadata included."""
        return self.total("rows_set_aside") + len(self.metadata)

    @property
    def notes(self) -> tuple[str, ...]:
        """Choices and conversions of the reader, each sentence once."""
        notes = dict.fromkeys(self.metadata.notes)
        return tuple(notes | dict.fromkeys(note for one in self.outcomes for note in one.notes))

    def total(self, name: str) -> int:
        """Sum of a count of `Outcome` over all partitions."""
        return int(sum(getattr(outcome, name) for outcome in self.outcomes))

    @property
    def peak_bytes(self) -> int:
        """Largest memory of any worker [bytes]."""
        return max((outcome.peak_bytes for outcome in self.outcomes), default=0)


def classify_archive(
    source: str | Path,
    out: str | Path,
    classify: FrameClassifier,
    *,
    selection: Selection | None = None,
    metadata: Path | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    memory: int = DEFAULT_MEMORY,
    progress: Progress | None = None,
    report: Callable[[str], None] | None = None,
) -> Summary:
    """Classify all partitions of an archive; run it again after an interruption, and it goes on.

    Parameters
    ----------
    source : path
        A HATS catalog, a folder of files that `firstlight.read` takes, each object in one file, or a file.
    out : path
        Folder to write: a HATS catalog if `source` is one, else a Parquet file per partition.
    classify : FrameClassifier
        Bundle and settings; its bundle is a folder or a name.
    selection : Selection, optional
        The objects to classify; by default all.
    metadata : path, optional
        Position, E(B-V) and redshifts by object, for files that lack them.
    jobs : int
        Local processes, of one thread each.
    cluster : str, optional
        Address of a Dask scheduler, whose workers do the work instead; they must see the same files.
    memory : int
        Memory of a worker [bytes]; files are read in pieces that fit.
    progress : callable, optional
        Takes a stage and the fraction that is done, by the size of the partitions.
    report : callable, optional
        Takes sentences for the user.

    Returns
    -------
    Summary
        Counts. A partition that cannot be read is in `Summary.failed`, and is tried again by the next run.

    Raises
    ------
    DataError
        If the source holds no light curves, or `out` belongs to another run or is in use.
    SettingsError
        If a setting is impossible.
    MissingExtraError
        If LSDB and Dask are needed and not installed.
    """
    start = time.perf_counter()
    source, out = Path(source).resolve(), Path(out).resolve()  # workers have folders of their own
    metadata = None if metadata is None else metadata.resolve()
    most_observations(memory)  # raises before any work
    if out.is_relative_to(source):
        raise SettingsError(f"{out}: lies inside of {source}, which is read; choose a folder beside it")
    if not isinstance(classify.bundle, str | Path):
        raise SettingsError("give the folder or the name of a bundle: workers load it by that")
    classify = classify.pinned().with_absolute_paths()
    classify.check_carry()
    catalog = hats.open_catalog(source) if hats.is_catalog(source) else None
    selection = selection or Selection()
    if catalog is None:
        parts, passed_over = parts_of(source)
    else:
        parts, passed_over = hats.parts_of(catalog, selection.cone), []
        classify = replace(classify, carry=hats.carried(catalog, classify.carry))
    set_aside = _metadata_faults(metadata, classify.columns)
    _refuse_foreign(out)
    with _in_use(out):
        job = _job(source, out, classify, selection, metadata, memory)
        job = replace(job, position=hats.position_of(catalog))
        if len(set_aside):
            set_aside.write(rejects_of(out, METADATA))
        _remove_stale(out, parts)
        before, todo = _left(parts, job)
        if before and report is not None:
            report(f"{len(before):,} of {len(parts):,} partition(s) were done before")
        done = _Done(todo, progress or no_progress)
        made = _outcomes(todo, job, jobs, cluster, catalog, done)
        outcomes = (*before, *(one for one in made if not one.error))
        if catalog is not None:
            try:
                hats.finish(catalog, out, [one for one in outcomes if one.answered], job)
            except OSError as error:
                raise DataError(
                    f"cannot write {out}: {error.strerror or error}; finished partitions are kept"
                ) from error
    failed = tuple(one for one in made if one.error)
    seconds = time.perf_counter() - start
    return Summary(outcomes, failed, len(before), tuple(passed_over), seconds, set_aside)


# --- private --------------------------------------------------------------------


def _job(
    source: Path,
    out: Path,
    classify: FrameClassifier,
    selection: Selection,
    metadata: Path | None,
    memory: int,
) -> Job:
    """The settings that all partitions share; DataError if the folder holds the answers of another run."""
    settings = {field.name: getattr(classify, field.name) for field in fields(classify)}
    settings |= {"cone": selection.cone and asdict(selection.cone), "metadata": metadata}
    settings["objects"] = (
        selection.objects and hashlib.sha256("\n".join(selection.objects).encode()).hexdigest()
    )
    settings |= {"bundle": str(classify.bundle), "source": str(source.resolve())}
    for name in ("prior", "columns", "metadata"):  # a file that changes makes another run
        text = str(settings[name])
        if "=" not in text and Path(text).is_file():
            settings[f"{name}{_CONTENT}"] = _digest(text)
    settings = json.loads(json.dumps(settings, default=str))
    identity = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    lineage = {"firstlight": __version__, "commit": commit(), "settings": settings}
    path = out / RECORD / _RUN
    try:
        older = json.loads(path.read_text("utf-8"))["settings"]
    except FileNotFoundError:
        older = None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not the record of a run ({error}); choose a new folder") from error
    if older is not None and older != settings:
        other = [name for name in settings | older if older.get(name) != settings.get(name)]
        other = sorted({name.removesuffix(_CONTENT) for name in other})
        raise DataError(f"{out}: holds answers of a run with another {', '.join(other)}; choose a new folder")
    if older is None:
        with replacing(path) as file:
            made = lineage | {"created": datetime.now(UTC).isoformat(timespec="seconds")}
            file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return Job(classify, out, json.dumps(lineage), memory, selection, metadata, identity=identity)


def _digest(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _metadata_faults(metadata: Path | None, columns: str | None) -> RejectLog:
    """Unusable entries of the metadata file; DataError if it cannot be read at all."""
    log = RejectLog()
    if metadata is not None:
        read_metadata(metadata, log, None if columns is None else ColumnNames.parse(columns))
    return log


def _refuse_foreign(out: Path) -> None:
    """Raise DataError for a folder with files that no run of `batch` wrote."""
    known = (out / RECORD / _RUN).exists() or not out.is_dir()
    if not known and any(one.name != RECORD for one in out.iterdir()):
        raise DataError(f"{out}: the folder holds something else; choose a new one")


@contextmanager
def _in_use(out: Path) -> Iterator[None]:
    """Keep other runs out of a folder."""
    path = out / RECORD / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror}; choose another folder") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"{out}: another run writes to this folder; wait, or choose another") from error
        yield


def _remove_stale(out: Path, parts: list[Part]) -> None:
    """Remove answers of partitions that are no longer there, and half-written files of a killed run."""
    for path in out.rglob(".*"):
        if _HALF_WRITTEN.fullmatch(path.name):  # hats would take it for a partition
            path.unlink()
    names = {part.name for part in parts}
    folder = out / RECORD / "parts"
    for path in folder.rglob("*.json"):
        name = str(path.relative_to(folder))[: -len(".json")]
        if name not in names:
            _remove(out, name)


def _remove(out: Path, name: str) -> None:
    """Remove all of a partition; its marker first, so that nothing counts that is gone."""
    for path in (marker(out, name), out / name, rejects_of(out, name)):
        path.unlink(missing_ok=True)


def _left(parts: list[Part], job: Job) -> tuple[list[Outcome], list[Part]]:
    """Outcomes of the partitions that are done, and the partitions that are not."""
    before, todo = [], []
    for part in parts:
        done = kept(marker(job.out, part.name), f"{job.identity} {part.stamp}")
        outcome = None if done is None else Outcome(**done)
        if outcome is not None and (not outcome.answered or (job.out / part.name).exists()):
            before.append(outcome)
        else:
            _remove(job.out, part.name)  # answers of a file that was another, if this one cannot be read
            todo.append(part)
    return before, todo


_jobs: list[Job] = []  # of this worker, set by `_begin`


def _begin(job: Job) -> None:
    _jobs[:] = [job]


def _work(part: Part, progress: Progress) -> Outcome:
    return classify_part(part, _jobs[0], progress)


def _outcomes(
    todo: list[Part],
    job: Job,
    jobs: int,
    cluster: str | None,
    catalog: Any,
    progress: Callable[[str, str, float], None],
) -> list[Outcome]:
    """Outcomes of all partitions, by local processes or by the workers of a cluster."""
    work: Iterator[Outcome] = iter(())
    if todo and cluster is None:
        work = _locally(todo, job, jobs, progress)
    elif todo and cluster is not None:
        work = on_cluster(cluster, todo, job, catalog)
    made: list[Outcome] = []
    for outcome in work:
        made.append(outcome)
        progress(outcome.name, "classify", 1.0)
    return made


def _locally(
    todo: list[Part], job: Job, jobs: int, progress: Callable[[str, str, float], None]
) -> Iterator[Outcome]:
    """Outcomes of local processes, as they come."""
    if jobs == 1:
        yield from (classify_part(part, job, partial(progress, part.name)) for part in todo)
        return
    items = {part.name: part for part in todo}
    work = side_by_side(_work, items, jobs, progress=progress, initializer=_begin, initargs=(job,))
    try:
        for _, outcome in work:
            yield outcome
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process was ended from outside, perhaps for want of memory; finished partitions stay: "
            "run the command again, with fewer --jobs or less --memory"
        ) from error


class _Done:
    """The fraction of the work that is done, by the size of the partitions."""

    def __init__(self, todo: list[Part], progress: Progress) -> None:
        self.sizes = {part.name: max(1, part.n_bytes) for part in todo}
        self.total = max(1, sum(self.sizes.values()))
        self.progress = progress
        self.running: dict[str, float] = {}

    def __call__(self, name: str, stage: str, fraction: float) -> None:
        """Note the fraction of a partition that is done."""
        self.running[name] = self.sizes[name] * min(1.0, fraction)
        self.progress(stage, sum(self.running.values()) / self.total)
