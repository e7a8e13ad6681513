"""Limitation: noise. Test objects are observed anew with a lower signal-to-noise ratio.

The paper calls its model sensitive to noise and prints no number of it. Here noise is added
to test objects only, and pipelines that never saw them classify what is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight.encoder import Encoder
from firstlight.lightcurves import LightCurves
from firstlight.predictions import Predictions
from firstlight.preprocess import preprocess
from firstlight.report.style import ACCENT, FOURTH, INK, MAIN, THIRD, new_figure, styled
from firstlight.simulate.augment import detection_probability
from firstlight.taxonomy import CLASSES
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.parts.limits import (
    band,
    brief,
    brief_of,
    change,
    folds_of,
    mean,
    score_columns,
    tidy,
    written_map,
)
from firstlight_paper.scores import scored, spread
from firstlight_paper.section import Part, Picture, Section, Table, plus_minus
from firstlight_paper.shared import OURS, pipeline_of
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["PART", "RATIOS", "Degraded", "degrade"]

STAGE = "noise"

#: What the signal-to-noise ratio falls to, as a share of what it was.
RATIOS = (1.0, 0.8, 0.6, 0.4, 0.25, 0.15)

#: Edges of the classes of brightness: largest signal-to-noise ratio of an object's detections.
BRIGHTNESS = (0.0, 10.0, 20.0, 50.0, np.inf)


@dataclass(frozen=True)
class Degraded:
    """One fold's test objects at one ratio.

    Attributes
    ----------
    fold : int
        Fold whose test objects are observed anew.
    ratio : float
        What the signal-to-noise ratio falls to, in (0, 1].
    stated : bool
        Whether the flux errors say so; else they stay as they were.
    """

    fold: int
    ratio: float
    stated: bool = True


def degrade(
    curves: LightCurves,
    ratio: float,
    rng: np.random.Generator,
    chance: NDArray[np.float64],
    *,
    stated: bool = True,
) -> LightCurves:
    """Add noise until the signal-to-noise ratio of every observation is `ratio` of what it was.

    The noise has the variance that is missing: an error of ``flux_err / ratio`` is made of the
    old one and ``flux_err * sqrt(ratio**-2 - 1)``. Detections are drawn anew where the
    signal-to-noise ratio has changed, with the survey's measured probability.

    Parameters
    ----------
    curves : LightCurves
        Objects as observed.
    ratio : float
        In (0, 1]; 1 leaves the light curves as they are.
    rng : numpy.random.Generator
        Source of noise and detections.
    chance : float64 array, shape (21,)
        Detection probability by signal-to-noise ratio, from `detection_probability`.
    stated : bool
        Whether the new flux errors are larger, as they are; else the old ones stay, as from a
        survey that underestimates its noise.

    Returns
    -------
    LightCurves
        The same objects at the same times.
    """
    if ratio == 1.0:
        return curves
    extra = curves.flux_err * np.sqrt(ratio**-2 - 1.0)
    flux = (curves.flux + extra * rng.normal(size=len(curves.mjd))).astype(np.float32)
    flux_err = (curves.flux_err / ratio).astype(np.float32)
    before, after = _snr_bin(curves.flux, curves.flux_err), _snr_bin(flux, flux_err)
    drawn = rng.random(len(flux)) < chance[after]
    # the survey's flag knows more than the S/N, so it stands where the S/N hardly changed
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


# --- measure --------------------------------------------------------------------


def measure(workshop: Workshop) -> dict[str, Any]:
    """Scores of our pipelines on test objects of ever lower signal-to-noise ratio."""
    bench = workshop.bench
    n_folds = bench.scale.n_folds
    settings = {_name(ratio, True): (ratio, True) for ratio in RATIOS}
    settings |= {_name(ratio, False): (ratio, False) for ratio in RATIOS if ratio < 1.0}
    items = {
        f"fold-{k + 1}-{name}": Degraded(k, ratio, stated)
        for k in range(n_folds)
        for name, (ratio, stated) in settings.items()
    }
    results = workshop.map(STAGE, _classify, items)
    known = [_step(folds_of(results, n_folds, _name(ratio, True)), ratio) for ratio in RATIOS]
    hidden = [
        _step(folds_of(results, n_folds, _name(ratio, ratio == 1.0)), ratio, own=False) for ratio in RATIOS
    ]
    objects = bench.objects
    return {
        "protocol": (
            f"preset {bench.scale.preset}, {n_folds} folds of {len(objects):,} objects "
            f"({int(objects.simulated.sum())} of them simulated): noise is added to whole light curves of "
            "test objects only, pipelines stay as trained; spread over folds"
        ),
        "printed": None,
        "leak": None,
        "honest": {"ratios": list(RATIOS), "stated": known, "unstated": hidden},
    }


def _name(ratio: float, stated: bool) -> str:
    return f"{ratio:g}" if stated else f"{ratio:g}-unstated"


def _classify(bench: Bench, item: Degraded, report: Report) -> dict[str, Any]:
    """One fold's test objects at one ratio, by the pipeline that never saw them."""
    objects = bench.objects
    test = objects.folds[item.fold].test
    curves, labels, simulated = objects.curves.take(test), objects.labels[test], objects.simulated[test]
    chance = detection_probability(objects.curves)
    # the same stream for stated and unstated, so that both see the same fluxes
    rng = bench.rng("noise", item.fold, f"{item.ratio:g}")
    noisy = degrade(curves, item.ratio, rng, chance, stated=item.stated)
    report("", 0.1)
    pipeline = pipeline_of(bench, item.fold)
    said = pipeline.predict(noisy, jobs=1)
    encoder = Encoder.load(bench.keep(OURS) / f"fold-{item.fold + 1}" / "encoder")
    ready = [preprocess(part, pipeline.config.preprocess) for part in (curves, noisy)]
    per_class = scored(labels, said.proba, simulated)["sixteen"]["per_class"]
    return {
        "scores": brief(labels, said, simulated),
        "f1": {name: row["f1"] for name, row in per_class.items()},
        "brightness": _by_brightness(labels, said, peak_snr(curves), ~simulated),
        "encoder": _encoder_errors(encoder, *ready),
    }


