"""Scores of whole pipelines on unseen objects: a fixed hold-out, and cross-validation over objects.

Every object is tested once, by a pipeline that has never seen it; see `firstlight.experiments.fold`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._types import Progress, no_progress
from firstlight.data import Truth
from firstlight.errors import DataError
from firstlight.experiments.fold import (
    FoldTask,
    load_fold,
    predict_phases,
    read_fold,
    run_fold,
    those_of,
)
from firstlight.lightcurves import LightCurve, LightCurves, RedshiftMode
from firstlight.metrics import PHASES, Evaluation, Snapshot, phase_name
from firstlight.metrics.evaluation import left_out_note
from firstlight.parallel import side_by_side
from firstlight.pipeline import Pipeline, PipelineConfig
from firstlight.pipeline.explanation import Explanation
from firstlight.predictions import Predictions
from firstlight.provenance import provenance
from firstlight.report.html import ReportContent, write_report
from firstlight.splits import check_distinct, hash_split, stratified_folds, twins_note
from firstlight.taxonomy import Taxonomy


def run_holdout(
    curves: LightCurves,
    labels: NDArray[np.str_],
    config: PipelineConfig,
    out: Path,
    *,
    redshift: RedshiftMode = "photo",
    seed: int = 0,
    taxonomy: Taxonomy | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on the fixed 60 % / 20 % split, score on the other 20 %, write a report.

    Parameters
    ----------
    curves : LightCurves
        All objects.
    labels : str array, shape (n_objects,)
        Class of each object. Objects of other classes than those of the taxonomy are left out and counted.
    config : PipelineConfig
        Settings of the pipeline.
    out : Path
        Folder for ``bundle``, predictions by phase, ``metrics.json`` and ``report.html``.
        A killed run resumes.
    redshift : {"photo", "spec", "none"}
        Which host redshift models see, in training and in test.
    seed : int
        Seed of every random choice.
    taxonomy : Taxonomy, optional
        The classes; by default those of firstlight.
    jobs : int, optional
        Threads; by default one per core.
    progress : callable, optional
        Called with a stage's name and the fraction of it that is done.

    Returns
    -------
    dict
        The content of ``metrics.json``.

    Raises
    ------
    LeakageError
        If an object is on both sides under one name or two.
    DataError
        If there are too few objects to learn, calibrate and test.
    """
    curves, labels, notes = _of_known_classes(curves, labels, taxonomy)
    fold = hash_split(curves.object_id)
    if not all(map(len, fold)):
        sizes = " / ".join(str(len(part)) for part in fold)
        raise DataError(
            f"{len(curves)} objects split by the hash of their names into {sizes} to learn, to calibrate and "
            "to test; all three need some: give more objects, or use crossval"
        )
    task = FoldTask(
        name="hold-out",
        curves=curves,
        labels=labels,
        fold=fold,
        config=config,
        redshift=redshift,
        seed=seed,
        taxonomy=Taxonomy() if taxonomy is None else taxonomy,
        folder=out,
        jobs=jobs,
    )
    result = run_fold(task, progress or no_progress)
    protocol = (
        f"preset {config.name}, {_REDSHIFT[redshift]}; fixed split of {len(curves):,} objects by the hash of "
        f"their names: {len(fold.train):,} to learn, {len(fold.validation):,} for early stopping and "
        f"calibration, {len(fold.test):,} to test, which nothing has seen"
    )
    return _conclude([task], [result], protocol, f"firstlight: hold-out of preset {config.name}", out, notes)


