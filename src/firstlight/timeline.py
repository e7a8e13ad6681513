"""`Timeline`: the answers for one object after each night, as they came."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from firstlight._types import FloatArray, StrArray
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurve, LightCurves
from firstlight.notebook import LONGEST, drawing, html_panel, html_table
from firstlight.predictions import Predictions
from firstlight.text import printable

NIGHT_GAP = 0.5  # day; observations further apart belong to two nights
_ANSWER = ", answer "


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Answers for one object, each from the observations up to a time.

    Attributes
    ----------
    curve : LightCurve
        All observations of the object.
    mjd : float64 array, shape (n_answers,)
        Time of the last observation that each answer uses [MJD], ascending.
    predictions : Predictions
        One row per time; each row's name is the object's with its position in the timeline.
    """

    curve: LightCurve
    mjd: FloatArray
    predictions: Predictions

    def __post_init__(self) -> None:
        if len(self.mjd) != len(self.predictions):
            raise DataError(f"{len(self.mjd)} times for {len(self.predictions)} predictions")

    def __len__(self) -> int:
        """Number of answers."""
        return len(self.mjd)

    def __repr__(self) -> str:
        """Name of the object and the answers where the class changes."""
        rows = [f"  day {day}: {name} {proba}" for day, name, proba in self._changes()]
        return "\n".join([self._title(), *rows])

    def _repr_html_(self) -> str:
        """`repr` for notebooks."""
        return html_panel(self._title(), html_table(("day", "class", "probability"), self._changes()))

    def _title(self) -> str:
        name = printable(self.curve.object_id, LONGEST)
        return f"Timeline of object {name}: {len(self)} answers; where the class changes:"

    def _changes(self) -> list[tuple[str, str, str]]:
        """Phase, class and its probability where the class differs from the answer before."""
        label = np.where(self.predictions.is_classified, self.predictions.label, "not classified")
        first = np.append(True, label[1:] != label[:-1])[: len(self)]
        best = self.predictions.proba.max(axis=1) if len(self) else np.empty(0)
        return [
            (
                f"{self.predictions.phase[k]:.1f}",
                str(label[k]),
                f"{best[k]:.2f}" if self.predictions.is_classified[k] else "",
            )
            for k in np.flatnonzero(first).tolist()
        ]

    def to_pandas(self) -> pd.DataFrame:
        """One row per answer: mjd, phase, n_obs, status, reason, class, probabilities and anomaly."""
        table = self.predictions.to_pandas().drop(columns="object_id")
        table.insert(0, "mjd", self.mjd)
        for position, name in enumerate(("phase", "n_obs"), start=1):
            table.insert(position, name, table.pop(name))
        return table

    def plot(self, **options: Any) -> Any:
        """Draw the light curve, and below it the probabilities against time.

        Parameters
        ----------
        **options
            Those of `firstlight.report.lightcurves.plot_light_curve`, such as ``window=(-20, 60)``.

        Returns
        -------
        matplotlib.figure.Figure
            It has ``savefig``; a notebook shows it.
        """
        return drawing("lightcurves", "plot_light_curve")(self.curve, probabilities=self, **options)


def night_ends(curve: LightCurve) -> FloatArray:
    """Time of the last observation of each night from the trigger's on [MJD]; without a trigger, of all.

    A night ends where the next observation is more than half a day later.
    """
    mjd = curve.mjd
    ends = mjd[np.append(np.diff(mjd) > NIGHT_GAP, True)[: len(mjd)]]
    return ends[~(ends < curve.trigger_mjd)]


def answer_names(name: str, n: int) -> StrArray:
    """Names of several answers about one object."""
    return np.array([f"{name}{_ANSWER}{k + 1}" for k in range(n)], dtype=np.str_)


def objects_of(names: StrArray) -> frozenset[str]:
    """The distinct objects of some names, of which `answer_names` may have made several.

    Examples
    --------
    >>> objects_of(answer_names("615", 3))
    frozenset({'615'})
    """
    return frozenset(name.partition(_ANSWER)[0] for name in names.tolist())


def prefixes(curves: LightCurves, mjd: FloatArray) -> LightCurves:
    """The only object of `curves` up to each of the given times, as one object per time.

    The names are the object's with the position of the time.
    """
    copies = curves.take(np.zeros(len(mjd), dtype=np.int64))
    names = answer_names(str(curves.object_id[0]), len(mjd))
    return copies.with_columns(object_id=names).upto_mjd(mjd)
