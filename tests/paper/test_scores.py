"""Scores over sixteen classes always come with those over the real thirteen; the table survives its file."""

import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.taxonomy import CLASSES
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.page.tables import pivot
from firstlight_paper.scores import Row, Scores, confusion, scored, spread
from firstlight_paper.view import View


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    labels = np.repeat(PAPER_CLASSES, 5)
    proba = rng.dirichlet(np.full(17, 0.3), len(labels))
    proba[np.arange(len(labels)), [CLASSES.index(name) for name in labels]] += 0.5
    proba /= proba.sum(axis=1, keepdims=True)
    return labels, proba, np.isin(labels, ("CaRT", "ILOT", "PISN"))


def test_real_scores_are_those_of_the_real_objects_with_all_columns(predictions):
    labels, proba, simulated = predictions
    found = scored("ours", labels, proba, simulated, per_class=("recall",))
    columns = [CLASSES.index(name) for name in PAPER_CLASSES]
    right = np.array(PAPER_CLASSES)[proba[:, columns].argmax(axis=1)] == labels
    assert found["ours", 16, "accuracy"] == pytest.approx(right.mean())
    assert found["ours", 13, "accuracy"] == pytest.approx(right[~simulated].mean())
    assert found["ours", 16, "recall:AGN"] == pytest.approx(right[labels == "AGN"].mean())
    assert (found["ours", 16, "n_objects"], found["ours", 13, "n_objects"]) == (80, 65)


def test_a_real_object_called_a_simulated_class_counts_as_an_error(predictions):
    labels, proba, simulated = predictions
    wrong = np.zeros_like(proba)
    wrong[:, CLASSES.index("PISN")] = 1.0
    found = scored("ours", labels, wrong, simulated)
    assert found["ours", 13, "accuracy"] == 0.0
    assert found["ours", 16, "accuracy"] == pytest.approx(1 / 16)


def test_probability_given_to_the_kilonova_is_shared_among_the_others(predictions):
    labels, proba, simulated = predictions
    without = np.delete(proba, CLASSES.index("KN"), axis=1)
    without /= without.sum(axis=1, keepdims=True)
    assert scored("x", labels, proba, simulated) == scored("x", labels, without, simulated)
    assert np.sum(confusion(labels, proba)) == 80


def test_a_spread_of_one_number_has_no_width_and_nan_does_not_count():
    assert np.isnan(spread([0.5]).std)
    assert spread([0.5, float("nan"), 0.7]).folds == (0.5, 0.7)
    assert spread([]).text() == "-"


ROWS = [
    Row("p", "a", "1", "ours", 16, "accuracy", 0.8),
    Row("p", "a", "2", "ours", 16, "accuracy", 0.9),
    Row("p", "b", "1", "ours", 16, "accuracy", 0.5),
    Row("p", "b", "2", "ours", 16, "accuracy", 0.7),
    Row("p", "b", "mean", "ours", 16, "f1:TDE", 0.25),
    Row("p", "b", "std", "ours", 16, "f1:TDE", 0.05),
    Row("q", "paper", "", "printed", 16, "accuracy", 0.89),
]


@pytest.fixture
def view(tmp_path):
    from firstlight_paper.results import Results

    results = Results(tmp_path)
    results.scores.add(ROWS)
    return View(results, "p")


def test_a_table_reads_back_as_it_was_written(tmp_path):
    Scores(ROWS).write(tmp_path / "scores.csv")
    assert set(Scores.read(tmp_path / "scores.csv")) == set(ROWS)


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "scores.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="first line must be part,variant"):
        Scores.read(tmp_path / "scores.csv")


def test_a_row_replaces_the_one_with_the_same_keys_and_unknown_values_are_left_out():
    scores = Scores(ROWS)
    scores.add([ROWS[0]._replace(value=0.6), Row("p", "c", "1", "ours", 16, "accuracy", float("nan"))])
    assert scores.spread("p", "a", "ours", 16, "accuracy").folds == (0.6, 0.9)
    assert len(scores) == len(ROWS)


def test_differences_are_taken_fold_by_fold(view):
    change = view.spread("a", "accuracy", against="b")
    assert change.folds == pytest.approx((0.3, 0.2))
    assert view.spread("b", "f1:TDE").text(2) == "0.25 ± 0.05"


def test_a_pivot_merges_what_rows_and_columns_select(view):
    columns = {
        "printed": {"part": "q", "variant": "paper", "column": "printed"},
        "ours": {"digits": 2},
        "against b": {"against": "b", "sign": "+", "scale": 100, "unit": " %", "digits": 0},
    }
    lines = pivot(view, {"A": {"variant": "a", "metric": "accuracy"}}, columns, "variant").splitlines()
    assert lines[0] == "| variant | printed | ours | against b |"
    assert lines[2] == "| A | 0.89 | 0.85 ± 0.07 | +25 ± 7 % |"


def test_a_pivot_has_a_dash_where_there_is_no_number(view):
    table = pivot(view, {"none": {"variant": "nowhere"}}, {"x": {"metric": "accuracy"}})
    assert table.splitlines()[-1] == "| none | - |"
