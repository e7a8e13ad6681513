"""Figures of predictions whose true classes need not be known."""

import numpy as np
from matplotlib.figure import Figure

from firstlight.errors import DataError
from firstlight.predictions import Predictions
from firstlight.report.lightcurves import draw_probabilities, probabilities_of
from firstlight.report.style import FAINT, MAIN, new_figure, styled
from firstlight.text import printable

_LONGEST_ID = 60  # characters of an object's id in a title


@styled
def plot_predictions(predictions: Predictions) -> Figure:
    """Draw the largest probabilities of one object, or the number of objects per class of several.

    Parameters
    ----------
    predictions : Predictions
        At least one object.

    Returns
    -------
    Figure
        Objects that are not classified have a bar of their own.

    Raises
    ------
    DataError
        If there is no object.
    """
    if not len(predictions):
        raise DataError("predictions of no object cannot be drawn")
    if len(predictions) == 1:
        return _of_one(predictions)
    names, counts = np.unique(predictions.label[predictions.is_classified], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rows = [(str(names[k]), int(counts[k]), MAIN) for k in order]
    unsure = len(predictions) - int(predictions.is_classified.sum())
    if unsure:
        rows.append(("not classified", unsure, FAINT))
    figure = new_figure(0.8 + 0.24 * len(rows), 5.0)
    panel = figure.subplots()
    labels, lengths, colours = (list(column) for column in zip(*rows, strict=True))
    bars = panel.barh(range(len(rows)), lengths, color=colours, height=0.7)
    panel.bar_label(bars, [f"{length:,}" for length in lengths], padding=3, fontsize=8.0)
    panel.set_yticks(range(len(rows)), labels)
    panel.invert_yaxis()
    panel.set_xlabel("objects")
    panel.set_title(f"{len(predictions):,} objects", loc="left")
    return figure


def _of_one(one: Predictions) -> Figure:
    """Bars of the largest probabilities of one object."""
    figure = new_figure(2.6, 3.2)
    panel = figure.subplots()
    draw_probabilities(panel, probabilities_of(one), one.sets[0])
    title = f"object {printable(str(one.object_id[0]), _LONGEST_ID)}"
    if not one.is_classified[0]:
        title += "\nnot classified; the prior is shown"
    panel.set_title(title, loc="left", parse_math=False)
    return figure
