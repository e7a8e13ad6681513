"""The command ``rank``: tonight's targets from the results of ``stream``."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from firstlight.cli.app import AsJson, app, check_picture, console, reading_progress, with_options
from firstlight.constants import MJD_OF_1970
from firstlight.errors import SettingsError
from firstlight.text import number_in, printable

if TYPE_CHECKING:
    from firstlight.followup.utility import FollowupConfig
    from firstlight.serve.tonight import Plan
    from firstlight.stream.results.rank import Ranking

_LONGEST = 60  # characters of an object's id in the terminal and the figure


@dataclass(frozen=True, slots=True)
class Planning:
    """The options of a night's plan that several commands share, and the plan that they state."""

    want: Annotated[
        list[str] | None,
        typer.Option(
            help="Wanted class, as CLASS or CLASS=WORTH (0 to 1); may be repeated. Likely ones come before "
            "all other targets. Default: KN, TDE and six other rare classes, by worth alone."
        ),
    ] = None
    site: Annotated[str, typer.Option(help="Observatory (rubin, paranal, ...) or LON,LAT[,HEIGHT].")] = (
        "rubin"
    )
    hours: Annotated[float, typer.Option(help="Available telescope time (hours).")] = 4.0
    limit_mag: Annotated[float, typer.Option(help="Faintest magnitude within reach (AB mag).")] = 22.0
    max_age: Annotated[float, typer.Option(help="Maximum age of an object's last record (days).")] = 15.0

    def followup(self, novelty: float | None = None, learn: float = 0.0) -> "FollowupConfig":
        """Wanted classes and their worth; SettingsError if --want cannot be read.

        Without a weight of novelty it is .3, and 0 where classes are named: who names classes wants these.
        """
        from firstlight.followup.utility import FollowupConfig

        names, weights = [], []
        for text in self.want or ():
            name, given, weight = text.partition("=")
            try:
                weights.append(number_in(weight) if given else 1.0)
            except ValueError:
                raise SettingsError(
                    f"--want {text}: give CLASS or CLASS=WORTH, the worth from 0 to 1"
                ) from None
            names.append(name.strip())
        default = FollowupConfig()
        if novelty is None:
            novelty = 0.0 if names else default.novelty
        return FollowupConfig(
            wanted=tuple(names) or default.wanted,
            weights=tuple(weights),
            novelty=novelty,
            limit_mag=self.limit_mag,
            named=bool(names),
            learn=learn,
        )

    def page(self, evening: str | None = None) -> "Plan":
        """The plan of the live page, for an evening or the night of the newest record."""
        from firstlight.followup.night import ObservingConfig, find_site
        from firstlight.followup.schedule import ScheduleConfig
        from firstlight.serve.tonight import Plan

        return Plan(
            site=find_site(self.site),
            evening=evening,
            followup=self.followup(),
            observing=ObservingConfig(),
            telescope=ScheduleConfig(hours=self.hours, limit_mag=self.limit_mag),
            max_age=self.max_age,
        )


