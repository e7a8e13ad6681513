"""Containers of tables to `Source`: text with delimiters or blanks, JSON, Parquet, FITS, ECSV, VOTable."""

import io
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from firstlight._types import IntArray, Progress, no_progress
from firstlight.data.delimited import Delimited, Kind, joined, read_dialect, unpacked
from firstlight.data.formats.source import (
    Source,
    columns_of_records,
    plain_name,
    source_of_columns,
)
from firstlight.data.parquet import parquet_errors, read_parquet
from firstlight.errors import DataError
from firstlight.lightcurves.names import OBSERVATION_SPELLINGS, PER_OBJECT, refuse_twice

#: Keys under which brokers and archives put lists of measurements in JSON.
_LISTS = (
    "detections", "non_detections", "candidates", "lightcurve", "diaSourcesList", "diaForcedSourcesList",
    "photometry",
)  # fmt: skip
#: Lists of forced photometry whose magnitudes have other names than those of the detections beside them.
_IGNORED_LISTS = ("forced_photometry", "forcedphot")
_HISTORIES = ("prvDiaSources", "prvDiaForcedSources", "prv_candidates", "fp_hists")  # of alert packets
_TIMES = frozenset({"mjd", "midpointmjdtai", "midpointtai", "time", "jd", "hmjd"})
_OBJECT_KEYS = ("objectId", "oid", "object_id", "diaObjectId", "name")
#: Values that an object can state beside its lists of measurements, in lower case.
_OBJECT_VALUES = (
    *(spelling for spellings in PER_OBJECT.values() for spelling in spellings),
    *(spelling for word in ("zero_point", "unit", "system") for spelling in OBSERVATION_SPELLINGS[word]),
)


def stem(path: Path) -> str:
    """The name of a file up to its first point."""
    return path.name.partition(".")[0]


# --- text -----------------------------------------------------------------------


def csv_source(path: Path, damage: "list[Any] | None" = None, progress: Progress = no_progress) -> Source:
    """A CSV file; lines that hold no row are added to `damage`."""
    dialect = read_dialect(path)

    def read(wanted: Mapping[str, Kind]) -> tuple[dict[str, Any], IntArray]:
        """The wanted columns, and the line of each row."""
        kinds: dict[str, Kind] = {
            name: "text" if dialect.has_date(name) else kind for name, kind in wanted.items()
        }
        source = Delimited(path, kinds, progress=progress)
        parts: dict[str, list[Any]] = {name: [] for name in wanted}
        lines = [np.empty(0, np.int64)]
        for batch, numbers in source.batches():
            lines.append(numbers)
            for name, values in batch.items():
                parts[name].append(values)
        if damage is not None:
            damage.extend(source.damage)
        return {name: joined(values, kinds[name]) for name, values in parts.items()}, np.concatenate(lines)

    return Source(path, "CSV", dialect.header, read, one_object=stem(path))


def blank_source(path: Path, data: bytes) -> Source:
    """Text in columns separated by blanks, with the header in the last comment line before the data.

    ATLAS' header begins with ``###``; that of ZTF's forced photometry is a comment with commas.
    """
    lines = data.decode("utf-8", errors="replace").splitlines()
    comments = [i for i, line in enumerate(lines) if line.startswith(("#", "\\", "|"))]
    start = next((i for i, line in enumerate(lines) if line.strip() and i not in set(comments)), len(lines))
    before = [line for line in lines[:start] if line.startswith("#")]
    if before:
        header = re.split(r"[,\s]+", before[-1].lstrip("# ").strip().strip(","))
    elif start < len(lines):
        header, start = lines[start].split(), start + 1
    else:
        raise DataError(f"{path}: no line with column names")
    rows = [(i + 1, lines[i].split()) for i in range(start, len(lines)) if lines[i].strip(" ,")]
    rows = [(number, words) for number, words in rows if not words[0].startswith("#")]
    uneven = [number for number, words in rows if len(words) != len(header)]
    if uneven:
        raise DataError(
            f"{path}, row {uneven[0]}: the line does not have the {len(header)} values of the header "
            f"({', '.join(header[:8])}, ...); {len(uneven)} such line(s)"
        )
    columns = {name: pa.array([words[k] for _, words in rows], pa.string()) for k, name in enumerate(header)}
    place = np.array([number for number, _ in rows], dtype=np.int64)
    return source_of_columns(path, "text", columns, place, one_object=stem(path))


