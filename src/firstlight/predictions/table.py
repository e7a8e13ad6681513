"""`Predictions`: status, class, probabilities and anomaly score of many objects, in memory and on disk.

The columns on disk are ``object_id``, ``status``, ``reason``, ``class``, one
``proba_<Class>`` for every class, ``anomaly``, ``n_obs``, ``phase``, ``domain``, ``domain_reason``, ``set``
and ``set_size``. CSV and JSON lines have six significant digits, Parquet is exact.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from firstlight._types import AnyArray, BoolArray, FloatArray, IntArray, StrArray
from firstlight.errors import DataError
from firstlight.mix import Brighter, ClassMix, under_mix
from firstlight.notebook import (
    MOST_COMPLETIONS,
    drawing,
)
from firstlight.predictions.describe import predictions_html, predictions_text
from firstlight.taxonomy import CLASSES, COARSE, Taxonomy
from firstlight.text import some_of

#: Domains of an object: observed like the objects of training, at the edge of them, unlike them, not known.
INSIDE, EDGE, OUTSIDE, UNKNOWN = "inside", "edge", "outside", "unknown"
DOMAINS = (INSIDE, EDGE, OUTSIDE, UNKNOWN)

#: Domains that ``--min-domain`` may demand.
Domain = Literal["inside", "edge"]
#: Reason of an object that was not classified for its domain.
BEYOND = "outside_domain"

CLASSIFIED = "classified"
NOT_CLASSIFIED = "not_classified"

_MOST_WORDS = 3  # in the warning
SUM_TOLERANCE = 1e-3  # six digits are good to 1e-5; a missing column is not
PROBA = "proba_"
SEPARATOR = "; "  # of the classes in a set, in files

_COLUMNS: dict[str, Any] = {
    "object_id": np.str_,
    "status": np.str_,
    "reason": np.str_,
    "label": np.str_,
    "proba": np.float64,
    "anomaly": np.float64,
    "n_obs": np.int64,
    "phase": np.float64,
    "domain": np.str_,
    "domain_reason": np.str_,
    "in_set": np.bool_,
}
_TABLES = ("proba", "in_set")  # of one column per class
#: Columns that predictions of another classifier lack, and their values then.
_ABSENT = {"domain": UNKNOWN, "domain_reason": ""}


_GROUPS = dict(COARSE)  # a plain dict, so that predictions can be pickled for another process


class Scores(NamedTuple):
    """Scores of some objects."""

    proba: FloatArray  # (n_objects, n_classes); calibrated probabilities of all classes
    anomaly: FloatArray  # (n_objects,); 0 to 1
    domain: IntArray  # (n_objects,); codes of `anomaly.TrainingDomain`, 0 where unknown
    bin: IntArray  # (n_objects,); bin of the stated class mix, 0 without one
    in_set: BoolArray  # (n_objects, n_classes); classes in the prediction set, none without sets

    @classmethod
    def empty(cls, n_objects: int, n_classes: int) -> Self:
        """Zeros for some objects."""
        domain, place = np.zeros((2, n_objects), np.int64)
        table = np.zeros((n_objects, n_classes))
        return cls(table, np.zeros(n_objects), domain, place, table > 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """One row per object. Arrays are stored as read-only views.

    Parameters
    ----------
    object_id : str array, shape (n_objects,)
        Unique names.
    status : str array, shape (n_objects,)
        ``classified`` or ``not_classified``.
    reason : str array, shape (n_objects,)
        Why an object was not classified; empty for those that were.
    label : str array, shape (n_objects,)
        The most probable class; empty where not classified.
    proba : float64 array, shape (n_objects, n_classes)
        Calibrated probabilities; the prior where not classified.
    anomaly : float64 array, shape (n_objects,)
        0 to 1, higher is more unusual; NaN where it was not computed.
    n_obs : int64 array, shape (n_objects,)
        Number of observations used.
    phase : float64 array, shape (n_objects,)
        Days from the trigger to the last observation used; NaN without a trigger.
    domain : str array, shape (n_objects,), optional
        ``inside``, ``edge`` or ``outside`` of the classifier's training set; by default ``unknown``.
    domain_reason : str array, shape (n_objects,), optional
        The inputs that are unlike those of training, in words; empty inside.
    in_set : bool array, shape (n_objects, n_classes), optional
        Whether each class is in the object's prediction set. It has the class of the answer, and few objects
        of any class lack their own (`Pipeline.load`). A row without any class: there is no set.
    classes : tuple of str
        Names of the columns of `proba`.
    prior : float64 array, shape (n_classes,) or (n_objects, n_classes), optional
        Class frequencies that the probabilities assume; None if not known, as after reading a file.
    groups : mapping of str to str
        Coarse group of each class; a class without one is a group of its own.

    Raises
    ------
    DataError
        If shapes disagree, a name repeats, a status is unknown, a label is not among
        `classes`, or a row of `proba` is not a probability distribution.
    """

    object_id: NDArray[np.str_]
    status: NDArray[np.str_]
    reason: NDArray[np.str_]
    label: NDArray[np.str_]
    proba: NDArray[np.float64]
    anomaly: NDArray[np.float64]
    n_obs: NDArray[np.int64]
    phase: NDArray[np.float64]
    domain: NDArray[np.str_] = None  # type: ignore[assignment]
    domain_reason: NDArray[np.str_] = None  # type: ignore[assignment]
    in_set: NDArray[np.bool_] = None  # type: ignore[assignment]
    classes: tuple[str, ...] = CLASSES
    prior: FloatArray | None = None
    groups: Mapping[str, str] = field(default_factory=lambda: dict(COARSE))

    def __post_init__(self) -> None:
        for name, value in _ABSENT.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(len(self.object_id), value))
        if getattr(self, "in_set") is None:  # noqa: B009 - its type has no None
            object.__setattr__(self, "in_set", np.zeros(np.shape(self.proba), np.bool_))
        for name, dtype in _COLUMNS.items():
            view = np.asarray(getattr(self, name), dtype).view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)
        _check(self)

    @classmethod
    def of(
        cls,
        scores: Scores,
        status: StrArray,
        reason: StrArray,
        prior: FloatArray,
        *,
        object_id: StrArray,
        n_obs: AnyArray,
        phase: FloatArray,
        domain: tuple[StrArray, StrArray] | None = None,
        min_domain: Domain | None = None,
        taxonomy: Taxonomy | None = None,
        check: bool = True,
    ) -> Self:
        """Predictions of scored objects; one that is not classified gets the prior, no label and no score.

        Of one that is not classified for its domain the score is known, and stays.

        Parameters
        ----------
        scores : Scores
            Probabilities and anomaly score of every object; not read where not classified.
        status, reason : str array, shape (n_objects,)
            As in `Predictions`.
        prior : float64 array, shape (n_classes,) or (n_objects, n_classes)
            Class frequencies that the probabilities assume.
        object_id, n_obs, phase : array, shape (n_objects,)
            As in `Predictions`.
        domain : (str array, str array), optional
            Domain of every object and its reason; not read where not classified.
        min_domain : {"inside", "edge"}, optional
            Objects further outside are not classified, with the reason ``outside_domain``.
        taxonomy : Taxonomy, optional
            Classes of the probabilities; by default those of firstlight.
        check : bool
            Whether to check the result. Checking a row costs more than classifying it does
            in a stream.
        """
        taxonomy = Taxonomy() if taxonomy is None else taxonomy
        thin = status != CLASSIFIED
        where, why = (np.full(len(status), value) for value in _ABSENT.values())
        if domain is not None:
            where, why = np.where(thin, UNKNOWN, domain[0]), np.where(thin, "", domain[1])
        if min_domain is not None:
            refused = (where == OUTSIDE) | ((where == EDGE) & (min_domain == INSIDE))
            status, reason = np.where(refused, NOT_CLASSIFIED, status), np.where(refused, BEYOND, reason)
        unsure = status != CLASSIFIED
        proba = np.where(unsure[:, None], prior, scores.proba)
        best = proba.argmax(axis=1)
        made: Callable[..., Self] = cls if check else cls.trusted
        return made(
            object_id=object_id,
            status=status,
            reason=reason,
            label=np.where(unsure, "", np.array(taxonomy.classes)[best]),
            proba=proba,
            anomaly=np.where(thin, np.nan, scores.anomaly),
            n_obs=n_obs,
            phase=phase,
            domain=where,
            domain_reason=why,
            in_set=_with_label(scores.in_set & ~unsure[:, None], best),
            prior=prior,
            classes=taxonomy.classes,
            groups=taxonomy.groups,
        )

    @classmethod
    def trusted(
        cls,
        prior: FloatArray | None = None,
        classes: tuple[str, ...] = CLASSES,
        groups: Mapping[str, str] = _GROUPS,
        **columns: NDArray[Any],
    ) -> Self:
        """Predictions of arrays of the right types, without any check."""
        new = object.__new__(cls)
        for name, value in {"prior": prior, "classes": classes, "groups": groups}.items():
            object.__setattr__(new, name, value)
        for name in _COLUMNS:
            view = columns[name].view()
            view.setflags(write=False)
            object.__setattr__(new, name, view)
        return new

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.object_id)

    def __repr__(self) -> str:
        """Numbers of objects per status and class, and the first rows."""
        return predictions_text(self)

    def _repr_html_(self) -> str:
        """`repr` for notebooks, with bars of the largest probabilities."""
        return predictions_html(self)

    def __getitem__(self, index: int | str | slice) -> Self:
        """Predictions of one object by name or position, or of several by a slice of positions.

        Raises DataError if no object has the name.
        """
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        if not isinstance(index, str):
            return self.take([range(len(self))[index]])
        where = np.flatnonzero(self.object_id == index)
        if not len(where):
            raise DataError(
                f"no object {index!r} among {len(self)} predictions: {some_of(self.object_id.tolist())}"
            )
        return self.take(where)

    def __contains__(self, object_id: object) -> bool:
        """Whether there is an object of that name."""
        return isinstance(object_id, str) and bool((self.object_id == object_id).any())

    def _ipython_key_completions_(self) -> list[str]:
        return self.object_id[:MOST_COMPLETIONS].tolist()

    @property
    def is_classified(self) -> NDArray[np.bool_]:
        """Whether each object was classified, shape (n_objects,)."""
        return np.asarray(self.status == CLASSIFIED)

    @property
    def coarse(self) -> FloatArray:
        """Probabilities of the groups `coarse_groups`, shape (n_objects, n_groups).

        That of a group is the sum over its classes.
        """
        group_of = np.array([self.groups.get(name, name) for name in self.classes])
        sums = [self.proba[:, group_of == group].sum(axis=1) for group in self.coarse_groups]
        return np.stack(sums, axis=1)

    @property
    def coarse_groups(self) -> tuple[str, ...]:
        """Coarse groups in the order of their first class, the columns of `coarse`."""
        return tuple(dict.fromkeys(self.groups.get(name, name) for name in self.classes))

    @property
    def coarse_label(self) -> StrArray:
        """The most probable group of each object; empty where not classified, shape (n_objects,)."""
        best = np.array(self.coarse_groups)[self.coarse.argmax(axis=1)]
        return np.where(self.is_classified, best, "")

    @property
    def set_size(self) -> FloatArray:
        """Number of classes in each prediction set; NaN where there is none, shape (n_objects,)."""
        size = self.in_set.sum(axis=1).astype(np.float64)
        return np.where(size > 0.0, size, np.nan)

    @property
    def sets(self) -> list[tuple[str, ...]]:
        """Classes in each prediction set; empty where there is none."""
        rows, at = _distinct(self.in_set)
        names = [tuple(np.array(self.classes)[row].tolist()) for row in rows]
        return [names[k] for k in at]

    def take(self, index: ArrayLike) -> Self:
        """Objects at the given positions, in that order, or those where a mask is true."""
        index = np.asarray(index)
        index = index if index.dtype == np.bool_ else index.astype(np.int64)
        values = {name: getattr(self, name)[index] for name in _COLUMNS}
        prior = self.prior if self.prior is None or self.prior.ndim == 1 else self.prior[index]
        return type(self)(**values, classes=self.classes, prior=prior, groups=self.groups)

    def with_prior(
        self,
        prior: "str | Path | Mapping[str, float] | ClassMix",
        *,
        redshift: ArrayLike | None = None,
        magnitude: ArrayLike | None = None,
        trained: ArrayLike | None = None,
    ) -> Self:
        """Predictions under another class mix, such as the one of the objects' survey.

        Parameters
        ----------
        prior : str, path, mapping or ClassMix
            ``lsst``, ``bts``, a TOML file, or the frequency of each class in any unit; see `ClassMix`.
        redshift, magnitude : array_like, shape (n_objects,), optional
            For mixes that depend on them: host redshift, and AB magnitude of the brightest observation;
            NaN where unknown. One number stands for all objects.
        trained : array_like, shape (n_classes,), optional
            Class frequencies that the probabilities assume; by default the `prior` of these predictions.

        Returns
        -------
        Predictions
            With new `proba`, `label` and `prior`; scores and domains stay. So do prediction sets, which
            gain the new class: their coverage holds for each class, hence under any mix.

        Raises
        ------
        SettingsError
            If the mix cannot be read or names an unknown class.
        DataError
            If the present class frequencies are not known, as of predictions from a file, or redshifts,
            magnitudes or frequencies do not fit the objects and classes.
        """
        before = self.assumed(trained)
        mix = ClassMix.read(prior)
        mix.check(self.classes)
        z = None if redshift is None else _of_each(redshift, "redshift", len(self))
        brighter = (
            None
            if magnitude is None
            else Brighter(-_of_each(magnitude, "magnitude", len(self)), lambda limit: -limit)
        )
        known = before if before.ndim == 1 else before.max(axis=0)
        after = mix.frequencies(self.classes, known)[mix.bin_of(z, brighter, len(self))]
        proba = under_mix(self.proba, before, after)
        proba = np.where(self.is_classified[:, None], proba, after)
        best = np.array(self.classes)[proba.argmax(axis=1)] if len(self) else np.empty(0, "U1")
        label = np.where(self.is_classified, best, "")
        in_set = _with_label(self.in_set, proba.argmax(axis=1)) if len(self) else self.in_set
        return replace(self, proba=proba, label=label, prior=after, in_set=in_set)

    def assumed(self, trained: ArrayLike | None = None) -> FloatArray:
        """Class frequencies that the probabilities assume: those that a user states, or `prior`.

        Raises DataError if neither is known, or the stated ones are not one number of 0 or more per class.
        """
        if trained is None and self.prior is not None:
            return self.prior
        if trained is None:
            raise DataError(
                "the class mix of these predictions is not known; state it as trained=FREQUENCIES"
            )
        stated = _of_each(trained, "trained", len(self.classes))
        if not (np.isfinite(stated).all() and (stated >= 0.0).all() and stated.sum() > 0.0):
            raise DataError("trained: class frequencies must be finite and not negative, and one positive")
        return stated

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join predictions of different objects.

        Raises
        ------
        DataError
            If there are no parts, their classes differ, or an object is in two of them.
        """
        if len({part.classes for part in parts}) != 1:
            raise DataError("predictions to join must be at least one and have the same classes")
        values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
        priors = [part.prior for part in parts if part.prior is not None]
        prior: FloatArray | None = None
        if len(priors) == len(parts):
            first = priors[0]
            same = first.ndim == 1 and all(np.array_equal(first, other) for other in priors)
            rows = [np.broadcast_to(own, part.proba.shape) for own, part in zip(priors, parts, strict=True)]
            prior = first if same else np.concatenate(rows)
        return cls(**values, classes=parts[0].classes, prior=prior, groups=parts[0].groups)

    def to_pandas(self) -> pd.DataFrame:
        """The table as it is on disk, at full precision.

        Examples
        --------
        >>> from firstlight import LightCurves, Pipeline
        >>> nothing = Pipeline.load("fast").predict(LightCurves.empty())
        >>> list(nothing.to_pandas().columns[:5])
        ['object_id', 'status', 'reason', 'class', 'proba_AGN']
        """
        columns = self._columns()
        # stated, since pandas infers another dtype for no text than for some
        texts = {
            name: pd.Series(values.astype(object), dtype=str)
            for name, values in columns.items()
            if values.dtype.kind == "U"
        }
        return pd.DataFrame(columns | texts)

    def to_astropy(self) -> Any:
        """The table of `to_pandas` as an astropy ``Table``, with phases in days."""
        from astropy.table import Table

        return Table(self._columns(), units={"phase": "d"})

    def plot(self) -> Any:
        """Draw the probabilities of one object, or the number of objects per class of several.

        Returns
        -------
        matplotlib.figure.Figure
            It has ``savefig``; a notebook shows it.
        """
        return drawing("predictions", "plot_predictions")(self)

    def _columns(self) -> dict[str, AnyArray]:
        """Columns of the table as it is on disk."""
        columns: dict[str, AnyArray] = {
            "object_id": self.object_id,
            "status": self.status,
            "reason": self.reason,
            "class": self.label,
        }
        columns |= {f"{PROBA}{name}": self.proba[:, k] for k, name in enumerate(self.classes)}
        return (
            columns
            | {"anomaly": self.anomaly, "n_obs": self.n_obs, "phase": self.phase}
            | {name: getattr(self, name) for name in _ABSENT}
            | {"set": np.array([SEPARATOR.join(names) for names in self.sets], np.str_)}
            | {"set_size": self.set_size}
        )


