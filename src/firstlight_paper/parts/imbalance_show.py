"""What the section on class imbalance shows, from its JSON alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from firstlight.report.style import ACCENT, FAINT, INK, MAIN, THIRD, new_figure, styled
from firstlight_paper.parts.matrices import normalised_matrices
from firstlight_paper.section import Block, Picture, Section, Table, number, plus_minus

__all__ = ["show"]

Result = Mapping[str, Any]

LEARNERS = {"boosting": "the paper's boosting on six latents", "lightgbm": "LightGBM on our inputs"}
HELP_NAMES = {"none": "no help", "weights": "class weights", "copies": "oversampling", "both": "both"}
_LOOK = {"none": (INK, "o"), "weights": (MAIN, "s"), "copies": (THIRD, "^"), "both": (ACCENT, "D")}


def show(result: Result) -> Section:
    """Rare classes' recall against false positives, class by class, and what copies before the split do."""
    blocks: list[Block] = [
        result["protocol"],
        _summary_table(result),
        *_sentences(result),
        _trade_picture(result),
        _frequencies_table(result),
        _matrices(result),
        *(_class_table(result, learner) for learner in LEARNERS),
        _leak_sentence(result),
        _leak_picture(result),
        _leak_table(result),
    ]
    return Section(title="Class imbalance: weights, copies, both", blocks=tuple(blocks))


# --- tables ---------------------------------------------------------------------


def _summary_table(result: Result) -> Table:
    rows = []
    for learner, title in LEARNERS.items():
        for name, one in result["learners"][learner].items():
            rows.append(
                (
                    f"{title}: {HELP_NAMES[name]}",
                    plus_minus(one["rare"]["recall"]),
                    plus_minus(one["rare"]["precision"]),
                    plus_minus(one["rare"]["false_per_1000"], 1),
                    plus_minus(one["sixteen"]["accuracy"]),
                    plus_minus(one["sixteen"]["macro_f1"]),
                    plus_minus(one["real"]["macro_f1"]),
                    plus_minus(one["sixteen"]["macro_auc"]),
                )
            )
    leak = result["leak"]
    last = ("the paper's boosting: its protocol (leaks)", "-", "-", "-", number(leak["accuracy"]))
    rows.append((*last, number(leak["macro_f1"]), "-", number(leak["macro_auc"])))
    printed = result["printed"]
    last = ("printed", "-", "-", "-", number(printed["accuracy"], 2))
    rows.append((*last, number(printed["macro_f1"], 2), "-", number(printed["macro_auc"], 2)))
    return Table(
        caption=(
            f"Help for rare classes ({', '.join(result['rare'])}), honest, mean ± standard deviation over "
            f"{result['n_folds']['boosting']} folds ({result['n_folds']['lightgbm']} for LightGBM): mean "
            "recall and precision of the rare classes, and objects of other classes called by their names, "
            "in 1,000 objects."
        ),
        columns=(
            "learner: help",
            "rare: recall",
            "rare: precision",
            "rare: false positives [per 1,000]",
            "accuracy",
            "macro F1",
            f"macro F1 of the {result['n_real']:,} real objects",
            "macro AUC",
        ),
        rows=tuple(rows),
    )


def _frequencies_table(result: Result) -> Table:
    rows = []
    for name, one in result["learners"]["boosting"].items():
        at = one["at_paper_frequencies"]
        rows.append(
            (
                HELP_NAMES[name],
                plus_minus(at["accuracy"]),
                plus_minus(at["recall"]),
                plus_minus(at["precision"]),
                plus_minus(at["false_per_1000"], 1),
            )
        )
    return Table(
        caption=(
            "The same forecasts of the paper's boosting, every class weighted to the frequency that the "
            "paper's section 2 states (bounds taken as numbers; EB, M-dwarf and RRL, of which it states "
            "none, share what is left): recall stays, precision is that among so many SNIa and SNII."
        ),
        columns=(
            "help",
            "accuracy",
            "rare: recall",
            "rare: precision",
            "rare: false positives [per 1,000]",
        ),
        rows=tuple(rows),
    )


def _class_table(result: Result, learner: str) -> Table:
    helps = result["learners"][learner]
    rows = []
    for name in sorted(result["classes"], key=lambda name: result["classes"][name]["n"]):
        cells = [name + (" (rare)" if name in result["rare"] else ""), f"{result['classes'][name]['n']:,}"]
        cells += [number(one["per_class"][name]["recall"]["mean"], 2) for one in helps.values()]
        cells += [number(one["per_class"][name]["false_per_1000"]["mean"], 1) for one in helps.values()]
        rows.append(tuple(cells))
    return Table(
        caption=(
            f"Class by class, {LEARNERS[learner]}, honest mean over {result['n_folds'][learner]} folds: "
            "recall, and false positives in 1,000 objects."
        ),
        columns=(
            "class",
            "objects",
            *(f"recall, {HELP_NAMES[name]}" for name in helps),
            *(f"false per 1,000, {HELP_NAMES[name]}" for name in helps),
        ),
        rows=tuple(rows),
    )


