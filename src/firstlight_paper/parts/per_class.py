"""Section 6 of the paper: scores of every class, Figures 4 to 6, and the causes of the gap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.classify import SklearnBoosterConfig, TrainingRows
from firstlight.classify.balance import oversample
from firstlight.report.plots import confusion_matrix
from firstlight.report.style import FAINT, legend_above, new_figure, styled
from firstlight.taxonomy import CLASSES, GALACTIC
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.leak import leaky_rows
from firstlight_paper.models import PLAIN, boosted, fold_proba, latents_of, proba_of
from firstlight_paper.objects import PAPER_CLASSES, SIMULATED_CLASSES, Objects
from firstlight_paper.page.plots import DESIGN, LEAK, OURS, PRINTED, bars, label_axes
from firstlight_paper.page.tables import COLUMNS, markdown, pivot
from firstlight_paper.pattern import Correlation, correlation_difference, implied, rank_correlation
from firstlight_paper.printed import PRINTED as PRINTED_SCORES
from firstlight_paper.printed import PRINTED_F1, PRINTED_PER_CLASS
from firstlight_paper.scores import ALL, HEADLINE, PER_CLASS, RATES, averaged_roc, confusion, scored
from firstlight_paper.view import View

#: Ways to deal rows, from the honest to the leaking.
ARMS: Mapping[str, str] = {
    "objects": "objects split, no copies",
    "rows": "rows split at random, no copies",
    "training": "objects split, copies among training rows",
    "either": "objects split, copies on each side apart",
    "leak": "copies first, rows split after (the paper's protocol)",
}
HELD = 0.1  # share of the training rows that only stops the boosting

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Repeats (each on another fold's latents), boosting stages, and rows of the leaking protocol at most."""

    repeats: int = 2
    stages: int = 150
    most: int | None = None


def deal(
    objects: Objects, arm: str, k: int, rng: np.random.Generator, most: int | None = None
) -> tuple[Rows, dict[str, Rows]]:
    """Rows to train on, and rows to test on by arm of `ARMS`, as positions of objects."""
    labels, names = objects.labels, objects.curves.object_id
    learn, test = objects.learn(k), objects.folds[k].test
    if arm == "objects":
        return learn, {"objects": test}
    if arm == "rows":
        order = rng.permutation(len(labels))
        n_test = round(0.2 * len(labels))
        return order[n_test:], {"rows": order[:n_test]}
    if arm == "training":
        copied = oversample(labels[learn], rng, object_id=names[learn], held_out=names[test])
        balanced = oversample(labels[test], rng, object_id=names[test], held_out=names[learn])
        return learn[copied], {"training": test, "either": test[balanced]}
    leaky = leaky_rows(labels, rng, most=most)
    return leaky.train, {"leak": leaky.test}


