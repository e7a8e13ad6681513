"""`firstlight reclassify`: answer all objects of a state folder with another bundle."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from firstlight.cli.app import AsJson, Jobs, VerifyWith, app, console, print_json
from firstlight.errors import SettingsError

if TYPE_CHECKING:
    from firstlight.pipeline import Pipeline
    from firstlight.predictions import Predictions

State = Annotated[
    Path, typer.Argument(metavar="STATE", help="State folder of a stopped worker; it stays as it is.")
]
NewBundle = Annotated[Path, typer.Option("--bundle", help="The new bundle: a folder, or default or fast.")]
OldBundle = Annotated[
    Path | None,
    typer.Option(
        "--from", help="The bundle so far. Default: the one of the state, if it ships with firstlight."
    ),
]
Out = Annotated[Path | None, typer.Option(help="File for the new predictions: .csv, .parquet or .jsonl.")]

_NOT = "not classified"


@app.command(epilog="Example: firstlight reclassify state --bundle runs/new --out new.parquet")
def reclassify(
    state: State,
    bundle: NewBundle,
    old: OldBundle = None,
    verify_with: VerifyWith = None,
    out: Out = None,
    jobs: Jobs = None,
    as_json: AsJson = False,
) -> None:
    """Answer all objects of a state folder with another bundle, and report the changes, class by class.

    The answers are those that a worker with the new bundle would give to the stored observations.
    """
    import numpy as np

    from firstlight.pipeline import Pipeline
    from firstlight.predictions import Predictions, write_predictions
    from firstlight.stream.state.read import read_folder

    after = Pipeline.load(bundle, public_key=verify_with)
    before: Pipeline | None = None
    parts = []
    moves: Counter[tuple[str, str]] = Counter()
    moved, damaged, n_both = 0.0, 0, 0
    for part in read_folder(state):
        before = before or _bundle_so_far(part.bundle, old)
        damaged += part.damaged
        was, now = (pipeline.predict(part.curves, jobs=jobs) for pipeline in (before, after))
        parts.append(now)
        moves.update(zip(_words(was), _words(now), strict=True))
        both = was.is_classified & now.is_classified
        if was.classes == now.classes:
            moved += float(np.abs(was.proba[both] - now.proba[both]).sum() / 2.0)
            n_both += int(both.sum())
    if before is None:
        raise SettingsError(f"{state} holds no object with observations")
    if out is not None:
        write_predictions(Predictions.concatenate(parts), out)
    result = {
        "objects": moves.total(),
        "changed": sum(n for (one, other), n in moves.items() if one != other),
        "damaged_entries": damaged,
        "mean_total_variation": round(moved / n_both, 6) if n_both else None,
        "from": before.bundle_version,
        "to": after.bundle_version,
        "classes": _by_class(moves),
    }
    if as_json:
        print_json(result)
    else:
        _print(result)
    if out is not None:
        typer.echo(out)


def _words(predictions: "Predictions") -> list[str]:
    """Class of each object, or that it has none."""
    pairs = zip(predictions.label.tolist(), predictions.is_classified.tolist(), strict=True)
    return [label if known else _NOT for label, known in pairs]


def _bundle_so_far(version: str, old: Path | None) -> "Pipeline":
    """The bundle given, or the one that ships and wrote the state."""
    from firstlight.pipeline import Pipeline
    from firstlight.pipeline.bundle import read_manifest, shipped_bundles

    if old is not None:
        return Pipeline.load(old)
    for folder in shipped_bundles().values():
        if read_manifest(folder).fingerprint == version.partition("+")[0]:
            return Pipeline.load(folder)
    raise SettingsError(
        f"the state is of bundle {version or 'unknown'}, which does not ship with this firstlight; "
        "give it with --from"
    )


def _by_class(moves: Counter[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """For each class: how many objects had it, have it, kept it, and where the others went and came from."""
    names = sorted({name for pair in moves for name in pair}, key=lambda name: (name == _NOT, name))
    table = {}
    for name in names:
        gone = {new: n for (old, new), n in moves.most_common() if old == name != new}
        come = {old: n for (old, new), n in moves.most_common() if new == name != old}
        kept = moves[name, name]
        table[name] = {
            "before": kept + sum(gone.values()),
            "after": kept + sum(come.values()),
            "kept": kept,
            "to": gone,
            "from": come,
        }
    return table


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=f"{result['from']} to {result['to']}", title_justify="left")
    for name in ("class", "before", "after", "kept", "most went to", "most came from"):
        table.add_column(name, justify="left" if name == "class" or "most" in name else "right")
    for name, row in result["classes"].items():
        ends = (
            ", ".join(f"{other} {n:,}" for other, n in list(row[way].items())[:3]) for way in ("to", "from")
        )
        counts = (f"{row[key]:,}" for key in ("before", "after", "kept"))
        table.add_row(*map(escape, (name, *counts, *ends)))
    console.print(table)
    mean = result["mean_total_variation"]
    words = f"{result['objects']:,} objects, {result['changed']:,} with another class"
    words += "" if mean is None else f"; probabilities moved by {mean:.3f} on average (total variation)"
    if result["damaged_entries"]:
        words += f"; {result['damaged_entries']:,} damaged entries left out"
    console.print(words, highlight=False)