def domain_warning(predictions: Predictions) -> str | None:
    """One sentence on the objects that are unlike those of training; None if there are none."""
    known = predictions.domain != UNKNOWN
    outside = predictions.domain == OUTSIDE
    n = int(outside.sum())
    if not n:
        return None
    words: Counter[str] = Counter()
    for reason in predictions.domain_reason[outside].tolist():
        words.update(reason.split("; "))
    shown = ", ".join(word for word, count in words.most_common(_MOST_WORDS) if count >= n / 4)
    shown = shown or words.most_common(1)[0][0]
    looks = "looks" if n == 1 else "look"
    return (
        f"{n:,} of {int(known.sum()):,} objects {looks} unlike what this bundle was trained on: {shown}; "
        "check units and survey"
    )


def _of_each(values: ArrayLike, name: str, n: int) -> FloatArray:
    """One number for each of n objects or classes; DataError otherwise."""
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: not numbers: {error}") from error
    if found.shape not in ((), (n,)):
        raise DataError(f"{name}: shape {found.shape}; expected ({n},)")
    return np.broadcast_to(found, n)


def _with_label(in_set: BoolArray, best: IntArray) -> BoolArray:
    """Sets with the class of the answer; rows without a set stay."""
    rows = np.flatnonzero(in_set.any(axis=1))
    in_set = in_set.copy()
    in_set[rows, best[rows]] = True
    return in_set


