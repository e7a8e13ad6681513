"""Baselines on the same folds and the same inputs: what the paper compares itself with."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstlight.classify import SklearnBoosterConfig, to_all_classes
from firstlight.encoder.steps import Steps, make_steps
from firstlight.preprocess import preprocess
from firstlight_paper.booster import PLAIN, fit_fold, fit_leaky
from firstlight_paper.convnet import Convnet, ConvnetConfig
from firstlight_paper.inputs import inputs_of, make_inputs
from firstlight_paper.leak import leaky_rows
from firstlight_paper.objects import PAPER_CLASSES, Objects
from firstlight_paper.parts.baselines_show import show
from firstlight_paper.printed import PRINTED, PRINTED_BASELINE_AUC
from firstlight_paper.scores import scored, spread
from firstlight_paper.section import Part
from firstlight_paper.shared import latents_of, pipeline_of, said_of, seed_config
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["PART", "Amounts", "LeakyTrial", "Trial", "leaky_trial", "measure", "trial"]

STAGE, LEAK_STAGE = "baselines", "baselines-leak"

#: What is measured: classifier and what it reads. The first is the paper's own design.
TRIALS = (
    ("boosting", "latents"),
    ("logistic", "latents"),
    ("svm", "latents"),
    ("forest", "latents"),
    ("convnet", "light curves"),
    ("logistic", "inputs"),
    ("svm", "inputs"),
    ("forest", "inputs"),
    ("boosting", "inputs"),
    ("default", "inputs"),
)
LEAKY = ("boosting", "logistic", "svm", "forest", "convnet")
METRICS = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc")
RARE = ("TDE", "CaRT")  # the paper's examples of rare classes
N_COMMON = 4  # the most frequent classes stand for its "well-represented" ones
N_TIMED = 400  # objects on which the whole of `default` is timed
_REACH = 5.0  # standard deviations to which standardised columns are clipped


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """Settings of every baseline, fixed before any test object was looked at.

    Attributes
    ----------
    trees : int
        Of the random forest.
    penalty : float
        Inverse strength C of the logistic regression's penalty.
    svm_penalty : float
        C of the support vector machine; its kernel width is scikit-learn's ``scale``.
    convnet : ConvnetConfig
        The network.
    boosting : SklearnBoosterConfig
        The paper's classifier on latents.
    wide_share : float
        Share of the columns that a split looks at where hundreds are read.
    leaky_rows, leaky_svm_rows : int
        Rows of the paper's protocol, and those of the machine whose cost is quadratic.
    """

    trees: int = 300
    penalty: float = 1.0
    svm_penalty: float = 10.0
    convnet: ConvnetConfig = field(default_factory=ConvnetConfig)
    boosting: SklearnBoosterConfig = PLAIN
    wide_share: float = 0.03
    leaky_rows: int = 12_000
    leaky_svm_rows: int = 12_000


FULL = Amounts()
QUICK = replace(
    FULL,
    trees=60,
    convnet=ConvnetConfig(epochs=10),
    boosting=replace(PLAIN, n_estimators=40),
    leaky_rows=2500,
    leaky_svm_rows=2500,
)


@dataclass(frozen=True)
class Trial:
    """One classifier on one fold."""

    method: str
    inputs: str
    fold: int
    amounts: Amounts


@dataclass(frozen=True)
class LeakyTrial:
    """One classifier by the paper's protocol, on the latents (or light curves) of fold 1."""

    method: str
    inputs: str
    rows: int
    amounts: Amounts


