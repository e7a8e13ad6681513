"""Container of a file or folder by its content, and its format if the container decides that."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from firstlight._types import IntArray, Progress, no_progress
from firstlight.data.delimited import is_ipac, read_bytes, unpacked, unpacked_head
from firstlight.data.formats import catalog, containers, snana
from firstlight.data.formats.layouts import (
    LAYOUTS,
    OBJECT_WORDS,
    SNANA,
    SUPERNOVA_CATALOG,
    WORDS,
    Layout,
    find_words,
    layout_of,
)
from firstlight.data.formats.source import Source
from firstlight.data.parquet import PARQUET_FAULTS, PARQUET_MAGIC
from firstlight.errors import DataError
from firstlight.lightcurves.foreign.angles import degrees
from firstlight.lightcurves.foreign.values import as_arrow, is_text, numbers_of

_AVRO_MAGIC = b"Obj\x01"
_HDF_MAGIC = b"\x89HDF"
_SNANA_TEXTS = (".dat", ".dat.gz", ".txt", ".txt.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
_TABLES = (".txt", ".dat", ".csv", ".tsv", ".ecsv", ".tbl", ".json", ".fits", ".xml", ".vot")
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_FILE = "object_id"  # column with the name of each file, where a file is one object


def is_alert_file(path: Path) -> bool:
    """Whether a file holds alert packets: Avro, or Parquet with a triggering source per row.

    A folder does if one of its Avro files does, or without these its first Parquet file.
    """
    if path.is_dir():
        files = [one for one in files_of(path) if one.suffix in (".avro", *PARQUET_SUFFIXES)]
        avro = [one for one in files if one.suffix == ".avro"]
        return any(map(is_alert_file, avro or files[:1]))
    magic = read_bytes(path, 8)
    if magic.startswith(_AVRO_MAGIC):
        return True
    if not magic.startswith(PARQUET_MAGIC):
        return False
    try:
        schema = pq.read_schema(path)
    except PARQUET_FAULTS:
        return False
    structs = {field.name for field in schema if pa.types.is_struct(field.type)}
    return bool(structs & {"diaSource", "candidate"}) and not containers.nested_columns_with_times(schema)


def files_of(path: Path) -> list[Path]:
    """The file, or all visible files of a folder and the folders in it, in the order of their names."""
    if not path.is_dir():
        return [path]
    found = (one for one in path.rglob("*") if not one.name.startswith((".", "_")))
    # a link that leads nowhere counts, so that its reader names it
    return sorted(one for one in found if one.is_file() or (one.is_symlink() and not one.exists()))


def separate_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files of a folder that hold light curves and can be read alone, and the others.

    One kind of files counts, in the order in which a folder is read as a whole.
    """
    files = files_of(folder)
    heads = [one for one in files if snana.is_head(one)]
    if heads:
        return heads, [one for one in files if one not in heads and not snana.is_phot(one)]
    avro = [one for one in files if one.suffix == ".avro"]
    parquet = [
        one for one in files if one.suffix in PARQUET_SUFFIXES and "margin" not in str(one.parent).lower()
    ]
    kinds = [
        avro,
        [one for one in parquet if _has_observations(one)],
        [one for one in files if _is_table(one)],
    ]
    chosen = next((kind for kind in kinds if kind), [])
    return chosen, sorted(set(files) - set(chosen))


def _is_table(path: Path) -> bool:
    """Whether a file is named as a table of text or FITS, packed or not."""
    name = path.name.lower()
    packed = next((ending for ending in _PACKED if name.endswith(ending)), "")
    return name.removesuffix(packed).endswith(_TABLES)


def _has_observations(path: Path) -> bool:
    """Whether a Parquet file has times; a damaged one counts, so that its reader names the damage."""
    try:
        source = containers.parquet_source(path)
    except DataError:
        return True
    return "mjd" in find_words(LAYOUTS[-1], source.folded)


def stated_once(meta: Mapping[str, Any]) -> dict[str, float]:
    """Values of the one object of a file that its header states."""
    stated: dict[str, float] = {}
    for word in OBJECT_WORDS:
        value = next(
            (meta[name] for name in WORDS[word] if isinstance(meta.get(name), str | int | float)), None
        )
        if value is not None:
            one = degrees([value], hours=word == "ra") if word in ("ra", "dec") else numbers_of([value])
            stated[word] = float(one[0])
    return stated


