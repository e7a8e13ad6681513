"""How commands read light curves: their common options, the reading, and the messages about it.

A command that reads light curves takes a keyword ``reading`` and is wrapped in `reads_curves`, which gives
it the options of `Reading`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from firstlight.cli.app import PLASTICC, Columns, Format, Metadata, console, reading_progress, with_options
from firstlight.errors import DataError, SettingsError

if TYPE_CHECKING:
    from firstlight._types import BoolArray, Progress, StrArray
    from firstlight.data import RejectLog, Truth
    from firstlight.lightcurves import LightCurves
    from firstlight.taxonomy import Taxonomy

_SHOWN = 5  # reasons in the terminal; the file has all

RejectFile = Annotated[
    Path | None,
    typer.Option(
        "--rejects",
        help="File for rows and objects that cannot be used, with their reasons. Default: OUT.rejects.jsonl.",
    ),
]
ZeroPoint = Annotated[
    float | None,
    typer.Option(
        help="AB zero point of the fluxes: 31.4 for nJy, 23.9 for microjansky, 27.5 for SNANA. Default: as "
        "the file states, or its format implies."
    ),
]
Dereddened = Annotated[
    bool | None,
    typer.Option(
        "--dereddened/--not-dereddened",
        help="Whether the fluxes are already corrected for Milky Way dust. Default: as the file states, or "
        "its format implies.",
    ),
]

Strict = Annotated[
    bool | None,
    typer.Option(
        "--strict",
        help="Stop with exit code 1 if a row or object cannot be used. Default: it is set aside and counted, "
        "and the exit code is 0.",
    ),
]


@dataclass(slots=True)
class Reading:
    """The common options of commands that read light curves, and the reading itself."""

    metadata: Metadata = None
    rejects: RejectFile = None
    zero_point: ZeroPoint = None
    dereddened: Dereddened = None
    format: Format = None
    columns: Columns = None
    strict: Strict = None

    def curves(self, source: str | Path, objects: Path | None, out: Path | None) -> "LightCurves":
        """Light curves of a file or of the downloaded set: all objects, or those that a file lists.

        Unusable rows are written to the file of rejects beside `out` and shown. DataError if nothing
        is left, or with `strict` if anything is set aside.
        """
        return self._curves(source, objects, out)[0]

    def _curves(
        self, source: str | Path, objects: Path | None, out: Path | None
    ) -> tuple["LightCurves", set[str]]:
        """As `curves`, and the names of the objects set aside."""
        from firstlight.data import RejectLog

        log = RejectLog()
        with reading_progress(f"reading {source}") as bar:
            curves = self._read(source, log, bar)
        set_aside = {reject.object_id for reject in log}
        place = self.rejects or _beside(out)
        show(log, place)
        if self.strict and len(log):
            raise DataError(
                f"{source}: {len(log):,} row(s) or object(s) cannot be used, and --strict accepts none; the "
                f"reasons are in {place}"
            )
        if objects is not None:
            curves = only_listed(curves, objects, set_aside)
        if not len(curves):
            raise DataError(
                f"{source}: no object left" + (f"; the reasons are in {place}" if len(log) else "")
            )
        return curves, set_aside

    def _read(self, source: str | Path, log: "RejectLog", progress: "Progress") -> "LightCurves":
        from firstlight.data import load_plasticc, read
        from firstlight.data.formats import is_alert_file

        if str(source) == PLASTICC:
            self.refuse_options(
                "the downloaded set needs no such option", "zero_point", "dereddened", "format", "columns"
            )
            return load_plasticc()[0]
        if is_alert_file(Path(source)):
            from firstlight.stream.alerts.files import read_alerts

            reason = "packets of alerts state them"
            self.refuse_options(reason, "metadata", "zero_point", "dereddened", "format", "columns")
            return read_alerts(source, log, report=_report, progress=progress)
        return read(
            Path(source),
            self.metadata,
            log,
            self.zero_point,
            self.dereddened,
            format=self.format,
            columns=self.columns,
            report=_report,
            progress=progress,
        )

    def labelled(
        self,
        data: str,
        truth: Path | None,
        objects: Path | None,
        out: Path | None,
        taxonomy: "Taxonomy | None" = None,
    ) -> tuple["LightCurves", "StrArray"]:
        """Light curves and their classes, aligned; spellings of other surveys are translated and shown.

        Objects without a label are set aside, and counted on the terminal, as are labels without an object;
        those with a label of no class keep it: training leaves them out and counts them.
        """
        from firstlight.data import Truth, load_plasticc

        if data == PLASTICC:
            table = load_plasticc()[1] if truth is None else Truth.read(truth, taxonomy)
        else:
            table = _truth_beside(Path(data), self.metadata, truth, taxonomy)
        curves, set_aside = self._curves(data, objects, out)
        if objects is None:
            _show_unseen(table, curves, set_aside)
        curves = _with_label(curves, table)
        return curves, translated(table.labels_of(curves.object_id), taxonomy)

    def refuse_options(self, reason: str, *names: str) -> None:
        """Raise SettingsError if one of the named options, by default any, is given."""
        among = names or tuple(one.name for one in fields(self))
        given = [f"--{name.replace('_', '-')}" for name in among if getattr(self, name) is not None]
        if given:
            raise SettingsError(f"leave out {' and '.join(given)}: {reason}")


def reads_curves(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Reading` in the place of its keyword ``reading``."""
    return with_options(command, "reading", Reading)


