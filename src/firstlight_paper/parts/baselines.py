"""Baselines on the same folds and the same inputs: the methods that the paper compares itself with."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.classify.gradient import SklearnBoosterConfig
from firstlight.classify.protocol import to_all_classes
from firstlight.encoder.steps import make_steps
from firstlight.preprocess import preprocess
from firstlight_paper.context import Context
from firstlight_paper.convnet import Convnet, ConvnetConfig
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.leak import fit_leaky, leaky_rows
from firstlight_paper.models import (
    PLAIN,
    fit_fold,
    inputs_of,
    latents_of,
    paper_config,
    pipeline_of,
    predictions_of,
    scored_fold,
)
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.page import plots
from firstlight_paper.page.tables import pivot
from firstlight_paper.printed import PRINTED_BASELINE_AUC
from firstlight_paper.scores import ALL, PER_CLASS, Spread, Values, confusion, scored, spread
from firstlight_paper.view import View

#: Classifier and its inputs; the first is the paper's own design.
DESIGN = "boosting on latents"
TITLES = {
    DESIGN: "gradient boosting, six latents",
    "logistic on latents": "logistic regression, six latents",
    "svm on latents": "SVM (RBF), six latents",
    "forest on latents": "random forest, six latents",
    "convnet on light curves": "convolutional network, light curves",
    "logistic on inputs": "logistic regression, our inputs",
    "svm on inputs": "SVM (RBF), our inputs",
    "forest on inputs": "random forest, our inputs",
    "boosting on inputs": "gradient boosting, our inputs",
    "default on inputs": "our pipeline",
}
#: Baselines that the paper names.
NAMED = ("svm on latents", "forest on latents", "convnet on light curves")
LEAKY = tuple(name for name in TITLES if not name.endswith("inputs"))
METRICS = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc")
RARE = ("TDE", "CaRT")  # the paper's examples of rare classes
N_COMMON = 4  # the most frequent classes stand for its "well-represented" ones
N_TIMED = 400  # objects on which the whole pipeline is timed
_REACH = 5.0  # standard deviations to which standardised columns are clipped


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Settings of every baseline, fixed before any test object was classified."""

    trees: int = 300
    penalty: float = 1.0
    svm_penalty: float = 10.0
    convnet: ConvnetConfig = field(default_factory=ConvnetConfig)
    boosting: SklearnBoosterConfig = PLAIN
    wide_share: float = 0.03
    leaky_rows: int = 12_000


FEW = Amount(
    trees=60, convnet=ConvnetConfig(epochs=10), boosting=replace(PLAIN, n_estimators=40), leaky_rows=2500
)


class _Answer(NamedTuple):
    """Probabilities (n_test, 17), time to fit [s] and to predict one object [us], both processor time."""

    proba: NDArray[np.float64]
    fit_seconds: float
    predict_us: float


def _honest(context: Context, fold: int, progress: Progress, *, name: str, amount: Amount) -> Outcome:
    """One classifier on one fold."""
    objects, part = context.objects, context.objects.folds[fold]
    method, _, source = name.partition(" on ")
    if method == "default":
        answer = _pipeline(context, fold)
    elif method == "convnet":
        answer = _convnet(context, amount, part.train, part.validation, part.test)
    else:
        X = latents_of(context, fold) if source == "latents" else inputs_of(context, fold)
        if method == "boosting":
            wide: dict[str, Any] = {"max_features": amount.wide_share} if source == "inputs" else {}
            config = replace(amount.boosting, **wide)
            start = time.process_time()
            model = fit_fold(objects, X, fold, config, context.seed)
            answer = _timed(model, model.classes, X[part.test], start)
        else:
            answer = _scikit(method, amount, X, objects.labels, part.train, part.test)
    values = scored_fold(context, _column(name), fold, answer.proba, metrics=METRICS, per_class=PER_CLASS)
    times = {"predict_us": answer.predict_us} | (
        {} if method == "default" else {"fit_seconds": answer.fit_seconds}
    )
    matrix = confusion(objects.labels[part.test], answer.proba)
    return Outcome(_grouped(context, values) | more(times), extra={"": {"confusion": matrix}})


