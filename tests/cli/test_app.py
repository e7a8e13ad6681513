"""The application itself: help, version, errors and exit codes."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import typer
from rich.console import Console
from typer.core import TyperCommand
from typer.testing import CliRunner

from firstlight import __version__, errors
from firstlight.cli import app
from firstlight.cli.app import run
from firstlight.pipeline.bundle import shipped_bundles
from firstlight.pipeline.config import preset_names

COMMANDS = tuple(sorted(typer.main.get_command(app).commands))  # type: ignore[attr-defined]


def help_of(command: str) -> str:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    return " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command):
    text = help_of(command)
    assert "Example: " in text or "Examples: " in text
    assert f": firstlight {command}" in text


@pytest.mark.parametrize("command", ["train", "holdout", "crossval"])
def test_help_names_every_preset(command):
    text = help_of(command)
    assert [name for name in (*preset_names(), "paper", "paper-printed") if name not in text] == []


@pytest.mark.parametrize("command", ["classify", "plot", "info", "stream", "demo"])
def test_help_names_every_shipped_bundle(command):
    text = help_of(command)
    assert [name for name in shipped_bundles() if name not in text] == []


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from firstlight.cli import app; "
        "print([m for m in ('numpy', 'torch', 'lightgbm', 'numba', 'matplotlib', 'sklearn', 'onnxruntime', "
        "'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_explains_every_exit_code():
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    text = " ".join(result.output.split()).partition("Exit codes: ")[2]
    explained = {int(part.split()[0]) for part in text.rstrip(".").split(";")}
    errors_ = [getattr(errors, name) for name in errors.__all__]
    assert explained == {0, errors.INTERRUPTED, *(error.exit_code for error in errors_)}


def test_tab_completes_the_commands():
    code = "import sys; from firstlight.cli.app import main; sys.argv = ['firstlight']; main()"
    asked = {"_FIRSTLIGHT_COMPLETE": "complete_bash", "COMP_WORDS": "firstlight cl", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ | asked
    )
    assert done.stdout.split() == ["classify"]


def test_output_that_is_no_terminal_has_no_escapes(firstlight):
    done = firstlight("info", "fast")
    assert "\x1b" not in done.stdout + done.stderr


def test_version_is_shown(firstlight):
    assert firstlight("--version").stdout.strip() == f"firstlight {__version__}"


def test_a_misspelt_command_is_exit_code_2(firstlight):
    assert firstlight("clasify", ok=False).returncode == 2


def test_the_process_itself_exits_with_the_code_and_no_traceback(tmp_path):
    command = [sys.executable, "-m", "firstlight", "info", str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error:")
    assert "Traceback" not in done.stderr


def test_progress_in_a_log_is_one_line_for_each_long_stage(monkeypatch, capsys):
    module = sys.modules["firstlight.cli.app"]
    now = iter([0.0, 1.0, 10.0, 10.0, 11.0])
    monkeypatch.setattr(module, "console", Console(width=80))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(now)))
    with module.progress() as report:
        report("encoder epoch 1", 0.5)
        report("encoder epoch 2", 1.0)
        report("trees", 1.0)
    assert capsys.readouterr().out == "encoder: 10 s\n"


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("rank", "--hours", "1_0"),
        ("rank", "--show", "1_0"),
        ("rank", "--hours", "\uff11"),
        ("rank", "--max-age", "-1_0"),
        ("classify", "--upto-phase", "1_0"),  # a number or nothing
        ("classify", "--zero-point", "3_1.4"),  # an option that several commands share
    ],
)
@pytest.mark.parametrize("joint", [" ", "="])
def test_a_number_that_only_python_reads_is_refused(command, option, value, joint, capsys):
    assert run([command, "none.jsonl", *f"{option}{joint}{value}".split()]) == 2
    assert f"{option} {value}: give a number" in " ".join(capsys.readouterr().err.split())


def test_the_words_of_a_command_are_parsed_one_time(monkeypatch, capsys):
    made, make = [], TyperCommand.make_parser
    monkeypatch.setattr(TyperCommand, "make_parser", lambda *args: made.append(args) or make(*args))
    assert run(["rank", "none.jsonl", "--hours", "1"]) == 1
    assert len(made) == 1


def test_numbers_of_any_spelling_are_taken(tmp_path, capsys):
    (tmp_path / "none.jsonl").touch()
    for value in ("1e1", "+10", " 10 ", ".5"):
        assert run(["rank", str(tmp_path / "none.jsonl"), "--hours", value]) != 2


def test_a_shell_completes_behind_a_number_that_only_python_reads():
    command = typer.main.get_command(app).commands["rank"]  # type: ignore[attr-defined]
    command.make_context("rank", ["none.jsonl", "--hours", "1_0"], resilient_parsing=True).close()
