"""Counts add up: whatever is read is answered, skipped, rejected or a repetition."""

import json
import re

import pandas as pd
import pytest

from firstlight.cli.app import run


@pytest.fixture
def firstlight(capsys):
    """Run a command; its last message."""

    def command(*words: object) -> str:
        assert run([str(word) for word in words]) == 0
        return str(capsys.readouterr().err.splitlines()[-1])

    return command


def test_every_alert_of_a_stream_is_counted_once(firstlight, sample_paths, tmp_path):
    alerts = tmp_path / "alerts.jsonl"
    words = ("--data", sample_paths.light_curves, "--metadata", sample_paths.metadata, "--sink", alerts)
    firstlight("replay", *words, "--max-alerts", 300, "--late", 0.1, "--repeat", 0.1)
    lines = alerts.read_bytes().splitlines(keepends=True)
    alerts.write_bytes(b"".join([*lines, b"not an alert\n"]))
    out = tmp_path / "classes.jsonl"
    text = firstlight(
        *("stream", "--source", alerts, "--sink", out, "--state", tmp_path / "state", "--bundle", "fast")
    )
    counts = {word: int(n.replace(",", "")) for n, word in re.findall(r"(\d[\d,]*) (\w+)", text)}
    assert counts.pop("alerts") == len(lines) + 1
    assert sum(counts.values()) == len(lines) + 1
    assert counts["answered"] == len(out.read_bytes().splitlines())
    assert counts["rejected"] == 1


def test_every_object_of_a_file_is_answered_or_rejected(firstlight, sample_paths, tmp_path):
    rows = pd.read_csv(sample_paths.light_curves)
    names = rows["object_id"].unique()
    rows.loc[rows["object_id"] == names[0], "flux"] = None
    rows.to_csv(tmp_path / "curves.csv", index=False)
    out = tmp_path / "classes.csv"
    words = ("--metadata", sample_paths.metadata, "--bundle", "fast", "--out", out)
    firstlight("classify", tmp_path / "curves.csv", *words)
    rejects = [json.loads(line) for line in (tmp_path / "classes.csv.rejects.jsonl").read_text().splitlines()]
    n_bad = (rows["object_id"] == names[0]).sum()
    assert len([one for one in rejects if one["object_id"] == str(names[0])]) >= n_bad
    answered = set(pd.read_csv(out)["object_id"])
    assert answered | {int(one["object_id"]) for one in rejects} == set(names)
