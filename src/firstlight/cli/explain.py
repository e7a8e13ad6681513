"""The command ``explain``: reasons for an answer, and data that would change it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from firstlight.cli.app import (
    PICTURES,
    PLASTICC,
    AsJson,
    Bundle,
    Data,
    Prior,
    Redshift,
    VerifyWith,
    app,
    console,
    print_json,
    progress,
)
from firstlight.cli.plot import warn_if_trained_on
from firstlight.cli.reading import Reading, reads_curves
from firstlight.errors import SettingsError
from firstlight.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from firstlight.pipeline.explanation import Explanation

_PAGE = ".html"


@app.command(epilog="Example: firstlight explain 615 --data plasticc --out 615.html")
@reads_curves
def explain(
    object_id: Annotated[str, typer.Argument(metavar="OBJECT", help="Id of the object to explain.")],
    data: Data = PLASTICC,
    bundle: Bundle = None,
    prior: Prior = None,
    redshift: Redshift = "photo",
    upto_phase: Annotated[
        float | None,
        typer.Option(help="Use only observations up to this many days after the first detection."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS", help="Class to compare the answer with. Default: the next most probable."
        ),
    ] = None,
    nearest: Annotated[int, typer.Option(min=1, help="Nearest training objects to show.")] = 5,
    out: Annotated[
        Path | None, typer.Option(help="Page (.html) or picture (.png, .svg, .pdf) to write as well.")
    ] = None,
    verify_with: VerifyWith = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Explain one answer: reasons, nearest training objects, reconstruction, and data that may change it."""
    from firstlight.pipeline import Pipeline

    if out is not None and out.suffix.lower() not in (_PAGE, *PICTURES):
        raise SettingsError(f"{out}: unknown format; use {', '.join((_PAGE, *PICTURES))}")
    with progress() as report:
        pipeline = Pipeline.load(bundle, prior=prior, public_key=verify_with, progress=report)
    curve = reading.curves(data, None, out).with_redshift(redshift).find(object_id)
    if upto_phase is not None:
        from firstlight.lightcurves import as_light_curves

        curve = as_light_curves(curve).upto_phase(upto_phase)[0]
    warn_if_trained_on(pipeline, object_id)
    made = pipeline.explain(curve, against=against, n_nearest=nearest)
    if as_json:
        print_json(made.to_dict())
    else:
        _print(made)
    if out is not None:
        _write(made, out)
        console.print(str(out), highlight=False, markup=False)


def _write(made: "Explanation", out: Path) -> None:
    """Write the page or the picture."""
    from firstlight.files import replacing
    from firstlight.report.explanation import explanation_page, plot_explanation

    with replacing(out) as partial:
        if out.suffix.lower() == _PAGE:
            partial.write_text(explanation_page(made), encoding="utf-8")
        else:
            plot_explanation(made).savefig(partial, format=out.suffix.lower().removeprefix("."))


def _print(made: "Explanation") -> None:
    """Tables on the terminal."""
    from firstlight.report.explanation_tables import N_GROUPS, tables_of

    screen = Console()
    sentences = made.sentences()
    screen.print(
        f"[bold]{escape(printable(made.curve.object_id, 60))}[/bold]: {escape(sentences[0])}", highlight=False
    )
    for one in tables_of(made, N_GROUPS):
        screen.print()
        screen.print(_rich_table(one.title, one.head, one.rows))
        if one.note:
            screen.print(f"[dim]{escape(one.note)}[/dim]", highlight=False)
    if made.reconstruction is not None:
        percent = 100.0 * made.reconstruction.error
        screen.print(
            f"\nThe autoencoder reconstructs the light curve to {percent:.0f} % of its brightest flux."
        )
    for note in made.notes:
        screen.print(f"\n[yellow]{escape(note)}[/yellow]", highlight=False)


def _rich_table(title: str, head: tuple[str, ...], rows: "Sequence[tuple[str, ...]]") -> "Table":
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in head:
        table.add_column(escape(name))
    for row in rows:
        table.add_row(*(escape(printable(text)) for text in row))
    return table
