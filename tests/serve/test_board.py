"""The board: each record counts once, the newest is shown, and memory is bounded."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve._night import START, lines, make_desk, make_record, night_of_records, wait_until

from firstlight.constants import MJD_OF_1970
from firstlight.serve.board import MOST_CLASSES, MOST_POINTS, Board
from firstlight.serve.health import health_of


def add(board: Board, *records: dict) -> int:
    return len(board.add([(record, json.dumps(record).encode()) for record in records]))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=60))
def test_a_repeated_record_counts_once_in_any_order(pairs):
    board = Board()
    n_new = sum(add(board, make_record(f"o{k}", number)) for k, number in pairs)
    assert n_new == board.n_records == len(set(pairs))
    assert board.n_repeated == len(pairs) - len(set(pairs))
    results, _ = board.results("fast-1") if pairs else (None, None)
    if results is not None:
        newest = {f"o{k}": max(n for j, n in pairs if j == k) for k, _ in pairs}
        found = dict(zip(results.object_id.tolist(), results.alert_id.tolist(), strict=True))
        assert found == {name: f"{name}-{number}" for name, number in newest.items()}


def test_a_record_of_a_late_alert_is_the_newest_since_it_knows_the_others():
    board = Board()
    add(board, make_record("a", 5), make_record("a", 2, "TDE", late=True))
    assert board.results("fast-1")[0].label.tolist() == ["TDE"]
    add(board, make_record("a", 3, "AGN"))
    assert board.results("fast-1")[0].label.tolist() == ["AGN"]


def test_bundles_are_kept_apart_and_the_last_one_comes_first():
    board = Board()
    add(board, make_record("a"), make_record("a", bundle="default-2", label="TDE"))
    assert board.bundles == ["default-2", "fast-1"]
    assert board.bundles_of("a") == ["default-2", "fast-1"]
    assert [board.results(name)[0].label.tolist() for name in board.bundles] == [["TDE"], ["KN"]]


def test_a_long_history_keeps_its_ends_and_counts_dropped_records():
    board = Board()
    n = 5 * MOST_POINTS
    for number in range(n):
        add(board, make_record("a", number))
    history = board.history("a", "fast-1")
    assert len(history.points) == len(history.alerts) <= MOST_POINTS
    assert history.n_records == n
    assert board.n_thinned == n - len(history.points)
    assert (history.alerts[0], history.alerts[-1]) == ("a-0", f"a-{n - 1}")
    assert (np.diff(history.points["mjd"]) > 0.0).all()


def test_objects_with_the_oldest_records_are_forgotten_and_the_others_stay_right():
    board = Board(most_places=100)
    for k in range(300):
        add(board, make_record(f"o{k}", k, mjd=START + k, mag=float(k % 30)))
    results, _ = board.results("fast-1")
    kept = [int(name[1:]) for name in results.object_id.tolist()]
    assert max(kept) == 299
    assert len(board) + board.n_forgotten == 300
    assert len(board) <= 100
    assert results.mag.tolist() == [float(k % 30) for k in kept]
    assert json.loads(board.history("o299", "fast-1").raw)["object"] == "o299"
    assert board.history("o0", "fast-1") is None


def test_classes_of_a_users_own_bundle_join_ours_and_older_histories_stay_right():
    board = Board()
    add(board, make_record("a", label="TDE"))
    own = make_record("b", label="nova", bundle="own") | {"proba": {"nova": 0.7, "TDE": 0.3}}
    add(board, own)
    results, _ = board.results("own")
    assert dict(zip(results.classes, results.proba[0].tolist(), strict=True))["nova"] == 0.7
    for name, bundle, label in (("a", "fast-1", "TDE"), ("b", "own", "nova")):
        history = board.history(name, bundle)
        assert history.classes[history.points["label"][0]] == label
        assert history.points["proba"][0].sum() == pytest.approx(1.0)


def test_records_with_endless_classes_are_not_used():
    board = Board()
    for k in range(60):
        add(board, make_record(f"o{k}") | {"proba": {f"class-{k}-{j}": 0.5 for j in range(2)}, "label": ""})
    assert len(board.classes) <= MOST_CLASSES
    assert board.n_records + board.n_unusable == 60
    assert board.n_unusable > 0


def test_the_prediction_set_of_a_record_is_shown_and_that_of_an_old_one_is_made():
    from firstlight.serve.detail import reasons_in_words
    from firstlight.serve.tonight import _newest

    board = Board()
    add(board, make_record("new", set=["KN", "SNIa"]), make_record("old", chance=0.95))
    results, notes = board.results("fast-1")
    assert _newest(results, notes, np.inf)["set"].tolist() == ["KN, SNIa", "KN"]
    history = board.history("new", "fast-1")
    row = {"class": "KN", "reason": "", "anomaly": None, "rank": None}
    assert "Prediction set, whose classes cannot be excluded: KN, SNIa." in reasons_in_words(
        row, results.proba[0], history
    )


def test_a_set_that_is_no_list_of_names_is_none():
    board = Board()
    add(board, make_record("odd", set={"KN": 1}), make_record("odder", set=[1, None]))
    assert board.results("fast-1")[1]["set"] == ["", ""]


def test_one_record_from_the_future_leaves_the_others_their_night_and_is_reported(tmp_path):
    path = tmp_path / "classes.jsonl"
    path.write_bytes(lines(*night_of_records(), make_record("wrong", mjd=START + 20_000.0)))
    with make_desk(path, clock=lambda: 86400.0 * (START - MJD_OF_1970)) as desk:
        wait_until(lambda: desk.snapshot().ranking is not None and not desk.tonight.is_behind)
        table = desk.snapshot().table.set_index("object")
        assert desk.snapshot().night.date == "2026-11-26"
        assert table["age"].drop("wrong").between(0.0, 1.0).all()
        assert np.isnan(table["age"]["wrong"])
        assert np.isnan(table["rank"]["wrong"])
        assert table["rank"].drop("wrong").notna().all()
        assert any(problem.startswith("1 object(s) not ranked") for problem in desk.problems())
        assert health_of(desk)["results"]["newest_mjd"] < START
