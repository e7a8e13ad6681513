"""The live table: latest records, counts and rates, on a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from firstlight.stream.worker.metrics import Metrics
from firstlight.stream.worker.terminal import LiveTable
from firstlight.stream.worker.worker import Batch
from firstlight.taxonomy import CLASSES


def record(name: str, label: str = "SNIa", **changes):
    values = {
        "object": name,
        "mjd": 60000.5,
        "status": "classified" if label else "not_classified",
        "reason": "" if label else "few_observations",
        "label": label,
        "proba": {c: 0.9 if c == label else 0.00625 for c in CLASSES},
        "anomaly": 0.25,
        "change": None,
        "followup": 0.125,
        "n_obs": 7,
        "phase": 3.25,
        "mag": 20.123,
        "band": "r",
    }
    return values | changes


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)


def text(shown: Console) -> str:
    return shown.file.getvalue()


def test_on_a_terminal_the_newest_records_are_drawn_first():
    shown = console(True)
    with LiveTable(rows=2, console=shown) as table:
        table.add([record("first"), record("second"), record("third", "TDE")], 1.0, [None] * 3)
        table.refresh(1.5)
    drawn = text(shown)
    assert drawn.index("third") < drawn.index("second")
    assert "20.12 r" in drawn
    assert "TDE" in drawn
    assert "SNIa 2 (67%)" in drawn


def test_foreign_names_cannot_control_the_terminal():
    forged = "x\x1b[2J\x9b\r\n\u202e[red]"
    shown = console(True)
    table = LiveTable(console=shown, truth={forged: forged})
    table.add([record(forged, forged, band=forged), record("b", "", reason=forged)], 1.0, [None] * 2)
    shown.print(table.draw())
    drawn = text(shown)
    assert "\x1b" not in drawn
    assert all(line.isprintable() for line in drawn.split("\n"))
    assert "x\\x1b[2J" in drawn


def test_an_object_is_shown_once_with_its_latest_record():
    table = LiveTable(console=console(False))
    table.add([record("a"), record("a", "KN")], 1.0, [None, None])
    assert "1 objects" in table.line()
    shown = console(True)
    shown.print(table.draw())
    assert text(shown).count("KN") == 2  # its row, and the counts
    assert "SNIa" not in text(shown)


def test_off_a_terminal_there_is_a_line_now_and_then():
    shown = console(False)
    with LiveTable(console=shown) as table:
        for second in range(11):
            table.add([record(f"o{second}")], float(second), [0.010])
            table.refresh(float(second))
    lines = text(shown).splitlines()
    assert len(lines) == 4  # at 0, 5 and 10 s, and at the end
    assert lines[-1].startswith("11 answers, 1/s, 11 objects")
    assert "latency 10 ms" in lines[-1]


def test_truth_and_progress_are_counted_where_they_are_known():
    table = LiveTable(truth={"a": "SNIa", "b": "KN", "c": "TDE"}, total=1000, console=console(False))
    table.add([record("a"), record("b"), record("c", "")], 1.0, [None] * 3)
    table.sent(250)
    assert "250 of 1,000 alerts sent" in table.line()
    assert "50% of 2 classified objects right" in table.line()


def test_records_without_values_are_drawn_too():
    shown = console(True)
    empty = record("a", "", mag=None, band=None, anomaly=None, followup=None, phase=None)
    with LiveTable(console=shown) as table:
        table.add([empty], 1.0, [None])
    assert "few_observations" in text(shown)
    assert "not classified yet 1 (100%)" in text(shown)


def test_an_empty_table_prints_nothing_off_a_terminal():
    shown = console(False)
    with LiveTable(console=shown):
        pass
    assert text(shown) == ""
    assert LiveTable(console=shown).rate == 0.0


def test_a_workers_batches_are_shown_with_its_counts():
    metrics, shown = Metrics("b"), console(False)
    with LiveTable(console=shown, metrics=metrics) as table:
        metrics.count("alerts", n=3)
        metrics.count("rejected", "decode")
        table.show_batch(Batch(3, [record("a"), record("b")], 1, 0))
    assert "2 answers" in text(shown)
    assert "1 rejected" in text(shown)


def test_the_line_alone_is_shown_on_a_terminal_and_nothing_elsewhere():
    for terminal in (True, False):
        shown = console(terminal)
        with LiveTable(console=shown, metrics=Metrics("b"), line_only=True) as table:
            table.show_batch(Batch(1, [record("a", "TDE")], 0, 0))
        assert ("1 answers" in text(shown)) == terminal
        assert "TDE" not in text(shown)


def test_the_rate_is_that_of_the_last_ten_seconds():
    table = LiveTable(console=console(False))
    for second in range(100):
        n = 1 if second < 80 else 5
        table.add([record("a")] * n, float(second), [])
    assert table.rate == pytest.approx(5.0, abs=0.01)
