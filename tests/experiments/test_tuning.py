"""Tuning a preset on the hash hold-out: separation of objects, and written files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firstlight.classify import SklearnBooster, with_values
from firstlight.errors import DataError
from firstlight.experiments import inner, study
from firstlight.experiments import tuning as holdout
from firstlight.experiments.study import TuneConfig
from firstlight.experiments.tuning import check_tunable, run_tuning
from firstlight.pipeline import load_preset
from firstlight.splits import hash_split
from firstlight.taxonomy import GALACTIC, Taxonomy

pytest.importorskip("torch")
pytest.importorskip("optuna")

FOLDER = Path(__file__).parent.parent
TINY = load_preset(str(FOLDER / "tiny_seed.toml"))
SETTINGS = TuneConfig(
    n_trials=4, inner_folds=2, startup=3, ranges={"n_estimators": (3, 6), "max_depth": (1, 2)}
)
FILES = ("tuning.json", "tuned.toml", "history.png", "importance.png", "parallel.png", "study.sqlite")


class Spy:
    """Remembers the objects that the encoder, the study and the classifier were given."""

    def __init__(self) -> None:
        self.encoded: set[str] = set()
        self.tuned: set[str] = set()
        self.fitted: list[set[str]] = []
        self.scored: list[int] = []

    def install(self, patch: pytest.MonkeyPatch) -> None:
        train, tune, fit, compare = inner.train_inputs, holdout.tune, SklearnBooster.fit, holdout.compare

        def spied_train(objects, *rest, **more):
            self.encoded |= set(objects.curves.object_id.tolist())
            return train(objects, *rest, **more)

        def spied_tune(folds, *rest, **more):
            for rows in folds.folds:
                self.tuned |= {name for side in rows()[:3] for name in side.object_id.tolist()}
            return tune(folds, *rest, **more)

        def spied_fit(booster, rows, held, **more):
            self.fitted.append(set(rows.object_id.tolist()) | set(held.object_id.tolist()))
            return fit(booster, rows, held, **more)

        def spied_compare(labels, *rest, **more):
            self.scored.append(len(labels))
            return compare(labels, *rest, **more)

        patch.setattr(inner, "train_inputs", spied_train)
        patch.setattr(holdout, "tune", spied_tune)
        patch.setattr(SklearnBooster, "fit", spied_fit)
        patch.setattr(holdout, "compare", spied_compare)


@pytest.fixture(scope="module")
def tuned(sample, sample_labels, tmp_path_factory):
    """A tiny tuning, and who saw whom."""
    out = tmp_path_factory.mktemp("tuning")
    spy = Spy()
    with pytest.MonkeyPatch.context() as patch:
        spy.install(patch)
        result = run_tuning(sample, sample_labels, TINY, out, settings=SETTINGS, seed=3)
    return result, spy, out


def test_nothing_that_learns_or_chooses_sees_a_test_object(tuned, sample):
    _, spy, _ = tuned
    test = set(sample.object_id[hash_split(sample.object_id).test].tolist())
    assert test
    for seen in (spy.encoded, spy.tuned, *spy.fitted):
        assert seen
        assert not seen & test


def test_the_test_objects_are_scored_once_and_all_of_them(tuned, sample):
    _, spy, _ = tuned
    assert spy.scored == [len(hash_split(sample.object_id).test)]


def test_the_results_are_on_disk_and_finite(tuned):
    result, _, out = tuned
    assert all((out / name).stat().st_size > 0 for name in FILES)
    assert json.loads((out / "tuning.json").read_text()) == json.loads(json.dumps(result, allow_nan=False))
    assert result["n_trials"] == len(result["trials"]) == SETTINGS.n_trials
    assert set(result["test"]) == {"accuracy", "macro_f1", "log_loss"}
    lowest = min(t["value"] for t in result["trials"] if t["state"] == "complete")
    assert result["better"] == (lowest < result["inner"]["untuned"])
    assert result["inner"]["tuned"] == min(lowest, result["inner"]["untuned"])


def test_the_tuned_preset_is_the_preset_with_the_settings_found(tuned):
    result, _, out = tuned
    preset = load_preset(str(out / "tuned.toml"))
    booster = replace(TINY.classifier.seed_booster, **result["settings"]["tuned"], patience=0)
    classifier = replace(TINY.classifier, seed_booster=booster)
    assert preset == replace(TINY, name="tiny_seed-tuned", classifier=classifier)


def test_the_same_again_runs_no_trial_and_gives_the_same(tuned, sample, sample_labels, monkeypatch):
    result, _, out = tuned
    spy = Spy()
    spy.install(monkeypatch)
    assert run_tuning(sample, sample_labels, TINY, out, settings=SETTINGS, seed=3) == result
    assert len(spy.fitted) == 2  # the untuned and the tuned settings, to score them


@pytest.mark.parametrize("loss_of_others", [0.2, 0.3])
def test_where_no_trial_is_better_the_untuned_settings_are_written(
    sample, sample_labels, tmp_path, monkeypatch, loss_of_others
):
    def best_at_the_start(rows, settings, seed, **_):
        return 0.2 if settings == TINY.classifier else loss_of_others

    monkeypatch.setattr(holdout, "fold_loss", best_at_the_start)
    spy = Spy()
    spy.install(monkeypatch)
    result = run_tuning(sample, sample_labels, TINY, tmp_path, settings=SETTINGS, seed=3)
    assert not result["better"]
    assert result["settings"]["tuned"] == result["settings"]["untuned"]
    assert result["inner"] == {"untuned": 0.2, "tuned": 0.2}
    assert all(row["difference"] == 0.0 for row in result["test"].values())
    assert len(spy.fitted) == 1  # one fit of the untuned settings is both
    assert load_preset(str(tmp_path / "tuned.toml")) == TINY
    assert "unchanged" in (tmp_path / "tuned.toml").read_text().partition("\n")[0]


def test_too_few_objects_are_an_error_in_words(sample, sample_labels, tmp_path):
    few = np.flatnonzero(np.isin(sample_labels, ["AGN"]))[:2]
    with pytest.raises(DataError):
        run_tuning(sample.take(few), sample_labels[few], TINY, tmp_path, settings=SETTINGS)


@pytest.mark.parametrize("preset", ["default", "fast", "quick", "seed", "seed-printed"])
def test_every_preset_can_be_tuned(preset):
    config = load_preset(preset)
    names = {setting.name for setting in check_tunable(config)}
    assert names >= ({"max_depth"} if preset.startswith("seed") else {"leaves", "galactic_rounds"})


# --- presets with inputs that were learnt with labels--------------------------------


class Learners:
    """Remembers the objects that every training of encoder and templates, and of trees, was given."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.inputs: list[set[str]] = []
        train = inner.train_inputs

        def spied(objects, *rest, **more):
            self.inputs.append(set(objects.curves.object_id.tolist()))
            return train(objects, *rest, **more)

        patch.setattr(inner, "train_inputs", spied)


