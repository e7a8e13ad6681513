"""Observations in long form, as foreign tables hold them, and the columns of light curves."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstlight._types import AnyArray, BoolArray, FloatArray, IntArray, StrArray
from firstlight.bands import BANDS, match_bands
from firstlight.errors import DataError, MissingColumnError

#: Columns with one value per observation, and their storage types.
OBSERVATION_COLUMNS: dict[str, Any] = {
    "mjd": np.float64,
    "band": np.int8,
    "flux": np.float32,
    "flux_err": np.float32,
    "detected": np.bool_,
}
#: Columns with one value per object. This is the allow-list of law 2: nothing else of a
#: survey's metadata gets in.
OBJECT_COLUMNS: dict[str, Any] = {
    "ra": np.float64,
    "dec": np.float64,
    "ebv": np.float32,
    "redshift": np.float32,
    "redshift_err": np.float32,
    "redshift_spec": np.float32,
}
REQUIRED_COLUMNS = ("mjd", "band", "flux", "flux_err")


@dataclass(frozen=True, slots=True, eq=False)
class ObservationRows:
    """Observations of a foreign source, one row each, not yet checked."""

    names: StrArray  # (n_objects,); names of the objects, unique
    owner: IntArray  # (n_rows,); position of each observation's object in `names`; -1 where it has none
    mjd: FloatArray  # (n_rows,); time [MJD day]
    band: NDArray[np.int8]  # (n_rows,); index into `firstlight.bands.BANDS`; -1 where the band is unknown
    # (n_rows,); flux and error in the units of the source
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
        """The same observations by object, then by time; ties keep the order of the source."""
        step = np.diff(self.owner)
        if np.all((step > 0) | ((step == 0) & (np.diff(self.mjd) >= 0))):
            return self
        return self.select(np.lexsort((self.mjd, self.owner)))

    def has_rows(self) -> BoolArray:
        """Which names own an observation, shape (n_objects,)."""
        owns = np.zeros(len(self.names), dtype=bool)
        owns[self.owner[self.owner >= 0]] = True
        return owns

    def pruned(self) -> Self:
        """The same observations without the names that own none."""
        owns = self.has_rows()
        if owns.all():
            return self
        position = np.cumsum(owns) - 1
        owner = np.where(self.owner >= 0, np.append(position, -1)[self.owner], -1)
        return replace(self, names=self.names[owns], owner=owner)

    def columns(self) -> dict[str, Any]:
        """Keyword arguments of `LightCurves`, with the objects in the order of `names`.

        Raises DataError where an object has two observations of one band at one time: which of
        them counts must not depend on the order of rows.
        """
        rows = self.ordered()
        by_band = rows.select(np.lexsort((rows.band, rows.mjd, rows.owner)))
        same = (np.diff(by_band.owner) == 0) & (np.diff(by_band.mjd) == 0) & (np.diff(by_band.band) == 0)
        if same.any():
            first = int(np.flatnonzero(same)[0])
            raise DataError(
                f"object {str(self.names[by_band.owner[first]])!r}: two observations in band "
                f"{BANDS[by_band.band[first]]} at MJD {by_band.mjd[first]}; keep one "
                f"({int(same.sum())} such repetition(s) in all)"
            )
        counts = np.bincount(rows.owner, minlength=len(self.names))
        values: dict[str, Any] = {name: getattr(rows, name) for name in REQUIRED_COLUMNS}
        if rows.detected is not None:
            values["detected"] = rows.detected
        return {"object_id": self.names, "offsets": np.concatenate([[0], np.cumsum(counts)]), **values}


def require_columns(present: Iterable[Any], needed: Iterable[str], where: str) -> None:
    """Raise MissingColumnError unless all needed columns are present."""
    present = [str(name) for name in present]
    missing = [name for name in needed if name not in present]
    if missing:
        raise MissingColumnError(f"{where} has no column(s) {missing}; it has {present}")


def bands_from_arrow(values: Any) -> NDArray[np.int8]:
    """Band indices of an Arrow array of names, digits or integers; -1 where unknown."""
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    known = match_bands(str(value) for value in values.dictionary.to_pylist())
    return np.append(known, np.int8(-1))[np.asarray(values.indices.fill_null(len(known)))]


def names_of(values: Any) -> StrArray:
    """Object names as text; whole numbers lose nothing and gain no decimal point."""
    array = values if isinstance(values, pa.Array) else pa.array(np.asarray(values), from_pandas=True)
    if pa.types.is_floating(array.type):
        try:
            array = array.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise DataError(f"object names are no whole numbers ({error}); give them as text") from error
    return array.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False).astype(np.str_)
