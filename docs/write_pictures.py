"""Draw the pictures of the concepts and of the home page: ``python docs/write_pictures.py [NAME ...]``.

They come from functions of the package, the sample of the tutorials (`docs/tutorials/sample`) and committed
results. The objects shown are new to the bundle that classifies them.
"""

import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from firstlight import CLASSES, LightCurve, LightCurves, Pipeline, Predictions, Truth, read
from firstlight._types import FloatArray
from firstlight.bands import BANDS
from firstlight.online import Arrivals
from firstlight.report.explanation import plot_explanation
from firstlight.report.lightcurves import (
    BAND_COLOUR,
    BAND_MARKER,
    draw_light_curve,
    draw_probabilities,
    select_observations,
)
from firstlight.report.style import (
    ACCENT,
    CLASS_COLOUR,
    FAINT,
    INK,
    MAIN,
    THIRD,
    new_figure,
    panel_grid,
    save_figure,
    styled,
)
from firstlight.report.timeline import draw_timeline
from firstlight.simulate import SimulateConfig, simulate_classes
from firstlight.taxonomy import GALACTIC
from firstlight_paper.page.render import in_short
from firstlight_paper.parts import PARTS
from firstlight_paper.results import Results

ROOT = Path(__file__).resolve().parent.parent
IMAGES, SAMPLE, DATA = (
    ROOT / "docs" / "images",
    ROOT / "docs" / "tutorials" / "sample",
    ROOT / "tests" / "data",
)

EXPLAINED = "90429960"  # a type Ia supernova of the sample

PICTURES: dict[str, Callable[[], Figure]] = {}


def picture(draw: Callable[[], Figure]) -> Callable[[], Figure]:
    """Register a picture under the name of its function."""
    PICTURES[draw.__name__] = draw
    return draw


@cache
def sample() -> LightCurves:
    """202 objects of the PLAsTiCC training set."""
    return read(DATA / "plasticc_sample_lightcurves.csv.gz", DATA / "plasticc_sample_metadata.csv.gz")


@cache
def truth() -> Truth:
    """Their classes."""
    return Truth.read(DATA / "plasticc_sample_metadata.csv.gz")


@cache
def pipeline() -> Pipeline:
    """A bundle that has not seen them."""
    return Pipeline.load(SAMPLE / "unseen")


@picture
def timeline() -> Figure:
    """Probabilities of a supernova night by night."""
    return sample()["90429960"].plot(pipeline(), window=(-20, 100), label="SNIa")


@cache
def labels() -> Any:
    """Class of each object of the sample."""
    return truth().labels_of(sample().object_id)


@cache
def answers(days: float) -> Predictions:
    """Predictions of the sample at a phase."""
    return pipeline().predict(sample().upto_phase(days))


