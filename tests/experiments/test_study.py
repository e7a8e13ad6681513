"""The study: exact, resumable, blind to test objects."""

import fcntl
import hashlib
import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight._version import __version__
from firstlight.classify import (
    ClassifierConfig,
    LightGBMConfig,
    SklearnBooster,
    SklearnBoosterConfig,
    TrainingRows,
    search_space,
)
from firstlight.errors import DataError, LeakageError, MissingExtraError, SettingsError
from firstlight.experiments import study
from firstlight.experiments.inner import InnerFolds, object_folds, shared_folds
from firstlight.experiments.study import TuneConfig, tune
from firstlight.settings import to_table

optuna = pytest.importorskip("optuna")

BASE = ClassifierConfig(kind="seed", seed_booster=SklearnBoosterConfig(n_estimators=6))
RANGES = {"n_estimators": (3, 9), "max_depth": (1, 3)}
QUICK = TuneConfig(n_trials=6, inner_folds=2, startup=3, ranges=RANGES)
PARAMETERS = ("n_estimators", "max_depth", "min_samples_split", "min_impurity_decrease")


class KilledError(BaseException):
    """Ends a trial as a kill does: nothing reaches the study."""


def make_rows(n: int = 60, copies: int = 2, seed: int = 0) -> TrainingRows:
    """Three classes that one of two features tells apart, each object several times."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 3
    X = rng.normal(size=(n, 2))
    X[:, 0] += 1.5 * kind
    index = np.tile(np.arange(n), copies)
    return TrainingRows(
        X[index].astype(np.float32),
        np.array(["AGN", "SNIa", "TDE"])[kind[index]],
        weight=np.full(len(index), 1.0 / copies),
        object_id=np.array([f"object-{k}" for k in range(n)])[index],
    )


def make_folds(seed: int = 0, split: int = 0) -> InnerFolds:
    return shared_folds(make_rows(seed=seed), 2, split)


def upto(n: int) -> TuneConfig:
    return TuneConfig(**{**QUICK.__dict__, "n_trials": n})


class Losses:
    """Stands in for training: a loss of the settings alone, and a count of the fits."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.n_fits = 0
        self.kill_at = kill_at

    def __call__(self, rows, settings, seed) -> float:
        self.n_fits += 1
        if self.n_fits == self.kill_at:
            raise KilledError
        booster = settings.seed_booster
        return 0.1 * abs(booster.max_depth - 2) + 1.0 / booster.n_estimators


@pytest.fixture
def losses() -> Losses:
    return Losses()


def run(path, n=6, **rest):
    return tune(make_folds(), path / "study.sqlite", upto(n), BASE, **rest)


def states(path) -> list[str]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path / 'study.sqlite'}")
    try:
        names = optuna.get_all_study_names(storage)
        found = [optuna.load_study(study_name=name, storage=storage) for name in names]
        return [trial.state.name for one in found for trial in one.trials]
    finally:
        storage.remove_session()
        storage.engine.dispose()


