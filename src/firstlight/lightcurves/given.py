"""Light curves of whatever a person holds: ours, one or many, or a table of another library."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from firstlight.errors import DataError
from firstlight.lightcurves.curve import LightCurve
from firstlight.lightcurves.curves import LightCurves
from firstlight.lightcurves.names import SURVEY
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS

_CHOICES = (
    "LightCurves, LightCurve or several of them, a pandas DataFrame (or one of observations and one of "
    "objects), a NestedFrame, a pyarrow Table, or astropy tables"
)


def as_light_curves(given: Any) -> LightCurves:
    """Light curves of an object or a table of any kind that firstlight reads.

    Parameters
    ----------
    given : LightCurves, LightCurve, DataFrame, NestedFrame, LSDB catalog, pyarrow.Table, astropy Table, or
        several
        `LightCurves` are returned as they are. Tables are read by the ``from_*`` methods of `LightCurves`:
        fluxes in nJy unless a column or unit states otherwise. Also a sequence of `LightCurve` or of astropy
        tables, and a pair of DataFrames as `LightCurves.to_pandas` gives. A catalog of LSDB, or another lazy
        frame, is computed first; `firstlight.batch` classifies one without holding all of it.

    Raises
    ------
    DataError
        If it is nothing of these, or has a row that cannot be read.
    """
    if isinstance(given, LightCurves):
        return given
    if isinstance(given, LightCurve):
        return _joined([given])
    if isinstance(given, pa.Table):
        return LightCurves.from_arrow(given)
    if _is_lazy(given):
        return as_light_curves(given.compute())
    if _is_frame(given):
        has_nested = len(getattr(given, "nested_columns", ())) == 1
        return LightCurves.from_nested(given) if has_nested else LightCurves.from_pandas(given)
    if hasattr(given, "colnames"):
        return LightCurves.from_astropy(given)
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes, dict, np.ndarray)):
        hint = (
            "; read a file with firstlight.read" if isinstance(given, str) or hasattr(given, "suffix") else ""
        )
        raise DataError(f"no light curves in {type(given).__name__}: give {_CHOICES}{hint}")
    return _of_several(list(given))


def _of_several(parts: list[Any]) -> LightCurves:
    """Light curves of a sequence."""
    if len(parts) == 2 and all(map(_is_frame, parts)):
        return LightCurves.from_pandas(*parts)
    if parts and all(isinstance(part, LightCurve) for part in parts):
        return _joined(parts)
    if all(hasattr(part, "colnames") for part in parts):
        return LightCurves.from_astropy(parts)
    kinds = ", ".join(sorted({type(part).__name__ for part in parts}))
    raise DataError(f"no light curves in a sequence of {kinds}: give {_CHOICES}")


def _joined(parts: Sequence[LightCurve]) -> LightCurves:
    """Light curves of single ones; DataError if a name repeats or only some are dereddened."""
    if len({part.dereddened for part in parts}) > 1:
        raise DataError("cannot join dereddened fluxes with raw ones; correct them first")
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in OBSERVATION_COLUMNS
    }
    columns |= {
        name: np.array([getattr(part, name) for part in parts])
        for name in ("object_id", *OBJECT_COLUMNS, SURVEY)
    }
    return LightCurves(
        offsets=np.cumsum([0, *map(len, parts)]),
        dereddened=parts[0].dereddened,
        **columns,
    )


def _is_lazy(given: Any) -> bool:
    """Whether it is a catalog of LSDB or a frame of Dask, whose content is computed on request."""
    return hasattr(given, "map_partitions") and hasattr(given, "compute")


def _is_frame(given: Any) -> bool:
    """Whether it is a DataFrame of pandas or of a library that builds on it."""
    return hasattr(given, "columns") and hasattr(given, "reset_index")
