"""Commands that train and score: train, evaluate, holdout, crossval."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from firstlight.cli.app import (
    PLASTICC,
    AsJson,
    Classes,
    Data,
    Frequencies,
    Jobs,
    Objects,
    Preset,
    Redshift,
    Seed,
    TruthFile,
    app,
    console,
    make_folder,
    need_training_libraries,
    print_json,
    progress,
)
from firstlight.cli.reading import Reading, listed, reads_curves, show_rare, taxonomy_of, truth_of

if TYPE_CHECKING:
    from firstlight._types import StrArray
    from firstlight.lightcurves import LightCurves

_SHOWN = ("accuracy", "macro_f1", "macro_auc", "log_loss", "flat_log_loss", "weighted_log_loss", "ece")


@app.command(
    epilog="Example: firstlight train --data plasticc --preset default --objects train.txt --out my-bundle"
)
@reads_curves
def train(
    out: Annotated[Path, typer.Option(help="Bundle folder to write.")],
    data: Data = PLASTICC,
    truth: TruthFile = None,
    preset: Preset = "default",
    objects: Objects = None,
    classes: Classes = None,
    redshift: Redshift = "photo",
    seed: Seed = 0,
    jobs: Jobs = None,
    *,
    reading: Reading,
) -> None:
    """Train a classifier and write it as a bundle. Run again after an interruption to resume."""
    from firstlight.parallel import one_core
    from firstlight.pipeline import Pipeline, load_preset
    from firstlight.pipeline.bundle import check_destination

    need_training_libraries()
    check_destination(out)  # before the training, not after
    pipeline = Pipeline(load_preset(preset))
    taxonomy = taxonomy_of(classes)
    curves, labels = reading.labelled(data, truth, objects, out, taxonomy)
    checkpoints = out.absolute().with_name(out.absolute().name + ".partial")
    with progress() as report, one_core(jobs):
        pipeline.fit(
            curves,
            labels,
            redshift=redshift,
            seed=seed,
            taxonomy=taxonomy,
            jobs=jobs,
            workdir=checkpoints,
            progress=report,
        )
        pipeline.save(out)
    shutil.rmtree(checkpoints, ignore_errors=True)
    show_rare(pipeline.info["left_out"], taxonomy.classes)
    n_objects = pipeline.info["n_objects"]
    console.print(f"Trained preset {pipeline.config.name!r} on {n_objects:,} objects: {out}")


@app.command(epilog="Example: firstlight evaluate classes.parquet --truth truth.parquet --out report")
@reads_curves
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Predictions that classify wrote.")],
    truth: Annotated[
        Path, typer.Option(help="True classes: a file with object_id and target, label or class.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and report.html.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="The light curves, for examples in the report and, with --bundle, for the skill at each "
            "phase: a file, or 'plasticc'."
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="The bundle that made the predictions, for the skill at each phase and the latents."
        ),
    ] = None,
    objects: Objects = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Classes of your own, as for train, whose spellings the truth file may have. "
            "Default: those of the predictions."
        ),
    ] = None,
    redshift: Redshift = "photo",
    jobs: Jobs = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Score predictions against the true classes; write metrics.json and a self-contained report.html."""
    from firstlight.experiments.crossval import evaluate_predictions
    from firstlight.predictions import read_predictions

    if data is None:
        reading.refuse_options("no light curves are read without --data")
    make_folder(out)
    table = read_predictions(predictions)
    if objects is not None:
        table = table.take(listed(table.object_id, objects, set()))
    curves = None if data is None else reading.curves(data, None, out)
    with progress() as report:
        scores = evaluate_predictions(
            table,
            truth_of(truth, table.classes, classes),
            out,
            curves=curves,
            bundle=bundle,
            redshift=redshift,
            jobs=jobs,
            progress=report,
        )
    _print_scores(scores, out, as_json)


