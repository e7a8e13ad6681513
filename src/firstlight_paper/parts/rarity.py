"""Limitation: rare classes. Scores of a class against the number of objects that it is learnt from.

The inputs are ours without the template fits, since templates are made from the labels of all training
objects of their class, the removed ones included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.classify import LightGBMConfig, TrainingRows
from firstlight.splits import check_disjoint
from firstlight.taxonomy import CLASSES
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.leak import leaky_rows
from firstlight_paper.models import boosted, inputs_of, pipeline_of, proba_of
from firstlight_paper.page.tables import markdown
from firstlight_paper.printed import PRINTED_F1
from firstlight_paper.scores import REAL, Values, scored
from firstlight_paper.view import View

#: Rare classes of the real objects, which are thinned.
THINNED = ("TDE", "SLSN-I", "SNIbc", "SNIa-91bg")
_LEARNT_WITH_LABELS = "template_"  # beginning of the names of such inputs
_SHOWN = ("precision", "recall", "f1")


_BOOSTER = LightGBMConfig(rounds=60, learning_rate=0.1, leaves=15, feature_fraction=0.2, max_bin=63)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Training objects that each thinned class keeps (0: all), folds, and the paper's protocol's rows."""

    sizes: tuple[int, ...] = (5, 10, 20, 40, 80, 160, 0)
    leaky_sizes: tuple[int, ...] = (5, 20, 80, 0)
    folds: int = 2
    leaky_rows: int = 6000
    config: LightGBMConfig = _BOOSTER


def thinned(
    labels: NDArray[np.str_], rows: NDArray[np.int64], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of which each class of `THINNED` keeps at most `size` (0: all); sets are nested."""
    order = rng.permutation(rows)
    keep = [order[~np.isin(labels[order], THINNED)]]
    keep += [order[labels[order] == name][: size or None] for name in THINNED]
    return np.sort(np.concatenate(keep))


def label_free_inputs(context: Context, fold: int) -> NDArray[np.float32]:
    """Our inputs without those that were made with labels, shape (n_objects, n_inputs)."""
    names = pipeline_of(context, fold).input_names
    return inputs_of(context, fold)[:, [not name.startswith(_LEARNT_WITH_LABELS) for name in names]]


def _learnt(
    context: Context, fold: int, progress: Progress, *, size: int, how: str, amount: Amount
) -> Outcome:
    """Train on a thinned set; ``copied`` is the paper's protocol: thin all objects, copy, then split."""
    objects, names = context.objects, context.objects.curves.object_id
    X, rng = label_free_inputs(context, fold), context.rng("rarity", fold)
    progress("train", 0.3)
    if how == "copied":
        some = thinned(objects.labels, np.arange(len(objects)), size, rng)
        leaky = leaky_rows(objects.labels[some], rng, most=amount.leaky_rows)
        train, test = some[leaky.train], some[leaky.test]
        counts = more({"shared": leaky.shared}, "protocol")
    else:
        train, test = thinned(objects.labels, objects.learn(fold), size, rng), objects.folds[fold].test
        check_disjoint(names[train], names[test])
        counts = {}
    config = replace(amount.config, class_weight_exponent=1.0 if how == "weights" else 0.0)
    proba = proba_of(
        boosted(TrainingRows(X[train], objects.labels[train]), config, seed=context.seed), X[test]
    )
    column = "protocol" if how == "copied" else "ours"
    labels, real = objects.labels[test], ~objects.simulated[test]
    of_real = scored(column, labels[real], proba[real], np.zeros(int(real.sum()), dtype=bool), (), _SHOWN)
    values: Values = scored(column, labels, proba, ~real, ("macro_f1",)) | counts
    for name in THINNED:
        values |= {
            (column, REAL, f"{m}:{name}"): of_real.get((column, 16, f"{m}:{name}"), 0.0) for m in _SHOWN
        }
        called = real & (proba.argmax(axis=1) == CLASSES.index(name)) & (labels != name)
        values[column, REAL, f"false:{name}"] = 1000.0 * float(called.sum() / real.sum())
        values["", 0, f"n_train:{name}"] = float(len(np.unique(train[objects.labels[train] == name])))
    return Outcome(values)


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """Every size with and without class weights, and by the paper's protocol."""
    folds = range(min(amount.folds, context.scale.n_folds))
    cases = [(size, how, folds) for size in amount.sizes for how in ("plain", "weights")]
    cases += [(size, "copied", range(1)) for size in amount.leaky_sizes]
    return [
        Variant(name=_name(size, how), work=partial(_learnt, size=size, how=how, amount=amount), folds=some)
        for size, how, some in cases
    ]


def _name(size: int, how: str) -> str:
    return f"{size or 'all'} {how}"


def _n_train(view: View, size: int, how: str, name: str) -> float:
    return view.number(_name(size, how), f"n_train:{name}")


def facts(view: View) -> Mapping[str, Any]:
    """Means over the four classes, by size, balance and metric."""

    def average(size: int, how: str, metric: str) -> float:
        column = "protocol" if how == "copied" else "ours"
        found = [view.mean(_name(size, how), f"{metric}:{c}", REAL, column=column) for c in THINNED]
        return float(np.mean(found))

    return {"average": average}


def table(view: View) -> str:
    """Scores of the thinned classes by number of training objects."""
    body = []
    for name in THINNED:
        for size in view.amount.sizes:
            n = _n_train(view, size, "plain", name)
            if n < size:
                continue  # there are not so many: the same as all
            cells = [
                view.spread(_name(size, how), f"{m}:{name}", REAL).text(2)
                for how in ("plain", "weights")
                for m in ("recall", "precision", "f1")
            ]
            cells += [
                view.spread(_name(size, how), f"false:{name}", REAL).text(1) for how in ("plain", "weights")
            ]
            leak = view.spread(_name(size, "copied"), f"f1:{name}", REAL, "protocol").text(2)
            body.append([name, f"{n:.0f}", *cells, leak, "-" if size else f"{PRINTED_F1[name]:.2f}"])
    head = ["class", "training objects"]
    head += [f"{m}, {b}" for b in ("no weights", "weights") for m in ("recall", "precision", "F1")]
    head += ["false positives per 1,000, no weights", "false positives per 1,000, weights"]
    return markdown([*head, "F1, paper's protocol (leaks)", "F1, as published"], body)


RARITY = Part(
    name="rarity",
    group="limitations",
    needs=("inputs",),
    full=Amount(),
    variants=variants,
    tables={"rarity": table},
    facts=facts,
)
