"""Commands on files, as a user types them, on the real sample with a tiny preset."""

import csv
import json

import numpy as np
import pandas as pd

from firstlight.data import write_curves
from firstlight.pipeline.bundle import find_bundle
from firstlight.predictions import read_predictions
from firstlight.taxonomy import CLASSES


def test_info_describes_a_bundle(firstlight, bundle):
    text = firstlight("info", bundle).stdout
    assert "tiny" in text
    assert "objects per class" in text
    assert "checksums verified" in text
    unknown = next(line for line in text.splitlines() if "without training objects" in line)
    assert "CaRT, ILOT, PISN" in unknown
    assert "M-dwarf" not in unknown


def test_info_as_json_is_the_manifest(firstlight):
    shown = json.loads(firstlight("info", "fast", "--json").stdout)
    manifest = json.loads((find_bundle("fast") / "manifest.json").read_text())
    assert shown["info"] == manifest["info"]
    assert shown["info"]["preset"] == "fast"
    assert shown["files"].keys() == manifest["files"].keys()
    assert shown["signature"] is None


def test_classify_writes_one_row_per_object_with_every_class(predictions, sample):
    with open(predictions, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["object_id"] for row in rows] == sample.object_id.tolist()
    assert {f"proba_{name}" for name in CLASSES} | {"status", "class", "anomaly", "n_obs", "phase"} <= set(
        rows[0]
    )


def test_csv_parquet_and_jsonl_hold_the_same_predictions(firstlight, predictions, bundle, sample, tmp_path):
    write_curves(sample, tmp_path / "curves.parquet")
    expected = read_predictions(predictions)
    for suffix in ("parquet", "jsonl"):
        out = tmp_path / f"answers.{suffix}"
        firstlight("classify", tmp_path / "curves.parquet", "--bundle", bundle, "--out", out)
        np.testing.assert_allclose(read_predictions(out).proba, expected.proba, atol=1e-5)


def test_a_foreign_file_may_say_that_its_dust_is_corrected(firstlight, bundle, sample, tmp_path):
    """Corrected and uncorrected fluxes are different light curves where there is dust."""
    table = sample.take(np.arange(40)).to_arrow().to_pandas()
    table["ebv"] = 0.4
    table.to_parquet(tmp_path / "foreign.parquet")
    answers = []
    for flag in ("--dereddened", "--not-dereddened"):
        out = tmp_path / f"answers{flag}.parquet"
        firstlight("classify", tmp_path / "foreign.parquet", "--bundle", bundle, flag, "--out", out)
        answers.append(read_predictions(out).proba)
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


def test_upto_phase_cuts_every_curve(firstlight, bundle, sample, sample_paths, tmp_path):
    out = tmp_path / "early.parquet"
    firstlight(
        *("classify", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--bundle", bundle, "--upto-phase", 5, "--out", out),
    )
    answers = read_predictions(out)
    assert np.nanmax(answers.phase) <= 5.0
    assert (answers.n_obs == sample.upto_phase(5.0).n_obs).all()


def test_bad_rows_go_to_a_reject_file_and_the_rest_goes_through(firstlight, bundle, sample_paths, tmp_path):
    rows = pd.read_csv(sample_paths.light_curves)
    rows.loc[3, "flux"] = np.nan
    rows.to_csv(tmp_path / "dirty.csv", index=False)
    out = tmp_path / "answers.csv"
    done = firstlight(
        *("classify", tmp_path / "dirty.csv", "--metadata", sample_paths.metadata),
        *("--bundle", bundle, "--out", out),
    )
    assert "set aside" in done.stderr
    rejects = [json.loads(line) for line in (tmp_path / "answers.csv.rejects.jsonl").read_text().splitlines()]
    assert len(rejects) == 1
    assert rejects[0]["object_id"] == str(rows.object_id[3])
    assert len(read_predictions(out)) == 202


def test_errors_are_one_message_and_exit_code_1(firstlight, bundle, tmp_path):
    done = firstlight(
        "classify", tmp_path / "absent.csv", "--bundle", bundle, "--out", tmp_path / "x.csv", ok=False
    )
    assert done.returncode == 1
    assert "error:" in done.stderr
    assert "absent.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_suffix_of_the_output_is_wrong_usage(firstlight, sample_paths, tmp_path):
    done = firstlight("classify", sample_paths.light_curves, "--out", tmp_path / "x.doc", ok=False)
    assert done.returncode == 2
    assert ".csv" in done.stderr


def test_a_phase_that_is_no_number_is_refused(firstlight, sample_paths, tmp_path):
    words = ("classify", sample_paths.light_curves, "--upto-phase", "nan", "--out", tmp_path / "a.csv")
    assert "not NaN" in firstlight(*words, ok=False).stderr


def test_classify_takes_a_foreign_format_and_says_how_it_read_it(firstlight, bundle, sample, tmp_path):
    few = sample.take(np.arange(20))
    rows, objects = few.to_pandas()
    rows = rows.merge(objects, on="object_id")
    rows = rows.rename(columns={"object_id": "star", "mjd": "obsmjd", "flux": "f"})
    rows.to_csv(tmp_path / "mine.csv", index=False)
    answers = tmp_path / "answers.parquet"
    done = firstlight(
        *("classify", tmp_path / "mine.csv", "--columns", "object_id=star,mjd=obsmjd,flux=f"),
        *("--dereddened", "--bundle", bundle, "--out", answers),
    )
    assert "object_id = star, mjd = obsmjd" in " ".join(done.stderr.split())
    write_curves(few, tmp_path / "ours.parquet")
    firstlight("classify", tmp_path / "ours.parquet", "--bundle", bundle, "--out", tmp_path / "same.parquet")
    same = read_predictions(tmp_path / "same.parquet")
    np.testing.assert_array_equal(read_predictions(answers).label, same.label)


def test_convert_writes_another_format_and_the_column_names_in_use(firstlight, sample, tmp_path):
    write_curves(sample.take(np.arange(9)), tmp_path / "ours.parquet")
    firstlight("convert", tmp_path / "ours.parquet", tmp_path / "x.ecsv")
    names = tmp_path / "names.toml"
    firstlight("convert", tmp_path / "x.ecsv", tmp_path / "x.csv", "--save-columns", names)
    assert (tmp_path / "x_metadata.csv").exists()
    assert 'mjd = "time"' in names.read_text()
    done = firstlight(
        *("convert", tmp_path / "x.ecsv", tmp_path / "y.parquet", "--columns", names, "--to", "nested"),
    )
    assert done.stdout.strip() == str(tmp_path / "y.parquet")


def test_ids_that_a_spreadsheet_runs_stay_as_they_are_and_are_announced(
    firstlight, sample_paths, bundle, tmp_path
):
    rows = pd.read_csv(sample_paths.light_curves).astype({"object_id": str})
    objects = pd.read_csv(sample_paths.metadata).astype({"object_id": str})
    first = objects["object_id"][0]
    for table, name in ((rows, "curves.csv"), (objects, "metadata.csv")):
        table = table[table["object_id"] == first].assign(object_id="=1+1")
        table.to_csv(tmp_path / name, index=False)
    words = ("classify", tmp_path / "curves.csv", "--metadata", tmp_path / "metadata.csv", "--bundle", bundle)
    done = firstlight(*words, "--out", tmp_path / "out.csv")
    assert "1 object id(s) begin like a formula of a spreadsheet, the first =1+1" in done.stderr
    assert pd.read_csv(tmp_path / "out.csv")["object_id"].tolist() == ["=1+1"]
    assert "formula" not in firstlight(*words, "--out", tmp_path / "out.jsonl").stderr
