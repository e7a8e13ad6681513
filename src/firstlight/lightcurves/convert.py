"""Tables of other libraries to columns and back: pandas, nested-pandas, astropy.

This is the seam under the ``from_*`` and ``to_*`` methods of `LightCurves` and under the
readers of ``firstlight.data``. It knows columns, not light curves: what it returns are
keyword arguments of the `LightCurves` constructor. Values are checked there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS, flux_to_njy, match_bands
from firstlight.constants import JD_MINUS_MJD
from firstlight.errors import DataError, MissingColumnError, MissingExtraError, UnknownBandError

__all__ = [
    "OBJECT_COLUMNS",
    "OBSERVATION_COLUMNS",
    "Rows",
    "from_astropy",
    "from_nested",
    "from_pandas",
    "rows_from_arrow",
    "to_astropy",
    "to_nested",
    "to_pandas",
]

#: Columns with one value an observation, and their storage types.
OBSERVATION_COLUMNS: dict[str, Any] = {
    "mjd": np.float64,
    "band": np.int8,
    "flux": np.float32,
    "flux_err": np.float32,
    "detected": np.bool_,
}
#: Columns with one value an object. This is the allow-list of law 2: nothing else of
#: a survey's metadata gets in.
OBJECT_COLUMNS: dict[str, Any] = {
    "ra": np.float64,
    "dec": np.float64,
    "ebv": np.float32,
    "redshift": np.float32,
    "redshift_err": np.float32,
    "redshift_spec": np.float32,
}
_NEEDED = ("mjd", "band", "flux", "flux_err")

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


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Observations in long form: one entry each, owned by position in `names`.

    Parameters
    ----------
    names : str array, shape (n_objects,)
        Names of the objects, unique.
    owner : int64 array, shape (n_rows,)
        Position of each observation's object in `names`; -1 where it has none.
    mjd, flux, flux_err : float64 arrays, shape (n_rows,)
        Time [MJD day], flux and error in the units of the source.
    band : int8 array, shape (n_rows,)
        Index into `firstlight.bands.BANDS`; -1 where the band is unknown.
    detected : bool array, shape (n_rows,), or None
        The survey's detection flag, where it has one.
    place : int64 array, shape (n_rows,)
        Where each observation stands in its source (the line of a file).
    """

    names: NDArray[np.str_]
    owner: NDArray[np.int64]
    mjd: NDArray[np.float64]
    band: NDArray[np.int8]
    flux: NDArray[np.float64]
    flux_err: NDArray[np.float64]
    detected: NDArray[np.bool_] | None
    place: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of observations."""
        return len(self.owner)

    def select(self, index: NDArray[Any] | slice) -> Self:
        """The observations at `index` (positions, mask or slice); all names stay."""
        columns = ("owner", "mjd", "band", "flux", "flux_err", "place")
        chosen: dict[str, Any] = {name: getattr(self, name)[index] for name in columns}
        detected = None if self.detected is None else self.detected[index]
        return replace(self, detected=detected, **chosen)

    def ordered(self) -> Self:
        """The same observations by object, then by time; ties keep the order of the source."""
        step = np.diff(self.owner)
        if np.all((step > 0) | ((step == 0) & (np.diff(self.mjd) >= 0))):
            return self
        return self.select(np.lexsort((self.mjd, self.owner)))

    def pruned(self) -> Self:
        """The same observations without the names that own none."""
        owns = np.zeros(len(self.names), dtype=bool)
        owns[self.owner[self.owner >= 0]] = True
        if owns.all():
            return self
        position = np.cumsum(owns) - 1
        owner = np.where(self.owner >= 0, np.append(position, -1)[self.owner], -1)
        return replace(self, names=self.names[owns], owner=owner)

    def columns(self) -> dict[str, Any]:
        """Keyword arguments of `LightCurves`, one object a name, in the order of `names`.

        Raises DataError where an object has two observations of one band at one time: which of
        them counts must not depend on the order of rows.
        """
        rows = self.ordered()
        by_band = rows.select(np.lexsort((rows.band, rows.mjd, rows.owner)))
        same = (np.diff(by_band.owner) == 0) & (np.diff(by_band.mjd) == 0) & (np.diff(by_band.band) == 0)
        if same.any():
            first = int(np.flatnonzero(same)[0])
            raise DataError(
                f"object {str(self.names[by_band.owner[first]])!r}: two observations in band "
                f"{BANDS[by_band.band[first]]} at MJD {by_band.mjd[first]}; keep one "
                f"({int(same.sum())} such repetition(s) in all)"
            )
        counts = np.bincount(rows.owner, minlength=len(self.names))
        values: dict[str, Any] = {name: getattr(rows, name) for name in _NEEDED}
        if rows.detected is not None:
            values["detected"] = rows.detected
        return {"object_id": self.names, "offsets": np.concatenate([[0], np.cumsum(counts)]), **values}


# --- pandas -------------------------------------------------------------------


def from_pandas(rows: Any, objects: Any = None) -> dict[str, Any]:
    """Columns of a long DataFrame and of one with a row an object; see `LightCurves.from_pandas`."""
    _require(rows.columns, ("object_id", *_NEEDED), "the table of observations")
    owner, names = rows["object_id"].factorize()
    values: dict[str, Any] = {}
    if objects is not None:
        _require(objects.columns, ("object_id",), "the table of objects")
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
    numbers = {name: _numeric(rows, name) for name in (*_NEEDED[::2], "flux_err")}
    long = Rows(
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
    """Long DataFrame of observations, and one with a row an object."""
    import pandas as pd

    names = columns["object_id"]
    objects = pd.DataFrame({"object_id": names} | {name: columns[name] for name in OBJECT_COLUMNS})
    owner = np.repeat(np.arange(len(names)), np.diff(columns["offsets"]))
    rows = pd.DataFrame({"object_id": objects["object_id"].to_numpy()[owner]})
    for name in OBSERVATION_COLUMNS:
        rows[name] = columns[name]
    rows["band"] = np.array(BANDS)[columns["band"]]
    return rows, objects


# --- nested-pandas and Arrow --------------------------------------------------


def from_nested(frame: Any, name: str) -> dict[str, Any]:
    """Columns of a NestedFrame whose column `name` holds the observations."""
    if name not in frame.columns or not hasattr(frame[name].array, "struct_array"):
        nested = getattr(frame, "nested_columns", [])
        raise MissingColumnError(f"no nested column {name!r}; the frame's nested columns are {list(nested)}")
    flat = frame.reset_index() if "object_id" not in frame.columns else frame
    _require(flat.columns, ("object_id",), "the NestedFrame (column or index)")
    table: dict[str, Any] = {
        column: pa.array(flat[column].to_numpy(), from_pandas=True)
        for column in ("object_id", *OBJECT_COLUMNS)
        if column in flat.columns
    }
    table[name] = flat[name].array.struct_array
    rows, objects = rows_from_arrow(pa.table(table))
    return _refuse_unknown(rows).columns() | objects


def to_nested(table: pa.Table, name: str) -> Any:
    """NestedFrame of a nested Arrow table, observations in the column `name`."""
    try:
        from nested_pandas import NestedDtype, NestedFrame
    except ImportError as error:
        raise MissingExtraError(
            "nested-pandas is not installed; install it with: pip install 'firstlight[nested]'"
        ) from error
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


def rows_from_arrow(table: pa.Table) -> tuple[Rows, dict[str, Any]]:
    """Long form of a nested Arrow table from any writer.

    Parameters
    ----------
    table : pyarrow.Table
        One row an object: ``object_id`` and ``mjd``, ``band``, ``flux``, ``flux_err``
        (``detected``) as list columns, or the same inside one struct or list of structs;
        or one row an observation. Bands are indices 0 to 5 or names.

    Returns
    -------
    Rows
        The observations; `place` is the row of the table. Unknown bands are -1 and
        missing numbers NaN: nothing is judged here.
    dict of str to float64 array
        The columns of `OBJECT_COLUMNS` that the table has.

    Raises
    ------
    MissingColumnError
        If a needed column is absent.
    DataError
        If the lists of an object differ in length.
    """
    table = _unnest(table).combine_chunks()
    _require(table.column_names, ("object_id", *_NEEDED), "the table")
    if not any(_is_list(table.schema.field(name).type) for name in _NEEDED):
        return _rows_from_long(table)
    lists = {name: _one_chunk(table, name) for name in OBSERVATION_COLUMNS if name in table.column_names}
    not_lists = [name for name, column in lists.items() if not _is_list(column.type)]
    if not_lists:
        raise DataError(f"column(s) {not_lists} hold no lists; a nested table has one row an object")
    counts = _lengths(lists["mjd"])
    for name, column in lists.items():
        uneven = np.flatnonzero(_lengths(column) != counts)
        if len(uneven):
            raise DataError(f"row {uneven[0]}: column {name!r} differs in length from 'mjd'")
    flat = {name: column.flatten() for name, column in lists.items()}
    owner = np.repeat(np.arange(table.num_rows), counts)
    rows = Rows(
        names=names_of(_one_chunk(table, "object_id")),
        owner=owner,
        mjd=_floats(flat["mjd"]),
        band=bands_from_arrow(flat["band"]),
        flux=_floats(flat["flux"]),
        flux_err=_floats(flat["flux_err"]),
        detected=_floats(flat["detected"]) > 0 if "detected" in flat else None,
        place=owner,
    )
    objects = {
        name: _floats(_one_chunk(table, name)) for name in OBJECT_COLUMNS if name in table.column_names
    }
    return rows, objects


def _rows_from_long(table: pa.Table) -> tuple[Rows, dict[str, Any]]:
    """Long form of a table with one row an observation; an object's columns are its first row's."""
    name = _one_chunk(table, "object_id")
    code = name if pa.types.is_dictionary(name.type) else name.dictionary_encode()
    owner = np.asarray(code.indices.fill_null(-1)).astype(np.int64)
    detected = "detected" in table.column_names
    rows = Rows(
        names=names_of(code.dictionary),
        owner=owner,
        mjd=_floats(_one_chunk(table, "mjd")),
        band=bands_from_arrow(_one_chunk(table, "band")),
        flux=_floats(_one_chunk(table, "flux")),
        flux_err=_floats(_one_chunk(table, "flux_err")),
        detected=_floats(_one_chunk(table, "detected")) > 0 if detected else None,
        place=np.arange(table.num_rows),
    ).pruned()
    owners, first = np.unique(rows.owner, return_index=True)
    first = first[owners >= 0]
    present = [name for name in OBJECT_COLUMNS if name in table.column_names]
    return rows, {name: _floats(_one_chunk(table, name))[first] for name in present}


def bands_from_arrow(values: Any) -> NDArray[np.int8]:
    """Band indices of an Arrow array of names, digits or integers; -1 where unknown."""
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    known = match_bands(str(value) for value in values.dictionary.to_pylist())
    return np.append(known, np.int8(-1))[np.asarray(values.indices.fill_null(len(known)))]


def names_of(values: Any) -> NDArray[np.str_]:
    """Object names as text; whole numbers lose nothing and gain no decimal point."""
    array = values if isinstance(values, pa.Array) else pa.array(np.asarray(values), from_pandas=True)
    if pa.types.is_floating(array.type):
        try:
            array = array.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise DataError(f"object names are no whole numbers ({error}); give them as text") from error
    return array.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False).astype(np.str_)


def _unnest(table: pa.Table) -> pa.Table:
    """Replace the struct column that holds the observations by its fields."""
    for name in table.column_names:
        kind = table.schema.field(name).type
        listed = _is_list(kind) and pa.types.is_struct(kind.value_type)
        fields = kind.value_type if listed else kind
        if not pa.types.is_struct(fields) or any(fields.get_field_index(n) < 0 for n in _NEEDED):
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


def _lengths(lists: Any) -> NDArray[np.int64]:
    return np.asarray(pc.list_value_length(lists).fill_null(0)).astype(np.int64)


def _one_chunk(table: pa.Table, name: str) -> Any:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.array([], column.type)


def _floats(values: Any) -> NDArray[np.float64]:
    return values.cast(pa.float64()).to_numpy(zero_copy_only=False)


# --- astropy ------------------------------------------------------------------


def from_astropy(tables: Iterable[Any]) -> dict[str, Any]:
    """Columns of sncosmo-style tables, one an object; see `LightCurves.from_astropy`."""
    tables = list(tables)
    names = [str(table.meta.get("object_id", i)) for i, table in enumerate(tables)]
    parts = [_photometry(table, name) for table, name in zip(tables, names, strict=True)]
    all_flagged = all(part["detected"] is not None for part in parts)

    def joined(column: str) -> NDArray[Any]:
        return np.concatenate([part[column] for part in parts]) if parts else np.empty(0)

    objects: dict[str, Any] = {}
    for column, spellings in _META.items():
        found = [_first(table.meta, spellings) for table in tables]
        objects[column] = np.array([np.nan if value is None else float(value) for value in found])
    rows = Rows(
        names=np.array(names, dtype=np.str_),
        owner=np.repeat(np.arange(len(parts)), [len(part["mjd"]) for part in parts]).astype(np.int64),
        mjd=joined("mjd"),
        band=joined("band").astype(np.int8),
        flux=joined("flux"),
        flux_err=joined("flux_err"),
        detected=joined("detected").astype(bool) if all_flagged and parts else None,
        place=np.empty(0, np.int64),
    )
    return _with_place(rows).columns() | objects


def to_astropy(columns: Mapping[str, Any]) -> list[Any]:
    """sncosmo-style tables, one an object, in nJy."""
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


def _numeric(frame: Any, name: str) -> NDArray[np.float64]:
    """A DataFrame's column as numbers; DataError if it holds something else."""
    try:
        values: NDArray[np.float64] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise DataError(f"column {name!r} holds something that is no number: {error}") from error
    return values