def stopping_rows(
    objects: Objects, arm: str, k: int, train: Rows, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which training rows only stop the boosting: all copies of held-out objects, or rows at random."""
    # without them a leaf of few rows, whose probabilities are all but certain, takes a step without bound
    if arm in ("objects", "training"):
        return np.isin(train, objects.folds[k].validation)
    return rng.random(len(train)) < HELD


def _dealt(context: Context, fold: int, progress: Progress, *, arm: str, amount: Amount) -> Outcome:
    """The same booster and a nearest neighbour on rows dealt in one way; `fold` counts repeats."""
    objects, k = context.objects, fold % context.scale.n_folds
    X, labels = latents_of(context, k), objects.labels
    rng = context.rng("per-class", arm, fold)
    rows, tests = deal(objects, arm, k, rng, amount.most)
    stop = stopping_rows(objects, arm, k, rows, rng)
    train, config = rows[~stop], replace(PLAIN, n_estimators=amount.stages)
    train_rows, held = (TrainingRows(X[some], labels[some]) for some in (train, rows[stop]))
    model = boosted(train_rows, config, held, seed=fold, progress=progress)
    proba, nearest = proba_of(model, X), _nearest(X, labels, train)
    column, outcome = "protocol" if arm == "leak" else "design", Outcome()
    for name, test in tests.items():
        seen = np.isin(test, train)
        kinds = {"metrics": HEADLINE, "per_class": PER_CLASS} if name == "leak" else {"metrics": HEADLINE}
        truth, simulated = labels[test], objects.simulated[test]
        outcome.put(name, scored(column, truth, proba[test], simulated, **kinds))
        counts = {"n_train": len(train), "n_test": len(test), "shared": float(seen.mean())}
        outcome.put(name, more(counts))
        metrics = ("accuracy", "macro_f1")
        remembered = scored(column, truth, nearest[test], simulated, metrics, per_class=("recall",))
        outcome.put(f"nearest {name}", remembered)
        if name == "leak":
            outcome.put(name, more({f"shared:{c}": float(seen[truth == c].mean()) for c in np.unique(truth)}))
            roc, micro = averaged_roc(truth, proba[test])
            outcome.put(name, {(column, ALL, "micro_auc"): micro})
            outcome.extra[name] = roc | {"confusion": confusion(truth, proba[test])}
    return outcome


def _nearest(X: NDArray[np.float32], labels: NDArray[np.str_], train: Rows) -> NDArray[np.float64]:
    """Certainty for the class of the nearest training row: memorised rows are found again."""
    from scipy.spatial import cKDTree  # here: most commands need none of it

    X = (X - X[train].mean(axis=0)) / np.maximum(X[train].std(axis=0), 1e-9)
    found = train[cKDTree(X[train]).query(X)[1]]
    return np.asarray(labels[found][:, None] == np.array(CLASSES), dtype=np.float64)


def _design(context: Context, fold: int, progress: Progress, *, stages: int) -> Outcome:
    """The paper's design on unseen objects: six latents, and its booster with class weights."""
    objects, test = context.objects, context.objects.folds[fold].test
    config = replace(SklearnBoosterConfig(), n_estimators=stages)
    proba = fold_proba(objects, latents_of(context, fold), fold, config, context.seed)
    labels = objects.labels[test]
    roc, micro = averaged_roc(labels, proba)
    values = scored("design", labels, proba, objects.simulated[test], HEADLINE, PER_CLASS)
    extra = {"": roc | {"confusion": confusion(labels, proba)}}
    return Outcome(values | {("design", ALL, "micro_auc"): micro}, extra=extra)


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """The honest ways to deal rows, and the paper's design on every fold."""
    design, folds = partial(_design, stages=amount.stages), range(context.scale.n_folds)
    dealt = [_repeated(arm, arm, amount) for arm in ("training", "objects", "rows")]
    return [*dealt, Variant(name="design", work=design, folds=folds)]


def _repeated(arm: str, name: str, amount: Amount) -> Variant:
    work = partial(_dealt, arm=arm, amount=amount)
    return Variant(name=f"{name} rows", work=work, folds=range(amount.repeats))


def _leak(context: Context, amount: Amount) -> Sequence[Variant]:
    return [_repeated("leak", "leaky", amount)]


#: The paper's protocol on its own design; several parts set it beside their scores.
PROTOCOL = Part(
    name="protocol",
    column="protocol",
    needs=("latents",),
    full=Amount(repeats=3),
    quick=Amount(stages=30, most=4000),
    variants=_leak,
    shown=False,
)


def by_frequency(view: View) -> list[str]:
    """Classes that have objects, the most frequent first."""
    n = view.about.objects_per_class
    return sorted((name for name in n if n[name]), key=lambda name: (-n[name], name))


def named(name: str) -> str:
    """A class with a note where its objects are simulated."""
    return f"{name} (simulated)" if name in SIMULATED_CLASSES else name


HEADLINE_TITLES = {
    "accuracy": "accuracy",
    "macro_precision": "precision, mean of classes",
    "macro_recall": "recall, mean of classes",
    "macro_f1": "F1, mean of classes",
    "macro_auc": "AUC, mean of classes",
    "log_loss": "log-loss [nat]",
}
_AMONG = {16: "sixteen classes", 13: "thirteen real classes"}


def headline(view: View, metrics: Sequence[str] = HEADLINE) -> str:
    """Scores of the whole set in all columns."""
    rows: dict[str, Mapping[str, Any]] = {}
    for subset, among in _AMONG.items():
        rows |= {f"{HEADLINE_TITLES[m]}, {among}": {"metric": m, "subset": subset} for m in metrics}
        if len(metrics) == len(HEADLINE):
            rows[f"rows tested, {among}"] = {"metric": "n_objects", "subset": subset, "count": True}
    return pivot(view, rows, COLUMNS)


def one_metric(view: View, metric: str) -> str:
    """Every class's precision, recall, F1 or AUC in all columns."""
    n = view.about.objects_per_class
    rows: dict[str, Mapping[str, Any]] = {
        f"{named(c)}, {n[c]:,}": {"metric": f"{metric}:{c}"} for c in by_frequency(view)
    }
    rows |= {
        f"mean of {among}": {"metric": f"macro_{metric}", "subset": subset}
        for subset, among in _AMONG.items()
    }
    return pivot(view, rows, COLUMNS, "class, objects")


def copies_table(view: View) -> str:
    """F1 beside the copies: rows per object, and the share of test rows whose object was trained on."""
    copies = view.facts["copies"]
    body = []
    for c in by_frequency(view):
        title = f"{named(c)}, {copies[c]:.1f} rows per object"
        shared = view.spread("leak", f"shared:{c}", 0, column="", part="protocol").mean
        cells = [view.spread(metric=f"f1:{c}", **where)._replace(std=np.nan) for where in COLUMNS.values()]
        body.append([title, f"{shared:.2f}", *(cell.text(3 if k else 2) for k, cell in enumerate(cells))])
    return markdown(["class", "shared", *(f"F1, {name}" for name in COLUMNS)], body)


_AGAINST = {
    "leak": "F1, paper's protocol (leaks)",
    "design": "F1, paper's design, split by object",
    "ours": "F1, ours, split by object",
    "copies": "rows per object (log)",
}


def correlations(view: View) -> str:
    """Rank correlations of the printed F1."""

    def cells(found: Correlation) -> list[str]:
        return [f"{found.rho:.2f}", f"{found.low:.2f} to {found.high:.2f}", f"{found.p:.4f}"]

    table = view.facts["correlation"]
    rows = [
        [title, *cells(table[who]["all"]), *cells(table[who]["extragalactic"])]
        for who, title in _AGAINST.items()
    ]
    n = view.facts["n"]
    head = [f"all {n['all']} classes", "95 %", "p", f"{n['extragalactic']} extragalactic", "95 %", "p"]
    return markdown(["published F1 against", *head], rows)


def anatomy(view: View) -> str:
    """Scores of the same booster for every way to deal rows."""
    rows: dict[str, Mapping[str, Any]] = {title: _arm(arm) for arm, title in ARMS.items()}
    counts = {"subset": 0, "column": "", "digits": 0}
    columns: dict[str, Mapping[str, Any]] = {
        "trained": counts | {"metric": "n_train"},
        "tested": counts | {"metric": "n_test"},
        "shared": counts | {"metric": "shared", "digits": 2},
        "accuracy": {"metric": "accuracy"},
        "macro F1": {"metric": "macro_f1"},
        "accuracy, 13 real": {"metric": "accuracy", "subset": 13},
        "macro F1, 13 real": {"metric": "macro_f1", "subset": 13},
    }
    for metric in ("accuracy", "macro F1"):
        columns[f"nearest neighbour: {metric}"] = {**columns[metric], "before": "nearest "}
    return pivot(view, rows, columns, "rows")


def _arm(arm: str) -> dict[str, Any]:
    where = {"part": "protocol", "column": "protocol"} if arm == "leak" else {"column": "design"}
    return {"variant": arm, **where}


def facts(view: View) -> Mapping[str, Any]:
    """Copies, correlations with the printed order, lowest classes, and conclusions from printed figures."""
    n = {name: count for name, count in view.about.objects_per_class.items() if count}
    names = [name for name in PRINTED_F1 if name in n]
    copies = {name: max(n.values()) / n[name] for name in names}
    printed = np.array([PRINTED_F1[name] for name in names])
    keys = dict(zip(("leak", "design", "ours"), list(COLUMNS.values())[1:], strict=True))
    columns = {
        key: np.array([view.spread(metric=f"f1:{c}", **w).mean for c in names]) for key, w in keys.items()
    }
    columns["copies"] = np.log10(list(copies.values()))
    outside = np.array([name not in GALACTIC for name in names])
    rng = np.random.default_rng(
        [view.about.seed, *(int.from_bytes(word.encode()) % 2**63 for word in ("per-class", "pattern"))]
    )
    among = {"all": np.ones_like(outside), "extragalactic": outside}
    correlation = {
        who: {key: rank_correlation(printed[some], values[some], rng) for key, some in among.items()}
        for who, values in columns.items()
    }
    difference = correlation_difference(printed, columns["leak"], columns["design"], rng)
    lowest = {
        who: sorted(names[k] for k in np.argsort(values, kind="stable")[:2])
        for who, values in {"printed": printed, **columns}.items()
    }
    memorised = [
        c for c in names if view.spread("leak", f"shared:{c}", 0, column="", part="protocol").mean > 0.9
    ]
    recall = {
        arm: np.mean([view.spread(metric=f"recall:{c}", **_near(arm)).mean for c in memorised])
        for arm in ("leak", "either")
    }
    return {
        "copies": copies,
        "correlation": correlation,
        "difference": difference,
        "lowest": lowest,
        "n": {"all": len(names), "extragalactic": int(outside.sum())},
        "chance": len(names) * (len(names) - 1) // 2,
        "implied": implied(n),
        "memorised": memorised,
        "recall": recall,
    }


def _near(arm: str) -> dict[str, Any]:
    where = _arm(arm)
    return where | {"variant": f"nearest {where['variant']}"}


_LOOKS = (PRINTED, LEAK, DESIGN, OURS)


@styled
def class_figure(view: View) -> Figure:
    """Precision, recall and F1 of each class (Figure 4), from the most to the least frequent."""
    names = by_frequency(view)
    figure = new_figure(6.4)
    panels = figure.subplots(1, 3, sharey=True)
    for panel, metric in zip(panels, ("precision", "recall", "f1"), strict=True):
        series = {
            look: [view.spread(metric=f"{metric}:{c}", **where) for c in names]
            for look, where in zip(_LOOKS, COLUMNS.values(), strict=True)
        }
        bars(panel, [named(c) for c in names], series)
        panel.set_xlabel("F1" if metric == "f1" else metric)
    legend_above(figure, panels[0], 4)
    return figure


@styled
def roc_figure(view: View) -> Figure:
    """Averaged ROC curves of the three columns (Figure 6), beside the same on a logarithmic axis."""
    figure = new_figure(3.9)
    panels = figure.subplots(1, 2, sharey=True)
    for panel in panels:
        for look, where in list(zip(_LOOKS, COLUMNS.values(), strict=True))[1:]:
            for kind, line, metric in (("micro", "-", "micro_auc"), ("macro", ":", "macro_auc")):
                mean, std = view.band(where["variant"], kind, where["part"])
                area = view.spread(metric=metric, **where).mean
                label = f"{look.label}\n" * (kind == "micro") + f"{kind}, AUC {area:.3f}"
                panel.plot(RATES, mean, color=look.colour, ls=line, lw=1.7, label=label)
                panel.fill_between(RATES, mean - std, mean + std, color=look.colour, alpha=0.18, lw=0)
        diagonal = np.logspace(-4, 0, 60)
        panel.plot(diagonal, diagonal, color=FAINT, lw=0.9, ls="--", label="chance")
        label_axes(panel, "false positive rate", "")
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1.01)
    panels[1].set_xscale("log")
    panels[1].set_xlim(10**-3.5, 1)
    panels[0].set_ylabel("true positive rate")
    panels[0].legend(loc="lower right", fontsize=7.2)
    return figure