def open_source(
    path: Path, damage: list[Any] | None, progress: Progress = no_progress
) -> tuple[Source, Layout | None]:
    """The columns of a file or folder, and its layout if the container defines it."""
    if path.is_dir():
        return _open_folder(path, damage, progress)
    head = unpacked_head(path)
    if head.startswith(PARQUET_MAGIC):
        return containers.parquet_source(path), None
    if head.startswith(_HDF_MAGIC):
        raise DataError(
            f"{path}: this is an HDF5 file, and firstlight does not depend on h5py; read it with lcdata or "
            "pandas and give the tables to LightCurves.from_astropy or from_pandas"
        )
    if head.startswith(b"SIMPLE"):
        if snana.is_head(path) or snana.is_phot(path):
            return snana.pair_source([path]), SNANA
        return containers.fits_source(path), None
    if b"\0" in head:
        raise DataError(
            f"{path}: a binary file of unknown kind; docs/reference/files.md lists the formats that are read"
        )
    return _open_text(path, head, damage, progress)


def _open_text(
    path: Path, head: bytes, damage: list[Any] | None, progress: Progress
) -> tuple[Source, Layout | None]:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    first = text.splitlines()[0] if text.splitlines() else b""
    if text[:1] in (b"{", b"["):
        data = unpacked(path)
        value = containers.parse_json(path, data)
        if catalog.is_catalog(value):
            return catalog.catalog_source(path, value), SUPERNOVA_CATALOG
        return containers.source_of_json(path, value), None
    if first.startswith(b"# %ECSV"):
        return containers.astropy_source(path, "ascii.ecsv", "ECSV"), None
    if first.startswith(b"<") and b"<VOTABLE" in head:
        return containers.astropy_source(path, "votable", "VOTable"), None
    if is_ipac(text):
        return containers.astropy_source(path, "ascii.ipac", "IPAC table"), None
    if first.startswith(b"@"):
        return containers.sncosmo_source(path, unpacked(path)), None
    if snana.is_snana_text(text):
        return snana.text_source([path]), SNANA
    body = next((line for line in text.splitlines() if line.strip() and not line.startswith(b"#")), b"")
    if first.startswith(b"#") and b"," not in body.replace(b", ", b""):
        return containers.blank_source(path, unpacked(path)), None
    return containers.csv_source(path, damage, progress), None


def _open_folder(path: Path, damage: list[Any] | None, progress: Progress) -> tuple[Source, Layout | None]:
    """A folder of SNANA files, or of parts of a Parquet dataset such as HATS'."""
    files = files_of(path)
    heads = [one for one in files if snana.is_head(one)]
    if heads:
        return snana.pair_source(heads), SNANA
    parquet = [
        one for one in files if one.suffix in PARQUET_SUFFIXES and "margin" not in str(one.parent).lower()
    ]
    if parquet:
        source = _open_parts(path, parquet)
        others = [one.name for one in files if _is_table(one)]
        return replace(source, meta=dict(source.meta) | {"ignored": ", ".join(others[:5])}), None
    texts_ = [one for one in files if one.name.lower().endswith(_SNANA_TEXTS)]
    snana_texts = [one for one in texts_ if snana.is_snana_text(unpacked_head(one))]
    if snana_texts:
        return snana.text_source(snana_texts), SNANA
    tables = [one for one in files if _is_table(one)]
    if tables:
        return _open_tables(path, tables, damage, progress)
    raise DataError(
        f"{path}: no light curves in this folder; firstlight reads folders with curves.parquet, Parquet "
        "parts (HATS), SNANA files, or tables of one format"
    )