def _with_place(rows: Rows) -> Rows:
    return replace(rows, place=np.arange(len(rows)))


def _index(values: Any) -> Any:
    import pandas as pd

    index = pd.Index(values)
    if not index.is_unique:
        twice = str(index[index.duplicated()][0])
        raise DataError(f"object {twice!r} has several rows in the table of objects; names are unique")
    return index


def _require(present: Iterable[Any], needed: Sequence[str], where: str) -> None:
    present = [str(name) for name in present]
    missing = [name for name in needed if name not in present]
    if missing:
        raise MissingColumnError(f"{where} has no column(s) {missing}; it has {present}")


def _bands_or_raise(values: Any) -> NDArray[np.int8]:
    index = bands_from_arrow(values)
    if np.any(index < 0):
        unknown = sorted({str(values[i].as_py()) for i in np.flatnonzero(index < 0)[:100]})
        raise UnknownBandError(f"unknown band(s) {unknown}; known: {', '.join(BANDS)}, or 0 to 5")
    return index


def _refuse_unknown(rows: Rows) -> Rows:
    if np.any(rows.band < 0):
        where = int(np.flatnonzero(rows.band < 0)[0])
        name = str(rows.names[rows.owner[where]])
        raise UnknownBandError(f"object {name!r}: unknown band; known: {', '.join(BANDS)}, or 0 to 5")
    return rows
