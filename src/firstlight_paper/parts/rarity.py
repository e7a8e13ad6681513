"""Limitation: imbalance. A class against the number of objects that it is learnt from.

Four classes are thinned together among the training objects of a fold; everything else, the
test objects too, stays. The inputs are ours without the template fits: templates are made
from the labels of all training objects of their class, those that are thinned away among
them. The booster is LightGBM, with class weights and without. Beside it the paper's
protocol: the few objects are copied until their class is as large as the largest, and only
then are rows dealt to training and test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight.classify import LightGBMBooster, LightGBMConfig, TrainingRows, to_all_classes
from firstlight.report.style import ACCENT, INK, MAIN, THIRD, new_figure, styled
from firstlight.splits import check_disjoint
from firstlight.taxonomy import CLASSES
from firstlight_paper.inputs import inputs_of, make_inputs
from firstlight_paper.leak import leaky_rows
from firstlight_paper.objects import Objects
from firstlight_paper.parts.limits import band, change, mean, tidy
from firstlight_paper.printed import PRINTED_F1
from firstlight_paper.scores import scored, spread
from firstlight_paper.section import Part, Picture, Section, Table, number, plus_minus
from firstlight_paper.shared import OURS, pipeline_of
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["PART", "THINNED", "thinned"]

STAGE = "rarity"

#: Rare classes of the real objects, which are thinned.
THINNED = ("TDE", "SLSN-I", "SNIbc", "SNIa-91bg")

#: Training objects that each of them keeps; None keeps all.
SIZES: tuple[int | None, ...] = (5, 10, 20, 40, 80, 160, None)
LEAKY_SIZES: tuple[int | None, ...] = (5, 20, 80, None)
_LEAKY_ROWS = 6000  # of the oversampled rows, to bound the cost

#: Beginning of the names of inputs that labels of the whole class went into.
_LEARNT_WITH_LABELS = "template_"

_BOOSTER = LightGBMConfig(rounds=60, learning_rate=0.1, leaves=15, feature_fraction=0.2, max_bin=63)
_METRICS = ("precision", "recall", "f1", "auc")


@dataclass(frozen=True)
class Thin:
    """One training set: a fold, how many objects the thinned classes keep, and how it is balanced.

    Attributes
    ----------
    fold : int
        Fold whose test objects are scored.
    size : int or None
        Training objects of each thinned class; None for all.
    weights : bool
        Whether classes are weighed alike in training.
    leaky : bool
        The paper's protocol: oversampled before the split.
    config : LightGBMConfig
        The booster.
    without : str
        Inputs whose names begin so are not read.
    """

    fold: int
    size: int | None
    weights: bool
    leaky: bool = False
    config: LightGBMConfig = _BOOSTER
    without: str = _LEARNT_WITH_LABELS


def thinned(
    labels: NDArray[np.str_], rows: NDArray[np.int64], size: int | None, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of which each thinned class keeps at most `size`, drawn at random.

    Parameters
    ----------
    labels : str array, shape (n_objects,)
        Class of every object.
    rows : int64 array
        Objects to choose from, by position.
    size : int or None
        How many of each class of `THINNED` to keep; None keeps all.
    rng : numpy.random.Generator
        Which. Of the same stream, a smaller set is part of a larger one.

    Returns
    -------
    int64 array
        Positions, ascending.
    """
    order = rng.permutation(rows)
    keep = [order[~np.isin(labels[order], THINNED)]]
    keep += [order[labels[order] == name][:size] for name in THINNED]
    return np.sort(np.concatenate(keep))


# --- measure --------------------------------------------------------------------


def measure(workshop: Workshop) -> dict[str, Any]:
    """Recall, precision and F1 of the thinned classes by number of training objects."""
    bench = workshop.bench
    n_folds = 2
    make_inputs(workshop, n_folds)
    items = {
        f"fold-{k + 1}-{_name(size)}-{_balance(weights)}": Thin(k, size, weights)
        for k in range(n_folds)
        for size in SIZES
        for weights in (False, True)
    }
    items |= {f"fold-1-{_name(size)}-leaky": Thin(0, size, weights=False, leaky=True) for size in LEAKY_SIZES}
    results = workshop.map(STAGE, _learn, items)
    objects = bench.objects
    return {
        "protocol": (
            f"LightGBM on the inputs of preset {bench.scale.preset} without its template fits (templates "
            f"are made from the labels of whole classes), whole light curves; {n_folds} of "
            f"{bench.scale.n_folds} folds of {len(objects):,} objects ({int(objects.simulated.sum())} of "
            "them simulated): four classes thinned together among the training objects, all test objects "
            "kept; spread over folds. Its protocol: one split of "
            f"{_LEAKY_ROWS:,} oversampled rows, of which a fifth is tested on"
        ),
        "sizes": list(SIZES),
        "leaky_sizes": list(LEAKY_SIZES),
        "printed": {"f1": {name: PRINTED_F1[name] for name in THINNED}},
        "leak": [results[f"fold-1-{_name(size)}-leaky"] for size in LEAKY_SIZES],
        "honest": {
            _balance(weights): [
                _joined([results[f"fold-{k + 1}-{_name(size)}-{_balance(weights)}"] for k in range(n_folds)])
                for size in SIZES
            ]
            for weights in (False, True)
        },
    }


