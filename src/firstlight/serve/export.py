"""The chosen objects as files: CSV, VOTable, and a target list for the TOM Toolkit."""

import csv
import io
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from firstlight.serve.columns import COLUMNS
from firstlight.text import spreadsheet_cell


def as_csv(table: pd.DataFrame) -> bytes:
    """Every column; an apostrophe comes before text that a spreadsheet would run as a formula."""
    out = pd.DataFrame({name: _cells(table[name]) for name in (*_exported(table), "reasons")})
    return out.to_csv(index=False, float_format="%.10g", lineterminator="\n").encode()


def as_votable(table: pd.DataFrame) -> bytes:
    """Every column with its unit and meaning."""
    from astropy.io.votable import from_table
    from astropy.table import Column, Table

    out = Table()
    for name in _exported(table):
        values: Any = table[name].to_numpy()
        if not COLUMNS[name].is_number:
            values = np.array([str(value) for value in values], dtype=np.str_)
        else:
            values = values.astype(np.float64)
        column = COLUMNS[name]
        out[name] = Column(values, unit=column.unit or None, description=column.meaning)
    file = io.BytesIO()
    from_table(out).to_xml(file)
    return file.getvalue()


def as_targets(table: pd.DataFrame) -> bytes:
    """The TOM Toolkit's list of sidereal targets; objects without a position are left out."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["name", "type", "ra", "dec", "firstlight_class", "firstlight_probability", "firstlight_worth"]
    )
    for row in table.to_dict("records"):
        if np.isfinite(row["ra"]) and np.isfinite(row["dec"]):
            own = [spreadsheet_cell(str(row["object"])), "SIDEREAL", f"{row['ra']:.6f}", f"{row['dec']:.6f}"]
            writer.writerow([*own, row["class"], *(_digits(row[name]) for name in ("probability", "worth"))])
    return file.getvalue().encode()


#: Name of an export, its writer, media type and file name.
EXPORTS: Mapping[str, tuple[Callable[[pd.DataFrame], bytes], str, str]] = MappingProxyType(
    {
        "csv": (as_csv, "text/csv; charset=utf-8", "tonight.csv"),
        "votable": (as_votable, "application/x-votable+xml", "tonight.vot"),
        "tom": (as_targets, "text/csv; charset=utf-8", "targets.csv"),
    }
)


def _exported(table: pd.DataFrame) -> list[str]:
    return [name for name in COLUMNS if name in table.columns]


def _cells(column: pd.Series) -> pd.Series:
    return column.map(lambda v: spreadsheet_cell(str(v))) if column.dtype == object else column


def _digits(value: float) -> str:
    return "" if value != value else f"{value:.4f}"
