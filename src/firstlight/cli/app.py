"""The application that every command joins: shared options, progress bars, errors as messages.

Results go to files, messages to stderr. The exit codes are those of `firstlight.errors`.
"""

import functools
import inspect
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand

from firstlight._version import __version__
from firstlight.errors import INTERRUPTED, DataError, FirstlightError, SettingsError, missing_extra
from firstlight.text import number_in, printable

if TYPE_CHECKING:
    from firstlight._types import Progress

console = Console(stderr=True)


class _Command(TyperCommand):
    """A command that refuses numbers that only Python reads, such as ``--hours 1_0``."""

    def make_parser(self, ctx: Any) -> Any:
        """The parser of the command line; it raises SettingsError for such a number."""
        parser = super().make_parser(ctx)
        parse = parser.parse_args

        def parse_args(args: list[str]) -> Any:
            """Split the words into the values of the options, as they were written, and the others."""
            given, *others = parse(args)
            if not ctx.resilient_parsing:  # a shell completes a word
                self._check_numbers(given)
            return given, *others

        parser.parse_args = parse_args  # type: ignore[method-assign]  # click makes one parser per call
        return parser

    def _check_numbers(self, given: Mapping[str, Any]) -> None:
        parameters = inspect.signature(self.callback).parameters if self.callback else {}
        for name, value in given.items():
            if name in parameters and isinstance(value, str) and _is_number(parameters[name].annotation):
                try:
                    number_in(value)
                except ValueError:
                    raise SettingsError(f"--{name.replace('_', '-')} {value}: give a number") from None


def _is_number(annotation: Any) -> bool:
    """Whether an option is a number, or a number or nothing."""
    kind = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return bool({int, float} & {kind, *get_args(kind)})


class _App(typer.Typer):
    """The application, all of whose commands are `_Command`."""

    def command(self, *names: Any, **options: Any) -> Callable[..., Any]:
        """See `typer.Typer.command`."""
        return super().command(*names, **({"cls": _Command} | options))


