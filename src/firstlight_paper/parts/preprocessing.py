"""The paper's preprocessing: its Figure 1, and loss and gain of each step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.bands import AB_ZERO_POINT_NJY, BANDS, EXTINCTION_PER_EBV
from firstlight.cosmology import distance_modulus
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import CleanConfig, ClipConfig, PreprocessConfig, deredden, keep_mask
from firstlight.report.style import ACCENT, FAINT, FOURTH, MAIN, THIRD, new_figure, styled
from firstlight_paper.cleaning import EVERY_CLASS, removed
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.models import fold_proba, paper_config, scored_fold, train_autoencoder, with_training
from firstlight_paper.objects import PAPER_CLASSES, SIMULATED_CLASSES
from firstlight_paper.page.figure_1 import FIGURE_1_CLASSES, figure_1_objects, plot_figure_1
from firstlight_paper.page.plots import Look, bars
from firstlight_paper.page.tables import SCORE_TITLES, pivot
from firstlight_paper.scores import Spread
from firstlight_paper.view import View

#: A cut so wide that it removes nothing (an infinite one has no bounds where the scatter is 0).
_WIDE = 1e9

#: Every cleaning by name. The paper's two steps follow one another in ``both``.
CLEANINGS: Mapping[str, CleanConfig] = {
    "none": CleanConfig(method="none"),
    "cut": CleanConfig(method="seed", clip=ClipConfig(iterations=0)),
    "clip": CleanConfig(method="seed", clip=ClipConfig(cut_sigma=_WIDE)),
    "both": CleanConfig(method="seed"),
    "physical": CleanConfig(method="physical"),
}

#: Light curves prepared in each way: every cleaning with dust corrected once, the paper's with dust
#: corrected again, and ours without host redshift (and so without distance).
PREPARED: Mapping[str, PreprocessConfig] = {
    **{name: PreprocessConfig(clean=clean) for name, clean in CLEANINGS.items()},
    "printed": PreprocessConfig(clean=CLEANINGS["both"], deredden="always"),
    "distance": PreprocessConfig(clean=CLEANINGS["physical"]),
}
REFERENCE, NO_REDSHIFT = "physical", "distance"
SHOWN: Mapping[str, str] = {
    "none": "no cleaning",
    "cut": "7-sigma cut alone",
    "clip": "clipping alone",
    "both": "both (the paper's)",
    "physical": "ours (only the unphysical)",
    "printed": "both, dust twice (as printed)",
    "distance": "ours, no redshift",
}

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Epochs of the autoencoder, alike for every variant, and folds."""

    epochs: int = 8
    folds: int = 2


def _signal(context: Context, fold: int, progress: Progress) -> Outcome:
    """Losses by each cleaning, and the light curves that show them."""
    objects = context.objects
    real = np.flatnonzero(~objects.simulated)
    seen, labels = objects.curves.take(real), objects.labels[real]
    outcome, kept = Outcome(), {}
    for done, (name, config) in enumerate(CLEANINGS.items()):
        keep = keep_mask(objects.curves, config)
        kept[name] = keep[objects.curves.rows_of(real)]
        table = removed(objects.curves, objects.labels, keep)
        values = more(table.pop(EVERY_CLASS), subset=16)
        for label, row in table.items():
            values |= {
                ("", 16, f"{metric}:{label}"): row[metric] for metric in ("positive_signal", "peak_lost")
            }
        of_real = removed(seen, labels, kept[name])[EVERY_CLASS]
        outcome.put(name, values | more(of_real, subset=13), "")
        progress("clean", (done + 1) / len(CLEANINGS))
    outcome.put("dust twice", _second_correction(objects.curves), "")
    outcome.extra = {"light curves": {"figure_1": _figure_1(seen, labels, kept)}}
    return outcome


