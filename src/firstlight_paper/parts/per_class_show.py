"""How the results by class are told: tables, paragraphs computed from the numbers, figures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from firstlight.report.plots import confusion_matrix
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.parts.per_class_pattern import PRINTED_SHARE, ROUNDING
from firstlight_paper.parts.per_class_plots import (
    anatomy_figure,
    auc_figure,
    class_figure,
    pattern_figure,
    roc_figure,
)
from firstlight_paper.section import Block, Picture, Section, Table, number, plus_minus

__all__ = ["leakage_sentences", "show"]

Result = Mapping[str, Any]

COLUMNS = ("printed", "its protocol (leaks)", "honest, the paper's design", "honest, ours")
_METRICS = {
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "auc": "AUC, one class against the rest",
}
_HEADLINE = {
    "accuracy": "accuracy",
    "macro_precision": "precision, mean of classes",
    "macro_recall": "recall, mean of classes",
    "macro_f1": "F1, mean of classes",
    "macro_auc": "AUC, mean of classes",
    "log_loss": "log-loss",
}


def show(result: Result) -> Section:
    """Draw the part from its JSON."""
    blocks: list[Block] = [
        result["protocol"],
        _headline(result),
        leakage_sentences(result),
        Picture(
            name="per-class-scores",
            figure=class_figure(result),
            caption="The paper's Figure 4: precision, recall and F1 of each class, from the most to the "
            "least frequent. Bars: objects split first, with the standard deviation over folds; crosses: "
            "its protocol, which leaks; open diamonds: printed. Shaded: simulated classes.",
        ),
        *(_by_class(result, metric) for metric in _METRICS),
        *_confusions(result),
        Picture(
            name="per-class-roc",
            figure=roc_figure(result),
            caption="The paper's Figure 6: ROC curves, pooled over classes (micro) and averaged over them "
            "(macro); bands: standard deviation over folds or splits. Right: false positive rate "
            "logarithmic.",
        ),
        Picture(
            name="per-class-auc",
            figure=auc_figure(result),
            caption="AUC of each class against the rest, with the standard deviation over folds or splits. "
            "The paper prints no AUC by class; the dotted line is its average.",
        ),
        *_pattern(result),
        *_anatomy(result),
    ]
    return Section(title="Results by class (section 6, Figures 4 to 6)", blocks=tuple(blocks))


def leakage_sentences(result: Result) -> str:
    """What the leak is worth, in two sentences.

    Parameters
    ----------
    result : mapping
        The part's JSON.

    Returns
    -------
    str
        The paper's design under its protocol and under a split by object; our own beside it.
    """
    leak, design, ours = (
        table["sixteen"] for table in (result["leak"], result["honest"]["design"], result["honest"]["ours"])
    )
    gap, printed = result["gap"], result["printed"]
    shared = next(row for row in result["anatomy"] if row["arm"] == "leak")["shared"]["mean"]
    return (
        f"Where classes are balanced by copies before the rows are split, {_percent(shared)} of the test "
        f"rows are of objects that were trained on, and the paper's design reaches accuracy "
        f"{_said(leak['accuracy'])} and macro F1 {_said(leak['macro_f1'])} (printed: "
        f"{printed['accuracy']:.2f} and {printed['macro_f1']:.2f}). With objects split first the same design "
        f"reaches {_said(design['accuracy'])} and {_said(design['macro_f1'])}, so {gap['accuracy']:.2f} of "
        f"the accuracy and {gap['macro_f1']:.2f} of the F1 come with the protocol, and ours reaches "
        f"{_said(ours['accuracy'])} and {_said(ours['macro_f1'])} on unseen objects (macro AUC "
        f"{_said(ours['macro_auc'])})."
    )


# --- tables ---------------------------------------------------------------------


def _tables(result: Result) -> tuple[Result, Result, Result]:
    return result["leak"], result["honest"]["design"], result["honest"]["ours"]


def _headline(result: Result) -> Table:
    tables = _tables(result)
    rows = []
    for which, title in (("sixteen", "sixteen classes"), ("real", "thirteen real classes")):
        for metric, name in _HEADLINE.items():
            printed = result["printed"].get(metric) if which == "sixteen" else None
            cells = [plus_minus(table[which][metric]) for table in tables]
            rows.append((f"{name}, {title}", number(printed, 2), *cells))
        counts = [f"{table[which]['n_objects']:,}" for table in tables]
        rows.append((f"rows tested, {title}", "-", *counts))
    return Table(
        caption="The headline of section 6. Standard deviation over folds (honest) or over splits (its "
        "protocol). Rows of its protocol are copies for the most part, and its test set is balanced.",
        columns=("", *COLUMNS),
        rows=tuple(rows),
    )


def _by_class(result: Result, metric: str) -> Table:
    tables, macro = _tables(result), f"macro_{metric}"
    rows = []
    for name in _by_frequency(result):
        printed = result["printed"]["per_class"].get(name, {}).get(metric)
        cells = [plus_minus(table["sixteen"]["per_class"].get(name, {}).get(metric)) for table in tables]
        rows.append((_named(result, name), f"{result['n'][name]:,}", number(printed, 2), *cells))
    for which, title in (("sixteen", "mean of sixteen classes"), ("real", "mean of thirteen real classes")):
        printed = result["printed"][macro] if which == "sixteen" else _printed_real(result, metric)
        total = tables[1][which]["n_objects"]
        cells = [plus_minus(table[which][macro]) for table in tables]
        rows.append((title, f"{total:,}", number(printed, 2), *cells))
    return Table(
        caption=f"{_METRICS[metric]}, with the standard deviation over folds (honest) or over splits (its "
        "protocol). The row of real classes leaves simulated objects out of the test altogether; its printed "
        "value is the mean of the printed classes, which the paper does not state.",
        columns=("class", "objects", *COLUMNS),
        rows=tuple(rows),
    )


def _printed_real(result: Result, metric: str) -> float | None:
    """Mean of what the paper prints for the real classes; it prints no such row."""
    per_class = result["printed"]["per_class"]
    values = [
        row[metric] for name, row in per_class.items() if name not in result["simulated"] and metric in row
    ]
    return float(np.mean(values)) if values else None


def _by_frequency(result: Result) -> list[str]:
    return sorted(result["n"], key=lambda name: (-result["n"][name], name))


def _named(result: Result, name: str) -> str:
    return f"{name} (simulated)" if name in result["simulated"] else name


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _said(value: Mapping[str, Any]) -> str:
    """Three digits with a spread, for a sentence."""
    return plus_minus(value, 3)


# --- Figure 5 -------------------------------------------------------------------


def _confusions(result: Result) -> list[Block]:
    titles = (
        "its protocol, which leaks (rows are copies for the most part)",
        "objects split first, the paper's design",
        "objects split first, ours",
    )
    names = [_named(result, name) for name in PAPER_CLASSES]
    return [
        Picture(
            name=f"per-class-confusion-{key}",
            figure=confusion_matrix(np.array(table["sixteen"]["confusion"]), names),
            caption=f"The paper's Figure 5, {title}: where each true class went, summed over folds or "
            "splits.",
        )
        for key, title, table in zip(("leak", "design", "ours"), titles, _tables(result), strict=True)
    ]


# --- the pattern ----------------------------------------------------------------


def _pattern(result: Result) -> list[Block]:
    return [
        Picture(
            name="per-class-pattern",
            figure=pattern_figure(result),
            caption="Printed F1 of each class against F1 under its protocol, F1 on unseen objects (the "
            "paper's design, ours), and the rows that a balanced set has of each object.",
        ),
        _pattern_table(result),
        _correlations(result),
        _pattern_words(result),
        _implied(result),
        _implied_words(result),
    ]


def _pattern_table(result: Result) -> Table:
    pattern = result["pattern"]
    rows = [
        (
            _named(result, name),
            f"{result['n'][name]:,}",
            number(pattern["copies"].get(name), 1),
            number(pattern["shared"].get(name), 2),
            number(result["printed"]["per_class"].get(name, {}).get("f1"), 2),
            *(number(table["sixteen"]["per_class"][name]["f1"]["mean"]) for table in _tables(result)),
        )
        for name in _by_frequency(result)
    ]
    return Table(
        caption="F1 beside the copying: rows per object in the balanced set, and the share of each class's "
        "test rows, under its protocol, whose object was trained on too.",
        columns=("class", "objects", "rows per object", "shared", *(f"F1 {name}" for name in COLUMNS)),
        rows=tuple(rows),
    )


_WHO = {
    "leak": "F1, its protocol (leaks)",
    "design": "F1, honest, the paper's design",
    "ours": "F1, honest, ours",
    "copies": "rows per object (log)",
}


def _correlations(result: Result) -> Table:
    rows = []
    for who, title in _WHO.items():
        cells: list[str] = []
        for which in ("all", "extragalactic"):
            found = result["pattern"]["correlation"][who][which]
            interval = "-" if found["rho"] is None else f"{found['low']:.2f} to {found['high']:.2f}"
            cells += [number(found["rho"], 2), interval, number(found["p"], 4)]
        rows.append((title, *cells))
    found = result["pattern"]["correlation"]["leak"]
    return Table(
        caption="Spearman's rank correlation of the printed F1 with each, over the classes; 95 % interval by "
        "resampling classes, two-sided p by permuting them.",
        columns=(
            "printed F1 against",
            f"all {found['all']['n']} classes",
            "95 %",
            "p",
            f"{found['extragalactic']['n']} extragalactic",
            "95 %",
            "p",
        ),
        rows=tuple(rows),
    )


def _pattern_words(result: Result) -> str:
    pattern = result["pattern"]
    rho = {who: pattern["correlation"][who]["all"]["rho"] for who in _WHO}
    lowest, difference = pattern["lowest"], pattern["leak_minus_design"]
    matches = [title for who, title in _LOW.items() if lowest[who] == lowest["printed"]]
    misses = [f"{title}: {' and '.join(lowest[who])}" for who, title in _LOW.items() if title not in matches]
    share = difference["share_not_positive"]
    apart = share is not None and share < 0.025
    common = max(result["n"], key=lambda name: result["n"][name])
    low = " and ".join(lowest["printed"])
    copied = " and ".join(f"{pattern['copies'][name]:.1f}" for name in lowest["printed"])
    return (
        f"What the pattern shows. The two lowest printed F1 are those of {low}, the classes of which a "
        f"balanced set has {copied} rows per object ({common}, the largest, gets no copy at all). "
        + (
            f"The same two are lowest under {' and '.join(matches)}. "
            if matches
            else "They are lowest nowhere else. "
        )
        + (f"Elsewhere others are lowest ({'; '.join(misses)}). " if misses else "")
        + f"Hit by chance, a given pair has one chance in {1 / pattern['chance_of_lowest']:.0f}. Over all "
        f"classes the printed F1 correlates with F1 under the leaking protocol at {number(rho['leak'], 2)}, "
        f"with honest F1 at {number(rho['design'], 2)} (the paper's design) and {number(rho['ours'], 2)} "
        f"(ours), with the rows per object at {number(rho['copies'], 2)}. The first exceeds the second by "
        f"{number(difference['difference'], 2)} (95 % of resamplings: {number(difference['low'], 2)} "
        f"to {number(difference['high'], 2)}), "
        + (
            "more than the resampling of classes explains. "
            if apart
            else "which sixteen classes cannot tell from chance. "
        )
        + _auc_words(result)
        + "What it does not prove: sixteen classes are few, rare classes are also those that look least like "
        "the common supernovae, and the paper does not state how its rows were split. A likeness of patterns "
        "is evidence about a protocol, not a record of it."
    )


def _auc_words(result: Result) -> str:
    """The one printed average that is set beside the others without resembling the leak's."""
    printed = result["printed"]["macro_auc"]
    leak, design, ours = (table["sixteen"]["macro_auc"]["mean"] for table in _tables(result))
    words = (
        f"The printed mean AUC, {printed:.2f}, stands beside {leak:.3f} under the leaking protocol, "
        f"{design:.3f} (the paper's design) and {ours:.3f} (ours) on unseen objects"
    )
    return words + (
        ". " if abs(leak - printed) < 0.02 else "; the leak as built here does not give that number. "
    )