@picture
@styled
def phase() -> Figure:
    """Known observations of a kilonova at four phases."""
    curve = sample()["48098969"]
    figure = new_figure(4.6)
    panel, below = figure.subplots(2, 1, height_ratios=(1.7, 1.0))
    days_of = curve.mjd - curve.trigger_mjd
    handles = draw_light_curve(panel, select_observations(curve, (days_of > -16.0) & (days_of < 20.0)))
    panel.set_xlim(-16.0, 20.0)
    panel.set_xlabel("")
    panel.set_title("the trigger is the first detection; phase counts the days from there", loc="left")
    panel.annotate("trigger", (0.0, 4.5), (-9.0, 9.0), arrowprops={"arrowstyle": "->", "color": INK})
    panel.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    below.set_xlim(-16.0, 20.0)
    for row, days in enumerate((0.0, 2.0, 8.0, 16.0)):
        answer = pipeline().predict(
            LightCurves.concatenate([sample().take(sample().object_id == curve.object_id)]).upto_phase(days)
        )
        below.barh(row, days + 16.0, left=-16.0, height=0.62, color=MAIN, alpha=0.25)
        top = f"{answer.label[0]} {answer.proba.max():.2f}"
        below.text(
            -15.6, row, f"at phase {days:.0f}: {answer.n_obs[0]} observations, {top}", va="center", fontsize=8
        )
    below.axvline(0.0, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    below.set_yticks([])
    below.set_ylim(3.6, -0.6)
    below.spines["left"].set_visible(False)
    below.set_xlabel("days since first detection")
    return figure


@picture
@styled
def redshift() -> Figure:
    """The same supernova without, with a photometric and with a spectroscopic redshift."""
    one = sample().take(sample().object_id == "61206482")
    figure = new_figure(5.2)
    panels = figure.subplots(3, 1, sharex=True)
    modes = (("none", "no redshift"), ("photo", "photometric redshift"), ("spec", "spectroscopic redshift"))
    for panel, (mode, title) in zip(panels, modes, strict=True):
        timeline = pipeline().timeline(one.with_redshift(mode))
        draw_timeline(panel, timeline, timeline.mjd - one.trigger_mjd[0], (-2.0, 90.0))
        panel.set_title(title, loc="left")
        panel.set_xlim(-2.0, 90.0)
    panels[-1].set_xlabel("days since first detection")
    return figure


@picture
@styled
def status() -> Figure:
    """The first nights of a tidal disruption event: not classified, with the prior."""
    curve = sample()["99227595"]
    timeline = pipeline().timeline(curve)
    figure = new_figure(3.4)
    panel, bars = figure.subplots(1, 2, width_ratios=(2.4, 1.0))
    draw_timeline(panel, timeline, timeline.mjd - curve.trigger_mjd, (-2.0, 45.0))
    panel.set_xlim(-2.0, 45.0)
    panel.set_xlabel("days since first detection")
    panel.set_title("a tidal disruption event", loc="left")
    unsure = answers(0.0)
    prior = unsure.proba[~unsure.is_classified][0]
    draw_probabilities(bars, dict(zip(CLASSES, prior.tolist(), strict=True)))
    bars.set_title("the prior", loc="left")
    return figure


@picture
@styled
def calibration() -> Figure:
    """Reliability, and size and coverage of sets of classes, of unseen objects at five phases."""
    phases = {"0": 0.0, "2": 2.0, "8": 8.0, "32": 32.0, "all": np.inf}
    known = pipeline().info["objects_per_class"]
    names, counts = np.unique(labels(), return_counts=True)
    weight = np.array([known[name] / counts[names == name][0] for name in labels()])
    proba = np.stack([answers(days).proba for days in phases.values()])  # (phases, objects, classes)
    column = np.array([CLASSES.index(name) for name in labels()])
    right, top = proba.argmax(axis=2) == column, proba.max(axis=2)
    figure = new_figure(3.2)
    left, middle, last = figure.subplots(1, 3)
    _draw_reliability(left, right, top, weight)
    order = np.argsort(-proba, axis=2)
    summed = np.cumsum(np.take_along_axis(proba, order, axis=2), axis=2)
    size = 1 + (summed < 0.9).sum(axis=2)
    held = np.argmax(order == column[:, None], axis=2) < size
    where = np.arange(len(phases))
    middle.bar(where, np.average(size, axis=1, weights=weight), color=MAIN, width=0.6)
    middle.set_title("classes needed for 90 %", loc="left")
    last.bar(where, 100.0 * np.average(held, axis=1, weights=weight), color=THIRD, width=0.6)
    last.axhline(90.0, color=INK, linestyle=":", linewidth=1.0)
    last.set_ylim(0.0, 100.0)
    last.set_title("true class among them [%]", loc="left")
    for panel in (middle, last):
        panel.set_xticks(where, list(phases))
        panel.set_xlabel("days since first detection")
    return figure


def _draw_reliability(panel: Axes, right: Any, top: FloatArray, weight: FloatArray) -> None:
    """Observed against stated probability of the best class, with a bootstrap over objects."""
    edges = np.linspace(0.2, 1.0, 6)
    bins = np.clip(np.digitize(top, edges) - 1, 0, len(edges) - 2)
    rng = np.random.default_rng(0)

    def shares(rows: Any) -> FloatArray:
        w = np.broadcast_to(weight[rows], (len(right), len(rows)))
        b, r, t = bins[:, rows].ravel(), right[:, rows].ravel(), top[:, rows].ravel()
        total = np.bincount(b, w.ravel(), len(edges) - 1)
        return np.array([np.bincount(b, w.ravel() * value, len(edges) - 1) / total for value in (t, r)])

    stated, seen = shares(np.arange(len(weight)))
    draws = [shares(rng.integers(0, len(weight), len(weight)))[1] for _ in range(200)]
    low, high = np.nanquantile(draws, (0.16, 0.84), axis=0)
    panel.plot([0.0, 1.0], [0.0, 1.0], color=INK, linestyle=":", linewidth=1.0)
    panel.errorbar(
        stated, seen, (seen - low, high - seen), fmt="o", color=MAIN, markersize=4.5, linewidth=1.0
    )
    panel.set_xlim(0.0, 1.02)
    panel.set_ylim(0.0, 1.02)
    panel.set_xlabel("probability of the answer")
    panel.set_ylabel("share that is right")
    panel.set_title("answers at five phases", loc="left")


@picture
@styled
def strangers() -> Figure:
    """Anomaly scores of known classes and of three that the bundle does not know, at two phases."""
    made = simulate_classes(["CaRT", "ILOT", "PISN"], 60, sample(), 1, SimulateConfig())
    figure = new_figure(2.7)
    for panel, days, title in zip(
        figure.subplots(1, 2, sharey=True), (8.0, np.inf), ("after 8 days", "whole light curves"), strict=True
    ):
        for name, curves, colour in (
            ("14 known classes", sample(), MAIN),
            ("CaRT, ILOT and PISN", made.curves, ACCENT),
        ):
            score = pipeline().predict(curves.upto_phase(days)).anomaly
            panel.hist(
                score,
                np.linspace(0, 1, 21),
                density=True,
                histtype="step",
                linewidth=1.5,
                color=colour,
                label=name,
            )
        panel.set_title(title, loc="left")
        panel.set_xlabel("anomaly score")
    figure.axes[0].set_ylabel("density of objects")
    figure.axes[1].legend(loc="upper left")
    return figure


@picture
@styled
def classes() -> Figure:
    """One example of each class: real cadences, fluxes over their largest."""
    made = simulate_classes(["CaRT", "ILOT", "PISN"], 30, sample(), 0, SimulateConfig())
    figure, panels = panel_grid(len(CLASSES), 4, 1.35, sharex=False, sharey=False)
    for panel, name in zip(panels, CLASSES, strict=True):
        here = (
            made.curves.take(made.labels == name) if name in made.labels else sample().take(labels() == name)
        )
        handles = draw_light_curve(panel, _most_detections(here, name))
        panel.set_title(
            name + (" (simulated)" if name in made.labels else ""), loc="left", color=CLASS_COLOUR[name]
        )
        panel.set_xlabel("")
        panel.set_ylabel("")
        panel.tick_params(labelsize=6.5)
        panel.margins(x=0.03)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=6,
        title="flux [µJy] against days since first detection",
    )
    return figure


