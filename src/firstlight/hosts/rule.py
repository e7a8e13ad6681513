"""Choice between the redshifts of packets and context, and the answer over several redshifts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._types import BoolArray, Float32Array, FloatArray, IntArray
from firstlight.hosts.candidates import Candidates
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.curves import SPEC_REDSHIFT_ERR
from firstlight.predictions import Scores

#: Kinds of redshifts, by their codes.
KINDS = ("none", "photo", "spec")
_NONE, _PHOTO, _SPEC = range(len(KINDS))


@dataclass(frozen=True, eq=False)
class UsedRedshifts:
    """The redshifts that the answers of n objects use, one row per redshift.

    Attributes
    ----------
    version : str
        Version of the context.
    n_objects : int
        Number of objects; each has at least one row.
    owner : int64 array, shape (n_rows,)
        Position of the object, ascending.
    redshift, redshift_err : float32 arrays, shape (n_rows,)
        The redshift, and its error; NaN where none is known.
    kind : int8 array, shape (n_rows,)
        Index into `KINDS`.
    weight : float64 array, shape (n_rows,)
        Weight in the answer; those of an object sum to 1.
    from_context : bool array, shape (n_objects,)
        Whether the rows of an object are the candidates of the context; if not, its row is its own redshift.
    host_offset : float64 array, shape (n_objects,)
        Distance to the centre of the most probable candidate [arcsec]; NaN where unknown.
    failures : mapping of int to (str, str)
        Objects that could not be looked up, by position: the kind of the error, and the reason.
    """

    version: str
    n_objects: int
    owner: IntArray
    redshift: Float32Array
    redshift_err: Float32Array
    kind: NDArray[np.int8]
    weight: FloatArray
    from_context: BoolArray
    host_offset: FloatArray
    failures: Mapping[int, tuple[str, str]] = field(default_factory=dict)

    @cached_property
    def starts(self) -> IntArray:
        """First row of each object, shape (n_objects,)."""
        return np.searchsorted(self.owner, np.arange(self.n_objects))

    @cached_property
    def counts(self) -> IntArray:
        """Number of rows of each object, shape (n_objects,)."""
        return np.bincount(self.owner, minlength=self.n_objects)

    @cached_property
    def heaviest(self) -> IntArray:
        """Row with the largest weight of each object, the first of equal ones, shape (n_objects,)."""
        return _heaviest(self.owner, self.weight)

    def shown(self, curves: LightCurves) -> LightCurves:
        """The objects once per row, with that redshift in use."""
        rows = curves if len(self.owner) == len(curves) else curves.take(self.owner)
        return rows._derive(redshift=self.redshift, redshift_err=self.redshift_err)

    def marginal(self, scores: Scores) -> Scores:
        """Scores of the objects from those of their rows.

        Probabilities and anomaly scores are weighted means, summed in the order of the rows, so that they do
        not depend on the batch. A prediction set has the classes of all rows. Domain and bin of the class mix
        are those of the heaviest row.
        """
        if len(self.owner) == self.n_objects:
            return scores
        made = Scores.empty(self.n_objects, scores.proba.shape[1])
        for rank in range(int(self.counts.max(initial=0))):
            objects = np.flatnonzero(self.counts > rank)
            rows = self.starts[objects] + rank
            made.proba[objects] += self.weight[rows, None] * scores.proba[rows]
            made.anomaly[objects] += self.weight[rows] * scores.anomaly[rows]
            made.in_set[objects] |= scores.in_set[rows]
        made.domain[:], made.bin[:] = scores.domain[self.heaviest], scores.bin[self.heaviest]
        return made

    def columns(self) -> dict[str, Any]:
        """Columns of a table of objects: most probable redshift, error, kind, number, source, distance."""
        row = self.heaviest
        source = np.where(self.from_context, "context", "given")
        n = np.bincount(self.owner, self.kind != _NONE, minlength=self.n_objects).astype(np.int64)
        return {
            "redshift": self.redshift[row].astype(np.float64),
            "redshift_err": self.redshift_err[row].astype(np.float64),
            "redshift_kind": np.array(KINDS)[self.kind[row]],
            "redshift_source": np.where(n > 0, source, ""),
            "n_redshifts": n,
            "host_offset": self.host_offset,
            "context_error": [self.failures.get(k, ("", ""))[1] for k in range(self.n_objects)],
        }


def redshifts_in_use(
    curves: LightCurves,
    found: Candidates,
    version: str = "",
    failures: Mapping[int, tuple[str, str]] | None = None,
) -> UsedRedshifts:
    """The redshifts that the answers use.

    An object's own redshift is that of its packets or file, in use by the mode (`LightCurves.with_redshift`).
    Its own spectroscopic one, if in use, counts first. Then comes the context, if its most probable
    candidate has a spectroscopic redshift; then the object's own photometric one; then the context.
    Where the context counts, all its candidates do.
    """
    n = len(curves)
    is_spec, is_photo = np.isfinite(found.redshift_spec), np.isfinite(found.redshift)
    kind = np.where(is_spec, _SPEC, np.where(is_photo, _PHOTO, _NONE)).astype(np.int8)
    first = _heaviest(found.owner, found.weight)
    spec_first, offset = np.zeros(n, np.bool_), np.full(n, np.nan)
    spec_first[found.owner[first]] = is_spec[first]
    offset[found.owner[first]] = found.host_offset[first]
    known = np.bincount(found.owner, kind != _NONE, minlength=n) > 0
    own = np.isfinite(curves.redshift)
    own_spec = own & (curves.redshift == curves.redshift_spec)
    own_spec &= curves.redshift_err == _spec_err(curves.redshift_spec)
    use = known & ((spec_first & ~own_spec) | ~own)
    others, chosen = np.flatnonzero(~use), use[found.owner]
    total = np.bincount(found.owner, found.weight, minlength=n)
    owner = np.append(others, found.owner[chosen])
    order = np.argsort(owner, kind="stable")

    def column(mine: Any, its: Any) -> Any:
        return np.append(mine, its[chosen])[order]

    own_kind = np.where(own_spec, _SPEC, np.where(own, _PHOTO, _NONE)).astype(np.int8)
    redshift = np.where(is_spec, found.redshift_spec, found.redshift)
    error = np.where(is_spec, _spec_err(found.redshift_spec), found.redshift_err)
    return UsedRedshifts(
        version,
        n,
        owner[order],
        column(curves.redshift[others], redshift),
        column(curves.redshift_err[others], error),
        column(own_kind[others], kind),
        column(np.ones(len(others)), found.weight / total[found.owner]),
        use,
        offset,
        failures or {},
    )


def _spec_err(redshift: Float32Array) -> Float32Array:
    """Error of spectroscopic redshifts, as `LightCurves.with_redshift` gives it."""
    error: Float32Array = np.float32(SPEC_REDSHIFT_ERR) * (redshift > 0)
    return error


def _heaviest(owner: IntArray, weight: FloatArray) -> IntArray:
    """Row with the largest weight of each owner that occurs, the first of equal ones."""
    order = np.lexsort((np.arange(len(owner)), -weight, owner))
    return order[np.flatnonzero(np.diff(owner[order], prepend=-1))]
