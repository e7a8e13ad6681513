"""The paper's preprocessing: its Figure 1, and what each step of it takes away and is worth.

Every cut is switched on alone; skill is that of the paper's pipeline (autoencoder of six
latents, gradient boosting), trained anew on light curves prepared in each way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS, EXTINCTION_PER_EBV
from firstlight.cosmology import distance_modulus
from firstlight.lightcurves import LightCurves
from firstlight.pipeline import PipelineConfig
from firstlight.preprocess import (
    CleanConfig,
    ClipConfig,
    PreprocessConfig,
    deredden,
    keep_mask,
)
from firstlight_paper.booster import fold_proba
from firstlight_paper.cleaning import BRIGHT_SNR, EVERY_CLASS, SIGNAL_SNR, peak_kept, removed
from firstlight_paper.figure_1 import FIGURE_1_CLASSES, figure_1_objects
from firstlight_paper.objects import PAPER_CLASSES, Objects
from firstlight_paper.parts import preprocessing_plots as plots
from firstlight_paper.scores import HEADLINE, scored, spread, spread_of
from firstlight_paper.section import Part, Picture, Section, Table, plus_minus
from firstlight_paper.shared import Autoencoder, seed_config, train_autoencoder, with_training
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["CLEANINGS", "PART", "REFERENCE", "VARIANTS", "Trial", "Variant", "measure", "show"]

NAME = "preprocessing"
TITLE = "Preprocessing: Figure 1, and what each step is worth"
EPOCHS = {"full": 8}  # of the autoencoder, alike for every variant; at any other scale:
_FEW_EPOCHS = 2
N_FOLDS = 2

#: Absolute magnitude that a SN Ia at its peak does not miss.
_LATE_MAG = -17.0

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
PAPER = PreprocessConfig(clean=CLEANINGS["both"], deredden="always")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to prepare the light curves.

    Attributes
    ----------
    preprocess : PreprocessConfig
        Cleaning, and whether dust is corrected again.
    distance : bool
        Whether the autoencoder is told the host redshift, and with it absolute magnitudes.
    """

    preprocess: PreprocessConfig
    distance: bool = True


