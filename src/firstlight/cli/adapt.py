"""The command ``adapt``: a bundle for a user's survey and labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from firstlight.cli.app import (
    PLASTICC,
    AsJson,
    Classes,
    Jobs,
    Objects,
    Redshift,
    Seed,
    VerifyWith,
    app,
    console,
    need_libraries,
    print_json,
    progress,
)
from firstlight.cli.reading import Reading, reads_curves, show_rare
from firstlight.errors import DataError, FetchError

if TYPE_CHECKING:
    from firstlight._types import StrArray
    from firstlight.adapt import Adapted
    from firstlight.lightcurves import LightCurves


Labels = Annotated[
    Path,
    typer.Option(
        help="Their classes: a CSV or Parquet file with object_id and label, class or target. With a "
        "column source (survey or catalogue), each source is measured as a survey, and left out once."
    ),
]
Survey = Annotated[
    str | None,
    typer.Option(
        help="Your survey: a name such as ztf, ps1, des, lsst-wfd, or a TOML file. Default: measured "
        "from the light curves."
    ),
]
Training = Annotated[
    str,
    typer.Option(
        help="Training set of the bundle, which is observed again: a file, or 'plasticc' for the "
        "downloaded set (firstlight fetch plasticc)."
    ),
]
Scratch = Annotated[
    bool,
    typer.Option(
        "--scratch/--no-scratch",
        help="Train on the labels alone, too, for comparison; takes most of the time.",
    ),
]


@app.command(
    epilog="Example: firstlight adapt --data mine.csv --labels labels.csv --from default --out my-bundle"
)
@reads_curves
def adapt(
    data: Annotated[str, typer.Option(help="Light curves of your survey, a file or folder.")],
    labels: Labels,
    out: Annotated[Path, typer.Option(help="Bundle folder to write; the survey goes to OUT.survey.toml.")],
    base: Annotated[
        Path | None,
        typer.Option("--from", help="Bundle to adapt: a folder, default or fast. Default: default."),
    ] = None,
    survey: Survey = None,
    classes: Classes = None,
    objects: Objects = None,
    training: Training = PLASTICC,
    training_labels: Annotated[
        Path | None, typer.Option(help="Classes of a training set in a file. Default: as for train.")
    ] = None,
    scratch: Scratch = True,
    verify_with: VerifyWith = None,
    redshift: Redshift = "photo",
    seed: Seed = 0,
    jobs: Jobs = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Adapt a bundle to your survey with some labels, from ten per class to thousands.

    Encoder and features stay. The training set is observed again as your survey sees the sky, and trees are
    grown on it and your labels. The table at the end is of objects that the trees have not seen.
    """
    from firstlight.adapt import adapt as adapt_bundle
    from firstlight.data import cache_folder
    from firstlight.pipeline import Pipeline
    from firstlight.pipeline.bundle import check_destination
    from firstlight.splits import twins_note
    from firstlight.surveys import load_survey
    from firstlight.taxonomy import Taxonomy

    need_libraries("adapting", "train", ("lightgbm", *(("torch", "sklearn") if scratch else ())))
    check_destination(out)
    if survey is not None:
        load_survey(survey)  # before minutes of work, not after
    own = None if classes is None else Taxonomy.read(classes)
    with progress() as report:
        bundle = Pipeline.load(base, public_key=verify_with, progress=report)
    taxonomy = bundle.taxonomy if own is None else own
    known = _training_set(training, training_labels, out)
    curves, names = reading.labelled(data, labels, objects, out, taxonomy)
    sources = _sources(labels, curves)
    if note := twins_note(curves):
        console.print(f"[yellow]{escape(note)}[/yellow]", highlight=False, soft_wrap=True)
    if (n_seen := int(bundle.trained_on(curves.object_id).sum())) > 0:
        console.print(
            f"[yellow]{n_seen:,} of {len(curves):,} labelled object(s) are among those that the bundle was "
            "trained on: it looks better on them than on new ones[/yellow]",
            highlight=False,
            soft_wrap=True,
        )
    with progress() as report:
        made = adapt_bundle(
            bundle,
            curves,
            names,
            known,
            survey=survey,
            sources=sources,
            taxonomy=taxonomy,
            redshift=redshift,
            scratch=scratch,
            seed=seed,
            jobs=jobs,
            cache=cache_folder() / "adapt",
            progress=report,
        )
        made.pipeline.save(out)
    _write_surveys(made, out)
    if as_json:
        print_json(made.pipeline.info["adapted"])
    else:
        show_rare(made.pipeline.info["left_out"], taxonomy.classes)
        _print(made, out)


