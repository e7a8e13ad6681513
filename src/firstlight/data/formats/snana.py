"""SNANA: pairs of HEAD and PHOT FITS files, text files of one object, and folders of both.

Fluxes are FLUXCAL, with zero point 27.5. Only the columns named here are read, so no simulated truth is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from firstlight._types import FloatArray, IntArray
from firstlight.data.delimited import unpacked
from firstlight.data.formats.containers import fits_columns, open_fits
from firstlight.data.formats.photometry import texts
from firstlight.data.formats.source import Source, source_of_columns
from firstlight.errors import DataError
from firstlight.lightcurves.foreign.values import numbers_of
from firstlight.text import number_in

_PHOT = ("MJD", "BAND", "FLT", "FLUXCAL", "FLUXCALERR", "PHOTFLAG")
#: Values by object: names of SNANA's header, the preferred one first.
_HEAD: Mapping[str, tuple[str, ...]] = {
    "ra": ("RA",),
    "dec": ("DEC", "DECL"),
    "ebv": ("MWEBV",),
    "redshift": ("HOSTGAL_PHOTOZ",),
    "redshift_err": ("HOSTGAL_PHOTOZ_ERR",),
    "redshift_spec": ("HOSTGAL_SPECZ",),
}
_FITS_ENDINGS = (".fits", ".fits.gz", ".fit", ".fit.gz")
_UNKNOWN = -8.0  # SNANA writes -9 (or -99) for unknown


def is_head(path: Path) -> bool:
    """Whether a file is named as the header of a pair of SNANA FITS files."""
    return path.name.lower().endswith(tuple(f"_head{ending}" for ending in _FITS_ENDINGS))


def is_phot(path: Path) -> bool:
    """Whether a file is named as the photometry of a pair of SNANA FITS files."""
    return path.name.lower().endswith(tuple(f"_phot{ending}" for ending in _FITS_ENDINGS))


def is_snana_text(data: bytes) -> bool:
    """Whether the beginning of a file is that of SNANA text, with keys such as ``SNID:``."""
    lines = data.decode("utf-8", errors="replace").splitlines()[:40]
    keys = {line.split(":")[0].strip() for line in lines if ":" in line and not line.startswith("#")}
    return "SNID" in keys and bool(keys & {"SURVEY", "FILTERS", "RA", "NOBS"})


def pair_source(paths: Sequence[Path]) -> Source:
    """Pairs of HEAD and PHOT files, given either of each pair."""
    heads = sorted({_other(path, "HEAD") if is_phot(path) else path for path in paths})
    parts = [_pair(head, _other(head, "PHOT")) for head in heads]
    columns = {name: _join([part[0][name] for part in parts]) for name in parts[0][0]}
    objects = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
    corrected = {part[2] for part in parts}
    if len(corrected) > 1:
        raise DataError(f"{heads[0].parent}: only some of the SNANA files are corrected for Milky Way dust")
    meta = {"dereddened": corrected.pop(), "survey": parts[0][3]}
    return source_of_columns(heads[0], "SNANA FITS", columns, objects=objects, meta=meta)


def _join(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _other(path: Path, kind: str) -> Path:
    """The partner of a HEAD or PHOT file, with or without .gz."""
    name = path.name
    place = max(name.upper().rfind("_HEAD."), name.upper().rfind("_PHOT."))
    stem, ending = name[: place + 1], name[place + 5 :]
    word = kind if name[place + 1 : place + 5].isupper() else kind.lower()
    names = [f"{stem}{word}{ending}"]
    names.append(names[0][:-3] if names[0].lower().endswith(".gz") else names[0] + ".gz")
    found = next((path.with_name(one) for one in names if path.with_name(one).exists()), None)
    if found is None:
        raise DataError(f"{path}: its partner {names[0]} is not beside it; SNANA's FITS files come in pairs")
    return found


def _pair(head: Path, phot: Path) -> tuple[dict[str, Any], dict[str, Any], bool, str]:
    with open_fits(head) as hdus:
        table, first = hdus[1], hdus[0].header
        present = {name.upper(): name for name in table.columns.names}
        missing = [name for name in ("SNID", "PTROBS_MIN", "PTROBS_MAX") if name not in present]
        if missing:
            raise DataError(f"{head}: no SNANA header: column(s) {', '.join(missing)} missing")
        wanted = ["SNID", "PTROBS_MIN", "PTROBS_MAX", *(n for names in _HEAD.values() for n in names)]
        values = fits_columns(table, [present[name] for name in wanted if name in present])
        values = {name.upper(): value for name, value in values.items()}
        corrected = int(first.get("MWEBV_APPLYFLAG", 0) or 0) == 1
        survey = str(first.get("SURVEY", ""))
    with open_fits(phot) as hdus:
        present = {name.upper(): name for name in hdus[1].columns.names}
        columns = fits_columns(hdus[1], [present[name] for name in _PHOT if name in present])
        columns = {name.upper(): value for name, value in columns.items()}
    length = len(next(iter(columns.values())))
    owner = _owners(head, values["PTROBS_MIN"], values["PTROBS_MAX"], length)
    names = texts(values["SNID"])
    kept = np.flatnonzero(owner >= 0)  # rows between objects are separators
    columns = {name: value[kept] for name, value in columns.items()}
    return columns | {"SNID": names[owner[kept]]}, _objects(names, values), corrected, survey


def _owners(head: Path, first: Any, last: Any, length: int) -> IntArray:
    """Object of each row of the photometry; rows are counted from 1."""
    first, last = np.asarray(first, np.int64), np.asarray(last, np.int64)
    wrong = np.flatnonzero((first < 1) | (last > length) | (last < first - 1))
    if len(wrong):
        raise DataError(
            f"{head}: object {wrong[0]} of the header points to rows {first[wrong[0]]} to "
            f"{last[wrong[0]]} of {length}; the files of the pair do not belong together"
        )
    owner = np.full(length, -1, dtype=np.int64)
    for i, (start, stop) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        owner[start - 1 : stop] = i
    return owner


def _objects(names: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    objects: dict[str, Any] = {"object_id": names}
    for word, options in _HEAD.items():
        found = next((values[name] for name in options if name in values), None)
        column = np.full(len(names), np.nan) if found is None else numbers_of(found)
        objects[word] = column if word in ("ra", "dec") else known(column)
    return objects


def known(values: FloatArray) -> FloatArray:
    """NaN for SNANA's -9."""
    return np.where(values > _UNKNOWN, values, np.nan)


