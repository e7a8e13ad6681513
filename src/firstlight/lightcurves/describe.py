"""Light curves described in a few lines, for terminals and notebooks.

The ``repr`` and ``_repr_html_`` of `LightCurves` and `LightCurve` call these functions.
"""

from typing import TYPE_CHECKING

import numpy as np

from firstlight.bands import BANDS
from firstlight.lightcurves.rows import OBJECT_COLUMNS
from firstlight.notebook import (
    LONGEST,
    N_ROWS,
    html_line,
    html_panel,
    html_sparkline,
    html_table,
    number,
    text_sparkline,
    text_table,
    time_bins,
)
from firstlight.text import printable

if TYPE_CHECKING:
    from firstlight._types import FloatArray
    from firstlight.lightcurves.curve import LightCurve
    from firstlight.lightcurves.curves import LightCurves

_OBJECTS = ("object_id", "n_obs", "detected", "first_mjd", "last_mjd", "redshift")
_OBSERVATIONS = ("mjd", "band", "flux", "flux_err", "detected")
_BANDS = ("band", "n_obs", "detected", "flux_min", "flux_max")


def curves_text(curves: "LightCurves") -> str:
    """Number of objects and observations, bands, time span, known values, and the first objects."""
    title, known = _of_curves(curves)
    lines = [f"{title}\n  {known}"]
    if len(curves):
        lines.append(text_table(_OBJECTS, _objects(curves), len(curves) - N_ROWS))
    return "\n".join(lines)


def curves_html(curves: "LightCurves") -> str:
    """`curves_text` as HTML."""
    title, known = _of_curves(curves)
    table = [html_table(_OBJECTS, _objects(curves), len(curves) - N_ROWS)] if len(curves) else []
    return html_panel(title, html_line(known), *table)


def curve_text(curve: "LightCurve") -> str:
    """Name and known values of one object, a sparkline per band and the first observations."""
    lines = [_of_curve(curve), f"  {_known_of(curve)}"]
    if len(curve):
        rows = [[*cells, f"|{text_sparkline(bins)}|"] for cells, bins in _bands(curve)]
        lines.append(text_table((*_BANDS, "time"), rows))
        lines.append(text_table(_OBSERVATIONS, _observations(curve), len(curve) - N_ROWS))
    return "\n".join(lines)


def curve_html(curve: "LightCurve") -> str:
    """`curve_text` as HTML."""
    parts = [html_line(_known_of(curve))]
    if len(curve):
        rows = [[*cells, html_sparkline(bins)] for cells, bins in _bands(curve)]
        parts.append(html_table((*_BANDS, "time"), rows))
        parts.append(html_table(_OBSERVATIONS, _observations(curve), len(curve) - N_ROWS))
    return html_panel(_of_curve(curve), *parts)


def _of_curves(curves: "LightCurves") -> tuple[str, str]:
    """Title, and the number of objects whose values are known."""
    title = f"LightCurves: {_count(len(curves), 'object')}, {_count(len(curves.mjd), 'observation')}"
    if len(curves.mjd):
        present = "".join(name for k, name in enumerate(BANDS) if (curves.band == k).any())
        title += f", bands {present}, MJD {curves.mjd.min():.2f} to {curves.mjd.max():.2f}"
    title += f", {_fluxes(curves)}"
    counts = {name: int(np.isfinite(getattr(curves, name)).sum()) for name in OBJECT_COLUMNS}
    counts["survey"] = int((curves.survey != "").sum())
    known = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    surveys = sorted(set(curves.survey.tolist()) - {""})
    title += f", {'survey' if len(surveys) == 1 else 'surveys'} {', '.join(surveys)}" if surveys else ""
    return title, f"objects with known values: {known or 'none'}"


def _objects(curves: "LightCurves") -> list[list[str]]:
    """Cells of the first objects."""
    return [
        [
            printable(curve.object_id, LONGEST),
            f"{len(curve):,}",
            f"{int(curve.detected.sum()):,}",
            number(curve.mjd[0] if len(curve) else np.nan, ".2f"),
            number(curve.mjd[-1] if len(curve) else np.nan, ".2f"),
            number(curve.redshift),
        ]
        for curve in (curves[i] for i in range(min(N_ROWS, len(curves))))
    ]


def _of_curve(curve: "LightCurve") -> str:
    """Name, size and time span."""
    title = f"LightCurve {printable(curve.object_id, LONGEST)!r}: {_count(len(curve), 'observation')}"
    title += f", {_count(int(curve.detected.sum()), 'detection')}"
    if len(curve):
        title += f", MJD {curve.mjd[0]:.2f} to {curve.mjd[-1]:.2f}"
    return f"{title}, {_fluxes(curve)}"


def _known_of(curve: "LightCurve") -> str:
    values = {name: getattr(curve, name) for name in OBJECT_COLUMNS}
    known = ", ".join(f"{name} {value:.6g}" for name, value in values.items() if np.isfinite(value))
    known += f"{', ' if known else ''}survey {curve.survey}" if curve.survey else ""
    return f"known values: {known or 'none'}"


def _bands(curve: "LightCurve") -> list[tuple[list[str], "FloatArray"]]:
    """For each band with observations: cells, and the mean flux in time bins of the object's span."""
    rows = []
    for k, name in enumerate(BANDS):
        chosen = curve.band == k
        if chosen.any():
            flux = curve.flux[chosen]
            cells = [name, f"{len(flux):,}", f"{int(curve.detected[chosen].sum()):,}"]
            cells += [number(flux.min()), number(flux.max())]
            span = (float(curve.mjd[0]), float(curve.mjd[-1]))
            rows.append((cells, time_bins(curve.mjd[chosen], flux, span)))
    return rows


def _observations(curve: "LightCurve") -> list[list[str]]:
    """Cells of the first observations."""
    return [
        [
            f"{curve.mjd[i]:.4f}",
            BANDS[curve.band[i]],
            number(curve.flux[i]),
            number(curve.flux_err[i]),
            "yes" if curve.detected[i] else "no",
        ]
        for i in range(min(N_ROWS, len(curve)))
    ]


def _fluxes(shown: "LightCurve | LightCurves") -> str:
    return f"{'dereddened' if shown.dereddened else 'not dereddened'}, fluxes in nJy"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
