"""``firstlight rank``, as its user types it."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from firstlight.cli import app
from firstlight.cli.app import run
from firstlight.taxonomy import CLASSES
from firstlight.text import is_formula

START = 61371.04  # MJD of the end of twilight at Rubin on 2026-11-26


def rank(*arguments: object) -> tuple[int, str, str]:
    """Run the command; exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("COLUMNS", "200")
        code = run(["rank", *(str(part) for part in arguments)])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Records of forty objects over a week, as the stream writes them."""
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("rank") / "results.jsonl"
    lines = []
    for night in range(7):
        for k in range(40):
            mag, when = rng.uniform(18.0, 22.5), START - 6.7 + night
            record = {
                "object": f"object-{k}",
                "alert": f"{k}-{night}",
                "mjd": when,
                "ra": (31.0 * k) % 360.0,
                "dec": -80.0 + 2.9 * k,
                "bundle": "b",
                "status": "classified",
                "reason": "",
                "label": CLASSES[k % 17],
                "proba": dict(zip(CLASSES, np.roll([0.84] + [0.01] * 16, k).tolist(), strict=True)),
                "coarse": {},
                "anomaly": rng.random(),
                "change": None,
                "followup": 0.1,
                "n_obs": 5,
                "phase": 2.0,
                "mag": mag,
                "mag_err": 0.05,
                "band": "g",
                "mag_mjd": when,
                "slope": rng.normal(0.0, 0.1),
                "slope_err": 0.05,
                "peak_mag": mag,
                "peak_mjd": when,
                "source": 1,
                "late": False,
            }
            lines.append(json.dumps(record) + "\n")
    path.write_text("".join(lines))
    return path


def test_help_shows_an_example():
    result = CliRunner().invoke(app, ["rank", "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert "Example: firstlight rank results.jsonl --want KN" in result.output


def test_targets_are_printed_written_and_drawn(results, tmp_path):
    out, picture = tmp_path / "targets.csv", tmp_path / "night.png"
    code, said, shown = rank(
        *(results, "--want", "KN", "--want", "TDE=0.5", "--site", "rubin", "--night", "2026-11-26"),
        *("--hours", 2, "--limit-mag", 22, "--out", out, "--plot", picture),
    )
    assert code == 0, shown
    assert said.split() == [str(picture), str(out)]
    table = pd.read_csv(out)
    assert len(table) == 40
    chosen = table[table["fate"] == "chosen"]
    assert 0 < len(chosen) <= 10
    assert chosen["hours"].sum() <= 2.0 + 1e-6
    assert f"{len(chosen)} of 40 targets" in " ".join(shown.split())
    assert "Rubin, Cerro Pach" in shown
    assert chosen["object"].iloc[0] in shown
    assert picture.read_bytes()[:4] == b"\x89PNG"


FORMULA, FORGED = "=cmd|' /C calc'!A0", "\x1b[2J\rerror: forged $\\frac$"


def test_foreign_ids_run_no_formula_and_reach_no_terminal(results, tmp_path):
    text = (
        results.read_text()
        .replace('"object-1"', json.dumps(FORMULA))
        .replace('"object-2"', json.dumps(FORGED))
    )
    (tmp_path / "odd.jsonl").write_text(text)
    words = (tmp_path / "odd.jsonl", "--night", "2026-11-26", "--show", 40)
    code, _, shown = rank(*words, "--out", tmp_path / "a.csv", "--plot", tmp_path / "a.png")
    assert code == 0, shown
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert r"\x1b[2J\rerror: forged" in shown
    table = pd.read_csv(tmp_path / "a.csv")
    assert len(table) == 40
    assert {f"'{FORMULA}", FORGED} <= set(table["object"])
    cells = table.to_numpy(object).ravel()
    assert not any(is_formula(cell) for cell in cells if isinstance(cell, str))
    assert rank(*words, "--out", tmp_path / "a.json")[0] == 0
    assert {FORMULA, FORGED} <= {row["object"] for row in json.loads((tmp_path / "a.json").read_text())}


@pytest.mark.parametrize(
    "change",
    [
        {"object": "x" * 100_000},
        {"object": 5},
        {"label": "Nova"},
        {"band": "=1"},
        {"mjd": "60000"},
        {"mag": 1e300},
        {"proba": [1.0]},
        {"proba": {"KN": "1"}},
        {"n_obs": 10**400},
    ],
)
def test_a_line_that_is_no_record_is_named(results, tmp_path, change):
    first, *rest = results.read_text().splitlines(keepends=True)
    (tmp_path / "odd.jsonl").write_text(first + json.dumps(json.loads(first) | change) + "\n" + "".join(rest))
    code, _, shown = rank(tmp_path / "odd.jsonl", "--night", "2026-11-26")
    assert code == 1
    assert "odd.jsonl, line 2" in shown


def test_json_and_another_site_by_numbers(results, tmp_path):
    out = tmp_path / "targets.json"
    code, _, shown = rank(results, "--site", "149.06,-31.27,1149", "--night", "2026-11-26", "--out", out)
    assert code == 0, shown
    targets = json.loads(out.read_text())
    assert len(targets) == 40
    code, printed, _ = rank(results, "--site", "149.06,-31.27,1149", "--night", "2026-11-26", "--json")
    assert code == 0
    assert json.loads(printed) == targets


def test_night_is_by_default_the_first_after_the_last_record(results):
    code, said, shown = rank(results, "--show", 0)
    assert code == 0, shown
    assert "night of 2026-11-26" in shown
    assert said == ""


def test_same_records_give_the_same_files(results, tmp_path):
    for name in ("a", "b"):
        assert rank(results, "--out", tmp_path / f"{name}.csv", "--plot", tmp_path / f"{name}.svg")[0] == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_night_without_wanted_targets_still_has_a_picture(results, tmp_path):
    picture = tmp_path / "night.png"
    code, _, shown = rank(results, "--limit-mag", 10, "--novelty", 0, "--plot", picture)
    assert code == 0, shown
    assert "0 of 40 targets" in " ".join(shown.split())
    assert picture.exists()


@pytest.mark.parametrize(
    ("options", "ends", "shows"),
    [
        (("--want", "Kilonova"), 1, "unknown class"),
        (("--want", "KN=much"), 2, "CLASS=WORTH"),
        (("--want", "KN=2"), 2, "weight of KN 2"),
        (("--site", "atlantis"), 2, "no site 'atlantis'"),
        (("--night", "yesterday"), 2, "YYYY-MM-DD"),
        (("--night", "2027-03-01"), 1, "choose another --night"),
        (("--hours", "0"), 2, "hours 0"),
        (("--airmass", "0.5"), 2, "airmass_limit 0.5"),
        (("--out", "targets.xlsx"), 2, ".csv or .json"),
        (("--plot", "night.bmp"), 2, "unknown picture format"),
    ],
)
def test_an_impossible_ranking_names_the_reason_and_its_kind(results, options, ends, shows):
    code, _, shown = rank(results, *options)
    assert code == ends
    assert shows in " ".join(shown.split())


def test_a_missing_or_foreign_file_is_named(tmp_path):
    code, _, shown = rank(tmp_path / "none.jsonl")
    assert code == 1
    assert "none.jsonl" in shown
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text('{"a": 1}\n')
    code, _, shown = rank(foreign)
    assert code == 1
    assert "foreign.jsonl, line 1" in " ".join(shown.split())


def test_a_misspelt_option_ends_with_two(results):
    assert rank(results, "--wnat", "KN")[0] == 2
