"""`LightCurve`: a view of one object of a `LightCurves`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._types import BoolArray, Float32Array, FloatArray
from firstlight.lightcurves.describe import curve_html, curve_text
from firstlight.notebook import drawing


@dataclass(frozen=True, slots=True, eq=False)
class LightCurve:
    """One object: read-only views into the columns of a `LightCurves`, which describes them.

    Observation columns are arrays of shape (n_obs,); the others are numbers, NaN where unknown, or texts.
    """

    object_id: str
    mjd: FloatArray
    band: NDArray[np.int8]
    flux: Float32Array
    flux_err: Float32Array
    detected: BoolArray
    ra: float
    dec: float
    ebv: float
    redshift: float
    redshift_err: float
    redshift_spec: float
    dereddened: bool = False
    survey: str = ""

    def __len__(self) -> int:
        """Number of observations."""
        return len(self.mjd)

    def __repr__(self) -> str:
        """Known values, a sparkline per band, and the first observations."""
        return curve_text(self)

    def _repr_html_(self) -> str:
        """`repr` for notebooks."""
        return curve_html(self)

    def plot(self, pipeline: Any = None, **options: Any) -> Any:
        """Draw the observations.

        Parameters
        ----------
        pipeline : Pipeline, optional
            Draw its class probabilities against time below the light curve.
        **options
            Those of `firstlight.report.lightcurves.plot_light_curve`, such as ``y="magnitude"``,
            ``x="mjd"`` or ``probabilities=predictions``.

        Returns
        -------
        matplotlib.figure.Figure
            It has ``savefig``; a notebook shows it.
        """
        if pipeline is not None:
            options["probabilities"] = pipeline.timeline(self)
        return drawing("lightcurves", "plot_light_curve")(self, **options)

    @property
    def trigger_mjd(self) -> float:
        """Time of the first detection [MJD]; NaN where there is none."""
        return float(self.mjd[self.detected][0]) if self.detected.any() else float("nan")
