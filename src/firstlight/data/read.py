"""Read light curves from a file of any known format, which its content tells."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from firstlight.bands import SNANA_ZERO_POINT
from firstlight.data.delimited import COMPRESSED, read_bytes, read_header
from firstlight.data.parquet import PARQUET_MAGIC
from firstlight.data.snpcc import is_snpcc, read_snpcc_curves
from firstlight.data.store import read_curves
from firstlight.data.text import is_light_curves, read_metadata, read_text
from firstlight.errors import DataError
from firstlight.lightcurves import Intake, LightCurves, RejectLog

_READABLE = "firstlight reads light-curve CSV (compressed or not) and Parquet"
#: Beginnings of files that people try, and what to do with them.
_FOREIGN = {
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"SIMPLE": "a FITS file; read it with astropy and use LightCurves.from_astropy",
    b"\x89HDF": "an HDF5 file; read it with pandas and use LightCurves.from_pandas",
}


def read(
    path: str | Path,
    metadata: str | Path | None = None,
    rejects: RejectLog | None = None,
    zero_point: float | None = None,
    dereddened: bool | None = None,
) -> LightCurves:
    """Read light curves from a file of any layout that firstlight knows.

    Parameters
    ----------
    path : path
        Light-curve CSV with PLAsTiCC's names or those of `LightCurves.from_pandas`, compressed or not;
        Parquet as for `read_curves`, or SNPCC's; or a folder with ``curves.parquet``, such as
        `fetch_plasticc` leaves.
    metadata : path, optional
        CSV of position, E(B-V) and host redshifts by object, with PLAsTiCC's names or ours; for SNPCC's
        Parquet, its own (see `firstlight.data.snpcc`).
    rejects : RejectLog, optional
        Takes bad rows and objects, each with its reason; the rest is read.
    zero_point : float, optional
        AB zero point of the fluxes [mag]; by default what the file states or its format implies: 27.5
        for PLAsTiCC and SNPCC, else nJy (31.4).
    dereddened : bool, optional
        Whether the fluxes are corrected for Milky Way dust. PLAsTiCC's are; firstlight's own Parquet
        records it; by default others are not.

    Returns
    -------
    LightCurves
        In the order of the file.

    Raises
    ------
    MissingColumnError, UnknownBandError, DataError
        If the file is none of these or cannot be read; without `rejects`, for the first bad
        row or object.
    """
    path = _file(Path(path))
    magic = _beginning(path)
    if magic.startswith(PARQUET_MAGIC):
        if is_snpcc(_column_names(path)):
            zero_point = SNANA_ZERO_POINT if zero_point is None else zero_point
            return read_snpcc_curves(path, metadata, rejects, zero_point, bool(dereddened))
        curves = read_curves(path, rejects=rejects, zero_point=zero_point, dereddened=dereddened)
        return curves if metadata is None else _describe(curves, Path(metadata), rejects)
    for start, what in _FOREIGN.items():
        if magic.startswith(start):
            raise DataError(f"{path}: this is {what}. {_READABLE}")
    if (
        not magic.startswith(COMPRESSED)
        and b"\0" in magic
        and not magic.startswith((b"\xff\xfe", b"\xfe\xff"))
    ):
        raise DataError(f"{path}: a binary file of unknown kind. {_READABLE}")
    header = read_header(path)
    if not is_light_curves(header):
        raise DataError(
            f"{path}: not a light-curve file (its header: {', '.join(header)[:200]}). {_READABLE}; "
            "other tables go through LightCurves.from_pandas"
        )
    return read_text(path, metadata, zero_point=zero_point, dereddened=dereddened, rejects=rejects)


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    inside = path / "curves.parquet"
    if not inside.exists():
        raise DataError(f"{path}: a folder without curves.parquet; name the light-curve file in it")
    return inside


def _beginning(path: Path) -> bytes:
    head = read_bytes(path, 512)
    if not head:
        raise DataError(f"{path}: the file is empty")
    return head


def _column_names(path: Path) -> list[str]:
    """Columns of a Parquet file; none where it is damaged, for which its reader raises."""
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return []


def _describe(curves: LightCurves, metadata: Path, rejects: RejectLog | None) -> LightCurves:
    """The same light curves with the object columns of a metadata file, where it knows them."""
    table = read_metadata(metadata, rejects)
    where = table.find(curves.object_id)
    absent = (where < 0) & ~np.isin(curves.object_id, table.refused)
    reason = "the object is not in the metadata file"
    Intake(str(metadata), rejects).refuse_objects(reason, curves.object_id[absent])
    curves = curves.take(where >= 0)
    where = where[where >= 0]
    known = {name: column[where] for name, column in table.columns.items()}
    return curves.with_columns(
        **{name: np.where(np.isnan(value), getattr(curves, name), value) for name, value in known.items()}
    )
