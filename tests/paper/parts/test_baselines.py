"""Baselines: the same folds for all, no test object in training rows, everything from the JSON."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from firstlight_paper.convnet import ConvnetConfig
from firstlight_paper.parts import baselines, baselines_show
from firstlight_paper.parts.baselines import PART, TRIALS, Amounts, LeakyTrial, Trial
from firstlight_paper.scores import spread
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, plain, read_json, write_json

TINY = Amounts(
    trees=5,
    convnet=ConvnetConfig(channels=8, hidden=16, epochs=1),
    boosting=replace(Amounts().boosting, n_estimators=3),
    leaky_rows=400,
    leaky_svm_rows=300,
)


@pytest.fixture(scope="module")
def bench(tiny_bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("baselines")
    shutil.copytree(tiny_bench.folder, folder, dirs_exist_ok=True)
    return replace(tiny_bench, folder=folder)


@pytest.fixture(scope="module")
def result(bench):
    patch = pytest.MonkeyPatch()
    patch.setattr(baselines, "QUICK", TINY)
    measured = PART.measure(Workshop(bench))
    patch.undo()
    path = bench.folder / "baselines.json"
    write_json(path, measured)
    return read_json(path)


def test_every_method_is_scored_on_every_fold(result, bench):
    assert [(row["method"], row["inputs"]) for row in result["rows"]] == list(TRIALS)
    for row in result["rows"]:
        assert len(row["macro_f1"]["honest"]["folds"]) == bench.scale.n_folds
        assert 0.0 <= row["macro_auc"]["honest"]["mean"] <= 1.0
        assert np.isfinite(row["macro_f1"]["real"]["mean"])


def test_differences_to_the_papers_design_are_paired_by_fold(result):
    paper, other = result["rows"][0], result["rows"][3]
    by_hand = np.subtract(other["accuracy"]["honest"]["folds"], paper["accuracy"]["honest"]["folds"])
    np.testing.assert_allclose(other["against_paper"]["accuracy"]["folds"], by_hand, atol=1e-5)
    assert paper["against_paper"]["accuracy"]["mean"] == 0.0


def test_the_papers_protocol_tests_on_objects_that_it_trained_on(result):
    shared = [row["leak_rows"]["shared"] for row in result["rows"] if "leak_rows" in row]
    assert len(shared) == 5
    assert min(shared) > 0.5


def test_the_result_is_small_and_finite_and_names_its_columns(result):
    text = json.dumps(result, allow_nan=False)
    assert len(text) < 100_000
    assert {"printed", "leak", "honest", "protocol"} <= set(result)
    assert result["rows"][0]["macro_auc"]["printed"] == 0.94


def test_the_section_is_drawn_from_the_json_alone(result):
    section = PART.show(result)
    tables = [block for block in section.blocks if isinstance(block, Table)]
    pictures = [block for block in section.blocks if isinstance(block, Picture)]
    assert len(tables) == 3
    assert {picture.name for picture in pictures} == {"baselines", "baselines-confusion"}
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert len(table.rows) == len(TRIALS)


def test_a_second_run_computes_nothing(result, bench, monkeypatch):
    monkeypatch.setattr(baselines, "QUICK", TINY)
    monkeypatch.setattr(baselines, "trial", _must_not_run)
    monkeypatch.setattr(baselines, "leaky_trial", _must_not_run)
    again = plain(PART.measure(Workshop(bench)))
    assert again["rows"] == result["rows"]


@pytest.mark.parametrize("method", ["forest", "boosting", "convnet"])
def test_labels_of_test_objects_do_not_reach_a_classifier(bench, tiny_objects, method, monkeypatch):
    """Spoiling the labels of the test objects changes nothing of what is said about them."""
    said = []
    monkeypatch.setattr(baselines, "_scores", lambda objects, labels, simulated, answer: answer.proba)
    item = Trial(method, "light curves" if method == "convnet" else "latents", 0, TINY)
    for objects in (tiny_objects, _with_spoilt_labels(tiny_objects, 0)):
        monkeypatch.setattr("firstlight_paper.workshop._objects", lambda *_, objects=objects: objects)
        said.append(baselines.trial(bench, item, lambda stage, fraction: None))
    np.testing.assert_array_equal(said[0], said[1])


def test_settings_are_part_of_an_items_identity():
    assert repr(Trial("forest", "latents", 0, TINY)) != repr(Trial("forest", "latents", 0, Amounts()))
    assert "n_estimators=3" in repr(LeakyTrial("boosting", "latents", 9, TINY))


# --- private --------------------------------------------------------------------


def _must_not_run(*_):
    raise AssertionError("this result is at hand")


def _with_spoilt_labels(objects, k):
    labels = objects.labels.copy()
    labels[objects.folds[k].test] = "SNIa"
    return replace(objects, labels=labels)


@pytest.mark.parametrize(
    ("folds", "words"),
    [([0.1, 0.2], "ahead in every fold"), ([-0.1, -0.2], "behind in every fold"), ([0.1, -0.2], "not alike")],
)
def test_a_lead_is_told_as_far_as_all_folds_agree(folds, words):
    value = spread(folds)
    row = {"method": "svm", "against_paper": {"macro_auc": value, "macro_f1": value}}
    assert baselines_show._compared(row).count(words) == 2
