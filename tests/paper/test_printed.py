import numpy as np
import pytest

from firstlight.metrics import METRICS
from firstlight.taxonomy import CLASSES
from firstlight_paper.printed import (
    PAPER_FREQUENCIES,
    PRINTED,
    PRINTED_BASELINE_AUC,
    PRINTED_F1,
    PRINTED_PER_CLASS,
    PRINTED_PRECISION,
    PRINTED_RECALL,
    PRINTED_TABLE_1,
)


def test_printed_figures_stand_beside_metrics_of_the_same_name() -> None:
    assert set(PRINTED) <= set(METRICS)


def test_the_paper_prints_all_classes_but_the_kilonova() -> None:
    assert set(CLASSES) - set(PRINTED_PER_CLASS) == {"KN"}
    assert set(PRINTED_PER_CLASS) <= set(CLASSES)


def test_columns_by_name_are_those_of_the_rows() -> None:
    columns = (PRINTED_PRECISION, PRINTED_RECALL, PRINTED_F1)
    for name, row in PRINTED_PER_CLASS.items():
        assert tuple(column[name] for column in columns) == row


@pytest.mark.parametrize("name", PRINTED_PER_CLASS)
def test_printed_f1_is_the_harmonic_mean_of_its_row(name: str) -> None:
    precision, recall, f1 = PRINTED_PER_CLASS[name]
    # each of the three is rounded to two digits, and the paper cuts 0.855 to 0.85
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall), abs=0.0101)


@pytest.mark.parametrize(
    ("column", "metric"),
    [(PRINTED_PRECISION, "macro_precision"), (PRINTED_RECALL, "macro_recall"), (PRINTED_F1, "macro_f1")],
)
def test_printed_averages_are_those_of_the_printed_classes(column: dict[str, float], metric: str) -> None:
    assert np.mean(list(column.values())) == pytest.approx(PRINTED[metric], abs=0.005)


def test_the_printed_accuracy_is_the_best_of_table_1() -> None:
    best = max(PRINTED_TABLE_1.values())
    assert best == PRINTED["accuracy"]
    assert [n for n, accuracy in PRINTED_TABLE_1.items() if accuracy == best] == [6, 8]
    assert list(PRINTED_TABLE_1) == [*range(1, 11), 15, 20, 25]


def test_the_printed_auc_is_above_that_of_the_printed_baselines() -> None:
    low, high = PRINTED_BASELINE_AUC
    assert 0.5 < low < high < PRINTED["macro_auc"]


def test_printed_frequencies_are_those_of_all_classes_but_the_kilonova() -> None:
    assert set(PAPER_FREQUENCIES) == set(CLASSES) - {"KN"}
    assert sum(PAPER_FREQUENCIES.values()) == pytest.approx(1.0)
    assert PAPER_FREQUENCIES["SNIa"] > 0.5
