"""Tables of pandas, nested-pandas, Arrow and astropy to light curves.

The ``from_*`` methods of `LightCurves` call these functions. Each names the columns of its container
and hands a `RawTable` to `firstlight.lightcurves.foreign.intake`, which checks and converts the values.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from firstlight._types import IntArray
from firstlight.bands import AB_ZERO_POINT_NJY, BANDS
from firstlight.errors import DataError, MissingColumnError
from firstlight.lightcurves.curves import DETECTION_SNR, LightCurves
from firstlight.lightcurves.export import FLUX_UNIT
from firstlight.lightcurves.foreign.intake import Intake
from firstlight.lightcurves.foreign.raw import NEEDED, RawTable, our_columns, plasticc_defaults, require
from firstlight.lightcurves.foreign.units import days_per_unit, unit_scale
from firstlight.lightcurves.foreign.values import as_arrow, decoded, is_text, numbers_of
from firstlight.lightcurves.names import (
    DEREDDENED,
    OBSERVATION_SPELLINGS,
    PER_OBJECT,
    SNCOSMO_SPELLINGS,
    SURVEY,
    find_columns,
    refuse_twice,
)
from firstlight.lightcurves.reject import RejectLog
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS, REQUIRED_COLUMNS

_TABLE = "the table"
_WITH_ID: Mapping[str, tuple[str, ...]] = {"object_id": ("object_id",)} | dict(PER_OBJECT)


# --- Arrow ----------------------------------------------------------------------


def from_arrow(
    table: pa.Table,
    zero_point: float | None = None,
    dereddened: bool | None = None,
    rejects: RejectLog | None = None,
) -> LightCurves:
    """See `LightCurves.from_arrow`."""
    if not isinstance(table, pa.Table):
        raise DataError(f"{_TABLE} is a {type(table).__name__}; give a pyarrow.Table")
    stated = in_njy(zero_point) and dereddened in (None, _states(table))
    if stated and is_ours(table):
        try:
            return wrap_arrow(table)
        except DataError:
            if rejects is None:
                raise
    intake = Intake(_TABLE, rejects)
    raw = raw_from_arrow(table, intake, zero_point=zero_point, dereddened=dereddened)
    return intake.read(raw, keep_empty=True)


def is_ours(table: pa.Table) -> bool:
    """Whether the table has the layout and types of `LightCurves.to_arrow`, and no null."""
    if (table.schema.metadata or {}).get(b"bands") != "".join(BANDS).encode():
        return False
    for name, dtype in OBSERVATION_COLUMNS.items():
        if name not in table.column_names or not _is_list(table.schema.field(name).type):
            return False
        kind = pa.uint8() if dtype is np.bool_ else pa.from_numpy_dtype(dtype)
        column = table.column(name)
        if column.type.value_type != kind or column.null_count:
            return False
        if any(chunk.values.null_count for chunk in column.chunks):
            return False
    return "object_id" in table.column_names and is_text(table.schema.field("object_id").type)


def wrap_arrow(table: pa.Table) -> LightCurves:
    """Light curves of a table for which `is_ours` is true, without a copy where it is one chunk."""
    table = table.combine_chunks()
    if table.num_rows == 0:
        return LightCurves.empty()
    values: dict[str, Any] = {}
    offsets: IntArray | None = None
    for name, dtype in OBSERVATION_COLUMNS.items():
        lists = table.column(name).chunk(0)
        own = np.asarray(lists.offsets).astype(np.int64)
        if offsets is not None and not np.array_equal(own - own[0], offsets):
            raise DataError(f"column {name!r}: lists differ in length from those of 'mjd'")
        offsets = own - own[0]
        flat = np.asarray(lists.values)[own[0] : own[-1]]
        values[name] = flat.view(np.bool_) if dtype is np.bool_ else flat
    for name in OBJECT_COLUMNS:
        if name in table.column_names:
            values[name] = table.column(name).to_numpy()
    if SURVEY in table.column_names and is_text(table.schema.field(SURVEY).type):
        values[SURVEY] = np.array(table.column(SURVEY).fill_null("").to_pylist(), dtype=np.str_)
    names: Any = table.column("object_id").to_numpy().astype(np.str_)
    return LightCurves(object_id=names, offsets=offsets, dereddened=_states(table) is True, **values)  # type: ignore[arg-type]


def raw_from_arrow(
    table: pa.Table, intake: Intake, *, zero_point: float | None = None, dereddened: bool | None = None
) -> RawTable:
    """The raw table of an Arrow table from any writer.

    Parameters
    ----------
    table : pyarrow.Table
        One row per object, with ``object_id`` and the columns of observations as lists, or inside one
        struct or list of structs; or one row per observation. Spellings are those of
        `firstlight.lightcurves.names`.
    intake : Intake
        The source; objects whose lists differ in length are refused there.
    zero_point, dereddened
        As given by the user; by default as the table implies.

    Raises
    ------
    MissingColumnError, DataError
        If a needed column is absent, or a nested table has needed columns without lists.
    """
    stated = _states(table)
    if stated is not None and dereddened not in (None, stated):
        raise DataError(
            f"{intake.file}: it states dereddened = {stated}, but {dereddened} was given; leave it out"
        )
    dereddened = stated if dereddened is None else dereddened
    if zero_point is None and b"bands" in (table.schema.metadata or {}):
        zero_point = AB_ZERO_POINT_NJY  # a table of ours, perhaps changed: it is in nJy
    refuse_twice(table.column_names, intake.file)
    table = _unnest(table)
    refuse_twice(table.column_names, intake.file)
    found = find_columns(table.column_names, dict(OBSERVATION_SPELLINGS) | dict(PER_OBJECT))
    require(found, table.column_names, OBSERVATION_SPELLINGS, intake.file)
    implied = plasticc_defaults(table.column_names, zero_point, dereddened, intake.file)
    columns = {name: as_arrow(table.column(theirs)) for name, theirs in found.items()}
    listed = [name for name, column in columns.items() if _is_list(column.type)]
    if not listed:
        return RawTable(columns, **implied)
    flat = [name for name in REQUIRED_COLUMNS if name not in listed]
    if flat:
        raise DataError(
            f"{intake.file}: column(s) {flat} hold no lists; a nested table has one row per object, and "
            "lists for the observations"
        )
    columns = _of_even_lists(columns, listed, intake)
    owner = np.repeat(np.arange(len(columns["object_id"])), _lengths(columns["mjd"]))
    rows = {name: columns[name].flatten() for name in listed}
    for name in columns.keys() & {"object_id", "zero_point", "unit", "system"} - set(listed):
        rows[name] = columns[name].take(pa.array(owner))
    objects = {name: columns[name] for name in columns.keys() & ({"object_id"} | PER_OBJECT.keys())}
    return RawTable(rows, objects, place=owner, object_place=np.arange(len(columns["object_id"])), **implied)


def _of_even_lists(columns: dict[str, Any], listed: Sequence[str], intake: Intake) -> dict[str, Any]:
    """The columns of the objects whose lists have the same length; the others are refused."""
    counts = _lengths(columns["mjd"])
    uneven = np.zeros(len(counts), dtype=bool)
    for name in listed:
        uneven |= _lengths(columns[name]) != counts
    if not uneven.any():
        return columns
    rows = np.flatnonzero(uneven)
    names = np.array([str(value) for value in columns["object_id"].take(pa.array(rows)).to_pylist()])
    intake.refuse("the lists of the object differ in length", names, rows)
    even = pa.array(~uneven)
    return {name: column.filter(even) for name, column in columns.items()}


def _states(table: pa.Table) -> bool | None:
    """Whether the schema's metadata state that the fluxes are corrected for dust; None if they do not say."""
    stated = (table.schema.metadata or {}).get(DEREDDENED.encode())
    return None if stated not in (b"true", b"false") else stated == b"true"


