import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.metrics import METRICS, PHASES, Snapshot, phase_name, score, skill_by_phase

CLASSES = ("SNIa", "KN", "EB")
LABELS = np.array(["SNIa", "KN", "EB", "SNIa"])
PROBA = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.3, 0.1, 0.6]])
CLASSIFIED = np.array([True, True, True, False])


def test_phases_are_those_of_every_report() -> None:
    assert [phase_name(days) for days in PHASES] == ["0", "1", "2", "4", "8", "16", "32", "64", "all"]


def test_all_objects_score_as_they_do_alone() -> None:
    table = skill_by_phase(LABELS, {"2": Snapshot(PROBA, CLASSIFIED)}, CLASSES)["2"]["all"]
    expected = score(LABELS, PROBA, CLASSES)
    assert {name: table[name] for name in METRICS} == {name: expected[name] for name in METRICS}
    assert (table["n"], table["n_not_classified"]) == (4, 1)


def test_the_mix_is_one_where_mean_probabilities_equal_frequencies() -> None:
    known = np.eye(3)[[0, 1, 2, 0]]
    for proba, ratio in ((known, [1.0, 1.0, 1.0]), (PROBA, [0.6, 1.2, 1.6])):
        mix = skill_by_phase(LABELS, {"2": Snapshot(proba, CLASSIFIED)}, CLASSES)["2"]["all"]["mix"]
        np.testing.assert_allclose(list(mix.values()), ratio)
        assert list(mix) == list(CLASSES)


def test_extragalactic_scores_leave_out_objects_of_the_milky_way() -> None:
    table = skill_by_phase(LABELS, {"2": Snapshot(PROBA, CLASSIFIED)}, CLASSES)["2"]["extragalactic"]
    assert table["n"] == 3
    # Taking the last supernova for an eclipsing binary stays an error.
    assert table["accuracy"] == pytest.approx(2 / 3)


def test_a_selection_without_objects_is_left_out() -> None:
    stars = np.array(["EB", "EB"])
    table = skill_by_phase(stars, {"all": Snapshot(PROBA[2:], CLASSIFIED[2:])}, CLASSES)
    assert set(table["all"]) == {"all"}


def test_phases_keep_their_order() -> None:
    said = {name: Snapshot(PROBA, CLASSIFIED) for name in ("0", "8", "all")}
    assert list(skill_by_phase(LABELS, said, CLASSES)) == ["0", "8", "all"]


def test_a_snapshot_of_other_objects_is_refused() -> None:
    with pytest.raises(DataError, match="phase 4"):
        skill_by_phase(LABELS, {"4": Snapshot(PROBA[:2], CLASSIFIED[:2])}, CLASSES)


def test_taking_some_objects_takes_both_columns() -> None:
    part = Snapshot(PROBA, CLASSIFIED).take(np.array([3, 0]))
    assert part.classified.tolist() == [False, True]
    np.testing.assert_array_equal(part.proba, PROBA[[3, 0]])
