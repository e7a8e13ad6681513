"""`HostTable`: candidates from a Parquet or CSV file, by name or by position."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight._types import AnyArray, FloatArray, IntArray, StrArray
from firstlight.data.delimited import Delimited, joined, read_header
from firstlight.data.parquet import PARQUET_MAGIC, parse_parquet
from firstlight.errors import DataError, MissingColumnError, SettingsError
from firstlight.hosts.candidates import Candidates
from firstlight.lightcurves.foreign.objects import known_values, unusual
from firstlight.lightcurves.foreign.values import names_of, numbers_of, untyped_ids
from firstlight.lightcurves.names import OBJECT_SPELLINGS, find_columns

#: Distance within which a row belongs to an object [arcsec]; positions of one object differ by less.
RADIUS_ARCSEC = 1.0
#: Largest number of candidates of one object; each of them costs one classification.
MOST_CANDIDATES = 16

_MOST_RADIUS = 600.0  # arcsec; a larger one would make every galaxy nearby a candidate
_LONGEST_NAME = 256  # bytes; names are stored at the length of the longest
_REDSHIFTS = ("redshift", "redshift_err", "redshift_spec")
_SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "object_id": ("object_id", "objectid", "diaobjectid"),
        **{name: OBJECT_SPELLINGS[name] for name in ("ra", "dec", *_REDSHIFTS)},
        "weight": ("weight",),
        "host_offset": ("host_offset",),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class HostTable:
    """Candidates of a file.

    Attributes
    ----------
    version : str
        First twelve digits of the file's sha256.
    radius : float
        Distance within which a row without the object's name belongs to it [arcsec].
    columns : mapping of str to float64 array, shape (n_rows,)
        Position, redshifts, weight and host offset of each row, NaN where unknown.
    names : bytes array, shape (n_named,)
        Names in ascending order, in UTF-8, and in `named` their rows, in the order of the file.
    placed : int64 array, shape (n_placed,)
        Rows with a position, by declination.
    """

    version: str
    radius: float
    columns: Mapping[str, FloatArray]
    names: NDArray[np.bytes_]
    named: IntArray
    placed: IntArray

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.columns["weight"])

    @classmethod
    def read(cls, path: str | Path, radius: float = RADIUS_ARCSEC) -> Self:
        """Read a table with one row per candidate, Parquet or CSV.

        Raises
        ------
        DataError
            If the file cannot be read or a value is no possible one; the message names the file and row.
        MissingColumnError
            If there is neither an object nor a position, or neither a redshift nor a host offset.
        SettingsError
            If the radius is not between 0 and 600 arcsec.
        """
        path = Path(path)
        if not 0.0 < radius <= _MOST_RADIUS:
            raise SettingsError(f"a cross-match radius of {radius:g} arcsec: choose 0 to {_MOST_RADIUS:g}")
        version, found = _read(path)
        values = _values(found, path)
        names = _names(found, path)
        placed = np.flatnonzero(np.isfinite(values["ra"]) & np.isfinite(values["dec"]))
        lost = np.flatnonzero((names == b"") & ~np.isin(np.arange(len(names)), placed))
        if len(lost):
            raise DataError(f"{path}, row {lost[0] + 1}: neither an object nor a position; give one of them")
        order = np.argsort(names, kind="stable")
        order = order[names[order] != b""]
        _refuse_many(names[order], path)
        placed = placed[np.argsort(values["dec"][placed], kind="stable")]
        return cls(version, radius, values, names[order], order, placed)

    def __call__(self, object_id: StrArray, ra: FloatArray, dec: FloatArray) -> Candidates:
        """See `HostLookup`: the rows with the object's name, or without any those within the radius."""
        wanted = np.char.encode(np.asarray(object_id, np.str_), "utf-8", "surrogatepass")
        low = np.searchsorted(self.names, wanted, "left")
        high = np.searchsorted(self.names, wanted, "right")
        at, owner = _ranges(low, high)
        rows = self.named[at]
        unnamed = np.flatnonzero((low == high) & np.isfinite(ra) & np.isfinite(dec))
        if len(unnamed) and len(self.placed):
            near, whose = self._near(ra[unnamed], dec[unnamed])
            owner, rows = np.append(owner, unnamed[whose]), np.append(rows, near)
            order = np.argsort(owner, kind="stable")
            owner, rows = owner[order], rows[order]
        column = {name: values[rows] for name, values in self.columns.items()}
        away = separation(column["ra"], column["dec"], ra[owner], dec[owner])
        return Candidates(
            owner=owner,
            weight=column["weight"],
            host_offset=np.where(np.isnan(column["host_offset"]), away, column["host_offset"]),
            **{name: column[name].astype(np.float32) for name in _REDSHIFTS},
        )

    def _near(self, ra: FloatArray, dec: FloatArray) -> tuple[IntArray, IntArray]:
        """Rows within the radius of positions, the nearest of each in the order of the file, and whose."""
        sorted_dec, reach = self.columns["dec"][self.placed], self.radius / 3600.0
        low = np.searchsorted(sorted_dec, dec - reach, "left")
        high = np.searchsorted(sorted_dec, dec + reach, "right")
        at, owner = _ranges(low, high)
        rows = self.placed[at]
        away = separation(self.columns["ra"][rows], self.columns["dec"][rows], ra[owner], dec[owner])
        inside = away <= self.radius
        rows, owner, away = rows[inside], owner[inside], away[inside]
        order = np.lexsort((rows, away, owner))
        first = np.searchsorted(owner[order], owner[order], "left")
        order = order[np.arange(len(order)) - first < MOST_CANDIDATES]
        order = order[np.lexsort((rows[order], owner[order]))]
        return rows[order], owner[order]


