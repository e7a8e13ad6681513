"""Reading of results as they come: torn lines, folders, replaced files, and texts that are no records."""

import json

import pytest
from tests.serve._night import lines, make_desk, make_record, wait_until

from firstlight.errors import DataError, SettingsError
from firstlight.serve.follow import Clock, Letters, Parser
from firstlight.stream.io.message import Message


def test_a_torn_last_line_is_read_when_it_is_whole(tmp_path):
    path = tmp_path / "classes.jsonl"
    whole = lines(make_record("a"), make_record("b"))
    path.write_bytes(whole[:-200])
    with make_desk(path) as desk:
        wait_until(lambda: desk.board.n_records == 1)
        with path.open("ab") as file:
            file.write(whole[-200:] + lines(make_record("c")))
        wait_until(lambda: desk.board.n_records == 3)
        assert desk.parser.refusals.n == 0
        assert desk.problems() == []


def test_a_file_that_was_cut_and_written_again_counts_each_record_once(tmp_path):
    path = tmp_path / "classes.jsonl"
    records = [make_record(f"o{k}") for k in range(6)]
    path.write_bytes(lines(*records))
    with make_desk(path) as desk:
        wait_until(lambda: desk.board.n_records == 6)
        path.write_bytes(lines(*records[:3]))
        with path.open("ab") as file:
            file.write(lines(*records[3:], make_record("new")))
        wait_until(lambda: desk.board.n_records == 7)


def test_a_folder_is_followed_as_files_rotate(tmp_path):
    first = tmp_path / "classes.jsonl"
    first.write_bytes(lines(make_record("a")))
    with make_desk(tmp_path) as desk:
        wait_until(lambda: desk.board.n_records == 1)
        first.rename(tmp_path / "classes-1.jsonl")
        first.write_bytes(lines(make_record("b")))
        wait_until(lambda: desk.board.n_records == 2)
        assert desk.board.n_repeated <= 1


def test_a_file_that_comes_later_is_waited_for(tmp_path):
    path = tmp_path / "classes.jsonl"
    with make_desk(path) as desk:
        wait_until(lambda: bool(desk.reader.problem))
        assert "classes.jsonl" in desk.problems()[0]
        path.write_bytes(lines(make_record("a")))
        wait_until(lambda: desk.board.n_records == 1 and not desk.problems())


def test_other_texts_than_records_are_counted_with_place_and_reason(tmp_path):
    path = tmp_path / "classes.jsonl"
    bad = make_record("x", mjd="now")
    path.write_bytes(b"{}\n[1]\n" + lines(bad, make_record("a")) + b"\xff\xfe\n" + lines(make_record("b")))
    with make_desk(path) as desk:
        wait_until(lambda: desk.board.n_records == 2 and desk.parser.refusals.n == 4)
        places = [place for place, _ in desk.parser.refusals.last]
        assert all("record" in place for place in places)
        assert "4 records could not be read" in desk.problems()[0]


@pytest.mark.parametrize(
    "values",
    [
        {"n_obs": 10**30}, {"n_obs": -1}, {"n_obs": 1.5}, {"mjd": None}, {"mjd": float("nan")}, {"mjd": 1e9},
        {"dec": 500.0}, {"ra": -1.0}, {"anomaly": 9.0}, {"mag": float("nan")}, {"proba": {"KN": 2.0}},
        {"proba": {"KN": float("nan")}}, {"object": ""},
        {"object": "half \ud800"}, {"features": {"colour": float("inf")}},
    ],
)  # fmt: skip
def test_a_value_that_no_record_has_is_refused_and_the_page_goes_on(tmp_path, values):
    path = tmp_path / "classes.jsonl"
    path.write_bytes(lines(make_record("bad") | values, make_record("good")))
    with make_desk(path) as desk:
        wait_until(lambda: desk.board.n_records == 1 and desk.parser.refusals.n == 1)
        reason = desk.parser.refusals.last[0][1]
        assert any(word in reason for word in (*values, "KN", "not JSON"))


def test_a_record_of_lists_within_lists_is_refused_since_no_page_could_write_it(tmp_path):
    path = tmp_path / "classes.jsonl"
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]
    path.write_bytes(lines(make_record("bad", ebv=deep), make_record("good", features={"a": [[1.0]] * 40})))
    with make_desk(path) as desk:
        wait_until(lambda: desk.board.n_records == 1 and desk.parser.refusals.n == 1)
        assert "within each other" in desk.parser.refusals.last[0][1]


def test_a_fault_of_our_own_is_shown_and_ends_neither_the_reading_nor_the_ranking(tmp_path, monkeypatch):
    path = tmp_path / "classes.jsonl"
    path.write_bytes(lines(make_record("a")))
    desk = make_desk(path)
    add = desk.board.add

    def fail(records):
        monkeypatch.setattr(desk.board, "add", add)
        raise RuntimeError("of the board")

    def fail_to_rank(*values, **named):
        raise RuntimeError("of the ranking")

    monkeypatch.setattr(desk.board, "add", fail)
    monkeypatch.setattr("firstlight.serve.tonight.rank_targets", fail_to_rank)
    with desk:
        wait_until(lambda: desk.reader.failure)
        with path.open("ab") as file:
            file.write(lines(make_record("b")))
        wait_until(lambda: desk.board.n_records == 1 and "of the ranking" in desk.snapshot().note)
        assert any("of the board" in problem for problem in desk.problems())
        monkeypatch.undo()
        with path.open("ab") as file:
            file.write(lines(make_record("c")))
        wait_until(lambda: desk.board.n_records == 2 and desk.snapshot().ranking is not None)


@pytest.mark.parametrize(
    ("results", "error"),
    [("/nowhere/at/all.jsonl", DataError), ("ftp://x/y", SettingsError), ("kafka://nobody", SettingsError)],
)
def test_an_address_that_cannot_be_read_is_refused_at_the_start(results, error):
    with pytest.raises(error), make_desk(results):
        pass


def test_records_in_elasticcs_form_are_read_from_a_topic():
    from firstlight.stream.results.record import ElasticcResults

    pytest.importorskip("fastavro")
    record = make_record("17", source="4", alert="12")
    value = ElasticcResults(in_file=False, preset="fast").encode(record, 5)
    [(found, _)] = Parser().parse([Message(value, b"17", "classes", 0, 3)])
    assert (found["object"], found["label"]) == ("17", "KN")
    assert found["proba"]["KN"] == pytest.approx(0.8)


def test_dead_letters_are_counted_by_reason_without_their_numbers():
    letters = Letters()
    values = [{"kind": "decode", "reason": f"bad at {k}"} for k in range(30)]
    letters.take([Message(json.dumps(value).encode()) for value in values] + [Message(b"?")])
    assert letters.n == 31
    assert sorted(letters.by_reason.values()) == [1, 30]


def test_rates_and_classes_are_counted_by_arrival():
    clock = Clock()
    clock.count([make_record("a"), make_record("b", label="")], 7200.0)
    clock.count([make_record("c")], 10_800.0)
    assert clock.rate(10_800.0) == pytest.approx(1.0 / 60.0)
    assert clock.by_hour() == [(2, {"KN": 1, "not classified": 1}), (3, {"KN": 1})]
