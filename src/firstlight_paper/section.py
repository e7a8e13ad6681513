"""What a part shows: paragraphs, tables and pictures, made from its JSON alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from firstlight_paper.workshop import Workshop

__all__ = ["Block", "Part", "Picture", "Section", "Table", "number", "plus_minus"]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under named columns; the first column names the row.

    Attributes
    ----------
    caption : str
        What the numbers are: protocol, number of objects, what the spread is over.
    columns : tuple of str
        Headings.
    rows : tuple of tuple of str
        Cells as they are shown; see `number` and `plus_minus`.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A figure.

    Attributes
    ----------
    name : str
        File name without ending, unique on the page, such as ``table-1``.
    figure : matplotlib.figure.Figure
        Drawn in the style of `firstlight.report.style`.
    caption : str
        What it shows, in a sentence; also its alternative text.
    """

    name: str
    figure: Figure
    caption: str


Block = str | Table | Picture


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """What a part shows on the page.

    Attributes
    ----------
    title : str
        Heading.
    blocks : tuple of str, Table or Picture
        In reading order; a str is a paragraph.
    """

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the reproduction that stands alone.

    Attributes
    ----------
    name : str
        As ``--only`` takes it, such as ``table-1``.
    key : str
        Key in ``reproduction.json``, such as ``table_1``.
    title : str
        In a few words.
    needs : tuple of str
        Shared stages that must run first: ``"encode"``, ``"ours"``.
    measure : callable
        Computes the part: ``measure(workshop)`` gives what goes into the JSON.
    show : callable
        Draws the part: ``show(result)`` gives its `Section`, from the JSON alone, so that the
        page of a committed result can be made again without computing.
    """

    name: str
    key: str
    title: str
    needs: tuple[str, ...]
    measure: Callable[[Workshop], Any]
    show: Callable[[Any], Section]


def number(value: float | None, digits: int = 3) -> str:
    """A number for a cell; a dash where there is none.

    Examples
    --------
    >>> number(0.91649), number(None)
    ('0.916', '-')
    """
    return "-" if value is None else f"{value:.{digits}f}"


def plus_minus(value: Mapping[str, Any] | None, digits: int = 3) -> str:
    """A mean with its spread for a cell, from `firstlight_paper.scores.spread`.

    Examples
    --------
    >>> plus_minus({"mean": 0.91649, "std": 0.0061, "folds": [0.9, 0.93]})
    '0.916 ± 0.006'
    """
    if value is None or value["mean"] is None:
        return "-"
    if value["std"] is None:
        return number(value["mean"], digits)
    return f"{value['mean']:.{digits}f} ± {value['std']:.{digits}f}"
