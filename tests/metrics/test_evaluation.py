from dataclasses import replace

import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.metrics import METRICS, Evaluation, Snapshot, fold_scores, score, summarise
from firstlight.predictions import Predictions
from firstlight.taxonomy import CLASSES

PROTOCOL = "a test"


def test_fold_scores_are_those_of_each_part(evaluation: Evaluation) -> None:
    folds = fold_scores(evaluation)
    assert evaluation.fold is not None
    for k, found in enumerate(folds):
        own = evaluation.fold == k
        expected = score(evaluation.labels[own], evaluation.proba[own], CLASSES, evaluation.classified[own])
        assert {name: found[name] for name in METRICS} == {name: expected[name] for name in METRICS}
    assert sum(found["n_objects"] for found in folds) == 500


def test_the_whole_light_curve_is_the_last_phase(evaluation: Evaluation) -> None:
    for found in fold_scores(evaluation):
        assert list(found["by_phase"])[-1] == "all"
        assert found["by_phase"]["all"]["all"]["accuracy"] == found["accuracy"]


def test_a_snapshot_called_all_gives_way_to_the_forecast_itself(evaluation: Evaluation) -> None:
    other = Snapshot(np.roll(evaluation.proba, 1, axis=1), evaluation.classified)
    doubled = replace(evaluation, by_phase={"all": other, "2": other})
    assert list(doubled.snapshots) == ["2", "all"]
    np.testing.assert_array_equal(doubled.snapshots["all"].proba, evaluation.proba)


def test_with_folds_the_spread_is_that_between_folds(evaluation: Evaluation) -> None:
    summary = summarise(evaluation, protocol=PROTOCOL)
    values = [found["accuracy"] for found in fold_scores(evaluation)]
    assert summary["accuracy"] == {
        "mean": pytest.approx(np.mean(values)),
        "std": pytest.approx(np.std(values, ddof=1)),
        "folds": values,
    }
    assert "between 3 folds" in summary["spread"]


def test_without_folds_the_spread_comes_from_resampling(evaluation: Evaluation) -> None:
    single = replace(evaluation, fold=None, by_phase={})
    summary = summarise(single, protocol=PROTOCOL)
    assert summary["n_folds"] == 1
    assert summary["accuracy"]["folds"] == [summary["accuracy"]["mean"]]
    p = summary["accuracy"]["mean"]
    assert summary["accuracy"]["std"] == pytest.approx(np.sqrt(p * (1 - p) / 500), rel=0.25)
    assert "bootstrap" in summary["spread"]
    assert summary["per_class"]["KN"]["recall"]["std"] > summary["per_class"]["SNIa"]["recall"]["std"]


def test_resampling_repeats_with_its_seed(evaluation: Evaluation) -> None:
    single = replace(evaluation, fold=None, by_phase={})
    first, again, other = (summarise(single, protocol=PROTOCOL, seed=seed) for seed in (5, 5, 6))
    assert first["macro_f1"] == again["macro_f1"]
    assert first["macro_f1"]["mean"] == other["macro_f1"]["mean"]
    assert first["macro_f1"]["std"] != other["macro_f1"]["std"]


@pytest.mark.parametrize("name", ["labels", "proba", "classified", "fold"])
def test_columns_of_another_length_are_named(evaluation: Evaluation, name: str) -> None:
    with pytest.raises(DataError, match=name):
        replace(evaluation, **{name: getattr(evaluation, name)[:-1]})


def test_a_snapshot_of_another_length_is_named(evaluation: Evaluation) -> None:
    short = Snapshot(evaluation.proba[:3], evaluation.classified[:3])
    with pytest.raises(DataError, match=r"by_phase\['8'\]"):
        replace(evaluation, by_phase={"8": short})


def test_an_evaluation_needs_an_object() -> None:
    nobody = np.empty(0, "U1")
    with pytest.raises(DataError, match="0 object"):
        Evaluation(
            object_id=nobody, labels=nobody, proba=np.empty((0, 17)), classified=np.empty(0, dtype=bool)
        )


# --- joining predictions and truth ------------------------------------------------------


def test_truth_is_joined_by_name(predictions: Predictions) -> None:
    names = np.array(["a,b", "NA", "007", "615"])
    evaluation, notes = Evaluation.from_predictions(predictions, names, np.array(["TDE", "EB", "KN", "SNII"]))
    assert evaluation.object_id.tolist() == ["615", "007", "NA", "a,b"]
    assert evaluation.labels.tolist() == ["SNII", "KN", "EB", "TDE"]
    assert evaluation.classified.tolist() == [True, True, False, True]
    assert notes == ()


def test_the_notes_count_the_objects_left_out(predictions: Predictions) -> None:
    names = np.array(["615", "007", "NA", "x", "y"])
    labels = np.array(["SNIa", "muLens-Binary", "EB", "AGN", "AGN"])
    evaluation, notes = Evaluation.from_predictions(predictions, names, labels)
    assert evaluation.object_id.tolist() == ["615", "NA"]
    assert notes[0] == "1 predicted object(s) without a true class were left out."
    assert notes[1].startswith("1 object(s) of classes that cannot be predicted")
    assert "muLens-Binary 1" in notes[1]
    assert notes[2] == "2 object(s) of the truth were not predicted and do not count."


def test_truth_and_predictions_without_a_common_object_are_refused(predictions: Predictions) -> None:
    with pytest.raises(DataError, match="none of the 4 predicted objects"):
        Evaluation.from_predictions(predictions, np.array(["other"]), np.array(["SNIa"]))


def test_a_truth_that_contradicts_itself_is_refused(predictions: Predictions) -> None:
    with pytest.raises(DataError, match="'615' is 'SNIa' and 'KN'"):
        Evaluation.from_predictions(predictions, np.array(["615", "615"]), np.array(["SNIa", "KN"]))
