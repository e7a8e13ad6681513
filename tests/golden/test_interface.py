"""The interface of users and their scripts: options, columns, keys, bundle files and presets."""

import hashlib
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import typer

from firstlight import CLASSES, PipelineConfig, load_preset
from firstlight.cli import app
from firstlight.reobserve import ReobserveConfig

PRESETS = Path(__file__).parent / "presets"
#: Parts of the presets default and fast that decisions 0180 to 0183 changed.
CHANGED = ("inputs", "simulated", "copies", "reobserve", "classifier", "calibration", "sets")


def test_commands_keep_their_options(golden):
    group = typer.main.get_command(app)
    found = {"": _parameters(group)}
    for name, command in sorted(group.commands.items()):
        found[name] = _parameters(command)
        for part, subcommand in sorted(getattr(command, "commands", {}).items()):
            found[f"{name} {part}"] = _parameters(subcommand)
    golden.check("options.json", found)


def _parameters(command) -> dict[str, list[str]]:
    options = [p for p in command.params if p.param_type_name == "option"]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    return {
        "arguments": [p.metavar or p.name.upper() for p in arguments],
        "options": sorted(name for p in options for name in (*p.opts, *p.secondary_opts)),
        "required": sorted(p.opts[0] for p in options if p.required),
    }


@pytest.fixture(scope="module")
def results(firstlight, sample_files, tmp_path_factory) -> Path:
    """A folder with predictions of the bundle fast on the sample, in each format, and their evaluation."""
    folder = tmp_path_factory.mktemp("results")
    curves, metadata = sample_files
    for suffix in ("csv", "parquet", "jsonl"):
        out = folder / f"classes.{suffix}"
        firstlight(
            *("classify", curves, "--metadata", metadata, "--bundle", "fast", "--jobs", 1, "--out", out)
        )
    firstlight(
        *("evaluate", folder / "classes.parquet", "--truth", metadata, "--out", folder, "--jobs", 1),
        *("--data", curves, "--metadata", metadata, "--bundle", "fast"),
    )
    return folder


def test_predictions_keep_their_columns(golden, results):
    schema = pq.read_schema(results / "classes.parquet")
    with (results / "classes.jsonl").open() as file:
        keys = list(json.loads(file.readline()))
    golden.check(
        "classify_columns.json",
        {
            "csv": pd.read_csv(results / "classes.csv", nrows=0).columns.tolist(),
            "parquet": [[field.name, str(field.type)] for field in schema],
            "jsonl": keys,
        },
    )


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_predictions_are_written_as_recorded(golden, results, suffix):
    content = (results / f"classes.{suffix}").read_bytes()
    golden.check(f"classify_{suffix}.json", {"sha256": hashlib.sha256(content).hexdigest()})


@pytest.fixture(scope="module")
def metrics(results):
    return json.loads((results / "metrics.json").read_text())


def test_metrics_keep_their_keys(golden, metrics):
    golden.check("metrics_keys.json", _paths(metrics))


def _paths(value: object, place: str = "") -> dict[str, str]:
    """Type of every value by its path; elements of a list, classes, phases and libraries share one each."""
    if isinstance(value, dict):
        return {
            path: kind
            for key, part in value.items()
            for path, kind in _paths(part, f"{place}/{_collective(key, place)}").items()
        }
    if isinstance(value, list):
        return {path: kind for part in value for path, kind in _paths(part, f"{place}[]").items()}
    return {place: type(value).__name__}


def _collective(key: str, place: str) -> str:
    if key in CLASSES:
        return "<class>"
    return {"/by_phase": "<phase>", "/versions": "<library>"}.get(place, key)


def test_metrics_have_the_recorded_values(golden, metrics):
    found = _overall(metrics)
    found |= metrics["per_class"]
    found |= {f"{phase} d": _overall(part["all"]) for phase, part in metrics["by_phase"].items()}
    golden.check("metrics_values.json", found)


def _overall(scores: dict[str, object]) -> dict[str, object]:
    """Scores over all classes."""
    return {key: value for key, value in scores.items() if isinstance(value, dict) and "mean" in value}


def test_shipped_bundles_are_byte_identical(golden):
    folder = resources.files("firstlight") / "models"
    with resources.as_file(folder) as models:
        files = sorted(path for path in models.rglob("*") if path.is_file() and path.parent != models)
        found = {
            path.relative_to(models).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        }
    golden.check("bundle_files.json", found)


@pytest.mark.parametrize("name", ["quick", "seed", "seed-printed"])
@pytest.mark.parametrize("spelling", ["{}", "every-key-of-{}"])
def test_presets_of_the_past_load_and_mean_the_same(name, spelling, tmp_path):
    assert _past(spelling.format(name), name, tmp_path) == load_preset(name)


@pytest.mark.parametrize("name", ["default", "fast"])
def test_the_first_presets_still_load_and_know_nothing_of_later_settings(name, tmp_path):
    short, whole = (_past(spelling.format(name), name, tmp_path) for spelling in ("{}", "every-key-of-{}"))
    assert short == whole
    assert short.reobserve == ReobserveConfig()
    assert (short.copies.reobserved, short.copies.wrong_redshift, short.copies.artefacts) == (0, 0.0, 0.0)
    assert not short.classifier.gate.doubts
    assert not short.calibration.class_shifts
    assert short.sets.folds == 0
    assert (short.classifier.lightgbm.leaves, short.classifier.lightgbm.rounds) == (31, 200)
    later = load_preset(name)
    assert replace(later, **{key: getattr(short, key) for key in CHANGED}) == short


def _past(file: str, name: str, folder: Path) -> PipelineConfig:
    copy = folder / f"{name}.toml"  # the file's name is the preset's, where the file gives none
    copy.write_bytes((PRESETS / f"{file}.toml").read_bytes())
    return load_preset(str(copy))
