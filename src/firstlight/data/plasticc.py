"""PLAsTiCC light curves and metadata, in the spellings of Kaggle, Zenodo and the wheel.

The fluxes have zero point 27.5 and are already corrected for Milky Way dust (the PLAsTiCC
team 2018, arXiv:1810.00001). Of the metadata only position, E(B-V) and host redshifts are
parsed: labels and ``true_*`` columns never leave the file (law 2).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from firstlight._types import FloatArray, IntArray, StrArray
from firstlight.bands import AB_ZERO_POINT_NJY, SNANA_ZERO_POINT, flux_to_njy, magnitude
from firstlight.data.delimited import Delimited, choose, read_header, require, texts
from firstlight.data.intake import Intake, MetadataTable, join_rows
from firstlight.data.reject import NO_ROW, RejectLog
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.rows import ObservationRows, bands_from_arrow

_LIGHT_CURVES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "object_id": ("object_id",),
        "mjd": ("mjd",),
        "band": ("passband",),
        "flux": ("flux",),
        "flux_err": ("flux_err",),
        "detected": ("detected", "detected_bool"),
    }
)
_METADATA: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "object_id": ("object_id",),
        "ra": ("ra",),
        "dec": ("decl", "dec"),
        "ebv": ("mwebv",),
        "redshift": ("hostgal_photoz",),
        "redshift_err": ("hostgal_photoz_err",),
        "redshift_spec": ("hostgal_specz",),  # not in every release; the rest is
    }
)
_TEXT = ("object_id", "band", "detected")
_FLAGS: Mapping[str, bool] = MappingProxyType(
    {"0": False, "1": True, "False": False, "True": True, "false": False, "true": True}
)

# The deepest tenth of the error bars of any large part of PLAsTiCC is a 1-sigma depth of 25.8
# (RR Lyrae alone) to 27.5 mag (deep-drilling fields alone); taking nJy or microjansky for
# 27.5, or the reverse, moves it by 3.6 to 3.9 mag. A few bright objects may be shallower.
_DEEPEST = 28.8  # mag
_SHALLOWEST = 24.0  # mag
_ENOUGH_OBJECTS = 50


def read_plasticc(
    light_curves: str | Path,
    metadata: str | Path | MetadataTable | None = None,
    *,
    zero_point: float = SNANA_ZERO_POINT,
    rejects: RejectLog | None = None,
    partial: bool = False,
) -> LightCurves:
    """Read a PLAsTiCC light-curve file whole; see `firstlight.data.read`.

    The CSV has ``object_id``, ``mjd``, ``passband`` (0 to 5 or letters), ``flux``, ``flux_err`` and
    ``detected`` or ``detected_bool`` (else flux > 5 flux_err is a detection). Of the metadata
    ``object_id``, ``ra``, ``decl``, ``mwebv``, ``hostgal_photoz``, ``hostgal_photoz_err`` and, optionally,
    ``hostgal_specz`` are read; negative redshifts (-9) mean unknown. `partial` allows it objects that
    this file does not have. The result is `dereddened`, in order of first appearance.
    """
    intake = Intake(str(light_curves), rejects)
    table = _metadata_table(metadata, rejects)
    rows = join_rows(list(_read_rows(intake, zero_point)))
    _check_depth(rows, intake, zero_point)
    curves = intake.light_curves(rows, table, dereddened=True)
    if table is not None and not partial:
        table.refuse_unmet()
    return curves


def iter_plasticc(
    light_curves: str | Path,
    metadata: str | Path | MetadataTable | None = None,
    *,
    chunk_objects: int = 20_000,
    zero_point: float = SNANA_ZERO_POINT,
    rejects: RejectLog | None = None,
    partial: bool = False,
) -> Iterator[LightCurves]:
    """Read a PLAsTiCC light-curve file of any size in chunks of whole objects, as `read_plasticc`.

    The rows of an object must stand together in the file, as they do in all releases. Memory is that
    of one chunk of `chunk_objects`, plus the metadata and the names met. Raises DataError also, without
    `rejects`, if an object appears again after others.
    """
    if chunk_objects < 1:
        raise DataError(f"chunk_objects = {chunk_objects}: a chunk holds at least one object")
    intake = Intake(str(light_curves), rejects)
    table = _metadata_table(metadata, rejects)
    met: set[str] = set()
    for number, rows in enumerate(_chunks(_read_rows(intake, zero_point), chunk_objects)):
        if number == 0:
            _check_depth(rows, intake, zero_point)
        curves = intake.light_curves(_refuse_scattered(rows, met, intake), table, dereddened=True)
        if len(curves):
            yield curves
    if table is not None and not partial:
        table.refuse_unmet()


def read_metadata(path: str | Path, rejects: RejectLog | None = None) -> MetadataTable:
    """Position, E(B-V) and host redshifts by name from a PLAsTiCC metadata CSV; see `read_plasticc`.

    Raises MissingColumnError or DataError if the file cannot be read; without `rejects`, also for
    the first repeated object or damaged line.
    """
    path = Path(path)
    intake = Intake(str(path), rejects)
    found = choose(read_header(path), _METADATA)
    require(found, {name: _METADATA[name] for name in _METADATA if name != "redshift_spec"}, path)
    kinds: dict[str, Any] = {file_name: "number" for file_name in found.values()}
    source = Delimited(path, kinds | {found["object_id"]: "text"})
    names: list[StrArray] = [np.empty(0, np.str_)]
    lines: list[IntArray] = [np.empty(0, np.int64)]
    parts: dict[str, list[FloatArray]] = {name: [np.empty(0)] for name in found if name != "object_id"}
    for batch, batch_lines in source.batches():
        distinct, index = texts(batch[found["object_id"]])
        names.append(distinct[index])
        lines.append(batch_lines)
        for name, part in parts.items():
            part.append(batch[found[name]])
    _refuse_damage(source, intake, "")
    columns = {name: np.concatenate(part) for name, part in parts.items()}
    return _unique(np.concatenate(names), _as_known(columns), np.concatenate(lines), intake)


def is_plasticc(header: Iterable[str]) -> bool:
    """Whether a CSV header is that of a PLAsTiCC light-curve file, or nearly."""
    return len(choose(list(header), _LIGHT_CURVES)) >= 4


def _metadata_table(
    metadata: str | Path | MetadataTable | None, rejects: RejectLog | None
) -> MetadataTable | None:
    return metadata if isinstance(metadata, MetadataTable | None) else read_metadata(metadata, rejects)


def _as_known(columns: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Replace values that stand for "unknown" (-9), and infinities, by NaN."""
    for name in ("redshift", "redshift_err", "redshift_spec", "ebv"):
        if name in columns:
            known = (columns[name] >= 0) & np.isfinite(columns[name])
            columns[name] = np.where(known, columns[name], np.nan)
    columns["redshift_err"] = np.where(np.isnan(columns["redshift"]), np.nan, columns["redshift_err"])
    return columns


