"""A run over an archive: every object once, whatever happens between."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.batch.conftest import N_PARTS, answers, assert_same

from firstlight import read_predictions, write_curves
from firstlight.batch import Cone, FrameClassifier, Selection, archive, classify_archive, work
from firstlight.batch.parts import LEAST_MEMORY, most_observations, parts_of, slices
from firstlight.batch.work import RECORD
from firstlight.errors import DataError, SettingsError
from firstlight.files import write_csv
from firstlight.pipeline.bundle import find_bundle


def test_the_answers_are_those_of_predict(folder, classify, wanted, tmp_path):
    done = classify_archive(folder, tmp_path / "out", classify)
    assert (done.total("answered"), done.total("classified")) == (
        60,
        (wanted["status"] == "classified").sum(),
    )
    assert done.total("observations") == wanted["n_obs"].sum()
    assert not done.failed
    assert_same(answers(tmp_path / "out"), wanted)
    assert_same(read_predictions(tmp_path / "out" / "part-0.parquet").to_pandas(), wanted[:20])


def test_two_processes_give_the_same(folder, classify, wanted, tmp_path):
    seen = []
    classify_archive(folder, tmp_path, classify, jobs=2, progress=lambda stage, done: seen.append(done))
    assert_same(answers(tmp_path), wanted)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_killed_run_goes_on_and_does_no_partition_twice(folder, wanted, tmp_path):
    command = [sys.executable, "-m", "firstlight", "batch", str(folder), "--out", str(tmp_path / "out")]
    child = subprocess.Popen([*command, "--bundle", "fast", "--jobs", "1"], stderr=subprocess.PIPE)
    markers = tmp_path / "out" / RECORD / "parts"
    while child.poll() is None and not list(markers.glob("*.json")):
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*.parquet")}
    done = classify_archive(folder, tmp_path / "out", FrameClassifier("fast"))
    assert 1 <= done.n_before <= len(before)
    assert sum(path.stat().st_mtime_ns == time_ for path, time_ in before.items()) >= done.n_before
    assert_same(answers(tmp_path / "out"), wanted)


def test_a_second_run_classifies_only_changed_partitions(folder, classify, curves, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for path in folder.iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    assert classify_archive(source, out, classify).n_before == 0
    assert classify_archive(source, out, classify).n_before == N_PARTS
    half = out / ".part-1.parquet.0123456789ab"  # as a killed run leaves it
    half.write_bytes(b"PAR1")
    write_curves(curves[:5], source / "part-0.parquet")
    (source / "part-2.parquet").unlink()
    done = classify_archive(source, out, classify)
    assert (done.n_before, done.total("answered")) == (1, 25)
    assert not half.exists()
    assert len(answers(out)) == 25


def test_a_folder_of_another_run_is_refused(folder, classify, tmp_path):
    classify_archive(folder, tmp_path / "out", classify)
    with pytest.raises(DataError, match="another redshift, upto_phase"):
        classify_archive(folder, tmp_path / "out", FrameClassifier("fast", redshift="none", upto_phase=3.0))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(DataError, match="something else"):
        classify_archive(folder, tmp_path / "mine", classify)


def test_bad_partitions_and_rows_are_set_aside_and_counted(folder, classify, curves, wanted, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    (source / "part-0.parquet").write_bytes((folder / "part-0.parquet").read_bytes())
    (source / "part-1.parquet").write_bytes((folder / "part-1.parquet").read_bytes()[:5_000])
    table = curves[40:].to_arrow().to_pandas()
    table.at[3, "mjd"] = np.full(len(table.at[3, "mjd"]), np.nan)
    table.to_parquet(source / "part-2.parquet")
    (source / "notes.txt").write_text("mine")
    (source / "part-3.parquet").symlink_to(tmp_path / "away.parquet")
    done = classify_archive(source, out, classify)
    assert [one.name for one in done.failed] == ["part-1.parquet", "part-3.parquet"]
    assert "part-1.parquet" in done.failed[0].error
    assert "part-3.parquet" in done.failed[1].error
    (source / "part-3.parquet").unlink()
    assert [path.name for path in done.passed_over] == ["notes.txt"]
    assert (done.total("answered"), done.total("set_aside")) == (39, 1)
    rejects = (out / RECORD / "rejects" / "part-2.parquet.jsonl").read_text().splitlines()
    assert len(rejects) == done.total("rows_set_aside")
    assert curves.object_id[43] in rejects[0]
    (source / "part-1.parquet").write_bytes((folder / "part-1.parquet").read_bytes())
    again = classify_archive(source, out, classify)
    assert (again.n_before, again.total("answered"), again.failed) == (2, 59, ())


def test_a_list_and_a_cone_select_objects(folder, classify, curves, wanted, tmp_path):
    listed = tuple(curves.object_id[::7].tolist())
    done = classify_archive(folder, tmp_path / "list", classify, selection=Selection(listed))
    assert done.total("answered") + done.total("not_selected") == 60
    assert_same(answers(tmp_path / "list"), wanted[wanted["object_id"].isin(listed)])
    cone = Cone(float(curves.ra[0]), float(curves.dec[0]), 5.0)
    classify_archive(folder, tmp_path / "cone", classify, selection=Selection(cone=cone))
    inside = answers(tmp_path / "cone")
    assert set(inside["object_id"]) == set(curves.object_id[cone.contains(curves.ra, curves.dec)])
    assert 0 < len(inside) < 60


def test_files_of_other_formats_are_partitions_too(classify, curves, tmp_path):
    source = tmp_path / "csv"
    source.mkdir()
    for k in range(3):
        rows = curves[4 * k : 4 * k + 4].to_pandas()[0]
        write_csv(rows, source / f"{k}.csv", "%.17g")
    metadata = tmp_path / "objects.csv"
    write_csv(curves[:12].to_pandas()[1], metadata, "%.17g")
    done = classify_archive(
        source, tmp_path / "out", replace(classify, carry=("redshift",), dereddened=True), metadata=metadata
    )
    assert done.total("answered") == 12
    found = answers(tmp_path / "out")
    np.testing.assert_allclose(found["redshift"], curves.redshift[:12], rtol=1e-6)


def test_workers_get_paths_that_hold_in_their_folders(folder, classify, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "m.csv").write_text("object_id,ra\n5,1.0\n")
    shutil.copytree(find_bundle("fast"), tmp_path / "mine" / "bundle")
    shutil.copytree(folder, tmp_path / "mine" / "archive")
    monkeypatch.chdir(tmp_path / "mine")
    sent = []
    monkeypatch.setattr(archive, "on_cluster", lambda *given: sent.append(given) or iter(()))
    classify_archive("archive", "out", FrameClassifier("bundle"), metadata=Path("m.csv"), cluster="tcp://x:1")
    (_, parts, job, _) = sent[0]
    monkeypatch.chdir("/")
    assert job.classify.pipeline.bundle_version == classify.pipeline.bundle_version
    assert all(path.is_file() for part in parts for path in part.paths)
    assert (job.out / RECORD / "run.json").is_file()
    assert job.metadata == tmp_path / "mine" / "m.csv"


def test_lineage_is_in_every_file(folder, classify, tmp_path):
    classify_archive(folder, tmp_path, replace(classify, upto_phase=20.0))
    stated = json.loads(pq.read_schema(tmp_path / "part-1.parquet").metadata[b"firstlight"])
    assert stated["settings"]["version"] == classify.pipeline.bundle_version
    assert stated["settings"]["upto_phase"] == 20.0
    assert stated["settings"]["source"] == str(folder)


def test_pieces_hold_no_more_observations_than_fit(folder):
    path = folder / "part-0.parquet"
    whole = pd.read_parquet(path)
    for most in (1, 500, 10**9):
        pieces = list(slices(path, [], most))
        assert [row for _, row in pieces] == np.cumsum([0, *(len(p) for p, _ in pieces)])[:-1].tolist()
        assert sum(len(piece) for piece, _ in pieces) == len(whole)
        assert most > 1 or all(len(piece) == 1 for piece, _ in pieces)
    with pytest.raises(SettingsError, match="too little"):
        most_observations(LEAST_MEMORY - 1)


def test_a_file_that_must_be_read_whole_needs_the_memory(classify, tmp_path):
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.write(b"object_id,mjd,band,flux,flux_err\n")
        file.truncate(10**9)  # sparse
    done = classify_archive(path, tmp_path / "out", classify)
    assert "raise --memory" in done.failed[0].error


def test_small_files_share_a_partition(tmp_path):
    for k in range(300):
        (tmp_path / f"{k:03}.csv").write_text("x")
    parts, others = parts_of(tmp_path)
    assert [len(part.paths) for part in parts] == [256, 44]
    assert not others


def test_a_partition_whose_file_breaks_loses_its_old_answers(folder, classify, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(folder, source)
    classify_archive(source, out, classify)
    (source / "part-1.parquet").write_bytes(b"PAR1 damaged")
    done = classify_archive(source, out, classify)
    assert [one.name for one in done.failed] == ["part-1.parquet"]
    assert len(answers(out)) == done.total("answered") == 40


def test_another_content_of_the_metadata_is_another_run(classify, curves, tmp_path):
    source, metadata = tmp_path / "source", tmp_path / "objects.csv"
    source.mkdir()
    write_csv(curves[:3].to_pandas()[0], source / "a.csv", "%.17g")
    write_csv(curves[:3].to_pandas()[1], metadata, "%.17g")
    classify_archive(source, tmp_path / "out", classify, metadata=metadata)
    write_csv(curves[:3].to_pandas()[1].assign(redshift=0.7), metadata, "%.17g")
    with pytest.raises(DataError, match="another metadata;"):
        classify_archive(source, tmp_path / "out", classify, metadata=metadata)


def test_out_is_not_inside_of_the_input(folder, classify):
    for out in (folder, folder / "classes"):
        with pytest.raises(SettingsError, match="inside of"):
            classify_archive(folder, out, classify)


def test_nothing_is_written_into_a_folder_with_other_things(folder, classify, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(DataError, match="something else"):
        classify_archive(folder, tmp_path, classify)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("most", [1, 10**9])
def test_an_object_in_several_rows_is_one_object_whatever_the_memory(
    classify, curves, wanted, most, tmp_path, monkeypatch
):
    half = curves[:6].keep(np.arange(len(curves[:6].mjd)) % 2 == 0)
    rest = curves[:6].keep(np.arange(len(curves[:6].mjd)) % 2 == 1)
    both = pa.concat_tables([half.to_arrow(), rest.to_arrow()])
    pq.write_table(both, tmp_path / "twice.parquet")
    monkeypatch.setattr("firstlight.batch.work.most_observations", lambda memory: most)
    done = classify_archive(tmp_path / "twice.parquet", tmp_path / "out", classify)
    assert done.total("answered") == 6
    assert done.total("observations") == wanted["n_obs"][:6].sum()


def test_rows_set_aside_count_one_time_for_any_number_of_pieces(classify, curves, tmp_path, monkeypatch):
    rows, objects = curves[:9].to_pandas()
    rows.loc[rows["object_id"] == curves.object_id[8], "flux"] *= np.where(
        np.arange(curves.n_obs[8]), 1, np.nan
    )
    rows.loc[rows["object_id"] == curves.object_id[7], "flux_err"] = -1.0
    write_csv(rows, tmp_path / "rows.csv", "%.17g")
    bad = objects[1:].assign(redshift=objects["redshift"][1:].astype(object))
    write_csv(pd.concat([bad, bad[:1].assign(redshift=0.9)]), tmp_path / "objects.csv", "%.17g")
    monkeypatch.setattr("firstlight.batch.work.MOST_OBJECTS", 2)
    done = classify_archive(
        tmp_path / "rows.csv",
        tmp_path / "out",
        replace(classify, dereddened=True),
        metadata=tmp_path / "objects.csv",
    )
    # one is not in the metadata, one has two redshifts there, one has no row that can be used
    assert (done.total("answered"), done.total("set_aside")) == (6, 3)
    assert len(done.metadata) == 1
    places = (tmp_path / "out" / RECORD).rglob("*.jsonl")
    written = [json.loads(line) for path in places for line in path.read_text().splitlines()]
    assert len(written) == done.rows_set_aside
    assert {one["object_id"] for one in written} >= set(curves.object_id[[0, 1, 7, 8]].tolist())


def test_no_two_files_share_an_output(folder, classify, tmp_path):
    shutil.copy(folder / "part-0.parquet", tmp_path / "a.pq")
    shutil.copy(folder / "part-1.parquet", tmp_path / "a.pq.parquet")
    parts, _ = parts_of(tmp_path)
    assert len({part.name for part in parts}) == 2


def test_any_error_of_a_reader_costs_one_partition(folder, classify, tmp_path, monkeypatch):
    def fail(path, *given, **more):
        raise RuntimeError("odd")

    shutil.copytree(folder, tmp_path / "source")
    (tmp_path / "source" / "z.parquet").write_bytes((folder / "part-0.parquet").read_bytes())
    sliced = work.is_sliced
    monkeypatch.setattr(
        work, "is_sliced", lambda path: sliced(path) if path.name != "z.parquet" else fail(path)
    )
    done = classify_archive(tmp_path / "source", tmp_path / "out", classify)
    assert [(one.name, one.error) for one in done.failed] == [("z.parquet", "RuntimeError: odd")]
    assert done.total("answered") == 60


def test_listed_objects_that_are_set_aside_or_outside_of_the_cone_are_found(classify, curves, tmp_path):
    table = curves[:4].to_arrow().to_pandas()
    table.at[1, "flux_err"] = -table.at[1, "flux_err"]
    table.loc[2, "ra"] = np.nan
    table.to_parquet(tmp_path / "a.parquet")
    listed = (*curves.object_id[:3].tolist(), "no-such")
    cone = Cone(float(curves.ra[3]), float(curves.dec[3]), 0.001)
    done = classify_archive(
        tmp_path / "a.parquet", tmp_path / "out", classify, selection=Selection(listed, cone)
    )
    assert done.total("listed") == 3
    assert done.total("no_position") == 1
    assert (done.total("answered"), done.total("not_selected"), done.total("set_aside")) == (0, 3, 1)


def test_columns_to_carry_may_be_repeated_and_never_replace_an_answer(classify, curves, tmp_path):
    rows, _ = curves[:2].to_pandas()
    write_csv(rows, tmp_path / "rows.csv", "%.17g")
    twice = replace(classify, carry=("ra", "ra", "object_id"))
    classify_archive(tmp_path / "rows.csv", tmp_path / "out", twice)
    assert list(answers(tmp_path / "out").columns).count("ra") == 1
    with pytest.raises(SettingsError, match="names of the answers"):
        classify_archive(tmp_path / "rows.csv", tmp_path / "other", replace(classify, carry=("anomaly",)))
