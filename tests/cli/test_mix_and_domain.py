"""`classify` under a stated class mix, and with a demanded domain."""

import json

import numpy as np
import pytest

from firstlight import write_curves
from firstlight.cli.app import run
from firstlight.predictions import read_predictions


@pytest.fixture(scope="module")
def words(sample_paths):
    return [
        "classify",
        str(sample_paths.light_curves),
        "--metadata",
        str(sample_paths.metadata),
        "--jobs",
        "1",
    ]


def test_a_stated_mix_moves_the_mean_probabilities_towards_it(words, tmp_path):
    mix = tmp_path / "mix.toml"
    mix.write_text('source = "test"\n[mix]\nSNII = 9\nSNIa = 1\nRRL = 1\n')
    means = []
    for options in ([], ["--prior", str(mix)]):
        out = tmp_path / f"{len(options)}.parquet"
        assert run([*words, "--bundle", "fast", *options, "--out", str(out)]) == 0
        answers = read_predictions(out)
        means.append(dict(zip(answers.classes, answers.proba.mean(axis=0), strict=True)))
    assert means[1]["SNII"] > means[0]["SNII"]
    assert means[1]["AGN"] < means[0]["AGN"]


def test_a_mix_that_does_not_exist_is_wrong_usage(words, tmp_path, capsys):
    assert run([*words, "--prior", "nowhere", "--out", str(tmp_path / "x.csv")]) == 2
    assert "mixes: bts, lsst" in capsys.readouterr().err


def test_objects_unlike_training_are_announced_and_may_be_left_unclassified(
    tiny_fast, sample, words, tmp_path, capsys
):
    tiny_fast.save(tmp_path / "bundle")
    bright = sample._derive(flux=100.0 * sample.flux, flux_err=100.0 * sample.flux_err)
    write_curves(bright, tmp_path / "bright.parquet")
    start = [
        "classify",
        str(tmp_path / "bright.parquet"),
        "--bundle",
        str(tmp_path / "bundle"),
        "--jobs",
        "1",
    ]
    assert run([*start, "--out", str(tmp_path / "all.csv")]) == 0
    message = " ".join(capsys.readouterr().err.split())
    assert "unlike what this bundle was trained on: " in message
    assert "check units and survey" in message
    assert run([*start, "--min-domain", "inside", "--out", str(tmp_path / "inside.csv")]) == 0
    answers = read_predictions(tmp_path / "inside.csv")
    refused = answers.reason == "outside_domain"
    assert refused.any()
    assert np.isin(answers.domain[answers.is_classified], ["inside"]).all()


def test_objects_through_filters_that_the_bundle_does_not_know_are_announced(
    tiny_fast, sample, tmp_path, capsys
):
    tiny_fast.save(tmp_path / "bundle")
    surveys = np.full(len(sample), "lsst", "U16")
    surveys[:3] = "skymapper"
    write_curves(sample.with_columns(survey=surveys), tmp_path / "curves.parquet")
    words = ["classify", str(tmp_path / "curves.parquet"), "--bundle", str(tmp_path / "bundle")]
    assert run([*words, "--out", str(tmp_path / "out.csv")]) == 0
    message = " ".join(capsys.readouterr().err.split())
    assert f"3 of {len(sample)} objects were observed through filters" in message
    assert "skymapper_" in message
    assert run(["info", str(tmp_path / "bundle"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["filters"] == tiny_fast.filters


def test_a_mix_is_estimated_where_enough_objects_were_followed(words, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert run([*words, "--bundle", "fast", "--prior", "estimated", "--out", str(out)]) == 0
    assert "class mix estimated from" in capsys.readouterr().err
    early = [*words, "--bundle", "fast", "--prior", "estimated", "--upto-phase", "8", "--out", str(out)]
    assert run(early) == 1
    assert "state a mix instead" in capsys.readouterr().err
