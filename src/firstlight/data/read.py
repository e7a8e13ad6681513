"""Read light curves from a file of any known format, recognised by its content."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from firstlight._types import Progress, no_progress
from firstlight.bands import SNANA_ZERO_POINT
from firstlight.data.delimited import COMPRESSED, UTF_16, is_ipac, read_bytes, read_header, unpacked_head
from firstlight.data.formats import (
    ColumnNames,
    is_alert_file,
    object_column,
    read_foreign,
    read_foreign_table,
)
from firstlight.data.formats.containers import check_nested
from firstlight.data.formats.metadata import read_metadata
from firstlight.data.formats.reader import Foreign
from firstlight.data.parquet import PARQUET_FAULTS, PARQUET_MAGIC
from firstlight.data.snpcc import is_snpcc, read_snpcc_curves
from firstlight.data.store import curves_of_table, has_our_columns, read_curves
from firstlight.data.text import is_light_curves, read_text
from firstlight.errors import DataError
from firstlight.lightcurves import Intake, LightCurves, MetadataTable, RejectLog
from firstlight.lightcurves.foreign.raw import NEEDED
from firstlight.lightcurves.names import OBSERVATION_SPELLINGS, PLASTICC_MARKS, find_columns

_log = logging.getLogger(__name__)
_OWN_FORMATS = {
    "snpcc": "SNPCC's light curves (Parquet)",
    "text": "light curves with the column names of firstlight or PLAsTiCC (CSV)",
    "firstlight": "light curves with the column names of firstlight or PLAsTiCC (Parquet)",
}
_NOT_DELIMITED = (
    b"# %ECSV",
    b"{",
    b"[",
    b"<",
    b"SIMPLE",
    b"\x89HDF",
    b"Obj\x01",
)  # ECSV, JSON, XML, FITS, ...


def read(
    path: str | Path,
    metadata: str | Path | None = None,
    rejects: RejectLog | None = None,
    zero_point: float | None = None,
    dereddened: bool | None = None,
    *,
    format: str | None = None,
    columns: str | ColumnNames | None = None,
    report: Callable[[str], None] | None = None,
    progress: Progress = no_progress,
) -> LightCurves:
    """Read light curves from a file or folder of any format that firstlight knows.

    Parameters
    ----------
    path : path
        A file or folder; ``docs/reference/files.md`` lists the formats. Its content decides, not its name.
    metadata : path, optional
        Position, E(B-V) and host redshifts by object, any of them, in any container and with usual
        column names; positions also sexagesimal. For SNPCC's Parquet, its own (see `firstlight.data.snpcc`).
    rejects : RejectLog, optional
        Takes bad rows and objects, each with its reason; the rest is read.
    zero_point : float, optional
        AB zero point of the fluxes [mag]; by default as the file states or the format implies: 27.5
        for PLAsTiCC, SNPCC and SNANA, nJy (31.4) for tables that state none.
    dereddened : bool, optional
        Whether the fluxes of a foreign file are corrected for Milky Way dust. PLAsTiCC's
        are; firstlight's own Parquet records it.
    format : str, optional
        Name of a format of ``docs/reference/files.md`` instead of the recognised one.
    columns : str or ColumnNames, optional
        Column names of the file, such as ``mjd=obsmjd,flux=f``, or a TOML file that holds them.
    report : callable, optional
        Takes one sentence: format, columns and conventions. By default it is logged.
    progress : callable, optional
        Takes the name of the stage and the fraction done, while text or a folder is read.

    Returns
    -------
    LightCurves
        In the order of the file.

    Raises
    ------
    MissingColumnError, UnknownBandError, DataError, SettingsError
        If the format is unknown or the file cannot be read; without `rejects`, for the first bad
        row or object.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> table = pd.DataFrame({
    ...     "object_id": "a", "mjd": [60000.0, 60003.0], "band": ["g", "r"],
    ...     "flux": [900.0, 2000.0], "flux_err": 60.0,
    ... })
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.to_csv(Path(folder) / "mine.csv", index=False)
    ...     curves = read(Path(folder) / "mine.csv")
    >>> curves.object_id.tolist(), curves.n_obs.tolist()
    (['a'], [2])
    """
    report = report or _log.info
    path = _file(Path(path))
    names = ColumnNames.parse(columns) if isinstance(columns, str) else columns
    known = "" if format or names else _own_format(path)
    if known:
        report(f"{path}: {_OWN_FORMATS[known]}")
    if known == "snpcc":
        zero_point = SNANA_ZERO_POINT if zero_point is None else zero_point
        return read_snpcc_curves(path, metadata, rejects, zero_point, bool(dereddened))
    if known == "text":
        table = None if metadata is None else read_metadata(Path(metadata), rejects)
        return read_text(
            path, table, zero_point=zero_point, dereddened=dereddened, rejects=rejects, progress=progress
        )
    if known == "firstlight":
        parts = [
            read_curves(part, rejects=rejects, zero_point=zero_point, dereddened=dereddened)
            for part in (_parts(path) if path.is_dir() else [path])
        ]
        curves = parts[0] if len(parts) == 1 else LightCurves.concatenate(parts)
    else:
        foreign = _read_foreign(
            path, format, names, rejects, described=metadata is not None, progress=progress
        )
        if foreign.reading.photometry.doubt and zero_point is None:
            raise DataError(f"{path}: {foreign.reading.photometry.doubt}")
        curves = _light_curves(foreign, Intake(str(path), rejects), zero_point, dereddened)
        report(foreign.reading.sentence())
    return curves if metadata is None else _describe(curves, Path(metadata), names, rejects)


def read_table(
    table: pa.Table,
    name: str = "the table",
    rejects: RejectLog | None = None,
    zero_point: float | None = None,
    dereddened: bool | None = None,
    *,
    format: str | None = None,
    columns: str | ColumnNames | None = None,
) -> LightCurves:
    """Read light curves from an Arrow table with one row per object, in any format of columns.

    Parameters
    ----------
    table : pyarrow.Table
        Observations in lists, or in one nested column.
    name : str
        Name of the table in messages.
    rejects, zero_point, dereddened, format, columns
        As for `read`.

    Returns
    -------
    LightCurves
        In the order of the table. Objects without observations stay if the columns have our names.

    Raises
    ------
    MissingColumnError, UnknownBandError, DataError, SettingsError
        As for `read`.
    """
    check_nested(table.schema, name)
    names = ColumnNames.parse(columns) if isinstance(columns, str) else columns
    if not (format or names) and has_our_columns(table.schema):
        return curves_of_table(table, name, rejects=rejects, zero_point=zero_point, dereddened=dereddened)
    foreign = read_foreign_table(table, name, format=format, names=names)
    if foreign.reading.photometry.doubt and zero_point is None:
        raise DataError(f"{name}: {foreign.reading.photometry.doubt}")
    return _light_curves(foreign, Intake(name, rejects), zero_point, dereddened, part=True)


def object_column_of(
    table: pa.Table, name: str, *, format: str | None = None, columns: str | ColumnNames | None = None
) -> str:
    """The column of a table for `read_table` that names its objects; MissingColumnError if there is none."""
    names = ColumnNames.parse(columns) if isinstance(columns, str) else columns
    if not (format or names) and has_our_columns(table.schema):
        found = find_columns(table.column_names, {"object_id": OBSERVATION_SPELLINGS["object_id"]})
        if found:
            return found["object_id"]
    return object_column(table, name, format=format, names=names)


def _file(path: Path) -> Path:
    inside = path / "curves.parquet"
    return inside if path.is_dir() and inside.exists() else path


def _parts(folder: Path) -> list[Path]:
    """The entries of a folder, in order of name, without markers such as ``_SUCCESS``."""
    return sorted(one for one in folder.iterdir() if not one.name.startswith((".", "_")))


def _is_ours(path: Path) -> bool:
    """Whether a file is Parquet with our own mark."""
    if not path.is_file() or not _beginning(path).startswith(PARQUET_MAGIC):
        return False
    return b"bands" in (_schema(path).metadata or {})


def _own_format(path: Path) -> str:
    """The format of a file or folder that has a reader of its own; empty for all others."""
    if path.is_dir():
        parts = _parts(path)
        return "firstlight" if parts and all(map(_is_ours, parts)) else ""
    magic = _beginning(path)
    if magic.startswith(PARQUET_MAGIC):
        schema = _schema(path)
        if is_snpcc(schema.names):
            return "snpcc"
        return "firstlight" if has_our_columns(schema) else ""
    if magic.startswith(b"PK\x03\x04"):
        raise DataError(f"{path}: this is a zip archive; unpack it first")
    if magic.startswith(UTF_16):
        raise DataError(f"{path}: this is UTF-16 text; save it as UTF-8")
    head = unpacked_head(path) if magic.startswith(COMPRESSED) else magic
    if b"\0" in head or head.lstrip().startswith(_NOT_DELIMITED) or is_ipac(head):
        return ""
    try:
        header = read_header(path)
    except DataError:
        if magic.startswith(COMPRESSED) or magic.startswith(b"#"):
            return ""  # such as FITS in gzip, or ECSV
        raise
    found = find_columns(header, {name: OBSERVATION_SPELLINGS[name] for name in NEEDED})
    nearly = is_light_curves(header) and any(mark in header for mark in PLASTICC_MARKS)
    return "text" if len(found) == len(NEEDED) or nearly else ""


def _read_foreign(
    path: Path,
    format: str | None,
    names: ColumnNames | None,
    rejects: RejectLog | None,
    *,
    described: bool,
    progress: Progress,
) -> Foreign:
    if is_alert_file(path):
        raise DataError(
            f"{path}: these are alert packets; firstlight.stream.alerts.files.read_alerts reads them, as "
            "does every command"
        )
    damage: list[Any] = []
    foreign = read_foreign(
        path, format=format, names=names, damage=damage, described=described, progress=progress
    )
    intake = Intake(str(path), rejects)
    for one in damage:
        line = np.array([-1 if one.line is None else one.line])
        intake.refuse(one.reason, np.array([""]), line, hint="correct the line")
    return foreign


def _light_curves(
    foreign: Foreign,
    intake: Intake,
    zero_point: float | None,
    dereddened: bool | None,
    *,
    part: bool = False,
) -> LightCurves:
    """Light curves of foreign rows by the rule for rows of any source."""
    raw = foreign.raw
    if zero_point is not None and foreign.reading.photometry.converted:
        raise DataError(f"{intake.file}: its fluxes come from magnitudes; leave the zero point out")
    if zero_point is not None and not foreign.reading.photometry.converted:
        raw = replace(raw, zero_point=zero_point, implied=False)
    if dereddened is not None:
        raw = replace(raw, dereddened=dereddened)
    if not part:
        intake.refuse_nothing(len(raw) + len(foreign.left_out) + foreign.reading.photometry.n_limits)
    for reason, ids, places in foreign.left_out:
        intake.leave_out(reason, ids, places, np.full(len(ids), ""))
    return intake.read(raw)


def _describe(
    curves: LightCurves, metadata: Path, names: ColumnNames | None, rejects: RejectLog | None
) -> LightCurves:
    """The same light curves with the object columns of a metadata file, for the objects in the file."""
    return described(curves, read_metadata(metadata, rejects, names), str(metadata), rejects)


def described(
    curves: LightCurves, table: MetadataTable, name: str, rejects: RejectLog | None = None
) -> LightCurves:
    """The same light curves with the object columns of metadata, for the objects in them.

    Objects that the metadata lack are refused; `name` stands for the file in messages.
    """
    where = table.find(curves.object_id)
    absent = (where < 0) & ~np.isin(curves.object_id, table.refused)
    reason = "the object is not in the metadata file"
    Intake(name, rejects).refuse_objects(reason, curves.object_id[absent])
    curves = curves.take(where >= 0)
    where = where[where >= 0]
    known = {name: column[where] for name, column in table.columns.items()}
    return curves.with_columns(
        **{name: np.where(np.isnan(value), getattr(curves, name), value) for name, value in known.items()}
    )


def _beginning(path: Path) -> bytes:
    head = read_bytes(path, 512)
    if not head:
        raise DataError(f"{path}: the file is empty")
    return head


def _schema(path: Path) -> Any:
    """Schema of a Parquet file; an empty one where it is damaged, for which its reader raises."""
    try:
        return pq.read_schema(path)
    except PARQUET_FAULTS:
        return pa.schema([])
