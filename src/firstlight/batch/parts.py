"""The partitions of an archive: files, or groups of small ones, and their light curves in bounded pieces."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from firstlight.data.delimited import COMPRESSED, read_bytes
from firstlight.data.formats import is_alert_file
from firstlight.data.formats.containers import flat_columns, nested_columns, observation_columns
from firstlight.data.formats.layouts import WORDS
from firstlight.data.formats.recognise import PARQUET_SUFFIXES, separate_files
from firstlight.data.formats.source import plain_name
from firstlight.data.parquet import PARQUET_MAGIC, open_parquet, parquet_errors
from firstlight.data.snpcc import is_snpcc
from firstlight.errors import DataError, SettingsError

#: Memory of a worker beside the light curves: Python, libraries, compiled kernels and the bundle [bytes].
BASE_BYTES = 450_000_000
#: Of one observation, from the file to its answer [bytes].
BYTES_PER_OBSERVATION = 500
LEAST_MEMORY = 600_000_000
#: Objects in a piece at most: their answers are held until the piece is written.
MOST_OBJECTS = 20_000
#: Small files share a partition up to these.
GROUP_FILES, GROUP_BYTES = 256, 32_000_000
#: Bytes in memory per byte of a file that is read whole.
_GROWTH, _GROWTH_COMPRESSED = 5, 25


@dataclass(frozen=True, slots=True)
class Part:
    """One partition: the part of an archive that one worker does as a whole."""

    name: str  # its output, relative to that of the run
    paths: tuple[Path, ...]
    n_bytes: int

    @property
    def stamp(self) -> str:
        """Digest of the names, sizes and times of its files: a changed file is classified again."""
        digest = hashlib.sha256()
        for path in self.paths:
            if not path.exists():  # listed by a catalog, or a link that leads nowhere; its reader names it
                continue
            state = path.stat()
            digest.update(f"{path.name} {state.st_size} {state.st_mtime_ns}\n".encode())
        return digest.hexdigest()


def parts_of(source: Path) -> tuple[list[Part], list[Path]]:
    """The partitions of a file or folder, and files of the folder that hold no light curves.

    Raises DataError if there is none.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    inside = source / "curves.parquet"
    if not source.is_dir() or inside.exists():
        path = inside if inside.exists() else source
        return [Part(_output(path.name), (path,), path.stat().st_size)], []
    files, others = separate_files(source)
    if not files:
        raise DataError(
            f"{source}: no light curves in this folder; docs/reference/files.md lists the formats that are "
            "read"
        )
    groups: list[list[Path]] = []
    room = 0  # bytes that fit into the last group
    for path in files:
        n_bytes = _size(path)
        if path.suffix in PARQUET_SUFFIXES or n_bytes > room or len(groups[-1]) == GROUP_FILES:
            groups.append([])
            room = 0 if path.suffix in PARQUET_SUFFIXES else GROUP_BYTES
        groups[-1].append(path)
        room -= n_bytes
    return _distinct([_part(source, group) for group in groups]), others


def most_observations(memory: int) -> int:
    """Observations that a worker may hold at once; SettingsError if the memory is too small for any."""
    if memory < LEAST_MEMORY:
        raise SettingsError(
            f"--memory {memory / 1e6:,.0f} MB per worker is too little: the bundle and its libraries need "
            f"{BASE_BYTES / 1e6:,.0f} MB; give at least {LEAST_MEMORY / 1e6:,.0f} MB"
        )
    return (memory - BASE_BYTES) // BYTES_PER_OBSERVATION


def is_sliced(path: Path) -> bool:
    """Whether a file is Parquet with one row per object, so that it can be read in pieces."""
    if not read_bytes(path, 8).startswith(PARQUET_MAGIC) or is_alert_file(path):
        return False
    with parquet_errors(path):
        schema = pq.read_schema(path)
    return bool(nested_columns(schema)) and not is_snpcc(schema.names)


def slices(path: Path, carry: list[str], most: int, *, whole: bool = False) -> Iterator[tuple[pa.Table, int]]:
    """A Parquet file with one row per object in pieces of at most `most` observations, and their first rows.

    An object with more observations than that is a piece of its own. With `whole` there is one piece. Only
    columns that can be of use, and those to carry along, are read.
    """
    with parquet_errors(path):
        schema = pq.read_schema(path)
    columns = needed_columns(schema, carry)
    lists = observation_columns(schema)
    row = 0
    with open_parquet(path, columns) as file:
        if whole:
            yield file.read(columns=columns).replace_schema_metadata(schema.metadata), 0
            return
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            per_object = max(1.0, _observations(about, lists) / max(1, about.num_rows))
            rows = int(max(1, min(MOST_OBJECTS, most / per_object)))
            for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
                table = pa.Table.from_batches([batch]).replace_schema_metadata(schema.metadata)
                yield table, row
                row += len(table)


def needed_columns(schema: Any, carry: list[str]) -> list[str]:
    """Columns of a table that its reading can use, and those to carry along."""
    known = {spelling for spellings in WORDS.values() for spelling in spellings} | {"dereddened"}
    flat = [name for name in flat_columns(schema) if plain_name(name) in known]
    wanted = {*observation_columns(schema), *flat, *carry}
    return [name for name in schema.names if name in wanted]


def repeats(path: Path, column: str) -> bool:
    """Whether a name of an object occurs in several rows of a Parquet file."""
    from pandas.util import hash_array

    found = [np.empty(0, np.uint64)]
    with open_parquet(path, [column]) as file:
        for batch in file.iter_batches(MOST_OBJECTS, columns=[column]):
            named = batch.column(0).drop_null()
            found.append(hash_array(named.to_numpy(zero_copy_only=False), categorize=False))
    digests = np.concatenate(found)
    return len(np.unique(digests)) < len(digests)


def check_size(path: Path, memory: int, why: str = "a file of this format is read whole") -> None:
    """Raise DataError if a file that must be read whole would not fit into a worker's memory."""
    growth = _GROWTH_COMPRESSED if read_bytes(path, 8).startswith((*COMPRESSED, PARQUET_MAGIC)) else _GROWTH
    need = BASE_BYTES + growth * path.stat().st_size
    if need > memory:
        raise DataError(
            f"{path}: {why}, which needs about {need / 1e9:,.1f} GB; raise --memory, or convert it first "
            "(firstlight convert)"
        )


# --- private --------------------------------------------------------------------


def _part(source: Path, paths: list[Path]) -> Part:
    more = f"+{len(paths) - 1}" if len(paths) > 1 else ""
    n_bytes = sum(map(_size, paths))
    return Part(_output(f"{paths[0].relative_to(source)}{more}"), tuple(paths), n_bytes)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0  # a link may lead nowhere


def _distinct(parts: list[Part]) -> list[Part]:
    """The same partitions, with distinct outputs: a.pq and a.pq.parquet would share one."""
    taken: set[str] = set()
    made = []
    for part in parts:
        name = part.name
        while name in taken:
            name = name.removesuffix(".parquet") + "+.parquet"
        taken.add(name)
        made.append(replace(part, name=name))
    return made


def _output(name: str) -> str:
    return name if name.endswith(".parquet") else f"{name}.parquet"


def _observations(group: Any, lists: list[str]) -> int:
    """Largest number of values in a list column of a row group."""
    columns = (group.column(k) for k in range(group.num_columns))
    counts = [c.num_values for c in columns if any(c.path_in_schema.startswith(f"{name}.") for name in lists)]
    return max(counts, default=0)
