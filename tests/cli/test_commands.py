"""The command line, as its user types it, on the real sample with a tiny preset."""

import csv
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from firstlight.cli import app
from firstlight.cli.app import run
from firstlight.data import write_curves
from firstlight.predictions import read_predictions
from firstlight.taxonomy import CLASSES

TINY = str(Path(__file__).parent.parent / "tiny.toml")
COMMANDS = ("fetch", "train", "classify", "evaluate", "holdout", "crossval", "info", "plot", "simulate")


class Done(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def firstlight(*arguments: object, ok: bool = True) -> Done:
    """Run a command in this process, where the compiled code is warm."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("COLUMNS", "250")
        code = run([str(part) for part in arguments])
    assert (code == 0) is ok, out.getvalue() + err.getvalue()
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def bundle(sample_paths, tmp_path_factory) -> Path:
    """A tiny bundle trained by the command itself, on the objects of a list."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("cli")
    names = pd.read_csv(sample_paths.metadata)["object_id"]
    (folder / "train.txt").write_text("\n".join(map(str, names[::2])))
    firstlight(
        *("train", "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--objects", folder / "train.txt", "--preset", TINY, "--seed", 3, "--out", folder / "bundle"),
    )
    return folder / "bundle"


@pytest.fixture(scope="module")
def predictions(bundle, sample_paths) -> Path:
    out = bundle.parent / "classes.csv"
    firstlight(
        *("classify", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--bundle", bundle, "--out", out),
    )
    return out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert f"Example: firstlight {command}" in result.output


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from firstlight.cli import app; "
        "print([m for m in ('torch', 'lightgbm', 'numba', 'matplotlib', 'sklearn', 'onnxruntime', 'pandas') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_classifying_imports_no_torch(bundle, sample_paths, tmp_path):
    code = (
        "import sys; sys.argv = ['firstlight', *sys.argv[1:]]\n"
        "from firstlight.cli import app\n"
        "app(standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    arguments = ["classify", sample_paths.light_curves, "--metadata", sample_paths.metadata]
    arguments += ["--bundle", bundle, "--out", tmp_path / "x.csv"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_version_is_shown():
    from firstlight import __version__

    assert firstlight("--version").stdout.strip() == f"firstlight {__version__}"


def test_training_leaves_a_bundle_and_no_checkpoints(bundle):
    assert (bundle / "manifest.json").is_file()
    assert not bundle.with_name("bundle.partial").exists()


def test_info_tells_what_a_bundle_is(bundle):
    text = firstlight("info", bundle).stdout
    assert "tiny" in text
    assert "objects per class" in text
    assert "checksums verified" in text


def test_one_row_an_object_with_every_class(predictions, sample):
    with open(predictions, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["object_id"] for row in rows] == sample.object_id.tolist()
    assert {f"proba_{name}" for name in CLASSES} | {"status", "class", "anomaly", "n_obs", "phase"} <= set(
        rows[0]
    )


def test_csv_parquet_and_jsonl_say_the_same(predictions, bundle, sample, tmp_path):
    write_curves(sample, tmp_path / "curves.parquet")
    expected = read_predictions(predictions)
    for suffix in ("parquet", "jsonl"):
        out = tmp_path / f"said.{suffix}"
        firstlight("classify", tmp_path / "curves.parquet", "--bundle", bundle, "--out", out)
        np.testing.assert_allclose(read_predictions(out).proba, expected.proba, atol=1e-5)


def test_a_foreign_file_may_say_that_its_dust_is_corrected(bundle, sample, tmp_path):
    """Corrected and uncorrected fluxes are different light curves where there is dust."""
    table = sample.take(np.arange(40)).to_arrow().to_pandas()
    table["ebv"] = 0.4
    table.to_parquet(tmp_path / "foreign.parquet")
    said = []
    for flag in ("--dereddened", "--not-dereddened"):
        out = tmp_path / f"said{flag}.parquet"
        firstlight("classify", tmp_path / "foreign.parquet", "--bundle", bundle, flag, "--out", out)
        said.append(read_predictions(out).proba)
    assert np.abs(said[0] - said[1]).max() > 1e-3


def test_upto_phase_cuts_every_curve(bundle, sample, sample_paths, tmp_path):
    out = tmp_path / "early.parquet"
    firstlight(
        *("classify", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--bundle", bundle, "--upto-phase", 5, "--out", out),
    )
    said = read_predictions(out)
    assert np.nanmax(said.phase) <= 5.0
    assert (said.n_obs == sample.upto_phase(5.0).n_obs).all()


def test_evaluate_writes_metrics_and_one_self_contained_page(predictions, sample_paths, tmp_path):
    firstlight("evaluate", predictions, "--truth", sample_paths.metadata, "--out", tmp_path / "report")
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["n_objects"] == 202
    assert 0.0 < metrics["accuracy"]["mean"] <= 1.0
    page = (tmp_path / "report" / "report.html").read_text()
    assert 'src="http' not in page
    assert "<script" not in page


def test_evaluate_adds_phases_and_latents_when_given_curves_and_bundle(
    predictions, bundle, sample_paths, tmp_path
):
    firstlight(
        *("evaluate", predictions, "--truth", sample_paths.metadata, "--out", tmp_path),
        *("--data", sample_paths.light_curves, "--metadata", sample_paths.metadata, "--bundle", bundle),
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics["by_phase"]) == ["0", "1", "2", "4", "8", "16", "32", "64", "all"]
    assert "99 of these 202 objects" in metrics["warnings"][0]  # half were trained on; two were left out


def test_bad_rows_go_to_a_reject_file_and_the_rest_goes_through(bundle, sample_paths, tmp_path):
    rows = pd.read_csv(sample_paths.light_curves)
    rows.loc[3, "flux"] = np.nan
    rows.to_csv(tmp_path / "dirty.csv", index=False)
    out = tmp_path / "said.csv"
    done = firstlight(
        *("classify", tmp_path / "dirty.csv", "--metadata", sample_paths.metadata),
        *("--bundle", bundle, "--out", out),
    )
    assert "set aside" in done.stderr
    rejects = [json.loads(line) for line in (tmp_path / "said.csv.rejects.jsonl").read_text().splitlines()]
    assert len(rejects) == 1
    assert rejects[0]["object_id"] == str(rows.object_id[3])
    assert len(read_predictions(out)) == 202


def test_errors_are_one_message_and_exit_code_1(bundle, sample_paths, tmp_path):
    done = firstlight(
        "classify", tmp_path / "absent.csv", "--bundle", bundle, "--out", tmp_path / "x.csv", ok=False
    )
    assert done.returncode == 1
    assert "error:" in done.stderr
    assert "absent.csv" in done.stderr
    assert "Traceback" not in done.stderr
    done = firstlight("classify", sample_paths.light_curves, "--out", tmp_path / "x.doc", ok=False)
    assert done.returncode == 1
    assert ".csv" in done.stderr


def test_a_misspelt_command_is_exit_code_2():
    assert firstlight("clasify", ok=False).returncode == 2


def test_the_process_itself_exits_with_the_code_and_no_traceback(tmp_path):
    command = [sys.executable, "-m", "firstlight", "info", str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error:")
    assert "Traceback" not in done.stderr


def test_an_unknown_object_in_the_list_is_an_error(sample_paths, tmp_path):
    (tmp_path / "list.txt").write_text("615\n424242424242\n")
    done = firstlight(
        *("train", "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--objects", tmp_path / "list.txt", "--preset", TINY, "--out", tmp_path / "b"),
        ok=False,
    )
    assert "not in the data" in done.stderr


def test_plot_draws_an_object_with_its_probabilities(bundle, sample, sample_paths, tmp_path):
    out = tmp_path / "object.png"
    firstlight(
        *(
            "plot",
            sample.object_id[0],
            "--data",
            sample_paths.light_curves,
            "--metadata",
            sample_paths.metadata,
        ),
        *("--bundle", bundle, "--out", out),
    )
    assert out.read_bytes().startswith(b"\x89PNG")


def test_plot_draws_figure_1(sample_paths, tmp_path):
    out = tmp_path / "figure-1.svg"
    firstlight(
        *("plot", "--figure-1", "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--out", out),
    )
    assert "<svg" in out.read_text()


def test_a_training_that_could_not_be_saved_does_not_start(sample_paths, tmp_path):
    (tmp_path / "mine").write_text("not a bundle")
    words = ("train", "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata)
    done = firstlight(*words, "--preset", TINY, "--out", tmp_path, ok=False)
    assert "no bundle" in done.stderr
    assert not (tmp_path.parent / f"{tmp_path.name}.partial").exists()


@pytest.mark.parametrize("command", ["holdout", "crossval", "evaluate", "simulate"])
def test_a_file_where_a_folder_should_be_is_one_message(command, sample_paths, tmp_path):
    (tmp_path / "file").write_text("in the way")
    first = {"evaluate": ("x.csv", "--truth", "y.csv"), "simulate": ("CaRT",)}.get(command, ())
    done = firstlight(command, *first, "--out", tmp_path / "file", ok=False)
    assert "cannot make the folder" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe\x00", "not a text file"), (b"\n\n", "names no object"), (b"object_id\nX Y\n", "'X Y'")],
)
def test_a_list_of_objects_has_one_name_a_line(content, message, sample_paths, tmp_path):
    (tmp_path / "list.txt").write_bytes(content)
    done = firstlight(
        *("train", "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--objects", tmp_path / "list.txt", "--preset", TINY, "--out", tmp_path / "b"),
        ok=False,
    )
    assert message in done.stderr


def test_a_phase_that_is_no_number_is_refused(sample_paths, tmp_path):
    words = ("classify", sample_paths.light_curves, "--upto-phase", "nan", "--out", tmp_path / "a.csv")
    assert "not NaN" in firstlight(*words, ok=False).stderr


def test_a_picture_of_unknown_kind_is_refused_and_folders_are_made(sample_paths, tmp_path):
    words = ("plot", "--figure-1", "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata)
    assert "a picture is" in firstlight(*words, "--out", tmp_path / "a.xyz", ok=False).stderr
    firstlight(*words, "--out", tmp_path / "new" / "a.svg")
    assert (tmp_path / "new" / "a.svg").read_text().startswith("<?xml")


def test_a_sample_at_the_papers_frequencies_is_drawn_before_the_split(sample_paths, tmp_path):
    pytest.importorskip("torch")
    words = ("--data", sample_paths.light_curves, "--metadata", sample_paths.metadata, "--seed", 2)
    done = firstlight(
        *("holdout", *words, "--preset", TINY, "--frequencies", "paper", "--out", tmp_path / "a")
    )
    assert "objects drawn at the paper's class frequencies; none of" in done.stderr
    scores = json.loads((tmp_path / "a" / "metrics.json").read_text())
    n_drawn = int(done.stderr.split(" of 202 objects drawn")[0].split()[-1])
    assert n_drawn < 202
    assert scores["n_objects"] < n_drawn