def separation(ra: FloatArray, dec: FloatArray, other_ra: FloatArray, other_dec: FloatArray) -> FloatArray:
    """Angle between positions [arcsec], which are in degrees; NaN where one is unknown.

    >>> separation(np.array([359.9999]), np.array([0.0]), np.array([0.0001]), np.array([0.0])).round(6)
    array([0.72])
    """
    one, other = np.radians(dec), np.radians(other_dec)
    across = np.sin(0.5 * np.radians(ra - other_ra)) ** 2 * np.cos(one) * np.cos(other)
    half = np.sqrt(np.sin(0.5 * (one - other)) ** 2 + across)
    return np.degrees(2.0 * np.arcsin(np.minimum(half, 1.0))) * 3600.0


def _ranges(low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
    """All positions in some ranges one after another, and the number of the range of each."""
    counts = high - low
    owner = np.repeat(np.arange(len(counts)), counts)
    return np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts - low, counts), owner


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Version of a file, and the columns of use by our names."""
    try:
        data = path.read_bytes()  # whole, so that a file that is overwritten meanwhile cannot end the process
    except OSError as error:
        raise DataError(f"cannot read the context {path}: {error.strerror or error}") from error
    version = hashlib.sha256(data).hexdigest()[:12]
    if data.startswith(PARQUET_MAGIC):
        table = parse_parquet(data, path, lambda header: list(_choose(header, path).values()))
        return version, {name: table[own] for name, own in _choose(table.column_names, path).items()}
    names = _choose(read_header(path), path)
    source = Delimited(path, {own: "text" if name == "object_id" else "mixed" for name, own in names.items()})
    batches = [batch for batch, _ in source.batches()]
    for damage in source.damage:
        place = f"{path}, row {damage.line}" if damage.line else str(path)
        raise DataError(f"{place}: {damage.reason}; correct the file")
    columns = {name: joined([b[own] for b in batches], source.columns[own]) for name, own in names.items()}
    if "object_id" in columns:
        columns["object_id"] = untyped_ids(columns["object_id"])
    return version, columns


def _choose(header: list[str], path: Path) -> dict[str, str]:
    """The file's columns by our names."""
    found = find_columns(header, _SPELLINGS)
    if not ("object_id" in found or {"ra", "dec"} <= set(found)):
        raise MissingColumnError(f"{path}: needs object_id, or ra and dec; its columns are {header}")
    if not {"redshift", "redshift_spec", "host_offset"} & set(found):
        raise MissingColumnError(
            f"{path}: needs redshift, redshift_spec or host_offset; its columns are {header}"
        )
    return found


def _values(found: Mapping[str, Any], path: Path) -> dict[str, FloatArray]:
    """Numbers of each row; DataError for one that cannot be right."""
    n = len(next(iter(found.values())))
    stated = {name: found[name] for name in ("ra", "dec", *_REDSHIFTS) if name in found}
    values = known_values(stated)
    if notes := unusual(stated, values):
        raise DataError(f"{path}: {notes[0].replace('is taken for unknown', 'is impossible')}; correct it")
    for name in ("ra", "dec", *_REDSHIFTS):
        values.setdefault(name, np.full(n, np.nan))
    offset = numbers_of(found["host_offset"]) if "host_offset" in found else np.full(n, np.nan)
    values["host_offset"] = np.where(offset >= 0.0, offset, np.nan)  # -9, -99 and the like are unknown
    weight = numbers_of(found["weight"]) if "weight" in found else np.ones(n)
    for name, column, good in (
        ("weight", weight, np.isfinite(weight) & (weight > 0.0)),
        ("host_offset", offset, np.isnan(offset) | np.isfinite(offset)),
    ):
        bad = np.flatnonzero(~good)
        if len(bad):
            raise DataError(
                f"{path}, row {bad[0] + 1}: {name} {column[bad[0]]:g}; it is finite"
                + (" and above 0, or the file has no such column" if name == "weight" else "")
            )
    return values | {"weight": weight}


def _names(found: Mapping[str, Any], path: Path) -> NDArray[np.bytes_]:
    """Names of the rows in UTF-8; empty where a row has none."""
    if "object_id" not in found:
        return np.zeros(len(next(iter(found.values()))), "S1")
    try:
        names = np.char.encode(names_of(found["object_id"]), "utf-8")
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if names.dtype.itemsize > _LONGEST_NAME:
        row = int(np.argmax(np.char.str_len(names)))
        raise DataError(f"{path}, row {row + 1}: an object_id of more than {_LONGEST_NAME} bytes")
    return names


def _refuse_many(names: AnyArray, path: Path) -> None:
    """Raise DataError if an object has more candidates than are classified."""
    beyond = np.flatnonzero(names[MOST_CANDIDATES:] == names[:-MOST_CANDIDATES])
    if len(beyond):
        name = names[beyond[0]].decode()
        raise DataError(
            f"{path}: object {name!r} has more than {MOST_CANDIDATES} candidates; keep the most probable ones"
        )