def _most_detections(curves: LightCurves, name: str) -> LightCurve:
    """The object with the most detections, around them."""
    counts = [int(curve.detected.sum()) for curve in curves]
    curve = curves[int(np.argmax(counts))]
    if name in GALACTIC - {"muLens-Single", "M-dwarf"} or name == "AGN":
        return curve
    seen = curve.mjd[curve.detected]
    margin = max(10.0, 0.3 * (seen[-1] - seen[0]))
    return select_observations(curve, (curve.mjd > seen[0] - margin) & (curve.mjd < seen[-1] + margin))


@picture
@styled
def bundle() -> Figure:
    """Parts of the shipped bundles, by size."""
    figure = new_figure(2.2)
    panel = figure.subplots()
    names = {
        "encoder": MAIN,
        "classifier": ACCENT,
        "anomaly": THIRD,
        "templates": "#CC79A7",
        "calibrator": "#E69F00",
        "domain": "#56B4E9",
    }
    for row, preset in enumerate(("default", "fast")):
        folder, left = ROOT / "src" / "firstlight" / "models" / preset, 0.0
        sizes = {name: sum(f.stat().st_size for f in folder.glob(f"{name}/*")) / 1e6 for name in names}
        total = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6
        sizes["records of the training"] = total - sum(sizes.values())
        for name, size in sizes.items():
            label = None if row else name
            panel.barh(row, size, left=left, height=0.55, color=names.get(name, FAINT), label=label)
            left += size
    panel.set_yticks([0, 1], ["default", "fast"])
    panel.set_ylim(1.5, -0.5)
    panel.set_xlabel("size [MB]")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


