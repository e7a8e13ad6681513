"""``firstlight tune``, as its user types it."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from firstlight.cli.app import run
from firstlight.pipeline import load_preset

PRESET = Path(__file__).parent.parent / "tiny_seed.toml"


def tune(*arguments: object) -> tuple[int, str]:
    """Run the command; exit code and all output."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.setenv("COLUMNS", "200")
        code = run(["tune", *(str(part) for part in arguments)])
    return code, said.getvalue()


@pytest.fixture
def files(sample_paths) -> list[object]:
    return ["--data", sample_paths.light_curves, "--metadata", sample_paths.metadata, "--preset", PRESET]


def depth_alone(rows, settings, seed, **_):
    return 1.0 / settings.seed_booster.max_depth


def test_a_tuning_leaves_a_preset_that_trains(files, sample_paths, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("optuna")
    monkeypatch.setattr("firstlight.experiments.tuning.fold_loss", depth_alone)
    code, said = tune(*files, "--trials", 2, "--inner-folds", 2, "--out", tmp_path)
    assert code == 0, said
    assert "accuracy, test" in said
    assert json.loads((tmp_path / "tuning.json").read_text())["n_trials"] == 2
    code, said = tune(*files, "--trials", 3, "--inner-folds", 2, "--out", tmp_path)
    assert code == 0, said
    result = json.loads((tmp_path / "tuning.json").read_text())
    assert result["n_trials"] == 3
    preset = tmp_path / "tuned.toml"
    assert (
        load_preset(str(preset)).classifier.seed_booster.max_depth == result["settings"]["tuned"]["max_depth"]
    )
    data = ["--data", sample_paths.light_curves, "--metadata", sample_paths.metadata]
    assert run(["train", *map(str, data), "--preset", str(preset), "--out", str(tmp_path / "bundle")]) == 0
    assert (tmp_path / "bundle" / "manifest.json").exists()


def test_a_tuning_that_finds_nothing_better_says_so_and_writes_the_preset_as_it_was(
    files, tmp_path, monkeypatch
):
    pytest.importorskip("torch")
    pytest.importorskip("optuna")
    untuned = load_preset(str(PRESET))
    monkeypatch.setattr(
        "firstlight.experiments.tuning.fold_loss",
        lambda rows, settings, seed, **_: 0.5 if settings == untuned.classifier else 0.75,
    )
    code, said = tune(*files, "--trials", 2, "--inner-folds", 2, "--out", tmp_path)
    assert code == 0, said
    said = " ".join(said.split())
    assert "Nothing better was found: the best of 2 trials has a log-loss of 0.750" in said
    assert "the untuned settings have 0.500" in said
    assert "the unchanged preset" in said
    assert load_preset(str(tmp_path / "tuned.toml")) == untuned


def test_the_help_has_an_example():
    code, said = tune("--help")
    assert code == 0
    assert "Example: firstlight tune" in said


@pytest.mark.parametrize("words", [("--trials", 0), ("--inner-folds", 1), ("--jobs", 0), ("--redshift", "x")])
def test_values_without_sense_are_misspelt(files, tmp_path, words):
    code, said = tune(*files, *words, "--out", tmp_path / "out")
    assert code == 2
    assert words[0] in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "ends", "expected"),
    [
        (("--preset", "nowhere.toml"), 2, "no preset or file"),
        (("--data", "nowhere.csv"), 1, "nowhere.csv"),
    ],
)
def test_a_tuning_that_cannot_start_is_one_error(files, tmp_path, words, ends, expected):
    code, said = tune(*files, *words, "--out", tmp_path / "out")
    assert code == ends
    assert said.count("error:") == 1
    assert expected in said


def test_without_optuna_the_extra_is_named_before_any_work(files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, said = tune(*files, "--out", tmp_path / "out")
    assert code == 1
    assert 'pip install "firstlight[train]"' in said
    assert not (tmp_path / "out").exists()


def test_an_interrupted_tuning_ends_as_interrupted(files, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("optuna")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("firstlight.experiments.tuning.fold_loss", interrupt)
    assert tune(*files, "--out", tmp_path)[0] == 130