def _name(size: int | None) -> str:
    return "all" if size is None else str(size)


def _balance(weights: bool) -> str:
    return "weights" if weights else "plain"


def _learn(bench: Bench, item: Thin, report: Report) -> dict[str, Any]:
    """Train on a thinned set and score what it was not trained on (or, if leaky, what it was)."""
    objects = bench.objects
    X = label_free_inputs(bench, item)
    report("", 0.3)
    if item.leaky:
        return _learn_leaky(bench, item, X)
    rng = bench.rng("rarity", item.fold)
    test = objects.folds[item.fold].test
    train = thinned(objects.labels, objects.learn(item.fold), item.size, rng)
    check_disjoint(objects.curves.object_id[train], objects.curves.object_id[test])
    return _scores(objects, X, train, test, item, bench.seed) | {"shared": 0.0}


def label_free_inputs(bench: Bench, item: Thin) -> NDArray[np.float32]:
    """Our inputs without those that were made with labels, shape (n_objects, n_inputs).

    Parameters
    ----------
    bench : Bench
        Where `make_inputs` has run.
    item : Thin
        Says whose pipeline makes the inputs, and which of them are not read.
    """
    names = pipeline_of(bench, item.fold).input_names
    return inputs_of(bench, item.fold)[:, [not name.startswith(item.without) for name in names]]


def _learn_leaky(bench: Bench, item: Thin, X: NDArray[np.float32]) -> dict[str, Any]:
    """The paper's protocol: thin all objects, copy the rare ones, then split the copies."""
    objects = bench.objects
    rng = bench.rng("rarity", item.fold)
    some = thinned(objects.labels, np.arange(len(objects)), item.size, rng)
    rows = leaky_rows(objects.labels[some], rng, most=_LEAKY_ROWS)
    train, test = some[rows.train], some[rows.test]
    return _scores(objects, X, train, test, item, bench.seed) | {"shared": rows.shared}


def _scores(
    objects: Objects,
    X: NDArray[np.float32],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    item: Thin,
    seed: int,
) -> dict[str, Any]:
    config = replace(item.config, class_weight_exponent=1.0 if item.weights else 0.0)
    model = LightGBMBooster(config).fit(TrainingRows(X[train], objects.labels[train]), seed=seed)
    proba = to_all_classes(model.predict_proba(X[test]), model.classes)
    full = scored(objects.labels[test], proba, objects.simulated[test])
    learnt = {name: len(np.unique(train[objects.labels[train] == name])) for name in THINNED}
    return {
        "macro_f1": {row: full[row]["macro_f1"] for row in ("sixteen", "real")},
        "classes": {
            name: {metric: full["real"]["per_class"][name][metric] for metric in _METRICS}
            | {"n_train": learnt[name], "n_test": full["real"]["per_class"][name]["n"]}
            | {"false_positives": _false_positives(objects, proba, test, name)}
            for name in THINNED
        },
    }


def _false_positives(
    objects: Objects, proba: NDArray[np.float64], test: NDArray[np.int64], name: str
) -> float:
    """Objects of other classes that are called `name`, among 1,000 real ones that are tested."""
    real = ~objects.simulated[test]
    called = proba.argmax(axis=1) == CLASSES.index(name)
    wrong = called & real & (objects.labels[test] != name)
    return 1000.0 * float(wrong.sum()) / float(real.sum())


