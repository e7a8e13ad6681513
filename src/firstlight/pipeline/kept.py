"""`KeptObjects`: a few training objects of each class, which a bundle shows beside an explained object.

They come from the objects that were trained on, never from those held out, and no answer depends on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from firstlight._types import AnyArray, FloatArray, IntArray, StrArray
from firstlight.errors import BundleError, DataError
from firstlight.lightcurves import LightCurves
from firstlight.splits import hash_fraction
from firstlight.storage import AGAIN, ArraySpec, read_arrays, read_state, write_arrays, write_state

LARGEST_N_OBSERVATIONS = 400  # of a kept object; longer light curves would fill a bundle
MOST_OBJECTS = 400  # that a bundle keeps, whatever its classes
_MOST_CANDIDATES = 1500  # of a class; distances between all pairs of more would take long
_SALT = "kept"
_OBJECT_COLUMNS = ("ra", "dec", "ebv", "redshift", "redshift_err")
_MOST_OBSERVATIONS = MOST_OBJECTS * LARGEST_N_OBSERVATIONS
_HALF = 65504.0  # the largest float16
_SPECS = {
    "n_obs": ArraySpec("int64", ("n_objects",), least=1, most=LARGEST_N_OBSERVATIONS),
    "start": ArraySpec("float64", ("n_objects",), least=0.0, most=1e6),
    "scale": ArraySpec("float64", ("n_objects",), least=0.0),
    "days": ArraySpec("float32", ("n_rows",), least=0.0, most=1e6),
    "band": ArraySpec("int8", ("n_rows",), least=0, most=127),
    "flux": ArraySpec("float16", ("n_rows",), least=-_HALF, most=_HALF),
    "flux_err": ArraySpec("float16", ("n_rows",), least=0.0, most=_HALF),
    "detected": ArraySpec("bool", ("n_rows",), least=0, most=1),
}


@dataclass(frozen=True, slots=True, eq=False)
class KeptObjects:
    """Raw light curves of some training objects, with their classes."""

    curves: LightCurves
    labels: StrArray  # (n_objects,)

    def __len__(self) -> int:
        return len(self.labels)

    def save(self, folder: Path) -> None:
        """Write ``kept.safetensors.gz`` and ``kept.json`` into a folder.

        Fluxes and errors keep three digits, times a tenth of a minute.
        """
        curves = self.curves
        first = curves.offsets[:-1]
        owner = curves.object_index
        top = np.maximum.reduceat(np.maximum(np.abs(curves.flux), curves.flux_err), first).astype(np.float64)
        arrays: dict[str, AnyArray] = {
            "n_obs": curves.n_obs.astype(np.int64),
            "start": curves.mjd[first],
            "scale": top,
            "days": np.round(curves.mjd - curves.mjd[first][owner], 4).astype(np.float32),
            "band": curves.band,
            "flux": (curves.flux / top[owner]).astype(np.float16),
            "flux_err": np.maximum(curves.flux_err / top[owner], np.finfo(np.float16).tiny).astype(
                np.float16
            ),
            "detected": curves.detected,
        }
        arrays |= {name: getattr(curves, name) for name in _OBJECT_COLUMNS}
        write_arrays(folder / "kept.safetensors.gz", arrays)
        state = {
            "object_id": curves.object_id.tolist(),
            "labels": self.labels.tolist(),
            "survey": curves.survey.tolist(),
            "dereddened": curves.dereddened,
        }
        write_state(folder / "kept.json", state)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the files of `save`; BundleError if one is missing or damaged."""
        state = read_state(folder / "kept.json", _Saved)
        n = len(state.object_id)
        path = folder / "kept.safetensors.gz"
        if not 0 < n <= MOST_OBJECTS or {len(state.labels), len(state.survey)} != {n}:
            raise BundleError(f"{folder}: {n} names for {len(state.labels)} labels; {AGAIN}")
        arrays = read_arrays(path, _SPECS, n_objects=n)
        if len(arrays["days"]) > _MOST_OBSERVATIONS or arrays["n_obs"].sum() != len(arrays["days"]):
            raise BundleError(f"{path}: the objects do not own its {len(arrays['days'])} rows; {AGAIN}")
        loose = read_arrays(path)
        try:
            return cls(_curves(state, arrays, loose), np.array(state.labels, dtype=np.str_))
        except (DataError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{path}: {error}; {AGAIN}") from error


def choose(curves: LightCurves, labels: StrArray, place: FloatArray, per_class: int) -> KeptObjects | None:
    """The most typical objects of each class, equally many: no object is far from a chosen one.

    Parameters
    ----------
    curves : LightCurves
        Raw training objects.
    labels : str array, shape (n_objects,)
        Their classes.
    place : float64 array, shape (n_objects, n_axes)
        Coordinates in which alike objects are near each other.
    per_class : int
        Objects per class; 0 keeps none. Classes share `MOST_OBJECTS`.
    """
    names = np.unique(labels)
    per_class = min(per_class, MOST_OBJECTS // max(len(names), 1))
    usable = (curves.n_obs > 0) & (curves.n_obs <= LARGEST_N_OBSERVATIONS) & np.isfinite(curves.trigger_mjd)
    fraction = hash_fraction(curves.object_id, _SALT)
    chosen: list[int] = []
    for name in names:
        own = np.flatnonzero(usable & (labels == name))
        own = own[np.argsort(fraction[own], kind="stable")][:_MOST_CANDIDATES]
        chosen += own[_medoids(place[own], per_class)].tolist()
    if not chosen:
        return None
    return KeptObjects(curves.take(np.array(chosen)).with_columns(), labels[chosen])


@dataclass(frozen=True)
class _Saved:
    """The content of ``kept.json``."""

    object_id: tuple[str, ...]
    labels: tuple[str, ...]
    survey: tuple[str, ...]
    dereddened: bool = False


def _curves(state: _Saved, arrays: Mapping[str, Any], loose: Mapping[str, Any]) -> LightCurves:
    """Light curves of checked arrays, and of `loose` ones, which may hold NaN."""
    n_obs, scale = arrays["n_obs"], arrays["scale"]
    owner = np.repeat(np.arange(len(n_obs)), n_obs)
    return LightCurves(
        object_id=np.array(state.object_id, dtype=np.str_),
        offsets=np.concatenate([[0], np.cumsum(n_obs)]),
        mjd=arrays["start"][owner] + arrays["days"].astype(np.float64),
        band=arrays["band"],
        flux=(arrays["flux"] * scale[owner]).astype(np.float32),
        flux_err=(arrays["flux_err"] * scale[owner]).astype(np.float32),
        detected=arrays["detected"],
        dereddened=state.dereddened,
        survey=np.array(state.survey, dtype=np.str_),
        **{name: loose[name] for name in _OBJECT_COLUMNS},
    )


def _medoids(place: FloatArray, n_chosen: int) -> IntArray:
    """Positions of points of which one is near to any other, chosen one by one."""
    distance = np.sqrt(np.maximum(_squared_distances(place), 0.0))
    nearest = np.full(len(place), np.inf)
    chosen: list[int] = []
    for _ in range(min(n_chosen, len(place))):
        cost = np.minimum(distance, nearest[:, None]).sum(axis=0)
        cost[chosen] = np.inf
        chosen.append(int(cost.argmin()))
        nearest = np.minimum(nearest, distance[:, chosen[-1]])
    return np.array(chosen, dtype=np.int64)


def _squared_distances(place: FloatArray) -> FloatArray:
    square = (place**2).sum(axis=1)
    return np.asarray(square[:, None] + square[None, :] - 2.0 * place @ place.T)
