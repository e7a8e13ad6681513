"""105 cycles of tuning of the paper's classifier: on inner folds only, scored once on the outer.

The study runs on the learning objects of outer fold 1; its test objects are the only ones
that neither the autoencoder nor the choice of the settings has seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.classify import SklearnBoosterConfig, TrainingRows
from firstlight.experiments.plots import parallel_coordinates, parameter_importance, tuning_history
from firstlight.experiments.study import LOGARITHMIC, PARAMETERS, TuneConfig, Tuning, tune
from firstlight.metrics.compare import N_RESAMPLES, compare
from firstlight_paper.booster import PLAIN, fold_proba, leaky_proba
from firstlight_paper.leak import leaky_rows
from firstlight_paper.printed import PRINTED
from firstlight_paper.scores import HEADLINE, scored, spread
from firstlight_paper.section import Block, Part, Picture, Section, Table, number
from firstlight_paper.shared import latents_of
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["PART", "measure", "show"]

STAGE = "tuning"

#: Two inner folds: each learning object judges every complete trial once, at half the cost of four.
FULL = TuneConfig(n_trials=105, inner_folds=2)
QUICK = TuneConfig(n_trials=10, inner_folds=2, startup=5, n_estimators=(10, 40), max_depth=(1, 4))

MOST_LEAKY_ROWS = {"full": 20_000}  # of those balanced before the split, to bound the cost
MOST_LEAKY_ROWS_QUICK = 2_000

_EDGE = 0.03  # of a range, near its ends

_METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "macro_auc": "macro AUC",
    "log_loss": "log-loss [nat]",
}


@dataclass(frozen=True)
class Trained:
    """What is fitted once the study has ended.

    Attributes
    ----------
    kind : str
        ``"clean"``: untuned and tuned on outer fold 1; ``"leak"``: both by the paper's protocol;
        ``"fold"``: the untuned settings on another outer fold, for the spread between folds.
    fold : int
        Outer fold.
    settings : tuple of SklearnBoosterConfig
        To be fitted.
    most : int
        Rows of the paper's protocol at most.
    study : str
        Identity of the study that chose them; empty where none did.
    """

    kind: str
    fold: int
    settings: tuple[SklearnBoosterConfig, ...]
    most: int = 0
    study: str = ""


def measure(workshop: Workshop) -> dict[str, Any]:
    """Run the study (or what is missing of it), then score its choice once.

    Parameters
    ----------
    workshop : Workshop
        The stage ``encode`` must have run.

    Returns
    -------
    dict
        As `show` takes it.
    """
    bench = workshop.bench
    config = FULL if bench.scale.is_full else QUICK
    found = tune(
        learning_rows(bench),
        bench.keep(STAGE) / "study.sqlite",
        config,
        PLAIN,
        seed=bench.seed,
        jobs=workshop.jobs,
        progress=workshop.report,
    )
    both = (PLAIN, found.best)
    most = MOST_LEAKY_ROWS.get(bench.scale.name, MOST_LEAKY_ROWS_QUICK)
    items = {
        "clean": Trained("clean", 0, both, study=found.study),
        "leak": Trained("leak", 0, both, most, found.study),
    }
    items |= {f"fold-{k + 1}": Trained("fold", k, (PLAIN,)) for k in range(1, bench.scale.n_folds)}
    return _result(bench, config, found, workshop.map(f"{STAGE}-scores", _fit, items))


def learning_rows(bench: Bench) -> TrainingRows:
    """What the study sees: latents of the objects that outer fold 1 may learn from, no others."""
    objects = bench.objects
    learn = objects.learn(0)
    X = latents_of(bench, 0)[learn]
    return TrainingRows(X, objects.labels[learn], object_id=objects.curves.object_id[learn])


def show(result: Mapping[str, Any]) -> Section:
    """Paragraphs, the scores before and after, the settings, three pictures.

    Parameters
    ----------
    result : mapping
        What `measure` gave, read back from JSON.
    """
    trials = result["trials"]
    blocks: list[Block] = [
        result["protocol"],
        _words(result),
        _score_table(result),
        _settings_table(result),
        Picture(
            name="tuning-history",
            figure=tuning_history(trials, result["inner"]["untuned"]),
            caption=f"Log-loss on the inner folds, trial by trial ({result['n_trials']} trials). The "
            "lowest of so many is partly luck; the outer fold says what is left of it.",
        ),
    ]
    if result["importances"]:
        blocks.append(
            Picture(
                name="tuning-importance",
                figure=parameter_importance(result["importances"], PARAMETERS),
                caption=f"What the inner log-loss depends on, over {result['n_complete']} complete trials.",
            )
        )
    blocks.append(
        Picture(
            name="tuning-parallel",
            figure=parallel_coordinates(trials, PARAMETERS, LOGARITHMIC),
            caption="Each complete trial is a line through its settings to its inner log-loss; grey "
            "ones were stopped early.",
        )
    )
    return Section(title=PART.title, blocks=tuple(blocks))


# --- measure ------------------------------------------------------------------------


def _fit(bench: Bench, item: Trained, report: Report) -> dict[str, Any]:
    """Train and score each of the settings; for two of them, the spread of their difference."""
    objects, X = bench.objects, latents_of(bench, item.fold)
    if item.kind == "leak":
        rows = leaky_rows(objects.labels, bench.rng("tuning-leak"), most=item.most)
        tested = rows.test
        extra: dict[str, Any] = {"shared": rows.shared, "n_train": len(rows.train), "n_test": len(tested)}
    else:
        tested = objects.folds[item.fold].test
        extra = {"n_test": len(tested), "n_simulated": int(objects.simulated[tested].sum())}
    labels, simulated = objects.labels[tested], objects.simulated[tested]
    said: list[NDArray[np.float64]] = []
    for settings in item.settings:
        if item.kind == "leak":
            said.append(leaky_proba(objects, X, rows, settings, bench.seed))
        else:
            said.append(fold_proba(objects, X, item.fold, settings, bench.seed))
        report("fit", len(said) / len(item.settings))
    scores = [_slim(scored(labels, proba, simulated)) for proba in said]
    result = extra | dict(zip(("untuned", "tuned"), scores, strict=False))
    if item.kind == "clean":
        real = ~simulated
        result["difference"] = {
            "sixteen": compare(labels, said[0], said[1], seed=bench.seed),
            "real": compare(labels[real], said[0][real], said[1][real], seed=bench.seed),
        }
    return result


def _slim(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a whole set alone."""
    return {name: {metric: scores[name][metric] for metric in HEADLINE} for name in ("sixteen", "real")}