def translated(labels: "StrArray", taxonomy: "Taxonomy | None" = None) -> "StrArray":
    """Labels as classes of a taxonomy; prints translated labels, and labels that are of no class."""
    import numpy as np

    from firstlight.taxonomy import Taxonomy

    taxonomy = Taxonomy() if taxonomy is None else taxonomy
    names, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    found = taxonomy.match(names.tolist())
    number = dict(zip(names.tolist(), counts.tolist(), strict=True))
    other = {name: target for name, target in found.items() if target not in (None, name)}
    if other:
        console.print("labels in other spellings:", highlight=False)
        for name, target in other.items():
            console.print(f"  {escape(name)} = {target}: {number[name]:,} object(s)", highlight=False)
    unknown = [name for name, target in found.items() if target is None]
    if unknown:
        total = sum(number[name] for name in unknown)
        shown = ", ".join(f"{escape(repr(name))} ({number[name]:,})" for name in unknown[:_SHOWN])
        more = f" and {len(unknown) - _SHOWN} more label(s)" if len(unknown) > _SHOWN else ""
        console.print(
            f"[yellow]{total:,} object(s) set aside, their labels are no classes: {shown}{more}; name the "
            "classes in a file for --classes[/yellow]",
            highlight=False,
            soft_wrap=True,
        )
    return np.array([found[name] or name for name in names.tolist()], dtype=np.str_)[index]


def show_rare(left_out: "Mapping[str, int]", classes: "Sequence[str]") -> None:
    """Count the objects of classes that a training left out because they have too few."""
    rare = {name: n for name, n in left_out.items() if name in classes}
    if rare:
        shown = ", ".join(f"{escape(name)} {n:,}" for name, n in rare.items())
        console.print(
            f"[yellow]{sum(rare.values()):,} object(s) set aside, too few of their class to learn it: {shown}"
            "[/yellow]",
            highlight=False,
            soft_wrap=True,
        )


def taxonomy_of(classes: Path | None) -> "Taxonomy":
    """The classes of a file, or those of firstlight."""
    from firstlight.taxonomy import Taxonomy

    return Taxonomy() if classes is None else Taxonomy.read(classes)


def truth_of(path: Path, classes: tuple[str, ...], spellings: Path | None = None) -> "Truth":
    """The labels of a file as classes of predictions; translations are shown.

    `spellings` is a file for ``--classes`` with further spellings of them.
    """
    from firstlight.data import Truth
    from firstlight.taxonomy import CLASSES, Taxonomy

    own = classes != CLASSES or spellings is not None
    taxonomy = Taxonomy.of({name: {} for name in classes}) if classes != CLASSES else Taxonomy()
    if spellings is not None:
        taxonomy = replace(taxonomy, aliases=Taxonomy.read(spellings).aliases)
    truth = Truth.read(path, taxonomy if own else None)
    return Truth(truth.object_id, translated(truth.label, taxonomy))


