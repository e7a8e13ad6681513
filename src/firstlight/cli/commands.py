"""Commands on files: fetch, train, classify, evaluate, holdout, crossval, info, plot, simulate.

Each is a call into the package.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer
from rich.console import Console

from firstlight.cli.app import (
    PICTURES,
    PLASTICC,
    Data,
    Jobs,
    Metadata,
    Objects,
    Preset,
    Redshift,
    Seed,
    TruthFile,
    app,
    console,
    make_folder,
    progress,
)
from firstlight.cli.data import read_labelled, read_light_curves
from firstlight.errors import DataError, SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from firstlight.lightcurves import LightCurves

Frequencies = Annotated[
    Optional[Literal["paper"]],  # noqa: UP045
    typer.Option(help="Draw objects first, at the paper's class frequencies; default: all objects."),
]


@app.command(epilog="Example: firstlight fetch plasticc")
def fetch(
    dataset: Annotated[
        Literal["plasticc", "plasticc-test"],
        typer.Argument(
            help="plasticc: 7,848 labelled objects; plasticc-test: the 3.5 million of the test set."
        ),
    ],
    source: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A folder (or wheel) that already holds the files; nothing is downloaded."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Where to put it; default: the cache ($FIRSTLIGHT_CACHE or ~/.cache/firstlight)."),
    ] = None,
) -> None:
    """Bring a data set into the local cache, checked and in firstlight's own Parquet layout."""
    from firstlight.data import fetch_plasticc, fetch_plasticc_test

    if dataset == "plasticc":
        folder = fetch_plasticc(destination=out, source=source)
    else:
        folder = fetch_plasticc_test(destination=out, source=source)
    typer.echo(folder)


@app.command(
    epilog="Example: firstlight train --data plasticc --preset default --objects train.txt --out my-bundle"
)
def train(
    out: Annotated[Path, typer.Option(help="Bundle folder to write.")],
    data: Data = PLASTICC,
    metadata: Metadata = None,
    truth: TruthFile = None,
    preset: Preset = "default",
    objects: Objects = None,
    redshift: Redshift = "photo",
    seed: Seed = 0,
    jobs: Jobs = None,
) -> None:
    """Train a classifier and write it as a bundle. A killed run resumes where it was."""
    from firstlight.pipeline import Pipeline, load_preset
    from firstlight.pipeline.bundle import check_destination

    check_destination(out)  # a training takes too long to find out at its end
    pipeline = Pipeline(load_preset(preset))
    curves, labels = read_labelled(data, metadata, truth, objects)
    with progress() as report:
        pipeline.fit(
            curves, labels, redshift=redshift, seed=seed, jobs=jobs, workdir=_workdir(out), progress=report
        )
        pipeline.save(out)
    _remove_workdir(out)
    console.print(f"Trained preset {pipeline.config.name!r} on {len(curves):,} objects: {out}")