def _result(
    bench: Bench, config: TuneConfig, found: Tuning, fits: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    clean, leak = fits["clean"], fits["leak"]
    untuned = [clean["untuned"]] + [fit["untuned"] for name, fit in fits.items() if name.startswith("fold-")]
    tuned = clean["tuned"]["sixteen"]["accuracy"]
    return {
        "n_trials": len(found.trials),
        "n_complete": sum(trial["state"] == "complete" for trial in found.trials),
        "protocol": _protocol(bench, config, clean, leak),
        "study": found.study,
        "accuracy": {
            "printed": PRINTED["accuracy"],
            "leak": leak["tuned"]["sixteen"]["accuracy"],
            "honest": tuned,
        },
        "printed": dict(PRINTED),
        "leak": dict(leak),
        "honest": dict(clean)
        | {
            "untuned_over_folds": {
                name: {metric: spread([fold[name][metric] for fold in untuned]) for metric in HEADLINE}
                for name in ("sixteen", "real")
            }
        },
        "inner": {"untuned": found.untuned, "tuned": found.trials[-1]["best"]},
        "settings": {
            "untuned": {name: getattr(PLAIN, name) for name in PARAMETERS},
            "tuned": {name: getattr(found.best, name) for name in PARAMETERS},
            "range": {name: list(getattr(config, name)) for name in PARAMETERS},
        },
        "importances": found.importances,
        "trials": list(found.trials),
    }


def _protocol(bench: Bench, config: TuneConfig, clean: Mapping[str, Any], leak: Mapping[str, Any]) -> str:
    n_learn = len(bench.objects.learn(0))
    return (
        f"Six latents of {n_learn:,} objects, those that outer fold 1 may learn from; each trial is judged "
        f"by its mean log-loss over {config.inner_folds} inner folds of these objects and stopped after the "
        "first if that is worse than the median. Log-loss decides because it moves with every object; macro "
        "F1 moves in steps with the few objects of rare classes. The chosen settings were scored once, on "
        f"the {clean['n_test']:,} test objects of outer fold 1 ({clean['n_simulated']:,} of them simulated), "
        "beside the untuned settings, which stop by a held-out tenth; the spread of the difference is the "
        f"standard deviation of {N_RESAMPLES:,} paired resamplings of these objects. The test objects of the "
        "other folds are among those that chose the settings, so the tuned settings are not scored there; "
        f"the untuned ones are, for the spread between {bench.scale.n_folds} folds. Its protocol: classes "
        f"balanced by copies before the split, {leak['n_train']:,} rows to train and {leak['n_test']:,} to "
        f"test, {100.0 * leak['shared']:.0f} % of the test rows copies of objects trained on; same latents, "
        "same two settings (the study is the honest one), no early stopping."
    )


# --- show ---------------------------------------------------------------------------


def _words(result: Mapping[str, Any]) -> str:
    """What tuning gave, from the numbers."""
    honest, leak = result["honest"], result["leak"]
    change = honest["difference"]["sixteen"]["accuracy"]
    loss = honest["difference"]["sixteen"]["log_loss"]
    folds = honest["untuned_over_folds"]["sixteen"]["accuracy"]
    inner = result["inner"]
    text = (
        f"Tuning moves accuracy on unseen objects by {change['difference']:+.3f} ± {change['std']:.3f} "
        f"(from {change['before']:.3f} to {change['after']:.3f}; 95 % of the resamplings lie between "
        f"{change['low']:+.3f} and {change['high']:+.3f}) and log-loss by {loss['difference']:+.3f} ± "
        f"{loss['std']:.3f} nat; on the inner folds, where it was chosen, log-loss went from "
        f"{inner['untuned']:.3f} to {inner['tuned']:.3f} nat. "
    )
    text += _verdict(change) + _edges(result["settings"])
    if folds["std"]:
        ratio = abs(change["difference"]) / folds["std"]
        text += (
            f" Untuned accuracy differs by {folds['std']:.3f} between folds (standard deviation, "
            f"{len(folds['folds'])} folds); what tuning moved is {ratio:.1f} times that."
        )
    jump = leak["untuned"]["sixteen"]["accuracy"] - honest["untuned"]["sixteen"]["accuracy"]
    text += (
        f" Changing the protocol instead of the settings moves the untuned accuracy by {jump:+.3f}, to "
        f"{leak['untuned']['sixteen']['accuracy']:.3f} (tuned: {leak['tuned']['sixteen']['accuracy']:.3f}; "
        f"the paper prints {result['printed']['accuracy']:.2f} after its 105 cycles)."
    )
    return text


def _verdict(change: Mapping[str, float]) -> str:
    if change["low"] > 0.0:
        return "The gain in accuracy is more than the choice of test objects explains."
    if change["high"] < 0.0:
        return "The tuned accuracy is worse there, by more than the choice of test objects explains."
    return "The choice of test objects alone explains a difference in accuracy of this size."


def _edges(settings: Mapping[str, Any]) -> str:
    """Tuned settings at an end of what was tried, where better ones may lie beyond."""
    found = []
    for name, words in PARAMETERS.items():
        low, high = settings["range"][name]
        ends = np.array([low, settings["tuned"][name], high], dtype=np.float64)
        low, tuned, high = np.log(ends) if name in LOGARITHMIC else ends
        share = (tuned - low) / (high - low)
        if not _EDGE < share < 1.0 - _EDGE:
            found.append(f"{words} ({'lowest' if share <= _EDGE else 'highest'} tried)")
    return f" At or near the end of its range: {', '.join(found)}." if found else ""


def _score_table(result: Mapping[str, Any]) -> Table:
    honest, leak = result["honest"], result["leak"]
    rows = []
    for name, words in (("sixteen", "16 classes"), ("real", "13 real classes")):
        for metric, title in _METRICS.items():
            change = honest["difference"][name].get(metric)
            row = (
                f"{title}, {words}",
                number(result["printed"].get(metric), 2) if name == "sixteen" else "-",
                number(leak["untuned"][name][metric]),
                number(leak["tuned"][name][metric]),
                number(honest["untuned"][name][metric]),
                number(honest["tuned"][name][metric]),
                "-" if change is None else f"{change['difference']:+.3f} ± {change['std']:.3f}",
            )
            rows.append(row)
    return Table(
        caption=f"Before and after {result['n_trials']} trials. Honest: {honest['n_test']:,} test objects of "
        "outer fold 1, scored once; spread of the difference: paired resampling of these objects.",
        columns=(
            "score",
            "printed, after tuning",
            "its protocol (leaks), untuned",
            "its protocol (leaks), tuned",
            "honest, untuned",
            "honest, tuned",
            "honest difference",
        ),
        rows=tuple(rows),
    )


def _settings_table(result: Mapping[str, Any]) -> Table:
    settings = result["settings"]
    rows = tuple(
        (
            words,
            *(f"{end:g}" for end in settings["range"][name]),
            f"{settings['untuned'][name]:g}" + (" at most" if name == "n_estimators" else ""),
            f"{settings['tuned'][name]:.3g}",
            number((result["importances"] or {}).get(name), 2),
        )
        for name, words in PARAMETERS.items()
    )
    return Table(
        caption="The four settings that the paper tunes. Importance: share of the variance of the inner "
        f"log-loss (fANOVA over {result['n_complete']} complete trials).",
        columns=("setting", "lowest tried", "highest tried", "untuned", "tuned", "importance"),
        rows=rows,
    )


PART = Part(
    name="tuning",
    key="tuning",
    title="105 cycles of tuning",
    needs=("encode",),
    measure=measure,
    show=show,
)
