"""Coverage and size of prediction sets."""

from dataclasses import replace

import numpy as np
import pytest

from firstlight.metrics import Snapshot, set_scores, summarise

CLASSES = ("SNIa", "SNII", "RRL")
LABELS = np.array(["SNIa", "SNIa", "SNII", "RRL", "RRL"])
IN_SET = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)


def snapshot(in_set: np.ndarray | None = IN_SET) -> Snapshot:
    return Snapshot(np.full(IN_SET.shape, 1 / 3), np.ones(5, bool), in_set)


def test_coverage_is_the_share_of_objects_whose_set_has_their_class():
    table = set_scores(LABELS, {"8": snapshot()}, CLASSES)["8"]
    assert (table["coverage"], table["size"], table["n"]) == (0.75, 7 / 4, 4)
    assert table["extragalactic"] == {"coverage": pytest.approx(2 / 3), "size": 2.0, "n": 3}
    assert table["per_class"]["SNIa"] == {"coverage": 0.5, "size": 1.5, "n": 2}
    assert table["per_class"]["RRL"] == {"coverage": 1.0, "size": 1.0, "n": 1}


def test_phases_without_sets_are_left_out():
    parts = {"0": snapshot(None), "2": snapshot(np.zeros_like(IN_SET)), "all": snapshot()}
    assert list(set_scores(LABELS, parts, CLASSES)) == ["all"]


def test_the_summary_has_sets_only_where_there_are_some(evaluation):
    assert "prediction_sets" not in summarise(evaluation, protocol="")
    inside = evaluation.proba >= 0.1
    found = summarise(replace(evaluation, in_set=inside), protocol="")["prediction_sets"]
    assert list(found) == ["all"]
    assert 1.0 <= found["all"]["size"] < 4.0
