"""The command ``anomalies``: the strangest objects first, and their order after a person's verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from firstlight.cli.app import AsJson, Bundle, Jobs, Objects, Redshift, VerifyWith, app, console, progress
from firstlight.cli.reading import Reading, reads_curves
from firstlight.errors import SettingsError
from firstlight.text import printable, spreadsheet_cell

if TYPE_CHECKING:
    import pandas as pd

_LONGEST = 40  # characters of a name in the terminal


@app.command(
    epilog="Example: firstlight anomalies curves.parquet --feedback verdicts.jsonl -n 20 --out strange.csv"
)
@reads_curves
def anomalies(
    source: Annotated[
        str,
        typer.Argument(metavar="INPUT", help="Light curves: a file or folder, or 'plasticc'."),
    ],
    feedback: Annotated[
        Path | None,
        typer.Option(
            help="Your verdicts: a file of JSON lines with object and verdict (interesting, not_interesting, "
            "wrong_class or withdrawn), as the live page writes it. A missing file means no verdicts."
        ),
    ] = None,
    mark: Annotated[
        list[str] | None,
        typer.Option(help="Add a verdict to the file first: OBJECT=interesting or OBJECT=not_interesting."),
    ] = None,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="Number of candidates to show.")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="File for the whole list: .csv or .json. Default: none.")
    ] = None,
    bundle: Bundle = None,
    verify_with: VerifyWith = None,
    objects: Objects = None,
    redshift: Redshift = "photo",
    jobs: Jobs = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """List the strangest objects, and learn from your verdicts which of them are interesting.

    Without verdicts the order is that of the anomaly score. With verdicts, objects that resemble interesting
    ones come first, and those that resemble dull ones last; objects with a verdict are not shown again.
    """
    from firstlight.anomaly.verdicts import append_verdict, read_verdicts
    from firstlight.pipeline import Pipeline

    if out is not None and out.suffix.lower() not in (".csv", ".json"):
        raise SettingsError(f"{out}: candidates are written as .csv or .json")
    if mark and feedback is None:
        raise SettingsError("--mark needs --feedback, the file that the verdict goes to")
    marks = [_marked(text) for text in mark or []]
    if feedback is not None and not feedback.parent.is_dir():
        raise SettingsError(f"--feedback {feedback}: its folder does not exist")
    given = read_verdicts(feedback) if feedback is not None and feedback.exists() else {}
    with progress() as report:
        pipeline = Pipeline.load(bundle, public_key=verify_with, progress=report)
    curves = reading.curves(source, objects, out).with_redshift(redshift)
    unknown = [one.object for one in marks if one.object not in curves]
    if unknown:
        raise SettingsError(f"--mark {printable(unknown[0], _LONGEST)}: no such object in {source}")
    for one in marks:
        assert feedback is not None
        append_verdict(feedback, one)
        given[one.object] = one
    from firstlight.pipeline.candidates import list_candidates

    with progress() as report:
        found = list_candidates(pipeline, curves, given, jobs=jobs, progress=report)
    if out is not None:
        _write(found.table, out)
    if as_json:
        typer.echo(found.table.head(number).to_json(orient="records", indent=1, double_precision=6))
        return
    counted = f"{found.n_interesting} interesting, {found.n_dull} not"
    console.print(
        f"{len(found.table):,} candidates; verdicts that count: {counted}"
        + (f"; {found.n_absent} on objects that are not here" if found.n_absent else "")
        + (f"; {found.n_skipped:,} objects were not classified and have no score" if found.n_skipped else ""),
        highlight=False,
    )
    _print(found.table.head(number))
    if out is not None:
        typer.echo(out)


def _marked(text: str):  # type: ignore[no-untyped-def]
    """The verdict of ``--mark``; SettingsError if it cannot be read."""
    from datetime import UTC, datetime

    from firstlight.anomaly.verdicts import CHOICES, Verdict

    name, _, choice = text.rpartition("=")
    if not name or choice not in CHOICES:
        raise SettingsError(
            f"--mark {printable(text, _LONGEST)}: give OBJECT=VERDICT, of {', '.join(CHOICES)}"
        )
    return Verdict(object=name, verdict=choice, time=datetime.now(UTC).isoformat(timespec="seconds"))  # type: ignore[arg-type]


def _write(table: "pd.DataFrame", path: Path) -> None:
    from firstlight.files import replacing, write_csv

    with replacing(path) as partial:
        if path.suffix.lower() == ".csv":
            safe = {name: table[name].map(spreadsheet_cell) for name in ("object", "class")}
            write_csv(table.assign(**safe), partial, "%.6g")
        else:
            text = table.to_json(orient="records", indent=1, double_precision=6)
            partial.write_text(f"{text}\n", encoding="utf-8")


def _print(table: "pd.DataFrame") -> None:
    from rich.table import Table

    shown = Table()
    shown.add_column("", justify="right", no_wrap=True)
    shown.add_column("object", overflow="fold")  # whole, since --mark takes it
    for name in ("interest", "anomaly", "class", "prob.", "obs.", "phase"):
        shown.add_column(name, justify="left" if name == "class" else "right", no_wrap=True)
    for row in table.to_dict("records"):
        shown.add_row(
            str(row["rank"]),
            escape(printable(row["object"], _LONGEST)),
            f"{row['interest']:+.2f}",
            f"{row['anomaly']:.3f}",
            escape(row["class"]),
            f"{row['probability']:.2f}",
            str(row["n_obs"]),
            f"{row['phase']:.1f}",
        )
    console.print(shown)