@app.command(epilog="Example: firstlight classify curves.csv --metadata meta.csv --out classes.csv")
def classify(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Light curves: PLAsTiCC CSV, our Parquet, or SNPCC's.")
    ],
    out: Annotated[Path, typer.Option(help="Predictions: .csv, .parquet or .jsonl.")],
    bundle: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Trained bundle; default: the one shipped with firstlight."),
    ] = None,
    metadata: Metadata = None,
    objects: Objects = None,
    redshift: Redshift = "photo",
    upto_phase: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Cut every light curve this many days after its first detection."),
    ] = None,
    rejects: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Where bad rows and objects go; default: OUT with .rejects.jsonl."),
    ] = None,
    zero_point: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="AB zero point of the fluxes; default: what the format implies."),
    ] = None,
    dereddened: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(
            "--dereddened/--not-dereddened",
            help="Whether the fluxes are corrected for Milky Way dust; default: what the format implies.",
        ),
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Classify every object of a file: one row an object, calibrated probabilities in it."""
    from firstlight.data import RejectLog
    from firstlight.pipeline import Pipeline
    from firstlight.predictions import check_output, write_predictions

    check_output(out)
    if upto_phase is not None and upto_phase != upto_phase:
        raise SettingsError("--upto-phase is a number of days since the first detection, not NaN")
    pipeline = Pipeline.load(bundle)
    log = RejectLog()
    curves = read_light_curves(source, metadata, objects, log, zero_point, dereddened).with_redshift(redshift)
    if upto_phase is not None:
        curves = curves.upto_phase(upto_phase)
    if len(log):
        place = rejects or out.with_name(out.name + ".rejects.jsonl")
        log.write(place)
        console.print(f"[yellow]{len(log):,} bad row(s) or object(s) set aside, reasons in {place}[/yellow]")
    if len(curves) == 0:
        raise DataError(f"{source}: no object left to classify")
    with progress() as report:
        predictions = pipeline.predict(curves, jobs=jobs, progress=report)
    write_predictions(predictions, out)
    n_classified = int((predictions.status == "classified").sum())
    console.print(f"{n_classified:,} of {len(curves):,} objects classified: {out}")


@app.command(epilog="Example: firstlight evaluate classes.parquet --truth truth.parquet --out report")
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="What classify wrote.")],
    truth: Annotated[Path, typer.Option(help="Labels: object_id with target, label or class.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and report.html.")],
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="The light curves, for examples (and, with --bundle, skill against phase)."),
    ] = None,
    metadata: Metadata = None,
    bundle: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="The bundle that made them, for skill against days since trigger and the latents."),
    ] = None,
    redshift: Redshift = "photo",
    jobs: Jobs = None,
) -> None:
    """Score predictions against the truth: metrics.json and one self-contained report.html."""
    from firstlight.data import Truth
    from firstlight.experiments.crossval import evaluate_predictions
    from firstlight.predictions import read_predictions

    make_folder(out)
    table = read_predictions(predictions)
    curves = None if data is None else read_light_curves(data, metadata, None, None)
    with progress() as report:
        scores = evaluate_predictions(
            table,
            Truth.read(truth),
            out,
            curves=curves,
            bundle=bundle,
            redshift=redshift,
            jobs=jobs,
            progress=report,
        )
    _print_scores(scores, out)


@app.command(epilog="Example: firstlight holdout --preset quick --out runs/quick")
def holdout(
    out: Annotated[Path, typer.Option(help="Folder for bundle, predictions, metrics.json and report.html.")],
    data: Data = PLASTICC,
    metadata: Metadata = None,
    truth: TruthFile = None,
    preset: Preset = "quick",
    redshift: Redshift = "photo",
    seed: Seed = 0,
    jobs: Jobs = None,
    frequencies: Frequencies = None,
) -> None:
    """Train on 80 % of the objects (a fixed hash decides), score on the other 20 %, report."""
    from firstlight.experiments.crossval import run_holdout
    from firstlight.pipeline import load_preset

    make_folder(out)
    curves, labels = _sampled(*read_labelled(data, metadata, truth, None), frequencies, seed)
    with progress() as report:
        scores = run_holdout(
            curves, labels, load_preset(preset), out, redshift=redshift, seed=seed, jobs=jobs, progress=report
        )
    _print_scores(scores, out)


@app.command(epilog="Example: firstlight crossval --preset seed --folds 5 --jobs 2 --out runs/seed")
def crossval(
    out: Annotated[Path, typer.Option(help="Folder for folds, metrics.json and report.html.")],
    data: Data = PLASTICC,
    metadata: Metadata = None,
    truth: TruthFile = None,
    preset: Preset = "default",
    folds: Annotated[int, typer.Option(min=2, help="Number of folds over objects.")] = 5,
    redshift: Redshift = "photo",
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Folds at a time, one process each.")] = 1,
    frequencies: Frequencies = None,
) -> None:
    """Cross-validate over objects; encoder, classifier and calibration see training folds only."""
    from firstlight.experiments.crossval import run_crossval
    from firstlight.pipeline import load_preset

    make_folder(out)
    curves, labels = _sampled(*read_labelled(data, metadata, truth, None), frequencies, seed)
    with progress() as report:
        scores = run_crossval(
            curves,
            labels,
            load_preset(preset),
            out,
            n_folds=folds,
            redshift=redshift,
            seed=seed,
            jobs=jobs,
            progress=report,
        )
    _print_scores(scores, out)


@app.command(epilog="Example: firstlight info my-bundle")
def info(
    bundle: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="Bundle folder; default: the one shipped with firstlight."),
    ] = None,
) -> None:
    """Say what a bundle is: preset, classes, training set, files and their checksums."""
    from rich.table import Table

    from firstlight.pipeline.bundle import find_bundle, open_bundle

    folder = find_bundle(bundle)
    manifest = open_bundle(folder)
    table = Table(show_header=False, box=None)
    table.add_row("bundle", f"{folder} ({manifest.kind}, checksums verified)")
    table.add_row("version", manifest.fingerprint)
    table.add_row("made by", f"firstlight {manifest.firstlight_version}, {manifest.created}")
    for name, value in manifest.info.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if hasattr(value, "items") else str(value)
        table.add_row(name.replace("_", " "), shown or "none")
    for name, record in manifest.files.items():
        table.add_row(name, f"{record.size:,} bytes, sha256 {record.sha256[:16]}")
    Console().print(table)


@app.command(epilog="Example: firstlight plot 615 --data plasticc --out 615.png")
def plot(
    object_id: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="OBJECT", help="Object to draw; omit it with --figure-1."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Picture (.png, .svg, .pdf); default: OBJECT.png."),
    ] = None,
    data: Data = PLASTICC,
    metadata: Metadata = None,
    truth: TruthFile = None,
    bundle: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Bundle whose probabilities to print; default: the shipped one."),
    ] = None,
    figure_1: Annotated[
        bool, typer.Option("--figure-1", help="The paper's Figure 1: SN Ia, AGN and SLSN-I.")
    ] = False,
) -> None:
    """Draw a light curve with its class probabilities, or the paper's Figure 1."""
    import numpy as np

    from firstlight.files import replacing
    from firstlight.pipeline import Pipeline
    from firstlight.preprocess import PreprocessConfig, preprocess
    from firstlight.report.lightcurves import plot_figure_1, plot_light_curve

    path = out or Path("figure-1.png" if figure_1 else f"{object_id}.png".replace("/", "_"))
    if path.suffix.lower() not in PICTURES:
        raise SettingsError(f"{path}: a picture is {', '.join(PICTURES)}")
    if figure_1:
        curves, labels = read_labelled(data, metadata, truth, None)
        figure = plot_figure_1(preprocess(curves, PreprocessConfig()), labels)
    elif object_id is None:
        raise SettingsError("name an OBJECT to draw, or give --figure-1")
    else:
        curves = read_light_curves(data, metadata, None, None)
        curve = curves.find(object_id)
        said = Pipeline.load(bundle).predict(curves.take(np.flatnonzero(curves.object_id == object_id)))
        shown = {label: float(p) for label, p in zip(said.classes, said.proba[0], strict=True)}
        title = None if said.is_classified[0] else f"not classified: {said.reason[0]}; the prior is shown"
        figure = plot_light_curve(curve, probabilities=shown, title=title)
    with replacing(path) as partial:
        figure.savefig(partial, format=path.suffix.lower().removeprefix("."))
    typer.echo(path)