def sncosmo_source(path: Path, data: bytes) -> Source:
    """The text that sncosmo's `write_lc` writes: lines ``@key value`` of the object, then a table."""
    lines = data.splitlines()
    stated = [line.decode("utf-8", errors="replace")[1:].split(None, 1) for line in lines if line[:1] == b"@"]
    meta = {pair[0].lower(): pair[1].strip() for pair in stated if len(pair) == 2}
    rest = b"\n".join(b"" if line[:1] == b"@" else line for line in lines)  # rows keep their numbers
    return replace(blank_source(path, rest), meta=meta, one_object=_stated_name(path, meta))


# --- JSON -----------------------------------------------------------------------


def json_source(path: Path, data: bytes) -> Source:
    """A list of records, columns, or one object with lists of measurements, as brokers give them."""
    return source_of_json(path, parse_json(path, data))


def parse_json(path: Path, data: bytes) -> Any:
    """The value of a JSON file, or the list of values of JSON lines."""
    text = data.decode("utf-8-sig", errors="replace")
    try:
        return _well_formed(json.loads(text), text)
    except (json.JSONDecodeError, RecursionError) as error:
        try:
            return _well_formed([json.loads(line) for line in text.splitlines() if line.strip()], text)
        except (json.JSONDecodeError, RecursionError):
            raise DataError(f"{path}: not readable as JSON ({error})") from error


def _well_formed(value: Any, text: str) -> Any:
    """The value of a JSON text with halves of surrogate pairs, which no encoding has, replaced."""
    if "\\ud" not in text and "\\uD" not in text:
        return value
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_well_formed(one, text) for one in value]
    if isinstance(value, dict):
        return {_well_formed(key, text): _well_formed(one, text) for key, one in value.items()}
    return value


def source_of_json(path: Path, value: Any) -> Source:
    """See `json_source`."""
    if isinstance(value, dict) and len(value) > 1 and all(isinstance(v, dict) and v for v in value.values()):
        labels = next(iter(value.values())).keys()  # pandas' to_json: columns of values by row label
        if all(v.keys() == labels for v in value.values()):
            value = {name: list(column.values()) for name, column in value.items()}
    if isinstance(value, list):
        records = [record for item in value for record in _records(item)]
    elif isinstance(value, dict) and value and all(isinstance(v, list) for v in value.values()):
        if set(value) <= set(_LISTS + _IGNORED_LISTS):
            records = _records(value)
        else:
            lengths = {len(v) for v in value.values()}
            if len(lengths) != 1:
                raise DataError(f"{path}: the columns of the JSON file differ in length")
            names = list(value)
            records = [dict(zip(names, row, strict=True)) for row in zip(*value.values(), strict=True)]
    elif isinstance(value, dict):
        records = _records(value) if value else []
    else:
        records = []
    if not records:
        raise DataError(f"{path}: this JSON file holds no list of measurements")
    if {"alert_id", "observations"} <= records[0].keys():
        raise DataError(
            f"{path}: these are alerts as JSON lines; firstlight stream --source {path.name} reads them"
        )
    items = value if isinstance(value, list) else [value]
    ignored = sorted(
        {key for item in items if isinstance(item, dict) for key in _IGNORED_LISTS if item.get(key)}
    )
    return source_of_columns(
        path,
        "JSON",
        columns_of_records(records),
        meta={"ignored": ", ".join(ignored)},
        one_object=stem(path),
    )


def _records(item: Any) -> list[Mapping[str, Any]]:
    """Measurements of one JSON value: itself, or those of its lists with the object's name and values."""
    if not isinstance(item, dict):
        return []
    lists = [item[key] for key in _LISTS if isinstance(item.get(key), list)]
    if not lists:
        return _unfolded(item)
    named = {key: item[key] for key in _OBJECT_KEYS if isinstance(item.get(key), str | int)}
    stated = {key: value for key, value in item.items() if plain_name(key) in _OBJECT_VALUES}
    own = named | {key: value for key, value in stated.items() if isinstance(value, str | int | float)}
    return [own | record for records in lists for record in records if isinstance(record, dict)]


