"""Selection of the objects of an archive to classify: by a list, and by a cone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from firstlight._types import BoolArray, FloatArray, StrArray
from firstlight.errors import SettingsError
from firstlight.text import number_in


@dataclass(frozen=True, slots=True)
class Cone:
    """A circle on the sky [degree, ICRS]."""

    ra: float
    dec: float
    radius: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cone of ``RA,DEC,RADIUS`` in degrees; SettingsError if the text is no cone."""
        try:
            ra, dec, radius = (number_in(word) for word in text.split(","))
        except ValueError:
            raise SettingsError(
                f"cone {text!r}: write it as RA,DEC,RADIUS in degrees, as 150.1,2.2,1"
            ) from None
        if not (0.0 <= ra <= 360.0 and -90.0 <= dec <= 90.0 and 0.0 < radius <= 180.0):
            raise SettingsError(
                f"cone {text!r}: RA is 0 to 360, DEC -90 to 90, and the radius more than 0 and at most 180 "
                "degrees"
            )
        return cls(ra, dec, radius)

    def contains(self, ra: FloatArray, dec: FloatArray) -> BoolArray:
        """Which positions [degree] are inside, shape (n_objects,); unknown ones are not."""
        away, up = np.radians(ra - self.ra), np.radians(dec)
        here = np.radians(self.dec)
        # haversine, which is exact for small angles
        half = np.sin((up - here) / 2) ** 2 + np.cos(up) * np.cos(here) * np.sin(away / 2) ** 2
        return np.asarray(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1))) <= np.radians(self.radius))


@dataclass(frozen=True)
class Selection:
    """The objects to classify; by default all."""

    objects: tuple[str, ...] | None = None  # names
    cone: Cone | None = None

    @cached_property
    def _names(self) -> StrArray:
        return np.unique(np.array(self.objects or (), dtype=np.str_))

    @property
    def is_some(self) -> bool:
        """Whether the selection may leave an object out."""
        return self.objects is not None or self.cone is not None

    def listed(self, object_id: StrArray) -> BoolArray:
        """Mask of the objects in the list, shape (n_objects,); all without a list."""
        if self.objects is None:
            return np.ones(len(object_id), dtype=bool)
        return np.isin(object_id, self._names)

    def inside(self, ra: FloatArray, dec: FloatArray) -> BoolArray:
        """Mask of the positions [degree] in the cone, shape (n_objects,); all without a cone."""
        return np.ones(len(ra), dtype=bool) if self.cone is None else self.cone.contains(ra, dec)

    def names_among(self, object_id: Sequence[str]) -> frozenset[str]:
        """The names of the list that are among some; empty without a list."""
        if self.objects is None:
            return frozenset()
        return frozenset(np.intersect1d(np.array(object_id, dtype=np.str_), self._names).tolist())