def plans_a_night(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Planning` in the place of its keyword ``plan``."""
    return with_options(command, "plan", Planning)


@app.command(
    epilog="Example: firstlight rank results.jsonl --want KN --want TDE=0.5 --site rubin "
    "--night 2026-11-26 --hours 4 --limit-mag 21 --out targets.csv"
)
@plans_a_night
def rank(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Results of stream (.jsonl or .avro).")],
    *,
    plan: Planning,
    night: Annotated[
        str | None,
        typer.Option(help="Local date of the evening, YYYY-MM-DD. Default: the first after the last record."),
    ] = None,
    hours_at_limit: Annotated[
        float, typer.Option(help="Exposure time at the limiting magnitude (hours).")
    ] = 1.0,
    overhead: Annotated[float, typer.Option(help="Overhead per target (minutes).")] = 6.0,
    novelty: Annotated[
        float | None,
        typer.Option(
            help="Weight of novelty: the worth of an object unlike any known class, 0 to 1. Default: .3, and "
            "0 with --want."
        ),
    ] = None,
    learn: Annotated[
        float,
        typer.Option(
            help="Worth of an object about whose class nothing is known, 0 to 1: its spectrum teaches "
            "the classifier."
        ),
    ] = 0.0,
    airmass: Annotated[float, typer.Option(help="Maximum airmass.")] = 2.0,
    twilight: Annotated[
        float,
        typer.Option(
            help="Altitude of the Sun below which it is dark (degrees): -18 is night, -12 nautical twilight."
        ),
    ] = -18.0,
    moon: Annotated[float, typer.Option(help="Minimum distance from a full Moon (degrees).")] = 30.0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File for the table of all targets: .csv (an apostrophe before ids that a spreadsheet would "
            "run as a formula), .json (all ids as they are), or .tom.csv (the chosen ones, for TOM Toolkit)."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="File for a plot of the night: .png, .svg or .pdf."),
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="Number of targets not chosen to print.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Rank tonight's targets by the value of a spectrum, and choose those that fit into the hours."""
    from firstlight.followup.night import ObservingConfig
    from firstlight.followup.schedule import ScheduleConfig
    from firstlight.stream.results.rank import check_ranking_output

    if out is not None:
        check_ranking_output(out)
    if plot is not None:
        check_picture(plot)
    ranking = _ranking(
        results,
        plan.site,
        night,
        followup=plan.followup(novelty, learn),
        observing=ObservingConfig(airmass_limit=airmass, moon_limit=moon),
        telescope=ScheduleConfig(
            hours=plan.hours,
            limit_mag=plan.limit_mag,
            hours_at_limit=hours_at_limit,
            overhead=overhead / 60.0,
        ),
        max_age=plan.max_age,
        twilight=twilight,
    )
    _write(ranking, out, plot, as_json, show)


def _write(ranking: "Ranking", out: Path | None, plot: Path | None, as_json: bool, n_left_out: int) -> None:
    """Write the files, and print the targets."""
    from firstlight.files import replacing
    from firstlight.report.style import save_figure
    from firstlight.stream.results.rank import ranking_json, write_ranking

    if plot is not None:
        with replacing(plot) as partial:
            save_figure(ranking.plot(), partial, plot.suffix.lower().removeprefix("."))
    if out is not None:
        write_ranking(ranking, out)
    if as_json:
        typer.echo(ranking_json(ranking.table))
        return
    _print(ranking, n_left_out)  # last, as a pipe may close after a few lines
    for path in (plot, out):
        if path is not None:
            typer.echo(path)


def _ranking(results: Path, site: str, night: str | None, **settings: Any) -> "Ranking":
    """The targets of a night, by default the first after the last record."""
    from firstlight.followup.night import find_site
    from firstlight.stream.results.rank import latest_credible, next_evening, rank_targets
    from firstlight.stream.results.read import read_results

    place = find_site(site)
    with reading_progress(f"reading {results}") as bar:
        table = read_results(results, bar)
    if night is None:
        until = latest_credible(table.mjd, time.time() / 86400.0 + MJD_OF_1970)
        night = next_evening(table, place, until)
        if n_later := int((table.mjd > until).sum()):
            console.print(
                f"[yellow]{n_later:,} record(s) from the future, after MJD {until:.2f}, do not move "
                "the night; --night chooses another[/yellow]",
                highlight=False,
            )
    return rank_targets(table, place, night, **settings)


def _print(ranking: "Ranking", n_left_out: int) -> None:
    from rich.table import Table

    night, chosen = ranking.night, ranking.chosen
    moon = f"Moon {100.0 * night.moon_lit:.0f} % lit"
    used = float(chosen["hours"].sum())
    title = (
        f"{night.site.name}, night of {night.date}: {night.dark_hours:.1f} dark hours, {moon}; "
        f"{len(chosen)} of {len(ranking.table):,} targets in {used:.1f} of {ranking.hours:g} h"
    )
    table = Table(title=title, title_justify="left", title_style="bold")
    for name, justify in (("", "right"), ("object", "left"), ("worth", "right"), ("UTC", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("min", justify="right", no_wrap=True)
    table.add_column("why")
    shown = ranking.table.head(len(chosen) + n_left_out)
    for row in shown.to_dict("records"):
        is_chosen = row["fate"] == "chosen"
        table.add_row(
            str(row["rank"]),
            escape(printable(row["object"], _LONGEST)),
            f"{row['worth']:.3f}",
            row["start"][11:] if is_chosen else "-",
            f"{60.0 * row['hours']:.0f}" if row["hours"] == row["hours"] else "-",
            escape(printable(row["reasons"])),
            style="" if is_chosen else "dim",
            end_section=row["rank"] == len(chosen),
        )
    console.print(table)