@picture
@styled
def autoencoder() -> Figure:
    """Fluxes per time bin, and the decoder's curve from six latents at the same times."""
    names = {
        "SNIa": "104932997",
        "SNII": "116181773",
        "TDE": "113398212",
        "SLSN-I": "8706513",
        "KN": "61543226",
        "Mira": "",
    }
    chosen = [
        sample().object_id == (one or sample().object_id[labels() == name][0]) for name, one in names.items()
    ]
    curves = sample().take(np.concatenate([np.flatnonzero(one) for one in chosen]))
    days, flux, seen, model = _decoded(curves)
    figure, panels = panel_grid(len(curves), 3, 1.7, sharex=False, sharey=False)
    for k, (panel, name) in enumerate(zip(panels, names, strict=True)):
        for band in (1, 2, 3, 4):
            colour, here = BAND_COLOUR[BANDS[band]], seen[k, :, band] > 0
            panel.plot(
                days[k, here], flux[k, here, band], BAND_MARKER[BANDS[band]], color=colour, markersize=3.2
            )
            panel.plot(days[k, here], model[k, here, band], color=colour, linewidth=1.1)
        if name not in ("Mira", "SLSN-I"):
            panel.set_xlim(-60.0, 200.0)
        panel.set_title(name, loc="left")
        panel.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
        panel.tick_params(labelsize=7)
    handles = [
        Line2D([], [], color=BAND_COLOUR[b], marker=BAND_MARKER[b], markersize=4, label=b) for b in "griz"
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4,
        title="flux over peak against days since first detection",
    )
    return figure


