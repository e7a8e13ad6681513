"""`LightCurves`: many light curves as flat columns plus offsets.

This type crosses every boundary of the package. It has no column for a label or a truth, which
live in tables of their own. Internal units: MJD (TAI) days, AB nJy, degrees.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from firstlight._types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray, StrArray
from firstlight.errors import DataError
from firstlight.lightcurves.check import check, order_of_ties
from firstlight.lightcurves.curve import LightCurve
from firstlight.lightcurves.describe import curves_html, curves_text
from firstlight.lightcurves.names import SURVEY
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS
from firstlight.notebook import MOST_COMPLETIONS
from firstlight.text import some_of

if TYPE_CHECKING:
    from firstlight.lightcurves.reject import RejectLog

RedshiftMode = Literal["photo", "spec", "none"]
_ABSENT: Any = None  # stands for "not given" until __post_init__ fills the column
DETECTION_SNR = 5.0  # the difference-imaging threshold of LSST and PLAsTiCC
SPEC_REDSHIFT_ERR = 1e-3  # a spectroscopic host redshift, peculiar velocity included
_LARGEST_REDSHIFT_ERR = 10.0  # says nothing


def redshift_error(redshift: ArrayLike, redshift_err: ArrayLike) -> FloatArray:
    """Errors of redshifts as models read them: 0 in the Milky Way, else at least `SPEC_REDSHIFT_ERR`.

    An error that is 0 or not stated is that of a spectroscopic redshift; that of an unknown redshift is NaN.

    Examples
    --------
    >>> redshift_error([0.1, 0.1, 0.1, 0.0], [0.02, 0.0, np.nan, np.nan]).tolist()
    [0.02, 0.001, 0.001, 0.0]
    """
    z, err = np.asarray(redshift, np.float64), np.asarray(redshift_err, np.float64)
    stated = np.minimum(np.fmax(err, SPEC_REDSHIFT_ERR), _LARGEST_REDSHIFT_ERR)
    return np.where(np.isnan(z), np.nan, np.where(z == 0.0, 0.0, stated))


@dataclass(frozen=True, slots=True, eq=False)
class LightCurves:
    """Light curves of many objects as flat columns.

    Object ``i`` owns the observations ``offsets[i]:offsets[i + 1]`` of every
    observation column, sorted by time. Arrays are stored as read-only views.

    Parameters
    ----------
    object_id : str array, shape (n_objects,)
        Unique names of the objects.
    offsets : int64 array, shape (n_objects + 1,)
        Where each object's observations begin; starts at 0 and never falls.
    mjd : float64 array, shape (n_total,)
        Times [MJD day], ascending within an object. Observations at one time are put in order of
        band, as the stream orders them.
    band : int8 array, shape (n_total,)
        Index into `firstlight.bands.BANDS`.
    flux, flux_err : float32 arrays, shape (n_total,)
        Difference flux and its positive error [nJy].
    detected : bool array, shape (n_total,), optional
        Whether the survey called it a detection; by default |flux| > 5 flux_err.
    ra, dec : float64 arrays, shape (n_objects,), optional
        Position, ICRS [degree]; NaN where unknown.
    ebv : float32 array, shape (n_objects,), optional
        Milky Way E(B-V) [mag]; NaN where unknown.
    redshift, redshift_err : float32 arrays, shape (n_objects,), optional
        Host redshift in use (photometric as read) and its error. 0 states a Milky Way
        object; NaN means unknown.
    redshift_spec : float32 array, shape (n_objects,), optional
        Spectroscopic host redshift; NaN where unknown. No model reads it unless
        `with_redshift` puts it in use.
    dereddened : bool
        Whether the source already corrected the fluxes for Milky Way dust.
    survey : str array, shape (n_objects,), optional
        Survey of the observations, ``ztf`` or ``ps1+ztf``; empty where unknown. No model reads it.

    Raises
    ------
    DataError
        If lengths disagree, times are unsorted, a value is not finite, an error is not
        positive, a band is unknown, a redshift is negative (-9, say) or infinite, an object
        has two observations of one band at one time, or an object name occurs twice. The
        message names the object.
    """

    object_id: StrArray
    offsets: IntArray
    mjd: FloatArray
    band: NDArray[np.int8]
    flux: Float32Array
    flux_err: Float32Array
    detected: BoolArray = _ABSENT
    ra: FloatArray = _ABSENT
    dec: FloatArray = _ABSENT
    ebv: Float32Array = _ABSENT
    redshift: Float32Array = _ABSENT
    redshift_err: Float32Array = _ABSENT
    redshift_spec: Float32Array = _ABSENT
    dereddened: bool = False
    survey: StrArray = _ABSENT
    _checked: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if self._checked:
            return
        _store(self, "object_id", np.asarray(self.object_id, dtype=np.str_))
        _store(self, "offsets", np.asarray(self.offsets, dtype=np.int64))
        if self.detected is _ABSENT:
            flux, flux_err = (np.asarray(x, np.float64) for x in (self.flux, self.flux_err))
            _store(self, "detected", np.abs(flux) > DETECTION_SNR * flux_err)
        for name, dtype in OBSERVATION_COLUMNS.items():
            _store(self, name, np.asarray(getattr(self, name), dtype=dtype))
        for name, dtype in OBJECT_COLUMNS.items():
            value = getattr(self, name)
            if value is _ABSENT:
                value = np.full(len(self.object_id), np.nan, dtype=dtype)
            _store(self, name, np.asarray(value, dtype=dtype))
        survey = np.full(len(self.object_id), "") if self.survey is _ABSENT else self.survey
        _store(self, SURVEY, np.asarray(survey, dtype=np.str_))
        check(self)
        order = order_of_ties(self)
        if order is not None:
            for name in OBSERVATION_COLUMNS:
                _store(self, name, getattr(self, name)[order])
        object.__setattr__(self, "_checked", True)

    @classmethod
    def empty(cls) -> Self:
        """Light curves of no object."""
        nothing: Any = np.empty(0)
        return cls(np.empty(0, "U1"), np.zeros(1, np.int64), nothing, nothing, nothing, nothing)

    # --- size and time -------------------------------------------------------

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.object_id)

    def __repr__(self) -> str:
        """Numbers, bands, time span, and the first objects."""
        return curves_text(self)

    def _repr_html_(self) -> str:
        """`repr` for notebooks."""
        return curves_html(self)

    @property
    def n_obs(self) -> IntArray:
        """Observations of each object, shape (n_objects,)."""
        return self.offsets[1:] - self.offsets[:-1]  # `np.diff` takes five times as long for one object

    @property
    def object_index(self) -> IntArray:
        """Position of the owner of every observation, shape (n_total,)."""
        return np.repeat(np.arange(len(self)), self.n_obs)

    @property
    def trigger_mjd(self) -> FloatArray:
        """First detection of each object [MJD]; NaN where there is none, shape (n_objects,)."""
        trigger = np.full(len(self), np.nan)
        where = np.flatnonzero(self.detected)
        owner = np.searchsorted(self.offsets, where, side="right") - 1
        first_of, first_at = np.unique(owner, return_index=True)
        trigger[first_of] = self.mjd[where[first_at]]
        return trigger

    @property
    def phase(self) -> FloatArray:
        """Days since the object's trigger of every observation; NaN without one, shape (n_total,)."""
        return self.mjd - np.repeat(self.trigger_mjd, self.n_obs)

    @property
    def last_phase(self) -> NDArray[np.float64]:
        """Days from trigger to the last observation; NaN without either, shape (n_objects,)."""
        last = np.full(len(self), np.nan)
        some = self.n_obs > 0
        last[some] = self.mjd[self.offsets[1:][some] - 1]
        return last - self.trigger_mjd

    @property
    def fingerprint(self) -> str:
        """sha256 of all but `survey`, names included: equal where light curves are equal."""
        digest = hashlib.sha256(str(self.dereddened).encode())
        for name in ("offsets", *OBSERVATION_COLUMNS, *OBJECT_COLUMNS):
            digest.update(np.ascontiguousarray(getattr(self, name)).data)
        digest.update("\n".join(self.object_id.tolist()).encode())
        return digest.hexdigest()

    # --- selection ------------------------------------------------------------

    def __iter__(self) -> Iterator[LightCurve]:
        """Iterate over single objects."""
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, index: int | str) -> LightCurve: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | str | slice) -> "LightCurve | LightCurves":
        """One object by position or, as `find` does, by name; several by a slice of positions."""
        if isinstance(index, str):
            return self.find(index)
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = range(len(self))[index]
        window = slice(self.offsets[index], self.offsets[index + 1])
        values = {name: getattr(self, name)[window] for name in OBSERVATION_COLUMNS}
        values |= {name: float(getattr(self, name)[index]) for name in OBJECT_COLUMNS}
        values |= {name: str(getattr(self, name)[index]) for name in ("object_id", SURVEY)}
        return LightCurve(dereddened=self.dereddened, **values)

    def __contains__(self, object_id: object) -> bool:
        """Whether there is an object of that name."""
        return isinstance(object_id, str) and bool((self.object_id == object_id).any())

    def _ipython_key_completions_(self) -> list[str]:
        return self.object_id[:MOST_COMPLETIONS].tolist()

    def find(self, object_id: str) -> LightCurve:
        """One object by name; raises DataError if there is none."""
        where = np.flatnonzero(self.object_id == str(object_id))
        if not len(where):
            raise DataError(
                f"no object {object_id!r} among {len(self)} light curves: {some_of(self.object_id.tolist())}"
            )
        return self[int(where[0])]

    def take(self, index: ArrayLike) -> Self:
        """Objects at the given positions, or where a mask of shape (n_objects,) is true.

        Their order is that of the positions; a repeated position repeats the object.
        """
        index = np.asarray(index)
        if index.dtype == np.bool_:
            index = np.flatnonzero(index)
        index = index.astype(np.int64)
        rows = self.rows_of(index)
        offsets = np.concatenate([[0], np.cumsum(self.n_obs[index])])
        values = {name: getattr(self, name)[rows] for name in OBSERVATION_COLUMNS}
        values |= {name: getattr(self, name)[index] for name in ("object_id", *OBJECT_COLUMNS, SURVEY)}
        return self._derive(offsets=offsets, **values)

    def rows_of(self, index: IntArray) -> IntArray:
        """Positions of all observations of the objects at the given positions, in that order."""
        counts = self.n_obs[index]
        before = np.cumsum(counts) - counts
        return np.arange(int(counts.sum())) + np.repeat(self.offsets[:-1][index] - before, counts)

    def keep(self, mask: BoolArray) -> Self:
        """The same objects with only the observations where `mask` is true, shape (n_total,)."""
        kept = np.concatenate([[0], np.cumsum(mask)])
        values = {name: getattr(self, name)[mask] for name in OBSERVATION_COLUMNS}
        return self._derive(offsets=kept[self.offsets], **values)

    def upto_mjd(self, mjd: ArrayLike) -> Self:
        """The same objects with only the observations up to a time, inclusive [MJD].

        The time is a number or one per object; NaN keeps all observations of that object.
        """
        limit = np.broadcast_to(np.asarray(mjd, dtype=np.float64), (len(self),))
        return self.keep(~(self.mjd > np.repeat(limit, self.n_obs)))

    def upto_phase(self, days: ArrayLike) -> Self:
        """The same objects with only the observations up to `days` after the trigger, inclusive.

        `days` is a number or one per object. Objects that never triggered keep all observations.
        """
        return self.upto_mjd(self.trigger_mjd + np.asarray(days, dtype=np.float64))

    # --- change ---------------------------------------------------------------

    def with_columns(self, **columns: AnyArray) -> Self:
        """A copy with whole columns replaced (same shapes), checked as by the constructor."""
        return replace(self, **columns, _checked=False)  # type: ignore[arg-type]

    def with_redshift(self, mode: RedshiftMode) -> Self:
        """Choose which host redshift the models see.

        Parameters
        ----------
        mode : {"photo", "spec", "none"}
            ``photo`` keeps the photometric one; ``spec`` uses the spectroscopic one where
            known, else the photometric; ``none`` hides it (NaN).
        """
        if mode == "photo":
            return self
        if mode == "none":
            unknown = np.full(len(self), np.nan, dtype=np.float32)
            return self._derive(redshift=unknown, redshift_err=unknown, redshift_spec=unknown)
        if mode != "spec":
            raise DataError(f"redshift mode {mode!r}: choose photo, spec or none")
        known = np.isfinite(self.redshift_spec)
        return self._derive(
            redshift=np.where(known, self.redshift_spec, self.redshift),
            redshift_err=np.where(
                known, np.float32(SPEC_REDSHIFT_ERR) * (self.redshift_spec > 0), self.redshift_err
            ).astype(np.float32),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self], *, check: bool = True) -> Self:
        """Join light curves of several sets.

        Parameters
        ----------
        parts : sequence of LightCurves
            At least one; all dereddened or none.
        check : bool
            Whether to reject repeated object names. Training copies repeat them on purpose.

        Raises
        ------
        DataError
            If `parts` is empty, mixes dereddened and raw fluxes, or repeats a name.
        """
        if not parts:
            raise DataError("nothing to concatenate")
        if len({part.dereddened for part in parts}) > 1:
            raise DataError("cannot join dereddened fluxes with raw ones; correct them first")
        shift = np.cumsum([0, *(part.offsets[-1] for part in parts[:-1])])
        offsets = [part.offsets[:-1] + s for part, s in zip(parts, shift, strict=True)]
        offsets.append(np.array([shift[-1] + parts[-1].offsets[-1]]))
        names = ["object_id", *OBSERVATION_COLUMNS, *OBJECT_COLUMNS, SURVEY]
        values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(
            offsets=np.concatenate(offsets),
            dereddened=parts[0].dereddened,
            _checked=not check,
            **values,
        )

    # --- Arrow ----------------------------------------------------------------

    @classmethod
    def from_arrow(
        cls,
        table: pa.Table,
        *,
        zero_point: float | None = None,
        dereddened: bool | None = None,
        rejects: "RejectLog | None" = None,
    ) -> Self:
        """Wrap a nested Arrow table, such as that of `to_arrow`, without copying, or read any other.

        A table of `to_arrow` in one chunk is not copied. Any other with the columns of `from_pandas`, one row
        per observation or per object with lists, is read by the same rules. Parameters and errors are those
        of `from_pandas`.
        """
        from firstlight.lightcurves.foreign import convert

        return cls._of(convert.from_arrow(table, zero_point, dereddened, rejects))

    def to_arrow(self) -> pa.Table:
        """Nested Arrow table: one row per object, observations as list columns.

        Columns are ``object_id``, those of the object, and lists ``mjd`` [MJD], ``band``, ``flux``,
        ``flux_err`` [nJy] and ``detected`` (0 or 1). The schema's metadata state ``dereddened``.
        """
        from firstlight.lightcurves import export

        return export.to_arrow(self._columns(), self.dereddened)

    # --- other libraries --------------------------------------------------------

    @classmethod
    def from_pandas(
        cls,
        rows: Any,
        objects: Any = None,
        *,
        zero_point: float | None = None,
        dereddened: bool | None = None,
        rejects: "RejectLog | None" = None,
    ) -> Self:
        """Read a long DataFrame: one row per observation.

        Parameters
        ----------
        rows : pandas.DataFrame
            Columns ``object_id``, ``mjd`` [MJD (TAI), or JD, Unix time, datetimes], ``band`` (names or
            0 to 5), ``flux``, ``flux_err`` [nJy] and, optionally, ``detected``, ``zero_point`` or ``unit``,
            and the columns of `objects`; in any order of rows. PLAsTiCC's own names are known, too.
        objects : pandas.DataFrame, optional
            One row per object: ``object_id`` and any of ``ra``, ``dec``, ``ebv``,
            ``redshift``, ``redshift_err``, ``redshift_spec``, ``survey``. It sets the order of the
            objects; its other columns are not read.
        zero_point : float, optional
            AB zero point of the fluxes [mag]; by default as a column states, else nJy (31.4).
        dereddened : bool, optional
            Whether the fluxes are already corrected for Milky Way dust; by default as the table states
            (that of `to_pandas` does), else no.
        rejects : RejectLog, optional
            Takes bad rows and objects, each with its reason and value; the rest is read.

        Raises
        ------
        MissingColumnError, UnknownBandError, DataError
            If a column is absent or its unit cannot be right; without `rejects`, for the first bad
            row or object.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({
        ...     "object_id": "a", "mjd": [60000.0, 60003.0, 60007.0], "band": ["g", "r", "g"],
        ...     "flux": [900.0, 2000.0, 2600.0], "flux_err": 60.0,
        ... })
        >>> curves = LightCurves.from_pandas(table)
        >>> curves.n_obs, curves["a"].mjd[0]
        (array([3]), np.float64(60000.0))
        """
        from firstlight.lightcurves.foreign import convert

        return cls._of(convert.from_pandas(rows, objects, zero_point, dereddened, rejects))

    def to_pandas(self) -> tuple[Any, Any]:
        """DataFrames of observations and of objects, as `from_pandas` reads them.

        The objects have a column ``dereddened``, and both frames state it in their ``attrs``.
        """
        from firstlight.lightcurves import export

        return export.to_pandas(self._columns(), self.dereddened)

    @classmethod
    def from_nested(
        cls,
        frame: Any,
        name: str | None = None,
        *,
        zero_point: float | None = None,
        dereddened: bool | None = None,
        rejects: "RejectLog | None" = None,
    ) -> Self:
        """Read a nested-pandas ``NestedFrame``: one row per object, observations nested.

        Parameters
        ----------
        frame : nested_pandas.NestedFrame
            ``object_id`` as column or index, and the object columns of `from_pandas`.
        name : str, optional
            The nested column, with the observation columns of `from_pandas`; by default the only one, or
            ``lightcurve``.
        zero_point, dereddened, rejects
            As for `from_pandas`.

        Raises
        ------
        MissingColumnError, UnknownBandError, DataError
            As for `from_pandas`.
        """
        from firstlight.lightcurves.foreign import convert

        return cls._of(convert.from_nested(frame, name, zero_point, dereddened, rejects))

    def to_nested(self, name: str = "lightcurve") -> Any:
        """``NestedFrame`` as `from_nested` reads it, with bands as letters and a column ``dereddened``.

        Raises MissingExtraError if nested-pandas is not installed.
        """
        from firstlight.lightcurves import export

        return export.to_nested(self.to_arrow(), name)

    @classmethod
    def from_astropy(
        cls,
        curves: Any,
        *,
        zero_point: float | None = None,
        dereddened: bool | None = None,
        rejects: "RejectLog | None" = None,
    ) -> Self:
        """Read sncosmo-style astropy tables, one per object, or one table with ``object_id``.

        Parameters
        ----------
        curves : astropy.table.Table or sequence of them
            Columns ``time`` [MJD (TAI), JD or a ``Time``], ``band``, ``flux``, ``fluxerr``, ``zp`` [mag]
            and ``zpsys`` in any of sncosmo's spellings; fluxes with a unit need no ``zp``. Each row's flux is
            converted by its own zero point. Read from ``meta``, in any case: ``object_id`` (else the
            position), ``redshift`` or ``z``, ``mwebv``, ``ra``, ``dec``, ``dereddened``.
        zero_point, dereddened, rejects
            As for `from_pandas`.

        Raises
        ------
        MissingColumnError, UnknownBandError, DataError
            As for `from_pandas`; also if ``zpsys`` is not ``ab``.
        """
        from firstlight.lightcurves.foreign import convert

        return cls._of(convert.from_astropy(curves, zero_point, dereddened, rejects))

    def to_astropy(self) -> list[Any]:
        """sncosmo-style astropy tables, one per object, with ``zp`` 31.4 (nJy) and ``zpsys`` ``ab``.

        Their ``meta`` hold the object columns and ``dereddened``.
        """
        from firstlight.lightcurves import export

        return export.to_astropy(self._columns(), self.dereddened)

    # --- private --------------------------------------------------------------

    @classmethod
    def _of(cls, curves: "LightCurves") -> Self:
        """The same light curves as this class."""
        if type(curves) is cls:
            return curves
        return cls(**curves._columns(), dereddened=curves.dereddened)

    def _columns(self) -> dict[str, Any]:
        """All columns by name."""
        names = ("object_id", "offsets", *OBSERVATION_COLUMNS, *OBJECT_COLUMNS, SURVEY)
        return {name: getattr(self, name) for name in names}

    def _derive(self, **columns: Any) -> Self:
        """Replace columns whose validity follows from this object's."""
        new = object.__new__(type(self))
        for name in _FIELDS:
            value = columns[name] if name in columns else getattr(self, name)
            if name in columns and isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(new, name, value)
        return new


_FIELDS = tuple(f.name for f in fields(LightCurves))  # once: each update of the stream needs them


def _store(curves: LightCurves, name: str, value: AnyArray) -> None:
    view = value.view()
    view.setflags(write=False)
    object.__setattr__(curves, name, view)
