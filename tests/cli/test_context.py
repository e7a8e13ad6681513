"""`classify --context` and `stream --context`: one rule, the same answers."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.stream.conftest import alerts_of

from firstlight import write_curves
from firstlight.cli.app import run
from firstlight.predictions import read_predictions
from firstlight.stream import JsonLinesCodec


@pytest.fixture(scope="module")
def files(tiny_fast, sample, tmp_path_factory):
    """A bundle, light curves, their last alerts, and candidates of their hosts."""
    folder = tmp_path_factory.mktemp("context")
    tiny_fast.save(folder / "bundle")
    few = sample.take(np.arange(0, len(sample), 25)).with_redshift("none")
    write_curves(few, folder / "curves.parquet")
    alerts = [alerts_of(few[i], len(few[i].mjd))[0] for i in range(len(few))]
    (folder / "alerts.jsonl").write_bytes(b"".join(JsonLinesCodec().encode(alert) for alert in alerts))
    names = few.object_id
    pd.DataFrame(
        {
            "object_id": [*names, names[0], names[1]],
            "redshift": np.linspace(0.05, 0.9, len(names) + 2),
            "redshift_err": 0.05,
            "redshift_spec": [np.nan, 0.12, *[np.nan] * len(names)],
            "weight": np.arange(1, len(names) + 3),
            "host_offset": 1.25,
        }
    ).to_csv(folder / "hosts.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def classified(files):
    out = files / "classes.parquet"
    words = ["classify", "curves.parquet", "--bundle", "bundle", "--context", "hosts.csv", "--jobs", "1"]
    assert run([*(str(files / w) if (files / w).exists() else w for w in words), "--out", str(out)]) == 0
    return out


def stream_words(files, out, *more):
    place = {name: str(files / name) for name in ("alerts.jsonl", "bundle")}
    return [
        *("stream", "--source", place["alerts.jsonl"], "--bundle", place["bundle"]),
        *("--sink", str(out), "--state", f"{out}.state", *more),
    ]


def test_classify_and_stream_give_the_same_answers(files, classified, tmp_path):
    out = tmp_path / "out.jsonl"
    assert run(stream_words(files, out, "--context", str(files / "hosts.csv"))) == 0
    records = [json.loads(line) for line in out.read_text().splitlines()]
    answers, table = read_predictions(classified), pd.read_parquet(classified).set_index("object_id")
    assert len(records) == len(answers)
    for record in records:
        name = record["object"]
        (proba,) = answers[name].proba
        assert list(record["proba"].values()) == (np.rint(proba * 1e6) / 1e6).tolist()
        row, about = table.loc[name], record["context"]
        assert row["n_redshifts"] == len(about["redshifts"])
        assert row["redshift_source"] == about["source"] == "context"
        heaviest = max(about["redshifts"], key=lambda one: one["weight"])
        assert (round(row["redshift"], 6), row["redshift_kind"]) == (heaviest["redshift"], heaviest["kind"])
        assert about["host_offset"] == row["host_offset"] == 1.25
    assert sorted(table["n_redshifts"])[-3:] == [1, 2, 2]


def test_the_configuration_of_the_stream_takes_it(files, tmp_path, capsys):
    config = tmp_path / "stream.toml"
    config.write_text(f"context = '{files / 'hosts.csv'}'\ncontext-radius = 2.0\n")
    out = tmp_path / "out.jsonl"
    assert run(stream_words(files, out, "--config", str(config), "--check")) == 0
    assert "hosts.csv" in capsys.readouterr().err
    assert run(stream_words(files, out, "--config", str(config))) == 0
    assert "context" in json.loads(out.read_text().splitlines()[0])


def test_a_context_that_cannot_be_used_is_refused_at_the_start(files, tmp_path, capsys):
    bad = tmp_path / "bad.csv"
    bad.write_text("object_id,redshift\na,-0.5\n")
    assert run(stream_words(files, tmp_path / "out.jsonl", "--context", str(bad))) == 1
    assert "-0.5 is impossible" in capsys.readouterr().err
    assert run(stream_words(files, tmp_path / "out.jsonl", "--context", "nobody.offers:This")) == 2
    words = ["classify", str(files / "curves.parquet"), "--bundle", str(files / "bundle")]
    words += ["--context", str(files / "hosts.csv"), "--out", str(tmp_path / "x.csv")]
    assert run([*words, "--redshift", "none"]) == 2
    assert "leave --context out" in capsys.readouterr().err