def _leak_table(result: Result) -> Table:
    names = sorted(result["classes"], key=lambda name: result["classes"][name]["copies"])
    rows = tuple(
        (
            name,
            f"{result['classes'][name]['n']:,}",
            number(result["classes"][name]["copies"], 1),
            number(result["classes"][name]["f1"]["printed"], 2),
            number(result["classes"][name]["f1"]["leak"], 2),
            plus_minus(result["classes"][name]["f1"]["honest"], 2),
        )
        for name in names
    )
    return Table(
        caption=(
            "F1 of each class, from the least to the most copied: printed, by the paper's protocol, and "
            "honest (copies of training objects only; mean ± standard deviation over "
            f"{result['n_folds']['boosting']} folds)."
        ),
        columns=("class", "objects", "times each object is there", "printed", "its protocol", "honest"),
        rows=rows,
    )


# --- sentences ------------------------------------------------------------------


def _sentences(result: Result) -> list[str]:
    sentences = [
        "The paper reports that oversampling and class weights improved recall of rare classes at the price "
        "of a slight increase in false positives."
    ]
    for learner, title in LEARNERS.items():
        parts = []
        for name in ("weights", "copies", "both"):
            change = result["learners"][learner][name]["against_none"]
            parts.append(
                f"{HELP_NAMES[name]} {plus_minus(change['recall'])} in recall and "
                f"{plus_minus(change['false_per_1000'], 0)} false positives in 1,000 objects (accuracy "
                f"{plus_minus(change['accuracy'])}, macro F1 {plus_minus(change['macro_f1'])})"
            )
        start = result["learners"][learner]["none"]["rare"]
        sentences.append(
            f"Paired differences to no help (recall {plus_minus(start['recall'])}, "
            f"{plus_minus(start['false_per_1000'], 0)} false positives), {title}: {'; '.join(parts)}."
        )
    return sentences


def _leak_sentence(result: Result) -> str:
    rank = result["rank_correlation"]
    names = sorted(result["classes"], key=lambda name: result["classes"][name]["copies"])[:2]
    printed = sorted(result["classes"], key=lambda name: result["classes"][name]["f1"]["printed"])[:2]
    shared = (
        "which are also the two that the paper prints lowest"
        if set(names) == set(printed)
        else f"while the paper prints {' and '.join(printed)} lowest"
    )
    next_two = [
        f"{name} (printed F1 {number(result['classes'][name]['f1']['printed'], 2)}, honest "
        f"{number(result['classes'][name]['f1']['honest']['mean'], 2)})"
        for name in sorted(result["classes"], key=lambda name: result["classes"][name]["copies"])[2:4]
    ]
    return (
        f"Oversampling before the split copies every object of a class until it is as large as the largest. "
        f"The two classes that are copied least are {' and '.join(names)}, {shared}. Over all "
        f"{len(result['classes'])} classes, the printed F1 has rank correlation (Spearman's) "
        f"{number(rank['printed_copies'], 2)} with the number of copies, "
        f"{number(rank['printed_leak'], 2)} with F1 measured by that protocol and "
        f"{number(rank['printed_honest'], 2)} with honest F1; what so few classes can tell is in the section "
        "on results by class. "
        f"In the leaky run {100 * result['leak']['shared']:.0f} % of the test rows were of objects "
        f"that it had trained on. The next in copies are {' and '.join(next_two)}: copies are not all that "
        "the printed order follows."
    )


# --- pictures -------------------------------------------------------------------


def _matrices(result: Result) -> Picture:
    helps = result["learners"]["boosting"]
    return Picture(
        name="imbalance-confusion",
        figure=normalised_matrices(
            [one["confusion"] for one in helps.values()],
            [HELP_NAMES[name] for name in helps],
            _class_names(result),
            2,
        ),
        caption=(
            "Confusion matrices of the paper's boosting on six latents with each kind of help, over the test "
            "objects of all folds, rows normalised; numbers are recall in percent."
        ),
    )


def _class_names(result: Result) -> list[str]:
    return list(result["learners"]["boosting"]["none"]["per_class"])


def _trade_picture(result: Result) -> Picture:
    return Picture(
        name="imbalance",
        figure=_trade(result["learners"], result["n_folds"]),
        caption=(
            "Mean recall of the rare classes against false positives under their names: arrows lead from no "
            "help to each kind of help; bars are the standard deviation over folds."
        ),
    )


