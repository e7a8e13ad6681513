"""Tables and pictures of the part on simulated classes, from its JSON alone."""

from collections.abc import Mapping
from typing import Any, Literal

from firstlight_paper.objects import FOLLOW_UP_MAG, PAPER_CLASSES, SIMULATED_CLASSES
from firstlight_paper.parts import simulated_plots as plots
from firstlight_paper.printed import PRINTED
from firstlight_paper.scores import HEADLINE
from firstlight_paper.section import Picture, Section, Table, number, plus_minus

__all__ = ["CHECKED", "LIMITED_ON", "METRICS", "TEMPLATE_SNIA", "TRUTH", "show", "what_it_says"]

#: Classes of which there are real objects and a simulator.
CHECKED = ("SLSN-I", "SNIa")

#: SNIa from a spectral template, where there is one.
TEMPLATE_SNIA = "SNIa-template"

#: What the magnitude limit of a spectroscopic campaign is laid on; see `SimulateConfig`.
LIMITED_ON: tuple[Literal["epochs", "peak"], ...] = ("epochs", "peak")

_SHOWN_NAME = {"SNIa": "SNIa, blackbody", TEMPLATE_SNIA: "SNIa, spectral template"}

#: Scores of one class; the paper prints all but the last.
METRICS = ("precision", "recall", "f1", "auc")

#: Columns of a simulated set's truth whose percentiles are shown.
TRUTH = ("redshift", "peak_abs_mag", "peak_app_mag", "peak_day", "a_v")

_CALLED = {
    "accuracy": "accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "macro_auc": "macro AUC",
    "log_loss": "log-loss [nat]",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "auc": "AUC",
}

Json = dict[str, Any]


def show(result: Json) -> Section:
    """Tables and pictures of a measured part."""
    return Section(
        title="Three simulated classes, and what can be checked of the simulator",
        blocks=(
            result["protocol"],
            "PLAsTiCC's training set has no CaRT, ILOT or PISN. These come from published physics, seen "
            "through the epochs, noise and detections of real objects. SLSN-I and SNIa can be simulated too, "
            "and there are real ones to hold them against. The simulator is our own: LightCurveLynx, redback "
            "and sncosmo would each bring more dependencies than these few equations are worth, and spectra "
            "or models to be downloaded.",
            *what_it_says(result),
            _check_table(result["checks"]),
            _recognised_table(result["recognised"]),
            Picture(
                name="simulated-recognised",
                figure=plots.recognised(result["recognised"]),
                caption="What our classifiers call real and simulated objects of the same class, bars of one "
                "standard error. If the simulator is right, the two agree.",
            ),
            Picture(
                name="simulated-beside-real",
                figure=plots.beside_real(result["populations"], _best_kinds(result["populations"])),
                caption="Real light curves, chosen by their number of detections, beside each the simulated "
                "one nearest in host photo-z, brightest magnitude and number of detections.",
            ),
            Picture(
                name="simulated-classes",
                figure=plots.light_curves(result["populations"], SIMULATED_CLASSES),
                caption="Simulated light curves of the three classes that the training set lacks, chosen by "
                "their number of detections.",
            ),
            Picture(
                name="simulated-distributions",
                figure=plots.distributions(result["populations"]),
                caption="Host photo-z, brightest magnitude and number of detections: real objects filled, "
                "simulated ones (after the follow-up limit) as lines.",
            ),
            _class_table(result),
            Picture(
                name="simulated-confusion",
                figure=plots.confusion(result["confusion"]),
                caption="What our sixteen-class model calls the simulated classes, out of fold.",
            ),
            _score_table(result),
            _population_table(result["populations"]),
        ),
    )


def what_it_says(result: Json) -> tuple[str, ...]:
    """Paragraphs: how far the simulator passes, what that means for the three classes, what they share.

    Parameters
    ----------
    result : mapping
        The part's JSON.
    """
    checks, recognised = result["checks"], result["recognised"]
    passes = [
        f"{_SHOWN_NAME.get(name, name)} {plus_minus(check['peak']['auc'])} (labels shuffled "
        f"{plus_minus(check['peak']['auc_shuffled'])})"
        for name, check in checks.items()
    ]
    recalls = [
        f"{_SHOWN_NAME.get(name, name)} {both['simulated']['recall']:.3f} ± "
        f"{both['simulated']['recall_err']:.3f} (real: {both['real']['recall']:.3f} ± "
        f"{both['real']['recall_err']:.3f})"
        for name, both in recognised.items()
    ]
    limits = (
        f"The three classes pass a follow-up limit of {FOLLOW_UP_MAG:g} mag on the brightest epoch, near "
        "those fitted to the brightness of all real SLSN-I and SNIa, test objects among them. Simulated "
        "objects borrow epochs, noise and the scatter of host redshifts from real objects of all folds, "
        "so one that is learnt from can have the epochs of a test object; it has none of its fluxes, "
        "and its label is another."
    )
    return (
        f"With the limit on the peak, a booster tells simulated from real objects with an AUC of "
        f"{'; '.join(passes)}. Our classifiers recognise of the simulated objects {'; '.join(recalls)}. "
        f"{_called_otherwise(recognised)}",
        _meaning(checks),
        limits,
    )


