"""Foreign text, such as ids, in terminals, logs and spreadsheets."""

import re
from collections.abc import Sequence

_SOME = 3  # names of many that are shown
_LONGEST_NAME = 40  # characters of each
_FORMULA = re.compile(r"[=+\-@\t\r]")  # first characters of a cell that a spreadsheet runs (OWASP)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def number_in(text: str) -> float:
    """The number that a text writes; ValueError for none, and for spellings that only Python reads as one.

    Examples
    --------
    >>> number_in(" -1.5e3 ")
    -1500.0
    >>> number_in("1_0")
    Traceback (most recent call last):
    ValueError: '1_0' is not a number
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def printable(text: str, longest: int | None = None) -> str:
    r"""Text on one line that a terminal or a log shows as it is.

    Control characters, line breaks and characters that change the direction of writing appear as their
    escapes, so that foreign text cannot forge a line or hide another one.

    Parameters
    ----------
    text : str
        Text from a file, a message or a broker.
    longest : int, optional
        Most characters of the text to show; the rest becomes ``...``. By default all.

    Examples
    --------
    >>> print(printable("ZTF1\x1b[2J\nERROR forged"))
    ZTF1\x1b[2J\nERROR forged
    >>> printable("a" * 100, longest=3)
    'aaa...'
    """
    shown = text if longest is None or len(text) <= longest else f"{text[:longest]}..."
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)


def some_of(names: Sequence[str]) -> str:
    """The first names of many, quoted, and the number of the others.

    Examples
    --------
    >>> some_of(["615", "713", "730", "745"])
    "'615', '713', '730' and 1 more"
    """
    shown = ", ".join(f"'{printable(str(name), _LONGEST_NAME)}'" for name in names[:_SOME])
    return f"{shown} and {len(names) - _SOME:,} more" if len(names) > _SOME else shown or "none"


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may run this text of a CSV cell as a formula; a plain number is none.

    Examples
    --------
    >>> [is_formula(text) for text in ("=cmd|' /C calc'!A0", "@SUM(A1)", "-12.5", "ZTF18abc")]
    [True, True, False, False]
    """
    return _FORMULA.match(text) is not None and _NUMBER.fullmatch(text) is None


def spreadsheet_cell(text: str) -> str:
    """Text of a CSV cell that no spreadsheet runs as a formula: an apostrophe comes before one.

    Examples
    --------
    >>> spreadsheet_cell("=1+1"), spreadsheet_cell("ZTF18abc")
    ("'=1+1", 'ZTF18abc')
    """
    return f"'{text}" if is_formula(text) else text