def _second_correction(curves: LightCurves) -> dict[tuple[str, int, str], float]:
    """Factor by which a second correction brightens each band: median and 95th percentile of objects."""
    ebv = curves.ebv[np.isfinite(curves.ebv)].astype(np.float64)
    factor = 10.0 ** (0.4 * ebv[:, None] * EXTINCTION_PER_EBV)  # (n_objects, n_bands)
    middle, high = np.quantile(factor, [0.5, 0.95], axis=0)
    values = {("", 0, f"median:{band}"): float(middle[k]) for k, band in enumerate(BANDS)}
    return values | {("", 0, f"high:{band}"): float(high[k]) for k, band in enumerate(BANDS)}


def _figure_1(
    curves: LightCurves, labels: NDArray[np.str_], kept: Mapping[str, Mask]
) -> list[dict[str, Any]]:
    """The three light curves of Figure 1 as measured, and which observations each cleaning keeps."""
    curves = curves.with_redshift("spec")
    names = figure_1_objects(deredden(curves.keep(kept["both"]), again=True), labels)
    rows = []
    for label, name in zip(FIGURE_1_CLASSES, names, strict=True):
        i = int(np.flatnonzero(curves.object_id == name)[0])
        curve, own = curves[i], slice(int(curves.offsets[i]), int(curves.offsets[i + 1]))
        shown = curve.detected | (curve.flux > 3.0 * curve.flux_err)  # Figure 1 draws no others
        rows.append(
            {
                "class": label,
                "object_id": name,
                "days": curve.mjd[shown] - curve.mjd[0],
                "band": curve.band[shown],
                "flux": curve.flux[shown],
                "flux_err": curve.flux_err[shown],
                "detected": curve.detected[shown].astype(int),
                "ebv": curve.ebv,
                "redshift": curve.redshift,
                "kept": {how: kept[how][own][shown].astype(int) for how in ("both", "physical")},
            }
        )
    return rows


def _trained(context: Context, fold: int, progress: Progress, *, name: str, epochs: int) -> Outcome:
    """The paper's pipeline, trained on light curves prepared in one way."""
    objects = context.objects
    if name == NO_REDSHIFT:
        objects = replace(objects, curves=objects.curves.with_redshift("none"))
    config = replace(with_training(paper_config(context), epochs=epochs), preprocess=PREPARED[name])
    latent, _ = train_autoencoder(objects, fold, config, context.seed, progress)
    proba = fold_proba(context.objects, latent, fold, seed=context.seed)
    return Outcome(scored_fold(context, "design", fold, proba))


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """The effect of all cleanings on the signal, and of each preparation on the scores."""
    folds = range(min(amount.folds, context.scale.n_folds))
    trained = [
        Variant(name=name, work=partial(_trained, name=name, epochs=amount.epochs), folds=folds)
        for name in PREPARED
    ]
    return [Variant(name="signal", work=_signal), *trained]


def facts(view: View) -> Mapping[str, Any]:
    """Classes that lose most peaks, and the brightest magnitude of Figure 1's supernova."""
    lost = {c: view.spread("both", f"peak_lost:{c}", column="").mean for c in PAPER_CLASSES}
    worst = sorted((c for c in lost if np.isfinite(lost[c])), key=lambda c: -lost[c])[:3]
    row = view.only("light curves")["figure_1"][FIGURE_1_CLASSES.index("SNIa")]
    mag = AB_ZERO_POINT_NJY - 2.5 * np.log10(max(row["flux"])) - float(distance_modulus(row["redshift"]))
    return {"worst": ", ".join(f"{c} {100 * lost[c]:.0f} %" for c in worst), "supernova": mag}


def signal_table(view: View) -> str:
    """Shares that each cleaning removes."""
    names = {"observations": "observations", "positive_signal": "signal"}
    names |= {"peak_lost": "peaks", "trigger_moved": "triggers"}
    percent = {"column": "", "scale": 100, "unit": " %"}
    columns: dict[str, Mapping[str, Any]] = {"objects": {"column": "", "metric": "n_objects", "count": True}}
    columns |= {title: percent | {"metric": metric} for metric, title in names.items()}
    rows: dict[str, Mapping[str, Any]] = {
        f"{SHOWN[name]}, {who}": {"variant": name, "subset": subset, "digits": 3 if name == REFERENCE else 1}
        for name in CLEANINGS
        for subset, who in ((16, "all objects"), (13, "real alone"))
    }
    return pivot(view, rows, columns, "cleaning")