def in_njy(zero_point: float | None) -> bool:
    """Whether a zero point, if given, is that of nJy."""
    return zero_point in (None, AB_ZERO_POINT_NJY)


def _unnest(table: pa.Table) -> pa.Table:
    """Replace the struct column that holds the observations by its fields."""
    needed = [name for name in NEEDED if name != "object_id"]
    for name in table.column_names:
        kind = table.schema.field(name).type
        listed = _is_list(kind) and pa.types.is_struct(kind.value_type)
        fields = kind.value_type if listed else kind
        if not pa.types.is_struct(fields):
            continue
        inside = [field.name for field in fields]
        found = find_columns(inside, OBSERVATION_SPELLINGS)
        if any(our not in found for our in needed):
            continue
        column = as_arrow(table.column(name))
        table = table.drop_columns([name])
        for theirs in found.values():
            if listed:
                lengths = np.concatenate([[0], np.cumsum(_lengths(column))])
                inner = pc.struct_field(column.flatten(), theirs)
                value = pa.LargeListArray.from_arrays(pa.array(lengths, pa.int64()), inner)
            else:
                value = pc.struct_field(column, theirs)
            table = table.append_column(theirs, value)
        return table
    return table


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _lengths(lists: Any) -> IntArray:
    return np.asarray(pc.list_value_length(lists).fill_null(0)).astype(np.int64)


