"""Tuning a preset on the hash hold-out: who sees whom, and what is left behind."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firstlight.classify import SklearnBooster
from firstlight.errors import DataError, SettingsError
from firstlight.experiments import tuning as holdout
from firstlight.experiments.study import PARAMETERS, TuneConfig
from firstlight.experiments.tuning import check_tunable, run_tuning
from firstlight.pipeline import load_preset
from firstlight.splits import hash_split

pytest.importorskip("torch")
pytest.importorskip("optuna")

TINY = load_preset(str(Path(__file__).parent.parent / "tiny_seed.toml"))
SETTINGS = TuneConfig(n_trials=4, inner_folds=2, startup=3, n_estimators=(3, 6), max_depth=(1, 2))
FILES = ("tuning.json", "tuned.toml", "history.png", "importance.png", "parallel.png", "study.sqlite")


class Spy:
    """Remembers the objects that the encoder, the study and the classifier were given."""

    def __init__(self) -> None:
        self.encoded: set[str] = set()
        self.tuned: set[str] = set()
        self.fitted: list[set[str]] = []
        self.scored: list[int] = []

    def install(self, patch: pytest.MonkeyPatch) -> None:
        train, tune, fit, compare = holdout.train_inputs, holdout.tune, SklearnBooster.fit, holdout.compare

        def spied_train(objects, *rest, **more):
            self.encoded |= set(objects.curves.object_id.tolist())
            return train(objects, *rest, **more)

        def spied_tune(rows, *rest, **more):
            self.tuned |= set(rows.object_id.tolist())
            return tune(rows, *rest, **more)

        def spied_fit(booster, rows, held, **more):
            self.fitted.append(set(rows.object_id.tolist()) | set(held.object_id.tolist()))
            return fit(booster, rows, held, **more)

        def spied_compare(labels, *rest, **more):
            self.scored.append(len(labels))
            return compare(labels, *rest, **more)

        patch.setattr(holdout, "train_inputs", spied_train)
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
    assert result["inner"]["tuned"] == min(t["value"] for t in result["trials"] if t["state"] == "complete")


def test_the_tuned_preset_is_the_preset_with_the_settings_found(tuned):
    result, _, out = tuned
    preset = load_preset(str(out / "tuned.toml"))
    booster = replace(TINY.classifier.seed_booster, **result["settings"]["tuned"], patience=0)
    classifier = replace(TINY.classifier, seed_booster=booster)
    assert preset == replace(TINY, name="tiny_seed-tuned", classifier=classifier)
    assert set(result["settings"]["tuned"]) == set(PARAMETERS)


def test_the_same_again_runs_no_trial_and_gives_the_same(tuned, sample, sample_labels, monkeypatch):
    result, _, out = tuned
    spy = Spy()
    spy.install(monkeypatch)
    assert run_tuning(sample, sample_labels, TINY, out, settings=SETTINGS, seed=3) == result
    assert len(spy.fitted) == 2  # the untuned and the tuned settings, to score them


def test_too_few_objects_are_an_error_in_words(sample, sample_labels, tmp_path):
    few = np.flatnonzero(np.isin(sample_labels, ["AGN"]))[:2]
    with pytest.raises(DataError):
        run_tuning(sample.take(few), sample_labels[few], TINY, tmp_path, settings=SETTINGS)


@pytest.mark.parametrize("preset", ["default", "fast"])
def test_presets_with_another_classifier_are_refused(preset):
    with pytest.raises(SettingsError, match="seed"):
        check_tunable(load_preset(preset))


def test_presets_that_read_more_than_latents_are_refused():
    with pytest.raises(SettingsError, match="latents alone"):
        check_tunable(replace(TINY, inputs=("latent", "features")))


@pytest.mark.parametrize("preset", ["seed", "seed-printed"])
def test_the_presets_of_the_paper_can_be_tuned(preset):
    check_tunable(load_preset(preset))
