from dataclasses import replace

import numpy as np

from firstlight.metrics import Evaluation
from firstlight.report.examples import choose_examples


def test_right_examples_are_the_most_confident_of_the_frequent_classes(evaluation: Evaluation) -> None:
    right, _ = choose_examples(evaluation, 3)
    assert [item.true for item in right] == ["SNIa", "SNII", "EB"]
    for item in right:
        assert item.is_right
        own = (evaluation.labels == item.true) & evaluation.classified
        assert item.proba == evaluation.proba[own].max() == item.proba_true


def test_wrong_examples_are_sorted_by_confidence_and_differ_in_kind(evaluation: Evaluation) -> None:
    _, wrong = choose_examples(evaluation, 5)
    assert len(wrong) == 5
    assert not any(item.is_right for item in wrong)
    assert [item.proba for item in wrong] == sorted((item.proba for item in wrong), reverse=True)
    assert len({(item.true, item.predicted) for item in wrong}) == 5
    assert all(item.proba_true < item.proba for item in wrong)


def test_positions_and_names_agree(evaluation: Evaluation) -> None:
    right, wrong = choose_examples(evaluation)
    for item in right + wrong:
        assert evaluation.object_id[item.position] == item.object_id
        assert evaluation.labels[item.position] == item.true


def test_objects_not_classified_are_skipped(evaluation: Evaluation) -> None:
    silent = replace(evaluation, classified=np.zeros(500, dtype=bool))
    assert choose_examples(silent) == ([], [])


def test_a_perfect_classifier_has_no_wrong_example(evaluation: Evaluation) -> None:
    truth = (evaluation.labels[:, None] == np.array(evaluation.classes)).astype(float)
    right, wrong = choose_examples(replace(evaluation, proba=truth), 4)
    assert len(right) == 4
    assert wrong == []
