"""The report: one self-contained HTML page on a classifier's performance, and its numbers as JSON.

`write_report` writes ``report.html`` (figures embedded, no script, no network) and
``metrics.json``.
"""

import base64
import io
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import firstlight
from firstlight._types import BoolArray
from firstlight.errors import DataError
from firstlight.files import replacing
from firstlight.lightcurves import LightCurve, LightCurves
from firstlight.metrics import Evaluation, summarise, write_summary
from firstlight.metrics.summary import plain_summary
from firstlight.pipeline.explanation import Explanation
from firstlight.provenance import libraries
from firstlight.report.examples import Chosen, choose_examples
from firstlight.report.explanation import models_of
from firstlight.report.lightcurves import plot_light_curve
from firstlight.report.plots import (
    class_histogram,
    confusion_matrix,
    precision_recall,
    reliability_diagram,
    roc_average,
    roc_per_class,
)
from firstlight.report.style import save_figure
from firstlight.report.tables import (
    BY_PHASE,
    PER_CLASS,
    duration_text,
    headline_rows,
    headline_tiles,
    per_class_rows,
    phase_rows,
    probability_text,
    set_rows,
)
from firstlight.report.training import (
    History,
    feature_importance,
    latent_space,
    phase_by_class,
    sets_by_class,
    skill_against_phase,
    training_loss,
)
from firstlight.taxonomy import GALACTIC

