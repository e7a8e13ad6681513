"""Predictions described in a few lines, for terminals and notebooks.

The ``repr`` and ``_repr_html_`` of `Predictions` call these functions.
"""

from typing import TYPE_CHECKING

import numpy as np

from firstlight.notebook import (
    LONGEST,
    N_ROWS,
    Html,
    html_bar,
    html_line,
    html_panel,
    html_table,
    number,
    text_table,
)
from firstlight.text import printable

if TYPE_CHECKING:
    from firstlight.predictions.table import Predictions

_SHOWN = ("object_id", "class", "probability", "status", "phase")
_N_BARS = 3  # of an object


def predictions_text(table: "Predictions") -> str:
    """Counts and the first objects, for a terminal."""
    title, counts = _title(table)
    return "\n".join([title, f"  {counts}", text_table(_SHOWN, _first_rows(table), len(table) - N_ROWS)])


def predictions_html(table: "Predictions") -> str:
    """Counts and the first objects with their probabilities, for a notebook."""
    title, counts = _title(table)
    bars = [Html("".join(_bars(table, i))) for i in range(min(N_ROWS, len(table)))]
    rows = [[*row, bar] for row, bar in zip(_first_rows(table), bars, strict=True)]
    shown = html_table((*_SHOWN, "probabilities"), rows, len(table) - N_ROWS)
    return html_panel(title, html_line(counts), shown)


def _title(table: "Predictions") -> tuple[str, str]:
    """Numbers of objects per status, and per class."""
    n_classified = int(table.is_classified.sum())
    title = f"Predictions: {len(table):,} object{'' if len(table) == 1 else 's'}"
    title += f", {n_classified:,} classified, {len(table) - n_classified:,} not classified"
    names, counts = np.unique(table.label[table.label != ""], return_counts=True)
    shown = [f"{names[k]} {counts[k]:,}" for k in np.argsort(-counts, kind="stable")]
    return title, f"classes: {', '.join(shown) or 'none'}"


def _first_rows(table: "Predictions") -> list[list[str]]:
    """Cells of the first objects; the probability is that of the class."""
    rows = []
    for i in range(min(N_ROWS, len(table))):
        label = str(table.label[i])
        proba = table.proba[i, table.classes.index(label)] if label else np.nan
        cells = [
            printable(str(table.object_id[i]), LONGEST),
            label or "-",
            number(proba, ".3f"),
            str(table.status[i]),
        ]
        rows.append([*cells, number(table.phase[i], ".1f")])
    return rows


def _bars(table: "Predictions", index: int) -> list[Html]:
    """Bars of the largest probabilities of one object."""
    proba = table.proba[index]
    largest = np.argsort(-proba, kind="stable")[:_N_BARS]
    return [html_bar(table.classes[k], float(proba[k])) for k in largest if proba[k] > 0]
