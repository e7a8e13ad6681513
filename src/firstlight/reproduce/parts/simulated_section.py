"""Tables and pictures of the part on simulated classes, from its JSON alone."""

from collections.abc import Mapping
from typing import Any, Literal

from firstlight.evaluate.printed import PRINTED
from firstlight.reproduce.objects import PAPER_CLASSES, SIMULATED_CLASSES
from firstlight.reproduce.parts import simulated_plots as plots
from firstlight.reproduce.scores import HEADLINE
from firstlight.reproduce.section import Picture, Section, Table, number, plus_minus

__all__ = ["CHECKED", "LIMITED_ON", "METRICS", "TEMPLATE_SNIA", "TRUTH", "show"]

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

Json = dict[str, Any]


def show(result: Json) -> Section:
    """Tables and pictures of a measured part."""
    return Section(
        title="Three simulated classes, and what can be checked of the simulator",
        blocks=(
            result["protocol"],
            "PLAsTiCC's training set has no CaRT, ILOT or PISN. These come from published physics, seen "
            "through the epochs, noise and detections of real objects. SLSN-I and SNIa can be simulated too, "
            "and there are real ones to hold them against.",
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
                caption="Simulated light curves of the three classes that the training set lacks.",
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
        "stratified folds; mean and standard deviation over simulations; 0.5 is chance. The limit is "
        "fitted to the brightest magnitudes of the same real objects; it is laid on the brightest epoch, or "
        "on the peak whether seen or not. Last: features that differ most, with their Kolmogorov-Smirnov "
        "distance.",
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
        cells = []
        for metric in METRICS:
            cells += [number(row[metric]["printed"], 2)] if metric != "auc" else []
            cells += [plus_minus(row[metric]["honest"])]
        rows.append((name, str(row["n"]), *cells, _mistaken(result["confusion"], name)))
    heads = [
        f"{metric}, {which}" for metric in ("precision", "recall", "F1") for which in ("printed", "honest")
    ]
    return Table(
        caption="The simulated classes among sixteen. They say how well a classifier learns the simulation, "
        "not how it would do on the sky. The leaking protocol's column is in the table of all classes.",
        columns=("class", "n", *heads, "AUC, honest", "most often mistaken for it"),
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
        rows.append((f"all objects, {words[which]}", f"{row['n_objects']:,}", *cells))
    drawn = result["frequencies"]
    for which in ("sixteen", "real"):
        one = drawn[which]
        cells = [plus_minus(one[metric]) for metric in HEADLINE]
        real = "real ones of " if which == "real" else ""
        label = f"at the paper's frequencies, {real}{one['n_classes']} classes"
        rows.append((label, f"{drawn['n_objects']:,}" if not real else "", *cells))
    printed = [number(PRINTED.get(metric), 2) for metric in HEADLINE]
    rows.append(("printed", "", *printed))
    dropped = ", ".join(drawn["dropped"]) or "none"
    return Table(
        caption="The same honest forecasts on all objects (spread over folds) and on samples drawn without "
        f"replacement at the class frequencies of the paper's section 2 (spread over {drawn['n_draws']} "
        "draws; the classifiers were not trained for these frequencies). Classes that would get fewer "
        f"than three objects are dropped, as there: {dropped}.",
        columns=("objects", "n", *(metric.replace("_", " ") for metric in HEADLINE)),
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
        "the day of the peak is counted from the explosion in the rest frame.",
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
