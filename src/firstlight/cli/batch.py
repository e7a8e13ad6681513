"""The command ``batch``: the classes of an archive, partition by partition."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from firstlight.cli.app import Bundle, MinDomain, Objects, Prior, Redshift, VerifyWith, app, console, progress
from firstlight.cli.reading import Reading, names_listed, reads_curves
from firstlight.errors import DataError, PartsFailedError, SettingsError
from firstlight.text import printable

if TYPE_CHECKING:
    from firstlight.batch import Summary

_UNITS = {"": 1, "B": 1, "MB": 1e6, "GB": 1e9, "MIB": 2**20, "GIB": 2**30}
_SHOWN = 5  # partitions that failed, in the terminal


Catalog = Annotated[
    Path,
    typer.Argument(
        metavar="CATALOG",
        help="A HATS catalog with nested light curves, or a folder of files of any known format "
        "(docs/reference/files.md), each object in one file.",
    ),
]
Carry = Annotated[
    str | None,
    typer.Option(help="Columns of CATALOG to keep beside the answers, as ra,dec. Default: the position."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Address of a Dask scheduler, tcp://HOST:PORT, whose workers of one thread classify instead."
    ),
]


@app.command(epilog="Example: firstlight batch catalog --bundle fast --out classes --jobs 8")
@reads_curves
def batch(
    source: Catalog,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder to write: a HATS catalog if CATALOG is one, else a Parquet file per partition."
        ),
    ],
    bundle: Bundle = None,
    verify_with: VerifyWith = None,
    objects: Objects = None,
    cone: Annotated[
        str | None, typer.Option(help="Only objects in this circle: RA,DEC,RADIUS in degrees.")
    ] = None,
    prior: Prior = None,
    min_domain: MinDomain = None,
    redshift: Redshift = "photo",
    upto_phase: Annotated[
        float | None,
        typer.Option(help="Use only observations up to this many days after the first detection."),
    ] = None,
    carry: Carry = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Number of local processes, of one thread each. Default: one per core."),
    ] = None,
    memory: Annotated[
        str, typer.Option(help="Memory of each process, as 900MB; files are read in pieces that fit.")
    ] = "2GB",
    cluster: Cluster = None,
    *,
    reading: Reading,
) -> None:
    """Classify an archive of any size, partition by partition; run it again to resume."""
    from firstlight.batch import Cone, FrameClassifier, Selection, classify_archive

    if upto_phase is not None and upto_phase != upto_phase:
        raise SettingsError("--upto-phase is a number of days since the first detection, not NaN")
    classify = FrameClassifier(
        str(bundle or "default"),
        redshift=redshift,
        upto_phase=upto_phase,
        prior=prior,
        min_domain=min_domain,
        carry=None if carry is None else tuple(name.strip() for name in carry.split(",") if name.strip()),
        zero_point=reading.zero_point,
        dereddened=reading.dereddened,
        format=reading.format,
        columns=reading.columns,
        verify_with=None if verify_with is None else str(verify_with),
    )
    listed = None if objects is None else tuple(names_listed(objects).tolist())
    selection = Selection(listed, None if cone is None else Cone.parse(cone))
    with progress() as bar:
        summary = classify_archive(
            source,
            out,
            classify,
            selection=selection,
            metadata=reading.metadata,
            jobs=jobs or os.cpu_count() or 1,
            cluster=cluster,
            memory=_bytes(memory),
            progress=bar,
            report=lambda sentence: console.print(sentence, highlight=False, markup=False, soft_wrap=True),
        )
    _show(summary, out, reading.rejects)
    n_absent = 0 if listed is None else len(listed) - summary.total("listed")
    if n_absent > 0 and not summary.failed:
        where = "the data" if cone is None else "the partitions that the cone touches"
        console.print(
            f"[yellow]{n_absent:,} of {len(listed or ()):,} listed objects are not in {where}[/yellow]",
            highlight=False,
            soft_wrap=True,
        )
    _check_complete(summary, source, reading.strict)


def _check_complete(summary: "Summary", source: Path, strict: bool | None) -> None:
    """Raise if rows were set aside although none may be, or if partitions failed."""
    if strict and summary.rows_set_aside:
        raise DataError(f"{source}: rows or objects cannot be used, and --strict accepts none; see above")
    if summary.failed:
        raise PartsFailedError(
            f"{len(summary.failed):,} partition(s) could not be classified; the others are kept, and the "
            "same command tries these again"
        )


def _show(summary: "Summary", out: Path, rejects: Path | None) -> None:
    """Show the counts, and the place of the rows that were set aside."""
    from firstlight.batch.work import RECORD

    total = summary.total
    now = total("answered") - sum(one.answered for one in summary.outcomes[: summary.n_before])
    speed = f", {now / summary.seconds:,.0f} objects/s" if now else ""
    console.print(
        f"{total('classified'):,} of {total('answered'):,} objects classified in {len(summary.outcomes):,} "
        f"partition(s){speed}, at most {summary.peak_bytes / 1e6:,.0f} MB per process: {escape(str(out))}",
        highlight=False,
        soft_wrap=True,
    )
    for note in summary.notes[:_SHOWN]:
        console.print(escape(printable(note)), highlight=False, soft_wrap=True)
    if n := total("not_selected"):
        unknown = total("no_position")
        why = f", {unknown:,} of them because their position is unknown" if unknown else ""
        console.print(f"{n:,} object(s) not selected{why}", highlight=False, soft_wrap=True)
    if n := summary.rows_set_aside:
        place = out / RECORD / "rejects"
        if rejects is not None:
            _join(sorted(place.rglob("*.jsonl")), rejects)
            place = rejects
        console.print(
            f"[yellow]{n:,} row(s) or object(s) set aside ({total('set_aside'):,} objects have no answer), "
            f"reasons in {escape(str(place))}[/yellow]",
            highlight=False,
            soft_wrap=True,
        )
    if summary.passed_over:
        names = ", ".join(escape(printable(path.name, 60)) for path in summary.passed_over[:_SHOWN])
        console.print(f"{len(summary.passed_over):,} other file(s) passed over: {names}", highlight=False)
    for one in summary.failed[:_SHOWN]:
        console.print(
            f"[red]{escape(printable(f'{one.name}: {one.error}'))}[/red]", highlight=False, soft_wrap=True
        )
    if len(summary.failed) > _SHOWN:
        console.print(f"[red]and {len(summary.failed) - _SHOWN:,} more[/red]", highlight=False)


def _join(parts: list[Path], out: Path) -> None:
    """Write the rejects of all partitions to one file."""
    from firstlight.files import replacing

    with replacing(out) as partial, partial.open("wb") as file:
        for path in parts:
            file.write(path.read_bytes())


def _bytes(text: str) -> int:
    """Bytes of a size such as 2GB; SettingsError if the text is no size."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    unit = None if found is None else _UNITS.get(found[2].upper())
    if found is None or unit is None:
        raise SettingsError(f"--memory {text!r}: write it as 900MB or 2GB")
    return int(float(found[1]) * unit)