def measure(workshop: Workshop) -> dict[str, Any]:
    """Fit and score every baseline on every fold, and those of the paper by its own protocol."""
    bench = workshop.bench
    amounts = FULL if bench.scale.is_full else QUICK
    make_inputs(workshop)
    folds = range(bench.scale.n_folds)
    items = {
        f"{method}-{inputs.replace(' ', '-')}-{k + 1}": Trial(method, inputs, k, amounts)
        for method, inputs in _costly_first(TRIALS)
        for k in folds
    }
    done = workshop.map(STAGE, trial, items)
    leaky = workshop.map(LEAK_STAGE, leaky_trial, {method: _leaky(method, amounts) for method in LEAKY})
    rows = []
    for method, inputs in TRIALS:
        results = [done[f"{method}-{inputs.replace(' ', '-')}-{k + 1}"] for k in folds]
        leak = leaky[method] if method in LEAKY and inputs != "inputs" else None
        rows.append(_row(method, inputs, results, leak))
    for row in rows:
        row["against_paper"] = {
            metric: spread(_difference(row[metric]["honest"], rows[0][metric]["honest"]))
            for metric in ("accuracy", "macro_f1", "macro_auc")
        }
    best = sorted(rows, key=lambda row: -row["macro_f1"]["honest"]["mean"])[:3]
    confusions = [
        {"method": row["method"], "inputs": row["inputs"], "matrix": row["confusion"]} for row in best
    ]
    for row in rows:
        del row["confusion"]
    return _summary(bench, amounts, rows) | {"confusions": confusions}


def trial(bench: Bench, item: Trial, report: Report) -> dict[str, Any]:
    """Fit on one fold's training objects, score on its test objects.

    Parameters
    ----------
    bench : Bench
        Objects and folds.
    item : Trial
        What to fit, on which fold.
    report : callable
        Told the progress.

    Returns
    -------
    dict
        ``sixteen`` and ``real`` (`METRICS`), ``rare`` and ``common`` (mean precision and recall),
        ``confusion``, ``fit_seconds`` and ``predict_us`` (processor time; per object).
    """
    objects, fold = bench.objects, bench.objects.folds[item.fold]
    if item.method == "default":
        answer = _default(bench, item.fold)
    elif item.method == "convnet":
        answer = _convnet_on(bench, item.amounts, fold.train, fold.validation, fold.test)
    elif item.method == "boosting":
        answer = _boosting(bench, item)
    else:
        X = _inputs(bench, item.inputs, item.fold)
        answer = _scikit(item.method, item.amounts, X, objects.labels, fold.train, fold.test)
    labels, simulated = objects.labels[fold.test], objects.simulated[fold.test]
    return _scores(objects, labels, simulated, answer)


