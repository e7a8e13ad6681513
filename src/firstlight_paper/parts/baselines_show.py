"""What the baselines' section shows, from its JSON alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from firstlight.report.style import ACCENT, FAINT, INK, MAIN, THIRD, new_figure, styled
from firstlight_paper.parts.matrices import normalised_matrices
from firstlight_paper.section import Block, Picture, Section, Table, number, plus_minus

__all__ = ["show"]

Result = Mapping[str, Any]

NAMES = {
    "boosting": "gradient boosting",
    "logistic": "logistic regression",
    "svm": "SVM (RBF)",
    "forest": "random forest",
    "convnet": "convolutional network",
}
READS = {"latents": "six latents", "inputs": "our inputs", "light curves": "light curves"}
_COLOUR = {"latents": MAIN, "light curves": INK, "inputs": THIRD}
_MARKER = {"latents": "o", "light curves": "^", "inputs": "s"}
_METRICS = (("accuracy", "accuracy"), ("macro_f1", "macro F1"), ("macro_auc", "macro AUC"))


def show(result: Result) -> Section:
    """Tables of scores, differences and times; the comparison and the three best confusion matrices."""
    blocks: list[Block] = [
        result["protocol"],
        _scores_table(result),
        _scores_picture(result),
        *_sentences(result),
        _claims_table(result),
        _matrices(result),
        _times_table(result),
    ]
    return Section(title="Baselines on the same folds and inputs", blocks=tuple(blocks))


def label(row: Mapping[str, Any], preset: str = "default") -> str:
    """What a row is called: the classifier, and what it reads."""
    if row["method"] == "default":
        return f"preset {preset}"
    name = NAMES[row["method"]]
    return f"{name}, {READS[row['inputs']]}"


def _in_paper(row: Mapping[str, Any]) -> bool:
    """Whether the paper compares itself with this classifier; it says nothing of our inputs."""
    return row["method"] in ("svm", "forest", "convnet") and row["inputs"] != "inputs"


# --- tables ---------------------------------------------------------------------


def _scores_table(result: Result) -> Table:
    low, high = result["printed"]["baseline_auc"]
    rows = []
    for k, row in enumerate(result["rows"]):
        printed = row["macro_auc"]["printed"]
        name = label(row, result["preset"]) + (" (the paper's design)" if k == 0 else "")
        rows.append(
            (
                name,
                f"{low} to {high}" if _in_paper(row) else number(printed, 2),
                number(row["macro_auc"]["leak"]),
                plus_minus(row["macro_auc"]["honest"]),
                plus_minus(row["macro_auc"]["real"]),
                number(row["macro_f1"]["leak"]),
                plus_minus(row["macro_f1"]["honest"]),
                number(row["accuracy"]["leak"]),
                plus_minus(row["accuracy"]["honest"]),
                "-" if k == 0 else plus_minus(row["against_paper"]["macro_f1"]),
            )
        )
    return Table(
        caption=(
            f"Baselines over {result['n_folds']} folds of {result['n_objects']:,} objects (mean ± standard "
            "deviation over folds). The paper prints a range of AUC for its baselines, which it says are "
            "those of the challenge; it does not tell what they were trained on. Last column: paired "
            "difference over folds."
        ),
        columns=(
            "classifier, what it reads",
            "AUC printed",
            "AUC its protocol",
            "AUC honest",
            f"AUC of the {result['n_real']:,} real objects",
            "F1 its protocol",
            "F1 honest",
            "accuracy its protocol",
            "accuracy honest",
            "F1 minus the paper's design",
        ),
        rows=tuple(rows),
    )


def _claims_table(result: Result) -> Table:
    """The paper's claims on common and rare classes, in precision and recall."""
    rows = [
        (
            label(row, result["preset"]),
            plus_minus(row["common"]["precision"]),
            plus_minus(row["common"]["recall"]),
            plus_minus(row["rare"]["precision"]),
            plus_minus(row["rare"]["recall"]),
            plus_minus(row["macro_precision"]["honest"]),
            plus_minus(row["macro_recall"]["honest"]),
        )
        for row in result["rows"]
    ]
    common, rare = ", ".join(result["common"]), " and ".join(result["rare"])
    return Table(
        caption=(
            f"Precision and recall, honest: means over common classes ({common}), over the paper's examples "
            f"of rare ones ({rare}) and over all. The paper prints a lead over its baselines of 5 to 10 % "
            "in common classes and of 10 to 15 % in rare ones."
        ),
        columns=(
            "classifier, what it reads",
            "common: precision",
            "common: recall",
            "rare: precision",
            "rare: recall",
            "all: precision",
            "all: recall",
        ),
        rows=tuple(rows),
    )


