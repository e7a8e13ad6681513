"""Limitation: noise. Noise is added to test objects until their signal-to-noise ratio has fallen."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight._types import FloatArray, Progress
from firstlight.encoder import Encoder
from firstlight.lightcurves import LightCurves
from firstlight.predictions import Predictions
from firstlight.preprocess import preprocess
from firstlight.report.style import ACCENT, INK, MAIN, THIRD, new_figure, styled
from firstlight.simulate.augment import detection_probability
from firstlight.taxonomy import CLASSES
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.models import judged, pipeline_of
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.page.plots import Look, curve_with_band, heat_map, label_axes
from firstlight_paper.page.tables import SIX_SCORES, pivot
from firstlight_paper.scores import Values
from firstlight_paper.view import View

#: Edges of the classes of brightness: largest signal-to-noise ratio of an object's detections.
BRIGHTNESS = (0.0, 10.0, 20.0, 50.0, np.inf)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Signal-to-noise ratio after the noise, as a share of that before."""

    ratios: tuple[float, ...] = (1.0, 0.8, 0.6, 0.4, 0.25, 0.15)


def degrade(
    curves: LightCurves, ratio: float, rng: np.random.Generator, chance: FloatArray, *, stated: bool = True
) -> LightCurves:
    """Add noise until every S/N is `ratio` of its value; `chance`: of a detection by S/N bin."""
    if ratio == 1.0:
        return curves
    extra = curves.flux_err * np.sqrt(ratio**-2 - 1.0)
    flux = (curves.flux + extra * rng.normal(size=len(curves.mjd))).astype(np.float32)
    flux_err = (curves.flux_err / ratio).astype(np.float32)
    before, after = _snr_bin(curves.flux, curves.flux_err), _snr_bin(flux, flux_err)
    drawn = rng.random(len(flux)) < chance[after]
    # the survey's flag knows more than the ratio, so it stands where the ratio hardly changed
    detected = np.where(before == after, curves.detected, drawn)
    return curves.with_columns(flux=flux, flux_err=flux_err if stated else curves.flux_err, detected=detected)


def peak_snr(curves: LightCurves) -> NDArray[np.float64]:
    """Largest signal-to-noise ratio among each object's detections; 0 without any, shape (n_objects,)."""
    best = np.zeros(len(curves))
    snr = np.abs(curves.flux.astype(np.float64)) / curves.flux_err
    np.maximum.at(best, curves.object_index[curves.detected], snr[curves.detected])
    return best


