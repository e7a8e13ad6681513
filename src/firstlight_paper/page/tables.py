"""Markdown tables by pivot: rows and columns say which scores stand in them."""

from collections.abc import Mapping, Sequence
from typing import Any

from firstlight_paper.view import View

#: The four columns of the whole page, as columns of a `pivot`.
COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "as published": {"part": "per-class", "variant": "paper", "column": "printed"},
    "paper's protocol (leaks)": {"part": "protocol", "variant": "leak", "column": "protocol"},
    "paper's design, split by object": {"part": "per-class", "variant": "design", "column": "design"},
    "ours, split by object": {"part": "ours", "variant": "whole", "column": "ours"},
}

SCORE_TITLES = {"accuracy": "accuracy", "macro_f1": "macro F1", "macro_auc": "macro AUC"}

#: Accuracy, macro F1 and macro AUC over sixteen classes and over the real thirteen.
SIX_SCORES: Mapping[str, Mapping[str, Any]] = {
    f"{title}, {among}": {"metric": metric, "subset": subset}
    for subset, among in ((16, "16 classes"), (13, "13 real"))
    for metric, title in (("accuracy", "accuracy"), ("macro_f1", "macro F1"), ("macro_auc", "AUC"))
}


def pivot(
    view: View,
    rows: Mapping[str, Mapping[str, Any]],
    columns: Mapping[str, Mapping[str, Any]],
    corner: str = "",
) -> str:
    """A table of means; a cell's row and column hold arguments of `View.spread` and of its format."""
    body = [
        [title, *(_cell(view, {**row, **column}) for column in columns.values())]
        for title, row in rows.items()
    ]
    return markdown([corner, *columns], body)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table from its cells; the first column is set left, numbers right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """A number for a cell; a dash where there is none."""
    return "-" if value is None or value != value else f"{value:,.{digits}f}"


def _cell(view: View, wanted: Mapping[str, Any]) -> str:
    given = dict(wanted)
    given["variant"] = given.pop("before", "") + given.get("variant", "")
    digits = given.pop("digits", None)
    scale, unit, sign = given.pop("scale", 1.0), given.pop("unit", ""), given.pop("sign", "")
    counts = given.pop("count", False)
    if not given["variant"] or "metric" not in given:
        return ""
    found = view.spread(**given)
    if counts:  # summed over folds
        return f"{sum(found.folds):,.0f}" if found.folds else "-"
    if digits is None:
        digits = 2 if given.get("column") == "printed" else 3
    text = found.text(digits, sign, scale)
    return text if text == "-" else text + unit