def _times_table(result: Result) -> Table:
    rows = tuple(
        (label(row, result["preset"]), plus_minus(row["fit_seconds"], 1), plus_minus(row["predict_us"], 0))
        for row in result["rows"]
    )
    return Table(
        caption=(
            "Processor time of one thread: to fit one fold, and to classify one object in a batch. Latents "
            "and our inputs are taken as made, light curves as binned; the preset is timed from raw light "
            "curve to calibrated class, and its fit is part of another stage."
        ),
        columns=("classifier, what it reads", "fit [s]", "predict [µs an object]"),
        rows=rows,
    )


# --- sentences ------------------------------------------------------------------


def _sentences(result: Result) -> list[str]:
    rows = result["rows"]
    paper = rows[0]
    on_latents = [row for row in rows[1:] if row["inputs"] == "latents"]
    convnet = next(row for row in rows if row["method"] == "convnet")
    ours = next(row for row in rows if row["method"] == "default")
    leak = paper["macro_auc"]["leak"], paper["macro_f1"]["leak"], paper["accuracy"]["leak"]
    low, high = result["printed"]["baseline_auc"]
    printed = paper["macro_auc"]["printed"]
    first = (
        f"The paper prints a lead of {printed - high:.2f} to {printed - low:.2f} in AUC over its baselines. "
        "Here each is compared with the paper's boosting fold by fold; a positive difference is one in the "
        f"baseline's favour. On the same six latents: {'; '.join(_compared(row) for row in on_latents)}. "
        f"On the light curves themselves: {_compared(convnet)}. The preset: {_compared(ours)}."
    )
    second = (
        f"By its own protocol the paper's design has AUC {number(leak[0])}, macro F1 {number(leak[1])} and "
        f"accuracy {number(leak[2])}; honest are {plus_minus(paper['macro_auc']['honest'])}, "
        f"{plus_minus(paper['macro_f1']['honest'])} and {plus_minus(paper['accuracy']['honest'])}. "
        f"{_two_orders(rows)}"
    )
    return [first, second, _claims(rows)]


def _compared(row: Mapping[str, Any]) -> str:
    """A row's differences to the paper's design, and whether all folds agree on the sign."""
    parts = []
    for metric, name in (("macro_auc", "AUC"), ("macro_f1", "macro F1")):
        value = row["against_paper"][metric]
        signs = {bool(difference > 0.0) for difference in value["folds"]}
        agree = "ahead in every fold" if signs == {True} else "behind in every fold"
        parts.append(
            f"{plus_minus(value)} in {name} ({agree if len(signs) == 1 else 'not alike in all folds'})"
        )
    name = NAMES.get(row["method"], "")
    return f"{name} {' and '.join(parts)}".strip()


def _two_orders(rows: Sequence[Mapping[str, Any]]) -> str:
    """The classifiers that were run by both protocols, in the order of either."""
    both = [row for row in rows if row["macro_f1"]["leak"] is not None]

    def ordered(value: Callable[[Mapping[str, Any]], float]) -> str:
        best_first = sorted(both, key=value, reverse=True)
        return ", ".join(f"{NAMES[row['method']]} ({value(row):.3f})" for row in best_first)

    return (
        "In order of macro F1 by that protocol (one run each): "
        f"{ordered(lambda row: float(row['macro_f1']['leak']))}; on unseen objects: "
        f"{ordered(lambda row: float(row['macro_f1']['honest']['mean']))}."
    )