@app.command(epilog="Example: firstlight simulate CaRT ILOT PISN --number 200 --out simulated")
def simulate(
    classes: Annotated[list[str], typer.Argument(help="CaRT, ILOT, PISN, SLSN-I or SNIa; one or more.")],
    out: Annotated[Path, typer.Option(help="Folder to write: curves.parquet and truth.parquet.")],
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="Objects of each class.")] = 200,
    data: Annotated[
        str, typer.Option(help="Real light curves whose epochs, noise and host redshifts are borrowed.")
    ] = PLASTICC,
    metadata: Metadata = None,
    follow_up_mag: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Keep half of the objects at this peak magnitude, as a spectroscopic campaign."),
    ] = None,
    template: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Spectra of SNIa by day and wavelength (text of three columns, or bayesn's HDF5), in place "
            "of a blackbody."
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Simulate transients from published physics, as the survey behind real light curves sees them."""
    from firstlight.simulate import SimulateConfig, simulate_classes

    make_folder(out)
    observed = read_light_curves(data, metadata, None, None)
    config = SimulateConfig(follow_up_mag=follow_up_mag, template=template)
    made = simulate_classes(classes, number, observed, seed, config)
    made.write(out)
    console.print(f"Simulated {len(made):,} objects of {len(set(classes))} class(es): {out}")


# --- shared by the commands ---------------------------------------------------


def _sampled(
    curves: "LightCurves", labels: "NDArray[np.str_]", frequencies: str | None, seed: int
) -> tuple["LightCurves", "NDArray[np.str_]"]:
    """All objects, or some at the paper's class frequencies; the split comes after."""
    import numpy as np

    from firstlight.data.sample import PAPER_FREQUENCIES, sample_by_frequency

    if frequencies is None:
        return curves, labels
    drawn = sample_by_frequency(labels, PAPER_FREQUENCIES, np.random.default_rng(seed))
    console.print(
        f"{len(drawn.position):,} of {len(labels):,} objects drawn at the paper's class frequencies; "
        f"none of {', '.join(drawn.dropped)}"
    )
    return curves.take(drawn.position), labels[drawn.position]


def _workdir(out: Path) -> Path:
    """Where a training keeps its checkpoints until the bundle is written."""
    out = out.absolute()
    return out.with_name(out.name + ".partial")


def _remove_workdir(out: Path) -> None:
    import shutil

    shutil.rmtree(_workdir(out), ignore_errors=True)


def _print_scores(scores: dict[str, object], out: Path) -> None:
    from rich.table import Table

    table = Table(title=str(scores.get("protocol", "")), title_justify="left")
    table.add_column("metric")
    table.add_column("mean", justify="right")
    table.add_column("std", justify="right")
    for name in (
        "accuracy",
        "macro_f1",
        "macro_auc",
        "log_loss",
        "flat_log_loss",
        "weighted_log_loss",
        "ece",
    ):
        value = scores.get(name)
        if isinstance(value, dict):
            table.add_row(name, *("n/a" if value[k] is None else f"{value[k]:.4f}" for k in ("mean", "std")))
    console.print(table)
    typer.echo(out / "report.html")
