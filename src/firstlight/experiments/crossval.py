"""Honest scores of whole pipelines: a fixed hold-out, and cross-validation over objects.

The split comes before everything else. Encoder, templates, classifier, calibration and
early stopping see training objects only; each test object is scored once, by a pipeline
that has never seen it, at every phase of `firstlight.metrics.PHASES`.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight._version import __version__
from firstlight.data import Truth
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves, RedshiftMode
from firstlight.metrics import PHASES, Evaluation, Snapshot, phase_name
from firstlight.parallel import side_by_side
from firstlight.pipeline import Pipeline, PipelineConfig
from firstlight.predictions import Predictions, read_predictions, write_predictions
from firstlight.report.html import ReportContent, write_report
from firstlight.settings import to_table
from firstlight.splits import Fold, check_disjoint, check_near_duplicates, hash_split, stratified_folds

__all__ = ["code_digest", "evaluate_predictions", "predict_phases", "run_crossval", "run_holdout"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """One pipeline to train and score: all that a worker process needs."""

    name: str
    curves: LightCurves
    labels: NDArray[np.str_]
    fold: Fold
    config: PipelineConfig
    redshift: RedshiftMode
    seed: int
    folder: Path
    jobs: int | None

    @property
    def fingerprint(self) -> str:
        """Changes with anything that would change the result."""
        parts = [
            __version__,
            json.dumps(to_table(self.config), sort_keys=True),
            self.redshift,
            str(self.seed),
        ]
        parts += [",".join(self.curves.object_id[index]) for index in self.fold]
        parts += [self.curves.fingerprint, ",".join(self.labels), code_digest()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def predict_phases(
    pipeline: Pipeline,
    curves: LightCurves,
    *,
    phases: tuple[float, ...] = PHASES,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Predictions]:
    """Classify every object as it stood at several days since its trigger.

    Parameters
    ----------
    pipeline : Pipeline
        Trained.
    curves : LightCurves
        Whole light curves.
    phases : tuple of float
        Days since trigger; infinity is the whole curve.
    jobs : int, optional
        Threads; by default one a core.
    progress : callable, optional
        Called with ``"score"`` and the fraction that is done.

    Returns
    -------
    dict of str to Predictions
        By `phase_name`, in the order of `phases`.
    """
    said = {}
    for k, days in enumerate(phases):
        said[phase_name(days)] = pipeline.predict(curves.upto_phase(days), jobs=jobs)
        if progress is not None:
            progress("score", (k + 1) / len(phases))
    return said


def run_holdout(
    curves: LightCurves,
    labels: NDArray[np.str_],
    config: PipelineConfig,
    out: Path,
    *,
    redshift: RedshiftMode = "photo",
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on the fixed 60 % / 20 % split, score on the other 20 %, write a report.

    Parameters
    ----------
    curves : LightCurves
        All objects.
    labels : str array, shape (n_objects,)
        Class of each object.
    config : PipelineConfig
        What to train.
    out : Path
        Folder for ``bundle``, ``predictions.parquet``, ``metrics.json``, ``report.html``.
        A run that was killed resumes from what is there.
    redshift : {"photo", "spec", "none"}
        Which host redshift models see, in training and in test.
    seed : int
        Seed of every random choice.
    jobs : int, optional
        Threads; by default one a core.
    progress : callable, optional
        Called with a stage's name and the fraction of it that is done.

    Returns
    -------
    dict
        What ``metrics.json`` holds.

    Raises
    ------
    LeakageError
        If an object is on both sides under one name or two.
    """
    fold = hash_split(curves.object_id)
    task = _Task(
        name="hold-out",
        curves=curves,
        labels=labels,
        fold=fold,
        config=config,
        redshift=redshift,
        seed=seed,
        folder=out,
        jobs=jobs,
    )
    _run(task, progress)
    protocol = (
        f"preset {config.name}, {_REDSHIFT[redshift]}; fixed split of {len(curves):,} objects by the hash of "
        f"their names: {len(fold.train):,} to learn, {len(fold.validation):,} for early stopping and "
        f"calibration, {len(fold.test):,} to test, which nothing has seen"
    )
    return _conclude([task], protocol, f"firstlight: hold-out of preset {config.name}", out)