def _by_brightness(
    labels: NDArray[np.str_], said: Predictions, snr: NDArray[np.float64], counted: NDArray[np.bool_]
) -> list[dict[str, float]]:
    # as in every score: an object that was not classified has the prior's class
    right = np.array(CLASSES)[said.proba.argmax(axis=1)] == labels
    rows = []
    for low, high in pairwise(BRIGHTNESS):
        chosen = counted & (snr >= low) & (snr < high)
        accuracy = float(right[chosen].mean()) if chosen.any() else float("nan")
        rows.append({"n": int(chosen.sum()), "accuracy": accuracy})
    return rows


def _encoder_errors(encoder: Encoder, curves: LightCurves, noisy: LightCurves) -> dict[str, float]:
    """How well the encoder redraws what it sees, and how far its latents move."""
    before, after = encoder.encode(curves), encoder.encode(noisy)
    moved = (after.mean - before.mean) / np.maximum(before.mean.std(axis=0), 1e-6)
    return {
        "reconstruction": float(np.median(after.recon_error)),
        "shift": float(np.sqrt(np.mean(moved**2))),
    }


def _step(folds: list[dict[str, Any]], ratio: float, *, own: bool = True) -> dict[str, Any]:
    """One ratio over folds; `own` adds what is shown of stated errors alone."""
    step: dict[str, Any] = {"ratio": ratio} | brief_of([fold["scores"] for fold in folds])
    if not own:
        return step
    names = [name for name in PAPER_CLASSES if any(name in fold["f1"] for fold in folds)]
    return step | {
        "f1": {name: spread([fold["f1"].get(name) for fold in folds]) for name in names},
        "brightness": [
            {
                "from": BRIGHTNESS[k],
                "n": sum(fold["brightness"][k]["n"] for fold in folds),
                "accuracy": spread([fold["brightness"][k]["accuracy"] for fold in folds]),
            }
            for k in range(len(BRIGHTNESS) - 1)
        ],
        "encoder": {
            name: spread([fold["encoder"][name] for fold in folds]) for name in ("reconstruction", "shift")
        },
    }


# --- show -----------------------------------------------------------------------


def show(result: Mapping[str, Any]) -> Section:
    """Curves of skill against noise, by brightness and by class."""
    honest = result["honest"]
    columns = (
        "S/N, of what it was",
        *(f"{name}, {n}" for n in ("16 classes", "13 real") for name in ("accuracy", "macro F1", "AUC")),
        "not classified (real)",
    )
    rows = tuple((f"{step['ratio']:g}", *score_columns(step)) for step in honest["stated"])
    hidden = tuple(
        (f"{step['ratio']:g}, errors not enlarged", *score_columns(step)) for step in honest["unstated"][1:]
    )
    caption = f"Noise on test objects. {result['protocol'][0].upper()}{result['protocol'][1:]}."
    return Section(
        title="Limitation: noise",
        blocks=(
            _words(honest),
            Picture(
                name="noise",
                figure=_curves(honest),
                caption=(
                    "Skill, accuracy by brightness and the encoder's errors against what the "
                    "signal-to-noise ratio has fallen to; bands: one standard deviation over folds."
                ),
            ),
            Picture(
                name="noise-classes",
                figure=_classes(honest["stated"]),
                caption="F1 of every class against the signal-to-noise ratio, mean over folds.",
            ),
            Table(caption=caption, columns=columns, rows=rows + hidden),
        ),
    )