_LOW = {
    "leak": "its protocol",
    "design": "the honest split of the paper's design",
    "ours": "the honest split of ours",
}


def _implied(result: Result) -> Table:
    implied = result["pattern"]["implied"]
    titles = {
        "balanced": "all classes alike",
        "objects": "as in the objects of this page",
        "section_2": "as in the paper's section 2",
    }
    rows = [
        (title, number(implied[key]["accuracy"]), number(implied[key]["predicted"]))
        for key, title in titles.items()
    ]
    return Table(
        caption="What the printed recalls and precisions imply for each composition of the tested rows. "
        "Accuracy is the sum of frequency times recall; the predicted shares, frequency times recall over "
        "precision, must sum to 1. The paper prints accuracy 0.89.",
        columns=("frequencies of the tested classes", "implied accuracy", "sum of predicted shares"),
        rows=(*rows, ("printed", number(implied["printed"], 2), "-")),
    )


def _implied_words(result: Result) -> str:
    implied = result["pattern"]["implied"]
    return (
        "The printed figures by themselves say more. The printed recalls give the printed accuracy, "
        f"{implied['printed']:.2f}, if all classes are tested alike ({implied['balanced']['accuracy']:.3f}). "
        "With the frequencies of section 2, over half SNIa and about a fourth SNII, the same recalls allow "
        f"{implied['section_2_most']:.2f} at most, and with those of the objects of this page "
        f"{implied['objects']['accuracy']:.2f}. Whatever the other classes' shares, SNIa and SNII together "
        f"can have been {_percent(implied['common_most'])} of the tested rows at most (all figures as "
        "rounded), not three in four. So the tested rows had been balanced, in full or for the most part, or "
        "else what is printed as accuracy is the mean of the classes' recalls. The sums of predicted shares "
        "need no accuracy: with the frequencies of section 2 they reach "
        f"{_most_predicted(result):.2f} at most (figures as rounded, the other classes as favourable as may "
        "be), not 1, which also speaks for balanced rows. Oversampling is the means of balance that the "
        "paper tells of. A test set drawn from oversampled rows looks like that; so does one that was "
        "balanced on its own after a split by object, which shares nothing."
    )


