"""`Candidates`: the possible hosts of some objects, with redshifts and weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from firstlight._types import Float32Array, FloatArray, IntArray, StrArray
from firstlight.errors import DataError

_COLUMNS: dict[str, Any] = {
    "owner": np.int64,
    "redshift": np.float32,
    "redshift_err": np.float32,
    "redshift_spec": np.float32,
    "weight": np.float64,
    "host_offset": np.float64,
}


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Possible hosts of some objects, one row each.

    Attributes
    ----------
    owner : int64 array, shape (n_candidates,)
        Position of the object, ascending; the candidates of an object in an order that never changes.
    redshift, redshift_err : float32 arrays, shape (n_candidates,)
        Photometric redshift and its error; 0 states an object of the Milky Way, NaN unknown.
    redshift_spec : float32 array, shape (n_candidates,)
        Spectroscopic redshift; NaN where unknown.
    weight : float64 array, shape (n_candidates,)
        How probable each candidate is among those of its object, in any unit, above 0. One without any
        redshift stands for an unknown host.
    host_offset : float64 array, shape (n_candidates,)
        Distance from the object to the host's centre [arcsec]; NaN where unknown.
    """

    owner: IntArray
    redshift: Float32Array
    redshift_err: Float32Array
    redshift_spec: Float32Array
    weight: FloatArray
    host_offset: FloatArray

    def __post_init__(self) -> None:
        for name, kind in _COLUMNS.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=kind))

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self.owner)

    @classmethod
    def none(cls) -> Self:
        """No candidates."""
        columns: dict[str, Any] = {name: np.empty(0) for name in _COLUMNS}
        return cls(**columns)

    @classmethod
    def joined(cls, parts: Sequence["Candidates"]) -> Self:
        """The candidates of parts, whose objects ascend from one part to the next."""
        parts = [cls.none(), *parts]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS))

    def of(self, place: int) -> Self:
        """The candidates of one object, as those of the object at another position."""
        return replace(self, owner=np.full(len(self), place))

    def checked(self, n_objects: int) -> Self:
        """The same candidates; DataError if they are impossible for this number of objects."""
        shapes = {name: getattr(self, name).shape for name in _COLUMNS}
        if len(set(shapes.values())) > 1 or self.owner.ndim != 1:
            raise DataError(f"columns of host candidates differ in length: {shapes}")
        if len(self) and not (self.owner[0] >= 0 and self.owner[-1] < n_objects):
            raise DataError(f"host candidates of object {self.owner[-1]}, but there are {n_objects}")
        if (np.diff(self.owner) < 0).any():
            raise DataError("host candidates are not in the order of the objects")
        if not (np.isfinite(self.weight) & (self.weight > 0.0)).all():
            raise DataError("a weight of a host candidate is not finite and above 0")
        for name in ("redshift", "redshift_err", "redshift_spec", "host_offset"):
            values = getattr(self, name)
            bad = np.flatnonzero(~np.isnan(values) & ~((values >= 0.0) & (values < np.inf)))
            if len(bad):
                raise DataError(f"{name} {values[bad[0]]:g} of a host candidate is negative or infinite")
        return self


class HostLookup(Protocol):
    """Finds the candidates of objects by name or position.

    The class of another package is called without arguments to make a lookup. Laws: equal arguments give
    equal candidates as long as its source does not change; the candidates of an object do not depend on the
    other objects of the call; no true class or true redshift is read. If it raises an error, it is
    called again for each object alone, and those for which it fails are answered without it.
    """

    def __call__(self, object_id: StrArray, ra: FloatArray, dec: FloatArray) -> Candidates:
        """Candidates of objects with these names and positions, ICRS [degree], NaN where unknown."""
        ...
