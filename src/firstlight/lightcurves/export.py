"""Light curves to tables of pandas, nested-pandas, Arrow and astropy; each states `dereddened`.

The ``to_*`` methods of `LightCurves` call these functions.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS
from firstlight.errors import missing_extra
from firstlight.lightcurves.names import DEREDDENED, SURVEY
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS

FLUX_UNIT = "flux_unit"  # attribute of the DataFrames: the unit of their fluxes


def to_arrow(columns: Mapping[str, Any], dereddened: bool) -> pa.Table:
    """See `LightCurves.to_arrow`."""
    table: dict[str, Any] = {"object_id": pa.array(columns["object_id"].tolist(), pa.string())}
    for name in OBJECT_COLUMNS:
        table[name] = pa.array(columns[name])
    table[SURVEY] = pa.array(columns[SURVEY].tolist(), pa.string())
    large = columns["offsets"][-1] > np.iinfo(np.int32).max
    for name in OBSERVATION_COLUMNS:
        flat = columns[name]
        flat = flat.view(np.uint8) if flat.dtype == np.bool_ else flat
        kind = pa.LargeListArray if large else pa.ListArray
        offsets = pa.array(columns["offsets"], pa.int64() if large else pa.int32())
        table[name] = kind.from_arrays(offsets, pa.array(flat))
    metadata = {DEREDDENED: str(dereddened).lower(), "bands": "".join(BANDS)}
    return pa.table(table).replace_schema_metadata(metadata)


def to_pandas(columns: Mapping[str, Any], dereddened: bool) -> tuple[Any, Any]:
    """See `LightCurves.to_pandas`."""
    import pandas as pd

    names = columns["object_id"]
    described = (*OBJECT_COLUMNS, SURVEY)
    objects = pd.DataFrame({"object_id": names} | {name: columns[name] for name in described})
    objects[DEREDDENED] = dereddened
    owner = np.repeat(np.arange(len(names)), np.diff(columns["offsets"]))
    rows = pd.DataFrame({"object_id": objects["object_id"].to_numpy()[owner]})
    for name in OBSERVATION_COLUMNS:
        rows[name] = columns[name]
    rows["band"] = np.array(BANDS)[columns["band"]]
    for frame in (rows, objects):
        frame.attrs |= {DEREDDENED: dereddened, FLUX_UNIT: "nJy"}
    return rows, objects


def to_nested(table: pa.Table, name: str) -> Any:
    """NestedFrame of the table that `to_arrow` gives, with observations in the column `name`."""
    try:
        from nested_pandas import NestedDtype, NestedFrame
    except ImportError as error:
        raise missing_extra("a NestedFrame", "nested-pandas", "nested") from error
    import pandas as pd

    dereddened = table.schema.metadata[DEREDDENED.encode()] == b"true"
    table = table.combine_chunks()
    fields = {column: table.column(column).combine_chunks() for column in OBSERVATION_COLUMNS}
    # users of nested-pandas select by letter and by flag
    readable = {
        "band": pa.array(BANDS).take(fields["band"].flatten()),
        "detected": fields["detected"].flatten().cast(pa.bool_()),
    }
    for column, values in readable.items():
        fields[column] = type(fields[column]).from_arrays(fields[column].offsets, values)
    struct = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    frame = NestedFrame(table.select(["object_id", *OBJECT_COLUMNS, SURVEY]).to_pandas())
    frame[DEREDDENED] = dereddened
    dtype = NestedDtype.from_pandas_arrow_dtype(pd.ArrowDtype(struct.type))
    frame[name] = pd.Series(struct, dtype=dtype)
    frame.attrs |= {DEREDDENED: dereddened, FLUX_UNIT: "nJy"}
    return frame


def to_astropy(columns: Mapping[str, Any], dereddened: bool) -> list[Any]:
    """See `LightCurves.to_astropy`."""
    from astropy.table import Table

    letters = np.array([f"lsst{name}" for name in BANDS])[columns["band"]]
    tables = []
    for i, (start, stop) in enumerate(zip(columns["offsets"][:-1], columns["offsets"][1:], strict=True)):
        one = slice(start, stop)
        meta: dict[str, Any] = {"object_id": str(columns["object_id"][i])}
        meta |= {name: float(columns[name][i]) for name in OBJECT_COLUMNS}
        meta["mwebv"] = meta.pop("ebv")
        meta |= {DEREDDENED: dereddened, SURVEY: str(columns[SURVEY][i])}
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