def _training_set(training: str, labels: Path | None, out: Path) -> tuple["LightCurves", "StrArray"]:
    """The training set and its classes."""
    try:
        curves, names = Reading().labelled(training, labels, None, out.with_name(f"{out.name}.training"))
    except FetchError as error:
        raise DataError(
            f"the training set that is observed again cannot be had ({error}); run `firstlight fetch "
            "plasticc` where there is a network, or name a training set of your own with --training"
        ) from error
    return curves, names


def _sources(labels: Path, curves: "LightCurves") -> "StrArray | None":
    """Where each object is from, if the file of labels states it."""
    from firstlight.data.truth import read_sources

    sources = read_sources(labels, curves.object_id)
    if sources is not None:
        n = len(set(sources.tolist()))
        console.print(f"labels from {n} source(s); each is measured as a survey of its own", highlight=False)
    return sources


def _write_surveys(made: "Adapted", out: Path) -> None:
    """Write each survey beside the bundle, to be read, corrected and used again."""
    from firstlight.adapt.run import write_survey

    for k, survey in enumerate(made.surveys.values()):
        number = f"-{k + 1}" if len(made.surveys) > 1 else ""
        write_survey(survey, out.with_name(f"{out.name}.survey{number}.toml"))


def _print(made: "Adapted", out: Path) -> None:
    from firstlight.adapt.trees import BUNDLE, NO_LABELS

    _table("held-out objects", made.held_out)
    if made.sources_out:
        _table("with the object's source left out", made.sources_out)
    console.print(f"[dim]{escape(made.protocol)}[/dim]", highlight=False, soft_wrap=True)
    choice = made.choice
    trees = (
        "the trees of the bundle" if choice.start == BUNDLE else "new trees of the re-observed training set"
    )
    labels = f"labels add trees, and a class of the training set counts as {choice.worth:g} labelled objects"
    labels = "the labels train nothing" if choice.worth == NO_LABELS else labels
    console.print(
        f"Chosen on unseen labels: {trees}; {labels}; class mix of the labels at strength {choice.mix:g}",
        highlight=False,
        soft_wrap=True,
    )
    for table, what in ((made.held_out, "held-out objects"), (made.sources_out, "sources left out")):
        if table and table["adapted"]["log_loss"]["difference"] >= 0.0:
            console.print(
                f"[yellow]on {what} the adapted bundle is not better than the one it comes from[/yellow]",
                highlight=False,
            )
    worse = {source: row for source, row in made.by_source.items() if row["adapted"] < row["unadapted"]}
    if worse:
        shown = ", ".join(
            f"{s} ({row['adapted']:.2f}, was {row['unadapted']:.2f})" for s, row in worse.items()
        )
        console.print(
            f"[yellow]with its source left out, accuracy falls for {escape(shown)}: expect no gain on a "
            "survey like these that gave no labels[/yellow]",
            highlight=False,
            soft_wrap=True,
        )
    n_labels = sum(made.pipeline.info["adapted"]["labels"].values())
    console.print(f"Adapted with {n_labels:,} labelled objects: {out}")


def _table(title: str, scores: dict[str, dict[str, Any]]) -> None:
    from rich.table import Table

    from firstlight.adapt.scores import SCORE_WORDS

    table = Table(title=title, title_justify="left", box=None)
    table.add_column("")
    for kind in scores:  # their names are long, and may take several lines; numbers may not
        table.add_column(kind, justify="right", min_width=len("0.000 ± 0.000"))
    for key, name in SCORE_WORDS.items():
        cells = (f"{row[key]['value']:.3f} ± {row[key]['std']:.3f}" for row in scores.values())
        table.add_row(name, *cells)
    console.print(table)
