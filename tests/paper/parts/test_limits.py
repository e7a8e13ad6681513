"""Scores of an experiment: joined over folds, compared fold by fold, silent objects counted."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from firstlight_paper.parts.limits import brief, brief_of, change, folds_of, score_columns, written_map
from firstlight_paper.scores import spread
from firstlight_paper.shared import said_of
from firstlight_paper.workshop import plain


def test_differences_are_taken_fold_by_fold():
    better = change(spread([0.9, 0.7]), spread([0.8, 0.6]))
    assert better["mean"] == pytest.approx(0.1)
    assert better["std"] == pytest.approx(0.0)


def test_a_difference_of_one_fold_has_no_spread():
    assert change(spread([0.9]), spread([0.8]))["std"] is None


def test_results_come_in_the_order_of_the_folds():
    assert folds_of({"fold-2-a": 2, "fold-1-a": 1, "fold-1-b": 3}, 2, "a") == [1, 2]


def test_objects_are_summed_and_silent_ones_counted_as_a_share(tiny_bench):
    objects, said = tiny_bench.objects, said_of(tiny_bench)
    by_fold = [
        brief(objects.labels[fold.test], said.take(fold.test), objects.simulated[fold.test])
        for fold in objects.folds
    ]
    scores = plain(brief_of(by_fold))
    assert scores["sixteen"]["n_objects"] == len(objects)
    assert scores["real"]["n_objects"] == np.sum(~objects.simulated)
    silent = [float(np.mean(~said.is_classified[fold.test])) for fold in objects.folds]
    assert scores["sixteen"]["not_classified"]["folds"] == pytest.approx(silent, abs=1e-5)
    assert len(score_columns(scores)) == 7


def test_a_written_map_holds_every_number_in_the_ink_that_can_be_read():
    figure, panel = plt.subplots()
    values = np.array([[0.1, 0.9], [0.5, 0.2]])
    written_map(panel, values, values < 0.3, ".1f", cmap="cividis", vmin=0.0, vmax=1.0)
    assert [text.get_text() for text in panel.texts] == ["0.1", "0.9", "0.5", "0.2"]
    assert [text.get_color() == "white" for text in panel.texts] == [True, False, False, True]
    plt.close(figure)
