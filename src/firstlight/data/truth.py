"""Labels, in a table of their own: the only place where the class of an object is read.

Light curves and labels meet in the component that learns or scores, never in a file.
"""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike

from firstlight._types import BoolArray, StrArray
from firstlight.data.delimited import Delimited, choose, read_bytes, read_header, require
from firstlight.data.parquet import PARQUET_MAGIC, parquet_errors, read_parquet
from firstlight.errors import DataError, MissingColumnError
from firstlight.files import replacing
from firstlight.lightcurves.foreign.values import NO_VALUE, as_arrow, names_of, untyped_ids
from firstlight.taxonomy import Taxonomy, from_plasticc

#: Spellings of the label column, the surest first: Zenodo's test set has both targets.
_SPELLINGS = ("true_target", "target", "label", "class")
_SOURCE = "source"  # the column of where an object is from


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The class of each object.

    Parameters
    ----------
    object_id : str array, shape (n_objects,)
        Names, unique.
    label : str array, shape (n_objects,)
        Class names, in any spelling; `Taxonomy.match` finds the classes.

    Raises
    ------
    DataError
        If lengths differ or an object occurs twice.

    Examples
    --------
    >>> truth = Truth(["615", "713"], ["RRL", "AGN"])
    >>> truth.labels_of(["713"]).tolist()
    ['AGN']
    """

    object_id: StrArray
    label: StrArray

    def __post_init__(self) -> None:
        for name in ("object_id", "label"):
            value = np.asarray(getattr(self, name), dtype=np.str_).view()
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if self.object_id.shape != self.label.shape or self.object_id.ndim != 1:
            raise DataError(f"{len(self.object_id)} objects but {len(self.label)} labels")
        names, counts = np.unique(self.object_id, return_counts=True)
        if len(names) != len(self.object_id):
            raise DataError(f"object {str(names[counts > 1][0])!r} has several labels; names are unique")

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.object_id)

    def labels_of(self, object_ids: ArrayLike) -> StrArray:
        """Labels of the given objects, in their order, shape (n,).

        A repeated name repeats its label. Raises DataError if an object has no label; the message names
        the first few.
        """
        wanted = np.asarray(object_ids, dtype=np.str_)
        order = np.argsort(self.object_id)
        names = np.append(self.object_id[order], "")  # a last place for names beyond all of these
        where = np.searchsorted(names[:-1], wanted)
        missing = wanted[(names[where] != wanted) | (where == len(order))]
        if len(missing):
            shown = ", ".join(missing[:5].tolist()) + (", ..." if len(missing) > 5 else "")
            raise DataError(f"{len(missing)} object(s) without a label: {shown}; the truth has {len(self)}")
        return self.label[order][where]

    def has(self, object_ids: ArrayLike) -> BoolArray:
        """Whether each of the given objects has a label, shape (n,)."""
        return np.isin(np.asarray(object_ids, dtype=np.str_), self.object_id)

    @classmethod
    def read(cls, path: str | Path, taxonomy: Taxonomy | None = None) -> Self:
        """Read labels from CSV (gzipped or not) or Parquet.

        The columns are ``object_id`` and one of ``true_target``, ``target``, ``label`` or ``class``, as
        PLAsTiCC codes or class names: a PLAsTiCC metadata file, or one of `write`. Rows without a label are
        left out, and a label that is repeated counts one time. Numbers that the taxonomy names are no codes
        of PLAsTiCC. Raises MissingColumnError, UnknownClassError or DataError, naming the file.
        """
        path = Path(path)
        object_id, label = _read(path, _SPELLINGS)
        own = set() if taxonomy is None else {*taxonomy.classes, *taxonomy.aliases}
        missing = [text for text in np.unique(label).tolist() if text.lower() in NO_VALUE and text not in own]
        labelled = ~np.isin(label, missing)
        object_id, label = object_id[labelled], label[labelled]
        try:
            return cls(*_one_each(object_id, _class_names(label, own)))
        except DataError as error:
            raise type(error)(f"{path}: {error}") from error

    def write(self, path: str | Path) -> None:
        """Write ``object_id`` and ``label`` as CSV or zstd Parquet, by the name's ending.

        Raises DataError for another ending, or if the file cannot be written.
        """
        path = Path(path)
        columns = {"object_id": self.object_id.tolist(), "label": self.label.tolist()}
        table = pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns]))
        if path.suffix not in (".csv", ".parquet"):
            raise DataError(f"{path}: labels are written as .csv or .parquet")
        with replacing(path) as partial:
            if path.suffix == ".csv":
                table.to_pandas().to_csv(partial, index=False)
            else:
                pq.write_table(table, partial, compression="zstd")


def read_sources(path: str | Path, object_ids: ArrayLike) -> StrArray | None:
    """The survey or catalogue that each object is from, by a column ``source`` of a file of labels.

    None if the file has no such column. Raises DataError as `Truth.read` does, and if the column is empty for
    one of the objects or names two sources of it.
    """
    path = Path(path)
    if _SOURCE not in _names(path):
        return None
    object_id, source = _read(path, (_SOURCE,))
    stated = ~np.isin(np.char.lower(source), list(NO_VALUE))
    try:
        found = dict(zip(*_one_each(object_id[stated], source[stated], "source"), strict=True))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    names = np.asarray(object_ids, dtype=np.str_).tolist()
    lacking = [name for name in names if name not in found]
    if lacking:
        raise DataError(
            f"{path}: no source of {len(lacking):,} of {len(names):,} object(s), the first {lacking[0]!r}; "
            "name one for each, or leave the column out"
        )
    return np.array([found[name] for name in names], dtype=np.str_)


def _is_parquet(path: Path) -> bool:
    return read_bytes(path, 4) == PARQUET_MAGIC


def _names(path: Path) -> list[str]:
    """Columns of a file of labels."""
    if not _is_parquet(path):
        return list(read_header(path))
    with parquet_errors(path):
        return list(pq.read_schema(path).names)


def _read(path: Path, spellings: tuple[str, ...]) -> tuple[StrArray, StrArray]:
    """Names of objects, and the first column that is there, as text."""
    return (_read_parquet if _is_parquet(path) else _read_csv)(path, spellings)


def _read_csv(path: Path, spellings: tuple[str, ...]) -> tuple[StrArray, StrArray]:
    found = choose(read_header(path), {"object_id": ("object_id",), "label": spellings})
    require(found, {"object_id": ("object_id",), "label": spellings}, path)
    source = Delimited(path, {name: "text" for name in found.values()})
    columns: dict[str, list[Any]] = {name: [pa.array([], pa.string())] for name in found}
    for batch, _ in source.batches():
        for name, part in columns.items():
            part.append(batch[found[name]].dictionary_decode())
    for damage in source.damage:
        place = f"{path}, row {damage.line}" if damage.line else str(path)
        raise DataError(f"{place}: {damage.reason}; labels must be whole, correct the file")
    object_id, label = (as_arrow(pa.chunked_array(columns[name])) for name in ("object_id", "label"))
    return names_of(untyped_ids(object_id)), names_of(label)


def _read_parquet(path: Path, spellings: tuple[str, ...]) -> tuple[StrArray, StrArray]:
    with parquet_errors(path):
        names = pq.read_schema(path).names
        label = next((name for name in spellings if name in names), None)
        if label is None or "object_id" not in names:
            raise MissingColumnError(
                f"{path}: needs object_id and {' or '.join(spellings)}; its columns are {', '.join(names)}"
            )
        table = read_parquet(path, ["object_id", label])
    object_id, labels = (names_of(table[name]) for name in ("object_id", label))
    return object_id, labels


def _one_each(object_id: StrArray, label: StrArray, what: str = "class") -> tuple[StrArray, StrArray]:
    """Each object one time; DataError if a label names no object, or the labels of an object differ."""
    if (object_id == "").any():
        number, first = int((object_id == "").sum()), label[object_id == ""][0]
        raise DataError(f"{number:,} label(s) without an object, the first {str(first)!r}; correct the file")
    _, first, row = np.unique(object_id, return_index=True, return_inverse=True)
    differ = np.flatnonzero(label[first][row] != label)
    if len(differ):
        name, other = str(object_id[differ[0]]), str(label[differ[0]])
        raise DataError(
            f"object {name!r} is {str(label[first][row][differ[0]])!r} and {other!r}; an object has one "
            f"{what}: correct the file"
        )
    kept = np.sort(first)
    return object_id[kept], label[kept]


def _class_names(labels: StrArray, own: Container[str] = ()) -> StrArray:
    """Class names of names or PLAsTiCC codes; `own` are names that are no codes."""
    distinct, index = np.unique(labels, return_inverse=True)
    codes = [text.removesuffix(".0") for text in distinct.tolist()]
    if distinct.size and all(code.isdecimal() for code in codes):
        is_own = any(code in own for code in codes)
        distinct = np.array(codes if is_own else from_plasticc(int(code) for code in codes))
    return distinct[index]
