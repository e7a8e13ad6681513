"""Shared by the scripts that fill the pages: result files, Markdown tables, the machine in words."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
STUDIES = ROOT / "studies" / "results"
#: Days since the trigger in result files, and in words.
PHASES = {"0": "0 d", "2": "2 d", "8": "8 d", "32": "32 d", "all": "whole"}


def read(path: Path) -> dict[str, Any]:
    """One JSON document."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def table(head: Iterable[str], rows: Iterable[Iterable[str]], *lines: str) -> str:
    """Markdown table, and lines of text below it."""
    first, *others = ["| " + " | ".join(row) + " |" for row in (list(head), *rows)]
    return "\n".join(
        [first, "|---" * (first.count(" | ") + 1) + "|", *others, *([""] if lines else []), *lines]
    )


def machine(found: str | dict[str, Any]) -> str:
    """Description of the machine in one line; older results hold it as text."""
    if isinstance(found, str):
        return found
    parts = ("cores", "cpu", "python", "load_before")
    return "{} cores, {}, Python {}, machine load before the run {}".format(*(found[name] for name in parts))
