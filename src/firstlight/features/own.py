"""Features of other packages, offered as entry points; see `OwnFeatures`."""

from typing import Protocol

import numpy as np

from firstlight._types import Float32Array
from firstlight.errors import DataError, NotOfferedError, SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.plugins import errors_of, made, offered

#: Group of entry points by which other packages offer features; their values are ``package.module:Class``.
ENTRY_POINTS = "firstlight.features"


class OwnFeatures(Protocol):
    """Features of another package; the class is called without arguments.

    Laws: the row of an object does not depend on the others, a truncated light curve gives the features
    at that time, no name, absolute time or label is read, and a feature that the observations do not
    determine is NaN.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns; none is a column of firstlight."""
        ...

    def __call__(self, curves: LightCurves) -> Float32Array:
        """Values of preprocessed light curves, shape (n_objects, n_names)."""
        ...


def check_own(kinds: tuple[str, ...]) -> None:
    """Raise NotOfferedError for features that no installed package offers; nothing else is ever imported."""
    found = offered(ENTRY_POINTS)
    for kind in kinds:
        if kind not in found:
            raise NotOfferedError(
                f"features {kind!r}: install a package with an entry point of that value in the group "
                f"{ENTRY_POINTS}; offered are {', '.join(found) or 'none'}"
            )


def own_features(kinds: tuple[str, ...]) -> list[OwnFeatures]:
    """The features of some kinds."""
    check_own(kinds)
    found = offered(ENTRY_POINTS)
    return [_named(made(found[kind], "features"), kind) for kind in kinds]


def own_names(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Names of their columns, in order."""
    return tuple(name for one in own_features(kinds) for name in one.names)


def own_columns(kinds: tuple[str, ...], curves: LightCurves) -> Float32Array:
    """Their columns, shape (n_objects, n_names); DataError if one returns another shape."""
    parts = [np.empty((len(curves), 0), dtype=np.float32)]
    for kind, one in zip(kinds, own_features(kinds), strict=True):
        with errors_of(f"features {kind!r} fail"):
            values = np.asarray(one(curves), dtype=np.float32)
        if values.shape != (len(curves), len(one.names)):
            raise DataError(
                f"features {kind!r} gave an array of shape {values.shape} for {len(curves)} objects and "
                f"{len(one.names)} names"
            )
        parts.append(np.where(np.isfinite(values), values, np.float32(np.nan)))
    return np.hstack(parts)


def _named(one: OwnFeatures, kind: str) -> OwnFeatures:
    """Features as they are; SettingsError unless they state the names of their columns."""
    names = getattr(one, "names", None)
    if not isinstance(names, tuple | list) or not names or not all(isinstance(n, str) and n for n in names):
        raise SettingsError(f"features {kind!r}: names must be a tuple of column names, not {names!r}")
    return one
