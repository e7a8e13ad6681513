"""`RawTable`: a foreign table of observations under our names, with the values as its source wrote them.

A reader of a format makes one and hands it to `firstlight.lightcurves.foreign.intake.Intake.read`, which
checks and converts every value by the same rules for all formats.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firstlight._types import IntArray
from firstlight.bands import SNANA_ZERO_POINT
from firstlight.errors import DataError, MissingColumnError
from firstlight.lightcurves.foreign.units import ANY_DEPTH, PLASTICC_DEPTH
from firstlight.lightcurves.foreign.values import TimeScale
from firstlight.lightcurves.names import (
    OBSERVATION_SPELLINGS,
    PER_OBJECT,
    PLASTICC_MARKS,
    find_columns,
)

NEEDED = ("object_id", "mjd", "band", "flux", "flux_err")


@dataclass(frozen=True, slots=True, eq=False)
class RawTable:
    """Observations of a foreign source, one per row, not yet checked.

    Parameters
    ----------
    columns : mapping of str to array_like, each of shape (n_rows,)
        ``object_id``, ``mjd``, ``band``, ``flux`` and ``flux_err``; where the source has them
        ``detected``, ``zero_point`` [mag], ``unit`` (text), ``system`` (text), the columns of
        `firstlight.lightcurves.OBJECT_COLUMNS` (one value per object, repeated in its rows), ``survey``
        and ``dereddened``. NumPy, masked, pandas or Arrow columns, or lists, of any type.
    objects : mapping of str to array_like, each of shape (n_objects,), optional
        ``object_id`` and any of `OBJECT_COLUMNS`, ``survey`` and ``dereddened``: values stated once per
        object.
    place : int64 array, shape (n_rows,), optional
        Line or row of each observation in its source; by default its position.
    object_place : int64 array, shape (n_objects,), optional
        Line or row of each of `objects`.
    zero_point : float, optional
        AB zero point of the fluxes [mag]; nJy (31.4) where neither this nor a column states it.
    implied : bool
        Whether `zero_point` follows from the format and not from the user: a column goes before it.
    dereddened : bool, optional
        Whether the fluxes are corrected for Milky Way dust; by default as the columns state, else no.
    time_scale : {"tai", "utc"}
        Scale of times that do not state one.
    words : mapping of str to mapping of int to str
        Texts that stood where a column has NaN, by row, for messages.
    depth : tuple of float
        Shallowest and deepest 1-sigma depth [mag] that fluxes of an unstated unit can have.
    """

    columns: Mapping[str, Any]
    objects: Mapping[str, Any] | None = None
    place: IntArray | None = None
    object_place: IntArray | None = None
    zero_point: float | None = None
    implied: bool = False
    dereddened: bool | None = None
    time_scale: TimeScale = "tai"
    depth: tuple[float, float] = ANY_DEPTH
    words: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of observations."""
        return len(self.columns["object_id"])

    @property
    def places(self) -> IntArray:
        """Line or row of each observation, shape (n_rows,)."""
        return np.arange(len(self), dtype=np.int64) if self.place is None else self.place


def our_columns(
    columns: Mapping[str, Any],
    spellings: Mapping[str, tuple[str, ...]] = OBSERVATION_SPELLINGS,
    *,
    where: str = "the table",
) -> dict[str, Any]:
    """The columns that firstlight knows, under our names; MissingColumnError if a needed one is absent."""
    found = find_columns(columns, dict(spellings) | dict(PER_OBJECT))
    require(found, columns, spellings, where)
    return {name: columns[theirs] for name, theirs in found.items()}


def require(
    found: Mapping[str, str], header: Any, spellings: Mapping[str, tuple[str, ...]], where: str
) -> None:
    """Raise MissingColumnError, with the table's columns, unless all needed columns were found."""
    missing = [" or ".join(spellings[name]) for name in NEEDED if name not in found]
    if missing:
        present = ", ".join(map(str, header))
        raise MissingColumnError(f"{where}: column(s) {', '.join(missing)} missing; it has {present}")


def plasticc_defaults(
    header: Any, zero_point: float | None, dereddened: bool | None, where: str
) -> dict[str, Any]:
    """Units that PLAsTiCC's own column names imply, as arguments of `RawTable`; plain arguments otherwise.

    Raises DataError if the fluxes of PLAsTiCC are called raw.
    """
    marked = find_columns(header, {name: (name,) for name in PLASTICC_MARKS})
    if not marked or "band" in find_columns(header, {"band": ("band",)}):
        return {"zero_point": zero_point, "dereddened": dereddened}
    if dereddened is False:
        raise DataError(f"{where}: PLAsTiCC's fluxes are corrected for Milky Way dust; leave dereddened out")
    return {
        "zero_point": SNANA_ZERO_POINT if zero_point is None else zero_point,
        "implied": zero_point is None,
        "dereddened": True,
        "depth": PLASTICC_DEPTH,
    }