app = _App(
    name="firstlight",
    help="Classify astronomical transients from their light curves, in real time.",
    epilog="Exit codes: 0 success; 1 an error in data, bundle or state; 2 wrong usage, or a setting or "
    "schema that is missing; 3 a broker that is away, refuses the login or lacks the topic; 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

PLASTICC = "plasticc"
_QUIET_S = 2.0  # who waits no longer than this needs no bar
PICTURES = (".png", ".svg", ".pdf")

# --- options that several commands share --------------------------------------

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on stdout, instead of a table.")
]
Bundle = Annotated[
    Path | None,
    typer.Option(
        help="Trained bundle: a folder, or one that ships with firstlight: default (most accurate) or "
        "fast (bounded time per alert). Default: default.",
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        help="Classes of your own: a TOML file with a table [classes.NAME] per class and any of group, "
        "galactic, aliases and elasticc in it. Default: the 17 of firstlight."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="Column names of your file: mjd=obsmjd,flux=f,flux_err=df (also filter, mag, mag_err, limit, "
        "object_id, survey=ztf, system=vega), or a TOML file of them. Default: guessed, and shown."
    ),
]
VerifyWith = Annotated[
    Path | None,
    typer.Option(
        envvar="FIRSTLIGHT_VERIFY_WITH",
        help="Public key (Ed25519, PEM); a bundle that is not signed with its private key is refused.",
    ),
]
Coverage = Annotated[
    float | None,
    typer.Option(
        help="Fraction of the objects of each class whose prediction set holds it, .5 to .99. Default: .9."
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="FILE|PACKAGE.MODULE:CLASS",
        help="Host redshifts from outside, by object or position: a Parquet or CSV file, or a lookup of an "
        "installed package.",
    ),
]
ContextRadius = Annotated[
    float,
    typer.Option(help="Largest distance from an object to rows of the context that name no object (arcsec)."),
]
Data = Annotated[
    str, typer.Option(help="Light curves: a file, or 'plasticc' for the downloaded PLAsTiCC training set.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", help="Format of the light curves (docs/reference/files.md). Default: from the content."
    ),
]
Frequencies = Annotated[
    Literal["paper"] | None,
    typer.Option(help="Draw a sample with the paper's class frequencies first. Default: all objects."),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Number of threads. Default: one per core.")]
KafkaConfig = Annotated[
    Path | None,
    typer.Option(help="File of Kafka client settings (SASL, TLS). Secrets are never shown."),
]
Metadata = Annotated[
    Path | None,
    typer.Option(
        help="Position, E(B-V) and redshifts by object: a table in any format (docs/reference/files.md)."
    ),
]
MinDomain = Annotated[
    Literal["inside", "edge"] | None,
    typer.Option(help="Do not classify objects that are further outside of the bundle's training set."),
]
Objects = Annotated[
    Path | None,
    typer.Option(help="Use only the objects listed in this text file, one id per line."),
]
Preset = Annotated[
    str,
    typer.Option(
        help="Settings: default, fast, quick, seed (also called paper), seed-printed (also called "
        "paper-printed), or a TOML file."
    ),
]
Prior = Annotated[
    str | None,
    typer.Option(
        help="Class mix to assume: lsst, bts (a survey limited by magnitude), or a TOML file. Default: that "
        "of the training set."
    ),
]
MixOrEstimate = Annotated[
    str | None,
    typer.Option(
        "--prior",
        help="Class mix to assume: lsst, bts (a survey limited by magnitude), a TOML file, or 'estimated' "
        "from these objects, of which 100 or more must be followed for 64 days. Default: that of the "
        "training set.",
    ),
]
Redshift = Annotated[
    Literal["photo", "spec", "none"],
    typer.Option(help="Host redshift to use: photo (photometric), spec (spectroscopic where known) or none."),
]
Seed = Annotated[int, typer.Option(help="Random seed. The same seed gives the same numbers.")]
TruthFile = Annotated[
    Path | None,
    typer.Option(
        help="True classes: a CSV or Parquet file with the columns object_id and target, label or class. "
        "Default: those of the metadata file, of truth.parquet beside the data, or of the downloaded set."
    ),
]

# --- the application ----------------------------------------------------------


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
    """Classify astronomical transients from their light curves, in real time."""


def with_options(command: Callable[..., None], keyword: str, kind: type[Any]) -> Callable[..., None]:
    """Give a command the options that a dataclass names, in the place of a keyword of that class."""
    signature = inspect.signature(command)
    added = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
        for one in fields(kind)
    ]

    @functools.wraps(command)
    def with_them(*args: Any, **values: Any) -> None:
        chosen = {one.name: values.pop(one.name) for one in added if one.name in values}
        command(*args, **{keyword: kind(**chosen)}, **values)

    parameters = [
        one for name, own in signature.parameters.items() for one in (added if name == keyword else [own])
    ]
    with_them.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_them.__annotations__ = {
        one.name: one.annotation for one in parameters if one.annotation is not inspect.Parameter.empty
    } | {"return": None}
    return with_them


def make_folder(out: Path) -> None:
    """Make a folder for results, before any work is done."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {out}: {error.strerror}") from error


_PACKAGES = {"sklearn": "scikit-learn"}  # modules whose package has another name


def need_libraries(purpose: str, extra: str, needed: Iterable[str], useful: Iterable[str] = ()) -> None:
    """Raise MissingExtraError before any work if a `needed` module is missing.

    The message names every missing module, of `useful` ones too, since one extra brings all of them.
    """
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        missing += [name for name in useful if find_spec(name) is None]
        names = (_PACKAGES.get(name, name.replace("_", "-")) for name in missing)
        raise missing_extra(purpose, names, extra)


def need_training_libraries() -> None:
    """Raise MissingExtraError before any work if a library that training imports is missing."""
    need_libraries("training", "train", ("torch", "lightgbm", "sklearn"))


def check_picture(path: Path) -> None:
    """Raise `SettingsError` unless the file's suffix is that of a picture."""
    if path.suffix.lower() not in PICTURES:
        raise SettingsError(f"{path}: unknown picture format; use {', '.join(PICTURES)}")