def _unique(
    names: StrArray, columns: dict[str, FloatArray], lines: IntArray, intake: Intake
) -> MetadataTable:
    """Objects by name, the first of each."""
    nameless = np.flatnonzero(names == "")
    intake.refuse("the row names no object", names[nameless], lines[nameless])
    distinct, first = np.unique(names, return_index=True)
    again = np.setdiff1d(np.arange(len(names)), np.append(first, nameless))
    intake.refuse("the object has an earlier row in the metadata", names[again], lines[again])
    first = first[distinct != ""]
    chosen = {name: column[first] for name, column in columns.items()}
    return MetadataTable(names[first], chosen, lines[first], intake)


def _read_rows(intake: Intake, zero_point: float) -> Iterator[ObservationRows]:
    """Long form of each batch of a light-curve file, in nJy; at least one batch."""
    path = Path(intake.file)
    found = choose(read_header(path), _LIGHT_CURVES)
    require(found, {name: _LIGHT_CURVES[name] for name in _LIGHT_CURVES if name != "detected"}, path)
    kinds: dict[str, Any] = {found[name]: "text" if name in _TEXT else "number" for name in found}
    scale = float(flux_to_njy(1.0, zero_point))
    source = Delimited(path, kinds)
    last = ""
    n_rows = 0
    for batch, lines in source.batches():
        rows = _rows(batch, lines, found, scale, intake)
        n_rows += len(rows)
        last = str(rows.names[rows.owner[-1]]) if len(rows) else last
        yield rows
    _refuse_damage(source, intake, last)
    if n_rows == 0:
        intake.refuse("the file has no observations", np.array([""]), np.array([NO_ROW]))
        none, whole = np.empty(0), np.empty(0, np.int64)
        yield ObservationRows(np.empty(0, "U1"), whole, none, whole.astype(np.int8), none, none, None, whole)