#: Each cleaning with dust corrected once; the paper's with dust corrected again, ``printed``; ours without
#: distance. All are compared with `REFERENCE`, ``printed`` with ``both`` too.
VARIANTS: Mapping[str, Variant] = {
    **{name: Variant(preprocess=PreprocessConfig(clean=clean)) for name, clean in CLEANINGS.items()},
    "printed": Variant(preprocess=PAPER),
    "distance": Variant(preprocess=PreprocessConfig(clean=CLEANINGS["physical"]), distance=False),
}
REFERENCE = "physical"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of the paper's pipeline.

    Attributes
    ----------
    fold : int
        Fold whose test objects are unseen.
    config : PipelineConfig
        Preprocessing and encoder.
    distance : bool
        Whether the host redshift is told.
    seed : int
        Seed of weights, batches and boosting.
    """

    fold: int
    config: PipelineConfig
    distance: bool
    seed: int


@dataclass(frozen=True, kw_only=True)
class _NoDistance(Bench):
    """The same objects in the same folds, their host redshifts hidden."""

    @cached_property
    def objects(self) -> Objects:
        seen = Bench(**vars(self)).objects
        return replace(seen, curves=seen.curves.with_redshift("none"))


def measure(workshop: Workshop) -> dict[str, Any]:
    """Effect of every step on signal and on skill, and the light curves of the figures."""
    bench = workshop.bench
    objects = bench.objects
    n_folds = min(N_FOLDS, len(objects.folds))
    result: dict[str, Any] = {
        "protocol": (
            f"Signal: {len(objects)} whole light curves, {int(objects.simulated.sum())} of them simulated. "
            f"Skill: the paper's pipeline, its autoencoder trained for {_epochs(bench)} epochs and its "
            f"booster without class weights, anew for each variant, on {n_folds} of {len(objects.folds)} "
            "folds over objects; mean and standard deviation over folds."
        ),
        "printed": None,
        "leak": None,
    }
    result |= workshop.map(f"{NAME}-cleaning", _signal, {"signal": dict(CLEANINGS)})["signal"]
    folds = _skill(workshop, n_folds)
    result["skill"] = {name: _row(parts, folds[REFERENCE]) for name, parts in folds.items()}
    result["dust"]["difference"] = _difference(folds["printed"], folds["both"])
    result["honest"] = {
        name: {metric: row["sixteen"][metric] for metric in HEADLINE} for name, row in result["skill"].items()
    }
    return result


# --- effect on signal -----------------------------------------------------------


def _signal(bench: Bench, cleanings: Mapping[str, CleanConfig], report: Report) -> dict[str, Any]:
    """What each cleaning removes, and the light curves that show it."""
    objects = bench.objects
    real = np.flatnonzero(~objects.simulated)
    seen = objects.curves.take(real)
    table: dict[str, Any] = {"removed": {}, "removed_real": {}}
    kept = {}
    for done, (name, config) in enumerate(cleanings.items()):
        keep = keep_mask(objects.curves, config)
        kept[name] = keep[objects.curves.rows_of(real)]
        table["removed"][name] = removed(objects.curves, objects.labels, keep)
        table["removed_real"][name] = removed(seen, objects.labels[real], kept[name])[EVERY_CLASS]
        report("", (done + 1) / len(cleanings))
    table["dust"] = _second_correction(objects.curves)
    table["examples"] = _examples(seen, objects.labels[real], kept)
    table["figure_1"] = _figure_1(seen, objects.labels[real], kept)
    return table


def _second_correction(curves: LightCurves) -> dict[str, dict[str, float]]:
    """Factor by which a second correction brightens each band: median and 95th percentile of objects."""
    ebv = curves.ebv[np.isfinite(curves.ebv)].astype(np.float64)
    factor = 10.0 ** (0.4 * ebv[:, None] * EXTINCTION_PER_EBV)  # (n_objects, N_BANDS)
    middle, high = np.quantile(factor, [0.5, 0.95], axis=0)
    return {band: {"median": float(middle[k]), "high": float(high[k])} for k, band in enumerate(BANDS)}


def _examples(
    curves: LightCurves, labels: NDArray[np.str_], kept: Mapping[str, NDArray[np.bool_]]
) -> list[dict[str, Any]]:
    """For each class of `plots.EXAMPLES`, the object whose loss of signal is the median of its class."""
    chosen = []
    for name in plots.EXAMPLES:
        i = _typical(curves, labels == name, kept["both"])
        if i is None:
            continue
        curve, rows = curves[i], slice(int(curves.offsets[i]), int(curves.offsets[i + 1]))
        # The brightest by flux alone is often noise of a shallow band.
        significant = curve.flux > BRIGHT_SNR * curve.flux_err
        days = curve.mjd - curve.mjd[int(np.argmax(np.where(significant, curve.flux, -np.inf)))]
        shown = (days >= plots.WINDOW[0]) & (days <= plots.WINDOW[1])
        chosen.append(
            {
                "class": name,
                "object_id": curve.object_id,
                "days": days[shown],
                "band": curve.band[shown],
                "flux": curve.flux[shown] / 1000.0,  # [uJy]
                "flux_err": curve.flux_err[shown] / 1000.0,
                "kept": {how: kept[how][rows][shown].astype(int) for how in ("both", "physical")},
            }
        )
    return chosen


def _typical(curves: LightCurves, members: NDArray[np.bool_], keep: NDArray[np.bool_]) -> int | None:
    """Of the members that lose their peak, one with the median share of signal lost."""
    snr = curves.flux.astype(np.float64) / curves.flux_err
    signal = snr * (snr > SIGNAL_SNR)
    n = len(curves)
    whole = np.bincount(curves.object_index, signal, n)
    lost = np.bincount(curves.object_index, signal * ~keep, n)
    usable = np.flatnonzero(members & ~peak_kept(curves, keep))
    wide = usable[curves.n_obs[usable] <= plots.MOST_POINTS]  # a deep field's curve hides its points
    usable = wide if len(wide) else usable
    if not len(usable):
        return None
    order = usable[np.argsort(lost[usable] / whole[usable], kind="stable")]
    return int(order[len(order) // 2])


def _figure_1(
    curves: LightCurves, labels: NDArray[np.str_], kept: Mapping[str, NDArray[np.bool_]]
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


# --- effect on skill ------------------------------------------------------------


def _epochs(bench: Bench) -> int:
    return EPOCHS.get(bench.scale.name, min(_FEW_EPOCHS, bench.scale.encoder_epochs))


def _skill(workshop: Workshop, n_folds: int) -> dict[str, list[dict[str, Any]]]:
    """Scores of every variant on every fold, as from `scored`."""
    bench = workshop.bench
    base = with_training(seed_config(bench), epochs=_epochs(bench))
    items = {
        f"{name}-fold-{k + 1}": Trial(
            fold=k,
            config=replace(base, preprocess=variant.preprocess),
            distance=variant.distance,
            seed=bench.seed,
        )
        for name, variant in VARIANTS.items()
        for k in range(n_folds)
    }
    done = workshop.map(f"{NAME}-skill", _trial, items)
    return {name: [done[f"{name}-fold-{k + 1}"] for k in range(n_folds)] for name in VARIANTS}


def _trial(bench: Bench, item: Trial, report: Report) -> dict[str, Any]:
    """Train on one fold's learning objects, score its test objects."""
    told = bench if item.distance else _NoDistance(**vars(bench))
    latent, _ = train_autoencoder(
        told, Autoencoder(item.fold, item.config, item.seed), lambda what, done: report(what, 0.7 * done)
    )
    objects = bench.objects
    proba = fold_proba(objects, latent, item.fold, seed=item.seed)
    test = objects.folds[item.fold].test
    return scored(objects.labels[test], proba, objects.simulated[test])


