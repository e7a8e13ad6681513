"""The command ``convert``: light curves of any format that is read, in one that is written."""

from pathlib import Path
from typing import Annotated

import typer

from firstlight.cli.app import Columns, Format, Metadata, Objects, app, console
from firstlight.cli.data import read_light_curves
from firstlight.errors import DataError


@app.command(epilog="Example: firstlight convert ztf_forced.txt curves.parquet")
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
    metadata: Metadata = None,
    objects: Objects = None,
    format: Format = None,
    columns: Columns = None,
    save_columns: Annotated[
        Path | None,
        typer.Option(help="TOML file to write with the column names in use; --columns takes it."),
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(help="File for rows and objects that cannot be used. Default: OUT.rejects.jsonl."),
    ] = None,
    zero_point: Annotated[
        float | None,
        typer.Option(help="AB zero point of the fluxes. Default: that of the file format."),
    ] = None,
    dereddened: Annotated[
        bool | None,
        typer.Option(
            "--dereddened/--not-dereddened",
            help="Whether the fluxes are already corrected for Milky Way dust. Default: as the file format "
            "defines.",
        ),
    ] = None,
) -> None:
    """Write light curves in another format; fluxes become nJy (or PLAsTiCC's unit), filters ugrizy."""
    from firstlight.data import RejectLog
    from firstlight.data.formats import read_foreign
    from firstlight.data.formats.names import ColumnNames
    from firstlight.data.formats.write import format_of, write_format

    chosen = to or format_of(out)
    if save_columns is not None:
        names = None if columns is None else ColumnNames.parse(columns)
        read_foreign(source, format=format, names=names).reading.names.write(save_columns)
        console.print(f"Column names: {save_columns}", highlight=False, soft_wrap=True)
    log = RejectLog()
    curves = read_light_curves(source, metadata, objects, log, zero_point, dereddened, format, columns)
    if len(log):
        place = rejects or out.with_name(out.name + ".rejects.jsonl")
        log.write(place)
        console.print(f"[yellow]{len(log):,} bad row(s) or object(s) set aside, reasons in {place}[/yellow]")
    if len(curves) == 0:
        raise DataError(f"{source}: no object left to write")
    for path in write_format(curves, out, chosen):
        typer.echo(path)
