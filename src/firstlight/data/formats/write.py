"""Light curves to files that other packages read: PLAsTiCC CSV, sncosmo ECSV, nested Parquet, ours."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS, SNANA_ZERO_POINT
from firstlight.data.store import write_curves
from firstlight.errors import DataError, SettingsError
from firstlight.files import replacing
from firstlight.lightcurves import OBJECT_COLUMNS, LightCurves
from firstlight.lightcurves.names import SURVEY

_ENDINGS = {".parquet": "firstlight", ".ecsv": "sncosmo", ".csv": "plasticc", ".csv.gz": "plasticc"}
#: Columns of PLAsTiCC's metadata, and ours.
_METADATA = {
    "ra": "ra",
    "decl": "dec",
    "mwebv": "ebv",
    "hostgal_photoz": "redshift",
    "hostgal_photoz_err": "redshift_err",
    "hostgal_specz": "redshift_spec",
}


def write_format(curves: LightCurves, path: Path, format: str) -> list[Path]:
    """Write light curves in one of `EXPORTS`; returns the files written.

    Raises SettingsError for an unknown format, DataError if the format cannot hold the light curves.
    """
    if format not in EXPORTS:
        raise SettingsError(f"unknown format {format!r} to write; known: {', '.join(EXPORTS)}")
    if format in ("sncosmo", "plasticc"):
        empty = np.flatnonzero(curves.n_obs == 0)
        if len(empty):
            raise DataError(
                f"{path}: object {str(curves.object_id[empty[0]])!r} has no observations, which "
                f"{format} cannot hold ({len(empty)} such object(s)); write another format"
            )
    return EXPORTS[format](curves, path)


def format_of(path: Path) -> str:
    """The format that the ending of a file to be written means; SettingsError if it means none."""
    name = path.name.lower()
    for ending, format in _ENDINGS.items():
        if name.endswith(ending):
            return format
    known = ", ".join(EXPORTS)
    raise SettingsError(f"{path}: name the format with --to ({known}), or end in .parquet, .ecsv or .csv")


def _ours(curves: LightCurves, path: Path) -> list[Path]:
    write_curves(curves, path)
    return [path]


def _nested(curves: LightCurves, path: Path) -> list[Path]:
    """Parquet of nested-pandas and LSDB: one row per object, observations in the column ``lightcurve``."""
    frame = curves.to_nested()
    with replacing(path) as partial:
        frame.to_parquet(partial)
    _state_dust(path, curves.dereddened)
    return [path]


def _state_dust(path: Path, dereddened: bool) -> None:
    """State in the file's metadata whether its fluxes are corrected for dust."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    stated = (table.schema.metadata or {}) | {b"dereddened": str(dereddened).lower().encode()}
    with replacing(path) as partial:
        pq.write_table(table.replace_schema_metadata(stated), partial)


def _sncosmo(curves: LightCurves, path: Path) -> list[Path]:
    """One ECSV table of all objects in sncosmo's columns; values of objects are repeated in their rows."""
    from astropy.table import Table

    owner = np.repeat(np.arange(len(curves)), curves.n_obs)
    table = Table(
        {
            "object_id": curves.object_id[owner],
            "time": curves.mjd,
            "band": np.array([f"lsst{name}" for name in BANDS])[curves.band],
            "flux": curves.flux,
            "fluxerr": curves.flux_err,
            "zp": np.full(len(owner), AB_ZERO_POINT_NJY),
            "zpsys": np.full(len(owner), "ab"),
            "detected": curves.detected,
            **{name: getattr(curves, name)[owner] for name in (*OBJECT_COLUMNS, SURVEY)},
        },
        meta={"dereddened": curves.dereddened},
    )
    with replacing(path) as partial:
        table.write(partial, format="ascii.ecsv")
    return [path]


def _plasticc(curves: LightCurves, path: Path) -> list[Path]:
    """PLAsTiCC's two CSV files; the metadata stand beside the light curves as ``*_metadata.csv``."""
    if not curves.dereddened:
        raise DataError(
            f"{path}: PLAsTiCC's files hold fluxes that are corrected for Milky Way dust, these are not; "
            "write another format"
        )
    scale = 10.0 ** (0.4 * (SNANA_ZERO_POINT - AB_ZERO_POINT_NJY))
    owner = np.repeat(curves.object_id, curves.n_obs)
    rows = zip(
        owner.tolist(),
        curves.mjd.tolist(),
        curves.band.tolist(),
        (curves.flux.astype(np.float64) * scale).tolist(),
        (curves.flux_err.astype(np.float64) * scale).tolist(),
        curves.detected.astype(int).tolist(),
        strict=True,
    )
    packed = path.name.lower().endswith(".gz")
    stem = path.name[: -len(".csv.gz" if packed else ".csv")] if ".csv" in path.name.lower() else path.name
    beside = path.with_name(f"{stem}_metadata.csv")
    opened = gzip.open if packed else open
    with replacing(path) as partial, opened(partial, "wt", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["object_id", "mjd", "passband", "flux", "flux_err", "detected"])
        writer.writerows(rows)
    values = [
        ["" if np.isnan(value) else value for value in getattr(curves, ours).tolist()]
        for ours in _METADATA.values()
    ]
    with replacing(beside) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["object_id", *_METADATA])
        writer.writerows(zip(curves.object_id.tolist(), *values, strict=True))
    return [path, beside]


#: Writers by format.
EXPORTS: dict[str, Callable[[LightCurves, Path], list[Path]]] = {
    "firstlight": _ours,
    "nested": _nested,
    "sncosmo": _sncosmo,
    "plasticc": _plasticc,
}
