"""The paper's Figure 1: absolute magnitudes of an SN Ia, an AGN and an SLSN-I."""

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from firstlight.bands import BANDS
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurve, LightCurves
from firstlight.report.lightcurves import draw_light_curve, select_observations
from firstlight.report.style import new_figure, styled

#: Classes of the panels, from left to right.
FIGURE_1_CLASSES = ("SNIa", "AGN", "SLSN-I")
_SHOWN_NAME = MappingProxyType({"SNIa": "SN Ia", "AGN": "AGN", "SLSN-I": "SLSN-I"})
_WINDOW = (-60.0, 200.0)  # days since trigger that are shown of a supernova
_SIGNIFICANT = 3.0  # signal-to-noise ratio of an observation that is shown


@styled
def plot_figure_1(
    curves: LightCurves, labels: NDArray[np.str_], *, objects: Sequence[str] | None = None
) -> Figure:
    """Draw Figure 1: absolute magnitudes of an SN Ia, an AGN and an SLSN-I."""
    labels = np.asarray(labels)
    if labels.shape != (len(curves),):
        raise DataError(f"{len(curves)} light curves but labels of shape {labels.shape}")
    if objects is not None and len(objects) != len(FIGURE_1_CLASSES):
        raise DataError(f"Figure 1 has {len(FIGURE_1_CLASSES)} panels, {len(objects)} objects were named")
    chosen = [curves.find(name) for name in objects or figure_1_objects(curves, labels)]
    figure = new_figure(3.1)
    drawn: dict[str, Line2D] = {}
    for panel, curve, name in zip(figure.subplots(1, 3), chosen, FIGURE_1_CLASSES, strict=True):
        for handle in draw_light_curve(panel, _shown_part(curve, name), y="absolute"):
            drawn.setdefault(str(handle.get_label()), handle)
        panel.set_title(
            f"{_SHOWN_NAME[name]}, z = {curve.redshift:.2f}\nobject {curve.object_id}", loc="left"
        )
        if name != FIGURE_1_CLASSES[0]:
            panel.set_ylabel("")
    handles = [drawn[band] for band in BANDS if band in drawn]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.1)
    return figure


def figure_1_objects(curves: LightCurves, labels: NDArray[np.str_]) -> tuple[str, ...]:
    """Names of the best observed object of each class of Figure 1 that has a host redshift."""
    chosen = []
    for name in FIGURE_1_CLASSES:
        members = np.flatnonzero((labels == name) & (curves.redshift > 0.0) & np.isfinite(curves.trigger_mjd))
        candidates = [curves[int(i)] for i in members]
        merits = [_merit(_shown_part(curve, name), name) for curve in candidates]
        if not any(merits):
            raise DataError(
                f"no {name} with a host redshift and significant detections among {len(curves)} light curves"
            )
        chosen.append(candidates[int(np.argmax(merits))].object_id)
    return tuple(chosen)


def _merit(part: LightCurve, name: str) -> float:
    """Merit of an object for its panel: observations on both sides of the maximum; 0 for none."""
    if name == "AGN" or not len(part):
        return float(len(part))
    before = int(np.sum(part.mjd < part.mjd[np.argmax(part.flux)]))
    return float(np.sqrt((before + 0.1) * (len(part) - before)))


def _shown_part(curve: LightCurve, name: str) -> LightCurve:
    """Significant observations; of a supernova, those within its window only."""
    keep = curve.flux > _SIGNIFICANT * curve.flux_err
    if name != "AGN":
        phase = curve.mjd - curve.trigger_mjd
        keep &= (phase >= _WINDOW[0]) & (phase <= _WINDOW[1])
    return select_observations(curve, keep)