def _most_predicted(result: Result) -> float:
    """Highest sum of predicted shares that the printed figures leave to the frequencies of section 2."""
    ratio = {
        name: (row["recall"] + ROUNDING) / (row["precision"] - ROUNDING)
        for name, row in result["printed"]["per_class"].items()
    }
    others = max(value for name, value in ratio.items() if name not in PRINTED_SHARE)
    known = sum(share * ratio[name] for name, share in PRINTED_SHARE.items())
    return float(known + (1.0 - sum(PRINTED_SHARE.values())) * others)


# --- the anatomy ----------------------------------------------------------------


def _anatomy(result: Result) -> list[Block]:
    return [
        _anatomy_table(result),
        Picture(
            name="per-class-anatomy",
            figure=anatomy_figure(result),
            caption="Accuracy and macro F1 of the same latents and the same booster for five ways to deal "
            "rows, and of the nearest neighbour, which only remembers. Points: single repeats.",
        ),
        _anatomy_words(result),
    ]


def _anatomy_table(result: Result) -> Table:
    rows = [
        (
            row["title"],
            f"{row['n_train']:,} / {row['n_test']:,}",
            number(row["shared"]["mean"], 2),
            *(plus_minus(row["booster"]["sixteen"][metric]) for metric in ("accuracy", "macro_f1")),
            *(plus_minus(row["booster"]["real"][metric]) for metric in ("accuracy", "macro_f1")),
            *(plus_minus(row["nearest"]["sixteen"][metric]) for metric in ("accuracy", "macro_f1")),
        )
        for row in result["anatomy"]
    ]
    repeats = ", ".join(f"{row['arm']}: {row['n_repeats']}" for row in result["anatomy"])
    return Table(
        caption="Anatomy of the leak. One booster without class weights, the same latents; spread over "
        f"repeats ({repeats}). The fourth row has the class balance of the fifth on both sides and shares no "
        "object.",
        columns=(
            "rows",
            "trained / tested",
            "shared",
            "accuracy",
            "macro F1",
            "accuracy, 13 real",
            "macro F1, 13 real",
            "nearest neighbour: accuracy",
            "macro F1",
        ),
        rows=tuple(rows),
    )