def scores_table(view: View) -> str:
    """Scores of the paper's pipeline on light curves prepared in each way."""
    titles = SCORE_TITLES | {"log_loss": "log-loss"}
    columns: dict[str, Mapping[str, Any]] = {"test objects": {"metric": "n_objects", "count": True}}
    columns |= {title: {"metric": metric} for metric, title in titles.items()}
    change = {"metric": "accuracy", "against": REFERENCE, "sign": "+"}
    rows: dict[str, Mapping[str, Any]] = {
        f"{SHOWN[name]}, {subset}{'' if subset == 16 else ' real'}": {"variant": name, "subset": subset}
        for name in PREPARED
        for subset in (16, 13)
    }
    return pivot(view, rows, columns | {"accuracy against ours": change}, "variant")


def figure_1(view: View, cleaning: str, again: bool) -> Figure:
    """Figure 1 of the paper, after one cleaning, with dust corrected `again` or not."""
    rows = view.only("light curves")["figure_1"]

    def joined(name: str, kind: Any) -> NDArray[Any]:
        return np.concatenate([np.asarray(row[name], dtype=kind) for row in rows])

    curves = LightCurves(
        object_id=np.array([row["object_id"] for row in rows]),
        offsets=np.concatenate([[0], np.cumsum([len(row["days"]) for row in rows])]).astype(np.int64),
        mjd=60000.0 + joined("days", np.float64),  # any first day will do
        band=joined("band", np.int64),
        flux=joined("flux", np.float64),
        flux_err=joined("flux_err", np.float64),
        detected=joined("detected", bool),
        ebv=np.array([row["ebv"] for row in rows], dtype=np.float32),
        redshift=np.array([row["redshift"] for row in rows], dtype=np.float32),
        dereddened=True,
    )
    keep = np.concatenate([np.asarray(row["kept"][cleaning], dtype=bool) for row in rows])
    labels = np.array([row["class"] for row in rows])
    return plot_figure_1(
        deredden(curves.keep(keep), again=again), labels, objects=[row["object_id"] for row in rows]
    )


@styled
def signal(view: View) -> Figure:
    """Shares of signal and of peaks that each cleaning removes, one row per class."""
    lost = {c: view.spread("both", f"peak_lost:{c}", column="").mean for c in PAPER_CLASSES}
    names = ["", *sorted(lost, key=lambda c: np.nan_to_num(lost[c]))]
    looks = {
        "cut": Look(SHOWN["cut"], FOURTH, "^"),
        "clip": Look(SHOWN["clip"], THIRD, "s"),
        "both": Look(SHOWN["both"], ACCENT, "D"),
        "physical": Look(SHOWN["physical"], MAIN, "o"),
    }
    figure = new_figure(0.6 + 0.32 * len(names))
    panels = figure.subplots(1, 2, sharey=True)
    titles = {"positive_signal": "signal removed [%]", "peak_lost": "brightest point removed [%]"}
    for panel, (metric, title) in zip(panels, titles.items(), strict=True):
        series = {}
        for cleaning, look in looks.items():
            found = [view.spread(cleaning, f"{metric}:{c}" if c else metric, column="").mean for c in names]
            series[look] = [Spread(100.0 * value, np.nan) for value in found]
        shown = [f"{c} (simulated)" if c in SIMULATED_CLASSES else c or "all objects" for c in names]
        bars(panel, shown, series, gap=0.18)
        panel.set_xlim(-2.0, 100.0)
        panel.axhline(0.5, color=FAINT, lw=0.8)
        panel.set_xlabel(title)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(looks))
    return figure


PREPROCESSING = Part(
    name="preprocessing",
    column="design",
    full=Amount(),
    quick=Amount(epochs=2),
    variants=variants,
    tables={"signal": signal_table, "scores": scores_table},
    figures={
        "figure-1": lambda view: figure_1(view, "both", again=True),
        "figure-1-ours": lambda view: figure_1(view, "physical", again=False),
        "preprocessing-signal": signal,
    },
    facts=facts,
)