def run_crossval(
    curves: LightCurves,
    labels: NDArray[np.str_],
    config: PipelineConfig,
    out: Path,
    *,
    n_folds: int = 5,
    redshift: RedshiftMode = "photo",
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Cross-validate a whole pipeline over objects and write a report.

    Parameters
    ----------
    curves, labels, config, redshift, seed, progress
        As for `run_holdout`.
    out : Path
        Folder; each finished fold is kept, so that a killed run resumes.
    n_folds : int
        Number of folds; classes are spread evenly over them.
    jobs : int
        Folds at a time, each in a process of its own with one thread.

    Returns
    -------
    dict
        What ``metrics.json`` holds; see `firstlight.metrics.summarise_folds`.

    Raises
    ------
    LeakageError
        If an object is on both sides of a fold under one name or two.
    """
    folds = stratified_folds(
        curves.object_id,
        labels,
        n_folds,
        rng=np.random.default_rng(seed),
        validation=config.copies.validation_fraction,
    )
    tasks = [
        _Task(
            name=f"fold {k + 1}",
            curves=curves,
            labels=labels,
            fold=fold,
            config=config,
            redshift=redshift,
            seed=seed,
            folder=out / f"fold-{k + 1}",
            jobs=1 if jobs > 1 else None,
        )
        for k, fold in enumerate(folds)
    ]
    if jobs > 1:
        told = progress or (lambda stage, fraction: None)
        by_name = {task.name: task for task in tasks}
        for _ in side_by_side(_run_in_process, by_name, jobs, progress=lambda _, *said: told(*said)):
            pass
    else:
        for task in tasks:
            _run(task, progress)
    protocol = (
        f"preset {config.name}, {_REDSHIFT[redshift]}; stratified {n_folds}-fold cross-validation over "
        f"{len(curves):,} objects: encoder, classifier, scaling, early stopping and calibration see training "
        f"folds only, every object is tested once; seed {seed}"
    )
    return _conclude(tasks, protocol, f"firstlight: cross-validation of preset {config.name}", out)


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
        What a classifier said of whole (or cut) light curves.
    truth : Truth
        Labels, in any order.
    out : Path
        Folder for the results.
    curves : LightCurves, optional
        The light curves, for examples.
    bundle : Path, optional
        The bundle that made the predictions; objects that it was trained on are counted
        and, with `curves`, skill against days since trigger and the latent space added.
    redshift : {"photo", "spec", "none"}
        Which host redshift the predictions were made with.
    jobs, progress
        As for `run_holdout`.

    Returns
    -------
    dict
        What ``metrics.json`` holds.

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
                "trained on: scores on them say how well it remembers, not how well it will do on new ones.",
            )
    latent = None
    if curves is not None and pipeline is not None:
        here = _those_of(curves.with_redshift(redshift), evaluation.object_id)
        said = predict_phases(pipeline, here, phases=PHASES[:-1], jobs=jobs, progress=progress)
        snapshots = {name: Snapshot(part.proba, part.is_classified) for name, part in said.items()}
        evaluation = replace(evaluation, by_phase=snapshots)
        latent = pipeline.latents(here)
    content = ReportContent(
        title="firstlight: predictions against truth",
        evaluation=evaluation,
        protocol=protocol,
        preset="" if pipeline is None else str(pipeline.info.get("preset", "")),
        warnings=notes,
        curves=curves,
        latent=latent,
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


def _run(task: _Task, progress: Progress | None) -> None:
    """Train and score one task, unless its result is already there."""
    done = task.folder / "done.json"
    fingerprint = task.fingerprint  # hashes every light curve: once is enough
    if done.exists() and json.loads(done.read_text()).get("fingerprint") == fingerprint:
        return
    report = progress or (lambda stage, fraction: None)

    def named(stage: str, fraction: float) -> None:
        report(f"{task.name}: {stage}", fraction)

    task.folder.mkdir(parents=True, exist_ok=True)
    learn = np.sort(np.concatenate([task.fold.train, task.fold.validation]))
    training, test = task.curves.take(learn), task.curves.take(task.fold.test)
    check_disjoint(training.object_id, test.object_id)
    check_near_duplicates(training, test)
    started = time.perf_counter()
    pipeline = Pipeline(task.config).fit(
        training,
        task.labels[learn],
        redshift=task.redshift,
        seed=task.seed,
        held_out=np.isin(learn, task.fold.validation),
        jobs=task.jobs,
        workdir=task.folder / f"training-{fingerprint[:12]}",
        progress=named,
    )
    trained = time.perf_counter()
    pipeline.save(task.folder / "bundle")
    test = test.with_redshift(task.redshift)
    for name, said in predict_phases(pipeline, test, jobs=task.jobs, progress=named).items():
        write_predictions(said, task.folder / f"phase-{name}.parquet")
    seconds = {"train": round(trained - started, 1), "score": round(time.perf_counter() - trained, 1)}
    done.write_text(json.dumps({"fingerprint": fingerprint, "seconds": seconds}))


def _run_in_process(task: _Task, report: Progress) -> None:
    _run(task, report)


def _gather(tasks: list[_Task]) -> Evaluation:
    """All test objects of all tasks side by side."""
    names = [phase_name(days) for days in PHASES]
    said = {
        name: Predictions.concatenate([read_predictions(t.folder / f"phase-{name}.parquet") for t in tasks])
        for name in names
    }
    whole = said[names[-1]]
    rows = np.concatenate([task.fold.test for task in tasks])
    fold = np.repeat(np.arange(len(tasks)), [len(task.fold.test) for task in tasks])
    return Evaluation(
        object_id=whole.object_id,
        labels=tasks[0].labels[rows],
        proba=whole.proba,
        classified=whole.is_classified,
        fold=fold if len(tasks) > 1 else None,
        by_phase={name: Snapshot(part.proba, part.is_classified) for name, part in said.items()},
    )


def _conclude(tasks: list[_Task], protocol: str, title: str, out: Path) -> dict[str, Any]:
    """Join the results of all tasks into metrics.json and report.html."""
    first = tasks[0]
    evaluation = _gather(tasks)
    shown = _those_of(first.curves, evaluation.object_id).with_redshift(first.redshift)
    pipelines = [Pipeline.load(task.folder / "bundle") for task in tasks]
    # Each fold's encoder has axes of its own, so the latents of the first fold's test objects are drawn.
    n_first = len(first.fold.test)
    own = pipelines[0].latents(shown.take(np.arange(n_first)))
    latent = np.full((len(shown), own.shape[1]), np.nan)
    latent[:n_first] = own
    seconds = [json.loads((task.folder / "done.json").read_text())["seconds"] for task in tasks]
    content = ReportContent(
        title=title,
        evaluation=evaluation,
        protocol=protocol,
        preset=first.config.name,
        warnings=(first.config.warning,) if first.config.warning else (),
        curves=shown,
        latent=latent,
        histories=tuple(pipeline.history for pipeline in pipelines),
        timings={
            f"{key}, mean of {len(tasks)}": float(np.mean([s[key] for s in seconds])) for key in seconds[0]
        },
        facts={
            "redshift": _REDSHIFT[first.redshift],
            "seed": str(first.seed),
            "inputs": f"{len(pipelines[0].input_names)} of each object: {', '.join(first.config.inputs)}",
            "data": DATA_NOTICE,
        },
    )
    return write_report(out, content)


@cache
def code_digest() -> str:
    """sha256 of the package's own source: results of other code are not taken up."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _those_of(curves: LightCurves, object_id: NDArray[np.str_]) -> LightCurves:
    """The named objects, in that order."""
    position = {name: i for i, name in enumerate(curves.object_id.tolist())}
    absent = [name for name in object_id.tolist() if name not in position]
    if absent:
        raise DataError(
            f"{len(absent)} predicted object(s) have no light curve in the data, the first {absent[0]!r}"
        )
    return curves.take([position[name] for name in object_id.tolist()])