# --- text -----------------------------------------------------------------------


def text_source(paths: Sequence[Path]) -> Source:
    """SNANA text files, one object per file."""
    parts = [_text(path) for path in paths]
    names = list(dict.fromkeys(name for _, columns, _ in parts for name in columns))
    sizes = [len(lines) for _, _, lines in parts]
    columns: dict[str, Any] = {
        name: [
            word
            for (_, own, _), size in zip(parts, sizes, strict=True)
            for word in own.get(name, [None] * size)
        ]
        for name in names
    }
    ids = [head["SNID"][0] for head, _, _ in parts]
    table = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    table["SNID"] = pa.array(np.repeat(ids, sizes).astype(object), pa.string())
    values = {
        key: np.array([_number(head, key) for head, _, _ in parts])
        for key in ("RA", "DEC", "DECL", "MWEBV", "HOSTGAL_PHOTOZ", "HOSTGAL_PHOTOZ_ERR", "HOSTGAL_SPECZ")
        if any(key in head for head, _, _ in parts)
    }
    place = np.array([line for _, _, lines in parts for line in lines], dtype=np.int64)
    meta = {"survey": parts[0][0].get("SURVEY", [""])[0], "dereddened": False}
    folder = paths[0] if len(paths) == 1 else paths[0].parent
    return source_of_columns(
        folder, "SNANA text", table, place, objects=_objects(np.array(ids, dtype=np.str_), values), meta=meta
    )


def _number(head: Mapping[str, list[str]], key: str) -> float:
    try:
        return number_in(head[key][0])
    except (KeyError, IndexError, ValueError):
        return float("nan")


def _text(path: Path) -> tuple[dict[str, list[str]], dict[str, list[str]], list[int]]:
    """Head, columns of the observations, and their lines."""
    head: dict[str, list[str]] = {}
    order: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    for number, line in enumerate(unpacked(path).decode("utf-8", errors="replace").splitlines(), start=1):
        key, colon, value = line.partition(":")
        key, words = key.strip(), value.partition("#")[0].split()
        if key == "OBS" and colon:
            if not order or len(words) != len(order):
                raise DataError(
                    f"{path}, row {number}: the observation has {len(words)} values, not {len(order)}"
                )
            rows.append(words)
            lines.append(number)
        elif key in ("VARLIST", "VARNAMES"):
            order = words
        elif key == "HOSTGAL_PHOTOZ" or key == "HOST_GALAXY_PHOTO-Z":
            head["HOSTGAL_PHOTOZ"] = words[:1]
            if "+-" in words[:-1]:
                head["HOSTGAL_PHOTOZ_ERR"] = [words[words.index("+-") + 1]]
        elif key == "HOSTGAL_SPECZ":
            head["HOSTGAL_SPECZ"] = words[:1]
        elif colon and words:
            head.setdefault(key, words)
    if "SNID" not in head or not order:
        raise DataError(f"{path}: not a whole SNANA text file (it needs SNID, VARLIST and OBS)")
    declared = head.get("NOBS", ["x"])[0]
    if declared.isdecimal() and int(declared) != len(rows):
        raise DataError(
            f"{path}: it has {len(rows)} observations, but states NOBS: {declared}; fetch it again"
        )
    return head, {name: [row[k] for row in rows] for k, name in enumerate(order)}, lines