@app.command(epilog="Example: firstlight holdout --preset quick --out runs/quick")
@reads_curves
def holdout(
    out: Annotated[Path, typer.Option(help="Folder for bundle, predictions, metrics.json and report.html.")],
    data: Data = PLASTICC,
    truth: TruthFile = None,
    preset: Preset = "quick",
    objects: Objects = None,
    classes: Classes = None,
    redshift: Redshift = "photo",
    seed: Seed = 0,
    jobs: Jobs = None,
    frequencies: Frequencies = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Train on 80 % of the objects and score on the other 20 %; a fixed hash of the id decides."""
    from firstlight.experiments.crossval import run_holdout
    from firstlight.pipeline import load_preset

    need_training_libraries()
    make_folder(out)
    taxonomy = taxonomy_of(classes)
    curves, labels = _sampled(*reading.labelled(data, truth, objects, out, taxonomy), frequencies, seed)
    with progress() as report:
        scores = run_holdout(
            curves,
            labels,
            load_preset(preset),
            out,
            redshift=redshift,
            seed=seed,
            taxonomy=taxonomy,
            jobs=jobs,
            progress=report,
        )
    _print_scores(scores, out, as_json)


@app.command(epilog="Example: firstlight crossval --preset seed --folds 5 --jobs 2 --out runs/seed")
@reads_curves
def crossval(
    out: Annotated[Path, typer.Option(help="Folder for folds, metrics.json and report.html.")],
    data: Data = PLASTICC,
    truth: TruthFile = None,
    preset: Preset = "default",
    objects: Objects = None,
    classes: Classes = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds over objects.")] = 5,
    redshift: Redshift = "photo",
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Folds at the same time, one process per fold.")] = 1,
    frequencies: Frequencies = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Cross-validate over objects: encoder, classifier and calibration see training folds only."""
    from firstlight.experiments.crossval import run_crossval
    from firstlight.pipeline import load_preset

    need_training_libraries()
    make_folder(out)
    taxonomy = taxonomy_of(classes)
    curves, labels = _sampled(*reading.labelled(data, truth, objects, out, taxonomy), frequencies, seed)
    with progress() as report:
        scores = run_crossval(
            curves,
            labels,
            load_preset(preset),
            out,
            n_folds=folds,
            redshift=redshift,
            seed=seed,
            taxonomy=taxonomy,
            jobs=jobs,
            progress=report,
        )
    _print_scores(scores, out, as_json)


# --- shared by the commands ---------------------------------------------------


def _sampled(
    curves: "LightCurves", labels: "StrArray", frequencies: str | None, seed: int
) -> tuple["LightCurves", "StrArray"]:
    """All objects, or a sample with the paper's class frequencies; any split comes later."""
    import numpy as np

    from firstlight.data.sample import sample_by_frequency
    from firstlight_paper.printed import PAPER_FREQUENCIES

    if frequencies is None:
        return curves, labels
    drawn = sample_by_frequency(labels, PAPER_FREQUENCIES, np.random.default_rng(seed))
    console.print(
        f"{len(drawn.position):,} of {len(labels):,} objects drawn at the paper's class frequencies; "
        f"none of {', '.join(drawn.dropped)}"
    )
    return curves.take(drawn.position), labels[drawn.position]


def _print_scores(scores: dict[str, object], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(scores)
        return
    from rich.table import Table

    table = Table(title=str(scores.get("protocol", "")), title_justify="left")
    table.add_column("metric")
    table.add_column("mean", justify="right")
    table.add_column("std", justify="right")
    for name in _SHOWN:
        value = scores.get(name)
        if isinstance(value, dict):
            table.add_row(name, *("n/a" if value[k] is None else f"{value[k]:.4f}" for k in ("mean", "std")))
    console.print(table)
    warnings = scores.get("warnings")
    for sentence in warnings if isinstance(warnings, list | tuple) else ():
        console.print(f"[yellow]{escape(sentence)}[/yellow]", highlight=False, soft_wrap=True)
    typer.echo(out / "report.html")