def _joined(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    metrics = (*_METRICS, "false_positives")
    return {
        "macro_f1": {row: spread([f["macro_f1"][row] for f in folds]) for row in ("sixteen", "real")},
        "classes": {
            name: {metric: spread([f["classes"][name][metric] for f in folds]) for metric in metrics}
            | {
                "n_train": float(np.mean([f["classes"][name]["n_train"] for f in folds])),
                "n_test": sum(f["classes"][name]["n_test"] for f in folds),
            }
            for name in THINNED
        },
    }


# --- show -----------------------------------------------------------------------


def show(result: Mapping[str, Any]) -> Section:
    """Curves of every thinned class, and what weights do to false positives."""
    return Section(
        title="Limitation: rare classes",
        blocks=(
            _words(result),
            Picture(
                name="rarity",
                figure=_curves(result),
                caption=(
                    "Recall, false positives and F1 of four classes against the number of objects that each "
                    "is learnt from; bands: one standard deviation over folds. The four are thinned "
                    "together: at the last point of each the other three are whole too. Its protocol "
                    "leaks: copies of what it is tested on are trained on."
                ),
            ),
            _table(result),
        ),
    )


def _words(result: Mapping[str, Any]) -> str:
    honest, leak = result["honest"], result["leak"]
    plain_steps, weighed = honest["plain"], honest["weights"]
    ten, full = result["sizes"].index(10), len(result["sizes"]) - 1

    def average(steps: Sequence[Mapping[str, Any]], at: int, metric: str) -> float:
        return float(np.mean([mean(steps[at]["classes"][name][metric]) for name in THINNED]))

    real = change(weighed[full]["macro_f1"]["real"], plain_steps[full]["macro_f1"]["real"])
    leaky = [float(np.mean([step["classes"][name]["f1"] for name in THINNED])) for step in leak]
    shared = 100.0 * leak[0]["shared"]
    return (
        f"Learnt from ten objects each, {', '.join(THINNED[:-1])} and {THINNED[-1]} are found with a mean "
        f"recall of {average(plain_steps, ten, 'recall'):.2f} without class weights and "
        f"{average(weighed, ten, 'recall'):.2f} with them; learnt from all, with "
        f"{average(plain_steps, full, 'recall'):.2f} and {average(weighed, full, 'recall'):.2f}. With all, "
        f"weights take false positives from {average(plain_steps, full, 'false_positives'):.1f} to "
        f"{average(weighed, full, 'false_positives'):.1f} a class among 1,000 real objects, and change "
        f"macro F1 on real objects by {plus_minus(real)}; the paper tells of slightly more false positives. "
        f"By its protocol, classes of five objects have a mean F1 of {leaky[0]:.2f}, and whole ones "
        f"{leaky[-1]:.2f}: with five, {shared:.0f} % of all rows that it is tested on are of objects that it "
        f"was trained on. Unseen objects have {average(plain_steps, 0, 'f1'):.2f} and "
        f"{average(plain_steps, full, 'f1'):.2f}."
    )


@styled
def _curves(result: Mapping[str, Any]) -> Figure:
    figure = new_figure(6.0)
    panels = figure.subplots(3, len(THINNED), sharex=True, sharey="row")
    rows = (
        ("recall", "recall"),
        ("false_positives", "false positives\namong 1,000 real objects"),
        ("f1", "F1"),
    )
    for row, (metric, text) in enumerate(rows):
        for column, name in enumerate(THINNED):
            panel = panels[row, column]
            _lines(panel, result, name, metric)
            tidy(panel, "training objects" if row == 2 else "", text if column == 0 else "")
            panel.set_xscale("log")
            if row == 0:
                panel.set_title(name)
            if metric != "false_positives":
                panel.set_ylim(-0.03, 1.03)
    panels[1, 0].set_ylim(bottom=0.0)  # the row shares it, and a band may reach below
    _add_leak(panels[2], result)
    return figure


def _lines(panel: Axes, result: Mapping[str, Any], name: str, metric: str) -> None:
    looks = (("plain", "no weights", MAIN, "o", "-"), ("weights", "class weights", THIRD, "s", "-"))
    for balance, label, colour, marker, line in looks:
        found = [step["classes"][name] for step in result["honest"][balance]]
        steps = list({step["n_train"]: step for step in found}.values())  # a class may have no more
        band(panel, [s["n_train"] for s in steps], [s[metric] for s in steps], colour, label, marker, line)


def _add_leak(panels: Sequence[Axes], result: Mapping[str, Any]) -> None:
    """What the paper prints and what its protocol gives, in the panels of F1."""
    for panel, name in zip(panels, THINNED, strict=True):
        steps = [step["classes"][name] for step in result["leak"]]
        x = [step["n_train"] for step in steps]
        leaky = [step["f1"] for step in steps]
        panel.plot(x, leaky, color=ACCENT, marker="^", ls=":", label="its protocol (leaks)")
        printed = result["printed"]["f1"][name]
        panel.plot([x[-1]], [printed], marker="D", mfc="none", mec=INK, ls="none", label="printed")
    panels[0].legend(loc="lower right", fontsize=7)


def _table(result: Mapping[str, Any]) -> Table:
    by_size = dict(zip(result["leaky_sizes"], result["leak"], strict=True))
    honest = result["honest"]
    steps = list(zip(result["sizes"], honest["plain"], honest["weights"], strict=True))
    rows = []
    for name in THINNED:
        for size, *pair in steps:
            cells = [step["classes"][name] for step in pair]
            if size is not None and cells[0]["n_train"] < size:
                continue  # there are not so many: the same as all
            leaky = by_size.get(size)
            rows.append(
                (
                    name,
                    f"{cells[0]['n_train']:.0f}",
                    *(plus_minus(cell[m], 2) for cell in cells for m in ("recall", "precision", "f1")),
                    *(plus_minus(cell["false_positives"], 1) for cell in cells),
                    number(None if leaky is None else leaky["classes"][name]["f1"], 2),
                    number(result["printed"]["f1"][name], 2) if size is None else "-",
                )
            )
    heads = [f"{m}, {b}" for b in ("no weights", "weights") for m in ("recall", "precision", "F1")]
    return Table(
        caption=(
            f"Rare classes by training objects. {result['protocol']}. Precision is 0 where a class is never "
            "named."
        ),
        columns=(
            "class",
            "training objects",
            *heads,
            "false positives per 1,000, no weights",
            "false positives per 1,000, weights",
            "F1, its protocol (leaks)",
            "F1, printed",
        ),
        rows=tuple(rows),
    )


PART = Part(
    name="rarity",
    key="limitations.imbalance",
    title="Limitation: rare classes",
    needs=(OURS,),
    measure=measure,
    show=show,
)