def _snr_bin(flux: NDArray[np.float32], flux_err: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bin of `detection_probability`: whole numbers from -10 to 10."""
    rounded = np.floor(flux.astype(np.float64) / flux_err + 0.5)
    return (np.clip(rounded, -10.0, 10.0) + 10.0).astype(np.int64)


def _degraded(context: Context, fold: int, progress: Progress, *, ratio: float, stated: bool) -> Outcome:
    objects = context.objects
    test = objects.folds[fold].test
    curves = objects.curves.take(test)
    # the same random stream with and without stated errors, so that both see the same fluxes
    rng = context.rng("noise", fold, f"{ratio:g}")
    noisy = degrade(curves, ratio, rng, detection_probability(objects.curves), stated=stated)
    progress("classify", 0.1)
    pipeline = pipeline_of(context, fold)
    predictions = pipeline.predict(noisy, jobs=1)
    values = judged(context, test, predictions, per_class=("f1",))
    values |= _by_brightness(objects.labels[test], predictions, peak_snr(curves), ~objects.simulated[test])
    if stated:
        encoder = Encoder.load(context.keep("ours") / f"fold-{fold + 1}" / "bundle" / "encoder")
        before, after = (encoder.encode(preprocess(c, pipeline.config.preprocess)) for c in (curves, noisy))
        moved = (after.mean - before.mean) / np.maximum(before.mean.std(axis=0), 1e-6)
        shift = float(np.sqrt(np.mean(moved**2)))
        values |= more({"reconstruction": float(np.median(after.recon_error)), "shift": shift})
    return Outcome(values)


def _by_brightness(
    labels: NDArray[np.str_], predictions: Predictions, snr: NDArray[np.float64], counted: NDArray[np.bool_]
) -> Values:
    right = np.array(CLASSES)[predictions.proba.argmax(axis=1)] == labels
    found: Values = {}
    for low, high in pairwise(BRIGHTNESS):
        chosen = counted & (snr >= low) & (snr < high)
        found["ours", 13, f"n:S/N {low:g}"] = float(chosen.sum())
        if chosen.any():
            found["ours", 13, f"accuracy:S/N {low:g}"] = float(right[chosen].mean())
    return found


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """Every ratio, with flux errors that state the noise and with the old ones."""
    cases = [(ratio, True) for ratio in amount.ratios]
    cases += [(ratio, False) for ratio in amount.ratios if ratio < 1.0]
    folds = range(context.scale.n_folds)
    return [
        Variant(name=_name(r, stated), work=partial(_degraded, ratio=r, stated=stated), folds=folds)
        for r, stated in cases
    ]


def _name(ratio: float, stated: bool = True) -> str:
    return f"{ratio:g}" if stated else f"{ratio:g} unstated"


def table(view: View) -> str:
    """Scores at every ratio."""
    ratios = view.amount.ratios
    rows = {f"{ratio:g}": {"variant": _name(ratio)} for ratio in ratios}
    rows |= {f"{r:g}, errors not enlarged": {"variant": _name(r, False)} for r in ratios if r < 1.0}
    silent = {"metric": "not_classified", "subset": 13, "scale": 100, "digits": 1, "unit": " %"}
    return pivot(view, rows, {**SIX_SCORES, "not classified (real)": silent}, "S/N, share of the original")


@styled
def curves(view: View) -> Figure:
    """Accuracy by brightness and errors of the encoder against the ratio."""
    figure = new_figure(2.9)
    panels = figure.subplots(1, 2)
    ratios = view.amount.ratios
    x_label = "S/N, share of the original"
    for k, (low, high) in enumerate(pairwise(BRIGHTNESS)):
        upper = f"{low:g} to {high:g}" if np.isfinite(high) else f"above {low:g}"
        n = sum(view.spread(_name(ratios[0]), f"n:S/N {low:g}", 13).folds)
        look = Look(f"{upper} (n = {n:,.0f})", (ACCENT, "#E69F00", THIRD, MAIN)[k], "osD^"[k])
        curve_with_band(
            panels[0], ratios, [view.spread(_name(r), f"accuracy:S/N {low:g}", 13) for r in ratios], look
        )
    label_axes(panels[0], x_label, "accuracy, 13 real classes")
    panels[0].legend(title="largest S/N as observed", title_fontsize=8)
    for metric, look in (
        ("reconstruction", Look("reconstruction error [variance]", INK)),
        ("shift", Look("shift of the latents [st. dev.]", MAIN, "s")),
    ):
        curve_with_band(panels[1], ratios, [view.spread(_name(r), metric, 0, "") for r in ratios], look)
    label_axes(panels[1], x_label, "error of the encoder")
    panels[1].legend()
    for panel in panels:
        panel.invert_xaxis()
    return figure


def classes(view: View) -> Figure:
    """F1 of every class at every ratio."""
    ratios = view.amount.ratios
    names = [name for name in PAPER_CLASSES if view.has(_name(ratios[0]), f"f1:{name}")]
    values = np.array([[view.spread(_name(r), f"f1:{name}").mean for r in ratios] for name in names])
    ticks = [f"{ratio:g}" for ratio in ratios]
    return heat_map(values, names, ticks, label="F1", x_label="S/N, share of the original", width=6.0)


NOISE = Part(
    name="noise",
    group="limitations",
    needs=("ours",),
    full=Amount(),
    variants=variants,
    tables={"noise": table},
    figures={"noise": curves, "noise-classes": classes},
)