def _distinct(in_set: BoolArray) -> tuple[list[BoolArray], list[int]]:
    """The distinct rows, and the number of each row among them."""
    packed = np.packbits(in_set, axis=1, bitorder="little").tobytes() if in_set.size else b""
    width = len(packed) // max(len(in_set), 1)
    place: dict[bytes, int] = {}
    rows: list[BoolArray] = []
    at: list[int] = []
    for i in range(len(in_set)):
        key = packed[i * width : (i + 1) * width]
        found = place.setdefault(key, len(rows))
        if found == len(rows):
            rows.append(in_set[i])
        at.append(found)
    return rows, at


def _lacks_label(table: Predictions) -> BoolArray:
    """Objects with a class and a set that does not have it."""
    own = table.in_set & (np.array(table.classes)[None, :] == table.label[:, None])
    return np.asarray(table.in_set.any(axis=1) & (table.label != "") & ~own.any(axis=1))


def _check(table: Predictions) -> None:
    n_objects = len(table.object_id)
    for name in _COLUMNS:
        shape = (n_objects, len(table.classes)) if name in _TABLES else (n_objects,)
        found = getattr(table, name).shape
        if found != shape:
            raise DataError(f"column {name!r} has shape {found}, expected {shape}")
    names, counts = np.unique(table.object_id, return_counts=True)
    if len(names) != n_objects:
        raise DataError(
            f"object {str(names[counts > 1][0])!r} is predicted {counts.max()} times; it must be once"
        )
    with np.errstate(invalid="ignore"):
        uneven = ~(np.abs(table.proba.sum(axis=1) - 1.0) <= SUM_TOLERANCE) | ~(table.proba >= 0.0).all(axis=1)
    problems = (
        (
            "status is neither classified nor not_classified",
            ~np.isin(table.status, (CLASSIFIED, NOT_CLASSIFIED)),
        ),
        ("domain is none of " + ", ".join(DOMAINS), ~np.isin(table.domain, DOMAINS)),
        ("probabilities are negative, not finite, or do not sum to 1", uneven),
        ("class is not one of the columns", (table.label != "") & ~np.isin(table.label, table.classes)),
        ("a prediction set without the class of the answer", _lacks_label(table)),
    )
    for text, bad in problems:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"object {str(table.object_id[row])!r}: {text} ({int(bad.sum())} such object(s) in all)"
            )
