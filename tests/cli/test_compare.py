import json

import numpy as np
import pandas as pd
import pytest

from firstlight.metrics.compare import compare
from firstlight.predictions import read_predictions, write_predictions


@pytest.fixture(scope="module")
def worse(predictions, tmp_path_factory):
    """The same predictions with the probabilities of every second object those of the object before."""
    table = read_predictions(predictions)
    proba = table.proba.copy()
    proba[1::2] = proba[:-1:2]
    path = tmp_path_factory.mktemp("compare") / "worse.csv"
    pandas = table.to_pandas()
    pandas[[f"proba_{name}" for name in table.classes]] = proba
    pandas.iloc[::-1].drop(columns=["class", "set", "set_size"]).to_csv(path, index=False)
    return path


def test_compare_gives_the_paired_difference(
    firstlight, predictions, worse, sample_paths, sample, sample_labels
):
    words = ("compare", predictions, worse, "--truth", sample_paths.metadata)
    found = json.loads(firstlight(*words, "--json").stdout)
    tables = [read_predictions(path) for path in (predictions, worse)]
    ordered = [table.proba[np.argsort(table.object_id)] for table in tables]
    labels = sample_labels[np.argsort(sample.object_id)]
    for name, row in compare(labels, *ordered).items():
        assert found[name] == pytest.approx(row)
    assert found["accuracy"]["difference"] < 0
    assert found["n_objects"] == len(sample)
    table = firstlight(*words).stdout
    assert "accuracy" in table
    assert "yes" in table


def test_methods_that_agree_are_not_shown_to_differ(firstlight, predictions, sample_paths):
    table = firstlight("compare", predictions, predictions, "--truth", sample_paths.metadata).stdout
    assert table.count("not shown") == 3


def test_objects_of_one_file_alone_are_left_out_and_counted(firstlight, predictions, sample_paths, tmp_path):
    table = read_predictions(predictions)
    write_predictions(table[:50], tmp_path / "few.csv")
    done = firstlight("compare", tmp_path / "few.csv", predictions, "--truth", sample_paths.metadata)
    assert "50 objects" in done.stderr
    assert f"{len(table) - 50} of the second" in " ".join(done.stderr.split())
    write_predictions(table[50:60], tmp_path / "other.csv")
    words = (tmp_path / "few.csv", tmp_path / "other.csv", "--truth", sample_paths.metadata)
    assert "no object in common" in firstlight("compare", *words, ok=False).stderr


def test_labels_in_other_spellings_and_missing_ones_are_as_in_evaluate(
    firstlight, predictions, sample, sample_labels, tmp_path
):
    named = np.where(sample_labels == "SNIa", "SN Ia", sample_labels)[2:]
    rows = [f"{name},{label}" for name, label in zip(sample.object_id[2:], named, strict=True)]
    rows[0] = rows[0].split(",")[0] + ",nova"
    (tmp_path / "truth.csv").write_text("\n".join(["object_id,label", *rows]))
    done = firstlight("compare", predictions, predictions, "--truth", tmp_path / "truth.csv", "--json")
    found = json.loads(done.stdout)
    assert (found["n_objects"], found["without_class"]) == (len(sample) - 3, 3)


def test_classes_of_ones_own_are_compared_by_their_columns(firstlight, tmp_path):
    classes = [f"class {k:02}" for k in range(17)]  # as many as ours
    frame = pd.DataFrame({"object_id": list("abcd")})
    for name in classes:
        frame[f"proba_{name}"] = 1.0 if name == "class 05" else 0.0
    frame.to_csv(tmp_path / "first.csv", index=False)
    truth = pd.DataFrame({"object_id": list("abcd"), "label": ["class 05"] * 3 + ["class 06"]})
    truth.to_csv(tmp_path / "truth.csv", index=False)
    words = (tmp_path / "first.csv", tmp_path / "first.csv", "--truth", tmp_path / "truth.csv")
    assert json.loads(firstlight("compare", *words, "--json").stdout)["accuracy"]["before"] == 0.75
    frame.drop(columns="proba_class 00").to_csv(tmp_path / "other.csv", index=False)
    words = (tmp_path / "first.csv", tmp_path / "other.csv", "--truth", tmp_path / "truth.csv")
    assert "compare predictions of the same classes" in firstlight("compare", *words, ok=False).stderr