def _claims(rows: Sequence[Mapping[str, Any]]) -> str:
    """By how much the paper's design leads the baselines that the paper names, in the paper's terms."""
    paper = rows[0]
    named = [row for row in rows if _in_paper(row)]

    def leads(group: str) -> str:
        found = [
            paper[group][metric]["mean"] - row[group][metric]["mean"]
            for row in named
            for metric in ("precision", "recall")
        ]
        return f"from {min(found):+.3f} to {max(found):+.3f}"

    return (
        "Measured on unseen objects, the lead of the paper's design over SVM and random forest on its "
        f"latents and the convolutional network lies {leads('common')} in the precision and recall of the "
        f"common classes, and {leads('rare')} in those of the rare ones (differences of means over folds; "
        "the paper prints leads of 0.05 to 0.10 and of 0.10 to 0.15)."
    )


# --- pictures -------------------------------------------------------------------


def _matrices(result: Result) -> Picture:
    titles = [_wrapped(label(one, result["preset"])) for one in result["confusions"]]
    matrices = [one["matrix"] for one in result["confusions"]]
    return Picture(
        name="baselines-confusion",
        figure=normalised_matrices(matrices, titles, result["classes"], 3),
        caption=(
            "In place of the paper's Figure 7, which shows others' submissions to the challenge: confusion "
            "matrices of the three with the best macro F1, over the test objects of all folds, rows "
            "normalised; numbers are recall in percent."
        ),
    )


def _scores_picture(result: Result) -> Picture:
    return Picture(
        name="baselines",
        figure=_compare(result["rows"], result["printed"], result["preset"]),
        caption=(
            "Accuracy, macro F1 and macro AUC of every baseline: honest mean and standard deviation over "
            "folds (filled), the paper's protocol, which leaks (crosses), and what it prints (open)."
        ),
    )


@styled
def _compare(rows: Sequence[Mapping[str, Any]], printed: Mapping[str, Any], preset: str) -> Figure:
    figure = new_figure(0.29 * len(rows) + 1.25)
    panels = figure.subplots(1, len(_METRICS), sharey=True)
    where = np.arange(len(rows))[::-1].astype(np.float64)
    for panel, (metric, title) in zip(panels, _METRICS, strict=True):
        for y, row in zip(where, rows, strict=True):
            _dots(panel, y, row, metric, printed)
        for edge in where[:-1] - 0.5:
            panel.axhline(edge, color="#EEEEEE", lw=0.7, zorder=0)
        panel.set_xlabel(title)
        panel.grid(axis="x")
        panel.set_ylim(-0.7, len(rows) - 0.3)
        panel.set_xlim(right=1.01)
    panels[0].set_yticks(where, [label(row, preset) for row in rows])
    for panel in panels:
        panel.tick_params(axis="y", length=0)
    handles = [
        *(
            Line2D([], [], ls="none", marker=_MARKER[name], color=_COLOUR[name], label=f"honest, {reads}")
            for name, reads in READS.items()
        ),
        Line2D([], [], ls="none", marker="x", color=ACCENT, mew=1.6, label="its protocol (leaks)"),
        Line2D([], [], ls="none", marker="D", mfc="white", color=INK, label="printed"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), columnspacing=1.2)
    return figure


def _dots(panel: Axes, y: float, row: Mapping[str, Any], metric: str, printed: Mapping[str, Any]) -> None:
    """One row of one panel."""
    honest = row[metric]["honest"]
    panel.errorbar(
        honest["mean"],
        y,
        xerr=honest["std"] or 0.0,
        fmt=_MARKER[row["inputs"]],
        color=_COLOUR[row["inputs"]],
        elinewidth=1.2,
        capsize=2,
        zorder=3,
    )
    if row[metric]["leak"] is not None:
        panel.plot(row[metric]["leak"], y, marker="x", color=ACCENT, mew=1.6, ls="none", zorder=4)
        panel.plot([honest["mean"], row[metric]["leak"]], [y, y], color=FAINT, lw=0.8, ls=":", zorder=1)
    if row[metric]["printed"] is not None:
        panel.plot(row[metric]["printed"], y, marker="D", mfc="white", color=INK, ls="none", zorder=5)
    if metric == "macro_auc" and _in_paper(row):
        panel.plot(
            printed["baseline_auc"],
            [y + 0.22] * 2,
            marker="D",
            mfc="white",
            color=INK,
            lw=0.8,
            ms=3.5,
            zorder=2,
        )


def _wrapped(text: str) -> str:
    """A title in two lines if it has two parts."""
    return text.replace(", ", ",\n")
