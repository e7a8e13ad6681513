"""`FrameClassifier`: a partition of light curves in, a frame of answers out, for LSDB, Dask and Spark."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from firstlight._types import IntArray, StrArray
from firstlight.data import read_table
from firstlight.data.read import object_column_of
from firstlight.errors import BundleError, DataError, SettingsError
from firstlight.lightcurves import LightCurves, RedshiftMode, RejectLog
from firstlight.lightcurves.foreign.values import as_arrow, distinct_names
from firstlight.lightcurves.names import OBJECT_SPELLINGS, find_columns
from firstlight.pipeline import Pipeline
from firstlight.predictions import UNKNOWN, Domain, Predictions

#: Status of an object whose row in a frame cannot be used; its reason says why.
SET_ASIDE = "set_aside"
_NO_REASON = "no observation can be used"
_WHERE = "the partition"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameClassifier:
    """Classify the objects of a frame: one row per object in, one row of answers per row out.

    It has no state but its settings, so that it can be sent to other processes; the bundle is loaded once in
    each. Dask and LSDB take the answer for an empty frame as ``meta``: it has the exact columns and dtypes.

    Parameters
    ----------
    bundle : str, path or Pipeline
        A bundle folder, the name of one that ships with firstlight, or a pipeline.
    redshift : {"photo", "spec", "none"}
        Which host redshift the classifier sees.
    upto_phase : float, optional
        Use only observations up to this many days after the first detection.
    prior : str, optional
        Class mix to assume; see `Pipeline.load`.
    min_domain : {"inside", "edge"}, optional
        See `Pipeline.load`.
    carry : sequence of str, optional
        Columns of the frame to keep beside the answers; by default those of the position.
    zero_point, dereddened, format, columns
        How the frame is read; see `firstlight.read`.
    verify_with : str, optional
        Public key that the bundle must be signed with.
    version : str
        Version that the bundle must have; empty for any.

    Examples
    --------
    >>> from firstlight import LightCurves
    >>> classify = FrameClassifier("fast")
    >>> frame = pd.DataFrame({
    ...     "object_id": [7, 8], "ra": [150.1, 150.2], "dec": [2.2, 2.3],
    ...     "mjd": [[60000.0, 60003.0], [60001.0]], "band": [["g", "r"], ["i"]],
    ...     "flux": [[900.0, 2000.0], [5.0]], "flux_err": [[60.0, 60.0], [60.0]],
    ... })
    >>> classify(frame)[["object_id", "status", "n_obs", "ra"]]
       object_id          status  n_obs     ra
    0          7      classified      2  150.1
    1          8  not_classified      1  150.2
    """

    bundle: str | Path | Pipeline = "default"
    redshift: RedshiftMode = "photo"
    upto_phase: float | None = None
    prior: str | None = None
    min_domain: Domain | None = None
    carry: Sequence[str] | None = None
    zero_point: float | None = None
    dereddened: bool | None = None
    format: str | None = None
    columns: str | None = None
    verify_with: str | None = None
    version: str = field(default="", kw_only=True)

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline, loaded once in each process.

        Raises BundleError if its version is not the one demanded, as on a computer with another bundle.
        """
        if isinstance(self.bundle, Pipeline):
            return self.bundle
        found = _loaded(str(self.bundle), self.prior, self.min_domain, self.verify_with)
        if self.version and found.bundle_version != self.version:
            raise BundleError(
                f"{self.bundle}: version {found.bundle_version} on this worker, {self.version} where the run "
                "was started; give all workers the same bundle"
            )
        return found

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Answers for a frame, with its index.

        Parameters
        ----------
        frame : DataFrame or NestedFrame
            One row per object: its name, its observations in one nested column or in columns of lists, and,
            where known, position, redshift and dust. Names of columns are recognised as in files.

        Returns
        -------
        DataFrame
            The columns of `Predictions.to_pandas`, and those of `carry`. The column of names keeps its name
            and dtype. A row that cannot be used has the status ``set_aside`` and the reason; the number of
            such rows is logged as a warning.

        Raises
        ------
        MissingColumnError, DataError
            If the frame has no light curves, or a column to carry collides with one of the answers.
        """
        if not len(frame):
            return self._joined(frame, self._no_answers(), self._kept(frame, ""))
        table = as_table(frame)
        log = RejectLog()
        found = self.objects(table, log, _WHERE)
        predictions = self.classify(found.curves)
        where = found.positions(predictions.object_id)
        answers = _aligned(predictions.to_pandas(), where, log, found.named.to_pylist())
        if len(log):
            _log.warning("%d row(s) or object(s) set aside: %s", len(log), log.summary())
        return self._joined(frame, answers, self._kept(frame, found.column))

    def objects(self, table: pa.Table, log: RejectLog, name: str) -> "Objects":
        """The light curves of a table with one row per object; unusable rows are logged.

        `name` stands for the table in messages. Raises as `firstlight.data.read_table`.
        """
        curves = read_table(
            table, name, log, self.zero_point, self.dereddened, format=self.format, columns=self.columns
        )
        column = self.name_column(table, name)
        return Objects(curves, column, as_arrow(table[column]))

    def classify(self, curves: LightCurves) -> Predictions:
        """Predictions of light curves with these settings, in one thread."""
        curves = curves.with_redshift(self.redshift)
        if self.upto_phase is not None:
            curves = curves.upto_phase(self.upto_phase)
        return self.pipeline.predict(curves, jobs=1)

    def pinned(self) -> "FrameClassifier":
        """The same with the version of its bundle, so that no worker uses another."""
        return replace(self, version=self.pipeline.bundle_version)

    def with_absolute_paths(self) -> "FrameClassifier":
        """The same with its files under names that hold in every folder."""
        given = {name: getattr(self, name) for name in ("bundle", "prior", "columns", "verify_with")}
        paths = {
            name: Path(text) for name, text in given.items() if isinstance(text, str) and "=" not in text
        }
        whole: dict[str, Any] = {name: str(path.resolve()) for name, path in paths.items() if path.exists()}
        return replace(self, **whole)

    def check_carry(self) -> None:
        """Raise SettingsError if a column to carry along has the name of one of the answers."""
        twice = sorted(set(self.carry or ()) & set(self._no_answers().columns) - {"object_id"})
        if twice:
            raise SettingsError(f"column(s) {twice} to carry along have names of the answers; rename them")

    def carried(self, names: Sequence[str]) -> list[str]:
        """Which of the columns with these names are kept beside the answers.

        Raises DataError if one to carry is absent or would collide with one of the answers.
        """
        if self.carry is None:
            return list(find_columns(names, {k: OBJECT_SPELLINGS[k] for k in ("ra", "dec")}).values())
        absent = [name for name in self.carry if name not in names]
        if absent:
            raise DataError(f"no column(s) {absent} to carry along; there are {', '.join(map(str, names))}")
        self.check_carry()
        return list(self.carry)

    def name_column(self, table: pa.Table, name: str) -> str:
        """The column of a table that names its objects; `name` stands for the table in messages."""
        return object_column_of(table, name, format=self.format, columns=self.columns)

    def _kept(self, frame: pd.DataFrame, names: str) -> list[str]:
        """Columns of the frame that stay: names of objects, and columns that are carried along."""
        if not names:  # an empty frame
            names = self.name_column(as_table(frame), _WHERE) if len(frame.columns) else ""
        index = [name for name in frame.index.names if name is not None]
        own = [names] if names and names not in index else []
        columns = [str(name) for name in frame.columns]
        return list(dict.fromkeys([*own, *self.carried(columns)]))

    def _joined(self, frame: pd.DataFrame, answers: pd.DataFrame, kept: list[str]) -> pd.DataFrame:
        answers.index = frame.index
        for name in kept:
            answers[name] = frame[name]
        return answers

    def _no_answers(self) -> pd.DataFrame:
        """The columns and dtypes of the answers, without rows."""
        return self.pipeline.predict(LightCurves.empty(), jobs=1).to_pandas()


class Objects(NamedTuple):
    """Light curves of a table with one row per object, and the names of its rows."""

    curves: LightCurves
    column: str  # of the names
    named: Any  # pyarrow array, shape (n_rows,): name of each row's object

    def positions(self, object_id: StrArray) -> IntArray:
        """Position of each row's object among some names, shape (n_rows,); -1 where it is not there."""
        names, owner = distinct_names(self.named)
        where = pd.Index(object_id).get_indexer(pd.Index(names)) if len(names) else np.empty(0, np.int64)
        return np.asarray(np.append(where, -1)[owner], dtype=np.int64)