def _with_label(curves: "LightCurves", truth: "Truth") -> "LightCurves":
    """The objects that have a label; the others are counted."""
    known = truth.has(curves.object_id)
    if known.all():
        return curves
    if not known.any():
        theirs = f", the labels such as {str(truth.object_id[0])!r}" if len(truth) else ""
        raise DataError(
            f"none of the {len(curves):,} objects has a label: the light curves name objects such as "
            f"{str(curves.object_id[0])!r}{theirs}; check the names"
        )
    first = str(curves.object_id[~known][0])
    console.print(
        f"[yellow]{int((~known).sum()):,} of {len(curves):,} object(s) set aside, they have no label; "
        f"the first is {escape(repr(first))}[/yellow]",
        highlight=False,
        soft_wrap=True,
    )
    return curves.take(known)


def _show_unseen(truth: "Truth", curves: "LightCurves", set_aside: set[str]) -> None:
    """Count the labels of objects that have no light curve."""
    import numpy as np

    unseen = [
        name for name in np.setdiff1d(truth.object_id, curves.object_id).tolist() if name not in set_aside
    ]
    if unseen:
        console.print(
            f"{len(unseen):,} of {len(truth):,} label(s) are of objects without a light curve; the first is "
            f"{escape(repr(unseen[0]))}",
            highlight=False,
            soft_wrap=True,
        )


def show(log: "RejectLog", place: Path) -> None:
    """Show conversions and rejects, and write the rejects to a file."""
    for note in log.notes:
        console.print(escape(note), highlight=False, soft_wrap=True)
    if not len(log):
        return
    log.write(place)
    summary = log.summary()
    console.print(
        f"[yellow]{len(log):,} row(s) or object(s) set aside, reasons in {escape(str(place))}:[/yellow]",
        highlight=False,
        soft_wrap=True,
    )
    for reason, first in list(log.first().items())[:_SHOWN]:
        parts = [f"row {first.row}" if first.row is not None else "", _quoted("object ", first.object_id)]
        where = ", ".join(part for part in parts if part)
        value = _quoted(", value ", first.value)
        example = f" (first: {where}{value})" if where else ""
        console.print(f"  {summary[reason]:,} x {escape(reason + example)}", highlight=False, soft_wrap=True)
    if len(summary) > _SHOWN:
        console.print(f"  and {len(summary) - _SHOWN} more reason(s)", highlight=False)


def _quoted(word: str, text: str) -> str:
    return f"{word}{text!r}" if text else ""


def _report(sentence: str) -> None:
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _beside(out: Path | None) -> Path:
    """The file of rejects that belongs to an output."""
    return Path("rejects.jsonl") if out is None else out.with_name(out.name + ".rejects.jsonl")


def _truth_beside(
    data: Path, metadata: Path | None, truth: Path | None, taxonomy: "Taxonomy | None"
) -> "Truth":
    from firstlight.data import Truth

    path = truth or metadata or data.with_name("truth.parquet")
    if truth is None and not path.exists():
        raise DataError(f"no labels for {data}: give --truth FILE (object_id and target, label or class)")
    return Truth.read(path, taxonomy)


def only_listed(curves: "LightCurves", objects: Path, set_aside: set[str]) -> "LightCurves":
    """The light curves of the objects that a file lists; DataError for one that is unknown."""
    return curves.take(listed(curves.object_id, objects, set_aside))


def listed(object_id: "StrArray", objects: Path, set_aside: set[str]) -> "BoolArray":
    """Which objects a file lists; DataError if it lists one that is neither among them nor set aside."""
    import numpy as np

    wanted = names_listed(objects)
    missing = [name for name in np.setdiff1d(wanted, object_id).tolist() if name not in set_aside]
    if missing:
        raise DataError(f"{objects}: {len(missing)} object(s) not in the data; the first is {missing[0]!r}")
    return np.isin(object_id, wanted)


def names_listed(objects: Path) -> "StrArray":
    """The distinct names of a list of objects; DataError if it has none or cannot be read."""
    import numpy as np

    try:
        lines = [line.strip() for line in objects.read_text("utf-8-sig").splitlines()]
    except OSError as error:
        raise DataError(f"cannot read the list of objects {objects}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{objects}: not a text file; it must have one object id per line") from error
    named = lines[1:] if lines[:1] == ["object_id"] else lines  # as tables are written
    wanted = np.unique(np.array([name for name in named if name], dtype=np.str_))
    if not len(wanted):
        raise DataError(f"{objects}: lists no object; it must have one object id per line")
    return wanted
