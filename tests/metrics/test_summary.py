import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import firstlight
from firstlight.errors import DataError
from firstlight.metrics import (
    METRICS,
    PHASES,
    Evaluation,
    fold_scores,
    phase_name,
    score,
    summarise_folds,
    write_summary,
)
from firstlight.metrics.scores import CLASS_METRICS
from firstlight.metrics.summary import plain_summary

#: Keys that results of this package promise, whatever else they hold.
PROMISED = (
    "accuracy",
    "macro_f1",
    "macro_auc",
    "log_loss",
    "flat_log_loss",
    "weighted_log_loss",
    "ece",
    "macro_precision",
    "macro_recall",
    "micro_auc",
    "brier",
    "balanced_accuracy",
)


@pytest.fixture(scope="module")
def summary(evaluation: Evaluation) -> dict[str, Any]:
    return summarise_folds(fold_scores(evaluation), protocol="three folds of made-up objects")


def test_the_layout_is_the_promised_one(summary: dict[str, Any]) -> None:
    for name in PROMISED:
        assert set(summary[name]) == {"mean", "std", "folds"}, name
        assert len(summary[name]["folds"]) == 3
        assert summary[name]["mean"] == pytest.approx(np.mean(summary[name]["folds"]))
    assert summary["n_objects"] == 500
    assert summary["n_not_classified"] == 3
    assert summary["n_folds"] == 3
    assert summary["protocol"] == "three folds of made-up objects"
    assert summary["version"] == firstlight.__version__


def test_every_class_of_the_truth_has_its_scores(summary: dict[str, Any], evaluation: Evaluation) -> None:
    assert set(summary["per_class"]) == set(evaluation.labels.tolist())
    assert sum(table["n"] for table in summary["per_class"].values()) == 500
    for table in summary["per_class"].values():
        assert set(table) == {*CLASS_METRICS, "n"}
        assert all(set(table[name]) == {"mean", "std"} for name in CLASS_METRICS)


def test_every_phase_has_both_selections(summary: dict[str, Any]) -> None:
    assert list(summary["by_phase"]) == [phase_name(days) for days in PHASES]
    for tables in summary["by_phase"].values():
        assert list(tables) == ["all", "extragalactic"]
        assert tables["all"]["n"] == 500
        assert tables["extragalactic"]["n"] < 500
        assert set(tables["all"]) == {*METRICS, "n", "n_not_classified", "mix"}
        assert all(set(ratio) == {"mean", "std"} for ratio in tables["all"]["mix"].values())
    assert summary["by_phase"]["all"]["all"]["accuracy"] == summary["accuracy"]
    assert summary["by_phase"]["0"]["all"]["n_not_classified"] > 200


def test_the_confusion_matrix_is_summed_over_folds(summary: dict[str, Any]) -> None:
    assert np.sum(summary["confusion"]["matrix"]) == 500


def test_a_class_missing_from_a_fold_is_averaged_over_the_other_folds() -> None:
    classes = ("SNIa", "KN")
    proba = np.array([[0.9, 0.1], [0.2, 0.8]])
    with_kn = score(np.array(["SNIa", "KN"]), proba, classes)
    without = score(np.array(["SNIa", "SNIa"]), proba, classes)
    summary = summarise_folds([with_kn, without], protocol="x")
    assert summary["per_class"]["KN"]["recall"]["mean"] == 1.0
    assert math.isnan(summary["per_class"]["KN"]["recall"]["std"])
    assert summary["per_class"]["KN"]["n"] == 1
    assert summary["macro_auc"]["mean"] == 1.0  # the second fold has none
    assert summary["by_phase"] == {}


def test_one_fold_has_no_spread() -> None:
    one = score(np.array(["SNIa", "KN"]), np.array([[0.9, 0.1], [0.6, 0.4]]), ("SNIa", "KN"))
    summary = summarise_folds([one], protocol="x")
    assert math.isnan(summary["accuracy"]["std"])
    assert summary["spread"].startswith("none")
    assert plain_summary(summary)["accuracy"]["std"] is None


def test_resamples_give_the_spread_but_not_the_mean() -> None:
    classes, labels = ("SNIa", "KN"), np.array(["SNIa", "KN"])
    tables = [score(labels, np.array([[p, 1 - p], [0.1, 0.9]]), classes) for p in (0.9, 0.4, 0.4)]
    summary = summarise_folds(tables[:1], protocol="x", resamples=tables)
    assert summary["accuracy"]["mean"] == 1.0
    assert summary["accuracy"]["std"] == pytest.approx(np.std([1.0, 0.5, 0.5], ddof=1))
    assert "3 resamplings" in summary["spread"]


def test_no_fold_and_folds_of_different_classes_are_refused() -> None:
    with pytest.raises(DataError, match="no fold"):
        summarise_folds([], protocol="x")
    one = score(np.array(["SNIa"]), np.array([[0.9, 0.1]]), ("SNIa", "KN"))
    two = score(np.array(["SNIa"]), np.array([[0.9, 0.1]]), ("SNIa", "TDE"))
    with pytest.raises(DataError, match="different classes"):
        summarise_folds([one, two], protocol="x")


# --- files ------------------------------------------------------------------------------


def test_a_summary_survives_its_file(summary: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "results" / "crossval.json"
    write_summary(summary, path)
    assert json.loads(path.read_text()) == plain_summary(summary)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_the_file_is_strict_json(summary: dict[str, Any], tmp_path: Path) -> None:
    odd = {**summary, "brier": {"mean": float("nan"), "std": np.float64("inf"), "folds": [np.float32(0.5)]}}
    write_summary(odd, tmp_path / "odd.json")

    def refuse(text: str) -> None:
        raise AssertionError(text)

    table = json.loads((tmp_path / "odd.json").read_text(), parse_constant=refuse)
    assert table["brier"] == {"mean": None, "std": None, "folds": [0.5]}
