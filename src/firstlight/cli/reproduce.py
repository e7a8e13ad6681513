"""`firstlight reproduce`: the paper that firstlight began with, every table, figure and experiment."""

from pathlib import Path
from typing import Annotated

import typer

from firstlight.cli.app import Seed, app, console, make_folder, need_training_libraries, progress
from firstlight.errors import PartsFailedError


@app.command(epilog="Example: firstlight reproduce --out runs/reproduction --only table-1")
def reproduce(
    out: Annotated[
        Path, typer.Option(help="Folder for reproduction.html, reproduction.md, the score table and models.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Compute only this part (repeat for several), such as table-1 or limitations."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="About ten minutes: few objects, epochs and folds.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side, one thread each.")] = 2,
    seed: Seed = 0,
    source: Annotated[
        Path | None, typer.Option(help="Folder with the PLAsTiCC training set. Default: the downloaded one.")
    ] = None,
    snpcc: Annotated[
        Path | None, typer.Option(help="Folder with the SNPCC light curves, for the part new-survey.")
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(help="Compute nothing: draw the page of this folder's scores.csv and its companions."),
    ] = None,
) -> None:
    """Reproduce the paper as published, by its protocol, and split by object. A killed run resumes."""
    from firstlight_paper.context import Context
    from firstlight_paper.experiment import compute
    from firstlight_paper.page.render import contradictions, write_pages
    from firstlight_paper.parts import PARTS
    from firstlight_paper.results import Results
    from firstlight_paper.scale import FULL, QUICK

    if draw is None:
        need_training_libraries()
    make_folder(out)
    failure: PartsFailedError | None = None
    if draw is None:
        scale = QUICK if quick else FULL
        context = Context(folder=out, scale=scale, seed=seed, source=source, snpcc=snpcc, jobs=jobs)
        try:
            with progress() as report:
                compute(context, PARTS, only=only or (), progress=report)
        except PartsFailedError as error:  # the others are done: show them
            failure = error
        draw = context.results
    results = Results(draw, must_exist=True)
    write_pages(results, PARTS, out)
    console.print(f"Open {out / 'reproduction.html'}")
    if failure is not None:
        raise failure
    against = contradictions(results, PARTS) if results.about["scale"] == FULL.name else []
    if against:
        raise PartsFailedError(f"the numbers contradict {len(against)} sentences: {'; '.join(against)}")
