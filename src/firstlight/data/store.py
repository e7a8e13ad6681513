"""Our own file of light curves: zstd Parquet in nested layout, one row per object.

Labels have a file of their own (`firstlight.data.truth`). Foreign Parquet (of pandas,
nested-pandas, LSDB) is read too, if the columns are there.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS
from firstlight.data.parquet import open_parquet
from firstlight.errors import DataError
from firstlight.files import replacing
from firstlight.lightcurves import Intake, LightCurves, RejectLog
from firstlight.lightcurves.foreign.convert import is_ours, raw_from_arrow, wrap_arrow
from firstlight.lightcurves.foreign.raw import NEEDED
from firstlight.lightcurves.names import OBSERVATION_SPELLINGS, SURVEY, find_columns
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS

SCHEMA_VERSION = 1  # raise it when an older firstlight would misread a newer file
_MARK = b"firstlight_schema"

#: One row group of the training set's size keeps it zero-copy; the test set gets hundreds.
ROW_GROUP_OBJECTS = 16_384


def write_curves(
    curves: LightCurves | Iterable[LightCurves],
    path: str | Path,
    *,
    row_group_objects: int = ROW_GROUP_OBJECTS,
) -> int:
    """Write light curves to one file, whole or not at all.

    Parameters
    ----------
    curves : LightCurves or iterable of LightCurves
        An iterable is written part by part and never held at once.
    path : path
        The Parquet file.
    row_group_objects : int
        Objects per row group, the unit in which `iter_curves` reads. A row group ends with its
        part of an iterable.

    Returns
    -------
    int
        Number of objects written.

    Raises
    ------
    DataError
        If the file cannot be written, there is nothing to write, or parts differ in
        whether they are dereddened.
    """
    parts = iter([curves]) if isinstance(curves, LightCurves) else iter(curves)
    first = next(parts, None)
    if first is None:
        raise DataError(f"{path}: no light curves to write")
    schema = _marked(first).schema
    n_objects = 0
    with replacing(path) as partial, pq.ParquetWriter(partial, schema, **_encoding()) as writer:
        for part in chain([first], parts):
            if part.dereddened != first.dereddened:
                raise DataError(f"{path}: dereddened and raw light curves cannot share a file")
            writer.write_table(_marked(part), row_group_size=row_group_objects)
            n_objects += len(part)
    return n_objects


def read_curves(
    path: str | Path,
    *,
    rejects: RejectLog | None = None,
    zero_point: float | None = None,
    dereddened: bool | None = None,
) -> LightCurves:
    """Read a Parquet file of light curves whole; see `firstlight.data.read`.

    Foreign files have ``object_id``, ``mjd``, ``band`` (names or 0 to 5), ``flux`` and ``flux_err``
    as lists (one row per object), inside one nested column, or flat (one row per observation). Of the other
    columns only those of `firstlight.lightcurves.OBJECT_COLUMNS`, ``survey`` and ``detected`` are read. A
    file of ours with one row group becomes arrays without copying Arrow's buffers. Raises DataError also
    for a file that is newer than this firstlight, or contradicts `zero_point` or `dereddened`.
    """
    path = Path(path)
    with open_parquet(path) as file:
        ours = _is_ours(file.schema_arrow, path, zero_point, dereddened)
        table = file.read(columns=None if not ours else _columns_of(file))
    return _to_curves(table, path, ours, rejects, zero_point, dereddened)


def curves_of_table(
    table: pa.Table,
    name: str,
    *,
    rejects: RejectLog | None = None,
    zero_point: float | None = None,
    dereddened: bool | None = None,
) -> LightCurves:
    """Light curves of some rows of a file for `read_curves`; objects without observations stay.

    `name` stands for the file in messages.
    """
    ours = _is_ours(table.schema, Path(name), zero_point, dereddened)
    return _to_curves(table, Path(name), ours, rejects, zero_point, dereddened, part=True)


def iter_curves(path: str | Path) -> Iterator[LightCurves]:
    """Read a file of ours, or all ``curves*.parquet`` in a folder, one row group at a time.

    Raises DataError as `read_curves`, and if a folder has no such file.
    """
    path = Path(path)
    files = sorted(path.glob("curves*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: no curves*.parquet in this folder; write some with write_curves")
    for name in files:
        with open_parquet(name) as file:
            if not _is_ours(file.schema_arrow, name, None, None):
                raise DataError(f"{name}: not written by firstlight; read it whole with read_curves")
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=_columns_of(file))
                yield _to_curves(table, name, True, None, None, None)


def has_our_columns(schema: Any) -> bool:
    """Whether a Parquet file has the columns of `read_curves`, flat, as lists or in one nested column."""
    if not schema.names:
        return True  # damaged: its reader raises
    kinds = [field.type.value_type if pa.types.is_list(field.type) else field.type for field in schema]
    inner = [[field.name for field in kind] for kind in kinds if pa.types.is_struct(kind)]
    return any(
        set(NEEDED) <= set(find_columns([*schema.names, *names], OBSERVATION_SPELLINGS))
        for names in ([], *inner)
    )


def _encoding() -> dict[str, Any]:
    """Parquet settings that measured smallest and fastest on PLAsTiCC (12.5 MB; 50 ms to read)."""
    return {
        "compression": "zstd",
        "compression_level": 3,
        "use_dictionary": ["band.list.element", "detected.list.element"],
        "use_byte_stream_split": ["flux.list.element", "flux_err.list.element"],
    }


def _marked(curves: LightCurves) -> pa.Table:
    table = curves.to_arrow()
    mark = {_MARK: str(SCHEMA_VERSION).encode()}
    return table.replace_schema_metadata((table.schema.metadata or {}) | mark)


def _columns_of(file: Any) -> list[str]:
    known = {"object_id", *OBSERVATION_COLUMNS, *OBJECT_COLUMNS, SURVEY}
    return [name for name in file.schema_arrow.names if name in known]


def _is_ours(schema: Any, path: Path, zero_point: float | None, dereddened: bool | None) -> bool:
    """Whether firstlight wrote the file; raises where that contradicts the arguments."""
    metadata = schema.metadata or {}
    if _MARK not in metadata:
        return False
    version = metadata[_MARK].decode(errors="replace")
    if not version.isdecimal() or int(version) > SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema {version} of light-curve files is newer than this firstlight "
            f"(which knows {SCHEMA_VERSION}); update firstlight"
        )
    if metadata.get(b"bands") != "".join(BANDS).encode():
        raise DataError(f"{path}: its bands are {metadata.get(b'bands')!r}, not {''.join(BANDS)}")
    if zero_point is not None and zero_point != AB_ZERO_POINT_NJY:
        raise DataError(
            f"{path}: zero point {zero_point:g} given, but files of firstlight are in nJy "
            f"({AB_ZERO_POINT_NJY}); leave it out"
        )
    stated = metadata.get(b"dereddened") == b"true"
    if dereddened is not None and dereddened != stated:
        raise DataError(f"{path}: it states dereddened = {stated}, but {dereddened} was given; leave it out")
    return True


def _to_curves(
    table: pa.Table,
    path: Path,
    ours: bool,
    rejects: RejectLog | None,
    zero_point: float | None,
    dereddened: bool | None,
    part: bool = False,
) -> LightCurves:
    try:
        if ours and is_ours(table):
            return wrap_arrow(table)
    except DataError as error:
        if rejects is None:
            raise type(error)(f"{path}: {error}") from error
    intake = Intake(str(path), rejects)
    try:
        raw = raw_from_arrow(table, intake, zero_point=zero_point, dereddened=dereddened)
        if not ours and not part:
            intake.refuse_nothing(len(raw))
        return intake.read(raw, keep_empty=ours or part)
    except pa.ArrowException as error:
        raise DataError(f"{path}: a column has the wrong type ({str(error).splitlines()[0]})") from error
