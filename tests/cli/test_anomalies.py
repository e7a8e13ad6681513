"""``firstlight anomalies``: the strangest objects, and their order after verdicts."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from firstlight.cli import app

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def base(sample_paths) -> list[str]:
    return [
        *("anomalies", str(sample_paths.light_curves), "--metadata", str(sample_paths.metadata)),
        *("--bundle", "fast", "--jobs", "1"),
    ]


@pytest.fixture(scope="module")
def plain(base, tmp_path_factory) -> pd.DataFrame:
    """The list without verdicts."""
    out = tmp_path_factory.mktemp("anomalies") / "strange.csv"
    done = RUNNER.invoke(app, [*base, "--out", str(out), "-n", "3"])
    assert done.exit_code == 0, done.output
    return pd.read_csv(out, dtype={"object": str})


def test_without_verdicts_the_strangest_come_first(plain):
    assert plain["anomaly"].is_monotonic_decreasing
    assert plain["rank"].tolist() == list(range(1, len(plain) + 1))


def test_ids_are_shown_whole_on_a_narrow_terminal(monkeypatch):
    from rich.console import Console

    from firstlight.cli import anomalies

    screen = Console(width=80, record=True)
    monkeypatch.setattr(anomalies, "console", screen)
    name = "Foundation-ASASSN-15hy-a-long-name"
    row = {"rank": 1, "object": name, "interest": -0.18, "anomaly": 0.937, "class": "muLens-Single"}
    row |= {"probability": 0.51, "n_obs": 1800, "phase": 2336.8}
    anomalies._print(pd.DataFrame([row]))
    shown = screen.export_text()
    cells = [line.split("│")[2].strip() for line in shown.splitlines() if "│" in line]
    assert "".join(cells) == name
    assert "2336.8" in shown
    assert "…" not in shown


def test_verdicts_change_the_order_and_are_not_shown_again(base, plain, tmp_path):
    verdicts, out = tmp_path / "verdicts.jsonl", tmp_path / "strange.json"
    dull = plain["object"].head(3).tolist()
    marks = [word for name in dull for word in ("--mark", f"{name}=not_interesting")]
    words = [*base, "--feedback", str(verdicts), *marks, "--out", str(out), "--json"]
    done = RUNNER.invoke(app, words)
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    assert {row["object"] for row in found} == set(plain["object"]) - set(dull)
    assert [row["object"] for row in found] != [n for n in plain["object"] if n not in dull]
    assert len(verdicts.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--mark", "a=interesting"], 2),
        (["--feedback", "v.jsonl", "--mark", "a=great"], 2),
        (["--feedback", "v.jsonl", "--mark", "nobody=interesting"], 2),
        (["--out", "strange.txt"], 2),
        (["--feedback", "/nowhere/v.jsonl"], 2),
    ],
)
def test_wrong_use_is_refused_and_nothing_is_written(base, words, code, tmp_path, monkeypatch):
    from firstlight.cli.app import run

    monkeypatch.chdir(tmp_path)
    assert run([*base, *words]) == code
    assert not list(tmp_path.glob("*.jsonl"))