def run_crossval(
    curves: LightCurves,
    labels: NDArray[np.str_],
    config: PipelineConfig,
    out: Path,
    *,
    n_folds: int = 5,
    redshift: RedshiftMode = "photo",
    seed: int = 0,
    taxonomy: Taxonomy | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Cross-validate a whole pipeline over objects and write a report; see also `run_holdout`.

    Parameters
    ----------
    curves, labels, config, out, redshift, seed, taxonomy, progress
        As for `run_holdout`; finished folds are kept.
    n_folds : int
        Number of folds; classes are spread evenly over them.
    jobs : int
        Parallel folds, of one thread each; 1 uses one core.

    Returns
    -------
    dict
        The content of ``metrics.json``; see `firstlight.metrics.summarise_folds`.
    """
    curves, labels, notes = _of_known_classes(curves, labels, taxonomy)
    tasks = crossval_tasks(
        curves, labels, config, out, n_folds=n_folds, redshift=redshift, seed=seed, taxonomy=taxonomy
    )
    progress = progress or no_progress
    if jobs > 1:
        by_name = {task.name: task for task in tasks}
        done = dict(side_by_side(run_fold, by_name, jobs, progress=lambda _, *stage: progress(*stage)))
        results = [done[name] for name in by_name]
    else:
        results = [run_fold(task, progress) for task in tasks]
    protocol = (
        f"preset {config.name}, {_REDSHIFT[redshift]}; stratified {n_folds}-fold cross-validation over "
        f"{len(curves):,} objects: encoder, classifier, scaling, early stopping and calibration see training "
        f"folds only, every object is tested once; seed {seed}"
    )
    title = f"firstlight: cross-validation of preset {config.name}"
    return _conclude(tasks, results, protocol, title, out, notes)


def crossval_tasks(
    curves: LightCurves,
    labels: NDArray[np.str_],
    config: PipelineConfig,
    out: Path,
    *,
    n_folds: int = 5,
    redshift: RedshiftMode = "photo",
    seed: int = 0,
    taxonomy: Taxonomy | None = None,
) -> list[FoldTask]:
    """The folds of `run_crossval`, as tasks of one thread each."""
    folds = stratified_folds(
        curves.object_id,
        labels,
        n_folds,
        rng=np.random.default_rng(seed),
        validation=config.copies.validation_fraction,
    )
    return [
        FoldTask(
            name=f"fold {k + 1}",
            curves=curves,
            labels=labels,
            fold=fold,
            config=config,
            redshift=redshift,
            seed=seed,
            taxonomy=Taxonomy() if taxonomy is None else taxonomy,
            folder=out / f"fold-{k + 1}",
            jobs=1,
        )
        for k, fold in enumerate(folds)
    ]


def evaluate_predictions(
    predictions: Predictions,
    truth: Truth,
    out: Path,
    *,
    curves: LightCurves | None = None,
    bundle: Path | None = None,
    redshift: RedshiftMode = "photo",
    jobs: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score predictions against the truth and write ``metrics.json`` and ``report.html``.

    Parameters
    ----------
    predictions : Predictions
        Predictions of whole or truncated light curves.
    truth : Truth
        Labels, in any order.
    out : Path
        Folder for the results.
    curves : LightCurves, optional
        The light curves, for the examples of the report.
    bundle : Path, optional
        The bundle that made the predictions. Objects that it was trained on are counted; with
        `curves`, scores by days since trigger and the latent space are added.
    redshift : {"photo", "spec", "none"}
        Which host redshift the predictions were made with.
    jobs, progress
        As for `run_holdout`.

    Returns
    -------
    dict
        The content of ``metrics.json``.

    Raises
    ------
    DataError
        If no predicted object has a label, or `curves` lacks one of them.
    """
    evaluation, notes = Evaluation.from_predictions(predictions, truth.object_id, truth.label)
    protocol = f"predictions of {len(evaluation.labels):,} objects as given, scored against the truth file"
    pipeline = None if bundle is None else Pipeline.load(bundle)
    if pipeline is None:
        protocol += "; whether their classifier was trained on these objects is not known here"
    else:
        seen = int(pipeline.trained_on(evaluation.object_id).sum())
        protocol += f"; the bundle was trained on {seen:,} of them"
        if seen:
            notes += (
                f"{seen:,} of these {len(evaluation.labels):,} objects are among those that the bundle was "
                "trained on: scores on them show how well it remembers, not how well it will do on new ones.",
            )
    latent = None
    absent = 0 if curves is None else int((~np.isin(evaluation.object_id, curves.object_id)).sum())
    if absent:
        notes += (f"{absent:,} of these objects have no light curve in the data.",)
    if curves is not None and pipeline is not None:
        here = those_of(curves.with_redshift(redshift), evaluation.object_id)
        by_phase = predict_phases(
            pipeline, here, phases=PHASES[:-1], jobs=jobs, progress=progress or no_progress
        )
        snapshots = {name: Snapshot.of(part) for name, part in by_phase.items()}
        evaluation = replace(evaluation, by_phase=snapshots)
        latent = pipeline.latents(here)
    content = ReportContent(
        title="firstlight: predictions against truth",
        run=provenance([*evaluation.object_id.tolist(), *evaluation.labels.tolist()]),
        evaluation=evaluation,
        protocol=protocol,
        preset="" if pipeline is None else str(pipeline.info.get("preset", "")),
        warnings=notes,
        curves=curves,
        latent=latent,
        explain=None if pipeline is None else _explainer([pipeline], {}),
    )
    return write_report(out, content)


# --- private --------------------------------------------------------------------

DATA_NOTICE = (
    "where it is PLAsTiCC: the PLAsTiCC team and modelers, CC-BY 4.0, doi:10.5281/zenodo.2539456; "
    "Kessler et al. 2019, doi:10.1088/1538-3873/ab26f1"
)
_REDSHIFT: Mapping[str, str] = {
    "photo": "photometric host redshift",
    "spec": "spectroscopic host redshift where known",
    "none": "no redshift",
}


def _of_known_classes(
    curves: LightCurves, labels: NDArray[np.str_], taxonomy: Taxonomy | None
) -> tuple[LightCurves, NDArray[np.str_], tuple[str, ...]]:
    """The objects that can be predicted right, and sentences for the report on the others and on twins.

    Raises LeakageError for one light curve under two names.
    """
    check_distinct(curves)  # before hours of training, not after
    known = np.isin(labels, (Taxonomy() if taxonomy is None else taxonomy).classes)
    notes = [] if known.all() else [left_out_note(labels[~known])]
    curves, labels = curves.take(known), labels[known]
    if note := twins_note(curves):
        notes.append(note)
    return curves, labels, tuple(notes)


def _gather(tasks: list[FoldTask]) -> Evaluation:
    """Test objects of all folds together."""
    by_phase = {
        phase_name(days): Predictions.concatenate([read_fold(task.folder, days) for task in tasks])
        for days in PHASES
    }
    whole = by_phase[phase_name(PHASES[-1])]
    rows = np.concatenate([task.fold.test for task in tasks])
    fold = np.repeat(np.arange(len(tasks)), [len(task.fold.test) for task in tasks])
    return Evaluation(
        object_id=whole.object_id,
        labels=tasks[0].labels[rows],
        proba=whole.proba,
        classified=whole.is_classified,
        classes=whole.classes,
        fold=fold if len(tasks) > 1 else None,
        by_phase={name: Snapshot.of(part) for name, part in by_phase.items()},
        in_set=Snapshot.of(whole).in_set,
    )


def _conclude(
    tasks: list[FoldTask],
    results: Sequence[Mapping[str, Any]],
    protocol: str,
    title: str,
    out: Path,
    notes: tuple[str, ...],
) -> dict[str, Any]:
    """Join the results of all folds into metrics.json and report.html."""
    first = tasks[0]
    evaluation = _gather(tasks)
    shown = those_of(first.curves, evaluation.object_id).with_redshift(first.redshift)
    pipelines = [load_fold(task.folder) for task in tasks]
    # Each fold's encoder has axes of its own, so the latents of the first fold's test objects are drawn.
    notes += _unlearnt(pipelines)
    n_first = len(first.fold.test)
    own = pipelines[0].latents(shown.take(np.arange(n_first)))
    latent = np.full((len(shown), own.shape[1]), np.nan)
    latent[:n_first] = own
    content = ReportContent(
        title=title,
        run=provenance([first.curves.fingerprint, *first.labels.tolist()], seed=first.seed),
        evaluation=evaluation,
        protocol=protocol,
        preset=first.config.name,
        warnings=((first.config.warning,) if first.config.warning else ()) + notes,
        curves=shown,
        latent=latent,
        explain=_explainer(pipelines, _fold_of(evaluation)),
        histories=tuple(pipeline.history for pipeline in pipelines),
        timings={
            f"{key}, mean of {len(tasks)}": float(np.mean([result[key] for result in results]))
            for key in ("train", "score")
        },
        facts={
            "redshift": _REDSHIFT[first.redshift],
            "seed": str(first.seed),
            "inputs": f"{len(pipelines[0].input_names)} of each object: {', '.join(first.config.inputs)}",
            "data": DATA_NOTICE,
        },
    )
    return write_report(out, content)


def _unlearnt(pipelines: Sequence[Pipeline]) -> tuple[str, ...]:
    """A sentence for each class that some pipeline had too few objects to learn."""
    folds = Counter(name for pipeline in pipelines for name in pipeline.info.get("left_out", ()))
    return tuple(
        f"{name}: too few objects to learn in {n} of {len(pipelines)} training set(s); its test objects "
        "count as errors there."
        for name, n in sorted(folds.items())
    )


def _fold_of(evaluation: Evaluation) -> dict[str, int]:
    """Fold of each test object; empty if there is one."""
    if evaluation.fold is None:
        return {}
    return dict(zip(evaluation.object_id.tolist(), evaluation.fold.tolist(), strict=True))


def _explainer(
    pipelines: Sequence[Pipeline], fold_of: Mapping[str, int]
) -> Callable[[LightCurve, str | None], Explanation]:
    """Explain each object by the pipeline of its fold, which was not trained on it."""

    def explain(curve: LightCurve, against: str | None) -> Explanation:
        pipeline = pipelines[fold_of.get(curve.object_id, 0)]
        return pipeline.explain(curve, against=against if against in pipeline.classes else None)

    return explain
