"""Commands that train and score, as a user types them, on the real sample with a tiny preset."""

import json
import sys
from pathlib import Path

import pytest

TINY = str(Path(__file__).parent.parent / "tiny.toml")


def test_training_leaves_a_bundle_and_no_checkpoints(bundle):
    assert (bundle / "manifest.json").is_file()
    assert not bundle.with_name("bundle.partial").exists()


def test_evaluate_writes_metrics_and_one_self_contained_page(firstlight, predictions, sample_paths, tmp_path):
    done = firstlight(
        *("evaluate", predictions, "--truth", sample_paths.metadata, "--out", tmp_path / "report", "--json")
    )
    assert json.loads(done.stdout) == json.loads((tmp_path / "report" / "metrics.json").read_text())
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["n_objects"] == 202
    assert 0.0 < metrics["accuracy"]["mean"] <= 1.0
    page = (tmp_path / "report" / "report.html").read_text()
    assert 'src="http' not in page
    assert "<script" not in page


@pytest.mark.usefixtures("undrawn")
def test_evaluate_adds_phases_and_latents_when_given_curves_and_bundle(
    firstlight, predictions, bundle, sample_paths, tmp_path
):
    firstlight(
        *("evaluate", predictions, "--truth", sample_paths.metadata, "--out", tmp_path),
        *("--data", sample_paths.light_curves, "--metadata", sample_paths.metadata, "--bundle", bundle),
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics["by_phase"]) == ["0", "1", "2", "4", "8", "16", "32", "64", "all"]
    assert "99 of these 202 objects" in metrics["warnings"][0]  # half were trained on; two were left out


def test_an_unknown_object_in_the_list_is_an_error(firstlight, sample_paths, tmp_path):
    (tmp_path / "list.txt").write_text("615\n424242424242\n")
    done = firstlight(
        *("train", "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--objects", tmp_path / "list.txt", "--preset", TINY, "--out", tmp_path / "b"),
        ok=False,
    )
    assert "not in the data" in done.stderr


def test_a_training_that_could_not_be_saved_does_not_start(firstlight, sample_paths, tmp_path):
    (tmp_path / "mine").write_text("not a bundle")
    words = ("train", "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata)
    done = firstlight(*words, "--preset", TINY, "--out", tmp_path, ok=False)
    assert "not a bundle" in done.stderr
    assert not (tmp_path.parent / f"{tmp_path.name}.partial").exists()


@pytest.mark.parametrize("command", ["holdout", "crossval", "evaluate", "simulate"])
def test_a_file_where_a_folder_should_be_is_one_message(firstlight, command, sample_paths, tmp_path):
    (tmp_path / "file").write_text("in the way")
    first = {"evaluate": ("x.csv", "--truth", "y.csv"), "simulate": ("CaRT",)}.get(command, ())
    done = firstlight(command, *first, "--out", tmp_path / "file", ok=False)
    assert "cannot make the folder" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe\x00", "not a text file"), (b"\n\n", "lists no object"), (b"object_id\nX Y\n", "'X Y'")],
)
def test_a_list_of_objects_has_one_id_per_line(firstlight, content, message, sample_paths, tmp_path):
    (tmp_path / "list.txt").write_bytes(content)
    done = firstlight(
        *("train", "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--objects", tmp_path / "list.txt", "--preset", TINY, "--out", tmp_path / "b"),
        ok=False,
    )
    assert message in done.stderr


@pytest.mark.usefixtures("undrawn")
def test_a_sample_at_the_papers_frequencies_is_drawn_before_the_split(firstlight, sample_paths, tmp_path):
    pytest.importorskip("torch")
    words = ("--data", sample_paths.light_curves, "--metadata", sample_paths.metadata, "--seed", 2)
    done = firstlight(
        *("holdout", *words, "--preset", TINY, "--frequencies", "paper", "--out", tmp_path / "a")
    )
    assert "objects drawn at the paper's class frequencies; none of" in done.stderr
    scores = json.loads((tmp_path / "a" / "metrics.json").read_text())
    n_drawn = int(done.stderr.split(" of 202 objects drawn")[0].split()[-1])
    assert n_drawn < 202
    assert scores["n_objects"] < n_drawn


@pytest.mark.parametrize("command", ["train", "holdout", "crossval"])
@pytest.mark.parametrize("library", ["torch", "lightgbm"])
def test_without_the_training_libraries_the_extra_is_named(
    firstlight, sample_words, command, library, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, library, None)
    done = firstlight(command, *sample_words, "--out", tmp_path / "out", ok=False)
    assert f'training needs {library}; install with: pip install "firstlight[train]"' in done.stderr
    assert not (tmp_path / "out").exists()