# --- pandas -------------------------------------------------------------------


def from_pandas(
    rows: Any,
    objects: Any = None,
    zero_point: float | None = None,
    dereddened: bool | None = None,
    rejects: RejectLog | None = None,
) -> LightCurves:
    """See `LightCurves.from_pandas`."""
    where = "the table of observations"
    intake = Intake(where, rejects)
    rows = _with_id_column(rows, where)
    columns = our_columns(rows, where=where)
    described = None
    if objects is not None:
        objects = _with_id_column(objects, "the table of objects")
        if "object_id" not in objects.columns:
            present = list(map(str, objects.columns))
            raise MissingColumnError(f"the table of objects has no column(s) ['object_id']; it has {present}")
        found = find_columns(objects.columns, _WITH_ID)
        described = {name: objects[theirs] for name, theirs in found.items()}
    zero_point, dereddened = _attributes((rows, objects), zero_point, dereddened)
    implied = plasticc_defaults(rows.columns, zero_point, dereddened, where)
    return intake.read(RawTable(columns, described, **implied), keep_empty=objects is not None)


def _with_id_column(frame: Any, where: str) -> Any:
    """The frame with its ids as a column; DataError if it is no DataFrame or has a column twice."""
    if not hasattr(frame, "columns") or not hasattr(frame, "reset_index"):
        raise DataError(f"{where} is a {type(frame).__name__}; give a pandas DataFrame")
    if "object_id" not in frame.columns and "object_id" in frame.index.names:
        frame = frame.reset_index()
    refuse_twice(frame.columns, where)
    return frame


def _attributes(
    frames: Iterable[Any], zero_point: float | None, dereddened: bool | None
) -> tuple[float | None, bool | None]:
    """Zero point and dust correction as given, else as the ``attrs`` of frames of ours state them."""
    for frame in frames:
        attrs = getattr(frame, "attrs", {})
        stated = attrs.get(DEREDDENED)
        if isinstance(stated, bool):
            if dereddened not in (None, stated):
                raise DataError(
                    f"the table states dereddened = {stated}, but {dereddened} was given; leave it out"
                )
            dereddened = stated
        if zero_point is None and attrs.get(FLUX_UNIT) == "nJy":
            zero_point = AB_ZERO_POINT_NJY
    return zero_point, dereddened


# --- nested-pandas ------------------------------------------------------------