def n_counted(path) -> int:
    """Trials that count, straight from the file, after a rollback if need be; 0 before there is one."""
    try:
        with closing(sqlite3.connect(f"file:{path / 'study.sqlite'}?mode=rw", uri=True)) as file:
            query = "select count(*) from trials where state in ('COMPLETE', 'PRUNED')"
            return int(file.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


# --- exact and resumable ------------------------------------------------------------


def test_three_trials_and_then_six_are_three_more(tmp_path, losses):
    first = run(tmp_path, 3, loss=losses)
    n_fits = losses.n_fits
    both = run(tmp_path, 6, loss=losses)
    assert (len(first.trials), len(both.trials), len(states(tmp_path))) == (3, 6, 6)
    assert both.trials[:3] == first.trials
    assert 3 <= losses.n_fits - n_fits <= 6  # two inner folds each, one where a trial was stopped


def test_a_resumed_study_equals_an_unbroken_one(tmp_path, losses):
    for n in (2, 4, 7):
        broken = run(tmp_path / "broken", n, loss=losses)
    assert broken == run(tmp_path / "whole", 7, loss=losses)


def test_a_finished_study_is_read_and_not_run_again(tmp_path, losses):
    first = run(tmp_path, loss=losses)
    n_fits = losses.n_fits
    assert run(tmp_path, loss=losses) == first
    assert run(tmp_path, 2, loss=losses) == first  # fewer are wanted than there are
    assert losses.n_fits == n_fits


def test_a_trial_that_a_kill_left_running_is_failed_and_made_up_for(tmp_path):
    with pytest.raises(KilledError):
        run(tmp_path, loss=Losses(kill_at=8))
    assert states(tmp_path).count("RUNNING") == 1
    n_done = len(states(tmp_path)) - 1
    found = run(tmp_path, loss=Losses())
    left = states(tmp_path)
    assert left.count("FAIL") == 1
    assert len(left) - 1 == len(found.trials) == 6
    assert 0 < n_done < 6
    assert [trial["number"] for trial in found.trials] == list(range(1, 7))
    assert found == run(tmp_path / "whole", loss=Losses())


def test_two_processes_share_a_study_and_its_number_of_trials_stays_exact(tmp_path):
    found = run(tmp_path, 7, jobs=2)
    assert len(found.trials) == len(states(tmp_path)) == 7
    assert {trial["state"] for trial in found.trials} <= {"complete", "pruned"}


def test_a_run_killed_outright_with_two_processes_is_resumed_exactly(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_study as t; "
        "t.run(Path(sys.argv[2]), 500, jobs=2)"
    )
    words = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(words) as process:
        try:
            deadline = time.monotonic() + 300.0
            while n_counted(tmp_path) < 3 and time.monotonic() < deadline:
                assert process.poll() is None
                time.sleep(0.1)
        finally:
            process.kill()
    time.sleep(0.5)  # its two processes see that it is gone
    n_done = n_counted(tmp_path)
    assert n_done >= 3
    assert len(run(tmp_path, n_done + 2).trials) == n_done + 2
    assert n_counted(tmp_path) == n_done + 2
    assert "RUNNING" not in states(tmp_path)


def test_progress_ends_at_one_and_starts_with_finished_trials(tmp_path, losses):
    run(tmp_path, 3, loss=losses)
    seen = []
    run(tmp_path, 6, progress=lambda stage, fraction: seen.append(fraction), loss=losses)
    assert seen == pytest.approx([3 / 6, 4 / 6, 5 / 6, 1.0])


def test_other_rows_seeds_or_settings_are_another_study(tmp_path, losses):
    path = tmp_path / "study.sqlite"
    names = {
        tune(make_folds(), path, upto(2), BASE, loss=losses).study,
        tune(make_folds(seed=1), path, upto(2), BASE, loss=losses).study,
        tune(make_folds(split=1), path, upto(2), BASE, seed=1, loss=losses).study,
        tune(make_folds(), path, upto(2), ClassifierConfig(kind="seed"), loss=losses).study,
        tune(make_folds(), path, TuneConfig(n_trials=2), BASE, loss=losses).study,
    }
    assert len(names) == 5
    assert len(states(tmp_path)) == 10
    assert (
        tune(make_folds(), path, upto(3), BASE, loss=losses).study in names
    )  # more trials go on with the first


# --- findings ------------------------------------------------------------------------


def test_hopeless_trials_are_stopped_and_count(tmp_path, losses):
    found = run(tmp_path, 12, loss=losses)
    by_state = {trial["state"] for trial in found.trials}
    assert by_state == {"complete", "pruned"}
    n_pruned = sum(trial["state"] == "pruned" for trial in found.trials)
    assert losses.n_fits == 2 + 2 * 12 - n_pruned  # the untuned settings too


def test_the_best_is_the_lowest_complete_and_never_rises(tmp_path, losses):
    found = run(tmp_path, 12, loss=losses)
    best = [trial["best"] for trial in found.trials]
    assert best == sorted(best, reverse=True)
    lowest = min((t for t in found.trials if t["state"] == "complete"), key=lambda t: t["value"])
    assert best[-1] == lowest["value"]
    for name in PARAMETERS:
        assert getattr(found.best.seed_booster, name) == lowest[name]
    assert found.best.seed_booster.patience == 0
    assert found.best.seed_booster.class_weight_exponent == BASE.seed_booster.class_weight_exponent


def test_tried_settings_stay_in_their_ranges(tmp_path, losses):
    for trial in run(tmp_path, 8, loss=losses).trials:
        for setting in QUICK.space(BASE):
            assert setting.low <= trial[setting.name] <= setting.high


def depth_alone(rows, settings, seed) -> float:
    return float(settings.seed_booster.max_depth)


def test_importances_are_shares_of_their_sum(tmp_path):
    config = TuneConfig(n_trials=14, inner_folds=2, startup=14)
    found = tune(make_folds(), tmp_path / "study.sqlite", config, BASE, loss=depth_alone).importances
    assert found is not None
    assert set(found) == set(PARAMETERS)
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["max_depth"] > 0.5


def test_one_trial_has_no_importances(tmp_path, losses):
    assert run(tmp_path, 1, loss=losses).importances is None


def test_the_untuned_settings_are_judged_on_the_same_folds(tmp_path, losses):
    assert run(tmp_path, 1, loss=losses).untuned == pytest.approx(0.1 * 2 + 1.0 / 6)


def test_really_trained_trials_learn_something(tmp_path):
    found = run(tmp_path, 4)
    assert found.trials[-1]["best"] < np.log(3.0)
    json.dumps(found.trials, allow_nan=False)


# --- no leak ------------------------------------------------------------------------


@given(n=st.integers(12, 40), copies=st.integers(1, 3), n_folds=st.integers(2, 4), seed=st.integers(0, 99))
def test_inner_folds_keep_all_copies_of_an_object_on_one_side(n, copies, n_folds, seed):
    rows = make_rows(n, copies)
    folds = object_folds(rows, n_folds, seed)
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested.tolist()) == list(range(len(rows.labels)))
    for fold in folds:
        train, held, test = (set(rows.object_id[part]) for part in fold)
        assert not train & held
        assert not train & test
        assert not held & test