def _unfolded(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The measurements of a record whose values are lists of equal length, beside values of the object."""
    columns = {key: value for key, value in item.items() if isinstance(value, list)}
    if not _TIMES.intersection(map(plain_name, columns)) or len({len(v) for v in columns.values()}) > 1:
        return [item]
    rest = {key: value for key, value in item.items() if key not in columns}
    return [rest | dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


# --- Parquet --------------------------------------------------------------------


def parquet_source(path: Path) -> Source:
    """A Parquet file with one row per observation, or with observations in lists or one nested column."""
    with parquet_errors(path):
        schema = pq.read_schema(path)
    refuse_twice(schema.names, str(path))

    def read(names: list[str]) -> pa.Table:
        return read_parquet(path, names)

    nested = nested_columns(schema)
    if nested:
        return _nested_source(path, "nested Parquet", schema, nested, read)

    def read_flat(wanted: Mapping[str, Kind]) -> tuple[dict[str, Any], IntArray]:
        table = read(list(wanted))
        return {name: table[name] for name in wanted}, np.arange(table.num_rows)

    return Source(path, "Parquet", tuple(schema.names), read_flat, one_object=stem(path))


def nested_table_source(name: Path, table: pa.Table) -> Source:
    """An Arrow table with one row per object; DataError if no column holds observations."""
    check_nested(table.schema, str(name))
    return _nested_source(name, "nested table", table.schema, nested_columns(table.schema), table.select)


def check_nested(schema: Any, name: str) -> None:
    """Raise DataError unless a table has one row per object, with observations in its columns."""
    if not nested_columns(schema):
        raise DataError(
            f"{name}: no column of lists and no nested column; give one row per object, with its observations"
        )


def is_list(kind: Any) -> bool:
    """Whether an Arrow type is a list."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def nested_columns(schema: Any) -> list[str]:
    """Columns that hold the observations of an object: lists, structs of lists or lists of structs."""
    found = []
    for field in schema:
        kind = field.type
        if is_list(kind) or _of_lists(kind):
            found.append(field.name)
    return found


def nested_columns_with_times(schema: Any) -> list[str]:
    """Nested columns whose fields include a time, except the histories of alert packets."""
    return [
        field.name
        for field in schema
        if field.name not in _HISTORIES
        and _times_in(field.type)
        and (is_list(field.type) or _of_lists(field.type))
    ]


def _of_lists(kind: Any) -> bool:
    return bool(pa.types.is_struct(kind) and kind.num_fields and all(is_list(field.type) for field in kind))


def observation_columns(schema: Any) -> list[str]:
    """The nested column whose observations are read, or else all columns of lists."""
    nested = nested_columns(schema)
    groups = [name for name in nested if _times_in(schema.field(name).type)]
    if not groups:
        return [name for name in nested if is_list(schema.field(name).type)]
    # Rubin: diaSource and diaObjectForcedSource; the forced ones are the fuller series
    return [name for name in groups if "forced" in name.lower()][:1] or groups[:1]


def flat_columns(schema: Any) -> list[str]:
    """Columns with one plain value per row."""
    nested = set(nested_columns(schema))
    return [n for n in schema.names if n not in nested and not pa.types.is_struct(schema.field(n).type)]


def _nested_source(
    path: Path, container: str, schema: Any, nested: list[str], read_columns: Callable[[list[str]], pa.Table]
) -> Source:
    """One row per object: the nested columns with times are flattened, the others repeated."""
    with parquet_errors(path):
        fields = observation_columns(schema)
        group = next((name for name in fields if _times_in(schema.field(name).type)), "")
        if group:
            fields = list(_fields(schema.field(group).type))
        flat = flat_columns(schema)
    names = tuple(dict.fromkeys([*fields, *flat]))

    def read(wanted: Mapping[str, Kind]) -> tuple[dict[str, Any], IntArray]:
        """Columns with one value per observation, and the row of each observation's object."""
        outer = [name for name in wanted if name not in fields]
        inner = [name for name in wanted if name in fields]
        table = read_columns([*outer, *([group] if group else inner)]).combine_chunks()
        lists = _lists(table, group, inner)
        counts = _counts(next(iter(lists.values())), table.num_rows)
        for name, column in lists.items():
            if not np.array_equal(_counts(column, table.num_rows), counts):
                raise DataError(f"{path}: column {name!r} differs in length from the others of its object")
        owner = np.repeat(np.arange(table.num_rows), counts)
        values: dict[str, Any] = {name: column.flatten() for name, column in lists.items()}
        values |= {name: table[name].take(pa.array(owner)) for name in outer}
        return values, owner

    return Source(path, container, names, read)


def _fields(kind: Any) -> tuple[str, ...]:
    inner = kind.value_type if is_list(kind) else kind
    return tuple(field.name for field in inner) if pa.types.is_struct(inner) else ()


def _times_in(kind: Any) -> bool:
    return bool(_TIMES.intersection(plain_name(name) for name in _fields(kind)))


def _one(column: Any) -> Any:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    return column


def _lists(table: Any, group: str, inner: list[str]) -> dict[str, Any]:
    """List arrays of the fields of a nested column, or of list columns."""
    import pyarrow.compute as pc

    if not group:
        return {name: _one(table[name]) for name in inner}
    column = _one(table[group])
    if is_list(column.type):
        structs = column.flatten()
        offsets = np.concatenate([[0], np.cumsum(_counts(column, len(column)))])
        return {
            name: pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pc.struct_field(structs, name))
            for name in inner
        }
    return {name: pc.struct_field(column, name) for name in inner}