def from_nested(
    frame: Any,
    name: str | None = None,
    zero_point: float | None = None,
    dereddened: bool | None = None,
    rejects: RejectLog | None = None,
) -> LightCurves:
    """See `LightCurves.from_nested`."""
    if not hasattr(frame, "columns"):
        raise DataError(f"the NestedFrame is a {type(frame).__name__}; give a nested_pandas.NestedFrame")
    if name is None:
        nested = list(getattr(frame, "nested_columns", ()))
        name = nested[0] if len(nested) == 1 else "lightcurve"
    if name not in frame.columns or not hasattr(getattr(frame[name], "array", None), "struct_array"):
        nested = getattr(frame, "nested_columns", [])
        raise MissingColumnError(f"no nested column {name!r}; the frame's nested columns are {list(nested)}")
    zero_point, dereddened = _attributes([frame], zero_point, dereddened)
    frame = _with_id_column(frame, "the NestedFrame")
    found = find_columns(frame.columns, _WITH_ID)
    if "object_id" not in found:
        raise MissingColumnError(
            f"the NestedFrame (column or index) has no column(s) ['object_id']; it has {list(frame.columns)}"
        )
    table: dict[str, Any] = {our: as_arrow(frame[theirs]) for our, theirs in found.items()}
    table[name] = frame[name].array.struct_array
    intake = Intake("the NestedFrame", rejects)
    raw = raw_from_arrow(pa.table(table), intake, zero_point=zero_point, dereddened=dereddened)
    return intake.read(raw, keep_empty=True)


# --- astropy ------------------------------------------------------------------


def from_astropy(
    tables: Any,
    zero_point: float | None = None,
    dereddened: bool | None = None,
    rejects: RejectLog | None = None,
) -> LightCurves:
    """See `LightCurves.from_astropy`."""
    tables = [tables] if not isinstance(tables, Iterable) or hasattr(tables, "colnames") else list(tables)
    foreign = next((type(table).__name__ for table in tables if not hasattr(table, "colnames")), None)
    if foreign is not None:
        raise DataError(f"one of the tables is a {foreign}; give astropy tables")
    if not tables:
        return LightCurves.empty()
    intake = Intake("the table" if len(tables) == 1 else "the tables", rejects)
    for scale in _time_scales(tables):
        intake.note(f"times are converted from {scale.upper()} to TAI")
    parts: list[dict[str, Any]] = []
    objects: dict[str, list[Any]] = {name: [] for name in ("object_id", *PER_OBJECT)}
    for number, table in enumerate(tables):
        part = _photometry(table, number, zero_point, intake)
        parts.append(part)
        if "object_id" in part:
            continue
        meta = {str(key).strip().lower(): value for key, value in table.meta.items()}
        found = find_columns(meta, _WITH_ID)
        name = _scalar(meta[found["object_id"]]) if "object_id" in found else str(number)
        part["object_id"] = pa.array([str(name)] * len(table), pa.string())
        objects["object_id"].append(str(name))
        for our in PER_OBJECT:
            objects[our].append(_scalar(meta[found[our]]) if our in found else None)
    _complete_flags(parts)
    lengths = [len(table) for table in tables]
    place = np.concatenate([np.arange(length) for length in lengths])
    described = {name: column for name, column in objects.items() if any(v is not None for v in column)}
    columns = {name: _stack([part.get(name) for part in parts], lengths) for name in _union(parts)}
    if len(objects["object_id"]) < len(tables):
        described = {}  # tables with ids of their own state values in columns
    header = [str(name) for table in tables for name in table.colnames]
    implied = plasticc_defaults(header, zero_point, dereddened, intake.file)
    raw = RawTable(columns, described or None, place=place, **implied)
    return intake.read(raw, keep_empty=True)


