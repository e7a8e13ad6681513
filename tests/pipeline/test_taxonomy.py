"""A bundle with classes of a user: its columns, states, records and files have these classes."""

from pathlib import Path

import numpy as np
import pytest
from tests.online.conftest import Stream

from firstlight.cli.app import run
from firstlight.online import Arrivals
from firstlight.pipeline import Pipeline, load_preset
from firstlight.predictions import read_predictions
from firstlight.taxonomy import Taxonomy

CLASSES_TOML = """
[classes.Ia]
group = "exploding"
[classes.Flaring]
galactic = true
group = "stellar"
aliases = ["M-dwarf", "muLens-Single"]
[classes."Core collapse"]
group = "exploding"
aliases = ["SNII", "SNIbc"]
[classes.RRL]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def own(folder, sample, sample_labels) -> Pipeline:
    pytest.importorskip("torch")
    (folder / "classes.toml").write_text(CLASSES_TOML)
    taxonomy = Taxonomy.read(folder / "classes.toml")
    found = taxonomy.match(sample_labels.tolist())
    labels = np.array([found[name] or name for name in sample_labels.tolist()])
    config = load_preset(str(Path(__file__).parents[1] / "tiny_fast.toml"))
    Pipeline(config).fit(sample, labels, taxonomy=taxonomy, seed=1, jobs=1).save(folder / "bundle")
    return Pipeline.load(folder / "bundle")


def test_the_bundle_keeps_the_classes_and_counts_other_labels(own, sample_labels):
    assert own.taxonomy.classes == ("RRL", "Core collapse", "Flaring", "Ia")
    assert own.classes == own.taxonomy.classes
    assert own.taxonomy.galactic == {"RRL", "Flaring"}
    assert own.info["left_out"]["AGN"] == np.sum(sample_labels == "AGN")


def test_stream_and_batch_agree_in_the_classes_of_the_bundle(own, sample):
    stream = Stream(own)
    part = sample.take(np.arange(0, len(sample), 7))
    stream.feed(Arrivals.from_curves(part, np.arange(len(part))))
    answers = own.predict(part, jobs=1)
    assert answers.proba.shape == (len(part), 4)
    assert answers.coarse_groups == ("Periodic", "exploding", "stellar")
    stream.assert_equals(answers)


def test_commands_read_and_write_the_classes_of_the_bundle(own, folder, sample_paths):
    out = folder / "classes.csv"
    words = ["classify", str(sample_paths.light_curves), "--metadata", str(sample_paths.metadata)]
    assert run([*words, "--bundle", str(folder / "bundle"), "--jobs", "1", "--out", str(out)]) == 0
    assert read_predictions(out).classes == own.taxonomy.classes
    columns = out.read_text().splitlines()[0]
    assert "proba_Core collapse" in columns
    assert "proba_AGN" not in columns


def test_records_and_the_ranking_of_targets_have_the_classes_of_the_bundle(own, folder, sample_paths):
    pytest.importorskip("orjson")
    pytest.importorskip("prometheus_client")
    alerts, results = folder / "alerts.jsonl", folder / "results.jsonl"
    words = ["replay", "--data", str(sample_paths.light_curves), "--metadata", str(sample_paths.metadata)]
    assert run([*words, "--max-alerts", "300", "--sink", str(alerts)]) == 0
    words = ["stream", "--source", str(alerts), "--bundle", str(folder / "bundle")]
    assert run([*words, "--sink", str(results), "--state", str(folder / "state")]) == 0
    text = results.read_text()
    assert '"Core collapse":' in text
    assert '"coarse":{"Periodic":' in text
    words = ["rank", str(results), "--want", "Core collapse", "--site", "rubin"]
    assert run([*words, "--max-age", "9999", "--out", str(folder / "targets.csv")]) == 0


def test_a_class_without_a_number_cannot_be_written_in_the_form_of_elasticc(own, folder, capsys):
    words = ["stream", "--source", str(folder / "none.jsonl"), "--bundle", str(folder / "bundle")]
    (folder / "none.jsonl").write_text("")
    words += [
        "--sink",
        str(folder / "x.avro"),
        "--state",
        str(folder / "other"),
        "--output-format",
        "elasticc",
    ]
    assert run(words) == 2
    assert "no number for Core collapse" in " ".join(capsys.readouterr().err.split())