def test_an_object_that_is_held_out_cannot_be_trained_on():
    rows = make_rows()
    with pytest.raises(LeakageError):
        SklearnBooster(BASE.seed_booster).fit(rows, rows.take(np.arange(5)))


# --- every kind of classifier ---------------------------------------------------------


@pytest.mark.parametrize("kind", ["gated", "lightgbm"])
def test_every_kind_of_classifier_is_trained_and_tuned(tmp_path, kind):
    base = ClassifierConfig(kind=kind, lightgbm=LightGBMConfig(rounds=3, patience=2))
    config = TuneConfig(n_trials=3, inner_folds=2, ranges={"rounds": (2, 6)})
    found = tune(make_folds(), tmp_path / "study.sqlite", config, base)
    best = min(found.trials, key=lambda trial: trial["value"])
    for setting in search_space(base):
        table = found.best.gate if setting.name == "galactic_rounds" else found.best.lightgbm
        assert getattr(table, setting.name) == best[setting.name]
    assert found.best.lightgbm.patience == 0
    assert found.best.kind == kind


def test_the_name_of_a_study_of_the_paper_does_not_change():
    """A study goes on where an earlier version of the code began it."""
    ranges = {"n_estimators": [20, 150], "max_depth": [1, 6], "min_samples_split": [2, 200]}
    settings = {"inner_folds": 3, "startup": 10, "min_impurity_decrease": [1e-7, 1e-3], **ranges}
    rows = make_rows()
    words = json.dumps([settings, to_table(SklearnBoosterConfig())], sort_keys=True)
    digest = hashlib.sha256("\n".join((__version__, rows.fingerprint, words, "4")).encode()).hexdigest()
    base, config = ClassifierConfig(kind="seed"), TuneConfig()
    made = study._make_task(shared_folds(rows, 3, 4), Path(), config, base, 4, study.fold_loss)
    assert made.name == f"tune-{digest[:16]}"


# --- refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"n_trials": 0},
        {"inner_folds": 1},
        {"ranges": {"n_estimators": (0, 5)}},
        {"ranges": {"n_estimators": (2.5, 5)}},
        {"ranges": {"max_depth": (4, 4)}},
        {"ranges": {"min_samples_split": (1, 10)}},
        {"ranges": {"min_impurity_decrease": (0.0, 0.1)}},
        {"ranges": {"min_impurity_decrease": (0.1, float("nan"))}},
        {"ranges": {"leaves": (2, 4)}},
    ],
)
def test_ranges_without_sense_are_refused(tmp_path, settings):
    with pytest.raises(SettingsError):
        tune(make_folds(), tmp_path / "study.sqlite", TuneConfig(**settings), BASE)
    assert not (tmp_path / "study.sqlite").exists()


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"firstlight\[train\]"):
        run(tmp_path)


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "study.sqlite").write_text("no database at all, but long enough to look at" * 50)
    with pytest.raises(DataError, match=r"study\.sqlite"):
        run(tmp_path)


def test_a_database_of_something_else_keeps_its_tables(tmp_path, losses):
    with sqlite3.connect(tmp_path / "study.sqlite") as other:
        other.execute("create table mine (n int)")
    other.close()
    run(tmp_path, 2, loss=losses)
    with sqlite3.connect(tmp_path / "study.sqlite") as other:
        assert other.execute("select count(*) from mine").fetchone() == (0,)
    other.close()


def test_a_second_run_on_the_same_study_is_refused(tmp_path, losses):
    with open(tmp_path / "study.sqlite.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another run"):
            run(tmp_path, loss=losses)
    assert len(run(tmp_path, 2, loss=losses).trials) == 2