def _photometry(table: Any, number: int, zero_point: float | None, intake: Intake) -> dict[str, Any]:
    """The columns of one sncosmo-style table that firstlight knows, under our names."""
    found = find_columns(table.colnames, dict(SNCOSMO_SPELLINGS) | dict(PER_OBJECT))
    meta = {str(key).lower(): value for key, value in table.meta.items()}
    name = str(_scalar(meta.get("object_id", number)))
    plain = {our: _plain(table[theirs], our, intake) for our, theirs in found.items()}
    unit = _flux_unit(table, found)
    if unit:
        plain["unit"] = pa.array([unit] * len(table), pa.string()).dictionary_encode()
        error_unit = str(getattr(table[found["flux_err"]], "unit", None) or unit)
        if error_unit != unit:
            plain["flux_err"] = numbers_of(plain["flux_err"]) * (unit_scale(error_unit) / unit_scale(unit))
    needed = ["mjd", "band", "flux", "flux_err"]
    if not unit and zero_point is None and "passband" not in table.colnames:
        needed += ["zero_point", "system"]
    missing = [{"mjd": "time", "flux_err": "fluxerr", "zero_point": "zp", "system": "zpsys"}.get(our, our)
               for our in needed if our not in plain]  # fmt: skip
    if missing:
        raise MissingColumnError(
            f"object {name!r}: column(s) {missing} missing among {table.colnames}; a table has time, band, "
            "flux, fluxerr, zp and zpsys as sncosmo spells them, or fluxes with a unit"
        )
    return plain


def _time_scales(tables: Sequence[Any]) -> list[str]:
    """Scales of the astropy times in the tables, other than TAI."""
    columns = (table[name] for table in tables for name in table.colnames)
    return sorted({column.scale for column in columns if hasattr(column, "tai") and column.scale != "tai"})


def _flux_unit(table: Any, found: Mapping[str, str]) -> str:
    """Unit of the flux column; empty where it has none."""
    if "flux" not in found:
        return ""
    return str(getattr(table[found["flux"]], "unit", None) or "")


def _plain(column: Any, name: str, intake: Intake) -> Any:
    """A column of an astropy table as one that Arrow can read; times in MJD (TAI)."""
    if hasattr(column, "tai"):  # an astropy.time.Time
        column = column.tai.mjd
    elif name == "mjd" and hasattr(column, "to_value") and column.unit is not None:
        try:
            column = column.to("d")
        except ValueError as error:  # of astropy.units
            raise DataError(f"{intake.file}, column {name!r}: times in {column.unit}; give days") from error
    elif name == "mjd" and (scale := days_per_unit(str(getattr(column, "unit", None) or "d"))) not in (
        None,
        1.0,
    ):
        column = column * scale
    if hasattr(column, "unmasked"):
        values = getattr(column.unmasked, "value", column.unmasked)
        return np.ma.array(np.asarray(values), mask=column.mask)
    return column.value if hasattr(column, "to_value") else column


def _scalar(value: Any) -> Any:
    """A value of a table's header as a plain number or text; None where masked."""
    if value is np.ma.masked:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace").strip()
    value = getattr(value, "value", value)
    return value.item() if isinstance(value, np.generic) else value


def _union(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """All column names of the tables, in order of appearance."""
    return list(dict.fromkeys(name for part in parts for name in part))


def _complete_flags(parts: Sequence[dict[str, Any]]) -> None:
    """Give tables without detection flags the default ones, if others have some."""
    if any("detected" in part for part in parts):
        for part in parts:
            if "detected" not in part:
                flux, flux_err = numbers_of(part["flux"]), numbers_of(part["flux_err"])
                part["detected"] = np.abs(flux) > DETECTION_SNR * flux_err


def _stack(columns: Sequence[Any], lengths: Sequence[int]) -> Any:
    """The columns of several tables in one; nulls for a table that lacks it."""
    arrays = [None if column is None else decoded(as_arrow(column)) for column in columns]
    kinds = {array.type for array in arrays if array is not None}
    one = kinds.pop() if len(kinds) == 1 else None
    if one is None:
        one = pa.string() if any(is_text(kind) for kind in kinds) else pa.float64()
    return pa.concat_arrays(
        [
            pa.nulls(length, one) if array is None else array.cast(one)
            for array, length in zip(arrays, lengths, strict=True)
        ]
    )
