"""The command ``convert``: light curves of any format that is read, in one that is written."""

from pathlib import Path
from typing import Annotated

import typer

from firstlight.cli.app import Objects, app, console
from firstlight.cli.reading import Reading, reads_curves


@app.command(epilog="Example: firstlight convert ztf_forced.txt curves.parquet")
@reads_curves
def convert(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="Light curves of any known format.")],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="File to write: .parquet (firstlight's own), .ecsv (sncosmo) or .csv (PLAsTiCC, with its "
            "metadata beside it).",
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            help="Format to write: firstlight, nested, sncosmo or plasticc. Default: by the ending."
        ),
    ] = None,
    objects: Objects = None,
    save_columns: Annotated[
        Path | None,
        typer.Option(help="TOML file to write with the column names in use; --columns takes it."),
    ] = None,
    *,
    reading: Reading,
) -> None:
    """Write light curves in another format; fluxes become nJy (or PLAsTiCC's unit), filters ugrizy."""
    from firstlight.data.formats import read_foreign
    from firstlight.data.formats.names import ColumnNames
    from firstlight.data.formats.write import format_of, write_format

    chosen = to or format_of(out)
    if save_columns is not None:
        names = None if reading.columns is None else ColumnNames.parse(reading.columns)
        read_foreign(source, format=reading.format, names=names).reading.names.write(save_columns)
        console.print(f"Column names: {save_columns}", highlight=False, soft_wrap=True)
    curves = reading.curves(source, objects, out)
    for path in write_format(curves, out, chosen):
        typer.echo(path)