@styled
def _trade(learners: Mapping[str, Mapping[str, Any]], n_folds: Mapping[str, int]) -> Figure:
    figure = new_figure(3.5)
    for panel, (learner, title) in zip(figure.subplots(1, 2), LEARNERS.items(), strict=True):
        helps = learners[learner]
        start = [helps["none"]["rare"][metric]["mean"] for metric in ("false_per_1000", "recall")]
        for name, one in helps.items():
            colour, marker = _LOOK[name]
            x, y = one["rare"]["false_per_1000"], one["rare"]["recall"]
            if name != "none":
                panel.annotate(
                    "",
                    (x["mean"], y["mean"]),
                    start,
                    arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.0, "shrinkA": 4, "shrinkB": 5},
                    zorder=2,
                )
            panel.errorbar(
                x["mean"],
                y["mean"],
                xerr=x["std"] or 0.0,
                yerr=y["std"] or 0.0,
                fmt=marker,
                color=colour,
                elinewidth=0.9,
                capsize=2,
                label=HELP_NAMES[name],
                ms=6,
                zorder=3,
            )
        panel.set_title(f"{title}\n({n_folds[learner]} folds)", loc="left", fontsize=8.5)
        panel.set_xlabel("false positives as rare [per 1,000 objects]")
        panel.set_xlim(left=0.0)
        panel.grid()
    panels = figure.axes
    panels[0].set_ylabel("mean recall of rare classes")
    panels[0].legend(loc="lower right")
    return figure


def _leak_picture(result: Result) -> Picture:
    return Picture(
        name="imbalance-leak",
        figure=_copies(result["classes"], result["rank_correlation"]),
        caption=(
            "Left: F1 of each class against how often each of its objects is there once classes are balanced "
            "by copying: printed (open), by the paper's protocol (crosses) and honest (filled). Right: the "
            "printed F1 of each class against both."
        ),
    )


@styled
def _copies(classes: Mapping[str, Mapping[str, Any]], rank: Mapping[str, float]) -> Figure:
    figure = new_figure(4.1)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
    copies = np.array([one["copies"] for one in classes.values()])
    printed = np.array([one["f1"]["printed"] for one in classes.values()])
    leak = np.array([_nan(one["f1"]["leak"]) for one in classes.values()])
    honest = np.array([_nan(one["f1"]["honest"]["mean"]) for one in classes.values()])
    std = np.array([one["f1"]["honest"]["std"] or 0.0 for one in classes.values()])
    for x, low, high in zip(copies, honest, leak, strict=True):
        left.plot([x, x], [low, high], color=FAINT, lw=0.8, ls=":", zorder=1)
    bars = {"fmt": "o", "color": MAIN, "elinewidth": 1.0, "zorder": 3}
    cross = {"marker": "x", "color": ACCENT, "mew": 1.6, "ls": "none", "zorder": 4}
    left.errorbar(copies, honest, std, label="honest", **bars)
    left.plot(copies, leak, label="its protocol (leaks)", **cross)
    left.plot(copies, printed, "D", mfc="white", color=INK, label="printed", zorder=5)
    _name_classes(left, copies, printed, list(classes))
    left.set_xscale("log")
    ticks = [1, 2, 5, 10, 20, 50, 100]
    left.set_xticks([t for t in ticks if t <= 1.6 * copies.max()], minor=False)
    left.set_xticks([], minor=True)
    left.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    left.set_xlim(0.8, 2.2 * copies.max())
    left.set_xlabel("copies of each object after balancing")
    left.set_ylabel("F1 of the class")
    left.set_ylim(-0.03, 1.12)
    left.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, columnspacing=1.0, handletextpad=0.3)
    right.errorbar(
        printed, honest, std, label=f"honest: rank correlation {rank['printed_honest']:.2f}", **bars
    )
    right.plot(printed, leak, label=f"its protocol: {rank['printed_leak']:.2f}", **cross)
    right.plot([0, 1], [0, 1], color=INK, lw=0.8, ls=":")
    right.set_xlim(0.55, 1.02)
    right.set_ylim(-0.03, 1.12)
    right.set_xlabel("printed F1 of the class")
    right.set_ylabel("measured F1 of the class")
    right.legend(loc="lower left", bbox_to_anchor=(-0.1, 1.0), title_fontsize=8, handletextpad=0.3)
    for panel in (left, right):
        panel.grid()
    return figure


def _name_classes(
    panel: Axes, x: Sequence[float] | np.ndarray[Any, Any], y: np.ndarray[Any, Any], names: Sequence[str]
) -> None:
    """Name what stands out: the classes with the fewest copies and those printed lowest."""
    notable = set(np.argsort(x)[:4].tolist()) | set(np.argsort(y)[:5].tolist()) | {int(np.argmax(x))}
    named: list[int] = []
    for i in sorted(notable, key=lambda i: x[i]):
        crowded = any(abs(np.log(x[i] / x[j])) < 0.5 and abs(y[i] - y[j]) < 0.05 for j in named)
        shift = (5, -9) if crowded else (5, 4)
        panel.annotate(
            names[i], (x[i], y[i]), shift, textcoords="offset points", fontsize=7, color=INK, zorder=6
        )
        named.append(i)


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
