"""`firstlight reproduce`: the paper behind the package, every table, figure and experiment."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from firstlight.cli.app import Seed, app, console, make_folder, progress
from firstlight.errors import PartsFailedError


@app.command(epilog="Example: firstlight reproduce --out runs/reproduction --only table-1")
def reproduce(
    out: Annotated[Path, typer.Option(help="Folder for reproduction.html, reproduction.json and the parts.")],
    only: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Compute this part alone (repeat for several), such as table-1 or limitations."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="About ten minutes: few objects, epochs and folds.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side, one thread each.")] = 2,
    seed: Seed = 0,
    source: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder with the PLAsTiCC training set; default: the fetched one."),
    ] = None,
    snpcc: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder with the SNPCC light curves, for the part new-survey."),
    ] = None,
    draw: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Compute nothing: draw the pages of this reproduction.json."),
    ] = None,
) -> None:
    """Reproduce the paper: printed, by its own protocol, and honest, side by side. A killed run resumes."""
    from firstlight_paper.page import write_markdown, write_page
    from firstlight_paper.run import DOCUMENT
    from firstlight_paper.run import reproduce as run_parts
    from firstlight_paper.scale import FULL, QUICK
    from firstlight_paper.workshop import Bench, read_json

    make_folder(out)
    failure: PartsFailedError | None = None
    if draw is None:
        bench = Bench(folder=out, scale=QUICK if quick else FULL, seed=seed, source=source, snpcc=snpcc)
        try:
            with progress() as report:
                run_parts(bench, only=only or (), jobs=jobs, progress=report)
        except PartsFailedError as error:  # the others are done: show them
            failure = error
    document = read_json(draw or out / DOCUMENT)
    write_page(document, out / "reproduction.html")
    write_markdown(document, out / "reproduction.md", out / "reproduction")
    console.print(f"Open {out / 'reproduction.html'}")
    if failure is not None:
        raise failure