def _called_otherwise(recognised: Json) -> str:
    """Of which simulated objects the calls differ from those of real ones by more than chance."""
    far = []
    for name, both in recognised.items():
        chance = both["distance_by_chance"]
        if both["distance"] > chance["mean"] + 2.0 * chance["std"]:
            far.append(
                f"{_SHOWN_NAME.get(name, name)} ({100 * both['distance']:.0f} %, by chance "
                f"{100 * chance['mean']:.0f} %)"
            )
    if not far:
        return "Nowhere do the calls differ from those of real objects by more than chance."
    return f"More of them are called otherwise than chance explains: {'; '.join(far)}."


def _meaning(checks: Json) -> str:
    """What the checks of SLSN-I and SNIa say about classes that cannot be checked."""
    blackbody = checks["SNIa"]["peak"]["auc"]["mean"]
    words = (
        "CaRT, ILOT and PISN themselves cannot be checked: there are no real ones here. PISN has the kind of "
        "spectrum that the simulated SLSN-I have, a blackbody that is weak in the ultraviolet"
    )
    if TEMPLATE_SNIA in checks:
        template = checks[TEMPLATE_SNIA]["peak"]["auc"]["mean"]
        words += (
            f". For SNIa a blackbody in place of the template's spectra takes the AUC from {template:.3f} to "
            f"{blackbody:.3f}"
        )
    else:
        words += f". SNIa from a blackbody are told from real ones with an AUC of {blackbody:.3f}"
    return words + (
        "; CaRT and ILOT are blackbodies too, without lines, calcium's among them. A classifier may "
        "find them by that, so that their scores below may be better than real ones would get."
    )


def _best_kinds(populations: Mapping[str, Json]) -> list[str]:
    """SNIa from the template where there is one, for the pictures."""
    return [TEMPLATE_SNIA if name == "SNIa" and TEMPLATE_SNIA in populations else name for name in CHECKED]


def _check_table(checks: Mapping[str, Json]) -> Table:
    rows = []
    for name, check in checks.items():
        words = {
            "as_triggered": "as triggered",
            "epochs": "limit on what was seen",
            "peak": "limit on the peak",
        }
        for tag, said in words.items():
            one = check[tag]
            limit = one["follow_up_mag"]
            far = ", ".join(f"{feature} {number(d, 2)}" for feature, d in one["most_different"].items())
            cells = (plus_minus(one["auc"]), plus_minus(one["auc_shuffled"]), far)
            said = said if limit is None else f"{said}, {limit:g} mag"
            rows.append((_SHOWN_NAME.get(name, name), said, str(check["n_real"]), *cells))
    return Table(
        caption="AUC of a booster on plain features that tells simulated from as many real objects, five "
        "stratified folds; mean and standard deviation over simulations, each held against the same real "
        "objects; 0.5 is chance. The limit is the one of five that fits the brightest magnitudes of these "
        "real objects best, which favours the simulator a little; it is laid on the brightest epoch, or on "
        "the peak whether seen or not. Last: features that differ most in the first simulation, with their "
        "Kolmogorov-Smirnov distance.",
        columns=("class", "simulated objects", "n of each", "AUC", "AUC, labels shuffled", "furthest apart"),
        rows=tuple(rows),
    )


def _recognised_table(recognised: Mapping[str, Json]) -> Table:
    rows = []
    for name, both in recognised.items():
        for which in ("real", "simulated"):
            one = both[which]
            most = sorted(one["said"].items(), key=lambda pair: -pair[1])[:4]
            called = ", ".join(f"{label} {100 * n / one['n']:.0f} %" for label, n in most if n)
            rows.append(
                (
                    f"{_SHOWN_NAME.get(name, name)}, simulated"
                    if which == "simulated"
                    else f"{both['class']}, real",
                    f"{one['n']:,}",
                    f"{one['recall']:.3f} ± {one['recall_err']:.3f}",
                    number(one["mean_probability"]),
                    number(one["said_a_simulated_class"]),
                    called,
                )
            )
        chance = both["distance_by_chance"]
        far = f"{both['distance']:.3f} (by chance {chance['mean']:.3f} ± {chance['std']:.3f})"
        rows.append((f"{_SHOWN_NAME.get(name, name)}: share called otherwise", "", far, "", "", ""))
    return Table(
        caption="Our classifiers, trained on real SLSN-I and SNIa, before real and simulated objects of "
        "these classes that they never saw (nor the real object whose epochs a simulated one has). ± is "
        "the standard error of a share. 'Share called otherwise' is half the summed difference between "
        "the two rows' shares of all sixteen classes; by chance: the same with real and simulated shuffled.",
        columns=(
            "objects",
            "n",
            "recall",
            "mean probability",
            "called CaRT, ILOT or PISN",
            "called most often",
        ),
        rows=tuple(rows),
    )


