"""`firstlight reproduce` from the command line."""

import shutil
import sys
from pathlib import Path

from firstlight.cli import run

COMMITTED = Path(__file__).parents[2] / "docs" / "results" / "reproduction"


def test_an_unknown_part_ends_with_one_message_and_code_2(tmp_path, capsys):
    assert run(["reproduce", "--out", str(tmp_path), "--only", "table-9"]) == 2
    message = capsys.readouterr().err
    assert "table-9" in message
    assert "table-1" in message


def test_without_the_training_libraries_the_extra_is_named_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(["reproduce", "--out", str(tmp_path / "out")]) == 1
    assert 'pip install "firstlight[train]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_shows_an_example(capsys):
    assert run(["reproduce", "--help"]) == 0
    assert "--only table-1" in capsys.readouterr().out


def _few(folder):
    """The committed results of two small parts."""
    from firstlight_paper.results import Results, write_json

    folder.mkdir()
    for name in ("scores.csv", "about.json"):
        shutil.copy(COMMITTED / name, folder / name)
    results = Results(folder)
    kept = {
        name: value for name, value in results.about["parts"].items() if name in ("architecture", "rarity")
    }
    write_json(folder / "about.json", results.about | {"parts": kept})
    return folder


def test_drawing_needs_no_computation(tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["reproduce", "--out", str(out), "--draw", str(_few(tmp_path / "given"))]) == 0
    assert "reproduction.html" in "".join(capsys.readouterr().err.split())
    assert (out / "reproduction.html").exists()
    assert "Not computed here: simulated" in (out / "reproduction.md").read_text(encoding="utf-8")


def test_numbers_that_contradict_the_text_end_with_an_error(tmp_path, capsys):
    given = _few(tmp_path / "given")
    lines = (given / "scores.csv").read_text(encoding="utf-8").splitlines()
    lines = [
        line.rsplit(",", 1)[0] + ",0.1"
        if line.startswith("rarity,all weights") and ",recall:" in line
        else line
        for line in lines
    ]
    (given / "scores.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert run(["reproduce", "--out", str(tmp_path / "out"), "--draw", str(given)]) == 1
    assert "rarity: weights and numbers raise recall" in " ".join(capsys.readouterr().err.split())


def test_drawing_from_nothing_names_the_missing_files(tmp_path, capsys):
    assert run(["reproduce", "--out", str(tmp_path), "--draw", str(tmp_path / "none")]) == 1
    assert "scores.csv" in capsys.readouterr().err


def test_an_interrupted_run_says_that_it_resumes(tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **values):
        raise KeyboardInterrupt

    monkeypatch.setattr("firstlight_paper.experiment.compute", interrupted)
    assert run(["reproduce", "--out", str(tmp_path)]) == 130
    assert "run the same command again to resume" in " ".join(capsys.readouterr().err.split())
