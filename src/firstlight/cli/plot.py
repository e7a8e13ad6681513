"""The command that draws one object: plot."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from firstlight.cli.app import PLASTICC, Bundle, Data, TruthFile, VerifyWith, app, check_picture, console
from firstlight.cli.reading import Reading, reads_curves
from firstlight.errors import SettingsError
from firstlight.text import number_in, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from firstlight.pipeline import Pipeline

Picture = Annotated[
    Path | None, typer.Option(help="Picture to write (.png, .svg, .pdf). Default: OBJECT.png.")
]
OverTime = Annotated[
    bool,
    typer.Option(
        "--over-time/--at-end",
        help="Class probabilities after each night, below the light curve, or those of all observations, "
        "beside it.",
    ),
]
Days = Annotated[
    str,
    typer.Option(
        help="Days since the first detection to draw: FIRST,LAST (such as --days=-20,60), all, or detected "
        "(the detections with a margin)."
    ),
]
Magnitudes = Annotated[bool, typer.Option("--magnitudes", help="Draw AB magnitudes instead of fluxes.")]
Fold = Annotated[
    float | None,
    typer.Option(metavar="PERIOD", help="Fold the light curve of a periodic star with this period in days."),
]
Figure1 = Annotated[
    bool, typer.Option("--figure-1", help="Draw Figure 1 of the reproduced paper: SN Ia, AGN and SLSN-I.")
]


@app.command(epilog="Example: firstlight plot 615 --data plasticc --days=-20,60 --out 615.png")
@reads_curves
def plot(
    object_id: Annotated[
        str | None,
        typer.Argument(metavar="OBJECT", help="Id of the object to draw; not needed with --figure-1."),
    ] = None,
    out: Picture = None,
    data: Data = PLASTICC,
    truth: TruthFile = None,
    bundle: Bundle = None,
    verify_with: VerifyWith = None,
    over_time: OverTime = True,
    days: Days = "detected",
    magnitudes: Magnitudes = False,
    fold: Fold = None,
    figure_1: Figure1 = False,
    *,
    reading: Reading,
) -> None:
    """Draw the light curve of one object with its class probabilities against time."""
    from firstlight.files import replacing
    from firstlight.pipeline import Pipeline
    from firstlight.report.lightcurves import plot_light_curve
    from firstlight.report.style import save_figure

    path = out or Path("figure-1.png" if figure_1 else f"{object_id}.png".replace("/", "_"))
    check_picture(path)
    if figure_1:
        figure = _figure_1(reading, data, truth, path)
    elif object_id is None:
        raise SettingsError("name an OBJECT to draw, or give --figure-1")
    else:
        window = _window(days)
        curve = reading.curves(data, None, path).find(object_id)
        pipeline = Pipeline.load(bundle, public_key=verify_with)
        warn_if_trained_on(pipeline, object_id)
        figure = plot_light_curve(
            curve,
            y="magnitude" if magnitudes else "flux",
            probabilities=pipeline.timeline(curve) if over_time and fold is None else pipeline.predict(curve),
            label=_label(data, truth, object_id),
            window=window,
            period=fold,
        )
    with replacing(path) as partial:
        save_figure(figure, partial, path.suffix.lower().removeprefix("."))
    typer.echo(path)


def _figure_1(reading: Reading, data: str, truth: Path | None, path: Path) -> "Figure":
    """Figure 1 of the reproduced paper."""
    from firstlight.preprocess import PreprocessConfig, preprocess
    from firstlight_paper.page.figure_1 import plot_figure_1

    curves, labels = reading.labelled(data, truth, None, path)
    return plot_figure_1(preprocess(curves, PreprocessConfig()), labels)


def _window(days: str) -> tuple[float, float] | Literal["detected"] | None:
    """The value of ``--days``."""
    if days == "all":
        return None
    if days == "detected":
        return "detected"
    try:
        first, last = (number_in(part) for part in days.split(","))
    except ValueError:
        first, last = 0.0, 0.0
    if not -float("inf") < first < last < float("inf"):
        raise SettingsError(f"--days {days}: give FIRST,LAST, such as --days=-20,60, or all, or detected")
    return first, last


def _label(data: str, truth: Path | None, object_id: str) -> str | None:
    """True class of the object, where it is known."""
    from firstlight.data import Truth, load_plasticc

    if truth is None and data != PLASTICC:
        return None
    known = load_plasticc()[1] if truth is None else Truth.read(truth)
    return str(known.labels_of([object_id])[0])


def warn_if_trained_on(pipeline: "Pipeline", object_id: str) -> None:
    """Say that the bundle was trained on an object of this name."""
    import numpy as np

    if pipeline.trained_on(np.array([object_id]))[0]:
        console.print(
            f"the bundle was trained on an object named {printable(object_id, 60)}: if it is this one, the "
            "probabilities do not show how good the bundle is",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