def _class_table(result: Json) -> Table:
    rows = []
    for name, row in result["per_class"].items():
        for metric in METRICS:
            values = row[metric]
            rows.append(
                (
                    f"{name}, {_CALLED[metric]}",
                    str(row["n"]),
                    number(values["printed"], 2),
                    plus_minus(values["leak"]),
                    plus_minus(values["honest"]),
                    _mistaken(result["confusion"], name) if metric == "precision" else "",
                )
            )
    return Table(
        caption="The simulated classes among sixteen. They say how well a classifier learns the simulation, "
        "not how it would do on the sky; the next table has the thirteen real classes. Honest: our "
        "classifiers, spread over folds. Its protocol: the paper's design on rows copied before the split, "
        "spread over its repeats.",
        columns=(
            "class and score",
            "n",
            "printed",
            "its protocol (leaks)",
            "honest",
            "most often mistaken for it",
        ),
        rows=tuple(rows),
    )


def _mistaken(confusion: list[list[int]], name: str) -> str:
    column = PAPER_CLASSES.index(name)
    others = {other: confusion[k][column] for k, other in enumerate(PAPER_CLASSES) if other != name}
    most = sorted(others.items(), key=lambda pair: -pair[1])[:3]
    return ", ".join(f"{other} {n}" for other, n in most if n) or "-"


def _score_table(result: Json) -> Table:
    rows = []
    words = {"sixteen": "sixteen classes", "real": "thirteen real classes"}
    for which, row in result["scores"].items():
        cells = [plus_minus(row[metric]["honest"]) for metric in HEADLINE]
        rows.append((f"honest, all objects, {words[which]}", f"{row['n_objects']:,}", *cells))
    drawn = result["frequencies"]
    n_real = sum(n for name, n in drawn["counts"].items() if name not in SIMULATED_CLASSES)
    for which in ("sixteen", "real"):
        one = drawn[which]
        cells = [plus_minus(one[metric]) for metric in HEADLINE]
        n = n_real if which == "real" else drawn["n_objects"]
        label = (
            f"honest, at the paper's frequencies, {one['n_classes']} classes"
            if which == "sixteen"
            else f"honest, at the paper's frequencies, the {one['n_classes']} real ones of these"
        )
        rows.append((label, f"{n:,}", *cells))
    for which, row in result["scores"].items():
        cells = [plus_minus(row[metric]["leak"]) for metric in HEADLINE]
        rows.append((f"its protocol (leaks), {words[which]}", "-", *cells))
    printed = [number(PRINTED.get(metric), 2) for metric in HEADLINE]
    rows.append(("printed", "-", *printed))
    dropped = ", ".join(drawn["dropped"]) or "none"
    return Table(
        caption="The same honest forecasts on all objects (spread over folds) and on samples drawn without "
        f"replacement at the class frequencies of the paper's section 2 (spread over {drawn['n_draws']} "
        "draws, which share most of their objects; the classifiers were not trained for these frequencies). "
        f"Classes that would get fewer than three objects are dropped, as there: {dropped}. Its protocol: "
        "the paper's design on rows copied before the split, spread over its repeats.",
        columns=("objects", "n", *(_CALLED[metric] for metric in HEADLINE)),
        rows=tuple(rows),
    )


def _population_table(populations: Mapping[str, Json]) -> Table:
    rows = [
        (
            _SHOWN_NAME.get(name, name),
            f"{one['n']:,}",
            str(one["distinct_models"]),
            *(
                " / ".join(f"{value:.{digits}f}" for value in one["percentiles_5_50_95"][column])
                for column, digits in (*((column, 2) for column in TRUTH), ("n_detected", 0))
            ),
        )
        for name, one in populations.items()
    ]
    return Table(
        caption="What was simulated, as triggered (two detections, no follow-up limit): 5th, 50th and 95th "
        "percentiles. Peak magnitudes are LSST r at redshift 0, and the brightest of r, i, z at the epochs; "
        "the day of the peak is counted from the explosion in the rest frame. From the template, A_V is 3.1 "
        "times the colour of SALT2, which may be negative.",
        columns=(
            "class",
            "n",
            "models",
            "redshift",
            "peak, absolute [mag]",
            "peak, apparent [mag]",
            "peak [day]",
            "host A_V [mag]",
            "detections",
        ),
        rows=tuple(rows),
    )
