"""An Optuna study on disk, on inner folds of the learning objects only.

A trial is judged by its mean log-loss over inner folds: boosting minimises it and every
object counts, whereas macro F1 would depend on the few objects of rare classes. The
study is kept in SQLite, so that a killed run continues with the trials that are missing.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from firstlight._types import FloatArray, Progress, no_progress
from firstlight._version import __version__
from firstlight.classify import (
    CalibrationConfig,
    ClassifierConfig,
    PhaseCalibrator,
    Tunable,
    make_classifier,
    search_space,
    settings_in_use,
    to_all_classes,
    tunable_values,
    with_values,
)
from firstlight.errors import DataError, SettingsError, missing_extra
from firstlight.experiments.inner import InnerFolds, SplitRows
from firstlight.metrics.compare import object_losses
from firstlight.parallel import side_by_side
from firstlight.taxonomy import CLASSES

#: Log-loss [nat] of a fold's test rows, trained with some settings and a seed.
Loss = Callable[[SplitRows, ClassifierConfig, int], float]

LOCK_TIMEOUT_S = 60.0  # two processes write to one SQLite file


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """Number of trials and ranges of the search; `firstlight tune` sets the first two."""

    n_trials: int = 105  # total number of trials, complete or stopped early; 105 in the paper
    inner_folds: int = 3  # folds within the learning objects
    # random trials before the sampler learns, and complete trials before any is stopped early
    startup: int = 10
    # lowest and highest value of settings that are not to be searched in the range of their `Tunable`
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def check(self) -> None:
        """Raise SettingsError for numbers that make no sense."""
        if self.n_trials < 1:
            raise SettingsError(f"{self.n_trials} trials: a study has one or more")
        if self.inner_folds < 2:
            raise SettingsError(f"{self.inner_folds} inner folds: choosing needs two or more")

    def space(self, base: ClassifierConfig) -> tuple[Tunable, ...]:
        """Settings to search, with their ranges; SettingsError if a name or a range makes no sense."""
        space = search_space(base)
        unknown = sorted(set(self.ranges) - {setting.name for setting in space})
        if unknown:
            known = ", ".join(setting.name for setting in space)
            raise SettingsError(f"no setting(s) {', '.join(unknown)} to tune; there are {known}")
        found = []
        for setting in space:
            low, high = self.ranges.get(setting.name, (setting.low, setting.high))
            found.append(replace(setting, low=low, high=high))
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Result of a study."""

    study: str  # its name in the SQLite file; changes with rows, settings, seed and version
    # in order: ``number`` from 1, the settings searched, ``value`` (mean log-loss over the inner folds that
    # ran, in nat), ``state`` (``"complete"`` or ``"pruned"``), ``best`` (lowest value so far among the
    # complete)
    trials: tuple[dict[str, Any], ...]
    untuned: float  # value of the untuned settings on the same inner folds
    best: ClassifierConfig  # settings of the trial of the lowest value, which may be worse than the untuned
    # share of the variance of the value that each setting explains (fANOVA over the complete trials);
    # None with fewer than three
    importances: dict[str, float] | None

    @property
    def lowest(self) -> float:
        """Value of the best trial."""
        return float(self.trials[-1]["best"])

    @property
    def is_better(self) -> bool:
        """Whether the best trial is better than the untuned settings."""
        return self.lowest < self.untuned


def need_optuna() -> Any:
    """The module optuna, without its log messages; MissingExtraError if it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise missing_extra("tuning", error.name or "optuna", "train") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def fitted_proba(
    rows: SplitRows,
    settings: ClassifierConfig,
    seed: int,
    calibration: CalibrationConfig | None = None,
    classes: tuple[str, ...] = CLASSES,
) -> FloatArray:
    """Probabilities of the test rows by a classifier of these settings, shape (n_rows, n_classes).

    With `calibration` they are calibrated on the held-out rows, as in training.
    """
    model = make_classifier(settings).fit(rows.train, rows.held, seed=seed)
    proba = model.predict_proba(rows.test.X, redshift=rows.test.redshift)
    if calibration is not None:
        assert rows.held_phase is not None
        assert rows.test_phase is not None
        held = model.predict_proba(rows.held.X, redshift=rows.held.redshift)
        labels, groups = rows.held.labels, rows.held.object_id
        calibrator = PhaseCalibrator(calibration)
        calibrator.fit(held, labels, model.classes, rows.held_phase, groups=groups, seed=seed)
        proba = calibrator.transform(proba, rows.test_phase)
    return to_all_classes(proba, model.classes, classes)


def fold_loss(
    rows: SplitRows,
    settings: ClassifierConfig,
    seed: int,
    *,
    calibration: CalibrationConfig | None = None,
    classes: tuple[str, ...] = CLASSES,
) -> float:
    """Log-loss [nat] of a fold's test rows after training on its training rows."""
    proba = fitted_proba(rows, settings, seed, calibration, classes)
    return float(np.average(object_losses(rows.test.labels, proba, classes), weights=rows.test.weight))


