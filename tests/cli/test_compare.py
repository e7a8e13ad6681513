import json

import numpy as np
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
