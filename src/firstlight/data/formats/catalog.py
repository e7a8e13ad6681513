"""The Open Supernova Catalog's JSON: one event per file, with photometry from many telescopes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from firstlight.data.formats.source import Source, columns_of_records, source_of_columns
from firstlight.errors import DataError
from firstlight.lightcurves.foreign.angles import degrees
from firstlight.text import number_in

_KEYS = (
    "time", "u_time", "magnitude", "e_magnitude", "e_lower_magnitude", "e_upper_magnitude", "band", "system",
    "upperlimit", "instrument", "telescope", "survey",
)  # fmt: skip


def is_catalog(value: Any) -> bool:
    """Whether a JSON value is that of an event or of several: names with dicts that hold photometry."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(event, dict) for event in value.values())
        and any("photometry" in event for event in value.values())
    )


def catalog_source(path: Path, value: Mapping[str, Any]) -> Source:
    """Optical magnitudes of the events; fluxes at other wavelengths (radio, X-rays) are not read."""
    records: list[dict[str, Any]] = []
    objects: dict[str, list[Any]] = {"object_id": [], "redshift_spec": [], "ra": [], "dec": []}
    for name, event in value.items():
        listed = event.get("photometry")
        rows = [row for row in listed if _is_optical(row)] if isinstance(listed, list) else []
        records += [_record(name, row) for row in rows]
        objects["object_id"].append(name)
        objects["redshift_spec"].append(_first(event, "redshift"))
        ra, dec = _position(event)
        objects["ra"].append(ra)
        objects["dec"].append(dec)
    if not records:
        raise DataError(f"{path}: its events have no optical photometry (magnitude and band)")
    columns = columns_of_records(records)
    dates = {str(row.get("u_time") or "MJD") for row in records} - {"MJD"}
    if dates:
        raise DataError(f"{path}: times in {', '.join(sorted(dates))}; firstlight reads MJD")
    made = {
        key: np.array(values) if key == "object_id" else np.array(values, float)
        for key, values in objects.items()
    }
    return source_of_columns(path, "JSON", columns, objects=made)


def _is_optical(row: Any) -> bool:
    return isinstance(row, dict) and "magnitude" in row and "band" in row


def _mean(values: Sequence[Any]) -> float:
    """The mean of texts of numbers; NaN if one is no number."""
    try:
        return sum(number_in(str(value)) for value in values) / len(values)
    except (TypeError, ValueError, ArithmeticError):
        return float("nan")


def _record(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    record = {"name": name} | {key: row[key] for key in _KEYS if key in row}
    if isinstance(record.get("time"), list):  # an interval: its middle
        record["time"] = _mean(record["time"])
    if "e_magnitude" not in record and {"e_lower_magnitude", "e_upper_magnitude"} <= set(record):
        record["e_magnitude"] = str(_mean([record["e_lower_magnitude"], record["e_upper_magnitude"]]))
    record["upperlimit"] = "1" if row.get("upperlimit") else "0"
    known = [str(row[key]) for key in ("survey", "instrument", "telescope") if row.get(key)]
    record["survey"] = _survey(known)
    return {key: value for key, value in record.items() if not key.startswith(("e_l", "e_u"))}


def _survey(names: list[str]) -> str:
    from firstlight.bands import find_survey

    return next((found for name in names if (found := find_survey(name))), "")


def _first(event: Mapping[str, Any], key: str) -> float:
    try:
        return number_in(str(event[key][0]["value"]))
    except (KeyError, IndexError, TypeError, ValueError):
        return float("nan")


def _position(event: Mapping[str, Any]) -> tuple[float, float]:
    """Right ascension and declination [degree] of the catalog's sexagesimal texts."""
    try:
        ra, dec = (np.array([str(event[key][0]["value"])]) for key in ("ra", "dec"))
    except (KeyError, IndexError, TypeError):
        return float("nan"), float("nan")
    return float(degrees(ra, hours=True)[0]), float(degrees(dec, hours=False)[0])
