"""The command that compares two sets of predictions: compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from firstlight.cli.app import AsJson, Seed, app, console, print_json
from firstlight.cli.reading import truth_of
from firstlight.errors import DataError

if TYPE_CHECKING:
    from firstlight._types import IntArray, StrArray
    from firstlight.predictions import Predictions

First = Annotated[
    Path, typer.Argument(metavar="FIRST", help="Predictions of one method (.csv, .parquet, .jsonl).")
]
Second = Annotated[
    Path, typer.Argument(metavar="SECOND", help="Predictions of the other, for the same objects.")
]
Labels = Annotated[Path, typer.Option(help="True classes: a file with object_id and target, label or class.")]

_NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "log_loss": "log-loss (lower is better)"}


@app.command(epilog="Example: firstlight compare default.csv mine.csv --truth truth.csv")
def compare(first: First, second: Second, truth: Labels, seed: Seed = 0, as_json: AsJson = False) -> None:
    """Compare two methods on the same objects, with the uncertainty of the difference.

    The objects are resampled with replacement, and both methods are scored on each resample. Objects
    that are hard for both hardly change the difference.
    """
    import numpy as np

    from firstlight.metrics.compare import compare as difference

    tables = _tables(first, second)
    classes = tables[0].classes
    both = np.intersect1d(tables[0].object_id, tables[1].object_id)
    if not len(both):
        raise DataError(f"{first} and {second} have no object in common")
    known = truth_of(truth, classes)
    labelled = both[known.has(both)]
    labels = known.labels_of(labelled)
    scored = np.isin(labels, classes)
    names, labels = labelled[scored], labels[scored]
    if not len(names):
        raise DataError(f"none of the {len(both):,} objects has a class in {truth}; check the names")
    before, after = (table.proba[_positions(table.object_id, names)] for table in tables)
    scores = difference(labels, before, after, classes=classes, seed=seed)
    left_out = [len(table) - len(both) for table in tables]
    unlabelled = len(both) - len(names)
    if as_json:
        counts = {"only_first": left_out[0], "only_second": left_out[1], "without_class": unlabelled}
        print_json({"n_objects": len(names), **counts, **scores})
        return
    _print(scores, first, second)
    console.print(f"{len(names):,} objects, each in both files", highlight=False)
    if any(left_out):
        console.print(
            f"[yellow]left out: {left_out[0]:,} object(s) of the first file alone, {left_out[1]:,} of the "
            "second[/yellow]",
            highlight=False,
        )
    if unlabelled:
        console.print(
            f"[yellow]left out: {unlabelled:,} object(s) whose class is not known or cannot be "
            "predicted[/yellow]",
            highlight=False,
            soft_wrap=True,
        )


def _tables(first: Path, second: Path) -> "list[Predictions]":
    """The predictions of both files; DataError if their classes differ."""
    from firstlight.predictions import read_predictions

    tables = [read_predictions(path) for path in (first, second)]
    classes, others = (table.classes for table in tables)
    if classes != others:
        raise DataError(
            f"{first} has the classes {', '.join(classes)}, {second} has {', '.join(others)}; compare "
            "predictions of the same classes"
        )
    return tables


def _positions(object_id: "StrArray", names: "StrArray") -> "IntArray":
    """Position of each name, all of which occur."""
    order = object_id.argsort()
    return order[object_id[order].searchsorted(names)]


def _print(scores: dict[str, dict[str, float]], first: Path, second: Path) -> None:
    from rich.table import Table

    table = Table(box=None)
    columns = ("", escape(first.name), escape(second.name), "second - first", "95 % interval", "differ?")
    for k, name in enumerate(columns):
        table.add_column(name, justify="right" if k else "left")
    for name, row in scores.items():
        interval = f"{row['low']:+.3f} to {row['high']:+.3f}"
        verdict = "yes" if row["low"] > 0.0 or row["high"] < 0.0 else "not shown"
        values = (f"{row['before']:.3f}", f"{row['after']:.3f}", f"{row['difference']:+.3f}")
        table.add_row(_NAMES[name], *values, interval, verdict)
    Console().print(table)