def _anatomy_words(result: Result) -> str:
    arm = {row["arm"]: row for row in result["anatomy"]}
    accuracy = {name: row["booster"]["sixteen"]["accuracy"]["mean"] for name, row in arm.items()}
    f1 = {name: row["booster"]["sixteen"]["macro_f1"]["mean"] for name, row in arm.items()}
    near, far = (arm[name]["nearest"] for name in ("leak", "either"))
    shared = result["pattern"]["shared"]
    copied = [name for name in shared if shared[name] > 0.9]
    recall = float(np.mean([near["recall"][name] for name in copied])) if copied else float("nan")
    apart = float(np.mean([far["recall"][name] for name in copied])) if copied else float("nan")
    return (
        f"Without copies a row is an object, so that splitting objects or rows is the same (accuracy "
        f"{accuracy['objects']:.3f} and {accuracy['rows']:.3f}; in the second some test objects are among "
        "those that the autoencoder saw, without labels). Copies among training "
        f"rows alone change accuracy to {accuracy['training']:.3f} and macro F1 from {f1['objects']:.3f} to "
        f"{f1['training']:.3f}. A balanced test set by itself, with no object on both sides, gives "
        f"{accuracy['either']:.3f} and {f1['either']:.3f}; the same balance with the split made after the "
        f"copies gives {accuracy['leak']:.3f} and {f1['leak']:.3f}. Between these two the sharing of "
        "objects differs, and little else: it is worth "
        f"{accuracy['leak'] - accuracy['either']:.3f} of accuracy and "
        f"{f1['leak'] - f1['either']:.3f} of macro F1. A nearest neighbour, which learns nothing and only "
        f"remembers, has mean recall {recall:.3f} on the {len(copied)} classes of which more than 90 % of "
        f"the test rows are of objects trained on, and {apart:.3f} on the same classes when no object is "
        f"shared; under the leaking protocol its accuracy is {near['sixteen']['accuracy']['mean']:.3f}, by "
        "which that protocol rewards memory."
    )