# --- private --------------------------------------------------------------------


@lru_cache(maxsize=2)
def _loaded(bundle: str, prior: str | None, min_domain: Domain | None, key: str | None) -> Pipeline:
    return Pipeline.load(bundle, prior=prior, min_domain=min_domain, public_key=key)


def as_table(frame: pd.DataFrame) -> pa.Table:
    """The columns of a frame, and its named index, as an Arrow table."""
    columns: dict[str, Any] = {}
    for name in frame.columns:
        array = frame[name].array
        columns[str(name)] = array.struct_array if hasattr(array, "struct_array") else as_arrow(frame[name])
    for name in frame.index.names:
        if name is not None and str(name) not in columns:
            columns[str(name)] = as_arrow(frame.index.get_level_values(name).to_series())
    return pa.table(columns)


def _aligned(answers: pd.DataFrame, where: IntArray, log: RejectLog, named: list[Any]) -> pd.DataFrame:
    """One row of answers per row of the frame; objects without one are set aside with their reason."""
    missing = np.flatnonzero(where < 0)
    blank = _blank(len(missing), answers)
    if not len(missing):
        return answers.take(where).reset_index(drop=True)
    reasons = {reject.object_id: reject.reason for reject in reversed(list(log))}
    blank["object_id"] = [str(named[row]) for row in missing]
    blank["reason"] = [reasons.get(name, _NO_REASON) for name in blank["object_id"]]
    both = pd.concat([answers.take(where[where >= 0]), blank], ignore_index=True) if len(answers) else blank
    order = np.argsort(np.concatenate([np.flatnonzero(where >= 0), missing]), kind="stable")
    return both.take(order).reset_index(drop=True)


def _blank(n_rows: int, like: pd.DataFrame) -> pd.DataFrame:
    """Rows of objects without an answer, with the columns and dtypes of a table of answers."""
    stated = {"status": SET_ASIDE, "domain": UNKNOWN}
    columns = {}
    for name, dtype in like.dtypes.items():
        value: Any = np.nan if dtype.kind == "f" else 0 if dtype.kind == "i" else stated.get(str(name), "")
        columns[name] = pd.Series([value] * n_rows, dtype=dtype)
    return pd.DataFrame(columns)