def tune(
    folds: InnerFolds,
    path: Path,
    config: TuneConfig,
    base: ClassifierConfig,
    *,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress = no_progress,
    loss: Loss = fold_loss,
) -> Tuning:
    """Run a study up to the given number of trials; a finished one is only read.

    With one process the same seed gives the same trials, however often the run was killed;
    with several, the order in which trials end matters.

    Parameters
    ----------
    folds : InnerFolds
        Inner folds of the learning objects; test objects must not be among them.
    path : Path
        The SQLite file; studies of other rows or settings in it stay as they are.
    config : TuneConfig
        Number of trials and ranges.
    base : ClassifierConfig
        The untuned settings; those of `search_space` change.
    seed : int
        Seed of folds, sampler and classifier.
    jobs : int
        Parallel trials, one process each.
    progress : callable
        Called with ``"tuning"`` and the fraction of the trials that is done.
    loss : callable
        Loss that a trial minimises on each inner fold, a module-level function.

    Raises
    ------
    MissingExtraError
        If optuna is not installed.
    SettingsError
        If a range or a number makes no sense, or the classifier states nothing to tune.
    DataError
        If the file is not a study, cannot be written, or another run uses it.
    """
    optuna = need_optuna()
    config.check()
    task = _make_task(folds, path, config, base, seed, loss)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path), _as_data_error(path), _study(task) as study:
        for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # its process is gone
        if "untuned" not in study.user_attrs:
            losses = [task.loss(fold(), task.base, seed) for fold in task.folds]
            study.set_user_attr("untuned", float(np.mean(losses)))
        n_done = len(_counted(study))
        progress("tuning", min(n_done / config.n_trials, 1.0))
        tickets = range(n_done, config.n_trials)
        for k, _ in enumerate(_run(task, study, tickets, jobs), n_done + 1):
            progress("tuning", k / config.n_trials)
        return _summary(study, task)


# --- one trial --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """Everything that a process needs to run trials."""

    name: str
    path: Path
    folds: tuple[Callable[[], SplitRows], ...]
    base: ClassifierConfig
    space: tuple[Tunable, ...]
    config: TuneConfig
    seed: int
    loss: Loss


def _make_task(
    folds: InnerFolds, path: Path, config: TuneConfig, base: ClassifierConfig, seed: int, loss: Loss
) -> _Task:
    space = config.space(base)
    tunable_values(base)  # raises where a setting has no value
    # all but the number of trials, which may be raised later
    settings = {"inner_folds": config.inner_folds, "startup": config.startup}
    ranges = {setting.name: [setting.low, setting.high] for setting in space}
    searched = json.dumps([settings | ranges, settings_in_use(base)], sort_keys=True)
    parts = (__version__, folds.fingerprint, searched, str(seed))
    return _Task(
        name="tune-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16],
        path=path,
        folds=folds.folds,
        base=base,
        space=space,
        config=config,
        seed=seed,
        loss=loss,
    )


def _one_trial(task: _Task, study: Any, ticket: int) -> None:
    """Run one trial with a sampler seed of its own, so that a resumed study equals an unbroken one."""
    state = np.random.SeedSequence([task.seed, ticket]).generate_state(1)
    samplers = need_optuna().samplers
    study.sampler = samplers.TPESampler(seed=int(state[0]), n_startup_trials=task.config.startup)
    study.optimize(partial(_objective, task), n_trials=1)