def _words(honest: Mapping[str, Any]) -> str:
    first, last = honest["stated"][0]["real"], honest["stated"][-1]["real"]
    half = min(honest["stated"], key=lambda step: abs(step["ratio"] - 0.4))
    lost = change(half["real"]["accuracy"], first["accuracy"])
    unstated = min(honest["unstated"], key=lambda step: abs(step["ratio"] - 0.4))
    more = change(unstated["real"]["accuracy"], half["real"]["accuracy"])
    dim, bright = honest["stated"][-1]["brightness"][0], honest["stated"][-1]["brightness"][-1]
    return (
        "The paper calls its model sensitive to noise and prints no number. On the real test objects, "
        f"accuracy is {plus_minus(first['accuracy'])} as observed; at {half['ratio']:g} of the "
        f"signal-to-noise ratio it changes by {plus_minus(lost)} (fold by fold), and at "
        f"{honest['stated'][-1]['ratio']:g} it is {plus_minus(last['accuracy'])}, with "
        f"{100 * mean(last['not_classified']):.1f} % of the objects not classified for want of a detection "
        "(or of any point above 3 sigma): they count as the most frequent class. "
        f"There, accuracy is {plus_minus(dim['accuracy'])} for the {dim['n']:,} objects whose largest "
        f"signal-to-noise ratio was below 10, and {plus_minus(bright['accuracy'])} for the {bright['n']:,} "
        f"above 50. If the stated flux errors do not grow with the noise, accuracy at {half['ratio']:g} "
        f"changes by another {plus_minus(more)}: an error that is stated is part of what the model reads."
    )


@styled
def _curves(honest: Mapping[str, Any]) -> Figure:
    figure = new_figure(5.6)
    panels = figure.subplots(2, 2)
    ratios, stated, unstated = honest["ratios"], honest["stated"], honest["unstated"]
    for panel, name, text in (
        (panels[0, 0], "accuracy", "accuracy"),
        (panels[0, 1], "macro_f1", "macro F1"),
    ):
        band(panel, ratios, [s["real"][name] for s in stated], MAIN, "13 real classes")
        band(panel, ratios, [s["sixteen"][name] for s in stated], FOURTH, "16 classes", "s", "--")
        band(panel, ratios, [s["real"][name] for s in unstated], ACCENT, "13 real, errors not enlarged", "^")
        tidy(panel, "S/N, share of what it was", text)
    panels[0, 0].legend()
    colours = (ACCENT, "#E69F00", THIRD, MAIN)
    for k, (low, high) in enumerate(pairwise(BRIGHTNESS)):
        upper = f"{low:g} to {high:g}" if np.isfinite(high) else f"above {low:g}"
        label = f"{upper} (n = {stated[0]['brightness'][k]['n']:,})"
        values = [s["brightness"][k]["accuracy"] for s in stated]
        band(panels[1, 0], ratios, values, colours[k], label, "osD^"[k])
    tidy(panels[1, 0], "S/N, share of what it was", "accuracy, 13 real classes")
    panels[1, 0].legend(title="largest S/N as observed", title_fontsize=8)
    band(
        panels[1, 1],
        ratios,
        [s["encoder"]["reconstruction"] for s in stated],
        INK,
        "reconstruction error [variance]",
    )
    band(
        panels[1, 1],
        ratios,
        [s["encoder"]["shift"] for s in stated],
        MAIN,
        "shift of the latents [st. dev.]",
        "s",
    )
    tidy(panels[1, 1], "S/N, share of what it was", "error of the encoder")
    panels[1, 1].legend()
    for panel in panels.ravel():
        panel.invert_xaxis()
    return figure


@styled
def _classes(stated: list[dict[str, Any]]) -> Figure:
    names = list(stated[0]["f1"])
    values = np.array([[mean(step["f1"][name]) for step in stated] for name in names])
    figure = new_figure(0.26 * len(names) + 0.9, 6.0)
    panel = figure.subplots()
    image = written_map(panel, values, values <= 0.55, ".2f", cmap="cividis", vmin=0.0, vmax=1.0)
    panel.set_xticks(range(len(stated)), [f"{step['ratio']:g}" for step in stated])
    panel.set_yticks(range(len(names)), names)
    panel.set_xlabel("S/N, share of what it was")
    figure.colorbar(image, ax=panel, label="F1")
    return figure


PART = Part(
    name="noise",
    key="limitations.noise",
    title="Limitation: noise",
    needs=(OURS,),
    measure=measure,
    show=show,
)
