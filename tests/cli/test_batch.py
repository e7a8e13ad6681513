"""The command ``batch``: its counts, files and exit codes."""

import json

import numpy as np
import pandas as pd
import pytest

from firstlight import write_curves
from firstlight.batch.work import RECORD


@pytest.fixture(scope="module")
def archive(sample, tmp_path_factory):
    """Two partitions, one of them with a row that cannot be used, and a damaged one."""
    folder = tmp_path_factory.mktemp("batch") / "archive"
    folder.mkdir()
    write_curves(sample.take(np.arange(8)), folder / "a.parquet")
    table = sample.take(np.arange(8, 16)).to_arrow().to_pandas()
    table.at[0, "flux_err"] = np.append(np.float32(-1), table.at[0, "flux_err"][1:])
    table.to_parquet(folder / "b.parquet")
    return folder


def test_counts_are_shown_and_files_written(firstlight, archive, tmp_path):
    out = tmp_path / "out"
    words = ("batch", archive, "--out", out, "--bundle", "fast", "--jobs", 1, "--carry", "ra,redshift")
    done = firstlight(*words, "--rejects", tmp_path / "rejects.jsonl")
    assert "16 of 16 objects classified in 2 partition(s)" in done.stderr
    assert "1 row(s) or object(s) set aside (0 objects have no answer)" in done.stderr
    assert "flux error" in json.loads((tmp_path / "rejects.jsonl").read_text())["reason"]
    assert list(pd.read_parquet(out / "a.parquet").columns[-2:]) == ["ra", "redshift"]
    assert "2 of 2 partition(s) were done before" in firstlight(*words).stderr
    assert firstlight(*words, "--strict", ok=False).returncode == 1


def test_a_damaged_partition_is_named_and_the_exit_code_is_1(firstlight, archive, tmp_path):
    (archive / "c.parquet").write_bytes(b"PAR1 damaged")
    try:
        words = ("batch", archive, "--out", tmp_path / "out", "--bundle", "fast", "--jobs", 1)
        done = firstlight(*words, ok=False)
    finally:
        (archive / "c.parquet").unlink()
    assert done.returncode == 1
    assert "c.parquet" in done.stderr
    assert "1 partition(s) could not be classified; the others are kept" in done.stderr
    assert (tmp_path / "out" / "a.parquet").exists()
    assert len(list((tmp_path / "out" / RECORD / "parts").iterdir())) == 2


def test_objects_that_are_listed_and_absent_are_counted(firstlight, archive, sample, tmp_path):
    (tmp_path / "list.txt").write_text(f"{sample.object_id[3]}\nno-such\n")
    words = ("--bundle", "fast", "--jobs", 1, "--objects", tmp_path / "list.txt")
    done = firstlight("batch", archive, "--out", tmp_path / "out", *words)
    assert "1 of 1 objects classified" in done.stderr
    assert "15 object(s) not selected" in done.stderr
    assert "1 of 2 listed objects are not in the data" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--memory", "2 elephants", "write it as 900MB or 2GB"),
        ("--memory", "10MB", "too little"),
        ("--cone", "1,2", "RA,DEC,RADIUS"),
        ("--upto-phase", "nan", "not NaN"),
    ],
)
def test_impossible_settings_are_usage_errors(firstlight, archive, tmp_path, option, value, message):
    done = firstlight("batch", archive, "--out", tmp_path / "out", option, value, ok=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