def _rows(
    batch: Mapping[str, Any], lines: IntArray, found: Mapping[str, str], scale: float, intake: Intake
) -> ObservationRows:
    names, owner = texts(batch[found["object_id"]])
    detected = None
    unflagged = np.zeros(len(lines), dtype=bool)
    if "detected" in found:
        values, index = texts(batch[found["detected"]])
        detected = np.array([_FLAGS.get(value, False) for value in values.tolist()])[index]
        unflagged = np.array([value not in _FLAGS for value in values.tolist()])[index]
    rows = ObservationRows(
        names=names,
        owner=owner,
        mjd=batch[found["mjd"]],
        band=bands_from_arrow(batch[found["band"]]),
        flux=batch[found["flux"]] * scale,
        flux_err=batch[found["flux_err"]] * scale,
        detected=detected,
        place=lines,
    )
    if unflagged.any():
        bad = np.flatnonzero(unflagged)
        intake.refuse("the detection flag is neither 0 nor 1", names[owner[bad]], lines[bad])
        rows = rows.select(~unflagged)
    return rows


def _refuse_damage(source: Delimited, intake: Intake, last: str) -> None:
    """Refuse the lines of a file that held no row, and its missing end."""
    for damage in source.damage:
        if damage.line is None:
            reason = f"{damage.reason}: observations of this object and the following may be lost"
            object_id, hint = last, "fetch the file again"
        else:
            reason, hint = damage.reason, "correct the line"
            object_id = damage.text.split(",")[0].strip()
        line = NO_ROW if damage.line is None else damage.line
        intake.refuse(reason, np.array([object_id]), np.array([line]), hint=hint)


def _chunks(parts: Iterable[ObservationRows], chunk_objects: int) -> Iterator[ObservationRows]:
    """Regroup batches into chunks of whole objects; the object of the last row may go on."""
    pending: list[ObservationRows] = []
    for part in parts:
        pending.append(part)
        if sum(len(rows.names) for rows in pending) <= chunk_objects:
            continue
        rows = join_rows(pending).ordered()
        n_complete = len(rows.names) - 1
        start = 0
        for last in range(chunk_objects, n_complete + 1, chunk_objects):
            stop = int(np.searchsorted(rows.owner, last))
            yield rows.select(slice(start, stop)).pruned()
            start = stop
        pending = [rows.select(slice(start, None)).pruned()]
    if pending:
        yield join_rows(pending)


def _refuse_scattered(rows: ObservationRows, met: set[str], intake: Intake) -> ObservationRows:
    """Refuse objects that an earlier chunk already had, and remember the new ones."""
    names = rows.names.tolist()
    again = np.array([name in met for name in names], dtype=bool)
    met.update(names)
    hint = "sort the file by object_id or read it whole"
    intake.refuse(
        "the object appears again after others", rows.names[again], np.full(again.sum(), NO_ROW), hint=hint
    )
    return rows.select(~np.append(again, False)[rows.owner]).pruned() if again.any() else rows


def _check_depth(rows: ObservationRows, intake: Intake, zero_point: float) -> None:
    """Raise DataError if the error bars are none that LSST could have with this zero point."""
    errors = rows.flux_err[np.isfinite(rows.flux_err) & (rows.flux_err > 0)]
    if not len(errors):
        return
    depth = float(magnitude(np.quantile(errors, 0.1)))
    if depth <= _DEEPEST and (depth >= _SHALLOWEST or len(rows.names) < _ENOUGH_OBJECTS):
        return
    raise DataError(
        f"{intake.file}: with zero point {zero_point:g} mag the survey's 1-sigma depth would be "
        f"{depth:.1f} mag; PLAsTiCC's is 25.8 to 27.5. Its files have zero point {SNANA_ZERO_POINT}; "
        f"fluxes in nJy have {AB_ZERO_POINT_NJY}, in microjansky 23.9"
    )