def print_json(result: object) -> None:
    """Print a result as one JSON document on stdout, in ASCII: foreign text cannot act on a terminal."""
    typer.echo(json.dumps(result, indent=1))


@contextmanager
def progress() -> Iterator["Progress"]:
    """Show one bar per stage, from its first report on, with the time left and in the end the time taken.

    Without a terminal, such as in a log file, each stage of some seconds is one line at its end.
    """
    if not console.is_terminal:
        yield _stage_lines()
        return
    from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    left = TimeRemainingColumn(elapsed_when_finished=True)
    columns = (TextColumn("{task.description}"), BarColumn(), left)
    bars = Bars(*columns, console=console)
    tasks: dict[str, TaskID] = {}

    def report(stage: str, fraction: float) -> None:
        """Move the bar of a stage."""
        bars.start()  # with the first report, so that nothing is shown where nothing takes time
        name = stage.partition(" epoch ")[0]  # "encoder epoch 3, loss 0.2" belongs to "encoder"
        if name not in tasks:
            tasks[name] = bars.add_task(name, total=1.0)
        bars.update(tasks[name], completed=fraction, description=stage)

    try:
        yield report
    finally:
        if tasks:
            bars.stop()


def _stage_lines() -> "Progress":
    """Print one line at the end of each stage that takes longer than `_QUIET_S`."""
    begun: dict[str, float] = {}

    def report(stage: str, fraction: float) -> None:
        """Print the time of a stage that took long, at its end."""
        name = stage.partition(" epoch ")[0]
        start = begun.setdefault(name, time.monotonic())
        if fraction >= 1.0 and (took := time.monotonic() - start) > _QUIET_S:
            begun[name] = math.inf  # one time
            console.print(f"{name}: {took:.0f} s")

    return report


@contextmanager
def reading_progress(title: str) -> Iterator["Progress"]:
    """Show a bar on the terminal once reading takes longer than `_QUIET_S`.

    It moves to and fro until the first report of a fraction. Without a terminal nothing is shown.
    """
    if not console.is_terminal:
        from firstlight._types import no_progress

        yield no_progress
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bars = Bars(*columns, console=console, transient=True)
    task = bars.add_task(escape(printable(title, 60)), total=None)

    def report(stage: str, fraction: float) -> None:
        bars.update(task, total=1.0, completed=fraction)

    timer = Timer(_QUIET_S, bars.start)
    timer.daemon = True
    timer.start()
    try:
        yield report
    finally:
        timer.cancel()
        timer.join()
        bars.stop()


def run(arguments: list[str] | None = None) -> int:
    """Run one command and show its error as one message.

    Parameters
    ----------
    arguments : list of str, optional
        Words after ``firstlight``; by default those of the process.

    Returns
    -------
    int
        Exit code: 0 success, `FirstlightError.exit_code`, 2 wrong usage, 130 interrupted.
    """
    try:
        app(arguments)
    except FirstlightError as error:
        message = escape(printable(str(error)))  # it may quote foreign text
        console.print(f"[bold red]error:[/bold red] {message}", highlight=False, soft_wrap=True)
        for line in error.excerpt:
            console.print(f"  {escape(printable(line))}", highlight=False, soft_wrap=True)
        return error.exit_code
    except SystemExit as stop:  # how typer ends, also when interrupted
        if stop.code == INTERRUPTED:
            console.print("interrupted; run the same command again to resume")
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def main() -> None:
    """Run the command line."""
    sys.exit(run())
