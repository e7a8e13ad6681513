"""Tables, sparklines and bars, as text for a terminal and as HTML for a notebook.

Text is escaped, for ids are foreign. The HTML loads nothing and takes its colour from the page, so that it
reads on light and on dark.
"""

from collections.abc import Callable, Sequence
from html import escape
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._types import FloatArray
from firstlight.text import printable

N_ROWS = 5  # rows of a table that are shown
MOST_COMPLETIONS = 1000  # ids that the Tab key offers
LONGEST = 40  # characters of an id that are shown
_BLOCKS = "▁▂▃▄▅▆▇█"
_COLUMNS = 40  # time bins of a sparkline
_WIDTH, _HEIGHT, _MARGIN = 200, 26, 3  # of a sparkline in HTML [pixel]
_LEFT = "text-align:left;padding:1px 1em 1px 0"


class Html(str):
    """Text that is HTML already; any other is escaped."""

    __slots__ = ()


def drawing(module: str, name: str) -> Callable[..., Any]:
    """A function of `firstlight.report` that draws.

    It is loaded when a person draws, by name, so that the rooms below `report` do not depend on it.
    """
    found: Callable[..., Any] = getattr(import_module(f"firstlight.report.{module}"), name)
    return found


def number(value: float, form: str = ".4g") -> str:
    """A number as a cell; ``-`` where unknown.

    Examples
    --------
    >>> number(0.12345, ".2f"), number(float("nan"))
    ('0.12', '-')
    """
    return format(value, form) if np.isfinite(value) else "-"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], n_more: int = 0) -> str:
    """Aligned columns on indented lines, and the number of rows left out.

    Examples
    --------
    >>> print(text_table(["object_id", "class"], [["615", "SNIa"]], n_more=3))
      object_id  class
      615        SNIa
      ... 3 more
    """
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    if n_more > 0:
        lines.append(f"... {n_more:,} more")
    return "\n".join(f"  {line}".rstrip() for line in lines)


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], n_more: int = 0) -> Html:
    """The rows as a table, and the number of rows left out."""
    head = "".join(f'<th style="{_LEFT}">{html_text(name)}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_LEFT}">{html_text(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    more = f"<div>... {n_more:,} more</div>" if n_more > 0 else ""
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}")


def html_panel(title: str, *parts: str) -> str:
    """A title and its content, for ``_repr_html_``."""
    return f"<div><strong>{html_text(title)}</strong>{''.join(map(html_text, parts))}</div>"


def html_text(text: str) -> str:
    """The text as HTML: foreign text on one line and escaped.

    Examples
    --------
    >>> html_text("<script>"), html_text(Html("<b>"))
    ('&lt;script&gt;', '<b>')
    """
    return text if isinstance(text, Html) else escape(printable(text))


def html_line(text: str) -> Html:
    """The text as a line of its own."""
    return Html(f"<div>{html_text(text)}</div>")


def html_bar(name: str, fraction: float) -> Html:
    """A bar of a probability, with its name and value."""
    width = min(max(fraction, 0.0), 1.0)
    return Html(
        '<div style="display:flex;align-items:center;gap:6px">'
        f'<span style="width:7em">{html_text(name)}</span>'
        '<span style="width:80px;height:8px;border:1px solid currentColor;opacity:.75">'
        f'<span style="display:block;height:8px;width:{100 * width:.0f}%;background:currentColor"></span>'
        f"</span><span>{fraction:.2f}</span></div>"
    )


def time_bins(time: FloatArray, value: NDArray[np.floating], span: tuple[float, float]) -> FloatArray:
    """Mean value in each of the equal bins of a time span, NaN in empty ones, shape (n_bins,)."""
    first, last = span
    scaled = (time - first) / (last - first) * _COLUMNS if last > first else np.zeros(len(time))
    index = np.clip(scaled.astype(np.int64), 0, _COLUMNS - 1)
    counts = np.bincount(index, minlength=_COLUMNS)
    sums = np.bincount(index, value.astype(np.float64), minlength=_COLUMNS)
    return np.divide(sums, counts, out=np.full(_COLUMNS, np.nan), where=counts > 0)


def text_sparkline(values: FloatArray) -> str:
    """One block per value, blank where NaN, from the lowest to the highest of them.

    Examples
    --------
    >>> text_sparkline(np.array([0.0, 3.5, np.nan, 7.0]))
    '▁▄ █'
    """
    levels = np.nan_to_num(_heights(values) * (len(_BLOCKS) - 1)).astype(np.int64)
    return "".join(
        _BLOCKS[level] if known else " "
        for level, known in zip(levels.tolist(), np.isfinite(values).tolist(), strict=True)
    )


def html_sparkline(values: FloatArray) -> Html:
    """Dots, joined by a line, from the lowest to the highest value; none where NaN."""
    known = np.flatnonzero(np.isfinite(values))
    x = (known + 0.5) / len(values) * _WIDTH
    y = _HEIGHT - _MARGIN - _heights(values)[known] * (_HEIGHT - 2 * _MARGIN)
    points = [(f"{a:.1f}", f"{b:.1f}") for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    line = " ".join(f"{a},{b}" for a, b in points)
    dots = "".join(f'<circle cx="{a}" cy="{b}" r="1.5"/>' for a, b in points)
    return Html(
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" fill="currentColor" role="img" aria-label="light curve">'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-opacity="0.4"/>{dots}</svg>'
    )


def _heights(values: FloatArray) -> FloatArray:
    """Values from 0, the lowest, to 1, the highest; one half where all are equal."""
    known = values[np.isfinite(values)]
    if not len(known) or known.min() == known.max():
        return np.where(np.isfinite(values), 0.5, np.nan)
    return (values - known.min()) / (known.max() - known.min())
