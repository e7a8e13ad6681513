"""The application that every command joins: options they share, progress, errors as messages.

Results go to files, messages to stderr. Exit codes: 0 done, 1 firstlight could not do
it (the message says why), 2 the command was misspelt, 130 interrupted.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, Optional

import typer
from rich.console import Console
from rich.markup import escape

from firstlight._types import Progress
from firstlight._version import __version__
from firstlight.errors import DataError, FirstlightError

__all__ = ["app", "console", "main", "make_folder", "progress", "run"]


console = Console(stderr=True)
app = typer.Typer(
    name="firstlight",
    help="Classify astronomical transients from their light curves, as the light arrives.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130
PLASTICC = "plasticc"
PICTURES = (".png", ".svg", ".pdf")

Preset = Annotated[str, typer.Option(help="default, seed, seed-printed, quick, or a TOML file.")]
Redshift = Annotated[
    Literal["photo", "spec", "none"],
    typer.Option(help="Host redshift the model sees: photometric, spectroscopic where known, or none."),
]
Seed = Annotated[int, typer.Option(help="Seed of every random choice; same seed, same numbers.")]
Jobs = Annotated[Optional[int], typer.Option(min=1, help="Threads; default: all cores.")]  # noqa: UP045
Metadata = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Metadata CSV beside PLAsTiCC light curves (positions, redshifts)."),
]
TruthFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        help="Labels: object_id with target, label or class (CSV or Parquet); default: those of the "
        "metadata file, of truth.parquet beside the data, or of the fetched set."
    ),
]
Objects = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Use only the objects named in this file, one id a line."),
]
Data = Annotated[str, typer.Option(help="Light curves: a file, or 'plasticc' for the fetched training set.")]


def _version(show: bool) -> None:
    if show:
        typer.echo(f"firstlight {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Classify astronomical transients from their light curves, as the light arrives."""


def make_folder(out: Path) -> None:
    """Make a folder for results, before any work is done."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {out}: {error.strerror}") from error


@contextmanager
def progress() -> Iterator[Progress]:
    """Show one bar a stage; a stage is named by its first report."""
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, fraction: float) -> None:
            name = stage.partition(" epoch ")[0]  # an epoch's losses follow its stage's name
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=1.0)
            bars.update(tasks[name], completed=fraction, description=stage)

        yield report


def run(arguments: list[str] | None = None) -> int:
    """Run one command and turn its errors into one message.

    Parameters
    ----------
    arguments : list of str, optional
        Words after ``firstlight``; by default those of the process.

    Returns
    -------
    int
        Exit code: 0 done, 1 a `FirstlightError`, 2 misspelt, 130 interrupted.
    """
    try:
        app(arguments)
    except FirstlightError as error:
        console.print(f"[bold red]error:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 1
    except SystemExit as stop:  # how typer ends, also when interrupted
        if stop.code == INTERRUPTED:
            console.print("interrupted; the same command resumes where it stopped")
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def main() -> None:
    """Run the command line."""
    sys.exit(run())
