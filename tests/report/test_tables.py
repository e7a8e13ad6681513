"""Texts and table rows of the report."""

from dataclasses import replace

import pytest

from firstlight.metrics import Evaluation, summarise
from firstlight.metrics.summary import plain_summary
from firstlight.report.tables import BY_PHASE, duration_text, mean_std_text, per_class_rows, phase_rows


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.00 s"), (9.994, "9.99 s"), (59.4, "59 s"), (60.0, "1 min 0 s"), (3599.0, "59 min 59 s")],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_durations_of_hours_are_rounded_to_minutes() -> None:
    assert duration_text(7200.0) == "2 h 0 min"
    assert duration_text(2 * 3600 - 1.0) == "2 h 0 min"
    assert duration_text(3599.9) == "1 h 0 min"


def test_unknown_numbers_are_not_available() -> None:
    assert mean_std_text({"mean": None, "std": None}, "macro_auc") == {"mean": "n/a", "std": ""}
    assert mean_std_text({"mean": 0.98765, "std": 0.00123}, "macro_auc")["mean"] == "0.9877"
    assert mean_std_text({"mean": 0.98765, "std": 0.00123}, "accuracy") == {
        "mean": "0.988",
        "std": "0.001",
    }


def test_every_class_and_phase_has_its_row(evaluation: Evaluation) -> None:
    record = plain_summary(summarise(evaluation, protocol="x"))
    assert [row["name"] for row in per_class_rows(record)] == list(record["per_class"])
    assert set(record["per_class"]) == set(evaluation.labels.tolist())
    phases = phase_rows(record)
    assert [(row["selection"], row["phase"]) for row in phases[:2]] == [("all", "0"), ("all", "1")]
    assert len(phases) == 2 * 9
    assert all(len(row["values"]) == len(BY_PHASE) for row in phases)


def test_the_table_of_phases_needs_more_than_the_whole_curve(evaluation: Evaluation) -> None:
    record = summarise(replace(evaluation, by_phase={}), protocol="x")
    assert list(record["by_phase"]) == ["all"]
    assert phase_rows(record) == []
