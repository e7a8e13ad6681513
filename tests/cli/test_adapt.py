"""The command ``adapt``, as a user types it, on the real sample."""

import json

import numpy as np
import pandas as pd
import pytest

from firstlight.adapt import config
from firstlight.surveys import load_survey


@pytest.fixture
def small(monkeypatch):
    """An adaptation at the size of a test."""
    copies = config.CopiesConfig(truncations=0, augmented=0, reobserved=1)
    settings = config.AdaptConfig(
        folds=3, worth=(5.0,), anchors=3, rounds=3, leaves=4, further_rounds=2, training=copies, labels=copies
    )
    monkeypatch.setattr("firstlight.adapt.run.AdaptConfig", lambda: settings)


@pytest.fixture
def words(sample_paths, sample_words, bundle, tmp_path, monkeypatch):
    """Options of an adaptation to three classes; the other objects have no label."""
    monkeypatch.setenv("FIRSTLIGHT_CACHE", str(tmp_path / "cache"))
    objects = pd.read_csv(sample_paths.metadata)
    mine = objects[objects["target"].isin([90, 42, 92])][["object_id", "target"]]
    mine.assign(label=mine["target"].map({90: "SN Ia", 42: "SNII", 92: "RRL"}))[
        ["object_id", "label"]
    ].to_csv(tmp_path / "labels.csv", index=False)
    return (
        *("adapt", *sample_words, "--labels", tmp_path / "labels.csv", "--from", bundle, "--no-scratch"),
        *("--training", sample_paths.light_curves, "--training-labels", sample_paths.metadata, "--jobs", 1),
    )


@pytest.mark.usefixtures("small")
def test_adapt_writes_a_bundle_its_survey_and_a_table(firstlight, words, sample_paths, tmp_path):
    done = firstlight(*words, "--out", tmp_path / "mine")
    assert "object(s) set aside, they have no label" in done.stderr
    assert "SN Ia = SNIa" in done.stderr
    assert "among those that the bundle was trained on" in done.stderr
    for name in ("unadapted", "adapted"):
        assert name in done.stderr
    load_survey(str(tmp_path / "mine.survey.toml"))
    firstlight(
        *("classify", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--bundle", tmp_path / "mine", "--out", tmp_path / "answers.csv"),
    )
    answers = pd.read_csv(tmp_path / "answers.csv")
    assert np.isfinite(answers["proba_SNIa"]).all()


@pytest.mark.usefixtures("small")
def test_adapt_takes_a_survey_by_name_and_prints_json(firstlight, words, tmp_path):
    done = firstlight(*words, "--survey", "des", "--out", tmp_path / "mine", "--json")
    told = json.loads(done.stdout)
    assert next(iter(told["surveys"].values()))["name"] == "des"
    assert set(told["held_out"]) >= {"adapted", "unadapted"}


def test_without_a_training_set_the_command_says_how_to_get_it(firstlight, words, tmp_path, monkeypatch):
    def refuse():
        from firstlight.errors import FetchError

        raise FetchError("no network")

    monkeypatch.setattr("firstlight.data.load_plasticc", refuse)
    plain = words[: words.index("--training")]
    done = firstlight(*plain, "--out", tmp_path / "mine", ok=False)
    assert "firstlight fetch plasticc" in done.stderr


def test_an_unknown_survey_is_refused_before_any_work(firstlight, words, tmp_path):
    done = firstlight(*words, "--survey", "hubble", "--out", tmp_path / "mine", ok=False)
    assert "no survey or file 'hubble'" in done.stderr