def _leaked(context: Context, fold: int, progress: Progress, *, name: str, amount: Amount) -> Outcome:
    """The same by the paper's protocol: copies of the test objects are among the training rows."""
    objects, method = context.objects, name.partition(" on ")[0]
    rows = leaky_rows(objects.labels, context.rng("baselines", method), most=amount.leaky_rows)
    X = latents_of(context, fold)
    if method == "convnet":
        held = rows.train[: len(rows.train) // 10]
        answer = _convnet(context, amount, rows.train[len(held) :], held, rows.test)
    elif method == "boosting":
        start = time.process_time()
        model = fit_leaky(objects, X, rows, amount.boosting, context.seed)
        answer = _timed(model, model.classes, X[rows.test], start)
    else:
        answer = _scikit(method, amount, X, objects.labels, rows.train, rows.test)
    values = scored(
        "protocol", objects.labels[rows.test], answer.proba, objects.simulated[rows.test], METRICS
    )
    outcome = Outcome()
    outcome.put(name, values | more(rows.counts(), "protocol"))
    return outcome


def _column(name: str) -> str:
    return "ours" if name.endswith("inputs") else "design"


def _grouped(context: Context, values: Values) -> Values:
    """Means over rare and common classes in place of single ones; a class never predicted has precision 0."""
    kept = {key: value for key, value in values.items() if ":" not in key[2]}
    column = next(iter(values))[0]
    names, counts = np.unique(context.objects.labels, return_counts=True)
    common = names[np.argsort(-counts)][:N_COMMON].tolist()
    for group, members in (("rare", RARE), ("common", common)):
        for metric in ("precision", "recall"):
            known = [m for m in members if (column, ALL, f"recall:{m}") in values]
            if known:
                found = [values.get((column, ALL, f"{metric}:{m}"), 0.0) for m in known]
                kept[column, ALL, f"{metric}:{group}"] = float(np.mean(found))
    return kept


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """Every baseline on every fold, the slowest first, and those of the paper by its own protocol."""
    slow = {"boosting on inputs": 0, "convnet on light curves": 1}
    folds = range(context.scale.n_folds)
    honest = [
        Variant(name=name, work=partial(_honest, name=name, amount=amount), folds=folds)
        for name in sorted(TITLES, key=lambda name: slow.get(name, 2))
    ]
    leaked = [
        Variant(name=f"{name}, copied first", work=partial(_leaked, name=name, amount=amount), folds=(0,))
        for name in LEAKY
    ]
    return [*honest, *leaked]


def _scikit(
    method: str,
    amount: Amount,
    X: NDArray[np.float32],
    labels: NDArray[np.str_],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> _Answer:
    """Fit a classifier of scikit-learn; medians and standardisation come from training rows."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = _sklearn_pipeline(method, amount, labels[train])
    with threadpool_limits(1):  # processor time of several threads would count their waiting
        start = time.process_time()
        model.fit(X[train], labels[train])
        return _timed(model, model.classes_.tolist(), X[test], start)


def _sklearn_pipeline(method: str, amount: Amount, labels: NDArray[np.str_]) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.svm import SVC

    if method == "forest":
        last: Any = RandomForestClassifier(amount.trees, min_samples_leaf=2, random_state=0)
    elif method == "logistic":
        last = LogisticRegression(C=amount.penalty, max_iter=300, tol=1e-3)
    else:
        # Platt's sigmoid for each class, fitted on parts of the training rows that a machine has not seen
        smallest = int(np.unique(labels, return_counts=True)[1].min())
        machine = SVC(C=amount.svm_penalty, gamma="scale", cache_size=500)
        last = CalibratedClassifierCV(machine, ensemble=False, cv=min(3, max(2, smallest)))
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_pipeline(filled, StandardScaler(), FunctionTransformer(_clipped), last)


def _clipped(Z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(Z, -_REACH, _REACH)


def _convnet(
    context: Context,
    amount: Amount,
    train: NDArray[np.int64],
    held: NDArray[np.int64],
    test: NDArray[np.int64],
) -> _Answer:
    """The network on the time bins that the paper's encoder reads; none of them is learnt."""
    config, labels = paper_config(context), context.objects.labels
    steps = make_steps(preprocess(context.objects.curves, config.preprocess), config.encoder.steps)
    start = time.process_time()
    model = Convnet(amount.convnet).fit(
        steps.take(train), labels[train], (steps.take(held), labels[held]), seed=context.seed
    )
    return _timed(model, model.classes, steps.take(test), start)


def _pipeline(context: Context, fold: int) -> _Answer:
    """Our pipeline's own predictions; timed from light curve to class, on fewer objects."""
    test = context.objects.folds[fold].test
    pipeline, curves = pipeline_of(context, fold), context.objects.curves.take(test[:N_TIMED])
    pipeline.predict(curves.take(np.arange(min(8, len(curves)))), jobs=1)  # compile first
    start = time.process_time()
    pipeline.predict(curves, jobs=1)
    seconds = time.process_time() - start
    return _Answer(predictions_of(context).proba[test], 0.0, 1e6 * seconds / len(curves))


def _timed(model: Any, classes: Sequence[str], X: Any, start: float) -> _Answer:
    middle = time.process_time()
    proba = np.asarray(model.predict_proba(X))
    per_object = 1e6 * (time.process_time() - middle) / max(len(proba), 1)
    return _Answer(to_all_classes(proba, classes), middle - start, per_object)


def _rows() -> dict[str, Mapping[str, Any]]:
    return {title: {"variant": name, "column": _column(name)} for name, title in TITLES.items()}


def scores_table(view: View) -> str:
    """Scores by either protocol, and the difference from the paper's design fold by fold."""
    columns: dict[str, Mapping[str, Any]] = {}
    for metric, title in (("macro_auc", "AUC"), ("macro_f1", "F1"), ("accuracy", "accuracy")):
        columns[f"{title}, paper's protocol (leaks)"] = {"metric": metric, "column": "protocol"}
        columns[f"{title}, split by object"] = {"metric": metric}
        if metric == "macro_auc":
            columns["AUC, split by object, 13 real"] = {"metric": metric, "subset": 13}
    return pivot(view, _rows(), columns, "classifier, inputs")


def groups_table(view: View) -> str:
    """Precision and recall of common and rare classes, in the paper's terms."""
    columns = {
        f"{group}: {metric}": {"metric": f"{metric}:{group}"}
        for group in ("common", "rare")
        for metric in ("precision", "recall")
    }
    columns |= {f"all: {metric}": {"metric": f"macro_{metric}"} for metric in ("precision", "recall")}
    return pivot(view, _rows(), columns, "classifier, inputs")


def times_table(view: View) -> str:
    """Processor time of every classifier."""
    columns = {
        "fit [s]": {"metric": "fit_seconds", "column": "", "subset": 0, "digits": 1},
        "predict [µs per object]": {"metric": "predict_us", "column": "", "subset": 0, "digits": 0},
    }
    return pivot(view, _rows(), columns, "classifier, inputs")


def _difference(view: View, name: str, metric: str) -> Spread:
    """From the paper's design, fold by fold."""
    ours, design = (view.folds(n, metric, column=_column(n)) for n in (name, DESIGN))
    return spread([a - b for a, b in zip(ours, design, strict=True)])


def facts(view: View) -> Mapping[str, Any]:
    """Differences from the paper's design, the two orders, and its lead over the named baselines."""
    change = {
        name: {metric: _difference(view, name, metric) for metric in ("macro_auc", "macro_f1")}
        for name in TITLES
    }
    order = {
        column: sorted(LEAKY, key=lambda n: -view.mean(n, "macro_f1", column=column))
        for column in ("protocol", "design")
    }
    lead = {
        group: [
            view.mean(DESIGN, f"{metric}:{group}") - view.mean(name, f"{metric}:{group}")
            for name in NAMED
            for metric in ("precision", "recall")
        ]
        for group in ("common", "rare")
    }
    listed = {
        column: ", ".join(
            f"{TITLES[n].split(',')[0]} ({view.mean(n, 'macro_f1', column=column):.3f})" for n in names
        )
        for column, names in order.items()
    }
    return {"change": change, "order": order, "listed": listed, "lead": lead}


def best_three(view: View) -> Figure:
    """Confusion matrices of the three with the best macro F1."""
    known = [n for n in TITLES if view.results.extra(view.part).get(n)]
    best = sorted(known, key=lambda n: -view.mean(n, "macro_f1", column=_column(n)))[:3]
    matrices = {TITLES[n].replace(", ", ",\n"): view.confusion(n) for n in best}
    return plots.confusion(matrices, PAPER_CLASSES, 3)


BASELINES = Part(
    name="baselines",
    column="design",
    needs=("latents", "inputs"),
    full=Amount(),
    quick=FEW,
    variants=variants,
    printed={
        "paper": {
            (0, "baseline_auc_low"): PRINTED_BASELINE_AUC[0],
            (0, "baseline_auc_high"): PRINTED_BASELINE_AUC[1],
        }
    },
    tables={"scores": scores_table, "groups": groups_table, "times": times_table},
    figures={"baselines-confusion": best_three},
    facts=facts,
)