def _open_tables(
    path: Path, files: list[Path], damage: list[Any] | None, progress: Progress
) -> tuple[Source, Layout]:
    """Tables of one format as one source, such as a forced-photometry file per object."""
    opened = [open_source(one, damage) for one in files]
    layouts = [layout or layout_of(source.names) for source, layout in opened]
    sources = [source for source, _ in opened]
    other = next((i for i, layout in enumerate(layouts) if layout != layouts[0]), None)
    if other is not None:
        raise DataError(
            f"{path}: files of different formats: {files[0].name} is of {layouts[0].title}, "
            f"{files[other].name} of {layouts[other].title}; read them apart"
        )
    for source in sources:
        if not find_words(layouts[0], source.folded).keys() >= {"filter", "mjd"}:
            raise DataError(
                f"{source.path}: no time and filter per observation, as the other files of the folder have; "
                "metadata of objects are read with --metadata"
            )
    shared = ("units", "dereddened", "survey")
    meta = [{key: source.meta[key] for key in shared if source.meta.get(key)} for source in sources]
    if any(one != meta[0] for one in meta):
        raise DataError(f"{path}: the files differ in unit, survey or correction for dust; read them apart")
    names = tuple(dict.fromkeys(name for source in sources for name in source.names))
    nameless = "object_id" not in find_words(layouts[0], sources[0].folded)

    def read(wanted: Mapping[str, Any]) -> tuple[dict[str, Any], IntArray]:
        """Columns of all files, one after another, with nulls where a file lacks one."""
        parts = []
        for number, source in enumerate(sources):
            progress("reading", number / len(sources))
            present = {name: kind for name, kind in wanted.items() if name in source.names}
            values, place = source.read(present)
            rest = {name: pa.nulls(len(place), pa.string()) for name in wanted if name not in present}
            if nameless and _FILE in wanted:
                rest[_FILE] = pa.array([source.one_object] * len(place), pa.string())
            parts.append((values | rest, place))
        columns = {name: _chunked([as_arrow(values[name]) for values, _ in parts]) for name in wanted}
        return columns, np.concatenate([place for _, place in parts])

    if nameless:
        if len({source.one_object for source in sources}) < len(sources):
            raise DataError(f"{path}: several files of the same object; join them, or rename them")
        objects = [stated_once(source.meta) | {"object_id": source.one_object} for source in sources]
        names = (*names, _FILE)
    else:
        objects = [
            dict(zip(source.objects, row, strict=True))
            for source in sources
            for row in zip(*source.objects.values(), strict=True)
        ]
    words = dict.fromkeys(word for one in objects for word in one)
    columns = {word: [one.get(word, np.nan) for one in objects] for word in words}
    container = f"{len(sources)} {sources[0].container} file(s)"
    made = Source(path, container, names, read, objects=columns if len(words) > 1 else {}, meta=meta[0])
    return made, layouts[0]


def _open_parts(path: Path, parts: list[Path]) -> Source:
    """Parquet files of one dataset as one source; index files without observations are passed over."""
    sources = [containers.parquet_source(part) for part in parts]
    sources = [one for one in sources if find_words(LAYOUTS[-1], one.folded).keys() >= {"filter", "mjd"}]
    if not sources:
        raise DataError(
            f"{path}: none of its {len(parts)} Parquet files has a time and a filter per observation"
        )
    names = set(sources[0].names)
    for one in sources[1:]:
        if set(one.names) != names:
            raise DataError(
                f"{one.path}: its columns differ from those of {sources[0].path}; read the files alone"
            )

    def read(wanted: Mapping[str, Any]) -> tuple[dict[str, Any], IntArray]:
        made = [one.read(wanted) for one in sources]
        columns = {name: _chunked([values[name] for values, _ in made]) for name in wanted}
        return columns, np.arange(sum(len(place) for _, place in made), dtype=np.int64)

    return replace(sources[0], path=path, container=f"{len(sources)} Parquet file(s)", read=read)


def _chunked(parts: list[Any]) -> Any:
    parts = [as_arrow(part) for part in parts]
    if len({part.type for part in parts}) > 1:  # such as nulls, or integers beside floats
        texts_ = any(is_text(part.type) or pa.types.is_dictionary(part.type) for part in parts)
        parts = [part.cast(pa.string() if texts_ else pa.float64()) for part in parts]
    chunks = [
        chunk for part in parts for chunk in (part.chunks if isinstance(part, pa.ChunkedArray) else [part])
    ]
    if any(pa.types.is_dictionary(chunk.type) for chunk in chunks):
        chunks = [c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c for c in chunks]
    return pa.chunked_array(chunks).combine_chunks()