def leaky_trial(bench: Bench, item: LeakyTrial, report: Report) -> dict[str, Any]:
    """The same by the paper's protocol: copies of the test objects are among the training rows."""
    objects = bench.objects
    rows = leaky_rows(objects.labels, bench.rng("baselines", item.method), most=item.rows)
    if item.method == "convnet":
        held = rows.train[: len(rows.train) // 10]
        answer = _convnet_on(bench, item.amounts, rows.train[len(held) :], held, rows.test)
    elif item.method == "boosting":
        X = latents_of(bench, 0)
        start = time.process_time()
        model = fit_leaky(objects, X, rows, item.amounts.boosting, bench.seed)
        proba, per_object, fitted = _timed(model, X[rows.test], start)
        answer = _Answer(to_all_classes(proba, model.classes), fitted, per_object)
    else:
        X = latents_of(bench, 0)
        answer = _scikit(item.method, item.amounts, X, objects.labels, rows.train, rows.test)
    labels = objects.labels[rows.test]
    result = scored(labels, answer.proba, objects.simulated[rows.test])["sixteen"]
    return {metric: result[metric] for metric in METRICS} | rows.counts()


# --- classifiers ----------------------------------------------------------------


class _Answer(NamedTuple):
    proba: NDArray[np.float64]  # (n_test, 17)
    fit_seconds: float | None  # processor time
    predict_us: float  # processor time an object


def _scikit(
    method: str,
    amounts: Amounts,
    X: NDArray[np.float32],
    labels: NDArray[np.str_],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> _Answer:
    """Fit one of scikit-learn's on rows; medians and standardisation come from training rows."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = _pipeline(method, amounts, labels[train])
    with threadpool_limits(1):  # processor time of several threads would count their waiting
        start = time.process_time()
        model.fit(X[train], labels[train])
        proba, per_object, fitted = _timed(model, X[test], start)
    return _Answer(to_all_classes(proba, model.classes_.tolist()), fitted, per_object)


def _pipeline(method: str, amounts: Amounts, labels: NDArray[np.str_]) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.svm import SVC

    if method == "forest":
        last: Any = RandomForestClassifier(amounts.trees, min_samples_leaf=2, random_state=0)
    elif method == "logistic":
        last = LogisticRegression(C=amounts.penalty, max_iter=300, tol=1e-3)
    else:
        # Platt's sigmoid for each class, learnt on parts of the training rows that a machine has not seen.
        smallest = int(np.unique(labels, return_counts=True)[1].min())
        machine = SVC(C=amounts.svm_penalty, gamma="scale", cache_size=500)
        last = CalibratedClassifierCV(machine, ensemble=False, cv=min(3, max(2, smallest)))
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_pipeline(filled, StandardScaler(), FunctionTransformer(_clipped), last)


def _clipped(Z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(Z, -_REACH, _REACH)


def _boosting(bench: Bench, item: Trial) -> _Answer:
    X, config = _inputs(bench, item.inputs, item.fold), item.amounts.boosting
    if item.inputs == "inputs":
        config = replace(config, max_features=item.amounts.wide_share)
    start = time.process_time()
    model = fit_fold(bench.objects, X, item.fold, config, bench.seed)
    proba, per_object, fitted = _timed(model, X[bench.objects.folds[item.fold].test], start)
    return _Answer(to_all_classes(proba, model.classes), fitted, per_object)


def _convnet_on(
    bench: Bench,
    amounts: Amounts,
    train: NDArray[np.int64],
    held: NDArray[np.int64],
    test: NDArray[np.int64],
) -> _Answer:
    steps, labels = _steps(bench), bench.objects.labels
    start = time.process_time()
    model = Convnet(amounts.convnet).fit(
        steps.take(train), labels[train], (steps.take(held), labels[held]), seed=bench.seed
    )
    proba, per_object, fitted = _timed(model, steps.take(test), start)
    return _Answer(to_all_classes(proba, model.classes), fitted, per_object)


def _default(bench: Bench, k: int) -> _Answer:
    """Our pipeline's own answer; timed from light curve to class, on fewer objects."""
    test = bench.objects.folds[k].test
    pipeline, curves = pipeline_of(bench, k), bench.objects.curves.take(test[:N_TIMED])
    pipeline.predict(curves.take(np.arange(min(8, len(curves)))), jobs=1)  # compile first
    start = time.process_time()
    pipeline.predict(curves, jobs=1)
    seconds = time.process_time() - start
    return _Answer(said_of(bench).proba[test], None, 1e6 * seconds / len(curves))


def _timed(model: Any, X: Any, start: float) -> tuple[NDArray[np.float64], float, float]:
    """Probabilities, processor time an object [us], and processor time since `start` [s]."""
    middle = time.process_time()
    proba = np.asarray(model.predict_proba(X))
    return proba, 1e6 * (time.process_time() - middle) / max(len(proba), 1), middle - start


# --- inputs and results ---------------------------------------------------------


def _inputs(bench: Bench, name: str, k: int) -> NDArray[np.float32]:
    return latents_of(bench, k) if name == "latents" else inputs_of(bench, k)


def _steps(bench: Bench) -> Steps:
    """What the paper's encoder reads, of every object; no part of it is learnt."""
    config = seed_config(bench)
    return make_steps(preprocess(bench.objects.curves, config.preprocess), config.encoder.steps)


def _scores(
    objects: Objects, labels: NDArray[np.str_], simulated: NDArray[np.bool_], answer: _Answer
) -> dict[str, Any]:
    result = scored(labels, answer.proba, simulated)
    names, counts = np.unique(objects.labels, return_counts=True)
    common = names[np.argsort(-counts)][:N_COMMON]
    return {name: {metric: result[name][metric] for metric in METRICS} for name in ("sixteen", "real")} | {
        "rare": _mean_of(result["sixteen"]["per_class"], RARE),
        "common": _mean_of(result["sixteen"]["per_class"], common.tolist()),
        "confusion": result["sixteen"]["confusion"],
        "fit_seconds": answer.fit_seconds,
        "predict_us": answer.predict_us,
        "n_test": len(labels),
    }


def _mean_of(per_class: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """Mean precision and recall of some classes; a class that is never forecast has precision 0."""
    rows = [per_class[name] for name in names if name in per_class]
    return {
        metric: float(np.mean([row[metric] or 0.0 for row in rows])) if rows else float("nan")
        for metric in ("precision", "recall")
    }


def _row(
    method: str, inputs: str, results: Sequence[Mapping[str, Any]], leak: Mapping[str, Any] | None
) -> dict[str, Any]:
    """One classifier over the folds: printed, its protocol, honest."""
    row: dict[str, Any] = {"method": method, "inputs": inputs}
    for metric in METRICS:
        row[metric] = {
            "printed": PRINTED[metric] if (method, inputs) == TRIALS[0] else None,
            "leak": leak[metric] if leak is not None else None,
            "honest": spread([result["sixteen"][metric] for result in results]),
            "real": spread([result["real"][metric] for result in results]),
        }
    for group in ("rare", "common"):
        row[group] = {
            metric: spread([result[group][metric] for result in results])
            for metric in ("precision", "recall")
        }
    row["fit_seconds"] = spread([result["fit_seconds"] for result in results])
    row["predict_us"] = spread([result["predict_us"] for result in results])
    row["confusion"] = np.sum([result["confusion"] for result in results], axis=0).tolist()
    if leak is not None:
        row["leak_rows"] = {name: leak[name] for name in ("n_train", "n_test", "shared")}
    return row


def _difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[float]:
    """Fold by fold, so that what makes a fold easy for all falls out."""
    return [float(a - b) for a, b in zip(ours["folds"], theirs["folds"], strict=True)]


def _summary(bench: Bench, amounts: Amounts, rows: list[dict[str, Any]]) -> dict[str, Any]:
    objects = bench.objects
    names, counts = np.unique(objects.labels, return_counts=True)
    order = np.argsort(-counts)[:N_COMMON]
    leaky = {row["method"]: row for row in rows if "leak_rows" in row}
    return {
        "printed": dict(PRINTED) | {"baseline_auc": list(PRINTED_BASELINE_AUC)},
        "leak": {name: {metric: row[metric]["leak"] for metric in METRICS} for name, row in leaky.items()},
        "honest": {
            f"{row['method']} on {row['inputs']}": {metric: row[metric]["honest"] for metric in METRICS}
            for row in rows
        },
        "n_objects": len(objects),
        "n_real": int((~objects.simulated).sum()),
        "n_folds": bench.scale.n_folds,
        "preset": bench.scale.preset,
        "rare": list(RARE),
        "common": [f"{names[i]}" for i in order],
        "classes": list(PAPER_CLASSES),
        "protocol": _protocol(bench, amounts),
        "rows": rows,
    }


def _protocol(bench: Bench, amounts: Amounts) -> str:
    objects, n_folds = bench.objects, bench.scale.n_folds
    return (
        f"{len(objects):,} objects ({int((~objects.simulated).sum()):,} real, the rest simulated) of "
        f"{len(np.unique(objects.labels))} classes, whole light curves, {n_folds} folds by object; every "
        "classifier is fit on the same training objects of a fold, once each and without help for rare "
        "classes; the fold's held-out tenth stops the boosting and the network and is not used otherwise. "
        "Settings were fixed beforehand, none was chosen on test objects. The preset "
        f"{bench.scale.preset} alone is trained on truncated and augmented copies of the same objects, with "
        "class weights and calibrated on the held-out tenth. Spread: sample standard deviation over folds. "
        f"Its protocol: rows oversampled to balance before the split, {amounts.leaky_rows:,} of them kept "
        "at random, one run on fold 1's latents."
    )


def _leaky(method: str, amounts: Amounts) -> LeakyTrial:
    rows = amounts.leaky_svm_rows if method == "svm" else amounts.leaky_rows
    return LeakyTrial(method, "light curves" if method == "convnet" else "latents", rows, amounts)


def _costly_first(trials: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Long items first, so that no core waits for the last one."""
    cost = {("boosting", "inputs"): 3, ("convnet", "light curves"): 2}
    return sorted(trials, key=lambda one: -cost.get(one, 0))


PART = Part(
    name="baselines",
    key="baselines",
    title="Baselines on the same folds and inputs",
    needs=("encode", "ours"),
    measure=measure,
    show=show,
)
