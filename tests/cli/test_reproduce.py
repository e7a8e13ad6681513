"""`firstlight reproduce` from the command line."""

import json

from firstlight.cli.app import run


def test_an_unknown_part_ends_with_one_message_and_code_one(tmp_path, capsys):
    assert run(["reproduce", "--out", str(tmp_path), "--only", "table-9"]) == 1
    said = capsys.readouterr().err
    assert "table-9" in said
    assert "table-1" in said


def test_help_shows_an_example(capsys):
    assert run(["reproduce", "--help"]) == 0
    assert "--only table-1" in capsys.readouterr().out


def test_drawing_needs_no_computation(tmp_path, capsys):
    about = {
        "version": "1",
        "scale": "full",
        "seed": 0,
        "machine": "m",
        "n_real": 10,
        "n_simulated": 3,
        "simulated_classes": ["PISN"],
        "n_folds": 2,
        "objects_per_class": {"AGN": 10, "PISN": 3},
        "parts": {},
    }
    (tmp_path / "given.json").write_text(json.dumps({"about": about}))
    out = tmp_path / "out"
    assert run(["reproduce", "--out", str(out), "--draw", str(tmp_path / "given.json")]) == 0
    assert "reproduction.html" in "".join(capsys.readouterr().err.split())
    assert (out / "reproduction.html").exists()
    assert (out / "reproduction.md").exists()


def test_drawing_from_nothing_says_what_is_missing(tmp_path, capsys):
    assert run(["reproduce", "--out", str(tmp_path), "--draw", str(tmp_path / "none.json")]) == 1
    assert "none.json" in capsys.readouterr().err


def test_an_interrupted_run_says_that_it_resumes(tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **values):
        raise KeyboardInterrupt

    monkeypatch.setattr("firstlight_paper.run.reproduce", interrupted)
    assert run(["reproduce", "--out", str(tmp_path)]) == 130
    assert "resumes where it stopped" in " ".join(capsys.readouterr().err.split())
