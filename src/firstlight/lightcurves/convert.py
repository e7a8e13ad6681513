"""Tables of pandas, nested-pandas, Arrow and astropy to columns of light curves, and back.

The ``from_*`` and ``to_*`` methods of `LightCurves` call these functions. They return keyword
arguments of its constructor, which checks the values.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstlight._types import AnyArray, FloatArray, IntArray, StrArray
from firstlight.bands import AB_ZERO_POINT_NJY, BANDS, flux_to_njy, match_bands
from firstlight.constants import JD_MINUS_MJD
from firstlight.errors import DataError, MissingColumnError, UnknownBandError, missing_extra
from firstlight.lightcurves.rows import (
    OBJECT_COLUMNS,
    OBSERVATION_COLUMNS,
    REQUIRED_COLUMNS,
    ObservationRows,
    bands_from_arrow,
    names_of,
    require_columns,
)

#: Spellings of sncosmo's photometric columns, and of the metadata that tables carry.
_SNCOSMO: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "time": ("time", "date", "jd", "mjd", "mjdobs", "mjd_obs"),
        "band": ("band", "bandpass", "filter", "flt"),
        "flux": ("flux", "f"),
        "fluxerr": ("fluxerr", "flux_error", "fluxerror", "fe", "flux_err"),
        "zp": ("zp", "zpt", "zeropoint", "zero_point"),
        "zpsys": ("zpsys", "zpmagsys", "magsys"),
    }
)
_META: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ra": ("ra",),
        "dec": ("dec", "decl"),
        "ebv": ("mwebv", "ebv"),
        "redshift": ("redshift", "z"),
        "redshift_err": ("redshift_err", "z_err"),
        "redshift_spec": ("redshift_spec",),
    }
)


# --- Arrow ----------------------------------------------------------------------


def from_arrow(table: pa.Table) -> dict[str, Any]:
    """See `LightCurves.from_arrow`."""
    table = table.combine_chunks()
    needed = ("object_id", *REQUIRED_COLUMNS)
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise MissingColumnError(
            f"column(s) {missing} missing; a firstlight table has one row per object with "
            f"{', '.join(needed)} (the last four as lists)"
        )
    values: dict[str, Any] = {}
    if table.num_rows == 0:
        values = {name: np.empty(0) for name in REQUIRED_COLUMNS}
        return values | {"object_id": np.empty(0, "U1"), "offsets": np.zeros(1, np.int64)}
    offsets: IntArray | None = None
    for name, dtype in OBSERVATION_COLUMNS.items():
        if name not in table.column_names:
            continue
        lists = table.column(name).chunk(0)
        own = np.asarray(lists.offsets).astype(np.int64)
        if offsets is not None and not np.array_equal(own - own[0], offsets):
            raise DataError(f"column {name!r}: lists differ in length from those of 'mjd'")
        offsets = own - own[0]
        flat = np.asarray(lists.values)[own[0] : own[-1]]
        values[name] = flat.view(np.bool_) if dtype is np.bool_ and flat.itemsize == 1 else flat
    for name in OBJECT_COLUMNS:
        if name in table.column_names:
            values[name] = table.column(name).to_numpy()
    values["object_id"] = table.column("object_id").to_numpy().astype(np.str_)
    values["dereddened"] = (table.schema.metadata or {}).get(b"dereddened") == b"true"
    return values | {"offsets": offsets}


def to_arrow(columns: Mapping[str, Any], dereddened: bool) -> pa.Table:
    """See `LightCurves.to_arrow`."""
    table: dict[str, Any] = {"object_id": pa.array(columns["object_id"].tolist(), pa.string())}
    for name in OBJECT_COLUMNS:
        table[name] = pa.array(columns[name])
    large = columns["offsets"][-1] > np.iinfo(np.int32).max
    for name in OBSERVATION_COLUMNS:
        flat = columns[name]
        flat = flat.view(np.uint8) if flat.dtype == np.bool_ else flat
        kind = pa.LargeListArray if large else pa.ListArray
        offsets = pa.array(columns["offsets"], pa.int64() if large else pa.int32())
        table[name] = kind.from_arrays(offsets, pa.array(flat))
    metadata = {"dereddened": str(dereddened).lower(), "bands": "".join(BANDS)}
    return pa.table(table).replace_schema_metadata(metadata)


def rows_from_arrow(table: pa.Table) -> tuple[ObservationRows, dict[str, Any]]:
    """Long form of an Arrow table from any writer, without a check of its values.

    Parameters
    ----------
    table : pyarrow.Table
        One row per object: ``object_id`` and ``mjd``, ``band``, ``flux``, ``flux_err``
        (``detected``) as list columns, or the same inside one struct or list of structs;
        or one row per observation. Bands are indices 0 to 5 or names.

    Returns
    -------
    ObservationRows
        The observations; `place` is the row of the table. Unknown bands are -1 and
        missing numbers NaN.
    dict of str to float64 array
        The columns of `OBJECT_COLUMNS` that the table has.

    Raises
    ------
    MissingColumnError, DataError
        If a needed column is absent, or the lists of an object differ in length.
    """
    table = _unnest(table).combine_chunks()
    require_columns(table.column_names, ("object_id", *REQUIRED_COLUMNS), "the table")
    if not any(_is_list(table.schema.field(name).type) for name in REQUIRED_COLUMNS):
        return _rows_from_long(table)
    lists = {name: _one_chunk(table, name) for name in OBSERVATION_COLUMNS if name in table.column_names}
    not_lists = [name for name, column in lists.items() if not _is_list(column.type)]
    if not_lists:
        raise DataError(f"column(s) {not_lists} hold no lists; a nested table has one row per object")
    counts = _lengths(lists["mjd"])
    for name, column in lists.items():
        uneven = np.flatnonzero(_lengths(column) != counts)
        if len(uneven):
            raise DataError(f"row {uneven[0]}: column {name!r} differs in length from 'mjd'")
    flat = {name: column.flatten() for name, column in lists.items()}
    owner = np.repeat(np.arange(table.num_rows), counts)
    rows = _rows(names_of(_one_chunk(table, "object_id")), owner, owner, flat)
    present = [name for name in OBJECT_COLUMNS if name in table.column_names]
    return rows, {name: _floats(_one_chunk(table, name)) for name in present}


def _rows_from_long(table: pa.Table) -> tuple[ObservationRows, dict[str, Any]]:
    """Long form of a table with one row per observation; object columns are those of its first row."""
    name = _one_chunk(table, "object_id")
    code = name if pa.types.is_dictionary(name.type) else name.dictionary_encode()
    owner = np.asarray(code.indices.fill_null(-1)).astype(np.int64)
    columns = {name: _one_chunk(table, name) for name in OBSERVATION_COLUMNS if name in table.column_names}
    rows = _rows(names_of(code.dictionary), owner, np.arange(table.num_rows), columns).pruned()
    owners, first = np.unique(rows.owner, return_index=True)
    first = first[owners >= 0]
    present = [name for name in OBJECT_COLUMNS if name in table.column_names]
    return rows, {name: _floats(_one_chunk(table, name))[first] for name in present}


def _rows(names: StrArray, owner: IntArray, place: IntArray, columns: Mapping[str, Any]) -> ObservationRows:
    """Rows of flat Arrow arrays, one per observation."""
    return ObservationRows(
        names=names,
        owner=owner,
        mjd=_floats(columns["mjd"]),
        band=bands_from_arrow(columns["band"]),
        flux=_floats(columns["flux"]),
        flux_err=_floats(columns["flux_err"]),
        detected=_floats(columns["detected"]) > 0 if "detected" in columns else None,
        place=place,
    )


def _unnest(table: pa.Table) -> pa.Table:
    """Replace the struct column that holds the observations by its fields."""
    for name in table.column_names:
        kind = table.schema.field(name).type
        listed = _is_list(kind) and pa.types.is_struct(kind.value_type)
        fields = kind.value_type if listed else kind
        if not pa.types.is_struct(fields) or any(fields.get_field_index(n) < 0 for n in REQUIRED_COLUMNS):
            continue
        column = table.column(name).combine_chunks()
        column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        table = table.drop_columns([name])
        for field in OBSERVATION_COLUMNS:
            if fields.get_field_index(field) < 0:
                continue
            if listed:
                lengths = np.concatenate([[0], np.cumsum(_lengths(column))])
                inner = pc.struct_field(column.flatten(), field)
                value = pa.LargeListArray.from_arrays(pa.array(lengths, pa.int64()), inner)
            else:
                value = pc.struct_field(column, field)
            table = table.append_column(field, value)
        return table
    return table


def _is_list(kind: Any) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _lengths(lists: Any) -> IntArray:
    return np.asarray(pc.list_value_length(lists).fill_null(0)).astype(np.int64)


def _one_chunk(table: pa.Table, name: str) -> Any:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.array([], column.type)


def _floats(values: Any) -> FloatArray:
    return values.cast(pa.float64()).to_numpy(zero_copy_only=False)


# --- pandas -------------------------------------------------------------------


def from_pandas(rows: Any, objects: Any = None) -> dict[str, Any]:
    """See `LightCurves.from_pandas`."""
    require_columns(rows.columns, ("object_id", *REQUIRED_COLUMNS), "the table of observations")
    owner, names = rows["object_id"].factorize()
    values: dict[str, Any] = {}
    if objects is not None:
        require_columns(objects.columns, ("object_id",), "the table of objects")
        position = np.asarray(objects["object_id"].pipe(_index).get_indexer(names))
        if np.any(position < 0):
            absent = str(names[np.flatnonzero(position < 0)[0]])
            raise DataError(f"object {absent!r} has observations but no row in the table of objects")
        owner = np.where(owner >= 0, position[owner], -1) if len(names) else owner
        names = objects["object_id"]
        for name in OBJECT_COLUMNS:
            if name in objects.columns:
                values[name] = _numeric(objects, name)
    if np.any(owner < 0):
        raise DataError(f"row {int(np.flatnonzero(owner < 0)[0])}: the observation has no object_id")
    numbers = {name: _numeric(rows, name) for name in (*REQUIRED_COLUMNS[::2], "flux_err")}
    long = ObservationRows(
        names=names_of(names),
        owner=owner.astype(np.int64),
        mjd=numbers["mjd"],
        band=_bands_or_raise(pa.array(rows["band"].to_numpy(), from_pandas=True)),
        flux=numbers["flux"],
        flux_err=numbers["flux_err"],
        detected=rows["detected"].to_numpy(dtype=bool) if "detected" in rows.columns else None,
        place=np.arange(len(rows)),
    )
    return long.columns() | values


def to_pandas(columns: Mapping[str, Any]) -> tuple[Any, Any]:
    """See `LightCurves.to_pandas`."""
    import pandas as pd

    names = columns["object_id"]
    objects = pd.DataFrame({"object_id": names} | {name: columns[name] for name in OBJECT_COLUMNS})
    owner = np.repeat(np.arange(len(names)), np.diff(columns["offsets"]))
    rows = pd.DataFrame({"object_id": objects["object_id"].to_numpy()[owner]})
    for name in OBSERVATION_COLUMNS:
        rows[name] = columns[name]
    rows["band"] = np.array(BANDS)[columns["band"]]
    return rows, objects


# --- nested-pandas ------------------------------------------------------------


def from_nested(frame: Any, name: str) -> dict[str, Any]:
    """See `LightCurves.from_nested`."""
    if name not in frame.columns or not hasattr(frame[name].array, "struct_array"):
        nested = getattr(frame, "nested_columns", [])
        raise MissingColumnError(f"no nested column {name!r}; the frame's nested columns are {list(nested)}")
    flat = frame.reset_index() if "object_id" not in frame.columns else frame
    require_columns(flat.columns, ("object_id",), "the NestedFrame (column or index)")
    table: dict[str, Any] = {
        column: pa.array(flat[column].to_numpy(), from_pandas=True)
        for column in ("object_id", *OBJECT_COLUMNS)
        if column in flat.columns
    }
    table[name] = flat[name].array.struct_array
    rows, objects = rows_from_arrow(pa.table(table))
    return _refuse_unknown(rows).columns() | objects


def to_nested(table: pa.Table, name: str) -> Any:
    """NestedFrame of the table that `to_arrow` gives, with observations in the column `name`."""
    try:
        from nested_pandas import NestedDtype, NestedFrame
    except ImportError as error:
        raise missing_extra("a NestedFrame", "nested-pandas", "nested") from error
    import pandas as pd

    table = table.combine_chunks()
    fields = {column: table.column(column).combine_chunks() for column in OBSERVATION_COLUMNS}
    # users of nested-pandas select by letter and by flag, so that is what they get
    readable = {
        "band": pa.array(BANDS).take(fields["band"].flatten()),
        "detected": fields["detected"].flatten().cast(pa.bool_()),
    }
    for column, values in readable.items():
        fields[column] = type(fields[column]).from_arrays(fields[column].offsets, values)
    struct = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    frame = NestedFrame(table.select(["object_id", *OBJECT_COLUMNS]).to_pandas())
    dtype = NestedDtype.from_pandas_arrow_dtype(pd.ArrowDtype(struct.type))
    frame[name] = pd.Series(struct, dtype=dtype)
    return frame


# --- astropy ------------------------------------------------------------------


def from_astropy(tables: Iterable[Any]) -> dict[str, Any]:
    """See `LightCurves.from_astropy`."""
    tables = list(tables)
    names = [str(table.meta.get("object_id", i)) for i, table in enumerate(tables)]
    parts = [_photometry(table, name) for table, name in zip(tables, names, strict=True)]
    all_flagged = all(part["detected"] is not None for part in parts)

    def joined(column: str) -> AnyArray:
        return np.concatenate([part[column] for part in parts]) if parts else np.empty(0)

    objects: dict[str, Any] = {}
    for column, spellings in _META.items():
        found = [_first(table.meta, spellings) for table in tables]
        objects[column] = np.array([np.nan if value is None else float(value) for value in found])
    rows = ObservationRows(
        names=np.array(names, dtype=np.str_),
        owner=np.repeat(np.arange(len(parts)), [len(part["mjd"]) for part in parts]).astype(np.int64),
        mjd=joined("mjd"),
        band=joined("band").astype(np.int8),
        flux=joined("flux"),
        flux_err=joined("flux_err"),
        detected=joined("detected").astype(bool) if all_flagged and parts else None,
        place=np.arange(sum(len(part["mjd"]) for part in parts)),
    )
    return rows.columns() | objects


def to_astropy(columns: Mapping[str, Any]) -> list[Any]:
    """See `LightCurves.to_astropy`."""
    from astropy.table import Table

    letters = np.array([f"lsst{name}" for name in BANDS])[columns["band"]]
    tables = []
    for i, (start, stop) in enumerate(zip(columns["offsets"][:-1], columns["offsets"][1:], strict=True)):
        one = slice(start, stop)
        meta: dict[str, Any] = {"object_id": str(columns["object_id"][i])}
        meta |= {name: float(columns[name][i]) for name in OBJECT_COLUMNS}
        meta["mwebv"] = meta.pop("ebv")
        table = Table(
            {
                "time": columns["mjd"][one],
                "band": letters[one],
                "flux": columns["flux"][one],
                "fluxerr": columns["flux_err"][one],
                "zp": np.full(stop - start, AB_ZERO_POINT_NJY),
                "zpsys": np.full(stop - start, "ab"),
                "detected": columns["detected"][one],
            },
            meta=meta,
        )
        tables.append(table)
    return tables


def _photometry(table: Any, name: str) -> dict[str, Any]:
    """Time, band, flux and error [nJy] of one sncosmo-style table."""
    lower = {str(column).lower(): column for column in table.colnames}
    column = {key: _first(lower, spellings) for key, spellings in _SNCOSMO.items()}
    missing = [key for key, found in column.items() if found is None]
    if missing:
        raise MissingColumnError(
            f"object {name!r}: column(s) {missing} missing among {table.colnames}; a table has "
            f"{', '.join(_SNCOSMO)} as sncosmo spells them"
        )
    value = {key: np.asarray(table[found]) for key, found in column.items()}
    systems = sorted({str(system) for system in value["zpsys"] if str(system).lower() != "ab"})
    if systems:
        raise DataError(f"object {name!r}: zpsys {systems} is not 'ab'; convert the fluxes to AB first")
    mjd = value["time"].astype(np.float64)
    band = match_bands(str(band) for band in value["band"])
    if np.any(band < 0):
        unknown = sorted({str(value["band"][i]) for i in np.flatnonzero(band < 0)})
        raise UnknownBandError(f"object {name!r}: unknown band(s) {unknown}; known: {', '.join(BANDS)}")
    return {
        "mjd": mjd - JD_MINUS_MJD if str(column["time"]).lower() == "jd" else mjd,
        "band": band,
        "flux": flux_to_njy(value["flux"], value["zp"]),
        "flux_err": flux_to_njy(value["fluxerr"], value["zp"]),
        "detected": np.asarray(table["detected"]) if "detected" in table.colnames else None,
    }


# --- small parts --------------------------------------------------------------


def _first(mapping: Mapping[str, Any], spellings: Sequence[str]) -> Any:
    return next((mapping[name] for name in spellings if name in mapping), None)


def _numeric(frame: Any, name: str) -> FloatArray:
    """A DataFrame's column as numbers; DataError if it holds something else."""
    try:
        values: FloatArray = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise DataError(f"column {name!r} holds something that is no number: {error}") from error
    return values


def _index(values: Any) -> Any:
    import pandas as pd

    index = pd.Index(values)
    if not index.is_unique:
        twice = str(index[index.duplicated()][0])
        raise DataError(f"object {twice!r} has several rows in the table of objects; names are unique")
    return index


def _bands_or_raise(values: Any) -> NDArray[np.int8]:
    index = bands_from_arrow(values)
    if np.any(index < 0):
        unknown = sorted({str(values[i].as_py()) for i in np.flatnonzero(index < 0)[:100]})
        raise UnknownBandError(f"unknown band(s) {unknown}; known: {', '.join(BANDS)}, or 0 to 5")
    return index


def _refuse_unknown(rows: ObservationRows) -> ObservationRows:
    if np.any(rows.band < 0):
        where = int(np.flatnonzero(rows.band < 0)[0])
        name = str(rows.names[rows.owner[where]])
        raise UnknownBandError(f"object {name!r}: unknown band; known: {', '.join(BANDS)}, or 0 to 5")
    return rows
