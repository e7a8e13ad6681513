"""The loss without a redshift: answers to objects that give none.

Run ``python -m studies.no_redshift --run runs/crossval-default --train runs/no-redshift`` from the top of
the project after ``make crossval-default``; it writes ``docs/results/no-redshift.json``. A minute, and
ten more for ``--train``.

Protocol: every object of a cross-validation is answered by the bundle of its own fold, which has never
seen it: with its photometric redshift, with nothing but the statement that it lies in the Milky Way or
does not (redshift 0, else unknown), and with no redshift at all. The bundle was trained with the redshift
of a quarter of the copies hidden. `trained without` is a pipeline of the same settings, of the first
fold, that never sees a redshift in training either; prediction sets, which change no answer, are not
calibrated from folds. Spreads are standard deviations of a bootstrap over objects.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks._harness import result, write

from firstlight import LightCurves, Pipeline, load_plasticc, load_preset
from firstlight._types import FloatArray, StrArray
from firstlight.experiments.crossval import crossval_tasks
from firstlight.experiments.fold import load_fold, read_fold, run_fold, those_of
from firstlight.metrics import phase_name
from firstlight.metrics.scores import align, class_weights, headline
from firstlight.taxonomy import CLASSES, GALACTIC

OUT = Path(__file__).parent.parent / "docs" / "results" / "no-redshift.json"
VIEWS = (2.0, 8.0, 32.0, np.inf)
SCORES = ("accuracy", "macro_f1", "macro_auc", "log_loss", "ece")
N_DRAWS = 200
N_FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the cross-validation")
    parser.add_argument(
        "--train", type=Path, help="folder of a fold trained without redshifts; made if missing"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, truth = load_plasticc()
    labels = truth.labels_of(curves.object_id)
    names = ("photometric redshift", "Milky Way or not", "no redshift")
    found: dict[str, dict[str, list[FloatArray]]] = {name: {} for name in names}
    tested = []
    for folder in sorted(args.run.glob("fold-*")):
        test, pipeline = those_of(curves, read_fold(folder).object_id), load_fold(folder)
        tested.append(truth.labels_of(test.object_id))
        for name, shown in zip(names, (test, sides_only(test), test.with_redshift("none")), strict=True):
            for view, proba in answers(pipeline, shown).items():
                found[name].setdefault(view, []).append(proba)
        print(folder.name, flush=True)
    truth_labels = np.concatenate(tested)
    cases = {
        name: {view: spread(truth_labels, np.concatenate(parts)) for view, parts in views.items()}
        for name, views in found.items()
    }
    table: dict[str, Any] = {"n_folds": len(tested), "n_objects": len(truth_labels), "cases": cases}
    if args.train is not None:
        own_labels, own = trained_without(curves, labels, args.train)
        table["trained without"] = {
            "n_objects": len(own_labels),
            "cases": {view: spread(own_labels, proba) for view, proba in own.items()},
        }
        if args.run.joinpath("fold-1").exists():  # the same objects, by the bundle that knows redshifts
            same = {view: parts[0] for view, parts in found["no redshift"].items()}
            table["trained without"]["same objects, trained with"] = {
                view: spread(own_labels, proba) for view, proba in same.items()
            }
    what = f"answers without redshift, fold bundles of {args.run.name} (studies/no_redshift.py)"
    protocol = " ".join((__doc__ or "").split("Protocol: ")[1].split())
    write(args.out, result(what, "numpy", "lightgbm", protocol=protocol, **table))


def sides_only(curves: LightCurves) -> LightCurves:
    """Redshift 0 in the Milky Way, unknown elsewhere."""
    hidden = curves.with_redshift("none")
    galactic = curves.redshift == 0.0
    columns = {
        name: np.where(galactic, getattr(curves, name), getattr(hidden, name))
        for name in ("redshift", "redshift_err")
    }
    return hidden.with_columns(**columns)


def answers(pipeline: Pipeline, curves: LightCurves) -> dict[str, FloatArray]:
    """Probabilities by view."""
    return {phase_name(d): pipeline.predict(curves.upto_phase(d), jobs=1).proba for d in VIEWS}


def trained_without(
    curves: LightCurves, labels: StrArray, folder: Path
) -> tuple[StrArray, dict[str, FloatArray]]:
    """Answers of a pipeline of the first fold that was trained without redshifts."""
    config = load_preset("default")
    config = replace(config, sets=replace(config.sets, folds=0))
    task = replace(
        crossval_tasks(curves, labels, config, folder, n_folds=N_FOLDS, redshift="none")[0], folder=folder
    )
    run_fold(task, lambda stage, done: print(f"{stage} {done:.2f}", flush=True))
    return labels[task.fold.test], {phase_name(d): read_fold(folder, d).proba for d in VIEWS}


def spread(labels: StrArray, proba: FloatArray) -> dict[str, dict[str, list[float]]]:
    """`SCORES` and their standard deviations, of all objects and of the extragalactic ones."""
    table = {}
    rng, weights = np.random.default_rng(0), class_weights(CLASSES)
    chosen = {"all": labels == labels, "extragalactic": ~np.isin(labels, list(GALACTIC))}
    for name, mask in chosen.items():
        truth, own = align(labels[mask], proba[mask], CLASSES)
        whole = headline(truth, own, weights)
        draws = [
            headline(truth[i], own[i], weights) for i in rng.integers(0, len(truth), (N_DRAWS, len(truth)))
        ]
        table[name] = {
            key: [round(whole[key], 4), round(float(np.std([d[key] for d in draws], ddof=1)), 4)]
            for key in SCORES
        }
    return table


if __name__ == "__main__":
    main()