def _objective(task: _Task, trial: Any) -> float:
    """Mean log-loss over the inner folds; a trial worse than the median is stopped early."""
    settings = _suggest(task, trial)
    losses: list[float] = []
    for step, fold in enumerate(task.folds):
        losses.append(task.loss(fold(), settings, task.seed))
        trial.report(float(np.mean(losses)), step)
        if step + 1 < len(task.folds) and trial.should_prune():
            raise need_optuna().TrialPruned
    return float(np.mean(losses))


def _suggest(task: _Task, trial: Any) -> ClassifierConfig:
    """Settings of a trial, which the sampler proposes one after the other."""
    values = {}
    for setting in task.space:
        suggest = trial.suggest_int if setting.integer else trial.suggest_float
        values[setting.name] = suggest(setting.name, setting.low, setting.high, log=setting.log)
    return with_values(task.base, values)


# --- several trials ---------------------------------------------------------------

_worker: list[tuple[_Task, Any]] = []  # task and study of a worker process, sent once


def _run(task: _Task, study: Any, tickets: range, jobs: int) -> Iterator[None]:
    """Run one trial per ticket, here or in processes; yield after each."""
    if jobs <= 1 or len(tickets) < 2:
        for ticket in tickets:
            _one_trial(task, study, ticket)
            yield
        return
    items = {str(ticket): ticket for ticket in tickets}
    for _ in side_by_side(_run_ticket, items, jobs, initializer=_open_study, initargs=(task,)):
        yield


def _open_study(task: _Task) -> None:
    """Open the study in a worker process."""
    study = ExitStack().enter_context(_study(task))  # open as long as the process lives
    _worker.append((task, study))


def _run_ticket(ticket: int, progress: Progress) -> None:
    _one_trial(*_worker[0], ticket)


def _counted(study: Any) -> list[Any]:
    """Trials that count: complete or stopped early, not failed."""
    state = need_optuna().trial.TrialState
    return study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED))


def _summary(study: Any, task: _Task) -> Tuning:
    trials: list[dict[str, Any]] = []
    best: float | None = None
    for number, trial in enumerate(_counted(study), 1):
        state = trial.state.name.lower()
        if state == "complete":
            best = trial.value if best is None else min(best, trial.value)
        row = {setting.name: trial.params[setting.name] for setting in task.space}
        trials.append({"number": number, **row, "value": trial.value, "state": state, "best": best})
    names = [setting.name for setting in task.space]
    return Tuning(
        study=task.name,
        trials=tuple(trials),
        untuned=study.user_attrs["untuned"],
        best=with_values(task.base, {name: study.best_trial.params[name] for name in names}),
        importances=_importances(study, names, task.seed),
    )


def _importances(study: Any, names: list[str], seed: int) -> dict[str, float] | None:
    importance = need_optuna().importance
    values = {trial.value for trial in _counted(study) if trial.state.name == "COMPLETE"}
    if len(values) < 3:
        return None
    evaluator = importance.FanovaImportanceEvaluator(seed=seed)
    found = importance.get_param_importances(study, evaluator=evaluator, params=names)
    return {name: float(found[name]) for name in names}


# --- the file ---------------------------------------------------------------------


@contextmanager
def _study(task: _Task) -> Iterator[Any]:
    """The task's study, created if absent; its connections are closed afterwards."""
    import sqlalchemy

    optuna = need_optuna()
    url = sqlalchemy.URL.create("sqlite", database=str(task.path)).render_as_string(hide_password=False)
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": LOCK_TIMEOUT_S}})
    try:
        yield optuna.create_study(
            storage=storage,
            study_name=task.name,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=task.config.startup),
            direction="minimize",
            load_if_exists=True,
        )
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock the file against other runs; the lock ends with the process."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        file = lock.open("w")
    except OSError as error:
        raise DataError(f"cannot write {lock}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{path}: another run uses this study; wait for it, or stop it") from None
        except OSError:
            pass  # a file system without locks
        yield


@contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    """Raise errors of the database as DataError."""
    import sqlalchemy

    internal = need_optuna().exceptions.StorageInternalError
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, internal) as error:
        cause = str(error.__cause__ or error).partition("\n")[0]
        raise DataError(
            f"cannot use the study {path}: {cause}; free space, or delete the file to start again"
        ) from error