def _row(parts: list[dict[str, Any]], reference: list[dict[str, Any]]) -> dict[str, Any]:
    """Headline scores with their spread, recall by class, and paired differences."""
    joined = spread_of(parts)
    row: dict[str, Any] = {
        which: {metric: joined[which][metric] for metric in HEADLINE}
        | {"n_objects": joined[which]["n_objects"]}
        for which in ("sixteen", "real")
    }
    row["recall"] = {
        name: {key: values["recall"][key] for key in ("mean", "std")} | {"n": values["n"]}
        for name, values in joined["sixteen"]["per_class"].items()
    }
    row["difference"] = _difference(parts, reference)
    return row


def _difference(parts: list[dict[str, Any]], reference: list[dict[str, Any]]) -> dict[str, Any]:
    """How much better than the reference on the same folds, over sixteen classes."""
    pairs = list(zip(parts, reference, strict=True))
    return {
        metric: spread([part["sixteen"][metric] - other["sixteen"][metric] for part, other in pairs])
        for metric in HEADLINE
    }


# --- what the page shows --------------------------------------------------------


def show(result: Mapping[str, Any]) -> Section:
    """Figure 1, what each cut removes from whom, and the skill of every variant."""
    lost = Picture(
        name="preprocessing-signal",
        figure=plots.lost_by_class(result["removed"]),
        caption=f"Left: share of the summed signal to noise (observations above {SIGNAL_SNR:.0f}) that "
        f"each cleaning removes. Right: share of the objects with a point above {BRIGHT_SNR:.0f} whose "
        "brightest point goes. CaRT, ILOT and PISN are simulated.",
    )
    skill = Picture(
        name="preprocessing-skill",
        figure=plots.skill(result["skill"]),
        caption="Skill of the paper's pipeline on light curves prepared in each way: mean and standard "
        "deviation over folds, dots the folds; all sixteen classes.",
    )
    return Section(
        title=TITLE,
        blocks=(
            result["protocol"],
            *_light_curves(result),
            _removed_table(result),
            lost,
            _skill_table(result["skill"]),
            skill,
            _conclusion(result),
        ),
    )


def _light_curves(result: Mapping[str, Any]) -> list[Picture]:
    """Figure 1 twice, and what the cuts remove from three typical objects."""
    pictures = [
        Picture(
            name="figure-1",
            figure=plots.figure_1(result["figure_1"], "both", again=True),
            caption="Figure 1 of the paper, after the paper's preprocessing: 7-sigma cut, five rounds of "
            "clipping, dust corrected again. The best observed object of each class after those cuts, "
            f"spectroscopic host redshift.{_late(result['figure_1'])}",
        ),
        Picture(
            name="figure-1-ours",
            figure=plots.figure_1(result["figure_1"], "physical", again=False),
            caption="The same three objects after our cleaning, dust corrected once.",
        ),
    ]
    if result["examples"]:
        pictures.append(
            Picture(
                name="preprocessing-examples",
                figure=plots.before_and_after(result["examples"]),
                caption="What the paper's two cuts remove (crosses) from one object of each class. Each is "
                "typical: of its class's objects whose brightest point goes, the one with the median "
                "share of signal lost.",
            )
        )
    return pictures


def _late(rows: Sequence[Mapping[str, Any]]) -> str:
    """A sentence where the supernova of Figure 1 was seen on its decline alone."""
    row = rows[FIGURE_1_CLASSES.index("SNIa")]
    mag = AB_ZERO_POINT_NJY - 2.5 * np.log10(max(row["flux"])) - float(distance_modulus(row["redshift"]))
    if mag < _LATE_MAG:
        return ""
    return (
        f" The supernova was seen long after its peak: it is never brighter than {mag:.1f} mag here, where a "
        "SN Ia peaks near -19."
    )


def _percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{100.0 * value:.{digits}f} %"