def confusion_figure(view: View, column: str) -> Figure:
    """The paper's Figure 5: objects by true and predicted class."""
    where = COLUMNS[column]
    found = view.confusion(where["variant"], where["part"])
    return confusion_matrix(found, [named(c) for c in PAPER_CLASSES])


_PRINTED_ROWS = {(ALL, name): value for name, value in PRINTED_SCORES.items()} | {
    (ALL, f"{metric}:{name}"): value
    for name, row in PRINTED_PER_CLASS.items()
    for metric, value in zip(("precision", "recall", "f1"), row, strict=True)
}

PER_CLASS_PART = Part(
    name="per-class",
    column="design",
    needs=("latents", "ours", "protocol"),
    full=Amount(),
    quick=Amount(stages=30),
    variants=variants,
    printed={"paper": _PRINTED_ROWS},
    tables={
        "headline": headline,
        "short": partial(headline, metrics=("accuracy", "macro_f1", "macro_auc")),
        **{metric: partial(one_metric, metric=metric) for metric in PER_CLASS},
        "copies": copies_table,
        "correlations": correlations,
        "anatomy": anatomy,
    },
    figures={
        "per-class-scores": class_figure,
        "per-class-roc": roc_figure,
        "per-class-confusion-leak": partial(confusion_figure, column="paper's protocol (leaks)"),
        "per-class-confusion-design": partial(confusion_figure, column="paper's design, split by object"),
        "per-class-confusion-ours": partial(confusion_figure, column="ours, split by object"),
    },
    facts=facts,
)