def _counts(lists: Any, n: int) -> IntArray:
    import pyarrow.compute as pc

    return np.asarray(pc.list_value_length(lists).fill_null(0)).astype(np.int64)


# --- astropy --------------------------------------------------------------------


@contextmanager
def open_fits(path: Path) -> Iterator[Any]:
    """The parts of a FITS file, plain or compressed; DataError if they cannot be used."""
    from astropy.io import fits

    data = unpacked(path)
    try:
        with quiet(), fits.open(io.BytesIO(data)) as hdus:
            yield hdus
    except DataError:
        raise
    except Exception as error:  # astropy raises whatever its parsers do
        raise DataError(f"{path}: cannot be read as FITS ({first_line(error)})") from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def fits_source(path: Path) -> Source:
    """The table of light curves of a FITS file, or several with the same columns; others are reported."""
    from astropy.io import fits

    with open_fits(path) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if not tables:
            raise DataError(f"{path}: this FITS file holds no table")
        timed = [hdu for hdu in tables if _TIMES.intersection(map(plain_name, hdu.columns.names))]
        first = (timed or tables)[0]
        alike = [hdu for hdu in tables if _kinds(hdu) == _kinds(first)]
        if len(alike) > 1 and not _names_objects(first):
            raise DataError(
                f"{path}: its {len(alike)} tables have no column of object names; add one, or write a file "
                "per object"
            )
        parts = [fits_columns(hdu) for hdu in alike]
        columns = parts[0] if len(parts) == 1 else {n: _stacked([p[n] for p in parts]) for n in parts[0]}
        meta = {str(key).lower(): value for key, value in first.header.items()}
        meta = {str(key).lower(): value for key, value in hdus[0].header.items()} | meta
        ignored = [f"table {hdu.name or hdus.index(hdu)}" for hdu in tables if hdu not in alike]
        several = [one.name for one in first.columns if one.name not in columns]
        units = {one.name: one.unit for one in first.columns if one.unit}
    meta |= {"units": units, "ignored": ", ".join(ignored), "several": several}
    return source_of_columns(path, "FITS", columns, meta=meta, one_object=_stated_name(path, meta))


def _stacked(parts: list[Any]) -> Any:
    return np.ma.concatenate(parts)  # type: ignore[no-untyped-call]


def _kinds(hdu: Any) -> dict[str, str | None]:
    """Columns of a FITS table and their units."""
    return {one.name: one.unit for one in hdu.columns}


def _names_objects(hdu: Any) -> bool:
    return bool({name.lower() for name in _OBJECT_KEYS}.intersection(map(plain_name, hdu.columns.names)))


def fits_columns(hdu: Any, names: "list[str] | None" = None) -> dict[str, Any]:
    """Columns of a FITS table with one value per row: native, texts decoded, TNULL masked."""
    columns = {}
    for name in names or hdu.columns.names:
        values = np.asarray(hdu.data[name])
        if values.ndim != 1:
            continue
        if values.dtype.kind in "SU":
            columns[name] = np.char.strip(values.astype(np.str_))
        else:
            columns[name] = values.astype(values.dtype.newbyteorder("="))
            null = hdu.columns[name].null
            if values.dtype.kind in "iu" and isinstance(null, int):
                columns[name] = np.ma.masked_equal(columns[name], null)
    return columns


def astropy_source(path: Path, format: str, container: str) -> Source:
    """A table that astropy reads: ECSV, VOTable, IPAC."""
    from astropy.table import Table

    data = unpacked(path)
    try:
        with quiet():
            table = Table.read(io.BytesIO(data), format=format)
    except Exception as error:  # astropy raises whatever its parsers do
        raise DataError(f"{path}: cannot be read as {container} ({first_line(error)})") from error
    columns = {}
    for name in table.colnames:
        column = table[name]
        if hasattr(column, "jd"):  # a Time column
            columns[name] = np.asarray(column.tai.mjd)
        elif column.ndim == 1:
            columns[name] = column.value if hasattr(column, "value") else np.asarray(column)
    meta = {str(key).lower(): value for key, value in table.meta.items()}
    units = {name: str(table[name].unit) for name in table.colnames if getattr(table[name], "unit", None)}
    return source_of_columns(
        path, container, columns, meta=meta | {"units": units}, one_object=_stated_name(path, meta)
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Without astropy's warnings of units and headers that it does not know."""
    from astropy.utils.exceptions import AstropyWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        yield


def _stated_name(path: Path, meta: Mapping[str, Any]) -> str:
    for key in ("object_id", "snid", "name", "sn", "object"):
        if isinstance(meta.get(key), str | int):
            return str(meta[key])
    return stem(path)