SMALL = TuneConfig(n_trials=3, inner_folds=2, startup=2, ranges={"rounds": (2, 6), "leaves": (3, 5)})


@pytest.fixture(scope="module")
def gated(sample, sample_labels, tmp_path_factory):
    """A tiny tuning of everything of the preset default."""
    config = load_preset(str(FOLDER / "tiny.toml"))
    copies = replace(config.copies, truncations=0)
    config = replace(config, copies=copies, classifier=with_values(config.classifier, {"rounds": 1}))
    out = tmp_path_factory.mktemp("gated")
    with pytest.MonkeyPatch.context() as patch:
        learners = Learners(patch)
        result = run_tuning(sample, sample_labels, config, out, settings=SMALL, seed=1)
    return config, result, learners, out


def test_inputs_are_made_once_per_inner_fold_and_never_from_its_test_objects(gated, sample):
    _, _, learners, out = gated
    learn = set(sample.object_id[np.concatenate(hash_split(sample.object_id)[:2])].tolist())
    held_out = set(sample.object_id.tolist()) - learn
    *folds, outer = learners.inputs
    assert len(folds) == SMALL.inner_folds  # however many trials there are
    for seen in (*folds, outer):
        assert seen
        assert not seen & held_out
    for k, seen in enumerate(folds, 1):
        rows = inner._read(out / "rows" / f"inner-{k}.safetensors")
        tested = set(rows.test.object_id.tolist())
        assert tested <= learn - seen
        assert set(rows.train.object_id.tolist()) | set(rows.held.object_id.tolist()) == seen


def test_a_preset_is_tuned_for_classes_of_a_user(gated, sample, sample_labels, tmp_path):
    own = Taxonomy.of({"star": {"galactic": True}, "host": {}})
    labels = np.where(np.isin(sample_labels, list(GALACTIC)), "star", "host")
    labels[:3] = "unknown"
    settings = replace(SMALL, n_trials=1)
    result = run_tuning(sample, labels, gated[0], tmp_path, settings=settings, taxonomy=own, seed=1)
    tested = np.setdiff1d(hash_split(sample.object_id).test, np.arange(3))
    assert f"{len(tested)} objects to test on" in result["protocol"]
    assert result["test"]["accuracy"]["before"] > np.mean(labels[tested] == "host") - 0.1
    assert np.isfinite(result["inner"]["untuned"])


def test_a_killed_run_makes_no_input_and_no_trial_again(gated, sample, sample_labels, monkeypatch):
    config, result, _, out = gated
    learners = Learners(monkeypatch)
    (out / "tuning.json").unlink()
    again = run_tuning(sample, sample_labels, config, out, settings=SMALL, seed=1)
    assert again == result
    assert not learners.inputs


def test_the_tuned_preset_differs_in_the_settings_found_alone(gated):
    config, result, _, out = gated
    assert result["better"]
    best = with_values(config.classifier, result["settings"]["tuned"])
    assert load_preset(str(out / "tuned.toml")) == replace(config, name="tiny-tuned", classifier=best)
    assert {"rounds", "galactic_rounds"} <= set(result["settings"]["tuned"])


def test_trials_are_judged_by_calibrated_probabilities(gated):
    config, result, _, out = gated
    losses = [
        study.fold_loss(
            inner._read(out / "rows" / f"inner-{k}.safetensors"),
            config.classifier,
            1,
            calibration=config.calibration,
        )
        for k in (1, 2)
    ]
    assert np.mean(losses) == result["inner"]["untuned"]
    assert "calibrated as in training" in result["protocol"]


def test_rows_are_read_as_they_were_written(gated, tmp_path):
    rows = inner._read(gated[3] / "rows" / "inner-1.safetensors")
    inner._write(tmp_path / "again.safetensors", rows)
    assert (tmp_path / "again.safetensors").read_bytes() == (
        gated[3] / "rows" / "inner-1.safetensors"
    ).read_bytes()
    assert rows.train.object_id.dtype.kind == "U"


def test_a_damaged_file_of_rows_is_named(tmp_path):
    (tmp_path / "inner-1.safetensors").write_bytes(b"nothing of ours")
    with pytest.raises(DataError, match=r"inner-1\.safetensors"):
        inner._read(tmp_path / "inner-1.safetensors")
