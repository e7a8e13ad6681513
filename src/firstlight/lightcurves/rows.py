"""Observations in long form, and the columns of light curves."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight._types import AnyArray, BoolArray, FloatArray, IntArray, StrArray

#: Columns with one value per observation, and their storage types.
OBSERVATION_COLUMNS: dict[str, Any] = {
    "mjd": np.float64,
    "band": np.int8,
    "flux": np.float32,
    "flux_err": np.float32,
    "detected": np.bool_,
}
#: Columns with one value per object. This is the allow-list against leaks: nothing else of a
#: survey's metadata gets in.
OBJECT_COLUMNS: dict[str, Any] = {
    "ra": np.float64,
    "dec": np.float64,
    "ebv": np.float32,
    "redshift": np.float32,
    "redshift_err": np.float32,
    "redshift_spec": np.float32,
}
LARGEST_EBV = 1000.0  # mag; no line of sight through the Milky Way has more, so more is no E(B-V)
REQUIRED_COLUMNS = ("mjd", "band", "flux", "flux_err")


@dataclass(frozen=True, slots=True, eq=False)
class ObservationRows:
    """Observations of a foreign source, one row each, checked value by value but in any order."""

    names: StrArray  # (n_objects,); names of the objects, unique
    owner: IntArray  # (n_rows,); position of each observation's object in `names`
    mjd: FloatArray  # (n_rows,); time [MJD day]
    band: NDArray[np.int8]  # (n_rows,); index into `firstlight.bands.BANDS`
    # (n_rows,); flux and error [nJy]
    flux: FloatArray
    flux_err: FloatArray
    detected: BoolArray | None  # (n_rows,); the survey's detection flag, where it has one
    place: IntArray  # (n_rows,); line or row of each observation in its source

    def __len__(self) -> int:
        """Number of observations."""
        return len(self.owner)

    def select(self, index: AnyArray | slice) -> Self:
        """The observations at `index` (positions, mask or slice); all names stay."""
        columns = ("owner", "mjd", "band", "flux", "flux_err", "place")
        chosen: dict[str, Any] = {name: getattr(self, name)[index] for name in columns}
        detected = None if self.detected is None else self.detected[index]
        return replace(self, detected=detected, **chosen)

    def ordered(self) -> Self:
        """The same observations by object, then time, then band, as the stream orders them."""
        step, later, band = np.diff(self.owner), np.diff(self.mjd), np.diff(self.band.astype(np.int64))
        if np.all((step > 0) | ((step == 0) & ((later > 0) | ((later == 0) & (band >= 0))))):
            return self
        return self.select(np.lexsort((self.band, self.mjd, self.owner)))

    def has_rows(self) -> BoolArray:
        """Which names own an observation, shape (n_objects,)."""
        owns = np.zeros(len(self.names), dtype=bool)
        owns[self.owner] = True
        return owns

    def pruned(self) -> Self:
        """The same observations without the names that own none."""
        owns = self.has_rows()
        if owns.all():
            return self
        position = np.cumsum(owns) - 1
        return replace(self, names=self.names[owns], owner=position[self.owner])

    def columns(self) -> dict[str, Any]:
        """Keyword arguments of `LightCurves`, with the objects in the order of `names`."""
        rows = self.ordered()
        counts = np.bincount(rows.owner, minlength=len(self.names))
        values: dict[str, Any] = {name: getattr(rows, name) for name in REQUIRED_COLUMNS}
        if rows.detected is not None:
            values["detected"] = rows.detected
        return {"object_id": self.names, "offsets": np.concatenate([[0], np.cumsum(counts)]), **values}