def _removed_table(result: Mapping[str, Any]) -> Table:
    columns = ("observations", "positive_signal", "peak_lost", "trigger_moved")
    rows = []
    for name, table in result["removed"].items():
        for title, row in (("all", table[EVERY_CLASS]), ("real alone", result["removed_real"][name])):
            cells = [_percent(row[column], 3 if name == "physical" else 1) for column in columns]
            rows.append((plots.SHOWN[name], f"{title} ({row['n_objects']})", *cells))
    return Table(
        caption="What each cleaning takes. Signal: summed signal to noise of observations above "
        f"{SIGNAL_SNR:.0f}. Peaks: of the objects with a point above {BRIGHT_SNR:.0f}, those whose brightest "
        "such point goes. Triggers: of the objects with a detection, those whose first one goes. The paper "
        "prints no such number.",
        columns=("cleaning", "objects", "observations", "signal", "peaks", "triggers"),
        rows=tuple(rows),
    )


def _skill_table(skill: Mapping[str, Any]) -> Table:
    rows = []
    for name, row in skill.items():
        for which, title in (("sixteen", "16"), ("real", "13 real")):
            cells = [plus_minus(row[which][m]) for m in ("accuracy", "macro_f1", "macro_auc", "log_loss")]
            change = "-"
            if which == "sixteen" and name != REFERENCE:
                change = _signed(row["difference"]["accuracy"])
            rows.append((plots.SHOWN[name], f"{title} ({row[which]['n_objects']})", *cells, change))
    return Table(
        caption="Honest skill, mean and standard deviation over folds; the last column is the difference in "
        f"accuracy from '{plots.SHOWN[REFERENCE]}' fold by fold. The paper prints no ablation.",
        columns=(
            "variant", "classes (test objects)", "accuracy", "macro F1", "macro AUC", "log-loss",
            "accuracy against ours",
        ),
        rows=tuple(rows),
    )  # fmt: skip


def _conclusion(result: Mapping[str, Any]) -> str:
    """What the numbers say, in words."""
    lost, skill = result["removed"], result["skill"]
    both = {name: row for name, row in lost["both"].items() if name in PAPER_CLASSES}
    worst = sorted(
        (name for name in both if both[name]["peak_lost"] is not None),
        key=lambda name: -both[name]["peak_lost"],
    )[:3]
    listed = ", ".join(f"{name} {_percent(both[name]['peak_lost'], 0)}" for name in worst)
    everyone = {name: table[EVERY_CLASS] for name, table in lost.items()}
    dust = result["dust"]
    lines = [
        f"The paper's two cuts remove {_percent(everyone['both']['observations'])} of the observations and "
        f"{_percent(everyone['both']['positive_signal'], 0)} of the signal; "
        f"of the objects with a point above S/N {BRIGHT_SNR:.0f}, "
        f"{_percent(everyone['both']['peak_lost'], 0)} lose the brightest ({listed}). "
        f"The 7-sigma cut alone takes {_percent(everyone['cut']['positive_signal'])} of the signal, the five "
        f"rounds of clipping alone {_percent(everyone['clip']['positive_signal'], 0)}; removing only what "
        f"cannot be real takes {_percent(everyone['physical']['positive_signal'], 3)}.",
        f"In accuracy, against our cleaning ({plus_minus(skill[REFERENCE]['sixteen']['accuracy'])}): "
        + "; ".join(
            f"{plots.SHOWN[name]} {_signed(row['difference']['accuracy'])}"
            for name, row in skill.items()
            if name != REFERENCE
        )
        + ".",
        "Correcting dust again leaves every signal to noise as it is and brightens the u band by a factor "
        f"of {dust['u']['median']:.2f} for the median object ({dust['u']['high']:.2f} at the 95th "
        f"percentile), y by {dust['y']['median']:.2f} ({dust['y']['high']:.2f}); with the paper's cuts it "
        f"changes accuracy by {_signed(dust['difference']['accuracy'])}. Without the host redshift the "
        "network has neither distance nor absolute magnitudes, nor the word that an object is in the "
        "Milky Way; the paper's distance of 10 Mpc for nearby objects, which changes the scale of Figure 1's "
        f"magnitudes, is nothing that this network is told. {_caution(result)}",
    ]
    return " ".join(lines)


def _caution(result: Mapping[str, Any]) -> str:
    """How far two variants lie apart that differ in next to nothing."""
    gap = result["skill"]["none"]["difference"]
    taken = _percent(result["removed"]["physical"][EVERY_CLASS]["observations"], 3)
    return (
        f"No cleaning and ours differ in {taken} of the observations: their differences (accuracy "
        f"{_signed(gap['accuracy'])}, macro F1 {_signed(gap['macro_f1'])}, macro AUC "
        f"{_signed(gap['macro_auc'])}) are those of two trainings of the same, and gaps as small say nothing."
    )


def _signed(value: Mapping[str, Any]) -> str:
    if value["mean"] is None:
        return "-"
    spread_text = "" if value["std"] is None else f" ± {value['std']:.3f}"
    return f"{value['mean']:+.3f}{spread_text}"


PART = Part(name=NAME, key=NAME, title=TITLE, needs=(), measure=measure, show=show)