def _decoded(curves: LightCurves) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Days since trigger (n, steps); flux over peak, whether observed, and decoded flux (n, steps, bands)."""
    import torch

    from firstlight.encoder.steps import make_steps
    from firstlight.encoder.train import _batch, _make_targets
    from firstlight.encoder.vae import RnnVae
    from firstlight.preprocess import preprocess

    encoder, ready = pipeline().encoder, preprocess(curves, pipeline().config.preprocess)
    network = RnnVae(encoder.config.vae)
    network.load_state_dict({name: torch.from_numpy(one.copy()) for name, one in encoder.weights.items()})
    batch = _batch(make_steps(ready, encoder.config.steps), _make_targets(ready, encoder.config))
    with torch.no_grad():
        latent = torch.from_numpy(encoder.encode(ready).mean.copy())
        model = network.decode(latent, batch.steps, batch.context).double().numpy()
    flux, seen, error = (one.double().numpy() for one in (batch.flux, batch.observed, batch.flux_err))
    weight = seen / (error**2 + 0.01)
    model *= (((weight * flux * model).sum(axis=(1, 2)) + 1) / ((weight * model**2).sum(axis=(1, 2)) + 1))[
        :, None, None
    ]
    since_first = np.expm1(4.0 * batch.steps[:, :, -3].double().numpy())
    first = np.array([curve.mjd[0] for curve in ready])
    return since_first + (first - ready.trigger_mjd)[:, None], flux, seen, model


@picture
def explanation() -> Figure:
    """A supernova explained by the bundle `default`, which was trained on it."""
    young = sample().take(sample().object_id == EXPLAINED).upto_phase(40.0)
    return plot_explanation(Pipeline.load("default").explain(young))


@picture
@styled
def parity() -> Figure:
    """Answers of the stream, alert by alert and in a random order, beside those of batch."""
    curve = sample()["90429960"]
    whole = sample().take(sample().object_id == curve.object_id)
    figure = new_figure(3.0)
    rng = np.random.default_rng(0)
    for panel, title in zip(
        figure.subplots(1, 2, sharey=True), ("alerts in order", "alerts in random order"), strict=True
    ):
        order = np.arange(len(curve)) if title == "alerts in order" else rng.permutation(len(curve))
        stream, batch = _stream(whole, order)
        where = np.arange(1, len(order) + 1)
        for name in ("SNIa", "SNII", "TDE"):
            k = CLASSES.index(name)
            panel.plot(where, batch[:, k], color=CLASS_COLOUR[name], linewidth=1.2, label=name)
            panel.plot(
                where[::4], stream[::4, k], "o", color=CLASS_COLOUR[name], markersize=3.4, fillstyle="none"
            )
        panel.set_title(f"{title}: largest difference {np.abs(stream - batch).max():g}", loc="left")
        panel.set_xlabel("alerts so far")
    figure.axes[0].set_ylabel("probability")
    figure.axes[1].legend(loc="center right", title="line: batch, circles: stream")
    return figure


def _stream(whole: LightCurves, order: Any) -> tuple[FloatArray, FloatArray]:
    """Probabilities after each alert, from updates and from all observations so far, (n_alerts, 17)."""
    states, logs, stream, batch = pipeline().states(1), [[]], [], []
    for number, row in enumerate(order.tolist()):
        alert = whole.keep(np.arange(len(whole.mjd)) == row)
        done = pipeline().update(
            states, Arrivals.from_curves(alert, [number]), lambda index: [logs[i] for i in index]
        )
        states = done.states
        logs[0] = [*([] if done.rewritten[0] else logs[0]), done.entries[0]]
        stream.append(done.predictions.proba[0])
        batch.append(
            pipeline().predict(whole.keep(np.isin(np.arange(len(whole.mjd)), order[: number + 1]))).proba[0]
        )
    return np.array(stream), np.array(batch)


@picture
@styled
def leakage() -> Figure:
    """Scores of one design by protocol, from the reproduction of the paper."""
    text = in_short(Results(ROOT / "docs" / "results" / "reproduction", must_exist=True), PARTS)
    rows = [line.split("|")[1:-1] for line in text.splitlines() if "sixteen classes" in line]
    columns = (
        "as printed",
        "the paper's protocol (leaks)",
        "the same design, split by object",
        "preset default, split by object",
    )
    colours = (FAINT, ACCENT, MAIN, THIRD)
    figure = new_figure(2.9)
    panel = figure.subplots()
    for k, (name, colour) in enumerate(zip(columns, colours, strict=True)):
        values = [[float(v) for v in re.findall(r"[0-9.]+", row[k + 1])] for row in rows]
        where = np.arange(len(rows)) + 0.2 * (k - 1.5)
        panel.bar(where, [v[0] for v in values], 0.18, color=colour, label=name)
        for x, v in zip(where, values, strict=True):
            panel.text(x, v[0] + 0.01, f"{v[0]:.2f}", ha="center", fontsize=7.5)
    panel.set_xticks(range(len(rows)), [row[0].split(",")[0].strip() for row in rows])
    panel.set_ylim(0.0, 1.1)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def main() -> None:
    """Draw the named pictures, by default all."""
    for name in sys.argv[1:] or PICTURES:
        save_figure(PICTURES[name](), IMAGES / f"{name}.png")
        sys.stdout.write(f"{IMAGES / name}.png\n")


if __name__ == "__main__":
    main()