N_EXAMPLES = 4  # right, and as many wrong
TRANSIENT_WINDOW = (-60.0, 250.0)  # days since trigger
LASTING = GALACTIC | {"AGN"}  # classes with whole light curves in the examples


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """An additional figure of the report.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    caption : str
        Caption, one sentence.
    title : str
        Headline, may be empty.
    """

    figure: Figure
    caption: str
    title: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportContent:
    """Contents of a report; only the first three are required.

    Attributes
    ----------
    title : str
        Headline of the page.
    evaluation : Evaluation
        True classes and forecasts.
    protocol : str
        Text on the training and test objects; blank lines separate paragraphs.
    preset : str
        Name of the preset; empty if unknown.
    warnings : tuple of str
        Caveats of the numbers, such as a quick setting.
    curves : LightCurves, optional
        Light curves of the objects, for the examples; may hold others too.
    latent : float array, shape (n_objects, n_latents), optional
        Latent means of the evaluated objects, in order; rows with NaN are not drawn. Encoders of
        different folds have different axes, so pass the latents of one fold.
    histories : tuple of histories
        Training histories, one per fold; see `firstlight.report.training.training_loss`.
    importance : mapping of str to float
        Importance of each input of the classifier.
    importance_std : mapping of str to float
        Spread of the importance between folds, in the same unit.
    pictures : tuple of Picture
        Additional figures, in the section on training.
    timings : mapping of str to float
        Stage -> wall time [s].
    run : mapping of str to anything
        Where the result comes from; see `provenance`.
    explain : callable, optional
        Explains the answer to a light curve against a class, or against the next most probable one (None),
        for the examples.
    facts : mapping of str to str
        Further entries of the record, such as seed, redshift mode, machine.
    """

    title: str
    evaluation: Evaluation
    protocol: str
    preset: str = ""
    warnings: tuple[str, ...] = ()
    curves: LightCurves | None = None
    latent: NDArray[np.floating[Any]] | None = None
    histories: tuple[History, ...] = ()
    importance: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    importance_std: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    pictures: tuple[Picture, ...] = ()
    timings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    run: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    explain: Callable[[LightCurve, str | None], Explanation] | None = None
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def write_report(
    out_dir: str | Path, content: ReportContent, summary: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write ``report.html`` and ``metrics.json`` into a folder, each atomically.

    Parameters
    ----------
    out_dir : path
        Folder; created if missing.
    content : ReportContent
        Contents of the report.
    summary : mapping, optional
        As from `firstlight.metrics.summarise`; computed by default.

    Returns
    -------
    dict
        Contents of ``metrics.json`` (NaN as None): the summary, and ``preset``, ``warnings``,
        ``timings`` and ``versions``.

    Raises
    ------
    DataError
        If the folder cannot be written to, or the latents do not match the objects.
    """
    n_objects = len(content.evaluation.labels)
    if content.latent is not None and len(content.latent) != n_objects:
        raise DataError(f"{len(content.latent)} latents for {n_objects} evaluated objects; need one each")
    out_dir = Path(out_dir)
    if summary is None:
        summary = summarise(content.evaluation, protocol=content.protocol)
    record = plain_summary(
        {
            **summary,
            "preset": content.preset,
            "warnings": content.warnings,
            "timings": content.timings,
            "versions": versions_in_use(),
            "run": {name: value for name, value in content.run.items() if name != "libraries"},
        }
    )
    page = _render(content, record)
    with replacing(out_dir / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    write_summary(record, out_dir / "metrics.json")
    return record


def versions_in_use() -> dict[str, str]:
    """Versions of firstlight, Python and the packages that affect the numbers."""
    found = {"firstlight": firstlight.__version__, "Python": platform.python_version()}
    return found | libraries()


# --- private --------------------------------------------------------------------


def _render(content: ReportContent, record: Mapping[str, Any]) -> str:
    source = resources.files("firstlight.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    right, wrong = _examples(content)
    return environment.from_string(source).render(
        content=content,
        record=record,
        paragraphs=[part.strip() for part in content.protocol.split("\n\n") if part.strip()],
        tiles=headline_tiles(record),
        headline=headline_rows(record),
        per_class_head=[name for _, name in PER_CLASS],
        per_class=per_class_rows(record),
        phase_head=[name for _, name in BY_PHASE],
        phases=phase_rows(record),
        sets=set_rows(record),
        figures=draw_figures(content, record),
        latent_note=_latent_note(content),
        right=right,
        wrong=wrong,
        pictures=[
            {"image": _embed(p.figure), "title": p.title, "caption": p.caption} for p in content.pictures
        ],
        timings=[(name, duration_text(seconds)) for name, seconds in content.timings.items()],
    )


def draw_figures(content: ReportContent, record: Mapping[str, Any]) -> dict[str, str]:
    """Data URIs of all figures that the content allows, by name."""
    evaluation = content.evaluation
    truth = (evaluation.labels, evaluation.proba, evaluation.classes)
    confusion = record["confusion"]
    images = {
        "histogram": _embed(class_histogram(record["per_class"])),
        "confusion": _embed(confusion_matrix(np.array(confusion["matrix"]), confusion["classes"])),
        "roc": _embed(roc_average(*truth)),
        "roc_per_class": _embed(roc_per_class(*truth)),
        "precision_recall": _embed(precision_recall(*truth)),
        "reliability": _embed(reliability_diagram(*truth)),
    }
    if len(record["by_phase"]) > 1:
        images["phase"] = _embed(skill_against_phase(record["by_phase"]))
        images["phase_by_class"] = _embed(
            phase_by_class(evaluation.labels, evaluation.snapshots, evaluation.classes)
        )
    if record.get("prediction_sets"):
        images["sets"] = _embed(sets_by_class(record["prediction_sets"]))
    if content.latent is not None:
        # PNG is smaller than SVG for thousands of points.
        known = _has_latent(content.latent)
        images["latent"] = _embed(
            latent_space(content.latent[known], evaluation.labels[known], evaluation.classes), "png"
        )
    if content.histories:
        images["training"] = _embed(training_loss(*content.histories))
    if content.importance:
        names = list(content.importance)
        spread = [content.importance_std.get(name, 0.0) for name in names] if content.importance_std else None
        images["importance"] = _embed(feature_importance(names, list(content.importance.values()), spread))
    return images


def _examples(content: ReportContent) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Captions and light curves of the most confident right and wrong predictions."""
    curves = content.curves
    if curves is None:
        return [], []
    drawable = np.flatnonzero(curves.n_obs > 0)
    position = dict(zip(curves.object_id[drawable].tolist(), drawable.tolist(), strict=True))
    right, wrong = (
        [
            _example(content, curves[position[item.object_id]], item)
            for item in chosen
            if item.object_id in position
        ]
        for chosen in choose_examples(content.evaluation, N_EXAMPLES)
    )
    return right, wrong


def _example(content: ReportContent, curve: LightCurve, item: Chosen) -> dict[str, str]:
    evaluation = content.evaluation
    text = f"predicted {item.predicted} with probability {probability_text(item.proba)}"
    if not item.is_right:
        text += f"; the true class {item.true} has {probability_text(item.proba_true)}"
    row = evaluation.proba[item.position]
    probabilities = {name: float(p) for name, p in zip(evaluation.classes, row, strict=True) if p > 0.0}
    transient = item.true not in LASTING and np.isfinite(curve.trigger_mjd)
    window = TRANSIENT_WINDOW if transient else None
    made = None if content.explain is None else content.explain(curve, None if item.is_right else item.true)
    models = None if made is None else models_of(made)
    figure = plot_light_curve(
        curve, label=item.true, probabilities=probabilities, window=window, models=models
    )
    words = "" if made is None else " ".join(made.reasons())
    title = item.true if item.is_right else f"{item.true}, predicted {item.predicted}"
    return {
        "image": _embed(figure),
        "title": title,
        "caption": f"Object {item.object_id}: {text}. {words}".strip(),
    }


def _embed(figure: Figure, kind: str = "svg") -> str:
    """A figure as a data URI."""
    stream = io.BytesIO()
    save_figure(figure, stream, kind)
    mime = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    return f"data:{mime};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _has_latent(latent: NDArray[np.floating[Any]]) -> BoolArray:
    return np.asarray(np.isfinite(latent).all(axis=1))


def _latent_note(content: ReportContent) -> str:
    if content.latent is None:
        return ""
    n_known, n_objects = int(_has_latent(content.latent).sum()), len(content.latent)
    return f"{n_known:,} of {n_objects:,} objects." if n_known < n_objects else f"All {n_objects:,} objects."
